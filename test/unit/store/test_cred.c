#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest cred_tests[] = {
	T(logins_are_kept), T(a_new_password_works_both_ways), T(passwords_that_cannot_be), T(hashes_of_other_systems), T(unknown_names_take_as_long),
};
const size_t cred_count = sizeof(cred_tests) / sizeof(cred_tests[0]);
