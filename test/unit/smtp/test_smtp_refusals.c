/* the 503 that explains itself: with pipelining and without, for DATA and BDAT, and when it forgets */
#include "smtp_test.h"

static bool first_line_holds(struct fake_smtp *f, const char *reply, const char *wanted)
{
	const char *at = strstr(said(f), reply), *end = at ? strchr(at, '\r') : NULL, *hit = at ? strstr(at, wanted) : NULL;

	return end && hit && hit < end;
}

/* `text` is said whole or line by line with all replies read between; the 503 must hold `wanted` in its first and its last line */
static void check_503(const char *text, const char *wanted, const char *slug)
{
	for (int mode = 0; mode < 3; mode++) { /* pipelined; line by line; pipelined with late answers in reverse */
		struct fake_smtp f;

		open_session(&f, SMTP_KIND_MX);
		f.delay = mode == 2;
		if (mode == 1) {
			for (const char *p = text; *p; p++)
				fake_smtp_feed(&f, span_of(p, 1));
		} else {
			say(&f, text);
		}
		while (f.pending_count)
			(void)fake_smtp_answer(&f, f.pending_count - 1);
		if (!first_line_holds(&f, "503-5.5.1", wanted) || !strstr(last_line(&f), wanted) || strncmp(last_line(&f), "503 5.5.1 ", 10) != 0 ||
		    !strstr(last_line(&f), slug))
			fail_msg("mode %d said:\n%s\nwanted %s and %s, got:\n%s", mode, text, wanted, slug, said(&f));
		assert_int_equal(f.accepted, 0);
		fake_smtp_clear(&f);
	}
}

static void test_cause_in_first_and_last_line(void **state)
{
	(void)state;
	check_503(HELLO FROM TO_FOREIGN "DATA\r\n", ": Sign in first", "(rcpt-none-accepted: relay-denied-unauth; ref REF1)");
	check_503(HELLO FROM TO_FOREIGN "BDAT 4 LAST\r\nRSET", ": Sign in first", "(rcpt-none-accepted: relay-denied-unauth;");
	check_503(HELLO FROM TO_NOBODY "DATA\r\n", "nobody@mailroom.test: There is no mailbox", "(rcpt-none-accepted: rcpt-unknown;");
	check_503(HELLO FROM TO_NOBODY TO_FOREIGN TO_NOBODY "DATA\r\n", " and 2 more: Sign in first", "(rcpt-none-accepted: relay-denied-unauth, rcpt-unknown;");
	check_503(HELLO FROM TO_NOBODY "RCPT TO:<full@mailroom.test>\r\nBDAT 0 LAST\r\n", " and 1 more: There is no mailbox", "(rcpt-none-accepted: rcpt-unknown, rcpt-mailbox-full;");
	check_503(HELLO FROM "RCPT TO:<bad address>\r\nDATA\r\n", "No recipient was accepted", "(rcpt-none-accepted: rcpt-syntax;");
	check_503(HELLO "MAIL FROM:<x@blocked.example>\r\nDATA\r\n", "x@blocked.example: ", "(seq-mail-refused: sender-blocked;");
	check_503(HELLO "MAIL FROM:<x@blocked.example>\r\n" TO_ALICE, "x@blocked.example: ", "(seq-mail-refused: sender-blocked;");
	check_503(HELLO "MAIL FROM:<x@blocked.example>\r\n" TO_ALICE "BDAT 1 LAST\r\nx", "x@blocked.example: ", "(seq-mail-refused: sender-blocked;");
	check_503(HELLO "MAIL FROM:<a@b..c>\r\nDATA\r\n", "MAIL FROM was refused", "(seq-mail-refused: sender-syntax;");
}

