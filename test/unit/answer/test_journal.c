#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "answer/journal.h"
#include "answer/journal_shape.h"

struct line {
	const char *text;
	const char *slug; /* NULL: counts for nothing */
	const char *name; /* whom it hit; NULL: not looked at; without a slug: it is no line of a server that is known */
};

static const struct line lines[] = {
	{"Nov 22 09:11:19 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: Relay access denied; "
	 "from=<a@example.org> to=<b@example.com> proto=ESMTP helo=<h>",
	 "relay-denied-unauth", "a@example.org"},
	{"2026-11-22T09:11:19.123456+01:00 mx postfix/submission/smtpd[1]: 4F: reject: RCPT from h[192.0.2.1]: 553 5.7.1 <x@example.org>: "
	 "Sender address rejected: not owned by user alice; from=<x@example.org> "
	 "to=<b@example.com> proto=ESMTP helo=<h> sasl_username=alice",
	 "sender-not-owned", NULL},
	{"Nov 22 09:11:19 mx postfix/smtp[9]: 4F1: to=<b@example.com>, relay=mx.example.com[192.0.2.1]:25, delay=1, dsn=5.2.2, "
	 "status=bounced (host mx.example.com[192.0.2.1] said: 552 5.2.2 Mailbox is full (in "
	 "reply to RCPT TO command))",
	 "rcpt-mailbox-full", NULL},
	{"Nov 22 09:11:19 mx postfix/smtp[9]: 4F1: to=<b@example.com>, relay=x, delay=1, dsn=2.0.0, status=sent (250 ok)", NULL, NULL},
	{"Nov 22 09:11:19 mx postfix/submission/smtpd[1]: warning: h[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, "
	 "sasl_username=alice",
	 "auth-bad-credentials", "alice"},
	{"2026-11-22 09:11:19 H=(pc) [192.0.2.1] F=<a@example.org> rejected RCPT <b@example.com>: relay not permitted",
	 "relay-denied-unauth", "a@example.org"},
	{"2026-11-22 09:11:19 1abcde-000000-AB ** b@example.com R=dnslookup T=remote_smtp: SMTP error from remote mail server after RCPT "
	 "TO:<b@example.com>: host mx [192.0.2.1]: 550 5.1.1 User unknown",
	 "rcpt-unknown", NULL},
	{"2026-11-22 09:11:19 plain authenticator failed for (pc) [192.0.2.1]: 535 Incorrect authentication data (set_id=alice)",
	 "auth-bad-credentials", "alice"},
	{"2026-11-22 09:11:19 1abcde-000000-AB => b@example.com R=dnslookup T=remote_smtp H=mx [192.0.2.1] C=\"250 ok\"", NULL, NULL},
	{"Nov 22 09:11:19 mx sendmail[77]: 4AM9: to=<b@example.com>, delay=00:00:01, mailer=esmtp, relay=mx. [192.0.2.1], dsn=5.1.1, "
	 "stat=User unknown",
	 "rcpt-unknown", NULL},
	{"Nov 22 09:11:19 mx sm-mta[77]: 4AM9: ruleset=check_rcpt, arg1=<b@example.com>, relay=h [192.0.2.1], reject=550 5.7.1 "
	 "<b@example.com>... Relaying denied",
	 "relay-denied-unauth", NULL},
	{"Nov 22 09:11:19 mx smtpd[5]: 8e3a smtp failed-command command=\"RCPT TO:<b@example.com>\" result=\"550 Invalid recipient: "
	 "<b@example.com>\"",
	 "rcpt-unknown", NULL},
	{"Nov 22 09:11:19 mx dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<alice>, method=PLAIN, "
	 "rip=192.0.2.1, session=<x>",
	 "auth-bad-credentials", "alice"},
	{"Nov 22 09:11:19 imap-login: Info: Login: user=<alice>, method=PLAIN, rip=192.0.2.1", NULL, NULL},
	{"Nov 22 09:11:19 mx postfix/postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:4711: 550 5.7.1 Service unavailable; client "
	 "[192.0.2.1] blocked using zen.spamhaus.org; from=<a@example.org>, to=<b@example.com>, proto=ESMTP, helo=<h>",
	 "ip-dnsbl", "a@example.org"},
	{"Nov 22 09:11:19 mx postfix/cleanup[1]: 4F: reject: header Subject: x from h[192.0.2.1]; from=<a@example.org> to=<b@example.com> "
	 "proto=ESMTP helo=<h>: 5.7.1 message content rejected as spam",
	 "spam-content", "a@example.org"},
	{"Nov 22 09:11:19 mx postfix/smtpd[1]: too many errors after RCPT from h[192.0.2.1]", "too-many-bad-commands", NULL},
	{"Nov 22 09:11:19 mx postfix/smtp[1]: connect to mx.example.com[192.0.2.1]:25: Connection timed out", NULL, NULL},
	{"postfix-mailcow_1    | Nov 22 09:11:19 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: "
	 "Relay access denied; from=<a@example.org> to=<b@example.com>",
	 "relay-denied-unauth", "a@example.org"},
	{"3:03:59 c49 mail.info postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: Relay access denied; "
	 "from=<a@example.org> to=<b@example.com>",
	 NULL, "foreign"}, /* an hour alone is no stamp that is known */
	{"NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: Relay access denied; from=<a@example.org> to=<b@example.com>",
	 "relay-denied-unauth", "a@example.org"},
	{"{\"MESSAGE\":\"NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: Relay access denied; from=<a@example.org> "
	 "to=<b@example.com>\",\"SYSLOG_IDENTIFIER\":\"postfix/smtpd\",\"_PID\":\"7\"}",
	 "relay-denied-unauth", "a@example.org"},
	{"{\"log\":\"Nov 22 09:11:19 mx postfix/smtpd[1]: warning: h[192.0.2.1]: SASL LOGIN authentication failed: x, "
	 "sasl_username=alice\\n\",\"stream\":\"stdout\"}",
	 "auth-bad-credentials", "alice"},
	{"2026-11-22 09:11:19 1abcde-000000-AB <= a@example.org H=h [192.0.2.1] P=esmtpsa A=plain:alice S=700", NULL, NULL},
	{"2026-11-22 09:11:19 [123] H=(pc) [192.0.2.1]:5000 I=[192.0.2.2]:25 F=<a@example.org> A=plain:alice rejected RCPT "
	 "<b@example.com>: "
	 "relay not permitted",
	 "relay-denied-unauth", "alice"},
	{"2026-11-22 09:11:19 TLS error on connection from h [192.0.2.1] (SSL_accept): error:1408F10B", "tls-handshake-failed", NULL},
	/* hung up without TLS's goodbye, which is nothing to count */
	{"2026-11-22 09:11:19 1abcde-000000-AB H=h [192.0.2.1] TLS error on connection (recv): The TLS connection was non-properly "
	 "terminated.",
	 NULL, NULL},
	{"2025-04-05 17:38:02     CLIENT -> SERVER: MAIL FROM:<a@example.org>", NULL, "foreign"},
	{"2025-04-05 17:38:02.123 Error: libcurl: (67) Login denied", NULL, "foreign"},
	{"Nov 22 09:11:19 mx smtpd[5]: 8e3a mta delivery evpid=1 from=<a@example.org> to=<b@example.com> rcpt=<-> source=\"192.0.2.2\" "
	 "relay=\"192.0.2.1 (mx)\" delay=1s result=\"PermFail\" stat=\"550 5.1.1 User unknown\"",
	 "rcpt-unknown", "a@example.org"},
	{"Nov 22 09:11:19 mx haraka[48106]: [NOTICE] [930E3B02-4254-4499-8294-70044A00835D.1.1] [outbound] recipient <b@example.com> "
	 "rejected: "
	 "550 5.1.1 User unknown",
	 "rcpt-unknown", NULL},
	{"[PROTOCOL] [708FF8AA-CDFC-4FD3-A0AD-493A9A3C860B.1] [core] S: 550 5.1.1 User unknown", "rcpt-unknown", NULL},
	{"[PROTOCOL] [708FF8AA-CDFC-4FD3-A0AD-493A9A3C860B.1] [core] S: 250 OK", NULL, NULL},
	{"2026-11-22T14:11:19.075Z [NOTICE] [FD192E68-8B0D-4D07-9AC8-647121EFB138.1] [core] recipient <b@example.org> code=DENY "
	 "msg=\"5.1.1 No such user\" sender=a@example.org",
	 "rcpt-unknown", "a@example.org"},
	{"2026-11-22T14:11:19.075Z [NOTICE] [FD192E68-8B0D-4D07-9AC8-647121EFB138.1] [core] sender <a@example.org> code=DENY "
	 "msg=\"Authentication required\"",
	 "auth-required", "a@example.org"},
	{"2026-11-22T14:11:19.075Z [NOTICE] [FD192E68-8B0D-4D07-9AC8-647121EFB138.1] [core] sender <a@example.org> code=CONT msg=\"\"",
	 NULL, NULL},
	{"2026-11-22T14:11:19.086Z [NOTICE] [FD192E68-8B0D-4D07-9AC8-647121EFB138.1] [core] disconnect ip=192.0.2.1 rdns=h helo=pc relay=N "
	 "lr=\"550 I cannot deliver mail for <b@example.com>\" time=0.067",
	 "relay-denied-unauth", NULL},
	{"2026-11-22T14:11:19.086Z [NOTICE] [FD192E68-8B0D-4D07-9AC8-647121EFB138] [core] disconnect ip=192.0.2.1 rdns=h lr=\"\" "
	 "time=0.002",
	 NULL, NULL},
	{"2026/11/22 09:11:19 [info] 81#81: *73 client login failed: \"Authentication credentials invalid\" while in http auth state, "
	 "client: "
	 "192.0.2.1, server: 0.0.0.0:587, login: \"alice\"",
	 "auth-bad-credentials", "alice"},
	{"Nov 22 09:11:19 mx dovecot: lmtp(bob@example.com)<1522><2E+aO4c4uV7y>: sieve: msgid=<x>: failed to store into mailbox 'INBOX': "
	 "Quota "
	 "exceeded (mailbox for user is full)",
	 "rcpt-mailbox-full", "bob@example.com"},
	{"Nov 22 09:11:19 mx dovecot: imap-login: Disconnected (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.1, "
	 "session=<x>",
	 "auth-cleartext-refused", NULL},
	{"Nov 22 14:11:14 mx dovecot: pop3-login: Info: Disconnected: Aborted login by logging out (auth service reported temporary "
	 "failure): "
	 "user=<a@example.org>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<x>",
	 "auth-temporarily-unavailable", "a@example.org"},
	{"Nov 22 14:22:46 auth: Info: passwd-file(alice,192.0.2.1,<+d4PNt5gfpt/AAAB>): Password mismatch", "auth-wrong-password", "alice"},
	{"833ad0bd6b820601 smtp connected address=192.0.2.1 host=localhost", NULL, NULL},
	{"833ad0bd6b820601 smtp failed-command command=\"MAIL FROM:<a@example.org>\" result=\"530 5.7.0 Must issue an AUTH command first\"",
	 "auth-required", NULL},
	{"833ad0bd6b8206 smtp failed-command command=\"DATA\" result=\"503 5.5.4 No recipient specified\"", NULL, "foreign"},
	{"2026-11-22T07:53:43.472Z level=info role=mx/4 event=refused session=V1 listener=mx peer=127.0.0.1 command=RCPT "
	 "rcpt=friend@example.com code=550 cause=relay-denied-unauth",
	 "relay-denied-unauth", "friend@example.com"},
};

