/* servers without measure, time, and what may be in a message */
#include "out_script.h"

#include <stdio.h>

static void open_out(struct fake_out *f, const char *script)
{
	fake_out_start(f);
	(void)script_run(f, "limits", script, SCRIPT_WHOLE, false);
}

/* feeds `piece` over and over; returns how many bytes it took to fail, at most `most` */
static size_t flood(struct fake_out *f, const char *piece, size_t most)
{
	size_t fed = 0, len = strlen(piece);

	while (!f->failed && fed < most) {
		fake_out_feed(f, span_of(piece, len));
		fed += len;
	}
	return fed;
}

#define A_HUNDRED "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct { const char *before, *piece, *wanted; size_t most; } floods[] = {
	{"", "x", "failed garbled@greeting", SMTP_OUT_REPLY_BYTES + 1},
	{"", "220 xxxxxxxxxxxxxxxxxxxxxxxxxxxx", "failed garbled@greeting", SMTP_OUT_REPLY_BYTES + 64},
	{"", "220-mx.test\r\n", "failed garbled@greeting", SMTP_OUT_REPLY_LINES * 14},
	{"", "220-\n", "failed garbled@greeting", SMTP_OUT_REPLY_LINES * 6},
	{"", "220-" A_HUNDRED A_HUNDRED "\r\n",
		"failed garbled@greeting", SMTP_OUT_REPLY_BYTES + 300},
	{"", "\r\n", "failed garbled@greeting", 100},
	{"", "\n", "failed garbled@greeting", 100},
	{"", "220-a\r\n\r\n", "failed garbled@greeting", SMTP_OUT_REPLY_LINES * 10},
	{"S: 220 mx.test\n", "250-X\r\n", "failed garbled@ehlo", SMTP_OUT_REPLY_LINES * 8},
	{"S: 220 mx.test\n", "250-AUTH X\r\n", "failed garbled@ehlo", SMTP_OUT_REPLY_LINES * 13},
	{EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT, "554-no\r\n", "ready, done garbled@end doubt, failed garbled@end doubt", SMTP_OUT_REPLY_LINES * 9},
	{EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\n", "220-go\r\n", "failed garbled@starttls", SMTP_OUT_REPLY_LINES * 9},
};

static void test_floods(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct fake_out f;

		fake_out_init(&f);
		open_out(&f, floods[i].before);
		assert_in_range(flood(&f, floods[i].piece, 10 << 20), 2, floods[i].most);
		assert_string_equal(buf_cstr(&f.log), floods[i].wanted);
		assert_int_equal(smtp_out_out(f.s).len, 0);
		fake_out_clear(&f);
	}
}

/* a banner of 10 MB that comes in one read */
static void test_flood_at_once(void **state)
{
	struct fake_out f;
	struct buf banner;

	(void)state;
	buf_init(&banner, 16 << 20);
	for (int i = 0; i < 1 << 20; i++)
		buf_add_str(&banner, "220-banner");
	fake_out_init(&f);
	open_out(&f, "");
	fake_out_feed(&f, buf_span(&banner));
	assert_string_equal(buf_cstr(&f.log), "failed garbled@greeting");
	assert_in_range(f.words.len, 1, SMTP_OUT_WORDS_BYTES + 1);
	fake_out_clear(&f);
	buf_clear(&banner);
}

static void feed_times(struct fake_out *f, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		fake_out_feed(f, span_str(text));
}

/* as many lines as are allowed, and a line that is cut but not refused */
static void test_long_replies(void **state)
{
	struct fake_out f;

	(void)state;
	fake_out_init(&f);
	f.mails = 0;
	f.stay = true;
	open_out(&f, "");
	feed_times(&f, "220-welcome\r\n", SMTP_OUT_REPLY_LINES - 1);
	fake_out_feed(&f, SPAN_LIT("220 mx.test\r\n"));
	fake_out_pump(&f);
	fake_out_feed(&f, SPAN_LIT("250-"));
	feed_times(&f, "xxxxxxxxxx", 6000);
	fake_out_feed(&f, SPAN_LIT("\r\n250 DSN\r\n"));
	assert_string_equal(buf_cstr(&f.log), "ready");
	assert_true(smtp_out_has_dsn(f.s));
	fake_out_clear(&f);
}

