/* sizes, counts and times: each has a cause, none grows without end */
#include <malloc.h>
#include <stdlib.h>

#include "base/limits.h"
#include "smtp_test.h"

static void test_line_too_long(void **state)
{
	static const size_t chunks[] = {1, 7, 4096, SIZE_MAX};
	size_t len = 100000;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, "NOOP ", 5);
	memcpy(text + len - 2, "\r\n", 2);
	for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
		struct fake_smtp f;

		open_session(&f, SMTP_KIND_MX);
		forget(&f);
		for (size_t at = 0; at < len; at += chunks[c] < len ? chunks[c] : len)
			fake_smtp_feed(&f, span_head(span_of(text + at, len - at), chunks[c]));
		assert_int_equal(strncmp(said(&f), "500", 3), 0);
		assert_non_null(strstr(last_line(&f), "(line-too-long;"));
		expect(&f, "NOOP\r\n", "250 2.0.0");
		fake_smtp_clear(&f);
	}
	free(text);
}

static void test_line_of_exactly_the_limit(void **state)
{
	char text[LIMIT_SMTP_COMMAND_BYTES + 2];

	(void)state;
	for (size_t over = 0; over < 2; over++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct fake_smtp f;
			size_t len = LIMIT_SMTP_COMMAND_BYTES + over;

			memset(text, 'x', sizeof(text));
			memcpy(text, "NOOP ", 5);
			memcpy(text + len - 2, "\r\n", 2);
			open_session(&f, SMTP_KIND_MX);
			forget(&f);
			for (size_t at = 0; at < len; at += bytewise ? 1 : len)
				fake_smtp_feed(&f, span_of(text + at, bytewise ? 1 : len));
			assert_true(strstr(said(&f), over ? "(line-too-long;" : "250 2.0.0") != NULL);
			fake_smtp_clear(&f);
		}
	}
}

static void test_ten_thousand_recipients(void **state)
{
	for (int delay = 0; delay < 2; delay++) {
		struct fake_smtp f;
		mono_ms before = clock_mono_ms();
		char line[64];

		(void)state;
		fake_smtp_init(&f, SMTP_KIND_MX);
		f.rules.rcpt_max = 10000;
		f.delay = delay;
		fake_smtp_start(&f);
		say(&f, HELLO FROM);
		(void)fake_smtp_answer(&f, 0);
		for (unsigned i = 0; i < 100000; i++) {
			(void)snprintf(line, sizeof(line), "RCPT TO:<user%u@mailroom.test>\r\n", i);
			say(&f, line);
			while (f.in.len)
				(void)fake_smtp_answer(&f, f.pending_count - 1);
			if (f.out.len > 1 << 20)
				forget(&f);
		}
		while (fake_smtp_answer(&f, 0))
			;
		assert_non_null(strstr(last_line(&f), "452 4.5.3"));
		assert_non_null(strstr(last_line(&f), "(too-many-recipients;"));
		say(&f, "DATA\r\nx\r\n.\r\n");
		(void)fake_smtp_answer(&f, 0);
		assert_int_equal(f.accepted, 1);
		assert_int_equal(f.accepted_rcpts, 10000);
		assert_true(clock_mono_ms() - before < 20000);
		fake_smtp_clear(&f);
	}
}

static void test_recipients_keep_order_and_tags(void **state)
{
	struct fake_smtp f;
	char got[128];

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.delay = true;
	say(&f, HELLO FROM);
	(void)fake_smtp_answer(&f, 0);
	say(&f, TO_ALICE TO_NOBODY "RCPT TO:<\r\n" TO_BOB "RCPT \r TO:<x>\r\nNOOP\r\n");
	assert_int_equal(f.pending_count, 3);
	forget(&f);
	(void)fake_smtp_answer(&f, 2);
	(void)fake_smtp_answer(&f, 1);
	assert_string_equal(said(&f), "");
	(void)fake_smtp_answer(&f, 0);
	codes(&f, got, sizeof(got));
	assert_string_equal(got, "250 550 501 250 500 250");
	assert_memory_equal(smtp_in_rcpt(f.s, 0)->to.local.ptr, "alice", 5);
	assert_memory_equal(smtp_in_rcpt(f.s, 1)->to.local.ptr, "bob", 3);
	assert_true(smtp_in_rcpt(f.s, 0)->tag != smtp_in_rcpt(f.s, 1)->tag);
	assert_null(smtp_in_rcpt(f.s, 2));
	fake_smtp_clear(&f);
}

