#include "role/auth_signin.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "policy/policy.h"
#include "role/auth_keep.h"
#include "role/auth_relay.h"

enum signin_state {
	SIGNIN_CLIENT,   /* the next response is the client's */
	SIGNIN_QUEUED,   /* waits for a hash */
	SIGNIN_HELD,     /* has failed; the answer waits */
	SIGNIN_GRANTING, /* the store is asked */
};

struct signin {
	struct auth *auth;
	struct auth_peer *peer;
	struct auth_sasl *sasl;
	struct buf response;         /* queued; secret */
	struct buf final;
	struct loop_timer timer;
	mono_ms started_ms, step_ms; /* step_ms: when the response that is worked on came */
	enum signin_state state;
	enum cause_id cause;
	uint64_t session, retry_ms;
	uint32_t ask, grant_ask;
	bool timed;
	uint16_t listener;
	bool left;                   /* cancelled while the store was asked */
	uint8_t address[16];
	char detail[48];             /* for the client */
	struct auth_record *record;  /* for the log; NULL: it has been told */
};

static void text_copy(char *to, size_t size, struct span s)
{
	size_t len = s.len < size - 1 ? s.len : size - 1;

	if (len)
		memcpy(to, s.ptr, len);
	to[len] = '\0';
}

/* ---- coming and going */

static void queue_remove(struct auth *a, const struct signin *s)
{
	for (size_t i = 0; i < a->queued; i++) {
		if (a->queue[i] != s)
			continue;
		a->queued--;
		memmove(&a->queue[i], &a->queue[i + 1], (a->queued - i) * sizeof(a->queue[0]));
		return;
	}
}

static void signin_free(struct signin *s)
{
	struct auth *a = s->auth;

	if (s->state == SIGNIN_QUEUED)
		queue_remove(a, s);
	if (s->grant_ask)
		(void)map_take(&a->asks, s->grant_ask);
	(void)map_take(&s->peer->signins, s->session);
	if (s->timed)
		loop_timer_clear(&s->timer);
	auth_sasl_free(&s->sasl);
	buf_clear(&s->response);
	buf_clear(&s->final);
	auth_record_free(&s->record);
	free(s);
	a->signins--;
	if (a->role->draining && a->signins == 0) {
		auth_truth_flush(&a->truth);
		auth_keep_close(a);
		role_done(a->role);
	}
}

static struct signin *signin_new(struct auth_peer *p, const struct msg_auth_start *m)
{
	struct auth *a = p->auth;
	struct signin *s = mem_zalloc(sizeof(*s));
	struct auth_record *r = auth_record_new();

	*s = (struct signin){.auth = a, .peer = p, .session = m->session, .ask = m->ask, .started_ms = clock_mono_ms(), .record = r, .listener = m->listener};
	s->step_ms = s->started_ms;
	r->session = m->session;
	r->worker = p->worker;
	r->tls = m->tls;
	buf_init_secret(&s->response, LIMIT_SASL_BYTES);
	buf_init(&s->final, LIMIT_SASL_BYTES);
	r->peer = mem_str_span(m->peer);
	r->service = mem_str_span(m->service);
	r->mechanism = mem_str_span(m->mechanism);
	(void)auth_throttle_peer(m->peer, s->address);
	(void)map_put(&p->signins, s->session, s);
	a->signins++;
	return s;
}

/* ---- outcome */

/* what was typed, and the account that it means; never a password */
static void signin_log(void *arg, const struct auth_record *r)
{
	struct auth *a = arg;
	char ref[14];

	auth_history_signin(a->history, r);
	if (!log_begin(LOG_LEVEL_INFO, "signin"))
		return;
	log_str("result", r->cause == CAUSE_NONE ? "ok" : "fail");
	log_span("account", span_str(r->account));
	log_span("login", span_str(r->name));
	log_span("app", span_str(r->app));
	log_span("mechanism", span_str(r->mechanism));
	log_span("peer", span_str(r->peer));
	log_str("tls", r->tls ? "yes" : "no");
	log_span("service", span_str(r->service));
	log_str("session", num_base32(r->session, 8, ref)); /* as the worker shows it */
	if (r->cause != CAUSE_NONE)
		log_str("cause", cause_slug(r->cause));
	log_span("note", span_str(r->note));
	log_num("ms", r->ms);
	log_end();
}

