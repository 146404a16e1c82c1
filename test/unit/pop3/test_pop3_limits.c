#include "test_pop3.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"

/* ---- counts */

static void idle_commands_before_signin(void **arg)
{
	struct pop3_rules rules = owner_rules;
	struct owner o;

	(void)arg;
	rules.noop_max = 20;
	owner_begin(&o, &rules);
	for (int i = 0; i < 20; i++)
		assert_non_null(strstr(owner_say(&o, "LANG\r\n"), "+OK"));
	assert_refused(owner_say(&o, "CAPA\r\n"), "too-many-noops");
	assert_true(o.closed);
	owner_end(&o);
	owner_begin(&o, &rules); /* who is signed in may */
	owner_say(&o, "USER alice@mailroom.test\r\n");
	owner_say(&o, "PASS wonderland\r\n");
	for (int i = 0; i < 100; i++)
		assert_non_null(strstr(owner_say(&o, "NOOP\r\n"), "+OK"));
	owner_end(&o);
}

/* ---- lines */

static void command_line_limit(void **arg)
{
	char line[LIMIT_POP3_COMMAND_BYTES + 2];

	(void)arg;
	for (size_t over = 0; over < 2; over++) {
		size_t len = LIMIT_POP3_COMMAND_BYTES + over;
		struct owner o;

		owner_begin(&o, &owner_rules);
		memset(line, 'x', sizeof(line));
		memcpy(line, "PASS ", 5);
		memcpy(line + len - 2, "\r\n", 3);
		owner_say(&o, "USER alice@mailroom.test\r\n");
		assert_refused(owner_say(&o, line), over ? "line-too-long" : "auth-bad-credentials");
		owner_end(&o);
	}
}

static void argument_limit(void **arg)
{
	char line[LIMIT_POP3_ARG_BYTES + 16] = "LANG ";
	struct owner o;

	(void)arg;
	memset(line + 5, 'e', LIMIT_POP3_ARG_BYTES + 1);
	memcpy(line + 5 + LIMIT_POP3_ARG_BYTES + 1, "\r\n", 3);
	owner_begin(&o, &owner_rules);
	assert_refused(owner_say(&o, line), "command-syntax");
	memcpy(line + 5 + LIMIT_POP3_ARG_BYTES, "\r\n", 3);
	assert_refused(owner_say(&o, line), "pop3-lang-unknown");
	owner_end(&o);
}

static void endless_line_costs_nothing(void **arg)
{
	struct owner o;
	struct mallinfo2 before, after;
	char piece[4096];

	(void)arg;
	memset(piece, 'a', sizeof(piece));
	owner_begin(&o, &owner_rules);
	owner_turn(&o);
	owner_send(&o, span_of(piece, sizeof(piece)));
	before = mallinfo2();
	for (int i = 0; i < 4096; i++)
		owner_send(&o, span_of(piece, sizeof(piece)));
	after = mallinfo2();
	assert_true(after.uordblks <= before.uordblks + 4096);
	assert_refused(owner_say(&o, "\r\n"), "line-too-long");
	assert_starts(owner_say(&o, "CAPA\r\n"), "+OK");
	owner_end(&o);
}

static void bad_commands_end_the_session(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	for (int i = 1; i < 10; i++)
		assert_refused(owner_say(&o, "HUH\r\n"), "command-unknown");
	assert_false(o.closed);
	assert_refused(owner_say(&o, "HUH\r\nCAPA\r\n"), "too-many-bad-commands");
	assert_null(strstr(buf_cstr(&o.seen), "+OK"));
	assert_true(o.closed);
	owner_end(&o);
	owner_begin(&o, &owner_rules);
	assert_refused(owner_say(&o, "a\n"), "bare-newline");
	for (int i = 0; i < 8; i++)
		assert_string_equal(owner_say(&o, "a\n"), ""); /* one reply a line */
	assert_refused(owner_say(&o, "a\n"), "too-many-bad-commands");
	assert_true(o.closed);
	owner_end(&o);
}

/* ---- time */

static bool passes(struct owner *o, uint64_t ms)
{
	o->now += ms;
	pop3_in_tick(o->p, o->now);
	buf_reset(&o->seen);
	owner_turn(o);
	return !o->closed;
}

static void sign_in_has_its_time(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_turn(&o);
	assert_int_equal(pop3_in_deadline(o.p), o.now + 60000);
	assert_true(passes(&o, 59000));
	owner_say(&o, "CAPA\r\n"); /* does not win time */
	assert_int_equal(pop3_in_deadline(o.p), o.now + 1000);
	assert_true(passes(&o, 999));
	assert_false(passes(&o, 1));
	assert_refused(buf_cstr(&o.seen), "timeout");
	owner_end(&o);
}

