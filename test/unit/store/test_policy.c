/* whose address is it, what an account and a domain say about sending, and that all of it goes with them */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "store/store_policy.h"

static void own(struct fixture *f, const char *account, const char *sender, bool want)
{
	bool owned = !want;

	assert_rc(RC_OK, store_sender_owned(f->s, fixture_get(f, account).id, S(sender), &owned, &f->err));
	if (owned != want)
		print_error("%s as %s: %s\n", account, sender, owned ? "owned" : "not owned");
	assert_int_equal(want, owned);
}

static void alias(struct fixture *f, const char *from, const char *to)
{
	assert_rc(RC_OK, store_alias_add(f->s, S(from), S(to), &f->err));
}

static void it_is_theirs_or_it_is_not(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *account, *sender; bool own; } cases[] = {
		{"anna@example.org", "anna@example.org", true}, {"anna@example.org", "ANNA@Example.ORG", true}, {"anna@example.org", "\"anna\"@example.org", true},
		{"anna@example.org", "anna+lists@example.org", true}, {"anna@example.org", "anna+@example.org", true}, {"anna@example.org", "an+na@example.org", false},
		{"anna@example.org", "bert@example.org", false}, {"anna@example.org", "bert+anna@example.org", false}, {"anna@example.org", "anna@example.net", false},
		{"anna@example.org", "anna@sub.example.org", false}, {"anna@example.org", "anna@foreign.example", false},
		{"anna@example.org", "info@example.org", true}, {"anna@example.org", "info+x@example.org", true}, {"bert@example.org", "info@example.org", false},
		{"anna@example.org", "deep@example.org", true}, {"anna@example.org", "team@example.org", false}, {"bert@example.org", "team@example.org", false},
		{"anna@example.org", "outward@example.org", false}, {"anna@example.org", "overteam@example.org", false},
		{"carl@example.org", "anything@example.net", true}, {"anna@example.org", "anything@example.net", false},
		{"carl@example.org", "sales@example.net", false}, {"anna@example.org", "sales@example.net", true}, /* an alias comes before the catch-all */
		{"anna@example.org", "postmaster@example.org", true}, {"bert@example.org", "postmaster@example.org", false},
		{"anna@example.org", "postmaster", false}, {"anna@example.org", "", false}, {"anna@example.org", "anna", false}, {"anna@example.org", "@example.org", false},
		{"anna@example.org", "anna@example.org\r\n", false}, {"anna@example.org", "anna@example.org@evil.example", false},
		{"anna@example.org", "anna@example.org.", false}, {"anna@example.org", "<anna@example.org>", false}, {"anna@example.org", " anna@example.org", false},
	};

	alias(f, "info@example.org", "anna@example.org");
	alias(f, "deep@example.org", "info@example.org");
	alias(f, "team@example.org", "anna@example.org");
	alias(f, "team@example.org", "bert@example.org");
	alias(f, "overteam@example.org", "team@example.org");
	alias(f, "outward@example.org", "anna@example.org");
	alias(f, "outward@example.org", "x@foreign.example");
	alias(f, "sales@example.net", "anna@example.org");
	assert_rc(RC_OK, store_domain_catch_all(f->s, S("example.net"), S("carl@example.org"), &f->err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		own(f, cases[i].account, cases[i].sender, cases[i].own);
}

struct listing {
	char text[512];
	size_t count;
};

static void listing_add(struct listing *l, struct span a)
{
	size_t len = strlen(l->text);

	if (l->count++ < 10)
		(void)snprintf(l->text + len, sizeof(l->text) - len, "%.*s\n", SPAN_FMT(a));
}

static enum rc list_sender(void *arg, struct span address)
{
	listing_add(arg, address);
	return RC_OK;
}

static enum rc list_rule(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value)
{
	struct listing *l = arg;
	char line[512];

	(void)snprintf(line, sizeof(line), "%.*s %d %.*s", SPAN_FMT(domain), (int)kind, SPAN_FMT(value));
	listing_add(l, S(line));
	return RC_OK;
}

static void senders_are_granted_and_taken_back(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};

	alias(f, "team@example.org", "anna@example.org");
	alias(f, "team@example.org", "bert@example.org");
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("Team@Example.org"), &f->err));
	assert_rc(RC_EXISTS, store_send_as_add(f->s, S("anna@example.org"), S("team@example.org"), &f->err));
	assert_rc(RC_EXISTS, store_send_as_add(f->s, S("anna@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("anna@gmail.example"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("@Shop.Example"), &f->err));
	assert_rc(RC_NONE, store_send_as_add(f->s, S("nobody@example.org"), S("x@example.org"), &f->err));
	assert_non_null(strstr(f->err.words, "nobody@example.org"));
	assert_rc(RC_BAD, store_send_as_add(f->s, S("anna@example.org"), S("postmaster"), &f->err));
	assert_rc(RC_BAD, store_send_as_add(f->s, S("anna@example.org"), S("not an address"), &f->err));
	assert_rc(RC_BAD, store_send_as_add(f->s, S("anna@example.org"), S("@"), &f->err));
	assert_rc(RC_BAD, store_send_as_add(f->s, S("anna@example.org"), S("@*.example"), &f->err));
	own(f, "anna@example.org", "team@example.org", true);
	own(f, "anna@example.org", "bert@example.org", true);
	own(f, "anna@example.org", "bert+x@example.org", false); /* what is granted is that address */
	own(f, "anna@example.org", "anna@gmail.example", true);
	own(f, "anna@example.org", "whoever@shop.example", true);
	own(f, "anna@example.org", "whoever@sub.shop.example", false);
	own(f, "bert@example.org", "team@example.org", false);
	assert_rc(RC_OK, store_send_as_each(f->s, S("anna@example.org"), list_sender, &l, &f->err));
	assert_string_equal("@shop.example\nanna@gmail.example\nbert@example.org\nteam@example.org\n", l.text);
	assert_rc(RC_OK, store_send_as_remove(f->s, S("anna@example.org"), S("@shop.example"), &f->err));
	assert_rc(RC_NONE, store_send_as_remove(f->s, S("anna@example.org"), S("@shop.example"), &f->err));
	own(f, "anna@example.org", "whoever@shop.example", false);
}

/* an address that goes takes the right to use it along: the next to have it is somebody else */
static void rights_end_with_the_address(void **state)
{
	struct fixture *f = *state;

	alias(f, "team@example.org", "anna@example.org");
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("carl@example.org"), S("team@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("bert@example.org"), S("carl@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("carl@example.org"), S("@example.net"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("carl@example.org"), S("x@example.net"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("carl@example.org"), S("x@notexample.net"), &f->err));
	(void)fixture_sql(f, "INSERT INTO filter (account, script, needs, changed_ms) VALUES (2, 'keep;', 0, 0)");
	(void)fixture_sql(f, "INSERT INTO folder (account, id, name) VALUES (2, 1, 'Spam')");
	assert_int_equal(2, fixture_get(f, "bert@example.org").id);
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	fixture_tidy(f, NOW_MS);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM account WHERE id = 2"));
	assert_int_equal(0, fixture_sql(f, "SELECT (SELECT COUNT(*) FROM filter) + (SELECT COUNT(*) FROM folder)"));
	(void)fixture_account(f, "bert@example.org");
	own(f, "anna@example.org", "bert@example.org", false);
	own(f, "carl@example.org", "team@example.org", true);
	assert_rc(RC_OK, store_alias_remove(f->s, S("team@example.org"), SPAN_NONE, &f->err));
	own(f, "carl@example.org", "team@example.org", false);
	assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.net"), STORE_RULE_ALLOW_FROM, S("192.0.2.1"), &f->err));
	assert_rc(RC_OK, store_domain_remove(f->s, S("example.net"), &f->err));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM domain_rule"));
	own(f, "carl@example.org", "x@example.net", false);
	own(f, "carl@example.org", "x@notexample.net", true);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM send_as"));
}

static void grants_have_a_limit(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};
	char address[64];

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(address, sizeof(address), "sender%d@shop.example", i);
		assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S(address), &f->err));
		(void)snprintf(address, sizeof(address), "192.0.2.%d/32", i % 256);
		if (i < 256)
			assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S(address), &f->err));
		(void)snprintf(address, sizeof(address), "X-Score: %d", i);
		if (i < 744)
			assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S(address), &f->err));
	}
	assert_rc(RC_LIMIT, store_send_as_add(f->s, S("anna@example.org"), S("more@shop.example"), &f->err));
	assert_rc(RC_LIMIT, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("198.51.100.1"), &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_rc(RC_OK, store_send_as_each(f->s, S("anna@example.org"), list_sender, &l, &f->err));
	assert_int_equal(1000, l.count);
	l = (struct listing){0};
	assert_rc(RC_OK, store_domain_rule_each(f->s, SPAN_NONE, list_rule, &l, &f->err));
	assert_int_equal(1000, l.count);
}

