#include "policy/policy.h"

/* ---- the rules. Each returns the cause it refuses with, or CAUSE_NONE. */

static bool policy_has_account(const struct policy_facts *f)
{
	return f->by == POLICY_BY_SIGN_IN || f->by == POLICY_BY_WINDOW;
}

static enum cause_id policy_tls(const struct policy_facts *f)
{
	return f->tls_required && !f->tls ? CAUSE_TLS_REQUIRED : CAUSE_NONE;
}

/* Nobody has signed in, no network and no window speaks for the client: what may it be told? `otherwise`: where windows and networks are not in use here. */
static enum cause_id policy_stranger(const struct policy_facts *f, enum cause_id otherwise)
{
	switch (f->window) {
	case POLICY_WINDOW_EXPIRED: case POLICY_WINDOW_REVOKED: case POLICY_WINDOW_ENDED:
		return CAUSE_RELAY_WINDOW_CLOSED;
	case POLICY_WINDOW_SHARED:
		return CAUSE_RELAY_WINDOW_SHARED;
	case POLICY_WINDOW_NEVER:
		return CAUSE_POP_BEFORE_SMTP;
	case POLICY_WINDOW_OFF: case POLICY_WINDOW_OPEN: case POLICY_WINDOW_PRIVATE:
		break;
	}
	return f->has_networks && !f->auth_offered ? CAUSE_RELAY_DENIED_ADDRESS : otherwise;
}

static enum cause_id policy_signed_in(const struct policy_facts *f)
{
	return f->is_submission && f->by == POLICY_BY_NOTHING ? policy_stranger(f, CAUSE_AUTH_REQUIRED) : CAUSE_NONE;
}

static enum cause_id policy_sign_in_offered(const struct policy_facts *f)
{
	return f->sign_in_pending && !f->auth_offered ? CAUSE_AUTH_NOT_ADVERTISED : CAUSE_NONE;
}

static enum cause_id policy_sign_in_tls(const struct policy_facts *f)
{
	return f->sign_in_pending && f->auth_needs_tls && !f->tls ? CAUSE_AUTH_CLEARTEXT_REFUSED : CAUSE_NONE;
}

static enum cause_id policy_address(const struct policy_facts *f)
{
	return f->ip_denied && f->by == POLICY_BY_NOTHING ? CAUSE_IP_DIRECT_NOT_ALLOWED : CAUSE_NONE;
}

static enum cause_id policy_size(const struct policy_facts *f)
{
	return f->too_big ? CAUSE_MESSAGE_TOO_BIG : CAUSE_NONE;
}

static enum cause_id policy_account(const struct policy_facts *f)
{
	if (!policy_has_account(f))
		return CAUSE_NONE;
	return f->account_disabled ? CAUSE_AUTH_ACCOUNT_DISABLED : f->revoked ? CAUSE_AUTH_REVOKED : CAUSE_NONE;
}

static enum cause_id policy_sending(const struct policy_facts *f)
{
	return policy_has_account(f) && f->sending_stopped ? CAUSE_SENDER_ACCOUNT_SUSPENDED : CAUSE_NONE;
}

static enum cause_id policy_own_mailbox(const struct policy_facts *f)
{
	return policy_has_account(f) && f->own_mailbox_full && !f->full_mailbox_sends ? CAUSE_SENDER_MAILBOX_FULL : CAUSE_NONE;
}

static bool policy_foreign_sender(const struct policy_facts *f)
{
	return policy_has_account(f) && !f->sender_owned && !(f->sender_is_null && f->stage != POLICY_AT_FROM);
}

static enum cause_id policy_sender(const struct policy_facts *f)
{
	return policy_foreign_sender(f) && f->identity == POLICY_IDENTITY_ENFORCE && !f->from_unreadable ? CAUSE_SENDER_NOT_OWNED : CAUSE_NONE;
}

/* what cannot be read cannot be held against the account; a mail program that shows something all the same must not be fooled (RFC 5322 3.6.2) */
static enum cause_id policy_from_readable(const struct policy_facts *f)
{
	return policy_has_account(f) && f->from_unreadable && f->identity != POLICY_IDENTITY_OFF ? CAUSE_MESSAGE_MALFORMED : CAUSE_NONE;
}

static enum cause_id policy_network(const struct policy_facts *f)
{
	return f->by == POLICY_BY_NETWORK && !f->network_sender_ok && !f->sender_is_null ? CAUSE_RELAY_CREDENTIALS : CAUSE_NONE;
}

