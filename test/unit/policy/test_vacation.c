/* which messages a machine may answer */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/vacation.h"

struct given { /* "Name: value" lines */
	const char *lines[8];
};

static bool given_field(void *owner, unsigned part, struct span name, unsigned nth, struct sieve_field *out)
{
	const struct given *g = owner;

	for (size_t i = 0; part == 0 && i < 8 && g->lines[i]; i++) {
		struct span rest = span_str(g->lines[i]), field = span_cut(&rest, ':');

		if (!span_eq_nocase(field, name) || nth-- > 0)
			continue;
		out->raw = out->decoded = span_trim(rest);
		return true;
	}
	return false;
}

static const struct sieve_ops given_ops = {.field = given_field};
static const struct span own[] = {{(const uint8_t *)"anna@example.org", 16}, {(const uint8_t *)"info@example.org", 16}};

static enum vacation_why judge(const char *from, const struct given *g, const struct sieve_vacation *v)
{
	struct sieve_message m = {.ops = &given_ops, .owner = (void *)(uintptr_t)g, .from = span_str(from)};
	static const struct sieve_vacation plain = {.seconds = 60};

	return vacation_judge(&m, v ? v : &plain, own, 2);
}

#define TO "To: anna@example.org"

static void rules(void **state)
{
	static const struct {
		const char *from;
		struct given given;
		enum vacation_why why;
	} cases[] = {
		{"bob@x.example", {{TO}}, VACATION_ANSWER},
		{"", {{TO}}, VACATION_NO_SENDER},
		{"ANNA@Example.ORG", {{TO}}, VACATION_SELF},
		{"anna+news@example.org", {{TO}}, VACATION_SELF},
		{"anna+news@example.net", {{TO}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "Auto-Submitted: no"}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "Auto-Submitted: No; a=b"}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "Auto-Submitted: no (really)"}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "Auto-Submitted: no", "AUTO-SUBMITTED: auto-notified"}}, VACATION_AUTOMATIC},
		{"bob@x.example", {{TO, "Auto-Submitted:"}}, VACATION_AUTOMATIC},
		{"bob@x.example", {{TO, "Auto-Submitted: nope"}}, VACATION_AUTOMATIC},
		{"bob@x.example", {{TO, "X-Autoreply: yes"}}, VACATION_AUTOMATIC},
		{"bob@x.example", {{TO, "Content-Type: Multipart/Report; boundary=x"}}, VACATION_AUTOMATIC},
		{"bob@x.example", {{TO, "Content-Type: multipart/mixed; boundary=x"}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "list-id: <a.b>"}}, VACATION_LIST},
		{"bob@x.example", {{TO, "List-Archive: <https://a>"}}, VACATION_LIST},
		{"bob@x.example", {{TO, "Precedence: LIST"}}, VACATION_BULK},
		{"bob@x.example", {{TO, "Precedence: first-class"}}, VACATION_ANSWER},
		{"bob@x.example", {{TO, "Precedence: normal", "Precedence: junk"}}, VACATION_BULK},
		{"bob@x.example", {{TO, "X-Auto-Response-Suppress: DR, AutoReply"}}, VACATION_UNWANTED},
		{"bob@x.example", {{TO, "X-Auto-Response-Suppress: DR, RN"}}, VACATION_ANSWER},
		{"bob@x.example", {{"To: all@example.org"}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{NULL}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{"To: anna@example.org.evil.example"}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{"To: xanna@example.org"}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{"To: anna+@example.org"}}, VACATION_ANSWER},
		{"bob@x.example", {{"To: anna+x@y@example.org"}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{"To: x@y.example", "Cc: team: Bob <b@c.example>, \"A, B\" <Anna@EXAMPLE.org>;"}}, VACATION_ANSWER},
		{"bob@x.example", {{"To: x@y.example", "To: info@example.org"}}, VACATION_ANSWER},
		{"bob@x.example", {{"Bcc: anna@example.org"}}, VACATION_ANSWER},
		{"bob@x.example", {{"Resent-Cc: anna@example.org"}}, VACATION_ANSWER},
		{"bob@x.example", {{"From: anna@example.org", "Sender: anna@example.org"}}, VACATION_NOT_TO_ME},
		{"bob@x.example", {{"To: \"anna@example.org\" <x@y.example>"}}, VACATION_NOT_TO_ME},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (judge(cases[i].from, &cases[i].given, NULL) != cases[i].why)
			fail_msg("case %zu: \"%s\"", i, vacation_why_words(judge(cases[i].from, &cases[i].given, NULL)));
}