static void test_forgets(void **state)
{
	static const struct {
		const char *between, *wanted;
	} cases[] = {
		{"RSET\r\n", "(seq-no-mail;"},
		{HELLO, "(seq-no-mail;"},
		{"HELO client.example\r\n", "(seq-no-mail;"},
		{"RSET\r\n" FROM, "(seq-no-rcpt;"},
		{HELLO FROM, "(seq-no-rcpt;"},
		{TO_ALICE "DATA\r\nx\r\n.\r\n", "(seq-no-mail;"},
		{TO_ALICE "DATA\r\nx\r\n.\r\n" FROM, "(seq-no-rcpt;"},
		{"NOOP\r\n", "(rcpt-none-accepted:"}, /* this one does not */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int bdat = 0; bdat < 2; bdat++) {
			struct fake_smtp f;

			open_session(&f, SMTP_KIND_MX);
			say(&f, HELLO FROM TO_FOREIGN);
			say(&f, cases[i].between);
			expect(&f, bdat ? "BDAT 2 LAST\r\n\r\n" : "DATA\r\n", cases[i].wanted);
			assert_true((strstr(said(&f), "relay-denied") != NULL) == (strstr(cases[i].wanted, "none-accepted") != NULL));
			fake_smtp_clear(&f);
		}
	}
}

static void test_new_mail_after_refused_mail(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO "MAIL FROM:<x@blocked.example>\r\n");
	say(&f, FROM);
	expect(&f, "DATA\r\n", "(seq-no-rcpt;");
	expect(&f, TO_ALICE "DATA\r\n", "354 ");
	fake_smtp_clear(&f);
}

static void test_starttls_forgets(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM TO_FOREIGN "STARTTLS\r\n");
	fake_smtp_tls(&f);
	say(&f, HELLO FROM);
	expect(&f, "DATA\r\n", "(seq-no-rcpt;");
	fake_smtp_clear(&f);
}

static void test_one_good_recipient_is_enough(void **state)
{
	struct fake_smtp f;
	char got[64];

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM TO_FOREIGN TO_ALICE TO_NOBODY "DATA\r\nx\r\n.\r\n");
	codes(&f, got, sizeof(got));
	assert_string_equal(got, "220 250 250 550 250 550 354 250");
	assert_int_equal(f.accepted_rcpts, 1);
	fake_smtp_clear(&f);
}

static void test_many_refused(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM);
	for (int i = 0; i < 40; i++)
		say(&f, TO_NOBODY);
	expect(&f, "DATA\r\n", "503-5.5.1 and 35 more\r\n");
	assert_non_null(strstr(last_line(&f), "(rcpt-none-accepted: rcpt-unknown;"));
	fake_smtp_clear(&f);
}

static void test_submission_before_sign_in(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO);
	expect(&f, FROM, "530 5.5.1");
	expect(&f, TO_FOREIGN, "(auth-required;");
	expect(&f, "DATA\r\n", "503-5.5.1");
	assert_non_null(strstr(last_line(&f), ": auth-required;"));
	fake_smtp_clear(&f);
}

static void test_message_sent_as_commands(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM TO_FOREIGN);
	expect(&f, "DATA\r\nSubject: x\r\n", "(message-sent-as-commands;");
	expect(&f, ".\r\n", "(message-sent-as-commands;");
	expect(&f, "RSET\r\nSubject: x\r\n", "(command-unknown;");
	fake_smtp_clear(&f);
}

/* a line of a reply is at most 512 octets, whatever the client wrote */
static void test_long_addresses(void **state)
{
	struct fake_smtp f;
	char line[1200];
	struct span rest;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM);
	(void)snprintf(line, sizeof(line), "RCPT TO:<%0900d@x.example>\r\n", 7);
	for (int i = 0; i < 8; i++)
		say(&f, line);
	say(&f, "DATA\r\n");
	rest = buf_span(&f.out);
	while (rest.len) {
		struct span one = span_cut(&rest, '\n');

		assert_true(one.len + 1 <= 512);
		assert_int_equal(one.ptr[one.len - 1], '\r');
	}
	fake_smtp_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cause_in_first_and_last_line), cmocka_unit_test(test_forgets), cmocka_unit_test(test_new_mail_after_refused_mail),
		cmocka_unit_test(test_starttls_forgets), cmocka_unit_test(test_one_good_recipient_is_enough), cmocka_unit_test(test_many_refused),
		cmocka_unit_test(test_submission_before_sign_in), cmocka_unit_test(test_message_sent_as_commands), cmocka_unit_test(test_long_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
