#include "fixture.h"

#include <stdio.h>

struct resolve_case {
	const char *address;
	uint64_t bytes;
	enum cause_id cause;
	unsigned tag;        /* low bits; 0: none */
	const char *account; /* where the tag must lead, for accounts */
};

static void resolve_check(struct fixture *f, const struct resolve_case *c)
{
	struct store_resolved r = {0};

	assert_rc(RC_OK, store_resolve(f->s, S(c->address), c->bytes, &f->mem, &r, &f->err));
	if (r.cause != c->cause || (r.tag & 7) != c->tag)
		print_error("%s: cause %d (wanted %d), tag %u (wanted %u)\n", c->address, (int)r.cause, (int)c->cause, (unsigned)(r.tag & 7), c->tag);
	assert_int_equal(c->cause, r.cause);
	assert_int_equal(c->tag, r.tag & 7);
	if (c->account)
		assert_int_equal(fixture_get(f, c->account).id, (int64_t)(r.tag >> 3));
}

static void who_answers_to_an_address(void **state)
{
	static const struct resolve_case cases[] = {
		{"anna@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"ANNA@Example.ORG", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"\"anna\"@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"anna+shop@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"anna+a+b@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"bert+exact@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "bert+exact@example.org"},
		{"+anna@example.org", 0, CAUSE_RCPT_UNKNOWN, 0, NULL},
		{"team@example.org", 0, CAUSE_NONE, STORE_TAG_ALIAS, NULL},
		{"team+x@example.org", 0, CAUSE_NONE, STORE_TAG_ALIAS, NULL},
		{"nobody@example.org", 0, CAUSE_RCPT_UNKNOWN, 0, NULL},
		{"nobody@example.org", 0, CAUSE_RCPT_UNKNOWN, 0, NULL},
		{"off@example.org", 0, CAUSE_RCPT_DISABLED, 0, NULL},
		{"tooff@example.org", 0, CAUSE_RCPT_DISABLED, 0, NULL},
		{"small@example.org", 1000, CAUSE_NONE, STORE_TAG_ACCOUNT, "small@example.org"},
		{"small@example.org", 1001, CAUSE_RCPT_OVER_QUOTA, 0, NULL},
		{"tosmall@example.org", 1001, CAUSE_RCPT_OVER_QUOTA, 0, NULL},
		{"small@example.org", UINT64_MAX, CAUSE_RCPT_OVER_QUOTA, 0, NULL},
		{"anyone@example.net", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "carl@example.org"},
		{"somebody@foreign.example", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"anna@sub.example.org", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"\"anna@example.org\"@foreign.example", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"anna%example.org@foreign.example", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"anna@[192.0.2.1]", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"x' OR '1'='1@example.org", 0, CAUSE_RCPT_SYNTAX, 0, NULL},
		{"\"x' OR '1'='1\"@example.org", 0, CAUSE_RCPT_UNKNOWN, 0, NULL},
		{"postmaster", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"PostMaster@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"postmaster@empty.example", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"postmaster@example.net", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "carl@example.org"},
		{"postmaster@foreign.example", 0, CAUSE_NONE, STORE_TAG_FOREIGN, NULL},
		{"no address", 0, CAUSE_RCPT_SYNTAX, 0, NULL},
	};
	struct fixture *f = *state;

	fixture_account(f, "bert+exact@example.org");
	fixture_account(f, "off@example.org");
	fixture_account(f, "small@example.org");
	assert_rc(RC_OK, store_account_enable(f->s, S("off@example.org"), false, &f->err));
	assert_rc(RC_OK, store_account_quota(f->s, S("small@example.org"), 1000, &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("tooff@example.org"), S("off@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("tosmall@example.org"), S("small@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("tosmall@example.org"), S("off@example.org"), &f->err));
	assert_rc(RC_OK, store_domain_catch_all(f->s, S("example.net"), S("carl@example.org"), &f->err));
	assert_rc(RC_OK, store_domain_add(f->s, S("empty.example"), &f->err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		resolve_check(f, &cases[i]);
}

static void a_real_postmaster_comes_first(void **state)
{
	struct fixture *f = *state;

	fixture_account(f, "postmaster@example.org");
	resolve_check(f, &(struct resolve_case){"postmaster", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "postmaster@example.org"});
	assert_rc(RC_OK, store_alias_add(f->s, S("postmaster@example.net"), S("bert@example.org"), &f->err));
	resolve_check(f, &(struct resolve_case){"postmaster@example.net", 0, CAUSE_NONE, STORE_TAG_ALIAS, NULL});
}

static void a_disabled_oldest_account_is_no_postmaster(void **state)
{
	struct fixture *f = *state;

	assert_rc(RC_OK, store_account_enable(f->s, S("anna@example.org"), false, &f->err));
	resolve_check(f, &(struct resolve_case){"postmaster@example.org", 0, CAUSE_NONE, STORE_TAG_ACCOUNT, "bert@example.org"});
}

static void a_full_mailbox_says_its_size(void **state)
{
	struct fixture *f = *state;
	struct store_resolved r = {0};

	assert_rc(RC_OK, store_account_quota(f->s, S("anna@example.org"), 25 << 20, &f->err));
	assert_rc(RC_OK, store_resolve(f->s, S("anna@example.org"), 26 << 20, &f->mem, &r, &f->err));
	assert_int_equal(CAUSE_RCPT_OVER_QUOTA, r.cause);
	assert_true(span_eq(r.limit, SPAN_LIT("25 MiB")));
}

/* what fits an empty mailbox may come again; what does not never gets in. With two mailboxes behind an alias the one that passes is said */
static void never_fits_is_told_from_full(void **state)
{
	static const struct resolve_case cases[] = {
		{"anna@example.org", 400, CAUSE_NONE, STORE_TAG_ACCOUNT, "anna@example.org"},
		{"anna@example.org", 401, CAUSE_RCPT_MAILBOX_FULL, 0, NULL},
		{"anna@example.org", 1000, CAUSE_RCPT_MAILBOX_FULL, 0, NULL},
		{"anna@example.org", 1001, CAUSE_RCPT_OVER_QUOTA, 0, NULL},
		{"both@example.org", 1001, CAUSE_RCPT_MAILBOX_FULL, 0, NULL},
		{"both@example.org", 2001, CAUSE_RCPT_OVER_QUOTA, 0, NULL},
	};
	struct fixture *f = *state;

	assert_rc(RC_OK, store_account_quota(f->s, S("anna@example.org"), 1000, &f->err));
	assert_rc(RC_OK, store_account_quota(f->s, S("bert@example.org"), 2000, &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("bert@example.org"), &f->err));
	(void)fixture_sql(f, "UPDATE account SET used_bytes = quota_bytes * 6 / 10");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		resolve_check(f, &cases[i]);
}

static void circles_in_the_database_are_survived(void **state)
{
	struct fixture *f = *state;

	assert_rc(RC_OK, store_alias_add(f->s, S("a@example.org"), S("b@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("b@example.org"), S("anna@example.org"), &f->err));
	(void)fixture_sql(f, "UPDATE alias_target SET key = 'a@example.org', target = 'a@example.org' WHERE key = 'anna@example.org'");
	resolve_check(f, &(struct resolve_case){"a@example.org", 0, CAUSE_RCPT_ALIAS_LOOP, 0, NULL});
	(void)fixture_sql(f, "INSERT INTO alias_target VALUES (1, 'bert@example.org', 'bert@example.org')");
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"a@example.org", "b@example.org"}}).cause);
	assert_int_equal(1, fixture_get(f, "bert@example.org").messages);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest resolve_tests[] = {
	T(who_answers_to_an_address), T(a_real_postmaster_comes_first), T(a_disabled_oldest_account_is_no_postmaster), T(a_full_mailbox_says_its_size),
	T(never_fits_is_told_from_full),
	T(circles_in_the_database_are_survived),
};
const size_t resolve_count = sizeof(resolve_tests) / sizeof(resolve_tests[0]);
