/* The store role: the history. Reports of other roles and accepted mail are gathered and written behind the answers of a turn, four times a second at most.
 * Whatever fails here is logged and tried again later; mail goes on. */
#include "base/log.h"
#include "base/num.h"
#include "role/role_store.h"
#include "store/history.h"

enum {
	STORE_HISTORY_WRITE_MS = 250,
	STORE_HISTORY_PRUNE_MS = 10000,
	STORE_HISTORY_PRUNE_MORE_MS = 50,
	STORE_HISTORY_AGAIN_MS = 60000,   /* after a failure */
	STORE_HISTORY_AGO_MS = 600000,    /* told later than that, or with no time: the time of arrival holds */
	STORE_HISTORY_SET_MS = 100,
	STORE_HISTORY_PEER_EVENTS = 2000, /* of one peer between two writes; more is no mail system, and lost */
	STORE_DAY_MS = 24 * 3600 * 1000,
};

struct store_history {
	struct store_role *store;
	struct history *db;        /* NULL: it failed, or is not wanted */
	struct loop_timer write, prune;
	struct loop_hook after;
	bool write_armed, write_due, prune_due, failed;
	uint64_t lost_said;
	mono_ms lost_said_ms;
	int64_t ahead_ms;          /* of the monotonic clock */
};

static const struct conf *history_conf(const struct store_history *h)
{
	return h->store->conf->conf;
}

/* it was not at a start, or is not any more after a reload: what there is then gets old at once */
static bool store_history_is_wanted(const struct store_history *h)
{
	return h && h->db && history_conf(h)->history_days;
}

/* A time of the monotonic clock (0: now) as one of the wall clock. Both are read in whole milliseconds: what lies between them is kept, so that no event gets
 * before another by that, until somebody sets the clock. */
static int64_t store_history_time(struct store_history *h, mono_ms at)
{
	mono_ms now = clock_mono_ms();
	int64_t ahead = clock_wall_ms() - (int64_t)now;

	if (ahead > h->ahead_ms + STORE_HISTORY_SET_MS || ahead < h->ahead_ms - STORE_HISTORY_SET_MS)
		h->ahead_ms = ahead;
	return h->ahead_ms + (int64_t)(at && at <= now && now - at < STORE_HISTORY_AGO_MS ? at : now);
}

/* ---- writing */

static void store_history_is_waiting(struct store_history *h)
{
	if (h->write_armed)
		return;
	h->write_armed = true;
	loop_timer_at(&h->write, loop_now(h->store->role->loop) + STORE_HISTORY_WRITE_MS);
}

static void store_history_fail(struct store_history *h, const char *doing, enum rc rc, const struct err *err)
{
	if (!h->failed)
		log_msg(LOG_LEVEL_ERROR, "history-failed", "%s: %s: %s; mail goes on, nothing is written down until it works again", doing, rc_name(rc), err->words);
	h->failed = true;
	history_close(&h->db);
	loop_timer_at(&h->prune, clock_mono_ms() + STORE_HISTORY_AGAIN_MS);
}

static void store_history_connect(struct store_history *h)
{
	struct err err = {""};
	enum rc rc = history_open(h->store->role->dir, HISTORY_CREATE, &h->db, &err);

	if (rc != RC_OK) {
		store_history_fail(h, "opening", rc, &err);
		return;
	}
	if (h->failed)
		log_msg(LOG_LEVEL_INFO, "history-again", "the history is written again");
	h->failed = false;
	h->lost_said = 0;
	loop_timer_at(&h->prune, clock_mono_ms() + STORE_HISTORY_PRUNE_MORE_MS);
}

static void store_history_say_lost(struct store_history *h, mono_ms now)
{
	uint64_t lost = history_lost(h->db);

	if (lost == h->lost_said || (h->lost_said && now - h->lost_said_ms < STORE_HISTORY_AGAIN_MS))
		return;
	log_msg(LOG_LEVEL_WARN, "history-lost", "%llu events came faster than they could be written down", (unsigned long long)(lost - h->lost_said));
	h->lost_said = lost;
	h->lost_said_ms = now;
}

static void store_history_write(struct store_history *h)
{
	struct err err = {""};
	mono_ms now = clock_mono_ms();
	enum rc rc;

	h->write_due = h->write_armed = false;
	for (struct store_peer *p = h->store->peers; p; p = p->next)
		p->history_events = 0;
	if (!h->db || !history_is_waiting(h->db))
		return;
	rc = history_write(h->db, clock_wall_ms(), &err);
	if (rc == RC_BUSY)
		store_history_is_waiting(h);
	else if (rc != RC_OK)
		store_history_fail(h, "writing", rc, &err);
	if (h->db)
		store_history_say_lost(h, now);
}

static void store_history_prune(struct store_history *h)
{
	int64_t oldest = clock_wall_ms() - (int64_t)history_conf(h)->history_days * STORE_DAY_MS;
	struct err err = {""};
	bool more = false;
	enum rc rc;

	h->prune_due = false;
	if (!h->db) {
		store_history_connect(h);
		return;
	}
	rc = history_prune(h->db, oldest, history_conf(h)->history_max_bytes, &more, &err);
	if (rc != RC_OK && rc != RC_BUSY)
		store_history_fail(h, "making room", rc, &err);
	else
		loop_timer_at(&h->prune, clock_mono_ms() + (more ? STORE_HISTORY_PRUNE_MORE_MS : STORE_HISTORY_PRUNE_MS));
}

static void store_history_on_write(void *arg, mono_ms now)
{
	(void)now;
	((struct store_history *)arg)->write_due = true;
}

static void store_history_on_prune(void *arg, mono_ms now)
{
	(void)now;
	((struct store_history *)arg)->prune_due = true;
}

