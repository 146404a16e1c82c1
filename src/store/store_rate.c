#include "store/store_rate.h"
#include "base/num.h"
#include "store/store_internal.h"

enum { STORE_RATE_TIDY = 1000, STORE_RATE_PAGE = 100, STORE_RATE_TAG_BITS = 3, STORE_RATE_TAG_MASK = 7 };

static bool store_rate_key_ok(struct span key)
{
	if (key.len == 0 || key.len > STORE_RATE_KEY_BYTES || !span_is_utf8(key))
		return false;
	for (size_t i = 0; i < key.len; i++)
		if (key.ptr[i] < 0x20 || key.ptr[i] == 0x7f)
			return false;
	return true;
}

enum rc store_rate_put(struct store *s, const struct store_rate *r, struct err *err)
{
	bool own;
	enum rc rc;

	if (r->kind <= STORE_RATE_RESET || r->kind >= STORE_RATE_KINDS || !store_rate_key_ok(r->key) || r->counts.len > STORE_RATE_COUNTS_BYTES || r->saved_ms < 0 ||
		r->saved_ms > STORE_MAX_MS)
		return err_set(err, RC_BAD, "this is no counter");
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_RATE_PUT, SQL_ARGS(SQL_N(r->kind), SQL_T(r->key), SQL_N(r->saved_ms), SQL_B(r->counts)), err);
	return store_write_end(s, own, rc, err);
}

/* ---- reading */

struct store_rate_page {
	struct store_rate rows[STORE_RATE_PAGE];
	size_t count;
	struct arena mem;
};

static enum rc store_rate_page(struct store *s, int kind, const struct store_rate *after, struct span end, struct store_rate_page *page, struct err *err)
{
	struct sql_row row;
	enum rc rc = kind > 0 ? sql_first(&s->sql, &row, STORE_SQL_RATE_PAGE_KIND, SQL_ARGS(SQL_N(kind), SQL_T(after->key), SQL_T(end), SQL_N(STORE_RATE_PAGE)), err)
			      : sql_first(&s->sql, &row, STORE_SQL_RATE_PAGE, SQL_ARGS(SQL_N(after->kind), SQL_T(after->key), SQL_N(STORE_RATE_PAGE)), err);

