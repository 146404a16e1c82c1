/* Sign-in as every protocol does it: bytes of the mechanism go to the auth role and come back; what this worker learns is only the outcome. */
#include "role/session_history.h"
#include "role/worker_abuse.h"

void session_auth_start(struct session *s, struct span mechanism, bool has_initial, struct span initial)
{
	struct worker *w = s->worker;
	struct msg_auth_start m = {.session = s->id, .listener = (uint16_t)s->listener_index, .tls = stream_is_tls(s->stream), .has_initial = has_initial, .mechanism = mechanism,
		.peer = s->peer, .service = span_str(s->ops->service), .initial = initial};
	struct buf exporter, unique;

	if (!w->auth || s->granted) {
		s->ops->auth_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, &(struct cause_facts){.detail = SPAN_NONE});
		return;
	}
	buf_init(&exporter, 512);
	buf_init(&unique, 512);
	if (m.tls)
		tls_server_binding(stream_ssl(s->stream), &exporter, &unique);
	m.binding_exporter = buf_span(&exporter);
	m.binding_unique = buf_span(&unique);
	if (++w->next_ask == 0)
		w->next_ask++;
	m.ask = s->auth_ask = w->next_ask;
	chan_send(w->auth, MSG_AUTH_START, &m);
	buf_clear(&exporter);
	buf_clear(&unique);
}

void session_auth_step(struct session *s, struct span response)
{
	if (!s->worker->auth || !s->auth_ask) {
		s->ops->auth_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, &(struct cause_facts){.detail = SPAN_NONE});
		return;
	}
	chan_send(s->worker->auth, MSG_AUTH_STEP, &(struct msg_auth_step){.session = s->id, .ask = s->auth_ask, .response = response});
}

void session_auth_cancel(struct session *s)
{
	struct worker *w = s->worker;

	if (w->auth && s->auth_ask)
		chan_send(w->auth, MSG_AUTH_CANCEL, &(struct msg_auth_cancel){.session = s->id});
	s->auth_ask = 0;
	if (!s->granted)
		return;
	/* the client turned the server's last word down: what auth granted goes again */
	if (w->store)
		chan_send(w->store, MSG_SESSION_END, &(struct msg_session_end){.session = s->id});
	if (w->auth)
		chan_send(w->auth, MSG_SESSION_END, &(struct msg_session_end){.session = s->id});
	s->granted = false;
}

/* sessions are few per worker and sign-ins rare, but a flood of them must not walk the list: the id is looked up in the map of sessions by id */
static struct session *session_auth_find(struct worker *w, uint64_t id, uint32_t ask)
{
	struct session *s = map_get(&w->by_id, id);

	return s && s->auth_ask == ask && ask ? s : NULL;
}

static void session_auth_outcome(struct session *s, enum msg_type type, const union msg_any *msg)
{
	switch ((int)type) {
	case MSG_AUTH_CHALLENGE:
		s->ops->auth_challenge(s, msg->auth_challenge.bytes);
		break;
	case MSG_AUTH_OK:
		s->auth_ask = 0;
		s->granted = s->told_store = true;
		worker_abuse_signed_in(s);
		session_relay_signed_in(s);
		s->ops->auth_ok(s, msg->auth_ok.address, msg->auth_ok.final);
		break;
	case MSG_AUTH_FAIL:
		s->auth_ask = 0;
		session_history_signin_failed(s, msg->auth_fail.cause < CAUSE_COUNT ? (enum cause_id)msg->auth_fail.cause : CAUSE_NONE);
		s->ops->auth_fail(s, msg->auth_fail.cause < CAUSE_COUNT ? (enum cause_id)msg->auth_fail.cause : CAUSE_AUTH_TEMPORARILY_UNAVAILABLE,
			&(struct cause_facts){.detail = msg->auth_fail.detail, .retry = msg->auth_fail.retry});
		break;
	default:
		break;
	}
}

enum rc session_auth_on_frame(struct worker *w, enum msg_type type, const union msg_any *msg)
{
	uint64_t id = type == MSG_AUTH_CHALLENGE ? msg->auth_challenge.session : type == MSG_AUTH_OK ? msg->auth_ok.session : msg->auth_fail.session;
	uint32_t ask = type == MSG_AUTH_CHALLENGE ? msg->auth_challenge.ask : type == MSG_AUTH_OK ? msg->auth_ok.ask : msg->auth_fail.ask;
	struct session *s = session_auth_find(w, id, ask);

	if (!s) {
		/* the client left while its password was checked: the grant has to go again */
		if (type == MSG_AUTH_OK && w->store)
			chan_send(w->store, MSG_SESSION_END, &(struct msg_session_end){.session = id});
		return RC_OK;
	}
	s->depth++;
	session_auth_outcome(s, type, msg);
	s->depth--;
	session_step(s);
	return RC_OK;
}

void session_auth_gone(struct worker *w)
{
	for (struct session *s = w->sessions, *next; s; s = next) {
		next = s->next;
		if (!s->auth_ask)
			continue;
		s->auth_ask = 0;
		s->told_store = true; /* by the one that is gone, perhaps: its grant ends with the session */
		s->depth++;
		s->ops->auth_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, &(struct cause_facts){.detail = SPAN_NONE});
		s->depth--;
		session_step(s);
	}
}
