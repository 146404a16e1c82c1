/* the outgoing queue: looking at it, and an administrator's hand */
#include "store/store_queue_internal.h"

#include <stdlib.h>

#include "mail/address.h"

enum { STORE_ACT_NOTES = 1000 /* of one act; what is done to more is not written down row by row */ };

const char *store_queue_state_name(enum store_queue_state state)
{
	static const char *const names[STORE_QUEUE_STATES] = {[STORE_QUEUE_WAITING] = "waiting", [STORE_QUEUE_HELD] = "held", [STORE_QUEUE_LEASED] = "sending",
		[STORE_QUEUE_FAILED] = "failed", [STORE_QUEUE_SENT] = "sent"};

	return (unsigned)state < STORE_QUEUE_STATES ? names[state] : "";
}

/* ---- a page of rows */

struct store_list_page {
	struct store_queue_listed rows[STORE_PAGE_ROWS];
	size_t count;
	int64_t last;
};

static void store_list_queued(struct sql_row *row, struct arena *mem, struct store_queued *q)
{
	struct buf id;

	q->message = sql_number(row, 1, 1, STORE_MAX_MS);
	q->sender = arena_copy(mem, sql_text(row, 2, STORE_ADDRESS_BYTES));
	q->rcpt = arena_copy(mem, sql_text(row, 3, STORE_ADDRESS_BYTES));
	q->state = span_str(store_queue_state_name((enum store_queue_state)sql_number(row, 4, 0, STORE_QUEUE_STATES - 1)));
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
}

static enum rc store_list_row(struct sql_row *row, struct arena *mem, struct store_queue_listed *l, struct err *err)
{
	l->id = sql_number(row, 0, 1, STORE_MAX_MS);
	store_list_queued(row, mem, &l->q);
	l->state = (enum store_queue_state)sql_number(row, 4, 0, STORE_QUEUE_STATES - 1);
	l->dest = arena_copy(mem, sql_text(row, 11, STORE_DEST_BYTES));
	l->cause = arena_copy(mem, sql_text(row, 12, STORE_HOST_BYTES));
	l->code = (unsigned)sql_number(row, 13, 0, UINT16_MAX);
	l->enhanced = arena_copy(mem, sql_text(row, 14, STORE_ENHANCED_BYTES));
	l->host = arena_copy(mem, sql_text(row, 15, STORE_HOST_BYTES));
	l->address = arena_copy(mem, sql_text(row, 16, STORE_REMOTE_BYTES));
	l->tls = arena_copy(mem, sql_text(row, 17, STORE_TLS_BYTES));
	l->words = arena_copy(mem, sql_text(row, 18, STORE_WORDS_BYTES));
	l->last_try_ms = sql_number(row, 19, 0, STORE_MAX_MS);
	l->hold_wanted = sql_number(row, 20, 0, INT32_MAX) == 1 + STORE_QUEUE_HOLD;
	l->blocked_ms = sql_number(row, 21, 0, STORE_NEVER_MS);
	l->dest_cause = arena_copy(mem, sql_text(row, 22, STORE_HOST_BYTES));
	l->dest_host = arena_copy(mem, sql_text(row, 23, STORE_HOST_BYTES));
	l->dest_words = arena_copy(mem, sql_text(row, 24, STORE_WORDS_BYTES));
	if (mem->overflow)
		return err_set(err, RC_LIMIT, "no room for a page of the queue");
	return sql_checked(row, err);
}

static enum rc store_list_read(struct store *s, int64_t message_or_0, struct arena *mem, struct store_list_page *page, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc;

	if (message_or_0)
		rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_LIST_MESSAGE, SQL_ARGS(SQL_N(page->last), SQL_N(STORE_PAGE_ROWS), SQL_N(message_or_0)), err);
	else
		rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_LIST_PAGE, SQL_ARGS(SQL_N(page->last), SQL_N(STORE_PAGE_ROWS)), err);
	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		rc = store_list_row(&row, mem, &page->rows[n], err);
		if (rc != RC_OK)
			break;
		page->last = page->rows[n].id;
		n++;
	}
	sql_end(&row);
	page->count = n;
	return rc == RC_NONE ? RC_OK : rc;
}

static bool store_list_is_of(struct span address, struct span domain)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at > 0 && address_domain_same(span_from(address, at), domain);
}

