#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "answer/doctor_autoconfig.h"
#include "answer/doctor_http.h"
#include "answer/doctor_record.h"
#include "answer/doctor_reply.h"
#include "answer/doctor_xwhy.h"

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

/* a copy that ends where the text ends, so that a sanitizer sees a step beyond */
static struct span exact(const char *text, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (len)
		memcpy(copy, text, len);
	return span_of(copy, len);
}

static void drop(struct span s)
{
	free((void *)(uintptr_t)s.ptr);
}

/* ---- replies */

static void test_greetings(void **state)
{
	static const struct {
		const char *text;
		enum doctor_greeting kind;
		const char *host;
	} cases[] = {
		{"220 mail.example.org ESMTP Postfix", DOCTOR_GREETING_SMTP, "mail.example.org"},
		{"220-mail.example.org ESMTP\r\n220 no spam", DOCTOR_GREETING_SMTP, "mail.example.org"},
		{"220 ready", DOCTOR_GREETING_SMTP, ""},
		{"220", DOCTOR_GREETING_SMTP, ""},
		{"421 4.3.2 too many connections", DOCTOR_GREETING_SMTP, "4.3.2"},
		{"220 **********************2*0*00", DOCTOR_GREETING_MASKED, ""},
		{"220 ***\r\n", DOCTOR_GREETING_SMTP, ""},
		{"220 (vsFTPd 3.0.3)", DOCTOR_GREETING_FTP, ""},
		{"220 ftp.example.org ESMTP", DOCTOR_GREETING_SMTP, "ftp.example.org"},
		{"+OK ready <1.2@x>", DOCTOR_GREETING_POP3, ""},
		{"-ERR busy", DOCTOR_GREETING_POP3, ""},
		{"* OK IMAP4rev1", DOCTOR_GREETING_IMAP, ""},
		{"* BYE", DOCTOR_GREETING_IMAP, ""},
		{"HTTP/1.1 400 Bad Request\r\n", DOCTOR_GREETING_HTTP, ""},
		{"<!DOCTYPE HTML><html>", DOCTOR_GREETING_HTTP, ""},
		{"<HTML>", DOCTOR_GREETING_HTTP, ""},
		{"SSH-2.0-OpenSSH_9.2", DOCTOR_GREETING_SSH, ""},
		{"\x15\x03\x01", DOCTOR_GREETING_TLS, ""},
		{"\x16\x03\x03\x01", DOCTOR_GREETING_TLS, ""},
		{"2200 mail", DOCTOR_GREETING_OTHER, ""},
		{"hello", DOCTOR_GREETING_OTHER, ""},
		{"\x1b[2J", DOCTOR_GREETING_OTHER, ""},
		{"", DOCTOR_GREETING_NONE, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span line = exact(cases[i].text, strlen(cases[i].text)), host;

		assert_int_equal(doctor_greeting_kind(line), cases[i].kind);
		if (cases[i].kind == DOCTOR_GREETING_SMTP) {
			line = span_head(line, span_find(line, '\n'));
			host = doctor_greeting_host(line);
			assert_true(span_eq(host, span_str(cases[i].host)));
		}
		drop(line);
		for (size_t n = 0; n < strlen(cases[i].text); n++) { /* cut anywhere */
			struct span cut = exact(cases[i].text, n);

			(void)doctor_greeting_kind(cut);
			(void)doctor_greeting_host(cut);
			drop(cut);
		}
	}
}

static void test_codes(void **state)
{
	static const struct {
		enum doctor_protocol protocol;
		const char *line;
		unsigned code;
		bool last;
	} cases[] = {
		{DOCTOR_SMTP, "250 ok", 250, true},    {DOCTOR_SMTP, "250-ok", 250, false},
		{DOCTOR_SMTP, "250", 250, true},       {DOCTOR_SMTP, "25", 0, true},
		{DOCTOR_SMTP, "250ok", 0, true},       {DOCTOR_SMTP, "600 x", 0, true},
		{DOCTOR_SMTP, "150 x", 0, true},       {DOCTOR_SMTP, "", 0, true},
		{DOCTOR_POP3, "+OK", 200, true},       {DOCTOR_POP3, "-ERR [AUTH] no", 500, true},
		{DOCTOR_POP3, "+ ", 334, true},	       {DOCTOR_POP3, "+", 334, true},
		{DOCTOR_POP3, "250 ok", 0, true},      {DOCTOR_IMAP, "* CAPABILITY x", 200, false},
		{DOCTOR_IMAP, "a OK done", 200, true}, {DOCTOR_IMAP, "a ok done", 200, true},
		{DOCTOR_IMAP, "a NO", 500, true},      {DOCTOR_IMAP, "a BAD", 500, true},
		{DOCTOR_IMAP, "+ go", 334, true},      {DOCTOR_IMAP, "b OK", 0, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span line = exact(cases[i].line, strlen(cases[i].line));
		bool last;

		assert_int_equal(doctor_reply_code(cases[i].protocol, line, &last), cases[i].code);
		assert_int_equal(last, cases[i].last);
		drop(line);
	}
}

static void test_offers(void **state)
{
	static const struct {
		enum doctor_protocol protocol;
		const char *reply;
		bool starttls, masked, xwhy, login_disabled;
		uint64_t size_bytes;
		const char *auth;
	} cases[] = {
		{DOCTOR_SMTP, "250-mx\n250-SIZE 1000\n250-AUTH PLAIN LOGIN\n250-STARTTLS\n250 XWHY", true, false, true, false, 1000,
		 "PLAIN LOGIN"},
		{DOCTOR_SMTP, "250-mx\r\n250-auth=LOGIN\r\n250-AUTH LOGIN PLAIN\r\n250 starttls\r", true, false, false, false, 0,
		 "LOGIN LOGIN PLAIN"},
		{DOCTOR_SMTP, "250-mx\n250-AUTH PLAIN\n250 AUTH=PLAIN", false, false, false, false, 0, "PLAIN"},
		{DOCTOR_SMTP, "250-STARTTLS\n250 SIZE", false, false, false, false, 0, ""}, /* the first line is a name */
		{DOCTOR_SMTP, "250-mx\n250-XXXXXXXA\n250 8BITMIME", false, true, false, false, 0, ""},
		{DOCTOR_SMTP, "250-mx\n250-XXXX\n250 HELP", false, true, false, false, 0, ""},
		{DOCTOR_SMTP, "250-mx\n250-XCLIENT\n250 XFORWARD", false, false, false, false, 0, ""},
		{DOCTOR_SMTP, "250-mx\n250 SIZE 99999999999999999999999", false, false, false, false, 0, ""},
		{DOCTOR_SMTP, "250-mx\n250 AUTH \x1b[31m PLAIN", false, false, false, false, 0, "PLAIN"},
		{DOCTOR_SMTP, "250 mx", false, false, false, false, 0, ""},
		{DOCTOR_POP3, "+OK\nUSER\nSTLS\nSASL PLAIN\n.", true, false, false, false, 0, "USER PLAIN"},
		{DOCTOR_POP3, "-ERR", false, false, false, false, 0, ""},
		{DOCTOR_IMAP, "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN\na OK", true, false, false, true, 0, "PLAIN"},
		{DOCTOR_IMAP, "* OK STARTTLS\na OK", false, false, false, false, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].reply);
		struct doctor_offer o;

		doctor_offer_init(&o);
		for (size_t n = 0; n <= len; n++) {
			struct span reply = exact(cases[i].reply, n);

			doctor_offer_read(&o, cases[i].protocol, reply);
			drop(reply);
		}
		assert_int_equal(o.starttls, cases[i].starttls);
		assert_int_equal(o.masked, cases[i].masked);
		assert_int_equal(o.xwhy, cases[i].xwhy);
		assert_int_equal(o.login_disabled, cases[i].login_disabled);
		assert_int_equal(o.size_bytes, cases[i].size_bytes);
		assert_string_equal(buf_cstr(&o.auth), cases[i].auth);
		doctor_offer_clear(&o);
	}
	assert_true(doctor_offers("LOGIN PLAIN", "plain"));
	assert_false(doctor_offers("XPLAIN PLAINTEXT", "PLAIN"));
	assert_false(doctor_offers("", "PLAIN"));
}

/* more mechanisms than there is room for: those that fit, whole */
static void test_offer_is_bounded(void **state)
{
	struct doctor_offer o;
	struct buf reply;

	(void)state;
	doctor_offer_init(&o);
	buf_init(&reply, 1 << 16);
	buf_add_str(&reply, "250-mx\n250 AUTH");
	for (int i = 0; i < 1000; i++)
		buf_printf(&reply, " MECHANISM%d", i);
	doctor_offer_read(&o, DOCTOR_SMTP, buf_span(&reply));
	assert_true(o.auth.len > 0 && o.auth.len <= DOCTOR_AUTH_BYTES && !o.auth.overflow);
	assert_true(doctor_offers(buf_cstr(&o.auth), "MECHANISM0"));
	buf_clear(&reply);
	doctor_offer_clear(&o);
}

static void test_dates(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: none */
	} cases[] = {
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"220 mx ESMTP Sendmail 8.17; Tue, 3 Mar 2026 10:00:00 +0100", 1772528400},
		{"220 mx ESMTP Exim 4.96 Sun, 29 Feb 2032 23:59:60 -0530", 1961731800},
		{"1 Mar 2000 00:00 +0000", 951868800},
		{"31 Dec 9999 23:59:59 +0000", 253402300799},
		{"32 Jan 2000 00:00:00 +0000", -1},
		{"1 Foo 2000 00:00:00 +0000", -1},
		{"1 Jan 00 00:00:00 +0000", -1},
		{"1 Jan 2000 24:00:00 +0000", -1},
		{"1 Jan 2000", -1},
		{"220 mx ESMTP", -1},
		{"", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = exact(cases[i].text, strlen(cases[i].text));
		int64_t ms = -1000;

		assert_int_equal(doctor_date_find(text, &ms), cases[i].seconds >= 0);
		assert_int_equal(ms, cases[i].seconds * 1000);
		drop(text);
		for (size_t n = 0; n < strlen(cases[i].text); n++) {
			text = exact(cases[i].text, n);
			(void)doctor_date_find(text, &ms);
			drop(text);
		}
	}
}

