/* The store role: what was refused to the account of a session, for that account alone. Three things are its owner's to know: sign-ins to
 * the account that failed, whoever tried (with the true cause and the address it came from); commands refused to sessions that stood for
 * the account; and what was refused before the sign-in to the asker's own connection, or to one from the asker's address that named the
 * account as sender, as a mail program does that does not sign in. How much of the history one question reads is bounded, so that asking
 * costs the store a few milliseconds at most. */
#include "base/limits.h"
#include "mail/address.h"
#include "role/role_store.h"
#include "store/history.h"

enum {
	WHY_BLOCKS = 4096,
	WHY_BYTES = 2 << 20,
	WHY_STRANGERS_BYTES = 512 << 10, /* others' floods are there */
	WHY_BACK_MS = 24 * 3600 * 1000,
	WHY_CLASS_EVENTS = 100, /* looked at in one class; more than can be asked for, as a consequence needs its reason */
	WHY_EVENTS = WHY_CLASS_EVENTS * HISTORY_CLASS_COUNT,
	WHY_MEMORY_BYTES = 512 << 10,
	WHY_DETAIL_BYTES = 256,
	WHY_WORD_BYTES = 64,
	WHY_SLUG_BYTES = 32,
};

enum why_whose {
	WHY_NOBODYS,
	WHY_OWN,
	WHY_NAMED,
	WHY_PERHAPS /* from the asker's address; theirs if another event of its session is WHY_NAMED */
};

struct why_found {
	struct rec_why_event event;
	uint64_t at; /* decides between equal times */
	enum why_whose whose;
	bool sign_in;
};

struct why_asking {
	const struct store_grant *grant;
	struct span peer;
	struct arena mem;
	struct why_found found[WHY_EVENTS];
	uint32_t count, class_count;
};

static enum why_whose why_whose(const struct why_asking *q, const struct history_event *e)
{
	if (e->account.len)
		return address_text_same(e->account, q->grant->address) ? WHY_OWN : WHY_NOBODYS;
	if (e->kind != HISTORY_REFUSED)
		return WHY_NOBODYS;
	if (e->session == q->grant->session)
		return WHY_OWN;
	if (q->peer.len == 0 || !span_eq(e->peer, q->peer))
		return WHY_NOBODYS;
	return address_text_same(e->sender, q->grant->address) ? WHY_NAMED : WHY_PERHAPS;
}

/* sign-ins are reported without the code that was said, POP3 has none */
static unsigned why_code(const struct history_event *e)
{
	enum cause_id cause = cause_by_slug(e->shown.len ? e->shown : e->cause);

	return e->code ? (unsigned)e->code : cause == CAUSE_NONE ? 0 : cause_code(cause, CAUSE_SMTP_AUTH);
}

/* Whom somebody wrote to who only said to be the account, is not told. */
static void why_write_detail(struct buf *out, const struct history_event *e, enum why_whose whose)
{
	if (e->kind == HISTORY_SIGNIN_FAILED) {
		buf_add_str(out, "from ");
		buf_add(out, e->peer);
	} else if (whose == WHY_OWN) {
		buf_add(out, e->rcpt);
	}
	if (out->len && e->detail.len)
		buf_add_str(out, ": ");
	if (whose == WHY_OWN)
		buf_add(out, e->detail);
}

static struct span why_keep(struct why_asking *q, struct span text, size_t most)
{
	return arena_copy(&q->mem, span_head(text, most));
}

static enum rc why_take(void *arg, const struct history_event *e, uint64_t at)
{
	struct why_asking *q = arg;
	enum why_whose whose = why_whose(q, e);
	struct buf detail;

	if (!e->cause.len || whose == WHY_NOBODYS)
		return RC_OK;
	buf_init(&detail, HISTORY_TEXT_BYTES * 3);
	why_write_detail(&detail, e, whose);
	q->found[q->count++] = (struct why_found){
		.at = at,
		.whose = whose,
		.sign_in = e->kind == HISTORY_SIGNIN_FAILED,
		.event = {.at_ms = (uint64_t)e->at_ms,
			  .session = e->session,
			  .code = (uint16_t)why_code(e),
			  .slug = why_keep(q, e->cause, WHY_SLUG_BYTES),
			  .detail = why_keep(q, buf_span(&detail), WHY_DETAIL_BYTES),
			  .command = e->kind == HISTORY_SIGNIN_FAILED ? SPAN_LIT("AUTH") : why_keep(q, e->command, WHY_SLUG_BYTES),
			  .limit = why_keep(q, e->limit, WHY_WORD_BYTES),
			  .retry = why_keep(q, e->retry, WHY_WORD_BYTES)}};
	buf_clear(&detail);
	return ++q->class_count == WHY_CLASS_EVENTS ? RC_EXISTS : RC_OK;
}

