#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/limits.h"
#include "cause/cause.h"

#define REF SPAN_LIT("8Q2K4M1T")

static uint8_t hostile_bytes[700];

static struct cause_facts facts_of(struct span s, bool utf8)
{
	return (struct cause_facts){s, s, s, s, s, s, s, s, SPAN_NONE, SPAN_NONE, utf8};
}

/* what no fact may do: break a line, be too long, leave ASCII, lose slug and reference */
static void check_reply(struct span out, enum cause_id shown, bool utf8, bool smtp)
{
	char tail[64];
	struct span rest = out, line = SPAN_NONE, end;
	char code[4] = "";
	size_t lines = 0, at;

	assert_true(out.len > 6 && out.ptr[out.len - 2] == '\r' && out.ptr[out.len - 1] == '\n');
	while (rest.len) {
		line = span_cut(&rest, '\n');
		assert_true(line.len + 1 <= LIMIT_SMTP_REPLY_LINE_BYTES);
		assert_int_equal(line.ptr[line.len - 1], '\r');
		line.len--;
		assert_true(span_is_utf8(line));
		for (size_t i = 0; i < line.len; i++) {
			assert_true(line.ptr[i] >= 0x20 && line.ptr[i] != 0x7f);
			assert_true(utf8 || line.ptr[i] < 0x80);
		}
		if (smtp) {
			if (lines == 0)
				memcpy(code, line.ptr, 3);
			assert_memory_equal(line.ptr, code, 3);
			assert_int_equal(line.ptr[3], rest.len ? '-' : ' ');
			if (shown != CAUSE_TLS_REPEATED) /* 454 5.5.1, see tools/gen-causes.py */
				assert_int_equal(line.ptr[4], code[0]); /* the enhanced code is on every line and of the same class */
			assert_int_equal(line.ptr[5], '.');
		}
		lines++;
	}
	if (!smtp) {
		assert_int_equal(lines, 1);
		assert_true(span_starts(line, SPAN_LIT("-ERR ")));
	}
	snprintf(tail, sizeof(tail), " (%s; ref 8Q2K4M1T)", cause_slug(shown));
	end = span_str(tail);
	at = span_find_span(line, end);
	assert_int_equal(at + end.len, line.len);
	assert_true(line.len < 200);
}

static void test_every_cause_every_form(void **state)
{
	const struct span hostile[] = {
		SPAN_NONE,
		SPAN_LIT("bob@example.org"),
		SPAN_LIT("x\r\n250 2.0.0 Ok\r\n"),
		SPAN_LIT("{rcpt} [{detail}] %s %n \\ \x7f"),
		SPAN_LIT("\xc3\xa9\xe2\x80\xae\xc2\x85\xff\xf0\x9f\x98\x80"),
		span_of(hostile_bytes, sizeof(hostile_bytes)),
	};
	const struct span middle[] = {SPAN_LIT("plain"), SPAN_LIT("a\r\nb"), span_of(hostile_bytes, sizeof(hostile_bytes))};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile_bytes); i++)
		hostile_bytes[i] = (uint8_t)(i * 7);
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		const struct cause *c = cause_get((enum cause_id)id);
		enum cause_id shown = c->shown_as ? c->shown_as : (enum cause_id)id;

		for (int n = 0; n < CAUSE_FORM_COUNT * 6 * 2; n++) {
			int form = n % CAUSE_FORM_COUNT;
			bool utf8 = n / CAUSE_FORM_COUNT % 2;
			struct cause_facts facts = facts_of(hostile[n / CAUSE_FORM_COUNT / 2], utf8);
			struct buf out;

			buf_init(&out, 16384);
			if (form == CAUSE_POP3)
				cause_write_pop3(&out, (enum cause_id)id, &facts, REF);
			else
				cause_write_smtp(&out, (enum cause_id)id, (enum cause_form)form, &facts, REF, middle, (size_t)n % 4);
			assert_false(out.overflow);
			check_reply(buf_span(&out), shown, utf8, form != CAUSE_POP3);
			buf_reset(&out);
			cause_write_sentence(&out, (enum cause_id)id, (enum cause_form)form, &facts, 90);
			assert_true(out.len && out.len <= 90 && span_is_utf8(buf_span(&out)));
			buf_clear(&out);
		}
	}
}

