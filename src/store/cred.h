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

/* what a right password alone does not give: app-password: programs need one made for them; web-sign-in: held until an administrator takes it off */
enum cred_demand { CRED_DEMAND_NONE, CRED_DEMAND_APP_PASSWORD, CRED_DEMAND_WEB_SIGN_IN };

struct cred_row {
	int64_t account;           /* id in the mail store */
	struct span address;       /* the login name, as address_key makes it (any form may be given) */
	struct span hash;          /* crypt(3) string; "" = cannot sign in */
	struct span scram_salt, scram_stored_key, scram_server_key; /* raw bytes; empty: no SCRAM until the next plain sign-in */
	uint32_t scram_iterations;
	bool enabled;
	uint64_t generation;       /* grows with each change of password or state */
	enum cred_demand demand;
	struct span old_hash;      /* the password before this one, to tell its owner from a stranger who guesses; "" = none */
	int64_t old_ended_ms;      /* wall clock: when that one was replaced */
	int64_t signed_in_ms;      /* wall clock, kept by the hour; 0 = never */
};
enum rc cred_get(struct cred *c, struct span address, struct arena *mem, struct cred_row *out, struct err *err) RC_WARN; /* RC_NONE */
enum rc cred_by_account(struct cred *c, int64_t account, struct arena *mem, struct cred_row *out, struct err *err) RC_WARN; /* RC_NONE */
/* insert or replace (generation is counted here) */
enum rc cred_put(struct cred *c, const struct cred_row *row, struct err *err) RC_WARN;
enum rc cred_enable(struct cred *c, struct span address, bool on, struct err *err) RC_WARN;
enum rc cred_remove(struct cred *c, struct span address, struct err *err) RC_WARN; /* with its application passwords */
enum rc cred_demand_set(struct cred *c, struct span address, enum cred_demand demand, struct err *err) RC_WARN; /* RC_NONE; a new generation */
/* no new generation; who calls it at every sign-in pays a sync each time */
enum rc cred_signed_in(struct cred *c, struct span address, int64_t wall_ms, struct err *err) RC_WARN;
/* bare login names: is there exactly one account with this local part in any domain? RC_OK with its address, RC_NONE, RC_BUSY (several) */
enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err) RC_WARN;
/* all of them, in order, at most max; text in mem */
enum rc cred_find_locals(struct cred *c, struct span local, struct arena *mem, struct span *addresses, size_t max, size_t *count_out, struct err *err) RC_WARN;
/* has any account its address there? */
enum rc cred_domain_known(struct cred *c, struct span domain, bool *out, struct err *err) RC_WARN;
/* changes made by other processes (the command line) since the last call */
enum rc cred_changed(struct cred *c, bool *out, struct err *err) RC_WARN;

/* makes hash (yescrypt, crypt_gensalt default cost) and SCRAM verifier of a new password into row (memory from mem) */
enum rc cred_set_password(struct cred_row *row, struct span password, struct arena *mem, struct err *err) RC_WARN;
/* Is this the password that was good until less than CRED_OLD_MS before wall_ms? RC_OK, RC_DENIED. Costs one hash in any case. */
#define CRED_OLD_MS (30LL * 24 * 3600 * 1000)
enum rc cred_check_old(const struct cred_row *row, struct span password, int64_t wall_ms, struct err *err) RC_WARN;
/* constant-time check of password against a crypt(3) hash; an empty or unknown hash costs the same as a yescrypt one and gives RC_DENIED */
enum rc cred_check_password(struct span hash, struct span password, struct err *err) RC_WARN;

/* Application passwords: one for each program or device, made by chance (16 signs of 32, 80 bits), so that a lost one is taken back alone. Nobody can
 * guess 80 bits, so what is stored is a salted HMAC-SHA256 and no slow hash: a wrong try costs no yescrypt on top of the account's own, and an account with
 * many is as fast as one with none. Written in groups ("abcd-efgh-jkmn-pqrs"); case, blanks and hyphens do not matter when it is read. */
enum { CRED_APP_SIGNS = 16, CRED_APP_TEXT_BYTES = 19, CRED_APP_NAME_BYTES = 64, CRED_APP_MOST = 32 };
struct cred_app { struct span name; int64_t created_ms, used_ms; /* wall clock; used_ms by the hour, 0 = never */ };
/* Makes one and writes it into text_out with a NUL. RC_NONE: no such login; RC_EXISTS: the name is taken; RC_LIMIT: CRED_APP_MOST are there; RC_BAD: no name */
enum rc cred_app_add(struct cred *c, struct span address, struct span name, int64_t wall_ms, char text_out[CRED_APP_TEXT_BYTES + 1], struct err *err) RC_WARN;
/* RC_NONE: no such one. A new generation of the login: what is signed in with it ends. */
enum rc cred_app_remove(struct cred *c, struct span address, struct span name, struct err *err) RC_WARN;
enum rc cred_app_each(struct cred *c, struct span address, enum rc (*each)(void *arg, const struct cred_app *), void *arg, struct err *err) RC_WARN;
/* Is this one of them? RC_OK with it (text in mem), RC_DENIED, RC_IO. An address without account is looked up the same way. */
enum rc cred_app_check(struct cred *c, struct span address, struct span password, struct arena *mem, struct cred_app *out, struct err *err) RC_WARN;
enum rc cred_app_used(struct cred *c, struct span address, struct span name, int64_t wall_ms, struct err *err) RC_WARN;

#endif
