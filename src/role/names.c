#include "role/names.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "role/dns_answer.h"

struct names_question {
	struct names *names;
	struct names_question *later, **earlier; /* in the order in which they came */
	names_answer *answer;
	void *arg;
	mono_ms by_ms;
	uint32_t ask;
	enum name_type type;
	unsigned sent; /* how often it was asked */
	char name[DNS_NAME_BYTES + 1];
	/* answered without asking anybody, once the call is over */
	struct loop_hook soon;
	enum name_status status;
	const char *words;
};

struct names {
	struct loop *loop;
	enum role_id self;
	struct chan *chan; /* NULL: there is no dns role just now */
	struct map open;   /* number -> struct names_question */
	struct names_question *first, **last; /* those that wait for the dns role */
	struct loop_timer timer;
	void (*lost)(void *arg, const struct chan *c);
	void *lost_arg;
	uint32_t next_ask;
	unsigned waiting;
};

/* ---- one question */

static void question_unlink(struct names_question *q)
{
	if (!q->earlier)
		return;
	*q->earlier = q->later;
	if (q->later)
		q->later->earlier = q->earlier;
	else
		q->names->last = q->earlier;
	q->earlier = NULL;
	q->names->waiting--;
}

static void question_free(struct names_question *q)
{
	question_unlink(q);
	loop_hook_remove(q->names->loop, &q->soon);
	(void)map_take(&q->names->open, q->ask);
	free(q);
}

static void question_fail(struct names_question *q, enum name_status status, const char *words)
{
	struct msg_name_is is = {.ask = q->ask, .status = (uint8_t)status, .words = span_str(words)};
	names_answer *answer = q->answer;
	void *arg = q->arg;

	question_free(q);
	answer(arg, &is);
}

static void question_soon(void *arg)
{
	struct names_question *q = arg;

	question_fail(q, q->status, q->words);
}

static void question_later(struct names_question *q, enum name_status status, const char *words)
{
	q->status = status;
	q->words = words;
	q->soon = (struct loop_hook){.fn = question_soon, .arg = q, .once = true};
	loop_soon(q->names->loop, &q->soon);
}

static void question_send(struct names_question *q)
{
	q->sent++;
	chan_send(q->names->chan, MSG_NAME_ASK, &(struct msg_name_ask){.ask = q->ask, .type = (uint16_t)q->type, .name = span_str(q->name)});
}

/* ---- the channel */

static bool names_is_sound(const struct msg_name_is *m)
{
	bool found = m->status == NAME_FOUND;

	return m->status >= NAME_FOUND && m->status <= NAME_BOGUS && m->security <= NAME_SECURE && (found ? m->rrs.count > 0 : m->rrs.count == 0);
}

static enum rc names_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct names *n = owner;
	struct names_question *q;
	names_answer *answer;
	void *arg;

	(void)c;
	if (type != MSG_NAME_IS || !names_is_sound(&msg->name_is))
		return RC_BAD;
	q = map_get(&n->open, msg->name_is.ask);
	if (!q || !q->earlier)
		return RC_OK; /* cancelled meanwhile, or out of time */
	answer = q->answer;
	arg = q->arg;
	question_free(q);
	answer(arg, &msg->name_is);
	return RC_OK;
}

/* those that two of them were asked are not asked a third time: it may be they that end it */
static void names_fail_asked_twice(struct names *n)
{
	for (struct names_question *q = n->first, *next; q; q = next) {
		next = q->later;
		if (q->sent < 2)
			continue;
		question_unlink(q);
		question_later(q, NAME_FAILED, "the dns role has ended twice while it was asked");
	}
}

static void names_gone(void *owner, struct chan *c, const char *why)
{
	struct names *n = owner;

	(void)why;
	if (n->lost)
		n->lost(n->lost_arg, c);
	chan_free(&n->chan);
	names_fail_asked_twice(n);
}

void names_peer(struct names *n, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = names_frame, .on_gone = names_gone};

	if (n->chan) { /* the new one is there before the old one's end was seen */
		chan_free(&n->chan);
		names_fail_asked_twice(n);
	}
	n->chan = chan_new(n->loop, fd, n->self, ROLE_DNS, worker, &ops, n);
	for (struct names_question *q = n->first; q; q = q->later)
		question_send(q);
}

static void names_on_time(void *arg, mono_ms now)
{
	struct names *n = arg;

	while (n->first && n->first->by_ms <= now)
		question_fail(n->first, NAME_FAILED, n->chan ? "no answer in time" : "there is no dns role");
	loop_timer_at(&n->timer, n->first ? n->first->by_ms : MONO_NEVER);
}

/* ---- asking */

uint32_t names_ask(struct names *n, enum name_type type, struct span name, names_answer *answer, void *arg)
{
	struct names_question *q = mem_zalloc(sizeof(*q));

	do
		n->next_ask++;
	while (n->next_ask == 0 || map_get(&n->open, n->next_ask));
	*q = (struct names_question){.names = n, .answer = answer, .arg = arg, .type = type, .ask = n->next_ask, .by_ms = loop_now(n->loop) + NAMES_WAIT_MS};
	(void)map_put(&n->open, q->ask, q);
	if (!dns_name_clean(name, q->name)) {
		question_later(q, NAME_UNKNOWN, "this cannot be a name in the DNS");
	} else if (n->waiting >= NAMES_OPEN_MAX) {
		question_later(q, NAME_FAILED, "too many questions are open");
	} else {
		q->earlier = n->last;
		*n->last = q;
		n->last = &q->later;
		n->waiting++;
		if (n->first == q)
			loop_timer_at(&n->timer, q->by_ms);
		if (n->chan)
			question_send(q);
	}
	return q->ask;
}

void names_cancel(struct names *n, uint32_t question)
{
	struct names_question *q = map_get(&n->open, question);

	if (q)
		question_free(q);
}

/* ---- life */

struct names *names_new(struct loop *loop, enum role_id self)
{
	struct names *n = mem_zalloc(sizeof(*n));

	n->loop = loop;
	n->self = self;
	n->last = &n->first;
	map_init(&n->open);
	loop_timer_init(loop, &n->timer, names_on_time, n);
	return n;
}

void names_on_lost(struct names *n, void (*lost)(void *arg, const struct chan *c), void *arg)
{
	n->lost = lost;
	n->lost_arg = arg;
}

void names_free(struct names **np)
{
	struct names *n = *np;
	uint64_t key;
	void *value;

	if (!n)
		return;
	for (size_t at = 0; map_next(&n->open, &at, &key, &value);)
		question_free(value);
	map_clear(&n->open);
	loop_timer_clear(&n->timer);
	chan_free(&n->chan);
	free(n);
	*np = NULL;
}
