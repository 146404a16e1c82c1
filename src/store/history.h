/* history - what happened and why, kept for some days: sign-ins, refusals, mail taken in. A database of its own ("history.db" in the store's
 * directory), so that whatever becomes of it, no mail is touched. What is worth keeping is decided elsewhere (role/session_history.h,
 * role/auth_history.h), how it is told too.
 *
 * Events are encoded as they come and kept in blocks: one row holds what came in since the last write, up to HISTORY_BLOCK_BYTES. So an event
 * costs a copy of its bytes and no index, and a question reads the blocks from the newest back. Texts are bytes from outside, cut at
 * HISTORY_TEXT_BYTES and otherwise as they came. A killed process loses what was not yet written; a power cut may take some seconds more
 * (synchronous=NORMAL: nobody was promised anything).
 *
 * Three classes share the room, so that a flood of strangers or of guessed passwords cannot wash out what became of people's mail: when it is
 * full, the oldest block of the class that is furthest over its share goes. RC_BUSY: somebody has the database locked; nothing was lost. */
#ifndef MAILROOM_STORE_HISTORY_H
#define MAILROOM_STORE_HISTORY_H

#include "base/err.h"
#include "base/map.h"
#include "base/net.h"
#include "base/span.h"

enum {
	HISTORY_TEXT_BYTES = 400,
	HISTORY_BLOCK_BYTES = 32 << 10,
	HISTORY_WAITING_BYTES = 2 << 20, /* of one class, not yet written; more are dropped and counted */
	HISTORY_PRUNE_BLOCKS = 64,       /* in one call */
};

/* Numbers are kept in files: never change one. */
enum history_kind {
	HISTORY_NONE,
	HISTORY_SESSION,       /* ended; says how, and what was left out of it */
	HISTORY_SIGNIN_OK,
	HISTORY_SIGNIN_FAILED, /* cause: the true one */
	HISTORY_REFUSED,       /* a command, or the connection */
	HISTORY_ACCEPTED,      /* a message for one recipient here */
	HISTORY_QUEUED,        /* the same for one elsewhere */
	HISTORY_WINDOW_OPENED, /* relay window of an address */
	HISTORY_WINDOW_CLOSED,
	HISTORY_MORE,          /* `more` events of this address that were not kept one by one; cause: of most of them */
	HISTORY_LOST,          /* `more` events that found no room */
	/* of mail that leaves; an attempt has the remote's host in helo, its address in peer, its words in detail */
	HISTORY_DELIVERED,     /* elsewhere; without a host: here, as its domain is hosted by now */
	HISTORY_DEFERRED,      /* an attempt that failed for now; next_ms: when the next one is */
	HISTORY_FAILED,        /* given up */
	HISTORY_EXPIRED,       /* given up by age */
	HISTORY_HELD,          /* by an administrator, like the following */
	HISTORY_RELEASED,
	HISTORY_RETRIED,
	HISTORY_REMOVED,
	HISTORY_KIND_COUNT
};
enum history_class { HISTORY_MAIL, HISTORY_SIGNINS, HISTORY_STRANGERS, HISTORY_CLASS_COUNT };

/* Fields that do not fit the kind, or that nobody knows, are 0 or empty. Of a message for several recipients only the first event has all fields. */
struct history_event {
	enum history_kind kind;
	int64_t at_ms;    /* wall clock */
	uint64_t session; /* its reference is this in base 32, 8 digits */
	uint64_t message; /* its queue id is this in base 32 */
	uint64_t mailbox; /* account id that the recipient's address led to, where it led to one account directly */
	uint64_t code, bytes, ms, more;
	uint64_t next_ms; /* wall clock */
	struct span service;   /* mx, submission, pop3 */
	struct span listener, peer, tls; /* tls: a version, "yes" or "no" */
	struct span account;   /* who is signed in, or whose sign-in failed: an account that there is */
	struct span login;     /* as it was typed */
	struct span mechanism, helo, command, sender, rcpt;
	struct span cause;     /* slug: what it was */
	struct span shown;     /* slug: what the client was told, where that differs */
	struct span rule;      /* who decided, where the server's own rules did not: domain, recipient */
	struct span detail, limit, retry;
};

