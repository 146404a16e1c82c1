#include "role/decide.h"

#include <stdio.h>
#include <time.h>

#include "mail/address.h"
#include "role/role_store_rates.h"

enum { DECIDE_WORDS_BYTES = 256, DECIDE_ADDRESSES_BYTES = 160 };

static struct span decide_domain(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at ? span_from(address, at) : SPAN_NONE;
}

/* ---- facts */

static void decide_session(const struct decide_who *who, struct policy_facts *f)
{
	const struct conf_listener *l = who->listener;
	struct net_address peer;

	f->is_submission = l->kind == CONF_SUBMISSION;
	f->tls_required = l->tls_required;
	f->auth_offered = l->auth;
	f->auth_needs_tls = !l->auth_without_tls;
	f->has_networks = l->network_count > 0;
	f->tls = who->tls;
	f->by = who->by;
	f->window = l->relay_window ? who->window : POLICY_WINDOW_OFF;
	f->ip_denied = l->deny.count && net_parse(who->peer, &peer) == RC_OK && net_list_has(&l->deny, &peer);
}

static bool decide_network_sender(const struct conf_network *n, struct span sender)
{
	const char *rest = n ? n->senders : "";
	struct span domain = decide_domain(sender), one;

	if (!*rest)
		return true;
	while (conf_list_next(&rest, &one))
		if (address_domain_same(one, domain))
			return true;
	return false;
}

static enum rc decide_account(const struct decide *d, const struct decide_who *who, struct arena *mem, struct decided *out, struct store_account_policy *account,
	struct err *err)
{
	struct policy_facts *f = &out->facts;
	enum rc rc;

	if (who->by != POLICY_BY_SIGN_IN && who->by != POLICY_BY_WINDOW)
		return RC_OK;
	rc = store_account_policy(d->store, who->account, mem, account, err);
	if (rc == RC_NONE) { /* removed since it signed in */
		f->account_disabled = true;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	f->revoked = who->revoked;
	f->account_disabled = !account->enabled;
	f->sending_stopped = !account->sending;
	f->own_mailbox_full = account->full;
	f->full_mailbox_sends = d->conf->full_mailbox_sends;
	f->identity = account->identity >= 0 && account->identity < POLICY_IDENTITIES ? (enum policy_identity)account->identity : POLICY_IDENTITY_ENFORCE;
	out->account = account->address;
	return RC_OK;
}

static enum rc decide_owned(const struct decide *d, const struct decide_who *who, const struct decide_mail *m, bool known, struct policy_facts *f, struct err *err)
{
	enum rc rc = RC_OK;

	f->sender_owned = true;
	if (!known || f->identity == POLICY_IDENTITY_OFF)
		return RC_OK;
	if (m->stage == POLICY_AT_MAIL)
		return m->sender.len ? store_sender_owned(d->store, who->account, m->sender, &f->sender_owned, err) : RC_OK;
	for (size_t i = 0; i < m->from_count && rc == RC_OK && f->sender_owned; i++)
		rc = store_sender_owned(d->store, who->account, m->from[i], &f->sender_owned, err);
	return rc;
}

/* ---- words */

static struct span decide_copy(struct arena *mem, const char *words)
{
	return arena_copy(mem, span_str(words));
}

/* when a window closed, as an administrator's clock shows it; the date only where it is not today's */
static void decide_clock(int64_t at_ms, int64_t now_ms, char *out, size_t size)
{
	time_t at = (time_t)(at_ms / 1000), now = (time_t)(now_ms / 1000);
	struct tm then, today;

	if (!gmtime_r(&at, &then) || !gmtime_r(&now, &today)) {
		(void)snprintf(out, size, "a while ago");
		return;
	}
	(void)strftime(out, size, then.tm_yday == today.tm_yday && then.tm_year == today.tm_year ? "%H:%M UTC" : "%d %b %H:%M UTC", &then);
}

static void decide_window_words(const struct decide *d, const struct decide_who *who, struct arena *mem, struct decided *out)
{
	static const char *const how[] = {[POLICY_WINDOW_EXPIRED] = "it closed at", [POLICY_WINDOW_REVOKED] = "an administrator closed it at",
		[POLICY_WINDOW_ENDED] = "it ended with a change of the account at"};
	char clock[32], words[DECIDE_WORDS_BYTES];

	if (who->window != POLICY_WINDOW_EXPIRED && who->window != POLICY_WINDOW_REVOKED && who->window != POLICY_WINDOW_ENDED)
		return;
	decide_clock(who->window_ms, d->wall_ms, clock, sizeof(clock));
	(void)snprintf(words, sizeof(words), "%s %s", how[who->window], clock);
	out->detail = decide_copy(mem, words);
}

static enum rc decide_addresses(const struct decide *d, const struct decide_who *who, struct arena *mem, struct decided *out, struct err *err)
{
	struct buf words;
	enum rc rc;

