/* what a listener's rules and its owner may decide: early talkers, domains, commands before sign-in, whose rule it was, the end by 421 */
#include "smtp_test.h"

#define TEXT "Subject: x\r\n\r\nx\r\n.\r\n"

/* the same in one read, after each line, and with a break at every place: only what came behind a command that had to be waited for is
 * refused */
static void test_early_talkers(void **state)
{
	static const struct {
		const char *said;
		const char *wanted; /* NULL: it goes through */
	} cases[] = {
		{HELLO FROM, "451 4.5.0"},
		{"HELO client.example\r\n" FROM, "(protocol-violation;"},
		{HELLO "x", "451 4.5.0 Text came right behind EHLO"},
		{BEGIN, "(protocol-violation;"},
		{FROM TO_ALICE "DATA\r\n" TEXT, "451 4.5.0 Text came right behind DATA"},
		{FROM TO_ALICE "DATA\r\nS", "(protocol-violation;"},
		{"NOOP\r\n" FROM, "(protocol-violation;"},
		{"VRFY alice\r\nVRFY bob\r\n", "(protocol-violation;"},
		{"EXPN alice\r\nRSET\r\n", "(protocol-violation;"},
		{FROM TO_ALICE "DATA\r\n", NULL}, /* RFC 2920 3.1: the last of a group */
		{"RSET\r\n" FROM TO_ALICE TO_BOB TO_NOBODY "NOOP\r\n", NULL},
		{FROM TO_ALICE "BDAT 1\r\nxBDAT 4 LAST\r\ny\r\n.RSET\r\n" FROM TO_ALICE "BDAT 0 LAST\r\nQUIT\r\n",
		 NULL},					   /* RFC 3030: all of it */
		{FROM TO_NOBODY "DATA\r\nRSET\r\n", NULL}, /* no 354 was due: each line has its answer */
		{"HELP\r\nRSET\r\nQUIT\r\nx", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_smtp f;

		fake_smtp_init(&f, SMTP_KIND_MX);
		f.rules.early_refused = true;
		fake_smtp_start(&f);
		if (span_starts(span_str(cases[i].said), SPAN_LIT(HELLO)) == false)
			say(&f, HELLO);
		forget(&f);
		say(&f, cases[i].said);
		assert_int_equal(strstr(said(&f), "protocol-violation") != NULL, cases[i].wanted != NULL);
		if (cases[i].wanted) {
			assert_non_null(strstr(last_line(&f), cases[i].wanted));
			assert_null(strstr(said(&f), "\r\n354")); /* the 451 is the answer to DATA */
			assert_true(f.closed);
			assert_int_equal(f.accepted, 0);
			assert_int_equal(f.body.len, 0);
		}
		fake_smtp_clear(&f);
	}
}

/* who waits for each answer, or has the rule switched off, is never refused */
static void test_no_early_talkers(void **state)
{
	static const char *const lines[] = {HELLO, "NOOP\r\n", FROM TO_ALICE "DATA\r\n", TEXT FROM TO_BOB "DATA\r\n", TEXT "QUIT\r\n"};
	struct fake_smtp f;

	(void)state;
	for (int how = 0; how < 3; how++) {
		fake_smtp_init(&f, SMTP_KIND_MX);
		f.rules.early_refused = how < 2;
		fake_smtp_start(&f);
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			if (how == 1) /* the bytes of a group drip in */
				for (const char *c = lines[i]; *c; c++)
					fake_smtp_feed(&f, span_of(c, 1));
			else
				say(&f, lines[i]);
		}
		assert_null(strstr(said(&f), "protocol-violation"));
		assert_int_equal(f.accepted, 2);
		fake_smtp_clear(&f);
	}
	fake_smtp_init(&f, SMTP_KIND_MX); /* all in one read */
	fake_smtp_start(&f);
	say(&f, BEGIN TEXT);
	assert_int_equal(f.accepted, 1);
	fake_smtp_clear(&f);
}

/* a peer that does not read has not read the 354 either, however late its text comes */
static void test_early_to_the_deaf(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_MX);
	f.rules.early_refused = true;
	fake_smtp_start(&f);
	say(&f, HELLO);
	f.deaf = true;
	say(&f, FROM TO_ALICE "DATA\r\n");
	assert_false(f.closed);
	say(&f, "S");
	f.deaf = false;
	fake_smtp_pump(&f);
	assert_true(f.closed);
	assert_non_null(strstr(last_line(&f), "451 4.5.0"));
	fake_smtp_clear(&f);
}

#define TO(x) "RCPT TO:<user@" x ">\r\n"

