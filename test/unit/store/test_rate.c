/* Counters in the databases: kept, listed, tidied, forgiven. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "store/cred_throttle.h"
#include "store/store_rate.h"

struct seen {
	size_t count;
	char text[4096];
};

static enum rc see(void *arg, const struct store_rate *r)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	seen->count++;
	(void)snprintf(seen->text + len, sizeof(seen->text) - len, "%d %.*s %.*s;", r->kind, (int)r->key.len, (const char *)r->key.ptr, (int)r->counts.len,
		(const char *)r->counts.ptr);
	return RC_OK;
}

static struct seen each(struct fixture *f, int kind, const char *prefix)
{
	struct seen seen = {0};

	assert_rc(RC_OK, store_rate_each(f->s, kind, S(prefix), see, &seen, &f->err));
	return seen;
}

static void put(struct fixture *f, int kind, const char *key, const char *counts, int64_t saved_ms)
{
	assert_rc(RC_OK, store_rate_put(f->s, &(struct store_rate){.kind = kind, .key = S(key), .counts = S(counts), .saved_ms = saved_ms}, &f->err));
}

static void counters_are_kept(void **state)
{
	struct fixture *f = *state;

	put(f, 3, "192.0.2.7", "a", NOW_MS);
	put(f, 1, "12", "b", NOW_MS);
	put(f, 16, "mx/0 192.0.2.7", "c", NOW_MS);
	put(f, 16, "mx/1 192.0.2.7", "d", NOW_MS);
	put(f, 16, "mx/10 192.0.2.7", "e", NOW_MS);
	put(f, 1, "12", "f", NOW_MS + 1);
	assert_string_equal(each(f, 0, "").text, "1 12 f;3 192.0.2.7 a;16 mx/0 192.0.2.7 c;16 mx/1 192.0.2.7 d;16 mx/10 192.0.2.7 e;");
	assert_string_equal(each(f, 16, "mx/1 ").text, "16 mx/1 192.0.2.7 d;");
	assert_string_equal(each(f, 3, "").text, "3 192.0.2.7 a;");
	fixture_reopen(f, 0);
	assert_int_equal(each(f, 0, "").count, 5);
	assert_rc(RC_OK, store_rate_remove(f->s, 3, S("192.0.2.7"), &f->err));
	assert_int_equal(each(f, 0, "").count, 4);
}

static void many_counters_in_one_transaction(void **state)
{
	struct fixture *f = *state;
	char key[32];

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 1234; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		put(f, 1, key, "x", NOW_MS);
	}
	store_rollback(f->s);
	assert_int_equal(each(f, 0, "").count, 0);
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 1234; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		put(f, 1, key, "x", NOW_MS);
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(each(f, 0, "").count, 1234);
	assert_int_equal(each(f, 1, "").count, 1234);
}

static void what_is_no_counter_is_refused(void **state)
{
	struct fixture *f = *state;
	char longer[STORE_RATE_COUNTS_BYTES + 2];
	const struct store_rate bad[] = {
		{.kind = 0, .key = S("x")}, {.kind = -1, .key = S("x")}, {.kind = STORE_RATE_KINDS, .key = S("x")}, {.kind = 1, .key = SPAN_NONE},
		{.kind = 1, .key = S("a\nb")}, {.kind = 1, .key = S("\xff")}, {.kind = 1, .key = span_of("a\0b", 3)}, {.kind = 1, .key = span_of(longer, STORE_RATE_KEY_BYTES + 1)},
		{.kind = 1, .key = S("x"), .counts = span_of(longer, STORE_RATE_COUNTS_BYTES + 1)}, {.kind = 1, .key = S("x"), .saved_ms = -1},
		{.kind = 1, .key = S("x"), .saved_ms = INT64_MAX},
	};

	memset(longer, 'x', sizeof(longer));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_rc(RC_BAD, store_rate_put(f->s, &bad[i], &f->err));
	assert_int_equal(each(f, 0, "").count, 0);
}

static void old_ones_and_too_many_go(void **state)
{
	struct fixture *f = *state;
	bool more = false;
	char key[32];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(key, sizeof(key), "%02d", i);
		put(f, 1, key, "x", NOW_MS + i);
	}
	put(f, 2, "other", "x", 5);
	assert_rc(RC_OK, store_rate_tidy(f->s, 1, 0, INT64_MAX, 20, &more, &f->err));
	assert_int_equal(each(f, 1, "").count, 20);
	assert_rc(RC_OK, store_rate_tidy(f->s, 1, NOW_MS + 2, NOW_MS + 17, 20, &more, &f->err));
	assert_int_equal(each(f, 1, "").count, 16);
	assert_rc(RC_OK, store_rate_tidy(f->s, 1, 0, INT64_MAX, 3, &more, &f->err));
	assert_string_equal(each(f, 1, "").text, "1 15 x;1 16 x;1 17 x;");
	assert_int_equal(each(f, 2, "").count, 1);
	assert_false(more);
}

static void a_request_to_forget(void **state)
{
	struct fixture *f = *state;
	struct span key;
	int kind = 0;

	put(f, 1, "12", "x", NOW_MS);
	put(f, 1, "13", "x", NOW_MS);
	assert_rc(RC_OK, store_rate_reset(f->s, 1, S("12"), &f->err));
	assert_rc(RC_OK, store_rate_reset(f->s, 3, S("2001:db8::/64"), &f->err));
	assert_rc(RC_OK, store_rate_reset(f->s, 3, S("2001:db8::/64"), &f->err)); /* twice is once */
	assert_rc(RC_BAD, store_rate_reset(f->s, 3, SPAN_NONE, &f->err));
	assert_string_equal(each(f, 0, "").text, "1 13 x;");
	assert_rc(RC_OK, store_rate_take_reset(f->s, &f->mem, &kind, &key, &f->err));
	assert_true(kind == 1 && span_eq(key, SPAN_LIT("12")));
	assert_rc(RC_OK, store_rate_take_reset(f->s, &f->mem, &kind, &key, &f->err));
	assert_true(kind == 3 && span_eq(key, SPAN_LIT("2001:db8::/64")));
	assert_rc(RC_NONE, store_rate_take_reset(f->s, &f->mem, &kind, &key, &f->err));
	(void)fixture_sql(f, "INSERT INTO rate (kind, key, saved_ms, counts) VALUES (0, 'nonsense', 0, x'')");
	assert_rc(RC_BAD, store_rate_take_reset(f->s, &f->mem, &kind, &key, &f->err));
	assert_rc(RC_NONE, store_rate_take_reset(f->s, &f->mem, &kind, &key, &f->err)); /* it is gone all the same */
}

