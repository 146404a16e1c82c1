#include "role/worker_abuse.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

enum { ABUSE_WORTH = 4, ABUSE_ROW_BYTES = 512 }; /* a count is saved from this part of a limit on */

struct worker_abuse {
	struct rate_table *table;
	struct loop_timer save;
	char limit[64], retry[32]; /* of the last refusal */
};

static const struct {
	enum cause_id cause;
	enum rate_kind_id kind;
} abuse_causes[] = {
	{CAUSE_COMMAND_UNKNOWN, RATE_UNKNOWN_COMMANDS},
	{CAUSE_FOREIGN_PROTOCOL, RATE_UNKNOWN_COMMANDS},
	{CAUSE_TOO_MANY_UNKNOWN_COMMANDS, RATE_UNKNOWN_COMMANDS},
	{CAUSE_AUTH_REQUIRED, RATE_UNAUTH_COMMANDS},
	{CAUSE_TOO_MANY_UNAUTH_COMMANDS, RATE_UNAUTH_COMMANDS},
	{CAUSE_RCPT_UNKNOWN, RATE_FAILED_RCPTS},
	{CAUSE_RCPT_DISABLED, RATE_FAILED_RCPTS},
	{CAUSE_RCPT_DOMAIN_NOT_FOUND, RATE_FAILED_RCPTS},
	{CAUSE_RELAY_DENIED_UNAUTH, RATE_FAILED_RCPTS},
	{CAUSE_RELAY_DENIED_ADDRESS, RATE_FAILED_RCPTS},
};

static void abuse_on_save(void *arg, mono_ms now);

struct worker_abuse *worker_abuse_new(struct worker *w)
{
	struct worker_abuse *a = mem_zalloc(sizeof(*a));

	a->table = rate_table_new(WORKER_ABUSE_ENTRIES, rate_boot());
	loop_timer_init(w->loop, &a->save, abuse_on_save, w);
	return a;
}

void worker_abuse_free(struct worker_abuse **a)
{
	if (!*a)
		return;
	loop_timer_clear(&(*a)->save);
	rate_table_free(&(*a)->table);
	free(*a);
	*a = NULL;
}

/* ---- counting */

static void abuse_count(struct worker *w, struct rate_key *key, enum rate_kind_id kind, mono_ms now)
{
	key->kind = (uint8_t)kind;
	rate_count(w->abuse->table, key, 1, now);
	if (!w->draining && w->abuse->save.at == MONO_NEVER)
		loop_timer_at(&w->abuse->save, now + WORKER_ABUSE_SAVE_MS);
}

static bool abuse_is_friend(const struct worker_abuse *a, struct rate_key *key, mono_ms now)
{
	uint64_t used[RATE_WINDOWS];

	key->kind = RATE_SIGN_INS;
	return rate_used(a->table, key, now, used) && used[RATE_DAY] > 0;
}

enum cause_id worker_abuse_connection(struct worker *w, struct span peer, mono_ms now, struct cause_facts *facts_out)
{
	struct worker_abuse *a = w->abuse;
	struct rate_key key = rate_key_address(RATE_CONNECTIONS, peer);
	enum cause_id cause = CAUSE_NONE;
	uint64_t longest = 0;
	struct rate_hit hit;

	if (abuse_is_friend(a, &key, now))
		return CAUSE_NONE;
	for (int id = RATE_ABUSE_FIRST; id < RATE_SIGN_INS; id++) {
		const struct rate_kind *k = rate_kind_get(id);

		key.kind = (uint8_t)id;
		if (rate_check(a->table, &key, rate_kind_limits(k, w->conf, NULL)->most, 1, now, &hit) || hit.retry_ms <= longest)
			continue;
		longest = hit.retry_ms;
		cause = rate_kind_cause(k, &hit);
		rate_kind_write_limit(k, &hit, a->limit, sizeof(a->limit));
	}
	if (cause == CAUSE_NONE) { /* those that are turned away do not make the wait longer */
		abuse_count(w, &key, RATE_CONNECTIONS, now);
		return CAUSE_NONE;
	}
	rate_write_wait(a->retry, sizeof(a->retry), longest);
	*facts_out = (struct cause_facts){.limit = span_str(a->limit), .retry = span_str(a->retry)};
	return cause;
}

