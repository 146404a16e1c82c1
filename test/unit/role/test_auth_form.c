/* Names that lead to no account, and what the administrator is told about them. */
#include "role/auth_form.h"

#include "base/limits.h"
#include "test_role.h"

#define FORM(address) CAUSE_AUTH_LOGIN_FORM, "the form would be " address

static int setup(void **state)
{
	(void)state;
	cred_stub_reset();
	cred_stub_add("alice@example.org", "a", false, true);
	cred_stub_add("bob@example.org", "b", false, true);
	cred_stub_add("bob@example.net", "b", false, true);
	cred_stub_add("o'brien@example.org", "o", false, true);
	cred_stub_add("a&b@example.org", "o", false, true);
	cred_stub_add("j\xc3\xb6rg@example.org", "j", false, true);
	cred_stub_add("john doe@example.net", "j", false, true);
	cred_stub_add("first.last@example.net", "j", false, true);
	return 0;
}

static void explain(struct span name, const char *default_domain, enum cause_id cause, const char *words)
{
	enum cause_id got = CAUSE_NONE;
	struct buf detail;
	struct err err;

	buf_init(&detail, AUTH_FORM_DETAIL_BYTES);
	assert_int_equal(auth_form_explain(NULL, name, default_domain, &got, &detail, &err), RC_OK);
	if (got != cause || (words && strcmp(buf_cstr(&detail), words) != 0))
		fail_msg("\"%.*s\": %s, %s", SPAN_FMT(name), cause_slug(got), buf_cstr(&detail));
	assert_true(detail.len && !detail.overflow);
	buf_clear(&detail);
}

