/* retry - what becomes of a recipient after an attempt to deliver: again (when?), or given up. Pure; chance comes as a number. RFC 5321 4.5.4.1.
 * 4xx and 5xx are told apart by the cause and not only by the first digit: a cause that is known to pass by itself (greylisting said with 550) is tried
 * again, one that cannot pass (no such user, said with 450) is given up early. What nobody could read is always tried again. */
#ifndef MAILROOM_POLICY_RETRY_H
#define MAILROOM_POLICY_RETRY_H

#include "cause/cause.h"

/* Numbers travel in frames: never change one. */
enum delivery_outcome {
	DELIVERY_SENT = 1,
	DELIVERY_LATER,      /* try again */
	DELIVERY_REFUSED,    /* give up now */
	DELIVERY_NOT_TRIED,  /* the lease comes back unused (destination down, relay drains): counts as no attempt */
};

struct retry_rules {
	uint64_t first_ms, most_ms;    /* the schedule begins with first_ms and grows by half each time up to most_ms, each with a jitter of a fifth */
	uint64_t expire_ms;            /* age at which a message is given up */
	uint64_t bounce_expire_ms;     /* ... one with a null sender */
	uint64_t hopeless_ms;          /* ... when the cause cannot pass by itself though the code says "later" */
	uint64_t delay_notice_ms;      /* age at which the sender is told that it still waits; 0: never */
};

/* Is it worth trying again, by the reply's code (0: there was none) and the cause as far as it is known (sure: 0..1)? SENT for 2xx; never NOT_TRIED. 5xx is
 * REFUSED unless a cause that passes by itself is known with 0.8; everything else is LATER. */
enum delivery_outcome retry_judge(unsigned code, enum cause_id cause, double sure);
/* said with 4xx, but for a reason that stays, known with 0.9, and that the sending side's administrator cannot mend meanwhile */
bool retry_hopeless(unsigned code, enum cause_id cause, double sure);

struct retry_facts {
	uint32_t attempts;             /* with this one */
	int64_t received_ms, now_ms;   /* wall clock; a clock that jumps back or years ahead expires nothing: see retry_decide */
	uint64_t again_ms;             /* the relay's wish, 0: none */
	bool null_sender;
	enum cause_id cause;
	double sure;                   /* of the cause, 0..1; 0: it only stands in the history */
	unsigned code;
	uint32_t chance;               /* any number */
};
/* give_up without expired: a hopeless cause, which is what the sender should be told. next_ms: wall clock */
struct retry_verdict { bool give_up; bool expired; int64_t next_ms; };
/* after a DELIVERY_LATER. A message is expired by age only when at least three attempts were made, so that a clock that jumped forward costs nothing. */
void retry_decide(const struct retry_rules *r, const struct retry_facts *f, struct retry_verdict *out);
/* how long a destination that could not be reached is left alone, after its n-th failure in a row (n from 1) */
uint64_t retry_destination_ms(const struct retry_rules *r, uint32_t failures, uint32_t chance);

#endif
