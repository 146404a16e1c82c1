#include <stdlib.h>

#include "base/mem.h"
#include "proto/smtp/smtp_internal.h"

enum {
	OUT_KEPT_BYTES = 512,      /* a larger output buffer is given back when it is empty */
	OUT_DROP_BYTES = 64 << 10, /* sent bytes at the front that are worth moving the rest down */
};

struct smtp_in *smtp_in_new_refused(const struct smtp_rules *rules, struct span ref, enum cause_id refuse, const struct cause_facts *facts, mono_ms now)
{
	struct smtp_in *s = mem_zalloc(sizeof(*s));

	s->rules = rules;
	ref = span_head(ref, sizeof(s->ref) - 1);
	if (ref.len)
		memcpy(s->ref, ref.ptr, ref.len);
	s->now = s->since = s->session_since = now;
	s->next_id = 1;
	s->slots_end = &s->slots;
	/* one answer can let the replies of all open RCPTs go, so there is room for these beyond the ceiling where feed stops */
	buf_init(&s->out, LIMIT_SMTP_OUT_BYTES + (64 << 10) + (size_t)rules->rcpt_open_max * 4 * LIMIT_SMTP_REPLY_LINE_BYTES);
	buf_init_secret(&s->line, LIMIT_SMTP_AUTH_LINE_BYTES + 2);
	buf_init(&s->helo, LIMIT_HELO_BYTES);
	buf_init(&s->account, LIMIT_LOGIN_BYTES);
	buf_init_secret(&s->sasl, LIMIT_SASL_BYTES);
	buf_init(&s->events, SMTP_EVENTS_BYTES);
	map_init(&s->domains);
	arena_init(&s->scratch, SMTP_SCRATCH_BYTES);
	arena_init(&s->envelope, SMTP_ENVELOPE_BYTES + (size_t)rules->rcpt_max * SMTP_ENVELOPE_RCPT_BYTES);
	if (refuse != CAUSE_NONE) {
		s->greeted = true;
		smtp_close(s, refuse, facts);
	} else {
		smtp_banner(s);
	}
	return s;
}

struct smtp_in *smtp_in_new(const struct smtp_rules *rules, struct span ref, enum cause_id refuse, mono_ms now)
{
	return smtp_in_new_refused(rules, ref, refuse, NULL, now);
}

void smtp_in_free(struct smtp_in *s)
{
	if (!s)
		return;
	if (s->line.ptr)
		explicit_bzero(s->line.ptr, s->line.size);
	if (s->sasl.ptr)
		explicit_bzero(s->sasl.ptr, s->sasl.size);
	buf_clear(&s->line);
	buf_clear(&s->out);
	buf_clear(&s->helo);
	buf_clear(&s->account);
	buf_clear(&s->sasl);
	buf_clear(&s->events);
	arena_clear(&s->envelope);
	arena_clear(&s->scratch);
	map_clear(&s->domains);
	free(s->rcpts);
	free(s);
}

/* Must all input wait for the owner or the peer? */
static bool smtp_in_blocked(const struct smtp_in *s)
{
	return s->wait != SMTP_WAIT_NONE || s->message.rest.len || s->message.ended || (s->shutdown != CAUSE_NONE && !smtp_in_finishes(s)) ||
	       s->out.len - s->out_sent >= LIMIT_SMTP_OUT_BYTES;
}

static size_t smtp_in_take(struct smtp_in *s, struct span in)
{
	if (s->state == SMTP_STATE_CLOSED)
		return in.len;
	if (smtp_in_blocked(s))
		return 0;
	switch (s->state) {
	case SMTP_STATE_COMMAND:
	case SMTP_STATE_AUTH:
		return smtp_command_take(s, in);
	case SMTP_STATE_DATA:
		return smtp_data_take(s, in);
	case SMTP_STATE_BDAT:
		return smtp_bdat_take(s, in);
	case SMTP_STATE_TLS:
		smtp_in_tls_injected(s);
		return in.len;
	case SMTP_STATE_CLOSED:
		break;
	}
	return in.len;
}

/* has the client gone on where it had to wait for a 334 or the verdict? (RFC 4954 4) */
static bool smtp_in_early(const struct smtp_in *s)
{
	return s->wait == SMTP_WAIT_AUTH_STEP || (s->wait == SMTP_WAIT_AUTH && !s->auth_initial);
}

size_t smtp_in_feed(struct smtp_in *s, struct span bytes, mono_ms now)
{
	size_t taken = 0, n;

	s->now = now;
	if (s->answered_untimed) {
		s->answered_untimed = false;
		s->since = now;
	}
	if (bytes.len && !s->greeted && s->state != SMTP_STATE_CLOSED) {
		if (s->out_sent == 0) /* nothing of the 220 has left: it is not sent at all */
			buf_reset(&s->out);
		s->greeted = true;
		smtp_close(s, CAUSE_SEQ_PIPELINED_EARLY, NULL);
	}
	while (taken < bytes.len) {
		if (smtp_talks_early(s, span_from(bytes, taken)))
			return bytes.len;
		n = smtp_in_take(s, span_from(bytes, taken));
		if (n == 0)
			break;
		taken += n;
	}
	if (taken < bytes.len && smtp_in_early(s)) {
		smtp_close(s, CAUSE_SEQ_NOT_PIPELINED, NULL);
		return bytes.len;
	}
	return taken;
}

static uint32_t smtp_in_ask_id(struct smtp_in *s)
{
	if (s->next_id == 0)
		s->next_id = 1;
	return s->next_id++;
}

