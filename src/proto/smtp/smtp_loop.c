/* Has this message been here before? Each server adds a Received field, and each delivery a Delivered-To (RFC 5321 6.3). */
#include <stdio.h>

#include "proto/smtp/smtp_internal.h"

/* Their own address in a Delivered-To proves that it was delivered to them before. Only where strangers send: a user may send a message
 * that they got to themselves again. */
static void smtp_loop_watch_rcpts(struct smtp_in *s)
{
	struct span *watched;
	struct buf text;

	if (s->rules->kind != SMTP_KIND_MX || s->rcpt_count > SMTP_WATCHED_MAX)
		return;
	watched = arena_alloc(&s->envelope, s->rcpt_count * sizeof(*watched));
	if (!watched)
		return;
	buf_init(&text, 1024);
	for (uint32_t i = 0; i < s->rcpt_count; i++) {
		buf_reset(&text);
		address_write(&text, &s->rcpts[i].to);
		watched[i] = arena_copy(&s->envelope, buf_span(&text));
	}
	buf_clear(&text);
	header_scan_watch(s->message.scan, watched, s->rcpt_count);
}

void smtp_loop_watch(struct smtp_in *s)
{
	struct span host = span_str(s->rules->hostname);

	/* programs that filter mail on their own machine call themselves localhost */
	if (span_find(host, '.') < host.len && !span_starts_nocase(host, SPAN_LIT("localhost.")))
		header_scan_host(s->message.scan, host);
	smtp_loop_watch_rcpts(s);
}

enum cause_id smtp_loop_judge(struct smtp_in *s, struct cause_facts *facts, char text[32])
{
	const struct header_facts *h = header_scan_facts(s->message.scan);

	if (h->delivered_to_us) {
		facts->detail = SPAN_LIT("it was delivered here before");
		return CAUSE_MAIL_LOOP;
	}
	if (h->received_by_us > SMTP_OWN_HOPS) {
		int n = snprintf(text, 32, "it was here %u times before", h->received_by_us);

		facts->detail = span_of(text, n > 0 && n < 32 ? (size_t)n : 0);
		return CAUSE_MAIL_LOOP;
	}
	if (h->received_count > s->rules->hops_max) {
		facts->limit = smtp_write_count(text, s->rules->hops_max, "servers");
		return CAUSE_TOO_MANY_HOPS;
	}
	return CAUSE_NONE;
}
