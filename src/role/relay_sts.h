/* relay_sts - which policy of MTA-STS (RFC 8461) a domain has: asked of the DNS each time (which has a cache of its own), of memory, of the store, and fetched
 * by HTTPS through the fetch role when its record says that there is a new one. A policy stays until its time is over, whatever becomes of its record and its
 * web server. Part of relay_tls; obeys no policy itself. One for each relay process. */
#ifndef MAILROOM_ROLE_RELAY_STS_H
#define MAILROOM_ROLE_RELAY_STS_H

#include "role/names.h"
#include "role/relay_sts_policy.h"
#include "role/role.h"

enum {
	STS_ENTRIES_MAX = 10000,           /* domains remembered, with and without a policy; the least recently used go */
	STS_BYTES_MAX = 32 << 20,          /* of texts in memory */
	STS_FETCHES_MAX = 256,             /* under way; FETCH_QUEUE of the fetch role is as many */
	STS_WAIT_MS = 100000,              /* for all questions about a domain together; after that what is known is used */
	STS_AGAIN_MS = 5 * 60 * 1000,      /* a failed fetch is not tried again sooner, RFC 8461 3.3 */
};

struct relay_sts_entry;
/* embedded in who asks */
struct relay_sts_wait {
	void (*done)(void *arg, struct sts_policy *policy); /* NULL: there is none; borrowed: sts_policy_ref to keep it */
	void *arg;
	struct relay_sts_wait *next, **prev; /* prev NULL: not waiting */
};

struct relay_sts;
struct relay_sts *relay_sts_new(struct role *r, struct names *names);
void relay_sts_free(struct relay_sts **s);
/* as in relay_tls.h */
void relay_sts_store(struct relay_sts *s, struct chan *store);
enum rc relay_sts_on_store(struct relay_sts *s, const struct msg_sts_is *m) RC_WARN;
void relay_sts_fetch_peer(struct relay_sts *s, uint32_t worker, int fd);

/* done is called once, later, within STS_WAIT_MS. The domain is copied; one that cannot have a policy is as one that has none. */
void relay_sts_ask(struct relay_sts *s, struct span domain, struct relay_sts_wait *wait);
void relay_sts_cancel(struct relay_sts_wait *wait); /* fine when it is not waiting */

#endif
