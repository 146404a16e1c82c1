#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka wants these first */
#include <cmocka.h>
#include <stdio.h>

#include "base/rng.h"
#include "policy/policy.h"

/* ---- the scenarios of the relay question: who sends from where to where */

static const struct {
	const char *words;
	struct policy_facts f;
	enum cause_id cause;
	const char *rule;
} scenarios[] = {
	{"a stranger to somebody here", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_LOCAL}, CAUSE_NONE, "local-recipient"},
	{"a stranger to elsewhere", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_RELAY_DENIED_UNAUTH, "relay"},
	{"at home, in the provider's network, to somebody here", {.stage = POLICY_AT_RCPT, .by = POLICY_BY_NETWORK, .network_sender_ok = true}, CAUSE_NONE, "local-recipient"},
	{"at home, in the provider's network, to elsewhere", {.stage = POLICY_AT_RCPT, .by = POLICY_BY_NETWORK, .network_sender_ok = true, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_NONE,
		"relay-by-network"},
	{"at work on another network, to somebody here", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_LOCAL}, CAUSE_NONE, "local-recipient"},
	{"in a hotel, not signed in, to somebody here", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_LOCAL}, CAUSE_NONE, "local-recipient"},
	{"in a hotel, not signed in, to elsewhere", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_FOREIGN, .auth_offered = true}, CAUSE_RELAY_DENIED_UNAUTH, "relay"},
	{"in a hotel, signed in, to elsewhere", {.stage = POLICY_AT_RCPT, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_NONE, "relay-by-sign-in"},
	{"mail fetched a moment ago, to elsewhere", {.stage = POLICY_AT_RCPT, .by = POLICY_BY_WINDOW, .window = POLICY_WINDOW_OPEN, .sender_owned = true, .rcpt = POLICY_RCPT_FOREIGN},
		CAUSE_NONE, "relay-by-window"},
	{"mail fetched long ago", {.stage = POLICY_AT_RCPT, .window = POLICY_WINDOW_EXPIRED, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_RELAY_WINDOW_CLOSED, "relay"},
	{"window revoked", {.stage = POLICY_AT_RCPT, .window = POLICY_WINDOW_REVOKED, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_RELAY_WINDOW_CLOSED, "relay"},
	{"password changed since", {.stage = POLICY_AT_MAIL, .is_submission = true, .window = POLICY_WINDOW_ENDED}, CAUSE_RELAY_WINDOW_CLOSED, "sign-in-required"},
	{"mail never fetched", {.stage = POLICY_AT_RCPT, .window = POLICY_WINDOW_NEVER, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_POP_BEFORE_SMTP, "relay"},
	{"an address that many share", {.stage = POLICY_AT_RCPT, .window = POLICY_WINDOW_SHARED, .rcpt = POLICY_RCPT_FOREIGN}, CAUSE_RELAY_WINDOW_SHARED, "relay"},
	{"a listener for networks only, from outside", {.stage = POLICY_AT_MAIL, .is_submission = true, .has_networks = true}, CAUSE_RELAY_DENIED_ADDRESS, "sign-in-required"},
	{"submission without sign-in", {.stage = POLICY_AT_MAIL, .is_submission = true, .auth_offered = true}, CAUSE_AUTH_REQUIRED, "sign-in-required"},
	{"TLS comes before sign-in", {.stage = POLICY_AT_MAIL, .is_submission = true, .tls_required = true, .auth_offered = true}, CAUSE_TLS_REQUIRED, "tls-required"},
	{"somebody else's address", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN}, CAUSE_SENDER_NOT_OWNED, "sender-identity"},
	{"the null sender is everybody's", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .sender_is_null = true}, CAUSE_NONE, "sender-allowed"},
	{"but not in From", {.stage = POLICY_AT_FROM, .by = POLICY_BY_SIGN_IN, .sender_is_null = true}, CAUSE_SENDER_NOT_OWNED, "sender-identity"},
	{"From that nobody can read", {.stage = POLICY_AT_FROM, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .from_unreadable = true}, CAUSE_MESSAGE_MALFORMED, "from-readable"},
	{"identity is off", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .identity = POLICY_IDENTITY_OFF}, CAUSE_NONE, "sender-allowed"},
	{"a domain that cannot be", {.stage = POLICY_AT_RCPT, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .rcpt = POLICY_RCPT_NOWHERE}, CAUSE_RCPT_DOMAIN_NOT_FOUND, "domain-exists"},
	{"a stranger to a domain that cannot be", {.stage = POLICY_AT_RCPT, .rcpt = POLICY_RCPT_NOWHERE}, CAUSE_RELAY_DENIED_UNAUTH, "relay"},
	{"a disabled account", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .account_disabled = true}, CAUSE_AUTH_ACCOUNT_DISABLED, "account-enabled"},
	{"an account that may not send", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_WINDOW, .sender_owned = true, .sending_stopped = true}, CAUSE_SENDER_ACCOUNT_SUSPENDED,
		"account-may-send"},
	{"own mailbox full", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .own_mailbox_full = true}, CAUSE_SENDER_MAILBOX_FULL, "own-mailbox-full"},
	{"own mailbox full, which is fine here", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .own_mailbox_full = true, .full_mailbox_sends = true}, CAUSE_NONE,
		"sender-allowed"},
	{"the network's senders", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_NETWORK}, CAUSE_RELAY_CREDENTIALS, "network-senders"},
	{"an address that may not send directly", {.stage = POLICY_AT_RCPT, .ip_denied = true}, CAUSE_IP_DIRECT_NOT_ALLOWED, "address-denied"},
	{"the same, signed in", {.stage = POLICY_AT_RCPT, .ip_denied = true, .by = POLICY_BY_SIGN_IN, .sender_owned = true}, CAUSE_NONE, "local-recipient"},
	{"our name from a stranger", {.stage = POLICY_AT_RCPT, .sender_hosted = true, .sender_domain_guarded = true}, CAUSE_SENDER_UNAUTHENTICATED, "domain-guards-its-name"},
	{"our name, not guarded", {.stage = POLICY_AT_RCPT, .sender_hosted = true}, CAUSE_NONE, "local-recipient"},
	{"not on the domain's allow list", {.stage = POLICY_AT_RCPT, .domain_has_allow_list = true}, CAUSE_RCPT_DOMAIN_ALLOW_LIST, "domain-allow-list"},
	{"the domain wants TLS", {.stage = POLICY_AT_RCPT, .domain_requires_tls = true}, CAUSE_RCPT_DOMAIN_REQUIRES_TLS, "domain-requires-tls"},
	{"no such mailbox", {.stage = POLICY_AT_RCPT, .rcpt_cause = CAUSE_RCPT_UNKNOWN}, CAUSE_RCPT_UNKNOWN, "mailbox"},
	{"a limit of the sender", {.stage = POLICY_AT_MAIL, .by = POLICY_BY_SIGN_IN, .sender_owned = true, .sender_limit = CAUSE_QUOTA_SENDER_DAILY}, CAUSE_QUOTA_SENDER_DAILY,
		"sending-limit"},
	{"a limit of the recipient", {.stage = POLICY_AT_RCPT, .rcpt_limit = CAUSE_RCPT_RATE_LIMITED}, CAUSE_RCPT_RATE_LIMITED, "receiving-limit"},
	{"too big", {.stage = POLICY_AT_MAIL, .too_big = true}, CAUSE_MESSAGE_TOO_BIG, "message-size"},
};

