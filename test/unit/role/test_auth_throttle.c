#include <stdio.h>

#include "role/auth_cache.h"
#include "role/auth_throttle.h"
#include "test_role.h"

enum { WINDOW_MS = 60000 };

static struct span s(const char *text) { return span_str(text); }

static struct auth_throttle *make(uint32_t per_address, uint32_t per_account, uint32_t entries)
{
	return auth_throttle_new(&(struct auth_throttle_rules){.per_address = per_address, .per_account = per_account, .window_ms = WINDOW_MS,
		.entries_max = entries, .pairs_max = 64});
}

static bool may(struct auth_throttle *t, const char *peer, const char *account, mono_ms now)
{
	uint64_t retry = 0;
	bool ok = auth_throttle_allows(t, 1, s(peer), s(account), now, &retry);

	assert_true(ok == (retry == 0));
	return ok;
}

static void fail_times(struct auth_throttle *t, const char *peer, const char *account, mono_ms now, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)auth_throttle_failed(t, 1, s(peer), s(account), now);
}

static void test_peer(void **state)
{
	static const struct { const char *a, *b; bool same; } cases[] = {
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false}, {"::ffff:192.0.2.1", "192.0.2.1", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true}, {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
	};
	static const char *const bad[] = {"", "localhost", "192.0.2", "192.0.2.1.5", "1:2:3", "192.0.2.1 ",
		"11111111111111111111111111111111111111111111111111111111111111111111"};
	uint8_t a[16], b[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(auth_throttle_peer(s(cases[i].a), a) && auth_throttle_peer(s(cases[i].b), b));
		assert_int_equal(memcmp(a, b, 16) == 0, cases[i].same);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(auth_throttle_peer(s(bad[i]), a));
	assert_false(auth_throttle_peer(span_of("192.0.2.1\0x", 11), a));
}

static void test_account(void **state)
{
	struct auth_throttle *t = make(100, 3, 64);
	uint64_t retry = 0;

	(void)state;
	fail_times(t, "192.0.2.1", "ann@example.org", 1000, 2);
	assert_true(may(t, "192.0.2.1", "ann@example.org", 1000));
	assert_int_equal(auth_throttle_failed(t, 1, s("192.0.2.2"), s("ANN@example.org"), 1000), 3); /* case and address do not split an account */
	assert_false(may(t, "192.0.2.3", "ann@example.org", 1000));
	assert_true(may(t, "192.0.2.3", "bob@example.org", 1000));
	/* tokens come back one by one: three in a window */
	assert_false(auth_throttle_allows(t, 1, s("192.0.2.3"), s("ann@example.org"), 1000, &retry));
	assert_in_range(retry, WINDOW_MS / 3, WINDOW_MS / 3 + 2);
	assert_false(may(t, "192.0.2.3", "ann@example.org", 1000 + WINDOW_MS / 3 - 10));
	assert_true(may(t, "192.0.2.3", "ann@example.org", 1000 + WINDOW_MS / 3 + 2));
	fail_times(t, "192.0.2.3", "ann@example.org", 1000 + WINDOW_MS / 3 + 2, 1);
	assert_false(may(t, "192.0.2.3", "ann@example.org", 1000 + WINDOW_MS / 3 + 3));
	assert_true(may(t, "192.0.2.3", "ann@example.org", 1000 + 3 * WINDOW_MS));
	/* a clock that stands still or goes back gives nothing */
	fail_times(t, "192.0.2.9", "eve@example.org", 9000000, 9);
	assert_false(may(t, "192.0.2.9", "eve@example.org", 1));
	auth_throttle_free(&t);
	assert_null(t);
}

static void test_address(void **state)
{
	struct auth_throttle *t = make(5, 100, 64);
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "user%u@example.org", i);
		assert_true(may(t, "2001:db8::1", name, 0));
		assert_int_equal(auth_throttle_failed(t, 1, s("2001:db8::1"), s(name), 0), i + 1);
	}
	assert_false(may(t, "2001:db8::2", "user9@example.org", 0)); /* same /64 */
	assert_true(may(t, "2001:db8:0:1::2", "user9@example.org", 0));
	/* addresses that cannot be read share a bucket instead of having none */
	fail_times(t, "junk", "a@b", 0, 5);
	assert_false(may(t, "other junk", "c@d", 0));
	auth_throttle_free(&t);
}

