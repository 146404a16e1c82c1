/* auth_truth - what a failed sign-in really was, found out when its answer is on its way already: which form of the name would be right, or that it was the
 * password from before the last change. So neither the words nor the time of the answer depend on it. Works in idle moments of the role, one hash a turn,
 * and always one for each wrong password, so that its load does not tell either. What finds no room is told apart by name only. Does not log. */
#ifndef MAILROOM_ROLE_AUTH_TRUTH_H
#define MAILROOM_ROLE_AUTH_TRUTH_H

#include "base/clock.h"
#include "base/limits.h"
#include "role/auth_form.h"

/* One sign-in that has ended, for log and history. Owned by who has it, with its text; NULL: not known. */
struct auth_record {
	enum cause_id cause;         /* the true one; CAUSE_NONE: signed in */
	uint64_t session, ms;        /* ms: how long it took */
	mono_ms at_ms;               /* when it was over for the client */
	uint32_t worker;
	bool tls;
	char *name, *account;        /* as typed; the account that this name means */
	char *peer, *service, *mechanism;
	char *app;                   /* name of the application password used */
	char *note;                  /* more, for the administrator */
	/* what is left to find out; wiped with the record */
	bool wrong;                  /* a password was tried and was wrong */
	struct buf password;
	char *old_hash;
	int64_t old_ended_ms;
};
struct auth_record *auth_record_new(void);
void auth_record_free(struct auth_record **r);

struct auth_truth {
	struct cred *cred;
	const char *default_domain;
	void (*done)(void *arg, const struct auth_record *r); /* the cause is the true one now */
	void *arg;
	struct auth_record *waiting[LIMIT_AUTH_QUEUE]; /* oldest first */
	size_t count;
	bool closing;                /* nothing waits any more: all is said at once */
};
/* takes the record; `done` is called now or later */
void auth_truth_put(struct auth_truth *t, struct auth_record *r);
/* the oldest: costs a hash. False: there is none. */
bool auth_truth_next(struct auth_truth *t);
/* all of them, without hashes */
void auth_truth_flush(struct auth_truth *t);

#endif
