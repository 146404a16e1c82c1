/* session_sender - whose address is in the envelope and in the From field: asks the store, which decides (role/decide.h), and does to the message what the
 * answer says: refuse, rewrite, mark. Where nobody stands behind a session (a stranger at mx) nothing is asked. RFC 6409 6.1, 8.1; RFC 5322 3.6.2. */
#ifndef MAILROOM_ROLE_SESSION_SENDER_H
#define MAILROOM_ROLE_SESSION_SENDER_H

#include "policy/policy.h"
#include "proto/smtp/smtp_in.h"

struct session;

enum { SESSION_SENDER_BOXES = 64, SESSION_SENDER_ACCOUNT_BYTES = 320, SESSION_SENDER_SAID_BYTES = 160 };

typedef void session_sender_then(struct session *s, const struct smtp_ask *ask, const struct verdict *v);

struct session_sender { /* of the transaction in hand */
	const struct smtp_mail *mail;
	enum policy_identity_act envelope, from;
	struct smtp_ask ask;          /* ACCEPT that waits for an answer about From */
	session_sender_then *then;    /* NULL: none waits */
	const char *why;              /* what cannot be read in From, for the reply; NULL: nothing */
	uint8_t account[SESSION_SENDER_ACCOUNT_BYTES], said[SESSION_SENDER_SAID_BYTES];
	size_t account_bytes, said_bytes; /* said: the addresses in From, as a refusal names them */
};

/* signed in, inside a relay window, or from a network that may relay */
bool session_sender_stands(const struct session *s);
/* MAIL: answers the engine, now or once store and auth have answered */
void session_sender_mail(struct session *s, const struct smtp_ask *ask);
/* The message is complete: calls `then`, now or later, with what is to be said to its From field. Given up meanwhile: never. */
void session_sender_from(struct session *s, const struct smtp_ask *ask, session_sender_then *then);
void session_sender_forget(struct session *s); /* the transaction is over */

/* what goes to the store in the end: the envelope's sender, more header lines on top, the header block (false: it became too long) */
void session_sender_write(const struct session *s, const struct smtp_ask *ask, struct buf *out);
void session_sender_trace(const struct session *s, const struct smtp_ask *ask, struct buf *out);
bool session_sender_head(const struct session *s, const struct smtp_ask *ask, struct span head, struct buf *room, struct span *head_out);
/* the addresses in From of a stranger's message (records of messages.def); returns how many */
size_t session_sender_strangers(const struct session *s, const struct smtp_ask *ask, struct span head, struct buf *out);

#endif