static void autologout_deletes_nothing(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	owner_say(&o, "DELE 1\r\n");
	assert_int_equal(pop3_in_deadline(o.p), o.now + 600000);
	assert_true(passes(&o, 599999));
	owner_say(&o, "NOO"); /* a drip is no command */
	assert_int_equal(pop3_in_deadline(o.p), o.now + 1);
	owner_say(&o, "P\r\n");
	assert_int_equal(pop3_in_deadline(o.p), o.now + 600000);
	assert_false(passes(&o, 600000));
	assert_refused(buf_cstr(&o.seen), "timeout");
	assert_int_equal(o.commits, 0);
	owner_end(&o);
}

static void session_limit(void **arg)
{
	struct pop3_rules rules = owner_rules;
	struct owner o;

	(void)arg;
	rules.session_ms = 100000;
	owner_begin(&o, &rules);
	owner_sign_in(&o);
	assert_true(passes(&o, 99999));
	owner_say(&o, "NOOP\r\n");
	assert_false(passes(&o, 1));
	assert_refused(buf_cstr(&o.seen), "session-too-long");
	owner_end(&o);
}

static void waiting_for_the_owner_has_no_deadline(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.hold = true;
	owner_say(&o, "USER alice@mailroom.test\r\nPASS wonderland\r\n");
	assert_true(pop3_in_deadline(o.p) == MONO_NEVER);
	assert_true(passes(&o, 10000000));
	owner_answer(&o);
	assert_string_equal(owner_say(&o, "STAT\r\n"), "+OK 3 102\r\n");
	owner_end(&o);
}

static void unfinished_sign_in_and_handshake_time_out(void **arg)
{
	struct owner o;
	struct pop3_event ev;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_say(&o, "AUTH PLAIN\r\n");
	assert_false(passes(&o, 60000));
	assert_refused(buf_cstr(&o.seen), "timeout");
	assert_int_equal(o.cancels, 1);
	owner_end(&o);
	owner_begin(&o, &owner_rules);
	o.hold = true;
	owner_say(&o, "STLS\r\n");
	assert_false(passes(&o, 60000));
	assert_string_equal(buf_cstr(&o.seen), ""); /* no text into a handshake */
	assert_true(pop3_in_event(o.p, &ev));
	assert_int_equal(ev.cause, CAUSE_TIMEOUT);
	owner_end(&o);
}

static void peer_that_does_not_read(void **arg)
{
	struct buf body;
	struct mail mail;
	struct owner o;
	struct pop3_event ev;

	(void)arg;
	buf_init(&body, 1 << 20);
	while (body.len < 500000)
		buf_add_str(&body, "some words of a line\r\n");
	mail = (struct mail){1, buf_span(&body)};
	owner_begin(&o, &owner_rules);
	o.mails = &mail;
	o.mail_count = 1;
	owner_sign_in(&o);
	o.read_max = 0;
	owner_say(&o, "RETR 1\r\nNOOP\r\n");
	for (int i = 0; i < 5; i++) { /* slow, but it reads: it may take longer than command_ms in all */
		struct span out = span_head(pop3_in_out(o.p), 100);

		pop3_in_sent(o.p, out.len);
		assert_true(passes(&o, 599999));
	}
	assert_true(pop3_in_deadline(o.p) > o.now);
	assert_false(passes(&o, 600000));
	assert_true(pop3_in_event(o.p, &ev));
	assert_int_equal(ev.cause, CAUSE_SLOW_CLIENT);
	assert_int_equal(pop3_in_out(o.p).len, 0); /* nothing to wait for */
	owner_end(&o);
	buf_clear(&body);
}

static void clock_starts_anew_after_a_long_message(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	o.read_max = 0;
	owner_say(&o, "RETR 1\r\n");
	o.now += 500000;
	o.read_max = SIZE_MAX;
	owner_turn(&o);
	assert_true(pop3_in_deadline(o.p) <= o.now); /* asks for a tick to learn the time */
	assert_true(passes(&o, 0));
	assert_int_equal(pop3_in_deadline(o.p), o.now + 600000);
	owner_end(&o);
}

static void command_after_a_long_message_sets_the_clock(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	owner_say(&o, "RETR 1\r\n");
	o.now += 100000;
	owner_say(&o, "NOOP\r\n");
	assert_int_equal(pop3_in_deadline(o.p), o.now + 600000);
	owner_end(&o);
}

