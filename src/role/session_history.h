/* session_history - what a worker reports of its sessions to the history (store/history.h): refusals, sessions that came to nothing, what was
 * left out. Mail that was accepted is written down by the store, which knows when it is committed, and the outcome of a sign-in by auth, which
 * knows the true cause.
 *
 * What is reported, so that a flood stays a few lines:
 *   - of one session the first SESSION_HISTORY_REFUSALS refusals, and the one that ended it; at its end one more event with how many more there
 *     were, what most of them were about, the name of the client (EHLO) and how long it lasted;
 *   - of one client address HISTORY_RATE_MINUTE events a minute (role/history_rate.h), then one summary a minute;
 *   - the end of a session is reported where something was refused in it, and where somebody came to a submission or pop3 listener and left
 *     without signing in;
 *   - a session at an mx listener to which nothing was refused leaves no trace but its mail. A refused sign-in is left to auth. */
#ifndef MAILROOM_ROLE_SESSION_HISTORY_H
#define MAILROOM_ROLE_SESSION_HISTORY_H

#include "role/worker.h"

enum { SESSION_HISTORY_REFUSALS = 20 };

struct session_refusal {
	enum cause_id cause;
	unsigned code; /* 0: pop3 */
	bool closing;  /* the session ends with it */
	struct span helo, command, sender, rcpt, detail, limit, retry, rule;
};

/* at the worker's start; does nothing where the configuration wants no history */
void session_history_open(struct worker *w);
void session_history_refused(struct session *s, const struct session_refusal *r);
void session_history_tls_failed(struct session *s, const char *why);
/* auth has said no, and has reported why: the refusal that follows is the same one */
void session_history_signin_failed(struct session *s, enum cause_id cause);
/* before the store hears that the session is over; frees what is kept for it. helo: "" where there is none */
void session_history_end(struct session *s, struct span helo);

#endif
