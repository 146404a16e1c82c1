#include "store/cred_window.h"

#include "base/buf.h"
#include "store/cred_internal.h"

enum { WINDOW_PEER_BYTES = 64, WINDOW_SERVICE_BYTES = 16, WINDOW_RENEW_MS = 60 * 1000, WINDOW_TIDY_ROWS = 1000 };

static enum rc window_read(struct sql_row *row, struct arena *mem_or_null, struct cred_window *out, struct err *err)
{
	struct cred_window w = {.peer = sql_text(row, 0, WINDOW_PEER_BYTES), .account = sql_number(row, 1, 0, INT64_MAX), .address = sql_text(row, 2, LIMIT_LOGIN_BYTES),
		.service = sql_text(row, 3, WINDOW_SERVICE_BYTES), .opened_ms = sql_number(row, 4, 0, INT64_MAX), .until_ms = sql_number(row, 5, 0, INT64_MAX),
		.closed_ms = sql_number(row, 6, 0, INT64_MAX), .reason = (enum cred_window_end)sql_number(row, 7, CRED_WINDOW_OPEN, CRED_WINDOW_SHARED),
		.generation = (uint64_t)sql_number(row, 8, 0, INT64_MAX)};
	enum rc rc = sql_checked(row, err);

	if (rc != RC_OK)
		return rc;
	if (mem_or_null) {
		w.peer = arena_copy(mem_or_null, w.peer);
		w.address = arena_copy(mem_or_null, w.address);
		w.service = arena_copy(mem_or_null, w.service);
		if (mem_or_null->overflow)
			return err_set(err, RC_LIMIT, "no room for a relay window");
	}
	*out = w;
	return RC_OK;
}

bool cred_window_is_open(const struct cred_window *w, int64_t now_ms)
{
	return w->reason == CRED_WINDOW_OPEN && w->closed_ms == 0 && now_ms < w->until_ms && now_ms >= w->opened_ms;
}

enum rc cred_window_get(struct cred *c, struct span peer, struct arena *mem, struct cred_window *out, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_WINDOW_GET, SQL_ARGS(SQL_T(peer)), err);

	if (rc == RC_OK)
		rc = window_read(&row, mem, out, err);
	sql_end(&row);
	return rc;
}

static enum rc window_room(struct cred *c, struct err *err)
{
	struct sql_row row;
	int64_t count;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_WINDOW_COUNT, NULL, 0, err);

	if (rc != RC_OK)
		return rc;
	count = sql_number(&row, 0, 0, INT64_MAX);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && count >= CRED_WINDOWS_MAX)
		rc = err_set(err, RC_LIMIT, "there are %d relay windows already", CRED_WINDOWS_MAX);
	return rc;
}

static enum rc window_put(struct cred *c, const struct cred_window *w, struct err *err)
{
	return sql_run(&c->sql, CRED_SQL_WINDOW_PUT, SQL_ARGS(SQL_T(w->peer), SQL_N(w->account), SQL_T(w->address), SQL_T(w->service), SQL_N(w->opened_ms),
		SQL_N(w->until_ms), SQL_N(w->closed_ms), SQL_N(w->reason), SQL_N(w->generation)), err);
}

/* what a sign-in makes of the window that is there; false: nothing has to be written */
static bool window_next(const struct cred_window *was, struct cred_window *w, int64_t now_ms, int64_t for_ms)
{
	/* until_ms of a closed window still says how long its account counts as being there; a clock set back must not make that for ever */
	bool lives = was->account != 0 && now_ms < was->until_ms && was->until_ms - now_ms <= for_ms;

	if (lives && was->account != w->account) {
		w->reason = CRED_WINDOW_SHARED;
		w->closed_ms = now_ms;
		return true;
	}
	if (lives && was->reason == CRED_WINDOW_SHARED) {
		*w = *was;
		return false;
	}
	if (was->account == w->account && was->generation == w->generation && cred_window_is_open(was, now_ms)) {
		if (was->until_ms - now_ms > for_ms - WINDOW_RENEW_MS && was->until_ms - now_ms <= for_ms) {
			*w = *was;
			return false;
		}
		w->opened_ms = was->opened_ms;
	}
	return true;
}

enum rc cred_window_open(struct cred *c, struct span peer, const struct cred_row *login, struct span service, int64_t now_ms, int64_t for_ms, bool *opened_out,
	struct err *err)
{
	struct cred_window was = {.account = 0}, w = {.peer = peer, .account = login->account, .generation = login->generation, .address = login->address, .service = service,
		.opened_ms = now_ms, .until_ms = now_ms + for_ms};
	struct arena mem;
	bool change;
	enum rc rc;

	arena_init(&mem, 4096);
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		goto out;
	rc = cred_window_get(c, peer, &mem, &was, err);
	if (rc == RC_NONE)
		rc = window_room(c, err);
	change = rc == RC_OK && window_next(&was, &w, now_ms, for_ms);
	if (change)
		rc = window_put(c, &w, err);
	rc = cred_end(c, rc, err);
	if (rc == RC_OK)
		*opened_out = w.reason == CRED_WINDOW_OPEN;
out:
	arena_clear(&mem);
	return rc;
}

enum rc cred_window_revoke(struct cred *c, struct span peer_or_account, int64_t now_ms, int64_t *count_out, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	enum rc rc = sql_begin(&c->sql, err);
	int64_t count = 0;

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_WINDOW_REVOKE, SQL_ARGS(SQL_T(peer_or_account), SQL_T(cred_lower(peer_or_account, lower)), SQL_N(now_ms), SQL_N(CRED_WINDOW_REVOKED)), err);
	count = rc == RC_OK ? sql_changed(&c->sql) : 0;
	rc = cred_end(c, rc, err);
	if (rc == RC_OK && count == 0)
		return err_set(err, RC_NONE, "no relay window is open for that");
	if (rc == RC_OK)
		*count_out = count;
	return rc;
}

enum rc cred_window_settle(struct cred *c, int64_t now_ms, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_WINDOW_STALE, SQL_ARGS(SQL_N(now_ms)), err);

	sql_end(&row);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_WINDOW_SETTLE, SQL_ARGS(SQL_N(now_ms), SQL_N(CRED_WINDOW_ACCOUNT)), err);
	return cred_end(c, rc, err);
}

enum rc cred_window_each(struct cred *c, enum rc (*each)(void *arg, const struct cred_window *), void *arg, struct err *err)
{
	struct sql_row row;
	struct cred_window w;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_WINDOW_LIST, SQL_ARGS(SQL_N(CRED_WINDOWS_MAX)), err);

	while (rc == RC_OK) {
		rc = window_read(&row, NULL, &w, err);
		if (rc == RC_OK)
			rc = each(arg, &w);
		if (rc == RC_OK)
			rc = sql_next(&row, err);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc cred_window_tidy(struct cred *c, int64_t now_ms, struct err *err)
{
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_WINDOW_TIDY, SQL_ARGS(SQL_N(now_ms - CRED_WINDOW_KEEP_MS), SQL_N(WINDOW_TIDY_ROWS)), err);
	return cred_end(c, rc, err);
}
