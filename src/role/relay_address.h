/* relay_address - what a client's address gives without sign-in on a listener: an authorised network, or an open relay window. Reads the credentials database
 * and decides nothing: the auth role grants what comes out, `mailroom would-accept` shows it. */
#ifndef MAILROOM_ROLE_RELAY_ADDRESS_H
#define MAILROOM_ROLE_RELAY_ADDRESS_H

#include "conf/conf.h"
#include "policy/policy.h"
#include "store/cred.h"

struct relay_address {
	enum policy_by by;           /* NOTHING, WINDOW or NETWORK */
	uint16_t network;            /* index into conf->networks */
	enum policy_window window;   /* OFF where the listener heeds none, or a network speaks for the client */
	int64_t window_ms;           /* wall clock: when it closed, or will */
	struct cred_row row;         /* by a window: its account, as it is now; lives in mem */
};

/* RC_OK also where nothing is given */
enum rc relay_address_look(const struct conf *conf, const struct conf_listener *l, struct cred *cred, const struct net_address *a, int64_t wall_ms, struct arena *mem,
	struct relay_address *out, struct err *err) RC_WARN;
/* the name under which the window of that address is kept: the address, or its prefix */
void relay_address_name(const struct conf *conf, const struct net_address *a, struct buf *out);
/* a private address has a window only where the configuration says so */
bool relay_address_may(const struct conf *conf, const struct net_address *a);

#endif
