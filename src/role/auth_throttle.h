/* auth_throttle - who may try a password now. Token buckets per address (IPv4 /32, IPv6 /64) and per account: a failure takes a token, tokens
 * come back over the window. An (address, account) pair that signed in before has buckets of its own, one for each worker that reports it, so that
 * neither the failures of others nor those that a taken-over worker invents lock an owner out. Bounded memory; pure: time is an argument, and monotonic. Not
 * responsible for delays of answers, nor for looking accounts up, nor for where counts are kept over a restart (auth_keep.h): those of pairs are not, as
 * numbers of workers mean nothing then. */
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

/* how failures of an address and an account, and known pairs, are kept: under hashes, as names and addresses of strangers are nobody's to collect */
enum auth_throttle_kept { AUTH_THROTTLE_FAILURES, AUTH_THROTTLE_PAIR };
struct auth_throttle_row {
	enum auth_throttle_kept kind;
	uint64_t key, spent;
	uint64_t ago_ms;                    /* when that was so */
};

struct auth_throttle;
struct auth_throttle *auth_throttle_new(const struct auth_throttle_rules *rules);
void auth_throttle_free(struct auth_throttle **t);
/* What keys are hashed with from now on; before anything is counted. Without it: a secret of this process. */
void auth_throttle_secret(struct auth_throttle *t, const uint8_t secret[16]);

/* what to count under: 16 bytes, IPv4 as it is, IPv6 cut to its /64, IPv4-mapped as IPv4; false: no IP address */
bool auth_throttle_peer(struct span peer, uint8_t key_out[16]);

/* May (peer, account) try now? When not: milliseconds until the next try. `peer` is the address as text, `account` the canonical login name whether or
 * not there is such an account (so that the answer does not tell). An unreadable peer shares one bucket with all others of its kind. worker: who says so. */
bool auth_throttle_allows(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now, uint64_t *retry_ms_out);
/* returns how many failures this address (or, when larger, this account) has open, this one included */
uint32_t auth_throttle_failed(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now);
void auth_throttle_succeeded(struct auth_throttle *t, uint32_t worker, struct span peer, struct span account, mono_ms now);
bool auth_throttle_knows(struct auth_throttle *t, struct span peer, struct span account);

/* what changed since it was last taken; false: nothing */
bool auth_throttle_take_changed(struct auth_throttle *t, mono_ms now, struct auth_throttle_row *out);
/* back into the table, unless its key is there already or it does not matter any more */
void auth_throttle_load(struct auth_throttle *t, const struct auth_throttle_row *row, mono_ms now);
/* of an address or account: forget its failures */
void auth_throttle_forget(struct auth_throttle *t, uint64_t key);
/* the key of an address, or of an account (the other one empty) */
uint64_t auth_throttle_key(const uint8_t secret[16], struct span peer, struct span account);
/* failures that a row still stands for, of `limit` in the window; *retry_ms_out: until the next try is let through, 0: at once */
uint32_t auth_throttle_row_open(const struct auth_throttle_row *row, uint32_t limit, uint64_t window_ms, uint64_t *retry_ms_out);

#endif
