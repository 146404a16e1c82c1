#include "store/store_vacation.h"

#include "store/store_filter.h"
#include "store/store_internal.h"

enum { VACATION_KEY_BYTES = 16, VACATION_AHEAD_MS = 24 * 3600 * 1000 /* of a clock that was set back */ };

static enum rc vacation_key(struct store *s, struct span handle, struct span sender, uint8_t out[VACATION_KEY_BYTES], struct err *err)
{
	struct store_name name;
	struct arena mem;
	uint64_t len = handle.len;
	uint8_t hash[32];
	unsigned size = sizeof(hash);
	bool ok;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(sender, &mem, &name, err);
	if (rc == RC_OK) {
		ok = EVP_DigestInit_ex2(s->digest, s->sha256, NULL) == 1;
		ok = ok && EVP_DigestUpdate(s->digest, &len, sizeof(len)) == 1 &&
		     EVP_DigestUpdate(s->digest, handle.len ? (const void *)handle.ptr : "", handle.len) == 1;
		ok = ok && EVP_DigestUpdate(s->digest, name.key.ptr, name.key.len) == 1 && EVP_DigestFinal_ex(s->digest, hash, &size) == 1;
		if (ok)
			memcpy(out, hash, VACATION_KEY_BYTES);
		else
			rc = err_set(err, RC_IO, "SHA-256 failed");
	}
	arena_clear(&mem);
	return rc;
}

static enum rc vacation_full(struct store *s, int64_t account, bool *full_out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_VACATION_COUNT, SQL_ARGS(SQL_N(account), SQL_N(LIMIT_SIEVE_ANSWERED)), err);

	if (rc != RC_OK)
		return rc;
	*full_out = sql_number(&row, 0, 0, STORE_MAX_MS) >= LIMIT_SIEVE_ANSWERED;
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

enum rc store_vacation_quiet(struct store *s, int64_t account, struct span handle, struct span sender, int64_t now_ms, bool *quiet_out,
			     struct err *err)
{
	uint8_t key[VACATION_KEY_BYTES];
	int64_t at, until;
	struct sql_row row;
	enum rc rc = vacation_key(s, handle, sender, key, err);

	if (rc == RC_OK)
		rc = sql_first(&s->sql, &row, STORE_SQL_VACATION_GET, SQL_ARGS(SQL_N(account), SQL_B(span_of(key, sizeof(key)))), err);
	if (rc == RC_NONE)
		return vacation_full(s, account, quiet_out, err);
	if (rc != RC_OK)
		return rc;
	at = sql_number(&row, 0, 0, STORE_MAX_MS);
	until = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		*quiet_out = now_ms < until && at <= now_ms + VACATION_AHEAD_MS;
	return rc;
}

enum rc store_vacation_put(struct store *s, int64_t account, struct span handle, struct span sender, int64_t now_ms, int64_t until_ms,
			   struct err *err)
{
	uint8_t key[VACATION_KEY_BYTES];
	enum rc rc = vacation_key(s, handle, sender, key, err);

	if (rc != RC_OK)
		return rc;
	return sql_run(&s->sql, STORE_SQL_VACATION_PUT,
		       SQL_ARGS(SQL_N(account), SQL_B(span_of(key, sizeof(key))), SQL_N(now_ms), SQL_N(until_ms)), err);
}

enum rc store_filter_of(struct store *s, int64_t account, struct arena *mem, struct span *script_out, uint32_t *needs_out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_FILTER_GET, SQL_ARGS(SQL_N(account)), err);

	if (rc != RC_OK)
		return rc;
	*script_out = arena_copy(mem, sql_lines(&row, 0, STORE_FILTER_BYTES));
	*needs_out = (uint32_t)sql_number(&row, 1, 0, UINT32_MAX);
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc == RC_OK && mem->overflow ? err_set(err, RC_LIMIT, "no room for a filter") : rc;
}