/* the answers of this turn are on their way */
static void store_history_after(void *arg)
{
	struct store_history *h = arg;

	if (h->write_due)
		store_history_write(h);
	if (h->prune_due)
		store_history_prune(h);
}

void store_role_history_open(struct store_role *s)
{
	struct store_history *h;

	if (s->history || !s->conf->conf || !s->conf->conf->history_days)
		return;
	h = mem_zalloc(sizeof(*h));
	h->store = s;
	h->after = (struct loop_hook){.fn = store_history_after, .arg = h};
	loop_timer_init(s->role->loop, &h->write, store_history_on_write, h);
	loop_timer_init(s->role->loop, &h->prune, store_history_on_prune, h);
	loop_hook_add(s->role->loop, LOOP_LOG, &h->after);
	s->history = h;
	store_history_connect(h);
}

void store_role_history_close(struct store_role *s)
{
	struct store_history *h = s->history;

	s->history = NULL;
	if (!h)
		return;
	store_history_write(h);
	history_close(&h->db);
	loop_timer_clear(&h->write);
	loop_timer_clear(&h->prune);
	loop_hook_remove(s->role->loop, &h->after);
	free(h);
}

struct history *store_role_history_read(struct store_role *s)
{
	if (!store_history_is_wanted(s->history))
		return NULL;
	store_history_write(s->history);
	return s->history->db;
}

/* ---- mail that was accepted */

void store_role_history_accepted(struct store_peer *p, const struct msg_accept *m, const struct store_grant *g, const struct msg_accepted *answer)
{
	struct store_history *h = p->role->history;
	const struct conf_listener *l = &p->conf->conf->listeners[m->listener];
	struct span cursor = m->rcpts.raw;
	struct history_event e;
	struct rec_rcpt r;

	if (!store_history_is_wanted(h))
		return;
	e = (struct history_event){.at_ms = store_history_time(h, 0), .session = m->session, .message = answer->message,
		.bytes = m->head.len + (m->spool ? m->spool_bytes : m->body.len), .service = span_str(role_service_name(l->kind)), .listener = span_str(l->name), .peer = m->peer, .tls = span_str(m->tls ? "yes" : "no"),
		.account = g && g->account ? g->address : SPAN_NONE, .helo = m->helo, .sender = m->sender.len ? m->sender : SPAN_LIT("<>"),
		.detail = answer->duplicate ? SPAN_LIT("a repeat: it was here already") : SPAN_NONE};
	while (rec_rcpt_next(&cursor, &r)) {
		unsigned kind = r.tag & ((1U << STORE_TAG_BITS) - 1);

		e.kind = kind == STORE_TAG_FOREIGN || kind == STORE_TAG_SRS ? HISTORY_QUEUED : HISTORY_ACCEPTED;
		e.mailbox = kind == STORE_TAG_ACCOUNT ? r.tag >> STORE_TAG_BITS : 0;
		e.rcpt = r.address;
		(void)history_stage(h->db, &e);
		/* what is the same for all of them stands in the first */
		e = (struct history_event){.at_ms = e.at_ms, .session = e.session, .message = e.message};
	}
}

void store_role_history_queue(struct store_role *s, const struct history_event *e)
{
	if (store_history_is_wanted(s->history))
		(void)history_stage(s->history->db, e);
}

void store_role_history_settle(struct store_role *s, bool committed)
{
	struct store_history *h = s->history;

	if (!h || !h->db)
		return;
	history_settle(h->db, committed);
	if (history_is_waiting(h->db))
		store_history_is_waiting(h);
}

/* ---- what others report */

/* Mail is not a worker's to report, nor a sign-in that of anybody but auth. */
static bool store_history_may(enum role_id from, unsigned kind)
{
	static const uint32_t of_worker = 1U << HISTORY_SESSION | 1U << HISTORY_REFUSED | 1U << HISTORY_MORE;
	static const uint32_t of_auth = 1U << HISTORY_SIGNIN_OK | 1U << HISTORY_SIGNIN_FAILED | 1U << HISTORY_WINDOW_OPENED | 1U << HISTORY_WINDOW_CLOSED |
					1U << HISTORY_MORE;

	return kind < HISTORY_KIND_COUNT && ((from == ROLE_AUTH ? of_auth : of_worker) >> kind & 1);
}

enum rc store_role_history(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_history *m = &msg->history;
	struct store_history *h = p->role->history;
	const struct store_grant *g;
	const struct cause *cause;
	struct span account;

	if (!store_history_may(p->id, m->kind) || m->cause >= CAUSE_COUNT)
		return RC_BAD;
	if (!store_history_is_wanted(h) || ++p->history_events > STORE_HISTORY_PEER_EVENTS)
		return RC_OK;
	g = p->id == ROLE_AUTH ? NULL : map_get(&p->grants, m->session);
	account = p->id == ROLE_AUTH ? m->account : g && g->account ? g->address : SPAN_NONE;
	cause = cause_get((enum cause_id)m->cause);
	(void)history_add(h->db, &(struct history_event){.kind = (enum history_kind)m->kind, .at_ms = store_history_time(h, m->at_ms),
		.session = m->session, .code = m->code,
		.bytes = m->bytes, .ms = m->ms, .more = m->more, .service = m->service, .listener = m->listener, .peer = m->peer, .tls = m->tls, .account = account,
		.login = m->login, .mechanism = m->mechanism, .helo = m->helo, .command = m->command, .sender = m->sender, .rcpt = m->rcpt,
		.cause = span_str(cause ? cause->slug : NULL), .shown = span_str(cause ? cause_slug(cause->shown_as) : NULL), .rule = m->rule, .detail = m->detail,
		.limit = m->limit, .retry = m->retry});
	store_history_is_waiting(h);
	return RC_OK;
}