/* characters of more than one byte are not cut in two */
static void test_long_words(void **state)
{
	(void)state;
	for (size_t before = 0; before < 4; before++) {
		struct fake_out f;

		fake_out_init(&f);
		open_out(&f, "");
		fake_out_feed(&f, SPAN_LIT("554 "));
		feed_times(&f, "x", before);
		feed_times(&f, "\xe2\x82\xac", 300);
		fake_out_feed(&f, SPAN_LIT("\r\n"));
		assert_in_range(f.words.len - 1, SMTP_OUT_WORDS_BYTES - 3, SMTP_OUT_WORDS_BYTES);
		assert_true(span_is_utf8(buf_span(&f.words)));
		fake_out_clear(&f);
	}
}

/* a challenge may be longer than other lines, and has its limit, too */
static void test_long_challenge(void **state)
{
	(void)state;
	for (size_t times = 1000; times <= 4000; times += 1000) {
		struct fake_out f;

		fake_out_init(&f);
		f.want_auth = true;
		f.tls = SMTP_OUT_TLS_NEVER;
		open_out(&f, EHLO_WITH("S: 250 AUTH PLAIN\n"));
		fake_out_feed(&f, SPAN_LIT("334 "));
		feed_times(&f, "AAAA", times);
		fake_out_feed(&f, SPAN_LIT("\r\n"));
		assert_int_equal(f.failed, times > 3000);
		assert_int_equal(smtp_out_challenge(f.s).len, times > 3000 ? 0 : times * 3);
		fake_out_clear(&f);
	}
}

/* a server that does not read: what waits for it stays small, and in time it is given up */
static void test_deaf_server(void **state)
{
	struct fake_out f;
	struct buf body;
	size_t most = 0;

	(void)state;
	buf_init(&body, 8 << 20);
	while (body.len < 4 << 20)
		buf_add_str(&body, ".\r\n.x\r\n");
	fake_out_init(&f);
	f.body = buf_span(&body);
	open_out(&f, EHLO_MIN UP_TO_DATA);
	f.deaf = true;
	fake_out_feed(&f, SPAN_LIT("354 go\r\n"));
	while (!f.failed) {
		fake_out_pump(&f);
		most = smtp_out_out(f.s).len > most ? smtp_out_out(f.s).len : most;
		smtp_out_sent(f.s, 1000, f.now); /* a little now and then */
		fake_out_tick(&f, 179000);
		assert_in_range(f.now, 0, 1000000 + 3600000 + (4 << 20) + 179001);
	}
	assert_in_range(most, 32 << 10, 128 << 10);
	assert_string_equal(buf_cstr(&f.log), "ready, done timed-out@body, failed timed-out@body");
	fake_out_clear(&f);
	buf_clear(&body);
}

