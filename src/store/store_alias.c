#include "mail/address.h"
#include "store/store_internal.h"

static enum rc store_alias_id(struct store *s, struct span key, int64_t *id_out, struct err *err)
{
	struct sql_row row;
	int64_t id;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_FIND, SQL_ARGS(SQL_T(key)), err);

	if (rc != RC_OK)
		return rc;
	id = sql_number(&row, 0, 1, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		*id_out = id;
	return rc;
}

static enum rc store_alias_key(struct store *s, int64_t id, struct arena *mem, struct span *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_KEY, SQL_ARGS(SQL_N(id)), err);

	if (rc == RC_OK) {
		*out = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	return rc;
}

/* ---- adding */

/* aliases that have `key` among their targets, after `after`, one page */
static enum rc store_alias_parents(struct store *s, struct span key, int64_t after, int64_t *ids, size_t *count_out, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_LEADING_PAGE, SQL_ARGS(SQL_T(key), SQL_N(after), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		ids[n++] = sql_number(&row, 0, 1, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

/* does what this alias leads to stay within the limits, and never back? */
static enum rc store_alias_check_one(struct store *s, int64_t id, struct err *err)
{
	struct store_walk w;
	enum rc rc;

	store_walk_init(&w, s, NULL, NULL);
	rc = store_walk_alias(&w, id, err);
	if (rc == RC_OK && w.loop)
		rc = err_set(err, RC_BAD, "this would make aliases that lead round in a circle");
	else if (rc == RC_OK && w.over)
		rc = err_set(err, RC_LIMIT, "an alias may lead to at most %d addresses, through at most %d other aliases one after the other", STORE_ALIAS_TARGETS,
			STORE_ALIAS_DEPTH - 1);
	store_walk_clear(&w);
	return rc;
}

/* and every alias that leads to this one, upwards, each once */
static enum rc store_alias_check(struct store *s, int64_t id, unsigned depth, struct map *seen, struct err *err)
{
	int64_t ids[STORE_PAGE_ROWS], after = 0;
	size_t count = STORE_PAGE_ROWS;
	struct arena mem;
	struct span key = SPAN_NONE;
	enum rc rc;

	if (depth == 0 || map_put(seen, (uint64_t)id, seen))
		return RC_OK;
	rc = store_alias_check_one(s, id, err);
	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 2 * STORE_ADDRESS_BYTES);
	rc = store_alias_key(s, id, &mem, &key, err);
	while (rc == RC_OK && count == STORE_PAGE_ROWS) {
		rc = store_alias_parents(s, key, after, ids, &count, err);
		for (size_t i = 0; i < count && rc == RC_OK; i++)
			rc = store_alias_check(s, ids[i], depth - 1, seen, err);
		if (count)
			after = ids[count - 1];
	}
	arena_clear(&mem);
	return rc;
}

static enum rc store_alias_make(struct store *s, const struct store_name *name, int64_t *id_out, bool *new_out, struct err *err)
{
	struct sql_row row;
	int64_t domain = 0, id = 0;
	enum rc rc = store_alias_id(s, name->key, id_out, err);

	*new_out = rc == RC_NONE;
	if (rc != RC_NONE)
		return rc;
	rc = store_domain_id(s, name->domain, &domain, NULL, err);
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "%.*s is not hosted here: add the domain first", SPAN_FMT(name->domain));
	if (rc != RC_OK)
		return rc;
	rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_FIND, SQL_ARGS(SQL_T(name->key)), err);
	sql_end(&row);
	if (rc == RC_OK)
		return err_set(err, RC_EXISTS, "%.*s is an account; an alias of the same address would never be used", SPAN_FMT(name->text));
	if (rc == RC_NONE)
		rc = store_number(s, STORE_COUNT_ALIAS, 1, &id, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ALIAS_ADD, SQL_ARGS(SQL_N(id), SQL_N(domain), SQL_T(name->key), SQL_T(name->lower)), err);
	if (rc == RC_OK)
		*id_out = id;
	return rc;
}

