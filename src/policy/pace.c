#include "policy/pace.h"

#define PACE_TINY 1e-9 /* what rounding may cost */

enum {
	PACE_HOLD_MS = 10000,   /* trouble told again within that time is the same trouble */
	PACE_DOWN_FAILURES = 3, /* in a row: the destination is down */
	PACE_ROWS_EACH = 20,    /* in hand for each connection */
	PACE_SAVED_MS = 100,    /* what was not sent in that time may be made good: timers are late */
	PACE_RATE_STEPS = 64,   /* a rate is halved down to one part in so many, and grows back by one part a message */
};

static double pace_rule_per_ms(const struct pace *p)
{
	return p->rules->per_minute / 60000.0;
}

void pace_init(struct pace *p, const struct pace_rules *rules, mono_ms now)
{
	*p = (struct pace){.rules = rules, .width = rules->first > 1 ? rules->first : 1, .credit = 1, .at = now, .shrunk_ms = MONO_NEVER};
	if (p->width > rules->most)
		p->width = rules->most > 1 ? rules->most : 1;
	p->per_ms = pace_rule_per_ms(p);
}

uint32_t pace_width(const struct pace *p)
{
	return p->failures >= PACE_DOWN_FAILURES || p->width < 1 ? 1 : (uint32_t)(p->width + PACE_TINY);
}

bool pace_take(struct pace *p, mono_ms now, mono_ms *at_out)
{
	double most = 1 + p->per_ms * PACE_SAVED_MS;

	if (p->per_ms <= 0)
		return true;
	if (now > p->at) {
		p->credit += (double)(now - p->at) * p->per_ms;
		p->at = now;
	}
	if (p->credit > most)
		p->credit = most;
	if (p->credit + PACE_TINY >= 1) {
		p->credit -= 1;
		return true;
	}
	*at_out = p->at + (mono_ms)((1 - p->credit) / p->per_ms) + 1;
	return false;
}

static void pace_shrink(struct pace *p, enum pace_event e, mono_ms now)
{
	if (p->shrunk_ms != MONO_NEVER && now < p->shrunk_ms + PACE_HOLD_MS)
		return;
	p->shrunk_ms = now;
	p->width = e == PACE_TOO_MUCH ? p->width / 2 : p->width - 1;
	if (p->width < 1)
		p->width = 1;
	if (e == PACE_TOO_MUCH && p->per_ms / 2 >= pace_rule_per_ms(p) / PACE_RATE_STEPS)
		p->per_ms /= 2;
}

void pace_tell(struct pace *p, enum pace_event e, mono_ms now)
{
	const double most = p->rules->most > 1 ? p->rules->most : 1;

	switch (e) {
	case PACE_SENT:
		p->failures = 0;
		p->width += 1 / p->width;
		if (p->width > most)
			p->width = most;
		p->per_ms += pace_rule_per_ms(p) / PACE_RATE_STEPS;
		if (p->per_ms > pace_rule_per_ms(p))
			p->per_ms = pace_rule_per_ms(p);
		break;
	case PACE_REFUSED:
		p->failures = 0;
		break;
	case PACE_TOO_MUCH: /* it can be reached */
		p->failures = 0;
		pace_shrink(p, e, now);
		break;
	case PACE_TROUBLE:
		if (p->failures < UINT32_MAX)
			p->failures++;
		pace_shrink(p, e, now);
		break;
	}
}

uint32_t pace_window(const struct pace *p)
{
	uint32_t rows = p->failures >= PACE_DOWN_FAILURES ? 1 : pace_width(p) * PACE_ROWS_EACH;

	if (p->per_ms > 0 && rows > 1 + p->per_ms * 60000) /* no more than go in a minute */
		rows = (uint32_t)(1 + p->per_ms * 60000);
	return rows;
}
