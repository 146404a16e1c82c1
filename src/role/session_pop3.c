/* The owner of a POP3 engine: mailbox, bytes and the deletions at QUIT are the store's, sign-in is auth's. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/session_history.h"
#include "role/worker_abuse.h"

enum { POP3_UIDS_FRAME_MAX = 1 << 20 };

struct pop3_session {
	struct pop3_in *in;
	bool too_many; /* more messages than one session shows */
};

static void pop3_on_opened(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	const struct msg_mbox_opened *o = msg && type == MSG_MBOX_OPENED ? &msg->mbox_opened : NULL;
	enum cause_id cause = o && o->cause < CAUSE_COUNT ? (enum cause_id)o->cause : CAUSE_SERVER_TEMP_ERROR;

	(void)engine_ask;
	pop3_in_mailbox_done(s->pop3->in, cause, &(struct cause_facts){.detail = o ? o->detail : SPAN_NONE}, o ? o->uidvalidity : 0);
}

enum rc session_pop3_on_part(struct worker *w, enum msg_type type, const union msg_any *msg)
{
	struct rec_mail_item item;
	struct span cursor = msg->mbox_items.items.raw;
	uint32_t engine_ask;
	struct session *s = worker_question_session(w, msg->mbox_items.ask, &engine_ask);

	(void)type;
	if (!s || s->ops != &session_pop3_ops)
		return RC_OK; /* the client has left */
	while (!s->pop3->too_many && rec_mail_item_next(&cursor, &item))
		s->pop3->too_many = pop3_in_mailbox_add(s->pop3->in, item.uid, item.bytes) != RC_OK;
	return RC_OK;
}

static void pop3_open(struct session *s)
{
	uint32_t ask;

	if (!s->worker->store) {
		pop3_on_opened(s, 0, MSG_NONE, NULL);
		return;
	}
	s->pop3->too_many = false;
	ask = worker_ask(s, ROLE_STORE, 0, pop3_on_opened);
	chan_send(s->worker->store, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = s->id, .ask = ask});
}

static void pop3_on_bytes(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	const struct msg_mail_bytes *b = msg && type == MSG_MAIL_BYTES && msg->mail_bytes.cause < CAUSE_COUNT ? &msg->mail_bytes : NULL;

	(void)engine_ask;
	pop3_in_bytes(s->pop3->in, b ? b->bytes : SPAN_NONE, b ? b->last : true, b ? (enum cause_id)b->cause : CAUSE_SERVER_TEMP_ERROR);
}

static void pop3_fetch(struct session *s, const struct pop3_ask *a)
{
	struct msg_mail_fetch m = {.session = s->id, .uid = a->uid, .offset = a->offset, .max = a->max};

	if (!s->worker->store) {
		pop3_on_bytes(s, 0, MSG_NONE, NULL);
		return;
	}
	m.ask = worker_ask(s, ROLE_STORE, 0, pop3_on_bytes);
	chan_send(s->worker->store, MSG_MAIL_FETCH, &m);
}

static void pop3_on_committed(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	(void)engine_ask;
	pop3_in_committed(s->pop3->in,
		msg && type == MSG_MBOX_COMMITTED && msg->mbox_committed.cause < CAUSE_COUNT ? (enum cause_id)msg->mbox_committed.cause : CAUSE_SERVER_TEMP_ERROR);
}

static void pop3_commit(struct session *s, const struct pop3_ask *a)
{
	struct msg_mbox_commit m = {.session = s->id};
	struct buf uids;

	if (!s->worker->store) {
		pop3_on_committed(s, 0, MSG_NONE, NULL);
		return;
	}
	buf_init(&uids, sizeof(uint64_t) * POP3_UIDS_FRAME_MAX);
	for (uint32_t i = 0; i < a->uid_count; i++)
		rec_uid_add(&uids, &(struct rec_uid){.uid = a->uids[i]});
	m.uids = (struct msg_list){.raw = buf_span(&uids), .count = a->uid_count};
	m.ask = worker_ask(s, ROLE_STORE, 0, pop3_on_committed);
	chan_send(s->worker->store, MSG_MBOX_COMMIT, &m);
	buf_clear(&uids);
}

static void pop3_log_refusals(struct session *s)
{
	struct pop3_event e;

	while (pop3_in_event(s->pop3->in, &e)) {
		worker_abuse_refused(s, e.cause);
		session_history_refused(s, &(struct session_refusal){.cause = e.cause, .command = e.command});
		if (!log_begin(LOG_LEVEL_INFO, "refused"))
			continue;
		log_str("session", s->ref);
		log_str("listener", s->listener->name);
		log_span("peer", s->peer);
		log_span("account", pop3_in_account(s->pop3->in));
		log_span("command", e.command);
		log_str("cause", cause_slug(e.cause));
		log_end();
	}
}