static void names_behind_tags(void **state)
{
	struct fixture *f = *state;
	struct store_resolved found = {0};
	struct span name;

	assert_rc(RC_OK, store_alias_add(f->s, S("info@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_resolve(f->s, S("anna+x@example.org"), 0, &f->mem, &found, &f->err));
	assert_rc(RC_OK, store_rate_tag_name(f->s, found.tag, &f->mem, &name, &f->err));
	assert_true(span_eq(name, SPAN_LIT("anna@example.org")));
	assert_rc(RC_OK, store_resolve(f->s, S("info@example.org"), 0, &f->mem, &found, &f->err));
	assert_rc(RC_OK, store_rate_tag_name(f->s, found.tag, &f->mem, &name, &f->err));
	assert_true(span_eq(name, SPAN_LIT("info@example.org")));
	assert_rc(RC_NONE, store_rate_tag_name(f->s, 99999 << 3 | STORE_TAG_ALIAS, &f->mem, &name, &f->err));
}

/* ---- failed sign-ins */

static void keep_sum(void *arg, const struct cred_throttle *r)
{
	*(uint64_t *)arg += r->spent;
}

static void failures_are_kept(void **state)
{
	struct fixture *f = *state;
	const struct cred_throttle rows[] = {{CRED_THROTTLE_FAILURES, UINT64_MAX, 1000, NOW_MS}, {CRED_THROTTLE_FAILURES, 7, 500, NOW_MS + 1},
		{CRED_THROTTLE_PAIRS, 7, 0, NOW_MS + 2}};
	uint8_t secret[CRED_THROTTLE_SECRET_BYTES], again[CRED_THROTTLE_SECRET_BYTES];
	struct cred_throttle got;
	struct cred *c = NULL;
	uint64_t sum = 0, key = 0;
	char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/auth", f->dir);
	assert_rc(RC_OK, cred_open(dir, true, &c, &f->err));
	assert_rc(RC_OK, cred_throttle_secret(c, secret, &f->err));
	assert_rc(RC_OK, cred_throttle_put(c, rows, 3, &f->err));
	cred_close(&c);
	assert_rc(RC_OK, cred_open(dir, false, &c, &f->err));
	assert_rc(RC_OK, cred_throttle_secret(c, again, &f->err));
	assert_memory_equal(secret, again, sizeof(secret));
	assert_rc(RC_OK, cred_throttle_each(c, 100, keep_sum, &sum, &f->err));
	assert_int_equal(sum, 1500); /* the secret is no counter */
	assert_rc(RC_OK, cred_throttle_get(c, CRED_THROTTLE_FAILURES, UINT64_MAX, &got, &f->err));
	assert_true(got.spent == 1000 && got.at_ms == NOW_MS);
	assert_rc(RC_NONE, cred_throttle_get(c, CRED_THROTTLE_PAIRS, UINT64_MAX, &got, &f->err));
	assert_rc(RC_OK, cred_throttle_reset(c, UINT64_MAX, &f->err));
	assert_rc(RC_NONE, cred_throttle_get(c, CRED_THROTTLE_FAILURES, UINT64_MAX, &got, &f->err));
	assert_rc(RC_OK, cred_throttle_take_reset(c, &key, &f->err));
	assert_true(key == UINT64_MAX);
	assert_rc(RC_NONE, cred_throttle_take_reset(c, &key, &f->err));
	assert_rc(RC_OK, cred_throttle_tidy(c, 0, INT64_MAX, 1, &f->err)); /* the newest one stays */
	assert_rc(RC_NONE, cred_throttle_get(c, CRED_THROTTLE_FAILURES, 7, &got, &f->err));
	assert_rc(RC_OK, cred_throttle_get(c, CRED_THROTTLE_PAIRS, 7, &got, &f->err));
	assert_rc(RC_OK, cred_throttle_tidy(c, NOW_MS + 3, INT64_MAX, 100, &f->err));
	assert_rc(RC_NONE, cred_throttle_get(c, CRED_THROTTLE_PAIRS, 7, &got, &f->err));
	assert_rc(RC_OK, cred_throttle_secret(c, again, &f->err));
	assert_memory_equal(secret, again, sizeof(secret));
	cred_close(&c);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
const struct CMUnitTest counter_tests[] = {
	T(counters_are_kept), T(many_counters_in_one_transaction), T(what_is_no_counter_is_refused), T(old_ones_and_too_many_go), T(a_request_to_forget),
	T(names_behind_tags), T(failures_are_kept),
};
const size_t counter_count = sizeof(counter_tests) / sizeof(counter_tests[0]);
