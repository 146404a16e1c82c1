/* role_store - what the files of the store role share. The role answers frames with the store library; see role_store.c for its turns. */
#ifndef MAILROOM_ROLE_ROLE_STORE_H
#define MAILROOM_ROLE_ROLE_STORE_H

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "role/decide.h"
#include "role/role.h"
#include "role/role_store_rates.h"
#include "store/store.h"

enum {
	STORE_PEER_SPOOLS = 256,          /* lent to one worker at once */
	STORE_PEER_SESSIONS = 65536,      /* granted to one worker at once */
	STORE_PEER_JOBS = 65536,          /* readings a worker may have waiting */
	STORE_PEER_UNSENT_BYTES = 1 << 20, /* past it, readings wait until the worker has read */
	STORE_PEER_OPENS = 256,           /* of mailboxes that another session has, waiting for it to let go */
	STORE_OPEN_WAIT_MS = 1000,        /* a session whose connection broke is over by then, and its client may be back before that */
	STORE_PEER_TURN_FRAMES = 8,       /* of readings, before the other peers get theirs */
	STORE_ITEMS_FRAME = 4096,
	STORE_BYTES_FRAME = 262144,
};

struct store_role;
struct store_peer;
struct store_relay;
struct history_event;

/* what auth said: this session of this worker is that account */
struct store_grant {
	struct store_peer *peer;
	uint64_t session;
	int64_t account;
	struct span address; /* behind the struct */
	enum policy_by by;
	uint16_t network;    /* by a network: its number in the configuration; account is 0 then */
	uint64_t generation; /* of the credentials; 0: not by credentials */
	bool revoked;        /* disabled or password changed since: everything is refused until the session ends */
	bool holds_mailbox;
	/* its MBOX_OPEN waits for whoever holds the mailbox */
	struct store_grant *wait_next, **wait_prev; /* wait_prev NULL: it does not */
	uint32_t wait_ask;
	mono_ms wait_until;
};

/* a reading that waits for the commit of its turn, and for room in the channel */
struct store_job {
	struct store_job *next;
	enum { STORE_JOB_LIST, STORE_JOB_FETCH, STORE_JOB_TEXT /* uid: the message */ } kind;
	uint64_t session;
	uint32_t ask, max;
	int64_t account, after, uid;
	uint64_t offset, listed;
};

/* A configuration and how many peers were made with it. A reload makes new workers; the old ones go by what they were made with until they are gone. */
struct store_conf {
	const struct conf *conf;
	struct conf *conf_owned;
	bool owned;
	unsigned users;
};

/* what a frame says of the session that asks */
struct store_asker {
	uint64_t session;
	uint16_t listener;
	bool tls;
	uint8_t window;
	uint64_t window_ms;
	struct span peer;
};

struct store_peer {
	struct store_role *role;
	struct store_conf *conf;
	struct chan *chan;
	enum role_id id;
	uint32_t worker;
	struct map grants; /* session -> struct store_grant */
	struct map spools; /* spool -> struct store_lent */
	struct store_job *jobs, **jobs_tail;
	size_t job_count;
	size_t opens; /* of its sessions that wait for a mailbox */
	uint32_t history_events; /* reported since the last write */
	struct store_relay *relay; /* of a relay (role_store_queue.h) */
	struct store_peer *next, **prev;
};

/* an answer that promises something and so waits for the commit */
struct store_held {
	struct store_peer *peer; /* NULL: gone */
	enum msg_type type;
	union {
		struct msg_accepted accepted;
		struct msg_mbox_committed mbox_committed;
	} msg;
};

struct store_bouncer;
struct store_queue_role;
struct store_history;
struct store_counts;
struct store_role {
	struct store_bouncer *bounces; /* role_store_bounce.h */
	struct role *role;
	struct store_history *history; /* NULL: none is wanted */
	struct store_queue_role *queue; /* NULL: closed */
	struct store *store; /* NULL: closed */
	struct store_conf *conf; /* the newest */
	struct role_rates *rates;
	struct store_counts *counts;
	struct loop_hook commit, after;
	struct loop_hook more; /* brings the next turn about while readings are left */
	struct loop_timer tidy;
	struct store_peer *peers;
	struct map mailboxes;  /* account -> struct store_grant that holds it */
	struct store_grant *opens, **opens_tail; /* who waits for one, longest first */
	struct loop_timer opens_over;
	struct store_held *held;
	size_t held_count, held_size;
	struct store_item *items; /* STORE_ITEMS_FRAME */
	struct buf bytes;
};

/* role_store.c */
void store_role_turn(struct store_role *s); /* commits, answers: afterwards no transaction is open */
void store_role_hold(struct store_peer *p, enum msg_type type, const void *msg);
/* Looks at how a call went. RC_IO ends the process at once, unanswered: what is on the disk is not known. When the transaction was lost, everybody whose
 * answer waited for it hears so. Returns the cause for the one at hand. */
enum cause_id store_role_judge(struct store_role *s, enum rc rc, const char *doing, const struct err *err);

/* that peer is not well: it is gone, and the parent may make another channel */
void store_role_drop(struct store_peer *p, const char *why);

