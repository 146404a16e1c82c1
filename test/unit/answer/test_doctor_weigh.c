#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "answer/doctor_program.h"
#include "answer/doctor_weigh.h"

enum { MEMORY_BYTES = 1 << 20 };

static int arena_setup(void **state)
{
	static struct arena mem;

	arena_init(&mem, MEMORY_BYTES);
	*state = &mem;
	return 0;
}

static int arena_teardown(void **state)
{
	arena_clear(*state);
	return 0;
}

/* ---- programs */

static struct doctor_host host = {.name = "mail.example.org", .address_count = 1, .trusted = true};

static void port_set(struct doctor_port *p, uint16_t number, enum doctor_protocol protocol, enum doctor_security security)
{
	*p = (struct doctor_port){
		.host = &host, .number = number, .protocol = protocol, .security = security, .fine = true, .stage = DOCTOR_AT_END};
	p->slug = p->evidence = p->banner = p->banner_host = p->auth_clear = p->auth_tls = "";
	p->certificate = "for mail.example.org";
}

static void facts_init(struct doctor_facts *f)
{
	*f = (struct doctor_facts){.address = "alice@example.org",
				   .login = "alice@example.org",
				   .has_network = true,
				   .proxy = "",
				   .resolver = "",
				   .portal = "",
				   .clock_from = ""};
	f->hosts[0] = host;
	f->host_count = 1;
}

static void test_programs(void **state)
{
	static struct doctor_facts f;
	const struct doctor_port *smtp, *imap;
	struct buf line;
	size_t sending = 0;

	(void)state;
	facts_init(&f);
	port_set(&f.ports[0], 587, DOCTOR_SMTP, DOCTOR_STARTTLS);
	port_set(&f.ports[1], 465, DOCTOR_SMTP, DOCTOR_TLS);
	port_set(&f.ports[2], 143, DOCTOR_IMAP, DOCTOR_STARTTLS);
	f.port_count = 3;
	smtp = doctor_best(&f, DOCTOR_SMTP);
	imap = doctor_best(&f, DOCTOR_IMAP);
	assert_int_equal(smtp->number, 465); /* RFC 8314 3 */
	assert_int_equal(imap->number, 143);
	assert_null(doctor_best(&f, DOCTOR_POP3));
	buf_init(&line, DOCTOR_PROGRAM_LINE_BYTES);
	for (size_t i = 0; i < doctor_program_count(); i++) {
		const char *text;

		buf_reset(&line);
		if (!doctor_program_line(&line, i, &f, smtp))
			continue;
		sending++;
		text = buf_cstr(&line);
		assert_null(strchr(text, '{'));
		if (strcmp(doctor_program_slug(i), "mutt") == 0)
			assert_non_null(strstr(text, "smtps://alice%40example.org@mail.example.org:465/"));
		if (strcmp(doctor_program_slug(i), "msmtp") == 0)
			assert_non_null(
				strstr(text, "host mail.example.org, port 465, tls on, tls_starttls off, auth on, user alice@example.org"));
		if (strcmp(doctor_program_slug(i), "thunderbird") == 0)
			assert_non_null(strstr(text, "Server Name mail.example.org, Port 465, Connection security SSL/TLS"));
		for (size_t step = 0; step < doctor_program_step_count(i); step++) {
			buf_reset(&line);
			if (doctor_program_step(&line, i, step, &f, smtp, imap, NULL))
				assert_null(strchr(buf_cstr(&line), '{'));
		}
	}
	assert_true(sending >= 12);
	buf_clear(&line);
}