static enum smtp_want smtp_in_ask_barrier(struct smtp_in *s, struct smtp_ask *ask)
{
	s->wait_asked = true;
	ask->id = s->wait_id = smtp_in_ask_id(s);
	if (s->wait == SMTP_WAIT_MAIL) {
		ask->mail = &s->mail;
		return SMTP_WANT_MAIL;
	}
	if (s->wait == SMTP_WAIT_ACCEPT) {
		ask->mail = &s->mail;
		ask->rcpt_count = s->rcpt_count;
		ask->header = header_scan_facts(s->message.scan);
		ask->body_bytes = s->message.bytes;
		ask->headers_wide = s->message.wide.found;
		return SMTP_WANT_ACCEPT;
	}
	if (s->wait == SMTP_WAIT_WHY) {
		ask->why_max = s->why_max;
		return SMTP_WANT_WHY;
	}
	ask->bytes = buf_span(&s->sasl);
	if (s->wait == SMTP_WAIT_AUTH_STEP)
		return SMTP_WANT_AUTH_STEP;
	ask->has_initial = s->auth_initial;
	ask->mechanism = span_str(s->mechanism);
	return SMTP_WANT_AUTH;
}

static bool smtp_in_ask_rcpt(struct smtp_in *s, struct smtp_ask *ask)
{
	uint32_t before = s->rcpt_count;

	for (struct smtp_slot *at = s->slots; at; at = at->next) {
		if (at->asked || at->answered) {
			before += !at->answered || at->cause == CAUSE_NONE;
			continue;
		}
		at->asked = true;
		ask->id = at->id = smtp_in_ask_id(s);
		ask->mail = &s->mail;
		ask->rcpt = &at->rcpt;
		ask->rcpt_count = before;
		return true;
	}
	return false;
}

static bool smtp_in_due(bool *flag)
{
	bool due = *flag;

	*flag = false;
	return due;
}

enum smtp_want smtp_in_next(struct smtp_in *s, struct smtp_ask *ask_out)
{
	*ask_out = (struct smtp_ask){0};
	if (smtp_in_due(&s->due_auth_cancel))
		return SMTP_WANT_AUTH_CANCEL;
	if (smtp_in_due(&s->due_discard))
		return SMTP_WANT_DISCARD;
	if (smtp_in_due(&s->due_reset))
		return SMTP_WANT_RESET;
	if (smtp_message_next(s, &ask_out->bytes))
		return SMTP_WANT_BODY;
	if (s->message.ended && s->wait == SMTP_WAIT_NONE) {
		smtp_message_end(s);
		return smtp_in_next(s, ask_out);
	}
	if (s->wait != SMTP_WAIT_NONE && !s->wait_asked)
		return smtp_in_ask_barrier(s, ask_out);
	if (smtp_in_ask_rcpt(s, ask_out))
		return SMTP_WANT_RCPT;
	if (smtp_in_due(&s->due_tls))
		return SMTP_WANT_TLS;
	if (smtp_in_settle(s))
		return smtp_in_next(s, ask_out);
	return smtp_in_due(&s->due_close) ? SMTP_WANT_CLOSE : SMTP_WANT_NOTHING;
}

void smtp_in_answer(struct smtp_in *s, uint32_t ask_id, const struct verdict *v)
{
	s->answered_untimed = true;
	if (s->wait_asked && ask_id == s->wait_id && s->wait == SMTP_WAIT_MAIL)
		smtp_mail_answered(s, v);
	else if (s->wait_asked && ask_id == s->wait_id && s->wait == SMTP_WAIT_ACCEPT)
		smtp_accept_answered(s, v);
	else
		smtp_slot_answered(s, ask_id, v);
}

struct span smtp_in_out(const struct smtp_in *s)
{
	return span_from(buf_span(&s->out), s->out_sent);
}

void smtp_in_sent(struct smtp_in *s, size_t n)
{
	s->out_sent += n;
	if (s->out_sent < s->out.len) {
		if (s->out_sent >= OUT_DROP_BYTES && s->state != SMTP_STATE_TLS) {
			buf_drop(&s->out, s->out_sent);
			s->out_sent = 0;
		}
		return;
	}
	s->greeted = true;
	s->must_read = false;
	s->out_sent = 0;
	s->out_tls_at = 0;
	if (s->out.size > OUT_KEPT_BYTES)
		buf_clear(&s->out);
	else
		s->out.len = 0;
}

const struct smtp_rcpt *smtp_in_rcpt(const struct smtp_in *s, uint32_t index)
{
	return index < s->rcpt_count ? &s->rcpts[index] : NULL;
}

const struct header_facts *smtp_in_header(const struct smtp_in *s)
{
	return s->message.scan ? header_scan_facts(s->message.scan) : NULL;
}

struct span smtp_in_helo(const struct smtp_in *s)
{
	return buf_span(&s->helo);
}

bool smtp_in_is_esmtp(const struct smtp_in *s)
{
	return s->esmtp;
}

bool smtp_in_is_tls(const struct smtp_in *s)
{
	return s->tls;
}

struct span smtp_in_account(const struct smtp_in *s)
{
	return s->auth_final ? SPAN_NONE : buf_span(&s->account);
}

bool smtp_in_idle(const struct smtp_in *s)
{
	return !s->in_mail && s->wait == SMTP_WAIT_NONE && !s->auth_open && !s->slots_open && !s->message.begun && s->line.len == 0 &&
	       s->out.len == s->out_sent && s->state != SMTP_STATE_TLS;
}