static enum cause_id policy_sender_limit(const struct policy_facts *f)
{
	return f->sender_limit;
}

static enum cause_id policy_own_name(const struct policy_facts *f)
{
	return f->by == POLICY_BY_NOTHING && f->sender_hosted && f->sender_domain_guarded ? CAUSE_SENDER_UNAUTHENTICATED : CAUSE_NONE;
}

static enum cause_id policy_allow_list(const struct policy_facts *f)
{
	bool asked = f->rcpt == POLICY_RCPT_LOCAL && f->by == POLICY_BY_NOTHING && f->domain_has_allow_list;

	return asked && !f->domain_allows_ip ? CAUSE_RCPT_DOMAIN_ALLOW_LIST : CAUSE_NONE;
}

static enum cause_id policy_domain_tls(const struct policy_facts *f)
{
	return f->rcpt == POLICY_RCPT_LOCAL && f->domain_requires_tls && !f->tls ? CAUSE_RCPT_DOMAIN_REQUIRES_TLS : CAUSE_NONE;
}

static enum cause_id policy_mailbox(const struct policy_facts *f)
{
	return f->rcpt == POLICY_RCPT_LOCAL ? f->rcpt_cause : CAUSE_NONE;
}

/* The relay decision (mission R4): elsewhere only from who signed in, is inside a window or in a network. */
static enum cause_id policy_relay(const struct policy_facts *f)
{
	return f->rcpt != POLICY_RCPT_LOCAL && f->by == POLICY_BY_NOTHING ? policy_stranger(f, CAUSE_RELAY_DENIED_UNAUTH) : CAUSE_NONE;
}

static enum cause_id policy_domain_exists(const struct policy_facts *f)
{
	return f->rcpt == POLICY_RCPT_NOWHERE ? CAUSE_RCPT_DOMAIN_NOT_FOUND : CAUSE_NONE;
}

static enum cause_id policy_rcpt_limit(const struct policy_facts *f)
{
	return f->rcpt_limit;
}

/* ---- the ways out */

static enum policy_change policy_to_sign_in(const struct policy_facts *f)
{
	if (!f->auth_offered)
		return f->is_submission ? POLICY_CHANGE_JOIN_NETWORK : POLICY_CHANGE_SUBMISSION;
	return f->auth_needs_tls && !f->tls ? POLICY_CHANGE_TLS_AND_SIGN_IN : POLICY_CHANGE_SIGN_IN;
}

static enum policy_change policy_to_mailbox(const struct policy_facts *f)
{
	if (f->rcpt_cause == CAUSE_RCPT_DISABLED)
		return POLICY_CHANGE_ENABLE_MAILBOX;
	if (f->rcpt_cause == CAUSE_RCPT_MAILBOX_FULL || f->rcpt_cause == CAUSE_RCPT_OVER_QUOTA)
		return POLICY_CHANGE_MAILBOX_ROOM;
	return f->rcpt_cause == CAUSE_RCPT_UNKNOWN || f->rcpt_cause == CAUSE_RCPT_ALIAS_LOOP ? POLICY_CHANGE_ADD_MAILBOX : POLICY_CHANGE_NONE;
}

static enum policy_change policy_to_account(const struct policy_facts *f)
{
	return f->account_disabled ? POLICY_CHANGE_ENABLE_ACCOUNT : POLICY_CHANGE_SIGN_IN;
}