/* ---- XWHY */

static void test_xwhy(void **state)
{
	static const char reply[] = "250-slug=sender-not-owned code=553 at=2026-11-22T10:00:00Z session=0A1B "
				    "command=MAIL+20FROM:<boss+40example.org> detail=a+2Bb\n"
				    "250-slug=no-such-slug-here code=450 at=x session=y limit=5+1b[m retry=30+20s\r\n"
				    "250-code=550 at=z session=q\n"
				    "250-slug=BAD+41 code=550\n"
				    "250-slug=rcpt-unknown code=7777 wild=1 rest\n"
				    "250 2.0.0 3 events";
	struct doctor_event e[DOCTOR_EVENTS];
	struct span whole = exact(reply, sizeof(reply) - 1);

	assert_int_equal(doctor_xwhy_read(whole, *state, e, DOCTOR_EVENTS), 3);
	assert_string_equal(e[0].slug, "sender-not-owned");
	assert_int_equal(e[0].code, 553);
	assert_string_equal(e[0].command, "MAIL FROM:<boss@example.org>");
	assert_string_equal(e[0].detail, "a+b");
	assert_string_equal(e[0].session, "0A1B");
	assert_string_equal(e[1].limit, "5+1b[m"); /* hex digits are upper case (RFC 3461 4) */
	assert_string_equal(e[1].retry, "30 s");
	assert_string_equal(e[2].slug, "rcpt-unknown");
	assert_int_equal(e[2].code, 0);
	assert_int_equal(doctor_xwhy_read(whole, *state, e, 1), 1); /* no more than there is room for */
	drop(whole);
	for (size_t n = 0; n < sizeof(reply); n++) {
		struct span cut = exact(reply, n);

		assert_true(doctor_xwhy_read(cut, *state, e, DOCTOR_EVENTS) <= 3);
		drop(cut);
	}
	assert_int_equal(doctor_xwhy_read(SPAN_LIT("250 2.0.0 0 events"), *state, e, DOCTOR_EVENTS), 0);
	assert_int_equal(doctor_xwhy_read(SPAN_LIT("250-slug=a code=550 detail=+1B[31m+0D+0A\n250 x"), *state, e, DOCTOR_EVENTS), 1);
	assert_string_equal(e[0].detail, "\\x1b[31m\\x0d\\x0a");
}

