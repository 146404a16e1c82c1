/* store_rate - counters kept in the mail database so that they outlive a restart, and what the command line wants done to them. What the bytes of a counter
 * mean is policy/rate.h's; whose it is, role/role_store_rates.h's. */
#ifndef MAILROOM_STORE_STORE_RATE_H
#define MAILROOM_STORE_STORE_RATE_H

#include "store/store.h"

enum {
	STORE_RATE_KEY_BYTES = 64,
	STORE_RATE_COUNTS_BYTES = 256,
	STORE_RATE_RESET = 0,          /* kind of the rows that ask to forget a key */
	STORE_RATE_KINDS = 256,
};

struct store_rate {
	int kind;                      /* 1 .. STORE_RATE_KINDS - 1 */
	struct span key, counts;
	int64_t saved_ms;              /* wall clock */
};

/* inserts or replaces; in the caller's transaction where there is one. RC_BAD: key or counts are too long, or the key is no text */
enum rc store_rate_put(struct store *s, const struct store_rate *r, struct err *err) RC_WARN;
/* by kind and key; kind > 0: those of one kind whose key begins so. `each` may end it with anything but RC_OK, and may not write. */
enum rc store_rate_each(struct store *s, int kind, struct span prefix, enum rc (*each)(void *arg, const struct store_rate *), void *arg, struct err *err) RC_WARN;
enum rc store_rate_remove(struct store *s, int kind, struct span key, struct err *err) RC_WARN;
/* Removes counters of this kind saved before oldest_ms or after latest_ms, and the older ones where there are more than `most`; a bounded number a call. */
enum rc store_rate_tidy(struct store *s, int kind, int64_t oldest_ms, int64_t latest_ms, uint32_t most, bool *more_out, struct err *err) RC_WARN;

/* who a recipient's tag stands for: an account's or an alias's address, in mem. RC_NONE: it is gone */
enum rc store_rate_tag_name(struct store *s, uint64_t tag, struct arena *mem, struct span *out, struct err *err) RC_WARN;

/* The command line: forgets what was saved under this key, and asks the store role to forget it in memory, too. */
enum rc store_rate_reset(struct store *s, int kind, struct span key, struct err *err) RC_WARN;
/* The store role: the next such request, which is taken off the list. RC_NONE: no more. key lives in mem. */
enum rc store_rate_take_reset(struct store *s, struct arena *mem, int *kind_out, struct span *key_out, struct err *err) RC_WARN;

#endif
