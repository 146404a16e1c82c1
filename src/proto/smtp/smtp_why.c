/* XWHY: what this server refused the signed-in user of late, and why */
#include <time.h>

#include "base/num.h"
#include "proto/smtp/smtp_internal.h"

enum {
	WHY_EVENTS = 10, /* where no number was given */
	WHY_LINE_BYTES = LIMIT_SMTP_REPLY_LINE_BYTES - 2,
	WHY_SHORT_BYTES = 48, /* of a value but detail */
	WHY_DETAIL_BYTES = 200,
};

static bool smtp_why_number(struct span arg, uint32_t *out)
{
	uint64_t n = WHY_EVENTS;

	if (arg.len && (num_parse(arg, LIMIT_WHY_EVENTS, &n) != RC_OK || n == 0))
		return false;
	*out = (uint32_t)n;
	return true;
}

void smtp_xwhy_run(struct smtp_in *s, struct span arg)
{
	if (s->rules->kind != SMTP_KIND_SUBMISSION || !s->rules->why) {
		smtp_refuse_bad(s, CAUSE_COMMAND_NOT_ENABLED, NULL);
	} else if (smtp_in_account(s).len == 0) {
		smtp_refuse_bad(s, CAUSE_AUTH_REQUIRED, NULL);
	} else if (!smtp_why_number(arg, &s->why_max)) {
		smtp_refuse_bad(s, CAUSE_COMMAND_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("a number from 1 to 50 may follow")});
	} else if (++s->whys > SMTP_WHYS_MAX) {
		smtp_close(s, CAUSE_TOO_MANY_NOOPS, NULL);
	} else {
		s->wait = SMTP_WAIT_WHY;
		s->wait_asked = false;
	}
}

/* RFC 3461 4; what is cut is cut between characters. At least as much room as one character needs must be left. */
static void smtp_why_xtext(struct buf *line, struct span text, size_t room)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t end = line->len + room;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		bool plain = c > ' ' && c < 0x7f && c != '+' && c != '=';

		if (line->len + (plain ? 1 : 3) > end)
			return;
		if (plain) {
			buf_add_byte(line, c);
		} else {
			buf_add_byte(line, '+');
			buf_add_byte(line, (uint8_t)hex[c >> 4]);
			buf_add_byte(line, (uint8_t)hex[c & 15]);
		}
	}
}

static void smtp_why_pair(struct buf *line, const char *key, struct span value, size_t most)
{
	size_t taken = strlen(key) + 2, room;

	if (value.len == 0 || line->len + taken + 3 > WHY_LINE_BYTES)
		return;
	room = WHY_LINE_BYTES - line->len - taken;
	buf_printf(line, " %s=", key);
	smtp_why_xtext(line, value, room < most ? room : most);
}

static void smtp_why_event(struct smtp_in *s, const struct smtp_why *e)
{
	char at[32] = "", session[14];
	time_t seconds = (time_t)(e->at_ms / 1000);
	struct buf line;
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		(void)strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_init(&line, LIMIT_SMTP_REPLY_LINE_BYTES);
	buf_add_str(&line, "250-slug=");
	smtp_why_xtext(&line, e->slug, WHY_SHORT_BYTES);
	buf_printf(&line, " code=%03u at=%s session=%s", e->code % 1000, at, num_base32(e->session, 8, session));
	smtp_why_pair(&line, "command", e->command, WHY_SHORT_BYTES);
	smtp_why_pair(&line, "limit", e->limit, WHY_SHORT_BYTES);
	smtp_why_pair(&line, "retry", e->retry, WHY_SHORT_BYTES);
	smtp_why_pair(&line, "detail", e->detail, WHY_DETAIL_BYTES);
	buf_add_str(&line, "\r\n");
	buf_add(&s->out, buf_span(&line));
	buf_clear(&line);
}

void smtp_in_why(struct smtp_in *s, uint32_t ask_id, enum cause_id cause, const struct smtp_why *events, size_t count)
{
	if (s->wait != SMTP_WAIT_WHY || !s->wait_asked || ask_id != s->wait_id)
		return;
	s->wait = SMTP_WAIT_NONE;
	s->answered_untimed = true;
	s->verb = SPAN_LIT("XWHY");
	if (cause != CAUSE_NONE) {
		smtp_refuse_verdict(s, cause, NULL);
		return;
	}
	if (count > s->why_max)
		count = s->why_max;
	for (size_t i = 0; i < count; i++)
		smtp_why_event(s, &events[i]);
	buf_printf(&s->out, "250 2.0.0 %u events\r\n", (unsigned)count);
}