static void test_owner_is_not_locked_out(void **state)
{
	struct auth_throttle *t = make(5, 3, 64);
	uint64_t retry;

	(void)state;
	auth_throttle_succeeded(t, 1, s("192.0.2.1"), s("ann@example.org"), 0);
	assert_true(auth_throttle_knows(t, s("192.0.2.1"), s("Ann@example.org")));
	fail_times(t, "198.51.100.7", "ann@example.org", 10, 50);
	assert_false(may(t, "198.51.100.7", "ann@example.org", 10));
	assert_true(may(t, "192.0.2.1", "ann@example.org", 10));
	/* ... nor by a neighbour behind the same address */
	for (unsigned i = 0; i < 9; i++)
		fail_times(t, "192.0.2.1", i % 2 ? "bob@example.org" : "eve@example.org", 10, 1);
	assert_false(may(t, "192.0.2.1", "bob@example.org", 10));
	assert_true(may(t, "192.0.2.1", "ann@example.org", 10));
	/* but a known address is no licence to guess on */
	fail_times(t, "192.0.2.1", "ann@example.org", 10, 3);
	assert_false(may(t, "192.0.2.1", "ann@example.org", 10));
	/* ... which is counted by worker: what one of them says, perhaps taken over, does not lock the owner out at the others */
	assert_true(auth_throttle_allows(t, 2, s("192.0.2.1"), s("ann@example.org"), 10, &retry));
	assert_int_equal(auth_throttle_failed(t, 2, s("192.0.2.1"), s("ann@example.org"), 10), 1);
	auth_throttle_succeeded(t, 2, s("192.0.2.1"), s("ann@example.org"), 10);
	assert_false(may(t, "192.0.2.1", "ann@example.org", 10));
	/* and these failures were not counted against the account elsewhere beyond what was there */
	assert_true(may(t, "203.0.113.1", "new@example.org", 10));
	/* one right password does not wash an address clean */
	auth_throttle_succeeded(t, 1, s("198.51.100.7"), s("mallory@example.org"), 20);
	fail_times(t, "198.51.100.7", "other@example.org", 20, 5);
	assert_false(may(t, "198.51.100.7", "third@example.org", 20));
	auth_throttle_free(&t);
}

/* the table never grows, and a flood of others does not push out who has most failures */
static void test_flood(void **state)
{
	struct auth_throttle *t = make(10, 10, 1024);
	char peer[32], name[32];

	(void)state;
	fail_times(t, "192.0.2.1", "ann@example.org", 0, 10);
	for (unsigned i = 0; i < 20000; i++) {
		(void)snprintf(peer, sizeof(peer), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		(void)snprintf(name, sizeof(name), "u%u@example.org", i);
		(void)auth_throttle_failed(t, 1, s(peer), s(name), 1);
	}
	assert_false(may(t, "192.0.2.1", "x@example.org", 2));
	assert_false(may(t, "192.0.2.2", "ann@example.org", 2));
	auth_throttle_free(&t);
}

static void test_off(void **state)
{
	struct auth_throttle *t = make(0, 0, 8);

	(void)state;
	fail_times(t, "192.0.2.1", "ann@example.org", 0, 1000);
	assert_true(may(t, "192.0.2.1", "ann@example.org", 0));
	auth_throttle_free(&t);
	auth_throttle_free(&t);
}

/* what a restart of the program, or of the machine, leaves */
static void test_kept(void **state)
{
	static const uint8_t secret[16] = {1};
	struct auth_throttle *t = make(100, 3, 64), *u = make(100, 3, 64), *w = make(100, 3, 64);
	struct auth_throttle_row row, rows[8];
	uint64_t retry;
	size_t n = 0;

	(void)state;
	auth_throttle_secret(t, secret);
	auth_throttle_secret(u, secret);
	auth_throttle_secret(w, secret);
	auth_throttle_succeeded(t, 1, s("192.0.2.1"), s("ann@example.org"), 1000);
	fail_times(t, "198.51.100.7", "ann@example.org", 1000, 3);
	fail_times(t, "192.0.2.1", "ann@example.org", 1000, 2); /* her own: not kept, as the worker's number means nothing later */
	while (auth_throttle_take_changed(t, 2000, &row))
		rows[n++] = row;
	assert_int_equal(n, 3);
	assert_false(auth_throttle_take_changed(t, 2000, &row));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rows[i].ago_ms, 1000);
		auth_throttle_load(u, &rows[i], 5); /* the clock began anew */
		rows[i].ago_ms = WINDOW_MS;
		auth_throttle_load(w, &rows[i], 5);
	}
	assert_false(may(u, "203.0.113.5", "ann@example.org", 5));
	assert_true(may(u, "203.0.113.5", "ann@example.org", 5 + WINDOW_MS / 3 - 1000));
	assert_true(may(u, "192.0.2.1", "ann@example.org", 5));
	assert_true(auth_throttle_knows(u, s("192.0.2.1"), s("ann@example.org")));
	auth_throttle_load(u, &rows[0], 5); /* there already: stays as it is */
	assert_false(may(u, "203.0.113.5", "ann@example.org", 5));
	assert_true(may(w, "203.0.113.5", "ann@example.org", 5)); /* too long ago */
	/* the same key elsewhere, and what it stands for */
	rows[0] = (struct auth_throttle_row){.key = auth_throttle_key(secret, SPAN_NONE, s("Ann@example.org")), .spent = 3000};
	assert_int_equal(auth_throttle_row_open(&rows[0], 3, WINDOW_MS, &retry), 3);
	assert_int_equal(retry, WINDOW_MS / 3 + 1);
	auth_throttle_forget(u, rows[0].key);
	assert_true(may(u, "203.0.113.5", "ann@example.org", 5));
	assert_true(auth_throttle_key(secret, s("198.51.100.7"), SPAN_NONE) != rows[0].key);
	auth_throttle_free(&t);
	auth_throttle_free(&u);
	auth_throttle_free(&w);
}

