/* The store role: who a session is (as auth says), its mailbox, reading and deleting. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "role/role_store.h"
#include "store/store_queue.h"

static void store_role_opened(struct store_peer *p, uint32_t ask, enum cause_id cause, uint32_t validity)
{
	chan_send(p->chan, MSG_MBOX_OPENED, &(struct msg_mbox_opened){.ask = ask, .cause = (uint16_t)cause, .uidvalidity = validity});
}

static enum rc store_role_job_add(struct store_peer *p, const struct store_job *job)
{
	struct store_job *j;

	if (p->job_count >= STORE_PEER_JOBS)
		return RC_LIMIT; /* a session asks one thing at a time: this worker is not well */
	j = mem_alloc(sizeof(*j));
	*j = *job;
	j->next = NULL;
	*p->jobs_tail = j;
	p->jobs_tail = &j->next;
	p->job_count++;
	return RC_OK;
}

/* ---- an exclusive lock on each maildrop (RFC 1939 4). A client that lost its connection may be back, at another worker, before the store hears that the first
 * session is over: whoever finds a mailbox taken waits a moment for it. */

static enum rc store_role_mailbox_take(struct store_grant *g, uint32_t ask)
{
	(void)map_put(&g->peer->role->mailboxes, (uint64_t)g->account, g);
	g->holds_mailbox = true;
	return store_role_job_add(g->peer, &(struct store_job){.kind = STORE_JOB_LIST, .session = g->session, .ask = ask, .account = g->account});
}

static bool store_role_mailbox_wait(struct store_grant *g, uint32_t ask)
{
	struct store_role *s = g->peer->role;

	if (g->wait_prev || g->peer->opens >= STORE_PEER_OPENS)
		return false;
	g->peer->opens++;
	g->wait_ask = ask;
	g->wait_until = loop_now(s->role->loop) + STORE_OPEN_WAIT_MS;
	g->wait_next = NULL;
	g->wait_prev = s->opens_tail;
	*s->opens_tail = g;
	s->opens_tail = &g->wait_next;
	if (s->opens == g)
		loop_timer_at(&s->opens_over, g->wait_until);
	return true;
}

static void store_role_mailbox_wait_no_more(struct store_grant *g)
{
	*g->wait_prev = g->wait_next;
	if (g->wait_next)
		g->wait_next->wait_prev = g->wait_prev;
	else
		g->peer->role->opens_tail = g->wait_prev;
	g->wait_prev = NULL;
	g->peer->opens--;
}

/* to who has waited longest */
static void store_role_mailbox_let_go(struct store_role *s, int64_t account)
{
	(void)map_take(&s->mailboxes, (uint64_t)account);
	for (struct store_grant *g = s->opens, *next; g; g = next) {
		next = g->wait_next;
		if (g->account != account)
			continue;
		store_role_mailbox_wait_no_more(g);
		if (g->peer->job_count < STORE_PEER_JOBS && store_role_mailbox_take(g, g->wait_ask) == RC_OK)
			return;
		store_role_opened(g->peer, g->wait_ask, CAUSE_SERVER_OVERLOADED, 0);
	}
}

void store_role_opens_over(void *arg, mono_ms now)
{
	struct store_role *s = arg;
	struct store_grant *g;

	while ((g = s->opens) != NULL && g->wait_until <= now) {
		store_role_mailbox_wait_no_more(g);
		store_role_opened(g->peer, g->wait_ask, CAUSE_MAILBOX_LOCKED, 0);
	}
	if (s->opens)
		loop_timer_at(&s->opens_over, s->opens->wait_until);
}

/* ---- grants */

static void store_role_grant_end(struct store_grant *g)
{
	struct store_role *s = g->peer->role;
	int64_t account = g->account;
	bool held = g->holds_mailbox;

	if (g->wait_prev) {
		store_role_mailbox_wait_no_more(g);
		store_role_opened(g->peer, g->wait_ask, CAUSE_SERVER_TEMP_ERROR, 0);
	}
	(void)map_take(&g->peer->grants, g->session);
	free(g);
	if (held)
		store_role_mailbox_let_go(s, account);
}

/* of a peer that is gone: nobody is answered */
void store_role_grants_end(struct store_peer *p)
{
	size_t at = 0;
	uint64_t session;
	void *value;

	for (struct store_grant *g = p->role->opens, *next; g; g = next) {
		next = g->wait_next;
		if (g->peer == p)
			store_role_mailbox_wait_no_more(g);
	}
	while (map_next(&p->grants, &at, &session, &value))
		store_role_grant_end(value);
}

static struct store_peer *store_role_find_user(struct store_role *s, uint32_t worker)
{
	for (struct store_peer *p = s->peers; p; p = p->next)
		if (p->id == ROLE_USER && p->worker == worker)
			return p;
	return NULL;
}

