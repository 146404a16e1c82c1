#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "answer/finding.h"
#include "answer/mask.h"

struct input {
	const char *name;
	enum form form;
	const char *slug;    /* the first cause; NULL: none */
	const char *emitter; /* NULL: not looked at */
	const char *shown;   /* in the evidence or in a step; NULL: not looked at */
	const char *text;
};

static const struct input inputs[] = {
	{"a line", FORM_REPLY, "relay-denied-unauth", NULL, "554 5.7.1", "554 5.7.1 <a@b.example>: Relay access denied"},
	{"swaks: no STARTTLS, so no AUTH, so no relay, so no DATA", FORM_TRANSCRIPT, "auth-not-advertised", "postfix",
	 "STARTTLS was offered",
	 "=== Trying mx.example.org:25...\n<-  220 mx.example.org ESMTP Postfix\n -> EHLO pc\n<-  250-mx.example.org\n<-  250 STARTTLS\n "
	 "-> MAIL FROM:<a@example.org>\n<-  250 2.1.0 Ok\n"
	 " -> RCPT TO:<b@example.com>\n<** 554 5.7.1 <b@example.com>: Relay access denied\n -> DATA\n<** 554 5.5.1 Error: no valid "
	 "recipients\n -> QUIT\n<-  221 2.0.0 Bye\n"},
	{"AUTH offered and not used", FORM_TRANSCRIPT, "relay-denied-unauth", NULL, "did not sign in",
	 "S: 220 mx ESMTP\nC: EHLO pc\nS: 250-mx\nS: 250 AUTH PLAIN\nC: MAIL FROM:<a@example.org>\nS: 250 ok\nC: RCPT "
	 "TO:<b@example.com>\nS: 550 relay not permitted\nC: DATA\n"
	 "S: 503 valid RCPT command must precede DATA\n"},
	{"HELO offers nothing", FORM_TRANSCRIPT, "auth-not-advertised", NULL, "HELO",
	 "C: HELO pc\nS: 250 mx\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 503 AUTH command used when not advertised\n"},
	{"no EHLO after STARTTLS", FORM_TRANSCRIPT, "auth-not-advertised", NULL, "did not say EHLO again",
	 "S: 220 mx\nC: EHLO pc\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 503 5.5.1 "
	 "Error: send HELO/EHLO first\n"},
	{"telnet, wrong password, then what follows", FORM_TRANSCRIPT, "auth-bad-credentials", NULL, "since no recipient was accepted",
	 "Trying 192.0.2.1...\nConnected to mx.example.org.\nEscape character is '^]'.\n220 mx.example.org ESMTP Exim 4.96\nEHLO "
	 "pc\n250-mx\n250 AUTH LOGIN\nAUTH LOGIN\n334 VXNlcm5hbWU6\n"
	 "YWxpY2U=\n334 UGFzc3dvcmQ6\nc2VjcmV0\n535 Incorrect authentication data\nMAIL FROM:<a@example.org>\n250 OK\nRCPT "
	 "TO:<x@example.net>\n550 relay not permitted\nDATA\n"
	 "503 valid RCPT command must precede DATA\n"},
	{"pipelined: the replies belong to the commands in order", FORM_TRANSCRIPT, "rcpt-unknown", NULL,
	 "RCPT TO:<nobody@example.org> was refused",
	 "S: 220 mx\nC: EHLO pc\nS: 250 PIPELINING\nC: MAIL FROM:<a@example.org>\nC: RCPT TO:<nobody@example.org>\nC: DATA\nS: 250 ok\nS: "
	 "550 5.1.1 User unknown\nS: 554 5.5.1 no valid recipients\n"},
	{"Thunderbird", FORM_TRANSCRIPT, "auth-bad-credentials", "gmail", NULL,
	 "mailnews.smtp: Connecting to smtp://smtp.gmail.com:587\nmailnews.smtp: S: 220 smtp.gmail.com ESMTP x - gsmtp\nmailnews.smtp: C: "
	 "EHLO [192.0.2.2]\nmailnews.smtp: S: 250-smtp.gmail.com at your service\n"
	 "mailnews.smtp: S: 250 AUTH LOGIN PLAIN\nmailnews.smtp: C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nmailnews.smtp: S: 535-5.7.8 Username "
	 "and Password not accepted. For more information, go to\n"
	 "mailnews.smtp: S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp\n"},
	{"Outlook", FORM_TRANSCRIPT, "rcpt-mailbox-full", NULL, NULL,
	 "2026.11.01 10:00:00 SMTP (mail.example.org): <rx> 220 mail.example.org\n2026.11.01 10:00:00 SMTP (mail.example.org): <tx> EHLO "
	 "pc\n2026.11.01 10:00:00 SMTP (mail.example.org): <rx> 250 ok\n"
	 "2026.11.01 10:00:01 SMTP (mail.example.org): <tx> MAIL FROM: <a@example.org>\n2026.11.01 10:00:01 SMTP (mail.example.org): <rx> "
	 "250 ok\n"
	 "2026.11.01 10:00:01 SMTP (mail.example.org): <tx> RCPT TO: <b@example.org>\n2026.11.01 10:00:01 SMTP (mail.example.org): <rx> "
	 "552 5.2.2 Mailbox is full\n"},
	{"Python", FORM_TRANSCRIPT, "sender-not-owned", NULL, NULL,
	 "send: 'ehlo pc\\r\\n'\nreply: b'250 mx\\r\\n'\nreply: retcode (250); Msg: b'mx'\nsend: 'mail FROM:<a@example.org>\\r\\n'\nreply: "
	 "b'553 5.7.1 <a@example.org>: Sender address rejected: not owned by user b\\r\\n'\n"},
	{"a firewall in between", FORM_TRANSCRIPT, NULL, NULL, NULL,
	 "<-  220 ****************************************\n -> EHLO pc\n<** 500 5.3.3 Unrecognized command\n -> HELO pc\n<-  250 mx\n -> "
	 "QUIT\n<-  221 bye\n"},
	{"nothing was refused", FORM_TRANSCRIPT, NULL, NULL, NULL,
	 "S: 220 mx\nC: EHLO pc\nS: 250 ok\nC: MAIL FROM:<a@example.org>\nS: 250 ok\nC: RCPT TO:<b@example.org>\nS: 250 ok\nC: DATA\nS: "
	 "354 go\nC: Subject: 550 no such user\nC: .\nS: 250 queued\nC: QUIT\nS: 221 bye\n"},
	{"the end of a line is missing: no reply came", FORM_TRANSCRIPT, "timeout", NULL, "No reply came",
	 "S: 220 mx\nC: EHLO pc\nS: 250 ok\nC: MAIL FROM:<a@example.org>\n"},
	{"RFC 3464", FORM_BOUNCE, "rcpt-unknown", NULL, "does not exist",
	 "Subject: Undelivered Mail Returned to Sender\nContent-Type: multipart/report; report-type=delivery-status; "
	 "boundary=x\n\n--x\n\nThis is the mail system at host mx.example.org.\n\n--x\n"
	 "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; bob@example.com\nAction: "
	 "failed\nStatus: 5.1.1\nRemote-MTA: dns; gmail-smtp-in.l.google.com\n"
	 "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does\n not exist.\n\n--x--\n"},
	{"only a status", FORM_BOUNCE, "rcpt-unknown", NULL, NULL,
	 "Subject: Failure notice, and nothing more than that\n\nFinal-Recipient: rfc822; bob@example.com\nAction: failed\nStatus: "
	 "5.1.1\n"},
	{"qmail", FORM_BOUNCE, "rcpt-mailbox-full", NULL, "552 5.2.2",
	 "Hi. This is the qmail-send program at example.org.\nI'm afraid I wasn't able to deliver your message to the following "
	 "addresses.\nThis is a permanent error; I've given up.\n\n<bob@example.com>:\n"
	 "192.0.2.1 does not like recipient.\nRemote host said: 552 5.2.2 user over quota\nGiving up on 192.0.2.1.\n\n--- Below this line "
	 "is a copy of the message.\n\nReturn-Path: <a@b>\nrelay access denied\n"},
	{"Exim", FORM_BOUNCE, "relay-denied-unauth", "exim", "relay not permitted",
	 "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or "
	 "more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n"
	 "  bob@example.com\n    host mx.example.com [192.0.2.1]\n    SMTP error from remote mail server after RCPT "
	 "TO:<bob@example.com>:\n    550 relay not permitted\n\n------ This is a copy of the message ------\n"},
	{"Exchange", FORM_BOUNCE, "rcpt-unknown", NULL, NULL,
	 "Delivery has failed to these recipients or groups:\n\nbob@example.com\nThe email address you entered couldn't be "
	 "found.\n\nDiagnostic information for administrators:\n\nGenerating server: EX1.example.org\n\n"
	 "bob@example.com\nRemote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address "
	 "lookup'\n\nOriginal message headers:\n\nReceived: from x\n"},
	{"Gmail", FORM_BOUNCE, "rcpt-unknown", NULL, NULL,
	 "** Address not found **\n\nYour message wasn't delivered to bob@example.com because the address couldn't be found, or is unable "
	 "to receive mail.\n\nThe response was:\n\n550 5.1.1 The email account that you tried to\n"
	 "reach does not exist.\n"},
	{"sendmail", FORM_BOUNCE, "rcpt-unknown", NULL, "User unknown",
	 "The original message was received at Sun, 1 Nov 2026 10:00:00 GMT\nfrom localhost [127.0.0.1]\n\n   ----- The following "
	 "addresses had permanent fatal errors -----\n<bob@example.com>\n    (reason: 550 5.1.1 User unknown)\n\n"
	 "   ----- Transcript of session follows -----\n... while talking to mx.example.com.:\n>>> RCPT To:<bob@example.com>\n<<< 550 "
	 "5.1.1 User unknown\n550 5.1.1 <bob@example.com>... User unknown\n"},
	{"RFC 3464 in base64 and quoted-printable, with the sender's mail behind it", FORM_BOUNCE, "rcpt-mailbox-full", NULL,
	 "bob@example.com",
	 "From: MAILER-DAEMON@mx.example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n "
	 "boundary=\"=_x\"\r\n\r\n--=_x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	 "WW91ciBtZXNzYWdlIGNvdWxkIG5vdCBiZSBkZWxpdmVyZWQu\r\n\r\n--=_x\r\nContent-Type: message/delivery-status\r\n"
	 "Content-Transfer-Encoding: quoted-printable\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: "
	 "rfc822;=\r\n bob@example.com\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 Mailbox is=20full\r\n\r\n"
	 "--=_x\r\nContent-Type: message/rfc822\r\n\r\nSubject: 550 relay not permitted\r\n\r\nuser unknown\r\n--=_x--\r\n"},
	{"a report that somebody forwarded", FORM_BOUNCE, "spf-fail", NULL, NULL,
	 "From: alice@example.org\nSubject: Fwd: what is this?\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n"
	 "Content-Type: text/plain\n\nCan you help me? It says that the mailbox is full.\n--a\nContent-Type: message/rfc822\n\n"
	 "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nUndelivered.\n--b\n"
	 "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nAction: failed\nFinal-Recipient: rfc822;b@example.com\n"
	 "Status: 5.7.23\nDiagnostic-Code: smtp; 550 5.7.23 SPF validation failed\n\n--b--\n--a--\n"},
	{"Exchange, nothing but HTML", FORM_BOUNCE, "rcpt-unknown", NULL, NULL,
	 "From: postmaster@example.org\nSubject: Undeliverable: x\nContent-Type: text/html; charset=us-ascii\n"
	 "Content-Transfer-Encoding: quoted-printable\n\n<html><head><style>p { color: red }</style></head><body><p><b>Delivery has failed "
	 "to "
	 "these recipients or groups:</b></p><p><a href=3D\"mailto:b@example.com\">b@example.com</a></p><p>Diagnostic information for "
	 "administrators:</p><p>Generating server: EX1<br>b@example.com<br>Remote Server returned &#39;550 5.1.10 RESOLVER.ADR.Reci=\n"
	 "pientNotFound; Recipient not found by SMTP address lookup&#39;</p></body></html>\n"},
	{"IMAP", FORM_TRANSCRIPT, "auth-bad-credentials", NULL, NULL,
	 "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot ready.\nC: 1 LOGIN alice c2VjcmV0\nS: 1 NO [AUTHENTICATIONFAILED] "
	 "Authentication "
	 "failed.\n"},
	{"two conversations of nodemailer woven into each other", FORM_TRANSCRIPT, "rcpt-unknown", NULL, "nobody@example.com",
	 "[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] S: 220 mx.example.com ESMTP\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] S: 220 "
	 "mx.example.com ESMTP\n[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] C: EHLO a\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] C: EHLO a\n"
	 "[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] S: 250 mx\n[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] S: 250 mx\n"
	 "[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] C: MAIL FROM:<a@example.org>\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] C: MAIL "
	 "FROM:<a@example.org>\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] S: 250 ok\n[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] S: 250 ok\n"
	 "[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] C: RCPT TO:<friend@example.com>\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] C: RCPT "
	 "TO:<nobody@example.com>\n[2026-11-22 11:57:21] DEBUG [cDYfWw5rFKQ] S: 250 ok\n[2026-11-22 11:57:21] DEBUG [lHr1v5x3A] S: 550 "
	 "5.1.1 "
	 "User unknown\n"},
	{"the server's own domain: no question of relaying", FORM_TRANSCRIPT, "rcpt-unknown", "opensmtpd", NULL,
	 "220 mail.example.net ESMTP OpenSMTPD\nHELO f\n250 mail.example.net Hello f\nMAIL FROM:<foo@example.com>\n250 2.0.0: Ok\nRCPT "
	 "TO:<nonexistent@example.net>\n550 Invalid recipient\n"},
	{"Exim's own debugging", FORM_TRANSCRIPT, "helo-invalid", "postfix", NULL,
	 "  759   SMTP<< 220 mx.example.org ESMTP Postfix\n  759   SMTP>> EHLO 15b0717dc4c2\n  759   SMTP<< 250-mx.example.org\n"
	 "  759          250-PIPELINING\n  759          250 DSN\n  759   SMTP>> MAIL FROM:<>\n  759   SMTP>> RCPT TO:<b@example.org>\n"
	 "  759   SMTP>> DATA\n  759   SMTP<< 250 2.1.0 Ok\n  759   SMTP<< 504 5.5.2 <15b0717dc4c2>: Helo command rejected: need "
	 "fully-qualified hostname\n  759   SMTP<< 554 5.5.1 Error: no valid recipients\n"},
	{"one line of a log", FORM_LOG, "relay-denied-unauth", NULL, "Relay access denied",
	 "Nov 22 09:11:19 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@example.com>: Relay access denied; "
	 "from=<a@example.org> to=<b@example.com>"},
	{"a log", FORM_LOG, NULL, NULL, NULL,
	 "Nov 22 09:11:19 mx postfix/smtpd[24789]: connect from unknown[127.0.0.1]\nNov 22 09:11:19 mx postfix/smtpd[24789]: lost "
	 "connection after CONNECT from unknown[127.0.0.1]\n"},
	{"a log in which no server's line is a refusal, and another program's says why", FORM_LOG, "auth-basic-disabled", NULL,
	 "basic authentication is disabled",
	 "Nov 22 09:11:19 mx postfix/smtpd[1]: connect from a.example[192.0.2.1]\nNov 22 09:11:20 mx roundcube[31]: PHP Error: SMTP error: "
	 "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.\n"},
	{"Exim retries what it was told", FORM_LOG, "greylisted", NULL, "greylisted",
	 "2026-11-22 10:00:00 1abcde-000001-AB H=mx.example.org [192.0.2.1]: SMTP error from remote mail server after RCPT "
	 "TO:<b@example.org>: 451 4.7.1 greylisted, try again later\n"},
	{"the line that decides is not the first", FORM_REPLY, "rcpt-unknown", NULL, "User unknown",
	 "Traceback (most recent call last):\n  File \"/usr/lib/python3/smtplib.py\", line 881, in sendmail\n"
	 "smtplib.SMTPRecipientsRefused: {'b@example.org': (550, b'5.1.1 <b@example.org>: Recipient address rejected: User unknown in "
	 "local recipient table')}\n"},
	{"a dialog around a server's words", FORM_REPLY, "auth-bad-credentials", NULL, NULL,
	 "Server Response: '535 5.7.8 Error: authentication failed', Port: 465, Secure(SSL): Yes, Server Error: 535, Error Number: "
	 "0x800CCC79"},
	{"nothing at all", FORM_REPLY, NULL, NULL, NULL, ""},
};