static void test_xwhy_match(void **state)
{
	const struct doctor_event e[] = {
		{"a", "", "S2", "", "", "", "", 550}, {"b", "", "S1", "", "", "", "", 550}, {"c", "", "S1", "", "", "", "", 451}};

	(void)state;
	assert_ptr_equal(doctor_xwhy_match(e, 3, 550, SPAN_LIT("550 5.1.1 no (x; ref S1)")), &e[1]);
	assert_ptr_equal(doctor_xwhy_match(e, 3, 550, SPAN_LIT("550 no")), &e[0]);
	assert_ptr_equal(doctor_xwhy_match(e, 3, 451, SPAN_LIT("451 ref S1")), &e[2]);
	assert_null(doctor_xwhy_match(e, 3, 451, SPAN_LIT("451 no")));
	assert_null(doctor_xwhy_match(e, 0, 550, SPAN_LIT("550 no")));
}

/* ---- records of the DNS */

static void test_srv(void **state)
{
	static const uint8_t good[] = {0, 10, 0, 5, 2, 75, 4, 'M', 'a', 'i', 'l', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0};
	static const uint8_t root[] = {0, 0, 0, 0, 0, 0, 0};
	struct doctor_record r;

	assert_true(doctor_record_srv(span_of(good, sizeof(good)), *state, &r));
	assert_int_equal(r.priority, 10);
	assert_int_equal(r.weight, 5);
	assert_int_equal(r.port, 587);
	assert_string_equal(r.target, "mail.example");
	assert_true(doctor_record_srv(span_of(root, sizeof(root)), *state, &r));
	assert_string_equal(r.target, "");
	for (size_t n = 0; n < sizeof(good); n++) {
		struct span cut = exact((const char *)good, n);

		assert_false(doctor_record_srv(cut, *state, &r));
		drop(cut);
	}
	for (size_t i = 6; i < sizeof(good); i++) /* one byte wrong anywhere in the name: another name, or none, and never a step beyond */
		for (int c = 0; c < 256; c++) {
			uint8_t bad[sizeof(good)];
			struct span s;

			memcpy(bad, good, sizeof(good));
			bad[i] = (uint8_t)c;
			s = exact((const char *)bad, sizeof(bad));
			if (doctor_record_srv(s, *state, &r))
				assert_true(span_is_vchar(span_str(r.target)));
			drop(s);
		}
}