static bool store_list_matches(const struct store_queue_filter *f, const struct store_queue_listed *l)
{
	if ((f->state >= 0 && (int)l->state != f->state) || (f->older_than_ms && l->q.received_ms >= f->older_than_ms))
		return false;
	if (f->sender.len && !address_text_same(span_eq(f->sender, SPAN_LIT("<>")) ? SPAN_NONE : f->sender, l->q.sender))
		return false;
	if (f->rcpt.len && !address_text_same(f->rcpt, l->q.rcpt))
		return false;
	if (f->domain.len && !span_eq_nocase(f->domain, l->dest) && !store_list_is_of(l->q.rcpt, f->domain))
		return false;
	if (f->account.len && !address_text_same(f->account, l->q.account))
		return false;
	return f->cause.len == 0 || span_eq(f->cause, l->cause) || (l->blocked_ms && span_eq(f->cause, l->dest_cause));
}

static enum rc store_list_pages(struct store *s, const struct store_queue_filter *f, enum rc (*each)(void *arg, const struct store_queue_listed *),
	enum rc (*page_end)(void *arg, struct err *err), void *arg, struct err *err)
{
	struct store_list_page *page = calloc(1, sizeof(*page));
	struct arena mem;
	uint64_t left = f->most ? f->most : UINT64_MAX;
	enum rc rc = page ? RC_OK : err_set(err, RC_LIMIT, "no memory");

	arena_init(&mem, STORE_PAGE_BYTES);
	if (page)
		page->count = STORE_PAGE_ROWS;
	while (rc == RC_OK && left && page->count == STORE_PAGE_ROWS) {
		arena_clear(&mem);
		rc = store_list_read(s, f->message, &mem, page, err);
		for (size_t i = 0; i < page->count && rc == RC_OK && left; i++) {
			if (!store_list_matches(f, &page->rows[i]))
				continue;
			rc = each(arg, &page->rows[i]);
			left--;
		}
		if (rc == RC_OK && page_end)
			rc = page_end(arg, err);
	}
	arena_clear(&mem);
	free(page);
	return rc;
}

enum rc store_queue_list(struct store *s, const struct store_queue_filter *f, enum rc (*each)(void *arg, const struct store_queue_listed *), void *arg,
	struct err *err)
{
	return store_list_pages(s, f, each, NULL, arg, err);
}

/* ---- acting */

struct store_acting {
	struct store *s;
	enum store_queue_act act;
	int64_t now_ms;
	uint64_t changed;
	bool own; /* transactions of our own, one a page */
	struct err *err;
};

static enum rc store_act_changed(struct store_acting *a, enum rc rc, bool *changed)
{
	*changed |= rc == RC_OK && sql_changed(&a->s->sql) > 0;
	return rc;
}

static enum rc store_act_retry(struct store_acting *a, const struct store_queue_listed *l, bool *changed)
{
	enum rc rc = store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_RETRY, SQL_ARGS(SQL_N(l->id), SQL_N(a->now_ms)), a->err), changed);

	return rc == RC_OK && *changed ? store_destination_unblock(a->s, l->dest, a->err) : rc;
}

static enum rc store_act_hold(struct store_acting *a, const struct store_queue_listed *l, bool *changed)
{
	if (l->state == STORE_QUEUE_LEASED)
		return store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_WISH, SQL_ARGS(SQL_N(l->id), SQL_N(1 + STORE_QUEUE_HOLD)), a->err), changed);
	return store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_STATE, SQL_ARGS(SQL_N(l->id), SQL_N(STORE_QUEUE_WAITING), SQL_N(STORE_QUEUE_HELD)),
		a->err),
		changed);
}

static enum rc store_act_release(struct store_acting *a, const struct store_queue_listed *l, bool *changed)
{
	enum rc rc;

	if (l->state == STORE_QUEUE_LEASED)
		return l->hold_wanted ? store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_WISH, SQL_ARGS(SQL_N(l->id), SQL_N(0)), a->err), changed) : RC_OK;
	rc = store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_RELEASE, SQL_ARGS(SQL_N(l->id), SQL_N(a->now_ms)), a->err), changed);
	return rc == RC_OK && *changed ? store_destination_due(a->s, l->dest, a->now_ms, a->err) : rc;
}

