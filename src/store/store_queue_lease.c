/* the outgoing queue: rows on their way to a relay and back */
#include "store/store_queue_internal.h"

enum { STORE_LEASE_ROWS = 1000 /* of one call */ };

enum store_queue_state store_queue_wished(int64_t wish)
{
	if (wish == 1 + STORE_QUEUE_HOLD)
		return STORE_QUEUE_HELD;
	return wish == 1 + STORE_QUEUE_BOUNCE ? STORE_QUEUE_FAILED : STORE_QUEUE_WAITING;
}

/* ---- coming back */

static enum rc store_unlease_one(struct store *s, int64_t id, int64_t wish, struct err *err)
{
	enum store_queue_state state = store_queue_wished(wish);

	/* to be bounced by an administrator, but a relay had it: it has nothing to say of it */
	if (state == STORE_QUEUE_FAILED)
		return sql_run(&s->sql, STORE_SQL_QUEUE_FAIL, SQL_ARGS(SQL_N(id), SQL_N(0), SQL_N(0), SQL_T(SPAN_NONE), SQL_T(SPAN_NONE), SQL_T(SPAN_NONE)), err);
	return sql_run(&s->sql, STORE_SQL_QUEUE_UNLEASE, SQL_ARGS(SQL_N(id), SQL_N(state)), err);
}

struct store_unleased {
	int64_t id, next_ms, wish;
};

static void store_unleased_read(struct sql_row *row, void *page, size_t n)
{
	((struct store_unleased *)page)[n] = (struct store_unleased){.id = sql_number(row, 0, 1, STORE_MAX_MS), .next_ms = sql_number(row, 1, 0, STORE_MAX_MS),
		.wish = sql_number(row, 2, 0, INT32_MAX)};
}

static enum rc store_unlease_page(struct store *s, struct span dest, struct store_unleased *rows, size_t *count_out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_LEASED_ONE, SQL_ARGS(SQL_T(dest), SQL_N(STORE_PAGE_ROWS)), err);

	return sql_page(rc, &row, store_unleased_read, rows, count_out, err);
}

static enum rc store_unlease_dest(struct store *s, struct span dest, struct err *err)
{
	struct store_unleased rows[STORE_PAGE_ROWS];
	size_t n = STORE_PAGE_ROWS, all = 0;
	enum rc rc = RC_OK;

	for (; rc == RC_OK && n == STORE_PAGE_ROWS; all += n) {
		rc = store_unlease_page(s, dest, rows, &n, err);
		for (size_t i = 0; i < n && rc == RC_OK; i++)
			rc = store_unlease_one(s, rows[i].id, rows[i].wish, err);
	}
	return rc == RC_OK && all ? store_destination_look(s, dest, err) : rc;
}

/* the destination behind *dest, which has room for STORE_DEST_BYTES */
static enum rc store_dest_after(struct store *s, uint8_t *to, struct span *dest, struct err *err)
{
	struct sql_row row;
	struct span found;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_DEST_NEXT, SQL_ARGS(SQL_T(*dest)), err);

	if (rc != RC_OK)
		return rc;
	found = sql_text(&row, 0, STORE_DEST_BYTES);
	rc = sql_checked(&row, err);
	if (rc == RC_OK) {
		memcpy(to, found.ptr, found.len);
		*dest = span_of(to, found.len);
	}
	sql_end(&row);
	return rc;
}

enum rc store_queue_open(struct store *s, struct err *err)
{
	uint8_t name[STORE_DEST_BYTES];
	struct span dest = SPAN_NONE;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	while (rc == RC_OK) {
		rc = store_dest_after(s, name, &dest, err);
		if (rc == RC_OK)
			rc = store_unlease_dest(s, dest, err);
	}
	s->queue_stirred = true;
	return store_write_end(s, own, rc == RC_NONE ? RC_OK : rc, err);
}

enum rc store_queue_unlease(struct store *s, const int64_t *rows, size_t count, struct err *err)
{
	struct store_row row;
	struct arena mem;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
		rc = store_queue_row(s, rows[i], &mem, &row, err);
		if (rc == RC_OK)
			rc = store_unlease_one(s, rows[i], row.wish, err);
		if (rc == RC_OK)
			rc = store_destination_due(s, row.dest, row.next_try_ms, err);
		arena_clear(&mem);
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	return rc;
}

