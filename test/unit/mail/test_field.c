#include "test_mail.h"

#include "base/buf.h"
#include "base/limits.h"
#include "mail/header.h"
#include "mail/header_field.h"

/* "name=value|" for each field, then what the block ended at */
static const struct {
	const char *head, *fields;
} blocks[] = {
	{"A: b\r\nC:d\r\n\r\n", "A= b|C=d|\r\n"},
	{"A: b\r\n\tc\r\n d\r\nE: f\r\n\r\n", "A= b\r\n\tc\r\n d|E= f|\r\n"},
	{"A : b\r\n\r\n", "A = b|\r\n"},
	{"A\t : b\r\n\r\n", "A = b|\r\n"},
	{"A:\r\n\r\n", "A=|\r\n"},
	{"A: b: c\r\n", "A= b: c|"},
	{"A: b", "A= b|"},
	{"A: b\r\n ", "A= b\r\n |"},
	{"A: b\nC: d\r\n\r\n", "A= b\nC: d|\r\n"}, /* a bare LF is a byte of its line */
	{"A: b\rC: d\r\n\r\n", "A= b\rC: d|\r\n"},
	{"\r\n", "\r\n"},
	{"", ""},
	{"A: b\r\nno field\r\nC: d\r\n\r\n", "A= b|no field\r\nC: d\r\n\r\n"},
	{" A: b\r\n", " A: b\r\n"},
	{": b\r\n", ": b\r\n"},
	{" : b\r\n", " : b\r\n"},
	{"A b: c\r\n", "A b: c\r\n"},
	{"\xc3\xa4: c\r\n", "\xc3\xa4: c\r\n"},
};

static void test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct span rest = span_str(blocks[i].head);
		struct header_field f;
		struct buf out;

		buf_init(&out, 1024);
		while (header_field_next(&rest, &f)) {
			buf_add(&out, f.name);
			buf_add_str(&out, f.blank ? " =" : "=");
			buf_add(&out, f.value);
			buf_add_byte(&out, '|');
		}
		buf_add(&out, rest);
		test_span_eq(buf_span(&out), span_str(blocks[i].fields), blocks[i].head);
		buf_clear(&out);
	}
}

/* both readers of headers see the same block end */
static void test_same_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct span text = span_str(blocks[i].head), rest;
		struct header_scan *scan;
		const struct header_facts *h;
		struct header_field f;
		struct arena mem;

		arena_init(&mem, 64 << 10);
		scan = header_scan_new(&mem);
		header_scan_feed(scan, text);
		h = header_scan_end(scan);
		rest = text;
		while (header_field_next(&rest, &f))
			continue;
		if (text.len - rest.len + (span_eq(rest, SPAN_LIT("\r\n")) ? 2 : 0) != h->header_bytes)
			fail_msg("%s: ends at %zu and at %u", blocks[i].head, text.len - rest.len, (unsigned)h->header_bytes);
		arena_clear(&mem);
	}
}

static void test_like(void **state)
{
	static const struct { const char *value, *pattern; bool like; } cases[] = {
		{" YES", "YES", true}, {" yes ", "YES", true}, {" YES, score=7", "YES", false}, {" YES, score=7", "YES*", true}, {"NO", "YES*", false},
		{"", "*", true}, {"", "", true}, {"", "?", false}, {"a", "", false}, {"abc", "a?c", true}, {"ac", "a?c", false}, {"abc", "a*c", true}, {"abcd", "a*c", false},
		{"aXbXc", "*X?", true}, {"aXbXc", "a*X*X*c", true}, {"aXbc", "a*X*X*c", false}, {"score=12", "score=??", true}, {"score=1", "score=??", false},
		{" YES,\r\n\tscore=7", "YES,\tscore=*", true}, {"\r\n YES", "YES", true}, {"a*b", "a*b", true}, {"xay", "**a**", true}, {"mississippi", "m*iss*ip*", true},
		{"mississippi", "m*iss*ip?", false}, {" x ", " x ", true}, {"\xc3\xa4", "\xc3\xa4", true}, {"\xc3\xa4", "??", true},
	};
	uint8_t big[LIMIT_HEADER_FIELD_BYTES + 10];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (header_value_like(span_str(cases[i].value), span_str(cases[i].pattern)) != cases[i].like)
			fail_msg("\"%s\" like \"%s\": not %d", cases[i].value, cases[i].pattern, cases[i].like);
	memset(big, 'a', sizeof(big));
	big[LIMIT_HEADER_FIELD_BYTES] = 'b';
	assert_true(header_value_like(span_of(big, sizeof(big)), SPAN_LIT("aa*a")));
	assert_false(header_value_like(span_of(big, sizeof(big)), SPAN_LIT("*b*")));
	assert_false(header_value_like(span_of(big, sizeof(big)), SPAN_LIT("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"))); /* and at once */
}

static void test_plain(void **state)
{
	static const struct { const char *head; size_t len; bool plain, end; } cases[] = {
		{"A: b\r\n\r\n", 8, true, true}, {"A: b\r\n", 6, true, false}, {"\r\n", 2, true, true}, {"", 0, true, false}, {"A: b\nC\r\n\r\n", 10, false, true},
		{"A: b\rC\r\n\r\n", 10, false, true}, {"A: b\r\r\n\r\n", 9, false, true}, {"A: \0\r\n\r\n", 8, false, true}, {"A: b\r", 5, false, false}, {"\n", 1, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(cases[i].plain, header_is_plain(span_of(cases[i].head, cases[i].len)));
		assert_int_equal(cases[i].end, header_has_end(span_of(cases[i].head, cases[i].len)));
	}
}

int test_field(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_same_end), cmocka_unit_test(test_like), cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