static void pop3_pump(struct session *s)
{
	enum pop3_want want;
	struct pop3_ask ask;

	while (s->closing == SESSION_OPEN && (want = pop3_in_next(s->pop3->in, &ask)) != POP3_WANT_NOTHING) {
		switch (want) {
		case POP3_WANT_AUTH:
			session_auth_start(s, ask.mechanism, ask.has_initial, ask.bytes);
			break;
		case POP3_WANT_AUTH_STEP:
			session_auth_step(s, ask.bytes);
			break;
		case POP3_WANT_AUTH_CANCEL:
			session_auth_cancel(s);
			break;
		case POP3_WANT_OPEN:
			pop3_open(s);
			break;
		case POP3_WANT_FETCH:
			pop3_fetch(s, &ask);
			break;
		case POP3_WANT_COMMIT:
			pop3_commit(s, &ask);
			break;
		case POP3_WANT_TLS:
			session_want_tls(s);
			break;
		case POP3_WANT_CLOSE:
			pop3_log_refusals(s);
			session_close(s);
			break;
		case POP3_WANT_NOTHING:
			break;
		}
	}
	pop3_log_refusals(s);
}

static void pop3_begin(struct session *s, enum cause_id refuse, mono_ms now)
{
	s->pop3 = mem_zalloc(sizeof(*s->pop3));
	s->pop3->in = pop3_in_new_refused(&s->worker->listeners[s->listener_index].pop3, session_ref(s), refuse, &s->worker->refused, now);
}

static void pop3_end(struct session *s)
{
	pop3_in_free(s->pop3->in);
	free(s->pop3);
}

static size_t pop3_feed(struct session *s, struct span bytes, mono_ms now)
{
	return pop3_in_feed(s->pop3->in, bytes, now);
}

static struct span pop3_out(struct session *s)
{
	return pop3_in_out(s->pop3->in);
}

static void pop3_sent(struct session *s, size_t n)
{
	pop3_in_sent(s->pop3->in, n);
}

static void pop3_eof(struct session *s)
{
	pop3_in_eof(s->pop3->in);
}

static void pop3_tick(struct session *s, mono_ms now)
{
	pop3_in_tick(s->pop3->in, now);
}

static mono_ms pop3_deadline(struct session *s)
{
	return pop3_in_deadline(s->pop3->in);
}

static void pop3_tls_done(struct session *s, mono_ms now)
{
	pop3_in_tls_done(s->pop3->in, now);
}

static void pop3_tls_injected(struct session *s)
{
	pop3_in_tls_injected(s->pop3->in);
}

static void pop3_shutdown(struct session *s, enum cause_id cause)
{
	pop3_in_shutdown(s->pop3->in, cause);
}

static bool pop3_is_idle(struct session *s)
{
	return pop3_in_idle(s->pop3->in);
}

static void pop3_auth_challenge(struct session *s, struct span bytes)
{
	pop3_in_auth_challenge(s->pop3->in, bytes);
}

static void pop3_auth_ok(struct session *s, struct span account, struct span final_data)
{
	pop3_in_auth_ok(s->pop3->in, account, final_data);
}

static void pop3_auth_fail(struct session *s, enum cause_id cause, const struct cause_facts *facts)
{
	pop3_in_auth_fail(s->pop3->in, cause, facts);
}

static void pop3_log_end(struct session *s)
{
	struct pop3_tally t = pop3_in_tally(s->pop3->in);

	log_span("account", pop3_in_account(s->pop3->in));
	log_num("messages", t.messages);
	log_num("retrieved", t.retrieved);
	log_num("deleted", t.deleted);
	log_num("bytes", t.retrieved_bytes);
}

const struct session_ops session_pop3_ops = {.service = "pop3", .begin = pop3_begin, .end = pop3_end, .feed = pop3_feed, .out = pop3_out, .sent = pop3_sent,
	.eof = pop3_eof, .tick = pop3_tick, .pump = pop3_pump, .deadline = pop3_deadline, .tls_done = pop3_tls_done, .tls_injected = pop3_tls_injected,
	.shutdown = pop3_shutdown, .is_idle = pop3_is_idle, .auth_challenge = pop3_auth_challenge, .auth_ok = pop3_auth_ok, .auth_fail = pop3_auth_fail,
	.log_end = pop3_log_end};