/* what did not work is named only where it went as far as signing in over a good certificate */
static void test_best(void **state)
{
	static struct doctor_facts f;

	(void)state;
	facts_init(&f);
	port_set(&f.ports[0], 587, DOCTOR_SMTP, DOCTOR_STARTTLS);
	f.port_count = 1;
	f.ports[0].fine = false;
	f.ports[0].stage = DOCTOR_AT_SIGN_IN;
	assert_non_null(doctor_best(&f, DOCTOR_SMTP));
	f.ports[0].stage = DOCTOR_AT_TLS;
	assert_null(doctor_best(&f, DOCTOR_SMTP));
	f.ports[0].stage = DOCTOR_AT_SIGN_IN;
	f.ports[0].security = DOCTOR_NONE;
	assert_null(doctor_best(&f, DOCTOR_SMTP));
}

static void test_program_without_encryption(void **state)
{
	static struct doctor_facts f;
	struct buf line;

	(void)state;
	facts_init(&f);
	port_set(&f.ports[0], 25, DOCTOR_SMTP, DOCTOR_NONE);
	f.port_count = 1;
	for (size_t i = 0; i < doctor_program_count(); i++) {
		bool can;

		buf_init(&line, DOCTOR_PROGRAM_LINE_BYTES);
		can = doctor_program_line(&line, i, &f, &f.ports[0]);
		if (strcmp(doctor_program_slug(i), "gmail-web") == 0 || strcmp(doctor_program_slug(i), "mutt") == 0)
			assert_false(can); /* these never go without */
		if (strcmp(doctor_program_slug(i), "thunderbird") == 0)
			assert_non_null(strstr(buf_cstr(&line), "Connection security None"));
		buf_clear(&line);
	}
}

/* ---- the judgement */

static void port_fail(struct doctor_port *p, uint16_t number, enum doctor_net net, enum doctor_stage stage, const char *slug)
{
	port_set(p, number, net == DOCTOR_OPEN ? DOCTOR_SMTP : DOCTOR_UNKNOWN, DOCTOR_NONE);
	p->fine = false;
	p->net = net;
	p->stage = stage;
	p->slug = slug;
	p->evidence = "words";
	p->greeting = net == DOCTOR_OPEN ? DOCTOR_GREETING_SMTP : DOCTOR_GREETING_NONE;
}

static struct doctor_facts facts;

static const char *verdict(struct arena *mem)
{
	struct doctor_verdict v;

	doctor_weigh(&facts, mem, &v);
	if (!v.slug)
		return "fine";
	assert_non_null(doctor_next_step(v.slug)); /* in the catalogue, with something to do */
	assert_true(v.evidence[0] != '\0');
	return v.slug;
}

