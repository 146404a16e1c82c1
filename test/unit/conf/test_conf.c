#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf_setting.h"
#include "test_conf.h"

static struct conf *parse(const char *text)
{
	struct conf *c = NULL;
	struct err err = {{0}};

	if (conf_parse(span_str(text), "t.conf", "/home/mr", &c, &err) != RC_OK)
		fail_msg("refused: %s\nin: %s", err.words, text);
	return c;
}

static void test_defaults(void **state)
{
	static const struct { const char *name; enum conf_kind kind; uint16_t port; enum conf_tls tls; bool required; } want[] = {
		{"mx", CONF_MX, 2525, CONF_TLS_STARTTLS, false}, {"submission", CONF_SUBMISSION, 2587, CONF_TLS_STARTTLS, true},
		{"submissions", CONF_SUBMISSION, 2465, CONF_TLS_IMPLICIT, false}, {"pop3", CONF_POP3, 2110, CONF_TLS_STARTTLS, false},
		{"pop3s", CONF_POP3, 2995, CONF_TLS_IMPLICIT, false},
	};
	struct conf *c = parse("");

	(void)state;
	assert_int_equal(c->listener_count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(c->listeners[i].name, want[i].name);
		assert_int_equal(c->listeners[i].kind, want[i].kind);
		assert_int_equal(c->listeners[i].port, want[i].port);
		assert_int_equal(c->listeners[i].tls, want[i].tls);
		assert_int_equal(c->listeners[i].tls_required, want[i].required);
		assert_string_equal(c->listeners[i].address, "127.0.0.1");
		assert_string_equal(c->listeners[i].certificate, "default");
		assert_false(c->listeners[i].auth_without_tls);
		assert_true(c->listeners[i].connections_max > 0);
	}
	assert_int_equal(c->certificate_count, 1);
	assert_string_equal(c->certificates[0].chain, "/home/mr/tls/default.crt");
	assert_string_equal(c->certificates[0].key, "/home/mr/keys/default.key");
	assert_true(c->hostname[0] != '\0');
	assert_true(c->workers_mx >= 1 && c->workers_user >= 1);
	assert_int_equal(c->smtp_command_ms, 300000);
	assert_int_equal(c->pop3_command_ms, 600000);
	assert_int_equal(c->message_max_bytes, 50 << 20);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_string_equal(c->log_file, "");
	assert_string_equal(c->default_domain, "");
	assert_string_equal(c->mechanisms, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
	conf_free(&c);
	assert_null(c);
}

static void test_values(void **state)
{
	struct conf *c = parse("hostname = Mail.Example.ORG\n"
		"default-domain = 'example.org'\n"
		"/* a comment\n over lines */ uid-base = 70000 # more\n"
		"limits { message-size = 25MB recipients = 200 data-rate = 0 default-quota = \"1 GB\" }\n"
		"limits { hops = 50 }\n"
		"timeouts { smtp-command = 30min smtp-data = \"90 s\" smtp-auth = 1500ms }\n"
		"auth { mechanisms = \"plain  LOGIN\" }\n"
		"log { file = mail.log level = debug }\n"
		"workers { mx = 3 }\n"
		"certificate a { chain = /etc/ssl/a.pem key = ssl/a.key }\n"
		"certificate b { chain = b.pem key = b.key }\n"
		"listener one { kind = mx }\n"
		"listener two { kind = submission address = ::1 tls = implicit certificate = b connections = 9 connections-per-address = 2 }\n"
		"listener three { kind = pop3 tls = none auth-without-tls = yes }\n"
		"listener four { kind = submission port = 26 auth-without-tls = on }\n"
		"listener five { kind = submission port = 50 tls-required = off }\n"
		"listener six { kind = pop3 tls = implicit address = 0:0:0:0:0:0:0:1 }\n");

	(void)state;
	assert_string_equal(c->hostname, "mail.example.org");
	assert_string_equal(c->default_domain, "example.org");
	assert_int_equal(c->uid_base, 70000);
	assert_int_equal(c->message_max_bytes, 25 << 20);
	assert_int_equal(c->rcpt_max, 200);
	assert_int_equal(c->data_rate_floor, 0);
	assert_int_equal(c->default_quota_bytes, 1 << 30);
	assert_int_equal(c->hops_max, 50);
	assert_int_equal(c->smtp_command_ms, 1800000);
	assert_int_equal(c->smtp_data_ms, 90000);
	assert_int_equal(c->smtp_auth_ms, 1500);
	assert_string_equal(c->mechanisms, "PLAIN LOGIN");
	assert_string_equal(c->log_file, "/home/mr/mail.log");
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->workers_mx, 3);
	assert_string_equal(c->certificates[0].chain, "/etc/ssl/a.pem");
	assert_string_equal(c->certificates[0].key, "/home/mr/ssl/a.key");
	assert_int_equal(c->listener_count, 6);
	assert_int_equal(c->listeners[0].port, 25);
	assert_int_equal(c->listeners[0].line, 13);
	assert_string_equal(c->listeners[0].certificate, "a");
	assert_int_equal(c->listeners[1].port, 465);
	assert_int_equal(c->listeners[1].certificate_index, 1);
	assert_int_equal(c->listeners[1].connections_max, 9);
	assert_int_equal(c->listeners[2].port, 110);
	assert_true(c->listeners[2].auth_without_tls);
	assert_false(c->listeners[3].tls_required);
	assert_true(c->listeners[3].auth_without_tls);
	assert_false(c->listeners[4].tls_required);
	assert_string_equal(c->listeners[5].address, "::1");
	assert_int_equal(c->listeners[5].port, 995);
	conf_free(&c);
}