static void abuse_count_session(struct session *s, enum rate_kind_id kind)
{
	struct rate_key key = rate_key_address(kind, s->peer);

	abuse_count(s->worker, &key, kind, loop_now(s->worker->loop));
}

void worker_abuse_refused(struct session *s, enum cause_id cause)
{
	if (s->granted) /* people mistype addresses; limits of their account hold them */
		return;
	for (size_t i = 0; i < sizeof(abuse_causes) / sizeof(abuse_causes[0]); i++)
		if (abuse_causes[i].cause == cause)
			abuse_count_session(s, abuse_causes[i].kind);
}

void worker_abuse_signed_in(struct session *s)
{
	abuse_count_session(s, RATE_SIGN_INS);
}

void worker_abuse_idle_end(struct session *s)
{
	if (!s->granted && !s->worker->draining)
		abuse_count_session(s, RATE_HELO_FLOODS);
}

/* ---- kept by the store */

static bool abuse_worth_saving(const struct worker *w, const struct rate_key *k, mono_ms now)
{
	const struct conf_rates *limits = rate_kind_limits(rate_kind_get(k->kind), w->conf, NULL);
	uint64_t used[RATE_WINDOWS];

	if (k->kind == RATE_SIGN_INS)
		return true;
	(void)rate_used(w->abuse->table, k, now, used);
	for (int i = 0; i < RATE_WINDOWS; i++)
		if (limits->most[i] && used[i] * ABUSE_WORTH >= limits->most[i])
			return true;
	return false;
}

static void abuse_save(struct worker *w, mono_ms now)
{
	struct worker_abuse *a = w->abuse;
	uint8_t saved[RATE_SAVED_BYTES];
	struct msg_abuse_save m = {0};
	struct rate_key k;
	struct buf rows;

	buf_init(&rows, WORKER_ABUSE_SAVE_ROWS * ABUSE_ROW_BYTES);
	while (m.rows.count < WORKER_ABUSE_SAVE_ROWS && rate_take_changed(a->table, &k)) {
		if (!abuse_worth_saving(w, &k, now) || !rate_save(a->table, &k, now, saved))
			continue;
		rec_abuse_add(&rows, &(struct rec_abuse){.kind = k.kind, .key = rate_key_span(&k), .counts = span_of(saved, sizeof(saved))});
		m.rows.count++;
	}
	m.rows.raw = buf_span(&rows);
	if (m.rows.count)
		chan_send(w->store, MSG_ABUSE_SAVE, &m);
	buf_clear(&rows);
	if (m.rows.count == WORKER_ABUSE_SAVE_ROWS)
		loop_timer_at(&a->save, now + WORKER_ABUSE_SAVE_MS);
}

static void abuse_on_save(void *arg, mono_ms now)
{
	struct worker *w = arg;

	if (w->store)
		abuse_save(w, now);
}

void worker_abuse_drain(struct worker *w)
{
	if (w->store)
		abuse_save(w, clock_mono_ms());
	loop_timer_clear(&w->abuse->save);
}

void worker_abuse_load(struct worker *w)
{
	chan_send(w->store, MSG_ABUSE_LOAD, &(struct msg_abuse_load){.on = true});
}

static void abuse_take_rows(struct worker *w, const struct msg_abuse_rows *m)
{
	struct span cursor = m->rows.raw;
	mono_ms now = clock_mono_ms();
	int64_t wall_ms = clock_wall_ms();
	struct rec_abuse r;
	struct rate_key k;

	while (rec_abuse_next(&cursor, &r))
		if (r.kind >= RATE_ABUSE_FIRST && rate_kind_get(r.kind) && rate_key_make(r.kind, r.key, &k) == RC_OK)
			(void)!rate_load(w->abuse->table, &k, r.counts, wall_ms - (int64_t)r.saved_ms, now);
}

enum rc worker_abuse_on_frame(struct worker *w, enum msg_type type, const union msg_any *msg)
{
	struct rate_key k;

	if (type == MSG_ABUSE_ROWS) {
		abuse_take_rows(w, &msg->abuse_rows);
		return RC_OK;
	}
	for (int id = RATE_ABUSE_FIRST; id < RATE_SIGN_INS; id++)
		if (rate_key_make((uint8_t)id, msg->abuse_forget.key, &k) == RC_OK)
			rate_forget(w->abuse->table, &k);
	return RC_OK;
}
