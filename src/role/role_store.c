/* The store role: the only writer of mail. In a turn of the loop everything that is ready is done in one transaction; at its end one commit, and only then
 * the answers that promise something. Readings are answered after the commit too, so that nobody sees what may still be taken back. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/role_store.h"
#include "role/role_store_bounce.h"

enum {
	STORE_TIDY_MS = 10000,
	STORE_TIDY_MORE_MS = 20, /* while there is more to free: others first */
	STORE_FDS = 8192,
	STORE_EXIT_DISK = 75,
};

#define STORE_FILE_BYTES ((uint64_t)1 << 44)

static const struct {
	enum msg_type type;
	enum rc (*handle)(struct store_peer *p, const union msg_any *msg);
} store_handlers[] = {
	{MSG_SENDER_CHECK, store_role_sender_check},
	{MSG_RCPT_CHECK, store_role_rcpt_check},
	{MSG_HEADER_RULES_GET, store_role_header_rules},
	{MSG_FILTER_GET, store_role_filter_get},
	{MSG_SPOOL_OPEN, store_role_spool_open},
	{MSG_SPOOL_DROP, store_role_spool_drop},
	{MSG_ACCEPT, store_role_accept},
	{MSG_ABUSE_LOAD, store_role_abuse_load},
	{MSG_ABUSE_SAVE, store_role_abuse_save},
	{MSG_HISTORY, store_role_history},
	{MSG_WHY, store_role_why},
	{MSG_SESSION_END, store_role_session_end},
	{MSG_MBOX_OPEN, store_role_mbox_open},
	{MSG_MAIL_FETCH, store_role_mail_fetch},
	{MSG_MBOX_COMMIT, store_role_mbox_commit},
	{MSG_GRANT, store_role_grant},
	{MSG_UNGRANT, store_role_ungrant},
	{MSG_REVOKE, store_role_revoke},
	{MSG_LEASES_HELD, store_role_leases_held},
	{MSG_RELAY_ROOM, store_role_relay_room},
	{MSG_TEXT_GET, store_role_text_get},
	{MSG_DELIVERIES, store_role_deliveries},
	{MSG_DEST_STATE, store_role_dest_state},
	{MSG_STS_GET, store_role_sts_get},
	{MSG_STS_PUT, store_role_sts_put},
};

/* ---- the turn */

void store_role_hold(struct store_peer *p, enum msg_type type, const void *msg)
{
	struct store_role *s = p->role;
	struct store_held *h;

	if (s->held_count == s->held_size) {
		s->held_size = s->held_size ? s->held_size * 2 : 64;
		s->held = mem_realloc(s->held, s->held_size * sizeof(*s->held));
	}
	h = &s->held[s->held_count++];
	*h = (struct store_held){.peer = p, .type = type};
	if (type == MSG_ACCEPTED)
		h->msg.accepted = *(const struct msg_accepted *)msg;
	else
		h->msg.mbox_committed = *(const struct msg_mbox_committed *)msg;
}

static void store_role_release(struct store_role *s, enum cause_id cause)
{
	for (size_t i = 0; i < s->held_count; i++) {
		struct store_held *h = &s->held[i];

		if (cause != CAUSE_NONE && h->type == MSG_ACCEPTED)
			h->msg.accepted = (struct msg_accepted){.ask = h->msg.accepted.ask, .cause = (uint16_t)cause};
		else if (cause != CAUSE_NONE)
			h->msg.mbox_committed.cause = (uint16_t)cause;
		if (h->peer)
			chan_send(h->peer->chan, h->type, &h->msg);
	}
	s->held_count = 0;
	store_role_history_settle(s, cause == CAUSE_NONE);
	store_role_queue_settle(s, cause == CAUSE_NONE);
}

enum cause_id store_role_judge(struct store_role *s, enum rc rc, const char *doing, const struct err *err)
{
	enum cause_id cause = rc == RC_FULL ? CAUSE_SERVER_STORAGE_FULL : CAUSE_SERVER_TEMP_ERROR;

