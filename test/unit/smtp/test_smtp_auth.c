/* AUTH as a client meets it */
#include "smtp_test.h"

#define PLAIN_ALICE "AGFsaWNlAHdvbmRlcmxhbmQ="
#define PLAIN_WRONG "AGFsaWNlAHdyb25n"

static void test_plain_and_login(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	expect(&f, HELLO, "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n");
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "235 2.7.0");
	assert_int_equal(smtp_in_account(f.s).len, strlen("alice@mailroom.test"));
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "(auth-twice;");
	expect(&f, HELLO, "250 HELP");
	assert_null(strstr(said(&f), "AUTH"));
	expect(&f, FROM TO_FOREIGN, "250 2.1.5");
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO);
	expect(&f, "auth login\r\n", "334 VXNlcm5hbWU6\r\n");
	expect(&f, "Ym9iQG1haWxyb29tLnRlc3Q=\r\n", "334 UGFzc3dvcmQ6\r\n");
	expect(&f, "YnVpbGRlcg==\r\n", "235 2.7.0");
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_SUBMISSION); /* without initial response, byte by byte */
	say(&f, HELLO);
	expect(&f, "AUTH PLAIN\r\n", "334 \r\n");
	for (const char *p = PLAIN_ALICE "\r\n"; *p; p++)
		fake_smtp_feed(&f, span_of(p, 1));
	assert_non_null(strstr(said(&f), "235 2.7.0"));
	fake_smtp_clear(&f);
}

static void test_final_data_waits_for_the_client(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	f.final_data = true;
	say(&f, HELLO);
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "334 dj1zaWduYXR1cmU=\r\n");
	assert_int_equal(smtp_in_account(f.s).len, 0);
	expect(&f, "\r\n", "235 2.7.0");
	assert_true(smtp_in_account(f.s).len > 0);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_SUBMISSION); /* the client found the signature wrong */
	f.final_data = true;
	say(&f, HELLO "AUTH PLAIN " PLAIN_ALICE "\r\n");
	expect(&f, "*\r\n", "501 5.7.0");
	assert_int_equal(smtp_in_account(f.s).len, 0);
	assert_int_equal(f.cancels, 1);
	expect(&f, FROM, "(auth-required;");
	fake_smtp_clear(&f);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *said, *wanted;
	} cases[] = {
		{"AUTH\r\n", "(auth-syntax;"},
		{"AUTH NTLM\r\n", "504 5.7.4"},
		{"AUTH A-VERY-LONG-MECHANISM-NAME\r\n", "(auth-mechanism-unknown;"},
		{"AUTH PLAIN !!!\r\n", "501 5.5.2"},
		{"AUTH PLAIN YQ\r\n", "(auth-syntax;"},
		{"AUTH LOGIN =\r\n", "535 5.5.4"},
		{"AUTH login =\r\n", "(auth-argument-unwanted;"},
		{"AUTH PLAIN " PLAIN_WRONG "\r\n", "535 5.7.1"},
		{"HELO x.example\r\nAUTH PLAIN " PLAIN_ALICE "\r\n", "(seq-no-helo;"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_smtp f;

		open_session(&f, SMTP_KIND_SUBMISSION);
		say(&f, HELLO);
		expect(&f, cases[i].said, cases[i].wanted);
		assert_int_equal(smtp_in_account(f.s).len, 0);
		expect(&f, HELLO "AUTH PLAIN " PLAIN_ALICE "\r\n", "235 2.7.0"); /* and it goes on */
		fake_smtp_clear(&f);
	}
}

static void test_cancel_and_bad_lines(void **state)
{
	static const struct {
		const char *line, *wanted;
	} cases[] = {
		{"*\r\n", "501 5.7.0"},
		{"%%%\r\n", "(auth-syntax;"},
		{"YQ==\n", "(command-bare-newline;"},
		{"Y\rQ==\r\n", "(command-bare-newline;"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_smtp f;

		open_session(&f, SMTP_KIND_SUBMISSION);
		say(&f, HELLO "AUTH LOGIN\r\n");
		expect(&f, cases[i].line, cases[i].wanted);
		assert_int_equal(f.cancels, 1);
		say(&f, "\r\n");
		expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "235 2.7.0");
		fake_smtp_clear(&f);
	}
}

static void test_long_line(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO "AUTH LOGIN\r\n");
	forget(&f);
	for (int i = 0; i < 13000; i++)
		say(&f, "A");
	say(&f, "\r\n");
	assert_non_null(strstr(last_line(&f), "500 5.5.6"));
	assert_int_equal(f.cancels, 1);
	expect(&f, "NOOP\r\n", "250 2.0.0");
	fake_smtp_clear(&f);
}

static void test_only_over_tls(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	fake_smtp_start(&f);
	expect(&f, HELLO, "STARTTLS");
	assert_null(strstr(said(&f), "AUTH"));
	expect(&f, FROM, "530 5.7.0");
	assert_non_null(strstr(said(&f), "(tls-required;"));
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "(tls-required;");
	fake_smtp_clear(&f);

	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	f.rules.tls_required = false;
	fake_smtp_start(&f);
	say(&f, HELLO);
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "538 5.7.11");
	fake_smtp_clear(&f);

	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	f.rules.tls_required = false;
	f.rules.auth_cleartext = true;
	fake_smtp_start(&f);
	expect(&f, HELLO, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"); /* no -PLUS without a channel */
	expect(&f, "AUTH SCRAM-SHA-256-PLUS =\r\n", "(auth-mechanism-unknown;");
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "235 2.7.0");
	say(&f, "STARTTLS\r\n"); /* RFC 3207 4.2: the sign-in does not outlive it */
	fake_smtp_tls(&f);
	assert_int_equal(smtp_in_account(f.s).len, 0);
	fake_smtp_clear(&f);
}

static void test_failures_end_the_session(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO);
	expect(&f, "AUTH PLAIN " PLAIN_WRONG "\r\n", "535 5.7.1");
	expect(&f, "AUTH PLAIN " PLAIN_WRONG "\r\n", "535 5.7.1");
	expect(&f, "AUTH PLAIN " PLAIN_WRONG "\r\n", "421 4.7.0");
	assert_true(f.closed);
	fake_smtp_clear(&f);
}

static void test_not_in_a_transaction(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_MX);
	f.rules.auth = true;
	fake_smtp_start(&f);
	fake_smtp_tls(&f);
	say(&f, HELLO FROM);
	expect(&f, "AUTH PLAIN " PLAIN_ALICE "\r\n", "(auth-not-in-transaction;");
	fake_smtp_clear(&f);
}

static void test_pipelined_behind_auth(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO);
	expect(&f, "AUTH LOGIN\r\nYWxpY2U=\r\n", "(seq-not-pipelined;");
	assert_true(f.closed);
	assert_null(strstr(said(&f), "334"));
	fake_smtp_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_and_login), cmocka_unit_test(test_final_data_waits_for_the_client), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cancel_and_bad_lines), cmocka_unit_test(test_long_line), cmocka_unit_test(test_only_over_tls),
		cmocka_unit_test(test_failures_end_the_session), cmocka_unit_test(test_not_in_a_transaction), cmocka_unit_test(test_pipelined_behind_auth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
