#include "store/store_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fixture.h"

/* ---- scripts */

static void a_script_is_kept_as_it_came(void **state)
{
	static const char text[] = "require [\"reject\"];\r\n# \xc3\xa4\nif true {\n\treject \"no\";\n}\n";
	struct fixture *f = *state;
	struct span script;
	int64_t changed;

	assert_rc(RC_NONE, store_filter_get(f->s, S("anna@example.org"), &f->mem, &script, &changed, &f->err));
	assert_rc(RC_OK, store_filter_set(f->s, S("Anna@Example.org"), S(text), 1, NOW_MS, &f->err));
	assert_rc(RC_OK, store_filter_get(f->s, S("anna@example.org"), &f->mem, &script, &changed, &f->err));
	assert_true(span_eq(S(text), script));
	assert_int_equal(NOW_MS, changed);
	assert_rc(RC_NONE, store_filter_get(f->s, S("bert@example.org"), &f->mem, &script, &changed, &f->err));
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S("keep;"), 0, NOW_MS + 1, &f->err));
	assert_rc(RC_OK, store_filter_get(f->s, S("anna@example.org"), &f->mem, &script, &changed, &f->err));
	assert_true(span_eq(S("keep;"), script));
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S(""), 0, NOW_MS, &f->err));
	assert_rc(RC_NONE, store_filter_get(f->s, S("anna@example.org"), &f->mem, &script, &changed, &f->err));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM filter"));
}

static void a_script_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum rc rc;
	} cases[] = {{"keep;\0", 6, RC_BAD}, {"keep;\x1b[2J", 9, RC_BAD}, {"\xff", 1, RC_BAD}, {"\x7f", 1, RC_BAD}};
	struct fixture *f = *state;
	char *big = mem_zalloc(STORE_FILTER_BYTES + 2);
	struct span script;
	int64_t changed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_rc(cases[i].rc, store_filter_set(f->s, S("anna@example.org"), span_of(cases[i].text, cases[i].len), 0, NOW_MS, &f->err));
	memset(big, '#', STORE_FILTER_BYTES + 1);
	assert_rc(RC_LIMIT, store_filter_set(f->s, S("anna@example.org"), S(big), 0, NOW_MS, &f->err));
	assert_rc(RC_NONE, store_filter_set(f->s, S("nobody@example.org"), S("keep;"), 0, NOW_MS, &f->err));
	assert_rc(RC_NONE, store_filter_get(f->s, S("anna@example.org"), &f->mem, &script, &changed, &f->err));
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), span_head(S(big), STORE_FILTER_BYTES), 0, NOW_MS, &f->err));
	free(big);
}

/* ---- behind a recipient */

static uint64_t tag_of(struct fixture *f, const char *address)
{
	struct store_resolved r = {0};

	assert_rc(RC_OK, store_resolve(f->s, S(address), 0, &f->mem, &r, &f->err));
	assert_int_equal(CAUSE_NONE, r.cause);
	return r.tag;
}

static uint32_t needs_of(struct fixture *f, const char *address)
{
	uint32_t needs = 99;

	assert_rc(RC_OK, store_filter_needs(f->s, tag_of(f, address), &needs, &f->err));
	return needs;
}

struct seen {
	size_t count;
	char text[400];
};

static enum rc see(void *arg, int64_t account, struct span address, struct span script)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	assert_true(account > 0);
	(void)snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s=%.*s ", SPAN_FMT(address), SPAN_FMT(script));
	seen->count++;
	return RC_OK;
}

static uint32_t each_of(struct fixture *f, const char *address, struct seen *seen)
{
	uint32_t others = 99;

	*seen = (struct seen){.count = 0};
	assert_rc(RC_OK, store_filter_each(f->s, tag_of(f, address), see, seen, &others, &f->err));
	return others;
}

