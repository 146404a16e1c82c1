/* The store role: what became of rows of the queue, on its way into the database. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "role/role_store_bounce.h"
#include "role/role_store_queue.h"
#include "store/history.h"

enum { QUEUE_NOTIFY_SUCCESS = 2, QUEUE_NOTIFY_FAILURE = 4, QUEUE_NOTIFY_DELAY = 8 /* SMTP_NOTIFY_* */ };

struct retry_rules store_queue_rules(const struct store_queue_role *q)
{
	const struct conf *c = q->s->conf->conf;

	return (struct retry_rules){.first_ms = c->delivery_retry_first_ms, .most_ms = c->delivery_retry_most_ms, .expire_ms = c->delivery_expire_ms,
		.bounce_expire_ms = c->delivery_bounce_expire_ms, .hopeless_ms = c->delivery_hopeless_ms, .delay_notice_ms = c->delivery_delay_notice_ms};
}

/* ---- results wait for the turn */

void store_result_add(struct store_queue_role *q, struct store_result *r)
{
	r->next = NULL;
	*q->results_end = r;
	q->results_end = &r->next;
	q->result_count++;
	q->urgent |= r->kind != STORE_RESULT_REPORTED && r->kind != STORE_RESULT_DEST && r->kind != STORE_RESULT_END;
}

static struct span store_result_text(uint8_t **to, struct span text)
{
	struct span copy = span_of(*to, text.len);

	if (text.len)
		memcpy(*to, text.ptr, text.len);
	*to += text.len;
	return copy;
}

struct store_result *store_result_copy(enum store_result_kind kind, const struct rec_delivery *d, struct span dest)
{
	size_t bytes = d->enhanced.len + d->host.len + d->address.len + d->tls.len + d->words.len + dest.len;
	struct store_result *r = mem_alloc(sizeof(*r) + bytes);
	uint8_t *to = (uint8_t *)(r + 1);

	*r = (struct store_result){.kind = kind, .row = (int64_t)d->row, .outcome = (enum delivery_outcome)d->outcome, .d = *d};
	r->d.enhanced = store_result_text(&to, d->enhanced);
	r->d.host = store_result_text(&to, d->host);
	r->d.address = store_result_text(&to, d->address);
	r->d.tls = store_result_text(&to, d->tls);
	r->d.words = store_result_text(&to, d->words);
	r->dest = store_result_text(&to, dest);
	return r;
}

struct store_result *store_result_new(struct store_queue_role *q, enum store_result_kind kind, int64_t row)
{
	struct store_result *r = mem_zalloc(sizeof(*r));

	r->kind = kind;
	r->row = row;
	store_result_add(q, r);
	return r;
}

void store_queue_returns(struct store_queue_role *q, int64_t row)
{
	(void)store_result_new(q, STORE_RESULT_RETURNED, row);
}

void store_queue_left_over(struct store_queue_role *q)
{
	(void)store_result_new(q, STORE_RESULT_LEFT_OVER, 0);
}

/* ---- deciding */

bool store_queue_overdue(const struct store_row *row, const struct retry_rules *rules, int64_t now_ms)
{
	return now_ms - row->received_ms >= (int64_t)(row->sender.len ? rules->expire_ms : rules->bounce_expire_ms);
}

/* A sender who wants to hear of no failure hears of none. Who else gets a bounce, and who must not, is role_store_bounce's to say. */
enum store_settle store_queue_failure(unsigned notify)
{
	return notify == 0 || notify & QUEUE_NOTIFY_FAILURE ? STORE_SETTLE_FAILED : STORE_SETTLE_DROPPED;
}

bool store_queue_wants_delay(const struct store_row *row, const struct retry_rules *rules, int64_t now_ms)
{
	return rules->delay_notice_ms && row->sender.len && !row->notified && (row->notify == 0 || row->notify & QUEUE_NOTIFY_DELAY) &&
		now_ms - row->received_ms >= (int64_t)rules->delay_notice_ms;
}

static void store_decide_later(const struct store_queue_role *q, const struct store_row *row, const struct rec_delivery *d, struct store_attempt *a)
{
	struct retry_rules rules = store_queue_rules(q);
	struct retry_facts facts = {.attempts = row->attempts + 1, .received_ms = row->received_ms, .now_ms = a->now_ms, .again_ms = d->again_ms,
		.null_sender = row->sender.len == 0, .cause = a->cause, .sure = d->sure / 100.0, .code = d->code,
		/* the same for all recipients of a message, so that they go together again */
		.chance = (uint32_t)map_hash(&row->message, sizeof(row->message))};
	struct retry_verdict v;

	retry_decide(&rules, &facts, &v);
	a->next_ms = v.next_ms;
	if (v.give_up) {
		a->how = store_queue_failure(row->notify);
		a->expired = v.expired;
		return;
	}
	a->how = STORE_SETTLE_WAITS;
	a->delay_notice = store_queue_wants_delay(row, &rules, a->now_ms);
}

