/* whole dialogues, cut in every way; every malformed command and wrong order */
#include "smtp_test.h"

static const char *const dialogues[] = {
	HELLO FROM TO_ALICE TO_NOBODY TO_BOB "DATA\r\nSubject: x\r\n\r\n..one\r\n.two\r\n...\r\n.\r\nNOOP\r\nQUIT\r\n",
	HELLO FROM TO_ALICE "BDAT 11\r\nSubject: x\r\nRSET\r\n" FROM TO_BOB "BDAT 5\r\nhelloBDAT 7 LAST\r\n world\nQUIT\r\n",
	HELLO FROM TO_FOREIGN TO_NOBODY "BDAT 5 LAST\r\nRSET\nDATA\r\nSubject: x\r\nRSET\r\nDATA\r\n",
	"helo x.example\r\nnoop\r\nvrfy alice\r\nexpn list\r\nhelp\r\nmail from: <>\r\nrcpt to:<postmaster>\r\ndata\r\n.\r\nquit\r\n",
	HELLO "NOOP\nRSET\r\nNO\rOP\r\nNOOP \xff\r\nFOO\r\n\r\nDATA \r\nMAIL\r\n" FROM FROM "RCPT\r\nRCPT TO:a@b\r\nSTARTTLS x\r\n",
	HELLO FROM TO_ALICE "DATA\r\na\nb\r\n.\r\n" FROM TO_ALICE "DATA\r\na\rb\r\n.\r\n" FROM TO_ALICE "BDAT 4 LAST\r\na\r\n\rNOOP\r\n",
};

static void run_split(const char *text, size_t split, bool bytewise, struct buf *out)
{
	struct fake_smtp f;
	size_t len = strlen(text);

	open_session(&f, SMTP_KIND_MX);
	if (bytewise) {
		for (size_t i = 0; i < len; i++)
			fake_smtp_feed(&f, span_of(text + i, 1));
	} else {
		fake_smtp_feed(&f, span_of(text, split));
		fake_smtp_feed(&f, span_of(text + split, len - split));
	}
	buf_add(out, buf_span(&f.out));
	buf_printf(out, "[accepted %u resets %u body ", f.accepted, f.resets);
	buf_add(out, buf_span(&f.kept));
	fake_smtp_clear(&f);
}

static void test_every_split(void **state)
{
	(void)state;
	for (size_t d = 0; d < sizeof(dialogues) / sizeof(dialogues[0]); d++) {
		struct buf whole, cut;

		buf_init(&whole, 1 << 20);
		buf_init(&cut, 1 << 20);
		run_split(dialogues[d], 0, false, &whole);
		for (size_t i = 0; i <= strlen(dialogues[d]); i++) {
			buf_reset(&cut);
			run_split(dialogues[d], i, i == strlen(dialogues[d]), &cut);
			assert_string_equal(buf_cstr(&cut), buf_cstr(&whole));
		}
		buf_clear(&whole);
		buf_clear(&cut);
	}
}

static void test_message_is_kept_as_sent(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, BEGIN "Subject: x\r\n\r\n..one\r\n.two\r\n..\r\nend\r\n.\r\n");
	assert_string_equal(buf_cstr(&f.kept), "Subject: x\r\n\r\n.one\r\ntwo\r\n.\r\nend\r\n");
	assert_non_null(strstr(said(&f), "250 2.0.0 Message taken, queued as Q1\r\n"));
	expect(&f, FROM TO_ALICE "BDAT 6\r\none\r\n.BDAT 0\r\nBDAT 5 LAST\r\n\r\ntwo", "250 2.0.0 Message taken");
	assert_string_equal(buf_cstr(&f.kept), "one\r\n.\r\ntwo");
	expect(&f, FROM TO_ALICE "DATA\r\n.\r\n", "250 2.0.0 Message taken");
	assert_int_equal(f.kept.len, 0);
	assert_int_equal(f.accepted, 3);
	fake_smtp_clear(&f);
}