static const struct policy_rule {
	const char *name;
	enum policy_stage stage; /* known from here on */
	enum policy_side side;
	enum cause_id (*refuses)(const struct policy_facts *f);
	enum policy_change change;
	enum policy_change (*changes)(const struct policy_facts *f); /* where it depends */
} policy_rules[] = {
	{"tls-required", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_tls, POLICY_CHANGE_TLS, NULL},
	{"sign-in-required", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_signed_in, POLICY_CHANGE_NONE, policy_to_sign_in},
	{"sign-in-offered", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_sign_in_offered, POLICY_CHANGE_SUBMISSION, NULL},
	{"sign-in-over-tls", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_sign_in_tls, POLICY_CHANGE_TLS, NULL},
	{"address-denied", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_address, POLICY_CHANGE_UNDENY, NULL},
	{"account-enabled", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_account, POLICY_CHANGE_NONE, policy_to_account},
	{"message-size", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_size, POLICY_CHANGE_SMALLER, NULL},
	{"account-may-send", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_sending, POLICY_CHANGE_ALLOW_SENDING, NULL},
	{"own-mailbox-full", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_own_mailbox, POLICY_CHANGE_MAKE_ROOM, NULL},
	{"from-readable", POLICY_AT_FROM, POLICY_SIDE_SERVER, policy_from_readable, POLICY_CHANGE_OWN_SENDER, NULL},
	{"sender-identity", POLICY_AT_MAIL, POLICY_SIDE_DOMAIN, policy_sender, POLICY_CHANGE_OWN_SENDER, NULL},
	{"network-senders", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_network, POLICY_CHANGE_NETWORK_SENDER, NULL},
	{"sending-limit", POLICY_AT_MAIL, POLICY_SIDE_SERVER, policy_sender_limit, POLICY_CHANGE_WAIT, NULL},
	{"domain-guards-its-name", POLICY_AT_RCPT, POLICY_SIDE_DOMAIN, policy_own_name, POLICY_CHANGE_OTHER_SENDER, NULL},
	{"domain-allow-list", POLICY_AT_RCPT, POLICY_SIDE_DOMAIN, policy_allow_list, POLICY_CHANGE_ALLOW_IP, NULL},
	{"domain-requires-tls", POLICY_AT_RCPT, POLICY_SIDE_DOMAIN, policy_domain_tls, POLICY_CHANGE_TLS, NULL},
	{"mailbox", POLICY_AT_RCPT, POLICY_SIDE_SERVER, policy_mailbox, POLICY_CHANGE_NONE, policy_to_mailbox},
	{"relay", POLICY_AT_RCPT, POLICY_SIDE_SERVER, policy_relay, POLICY_CHANGE_NONE, policy_to_sign_in},
	{"domain-exists", POLICY_AT_RCPT, POLICY_SIDE_SERVER, policy_domain_exists, POLICY_CHANGE_OTHER_DOMAIN, NULL},
	{"receiving-limit", POLICY_AT_RCPT, POLICY_SIDE_SERVER, policy_rcpt_limit, POLICY_CHANGE_WAIT, NULL},
};

/* ---- the decision */

static const char *policy_allowed_by(const struct policy_facts *f)
{
	static const char *const by[] = {[POLICY_BY_NOTHING] = "sender-allowed", [POLICY_BY_SIGN_IN] = "relay-by-sign-in", [POLICY_BY_WINDOW] = "relay-by-window",
		[POLICY_BY_NETWORK] = "relay-by-network"};

	if (f->stage == POLICY_AT_RCPT && f->rcpt == POLICY_RCPT_LOCAL)
		return "local-recipient";
	return f->stage == POLICY_AT_RCPT ? by[f->by] : "sender-allowed";
}

void policy_decide(const struct policy_facts *f, struct policy_verdict *out)
{
	*out = (struct policy_verdict){.cause = CAUSE_NONE};
	for (size_t i = 0; i < sizeof(policy_rules) / sizeof(policy_rules[0]); i++) {
		const struct policy_rule *r = &policy_rules[i];
		enum cause_id cause = r->stage <= f->stage ? r->refuses(f) : CAUSE_NONE;

		if (cause == CAUSE_NONE)
			continue;
		*out = (struct policy_verdict){.cause = cause, .rule = r->name, .side = r->side, .change = r->changes ? r->changes(f) : r->change};
		return;
	}
	out->rule = policy_allowed_by(f);
	if (policy_foreign_sender(f))
		out->act = f->identity == POLICY_IDENTITY_REWRITE ? POLICY_ACT_REWRITE : f->identity == POLICY_IDENTITY_MARK ? POLICY_ACT_MARK : POLICY_ACT_NONE;
}

/* ---- what would turn it */

static void policy_apply_sign_in(struct policy_facts *f)
{
	f->revoked = false;
	if (f->by == POLICY_BY_SIGN_IN) /* as the account that it wants to be */
		return;
	f->by = POLICY_BY_SIGN_IN;
	f->sender_owned = f->sender_hosted || f->sender_is_null; /* as the account whose sender it is, if there can be one */
	f->account_disabled = f->sending_stopped = f->own_mailbox_full = false;
	f->sender_limit = CAUSE_NONE;
}