static struct journal *read_in(const char *text, size_t chunk)
{
	struct journal *j = journal_new();
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += chunk)
		journal_feed(j, span_head(span_of(text + at, len - at), chunk));
	journal_end(j);
	return j;
}

/* what a session ended with is no further refusal where one of it was counted */
static void test_last_reply(void **state)
{
	static const char text[] =
		"2026-11-22T14:11:18.000Z [NOTICE] [AAAA-1] [core] connect ip=192.0.2.1 port=1\n"
		"2026-11-22T14:11:19.075Z [NOTICE] [AAAA-1.1] [core] recipient <b@example.org> code=DENY msg=\"No such user\" "
		"sender=a@example.org\n"
		"2026-11-22T14:11:19.086Z [NOTICE] [AAAA-1.1] [core] disconnect ip=192.0.2.1 lr=\"550 No such user\" time=0.1\n"
		"2026-11-22T14:11:20.086Z [NOTICE] [BBBB-2.1] [core] disconnect ip=192.0.2.1 lr=\"550 No such user\" time=0.1\n";
	struct journal *j = read_in(text, 4096);
	struct journal_row row;

	(void)state;
	assert_true(journal_row(j, 0, &row));
	assert_int_equal(CAUSE_RCPT_UNKNOWN, row.cause);
	assert_int_equal(2, row.count);
	assert_int_equal(2, journal_counts(j).refusals);
	journal_free(&j);
}

