/* auth_form - why a login name leads to no account: there is no such domain or user here, or it is another form of a name that is here (separators, quotes,
 * apostrophes, blanks, mailto:, a comma for a dot, a bare name that several have). For the log and the history, never for the client: it looks several names
 * up, so whoever calls it has the answer to the client on its way already. Pure but for those look-ups. */
#ifndef MAILROOM_ROLE_AUTH_FORM_H
#define MAILROOM_ROLE_AUTH_FORM_H

#include "base/buf.h"
#include "cause/cause.h"
#include "role/auth_login.h"

enum { AUTH_FORM_DETAIL_BYTES = 480 };

/* name: as it came, any bytes. *cause_out: auth-login-form, auth-domain-unknown or auth-user-unknown; appended to detail_out: what an administrator wants to
 * know, such as "the form would be alice@example.org". RC_IO: the database failed. */
enum rc auth_form_explain(struct cred *c, struct span name, const char *default_domain, enum cause_id *cause_out, struct buf *detail_out,
	struct err *err) RC_WARN;

#endif