static void test_weigh_names(void **state)
{
	static const struct {
		enum doctor_lookup lookup;
		bool network;
		const char *slug;
	} cases[] = {{DOCTOR_NO_NAME, true, "server-name-unknown"},	  {DOCTOR_NO_NAME, false, "server-name-unknown"},
		     {DOCTOR_NO_ADDRESS, true, "server-name-no-address"}, {DOCTOR_DNS_FAILED, true, "dns-failure"},
		     {DOCTOR_DNS_SILENT, true, "dns-resolver-down"},	  {DOCTOR_DNS_SILENT, false, "network-down"},
		     {DOCTOR_NO_RESOLVER, true, "dns-resolver-down"},	  {DOCTOR_NO_RESOLVER, false, "network-down"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		facts_init(&facts);
		facts.hosts[0].address_count = 0;
		facts.hosts[0].lookup = cases[i].lookup;
		facts.has_network = cases[i].network;
		assert_string_equal(verdict(*state), cases[i].slug);
	}
	facts.host_count = 0;
	assert_string_equal(verdict(*state), "server-name-unknown");
}

static void test_weigh_network(void **state)
{
	static const struct {
		enum doctor_net net[3]; /* of 465, 587, 25 */
		bool network;
		enum doctor_source source;
		const char *slug;
	} cases[] = {
		{{DOCTOR_REFUSED, DOCTOR_REFUSED, DOCTOR_REFUSED}, true, DOCTOR_GIVEN, "port-blocked-or-wrong-host"},
		{{DOCTOR_REFUSED, DOCTOR_REFUSED, DOCTOR_REFUSED}, true, DOCTOR_SRV, "server-down"},
		{{DOCTOR_REFUSED, DOCTOR_REFUSED, DOCTOR_TIMED_OUT}, true, DOCTOR_GIVEN, "port25-outbound-blocked"},
		{{DOCTOR_TIMED_OUT, DOCTOR_TIMED_OUT, DOCTOR_TIMED_OUT}, true, DOCTOR_GIVEN, "firewall-drop"},
		{{DOCTOR_TIMED_OUT, DOCTOR_TIMED_OUT, DOCTOR_REFUSED}, true, DOCTOR_GIVEN, "firewall-drop"},
		{{DOCTOR_TIMED_OUT, DOCTOR_REFUSED, DOCTOR_REFUSED}, true, DOCTOR_GIVEN, "port-blocked-or-wrong-host"},
		{{DOCTOR_UNREACHABLE, DOCTOR_UNREACHABLE, DOCTOR_UNREACHABLE}, true, DOCTOR_GIVEN, "remote-unreachable"},
		{{DOCTOR_UNREACHABLE, DOCTOR_UNREACHABLE, DOCTOR_UNREACHABLE}, false, DOCTOR_GIVEN, "network-down"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const uint16_t numbers[] = {465, 587, 25};

		facts_init(&facts);
		host.source = cases[i].source;
		facts.has_network = cases[i].network;
		for (size_t k = 0; k < 3; k++)
			port_fail(&facts.ports[k], numbers[k], cases[i].net[k], DOCTOR_AT_CONNECT, "port-blocked-or-wrong-host");
		facts.port_count = 3;
		assert_string_equal(verdict(*state), cases[i].slug);
	}
	host.source = DOCTOR_GIVEN;
}

static void test_weigh_farthest(void **state)
{
	facts_init(&facts);
	port_fail(&facts.ports[0], 465, DOCTOR_TIMED_OUT, DOCTOR_AT_CONNECT, "port-blocked-or-wrong-host");
	port_fail(&facts.ports[1], 587, DOCTOR_OPEN, DOCTOR_AT_SIGN_IN, "auth-bad-credentials");
	port_fail(&facts.ports[2], 25, DOCTOR_OPEN, DOCTOR_AT_RECIPIENT, "relay-denied-unauth"); /* 25 is not for mail programs */
	port_fail(&facts.ports[3], 993, DOCTOR_OPEN, DOCTOR_AT_MESSAGE, "mailbox-locked");
	facts.ports[3].protocol = DOCTOR_IMAP;
	facts.port_count = 4;
	assert_string_equal(verdict(*state), "auth-bad-credentials");
	facts.ports[1].fine = true;
	assert_string_equal(verdict(*state), "fine");
	facts.ports[1].second = true; /* only looked at to find out */
	assert_string_not_equal(verdict(*state), "fine");
}

static void test_weigh_second(void **state)
{
	static struct doctor_host other = {.name = "mx.other.example", .address_count = 1, .source = DOCTOR_SRV};

	facts_init(&facts);
	facts.ports_given = true;
	port_fail(&facts.ports[0], 588, DOCTOR_REFUSED, DOCTOR_AT_CONNECT, "port-blocked-or-wrong-host");
	port_set(&facts.ports[1], 587, DOCTOR_SMTP, DOCTOR_STARTTLS);
	facts.ports[1].second = true;
	facts.port_count = 2;
	assert_string_equal(verdict(*state), "wrong-port");
	facts.ports[1].host = &other;
	assert_string_equal(verdict(*state), "wrong-host");
	facts.ports[1].protocol = DOCTOR_UNKNOWN;
	assert_string_equal(verdict(*state), "port-blocked-or-wrong-host");
}

static void test_weigh_others_answer(void **state)
{
	facts_init(&facts);
	for (size_t i = 0; i < 3; i++) {
		port_fail(&facts.ports[i], (uint16_t)(110 + i), DOCTOR_OPEN, DOCTOR_AT_GREETING, "foreign-protocol");
		facts.ports[i].protocol = DOCTOR_UNKNOWN;
		facts.ports[i].greeting = DOCTOR_GREETING_HTTP;
	}
	facts.ports[0].number = 465;
	facts.ports[1].number = 587;
	facts.port_count = 3;
	assert_string_equal(verdict(*state), "captive-portal");
	facts.port_count = 1; /* one web server on one port is a wrong port */
	assert_string_equal(verdict(*state), "foreign-protocol");
	facts.portal = "a page";
	facts.ports[0].net = DOCTOR_REFUSED;
	assert_string_equal(verdict(*state), "captive-portal");
	facts.ports[0].net = DOCTOR_OPEN;
	assert_string_equal(verdict(*state), "captive-portal");

	facts_init(&facts);
	port_fail(&facts.ports[0], 587, DOCTOR_OPEN, DOCTOR_AT_OFFER, "auth-not-advertised");
	facts.ports[0].masked = true;
	facts.port_count = 1;
	assert_string_equal(verdict(*state), "middlebox-in-between");
	facts.ports[0].starttls_offered = true;
	assert_string_equal(verdict(*state), "auth-not-advertised");
	facts.ports[0].greeting = DOCTOR_GREETING_MASKED;
	assert_string_equal(verdict(*state), "middlebox-in-between");

	facts_init(&facts);
	port_fail(&facts.ports[0], 587, DOCTOR_OPEN, DOCTOR_AT_OFFER, "auth-not-advertised");
	port_fail(&facts.ports[1], 110, DOCTOR_OPEN, DOCTOR_AT_OFFER, "auth-not-advertised");
	port_fail(&facts.ports[2], 143, DOCTOR_OPEN, DOCTOR_AT_OFFER, "auth-not-advertised");
	facts.port_count = 3;
	assert_string_equal(verdict(*state), "middlebox-in-between"); /* the same greeting everywhere */
	facts.ports[0].banner = "220 another";
	assert_string_equal(verdict(*state), "auth-not-advertised");
}

static void test_weigh_clock(void **state)
{
	static const struct {
		bool early, late, known;
		int days; /* that this computer is ahead */
		const char *slug;
	} cases[] = {
		{true, false, false, 0, "clock-wrong"},		 {true, false, true, -400, "clock-wrong"},
		{true, false, true, 0, "tls-cert-untrusted"},	 {false, true, false, 0, "tls-cert-untrusted"},
		{false, true, true, 400, "clock-wrong"},	 {false, true, true, 0, "tls-cert-untrusted"},
		{false, false, true, 400, "tls-cert-untrusted"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		facts_init(&facts);
		port_fail(&facts.ports[0], 587, DOCTOR_OPEN, DOCTOR_AT_TLS, "tls-cert-untrusted");
		facts.ports[0].cert_early = cases[i].early;
		facts.ports[0].cert_late = cases[i].late;
		facts.port_count = 1;
		facts.clock_known = cases[i].known;
		facts.clock_ahead_ms = (int64_t)cases[i].days * 86400000;
		assert_string_equal(verdict(*state), cases[i].slug);
	}
}

static void test_next_steps(void **state)
{
	(void)state;
	assert_null(doctor_next_step("no-such-slug"));
	assert_non_null(strstr(doctor_next_step("tls-mode-mismatch"), "STARTTLS"));
	assert_non_null(strstr(doctor_next_step("dns-failure"), "spelling")); /* not: nothing to do */
	assert_non_null(strstr(doctor_next_step("tls-cert-untrusted"), "date and time"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_best),
		cmocka_unit_test(test_program_without_encryption),
		cmocka_unit_test_setup_teardown(test_weigh_names, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_weigh_network, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_weigh_farthest, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_weigh_second, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_weigh_others_answer, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_weigh_clock, arena_setup, arena_teardown),
		cmocka_unit_test(test_next_steps),
	};

	return cmocka_run_group_tests_name("doctor_weigh", tests, NULL, NULL);
}
