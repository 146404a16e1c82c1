#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli_home.h"
#include "cli/cli_password.h"
#include "cli/cli_print.h"
#include "cli/cli_tls.h"

/* ---- the parser: a small table, what each command line comes to */

static struct buf seen;

static int run_seen(struct cli *cli)
{
	buf_printf(&seen, "%s home=%s%s", cli->command->name, cli->home, cli->json ? " json" : "");
	for (int i = 0; i < cli->arg_count; i++)
		buf_printf(&seen, " [%s]", cli->args[i]);
	for (size_t i = 0; i < cli->given_count; i++)
		buf_printf(&seen, " %s=%s", cli->given[i].option->name, cli->given[i].value ? cli->given[i].value : "+");
	return CLI_FAILED; /* to tell it from usage errors and help */
}

static int raw_seen(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		buf_printf(&seen, "%s|", argv[i]);
	return CLI_FAILED;
}

static const struct cli_option options[] = {{"size", "N", "", false}, {"name", "S", "", true}, {"flag", NULL, "", false}, {NULL, NULL, NULL, false}};
static const struct cli_command table[] = {
	{"thing add", "A [B]", 1, 2, options, false, run_seen, NULL, "s", "h"},
	{"thing list", "", 0, 0, NULL, true, run_seen, NULL, "s", ""},
	{"say", "TEXT", 0, 99, NULL, false, NULL, raw_seen, "s", ""},
	{"hidden", "", 0, 0, NULL, false, run_seen, NULL, NULL, ""},
	{NULL, NULL, 0, 0, NULL, false, NULL, NULL, NULL, NULL},
};

static void test_parse(void **state)
{
	static const struct { const char *line; int status; const char *want; } cases[] = {
		{"thing add x --home /h", CLI_FAILED, "thing add home=/h [x] home=/h"},
		{"--home /h thing add x", CLI_FAILED, "thing add home=/h [x] home=/h"},
		{"--home=/h/ thing add x y", CLI_FAILED, "thing add home=/h [x] [y] home=/h/"},
		{"thing --home /h add x", CLI_USAGE, ""},
		{"thing add --size 5 x --name=a --name b --flag --home /h", CLI_FAILED, "thing add home=/h [x] size=5 name=a name=b flag=+ home=/h"},
		{"thing add --home /h -- --x", CLI_FAILED, "thing add home=/h [--x] home=/h"},
		{"--home /h thing add -- -x", CLI_FAILED, "thing add home=/h [-x] home=/h"},
		{"thing add - --home /h", CLI_FAILED, "thing add home=/h [-] home=/h"},
		{"thing list --json --home /h", CLI_FAILED, "thing list home=/h json json=+ home=/h"},
		{"--json thing list --home /h", CLI_FAILED, "thing list home=/h json json=+ home=/h"},
		{"hidden --home /h", CLI_FAILED, "hidden home=/h home=/h"},
		{"say --home /h -ERR no", CLI_FAILED, "say|-ERR|no|"},
		{"--home /h say hello --home=/x --why", CLI_FAILED, "say|hello|--why|"},
		{"say", CLI_FAILED, "say|"},
		{"", CLI_USAGE, ""},
		{"nothing", CLI_USAGE, ""},
		{"thing", CLI_USAGE, ""},
		{"thing frob", CLI_USAGE, ""},
		{"thing add", CLI_USAGE, ""},
		{"thing add a b c", CLI_USAGE, ""},
		{"thing add a --size", CLI_USAGE, ""},
		{"thing add a --size 1 --size 2", CLI_USAGE, ""},
		{"thing add a --flag=1", CLI_USAGE, ""},
		{"thing add a --bogus", CLI_USAGE, ""},
		{"thing add a --json", CLI_USAGE, ""},
		{"thing add a -s", CLI_USAGE, ""},
		{"--home", CLI_USAGE, ""},
		{"--home /h", CLI_USAGE, ""},
		{"thing add a --home=", CLI_USAGE, ""},
		{"help", CLI_OK, ""},
		{"--help", CLI_OK, ""},
		{"help thing", CLI_OK, ""},
		{"help thing add", CLI_OK, ""},
		{"thing add --help", CLI_OK, ""},
		{"help nothing", CLI_USAGE, ""},
	};

	(void)state;
	buf_init(&seen, 1 << 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *words[16] = {(char[]){"mailroom"}}, *line = mem_str(cases[i].line), *save = NULL;
		int count = 1, status;

		for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
			words[count++] = w;
		buf_reset(&seen);
		status = cli_run(table, count, words);
		if (status != cases[i].status || strcmp(buf_cstr(&seen), cases[i].want) != 0)
			fail_msg("%s: %d %s; wanted %d %s", cases[i].line, status, buf_cstr(&seen), cases[i].status, cases[i].want);
		free(line);
	}
	buf_clear(&seen);
}

