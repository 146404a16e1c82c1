/* the outgoing queue: what became of attempts */
#include "store/store_queue_internal.h"

/* ---- text from outside, as the database keeps it: valid UTF-8 without control characters, cut between characters */

struct span store_queue_clean(struct span s, size_t max, uint8_t *to)
{
	struct span cut = span_head(s, max);
	bool whole;

	while (cut.len && cut.len < s.len && (s.ptr[cut.len] & 0xc0) == 0x80)
		cut.len--;
	whole = span_is_utf8(cut);
	for (size_t i = 0; i < cut.len; i++) {
		uint8_t c = cut.ptr[i];

		to[i] = c < 0x20 || c == 0x7f ? ' ' : c >= 0x80 && !whole ? '?' : c;
	}
	return span_of(to, cut.len);
}

struct store_cleaned {
	uint8_t enhanced[STORE_ENHANCED_BYTES], host[STORE_HOST_BYTES], address[STORE_REMOTE_BYTES], tls[STORE_TLS_BYTES], words[STORE_WORDS_BYTES];
};

/* ---- a row */

static enum rc store_row_get(struct store *s, int64_t id, struct arena *mem, struct store_row *out, enum store_queue_state *state_out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_ROW, SQL_ARGS(SQL_N(id)), err);

	if (rc != RC_OK)
		return rc;
	*out = (struct store_row){.id = id, .message = sql_number(&row, 1, 1, STORE_MAX_MS), .received_ms = sql_number(&row, 2, 0, STORE_MAX_MS),
		.account = sql_number(&row, 3, 0, STORE_MAX_MS), .attempts = (uint32_t)sql_number(&row, 4, 0, UINT32_MAX), .notify = (unsigned)sql_number(&row, 5, 0,
			UINT8_MAX),
		.notified = sql_number(&row, 6, 0, 1) == 1, .origin = (enum store_origin)sql_number(&row, 7, 0, STORE_ORIGIN_SERVER),
		.sender = arena_copy(mem, sql_text(&row, 8, STORE_ADDRESS_BYTES)), .rcpt = arena_copy(mem, sql_text(&row, 9, STORE_ADDRESS_BYTES)),
		.dest = arena_copy(mem, sql_text(&row, 10, STORE_DEST_BYTES)), .next_try_ms = sql_number(&row, 12, 0, STORE_MAX_MS), .wish = sql_number(&row, 13, 0,
			INT32_MAX)};
	*state_out = (enum store_queue_state)sql_number(&row, 11, 0, STORE_QUEUE_STATES - 1);
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc == RC_OK && mem->overflow ? err_set(err, RC_LIMIT, "no room for a row of the queue") : rc;
}

enum rc store_queue_row(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err)
{
	enum store_queue_state state = STORE_QUEUE_WAITING;
	enum rc rc = store_row_get(s, row, mem, out, &state, err);

	return rc == RC_OK && state != STORE_QUEUE_LEASED ? RC_NONE : rc;
}

enum rc store_queue_claimed(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err)
{
	enum store_queue_state state = STORE_QUEUE_WAITING;
	enum rc rc = store_row_get(s, row, mem, out, &state, err);

	return rc == RC_OK && state != STORE_QUEUE_WAITING && state != STORE_QUEUE_LEASED && !(state == STORE_QUEUE_HELD && out->wish) ? RC_NONE : rc;
}

enum rc store_queue_drop(struct store *s, int64_t row, int64_t message, struct err *err)
{
	enum rc rc = sql_run(&s->sql, STORE_SQL_QUEUE_DELETE, SQL_ARGS(SQL_N(row)), err);

	if (rc == RC_OK && sql_changed(&s->sql) > 0)
		rc = sql_run(&s->sql, STORE_SQL_MESSAGE_RELEASE, SQL_ARGS(SQL_N(message)), err);
	return rc;
}

/* ---- settling */

static enum rc store_settle_write(struct store *s, const struct store_row *row, const struct store_attempt *a, enum store_queue_state state,
	enum store_notice notice,
	struct err *err)
{
	struct store_cleaned c;

	if (!a->counts && state == STORE_QUEUE_FAILED && a->how == STORE_SETTLE_WAITS) /* an administrator wants it bounced; nothing was learned of it */
		return sql_run(&s->sql, STORE_SQL_QUEUE_FAIL, SQL_ARGS(SQL_N(row->id), SQL_N(0), SQL_N(a->now_ms), SQL_T(SPAN_NONE), SQL_T(SPAN_NONE),
			SQL_T(SPAN_NONE)), err);
	if (!a->counts && a->how == STORE_SETTLE_WAITS)
		return sql_run(&s->sql, STORE_SQL_QUEUE_AGAIN, SQL_ARGS(SQL_N(row->id), SQL_N(state), SQL_N(a->next_ms)), err);
	return sql_run(&s->sql, STORE_SQL_QUEUE_SETTLE, SQL_ARGS(SQL_N(row->id), SQL_N(state), SQL_N(state == STORE_QUEUE_WAITING ? a->next_ms : a->now_ms),
		SQL_N(row->attempts + (a->counts ? 1 : 0)), SQL_N(a->now_ms), SQL_T(span_str(cause_slug(a->cause))), SQL_N(a->code),
		SQL_T(store_queue_clean(a->enhanced, sizeof(c.enhanced), c.enhanced)), SQL_T(store_queue_clean(a->host, sizeof(c.host), c.host)),
		SQL_T(store_queue_clean(a->address, sizeof(c.address), c.address)), SQL_T(store_queue_clean(a->tls, sizeof(c.tls), c.tls)),
		SQL_T(store_queue_clean(a->words, sizeof(c.words), c.words)), SQL_N(a->expired), SQL_N(notice)), err);
}

