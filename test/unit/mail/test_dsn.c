#include "mail/dsn.h"
#include "test_mail.h"

static const struct dsn_rcpt carol = {.action = DSN_FAILED, .address = SPAN_LIT("carol@example.net"), .orcpt = SPAN_LIT("rfc822;Carol+2BX@example.net"), .status = SPAN_LIT("5.1.1"),
	.host = SPAN_LIT("mx.example.net"), .ip = SPAN_LIT("192.0.2.1"), .words = SPAN_LIT("550 5.1.1 no such user"), .remote_said = true, .last_try_ms = 1700000100000, .attempts = 1,
	.slug = "rcpt-unknown", .meaning = "There is no such mailbox.", .likely = "a typing error",
	.steps = {{DSN_SENDER, "Check the address."}, {DSN_THERE, "Add the mailbox."}}};

struct written {
	struct buf head, body;
	bool is_8bit;
};

static void write_dsn(struct written *w, const struct dsn *d)
{
	buf_init(&w->head, 64 << 10);
	buf_init(&w->body, DSN_OUT_BYTES);
	dsn_write(d, &w->head, &w->body, &w->is_8bit);
	assert_false(w->head.overflow || w->body.overflow);
}

static void written_clear(struct written *w)
{
	buf_clear(&w->head);
	buf_clear(&w->body);
}

static struct dsn basic(const struct dsn_rcpt *rcpts, size_t count)
{
	return (struct dsn){.hostname = SPAN_LIT("mail.example.org"), .from = SPAN_LIT("postmaster@mail.example.org"), .to = SPAN_LIT("alice@example.org"), .envid = SPAN_LIT("a b=1"),
		.queue_id = SPAN_LIT("1K"), .head = SPAN_LIT("Subject: hello\r\nMessage-ID: <1@example.org>\r\nDate: today\r\n\r\n"), .arrived_ms = 1700000000000, .now_ms = 1700000200000,
		.unique = 42, .rcpts = rcpts, .rcpt_count = count};
}

#define HAS(buffer, text) assert_non_null(strstr(buf_cstr(&(buffer)), text))
#define HAS_NOT(buffer, text) assert_null(strstr(buf_cstr(&(buffer)), text))

