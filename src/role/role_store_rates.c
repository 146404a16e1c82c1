#include "role/role_store_rates.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "role/rate_kind.h"

enum {
	RATES_TAG_MASK = 7,
	RATES_JUMP_MS = 60 * 1000,          /* a wall clock that runs so far from the monotonic one was set */
	RATES_STEADY_MS = 3600 * 1000,
	RATES_KEPT_MS = 2 * 24 * 3600 * 1000,
	RATES_WORTH = 4,                    /* a stranger's count is saved from this part of a limit on */
	RATES_RESETS = 100,                 /* a turn */
};

struct role_rates {
	struct rate_table *own, *strangers;
	int64_t offset_ms;                  /* wall clock less monotonic clock, when last looked at */
	mono_ms steady_since_ms;
	struct rate_key *saving;            /* ROLE_RATES_SAVE: in the transaction at hand */
};

static int64_t rates_offset(mono_ms now)
{
	return clock_wall_ms() - (int64_t)now;
}

struct role_rates *role_rates_new(void)
{
	struct role_rates *r = mem_zalloc(sizeof(*r));
	uint64_t boot = rate_boot();

	r->own = rate_table_new(ROLE_RATES_ENTRIES, boot);
	r->strangers = rate_table_new(ROLE_RATES_ENTRIES, boot);
	r->saving = mem_array(ROLE_RATES_SAVE, sizeof(*r->saving));
	r->steady_since_ms = clock_mono_ms();
	r->offset_ms = rates_offset(r->steady_since_ms);
	return r;
}

void role_rates_free(struct role_rates **rp)
{
	struct role_rates *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	rate_table_free(&r->own);
	rate_table_free(&r->strangers);
	free(r->saving);
	free(r);
}

static struct rate_table *rates_table(const struct role_rates *r, int kind)
{
	return kind == RATE_ADDRESS_MESSAGES || kind == RATE_ADDRESS_RCPTS ? r->strangers : r->own;
}

/* ---- on whose count */

struct rates_one {
	const struct rate_kind *kind;
	struct rate_key key;
	struct conf_rates limits;
};

static bool rates_limited(const struct conf_rates *limits)
{
	return limits->most[RATE_PEAK] || limits->most[RATE_MINUTE] || limits->most[RATE_HOUR] || limits->most[RATE_DAY];
}

/* kind of a sender: an account, else a network, else an address. What has no limit and is a stranger's is not counted at all. */
static bool rates_sender(const struct conf *conf, const struct role_rates_who *who, bool rcpts, struct rates_one *out)
{
	enum rate_kind_id id = who->account ? RATE_ACCOUNT_MESSAGES : who->network ? RATE_NETWORK_MESSAGES : RATE_ADDRESS_MESSAGES;

	if (rcpts)
		id++;
	*out = (struct rates_one){.kind = rate_kind_get((int)id)};
	out->limits = *rate_kind_limits(out->kind, conf, who->network);
	if (who->account) {
		out->limits = rate_kind_own_limits(rcpts ? who->rcpt_rates : who->message_rates, &out->limits);
		out->key = rate_key_number(id, (uint64_t)who->account);
		return true;
	}
	if (who->network) {
		out->key = rate_key_text(id, span_str(who->network->name));
		return true;
	}
	if (!rates_limited(&out->limits))
		return false;
	out->key = rate_key_address(id, who->peer);
	return true;
}

static bool rates_mailbox(const struct conf *conf, uint64_t tag, struct rates_one *out)
{
	unsigned what = tag & RATES_TAG_MASK;

	if (what != STORE_TAG_ACCOUNT && what != STORE_TAG_ALIAS)
		return false;
	*out = (struct rates_one){.kind = rate_kind_get(RATE_MAILBOX_MESSAGES), .key = rate_key_number(RATE_MAILBOX_MESSAGES, tag)};
	out->limits = *rate_kind_limits(out->kind, conf, NULL);
	return true;
}

static bool rates_passes(const struct role_rates *r, const struct rates_one *one, uint32_t n, mono_ms now, struct role_rates_said *out)
{
	struct rate_hit hit;

	if (rate_check(rates_table(r, one->key.kind), &one->key, one->limits.most, n, now, &hit))
		return true;
	out->cause = rate_kind_cause(one->kind, &hit);
	rate_kind_write_limit(one->kind, &hit, out->limit, sizeof(out->limit));
	rate_write_wait(out->retry, sizeof(out->retry), hit.retry_ms);
	return false;
}

