/* relay_talk - does what the SMTP client engine wants on a connection. */
#include <stdio.h>

#include "role/relay.h"
#include "role/relay_cause.h"

/* ---- TLS */

static void relay_talk_tls_failed(struct relay_conn *c)
{
	struct relay_failure before = c->why;
	struct relay_verdict v = {.outcome = DELIVERY_LATER, .cause = c->tls.cause, .sure = 95, .pace = PACE_TROUBLE, .elsewhere = true};
	struct smtp_out_result none = {.fate = SMTP_OUT_NO_TLS, .words = span_str(c->tls.words)};

	relay_failure_of(&c->why, c, &none, &v);
	relay_conn_try_next(c, &before);
}

void relay_talk_tls(struct relay_conn *c, bool ok, const char *why)
{
	struct buf words;

	relay_tls_check(c->hosts->at[c->at].tls, stream_ssl(c->stream), ok, why, &c->tls);
	if (c->tls.cause != CAUSE_NONE) {
		if (c->tls.retry_clear)
			relay_conn_again_clear(c);
		else
			relay_talk_tls_failed(c);
		return;
	}
	buf_init(&words, sizeof(c->tls_words) - 1);
	relay_tls_words(stream_ssl(c->stream), &c->tls, &words);
	relay_copy(c->tls_words, sizeof(c->tls_words), buf_span(&words));
	buf_clear(&words);
	if (c->smtp) {
		smtp_out_tls_done(c->smtp, loop_now(c->relay->loop));
		relay_conn_step(c);
	}
}

/* ---- READY */

static bool relay_talk_is_worn(const struct relay_conn *c)
{
	uint32_t most = c->relay->conf->delivery_messages_per_connection, theirs = smtp_out_mail_max(c->smtp);

	return c->relay->draining || c->messages >= most || (theirs && c->messages >= theirs);
}

static void relay_talk_ready(struct relay_conn *c)
{
	bool first = c->state != RELAY_CONN_BUSY;
	struct relay_job *j;

	relay_conn_set_state(c, RELAY_CONN_READY);
	if (first)
		relay_dest_reached(c->dest);
	if (relay_talk_is_worn(c)) {
		relay_conn_quit(c);
		return;
	}
	c->deadline = loop_now(c->relay->loop) + c->relay->conf->delivery_idle_ms;
	while (c->state == RELAY_CONN_READY && (j = relay_dest_next(c->dest, c)) != NULL)
		relay_job_begin(j, c);
	if (first && c->dest->jobs) /* it answers: the others may come */
		relay_dest_wake(c->dest);
	if (c->state == RELAY_CONN_READY && c->relay->conf->delivery_idle_ms == 0)
		relay_conn_quit(c);
}

/* ---- FAILED */

static void relay_talk_failed(struct relay_conn *c)
{
	struct relay_failure before = c->why;
	struct smtp_out_result r = smtp_out_failure(c->smtp);
	struct relay_verdict v;

	if (c->state >= RELAY_CONN_READY) {
		relay_conn_close(c);
		return;
	}
	relay_cause_of(&r, &v);
	if (r.fate == SMTP_OUT_NO_TLS) {
		relay_tls_missing(c->hosts->at[c->at].tls, r.code, r.words, &c->tls);
		v.cause = c->tls.cause;
		if (c->tls.words[0])
			r.words = span_str(c->tls.words);
	}
	relay_failure_of(&c->why, c, &r, &v);
	if (v.elsewhere)
		relay_conn_try_next(c, &before);
	else
		relay_conn_failed(c);
}

static void relay_talk_want(struct relay_conn *c, enum smtp_out_want want)
{
	switch (want) {
	case SMTP_OUT_TLS:
		if (relay_conn_begin_tls(c) != RC_OK)
			relay_talk_tls(c, false, STREAM_WHY_INJECTION);
		return;
	case SMTP_OUT_AUTH:
		relay_auth_begin(c);
		return;
	case SMTP_OUT_AUTH_STEP:
		relay_auth_step(c);
		return;
	case SMTP_OUT_READY:
		relay_talk_ready(c);
		return;
	case SMTP_OUT_BODY:
		(void)relay_job_feed(c);
		return;
	case SMTP_OUT_DONE:
		relay_job_done(c);
		return;
	case SMTP_OUT_FAILED:
		relay_talk_failed(c);
		return;
	case SMTP_OUT_CLOSE:
		stream_close(c->stream, RELAY_LINGER_MS);
		return;
	case SMTP_OUT_NOTHING:
		return;
	}
}

void relay_talk_run(struct relay_conn *c)
{
	enum smtp_out_want want;

	while (c->state != RELAY_CONN_OVER && c->smtp && (want = smtp_out_next(c->smtp)) != SMTP_OUT_NOTHING)
		relay_talk_want(c, want);
}
