/* domains with letters beyond ASCII: one form is kept and looked up, whichever was typed (address_domain_key), also in databases of older versions */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/limits.h"
#include "fixture.h"
#include "store/cred.h"
#include "store/cred_window.h"
#include "store/store_policy.h"
#include "store/store_queue.h"
#include "store/store_sql.h"
#include "store/store_srs.h"

extern const struct sql_schema store_schema; /* store_internal.h, which has an S of its own */

#define UE "\xc3\xbc"
#define BOOKS "b" UE "cher.test"
#define BOOKS_UPPER "B\xc3\x9c" "CHER.Test"
#define BOOKS_ASCII "xn--bcher-kva.test"
#define BOOKS_APART "bu\xcc\x88" "cher.test" /* the letter and its dots */

static const char *const books[] = {BOOKS, BOOKS_UPPER, BOOKS_ASCII, "XN--BCHER-KVA.TEST", BOOKS_APART};
enum { FORMS = sizeof(books) / sizeof(books[0]) };

/* "jo@" of one of the forms; lives in f->mem */
static const char *at(struct fixture *f, const char *local, size_t form)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "%s@%s", local, books[form]);
	return arena_str(&f->mem, S(text));
}

struct seen {
	char text[1000];
	size_t count;
};

static void see(struct seen *l, struct span s)
{
	size_t len = strlen(l->text);

	l->count++;
	(void)snprintf(l->text + len, sizeof(l->text) - len, "%.*s\n", SPAN_FMT(s));
}

static enum rc see_account(void *arg, const struct store_account *a)
{
	see(arg, a->address);
	return RC_OK;
}

static enum rc see_alias(void *arg, const struct store_alias *a)
{
	see(arg, a->address);
	see(arg, a->target);
	return RC_OK;
}

static enum rc see_sender(void *arg, struct span address)
{
	see(arg, address);
	return RC_OK;
}

static enum rc see_rule(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value)
{
	(void)kind;
	see(arg, domain);
	see(arg, value);
	return RC_OK;
}

static enum rc see_queued(void *arg, const struct store_queue_listed *q)
{
	see(arg, q->q.rcpt);
	return RC_OK;
}

static void leads_to(struct fixture *f, const char *address, uint64_t tag)
{
	struct store_resolved found = {0};

	assert_rc(RC_OK, store_resolve(f->s, S(address), 0, &f->mem, &found, &f->err));
	if (found.cause != CAUSE_NONE || found.tag != tag)
		fail_msg("%s: %s, tag %llu, not %llu", address, cause_slug(found.cause), (unsigned long long)found.tag, (unsigned long long)tag);
}

static uint64_t account_tag(int64_t id)
{
	return (uint64_t)id << STORE_TAG_BITS | STORE_TAG_ACCOUNT;
}

/* added in one form, it is there in all of them */
static void any_form_is_the_domain(void **state)
{
	struct fixture *f = *state;

	for (size_t added = 0; added < FORMS; added++) {
		int64_t id = 0, no = 0;

		assert_rc(RC_OK, store_domain_add(f->s, S(books[added]), &f->err));
		assert_rc(RC_OK, store_account_add(f->s, S(at(f, "Jo", added)), 0, NOW_MS, &id, &f->err));
		for (size_t i = 0; i < FORMS; i++) {
			struct seen all = {0};
			bool hosted = false;

			assert_rc(RC_EXISTS, store_domain_add(f->s, S(books[i]), &f->err));
			assert_rc(RC_EXISTS, store_account_add(f->s, S(at(f, "jo", i)), 0, NOW_MS, &no, &f->err));
			assert_rc(RC_EXISTS, store_alias_add(f->s, S(at(f, "jo", i)), S("anna@example.org"), &f->err));
			assert_rc(RC_OK, store_domain_hosted(f->s, S(books[i]), &hosted, &f->err));
			assert_true(hosted);
			assert_int_equal(id, fixture_get(f, at(f, "JO", i)).id);
			leads_to(f, at(f, "jo", i), account_tag(id));
			leads_to(f, at(f, "\"jo\"", i), account_tag(id));
			leads_to(f, at(f, "jo+detail", i), account_tag(id));
			leads_to(f, at(f, "postmaster", i), account_tag(id));
			assert_rc(RC_OK, store_account_each(f->s, S(books[i]), see_account, &all, &f->err));
			assert_int_equal(1, all.count);
		}
		assert_rc(RC_OK, store_account_remove(f->s, S(at(f, "jo", FORMS - 1 - added)), &f->err));
		assert_rc(RC_OK, store_domain_remove(f->s, S(books[FORMS - 1 - added]), &f->err));
		fixture_tidy(f, NOW_MS);
	}
	/* another domain is another one, and what has no A-labels is still looked for */
	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS), &f->err));
	leads_to(f, "jo@bucher.test", STORE_TAG_FOREIGN);
	leads_to(f, "jo@b\xc3\xb6" "cher.test", STORE_TAG_FOREIGN);
	leads_to(f, "jo@\xe2\x98\xba\xe2\x98\xba.test", STORE_TAG_FOREIGN);
}

