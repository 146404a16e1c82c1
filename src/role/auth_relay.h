/* auth_relay - who may send without signing in: relay windows (POP before SMTP) and authorised networks. A worker hands the connection itself over, so the
 * address is not its word but the kernel's; what follows from it is granted at the store like a sign-in. */
#ifndef MAILROOM_ROLE_AUTH_RELAY_H
#define MAILROOM_ROLE_AUTH_RELAY_H

#include "role/auth_signin.h"

/* RELAY_ASK. RC_BAD: the worker's word about the address is not true */
enum rc auth_relay_ask(struct auth_peer *p, const struct msg_relay_ask *m) RC_WARN;
/* GRANTED; false: it was no question of ours */
bool auth_relay_granted(struct auth *a, const struct msg_granted *m);
/* a sign-in to a mailbox has succeeded: opens the window where the listener says so. service: "pop3" */
void auth_relay_signed_in(struct auth *a, unsigned listener, struct span peer, const struct cred_row *row, struct span service);
/* the session ended, or its grant is replaced by a sign-in */
void auth_relay_end(struct auth_peer *p, uint64_t session);
void auth_relay_store_gone(struct auth *a);
void auth_relay_peer_gone(struct auth_peer *p);
/* every second or so: closes windows whose account changed; now and then forgets old ones */
void auth_relay_look(struct auth *a, mono_ms now);

#endif
