#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "fixture.h"

static void mail_reads_back_as_it_came(void **state)
{
	static const size_t pieces[] = {1, 2, 3, 7, 50, 99, 100, 101, 1000, 1 << 20};
	static const char want[] = "Return-Path: <sender@elsewhere.example>\r\nDelivered-To: anna@example.org\r\nReceived: by test\r\nSubject: test\r\n\r\nHello.\r\n";
	struct fixture *f = *state;
	struct fixture_result r = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"Anna+tag@example.org"}});
	struct store_item item;
	struct buf out;
	bool last = false;

	assert_true(r.rc == RC_OK && r.cause == CAUSE_NONE && r.id == 1 && !r.repeat);
	assert_int_equal(1, fixture_items(f, "anna@example.org", &item, 1));
	assert_int_equal(1, item.uid);
	assert_int_equal(strlen(want), item.bytes);
	assert_int_equal(strlen(want), fixture_get(f, "anna@example.org").used_bytes);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		assert_true(span_eq(S(want), fixture_read(f, "anna@example.org", 1, pieces[i])));
	buf_init(&out, 1000);
	assert_rc(RC_OK, store_mail_read(f->s, fixture_get(f, "anna@example.org").id, 1, 100000, 10, &out, &last, &f->err));
	assert_true(last && out.len == 0);
	assert_rc(RC_NONE, store_mail_read(f->s, fixture_get(f, "anna@example.org").id, 2, 0, 10, &out, &last, &f->err));
	assert_rc(RC_NONE, store_mail_read(f->s, fixture_get(f, "bert@example.org").id, 1, 0, 10, &out, &last, &f->err)); /* not his */
	buf_clear(&out);
}

static void nothing_stays_without_a_commit(void **state)
{
	struct fixture *f = *state;
	struct store_item item;

	assert_int_equal(RC_OK, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	store_rollback(f->s);
	assert_int_equal(0, fixture_items(f, "anna@example.org", &item, 1));
	assert_int_equal(0, fixture_get(f, "anna@example.org").used_bytes);
	assert_int_equal(RC_OK, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	fixture_reopen(f, STORE_SERVE); /* closed without a commit */
	assert_int_equal(0, fixture_items(f, "anna@example.org", &item, 1));
	assert_int_equal(1, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).id);
}

static void one_copy_for_many(void **state)
{
	struct fixture *f = *state;
	struct fixture_result r;
	struct store_item item;

	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("carl@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("Out@foreign.example"), &f->err));
	r = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org", "bert@example.org", "team@example.org", "anna+x@example.org",
		"out@foreign.example", "Other@foreign.example"}});
	assert_true(r.rc == RC_OK && r.cause == CAUSE_NONE);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM content"));
	assert_int_equal(5, fixture_sql(f, "SELECT holders FROM message"));
	assert_int_equal(1, fixture_items(f, "anna@example.org", &item, 1)); /* once, though three ways lead there */
	assert_int_equal(1, fixture_items(f, "bert@example.org", &item, 1));
	assert_int_equal(1, fixture_items(f, "carl@example.org", &item, 1));
	assert_int_equal(2, fixture_queue_count(f));
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE rcpt = 'Other@foreign.example' AND notify = 1 AND orcpt = 'rfc822;x@y'"));
}