static void test_mx(void **state)
{
	static const uint8_t good[] = {0, 20, 2, 'm', 'x', 3, 'o', 'r', 'g', 0};
	struct doctor_record r;

	assert_true(doctor_record_mx(span_of(good, sizeof(good)), *state, &r));
	assert_int_equal(r.priority, 20);
	assert_string_equal(r.target, "mx.org");
	assert_false(doctor_record_mx(span_of(good, sizeof(good) - 1), *state, &r));
}

static void test_srv_order(void **state)
{
	struct doctor_record r[] = {{20, 0, 1, "c"}, {10, 1, 2, "b"}, {10, 60, 3, "a"}, {20, 0, 4, "d"}, {0, 0, 5, "first"}};

	(void)state;
	doctor_record_sort(r, 5);
	assert_string_equal(r[0].target, "first");
	assert_string_equal(r[1].target, "a");
	assert_string_equal(r[2].target, "b");
	assert_string_equal(r[3].target, "c");
	assert_string_equal(r[4].target, "d");
	doctor_record_sort(r, 0);
}

static void test_providers(void **state)
{
	struct doctor_service s[4];

	(void)state;
	assert_int_equal(doctor_provider_services("aspmx.l.google.com", s, 4), 3);
	assert_string_equal(s[0].host, "smtp.gmail.com");
	assert_int_equal(s[0].protocol, DOCTOR_SMTP);
	assert_true(s[0].secure);
	assert_int_equal(doctor_provider_services("example-com.mail.protection.outlook.com", s, 4), 3);
	assert_string_equal(s[0].host, "smtp.office365.com");
	assert_int_equal(doctor_provider_services("hotmail-com.olc.protection.outlook.com", s, 4), 3);
	assert_string_equal(s[0].host, "smtp-mail.outlook.com"); /* the longer name decides */
	assert_int_equal(doctor_provider_services("mx01.mail.icloud.com", s, 4), 2);
	assert_int_equal(doctor_provider_services("evilgoogle.com", s, 4), 0);
	assert_int_equal(doctor_provider_services("google.com.evil.example", s, 4), 0);
	assert_int_equal(doctor_provider_services("", s, 4), 0);
	assert_int_equal(doctor_provider_services("aspmx.l.google.com", s, 1), 1);
	assert_true(doctor_is_below("a.example.org", "example.org"));
	assert_true(doctor_is_below("Example.ORG", "example.org"));
	assert_false(doctor_is_below("xexample.org", "example.org"));
	assert_false(doctor_is_below("org", "example.org"));
	assert_false(doctor_is_below("a", ""));
}

