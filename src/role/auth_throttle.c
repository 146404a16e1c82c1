#include "role/auth_throttle.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

enum { WAYS = 8, TOKEN = 1000 }; /* tokens are counted in thousandths */

/* One bucket. Entries live in sets of WAYS, chosen by a keyed hash, so nobody can aim at the entry of another. */
struct bucket {
	uint64_t key;      /* 0: unused */
	mono_ms at;        /* when `spent` was true */
	uint64_t spent;    /* tokens gone, in thousandths */
};

struct table {
	struct bucket *buckets;
	size_t sets;
};

struct auth_throttle {
	struct auth_throttle_rules rules;
	struct table failures, pairs;
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
}

struct auth_throttle *auth_throttle_new(const struct auth_throttle_rules *rules)
{
	struct auth_throttle *t = mem_zalloc(sizeof(*t));

	t->rules = *rules;
	if (!t->rules.window_ms)
		t->rules.window_ms = 1;
	table_init(&t->failures, rules->entries_max);
	table_init(&t->pairs, rules->pairs_max);
	return t;
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

static uint64_t key_of(enum kind kind, uint32_t worker, const uint8_t peer[16], struct span account)
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
	key = map_hash(text, len);
	return key ? key : 1;
}

static struct keys keys_of(uint32_t worker, struct span peer, struct span account)
{
	uint8_t raw[16] = {0};

	(void)auth_throttle_peer(peer, raw); /* unreadable: all zero, one bucket for all of them */
	return (struct keys){key_of(KIND_ADDRESS, worker, raw, account), key_of(KIND_ACCOUNT, worker, raw, account), key_of(KIND_PAIR, worker, raw, account),
		key_of(KIND_PAIR_OF_WORKER, worker, raw, account)};
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
	*least = (struct bucket){.key = key, .at = now};
	return least;
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

static uint32_t bucket_spend(const struct auth_throttle *t, uint32_t limit, struct bucket *b, mono_ms now)
{
	uint64_t full = (uint64_t)limit * TOKEN;

	b->spent = spent_now(t, limit, b, now) + TOKEN;
	if (b->spent > full)
		b->spent = full;
	b->at = now;
	return (uint32_t)((b->spent + TOKEN - 1) / TOKEN);
}

/* of a pair: a bucket as large as the account's */
static uint32_t pair_limit(const struct auth_throttle *t)
{
	return t->rules.per_account ? t->rules.per_account : t->rules.per_address;
}

bool auth_throttle_allows(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now, uint64_t *retry_ms_out)
{
	struct keys k = keys_of(worker, peer, account);
	uint64_t wait, more;

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
	struct keys k = keys_of(worker, peer, account);
	uint32_t address = 0, name = 0;

	if (table_find(&t->pairs, k.pair) && pair_limit(t))
		return bucket_spend(t, pair_limit(t), table_take(t, &t->failures, k.own, pair_limit(t), now), now);
	if (t->rules.per_address)
		address = bucket_spend(t, t->rules.per_address, table_take(t, &t->failures, k.address, t->rules.per_address, now), now);
	if (t->rules.per_account)
		name = bucket_spend(t, t->rules.per_account, table_take(t, &t->failures, k.account, t->rules.per_account, now), now);
	return address > name ? address : name;
}

void auth_throttle_succeeded(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now)
{
	struct keys k = keys_of(worker, peer, account);
	struct bucket *b = table_take(t, &t->pairs, k.pair, 0, now), *own = table_find(&t->failures, k.own);

	*b = (struct bucket){.key = k.pair, .at = now};
	/* a right password clears the pair's own mistakes, never those counted for an address or an account: they may be an attacker's */
	if (own)
		own->spent = 0;
}

bool auth_throttle_knows(struct auth_throttle *t, struct span peer, struct span account)
{
	return table_find(&t->pairs, keys_of(0, peer, account).pair) != NULL;
}
