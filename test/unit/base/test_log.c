/* log, err */
#include "test_base.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

/* what was logged, read back through a pipe; the time at its beginning is cut off after a look at its form */
static struct span log_line(int from, uint8_t *room, size_t size)
{
	ssize_t n;

	log_flush();
	n = read(from, room, size);
	assert_true(n > 25);
	assert_int_equal(room[10], 'T');
	assert_int_equal(room[23], 'Z');
	assert_int_equal(room[n - 1], '\n');
	return span_from(span_of(room, (size_t)n), 25);
}

static void test_escaping(void **state)
{
	static const struct {
		struct span value, written;
	} cases[] = {
		{S("plain"), S("plain")}, {S("two words"), S("\"two words\"")}, {S("a=b"), S("\"a=b\"")}, {S("say \"x\""), S("\"say \\x22x\\x22\"")},
		{S("\""), S("\"\\x22\"")}, {S("a\r\nlevel=error"), S("\"a\\x0d\\x0alevel=error\"")}, {S("\x1b[0m"), S("\\x1b[0m")},
		{S("a\\b"), S("a\\x5c" "b")}, {S("a\0b"), S("a\\x00" "b")}, {S("j\xc3\xb6rg"), S("j\\xc3\\xb6rg")}, {S("\n"), S("\\x0a")},
	};
	uint8_t room[8192], want[8192];
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	log_open(pipes[1], "mx/1", LOG_LEVEL_INFO);
	for (size_t i = 0; i < COUNT(cases); i++) {
		int n;

		assert_true(log_begin(LOG_LEVEL_INFO, "test"));
		log_span("v", cases[i].value);
		log_end();
		n = snprintf((char *)want, sizeof(want), "level=info role=mx/1 event=test v=%.*s\n", SPAN_FMT(cases[i].written));
		test_span_eq(log_line(pipes[0], room, sizeof(room)), span_of(want, (size_t)n), "line");
	}
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

/* a field is cut at 256 bytes, whatever it consists of */
static void test_cut(void **state)
{
	static const char fill[] = "a\" ";
	uint8_t room[8192], value[5000];
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	log_open(pipes[1], "mx/1", LOG_LEVEL_INFO);
	for (const char *c = fill; *c; c++) {
		struct span line;

		memset(value, *c, sizeof(value));
		assert_true(log_begin(LOG_LEVEL_WARN, "test"));
		log_span("v", span_of(value, sizeof(value)));
		log_num("n", 7);
		log_end();
		line = log_line(pipes[0], room, sizeof(room));
		assert_true(line.len < 256 * 4 + 100);
		assert_true(span_find_span(line, SPAN_LIT("...")) < line.len);
		assert_true(span_find_span(line, SPAN_LIT(" n=7\n")) < line.len);
	}
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void test_levels(void **state)
{
	uint8_t room[8192];
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	log_open(pipes[1], "store", LOG_LEVEL_WARN);
	assert_false(log_begin(LOG_LEVEL_INFO, "unwanted"));
	log_str("a", "b");
	log_num("n", 1);
	log_end();
	log_msg(LOG_LEVEL_DEBUG, "unwanted", "%d", 1);
	assert_true(log_begin(LOG_LEVEL_ERROR, "wanted"));
	log_str("none", NULL);
	log_str("empty", "");
	log_num("n", UINT64_MAX);
	log_end();
	test_span_eq(log_line(pipes[0], room, sizeof(room)), SPAN_LIT("level=error role=store event=wanted n=18446744073709551615\n"), "line");
	log_msg(LOG_LEVEL_WARN, "said", "%s %d", "x", 2);
	test_span_eq(log_line(pipes[0], room, sizeof(room)), SPAN_LIT("level=warn role=store event=said msg=\"x 2\"\n"), "msg");
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	log_open(STDERR_FILENO, "test", LOG_LEVEL_INFO);
}

static void test_err(void **state)
{
	struct err err = {.words = ""};
	uint8_t longer[2000];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	assert_int_equal(err_set(NULL, RC_BAD, "nobody reads this"), RC_BAD);
	assert_int_equal(err_set(&err, RC_FULL, "disk %d", 3), RC_FULL);
	assert_string_equal(err.words, "disk 3");
	errno = ENOENT;
	assert_int_equal(err_errno(&err, RC_IO, "open %s", "x"), RC_IO);
	assert_string_equal(err.words, "open x: No such file or directory");
	assert_int_equal(errno, ENOENT);
	assert_int_equal(err_errno(&err, RC_IO, "%.*s", (int)sizeof(longer), (const char *)longer), RC_IO);
	assert_int_equal(strlen(err.words), sizeof(err.words) - 1);
	assert_string_equal(rc_name(RC_OK), "ok");
	assert_string_equal(rc_name(RC_DENIED), "denied");
	assert_string_equal(rc_name((enum rc)99), "?");
}

int test_log(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escaping), cmocka_unit_test(test_cut), cmocka_unit_test(test_levels), cmocka_unit_test(test_err),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