/* ---- questions */

void role_rates_mail(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, struct role_rates_said *out)
{
	struct rates_one one;

	*out = (struct role_rates_said){.cause = CAUSE_NONE};
	if (rates_sender(conf, who, false, &one))
		(void)rates_passes(r, &one, 1, clock_mono_ms(), out);
}

void role_rates_rcpt(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, uint32_t others, uint64_t tag, struct role_rates_said *out)
{
	mono_ms now = clock_mono_ms();
	struct rates_one one;

	*out = (struct role_rates_said){.cause = CAUSE_NONE};
	if (rates_sender(conf, who, true, &one) && !rates_passes(r, &one, others < UINT32_MAX ? others + 1 : others, now, out))
		return;
	if (rates_mailbox(conf, tag, &one))
		(void)rates_passes(r, &one, 1, now, out);
}

/* A 250 speaks for all recipients: where one mailbox may still get it, all do. */
static bool rates_any_mailbox(const struct role_rates *r, const struct conf *conf, const struct store_rcpt *rcpts, uint32_t rcpt_count, mono_ms now,
	struct role_rates_said *out)
{
	struct rates_one one;

	for (uint32_t i = 0; i < rcpt_count; i++)
		if (!rates_mailbox(conf, rcpts[i].tag, &one) || rates_passes(r, &one, 1, now, out)) {
			*out = (struct role_rates_said){.cause = CAUSE_NONE};
			return true;
		}
	return rcpt_count == 0;
}

static void rates_count(struct role_rates *r, const struct rates_one *one, uint32_t n, mono_ms now, bool back)
{
	struct rate_table *t = rates_table(r, one->key.kind);

	if (back)
		rate_uncount(t, &one->key, n, now);
	else
		rate_count(t, &one->key, n, now);
}

static void rates_count_all(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, const struct store_rcpt *rcpts, uint32_t rcpt_count,
	mono_ms now, bool back)
{
	struct rates_one one;

	if (rates_sender(conf, who, false, &one))
		rates_count(r, &one, 1, now, back);
	if (rates_sender(conf, who, true, &one))
		rates_count(r, &one, rcpt_count, now, back);
	for (uint32_t i = 0; i < rcpt_count; i++)
		if (rates_mailbox(conf, rcpts[i].tag, &one))
			rates_count(r, &one, 1, now, back);
}

void role_rates_accept(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, const struct store_rcpt *rcpts, uint32_t rcpt_count,
	struct role_rates_said *out)
{
	mono_ms now = clock_mono_ms();
	struct rates_one one;

	*out = (struct role_rates_said){.cause = CAUSE_NONE};
	if (rates_sender(conf, who, false, &one) && !rates_passes(r, &one, 1, now, out))
		return;
	if (rates_sender(conf, who, true, &one) && !rates_passes(r, &one, rcpt_count, now, out))
		return;
	if (rates_any_mailbox(r, conf, rcpts, rcpt_count, now, out))
		rates_count_all(r, conf, who, rcpts, rcpt_count, now, false);
}

void role_rates_refused(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, const struct store_rcpt *rcpts, uint32_t rcpt_count)
{
	rates_count_all(r, conf, who, rcpts, rcpt_count, clock_mono_ms(), true);
}

/* ---- saved and loaded */

struct rates_loading {
	struct role_rates *r;
	int64_t wall_ms;
	mono_ms now;
};

static enum rc rates_load_row(void *arg, const struct store_rate *row)
{
	struct rates_loading *l = arg;
	struct rate_key key;

	/* what is not a counter of ours, or does not matter any more, is left where it is: tidying comes for it */
	if (row->kind < RATE_ABUSE_FIRST && rate_key_make((uint8_t)row->kind, row->key, &key) == RC_OK)
		(void)!rate_load(rates_table(l->r, row->kind), &key, row->counts, l->wall_ms - row->saved_ms, l->now);
	return RC_OK;
}

enum rc role_rates_load(struct role_rates *r, struct store *s, struct err *err)
{
	struct rates_loading l = {.r = r, .wall_ms = clock_wall_ms(), .now = clock_mono_ms()};

