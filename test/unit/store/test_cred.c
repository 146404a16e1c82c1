#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "fixture.h"
#include "store/cred.h"

static void open_cred(struct fixture *f, struct cred **c)
{
	char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/auth", f->dir);
	assert_rc(RC_OK, cred_open(dir, true, c, &f->err));
}

static void logins_are_kept(void **state)
{
	struct fixture *f = *state;
	struct cred *c = NULL, *other = NULL;
	struct cred_row row = {.account = 7, .address = S("Anna@Example.org"), .hash = S("$1$x"), .enabled = true}, got = {0};
	struct span address;
	uint64_t first;
	bool changed = true;
	char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/auth", f->dir);
	assert_rc(RC_NONE, cred_open(dir, false, &c, &f->err));
	open_cred(f, &c);
	assert_rc(RC_NONE, cred_get(c, S("anna@example.org"), &f->mem, &got, &f->err));
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, S("ANNA@example.org"), &f->mem, &got, &f->err));
	assert_true(span_eq(got.address, SPAN_LIT("anna@example.org")) && got.account == 7 && got.enabled && got.scram_salt.len == 0);
	first = got.generation;
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(got.generation > first);
	assert_rc(RC_OK, cred_enable(c, row.address, false, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(!got.enabled && got.generation > first + 1);
	assert_rc(RC_NONE, cred_enable(c, S("nobody@example.org"), true, &f->err));
	row.address = S("no address");
	assert_rc(RC_BAD, cred_put(c, &row, &f->err));

	/* bare names */
	assert_rc(RC_OK, cred_find_local(c, S("ANNA"), &f->mem, &address, &f->err));
	assert_true(span_eq(address, SPAN_LIT("anna@example.org")));
	assert_rc(RC_NONE, cred_find_local(c, S("ann"), &f->mem, &address, &f->err));
	row.address = S("anna@example.net");
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_BUSY, cred_find_local(c, S("anna"), &f->mem, &address, &f->err));

	/* another process changes something */
	assert_rc(RC_OK, cred_changed(c, &changed, &f->err));
	assert_false(changed);
	open_cred(f, &other);
	assert_rc(RC_OK, cred_remove(other, S("anna@example.net"), &f->err));
	assert_rc(RC_NONE, cred_remove(other, S("anna@example.net"), &f->err));
	assert_rc(RC_OK, cred_changed(c, &changed, &f->err));
	assert_true(changed);
	assert_rc(RC_OK, cred_changed(c, &changed, &f->err));
	assert_false(changed);
	/* removed and added again is another generation */
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(got.generation > first + 3);
	cred_close(&other);
	cred_close(&c);
	cred_close(&c);
}

static void a_new_password_works_both_ways(void **state)
{
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct cred_row row = {.account = 1, .address = S("anna@example.org"), .enabled = true}, got = {0};
	uint8_t salted[32], key[32], stored[32];
	unsigned len = 32;
	mono_ms from = clock_mono_ms();

	assert_rc(RC_OK, cred_set_password(&row, S("correct horse"), &f->mem, &f->err));
	print_message("making hash and verifier: %llu ms\n", (unsigned long long)(clock_mono_ms() - from));
	assert_true(span_starts(row.hash, SPAN_LIT("$y$")));
	open_cred(f, &c);
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_rc(RC_OK, cred_check_password(got.hash, S("correct horse"), &f->err));
	assert_rc(RC_DENIED, cred_check_password(got.hash, S("correct horsf"), &f->err));
	assert_rc(RC_DENIED, cred_check_password(got.hash, SPAN_NONE, &f->err));
	assert_rc(RC_DENIED, cred_check_password(got.hash, span_of("correct horse\0", 14), &f->err));
	/* RFC 5802 3, as a client would compute it */
	assert_true(got.scram_iterations >= 4096 && got.scram_salt.len == 16 && got.scram_stored_key.len == 32 && got.scram_server_key.len == 32);
	assert_int_equal(1, PKCS5_PBKDF2_HMAC("correct horse", 13, got.scram_salt.ptr, 16, (int)got.scram_iterations, EVP_sha256(), 32, salted));
	(void)HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, key, &len);
	assert_int_equal(1, EVP_Digest(key, 32, stored, &len, EVP_sha256(), NULL));
	assert_memory_equal(stored, got.scram_stored_key.ptr, 32);
	(void)HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Server Key", 10, key, &len);
	assert_memory_equal(key, got.scram_server_key.ptr, 32);
	cred_close(&c);
}