static void test_same_sentence_first_and_last(void **state)
{
	const struct cause_facts facts = {.rcpt = SPAN_LIT("bob@example.org")};
	const struct span middle = SPAN_LIT("said before: 550");
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	cause_write_smtp(&out, CAUSE_RELAY_DENIED_UNAUTH, CAUSE_SMTP, &facts, REF, &middle, 1);
	assert_string_equal(buf_cstr(&out),
		"550-5.7.1 Sign in first: this server forwards mail to bob@example.org only for signed-in users\r\n"
		"550-5.7.1 said before: 550\r\n"
		"550-5.7.1 In your mail program: account settings, outgoing server (SMTP): switch on authentication, same user name and password as for incoming mail\r\n"
		"550 5.7.1 Sign in first: this server forwards mail to bob@example.org only for signed-in users (relay-denied-unauth; ref 8Q2K4M1T)\r\n");
	buf_reset(&out);
	/* nothing in between: one line */
	cause_write_smtp(&out, CAUSE_SEQ_NO_HELO, CAUSE_SMTP, &(struct cause_facts){.command = SPAN_LIT("MAIL")}, REF, NULL, 0);
	assert_string_equal(buf_cstr(&out),
		"503 5.5.1 Wrong order: MAIL came before EHLO; the sending program must say EHLO first (seq-no-helo; ref 8Q2K4M1T)\r\n");
	buf_clear(&out);
}

static void test_optional_parts(void **state)
{
	struct cause_facts facts = {0};
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	cause_write_sentence(&out, CAUSE_RCPT_NONE_ACCEPTED, CAUSE_SMTP, &facts, 200);
	assert_string_equal(buf_cstr(&out), "No recipient was accepted");
	buf_reset(&out);
	facts.detail = SPAN_LIT("bob@example.org was refused");
	cause_write_sentence(&out, CAUSE_RCPT_NONE_ACCEPTED, CAUSE_SMTP, &facts, 200);
	assert_string_equal(buf_cstr(&out), "No recipient was accepted: bob@example.org was refused");
	buf_reset(&out);
	cause_write_sentence(&out, CAUSE_RCPT_UNKNOWN, CAUSE_SMTP, NULL, 200);
	assert_string_equal(buf_cstr(&out), "There is no mailbox this address here: check the address for a typing error");
	buf_clear(&out);
}

/* the words of the catalogue stay whole, the fact gives way */
static void test_long_fact_gives_way(void **state)
{
	struct cause_facts facts = {0};
	uint8_t address[256];
	struct buf out;

	(void)state;
	memset(address, 'a', sizeof(address));
	facts.rcpt = span_of(address, sizeof(address));
	buf_init(&out, 4096);
	cause_write_smtp(&out, CAUSE_RELAY_DENIED_UNAUTH, CAUSE_SMTP, &facts, REF, NULL, 0);
	assert_non_null(strstr(buf_cstr(&out), "aaa... only for signed-in users (relay-denied-unauth; ref 8Q2K4M1T)"));
	buf_clear(&out);
}

static void test_pop3(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	cause_write_pop3(&out, CAUSE_MAILBOX_LOCKED, NULL, REF);
	assert_true(span_starts(buf_span(&out), SPAN_LIT("-ERR [IN-USE] The mailbox is open")));
	buf_reset(&out);
	cause_write_pop3(&out, CAUSE_COMMAND_UNKNOWN, &(struct cause_facts){.command = SPAN_LIT("XYZ")}, REF);
	assert_string_equal(buf_cstr(&out), "-ERR The command XYZ is not known here (command-unknown; ref 8Q2K4M1T)\r\n");
	buf_clear(&out);
}

