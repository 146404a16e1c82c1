/* The store role: rows of the queue on their way to relays. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "role/role_store_bounce.h"
#include "role/role_store_queue.h"
#include "store/history.h"

/* ---- destinations that are known here */

struct store_dest *store_lease_dest_known(const struct store_queue_role *q, struct span name)
{
	struct store_dest *d = map_get(&q->dests, map_hash(name.ptr, name.len));

	while (d && !span_eq(d->name, name))
		d = d->chain;
	return d;
}

struct store_dest *store_lease_dest(struct store_queue_role *q, struct span name)
{
	uint64_t hash = map_hash(name.ptr, name.len);
	struct store_dest *first = map_get(&q->dests, hash), *d = store_lease_dest_known(q, name);

	if (d)
		return d;
	d = mem_alloc(sizeof(*d) + name.len);
	*d = (struct store_dest){.name = span_of(d + 1, name.len), .hash = hash, .window = QUEUE_WINDOW, .chain = first, .all_next = q->all, .all_prev = &q->all};
	memcpy(d + 1, name.ptr, name.len);
	if (q->all)
		q->all->all_prev = &d->all_next;
	q->all = d;
	q->dest_count++;
	(void)map_put(&q->dests, hash, d);
	return d;
}

static void store_dest_unring(struct store_queue_role *q, struct store_dest *d)
{
	if (!d->ringed)
		return;
	*d->ring_prev = d->ring_next;
	if (d->ring_next)
		d->ring_next->ring_prev = d->ring_prev;
	else
		q->ring_end = d->ring_prev;
	d->ringed = false;
}

static void store_dest_more(struct store_queue_role *q, struct store_dest *d, bool more)
{
	q->more_count += more - d->more;
	d->more = more;
	if (!more)
		store_dest_unring(q, d);
}

static void store_dest_free(struct store_queue_role *q, struct store_dest *d)
{
	struct store_dest *first = map_get(&q->dests, d->hash);

	store_dest_more(q, d, false);
	if (first == d && d->chain)
		(void)map_put(&q->dests, d->hash, d->chain);
	else if (first == d)
		(void)map_take(&q->dests, d->hash);
	for (; first && first != d; first = first->chain)
		if (first->chain == d)
			first->chain = d->chain;
	*d->all_prev = d->all_next;
	if (d->all_next)
		d->all_next->all_prev = d->all_prev;
	q->dest_count--;
	free(d);
}

/* how it behaved is only worth so much memory */
static void store_dest_forget_idle(struct store_queue_role *q)
{
	if (q->dest_count <= QUEUE_IDLE_DESTS + q->rows.count + q->more_count)
		return;
	for (struct store_dest *d = q->all, *next; d; d = next) {
		next = d->all_next;
		if (d->out == 0 && !d->more)
			store_dest_free(q, d);
	}
}

static uint32_t store_dest_room(const struct store_dest *d)
{
	uint32_t window = d->failures ? 1 : d->window;

	return window > d->out ? window - d->out : 0;
}

bool store_lease_is_short(const struct store_dest *d)
{
	return d->more && store_dest_room(d) > d->out;
}

void store_lease_ring(struct store_queue_role *q, struct store_dest *d)
{
	if (!d->more || d->ringed || store_dest_room(d) == 0)
		return;
	d->ring_next = NULL;
	d->ring_prev = q->ring_end;
	*q->ring_end = d;
	q->ring_end = &d->ring_next;
	d->ringed = true;
}

/* ---- rows that are out */

static uintptr_t store_message_out(const struct store_relay *r, int64_t message)
{
	return (uintptr_t)map_get(&r->messages, (uint64_t)message);
}

static void store_message_count(struct store_relay *r, int64_t message, bool out)
{
	uintptr_t n = store_message_out(r, message) + (out ? 1 : (uintptr_t)-1);

	if (n)
		(void)map_put(&r->messages, (uint64_t)message, (void *)n);
	else
		(void)map_take(&r->messages, (uint64_t)message);
}

struct store_out *store_lease_out(struct store_queue_role *q, struct store_relay *relay, struct store_dest *d, int64_t row, int64_t message, uint64_t lease)
{
	struct store_out *o = mem_alloc(sizeof(*o));

	*o = (struct store_out){.row = row, .message = message, .lease = lease, .relay = relay, .dest = d};
	(void)map_put(&q->rows, (uint64_t)row, o);
	store_message_count(relay, message, true);
	relay->out++;
	d->out++;
	if (!d->owner) /* two may say that they hold rows of it */
		d->owner = relay;
	if (store_dest_room(d) == 0)
		store_dest_unring(q, d);
	return o;
}

void store_lease_in(struct store_queue_role *q, struct store_out *o)
{
	struct store_dest *d = o->dest;

	(void)map_take(&q->rows, (uint64_t)o->row);
	store_message_count(o->relay, o->message, false);
	o->relay->out--;
	if (--d->out == 0)
		d->owner = NULL;
	store_lease_ring(q, d);
	free(o);
}

