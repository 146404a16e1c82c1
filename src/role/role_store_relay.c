/* The store role: relays that come and go, and what the clock brings: destinations that are due, mail that gets old, an administrator's hand. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "role/role_store_bounce.h"
#include "role/role_store_queue.h"
#include "store/history.h"

enum { QUEUE_MEM_BYTES = 256 << 20, QUEUE_NOTES_BYTES = 1 << 20, QUEUE_LEAST_TRIES = 3 /* before age alone ends a message: see policy/retry.h */ };

static mono_ms queue_now(const struct store_queue_role *q)
{
	return loop_now(q->s->role->loop);
}

/* ---- relays */

void store_role_queue_join(struct store_peer *p)
{
	struct store_queue_role *q = p->role->queue;
	struct store_relay *r;

	if (!q || q->relay_count == sizeof(q->relays) / sizeof(q->relays[0])) /* its frames are refused, and the parent sees it fail */
		return;
	r = mem_zalloc(sizeof(*r));
	*r = (struct store_relay){.peer = p, .early = !q->started, .heard_ms = clock_mono_ms()};
	map_init(&r->messages);
	q->relays[q->relay_count++] = r;
	p->relay = r;
}

/* what it held waits again */
void store_role_queue_leave(struct store_peer *p)
{
	struct store_queue_role *q = p->role->queue;
	struct store_relay *r = p->relay;
	size_t at = 0, n = 0;
	uint64_t row;
	void *value;

	if (!r || !q)
		return;
	while (map_next(&q->rows, &at, &row, &value)) {
		struct store_out *o = value;

		if (o->relay != r)
			continue;
		store_queue_returns(q, o->row);
		store_lease_in(q, o);
	}
	store_lease_disown(q, r); /* where another one holds rows, too */
	store_queue_forget(q, r);
	for (size_t i = 0; i < q->relay_count; i++)
		if (q->relays[i] != r)
			q->relays[n++] = q->relays[i];
	q->relay_count = n;
	p->relay = NULL;
	map_clear(&r->messages);
	free(r);
	loop_soon(q->s->role->loop, &q->again);
}

static void queue_drop_quiet(struct store_queue_role *q)
{
	for (size_t i = 0; i < q->relay_count; i++) {
		struct store_peer *p = q->relays[i]->peer;

		if (q->relays[i]->heard_ms + QUEUE_QUIET_MS > queue_now(q))
			continue;
		store_role_drop(p, "said nothing for too long");
		return; /* the next one at the next tick */
	}
}

/* ---- an administrator's hand */