bool policy_apply(struct policy_facts *f, enum policy_change change)
{
	switch (change) {
	case POLICY_CHANGE_TLS:
		f->tls = true;
		return true;
	case POLICY_CHANGE_TLS_AND_SIGN_IN:
		f->tls = true;
		policy_apply_sign_in(f);
		return true;
	case POLICY_CHANGE_SUBMISSION:
		f->tls = f->is_submission = f->auth_offered = true;
		policy_apply_sign_in(f);
		return true;
	case POLICY_CHANGE_SIGN_IN:
		policy_apply_sign_in(f);
		return true;
	case POLICY_CHANGE_JOIN_NETWORK:
		f->by = POLICY_BY_NETWORK;
		f->network_sender_ok = true;
		return f->has_networks;
	case POLICY_CHANGE_ENABLE_ACCOUNT:
		f->account_disabled = false;
		return true;
	case POLICY_CHANGE_ALLOW_SENDING:
		f->sending_stopped = false;
		return true;
	case POLICY_CHANGE_MAKE_ROOM:
		f->own_mailbox_full = false;
		return true;
	case POLICY_CHANGE_OWN_SENDER:
		f->sender_owned = true;
		f->from_unreadable = false;
		return true;
	case POLICY_CHANGE_NETWORK_SENDER:
		f->network_sender_ok = true;
		return true;
	case POLICY_CHANGE_SMALLER:
		f->too_big = false;
		return true;
	case POLICY_CHANGE_UNDENY:
		f->ip_denied = false;
		return true;
	case POLICY_CHANGE_ALLOW_IP:
		f->domain_allows_ip = true;
		return true;
	case POLICY_CHANGE_OTHER_SENDER:
		f->sender_hosted = false;
		return true;
	case POLICY_CHANGE_ADD_MAILBOX: case POLICY_CHANGE_ENABLE_MAILBOX: case POLICY_CHANGE_MAILBOX_ROOM:
		f->rcpt_cause = CAUSE_NONE;
		return true;
	case POLICY_CHANGE_OTHER_DOMAIN:
		f->rcpt = POLICY_RCPT_FOREIGN;
		return true;
	case POLICY_CHANGE_WAIT:
		f->sender_limit = f->rcpt_limit = CAUSE_NONE;
		return true;
	case POLICY_CHANGE_NONE: case POLICY_CHANGES:
		break;
	}
	return false;
}

size_t policy_way_out(const struct policy_facts *f, enum policy_change *changes, size_t max, struct policy_facts *after_out, bool *helps_out)
{
	struct policy_facts at = *f;
	struct policy_verdict v;
	size_t n = 0;

	for (policy_decide(&at, &v); v.cause != CAUSE_NONE && n < max; policy_decide(&at, &v)) {
		if (!policy_apply(&at, v.change))
			break;
		changes[n++] = v.change;
	}
	*after_out = at;
	*helps_out = v.cause == CAUSE_NONE;
	return n;
}

/* ---- words */

const char *policy_change_words(enum policy_change change)
{
	static const char *const words[POLICY_CHANGES] = {
		[POLICY_CHANGE_NONE] = "",
		[POLICY_CHANGE_TLS] = "use TLS (STARTTLS, or a listener with implicit TLS)",
		[POLICY_CHANGE_SIGN_IN] = "sign in",
		[POLICY_CHANGE_TLS_AND_SIGN_IN] = "use TLS and sign in",
		[POLICY_CHANGE_SUBMISSION] = "send through a submission listener, signed in",
		[POLICY_CHANGE_JOIN_NETWORK] = "add the client's address to a network that the listener names in relay-networks",
		[POLICY_CHANGE_ENABLE_ACCOUNT] = "enable the account",
		[POLICY_CHANGE_ALLOW_SENDING] = "let the account send again",
		[POLICY_CHANGE_MAKE_ROOM] = "make room in the sender's own mailbox",
		[POLICY_CHANGE_OWN_SENDER] = "use an address of the account as sender, or grant it this one",
		[POLICY_CHANGE_NETWORK_SENDER] = "use a sender of the network's domains",
		[POLICY_CHANGE_SMALLER] = "make the message smaller",
		[POLICY_CHANGE_UNDENY] = "take the client's address off the listener's deny list",
		[POLICY_CHANGE_ALLOW_IP] = "put the client's address on the domain's allow list",
		[POLICY_CHANGE_OTHER_SENDER] = "use a sender of a domain that is not hosted here, or sign in",
		[POLICY_CHANGE_ADD_MAILBOX] = "add the mailbox or an alias for it",
		[POLICY_CHANGE_ENABLE_MAILBOX] = "enable the recipient's account",
		[POLICY_CHANGE_MAILBOX_ROOM] = "make room in the recipient's mailbox, or raise its quota",
		[POLICY_CHANGE_OTHER_DOMAIN] = "use a domain that exists",
		[POLICY_CHANGE_WAIT] = "wait, or raise the limit",
	};

	return change < POLICY_CHANGES ? words[change] : "";
}