static void a_recipient_leads_to_filters(void **state)
{
	struct fixture *f = *state;
	struct seen seen;

	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("out@foreign.example"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("info@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("carl@example.org"), &f->err));
	assert_int_equal(0, needs_of(f, "anna@example.org"));
	assert_int_equal(0, needs_of(f, "team@example.org"));
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S("discard;"), 0, NOW_MS, &f->err));
	assert_rc(RC_OK, store_filter_set(f->s, S("carl@example.org"), S("keep;"), 6, NOW_MS, &f->err));
	assert_int_equal(STORE_FILTER_PRESENT, needs_of(f, "anna@example.org")); /* it needs nothing, but has to run */
	assert_int_equal(STORE_FILTER_PRESENT, needs_of(f, "Anna+list@example.org"));
	assert_int_equal(STORE_FILTER_PRESENT, needs_of(f, "team@example.org"));
	assert_int_equal(STORE_FILTER_PRESENT | 6, needs_of(f, "both@example.org"));
	assert_int_equal(0, needs_of(f, "bert@example.org"));
	assert_int_equal(0, needs_of(f, "x@foreign.example"));

	assert_int_equal(0, each_of(f, "anna@example.org", &seen));
	assert_string_equal("anna@example.org=discard; ", seen.text);
	assert_int_equal(1, each_of(f, "bert@example.org", &seen));
	assert_int_equal(0, seen.count);
	assert_int_equal(2, each_of(f, "team@example.org", &seen)); /* bert, and somebody elsewhere */
	assert_string_equal("anna@example.org=discard; ", seen.text);
	assert_int_equal(0, each_of(f, "info@example.org", &seen));
	assert_int_equal(1, seen.count);
	assert_int_equal(0, each_of(f, "both@example.org", &seen));
	assert_int_equal(2, seen.count);
	assert_rc(RC_OK, store_account_enable(f->s, S("carl@example.org"), false, &f->err));
	assert_int_equal(0, each_of(f, "both@example.org", &seen)); /* who takes no mail has no say */
	assert_int_equal(1, seen.count);
}

static void a_damaged_script_is_told_as_empty(void **state)
{
	struct fixture *f = *state;
	struct seen seen;

	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S("discard;"), 0, NOW_MS, &f->err));
	(void)fixture_sql(f, "UPDATE filter SET script = x'00ff'");
	assert_int_equal(0, each_of(f, "anna@example.org", &seen));
	assert_string_equal("= ", seen.text);
	assert_int_equal(STORE_FILTER_PRESENT, needs_of(f, "anna@example.org"));
}

static void filter_and_folders_go_with_the_account(void **state)
{
	struct store_filed filed = {.how = STORE_FILED_FOLDER, .folder = S("Work")};
	struct fixture *f = *state;

	filed.account = fixture_get(f, "anna@example.org").id;
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S("keep;"), 0, NOW_MS, &f->err));
	for (int i = 0; i < 3; i++)
		assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = i ? 1 : 0}).cause);
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM mailbox_item"));
	assert_rc(RC_OK, store_account_remove(f->s, S("anna@example.org"), &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, fixture_sql(f, "SELECT (SELECT COUNT(*) FROM filter) + (SELECT COUNT(*) FROM folder) + (SELECT COUNT(*) FROM mailbox_item) + "
		"(SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM account WHERE state = 2)"));
}

/* ---- filing */

struct listed {
	char text[800];
};

static enum rc list_folder(void *arg, const struct store_folder *folder)
{
	struct listed *l = arg;
	size_t len = strlen(l->text);

	(void)snprintf(l->text + len, sizeof(l->text) - len, "%.*s:%lld ", SPAN_FMT(folder->name), (long long)folder->messages);
	return RC_OK;
}

static enum rc list_item(void *arg, const struct store_mail_item *item)
{
	struct listed *l = arg;
	size_t len = strlen(l->text);

	assert_int_equal(NOW_MS, item->received_ms);
	assert_true(span_eq(S("sender@elsewhere.example"), item->sender));
	(void)snprintf(l->text + len, sizeof(l->text) - len, "%lld:%.*s[%.*s] ", (long long)item->uid, SPAN_FMT(item->folder_name), SPAN_FMT(item->flags));
	return RC_OK;
}

