/* span, buf, arena, b64 */
#include "test_base.h"

#include "base/arena.h"
#include "base/b64.h"
#include "base/buf.h"
#include "base/rng.h"

static void test_span_find(void **state)
{
	struct span s = SPAN_LIT("a\0bc\0bc");

	(void)state;
	assert_int_equal(span_find(s, '\0'), 1);
	assert_int_equal(span_find(s, 'x'), s.len);
	assert_int_equal(span_find(SPAN_NONE, 'x'), 0);
	assert_int_equal(span_find_span(s, SPAN_LIT("bc")), 2);
	assert_int_equal(span_find_span(s, SPAN_LIT("\0bc")), 1);
	assert_int_equal(span_find_span(s, SPAN_LIT("bcd")), s.len);
	assert_int_equal(span_find_span(SPAN_NONE, SPAN_LIT("a")), 0);
}

static void test_span_compare(void **state)
{
	(void)state;
	assert_true(span_eq(SPAN_NONE, SPAN_LIT("")));
	assert_false(span_eq(SPAN_LIT("a"), SPAN_LIT("ab")));
	assert_false(span_eq(SPAN_LIT("a"), SPAN_LIT("A")));
	assert_true(span_eq_nocase(SPAN_LIT("MiXed-1[`{@"), SPAN_LIT("mIxED-1[`{@")));
	assert_false(span_eq_nocase(SPAN_LIT("["), SPAN_LIT("{")));
	assert_false(span_eq_nocase(SPAN_LIT("@"), SPAN_LIT("`")));
	assert_false(span_eq_nocase(SPAN_LIT("\xc4"), SPAN_LIT("\xe4")));
	assert_true(span_starts(SPAN_LIT("abc"), SPAN_LIT("ab")));
	assert_false(span_starts(SPAN_LIT("a"), SPAN_LIT("ab")));
	assert_true(span_starts_nocase(SPAN_LIT("MAIL FROM"), SPAN_LIT("mail ")));
	assert_true(span_starts(SPAN_NONE, SPAN_NONE));
	assert_int_equal(span_from(SPAN_LIT("abc"), 3).len, 0);
	assert_int_equal(span_from(SPAN_LIT("abc"), SIZE_MAX).len, 0);
	test_span_eq(span_head(SPAN_LIT("abc"), 9), SPAN_LIT("abc"), "head");
	assert_int_equal(span_str(NULL).len, 0);
	test_span_eq(span_trim(SPAN_LIT(" \t a b\t ")), SPAN_LIT("a b"), "trim");
	assert_int_equal(span_trim(SPAN_LIT(" \t ")).len, 0);
	test_span_eq(span_trim(SPAN_LIT("\r\na")), SPAN_LIT("\r\na"), "trim leaves line ends");
}

static void test_span_cut(void **state)
{
	struct span rest = SPAN_LIT("a,,b,");

	(void)state;
	test_span_eq(span_cut(&rest, ','), SPAN_LIT("a"), "first");
	test_span_eq(span_cut(&rest, ','), SPAN_LIT(""), "empty");
	test_span_eq(span_cut(&rest, ','), SPAN_LIT("b"), "third");
	assert_non_null(rest.ptr); /* an empty last part is still there */
	test_span_eq(span_cut(&rest, ','), SPAN_LIT(""), "last");
	assert_null(rest.ptr);
	test_span_eq(span_cut(&rest, ','), SPAN_LIT(""), "after the end");
}

