#include "test_pop3.h"

#include <stdlib.h>

#include "base/b64.h"
#include "base/limits.h"

static void scram_final_data_needs_an_empty_line(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	assert_string_equal(owner_say(&o, "auth scram-sha-256 Y2xpZW50LWZpcnN0\r\n"), "+ c2VydmVyLWZpcnN0\r\n");
	assert_string_equal(owner_say(&o, "Y2xpZW50LWZpbmFs\r\n"), "+ dj1zZXJ2ZXItZmluYWw=\r\n");
	assert_int_equal(o.opens, 0);
	assert_int_equal(pop3_in_account(o.p).len, 0); /* not before the client has agreed */
	assert_starts(owner_say(&o, "\r\n"), "+OK 3 messages");
	assert_int_equal(o.opens, 1);
	assert_int_equal(o.cancels, 0);
	assert_true(span_eq(pop3_in_account(o.p), SPAN_LIT("alice@mailroom.test")));
	owner_end(&o);
}

static void scram_final_data_may_be_rejected(void **arg)
{
	static const struct { const char *line, *slug; } ways[] = {{"*\r\n", "auth-cancelled"}, {"eA==\r\n", "auth-syntax"}, {"\n", "bare-newline"}};

	(void)arg;
	for (size_t i = 0; i < 3; i++) {
		struct owner o;

		owner_begin(&o, &owner_rules);
		owner_say(&o, "AUTH SCRAM-SHA-256 eA==\r\n");
		owner_say(&o, "Y2xpZW50LWZpbmFs\r\n");
		assert_refused(owner_say(&o, ways[i].line), ways[i].slug);
		assert_int_equal(o.cancels, 1);
		assert_int_equal(o.opens, 0);
		assert_int_equal(pop3_in_account(o.p).len, 0);
		owner_say(&o, "\r\n");
		assert_refused(owner_say(&o, "STAT\r\n"), "pop3-not-in-state");
		owner_end(&o);
	}
}

static void continuation_lines(void **arg)
{
	static const struct { const char *line, *slug; unsigned cancels; } ways[] = {
		{"*\r\n", "auth-cancelled", 1}, {"%%%%\r\n", "auth-syntax", 1}, {"AGFsaWNlAGJhZA==\r\n", "auth-bad-credentials", 0},
	};

	(void)arg;
	for (size_t i = 0; i < 3; i++) {
		struct owner o;

		owner_begin(&o, &owner_rules);
		assert_string_equal(owner_say(&o, "AUTH PLAIN\r\n"), "+ \r\n");
		assert_refused(owner_say(&o, ways[i].line), ways[i].slug);
		assert_int_equal(o.cancels, ways[i].cancels);
		assert_string_equal(owner_say(&o, "AUTH PLAIN\r\n"), "+ \r\n"); /* the session lives on */
		assert_starts(owner_say(&o, "AGFsaWNlQG1haWxyb29tLnRlc3QAd29uZGVybGFuZA==\r\n"), "+OK 3 messages");
		assert_false(o.from_pass);
		owner_end(&o);
	}
}

static void initial_response(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	assert_starts(owner_say(&o, "AUTH PLAIN AGFsaWNlQG1haWxyb29tLnRlc3QAd29uZGVybGFuZA==\r\n"), "+OK 3 messages");
	owner_end(&o);
	owner_begin(&o, &owner_rules);
	assert_string_equal(owner_say(&o, "AUTH\r\n"), "+OK Mechanisms follow\r\nSCRAM-SHA-256\r\nPLAIN\r\nLOGIN\r\n.\r\n");
	owner_end(&o);
}

static void user_and_pass(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	assert_refused(owner_say(&o, "PASS wonderland\r\n"), "pop3-user-first");
	assert_starts(owner_say(&o, "USER bob\r\nUSER alice@mailroom.test\r\n"), "+OK");
	assert_refused(owner_say(&o, "PASS  wonderland\r\n"), "auth-bad-credentials"); /* the second blank belongs to the password */
	assert_starts(buf_cstr(&o.seen), "-ERR [AUTH] ");
	assert_refused(owner_say(&o, "PASS wonderland\r\n"), "pop3-user-first");
	owner_sign_in(&o);
	assert_true(o.from_pass);
	owner_end(&o);
}

static void failures_end_the_session(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	for (int i = 0; i < 3; i++) {
		assert_false(o.closed);
		owner_say(&o, "USER alice@mailroom.test\r\n");
		assert_refused(owner_say(&o, "PASS no\r\nNOOP\r\n"), "auth-bad-credentials");
		if (i < 2)
			assert_refused(strstr(buf_cstr(&o.seen), "\n") + 1, "pop3-not-in-state");
	}
	assert_true(o.closed);
	assert_null(strstr(buf_cstr(&o.seen), "pop3-not-in-state"));
	owner_end(&o);
}

static void locked_mailbox(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.open_cause = CAUSE_MAILBOX_LOCKED;
	owner_say(&o, "USER alice@mailroom.test\r\n");
	assert_refused(owner_say(&o, "PASS wonderland\r\n"), "mailbox-locked");
	assert_starts(buf_cstr(&o.seen), "-ERR [IN-USE] ");
	assert_false(o.closed);
	assert_int_equal(pop3_in_account(o.p).len, 0);
	assert_refused(owner_say(&o, "STAT\r\n"), "pop3-not-in-state");
	o.open_cause = CAUSE_NONE; /* the other program is done */
	owner_sign_in(&o);
	assert_string_equal(owner_say(&o, "STAT\r\n"), "+OK 3 102\r\n");
	owner_end(&o);
}

