#include "role/session_history.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "role/history_rate.h"
#include "store/history.h"

enum { REPORT_SERVICE_BYTES = 16, REPORT_NAME_BYTES = 32, REPORT_ADDRESS_BYTES = 320, REPORT_DETAIL_BYTES = 256, REPORT_WORD_BYTES = 64 };

struct session_history {
	uint32_t told, hidden;
	struct history_vote vote;   /* of those hidden */
	enum cause_id auth_said;    /* reported by auth; its refusal is still to come */
	bool signin_failed;
};

static struct msg_history session_history_frame(struct session *s, enum history_kind kind)
{
	const char *tls = stream_tls_version(s->stream);

	return (struct msg_history){.kind = (uint8_t)kind, .at_ms = clock_mono_ms(), .session = s->id, .service = span_str(role_service_name(s->listener->kind)),
		.listener = span_head(span_str(s->listener->name), REPORT_NAME_BYTES), .peer = span_head(s->peer, REPORT_WORD_BYTES),
		.tls = span_head(span_str(*tls ? tls : "no"), REPORT_SERVICE_BYTES)};
}

static void session_history_send(struct worker *w, const struct msg_history *m)
{
	if (w->store)
		chan_send(w->store, MSG_HISTORY, m);
}

static void session_history_rest(void *arg, const struct history_rest *rest)
{
	session_history_send(arg, &(struct msg_history){.kind = HISTORY_MORE, .peer = rest->peer, .more = rest->more, .cause = (uint16_t)rest->mostly});
}

void session_history_open(struct worker *w)
{
	if (w->conf->history_days)
		w->history = history_rate_new(w->loop, session_history_rest, w);
}

static struct session_history *session_history_get(struct session *s)
{
	if (!s->history)
		s->history = mem_zalloc(sizeof(*s->history));
	return s->history;
}

void session_history_refused(struct session *s, const struct session_refusal *r)
{
	struct session_history *h;
	struct msg_history m;

	if (!s->worker->history)
		return;
	h = session_history_get(s);
	if (h->auth_said != CAUSE_NONE && h->auth_said == r->cause) {
		h->auth_said = CAUSE_NONE;
		return;
	}
	if (h->told >= SESSION_HISTORY_REFUSALS && !r->closing) {
		h->hidden++;
		history_vote_add(&h->vote, r->cause);
		return;
	}
	if (!history_rate_take(s->worker->history, s->peer, r->cause))
		return;
	h->told++;
	m = session_history_frame(s, HISTORY_REFUSED);
	m.cause = (uint16_t)r->cause;
	m.code = (uint16_t)r->code;
	m.helo = span_head(r->helo, LIMIT_HELO_BYTES);
	m.command = span_head(r->command, REPORT_NAME_BYTES);
	m.sender = span_head(r->sender, REPORT_ADDRESS_BYTES);
	m.rcpt = span_head(r->rcpt, REPORT_ADDRESS_BYTES);
	m.detail = span_head(r->detail, REPORT_DETAIL_BYTES);
	m.limit = span_head(r->limit, REPORT_WORD_BYTES);
	m.retry = span_head(r->retry, REPORT_WORD_BYTES);
	m.rule = span_head(r->rule, REPORT_WORD_BYTES);
	session_history_send(s->worker, &m);
}

void session_history_tls_failed(struct session *s, const char *why)
{
	session_history_refused(s, &(struct session_refusal){.cause = CAUSE_TLS_HANDSHAKE_FAILED, .detail = span_str(why)});
}

void session_history_signin_failed(struct session *s, enum cause_id cause)
{
	struct session_history *h;

	if (!s->worker->history)
		return;
	h = session_history_get(s);
	h->signin_failed = true;
	/* that one can also come of auth being away, which then has reported nothing */
	h->auth_said = cause == CAUSE_AUTH_TEMPORARILY_UNAVAILABLE ? CAUSE_NONE : cause;
}

void session_history_end(struct session *s, struct span helo)
{
	struct session_history *h = s->history;
	struct worker *w = s->worker;
	struct msg_history m;
	bool say;

	s->history = NULL;
	if (!w->history)
		return;
	if (h && (h->told || h->hidden))
		say = true; /* counted with what was told */
	else
		say = ((h && h->signin_failed) || (s->listener->kind != CONF_MX && !s->granted)) && history_rate_take(w->history, s->peer, CAUSE_NONE);
	if (say) {
		m = session_history_frame(s, HISTORY_SESSION);
		m.helo = span_head(helo, LIMIT_HELO_BYTES);
		m.ms = loop_now(w->loop) - s->started_ms;
		m.more = h ? h->hidden : 0;
		m.cause = (uint16_t)(h && h->hidden ? h->vote.cause : CAUSE_NONE);
		session_history_send(w, &m);
	}
	free(h);
}
