/* Sections delivery, smarthost and route: what is refused and why, and which route a domain takes. */
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "conf/conf.h"

static struct conf *parse(const char *text)
{
	struct conf *c = NULL;
	struct err err = {{0}};

	if (conf_parse(span_str(text), "t.conf", "/h", &c, &err) != RC_OK)
		fail_msg("%s", err.words);
	return c;
}

void test_conf_delivery_bad(void **state)
{
	static const struct { const char *text, *words; } bad[] = {
		{"delivery { smarthost = isp }", "delivery: smarthost: there is no smarthost \"isp\"; a section smarthost isp { } would be right"},
		{"smarthost isp { host = a }\ndelivery {\n smarthost = ips }", "t.conf:3: delivery: smarthost: there is no smarthost \"ips\"; \"isp\", or"},
		{"delivery { retry-first = 3h }", "delivery: retry-first: the first wait is longer than the longest"},
		{"delivery { ipv4-source = ::1 }", "delivery: ipv4-source: is no IPv4 address"},
		{"delivery { ipv6-source = 192.0.2.1 }", "delivery: ipv6-source: is no IPv6 address"},
		{"delivery { tls = maybe }", "\"maybe\" is not one of the choices; opportunistic, required, verified or never would be right"},
		{"smarthost a { }", "t.conf:1: smarthost \"a\": host: not given"},
		{"smarthost a { host = \"x y\" }", "host: \"x y\" is not an IP address"},
		{"smarthost a { host = x login = me }", "smarthost \"a\": password-file: not given"},
		{"smarthost a { host = x password-file = p }", "smarthost \"a\": login: not given"},
		{"smarthost a { host = x login = me password-file = p\n tls = none }", "t.conf:2: smarthost \"a\": tls: with none the password could be read"},
		{"smarthost a { host = x auth-without-tls = yes }", "auth-without-tls: has no meaning with TLS"},
		{"route a { to = x }", "route \"a\": domains: not given"},
		{"route a { domains = \"*\" }", "route \"a\": to: neither to nor smarthost is given"},
		{"smarthost s { host = x }\nroute a { domains = \"*\" to = x smarthost = s }", "t.conf:2: route \"a\": to: both to and smarthost are given"},
		{"route a { domains = \"*\" smarthost = s }", "route \"a\": smarthost: there is no smarthost \"s\""},
		{"route a { domains = \"a b_c\" to = x }", "domains: \"b_c\" is not a domain; one such as example.org, .example.org for all below it, or * would be right"},
		{"route a { domains = \"a.*\" to = x }", "is not a domain"},
		{"route a { domains = \".\" to = x }", "is not a domain"}, {"route a { domains = \"\xe2\x98\xba.test\" to = x }", "is not a domain"},
		{"hostname = \"\xe2\x98\xba.test\"", "is not a host name"},
		{"route a { domains = x to = \"h:0\" }", "to: \"h:0\" is not a server; one with a port from 1 to 65535 behind it would be right"},
		{"route a { domains = x to = \"h:\" }", "is not a server"},
		{"route a { domains = x to = \"h:70000\" }", "is not a server"},
		{"route a { domains = x to = \"[h]\" }", "is not a server; mail.example.org"},
		{"route a { domains = x to = \"[192.0.2.1\" }", "is not a server; [192.0.2.1]"},
		{"route a { domains = x to = \"[192.0.2.1]25\" }", "is not a server; [192.0.2.1]"},
		{"route a { domains = x to = \"2001:db8::1\" }", "is not a server"},
		{"route a { domains = \"x y\" to = h }\nroute b { domains = \"z y\" to = h }", "t.conf:2: route \"b\": domains: route \"a\" takes y already"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct conf *c = NULL;
		struct err err = {{0}};
		enum rc rc = conf_parse(span_str(bad[i].text), "t.conf", "/h", &c, &err);

		if (rc != RC_BAD || !strstr(err.words, bad[i].words))
			fail_msg("%s\n%s: %s; wanted %s", bad[i].text, rc_name(rc), err.words, bad[i].words);
	}
}

void test_conf_delivery_filled(void **state)
{
	struct conf *c = parse("hostname = h.example\ndelivery { smarthost = b tls = required port = 2525 }\n"
		"smarthost a { host = x }\nsmarthost b { host = \"2001:db8::1\" tls = implicit login = \"me@example.org\" password-file = \"keys/p\" }\n"
		"smarthost c { host = y tls = none }\nroute r { domains = \"A.example\" to = \"h [192.0.2.1]:26 [2001:DB8::1]\" }\nroute s { domains = z smarthost = c tls = never }\n");

	(void)state;
	assert_string_equal(c->delivery_hostname, "h.example");
	assert_true(c->delivery_has_smarthost);
	assert_int_equal(c->delivery_smarthost_index, 1);
	assert_int_equal(c->smarthosts[0].port, 587);
	assert_int_equal(c->smarthosts[1].port, 465);
	assert_int_equal(c->smarthosts[2].port, 25);
	assert_string_equal(c->smarthosts[1].password_file, "/h/keys/p");
	assert_int_equal(c->routes[0].hop_count, 3);
	assert_int_equal(c->routes[0].hops[0].port, 2525);
	assert_false(c->routes[0].hops[0].is_address);
	assert_int_equal(c->routes[0].hops[1].port, 26);
	assert_true(c->routes[0].hops[2].is_address);
	assert_true(span_eq(c->routes[0].hops[2].host, SPAN_LIT("2001:db8::1")));
	assert_int_equal(c->routes[0].tls, CONF_OUT_TLS_REQUIRED);
	assert_int_equal(c->routes[1].tls, CONF_OUT_TLS_NEVER);
	assert_true(c->routes[1].has_smarthost);
	assert_int_equal(c->routes[1].smarthost_index, 2);
	conf_free(&c);
}

void test_conf_delivery_routes(void **state)
{
	static const struct { const char *domain, *route; } rows[] = {
		{"example.org", "exact"}, {"a.example.org", "below"}, {"b.a.example.org", "below"}, {"b.deep.example.org", "deeper"}, {"deep.example.org", "below"},
		{"xexample.org", "rest"}, {"example.net", "rest"},
	};
	struct conf *c = parse("route rest { domains = \"*\" to = r }\nroute below { domains = \".example.org\" to = b }\nroute deeper { domains = \".deep.example.org\" to = d }\n"
		"route exact { domains = \"other.example example.org\" to = e }\n");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(conf_route_find(c, span_str(rows[i].domain))->name, rows[i].route);
	conf_free(&c);
	c = parse("");
	assert_null(conf_route_find(c, SPAN_LIT("example.org")));
	conf_free(&c);
}

/* a name has one form, whichever stands in the file and whichever is asked for */
void test_conf_delivery_letters(void **state)
{
	static const struct { const char *domain, *route; } rows[] = {
		{"b\xc3\xbc" "cher.test", "books"}, {"B\xc3\x9c" "CHER.test", "books"}, {"xn--bcher-kva.test", "books"}, {"XN--Bcher-KVA.test", "books"},
		{"www.m\xc3\xbcnchen.test", "below"}, {"www.xn--mnchen-3ya.test", "below"}, {"m\xc3\xbcnchen.test", "munich"}, {"xn--mnchen-3ya.test", "munich"},
		{"b\xc3\xb6" "cher.test", NULL},
	};
	struct conf *c = parse("hostname = \"mail.b\xc3\xbc" "cher.test\"\ndefault-domain = \"B\xc3\xbc" "cher.test\"\n"
		"route books { domains = \"b\xc3\xbc" "cher.test\" to = \"mx.b\xc3\xbc" "cher.test:26\" }\nroute below { domains = \".M\xc3\xbcnchen.test\" to = b }\n"
		"route munich { domains = \"xn--mnchen-3ya.test\" to = m }\n");

	(void)state;
	assert_string_equal(c->hostname, "mail.xn--bcher-kva.test");
	assert_string_equal(c->default_domain, "xn--bcher-kva.test");
	assert_true(span_eq(c->routes[0].hops[0].host, SPAN_LIT("mx.xn--bcher-kva.test")));
	assert_int_equal(c->routes[0].hops[0].port, 26);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_route *found = conf_route_find(c, span_str(rows[i].domain));

		assert_int_equal(found != NULL, rows[i].route != NULL);
		if (found)
			assert_string_equal(found->name, rows[i].route);
	}
	conf_free(&c);
}
