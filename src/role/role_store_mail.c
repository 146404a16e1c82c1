/* The store role: recipients, lent files, accepting. */
#include <stdlib.h>

#include "base/mem.h"
#include "role/role_store.h"
#include "role/role_store_send.h"

enum { STORE_ACCEPT_BYTES = 1 << 20 };

struct store_lent {
	uint64_t session;
};

/* ---- lent files */

static void store_role_spool_refuse(struct store_peer *p, uint32_t ask, enum cause_id cause)
{
	chan_send(p->chan, MSG_SPOOL_REFUSED, &(struct msg_spool_refused){.ask = ask, .cause = (uint16_t)cause});
}

enum rc store_role_spool_open(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_spool_open *m = &msg->spool_open;
	struct msg_spool_lent answer = {.ask = m->ask};
	struct store_lent *lent;
	struct err err = {""};
	enum rc rc;

	if (p->spools.count >= STORE_PEER_SPOOLS) {
		store_role_spool_refuse(p, m->ask, CAUSE_SERVER_OVERLOADED);
		return RC_OK;
	}
	rc = store_spool_open(p->role->store, &answer.spool, &answer.file, &err);
	if (rc != RC_OK) {
		store_role_spool_refuse(p, m->ask, rc == RC_LIMIT ? CAUSE_SERVER_OVERLOADED : store_role_judge(p->role, rc, "spool file", &err));
		return RC_OK;
	}
	lent = mem_zalloc(sizeof(*lent));
	lent->session = m->session;
	(void)map_put(&p->spools, answer.spool, lent);
	chan_send(p->chan, MSG_SPOOL_LENT, &answer);
	return RC_OK;
}

enum rc store_role_spool_drop(struct store_peer *p, const union msg_any *msg)
{
	struct store_lent *lent = map_take(&p->spools, msg->spool_drop.spool);

	if (lent) /* else: of an older store, or used up already */
		store_spool_drop(p->role->store, msg->spool_drop.spool);
	free(lent);
	return RC_OK;
}

void store_role_spools_end(struct store_peer *p, uint64_t session_or_0)
{
	size_t at = 0;
	uint64_t spool;
	void *value;

	while (map_next(&p->spools, &at, &spool, &value)) {
		struct store_lent *lent = value;

		if (session_or_0 && lent->session != session_or_0)
			continue;
		(void)map_take(&p->spools, spool);
		if (p->role->store)
			store_spool_drop(p->role->store, spool);
		free(lent);
	}
}

/* ---- accepting */

/* tags are what RCPT gave, but a worker could invent them: none of mx's leads elsewhere */
static bool store_role_has_foreign(const struct msg_accept *m)
{
	struct span cursor = m->rcpts.raw;
	struct rec_rcpt r;

	while (rec_rcpt_next(&cursor, &r))
		if ((r.tag & STORE_TAG_MASK) == STORE_TAG_FOREIGN)
			return true;
	return false;
}

static struct store_rcpt *store_role_rcpts(const struct msg_accept *m)
{
	struct store_rcpt *rcpts = mem_array(m->rcpts.count ? m->rcpts.count : 1, sizeof(*rcpts));
	struct span cursor = m->rcpts.raw;
	struct rec_rcpt r;

	for (size_t i = 0; i < m->rcpts.count && rec_rcpt_next(&cursor, &r); i++)
		rcpts[i] = (struct store_rcpt){.address = r.address, .tag = r.tag, .notify = r.notify, .orcpt = r.orcpt};
	return rcpts;
}

static struct span store_role_domain(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return span_from(address, at);
}

/* Asked once more, now that it counts: parallel sessions may have used the limits up, and a worker could have left the question at MAIL out. */
static enum cause_id store_role_accept_sender(struct store_peer *p, const struct msg_accept *m, const struct decide_who *who, struct arena *mem,
	struct decided *out)
{
	struct decide d = store_role_decide(p);
	struct store_domain_policy from = {0};
	struct err err = {""};
	struct span cursor = m->from.raw, domain = SPAN_NONE;
	struct rec_address box = {0};
	enum rc rc = RC_OK;

	d.rates = NULL; /* counted below, together with the recipients */
	if (who->by != POLICY_BY_NOTHING) {
		rc = decide_mail(&d, who, &(struct decide_mail){.sender = m->sender, .stage = POLICY_AT_MAIL}, mem, out, &err);
		return rc == RC_OK ? out->verdict.cause : store_role_judge(p->role, rc, "sender", &err);
	}
	while (rc == RC_OK && !from.guard_own && rec_address_next(&cursor, &box)) {
		domain = store_role_domain(box.text);
		rc = store_domain_policy(p->role->store, domain, NULL, &from, &err);
	}
	if (rc != RC_OK)
		return store_role_judge(p->role, rc, "sender", &err);
	if (!from.guard_own)
		return CAUSE_NONE;
	out->rule = domain;
	out->detail = box.text; /* whose name it is in */
	return CAUSE_SENDER_UNAUTHENTICATED;
}

static struct role_rates_who store_role_rates_who(struct store_peer *p, const struct msg_accept *m, const struct decide_who *who, struct arena *mem)
{
	struct store_account_policy account = {0};
	struct err err = {""};

	if (who->account && store_account_policy(p->role->store, who->account, mem, &account, &err) != RC_OK)
		account = (struct store_account_policy){0}; /* the configuration's limits hold */
	return (struct role_rates_who){.account = who->account, .message_rates = account.message_rates, .rcpt_rates = account.rcpt_rates, .network = who->network,
		.peer = m->peer};
}

