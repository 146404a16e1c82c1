#include "store/cred.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "mail/address.h"
#include "store/cred_internal.h"

enum { CRED_HASH_BYTES = 512, CRED_KEY_BYTES = 64, CRED_MOST = INT32_MAX, CRED_WAL_PAGES = 1000 };

#define CRED_COLUMNS                                                                                                            \
	"account, address, hash, scram_salt, scram_stored_key, scram_server_key, scram_iterations, enabled, generation, demand, "  \
	"old_hash, old_ended_ms, signed_in_ms"

static const char *const cred_texts[CRED_SQL_COUNT] = {
	[CRED_SQL_GET] = "SELECT " CRED_COLUMNS " FROM login WHERE address = ?1",
	[CRED_SQL_BY_ACCOUNT] = "SELECT " CRED_COLUMNS " FROM login WHERE account = ?1",
	[CRED_SQL_NEXT] = "SELECT next FROM counter WHERE name = 'generation'",
	[CRED_SQL_NEXT_SET] = "UPDATE counter SET next = ?1 WHERE name = 'generation'",
	[CRED_SQL_PUT] = "INSERT INTO login (address, local, domain, account, hash, scram_salt, scram_stored_key, scram_server_key, scram_iterations, enabled, "
		"generation, demand, old_hash, old_ended_ms, signed_in_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) "
		"ON CONFLICT (address) DO UPDATE SET account = excluded.account, hash = excluded.hash, "
		"scram_salt = excluded.scram_salt, scram_stored_key = excluded.scram_stored_key, scram_server_key = excluded.scram_server_key, "
		"scram_iterations = excluded.scram_iterations, enabled = excluded.enabled, generation = excluded.generation, demand = excluded.demand, "
		"old_hash = excluded.old_hash, old_ended_ms = excluded.old_ended_ms, signed_in_ms = excluded.signed_in_ms",
	[CRED_SQL_ENABLE] = "UPDATE login SET enabled = ?2, generation = ?3 WHERE address = ?1",
	[CRED_SQL_REMOVE] = "DELETE FROM login WHERE address = ?1",
	[CRED_SQL_LOCAL] = "SELECT address FROM login WHERE local = ?1 ORDER BY address LIMIT ?2",
	[CRED_SQL_DOMAIN] = "SELECT address FROM login WHERE domain = ?1 LIMIT 1",
	[CRED_SQL_DEMAND] = "UPDATE login SET demand = ?2, generation = ?3 WHERE address = ?1",
	[CRED_SQL_RENEW] = "UPDATE login SET generation = ?2 WHERE address = ?1",
	[CRED_SQL_SIGNED_IN] = "UPDATE login SET signed_in_ms = ?2 WHERE address = ?1",
	[CRED_SQL_APP_ADD] = "INSERT INTO app_password (address, name, verifier, created_ms, used_ms) VALUES (?1, ?2, ?3, ?4, 0)",
	[CRED_SQL_APP_LIST] = "SELECT name, verifier, created_ms, used_ms FROM app_password WHERE address = ?1 ORDER BY name LIMIT ?2",
	[CRED_SQL_APP_REMOVE] = "DELETE FROM app_password WHERE address = ?1 AND name = ?2",
	[CRED_SQL_APP_REMOVE_ALL] = "DELETE FROM app_password WHERE address = ?1",
	[CRED_SQL_APP_USED] = "UPDATE app_password SET used_ms = ?3 WHERE address = ?1 AND name = ?2",
	[CRED_SQL_WINDOW_GET] = "SELECT peer, account, address, service, opened_ms, until_ms, closed_ms, reason, generation FROM relay_window WHERE peer = ?1",
	[CRED_SQL_WINDOW_COUNT] = "SELECT COUNT(*) FROM relay_window",
	[CRED_SQL_WINDOW_PUT] = "INSERT INTO relay_window (peer, account, address, service, opened_ms, until_ms, closed_ms, reason, generation) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (peer) DO UPDATE SET account = excluded.account, address = excluded.address, "
		"service = excluded.service, opened_ms = excluded.opened_ms, until_ms = excluded.until_ms, closed_ms = excluded.closed_ms, reason = excluded.reason, "
		"generation = excluded.generation",
	[CRED_SQL_WINDOW_REVOKE] = "UPDATE relay_window SET closed_ms = ?3, reason = ?4 WHERE (peer = ?1 OR address = ?2 OR ?1 = 'all') AND reason = 0 AND until_ms > ?3",
	[CRED_SQL_WINDOW_STALE] = "SELECT 1 FROM relay_window w WHERE w.until_ms > ?1 AND w.reason = 0 AND NOT EXISTS "
		"(SELECT 1 FROM login l WHERE l.address = w.address AND l.account = w.account AND l.generation = w.generation AND l.enabled = 1) LIMIT 1",
	[CRED_SQL_WINDOW_SETTLE] = "UPDATE relay_window SET closed_ms = ?1, reason = ?2 WHERE until_ms > ?1 AND reason = 0 AND NOT EXISTS "
		"(SELECT 1 FROM login l WHERE l.address = relay_window.address AND l.account = relay_window.account AND l.generation = relay_window.generation AND l.enabled = 1)",
	[CRED_SQL_WINDOW_LIST] = "SELECT peer, account, address, service, opened_ms, until_ms, closed_ms, reason, generation FROM relay_window ORDER BY until_ms DESC, peer LIMIT ?1",
	[CRED_SQL_WINDOW_TIDY] = "DELETE FROM relay_window WHERE peer IN (SELECT peer FROM relay_window WHERE until_ms < ?1 LIMIT ?2)",
	[CRED_SQL_THROTTLE_GET] = "SELECT spent, saved_ms FROM throttle WHERE kind = ?1 AND key = ?2",
	[CRED_SQL_THROTTLE_PUT] = "INSERT INTO throttle (kind, key, spent, saved_ms) VALUES (?1, ?2, ?3, ?4) "
		"ON CONFLICT (kind, key) DO UPDATE SET spent = excluded.spent, saved_ms = excluded.saved_ms",
	[CRED_SQL_THROTTLE_LIST] = "SELECT kind, key, spent, saved_ms FROM throttle WHERE kind <= ?1 ORDER BY saved_ms DESC LIMIT ?2",
	[CRED_SQL_THROTTLE_REMOVE] = "DELETE FROM throttle WHERE kind = ?1 AND key = ?2",
	[CRED_SQL_THROTTLE_CUTOFF] = "SELECT saved_ms FROM throttle WHERE kind <= ?1 ORDER BY saved_ms DESC LIMIT 1 OFFSET ?2",
	[CRED_SQL_THROTTLE_OLD] = "SELECT 1 FROM throttle WHERE kind <= ?1 AND (saved_ms < ?2 OR saved_ms > ?3) LIMIT 1",
	[CRED_SQL_THROTTLE_TIDY] = "DELETE FROM throttle WHERE (kind, key) IN (SELECT kind, key FROM throttle WHERE kind <= ?1 AND (saved_ms < ?2 OR saved_ms > ?3) LIMIT ?4)",
	[CRED_SQL_THROTTLE_NEXT] = "SELECT key FROM throttle WHERE kind = ?1 LIMIT 1",
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
	{
		/* demand: enum cred_demand, what a right password alone does not give */
		"ALTER TABLE login ADD COLUMN demand BIGINT NOT NULL DEFAULT 0;"
		/* the password before this one, and since when it is no good any more */
		"ALTER TABLE login ADD COLUMN old_hash TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE login ADD COLUMN old_ended_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE login ADD COLUMN signed_in_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE login ADD COLUMN domain TEXT NOT NULL DEFAULT '';"
		"UPDATE login SET domain = substr(address, length(local) + 2);"
		"CREATE INDEX login_domain ON login (domain);"
		"CREATE INDEX login_account ON login (account);"
		/* verifier: see cred_app.c */
		"CREATE TABLE app_password (address TEXT NOT NULL, name TEXT NOT NULL, verifier " SQL_BYTES " NOT NULL, created_ms BIGINT NOT NULL,"
		" used_ms BIGINT NOT NULL, PRIMARY KEY (address, name)) " SQL_CLUSTERED ";"
		/* Relay windows by client address, the last one of each. closed_ms 0: open until until_ms; reason: enum cred_window_end */
		"CREATE TABLE relay_window (peer TEXT PRIMARY KEY, account BIGINT NOT NULL, address TEXT NOT NULL, service TEXT NOT NULL, opened_ms BIGINT NOT NULL,"
		" until_ms BIGINT NOT NULL, closed_ms BIGINT NOT NULL, reason BIGINT NOT NULL, generation BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"CREATE INDEX relay_window_until ON relay_window (until_ms);"
		"CREATE INDEX relay_window_account ON relay_window (account);"
		/* failed sign-ins, so that counts outlive a restart; see role/auth_throttle.h */
		"CREATE TABLE throttle (kind BIGINT NOT NULL, key BIGINT NOT NULL, spent BIGINT NOT NULL, saved_ms BIGINT NOT NULL, PRIMARY KEY (kind, key)) " SQL_CLUSTERED ";"
		"CREATE INDEX throttle_saved ON throttle (saved_ms);",
		"PRAGMA user_version = 2",
	},
	{
		/* one form for a domain, as in store_migrate.c; a login that was there in both forms stays as it is, and only the other is found */
		"UPDATE OR IGNORE login SET address = ascii_key(address) WHERE address <> ascii_key(address);"
		"UPDATE login SET domain = ascii_key(domain) WHERE domain <> ascii_key(domain);"
		/* what belongs to a login goes with it, and stays with one that stays */
		"UPDATE app_password SET address = ascii_key(address) WHERE address <> ascii_key(address)"
		" AND NOT EXISTS (SELECT 1 FROM login l WHERE l.address = app_password.address);"
		"UPDATE relay_window SET address = ascii_key(address) WHERE address <> ascii_key(address)"
		" AND NOT EXISTS (SELECT 1 FROM login l WHERE l.address = relay_window.address);",
		"PRAGMA user_version = 3",
	},
};