/* the home comes from the option, else the environment, else the usual place */
static void test_home(void **state)
{
	char *words[] = {(char[]){"mailroom"}, (char[]){"hidden"}, NULL};

	(void)state;
	buf_init(&seen, 1 << 16);
	assert_int_equal(setenv("MAILROOM_HOME", "/nowhere/at/all", 1), 0);
	assert_int_equal(cli_run(table, 2, words), CLI_FAILED);
	assert_string_equal(buf_cstr(&seen), "hidden home=/nowhere/at/all");
	assert_int_equal(unsetenv("MAILROOM_HOME"), 0);
	buf_reset(&seen);
	assert_int_equal(cli_run(table, 2, words), CLI_FAILED);
	assert_string_equal(buf_cstr(&seen), "hidden home=/var/lib/mailroom");
	buf_clear(&seen);
}

static void test_addresses(void **state)
{
	static const struct { const char *in, *out; } good[] = {
		{"alice@Example.ORG", "alice@example.org"}, {"<a@b.c>", "a@b.c"}, {"\"a b\"@c.d", "\"a b\"@c.d"}};
	static const char *const bad[] = {"", "alice", "@b", "a@", "a b@c", "a@b..c", "a@-b.c", "a@b\n.c"};
	struct cli cli = {0};
	struct span out;

	(void)state;
	arena_init(&cli.mem, 1 << 20);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(cli_address(&cli, good[i].in, &out));
		assert_true(span_eq(out, span_str(good[i].out)));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cli_address(&cli, bad[i], &out))
			fail_msg("taken: %s", bad[i]);
	assert_true(cli_domain_name(&cli, "Example.ORG", &out));
	assert_true(span_eq(out, SPAN_LIT("example.org")));
	assert_false(cli_domain_name(&cli, "[127.0.0.1]", &out));
	assert_false(cli_domain_name(&cli, "a@b", &out));
	assert_false(cli_domain_name(&cli, "", &out));
	arena_clear(&cli.mem);
}

static void test_words(void **state)
{
	static const struct { uint64_t bytes; const char *words; } sizes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KB"}, {1536, "1.5 KB"},
		{200 << 10, "200 KB"}, {50 << 20, "50.0 MB"}, {5ULL << 40, "5.0 TB"}, {UINT64_MAX, "16384 PB"}};
	struct buf out;
	json_t *j;

	(void)state;
	buf_init(&out, 1024);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		buf_reset(&out);
		cli_write_bytes(&out, sizes[i].bytes);
		if (i < 7)
			assert_string_equal(buf_cstr(&out), sizes[i].words);
		else
			assert_non_null(strstr(buf_cstr(&out), "PB"));
	}
	buf_reset(&out);
	cli_write_time(&out, 1714564800123);
	assert_string_equal(buf_cstr(&out), "2024-05-01 12:00:00Z");
	buf_clear(&out);
	j = cli_json_text(SPAN_LIT("a\xff\x1b"));
	assert_string_equal(json_string_value(j), "a\\xff\\x1b");
	json_decref(j);
	j = cli_json_text(SPAN_LIT("\xc3\xa4"));
	assert_string_equal(json_string_value(j), "\xc3\xa4");
	json_decref(j);
	j = cli_json_text(SPAN_NONE);
	assert_string_equal(json_string_value(j), "");
	json_decref(j);
}

static void test_password(void **state)
{
	struct buf a, b;
	char *big = mem_alloc(600);

	(void)state;
	buf_init(&a, 100);
	buf_init(&b, 100);
	cli_password_make(&a);
	cli_password_make(&b);
	assert_int_equal(a.len, 23);
	assert_true(span_is_vchar(buf_span(&a)));
	assert_false(span_eq(buf_span(&a), buf_span(&b)));
	assert_int_equal(cli_password_check(buf_span(&a)), CLI_OK);
	assert_int_equal(cli_password_check(SPAN_LIT("a b \xc3\xa4 long")), CLI_OK);
	assert_int_equal(cli_password_check(SPAN_LIT("")), CLI_FAILED);
	assert_int_equal(cli_password_check(SPAN_LIT("with\ttab..")), CLI_FAILED);
	assert_int_equal(cli_password_check(SPAN_LIT("not utf8 \xff")), CLI_FAILED);
	memset(big, 'x', 600);
	assert_int_equal(cli_password_check(span_of(big, 511)), CLI_OK);
	assert_int_equal(cli_password_check(span_of(big, 512)), CLI_FAILED);
	free(big);
	cli_password_clear(&a);
	cli_password_clear(&b);
	assert_null(a.ptr);
}