static enum rc store_act_remove(struct store_acting *a, const struct store_queue_listed *l, bool *changed)
{
	*changed = true;
	return store_queue_drop(a->s, l->id, l->q.message, a->err);
}

static enum rc store_act_bounce(struct store_acting *a, const struct store_queue_listed *l, bool *changed)
{
	if (l->state == STORE_QUEUE_LEASED)
		return store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_ACT_WISH, SQL_ARGS(SQL_N(l->id), SQL_N(1 + STORE_QUEUE_BOUNCE)), a->err), changed);
	/* since ever: the other recipients are not waited for */
	return store_act_changed(a, sql_run(&a->s->sql, STORE_SQL_QUEUE_FAIL, SQL_ARGS(SQL_N(l->id), SQL_N(0), SQL_N(0), SQL_T(l->cause), SQL_T(l->host),
		SQL_T(l->words)),
		a->err), changed);
}

static enum rc store_act_row(void *arg, const struct store_queue_listed *l)
{
	static enum rc (*const acts[])(struct store_acting *, const struct store_queue_listed *, bool *) = {[STORE_QUEUE_RETRY] = store_act_retry,
		[STORE_QUEUE_HOLD] = store_act_hold, [STORE_QUEUE_RELEASE] = store_act_release, [STORE_QUEUE_REMOVE] = store_act_remove,
			[STORE_QUEUE_BOUNCE] = store_act_bounce};
	struct store_acting *a = arg;
	bool changed = false;
	enum rc rc = store_begin(a->s, a->err);

	if (rc == RC_OK)
		rc = acts[a->act](a, l, &changed);
	if (rc == RC_OK && changed && ++a->changed <= STORE_ACT_NOTES)
		rc = sql_run(&a->s->sql, STORE_SQL_NOTE_ADD, SQL_ARGS(SQL_N(a->now_ms), SQL_N(l->id), SQL_N(a->act), SQL_N(l->q.message), SQL_T(l->q.rcpt)), a->err);
	return rc;
}

static enum rc store_act_page(void *arg, struct err *err)
{
	struct store_acting *a = arg;

	return a->own ? store_commit(a->s, err) : RC_OK;
}

enum rc store_queue_act(struct store *s, const struct store_queue_filter *f, enum store_queue_act act, int64_t now_ms, uint64_t *changed_out, struct err *err)
{
	struct store_acting a = {.s = s, .act = act, .now_ms = now_ms, .own = !store_in_transaction(s), .err = err};
	enum rc rc = store_list_pages(s, f, store_act_row, store_act_page, &a, err);

	if (rc != RC_OK && a.own)
		store_rollback(s);
	*changed_out = a.changed;
	return rc;
}

/* ---- what was done, for the history */

enum rc store_queue_notes(struct store *s, struct arena *mem, struct store_queue_note *notes, size_t max, size_t *count_out, struct err *err)
{
	int64_t ids[STORE_PAGE_ROWS];
	struct sql_row row;
	size_t n = 0;
	enum rc rc;

	max = max < STORE_PAGE_ROWS ? max : STORE_PAGE_ROWS;
	rc = sql_first(&s->sql, &row, STORE_SQL_NOTE_PAGE, SQL_ARGS(SQL_N(max)), err);
	for (; rc == RC_OK && n < max; rc = sql_next(&row, err)) {
		notes[n].at_ms = sql_number(&row, 0, 0, STORE_MAX_MS);
		ids[n] = sql_number(&row, 1, 1, STORE_MAX_MS);
		notes[n].act = (enum store_queue_act)sql_number(&row, 2, 0, STORE_QUEUE_BOUNCE);
		notes[n].message = sql_number(&row, 3, 1, STORE_MAX_MS);
		notes[n].rcpt = arena_copy(mem, sql_text(&row, 4, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
		if (rc == RC_OK && mem->overflow)
			rc = err_set(err, RC_LIMIT, "no room for notes");
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	rc = rc == RC_NONE ? RC_OK : rc;
	if (rc == RC_OK && n)
		rc = store_begin(s, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = sql_run(&s->sql, STORE_SQL_NOTE_REMOVE, SQL_ARGS(SQL_N(notes[i].at_ms), SQL_N(ids[i]), SQL_N(notes[i].act)), err);
	if (rc == RC_OK)
		*count_out = n;
	return rc;
}
