/* role_store_send - what filters send when a message is accepted: copies that go on to another address (Sieve redirect, RFC 5228 4.2), and
 * answers (vacation, RFC 5230). The worker decided what; here it is looked whether the account's filter says such things at all, whether
 * the account may send, how much it has sent, and whether the target is anybody; then they are accepted like any message, in the
 * transaction of the message itself.
 *
 *     store_role_send_begin(&send, ...);     before store_accept: what cannot be sent on goes into the inbox instead
 *     store_accept(...)
 *     store_role_send_finish(&send, ...);    where it went well
 *     store_role_send_end(&send, ...);
 */
#ifndef MAILROOM_ROLE_ROLE_STORE_SEND_H
#define MAILROOM_ROLE_ROLE_STORE_SEND_H

#include "role/role_store.h"

enum { STORE_SENDS_BYTES = 4 << 20 };

struct store_send { /* one copy that goes on */
	const struct store_filed *filed;
	struct span account; /* address */
	struct store_resolved to;
	struct role_rates_who rates;
	bool given; /* its count is taken back */
};
struct store_sends { /* of one message */
	struct store_peer *peer;
	const struct msg_accept *m;
	const struct store_message *message;
	struct store_filed *filed;
	struct store_shared shared;
	struct store_send *sends;
	size_t count;
	struct arena mem;
};

/* Begins the transaction where there is anything to do. `message` stays the caller's, as does what it points to. */
enum rc store_role_send_begin(struct store_sends *x, struct store_peer *p, const struct msg_accept *m, struct store_message *message,
			      struct store_filed *filed, struct err *err) RC_WARN;
/* cause: why one of the copies that go on could not be written, and then the message is not accepted either; answers are left out then */
enum rc store_role_send_finish(struct store_sends *x, bool repeat, enum cause_id *cause_out, struct err *err) RC_WARN;
void store_role_send_end(struct store_sends *x, bool accepted);

#endif