const char *policy_change_name(enum policy_change change)
{
	static const char *const names[POLICY_CHANGES] = {[POLICY_CHANGE_NONE] = "", [POLICY_CHANGE_TLS] = "tls", [POLICY_CHANGE_SIGN_IN] = "sign-in",
		[POLICY_CHANGE_TLS_AND_SIGN_IN] = "tls-and-sign-in", [POLICY_CHANGE_SUBMISSION] = "submission", [POLICY_CHANGE_JOIN_NETWORK] = "join-network",
		[POLICY_CHANGE_ENABLE_ACCOUNT] = "enable-account", [POLICY_CHANGE_ALLOW_SENDING] = "allow-sending", [POLICY_CHANGE_MAKE_ROOM] = "make-room",
		[POLICY_CHANGE_OWN_SENDER] = "own-sender", [POLICY_CHANGE_NETWORK_SENDER] = "network-sender", [POLICY_CHANGE_SMALLER] = "smaller",
		[POLICY_CHANGE_UNDENY] = "undeny", [POLICY_CHANGE_ALLOW_IP] = "allow-ip", [POLICY_CHANGE_OTHER_SENDER] = "other-sender",
		[POLICY_CHANGE_ADD_MAILBOX] = "add-mailbox", [POLICY_CHANGE_ENABLE_MAILBOX] = "enable-mailbox", [POLICY_CHANGE_MAILBOX_ROOM] = "mailbox-room",
		[POLICY_CHANGE_OTHER_DOMAIN] = "other-domain", [POLICY_CHANGE_WAIT] = "wait"};

	return change < POLICY_CHANGES ? names[change] : "";
}

const char *policy_by_name(enum policy_by by)
{
	static const char *const names[] = {[POLICY_BY_NOTHING] = "", [POLICY_BY_SIGN_IN] = "sign-in", [POLICY_BY_WINDOW] = "relay-window", [POLICY_BY_NETWORK] = "network"};

	return by <= POLICY_BY_NETWORK ? names[by] : "";
}

const char *policy_window_name(enum policy_window w)
{
	static const char *const names[] = {[POLICY_WINDOW_OFF] = "off", [POLICY_WINDOW_NEVER] = "never opened", [POLICY_WINDOW_OPEN] = "open",
		[POLICY_WINDOW_EXPIRED] = "expired", [POLICY_WINDOW_REVOKED] = "revoked", [POLICY_WINDOW_ENDED] = "ended", [POLICY_WINDOW_SHARED] = "shared address",
		[POLICY_WINDOW_PRIVATE] = "private address"};

	return w <= POLICY_WINDOW_PRIVATE ? names[w] : "";
}

static const char *const policy_identities[POLICY_IDENTITIES] = {[POLICY_IDENTITY_ENFORCE] = "enforce", [POLICY_IDENTITY_REWRITE] = "rewrite",
	[POLICY_IDENTITY_MARK] = "mark", [POLICY_IDENTITY_OFF] = "off"};

const char *policy_identity_name(enum policy_identity i)
{
	return i < POLICY_IDENTITIES ? policy_identities[i] : "";
}

bool policy_identity_parse(struct span name, enum policy_identity *out)
{
	for (int i = 0; i < POLICY_IDENTITIES; i++)
		if (span_eq_nocase(name, span_str(policy_identities[i]))) {
			*out = (enum policy_identity)i;
			return true;
		}
	return false;
}

bool policy_domain_impossible(struct span domain)
{
	static const char *const never[] = {"invalid", "localhost", "onion"};
	struct span d = domain;
	size_t dot = d.len;

	if (d.len && d.ptr[d.len - 1] == '.')
		d.len--;
	if (d.len == 0 || d.ptr[0] == '[') /* an address literal is somebody */
		return d.len == 0;
	while (dot > 0 && (dot == d.len || d.ptr[dot] != '.'))
		dot--;
	if (dot == 0)
		return true;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (span_eq_nocase(span_from(d, dot + 1), span_str(never[i])))
			return true;
	return false;
}