/* what a client sends after EHLO on an MX session, and what the last reply must hold */
static const struct {
	const char *said, *wanted;
} bad[] = {
	{"FOO\r\n", "502 5.5.1"},
	{"\r\n", "(command-unknown;"},
	{"MAIL\r\n", "(command-syntax;"},
	{"MAIL FROM\r\n", "501 5.5.2"},
	{"MAIL FROM:\r\n", "(sender-syntax;"},
	{"MAIL FROM:a@b.example\r\n", "501 5.1.7"},
	{"MAIL FROM:<a@b.example\r\n", "(sender-syntax;"},
	{"MAIL FROM:<a@b..example>\r\n", "(sender-syntax;"},
	{"MAIL FROM:<a@b.example> FOO=1\r\n", "555 5.5.4"},
	{"MAIL FROM:<a@b.example> SIZE=x\r\n", "(param-syntax;"},
	{"MAIL FROM:<a@b.example> SIZE\r\n", "555 5.5.2"},
	{"MAIL FROM:<a@b.example> SIZE=1 SIZE=1\r\n", "(param-twice;"},
	{"MAIL FROM:<a@b.example> SIZE=26214401\r\n", "552 5.2.3"},
	{"MAIL FROM:<a@b.example> SIZE=99999999999999999999\r\n", "(message-too-big;"},
	{"MAIL FROM:<a@b.example> BODY=9BIT\r\n", "(param-syntax;"},
	{"MAIL FROM:<a@b.example> RET=ALL\r\n", "(param-syntax;"},
	{"MAIL FROM:<a@b.example> ENVID=a+zz\r\n", "(param-syntax;"},
	{"MAIL FROM:<a@b.example> REQUIRETLS\r\n", "(requiretls-needs-tls;"},
	{"MAIL FROM:<a@b.example>SIZE=1\r\n", "(param-syntax;"},
	{"MAIL FROM:<\xc3\xa9@b.example>\r\n", "553 5.6.7"},
	{"MAIL FROM:<\xe9@b.example>\r\n", "(smtputf8-required;"},
	{"MAIL FROM:<\xe9@b.example> SMTPUTF8\r\n", "(sender-syntax;"},
	{"RCPT TO:<a@mailroom.test>\r\n", "(seq-no-mail;"},
	{"DATA\r\n", "503 5.5.1"},
	{"DATA now\r\n", "(argument-unwanted;"},
	{"RSET now\r\n", "501 5.5.4"},
	{"QUIT now\r\n", "(argument-unwanted;"},
	{"STARTTLS now\r\n", "(argument-unwanted;"},
	{"BDAT 3 LAST\r\nabc", "(seq-no-mail;"},
	{"EXPN list\r\n", "502 5.5.1"},
	{"TURN\r\n", "(command-not-enabled;"},
	{"VRFY\r\n", "501 5.5.2"},
	{"EHLO\r\n", "501 5.5.4"},
	{"EHLO -x-.example\r\n", "(helo-invalid;"},
	{"HELO \xff\r\n", "(helo-invalid;"},
	{"AUTH PLAIN =\r\n", "(auth-not-advertised;"},
	{FROM FROM, "(seq-nested-mail;"},
	{FROM "DATA\r\n", "(seq-no-rcpt;"},
	{FROM "BDAT 1 LAST\r\nx", "(seq-no-rcpt;"},
	{FROM "RCPT TO:<>\r\n", "(rcpt-syntax;"},
	{FROM "RCPT TO:<alice@mailroom.test> NOTIFY=NEVER,DELAY\r\n", "(param-syntax;"},
	{FROM "RCPT TO:<alice@mailroom.test> NOTIFY=,\r\n", "(param-syntax;"},
	{FROM "RCPT TO:<alice@mailroom.test> ORCPT=rfc822\r\n", "(param-syntax;"},
	{FROM "RCPT TO:<alice@mailroom.test> SIZE=1\r\n", "(param-unknown;"},
	{FROM "RCPT TO:<al\xc3\xafs@mailroom.test>\r\n", "553 5.6.7"},
	{FROM TO_ALICE "BDAT 1\r\nxDATA\r\n", "(seq-bdat-data-mixed;"},
	{FROM TO_ALICE "BDAT 1\r\nx" TO_BOB, "(seq-bdat-data-mixed;"},
	{FROM TO_ALICE "BDAT 1\r\nx" FROM, "(seq-nested-mail;"},
	{FROM TO_ALICE "BDAT x\r\n", "(command-syntax;"},
	{FROM TO_ALICE "BDAT 99999999999999999999 LAST\r\n", "552 5.2.3"},
	{FROM TO_ALICE "DATA\r\nx\r\ny\nz\r\n.\r\n", "550 5.6.11"},
	{"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n" TO_ALICE "DATA\r\n", "(binarymime-needs-bdat;"},
	{"NO\nOP\r\n", "(command-bare-newline;"},
	{"NO\rOP\r\n", "(command-bare-newline;"},
	{"NOOP\r\r\n", "(command-bare-newline;"},
	{"GET / HTTP/1.1\r\n", "(foreign-protocol;"},
	{"POST / HTTP/1.1\r\nMAIL FROM:<a@b.example>\r\n", "554 5.5.1"},
};

