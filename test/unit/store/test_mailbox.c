#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fixture.h"

static size_t files_seen;

static int files_count(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)path;
	(void)st;
	(void)walk;
	files_seen += kind == FTW_F;
	return 0;
}

static size_t files_below(struct fixture *f, const char *what)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, what);
	files_seen = 0;
	assert_int_equal(0, nftw(path, files_count, 16, FTW_PHYS));
	return files_seen;
}

static void a_mailbox_of_100000_is_listed_in_pages(void **state)
{
	enum { COUNT = 100000, PAGE = 4096 };
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .body = ""};
	struct store_item *items = mem_array(PAGE, sizeof(*items));
	int64_t account = fixture_get(f, "anna@example.org").id, after = 0, *uids = mem_array(COUNT, sizeof(*uids));
	size_t all = 0, n = PAGE;
	mono_ms from;

	for (int i = 0; i < COUNT; i++)
		assert_int_equal(RC_OK, fixture_accept(f, &mail).rc);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	from = clock_mono_ms();
	while (n == PAGE) {
		assert_rc(RC_OK, store_mailbox_items(f->s, account, after, items, PAGE, &n, &f->err));
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(after + 1, items[i].uid);
			after = uids[all++] = items[i].uid;
		}
	}
	assert_int_equal(COUNT, all);
	print_message("listing 100,000: %llu ms\n", (unsigned long long)(clock_mono_ms() - from));
	assert_true(clock_mono_ms() - from < 5000);
	assert_int_equal(COUNT, fixture_get(f, "anna@example.org").messages);
	from = clock_mono_ms();
	assert_rc(RC_OK, store_mail_remove(f->s, account, uids, COUNT, &f->err));
	print_message("removing 100,000: %llu ms\n", (unsigned long long)(clock_mono_ms() - from));
	assert_int_equal(0, fixture_get(f, "anna@example.org").used_bytes);
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM message"));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM content"));
	free(items);
	free(uids);
}

static void the_last_one_out_frees_the_text(void **state)
{
	struct fixture *f = *state;
	int64_t uid = 1;

	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org", "bert@example.org"}}).rc);
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM content"));
	assert_true(fixture_read(f, "bert@example.org", 1, 1000).len > 0);
	/* a removed account lets go as well */
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM content"));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM message"));
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM account"));
	/* what waits in the queue is held, too */
	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org", "x@foreign.example"}}).rc);
	uid = 2;
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM content"));
}

static void uids_are_never_used_twice(void **state)
{
	struct fixture *f = *state;
	struct store_item item;
	int64_t uid = 1;

	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, &uid, 1, &f->err));
	fixture_tidy(f, NOW_MS);
	fixture_reopen(f, STORE_SERVE);
	assert_int_equal(2, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).id);
	assert_int_equal(1, fixture_items(f, "anna@example.org", &item, 1));
	assert_int_equal(2, item.uid);
}

struct seen { struct fixture *f; size_t mailbox, queue, without; };
static enum rc see_id(void *arg, struct span message_id, struct span where, int64_t message)
{
	struct seen *s = arg;

	assert_true(message > 0);
	s->without += message_id.len == 0;
	if (span_eq(where, SPAN_LIT("queue")))
		s->queue++;
	else
		s->mailbox++;
	return RC_OK;
}

static void everything_held_is_named(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {f, 0, 0, 0};
	char id[32];

	for (int i = 0; i < 450; i++) {
		(void)snprintf(id, sizeof(id), "<%d@x>", i);
		assert_int_equal(RC_OK, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org", "bert@example.org", "x@foreign.example"},
			.message_id = i ? id : NULL}).rc);
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_rc(RC_OK, store_message_ids(f->s, see_id, &seen, &f->err));
	assert_int_equal(900, seen.mailbox);
	assert_int_equal(450, seen.queue);
	assert_int_equal(3, seen.without);
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	seen = (struct seen){f, 0, 0, 0};
	assert_rc(RC_OK, store_message_ids(f->s, see_id, &seen, &f->err));
	assert_int_equal(450, seen.mailbox);
}

static void fill_spool(struct fixture *f, int fd, const uint8_t *bytes, size_t count)
{
	(void)f;
	for (size_t at = 0; at < count;) {
		ssize_t n = pwrite(fd, bytes + at, count - at, (off_t)at);

		assert_true(n > 0);
		at += (size_t)n;
	}
}

