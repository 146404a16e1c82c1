/* store_policy - what the mail database says about who may send as whom, and about the rules that a domain's administrator made. Facts only: src/policy
 * decides. The numbers of identity are those of enum policy_identity (policy/policy.h). */
#ifndef MAILROOM_STORE_STORE_POLICY_H
#define MAILROOM_STORE_STORE_POLICY_H

#include "base/net.h"
#include "store/store.h"

/* ---- domains */
enum store_domain_rule_kind {
	STORE_RULE_ALLOW_FROM = 1, /* value: a prefix; where a domain has any, mail from elsewhere comes only from these */
	STORE_RULE_REFUSE_HEADER,  /* value: "Field: pattern" (* and ?); such mail is refused as spam */
};
struct store_domain_policy {
	bool hosted;
	int identity;
	bool guard_own, require_tls;
	bool has_allow_list, allows_ip;
	bool has_header_rules;
};
/* One look-up by an index; only a domain with an allow list costs more. ip_or_null: allows_ip is false without one. */
enum rc store_domain_policy(struct store *s, struct span domain, const struct net_address *ip_or_null, struct store_domain_policy *out,
	struct err *err) RC_WARN;
enum rc store_domain_set_identity(struct store *s, struct span domain, int identity, struct err *err) RC_WARN;   /* RC_NONE: not hosted */
enum rc store_domain_set_guard(struct store *s, struct span domain, bool guard_own, struct err *err) RC_WARN;
enum rc store_domain_set_require_tls(struct store *s, struct span domain, bool on, struct err *err) RC_WARN;
/* RC_NONE: not hosted; RC_EXISTS, RC_BAD, RC_LIMIT */
enum rc store_domain_rule_add(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, struct err *err) RC_WARN;
/* RC_NONE */
enum rc store_domain_rule_remove(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, struct err *err) RC_WARN;
enum rc store_domain_rule_each(struct store *s, struct span domain_or_empty,
	enum rc (*each)(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value), void *arg, struct err *err) RC_WARN;

/* ---- accounts */
struct store_account_policy {
	struct span address;
	bool enabled, sending, full;
	int identity;                 /* of its domain */
	struct span message_rates, rcpt_rates; /* "": the configuration's */
};
enum rc store_account_policy(struct store *s, int64_t account, struct arena *mem, struct store_account_policy *out, struct err *err) RC_WARN; /* RC_NONE */
enum rc store_account_set_sending(struct store *s, struct span address, bool on, struct err *err) RC_WARN;
enum rc store_account_set_rates(struct store *s, struct span address, struct span message_rates, struct span rcpt_rates, struct err *err) RC_WARN;

/* May the account use this address as sender? Its own (with any +detail), an alias that leads to it alone, what it has as a domain's catch-all or
 * postmaster, and what was granted: an address, or "@domain" for all of it. An alias for several people is nobody's until it is granted. */
enum rc store_sender_owned(struct store *s, int64_t account, struct span sender, bool *owned_out, struct err *err) RC_WARN;
/* "alice@example.org, info@example.org and 3 more", at most max bytes: what a refusal names */
enum rc store_sender_addresses(struct store *s, int64_t account, size_t max, struct buf *out, struct err *err) RC_WARN;
/* RC_EXISTS, RC_NONE, RC_BAD, RC_LIMIT */
enum rc store_send_as_add(struct store *s, struct span account_address, struct span address_or_at_domain, struct err *err) RC_WARN;
enum rc store_send_as_remove(struct store *s, struct span account_address, struct span address_or_at_domain, struct err *err) RC_WARN; /* RC_NONE */
enum rc store_send_as_each(struct store *s, struct span account_address, enum rc (*each)(void *arg, struct span address), void *arg, struct err *err) RC_WARN;

#endif
