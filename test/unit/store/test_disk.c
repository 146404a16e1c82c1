#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fixture.h"

/* what SQLite says about a setting, replaced for one test */
static const char *lie_about, *lie;

int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg, char **words);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg, char **words)
{
	char value[16];
	char *values[1] = {value};

	if (!each || !lie_about || strcmp(sql, lie_about) != 0)
		return __real_sqlite3_exec(db, sql, each, arg, words);
	(void)snprintf(value, sizeof(value), "%s", lie);
	return each(arg, 1, values, values);
}

static void less_than_full_durability_is_refused(void **state)
{
	static const char *const lies[][2] = {{"PRAGMA synchronous", "1"}, {"PRAGMA synchronous", "0"}, {"PRAGMA journal_mode", "memory"}, {"PRAGMA foreign_keys", "0"}};
	struct fixture *f = *state;

	store_close(&f->s);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		lie_about = lies[i][0];
		lie = lies[i][1];
		assert_rc(RC_IO, store_open(f->dir, STORE_SERVE, &f->s, &f->err));
		assert_null(f->s);
		assert_non_null(strstr(f->err.words, lies[i][0]));
		assert_non_null(strstr(f->err.words, "refused"));
	}
	lie_about = NULL;
	assert_rc(RC_OK, store_open(f->dir, STORE_SERVE, &f->s, &f->err));
	assert_int_equal(1, fixture_sql(f, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"));
}

static void schemas_of_other_versions(void **state)
{
	struct fixture *f = *state;
	struct store *s = NULL;

	store_close(&f->s);
	(void)fixture_sql(f, "PRAGMA user_version = 99");
	assert_rc(RC_BAD, store_open(f->dir, STORE_CREATE, &s, &f->err));
	assert_non_null(strstr(f->err.words, "newer"));
	(void)fixture_sql(f, "PRAGMA user_version = -1");
	assert_rc(RC_BAD, store_open(f->dir, 0, &s, &f->err));
	/* a step that fails is taken back whole: the tables are there, though the number says they are not */
	(void)fixture_sql(f, "PRAGMA user_version = 0");
	assert_rc(RC_IO, store_open(f->dir, STORE_CREATE, &s, &f->err));
	/* and whoever does not want a new one is told that this one has lost what it held */
	assert_rc(RC_BAD, store_open(f->dir, 0, &s, &f->err));
	assert_non_null(strstr(f->err.words, "restored from a backup"));
	assert_rc(RC_BAD, store_open(f->dir, STORE_READ_ONLY, &s, &f->err));
	(void)fixture_sql(f, "PRAGMA user_version = 3");
	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM account"));
}

static void what_is_no_store(void **state)
{
	struct fixture *f = *state;
	struct store *s = NULL;
	char path[128], other[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/nothing", f->dir);
	assert_rc(RC_NONE, store_open(path, 0, &s, &f->err));
	assert_rc(RC_NONE, store_open(path, STORE_READ_ONLY, &s, &f->err));
	assert_int_equal(0, mkdir(path, 0700));
	assert_rc(RC_NONE, store_open(path, STORE_SERVE, &s, &f->err));
	assert_int_equal(0, rmdir(path));
	assert_rc(RC_OK, store_open(path, STORE_CREATE, &s, &f->err));
	store_close(&s);
	(void)snprintf(path, sizeof(path), "%s/nothing/mail.db", f->dir);
	(void)snprintf(other, sizeof(other), "%s/elsewhere.db", f->dir);
	assert_int_equal(0, rename(path, other));
	assert_int_equal(0, symlink(other, path)); /* a planted link is not followed */
	(void)snprintf(path, sizeof(path), "%s/nothing", f->dir);
	assert_int_not_equal(RC_OK, store_open(path, STORE_CREATE, &s, &f->err));
	(void)snprintf(path, sizeof(path), "%s/nothing/mail.db", f->dir);
	assert_int_equal(0, unlink(path));
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database. ", file);
	(void)fclose(file);
	(void)snprintf(path, sizeof(path), "%s/nothing", f->dir);
	assert_rc(RC_BAD, store_open(path, 0, &s, &f->err));
}

static void reading_only(void **state)
{
	struct fixture *f = *state;
	struct store *s = NULL;
	struct store_account a;

	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	for (int served = 1; served >= 0; served--) {
		assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &s, &f->err));
		assert_rc(RC_OK, store_account_get(s, S("anna@example.org"), &f->mem, &a, &f->err));
		assert_int_equal(1, a.messages);
		assert_rc(RC_DENIED, store_domain_add(s, S("new.example"), &f->err));
		store_close(&s);
		store_close(&f->s);
	}
	assert_rc(RC_OK, store_open(f->dir, STORE_SERVE, &f->s, &f->err));
}