static void test_domains(void **state)
{
	static const struct {
		uint32_t most;
		const char *said, *codes;
		const char *slug; /* of the last reply */
	} cases[] = {
		{0, TO("a.example") TO("b.example") TO("c.example"), "250 250 250 250", NULL},
		{2, TO("a.example") TO("A.EXAMPLE") TO("b.example") TO("a.example") TO("c.example"), "250 250 250 250 250 452",
		 "(too-many-domains;"},
		{2, TO("a.example") TO("a.example") TO("a.example") TO("b.example"), "250 250 250 250 250", NULL},
		{2, TO_NOBODY TO_NOBODY TO("a.example") TO("b.example"), "250 550 550 250 250", NULL}, /* what was refused takes no room */
		{2, TO("a.example") "RCPT TO:<postmaster>\r\n" TO("b.example") TO("c.example"), "250 250 250 250 452", "452 4.5.3"},
		{1, TO("a.example") TO("a.example") TO("b.example"), "250 250 250 451", "(one-domain-per-message;"},
		{1, TO("a.example") TO("b.example"), "250 250 451", "451 4.3.0"},
		{1, TO("a.example") "RSET\r\n" FROM TO("b.example") TO("b.example"), "250 250 250 250 250 250", NULL},
	};
	char got[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int how = 0; how < 4; how++) { /* answers at once or late; bytes at once or one by one */
			struct fake_smtp f;
			const char *text = cases[i].said;

			fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
			f.rules.auth_by_owner = true; /* so that foreign domains are asked about ... */
			f.rules.tls_required = false;
			f.rules.domain_max = cases[i].most;
			f.foreign_ok = true; /* ... and taken */
			fake_smtp_start(&f);
			say(&f, HELLO);
			forget(&f);
			f.delay = how & 1;
			say(&f, FROM);
			for (const char *c = text; *c && how & 2; c++)
				fake_smtp_feed(&f, span_of(c, 1));
			if (!(how & 2))
				say(&f, text);
			while (fake_smtp_answer(&f, f.pending_count ? f.pending_count - 1 : 0))
				continue;
			codes(&f, got, sizeof(got));
			assert_string_equal(got, cases[i].codes);
			if (cases[i].slug)
				assert_non_null(strstr(last_line(&f), cases[i].slug));
			fake_smtp_clear(&f);
		}
	}
}

/* the limit is named; a list that is too long is no fault of a program */
static void test_domains_limit_is_named(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	f.rules.auth_by_owner = f.foreign_ok = true;
	f.rules.tls_required = false;
	f.rules.domain_max = 3;
	fake_smtp_start(&f);
	say(&f, HELLO FROM TO("a.example") TO("b.example") TO("c.example"));
	expect(&f, TO("d.example"), "3 domains");
	for (int i = 0; i < 30; i++)
		expect(&f, TO("d.example"), "452 4.5.3");
	assert_false(f.closed);
	expect(&f, "DATA\r\n", "354");
	say(&f, TEXT);
	assert_int_equal(f.accepted_rcpts, 3);
	fake_smtp_clear(&f);
}

static void test_commands_before_sign_in(void **state)
{
	static const struct {
		const char *line;
		unsigned after; /* lines until the end */
	} cases[] = {{"NOOP\r\n", 30}, {FROM, 30}, {"XYZ\r\n", 20 /* bad_command_max comes first */}, {HELLO, 30}};
	struct fake_smtp f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned n = 0;

		fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
		f.rules.auth_by_owner = i != 1;
		f.rules.bad_command_max = i == 2 ? 20 : 100;
		fake_smtp_start(&f);
		fake_smtp_tls(&f);
		say(&f, HELLO);
		for (; !f.closed && n < 100; n++)
			say(&f, cases[i].line);
		assert_int_equal(n, cases[i].after);
		if (i != 2) {
			assert_int_equal(strncmp(last_line(&f), "554 5.7.0", 9), 0);
			assert_non_null(strstr(last_line(&f), "30 commands"));
			assert_non_null(strstr(last_line(&f), "(too-many-unauth-commands;"));
		}
		fake_smtp_clear(&f);
	}
	open_session(&f, SMTP_KIND_MX); /* nobody signs in there */
	say(&f, HELLO);
	for (int i = 0; i < 60; i++)
		expect(&f, "NOOP\r\n", "250");
	fake_smtp_clear(&f);
	open_session(&f, SMTP_KIND_SUBMISSION); /* after sign-in nothing is counted; QUIT is always answered */
	say(&f, HELLO "AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n");
	for (int i = 0; i < 60; i++)
		expect(&f, "NOOP\r\n", "250");
	fake_smtp_clear(&f);
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO);
	for (int i = 0; i < 29; i++)
		expect(&f, "NOOP\r\n", "250");
	expect(&f, "QUIT\r\n", "221");
	fake_smtp_clear(&f);
}