static bool shows(const struct finding *f, const char *words)
{
	bool found = span_find_span(buf_span(&f->evidence), span_str(words)) < f->evidence.len;

	for (size_t i = 0; i < f->step_count; i++)
		found = found || span_find_span(buf_span(&f->steps[i]), span_str(words)) < f->steps[i].len;
	return found;
}

static void test_forms(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		const struct input *in = &inputs[i];
		struct finding f;
		const char *slug, *emitter;

		finding_init(&f);
		finding_read(span_str(in->text), &f);
		slug = f.e.count ? cause_slug(f.e.found[0].cause) : "";
		emitter = f.e.emitter < 0 ? "" : reply_text(reply_emitters[f.e.emitter].slug);
		if (f.form != in->form ||
		    (in->slug ? strcmp(slug, in->slug) != 0 : strcmp(in->name, "a firewall in between") != 0 && f.e.count) ||
		    (in->emitter && strcmp(emitter, in->emitter) != 0) || (in->shown && !shows(&f, in->shown))) {
			print_message("%s: form %d, %s, %s, %s\n", in->name, (int)f.form, slug, emitter, buf_cstr(&f.evidence));
			for (size_t k = 0; k < f.step_count; k++)
				print_message("    %s\n", buf_cstr(&f.steps[k]));
			wrong++;
		}
		assert_false(shows(&f, "c2VjcmV0"));
		assert_false(shows(&f, "AGFsaWNlAHNlY3JldA"));
		finding_clear(&f);
	}
	assert_int_equal(wrong, 0);
}