static void one_server_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct store *s = NULL;

	assert_rc(RC_BUSY, store_open(f->dir, STORE_SERVE, &s, &f->err));
	assert_non_null(strstr(f->err.words, "another process"));
	assert_rc(RC_OK, store_open(f->dir, 0, &s, &f->err)); /* the command line comes in */
	store_close(&s);
	store_close(&f->s);
	assert_rc(RC_OK, store_open(f->dir, STORE_SERVE, &f->s, &f->err));
}

/* ---- another process writes at the same time */

static int other_process(const char *dir)
{
	struct store *s = NULL;
	struct err err;
	char address[64];

	if (store_open(dir, 0, &s, &err) != RC_OK)
		return 1;
	for (int i = 0; i < 200; i++) {
		(void)snprintf(address, sizeof(address), "alias%d@example.net", i);
		if (store_alias_add(s, S(address), S("anna@example.org"), &err) != RC_OK)
			return 2;
	}
	store_close(&s);
	return 0;
}

static void another_process_writes_meanwhile(void **state)
{
	struct fixture *f = *state;
	int status = -1, taken = 0;
	pid_t child;

	child = fork();
	if (child == 0)
		_exit(other_process(f->dir));
	while (waitpid(child, &status, WNOHANG) == 0) {
		for (int i = 0; i < 5; i++)
			assert_int_equal(RC_OK, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
		assert_rc(RC_OK, store_commit(f->s, &f->err));
		taken += 5;
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(0, WEXITSTATUS(status));
	assert_int_equal(taken, fixture_get(f, "anna@example.org").messages);
	assert_int_equal(200, fixture_sql(f, "SELECT COUNT(*) FROM alias"));
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"alias7@example.net"}}).cause);
}

/* ---- a full disk, a read-only disk */

static bool small_disk(struct fixture *f, const char *options, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/disk", f->dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return false;
	return mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

static enum rc fill_until_refused(struct fixture *f, size_t body_bytes, int *taken)
{
	char *body = mem_alloc(body_bytes + 1);
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .body = body};
	struct fixture_result r = {.rc = RC_OK};

	memset(body, 'x', body_bytes);
	body[body_bytes] = '\0';
	for (int i = 0; i < 100000 && r.rc == RC_OK; i++) {
		r = fixture_deliver(f, &mail);
		*taken += r.rc == RC_OK;
	}
	free(body);
	return r.rc;
}

static void a_full_disk_loses_nothing(void **state)
{
	struct fixture *f = *state, small = {0};
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}};
	char path[128], ballast[160];
	struct fixture_result r;
	int taken = 0, fd;

	if (!small_disk(f, "size=6m", path, sizeof(path)))
		skip(); /* needs root */
	(void)snprintf(small.dir, sizeof(small.dir), "%.60s", path);
	arena_init(&small.mem, 16 << 20);
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", path);
	fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(0, posix_fallocate(fd, 0, 2 << 20));
	assert_int_equal(0, close(fd));
	assert_rc(RC_OK, store_open(path, STORE_CREATE | STORE_SERVE, &small.s, &f->err));
	assert_rc(RC_OK, store_domain_add(small.s, S("example.org"), &f->err));
	fixture_account(&small, "anna@example.org");
	assert_int_equal(RC_FULL, fill_until_refused(&small, 20000, &taken));
	assert_true(taken > 10);
	assert_false(store_in_transaction(small.s));
	assert_int_equal(taken, fixture_get(&small, "anna@example.org").messages);
	assert_int_equal(20000, span_from(fixture_read(&small, "anna@example.org", taken, 10000),
		fixture_read(&small, "anna@example.org", taken, 30000).len - 20000).len);
	/* a large body meets the end of the disk, too: refused, with nothing left behind */
	assert_rc(RC_OK, store_spool_open(small.s, &mail.spool, &fd, &f->err));
	store_spool_drop(small.s, mail.spool);
	/* room again: it goes on */
	assert_int_equal(0, unlink(ballast));
	r = fixture_deliver(&small, &(struct fixture_mail){.rcpts = {"anna@example.org"}});
	assert_int_equal(RC_IO, r.rc == RC_OK ? RC_IO : r.rc);
	assert_int_equal(RC_OK, r.rc);
	assert_int_equal(1, fixture_sql(&small, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"));
	store_close(&small.s);
	arena_clear(&small.mem);
	assert_int_equal(0, umount2(path, MNT_DETACH));
}

static int write_errno;

static ssize_t write_fails(int fd, const void *bytes, size_t len, off_t at)
{
	(void)fd, (void)bytes, (void)len, (void)at;
	errno = write_errno;
	return -1;
}

static void a_quota_is_a_full_disk(void **state)
{
	static const struct { int sys; enum rc rc; } cases[] = {{ENOSPC, RC_FULL}, {EDQUOT, RC_FULL}, {EFBIG, RC_FULL}, {EIO, RC_IO}};
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
	struct fixture *f = *state;
	char address[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(address, sizeof(address), "n%zu@example.org", i);
		assert_rc(RC_OK, store_begin(f->s, &f->err));
		assert_rc(RC_OK, store_alias_add(f->s, span_str(address), S("anna@example.org"), &f->err));
		write_errno = cases[i].sys;
		assert_int_equal(SQLITE_OK, vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)write_fails));
		assert_rc(cases[i].rc, store_commit(f->s, &f->err));
		store_make_room(f->s); /* and that may fail, too */
		assert_int_equal(SQLITE_OK, vfs->xSetSystemCall(vfs, "pwrite64", NULL));
		assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM alias WHERE address LIKE 'n%'"));
	}
	assert_rc(RC_OK, store_alias_add(f->s, S("there-is-room@example.org"), S("anna@example.org"), &f->err));
}

