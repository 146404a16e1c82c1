/* relay_cause - from what the SMTP client engine says of an attempt to a cause of the catalogue and to what becomes of the recipient. Pure. Words of
 * other servers are weighed with answer/explain.h; what nobody could read (garbled, cut off, endless) is always tried again, never refused. */
#ifndef MAILROOM_ROLE_RELAY_CAUSE_H
#define MAILROOM_ROLE_RELAY_CAUSE_H

#include "policy/pace.h"
#include "policy/retry.h"
#include "proto/smtp/smtp_out.h"

struct relay_verdict {
	enum delivery_outcome outcome;
	enum cause_id cause;       /* CAUSE_NONE: delivered */
	unsigned sure;             /* percent */
	enum pace_event pace;
	bool elsewhere;            /* another host of the destination is to be tried with it at once */
};
void relay_cause_of(const struct smtp_out_result *r, struct relay_verdict *out);
/* for the log and the history where the remote said nothing: "connection lost" and the like; never NULL */
const char *relay_cause_words(const struct smtp_out_result *r);

#endif