/* ---- HTTP */

static void test_http(void **state)
{
	static const char answer[] = "HTTP/1.1 302 Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nLOCATION:  http://a.example/x "
				     "\r\nContent-Type: text/html\r\n\r\nbody\nmore";
	struct span whole = exact(answer, sizeof(answer) - 1);
	struct doctor_http h;

	(void)state;
	assert_true(doctor_http_read(whole, &h));
	assert_int_equal(h.status, 302);
	assert_true(span_eq(h.location, SPAN_LIT("http://a.example/x")));
	assert_true(span_eq(h.type, SPAN_LIT("text/html")));
	assert_true(span_eq(h.date, SPAN_LIT("Thu, 01 Jan 1970 00:00:00 GMT")));
	assert_true(span_eq(h.body, SPAN_LIT("body\nmore")));
	for (size_t n = 0; n < whole.len; n++) {
		struct span cut = exact(answer, n);

		assert_int_equal(doctor_http_read(cut, &h), n >= sizeof(answer) - 1 - strlen("body\nmore"));
		drop(cut);
	}
	drop(whole);
	assert_true(doctor_http_read(SPAN_LIT("HTTP/1.0 200 OK\n\n<x/>"), &h));
	assert_false(doctor_http_read(SPAN_LIT("HTTP/2 200\r\n\r\n"), &h));
	assert_false(doctor_http_read(SPAN_LIT("HTTP/1.1 2x0 OK\r\n\r\n"), &h));
	assert_false(doctor_http_read(SPAN_LIT("220 mail\r\n\r\n"), &h));
}

static void test_urls(void **state)
{
	static const struct {
		const char *text, *host, *path; /* host NULL: none */
		uint16_t port;
		bool tls;
	} cases[] = {
		{"http://a.example/x?y=1", "a.example", "/x?y=1", 80, false},
		{"HTTPS://a.example", "a.example", "/", 443, true},
		{"https://a.example:8443/#frag", "a.example", "/", 8443, true},
		{"http://192.0.2.1:80/", "192.0.2.1", "/", 80, false},
		{"http://a.example#/x", "a.example", "/", 80, false},
		{"ftp://a.example/", NULL, NULL, 0, false},
		{"/relative", NULL, NULL, 0, false},
		{"http://", NULL, NULL, 0, false},
		{"http://user@a.example/", NULL, NULL, 0, false},
		{"http://a.example:0/", NULL, NULL, 0, false},
		{"http://a.example:99999/", NULL, NULL, 0, false},
		{"http://a.example:/", NULL, NULL, 0, false},
		{"http://a.example/x y", NULL, NULL, 0, false},
		{"http://a.example/\r\nX: y", NULL, NULL, 0, false},
		{"", NULL, NULL, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = exact(cases[i].text, strlen(cases[i].text));
		struct doctor_url u;

		assert_int_equal(doctor_url_read(text, *state, &u), cases[i].host != NULL);
		drop(text);
		if (!cases[i].host)
			continue;
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.path, cases[i].path);
		assert_int_equal(u.port, cases[i].port);
		assert_int_equal(u.tls, cases[i].tls);
	}
}