/* what is known of the outcome goes to the log, by way of auth_truth where more can be found out */
static void signin_tell(struct signin *s, const char *note)
{
	struct auth_record *r = s->record;
	const struct auth_login *login = s->sasl ? auth_sasl_login(s->sasl) : NULL;

	s->record = NULL;
	r->cause = s->cause;
	r->at_ms = clock_mono_ms();
	r->ms = r->at_ms - s->started_ms;
	r->note = mem_str(note);
	r->wrong = s->sasl && auth_sasl_is_guess(s->sasl);
	if (login && login->found && r->wrong && login->row.old_hash.len) {
		r->old_hash = mem_str_span(login->row.old_hash);
		r->old_ended_ms = login->row.old_ended_ms;
	}
	if (login && login->found) {
		r->account = mem_str_span(login->row.address);
		r->app = mem_str_span(login->app.name);
	}
	auth_truth_put(&s->auth->truth, r);
}

/* "wait {retry}" */
static void retry_text(char *to, size_t size, uint64_t ms)
{
	uint64_t seconds = (ms + 999) / 1000;

	if (seconds <= 120)
		(void)snprintf(to, size, "%u s", (unsigned)seconds);
	else
		(void)snprintf(to, size, "%llu min", (unsigned long long)((seconds + 59) / 60));
}

static void signin_answer_fail(struct signin *s)
{
	char retry[32] = "";
	/* the worker learns no more than its client may: the truth stays here and with the store */
	enum cause_id shown = cause_get(s->cause)->shown_as;
	struct msg_auth_fail m = {.session = s->session, .ask = s->ask, .cause = (uint16_t)(shown ? shown : s->cause), .detail = span_str(s->detail)};

	if (s->cause == CAUSE_AUTH_RATE_LIMITED) {
		retry_text(retry, sizeof(retry), s->retry_ms);
		m.retry = span_str(retry);
	}
	chan_send(s->peer->chan, MSG_AUTH_FAIL, &m);
	signin_free(s);
}

static void signin_on_timer(void *arg, mono_ms now)
{
	(void)now;
	signin_answer_fail(arg);
}

/* Causes that follow from a password are answered late: at a fixed time after the response came, whatever the work took, and later with each failure. */
static bool signin_is_late(enum cause_id cause)
{
	return cause == CAUSE_AUTH_BAD_CREDENTIALS || cause_get(cause)->shown_as == CAUSE_AUTH_BAD_CREDENTIALS || cause == CAUSE_AUTH_ACCOUNT_DISABLED ||
		cause == CAUSE_AUTH_APP_PASSWORD || cause == CAUSE_AUTH_WEB_LOGIN || cause == CAUSE_AUTH_RATE_LIMITED;
}

static uint64_t signin_delay_ms(const struct signin *s, uint32_t failures)
{
	uint64_t delay = s->auth->role->conf->auth_failure_delay_ms;

	if (!signin_is_late(s->cause))
		return 0;
	for (uint32_t i = 1; i < failures && i <= AUTH_DELAY_DOUBLINGS; i++)
		delay *= 2;
	if (delay > AUTH_DELAY_MOST_MS && delay > s->auth->role->conf->auth_failure_delay_ms)
		delay = AUTH_DELAY_MOST_MS;
	return delay;
}