static void says(struct fixture *f, const char *account, size_t max, const char *want)
{
	struct buf out;

	buf_init(&out, 1000);
	buf_add_str(&out, "* ");
	assert_rc(RC_OK, store_sender_addresses(f->s, fixture_get(f, account).id, max, &out, &f->err));
	assert_string_equal(want, buf_cstr(&out) + 2);
	assert_true(strlen(want) <= max);
	buf_clear(&out);
}

static void a_refusal_names_the_addresses(void **state)
{
	struct fixture *f = *state;
	char address[64];

	says(f, "anna@example.org", 100, "anna@example.org");
	says(f, "anna@example.org", 33, "anna@example.org"); /* room for the name and " and N more", needed or not */
	says(f, "anna@example.org", 32, "1 addresses");
	alias(f, "info@example.org", "anna@example.org");
	alias(f, "deep@example.org", "info@example.org");
	alias(f, "team@example.org", "anna@example.org");
	alias(f, "team@example.org", "bert@example.org");
	assert_rc(RC_OK, store_domain_catch_all(f->s, S("example.net"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_send_as_add(f->s, S("anna@example.org"), S("@shop.example"), &f->err));
	says(f, "anna@example.org", 200, "anna@example.org, @shop.example, info@example.org, deep@example.org, @example.net");
	says(f, "anna@example.org", 50, "anna@example.org, @shop.example and 3 more");
	says(f, "bert@example.org", 200, "bert@example.org");
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 500; i++) {
		(void)snprintf(address, sizeof(address), "a%d@example.org", i);
		alias(f, address, "bert@example.org");
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	says(f, "bert@example.org", 60, "bert@example.org, a0@example.org and more");
	assert_rc(RC_NONE, store_sender_addresses(f->s, 999, 100, &(struct buf){.max_bytes = 100}, &f->err));
}

static struct store_domain_policy policy(struct fixture *f, const char *domain, const char *ip)
{
	struct store_domain_policy p = {0};
	struct net_address a;

	if (ip)
		assert_int_equal(RC_OK, net_parse(S(ip), &a));
	assert_rc(RC_OK, store_domain_policy(f->s, S(domain), ip ? &a : NULL, &p, &f->err));
	return p;
}

static void a_domain_has_its_say(void **state)
{
	struct fixture *f = *state;
	struct store_domain_policy p = policy(f, "Example.ORG", "192.0.2.1");
	struct listing l = {0};

	assert_true(p.hosted && p.identity == 0 && !p.guard_own && !p.require_tls && !p.has_allow_list && !p.has_header_rules && !p.allows_ip);
	p = policy(f, "foreign.example", NULL);
	assert_false(p.hosted);
	assert_false(policy(f, "", NULL).hosted);
	assert_rc(RC_OK, store_domain_set_identity(f->s, S("EXAMPLE.org"), 2, &f->err));
	assert_rc(RC_OK, store_domain_set_guard(f->s, S("example.org"), true, &f->err));
	assert_rc(RC_OK, store_domain_set_require_tls(f->s, S("example.org"), true, &f->err));
	assert_rc(RC_BAD, store_domain_set_identity(f->s, S("example.org"), 4, &f->err));
	assert_rc(RC_NONE, store_domain_set_identity(f->s, S("foreign.example"), 1, &f->err));
	assert_rc(RC_NONE, store_domain_set_guard(f->s, S("foreign.example"), true, &f->err));
	p = policy(f, "example.org", NULL);
	assert_true(p.identity == 2 && p.guard_own && p.require_tls);
	p = policy(f, "example.net", NULL);
	assert_true(p.hosted && p.identity == 0 && !p.guard_own && !p.require_tls);

	assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("192.0.2.0/24"), &f->err));
	assert_rc(RC_EXISTS, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("192.0.2.0/24"), &f->err));
	assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("2001:DB8:0::/32"), &f->err));
	assert_rc(RC_EXISTS, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("2001:db8::/32"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("192.0.2.1/24"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("example.com"), &f->err));
	assert_rc(RC_NONE, store_domain_rule_add(f->s, S("foreign.example"), STORE_RULE_ALLOW_FROM, S("192.0.2.1"), &f->err));
	p = policy(f, "example.org", "192.0.2.77");
	assert_true(p.has_allow_list && p.allows_ip && !p.has_header_rules);
	assert_true(policy(f, "example.org", "::ffff:192.0.2.77").allows_ip);
	assert_true(policy(f, "example.org", "2001:db8:1::1").allows_ip);
	assert_false(policy(f, "example.org", "192.0.3.1").allows_ip);
	assert_false(policy(f, "example.org", NULL).allows_ip);

	assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam-Flag :\tYES "), &f->err));
	assert_rc(RC_EXISTS, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam-Flag: YES"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam-Flag"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam-Flag:"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S(": YES"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X Spam: YES"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam: Y\r\nES"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam: \xc2\x85"), &f->err));
	assert_rc(RC_BAD, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, S("X-Spam: \xff"), &f->err));
	assert_true(policy(f, "example.org", NULL).has_header_rules);
	assert_rc(RC_OK, store_domain_rule_each(f->s, S("example.org"), list_rule, &l, &f->err));
	assert_string_equal("example.org 1 192.0.2.0/24\nexample.org 1 2001:db8::/32\nexample.org 2 X-Spam-Flag: YES\n", l.text);
	assert_rc(RC_NONE, store_domain_rule_each(f->s, S("foreign.example"), list_rule, &l, &f->err));
	assert_rc(RC_OK, store_domain_rule_remove(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("2001:db8::/32"), &f->err));
	assert_rc(RC_NONE, store_domain_rule_remove(f->s, S("example.org"), STORE_RULE_ALLOW_FROM, S("2001:db8::/32"), &f->err));
	assert_false(policy(f, "example.org", "2001:db8:1::1").allows_ip);
	assert_true(policy(f, "example.org", "2001:db8:1::1").has_allow_list);
}

