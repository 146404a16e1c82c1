/* store_vacation - whom the filters of accounts have answered, and until when they get no other answer (RFC 5230 4.2); and what a filter is
 * for, as the role that sends in its name has to know. Part of the store library (store/store.h). Senders are kept as hashes: nobody can
 * read there who wrote to whom. */
#ifndef MAILROOM_STORE_STORE_VACATION_H
#define MAILROOM_STORE_STORE_VACATION_H

#include "store/store.h"

/* Is no answer due: that sender has had this one (handle: bytes that tell it from others) not long ago, or LIMIT_SIEVE_ANSWERED senders are
 * remembered? */
enum rc store_vacation_quiet(struct store *s, int64_t account, struct span handle, struct span sender, int64_t now_ms, bool *quiet_out,
			     struct err *err) RC_WARN;
/* in the transaction that takes the answer in */
enum rc store_vacation_put(struct store *s, int64_t account, struct span handle, struct span sender, int64_t now_ms, int64_t until_ms,
			   struct err *err) RC_WARN;

/* the account's script and its needs (bits of enum sieve_needs); RC_NONE: it has none */
enum rc store_filter_of(struct store *s, int64_t account, struct arena *mem, struct span *script_out, uint32_t *needs_out,
			struct err *err) RC_WARN;

#endif
