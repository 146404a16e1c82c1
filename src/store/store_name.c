#include "store/store_internal.h"

#include "mail/address.h"
#include "mail/srs.h"

static bool store_is_postmaster(struct span local)
{
	return span_eq_nocase(local, SPAN_LIT("postmaster"));
}

static struct span store_name_domain(struct span key)
{
	size_t at = key.len;

	while (at > 0 && key.ptr[at - 1] != '@')
		at--;
	return span_from(key, at);
}

enum rc store_name_parse(struct span address, struct arena *mem, struct store_name *out, struct err *err)
{
	struct address a = {.local = address, .domain = SPAN_NONE};
	enum address_fault fault = ADDRESS_OK;
	struct buf text;
	enum rc rc = RC_OK;

	if (!store_is_postmaster(address)) /* RFC 5321 4.5.1: the one address that needs no domain */
		fault = address_parse(address, ADDRESS_UTF8, mem, &a);
	if (fault != ADDRESS_OK)
		return err_set(err, RC_BAD, "this is no address: %s", address_fault_name(fault));
	buf_init(&text, STORE_ADDRESS_BYTES);
	address_write(&text, &a);
	out->text = arena_copy(mem, buf_span(&text));
	for (size_t i = 0; i < text.len; i++)
		text.ptr[i] = byte_lower(text.ptr[i]);
	out->lower = arena_copy(mem, buf_span(&text));
	buf_reset(&text);
	out->local = span_head(out->text, a.domain.len ? out->text.len - a.domain.len - 1 : out->text.len);
	address_key(&text, &a);
	out->key = arena_copy(mem, buf_span(&text));
	out->domain = a.domain.len ? store_name_domain(out->key) : SPAN_NONE;
	if (text.overflow || !out->text.ptr || !out->lower.ptr || !out->key.ptr)
		rc = err_set(err, RC_LIMIT, "the address is too long");
	buf_clear(&text);
	return rc;
}

static enum rc store_found_account(struct sql_row *row, struct store_found *out, struct err *err)
{
	struct store_found f = {.kind = STORE_FOUND_ACCOUNT};
	enum rc rc;

	f.id = sql_number(row, 0, 1, STORE_MAX_MS);
	f.enabled = sql_number(row, 1, STORE_ACCOUNT_DISABLED, STORE_ACCOUNT_GONE) == STORE_ACCOUNT_ENABLED;
	f.quota_bytes = sql_number(row, 2, 0, STORE_MAX_MS);
	f.used_bytes = sql_number(row, 3, 0, STORE_MAX_MS);
	rc = sql_checked(row, err);
	sql_end(row);
	if (rc == RC_OK)
		*out = f;
	return rc;
}

enum rc store_find_account(struct store *s, int64_t id, struct store_found *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_FIND_ID, SQL_ARGS(SQL_N(id)), err);

	return rc == RC_OK ? store_found_account(&row, out, err) : rc;
}

static enum rc store_find_account_key(struct store *s, struct span key, struct store_found *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_FIND, SQL_ARGS(SQL_T(key)), err);

	return rc == RC_OK ? store_found_account(&row, out, err) : rc;
}

static enum rc store_find_alias_key(struct store *s, struct span key, struct store_found *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ALIAS_FIND, SQL_ARGS(SQL_T(key)), err);

	if (rc != RC_OK)
		return rc;
	*out = (struct store_found){.kind = STORE_FOUND_ALIAS, .id = sql_number(&row, 0, 1, STORE_MAX_MS)};
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

/* the account or alias of the local part before the first "+" */
static enum rc store_find_plain(struct store *s, const struct store_name *name, struct store_found *out, struct err *err)
{
	size_t local = name->key.len - name->domain.len - 1;
	size_t plus = span_find(span_head(name->key, local), '+');
	uint8_t plain[STORE_ADDRESS_BYTES];
	struct span key;
	enum rc rc;