static const struct sql_schema cred_schema = {
	.what = "credentials database",
	.migrations = cred_migrations,
	.version = sizeof(cred_migrations) / sizeof(cred_migrations[0]),
	.texts = cred_texts,
	.text_count = CRED_SQL_COUNT,
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

struct span cred_lower(struct span address, uint8_t lower[LIMIT_LOGIN_BYTES])
{
	if (address.len > LIMIT_LOGIN_BYTES)
		return SPAN_NONE;
	return address_text_key(address, lower, LIMIT_LOGIN_BYTES);
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
	out->demand = (enum cred_demand)sql_number(row, 9, CRED_DEMAND_NONE, CRED_DEMAND_WEB_SIGN_IN);
	out->old_hash = arena_copy(mem, sql_text(row, 10, CRED_HASH_BYTES));
	out->old_ended_ms = sql_number(row, 11, 0, INT64_MAX);
	out->signed_in_ms = sql_number(row, 12, 0, INT64_MAX);
	if (mem->overflow)
		return err_set(err, RC_LIMIT, "no room for a login's data");
	return sql_checked(row, err);
}

static enum rc cred_look(struct cred *c, enum cred_statement statement, struct sql_arg key, struct arena *mem, struct cred_row *out, struct err *err)
{
	struct cred_row got;
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, statement, &key, 1, err);

	if (rc == RC_OK)
		rc = cred_row_read(&row, mem, &got, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = got;
	return rc;
}

enum rc cred_get(struct cred *c, struct span address, struct arena *mem, struct cred_row *out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];

	return cred_look(c, CRED_SQL_GET, SQL_T(cred_lower(address, lower)), mem, out, err);
}

