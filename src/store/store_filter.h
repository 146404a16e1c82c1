/* store_filter - the filters of accounts (one Sieve script each, as text), the folders that they file into, and what is in a mailbox. Knows nothing of the
 * language: policy/sieve.h. */
#ifndef MAILROOM_STORE_STORE_FILTER_H
#define MAILROOM_STORE_STORE_FILTER_H

#include "store/store.h"

enum { STORE_FILTER_BYTES = 64 << 10, STORE_FOLDERS_MAX = 1000 };
#define STORE_FILTER_PRESENT (1u << 31) /* beside the needs, which may be none: there is a script */

/* needs: what sieve_script_needs said, kept beside the script so that nobody has to compile it to know. An empty script removes it. RC_NONE: no such account;
 * RC_BAD: it is no text; RC_LIMIT: it is too long */
enum rc store_filter_set(struct store *s, struct span account_address, struct span script, uint32_t needs, int64_t now_ms, struct err *err) RC_WARN;
/* RC_NONE: no such account, or it has none; RC_BAD: it is damaged */
enum rc store_filter_get(struct store *s, struct span account_address, struct arena *mem, struct span *script_out, int64_t *changed_ms_out,
	struct err *err) RC_WARN;
/* Every account behind a recipient's tag that has a filter (an empty script: it is damaged); *others_out: targets that have none. */
enum rc store_filter_each(struct store *s, uint64_t tag, enum rc (*each)(void *arg, int64_t account, struct span address, struct span script), void *arg,
	uint32_t *others_out, struct err *err) RC_WARN;
/* the needs of all of them together, with STORE_FILTER_PRESENT; 0: there is no filter. Quick where no account has one. */
enum rc store_filter_needs(struct store *s, uint64_t tag, uint32_t *needs_out, struct err *err) RC_WARN;

struct store_folder { int64_t id; struct span name; int64_t messages; };
enum rc store_folder_each(struct store *s, struct span account_address, enum rc (*each)(void *arg, const struct store_folder *), void *arg,
	struct err *err) RC_WARN;
struct store_mail_item {
	int64_t uid, folder; /* folder 0: the inbox */
	uint64_t bytes;
	int64_t received_ms;
	struct span sender, rcpt, flags, folder_name;
};
/* what is in a mailbox, in the order of UIDs; folder "": the inbox, "*": everywhere */
enum rc store_mail_each(struct store *s, struct span account_address, struct span folder, enum rc (*each)(void *arg, const struct store_mail_item *), void *arg,
	struct err *err) RC_WARN;

#endif
