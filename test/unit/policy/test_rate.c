/* The counters: borders of the windows, retry times, clocks that jump, a million keys, saving, and random histories against a plain list of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/rate.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR, BOOT = 77 };

static const uint32_t no_limit[RATE_WINDOWS];

static struct rate_key key(unsigned n)
{
	char text[16];
	struct rate_key k;

	(void)snprintf(text, sizeof(text), "%u", n);
	assert_int_equal(rate_key_make(1, span_str(text), &k), RC_OK);
	return k;
}

static void one_limit(uint32_t most[RATE_WINDOWS], int window, uint32_t n)
{
	memset(most, 0, sizeof(no_limit));
	most[window] = n;
}

/* ---- windows */

static void test_no_limit_refuses_nothing(void **state)
{
	struct rate_table *t = rate_table_new(8, 0);
	struct rate_key k = key(1);
	struct rate_hit hit;

	(void)state;
	for (int i = 0; i < 1000; i++)
		rate_count(t, &k, UINT32_MAX, 5);
	assert_true(rate_check(t, &k, no_limit, UINT32_MAX, 5, &hit));
	rate_table_free(&t);
	assert_null(t);
}

static void test_each_window_fills_and_empties(void **state)
{
	static const uint64_t lengths[RATE_WINDOWS] = {10 * SECOND, MINUTE, HOUR, DAY};

	(void)state;
	for (int w = 0; w < RATE_WINDOWS; w++) {
		struct rate_table *t = rate_table_new(8, 0);
		struct rate_key k = key(1);
		struct rate_hit hit = {.window = -1};
		uint32_t most[RATE_WINDOWS];
		mono_ms at = 12345;

		one_limit(most, w, 3);
		assert_int_equal(rate_window_ms(w), lengths[w]);
		for (int i = 0; i < 3; i++) {
			assert_true(rate_check(t, &k, most, 1, at, &hit));
			rate_count(t, &k, 1, at);
		}
		assert_int_equal(hit.window, -1);
		assert_false(rate_check(t, &k, most, 1, at, &hit));
		assert_int_equal(hit.window, w);
		assert_int_equal(hit.most, 3);
		assert_int_equal(hit.used, 3);
		assert_false(hit.hopeless);
		assert_in_range(hit.retry_ms, lengths[w], lengths[w] + lengths[w] / 8);
		/* the whole length of the window is kept, and the time that was said is exact */
		assert_false(rate_check(t, &k, most, 1, at + lengths[w], &hit));
		assert_false(rate_check(t, &k, most, 1, at, &hit));
		assert_false(rate_check(t, &k, most, 1, at + hit.retry_ms - 1, &(struct rate_hit){0}));
		assert_true(rate_check(t, &k, most, 3, at + hit.retry_ms, &(struct rate_hit){0}));
		rate_table_free(&t);
	}
}

static void test_the_longest_wait_is_told(void **state)
{
	static const uint32_t most[RATE_WINDOWS] = {5, 5, 5, 5};
	struct rate_table *t = rate_table_new(8, 0);
	struct rate_key k = key(1);
	struct rate_hit hit;

	(void)state;
	rate_count(t, &k, 5, 0);
	assert_false(rate_check(t, &k, most, 1, 0, &hit));
	assert_int_equal(hit.window, RATE_DAY);
	assert_true(rate_check(t, &k, most, 1, hit.retry_ms, &hit));
	rate_table_free(&t);
}

