/* cred - the credentials database of the auth role: who may sign in, with which secret. A library over SQLite ("credentials.db" in the home's auth
 * directory), shared with the command line. Holds crypt(3) hashes and SCRAM-SHA-256 verifiers, never a password. Same durability as store.h. */
#ifndef MAILROOM_STORE_CRED_H
#define MAILROOM_STORE_CRED_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

struct cred;
enum rc cred_open(const char *dir, bool create, struct cred **out, struct err *err) RC_WARN;
void cred_close(struct cred **c);

struct cred_row {
	int64_t account;           /* id in the mail store */
	struct span address;       /* lower case: the login name */
	struct span hash;          /* crypt(3) string; "" = cannot sign in */
	struct span scram_salt, scram_stored_key, scram_server_key; /* raw bytes; empty: no SCRAM until the next plain sign-in */
	uint32_t scram_iterations;
	bool enabled;
	uint64_t generation;       /* grows with each change of password or state */
};
enum rc cred_get(struct cred *c, struct span address, struct arena *mem, struct cred_row *out, struct err *err) RC_WARN; /* RC_NONE */
/* insert or replace (generation is counted here) */
enum rc cred_put(struct cred *c, const struct cred_row *row, struct err *err) RC_WARN;
enum rc cred_enable(struct cred *c, struct span address, bool on, struct err *err) RC_WARN;
enum rc cred_remove(struct cred *c, struct span address, struct err *err) RC_WARN;
/* bare login names: is there exactly one account with this local part in any domain? RC_OK with its address, RC_NONE, RC_BUSY (several) */
enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err) RC_WARN;
/* changes made by other processes (the command line) since the last call */
enum rc cred_changed(struct cred *c, bool *out, struct err *err) RC_WARN;

/* makes hash (yescrypt, crypt_gensalt default cost) and SCRAM verifier of a new password into row (memory from mem) */
enum rc cred_set_password(struct cred_row *row, struct span password, struct arena *mem, struct err *err) RC_WARN;
/* constant-time check of password against a crypt(3) hash; an empty or unknown hash costs the same as a yescrypt one and gives RC_DENIED */
enum rc cred_check_password(struct span hash, struct span password, struct err *err) RC_WARN;

#endif
