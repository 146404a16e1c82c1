/* XWHY as a client meets it */
#include "smtp_test.h"

#define SIGN_IN "AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n"
#define DIALOGUE HELLO "XWHY\r\n" SIGN_IN "XWHY\r\nxwhy 2\r\n" FROM "XWHY 51\r\nRCPT TO:<nobody@mailroom.test>\r\nXWHY  1 \r\nQUIT\r\n"

static void test_order_and_arguments(void **state)
{
	static const char *const bad[] = {
		"XWHY 0", "XWHY 51", "XWHY -1", "XWHY 1 2", "XWHY x", "XWHY 1x", "XWHY 00000000000000000000000000001000"};
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	expect(&f, HELLO, "\r\n250-XWHY\r\n");
	expect(&f, "XWHY\r\n", "(auth-required;");
	assert_int_equal(0, f.whys);
	expect(&f, SIGN_IN, "235");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[80];

		(void)snprintf(line, sizeof(line), "%s\r\n", bad[i]);
		expect(&f, line, "501 5.5.2");
	}
	assert_int_equal(0, f.whys);
	expect(&f, "XWHY\r\n", "\r\n250 2.0.0 3 events\r\n");
	f.why_none = true;
	expect(&f, "XWHY 50\r\n", "250 2.0.0 0 events\r\n");
	f.why_cause = CAUSE_SERVER_TEMP_ERROR;
	expect(&f, "XWHY\r\n", "(server-temp-error;");
	assert_int_equal('4', last_line(&f)[0]);
	expect(&f, FROM "XWHY\r\n" TO_ALICE, "250 2.1.5"); /* in the middle of a transaction, which goes on */
	fake_smtp_clear(&f);
}

static void test_only_where_it_is_offered(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.rules.why = true;
	expect(&f, HELLO, "250 HELP");
	assert_null(strstr(said(&f), "XWHY"));
	expect(&f, "XWHY\r\n", "(command-not-enabled;");
	fake_smtp_clear(&f);

	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	f.rules.why = false;
	fake_smtp_start(&f);
	fake_smtp_tls(&f);
	say(&f, HELLO SIGN_IN);
	assert_null(strstr(said(&f), "XWHY"));
	expect(&f, "XWHY\r\n", "(command-not-enabled;");
	assert_int_equal(0, f.whys);
	fake_smtp_clear(&f);
}

/* a line of the answer is a line of a reply, whatever the values hold */
static void test_lines_stay_lines(void **state)
{
	struct fake_smtp f;
	struct span rest;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO SIGN_IN);
	expect(&f, "XWHY\r\n", "session=00000007 command=RCPT detail=bob+2Bx+3D1+20");
	rest = buf_span(&f.out);
	for (unsigned lines = 0; rest.len; lines++) {
		struct span line = span_cut(&rest, '\n');

		assert_true(line.len > 4 && line.len <= 511 && line.ptr[line.len - 1] == '\r');
		assert_true(span_starts(line, lines < 3 ? SPAN_LIT("250-slug=") : SPAN_LIT("250 2.0.0 3 events")));
		for (size_t i = 0; i + 1 < line.len; i++)
			assert_true(line.ptr[i] >= ' ' && line.ptr[i] < 0x7f);
	}
	fake_smtp_clear(&f);
}

static void test_so_many_in_a_session(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO SIGN_IN);
	for (unsigned i = 0; i < 10; i++)
		expect(&f, "XWHY 1\r\n", "250 2.0.0 1 events");
	expect(&f, "XWHY 1\r\n", "421");
	assert_int_equal(10, f.whys);
	assert_true(f.closed);
	fake_smtp_clear(&f);
}

static void test_however_it_is_cut(void **state)
{
	const char *text = DIALOGUE;
	struct fake_smtp f, g;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, text);
	assert_non_null(strstr(said(&f), "250 2.0.0 2 events"));
	for (size_t step = 1; step <= strlen(text); step++) {
		open_session(&g, SMTP_KIND_SUBMISSION);
		if (step == 1) {
			for (const char *p = text; *p; p++)
				fake_smtp_feed(&g, span_of(p, 1));
		} else {
			fake_smtp_feed(&g, span_of(text, step));
			fake_smtp_feed(&g, span_str(text + step));
		}
		assert_string_equal(said(&f), said(&g));
		assert_int_equal(f.whys, g.whys);
		fake_smtp_clear(&g);
	}
	fake_smtp_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_arguments), cmocka_unit_test(test_only_where_it_is_offered),
		cmocka_unit_test(test_lines_stay_lines),    cmocka_unit_test(test_so_many_in_a_session),
		cmocka_unit_test(test_however_it_is_cut),
	};

	return cmocka_run_group_tests_name("smtp why", tests, NULL, NULL);
}