static void test_home_files(void **state)
{
	char dir[] = "/tmp/mailroom-test-cli-XXXXXX";
	char *deep, *file;
	struct err err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	deep = mem_printf("%s/a/b/home", dir);
	assert_int_equal(cli_home_make(deep, &err), RC_OK);
	assert_int_equal(cli_home_make(deep, &err), RC_OK);
	assert_int_equal(cli_home_dir(deep, "keys", 0700, 60725, &err), RC_OK);
	file = mem_printf("%s/keys/k", deep);
	assert_int_equal(cli_home_file(deep, "keys/k", SPAN_LIT("one"), 0600, 60725, false, &err), RC_OK);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 60725 : geteuid());
	assert_int_equal(cli_home_file(deep, "keys/k", SPAN_LIT("three"), 0600, 60725, false, &err), RC_EXISTS);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(cli_home_file(deep, "keys/k", SPAN_LIT("three"), 0640, 60725, true, &err), RC_OK);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(cli_home_file(deep, "nodir/k", SPAN_LIT("x"), 0600, 0, true, &err), RC_IO);
	assert_int_equal(cli_home_make(file, &err), RC_BAD); /* a file is in the way */
	unlink(file);
	free(file);
	/* a link where a directory should be is not followed */
	file = mem_printf("%s/evil", deep);
	assert_int_equal(symlink("/tmp", file), 0);
	assert_int_equal(cli_home_dir(deep, "evil", 0700, 60725, &err), RC_IO);
	unlink(file);
	free(file);
	/* nothing is left over from refused writes */
	file = mem_printf("%s/keys", deep);
	assert_int_equal(rmdir(file), 0);
	free(file);
	for (char *slash = deep; strlen(deep) > strlen(dir); slash = strrchr(deep, '/'), *slash = '\0')
		assert_int_equal(rmdir(deep), 0);
	assert_int_equal(rmdir(dir), 0);
	free(deep);
}

static void test_tls(void **state)
{
	static const char *const names[] = {"mail.example.org", "example.org", "localhost"};
	char dir[] = "/tmp/mailroom-test-cli-XXXXXX";
	struct buf crt, key, other_crt, other_key;
	struct cli_tls_facts facts;
	char *crt_path, *key_path;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	buf_init(&crt, 1 << 16);
	buf_init(&key, 1 << 16);
	buf_init(&other_crt, 1 << 16);
	buf_init(&other_key, 1 << 16);
	assert_int_equal(cli_tls_make(names, 3, &crt, &key, &err), RC_OK);
	assert_int_equal(cli_tls_make(names, 1, &other_crt, &other_key, &err), RC_OK);
	crt_path = mem_printf("%s/c", dir);
	key_path = mem_printf("%s/k", dir);
	assert_int_equal(cli_home_file(dir, "c", buf_span(&crt), 0600, geteuid(), true, &err), RC_OK);
	assert_int_equal(cli_home_file(dir, "k", buf_span(&key), 0600, geteuid(), true, &err), RC_OK);
	assert_int_equal(cli_tls_look(crt_path, key_path, &facts, &err), RC_OK);
	assert_true(facts.self_signed && facts.key_seen);
	assert_true(facts.not_after_ms > clock_wall_ms() + 3600LL * 86400000);
	assert_int_equal(cli_home_file(dir, "k", buf_span(&other_key), 0600, geteuid(), true, &err), RC_OK);
	assert_int_equal(cli_tls_look(crt_path, key_path, &facts, &err), RC_BAD);
	assert_non_null(strstr(err.words, "does not belong"));
	assert_int_equal(cli_tls_look(crt_path, crt_path, &facts, &err), RC_BAD);
	assert_non_null(strstr(err.words, "no private key"));
	assert_int_equal(cli_tls_look(key_path, key_path, &facts, &err), RC_BAD);
	assert_non_null(strstr(err.words, "no certificate"));
	unlink(crt_path);
	assert_int_equal(cli_tls_look(crt_path, key_path, &facts, &err), RC_IO);
	unlink(key_path);
	rmdir(dir);
	free(crt_path);
	free(key_path);
	buf_clear(&crt);
	buf_clear(&key);
	buf_clear(&other_crt);
	buf_clear(&other_key);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_home), cmocka_unit_test(test_addresses), cmocka_unit_test(test_words),
		cmocka_unit_test(test_password), cmocka_unit_test(test_home_files), cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