static void signin_fail(struct signin *s, enum cause_id cause, const char *note)
{
	struct auth *a = s->auth;
	uint32_t failures = 0;
	uint64_t delay;
	mono_ms now = clock_mono_ms();

	s->cause = cause;
	if (s->sasl) {
		s->retry_ms = auth_sasl_retry_ms(s->sasl);
		if (auth_sasl_is_guess(s->sasl))
			failures = auth_throttle_failed(a->throttle, s->peer->worker, span_str(s->record->peer), auth_sasl_login(s->sasl)->canonical, now);
	}
	if (cause == CAUSE_AUTH_SYNTAX)
		text_copy(s->detail, sizeof(s->detail), span_str(note));
	delay = signin_delay_ms(s, failures);
	signin_tell(s, note);
	auth_sasl_free(&s->sasl);
	buf_clear(&s->response);
	if (s->step_ms + delay <= now) {
		signin_answer_fail(s);
		return;
	}
	s->state = SIGNIN_HELD;
	loop_timer_init(a->role->loop, &s->timer, signin_on_timer, s);
	s->timed = true;
	loop_timer_at(&s->timer, s->step_ms + delay);
}

static void signin_grant(struct signin *s)
{
	struct auth *a = s->auth;
	const struct auth_login *login = auth_sasl_login(s->sasl);
	struct msg_grant m = {.worker = s->peer->worker, .session = s->session, .account = (uint64_t)login->row.account, .by = POLICY_BY_SIGN_IN,
		.generation = login->row.generation};

	auth_throttle_succeeded(a->throttle, s->peer->worker, span_str(s->record->peer), login->canonical, clock_mono_ms());
	if (!a->store) {
		signin_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "the store is not there");
		return;
	}
	auth_relay_end(s->peer, s->session); /* what the address gave is over */
	/* Watched from here on, not from the answer on: a change in between must not be missed. A REVOKE that this causes goes out before the GRANT. */
	(void)map_put(&s->peer->grants, s->session, auth_watch_enter(a->watch, &login->row));
	do {
		m.ask = ++a->next_ask;
	} while (m.ask == 0 || map_get(&a->asks, m.ask));
	s->grant_ask = m.ask;
	s->state = SIGNIN_GRANTING;
	(void)map_put(&a->asks, m.ask, s);
	chan_send(a->store, MSG_GRANT, &m);
}

/* when it was last used; by the hour, as a program that polls would cost a sync each time */
static void signin_note_use(struct auth *a, const struct auth_login *login)
{
	int64_t now = clock_wall_ms();
	struct err err = {""};
	enum rc rc = RC_OK;

	if (now - login->row.signed_in_ms >= AUTH_USE_MS || now < login->row.signed_in_ms)
		rc = cred_signed_in(a->cred, login->row.address, now, &err);
	if (rc == RC_OK && login->app.name.len && (now - login->app.used_ms >= AUTH_USE_MS || now < login->app.used_ms))
		rc = cred_app_used(a->cred, login->row.address, login->app.name, now, &err);
	if (rc != RC_OK)
		log_msg(LOG_LEVEL_WARN, "use-not-noted", "%s", err.words);
}

static void grant_drop(struct auth_peer *p, uint64_t session)
{
	struct auth_watched *account = map_take(&p->grants, session);

	if (!account)
		return;
	auth_watch_leave(p->auth->watch, account);
	/* not watched any more, so it must not be of use any more either: the worker may tell the store the same, or not */
	if (p->auth->store)
		chan_send(p->auth->store, MSG_UNGRANT, &(struct msg_ungrant){.worker = p->worker, .session = session});
}

void auth_signin_granted(struct auth *a, const struct msg_granted *m)
{
	struct signin *s = map_get(&a->asks, m->ask);
	const struct auth_login *login;

	if (!s)
		return;
	if (m->cause != CAUSE_NONE) {
		grant_drop(s->peer, s->session);
		signin_fail(s, m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "refused by the store");
		return;
	}
	login = auth_sasl_login(s->sasl);
	signin_note_use(s->auth, login);
	auth_relay_signed_in(a, s->listener, span_str(s->record->peer), &login->row, span_str(s->record->service));
	signin_tell(s, s->left ? "client left meanwhile" : "");
	chan_send(s->peer->chan, MSG_AUTH_OK, &(struct msg_auth_ok){.session = s->session, .ask = s->ask, .account = (uint64_t)login->row.account,
		.address = m->address.len ? m->address : login->row.address, .final = buf_span(&s->final)});
	signin_free(s);
}

