#include "role/relay_sts_policy.h"

#include <stdlib.h>

#include "base/mem.h"

enum { STS_POLICY_MEM_BYTES = MTA_STS_TEXT_BYTES + MTA_STS_MX_MAX * sizeof(struct span) + 256 };

struct sts_policy *sts_policy_ref(struct sts_policy *p)
{
	if (p)
		p->refs++;
	return p;
}

void sts_policy_unref(struct sts_policy **p)
{
	struct sts_policy *old = *p;

	*p = NULL;
	if (!old || --old->refs > 0)
		return;
	arena_clear(&old->mem);
	free(old);
}

struct sts_policy *sts_policy_new(struct span id, struct span text, int64_t fetched_ms, struct err *err)
{
	struct sts_policy *p = mem_zalloc(sizeof(*p));

	p->refs = 1;
	p->fetched_ms = fetched_ms;
	arena_init(&p->mem, STS_POLICY_MEM_BYTES);
	p->id = arena_copy(&p->mem, id);
	p->text = arena_copy(&p->mem, text);
	if (p->mem.overflow) {
		(void)err_set(err, RC_LIMIT, "it is longer than %d KiB", MTA_STS_TEXT_BYTES >> 10);
		sts_policy_unref(&p);
	} else if (mta_sts_parse(p->text, &p->mem, &p->sts, err) != RC_OK) {
		sts_policy_unref(&p);
	}
	return p;
}

bool sts_policy_lives(const struct sts_policy *p, int64_t now_ms)
{
	/* a clock that was set back does not end it */
	return p && now_ms - p->fetched_ms < (int64_t)p->sts.max_age_s * 1000;
}

bool sts_policy_is_due(const struct sts_policy *p, int64_t now_ms)
{
	int64_t age = now_ms - p->fetched_ms;

	return age < 0 || age > STS_REFRESH_MS || age > (int64_t)p->sts.max_age_s * 1000 / 2;
}
