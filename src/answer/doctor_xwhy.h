/* doctor_xwhy - reads the lines of XWHY, in which a mailroom server tells a signed-in user why it refused that user's own commands:
 * `250-slug=S code=NNN at=TIME session=REF [command=X] [detail=X] [limit=X] [retry=X]`, values in xtext (RFC 3461 4), newest first,
 * then `250 2.0.0 N events`. The server is not believed to be one: what does not fit is left out. Pure; texts go into the arena. */
#ifndef MAILROOM_ANSWER_DOCTOR_XWHY_H
#define MAILROOM_ANSWER_DOCTOR_XWHY_H

#include "answer/doctor_fact.h"

/* reply: lines parted by '\n'; returns how many events were filled */
size_t doctor_xwhy_read(struct span reply, struct arena *mem, struct doctor_event *out, size_t max);
/* The event that stands behind a refusal with that code, which may quote the session's reference; NULL: none. */
const struct doctor_event *doctor_xwhy_match(const struct doctor_event *events, size_t count, unsigned code, struct span refusal);

#endif
