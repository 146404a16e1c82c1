#include "store/history.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/store_sql.h"

enum {
	HISTORY_POSITION_BITS = 16,  /* index in its block, in what `at` and `before` are */
	HISTORY_EVENT_LEAST = 9,     /* bytes of an event */
	HISTORY_BLOCK_EVENTS = HISTORY_BLOCK_BYTES / HISTORY_EVENT_LEAST + 1,
	HISTORY_WAL_PAGES = 500,
	HISTORY_FORMAT = 1,
};
#define HISTORY_MOST (INT64_MAX >> HISTORY_POSITION_BITS)
#define HISTORY_TIME_MOST ((int64_t)1 << 48)

/* parts of a hundred */
static const uint8_t history_shares[HISTORY_CLASS_COUNT] = {[HISTORY_MAIL] = 60, [HISTORY_SIGNINS] = 20, [HISTORY_STRANGERS] = 20};

enum history_statement {
	HISTORY_SQL_LAST, HISTORY_SQL_PUT, HISTORY_SQL_TALLY, HISTORY_SQL_TALLY_SET, HISTORY_SQL_OLD, HISTORY_SQL_OLDEST, HISTORY_SQL_REMOVE, HISTORY_SQL_BACK,
	HISTORY_SQL_FIRST, HISTORY_SQL_RECENT, HISTORY_SQL_COUNT
};

static const char *const history_texts[HISTORY_SQL_COUNT] = {
	[HISTORY_SQL_LAST] = "SELECT id FROM block ORDER BY id DESC LIMIT 1",
	[HISTORY_SQL_PUT] = "INSERT INTO block (id, class, format, first_ms, last_ms, bytes, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[HISTORY_SQL_TALLY] = "SELECT class, bytes, blocks FROM tally",
	[HISTORY_SQL_TALLY_SET] = ("INSERT INTO tally (class, bytes, blocks) VALUES (?1, ?2, ?3) ON CONFLICT (class) DO UPDATE SET "
		"bytes = excluded.bytes, blocks = excluded.blocks"),
	[HISTORY_SQL_OLD] = "SELECT id, class, bytes FROM block WHERE last_ms < ?1 ORDER BY last_ms LIMIT 1",
	[HISTORY_SQL_OLDEST] = "SELECT id, class, bytes FROM block WHERE class = ?1 ORDER BY id LIMIT 1",
	[HISTORY_SQL_REMOVE] = "DELETE FROM block WHERE id = ?1",
	/* by id, not by the index on last_ms, which would have to be sorted */
	[HISTORY_SQL_BACK] = "SELECT id, format, events FROM block WHERE id <= ?1 AND last_ms + 0 >= ?2 AND first_ms < ?3 ORDER BY id DESC",
	[HISTORY_SQL_FIRST] = "SELECT MIN(last_ms), MAX(last_ms) FROM block",
	[HISTORY_SQL_RECENT] = "SELECT id, format, last_ms, events FROM block WHERE class = ?1 ORDER BY id DESC",
};

static const struct sql_migration history_migrations[] = {
	{
		/* the events come last, so that walking over blocks does not read them */
		"CREATE TABLE block (id " SQL_ID ", class BIGINT NOT NULL, format BIGINT NOT NULL, first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL, bytes BIGINT NOT NULL,"
		" events " SQL_BYTES " NOT NULL);"
		"CREATE INDEX block_class ON block (class, id);"
		"CREATE INDEX block_last ON block (last_ms);"
		"CREATE TABLE tally (class BIGINT PRIMARY KEY, bytes BIGINT NOT NULL, blocks BIGINT NOT NULL) " SQL_CLUSTERED ";",
		"PRAGMA user_version = 1",
	},
};

static const struct sql_schema history_schema = {
	.what = "history",
	.migrations = history_migrations,
	.version = sizeof(history_migrations) / sizeof(history_migrations[0]),
	.texts = history_texts,
	.text_count = HISTORY_SQL_COUNT,
};

struct history_tally {
	uint64_t bytes, blocks;
};