static void large_bodies_come_through_files(void **state)
{
	static const size_t sizes[] = {0, 1, LIMIT_BODY_ROW_BYTES, LIMIT_BODY_ROW_BYTES + 1, 3 * LIMIT_BODY_ROW_BYTES + 12345};
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org", "bert@example.org"}};
	uint8_t *bytes = mem_alloc(4 << 20);
	struct span text;
	int fd = -1;

	rng_fill(bytes, 4 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
		fill_spool(f, fd, bytes, sizes[i]);
		mail.spool_bytes = sizes[i];
		assert_int_equal(CAUSE_NONE, fixture_deliver(f, &mail).cause);
		text = fixture_read(f, "bert@example.org", (int64_t)i + 1, i % 2 ? 100000 : 262144);
		assert_true(text.len > sizes[i]);
		assert_true(span_eq(span_of(bytes, sizes[i]), span_from(text, text.len - sizes[i])));
		assert_int_equal(0, files_below(f, "spool"));
	}
	assert_int_equal(2, files_below(f, "bodies"));
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(2, files_below(f, "bodies"));
	assert_rc(RC_OK, store_mail_remove(f->s, fixture_get(f, "anna@example.org").id, (int64_t[]){1, 2, 3, 4, 5}, 5, &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, files_below(f, "bodies"));
	free(bytes);
}

static void spools_are_used_once_and_dropped(void **state)
{
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .spool_bytes = 10};
	int fd = -1;

	assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
	fill_spool(f, fd, (const uint8_t *)"123456789", 9);
	assert_int_equal(RC_BAD, fixture_accept(f, &mail).rc); /* one byte short of what was said */
	assert_non_null(strstr(f->err.words, "9 bytes"));
	assert_int_equal(RC_BAD, fixture_accept(f, &mail).rc); /* and gone now */
	assert_int_equal(0, files_below(f, "spool"));
	store_rollback(f->s);

	assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
	store_spool_drop(f->s, mail.spool);
	store_spool_drop(f->s, mail.spool);
	store_spool_drop(f->s, 12345);
	assert_int_equal(0, files_below(f, "spool"));

	/* taken back with the transaction */
	assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
	mail.spool_bytes = LIMIT_BODY_ROW_BYTES + 1;
	assert_int_equal(0, ftruncate(fd, LIMIT_BODY_ROW_BYTES + 1));
	assert_int_equal(RC_OK, fixture_accept(f, &mail).rc);
	assert_int_equal(1, files_below(f, "bodies"));
	store_rollback(f->s);
	assert_int_equal(0, files_below(f, "bodies"));
	assert_int_equal(0, files_below(f, "spool"));
}

static void what_a_crash_left_is_cleaned(void **state)
{
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .spool_bytes = LIMIT_BODY_ROW_BYTES + 1};
	char path[160];
	FILE *file;
	int fd = -1;

	assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
	assert_int_equal(0, ftruncate(fd, LIMIT_BODY_ROW_BYTES + 1));
	assert_int_equal(1, fixture_deliver(f, &mail).id);
	(void)snprintf(path, sizeof(path), "%s/spool/0123456789abcdef", f->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fclose(file);
	(void)snprintf(path, sizeof(path), "%s/bodies/02", f->dir);
	assert_int_equal(0, mkdir(path, 0700));
	(void)snprintf(path, sizeof(path), "%s/bodies/02/000002", f->dir); /* the number that comes next: no commit ever named it */
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fclose(file);
	fixture_reopen(f, 0); /* a command line must not clean up under a server's feet */
	assert_int_equal(1, files_below(f, "spool"));
	assert_int_equal(2, files_below(f, "bodies"));
	fixture_reopen(f, STORE_SERVE);
	assert_int_equal(0, files_below(f, "spool"));
	assert_int_equal(1, files_below(f, "bodies"));
	assert_true(fixture_read(f, "anna@example.org", 1, 1 << 20).len > LIMIT_BODY_ROW_BYTES);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest mailbox_tests[] = {
	T(a_mailbox_of_100000_is_listed_in_pages), T(the_last_one_out_frees_the_text), T(uids_are_never_used_twice), T(everything_held_is_named),
	T(large_bodies_come_through_files), T(spools_are_used_once_and_dropped), T(what_a_crash_left_is_cleaned),
};
const size_t mailbox_count = sizeof(mailbox_tests) / sizeof(mailbox_tests[0]);
