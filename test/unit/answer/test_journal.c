#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "answer/journal.h"

struct line {
	const char *text;
	const char *slug; /* NULL: counts for nothing */
	const char *name; /* whom it hit; NULL: not looked at */
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

static void test_lines(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct journal *j = read_in(lines[i].text, 4096);
		struct journal_row row = {.cause = CAUSE_NONE};
		bool there = journal_row(j, 0, &row);

		if (journal_counts(j).known != 1 || there != (lines[i].slug != NULL) ||
		    (there && strcmp(cause_slug(row.cause), lines[i].slug) != 0) ||
		    (lines[i].name && (!row.name_count || !span_eq(row.names[0], span_str(lines[i].name))))) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_woven),
		cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
