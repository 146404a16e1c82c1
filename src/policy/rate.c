#include "policy/rate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"

enum { WAYS = 8, RATE_VERSION = 1 };
#define NO_ENTRY UINT32_MAX
/* added to every time, so that a day before the clock began can be named; a multiple of every slot */
#define RATE_EPOCH_MS ((mono_ms)4 * 24 * 3600 * 1000)

static const struct {
	uint32_t slot_ms;
	const char *words;
} rate_windows[RATE_WINDOWS] = {{10000 / 8, "in 10 s"}, {60000 / 8, "a minute"}, {3600000 / 8, "an hour"}, {86400000 / 8, "a day"}};

struct rate_entry {
	uint64_t hash;           /* of the key; 0: unused */
	mono_ms at;              /* of the last change, with the epoch; every ring ends there */
	uint32_t next_changed;   /* index */
	bool changed;
	struct rate_key key;
	uint32_t slots[RATE_WINDOWS][RATE_SLOTS]; /* rings: slot number n is at n % RATE_SLOTS */
};

struct rate_table {
	struct rate_entry *entries;
	uint32_t sets;
	uint32_t first_changed, last_changed;
	uint64_t boot;
};

struct rate_table *rate_table_new(uint32_t entries, uint64_t boot)
{
	struct rate_table *t = mem_zalloc(sizeof(*t));

	*t = (struct rate_table){.sets = entries / WAYS ? entries / WAYS : 1, .first_changed = NO_ENTRY, .last_changed = NO_ENTRY, .boot = boot};
	t->entries = mem_array((size_t)t->sets * WAYS, sizeof(*t->entries));
	return t;
}

void rate_table_free(struct rate_table **t)
{
	if (!*t)
		return;
	free((*t)->entries);
	free(*t);
	*t = NULL;
}

enum rc rate_key_make(uint8_t kind, struct span bytes, struct rate_key *out)
{
	if (bytes.len > RATE_KEY_BYTES)
		return RC_LIMIT;
	*out = (struct rate_key){.kind = kind, .len = (uint8_t)bytes.len};
	if (bytes.len)
		memcpy(out->bytes, bytes.ptr, bytes.len);
	return RC_OK;
}