static void a_read_only_disk_is_named(void **state)
{
	struct fixture *f = *state;
	struct store *s = NULL;
	char path[128];

	if (!small_disk(f, "size=4m", path, sizeof(path)))
		skip(); /* needs root */
	assert_rc(RC_OK, store_open(path, STORE_CREATE, &s, &f->err));
	store_close(&s);
	assert_int_equal(0, mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	assert_rc(RC_IO, store_open(path, STORE_SERVE, &s, &f->err));
	assert_non_null(strstr(f->err.words, "read-only"));
	assert_int_equal(0, umount2(path, MNT_DETACH));
}

static void files_belong_to_the_owner_of_the_directory(void **state)
{
	static const char *const names[] = {"mail.db", "mail.db-wal", "mail.db-shm", "bodies", "spool"};
	struct fixture *f = *state;
	struct store *s = NULL;
	struct stat st;
	char path[160], dir[128];

	if (geteuid() != 0)
		skip();
	(void)snprintf(dir, sizeof(dir), "%s/owned", f->dir);
	assert_int_equal(0, mkdir(dir, 0700));
	assert_int_equal(0, chown(dir, 12345, 12345));
	assert_rc(RC_OK, store_open(dir, STORE_CREATE, &s, &f->err));
	assert_rc(RC_OK, store_domain_add(s, S("example.org"), &f->err));
	for (int reading = 0; reading < 2; reading++) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
			if (stat(path, &st) != 0)
				print_error("%s: %s\n", path, strerror(errno));
			assert_int_equal(0, stat(path, &st));
			assert_int_equal(12345, st.st_uid);
			assert_int_equal(12345, st.st_gid);
			assert_int_equal(0, st.st_mode & 077);
		}
		store_close(&s);
		assert_rc(RC_OK, store_open(dir, STORE_READ_ONLY, &s, &f->err));
		assert_rc(RC_OK, store_domain_hosted(s, S("example.org"), &(bool){false}, &f->err));
	}
	store_close(&s);
}

/* ---- what comes back from the database is not trusted */