/* ---- autoconfig */

static const char autoconfig[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a > comment -->\n<clientConfig version='1.1'>\n <emailProvider "
	"id=\"example.org\">\n"
	"  <domain>example.org</domain>\n  <displayName>A &amp; B</displayName>\n"
	"  <incomingServer type=\"imap\">\n   <hostname>imap.%EMAILDOMAIN%</hostname><port>993</port><socketType>SSL</socketType>"
	"<username>%EMAILLOCALPART%</username>\n   <authentication>password-cleartext</authentication>\n  </incomingServer>\n"
	"  <incomingServer "
	"type='pop3'><hostname>pop.example.org</hostname><port>110</port><socketType>plain</socketType><username>a&#x62;c&#100;</"
	"username></incomingServer>\n"
	"  <outgoingServer type=\"smtp\"><hostname> "
	"<![CDATA[smtp.example.org]]>\n</hostname><port>587</port><socketType>STARTTLS</socketType>"
	"<username>%EMAILADDRESS%</username><pop3><leaveMessagesOnServer>true</leaveMessagesOnServer></pop3></outgoingServer>\n"
	"  <outgoingServer type=\"smtp\"><port>25</port></outgoingServer>\n  <incomingServer "
	"type=\"exchange\"><hostname>x</hostname><port>1</port></incomingServer>\n"
	" </emailProvider>\n <webMail/>\n</clientConfig>\n";

static void test_autoconfig(void **state)
{
	struct doctor_service s[8];
	struct span whole = exact(autoconfig, sizeof(autoconfig) - 1);
	size_t count = 0;

	assert_true(doctor_autoconfig_read(whole, "al@ice@example.org", *state, s, 8, &count));
	assert_int_equal(count, 3);
	assert_int_equal(s[0].protocol, DOCTOR_IMAP);
	assert_string_equal(s[0].host, "imap.example.org");
	assert_int_equal(s[0].port, 993);
	assert_int_equal(s[0].security, DOCTOR_TLS);
	assert_string_equal(s[0].login, "al@ice");
	assert_int_equal(s[1].protocol, DOCTOR_POP3);
	assert_int_equal(s[1].security, DOCTOR_NONE);
	assert_string_equal(s[1].login, "abcd");
	assert_int_equal(s[2].protocol, DOCTOR_SMTP);
	assert_string_equal(s[2].host, "smtp.example.org");
	assert_int_equal(s[2].security, DOCTOR_STARTTLS);
	assert_string_equal(s[2].login, "al@ice@example.org");
	assert_int_equal(s[2].source, DOCTOR_AUTOCONFIG);
	assert_true(doctor_autoconfig_read(whole, "a@b.example", *state, s, 1, &count));
	assert_int_equal(count, 1); /* no more than there is room for */
	drop(whole);
	for (size_t n = 0; n < sizeof(autoconfig) - 2; n++) { /* cut anywhere it is malformed */
		struct span cut = exact(autoconfig, n);

		assert_false(doctor_autoconfig_read(cut, "a@b.example", *state, s, 8, &count));
		drop(cut);
	}
}

/* any byte of it changed: it is taken or not, but nothing is read beyond, and nothing but words comes out */
static void test_autoconfig_broken(void **state)
{
	for (size_t i = 0; i < sizeof(autoconfig) - 1; i++)
		for (int k = 0; k < 8; k++) {
			static const uint8_t bytes[] = {0, '<', '>', '&', '"', '%', 0xff, '/'};
			struct span s = exact(autoconfig, sizeof(autoconfig) - 1);
			struct doctor_service out[8];
			struct arena mem;
			size_t count = 0;

			(void)state;
			arena_init(&mem, MEMORY_BYTES);
			((uint8_t *)(uintptr_t)s.ptr)[i] = bytes[k];
			if (doctor_autoconfig_read(s, "a@b.example", &mem, out, 8, &count))
				for (size_t n = 0; n < count; n++)
					assert_true(out[n].host[0] && span_is_vchar(span_str(out[n].host)));
			drop(s);
			arena_clear(&mem);
		}
}

static void test_autoconfig_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"x",
		"<html><body>not found</body></html>",
		"<!DOCTYPE clientConfig [<!ENTITY a \"aaaa\">]><clientConfig>&a;</clientConfig>",
		"<clientConfig>&a;</clientConfig>",
		"<clientConfig>&#0;</clientConfig>",
		"<clientConfig>&#xD800;</clientConfig>",
		"<clientConfig>&#1114112;</clientConfig>",
		"<clientConfig>&amp</clientConfig>",
		"<clientConfig><a></b></clientConfig>",
		"<clientConfig></clientConfig></a>",
		"<clientConfig><a x=1/></clientConfig>",
		"<clientConfig><a x='1/></clientConfig>",
		"<clientConfig><></></clientConfig>",
		"<clientConfig><a/ ></clientConfig>",
		"<clientConfig><!-- </clientConfig>",
		"text<clientConfig/>",
		"<clientConfig/><clientConfig/>",
		"<html/>",
		"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	};
	struct doctor_service s[8];
	size_t count = 99;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct span text = exact(wrong[i], strlen(wrong[i]));

		assert_false(doctor_autoconfig_read(text, "a@b.example", *state, s, 8, &count));
		drop(text);
	}
	assert_int_equal(count, 99);
	assert_true(doctor_autoconfig_read(SPAN_LIT("\xef\xbb\xbf<clientConfig/>"), "a@b.example", *state, s, 8, &count));
	assert_int_equal(count, 0);
}