static void test_bad_input(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct fake_smtp f;

			open_session(&f, SMTP_KIND_MX);
			say(&f, HELLO);
			forget(&f);
			for (const char *p = bad[i].said; *p; p++) {
				fake_smtp_feed(&f, span_of(p, bytewise ? 1 : strlen(p)));
				if (!bytewise)
					break;
			}
			if (!strstr(last_line(&f), bad[i].wanted) || !strstr(last_line(&f), "; ref REF1)\r\n"))
				fail_msg("said: %s\nwanted: %s\ngot: %s", bad[i].said, bad[i].wanted, said(&f));
			assert_int_equal(f.accepted, 0);
			assert_true(f.events > 0);
			fake_smtp_clear(&f);
		}
	}
}

static void test_nul_bytes(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	fake_smtp_feed(&f, SPAN_LIT(HELLO "NOOP\0x\r\n"));
	assert_non_null(strstr(last_line(&f), "(nul-byte;"));
	fake_smtp_feed(&f, SPAN_LIT(FROM TO_ALICE "DATA\r\na\0b\r\n.\r\n"));
	assert_non_null(strstr(last_line(&f), "554 5.6.0"));
	assert_int_equal(f.accepted, 0);
	fake_smtp_feed(&f, SPAN_LIT(FROM TO_ALICE "BDAT 3 LAST\r\na\0b"));
	assert_int_equal(f.accepted, 0);
	fake_smtp_feed(&f, SPAN_LIT("MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n" TO_ALICE "BDAT 5 LAST\r\na\0\n\r."));
	assert_int_equal(f.accepted, 1);
	assert_memory_equal(f.kept.ptr, "a\0\n\r.", 5);
	fake_smtp_clear(&f);
}

static void test_good_envelopes(void **state)
{
	static const char *const lines[] = {
		"MAIL FROM:<>\r\n", "MAIL FROM:<\"a b\"@x.example>\r\n", "MAIL FROM:<@r1.example,@r2.example:a@x.example>\r\n",
		"MAIL FROM:<a@[192.0.2.1]>\r\n", "MAIL FROM:<a@[IPv6:2001:db8::1]>\r\n", "MAIL FROM: <a@x.example>\r\n", "mail from:<a@x.example>\r\n",
		"MAIL FROM:<a@x.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 AUTH=<>\r\n",
		"MAIL FROM:<\xc3\xa9@x.example> SMTPUTF8\r\n", "MAIL FROM:<a@x.example> BODY=7BIT SIZE=0  \r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fake_smtp f;

		open_session(&f, SMTP_KIND_MX);
		say(&f, HELLO);
		expect(&f, lines[i], "250 2.1.0");
		expect(&f, "RCPT TO:<@relay.example:alice@mailroom.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;alice+2Bx@mailroom.test\r\n", "250 2.1.5");
		expect(&f, "DATA\r\n", "354 ");
		expect(&f, "x\r\n.\r\n", "250 2.0.0");
		fake_smtp_clear(&f);
	}
}

static void test_early_bytes(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_MX); /* before the greeting was read */
	f.s = smtp_in_new(&f.rules, SPAN_LIT("REF1"), CAUSE_NONE, 0);
	(void)smtp_in_feed(f.s, SPAN_LIT(HELLO FROM), 0);
	fake_smtp_pump(&f);
	assert_true(f.closed);
	assert_int_equal(strncmp(said(&f), "554", 3), 0);
	assert_non_null(strstr(last_line(&f), "554 5.5.1"));
	assert_non_null(strstr(said(&f), "(seq-pipelined-early;"));
	assert_null(strstr(said(&f), "250"));
	fake_smtp_clear(&f);
}

