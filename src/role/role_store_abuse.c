/* The store role: its counters on the clock, and those that workers keep for themselves. Each worker has a place ("mx/0"), so that what a worker that was
 * taken over invents is kept as that worker's alone; the one that comes after it in that place takes over what is there. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/rate_kind.h"
#include "role/role_store.h"
#include "role/role_store_rates.h"

enum {
	COUNTS_TIDY_EVERY = 60,        /* saves */
	COUNTS_RETRY_MS = 10000,       /* after a save that failed */
	COUNTS_PLACES = 1024,
	COUNTS_PLACE_BYTES = 24,       /* "user/1023 " */
	COUNTS_FRAME_ROWS = 1024,
	COUNTS_WAITING_BYTES = 8 * 256 * (38 + 256 + 16), /* eight whole frames; a worker sends four in the time between two writes, and one at its end */
};

struct store_place {
	struct store_peer *peer;       /* NULL: free */
	enum role_id role;
	struct buf waiting;            /* rows of its last frames, to be saved */
	uint32_t waiting_count;
};

struct store_counts {
	struct store_role *role;
	struct loop_timer timer;
	struct store_place *places;
	size_t place_count;
	unsigned saves;
};

/* ---- places */

static void counts_place_key(const struct store_counts *c, const struct store_place *p, char out[COUNTS_PLACE_BYTES])
{
	unsigned n = 0;

	for (const struct store_place *q = c->places; q < p; q++)
		n += q->role == p->role;
	(void)snprintf(out, COUNTS_PLACE_BYTES, "%s/%u ", role_name(p->role), n);
}

static struct store_place *counts_place_of(struct store_counts *c, const struct store_peer *p)
{
	for (size_t i = 0; i < c->place_count; i++)
		if (c->places[i].peer == p)
			return &c->places[i];
	return NULL;
}

/* The first that is free, or whose worker goes by an older configuration: that one takes no new connections. */
static struct store_place *counts_place_take(struct store_counts *c, struct store_peer *p)
{
	struct store_place *place = counts_place_of(c, p);

	for (size_t i = 0; i < c->place_count && !place; i++) {
		struct store_place *q = &c->places[i];

		if (q->role == p->id && (!q->peer || (q->peer->conf != p->conf && q->peer->conf != c->role->conf)))
			place = q;
	}
	if (!place && c->place_count < COUNTS_PLACES) {
		c->places = mem_realloc(c->places, (c->place_count + 1) * sizeof(*c->places));
		place = &c->places[c->place_count++];
		*place = (struct store_place){.role = p->id};
		buf_init(&place->waiting, COUNTS_WAITING_BYTES);
	}
	if (place)
		place->peer = p;
	return place;
}

void store_role_counts_leave(struct store_peer *p)
{
	struct store_place *place = p->role->counts ? counts_place_of(p->role->counts, p) : NULL;

	if (place)
		place->peer = NULL;
}

/* ---- what a worker sees again */

struct counts_rows {
	struct store_peer *peer;
	struct span prefix;
	struct buf rows;
	uint32_t count;
};

static void counts_send_rows(struct counts_rows *out, bool last)
{
	chan_send(out->peer->chan, MSG_ABUSE_ROWS, &(struct msg_abuse_rows){.last = last, .rows = {.raw = buf_span(&out->rows), .count = out->count}});
	buf_reset(&out->rows);
	out->count = 0;
}

static enum rc counts_add_row(void *arg, const struct store_rate *r)
{
	struct counts_rows *out = arg;
	struct span key = span_from(r->key, out->prefix.len);

	if (key.len == 0 || key.len > RATE_KEY_BYTES)
		return RC_OK;
	rec_abuse_add(&out->rows, &(struct rec_abuse){.kind = (uint8_t)r->kind, .saved_ms = (uint64_t)r->saved_ms, .key = key, .counts = r->counts});
	if (++out->count == COUNTS_FRAME_ROWS)
		counts_send_rows(out, false);
	return RC_OK;
}

/* Rows that are not written yet go first, the newest before the others: a worker keeps what it has under a key. */
static void counts_add_waiting(struct counts_rows *out, const struct store_place *place)
{
	struct rec_abuse *rows = mem_array(place->waiting_count + 1, sizeof(*rows));
	struct span cursor = buf_span(&place->waiting);
	uint64_t wall_ms = (uint64_t)clock_wall_ms();
	uint32_t n = 0;

	while (n < place->waiting_count && rec_abuse_next(&cursor, &rows[n]))
		n++;
	while (n-- > 0) {
		rows[n].saved_ms = wall_ms;
		rec_abuse_add(&out->rows, &rows[n]);
		if (++out->count == COUNTS_FRAME_ROWS)
			counts_send_rows(out, false);
	}
	free(rows);
}

enum rc store_role_abuse_load(struct store_peer *p, const union msg_any *msg)
{
	struct store_counts *c = p->role->counts;
	struct store_place *place = c ? counts_place_take(c, p) : NULL;
	char prefix[COUNTS_PLACE_BYTES];
	struct counts_rows out = {.peer = p};
	struct err err = {""};
	enum rc rc = RC_OK;

	(void)msg;
	if (!place)
		return RC_OK;
	counts_place_key(c, place, prefix);
	out.prefix = span_str(prefix);
	buf_init(&out.rows, COUNTS_FRAME_ROWS * 512);
	counts_add_waiting(&out, place);
	for (const struct rate_kind *k = NULL; rc == RC_OK && (k = rate_kind_next(k));)
		if (k->id >= RATE_ABUSE_FIRST)
			rc = store_rate_each(p->role->store, (int)k->id, out.prefix, counts_add_row, &out, &err);
	(void)store_role_judge(p->role, rc, "counters of a worker", &err);
	counts_send_rows(&out, true);
	buf_clear(&out.rows);
	return RC_OK;
}