static void test_several_at_once(void **state)
{
	static const uint32_t most[RATE_WINDOWS] = {0, 100, 0, 0};
	struct rate_table *t = rate_table_new(8, 0);
	struct rate_key k = key(1);
	struct rate_hit hit;

	(void)state;
	assert_true(rate_check(t, &k, most, 100, 0, &hit));
	assert_false(rate_check(t, &k, most, 101, 0, &hit));
	assert_true(hit.hopeless);
	rate_count(t, &k, 60, 0);
	assert_true(rate_check(t, &k, most, 40, 0, &hit));
	assert_false(rate_check(t, &k, most, 41, 0, &hit));
	assert_false(hit.hopeless);
	assert_int_equal(hit.used, 60);
	rate_uncount(t, &k, 20, 0);
	assert_true(rate_check(t, &k, most, 60, 0, &hit));
	rate_uncount(t, &k, 1000, 0); /* more than there is */
	assert_true(rate_check(t, &k, most, 100, 0, &hit));
	rate_table_free(&t);
}

static void test_keys_do_not_mix(void **state)
{
	static const uint32_t most[RATE_WINDOWS] = {1, 0, 0, 0};
	struct rate_table *t = rate_table_new(64, 0);
	struct rate_key k = key(1), other_kind = key(1), longer = key(10);
	uint64_t used[RATE_WINDOWS];
	struct rate_hit hit;

	(void)state;
	other_kind.kind = 2;
	rate_count(t, &k, 1, 0);
	assert_false(rate_check(t, &k, most, 1, 0, &hit));
	assert_true(rate_check(t, &other_kind, most, 1, 0, &hit));
	assert_true(rate_check(t, &longer, most, 1, 0, &hit));
	assert_false(rate_used(t, &other_kind, 0, used));
	rate_forget(t, &k);
	assert_true(rate_check(t, &k, most, 1, 0, &hit));
	assert_false(rate_used(t, &k, 0, used));
	assert_int_equal(rate_key_make(1, span_of("123456789012345678901234567890123456789", 39), &k), RC_LIMIT);
	rate_table_free(&t);
}

static void test_waits_in_words(void **state)
{
	static const struct {
		uint64_t ms;
		const char *words;
	} rows[] = {{0, "0 s"}, {1, "1 s"}, {1000, "1 s"}, {1001, "2 s"}, {120000, "120 s"}, {120001, "3 min"}, {7200000, "120 min"}, {7200001, "3 h"}};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rate_write_wait(text, sizeof(text), rows[i].ms);
		assert_string_equal(text, rows[i].words);
	}
	assert_string_equal(rate_window_words(RATE_HOUR), "an hour");
}

/* ---- clocks */

static void test_a_clock_that_jumps(void **state)
{
	static const uint32_t most[RATE_WINDOWS] = {0, 2, 0, 4};
	struct rate_table *t = rate_table_new(8, 0);
	struct rate_key k = key(1);
	uint64_t used[RATE_WINDOWS];
	struct rate_hit hit;

	(void)state;
	rate_count(t, &k, 2, 1000 * (mono_ms)HOUR);
	/* back: it stands still, nothing is forgotten and nobody waits longer than the window */
	assert_false(rate_check(t, &k, most, 1, 0, &hit));
	assert_true(hit.retry_ms <= MINUTE + MINUTE / 8);
	rate_count(t, &k, 2, 5);
	(void)rate_used(t, &k, 1000 * (mono_ms)HOUR, used);
	assert_int_equal(used[RATE_DAY], 4);
	/* far ahead: all is over, and counting goes on */
	assert_true(rate_check(t, &k, most, 2, UINT64_MAX / 2, &hit));
	rate_count(t, &k, 2, UINT64_MAX / 2);
	assert_false(rate_check(t, &k, most, 1, UINT64_MAX / 2, &hit));
	rate_table_free(&t);
}

/* ---- memory */

