/* destinations: what is due where, and which are down */
#include "store/store_queue_internal.h"

struct store_dest_row {
	int64_t due_ms, blocked_ms;
	uint32_t failures;
};

static enum rc store_dest_get(struct store *s, struct span dest, struct store_dest_row *out, struct err *err)
{
	struct sql_row row;
	struct store_dest_row d;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DEST_GET, SQL_ARGS(SQL_T(dest)), err);

	if (rc != RC_OK)
		return rc;
	d.due_ms = sql_number(&row, 0, 0, STORE_NEVER_MS);
	d.blocked_ms = sql_number(&row, 1, 0, STORE_NEVER_MS);
	d.failures = (uint32_t)sql_number(&row, 2, 0, UINT32_MAX);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = d;
	return rc;
}

static int64_t store_later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* the usual case, a destination that is due already, costs one look */
enum rc store_destination_due(struct store *s, struct span dest, int64_t at_ms, struct err *err)
{
	struct store_dest_row d;
	enum rc rc = store_dest_get(s, dest, &d, err);

	if (rc == RC_NONE) {
		s->queue_stirred = true;
		return sql_run(&s->sql, STORE_SQL_DEST_ADD, SQL_ARGS(SQL_T(dest), SQL_N(at_ms)), err);
	}
	at_ms = store_later(at_ms, d.blocked_ms);
	if (rc != RC_OK || at_ms >= d.due_ms)
		return rc;
	s->queue_stirred = true;
	return sql_run(&s->sql, STORE_SQL_DEST_DUE, SQL_ARGS(SQL_T(dest), SQL_N(at_ms)), err);
}

/* when the first row that waits there may go; STORE_NEVER_MS: none waits */
static enum rc store_dest_next(struct store *s, struct span dest, int64_t *out, struct err *err)
{
	struct sql_row row;
	int64_t at;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_NEXT, SQL_ARGS(SQL_T(dest)), err);

	if (rc == RC_NONE) {
		*out = STORE_NEVER_MS;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	at = sql_number(&row, 0, 0, STORE_NEVER_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = at;
	return rc;
}

enum rc store_destination_look(struct store *s, struct span dest, struct err *err)
{
	struct store_dest_row d = {.due_ms = STORE_NEVER_MS};
	int64_t next = 0;
	bool known;
	enum rc rc = store_dest_get(s, dest, &d, err);

	known = rc == RC_OK;
	if (rc == RC_OK || rc == RC_NONE)
		rc = store_dest_next(s, dest, &next, err);
	if (rc != RC_OK)
		return rc;
	if (next == STORE_NEVER_MS && d.failures == 0 && d.blocked_ms == 0)
		return known ? sql_run(&s->sql, STORE_SQL_DEST_REMOVE, SQL_ARGS(SQL_T(dest)), err) : RC_OK;
	next = store_later(next, d.blocked_ms);
	s->queue_stirred |= next < d.due_ms;
	if (!known)
		return sql_run(&s->sql, STORE_SQL_DEST_ADD, SQL_ARGS(SQL_T(dest), SQL_N(next)), err);
	return next == d.due_ms ? RC_OK : sql_run(&s->sql, STORE_SQL_DEST_DUE, SQL_ARGS(SQL_T(dest), SQL_N(next)), err);
}

/* ---- what is due */

static enum rc store_due_next(struct store *s, int64_t now_ms, int64_t *next_ms_out, struct err *err)
{
	struct sql_row row;
	int64_t at;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DEST_NEXT, SQL_ARGS(SQL_N(now_ms)), err);

	*next_ms_out = INT64_MAX;
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	at = sql_number(&row, 0, 0, STORE_NEVER_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && at < STORE_NEVER_MS)
		*next_ms_out = at;
	return rc;
}

enum rc store_queue_due(struct store *s, int64_t now_ms, struct arena *mem, struct store_due *due, size_t max, size_t *count_out, int64_t *next_ms_out,
	struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DEST_DUE_PAGE, SQL_ARGS(SQL_N(now_ms), SQL_N(max)), err);

	for (; rc == RC_OK && n < max; rc = sql_next(&row, err)) {
		due[n].dest = arena_copy(mem, sql_text(&row, 0, STORE_DEST_BYTES));
		due[n].failures = (uint32_t)sql_number(&row, 1, 0, UINT32_MAX);
		rc = sql_checked(&row, err);
		if (rc == RC_OK && mem->overflow)
			rc = err_set(err, RC_LIMIT, "no room for the names of %zu destinations", max);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	rc = store_due_next(s, now_ms, next_ms_out, err);
	if (rc == RC_OK)
		*count_out = n;
	return rc;
}

bool store_queue_stirred(struct store *s)
{
	bool stirred = s->queue_stirred;

	s->queue_stirred = false;
	return stirred;
}

/* ---- down, and up again */

static enum rc store_dest_clear(struct store *s, struct span dest, struct err *err)
{
	int64_t next = 0;
	enum rc rc = store_dest_next(s, dest, &next, err);

	if (rc != RC_OK)
		return rc;
	s->queue_stirred |= next < STORE_NEVER_MS;
	if (next == STORE_NEVER_MS)
		return sql_run(&s->sql, STORE_SQL_DEST_REMOVE, SQL_ARGS(SQL_T(dest)), err);
	return sql_run(&s->sql, STORE_SQL_DEST_CLEAR, SQL_ARGS(SQL_T(dest), SQL_N(next)), err);
}

