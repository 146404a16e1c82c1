#include "store/store_internal.h"

enum { STORE_QUEUE_WAITING, STORE_QUEUE_STATES };

static const char *const store_queue_state_names[STORE_QUEUE_STATES] = {[STORE_QUEUE_WAITING] = "waiting"};

struct store_queue_page {
	struct store_queued rows[STORE_PAGE_ROWS];
	size_t count;
	int64_t last;
};

static enum rc store_queue_row(struct sql_row *row, struct arena *mem, struct store_queued *q, struct err *err)
{
	struct buf id;

	q->message = sql_number(row, 1, 1, STORE_MAX_MS);
	q->sender = arena_copy(mem, sql_text(row, 2, STORE_ADDRESS_BYTES));
	q->rcpt = arena_copy(mem, sql_text(row, 3, STORE_ADDRESS_BYTES));
	q->state = span_str(store_queue_state_names[sql_number(row, 4, 0, STORE_QUEUE_STATES - 1)]);
	q->bytes = (uint64_t)sql_number(row, 5, 0, STORE_MAX_MS);
	q->received_ms = sql_number(row, 6, 0, STORE_MAX_MS);
	q->next_try_ms = sql_number(row, 7, 0, STORE_MAX_MS);
	q->attempts = (unsigned)sql_number(row, 8, 0, INT32_MAX);
	q->account = arena_copy(mem, sql_text(row, 9, STORE_ADDRESS_BYTES));
	q->message_id = arena_copy(mem, sql_bytes(row, 10, LIMIT_HEADER_FIELD_BYTES));
	buf_init(&id, 32);
	store_queue_id_write(&id, q->message);
	q->queue_id = arena_copy(mem, buf_span(&id));
	buf_clear(&id);
	return sql_checked(row, err);
}

static enum rc store_queue_read(struct store *s, int64_t message_or_0, struct arena *mem, struct store_queue_page *page, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc;

	if (message_or_0)
		rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_PAGE_MESSAGE, SQL_ARGS(SQL_N(page->last), SQL_N(STORE_PAGE_ROWS), SQL_N(message_or_0)), err);
	else
		rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_PAGE, SQL_ARGS(SQL_N(page->last), SQL_N(STORE_PAGE_ROWS)), err);
	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		page->last = sql_number(&row, 0, 1, STORE_MAX_MS);
		rc = store_queue_row(&row, mem, &page->rows[n], err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	page->count = n;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_queue_each(struct store *s, int64_t message_or_0, enum rc (*each)(void *arg, const struct store_queued *), void *arg, struct err *err)
{
	struct store_queue_page page = {.count = STORE_PAGE_ROWS};
	struct arena mem;
	enum rc rc = RC_OK;

	arena_init(&mem, 4 << 20);
	while (rc == RC_OK && page.count == STORE_PAGE_ROWS) {
		arena_clear(&mem);
		rc = store_queue_read(s, message_or_0, &mem, &page, err);
		for (size_t i = 0; i < page.count && rc == RC_OK; i++)
			rc = each(arg, &page.rows[i]);
	}
	arena_clear(&mem);
	return rc;
}

/* ---- what is held, for an outside check of "acknowledged = kept" */

struct store_id_row {
	struct span message_id, where;
	int64_t message;
};
struct store_ids {
	struct store_id_row rows[STORE_PAGE_ROWS];
	size_t count;
	int64_t account, uid, queue; /* the last one seen */
};

static enum rc store_ids_mailbox(struct store *s, struct arena *mem, struct store_ids *ids, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_IDS_MAILBOX, SQL_ARGS(SQL_N(ids->account), SQL_N(ids->uid), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		ids->account = sql_number(&row, 0, 1, STORE_MAX_MS);
		ids->uid = sql_number(&row, 1, 1, STORE_MAX_MS);
		ids->rows[n].message_id = arena_copy(mem, sql_bytes(&row, 2, LIMIT_HEADER_FIELD_BYTES));
		ids->rows[n].where = arena_copy(mem, sql_text(&row, 3, STORE_ADDRESS_BYTES));
		ids->rows[n].message = sql_number(&row, 4, 1, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	ids->count = n;
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_ids_queue(struct store *s, struct arena *mem, struct store_ids *ids, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_IDS_QUEUE, SQL_ARGS(SQL_N(ids->queue), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		ids->queue = sql_number(&row, 0, 1, STORE_MAX_MS);
		ids->rows[n].message_id = arena_copy(mem, sql_bytes(&row, 1, LIMIT_HEADER_FIELD_BYTES));
		ids->rows[n].where = SPAN_LIT("queue");
		ids->rows[n].message = sql_number(&row, 2, 1, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	ids->count = n;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_message_ids(struct store *s, enum rc (*each)(void *arg, struct span message_id, struct span where, int64_t message), void *arg, struct err *err)
{
	static enum rc (*const places[])(struct store *, struct arena *, struct store_ids *, struct err *) = {store_ids_mailbox, store_ids_queue};
	struct store_ids ids = {0};
	struct arena mem;
	enum rc rc = RC_OK;

	arena_init(&mem, 4 << 20);
	for (size_t place = 0; place < sizeof(places) / sizeof(places[0]) && rc == RC_OK; place++) {
		ids.count = STORE_PAGE_ROWS;
		while (rc == RC_OK && ids.count == STORE_PAGE_ROWS) {
			arena_clear(&mem);
			rc = places[place](s, &mem, &ids, err);
			for (size_t i = 0; i < ids.count && rc == RC_OK; i++)
				rc = each(arg, ids.rows[i].message_id, ids.rows[i].where, ids.rows[i].message);
		}
	}
	arena_clear(&mem);
	return rc;
}
