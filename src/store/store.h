/* store - the mail database: domains, accounts, aliases, messages, mailboxes, the outgoing queue. A library over SQLite that the store
 * role (one turn = one transaction) and the command line (short transactions) share. Knows no sockets and does not log.
 * Credentials are elsewhere (store/cred.h). Every call that can fail fills `err`; the database handle lives in struct store.
 *
 * Durability: WAL, synchronous=FULL, read back at open; below FULL the store refuses to open. RC_IO from any call means the disk failed: the
 * caller must end the process (a failed fsync is never retried). RC_FULL means nothing was changed. */
#ifndef MAILROOM_STORE_STORE_H
#define MAILROOM_STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cause/cause.h"

struct store;

/* STORE_SERVE: the one process that lends spool files and takes mail in; RC_BUSY while another does. Cleans up what a crash left. */
enum { STORE_CREATE = 1, STORE_READ_ONLY = 2, STORE_SERVE = 4 };
/* dir is the home's store directory ("mail.db", "bodies/", "spool/" live there). Migrates an older schema; RC_BAD when it is newer than this program. */
/* Before the walls of a sandbox: libraries read their settings and seeds now. */
enum rc store_prepare(struct err *err) RC_WARN;
enum rc store_open(const char *dir, unsigned flags, struct store **out, struct err *err) RC_WARN;
void store_close(struct store **s);

/* what is read until store_read_end is of one moment, and cheaper; outside a transaction only, and nothing is written meanwhile */
void store_read_begin(struct store *s);
void store_read_end(struct store *s);
/* one transaction; begin is cheap to call again inside one */
enum rc store_begin(struct store *s, struct err *err) RC_WARN;
enum rc store_commit(struct store *s, struct err *err) RC_WARN;   /* RC_FULL: rolled back */
void store_rollback(struct store *s);
bool store_in_transaction(const struct store *s);
/* Moves the write-ahead log into the database file once it has grown enough; cheap otherwise. For the moment after the answers went out (tens of ms). Without
 * it store_commit does so, later and larger. */
enum rc store_checkpoint(struct store *s, struct err *err) RC_WARN;
/* after RC_FULL: the log is moved at once, so that its room on the disk can be used again; does nothing inside a transaction */
void store_make_room(struct store *s);

/* ---- settings of hosted things (command line) */
struct store_domain { int64_t id; struct span name; struct span catch_all; /* account address or "" */ int64_t accounts, aliases; };
enum rc store_domain_add(struct store *s, struct span name, struct err *err) RC_WARN;          /* RC_EXISTS */
enum rc store_domain_remove(struct store *s, struct span name, struct err *err) RC_WARN;       /* RC_NONE; RC_BUSY while it has accounts or aliases */
enum rc store_domain_catch_all(struct store *s, struct span name, struct span account_or_empty, struct err *err) RC_WARN;
enum rc store_domain_each(struct store *s, enum rc (*each)(void *arg, const struct store_domain *), void *arg, struct err *err) RC_WARN;
enum rc store_domain_hosted(struct store *s, struct span name, bool *out, struct err *err) RC_WARN;

struct store_account { int64_t id; struct span address; int64_t quota_bytes /* 0: none */, used_bytes, messages, created_ms; bool enabled; };
enum rc store_account_add(struct store *s, struct span address, int64_t quota_bytes, int64_t now_ms, int64_t *id_out, struct err *err) RC_WARN; /* RC_NONE: domain not hosted; RC_EXISTS */
enum rc store_account_get(struct store *s, struct span address, struct arena *mem, struct store_account *out, struct err *err) RC_WARN; /* RC_NONE */
enum rc store_account_by_id(struct store *s, int64_t id, struct arena *mem, struct store_account *out, struct err *err) RC_WARN;
enum rc store_account_enable(struct store *s, struct span address, bool on, struct err *err) RC_WARN;
enum rc store_account_quota(struct store *s, struct span address, int64_t quota_bytes, struct err *err) RC_WARN;
enum rc store_account_remove(struct store *s, struct span address, struct err *err) RC_WARN;   /* with its mail (freed by store_tidy) and the aliases that lead only to it */
enum rc store_account_each(struct store *s, struct span domain_or_empty, enum rc (*each)(void *arg, const struct store_account *), void *arg, struct err *err) RC_WARN;

