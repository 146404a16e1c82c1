/* MTA-STS: records, policies, matching. */
#include "test_mail.h"

#include <stdlib.h>

#include "base/buf.h"
#include "mail/mta_sts.h"

static const struct {
	const char *txt;
	enum rc rc;
	const char *id;
} records[] = {
	{"v=STSv1; id=20160831085700Z;", RC_OK, "20160831085700Z"},
	{"v=STSv1; id=1", RC_OK, "1"},
	{"v=STSv1;id=1", RC_OK, "1"},
	{"v=STSv1 \t; \tid=1 ; ", RC_OK, "1"},
	{"v=STSv1; x_y-z.0=v%lue; id=abc;", RC_OK, "abc"},
	{"v=STSv1; id=12345678901234567890123456789012;", RC_OK, "12345678901234567890123456789012"},
	{"v=STSv1; id=123456789012345678901234567890123;", RC_BAD, NULL},
	{"v=STSv1; id=;", RC_BAD, NULL},
	{"v=STSv1; id=a-b;", RC_BAD, NULL},
	{"v=STSv1; id=1; id=2;", RC_BAD, NULL},
	{"v=STSv1; id=1;; x=y", RC_BAD, NULL},
	{"v=STSv1; id = 1;", RC_BAD, NULL},
	{"v=STSv1; -x=1; id=1;", RC_BAD, NULL},
	{"v=STSv1; x=1=2; id=1;", RC_BAD, NULL},
	{"v=STSv1; ID=1;", RC_BAD, NULL},
	{"v=STSv1;", RC_BAD, NULL},
	{"v=STSv1", RC_BAD, NULL},
	{"v=STSv10; id=1;", RC_NONE, NULL},
	{"v=STSv2; id=1;", RC_NONE, NULL},
	{"V=STSv1; id=1;", RC_NONE, NULL},
	{" v=STSv1; id=1;", RC_NONE, NULL},
	{"v=spf1 -all", RC_NONE, NULL},
	{"", RC_NONE, NULL},
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		struct span id = SPAN_LIT("untouched");

		if (mta_sts_record(span_str(records[i].txt), &id) != records[i].rc)
			fail_msg("'%s': not %s", records[i].txt, rc_name(records[i].rc));
		test_span_eq(id, records[i].id ? span_str(records[i].id) : SPAN_LIT("untouched"), records[i].txt);
	}
}