enum rc cred_by_account(struct cred *c, int64_t account, struct arena *mem, struct cred_row *out, struct err *err)
{
	return cred_look(c, CRED_SQL_BY_ACCOUNT, SQL_N(account), mem, out, err);
}

/* grows over everything that ever happened, so that a login that was removed and added again is another one */
enum rc cred_generation(struct cred *c, int64_t *out, struct err *err)
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

enum rc cred_end(struct cred *c, enum rc rc, struct err *err)
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
		row->scram_stored_key.len > CRED_KEY_BYTES || row->scram_server_key.len > CRED_KEY_BYTES || row->old_hash.len > CRED_HASH_BYTES)
		return err_set(err, RC_BAD, "this is no login: an address and its verifiers are wanted");
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = cred_generation(c, &generation, err);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_PUT, SQL_ARGS(SQL_T(address), SQL_T(span_head(address, at - 1)), SQL_T(span_from(address, at)), SQL_N(row->account),
			SQL_T(row->hash), SQL_B(row->scram_salt), SQL_B(row->scram_stored_key), SQL_B(row->scram_server_key), SQL_N(row->scram_iterations),
			SQL_N(row->enabled), SQL_N(generation), SQL_N(row->demand), SQL_T(row->old_hash), SQL_N(row->old_ended_ms), SQL_N(row->signed_in_ms)), err);
	return cred_end(c, rc, err);
}