/* the same of Dovecot, which may log each attempt and then their sum */
static void test_attempts(void **state)
{
	static const char text[] = "Nov 22 14:22:00 auth: Info: passwd-file(alice,192.0.2.1,<one>): Password mismatch\n"
				   "Nov 22 14:22:06 auth: Info: passwd-file(alice,192.0.2.1,<one>): Password mismatch\n"
				   "Nov 22 14:22:08 imap-login: Info: Disconnected: Connection closed (auth failed, 2 attempts in 8 secs): "
				   "user=<alice>, session=<one>\n"
				   "Nov 22 14:22:09 imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 8 secs): "
				   "user=<bob>, session=<two>\n";
	struct journal *j = read_in(text, 5);
	struct journal_row row;

	(void)state;
	assert_true(journal_row(j, 0, &row));
	assert_int_equal(CAUSE_AUTH_WRONG_PASSWORD, row.cause);
	assert_int_equal(2, row.count);
	assert_true(journal_row(j, 1, &row));
	assert_int_equal(CAUSE_AUTH_BAD_CREDENTIALS, row.cause);
	assert_int_equal(1, row.count);
	journal_free(&j);
}

static void test_lines(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct journal *j = read_in(lines[i].text, 4096);
		struct journal_row row = {.cause = CAUSE_NONE};
		bool there = journal_row(j, 0, &row);

		if (journal_counts(j).known != (lines[i].slug || !lines[i].name) || there != (lines[i].slug != NULL) ||
		    (there && strcmp(cause_slug(row.cause), lines[i].slug) != 0) ||
		    (lines[i].slug && lines[i].name && (!row.name_count || !span_eq(row.names[0], span_str(lines[i].name))))) {
			print_message("%s\n    %s\n", lines[i].text, there ? cause_slug(row.cause) : "nothing");
			wrong++;
		}
		journal_free(&j);
	}
	assert_int_equal(wrong, 0);
}

