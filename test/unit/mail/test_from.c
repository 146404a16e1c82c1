#include "test_mail.h"

#include "mail/header.h"

/* completed: with "@d" added, NULL for unchanged; boxes: the addresses joined by "|", "" for an unreadable one */
static const struct {
	const char *value, *completed, *boxes;
	unsigned count;
} cases[] = {
	{"bob@example.org", NULL, "bob@example.org", 1},
	{"Bob <bob@example.org>", NULL, "bob@example.org", 1},
	{"bob", "bob@d", "bob", 1},
	{" bob ", " bob@d ", "bob", 1},
	{"Bob <bob>", "Bob <bob@d>", "bob", 1},
	{"Bob < bob >", "Bob < bob@d >", "bob", 1},
	{"Bob Smith <bob.smith>", "Bob Smith <bob.smith@d>", "bob.smith", 1},
	{"bob (Bob Smith)", "bob@d (Bob Smith)", "bob", 1},
	{"(Bob) bob", "(Bob) bob@d", "bob", 1},
	{"(a (nested \\) one)) bob(x@y)", "(a (nested \\) one)) bob@d(x@y)", "bob", 1},
	{"\"Smith, Bob\" <bob>", "\"Smith, Bob\" <bob@d>", "bob", 1},
	{"\"Bob <x@y>\" <bob>", "\"Bob <x@y>\" <bob@d>", "bob", 1},
	{"\"a b\"", "\"a b\"@d", "a b", 1},
	{"\"a\\\"b\"@c", NULL, "a\"b@c", 1},
	{"\"a@b\"@c", NULL, "a@b@c", 1},
	{"a, b@c, Dee <dee>", "a@d, b@c, Dee <dee@d>", "a|b@c|dee", 3},
	{"a,\r\n\tb", "a@d,\r\n\tb@d", "a|b", 2},
	{"Bob\r\n <bob@example.org>", NULL, "bob@example.org", 1},
	{"Team: a, b@c;", "Team: a@d, b@c;", "a|b@c", 2},
	{"Team: a;, x", "Team: a@d;, x@d", "a|x", 2},
	{"undisclosed-recipients:;", NULL, "", 0},
	{"", NULL, "", 0},
	{" , ,", NULL, "", 0},
	{"MAILER-DAEMON", "MAILER-DAEMON@d", "MAILER-DAEMON", 1},
	{"bob@[192.0.2.1]", NULL, "bob@[192.0.2.1]", 1},
	{"<@a,@b:bob@c>", NULL, "bob@c", 1},
	{"<@a:bob>", "<@a:bob@d>", "bob", 1},
	{"joe@x <joe@y>", NULL, "joe@y", 1},
	{"=?utf-8?q?Bob?= <bob>", "=?utf-8?q?Bob?= <bob@d>", "bob", 1},
	{"=?utf-8?q?Bob?=", NULL, "=?utf-8?q?Bob?=", 1},
	{"j\xc3\xb6rg", "j\xc3\xb6rg@d", "j\xc3\xb6rg", 1},
	/* not readable, and not to be hidden behind the others */
	{"Bob Smith", NULL, "", 1},
	{"boss@corp evil, me@here", NULL, "|me@here", 2},
	{"<a@b> <c@d>", NULL, "", 1},
	{"<a@b> x", NULL, "", 1},
	{"<> bob", NULL, "", 1},
	{"a@b c@d", NULL, "", 1},
	{"boss@x: me@y", NULL, "", 1},
	{"a: b: c@d;", NULL, "", 1},
	{"a@b;", NULL, "", 1},
	{"<bob", NULL, "", 1},
	{"bob>", NULL, "", 1},
	{"<a, b@c>", NULL, "", 1},
	{"<>", NULL, "", 1},
	{"\"bob", NULL, "", 1},
	{"bob (open", NULL, "", 1},
	{"bob@", NULL, "", 1},
	{"@x", NULL, "", 1},
	{"a@b@c", NULL, "", 1},
	{"bob..x", NULL, "", 1},
	{"bob.", NULL, "", 1},
	{"bob @x", NULL, "", 1},
	{"bob@(c)x", NULL, "", 1},
	{"b\x01ob@x", NULL, "", 1},
	{"b\\ob@x", NULL, "", 1},
	{"<a;b@c>", NULL, "", 1},
};

static void test_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;
		unsigned n;

		buf_init(&out, 1024);
		n = header_complete_from(&out, span_str(cases[i].value), SPAN_LIT("d"));
		test_span_eq(buf_span(&out), span_str(cases[i].completed ? cases[i].completed : cases[i].value), cases[i].value);
		assert_int_equal(n > 0, cases[i].completed != NULL);
		buf_clear(&out);
	}
}

static void test_mailboxes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span boxes[4] = {SPAN_NONE};
		struct arena mem;
		struct buf out;
		unsigned n;

		arena_init(&mem, 4096);
		buf_init(&out, 1024);
		n = header_mailboxes(span_str(cases[i].value), &mem, boxes, 4);
		for (unsigned k = 0; k < n && k < 4; k++) {
			if (k > 0)
				buf_add_byte(&out, '|');
			buf_add(&out, boxes[k]);
		}
		test_span_eq(buf_span(&out), span_str(cases[i].boxes), cases[i].value);
		if (n != cases[i].count)
			fail_msg("%s: %u mailboxes", cases[i].value, n);
		buf_clear(&out);
		arena_clear(&mem);
	}
}

