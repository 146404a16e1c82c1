/* auth_keep - failed sign-ins, and who signed in from where, kept in the credentials database: written at most once a second and when the role ends, loaded
 * when it begins. So guessing does not begin anew with a restart, and an owner is known at once. Rows are removed only after the role has run for an hour and
 * looked at them a second time: a clock that was wrong at the start expires nothing for good. */
#ifndef MAILROOM_ROLE_AUTH_KEEP_H
#define MAILROOM_ROLE_AUTH_KEEP_H

#include "role/auth_signin.h"

enum {
	AUTH_KEEP_ROWS = 512,             /* in one transaction */
	AUTH_KEEP_MOST = 131072,          /* in the database */
};

/* the database is open: what was kept is loaded */
enum rc auth_keep_open(struct auth *a, struct err *err) RC_WARN;
/* once a second: writes what changed, forgets what an administrator forgave */
void auth_keep_look(struct auth *a, mono_ms now);
/* the role ends: writes all that changed */
void auth_keep_close(struct auth *a);

#endif
