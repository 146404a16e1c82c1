#include "test_pop3.h"

#include <stdio.h>

/* ---- every command in every state */

enum { IN_CLEAR, BEFORE, UNDER_TLS, AFTER, STATES }; /* sign-in refused in the clear; before sign-in; the same under TLS; after sign-in */

static const struct {
	const char *line;
	const char *reply[STATES]; /* "+..." : how it starts; else the slug of the refusal */
} commands[] = {
	{"CAPA", {"+OK", "+OK", "+OK", "+OK"}},
	{"capa", {"+OK", "+OK", "+OK", "+OK"}},
	{"CAPA x", {"argument-unwanted", "argument-unwanted", "argument-unwanted", "argument-unwanted"}},
	{"USER alice@mailroom.test", {"auth-cleartext-refused", "+OK", "+OK", "auth-twice"}},
	{"USER", {"auth-cleartext-refused", "command-syntax", "command-syntax", "auth-twice"}},
	{"PASS x", {"auth-cleartext-refused", "pop3-user-first", "pop3-user-first", "auth-twice"}},
	{"PASS", {"auth-cleartext-refused", "command-syntax", "command-syntax", "auth-twice"}},
	{"AUTH", {"auth-cleartext-refused", "+OK", "+OK", "auth-twice"}},
	{"AUTH PLAIN", {"auth-cleartext-refused", "+ \r\n", "+ \r\n", "auth-twice"}},
	{"AUTH PLAIN =", {"auth-cleartext-refused", "auth-bad-credentials", "auth-bad-credentials", "auth-twice"}},
	{"AUTH PLAIN !!!!", {"auth-cleartext-refused", "auth-syntax", "auth-syntax", "auth-twice"}},
	{"AUTH PLAIN a b", {"auth-cleartext-refused", "command-syntax", "command-syntax", "auth-twice"}},
	{"AUTH CRAM-MD5", {"auth-cleartext-refused", "auth-mechanism-unknown", "auth-mechanism-unknown", "auth-twice"}},
	{"AUTH SCRAM-SHA-256-PLUS", {"auth-cleartext-refused", "auth-mechanism-unknown", "+ ", "auth-twice"}},
	{"APOP alice c4c9334bac560ecc979e58001b3e22fb", {"command-not-enabled", "command-not-enabled", "command-not-enabled", "pop3-not-in-state"}},
	{"STLS", {"+OK", "+OK", "tls-repeated", "pop3-not-in-state"}},
	{"STLS x", {"argument-unwanted", "argument-unwanted", "argument-unwanted", "pop3-not-in-state"}},
	{"QUIT", {"+OK", "+OK", "+OK", "+OK"}},
	{"QUIT x", {"argument-unwanted", "argument-unwanted", "argument-unwanted", "argument-unwanted"}},
	{"STAT", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 3 102\r\n"}},
	{"STAT 1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "argument-unwanted"}},
	{"LIST", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 3 messages (102 octets)\r\n1 44\r\n2 40\r\n3 18\r\n.\r\n"}},
	{"LIST 2", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 2 40\r\n"}},
	{"LIST 0", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"LIST 4", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"LIST 99999999999999999999", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"LIST -1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"LIST 1 2", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"UIDL", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 3 messages (102 octets)\r\n1 0000005f00000007\r\n2 0000005f00000009\r\n3 0000005f123456789a\r\n.\r\n"}},
	{"UIDL 3", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 3 0000005f123456789a\r\n"}},
	{"UIDL x", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"RETR", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"RETR 1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 44 octets\r\nSubject: one\r\n\r\nfirst\r\n..\r\n...two dots\r\nlast\r\n.\r\n"}},
	{"RETR 2", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 40 octets\r\nSubject: two\r\nX-Long: yes\r\n\r\nno line end\r\n.\r\n"}},
	{"RETR 4", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"TOP 1 0", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 44 octets\r\nSubject: one\r\n\r\n.\r\n"}},
	{"TOP 1 2", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 44 octets\r\nSubject: one\r\n\r\nfirst\r\n..\r\n.\r\n"}},
	{"TOP 1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"TOP 1 x", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"TOP 9 1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"DELE 1", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK"}},
	{"DELE 4", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "message-unknown"}},
	{"DELE", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "command-syntax"}},
	{"NOOP", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK"}},
	{"RSET", {"pop3-not-in-state", "pop3-not-in-state", "pop3-not-in-state", "+OK 3 messages (102 octets)\r\n"}},
	{"UTF8", {"+OK", "+OK", "+OK", "pop3-not-in-state"}},
	{"UTF8 x", {"argument-unwanted", "argument-unwanted", "argument-unwanted", "pop3-not-in-state"}},
	{"LANG", {"+OK", "+OK", "+OK", "+OK Language listing follows\r\nen English\r\ni-default English\r\n.\r\n"}},
	{"LANG en", {"+OK en ", "+OK en ", "+OK en ", "+OK en "}},
	{"LANG EN-gb", {"+OK en ", "+OK en ", "+OK en ", "+OK en "}},
	{"LANG i-default", {"+OK i-default ", "+OK i-default ", "+OK i-default ", "+OK i-default "}},
	{"LANG *", {"+OK en ", "+OK en ", "+OK en ", "+OK en "}},
	{"LANG tlh", {"pop3-lang-unknown", "pop3-lang-unknown", "pop3-lang-unknown", "pop3-lang-unknown"}},
	{"LANG enx", {"pop3-lang-unknown", "pop3-lang-unknown", "pop3-lang-unknown", "pop3-lang-unknown"}},
	{"XYZZY 1", {"command-unknown", "command-unknown", "command-unknown", "command-unknown"}},
	{"", {"command-unknown", "command-unknown", "command-unknown", "command-unknown"}},
	{"EHLO me", {"foreign-protocol", "foreign-protocol", "foreign-protocol", "foreign-protocol"}},
	{"GET / HTTP/1.1", {"foreign-protocol", "foreign-protocol", "foreign-protocol", "foreign-protocol"}},
};

static void state_begin(struct owner *o, int state)
{
	struct pop3_rules rules = owner_rules;

	rules.auth_cleartext = state != IN_CLEAR;
	owner_begin(o, &rules);
	if (state == UNDER_TLS)
		pop3_in_tls_done(o->p, o->now);
	if (state == AFTER)
		owner_sign_in(o);
}

static void every_command_in_every_state(void **arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		for (int state = 0; state < STATES; state++) {
			const char *want = commands[i].reply[state], *got;
			struct owner o;
			char line[128];

			state_begin(&o, state);
			(void)snprintf(line, sizeof(line), "%s\r\n", commands[i].line);
			got = owner_say(&o, line);
			if (want[0] == '+')
				assert_starts(got, want);
			else
				assert_refused(got, want);
			owner_end(&o);
		}
	}
}

static void capabilities_follow_the_state(void **arg)
{
	struct owner o;
	const char *got;

	(void)arg;
	state_begin(&o, IN_CLEAR);
	got = owner_say(&o, "CAPA\r\n");
	assert_string_equal(got, "+OK Capability list follows\r\nSTLS\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
				 "LOGIN-DELAY 0\r\nUTF8 USER\r\nLANG\r\nIMPLEMENTATION mailroom\r\n.\r\n");
	assert_starts(owner_say(&o, "STLS\r\n"), "+OK");
	assert_true(pop3_in_is_tls(o.p));
	got = owner_say(&o, "CAPA\r\n");
	assert_starts(got, "+OK Capability list follows\r\nUSER\r\nSASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\nTOP\r\n");
	owner_end(&o);
	state_begin(&o, BEFORE);
	got = owner_say(&o, "CAPA\r\n");
	assert_starts(got, "+OK Capability list follows\r\nSTLS\r\nUSER\r\nSASL SCRAM-SHA-256 PLAIN LOGIN\r\nTOP\r\n");
	owner_end(&o);
}

/* ---- the same bytes in other pieces give the same replies */

#define DIALOG \
	"CAPA\r\nUSER alice@mailroom.test\r\nPASS wrong\r\nNOOP\r\nPASS wonderland\r\nAUTH PLAIN\r\n*\r\nUSER a\0b\r\n" \
	"LANG\r\nNO\rOP\r\nCAPA\r\r\nUSER alice@mailroom.test\r\nPASS wonderland\r\nSTAT\r\nNOOP\nQUIT\r\nLIST\r\nUIDL 2\r\n" \
	"RETR 1\r\nTOP 2 0\r\nDELE 3\r\nDELE 3\r\nRETR 3\r\nLIST\r\nRSET\r\nDELE 1\r\nXYZZY\r\nQUIT\r\nSTAT\r\n"

static void dialog_run(struct buf *seen, size_t cut, size_t piece)
{
	static const char dialog[] = DIALOG;
	struct span all = span_of(dialog, sizeof(dialog) - 1);
	struct pop3_rules rules = owner_rules;
	struct owner o;

	rules.bad_command_max = 0;
	owner_begin(&o, &rules);
	owner_send(&o, span_head(all, cut));
	for (all = span_from(all, cut); all.len; all = span_from(all, piece))
		owner_send(&o, span_head(all, piece));
	assert_true(o.closed);
	assert_int_equal(o.commits, 1);
	assert_int_equal(o.committed_count, 1);
	assert_int_equal(o.committed[0], 7);
	buf_add(seen, buf_span(&o.seen));
	owner_end(&o);
}

static void pieces_do_not_matter(void **arg)
{
	struct buf whole, other;

	(void)arg;
	buf_init(&whole, 1 << 20);
	buf_init(&other, 1 << 20);
	dialog_run(&whole, sizeof(DIALOG) - 1, 1);
	assert_non_null(strstr(buf_cstr(&whole), "first\r\n..\r\n...two dots\r\n"));
	for (size_t cut = 0; cut < sizeof(DIALOG) - 1; cut++) { /* split at every point */
		buf_reset(&other);
		dialog_run(&other, cut, SIZE_MAX);
		assert_string_equal(buf_cstr(&whole), buf_cstr(&other));
	}
	for (size_t piece = 1; piece < 9; piece++) { /* byte by byte, and a few more */
		buf_reset(&other);
		dialog_run(&other, 0, piece);
		assert_string_equal(buf_cstr(&whole), buf_cstr(&other));
	}
	buf_clear(&whole);
	buf_clear(&other);
}

static void faulty_lines_are_named_and_not_obeyed(void **arg)
{
	static const struct { struct span line; const char *slug; } lines[] = {
		{SPAN_LIT("NOOP\n"), "bare-newline"},        {SPAN_LIT("NOOP\nQUIT\r\n"), "bare-newline"},
		{SPAN_LIT("NOOP\rQUIT\r\n"), "bare-newline"}, {SPAN_LIT("QUIT\r\r\n"), "bare-newline"},
		{SPAN_LIT("QUIT\0\r\n"), "nul-byte"},        {SPAN_LIT("\0QUIT\r\n"), "nul-byte"},
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct owner o;

		owner_begin(&o, &owner_rules);
		owner_sign_in(&o);
		buf_reset(&o.seen);
		owner_send(&o, lines[i].line);
		assert_refused(buf_cstr(&o.seen), lines[i].slug);
		assert_false(o.closed);
		if (lines[i].line.ptr[lines[i].line.len - 2] != '\r')
			owner_send(&o, SPAN_LIT("QUIT\r\n")); /* the rest of the faulty line */
		assert_false(o.closed);
		assert_string_equal(owner_say(&o, "NOOP\r\n"), "+OK\r\n");
		owner_end(&o);
	}
}

/* ---- pipelining (RFC 2449 6.6) */

static void pipelined_commands_wait_their_turn(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.hold = true;
	buf_reset(&o.seen);
	owner_send(&o, SPAN_LIT("USER alice@mailroom.test\r\nPASS wonderland\r\nSTAT\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n"));
	assert_int_equal(o.held, POP3_WANT_AUTH);
	assert_int_equal(o.input.len, strlen("STAT\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n"));
	assert_null(strstr(buf_cstr(&o.seen), "102"));
	owner_answer(&o);
	assert_non_null(strstr(buf_cstr(&o.seen),
		"+OK Now the password\r\n+OK 3 messages (102 octets)\r\n+OK 3 102\r\n+OK 18 octets\r\nSubject: three\r\n\r\n.\r\n"
		"+OK Message 3 will be deleted at QUIT\r\n+OK Bye, 1 messages deleted\r\n"));
	assert_int_equal(o.committed[0], 0x123456789aULL);
	assert_true(o.closed);
	owner_end(&o);
}

/* ---- deletions */

static void deletions_happen_at_quit_alone(void **arg)
{
	struct owner o;
	struct pop3_tally tally;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	owner_say(&o, "DELE 1\r\nDELE 3\r\n");
	assert_false(pop3_in_idle(o.p));
	assert_string_equal(owner_say(&o, "STAT\r\n"), "+OK 1 40\r\n");
	assert_string_equal(owner_say(&o, "UIDL\r\n"), "+OK 1 messages (40 octets)\r\n2 0000005f00000009\r\n.\r\n");
	assert_refused(owner_say(&o, "RETR 3\r\n"), "message-deleted");
	assert_refused(owner_say(&o, "TOP 3 0\r\n"), "message-deleted");
	assert_refused(owner_say(&o, "LIST 1\r\n"), "message-deleted");
	assert_string_equal(owner_say(&o, "RSET\r\n"), "+OK 3 messages (102 octets)\r\n");
	assert_string_equal(owner_say(&o, "LIST 1\r\n"), "+OK 1 44\r\n");
	owner_say(&o, "DELE 2\r\nDELE 1\r\nRSET\r\nDELE 2\r\nDELE 3\r\n");
	assert_int_equal(o.commits, 0);
	assert_string_equal(owner_say(&o, "QUIT\r\n"), "+OK Bye, 2 messages deleted\r\n");
	assert_int_equal(o.committed_count, 2);
	assert_int_equal(o.committed[0], 9);
	assert_int_equal(o.committed[1], 0x123456789aULL);
	tally = pop3_in_tally(o.p);
	assert_int_equal(tally.deleted, 2);
	assert_int_equal(tally.messages, 3);
	owner_end(&o);
}

static void lost_connection_deletes_nothing(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	owner_say(&o, "DELE 1\r\nDELE 2\r\nQUIT\r");
	pop3_in_eof(o.p);
	owner_turn(&o);
	assert_true(o.closed);
	assert_int_equal(o.commits, 0);
	assert_int_equal(pop3_in_tally(o.p).deleted, 0);
	owner_end(&o);
}

static void failed_commit_is_said(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.commit_cause = CAUSE_SERVER_TEMP_ERROR;
	owner_sign_in(&o);
	assert_starts(owner_say(&o, "DELE 1\r\n"), "+OK");
	assert_refused(owner_say(&o, "QUIT\r\n"), "server-temp-error");
	assert_starts(buf_cstr(&o.seen), "-ERR [SYS/TEMP] ");
	assert_int_equal(pop3_in_tally(o.p).deleted, 0);
	assert_true(o.closed);
	owner_end(&o);
}

static void connection_lost_during_commit(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	o.hold = true;
	owner_say(&o, "DELE 2\r\nQUIT\r\n");
	assert_int_equal(o.held, POP3_WANT_COMMIT);
	pop3_in_eof(o.p);
	owner_answer(&o); /* the uids are still there */
	assert_int_equal(o.committed[0], 9);
	assert_int_equal(pop3_in_tally(o.p).deleted, 1);
	owner_end(&o);
}

static void quit_that_was_read_commits(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	owner_say(&o, "DELE 2\r\n");
	assert_int_equal(pop3_in_feed(o.p, SPAN_LIT("QUIT\r\n"), o.now), 6);
	pop3_in_eof(o.p); /* in the same turn */
	owner_turn(&o);
	assert_int_equal(o.commits, 1);
	assert_true(o.closed);
	owner_end(&o);
}

static void empty_mailbox(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.mail_count = 0;
	owner_sign_in(&o);
	assert_string_equal(owner_say(&o, "STAT\r\nLIST\r\nUIDL\r\nRSET\r\n"), "+OK 0 0\r\n+OK 0 messages (0 octets)\r\n.\r\n+OK 0 messages (0 octets)\r\n.\r\n+OK 0 messages (0 octets)\r\n");
	assert_refused(owner_say(&o, "RETR 1\r\n"), "message-unknown");
	assert_string_equal(owner_say(&o, "QUIT\r\n"), "+OK Bye\r\n");
	assert_int_equal(o.commits, 0);
	owner_end(&o);
}

/* ---- the catalogue's words */

static void utf8_shows_in_replies_once_it_is_asked_for(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	assert_null(strstr(owner_say(&o, "LANG \xc3\xa4\r\n"), "\xc3\xa4"));
	owner_say(&o, "UTF8\r\n");
	assert_non_null(strstr(owner_say(&o, "LANG \xc3\xa4\r\n"), "\xc3\xa4"));
	assert_null(strstr(owner_say(&o, "LANG \xc3\r\n"), "\xc3")); /* what is not UTF-8 stays out */
	owner_say(&o, "STLS\r\n");
	assert_null(strstr(owner_say(&o, "LANG \xc3\xa4\r\n"), "\xc3\xa4"));
	owner_end(&o);
}

static void refused_at_the_door(void **arg)
{
	struct pop3_in *p = pop3_in_new(&owner_rules, SPAN_LIT("R3F"), CAUSE_TOO_MANY_CONNECTIONS, 5);
	struct pop3_ask ask;
	struct pop3_event ev;
	char reply[600] = {0};
	struct span out = pop3_in_out(p);

	(void)arg;
	memcpy(reply, out.ptr, out.len < 599 ? out.len : 599);
	assert_refused(reply, "too-many-connections");
	assert_true(pop3_in_event(p, &ev));
	assert_int_equal(ev.cause, CAUSE_TOO_MANY_CONNECTIONS);
	assert_false(pop3_in_event(p, &ev));
	assert_int_equal(pop3_in_next(p, &ask), POP3_WANT_CLOSE);
	assert_int_equal(pop3_in_next(p, &ask), POP3_WANT_NOTHING);
	assert_int_equal(pop3_in_feed(p, SPAN_LIT("USER x\r\n"), 6), 8);
	assert_int_equal(pop3_in_out(p).len, out.len);
	pop3_in_free(p);
}

static void events_name_the_verb(void **arg)
{
	struct owner o;
	struct pop3_event ev;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_say(&o, "XYZZY a\r\nSTAT\r\nUSER alice@mailroom.test\r\nPASS no\r\n");
	assert_true(pop3_in_event(o.p, &ev));
	assert_int_equal(ev.cause, CAUSE_COMMAND_UNKNOWN);
	assert_true(span_eq(ev.command, SPAN_LIT("XYZZY")));
	assert_true(pop3_in_event(o.p, &ev));
	assert_int_equal(ev.cause, CAUSE_POP3_NOT_IN_STATE);
	assert_true(span_eq(ev.command, SPAN_LIT("STAT")));
	assert_true(pop3_in_event(o.p, &ev));
	assert_int_equal(ev.cause, CAUSE_AUTH_BAD_CREDENTIALS);
	assert_true(span_eq(ev.command, SPAN_LIT("PASS")));
	assert_false(pop3_in_event(o.p, &ev));
	for (int i = 0; i < 9; i++)
		owner_say(&o, "LANG xx\r\n"); /* nobody takes them: the oldest give way */
	for (int i = 0; i < 8; i++)
		assert_true(pop3_in_event(o.p, &ev));
	assert_false(pop3_in_event(o.p, &ev));
	owner_end(&o);
}

int test_pop3_dialog(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_in_every_state), cmocka_unit_test(capabilities_follow_the_state),
		cmocka_unit_test(pieces_do_not_matter), cmocka_unit_test(faulty_lines_are_named_and_not_obeyed),
		cmocka_unit_test(pipelined_commands_wait_their_turn), cmocka_unit_test(deletions_happen_at_quit_alone),
		cmocka_unit_test(lost_connection_deletes_nothing), cmocka_unit_test(failed_commit_is_said),
		cmocka_unit_test(connection_lost_during_commit),
		cmocka_unit_test(quit_that_was_read_commits), cmocka_unit_test(empty_mailbox),
		cmocka_unit_test(utf8_shows_in_replies_once_it_is_asked_for),
		cmocka_unit_test(refused_at_the_door), cmocka_unit_test(events_name_the_verb),
	};

	return cmocka_run_group_tests_name("pop3 dialog", tests, NULL, NULL);
}
