/* pace - how many connections a destination gets, and how fast messages go there: grows on success, shrinks on trouble, by what the destination takes and
 * not by a setting alone. Pure: time comes in as an argument. The owner asks before each connection and each message, and tells what came of it.
 *
 * Concurrency begins at `first`, grows by 1/n for each success (so by one a round of n successes), is halved by trouble that says "too much" (421, 4xx at
 * connect or MAIL, "too many connections", rate limits) and shrinks by one for other failures; never below one; a destination that cannot be reached at all
 * is down: one probe at a time. The rate limit of a destination (messages a minute) is met by spacing, and halves when a rate limit is what it complains of. */
#ifndef MAILROOM_POLICY_PACE_H
#define MAILROOM_POLICY_PACE_H

#include <stdbool.h>

#include "base/clock.h"

struct pace_rules { uint32_t first, most; uint32_t per_minute; /* 0: no limit */ };

enum pace_event {
	PACE_SENT,        /* a message was taken */
	PACE_REFUSED,     /* a refusal that is the message's or recipient's own: says nothing of the pace */
	PACE_TOO_MUCH,    /* the destination complains of how much we send, or is overloaded */
	PACE_TROUBLE,     /* a connection failed or broke */
};

struct pace {
	const struct pace_rules *rules;
	double width;             /* connections allowed */
	double per_ms;            /* messages; 0: no limit */
	double credit;            /* messages that may go now */
	mono_ms at;
	mono_ms shrunk_ms;        /* many connections tell of the same trouble: it counts once in a while */
	uint32_t failures;        /* to reach it, in a row */
};

void pace_init(struct pace *p, const struct pace_rules *rules, mono_ms now);
uint32_t pace_width(const struct pace *p);
/* may a message begin now? Takes its credit where it may; else *at_out says when */
bool pace_take(struct pace *p, mono_ms now, mono_ms *at_out);
void pace_tell(struct pace *p, enum pace_event e, mono_ms now);
/* rows to have in hand for it: enough that no connection waits for the store */
uint32_t pace_window(const struct pace *p);

#endif
