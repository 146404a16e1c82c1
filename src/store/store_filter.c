#include "store/store_filter.h"

#include "store/store_internal.h"

enum { FILTER_ROW_BYTES = STORE_FILTER_BYTES + 4096, FILTER_TAG_BITS = 3, FILTER_TAG_MASK = 7 };

/* what sql_lines would give back */
static bool filter_is_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == 0x7f || (s.ptr[i] < 0x20 && s.ptr[i] != '\t' && s.ptr[i] != '\r' && s.ptr[i] != '\n'))
			return false;
	return span_is_utf8(s);
}

static enum rc filter_account(struct store *s, struct span address, struct arena *mem, int64_t *id_out, struct err *err)
{
	struct store_account a;
	enum rc rc = store_account_get(s, address, mem, &a, err);

	if (rc == RC_OK)
		*id_out = a.id;
	return rc;
}

enum rc store_filter_set(struct store *s, struct span account_address, struct span script, uint32_t needs, int64_t now_ms, struct err *err)
{
	struct arena mem;
	int64_t account;
	bool own;
	enum rc rc;

	if (script.len > STORE_FILTER_BYTES)
		return err_set(err, RC_LIMIT, "a filter may have %d bytes", STORE_FILTER_BYTES);
	if (!filter_is_text(script))
		return err_set(err, RC_BAD, "a filter is a text in UTF-8, without control characters");
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = filter_account(s, account_address, &mem, &account, err);
	if (rc == RC_OK)
		rc = store_write_begin(s, &own, err);
	if (rc == RC_OK) {
		if (script.len)
			rc = sql_run(&s->sql, STORE_SQL_FILTER_SET, SQL_ARGS(SQL_N(account), SQL_T(script), SQL_N(needs), SQL_N(now_ms)), err);
		else
			rc = sql_run(&s->sql, STORE_SQL_FILTER_REMOVE_ALL, SQL_ARGS(SQL_N(account)), err);
		rc = store_write_end(s, own, rc, err);
	}
	arena_clear(&mem);
	return rc;
}

struct filter_row {
	struct span script, address;
	uint32_t needs;
	int64_t changed_ms;
};

/* RC_NONE: the account has none */
static enum rc filter_read(struct store *s, int64_t account, struct arena *mem, struct filter_row *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_FILTER_GET, SQL_ARGS(SQL_N(account)), err);

	if (rc != RC_OK)
		return rc;
	*out = (struct filter_row){.script = arena_copy(mem, sql_lines(&row, 0, STORE_FILTER_BYTES)), .needs = (uint32_t)sql_number(&row, 1, 0, UINT32_MAX),
		.changed_ms = sql_number(&row, 2, 0, STORE_MAX_MS), .address = arena_copy(mem, sql_text(&row, 3, STORE_ADDRESS_BYTES))};
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc == RC_OK && mem->overflow ? err_set(err, RC_LIMIT, "no room for a filter") : rc;
}

enum rc store_filter_get(struct store *s, struct span account_address, struct arena *mem, struct span *script_out, int64_t *changed_ms_out, struct err *err)
{
	struct filter_row row;
	int64_t account;
	enum rc rc = filter_account(s, account_address, mem, &account, err);

	if (rc == RC_OK)
		rc = filter_read(s, account, mem, &row, err);
	if (rc == RC_OK) {
		*script_out = row.script;
		*changed_ms_out = row.changed_ms;
	}
	return rc;
}

/* ---- behind a recipient */

struct filter_walk {
	struct store *s;
	enum rc (*each)(void *arg, int64_t account, struct span address, struct span script); /* NULL: only the needs are wanted */
	void *arg;
	uint32_t needs, others;
};