static enum rc store_alias_add_in(struct store *s, const struct store_name *name, const struct store_name *target, struct err *err)
{
	int64_t id = 0;
	bool fresh = false;
	struct map seen;
	struct err undo;
	enum rc rc = store_alias_make(s, name, &id, &fresh, err), back;

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_ALIAS_TARGET_ADD, SQL_ARGS(SQL_N(id), SQL_T(target->key), SQL_T(target->text)), err);
	if (rc == RC_EXISTS)
		return err_set(err, RC_EXISTS, "%.*s leads to %.*s already", SPAN_FMT(name->text), SPAN_FMT(target->text));
	map_init(&seen);
	if (rc == RC_OK)
		rc = store_alias_check(s, id, 2 * STORE_ALIAS_DEPTH, &seen, err);
	map_clear(&seen);
	if (rc != RC_BAD && rc != RC_LIMIT)
		return rc;
	/* only this row is taken back: the caller may have done other things in this transaction */
	back = sql_run(&s->sql, STORE_SQL_ALIAS_TARGET_REMOVE, SQL_ARGS(SQL_N(id), SQL_T(target->key)), &undo);
	if (back == RC_OK && fresh)
		back = sql_run(&s->sql, STORE_SQL_ALIAS_DELETE, SQL_ARGS(SQL_N(id)), &undo);
	return back == RC_OK ? rc : err_set(err, back, "%s", undo.words);
}

enum rc store_alias_add(struct store *s, struct span address, struct span target, struct err *err)
{
	struct store_name name, to;
	struct arena mem;
	bool own;
	enum rc rc;

	arena_init(&mem, 32 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(address, &mem, &name, err);
	if (rc == RC_OK)
		rc = store_name_parse(target, &mem, &to, err);
	if (rc == RC_OK && (name.domain.len == 0 || to.domain.len == 0))
		rc = err_set(err, RC_BAD, "an alias and its target need whole addresses, with their domains");
	if (rc == RC_OK)
		rc = store_write_begin(s, &own, err);
	if (rc == RC_OK)
		rc = store_write_end(s, own, store_alias_add_in(s, &name, &to, err), err);
	arena_clear(&mem);
	return rc;
}

/* ---- removing */

static enum rc store_alias_delete(struct store *s, int64_t id, struct err *err)
{
	struct arena mem;
	struct span key = SPAN_NONE;
	enum rc rc;

	arena_init(&mem, 2 * STORE_ADDRESS_BYTES);
	rc = store_alias_key(s, id, &mem, &key, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ALIAS_TARGET_REMOVE_ALL, SQL_ARGS(SQL_N(id)), err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ALIAS_DELETE, SQL_ARGS(SQL_N(id)), err);
	if (rc == RC_OK)
		rc = store_policy_forget_alias(s, key, err);
	if (rc == RC_OK)
		rc = store_alias_forget(s, key, err); /* as deep as aliases may be nested */
	arena_clear(&mem);
	return rc;
}

static enum rc store_alias_delete_if_empty(struct store *s, int64_t id, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_TARGET_ANY, SQL_ARGS(SQL_N(id)), err);

	sql_end(&row);
	return rc == RC_NONE ? store_alias_delete(s, id, err) : rc;
}

enum rc store_alias_forget(struct store *s, struct span key, struct err *err)
{
	struct sql_row row;
	int64_t id;
	enum rc rc;