/* every cut of every input is taken without harm */
static void test_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		size_t len = strlen(inputs[i].text);

		for (size_t cut = 0; cut < len; cut += 7) {
			struct finding f;

			finding_init(&f);
			finding_read(span_of(inputs[i].text, cut), &f);
			finding_clear(&f);
		}
	}
}

/* each recipient has a cause of its own, in the machine-readable form and in those of Postfix, qmail and Exim */
static void test_recipients(void **state)
{
	static const char *const texts[] = {
		"Subject: Undelivered Mail Returned to Sender\n\nReporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@example.com\nAction: "
		"failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n\nFinal-Recipient: rfc822; ok@example.com\nAction: "
		"delivered\nStatus: 2.0.0\n\nAction: failed\nFinal-Recipient: rfc822; b@example.com\nStatus: 5.2.2\nDiagnostic-Code: smtp; "
		"552 5.2.2 Mailbox is full\n",
		"This is the mail system at host mx.example.org.\n\nI'm sorry to have to inform you that your message could not\nbe "
		"delivered to "
		"one or more recipients.\n\n<a@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1\n    User unknown (in reply to "
		"RCPT "
		"TO command)\n\n<b@example.com>: host mx.example.com[192.0.2.1] said: 552 5.2.2 Mailbox is\n    full (in reply to RCPT TO "
		"command)\n",
		"Hi. This is the qmail-send program at example.org.\nI'm afraid I wasn't able to deliver your message to the following "
		"addresses.\n\n<a@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 User unknown\n\n"
		"<b@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 552 5.2.2 Mailbox is full\n",
		"This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to "
		"one or "
		"more of its\nrecipients. The following address(es) failed:\n\n  a@example.com\n    host mx.example.com [192.0.2.1]\n    "
		"SMTP "
		"error from remote mail server after RCPT TO:<a@example.com>:\n    550 5.1.1 User unknown\n\n  b@example.com\n    host "
		"mx.example.com [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<b@example.com>:\n    552 5.2.2 Mailbox "
		"is "
		"full\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct finding f;

		finding_init(&f);
		finding_read(span_str(texts[i]), &f);
		assert_int_equal(f.form, FORM_BOUNCE);
		assert_int_equal(f.recipient_count, 2);
		assert_string_equal(buf_cstr(&f.recipients[0].address), "a@example.com");
		assert_int_equal(f.recipients[0].cause, CAUSE_RCPT_UNKNOWN);
		assert_string_equal(buf_cstr(&f.recipients[1].address), "b@example.com");
		assert_int_equal(f.recipients[1].cause, CAUSE_RCPT_MAILBOX_FULL);
		assert_int_equal(f.e.found[0].cause, CAUSE_RCPT_UNKNOWN);
		finding_clear(&f);
	}
}