	if (rc == RC_OK)
		return CAUSE_NONE;
	log_msg(LOG_LEVEL_ERROR, "store-failed", "%s: %s: %s", doing, rc_name(rc), err->words);
	if (rc == RC_IO) {
		/* Nobody is answered, so workers say 451; what was committed before stands. Not even the database is closed: a failed fsync is not tried again. */
		log_flush();
		_exit(STORE_EXIT_DISK);
	}
	if (rc == RC_FULL)
		store_make_room(s->store);
	if ((s->held_count > 0 || store_role_queue_is_open(s)) && !store_in_transaction(s->store))
		store_role_release(s, cause);
	return cause;
}

void store_role_turn(struct store_role *s)
{
	struct err err = {""};
	bool more = false;
	enum rc rc;

	if (!s->store)
		return;
	store_role_queue_turn(s);
	if (store_in_transaction(s->store)) {
		rc = store_commit(s->store, &err);
		if (store_role_judge(s, rc, "commit", &err) == CAUSE_NONE)
			store_role_release(s, CAUSE_NONE);
	}
	store_role_release(s, CAUSE_NONE); /* repeats whose turn wrote nothing */
	store_read_begin(s->store);
	for (struct store_peer *p = s->peers; p; p = p->next)
		more |= store_role_jobs(p);
	store_read_end(s->store);
	if (more)
		loop_soon(s->role->loop, &s->more);
}

static void store_role_commit_hook(void *arg)
{
	store_role_turn(arg);
}

/* the answers are on their way: now the log may be moved into the database */
static void store_role_after_hook(void *arg)
{
	struct store_role *s = arg;
	struct err err = {""};

	if (s->store)
		(void)store_role_judge(s, store_checkpoint(s->store, &err), "checkpoint", &err);
}

static void store_role_more(void *arg)
{
	(void)arg; /* what is left goes on in the commit hook of the turn that this makes happen */
}

static void store_role_tidy(void *arg, mono_ms now)
{
	struct store_role *s = arg;
	struct err err = {""};
	bool more = false;

	if (!s->store)
		return;
	store_role_turn(s); /* tidying has a transaction of its own */
	(void)store_role_judge(s, store_tidy(s->store, clock_wall_ms(), &more, &err), "tidy", &err);
	loop_timer_at(&s->tidy, now + (more ? STORE_TIDY_MORE_MS : STORE_TIDY_MS));
}

/* ---- peers */

static enum rc store_role_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct store_peer *p = owner;

	(void)c;
	if (!p->role->store)
		return RC_OK; /* drained; the peers are about to hear so */
	for (size_t i = 0; i < sizeof(store_handlers) / sizeof(store_handlers[0]); i++)
		if (store_handlers[i].type == type)
			return store_handlers[i].handle(p, msg);
	return RC_BAD;
}

void store_role_drop(struct store_peer *p, const char *why)
{
	struct store_role *s = p->role;

	log_msg(LOG_LEVEL_INFO, "peer-gone", "%s/%u: %s", role_name(p->id), p->worker, why);
	for (size_t i = 0; i < s->held_count; i++)
		if (s->held[i].peer == p)
			s->held[i].peer = NULL;
	store_role_grants_end(p);
	store_role_spools_end(p, 0);
	store_role_jobs_end(p);
	store_role_queue_leave(p);
	map_clear(&p->grants);
	map_clear(&p->spools);
	chan_free(&p->chan);
	store_role_conf_leave(p);
	store_role_counts_leave(p);
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
}

static void store_role_on_gone(void *owner, struct chan *c, const char *why)
{
	(void)c;
	store_role_drop(owner, why);
}

