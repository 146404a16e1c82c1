/* session_filter - the filters of a message's recipients: fetches their scripts from the store, runs them over the message when it is whole (in pieces, so that
 * other sessions go on meanwhile; few messages at once, the others wait in line), and says where each copy goes, or that the owner refuses it. The
 * language is policy/sieve.h. A filter that cannot be read or run leaves the mail in the inbox, and the log says so.
 *
 * A message has one answer. So a recipient whose filter may refuse has a transaction of its own where the sender is a stranger: the others are told to come
 * in another one (RFC 5321 4.5.3.1.10), which servers do at once. People who signed in send to several at once: there one refusal refuses the message,
 * and names the recipient. Behind an alias a copy that its owner refuses is left out while others take theirs; where nobody does, it refuses. */
#ifndef MAILROOM_ROLE_SESSION_FILTER_H
#define MAILROOM_ROLE_SESSION_FILTER_H

#include "base/buf.h"
#include "proto/smtp/smtp_in.h"

struct session;
struct worker;
struct filter_run;
union msg_any;

enum {
	SESSION_FILTER_TAGS = 1024,     /* recipients with filters in one transaction; the others come in another one */
	SESSION_FILTER_ACCOUNTS = 1024, /* that they lead to; the inbox for others */
	SESSION_FILTER_BYTES = 16 << 20, /* of their scripts; likewise */
	SESSION_FILTER_AT_ONCE = 4,     /* messages that a worker looks at: each may take some ten MiB */
};

typedef void session_filter_then(struct session *s, const struct smtp_ask *ask, const struct verdict *v);

struct session_filter { /* of the transaction in hand */
	uint64_t *tags;           /* recipients with filters, as RCPT_RESULT gave them */
	size_t tag_count, tag_size;
	uint32_t taken;           /* recipients accepted so far */
	bool alone;               /* the one there is may refuse the message */
	struct filter_run *run;   /* NULL: nothing is running */
};

struct session_filter_line { /* of a worker */
	struct filter_run *first, **end; /* who waits; end NULL: nobody ever did */
	unsigned busy;
};

/* A recipient was found good; needs: of its filter, as RCPT_RESULT says them, 0: none. CAUSE_NONE: it may share this transaction. */
enum cause_id session_filter_rcpt(struct session *s, uint64_t tag, uint32_t needs);
/* The message is complete: calls `then`, now or later, with what the owners say. Given up meanwhile: never. */
void session_filter_check(struct session *s, const struct smtp_ask *ask, session_filter_then *then);
/* what the filters made of it, as records of messages.def; returns how many */
size_t session_filter_write(const struct session *s, struct buf *out);
size_t session_filter_write_answers(const struct session *s, struct buf *out);
void session_filter_forget(struct session *s);  /* the message was given up or answered */
void session_filter_restart(struct session *s); /* MAIL, or the session ends: no recipients */
/* one script of several: FILTER_IS before the last, an answer to the question with the engine's number engine_ask */
enum rc session_filter_on_part(struct session *s, uint32_t engine_ask, const union msg_any *msg);

#endif
