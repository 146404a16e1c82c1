/* cred_internal - what the files of the credentials database share. Not for others; see cred.h. */
#ifndef MAILROOM_STORE_CRED_INTERNAL_H
#define MAILROOM_STORE_CRED_INTERNAL_H

#include "base/limits.h"
#include "store/cred.h"
#include "store/store_sql.h"

enum cred_statement {
	CRED_SQL_GET, CRED_SQL_BY_ACCOUNT, CRED_SQL_NEXT, CRED_SQL_NEXT_SET, CRED_SQL_PUT, CRED_SQL_ENABLE, CRED_SQL_REMOVE, CRED_SQL_LOCAL, CRED_SQL_DOMAIN,
	CRED_SQL_DEMAND, CRED_SQL_RENEW, CRED_SQL_SIGNED_IN, CRED_SQL_APP_ADD, CRED_SQL_APP_LIST, CRED_SQL_APP_REMOVE, CRED_SQL_APP_REMOVE_ALL, CRED_SQL_APP_USED,
	CRED_SQL_WINDOW_GET, CRED_SQL_WINDOW_COUNT, CRED_SQL_WINDOW_PUT, CRED_SQL_WINDOW_REVOKE, CRED_SQL_WINDOW_STALE, CRED_SQL_WINDOW_SETTLE, CRED_SQL_WINDOW_LIST, CRED_SQL_WINDOW_TIDY,
	CRED_SQL_THROTTLE_GET, CRED_SQL_THROTTLE_PUT, CRED_SQL_THROTTLE_LIST, CRED_SQL_THROTTLE_REMOVE, CRED_SQL_THROTTLE_CUTOFF, CRED_SQL_THROTTLE_OLD,
	CRED_SQL_THROTTLE_TIDY, CRED_SQL_THROTTLE_NEXT,
	CRED_SQL_COUNT
};

struct cred {
	struct sql sql;
	int64_t seen; /* data version at the last cred_changed */
};

/* login names, and domains of them, are kept as address_key makes them (lower case, A-labels); borrowed from `lower`; SPAN_NONE: too long */
struct span cred_lower(struct span address, uint8_t lower[LIMIT_LOGIN_BYTES]);
/* the next number of the one counter; inside a transaction */
enum rc cred_generation(struct cred *c, int64_t *out, struct err *err) RC_WARN;
/* commits, or takes back where rc is no RC_OK; returns what came of it */
enum rc cred_end(struct cred *c, enum rc rc, struct err *err) RC_WARN;
/* an UPDATE of a login that gives it a new generation, so that its sessions end: ?1 address, ?2 value, ?3 generation. RC_NONE: no such login */
enum rc cred_update(struct cred *c, struct span address, enum cred_statement statement, int64_t value, struct err *err) RC_WARN;

#endif
