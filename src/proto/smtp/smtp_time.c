/* the clock side of a session: deadlines, time-outs, and the ends that do not come from a command */
#include "proto/smtp/smtp_internal.h"

static mono_ms smtp_time_after(mono_ms since, uint64_t ms)
{
	mono_ms at;

	return ms == 0 || __builtin_add_overflow(since, ms, &at) ? MONO_NEVER : at;
}

static mono_ms smtp_time_least(mono_ms a, mono_ms b)
{
	return a < b ? a : b;
}

static bool smtp_time_receiving(const struct smtp_in *s)
{
	return s->state == SMTP_STATE_DATA || s->state == SMTP_STATE_BDAT;
}

/* when the message will have become too slow if nothing more comes */
static mono_ms smtp_time_rate(const struct smtp_in *s)
{
	const struct smtp_message *m = &s->message;
	uint64_t ms;

	if (s->rules->data_rate_floor == 0)
		return MONO_NEVER;
	ms = m->rate_bytes > UINT64_MAX / 1000 ? UINT64_MAX : m->rate_bytes * 1000 / s->rules->data_rate_floor;
	return smtp_time_after(m->rate_since, ms > SMTP_RATE_GRACE_MS ? ms : SMTP_RATE_GRACE_MS);
}

static mono_ms smtp_time_session(const struct smtp_in *s)
{
	if (smtp_time_receiving(s) && s->rules->data_rate_floor) /* a long message is bounded by its rate */
		return MONO_NEVER;
	return smtp_time_after(s->session_since, s->rules->session_ms);
}

static uint64_t smtp_time_allowed_ms(const struct smtp_in *s)
{
	const struct smtp_rules *r = s->rules;

	if (smtp_time_receiving(s))
		return r->data_ms;
	if (s->state == SMTP_STATE_AUTH)
		return r->auth_ms;
	return s->helo.len == 0 && s->state == SMTP_STATE_COMMAND ? r->greeting_ms : r->command_ms;
}

/* is the owner the one who has to do something? */
static bool smtp_time_owner_works(const struct smtp_in *s)
{
	return s->wait != SMTP_WAIT_NONE || s->slots_open || s->message.ended || s->message.rest.len;
}

mono_ms smtp_in_deadline(const struct smtp_in *s)
{
	mono_ms at;

	if (s->state == SMTP_STATE_CLOSED || smtp_time_owner_works(s))
		return MONO_NEVER;
	at = smtp_time_least(smtp_time_after(s->since, smtp_time_allowed_ms(s)), smtp_time_session(s));
	return smtp_time_receiving(s) ? smtp_time_least(at, smtp_time_rate(s)) : at;
}

static void smtp_time_out(struct smtp_in *s)
{
	char text[32];
	struct cause_facts facts = {0};

	if (s->out.len - s->out_sent >= LIMIT_SMTP_OUT_BYTES) {
		smtp_close(s, CAUSE_SLOW_CLIENT, NULL);
	} else if (smtp_time_receiving(s) && s->now >= smtp_time_rate(s)) {
		facts.limit = smtp_write_count(text, s->rules->data_rate_floor, "bytes a second");
		smtp_close(s, CAUSE_MESSAGE_RATE_FLOOR, &facts);
	} else if (s->now >= smtp_time_session(s)) {
		facts.limit = smtp_write_count(text, s->rules->session_ms / 1000, "s");
		smtp_close(s, CAUSE_SESSION_TOO_LONG, &facts);
	} else {
		facts.limit = smtp_write_count(text, smtp_time_allowed_ms(s) / 1000, "s");
		smtp_close(s, s->message.begun ? CAUSE_TIMEOUT_IN_MESSAGE : CAUSE_TIMEOUT, &facts);
	}
}

void smtp_in_tick(struct smtp_in *s, mono_ms now)
{
	s->now = now;
	if (s->answered_untimed) {
		s->answered_untimed = false;
		s->since = now;
	}
	if (now < smtp_in_deadline(s))
		return;
	if (s->state == SMTP_STATE_TLS) /* words would stand in the middle of the handshake */
		smtp_end(s);
	else
		smtp_time_out(s);
}

bool smtp_in_finishes(const struct smtp_in *s)
{
	return s->shutdown != CAUSE_NONE && s->finish_message && smtp_time_receiving(s);
}

bool smtp_in_settle(struct smtp_in *s)
{
	if (s->state == SMTP_STATE_CLOSED || smtp_time_owner_works(s))
		return false;
	if (smtp_in_finishes(s) && !s->eof && !s->out.overflow)
		return false;
	if (s->shutdown != CAUSE_NONE && s->state != SMTP_STATE_TLS && !s->eof)
		smtp_close(s, s->shutdown, NULL);
	else if (s->eof || s->shutdown != CAUSE_NONE || s->out.overflow) /* overflow: a reply was cut, so go on no further */
		smtp_end(s);
	return s->state == SMTP_STATE_CLOSED;
}

void smtp_in_eof(struct smtp_in *s)
{
	s->eof = true;
	if (s->wait == SMTP_WAIT_AUTH || s->wait == SMTP_WAIT_AUTH_STEP)
		smtp_end(s);
}

void smtp_in_shutdown(struct smtp_in *s, enum cause_id cause, bool finish_message)
{
	if (s->shutdown == CAUSE_NONE)
		s->shutdown = cause;
	s->finish_message = finish_message;
}

void smtp_in_tls_done(struct smtp_in *s, mono_ms now)
{
	if (s->state == SMTP_STATE_CLOSED)
		return;
	smtp_auth_forget(s); /* RFC 3207 4.2: nothing said before counts */
	smtp_transaction_clear(s);
	buf_clear(&s->helo);
	buf_clear(&s->account);
	s->esmtp = s->auth_final = false;
	s->tls = true;
	s->due_tls = false;
	s->now = s->since = now;
	s->state = SMTP_STATE_COMMAND;
}

void smtp_in_tls_injected(struct smtp_in *s)
{
	if (s->state != SMTP_STATE_TLS)
		return;
	if (s->out_sent <= s->out_tls_at) /* the 220 has not left: it is taken back */
		s->out.len = s->out_tls_at;
	smtp_close(s, CAUSE_TLS_INJECTION, NULL);
}