static void test_forms(void **state)
{
	static const struct {
		const char *name, *default_domain;
		enum cause_id cause;
		const char *words;
	} cases[] = {
		/* other separators */
		{"alice%example.org", "", FORM("alice@example.org")},
		{"alice/example.org", "", FORM("alice@example.org")},
		{"alice#example.org", "", FORM("alice@example.org")},
		{"alice=example.org", "", FORM("alice@example.org")},
		{"alice:example.org", "", FORM("alice@example.org")},
		{"alice.example.org", "", FORM("alice@example.org")},
		{"example.org\\alice", "", FORM("alice@example.org")},
		{"EXAMPLE\\alice", "", FORM("alice@example.org")},
		{"example.org!alice", "", FORM("alice@example.org")},
		{"EXAMPLE/Alice", "example.org", FORM("alice@example.org")},
		{"first.last.example.net", "", FORM("first.last@example.net")},
		{"alice at example.org", "", FORM("alice@example.org")},
		{"alice(at)example.org", "", FORM("alice@example.org")},
		{"alice%40example.org", "", FORM("alice@example.org")},
		{"alice\xef\xbc\xa0"
		 "example.org",
		 "", FORM("alice@example.org")},
		{"alice@example.org@example.org", "", FORM("alice@example.org")},
		{"alice%example.org@mail.example.org", "", FORM("alice@example.org")},
		{"alice@@example.org", "", FORM("alice@example.org")},
		/* what was copied with it */
		{"mailto:alice@example.org", "", FORM("alice@example.org")},
		{"<alice@example.org>", "", FORM("alice@example.org")},
		{"'alice@example.org'", "", FORM("alice@example.org")},
		{"\"alice@example.org\"", "", FORM("alice@example.org")},
		{"\xe2\x80\x9c"
		 "alice@example.org\xe2\x80\x9d",
		 "", FORM("alice@example.org")},
		{"Alice A <alice@example.org>", "", FORM("alice@example.org")},
		{"alice@example.org.", "", FORM("alice@example.org")},
		{"alice@example.org;", "", FORM("alice@example.org")},
		{"alice @ example.org", "", FORM("alice@example.org")},
		{"\xc2\xa0"
		 "alice@example.org",
		 "", FORM("alice@example.org")},
		{"alice@example.org\xe2\x80\x8b", "", FORM("alice@example.org")},
		{"\"alice\"", "example.org", FORM("alice@example.org")},
		{"MAILTO:<Alice@Example.org>", "", FORM("alice@example.org")},
		/* signs that look alike, or were encoded on the way */
		{"alice@example,org", "", FORM("alice@example.org")},
		{"first,last@example.net", "", FORM("first.last@example.net")},
		{"alice@example..org", "", FORM("alice@example.org")},
		{"o\xe2\x80\x99"
		 "brien@example.org",
		 "", FORM("o'brien@example.org")},
		{"O\xc2\xb4"
		 "Brien@example.org",
		 "", FORM("o'brien@example.org")},
		{"o`brien@example.org", "", FORM("o'brien@example.org")},
		{"o&#39;brien@example.org", "", FORM("o'brien@example.org")},
		{"o\\'brien@example.org", "", FORM("o'brien@example.org")},
		{"o''brien@example.org", "", FORM("o'brien@example.org")},
		{"o%27brien@example.org", "", FORM("o'brien@example.org")},
		{"a&amp;b@example.org", "", FORM("a&b@example.org")},
		{"o\xe2\x80\x99"
		 "brien",
		 "", FORM("o'brien@example.org")},
		{"j\xf6rg@example.org", "", FORM("j\xc3\xb6rg@example.org")},
		{"J\xf6rg", "example.org", FORM("j\xc3\xb6rg@example.org")},
		/* too much, or the wrong place */
		{"alice@mail.example.org", "", FORM("alice@example.org")},
		{"alice+lists@example.org", "", FORM("alice@example.org")},
		{"al'ice@example.org", "", FORM("alice@example.org")},
		/* bare names */
		{"bob", "", CAUSE_AUTH_LOGIN_FORM, "\"bob\" could be bob@example.org or bob@example.net"},
		{"alice", "example.net", CAUSE_AUTH_LOGIN_FORM, "\"alice\" could be alice@example.org"},
		{"nobody", "", CAUSE_AUTH_USER_UNKNOWN, "\"nobody\" is no account of any domain (and there is no default-domain)"},
		{"nobody", "example.org", CAUSE_AUTH_USER_UNKNOWN,
		 "\"nobody\" is no account of example.org, the default-domain, nor of any other"},
		/* really not there */
		{"nobody@example.org", "", CAUSE_AUTH_USER_UNKNOWN, "no account has this address"},
		{"alice@example.net", "", CAUSE_AUTH_USER_UNKNOWN, "no account has this address; there is alice@example.org"},
		{"bob@elsewhere.example", "", CAUSE_AUTH_DOMAIN_UNKNOWN,
		 "no account has an address in elsewhere.example; there is bob@example.org or bob@example.net"},
		{"nobody@elsewhere.example", "", CAUSE_AUTH_DOMAIN_UNKNOWN, "no account has an address in elsewhere.example"},
		{"nobody@", "", CAUSE_AUTH_DOMAIN_UNKNOWN, "no account has an address in the empty domain"},
		{"", "", CAUSE_AUTH_LOGIN_FORM, "the name is empty"},
		{"  ", "example.org", CAUSE_AUTH_LOGIN_FORM, "the name is empty"},
		{"' OR 1=1 --", "", CAUSE_AUTH_USER_UNKNOWN, NULL},
		{"%s%n%x@example.org", "", CAUSE_AUTH_USER_UNKNOWN, NULL},
		{"@", "", CAUSE_AUTH_DOMAIN_UNKNOWN, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		explain(span_str(cases[i].name), cases[i].default_domain, cases[i].cause, cases[i].words);
}

/* the longest and strangest names end soon, and in words */
static void test_hostile(void **state)
{
	static const char *const fill[] = {"''",   "%",	   "@",	  ".", "<",  "\xe2\x80\x99", "&#39;",
					   " at ", "\xff", "=40", ",", "a.", "\"\\",	     "@@"};
	char name[LIMIT_LOGIN_BYTES + 40];
	enum cause_id cause;
	struct buf detail;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(fill) / sizeof(fill[0]); i++) {
		for (size_t n = 0; n < sizeof(name); n++)
			name[n] = fill[i][n % strlen(fill[i])];
		cause = CAUSE_NONE;
		buf_init(&detail, AUTH_FORM_DETAIL_BYTES);
		assert_int_equal(auth_form_explain(NULL, span_of(name, sizeof(name)), "example.org", &cause, &detail, &err), RC_OK);
		assert_true(cause == CAUSE_AUTH_LOGIN_FORM || cause == CAUSE_AUTH_USER_UNKNOWN || cause == CAUSE_AUTH_DOMAIN_UNKNOWN);
		assert_true(detail.len && !detail.overflow);
		buf_clear(&detail);
	}
	cred_stub_broken(true);
	buf_init(&detail, AUTH_FORM_DETAIL_BYTES);
	assert_int_equal(auth_form_explain(NULL, SPAN_LIT("alice"), "", &cause, &detail, &err), RC_IO);
	buf_clear(&detail);
}

int test_auth_form(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_forms, setup), cmocka_unit_test_setup(test_hostile, setup)};

	return cmocka_run_group_tests_name("auth_form", tests, NULL, NULL);
}