/* what happened before speaks against a cause, and makes it less likely */
static void test_facts(void **state)
{
	struct explanation e = {.count = 2,
				.undecided = true,
				.found = {{.cause = CAUSE_TLS_REQUIRED, .confidence = 0.5, .reply = -1},
					  {.cause = CAUSE_AUTH_REQUIRED, .confidence = 0.4, .reply = -1}}};
	const struct facts nothing = {0, FACT_TLS}, encrypted = {FACT_TLS, FACT_TLS}, open = {FACT_TLS, 0};
	size_t from = 0;

	(void)state;
	facts_weigh(&nothing, &e);
	facts_weigh(&open, &e);
	assert_int_equal(e.found[0].cause, CAUSE_TLS_REQUIRED);
	assert_null(facts_against(&open, CAUSE_TLS_REQUIRED, &from));
	from = 0;
	assert_string_equal(facts_against(&encrypted, CAUSE_TLS_REQUIRED, &from), "the connection was encrypted");
	assert_null(facts_against(&encrypted, CAUSE_TLS_REQUIRED, &from));
	facts_weigh(&encrypted, &e);
	assert_int_equal(e.found[0].cause, CAUSE_AUTH_REQUIRED);
	assert_false(e.undecided);
	assert_true(e.found[0].confidence > 0.6 && e.found[0].confidence <= 1);
}