/* NULL: unchanged */
static const struct {
	const char *value, *replaced;
	bool plain;
} replaced[] = {
	{"bob@example.org", "me@d", true},
	{"Bob <bob@example.org>", "Bob <me@d>", true},
	{"\"Bob, the <one>\" <bob@example.org>", "\"Bob, the <one>\" <me@d>", true},
	{"bob@example.org (Bob (x@y))", "me@d (Bob (x@y))", true},
	{"\"a \\\" b\"@c", "me@d", true},
	{"=?utf-8?q?B=C3=B6b?= <bob@example.org>", "=?utf-8?q?B=C3=B6b?= <me@d>", true},
	{"B\xc3\xb6" "b <bob@example.org>", "B\xc3\xb6" "b <me@d>", true},
	{"a@b, Cee\r\n <c@d>", "me@d, Cee\r\n <me@d>", true},
	{"Team: a@b, c;", "Team: me@d, me@d;", true},
	{"<@a,@b:bob@c>", "<@a,@b:me@d>", true},
	{"bob@[192.0.2.1]", "me@d", true},
	{"undisclosed:;", NULL, true},
	{"", NULL, true},
	{"a@b c@d", NULL, true},
	{"\"boss@corp\" <eve@b>", "\"boss@corp\" <me@d>", true}, /* a name may look like anything; programs show it as one */
	{"joe@x <joe@y>", "joe@x <me@d>", false},
	{"joe@y <JOE@y>", "joe@y <me@d>", true},
	{"the boss@corp <eve@b>", "the boss@corp <me@d>", false},
	{"me@d, boss@corp <eve@b>", "me@d, boss@corp <me@d>", false},
	{"@corp <eve@b>", "@corp <me@d>", false},
};

static void test_replace(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++) {
		const char *want = replaced[i].replaced ? replaced[i].replaced : replaced[i].value;
		struct buf out;
		unsigned n;

		buf_init(&out, 1024);
		n = header_replace_mailboxes(&out, span_str(replaced[i].value), SPAN_LIT("me@d"));
		test_span_eq(buf_span(&out), span_str(want), replaced[i].value);
		assert_int_equal(n > 0, replaced[i].replaced != NULL);
		if (header_mailboxes_are_plain(span_str(replaced[i].value)) != replaced[i].plain)
			fail_msg("%s: plain is not %d", replaced[i].value, replaced[i].plain);
		buf_clear(&out);
	}
}

static void test_quoted(void **state)
{
	struct span box;
	struct arena mem;

	(void)state;
	arena_init(&mem, 4096);
	assert_int_equal(header_mailboxes(SPAN_LIT("\"a\r\n b\"@c"), &mem, &box, 1), 1);
	test_span_eq(box, SPAN_LIT("a b@c"), "folded");
	arena_clear(&mem);
}

static void test_more_than_max(void **state)
{
	struct span boxes[2];
	struct arena mem;

	(void)state;
	arena_init(&mem, 4096);
	assert_int_equal(header_mailboxes(SPAN_LIT("a@b, c@d, e@f"), &mem, boxes, 2), 3);
	test_span_eq(boxes[1], SPAN_LIT("c@d"), "second");
	assert_int_equal(header_mailboxes(SPAN_LIT("a@b, c@d, e@f"), &mem, NULL, 0), 3);
	arena_clear(&mem);
	arena_init(&mem, 8);
	assert_int_equal(header_mailboxes(SPAN_LIT("somebody@example.org"), &mem, boxes, 2), 1);
	assert_int_equal(boxes[0].len, 0);
	arena_clear(&mem);
}

/* a value of the worst kind takes one pass: a megabyte of each is done at once */
static void test_hostile(void **state)
{
	static const char worst[] = "(\"[<,:;@\\a .\r\n\x80";
	enum { BYTES = 1 << 20 };
	struct arena mem;
	struct buf out, value;

	(void)state;
	for (const char *c = worst; *c; c++) {
		uint8_t *to;

		arena_init(&mem, 64 << 20);
		buf_init(&out, 16 << 20);
		buf_init(&value, BYTES);
		to = buf_reserve(&value, BYTES);
		for (size_t i = 0; i < BYTES; i++)
			to[i] = (uint8_t)(i % 2 ? *c : 'a');
		value.len = BYTES;
		(void)header_complete_from(&out, buf_span(&value), SPAN_LIT("d"));
		(void)header_mailboxes(buf_span(&value), &mem, NULL, 0);
		(void)header_mailboxes_are_plain(buf_span(&value));
		assert_false(out.overflow);
		buf_clear(&out);
		buf_clear(&value);
		arena_clear(&mem);
	}
}

int test_from(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete), cmocka_unit_test(test_mailboxes), cmocka_unit_test(test_replace), cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_more_than_max), cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("from", tests, NULL, NULL);
}