static void shown_as_it_was_typed(void **state)
{
	struct fixture *f = *state;
	struct seen all = {0};

	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS), &f->err));
	(void)fixture_account(f, "Jo@" BOOKS);
	assert_rc(RC_OK, store_alias_add(f->s, S("Shop@" BOOKS), S("jo@" BOOKS_ASCII), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("jo@" BOOKS), S("@M" UE "nchen.test"), &f->err));
	assert_rc(RC_OK, store_account_each(f->s, S(BOOKS_ASCII), see_account, &all, &f->err));
	assert_rc(RC_OK, store_alias_each(f->s, S(BOOKS_ASCII), see_alias, &all, &f->err));
	assert_rc(RC_OK, store_send_as_each(f->s, S("jo@" BOOKS_ASCII), see_sender, &all, &f->err));
	assert_string_equal("jo@" BOOKS "\nshop@" BOOKS "\njo@" BOOKS_ASCII "\n@m" UE "nchen.test\n", all.text);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM domain WHERE name = '" BOOKS_ASCII "'"));
}

static void aliases_and_catch_all(void **state)
{
	struct fixture *f = *state;
	struct store_resolved found = {0};
	uint64_t alias = 0;
	int64_t id;

	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS_ASCII), &f->err));
	id = fixture_account(f, "jo@" BOOKS);
	assert_rc(RC_OK, store_alias_add(f->s, S("shop@" BOOKS), S("jo@" BOOKS_ASCII), &f->err));
	assert_rc(RC_EXISTS, store_alias_add(f->s, S("shop@" BOOKS_ASCII), S("jo@" BOOKS_UPPER), &f->err));
	assert_rc(RC_BAD, store_alias_add(f->s, S("loop@" BOOKS), S("loop@" BOOKS_ASCII), &f->err));
	assert_rc(RC_OK, store_resolve(f->s, S("shop@" BOOKS), 0, &f->mem, &found, &f->err));
	alias = found.tag;
	assert_int_equal(STORE_TAG_ALIAS, alias & STORE_TAG_MASK);
	for (size_t i = 0; i < FORMS; i++)
		leads_to(f, at(f, "shop", i), alias);
	assert_rc(RC_OK, store_domain_catch_all(f->s, S(BOOKS_UPPER), S("jo@" BOOKS_ASCII), &f->err));
	for (size_t i = 0; i < FORMS; i++)
		leads_to(f, at(f, "whoever", i), account_tag(id));
	assert_rc(RC_OK, store_alias_remove(f->s, S("shop@" BOOKS_ASCII), S("jo@" BOOKS_UPPER), &f->err));
	leads_to(f, "shop@" BOOKS, account_tag(id));
	/* mail to it in three forms is one mail */
	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"jo@" BOOKS, "jo@" BOOKS_ASCII, "x@" BOOKS_UPPER}}).rc);
	assert_int_equal(1, fixture_get(f, "jo@" BOOKS).messages);
}

static void owned(struct fixture *f, const char *account, const char *sender, bool want)
{
	bool is = !want;

	assert_rc(RC_OK, store_sender_owned(f->s, fixture_get(f, account).id, S(sender), &is, &f->err));
	if (is != want)
		fail_msg("%s as %s: %s", account, sender, is ? "owned" : "not owned");
}