static void recipients_that_went_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct store_resolved anna = {0}, bert = {0};
	struct store_rcpt rcpts[2];
	struct store_message m = {.sender = S("s@elsewhere.example"), .head = S("A: b\r\n\r\n"), .rcpts = rcpts, .rcpt_count = 2, .received_ms = NOW_MS};
	enum cause_id cause = CAUSE_NONE;
	bool repeat;
	int64_t id;

	assert_rc(RC_OK, store_resolve(f->s, S("anna@example.org"), 0, &f->mem, &anna, &f->err));
	assert_rc(RC_OK, store_resolve(f->s, S("bert@example.org"), 0, &f->mem, &bert, &f->err));
	rcpts[0] = (struct store_rcpt){.address = S("anna@example.org"), .tag = anna.tag};
	rcpts[1] = (struct store_rcpt){.address = S("bert@example.org"), .tag = bert.tag};
	assert_rc(RC_OK, store_account_remove(f->s, S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(CAUSE_NONE, cause); /* one is left */
	assert_int_equal(1, fixture_get(f, "bert@example.org").messages);
	assert_rc(RC_OK, store_account_enable(f->s, S("bert@example.org"), false, &f->err));
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_int_equal(CAUSE_RCPT_DISABLED, cause);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_int_equal(CAUSE_RCPT_UNKNOWN, cause);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	/* an account of the same name is another one, found by name */
	fixture_account(f, "anna@example.org");
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_int_equal(CAUSE_NONE, cause);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(1, fixture_get(f, "anna@example.org").messages);
}

static void invented_tags_reach_nobody(void **state)
{
	static const uint64_t tags[] = {0, 4, 7, UINT64_MAX, (uint64_t)9999 << 3 | STORE_TAG_ACCOUNT, (uint64_t)9999 << 3 | STORE_TAG_ALIAS};
	struct fixture *f = *state;
	struct store_rcpt rcpt = {.address = S("x@foreign.example")};
	struct store_message m = {.head = S("A: b\r\n\r\n"), .rcpts = &rcpt, .rcpt_count = 1, .received_ms = NOW_MS};
	enum cause_id cause;
	bool repeat;
	int64_t id;

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		rcpt.tag = tags[i];
		cause = CAUSE_NONE;
		assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		assert_int_equal(CAUSE_RCPT_UNKNOWN, cause);
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(0, fixture_queue_count(f));
}

static void quotas_are_counted(void **state)
{
	struct fixture *f = *state;
	struct fixture_mail one = {.rcpts = {"anna@example.org"}}, both = {.rcpts = {"anna@example.org", "bert@example.org"}};
	struct store_item item;
	int64_t bytes, uid = 1;

	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &one).cause);
	bytes = fixture_get(f, "anna@example.org").used_bytes;
	assert_rc(RC_OK, store_account_quota(f->s, S("anna@example.org"), bytes + 1, &f->err));
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &one).cause); /* had a byte left: over by this one message */
	assert_int_equal(2 * bytes, fixture_get(f, "anna@example.org").used_bytes);
	/* full now; the tag is from the alias-free look-up, so ask accept directly */
	{
		struct store_rcpt rcpts[2] = {{.address = S("anna@example.org")}, {.address = S("bert@example.org")}};
		struct store_message m = {.head = S("A: b\r\n\r\n"), .rcpts = rcpts, .rcpt_count = 1, .received_ms = NOW_MS};
		enum cause_id cause = CAUSE_NONE;
		bool repeat;
		int64_t id;

		assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		assert_int_equal(CAUSE_RCPT_MAILBOX_FULL, cause);
		m.rcpt_count = 2;
		assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		assert_int_equal(CAUSE_NONE, cause); /* bert has room: the 250 is for both */
		assert_rc(RC_OK, store_commit(f->s, &f->err));
	}
	assert_int_equal(3, fixture_get(f, "anna@example.org").messages);
	assert_int_equal(1, fixture_get(f, "bert@example.org").messages);
	(void)both;
	/* removal counts down to nothing */
	assert_int_equal(1, fixture_items(f, "anna@example.org", &item, 1));
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err));
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err)); /* again: nothing */
	assert_int_equal(2, fixture_get(f, "anna@example.org").messages);
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, (int64_t[]){2, 3, 4, -1, 0}, 5, &f->err));
	assert_int_equal(0, fixture_get(f, "anna@example.org").messages);
	assert_int_equal(0, fixture_get(f, "anna@example.org").used_bytes);
}

