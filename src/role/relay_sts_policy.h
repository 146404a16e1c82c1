/* relay_sts_policy - one domain's policy of MTA-STS (RFC 8461 3.2) as it was fetched: read once, shared by those who hold it, never
 * changed. Where policies come from and which one a domain has is relay_sts.h; what one says of a host is mail/mta_sts.h. Times are of the
 * wall clock. */
#ifndef MAILROOM_ROLE_RELAY_STS_POLICY_H
#define MAILROOM_ROLE_RELAY_STS_POLICY_H

#include "base/arena.h"
#include "mail/mta_sts.h"

enum { STS_REFRESH_MS = 24 * 3600 * 1000 }; /* a policy is fetched anew when it is older than this, or than half of its life */

struct sts_policy {
	unsigned refs;
	struct mta_sts sts;
	int64_t fetched_ms;
	struct span id, text;
	struct arena mem;
};

/* with one reference, the caller's; id and text are copied. NULL: the text is no policy, err says why */
struct sts_policy *sts_policy_new(struct span id, struct span text, int64_t fetched_ms, struct err *err);
struct sts_policy *sts_policy_ref(struct sts_policy *p);
void sts_policy_unref(struct sts_policy **p);
/* is it still to be followed? Never so: NULL */
bool sts_policy_lives(const struct sts_policy *p, int64_t now_ms);
/* is it time to fetch it anew, while it lives? */
bool sts_policy_is_due(const struct sts_policy *p, int64_t now_ms);

#endif
