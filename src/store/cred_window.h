/* cred_window - relay windows (POP before SMTP) in the credentials database: from which address which account fetched its mail last, and until when that lets
 * it send. Beside the credentials because a change of those has to end them. The last window of an address is kept a while after it closed, so that
 * a refusal can say when that was. Times are the wall clock's. */
#ifndef MAILROOM_STORE_CRED_WINDOW_H
#define MAILROOM_STORE_CRED_WINDOW_H

#include "base/net.h"
#include "store/cred.h"

enum cred_window_end {
	CRED_WINDOW_OPEN,    /* until until_ms */
	CRED_WINDOW_REVOKED, /* by an administrator */
	CRED_WINDOW_ACCOUNT, /* password changed, account disabled or removed */
	CRED_WINDOW_SHARED,  /* another account signed in from there: nobody may, until until_ms */
};
enum { CRED_WINDOW_KEEP_MS = 7 * 24 * 3600 * 1000, CRED_WINDOWS_MAX = 100000 };

struct cred_window {
	struct span peer;    /* address or prefix, as net_prefix_write spells it */
	int64_t account;
	uint64_t generation; /* of its credentials, see cred_row: another one ends the window */
	struct span address; /* of the account */
	struct span service; /* "pop3" */
	int64_t opened_ms, until_ms, closed_ms; /* closed_ms 0: by the clock, at until_ms */
	enum cred_window_end reason;
};

/* spans live in mem; RC_NONE: nobody fetched mail from there of late */
enum rc cred_window_get(struct cred *c, struct span peer, struct arena *mem, struct cred_window *out, struct err *err) RC_WARN;
/* Opens it, or moves its end; where another account has a window from there that is open (or was shared) still, it becomes shared. A window of the same account
 * that was renewed within the last minute is left as it is. *opened_out: this sign-in may send. RC_LIMIT: too many windows */
enum rc cred_window_open(struct cred *c, struct span peer, const struct cred_row *row, struct span service, int64_t now_ms, int64_t for_ms, bool *opened_out,
	struct err *err) RC_WARN;
/* Ends windows that are open: of that address or prefix, of that account's address, or all ("all"). RC_NONE: there was none */
enum rc cred_window_revoke(struct cred *c, struct span peer_or_account, int64_t now_ms, int64_t *count_out, struct err *err) RC_WARN;
/* Ends windows whose account was disabled, removed or got other credentials. Reads only, where there is none. */
enum rc cred_window_settle(struct cred *c, int64_t now_ms, struct err *err) RC_WARN;
enum rc cred_window_each(struct cred *c, enum rc (*each)(void *arg, const struct cred_window *), void *arg, struct err *err) RC_WARN;
/* forgets what closed long ago, at most max rows */
enum rc cred_window_tidy(struct cred *c, int64_t now_ms, struct err *err) RC_WARN;
/* is it open at that time? A clock that was set back opens nothing that was closed */
bool cred_window_is_open(const struct cred_window *w, int64_t now_ms);

#endif