void auth_signin_store_gone(struct auth *a)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&a->asks, &at, &key, &value);) {
		struct signin *s = value;

		(void)map_take(&a->asks, key);
		s->grant_ask = 0;
		grant_drop(s->peer, s->session);
		signin_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "the store went away");
	}
}

/* ---- what a sign-in asks */

static enum rc door_find(void *owner, struct span name, struct arena *mem, struct auth_login *out)
{
	struct signin *s = owner;
	struct err err = {""};
	enum rc rc;

	if (!s->record->name)
		s->record->name = mem_str_span(span_head(name, LIMIT_LOGIN_BYTES));
	rc = auth_login_find(s->auth->cred, name, s->auth->role->conf->default_domain, mem, out, &err);
	if (rc != RC_OK && rc != RC_BAD)
		log_msg(LOG_LEVEL_ERROR, "credentials-unreadable", "%s", err.words);
	return rc;
}

static bool door_allowed(void *owner, struct span canonical, uint64_t *retry_ms_out)
{
	struct signin *s = owner;

	return auth_throttle_allows(s->auth->throttle, s->peer->worker, span_str(s->record->peer), canonical, clock_mono_ms(), retry_ms_out);
}

/* An account that came with only a crypt(3) hash gets a SCRAM verifier now that its password is known to be right (and a yescrypt hash with it). */
static void signin_upgrade(struct signin *s, struct arena *mem, struct auth_login *login, struct span password)
{
	struct cred_row row = login->row, now;
	struct err err = {""};
	enum rc rc = cred_set_password(&row, password, mem, &err);

	if (rc == RC_OK && row.scram_salt.len == 0)
		return; /* a password that SCRAM cannot have (RFC 5802 5.1: SASLprep) */
	if (rc == RC_OK)
		rc = cred_get(s->auth->cred, row.address, mem, &now, &err);
	/* changed or removed by an administrator while this was worked out: theirs stands */
	if (rc == RC_OK && (now.generation != row.generation || now.account != row.account || !now.enabled))
		return;
	if (rc == RC_OK)
		rc = cred_put(s->auth->cred, &row, &err);
	if (rc == RC_OK)
		rc = cred_get(s->auth->cred, row.address, mem, &now, &err);
	if (rc != RC_OK) {
		log_msg(LOG_LEVEL_WARN, "verifier-not-made", "%s", err.words);
		return;
	}
	auth_watch_moved(s->auth->watch, row.account, row.generation, now.generation);
	login->row = now;
}

static enum rc door_check(void *owner, struct arena *mem, struct auth_login *login, struct span password)
{
	struct signin *s = owner;
	struct auth *a = s->auth;
	mono_ms now = clock_mono_ms();
	struct err err = {""};
	enum rc rc;

	if (login->found && auth_cache_has(a->cache, login->row.account, login->row.generation, password, now))
		return RC_OK;
	/* looked up for unknown names, too */
	rc = cred_app_check(a->cred, login->found ? login->row.address : login->canonical, password, mem, &login->app, &err);
	if (rc == RC_OK && login->found)
		return RC_OK;
	if (rc != RC_OK && rc != RC_DENIED) {
		log_msg(LOG_LEVEL_ERROR, "password-check", "%s", err.words);
		return rc;
	}
	login->app = (struct cred_app){0};
	a->hashed = true;
	rc = cred_check_password(login->found ? login->row.hash : SPAN_NONE, password, &err);
	if (rc == RC_OK && !login->found)
		rc = RC_DENIED;
	if (rc == RC_OK) {
		if (login->row.enabled && login->row.scram_salt.len == 0)
			signin_upgrade(s, mem, login, password);
		auth_cache_put(a->cache, login->row.account, login->row.generation, password, now);
	} else if (rc == RC_DENIED) {
		buf_add(&s->record->password, password);
	} else {
		log_msg(LOG_LEVEL_ERROR, "password-check", "%s", err.words);
	}
	return rc;
}