/* a host that is no word, a value that is too long: the server is left out */
static void test_autoconfig_values(void **state)
{
	struct doctor_service s[8];
	struct buf xml;
	size_t count = 99;

	buf_init(&xml, DOCTOR_XML_BYTES);
	buf_add_str(&xml, "<clientConfig><outgoingServer type=\"smtp\"><hostname>");
	for (int i = 0; i < 1000; i++)
		buf_add_str(&xml, "abcd");
	buf_add_str(&xml, "</hostname><port>25</port></outgoingServer><outgoingServer type=\"smtp\"><hostname>a "
			  "b</hostname><port>25</port></outgoingServer>"
			  "<outgoingServer type=\"smtp\"><hostname>a&#10;b</hostname><port>25</port></outgoingServer></clientConfig>");
	assert_false(doctor_autoconfig_read(buf_span(&xml), "a@b.example", *state, s, 8, &count)); /* &#10; is a control character */
	xml.len = span_find_span(buf_span(&xml), SPAN_LIT("<outgoingServer type=\"smtp\"><hostname>a&#10;"));
	buf_add_str(&xml, "</clientConfig>");
	assert_true(doctor_autoconfig_read(buf_span(&xml), "a@b.example", *state, s, 8, &count));
	assert_int_equal(count, 0);
	buf_clear(&xml);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_offer_is_bounded),
		cmocka_unit_test(test_dates),
		cmocka_unit_test_setup_teardown(test_xwhy, arena_setup, arena_teardown),
		cmocka_unit_test(test_xwhy_match),
		cmocka_unit_test_setup_teardown(test_srv, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_mx, arena_setup, arena_teardown),
		cmocka_unit_test(test_srv_order),
		cmocka_unit_test(test_providers),
		cmocka_unit_test(test_http),
		cmocka_unit_test_setup_teardown(test_urls, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_autoconfig, arena_setup, arena_teardown),
		cmocka_unit_test(test_autoconfig_broken),
		cmocka_unit_test_setup_teardown(test_autoconfig_refused, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(test_autoconfig_values, arena_setup, arena_teardown),
	};

	return cmocka_run_group_tests_name("doctor_read", tests, NULL, NULL);
}
