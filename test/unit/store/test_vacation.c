/* who was answered when, and one body in several messages */
#include "fixture.h"

#include <unistd.h>

#include "base/limits.h"
#include "store/store_filter.h"
#include "store/store_vacation.h"

enum { HOUR_MS = 3600 * 1000 };

static bool quiet(struct fixture *f, const char *who, const char *handle, const char *sender, int64_t now_ms)
{
	bool out = false;

	assert_rc(RC_OK, store_vacation_quiet(f->s, fixture_get(f, who).id, S(handle), S(sender), now_ms, &out, &f->err));
	return out;
}

static void put(struct fixture *f, const char *who, const char *handle, const char *sender, int64_t now_ms, int64_t until_ms)
{
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_vacation_put(f->s, fixture_get(f, who).id, S(handle), S(sender), now_ms, until_ms, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
}

static void one_answer_for_each_within_its_time(void **state)
{
	struct fixture *f = *state;

	assert_false(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS));
	put(f, "anna@example.org", "h", "bob@x.example", NOW_MS, NOW_MS + HOUR_MS);
	assert_true(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS));
	assert_true(quiet(f, "anna@example.org", "h", "BOB@X.example", NOW_MS + HOUR_MS - 1));
	assert_false(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS + HOUR_MS));
	assert_false(quiet(f, "anna@example.org", "i", "bob@x.example", NOW_MS));
	assert_false(quiet(f, "anna@example.org", "", "hbob@x.example", NOW_MS)); /* where one ends and the other begins is part of it */
	assert_false(quiet(f, "bert@example.org", "h", "bob@x.example", NOW_MS));
	assert_true(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS - HOUR_MS));	 /* the clock was set back a little */
	assert_false(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS - 48 * HOUR_MS)); /* by much: nobody stays quiet for years */
	put(f, "anna@example.org", "h", "bob@x.example", NOW_MS + 2 * HOUR_MS, NOW_MS + 3 * HOUR_MS);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM vacation"));
	assert_true(quiet(f, "anna@example.org", "h", "bob@x.example", NOW_MS + 2 * HOUR_MS));
}

static void what_is_over_is_forgotten(void **state)
{
	struct fixture *f = *state;

	put(f, "anna@example.org", "h", "bob@x.example", NOW_MS, NOW_MS + HOUR_MS);
	put(f, "anna@example.org", "h", "eve@x.example", NOW_MS, NOW_MS + 3 * HOUR_MS);
	put(f, "bert@example.org", "h", "bob@x.example", NOW_MS, NOW_MS + 3 * HOUR_MS);
	fixture_tidy(f, NOW_MS);
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM vacation"));
	fixture_tidy(f, NOW_MS + 2 * HOUR_MS);
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM vacation"));
	assert_rc(RC_OK, store_account_remove(f->s, S("anna@example.org"), &f->err));
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM vacation"));
}

static void an_account_answers_so_many(void **state)
{
	struct fixture *f = *state;
	int64_t anna = fixture_get(f, "anna@example.org").id;
	char sender[64];

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < LIMIT_SIEVE_ANSWERED; i++) {
		(void)snprintf(sender, sizeof(sender), "s%d@x.example", i);
		assert_rc(RC_OK, store_vacation_put(f->s, anna, S("h"), S(sender), NOW_MS, NOW_MS + HOUR_MS, &f->err));
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_true(quiet(f, "anna@example.org", "h", "one-more@x.example", NOW_MS));
	assert_false(quiet(f, "anna@example.org", "h", "s7@x.example", NOW_MS + HOUR_MS)); /* who is remembered can be answered again */
	assert_false(quiet(f, "bert@example.org", "h", "one-more@x.example", NOW_MS));
}

static void the_filter_and_what_it_needs(void **state)
{
	struct fixture *f = *state;
	int64_t anna = fixture_get(f, "anna@example.org").id;
	struct span script;
	uint32_t needs = 0;

	assert_rc(RC_NONE, store_filter_of(f->s, anna, &f->mem, &script, &needs, &f->err));
	assert_rc(RC_OK, store_filter_set(f->s, S("anna@example.org"), S("redirect \"x@y.example\";"), 132, NOW_MS, &f->err));
	assert_rc(RC_OK, store_filter_of(f->s, anna, &f->mem, &script, &needs, &f->err));
	assert_true(needs == 132 && span_eq(script, S("redirect \"x@y.example\";")));
}

/* ---- one body, several messages */

static uint64_t lent(struct fixture *f, size_t bytes)
{
	uint64_t spool = 0;
	int fd = -1;
	char *text = malloc(bytes);

	assert_rc(RC_OK, store_spool_open(f->s, &spool, &fd, &f->err));
	memset(text, 'b', bytes);
	assert_true(write(fd, text, bytes) == (ssize_t)bytes);
	free(text);
	return spool;
}