static void store_role_peer(struct role *r, enum role_id id, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = store_role_on_frame, .on_gone = store_role_on_gone};
	struct store_role *s = r->own;
	struct store_peer *p;

	if (id != ROLE_MX && id != ROLE_USER && id != ROLE_AUTH && id != ROLE_RELAY) {
		(void)close(fd);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	*p = (struct store_peer){.role = s, .id = id, .worker = worker, .next = s->peers, .prev = &s->peers};
	p->jobs_tail = &p->jobs;
	store_role_conf_use(s, p);
	map_init(&p->grants);
	map_init(&p->spools);
	if (p->next)
		p->next->prev = &p->next;
	s->peers = p;
	p->chan = chan_new(r->loop, fd, ROLE_STORE, id, worker, &ops, p);
	if (id == ROLE_AUTH)
		store_role_grants_tell(p);
	if (id == ROLE_RELAY)
		store_role_queue_join(p);
}

/* ---- start and end */

static void store_role_plan(struct role *r, struct sandbox_plan *plan)
{
	plan->write_dir = mem_printf("%s/%s", r->conf->home, role_dir_name(r->id));
	plan->file_max_bytes = STORE_FILE_BYTES;
	plan->fd_max = STORE_FDS;
}

static enum rc store_role_open(struct role *r, struct err *err)
{
	struct store_role *s = mem_zalloc(sizeof(*s));

	r->own = s;
	s->role = r;
	store_role_conf_set(s, r->conf, false);
	map_init(&s->mailboxes);
	s->items = mem_array(STORE_ITEMS_FRAME, sizeof(*s->items));
	buf_init(&s->bytes, (size_t)STORE_ITEMS_FRAME * 16 + STORE_BYTES_FRAME);
	s->commit = (struct loop_hook){.fn = store_role_commit_hook, .arg = s};
	s->after = (struct loop_hook){.fn = store_role_after_hook, .arg = s};
	s->more = (struct loop_hook){.fn = store_role_more, .arg = s};
	loop_timer_init(r->loop, &s->tidy, store_role_tidy, s);
	s->opens_tail = &s->opens;
	loop_timer_init(r->loop, &s->opens_over, store_role_opens_over, s);
	store_role_counts_open(s);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file over its limit is a full disk, not the end */
	return store_prepare(err);
}

static enum rc store_role_ready(struct role *r, struct err *err)
{
	struct store_role *s = r->own;
	enum rc rc = store_open(r->dir, STORE_SERVE, &s->store, err);

	if (rc != RC_OK)
		return rc;
	loop_hook_add(r->loop, LOOP_COMMIT, &s->commit);
	loop_hook_add(r->loop, LOOP_LOG, &s->after);
	loop_timer_at(&s->tidy, clock_mono_ms() + STORE_TIDY_MORE_MS);
	store_role_history_open(s);
	store_role_counts_load(s);
	rc = store_role_queue_open(s, err);
	if (rc == RC_OK)
		store_bounces_open(s);
	return rc;
}

/* What was accepted in this turn is committed and answered; then the log goes into the database file and both are closed. */
static void store_role_drain(struct role *r, bool now)
{
	struct store_role *s = r->own;

	(void)now;
	if (s && s->store) {
		store_role_queue_hurry(s);
		store_role_turn(s);
		for (struct store_peer *p = s->peers; p; p = p->next) {
			store_role_spools_end(p, 0);
			chan_flush(p->chan);
		}
		loop_timer_clear(&s->tidy);
		loop_timer_clear(&s->opens_over);
		loop_hook_remove(r->loop, &s->commit);
		loop_hook_remove(r->loop, &s->after);
		store_bounces_close(s);
		store_role_queue_close(s);
		store_role_history_close(s);
		store_role_counts_close(s);
		store_close(&s->store);
		buf_clear(&s->bytes);
		free(s->items);
		free(s->held);
		s->items = NULL;
		s->held = NULL;
	}
	role_done(r);
}

static void store_role_conf(struct role *r, struct conf *conf)
{
	store_role_conf_set(r->own, conf, true);
	store_role_history_open(r->own);
}

const struct role_ops role_store_ops = {
	.name = "store",
	.conf = store_role_conf,
	.plan = store_role_plan,
	.open = store_role_open,
	.ready = store_role_ready,
	.peer = store_role_peer,
	.start = store_role_start,
	.drain = store_role_drain,
};
