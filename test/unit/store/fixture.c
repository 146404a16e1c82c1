#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

void fixture_assert_rc(enum rc want, enum rc got, const struct err *err, const char *file, int line)
{
	if (want == got)
		return;
	print_error("%s:%d: wanted %s, got %s: %s\n", file, line, rc_name(want), rc_name(got), err->words);
	_fail(file, line);
}

int fixture_setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mailroom-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	arena_init(&f->mem, 64 << 20);
	assert_rc(RC_OK, store_open(f->dir, STORE_CREATE | STORE_SERVE, &f->s, &f->err));
	assert_rc(RC_OK, store_domain_add(f->s, S("example.org"), &f->err));
	assert_rc(RC_OK, store_domain_add(f->s, S("example.net"), &f->err));
	fixture_account(f, "anna@example.org");
	fixture_account(f, "bert@example.org");
	fixture_account(f, "carl@example.org");
	*state = f;
	return 0;
}

static int fixture_unlink(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	store_close(&f->s);
	arena_clear(&f->mem);
	(void)nftw(f->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

void fixture_reopen(struct fixture *f, unsigned flags)
{
	store_close(&f->s);
	assert_rc(RC_OK, store_open(f->dir, flags, &f->s, &f->err));
}

int64_t fixture_account(struct fixture *f, const char *address)
{
	struct store_account a;
	int64_t id = 0;
	enum rc rc = store_account_get(f->s, S(address), &f->mem, &a, &f->err);

	if (rc == RC_OK)
		return a.id;
	assert_rc(RC_OK, store_account_add(f->s, S(address), 0, NOW_MS, &id, &f->err));
	return id;
}

struct fixture_result fixture_accept(struct fixture *f, const struct fixture_mail *mail)
{
	struct store_rcpt rcpts[8];
	struct store_message m = {.sender = S("sender@elsewhere.example"), .peer = S("192.0.2.1"), .helo = S("elsewhere.example"),
		.client = S(mail->client ? mail->client : "192.0.2.1"), .trace = S(mail->trace ? mail->trace : "Received: by test\r\n"),
		.head = SPAN_LIT("Subject: test\r\n\r\n"), .message_id = S(mail->message_id), .digest = S(mail->digest), .rcpts = rcpts,
		.received_ms = mail->received_ms ? mail->received_ms : NOW_MS, .spool = mail->spool, .spool_bytes = mail->spool_bytes,
		.filed = mail->filed, .filed_count = mail->filed_count};
	struct fixture_result r = {.cause = CAUSE_NONE};
	struct store_resolved found;

	if (!mail->spool)
		m.body = S(mail->body ? mail->body : "Hello.\r\n");
	for (; mail->rcpts[m.rcpt_count]; m.rcpt_count++) {
		found = (struct store_resolved){0};
		assert_rc(RC_OK, store_resolve(f->s, S(mail->rcpts[m.rcpt_count]), 0, &f->mem, &found, &f->err));
		rcpts[m.rcpt_count] = (struct store_rcpt){.address = S(mail->rcpts[m.rcpt_count]), .tag = found.tag, .notify = 1, .orcpt = S("rfc822;x@y")};
	}
	r.rc = store_accept(f->s, &m, &r.id, &r.repeat, &r.cause, &f->err);
	return r;
}

struct fixture_result fixture_deliver(struct fixture *f, const struct fixture_mail *mail)
{
	struct fixture_result r = fixture_accept(f, mail);

	if (r.rc == RC_OK)
		r.rc = store_commit(f->s, &f->err);
	return r;
}

struct store_account fixture_get(struct fixture *f, const char *address)
{
	struct store_account a = {0};

	assert_rc(RC_OK, store_account_get(f->s, S(address), &f->mem, &a, &f->err));
	return a;
}

size_t fixture_items(struct fixture *f, const char *address, struct store_item *items, size_t max)
{
	size_t n = 0;

	assert_rc(RC_OK, store_mailbox_items(f->s, fixture_get(f, address).id, 0, items, max, &n, &f->err));
	return n;
}

struct span fixture_read(struct fixture *f, const char *address, int64_t uid, size_t piece)
{
	int64_t account = fixture_get(f, address).id;
	struct buf text;
	struct span all;
	bool last = false;

	buf_init(&text, 16 << 20);
	while (!last)
		assert_rc(RC_OK, store_mail_read(f->s, account, uid, text.len, piece, &text, &last, &f->err));
	all = arena_copy(&f->mem, buf_span(&text));
	buf_clear(&text);
	return all;
}

static enum rc fixture_count(void *arg, const struct store_queued *q)
{
	size_t *n = arg;

	assert_true(q->rcpt.len > 0 && q->queue_id.len > 0);
	*n += 1;
	return RC_OK;
}

size_t fixture_queue_count(struct fixture *f)
{
	size_t n = 0;

	assert_rc(RC_OK, store_queue_each(f->s, 0, fixture_count, &n, &f->err));
	return n;
}

void fixture_tidy(struct fixture *f, int64_t now_ms)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		assert_rc(RC_OK, store_tidy(f->s, now_ms, &more, &f->err));
	assert_false(more);
}

int64_t fixture_sql(struct fixture *f, const char *sql)
{
	char path[128];
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int64_t out = -1;
	int code;

	(void)snprintf(path, sizeof(path), "%s/mail.db", f->dir);
	assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
	(void)sqlite3_busy_timeout(db, 5000);
	code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		print_error("%s: %s\n", sql, sqlite3_errmsg(db));
	assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
	if (code == SQLITE_ROW)
		out = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	return out;
}
