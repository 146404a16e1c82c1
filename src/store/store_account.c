#include "mail/address.h"
#include "store/store_internal.h"

static enum rc store_account_row(struct sql_row *row, struct arena *mem, struct store_account *out, struct err *err)
{
	out->id = sql_number(row, 0, 1, STORE_MAX_MS);
	out->address = arena_copy(mem, sql_text(row, 1, STORE_ADDRESS_BYTES));
	out->enabled = sql_number(row, 2, STORE_ACCOUNT_DISABLED, STORE_ACCOUNT_ENABLED) == STORE_ACCOUNT_ENABLED;
	out->quota_bytes = sql_number(row, 3, 0, STORE_MAX_MS);
	out->used_bytes = sql_number(row, 4, 0, STORE_MAX_MS);
	out->messages = sql_number(row, 5, 0, STORE_MAX_MS);
	out->created_ms = sql_number(row, 6, -STORE_MAX_MS, STORE_MAX_MS);
	return sql_checked(row, err);
}

enum rc store_account_by_id(struct store *s, int64_t id, struct arena *mem, struct store_account *out, struct err *err)
{
	struct store_account account;
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_GET_ID, SQL_ARGS(SQL_N(id)), err);

	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no account with number %lld", (long long)id);
	if (rc == RC_OK)
		rc = store_account_row(&row, mem, &account, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = account;
	return rc;
}

static enum rc store_account_by_name(struct store *s, const struct store_name *name, struct arena *mem, struct store_account *out, struct err *err)
{
	struct store_account account;
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_GET, SQL_ARGS(SQL_T(name->key)), err);

	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no account %.*s", SPAN_FMT(name->text));
	if (rc == RC_OK)
		rc = store_account_row(&row, mem, &account, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = account;
	return rc;
}

enum rc store_account_get(struct store *s, struct span address, struct arena *mem, struct store_account *out, struct err *err)
{
	struct store_name name;
	struct arena scratch;
	enum rc rc;

	arena_init(&scratch, 16 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(address, &scratch, &name, err);
	if (rc == RC_OK)
		rc = store_account_by_name(s, &name, mem, out, err);
	arena_clear(&scratch);
	return rc;
}

/* the address is free, its domain hosted */
static enum rc store_account_room(struct store *s, const struct store_name *name, int64_t *domain_out, struct err *err)
{
	struct sql_row row;
	enum rc rc;

	if (name->domain.len == 0)
		return err_set(err, RC_BAD, "an account needs a whole address, with its domain");
	rc = store_domain_id(s, name->domain, domain_out, NULL, err);
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "%.*s is not hosted here: add the domain first", SPAN_FMT(name->domain));
	if (rc != RC_OK)
		return rc;
	rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_FIND, SQL_ARGS(SQL_T(name->key)), err);
	sql_end(&row);
	if (rc == RC_OK)
		return err_set(err, RC_EXISTS, "there is an account %.*s already", SPAN_FMT(name->text));
	if (rc != RC_NONE)
		return rc;
	rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_FIND, SQL_ARGS(SQL_T(name->key)), err);
	sql_end(&row);
	if (rc == RC_OK)
		return err_set(err, RC_EXISTS, "%.*s is an alias: remove that first", SPAN_FMT(name->text));
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_account_add(struct store *s, struct span address, int64_t quota_bytes, int64_t now_ms, int64_t *id_out, struct err *err)
{
	struct store_name name;
	struct arena mem;
	int64_t id = 0, domain = 0, validity = 0;
	bool own;
	enum rc rc;

	if (quota_bytes < 0 || quota_bytes > STORE_MAX_MS)
		return err_set(err, RC_BAD, "the quota must be 0 (none) or a positive number of bytes");
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(address, &mem, &name, err);
	if (rc != RC_OK)
		goto out;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		goto out;
	rc = store_account_room(s, &name, &domain, err);
	if (rc == RC_OK)
		rc = store_number(s, STORE_COUNT_ACCOUNT, 1, &id, err);
	/* A mailbox that comes back under the same name must not look like the old one (RFC 1939 7, RFC 3501 2.3.1.1). Seconds, so that it also
	 * grows when the whole database is started anew. */
	if (rc == RC_OK)
		rc = store_number(s, STORE_COUNT_VALIDITY, now_ms / 1000 > 0 && now_ms / 1000 < INT32_MAX ? now_ms / 1000 : 1, &validity, err);
	if (rc == RC_OK && validity > UINT32_MAX)
		rc = err_set(err, RC_LIMIT, "no UIDVALIDITY is left");
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ACCOUNT_ADD, SQL_ARGS(SQL_N(id), SQL_N(domain), SQL_T(name.key), SQL_T(name.lower), SQL_N(quota_bytes),
			SQL_N(validity), SQL_N(now_ms)), err);
	rc = store_write_end(s, own, rc, err);
	if (rc == RC_OK)
		*id_out = id;
