#include "role/auth_throttle.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

enum { WAYS = 8, TOKEN = 1000 }; /* tokens are counted in thousandths */
#define NO_BUCKET UINT32_MAX
/* added to every time, so that one before the clock began can be named */
#define EPOCH_MS ((mono_ms)8 * 24 * 3600 * 1000)

/* One bucket. Entries live in sets of WAYS, chosen by a keyed hash, so nobody can aim at the entry of another. */
struct bucket {
	uint64_t key;      /* 0: unused */
	mono_ms at;        /* when `spent` was true, with the epoch */
	uint64_t spent;    /* tokens gone, in thousandths */
	uint32_t next_changed;
	bool changed, own; /* own: a pair's of one worker */
};

struct table {
	struct bucket *buckets;
	size_t sets;
	uint32_t first_changed, last_changed;
};

struct auth_throttle {
	struct auth_throttle_rules rules;
	struct table failures, pairs;
	uint8_t secret[16];
};

enum kind { KIND_ADDRESS = 1, KIND_ACCOUNT, KIND_PAIR, KIND_PAIR_OF_WORKER };

struct keys {
	uint64_t address, account;
	uint64_t pair;  /* known or not, in `pairs` */
	uint64_t own;   /* its mistakes as one worker reports them, in `failures` */
};

static void table_init(struct table *t, uint32_t entries)
{
	t->sets = entries / WAYS ? entries / WAYS : 1;
	t->buckets = mem_array(t->sets * WAYS, sizeof(*t->buckets));
	t->first_changed = t->last_changed = NO_BUCKET;
}

struct auth_throttle *auth_throttle_new(const struct auth_throttle_rules *rules)
{
	struct auth_throttle *t = mem_zalloc(sizeof(*t));

	t->rules = *rules;
	if (!t->rules.window_ms)
		t->rules.window_ms = 1;
	table_init(&t->failures, rules->entries_max);
	table_init(&t->pairs, rules->pairs_max);
	rng_fill(t->secret, sizeof(t->secret));
	return t;
}

void auth_throttle_secret(struct auth_throttle *t, const uint8_t secret[16])
{
	memcpy(t->secret, secret, sizeof(t->secret));
}

void auth_throttle_free(struct auth_throttle **t)
{
	if (!*t)
		return;
	free((*t)->failures.buckets);
	free((*t)->pairs.buckets);
	free(*t);
	*t = NULL;
}

bool auth_throttle_peer(struct span peer, uint8_t key_out[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];
	uint8_t raw[16] = {0};

	if (peer.len == 0 || peer.len >= sizeof(text) || span_find(peer, '\0') < peer.len)
		return false;
	memcpy(text, peer.ptr, peer.len);
	text[peer.len] = '\0';
	if (inet_pton(AF_INET, text, raw + 12) == 1)
		memcpy(raw, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, text, raw) != 1)
		return false;
	else if (memcmp(raw, mapped, sizeof(mapped)) != 0)
		memset(raw + 8, 0, 8); /* a customer has a /64 */
	memcpy(key_out, raw, 16);
	return true;
}

static uint64_t key_of(const uint8_t secret[16], enum kind kind, uint32_t worker, const uint8_t peer[16], struct span account)
{
	uint8_t text[1 + 16 + 4 + LIMIT_LOGIN_BYTES] = {(uint8_t)kind};
	size_t len = 21;
	uint64_t key;

	if (kind != KIND_ACCOUNT)
		memcpy(text + 1, peer, 16);
	if (kind == KIND_PAIR_OF_WORKER)
		memcpy(text + 17, &worker, 4);
	if (kind != KIND_ADDRESS) {
		struct span head = span_head(account, LIMIT_LOGIN_BYTES);

		for (size_t i = 0; i < head.len; i++)
			text[len++] = byte_lower(head.ptr[i]);
	}
	key = map_hash_keyed(secret, text, len);
	return key ? key : 1;
}

static struct keys keys_of(const struct auth_throttle *t, uint32_t worker, struct span peer, struct span account)
{
	uint8_t raw[16] = {0};

	(void)auth_throttle_peer(peer, raw); /* unreadable: all zero, one bucket for all of them */
	return (struct keys){key_of(t->secret, KIND_ADDRESS, worker, raw, account), key_of(t->secret, KIND_ACCOUNT, worker, raw, account),
		key_of(t->secret, KIND_PAIR, worker, raw, account), key_of(t->secret, KIND_PAIR_OF_WORKER, worker, raw, account)};
}