static struct store_filed *store_role_filed(const struct msg_accept *m)
{
	struct store_filed *filed = mem_array(m->filed.count ? m->filed.count : 1, sizeof(*filed));
	struct span cursor = m->filed.raw;
	struct rec_filed f;

	for (size_t i = 0; i < m->filed.count && rec_filed_next(&cursor, &f); i++)
		filed[i] = (struct store_filed){.account = (int64_t)f.account, .how = (enum store_filed_how)f.how, .folder = f.folder, .flags = f.flags, .added = f.added, .to = f.to};
	return filed;
}

static void store_role_accept_now(struct store_peer *p, const struct msg_accept *m, const struct store_grant *g, const struct role_rates_who *rates,
	struct msg_accepted *answer)
{
	struct store_rcpt *rcpts = store_role_rcpts(m);
	struct store_filed *filed = store_role_filed(m);
	struct store_message message = {.sender = m->sender, .envid = m->envid, .peer = m->peer, .helo = m->helo, .message_id = m->message_id, .digest = m->digest,
		.client = g && g->account ? g->address : m->peer, .trace = m->trace, .head = m->head, .body = m->body, .spool = m->spool, .spool_bytes = m->spool_bytes,
		.rcpts = rcpts, .rcpt_count = (uint32_t)m->rcpts.count, .received_ms = (int64_t)m->received_ms, .account = g ? g->account : 0, .ret = m->ret,
		.origin = !g ? STORE_ORIGIN_STRANGER : g->account ? STORE_ORIGIN_ACCOUNT : STORE_ORIGIN_NETWORK,
		.filed = filed, .filed_count = m->filed.count,
		.smtputf8 = m->smtputf8, .headers_ascii = m->headers_ascii, .body_8bit = m->body_8bit, .body_binary = m->body_binary, .requiretls = m->requiretls};
	struct role_rates_said said = {.cause = CAUSE_NONE};
	enum cause_id cause = CAUSE_NONE;
	struct store_sends sends;
	struct err err = {""};
	bool repeat = false;
	int64_t id = 0;
	enum rc rc;

	if (p->role->rates)
		role_rates_accept(p->role->rates, p->conf->conf, rates, rcpts, message.rcpt_count, &said);
	cause = said.cause;
	answer->limit = span_str(said.limit);
	answer->retry = span_str(said.retry);
	if (cause == CAUSE_NONE) {
		rc = store_role_send_begin(&sends, p, m, &message, filed, &err);
		if (rc == RC_OK)
			rc = store_accept(p->role->store, &message, &id, &repeat, &cause, &err);
		if (rc == RC_OK && cause == CAUSE_NONE)
			rc = store_role_send_finish(&sends, repeat, &cause, &err);
		store_role_send_end(&sends, rc == RC_OK && cause == CAUSE_NONE);
		if (rc != RC_OK)
			cause = store_role_judge(p->role, rc, "accept", &err);
		if (p->role->rates && (cause != CAUSE_NONE || repeat))
			role_rates_refused(p->role->rates, p->conf->conf, rates, rcpts, message.rcpt_count);
	} else if (m->spool) {
		store_spool_drop(p->role->store, m->spool);
	}
	free(rcpts);
	free(filed);
	answer->cause = (uint16_t)cause;
	answer->message = (uint64_t)id;
	answer->duplicate = repeat;
	if (cause != CAUSE_NONE) {
		chan_send(p->chan, MSG_ACCEPTED, answer); /* a refusal promises nothing */
		return;
	}
	store_role_hold(p, MSG_ACCEPTED, answer);
	store_role_history_accepted(p, m, g, answer);
}

static enum cause_id store_role_accept_gate(const struct msg_accept *m, const struct store_grant *g, const struct store_lent *lent)
{
	if (g && g->revoked)
		return CAUSE_AUTH_REVOKED;
	if ((m->submission || store_role_has_foreign(m)) && !g) /* signed in with a store that is gone: this one was told nothing */
		return CAUSE_SERVER_TEMP_ERROR;
	return m->spool && !lent ? CAUSE_SERVER_TEMP_ERROR : CAUSE_NONE; /* lent by a store that is gone, or not to this worker */
}

enum rc store_role_accept(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_accept *m = &msg->accept;
	const struct store_grant *g = map_get(&p->grants, m->session);
	struct store_lent *lent = m->spool ? map_take(&p->spools, m->spool) : NULL;
	struct msg_accepted answer = {.ask = m->ask};
	struct role_rates_who rates;
	struct decided decided = {0};
	struct decide_who who;
	struct arena mem;
	enum rc rc = store_role_who(p, &(struct store_asker){.session = m->session, .listener = m->listener, .tls = m->tls, .peer = m->peer}, &who);

	if (rc == RC_OK && p->id == ROLE_MX && (m->submission || store_role_has_foreign(m)))
		rc = RC_DENIED;
	if (rc != RC_OK) {
		free(lent);
		return rc;
	}
	arena_init(&mem, STORE_ACCEPT_BYTES);
	answer.cause = (uint16_t)store_role_accept_gate(m, g, lent);
	if (answer.cause == CAUSE_NONE)
		answer.cause = (uint16_t)store_role_accept_sender(p, m, &who, &mem, &decided);
	if (answer.cause == CAUSE_NONE) {
		rates = store_role_rates_who(p, m, &who, &mem);
		store_role_accept_now(p, m, g, &rates, &answer);
	} else {
		answer.detail = decided.detail;
		answer.rule = decided.rule;
		if (lent)
			store_spool_drop(p->role->store, m->spool);
		chan_send(p->chan, MSG_ACCEPTED, &answer);
	}
	arena_clear(&mem);
	free(lent);
	return RC_OK;
}