	return store_rate_each(s, 0, SPAN_NONE, rates_load_row, &l, err);
}

static bool rates_worth_saving(const struct role_rates *r, const struct conf *conf, const struct rate_key *k, mono_ms now)
{
	const struct conf_rates *limits;
	uint64_t used[RATE_WINDOWS];

	if (rates_table(r, k->kind) != r->strangers)
		return true;
	limits = rate_kind_limits(rate_kind_get(k->kind), conf, NULL);
	(void)rate_used(r->strangers, k, now, used);
	for (int w = 0; w < RATE_WINDOWS; w++)
		if (limits->most[w] && used[w] * RATES_WORTH >= limits->most[w])
			return true;
	return false;
}

static enum rc rates_save_one(struct role_rates *r, struct store *s, const struct rate_key *k, mono_ms now, int64_t wall_ms, struct err *err)
{
	uint8_t saved[RATE_SAVED_BYTES];

	if (!rate_save(rates_table(r, k->kind), k, now, saved))
		return RC_OK;
	return store_rate_put(s, &(struct store_rate){.kind = k->kind, .key = rate_key_span(k), .counts = span_of(saved, sizeof(saved)), .saved_ms = wall_ms}, err);
}

enum rc role_rates_save(struct role_rates *r, struct store *s, const struct conf *conf, bool *more_out, struct err *err)
{
	mono_ms now = clock_mono_ms();
	int64_t wall_ms = clock_wall_ms();
	struct rate_key k;
	size_t n = 0, looked = 0;
	enum rc rc = RC_OK;

	/* so many are looked at, too: a flood of strangers that are not worth it costs no more than one that is */
	for (; looked < ROLE_RATES_SAVE && (rate_take_changed(r->own, &k) || rate_take_changed(r->strangers, &k)); looked++)
		if (rates_worth_saving(r, conf, &k, now))
			r->saving[n++] = k;
	*more_out = looked == ROLE_RATES_SAVE;
	if (n == 0)
		return RC_OK;
	rc = store_begin(s, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = rates_save_one(r, s, &r->saving[i], now, wall_ms, err);
	if (rc == RC_OK)
		rc = store_commit(s, err);
	else
		store_rollback(s);
	for (size_t i = 0; i < n && rc != RC_OK; i++)
		rate_put_changed(rates_table(r, r->saving[i].kind), &r->saving[i]);
	return rc;
}

enum rc role_rates_tidy(struct role_rates *r, struct store *s, struct err *err)
{
	mono_ms now = clock_mono_ms();
	int64_t offset = rates_offset(now), drift = offset - r->offset_ms, wall_ms = clock_wall_ms();
	bool steady, more = false;
	enum rc rc = RC_OK;

	if (drift > RATES_JUMP_MS || drift < -RATES_JUMP_MS) {
		r->steady_since_ms = now;
		rc = role_rates_load(r, s, err);
	}
	r->offset_ms = offset;
	steady = now - r->steady_since_ms >= RATES_STEADY_MS;
	for (const struct rate_kind *k = NULL; rc == RC_OK && (k = rate_kind_next(k));)
		rc = store_rate_tidy(s, (int)k->id, steady ? wall_ms - RATES_KEPT_MS : 0, steady ? wall_ms + RATES_KEPT_MS : INT64_MAX, ROLE_RATES_ROWS, &more, err);
	return rc;
}

enum rc role_rates_resets(struct role_rates *r, struct store *s, void (*address)(void *arg, struct span key), void *arg, struct err *err)
{
	struct rate_key key;
	struct arena mem;
	struct span text;
	enum rc rc = RC_OK;
	int kind = 0;

	for (int i = 0; i < RATES_RESETS && (rc == RC_OK || rc == RC_BAD); i++) {
		arena_init(&mem, 4 * STORE_RATE_KEY_BYTES);
		rc = store_rate_take_reset(s, &mem, &kind, &text, err);
		if (rc == RC_OK && kind >= RATE_ABUSE_FIRST && address)
			address(arg, text);
		else if (rc == RC_OK && rate_key_make((uint8_t)kind, text, &key) == RC_OK)
			rate_forget(rates_table(r, kind), &key);
		arena_clear(&mem);
	}
	return rc == RC_NONE || rc == RC_BAD ? RC_OK : rc;
}