/* role_store_queue.c, role_store_relay.c: mail that leaves */
enum rc store_role_queue_open(struct store_role *s, struct err *err) RC_WARN;
void store_role_queue_close(struct store_role *s);
void store_role_start(struct role *r);
void store_role_queue_join(struct store_peer *p);
void store_role_queue_leave(struct store_peer *p);
void store_role_queue_turn(struct store_role *s); /* results and leases, in the transaction of the turn */
void store_role_queue_hurry(struct store_role *s); /* the next turn puts nothing off: it is the last */
bool store_role_queue_is_open(const struct store_role *s); /* something of it waits for the commit */
void store_role_queue_settle(struct store_role *s, bool committed);
bool store_role_queue_may_read(const struct store_peer *p, int64_t message);
enum rc store_role_leases_held(struct store_peer *p, const union msg_any *msg);
enum rc store_role_relay_room(struct store_peer *p, const union msg_any *msg);
enum rc store_role_deliveries(struct store_peer *p, const union msg_any *msg);
enum rc store_role_dest_state(struct store_peer *p, const union msg_any *msg);
enum rc store_role_sts_get(struct store_peer *p, const union msg_any *msg);
enum rc store_role_sts_put(struct store_peer *p, const union msg_any *msg);

/* role_store_decide.c */
void store_role_conf_use(struct store_role *s, struct store_peer *p);
void store_role_conf_leave(struct store_peer *p);
void store_role_conf_set(struct store_role *s, const struct conf *conf, bool owned); /* owned: freed with its last user */
void store_role_conf_free(struct store_role *s); /* the last of it */
enum rc store_role_sender_check(struct store_peer *p, const union msg_any *msg);
enum rc store_role_rcpt_check(struct store_peer *p, const union msg_any *msg);
enum rc store_role_header_rules(struct store_peer *p, const union msg_any *msg);
/* RC_BAD: there is no such listener for that role; drop the peer. Spans are the asker's. */
enum rc store_role_who(struct store_peer *p, const struct store_asker *a, struct decide_who *out) RC_WARN;
struct decide store_role_decide(struct store_peer *p);

/* role_store_filter.c */
enum rc store_role_filter_get(struct store_peer *p, const union msg_any *msg);

/* role_store_mail.c */
enum rc store_role_spool_open(struct store_peer *p, const union msg_any *msg);
enum rc store_role_spool_drop(struct store_peer *p, const union msg_any *msg);
enum rc store_role_accept(struct store_peer *p, const union msg_any *msg);
void store_role_spools_end(struct store_peer *p, uint64_t session_or_0); /* 0: all */

/* role_store_history.c */
void store_role_history_open(struct store_role *s); /* where it is wanted and not open; what fails is logged, and tried again later */
void store_role_history_close(struct store_role *s);
/* one line for each recipient, once the turn is committed */
void store_role_history_accepted(struct store_peer *p, const struct msg_accept *m, const struct store_grant *g, const struct msg_accepted *answer);
void store_role_history_queue(struct store_role *s, const struct history_event *e); /* the same for what became of mail that leaves */
void store_role_history_settle(struct store_role *s, bool committed); /* the turn is over */
enum rc store_role_history(struct store_peer *p, const union msg_any *msg);
struct history *store_role_history_read(struct store_role *s); /* with all that was told so far; NULL: there is none */

/* role_store_why.c */
enum rc store_role_why(struct store_peer *p, const union msg_any *msg);

/* role_store_abuse.c: the counters (role_store_rates.h) on the clock, and those of the workers */
void store_role_counts_open(struct store_role *s); /* before the walls */
void store_role_counts_free(struct store_role *s); /* without saving them */
void store_role_counts_load(struct store_role *s); /* what cannot be read is logged: mail goes before counters */
void store_role_counts_close(struct store_role *s); /* saves what changed; before the store is closed */
void store_role_counts_leave(struct store_peer *p);
enum rc store_role_abuse_load(struct store_peer *p, const union msg_any *msg);
enum rc store_role_abuse_save(struct store_peer *p, const union msg_any *msg);

/* role_store_mailbox.c */
enum rc store_role_grant(struct store_peer *p, const union msg_any *msg);
enum rc store_role_ungrant(struct store_peer *p, const union msg_any *msg);
enum rc store_role_revoke(struct store_peer *p, const union msg_any *msg);
enum rc store_role_session_end(struct store_peer *p, const union msg_any *msg);
void store_role_opens_over(void *arg, mono_ms now);
enum rc store_role_mbox_open(struct store_peer *p, const union msg_any *msg);
enum rc store_role_mail_fetch(struct store_peer *p, const union msg_any *msg);
enum rc store_role_text_get(struct store_peer *p, const union msg_any *msg);
enum rc store_role_mbox_commit(struct store_peer *p, const union msg_any *msg);
void store_role_grants_end(struct store_peer *p);
void store_role_grants_tell(struct store_peer *auth);
/* does what waits for this peer, as far as its channel has room; true: something is left that can go on at once */
bool store_role_jobs(struct store_peer *p);
void store_role_jobs_end(struct store_peer *p);

#endif
