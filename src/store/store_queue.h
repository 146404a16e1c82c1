/* store_queue - the outgoing queue: rows that wait, leases, what became of attempts, destinations that are down. Part of the store library (store/store.h):
 * runs in the caller's transaction, knows no frames. The store role leases rows to relays and writes down what they report.
 *
 * A row: one recipient elsewhere of one message. WAITING (next_try_ms), LEASED (a relay has it; back to WAITING when that relay or the store goes),
 * HELD (by an administrator), FAILED (given up; waits for the bounce that is made once for all recipients of the message that are settled). Delivered rows
 * are gone. A destination is the recipients' domain, or ">NAME" for mail whose sender's account or domain has the smarthost NAME. */
#ifndef MAILROOM_STORE_STORE_QUEUE_H
#define MAILROOM_STORE_STORE_QUEUE_H

#include "store/store.h"

/* Numbers are in the database. SENT: arrived, and its sender, who asked for it, is to be told (RFC 3461 4.1) */
enum store_queue_state { STORE_QUEUE_WAITING, STORE_QUEUE_HELD, STORE_QUEUE_LEASED, STORE_QUEUE_FAILED, STORE_QUEUE_SENT, STORE_QUEUE_STATES };
/* what the sender of a row is to be told; numbers are in the database */
enum store_notice { STORE_NOTICE_NONE, STORE_NOTICE_FAILED, STORE_NOTICE_DELAYED, STORE_NOTICE_SENT /* to a server that tells nobody: "relayed" */ };
const char *store_queue_state_name(enum store_queue_state state); /* "waiting" */

struct store_lease_row { int64_t id; uint32_t attempts; unsigned notify; struct span address, orcpt; };
struct store_lease { /* rows of one message for one destination */
	int64_t message, received_ms;
	uint64_t bytes, head_bytes;
	struct span sender;      /* as it goes out: the rewritten one (SRS) where mail is forwarded */
	struct span envid, dest;
	unsigned ret;
	enum store_origin origin;
	bool smtputf8, body_8bit, body_binary, requiretls;
	struct store_lease_row *rows; size_t row_count;
	bool local;              /* nothing leaves: its domain is hosted by now, and the one row was delivered here (or, by an alias, queued anew) */
	enum cause_id local_cause; /* ... or could not be, and is FAILED */
};
/* at start: what was LEASED waits again */
enum rc store_queue_open(struct store *s, struct err *err) RC_WARN;
/* the destinations that are due, earliest first, at most max; *next_ms_out: when the next one will be (INT64_MAX: none), where fewer than max came */
struct store_due { struct span dest; uint32_t failures; };
enum rc store_queue_due(struct store *s, int64_t now_ms, struct arena *mem, struct store_due *due, size_t max, size_t *count_out, int64_t *next_ms_out,
	struct err *err) RC_WARN;
/* Up to max_rows rows of that destination that are due become LEASED; `each` is called once a message. *rows_out: how many. */
enum rc store_queue_lease(struct store *s, struct span dest, int64_t now_ms, size_t max_rows, struct arena *mem,
	enum rc (*each)(void *arg, const struct store_lease *), void *arg, size_t *rows_out, struct err *err) RC_WARN;
/* a relay says it holds this row (after the store was started anew, or its channel was lost): LEASED, if it was not already; that nobody else has it is the
 * caller's to know. RC_NONE: no such row, or one that is settled, or that an administrator held when no relay had it; one that a relay had is held when it comes back */
enum rc store_queue_held(struct store *s, int64_t row, struct err *err) RC_WARN;
/* leased rows come back, next try now */
enum rc store_queue_unlease(struct store *s, const int64_t *rows, size_t count, struct err *err) RC_WARN;

/* ---- what became of a leased row: first what is known of it, then the caller (policy/retry.h) decides, then it is written down */
struct store_row {
	int64_t id, message, received_ms, account; /* account: who sent it, 0: nobody signed in */
	uint32_t attempts;            /* so far */
	unsigned notify;
	bool notified;                /* of the delay */
	enum store_origin origin;
	struct span sender, rcpt, dest; /* sender: the message's own */
	int64_t next_try_ms, wish;    /* the store's own */
};
/* RC_NONE: there is no such leased row (any more) */
enum rc store_queue_row(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err) RC_WARN;
/* the same for a row that store_queue_held would take */
enum rc store_queue_claimed(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err) RC_WARN;

enum store_settle { STORE_SETTLE_SENT /* the row goes */, STORE_SETTLE_WAITS, STORE_SETTLE_FAILED /* waits for its bounce */,
	STORE_SETTLE_DROPPED /* goes without one: the sender wants none, or must not get one */ };
struct store_attempt {            /* host to words: of the remote; empty where there was none */
	enum store_settle how;
	bool expired;                 /* FAILED, by age */
	bool delay_notice;            /* WAITS: tell the sender once that it takes longer */
	bool success_notice;          /* SENT: tell the sender, who asked for it (RFC 3461 4.1) */
	enum cause_id cause;
	unsigned code;
	struct span enhanced, host, address, tls, words;
	int64_t now_ms, next_ms;
	bool counts;                  /* an attempt was made */
};
enum rc store_queue_settle(struct store *s, const struct store_row *row, const struct store_attempt *a, struct err *err) RC_WARN;
/* a destination cannot be reached: nothing is leased for it before until_ms, and then one row; until_ms 0: it answers again */
enum rc store_queue_block(struct store *s, struct span dest, int64_t now_ms, int64_t until_ms, enum cause_id cause, struct span host, struct span words,
	struct err *err) RC_WARN;
