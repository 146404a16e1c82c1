#include "store/store_internal.h"

enum { STORE_TIDY_REPEATS = 1000, STORE_TIDY_MESSAGES = STORE_PAGE_ROWS, STORE_TIDY_ITEMS = 5 * STORE_PAGE_ROWS, STORE_TIDY_DEST_MS = 24 * 3600 * 1000 };

static enum rc store_tidy_answered(struct store *s, int64_t now_ms, bool *more, struct err *err)
{
	struct sql_row row;
	bool own;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_VACATION_OLD, SQL_ARGS(SQL_N(now_ms)), err);

	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_VACATION_REMOVE_OLD, SQL_ARGS(SQL_N(now_ms), SQL_N(STORE_TIDY_REPEATS)), err);
	*more |= rc == RC_OK && sql_changed(&s->sql) == STORE_TIDY_REPEATS;
	return store_write_end(s, own, rc, err);
}

struct store_free_page {
	int64_t ids[STORE_TIDY_MESSAGES];
	bool in_file[STORE_TIDY_MESSAGES];
	size_t count;
};

static void store_free_read(struct sql_row *row, void *page, size_t n)
{
	struct store_free_page *p = page;

	p->ids[n] = sql_number(row, 0, 1, STORE_MAX_MS);
	p->in_file[n] = sql_number(row, 1, 0, 1) == 1;
}

static enum rc store_tidy_find(struct store *s, struct store_free_page *page, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_MESSAGE_FREE, SQL_ARGS(SQL_N(STORE_TIDY_MESSAGES)), err);

	return sql_page(rc, &row, store_free_read, page, &page->count, err);
}

/* The file goes before the commit: nobody can read such a message, and after a crash in between the row is still there to try again. */
static enum rc store_tidy_messages(struct store *s, bool *more, struct err *err)
{
	struct store_free_page page = {0};
	bool own;
	enum rc rc = store_tidy_find(s, &page, err);

	if (rc != RC_OK || page.count == 0)
		return rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < page.count && rc == RC_OK; i++) {
		if (page.in_file[i])
			store_body_remove(s, page.ids[i]);
		rc = sql_run(&s->sql, STORE_SQL_CONTENT_DELETE, SQL_ARGS(SQL_N(page.ids[i])), err);
		if (rc == RC_OK)
			rc = sql_run(&s->sql, STORE_SQL_MESSAGE_DELETE, SQL_ARGS(SQL_N(page.ids[i])), err);
	}
	*more |= page.count == STORE_TIDY_MESSAGES;
	return store_write_end(s, own, rc, err);
}

/* mailboxes of removed accounts */
static enum rc store_tidy_accounts(struct store *s, bool *more, struct err *err)
{
	struct sql_row row;
	int64_t account;
	bool own, left = true;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_NEXT_GONE, NULL, 0, err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	account = sql_number(&row, 0, 1, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = store_mail_remove_all(s, account, STORE_TIDY_ITEMS, &left, err);
	if (rc == RC_OK && !left)
		rc = sql_run(&s->sql, STORE_SQL_ACCOUNT_DELETE, SQL_ARGS(SQL_N(account)), err);
	*more |= rc == RC_OK;
	return store_write_end(s, own, rc, err);
}

/* destinations that were down, and for which nothing waits any more */
static enum rc store_tidy_destinations(struct store *s, int64_t now_ms, bool *more, struct err *err)
{
	struct sql_row row;
	bool own;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DEST_IDLE, SQL_ARGS(SQL_N(STORE_MAX_MS), SQL_N(now_ms - STORE_TIDY_DEST_MS)), err);

	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_DEST_FORGET, SQL_ARGS(SQL_N(STORE_MAX_MS), SQL_N(now_ms - STORE_TIDY_DEST_MS), SQL_N(STORE_PAGE_ROWS)), err);
	*more |= rc == RC_OK && sql_changed(&s->sql) == STORE_PAGE_ROWS;
	return store_write_end(s, own, rc, err);
}

enum rc store_tidy(struct store *s, int64_t now_ms, bool *more_out, struct err *err)
{
	bool more = false;
	enum rc rc = store_repeats_tidy(s, now_ms, &more, err);

	if (rc == RC_OK)
		rc = store_tidy_answered(s, now_ms, &more, err);
	if (rc == RC_OK)
		rc = store_tidy_accounts(s, &more, err);
	if (rc == RC_OK)
		rc = store_tidy_messages(s, &more, err);
	if (rc == RC_OK)
		rc = store_tidy_destinations(s, now_ms, &more, err);
	if (rc == RC_OK)
		rc = store_checkpoint(s, err);
	if (rc == RC_OK)
		*more_out = more;
	return rc;
}
