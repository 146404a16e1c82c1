#include "store/cred_throttle.h"

#include "base/rng.h"
#include "store/cred_internal.h"

/* rows that are no counters; their numbers go on where enum cred_throttle_kind ends */
enum { THROTTLE_SECRET = 3, THROTTLE_RESET = 4 };
enum { THROTTLE_TIDY = 1000 };

static enum rc throttle_put(struct cred *c, int kind, uint64_t key, uint64_t spent, int64_t at_ms, struct err *err)
{
	return sql_run(&c->sql, CRED_SQL_THROTTLE_PUT, SQL_ARGS(SQL_N(kind), SQL_N(key), SQL_N(spent), SQL_N(at_ms)), err);
}

static enum rc throttle_get(struct cred *c, int kind, uint64_t key, struct cred_throttle *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_THROTTLE_GET, SQL_ARGS(SQL_N(kind), SQL_N(key)), err);

	if (rc == RC_OK) {
		*out = (struct cred_throttle){.key = key, .spent = (uint64_t)sql_number(&row, 0, INT64_MIN, INT64_MAX), .at_ms = sql_number(&row, 1, 0, INT64_MAX)};
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	return rc;
}

static enum rc throttle_secret_half(struct cred *c, uint64_t half, uint8_t out[8], struct err *err)
{
	struct cred_throttle row = {.spent = rng_u64()};
	enum rc rc = throttle_get(c, THROTTLE_SECRET, half, &row, err);

	if (rc == RC_NONE)
		rc = throttle_put(c, THROTTLE_SECRET, half, row.spent, 0, err);
	memcpy(out, &row.spent, 8);
	return rc;
}

enum rc cred_throttle_secret(struct cred *c, uint8_t secret_out[CRED_THROTTLE_SECRET_BYTES], struct err *err)
{
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = throttle_secret_half(c, 0, secret_out, err);
	if (rc == RC_OK)
		rc = throttle_secret_half(c, 1, secret_out + 8, err);
	return cred_end(c, rc, err);
}

enum rc cred_throttle_put(struct cred *c, const struct cred_throttle *rows, size_t count, struct err *err)
{
	enum rc rc = sql_begin(&c->sql, err);

	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = throttle_put(c, (int)rows[i].kind, rows[i].key, rows[i].spent, rows[i].at_ms, err);
	return rc == RC_OK || c->sql.in_transaction ? cred_end(c, rc, err) : rc;
}

enum rc cred_throttle_each(struct cred *c, uint32_t most, void (*each)(void *arg, const struct cred_throttle *), void *arg, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_THROTTLE_LIST, SQL_ARGS(SQL_N(CRED_THROTTLE_PAIRS), SQL_N(most)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		struct cred_throttle t = {.kind = (enum cred_throttle_kind)sql_number(&row, 0, CRED_THROTTLE_FAILURES, CRED_THROTTLE_PAIRS),
			.key = (uint64_t)sql_number(&row, 1, INT64_MIN, INT64_MAX), .spent = (uint64_t)sql_number(&row, 2, 0, INT64_MAX), .at_ms = sql_number(&row, 3, 0, INT64_MAX)};

		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		each(arg, &t);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc cred_throttle_get(struct cred *c, enum cred_throttle_kind kind, uint64_t key, struct cred_throttle *out, struct err *err)
{
	enum rc rc = throttle_get(c, (int)kind, key, out, err);

	if (rc == RC_OK)
		out->kind = kind;
	return rc;
}

enum rc cred_throttle_tidy(struct cred *c, int64_t oldest_ms, int64_t latest_ms, uint32_t most, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_THROTTLE_CUTOFF, SQL_ARGS(SQL_N(CRED_THROTTLE_PAIRS), SQL_N(most)), err);

	if (rc == RC_OK) {
		int64_t cutoff = sql_number(&row, 0, 0, INT64_MAX - 1);

		rc = sql_checked(&row, err);
		if (oldest_ms < cutoff + 1)
			oldest_ms = cutoff + 1;
	}
	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	rc = sql_first(&c->sql, &row, CRED_SQL_THROTTLE_OLD, SQL_ARGS(SQL_N(CRED_THROTTLE_PAIRS), SQL_N(oldest_ms), SQL_N(latest_ms)), err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_THROTTLE_TIDY, SQL_ARGS(SQL_N(CRED_THROTTLE_PAIRS), SQL_N(oldest_ms), SQL_N(latest_ms), SQL_N(THROTTLE_TIDY)), err);
	return cred_end(c, rc, err);
}

enum rc cred_throttle_reset(struct cred *c, uint64_t key, struct err *err)
{
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_THROTTLE_REMOVE, SQL_ARGS(SQL_N(CRED_THROTTLE_FAILURES), SQL_N(key)), err);
	if (rc == RC_OK)
		rc = throttle_put(c, THROTTLE_RESET, key, 0, 0, err);
	return cred_end(c, rc, err);
}

enum rc cred_throttle_take_reset(struct cred *c, uint64_t *key_out, struct err *err)
{
	struct sql_row row;
	uint64_t key = 0;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_THROTTLE_NEXT, SQL_ARGS(SQL_N(THROTTLE_RESET)), err);

	if (rc == RC_OK) {
		key = (uint64_t)sql_number(&row, 0, INT64_MIN, INT64_MAX);
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = cred_end(c, sql_run(&c->sql, CRED_SQL_THROTTLE_REMOVE, SQL_ARGS(SQL_N(THROTTLE_RESET), SQL_N(key)), err), err);
	if (rc == RC_OK)
		*key_out = key;
	return rc;
}