static const char *folders(struct fixture *f, const char *account)
{
	static struct listed l;

	l.text[0] = '\0';
	assert_rc(RC_OK, store_folder_each(f->s, S(account), list_folder, &l, &f->err));
	return l.text;
}

static const char *mail(struct fixture *f, const char *account, const char *folder)
{
	static struct listed l;

	l.text[0] = '\0';
	assert_rc(RC_OK, store_mail_each(f->s, S(account), S(folder), list_item, &l, &f->err));
	return l.text;
}

static void copies_go_where_the_filter_says(void **state)
{
	static const char want[] = "Return-Path: <sender@elsewhere.example>\r\nDelivered-To: anna@example.org\r\nX-Mark: a\r\nReceived: by test\r\n"
		"Subject: test\r\n\r\nHello.\r\n";
	struct fixture *f = *state;
	struct store_item items[4];
	struct store_filed filed[5] = {{.how = STORE_FILED_FOLDER, .folder = S("Work/\xc3\x84"), .flags = S("\\Seen work"), .added = S("X-Mark: a\r\n")},
		{.how = STORE_FILED_INBOX, .flags = S("\\Flagged")}, {.how = STORE_FILED_FOLDER, .folder = S("Other")}, {.how = STORE_FILED_NOWHERE},
		{.account = 999, .how = STORE_FILED_NOWHERE}};
	struct fixture_result r;

	for (int i = 0; i < 3; i++)
		filed[i].account = fixture_get(f, "anna@example.org").id;
	filed[3].account = fixture_get(f, "bert@example.org").id;
	r = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org", "bert@example.org", "carl@example.org"}, .filed = filed, .filed_count = 5});
	assert_true(r.rc == RC_OK && r.cause == CAUSE_NONE && !r.repeat);
	assert_string_equal("Other:1 Work/\xc3\x84:1 ", folders(f, "anna@example.org"));
	assert_string_equal("1:Work/\xc3\x84[\\Seen work] 2:[\\Flagged] 3:Other[] ", mail(f, "anna@example.org", "*"));
	assert_string_equal("2:[\\Flagged] ", mail(f, "anna@example.org", ""));
	assert_string_equal("3:Other[] ", mail(f, "anna@example.org", "Other"));
	assert_string_equal("", mail(f, "anna@example.org", "other"));
	assert_int_equal(1, fixture_items(f, "anna@example.org", items, 4)); /* what POP3 shows */
	assert_int_equal(2, items[0].uid);
	assert_true(span_eq(S(want), fixture_read(f, "anna@example.org", 1, 7)));
	assert_int_equal(3, fixture_get(f, "anna@example.org").messages);
	assert_int_equal(strlen(want) * 3 - 2 * strlen("X-Mark: a\r\n"), fixture_get(f, "anna@example.org").used_bytes);
	assert_string_equal("", mail(f, "bert@example.org", "*"));
	assert_string_equal("1:[] ", mail(f, "carl@example.org", "*")); /* no filter */
	assert_int_equal(4, fixture_sql(f, "SELECT holders FROM message"));
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM content"));

	r = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = filed, .filed_count = 5});
	assert_int_equal(CAUSE_NONE, r.cause);
	assert_string_equal("Other:2 Work/\xc3\x84:2 ", folders(f, "anna@example.org")); /* the same folders */
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, (int64_t[]){1, 3}, 2, &f->err));
	assert_string_equal("Other:1 Work/\xc3\x84:1 ", folders(f, "anna@example.org"));
	assert_int_equal(2, fixture_sql(f, "SELECT holders FROM message WHERE id = 1"));
}