static void test_span_classes(void **state)
{
	static const struct {
		struct span text;
		bool utf8, ascii, vchar;
	} cases[] = {
		{S(""), true, true, true}, {S("abc~!"), true, true, true}, {S("a b"), true, true, false}, {S("a\x7f"), true, true, false},
		{S("a\0"), true, true, false}, {S("\xc3\xb6"), true, false, false}, {S("\xe2\x82\xac"), true, false, false},
		{S("\xf0\x9f\x98\x80"), true, false, false}, {S("\xf4\x8f\xbf\xbf"), true, false, false},
		{S("\xf4\x90\x80\x80"), false, false, false}, {S("\xc0\x80"), false, false, false}, {S("\xc1\xbf"), false, false, false},
		{S("\xe0\x9f\xbf"), false, false, false}, {S("\xf0\x8f\xbf\xbf"), false, false, false},
		{S("\xed\x9f\xbf"), true, false, false}, {S("\xed\xa0\x80"), false, false, false}, {S("\xed\xbf\xbf"), false, false, false},
		{S("\xee\x80\x80"), true, false, false}, {S("\x80"), false, false, false}, {S("\xc3"), false, false, false},
		{S("\xe2\x82"), false, false, false}, {S("\xc3" "a"), false, false, false}, {S("\xf8\x88\x80\x80\x80"), false, false, false},
		{S("\xff"), false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (span_is_utf8(cases[i].text) != cases[i].utf8 || span_is_ascii(cases[i].text) != cases[i].ascii ||
			span_is_vchar(cases[i].text) != cases[i].vchar)
			fail_msg("case %zu", i);
}

/* of what a buffer for secrets lets go of, nothing is left in the memory that it keeps */
static void test_buf_secret(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 100);
	buf_add_str(&b, "one password");
	for (int i = 0; i < 3; i++) /* it grows on the way */
		buf_add_str(&b, " and another password");
	buf_drop(&b, 40);
	test_span_eq(buf_span(&b), SPAN_LIT("other password and another password"), "after the drop");
	for (size_t i = b.len; i < 75; i++)
		assert_int_equal(b.ptr[i], 0);
	buf_reset(&b);
	for (size_t i = 0; i < 75; i++)
		assert_int_equal(b.ptr[i], 0);
	buf_drop(&b, 5);
	buf_clear(&b);
	assert_true(b.secret && b.max_bytes == 100 && !b.ptr);
	buf_add_str(&b, "again");
	assert_true(span_eq(buf_span(&b), SPAN_LIT("again")));
	buf_clear(&b);
}

static void test_buf_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_null(b.ptr);
	buf_add(&b, SPAN_NONE);
	assert_null(b.ptr); /* nothing added, nothing held */
	buf_add_str(&b, "12345");
	buf_add_str(&b, "67890");
	assert_false(b.overflow);
	test_span_eq(buf_span(&b), SPAN_LIT("1234567890"), "exactly full");
	assert_string_equal(buf_cstr(&b), "1234567890"); /* the NUL is not counted */
	assert_false(b.overflow);
	buf_add_byte(&b, 'x');
	assert_true(b.overflow);
	test_span_eq(buf_span(&b), SPAN_LIT("1234567890"), "after overflow");
	assert_string_equal(buf_cstr(&b), "");
	buf_drop(&b, 5);
	buf_add_byte(&b, 'y'); /* would fit, but something is missing before it */
	test_span_eq(buf_span(&b), SPAN_LIT("67890"), "sticky");
	assert_null(buf_reserve(&b, 0));
	buf_reset(&b);
	assert_false(b.overflow);
	buf_add_str(&b, "again");
	test_span_eq(buf_span(&b), SPAN_LIT("again"), "after reset");
	buf_clear(&b);
	assert_null(b.ptr);
	assert_int_equal(b.max_bytes, 10);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.overflow);
	buf_clear(&b);
	assert_string_equal(buf_cstr(&b), "");
	buf_clear(&b);
}