static void addresses_of_the_script_count(void **state)
{
	struct span more[] = {SPAN_LIT("No Address"), SPAN_LIT("old@elsewhere.example")};
	struct sieve_vacation v = {.seconds = 60, .addresses = more, .address_count = 2};
	struct given g = {{"To: OLD@elsewhere.example"}};

	(void)state;
	assert_int_equal(VACATION_NOT_TO_ME, judge("bob@x.example", &g, NULL));
	assert_int_equal(VACATION_ANSWER, judge("bob@x.example", &g, &v));
	assert_int_equal(VACATION_SELF, judge("old@elsewhere.example", &g, &v));
}

static void robots(void **state)
{
	static const char *const yes[] = {
		"MAILER-DAEMON@x", "owner-list@x",   "Owner-@x",	   "list-owner@x",	  "list-REQUEST@x", "LISTSERV@x",
		"majordomo@x",	   "noreply@x",	     "shop-noreply-12@x",  "no-reply@x",	  "DoNotReply@x",   "do_not_reply@x",
		"bounce-5-a=b@x",  "list-bounces@x", "list-bounces+a=b@x", "list-return-7-a=b@x", "bounces+7@x"};
	static const char *const no[] = {
		"bob@x", "owner@x", "request@x", "reply@x", "bouncer@x", "bob@noreply.example", "norepl@x", "mailer-daemon.fan@x", "x"};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!vacation_is_robot(span_str(yes[i])))
			fail_msg("%s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (vacation_is_robot(span_str(no[i])))
			fail_msg("%s", no[i]);
}

static void subjects(void **state)
{
	struct given g = {{"Subject: Hello\r\nBcc: x"}}, none = {{NULL}}, g2 = {{NULL}};
	struct sieve_message m = {.ops = &given_ops, .owner = &g};
	struct sieve_vacation v = {.seconds = 60};
	char line[1024] = "Subject: a";
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	vacation_write_subject(&m, &v, &out);
	assert_string_equal("Auto: Hello  Bcc: x", buf_cstr(&out));
	buf_reset(&out);
	v.subject = SPAN_LIT("Away");
	vacation_write_subject(&m, &v, &out);
	assert_string_equal("Away", buf_cstr(&out));
	buf_reset(&out);
	v.subject = SPAN_NONE;
	m.owner = &none;
	vacation_write_subject(&m, &v, &out);
	assert_string_equal("Auto: ", buf_cstr(&out));
	for (size_t i = 0; i < 300; i++) { /* 601 bytes; the cut falls into a character */
		line[10 + 2 * i] = (char)0xc3;
		line[11 + 2 * i] = (char)0xa4;
	}
	g2.lines[0] = line;
	m.owner = &g2;
	buf_reset(&out);
	vacation_write_subject(&m, &v, &out);
	assert_true(out.len == 6 + 399 && span_is_utf8(buf_span(&out)));
	buf_clear(&out);
}

static void it_was_here(void **state)
{
	struct given g = {{"Delivered-To: x@y.example", "Delivered-To: ANNA@example.org", "X-Delivered-To: bob@example.org"}};
	struct sieve_message m = {.ops = &given_ops, .owner = &g};

	(void)state;
	assert_true(vacation_was_here(&m, SPAN_LIT("anna@example.org")));
	assert_false(vacation_was_here(&m, SPAN_LIT("bob@example.org")));
	assert_false(vacation_was_here(&m, SPAN_LIT("anna")));
	assert_false(vacation_was_here(&m, SPAN_LIT("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(addresses_of_the_script_count),
					   cmocka_unit_test(robots), cmocka_unit_test(subjects), cmocka_unit_test(it_was_here)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