bool rate_key_eq(const struct rate_key *a, const struct rate_key *b)
{
	return a->kind == b->kind && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

uint64_t rate_window_ms(int window)
{
	return (uint64_t)rate_windows[window].slot_ms * (RATE_SLOTS - 1);
}

const char *rate_window_words(int window)
{
	return rate_windows[window].words;
}

void rate_write_wait(char *out, size_t size, uint64_t ms)
{
	uint64_t seconds = ms / 1000 + (ms % 1000 != 0);

	if (seconds <= 120)
		(void)snprintf(out, size, "%llu s", (unsigned long long)seconds);
	else if (seconds <= 120 * 60)
		(void)snprintf(out, size, "%llu min", (unsigned long long)((seconds + 59) / 60));
	else
		(void)snprintf(out, size, "%llu h", (unsigned long long)((seconds + 3599) / 3600));
}

/* ---- one entry */

static uint64_t slot_of(mono_ms at, int window)
{
	return at / rate_windows[window].slot_ms;
}

/* a clock that goes back stands still */
static mono_ms entry_time(const struct rate_entry *e, mono_ms now)
{
	now += RATE_EPOCH_MS;
	return now > e->at ? now : e->at;
}

/* slot `n` as of now, which has number `last` */
static uint32_t entry_slot(const struct rate_entry *e, int window, uint64_t n, uint64_t last)
{
	uint64_t newest = slot_of(e->at, window);

	return n > newest || n + RATE_SLOTS <= newest || n + RATE_SLOTS <= last ? 0 : e->slots[window][n % RATE_SLOTS];
}

static uint64_t entry_sum(const struct rate_entry *e, int window, mono_ms at)
{
	uint64_t last = slot_of(at, window), sum = 0;

	for (uint64_t i = 0; i < RATE_SLOTS; i++)
		sum += entry_slot(e, window, last - i, last);
	return sum;
}

/* brings the rings to `at` */
static void entry_advance(struct rate_entry *e, mono_ms at)
{
	for (int w = 0; w < RATE_WINDOWS; w++) {
		uint64_t from = slot_of(e->at, w), to = slot_of(at, w);

		if (to - from >= RATE_SLOTS) {
			memset(e->slots[w], 0, sizeof(e->slots[w]));
			continue;
		}
		for (uint64_t n = from + 1; n <= to; n++)
			e->slots[w][n % RATE_SLOTS] = 0;
	}
	e->at = at;
}

static void slot_add(uint32_t *slot, uint32_t n)
{
	*slot = *slot > UINT32_MAX - n ? UINT32_MAX : *slot + n;
}

/* ---- the table */

static uint64_t key_hash(const struct rate_key *k)
{
	uint64_t hash = map_hash(k, offsetof(struct rate_key, bytes) + k->len);

	return hash ? hash : 1;
}

static struct rate_entry *table_find(const struct rate_table *t, const struct rate_key *k, uint64_t hash)
{
	struct rate_entry *set = t->entries + (hash % t->sets) * WAYS;

	for (int i = 0; i < WAYS; i++)
		if (set[i].hash == hash && rate_key_eq(&set[i].key, k))
			return &set[i];
	return NULL;
}

/* what giving it up would lose: its day, as of its last change; looked at eight at a time, so without leaving out what became old since */
static uint64_t entry_weight(const struct rate_entry *e, mono_ms at)
{
	uint64_t sum = 0;

	if (at > e->at && at - e->at >= (mono_ms)RATE_SLOTS * rate_windows[RATE_DAY].slot_ms)
		return 0;
	for (int i = 0; i < RATE_SLOTS; i++)
		sum += e->slots[RATE_DAY][i];
	return sum;
}

static struct rate_entry *table_take(struct rate_table *t, const struct rate_key *k, uint64_t hash, mono_ms at)
{
	struct rate_entry *set = t->entries + (hash % t->sets) * WAYS, *least = NULL, *e = table_find(t, k, hash);
	uint64_t least_sum = 0;

	if (e)
		return e;
	for (int i = 0; i < WAYS; i++) {
		uint64_t sum;

		e = &set[i];
		if (!e->hash) {
			least = e;
			break;
		}
		sum = entry_weight(e, at);
		if (least && (sum > least_sum || (sum == least_sum && e->at >= least->at)))
			continue;
		least = e;
		least_sum = sum;
	}
	/* its place in the list of changes stays: whoever is there next has changed, too */
	*least = (struct rate_entry){.hash = hash, .at = at, .key = *k, .changed = least->changed, .next_changed = least->next_changed};
	return least;
}

static void table_changed(struct rate_table *t, struct rate_entry *e)
{
	uint32_t index = (uint32_t)(e - t->entries);

	if (e->changed)
		return;
	e->changed = true;
	e->next_changed = NO_ENTRY;
	if (t->last_changed == NO_ENTRY)
		t->first_changed = index;
	else
		t->entries[t->last_changed].next_changed = index;
	t->last_changed = index;
}

/* ---- counting */

/* until n more fit: slots leave the window one after the other, oldest first */
static uint64_t entry_retry_ms(const struct rate_entry *e, int window, uint32_t most, uint32_t n, mono_ms at)
{
	uint64_t last = slot_of(at, window), sum = entry_sum(e, window, at), slot = last + 1 - RATE_SLOTS;

	for (; slot < last; slot++) {
		sum -= entry_slot(e, window, slot, last);
		if (sum + n <= most)
			break;
	}
	return (slot + RATE_SLOTS) * rate_windows[window].slot_ms - at;
}

bool rate_check(const struct rate_table *t, const struct rate_key *k, const uint32_t most[RATE_WINDOWS], uint32_t n, mono_ms now, struct rate_hit *hit_out)
{
	static const struct rate_entry nothing;
	const struct rate_entry *e = table_find(t, k, key_hash(k));
	struct rate_hit hit = {0};
	mono_ms at;

	if (!e)
		e = &nothing;
	at = entry_time(e, now);
	for (int w = 0; w < RATE_WINDOWS; w++) {
		uint64_t used = most[w] ? entry_sum(e, w, at) : 0, retry;

		if (!most[w] || used + n <= most[w])
			continue;
		retry = entry_retry_ms(e, w, most[w], n, at);
		if (retry > hit.retry_ms)
			hit = (struct rate_hit){.window = w, .most = most[w], .used = used, .retry_ms = retry, .hopeless = n > most[w]};
	}
	if (hit.retry_ms)
		*hit_out = hit;
	return hit.retry_ms == 0;
}

void rate_count(struct rate_table *t, const struct rate_key *k, uint32_t n, mono_ms now)
{
	struct rate_entry *e = table_take(t, k, key_hash(k), now + RATE_EPOCH_MS);

	entry_advance(e, entry_time(e, now));
	for (int w = 0; w < RATE_WINDOWS; w++)
		slot_add(&e->slots[w][slot_of(e->at, w) % RATE_SLOTS], n);
	table_changed(t, e);
}

void rate_uncount(struct rate_table *t, const struct rate_key *k, uint32_t n, mono_ms now)
{
	struct rate_entry *e = table_find(t, k, key_hash(k));

	if (!e)
		return;
	entry_advance(e, entry_time(e, now));
	for (int w = 0; w < RATE_WINDOWS; w++) {
		uint64_t last = slot_of(e->at, w);
		uint32_t left = n;

		for (uint64_t i = 0; i < RATE_SLOTS && left; i++) {
			uint32_t *slot = &e->slots[w][(last - i) % RATE_SLOTS], took = *slot < left ? *slot : left;

			*slot -= took;
			left -= took;
		}
	}
	table_changed(t, e);
}

bool rate_used(const struct rate_table *t, const struct rate_key *k, mono_ms now, uint64_t used_out[RATE_WINDOWS])
{
	const struct rate_entry *e = table_find(t, k, key_hash(k));

	for (int w = 0; w < RATE_WINDOWS; w++)
		used_out[w] = e ? entry_sum(e, w, entry_time(e, now)) : 0;
	return e != NULL;
}

bool rate_next(const struct rate_table *t, size_t *at, struct rate_key *key_out)
{
	for (; *at < (size_t)t->sets * WAYS; (*at)++)
		if (t->entries[*at].hash) {
			*key_out = t->entries[(*at)++].key;
			return true;
		}
	return false;
}

void rate_forget(struct rate_table *t, const struct rate_key *k)
{
	struct rate_entry *e = table_find(t, k, key_hash(k));

	if (!e)
		return;
	e->hash = 0; /* stays in the list of changes, where nobody is looked for */
	memset(e->slots, 0, sizeof(e->slots));
}

/* ---- saving */

bool rate_take_changed(struct rate_table *t, struct rate_key *key_out)
{
	while (t->first_changed != NO_ENTRY) {
		struct rate_entry *e = &t->entries[t->first_changed];

		t->first_changed = e->next_changed;
		if (t->first_changed == NO_ENTRY)
			t->last_changed = NO_ENTRY;
		e->changed = false;
		if (!e->hash)
			continue;
		*key_out = e->key;
		return true;
	}
	return false;
}

void rate_put_changed(struct rate_table *t, const struct rate_key *k)
{
	struct rate_entry *e = table_find(t, k, key_hash(k));

	if (e)
		table_changed(t, e);
}

static uint8_t *put_le(uint8_t *to, uint64_t n, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(n >> 8 * i);
	return to + bytes;
}

/* version, boot, monotonic time; for each window how far into its slot that was, and the slots, newest first */
bool rate_save(const struct rate_table *t, const struct rate_key *k, mono_ms now, uint8_t saved_out[RATE_SAVED_BYTES])
{
	const struct rate_entry *e = table_find(t, k, key_hash(k));
	uint8_t *to = saved_out;
	mono_ms at;

	if (!e)
		return false;
	at = entry_time(e, now);
	to = put_le(to, RATE_VERSION, 1);
	to = put_le(to, t->boot, 8);
	to = put_le(to, at - RATE_EPOCH_MS, 8);
	for (int w = 0; w < RATE_WINDOWS; w++) {
		uint64_t last = slot_of(at, w);

		to = put_le(to, at % rate_windows[w].slot_ms, 4);
		for (uint64_t i = 0; i < RATE_SLOTS; i++)
			to = put_le(to, entry_slot(e, w, last - i, last), 4);
	}
	return true;
}

struct rate_read {
	uint64_t boot, mono;
	uint32_t into[RATE_WINDOWS];
	uint32_t slots[RATE_WINDOWS][RATE_SLOTS];
};

static enum rc rate_read(struct span saved, struct rate_read *out)
{
	const uint8_t *at = saved.ptr;

	if (saved.len != RATE_SAVED_BYTES || *at != RATE_VERSION)
		return RC_BAD;
	out->boot = num_le(at + 1, 8);
	out->mono = num_le(at + 9, 8);
	at += 17;
	for (int w = 0; w < RATE_WINDOWS; w++) {
		out->into[w] = (uint32_t)num_le(at, 4);
		if (out->into[w] >= rate_windows[w].slot_ms)
			return RC_BAD;
		at += 4;
		for (int i = 0; i < RATE_SLOTS; i++, at += 4)
			out->slots[w][i] = (uint32_t)num_le(at, 4);
	}
	return RC_OK;
}

/* What was counted in a slot goes where the end of that slot falls now; the newest ended when it was saved. true: something still counts */
static bool entry_fill(struct rate_entry *e, const struct rate_read *from, uint64_t ago_ms)
{
	mono_ms saved = ago_ms < e->at ? e->at - ago_ms : 0;
	bool any = false;

	for (int w = 0; w < RATE_WINDOWS; w++)
		for (uint32_t i = 0; i < RATE_SLOTS; i++) {
			mono_ms back = i ? from->into[w] + (mono_ms)(i - 1) * rate_windows[w].slot_ms + 1 : 0;
			uint64_t slot = back <= saved ? slot_of(saved - back, w) : 0;

			if (from->slots[w][i] == 0 || slot + RATE_SLOTS <= slot_of(e->at, w))
				continue;
			slot_add(&e->slots[w][slot % RATE_SLOTS], from->slots[w][i]);
			any = true;
		}
	return any;
}

enum rc rate_load(struct rate_table *t, const struct rate_key *k, struct span saved, int64_t gap_ms, mono_ms now)
{
	struct rate_entry e = {.at = now + RATE_EPOCH_MS}, *to;
	uint64_t hash = key_hash(k), ago = gap_ms > 0 ? (uint64_t)gap_ms : 0;
	struct rate_read from;

	if (rate_read(saved, &from) != RC_OK)
		return RC_BAD;
	if (table_find(t, k, hash))
		return RC_EXISTS;
	if (t->boot && from.boot == t->boot && from.mono <= now)
		ago = now - from.mono;
	if (ago >= rate_window_ms(RATE_DAY) + rate_windows[RATE_DAY].slot_ms || !entry_fill(&e, &from, ago))
		return RC_NONE;
	to = table_take(t, k, hash, e.at);
	memcpy(to->slots, e.slots, sizeof(e.slots));
	return RC_OK;
}
