/* worker_abuse - what goes wrong from one address, counted by each worker for itself: connections, those that end without mail, unknown commands, commands
 * without sign-in, recipients refused. Past a limit of the configuration new connections from there are refused for a while. An address is IPv4 or an IPv6 /64.
 * Whoever signed in successfully within the last day is not held to it, nor are others behind the same address.
 *
 * The counters are this worker's own, so one that was taken over can turn nobody away elsewhere; the store keeps them over a restart, for this worker's place
 * alone; a crash forgets little more than a second. Bounded memory (policy/rate.h). */
#ifndef MAILROOM_ROLE_WORKER_ABUSE_H
#define MAILROOM_ROLE_WORKER_ABUSE_H

#include "role/rate_kind.h"
#include "role/worker.h"

enum {
	WORKER_ABUSE_ENTRIES = 16384,
	WORKER_ABUSE_SAVE_ROWS = 256,    /* of ABUSE_SAVE */
	WORKER_ABUSE_SAVE_MS = 250,      /* after a change; the store writes once a second */
};

struct worker_abuse;
struct worker_abuse *worker_abuse_new(struct worker *w); /* before the walls */
void worker_abuse_free(struct worker_abuse **a);
/* Counts a new connection. CAUSE_NONE: it may go on; else what to refuse it with, and *facts_out (valid until the next call) the limit and when to come back. */
enum cause_id worker_abuse_connection(struct worker *w, struct span peer, mono_ms now, struct cause_facts *facts_out);
/* a command was refused */
void worker_abuse_refused(struct session *s, enum cause_id cause);
void worker_abuse_signed_in(struct session *s);
/* an SMTP session is over that never came to MAIL and was not turned away itself */
void worker_abuse_idle_end(struct session *s);

/* the channel to the store is new */
void worker_abuse_load(struct worker *w);
enum rc worker_abuse_on_frame(struct worker *w, enum msg_type type, const union msg_any *msg);
/* no new connections from now on: what changed is saved */
void worker_abuse_drain(struct worker *w);

#endif