static void what_one_may_send_as(void **state)
{
	struct fixture *f = *state;

	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS), &f->err));
	(void)fixture_account(f, "jo@" BOOKS);
	(void)fixture_account(f, "eva@" BOOKS);
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("eva@" BOOKS_ASCII), &f->err));
	assert_rc(RC_EXISTS, store_send_as_add(f->s, S("anna@example.org"), S("eva@" BOOKS_UPPER), &f->err));
	assert_rc(RC_EXISTS, store_send_as_add(f->s, S("jo@" BOOKS), S("jo@" BOOKS_ASCII), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("bert@example.org"), S("@" BOOKS), &f->err));
	assert_rc(RC_EXISTS, store_send_as_add(f->s, S("bert@example.org"), S("@" BOOKS_ASCII), &f->err));
	for (size_t i = 0; i < FORMS; i++) {
		owned(f, "jo@" BOOKS, at(f, "jo", i), true);
		owned(f, "jo@" BOOKS, at(f, "eva", i), false);
		owned(f, "anna@example.org", at(f, "eva", i), true);
		owned(f, "anna@example.org", at(f, "jo", i), false);
		owned(f, "bert@example.org", at(f, "whoever", i), true);
	}
	assert_rc(RC_OK, store_send_as_remove(f->s, S("bert@example.org"), S("@" BOOKS_UPPER), &f->err));
	assert_rc(RC_OK, store_send_as_remove(f->s, S("anna@example.org"), S("eva@" BOOKS), &f->err));
	owned(f, "bert@example.org", "jo@" BOOKS, false);
	owned(f, "anna@example.org", "eva@" BOOKS, false);
}

static void what_a_domain_says(void **state)
{
	struct fixture *f = *state;
	struct store_domain_policy p;
	struct net_address ip;

	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS), &f->err));
	assert_rc(RC_OK, store_domain_set_identity(f->s, S(BOOKS_ASCII), 2, &f->err));
	assert_rc(RC_OK, store_domain_set_guard(f->s, S(BOOKS_UPPER), true, &f->err));
	assert_rc(RC_OK, store_domain_set_require_tls(f->s, S(BOOKS), true, &f->err));
	assert_rc(RC_OK, store_domain_rule_add(f->s, S(BOOKS), STORE_RULE_ALLOW_FROM, S("192.0.2.0/24"), &f->err));
	assert_rc(RC_EXISTS, store_domain_rule_add(f->s, S(BOOKS_ASCII), STORE_RULE_ALLOW_FROM, S("192.0.2.0/24"), &f->err));
	assert_int_equal(RC_OK, net_parse(S("192.0.2.9"), &ip));
	for (size_t i = 0; i < FORMS; i++) {
		struct seen all = {0};

		assert_rc(RC_OK, store_domain_policy(f->s, S(books[i]), &ip, &p, &f->err));
		assert_true(p.hosted && p.identity == 2 && p.guard_own && p.require_tls && p.has_allow_list && p.allows_ip);
		assert_rc(RC_OK, store_domain_rule_each(f->s, S(books[i]), see_rule, &all, &f->err));
		assert_string_equal(BOOKS_ASCII "\n192.0.2.0/24\n", all.text);
	}
	assert_rc(RC_OK, store_domain_rule_remove(f->s, S(BOOKS_ASCII), STORE_RULE_ALLOW_FROM, S("192.0.2.0/24"), &f->err));
	assert_rc(RC_OK, store_domain_policy(f->s, S("b\xc3\xb6" "cher.test"), &ip, &p, &f->err));
	assert_false(p.hosted);
}

static void listed(struct fixture *f, struct store_queue_filter filter, size_t want)
{
	struct seen all = {0};

	filter.state = -1;
	assert_rc(RC_OK, store_queue_list(f->s, &filter, see_queued, &all, &f->err));
	assert_int_equal(want, all.count);
}

