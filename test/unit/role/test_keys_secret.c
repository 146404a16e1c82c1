/* Passwords for smarthosts: one line of a file each, in the order of the configuration. And the program that runs the tests of keys. */
#include "test_keys_dkim.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "role/keys_secret.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-keys-secret-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return test_keys_remove(dir);
}

static char *put(const char *name, const char *text, size_t len)
{
	char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	return path;
}

static void test_lines(void **state)
{
	static const struct { const char *text; enum rc rc; const char *password; } cases[] = {
		{"s3cret\n", RC_OK, "s3cret"}, {"s3cret", RC_OK, "s3cret"}, {"s3cret\r\n", RC_OK, "s3cret"}, {"one\ntwo\n", RC_OK, "one"}, {" with blanks \n", RC_OK, " with blanks "},
		{"p\xc3\xa4ss\n", RC_OK, "p\xc3\xa4ss"}, {"", RC_BAD, NULL}, {"\n", RC_BAD, NULL}, {"\r\n", RC_BAD, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keys_secrets *s = keys_secrets_new();
		char *path = put("password", cases[i].text, strlen(cases[i].text));
		struct span login, password;
		struct err err = {""};
		enum rc rc = keys_secrets_add(s, "me", path, &err);

		if (cases[i].password) {
			assert_int_equal(rc, RC_OK);
			assert_true(keys_secrets_get(s, 0, &login, &password));
			assert_true(span_eq(login, SPAN_LIT("me")) && span_eq(password, span_str(cases[i].password)));
		} else {
			assert_true(rc != RC_OK);
			assert_non_null(strstr(err.words, path));
			assert_false(keys_secrets_get(s, 0, &login, &password));
		}
		free(path);
		keys_secrets_free(&s);
		assert_null(s);
	}
}

static void test_too_long(void **state)
{
	struct keys_secrets *s = keys_secrets_new();
	struct span login, password;
	struct err err = {""};
	char text[LIMIT_PASSWORD_BYTES + 2];
	char *path;

	(void)state;
	memset(text, 'x', sizeof(text));
	path = put("long", text, LIMIT_PASSWORD_BYTES);
	assert_int_equal(keys_secrets_add(s, "me", path, &err), RC_OK);
	assert_true(keys_secrets_get(s, 0, &login, &password) && password.len == LIMIT_PASSWORD_BYTES);
	free(path);
	path = put("longer", text, LIMIT_PASSWORD_BYTES + 1);
	assert_true(keys_secrets_add(s, "me", path, &err) != RC_OK);
	assert_false(keys_secrets_get(s, 1, &login, &password));
	free(path);
	keys_secrets_free(&s);
}

/* each stands where the configuration has it, those without a password too */
static void test_order(void **state)
{
	struct keys_secrets *s = keys_secrets_new();
	struct span login, password;
	struct err err = {""};
	char *one = put("one", "first", 5), *two = put("two", "second", 6);

	(void)state;
	assert_false(keys_secrets_get(s, 0, &login, &password));
	assert_int_equal(keys_secrets_add(s, "a", one, &err), RC_OK);
	assert_int_equal(keys_secrets_add(s, "", "", &err), RC_OK);
	assert_int_equal(keys_secrets_add(s, "c", two, &err), RC_OK);
	assert_true(keys_secrets_add(s, "d", "/nonexistent/password", &err) != RC_OK);
	assert_non_null(strstr(err.words, "/nonexistent/password"));
	assert_true(keys_secrets_get(s, 0, &login, &password) && span_eq(login, SPAN_LIT("a")) && span_eq(password, SPAN_LIT("first")));
	assert_false(keys_secrets_get(s, 1, &login, &password));
	assert_true(keys_secrets_get(s, 2, &login, &password) && span_eq(login, SPAN_LIT("c")) && span_eq(password, SPAN_LIT("second")));
	assert_false(keys_secrets_get(s, 3, &login, &password));
	assert_false(keys_secrets_get(s, 4, &login, &password));
	assert_false(keys_secrets_get(s, UINT_MAX, &login, &password));
	free(one);
	free(two);
	keys_secrets_free(&s);
	keys_secrets_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_too_long), cmocka_unit_test(test_order), cmocka_unit_test(test_keys_dkim_signs),
		cmocka_unit_test(test_keys_dkim_of), cmocka_unit_test(test_keys_dkim_unread), cmocka_unit_test(test_keys_dkim_left_out)};

	return cmocka_run_group_tests_name("keys", tests, make_dir, remove_dir);
}