static void test_failed(void **state)
{
	struct dsn d = basic(&carol, 1);
	struct written w;

	(void)state;
	write_dsn(&w, &d);
	HAS(w.head, "From: Mail server at mail.example.org <postmaster@mail.example.org>\r\nTo: <alice@example.org>\r\nSubject: Not delivered: hello\r\n");
	HAS(w.head, "Auto-Submitted: auto-replied\r\n");
	HAS(w.head, "References: <1@example.org>\r\n");
	HAS(w.head, "report-type=delivery-status");
	HAS(w.body, "\r\n\r\nYour message \"hello\" was not delivered to carol@example.net, and will not be\r\ntried again.\r\n\r\n"
		    "  Why: There is no such mailbox.\r\n"
		    "  Usual reason: a typing error.\r\n"
		    "  What you can do: Check the address.\r\n"
		    "  What the people who run the recipient's mail server can do: Add the\r\n  mailbox.\r\n\r\n"
		    "  Answer of the mail server mx.example.net:\r\n"
		    "    550 5.1.1 no such user\r\n\r\n"
		    "The message was:\r\n\r\n  Subject: hello\r\n  Date: today\r\n\r\n"
		    "The mail server mail.example.org wrote this report. Its administrator sees\r\neach attempt with: mailroom why 1K\r\n");
	HAS(w.body, "Reporting-MTA: dns; mail.example.org\r\n");
	HAS(w.body, "Original-Envelope-Id: a b=1\r\n");
	HAS(w.body, "\r\n\r\nOriginal-Recipient: rfc822; Carol+X@example.net\r\nFinal-Recipient: rfc822; carol@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		    "Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\nX-Mailroom-Cause: rcpt-unknown\r\n");
	HAS(w.body, "Content-Type: text/rfc822-headers\r\n\r\nSubject: hello\r\n");
	assert_false(w.is_8bit);
	written_clear(&w);
}

static void test_delayed(void **state)
{
	struct dsn_rcpt late = carol;
	struct dsn d = basic(&late, 1);
	struct written w;

	(void)state;
	late.action = DSN_DELAYED;
	late.given_up_ms = 1700400000000;
	late.remote_said = false;
	late.words = SPAN_LIT("connection refused");
	late.status = SPAN_NONE;
	write_dsn(&w, &d);
	HAS(w.head, "Subject: Delayed, still trying: hello\r\n");
	HAS(w.body, "Your message \"hello\" has not reached carol@example.net yet.");
	HAS(w.body, "  It will be tried until Sun, 19 Nov 2023 13:20:00 +0000. If it has not been\r\n  delivered by then, you get another report.\r\n");
	HAS(w.body, "  In technical words, at mx.example.net:\r\n    connection refused\r\n");
	HAS_NOT(w.body, "will not be tried again");
	HAS(w.body, "Action: delayed\r\nStatus: 4.0.0\r\nDiagnostic-Code: x-mailroom; connection refused\r\n");
	HAS(w.body, "Will-Retry-Until: Sun, 19 Nov 2023 13:20:00 +0000\r\n");
	HAS_NOT(w.body, "Remote-MTA");
	written_clear(&w);
}

/* whatever a remote says stays inside its line; the report has no bare CR, LF or NUL and no long line of its own making */
static void test_hostile(void **state)
{
	struct dsn_rcpt evil = carol;
	struct dsn d = basic(&evil, 1);
	char words[900];
	struct written w;

	(void)state;
	for (size_t i = 0; i < sizeof(words); i++)
		words[i] = i % 7 == 0 ? '\n' : i % 11 == 0 ? '\r' : i % 13 == 0 ? '\0' : i % 5 == 0 ? (char)0xc3 : 'x';
	memcpy(words, "550 \r\nBcc: eve@example.com\r\n\r\n--report", 38);
	evil.words = span_of(words, sizeof(words));
	evil.host = SPAN_LIT("a\r\nb\x1b[31m");
	evil.orcpt = SPAN_LIT("rfc822;x+0D+0Ay");
	evil.status = SPAN_LIT("5.\r\n");
	d.head = SPAN_LIT("Subject: a\r\n\tb\r\nX: \xff\r\n\r\n");
	d.envid = SPAN_LIT("\r\n");
	write_dsn(&w, &d);
	for (size_t i = 0; i < w.body.len; i++) {
		uint8_t c = w.body.ptr[i];

		assert_true(c != 0 && c != 0x1b);
		assert_true(c != '\r' || (i + 1 < w.body.len && w.body.ptr[i + 1] == '\n'));
		assert_true(c != '\n' || (i > 0 && w.body.ptr[i - 1] == '\r'));
	}
	HAS_NOT(w.body, "\nBcc:");
	HAS(w.head, "Subject: Not delivered\r\n"); /* that of the original is more than one line */
	assert_true(w.is_8bit);
	HAS(w.head, "Content-Transfer-Encoding: 8bit\r\n");
	written_clear(&w);
}

/* who cannot be reached for the same reason stands together; each is read by programs */
static void test_many(void **state)
{
	struct dsn_rcpt all[DSN_RCPTS_IN_WORDS + 10];
	struct dsn d = basic(all, DSN_RCPTS_IN_WORDS + 10);
	char names[DSN_RCPTS_IN_WORDS + 10][64];
	size_t whys = 0;
	struct written w;

	(void)state;
	for (size_t i = 0; i < d.rcpt_count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "rcpt%03zu@example.net", i);
		all[i] = carol;
		all[i].address = span_str(names[i]);
	}
	all[1].slug = "rcpt-mailbox-full";
	all[1].meaning = "The mailbox is full.";
	all[2].slug = all[3].slug = all[2].meaning = all[3].meaning = ""; /* nobody knows: each with what its server said */
	all[3].expired = true;
	write_dsn(&w, &d);
	HAS(w.body, "was not delivered to these 510 recipients, and will");
	HAS(w.body, "\r\n\r\n  rcpt000@example.net\r\n  rcpt004@example.net\r\n  rcpt005@example.net\r\n");
	HAS(w.body, "  and 7 more, named in the second part of this report\r\n    Why: There is no such mailbox.\r\n");
	HAS(w.body, "\r\n\r\n  rcpt002@example.net\r\n    Why: The recipient's mail server refused the message. What it said\r\n    stands below.\r\n");
	HAS(w.body, "Why: It was tried again and again for 3 minutes, and has been given up.\r\n");
	for (const char *at = buf_cstr(&w.body); (at = strstr(at, " Why: ")) != NULL; at++)
		whys++;
	assert_int_equal(whys, 4);
	for (size_t i = 0; i < d.rcpt_count; i++) {
		char field[128];

		(void)snprintf(field, sizeof(field), "Final-Recipient: rfc822; %.63s\r\n", names[i]);
		HAS(w.body, field);
	}
	written_clear(&w);
}

static void test_whole(void **state)
{
	struct dsn d = basic(&carol, 1);
	struct written w;

	(void)state;
	d.text = SPAN_LIT("Subject: hello\r\n\r\nthe text\r\n");
	write_dsn(&w, &d);
	HAS(w.body, "Content-Type: message/rfc822\r\n\r\nSubject: hello\r\n\r\nthe text\r\n");
	written_clear(&w);
}

static void test_utf8(void **state)
{
	struct dsn_rcpt r = carol;
	struct dsn d = basic(&r, 1);
	struct written w;

	(void)state;
	r.address = SPAN_LIT("j\xc3\xb6rg@example.net");
	d.utf8 = true;
	write_dsn(&w, &d);
	HAS(w.head, "report-type=global-delivery-status");
	HAS(w.body, "Final-Recipient: utf-8; j\xc3\xb6rg@example.net\r\n");
	HAS(w.body, "Content-Type: text/plain; charset=utf-8\r\n");
	assert_true(w.is_8bit);
	written_clear(&w);
}

int test_dsn(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_failed), cmocka_unit_test(test_delayed), cmocka_unit_test(test_hostile), cmocka_unit_test(test_many),
		cmocka_unit_test(test_whole), cmocka_unit_test(test_utf8)};

	return cmocka_run_group_tests_name("dsn", tests, NULL, NULL);
}