const struct auth_sasl_door auth_signin_door = {.find = door_find, .allowed = door_allowed, .check = door_check};

/* ---- steps */

static void signin_work(struct signin *s, bool has_response, struct span response)
{
	struct buf out;

	buf_init(&out, LIMIT_SASL_BYTES);
	switch (auth_sasl_step(s->sasl, has_response, response, &out)) {
	case AUTH_SASL_CHALLENGE:
		s->state = SIGNIN_CLIENT;
		chan_send(s->peer->chan, MSG_AUTH_CHALLENGE, &(struct msg_auth_challenge){.session = s->session, .ask = s->ask, .bytes = buf_span(&out)});
		break;
	case AUTH_SASL_OK:
		buf_add(&s->final, buf_span(&out));
		signin_grant(s);
		break;
	case AUTH_SASL_FAILED:
		signin_fail(s, auth_sasl_cause(s->sasl), auth_sasl_note(s->sasl));
		break;
	}
	buf_clear(&out);
}

/* how many wait of the worker of s, and how many of its address there */
struct queue_share {
	size_t worker, address;
};

static struct queue_share queue_count(const struct auth *a, const struct signin *s)
{
	struct queue_share n = {0};

	for (size_t i = 0; i < a->queued; i++) {
		if (a->queue[i]->peer != s->peer)
			continue;
		n.worker++;
		n.address += memcmp(a->queue[i]->address, s->address, 16) == 0;
	}
	return n;
}

/* A full queue takes from the worker that has most in it (addresses are only what workers say), and there from the address that has most, so that neither
 * one flood nor one taken worker keeps everybody else out. False: the newcomer has to go. */
static bool queue_make_room(struct auth *a, const struct signin *s)
{
	struct queue_share mine = queue_count(a, s), most = {0};
	size_t victim = 0;
	struct signin *loser;

	if (a->queued < LIMIT_AUTH_QUEUE)
		return true;
	for (size_t i = 0; i < a->queued; i++) {
		struct queue_share n = queue_count(a, a->queue[i]);

		/* the last of its address, as it has waited least */
		if (n.worker > most.worker || (n.worker == most.worker && n.address >= most.address)) {
			most = n;
			victim = i;
		}
	}
	if (mine.worker + 1 >= most.worker && (a->queue[victim]->peer != s->peer || mine.address + 1 >= most.address))
		return false;
	loser = a->queue[victim];
	queue_remove(a, loser);
	loser->state = SIGNIN_CLIENT;
	signin_fail(loser, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "too many sign-ins wait");
	return true;
}

static void signin_take(struct signin *s, bool has_response, struct span response)
{
	struct auth *a = s->auth;

	s->step_ms = clock_mono_ms();
	if (!auth_sasl_is_costly(s->sasl, has_response, response)) {
		signin_work(s, has_response, response);
		return;
	}
	if (!queue_make_room(a, s)) {
		signin_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "too many sign-ins wait");
		return;
	}
	buf_add(&s->response, response);
	s->state = SIGNIN_QUEUED;
	a->queue[a->queued++] = s;
	if (a->queued == 1)
		loop_timer_at(&a->hash_timer, loop_now(a->role->loop));
}

/* the one that has waited longest, of another worker than the last one where there is such: a flood from one of them delays the others by one hash each */
static struct signin *queue_next(struct auth *a)
{
	struct signin *next = a->queue[0];

