#include "test_base.h"

#include "base/library.h"

struct calls {
	double (*cos)(double);
	double (*sin)(double);
};

static const struct library_call calls[] = {{"cos", offsetof(struct calls, cos)}, {"sin", offsetof(struct calls, sin)}};

static void test_loads(void **state)
{
	struct calls c = {NULL, NULL};
	struct err err = {""};

	(void)state;
	assert_int_equal(RC_OK, library_load("libm.so.6", calls, 2, &c, &err));
	assert_true(c.cos(0.0) > 0.99 && c.sin(0.0) < 0.01);
}

static void test_what_is_not_there(void **state)
{
	static const struct library_call lacks[] = {{"cos", offsetof(struct calls, cos)}, {"no_such_call", offsetof(struct calls, sin)}};
	struct calls c = {NULL, NULL};
	struct err err = {""};

	(void)state;
	assert_int_equal(RC_IO, library_load("libnone-of-this-name.so.7", calls, 2, &c, &err));
	assert_non_null(strstr(err.words, "libnone-of-this-name"));
	assert_int_equal(RC_IO, library_load("libm.so.6", lacks, 2, &c, &err));
	assert_string_equal("libm.so.6 has no no_such_call", err.words);
	assert_null(c.cos);
}

int test_library(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_loads), cmocka_unit_test(test_what_is_not_there)};

	return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