/* a flood changes more than there is room for: each bucket is told once */
static void test_changes_in_bounds(void **state)
{
	struct auth_throttle *t = make(10, 10, 64);
	struct auth_throttle_row row;
	char name[32];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "u%u@example.org", i);
		(void)auth_throttle_failed(t, 1, s("192.0.2.1"), s(name), i);
	}
	while (auth_throttle_take_changed(t, 10000, &row))
		n++;
	assert_in_range(n, 1, 64);
	auth_throttle_free(&t);
}

static void test_cache(void **state)
{
	struct auth_cache *c = auth_cache_new(64, 300);

	(void)state;
	assert_false(auth_cache_has(c, 1, 1, s("secret"), 0));
	auth_cache_put(c, 1, 1, s("secret"), 0);
	assert_true(auth_cache_has(c, 1, 1, s("secret"), 299));
	assert_false(auth_cache_has(c, 1, 1, s("secret"), 300));   /* five minutes are over */
	assert_false(auth_cache_has(c, 1, 1, s("secreT"), 0));
	assert_false(auth_cache_has(c, 1, 1, s("secre"), 0));
	assert_false(auth_cache_has(c, 1, 2, s("secret"), 0));     /* password was changed */
	assert_false(auth_cache_has(c, 2, 1, s("secret"), 0));
	auth_cache_put(c, 1, 2, s("new"), 10);
	assert_true(auth_cache_has(c, 1, 2, s("new"), 10));
	assert_false(auth_cache_has(c, 1, 1, s("secret"), 10));
	auth_cache_forget(c, 1);
	assert_false(auth_cache_has(c, 1, 2, s("new"), 10));
	/* bounded: many more accounts than places, the last one is there */
	for (int64_t i = 1; i <= 5000; i++)
		auth_cache_put(c, i, 1, s("p"), 20);
	assert_true(auth_cache_has(c, 5000, 1, s("p"), 20));
	auth_cache_free(&c);
	assert_null(c);
	auth_cache_free(&c);
}

static void test_cache_limits(void **state)
{
	struct auth_cache *c = auth_cache_new(8, 300);
	static uint8_t longer[2000];

	(void)state;
	auth_cache_put(c, 3, 1, span_of(longer, sizeof(longer)), 0);
	assert_false(auth_cache_has(c, 3, 1, span_of(longer, sizeof(longer)), 0));
	auth_cache_put(c, 0, 1, s("p"), 0);
	assert_false(auth_cache_has(c, 0, 1, s("p"), 0));
	auth_cache_free(&c);
}

int test_auth_throttle(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer), cmocka_unit_test(test_account), cmocka_unit_test(test_address),
		cmocka_unit_test(test_owner_is_not_locked_out), cmocka_unit_test(test_flood), cmocka_unit_test(test_off),
		cmocka_unit_test(test_kept), cmocka_unit_test(test_changes_in_bounds),
	};

	return cmocka_run_group_tests_name("auth_throttle", tests, NULL, NULL);
}

int test_auth_cache(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_cache), cmocka_unit_test(test_cache_limits)};

	return cmocka_run_group_tests_name("auth_cache", tests, NULL, NULL);
}
