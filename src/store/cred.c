#include "store/cred.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store/store_sql.h"

enum { CRED_HASH_BYTES = 512, CRED_KEY_BYTES = 64, CRED_MOST = INT32_MAX, CRED_WAL_PAGES = 1000 };

enum cred_statement {
	CRED_SQL_GET, CRED_SQL_NEXT, CRED_SQL_NEXT_SET, CRED_SQL_PUT, CRED_SQL_ENABLE, CRED_SQL_REMOVE, CRED_SQL_LOCAL, CRED_SQL_COUNT
};

static const char *const cred_texts[CRED_SQL_COUNT] = {
	[CRED_SQL_GET] = "SELECT account, address, hash, scram_salt, scram_stored_key, scram_server_key, scram_iterations, enabled, generation "
		"FROM login WHERE address = ?1",
	[CRED_SQL_NEXT] = "SELECT next FROM counter WHERE name = 'generation'",
	[CRED_SQL_NEXT_SET] = "UPDATE counter SET next = ?1 WHERE name = 'generation'",
	[CRED_SQL_PUT] = "INSERT INTO login (address, local, account, hash, scram_salt, scram_stored_key, scram_server_key, scram_iterations, enabled, generation) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (address) DO UPDATE SET account = excluded.account, hash = excluded.hash, "
		"scram_salt = excluded.scram_salt, scram_stored_key = excluded.scram_stored_key, scram_server_key = excluded.scram_server_key, "
		"scram_iterations = excluded.scram_iterations, enabled = excluded.enabled, generation = excluded.generation",
	[CRED_SQL_ENABLE] = "UPDATE login SET enabled = ?2, generation = ?3 WHERE address = ?1",
	[CRED_SQL_REMOVE] = "DELETE FROM login WHERE address = ?1",
	[CRED_SQL_LOCAL] = "SELECT address FROM login WHERE local = ?1 ORDER BY address LIMIT 2",
};

static const struct sql_migration cred_migrations[] = {
	{
		"CREATE TABLE counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"INSERT INTO counter (name, next) VALUES ('generation', 1);"
		"CREATE TABLE login (address TEXT PRIMARY KEY, local TEXT NOT NULL, account BIGINT NOT NULL, hash TEXT NOT NULL, scram_salt " SQL_BYTES " NOT NULL,"
		" scram_stored_key " SQL_BYTES " NOT NULL, scram_server_key " SQL_BYTES " NOT NULL, scram_iterations BIGINT NOT NULL, enabled BIGINT NOT NULL,"
		" generation BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"CREATE INDEX login_local ON login (local, address);",
		"PRAGMA user_version = 1",
	},
};

static const struct sql_schema cred_schema = {
	.what = "credentials database",
	.migrations = cred_migrations,
	.version = sizeof(cred_migrations) / sizeof(cred_migrations[0]),
	.texts = cred_texts,
	.text_count = CRED_SQL_COUNT,
};

struct cred {
	struct sql sql;
	int64_t seen; /* data version at the last cred_changed */
};

enum rc cred_open(const char *dir, bool create, struct cred **out, struct err *err)
{
	struct cred *c;
	enum rc rc;

