#include "store/store_internal.h"

#include "mail/address.h"

enum rc store_domain_name(struct span name, struct arena *mem, struct span *out, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct address a;
	enum address_fault fault = ADDRESS_TOO_LONG;
	struct buf text;

	buf_init(&text, STORE_ADDRESS_BYTES);
	buf_add_str(&text, "x@");
	buf_add(&text, name);
	if (!text.overflow && span_find(name, '@') == name.len)
		fault = address_parse(buf_span(&text), ADDRESS_UTF8, mem, &a);
	buf_clear(&text);
	if (fault != ADDRESS_OK)
		return err_set(err, RC_BAD, "this is no domain name: %s", address_fault_name(fault));
	if (a.literal)
		return err_set(err, RC_BAD, "an address literal cannot be hosted, only a domain name");
	*out = arena_copy(mem, address_domain_key(a.domain, room));
	return out->ptr ? RC_OK : err_set(err, RC_LIMIT, "the domain name is too long");
}

enum rc store_domain_add(struct store *s, struct span name, struct err *err)
{
	struct arena mem;
	int64_t id;
	bool own;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_domain_name(name, &mem, &name, err);
	if (rc != RC_OK)
		goto out;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		goto out;
	rc = store_domain_id(s, name, &id, NULL, err);
	if (rc == RC_OK)
		rc = err_set(err, RC_EXISTS, "%.*s is hosted here already", SPAN_FMT(name));
	else if (rc == RC_NONE)
		rc = store_number(s, STORE_COUNT_DOMAIN, 1, &id, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_DOMAIN_ADD, SQL_ARGS(SQL_N(id), SQL_T(name)), err);
	rc = store_write_end(s, own, rc, err);
out:
	arena_clear(&mem);
	return rc;
}

static enum rc store_domain_unused(struct store *s, int64_t id, struct span name, struct err *err)
{
	struct sql_row row;
	int64_t accounts, aliases;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_IN_USE, SQL_ARGS(SQL_N(id)), err);

	if (rc != RC_OK)
		return rc;
	accounts = sql_number(&row, 0, 0, STORE_MAX_MS);
	aliases = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && accounts + aliases > 0)
		rc = err_set(err, RC_BUSY, "%.*s still has %lld accounts and %lld aliases; remove those first", SPAN_FMT(name), (long long)accounts,
			(long long)aliases);
	return rc;
}

enum rc store_domain_need(struct store *s, struct span name, struct arena *mem, struct span *name_out, int64_t *id_out, struct err *err)
{
	enum rc rc = store_domain_name(name, mem, name_out, err);

	if (rc == RC_OK)
		rc = store_domain_id(s, *name_out, id_out, NULL, err);
	if (rc == RC_NONE)
		rc = err_set(err, RC_NONE, "%.*s is not hosted here", SPAN_FMT(*name_out));
	return rc;
}

enum rc store_domain_remove(struct store *s, struct span name, struct err *err)
{
	struct arena mem;
	int64_t id = 0;
	bool own;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		goto out;
	rc = store_domain_need(s, name, &mem, &name, &id, err);
	if (rc == RC_OK)
		rc = store_domain_unused(s, id, name, err);
	if (rc == RC_OK)
		rc = store_policy_forget_domain(s, id, name, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_DOMAIN_REMOVE, SQL_ARGS(SQL_N(id)), err);
	rc = store_write_end(s, own, rc, err);
out:
	arena_clear(&mem);
	return rc;
}

enum rc store_domain_catch_all(struct store *s, struct span name, struct span account_or_empty, struct err *err)
{
	struct store_account account = {0};
	struct arena mem;
	int64_t id = 0;
	bool own;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		goto out;
	rc = store_domain_need(s, name, &mem, &name, &id, err);
	if (rc == RC_OK && account_or_empty.len)
		rc = store_account_get(s, account_or_empty, &mem, &account, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_DOMAIN_CATCH_ALL, SQL_ARGS(SQL_N(id), SQL_N(account.id)), err);
	rc = store_write_end(s, own, rc, err);
out:
	arena_clear(&mem);
	return rc;
}

/* Pages of rows, copied, so that `each` may call the store and no statement stays open. */
static enum rc store_domain_page(struct store *s, struct span after, struct arena *mem, struct store_domain *page, size_t *count_out, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_PAGE, SQL_ARGS(SQL_T(after), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		page[n].id = sql_number(&row, 0, 1, STORE_MAX_MS);
		page[n].name = arena_copy(mem, sql_text(&row, 1, LIMIT_DOMAIN_BYTES));
		page[n].catch_all = arena_copy(mem, sql_text(&row, 2, STORE_ADDRESS_BYTES));
		page[n].accounts = sql_number(&row, 3, 0, STORE_MAX_MS);
		page[n].aliases = sql_number(&row, 4, 0, STORE_MAX_MS);
		n++;
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_domain_each(struct store *s, enum rc (*each)(void *arg, const struct store_domain *), void *arg, struct err *err)
{
	struct store_domain page[STORE_PAGE_ROWS];
	struct arena mem, next;
	struct span after = SPAN_NONE;
	size_t count = STORE_PAGE_ROWS;
	enum rc rc = RC_OK;

	arena_init(&mem, 4 << 20);
	while (rc == RC_OK && count == STORE_PAGE_ROWS) {
		arena_init(&next, 4 << 20);
		rc = store_domain_page(s, after, &next, page, &count, err);
		for (size_t i = 0; i < count && rc == RC_OK; i++)
			rc = each(arg, &page[i]);
		if (count)
			after = page[count - 1].name;
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	return rc;
}

enum rc store_domain_hosted(struct store *s, struct span name, bool *out, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	int64_t id;
	enum rc rc;

	name = address_domain_key(name, room);
	rc = name.len ? store_domain_id(s, name, &id, NULL, err) : RC_NONE;
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*out = rc == RC_OK;
	return RC_OK;
}

enum rc store_domain_each_if_hosted(struct store *s, struct span only_or_empty, enum rc (*each)(void *arg, const struct store_domain *), void *arg, struct err *err)
{
	bool hosted = true;
	enum rc rc = RC_OK;

	if (only_or_empty.len)
		rc = store_domain_hosted(s, only_or_empty, &hosted, err);
	if (rc == RC_OK && !hosted)
		return err_set(err, RC_NONE, "%.*s is not hosted here", SPAN_FMT(span_head(only_or_empty, LIMIT_DOMAIN_BYTES)));
	return rc == RC_OK ? store_domain_each(s, each, arg, err) : rc;
}