enum rc store_queue_held(struct store *s, int64_t row, struct err *err)
{
	enum rc rc = sql_run(&s->sql, STORE_SQL_QUEUE_HELD, SQL_ARGS(SQL_N(row)), err);

	return rc == RC_OK && sql_changed(&s->sql) == 0 ? RC_NONE : rc;
}

/* ---- going out */

struct store_out_row {
	struct store_lease_row row;
	int64_t message;
	struct span sender;
};

static enum rc store_lease_rows(struct store *s, struct span dest, int64_t now_ms, size_t max, struct arena *mem, struct store_out_row *rows, size_t *count_out,
	struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_LEASE_PAGE, SQL_ARGS(SQL_T(dest), SQL_N(now_ms), SQL_N(max)), err);

	for (; rc == RC_OK && n < max; rc = sql_next(&row, err)) {
		struct store_out_row *r = &rows[n];

		r->row.id = sql_number(&row, 0, 1, STORE_MAX_MS);
		r->message = sql_number(&row, 1, 1, STORE_MAX_MS);
		r->row.address = arena_copy(mem, sql_text(&row, 2, STORE_ADDRESS_BYTES));
		r->row.notify = (unsigned)sql_number(&row, 3, 0, UINT8_MAX);
		r->row.orcpt = arena_copy(mem, sql_text(&row, 4, 4 * LIMIT_ORCPT_BYTES));
		r->row.attempts = (uint32_t)sql_number(&row, 5, 0, UINT32_MAX);
		r->sender = arena_copy(mem, sql_text(&row, 6, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
		if (rc == RC_OK && mem->overflow)
			rc = err_set(err, RC_LIMIT, "no room for %zu rows of the queue", max);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

/* what is the same for all its recipients; account: who sent it */
static enum rc store_lease_message(struct store *s, int64_t message, struct arena *mem, struct store_lease *out, int64_t *account_out, struct err *err)
{
	struct sql_row row;
	int64_t flags;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_MESSAGE_OUT, SQL_ARGS(SQL_N(message)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? err_set(err, RC_BAD, "%s: message %lld is queued, and not there", s->sql.path, (long long)message) : rc;
	*out = (struct store_lease){.message = message, .sender = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES)),
		.envid = arena_copy(mem, sql_text(&row, 1, 4 * LIMIT_ENVID_BYTES)), .received_ms = sql_number(&row, 2, 0, STORE_MAX_MS),
		.ret = (unsigned)sql_number(&row, 4, 0, 2), .origin = (enum store_origin)sql_number(&row, 5, 0, STORE_ORIGIN_SERVER),
		.head_bytes = (uint64_t)sql_number(&row, 6, 0, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES)};
	out->bytes = out->head_bytes + (uint64_t)sql_number(&row, 7, 0, STORE_MAX_MS);
	flags = sql_number(&row, 3, 0, INT32_MAX);
	out->smtputf8 = (flags & STORE_FLAG_SMTPUTF8) && !(flags & STORE_FLAG_HEADERS_ASCII); /* addresses are looked at where they are sent */
	out->body_8bit = flags & STORE_FLAG_8BIT;
	out->body_binary = flags & STORE_FLAG_BINARY;
	out->requiretls = flags & STORE_FLAG_REQUIRETLS;
	*account_out = sql_number(&row, 9, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

/* its domain is hosted by now: it never leaves */
static enum rc store_lease_local(struct store *s, const struct store_out_row *r, struct store_lease *l, int64_t account, int64_t now_ms,
	enum cause_id *cause_out,
	struct err *err)
{
	struct store_rcpt rcpt = {.address = r->row.address, .notify = r->row.notify, .orcpt = r->row.orcpt};
	struct store_message m = {.sender = l->sender, .rcpts = &rcpt, .rcpt_count = 1, .received_ms = l->received_ms, .account = account, .origin = l->origin};
	enum rc rc;

	*cause_out = CAUSE_NONE;
	rc = store_accept_queued(s, &m, l->message, l->bytes, cause_out, err);
	if (rc == RC_OK && *cause_out == CAUSE_NONE)
		return store_queue_drop(s, r->row.id, l->message, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_QUEUE_FAIL, SQL_ARGS(SQL_N(r->row.id), SQL_N(0), SQL_N(now_ms), SQL_T(span_str(cause_slug(*cause_out))),
			SQL_T(SPAN_NONE),
			SQL_T(SPAN_NONE)), err);
	return rc;
}

struct store_leasing {
	struct store *s;
	struct span dest;
	int64_t now_ms;
	struct arena *mem;
	bool dest_hosted;
	enum rc (*each)(void *arg, const struct store_lease *);
	void *arg;
	size_t leased;
};

static enum rc store_leasing_is_local(struct store_leasing *w, struct span address, bool *out, struct err *err)
{
	struct store_name name;
	int64_t id;
	enum rc rc = RC_NONE;

	*out = w->dest_hosted;
	if (w->dest.ptr[0] != '>') /* a smarthost gets mail for many domains */
		return RC_OK;
	if (store_name_parse(address, w->mem, &name, NULL) == RC_OK && name.domain.len)
		rc = store_domain_id(w->s, name.domain, &id, NULL, err);
	*out = rc == RC_OK;
	return rc == RC_NONE ? RC_OK : rc;
}

/* rows of one message and one sender */
static enum rc store_lease_group(struct store_leasing *w, struct store_out_row *rows, size_t count, struct err *err)
{
	struct store_lease_row *out = arena_alloc(w->mem, count * sizeof(*out));
	enum cause_id cause = CAUSE_NONE;
	struct store_lease l;
	int64_t account = 0;
	bool local = false;
	enum rc rc = out ? store_lease_message(w->s, rows[0].message, w->mem, &l, &account, err) : err_set(err, RC_LIMIT, "no room for a lease");

	if (rc != RC_OK)
		return rc;
	l.dest = w->dest;
	l.rows = out;
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		rc = store_leasing_is_local(w, rows[i].row.address, &local, err);
		if (rc == RC_OK && !local) {
			out[l.row_count++] = rows[i].row;
			rc = sql_run(&w->s->sql, STORE_SQL_QUEUE_LEASE, SQL_ARGS(SQL_N(rows[i].row.id)), err);
		} else if (rc == RC_OK) {
			struct store_lease here = l;

			rc = store_lease_local(w->s, &rows[i], &l, account, w->now_ms, &cause, err);
			here.local = true;
			here.local_cause = cause;
			here.rows = &rows[i].row;
			here.row_count = 1;
			if (rc == RC_OK)
				rc = w->each(w->arg, &here);
		}
	}
	if (rows[0].sender.len)
		l.sender = rows[0].sender;
	w->leased += l.row_count;
	return rc == RC_OK && l.row_count ? w->each(w->arg, &l) : rc;
}

enum rc store_queue_lease(struct store *s, struct span dest, int64_t now_ms, size_t max_rows, struct arena *mem, enum rc (*each)(void *arg,
	const struct store_lease *),
	void *arg, size_t *rows_out, struct err *err)
{
	struct store_leasing w = {.s = s, .dest = dest, .now_ms = now_ms, .mem = mem, .each = each, .arg = arg};
	struct store_out_row *rows;
	size_t n = 0, from = 0;
	int64_t id;
	enum rc rc = RC_NONE;

	max_rows = max_rows < STORE_LEASE_ROWS ? max_rows : STORE_LEASE_ROWS;
	rows = arena_alloc(mem, max_rows * sizeof(*rows));
	if (dest.len == 0 || !rows)
		return err_set(err, RC_LIMIT, "no room for a lease");
	if (dest.ptr[0] != '>')
		rc = store_domain_id(s, dest, &id, NULL, err);
	w.dest_hosted = rc == RC_OK;
	if (rc == RC_OK || rc == RC_NONE)
		rc = store_lease_rows(s, dest, now_ms, max_rows, mem, rows, &n, err);
	while (rc == RC_OK && from < n) {
		size_t to = from + 1;

		while (to < n && rows[to].message == rows[from].message && span_eq(rows[to].sender, rows[from].sender))
			to++;
		rc = store_lease_group(&w, rows + from, to - from, err);
		from = to;
	}
	if (rc == RC_OK)
		rc = store_destination_look(s, dest, err);
	if (rc == RC_OK && n > w.leased) /* some of it stayed here: there may be more to look at now */
		s->queue_stirred = true;
	if (rc == RC_OK)
		*rows_out = w.leased;
	return rc;
}