	for (size_t i = 0; i < a->queued; i++) {
		if (a->queue[i]->peer->worker != a->last_worker) {
			next = a->queue[i];
			break;
		}
	}
	a->last_worker = next->peer->worker;
	return next;
}

/* Runs until one hash was made: others' SCRAM steps and cancels are read between two hashes, and remembered passwords do not wait for a turn each. */
void auth_signin_hash(void *arg, mono_ms now)
{
	struct auth *a = arg;

	a->hashed = false;
	while (a->queued && !a->hashed) {
		struct signin *s = queue_next(a);
		struct buf response = s->response;

		queue_remove(a, s);
		s->state = SIGNIN_CLIENT;
		buf_init_secret(&s->response, LIMIT_SASL_BYTES);
		signin_work(s, true, buf_span(&response));
		buf_clear(&response);
	}
	/* nobody waits: time to find out what the failures were about */
	if (!a->hashed)
		(void)auth_truth_next(&a->truth);
	if (a->queued || a->truth.count)
		loop_timer_at(&a->hash_timer, now);
}

void auth_signin_open(struct auth *a)
{
	a->history = auth_history_new(a);
	a->truth = (struct auth_truth){.cred = a->cred, .default_domain = a->role->conf->default_domain, .done = signin_log, .arg = a};
}

void auth_signin_start(struct auth_peer *p, const struct msg_auth_start *m)
{
	struct auth *a = p->auth;
	enum cause_id cause = CAUSE_NONE;
	struct signin *s;

	auth_signin_end(p, m->session); /* a second sign-in of one session: the first grant is the store's to replace */
	if (a->signins >= AUTH_SIGNINS_MAX || p->signins.count >= AUTH_PEER_SIGNINS_MAX || map_get(&p->signins, m->session)) {
		chan_send(p->chan, MSG_AUTH_FAIL, &(struct msg_auth_fail){.session = m->session, .ask = m->ask, .cause = CAUSE_AUTH_TEMPORARILY_UNAVAILABLE});
		return;
	}
	s = signin_new(p, m);
	s->sasl = auth_sasl_new(a->sasl, &(struct auth_sasl_start){.mechanism = m->mechanism, .tls = m->tls, .binding_exporter = m->binding_exporter,
		.binding_unique = m->binding_unique}, s, &cause);
	if (!s->sasl) {
		signin_fail(s, cause, "");
		return;
	}
	signin_take(s, m->has_initial, m->initial);
}

enum rc auth_signin_step(struct auth_peer *p, const struct msg_auth_step *m)
{
	struct signin *s = map_get(&p->signins, m->session);

	if (!s) {
		/* begun with an auth role that is gone */
		chan_send(p->chan, MSG_AUTH_FAIL, &(struct msg_auth_fail){.session = m->session, .ask = m->ask, .cause = CAUSE_AUTH_TEMPORARILY_UNAVAILABLE});
		return RC_OK;
	}
	if (s->ask != m->ask || s->state != SIGNIN_CLIENT)
		return RC_BAD;
	signin_take(s, true, m->response);
	return RC_OK;
}

void auth_signin_cancel(struct auth_peer *p, uint64_t session)
{
	struct signin *s = map_get(&p->signins, session);

	if (!s)
		return;
	/* The store is granting just now: the outcome still goes to the worker, which then tells the store that this session is over. */
	s->left = s->state == SIGNIN_GRANTING;
	if (s->left)
		grant_drop(p, session);
	else
		signin_free(s);
}

void auth_signin_end(struct auth_peer *p, uint64_t session)
{
	auth_signin_cancel(p, session);
	grant_drop(p, session);
}

void auth_signin_peer_gone(struct auth_peer *p)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&p->grants, &at, &key, &value);) {
		(void)map_take(&p->grants, key);
		auth_watch_leave(p->auth->watch, value);
	}
	for (size_t at = 0; map_next(&p->signins, &at, &key, &value);)
		signin_free(value);
}
