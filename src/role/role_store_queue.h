/* role_store_queue - the outgoing queue at the store role: who gets which rows (role_store_lease.c), what became of them (role_store_result.c), and what relays
 * say (role_store_queue.c). The queue itself is store/store_queue.h; what is decided of a failed attempt is policy/retry.h.
 *
 * A relay has credit (RELAY_ROOM), a destination has a window (DEST_STATE) and belongs to one relay while rows of it are out, so that one process sees how it
 * behaves. Rows are leased in the transaction of a turn and leave after its commit; results are written down in the transaction of a turn, in the order in which
 * they came, and confirmed after its commit. What a failed commit took back is done again. Results wait a little for company, as a commit costs the same for one
 * and for many: the relay has other rows to go on with, and tells all of it again if this process dies.
 *
 * What relays say that they hold counts at once, in memory; the database follows in its place among the results, as soon as it can be written. Until all of
 * that is written down nothing is leased: a row may look as if it waited that a relay has. */
#ifndef MAILROOM_ROLE_ROLE_STORE_QUEUE_H
#define MAILROOM_ROLE_ROLE_STORE_QUEUE_H

#include "policy/retry.h"
#include "role/role_store.h"
#include "store/store_queue.h"

enum {
	QUEUE_WINDOW = 10,             /* rows of a destination that are out at once, until its relay says otherwise */
	QUEUE_WINDOW_MOST = 1000,
	QUEUE_RELAY_ROWS = 20000,      /* ... of a relay */
	QUEUE_HELD_MS = 5000,          /* leases wait so long for relays to say what they hold */
	QUEUE_QUIET_MS = 5 * 60 * 1000,
	QUEUE_TICK_MS = 1000,
	QUEUE_LOOK_MS = 60000,         /* without a reason: whatever was missed is found */
	QUEUE_DUE_PAGE = 256,          /* destinations taken on in a turn */
	QUEUE_TURN_DESTS = 256,        /* looked at in a turn */
	QUEUE_TURN_ROWS = 2000,        /* leased in a turn */
	QUEUE_UNSENT_BYTES = 4 << 20,
	QUEUE_IDLE_DESTS = 4096,       /* remembered with nothing out */
	QUEUE_AGE_ROWS = 50,
	QUEUE_AGE_STEP_MS = 20,
	QUEUE_AGE_MS = 5 * 60 * 1000,
	QUEUE_AGE_LEAST_MS = 1000,
	QUEUE_NOTES = 100,
	QUEUE_AGAIN_MS = 1000,         /* after a failure, and for what came back untried */
	QUEUE_WRITE_AGAIN_MS = 50,     /* of results, after a failure: what leaves makes room; then twice as long each time, up to a second */
	QUEUE_GATHER_MS = 20,          /* between commits that are for results alone */
	QUEUE_GATHER_RESULTS = 256,    /* ... or when so many wait */
	QUEUE_RELAY_RESULTS = 20000,   /* for each relay that wait, as on a full disk: more than a real one has to say of LIMIT_RELAY_ROWS; who says more is dropped */
	QUEUE_STEP_MS = 100,           /* what becomes due later is looked for in steps: probes of many destinations share a commit */
};

struct store_relay {
	struct store_peer *peer;
	uint32_t room, out;            /* rows */
	bool told;                     /* what it holds */
	bool early;                    /* was there before the start: leases wait for what it says */
	uint32_t claimed;              /* rows that it said it holds */
	uint32_t kept;                 /* frames written down in this turn */
	mono_ms heard_ms;
	struct map messages;           /* of rows that are out: how many, as the value */
};

struct store_dest {
	struct span name;              /* behind the struct */
	uint64_t hash;
	uint32_t window, out;
	uint32_t failures;             /* > 0: it was down, one row until it answers */
	bool more;                     /* rows are due that did not fit */
	bool ringed;
	struct store_relay *owner;     /* NULL: nothing is out */
	struct store_dest *chain;      /* of one hash */
	struct store_dest *ring_next, **ring_prev;
	struct store_dest *all_next, **all_prev;
};

struct store_out {                 /* a leased row */
	int64_t row, message;
	uint64_t lease;
	struct store_relay *relay;
	struct store_dest *dest;
};

enum store_result_kind {
	STORE_RESULT_REPORTED,         /* by its relay */
	STORE_RESULT_RETURNED,         /* its relay is gone: as if it had never left */
	STORE_RESULT_HELD,             /* a relay says that it has it */
	STORE_RESULT_LEFT_OVER,        /* no row: what was leased by the store before waits again */
	STORE_RESULT_DEST,             /* no row: a destination is down, or up again */
	STORE_RESULT_END,              /* no row: the end of a frame */
	STORE_RESULT_KINDS
};