struct history {
	struct sql sql;
	struct buf waiting[HISTORY_CLASS_COUNT], staged;
	uint64_t waiting_events, staged_events, lost, lost_told;
	int64_t last_id;
	struct history_tally tally[HISTORY_CLASS_COUNT];
};

/* ---- opening */

static enum rc history_read_tally(struct history *h, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&h->sql, &row, HISTORY_SQL_LAST, NULL, 0, err);

	h->last_id = 0;
	memset(h->tally, 0, sizeof(h->tally));
	if (rc == RC_OK) {
		h->last_id = sql_number(&row, 0, 1, HISTORY_MOST - 1);
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	for (rc = sql_first(&h->sql, &row, HISTORY_SQL_TALLY, NULL, 0, err); rc == RC_OK; rc = sql_next(&row, err)) {
		struct history_tally *t = &h->tally[sql_number(&row, 0, 0, HISTORY_CLASS_COUNT - 1)];

		t->bytes = (uint64_t)sql_number(&row, 1, 0, HISTORY_MOST);
		t->blocks = (uint64_t)sql_number(&row, 2, 0, HISTORY_MOST);
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc history_open(const char *dir, unsigned flags, struct history **out, struct err *err)
{
	struct history *h = mem_zalloc(sizeof(*h));
	unsigned how = flags & HISTORY_READ_ONLY ? SQL_OPEN_READ_ONLY : SQL_OPEN_SERVE | SQL_OPEN_ASIDE;
	enum rc rc;

	if (flags & HISTORY_CREATE)
		how |= SQL_OPEN_CREATE;
	for (size_t i = 0; i < HISTORY_CLASS_COUNT; i++)
		buf_init(&h->waiting[i], HISTORY_WAITING_BYTES);
	buf_init(&h->staged, HISTORY_WAITING_BYTES);
	rc = sql_open(&h->sql, dir, "history.db", how, &history_schema, err);
	if (rc == RC_OK)
		rc = history_read_tally(h, err);
	if (rc != RC_OK)
		history_close(&h);
	else
		*out = h;
	return rc;
}

void history_close(struct history **hp)
{
	struct history *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	sql_close(&h->sql);
	for (size_t i = 0; i < HISTORY_CLASS_COUNT; i++)
		buf_clear(&h->waiting[i]);
	buf_clear(&h->staged);
	free(h);
}

/* ---- adding */

static enum history_class history_class_of(const struct history_event *e)
{
	switch (e->kind) {
	case HISTORY_ACCEPTED:
	case HISTORY_QUEUED:
	case HISTORY_SIGNIN_OK:
	case HISTORY_WINDOW_OPENED:
	case HISTORY_WINDOW_CLOSED:
	case HISTORY_LOST:
	case HISTORY_DELIVERED:
	case HISTORY_DEFERRED:
	case HISTORY_FAILED:
	case HISTORY_EXPIRED:
	case HISTORY_HELD:
	case HISTORY_RELEASED:
	case HISTORY_RETRIED:
	case HISTORY_REMOVED:
		return HISTORY_MAIL;
	case HISTORY_SIGNIN_FAILED:
		return HISTORY_SIGNINS;
	case HISTORY_NONE:
	case HISTORY_SESSION:
	case HISTORY_REFUSED:
	case HISTORY_MORE:
	case HISTORY_KIND_COUNT:
		break;
	}
	return e->account.len ? HISTORY_MAIL : HISTORY_STRANGERS;
}

static bool history_put(struct history *h, struct buf *to, const struct history_event *e, uint64_t *count)
{
	history_encode(to, e);
	if (to->overflow) {
		to->overflow = false;
		h->lost++;
		return false;
	}
	++*count;
	return true;
}

bool history_add(struct history *h, const struct history_event *e)
{
	return history_put(h, &h->waiting[history_class_of(e)], e, &h->waiting_events);
}

bool history_stage(struct history *h, const struct history_event *e)
{
	return history_put(h, &h->staged, e, &h->staged_events);
}

void history_settle(struct history *h, bool committed)
{
	struct buf *to = &h->waiting[HISTORY_MAIL];

	if (committed && h->staged_events) {
		buf_add(to, buf_span(&h->staged));
		if (to->overflow)
			h->lost += h->staged_events;
		else
			h->waiting_events += h->staged_events;
		to->overflow = false;
	}
	buf_reset(&h->staged);
	h->staged_events = 0;
}

bool history_is_waiting(const struct history *h)
{
	return h->waiting_events > 0 || h->lost > h->lost_told;
}

uint64_t history_lost(const struct history *h)
{
	return h->lost;
}

/* ---- writing */

struct history_block {
	struct span bytes;
	int64_t first_ms, last_ms;
};

/* cuts as many whole events off as one block holds */
static struct history_block history_cut_block(struct span *rest)
{
	struct history_block b = {.first_ms = HISTORY_TIME_MOST, .bytes = span_of(rest->ptr, 0)};
	int64_t at_ms;
	size_t bytes;

	for (; (bytes = history_peek(span_from(*rest, b.bytes.len), &at_ms)) > 0 && b.bytes.len + bytes <= HISTORY_BLOCK_BYTES; b.bytes.len += bytes) {
		b.first_ms = at_ms < b.first_ms ? at_ms : b.first_ms;
		b.last_ms = at_ms > b.last_ms ? at_ms : b.last_ms;
	}
	*rest = span_from(*rest, b.bytes.len);
	return b;
}

static enum rc history_put_tally(struct history *h, enum history_class c, struct err *err)
{
	return sql_run(&h->sql, HISTORY_SQL_TALLY_SET, SQL_ARGS(SQL_N(c), SQL_N(h->tally[c].bytes), SQL_N(h->tally[c].blocks)), err);
}

static enum rc history_write_class(struct history *h, enum history_class c, struct err *err)
{
	struct span rest = buf_span(&h->waiting[c]);
	enum rc rc = RC_OK;

	if (rest.len == 0)
		return RC_OK;
	while (rest.len && rc == RC_OK) {
		struct history_block b = history_cut_block(&rest);

		if (b.bytes.len == 0)
			return err_set(err, RC_BAD, "%s: an event that cannot be", h->sql.path);
		rc = sql_run(&h->sql, HISTORY_SQL_PUT, SQL_ARGS(SQL_N(++h->last_id), SQL_N(c), SQL_N(HISTORY_FORMAT), SQL_N(b.first_ms), SQL_N(b.last_ms),
			SQL_N(b.bytes.len), SQL_B(b.bytes)), err);
		h->tally[c].bytes += b.bytes.len;
		h->tally[c].blocks++;
	}
	return rc == RC_OK ? history_put_tally(h, c, err) : rc;
}

static void history_forget_waiting(struct history *h)
{
	for (size_t i = 0; i < HISTORY_CLASS_COUNT; i++) {
		/* what a burst needed is not kept */
		if (h->waiting[i].size > HISTORY_BLOCK_BYTES * 4)
			buf_clear(&h->waiting[i]);
		else
			buf_reset(&h->waiting[i]);
	}
	h->waiting_events = 0;
}

enum rc history_write(struct history *h, int64_t now_ms, struct err *err)
{
	struct history_tally before[HISTORY_CLASS_COUNT];
	int64_t last_id = h->last_id;
	uint64_t lost = h->lost;
	enum rc rc = sql_begin(&h->sql, err);

	if (rc == RC_BUSY)
		return rc;
	if (lost > h->lost_told)
		(void)history_add(h, &(struct history_event){.kind = HISTORY_LOST, .at_ms = now_ms, .more = lost - h->lost_told});
	memcpy(before, h->tally, sizeof(before));
	for (int c = 0; c < HISTORY_CLASS_COUNT && rc == RC_OK; c++)
		rc = history_write_class(h, (enum history_class)c, err);
	if (rc == RC_OK)
		rc = sql_commit(&h->sql, err);
	if (rc == RC_OK) {
		h->lost_told = lost;
		if (h->sql.wal_pages > HISTORY_WAL_PAGES)
			sql_checkpoint_try(&h->sql);
	} else {
		sql_rollback(&h->sql);
		h->last_id = last_id;
		memcpy(h->tally, before, sizeof(before));
		h->lost += h->waiting_events;
	}
	history_forget_waiting(h);
	return rc;
}

/* ---- making room */

struct history_victim {
	int64_t id;
	enum history_class class;
	uint64_t bytes;
};

static enum rc history_find(struct history *h, enum history_statement which, int64_t arg, struct history_victim *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&h->sql, &row, which, SQL_ARGS(SQL_N(arg)), err);

	if (rc == RC_OK) {
		*out = (struct history_victim){.id = sql_number(&row, 0, 1, HISTORY_MOST), .class = (enum history_class)sql_number(&row, 1, 0, HISTORY_CLASS_COUNT - 1),
			.bytes = (uint64_t)sql_number(&row, 2, 0, HISTORY_BLOCK_BYTES)};
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	return rc;
}

/* the class that is furthest over its share of a full history; HISTORY_CLASS_COUNT: there is room */
static enum history_class history_over(const struct history *h, uint64_t max_bytes)
{
	enum history_class most = HISTORY_CLASS_COUNT;
	uint64_t total = 0, over = 0;

	for (size_t c = 0; c < HISTORY_CLASS_COUNT; c++)
		total += h->tally[c].bytes;
	if (total <= max_bytes)
		return HISTORY_CLASS_COUNT;
	for (size_t c = 0; c < HISTORY_CLASS_COUNT; c++) {
		uint64_t share = max_bytes / 100 * history_shares[c];

		if (h->tally[c].bytes > share && h->tally[c].bytes - share > over) {
			over = h->tally[c].bytes - share;
			most = (enum history_class)c;
		}
	}
	return most;
}

static enum rc history_remove(struct history *h, const struct history_victim *v, struct err *err)
{
	struct history_tally *t = &h->tally[v->class];

	t->bytes -= v->bytes < t->bytes ? v->bytes : t->bytes;
	t->blocks -= t->blocks > 0;
	return sql_run(&h->sql, HISTORY_SQL_REMOVE, SQL_ARGS(SQL_N(v->id)), err);
}

static enum rc history_next_victim(struct history *h, int64_t oldest_ms, uint64_t max_bytes, struct history_victim *out, struct err *err)
{
	enum history_class over = history_over(h, max_bytes);
	enum rc rc = history_find(h, HISTORY_SQL_OLD, oldest_ms, out, err);

	if (rc != RC_NONE || over == HISTORY_CLASS_COUNT)
		return rc;
	rc = history_find(h, HISTORY_SQL_OLDEST, over, out, err);
	if (rc == RC_NONE) /* the tally is wrong: it says bytes and there are none */
		h->tally[over] = (struct history_tally){0};
	return rc;
}

enum rc history_prune(struct history *h, int64_t oldest_ms, uint64_t max_bytes, bool *more_out, struct err *err)
{
	struct history_tally before[HISTORY_CLASS_COUNT];
	struct history_victim v;
	size_t removed = 0;
	enum rc rc = history_next_victim(h, oldest_ms, max_bytes, &v, err);

	*more_out = false;
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	memcpy(before, h->tally, sizeof(before));
	rc = sql_begin(&h->sql, err);
	while (rc == RC_OK && removed < HISTORY_PRUNE_BLOCKS) {
		rc = history_remove(h, &v, err);
		removed++;
		if (rc == RC_OK)
			rc = history_next_victim(h, oldest_ms, max_bytes, &v, err);
	}
	*more_out = rc == RC_OK;
	if (rc == RC_NONE)
		rc = RC_OK;
	for (int c = 0; c < HISTORY_CLASS_COUNT && rc == RC_OK; c++)
		rc = history_put_tally(h, (enum history_class)c, err);
	if (rc == RC_OK)
		rc = sql_commit(&h->sql, err);
	if (rc != RC_OK) {
		sql_rollback(&h->sql);
		memcpy(h->tally, before, sizeof(before));
	}
	return rc;
}

/* ---- asking */

struct history_asking {
	const struct history_filter *filter;
	uint64_t before;
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at);
	void *arg;
};

/* newest first: events are found from the front, so their places are noted */
static enum rc history_query_block(const struct history_asking *q, int64_t id, struct span bytes, bool *damaged)
{
	uint16_t starts[HISTORY_BLOCK_EVENTS];
	struct span rest = bytes;
	struct history_event e;
	size_t n = 0;
	enum rc rc;

	do {
		starts[n] = (uint16_t)(bytes.len - rest.len);
		rc = history_decode(&rest, &e);
	} while (rc == RC_OK && ++n < HISTORY_BLOCK_EVENTS);
	*damaged = rc == RC_BAD;
	while (n-- > 0) {
		uint64_t at = (uint64_t)id << HISTORY_POSITION_BITS | n;

		rest = span_from(bytes, starts[n]);
		if ((q->before && at >= q->before) || history_decode(&rest, &e) != RC_OK || !history_matches(q->filter, &e))
			continue;
		rc = q->each(q->arg, &e, at);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc history_query(struct history *h, const struct history_filter *f, uint64_t before,
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at), void *arg, size_t *damaged_out, struct err *err)
{
	struct history_asking q = {.filter = f, .before = before, .each = each, .arg = arg};
	int64_t top = before ? (int64_t)(before >> HISTORY_POSITION_BITS) : HISTORY_MOST;
	size_t bad = 0;
	struct sql_row row;
	enum rc rc = sql_first(&h->sql, &row, HISTORY_SQL_BACK, SQL_ARGS(SQL_N(top), SQL_N(f->since_ms), SQL_N(f->until_ms ? f->until_ms : HISTORY_TIME_MOST)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		int64_t id = sql_number(&row, 0, 1, HISTORY_MOST);
		bool readable = sql_number(&row, 1, 1, HISTORY_FORMAT) == HISTORY_FORMAT, damaged = false;
		struct span bytes = sql_bytes(&row, 2, HISTORY_BLOCK_BYTES);

		if (readable && !row.bad) {
			rc = history_query_block(&q, id, bytes, &damaged);
			if (rc != RC_OK) {
				sql_end(&row);
				*damaged_out = bad;
				return rc;
			}
		}
		bad += row.bad || damaged;
		row.bad = false;
	}
	sql_end(&row);
	*damaged_out = bad;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc history_query_recent(struct history *h, enum history_class c, const struct history_filter *f, const struct history_bounds *most,
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at), void *arg, struct err *err)
{
	struct history_asking q = {.filter = f, .each = each, .arg = arg};
	uint64_t bytes_left = most->bytes;
	struct sql_row row;
	enum rc rc = sql_first(&h->sql, &row, HISTORY_SQL_RECENT, SQL_ARGS(SQL_N(c)), err);

	for (uint32_t blocks = 0; rc == RC_OK && blocks < most->blocks; blocks++) {
		int64_t id = sql_number(&row, 0, 1, HISTORY_MOST);
		bool readable = sql_number(&row, 1, 1, HISTORY_FORMAT) == HISTORY_FORMAT, damaged = false;
		struct span bytes;

		if (sql_number(&row, 2, 0, HISTORY_TIME_MOST) < f->since_ms && !row.bad)
			break;
		bytes = sql_bytes(&row, 3, HISTORY_BLOCK_BYTES);
		if (bytes.len > bytes_left)
			break;
		bytes_left -= bytes.len;
		if (readable && !row.bad)
			rc = history_query_block(&q, id, bytes, &damaged);
		row.bad = false;
		if (rc == RC_OK)
			rc = sql_next(&row, err);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc history_extent(struct history *h, struct history_extent *out, struct err *err)
{
	struct history_extent x = {0};
	struct sql_row row;
	enum rc rc = RC_OK;

	for (size_t c = 0; c < HISTORY_CLASS_COUNT; c++) {
		x.bytes += h->tally[c].bytes;
		x.blocks += h->tally[c].blocks;
	}
	if (x.blocks) {
		rc = sql_first(&h->sql, &row, HISTORY_SQL_FIRST, NULL, 0, err);
		if (rc == RC_OK) {
			x.first_ms = sql_number(&row, 0, 0, HISTORY_TIME_MOST);
			x.last_ms = sql_number(&row, 1, 0, HISTORY_TIME_MOST);
			rc = sql_checked(&row, err);
		}
		sql_end(&row);
	}
	if (rc == RC_OK)
		*out = x;
	return rc;
}
