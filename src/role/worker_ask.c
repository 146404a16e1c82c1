#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/session_filter.h"
#include "role/worker_abuse.h"

uint32_t worker_ask(struct session *s, enum role_id to, uint32_t engine_ask,
	void (*answer)(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg))
{
	struct worker *w = s->worker;
	struct question *q = mem_alloc(sizeof(*q));

	do
		w->next_ask++;
	while (w->next_ask == 0 || map_get(&w->questions, w->next_ask));
	*q = (struct question){.session = s, .next = s->questions, .prev = &s->questions, .to = to, .ask = w->next_ask, .engine_ask = engine_ask, .answer = answer};
	if (q->next)
		q->next->prev = &q->next;
	s->questions = q;
	(void)map_put(&w->questions, q->ask, q);
	return q->ask;
}

static void question_unlink(struct question *q)
{
	if (!q->session)
		return;
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->session = NULL;
}

struct question *worker_question_take(struct worker *w, uint32_t ask)
{
	return map_take(&w->questions, ask);
}

struct session *worker_question_session(struct worker *w, uint32_t ask, uint32_t *engine_ask_out)
{
	struct question *q = map_get(&w->questions, ask);

	if (!q)
		return NULL;
	*engine_ask_out = q->engine_ask;
	return q->session;
}

void worker_questions_drop(struct session *s)
{
	while (s->questions)
		question_unlink(s->questions); /* stays in the map so that its answer is recognised and dropped */
}

/* the answer that nobody waits for any more may hold a descriptor */
static void question_discard(enum msg_type type, const union msg_any *msg)
{
	for (size_t i = 0; msg && i < msg_fd_count(type); i++)
		(void)close(msg_fd(type, msg, i));
}

static void question_answer(struct question *q, enum msg_type type, const union msg_any *msg)
{
	struct session *s = q->session;

	question_unlink(q);
	if (s) {
		s->depth++;
		q->answer(s, q->engine_ask, type, msg);
		s->depth--;
		session_step(s);
	} else {
		question_discard(type, msg);
	}
	free(q);
}

void worker_questions_fail(struct worker *w, enum role_id to)
{
	uint64_t key;
	void *value;

	/* answering may ask anew (to nobody: the channel is gone), so start over after each */
	for (size_t at = 0; map_next(&w->questions, &at, &key, &value);) {
		struct question *q = value;

		if (q->to != to)
			continue;
		(void)map_take(&w->questions, key);
		question_answer(q, MSG_NONE, NULL);
		at = 0;
	}
}

static bool worker_answer_ask(enum msg_type type, const union msg_any *msg, uint32_t *ask_out)
{
	switch ((int)type) {
	case MSG_FILTER_IS:
		*ask_out = msg->filter_is.ask;
		return true;
	case MSG_SENDER_RESULT:
		*ask_out = msg->sender_result.ask;
		return true;
	case MSG_RELAY_IS:
		*ask_out = msg->relay_is.ask;
		return true;
	case MSG_RCPT_RESULT:
		*ask_out = msg->rcpt_result.ask;
		return true;
	case MSG_WHY_IS:
		*ask_out = msg->why_is.ask;
		return true;
	case MSG_HEADER_RULES:
		*ask_out = msg->header_rules.ask;
		return true;
	case MSG_SPOOL_LENT:
		*ask_out = msg->spool_lent.ask;
		return true;
	case MSG_SPOOL_REFUSED:
		*ask_out = msg->spool_refused.ask;
		return true;
	case MSG_ACCEPTED:
		*ask_out = msg->accepted.ask;
		return true;
	case MSG_MBOX_OPENED:
		*ask_out = msg->mbox_opened.ask;
		return true;
	case MSG_MAIL_BYTES:
		*ask_out = msg->mail_bytes.ask;
		return true;
	case MSG_MBOX_COMMITTED:
		*ask_out = msg->mbox_committed.ask;
		return true;
	default:
		return false;
	}
}

enum rc worker_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct worker *w = owner;
	struct question *q;
	uint32_t ask;

	(void)c;
	if (type == MSG_AUTH_CHALLENGE || type == MSG_AUTH_OK || type == MSG_AUTH_FAIL)
		return session_auth_on_frame(w, type, msg);
	if (type == MSG_ABUSE_ROWS || type == MSG_ABUSE_FORGET)
		return worker_abuse_on_frame(w, type, msg);
	if (type == MSG_MBOX_ITEMS)
		return session_pop3_on_part(w, type, msg);
	if (!worker_answer_ask(type, msg, &ask))
		return RC_BAD;
	if (type == MSG_FILTER_IS && !msg->filter_is.last) {
		struct session *s = worker_question_session(w, ask, &ask);

		return s ? session_filter_on_part(s, ask, msg) : RC_OK;
	}
	q = worker_question_take(w, ask);
	if (!q) {
		question_discard(type, msg);
		return RC_BAD; /* an answer to no question */
	}
	question_answer(q, type, msg);
	return RC_OK;
}
