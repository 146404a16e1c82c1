/* The schema, step by step. A step that was released is never changed; a new one is added at the end. */
#include "store/store_internal.h"

static const struct sql_migration store_migrations[] = {
	{
		"CREATE TABLE counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"INSERT INTO counter (name, next) VALUES ('domain', 1), ('account', 1), ('alias', 1), ('message', 1), ('queue', 1), ('validity', 1);"

		"CREATE TABLE domain (id " SQL_ID ", name TEXT NOT NULL UNIQUE, catch_all BIGINT NOT NULL);" /* catch_all: account or 0 */

		"CREATE TABLE account (id " SQL_ID ", domain BIGINT REFERENCES domain(id), key TEXT NOT NULL UNIQUE, address TEXT NOT NULL,"
		" state BIGINT NOT NULL, quota_bytes BIGINT NOT NULL, used_bytes BIGINT NOT NULL, messages BIGINT NOT NULL, next_uid BIGINT NOT NULL,"
		" uidvalidity BIGINT NOT NULL, modseq BIGINT NOT NULL, created_ms BIGINT NOT NULL);"
		"CREATE INDEX account_domain ON account (domain, key);"
		"CREATE INDEX account_oldest ON account (domain, state, id);"
		"CREATE INDEX account_gone ON account (id) WHERE state = 2;"

		"CREATE TABLE alias (id " SQL_ID ", domain BIGINT NOT NULL REFERENCES domain(id), key TEXT NOT NULL UNIQUE, address TEXT NOT NULL);"
		"CREATE INDEX alias_domain ON alias (domain, key);"
		"CREATE TABLE alias_target (alias BIGINT NOT NULL REFERENCES alias(id), key TEXT NOT NULL, target TEXT NOT NULL,"
		" PRIMARY KEY (alias, key)) " SQL_CLUSTERED ";"
		"CREATE INDEX alias_target_key ON alias_target (key, alias);"

		/* holders: rows of mailbox_item and queue that name it; at 0 store_tidy frees it. message_id is whatever stood in the mail: bytes. */
		"CREATE TABLE message (id " SQL_ID ", sender TEXT NOT NULL, envid TEXT NOT NULL, message_id " SQL_BYTES " NOT NULL, client TEXT NOT NULL,"
		" peer TEXT NOT NULL, helo TEXT NOT NULL, received_ms BIGINT NOT NULL, size BIGINT NOT NULL, flags BIGINT NOT NULL, ret BIGINT NOT NULL,"
		" account BIGINT NOT NULL, holders BIGINT NOT NULL);"
		"CREATE INDEX message_free ON message (id) WHERE holders = 0;"
		/* apart from message, so that listings never touch bodies; the lengths stand before the bytes for the same reason */
		"CREATE TABLE content (message " SQL_ID " REFERENCES message(id), head_bytes BIGINT NOT NULL, body_bytes BIGINT NOT NULL, in_file BIGINT NOT NULL,"
		" head " SQL_BYTES " NOT NULL, body " SQL_BYTES ");"

		/* bytes: as read, with Return-Path and Delivered-To; rcpt: the address the sender used */
		"CREATE TABLE mailbox_item (account BIGINT NOT NULL REFERENCES account(id), uid BIGINT NOT NULL, message BIGINT NOT NULL, modseq BIGINT NOT NULL,"
		" received_ms BIGINT NOT NULL, bytes BIGINT NOT NULL, rcpt TEXT NOT NULL, PRIMARY KEY (account, uid)) " SQL_CLUSTERED ";"

		"CREATE TABLE queue (id " SQL_ID ", message BIGINT NOT NULL REFERENCES message(id), rcpt TEXT NOT NULL, notify BIGINT NOT NULL,"
		" orcpt TEXT NOT NULL, state BIGINT NOT NULL, next_try_ms BIGINT NOT NULL, attempts BIGINT NOT NULL, lease_until_ms BIGINT NOT NULL);"
		"CREATE INDEX queue_due ON queue (state, next_try_ms);"
		"CREATE INDEX queue_message ON queue (message);"

		"CREATE TABLE duplicate (key " SQL_BYTES " PRIMARY KEY, message BIGINT NOT NULL, at_ms BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"CREATE INDEX duplicate_at ON duplicate (at_ms);",
		"PRAGMA user_version = 1",
	},
	{
		/* Who may send what. identity: enum store_identity; guard_own: mail in the domain's name only from those who signed in */
		"ALTER TABLE domain ADD COLUMN identity BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE domain ADD COLUMN guard_own BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE domain ADD COLUMN require_tls BIGINT NOT NULL DEFAULT 0;"
		/* kind: enum store_domain_rule_kind */
		"CREATE TABLE domain_rule (domain BIGINT NOT NULL REFERENCES domain(id), kind BIGINT NOT NULL, value TEXT NOT NULL,"
		" PRIMARY KEY (domain, kind, value)) " SQL_CLUSTERED ";"
		"ALTER TABLE account ADD COLUMN sending BIGINT NOT NULL DEFAULT 1;"
		"ALTER TABLE account ADD COLUMN message_rates TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE account ADD COLUMN rcpt_rates TEXT NOT NULL DEFAULT '';"
		/* further addresses that an account may send as: key as address_key spells it, or "@domain" for all of it */
		"CREATE TABLE send_as (account BIGINT NOT NULL REFERENCES account(id), key TEXT NOT NULL, address TEXT NOT NULL,"
		" PRIMARY KEY (account, key)) " SQL_CLUSTERED ";"
		"CREATE INDEX send_as_key ON send_as (key, account);"
		/* counters of what was sent and received, saved now and then; see policy/rate.h */
		"CREATE TABLE rate (kind BIGINT NOT NULL, key TEXT NOT NULL, saved_ms BIGINT NOT NULL, counts " SQL_BYTES " NOT NULL,"
		" PRIMARY KEY (kind, key)) " SQL_CLUSTERED ";"
		"CREATE INDEX rate_saved ON rate (kind, saved_ms);"
		/* Filters: one Sieve script an account. folder 0 is the inbox; added: header lines that a filter put on top of this copy */
		"CREATE TABLE filter (account BIGINT PRIMARY KEY REFERENCES account(id), script TEXT NOT NULL, needs BIGINT NOT NULL, changed_ms BIGINT NOT NULL);"
		"CREATE TABLE folder (account BIGINT NOT NULL REFERENCES account(id), id BIGINT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, id),"
		" UNIQUE (account, name)) " SQL_CLUSTERED ";"
		"ALTER TABLE mailbox_item ADD COLUMN folder BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE mailbox_item ADD COLUMN flags TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE mailbox_item ADD COLUMN added TEXT NOT NULL DEFAULT '';",
		"PRAGMA user_version = 2",
	},
	{
		/* Mail leaves. dest: where a row goes, '' until store_enqueue_old has looked; sender: as it goes out, where that is not the message's own (SRS);
		 * cause (a slug) to words: of the last attempt; notice: enum store_notice, what the sender is to be told since notice_ms; wish: what is to become
		 * of a leased row when it comes back, 1 + enum store_queue_act */
		"ALTER TABLE queue ADD COLUMN dest TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN sender TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN first_try_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN last_try_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN cause TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN code BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN enhanced TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN host TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN address TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN tls TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN words TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE queue ADD COLUMN notified BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN expired BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN notice BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN notice_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE queue ADD COLUMN wish BIGINT NOT NULL DEFAULT 0;"
		"DROP INDEX queue_due;"
		"CREATE INDEX queue_dest ON queue (dest, state, next_try_ms, message);"
		"CREATE INDEX queue_notice ON queue (message) WHERE notice > 0;"
		/* What waits, by where it goes. due_ms: nothing can be leased before; blocked_ms: it was found down, since since_ms, for so many failures in a row */
		"CREATE TABLE destination (name TEXT PRIMARY KEY, due_ms BIGINT NOT NULL, blocked_ms BIGINT NOT NULL, failures BIGINT NOT NULL, cause TEXT NOT NULL,"
		" host TEXT NOT NULL, words TEXT NOT NULL, since_ms BIGINT NOT NULL) " SQL_CLUSTERED ";"
		"CREATE INDEX destination_due ON destination (due_ms);"
		/* what an administrator did, until the server has written it into the history; what: enum store_queue_act */
		"CREATE TABLE queue_note (at_ms BIGINT NOT NULL, queue_row BIGINT NOT NULL, what BIGINT NOT NULL, message BIGINT NOT NULL, rcpt TEXT NOT NULL,"
		" PRIMARY KEY (at_ms, queue_row, what)) " SQL_CLUSTERED ";"
		"ALTER TABLE message ADD COLUMN origin BIGINT NOT NULL DEFAULT 0;" /* enum store_origin */
		"UPDATE message SET origin = 1 WHERE account > 0;"
		"ALTER TABLE account ADD COLUMN smarthost TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE domain ADD COLUMN smarthost TEXT NOT NULL DEFAULT '';"
		"CREATE TABLE sts (domain TEXT PRIMARY KEY, id TEXT NOT NULL, fetched_ms BIGINT NOT NULL, policy " SQL_BYTES " NOT NULL) " SQL_CLUSTERED ";"
		"CREATE INDEX sts_fetched ON sts (fetched_ms);"
		"CREATE TABLE secret (name TEXT PRIMARY KEY, value " SQL_BYTES " NOT NULL) " SQL_CLUSTERED ";"
		/* what was accepted lately, in the order in which it came: by their keys each would be on another page (store_repeat.c has them in memory) */
		"CREATE TABLE repeat_note (id " SQL_ID ", key " SQL_BYTES " NOT NULL, message BIGINT NOT NULL, at_ms BIGINT NOT NULL);"
		"INSERT INTO repeat_note (key, message, at_ms) SELECT key, message, at_ms FROM duplicate ORDER BY at_ms;"
		"DROP TABLE duplicate;"
		/* answers of filters; key: hash of the answer and the sender who got it */
		"CREATE TABLE vacation (account BIGINT NOT NULL, key " SQL_BYTES " NOT NULL, at_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL,"
		" PRIMARY KEY (account, key)) " SQL_CLUSTERED ";"
		"CREATE INDEX vacation_until ON vacation (until_ms);",
		"PRAGMA user_version = 3",
	},
	{
		/* One form for a domain, that of the DNS (address_domain_key): what was kept under letters beyond ASCII is found under its A-labels. Where somebody
		 * had both forms, the second stays as it is and is not found: whose mail goes where is not for us to decide. What only leads somewhere or grants
		 * something says the same twice then. */
		"UPDATE OR IGNORE domain SET name = ascii_key(name) WHERE name <> ascii_key(name);"
		"UPDATE OR IGNORE account SET key = ascii_key(key) WHERE key <> ascii_key(key);"
		"UPDATE OR IGNORE alias SET key = ascii_key(key) WHERE key <> ascii_key(key);"
		"UPDATE OR IGNORE alias_target SET key = ascii_key(key) WHERE key <> ascii_key(key);"
		"DELETE FROM alias_target WHERE key <> ascii_key(key);"
		"UPDATE OR IGNORE send_as SET key = ascii_key(key) WHERE key <> ascii_key(key);"
		"DELETE FROM send_as WHERE key <> ascii_key(key);",
		"PRAGMA user_version = 4",
	},
};

static const char *const store_texts[STORE_SQL_COUNT] = {
#define S(name, text) [STORE_SQL_##name] = text,
#include "store/store_statements.def"
#undef S
};

const struct sql_schema store_schema = {
	.what = "mail database",
	.migrations = store_migrations,
	.version = sizeof(store_migrations) / sizeof(store_migrations[0]),
	.texts = store_texts,
	.text_count = STORE_SQL_COUNT,
};