static void store_role_grant_put(struct store_peer *user, const struct msg_grant *m, const struct store_account *account)
{
	struct store_grant *g = mem_alloc(sizeof(*g) + account->address.len), *old = map_get(&user->grants, m->session);

	if (old)
		store_role_grant_end(old);
	*g = (struct store_grant){.peer = user, .session = m->session, .account = account->id, .address = span_of(g + 1, account->address.len),
		.by = (enum policy_by)m->by, .network = m->network, .generation = m->generation};
	if (account->address.len)
		memcpy(g + 1, account->address.ptr, account->address.len);
	(void)map_put(&user->grants, m->session, g);
}

static enum cause_id store_role_grant_check(struct store_role *s, struct store_peer *user, const struct msg_grant *m, struct arena *mem,
	struct store_account *account)
{
	struct err err = {""};
	enum rc rc;

	if (!user || m->account > INT64_MAX)
		return CAUSE_SERVER_TEMP_ERROR;
	if (user->grants.count >= STORE_PEER_SESSIONS)
		return CAUSE_SERVER_OVERLOADED;
	if (m->by == POLICY_BY_NETWORK) { /* nobody in particular */
		*account = (struct store_account){0};
		return CAUSE_NONE;
	}
	if (m->by != POLICY_BY_SIGN_IN && m->by != POLICY_BY_WINDOW)
		return CAUSE_SERVER_TEMP_ERROR;
	rc = store_account_by_id(s->store, (int64_t)m->account, mem, account, &err);
	if (rc == RC_NONE)
		return CAUSE_AUTH_ACCOUNT_DISABLED;
	if (rc != RC_OK)
		return store_role_judge(s, rc, "grant", &err);
	return account->enabled ? CAUSE_NONE : CAUSE_AUTH_ACCOUNT_DISABLED;
}

enum rc store_role_grant(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_grant *m = &msg->grant;
	struct store_peer *user = store_role_find_user(p->role, m->worker);
	struct store_account account = {0};
	struct msg_granted answer = {.ask = m->ask};
	struct arena mem;
	enum cause_id cause;

	arena_init(&mem, 4096);
	cause = store_role_grant_check(p->role, user, m, &mem, &account);
	if (cause == CAUSE_NONE) {
		store_role_grant_put(user, m, &account);
		answer.address = account.address;
	}
	answer.cause = (uint16_t)cause;
	chan_send(p->chan, MSG_GRANTED, &answer);
	arena_clear(&mem);
	return RC_OK;
}

/* what the auth role that was there before has let in and nobody has ended since */
void store_role_grants_tell(struct store_peer *auth)
{
	for (struct store_peer *user = auth->role->peers; user; user = user->next) {
		size_t at = 0;
		uint64_t session;
		void *value;

		while (map_next(&user->grants, &at, &session, &value)) {
			const struct store_grant *g = value;

			if (g->generation && !g->revoked)
				chan_send(auth->chan, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = (uint64_t)g->account, .generation = g->generation});
		}
	}
}

enum rc store_role_ungrant(struct store_peer *p, const union msg_any *msg)
{
	struct store_peer *user = store_role_find_user(p->role, msg->ungrant.worker);
	struct store_grant *g = user ? map_get(&user->grants, msg->ungrant.session) : NULL;

	if (g)
		store_role_grant_end(g);
	return RC_OK;
}

enum rc store_role_revoke(struct store_peer *p, const union msg_any *msg)
{
	bool held = false;

	for (struct store_peer *user = p->role->peers; user; user = user->next) {
		size_t at = 0;
		uint64_t session;
		void *value;

		while (map_next(&user->grants, &at, &session, &value)) {
			struct store_grant *g = value;

			if ((uint64_t)g->account != msg->revoke.account)
				continue;
			g->revoked = true;
			held |= g->holds_mailbox;
			g->holds_mailbox = false;
			if (g->wait_prev) {
				store_role_mailbox_wait_no_more(g);
				store_role_opened(user, g->wait_ask, CAUSE_AUTH_REVOKED, 0);
			}
		}
	}
	if (held) /* nobody of this account waits for it any more */
		(void)map_take(&p->role->mailboxes, msg->revoke.account);
	return RC_OK;
}

enum rc store_role_session_end(struct store_peer *p, const union msg_any *msg)
{
	struct store_grant *g = map_get(&p->grants, msg->session_end.session);

	if (g)
		store_role_grant_end(g);
	if (msg->session_end.session)
		store_role_spools_end(p, msg->session_end.session);
	return RC_OK;
}

/* Why this session may not: the account or its password was changed, or this store (started anew since) was told nothing about the session. The latter must not cost the
 * worker its other connections, so it is refused, not dropped. */
