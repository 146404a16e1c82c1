/* auth_sasl - one sign-in, the server side of SASL over GNU SASL: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677).
 * Bytes in, challenge or verdict out; no sockets, timers or logs. Its owner is asked (through struct auth_sasl_door) who an account is, whether it may
 * try now and whether a password is right. Not responsible for queues, delays and grants. */
#ifndef MAILROOM_ROLE_AUTH_SASL_H
#define MAILROOM_ROLE_AUTH_SASL_H

#include "base/buf.h"
#include "cause/cause.h"
#include "role/auth_login.h"

struct auth_sasl_door {
	/* RC_OK (out->found or not), RC_BAD: not a login name; anything else: look-ups do not work now. Text goes to mem. */
	enum rc (*find)(void *owner, struct span name, struct arena *mem, struct auth_login *out);
	/* may this name be tried now? */
	bool (*allowed)(void *owner, struct span canonical, uint64_t *retry_ms_out);
	/* RC_OK right (by which application password: login->app), RC_DENIED wrong; must cost the same for an account without hash (login->found false or
	 * row.hash empty). The only slow call. When right, it may bring login->row up to date (text in mem). */
	enum rc (*check)(void *owner, struct arena *mem, struct auth_login *login, struct span password);
};

struct auth_sasl_rules {
	const char *mechanisms;         /* those offered, blanks between */
	const struct auth_sasl_door *door;
	uint8_t secret[32];             /* of this home: invented salts are made with it */
	uint32_t scram_iterations;      /* what accounts have, so that an invented verifier looks the same */
	uint32_t scram_salt_bytes;      /* at most 32 */
};

/* the library with the rules; outlives its sign-ins. RC_IO: GNU SASL does not start */
struct auth_sasl_lib;
enum rc auth_sasl_lib_new(const struct auth_sasl_rules *rules, struct auth_sasl_lib **out, struct err *err) RC_WARN;
/* the secret of the rules, for an owner who knows it only later */
void auth_sasl_lib_secret(struct auth_sasl_lib *lib, const uint8_t secret[32]);
void auth_sasl_lib_free(struct auth_sasl_lib **lib);

struct auth_sasl_start {
	struct span mechanism;                       /* as the client named it, any case */
	bool tls;
	struct span binding_exporter, binding_unique; /* RFC 9266, RFC 5929; empty: not there */
};

enum auth_sasl_state { AUTH_SASL_CHALLENGE, AUTH_SASL_OK, AUTH_SASL_FAILED };

struct auth_sasl;
/* NULL with *cause_out when this mechanism cannot be had here (auth-mechanism-unknown, auth-temporarily-unavailable). Spans are copied. */
struct auth_sasl *auth_sasl_new(struct auth_sasl_lib *lib, const struct auth_sasl_start *start, void *owner, enum cause_id *cause_out);
void auth_sasl_free(struct auth_sasl **s); /* wipes what was secret */
const char *auth_sasl_mechanism(const struct auth_sasl *s);
/* would this response cost a password hash? */
bool auth_sasl_is_costly(const struct auth_sasl *s, bool has_response, struct span response);
/* Takes the client's response (has_response false: there was no initial one). Challenge or final data is appended to out, which should hold
 * LIMIT_SASL_BYTES. After OK or FAILED only free. */
enum auth_sasl_state auth_sasl_step(struct auth_sasl *s, bool has_response, struct span response, struct buf *out);

/* after OK: the account; after FAILED: whom they meant, as far as it was said (canonical empty: not said) */
const struct auth_login *auth_sasl_login(const struct auth_sasl *s);
struct span auth_sasl_name(const struct auth_sasl *s); /* the login name as given; empty: not said yet */
/* after FAILED */
enum cause_id auth_sasl_cause(const struct auth_sasl *s); /* the true one: what the client may learn is what it is shown as */
uint64_t auth_sasl_retry_ms(const struct auth_sasl *s); /* with auth-rate-limited */
bool auth_sasl_is_guess(const struct auth_sasl *s);     /* a password or proof was tried and was wrong: counts as a failure */
const char *auth_sasl_note(const struct auth_sasl *s);  /* more of the true story, for our own log, never for the client (but for auth-syntax); "" */

#endif
