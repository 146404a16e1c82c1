#include "policy/retry.h"

#include <string.h>

#define RETRY_PASSES_SURE 0.8    /* of a cause that passes, to try again what was refused for good */
#define RETRY_HOPELESS_SURE 0.9  /* of one that stays, to give up early what was only put off */

enum {
	RETRY_LEAST_MS = 1000,
	RETRY_EXPIRE_ATTEMPTS = 3,
};

/* refused for good by a reason that ends by itself: greylisting, limits for a while. A full mailbox that is said to be for good was full for long. */
static bool retry_passes(enum cause_id cause, double sure)
{
	const struct cause *c = cause_get(cause);

	return c && sure >= RETRY_PASSES_SURE && !c->cause_permanent && strcmp(c->retry, "later") == 0 && cause != CAUSE_RCPT_MAILBOX_FULL;
}

/* can those who run the sending server do something while the mail waits (a listed address, a record in DNS)? */
static bool retry_sender_side_mends(const struct cause *c)
{
	return c->fixes[0].who && strcmp(c->fixes[0].who, "remote-admin") == 0;
}

bool retry_hopeless(unsigned code, enum cause_id cause, double sure)
{
	const struct cause *c = cause_get(cause);

	if (!c || code / 100 != 4 || !(sure >= RETRY_HOPELESS_SURE))
		return false;
	if (cause == CAUSE_INSUFFICIENT_TEXT || cause == CAUSE_POLICY_UNSPECIFIED || cause == CAUSE_RCPT_OVER_QUOTA)
		return false; /* nobody knows; often greylisting in disguise; somebody may tidy up */
	return c->code_permanent && c->cause_permanent && !c->consequence && !retry_sender_side_mends(c);
}

enum delivery_outcome retry_judge(unsigned code, enum cause_id cause, double sure)
{
	if (code / 100 == 2)
		return DELIVERY_SENT;
	if (code / 100 == 5 && !retry_passes(cause, sure))
		return DELIVERY_REFUSED;
	return DELIVERY_LATER;
}

static uint64_t retry_step_ms(const struct retry_rules *r, uint32_t n, uint32_t chance)
{
	uint64_t ms = r->first_ms > RETRY_LEAST_MS ? r->first_ms : RETRY_LEAST_MS, most = r->most_ms > ms ? r->most_ms : ms;

	while (n-- > 1 && ms < most && ms < UINT64_MAX / 2)
		ms += ms / 2;
	if (ms > most)
		ms = most;
	/* a fifth less to a fifth more, so that what failed together does not come back together */
	return ms - ms / 5 + (uint64_t)((double)(ms / 5) * 2.0 * ((double)chance / (double)UINT32_MAX));
}

static int64_t retry_later(int64_t at_ms, uint64_t ms)
{
	int64_t out;

	return ms > INT64_MAX || __builtin_add_overflow(at_ms, (int64_t)ms, &out) ? INT64_MAX : out;
}

void retry_decide(const struct retry_rules *r, const struct retry_facts *f, struct retry_verdict *out)
{
	uint64_t most = f->null_sender ? r->bounce_expire_ms : r->expire_ms, wait = retry_step_ms(r, f->attempts, f->chance);
	bool hopeless = r->hopeless_ms < most && retry_hopeless(f->code, f->cause, f->sure);
	int64_t end;

	if (hopeless)
		most = r->hopeless_ms;
	if (wait < f->again_ms)
		wait = f->again_ms < most ? f->again_ms : most;
	*out = (struct retry_verdict){.next_ms = retry_later(f->now_ms, wait)};
	end = retry_later(f->received_ms, most);
	if (f->attempts < RETRY_EXPIRE_ATTEMPTS)
		return;
	if (f->now_ms >= end) {
		out->give_up = true;
		out->expired = !hopeless;
	} else if (out->next_ms > end) { /* one last time, so that the sender learns it when it was promised */
		out->next_ms = end > retry_later(f->now_ms, RETRY_LEAST_MS) ? end : retry_later(f->now_ms, RETRY_LEAST_MS);
	}
}

uint64_t retry_destination_ms(const struct retry_rules *r, uint32_t failures, uint32_t chance)
{
	return retry_step_ms(r, failures, chance);
}