/* the dot has not left: the server cannot have taken the message, whatever it says */
static void test_before_the_dot(void **state)
{
	static const struct { const char *said, *wanted; } cases[] = {
		{NULL, "ready, done lost@body, failed lost@body"},
		{"250 2.0.0 taken\r\n", "ready, done garbled@body, failed garbled@body"},
		{"554 5.7.1 no\r\n", "ready, done refused@body 554 5.7.1, failed refused@body 554 5.7.1"},
		{"421 4.3.0 no\r\n", "ready, done later@body 421 4.3.0 closing, failed later@body 421 4.3.0 closing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_out f;

		fake_out_init(&f);
		open_out(&f, EHLO_MIN UP_TO_DATA);
		f.deaf = true;
		fake_out_feed(&f, SPAN_LIT("354 go\r\n"));
		fake_out_pump(&f);
		smtp_out_sent(f.s, smtp_out_out(f.s).len - 1, f.now);
		if (cases[i].said)
			fake_out_feed(&f, span_str(cases[i].said));
		else
			smtp_out_eof(f.s, f.now);
		fake_out_pump(&f);
		assert_string_equal(buf_cstr(&f.log), cases[i].wanted);
		fake_out_clear(&f);
	}
}

/* an answer to a command that has not left is none */
static void test_early_replies(void **state)
{
	static const struct { const char *before, *said, *wanted; } cases[] = {
		{"", "220 mx.test\r\n250 mx.test\r\n", "failed garbled@ehlo"},
		{EHLO_MIN FROM_ME, "250 ok\r\n250 ok\r\n", "ready, done garbled@rcpt, failed garbled@rcpt"},
		{EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\nS: 454 no\n", "250 ok\r\n550 no\r\n", "ready, done garbled@rcpt, failed garbled@rcpt"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_out f;

		fake_out_init(&f);
		open_out(&f, cases[i].before);
		f.deaf = true;
		smtp_out_feed(f.s, span_str(cases[i].said), f.now);
		fake_out_pump(&f);
		assert_string_equal(buf_cstr(&f.log), cases[i].wanted);
		fake_out_clear(&f);
	}
}

/* ... also where the commands stand ready, one behind the other */
static void test_early_replies_pipelined(void **state)
{
	(void)state;
	for (size_t sent = 0; sent < 65; sent++) {
		struct fake_out f;
		const bool mail_left = sent >= strlen("MAIL FROM:<me@client.test>\r\n");

		fake_out_init(&f);
		open_out(&f, "S: 220 mx.test\nC: EHLO client.test\n");
		f.deaf = true;
		fake_out_feed(&f, SPAN_LIT("250-mx.test\r\n250 PIPELINING\r\n"));
		smtp_out_sent(f.s, sent, f.now);
		fake_out_feed(&f, SPAN_LIT("250 ok\r\n"));
		assert_int_equal(f.failed, !mail_left);
		fake_out_feed(&f, SPAN_LIT("250 ok\r\n"));
		assert_int_equal(f.failed, sent < strlen("MAIL FROM:<me@client.test>\r\nRCPT TO:<alice@mailroom.test>\r\n"));
		fake_out_clear(&f);
	}
}

static void test_tls_hangs(void **state)
{
	struct fake_out f;

	(void)state;
	fake_out_init(&f);
	fake_out_start(&f);
	fake_out_pump(&f);
	fake_out_feed(&f, SPAN_LIT("220 mx.test\r\n"));
	fake_out_pump(&f);
	fake_out_feed(&f, SPAN_LIT("250-mx.test\r\n250 STARTTLS\r\n"));
	fake_out_pump(&f);
	fake_out_feed(&f, SPAN_LIT("220 go\r\n")); /* and the owner's handshake never ends */
	assert_int_equal(smtp_out_deadline(f.s), f.now + f.rules.command_ms);
	smtp_out_tick(f.s, f.now + f.rules.command_ms - 1);
	assert_false(f.failed);
	smtp_out_tick(f.s, f.now + f.rules.command_ms);
	fake_out_act(&f);
	assert_string_equal(buf_cstr(&f.log), "tls, failed timed-out@starttls");
	fake_out_clear(&f);
}

/* behind a box that blots out the greeting the dot waits until all else has left */
static void test_masked_greeting(void **state)
{
	struct fake_out f;

	(void)state;
	fake_out_init(&f);
	open_out(&f, "S: 220 ****\nC: EHLO client.test\nS: 250-mx.test\nS: 250 PIPELINING\n" FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA);
	f.deaf = true;
	fake_out_feed(&f, SPAN_LIT("354 go\r\n"));
	assert_true(span_eq(smtp_out_out(f.s), SPAN_LIT("Subject: x\r\n\r\nhello\r\n")));
	smtp_out_sent(f.s, 20, f.now);
	assert_true(span_eq(smtp_out_out(f.s), SPAN_LIT("\n")));
	smtp_out_sent(f.s, 1, f.now);
	assert_true(span_eq(smtp_out_out(f.s), SPAN_LIT(".\r\n")));
	smtp_out_sent(f.s, 3, f.now);
	fake_out_feed(&f, SPAN_LIT("250 ok\r\n"));
	assert_non_null(strstr(buf_cstr(&f.log), "done sent@end 250"));
	fake_out_clear(&f);
}

/* a body, and what it looks like on the way; NULL: it never leaves whole */
static const struct { const char *body, *sent; } bodies[] = {
	{"", ".\r\n"},
	{"x", "x\r\n.\r\n"},
	{".", "..\r\n.\r\n"},
	{"\r\n.\r\n", "\r\n..\r\n.\r\n"},
	{".\r\n.\r\n..\r\n", "..\r\n..\r\n...\r\n.\r\n"},
	{"a\r\n.b", "a\r\n..b\r\n.\r\n"},
	{"a.\r\nb..c\r\n", "a.\r\nb..c\r\n.\r\n"},
	{"\r\n\r\n", "\r\n\r\n.\r\n"},
	{"\n", NULL},
	{"\r", NULL},
	{"a\nb\r\n", NULL},
	{"a\rb\r\n", NULL},
	{"a\r\r\n", NULL},
	{"a\r\n\r", NULL},
	{"a\r\n\n", NULL},
	{"a\r\n.\n", NULL},
	{"a\r.\r\n", NULL},
	{"a\\0b\r\n", NULL}, /* \0: a NUL */
};

static void try_body(struct span body, const char *wanted, size_t piece, bool empty_last, const char *name)
{
	struct fake_out f;
	struct span sent;

	fake_out_init(&f);
	f.body = body;
	f.mail.bytes = 1;
	f.piece = piece;
	f.empty_last = empty_last;
	open_out(&f, EHLO_MIN UP_TO_DATA "S: 354 go\n");
	sent = buf_span(&f.sent);
	if (f.failed != !wanted || (wanted && !span_eq(sent, span_str(wanted))))
		fail_msg("'%s' in pieces of %zu: %s, sent '%s'", name, piece, buf_cstr(&f.log), buf_cstr(&f.sent));
	if (!wanted && sent.len >= 3 && memcmp(sent.ptr + sent.len - 3, ".\r\n", 3) == 0 && (sent.len == 3 || sent.ptr[sent.len - 4] == '\n'))
		fail_msg("'%s' in pieces of %zu ends all the same", name, piece);
	if (!wanted)
		assert_string_equal(buf_cstr(&f.log), "ready, done unable@body binary, failed unable@body binary");
	fake_out_clear(&f);
}

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct buf body;

		buf_init(&body, 100);
		script_line(&body, bodies[i].body, strlen(bodies[i].body), false);
		for (size_t piece = 0; piece <= body.len; piece++)
			for (int empty = 0; empty < 2; empty++)
				try_body(buf_span(&body), bodies[i].sent, piece, empty, bodies[i].body);
		buf_clear(&body);
	}
}

