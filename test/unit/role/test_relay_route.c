/* Where mail goes: the way, the order of hosts, circles, the next address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "role/relay_cause.h"
#include "role/relay_route.h"

#include "test_relay.h"

static struct conf *parse(const char *text)
{
	struct conf *c = NULL;
	struct err err = {{0}};

	if (conf_parse(span_str(text), "t.conf", "/h", &c, &err) != RC_OK)
		fail_msg("%s", err.words);
	return c;
}

static void test_way(void **state)
{
	static const struct { const char *dest; enum relay_way_kind kind; const char *key; } plain[] = {
		{"example.org", RELAY_WAY_MX, "example.org"}, {"[192.0.2.1]", RELAY_WAY_LITERAL, "[192.0.2.1]"}, {"[IPv6:2001:db8::1]", RELAY_WAY_LITERAL, "[IPv6:2001:db8::1]"},
		{"[what]", RELAY_WAY_MX, "[what]"}, {">gone", RELAY_WAY_NONE, ">gone"},
	}, routed[] = {
		{"example.org", RELAY_WAY_ROUTE, "r"}, {"x.example.net", RELAY_WAY_SMARTHOST, "b"}, {"other.example", RELAY_WAY_SMARTHOST, "a"}, {">b", RELAY_WAY_SMARTHOST, "b"},
		{">c", RELAY_WAY_NONE, ">c"}, {"[192.0.2.1]", RELAY_WAY_SMARTHOST, "a"},
	};
	struct conf *none = parse(""), *some = parse("delivery { smarthost = a }\nsmarthost a { host = x }\nsmarthost b { host = y }\n"
		"route r { domains = \"example.org\" to = \"h\" }\nroute s { domains = \".example.net\" smarthost = b }\n");
	struct relay_way way;

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		relay_route_pick(none, span_str(plain[i].dest), &way);
		assert_int_equal(way.kind, plain[i].kind);
		assert_true(span_eq(way.key, span_str(plain[i].key)));
	}
	for (size_t i = 0; i < sizeof(routed) / sizeof(routed[0]); i++) {
		relay_route_pick(some, span_str(routed[i].dest), &way);
		assert_int_equal(way.kind, routed[i].kind);
		assert_true(span_eq(way.key, span_str(routed[i].key)));
	}
	relay_route_pick(some, SPAN_LIT(">b"), &way);
	assert_int_equal(way.smarthost_index, 1);
	conf_free(&none);
	conf_free(&some);
}

/* ---- hosts */

static uint32_t counter;
static uint32_t falling(void *arg)
{
	(void)arg;
	return UINT32_MAX - counter++;
}

static void test_hosts(void **state)
{
	static const struct relay_mx answer[] = {{{(const uint8_t *)"c.example", 9}, 30}, {{(const uint8_t *)"A.Example", 9}, 10}, {{(const uint8_t *)"192.0.2.1", 9}, 1},
		{{NULL, 0}, 0}, {{(const uint8_t *)"b.example", 9}, 10}, {{(const uint8_t *)"a.example", 9}, 5},
		{{(const uint8_t *)"d.example", 9}, 10}};
	struct relay_host hosts[8];
	size_t n = 0;

	(void)state;
	assert_int_equal(relay_route_hosts(answer, 7, falling, NULL, hosts, 8, &n), CAUSE_NONE);
	/* an address is no name, a root among others is nothing, a name that comes twice counts with its better preference */
	assert_int_equal(n, 4);
	assert_string_equal(hosts[0].name, "a.example");
	assert_string_equal(hosts[1].name, "d.example"); /* among equals chance decides: the later one here */
	assert_string_equal(hosts[2].name, "b.example");
	assert_string_equal(hosts[3].name, "c.example");
	assert_int_equal(relay_route_hosts(answer, 7, falling, NULL, hosts, 1, &n), CAUSE_NONE);
	assert_int_equal(n, 1);
	assert_string_equal(hosts[0].name, "a.example");
	assert_int_equal(relay_route_hosts(answer + 3, 1, falling, NULL, hosts, 8, &n), CAUSE_NULL_MX);
	assert_int_equal(n, 0);
	assert_int_equal(relay_route_hosts(NULL, 0, falling, NULL, hosts, 8, &n), CAUSE_NONE);
	assert_int_equal(n, 0);
}

static void test_a_hundred_hosts(void **state)
{
	struct relay_mx answer[100];
	struct relay_host hosts[LIMIT_RELAY_HOSTS];
	char names[100][16];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "h%u.example", i);
		answer[i] = (struct relay_mx){span_str(names[i]), (uint16_t)(100 - i)};
	}
	assert_int_equal(relay_route_hosts(answer, 100, falling, NULL, hosts, LIMIT_RELAY_HOSTS, &n), CAUSE_NONE);
	assert_int_equal(n, LIMIT_RELAY_HOSTS);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(hosts[i].preference, i + 1); /* the best of them, best first */
}

/* ---- ourselves */

static struct net_address ip(const char *text)
{
	struct net_address a;

	assert_int_equal(net_parse(span_str(text), &a), RC_OK);
	return a;
}