static void test_a_million_keys_in_bounds(void **state)
{
	static const uint32_t most[RATE_WINDOWS] = {0, 0, 0, 100};
	enum { ENTRIES = 1024, KEYS = 1000000 };
	struct rate_table *t = rate_table_new(ENTRIES, 0);
	struct rate_key heavy = key(0), k;
	struct rate_hit hit;
	size_t at = 0, n = 0, kept = 0;

	(void)state;
	rate_count(t, &heavy, 100, 0);
	for (unsigned i = 1; i <= KEYS; i++) {
		k = key(i);
		rate_count(t, &k, 1, i / 1000);
	}
	while (rate_next(t, &at, &k)) {
		n++;
		kept += rate_key_eq(&k, &heavy);
	}
	assert_int_equal(n, ENTRIES);
	assert_int_equal(kept, 1); /* who counted most is not pushed out by those who come once */
	assert_false(rate_check(t, &heavy, most, 1, 1000, &hit));
	/* every change is told once at most, of what is still there */
	for (n = 0; rate_take_changed(t, &k); n++)
		assert_true(n < ENTRIES);
	assert_int_equal(n, ENTRIES);
	rate_table_free(&t);
}

static void test_a_silent_one_gives_way(void **state)
{
	struct rate_table *t = rate_table_new(8, 0);
	uint64_t used[RATE_WINDOWS];
	struct rate_key k;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		k = key(i);
		rate_count(t, &k, 100, i == 3 ? 0 : 2 * (mono_ms)DAY);
	}
	k = key(8);
	rate_count(t, &k, 1, 2 * (mono_ms)DAY);
	for (unsigned i = 0; i < 9; i++) {
		k = key(i);
		assert_int_equal(rate_used(t, &k, 2 * (mono_ms)DAY, used), i != 3);
	}
	rate_table_free(&t);
}

/* ---- saving */

static void save(struct rate_table *t, unsigned n, mono_ms now, uint8_t out[RATE_SAVED_BYTES])
{
	struct rate_key k = key(n);

	assert_true(rate_save(t, &k, now, out));
}

static void test_changes_are_told_in_order(void **state)
{
	struct rate_table *t = rate_table_new(64, 0);
	struct rate_key k;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		k = key(i);
		rate_count(t, &k, 1, 0);
		rate_count(t, &k, 1, 0);
	}
	k = key(1);
	rate_forget(t, &k);
	assert_true(rate_take_changed(t, &k));
	assert_memory_equal(k.bytes, "0", 1);
	rate_put_changed(t, &k);
	assert_true(rate_take_changed(t, &k));
	assert_memory_equal(k.bytes, "2", 1);
	assert_true(rate_take_changed(t, &k));
	assert_memory_equal(k.bytes, "0", 1);
	assert_false(rate_take_changed(t, &k));
	k = key(2);
	rate_uncount(t, &k, 1, 0);
	assert_true(rate_take_changed(t, &k));
	rate_table_free(&t);
}