static void queue_notes(struct store_queue_role *q)
{
	static const enum history_kind kinds[] = {[STORE_QUEUE_RETRY] = HISTORY_RETRIED, [STORE_QUEUE_HOLD] = HISTORY_HELD,
		[STORE_QUEUE_RELEASE] = HISTORY_RELEASED,
		[STORE_QUEUE_REMOVE] = HISTORY_REMOVED, [STORE_QUEUE_BOUNCE] = HISTORY_FAILED};
	struct store_queue_note notes[QUEUE_NOTES];
	struct err err = {""};
	struct arena mem;
	size_t n = 0;
	enum rc rc;

	arena_init(&mem, QUEUE_NOTES_BYTES);
	rc = store_queue_notes(q->s->store, &mem, notes, QUEUE_NOTES, &n, &err);
	if (rc != RC_OK)
		(void)store_role_judge(q->s, rc, "what an administrator did", &err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		store_role_history_queue(q->s, &(struct history_event){.kind = kinds[notes[i].act], .at_ms = notes[i].at_ms, .message = (uint64_t)notes[i].message,
			.rcpt = notes[i].rcpt, .detail = SPAN_LIT("by an administrator")});
	if (n)
		store_bounces_soon(q->s);
	if (n == QUEUE_NOTES)
		q->data_version = -1; /* again at the next tick */
	arena_clear(&mem);
}

static void queue_on_tick(void *arg, mono_ms now)
{
	struct store_queue_role *q = arg;
	struct err err = {""};
	int64_t version = 0;
	enum rc rc;

	loop_timer_at(&q->tick, now + QUEUE_TICK_MS);
	if (!q->s->store)
		return;
	rc = store_data_version(q->s->store, &version, &err);
	if (rc != RC_OK) {
		(void)store_role_judge(q->s, rc, "looking for changes", &err);
	} else if (version != q->data_version) {
		q->data_version = version;
		q->looking = true;
		queue_notes(q);
	}
	queue_drop_quiet(q);
}

/* ---- mail that gets old behind a destination that is down */

static void queue_old_history(struct store_queue_role *q, const struct store_old *old, int64_t now)
{
	store_role_history_queue(q->s, &(struct history_event){.kind = HISTORY_EXPIRED, .at_ms = now, .message = (uint64_t)old->row.message,
		.sender = old->row.sender.len ? old->row.sender : SPAN_LIT("<>"), .rcpt = old->row.rcpt,
			.detail = SPAN_LIT("nothing could be delivered there in all that time")});
}

static enum rc queue_age_one(struct store_queue_role *q, const struct store_old *old, bool delayed, int64_t now, struct err *err)
{
	struct retry_rules rules = store_queue_rules(q);
	enum store_settle how = delayed ? STORE_SETTLE_WAITS : store_queue_failure(old->row.notify);
	bool due = delayed ? store_queue_wants_delay(&old->row, &rules, now) : store_queue_overdue(&old->row, &rules, now) &&
		old->row.attempts + old->failures >= QUEUE_LEAST_TRIES;
	enum rc rc;

	if (!due)
		return RC_OK;
	rc = store_queue_settle_old(q->s->store, old, how, now, err);
	if (rc == RC_OK && !delayed)
		queue_old_history(q, old, now);
	if (rc == RC_OK)
		store_bounces_soon(q->s);
	return rc;
}

static enum rc queue_age_page(struct store_queue_role *q, bool delayed, int64_t before, int64_t *after, struct err *err)
{
	struct store_old old[QUEUE_AGE_ROWS];
	int64_t now = clock_wall_ms();
	struct arena mem;
	size_t n = 0;
	enum rc rc;

	arena_init(&mem, QUEUE_NOTES_BYTES);
	rc = store_begin(q->s->store, err);
	if (rc == RC_OK)
		rc = store_queue_old(q->s->store, before, delayed, after, &mem, old, QUEUE_AGE_ROWS, &n, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = queue_age_one(q, &old[i], delayed, now, err);
	arena_clear(&mem);
	return rc;
}

static uint64_t queue_least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* a page a turn, until the end; then a while nothing */
static void queue_on_age(void *arg, mono_ms now)
{
	struct store_queue_role *q = arg;
	struct retry_rules rules = store_queue_rules(q);
	uint64_t expire = queue_least(rules.expire_ms, rules.bounce_expire_ms), wait = queue_least(QUEUE_AGE_MS, expire / 20);
	int64_t wall = clock_wall_ms();
	struct err err = {""};
	enum rc rc;

	if (!q->s->store)
		return;
	q->urgent = true;
	store_role_turn(q->s);
	if (q->results) { /* a row may look as if it waited that a relay has */
		loop_timer_at(&q->age, now + QUEUE_AGE_LEAST_MS);
		return;
	}
	rc = queue_age_page(q, false, wall - (int64_t)expire, &q->expire_after, &err);
	if (rc == RC_OK && rules.delay_notice_ms) {
		wait = queue_least(wait, rules.delay_notice_ms / 4);
		rc = queue_age_page(q, true, wall - (int64_t)rules.delay_notice_ms, &q->delay_after, &err);
	}
	if (rc != RC_OK)
		(void)store_role_judge(q->s, rc, "old mail", &err);
	if (rc == RC_OK && (q->expire_after || q->delay_after))
		wait = QUEUE_AGE_STEP_MS;
	else if (wait < QUEUE_AGE_LEAST_MS)
		wait = QUEUE_AGE_LEAST_MS;
	loop_timer_at(&q->age, now + wait);
}

/* ---- start and end */

static void queue_on_due(void *arg, mono_ms now)
{
	(void)now;
	((struct store_queue_role *)arg)->looking = true; /* the turn that this makes looks */
}

/* the turn that this makes writes down what was gathered */
static void queue_on_gather(void *arg, mono_ms now)
{
	(void)arg;
	(void)now;
}

static void queue_on_again(void *arg)
{
	(void)arg; /* what is left goes on in the commit hook of the turn that this makes happen */
}

enum rc store_role_queue_open(struct store_role *s, struct err *err)
{
	struct store_queue_role *q = mem_zalloc(sizeof(*q));
	enum rc rc;

	q->s = s;
	q->looking = true;
	q->ring_end = &q->ring;
	q->results_end = &q->results;
	q->applied_end = &q->applied;
	q->sending_end = &q->sending;
	q->next_lease = rng_u64() >> 1; /* leases of the store before are other ones */
	map_init(&q->rows);
	map_init(&q->dests);
	arena_init(&q->mem, QUEUE_MEM_BYTES);
	q->again = (struct loop_hook){.fn = queue_on_again, .arg = q};
	loop_timer_init(s->role->loop, &q->due, queue_on_due, q);
	loop_timer_init(s->role->loop, &q->tick, queue_on_tick, q);
	loop_timer_init(s->role->loop, &q->age, queue_on_age, q);
	loop_timer_init(s->role->loop, &q->gather, queue_on_gather, q);
	s->queue = q;
	rc = store_queue_open(s->store, err);
	if (rc != RC_FULL && rc != RC_BUSY)
		return rc;
	/* mail can be read all the same; nothing is leased until it is written down */
	(void)store_role_judge(s, rc, "what was on its way", err);
	store_queue_left_over(q);
	return RC_OK;
}

void store_role_start(struct role *r)
{
	struct store_role *s = r->own;
	struct store_queue_role *q = s ? s->queue : NULL;

	if (!q || q->started)
		return;
	q->started = true;
	q->held_until = clock_mono_ms() + QUEUE_HELD_MS;
	loop_timer_at(&q->due, q->held_until);
	loop_timer_at(&q->age, clock_mono_ms() + QUEUE_AGE_LEAST_MS);
	loop_timer_at(&q->tick, clock_mono_ms() + QUEUE_TICK_MS);
}

void store_role_queue_close(struct store_role *s)
{
	struct store_queue_role *q = s->queue;

	if (!q)
		return;
	s->queue = NULL;
	loop_timer_clear(&q->due);
	loop_timer_clear(&q->tick);
	loop_timer_clear(&q->age);
	loop_timer_clear(&q->gather);
	loop_hook_remove(s->role->loop, &q->again);
	store_lease_free(q);
	store_queue_free_results(q);
	for (size_t i = 0; i < q->relay_count; i++) {
		q->relays[i]->peer->relay = NULL;
		map_clear(&q->relays[i]->messages);
		free(q->relays[i]);
	}
	arena_clear(&q->mem);
	free(q);
}
