/* auth_throttle - who may try a password now. Token buckets per address (IPv4 /32, IPv6 /64) and per account: a failure takes a token, tokens
 * come back over the window. An (address, account) pair that signed in before has buckets of its own, one for each worker that reports it, so that
 * neither the failures of others nor those that a taken-over worker invents lock an owner out. Bounded memory; pure: time is an argument. Not responsible for delays of answers, nor for looking accounts up. */
#ifndef MAILROOM_ROLE_AUTH_THROTTLE_H
#define MAILROOM_ROLE_AUTH_THROTTLE_H

#include "base/clock.h"
#include "base/span.h"

enum {
	AUTH_THROTTLE_ENTRIES = 65536,      /* addresses and accounts with failures */
	AUTH_THROTTLE_PAIRS = 16384,        /* pairs that signed in */
};

struct auth_throttle_rules {
	uint32_t per_address, per_account;  /* failures a window; 0: no limit */
	uint64_t window_ms;
	uint32_t entries_max, pairs_max;    /* rounded down to a multiple of 8, at least 8 */
};

struct auth_throttle;
struct auth_throttle *auth_throttle_new(const struct auth_throttle_rules *rules);
void auth_throttle_free(struct auth_throttle **t);

/* what to count under: 16 bytes, IPv4 as it is, IPv6 cut to its /64, IPv4-mapped as IPv4; false: no IP address */
bool auth_throttle_peer(struct span peer, uint8_t key_out[16]);

/* May (peer, account) try now? When not: milliseconds until the next try. `peer` is the address as text, `account` the canonical login name whether or
 * not there is such an account (so that the answer does not tell). An unreadable peer shares one bucket with all others of its kind. worker: who says so. */
bool auth_throttle_allows(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now, uint64_t *retry_ms_out);
/* returns how many failures this address (or, when larger, this account) has open, this one included */
uint32_t auth_throttle_failed(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now);
void auth_throttle_succeeded(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now);
bool auth_throttle_knows(struct auth_throttle *t, struct span peer, struct span account);

#endif