out:
	arena_clear(&mem);
	return rc;
}

static enum rc store_account_change(struct store *s, struct span address, enum store_statement change, int64_t value, struct err *err)
{
	struct store_account account;
	struct arena mem;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_account_get(s, address, &mem, &account, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, change, SQL_ARGS(SQL_N(account.id), SQL_N(value)), err);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_account_enable(struct store *s, struct span address, bool on, struct err *err)
{
	return store_account_change(s, address, STORE_SQL_ACCOUNT_STATE, on ? STORE_ACCOUNT_ENABLED : STORE_ACCOUNT_DISABLED, err);
}

enum rc store_account_quota(struct store *s, struct span address, int64_t quota_bytes, struct err *err)
{
	if (quota_bytes < 0 || quota_bytes > STORE_MAX_MS)
		return err_set(err, RC_BAD, "the quota must be 0 (none) or a positive number of bytes");
	return store_account_change(s, address, STORE_SQL_ACCOUNT_QUOTA, quota_bytes, err);
}

/* At once for everybody; the mail itself, which may be a lot, is freed by store_tidy a bounded amount at a time. The row stays until then under a key
 * that no address has (it holds no @). */
enum rc store_account_remove(struct store *s, struct span address, struct err *err)
{
	struct store_name name;
	struct store_account account;
	struct arena mem;
	struct buf key;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 32 * STORE_ADDRESS_BYTES);
	buf_init(&key, 64);
	rc = store_name_parse(address, &mem, &name, err);
	if (rc == RC_OK)
		rc = store_account_by_name(s, &name, &mem, &account, err);
	if (rc == RC_OK) {
		buf_printf(&key, "gone %lld", (long long)account.id);
		rc = sql_run(&s->sql, STORE_SQL_ACCOUNT_GONE, SQL_ARGS(SQL_N(account.id), SQL_T(buf_span(&key))), err);
	}
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_DOMAIN_CATCH_ALL_CLEAR, SQL_ARGS(SQL_N(account.id)), err);
	if (rc == RC_OK)
		rc = store_alias_forget(s, name.key, err);
	if (rc == RC_OK)
		rc = store_policy_forget_account(s, account.id, name.key, err);
	buf_clear(&key);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

struct store_account_list {
	struct store *s;
	enum rc (*each)(void *arg, const struct store_account *);
	void *arg;
	struct err *err;
	struct span only; /* domain, or "" for all */
};

static enum rc store_account_page(struct store *s, int64_t domain, struct span after, struct arena *mem, struct store_account *page, size_t *count_out,
	struct span *last_out, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_PAGE, SQL_ARGS(SQL_N(domain), SQL_T(after), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		*last_out = arena_copy(mem, sql_text(&row, 7, STORE_ADDRESS_BYTES));
		rc = store_account_row(&row, mem, &page[n], err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_account_each_in(void *arg, const struct store_domain *domain)
{
	struct store_account_list *list = arg;
	struct store_account page[STORE_PAGE_ROWS];
	struct arena mem, next;
	struct span after = SPAN_NONE;
	size_t count = STORE_PAGE_ROWS;
	enum rc rc = RC_OK;

	if (list->only.len && !span_eq(list->only, domain->name))
		return RC_OK;
	arena_init(&mem, STORE_PAGE_BYTES);
	while (rc == RC_OK && count == STORE_PAGE_ROWS) {
		arena_init(&next, STORE_PAGE_BYTES);
		rc = store_account_page(list->s, domain->id, after, &next, page, &count, &after, list->err);
		for (size_t i = 0; i < count && rc == RC_OK; i++)
			rc = list->each(list->arg, &page[i]);
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	return rc;
}

enum rc store_account_each(struct store *s, struct span domain_or_empty, enum rc (*each)(void *arg, const struct store_account *), void *arg, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct store_account_list list = {.s = s, .each = each, .arg = arg, .err = err, .only = address_domain_key(domain_or_empty, room)};

	return store_domain_each_if_hosted(s, domain_or_empty, store_account_each_in, &list, err);
}