enum rc store_queue_block(struct store *s, struct span dest, int64_t now_ms, int64_t until_ms, enum cause_id cause, struct span host, struct span words,
	struct err *err)
{
	uint8_t clean_host[STORE_HOST_BYTES], clean_words[STORE_WORDS_BYTES];
	struct store_dest_row d = {.due_ms = STORE_NEVER_MS};
	enum rc rc = store_dest_get(s, dest, &d, err);

	if (dest.len == 0 || dest.len > STORE_DEST_BYTES || until_ms < 0 || until_ms >= STORE_NEVER_MS)
		return err_set(err, RC_BAD, "no such destination, or no such time");
	if (until_ms == 0)
		return rc == RC_OK && (d.failures || d.blocked_ms) ? store_dest_clear(s, dest, err) : rc == RC_NONE ? RC_OK : rc;
	if (rc == RC_NONE)
		rc = sql_run(&s->sql, STORE_SQL_DEST_ADD, SQL_ARGS(SQL_T(dest), SQL_N(STORE_NEVER_MS)), err);
	if (rc != RC_OK)
		return rc;
	if (d.blocked_ms <= now_ms && d.failures < UINT32_MAX) /* several connections that break together are one failure */
		d.failures++;
	until_ms = store_later(until_ms, d.blocked_ms);
	return sql_run(&s->sql, STORE_SQL_DEST_BLOCK, SQL_ARGS(SQL_T(dest), SQL_N(store_later(d.due_ms, until_ms)), SQL_N(until_ms), SQL_N(d.failures),
		SQL_T(span_str(cause_slug(cause))), SQL_T(store_queue_clean(host, sizeof(clean_host), clean_host)),
		SQL_T(store_queue_clean(words, sizeof(clean_words), clean_words)), SQL_N(now_ms)), err);
}

enum rc store_destination_unblock(struct store *s, struct span dest, struct err *err)
{
	struct store_dest_row d;
	int64_t next = 0;
	enum rc rc = store_dest_get(s, dest, &d, err);

	if (rc != RC_OK)
		return rc == RC_NONE ? store_destination_look(s, dest, err) : rc;
	rc = store_dest_next(s, dest, &next, err);
	if (rc != RC_OK)
		return rc;
	s->queue_stirred |= next < d.due_ms;
	return sql_run(&s->sql, STORE_SQL_DEST_UNBLOCK, SQL_ARGS(SQL_T(dest), SQL_N(next)), err);
}

enum rc store_queue_failures(struct store *s, struct span dest, uint32_t *out, struct err *err)
{
	struct store_dest_row d = {0};
	enum rc rc = store_dest_get(s, dest, &d, err);

	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*out = d.failures;
	return RC_OK;
}

/* ---- looking */

static enum rc store_dest_read(struct sql_row *row, struct arena *mem, struct store_destination *d, struct err *err)
{
	d->name = arena_copy(mem, sql_text(row, 0, STORE_DEST_BYTES));
	d->due_ms = sql_number(row, 1, 0, STORE_NEVER_MS);
	d->blocked_ms = sql_number(row, 2, 0, STORE_NEVER_MS);
	d->failures = (uint32_t)sql_number(row, 3, 0, UINT32_MAX);
	d->cause = arena_copy(mem, sql_text(row, 4, STORE_HOST_BYTES));
	d->host = arena_copy(mem, sql_text(row, 5, STORE_HOST_BYTES));
	d->words = arena_copy(mem, sql_text(row, 6, STORE_WORDS_BYTES));
	d->since_ms = sql_number(row, 7, 0, STORE_NEVER_MS);
	d->waiting = sql_number(row, 8, 0, STORE_MAX_MS);
	d->leased = sql_number(row, 9, 0, STORE_MAX_MS);
	if (d->due_ms == STORE_NEVER_MS || d->waiting == 0)
		d->due_ms = 0;
	return sql_checked(row, err);
}

enum rc store_destination_each(struct store *s, enum rc (*each)(void *arg, const struct store_destination *), void *arg, struct err *err)
{
	struct store_destination page[STORE_PAGE_ROWS];
	size_t n = STORE_PAGE_ROWS;
	struct span after = SPAN_NONE;
	struct arena mem, next;
	struct sql_row row;
	enum rc rc = RC_OK;

	arena_init(&mem, STORE_PAGE_BYTES);
	while (rc == RC_OK && n == STORE_PAGE_ROWS) {
		arena_init(&next, STORE_PAGE_BYTES);
		n = 0;
		for (rc = sql_first(&s->sql, &row, STORE_SQL_DEST_PAGE, SQL_ARGS(SQL_T(after), SQL_N(STORE_PAGE_ROWS)), err); rc == RC_OK; rc = sql_next(&row, err)) {
			rc = store_dest_read(&row, &next, &page[n], err);
			if (rc != RC_OK)
				break;
			n++;
		}
		sql_end(&row);
		rc = rc == RC_NONE ? RC_OK : rc;
		for (size_t i = 0; i < n && rc == RC_OK; i++)
			rc = each(arg, &page[i]);
		after = n ? page[n - 1].name : SPAN_NONE;
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	return rc;
}
