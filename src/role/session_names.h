/* session_names - does a recipient's domain exist? Where the store takes a recipient for elsewhere, the DNS is asked whether mail could ever get there: a domain
 * that is not there, or takes no mail (null MX), is refused at RCPT, so that whoever mistyped it learns it at once and not from a bounce. No answer, a doubtful
 * one or none in time: the recipient is taken, and the queue finds out. RFC 5321 5.1, 7505. */
#ifndef MAILROOM_ROLE_SESSION_NAMES_H
#define MAILROOM_ROLE_SESSION_NAMES_H

#include "role/names.h"
#include "role/worker.h"

struct names_check;

/* The store is about to be asked for this recipient: remembers its domain, where it would have to be looked up. */
void session_names_begin(struct session *s, uint32_t engine_ask, const struct address *to);
/* The store's verdict. true: the engine gets its answer later; false: `v` is the answer. */
bool session_names_rcpt(struct session *s, uint32_t engine_ask, const struct verdict *v);
/* the session is over */
void session_names_end(struct session *s);

#endif