static void passwords_that_cannot_be(void **state)
{
	static char longest[600];
	struct fixture *f = *state;
	struct cred_row row = {.address = S("anna@example.org")};

	memset(longest, 'x', sizeof(longest) - 1);
	assert_rc(RC_BAD, cred_set_password(&row, SPAN_NONE, &f->mem, &f->err));
	assert_rc(RC_BAD, cred_set_password(&row, span_of("a\0b", 3), &f->mem, &f->err));
	assert_rc(RC_LIMIT, cred_set_password(&row, S(longest), &f->mem, &f->err));
	assert_rc(RC_OK, cred_set_password(&row, span_of(longest, 511), &f->mem, &f->err));
	assert_rc(RC_OK, cred_check_password(row.hash, span_of(longest, 511), &f->err));
	assert_rc(RC_DENIED, cred_check_password(row.hash, S(longest), &f->err));
	/* SASLprep: what looks the same is the same (U+00AA is "a"); control characters have no SCRAM */
	assert_rc(RC_OK, cred_set_password(&row, S("\xc2\xaa"), &f->mem, &f->err));
	assert_rc(RC_OK, cred_check_password(row.hash, S("a"), &f->err));
	assert_rc(RC_OK, cred_set_password(&row, S("bell\x07"), &f->mem, &f->err));
	assert_int_equal(0, row.scram_salt.len);
	assert_rc(RC_OK, cred_check_password(row.hash, S("bell\x07"), &f->err));
	/* bytes that are no UTF-8, as an old system may have hashed them */
	assert_rc(RC_OK, cred_set_password(&row, S("gr\xfc\xdf"), &f->mem, &f->err));
	assert_rc(RC_OK, cred_check_password(row.hash, S("gr\xfc\xdf"), &f->err));
}

static void hashes_of_other_systems(void **state)
{
	/* made with the system's own crypt(3) tools, password "secret" */
	static const char *const settings[] = {"ab", "$1$saltsalt", "$5$saltsalt", "$6$saltsalt", "$2b$05$abcdefghijklmnopqrstuu", "$y$j9T$abcdefghijklmnop/", "$7$A6....1....TrXs5Zk6s8sWHpQgWDIXTR8kUU3s6Jc3s.DtdS8M2i4"};
	static const char *const unusable[] = {"", "*", "!", "!!", "x", "$1$", "{CRYPT}", "{CRYPT}*", "{SHA}abcdefghijklmnop", "plain text is no hash", "$9$what$ever12345", "secret"};
	struct fixture *f = *state;
	char prefixed[512];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		const char *hash = crypt("secret", settings[i]);

		if (!hash || hash[0] == '*') /* not built into this system */
			continue;
		(void)snprintf(prefixed, sizeof(prefixed), "{CRYPT}%s", hash);
		assert_rc(RC_OK, cred_check_password(S(prefixed), S("secret"), &f->err));
		assert_rc(RC_OK, cred_check_password(span_from(S(prefixed), 7), S("secret"), &f->err));
		assert_rc(RC_DENIED, cred_check_password(S(prefixed), S("Secret"), &f->err));
	}
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++)
		assert_rc(RC_DENIED, cred_check_password(S(unusable[i]), S("secret"), &f->err));
}