static void test_starttls_injection(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, HELLO);
	forget(&f);
	say(&f, "STARTTLS\r\n" HELLO FROM);
	assert_false(f.want_tls);
	assert_true(f.closed);
	assert_null(strstr(said(&f), "220 "));
	assert_null(strstr(said(&f), "250"));
	assert_non_null(strstr(last_line(&f), "454 4.5.0"));
	assert_non_null(strstr(said(&f), "(tls-injection;"));
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* even a single blank, even when STARTTLS had to wait for a RCPT */
	f.delay = true;
	say(&f, HELLO FROM);
	(void)fake_smtp_answer(&f, 0);
	say(&f, TO_ALICE "STARTTLS\r\n ");
	(void)fake_smtp_answer(&f, 0);
	assert_false(f.want_tls);
	assert_true(f.closed);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* the owner saw bytes in its own buffer */
	f.deaf = true;
	say(&f, HELLO "STARTTLS\r\n");
	assert_true(f.want_tls);
	smtp_in_tls_injected(f.s);
	f.deaf = false;
	fake_smtp_pump(&f);
	assert_true(f.closed);
	assert_null(strstr(said(&f), "220 2.0.0"));
	fake_smtp_clear(&f);
}

static void test_starttls_forgets(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	expect(&f, HELLO, "STARTTLS");
	say(&f, FROM TO_ALICE);
	expect(&f, "STARTTLS\r\n", "220 2.0.0");
	assert_true(f.want_tls);
	fake_smtp_tls(&f);
	expect(&f, "DATA\r\n", "(seq-no-helo;");
	expect(&f, "STARTTLS\r\n", "(tls-repeated;");
	expect(&f, HELLO, "REQUIRETLS");
	assert_null(strstr(said(&f), "STARTTLS"));
	expect(&f, "DATA\r\n", "(seq-no-mail;");
	fake_smtp_clear(&f);
}

static void test_end_of_input(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX); /* inside DATA: nothing is kept */
	say(&f, BEGIN "half a message\r\n");
	smtp_in_eof(f.s);
	fake_smtp_pump(&f);
	assert_true(f.closed);
	assert_int_equal(f.accepted, 0);
	assert_int_equal(f.discards, 1);
	assert_int_equal(f.resets, 1);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* after the end of the message, the answer still on its way: it was complete */
	f.delay = true;
	say(&f, HELLO FROM);
	(void)fake_smtp_answer(&f, 0);
	say(&f, TO_ALICE);
	(void)fake_smtp_answer(&f, 0);
	say(&f, "DATA\r\nx\r\n.\r\n");
	smtp_in_eof(f.s);
	fake_smtp_pump(&f);
	assert_false(f.closed);
	(void)fake_smtp_answer(&f, 0);
	assert_true(f.closed);
	assert_int_equal(f.accepted, 1);
	assert_int_equal(f.discards, 0);
	fake_smtp_clear(&f);
}

static void test_shutdown(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.delay = true;
	say(&f, HELLO FROM);
	smtp_in_shutdown(f.s, CAUSE_SERVER_SHUTTING_DOWN, false);
	fake_smtp_pump(&f);
	assert_false(f.closed); /* the question in hand is answered first */
	(void)fake_smtp_answer(&f, 0);
	assert_true(f.closed);
	assert_non_null(strstr(said(&f), "250 2.1.0"));
	assert_non_null(strstr(last_line(&f), "421 4.3.2"));
	fake_smtp_clear(&f);
}

static void test_refused_at_once(void **state)
{
	struct fake_smtp f;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_MX);
	f.s = smtp_in_new(&f.rules, SPAN_LIT("REF1"), CAUSE_TOO_MANY_CONNECTIONS, 0);
	fake_smtp_pump(&f);
	assert_true(f.closed);
	assert_int_equal(strncmp(said(&f), "421", 3), 0);
	fake_smtp_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_message_is_kept_as_sent), cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_nul_bytes), cmocka_unit_test(test_good_envelopes), cmocka_unit_test(test_early_bytes),
		cmocka_unit_test(test_starttls_injection), cmocka_unit_test(test_starttls_forgets), cmocka_unit_test(test_end_of_input),
		cmocka_unit_test(test_shutdown), cmocka_unit_test(test_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