	for (page->count = 0; rc == RC_OK; rc = sql_next(&row, err)) {
		struct store_rate *r = &page->rows[page->count];

		*r = (struct store_rate){.kind = (int)sql_number(&row, 0, 1, STORE_RATE_KINDS - 1), .key = arena_copy(&page->mem, sql_text(&row, 1, STORE_RATE_KEY_BYTES)),
			.saved_ms = sql_number(&row, 2, 0, STORE_MAX_MS), .counts = arena_copy(&page->mem, sql_bytes(&row, 3, STORE_RATE_COUNTS_BYTES))};
		rc = page->mem.overflow ? err_set(err, RC_LIMIT, "no room for a page of counters") : sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		page->count++;
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_rate_each(struct store *s, int kind, struct span prefix, enum rc (*each)(void *arg, const struct store_rate *), void *arg, struct err *err)
{
	struct store_rate_page page = {.count = STORE_RATE_PAGE};
	struct store_rate after = {.kind = 1, .key = prefix};
	uint8_t last[STORE_RATE_KEY_BYTES];
	struct buf end; /* behind every key that begins so: no key has U+10FFFF */
	enum rc rc = RC_OK;

	buf_init(&end, 2 * STORE_RATE_KEY_BYTES);
	buf_add(&end, prefix);
	buf_add_str(&end, "\xf4\x8f\xbf\xbf");
	while (rc == RC_OK && page.count == STORE_RATE_PAGE) {
		arena_init(&page.mem, STORE_PAGE_BYTES);
		rc = store_rate_page(s, kind, &after, buf_span(&end), &page, err);
		for (size_t i = 0; i < page.count && rc == RC_OK; i++)
			rc = each(arg, &page.rows[i]);
		if (page.count) {
			after = page.rows[page.count - 1];
			memcpy(last, after.key.ptr, after.key.len);
			after.key.ptr = last;
		}
		arena_clear(&page.mem);
	}
	buf_clear(&end);
	return rc;
}

/* ---- removing */

static enum rc store_rate_delete(struct store *s, int kind, struct span key, struct err *err)
{
	return sql_run(&s->sql, STORE_SQL_RATE_REMOVE, SQL_ARGS(SQL_N(kind), SQL_T(key)), err);
}

enum rc store_rate_remove(struct store *s, int kind, struct span key, struct err *err)
{
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	return rc == RC_OK ? store_write_end(s, own, store_rate_delete(s, kind, key, err), err) : rc;
}

/* when the newest one was saved that is one too many; -1: there are no more than that */
static enum rc store_rate_cutoff(struct store *s, int kind, uint32_t most, int64_t *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_RATE_CUTOFF, SQL_ARGS(SQL_N(kind), SQL_N(most)), err);

	*out = -1;
	if (rc == RC_OK) {
		*out = sql_number(&row, 0, 0, STORE_MAX_MS);
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_rate_tidy(struct store *s, int kind, int64_t oldest_ms, int64_t latest_ms, uint32_t most, bool *more_out, struct err *err)
{
	int64_t cutoff = -1, changed = 0;
	struct sql_row row;
	bool own;
	enum rc rc = store_rate_cutoff(s, kind, most, &cutoff, err);

	if (rc != RC_OK)
		return rc;
	if (oldest_ms < cutoff + 1)
		oldest_ms = cutoff + 1;
	rc = sql_first(&s->sql, &row, STORE_SQL_RATE_OLD, SQL_ARGS(SQL_N(kind), SQL_N(oldest_ms), SQL_N(latest_ms)), err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_RATE_REMOVE_OLD, SQL_ARGS(SQL_N(kind), SQL_N(oldest_ms), SQL_N(latest_ms), SQL_N(STORE_RATE_TIDY)), err);
	changed = rc == RC_OK ? sql_changed(&s->sql) : 0;
	rc = store_write_end(s, own, rc, err);
	*more_out |= rc == RC_OK && changed == STORE_RATE_TIDY;
	return rc;
}

enum rc store_rate_tag_name(struct store *s, uint64_t tag, struct arena *mem, struct span *out, struct err *err)
{
	int64_t id = (int64_t)(tag >> STORE_RATE_TAG_BITS);
	struct store_account account;
	struct sql_row row;
	enum rc rc;

	if ((tag & STORE_RATE_TAG_MASK) == STORE_TAG_ACCOUNT) {
		rc = store_account_by_id(s, id, mem, &account, err);
		if (rc == RC_OK)
			*out = account.address;
		return rc;
	}
	rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_KEY, SQL_ARGS(SQL_N(id)), err);
	if (rc == RC_OK) {
		*out = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	return rc;
}

/* ---- requests: rows of kind STORE_RATE_RESET, whose key begins with the kind that is meant */

static struct span store_rate_request(int kind, struct span key, struct buf *out)
{
	buf_printf(out, "%d ", kind);
	buf_add(out, key);
	return buf_span(out);
}

enum rc store_rate_reset(struct store *s, int kind, struct span key, struct err *err)
{
	struct buf request;
	bool own;
	enum rc rc;

	if (!store_rate_key_ok(key))
		return err_set(err, RC_BAD, "this is no counter");
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	buf_init(&request, STORE_RATE_KEY_BYTES + 8);
	rc = store_rate_delete(s, kind, key, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_RATE_PUT, SQL_ARGS(SQL_N(STORE_RATE_RESET), SQL_T(store_rate_request(kind, key, &request)), SQL_N(0), SQL_B(SPAN_NONE)), err);
	buf_clear(&request);
	return store_write_end(s, own, rc, err);
}

enum rc store_rate_take_reset(struct store *s, struct arena *mem, int *kind_out, struct span *key_out, struct err *err)
{
	struct span key = SPAN_NONE, request;
	struct sql_row row;
	uint64_t kind = 0;
	bool own;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_RATE_RESET_NEXT, SQL_ARGS(SQL_N(STORE_RATE_RESET)), err);

	if (rc == RC_OK) {
		key = arena_copy(mem, sql_text(&row, 0, STORE_RATE_KEY_BYTES + 8));
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = store_write_end(s, own, store_rate_delete(s, STORE_RATE_RESET, key, err), err);
	request = key;
	if (rc == RC_OK && num_parse(span_cut(&request, ' '), STORE_RATE_KINDS - 1, &kind) != RC_OK)
		rc = err_set(err, RC_BAD, "a request to reset a counter names none");
	if (rc != RC_OK)
		return rc;
	*kind_out = (int)kind;
	*key_out = request;
	return RC_OK;
}