static void test_mask(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"C: AUTH PLAIN AGFsaWNlAHNlY3JldA==", "C: AUTH PLAIN ****"},
		{" -> AUTH LOGIN YWxpY2U=", " -> AUTH LOGIN ****"},
		{"250-AUTH PLAIN LOGIN CRAM-MD5", "250-AUTH PLAIN LOGIN CRAM-MD5"},
		{"PASS geheim", "PASS ****"},
		{"a1 LOGIN alice geheim", "a1 LOGIN alice ****"},
		{"postfix/smtpd[1]: SASL LOGIN authentication failed: x", "postfix/smtpd[1]: SASL LOGIN authentication failed: x"},
		{"swaks -s mx -au alice -ap geheim --tls", "swaks -s mx -au alice -ap **** --tls"},
		{"curl smtp://mx --user alice:geheim", "curl smtp://mx --user ****"},
		{"{\"user\":\"alice\",\"pass\":\"geheim\"}", "{\"user\":\"alice\",\"pass\":****"},
		{"{ user: 'alice', pass: 'geheim' }", "{ user: 'alice', pass: **** }"},
		{"'password' => 'geheim',", "'password' => ****"},
		{"password geheim", "password ****"},
		{"dovecot: auth: password mismatch for alice", "dovecot: auth: password mismatch for alice"},
		{"A1 NO [AUTHENTICATIONFAILED] login failed now", "A1 NO [AUTHENTICATIONFAILED] login failed now"},
		{"failed to send: 535 Login Fail. Please look", "failed to send: 535 Login Fail. Please look"},
		{"user=alice password=geheim ok", "user=alice password=**** ok"},
		{"smtp://alice:geheim@mx.example.org:25", "smtp://alice:****@mx.example.org:25"},
		{"token AGFsaWNlAHNlY3JldA== is no word", "token **** is no word"},
		{"550 \033[2J no\007", "550 \\x1b[2J no\\x07"},
		{"a\tb\nc", "a b c"},
		{"K\xc3\xbc"
		 "che \xe2\x80\xae gespiegelt \xff",
		 "K\xc3\xbc"
		 "che \\xe2\\x80\\xae gespiegelt \\xff"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, 1024);
		mask_line(&out, span_str(cases[i].text), 200);
		assert_string_equal(buf_cstr(&out), cases[i].shown);
		buf_clear(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms), cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_facts), cmocka_unit_test(test_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