static double check_ms(struct fixture *f, struct span hash)
{
	mono_ms from = clock_mono_ms();

	for (int i = 0; i < 5; i++)
		assert_rc(RC_DENIED, cred_check_password(hash, S("wrong"), &f->err));
	return (double)(clock_mono_ms() - from + 1);
}

static void unknown_names_take_as_long(void **state)
{
	struct fixture *f = *state;
	struct cred_row row = {.address = S("anna@example.org")};
	double known, unknown, cheap;

	assert_rc(RC_OK, cred_set_password(&row, S("secret"), &f->mem, &f->err));
	known = check_ms(f, row.hash);
	unknown = check_ms(f, SPAN_NONE);
	cheap = check_ms(f, S("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"));
	print_message("known %.0f ms, unknown %.0f ms, cheap hash %.0f ms\n", known, unknown, cheap);
	assert_true(unknown > known / 3 && unknown < known * 3 && cheap > known / 3 && cheap < known * 3);
}

static void names_and_domains_are_found(void **state)
{
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct span found[2];
	struct cred_row got;
	size_t count = 9;
	bool known = false;

	open_cred(f, &c);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"anna@example.org", "anna@example.net", "o'b@x@example.com"};
		struct cred_row row = {.account = 10 + i, .address = S(names[i]), .enabled = true};

		assert_rc(RC_OK, cred_put(c, &row, &f->err));
	}
	assert_rc(RC_OK, cred_find_locals(c, S("ANNA"), &f->mem, found, 2, &count, &f->err));
	assert_true(count == 2 && span_eq(found[0], SPAN_LIT("anna@example.net")) && span_eq(found[1], SPAN_LIT("anna@example.org")));
	assert_rc(RC_OK, cred_find_locals(c, S("anna"), &f->mem, found, 1, &count, &f->err));
	assert_int_equal(count, 1);
	assert_rc(RC_OK, cred_find_locals(c, S("nobody"), &f->mem, found, 2, &count, &f->err));
	assert_int_equal(count, 0);
	assert_rc(RC_OK, cred_find_locals(c, S("o'b@x"), &f->mem, found, 2, &count, &f->err));
	assert_int_equal(count, 1);
	assert_rc(RC_OK, cred_domain_known(c, S("Example.COM"), &known, &f->err));
	assert_true(known);
	assert_rc(RC_OK, cred_domain_known(c, S("x@example.com"), &known, &f->err));
	assert_false(known);
	assert_rc(RC_OK, cred_by_account(c, 11, &f->mem, &got, &f->err));
	assert_true(span_eq(got.address, SPAN_LIT("anna@example.net")));
	assert_rc(RC_NONE, cred_by_account(c, 4711, &f->mem, &got, &f->err));
	cred_close(&c);
}

static void the_old_password_is_known(void **state)
{
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct cred_row row = {.account = 1, .address = S("anna@example.org"), .enabled = true}, got = {0};

	open_cred(f, &c);
	assert_rc(RC_OK, cred_set_password(&row, S("before"), &f->mem, &f->err));
	row.old_hash = row.hash;
	row.old_ended_ms = NOW_MS;
	row.demand = CRED_DEMAND_APP_PASSWORD;
	row.signed_in_ms = NOW_MS - 5;
	assert_rc(RC_OK, cred_set_password(&row, S("after"), &f->mem, &f->err));
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(got.demand == CRED_DEMAND_APP_PASSWORD && got.signed_in_ms == NOW_MS - 5 && got.old_ended_ms == NOW_MS);
	assert_rc(RC_OK, cred_check_old(&got, S("before"), NOW_MS, &f->err));
	assert_rc(RC_OK, cred_check_old(&got, S("before"), NOW_MS + CRED_OLD_MS - 1, &f->err));
	assert_rc(RC_DENIED, cred_check_old(&got, S("before"), NOW_MS + CRED_OLD_MS, &f->err));
	assert_rc(RC_DENIED, cred_check_old(&got, S("before"), NOW_MS - 1, &f->err)); /* a clock that went back */
	assert_rc(RC_DENIED, cred_check_old(&got, S("after"), NOW_MS, &f->err));
	assert_rc(RC_DENIED, cred_check_old(&(struct cred_row){0}, S("before"), NOW_MS, &f->err));
	/* a demand is a new generation, the time of use is none */
	assert_rc(RC_OK, cred_demand_set(c, row.address, CRED_DEMAND_WEB_SIGN_IN, &f->err));
	assert_rc(RC_OK, cred_signed_in(c, row.address, NOW_MS + 7, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &row, &f->err));
	assert_true(row.demand == CRED_DEMAND_WEB_SIGN_IN && row.generation > got.generation && row.signed_in_ms == NOW_MS + 7);
	assert_rc(RC_NONE, cred_demand_set(c, S("nobody@example.org"), CRED_DEMAND_NONE, &f->err));
	cred_close(&c);
}

