/* store_queue_internal - what the files of the outgoing queue share. The table `destination` is the index of what is due: due_ms is never later than the
 * first moment at which a row of that destination may be leased, and where it is earlier, looking mends it. */
#ifndef MAILROOM_STORE_STORE_QUEUE_INTERNAL_H
#define MAILROOM_STORE_STORE_QUEUE_INTERNAL_H

#include "store/store_internal.h"
#include "store/store_queue.h"

enum { STORE_DEST_BYTES = LIMIT_DOMAIN_BYTES + 4, STORE_HOST_BYTES = 255, STORE_ENHANCED_BYTES = 12, STORE_TLS_BYTES = 128, STORE_WORDS_BYTES = 512,
	STORE_REMOTE_BYTES = 64, STORE_SMARTHOST_BYTES = 64 };
#define STORE_NEVER_MS STORE_MAX_MS

/* ---- store_destination.c */
/* a row waits there until at_ms */
enum rc store_destination_due(struct store *s, struct span dest, int64_t at_ms, struct err *err) RC_WARN;
/* looks what is first */
enum rc store_destination_look(struct store *s, struct span dest, struct err *err) RC_WARN;
/* an administrator wants it tried, whatever is known of it */
enum rc store_destination_unblock(struct store *s, struct span dest, struct err *err) RC_WARN;

/* ---- store_enqueue.c: rows for recipients elsewhere */
struct store_enqueue { /* of one message */
	const struct store_message *m;
	int64_t message;
	bool account_known, sender_known, sender_hosted;
	struct span smarthost; /* in mem */
	struct arena *mem;
};
struct store_enqueued {
	struct span address, domain; /* domain: of the address, lower case */
	struct span via;             /* hosted domain of the alias that forwards to it; empty: the sender meant it */
	unsigned notify;
	struct span orcpt;
};
enum rc store_enqueue(struct store *s, struct store_enqueue *e, const struct store_enqueued *r, struct err *err) RC_WARN;
/* rows from before there were destinations get theirs */
enum rc store_enqueue_old(struct store *s, struct err *err) RC_WARN;
/* where mail for that domain goes by itself: A-labels, lower case; in mem */
struct span store_destination_name(struct span domain, struct arena *mem);

/* ---- store_accept.c */
/* A row whose domain is hosted by now: delivered to whom its address leads, here or (by an alias) on. cause: NONE, or why nobody got it. */
enum rc store_accept_queued(struct store *s, const struct store_message *m, int64_t message, uint64_t text_bytes, enum cause_id *cause_out,
	struct err *err) RC_WARN;

/* ---- store_queue_settle.c */
/* Text from outside as the database keeps it: UTF-8 without control characters, cut between characters; `to` has room for max bytes. */
struct span store_queue_clean(struct span s, size_t max, uint8_t *to);
/* the row goes; its message is released */
enum rc store_queue_drop(struct store *s, int64_t row, int64_t message, struct err *err) RC_WARN;
/* what a leased row becomes when it comes back untried or to wait: *state_out WAITING, HELD or FAILED */
enum store_queue_state store_queue_wished(int64_t wish);

#endif