void store_lease_disown(struct store_queue_role *q, const struct store_relay *relay)
{
	for (struct store_dest *d = q->all; d; d = d->all_next)
		if (d->owner == relay)
			d->owner = NULL;
}

/* ---- what is due */

static void store_lease_timer(struct store_queue_role *q, int64_t now_ms, int64_t next_ms)
{
	int64_t wait = next_ms - now_ms;

	if (wait < QUEUE_STEP_MS)
		wait = QUEUE_STEP_MS;
	/* the wall clock may be set meanwhile */
	loop_timer_at(&q->due, loop_now(q->s->role->loop) + (uint64_t)(wait < QUEUE_LOOK_MS ? wait : QUEUE_LOOK_MS));
}

void store_lease_timer_again(struct store_queue_role *q)
{
	store_lease_timer(q, 0, QUEUE_AGAIN_MS);
}

void store_lease_down(struct store_queue_role *q, struct store_dest *d)
{
	store_dest_more(q, d, false);
}

void store_lease_look(struct store_queue_role *q)
{
	size_t max = q->more_count + QUEUE_DUE_PAGE, n = 0;
	struct store_due *due = arena_alloc(&q->mem, max * sizeof(*due));
	int64_t now = q->now_ms, next = INT64_MAX;
	struct err err = {""};
	enum rc rc = due ? store_queue_due(q->s->store, now, &q->mem, due, max, &n, &next, &err) : err_set(&err, RC_LIMIT, "no room for %zu destinations", max);

	q->looking = false;
	if (rc != RC_OK) {
		(void)store_role_judge(q->s, rc, "looking into the queue", &err);
		store_lease_timer_again(q);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct store_dest *d = store_lease_dest(q, due[i].dest);

		d->failures = due[i].failures;
		store_dest_more(q, d, true);
		store_lease_ring(q, d);
	}
	q->looking = n == max; /* there are more */
	store_lease_timer(q, now, next == INT64_MAX ? now + QUEUE_LOOK_MS : next);
	store_dest_forget_idle(q);
}

/* ---- giving out */

static bool store_relay_takes(const struct store_relay *r)
{
	return r->told && r->room > 0;
}

static uint32_t store_relay_room(const struct store_relay *r)
{
	return store_relay_takes(r) && r->room > r->out && chan_unsent_bytes(r->peer->chan) < QUEUE_UNSENT_BYTES ? r->room - r->out : 0;
}

/* the same relay for a destination, as long as the relays are the same */
static struct store_relay *store_relay_for(const struct store_queue_role *q, const struct store_dest *d)
{
	size_t n = 0, pick;

	if (d->owner)
		return d->owner;
	for (size_t i = 0; i < q->relay_count; i++)
		n += store_relay_takes(q->relays[i]);
	if (n == 0)
		return NULL;
	pick = (size_t)(d->hash % n);
	for (size_t i = 0; i < q->relay_count; i++)
		if (store_relay_takes(q->relays[i]) && pick-- == 0)
			return q->relays[i];
	return NULL;
}

struct store_giving {
	struct store_queue_role *q;
	struct store_relay *relay;
	struct store_dest *dest;
	size_t local;
};

static void store_give_history(struct store_queue_role *q, const struct store_lease *l)
{
	store_role_history_queue(q->s, &(struct history_event){.kind = l->local_cause == CAUSE_NONE ? HISTORY_DELIVERED : HISTORY_FAILED, .at_ms = clock_wall_ms(),
		.message = (uint64_t)l->message, .sender = l->sender.len ? l->sender : SPAN_LIT("<>"), .rcpt = l->rows[0].address,
		.cause = span_str(cause_slug(l->local_cause)), .detail = SPAN_LIT("its domain is hosted here now")});
	if (l->local_cause != CAUSE_NONE)
		store_bounces_soon(q->s);
}

static int64_t store_give_expires(const struct store_queue_role *q, const struct store_lease *l)
{
	struct retry_rules rules = store_queue_rules(q);

	return l->received_ms + (int64_t)(l->sender.len ? rules.expire_ms : rules.bounce_expire_ms);
}

static enum rc store_give(void *arg, const struct store_lease *l)
{
	struct store_giving *g = arg;
	struct store_queue_role *q = g->q;
	struct store_sending *s;