/* strangers see the same bytes for a wrong password and an unknown name */
static void test_shown_as(void **state)
{
	const enum cause_form forms[] = {CAUSE_SMTP, CAUSE_SMTP_AUTH, CAUSE_SMTP_CLOSING};
	struct buf a, b;

	(void)state;
	buf_init(&a, 4096);
	buf_init(&b, 4096);
	for (size_t i = 0; i < 3; i++) {
		cause_write_smtp(&a, CAUSE_AUTH_USER_UNKNOWN, forms[i], NULL, REF, NULL, 0);
		cause_write_smtp(&b, CAUSE_AUTH_BAD_CREDENTIALS, forms[i], NULL, REF, NULL, 0);
		assert_int_equal(cause_code(CAUSE_AUTH_USER_UNKNOWN, forms[i]), cause_code(CAUSE_AUTH_BAD_CREDENTIALS, forms[i]));
	}
	cause_write_pop3(&a, CAUSE_AUTH_USER_UNKNOWN, NULL, REF);
	cause_write_pop3(&b, CAUSE_AUTH_BAD_CREDENTIALS, NULL, REF);
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	assert_string_equal(cause_slug(CAUSE_AUTH_USER_UNKNOWN), "auth-user-unknown"); /* the log knows */
	buf_clear(&a);
	buf_clear(&b);
}

/* whose rule it was: nothing that stands there may end the bracket early or push out the reference */
static void test_rule(void **state)
{
	static const struct {
		const char *rule, *because, *wanted;
	} cases[] = {
		{"", "", " (rcpt-none-accepted; ref 8Q2K4M1T)\r\n"},
		{"server", "", " (rcpt-none-accepted; rule: server; ref 8Q2K4M1T)\r\n"},
		{"example.org", "rcpt-rate-limited, rcpt-unknown", " (rcpt-none-accepted: rcpt-rate-limited, rcpt-unknown; rule: example.org; ref 8Q2K4M1T)\r\n"},
		{"a; ref X)\r\n250 (", "", " (rcpt-none-accepted; rule: a--ref-X---250--; ref 8Q2K4M1T)\r\n"},
		{"\xc3\xa9.example", "", "rule: --.example; ref 8Q2K4M1T)"},
		{"this.is.a.very.long.name.of.a.domain.that.does.not.fit.example.org", "", "rule: ....domain.that.does.not.fit.example.org; ref 8Q2K4M1T)"},
		{"another.very.long.name.of.a.domain.that.does.not.fit.example.org", "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-u-v-w-x-y-z-a-b-c-d-e-f-g-h-i-j-k",
			" (rcpt-none-accepted: a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-; rule: ....domain.that.does.not.fit.example.org; ref 8Q2K4M1T)\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cause_facts facts = {.detail = SPAN_LIT("bob@example.org: There is no mailbox bob@example.org here: check the address for a typing error, please"),
			.rule = span_str(cases[i].rule), .because = span_str(cases[i].because)};
		struct buf out;

		buf_init(&out, 4096);
		cause_write_smtp(&out, CAUSE_RCPT_NONE_ACCEPTED, CAUSE_SMTP, &facts, REF, NULL, 0);
		if (!strstr(buf_cstr(&out), cases[i].wanted))
			fail_msg("wanted %s, got %s", cases[i].wanted, buf_cstr(&out));
		for (struct span rest = buf_span(&out); rest.len; ) {
			struct span line = span_cut(&rest, '\n');

			assert_true(rest.len || line.len <= 200);
			assert_true(rest.len || span_starts(line, SPAN_LIT("503 5.5.1 No recipient was accepted")));
		}
		buf_clear(&out);
	}
}