static void what_waits_is_found(void **state)
{
	struct fixture *f = *state;

	/* the same foreign mailbox twice is one row */
	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"Jo@" BOOKS, "jo@" BOOKS_ASCII, "eva@" BOOKS_UPPER, "x@far.example"}}).rc);
	assert_int_equal(3, fixture_queue_count(f));
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE dest = '" BOOKS_ASCII "'"));
	for (size_t i = 0; i < FORMS; i++) {
		listed(f, (struct store_queue_filter){.domain = S(books[i])}, 2);
		listed(f, (struct store_queue_filter){.rcpt = S(at(f, "JO", i))}, 1);
		listed(f, (struct store_queue_filter){.rcpt = S(at(f, "o", i))}, 0);
		listed(f, (struct store_queue_filter){.sender = S(at(f, "jo", i))}, 0);
	}
	listed(f, (struct store_queue_filter){.domain = S("cher.test")}, 0);
	listed(f, (struct store_queue_filter){.domain = S("far.example")}, 1);
}

/* forwarded from a hosted domain in a form beyond ASCII, and its bounce on its way back */
static void srs_by_any_form(void **state)
{
	struct fixture *f = *state;
	struct buf local;
	char back[400];

	assert_rc(RC_OK, store_domain_add(f->s, S(BOOKS), &f->err));
	(void)fixture_account(f, "jo@" BOOKS);
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	buf_init(&local, 1024);
	assert_rc(RC_OK, store_srs_forward(f->s, S("Eva@m" UE "nchen.test"), clock_wall_ms(), &local, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_true(span_is_ascii(buf_span(&local)));
	assert_non_null(strstr(buf_cstr(&local), "=xn--mnchen-3ya.test=Eva"));
	for (size_t i = 0; i < FORMS; i++) {
		(void)snprintf(back, sizeof(back), "%s@%s", buf_cstr(&local), books[i]);
		leads_to(f, back, STORE_TAG_SRS);
	}
	buf_clear(&local);
}

/* ---- databases of older versions */

static void run(sqlite3 *db, const char *sql)
{
	char *words = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
		fail_msg("%s: %s", sql, words);
}

/* as version 3 left it, which kept what was typed; example.net is there in both forms, and so is one of its accounts */
static void an_older_store_is_brought_along(void **state)
{
	static const char rows[] = "INSERT INTO domain (id, name, catch_all) VALUES (1, '" BOOKS "', 1), (2, 'm" UE "nchen.test', 0), (3, 'xn--mnchen-3ya.test', 0), (4, 'plain.test', 0);"
		"INSERT INTO account (id, domain, key, address, state, quota_bytes, used_bytes, messages, next_uid, uidvalidity, modseq, created_ms) VALUES"
		" (1, 1, 'jo@" BOOKS "', 'jo@" BOOKS "', 1, 0, 0, 0, 1, 1, 1, 0), (2, 2, 'eva@m" UE "nchen.test', 'eva@m" UE "nchen.test', 1, 0, 0, 0, 1, 2, 1, 0),"
		" (3, 3, 'eva@xn--mnchen-3ya.test', 'eva@xn--mnchen-3ya.test', 1, 0, 0, 0, 1, 3, 1, 0), (4, 4, 'j\xc3\xb6@plain.test', 'j\xc3\xb6@plain.test', 1, 0, 0, 0, 1, 4, 1, 0),"
		" (5, NULL, 'gone 5', 'x@" BOOKS "', 2, 0, 0, 0, 1, 5, 1, 0);"
		"INSERT INTO alias (id, domain, key, address) VALUES (1, 1, 'shop@" BOOKS "', 'shop@" BOOKS "');"
		"INSERT INTO alias_target (alias, key, target) VALUES (1, 'jo@" BOOKS "', 'jo@" BOOKS "'), (1, 'jo@" BOOKS_ASCII "', 'jo@" BOOKS_ASCII "'), (1, 'j\xc3\xb6@plain.test', 'j\xc3\xb6@plain.test');"
		"INSERT INTO send_as (account, key, address) VALUES (4, '@" BOOKS "', '@" BOOKS "'), (4, 'eva@m" UE "nchen.test', 'eva@m" UE "nchen.test'),"
		" (4, 'eva@xn--mnchen-3ya.test', 'eva@xn--mnchen-3ya.test');";
	struct fixture *f = *state;
	struct seen all = {0};
	char path[128];
	sqlite3 *db = NULL;

	store_close(&f->s);
	(void)snprintf(f->dir + strlen(f->dir), sizeof(f->dir) - strlen(f->dir), "/old");
	assert_int_equal(0, mkdir(f->dir, 0700));
	(void)snprintf(path, sizeof(path), "%s/mail.db", f->dir);
	assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
	for (int i = 0; i < 3; i++) {
		run(db, store_schema.migrations[i].change);
		run(db, store_schema.migrations[i].number);
	}
	run(db, rows);
	(void)sqlite3_close(db);
	assert_rc(RC_OK, store_open(f->dir, STORE_CREATE | STORE_SERVE, &f->s, &f->err));
	for (size_t i = 0; i < FORMS; i++) {
		assert_int_equal(1, fixture_get(f, at(f, "jo", i)).id);
		leads_to(f, at(f, "shop", i), 1 << STORE_TAG_BITS | STORE_TAG_ALIAS);
		leads_to(f, at(f, "nobody", i), account_tag(1)); /* the catch-all */
		owned(f, "j\xc3\xb6@plain.test", at(f, "whoever", i), true);
	}
	/* of two that became one the one with the A-labels is found, and nothing is lost */
	assert_int_equal(3, fixture_get(f, "eva@m" UE "nchen.test").id);
	assert_int_equal(3, fixture_get(f, "eva@xn--mnchen-3ya.test").id);
	assert_int_equal(5, fixture_sql(f, "SELECT COUNT(*) FROM account"));
	assert_int_equal(4, fixture_sql(f, "SELECT COUNT(*) FROM domain"));
	owned(f, "j\xc3\xb6@plain.test", "eva@m" UE "nchen.test", true);
	assert_rc(RC_OK, store_alias_each(f->s, S(BOOKS), see_alias, &all, &f->err));
	assert_int_equal(4, all.count); /* two targets, each beside its alias */
	assert_rc(RC_OK, store_send_as_remove(f->s, S("j\xc3\xb6@plain.test"), S("eva@m" UE "nchen.test"), &f->err));
	owned(f, "j\xc3\xb6@plain.test", "eva@m" UE "nchen.test", false);
	f->dir[strlen(f->dir) - 4] = '\0';
}

static void logins_have_one_form(void **state)
{
	struct fixture *f = *state;
	struct cred_row row = {.account = 7, .address = S("Jo@" BOOKS), .hash = S("$y$x"), .enabled = true}, got;
	struct cred *c = NULL;
	char path[160], made[CRED_APP_TEXT_BYTES + 1];
	bool known;

	(void)snprintf(path, sizeof(path), "%s/auth", f->dir);
	assert_rc(RC_OK, cred_open(path, true, &c, &f->err));
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_app_add(c, S("jo@" BOOKS_UPPER), S("phone"), NOW_MS, made, &f->err));
	for (size_t i = 0; i < FORMS; i++) {
		struct cred_app app = {0};

		row.address = S(at(f, "jo", i));
		assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
		assert_true(got.account == 7 && span_eq(got.address, S("jo@" BOOKS_ASCII)));
		assert_rc(RC_OK, cred_put(c, &row, &f->err)); /* the same one again */
		assert_rc(RC_OK, cred_app_check(c, row.address, S(made), &f->mem, &app, &f->err));
		known = false;
		assert_rc(RC_OK, cred_domain_known(c, S(books[i]), &known, &f->err));
		assert_true(known);
	}
	assert_rc(RC_OK, cred_find_local(c, S("JO"), &f->mem, &got.address, &f->err));
	assert_true(span_eq(got.address, S("jo@" BOOKS_ASCII)));
	row.address = S("b" UE "ro@example.org"); /* a local part is no domain */
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_find_local(c, S("b" UE "ro"), &f->mem, &got.address, &f->err));
	assert_rc(RC_OK, cred_remove(c, S("jo@" BOOKS_UPPER), &f->err));
	assert_rc(RC_NONE, cred_get(c, S("jo@" BOOKS), &f->mem, &got, &f->err));
	cred_close(&c);
}