/* a relay window or a network: the owner takes MAIL without sign-in, and then there is nothing to count */
static void test_owner_decides(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_SUBMISSION);
	f.rules.auth_by_owner = true;
	fake_smtp_start(&f);
	expect(&f, HELLO FROM, "(tls-required;"); /* that much stays */
	fake_smtp_tls(&f);
	expect(&f, FROM, "(seq-no-helo;");
	say(&f, HELLO);
	f.mail_cause = CAUSE_RELAY_WINDOW_CLOSED;
	expect(&f, FROM, "550 5.7.1 Your time window for sending has ended");
	expect(&f, TO_ALICE, "(seq-mail-refused: relay-window-closed;");
	expect(&f, "DATA\r\n", "(seq-mail-refused: relay-window-closed;");
	f.mail_cause = CAUSE_NONE;
	f.foreign_ok = true;
	for (int i = 0; i < 20; i++) {
		expect(&f, FROM, "250 2.1.0");
		for (int k = 0; k < 10; k++)
			expect(&f, TO("a.example"), "250 2.1.5");
		expect(&f, "DATA\r\n", "354");
		expect(&f, TEXT, "250 2.0.0");
	}
	assert_int_equal(f.accepted, 20);
	fake_smtp_clear(&f);
}

static void test_rcpt_count(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO FROM TO_ALICE);
	assert_int_equal(f.asked_count, 0);
	say(&f, TO_NOBODY);
	assert_int_equal(f.asked_count, 1);
	say(&f, TO_BOB);
	assert_int_equal(f.asked_count, 1); /* the refused one does not count */
	f.delay = true;
	say(&f, TO_NOBODY);
	assert_int_equal(f.asked_count, 2);
	say(&f, TO_ALICE); /* the one before is still open */
	assert_int_equal(f.asked_count, 3);
	(void)fake_smtp_answer(&f, 1);
	say(&f, TO_ALICE); /* taken, but its reply waits */
	assert_int_equal(f.asked_count, 4);
	(void)fake_smtp_answer(&f, 0);
	say(&f, TO_ALICE);
	assert_int_equal(f.asked_count, 4);
	fake_smtp_clear(&f);
}

/* whose rule it was stands in the refusal, in the 503 that is a consequence, and for answers that waited for their turn */
static void test_rule_is_named(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.rule = SPAN_LIT("mailroom.test");
	say(&f, HELLO FROM);
	expect(&f, TO_NOBODY, "(rcpt-unknown; rule: mailroom.test; ref REF1)\r\n");
	expect(&f, "DATA\r\n",
	       "RCPT <nobody@mailroom.test>: 550 5.1.1 There is no mailbox this address here: check the address for a typing error "
	       "(rcpt-unknown; rule: mailroom.test)\r\n");
	assert_non_null(strstr(last_line(&f), "(rcpt-none-accepted: rcpt-unknown; rule: mailroom.test; ref REF1)\r\n"));
	f.delay = true;
	forget(&f);
	say(&f, TO_ALICE TO_NOBODY);
	(void)fake_smtp_answer(&f, 1);
	(void)fake_smtp_answer(&f, 0);
	assert_non_null(strstr(last_line(&f), "(rcpt-unknown; rule: mailroom.test; ref REF1)\r\n"));
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX);
	f.rule = SPAN_LIT("server");
	f.accept_cause = CAUSE_SPAM_CONTENT;
	say(&f, BEGIN);
	expect(&f, TEXT, "550 5.7.1 The message looks like spam");
	assert_non_null(strstr(last_line(&f), "(spam-content; rule: server; ref REF1)\r\n"));
	expect(&f, "MAIL FROM:<x@blocked.example>\r\n", "(sender-blocked; rule: server; ref REF1)");
	expect(&f, TO_ALICE, "(seq-mail-refused: sender-blocked; rule: server; ref REF1)");
	fake_smtp_clear(&f);
}

