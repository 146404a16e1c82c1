#include "test_conf.h"

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
#include "conf/conf.h"

static char dir[64];

static void put(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	free(path);
}

static void gone(const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);

	if (unlink(path) != 0)
		assert_int_equal(rmdir(path), 0);
	free(path);
}

static void sub(const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static void begin(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/mailroom-test-conf-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void want(enum rc rc, const char *words)
{
	struct conf *c = NULL;
	struct err err = {{0}};
	enum rc got = conf_load(NULL, dir, &c, &err);

	if (got != rc || (words && !strstr(err.words, words)))
		fail_msg("%s: %s; wanted %s: %s", rc_name(got), err.words, rc_name(rc), words ? words : "");
	conf_free(&c);
}

void test_conf_load_files(void **state)
{
	struct conf *c = NULL;
	struct err err;

	(void)state;
	begin();
	want(RC_NONE, "mailroom.conf");
	put("mailroom.conf", "");
	want(RC_BAD, "certificate \"default\": chain: there is no file ");
	assert_int_equal(conf_read(NULL, dir, &c, &err), RC_OK);
	assert_string_equal(c->home, dir);
	conf_free(&c);
	sub("tls");
	sub("keys");
	put("tls/default.crt", "x");
	want(RC_BAD, "certificate \"default\": key: there is no file ");
	put("keys/default.key", "x");
	want(RC_OK, NULL);
	put("mailroom.conf", "\ncertificate a {\n chain = a.pem\n key = keys/default.key\n}\n");
	want(RC_BAD, "mailroom.conf:2: certificate \"a\": chain: there is no file ");
	gone("keys/default.key");
	gone("tls/default.crt");
	/* nothing uses TLS: no certificate is needed */
	put("mailroom.conf", "listener mx { kind = mx tls = none }");
	want(RC_OK, NULL);
	put("mailroom.conf", "listener mx { kind = mx tls = none }\ndelivery {\n ca-file = ca.pem\n}\n");
	want(RC_BAD, "mailroom.conf:3: ca-file: there is no file ");
	put("ca.pem", "x");
	want(RC_OK, NULL);
	gone("ca.pem");
	gone("mailroom.conf");
	sub("mailroom.conf");
	want(RC_BAD, "not a plain file");
	gone("mailroom.conf");
	gone("tls");
	gone("keys");
	assert_int_equal(rmdir(dir), 0);
}

void test_conf_load_include(void **state)
{
	struct conf *c = NULL;
	struct err err;

	(void)state;
	begin();
	sub("d");
	put("mailroom.conf", "hostname = a.example\n\ninclude(\"d/more.conf\")\nlimits { hops = 40 }\nlistener b { kind = pop3 tls = none auth-without-tls = yes }\n");
	put("d/more.conf", "# c\nlistener a { kind = mx tls = none }\ninclude('last.conf')\n");
	put("d/last.conf", "default-domain = a.example");
	assert_int_equal(conf_load(NULL, dir, &c, &err), RC_OK);
	assert_string_equal(c->default_domain, "a.example");
	assert_int_equal(c->hops_max, 40);
	assert_int_equal(c->listener_count, 2);
	assert_int_equal(c->listeners[0].line, 2);
	assert_int_equal(c->listeners[1].line, 5);
	conf_free(&c);
	put("d/last.conf", "\nhostname = b.example");
	want(RC_BAD, "/d/last.conf:2: hostname: set before, on line 1 of ");
	put("d/last.conf", "limits {");
	want(RC_BAD, "/d/last.conf:1: the section that begins here has no closing }");
	put("d/last.conf", "/* ");
	want(RC_BAD, "/d/last.conf:1: the comment");
	put("d/last.conf", "");
	put("mailroom.conf", "include(\"d/more.conf\")\n\nhostnaem = x\n");
	want(RC_BAD, "mailroom.conf:3: \"hostnaem\"");
	put("mailroom.conf", "\ninclude(\"nothere.conf\")");
	want(RC_BAD, "mailroom.conf:2: include: ");
	put("mailroom.conf", "include(\"mailroom.conf\")");
	want(RC_BAD, "too many files; at most 16");
	put("mailroom.conf", "include(\"a\", \"b\")");
	want(RC_BAD, "include: one file name");
	put("mailroom.conf", "include()");
	want(RC_BAD, "include: one file name");
	put("mailroom.conf", "home = /elsewhere");
	want(RC_BAD, "mailroom.conf:1: \"home\" is not a setting");
	put("mailroom.conf", "include = a");
	want(RC_BAD, "include: a file name in parentheses");
	gone("d/last.conf");
	gone("d/more.conf");
	gone("d");
	gone("mailroom.conf");
	assert_int_equal(rmdir(dir), 0);
}

void test_conf_load_limits(void **state)
{
	char *big = mem_alloc((1 << 20) + 2);

	(void)state;
	begin();
	memset(big, ' ', (1 << 20) + 1);
	memcpy(big, "listener a { kind = mx tls = none }", 35);
	big[1 << 20] = '\0';
	put("mailroom.conf", big);
	want(RC_OK, NULL);
	big[1 << 20] = ' ';
	big[(1 << 20) + 1] = '\0';
	put("mailroom.conf", big);
	want(RC_BAD, "larger than 1 MiB");
	free(big);
	gone("mailroom.conf");
	assert_int_equal(rmdir(dir), 0);
}

/* overrides last for the process, so this runs last */
void test_conf_override(void **state)
{
	static const char *const bad[] = {"", "mx", "mx=", "mx=127.0.0.1", "mx=127.0.0.1:", "mx=127.0.0.1:0", "mx=127.0.0.1:65536", "mx=host:25", "mx=:25", "127.0.0.1:25", "mx=[::1:25"};
	struct conf *c = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (conf_override_listen(bad[i], &err) != RC_BAD)
			fail_msg("--listen %s was taken", bad[i]);
	begin();
	put("mailroom.conf", "listener a { kind = mx tls = none }\nlistener b { kind = mx tls = none port = 26 }\n");
	assert_int_equal(conf_override_listen("a=[::1]:7777", &err), RC_OK);
	assert_int_equal(conf_load(NULL, dir, &c, &err), RC_OK);
	assert_string_equal(c->listeners[0].address, "::1");
	assert_int_equal(c->listeners[0].port, 7777);
	assert_int_equal(c->listeners[1].port, 26);
	conf_free(&c);
	assert_int_equal(conf_override_listen("a=127.0.0.1:26", &err), RC_OK);
	want(RC_BAD, "is taken by listener \"a\"");
	assert_int_equal(conf_override_listen("a=127.0.0.1:27", &err), RC_OK);
	want(RC_OK, NULL);
	assert_int_equal(conf_override_listen("nope=127.0.0.1:28", &err), RC_OK);
	want(RC_BAD, "--listen: there is no listener \"nope\"; one of a, b would be right");
	assert_int_equal(conf_parse(span_str("uid-base = 5000"), "t", NULL, &c, &err), RC_BAD);
	assert_non_null(strstr(err.words, "home: not given"));
	assert_int_equal(conf_parse(span_str("listener a { kind = mx tls = none }"), "t", "/h", &c, &err), RC_OK);
	assert_int_equal(c->listeners[0].port, 25);
	conf_free(&c);
	gone("mailroom.conf");
	assert_int_equal(rmdir(dir), 0);
}