enum rc store_queue_settle(struct store *s, const struct store_row *row, const struct store_attempt *a, struct err *err)
{
	enum store_queue_state state = STORE_QUEUE_WAITING;
	enum store_notice notice = STORE_NOTICE_NONE;
	enum rc rc;

	switch (a->how) {
	case STORE_SETTLE_SENT:
		if (!a->success_notice)
			return store_queue_drop(s, row->id, row->message, err);
		state = STORE_QUEUE_SENT;
		notice = STORE_NOTICE_SENT;
		break;
	case STORE_SETTLE_DROPPED:
		return store_queue_drop(s, row->id, row->message, err);
	case STORE_SETTLE_FAILED:
		state = STORE_QUEUE_FAILED;
		notice = STORE_NOTICE_FAILED;
		break;
	case STORE_SETTLE_WAITS:
		if (a->next_ms < 0 || a->next_ms >= STORE_NEVER_MS)
			return err_set(err, RC_BAD, "no such time to try again");
		state = store_queue_wished(row->wish);
		notice = state == STORE_QUEUE_FAILED ? STORE_NOTICE_FAILED : a->delay_notice && !row->notified ? STORE_NOTICE_DELAYED : STORE_NOTICE_NONE;
		break;
	}
	rc = store_settle_write(s, row, a, state, notice, err);
	if (rc == RC_OK && state == STORE_QUEUE_WAITING)
		rc = store_destination_due(s, row->dest, a->next_ms, err);
	return rc;
}

/* ---- rows that get old behind a destination that is down */

struct store_aged {
	int64_t id;
	uint32_t failures;
};

/* the numbers of rows to look at; *after moves on behind the last that is old enough, or to 0 where the end was reached */
static enum rc store_old_ids(struct store *s, int64_t received_ms, bool delayed, int64_t *after, struct store_aged *ids, size_t max, size_t *count_out,
	struct err *err)
{
	struct sql_row row;
	size_t n = 0, seen = 0;
	bool young = false;
	int64_t last = *after;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_AGED_PAGE, SQL_ARGS(SQL_N(*after), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK && n < max && !young; rc = sql_next(&row, err)) {
		int64_t id = sql_number(&row, 0, 1, STORE_MAX_MS), received = sql_number(&row, 1, 0, STORE_MAX_MS);
		bool waits = sql_number(&row, 2, 0, STORE_QUEUE_STATES - 1) == STORE_QUEUE_WAITING;
		uint32_t failures = (uint32_t)sql_number(&row, 3, 0, UINT32_MAX);
		bool told = sql_number(&row, 4, 0, 1) == 1 || sql_number(&row, 5, 0, STORE_NOTICE_SENT) != STORE_NOTICE_NONE;

		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		young = received >= received_ms;
		if (young)
			break;
		last = id;
		seen++;
		if (waits && failures && !(delayed && told))
			ids[n++] = (struct store_aged){id, failures};
	}
	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*after = young || (rc == RC_NONE && seen < STORE_PAGE_ROWS) ? 0 : last;
	*count_out = n;
	return RC_OK;
}

enum rc store_queue_old(struct store *s, int64_t received_ms, bool delayed, int64_t *after, struct arena *mem, struct store_old *rows, size_t max,
	size_t *count_out,
	struct err *err)
{
	struct store_aged ids[STORE_PAGE_ROWS];
	enum store_queue_state state = STORE_QUEUE_WAITING;
	size_t n = 0, found = 0;
	enum rc rc = store_old_ids(s, received_ms, delayed, after, ids, max < STORE_PAGE_ROWS ? max : STORE_PAGE_ROWS, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_row_get(s, ids[i].id, mem, &rows[found].row, &state, err);
		rows[found].id = ids[i].id;
		rows[found].failures = ids[i].failures;
		found += rc == RC_OK;
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	if (rc == RC_OK)
		*count_out = found;
	return rc;
}

static enum rc store_old_fail(struct store *s, const struct store_old *old, int64_t now_ms, struct err *err)
{
	struct span cause, host, words;
	struct arena mem;
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DEST_FACTS, SQL_ARGS(SQL_T(old->row.dest)), err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 4096);
	cause = arena_copy(&mem, sql_text(&row, 0, STORE_HOST_BYTES));
	host = arena_copy(&mem, sql_text(&row, 1, STORE_HOST_BYTES));
	words = arena_copy(&mem, sql_text(&row, 2, STORE_WORDS_BYTES));
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_QUEUE_FAIL, SQL_ARGS(SQL_N(old->id), SQL_N(1), SQL_N(now_ms), SQL_T(cause), SQL_T(host), SQL_T(words)), err);
	arena_clear(&mem);
	return rc;
}

enum rc store_queue_settle_old(struct store *s, const struct store_old *old, enum store_settle how, int64_t now_ms, struct err *err)
{
	switch (how) {
	case STORE_SETTLE_FAILED:
		return store_old_fail(s, old, now_ms, err);
	case STORE_SETTLE_DROPPED:
		return store_queue_drop(s, old->id, old->row.message, err);
	case STORE_SETTLE_WAITS:
		return sql_run(&s->sql, STORE_SQL_QUEUE_TELL, SQL_ARGS(SQL_N(old->id), SQL_N(STORE_NOTICE_DELAYED), SQL_N(now_ms)), err);
	case STORE_SETTLE_SENT:
		break;
	}
	return err_set(err, RC_BAD, "what nobody tried cannot have arrived");
}