static void a_rule_has_a_longest_form(void **state)
{
	struct fixture *f = *state;
	char long_rule[300];

	memset(long_rule, 'x', sizeof(long_rule));
	memcpy(long_rule, "X-A: ", 5);
	assert_rc(RC_OK, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, span_of(long_rule, 256), &f->err));
	assert_rc(RC_LIMIT, store_domain_rule_add(f->s, S("example.org"), STORE_RULE_REFUSE_HEADER, span_of(long_rule, 257), &f->err));
}

static void an_account_has_its_facts(void **state)
{
	struct fixture *f = *state;
	struct store_account_policy p;
	int64_t anna = fixture_get(f, "anna@example.org").id;

	assert_rc(RC_OK, store_account_policy(f->s, anna, &f->mem, &p, &f->err));
	assert_true(p.enabled && p.sending && !p.full && p.identity == 0 && p.message_rates.len == 0 && p.rcpt_rates.len == 0);
	assert_true(span_eq(p.address, S("anna@example.org")));
	assert_rc(RC_OK, store_account_set_sending(f->s, S("Anna@example.org"), false, &f->err));
	assert_rc(RC_OK, store_account_enable(f->s, S("anna@example.org"), false, &f->err));
	assert_rc(RC_OK, store_account_set_rates(f->s, S("anna@example.org"), S("10/hour"), S("50/day"), &f->err));
	assert_rc(RC_OK, store_domain_set_identity(f->s, S("example.org"), 1, &f->err));
	assert_rc(RC_OK, store_account_policy(f->s, anna, &f->mem, &p, &f->err));
	assert_true(!p.enabled && !p.sending && p.identity == 1);
	assert_true(span_eq(p.message_rates, S("10/hour")) && span_eq(p.rcpt_rates, S("50/day")));
	assert_rc(RC_NONE, store_account_set_sending(f->s, S("nobody@example.org"), false, &f->err));
	assert_rc(RC_NONE, store_account_policy(f->s, 999, &f->mem, &p, &f->err));
	assert_rc(RC_OK, store_account_quota(f->s, S("bert@example.org"), 10, &f->err));
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"bert@example.org"}}).cause);
	assert_rc(RC_OK, store_account_policy(f->s, fixture_get(f, "bert@example.org").id, &f->mem, &p, &f->err));
	assert_true(p.full && p.sending);
	assert_rc(RC_OK, store_account_remove(f->s, S("anna@example.org"), &f->err));
	assert_rc(RC_NONE, store_account_policy(f->s, anna, &f->mem, &p, &f->err));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_theirs_or_it_is_not), T(senders_are_granted_and_taken_back), T(rights_end_with_the_address), T(grants_have_a_limit), T(a_refusal_names_the_addresses),
		T(a_domain_has_its_say), T(a_rule_has_a_longest_form), T(an_account_has_its_facts),
	};

	return cmocka_run_group_tests_name("store-policy", tests, NULL, NULL);
}
