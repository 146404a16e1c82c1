#include "test_mail.h"

#include "base/limits.h"
#include "mail/words.h"

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

static const struct {
	struct span value, text;
	unsigned flags;
} decodes[] = {
	{S("plain"), S("plain"), 0},
	{S("  a\r\n b\r\n\t c  "), S("a b\t c"), 0},
	{S("a\r\n\r\n"), S("a"), 0},
	{S("a\nb\rc"), S("abc"), 0},
	{S("=?utf-8?Q?=C3=A9?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?UTF-8?q?a_b=5F?="), S("a b_"), WORDS_ENCODED},
	{S("=?utf-8?B?w6k=?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?utf-8?b?w6k?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?iso-8859-1?Q?=E9?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?iso-8859-1*en?Q?=E9?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?iso-8859-15?Q?=A4?="), S("\xe2\x82\xac"), WORDS_ENCODED},
	{S("=?windows-1252?Q?=80?="), S("\xe2\x82\xac"), WORDS_ENCODED},
	{S("=?Windows-1251?Q?=EF?="), S("\xd0\xbf"), WORDS_ENCODED},
	{S("=?koi8-r?B?0A==?="), S("\xd0\xbf"), WORDS_ENCODED},
	{S("=?windows-1250?Q?=9E?="), S("\xc5\xbe"), WORDS_ENCODED},
	{S("=?utf-7?Q?+AGU-xe?="), S("exe"), WORDS_ENCODED},
	{S("=?utf-7?Q?a+-b?="), S("a+b"), WORDS_ENCODED},
	{S("=?utf-16?B?AGEA6Q==?="), S("a\xc3\xa9"), WORDS_ENCODED},
	{S("=?utf-16le?B?YQDpAA==?="), S("a\xc3\xa9"), WORDS_ENCODED},
	{S("=?utf-16?B?2D3eAA==?="), S("\xf0\x9f\x98\x80"), WORDS_ENCODED},
	{S("=?utf-16?B?2D0AYQ==?="), S("\xef\xbf\xbd" "a"), WORDS_ENCODED | WORDS_LOSSY},
	/* blanks between words go, between a word and text they stay */
	{S("=?utf-8?Q?a?= =?utf-8?Q?b?="), S("ab"), WORDS_ENCODED},
	{S("=?utf-8?Q?a?=\r\n  =?iso-8859-1?Q?b?="), S("ab"), WORDS_ENCODED},
	{S("x =?utf-8?Q?a?= y =?utf-8?Q?b?= z"), S("x a y b z"), WORDS_ENCODED},
	{S(" =?utf-8?Q?a?="), S("a"), WORDS_ENCODED},
	/* a character cut between two words */
	{S("=?utf-8?Q?=C3?= =?utf-8?Q?=A9?="), S("\xc3\xa9"), WORDS_ENCODED},
	{S("=?utf-8?B?4oI=?= =?UTF-8?B?rA==?="), S("\xe2\x82\xac"), WORDS_ENCODED},
	/* as it is written, not as it should be */
	{S("\"=?utf-8?Q?a?=\""), S("\"a\""), WORDS_ENCODED},
	{S("x=?utf-8?Q?a?=y"), S("xay"), WORDS_ENCODED},
	{S("=?utf-8?Q?a b?="), S("a b"), WORDS_ENCODED},
	{S("=?utf-8?Q?a=ZZ=4?="), S("a=ZZ=4"), WORDS_ENCODED},
	{S("=?utf-8?B?w6k=w6k=?="), S("\xc3\xa9\xc3\xa9"), WORDS_ENCODED},
	{S("=?utf-8?Q?a"), S("=?utf-8?Q?a"), 0},
	{S("=?utf-8?X?a?="), S("=?utf-8?X?a?="), 0},
	{S("=?" "?Q?a?="), S("=?" "?Q?a?="), 0},
	{S("=?=?utf-8?Q?a?="), S("=?a"), WORDS_ENCODED},
	{S("=?utf-8?Q?" "?="), S(""), WORDS_ENCODED},
	/* what cannot be decoded */
	{S("=?utf-8?Q?a=FFb?="), S("a\xef\xbf\xbd" "b"), WORDS_ENCODED | WORDS_LOSSY},
	{S("=?utf-8?Q?=E2=82?="), S("\xef\xbf\xbd\xef\xbf\xbd"), WORDS_ENCODED | WORDS_LOSSY},
	{S("=?iso-2022-jp?B?GyRCJCIbKEI=?="), S("\x1b$B$\"\x1b(B"), WORDS_ENCODED | WORDS_CHARSET},
	{S("=?gb2312?Q?a=B0=A1?="), S("a\xef\xbf\xbd\xef\xbf\xbd"), WORDS_ENCODED | WORDS_LOSSY | WORDS_CHARSET},
	{S("=?windows-1252?Q?=81?="), S("\xef\xbf\xbd"), WORDS_ENCODED | WORDS_LOSSY},
	{S("=?us-ascii?Q?=E9?="), S("\xef\xbf\xbd"), WORDS_ENCODED | WORDS_LOSSY},
	{S("\xe9"), S("\xef\xbf\xbd"), WORDS_LOSSY},
	{S("\xc3\xa9"), S("\xc3\xa9"), 0},
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(decodes) / sizeof(decodes[0]); i++) {
		struct buf out;
		unsigned flags;

		buf_init(&out, 1000);
		flags = words_decode(&out, decodes[i].value);
		test_span_eq(buf_span(&out), decodes[i].text, (const char *)decodes[i].value.ptr);
		if (flags != decodes[i].flags)
			fail_msg("%s: flags %x, not %x", decodes[i].value.ptr, flags, decodes[i].flags);
		buf_clear(&out);
	}
}

