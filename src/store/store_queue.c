#include "store/store_internal.h"
#include "store/store_queue.h"

struct store_each {
	enum rc (*each)(void *arg, const struct store_queued *);
	void *arg;
};

static enum rc store_queue_each_row(void *arg, const struct store_queue_listed *l)
{
	struct store_each *e = arg;

	return e->each(e->arg, &l->q);
}

enum rc store_queue_each(struct store *s, int64_t message_or_0, enum rc (*each)(void *arg, const struct store_queued *), void *arg, struct err *err)
{
	struct store_queue_filter f = {.message = message_or_0, .state = -1};

	return store_queue_list(s, &f, store_queue_each_row, &(struct store_each){each, arg}, err);
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
	struct arena mem;            /* of this page */
};

static void store_ids_mailbox_read(struct sql_row *row, void *page, size_t n)
{
	struct store_ids *ids = page;

	ids->account = sql_number(row, 0, 1, STORE_MAX_MS);
	ids->uid = sql_number(row, 1, 1, STORE_MAX_MS);
	ids->rows[n].message_id = arena_copy(&ids->mem, sql_bytes(row, 2, LIMIT_HEADER_FIELD_BYTES));
	ids->rows[n].where = arena_copy(&ids->mem, sql_text(row, 3, STORE_ADDRESS_BYTES));
	ids->rows[n].message = sql_number(row, 4, 1, STORE_MAX_MS);
}

static enum rc store_ids_mailbox(struct store *s, struct store_ids *ids, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_IDS_MAILBOX, SQL_ARGS(SQL_N(ids->account), SQL_N(ids->uid), SQL_N(STORE_PAGE_ROWS)), err);

	return sql_page(rc, &row, store_ids_mailbox_read, ids, &ids->count, err);
}

static void store_ids_queue_read(struct sql_row *row, void *page, size_t n)
{
	struct store_ids *ids = page;

	ids->queue = sql_number(row, 0, 1, STORE_MAX_MS);
	ids->rows[n].message_id = arena_copy(&ids->mem, sql_bytes(row, 1, LIMIT_HEADER_FIELD_BYTES));
	ids->rows[n].where = SPAN_LIT("queue");
	ids->rows[n].message = sql_number(row, 2, 1, STORE_MAX_MS);
}

static enum rc store_ids_queue(struct store *s, struct store_ids *ids, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_IDS_QUEUE, SQL_ARGS(SQL_N(ids->queue), SQL_N(STORE_PAGE_ROWS)), err);

	return sql_page(rc, &row, store_ids_queue_read, ids, &ids->count, err);
}

enum rc store_message_ids(struct store *s, enum rc (*each)(void *arg, struct span message_id, struct span where, int64_t message), void *arg, struct err *err)
{
	static enum rc (*const places[])(struct store *, struct store_ids *, struct err *) = {store_ids_mailbox, store_ids_queue};
	struct store_ids ids = {0};
	enum rc rc = RC_OK;

	arena_init(&ids.mem, 4 << 20);
	for (size_t place = 0; place < sizeof(places) / sizeof(places[0]) && rc == RC_OK; place++) {
		ids.count = STORE_PAGE_ROWS;
		while (rc == RC_OK && ids.count == STORE_PAGE_ROWS) {
			arena_clear(&ids.mem);
			rc = places[place](s, &ids, err);
			for (size_t i = 0; i < ids.count && rc == RC_OK; i++)
				rc = each(arg, ids.rows[i].message_id, ids.rows[i].where, ids.rows[i].message);
		}
	}
	arena_clear(&ids.mem);
	return rc;
}
