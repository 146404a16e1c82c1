#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/limits.h"
#include "cause/cause.h"

#define REF SPAN_LIT("8Q2K4M1T")

static uint8_t hostile_bytes[700];

static struct cause_facts facts_of(struct span s, bool utf8)
{
	return (struct cause_facts){s, s, s, s, s, s, s, s, SPAN_NONE, utf8};
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

/* strangers see the same bytes for a wrong password, an unknown name and a disabled account */
static void test_shown_as(void **state)
{
	const enum cause_form forms[] = {CAUSE_SMTP, CAUSE_SMTP_AUTH, CAUSE_SMTP_CLOSING};
	struct buf a, b;

	(void)state;
	buf_init(&a, 4096);
	buf_init(&b, 4096);
	for (size_t i = 0; i < 3; i++) {
		cause_write_smtp(&a, CAUSE_AUTH_ACCOUNT_DISABLED, forms[i], NULL, REF, NULL, 0);
		cause_write_smtp(&b, CAUSE_AUTH_BAD_CREDENTIALS, forms[i], NULL, REF, NULL, 0);
		assert_int_equal(cause_code(CAUSE_AUTH_ACCOUNT_DISABLED, forms[i]), cause_code(CAUSE_AUTH_BAD_CREDENTIALS, forms[i]));
	}
	cause_write_pop3(&a, CAUSE_AUTH_ACCOUNT_DISABLED, NULL, REF);
	cause_write_pop3(&b, CAUSE_AUTH_BAD_CREDENTIALS, NULL, REF);
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	assert_string_equal(cause_slug(CAUSE_AUTH_ACCOUNT_DISABLED), "auth-account-disabled"); /* the log knows */
	buf_clear(&a);
	buf_clear(&b);
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
		cmocka_unit_test(test_slugs_and_codes),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