static struct store_attempt store_decide_result(const struct store_queue_role *q, const struct store_row *row, const struct store_result *r)
{
	const struct rec_delivery *d = &r->d;
	struct store_attempt a = {.cause = d->cause < CAUSE_COUNT ? (enum cause_id)d->cause : CAUSE_NONE, .code = d->code, .enhanced = d->enhanced, .host = d->host,
		.address = d->address, .tls = d->tls, .words = d->words, .now_ms = clock_wall_ms(), .counts = true};

	switch (r->outcome) {
	case DELIVERY_SENT:
		a.how = STORE_SETTLE_SENT;
		a.success_notice = row->notify & QUEUE_NOTIFY_SUCCESS && !d->dsn_passed && row->sender.len;
		break;
	case DELIVERY_REFUSED:
		a.how = store_queue_failure(row->notify);
		break;
	case DELIVERY_LATER:
		store_decide_later(q, row, d, &a);
		break;
	case DELIVERY_NOT_TRIED:
		a.how = STORE_SETTLE_WAITS;
		a.counts = false;
		/* a relay that cannot even try is not asked again at once */
		a.next_ms = a.now_ms + (int64_t)(d->again_ms > QUEUE_AGAIN_MS && d->again_ms < INT32_MAX ? d->again_ms : QUEUE_AGAIN_MS);
		break;
	}
	return a;
}

static void store_result_history(struct store_queue_role *q, const struct store_row *row, const struct store_result *r, const struct store_attempt *a)
{
	static const enum history_kind kinds[] = {[STORE_SETTLE_SENT] = HISTORY_DELIVERED, [STORE_SETTLE_WAITS] = HISTORY_DEFERRED,
		[STORE_SETTLE_FAILED] = HISTORY_FAILED,
		[STORE_SETTLE_DROPPED] = HISTORY_FAILED};

	if (!a->counts)
		return;
	store_role_history_queue(q->s, &(struct history_event){.kind = a->expired ? HISTORY_EXPIRED : kinds[a->how], .at_ms = a->now_ms,
		.message = (uint64_t)row->message,
		.code = a->code, .ms = r->d.ms, .next_ms = a->how == STORE_SETTLE_WAITS ? (uint64_t)a->next_ms : 0, .peer = a->address, .tls = a->tls, .helo = a->host,
		.sender = row->sender.len ? row->sender : SPAN_LIT("<>"), .rcpt = row->rcpt, .cause = span_str(cause_slug(a->cause)), .detail = a->words});
}

/* it was down, and answers: what waits for it may go */
static enum rc store_result_alive(struct store_queue_role *q, const struct store_row *row, const struct store_result *r, struct err *err)
{
	struct store_dest *d = store_lease_dest(q, row->dest);

	if (d->failures == 0 || (r->outcome != DELIVERY_SENT && r->outcome != DELIVERY_REFUSED))
		return RC_OK;
	d->failures = 0;
	store_lease_ring(q, d);
	return store_queue_block(q->s->store, row->dest, clock_wall_ms(), 0, CAUSE_NONE, SPAN_NONE, SPAN_NONE, err);
}