/* failures in a row to reach it; 0: it answers */
enum rc store_queue_failures(struct store *s, struct span dest, uint32_t *out, struct err *err) RC_WARN;
/* Rows that wait behind a destination that is down get old without an attempt of their own: those of messages that came before received_ms, by number
 * from *after on, which moves on; *after 0: that was all. For `delayed` those whose sender was not told yet. At most max. A verdict is written down with
 * store_queue_settle_old: FAILED (expired), or WAITS with the delay notice; the facts are the destination's. */
struct store_old { int64_t id; struct store_row row; uint32_t failures; /* of its destination */ };
enum rc store_queue_old(struct store *s, int64_t received_ms, bool delayed, int64_t *after, struct arena *mem, struct store_old *rows, size_t max,
	size_t *count_out, struct err *err) RC_WARN;
enum rc store_queue_settle_old(struct store *s, const struct store_old *old, enum store_settle how, int64_t now_ms, struct err *err) RC_WARN;

/* Messages with notices to send (FAILED rows, delays, rows SENT that asked for it) all of whose other rows are settled or wait for later, or whose first
 * failure is older than patience_ms: a bounce can be made. At most max ids. */
enum rc store_queue_bounceable(struct store *s, int64_t now_ms, int64_t patience_ms, int64_t *messages, size_t max, size_t *count_out, struct err *err) RC_WARN;
struct store_failed { int64_t row; enum store_notice notice; struct span rcpt, orcpt; unsigned notify; enum cause_id cause; unsigned code;
	struct span enhanced, host, address, tls, words; int64_t last_try_ms, next_try_ms; uint32_t attempts; bool expired; };
/* the rows of a message whose sender is to be told something, and what a bounce says of the message; spans in mem */
struct store_bounce { int64_t message, received_ms; struct span sender /* where the bounce goes: the message's own sender, never the rewritten one */, envid,
	helo, peer; unsigned ret;
	enum store_origin origin; bool smtputf8, requiretls; uint64_t bytes, head_bytes; const struct store_failed *rows; size_t row_count; };
enum rc store_queue_bounce_get(struct store *s, int64_t message, struct arena *mem, struct store_bounce *out, struct err *err) RC_WARN;
/* after the bounce was accepted (same transaction): these rows go; those that are DELAYED stay, told of once */
enum rc store_queue_bounced(struct store *s, const int64_t *rows, size_t count, struct err *err) RC_WARN;

/* appends up to max bytes of a message's head and body from offset */
enum rc store_message_read(struct store *s, int64_t message, uint64_t offset, size_t max, struct buf *out, bool *last_out, struct err *err) RC_WARN;

/* MTA-STS policies as they were fetched (RFC 8461 3.3); bounded in number and in bytes, the oldest go */
enum rc store_sts_get(struct store *s, struct span domain, struct arena *mem, struct span *id_out, struct span *text_out, int64_t *fetched_ms_out,
	struct err *err) RC_WARN; /* RC_NONE */
enum rc store_sts_put(struct store *s, struct span domain, struct span id, struct span text, int64_t fetched_ms, struct err *err) RC_WARN;

/* ---- an administrator's hand (command line; the running server notices within a second). Row by row in short transactions of its own; leased rows are held or
 * bounced when the relay has reported on them (gone, if it was delivered). */
struct store_queue_filter { int64_t message; struct span sender /* "<>": the null sender */, rcpt, domain /* the recipients', or a destination */, account,
	cause; int64_t older_than_ms /* came before; 0: any */; int state; /* -1: any */ uint64_t most; /* rows, the oldest first; 0: all */ };
enum store_queue_act { STORE_QUEUE_RETRY /* now, whatever the schedule and the destination say */, STORE_QUEUE_HOLD, STORE_QUEUE_RELEASE,
	STORE_QUEUE_REMOVE /* without a bounce */, STORE_QUEUE_BOUNCE /* with one */ };
enum rc store_queue_act(struct store *s, const struct store_queue_filter *f, enum store_queue_act act, int64_t now_ms, uint64_t *changed_out,
	struct err *err) RC_WARN;
struct store_queue_listed { /* beside struct store_queued */
	struct store_queued q;
	int64_t id;
	enum store_queue_state state;
	struct span dest, cause /* slug, of the last attempt */, enhanced, host, address, tls, words;
	unsigned code;
	int64_t last_try_ms;
	int64_t blocked_ms;       /* of its destination; 0: not */
	struct span dest_cause, dest_host, dest_words;
	bool hold_wanted;         /* when the relay is through with it */
};
enum rc store_queue_list(struct store *s, const struct store_queue_filter *f, enum rc (*each)(void *arg, const struct store_queue_listed *), void *arg,
	struct err *err) RC_WARN;
struct store_destination { struct span name, cause, host, words; int64_t due_ms /* 0: nothing waits */, blocked_ms, since_ms; uint32_t failures;
	int64_t waiting, leased; };
enum rc store_destination_each(struct store *s, enum rc (*each)(void *arg, const struct store_destination *), void *arg, struct err *err) RC_WARN;
/* what an administrator did, for the history: read once, then gone. At most max; the oldest first */
struct store_queue_note { int64_t at_ms, message; enum store_queue_act act; struct span rcpt; };
enum rc store_queue_notes(struct store *s, struct arena *mem, struct store_queue_note *notes, size_t max, size_t *count_out, struct err *err) RC_WARN;

/* has something become due earlier than store_queue_due last said? Asking forgets it */
bool store_queue_stirred(struct store *s);
/* grows with every change by another process */
enum rc store_data_version(struct store *s, int64_t *out, struct err *err) RC_WARN;

/* ---- smarthosts: by the name that the configuration gives one; "": none */
enum rc store_account_set_smarthost(struct store *s, struct span address, struct span name, struct err *err) RC_WARN;
enum rc store_domain_set_smarthost(struct store *s, struct span domain, struct span name, struct err *err) RC_WARN;

#endif
