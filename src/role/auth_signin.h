/* auth_signin - the life of sign-ins in the auth role: steps of the client, the queue for password hashes, answers held back, the grant at the store.
 * Behind it are auth_sasl (one exchange), auth_throttle, auth_cache and auth_watch; before it role_auth (channels and frames). */
#ifndef MAILROOM_ROLE_AUTH_SIGNIN_H
#define MAILROOM_ROLE_AUTH_SIGNIN_H

#include "base/limits.h"
#include "base/map.h"
#include "role/auth_cache.h"
#include "role/auth_sasl.h"
#include "role/auth_throttle.h"
#include "role/auth_history.h"
#include "role/auth_truth.h"
#include "role/auth_watch.h"
#include "role/role.h"

enum {
	AUTH_SIGNINS_MAX = 8192,       /* in hand at once, of all workers; more are told to come back */
	AUTH_PEER_SIGNINS_MAX = AUTH_SIGNINS_MAX / 2, /* of one worker: one that was taken over must not use up all of them */
	AUTH_DELAY_MOST_MS = 15000,    /* an answer is not held back longer than this */
	AUTH_DELAY_DOUBLINGS = 3,
	AUTH_USE_MS = 60 * 60 * 1000,  /* how often the time of the last sign-in is written down */
};

struct signin;
struct auth_peer { /* one user worker */
	struct auth *auth;
	struct chan *chan;
	uint32_t worker;
	struct map signins;            /* session -> struct signin */
	struct map grants;             /* session -> struct auth_watched */
	struct map relays;             /* session -> struct relay: granted by its address */
	struct auth_peer *next, **prev;
};

struct auth {
	struct role *role;
	struct chan *store;            /* NULL: gone for the moment */
	struct auth_peer *peers;
	struct cred *cred;
	struct auth_sasl_lib *sasl;
	struct auth_throttle *throttle;
	struct auth_cache *cache;
	struct auth_watch *watch;
	struct auth_truth truth;
	struct auth_history *history;
	struct map asks;               /* number of a GRANT -> struct signin */
	struct map relay_asks;         /* the same -> struct relay */
	mono_ms relay_tidy_at;
	struct loop_timer hash_timer, watch_timer;
	struct signin *queue[LIMIT_AUTH_QUEUE]; /* oldest first */
	size_t queued;
	uint32_t signins, next_ask;
	uint32_t last_worker;          /* for which the last hash was made */
	bool hashed;                   /* a hash was made in this turn */
	mono_ms keep_since_ms, keep_tidy_ms, keep_again_ms; /* see auth_keep.h */
	bool keep_looked_again;
};

extern const struct auth_sasl_door auth_signin_door;

/* once a->cred is there */
void auth_signin_open(struct auth *a);
void auth_signin_start(struct auth_peer *p, const struct msg_auth_start *m);
/* RC_BAD: out of turn */
enum rc auth_signin_step(struct auth_peer *p, const struct msg_auth_step *m) RC_WARN;
/* the client gave up: nothing is answered */
void auth_signin_cancel(struct auth_peer *p, uint64_t session);
/* its session ended: the same, and a grant that it had is no longer watched */
void auth_signin_end(struct auth_peer *p, uint64_t session);
void auth_signin_granted(struct auth *a, const struct msg_granted *m);
void auth_signin_store_gone(struct auth *a);
void auth_signin_peer_gone(struct auth_peer *p);
/* timer: one hash from the queue */
void auth_signin_hash(void *arg, mono_ms now);

#endif