static void commands_are_not_read_while_replies_are_not(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	o.read_max = 0;
	for (int i = 0; i < 2000; i++)
		owner_send(&o, SPAN_LIT("CAPA\r\n"));
	assert_true(pop3_in_out(o.p).len > 60000 && pop3_in_out(o.p).len < 70000);
	assert_true(o.input.len > 6000);
	o.read_max = 100;
	buf_reset(&o.seen);
	owner_turn(&o);
	assert_int_equal(o.input.len, 0);
	assert_int_equal(o.seen.len % 2000, 0); /* all of them, all alike */
	assert_true(o.seen.len > 2000 * 100);
	assert_false(o.closed);
	owner_end(&o);
}

static void idle_means_nothing_in_hand(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	assert_false(pop3_in_idle(o.p)); /* the banner */
	owner_turn(&o);
	assert_true(pop3_in_idle(o.p));
	owner_say(&o, "AU");
	assert_false(pop3_in_idle(o.p));
	owner_say(&o, "TH PLAIN\r\n");
	assert_false(pop3_in_idle(o.p));
	owner_say(&o, "*\r\n");
	assert_true(pop3_in_idle(o.p));
	owner_end(&o);
}

static void last_reply_is_not_waited_for_for_ever(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_turn(&o);
	o.read_max = 0;
	owner_say(&o, "QUIT\r\n");
	assert_true(o.closed);
	assert_int_equal(pop3_in_deadline(o.p), o.now + 60000);
	o.closed = false;
	assert_false(passes(&o, 60000)); /* told again, with nothing left to send */
	assert_int_equal(pop3_in_out(o.p).len, 0);
	assert_true(pop3_in_deadline(o.p) == MONO_NEVER);
	owner_end(&o);
}

/* ---- shutdown */

static void shutdown_after_what_is_in_hand(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	assert_true(pop3_in_idle(o.p));
	o.hold = true;
	owner_say(&o, "RETR 3\r\nNOOP\r\n");
	assert_false(pop3_in_idle(o.p));
	pop3_in_shutdown(o.p, CAUSE_SERVER_SHUTTING_DOWN);
	owner_turn(&o);
	assert_false(o.closed);
	owner_answer(&o);
	assert_true(o.closed);
	assert_starts(buf_cstr(&o.seen), "+OK 18 octets\r\nSubject: three\r\n\r\n.\r\n-ERR [SYS/TEMP] ");
	owner_end(&o);
	owner_begin(&o, &owner_rules);
	owner_say(&o, "AUTH PLAIN\r\n");
	buf_reset(&o.seen);
	pop3_in_shutdown(o.p, CAUSE_SERVER_SHUTTING_DOWN);
	owner_turn(&o);
	assert_refused(buf_cstr(&o.seen), "server-shutting-down");
	assert_int_equal(o.cancels, 1);
	assert_true(o.closed);
	owner_end(&o);
}

/* ---- size */