	if (l->local) {
		g->local++;
		store_give_history(q, l);
		return RC_OK;
	}
	s = mem_zalloc(sizeof(*s));
	s->relay = g->relay;
	s->rows = mem_array(l->row_count, sizeof(*s->rows));
	buf_init(&s->rcpts, l->row_count * 2048);
	s->msg = (struct msg_lease){.lease = q->next_lease++, .message = (uint64_t)l->message, .bytes = l->bytes, .head_bytes = l->head_bytes,
		.received_ms = (uint64_t)l->received_ms, .expires_ms = (uint64_t)store_give_expires(q, l), .probe = g->dest->failures > 0, .smtputf8 = l->smtputf8,
		.body_8bit = l->body_8bit, .body_binary = l->body_binary, .requiretls = l->requiretls, .ret = (uint8_t)l->ret, .origin = (uint8_t)l->origin,
		.dest = g->dest->name, .sender = l->sender, .envid = l->envid};
	for (size_t i = 0; i < l->row_count; i++) {
		const struct store_lease_row *r = &l->rows[i];

		rec_lease_rcpt_add(&s->rcpts, &(struct rec_lease_rcpt){.row = (uint64_t)r->id, .attempts = r->attempts, .notify = (uint8_t)r->notify, .address = r->address,
			.orcpt = span_head(r->orcpt, 500)});
		s->rows[s->row_count++] = r->id;
		(void)store_lease_out(q, g->relay, g->dest, r->id, l->message, s->msg.lease);
	}
	s->msg.rcpts = (struct msg_list){.raw = buf_span(&s->rcpts), .count = (uint32_t)l->row_count};
	*q->sending_end = s;
	q->sending_end = &s->next;
	return RC_OK;
}

/* rows of one destination; false: the transaction is lost, or cannot be had */
static bool store_lease_one(struct store_queue_role *q, struct store_dest *d, struct store_relay *relay, size_t *rows)
{
	struct store_giving g = {.q = q, .relay = relay, .dest = d};
	uint32_t want = store_dest_room(d), room = store_relay_room(relay);
	struct err err = {""};
	size_t n = 0;
	enum rc rc = store_begin(q->s->store, &err);

	want = want < room ? want : room;
	if (rc == RC_OK)
		rc = store_queue_lease(q->s->store, d->name, q->now_ms, want, &q->mem, store_give, &g, &n, &err);
	if (rc != RC_OK) {
		store_dest_more(q, d, false); /* found again when the timer looks */
		(void)store_role_judge(q->s, rc, "leasing", &err);
		return false;
	}
	*rows += n;
	if (n + g.local < want)
		store_dest_more(q, d, false);
	else
		store_lease_ring(q, d);
	return true;
}

/* rows that stayed behind may be due earlier than anything that the look found */
static void store_lease_next(struct store_queue_role *q)
{
	int64_t next = INT64_MAX;
	struct err err = {""};
	size_t none;
	enum rc rc = store_queue_due(q->s->store, q->now_ms, &q->mem, NULL, 0, &none, &next, &err);

	if (rc != RC_OK)
		(void)store_role_judge(q->s, rc, "looking into the queue", &err);
	store_lease_timer(q, q->now_ms, next == INT64_MAX ? q->now_ms + QUEUE_LOOK_MS : next);
}

static bool store_lease_may(struct store_queue_role *q)
{
	bool wait = q->held_until > loop_now(q->s->role->loop), room = false;

	if (!q->started || q->results) /* what waits to be written down may be that a relay has a row */
		return false;
	for (size_t i = 0; i < q->relay_count; i++) {
		if (wait && q->relays[i]->early && !q->relays[i]->told)
			return false;
		room |= store_relay_room(q->relays[i]) > 0;
	}
	return room;
}

void store_lease_turn(struct store_queue_role *q)
{
	size_t dests = 0, rows = 0, passed = 0;
	bool gave = false;

	if (!store_lease_may(q))
		return;
	q->now_ms = clock_wall_ms();
	q->looking |= store_queue_stirred(q->s->store);
	if (q->looking)
		store_lease_look(q);
	for (; q->ring && !q->results && dests < QUEUE_TURN_DESTS && rows < QUEUE_TURN_ROWS && passed < q->more_count; dests++) {
		struct store_dest *d = q->ring;
		struct store_relay *relay = store_relay_for(q, d);
		bool fits = relay && store_relay_room(relay) > 0;

		store_dest_unring(q, d);
		if (fits && !store_lease_one(q, d, relay, &rows))
			break;
		if (!fits)
			store_lease_ring(q, d); /* behind the others */
		passed = fits ? 0 : passed + 1;
		gave |= fits;
	}
	if (gave)
		store_lease_next(q);
	q->looking |= store_queue_stirred(q->s->store);
	if ((gave && q->ring) || q->looking)
		loop_soon(q->s->role->loop, &q->again);
}

/* ---- after the commit */

static void store_sending_free(struct store_sending *s)
{
	buf_clear(&s->rcpts);
	free(s->rows);
	free(s);
}

void store_lease_settle(struct store_queue_role *q, bool committed)
{
	while (q->sending) {
		struct store_sending *s = q->sending;

		q->sending = s->next;
		if (committed) {
			chan_send(s->relay->peer->chan, MSG_LEASE, &s->msg);
		} else {
			for (size_t i = 0; i < s->row_count; i++)
				store_lease_in(q, map_get(&q->rows, (uint64_t)s->rows[i]));
			q->looking = true;
		}
		store_sending_free(s);
	}
	q->sending_end = &q->sending;
}

void store_lease_free(struct store_queue_role *q)
{
	size_t at = 0;
	uint64_t row;
	void *value;

	while (map_next(&q->rows, &at, &row, &value))
		store_lease_in(q, value);
	while (q->all)
		store_dest_free(q, q->all);
	map_clear(&q->rows);
	map_clear(&q->dests);
}