/* the replies of a large provider and the causes that stand for them; each code is in the table of docs/MESSAGES.md, too */
static const struct {
	enum cause_id cause;
	enum cause_form form;
	unsigned code;
	const char *enhanced;
} provider_rows[] = {
	{CAUSE_TOO_MANY_CONNECTIONS, CAUSE_SMTP_CLOSING, 421, "4.4.5"},
	{CAUSE_SERVER_OVERLOADED, CAUSE_SMTP_CLOSING, 421, "4.4.5"},
	{CAUSE_RCPT_DOMAIN_ALLOW_LIST, CAUSE_SMTP, 421, "4.7.0"},
	{CAUSE_RCPT_DOMAIN_REQUIRES_TLS, CAUSE_SMTP, 421, "4.7.0"},
	{CAUSE_RATE_LIMIT_IP, CAUSE_SMTP_CLOSING, 421, "4.7.0"},
	{CAUSE_HELO_FLOOD, CAUSE_SMTP_CLOSING, 421, "4.7.0"},
	{CAUSE_RCPT_RATE_LIMITED, CAUSE_SMTP, 450, "4.2.1"},
	{CAUSE_RATE_LIMIT_SENDER, CAUSE_SMTP, 450, "4.2.1"},
	{CAUSE_SERVER_TEMP_ERROR, CAUSE_SMTP, 451, "4.3.0"},
	{CAUSE_ONE_DOMAIN_PER_MESSAGE, CAUSE_SMTP, 451, "4.3.0"},
	{CAUSE_TIMEOUT_IN_MESSAGE, CAUSE_SMTP_CLOSING, 451, "4.4.2"},
	{CAUSE_PROTOCOL_VIOLATION, CAUSE_SMTP_CLOSING, 451, "4.5.0"},
	{CAUSE_RCPT_MAILBOX_FULL, CAUSE_SMTP, 452, "4.2.2"},
	{CAUSE_TOO_MANY_DOMAINS, CAUSE_SMTP, 452, "4.5.3"},
	{CAUSE_TOO_MANY_RECIPIENTS, CAUSE_SMTP, 452, "4.5.3"},
	{CAUSE_RCPT_OWN_TRANSACTION, CAUSE_SMTP, 452, "4.5.3"},
	{CAUSE_TLS_INJECTION, CAUSE_SMTP_CLOSING, 454, "4.5.0"},
	{CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, CAUSE_SMTP_AUTH, 454, "4.7.0"},
	{CAUSE_TLS_REPEATED, CAUSE_SMTP, 454, "5.5.1"},
	{CAUSE_AUTH_SYNTAX, CAUSE_SMTP_AUTH, 501, "5.5.2"},
	{CAUSE_HELO_INVALID, CAUSE_SMTP, 501, "5.5.4"},
	{CAUSE_TOO_MANY_UNKNOWN_COMMANDS, CAUSE_SMTP_CLOSING, 502, "5.5.1"},
	{CAUSE_COMMAND_NOT_ENABLED, CAUSE_SMTP, 502, "5.5.1"},
	{CAUSE_COMMAND_UNKNOWN, CAUSE_SMTP, 502, "5.5.1"},
	{CAUSE_SEQ_NO_HELO, CAUSE_SMTP, 503, "5.5.1"},
	{CAUSE_SEQ_NO_MAIL, CAUSE_SMTP, 503, "5.5.1"},
	{CAUSE_SEQ_NO_RCPT, CAUSE_SMTP, 503, "5.5.1"},
	{CAUSE_AUTH_TWICE, CAUSE_SMTP, 503, "5.7.0"},
	{CAUSE_AUTH_MECHANISM_UNKNOWN, CAUSE_SMTP, 504, "5.7.4"},
	{CAUSE_AUTH_REQUIRED, CAUSE_SMTP, 530, "5.5.1"},
	{CAUSE_TLS_REQUIRED, CAUSE_SMTP, 530, "5.7.0"},
	{CAUSE_AUTH_ARGUMENT_UNWANTED, CAUSE_SMTP, 535, "5.5.4"},
	{CAUSE_AUTH_APP_PASSWORD, CAUSE_SMTP_AUTH, 535, "5.7.1"},
	{CAUSE_AUTH_WEB_LOGIN, CAUSE_SMTP_AUTH, 535, "5.7.1"},
	{CAUSE_AUTH_BAD_CREDENTIALS, CAUSE_SMTP_AUTH, 535, "5.7.1"},
	{CAUSE_RCPT_UNKNOWN, CAUSE_SMTP, 550, "5.1.1"},
	{CAUSE_RCPT_DISABLED, CAUSE_SMTP, 550, "5.2.1"},
	{CAUSE_RCPT_RATE_BLOCKED, CAUSE_SMTP, 550, "5.2.1"},
	{CAUSE_QUOTA_SENDER_DAILY, CAUSE_SMTP, 550, "5.4.5"},
	{CAUSE_RELAY_DENIED_ADDRESS, CAUSE_SMTP, 550, "5.7.0"},
	{CAUSE_SENDER_ACCOUNT_SUSPENDED, CAUSE_SMTP, 550, "5.7.0"},
	{CAUSE_SENDER_MAILBOX_FULL, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_RELAY_CREDENTIALS, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_IP_RATE_BLOCKED, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_SPAM_CONTENT, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_IP_DIRECT_NOT_ALLOWED, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_RCPT_REFUSES_SENDER, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_SENDER_UNAUTHENTICATED, CAUSE_SMTP, 550, "5.7.1"},
	{CAUSE_RCPT_OVER_QUOTA, CAUSE_SMTP, 552, "5.2.2"},
	{CAUSE_MESSAGE_TOO_BIG, CAUSE_SMTP, 552, "5.2.3"},
	{CAUSE_RCPT_DOMAIN_NOT_FOUND, CAUSE_SMTP, 553, "5.1.2"},
	{CAUSE_MESSAGE_MALFORMED, CAUSE_SMTP, 554, "5.6.0"},
	{CAUSE_TOO_MANY_HOPS, CAUSE_SMTP, 554, "5.6.0"},
	{CAUSE_TOO_MANY_UNAUTH_COMMANDS, CAUSE_SMTP_CLOSING, 554, "5.7.0"},
	{CAUSE_PARAM_SYNTAX, CAUSE_SMTP, 555, "5.5.2"},
};