static void what_nobody_wants_is_not_written(void **state)
{
	struct store_filed filed = {.how = STORE_FILED_NOWHERE};
	struct fixture *f = *state;
	struct fixture_result first, second;
	uint64_t spool = 0;
	int fd = -1;

	filed.account = fixture_get(f, "anna@example.org").id;
	first = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1, .message_id = "<1@x>",
		.digest = "0123456789abcdef0123456789abcdef"});
	assert_true(first.rc == RC_OK && first.cause == CAUSE_NONE && first.id > 0);
	assert_int_equal(0, fixture_sql(f, "SELECT (SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM content) + (SELECT COUNT(*) FROM mailbox_item)"));
	second = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .message_id = "<1@x>", .digest = "0123456789abcdef0123456789abcdef"});
	assert_true(second.repeat && second.id == first.id); /* it was thrown away, and stays so */
	assert_string_equal("", mail(f, "anna@example.org", "*"));
	assert_rc(RC_OK, store_spool_open(f->s, &spool, &fd, &f->err));
	assert_true(write(fd, "0123456789", 10) == 10);
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1, .spool = spool,
		.spool_bytes = 10}).cause);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM message"));
}

static void a_repeat_makes_no_second_copy(void **state)
{
	struct store_filed filed[2] = {{.how = STORE_FILED_FOLDER, .folder = S("A")}, {.how = STORE_FILED_FOLDER, .folder = S("B")}};
	struct fixture *f = *state;

	filed[0].account = filed[1].account = fixture_get(f, "anna@example.org").id;
	for (int i = 0; i < 3; i++) {
		struct fixture_result r = fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org", i == 2 ? "bert@example.org" : NULL}, .filed = filed,
			.filed_count = 2, .message_id = "<1@x>", .digest = "0123456789abcdef0123456789abcdef"});

		assert_int_equal(CAUSE_NONE, r.cause);
		assert_true(r.repeat == (i == 1));
		assert_string_equal("A:1 B:1 ", folders(f, "anna@example.org"));
	}
	assert_string_equal("1:[] ", mail(f, "bert@example.org", "*"));
}

static void every_copy_counts_for_the_quota(void **state)
{
	struct store_filed filed[3] = {{.how = STORE_FILED_FOLDER, .folder = S("A")}, {.how = STORE_FILED_FOLDER, .folder = S("B")}, {.how = STORE_FILED_INBOX}};
	struct fixture *f = *state;
	int64_t one;

	for (int i = 0; i < 3; i++)
		filed[i].account = fixture_get(f, "anna@example.org").id;
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"bert@example.org"}}).cause);
	one = fixture_get(f, "bert@example.org").used_bytes;
	assert_rc(RC_OK, store_account_quota(f->s, S("anna@example.org"), 3 * one, &f->err));
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = filed, .filed_count = 3}).cause);
	assert_int_equal(3 * one, fixture_get(f, "anna@example.org").used_bytes);
	assert_int_equal(CAUSE_RCPT_MAILBOX_FULL, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = filed, .filed_count = 3}).cause);
	store_rollback(f->s);
}

static void past_the_last_folder_is_the_inbox(void **state)
{
	struct fixture *f = *state;
	struct store_filed filed = {.how = STORE_FILED_FOLDER};
	char sql[200], name[LIMIT_FOLDER_BYTES + 1];
	long long anna = (long long)fixture_get(f, "anna@example.org").id;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	filed.account = anna;
	filed.folder = S(name);
	(void)snprintf(sql, sizeof(sql), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
		"INSERT INTO folder SELECT %lld, i, 'f' || i FROM n", STORE_FOLDERS_MAX - 1, anna);
	(void)fixture_sql(f, sql);
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1}).cause);
	filed.folder = S("one too many");
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1}).cause);
	filed.folder = S("f7");
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1}).cause);
	assert_string_equal("2:[] ", mail(f, "anna@example.org", ""));
	assert_string_equal("3:f7[] ", mail(f, "anna@example.org", "f7"));
	assert_true(strncmp("1:xxx", mail(f, "anna@example.org", name), 5) == 0);
}