/* more recipients than the server takes at once */
static void test_many_recipients(void **state)
{
	static const struct { const char *limits; size_t count, tried; } cases[] = {
		{"S: 250 X\n", 99, 99}, {"S: 250 X\n", 101, 100}, {"S: 250 LIMITS RCPTMAX=3\n", 7, 3}, {"S: 250 LIMITS RCPTMAX=500\n", 700, 500},
		{"S: 250 LIMITS RCPTMAX=4000000000\n", 1500, 1000},
	};
	struct smtp_out_rcpt *rcpts = test_calloc(1500, sizeof(*rcpts));

	(void)state;
	for (size_t i = 0; i < 1500; i++)
		rcpts[i].address = SPAN_LIT("\"a quoted one\"@mailroom.test");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_out f;

		fake_out_init(&f);
		f.mail.rcpts = rcpts;
		f.mail.rcpt_count = cases[i].count;
		open_out(&f, "S: 220 mx.test\nC: EHLO client.test\nS: 250-mx.test\nS: 250-PIPELINING\n");
		(void)script_run(&f, "many", cases[i].limits, SCRIPT_WHOLE, false);
		fake_out_feed(&f, SPAN_LIT("250 ok\r\n"));
		for (size_t n = 0; n < cases[i].tried; n++)
			fake_out_feed(&f, n % 2 ? SPAN_LIT("550 5.1.1 no\r\n") : SPAN_LIT("250 ok\r\n"));
		fake_out_feed(&f, SPAN_LIT("354 go\r\n"));
		fake_out_pump(&f);
		fake_out_feed(&f, SPAN_LIT("250 2.0.0 ok\r\n"));
		assert_false(f.failed);
		for (size_t n = 0; n < cases[i].count; n++)
			assert_int_equal(smtp_out_result(f.s, n).fate, n >= cases[i].tried ? SMTP_OUT_LEFT : n % 2 ? SMTP_OUT_REFUSED : SMTP_OUT_SENT);
		fake_out_clear(&f);
	}
	test_free(rcpts);
}

