/* The store role: recipients, lent files, accepting. */
#include <stdlib.h>

#include "base/mem.h"
#include "role/role_store.h"

enum { STORE_TAG_MASK = 7, STORE_ANSWER_BYTES = 4096 };

struct store_lent {
	uint64_t session;
};

/* ---- recipients */

/* What a stranger may reach is decided here, not by the worker: only a signed-in session gets beyond the hosted domains. */
static enum cause_id store_role_check(struct store_peer *p, const struct msg_rcpt_check *m, struct arena *mem, struct store_resolved *out)
{
	struct store_grant *g = map_get(&p->grants, m->session);
	struct err err = {""};
	enum rc rc;

	if (!m->local_only && (!g || g->revoked))
		return g ? CAUSE_AUTH_ACCOUNT_DISABLED : CAUSE_SERVER_TEMP_ERROR;
	rc = store_resolve(p->role->store, m->address, m->message_bytes, m->local_only, mem, out, &err);
	if (rc == RC_OK)
		return out->cause;
	return store_role_judge(p->role, rc, "recipient", &err);
}

enum rc store_role_rcpt_check(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_rcpt_check *m = &msg->rcpt_check;
	struct store_resolved found = {0};
	struct msg_rcpt_result answer = {.ask = m->ask};
	struct arena mem;

	if (p->id == ROLE_MX && !m->local_only)
		return RC_DENIED;
	arena_init(&mem, STORE_ANSWER_BYTES);
	answer.cause = (uint16_t)store_role_check(p, m, &mem, &found);
	answer.tag = found.tag;
	answer.detail = found.detail;
	answer.limit = found.limit;
	chan_send(p->chan, MSG_RCPT_RESULT, &answer);
	arena_clear(&mem);
	return RC_OK;
}

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

static void store_role_accept_now(struct store_peer *p, const struct msg_accept *m, const struct store_grant *g)
{
	struct store_rcpt *rcpts = store_role_rcpts(m);
	struct store_message message = {.sender = m->sender, .envid = m->envid, .peer = m->peer, .helo = m->helo, .message_id = m->message_id, .digest = m->digest,
		.client = g ? g->address : m->peer, .trace = m->trace, .head = m->head, .body = m->body, .spool = m->spool, .spool_bytes = m->spool_bytes,
		.rcpts = rcpts, .rcpt_count = (uint32_t)m->rcpts.count, .received_ms = (int64_t)m->received_ms, .account = g ? g->account : 0, .ret = m->ret,
		.smtputf8 = m->smtputf8, .body_8bit = m->body_8bit, .body_binary = m->body_binary, .requiretls = m->requiretls};
	struct msg_accepted answer = {.ask = m->ask};
	enum cause_id cause = CAUSE_NONE;
	struct err err = {""};
	bool repeat = false;
	int64_t id = 0;
	enum rc rc;

	rc = store_accept(p->role->store, &message, &id, &repeat, &cause, &err);
	free(rcpts);
	if (rc != RC_OK)
		cause = store_role_judge(p->role, rc, "accept", &err);
	answer.cause = (uint16_t)cause;
	answer.message = (uint64_t)id;
	answer.duplicate = repeat;
	if (cause == CAUSE_NONE)
		store_role_hold(p, MSG_ACCEPTED, &answer);
	else
		chan_send(p->chan, MSG_ACCEPTED, &answer); /* a refusal promises nothing */
}

enum rc store_role_accept(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_accept *m = &msg->accept;
	const struct store_grant *g = map_get(&p->grants, m->session);
	struct store_lent *lent = m->spool ? map_take(&p->spools, m->spool) : NULL;
	struct msg_accepted refusal = {.ask = m->ask};
	bool beyond = m->submission || store_role_has_foreign(m);

	if (p->id == ROLE_MX && beyond) {
		free(lent);
		return RC_DENIED;
	}
	if (g && g->revoked)
		refusal.cause = CAUSE_AUTH_ACCOUNT_DISABLED;
	else if (beyond && !g) /* signed in with a store that is gone: this one was told nothing */
		refusal.cause = CAUSE_SERVER_TEMP_ERROR;
	else if (m->spool && !lent) /* lent by a store that is gone, or not to this worker */
		refusal.cause = CAUSE_SERVER_TEMP_ERROR;
	if (refusal.cause == CAUSE_NONE) {
		store_role_accept_now(p, m, g);
	} else {
		if (lent)
			store_spool_drop(p->role->store, m->spool);
		chan_send(p->chan, MSG_ACCEPTED, &refusal);
	}
	free(lent);
	return RC_OK;
}
