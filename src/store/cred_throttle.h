/* cred_throttle - failed sign-ins kept over a restart. What is counted, and under which hashed key, is role/auth_throttle.h's; here are only rows. */
#ifndef MAILROOM_STORE_CRED_THROTTLE_H
#define MAILROOM_STORE_CRED_THROTTLE_H

#include "store/cred.h"

enum cred_throttle_kind { CRED_THROTTLE_FAILURES = 1, CRED_THROTTLE_PAIRS };
enum { CRED_THROTTLE_SECRET_BYTES = 16 };

struct cred_throttle {
	enum cred_throttle_kind kind;
	uint64_t key, spent;
	int64_t at_ms;          /* wall clock: when `spent` was true */
};

/* what keys are hashed with; made when first asked for */
enum rc cred_throttle_secret(struct cred *c, uint8_t secret_out[CRED_THROTTLE_SECRET_BYTES], struct err *err) RC_WARN;
/* inserts or replaces, in one transaction */
enum rc cred_throttle_put(struct cred *c, const struct cred_throttle *rows, size_t count, struct err *err) RC_WARN;
/* the newest of them, at most `most`. `each` may not write. */
enum rc cred_throttle_each(struct cred *c, uint32_t most, void (*each)(void *arg, const struct cred_throttle *), void *arg, struct err *err) RC_WARN;
/* RC_NONE */
enum rc cred_throttle_get(struct cred *c, enum cred_throttle_kind kind, uint64_t key, struct cred_throttle *out, struct err *err) RC_WARN;
/* Removes rows from before oldest_ms or after latest_ms, and the oldest where there are more than `most`; a bounded number a call. */
enum rc cred_throttle_tidy(struct cred *c, int64_t oldest_ms, int64_t latest_ms, uint32_t most, struct err *err) RC_WARN;
/* The command line: forgets these failures, and asks auth to forget them, too. */
enum rc cred_throttle_reset(struct cred *c, uint64_t key, struct err *err) RC_WARN;
/* auth: the next such request, which is taken off the list. RC_NONE: no more */
enum rc cred_throttle_take_reset(struct cred *c, uint64_t *key_out, struct err *err) RC_WARN;

#endif