static int64_t take(struct fixture *f, const char *to, const char *top, const struct store_filed *filed, struct store_shared *shared,
		    uint64_t spool, size_t bytes)
{
	struct store_resolved found;
	struct store_rcpt rcpt = {.address = S(to)};
	struct store_message m = {.sender = S("bob@x.example"),
				  .client = S("192.0.2.1"),
				  .trace = S(top),
				  .head = S("Subject: x\r\n\r\n"),
				  .spool = spool,
				  .spool_bytes = bytes,
				  .rcpts = &rcpt,
				  .rcpt_count = 1,
				  .filed = filed,
				  .filed_count = filed ? 1 : 0,
				  .received_ms = NOW_MS,
				  .via = filed ? SPAN_NONE : S("example.org"),
				  .shared = shared};
	enum cause_id cause = CAUSE_NONE;
	bool repeat = false;
	int64_t id = 0;

	assert_rc(RC_OK, store_resolve(f->s, S(to), 0, &f->mem, &found, &f->err));
	rcpt.tag = found.tag;
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_true(cause == CAUSE_NONE && !repeat && id > 0);
	return id;
}

static bool reads_as(struct fixture *f, const char *who, const char *top, size_t bytes)
{
	struct span all = fixture_read(f, who, 1, 1 << 16);

	return all.len > bytes && span_find_span(all, S(top)) < all.len && span_from(all, all.len - bytes).ptr[0] == 'b' &&
	       all.ptr[all.len - bytes - 1] == '\n';
}

static void share(struct fixture *f, size_t bytes, bool anna_keeps)
{
	struct store_filed filed = {.account = fixture_get(f, "anna@example.org").id,
				    .how = anna_keeps ? STORE_FILED_INBOX : STORE_FILED_SENT_ON,
				    .to = S("bert@example.org")};
	struct store_shared shared = {0};
	uint64_t spool = lent(f, bytes);
	int64_t first, last;

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	first = take(f, "anna@example.org", "", &filed, &shared, spool, bytes);
	assert_int_equal(shared.message, anna_keeps ? first : 0);
	(void)take(f, "bert@example.org", "Delivered-To: anna@example.org\r\n", NULL, &shared, spool, bytes);
	assert_true(shared.message > 0);
	last = take(f, "far@elsewhere.example", "Delivered-To: anna@example.org\r\n", NULL, &shared, spool, bytes);
	store_spool_drop(f->s, spool);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(last, first + 2);
	assert_int_equal(anna_keeps, fixture_get(f, "anna@example.org").messages);
	assert_true(!anna_keeps || reads_as(f, "anna@example.org", "Delivered-To: anna@example.org\r\nSubject", bytes));
	assert_true(reads_as(f, "bert@example.org", "Delivered-To: bert@example.org\r\nDelivered-To: anna@example.org\r\nSubject", bytes));
	assert_int_equal(1, fixture_queue_count(f));
	assert_int_equal(1, fixture_sql(f, "SELECT sender LIKE 'SRS0=%=x.example=bob@example.org' FROM queue"));
	assert_int_equal(
		1, fixture_sql(f, "SELECT COUNT(*) FROM message m JOIN queue q ON q.message = m.id WHERE m.sender = 'bob@x.example'"));
}

static void a_small_body_is_copied(void **state)
{
	share(*state, 100, true);
}

static void a_large_body_gets_second_names(void **state)
{
	struct fixture *f = *state;
	size_t bytes = LIMIT_BODY_ROW_BYTES + 5;
	int64_t uid = 1;

	share(f, bytes, true);
	/* each goes for itself */
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err));
	fixture_tidy(f, NOW_MS);
	assert_true(reads_as(f, "bert@example.org", "Subject", bytes));
}

static void sent_on_and_not_kept(void **state)
{
	share(*state, LIMIT_BODY_ROW_BYTES + 5, false);
	assert_int_equal(2, fixture_sql(*state, "SELECT COUNT(*) FROM message"));
}

static void small_sent_on_and_not_kept(void **state)
{
	share(*state, 100, false);
}

static void what_is_taken_back_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	struct store_filed filed = {.account = fixture_get(f, "anna@example.org").id, .how = STORE_FILED_INBOX};
	struct store_shared shared = {0};
	size_t bytes = LIMIT_BODY_ROW_BYTES + 5;
	uint64_t spool = lent(f, bytes);
	char name[96];
	int64_t id;

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	(void)take(f, "anna@example.org", "", &filed, &shared, spool, bytes);
	id = take(f, "bert@example.org", "", NULL, &shared, spool, bytes);
	(void)snprintf(name, sizeof(name), "%s/bodies/%02x", f->dir, (unsigned)(id % 256));
	assert_int_equal(0, access(name, F_OK));
	store_rollback(f->s);
	store_spool_drop(f->s, spool);
	assert_int_equal(0, rmdir(name)); /* it is empty again */
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM message"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_answer_for_each_within_its_time, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_is_over_is_forgotten, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(an_account_answers_so_many, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_filter_and_what_it_needs, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_small_body_is_copied, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(small_sent_on_and_not_kept, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_large_body_gets_second_names, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(sent_on_and_not_kept, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_is_taken_back_leaves_no_file, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