struct store_result {              /* what is to be written down of a row; texts behind the struct */
	struct store_result *next;
	enum store_result_kind kind;
	int64_t row;
	struct store_relay *ends;      /* END: the relay; NULL: it is gone */
	enum delivery_outcome outcome; /* REPORTED */
	struct rec_delivery d;         /* REPORTED; HELD: the lease; DEST: cause, host, words, and again_ms: for how long it is not to be tried at least, 0: up */
	struct span dest;              /* DEST */
};

struct store_sending {             /* a lease that waits for the commit */
	struct store_sending *next;
	struct store_relay *relay;
	struct msg_lease msg;
	struct buf rcpts;
	int64_t *rows;
	size_t row_count;
};

struct store_queue_role {
	struct store_role *s;
	bool started, looking;         /* looking: something may have become due */
	mono_ms held_until;
	struct store_relay *relays[64];
	size_t relay_count;
	struct map rows;               /* row -> struct store_out */
	struct map dests;              /* hash -> first struct store_dest of it */
	struct store_dest *ring, **ring_end, *all;
	size_t dest_count, more_count;
	struct store_result *results, **results_end, *applied, **applied_end;
	mono_ms results_at;            /* not before, after a failure */
	uint64_t results_wait;         /* ... the last of these waits; 0: they were written down */
	mono_ms gather_until;          /* results need no commit of their own before */
	size_t result_count;           /* ... that wait */
	bool urgent;                   /* ... but now they do: a destination wants more, or it is not known what is leased */
	struct store_sending *sending, **sending_end;
	struct arena mem;              /* of a turn */
	struct loop_timer due, tick, age, gather;
	struct loop_hook again;
	uint64_t next_lease;
	int64_t now_ms;                /* wall clock, of a turn's leases */
	int64_t data_version, expire_after, delay_after;
};

/* ---- role_store_lease.c */
void store_lease_look(struct store_queue_role *q);  /* which destinations are due */
void store_lease_turn(struct store_queue_role *q);  /* gives rows out, inside the transaction */
void store_lease_timer_again(struct store_queue_role *q); /* a turn, a moment later */
void store_lease_down(struct store_queue_role *q, struct store_dest *d); /* nothing of it is due for a while */
void store_lease_settle(struct store_queue_role *q, bool committed);
struct store_dest *store_lease_dest(struct store_queue_role *q, struct span name); /* made where there is none */
struct store_dest *store_lease_dest_known(const struct store_queue_role *q, struct span name); /* NULL: there is none */
void store_lease_disown(struct store_queue_role *q, const struct store_relay *relay); /* it is going, and has no rows any more */
void store_lease_ring(struct store_queue_role *q, struct store_dest *d); /* rows of it may be due, and there may be room */
struct store_out *store_lease_out(struct store_queue_role *q, struct store_relay *relay, struct store_dest *d, int64_t row, int64_t message, uint64_t lease);
void store_lease_in(struct store_queue_role *q, struct store_out *o); /* no longer out; frees it */
bool store_lease_is_short(const struct store_dest *d); /* more is due, and little is left of what was given out */
void store_lease_free(struct store_queue_role *q);
/* ---- role_store_result.c */
void store_result_add(struct store_queue_role *q, struct store_result *r);
struct store_result *store_result_copy(enum store_result_kind kind, const struct rec_delivery *d, struct span dest);
struct store_result *store_result_new(struct store_queue_role *q, enum store_result_kind kind, int64_t row); /* added */
void store_results_turn(struct store_queue_role *q);  /* writes down what waits, inside the transaction */
void store_results_settle(struct store_queue_role *q, bool committed);
struct retry_rules store_queue_rules(const struct store_queue_role *q);
bool store_queue_overdue(const struct store_row *row, const struct retry_rules *rules, int64_t now_ms);
bool store_queue_wants_delay(const struct store_row *row, const struct retry_rules *rules, int64_t now_ms);
enum store_settle store_queue_failure(unsigned notify); /* what a failure is to a sender who said NOTIFY so */
void store_queue_returns(struct store_queue_role *q, int64_t row); /* as if it had never left */
void store_queue_left_over(struct store_queue_role *q); /* what was leased by the store before waits again */
void store_queue_forget(struct store_queue_role *q, const struct store_relay *relay); /* it is going */
void store_queue_free_results(struct store_queue_role *q);

#endif