/* each is refused with the line, the setting and what would be right */
static void test_bad(void **state)
{
	static const struct { const char *text, *words; } bad[] = {
		{"\nhostnam = x\n", "t.conf:2: \"hostnam\" is not a setting; did you mean hostname?"},
		{"zzzzzz = 1", "t.conf:1: \"zzzzzz\" is not a setting; see mailroom.conf(5) for all there are"},
		{"message-size = 1MB", "t.conf:1: \"message-size\" is not a setting here; it belongs into section limits { }"},
		{"limits {\nhostname = a\n}", "t.conf:2: limits: \"hostname\" is not a setting of this section; it stands outside of all sections"},
		{"listner a { }", "t.conf:1: \"listner\" is not a setting; did you mean listener?"},
		{"/*\n\n*/\n# x\n//y\nlistener submission {\n\tkind = submission\n\tport = 99999\n}\n",
			"t.conf:8: listener \"submission\": port: \"99999\" is not a port; 1 to 65535 would be right"},
		{"listener a { kind = mx port = 0 }", "listener \"a\": port: \"0\" is not a port; 1 to 65535"},
		{"listener a { kind = mx port = smtp }", "port: \"smtp\" is not a port"},
		{"listener a { kind = imap }", "kind: \"imap\" is not one of the choices; mx, submission or pop3 would be right"},
		{"listener a {\n port = 25\n}", "t.conf:1: listener \"a\": kind: not given; mx, submission or pop3 would be right"},
		{"listener a { kind = mx address = localhost }", "address: \"localhost\" is not an IP address; one such as 127.0.0.1, 0.0.0.0 or ::1 would be right"},
		{"listener a { kind = mx address = 1.2.3 }", "\"1.2.3\" is not an IP address"},
		{"listener a { kind = mx address = 1.2.3.4.5 }", "is not an IP address"},
		{"listener a { kind = mx tls = yes }", "tls: \"yes\" is not one of the choices; none, starttls or implicit would be right"},
		{"listener a { kind = mx }\nlistener a { kind = pop3 }", "t.conf:2: there is one named \"a\" already"},
		{"listener a { kind = mx }\n\nlistener b {\nkind = mx\nport = 25 }", "t.conf:5: listener \"b\": port: 25 on 127.0.0.1 is taken by listener \"a\" (127.0.0.1)"},
		{"listener a { kind = mx }\nlistener b { kind = mx address = 0.0.0.0 }", "t.conf:2: listener \"b\": port: 25 on 0.0.0.0 is taken by listener \"a\""},
		{"listener a { kind = mx address = ::1 }\nlistener b { kind = mx address = 0::1 }", "t.conf:2: listener \"b\": port: 25 on ::1 is taken"},
		{"listener a { kind = mx auth-without-tls = yes }", "t.conf:1: listener \"a\": auth-without-tls: nobody signs in on an mx listener"},
		{"listener a { kind = pop3 tls-required = yes }", "listener \"a\": tls-required: is for mx and submission"},
		{"listener a { kind = submission tls = none }", "listener \"a\": tls: with none nobody could sign in"},
		{"listener a { kind = mx tls = none tls-required = yes }", "tls-required: cannot be with tls = none"},
		{"listener a { kind = submission tls = implicit auth-without-tls = yes }", "auth-without-tls: has no meaning with tls = implicit"},
		{"listener a { kind = submission tls-required = yes auth-without-tls = yes }", "auth-without-tls: people could sign in, but not send"},
		{"listener a { kind = mx tls = none certificate = default }", "certificate: has no use with tls = none"},
		{"certificate web { }\nlistener a {\n kind = mx\n certificate = wbe }", "t.conf:4: listener \"a\": certificate: there is no certificate \"wbe\"; \"web\" would be right"},
		{"certificate web {\n chain = \"\" }", "t.conf:1: certificate \"web\": chain: empty"},
		{"listener a { kind = mx connections = 5 }", "connections: one address cannot have more connections than the listener"},
		{"listener \"a b\" { kind = mx }", "listener: its name has to be up to 32 letters"},
		{"listener 123456789012345678901234567890123 { kind = mx }", "listener: its name has to be"},
		{"listener { kind = mx }", "listener: a name would be right here"},
		{"limits = 5", "limits: { would be right here"},
		{"hostname mail", "hostname: = and a value would be right here"},
		{"hostname += a", "hostname: += is not for this setting"},
		{"hostname = a\nhostname = b", "t.conf:2: hostname: set before, on line 1 of t.conf; once would be right"},
		{"limits { hops = 50 }\nlimits { hops = 50 }", "t.conf:2: limits: hops: set before, on line 1"},
		{"hostname = -a", "hostname: \"-a\" is not a host name; one such as mail.example.org would be right"},
		{"hostname = a..b", "is not a host name"},
		{"hostname = a.b.", "is not a host name"},
		{"hostname = \"a b\"", "is not a host name"},
		{"default-domain = a_b", "default-domain: \"a_b\" is not a domain"},
		{"sandbox-kill = maybe", "sandbox-kill: \"maybe\" is neither yes nor no; yes or no would be right"},
		{"limits { message-size = 25XB }", "limits: message-size: \"25XB\" is not a size; a number with KB, MB or GB behind it, such as 25MB, would be right"},
		{"limits { message-size = 1KB }", "message-size: \"1KB\" is too little; 64KB to 4GB would be right"},
		{"limits { message-size = 5GB }", "message-size: \"5GB\" is too much; 64KB to 4GB would be right"},
		{"limits { message-size = 99999999999999999999GB }", "is too much"},
		{"limits { recipients = 99 }", "recipients: \"99\" is too little; 100 to 20000 would be right"},
		{"limits { recipients = many }", "recipients: \"many\" is not a whole number; 100 to 20000 would be right"},
		{"limits { recipients = -1 }", "recipients: \"-1\" is not a whole number"},
		{"limits { recipients = 0x100 }", "is not a whole number"},
		{"timeouts { smtp-data = 5 }", "smtp-data: \"5\" is not a duration; a number with ms, s, min, h or d behind it, such as 5min, would be right"},
		{"timeouts { smtp-data = 2d }", "smtp-data: \"2d\" is too much; 1s to 1h would be right"},
		{"timeouts { pop3-command = 9min }", "pop3-command: \"9min\" is too little; 10min to 1d would be right"},
		{"auth { mechanisms = \"PLAIN CRAM-MD5\" }", "mechanisms: \"CRAM-MD5\" is not one of the choices"},
		{"auth { mechanisms = \"PLAIN plain\" }", "mechanisms: \"plain\" is there twice"},
		{"auth { mechanisms = \" \" }", "mechanisms: \" \" names no mechanism"},
		{"log { level = loud }", "level: \"loud\" is not one of the choices; debug, info, warn or error would be right"},
		{"log { file = \"a\\nb\" }", "log: file: \"a\\x0ab\" has a control character"},
		{"\n\nlog {\n level = info\n", "t.conf:3: the section that begins here has no closing }"},
		{"log {\n level = info\nlimits { }", "t.conf:3: a { inside of a section; the } of the one that begins on line 1"},
		{"log { } }", "this } closes nothing"},
		{"hostname =\n", "the file ends in the middle of a setting"},
		{"hostname = a\n/* never closed\nuid-base = 5\n", "t.conf:2: the comment that begins here has no end"},
		{"\nhostname = \"a\nuid-base = 5\n", "t.conf:2: the text that begins here has no closing \""},
		{"hostname = 'a\n", "has no closing '"},
		{"hostname = ${HOME}", "t.conf:1: ${...} is not filled in here"},
		{"hostname = \"x${HOME}\"", "${...} is not filled in here"},
		{"a\x01 = b", "t.conf:1: byte 0x01 is not text"},
		{"hostname = a\xff", "this is not UTF-8 text"},
		{"\"\" = 5", "a name of a setting would be right here"},
		{"limits|hops = 50", "a setting stands inside the braces of its section"},
		{"= 5", "\"=\" is not expected here"},
		{"hostname = = 5", "\"=\" is not expected here"},
		{"dns { resolvers = \"192.0.2.53 root\" }", "dns: resolvers: \"root\" has other resolvers beside it"},
		{"dns { resolvers = localhost }", "resolvers: \"localhost\" is not the address of a resolver; 192.0.2.53, 192.0.2.53@5353 or root would be right"},
		{"dns { resolvers = \"192.0.2.53@\" }", "is not the address of a resolver"},
		{"dns { resolvers = \"192.0.2.53@65536\" }", "is not the address of a resolver"},
		{"dns { stub-zones = \"a.test\" }", "stub-zones: \"a.test\" is not a zone and its server"},
		{"dns { stub-zones = \"a.test@192.0.2.53@0\" }", "is not a zone and its server"},
		{"dns { stub-zones = \"a..test@192.0.2.53\" }", "is not a zone and its server"},
		{"dns { timeout = 26s }", "dns: timeout: \"26s\" is too much; 1s to 25s would be right"},
		{"include(\"more.conf\")", "\"include\" works only at the top of a configuration file"},
		{"log { include(\"more.conf\") }", "log: \"include\" works only at the top of a configuration file"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct conf *c = NULL;
		struct err err = {{0}};
		enum rc rc = conf_parse(span_str(bad[i].text), "t.conf", "/home/mr", &c, &err);

		if (rc != RC_BAD || c || !strstr(err.words, bad[i].words))
			fail_msg("%s\ngave %s: %s\nwanted: %s", bad[i].text, rc_name(rc), err.words, bad[i].words);
		if (strncmp(err.words, "t.conf:", 7) != 0)
			fail_msg("no place in: %s", err.words);
	}
}

/* ---- what is written reads back to the same */

static void same_section(enum conf_section_id id, const void *a, const void *b)
{
	for (size_t i = 0; i < conf_setting_count; i++) {
		const struct conf_setting *s = &conf_settings[i];

		if (s->section != id)
			continue;
		if (s->type >= CONF_IP && s->type != CONF_PORT)
			assert_string_equal(*(const char *const *)((const char *)a + s->offset), *(const char *const *)((const char *)b + s->offset));
		else
			assert_memory_equal((const char *)a + s->offset, (const char *)b + s->offset, s->width);
	}
}

static void same(const struct conf *a, const struct conf *b)
{
	struct buf x, y;

	buf_init(&x, CONF_FILE_BYTES);
	buf_init(&y, CONF_FILE_BYTES);
	conf_write(a, &x);
	conf_write(b, &y);
	assert_string_equal(buf_cstr(&x), buf_cstr(&y));
	buf_clear(&x);
	buf_clear(&y);
	for (size_t i = 0; i < a->smarthost_count || i < a->route_count; i++) {
		assert_int_equal(a->smarthost_count, b->smarthost_count);
		assert_int_equal(a->route_count, b->route_count);
		if (i < a->smarthost_count)
			same_section(CONF_SECTION_SMARTHOST, &a->smarthosts[i], &b->smarthosts[i]);
		if (i < a->route_count)
			same_section(CONF_SECTION_ROUTE, &a->routes[i], &b->routes[i]);
	}
	for (size_t i = 0; i < conf_setting_count; i++) {
		const struct conf_setting *s = &conf_settings[i];
		bool text = s->type >= CONF_IP && s->type != CONF_PORT && s->type != CONF_NETWORKS && s->type != CONF_RATES;

		if (conf_sections[s->section].titled || s->type == CONF_NETWORKS) /* written alike, which was compared above */
			continue;
		if (text)
			assert_string_equal(*(const char *const *)((const char *)a + s->offset), *(const char *const *)((const char *)b + s->offset));
		else
			assert_memory_equal((const char *)a + s->offset, (const char *)b + s->offset, s->width);
	}
	assert_int_equal(a->listener_count, b->listener_count);
	for (size_t i = 0; i < a->listener_count; i++) {
		const struct conf_listener *l = &a->listeners[i], *m = &b->listeners[i];

		assert_string_equal(l->name, m->name);
		assert_string_equal(l->address, m->address);
		assert_string_equal(l->certificate, m->certificate);
		assert_int_equal(l->kind, m->kind);
		assert_int_equal(l->port, m->port);
		assert_int_equal(l->tls, m->tls);
		assert_int_equal(l->certificate_index, m->certificate_index);
		assert_int_equal(l->auth_without_tls, m->auth_without_tls);
		assert_int_equal(l->tls_required, m->tls_required);
		assert_int_equal(l->connections_max, m->connections_max);
		assert_int_equal(l->connections_per_address_max, m->connections_per_address_max);
	}
	assert_int_equal(a->certificate_count, b->certificate_count);
	for (size_t i = 0; i < a->certificate_count; i++) {
		assert_string_equal(a->certificates[i].name, b->certificates[i].name);
		assert_string_equal(a->certificates[i].chain, b->certificates[i].chain);
		assert_string_equal(a->certificates[i].key, b->certificates[i].key);
	}
}

static void round_trip(const char *text)
{
	struct conf *a = parse(text), *b = NULL;
	struct buf written;
	struct err err;

	buf_init(&written, CONF_FILE_BYTES);
	conf_write(a, &written);
	/* as a role reads it: the home comes with the text */
	if (conf_parse(buf_span(&written), "written", NULL, &b, &err) != RC_OK)
		fail_msg("%s in\n%s", err.words, buf_cstr(&written));
	same(a, b);
	buf_clear(&written);
	conf_free(&a);
	conf_free(&b);
}

static uint64_t seed;
static uint64_t pick(uint64_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % below;
}

/* a value that the setting takes */
static void random_value(const struct conf_setting *s, struct buf *out)
{
	static const char *const paths[] = {"a", "/etc/x y", "tls/\"q\"", "\\back", "$dollar", "\xc3\xa4/\xe2\x82\xac", "a#b", "it's", "/*", "${x}", "{}", "="};
	static const char *const hosts[] = {"a", "mail.example.org", "xn--bcher-kva.example", "9.nine", "A-B.C"};
	static const char *const ips[] = {"127.0.0.1", "0.0.0.0", "::1", "::", "2001:db8::25", "192.0.2.7", "::ffff:192.0.2.1"};
	static const char *const mechanisms[] = {"PLAIN", "LOGIN PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS SCRAM-SHA-256 LOGIN"};
	static const char *const networks[] = {"", "192.0.2.7", "10.0.0.0/8 192.168.0.0/16 ::1", "2001:db8::/48 198.51.100.0/24"};
	static const char *const rates[] = {"", "100/min", "30/10s 100/min 500/h 2000/day", "1/day"};
	uint64_t n = s->most > s->least ? s->least + pick(s->most - s->least + 1) : 0;
	size_t choices = 0;

	switch (s->type) {
	case CONF_DURATION:
		buf_printf(out, "%llums", (unsigned long long)n);
		return;
	case CONF_INT: case CONF_SIZE: case CONF_PORT:
		buf_printf(out, "%llu", (unsigned long long)n);
		return;
	case CONF_BOOL:
		buf_add_str(out, pick(2) ? "yes" : "no");
		return;
	case CONF_CHOICE:
		while (s->choices[choices])
			choices++;
		buf_add_str(out, s->choices[pick(choices)]);
		return;
	case CONF_IP:
		conf_quote(out, span_str(ips[pick(7)]));
		return;
	case CONF_HOST: case CONF_DOMAIN:
		conf_quote(out, span_str(hosts[pick(5)]));
		return;
	case CONF_PATH:
		conf_quote(out, span_str(paths[pick(12)]));
		return;
	case CONF_NAME:
		buf_printf(out, "c%u", (unsigned)pick(3));
		return;
	case CONF_MECHANISMS:
		conf_quote(out, span_str(mechanisms[pick(4)]));
		return;
	case CONF_NETWORKS:
		conf_quote(out, span_str(networks[pick(4)]));
		return;
	case CONF_RATES:
		conf_quote(out, span_str(rates[pick(4)]));
		return;
	case CONF_NAMES:
		conf_quote(out, span_str(pick(2) ? "c0 c1" : ""));
		return;
	case CONF_DOMAINS:
		conf_quote(out, span_str(pick(2) ? "example.org mail.example.net" : ""));
		return;
	case CONF_PATTERNS:
		conf_quote(out, span_str(pick(2) ? "example.org .example.net *" : ".a"));
		return;
	case CONF_SERVERS:
		conf_quote(out, span_str(pick(2) ? "192.0.2.53 2001:db8::53@5353" : pick(2) ? "root" : ""));
		return;
	case CONF_STUBS:
		conf_quote(out, span_str(pick(2) ? "example.org@192.0.2.53 2.0.192.in-addr.arpa@::1@5353" : ""));
		return;
	case CONF_HOP:
		conf_quote(out, span_str(pick(2) ? hosts[pick(5)] : ips[pick(7)]));
		return;
	case CONF_HOPS_LIST:
		conf_quote(out, span_str(pick(2) ? "a b:25 [192.0.2.1] [2001:db8::1]:2525" : ""));
		return;
	case CONF_TEXT:
		conf_quote(out, span_str(pick(2) ? "me@example.org \"x\" \\ $" : ""));
		return;
	}
}

static void random_section(enum conf_section_id id, const char *title, struct buf *out)
{
	if (id != CONF_SECTION_TOP)
		buf_printf(out, "%s %s {\n", conf_sections[id].name, title);
	for (size_t i = 0; i < conf_setting_count; i++) {
		if (conf_settings[i].section != id || (pick(2) && strcmp(conf_settings[i].name, "kind") != 0))
			continue;
		buf_printf(out, "%s = ", conf_settings[i].name);
		random_value(&conf_settings[i], out);
		buf_add_byte(out, '\n');
	}
	if (id != CONF_SECTION_TOP)
		buf_add_str(out, "}\n");
}

static void test_round_trip(void **state)
{
	unsigned accepted = 0;

	(void)state;
	round_trip("");
	for (seed = 1; accepted < 500 && seed; ) {
		struct buf text;
		struct conf *c = NULL;
		struct err err;
		char title[8];
		size_t listeners = pick(4);

		buf_init(&text, CONF_FILE_BYTES);
		for (int id = 0; id < CONF_SECTION_COUNT; id++)
			if (!conf_sections[id].titled && pick(2))
				random_section((enum conf_section_id)id, "", &text);
		for (unsigned i = 0; i < 3; i++) {
			(void)snprintf(title, sizeof(title), "c%u", i);
			random_section(CONF_SECTION_CERTIFICATE, title, &text);
		}
		for (unsigned i = 0; i < listeners; i++) {
			(void)snprintf(title, sizeof(title), "l%u", i);
			random_section(CONF_SECTION_LISTENER, title, &text);
		}
		if (pick(4) == 0)
			random_section(CONF_SECTION_SMARTHOST, "c0", &text);
		if (pick(4) == 0)
			random_section(CONF_SECTION_ROUTE, "c0", &text);
		if (conf_parse(buf_span(&text), "r", "/h", &c, &err) == RC_OK) {
			round_trip(buf_cstr(&text));
			accepted += listeners > 0;
		}
		conf_free(&c);
		buf_clear(&text);
	}
	assert_int_equal(accepted, 500);
}

/* ---- the sample says the defaults, and every setting can be uncommented */

static void test_sample(void **state)
{
	struct buf sample, all;
	struct conf *a = parse(""), *b;
	struct span rest;
	struct err err;
	bool listener = false;

	(void)state;
	buf_init(&sample, CONF_FILE_BYTES);
	buf_init(&all, CONF_FILE_BYTES);
	conf_write_sample(&sample);
	b = parse(buf_cstr(&sample));
	same(a, b);
	conf_free(&b);
	/* now with every "#name = value" outside of the sections that have to be filled in (listener, network ...) switched on */
	rest = buf_span(&sample);
	while (rest.ptr) {
		struct span line = span_cut(&rest, '\n'), bare = span_trim(line);

		listener |= span_starts(bare, SPAN_LIT("#listener")) || span_starts(bare, SPAN_LIT("#network")) || span_starts(bare, SPAN_LIT("#smarthost")) ||
			span_starts(bare, SPAN_LIT("#route"));
		if (bare.len > 1 && bare.ptr[0] == '#' && bare.ptr[1] != ' ' && !listener)
			bare = span_from(bare, 1);
		listener &= !span_starts(bare, SPAN_LIT("#}"));
		buf_add(&all, bare);
		buf_add_byte(&all, '\n');
	}
	if (conf_parse(buf_span(&all), "all", "/home/mr", &b, &err) != RC_OK)
		fail_msg("%s in\n%s", err.words, buf_cstr(&all));
	same(a, b);
	conf_free(&b);
	for (size_t i = 0; i < conf_setting_count; i++)
		if (conf_settings[i].words[0] && !strstr(buf_cstr(&sample), conf_settings[i].name))
			fail_msg("%s is not in the sample", conf_settings[i].name);
	buf_reset(&sample);
	conf_write_sample_for(&sample, "mail.example.org", "example.org");
	b = parse(buf_cstr(&sample));
	assert_string_equal(b->hostname, "mail.example.org");
	assert_string_equal(b->default_domain, "example.org");
	conf_free(&b);
	conf_free(&a);
	buf_clear(&sample);
	buf_clear(&all);
}

/* every default in the table is a value its own setting takes, and has words */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < conf_setting_count; i++) {
		const struct conf_setting *s = &conf_settings[i];
		struct arena mem;
		struct err err;

		arena_init(&mem, 1 << 16);
		if (s->def[0] && conf_setting_read(s, span_str(s->def), "/h", &mem, NULL, &err) != RC_OK)
			fail_msg("default of %s: %s", s->name, err.words);
		assert_true(strlen(s->words) > 10 || strcmp(s->name, "home") == 0);
		arena_clear(&mem);
	}
}