static void test_saved_and_loaded(void **state)
{
	static const struct {
		const char *what;
		uint64_t boot;         /* of the table that loads */
		int64_t gap_ms;
		mono_ms loaded_at;
		enum rc rc;
		uint64_t used[RATE_WINDOWS];
	} rows[] = {
		{"at once", BOOT, 0, DAY, RC_OK, {7, 7, 7, 7}},
		{"same boot: the wall clock does not count", BOOT, 10LL * 365 * DAY, DAY + 5, RC_OK, {7, 7, 7, 7}},
		{"same boot, later", BOOT, 0, DAY + 2 * MINUTE, RC_OK, {0, 0, 7, 7}},
		{"same boot, a day later", BOOT, 0, 3 * (mono_ms)DAY, RC_NONE, {0}},
		{"another boot", 1, 20 * SECOND, 50, RC_OK, {0, 7, 7, 7}},
		{"another boot, two hours", 1, 2 * HOUR, 0, RC_OK, {0, 0, 0, 7}},
		{"another boot, ten years", 1, 10LL * 365 * DAY, 0, RC_NONE, {0}},
		{"another boot, the clock went back", 1, -10LL * 365 * DAY, 0, RC_OK, {7, 7, 7, 7}},
		{"a boot that is not known", 0, 20 * SECOND, DAY, RC_OK, {0, 7, 7, 7}},
		{"the monotonic clock began anew under the same name", BOOT, 20 * SECOND, 3, RC_OK, {0, 7, 7, 7}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rate_table *t = rate_table_new(8, BOOT), *u = rate_table_new(8, rows[i].boot);
		uint8_t saved[RATE_SAVED_BYTES];
		uint64_t used[RATE_WINDOWS];
		struct rate_key k = key(1);

		rate_count(t, &k, 7, DAY);
		save(t, 1, DAY, saved);
		assert_int_equal(rate_load(u, &k, span_of(saved, sizeof(saved)), rows[i].gap_ms, rows[i].loaded_at), rows[i].rc);
		(void)rate_used(u, &k, rows[i].loaded_at, used);
		for (int w = 0; w < RATE_WINDOWS; w++)
			if (used[w] != rows[i].used[w])
				fail_msg("%s: window %d has %llu", rows[i].what, w, (unsigned long long)used[w]);
		if (rows[i].rc == RC_OK)
			assert_int_equal(rate_load(u, &k, span_of(saved, sizeof(saved)), 0, rows[i].loaded_at), RC_EXISTS);
		rate_table_free(&t);
		rate_table_free(&u);
	}
}

static void test_saved_bytes_that_are_wrong(void **state)
{
	struct rate_table *t = rate_table_new(8, BOOT), *u = rate_table_new(8, BOOT);
	uint8_t saved[RATE_SAVED_BYTES + 1] = {0};
	struct rate_key k = key(1);

	(void)state;
	rate_count(t, &k, 7, DAY);
	save(t, 1, DAY, saved);
	for (size_t len = 0; len <= sizeof(saved); len++)
		if (len != RATE_SAVED_BYTES)
			assert_int_equal(rate_load(u, &k, span_of(saved, len), 0, DAY), RC_BAD);
	for (int i = 0; i < RATE_SAVED_BYTES; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct rate_hit hit;

			saved[i] ^= (uint8_t)(1 << bit);
			(void)!rate_load(u, &k, span_of(saved, RATE_SAVED_BYTES), 0, DAY);
			(void)rate_check(u, &k, (uint32_t[]){1, 1, 1, 1}, 1, DAY, &hit);
			rate_forget(u, &k);
			saved[i] ^= (uint8_t)(1 << bit);
		}
	rate_table_free(&t);
	rate_table_free(&u);
}

/* ---- against a list of events */

struct history {
	struct {
		mono_ms at;
		uint32_t n;
	} *events;
	size_t count;
};

static uint64_t reference(const struct history *h, mono_ms now, uint64_t length)
{
	uint64_t sum = 0;

	for (size_t i = h->count; i-- > 0 && now - h->events[i].at < length;)
		sum += h->events[i].n;
	return sum;
}

static uint32_t random_below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* what the header promises, for one window */
static void check_bounds(const struct history *h, int w, uint64_t used, mono_ms now)
{
	uint64_t length = rate_window_ms(w);

	if (used < reference(h, now, length) || used > reference(h, now, length + length / 8))
		fail_msg("window %d at %llu: %llu counted, %llu and %llu true", w, (unsigned long long)now, (unsigned long long)used,
			(unsigned long long)reference(h, now, length), (unsigned long long)reference(h, now, length + length / 8));
}

static void test_random_histories(void **state)
{
	static const uint32_t steps[] = {1, 200, 3000, 40000, 2000000, 50000000}, most[RATE_WINDOWS] = {20, 60, 200, 700};
	enum { RUNS = 60, EVENTS = 600 };

	(void)state;
	for (uint64_t run = 0; run < RUNS; run++) {
		struct rate_table *t = rate_table_new(8, BOOT);
		struct history h = {.events = mem_array(EVENTS, sizeof(*h.events))};
		uint64_t seed = run, used[RATE_WINDOWS];
		struct rate_key k = key(1);
		uint32_t refused = 0;
		mono_ms now = random_below(&seed, 100000);

		for (int i = 0; i < EVENTS; i++) {
			uint32_t n = 1 + random_below(&seed, 4);
			struct rate_hit hit;

			now += random_below(&seed, steps[random_below(&seed, (uint32_t)(1 + run % 6))]);
			(void)rate_used(t, &k, now, used);
			for (int w = 0; w < RATE_WINDOWS; w++)
				check_bounds(&h, w, used[w], now);
			if (rate_check(t, &k, most, n, now, &hit)) {
				rate_count(t, &k, n, now);
				h.events[h.count].at = now;
				h.events[h.count++].n = n;
			} else {
				refused++;
				assert_false(rate_check(t, &k, most, n, now + hit.retry_ms - 1, &(struct rate_hit){0}));
				assert_true(rate_check(t, &k, most, n, now + hit.retry_ms, &(struct rate_hit){0}));
			}
			for (int w = 0; w < RATE_WINDOWS; w++)
				assert_true(reference(&h, now, rate_window_ms(w)) <= most[w]);
		}
		assert_true(refused > 0 || run % 6 >= 4);
		free(h.events);
		rate_table_free(&t);
	}
}

/* as above, with a restart of the program and of the machine now and then: one more eighth of error */
static void test_random_histories_with_restarts(void **state)
{
	enum { RUNS = 40, EVENTS = 300 };

	(void)state;
	for (uint64_t run = 0; run < RUNS; run++) {
		struct rate_table *t = rate_table_new(8, BOOT), *fresh;
		struct history h = {.events = mem_array(EVENTS, sizeof(*h.events))};
		uint64_t seed = run, used[RATE_WINDOWS], boots = 0;
		struct rate_key k = key(1);
		int64_t mono_less_wall = 0; /* the events are kept in wall time */
		mono_ms wall = 100 * (mono_ms)DAY;

		for (int i = 0; i < EVENTS; i++) {
			wall += random_below(&seed, 1 + random_below(&seed, 300000));
			rate_count(t, &k, 1, (mono_ms)((int64_t)wall + mono_less_wall));
			h.events[h.count].at = wall;
			h.events[h.count++].n = 1;
			if (random_below(&seed, 10) == 0) {
				uint8_t saved[RATE_SAVED_BYTES];
				uint32_t down = random_below(&seed, 100000);

				save(t, 1, (mono_ms)((int64_t)wall + mono_less_wall), saved);
				boots += boots < 3;
				if (boots < 3) /* more of them: each may cost an eighth */
					mono_less_wall = -(int64_t)wall + random_below(&seed, 100000);
				wall += down;
				fresh = rate_table_new(8, BOOT + boots);
				(void)!rate_load(fresh, &k, span_of(saved, sizeof(saved)), down, (mono_ms)((int64_t)wall + mono_less_wall));
				rate_table_free(&t);
				t = fresh;
			}
			(void)rate_used(t, &k, (mono_ms)((int64_t)wall + mono_less_wall), used);
			for (int w = 0; w < RATE_WINDOWS; w++) {
				uint64_t length = rate_window_ms(w);

				assert_true(used[w] >= reference(&h, wall, length));
				assert_true(used[w] <= reference(&h, wall, length + (1 + boots) * length / 8));
			}
		}
		free(h.events);
		rate_table_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit_refuses_nothing),
		cmocka_unit_test(test_each_window_fills_and_empties),
		cmocka_unit_test(test_the_longest_wait_is_told),
		cmocka_unit_test(test_several_at_once),
		cmocka_unit_test(test_keys_do_not_mix),
		cmocka_unit_test(test_waits_in_words),
		cmocka_unit_test(test_a_clock_that_jumps),
		cmocka_unit_test(test_a_million_keys_in_bounds),
		cmocka_unit_test(test_a_silent_one_gives_way),
		cmocka_unit_test(test_changes_are_told_in_order),
		cmocka_unit_test(test_saved_and_loaded),
		cmocka_unit_test(test_saved_bytes_that_are_wrong),
		cmocka_unit_test(test_random_histories),
		cmocka_unit_test(test_random_histories_with_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