static enum rc app_seen(void *arg, const struct cred_app *a)
{
	struct cred_app *last = arg;

	assert_true(a->created_ms == NOW_MS);
	last->created_ms++;
	last->used_ms = a->used_ms;
	return RC_OK;
}

static void application_passwords_are_kept(void **state)
{
	static const char *const bad[] = {"", " x", "x ", "a\nb", "a\x7f", "\xff", "a\xc2\x85", "12345678901234567890123456789012345678901234567890123456789012345"};
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct cred_row row = {.account = 1, .address = S("o'brien@example.org"), .enabled = true}, got;
	char phone[CRED_APP_TEXT_BYTES + 1], other[CRED_APP_TEXT_BYTES + 1], name[16], typed[64];
	struct cred_app app = {0};

	open_cred(f, &c);
	assert_rc(RC_NONE, cred_app_add(c, row.address, S("phone"), NOW_MS, phone, &f->err));
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &row, &f->err));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_rc(RC_BAD, cred_app_add(c, row.address, S(bad[i]), NOW_MS, phone, &f->err));
	assert_rc(RC_OK, cred_app_add(c, S("O'Brien@example.org"), S("phone"), NOW_MS, phone, &f->err));
	assert_rc(RC_EXISTS, cred_app_add(c, row.address, S("phone"), NOW_MS, other, &f->err));
	assert_rc(RC_OK, cred_app_add(c, row.address, S("Tante \xc3\x84nne's scanner"), NOW_MS, other, &f->err));
	assert_string_not_equal(phone, other);
	assert_true(strlen(phone) == 19 && phone[4] == '-' && phone[9] == '-' && phone[14] == '-');
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(got.generation == row.generation); /* one more ends no session */

	/* as it was printed, in one piece, with blanks, in capitals */
	assert_rc(RC_OK, cred_app_check(c, row.address, S(phone), &f->mem, &app, &f->err));
	assert_true(span_eq(app.name, SPAN_LIT("phone")));
	(void)snprintf(typed, sizeof(typed), " %.4s%.4s %.4s  %.4s", phone, phone + 5, phone + 10, phone + 15);
	for (size_t i = 0; typed[i]; i++)
		typed[i] = (char)byte_upper((uint8_t)typed[i]);
	assert_rc(RC_OK, cred_app_check(c, row.address, S(typed), &f->mem, &app, &f->err));
	assert_rc(RC_OK, cred_app_check(c, row.address, S(other), &f->mem, &app, &f->err));
	assert_true(span_eq(app.name, S("Tante \xc3\x84nne's scanner")));
	phone[0] = phone[0] == 'a' ? 'b' : 'a';
	assert_rc(RC_DENIED, cred_app_check(c, row.address, S(phone), &f->mem, &app, &f->err));
	assert_rc(RC_DENIED, cred_app_check(c, row.address, span_head(S(other), 18), &f->mem, &app, &f->err));
	(void)snprintf(typed, sizeof(typed), "%sa", other);
	assert_rc(RC_DENIED, cred_app_check(c, row.address, S(typed), &f->mem, &app, &f->err));
	assert_rc(RC_DENIED, cred_app_check(c, row.address, SPAN_NONE, &f->mem, &app, &f->err));
	assert_rc(RC_DENIED, cred_app_check(c, S("nobody@example.org"), S(other), &f->mem, &app, &f->err));

	assert_rc(RC_OK, cred_app_used(c, row.address, S("phone"), NOW_MS + 3, &f->err));
	app = (struct cred_app){0};
	assert_rc(RC_OK, cred_app_each(c, row.address, app_seen, &app, &f->err));
	assert_true(app.created_ms == 2 && app.used_ms == NOW_MS + 3);
	assert_rc(RC_OK, cred_app_remove(c, row.address, S("phone"), &f->err));
	assert_rc(RC_NONE, cred_app_remove(c, row.address, S("phone"), &f->err));
	assert_rc(RC_OK, cred_get(c, row.address, &f->mem, &got, &f->err));
	assert_true(got.generation > row.generation); /* taken back: sessions end */
	for (int i = 1; i < CRED_APP_MOST; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_rc(RC_OK, cred_app_add(c, row.address, S(name), NOW_MS, phone, &f->err));
	}
	assert_rc(RC_LIMIT, cred_app_add(c, row.address, S("one more"), NOW_MS, phone, &f->err));
	/* they go with the login */
	assert_rc(RC_OK, cred_remove(c, row.address, &f->err));
	assert_rc(RC_OK, cred_put(c, &row, &f->err));
	assert_rc(RC_DENIED, cred_app_check(c, row.address, S(other), &f->mem, &app, &f->err));
	cred_close(&c);
}