/* as version 2 left it; eva is there in both forms, each with a password for a program */
static void older_logins_are_brought_along(void **state)
{
	static const char old[] = "CREATE TABLE counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL) WITHOUT ROWID; INSERT INTO counter (name, next) VALUES ('generation', 8);"
		"CREATE TABLE login (address TEXT PRIMARY KEY, local TEXT NOT NULL, account BIGINT NOT NULL, hash TEXT NOT NULL, scram_salt BLOB NOT NULL,"
		" scram_stored_key BLOB NOT NULL, scram_server_key BLOB NOT NULL, scram_iterations BIGINT NOT NULL, enabled BIGINT NOT NULL, generation BIGINT NOT NULL,"
		" demand BIGINT NOT NULL DEFAULT 0, old_hash TEXT NOT NULL DEFAULT '', old_ended_ms BIGINT NOT NULL DEFAULT 0, signed_in_ms BIGINT NOT NULL DEFAULT 0,"
		" domain TEXT NOT NULL DEFAULT '') WITHOUT ROWID; CREATE INDEX login_local ON login (local, address);"
		"CREATE TABLE app_password (address TEXT NOT NULL, name TEXT NOT NULL, verifier BLOB NOT NULL, created_ms BIGINT NOT NULL, used_ms BIGINT NOT NULL,"
		" PRIMARY KEY (address, name)) WITHOUT ROWID;"
		"CREATE TABLE relay_window (peer TEXT PRIMARY KEY, account BIGINT NOT NULL, address TEXT NOT NULL, service TEXT NOT NULL, opened_ms BIGINT NOT NULL,"
		" until_ms BIGINT NOT NULL, closed_ms BIGINT NOT NULL, reason BIGINT NOT NULL, generation BIGINT NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE throttle (kind BIGINT NOT NULL, key BIGINT NOT NULL, spent BIGINT NOT NULL, saved_ms BIGINT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
		"INSERT INTO login (address, local, domain, account, hash, scram_salt, scram_stored_key, scram_server_key, scram_iterations, enabled, generation) VALUES"
		" ('jo@" BOOKS "', 'jo', '" BOOKS "', 1, '$y$', x'', x'', x'', 0, 1, 3), ('eva@m" UE "nchen.test', 'eva', 'm" UE "nchen.test', 2, '$y$', x'', x'', x'', 0, 1, 4),"
		" ('eva@xn--mnchen-3ya.test', 'eva', 'xn--mnchen-3ya.test', 3, '$y$', x'', x'', x'', 0, 1, 5);"
		"INSERT INTO app_password VALUES ('jo@" BOOKS "', 'phone', x'00', 1, 0), ('eva@m" UE "nchen.test', 'phone', x'00', 1, 0);"
		"INSERT INTO relay_window VALUES ('192.0.2.1', 1, 'jo@" BOOKS "', 'pop3', 1, 1000, 0, 0, 3); PRAGMA user_version = 2;";
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct cred_row got = {0};
	sqlite3 *db = NULL;
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/auth", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/auth/credentials.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	run(db, old);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	(void)snprintf(path, sizeof(path), "%s/auth", f->dir);
	assert_rc(RC_OK, cred_open(path, false, &c, &f->err));
	assert_rc(RC_OK, cred_get(c, S("jo@" BOOKS), &f->mem, &got, &f->err));
	assert_true(got.account == 1 && got.generation == 3 && span_eq(got.address, S("jo@" BOOKS_ASCII)));
	assert_rc(RC_OK, cred_app_remove(c, S("jo@" BOOKS), S("phone"), &f->err));
	assert_rc(RC_OK, cred_get(c, S("eva@m" UE "nchen.test"), &f->mem, &got, &f->err));
	assert_int_equal(3, got.account);
	/* a password of the one does not become one of the other */
	assert_rc(RC_NONE, cred_app_remove(c, S("eva@m" UE "nchen.test"), S("phone"), &f->err));
	assert_rc(RC_OK, cred_window_revoke(c, S("jo@" BOOKS_UPPER), 5, &(int64_t){0}, &f->err));
	cred_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(any_form_is_the_domain), T(shown_as_it_was_typed), T(aliases_and_catch_all), T(what_one_may_send_as), T(what_a_domain_says), T(what_waits_is_found),
		T(srs_by_any_form), T(an_older_store_is_brought_along), T(logins_have_one_form), T(older_logins_are_brought_along),
	};

	return cmocka_run_group_tests_name("store idn", tests, NULL, NULL);
}