static void repeats_are_known_for_a_day(void **state)
{
	static const char digest[] = "0123456789abcdef0123456789abcdef";
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org", "bert@example.org"}, .message_id = "<1@x>", .digest = digest};
	struct fixture_mail other;
	struct fixture_result first = fixture_deliver(f, &mail), r;
	const int64_t day = 24 * 3600 * 1000;
	int64_t before_anna, before_bert;

	assert_false(first.repeat);
	r = fixture_deliver(f, &mail);
	assert_true(r.repeat && r.id == first.id && r.cause == CAUSE_NONE);
	other = mail;
	other.rcpts[0] = "bert@example.org", other.rcpts[1] = "anna@example.org"; /* another order is the same envelope */
	assert_true(fixture_deliver(f, &other).repeat);
	other = mail, other.received_ms = NOW_MS + day;
	assert_true(fixture_deliver(f, &other).repeat);
	other = mail, other.received_ms = NOW_MS - day; /* the clock was set back */
	assert_true(fixture_deliver(f, &other).repeat);
	other = mail, other.rcpts[1] = NULL; /* fewer recipients: they have got it */
	assert_true(fixture_deliver(f, &other).repeat);
	other = mail, other.client = "192.0.2.99";
	assert_false(fixture_deliver(f, &other).repeat);
	other = mail, other.message_id = "<2@x>";
	assert_false(fixture_deliver(f, &other).repeat);
	other = mail, other.digest = "0123456789abcdef0123456789abcdeX";
	assert_false(fixture_deliver(f, &other).repeat);
	other = mail, other.digest = NULL; /* without a digest nothing is known */
	assert_false(fixture_deliver(f, &other).repeat);
	assert_false(fixture_deliver(f, &other).repeat);
	other = mail, other.received_ms = NOW_MS + day + 1;
	r = fixture_deliver(f, &other);
	assert_true(!r.repeat && r.id != first.id);
	assert_true(fixture_deliver(f, &other).id == r.id); /* and now that one is the first */
	/* somebody was put off the first time: he gets it now, and the others nothing more */
	other = mail, other.message_id = "<4@x>", other.rcpts[1] = NULL;
	first = fixture_deliver(f, &other);
	assert_false(first.repeat);
	before_anna = fixture_get(f, "anna@example.org").messages, before_bert = fixture_get(f, "bert@example.org").messages;
	other.rcpts[1] = "bert@example.org", other.rcpts[2] = "x@far.example";
	assert_false(fixture_deliver(f, &other).repeat);
	assert_int_equal(before_anna, fixture_get(f, "anna@example.org").messages);
	assert_int_equal(before_bert + 1, fixture_get(f, "bert@example.org").messages);
	assert_int_equal(1, fixture_queue_count(f));
	r = fixture_deliver(f, &other);
	assert_true(r.repeat && r.id == first.id);
	assert_int_equal(1, fixture_queue_count(f));
	/* two in one transaction */
	other = mail, other.message_id = "<3@x>";
	first = fixture_accept(f, &other);
	r = fixture_accept(f, &other);
	assert_true(r.repeat && r.id == first.id);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	/* a store that starts anew knows them */
	store_close(&f->s);
	assert_rc(RC_OK, store_open(f->dir, STORE_SERVE, &f->s, &f->err));
	assert_true(fixture_deliver(f, &other).repeat);
	/* what was taken back is new the next time */
	other = mail, other.message_id = "<5@x>";
	assert_false(fixture_accept(f, &other).repeat);
	assert_true(fixture_accept(f, &other).repeat);
	store_rollback(f->s);
	assert_false(fixture_deliver(f, &other).repeat);
	assert_true(fixture_deliver(f, &other).repeat);
	/* forgotten after a day, also those from the future */
	assert_true(fixture_sql(f, "SELECT COUNT(*) FROM repeat_note") > 0);
	fixture_tidy(f, NOW_MS + 3 * day);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM repeat_note"));
	other = mail, other.received_ms = NOW_MS + 10 * day;
	(void)fixture_deliver(f, &other);
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM repeat_note"));
}