static void test_scenarios(void **state)
{
	struct policy_verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		policy_decide(&scenarios[i].f, &v);
		if (v.cause != scenarios[i].cause || strcmp(v.rule, scenarios[i].rule) != 0)
			fail_msg("%s: %s by %s", scenarios[i].words, v.cause ? cause_slug(v.cause) : "allowed", v.rule);
	}
}

/* ---- over all facts */

static void random_facts(struct policy_facts *f)
{
	static const enum cause_id mailbox[] = {CAUSE_NONE, CAUSE_NONE, CAUSE_RCPT_UNKNOWN, CAUSE_RCPT_DISABLED, CAUSE_RCPT_MAILBOX_FULL, CAUSE_RCPT_ALIAS_LOOP};
	uint64_t r = rng_u64(), more = rng_u64();
	bool *const flags[] = {&f->is_submission, &f->tls_required, &f->auth_offered, &f->auth_needs_tls, &f->has_networks, &f->ip_denied, &f->tls, &f->revoked, &f->account_disabled,
		&f->sending_stopped, &f->own_mailbox_full, &f->full_mailbox_sends, &f->sender_is_null, &f->sender_owned, &f->from_unreadable, &f->network_sender_ok,
		&f->sender_hosted, &f->sender_domain_guarded, &f->too_big, &f->domain_has_allow_list, &f->domain_allows_ip, &f->domain_requires_tls};

	*f = (struct policy_facts){.stage = (enum policy_stage)(more % 3), .by = (enum policy_by)(more / 3 % 4), .window = (enum policy_window)(more / 12 % 8),
		.identity = (enum policy_identity)(more / 96 % POLICY_IDENTITIES), .rcpt = (enum policy_rcpt)(more / 384 % 3), .rcpt_cause = mailbox[more / 1152 % 6],
		.sender_limit = more / 6912 % 4 ? CAUSE_NONE : CAUSE_RATE_LIMIT_SENDER, .rcpt_limit = more / 27648 % 4 ? CAUSE_NONE : CAUSE_RCPT_RATE_LIMITED};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		*flags[i] = (r >> i & 1) != 0;
}