static void what_a_worker_must_not_say(void **state)
{
	static const char long_line[] = "X: ";
	struct fixture *f = *state;
	char added[STORE_FILTER_BYTES], folder[LIMIT_FOLDER_BYTES + 2], flags[600];
	const struct {
		enum store_filed_how how;
		const char *folder, *flags, *added;
	} bad[] = {
		{(enum store_filed_how)4, "", "", ""}, {STORE_FILED_FOLDER, "", "", ""}, {STORE_FILED_FOLDER, "a\nb", "", ""}, {STORE_FILED_FOLDER, "\xff", "", ""},
		{STORE_FILED_FOLDER, folder, "", ""}, {STORE_FILED_INBOX, "", "a\rb", ""}, {STORE_FILED_INBOX, "", flags, ""},
		{STORE_FILED_INBOX, "", "", "X: a"}, {STORE_FILED_INBOX, "", "", "X: a\r\n\r\n"}, {STORE_FILED_INBOX, "", "", "\r\n"},
		{STORE_FILED_INBOX, "", "", "no colon\r\n"}, {STORE_FILED_INBOX, "", "", " X: folded\r\n"}, {STORE_FILED_INBOX, "", "", "X y: a\r\n"},
		{STORE_FILED_INBOX, "", "", "X: a\n\r\n"}, {STORE_FILED_INBOX, "", "", "X: a\rb\r\n"}, {STORE_FILED_INBOX, "", "", ": a\r\n"},
		{STORE_FILED_INBOX, "", "", "X: \xff\r\n"}, {STORE_FILED_INBOX, "", "", "\xc3\xa4: a\r\n"}, {STORE_FILED_INBOX, "", "", added},
	};

	memset(folder, 'x', sizeof(folder) - 1);
	folder[sizeof(folder) - 1] = '\0';
	memset(flags, 'x', sizeof(flags) - 1);
	flags[sizeof(flags) - 1] = '\0';
	memset(added, 'x', 1200);
	memcpy(added, long_line, 3);
	memcpy(added + 1200, "\r\n", 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct store_filed filed = {.account = fixture_get(f, "anna@example.org").id, .how = bad[i].how, .folder = S(bad[i].folder), .flags = S(bad[i].flags),
			.added = S(bad[i].added)};

		if (fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = 1}).rc != RC_BAD)
			fail_msg("case %zu was taken", i);
		store_rollback(f->s);
	}
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM mailbox_item"));
}

static void a_long_mailbox_is_listed_whole(void **state)
{
	struct store_filed filed = {.how = STORE_FILED_FOLDER, .folder = S("A")};
	struct fixture *f = *state;
	size_t count = 0;
	const char *text;

	filed.account = fixture_get(f, "anna@example.org").id;
	for (int i = 0; i < 450; i++)
		assert_int_equal(CAUSE_NONE, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .filed = &filed, .filed_count = i % 10 == 0}).cause);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_string_equal("A:45 ", folders(f, "anna@example.org"));
	text = mail(f, "anna@example.org", "A");
	for (const char *p = text; (p = strstr(p, ":A[] ")) != NULL; p++)
		count++;
	assert_int_equal(45, count);
	assert_rc(RC_NONE, store_mail_each(f->s, S("nobody@example.org"), S("*"), list_item, NULL, &f->err));
	assert_rc(RC_NONE, store_folder_each(f->s, S("nobody@example.org"), list_folder, NULL, &f->err));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_script_is_kept_as_it_came), T(a_script_that_is_none_is_refused), T(a_recipient_leads_to_filters), T(a_damaged_script_is_told_as_empty),
		T(filter_and_folders_go_with_the_account), T(copies_go_where_the_filter_says), T(what_nobody_wants_is_not_written), T(a_repeat_makes_no_second_copy),
		T(every_copy_counts_for_the_quota), T(past_the_last_folder_is_the_inbox), T(what_a_worker_must_not_say), T(a_long_mailbox_is_listed_whole),
	};

	return cmocka_run_group_tests_name("store-filter", tests, NULL, NULL);
}
