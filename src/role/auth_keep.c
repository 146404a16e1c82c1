#include "role/auth_keep.h"

#include "base/log.h"
#include "store/cred_throttle.h"

enum {
	KEEP_SECOND_LOOK_MS = 3600 * 1000,
	KEEP_TIDY_MS = 60 * 1000,
	KEEP_SLACK_MS = 3600 * 1000,      /* beyond the window: clocks differ a little */
	KEEP_RESETS = 100,
	KEEP_RETRY_MS = 10000,
};
#define KEEP_PAIRS_MS (30LL * 24 * 3600 * 1000) /* how long an owner is known where he was */

static enum cred_throttle_kind keep_kind(enum auth_throttle_kept kind)
{
	return kind == AUTH_THROTTLE_PAIR ? CRED_THROTTLE_PAIRS : CRED_THROTTLE_FAILURES;
}

struct keep_loading {
	struct auth *auth;
	int64_t wall_ms;
	mono_ms now;
};

static void keep_load_row(void *arg, const struct cred_throttle *r)
{
	struct keep_loading *l = arg;
	struct auth_throttle_row row = {.kind = r->kind == CRED_THROTTLE_PAIRS ? AUTH_THROTTLE_PAIR : AUTH_THROTTLE_FAILURES, .key = r->key, .spent = r->spent};

	row.ago_ms = l->wall_ms > r->at_ms ? (uint64_t)(l->wall_ms - r->at_ms) : 0; /* a clock that went back: as if just now */
	auth_throttle_load(l->auth->throttle, &row, l->now);
}

static enum rc keep_load(struct auth *a, struct err *err)
{
	struct keep_loading l = {.auth = a, .wall_ms = clock_wall_ms(), .now = clock_mono_ms()};

	return cred_throttle_each(a->cred, AUTH_KEEP_MOST, keep_load_row, &l, err);
}

enum rc auth_keep_open(struct auth *a, struct err *err)
{
	uint8_t secret[CRED_THROTTLE_SECRET_BYTES];
	enum rc rc = cred_throttle_secret(a->cred, secret, err);

	if (rc != RC_OK)
		return rc;
	auth_throttle_secret(a->throttle, secret);
	explicit_bzero(secret, sizeof(secret));
	a->keep_since_ms = clock_mono_ms();
	a->keep_tidy_ms = a->keep_since_ms + KEEP_TIDY_MS;
	return keep_load(a, err);
}

static enum rc keep_write(struct auth *a, mono_ms now, size_t *count_out, struct err *err)
{
	struct cred_throttle rows[AUTH_KEEP_ROWS];
	int64_t wall_ms = clock_wall_ms();
	struct auth_throttle_row row;
	size_t n = 0;

	while (n < AUTH_KEEP_ROWS && auth_throttle_take_changed(a->throttle, now, &row)) {
		int64_t at_ms = wall_ms - (int64_t)row.ago_ms;

		rows[n++] = (struct cred_throttle){.kind = keep_kind(row.kind), .key = row.key, .spent = row.spent, .at_ms = at_ms > 0 ? at_ms : 0};
	}
	*count_out = n;
	return n ? cred_throttle_put(a->cred, rows, n, err) : RC_OK;
}

static enum rc keep_resets(struct auth *a, struct err *err)
{
	uint64_t key = 0;
	enum rc rc = RC_OK;

	for (int i = 0; i < KEEP_RESETS && rc == RC_OK; i++) {
		rc = cred_throttle_take_reset(a->cred, &key, err);
		if (rc == RC_OK)
			auth_throttle_forget(a->throttle, key);
	}
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc keep_tidy(struct auth *a, mono_ms now, struct err *err)
{
	int64_t wall_ms = clock_wall_ms(), kept = (int64_t)a->role->conf->auth_failure_window_ms + KEEP_SLACK_MS;
	bool second = a->keep_looked_again;
	enum rc rc = RC_OK;

	if (kept < KEEP_PAIRS_MS)
		kept = KEEP_PAIRS_MS;
	if (!second && now - a->keep_since_ms >= KEEP_SECOND_LOOK_MS) {
		rc = keep_load(a, err);
		a->keep_looked_again = second = rc == RC_OK;
	}
	a->keep_tidy_ms = now + KEEP_TIDY_MS;
	return rc == RC_OK ? cred_throttle_tidy(a->cred, second ? wall_ms - kept : 0, second ? wall_ms + KEEP_PAIRS_MS : INT64_MAX, AUTH_KEEP_MOST, err) : rc;
}

void auth_keep_look(struct auth *a, mono_ms now)
{
	struct err err = {""};
	size_t n = 0;
	enum rc rc;

	if (now < a->keep_again_ms)
		return;
	rc = keep_resets(a, &err);
	if (rc == RC_OK)
		rc = keep_write(a, now, &n, &err);
	if (rc == RC_OK && now >= a->keep_tidy_ms)
		rc = keep_tidy(a, now, &err);
	if (rc == RC_OK)
		return;
	/* what was taken to be written is written when it changes again; until then a restart would forgive it */
	a->keep_again_ms = now + KEEP_RETRY_MS;
	log_msg(LOG_LEVEL_ERROR, "failures-not-kept", "%s", err.words);
}

void auth_keep_close(struct auth *a)
{
	struct err err = {""};
	size_t n = AUTH_KEEP_ROWS;
	enum rc rc = RC_OK;

	for (int i = 0; a->cred && rc == RC_OK && n == AUTH_KEEP_ROWS && i < AUTH_KEEP_MOST / AUTH_KEEP_ROWS; i++)
		rc = keep_write(a, clock_mono_ms(), &n, &err);
	if (rc != RC_OK)
		log_msg(LOG_LEVEL_ERROR, "failures-not-kept", "%s", err.words);
}