/* two sessions woven into each other: what only follows is not counted, in each of them; senders come from the queue id */
static const char woven[] = "Nov 22 09:00:01 mx postfix/smtpd[1]: connect from h[192.0.2.1]\n"
			    "Nov 22 09:00:01 mx postfix/smtpd[2]: connect from h[192.0.2.2]\n"
			    "Nov 22 09:00:02 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@x.example>: Relay "
			    "access denied; from=<a@y.example> to=<b@x.example> proto=SMTP\n"
			    "Nov 22 09:00:02 mx postfix/qmgr[7]: 4F1: from=<carol@y.example>, size=1, nrcpt=1 (queue active)\n"
			    "Nov 22 09:00:03 mx postfix/smtpd[2]: NOQUEUE: reject: DATA from h[192.0.2.2]: 554 5.5.1 <DATA>: Data command "
			    "rejected: no valid recipients; from=<d@y.example> proto=SMTP\n"
			    "Nov 22 09:00:03 mx postfix/smtpd[1]: NOQUEUE: reject: DATA from h[192.0.2.1]: 554 5.5.1 <DATA>: Data command "
			    "rejected: no valid recipients; from=<a@y.example> proto=SMTP\n"
			    "Nov 22 09:00:04 mx postfix/smtp[9]: 4F1: to=<b@x.example>, relay=mx[192.0.2.9]:25, dsn=5.1.1, status=bounced "
			    "(host mx[192.0.2.9] said: 550 5.1.1 User unknown)\n"
			    "Nov 22 09:00:05 mx postfix/smtp[9]: 4F1: to=<e@x.example>, relay=mx[192.0.2.9]:25, dsn=5.1.1, status=bounced "
			    "(host mx[192.0.2.9] said: 550 5.1.1 User unknown)\n"
			    "\xff\xfe\033[2J cut off";