uint64_t auth_throttle_key(const uint8_t secret[16], struct span peer, struct span account)
{
	uint8_t raw[16] = {0};

	if (account.len)
		return key_of(secret, KIND_ACCOUNT, 0, raw, account);
	(void)auth_throttle_peer(peer, raw);
	return key_of(secret, KIND_ADDRESS, 0, raw, account);
}

static struct bucket *table_set(const struct table *t, uint64_t key)
{
	return t->buckets + (key % t->sets) * WAYS;
}

static struct bucket *table_find(const struct table *t, uint64_t key)
{
	struct bucket *set = table_set(t, key);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
	}
	return NULL;
}

/* tokens that came back since `at` */
static uint64_t refilled(const struct auth_throttle *t, uint32_t limit, mono_ms since, mono_ms now)
{
	mono_ms passed = now > since ? now - since : 0;

	if (passed >= t->rules.window_ms)
		return UINT64_MAX;
	return (uint64_t)((unsigned __int128)passed * limit * TOKEN / t->rules.window_ms);
}

static uint64_t spent_now(const struct auth_throttle *t, uint32_t limit, const struct bucket *b, mono_ms now)
{
	uint64_t back = refilled(t, limit, b->at, now);

	return b->spent > back ? b->spent - back : 0;
}

/* The place of key, or of whoever in its set says least: for failures the one with the fewest of them, for pairs (limit 0) the oldest. */
static struct bucket *table_take(const struct auth_throttle *t, const struct table *table, uint64_t key, uint32_t limit, mono_ms now)
{
	struct bucket *set = table_set(table, key), *least = NULL, *b = table_find(table, key);

	if (b)
		return b;
	for (size_t i = 0; i < WAYS; i++) {
		uint64_t mine, theirs;

		b = &set[i];
		if (!b->key) {
			least = b;
			break;
		}
		mine = limit ? spent_now(t, limit, b, now) : 0;
		theirs = limit && least ? spent_now(t, limit, least, now) : 0;
		if (!least || mine < theirs || (mine == theirs && b->at < least->at))
			least = b;
	}
	/* its place in the list of changes stays: whoever is there next has changed, too */
	*least = (struct bucket){.key = key, .at = now, .changed = least->changed, .next_changed = least->next_changed};
	return least;
}

static void table_changed(struct table *t, struct bucket *b)
{
	uint32_t index = (uint32_t)(b - t->buckets);

	if (b->changed)
		return;
	b->changed = true;
	b->next_changed = NO_BUCKET;
	if (t->last_changed == NO_BUCKET)
		t->first_changed = index;
	else
		t->buckets[t->last_changed].next_changed = index;
	t->last_changed = index;
}

static struct bucket *table_next_changed(struct table *t)
{
	struct bucket *b;

	if (t->first_changed == NO_BUCKET)
		return NULL;
	b = &t->buckets[t->first_changed];
	t->first_changed = b->next_changed;
	if (t->first_changed == NO_BUCKET)
		t->last_changed = NO_BUCKET;
	b->changed = false;
	return b;
}

/* 0: may try; else ms until it may */
static uint64_t bucket_wait_ms(const struct auth_throttle *t, uint32_t limit, const struct bucket *b, mono_ms now)
{
	uint64_t full = (uint64_t)limit * TOKEN, spent;

	if (!b || !limit)
		return 0;
	spent = spent_now(t, limit, b, now);
	if (spent + TOKEN <= full)
		return 0;
	return (uint64_t)((unsigned __int128)(spent + TOKEN - full) * t->rules.window_ms / full) + 1;
}

static uint32_t bucket_spend(struct auth_throttle *t, uint32_t limit, struct bucket *b, mono_ms now)
{
	uint64_t full = (uint64_t)limit * TOKEN;

	b->spent = spent_now(t, limit, b, now) + TOKEN;
	if (b->spent > full)
		b->spent = full;
	b->at = now;
	table_changed(&t->failures, b);
	return (uint32_t)((b->spent + TOKEN - 1) / TOKEN);
}

/* of a pair: a bucket as large as the account's */
static uint32_t pair_limit(const struct auth_throttle *t)
{
	return t->rules.per_account ? t->rules.per_account : t->rules.per_address;
}