/* RFC 5321 4.2.2: 421 says that the connection closes, whoever decided it */
static void test_421_closes(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.mail_cause = CAUSE_HELO_FLOOD;
	say(&f, HELLO);
	expect(&f, FROM, "421 4.7.0");
	assert_true(f.closed);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX);
	f.rcpt_cause = CAUSE_RCPT_DOMAIN_REQUIRES_TLS;
	say(&f, HELLO);
	f.delay = true;
	say(&f, FROM);
	(void)fake_smtp_answer(&f, 0);
	say(&f, TO_ALICE TO_BOB TO_ALICE);
	forget(&f);
	(void)fake_smtp_answer(&f, 1);
	(void)fake_smtp_answer(&f, 0);
	assert_int_equal(strncmp(said(&f), "421 4.7.0", 9), 0);
	assert_non_null(strstr(last_line(&f), "(rcpt-domain-requires-tls;"));
	assert_ptr_equal(last_line(&f), said(&f)); /* and nothing more */
	assert_true(f.closed);
	(void)fake_smtp_answer(&f, 0); /* an answer that comes too late */
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX);
	f.accept_cause = CAUSE_RATE_LIMIT_IP;
	say(&f, BEGIN);
	expect(&f, TEXT, "421 4.7.0");
	assert_true(f.closed);
	fake_smtp_clear(&f);
}

/* ---- circles */

#define PASSED(host)                                                                                                                       \
	"Received: from a.example (x by mailroom.test)\r\n\tby " host                                                                      \
	" (mailroom) with ESMTPS id 1;\r\n Fri, 21 Nov 2026 17:00:00 +0000\r\n"

static void check_loop(const char *header, unsigned times, const char *wanted)
{
	struct fake_smtp f;

	open_session(&f, SMTP_KIND_MX);
	say(&f, BEGIN);
	for (unsigned i = 0; i < times; i++)
		say(&f, header);
	expect(&f, "\r\nx\r\n.\r\n", wanted);
	assert_int_equal(f.accepted, strncmp(wanted, "250", 3) == 0);
	fake_smtp_clear(&f);
}

static void test_circles(void **state)
{
	(void)state;
	check_loop(PASSED("mailroom.test"), 3, "250 2.0.0");
	check_loop(PASSED("Mailroom.TEST"), 4, "554 5.4.6 The message runs in a circle: it was here 4 times before;");
	check_loop(PASSED("mailroom.test.example"), 50, "250 2.0.0");
	check_loop(PASSED("b.example"), 51, "554 5.6.0 The message passed more than 50 servers");
	check_loop(PASSED("b.example"), 51, "(too-many-hops; ref REF1)");
	check_loop("Delivered-To: alice@mailroom.test\r\n", 1, "554 5.4.6 The message runs in a circle: it was delivered here before;");
	check_loop("Delivered-To: bob@mailroom.test\r\n", 1, "250 2.0.0"); /* no recipient of this message */
	check_loop("X: by mailroom.test\r\n", 10, "250 2.0.0");
}

/* a user may send a message that they got to themselves again */
static void test_resent_to_oneself(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_SUBMISSION);
	say(&f, HELLO "AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n");
	say(&f, FROM TO_ALICE "DATA\r\n");
	expect(&f, "Delivered-To: alice@mailroom.test\r\n\r\nx\r\n.\r\n", "250 2.0.0");
	fake_smtp_clear(&f);
}

/* a message that stops half-way is another fault than a client that has nothing to say */
static void test_time_outs(void **state)
{
	static const struct {
		const char *said, *wanted;
	} cases[] = {
		{FROM TO_ALICE, "421 4.4.2 "},
		{FROM TO_ALICE "DATA\r\nx", "451 4.4.2 The message stopped half-way: nothing came for 180 s"},
		{FROM TO_ALICE "BDAT 10\r\nx", "(timeout-in-message;"},
		{FROM TO_ALICE "BDAT 1\r\nx", "(timeout-in-message;"}, /* more chunks were to come */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_smtp f;

		fake_smtp_init(&f, SMTP_KIND_MX);
		f.rules.data_rate_floor = 0;
		fake_smtp_start(&f);
		say(&f, HELLO);
		say(&f, cases[i].said);
		fake_smtp_tick(&f, 0);
		forget(&f);
		fake_smtp_tick(&f, 300001);
		if (!strstr(last_line(&f), cases[i].wanted))
			fail_msg("said: %s\nwanted: %s\ngot: %s", cases[i].said, cases[i].wanted, said(&f));
		assert_true(f.closed);
		fake_smtp_clear(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early_talkers),
		cmocka_unit_test(test_no_early_talkers),
		cmocka_unit_test(test_early_to_the_deaf),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_domains_limit_is_named),
		cmocka_unit_test(test_commands_before_sign_in),
		cmocka_unit_test(test_owner_decides),
		cmocka_unit_test(test_rcpt_count),
		cmocka_unit_test(test_rule_is_named),
		cmocka_unit_test(test_421_closes),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_resent_to_oneself),
		cmocka_unit_test(test_time_outs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
