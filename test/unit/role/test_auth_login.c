#include "role/auth_login.h"

#include "base/limits.h"
#include "test_role.h"

static int setup(void **state)
{
	(void)state;
	cred_stub_reset();
	cred_stub_add("ann@example.org", "a", false, true);
	cred_stub_add("bob@example.org", "b", false, true);
	cred_stub_add("bob@example.net", "b", false, true);
	cred_stub_add("o'hara&sons@example.org", "o", false, true);
	cred_stub_add("x+y.z@example.org", "x", false, true);
	cred_stub_add("list+tag@mail.example.org", "l", false, true);
	cred_stub_add("john doe@example.org", "j", false, true);
	cred_stub_add("a@b@example.org", "q", false, true);
	cred_stub_add("j\xc3\xb6rg@example.net", "u", false, true);
	cred_stub_add("o'brien@example.net", "o", false, true);
	cred_stub_add("jo@xn--bcher-kva.test", "w", false, true);
	return 0;
}

static void test_find(void **state)
{
	/* found: NULL = no such account */
	static const struct { const char *name, *domain, *canonical, *found; } cases[] = {
		{"ann@example.org", "", "ann@example.org", "ann@example.org"},
		{"ANN@Example.ORG", "", "ann@example.org", "ann@example.org"},
		{"  ann@example.org ", "", "ann@example.org", "ann@example.org"},
		{"ann+example.org", "", "ann@example.org", "ann@example.org"},
		{"Ann+EXAMPLE.org", "example.net", "ann@example.org", "ann@example.org"},
		{"ann", "example.org", "ann@example.org", "ann@example.org"},
		{"ann", "Example.ORG", "ann@example.org", "ann@example.org"},
		{"ann", "", "ann", "ann@example.org"},
		{"bob", "", "bob", NULL},                        /* two of them */
		{"bob", "example.net", "bob@example.net", "bob@example.net"},
		{"ann", "example.net", "ann@example.net", NULL}, /* the default domain is meant, nobody else's */
		{"o'hara&sons@example.org", "", "o'hara&sons@example.org", "o'hara&sons@example.org"},
		{"o'hara&sons", "", "o'hara&sons", "o'hara&sons@example.org"},
		{"x+y.z", "example.org", "x@y.z", "x+y.z@example.org"}, /* looks like a domain, is a local part */
		{"x+y.z", "", "x@y.z", "x+y.z@example.org"},
		{"list+tag+mail.example.org", "", "list+tag@mail.example.org", "list+tag@mail.example.org"},
		{"ann+detail@example.org", "", "ann+detail@example.org", NULL},
		{"ann+", "", "ann+", NULL}, {"+example.org", "", "+example.org", NULL}, {"ann+.org", "", "ann+.org", NULL},
		{"ann+example..org", "", "ann+example..org", NULL}, {"ann+localhost", "", "ann+localhost", NULL},
		/* a quoted local part is kept as its bytes */
		{"\"John Doe\"@example.org", "", "john doe@example.org", "john doe@example.org"},
		{"john doe@example.org", "", "john doe@example.org", "john doe@example.org"},
		{"\"john\\ doe\"@Example.org", "", "john doe@example.org", "john doe@example.org"}, {"\"a@b\"@example.org", "", "a@b@example.org", "a@b@example.org"},
		{"\"ann\"@example.org", "", "ann@example.org", "ann@example.org"}, {"\"ann@example.org\"", "", "\"ann@example.org\"", NULL},
		{"\"o'brien\"@example.net", "", "o'brien@example.net", "o'brien@example.net"}, {"o'brien+example.net", "", "o'brien@example.net", "o'brien@example.net"},
		{"O'Brien", "", "o'brien", "o'brien@example.net"}, {"j\xc3\xb6rg", "example.net", "j\xc3\xb6rg@example.net", "j\xc3\xb6rg@example.net"},
		{"\"j\xc3\xb6rg\"@example.net", "", "j\xc3\xb6rg@example.net", "j\xc3\xb6rg@example.net"},
		{"\"", "", "\"", NULL}, {"\"@", "", "\"@", NULL}, {"\"ann@example.org", "", "\"ann@example.org", NULL},
		/* a domain has one form, its A-labels */
		{"jo@b\xc3\xbc" "cher.test", "", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"}, {"Jo@XN--Bcher-KVA.test", "", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"},
		{"jo@B\xc3\x9c" "CHER.test", "", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"}, {"jo+b\xc3\xbc" "cher.test", "", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"},
		{"\"jo\"@b\xc3\xbc" "cher.test", "", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"}, {"jo", "b\xc3\xbc" "cher.test", "jo@xn--bcher-kva.test", "jo@xn--bcher-kva.test"},
		{"j\xc3\xb6@b\xc3\xbc" "cher.test", "", "j\xc3\xb6@xn--bcher-kva.test", NULL}, {"jo@\xe2\x80\xae.test", "", "jo@\xe2\x80\xae.test", NULL},
		{"nobody", "", "nobody", NULL}, {"@", "", "@", NULL}, {"@example.org", "", "@example.org", NULL},
		{"' OR 1=1 --", "", "' or 1=1 --", NULL}, {"j\xc3\xb6rg@example.org", "", "j\xc3\xb6rg@example.org", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_login login;
		struct arena mem;
		struct err err;

		arena_init(&mem, 4096);
		assert_int_equal(auth_login_find(NULL, span_str(cases[i].name), cases[i].domain, &mem, &login, &err), RC_OK);
		if (!span_eq(login.canonical, span_str(cases[i].canonical)))
			fail_msg("%s: canonical %.*s", cases[i].name, SPAN_FMT(login.canonical));
		if (login.found != (cases[i].found != NULL))
			fail_msg("%s: found %d", cases[i].name, login.found);
		if (login.found)
			assert_true(span_eq(login.row.address, span_str(cases[i].found)));
		arena_clear(&mem);
	}
}

static void test_refused(void **state)
{
	static const struct span bad[] = {SPAN_LIT(""), SPAN_LIT("   "), SPAN_LIT("ann\0@example.org"), SPAN_LIT("ann\r\n@example.org"), SPAN_LIT("a\x01"),
		SPAN_LIT("a\x7f"), SPAN_LIT("a\tb"), SPAN_LIT("j\xf6rg@example.org"), SPAN_LIT("\xed\xa0\x80")};
	char longer[LIMIT_LOGIN_BYTES + 2];
	struct auth_login login;
	struct arena mem;
	struct err err;

	(void)state;
	arena_init(&mem, 4096);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(auth_login_find(NULL, bad[i], "example.org", &mem, &login, &err), RC_BAD);
	memset(longer, 'a', sizeof(longer));
	assert_int_equal(auth_login_find(NULL, span_of(longer, LIMIT_LOGIN_BYTES + 1), "", &mem, &login, &err), RC_BAD);
	assert_int_equal(auth_login_find(NULL, span_of(longer, LIMIT_LOGIN_BYTES), "", &mem, &login, &err), RC_OK);
	cred_stub_broken(true);
	assert_int_equal(auth_login_find(NULL, SPAN_LIT("ann@example.org"), "", &mem, &login, &err), RC_IO);
	assert_int_equal(auth_login_find(NULL, SPAN_LIT("ann"), "", &mem, &login, &err), RC_IO);
	arena_clear(&mem);
}

int test_auth_login(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_find, setup), cmocka_unit_test_setup(test_refused, setup)};

	return cmocka_run_group_tests_name("auth_login", tests, NULL, NULL);
}