enum rc store_role_abuse_save(struct store_peer *p, const union msg_any *msg)
{
	struct store_place *place = p->role->counts ? counts_place_of(p->role->counts, p) : NULL;
	const struct msg_list *rows = &msg->abuse_save.rows;

	/* of an older generation, or it saves too often */
	if (!place || rows->raw.len > COUNTS_WAITING_BYTES - place->waiting.len)
		return RC_OK;
	buf_add(&place->waiting, rows->raw);
	place->waiting_count += rows->count;
	return RC_OK;
}

/* ---- on the clock */

static enum rc counts_write_row(struct store *s, const char *prefix, const struct rec_abuse *r, int64_t wall_ms, struct err *err)
{
	struct store_rate row = {.kind = r->kind, .counts = r->counts, .saved_ms = wall_ms};
	struct buf key;
	enum rc rc;

	if (r->kind < RATE_ABUSE_FIRST || !rate_kind_get(r->kind))
		return RC_OK;
	buf_init(&key, STORE_RATE_KEY_BYTES);
	buf_add_str(&key, prefix);
	buf_add(&key, r->key);
	row.key = buf_span(&key);
	rc = store_rate_put(s, &row, err);
	buf_clear(&key);
	return rc == RC_BAD ? RC_OK : rc; /* a worker that sends such things loses them */
}

static enum rc counts_write_place(const struct store_counts *c, const struct store_place *p, int64_t wall_ms, struct err *err)
{
	struct span cursor = buf_span(&p->waiting);
	char prefix[COUNTS_PLACE_BYTES];
	struct rec_abuse r;
	enum rc rc = RC_OK;

	counts_place_key(c, p, prefix);
	for (uint32_t i = 0; i < p->waiting_count && rc == RC_OK && rec_abuse_next(&cursor, &r); i++)
		rc = counts_write_row(c->role->store, prefix, &r, wall_ms, err);
	return rc;
}

static enum rc counts_write_places(struct store_counts *c, struct err *err)
{
	int64_t wall_ms = clock_wall_ms();
	bool any = false;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < c->place_count; i++)
		any |= c->places[i].waiting.len > 0;
	if (!any)
		return RC_OK;
	rc = store_begin(c->role->store, err);
	for (size_t i = 0; i < c->place_count && rc == RC_OK; i++)
		rc = counts_write_place(c, &c->places[i], wall_ms, err);
	if (rc == RC_OK)
		rc = store_commit(c->role->store, err);
	else
		store_rollback(c->role->store);
	for (size_t i = 0; i < c->place_count && rc == RC_OK; i++) {
		buf_reset(&c->places[i].waiting);
		c->places[i].waiting_count = 0;
	}
	return rc;
}

static void counts_forget_address(void *arg, struct span key)
{
	struct store_counts *c = arg;

	for (struct store_peer *p = c->role->peers; p; p = p->next)
		if (p->id != ROLE_AUTH)
			chan_send(p->chan, MSG_ABUSE_FORGET, &(struct msg_abuse_forget){.key = span_head(key, RATE_KEY_BYTES)});
}

/* nobody waits for these, so they have transactions of their own, between turns: what goes wrong here takes no mail with it */
static enum rc counts_turn(struct store_counts *c, bool *more, struct err *err)
{
	struct store_role *s = c->role;
	enum rc rc = role_rates_resets(s->rates, s->store, counts_forget_address, c, err);

	if (rc == RC_OK)
		rc = role_rates_save(s->rates, s->store, s->conf->conf, more, err);
	if (rc == RC_OK)
		rc = counts_write_places(c, err);
	if (rc == RC_OK && ++c->saves % COUNTS_TIDY_EVERY == 0)
		rc = role_rates_tidy(s->rates, s->store, err);
	return rc;
}

static void counts_on_timer(void *arg, mono_ms now)
{
	struct store_counts *c = arg;
	struct err err = {""};
	bool more = false;
	enum rc rc;

	if (!c->role->store)
		return;
	store_role_turn(c->role);
	rc = counts_turn(c, &more, &err);
	(void)store_role_judge(c->role, rc, "saving counters", &err);
	loop_timer_at(&c->timer, now + (rc == RC_OK ? ROLE_RATES_SAVE_MS : COUNTS_RETRY_MS));
}

/* ---- start and end */

void store_role_counts_open(struct store_role *s)
{
	s->rates = role_rates_new();
	s->counts = mem_zalloc(sizeof(*s->counts));
	s->counts->role = s;
	loop_timer_init(s->role->loop, &s->counts->timer, counts_on_timer, s->counts);
}

void store_role_counts_load(struct store_role *s)
{
	struct err err = {""};

	loop_timer_at(&s->counts->timer, clock_mono_ms() + ROLE_RATES_SAVE_MS);
	(void)store_role_judge(s, role_rates_load(s->rates, s->store, &err), "loading counters", &err);
}

void store_role_counts_close(struct store_role *s)
{
	struct err err = {""};
	bool more = true;

	for (int i = 0; more && i < 2 * ROLE_RATES_ENTRIES / ROLE_RATES_SAVE; i++) {
		enum rc rc = counts_turn(s->counts, &more, &err);

		if (store_role_judge(s, rc, "saving counters", &err) != CAUSE_NONE)
			break;
	}
	store_role_counts_free(s);
}

void store_role_counts_free(struct store_role *s)
{
	if (!s->counts)
		return;
	loop_timer_clear(&s->counts->timer);
	for (size_t i = 0; i < s->counts->place_count; i++)
		buf_clear(&s->counts->places[i].waiting);
	free(s->counts->places);
	free(s->counts);
	s->counts = NULL;
	role_rates_free(&s->rates);
}
