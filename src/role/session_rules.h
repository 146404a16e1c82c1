/* session_rules - "refuse-header" rules of a recipient's domain: a message whose header a filter in front has marked as spam is refused on that domain's word.
 * Mail of strangers only. A message has one answer, so recipients of such a domain share it with nobody else's. */
#ifndef MAILROOM_ROLE_SESSION_RULES_H
#define MAILROOM_ROLE_SESSION_RULES_H

#include "base/limits.h"
#include "proto/smtp/smtp_in.h"

struct session;

typedef void session_rules_then(struct session *s, const struct smtp_ask *ask, const struct verdict *v);

struct session_rules { /* of the transaction in hand */
	uint8_t domain[LIMIT_DOMAIN_BYTES];
	size_t domain_bytes;      /* 0: no recipient's domain has such rules */
	bool others;              /* there is a recipient whose domain has none */
	struct smtp_ask ask;      /* ACCEPT that waits for the rules */
	session_rules_then *then; /* NULL: none waits */
};

/* A recipient was found good; `domain` is its domain, where that has rules, or "". CAUSE_NONE: it may share this transaction. */
enum cause_id session_rules_rcpt(struct session *s, struct span domain);
/* The message is complete: calls `then`, now or later, with what the rules say. Given up meanwhile: never. */
void session_rules_check(struct session *s, const struct smtp_ask *ask, session_rules_then *then);
void session_rules_forget(struct session *s);  /* the message was given up or answered */
void session_rules_restart(struct session *s); /* MAIL: no recipients yet */

#endif
