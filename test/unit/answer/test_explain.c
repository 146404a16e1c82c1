#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "answer/explain.h"

struct known {
	const char *text;
	const char *slug;   /* the first cause */
	const char *second; /* not NULL: the words do not decide, and this one is among the rest */
};

/* lines as users meet them, from many servers */
static const struct known known_lines[] = {
	/* the 503 family: told apart, or said that they cannot be */
	{"503 valid RCPT command must precede DATA", "rcpt-none-accepted", "auth-required"},
	{"503 This mail server requires authentication when attempting to send to a non-local e-mail address", "auth-required", NULL},
	{"503 5.5.1 Authentication Required", "auth-required", NULL},
	{"503 5.5.1 Error: authenticate first", "auth-required", NULL},
	{"503 sender not yet given", "seq-no-mail", NULL},
	{"503 EHLO/HELO first", "seq-no-helo", NULL},
	{"503 5.5.1 EHLO/HELO first. 4fb4d7f45d1cf-5d0", "seq-no-helo", NULL},
	{"503 MAIL first", "seq-no-mail", NULL},
	{"503 RCPT first", "rcpt-none-accepted", "auth-required"},
	{"503 5.5.2 Need rcpt command", "rcpt-none-accepted", "auth-required"},
	{"503 5.5.1 Error: need MAIL command", "seq-no-mail", NULL},
	{"503 5.5.1 Error: nested MAIL command", "seq-nested-mail", NULL},
	{"503 5.5.2 Sender already specified", "seq-nested-mail", NULL},
	{"503 5.5.1 Error: send HELO/EHLO first", "seq-no-helo", NULL},
	{"503 AUTH command used when not advertised", "auth-not-advertised", NULL},
	{"503 5.5.1 Error: already authenticated", "auth-twice", NULL},
	{"503 Bad sequence of commands", "seq-not-allowed-now", "rcpt-none-accepted"},
	{"554 5.5.1 Error: no valid recipients", "rcpt-none-accepted", NULL},
	/* sign-in */
	{"530 5.7.0 Authentication required", "auth-required", NULL},
	{"530 Authentication is required to send mail", "auth-required", NULL},
	{"530 5.7.57 Client not authenticated to send mail. [AM0PR01CA0083.eurprd01.prod.exchangelabs.com]", "auth-required", NULL},
	{"550 Please turn on SMTP Authentication in your mail client.", "auth-required", NULL},
	{"530 5.7.0 Must issue a STARTTLS command first", "tls-required", NULL},
	{"535 5.7.8 Username and Password not accepted. Learn more at", "auth-bad-credentials", NULL},
	{"535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  "
	 "https://support.google.com/mail/?p=BadCredentials d2e1 - gsmtp",
	 "auth-bad-credentials", NULL},
	{"535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "auth-bad-credentials", NULL},
	{"535 Incorrect authentication data", "auth-bad-credentials", NULL},
	{"535 5.7.3 Authentication unsuccessful", "auth-bad-credentials", NULL},
	{"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "auth-disabled-by-admin", NULL},
	{"535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", "auth-basic-disabled", NULL},
	{"534-5.7.9 Application-specific password required. Learn more at\n534 5.7.9  "
	 "https://support.google.com/mail/?p=InvalidSecondFactor",
	 "auth-app-password", NULL},
	{"534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please log in via\n534-5.7.14 your web browser and then try "
	 "again.",
	 "auth-web-login", NULL},
	{"454 4.7.0 Temporary authentication failure: Connection lost to authentication server", "auth-temporarily-unavailable", NULL},
	{"454 4.7.0 Too many login attempts, please try again later.", "auth-rate-limited", NULL},
	{"504 5.5.4 Unrecognized authentication type", "auth-mechanism-unknown", "tls-required"},
	{"501 5.5.2 Cannot Decode response", "auth-syntax", NULL},
	{"538 5.7.11 Encryption required for requested authentication mechanism", "auth-cleartext-refused", NULL},
	/* the code decides where the words say nothing, and stands beside other writings */
	{"535 5.7.8 Sorry.", "auth-bad-credentials", NULL},
	{"Negative SMTP reply: 450 4.1.2", "rcpt-domain-not-found", NULL},
	{"\u9519\u8bef\uff1a535 \u767b\u5f55\u5931\u8d25", "auth-bad-credentials", NULL},
	/* words that say why count more than those that say that */
	{"535 Authentication failed: basic authentication is not allowed", "auth-basic-disabled", NULL},
	{"2026-11-22 09:11:19 1abcde-000000-AB H=h [192.0.2.1] TLS error on connection (recv): The TLS connection was non-properly "
	 "terminated.",
	 "remote-lost", "remote-unreachable"},
	/* relay and sender */
	{"550 relay not permitted", "relay-denied-unauth", NULL},
	{"554 5.7.1 <a@example.org>: Relay access denied", "relay-denied-unauth", NULL},
	{"550 5.7.1 Unable to relay", "relay-denied-unauth", NULL},
	{"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "relay-denied-unauth", NULL},
	{"550 5.7.1 <a@example.org>... Relaying denied. Proper authentication required.", "relay-denied-unauth", NULL},
	{"550-Please turn on SMTP Authentication in your mail client, or login to the\n550 IMAP/POP3 server before sending your message.",
	 "pop-before-smtp", "auth-required"},
	{"553 5.7.1 <a@example.org>: Sender address rejected: not owned by user bob", "sender-not-owned", NULL},
	{"450 4.1.8 <a@nowhere.test>: Sender address rejected: Domain not found", "sender-domain-not-found", NULL},
	/* recipients */
	{"550 5.1.1 <x@example.org>: Recipient address rejected: User unknown in local recipient table", "rcpt-unknown", NULL},
	{"550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550-5.1.1 double-checking the recipient's "
	 "email address for typos",
	 "rcpt-unknown", NULL},
	{"550 5.2.1 The email account that you tried to reach is disabled.", "rcpt-disabled", NULL},
	{"452 4.2.2 The email account that you tried to reach is over quota.", "rcpt-mailbox-full", NULL},
	{"552 5.2.2 <x@example.org>: user is over quota", "rcpt-mailbox-full", NULL},
	{"450 4.2.0 <x@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/", "greylisted", NULL},
	{"452 4.5.3 Error: too many recipients", "too-many-recipients", NULL},
	{"550 5.4.5 Daily user sending quota exceeded.", "quota-sender-daily", NULL},
	{"556 5.1.10 Recipient address has null MX", "null-mx", NULL},
	/* syntax and order */
	{"502 command not implemented", "command-not-enabled", NULL},
	{"502 5.5.2 Error: command not recognized", "command-unknown", NULL},
	{"500 5.5.1 Unrecognized command", "command-unknown", NULL},
	{"555 5.5.4 Unsupported option: FOO=BAR", "param-unknown", NULL},
	{"501 5.1.3 Bad recipient address syntax", "rcpt-syntax", NULL},
	{"504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname", "helo-invalid", NULL},
	{"554 SMTP synchronization error", "seq-pipelined-early", NULL},
	{"421 4.7.0 mx.example.org Error: too many errors", "too-many-bad-commands", NULL},
	{"421 4.4.2 mx.example.org Error: timeout exceeded", "timeout", NULL},
	{"521 5.5.2 mx.example.org Error: bare <LF> received", "bare-newline", NULL},
	/* the rest */
	{"552 5.3.4 Message size exceeds fixed limit", "message-too-big", NULL},
	{"554 5.4.6 Too many hops", "mail-loop", NULL},
	{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "ip-dnsbl", NULL},
	{"554 5.7.1 Client host blocked using zen.spamhaus.org; Error: open resolver; https://check.spamhaus.org/returnc/pub/192.0.2.1/",
	 "dnsbl-query-refused", NULL},
	{"550 5.7.26 Unauthenticated email from example.org is not accepted due to domain's DMARC policy.", "dmarc-reject", NULL},
	{"550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", "rdns-missing", NULL},
	{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
	 "ip-reputation-throttle", NULL},
	{"452 4.3.1 Insufficient system storage", "server-storage-full", NULL},
	{"421 4.3.2 Service shutting down", "server-shutting-down", NULL},
	{"421 Too many concurrent SMTP connections from this IP address; please try again later.", "too-many-connections-address", NULL},
	{"552-5.7.0 This message was blocked because its content presents a potential\n552 5.7.0 security issue.",
	 "attachment-type-blocked", NULL},
	{"smtp;550 5.4.1 [a@example.org]: Recipient address rejected: Access denied", "rcpt-unknown", NULL},
	{"smtp;550 Message was not accepted -- invalid mailbox. Local mailbox a@example.org is unavailable: account is disabled",
	 "rcpt-disabled", NULL},
	{"550 5.7.1 Service unavailable; client [192.0.2.1] blocked using a list", "ip-dnsbl", NULL},
	{"554 5.7.1 Spam message rejected; If this is not spam contact abuse", "spam-content", NULL},
	{"450 4.2.1 The recipient has exceeded message rate limit. Try again later.", "rcpt-rate-limited", NULL},
	/* of a reply that quotes another one, the quoted one holds */
	{"550 5.7.23 The message was rejected because of Sender Policy Framework violation -> 550 5.1.1 <b@example.org>: User unknown",
	 "rcpt-unknown", NULL},
	{"530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.3 Authentication unsuccessful [x.prod.outlook.com]",
	 "auth-bad-credentials", NULL},
	{"550 5.0.350 Remote server returned an error -> 552 5.3.4 Message size exceeds fixed limit", "message-too-big", NULL},
	{"Serverantwort: '550 <b@example.org>... Relais refus\u00e9', Port : 25, S\u00e9curis\u00e9 (SSL) : Non, Erreur du serveur : 550, "
	 "Num\u00e9ro d'erreur : "
	 "0x800CCC79",
	 "relay-denied-unauth", NULL},
	{"\u00ab550 5.1.1 User unknown\u00bb", "rcpt-unknown", NULL},
	{"timeout=300 quota=0: 550 5.1.1 User unknown", "rcpt-unknown", NULL}, /* what was set says nothing */
	/* as JSON, a log of qmail and a library show it */
	{"{\"stack\":\"Error: Invalid login\\n535 5.7.8 authentication failed\"}", "auth-bad-credentials", NULL},
	{"delivery 12: failure: 192.0.2.1_does_not_like_recipient./Remote_host_said:_552_5.2.2_Mailbox_is_full/Giving_up_on_192.0.2.1./",
	 "rcpt-mailbox-full", NULL},
	{"smtplib.SMTPAuthenticationError: (451, b'Unable to reach directory')", "auth-temporarily-unavailable", NULL},
	/* POP3 */
	{"-ERR [AUTH] Authentication failed.", "auth-bad-credentials", NULL},
	{"-ERR [IN-USE] maildrop already locked", "mailbox-locked", NULL},
	{"-ERR [SYS/TEMP] Temporary internal failure", "server-temp-error", "auth-temporarily-unavailable"},
	{"-ERR Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "auth-cleartext-refused", NULL},
	{"-ERR There's no message 7.", "message-unknown", NULL},
	{"-ERR no such message", "message-unknown", NULL},
};

static bool among(const struct explanation *e, const char *slug)
{
	for (size_t i = 0; i < e->count; i++)
		if (strcmp(cause_slug(e->found[i].cause), slug) == 0)
			return true;
	return false;
}

static void show(const char *text, const struct explanation *e)
{
	struct buf why;

	print_message("%s\n", text);
	for (size_t i = 0; i < e->count; i++) {
		buf_init(&why, 512);
		explain_why(&why, &e->found[i]);
		print_message("    %.2f %s (%s)\n", e->found[i].confidence, cause_slug(e->found[i].cause), buf_cstr(&why));
		buf_clear(&why);
	}
}

static void test_known_lines(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(known_lines) / sizeof(known_lines[0]); i++) {
		const struct known *k = &known_lines[i];
		struct explanation e;

		explain_text(span_str(k->text), &e);
		if (e.count && strcmp(cause_slug(e.found[0].cause), k->slug) == 0 && e.undecided == (k->second != NULL) &&
		    (!k->second || among(&e, k->second)))
			continue;
		print_message("wanted %s%s%s: ", k->slug, k->second ? " or " : "", k->second ? k->second : "");
		show(k->text, &e);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* words that only introduce those of somebody else: sure of nothing while others follow that nobody knows */
static void test_frames(void **state)
{
	static const struct {
		const char *text;
		double least, most;
	} cases[] = {
		{"SMTP Error: The following recipients failed: b@example.org", 0.5, 1},
		{"SMTP Error: The following recipients failed: b@example.org: the flying saucers have not come round to this house yet", 0,
		 0.5},
		{"Primary Target IP address responded with: \"451 4.4.0 The flying saucers have not come round to this house yet\"", 0,
		 0.5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct explanation e;

		explain_text(span_str(cases[i].text), &e);
		if (e.count == 0 || e.found[0].confidence < cases[i].least || e.found[0].confidence > cases[i].most)
			show(cases[i].text, &e);
		assert_true(e.count > 0);
		assert_true(e.found[0].confidence >= cases[i].least);
		assert_true(e.found[0].confidence <= cases[i].most);
	}
}

/* "Request failed with status code 550" of a web library is no reply of a mail server; a code of another moment than the words makes them
 * doubtful */
static void test_doubts(void **state)
{
	struct explanation e, same, other;

	(void)state;
	explain_text(SPAN_LIT("AxiosError: Request failed with status code 535"), &e);
	assert_int_equal(e.code, 0);
	explain_text(SPAN_LIT("550 5.1.1 User unknown (in reply to RCPT TO command)"), &same);
	explain_text(SPAN_LIT("550 5.1.1 User unknown (in reply to MAIL FROM command)"), &other);
	assert_true(same.count && other.count);
	assert_true(other.found[0].confidence < same.found[0].confidence);
	explain_text(SPAN_LIT("450 4.2.1 Sorry."), &e);
	assert_string_equal(cause_slug(e.found[0].cause), "rcpt-rate-limited");
	explain_text(SPAN_LIT("550 5.2.1 Sorry."), &e);
	assert_string_equal(cause_slug(e.found[0].cause), "rcpt-disabled");
}

static void test_codes_and_slugs(void **state)
{
	struct explanation e;

	(void)state;
	explain_text(SPAN_LIT("503"), &e);
	assert_true(e.undecided && among(&e, "rcpt-none-accepted") && among(&e, "auth-required"));
	assert_true(e.found[0].confidence < 0.5);
	explain_text(SPAN_LIT("5.4.5"), &e);
	assert_string_equal(cause_slug(e.found[0].cause), "quota-sender-daily");
	assert_true(e.found[0].by & EXPLAIN_BY_ENHANCED);
	explain_text(SPAN_LIT("5.7.1"), &e);
	assert_true(e.undecided && e.count > 1);
	explain_text(SPAN_LIT("mailbox-locked\n"), &e);
	assert_int_equal(e.count, 1);
	assert_true(e.found[0].confidence == 1 && e.found[0].cause == CAUSE_MAILBOX_LOCKED);
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		explain_text(span_str(cause_slug((enum cause_id)id)), &e);
		assert_int_equal(e.found[0].cause, id);
	}
	explain_text(SPAN_LIT("the weather is fine today"), &e);
	assert_int_equal(e.count, 0);
	explain_text(SPAN_LIT(""), &e);
	assert_int_equal(e.count, 0);
	/* addresses and ports are no codes */
	explain_text(SPAN_LIT("connected to 5.7.1.25 port 587 and port 465"), &e);
	assert_int_equal(e.code, 0);
	assert_string_equal(e.enhanced, "");
}

/* what we say ourselves is known for certain, in every form, also when only the last line is shown */
static void test_own_replies(void **state)
{
	const struct cause_facts facts = {.rcpt = SPAN_LIT("bob@example.org"),
					  .command = SPAN_LIT("DATA"),
					  .detail = SPAN_LIT("no @ in it"),
					  .limit = SPAN_LIT("25 MiB"),
					  .sender = SPAN_LIT("a@b.example"),
					  .missing = SPAN_LIT("MAIL FROM"),
					  .retry = SPAN_LIT("30 s")};

	(void)state;
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		const struct cause *c = cause_get((enum cause_id)id);
		int shown = c->shown_as ? (int)c->shown_as : id;

		for (int form = 0; form < CAUSE_FORM_COUNT; form++) {
			struct explanation e;
			struct buf out;

			if (!c->forms[form].text)
				continue;
			buf_init(&out, 8192);
			if (form == CAUSE_POP3)
				cause_write_pop3(&out, (enum cause_id)id, &facts, SPAN_LIT("8Q2K4M1T"));
			else
				cause_write_smtp(&out, (enum cause_id)id, (enum cause_form)form, &facts, SPAN_LIT("8Q2K4M1T"), NULL, 0);
			explain_text(buf_span(&out), &e);
			if (!e.count || (int)e.found[0].cause != shown || !e.own)
				show(buf_cstr(&out), &e);
			assert_true(e.own && e.count == 1);
			assert_int_equal(e.found[0].cause, shown);
			assert_true(e.found[0].confidence > 0.95);
			buf_clear(&out);
		}
	}
}

/* a refusal that names whose rule it was is ours all the same */
static void test_own_reply_with_rule(void **state)
{
	static const struct {
		const char *text, *slug;
		bool own;
	} cases[] = {
		{"550 5.1.1 There is no mailbox x@example.org here: check the address for a typing error (rcpt-unknown; rule: example.org; "
		 "ref 8Q2K4M1T)",
		 "rcpt-unknown", true},
		{"550 5.1.1 There is no mailbox x@example.org here: check the address for a typing error (rcpt-unknown; rule: server)",
		 "rcpt-unknown", true},
		{"503 5.5.1 No recipient was accepted: x (rcpt-none-accepted: spam-content, rcpt-unknown; rule: server; ref 8Q2K)",
		 "spam-content", true},
		{"550 5.1.1 There is no mailbox x@example.org here: check the address for a typing error (rcpt-unknown; rule: a; rule: b; "
		 "ref 8Q2K)",
		 "rcpt-unknown", false},
		{"550 5.1.1 There is no mailbox x@example.org here: check the address for a typing error (rcpt-unknown; because: a; ref "
		 "8Q2K)",
		 "rcpt-unknown", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct explanation e;

		explain_text(span_str(cases[i].text), &e);
		if (e.own != cases[i].own || !e.count || strcmp(cause_slug(e.found[0].cause), cases[i].slug) != 0)
			show(cases[i].text, &e);
		assert_int_equal(e.own, cases[i].own);
		assert_string_equal(cause_slug(e.found[0].cause), cases[i].slug);
	}
}

/* another server may quote our names to mislead */
static void test_quoted_slugs(void **state)
{
	struct explanation e;

	(void)state;
	explain_text(SPAN_LIT("554 5.7.1 <a@example.org>: Relay access denied (rcpt-unknown; ref 8Q2K)"), &e);
	assert_false(e.own);
	assert_string_equal(cause_slug(e.found[0].cause), "relay-denied-unauth");
	/* the code is not ours */
	explain_text(SPAN_LIT("450 4.7.1 Sign in first: switch on authentication for the outgoing server (auth-required; ref 8Q2K)"), &e);
	assert_false(e.own);
	assert_true(e.found[0].confidence < 0.98);
	/* not at the end */
	explain_text(SPAN_LIT("550 5.1.1 (auth-required; ref 8Q2K) No such user here"), &e);
	assert_false(e.own);
	assert_string_equal(cause_slug(e.found[0].cause), "rcpt-unknown");
	explain_text(SPAN_LIT("550 x (no-such-slug; ref 8Q2K)"), &e);
	assert_false(e.own);
}

/* the reply before the last one is the reason */
static void test_earlier_refusal(void **state)
{
	struct explanation e;

	(void)state;
	explain_text(SPAN_LIT("S: 550 relay not permitted\nC: DATA\nS: 503 valid RCPT command must precede DATA\n"), &e);
	assert_string_equal(cause_slug(e.found[0].cause), "relay-denied-unauth");
	assert_false(e.undecided);
	explain_text(SPAN_LIT("C: HELP authentication required\nS: 502 5.5.1 VRFY command is disabled\n"), &e);
	assert_string_equal(cause_slug(e.found[0].cause), "command-not-enabled");
}

static void test_hostile_input(void **state)
{
	static uint8_t big[EXPLAIN_INPUT_BYTES + 4096];
	struct explanation e;
	struct buf why;

	(void)state;
	memset(big, 'x', sizeof(big));
	memcpy(big + EXPLAIN_INPUT_BYTES + 10, " relay access denied", 20);
	explain_text(span_of(big, sizeof(big)), &e);
	assert_true(e.cut);
	assert_int_equal(e.count, 0);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 131 + i / 7);
	explain_text(span_of(big, sizeof(big)), &e);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t) "550-5.7.1 ("[i % 11];
	explain_text(span_of(big, sizeof(big)), &e);
	/* what is printed comes from the catalogue, never from the text */
	explain_text(SPAN_LIT("550 5.7.1 \033[2J relay access denied \007 (rcpt-unknown; ref \033[31m)"), &e);
	buf_init(&why, 1024);
	for (size_t i = 0; i < e.count; i++)
		explain_why(&why, &e.found[i]);
	for (size_t i = 0; i < why.len; i++)
		assert_true(why.ptr[i] >= ' ' && why.ptr[i] < 0x7f);
	/* a code counts as far as the text has it */
	buf_reset(&why);
	explain_text(SPAN_LIT("550 Relay access denied"), &e);
	explain_why(&why, &e.found[0]);
	assert_true(span_find_span(buf_span(&why), SPAN_LIT("the code 550")) < why.len);
	assert_true(span_find_span(buf_span(&why), SPAN_LIT("5.7.1")) == why.len);
	buf_reset(&why);
	explain_text(SPAN_LIT("550 5.7.1 Relay access denied"), &e);
	explain_why(&why, &e.found[0]);
	assert_true(span_find_span(buf_span(&why), SPAN_LIT("the code 550 5.7.1")) < why.len);
	buf_clear(&why);
	/* every cut of a reply is taken without harm */
	for (size_t i = 0; i <= 48; i++)
		explain_text(span_of("550 5.7.1 Sign in first: x (relay-denied; ref 1)", i), &e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_lines),	    cmocka_unit_test(test_codes_and_slugs), cmocka_unit_test(test_own_replies),
		cmocka_unit_test(test_own_reply_with_rule), cmocka_unit_test(test_quoted_slugs),    cmocka_unit_test(test_earlier_refusal),
		cmocka_unit_test(test_hostile_input),	    cmocka_unit_test(test_frames),	    cmocka_unit_test(test_doubts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