static void connection_lost_while_signing_in(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.hold = true;
	owner_say(&o, "USER alice@mailroom.test\r\nPASS wonderland\r\n");
	assert_int_equal(o.held, POP3_WANT_AUTH);
	pop3_in_eof(o.p);
	owner_turn(&o);
	assert_int_equal(o.cancels, 1);
	assert_true(o.closed);
	owner_answer(&o); /* too late */
	assert_int_equal(o.opens, 0);
	assert_int_equal(pop3_in_account(o.p).len, 0);
	owner_end(&o);
}

static void connection_lost_before_the_question(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_say(&o, "USER alice@mailroom.test\r\n");
	assert_int_equal(pop3_in_feed(o.p, SPAN_LIT("PASS wonderland\r\n"), o.now), 17);
	pop3_in_eof(o.p);
	owner_turn(&o);
	assert_int_equal(o.auths + o.cancels, 0); /* the owner never heard of it */
	assert_true(o.closed);
	owner_end(&o);
}

/* ---- STLS (RFC 2595) */

static void stls_forgets_what_was_said_in_the_clear(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_say(&o, "USER alice@mailroom.test\r\n");
	assert_starts(owner_say(&o, "STLS\r\n"), "+OK");
	assert_int_equal(o.tls, 1);
	assert_refused(owner_say(&o, "PASS wonderland\r\n"), "pop3-user-first");
	owner_sign_in(&o);
	owner_end(&o);
}

static void stls_not_offered(void **arg)
{
	struct pop3_rules rules = owner_rules;
	struct owner o;

	(void)arg;
	rules.stls = false;
	owner_begin(&o, &rules);
	assert_null(strstr(owner_say(&o, "CAPA\r\n"), "STLS"));
	assert_refused(owner_say(&o, "STLS\r\n"), "tls-not-offered");
	owner_end(&o);
}

static void bytes_behind_stls_are_an_injection(void **arg)
{
	static const char *const ways[] = {"STLS\r\nUSER alice@mailroom.test\r\nPASS wonderland\r\n", "STLS\r\nx", "STLS\r\n\r"};

	(void)arg;
	for (size_t i = 0; i < 3; i++) {
		struct owner o;

		owner_begin(&o, &owner_rules);
		assert_refused(owner_say(&o, ways[i]), "tls-injection");
		assert_null(strstr(buf_cstr(&o.seen), "+OK"));
		assert_true(o.closed);
		assert_int_equal(o.tls + o.auths, 0);
		owner_end(&o);
	}
}

static void bytes_before_the_handshake_are_an_injection(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.hold = true;
	assert_starts(owner_say(&o, "STLS\r\n"), "+OK");
	assert_int_equal(o.held, POP3_WANT_TLS);
	assert_refused(owner_say(&o, "USER alice@mailroom.test\r\n"), "tls-injection");
	assert_true(o.closed);
	owner_end(&o);
	owner_begin(&o, &owner_rules);
	o.hold = true;
	owner_say(&o, "STLS\r\n");
	buf_reset(&o.seen);
	pop3_in_tls_injected(o.p); /* the owner saw them in its socket */
	owner_turn(&o);
	assert_refused(buf_cstr(&o.seen), "tls-injection");
	assert_true(o.closed);
	assert_false(pop3_in_is_tls(o.p));
	owner_end(&o);
}

static void tls_on_a_plain_port(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_turn(&o);
	buf_reset(&o.seen);
	owner_send(&o, span_of("\x16\x03\x01\x02\x00\x01", 6));
	assert_refused(buf_cstr(&o.seen), "tls-mode-mismatch");
	assert_true(o.closed);
	owner_end(&o);
}

static void long_continuation_lines(void **arg)
{
	struct buf line;
	struct owner o;

	(void)arg;
	buf_init(&line, 1 << 20);
	for (size_t extra = 0; extra < 2; extra++) { /* 12288 bytes with CRLF are the last that fit; +4 keeps it base64 */
		size_t want = LIMIT_SMTP_AUTH_LINE_BYTES - 4 + 4 * extra;

		owner_begin(&o, &owner_rules);
		owner_say(&o, "AUTH PLAIN\r\n");
		buf_reset(&line);
		while (line.len < want)
			buf_add_str(&line, "QUFB");
		buf_add_str(&line, "\r\n");
		assert_refused(owner_say(&o, buf_cstr(&line)), extra ? "line-too-long" : "auth-bad-credentials");
		assert_int_equal(o.cancels, extra);
		assert_starts(owner_say(&o, "CAPA\r\n"), "+OK");
		owner_end(&o);
	}
	buf_clear(&line);
}

int test_pop3_auth(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_final_data_needs_an_empty_line), cmocka_unit_test(scram_final_data_may_be_rejected),
		cmocka_unit_test(continuation_lines), cmocka_unit_test(initial_response), cmocka_unit_test(user_and_pass),
		cmocka_unit_test(failures_end_the_session), cmocka_unit_test(locked_mailbox), cmocka_unit_test(connection_lost_while_signing_in),
		cmocka_unit_test(connection_lost_before_the_question),
		cmocka_unit_test(stls_forgets_what_was_said_in_the_clear), cmocka_unit_test(stls_not_offered),
		cmocka_unit_test(bytes_behind_stls_are_an_injection), cmocka_unit_test(bytes_before_the_handshake_are_an_injection),
		cmocka_unit_test(tls_on_a_plain_port), cmocka_unit_test(long_continuation_lines),
	};

	return cmocka_run_group_tests_name("pop3 auth", tests, NULL, NULL);
}