static void test_self(void **state)
{
	struct net_address mine[] = {ip("198.51.100.1"), ip("2001:db8::1")};
	struct relay_listening listening[] = {{.ip = ip("192.0.2.5"), .port = 25}, {.port = 587, .any = true}};
	const struct relay_self self = {.names = {"mail.example.org"}, .name_count = 1, .addresses = mine, .address_count = 2, .listening = listening, .listening_count = 2};
	static const struct { const char *ip; uint16_t port; bool is; } rows[] = {
		{"192.0.2.5", 25, true}, {"192.0.2.5", 26, false}, {"192.0.2.6", 25, false}, {"198.51.100.1", 25, false}, {"198.51.100.1", 587, true}, {"2001:db8::1", 587, true},
		{"127.0.0.1", 587, true}, {"127.0.0.9", 587, true}, {"127.0.0.1", 25, false}, {"198.51.100.2", 587, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_address a = ip(rows[i].ip);

		assert_int_equal(relay_route_is_self(&self, &a, rows[i].port), rows[i].is);
	}
	assert_true(relay_route_is_self_name(&self, SPAN_LIT("MAIL.example.org")));
	assert_false(relay_route_is_self_name(&self, SPAN_LIT("example.org")));
}

static void test_bogus(void **state)
{
	static const struct { const char *ip; bool is; } rows[] = {{"0.0.0.0", true}, {"0.1.2.3", true}, {"224.0.0.1", true}, {"240.0.0.1", true}, {"255.255.255.255", true},
		{"::", true}, {"ff02::1", true}, {"10.0.0.1", false}, {"192.0.2.1", false}, {"127.0.0.1", false}, {"2001:db8::1", false}, {"::1", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_address a = ip(rows[i].ip);

		assert_int_equal(relay_route_is_bogus(&a), rows[i].is);
	}
}

static bool is_port(void *arg, const struct relay_address *a)
{
	return a->port == *(uint16_t *)arg;
}

static void test_circles(void **state)
{
	struct relay_address all[] = {{.preference = 10, .port = 1}, {.preference = 20, .port = 2}, {.preference = 20, .port = 3}, {.preference = 30, .port = 4}}, some[4];
	static const struct { uint16_t self; size_t left; bool found; } rows[] = {{9, 4, false}, {1, 0, true}, {2, 1, true}, {3, 1, true}, {4, 3, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t self = rows[i].self;
		size_t n = 4;

		memcpy(some, all, sizeof(all));
		assert_int_equal(relay_route_cut_self(some, &n, is_port, &self), rows[i].found);
		assert_int_equal(n, rows[i].left);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(some[k].port, k + 1);
	}
}

/* ---- the next address */

static void test_choose(void **state)
{
	struct relay_address a[5] = {{.preference = 20, .ip = ip("192.0.2.1")}, {.preference = 10, .ip = ip("192.0.2.2")}, {.preference = 10, .ip = ip("2001:db8::2")},
		{.preference = 10, .ip = ip("192.0.2.3")}, {.preference = 20, .ip = ip("2001:db8::1")}};
	unsigned seen = 0;
	int at;

	(void)state;
	for (uint32_t chance = 0; chance < 9; chance++) {
		at = relay_route_choose(a, 5, 0, -1, 1000, chance);
		assert_in_range(at, 1, 3);
		seen |= 1U << at;
	}
	assert_int_equal(seen, 14); /* each of the equals gets its share */
	for (uint32_t chance = 0; chance < 9; chance++) { /* an IPv4 address failed: now the IPv6 one */
		assert_int_equal(relay_route_choose(a, 5, 1U << 1, 1, 1000, chance), 2);
		at = relay_route_choose(a, 5, 1U << 2, 2, 1000, chance);
		assert_true(at == 1 || at == 3);
	}
	assert_int_equal(relay_route_choose(a, 5, 14, 1, 1000, 0), 4); /* the worse ones, other family first */
	assert_int_equal(relay_route_choose(a, 5, 14 | 16, 4, 1000, 0), 0);
	assert_int_equal(relay_route_choose(a, 5, 31, 4, 1000, 0), -1);
	a[1].failed_ms = a[2].failed_ms = a[3].failed_ms = 1000; /* the better ones failed of late: they come last */
	at = relay_route_choose(a, 5, 0, -1, 2000, 0);
	assert_true(at == 0 || at == 4);
	at = relay_route_choose(a, 5, 0, -1, 1000 + RELAY_ROUTE_FAILED_MS, 0);
	assert_in_range(at, 1, 3);
	assert_true(relay_route_failed(&a[1], 999 + RELAY_ROUTE_FAILED_MS) && !relay_route_failed(&a[1], 1000 + RELAY_ROUTE_FAILED_MS) && !relay_route_failed(&a[0], 1000));
	assert_int_equal(relay_route_choose(a, 0, 0, -1, 1000, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_way), cmocka_unit_test(test_hosts), cmocka_unit_test(test_a_hundred_hosts), cmocka_unit_test(test_self), cmocka_unit_test(test_bogus),
		cmocka_unit_test(test_circles), cmocka_unit_test(test_choose), cmocka_unit_test(test_relay_cause_said), cmocka_unit_test(test_relay_cause_unsaid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