enum rc cred_update(struct cred *c, struct span address, enum cred_statement statement, int64_t value, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct span name = cred_lower(address, lower);
	int64_t generation = 0;
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = cred_generation(c, &generation, err);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, statement, SQL_ARGS(SQL_T(name), SQL_N(value), SQL_N(generation)), err);
	if (rc == RC_OK && sql_changed(&c->sql) == 0)
		rc = err_set(err, RC_NONE, "there is no such login");
	return cred_end(c, rc, err);
}

enum rc cred_enable(struct cred *c, struct span address, bool on, struct err *err)
{
	return cred_update(c, address, CRED_SQL_ENABLE, on, err);
}

enum rc cred_remove(struct cred *c, struct span address, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct span name = cred_lower(address, lower);
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_APP_REMOVE_ALL, SQL_ARGS(SQL_T(name)), err);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_REMOVE, SQL_ARGS(SQL_T(name)), err);
	if (rc == RC_OK && sql_changed(&c->sql) == 0)
		rc = err_set(err, RC_NONE, "there is no such login");
	return cred_end(c, rc, err);
}

enum rc cred_demand_set(struct cred *c, struct span address, enum cred_demand demand, struct err *err)
{
	return cred_update(c, address, CRED_SQL_DEMAND, demand, err);
}

enum rc cred_signed_in(struct cred *c, struct span address, int64_t wall_ms, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_SIGNED_IN, SQL_ARGS(SQL_T(cred_lower(address, lower)), SQL_N(wall_ms)), err);
	return cred_end(c, rc, err);
}

enum rc cred_find_locals(struct cred *c, struct span local, struct arena *mem, struct span *addresses, size_t max, size_t *count_out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct sql_row row;
	size_t count = 0;
	enum rc rc;

	local = span_head(local, LIMIT_LOGIN_BYTES);
	for (size_t i = 0; i < local.len; i++)
		lower[i] = byte_lower(local.ptr[i]);
	rc = sql_first(&c->sql, &row, CRED_SQL_LOCAL, SQL_ARGS(SQL_T(span_of(lower, local.len)), SQL_N(max)), err);
	while (rc == RC_OK && count < max) {
		addresses[count++] = arena_copy(mem, sql_text(&row, 0, LIMIT_LOGIN_BYTES));
		rc = sql_checked(&row, err);
		if (rc == RC_OK)
			rc = sql_next(&row, err);
	}
	sql_end(&row);
	if (rc == RC_OK || rc == RC_NONE)
		*count_out = count;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc cred_domain_known(struct cred *c, struct span domain, bool *out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_DOMAIN, SQL_ARGS(SQL_T(cred_lower(domain, lower))), err);

	sql_end(&row);
	if (rc == RC_OK || rc == RC_NONE)
		*out = rc == RC_OK;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err)
{
	struct span found[2];
	size_t count = 0;
	enum rc rc = cred_find_locals(c, local, mem, found, 2, &count, err);

	if (rc != RC_OK || count == 0)
		return rc == RC_OK ? RC_NONE : rc;
	if (count > 1)
		return err_set(err, RC_BUSY, "several logins have this name before the @");
	*address_out = found[0];
	return RC_OK;
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