enum { MANY = 100000 };

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double many_run(uint32_t count)
{
	struct mail *mails = mem_array(count, sizeof(*mails));
	struct pop3_rules rules = owner_rules;
	struct owner o;
	double began;
	char row[64];

	for (uint32_t i = 0; i < count; i++)
		mails[i] = (struct mail){i + 1, SPAN_LIT("x\r\n")};
	owner_begin(&o, &rules);
	o.mails = mails;
	o.mail_count = count;
	began = seconds();
	owner_sign_in(&o);
	o.read_max = 1400; /* a packet at a time */
	owner_say(&o, "LIST\r\n");
	(void)snprintf(row, sizeof(row), "\r\n%u 3\r\n.\r\n", count);
	assert_non_null(strstr(buf_cstr(&o.seen), row));
	owner_say(&o, "UIDL\r\n");
	(void)snprintf(row, sizeof(row), "\r\n%u 0000005f%08x\r\n.\r\n", count, count);
	assert_non_null(strstr(buf_cstr(&o.seen), row));
	assert_true(o.out_peak < LIMIT_POP3_OUT_BYTES / 2);
	for (uint32_t i = 0; i < count; i++) {
		char line[64];
		int n = snprintf(line, sizeof(line), "%sDELE %u\r\n", i % 2 ? "DELE 1\r\nRSET\r\n" : "", i + 1);

		owner_send(&o, span_of(line, (size_t)n));
	}
	owner_say(&o, "RSET\r\n");
	for (uint32_t i = 0; i < count; i++) {
		char line[32];
		int n = snprintf(line, sizeof(line), "DELE %u\r\n", i + 1);

		owner_send(&o, span_of(line, (size_t)n));
	}
	assert_string_equal(owner_say(&o, "STAT\r\n"), "+OK 0 0\r\n");
	owner_say(&o, "QUIT\r\n");
	began = seconds() - began;
	assert_int_equal(o.committed_count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(o.committed[i], i + 1);
	owner_end(&o);
	free(mails);
	return began;
}

static void a_hundred_thousand_messages_are_linear(void **arg)
{
	double tenth = many_run(MANY / 10), all = many_run(MANY);

	(void)arg;
	/* quadratic would be 100; the floor keeps a hiccup of the clock out */
	if (all > 30 * (tenth > 0.005 ? tenth : 0.005))
		fail_msg("10000 messages %.3f s, 100000 messages %.3f s", tenth, all);
}

static void more_messages_than_shown(void **arg)
{
	struct pop3_in *p = pop3_in_new(&owner_rules, SPAN_NONE, CAUSE_NONE, 0);
	struct pop3_ask ask;

	(void)arg;
	assert_int_equal(pop3_in_feed(p, SPAN_LIT("USER a\r\nPASS b\r\n"), 1), 16);
	assert_int_equal(pop3_in_next(p, &ask), POP3_WANT_AUTH);
	pop3_in_auth_ok(p, SPAN_LIT("a"), SPAN_NONE);
	assert_int_equal(pop3_in_next(p, &ask), POP3_WANT_OPEN);
	for (uint64_t i = 0; i < LIMIT_POP3_MESSAGES; i++)
		assert_int_equal(pop3_in_mailbox_add(p, i + 1, 1), RC_OK);
	assert_int_equal(pop3_in_mailbox_add(p, 1ULL << 40, 1), RC_LIMIT);
	pop3_in_mailbox_done(p, CAUSE_NONE, NULL, 1);
	assert_int_equal(pop3_in_tally(p).messages, LIMIT_POP3_MESSAGES);
	pop3_in_free(p);
}

static void idle_sessions_are_small(void **arg)
{
	enum { SESSIONS = 1000 };
	struct pop3_in *p[SESSIONS];
	struct mallinfo2 before = mallinfo2(), after;

	(void)arg;
	for (int i = 0; i < SESSIONS; i++) {
		p[i] = pop3_in_new(&owner_rules, SPAN_LIT("8Q2K4M1T"), CAUSE_NONE, 1);
		pop3_in_sent(p[i], pop3_in_out(p[i]).len);
		assert_int_equal(pop3_in_feed(p[i], SPAN_LIT("CAPA\r\nUSER alice@mailroom.test\r\n"), 2), 32);
		pop3_in_sent(p[i], pop3_in_out(p[i]).len);
	}
	after = mallinfo2();
	/* where the allocator does not count (sanitizers), this says nothing */
	assert_true((after.uordblks - before.uordblks) / SESSIONS < 1536);
	for (int i = 0; i < SESSIONS; i++)
		pop3_in_free(p[i]);
}

int test_pop3_limits(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_commands_before_signin), cmocka_unit_test(command_line_limit), cmocka_unit_test(argument_limit),
		cmocka_unit_test(endless_line_costs_nothing), cmocka_unit_test(bad_commands_end_the_session),
		cmocka_unit_test(sign_in_has_its_time), cmocka_unit_test(autologout_deletes_nothing), cmocka_unit_test(session_limit),
		cmocka_unit_test(waiting_for_the_owner_has_no_deadline), cmocka_unit_test(unfinished_sign_in_and_handshake_time_out),
		cmocka_unit_test(peer_that_does_not_read), cmocka_unit_test(clock_starts_anew_after_a_long_message),
		cmocka_unit_test(command_after_a_long_message_sets_the_clock),
		cmocka_unit_test(commands_are_not_read_while_replies_are_not), cmocka_unit_test(idle_means_nothing_in_hand),
		cmocka_unit_test(last_reply_is_not_waited_for_for_ever), cmocka_unit_test(shutdown_after_what_is_in_hand),
		cmocka_unit_test(a_hundred_thousand_messages_are_linear), cmocka_unit_test(more_messages_than_shown),
		cmocka_unit_test(idle_sessions_are_small),
	};

	return cmocka_run_group_tests_name("pop3 limits", tests, NULL, NULL);
}
