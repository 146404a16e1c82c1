/* The auth role: holds the credentials, decides who is who, and tells the store what a session may do. Wiring only; see auth_signin.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "role/auth_keep.h"
#include "role/auth_relay.h"
#include "role/auth_signin.h"

enum {
	AUTH_WATCH_MS = 1000,
	AUTH_ROW_BYTES = 8192,
	AUTH_FILE_BYTES = 1 << 30, /* RLIMIT_FSIZE: the database and its log */
};

/* ---- channels */

static enum rc on_auth_start(struct auth_peer *p, const union msg_any *msg)
{
	auth_signin_start(p, &msg->auth_start);
	return RC_OK;
}

static enum rc on_auth_step(struct auth_peer *p, const union msg_any *msg)
{
	return auth_signin_step(p, &msg->auth_step);
}

static enum rc on_auth_cancel(struct auth_peer *p, const union msg_any *msg)
{
	auth_signin_cancel(p, msg->auth_cancel.session);
	return RC_OK;
}

static enum rc on_relay_ask(struct auth_peer *p, const union msg_any *msg)
{
	return auth_relay_ask(p, &msg->relay_ask);
}

static enum rc on_session_end(struct auth_peer *p, const union msg_any *msg)
{
	auth_relay_end(p, msg->session_end.session);
	auth_signin_end(p, msg->session_end.session);
	return RC_OK;
}

static const struct {
	enum msg_type type;
	enum rc (*handle)(struct auth_peer *p, const union msg_any *msg);
} auth_handlers[] = {
	{MSG_AUTH_START, on_auth_start},
	{MSG_AUTH_STEP, on_auth_step},
	{MSG_AUTH_CANCEL, on_auth_cancel},
	{MSG_SESSION_END, on_session_end},
	{MSG_RELAY_ASK, on_relay_ask},
};

static enum rc worker_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	(void)c;
	for (size_t i = 0; i < sizeof(auth_handlers) / sizeof(auth_handlers[0]); i++) {
		if (auth_handlers[i].type == type)
			return auth_handlers[i].handle(owner, msg);
	}
	return RC_BAD;
}

static void worker_gone(void *owner, struct chan *c, const char *why)
{
	struct auth_peer *p = owner;

	(void)c;
	log_msg(LOG_LEVEL_INFO, "peer-gone", "worker %u: %s", p->worker, why);
	auth_relay_peer_gone(p);
	auth_signin_peer_gone(p);
	chan_free(&p->chan);
	map_clear(&p->signins);
	map_clear(&p->grants);
	map_clear(&p->relays);
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
}

static void auth_revoke(void *arg, int64_t account)
{
	struct auth *a = arg;

	auth_cache_forget(a->cache, account);
	log_msg(LOG_LEVEL_INFO, "revoke", "account %lld: password or state changed", (long long)account);
	if (a->store)
		chan_send(a->store, MSG_REVOKE, &(struct msg_revoke){.account = (uint64_t)account});
}

/* a session that was let in before this process began */
static void auth_inherit(struct auth *a, const struct msg_grant_live *m)
{
	struct cred_row row;
	struct err err = {""};
	struct arena mem;
	enum rc rc;

	if (m->account > INT64_MAX)
		return;
	arena_init(&mem, AUTH_ROW_BYTES);
	rc = cred_by_account(a->cred, (int64_t)m->account, &mem, &row, &err);
	if (rc == RC_OK)
		auth_watch_inherit(a->watch, row.account, row.address, m->generation);
	else if (rc == RC_NONE)
		auth_revoke(a, (int64_t)m->account);
	else
		log_msg(LOG_LEVEL_ERROR, "credentials-unreadable", "%s", err.words);
	arena_clear(&mem);
}

static enum rc store_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	(void)c;
	if (type == MSG_GRANT_LIVE) {
		auth_inherit(owner, &msg->grant_live);
		return RC_OK;
	}
	if (type != MSG_GRANTED)
		return RC_BAD;
	if (!auth_relay_granted(owner, &msg->granted))
		auth_signin_granted(owner, &msg->granted);
	return RC_OK;
}

static void store_gone(void *owner, struct chan *c, const char *why)
{
	struct auth *a = owner;

	log_msg(LOG_LEVEL_WARN, "peer-gone", "store: %s", why);
	if (a->store != c) { /* an older store, after the new one came */
		chan_free(&c);
		return;
	}
	role_lost(a->role, c);
	chan_free(&a->store);
	auth_relay_store_gone(a);
	auth_signin_store_gone(a);
}

static void auth_add_worker(struct auth *a, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = worker_frame, .on_gone = worker_gone};
	struct auth_peer *p = mem_zalloc(sizeof(*p));

	*p = (struct auth_peer){.auth = a, .worker = worker, .next = a->peers, .prev = &a->peers};
	map_init(&p->signins);
	map_init(&p->grants);
	map_init(&p->relays);
	if (p->next)
		p->next->prev = &p->next;
	a->peers = p;
	p->chan = chan_new(a->role->loop, fd, ROLE_AUTH, ROLE_USER, worker, &ops, p);
}