	if (plus == local || plus == 0)
		return RC_NONE;
	memcpy(plain, name->key.ptr, plus);
	memcpy(plain + plus, name->key.ptr + local, name->key.len - local);
	key = span_of(plain, plus + name->key.len - local);
	rc = store_find_account_key(s, key, out, err);
	return rc == RC_NONE ? store_find_alias_key(s, key, out, err) : rc;
}

static enum rc store_find_oldest(struct store *s, int64_t domain, struct store_found *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_OLDEST, SQL_ARGS(SQL_N(domain), SQL_N(STORE_ACCOUNT_ENABLED)), err);

	if (rc == RC_NONE) /* a domain without any account that reads its mail: somebody else must */
		rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_OLDEST_ANY, NULL, 0, err);
	return rc == RC_OK ? store_found_account(&row, out, err) : rc;
}

enum rc store_domain_id(struct store *s, struct span name, int64_t *id_out, int64_t *catch_all_out, struct err *err)
{
	struct sql_row row;
	int64_t id, catch_all;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_GET, SQL_ARGS(SQL_T(name)), err);

	if (rc != RC_OK)
		return rc;
	id = sql_number(&row, 0, 1, STORE_MAX_MS);
	catch_all = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	*id_out = id;
	if (catch_all_out)
		*catch_all_out = catch_all;
	return RC_OK;
}

/* "postmaster" alone is postmaster of the oldest domain */
static enum rc store_first_domain_name(struct store *s, struct arena *mem, struct store_name *name, struct err *err)
{
	struct sql_row row;
	struct buf key;
	struct span domain;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_FIRST, NULL, 0, err);

	if (rc != RC_OK)
		return rc;
	domain = arena_copy(mem, sql_text(&row, 0, LIMIT_DOMAIN_BYTES));
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	buf_init(&key, STORE_ADDRESS_BYTES);
	buf_add_str(&key, "postmaster@");
	buf_add(&key, domain);
	name->key = arena_copy(mem, buf_span(&key));
	name->domain = domain;
	buf_clear(&key);
	return name->key.ptr ? RC_OK : err_set(err, RC_LIMIT, "the address is too long");
}

static enum rc store_find_rest(struct store *s, const struct store_name *name, struct store_found *out, struct err *err)
{
	size_t local = name->key.len - name->domain.len - 1;
	int64_t domain, catch_all;
	enum rc rc = store_domain_id(s, name->domain, &domain, &catch_all, err);

	if (rc == RC_NONE) {
		*out = (struct store_found){.kind = STORE_FOUND_FOREIGN};
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = store_find_alias_key(s, name->key, out, err);
	if (rc == RC_NONE)
		rc = store_find_plain(s, name, out, err);
	if (rc == RC_NONE && srs_is_rewritten(span_head(name->key, local))) {
		out->kind = STORE_FOUND_SRS;
		return RC_OK;
	}
	if (rc == RC_NONE && catch_all)
		rc = store_find_account(s, catch_all, out, err);
	if (rc == RC_NONE && store_is_postmaster(span_head(name->key, local)))
		rc = store_find_oldest(s, domain, out, err);
	return rc;
}

enum rc store_find(struct store *s, const struct store_name *given, struct store_found *out, struct err *err)
{
	struct store_name name = *given;
	struct arena mem;
	enum rc rc = RC_OK;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	*out = (struct store_found){.kind = STORE_FOUND_NOBODY};
	if (name.domain.len == 0)
		rc = store_first_domain_name(s, &mem, &name, err);
	if (rc == RC_OK)
		rc = store_find_account_key(s, name.key, out, err); /* the common case in one look-up: an account's domain is hosted */
	if (rc == RC_NONE && name.domain.len)
		rc = store_find_rest(s, &name, out, err);
	if (rc == RC_NONE) {
		*out = (struct store_found){.kind = STORE_FOUND_NOBODY};
		rc = RC_OK;
	}
	arena_clear(&mem);
	return rc;
}