static enum rc store_write_reported(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	struct store *store = q->s->store;
	struct store_attempt a;
	struct store_row row;
	enum rc rc = store_queue_row(store, r->row, &q->mem, &row, err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc; /* removed by an administrator meanwhile */
	a = store_decide_result(q, &row, r);
	rc = store_queue_settle(store, &row, &a, err);
	if (rc == RC_OK)
		rc = store_result_alive(q, &row, r, err);
	if (rc != RC_OK)
		return rc;
	store_result_history(q, &row, r, &a);
	if (a.how == STORE_SETTLE_FAILED || a.delay_notice || a.success_notice || row.wish)
		store_bounces_soon(q->s);
	return RC_OK;
}

static enum rc store_write_returned(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	/* unless its relay came back meanwhile and said that it holds it */
	return map_get(&q->rows, (uint64_t)r->row) ? RC_OK : store_queue_unlease(q->s->store, &r->row, 1, err);
}

/* what could not be read of a row when a relay said that it holds it */
static enum rc store_out_learn(struct store_queue_role *q, struct store_out *o, struct err *err)
{
	struct store_out was = *o;
	struct store_row row;
	enum rc rc = store_queue_row(q->s->store, o->row, &q->mem, &row, err);

	if (rc != RC_OK)
		return rc;
	store_lease_in(q, o);
	(void)store_lease_out(q, was.relay, store_lease_dest(q, row.dest), was.row, row.message, was.lease);
	return RC_OK;
}

/* Of a row that is gone, or not to leave any more, its relay has nothing to say. What the relay has told of the row since then comes behind this. */
static enum rc store_write_held(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	struct store_out *o = map_get(&q->rows, (uint64_t)r->row);
	enum rc rc = store_queue_held(q->s->store, r->row, err);

	if (o && o->lease != r->d.lease)
		o = NULL;
	if (rc == RC_NONE && o)
		store_lease_in(q, o);
	else if (rc == RC_OK && o && !o->message)
		rc = store_out_learn(q, o, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_write_dest(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	struct store_dest *d = store_lease_dest(q, r->dest);
	struct retry_rules rules = store_queue_rules(q);
	int64_t now = clock_wall_ms();
	uint64_t wait = 0;
	enum rc rc;

	if (r->d.again_ms) {
		wait = retry_destination_ms(&rules, d->failures + 1, (uint32_t)rng_u64());
		wait = wait > r->d.again_ms ? wait : r->d.again_ms;
		wait = wait < rules.expire_ms ? wait : rules.expire_ms;
	}
	rc = store_queue_block(q->s->store, d->name, now, wait ? now + (int64_t)wait : 0, r->d.cause < CAUSE_COUNT ? (enum cause_id)r->d.cause : CAUSE_NONE, r->d.host,
		r->d.words, err);
	if (rc == RC_OK)
		rc = store_queue_failures(q->s->store, d->name, &d->failures, err);
	if (rc == RC_OK && !r->d.again_ms)
		store_lease_ring(q, d);
	return rc;
}

static enum rc store_write_left_over(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	(void)r;
	return store_queue_open(q->s->store, err);
}

static enum rc store_result_write(struct store_queue_role *q, const struct store_result *r, struct err *err)
{
	static enum rc (*const writers[STORE_RESULT_KINDS])(struct store_queue_role *, const struct store_result *, struct err *) = {
		[STORE_RESULT_REPORTED] = store_write_reported, [STORE_RESULT_RETURNED] = store_write_returned, [STORE_RESULT_HELD] = store_write_held,
		[STORE_RESULT_LEFT_OVER] = store_write_left_over, [STORE_RESULT_DEST] = store_write_dest};
	enum rc rc;

	if (!writers[r->kind])
		return RC_OK;
	rc = store_begin(q->s->store, err);
	return rc == RC_OK ? writers[r->kind](q, r, err) : rc;
}

static void store_results_later(struct store_queue_role *q)
{
	q->results_wait = q->results_wait * 2 > QUEUE_WRITE_AGAIN_MS ? q->results_wait * 2 : QUEUE_WRITE_AGAIN_MS;
	q->results_wait = q->results_wait < QUEUE_AGAIN_MS ? q->results_wait : QUEUE_AGAIN_MS;
	q->results_at = loop_now(q->s->role->loop) + q->results_wait;
	loop_timer_at(&q->due, q->results_at);
}

/* in the order in which they came; those that were written down wait for the commit */
void store_results_turn(struct store_queue_role *q)
{
	struct err err = {""};
	enum rc rc = RC_OK;

	if (q->results_at > loop_now(q->s->role->loop))
		return;
	while (q->results && (rc == RC_OK || rc == RC_BAD)) {
		struct store_result *r = q->results;

		rc = store_result_write(q, r, &err);
		if (rc == RC_BUSY)
			break;
		q->results = r->next; /* a row that is damaged is not tried again and again */
		q->result_count--;
		if (!q->results)
			q->results_end = &q->results;
		r->next = NULL;
		*q->applied_end = r;
		q->applied_end = &r->next;
		if (rc != RC_OK) /* where the transaction is lost, it all comes back */
			(void)store_role_judge(q->s, rc, "what became of mail", &err);
	}
	if (rc == RC_BUSY) {
		(void)store_role_judge(q->s, rc, "what became of mail", &err);
		store_results_later(q);
	}
}

void store_results_settle(struct store_queue_role *q, bool committed)
{
	if (!q->applied)
		return;
	if (!committed) {
		for (const struct store_result *r = q->applied; r; r = r->next)
			q->result_count++;
		*q->applied_end = q->results;
		q->results_end = q->results ? q->results_end : q->applied_end;
		q->results = q->applied;
		store_results_later(q);
	} else {
		q->results_wait = 0;
		for (struct store_result *r = q->applied, *next; r; r = next) {
			next = r->next;
			if (r->ends)
				r->ends->kept++;
			free(r);
		}
	}
	q->applied = NULL;
	q->applied_end = &q->applied;
	for (size_t i = 0; i < q->relay_count; i++) {
		struct store_relay *relay = q->relays[i];

		if (relay->kept)
			chan_send(relay->peer->chan, MSG_DELIVERIES_KEPT, &(struct msg_deliveries_kept){.frames = relay->kept});
		relay->kept = 0;
	}
}

static void store_results_free(struct store_result **list, struct store_result ***end)
{
	while (*list) {
		struct store_result *r = *list;

		*list = r->next;
		free(r);
	}
	*end = list;
}

void store_queue_free_results(struct store_queue_role *q)
{
	store_results_free(&q->results, &q->results_end);
	store_results_free(&q->applied, &q->applied_end);
}

/* that relay is told nothing more */
void store_queue_forget(struct store_queue_role *q, const struct store_relay *relay)
{
	struct store_result *lists[] = {q->results, q->applied};

	for (size_t i = 0; i < 2; i++)
		for (struct store_result *r = lists[i]; r; r = r->next)
			if (r->ends == relay)
				r->ends = NULL;
}
