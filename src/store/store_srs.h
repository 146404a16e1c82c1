/* store_srs - the key of the Sender Rewriting Scheme (mail/srs.h), which the mail database keeps: made when it is first needed, the same for all time, as
 * addresses that were made with it come back for weeks. */
#ifndef MAILROOM_STORE_STORE_SRS_H
#define MAILROOM_STORE_STORE_SRS_H

#include "mail/srs.h"
#include "store/store.h"

/* appends the local part for mail of that sender; nothing where it cannot be rewritten, and then it leaves as it is. Inside a transaction. */
enum rc store_srs_forward(struct store *s, struct span sender, int64_t now_ms, struct buf *out, struct err *err) RC_WARN;
/* what srs_reverse says; without a key everything is forged */
enum rc store_srs_reverse(struct store *s, struct span local, int64_t now_ms, struct buf *out, enum srs_back *how_out, struct err *err) RC_WARN;

#endif