/* cut anywhere, a file is taken or refused with a place, never misread in silence past its end */
static void test_cut_anywhere(void **state)
{
	struct buf sample;

	(void)state;
	buf_init(&sample, CONF_FILE_BYTES);
	conf_write_sample_for(&sample, "mail.example.org", "example.org");
	for (size_t i = 0; i <= sample.len; i += 7) {
		struct conf *c = NULL;
		struct err err = {{0}};

		if (conf_parse(span_of(sample.ptr, i), "cut", "/h", &c, &err) != RC_OK)
			assert_true(strncmp(err.words, "cut:", 4) == 0);
		conf_free(&c);
	}
	buf_clear(&sample);
}

static void test_man(void **state)
{
	struct buf man;

	(void)state;
	buf_init(&man, CONF_FILE_BYTES);
	conf_write_man(&man);
	for (size_t i = 0; i < conf_setting_count; i++) {
		char item[80];

		if (!conf_settings[i].words[0])
			continue;
		(void)snprintf(item, sizeof(item), ".It Ic %s No", conf_settings[i].name);
		assert_non_null(strstr(buf_cstr(&man), item));
	}
	assert_non_null(strstr(buf_cstr(&man), "Default: 5min."));
	buf_clear(&man);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_sample), cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_man),
		cmocka_unit_test(test_conf_load_files), cmocka_unit_test(test_conf_delivery_bad), cmocka_unit_test(test_conf_delivery_filled),
		cmocka_unit_test(test_conf_delivery_routes), cmocka_unit_test(test_conf_delivery_letters), cmocka_unit_test(test_conf_load_include), cmocka_unit_test(test_conf_load_limits),
		cmocka_unit_test(test_conf_override),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