	if (create && mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_errno(err, errno == ENOSPC || errno == EDQUOT ? RC_FULL : RC_IO, "%s", dir);
	c = mem_zalloc(sizeof(*c));
	rc = sql_open(&c->sql, dir, "credentials.db", create ? SQL_OPEN_CREATE : 0, &cred_schema, err);
	if (rc == RC_OK)
		rc = sql_data_version(&c->sql, &c->seen, err);
	if (rc != RC_OK)
		cred_close(&c);
	else
		*out = c;
	return rc;
}

void cred_close(struct cred **cp)
{
	struct cred *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	sql_close(&c->sql);
	free(c);
}

/* login names are kept in lower case (ASCII), as address_key makes them */
static struct span cred_lower(struct span address, uint8_t lower[LIMIT_LOGIN_BYTES])
{
	if (address.len > LIMIT_LOGIN_BYTES)
		return SPAN_NONE;
	for (size_t i = 0; i < address.len; i++)
		lower[i] = byte_lower(address.ptr[i]);
	return span_of(lower, address.len);
}

static size_t cred_at(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at; /* behind the last @; 0: none */
}

static enum rc cred_row_read(struct sql_row *row, struct arena *mem, struct cred_row *out, struct err *err)
{
	out->account = sql_number(row, 0, 0, INT64_MAX);
	out->address = arena_copy(mem, sql_text(row, 1, LIMIT_LOGIN_BYTES));
	out->hash = arena_copy(mem, sql_text(row, 2, CRED_HASH_BYTES));
	out->scram_salt = arena_copy(mem, sql_bytes(row, 3, CRED_KEY_BYTES));
	out->scram_stored_key = arena_copy(mem, sql_bytes(row, 4, CRED_KEY_BYTES));
	out->scram_server_key = arena_copy(mem, sql_bytes(row, 5, CRED_KEY_BYTES));
	out->scram_iterations = (uint32_t)sql_number(row, 6, 0, CRED_MOST);
	out->enabled = sql_number(row, 7, 0, 1) == 1;
	out->generation = (uint64_t)sql_number(row, 8, 0, INT64_MAX);
	if (mem->overflow)
		return err_set(err, RC_LIMIT, "no room for a login's data");
	return sql_checked(row, err);
}

enum rc cred_get(struct cred *c, struct span address, struct arena *mem, struct cred_row *out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct cred_row got;
	struct sql_row row;
	enum rc rc;

	rc = sql_first(&c->sql, &row, CRED_SQL_GET, SQL_ARGS(SQL_T(cred_lower(address, lower))), err);
	if (rc == RC_OK)
		rc = cred_row_read(&row, mem, &got, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = got;
	return rc;
}

/* grows over everything that ever happened, so that a login that was removed and added again is another one */
static enum rc cred_generation(struct cred *c, int64_t *out, struct err *err)
{
	struct sql_row row;
	int64_t next = 0;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_NEXT, NULL, 0, err);

	if (rc == RC_OK) {
		next = sql_number(&row, 0, 1, INT64_MAX - 1);
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_NEXT_SET, SQL_ARGS(SQL_N(next + 1)), err);
	if (rc == RC_OK)
		*out = next;
	return rc == RC_NONE ? err_set(err, RC_BAD, "%s: the counter is missing", c->sql.path) : rc;
}

static enum rc cred_end(struct cred *c, enum rc rc, struct err *err)
{
	if (rc != RC_OK) {
		sql_rollback(&c->sql);
		return rc;
	}
	rc = sql_commit(&c->sql, err);
	if (rc == RC_OK && c->sql.wal_pages > CRED_WAL_PAGES)
		sql_checkpoint_try(&c->sql);
	return rc;
}

enum rc cred_put(struct cred *c, const struct cred_row *row, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct span address = cred_lower(row->address, lower);
	size_t at = cred_at(address);
	int64_t generation = 0;
	enum rc rc;

	if (at < 2 || at == address.len || !span_is_utf8(address) || row->hash.len > CRED_HASH_BYTES || row->scram_salt.len > CRED_KEY_BYTES ||
		row->scram_stored_key.len > CRED_KEY_BYTES || row->scram_server_key.len > CRED_KEY_BYTES)
		return err_set(err, RC_BAD, "this is no login: an address and its verifiers are wanted");
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = cred_generation(c, &generation, err);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_PUT, SQL_ARGS(SQL_T(address), SQL_T(span_head(address, at - 1)), SQL_N(row->account), SQL_T(row->hash),
			SQL_B(row->scram_salt), SQL_B(row->scram_stored_key), SQL_B(row->scram_server_key), SQL_N(row->scram_iterations),
			SQL_N(row->enabled), SQL_N(generation)), err);
	return cred_end(c, rc, err);
}

/* one statement on one login that must be there */
static enum rc cred_change(struct cred *c, struct span address, enum cred_statement statement, bool on, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct span name = cred_lower(address, lower);
	int64_t generation = 0;
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = cred_generation(c, &generation, err);
	if (rc == RC_OK && statement == CRED_SQL_REMOVE)
		rc = sql_run(&c->sql, CRED_SQL_REMOVE, SQL_ARGS(SQL_T(name)), err);
	else if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_ENABLE, SQL_ARGS(SQL_T(name), SQL_N(on), SQL_N(generation)), err);
	if (rc == RC_OK && sql_changed(&c->sql) == 0)
		rc = err_set(err, RC_NONE, "there is no such login");
	return cred_end(c, rc, err);
}

enum rc cred_enable(struct cred *c, struct span address, bool on, struct err *err)
{
	return cred_change(c, address, CRED_SQL_ENABLE, on, err);
}

enum rc cred_remove(struct cred *c, struct span address, struct err *err)
{
	return cred_change(c, address, CRED_SQL_REMOVE, false, err);
}

enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct sql_row row;
	struct span address = SPAN_NONE;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_LOCAL, SQL_ARGS(SQL_T(cred_lower(local, lower))), err);

	if (rc == RC_OK) {
		address = arena_copy(mem, sql_text(&row, 0, LIMIT_LOGIN_BYTES));
		rc = sql_checked(&row, err);
		if (rc == RC_OK && sql_next(&row, err) != RC_NONE)
			rc = err_set(err, RC_BUSY, "several logins have this name before the @");
	}
	sql_end(&row);
	if (rc == RC_OK)
		*address_out = address;
	return rc;
}

enum rc cred_changed(struct cred *c, bool *out, struct err *err)
{
	int64_t now = 0;
	enum rc rc = sql_data_version(&c->sql, &now, err);

	if (rc != RC_OK)
		return rc;
	*out = now != c->seen;
	c->seen = now;
	return RC_OK;
}