static void test_charsets(void **state)
{
	static const char *const known[] = {"", "utf-8", "UTF8", "US-ASCII", "ISO-8859-1", "iso_8859-1", "latin1", "iso-8859-2", "iso-8859-9", "iso-8859-15",
		"windows-1250", "windows-1258", "CP1252", "koi8-u", "ibm866", "macintosh", "tis-620", "utf-16be"};
	static const char *const unknown[] = {"x", "gb18030", "shift_jis", "iso-8859-12", "windows-12522",
		"a-charset-with-a-name-that-is-longer-than-any-name-of-a-charset"};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!words_charset_known(span_str(known[i])))
			fail_msg("%s is not known", known[i]);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (words_charset_known(span_str(unknown[i])))
			fail_msg("%s is known", unknown[i]);
}

static void test_comments(void **state)
{
	static const char *const cases[][2] = {
		{"a (b) c", "a  c"}, {"a (b (c) d) e", "a  e"}, {"(a)", ""}, {"\"(a)\"", "\"(a)\""}, {"a (\\) b) c", "a  c"},
		{"a (b", "a (b"}, {"a) b", "a) b"}, {"\"\\\"(a)\"(b)", "\"\\\"(a)\""}, {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, 100);
		words_strip_comments(&out, span_str(cases[i][0]));
		test_span_eq(buf_span(&out), span_str(cases[i][1]), cases[i][0]);
		buf_clear(&out);
	}
}