static void bad_envelopes_are_refused(void **state)
{
	static const char *const bad[] = {"a\r\nBcc: x@y", "a\001b", "a\x7f", "\xff\xfe", "\xc3"};
	struct fixture *f = *state;
	struct store_rcpt rcpt = {.address = S("anna@example.org")};
	struct store_message m = {.head = S("A: b\r\n\r\n"), .rcpts = &rcpt, .rcpt_count = 1, .received_ms = NOW_MS};
	enum cause_id cause;
	bool repeat;
	int64_t id;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.sender = S(bad[i]);
		assert_rc(RC_BAD, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		m.sender = SPAN_NONE;
		rcpt.address = S(bad[i]);
		assert_rc(RC_BAD, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		rcpt.address = S("anna@example.org");
		m.helo = S(bad[i]); /* said by a client and kept for information only: no reason to refuse mail */
		assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
		m.helo = SPAN_NONE;
	}
	m.rcpt_count = 0;
	assert_rc(RC_BAD, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	m.rcpt_count = 1;
	m.received_ms = -1;
	assert_rc(RC_BAD, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	m.received_ms = NOW_MS;
	m.spool = 77;
	assert_rc(RC_BAD, store_accept(f->s, &m, &id, &repeat, &cause, &f->err)); /* no such spool file */
}

static void a_message_id_may_hold_anything(void **state)
{
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org", "x@foreign.example"}, .message_id = "<\xff\x01'; DROP TABLE message; --@x>"};

	assert_int_equal(RC_OK, fixture_deliver(f, &mail).rc);
	assert_int_equal(1, fixture_queue_count(f));
}

static double accept_seconds(struct fixture *f, uint32_t rcpt_count)
{
	struct store_rcpt *rcpts = mem_array(rcpt_count, sizeof(*rcpts));
	struct store_message m = {.sender = S("s@elsewhere.example"), .head = S("A: b\r\n\r\n"), .rcpts = rcpts, .rcpt_count = rcpt_count, .received_ms = NOW_MS};
	enum cause_id cause = CAUSE_NONE;
	mono_ms from;
	bool repeat;
	int64_t id;

	for (uint32_t i = 0; i < rcpt_count; i++) {
		char address[64];

		(void)snprintf(address, sizeof(address), i % 2 ? "user%u@foreign.example" : "user%u@example.net", i / 2);
		rcpts[i].address = arena_copy(&f->mem, S(address));
		rcpts[i].tag = i % 2 ? STORE_TAG_FOREIGN : 0;
	}
	from = clock_mono_ms();
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(CAUSE_NONE, cause);
	free(rcpts);
	return (double)(clock_mono_ms() - from + 1);
}

static void ten_thousand_recipients_take_linear_time(void **state)
{
	struct fixture *f = *state;
	char address[64];
	double few, many;

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(address, sizeof(address), "user%d@example.net", i);
		fixture_account(f, address);
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	few = accept_seconds(f, 1000);
	many = accept_seconds(f, 10000);
	print_message("1,000 recipients: %.0f ms, 10,000 recipients: %.0f ms\n", few, many);
	assert_true(many < few * 10 * 4 + 200); /* ten times as many; the rest is for noise. Quadratic would be a hundred times */
	assert_int_equal(5000 + 500, fixture_queue_count(f));
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM content"));
	assert_int_equal(2, fixture_get(f, "user0@example.net").messages);
	assert_int_equal(1, fixture_get(f, "user4999@example.net").messages);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest accept_tests[] = {
	T(mail_reads_back_as_it_came), T(nothing_stays_without_a_commit), T(one_copy_for_many), T(recipients_that_went_meanwhile), T(invented_tags_reach_nobody),
	T(quotas_are_counted), T(repeats_are_known_for_a_day), T(bad_envelopes_are_refused), T(a_message_id_may_hold_anything),
	T(ten_thousand_recipients_take_linear_time),
};
const size_t accept_count = sizeof(accept_tests) / sizeof(accept_tests[0]);
