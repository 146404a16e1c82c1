/* the outgoing queue: what senders are to be told */
#include "store/store_queue_internal.h"

enum { STORE_BOUNCE_ROWS = 1000 /* in one bounce */ };

/* ---- which messages */

struct store_told {
	int64_t message, since_ms;
};

static void store_told_read(struct sql_row *row, void *page, size_t n)
{
	((struct store_told *)page)[n] = (struct store_told){.message = sql_number(row, 0, 1, STORE_MAX_MS), .since_ms = sql_number(row, 1, 0, STORE_MAX_MS)};
}

static enum rc store_told_page(struct store *s, int64_t after, struct store_told *page, size_t *count_out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_NOTICE_PAGE, SQL_ARGS(SQL_N(after), SQL_N(STORE_PAGE_ROWS)), err);

	return sql_page(rc, &row, store_told_read, page, count_out, err);
}

static enum rc store_told_busy(struct store *s, int64_t message, int64_t now_ms, bool *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_NOTICE_BUSY, SQL_ARGS(SQL_N(message), SQL_N(now_ms)), err);

	sql_end(&row);
	*out = rc == RC_OK;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_queue_bounceable(struct store *s, int64_t now_ms, int64_t patience_ms, int64_t *messages, size_t max, size_t *count_out, struct err *err)
{
	struct store_told page[STORE_PAGE_ROWS];
	size_t n = STORE_PAGE_ROWS, found = 0;
	int64_t after = 0;
	bool busy;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == STORE_PAGE_ROWS && found < max) {
		rc = store_told_page(s, after, page, &n, err);
		for (size_t i = 0; i < n && rc == RC_OK && found < max; i++) {
			after = page[i].message;
			busy = false;
			/* a clock that was set back makes nobody wait longer */
			if (page[i].since_ms + patience_ms > now_ms && page[i].since_ms <= now_ms)
				rc = store_told_busy(s, after, now_ms, &busy, err);
			if (rc == RC_OK && !busy)
				messages[found++] = after;
		}
	}
	if (rc == RC_OK)
		*count_out = found;
	return rc;
}

/* ---- what to say */

static void store_failed_read(struct sql_row *row, struct arena *mem, struct store_failed *f)
{
	f->row = sql_number(row, 0, 1, STORE_MAX_MS);
	f->notice = (enum store_notice)sql_number(row, 1, STORE_NOTICE_FAILED, STORE_NOTICE_SENT);
	f->rcpt = arena_copy(mem, sql_text(row, 2, STORE_ADDRESS_BYTES));
	f->orcpt = arena_copy(mem, sql_text(row, 3, 4 * LIMIT_ORCPT_BYTES));
	f->notify = (unsigned)sql_number(row, 4, 0, UINT8_MAX);
	f->cause = cause_by_slug(sql_text(row, 5, STORE_HOST_BYTES));
	f->code = (unsigned)sql_number(row, 6, 0, UINT16_MAX);
	f->enhanced = arena_copy(mem, sql_text(row, 7, STORE_ENHANCED_BYTES));
	f->host = arena_copy(mem, sql_text(row, 8, STORE_HOST_BYTES));
	f->address = arena_copy(mem, sql_text(row, 9, STORE_REMOTE_BYTES));
	f->tls = arena_copy(mem, sql_text(row, 10, STORE_TLS_BYTES));
	f->words = arena_copy(mem, sql_text(row, 11, STORE_WORDS_BYTES));
	f->last_try_ms = sql_number(row, 12, 0, STORE_MAX_MS);
	f->next_try_ms = sql_number(row, 13, 0, STORE_MAX_MS);
	f->attempts = (uint32_t)sql_number(row, 14, 0, UINT32_MAX);
	f->expired = sql_number(row, 15, 0, 1) == 1;
}

static enum rc store_bounce_rows(struct store *s, int64_t message, struct arena *mem, struct store_failed *rows, size_t *count_out, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_NOTICE_ROWS, SQL_ARGS(SQL_N(message), SQL_N(STORE_BOUNCE_ROWS)), err);

	for (; rc == RC_OK && n < STORE_BOUNCE_ROWS; rc = sql_next(&row, err)) {
		store_failed_read(&row, mem, &rows[n]);
		rc = sql_checked(&row, err);
		if (rc != RC_OK || mem->overflow)
			break;
		n++;
	}
	sql_end(&row);
	if (mem->overflow && n == 0)
		return err_set(err, RC_LIMIT, "no room for a bounce");
	*count_out = n; /* where memory ended: the others come in a bounce of their own */
	return rc == RC_NONE || mem->overflow ? RC_OK : rc;
}

static enum rc store_bounce_message(struct store *s, int64_t message, struct arena *mem, struct store_bounce *b, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_NOTICE_MESSAGE, SQL_ARGS(SQL_N(message)), err);

	if (rc != RC_OK)
		return rc;
	*b = (struct store_bounce){.message = message, .received_ms = sql_number(&row, 0, 0, STORE_MAX_MS), .sender = arena_copy(mem, sql_text(&row, 1,
		STORE_ADDRESS_BYTES)),
		.envid = arena_copy(mem, sql_text(&row, 2, 4 * LIMIT_ENVID_BYTES)), .helo = arena_copy(mem, sql_text(&row, 3, STORE_ADDRESS_BYTES)),
		.peer = arena_copy(mem, sql_text(&row, 4, STORE_ADDRESS_BYTES)), .ret = (unsigned)sql_number(&row, 5, 0, 2),
		.origin = (enum store_origin)sql_number(&row, 6, 0, STORE_ORIGIN_SERVER), .smtputf8 = sql_number(&row, 7, 0, INT32_MAX) & STORE_FLAG_SMTPUTF8,
		.requiretls = sql_number(&row, 7, 0, INT32_MAX) & STORE_FLAG_REQUIRETLS,
		.head_bytes = (uint64_t)sql_number(&row, 8, 0, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES)};
	b->bytes = b->head_bytes + (uint64_t)sql_number(&row, 9, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

enum rc store_queue_bounce_get(struct store *s, int64_t message, struct arena *mem, struct store_bounce *out, struct err *err)
{
	struct store_failed *rows = arena_alloc(mem, STORE_BOUNCE_ROWS * sizeof(*rows));
	struct store_bounce b;
	size_t n = 0;
	enum rc rc = rows ? store_bounce_message(s, message, mem, &b, err) : err_set(err, RC_LIMIT, "no room for a bounce");

	if (rc == RC_OK)
		rc = store_bounce_rows(s, message, mem, rows, &n, err);
	if (rc == RC_OK && n == 0)
		rc = RC_NONE;
	if (rc != RC_OK)
		return rc;
	b.rows = rows;
	b.row_count = n;
	*out = b;
	return RC_OK;
}

/* ---- told */

static enum rc store_bounced_one(struct store *s, int64_t id, struct err *err)
{
	enum store_queue_state state;
	struct sql_row row;
	int64_t message;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_NOTICE_STATE, SQL_ARGS(SQL_N(id)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	message = sql_number(&row, 0, 1, STORE_MAX_MS);
	state = (enum store_queue_state)sql_number(&row, 1, 0, STORE_QUEUE_STATES - 1);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	if (state == STORE_QUEUE_FAILED || state == STORE_QUEUE_SENT)
		return store_queue_drop(s, id, message, err);
	return sql_run(&s->sql, STORE_SQL_NOTICE_TOLD, SQL_ARGS(SQL_N(id)), err);
}

enum rc store_queue_bounced(struct store *s, const int64_t *rows, size_t count, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = store_bounced_one(s, rows[i], err);
	return rc;
}