	buf_init(&words, DECIDE_WORDS_BYTES);
	rc = store_sender_addresses(d->store, who->account, DECIDE_ADDRESSES_BYTES, &words, err);
	if (rc == RC_OK)
		out->detail = arena_copy(mem, buf_span(&words));
	buf_clear(&words);
	return rc;
}

static void decide_rule(struct decided *out, struct span domain, struct arena *mem)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];

	switch (out->verdict.side) {
	case POLICY_SIDE_NONE: case POLICY_SIDE_SERVER: /* the usual case is not said */
		break;
	case POLICY_SIDE_DOMAIN:
		out->rule = arena_copy(mem, span_head(address_domain_key(domain, room), DECIDE_WORDS_BYTES));
		break;
	case POLICY_SIDE_RECIPIENT:
		out->rule = SPAN_LIT("recipient");
		break;
	}
}

static bool decide_is_window(enum cause_id cause)
{
	return cause == CAUSE_RELAY_WINDOW_CLOSED || cause == CAUSE_RELAY_WINDOW_SHARED || cause == CAUSE_POP_BEFORE_SMTP;
}

static void decide_limit_words(struct decided *out, const struct role_rates_said *said, struct arena *mem)
{
	out->limit = decide_copy(mem, said->limit);
	out->retry = decide_copy(mem, said->retry);
}

/* ---- MAIL and From */

enum rc decide_mail(const struct decide *d, const struct decide_who *who, const struct decide_mail *m, struct arena *mem, struct decided *out, struct err *err)
{
	struct store_account_policy account = {.sending = true};
	struct role_rates_said said = {.cause = CAUSE_NONE};
	struct policy_facts *f = &out->facts;
	enum rc rc;

	*out = (struct decided){.facts = {.stage = m->stage, .sender_is_null = m->sender.len == 0, .from_unreadable = m->from_unreadable}};
	decide_session(who, f);
	f->too_big = m->stage == POLICY_AT_MAIL && m->message_bytes > d->conf->message_max_bytes;
	f->network_sender_ok = m->stage == POLICY_AT_FROM || decide_network_sender(who->network, m->sender);
	rc = decide_account(d, who, mem, out, &account, err);
	if (rc == RC_OK)
		rc = decide_owned(d, who, m, out->account.len > 0, f, err);
	if (rc == RC_OK && d->rates && m->stage == POLICY_AT_MAIL) {
		role_rates_mail(d->rates, d->conf, &(struct role_rates_who){.account = who->account, .message_rates = account.message_rates, .rcpt_rates = account.rcpt_rates,
			.network = who->network, .peer = who->peer}, &said);
		f->sender_limit = said.cause;
	}
	if (rc != RC_OK)
		return rc;
	policy_decide(f, &out->verdict);
	if (out->verdict.cause == CAUSE_SENDER_NOT_OWNED)
		rc = decide_addresses(d, who, mem, out, err);
	else if (decide_is_window(out->verdict.cause))
		decide_window_words(d, who, mem, out);
	else if (out->verdict.cause != CAUSE_NONE && out->verdict.cause == said.cause)
		decide_limit_words(out, &said, mem);
	decide_rule(out, decide_domain(out->account), mem);
	return rc;
}

/* ---- RCPT */

static enum rc decide_sender_domain(const struct decide *d, const struct decide_who *who, const struct decide_rcpt *r, struct policy_facts *f, struct err *err)
{
	struct store_domain_policy p;
	struct span domain = decide_domain(r->sender);
	enum rc rc;