static const struct {
	const char *text;
	const char *want; /* mode max_age patterns; NULL: bad, with these words: */
	const char *words;
} policies[] = {
	{"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
		"enforce 604800 mail.example.com *.example.net backupmx.example.com", NULL},
	{"version: STSv1\r\nmode: testing\r\nmx: a.test\r\nmax_age: 1\r\n", "testing 1 a.test", NULL},
	{"version:STSv1\nmode:\t none  \nmax_age: 0", "none 0", NULL},
	{"max_age: 5\nmx: a.test\nmode: enforce\nversion: STSv1", "enforce 5 a.test", NULL},
	{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 9999999999\n", "enforce 31557600 a.test", NULL},
	{"version: STSv1\nmode: enforce\nmode: none\nmx: a.test\nmax_age: 7\nmax_age: 8\nversion: STSv9\n", "enforce 7 a.test", NULL},
	{"version: STSv1\nx-new_key.1: \xc3\xa4 what ever: it is\nmode: enforce\nmx: a.test\nmax_age: 7\n\n", "enforce 7 a.test", NULL},
	{"version: STSv1\nmode: none\nmx: a.test\nmax_age: 7\n", "none 7 a.test", NULL},
	{"", NULL, "it has no version line"},
	{"version: STSv1\nmode: enforce\nmax_age: 7\n", NULL, "it has no mx line"},
	{"version: STSv1\nmode: enforce\nmx: a.test\n", NULL, "it has no max_age line"},
	{"version: STSv1\nmx: a.test\nmax_age: 7\n", NULL, "it has no mode line"},
	{"version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 7\n", NULL, "its version is not STSv1"},
	{"version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 7\n", NULL, "its mode is none of enforce, testing, none"},
	{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -7\n", NULL, "its max_age is not a number of seconds"},
	{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 99999999999\n", NULL, "its max_age is not a number of seconds"},
	{"version: STSv1\nmode: enforce\nmx: a..test\nmax_age: 7\n", NULL, "one of its mx lines is not a host name"},
	{"version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 7\n", NULL, "one of its mx lines is not a host name"},
	{"version: STSv1\nmode: enforce\nmx: *\nmax_age: 7\n", NULL, "one of its mx lines is not a host name"},
	{"version: STSv1\nmode: enforce\nmx:\nmax_age: 7\n", NULL, "one of its mx lines is not a host name"},
	{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 7\nhello\n", NULL, "one of its lines is not a name, a colon and a value"},
	{"version: STSv1\n mode: enforce\nmx: a.test\nmax_age: 7\n", NULL, "one of its lines is not a name, a colon and a value"},
	{"<!DOCTYPE html>\n<html>\n", NULL, "one of its lines is not a name, a colon and a value"},
};

static void check_policy(size_t i)
{
	struct err err = {""};
	struct mta_sts p = {.max_age_s = 4711};
	struct arena mem;
	struct buf shown;
	enum rc rc;

	arena_init(&mem, 1 << 20);
	buf_init(&shown, 1000);
	rc = mta_sts_parse(span_str(policies[i].text), &mem, &p, &err);
	if (policies[i].want) {
		assert_int_equal(rc, RC_OK);
		buf_printf(&shown, "%s %u", mta_sts_mode_name(p.mode), p.max_age_s);
		for (size_t j = 0; j < p.mx_count; j++)
			buf_printf(&shown, " %.*s", SPAN_FMT(p.mx[j]));
		assert_string_equal(buf_cstr(&shown), policies[i].want);
	} else {
		assert_int_equal(rc, RC_BAD);
		assert_string_equal(err.words, policies[i].words);
		assert_int_equal(p.max_age_s, 4711);
	}
	buf_clear(&shown);
	arena_clear(&mem);
}

static void test_policies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		check_policy(i);
}

static void test_limits(void **state)
{
	static const char head[] = "version: STSv1\nmode: enforce\nmax_age: 7\n";
	struct err err = {""};
	struct mta_sts p;
	struct arena mem;
	struct buf text;

	(void)state;
	arena_init(&mem, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_add_str(&text, head);
	for (int i = 0; i < MTA_STS_MX_MAX; i++)
		buf_printf(&text, "mx: h%d.example.net\n", i);
	assert_int_equal(mta_sts_parse(buf_span(&text), &mem, &p, &err), RC_OK);
	assert_int_equal(p.mx_count, MTA_STS_MX_MAX);
	buf_add_str(&text, "mx: one.more.test\n");
	assert_int_equal(mta_sts_parse(buf_span(&text), &mem, &p, &err), RC_LIMIT);

	buf_reset(&text);
	buf_add_str(&text, head);
	buf_add_str(&text, "mx: a.test\n");
	while (text.len + 5 <= MTA_STS_TEXT_BYTES)
		buf_add_str(&text, "x: y\n");
	while (text.len < MTA_STS_TEXT_BYTES)
		buf_add_byte(&text, '\n');
	assert_int_equal(mta_sts_parse(buf_span(&text), &mem, &p, &err), RC_OK);
	buf_add_byte(&text, '\n');
	assert_int_equal(mta_sts_parse(buf_span(&text), &mem, &p, &err), RC_LIMIT);
	assert_int_equal(mta_sts_parse(span_of("version: STSv1\nmode: none\nmax_age: 7\n\0", 39), &mem, &p, &err), RC_BAD);
	arena_clear(&mem);
	arena_init(&mem, 40);
	assert_int_equal(mta_sts_parse(span_str(head), &mem, &p, &err), RC_LIMIT);
	arena_clear(&mem);
	buf_clear(&text);
}

static const struct {
	const char *host;
	bool match;
} hosts[] = {
	{"mail.example.com", true}, {"MAIL.Example.COM", true}, {"mail.example.com.", true}, {"a.example.net", true}, {"A.EXAMPLE.NET.", true},
	{"a.b.example.net", false}, {"example.net", false}, {".example.net", false}, {"example.com", false}, {"xmail.example.com", false},
	{"mail.example.com.evil.test", false}, {"evilexample.net", false}, {"*.example.net", false}, {"", false}, {".", false}, {"a.example.net..", false},
	{"a\nb.example.net", false},
};

static void test_match(void **state)
{
	static const struct span mx[] = {{(const uint8_t *)"mail.example.com", 16}, {(const uint8_t *)"*.Example.net", 13}};
	static const struct mta_sts p = {.mode = MTA_STS_ENFORCE, .mx = mx, .mx_count = 2};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (mta_sts_match(&p, span_str(hosts[i].host)) != hosts[i].match)
			fail_msg("'%s': not %d", hosts[i].host, hosts[i].match);
}

int test_mta_sts(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_policies), cmocka_unit_test(test_limits), cmocka_unit_test(test_match),
	};

	return cmocka_run_group_tests_name("mta_sts", tests, NULL, NULL);
}
