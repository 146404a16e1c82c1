/* auth_watch - which accounts are signed in right now, and with which generation of their credentials, so that a changed password or a disabled
 * account ends its sessions. */
#ifndef MAILROOM_ROLE_AUTH_WATCH_H
#define MAILROOM_ROLE_AUTH_WATCH_H

#include "store/cred.h"

struct auth_watched {
	int64_t account;
	uint64_t generation;
	char *address;
	uint32_t sessions;
	bool inherited; /* one of them stands for all that were let in by an earlier process of this role; it is never given back */
};

struct auth_watch;
/* `revoke` is called for an account whose live sessions have to end */
struct auth_watch *auth_watch_new(void (*revoke)(void *arg, int64_t account), void *arg);
void auth_watch_free(struct auth_watch **w);
/* One more session of this account. Sessions that stand on an older generation are revoked first. Give it back with auth_watch_leave. */
struct auth_watched *auth_watch_enter(struct auth_watch *w, const struct cred_row *row);
void auth_watch_leave(struct auth_watch *w, struct auth_watched *account);
/* the role itself rewrote the credentials (same password): sessions on the old generation stay good */
void auth_watch_moved(struct auth_watch *w, int64_t account, uint64_t from, uint64_t to);
/* A session that another process of this role let in, with this generation. It is not known when it ends: the account stays watched. */
void auth_watch_inherit(struct auth_watch *w, int64_t account, struct span address, uint64_t generation);
/* Compares all watched accounts with the database; cheap when nobody changed it. RC_IO: it cannot be read. */
enum rc auth_watch_look(struct auth_watch *w, struct cred *c, struct err *err) RC_WARN;

#endif
