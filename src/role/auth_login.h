/* auth_login - what people type as their login name, and which account it means: user@domain, user+domain (for programs that cannot send an @), or
 * a bare user (with the default domain, else the one account of that local part). A quoted local part ("john doe"@domain, RFC 5321 4.1.2) is the same
 * name as the bare one. Case does not matter. Does not check passwords. */
#ifndef MAILROOM_ROLE_AUTH_LOGIN_H
#define MAILROOM_ROLE_AUTH_LOGIN_H

#include "store/cred.h"

struct auth_login {
	/* Lower case, domains by their A-labels, user@domain where a domain was given or is the default, else the bare name. Depends only on what was typed, not
	 * on what accounts there are: throttling and invented SCRAM salts hang on it. */
	struct span canonical;
	bool found;
	struct cred_row row; /* when found */
	struct cred_app app; /* the application password that was used; name empty: none, it was the account's own */
};

/* RC_BAD: not a login name at all (empty, longer than LIMIT_LOGIN_BYTES, control characters, no UTF-8) */
enum rc auth_login_canonical(struct span name, const char *default_domain, struct arena *mem, struct span *out) RC_WARN;
/* RC_OK: out->found says whether there is an account; RC_BAD as above; RC_IO: the database failed (err). Text lives in mem. */
enum rc auth_login_find(struct cred *c, struct span name, const char *default_domain, struct arena *mem, struct auth_login *out, struct err *err) RC_WARN;

#endif