/* "name <address>|" for a mailbox, "name:" for a group, ";" for its end, "!text|" for what is broken */
static const char *const addresses[][2] = {
	{"a@b", " <a@b>|"},
	{"<a@b>", " <a@b>|"},
	{"Joe <a@b>", "Joe <a@b>|"},
	{"Joe  Q.\r\n Public <a@b>", "Joe Q. Public <a@b>|"},
	{"\"Public, Joe\" <a@b>", "Public, Joe <a@b>|"},
	{"\"a\\\"b\" <a@b>", "a\"b <a@b>|"},
	{"a@b (Joe)", "Joe <a@b>|"},
	{"a@b (Joe (the) \\) one)", "Joe (the) ) one <a@b>|"},
	{"=?utf-8?Q?Jos=C3=A9?= <a@b>", "Jos\xc3\xa9 <a@b>|"},
	{"=?utf-8?Q?Jos?= =?utf-8?Q?=C3=A9?= <a@b>", "Jos\xc3\xa9 <a@b>|"},
	{"\"=?utf-8?Q?Jos=C3=A9?=\" <a@b>", "Jos\xc3\xa9 <a@b>|"},
	{"Jos\xc3\xa9 <a@b>", "Jos\xc3\xa9 <a@b>|"},
	{"a@b, c@d,e@f", " <a@b>| <c@d>| <e@f>|"},
	{"a@b; c@d", " <a@b>| <c@d>|"},
	{",, a@b ,,", " <a@b>|"},
	{"", ""},
	{" \r\n ", ""},
	{"(only a comment)", ""},
	/* groups */
	{"undisclosed-recipients:;", "undisclosed-recipients:;"},
	{"g: a@b, Joe <c@d>;", "g: <a@b>|Joe <c@d>|;"},
	{"g: a@b;, c@d", "g: <a@b>|; <c@d>|"},
	{"\"my group\": a@b; c@d", "my group: <a@b>|; <c@d>|"},
	{"g: a@b", "g: <a@b>|;"},
	/* obsolete forms, RFC 5322 4.4 */
	{"<@x,@y:a@b>", " <a@b>|"},
	{"a . b @ c . d", " <a.b@c.d>|"},
	{"a(c)@(c)b", "c <a@b>|"},
	{"\"a b\"@c", " <a b@c>|"},
	{"\"a\".b@c", " <a.b@c>|"},
	{"\"\"@c", " <@c>|"},
	{"a@[192.0.2.1]", " <a@[192.0.2.1]>|"},
	{"a", " <a>|"},
	{"Joe <a>", "Joe <a>|"},
	/* what is seen */
	{"b@c <a@b>", "b@c <a@b>|"},
	{"Joe <a@b", "Joe <a@b>|"},
	{"Joe <a@b, Ann <c@d>", "Joe <a@b>|Ann <c@d>|"},
	{"Joe, Ann <c@d>", " <Joe>|Ann <c@d>|"},
	{"\xc3\xa9@b", " <\xc3\xa9@b>|"},
	/* broken */
	{"Joe Public", "!Joe Public|"},
	{"a@b@c, d@e", "!a@b@c| <d@e>|"},
	{"@b", "!@b|"},
	{"a@", "!a@|"},
	{"<>", "!<>|"},
	{"a b@c", "!a b@c|"},
	{"<a@b> <c@d>", "!<a@b> <c@d>|"},
	{"a@b>", "!a@b>|"},
	{"\"a@b", "!\"a@b|"},
	{"a@b (c", "c <a@b>|"},
	{"a\\b@c", "!a\\b@c|"},
	{"[a]@c", "![a]@c|"},
	{"a@b:c", "!a@b:c|"},
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct words_address a;
		struct words_list list;
		struct arena mem;
		struct buf out;

		arena_init(&mem, 8192);
		buf_init(&out, 1000);
		words_list_init(&list, span_str(addresses[i][0]));
		while (words_list_next(&list, &mem, &a)) {
			static const char *const ends[] = {">|", ":", ";", "|"};

			if (a.kind == WORDS_BROKEN)
				buf_add_byte(&out, '!');
			buf_add(&out, a.name);
			if (a.kind == WORDS_MAILBOX)
				buf_add_str(&out, " <");
			buf_add(&out, a.text);
			buf_add_str(&out, ends[a.kind]);
		}
		assert_false(list.over);
		test_span_eq(buf_span(&out), span_str(addresses[i][1]), addresses[i][0]);
		buf_clear(&out);
		arena_clear(&mem);
	}
}

static void test_address_limits(void **state)
{
	struct words_address a;
	struct words_list list;
	struct arena mem;
	struct buf text;
	unsigned count = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	for (unsigned i = 0; i < LIMIT_MIME_ADDRESSES + 1; i++)
		buf_add_str(&text, "a@b,");
	arena_init(&mem, 4 << 20);
	words_list_init(&list, buf_span(&text));
	while (words_list_next(&list, &mem, &a))
		count++;
	assert_int_equal(count, LIMIT_MIME_ADDRESSES);
	assert_true(list.over);
	arena_clear(&mem);
	arena_init(&mem, 64);
	words_list_init(&list, buf_span(&text));
	while (words_list_next(&list, &mem, &a))
		;
	assert_true(list.over);
	arena_clear(&mem);
	buf_clear(&text);
}

/* openings that never close, over and over: the time is what fails this one */
static void test_unclosed(void **state)
{
	static const char *const openings[] = {"(", "\"", "<", "<@", "[", "\\", "=?utf-8?Q?", "g:", ";", "a ", "(\"<", "a:;"};

	(void)state;
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
		struct words_address a;
		struct words_list list;
		struct arena mem;
		struct buf text;

		buf_init(&text, 1 << 20);
		while (text.len < LIMIT_MIME_FIELD_BYTES)
			buf_add_str(&text, openings[i]);
		arena_init(&mem, 4 << 20);
		words_list_init(&list, buf_span(&text));
		while (words_list_next(&list, &mem, &a))
			assert_true(span_is_utf8(a.name));
		arena_clear(&mem);
		buf_clear(&text);
	}
}

int test_words(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_charsets),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_limits),
		cmocka_unit_test(test_unclosed),
	};

	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
