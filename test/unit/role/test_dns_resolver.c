/* how the resolver is set up: whom it asks, on which ports, what it believes; answers that need no network */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"
#include "role/dns_resolver.h"

static struct conf *conf_of(const char *dns)
{
	struct conf *c = NULL;
	struct err err = {""};
	char text[2000];

	(void)snprintf(text, sizeof(text), "hostname = mail.test\ndns { %s }\n", dns);
	if (conf_parse(span_str(text), "t.conf", "/home/mr", &c, &err) != RC_OK)
		fail_msg("%s", err.words);
	return c;
}

static const char *file_of(const char *text, char path[64])
{
	FILE *f;
	int fd;

	(void)snprintf(path, 64, "/tmp/test-resolv.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(0, fclose(f));
	return path;
}

static void resolv_conf(void **state)
{
	static const struct {
		const char *text, *servers;
	} rows[] = {
		{"nameserver 192.0.2.1\n", "192.0.2.1"},
		{"# a remark\nsearch example.org\n  nameserver\t192.0.2.1 # near\noptions edns0\nnameserver 2001:db8::53;far\n", "192.0.2.1, 2001:db8::53"},
		{"nameserver 192.0.2.1", "192.0.2.1"},
		{"nameserver 192.0.2.1\r\n", NULL}, /* not of this system */
		{"nameservers 192.0.2.1\nnameserver\nnameserver example.org\nnameserver 999.0.0.1\n", NULL},
		{"", NULL},
		{"nameserver fe80::1%lo\n", "fe80::1%lo"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loop *loop = loop_new();
		struct conf *c = conf_of("dnssec = no");
		struct dns_resolver *r = NULL;
		struct err err = {""};
		char path[64], wanted[200];
		uint16_t ports[4];

		if (dns_resolver_new(c, loop_base(loop), file_of(rows[i].text, path), NULL, &r, &err) != RC_OK)
			fail_msg("%s: %s", rows[i].text, err.words);
		(void)snprintf(wanted, sizeof(wanted), "%s (%s)", rows[i].servers ? rows[i].servers : "127.0.0.1", path);
		assert_string_equal(wanted, dns_resolver_servers(r));
		assert_int_equal(1, dns_resolver_ports(r, ports, 4));
		assert_int_equal(53, ports[0]);
		(void)unlink(path);
		dns_resolver_free(&r);
		loop_free(&loop);
		conf_free(&c);
	}
}

static void as_configured(void **state)
{
	static const struct {
		const char *dns, *servers, *anchor; /* NULL: as the machine has it */
		size_t ports;
	} rows[] = {
		{"resolvers = root dnssec = no", "the root servers", "off", 1},
		{"resolvers = root", "the root servers", NULL, 1},
		{"resolvers = \"192.0.2.1@5353 ::1@5354\" dnssec = no", "192.0.2.1@5353, ::1@5354 (dns resolvers)", "off", 3},
		{"resolvers = \"192.0.2.1\" stub-zones = \"a.test@127.0.0.1@5300 a.test@127.0.0.2@5300 b.home.arpa@::1\" insecure-zones = \"a.test b.home.arpa\"",
			"192.0.2.1 (dns resolvers)", NULL, 2},
		{"resolvers = root stub-zones = \"a.test@127.0.0.1@5300\"", "the root servers", NULL, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loop *loop = loop_new();
		struct conf *c = conf_of(rows[i].dns);
		struct dns_resolver *r = NULL;
		struct err err = {""};
		uint16_t ports[8];

		if (dns_resolver_new(c, loop_base(loop), "/not/there", NULL, &r, &err) != RC_OK)
			fail_msg("%s: %s", rows[i].dns, err.words);
		assert_string_equal(rows[i].servers, dns_resolver_servers(r));
		if (rows[i].anchor)
			assert_string_equal(rows[i].anchor, dns_resolver_anchor(r));
		else
			assert_true(strstr(dns_resolver_anchor(r), "root") != NULL);
		assert_int_equal(rows[i].ports, dns_resolver_ports(r, ports, 8));
		assert_int_equal(1, dns_resolver_ports(r, ports, 1));
		dns_resolver_free(&r);
		loop_free(&loop);
		conf_free(&c);
	}
}

static char said[200];

static void say(const char *words)
{
	(void)snprintf(said, sizeof(said), "%s", words);
}

static void an_anchor_that_is_no_good(void **state)
{
	static const char *const texts[] = {NULL, "this is no key\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct loop *loop = loop_new();
		struct dns_resolver *r = NULL;
		struct err err = {""};
		char path[64] = "/not/there", dns[200];
		struct conf *c;

		if (texts[i])
			(void)file_of(texts[i], path);
		(void)snprintf(dns, sizeof(dns), "resolvers = \"192.0.2.1\" trust-anchor = \"%s\"", path);
		c = conf_of(dns);
		assert_int_not_equal(RC_OK, dns_resolver_new(c, loop_base(loop), NULL, say, &r, &err));
		assert_null(r);
		if (!texts[i])
			assert_non_null(strstr(err.words, "trust-anchor: /not/there"));
		else
			assert_true(said[0] != '\0' && said[0] != '['); /* the library's words, without its clock */
		(void)unlink(path);
		loop_free(&loop);
		conf_free(&c);
	}
}

static void a_root_of_ones_own(void **state)
{
	char path[64], dns[200], words[100];
	struct {
		const char *hints, *resolvers, *servers;
		bool good;
	} rows[] = {
		{path, "root", words, true},
		{path, "192.0.2.1", "192.0.2.1 (dns resolvers)", true}, /* not asked for: not looked at */
		{"/not/there", "192.0.2.1", "192.0.2.1 (dns resolvers)", true},
		{"/not/there", "root", NULL, false},
	};

	(void)state;
	(void)file_of("; the root\n.\t60\tNS\tns.\nns.\t60\tA\t127.0.0.9 ; here\n", path);
	(void)snprintf(words, sizeof(words), "the root servers of %s", path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loop *loop = loop_new();
		struct dns_resolver *r = NULL;
		struct err err = {""};
		struct conf *c;

		(void)snprintf(dns, sizeof(dns), "dnssec = no resolvers = \"%s\" root-hints = \"%s\"", rows[i].resolvers, rows[i].hints);
		c = conf_of(dns);
		assert_int_equal(rows[i].good, dns_resolver_new(c, loop_base(loop), NULL, NULL, &r, &err) == RC_OK);
		if (rows[i].good)
			assert_string_equal(rows[i].servers, dns_resolver_servers(r));
		else
			assert_non_null(strstr(err.words, "root-hints: /not/there"));
		dns_resolver_free(&r);
		loop_free(&loop);
		conf_free(&c);
	}
	(void)unlink(path);
}

static void on_answer(void *arg, struct dns_answer *answer)
{
	*(int *)arg = answer->is.status;
}

/* names that are never asked for outside */
static void names_of_this_machine(void **state)
{
	static const struct {
		const char *name;
		enum name_type type;
		enum name_status wanted;
	} rows[] = {{"localhost", NAME_A, NAME_FOUND}, {"localhost", NAME_AAAA, NAME_FOUND}, {"localhost", NAME_MX, NAME_NOTHING}, {"example.invalid", NAME_MX, NAME_UNKNOWN},
		{"x.onion", NAME_A, NAME_UNKNOWN}, {"1.0.0.127.in-addr.arpa", NAME_PTR, NAME_FOUND}, {"somewhere.test", NAME_A, NAME_UNKNOWN}};
	struct loop *loop = loop_new();
	struct conf *c = conf_of("resolvers = root");
	struct dns_resolver *r = NULL;
	struct err err = {""};

	(void)state;
	assert_int_equal(RC_OK, dns_resolver_new(c, loop_base(loop), NULL, NULL, &r, &err));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = 0;

		dns_resolver_ask(r, rows[i].type, rows[i].name, on_answer, &status);
		assert_int_equal(rows[i].wanted, status);
	}
	dns_resolver_free(&r);
	loop_free(&loop);
	conf_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolv_conf), cmocka_unit_test(as_configured), cmocka_unit_test(an_anchor_that_is_no_good), cmocka_unit_test(a_root_of_ones_own), cmocka_unit_test(names_of_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
