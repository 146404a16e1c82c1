/* role_store - what the files of the store role share. The role answers frames with the store library; see role_store.c for its turns. */
#ifndef MAILROOM_ROLE_ROLE_STORE_H
#define MAILROOM_ROLE_ROLE_STORE_H

#include "base/map.h"
#include "role/role.h"
#include "store/store.h"

enum {
	STORE_PEER_SPOOLS = 256,          /* lent to one worker at once */
	STORE_PEER_SESSIONS = 65536,      /* granted to one worker at once */
	STORE_PEER_JOBS = 65536,          /* readings a worker may have waiting */
	STORE_PEER_UNSENT_BYTES = 1 << 20, /* past it, readings wait until the worker has read */
	STORE_PEER_TURN_FRAMES = 8,       /* of readings, before the other peers get theirs */
	STORE_ITEMS_FRAME = 4096,
	STORE_BYTES_FRAME = 262144,
};

struct store_role;
struct store_peer;

/* what auth said: this session of this worker is that account */
struct store_grant {
	struct store_peer *peer;
	uint64_t session;
	int64_t account;
	struct span address; /* behind the struct */
	bool revoked;        /* disabled or password changed since: everything is refused until the session ends */
	bool holds_mailbox;
};

/* a reading that waits for the commit of its turn, and for room in the channel */
struct store_job {
	struct store_job *next;
	enum { STORE_JOB_LIST, STORE_JOB_FETCH } kind;
	uint64_t session;
	uint32_t ask, max;
	int64_t account, after, uid;
	uint64_t offset, listed;
};

struct store_peer {
	struct store_role *role;
	struct chan *chan;
	enum role_id id;
	uint32_t worker;
	struct map grants; /* session -> struct store_grant */
	struct map spools; /* spool -> struct store_lent */
	struct store_job *jobs, **jobs_tail;
	size_t job_count;
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

struct store_role {
	struct role *role;
	struct store *store; /* NULL: closed */
	struct loop_hook commit, after;
	struct loop_hook more; /* brings the next turn about while readings are left */
	struct loop_timer tidy;
	struct store_peer *peers;
	struct map mailboxes;  /* account -> struct store_grant that holds it */
	struct store_held *held;
	size_t held_count, held_size;
	struct store_item *items; /* STORE_ITEMS_FRAME */
	struct buf bytes;
};

/* role_store.c */
void store_role_hold(struct store_peer *p, enum msg_type type, const void *msg);
/* Looks at how a call went. RC_IO ends the process at once, unanswered: what is on the disk is not known. When the transaction was lost, everybody whose
 * answer waited for it hears so. Returns the cause for the one at hand. */
enum cause_id store_role_judge(struct store_role *s, enum rc rc, const char *doing, const struct err *err);

/* role_store_mail.c */
enum rc store_role_rcpt_check(struct store_peer *p, const union msg_any *msg);
enum rc store_role_spool_open(struct store_peer *p, const union msg_any *msg);
enum rc store_role_spool_drop(struct store_peer *p, const union msg_any *msg);
enum rc store_role_accept(struct store_peer *p, const union msg_any *msg);
void store_role_spools_end(struct store_peer *p, uint64_t session_or_0); /* 0: all */

/* role_store_mailbox.c */
enum rc store_role_grant(struct store_peer *p, const union msg_any *msg);
enum rc store_role_ungrant(struct store_peer *p, const union msg_any *msg);
enum rc store_role_revoke(struct store_peer *p, const union msg_any *msg);
enum rc store_role_session_end(struct store_peer *p, const union msg_any *msg);
enum rc store_role_mbox_open(struct store_peer *p, const union msg_any *msg);
enum rc store_role_mail_fetch(struct store_peer *p, const union msg_any *msg);
enum rc store_role_mbox_commit(struct store_peer *p, const union msg_any *msg);
void store_role_grants_end(struct store_peer *p);
/* does what waits for this peer, as far as its channel has room; true: something is left that can go on at once */
bool store_role_jobs(struct store_peer *p);
void store_role_jobs_end(struct store_peer *p);

#endif
