#include "test_base.h"

#include "base/net.h"

static const struct {
	const char *text, *written; /* written NULL: refused */
	enum rc rc;
} prefixes[] = {
	{"192.0.2.7", "192.0.2.7", RC_OK}, {"192.0.2.0/24", "192.0.2.0/24", RC_OK}, {"0.0.0.0/0", "0.0.0.0/0", RC_OK}, {"192.0.2.7/32", "192.0.2.7", RC_OK},
	{"2001:db8::/32", "2001:db8::/32", RC_OK}, {"2001:DB8:0::1", "2001:db8::1", RC_OK}, {"::/0", "::/0", RC_OK}, {"::1/128", "::1", RC_OK},
	{"::ffff:192.0.2.0/120", "192.0.2.0/24", RC_OK}, {"::ffff:0:0/96", "0.0.0.0/0", RC_OK}, {"192.0.2.1/24", NULL, RC_LIMIT}, {"2001:db8::1/32", NULL, RC_LIMIT},
	{"192.0.2.0/33", NULL, RC_BAD}, {"2001:db8::/129", NULL, RC_BAD}, {"192.0.2.0/", NULL, RC_BAD}, {"192.0.2.0/-1", NULL, RC_BAD}, {"192.0.2.0/24/24", NULL, RC_BAD},
	{"192.0.2", NULL, RC_BAD}, {"", NULL, RC_BAD}, {"/8", NULL, RC_BAD}, {"fe80::1%eth0", NULL, RC_BAD}, {"[::1]", NULL, RC_BAD}, {"192.0.2.7 ", NULL, RC_BAD},
	{"192.0.2.07", NULL, RC_BAD},
};

static void test_prefixes(void **state)
{
	struct net_prefix p;
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		enum rc rc = net_prefix_parse(span_str(prefixes[i].text), &p);

		if (rc != prefixes[i].rc)
			fail_msg("%s: %s", prefixes[i].text, rc_name(rc));
		if (rc != RC_OK)
			continue;
		buf_reset(&out);
		net_prefix_write(&out, &p);
		assert_string_equal(buf_cstr(&out), prefixes[i].written);
	}
	assert_int_equal(net_prefix_parse(span_of("192.0.2.7\0x", 11), &p), RC_BAD);
	buf_clear(&out);
}

static bool has(const char *prefix, const char *address)
{
	struct net_prefix p;
	struct net_address a;

	assert_int_equal(net_prefix_parse(span_str(prefix), &p), RC_OK);
	assert_int_equal(net_parse(span_str(address), &a), RC_OK);
	return net_prefix_has(&p, &a);
}

static void test_membership(void **state)
{
	(void)state;
	assert_true(has("192.0.2.0/24", "192.0.2.255"));
	assert_false(has("192.0.2.0/24", "192.0.3.0"));
	assert_true(has("192.0.2.0/24", "::ffff:192.0.2.9")); /* the same client through another socket */
	assert_true(has("192.0.2.128/25", "192.0.2.128"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
	assert_false(has("2001:db8::/48", "2001:db8:1::1"));
	assert_true(has("2001:db8::/47", "2001:db8:1::1"));
	assert_true(has("0.0.0.0/0", "198.51.100.1"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("::/0", "198.51.100.1"));
}

static void test_kinds(void **state)
{
	static const struct { const char *address; bool private, loopback; } kinds[] = {{"10.1.2.3", true, false}, {"172.16.0.1", true, false}, {"172.32.0.1", false, false},
		{"192.168.1.1", true, false}, {"100.64.0.1", true, false}, {"100.128.0.1", false, false}, {"169.254.1.1", true, false}, {"127.0.0.77", true, true}, {"::1", true, true},
		{"fd00::1", true, false}, {"fe80::1", true, false}, {"2001:db8::1", false, false}, {"8.8.8.8", false, false}, {"::ffff:10.0.0.1", true, false}};
	struct net_address a;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		assert_int_equal(net_parse(span_str(kinds[i].address), &a), RC_OK);
		if (net_is_private(&a) != kinds[i].private || net_is_loopback(&a) != kinds[i].loopback)
			fail_msg("%s", kinds[i].address);
	}
}

int test_net(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_prefixes), cmocka_unit_test(test_membership), cmocka_unit_test(test_kinds)};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