static enum rc filter_needs_of(struct filter_walk *w, int64_t account, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&w->s->sql, &row, STORE_SQL_FILTER_NEEDS, SQL_ARGS(SQL_N(account)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	w->needs |= (uint32_t)sql_number(&row, 0, 0, UINT32_MAX) | STORE_FILTER_PRESENT;
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

/* A script that is damaged holds up no mail. */
static enum rc filter_script_of(struct filter_walk *w, int64_t account, struct err *err)
{
	struct filter_row row = {.script = SPAN_NONE};
	struct arena mem;
	enum rc rc;

	arena_init(&mem, FILTER_ROW_BYTES);
	rc = filter_read(w->s, account, &mem, &row, err);
	if (rc == RC_NONE)
		w->others++;
	else if (rc == RC_BAD)
		rc = w->each(w->arg, account, SPAN_NONE, SPAN_NONE);
	else if (rc == RC_OK)
		rc = w->each(w->arg, account, row.address, row.script);
	arena_clear(&mem);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc filter_of(struct filter_walk *w, int64_t account, struct err *err)
{
	return w->each ? filter_script_of(w, account, err) : filter_needs_of(w, account, err);
}

static enum rc filter_found(void *arg, const struct store_found *what, const struct store_name *name, struct err *err)
{
	struct filter_walk *w = arg;

	(void)name;
	if (what->kind == STORE_FOUND_ACCOUNT && what->enabled)
		return filter_of(w, what->id, err);
	w->others += what->kind == STORE_FOUND_FOREIGN;
	return RC_OK;
}

static enum rc filter_walk(struct filter_walk *w, uint64_t tag, struct err *err)
{
	int64_t id = (int64_t)(tag >> FILTER_TAG_BITS);
	struct store_walk walk;
	struct sql_row row;
	enum rc rc;

	if ((tag & FILTER_TAG_MASK) == STORE_TAG_ACCOUNT)
		return filter_of(w, id, err);
	if ((tag & FILTER_TAG_MASK) != STORE_TAG_ALIAS)
		return RC_OK;
	rc = sql_first(&w->s->sql, &row, STORE_SQL_FILTER_ANY, NULL, 0, err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	store_walk_init(&walk, w->s, filter_found, w);
	rc = store_walk_alias(&walk, id, err);
	store_walk_clear(&walk);
	return rc;
}

enum rc store_filter_each(struct store *s, uint64_t tag, enum rc (*each)(void *arg, int64_t account, struct span address, struct span script), void *arg,
	uint32_t *others_out, struct err *err)
{
	struct filter_walk w = {.s = s, .each = each, .arg = arg};
	enum rc rc = filter_walk(&w, tag, err);

	if (rc == RC_OK)
		*others_out = w.others;
	return rc;
}

enum rc store_filter_needs(struct store *s, uint64_t tag, uint32_t *needs_out, struct err *err)
{
	struct filter_walk w = {.s = s};
	enum rc rc = filter_walk(&w, tag, err);

	if (rc == RC_OK)
		*needs_out = w.needs;
	return rc;
}

/* ---- folders */

enum rc store_folder_make(struct store *s, int64_t account, struct span name, int64_t *id_out, struct err *err)
{
	struct sql_row row;
	int64_t count, last;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_FOLDER_FIND, SQL_ARGS(SQL_N(account), SQL_T(name)), err);

	if (rc == RC_OK) {
		*id_out = sql_number(&row, 0, 1, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		sql_end(&row);
		return rc;
	}
	if (rc != RC_NONE)
		return rc;
	rc = sql_first(&s->sql, &row, STORE_SQL_FOLDER_LAST, SQL_ARGS(SQL_N(account)), err);
	if (rc != RC_OK)
		return rc;
	count = sql_number(&row, 0, 0, STORE_MAX_MS);
	last = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && count >= STORE_FOLDERS_MAX)
		return err_set(err, RC_LIMIT, "an account may have %d folders", STORE_FOLDERS_MAX);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_FOLDER_ADD, SQL_ARGS(SQL_N(account), SQL_N(last + 1), SQL_T(name)), err);
	if (rc == RC_OK)
		*id_out = last + 1;
	return rc;
}

enum rc store_folder_each(struct store *s, struct span account_address, enum rc (*each)(void *arg, const struct store_folder *), void *arg, struct err *err)
{
	struct sql_row row;
	struct arena mem;
	int64_t account;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = filter_account(s, account_address, &mem, &account, err);
	arena_clear(&mem);
	if (rc != RC_OK)
		return rc;
	rc = sql_first(&s->sql, &row, STORE_SQL_FOLDER_LIST, SQL_ARGS(SQL_N(account), SQL_N(STORE_FOLDERS_MAX)), err);
	while (rc == RC_OK) {
		struct store_folder f = {.id = sql_number(&row, 0, 1, STORE_MAX_MS), .name = sql_text(&row, 1, LIMIT_FOLDER_BYTES),
			.messages = sql_number(&row, 2, 0, STORE_MAX_MS)};

		rc = sql_checked(&row, err);
		if (rc == RC_OK)
			rc = each(arg, &f);
		if (rc == RC_OK)
			rc = sql_next(&row, err);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc filter_item(struct sql_row *row, struct store_mail_item *out, struct err *err)
{
	*out = (struct store_mail_item){.uid = sql_number(row, 0, 1, STORE_MAX_MS), .folder = sql_number(row, 1, 0, STORE_MAX_MS),
		.bytes = (uint64_t)sql_number(row, 2, 0, STORE_MAX_MS), .received_ms = sql_number(row, 3, 0, STORE_MAX_MS), .sender = sql_text(row, 4, STORE_ADDRESS_BYTES),
		.rcpt = sql_text(row, 5, STORE_ADDRESS_BYTES), .flags = sql_text(row, 6, STORE_FLAGS_BYTES), .folder_name = sql_text(row, 7, LIMIT_FOLDER_BYTES)};
	return sql_checked(row, err);
}

static bool filter_wanted(const struct store_mail_item *item, struct span folder)
{
	return span_eq(folder, SPAN_LIT("*")) || span_eq(folder, item->folder_name);
}

enum rc store_mail_each(struct store *s, struct span account_address, struct span folder, enum rc (*each)(void *arg, const struct store_mail_item *), void *arg,
	struct err *err)
{
	struct store_mail_item item = {.uid = 0};
	struct sql_row row;
	struct arena mem;
	int64_t account;
	size_t n = STORE_PAGE_ROWS;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = filter_account(s, account_address, &mem, &account, err);
	arena_clear(&mem);
	while (rc == RC_OK && n == STORE_PAGE_ROWS) { /* by pages: nobody waits for a listing */
		n = 0;
		rc = sql_first(&s->sql, &row, STORE_SQL_ITEM_LIST, SQL_ARGS(SQL_N(account), SQL_N(item.uid), SQL_N(STORE_PAGE_ROWS)), err);
		for (; rc == RC_OK; n++) {
			rc = filter_item(&row, &item, err);
			if (rc == RC_OK && filter_wanted(&item, folder))
				rc = each(arg, &item);
			if (rc == RC_OK)
				rc = sql_next(&row, err);
		}
		sql_end(&row);
		rc = rc == RC_NONE ? RC_OK : rc;
	}
	return rc;
}