/* Whatever the facts: nobody whom nothing speaks for reaches elsewhere. */
static void test_no_open_relay(void **state)
{
	struct policy_facts f;
	struct policy_verdict v;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		random_facts(&f);
		f.stage = POLICY_AT_RCPT;
		f.by = POLICY_BY_NOTHING;
		if (f.rcpt == POLICY_RCPT_LOCAL)
			f.rcpt = POLICY_RCPT_FOREIGN;
		policy_decide(&f, &v);
		assert_int_not_equal(v.cause, CAUSE_NONE);
	}
}

/* the changes that are proposed do turn a refusal, and each of them is needed */
static void test_way_out(void **state)
{
	enum policy_change changes[8];
	struct policy_facts f, after, less;
	struct policy_verdict v;
	unsigned turned = 0, refused = 0;
	bool helps;
	size_t n;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		random_facts(&f);
		policy_decide(&f, &v);
		n = policy_way_out(&f, changes, 8, &after, &helps);
		if (v.cause == CAUSE_NONE) {
			assert_true(helps && n == 0);
			continue;
		}
		refused++;
		if (!helps)
			continue;
		turned++;
		policy_decide(&after, &v);
		assert_int_equal(v.cause, CAUSE_NONE);
		assert_true(n > 0);
		less = f;
		for (size_t k = 0; k + 1 < n; k++)
			assert_true(policy_apply(&less, changes[k]));
		policy_decide(&less, &v);
		assert_int_not_equal(v.cause, CAUSE_NONE); /* without the last one it would still be refused */
	}
	assert_true(refused > 100000 && turned > refused / 2);
}

static void test_words(void **state)
{
	enum policy_identity id;

	(void)state;
	for (int i = POLICY_CHANGE_NONE + 1; i < POLICY_CHANGES; i++)
		assert_true(strlen(policy_change_words((enum policy_change)i)) > 3);
	for (int i = 0; i < POLICY_IDENTITIES; i++) {
		assert_true(policy_identity_parse(span_str(policy_identity_name((enum policy_identity)i)), &id));
		assert_int_equal(id, i);
	}
	assert_false(policy_identity_parse(SPAN_LIT("strict"), &id));
	assert_string_equal(policy_by_name(POLICY_BY_WINDOW), "relay-window");
	assert_string_equal(policy_window_name(POLICY_WINDOW_EXPIRED), "expired");
}

static void test_domains(void **state)
{
	static const struct { const char *name; bool impossible; } domains[] = {{"example.org", false}, {"a.b.c", false}, {"gmail", true}, {"localhost", true}, {"x.localhost", true},
		{"foo.invalid", true}, {"foo.INVALID", true}, {"abc.onion", true}, {"invalid.example", false}, {"", true}, {"[192.0.2.1]", false}, {"mail.local", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++)
		if (policy_domain_impossible(span_str(domains[i].name)) != domains[i].impossible)
			fail_msg("%s", domains[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios), cmocka_unit_test(test_no_open_relay), cmocka_unit_test(test_way_out), cmocka_unit_test(test_words),
		cmocka_unit_test(test_domains)};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