static enum cause_id store_role_refusal(const struct store_grant *g)
{
	if (!g || g->by != POLICY_BY_SIGN_IN) /* a relay window lets people send, never read */
		return CAUSE_SERVER_TEMP_ERROR;
	return g->revoked ? CAUSE_AUTH_REVOKED : CAUSE_NONE;
}

/* ---- readings */

static void store_role_job_drop(struct store_peer *p)
{
	struct store_job *j = p->jobs;

	p->jobs = j->next;
	if (!p->jobs)
		p->jobs_tail = &p->jobs;
	p->job_count--;
	free(j);
}

void store_role_jobs_end(struct store_peer *p)
{
	while (p->jobs)
		store_role_job_drop(p);
}

enum rc store_role_mbox_open(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_mbox_open *m = &msg->mbox_open;
	struct store_grant *g = map_get(&p->grants, m->session);
	enum cause_id cause = store_role_refusal(g);
	struct store_grant *holder;

	if (cause == CAUSE_NONE) {
		holder = map_get(&p->role->mailboxes, (uint64_t)g->account);
		if (!holder || holder == g)
			return store_role_mailbox_take(g, m->ask);
		if (store_role_mailbox_wait(g, m->ask))
			return RC_OK;
		cause = CAUSE_MAILBOX_LOCKED;
	}
	store_role_opened(p, m->ask, cause, 0);
	return RC_OK;
}

enum rc store_role_mail_fetch(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_mail_fetch *m = &msg->mail_fetch;
	struct store_grant *g = map_get(&p->grants, m->session);
	enum cause_id cause = store_role_refusal(g);

	if (cause == CAUSE_NONE && m->uid <= INT64_MAX)
		return store_role_job_add(p, &(struct store_job){.kind = STORE_JOB_FETCH, .session = m->session, .ask = m->ask, .account = g->account,
			.uid = (int64_t)m->uid, .offset = m->offset, .max = m->max});
	chan_send(p->chan, MSG_MAIL_BYTES, &(struct msg_mail_bytes){.ask = m->ask, .cause = (uint16_t)(cause ? cause : CAUSE_MAILBOX_CHANGED), .last = true});
	return RC_OK;
}

/* one frame of a listing; true: that was the last */
static bool store_role_list(struct store_peer *p, struct store_job *j)
{
	struct store_role *s = p->role;
	struct msg_mbox_items answer = {.ask = j->ask};
	struct err err = {""};
	uint32_t validity = 0;
	size_t count = 0;
	enum rc rc = store_mailbox_items(s->store, j->account, j->after, s->items, STORE_ITEMS_FRAME, &count, &err);

	if (rc == RC_OK)
		rc = store_mailbox_validity(s->store, j->account, &validity, &err);
	if (rc != RC_OK) {
		store_role_opened(p, j->ask, store_role_judge(s, rc, "mailbox", &err), 0);
		return true;
	}
	buf_reset(&s->bytes);
	for (size_t i = 0; i < count; i++)
		rec_mail_item_add(&s->bytes, &(struct rec_mail_item){.uid = (uint64_t)s->items[i].uid, .bytes = s->items[i].bytes});
	answer.items = (struct msg_list){.raw = buf_span(&s->bytes), .count = (uint32_t)count};
	if (count > 0)
		chan_send(p->chan, MSG_MBOX_ITEMS, &answer);
	j->listed += count;
	if (count == STORE_ITEMS_FRAME && j->listed <= LIMIT_POP3_MESSAGES) {
		j->after = s->items[count - 1].uid;
		return false;
	}
	store_role_opened(p, j->ask, CAUSE_NONE, validity);
	return true;
}

static bool store_role_fetch(struct store_peer *p, struct store_job *j)
{
	struct store_role *s = p->role;
	struct msg_mail_bytes answer = {.ask = j->ask};
	struct err err = {""};
	bool last = true;
	enum rc rc;

	buf_reset(&s->bytes);
	rc = store_mail_read(s->store, j->account, j->uid, j->offset, j->max < STORE_BYTES_FRAME ? j->max : STORE_BYTES_FRAME, &s->bytes, &last, &err);
	if (rc == RC_NONE)
		answer.cause = CAUSE_MAILBOX_CHANGED;
	else if (rc != RC_OK)
		answer.cause = (uint16_t)store_role_judge(s, rc, "reading mail", &err);
	else
		answer.bytes = buf_span(&s->bytes);
	answer.last = rc != RC_OK || last;
	chan_send(p->chan, MSG_MAIL_BYTES, &answer);
	return true;
}

/* ---- a relay reads what it has a lease of */

static void store_role_text_is(struct store_peer *p, uint32_t ask, enum cause_id cause)
{
	chan_send(p->chan, MSG_TEXT_IS, &(struct msg_text_is){.ask = ask, .cause = (uint16_t)cause, .last = true});
}