	if (who->by != POLICY_BY_NOTHING || domain.len == 0)
		return RC_OK;
	rc = store_domain_policy(d->store, domain, NULL, &p, err);
	if (rc == RC_OK) {
		f->sender_hosted = p.hosted;
		f->sender_domain_guarded = p.guard_own;
	}
	return rc;
}

static enum rc decide_rcpt_domain(const struct decide *d, const struct decide_who *who, struct span domain, struct decided *out, struct err *err)
{
	struct policy_facts *f = &out->facts;
	struct store_domain_policy p;
	struct net_address peer;
	bool readable = net_parse(who->peer, &peer) == RC_OK;
	enum rc rc;

	if (f->rcpt != POLICY_RCPT_LOCAL)
		return RC_OK;
	rc = store_domain_policy(d->store, domain, readable ? &peer : NULL, &p, err);
	if (rc == RC_OK) {
		f->domain_has_allow_list = p.has_allow_list;
		f->domain_allows_ip = p.allows_ip;
		f->domain_requires_tls = p.require_tls;
		if (p.has_header_rules && who->by == POLICY_BY_NOTHING) /* a filter in front marks what comes from elsewhere */
			out->header_rules = domain;
	}
	return rc;
}

static void decide_rcpt_limits(const struct decide *d, const struct decide_who *who, const struct decide_rcpt *r, const struct store_account_policy *account,
	struct decided *out, struct role_rates_said *said)
{
	struct role_rates_who rates = {.account = who->account, .message_rates = account->message_rates, .rcpt_rates = account->rcpt_rates, .network = who->network,
		.peer = who->peer};

	if (!d->rates)
		return;
	role_rates_rcpt(d->rates, d->conf, &rates, r->rcpts, out->facts.rcpt == POLICY_RCPT_LOCAL ? out->found.tag : 0, said);
	out->facts.rcpt_limit = said->cause;
}

enum rc decide_rcpt(const struct decide *d, const struct decide_who *who, const struct decide_rcpt *r, struct arena *mem, struct decided *out, struct err *err)
{
	struct store_account_policy account = {.sending = true};
	struct role_rates_said said = {.cause = CAUSE_NONE};
	struct policy_facts *f = &out->facts;
	struct span domain = decide_domain(r->rcpt);
	enum rc rc;

	*out = (struct decided){.facts = {.stage = POLICY_AT_RCPT, .sender_is_null = r->sender.len == 0, .sender_owned = true, .network_sender_ok = true}};
	decide_session(who, f);
	rc = decide_account(d, who, mem, out, &account, err);
	if (rc == RC_OK)
		rc = store_resolve(d->store, r->rcpt, r->message_bytes, mem, &out->found, err);
	if (rc != RC_OK)
		return rc;
	if (out->found.tag == STORE_TAG_SRS && r->sender.len) /* bounces go back to whose mail was forwarded, nothing else */
		out->found = (struct store_resolved){.cause = CAUSE_RCPT_UNKNOWN};
	f->rcpt = out->found.tag != STORE_TAG_FOREIGN ? POLICY_RCPT_LOCAL : policy_domain_impossible(domain) ? POLICY_RCPT_NOWHERE : POLICY_RCPT_FOREIGN;
	f->rcpt_cause = out->found.cause;
	rc = decide_sender_domain(d, who, r, f, err);
	if (rc == RC_OK)
		rc = decide_rcpt_domain(d, who, domain, out, err);
	if (rc != RC_OK)
		return rc;
	decide_rcpt_limits(d, who, r, &account, out, &said);
	policy_decide(f, &out->verdict);
	if (decide_is_window(out->verdict.cause)) {
		decide_window_words(d, who, mem, out);
	} else if (out->verdict.cause != CAUSE_NONE && out->verdict.cause == said.cause) {
		decide_limit_words(out, &said, mem);
	} else if (out->verdict.cause == out->found.cause) {
		out->detail = out->found.detail;
		out->limit = out->found.limit;
	}
	decide_rule(out, out->verdict.cause == CAUSE_SENDER_UNAUTHENTICATED ? decide_domain(r->sender) : domain, mem);
	return RC_OK;
}