struct store_alias { struct span address, target; }; /* several rows an alias; a target may be local or foreign */
enum rc store_alias_add(struct store *s, struct span address, struct span target, struct err *err) RC_WARN; /* RC_EXISTS, RC_NONE (domain), RC_BAD (loop), RC_LIMIT */
enum rc store_alias_remove(struct store *s, struct span address, struct span target_or_empty, struct err *err) RC_WARN;
enum rc store_alias_each(struct store *s, struct span domain_or_empty, enum rc (*each)(void *arg, const struct store_alias *), void *arg, struct err *err) RC_WARN;

/* ---- taking mail in */
/* A recipient tag is what the resolver found: which mailbox, alias or that it is foreign. Opaque to workers, but for the last. */
enum { STORE_TAG_FOREIGN = 1, STORE_TAG_ALIAS = 2, STORE_TAG_ACCOUNT = 3, STORE_TAG_SRS = 4 /* back to a sender whose mail was forwarded: for the null sender alone */,
	STORE_TAG_BITS = 3, STORE_TAG_MASK = 7 }; /* low 3 bits; the row id above them */
struct store_resolved { enum cause_id cause; uint64_t tag; struct span detail; struct span limit; };
/* Is this recipient taken? Order: exact account, exact alias, account without +detail, alias without +detail, catch-all; "postmaster" without or with a hosted domain always
 * leads somewhere (RFC 5321 4.5.1: an account or alias of that name, else the oldest account of the domain). Refusals: rcpt-syntax, rcpt-unknown, rcpt-disabled, rcpt-alias-loop, rcpt-mailbox-full (with message_bytes),
 * srs-invalid (an address that we made for forwarded mail, but changed or old). A foreign domain has the tag FOREIGN: whether it may be reached is the policy's to say. detail/limit live in mem. */
enum rc store_resolve(struct store *s, struct span address, uint64_t message_bytes, struct arena *mem, struct store_resolved *out, struct err *err) RC_WARN;

/* what the filter of an account made of its copy */
enum store_filed_how { STORE_FILED_INBOX, STORE_FILED_FOLDER, STORE_FILED_NOWHERE, STORE_FILED_SENT_ON /* `to`: in a message of its own, which the caller makes; here like NOWHERE */ };
struct store_filed { int64_t account; enum store_filed_how how; struct span folder, flags, added, to; };
/* The same body in several messages of one transaction: a lent spool file is used up by the first that anybody holds, the others copy or link it. Start with
 * {0}; where `message` is 0 in the end nobody held it, and the spool file is still lent. */
struct store_shared { int64_t message; };

/* whose message it is; numbers are in the database */
enum store_origin { STORE_ORIGIN_STRANGER, STORE_ORIGIN_ACCOUNT /* signed in, or by its relay window */, STORE_ORIGIN_NETWORK, STORE_ORIGIN_SERVER /* bounces and notices of our own */ };
struct store_rcpt { struct span address; uint64_t tag; unsigned notify; struct span orcpt; };
struct store_message {
	struct span sender, envid, peer, helo, message_id;
	struct span digest;       /* 32 bytes: SHA-256 of what the client sent; with sender, message_id and client it recognises a repeat within a day, for each mailbox and foreign address. Empty: not wanted */
	struct span client;       /* who sent it: account address or IP */
	struct span trace;        /* header lines to put on top (Received: ...), CRLF ended */
	struct span head, body;   /* header block with its empty line; body, when inline */
	uint64_t spool, spool_bytes; /* or a lent spool file that holds the body */
	const struct store_rcpt *rcpts;
	uint32_t rcpt_count;
	const struct store_filed *filed; /* for local accounts among those the recipients lead to; others: the inbox */
	size_t filed_count;
	int64_t received_ms;
	int64_t account;          /* signed-in account, 0: none */
	enum store_origin origin;
	struct span via;          /* hosted domain in whose name it is sent on, where the recipients are not who the sender wrote to; empty: they are */
	struct store_shared *shared; /* NULL: it is the only one with this body */
	unsigned ret;             /* 1 HDRS, 2 FULL, 0 not said */
	bool smtputf8, body_8bit, body_binary, requiretls;
	bool headers_ascii;       /* whatever was said, nothing in the headers needs SMTPUTF8 */
};
/* The quota rule: RCPT refuses where used + declared size exceeds the quota. Accepting refuses (rcpt-mailbox-full) only when every mailbox it would reach has
 * reached its quota: a 250 speaks for all recipients, so where one can take it, all do, each past its quota by what was under way at most.
 * A failure while writing (any rc but RC_OK after which store_in_transaction is false) took the whole transaction back. The lent spool is used up in any case.
 * RC_BAD: the envelope or the spool file is not what the peer said.
 * Inside a transaction: one copy of the text, a mailbox row for each distinct local account (aliases expanded, quota counted), a queue row for each foreign recipient.
 * Tags are hints that are checked; only a recipient whose tag says FOREIGN can reach the queue by its own address.
 * Nothing is promised before store_commit. cause: NONE, rcpt-mailbox-full (no mailbox had room), server-storage-full, ... *duplicate: a repeat, everybody
 * has got it already; *id is the first one's. A repeat with other recipients goes only to those who have not. */