bool auth_throttle_allows(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now, uint64_t *retry_ms_out)
{
	struct keys k = keys_of(t, worker, peer, account);
	uint64_t wait, more;

	now += EPOCH_MS;
	if (table_find(&t->pairs, k.pair)) {
		wait = bucket_wait_ms(t, pair_limit(t), table_find(&t->failures, k.own), now);
	} else {
		wait = bucket_wait_ms(t, t->rules.per_address, table_find(&t->failures, k.address), now);
		more = bucket_wait_ms(t, t->rules.per_account, table_find(&t->failures, k.account), now);
		if (more > wait)
			wait = more;
	}
	if (wait)
		*retry_ms_out = wait;
	return wait == 0;
}

uint32_t auth_throttle_failed(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now)
{
	struct keys k = keys_of(t, worker, peer, account);
	uint32_t address = 0, name = 0;

	now += EPOCH_MS;
	if (table_find(&t->pairs, k.pair) && pair_limit(t)) {
		struct bucket *own = table_take(t, &t->failures, k.own, pair_limit(t), now);

		own->own = true;
		return bucket_spend(t, pair_limit(t), own, now);
	}
	if (t->rules.per_address)
		address = bucket_spend(t, t->rules.per_address, table_take(t, &t->failures, k.address, t->rules.per_address, now), now);
	if (t->rules.per_account)
		name = bucket_spend(t, t->rules.per_account, table_take(t, &t->failures, k.account, t->rules.per_account, now), now);
	return address > name ? address : name;
}

void auth_throttle_succeeded(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now)
{
	struct keys k = keys_of(t, worker, peer, account);
	struct bucket *b = table_take(t, &t->pairs, k.pair, 0, now + EPOCH_MS), *own = table_find(&t->failures, k.own);

	/* a program that polls need not be written down each time */
	if (b->at == now + EPOCH_MS || now + EPOCH_MS - b->at > t->rules.window_ms)
		table_changed(&t->pairs, b);
	b->at = now + EPOCH_MS;
	/* a right password clears the pair's own mistakes, never those counted for an address or an account: they may be an attacker's */
	if (own)
		own->spent = 0;
}

bool auth_throttle_knows(struct auth_throttle *t, struct span peer, struct span account)
{
	return table_find(&t->pairs, keys_of(t, 0, peer, account).pair) != NULL;
}

/* ---- kept over a restart */

static bool row_of(const struct bucket *b, enum auth_throttle_kept kind, mono_ms now, struct auth_throttle_row *out)
{
	if (!b->key || b->own)
		return false;
	*out = (struct auth_throttle_row){.kind = kind, .key = b->key, .spent = b->spent, .ago_ms = now > b->at ? now - b->at : 0};
	return true;
}

bool auth_throttle_take_changed(struct auth_throttle *t, mono_ms now, struct auth_throttle_row *out)
{
	struct bucket *b;

	while ((b = table_next_changed(&t->failures)))
		if (row_of(b, AUTH_THROTTLE_FAILURES, now + EPOCH_MS, out))
			return true;
	while ((b = table_next_changed(&t->pairs)))
		if (row_of(b, AUTH_THROTTLE_PAIR, now + EPOCH_MS, out))
			return true;
	return false;
}

void auth_throttle_load(struct auth_throttle *t, const struct auth_throttle_row *row, mono_ms now)
{
	struct table *table = row->kind == AUTH_THROTTLE_PAIR ? &t->pairs : &t->failures;
	struct bucket *b;
	mono_ms at = now + EPOCH_MS;

	if (!row->key || table_find(table, row->key))
		return;
	if (row->kind == AUTH_THROTTLE_FAILURES && (row->ago_ms >= t->rules.window_ms || row->ago_ms > at))
		return;
	b = table_take(t, table, row->key, row->kind == AUTH_THROTTLE_PAIR ? 0 : t->rules.per_address, at);
	b->at = row->ago_ms < at ? at - row->ago_ms : 0;
	b->spent = row->spent;
}

void auth_throttle_forget(struct auth_throttle *t, uint64_t key)
{
	struct bucket *b = key ? table_find(&t->failures, key) : NULL;

	if (b)
		b->spent = 0;
}

uint32_t auth_throttle_row_open(const struct auth_throttle_row *row, uint32_t limit, uint64_t window_ms, uint64_t *retry_ms_out)
{
	struct auth_throttle t = {.rules = {.window_ms = window_ms ? window_ms : 1}};
	struct bucket b = {.key = row->key, .spent = row->spent};

	*retry_ms_out = bucket_wait_ms(&t, limit, &b, row->ago_ms);
	return (uint32_t)((spent_now(&t, limit, &b, row->ago_ms) + TOKEN - 1) / TOKEN);
}
