#include "test_base.h"

#include "base/map.h"

enum { KEYS = 100000 };

static int values[KEYS];

static void test_empty(void **state)
{
	struct map m;
	size_t at = 0;
	uint64_t key;
	void *value;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, 0));
	assert_null(map_take(&m, 0));
	assert_false(map_next(&m, &at, &key, &value));
	assert_null(map_put(&m, 0, &values[0]));
	assert_null(map_put(&m, UINT64_MAX, &values[1]));
	assert_ptr_equal(map_get(&m, 0), &values[0]);
	assert_ptr_equal(map_get(&m, UINT64_MAX), &values[1]);
	assert_ptr_equal(map_put(&m, 0, &values[2]), &values[0]);
	assert_int_equal(m.count, 2);
	map_clear(&m);
	assert_null(map_get(&m, 0));
	map_clear(&m);
}

static uint64_t key_of(size_t i)
{
	return i % 2 ? i : (uint64_t)i << 40;
}

static void test_many(void **state)
{
	struct map m;

	(void)state;
	map_init(&m);
	for (size_t i = 0; i < KEYS; i++)
		assert_null(map_put(&m, key_of(i), &values[i]));
	assert_int_equal(m.count, KEYS);
	for (size_t i = 0; i < KEYS; i += 3)
		assert_ptr_equal(map_take(&m, key_of(i)), &values[i]);
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&m, key_of(i)), i % 3 ? &values[i] : NULL);
	assert_null(map_take(&m, key_of(0)));
	for (size_t i = 0; i < KEYS; i += 3)
		assert_null(map_put(&m, key_of(i), &values[i]));
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&m, key_of(i)), &values[i]);
	map_clear(&m);
}

/* a table that is emptied as fast as it is filled stays small, and look-ups of what is not there end */
static void test_churn(void **state)
{
	struct map m;

	(void)state;
	map_init(&m);
	for (uint64_t i = 0; i < 1000000; i++) {
		assert_null(map_put(&m, i, &values[i % KEYS]));
		if (i >= 5)
			assert_ptr_equal(map_take(&m, i - 5), &values[(i - 5) % KEYS]);
		assert_null(map_get(&m, i + 1));
	}
	assert_int_equal(m.count, 5);
	assert_true(m.size <= 64);
	map_clear(&m);
}

static void test_iterate(void **state)
{
	static bool seen[KEYS];
	struct map m;
	size_t at = 0, count = 0;
	uint64_t key;
	void *value;

	(void)state;
	map_init(&m);
	for (uint64_t i = 0; i < KEYS; i++)
		(void)map_put(&m, i, &values[i]);
	for (; map_next(&m, &at, &key, &value); count++) {
		assert_false(seen[key]);
		seen[key] = true;
		assert_ptr_equal(value, &values[key]);
		if (key % 2)
			assert_ptr_equal(map_take(&m, key), value);
	}
	assert_int_equal(count, KEYS);
	assert_int_equal(m.count, KEYS / 2);
	map_clear(&m);
}

static void test_hash(void **state)
{
	static const uint8_t bytes[64] = "the same bytes give the same number, any other another one";

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		uint8_t copy[sizeof(bytes) + 1];

		memcpy(copy + 1, bytes, sizeof(bytes)); /* unaligned */
		assert_true(map_hash(bytes, len) == map_hash(copy + 1, len));
		for (size_t other = 0; other < len; other++)
			assert_true(map_hash(bytes, other) != map_hash(bytes, len));
		if (len > 0) {
			copy[len] ^= 1;
			assert_true(map_hash(bytes, len) != map_hash(copy + 1, len));
		}
	}
	assert_true(map_hash(NULL, 0) == map_hash(bytes, 0));
}

int test_map(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty), cmocka_unit_test(test_many), cmocka_unit_test(test_churn), cmocka_unit_test(test_iterate),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