enum rc store_accept(struct store *s, const struct store_message *m, int64_t *id_out, bool *duplicate_out, enum cause_id *cause_out, struct err *err) RC_WARN;

/* ---- spool files for large bodies, below spool/; on accept it is synced, renamed into bodies/ and that directory synced, before the commit */
enum rc store_spool_open(struct store *s, uint64_t *spool_out, int *fd_out, struct err *err) RC_WARN; /* fd_out is the store's own, borrowed: send a duplicate */
void store_spool_drop(struct store *s, uint64_t spool); /* unknown: nothing */

/* ---- reading mail (POP3; IMAP later) */
struct store_item { int64_t uid; uint64_t bytes; /* as fetched, with Return-Path and Delivered-To on top */ };
/* items of the inbox with uid > after, in uid order, at most max; returns how many in *count_out */
enum rc store_mailbox_items(struct store *s, int64_t account, int64_t after, struct store_item *items, size_t max, size_t *count_out, struct err *err) RC_WARN;
enum rc store_mailbox_validity(struct store *s, int64_t account, uint32_t *out, struct err *err) RC_WARN;
/* appends at most max bytes of the message from offset to out; *last: the end was reached. RC_NONE: no such message in that mailbox. */
enum rc store_mail_read(struct store *s, int64_t account, int64_t uid, uint64_t offset, size_t max, struct buf *out, bool *last_out, struct err *err) RC_WARN;
/* removes these from the mailbox (missing ones are fine), counts the quota down; store_tidy frees texts that nobody holds any more */
enum rc store_mail_remove(struct store *s, int64_t account, const int64_t *uids, size_t count, struct err *err) RC_WARN;

/* ---- looking (command line) */
struct store_queued { int64_t message; struct span queue_id, sender, rcpt, state; uint64_t bytes; int64_t received_ms, next_try_ms; unsigned attempts; struct span account, message_id; };
enum rc store_queue_each(struct store *s, int64_t message_or_0, enum rc (*each)(void *arg, const struct store_queued *), void *arg, struct err *err) RC_WARN;
/* the Message-ID of everything held, a call for each mailbox row (where = account address) and queue row (where = "queue"); message_id "" where the mail has none */
enum rc store_message_ids(struct store *s, enum rc (*each)(void *arg, struct span message_id, struct span where, int64_t message), void *arg, struct err *err) RC_WARN;

/* queue ids as people see them: base 32 of the message row */
void store_queue_id_write(struct buf *out, int64_t message);
enum rc store_queue_id_parse(struct span text, int64_t *out) RC_WARN;

/* housekeeping, a bounded amount a call (old repeats, bodies nobody holds); *more: call again soon */
enum rc store_tidy(struct store *s, int64_t now_ms, bool *more_out, struct err *err) RC_WARN;

#endif
