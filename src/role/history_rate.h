/* history_rate - how many events one client address may put into the history. Each has HISTORY_RATE_MINUTE of them a minute; what comes beyond
 * is counted, and when the minute is over one summary says how much that was and what most of it was about. Memory is bounded: addresses beyond
 * HISTORY_RATE_ADDRESSES in one minute share one count. Used by workers and by auth; knows nothing of frames. */
#ifndef MAILROOM_ROLE_HISTORY_RATE_H
#define MAILROOM_ROLE_HISTORY_RATE_H

#include "base/span.h"
#include "cause/cause.h"
#include "loop/loop.h"

enum { HISTORY_RATE_MINUTE = 60, HISTORY_RATE_ADDRESSES = 4096, HISTORY_RATE_MS = 60000 };

/* Which of many causes most were, in two numbers (Boyer and Moore's majority vote): right where one is more than half of all, else one of those
 * that came last. */
struct history_vote {
	enum cause_id cause;
	uint32_t votes;
};
static inline void history_vote_add(struct history_vote *v, enum cause_id cause)
{
	if (v->votes == 0)
		v->cause = cause;
	v->votes += v->cause == cause ? 1 : (uint32_t)-1;
}

struct history_rest { /* of a minute */
	struct span peer; /* as text; empty: of many addresses */
	uint64_t more;
	enum cause_id mostly;
};

struct history_rate;
struct history_rate *history_rate_new(struct loop *loop, void (*tell)(void *arg, const struct history_rest *rest), void *arg);
void history_rate_free(struct history_rate **r);
/* may this event be kept? False: it was counted */
bool history_rate_take(struct history_rate *r, struct span peer, enum cause_id cause);
/* the summaries of this minute now */
void history_rate_flush(struct history_rate *r);

#endif