/* newest first */
static int why_compare(const void *a, const void *b)
{
	const struct why_found *x = a, *y = b;

	if (x->event.at_ms != y->event.at_ms)
		return x->event.at_ms < y->event.at_ms ? 1 : -1;
	return x->at < y->at ? 1 : x->at > y->at ? -1 : 0;
}

static bool why_is_theirs(const struct why_asking *q, const struct why_found *f)
{
	if (f->whose != WHY_PERHAPS)
		return true;
	for (uint32_t i = 0; i < q->count; i++)
		if (q->found[i].whose == WHY_NAMED && q->found[i].event.session == f->event.session)
			return true;
	return false;
}

/* Is `before`, earlier in the same session, why `e` was refused? A command out of order follows a refusal, "sign in first" a sign-in that
 * failed. */
static bool why_is_reason(const struct rec_why_event *e, const struct why_found *before)
{
	enum cause_id cause = cause_by_slug(e->slug), reason = cause_by_slug(before->event.slug);

	if (cause == CAUSE_NONE || reason == CAUSE_NONE)
		return false;
	if (cause == CAUSE_AUTH_REQUIRED || cause == CAUSE_RELAY_DENIED_UNAUTH)
		return before->sign_in;
	return cause_get(cause)->consequence && !cause_get(reason)->consequence;
}

/* the first thing that went wrong stands for what followed from it; why a sign-in failed is found out later than what follows from it */
static void why_find_reason(struct why_asking *q, uint32_t at)
{
	struct rec_why_event *e = &q->found[at].event;

	for (uint32_t n = 1; n < q->count; n++) {
		uint32_t i = (at + n) % q->count;
		const struct rec_why_event *before = &q->found[i].event;

		if (i < at && !q->found[i].sign_in)
			continue;
		if (before->session != e->session || !why_is_theirs(q, &q->found[i]) || !why_is_reason(e, &q->found[i]))
			continue;
		e->slug = before->slug;
		e->detail = before->detail;
		e->limit = before->limit;
		e->retry = before->retry;
	}
}

static enum rc why_ask(struct why_asking *q, struct history *h, struct err *err)
{
	const struct history_filter filter = {.since_ms = clock_wall_ms() - WHY_BACK_MS,
					      .kinds = 1U << HISTORY_SIGNIN_FAILED | 1U << HISTORY_REFUSED};
	enum rc rc = RC_OK;

	for (int c = 0; c < HISTORY_CLASS_COUNT && rc == RC_OK; c++) {
		struct history_bounds most = {.blocks = WHY_BLOCKS, .bytes = c == HISTORY_STRANGERS ? WHY_STRANGERS_BYTES : WHY_BYTES};

		q->class_count = 0;
		rc = history_query_recent(h, (enum history_class)c, &filter, &most, why_take, q, err);
		if (rc == RC_EXISTS)
			rc = RC_OK;
	}
	qsort(q->found, q->count, sizeof(q->found[0]), why_compare);
	return rc;
}

static void why_say(struct store_peer *p, struct why_asking *q, const struct msg_why *m)
{
	struct msg_why_is answer = {.ask = m->ask};
	struct buf list;

	buf_init(&list, WHY_MEMORY_BYTES);
	for (uint32_t i = 0; i < q->count && answer.events.count < m->max; i++) {
		if (!why_is_theirs(q, &q->found[i]))
			continue;
		why_find_reason(q, i);
		rec_why_event_add(&list, &q->found[i].event);
		answer.events.count++;
	}
	answer.events.raw = buf_span(&list);
	chan_send(p->chan, MSG_WHY_IS, &answer);
	buf_clear(&list);
}

enum rc store_role_why(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_why *m = &msg->why;
	const struct store_grant *g = map_get(&p->grants, m->session);
	struct msg_why_is refusal = {.ask = m->ask, .cause = CAUSE_SERVER_TEMP_ERROR};
	struct err err = {""};
	struct why_asking *q;
	struct history *h;

	if (m->max == 0 || m->max > LIMIT_WHY_EVENTS)
		return RC_BAD;
	if (g && g->revoked)
		refusal.cause = CAUSE_AUTH_REVOKED;
	/* a relay window lets people send; only who signed in may read what was refused */
	h = g && g->by == POLICY_BY_SIGN_IN && !g->revoked ? store_role_history_read(p->role) : NULL;
	if (!h) {
		chan_send(p->chan, MSG_WHY_IS, &refusal);
		return RC_OK;
	}
	q = mem_zalloc(sizeof(*q));
	q->grant = g;
	q->peer = m->peer;
	arena_init(&q->mem, WHY_MEMORY_BYTES);
	if (why_ask(q, h, &err) == RC_OK)
		why_say(p, q, m);
	else
		chan_send(p->chan, MSG_WHY_IS, &refusal);
	arena_clear(&q->mem);
	free(q);
	return RC_OK;
}