/* as version 1 left it */
static void an_older_database_is_taken_along(void **state)
{
	static const char old[] =
		"CREATE TABLE counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL) WITHOUT ROWID; INSERT INTO counter (name, next) VALUES ('generation', 8);"
		"CREATE TABLE login (address TEXT PRIMARY KEY, local TEXT NOT NULL, account BIGINT NOT NULL, hash TEXT NOT NULL, scram_salt BLOB NOT NULL,"
		" scram_stored_key BLOB NOT NULL, scram_server_key BLOB NOT NULL, scram_iterations BIGINT NOT NULL, enabled BIGINT NOT NULL,"
		" generation BIGINT NOT NULL) WITHOUT ROWID; CREATE INDEX login_local ON login (local, address);"
		"INSERT INTO login VALUES ('j\xc3\xb6rg@x@example.org', 'j\xc3\xb6rg@x', 5, '$y$', x'', x'', x'', 0, 1, 7); PRAGMA user_version = 1;";
	struct fixture *f = *state;
	struct cred *c = NULL;
	struct cred_row got = {0};
	sqlite3 *db = NULL;
	bool known = false;
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/auth", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/auth/credentials.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_cred(f, &c);
	assert_rc(RC_OK, cred_get(c, S("j\xc3\xb6rg@x@example.org"), &f->mem, &got, &f->err));
	assert_true(got.account == 5 && got.generation == 7 && got.demand == CRED_DEMAND_NONE && got.old_hash.len == 0 && got.signed_in_ms == 0);
	assert_rc(RC_OK, cred_domain_known(c, S("example.org"), &known, &f->err));
	assert_true(known);
	cred_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest cred_tests[] = {
	T(logins_are_kept), T(a_new_password_works_both_ways), T(passwords_that_cannot_be), T(hashes_of_other_systems), T(unknown_names_take_as_long),
	T(names_and_domains_are_found), T(the_old_password_is_known), T(application_passwords_are_kept), T(an_older_database_is_taken_along),
};
const size_t cred_count = sizeof(cred_tests) / sizeof(cred_tests[0]);