static void test_buf_growth(void **state)
{
	static const size_t ceilings[] = {0, 1, 63, 64, 65, 100, 1000, 4097};

	(void)state;
	for (size_t i = 0; i < COUNT(ceilings); i++) {
		struct buf b;

		buf_init(&b, ceilings[i]);
		for (size_t k = 0; k < ceilings[i]; k++)
			buf_add_byte(&b, (uint8_t)k);
		assert_false(b.overflow);
		assert_int_equal(b.len, ceilings[i]);
		for (size_t k = 0; k < b.len; k++)
			assert_int_equal(b.ptr[k], (uint8_t)k);
		buf_add_byte(&b, 0);
		assert_true(b.overflow);
		assert_int_equal(b.len, ceilings[i]);
		buf_clear(&b);
	}
}

static void test_buf_writers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	buf_add_u64(&b, 0);
	buf_add_byte(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	test_span_eq(buf_span(&b), SPAN_LIT("0 18446744073709551615"), "u64");
	buf_reset(&b);
	buf_add_le16(&b, 0x0102);
	buf_add_le32(&b, 0x03040506);
	buf_add_le64(&b, 0x0708090a0b0c0d0e);
	test_span_eq(buf_span(&b), SPAN_LIT("\x02\x01\x06\x05\x04\x03\x0e\x0d\x0c\x0b\x0a\x09\x08\x07"), "little-endian");
	buf_drop(&b, 2);
	assert_int_equal(b.len, 12);
	assert_int_equal(b.ptr[0], 6);
	buf_drop(&b, 100);
	assert_int_equal(b.len, 0);
	for (int width = 250; width < 262; width++) { /* around the size of its inner room */
		buf_reset(&b);
		buf_printf(&b, "%*d|", width, 7);
		assert_int_equal(b.len, width + 1);
		assert_int_equal(b.ptr[width - 1], '7');
		assert_int_equal(b.ptr[width], '|');
	}
	buf_reset(&b);
	buf_printf(&b, "%5000d", 7);
	assert_true(b.overflow);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

static void test_buf_safe(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	buf_add_safe(&b, SPAN_LIT("ok ~\\\x1b[2J\r\n\0\x7f\x80\xff"), 100);
	test_span_eq(buf_span(&b), SPAN_LIT("ok ~\\x5c\\x1b[2J\\x0d\\x0a\\x00\\x7f\\x80\\xff"), "safe");
	buf_reset(&b);
	buf_add_safe(&b, SPAN_LIT("abcdef"), 3);
	test_span_eq(buf_span(&b), SPAN_LIT("abc..."), "cut");
	buf_reset(&b);
	buf_add_safe(&b, SPAN_LIT("abc"), 3);
	test_span_eq(buf_span(&b), SPAN_LIT("abc"), "not cut");
	buf_clear(&b);
}

static void test_arena_ceiling(void **state)
{
	struct arena a;
	uint8_t *p;

	(void)state;
	arena_init(&a, 1000);
	assert_non_null(arena_alloc(&a, 496));
	assert_non_null(arena_alloc(&a, 497)); /* rounded up to 504 */
	assert_int_equal(a.used_bytes, 1000);
	assert_non_null(arena_alloc(&a, 0));
	assert_null(arena_alloc(&a, 1));
	assert_true(a.overflow);
	assert_null(arena_alloc(&a, 0)); /* sticky */
	assert_null(arena_copy(&a, SPAN_LIT("x")).ptr);
	assert_null(arena_str(&a, SPAN_LIT("x")));
	assert_null(arena_zalloc(&a, 1));
	arena_clear(&a);
	assert_false(a.overflow);
	assert_null(arena_alloc(&a, SIZE_MAX));
	arena_clear(&a);
	assert_null(arena_alloc(&a, SIZE_MAX - 7));
	arena_clear(&a);
	p = arena_zalloc(&a, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	arena_clear(&a);
}

/* what was given out stays where it is and as it is while the arena grows */
static void test_arena_holds(void **state)
{
	struct span kept[500];
	struct arena a;

	(void)state;
	arena_init(&a, 4 << 20);
	for (size_t i = 0; i < COUNT(kept); i++) {
		uint8_t *p = arena_alloc(&a, i * 7 % 3000 + 1);

		assert_int_equal((uintptr_t)p % 8, 0);
		kept[i] = span_of(p, i * 7 % 3000 + 1);
		memset(p, (int)(i & 0xff), kept[i].len);
	}
	for (size_t i = 0; i < COUNT(kept); i++)
		for (size_t k = 0; k < kept[i].len; k++)
			assert_int_equal(kept[i].ptr[k], i & 0xff);
	assert_string_equal(arena_str(&a, SPAN_LIT("text")), "text");
	test_span_eq(arena_copy(&a, SPAN_LIT("a\0b")), SPAN_LIT("a\0b"), "copy");
	assert_non_null(arena_copy(&a, SPAN_NONE).ptr);
	assert_non_null(arena_alloc(&a, 100000)); /* larger than a block */
	arena_clear(&a);
	assert_int_equal(a.used_bytes, 0);
}

static void test_b64(void **state)
{
	static const struct {
		struct span plain, coded;
	} cases[] = {{S(""), S("")}, {S("f"), S("Zg==")}, {S("fo"), S("Zm8=")}, {S("foo"), S("Zm9v")}, {S("foob"), S("Zm9vYg==")},
		{S("\0user\0pw"), S("AHVzZXIAcHc=")}, {S("\xff\xfe\xfd"), S("//79")}, {S("\xfb\xf0"), S("+/A=")}};
	static const struct span bad[] = {S("Z"), S("Zg"), S("Zg="), S("Zg==="), S("===="), S("=Zg="), S("Z==="), S("Zg=g"), S("Zh=="),
		S("Zm9="), S("Zm+="), S("Zg==Zg=="), S("Zm9v "), S("Zm9v\r\n"), S("Zm9\n"), S(" m9v"), S("Zm-_"), S("Zm9\0"), S("\xc3\xb6Zg"), S("*")};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT(cases); i++) {
		buf_reset(&b);
		b64_encode(&b, cases[i].plain);
		test_span_eq(buf_span(&b), cases[i].coded, "encoded");
		buf_reset(&b);
		assert_int_equal(b64_decode(&b, cases[i].coded), RC_OK);
		test_span_eq(buf_span(&b), cases[i].plain, "decoded");
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		buf_reset(&b);
		if (b64_decode(&b, bad[i]) != RC_BAD)
			fail_msg("taken: %s", (const char *)bad[i].ptr);
	}
	buf_clear(&b);
	buf_init(&b, 2);
	assert_int_equal(b64_decode(&b, SPAN_LIT("Zm9v")), RC_LIMIT);
	buf_clear(&b);
}

static void test_b64_round_trip(void **state)
{
	uint8_t bytes[200];
	struct buf coded, plain;

	(void)state;
	buf_init(&coded, 4096);
	buf_init(&plain, 4096);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		rng_fill(bytes, len);
		buf_reset(&coded);
		buf_reset(&plain);
		b64_encode(&coded, span_of(bytes, len));
		assert_int_equal(coded.len, (len + 2) / 3 * 4);
		assert_int_equal(b64_decode(&plain, buf_span(&coded)), RC_OK);
		assert_true(span_eq(buf_span(&plain), span_of(bytes, len)));
	}
	buf_clear(&coded);
	buf_clear(&plain);
}

int test_bytes(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_find), cmocka_unit_test(test_span_compare), cmocka_unit_test(test_span_cut),
		cmocka_unit_test(test_span_classes), cmocka_unit_test(test_buf_ceiling), cmocka_unit_test(test_buf_secret), cmocka_unit_test(test_buf_growth),
		cmocka_unit_test(test_buf_writers), cmocka_unit_test(test_buf_safe), cmocka_unit_test(test_arena_ceiling),
		cmocka_unit_test(test_arena_holds), cmocka_unit_test(test_b64), cmocka_unit_test(test_b64_round_trip),
	};

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