static void test_message_too_big(void **state)
{
	struct fake_smtp f;
	char line[101];

	(void)state;
	memset(line, 'x', 100);
	memcpy(line + 98, "\r\n", 3);
	for (int bdat = 0; bdat < 2; bdat++) {
		fake_smtp_init(&f, SMTP_KIND_MX);
		f.rules.message_max_bytes = 1000;
		fake_smtp_start(&f);
		say(&f, HELLO FROM TO_ALICE);
		say(&f, bdat ? "BDAT 1100 LAST\r\n" : "DATA\r\n");
		for (int i = 0; i < 11; i++)
			say(&f, line);
		assert_int_equal(f.discards, 1); /* memory is freed before the end */
		if (!bdat)
			say(&f, ".\r\n");
		assert_non_null(strstr(last_line(&f), "552 5.2.3"));
		assert_non_null(strstr(said(&f), "more than 1000 bytes"));
		say(&f, FROM TO_ALICE "DATA\r\n");
		for (int i = 0; i < 10; i++)
			say(&f, line);
		expect(&f, ".\r\n", "250 2.0.0"); /* exactly the limit is fine */
		fake_smtp_clear(&f);
	}
}

static void test_flood_is_cut(void **state)
{
	struct fake_smtp f;
	size_t len = 1 << 20;
	uint8_t *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	fake_smtp_init(&f, SMTP_KIND_MX);
	f.rules.message_max_bytes = 1000;
	fake_smtp_start(&f);
	say(&f, BEGIN);
	for (int i = 0; i < 80 && !f.closed; i++)
		fake_smtp_feed(&f, span_of(text, len));
	assert_true(f.closed);
	assert_non_null(strstr(last_line(&f), "(message-too-big;"));
	free(text);
	fake_smtp_clear(&f);
}

static void test_counts(void **state)
{
	static const struct {
		const char *line, *wanted;
		unsigned after;
		const char *code;
	} cases[] = {
		{"FOO\r\n", "(too-many-unknown-commands;", 20, "502 5.5.1"},
		{"TURN\r\n", "(too-many-unknown-commands;", 20, "502 5.5.1"},
		{"RCPT\r\n", "(too-many-bad-commands;", 20, "421"},
		{"\n", "(too-many-bad-commands;", 20, "421"},
		{"NOOP\r\n", "(too-many-noops;", 100, "421"},
		{"RSET\r\n", "(too-many-noops;", 100, "421"}, /* the EHLO counts, too */
		{HELLO, "(too-many-noops;", 100, "421"},
		{FROM TO_NOBODY "DATA\r\n" "DATA\r\n" "RSET\r\n", "(too-many-noops;", 34, "421"},
		{FROM "RSET\r\n", "(too-many-noops;", 100, "421"},
		{FROM TO_ALICE "DATA\r\nx\r\n.\r\n", "(too-many-transactions;", 101, "421"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_smtp f;
		unsigned n = 0;

		open_session(&f, SMTP_KIND_MX);
		say(&f, HELLO);
		while (!f.closed && n < 1000) {
			say(&f, cases[i].line);
			n++;
		}
		assert_true(f.closed);
		if (cases[i].after)
			assert_int_equal(n, cases[i].after);
		assert_non_null(strstr(said(&f), cases[i].wanted));
		assert_int_equal(strncmp(last_line(&f), cases[i].code, strlen(cases[i].code)), 0);
		fake_smtp_clear(&f);
	}
}

static void test_mail_loop(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	say(&f, BEGIN);
	for (int i = 0; i < 51; i++)
		say(&f, "Received: from a by b; Fri, 21 Nov 2026 17:00:00 +0000\r\n");
	expect(&f, "\r\nx\r\n.\r\n", "554 5.6.0");
	assert_int_equal(f.accepted, 0);
	assert_int_equal(f.discards, 1);
	fake_smtp_clear(&f);
}

static void test_peer_that_does_not_read(void **state)
{
	struct fake_smtp f;
	struct span out;

	(void)state;
	fake_smtp_init(&f, SMTP_KIND_MX);
	f.rules.noop_max = 1000000;
	fake_smtp_start(&f);
	f.deaf = true;
	for (int i = 0; i < 100000; i++)
		buf_add_str(&f.in, "NOOP\r\n");
	fake_smtp_pump(&f);
	out = smtp_in_out(f.s);
	assert_true(out.len >= LIMIT_SMTP_OUT_BYTES && out.len < LIMIT_SMTP_OUT_BYTES + 1024);
	assert_true(f.in.len > 0);
	fake_smtp_tick(&f, 300000);
	assert_true(f.closed);
	fake_smtp_clear(&f);
}

static void test_times(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX); /* says nothing */
	assert_int_equal(smtp_in_deadline(f.s), 1000 + 300000);
	fake_smtp_tick(&f, 299999);
	assert_false(f.closed);
	fake_smtp_tick(&f, 1);
	assert_true(f.closed);
	assert_non_null(strstr(last_line(&f), "(timeout;"));
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* a byte a minute is no command */
	say(&f, HELLO);
	for (int i = 0; i < 4; i++) {
		fake_smtp_tick(&f, 60000);
		say(&f, "N");
	}
	assert_false(f.closed);
	fake_smtp_tick(&f, 60000);
	assert_true(f.closed);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* drips of a message: the rate counts */
	say(&f, BEGIN);
	for (int i = 0; i < 61 && !f.closed; i++) {
		say(&f, "x");
		fake_smtp_tick(&f, 1000);
	}
	assert_true(f.closed);
	assert_non_null(strstr(last_line(&f), "(message-rate-floor;"));
	assert_int_equal(f.discards, 1);
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* commands for an hour and no message */
	say(&f, HELLO);
	for (int i = 0; i < 60 && !f.closed; i++) {
		fake_smtp_tick(&f, 60000);
		say(&f, "NOOP\r\n");
	}
	assert_true(f.closed);
	assert_non_null(strstr(said(&f), "(session-too-long;"));
	fake_smtp_clear(&f);

	open_session(&f, SMTP_KIND_MX); /* while the owner works there is no deadline, and afterwards the client has its full time */
	f.delay = true;
	say(&f, HELLO FROM);
	assert_true(smtp_in_deadline(f.s) == MONO_NEVER);
	f.now += 400000;
	(void)fake_smtp_answer(&f, 0);
	fake_smtp_tick(&f, 0);
	assert_false(f.closed);
	fake_smtp_tick(&f, 300000);
	assert_true(f.closed);
	fake_smtp_clear(&f);
}

