#include "test_base.h"

#include "base/num.h"
#include "base/rng.h"

enum { UNTOUCHED = 4711 };

struct num_case {
	struct span text;
	enum rc rc;
	uint64_t value;
};

static void check(const struct num_case *cases, size_t count, enum rc (*parse)(struct span, uint64_t *))
{
	for (size_t i = 0; i < count; i++) {
		uint64_t n = UNTOUCHED;
		enum rc rc = parse(cases[i].text, &n);

		if (rc != cases[i].rc || n != (rc == RC_OK ? cases[i].value : UNTOUCHED))
			fail_msg("'%s': %s %llu", (const char *)cases[i].text.ptr, rc_name(rc), (unsigned long long)n);
	}
}

static enum rc parse_any(struct span s, uint64_t *out)
{
	return num_parse(s, UINT64_MAX, out);
}

static enum rc parse_byte(struct span s, uint64_t *out)
{
	return num_parse(s, 255, out);
}

static void test_decimal(void **state)
{
	static const struct num_case any[] = {
		{S("0"), RC_OK, 0}, {S("7"), RC_OK, 7}, {S("007"), RC_OK, 7}, {S("18446744073709551615"), RC_OK, UINT64_MAX},
		{S("18446744073709551616"), RC_LIMIT, 0}, {S("99999999999999999999"), RC_LIMIT, 0}, {S("28446744073709551615"), RC_LIMIT, 0},
		{S("100000000000000000000"), RC_BAD, 0}, {S(""), RC_BAD, 0}, {S("-1"), RC_BAD, 0}, {S("+1"), RC_BAD, 0}, {S(" 1"), RC_BAD, 0},
		{S("1 "), RC_BAD, 0}, {S("1\0"), RC_BAD, 0}, {S("0x1"), RC_BAD, 0}, {S("1.5"), RC_BAD, 0}, {S("1e3"), RC_BAD, 0},
		{S("9999999999999999999x"), RC_BAD, 0},
	};
	static const struct num_case byte[] = {{S("255"), RC_OK, 255}, {S("256"), RC_LIMIT, 0}, {S("18446744073709551616"), RC_LIMIT, 0}};

	(void)state;
	check(any, COUNT(any), parse_any);
	check(byte, COUNT(byte), parse_byte);
}

static void test_durations(void **state)
{
	static const struct num_case cases[] = {
		{S("30min"), RC_OK, 1800000}, {S("5 min"), RC_OK, 300000}, {S("5m"), RC_OK, 300000}, {S("90s"), RC_OK, 90000},
		{S("250ms"), RC_OK, 250}, {S("2h"), RC_OK, 7200000}, {S("5d"), RC_OK, 432000000}, {S(" 1 S "), RC_OK, 1000}, {S("0s"), RC_OK, 0},
		{S("5"), RC_BAD, 0}, {S("min"), RC_BAD, 0}, {S(""), RC_BAD, 0}, {S(" "), RC_BAD, 0}, {S("5 weeks"), RC_BAD, 0},
		{S("5min5"), RC_BAD, 0}, {S("1h30min"), RC_BAD, 0}, {S("-1s"), RC_BAD, 0}, {S("1.5h"), RC_BAD, 0}, {S("5s\0"), RC_BAD, 0},
		{S("9223372036854775807ms"), RC_OK, INT64_MAX}, {S("9223372036854775808ms"), RC_LIMIT, 0},
		{S("213503982334601d"), RC_LIMIT, 0}, {S("18446744073709551616ms"), RC_LIMIT, 0},
	};

	(void)state;
	check(cases, COUNT(cases), num_parse_duration_ms);
}

static void test_sizes(void **state)
{
	static const struct num_case cases[] = {
		{S("25MB"), RC_OK, 25 << 20}, {S("25 MiB"), RC_OK, 25 << 20}, {S("25m"), RC_OK, 25 << 20}, {S("1kb"), RC_OK, 1024},
		{S("1KiB"), RC_OK, 1024}, {S("3GB"), RC_OK, (uint64_t)3 << 30}, {S("512"), RC_OK, 512}, {S("512 B"), RC_OK, 512},
		{S("0"), RC_OK, 0}, {S(""), RC_BAD, 0}, {S("MB"), RC_BAD, 0}, {S("1TB"), RC_BAD, 0}, {S("1 M B"), RC_BAD, 0},
		{S("8589934591GB"), RC_OK, (uint64_t)8589934591 << 30}, {S("8589934592GB"), RC_LIMIT, 0}, {S("17179869184GB"), RC_LIMIT, 0},
	};

	(void)state;
	check(cases, COUNT(cases), num_parse_size_bytes);
}

static void test_base32(void **state)
{
	static const struct num_case cases[] = {
		{S("0"), RC_OK, 0}, {S("Z"), RC_OK, 31}, {S("z"), RC_OK, 31}, {S("10"), RC_OK, 32}, {S("FZZZZZZZZZZZZ"), RC_OK, UINT64_MAX},
		{S("G000000000000"), RC_LIMIT, 0}, {S("ZZZZZZZZZZZZZ"), RC_LIMIT, 0}, {S("00000000000000"), RC_BAD, 0}, {S(""), RC_BAD, 0},
		{S("U"), RC_BAD, 0}, {S("1-1"), RC_BAD, 0}, {S("1\0"), RC_BAD, 0}, {S(" 1"), RC_BAD, 0}, {S("\xff"), RC_BAD, 0},
	};
	char text[14];

	(void)state;
	check(cases, COUNT(cases), num_parse_base32);
	assert_string_equal(num_base32(0, 1, text), "0");
	assert_string_equal(num_base32(0, 0, text), "0");
	assert_string_equal(num_base32(33, 8, text), "00000011");
	assert_string_equal(num_base32(UINT64_MAX, 1, text), "FZZZZZZZZZZZZ");
	assert_string_equal(num_base32(1, 99, text), "0000000000001");
	for (int i = 0; i < 10000; i++) {
		uint64_t n = rng_u64() >> (i % 64), again;

		assert_int_equal(num_parse_base32(span_str(num_base32(n, (unsigned)i % 14, text)), &again), RC_OK);
		assert_true(n == again);
	}
}

static void test_little_endian(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 0xff};

	(void)state;
	assert_true(num_le(bytes, 0) == 0);
	assert_true(num_le(bytes, 2) == 0x0201);
	assert_true(num_le(bytes, 8) == 0xff07060504030201);
}

int test_num(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decimal), cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes), cmocka_unit_test(test_base32),
		cmocka_unit_test(test_little_endian),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
