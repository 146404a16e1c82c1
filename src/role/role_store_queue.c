/* The store role: what relays say. */
#include "role/role_store_queue.h"

/* ---- the turn */

/* They cost next to nothing where something else is committed anyway. */
static bool store_results_gather(const struct store_queue_role *q)
{
	return q->results && !q->urgent && q->result_count < QUEUE_GATHER_RESULTS && q->gather_until > loop_now(q->s->role->loop) &&
		!store_in_transaction(q->s->store);
}

void store_role_queue_hurry(struct store_role *s)
{
	if (!s->queue)
		return;
	s->queue->results_at = 0;
	s->queue->urgent = true;
}

void store_role_queue_turn(struct store_role *s)
{
	struct store_queue_role *q = s->queue;

	if (!q)
		return;
	if (store_results_gather(q)) {
		loop_timer_at(&q->gather, q->gather_until);
		return;
	}
	if (q->results)
		q->gather_until = loop_now(s->role->loop) + QUEUE_GATHER_MS;
	q->urgent = false;
	store_results_turn(q);
	store_lease_turn(q);
}

bool store_role_queue_is_open(const struct store_role *s)
{
	return s->queue && (s->queue->applied || s->queue->sending);
}

void store_role_queue_settle(struct store_role *s, bool committed)
{
	struct store_queue_role *q = s->queue;

	if (!q)
		return;
	store_lease_settle(q, committed);
	store_results_settle(q, committed);
	if (!store_in_transaction(s->store))
		arena_clear(&q->mem);
}

/* ---- frames */

static enum rc store_relay_heard(struct store_peer *p)
{
	if (!p->relay)
		return RC_BAD;
	p->relay->heard_ms = loop_now(p->role->role->loop);
	return RC_OK;
}

/* ... what has to be kept until it is written down */
static enum rc store_relay_tells(struct store_peer *p)
{
	const struct store_queue_role *q = p->role->queue;
	enum rc rc = store_relay_heard(p);

	return rc == RC_OK && q->result_count >= q->relay_count * QUEUE_RELAY_RESULTS ? RC_LIMIT : rc;
}

/* the row is its own, only the end of the channel that it had before was not seen yet */
static void store_relay_keeps(struct store_queue_role *q, struct store_relay *relay, struct store_out *o)
{
	struct store_out was = *o;

	store_lease_in(q, o);
	(void)store_lease_out(q, relay, was.dest, was.row, was.message, was.lease);
	if (was.dest->owner == was.relay) /* what is left of it there follows */
		was.dest->owner = relay;
}

/* At once, whether it can be written down now or not; never another relay's. */
static void store_relay_holds(struct store_queue_role *q, struct store_relay *relay, const struct rec_lease_held *h)
{
	struct store_out *o = map_get(&q->rows, h->row);
	struct store_row row;
	struct err err = {""};
	enum rc rc;

	if (h->row == 0 || h->row > INT64_MAX || relay->claimed >= QUEUE_RELAY_ROWS)
		return;
	if (o) {
		if (o->relay != relay && o->lease == h->lease && o->relay->peer->worker == relay->peer->worker)
			store_relay_keeps(q, relay, o);
		return;
	}
	rc = store_queue_claimed(q->s->store, (int64_t)h->row, &q->mem, &row, &err);
	if (rc == RC_NONE)
		return;
	(void)store_role_judge(q->s, rc, "what a relay holds", &err);
	if (rc == RC_BAD)
		return;
	if (rc != RC_OK) /* it is learned when that is written down */
		row = (struct store_row){.dest = SPAN_LIT("")};
	relay->claimed++;
	(void)store_lease_out(q, relay, store_lease_dest(q, row.dest), (int64_t)h->row, row.message, h->lease);
	store_result_new(q, STORE_RESULT_HELD, (int64_t)h->row)->d.lease = h->lease;
}

enum rc store_role_leases_held(struct store_peer *p, const union msg_any *msg)
{
	struct span cursor = msg->leases_held.rows.raw;
	struct rec_lease_held h;

	if (store_relay_heard(p) != RC_OK || p->relay->told)
		return RC_BAD;
	while (rec_lease_held_next(&cursor, &h))
		store_relay_holds(p->role->queue, p->relay, &h);
	p->relay->told = msg->leases_held.last;
	return RC_OK;
}