static void test_woven(void **state)
{
	(void)state;
	for (size_t chunk = 1; chunk < sizeof(woven); chunk += chunk < 8 ? 1 : 61) {
		struct journal *j = read_in(woven, chunk);
		struct journal_counts counts = journal_counts(j);
		struct journal_row row;

		assert_int_equal(counts.lines, 9);
		assert_int_equal(counts.refusals, 4);
		assert_int_equal(counts.consequences, 1);
		assert_true(journal_row(j, 0, &row));
		assert_string_equal(cause_slug(row.cause), "rcpt-unknown");
		assert_int_equal(row.count, 2);
		assert_true(span_eq(row.first, SPAN_LIT("Nov 22 09:00:04")) && span_eq(row.last, SPAN_LIT("Nov 22 09:00:05")));
		assert_true(row.name_count == 1 && span_eq(row.names[0], SPAN_LIT("carol@y.example")));
		journal_free(&j);
	}
}

/* more names than are kept: those who are hit often are told all the same; endless lines and bytes of any kind do no harm */
static void test_flood(void **state)
{
	struct journal *j = journal_new();
	struct journal_row row;
	static uint8_t noise[70000];
	char text[200];

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		int n = snprintf(text, sizeof(text),
				 "Nov 22 09:00:01 mx postfix/smtpd[1]: warning: h[192.0.2.1]: SASL PLAIN authentication failed: x, "
				 "sasl_username=%s%u\n",
				 i % 3 ? "often" : "rare", i % 3 ? 1 : i);

		journal_feed(j, span_of(text, (size_t)n));
	}
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 31 % 251 == 10 ? 11 : i * 31 % 251);
	journal_feed(j, span_of(noise, sizeof(noise)));
	journal_feed(j, SPAN_LIT("\n"));
	journal_end(j);
	assert_int_equal(journal_counts(j).cut, 1);
	assert_true(journal_row(j, 0, &row));
	assert_int_equal(row.count, 4000);
	assert_true(span_eq(row.names[0], SPAN_LIT("often1")) && row.name_counts[0] > 1000);
	assert_false(journal_row(j, 1, &row));
	journal_free(&j);
}

/* one shape: other addresses, names, numbers, ids and words that nobody knows; another shape: other codes or other known words */
static void test_shapes(void **state)
{
	static const char same[][100] = {"550 5.1.1 <alice@example.org>: Recipient address rejected: User unknown qwxzy",
					 "550 5.1.1 <bob99@mx.example.com>: Recipient address rejected: User unknown zzyzx",
					 "550 5.1.1 <x@y.example>:  Recipient address rejected:  User unknown bbqqzz kkvvj"};
	static const char other[][100] = {"550 5.1.1 <alice@example.org>: Sender address rejected: User unknown qwxzy",
					  "450 5.1.1 <alice@example.org>: Recipient address rejected: User unknown qwxzy",
					  "550 5.7.1 <alice@example.org>: Recipient address rejected: User unknown qwxzy",
					  "550 5.1.1 <alice@example.org>: Recipient address rejected: Domain unknown qwxzy"};
	uint64_t shape = shape_of(span_str(same[0]), 64);

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_true(shape_of(span_str(same[i]), 64) == shape);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_true(shape_of(span_str(other[i]), 64) != shape);
	assert_true(shape_of(span_str(same[0]), 32) != shape);
	assert_true(shape_of(SPAN_NONE, 0) != 0);
}

/* a note is told where there is no refusal, and only there */
static void test_first(void **state)
{
	static const char note[] = "Nov 22 09:11:19 mx postfix/smtp[1]: connect to mx.example.com[192.0.2.1]:25: Connection timed out\n";
	struct explanation e;
	struct span line;
	struct journal *j = read_in("Nov 22 09:11:19 mx postfix/smtpd[1]: connect from h[192.0.2.1]\n", 7);

	(void)state;
	assert_false(journal_first(j, &e, &line));
	journal_free(&j);
	j = read_in(note, 7);
	assert_true(journal_first(j, &e, &line) && e.count && e.found[0].cause == CAUSE_REMOTE_UNREACHABLE);
	assert_int_equal(journal_counts(j).refusals, 0);
	journal_free(&j);
	j = journal_new();
	journal_feed(j, span_str(note));
	journal_feed(j, span_str(lines[0].text));
	journal_end(j);
	assert_true(journal_first(j, &e, &line) && e.found[0].cause == CAUSE_RELAY_DENIED_UNAUTH);
	journal_free(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_last_reply), cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_woven), cmocka_unit_test(test_flood),	 cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
