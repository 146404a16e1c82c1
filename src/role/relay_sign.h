/* relay_sign - DKIM signatures of what leaves: reads a message, asks the keys role for the keys of its author's domain and for the signatures, and leaves the
 * fields in relay_text.front. A message is signed once for all its transactions. Keys of a domain are asked for once of each keys role.
 *
 * Unsigned leaves only what there is no key for, or what has no author's domain to sign for. Where there is a key that cannot be used now (it could not be read,
 * memory was short, the message cannot be fetched) the message waits for another attempt; one signature of several is enough. */
#ifndef MAILROOM_ROLE_RELAY_SIGN_H
#define MAILROOM_ROLE_RELAY_SIGN_H

#include "role/relay.h"

struct relay_signer;
struct relay_sign; /* of one message, under way */

struct relay_signer *relay_signer_new(struct relay *r);
void relay_signer_free(struct relay_signer **s); /* before the texts go */
/* a channel to keys is there (again): what is open is asked anew */
void relay_signer_keys(struct relay_signer *s);

/* Calls `done` once, perhaps inside the call: with NULL when the message can leave, signed, or where nothing is to be signed as it is; else with why it has to
 * wait (DELIVERY_LATER). */
void relay_sign(struct relay_signer *s, struct relay_text *t, uint64_t head_bytes, void (*done)(void *arg, const struct relay_failure *why), void *arg);
/* takes the wish back that was made with this arg */
void relay_sign_cancel(struct relay_text *t, const void *arg);

enum rc relay_sign_on_keys(struct relay_signer *s, const struct msg_dkim_keys *m) RC_WARN;
enum rc relay_sign_on_signed(struct relay_signer *s, const struct msg_dkim_signed *m) RC_WARN;

#endif