static void test_idle_session_is_small(void **state)
{
	enum { SESSIONS = 1000 };
	static struct fake_smtp f[SESSIONS];
	struct mallinfo2 before, after;
	size_t each;

	(void)state;
	for (size_t i = 0; i < SESSIONS; i++) {
		fake_smtp_init(&f[i], SMTP_KIND_MX);
		fake_smtp_start(&f[i]);
		buf_clear(&f[i].out);
	}
	before = mallinfo2();
	for (size_t i = 0; i < SESSIONS; i++) { /* busy, then idle again */
		say(&f[i], BEGIN "Subject: x\r\n\r\nx\r\n.\r\n");
		buf_clear(&f[i].out);
		buf_clear(&f[i].in);
		buf_clear(&f[i].kept);
		assert_true(smtp_in_idle(f[i].s));
	}
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / SESSIONS;
	assert_true(each < 700); /* what a used session holds beyond a new one */
	for (size_t i = 0; i < SESSIONS; i++)
		fake_smtp_clear(&f[i]);
	after = mallinfo2();
	assert_true(before.uordblks == 0 || (before.uordblks - after.uordblks) / SESSIONS < 2500 - each);
}

/* each has a reply of its own, so they must not go on for ever */
static void test_small_chunks(void **state)
{
	static const char *const chunks[] = {"BDAT 0\r\n", "BDAT 1\r\nx"};
	struct fake_smtp f;

	(void)state;
	for (size_t c = 0; c < 2; c++) {
		open_session(&f, SMTP_KIND_MX);
		say(&f, HELLO FROM TO_ALICE);
		for (uint32_t i = 0; i < f.rules.noop_max + 5; i++)
			say(&f, chunks[c]);
		assert_true(f.closed);
		assert_non_null(strstr(last_line(&f), "(too-many-noops;"));
		fake_smtp_clear(&f);
	}
	open_session(&f, SMTP_KIND_MX); /* of a useful size: as many as one likes */
	say(&f, HELLO FROM TO_ALICE);
	for (uint32_t i = 0; i < 2 * f.rules.noop_max; i++)
		say(&f, "BDAT 64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n");
	expect(&f, "BDAT 0 LAST\r\n", "250 2.0.0 Message taken");
	fake_smtp_clear(&f);
}

static void test_guessed_recipients(void **state)
{
	struct fake_smtp f;

	(void)state;
	open_session(&f, SMTP_KIND_MX);
	f.rules.rcpt_max = 100;
	say(&f, HELLO FROM);
	for (int i = 0; i < 100; i++)
		say(&f, TO_NOBODY);
	assert_false(f.closed);
	expect(&f, TO_ALICE "DATA\r\n.\r\n" FROM, "250 2.1.5"); /* a message counts anew */
	for (int i = 0; i < 101; i++)
		say(&f, TO_FOREIGN);
	assert_true(f.closed);
	assert_non_null(strstr(last_line(&f), "(too-many-bad-commands;"));
	fake_smtp_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_too_long), cmocka_unit_test(test_line_of_exactly_the_limit), cmocka_unit_test(test_ten_thousand_recipients),
		cmocka_unit_test(test_recipients_keep_order_and_tags), cmocka_unit_test(test_message_too_big), cmocka_unit_test(test_flood_is_cut),
		cmocka_unit_test(test_counts), cmocka_unit_test(test_mail_loop), cmocka_unit_test(test_peer_that_does_not_read), cmocka_unit_test(test_times),
		cmocka_unit_test(test_idle_session_is_small), cmocka_unit_test(test_small_chunks), cmocka_unit_test(test_guessed_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