enum rc store_role_text_get(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_text_get *m = &msg->text_get;

	if (m->message > INT64_MAX)
		return RC_BAD;
	return store_role_job_add(p, &(struct store_job){.kind = STORE_JOB_TEXT, .ask = m->ask, .uid = (int64_t)m->message, .offset = m->offset, .max = m->max});
}

static bool store_role_text(struct store_peer *p, struct store_job *j)
{
	struct store_role *s = p->role;
	struct msg_text_is answer = {.ask = j->ask};
	struct err err = {""};
	bool last = true;
	enum rc rc;

	buf_reset(&s->bytes);
	rc = store_message_read(s->store, j->uid, j->offset, j->max < STORE_BYTES_FRAME ? j->max : STORE_BYTES_FRAME, &s->bytes, &last, &err);
	if (rc == RC_NONE) { /* removed by an administrator */
		store_role_text_is(p, j->ask, CAUSE_SERVER_TEMP_ERROR);
	} else if (rc != RC_OK) {
		store_role_text_is(p, j->ask, store_role_judge(s, rc, "reading mail that leaves", &err));
	} else {
		answer.bytes = buf_span(&s->bytes);
		answer.last = last;
		chan_send(p->chan, MSG_TEXT_IS, &answer);
	}
	return true;
}

/* may it still have what it asked for? The session may have ended or been revoked since, the lease come back. */
static enum cause_id store_role_job_refusal(struct store_peer *p, const struct store_job *j)
{
	struct store_grant *g;
	enum cause_id cause;

	if (j->kind == STORE_JOB_TEXT)
		return store_role_queue_may_read(p, j->uid) ? CAUSE_NONE : CAUSE_SERVER_TEMP_ERROR;
	g = map_get(&p->grants, j->session);
	cause = store_role_refusal(g);
	return cause == CAUSE_NONE && g->account != j->account ? CAUSE_SERVER_TEMP_ERROR : cause;
}

static void store_role_job_refuse(struct store_peer *p, const struct store_job *j, enum cause_id cause)
{
	if (j->kind == STORE_JOB_TEXT)
		store_role_text_is(p, j->ask, cause);
	else if (j->kind == STORE_JOB_LIST)
		store_role_opened(p, j->ask, cause, 0);
	else
		chan_send(p->chan, MSG_MAIL_BYTES, &(struct msg_mail_bytes){.ask = j->ask, .cause = (uint16_t)cause, .last = true});
}

bool store_role_jobs(struct store_peer *p)
{
	static bool (*const kinds[])(struct store_peer *, struct store_job *) = {[STORE_JOB_LIST] = store_role_list, [STORE_JOB_FETCH] = store_role_fetch, [STORE_JOB_TEXT] = store_role_text};
	size_t frames = 0;

	while (p->jobs && chan_unsent_bytes(p->chan) < STORE_PEER_UNSENT_BYTES) {
		struct store_job *j = p->jobs;
		enum cause_id refusal;

		if (++frames > STORE_PEER_TURN_FRAMES)
			return true; /* others first */
		refusal = store_role_job_refusal(p, j);
		if (refusal != CAUSE_NONE)
			store_role_job_refuse(p, j, refusal);
		else if (!kinds[j->kind](p, j))
			continue;
		store_role_job_drop(p);
	}
	return false; /* the channel's getting empty makes the next turn */
}

/* ---- deleting */

enum rc store_role_mbox_commit(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_mbox_commit *m = &msg->mbox_commit;
	struct store_grant *g = map_get(&p->grants, m->session);
	struct msg_mbox_committed answer = {.ask = m->ask, .cause = (uint16_t)store_role_refusal(g)};
	struct span cursor = m->uids.raw;
	struct rec_uid r;
	struct err err = {""};
	int64_t *uids;
	size_t count = 0;
	enum rc rc;

	if (answer.cause == CAUSE_NONE && !g->holds_mailbox)
		answer.cause = CAUSE_MAILBOX_LOCKED; /* whoever has it now decides */
	if (answer.cause != CAUSE_NONE) {
		chan_send(p->chan, MSG_MBOX_COMMITTED, &answer);
		return RC_OK;
	}
	uids = mem_array(m->uids.count ? m->uids.count : 1, sizeof(*uids));
	while (count < m->uids.count && rec_uid_next(&cursor, &r))
		uids[count++] = r.uid <= INT64_MAX ? (int64_t)r.uid : 0;
	rc = store_begin(p->role->store, &err);
	if (rc == RC_OK)
		rc = store_mail_remove(p->role->store, g->account, uids, count, &err);
	free(uids);
	if (rc == RC_OK) {
		store_role_hold(p, MSG_MBOX_COMMITTED, &answer);
		return RC_OK;
	}
	answer.cause = (uint16_t)store_role_judge(p->role, rc, "deleting", &err);
	chan_send(p->chan, MSG_MBOX_COMMITTED, &answer);
	return RC_OK;
}