enum rc store_role_relay_room(struct store_peer *p, const union msg_any *msg)
{
	if (store_relay_heard(p) != RC_OK)
		return RC_BAD;
	p->relay->room = msg->relay_room.rows < QUEUE_RELAY_ROWS ? msg->relay_room.rows : QUEUE_RELAY_ROWS;
	return RC_OK;
}

enum rc store_role_deliveries(struct store_peer *p, const union msg_any *msg)
{
	struct store_queue_role *q = p->role->queue;
	struct span cursor = msg->deliveries.results.raw;
	struct store_dest *dest;
	struct rec_delivery d;
	enum rc rc = store_relay_tells(p);

	while (rc == RC_OK && rec_delivery_next(&cursor, &d)) {
		struct store_out *o = map_get(&q->rows, d.row);

		if (d.outcome < DELIVERY_SENT || d.outcome > DELIVERY_NOT_TRIED)
			return RC_BAD;
		if (!o || o->relay != p->relay || o->lease != d.lease)
			continue; /* of another time */
		store_result_add(q, store_result_copy(STORE_RESULT_REPORTED, &d, SPAN_NONE));
		dest = o->dest;
		store_lease_in(q, o);
		q->urgent |= store_lease_is_short(dest);
	}
	if (rc == RC_OK)
		store_result_new(q, STORE_RESULT_END, 0)->ends = p->relay;
	return rc;
}

enum rc store_role_dest_state(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_dest_state *m = &msg->dest_state;
	struct store_queue_role *q = p->role->queue;
	struct store_dest *d;
	enum rc rc = store_relay_tells(p);

	if (rc != RC_OK || m->dest.len == 0)
		return rc != RC_OK ? rc : RC_BAD;
	d = store_lease_dest_known(q, m->dest);
	if (!d || (d->owner && d->owner != p->relay))
		return RC_OK; /* nothing of it was out, or it is another's by now */
	d->window = m->window < 1 ? 1 : m->window < QUEUE_WINDOW_MOST ? m->window : QUEUE_WINDOW_MOST;
	if (m->blocked_ms || d->failures)
		store_result_add(q, store_result_copy(STORE_RESULT_DEST, &(struct rec_delivery){.cause = m->cause, .host = m->host, .words = m->words, .again_ms = m->blocked_ms},
			m->dest));
	if (m->blocked_ms)
		store_lease_down(q, d);
	else
		store_lease_ring(q, d);
	return RC_OK;
}

bool store_role_queue_may_read(const struct store_peer *p, int64_t message)
{
	return p->relay && map_get(&p->relay->messages, (uint64_t)message) != NULL;
}

enum rc store_role_sts_get(struct store_peer *p, const union msg_any *msg)
{
	struct msg_sts_is answer = {.ask = msg->sts_get.ask};
	struct err err = {""};
	struct arena mem;
	int64_t fetched = 0;
	enum rc rc;

	if (store_relay_heard(p) != RC_OK)
		return RC_BAD;
	arena_init(&mem, 1 << 18);
	rc = store_sts_get(p->role->store, msg->sts_get.domain, &mem, &answer.id, &answer.text, &fetched, &err);
	if (rc != RC_OK && rc != RC_NONE)
		(void)store_role_judge(p->role, rc, "policy", &err);
	answer.found = rc == RC_OK;
	answer.fetched_ms = (uint64_t)fetched;
	chan_send(p->chan, MSG_STS_IS, &answer);
	arena_clear(&mem);
	return RC_OK;
}

enum rc store_role_sts_put(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_sts_put *m = &msg->sts_put;
	int64_t now = clock_wall_ms(), fetched;
	struct err err = {""};
	enum rc rc;

	if (store_relay_heard(p) != RC_OK || m->fetched_ms > INT64_MAX)
		return RC_BAD;
	fetched = (int64_t)m->fetched_ms < now ? (int64_t)m->fetched_ms : now; /* the oldest goes where there is no room: none is from the future */
	rc = store_begin(p->role->store, &err);
	if (rc == RC_OK)
		rc = store_sts_put(p->role->store, m->domain, m->id, m->text, fetched, &err);
	if (rc == RC_BAD)
		return RC_BAD;
	if (rc != RC_OK)
		(void)store_role_judge(p->role, rc, "policy", &err);
	return RC_OK;
}