/* ---- writing (the store role) */
struct history;
enum { HISTORY_CREATE = 1, HISTORY_READ_ONLY = 2 };
enum rc history_open(const char *dir, unsigned flags, struct history **out, struct err *err) RC_WARN; /* RC_NONE: none there (READ_ONLY) */
void history_close(struct history **h); /* what waits is lost */
/* waits for history_write; class by what it is. False: no room, counted */
bool history_add(struct history *h, const struct history_event *e);
/* The same for what is not true before the mail database has committed: kept apart until history_settle takes it over or, where the commit
 * failed, forgets it. */
bool history_stage(struct history *h, const struct history_event *e);
void history_settle(struct history *h, bool committed);
bool history_is_waiting(const struct history *h);
/* All that waits, in one transaction, behind a HISTORY_LOST event where something had been dropped. Any failure but RC_BUSY: what waited is gone,
 * counted as lost. */
enum rc history_write(struct history *h, int64_t now_ms, struct err *err) RC_WARN;
/* removes what is older than oldest_ms or over max_bytes, HISTORY_PRUNE_BLOCKS at most; *more_out: call again */
enum rc history_prune(struct history *h, int64_t oldest_ms, uint64_t max_bytes, bool *more_out, struct err *err) RC_WARN;
uint64_t history_lost(const struct history *h); /* events dropped since it was opened */

/* ---- asking (the command line) */
struct history_filter {
	int64_t since_ms, until_ms; /* 0: no bound */
	/* any of these as account, login, sender or recipient (also of the form name+detail@domain); compared without regard to case */
	const struct span *addresses;
	size_t address_count;
	uint64_t mailbox;           /* ... or this account as the recipient's */
	const struct net_prefix *peer; /* NULL: any */
	uint64_t session, message;
	struct span cause;          /* as cause or as shown */
	const struct map *sessions; /* any of these; NULL: any */
	uint32_t kinds;             /* bits 1 << kind; 0: all */
};
/* how far back a question may go that must not take long: so many blocks, and bytes of them */
struct history_bounds { uint32_t blocks; uint64_t bytes; };
bool history_matches(const struct history_filter *f, const struct history_event *e);
/* Calls `each` for every event that matches and lies before `before` (0: from the newest), newest first (those of one write stand by class),
 * until it says anything but RC_OK, which is returned then (RC_EXISTS: enough). `at` continues behind an event: give it as `before`. Spans
 * live until `each` returns. Blocks that cannot be read are left out and counted in *damaged_out. */
enum rc history_query(struct history *h, const struct history_filter *f, uint64_t before,
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at), void *arg, size_t *damaged_out, struct err *err) RC_WARN;
/* The same for the blocks of one class alone, from the newest back to f->since_ms or until `most` is used up; damaged blocks are left out. */
enum rc history_query_recent(struct history *h, enum history_class c, const struct history_filter *f, const struct history_bounds *most,
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at), void *arg, struct err *err) RC_WARN;
struct history_extent { int64_t first_ms, last_ms; uint64_t bytes, blocks; }; /* all 0: empty */
enum rc history_extent(struct history *h, struct history_extent *out, struct err *err) RC_WARN;

const char *history_kind_name(enum history_kind k); /* "signin-failed" */
/* The fields by name, in an order that reads well, for a writer of JSON: false at the end of the table. Texts: *number_out is 0; numbers:
 * *text_out is empty. */
bool history_field(const struct history_event *e, size_t i, const char **name_out, struct span *text_out, uint64_t *number_out, bool *is_text_out);

/* ---- the bytes of a block, for tests */
struct buf;
void history_encode(struct buf *out, const struct history_event *e);
/* cuts the first event off; RC_NONE: none is left, RC_BAD: these bytes are no block */
enum rc history_decode(struct span *rest, struct history_event *out) RC_WARN;
/* bytes of the first event and its time, without a look at its fields; 0: none is left, or no block */
size_t history_peek(struct span bytes, int64_t *at_ms_out);

#endif