/* calls that do not fit the moment do nothing, or end the connection */
static void test_wrong_calls(void **state)
{
	struct fake_out f;
	uint8_t much[70000] = {0};

	(void)state;
	fake_out_init(&f);
	f.stay = true;
	fake_out_start(&f);
	smtp_out_tls_done(f.s, f.now);
	smtp_out_auth(f.s, SPAN_LIT("PLAIN"), false, SPAN_NONE, f.now);
	smtp_out_auth_answer(f.s, SPAN_NONE, f.now);
	smtp_out_auth_cancel(f.s, f.now);
	smtp_out_skip_auth(f.s, f.now);
	smtp_out_body(f.s, SPAN_LIT("x"), true, f.now);
	smtp_out_sent(f.s, 100, f.now);
	assert_int_equal(smtp_out_room(f.s), 0);
	assert_int_equal(smtp_out_out(f.s).len, 0);
	(void)script_run(&f, "wrong calls", EHLO_MIN UP_TO_DATA, SCRIPT_WHOLE, true);
	smtp_out_mail(f.s, &f.mail, f.now);
	smtp_out_feed(f.s, SPAN_LIT("354 go\r\n"), f.now);
	assert_int_equal(smtp_out_next(f.s), SMTP_OUT_BODY);
	assert_int_equal(smtp_out_next(f.s), SMTP_OUT_NOTHING);
	smtp_out_body(f.s, span_of(much, sizeof(much)), false, f.now);
	fake_out_pump(&f);
	assert_string_equal(buf_cstr(&f.log), "ready, done lost@body, failed lost@body");
	smtp_out_mail(f.s, &f.mail, f.now);
	fake_out_pump(&f);
	assert_string_equal(buf_cstr(&f.log), "ready, done lost@body, failed lost@body, done left@rcpt");
	smtp_out_quit(f.s, f.now);
	fake_out_pump(&f);
	assert_true(f.closed);
	fake_out_clear(&f);
	smtp_out_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_flood_at_once),
		cmocka_unit_test(test_long_replies),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_long_challenge),
		cmocka_unit_test(test_deaf_server),
		cmocka_unit_test(test_before_the_dot),
		cmocka_unit_test(test_early_replies),
		cmocka_unit_test(test_early_replies_pipelined),
		cmocka_unit_test(test_tls_hangs),
		cmocka_unit_test(test_masked_greeting),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_wrong_calls),
	};

	return cmocka_run_group_tests_name("smtp-out-limits", tests, NULL, NULL);
}