	for (;;) {
		rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_LEADING_TO, SQL_ARGS(SQL_T(key)), err);
		if (rc != RC_OK)
			break;
		id = sql_number(&row, 0, 1, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		sql_end(&row);
		if (rc == RC_OK)
			rc = sql_run(&s->sql, STORE_SQL_ALIAS_TARGET_REMOVE, SQL_ARGS(SQL_N(id), SQL_T(key)), err);
		if (rc == RC_OK && sql_changed(&s->sql) == 0)
			rc = err_set(err, RC_BAD, "%s: the index of alias targets is damaged", s->sql.path);
		if (rc == RC_OK)
			rc = store_alias_delete_if_empty(s, id, err);
		if (rc != RC_OK)
			break;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_alias_remove_in(struct store *s, const struct store_name *name, const struct store_name *target, struct err *err)
{
	int64_t id = 0;
	enum rc rc = store_alias_id(s, name->key, &id, err);

	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no alias %.*s", SPAN_FMT(name->text));
	if (rc != RC_OK)
		return rc;
	if (!target)
		return store_alias_delete(s, id, err);
	rc = sql_run(&s->sql, STORE_SQL_ALIAS_TARGET_REMOVE, SQL_ARGS(SQL_N(id), SQL_T(target->key)), err);
	if (rc == RC_OK && sql_changed(&s->sql) == 0)
		return err_set(err, RC_NONE, "%.*s does not lead to %.*s", SPAN_FMT(name->text), SPAN_FMT(target->text));
	return rc == RC_OK ? store_alias_delete_if_empty(s, id, err) : rc;
}

enum rc store_alias_remove(struct store *s, struct span address, struct span target_or_empty, struct err *err)
{
	struct store_name name, target;
	struct arena mem;
	bool own;
	enum rc rc;

	arena_init(&mem, 32 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(address, &mem, &name, err);
	if (rc == RC_OK && target_or_empty.len)
		rc = store_name_parse(target_or_empty, &mem, &target, err);
	if (rc == RC_OK)
		rc = store_write_begin(s, &own, err);
	if (rc == RC_OK)
		rc = store_write_end(s, own, store_alias_remove_in(s, &name, target_or_empty.len ? &target : NULL, err), err);
	arena_clear(&mem);
	return rc;
}

/* ---- listing */

struct store_alias_list {
	struct store *s;
	enum rc (*each)(void *arg, const struct store_alias *);
	void *arg;
	struct err *err;
	struct span only; /* domain, or "" for all */
};

struct store_alias_at {
	struct span key, target_key;
};

static enum rc store_alias_page(struct store *s, int64_t domain, struct store_alias_at *at, struct arena *mem, struct store_alias *page, size_t *count_out,
	struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_PAGE,
		SQL_ARGS(SQL_N(domain), SQL_T(at->key), SQL_T(at->target_key), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		at->key = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES));
		page[n].address = arena_copy(mem, sql_text(&row, 1, STORE_ADDRESS_BYTES));
		at->target_key = arena_copy(mem, sql_text(&row, 2, STORE_ADDRESS_BYTES));
		page[n].target = arena_copy(mem, sql_text(&row, 3, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_alias_each_in(void *arg, const struct store_domain *domain)
{
	struct store_alias_list *list = arg;
	struct store_alias page[STORE_PAGE_ROWS];
	struct store_alias_at at = {SPAN_NONE, SPAN_NONE};
	struct arena mem, next;
	size_t count = STORE_PAGE_ROWS;
	enum rc rc = RC_OK;

	if (list->only.len && !span_eq(list->only, domain->name))
		return RC_OK;
	arena_init(&mem, STORE_PAGE_BYTES);
	while (rc == RC_OK && count == STORE_PAGE_ROWS) {
		arena_init(&next, STORE_PAGE_BYTES);
		rc = store_alias_page(list->s, domain->id, &at, &next, page, &count, list->err);
		for (size_t i = 0; i < count && rc == RC_OK; i++)
			rc = list->each(list->arg, &page[i]);
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	return rc;
}

enum rc store_alias_each(struct store *s, struct span domain_or_empty, enum rc (*each)(void *arg, const struct store_alias *), void *arg, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct store_alias_list list = {.s = s, .each = each, .arg = arg, .err = err, .only = address_domain_key(domain_or_empty, room)};

	return store_domain_each_if_hosted(s, domain_or_empty, store_alias_each_in, &list, err);
}