static void test_provider_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(provider_rows) / sizeof(provider_rows[0]); i++) {
		char wanted[16];
		struct buf out;

		buf_init(&out, 4096);
		cause_write_smtp(&out, provider_rows[i].cause, provider_rows[i].form, NULL, REF, NULL, 0);
		(void)snprintf(wanted, sizeof(wanted), "%u %s ", provider_rows[i].code, provider_rows[i].enhanced);
		if (!strstr(buf_cstr(&out), wanted))
			fail_msg("%s: wanted %s, got %s", cause_slug(provider_rows[i].cause), wanted, buf_cstr(&out));
		buf_clear(&out);
	}
}

static void test_slugs_and_codes(void **state)
{
	(void)state;
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++)
		assert_int_equal(cause_by_slug(span_str(cause_slug((enum cause_id)id))), id);
	assert_int_equal(cause_by_slug(SPAN_LIT("")), CAUSE_NONE);
	assert_int_equal(cause_by_slug(SPAN_LIT("auth")), CAUSE_NONE);
	assert_int_equal(cause_by_slug(SPAN_LIT("auth-requiredx")), CAUSE_NONE);
	assert_int_equal(cause_by_slug(SPAN_LIT("zzz")), CAUSE_NONE);
	assert_null(cause_get(CAUSE_NONE));
	assert_string_equal(cause_slug(CAUSE_NONE), "");
	assert_int_equal(cause_code(CAUSE_SERVER_TEMP_ERROR, CAUSE_SMTP), 451);
	assert_int_equal(cause_code(CAUSE_SERVER_TEMP_ERROR, CAUSE_SMTP_CLOSING), 421);
	assert_int_equal(cause_code(CAUSE_SERVER_TEMP_ERROR, CAUSE_SMTP_AUTH), 454);
	assert_int_equal(cause_code(CAUSE_RCPT_MAILBOX_FULL, CAUSE_SMTP_CLOSING), 421); /* made from the 452 */
	assert_int_equal(cause_code(CAUSE_TIMEOUT, CAUSE_SMTP), 421);                    /* borrowed */
	assert_int_equal(cause_code(CAUSE_MAILBOX_LOCKED, CAUSE_SMTP), 451);             /* no words for SMTP at all */
}

/* a full output buffer takes a reply whole or shows its overflow; a reference is only letters and digits */
static void test_edges(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	cause_write_smtp(&out, CAUSE_AUTH_REQUIRED, CAUSE_SMTP, NULL, REF, NULL, 0);
	assert_true(out.overflow);
	buf_clear(&out);
	buf_init(&out, 4096);
	cause_write_pop3(&out, CAUSE_TIMEOUT, NULL, SPAN_LIT("a\r\nb)cdefghijklmnopqrstuvwxyz"));
	assert_non_null(strstr(buf_cstr(&out), "(timeout; ref a__b_cdefghijklm)\r\n"));
	buf_reset(&out);
	cause_write_pop3(&out, CAUSE_TIMEOUT, NULL, SPAN_NONE);
	assert_non_null(strstr(buf_cstr(&out), "(timeout)\r\n"));
	buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cause_every_form),
		cmocka_unit_test(test_same_sentence_first_and_last),
		cmocka_unit_test(test_optional_parts),
		cmocka_unit_test(test_long_fact_gives_way),
		cmocka_unit_test(test_pop3),
		cmocka_unit_test(test_shown_as),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_provider_table),
		cmocka_unit_test(test_slugs_and_codes),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