static void hostile_values_are_caught(void **state)
{
	static const struct { const char *spoil, *mend; bool reading; } cases[] = {
		{"UPDATE account SET next_uid = -5", "UPDATE account SET next_uid = 2", false},
		{"UPDATE account SET next_uid = 9223372036854775807", "UPDATE account SET next_uid = 2", false},
		{"UPDATE account SET used_bytes = 'much'", "UPDATE account SET used_bytes = 0", false},
		{"UPDATE account SET quota_bytes = X'00'", "UPDATE account SET quota_bytes = 0", false},
		{"UPDATE account SET state = 77", "UPDATE account SET state = 1", false},
		{"UPDATE account SET address = 'a' || char(13) || char(10) || 'Bcc: x@y'", "UPDATE account SET address = key", true},
		{"UPDATE account SET address = CAST(X'fffe' AS TEXT)", "UPDATE account SET address = key", true},
		{"UPDATE account SET address = hex(zeroblob(2000))", "UPDATE account SET address = key", true},
		{"UPDATE counter SET next = 0 WHERE name = 'message'", "UPDATE counter SET next = 100 WHERE name = 'message'", false},
		{"UPDATE message SET sender = 'a' || char(10)", "UPDATE message SET sender = 'sender@elsewhere.example'", true},
		{"UPDATE content SET head_bytes = 9223372036854775807", "UPDATE content SET head_bytes = length(head)", true},
		{"UPDATE content SET body_bytes = -1", "UPDATE content SET body_bytes = length(body)", true},
		{"UPDATE content SET in_file = 1", "UPDATE content SET in_file = 0", true},
		{"UPDATE content SET head = 'text'", "UPDATE content SET head = CAST('Received: by test' || char(13,10) || 'Subject: test' || char(13,10,13,10) AS BLOB)", true},
		{"UPDATE content SET body = X'00'", "UPDATE content SET body = CAST('Hello.' || char(13,10) AS BLOB)", true},
		{"UPDATE mailbox_item SET bytes = 1", "UPDATE mailbox_item SET bytes = 117", true},
	};
	struct fixture *f = *state;
	int64_t account = fixture_get(f, "anna@example.org").id, before;
	struct fixture_result r;
	struct buf out;
	bool last;
	enum rc rc;

	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	buf_init(&out, 10000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		before = fixture_sql(f, "SELECT COUNT(*) FROM message");
		(void)fixture_sql(f, cases[i].spoil);
		if (cases[i].reading) {
			buf_reset(&out);
			rc = store_mail_read(f->s, account, 1, 0, 10000, &out, &last, &f->err);
			assert_int_equal(0, out.len);
		} else {
			struct store_rcpt rcpt = {.address = S("anna@example.org"), .tag = (uint64_t)account << 3 | STORE_TAG_ACCOUNT};
			struct store_message m = {.head = S("A: b\r\n\r\n"), .rcpts = &rcpt, .rcpt_count = 1, .received_ms = NOW_MS};

			rc = store_accept(f->s, &m, &r.id, &r.repeat, &r.cause, &f->err);
			store_rollback(f->s);
		}
		if (rc != RC_BAD)
			print_error("%s: %s\n", cases[i].spoil, rc_name(rc));
		assert_int_equal(RC_BAD, rc);
		(void)fixture_sql(f, cases[i].mend);
		assert_int_equal(before, fixture_sql(f, "SELECT COUNT(*) FROM message"));
		assert_true(fixture_read(f, "anna@example.org", 1, 50).len == 117);
		assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"bert@example.org"}}).cause);
	}
	buf_clear(&out);
}

static void a_lost_body_file_is_not_made_up(void **state)
{
	struct fixture *f = *state;
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .spool_bytes = LIMIT_BODY_ROW_BYTES + 10};
	char path[128];
	struct buf out;
	bool last;
	int fd = -1;

	assert_rc(RC_OK, store_spool_open(f->s, &mail.spool, &fd, &f->err));
	assert_int_equal(0, ftruncate(fd, LIMIT_BODY_ROW_BYTES + 10));
	assert_int_equal(RC_OK, fixture_deliver(f, &mail).rc);
	(void)snprintf(path, sizeof(path), "%s/bodies/01/000001", f->dir);
	assert_int_equal(0, truncate(path, 1000));
	buf_init(&out, 4 << 20);
	assert_rc(RC_BAD, store_mail_read(f->s, fixture_get(f, "anna@example.org").id, 1, 0, 2 << 20, &out, &last, &f->err));
	assert_int_equal(0, out.len);
	assert_int_equal(0, unlink(path));
	assert_rc(RC_BAD, store_mail_read(f->s, fixture_get(f, "anna@example.org").id, 1, 0, 2 << 20, &out, &last, &f->err));
	buf_clear(&out);
}

static void the_log_does_not_grow_for_ever(void **state)
{
	struct fixture *f = *state;
	char path[128], *body = mem_alloc(20001);
	struct fixture_mail mail = {.rcpts = {"anna@example.org"}, .body = body};
	struct stat st;

	memset(body, 'x', 20000);
	body[20000] = '\0';
	for (int i = 0; i < 8000; i++) {
		assert_int_equal(RC_OK, fixture_accept(f, &mail).rc);
		if (i % 50 < 49)
			continue;
		assert_rc(RC_OK, store_commit(f->s, &f->err));
		assert_rc(RC_OK, store_checkpoint(f->s, &f->err));
	}
	(void)snprintf(path, sizeof(path), "%s/mail.db-wal", f->dir);
	assert_int_equal(0, stat(path, &st));
	print_message("log after 160 MB of mail: %lld KiB\n", (long long)st.st_size / 1024);
	assert_true(st.st_size < 56 << 20);
	free(body);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest disk_tests[] = {
	T(less_than_full_durability_is_refused), T(schemas_of_other_versions), T(what_is_no_store), T(reading_only), T(one_server_at_a_time),
	T(another_process_writes_meanwhile), T(a_full_disk_loses_nothing), T(a_quota_is_a_full_disk), T(a_read_only_disk_is_named), T(files_belong_to_the_owner_of_the_directory),
	T(hostile_values_are_caught), T(a_lost_body_file_is_not_made_up), T(the_log_does_not_grow_for_ever),
};
const size_t disk_count = sizeof(disk_tests) / sizeof(disk_tests[0]);