static void auth_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops store_ops = {.on_frame = store_frame, .on_gone = store_gone};
	struct auth *a = r->own;

	if (peer == ROLE_USER) {
		auth_add_worker(a, worker, fd);
	} else if (peer == ROLE_STORE) {
		/* what was asked of the old store will not be answered */
		if (a->store) {
			chan_free(&a->store);
			auth_relay_store_gone(a);
			auth_signin_store_gone(a);
		}
		a->store = chan_new(r->loop, fd, ROLE_AUTH, ROLE_STORE, worker, &store_ops, a);
	} else {
		(void)close(fd);
	}
}

/* ---- start */

static void auth_plan(struct role *r, struct sandbox_plan *plan)
{
	plan->write_dir = mem_printf("%s/%s", r->conf->home, role_dir_name(r->id));
	plan->file_max_bytes = AUTH_FILE_BYTES;
}

/* An invented verifier has to look like a real one: what does a new password get? This also warms the libraries up before the walls. */
static enum rc auth_learn_scram(struct auth_sasl_rules *rules, struct err *err)
{
	struct cred_row row = {.address = SPAN_LIT("nobody"), .enabled = false};
	struct arena mem;
	enum rc rc;

	arena_init(&mem, AUTH_ROW_BYTES);
	rc = cred_set_password(&row, SPAN_LIT("not a password"), &mem, err);
	rules->scram_iterations = row.scram_iterations;
	rules->scram_salt_bytes = (uint32_t)row.scram_salt.len;
	arena_clear(&mem);
	return rc;
}

/* Salts invented for unknown names must not change when the role is started anew, or asking again after a restart would tell them apart. */
static enum rc auth_secret(const char *dir, uint8_t secret_out[32], struct err *err)
{
	char *path = mem_printf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, "scram.secret");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum rc rc = RC_OK;
	ssize_t n;

	if (fd < 0) {
		rc = err_errno(err, RC_IO, "%s", path);
		goto out;
	}
	n = pread(fd, secret_out, 32, 0);
	if (n == 32)
		goto out;
	rng_fill(secret_out, 32);
	if (n < 0 || pwrite(fd, secret_out, 32, 0) != 32 || fsync(fd) != 0)
		rc = err_errno(err, RC_IO, "%s", path);
out:
	if (fd >= 0)
		(void)close(fd);
	free(path);
	return rc;
}

static void auth_on_watch(void *arg, mono_ms now)
{
	struct auth *a = arg;
	struct err err = {""};

	if (auth_watch_look(a->watch, a->cred, &err) != RC_OK)
		log_msg(LOG_LEVEL_ERROR, "credentials-unreadable", "%s", err.words);
	auth_relay_look(a, now);
	auth_keep_look(a, now);
	loop_timer_at(&a->watch_timer, now + AUTH_WATCH_MS);
}

static enum rc auth_open(struct role *r, struct err *err)
{
	struct auth *a = mem_zalloc(sizeof(*a));
	struct auth_sasl_rules rules = {.mechanisms = r->conf->mechanisms, .door = &auth_signin_door};
	enum rc rc;

	a->role = r;
	r->own = a;
	map_init(&a->asks);
	map_init(&a->relay_asks);
	a->throttle = auth_throttle_new(&(struct auth_throttle_rules){.per_address = r->conf->auth_failures_per_address,
		.per_account = r->conf->auth_failures_per_account, .window_ms = r->conf->auth_failure_window_ms,
		.entries_max = AUTH_THROTTLE_ENTRIES, .pairs_max = AUTH_THROTTLE_PAIRS});
	a->cache = auth_cache_new(AUTH_CACHE_ENTRIES, AUTH_CACHE_MS);
	a->watch = auth_watch_new(auth_revoke, a);
	loop_timer_init(r->loop, &a->hash_timer, auth_signin_hash, a);
	loop_timer_init(r->loop, &a->watch_timer, auth_on_watch, a);
	rc = auth_learn_scram(&rules, err);
	if (rc == RC_OK)
		rc = auth_sasl_lib_new(&rules, &a->sasl, err);
	return rc;
}

static enum rc auth_ready(struct role *r, struct err *err)
{
	struct auth *a = r->own;
	uint8_t secret[32];
	enum rc rc = cred_open(r->dir, false, &a->cred, err);

	if (rc == RC_OK)
		rc = auth_keep_open(a, err);
	if (rc == RC_OK)
		rc = auth_secret(r->dir, secret, err);
	if (rc != RC_OK)
		return rc;
	auth_signin_open(a);
	auth_sasl_lib_secret(a->sasl, secret);
	explicit_bzero(secret, sizeof(secret));
	loop_timer_at(&a->watch_timer, clock_mono_ms() + AUTH_WATCH_MS);
	return RC_OK;
}

/* sign-ins in hand are finished; the last one ends the role */
static void auth_drain(struct role *r, bool now)
{
	struct auth *a = r->own;

	r->draining = true;
	if (a && (now || a->signins == 0)) {
		a->truth.closing = true;
		auth_truth_flush(&a->truth);
		auth_keep_close(a);
	}
	if (now || !a || a->signins == 0)
		role_done(r);
}

const struct role_ops role_auth_ops = {
	.name = "auth",
	.plan = auth_plan,
	.open = auth_open,
	.ready = auth_ready,
	.peer = auth_peer,
	.drain = auth_drain,
};
