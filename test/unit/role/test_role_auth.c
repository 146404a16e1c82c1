/* The auth role as its peers see it: frames over socket pairs, with a worker and a store played by the test. */
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cause/cause.h"
#include "role/role.h"
#include "test_role.h"

enum { SEEN_MAX = 256, STEP_MS = 2000, DELAY_MS = 60 };

struct seen { enum msg_type type; uint64_t session; uint32_t ask; enum cause_id cause; uint64_t account; char text[512]; size_t len; };

static struct {
	struct role role;
	struct conf conf;
	char dir[64];
	struct chan *worker, *worker2, *store;
	struct seen seen[SEEN_MAX];
	size_t count, wanted;
	bool grant; /* the store says yes at once */
	enum cause_id refuse;
	bool done, revokes; /* revokes: those frames are looked at, too */
	unsigned ungrants;
	uint64_t ungranted;
	uint64_t next_session;
} t;

/* of role.c, which would bring the other roles with it */
const char *role_dir_name(enum role_id id) { return id == ROLE_AUTH ? "auth" : "empty"; }
void role_done(struct role *r) { t.done = r == &t.role; }
static void *kept[64]; /* a role lives as long as its process: nothing gives its state back */
static size_t kept_count;

static void note(enum msg_type type, uint64_t session, uint32_t ask, unsigned cause, uint64_t account, struct span text)
{
	struct seen *s = &t.seen[t.count];

	assert_true(t.count < SEEN_MAX);
	*s = (struct seen){.type = type, .session = session, .ask = ask, .cause = (enum cause_id)cause, .account = account, .len = text.len};
	assert_true(text.len < sizeof(s->text));
	if (text.len)
		memcpy(s->text, text.ptr, text.len);
	if (++t.count >= t.wanted)
		loop_stop(t.role.loop, 0);
}

static enum rc on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *m)
{
	(void)owner;
	switch ((int)type) {
	case MSG_AUTH_CHALLENGE:
		note(type, m->auth_challenge.session, m->auth_challenge.ask, 0, 0, m->auth_challenge.bytes);
		break;
	case MSG_AUTH_OK:
		note(type, m->auth_ok.session, m->auth_ok.ask, 0, m->auth_ok.account, m->auth_ok.address);
		break;
	case MSG_AUTH_FAIL:
		note(type, m->auth_fail.session, m->auth_fail.ask, m->auth_fail.cause, 0, m->auth_fail.retry);
		break;
	case MSG_GRANT:
		note(type, m->grant.session, m->grant.ask, 0, m->grant.account, SPAN_NONE);
		assert_true(m->grant.worker == 7 || m->grant.worker == 8);
		if (t.grant)
			chan_send(c, MSG_GRANTED, &(struct msg_granted){.ask = m->grant.ask, .cause = (uint16_t)t.refuse, .address = SPAN_LIT("from@the.store")});
		break;
	case MSG_REVOKE:
		if (t.revokes)
			note(type, 0, 0, 0, m->revoke.account, SPAN_NONE);
		break;
	case MSG_UNGRANT: /* what a grant that is not watched any more has to lead to */
		assert_true(m->ungrant.worker == 7 || m->ungrant.worker == 8);
		t.ungrants++;
		t.ungranted = m->ungrant.session;
		break;
	default:
		fail_msg("unexpected %s", msg_name(type));
	}
	return RC_OK;
}

static void on_gone(void *owner, struct chan *c, const char *why)
{
	(void)owner, (void)why;
	note(MSG_NONE, 0, 0, 0, 0, SPAN_NONE);
	if (c == t.worker)
		chan_free(&t.worker);
	else if (c == t.worker2)
		chan_free(&t.worker2);
	else
		chan_free(&t.store);
}

static void on_late(void *arg, mono_ms now)
{
	(void)arg, (void)now;
	loop_stop(t.role.loop, 1);
}

/* runs until `n` more frames were seen; false: they did not come within ms */
static bool wait_for(size_t n, uint64_t ms)
{
	struct loop_timer late;
	int status;

	/* sent outside a turn: nothing else would wake the loop for it */
	if (t.worker)
		chan_flush(t.worker);
	if (t.store)
		chan_flush(t.store);
	t.wanted = t.count + n;
	loop_timer_init(t.role.loop, &late, on_late, NULL);
	loop_timer_at(&late, clock_mono_ms() + ms);
	status = loop_run(t.role.loop);
	loop_timer_clear(&late);
	return status == 0;
}

static const struct seen *last(void) { return &t.seen[t.count - 1]; }

static struct chan *join(enum role_id peer, uint32_t worker)
{
	static const struct chan_ops ops = {on_frame, on_gone};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	t.role.ops->peer(&t.role, peer, worker, pair[0]);
	return chan_new(t.role.loop, pair[1], peer, ROLE_AUTH, 0, &ops, NULL);
}

static bool lax; /* no limits on failures */

static int setup(void **state)
{
	struct err err = {""};

	(void)state;
	memset(&t, 0, sizeof(t));
	cred_stub_reset();
	cred_stub_add("ann@example.org", "tea & cake", true, true);
	cred_stub_add("old@example.org", "crypt only", false, true);
	cred_stub_add("off@example.org", "gone", true, false);
	t.conf = (struct conf){.home = "/nowhere", .default_domain = "example.org", .mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
		.auth_failure_delay_ms = DELAY_MS, .auth_failures_per_address = lax ? 0 : 5, .auth_failures_per_account = lax ? 0 : 3, .auth_failure_window_ms = 600000};
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/test-role-auth-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	t.role = (struct role){.ops = &role_auth_ops, .id = ROLE_AUTH, .loop = loop_new(), .conf = &t.conf, .dir = t.dir};
	assert_int_equal(role_auth_ops.open(&t.role, &err), RC_OK);
	assert_int_equal(role_auth_ops.ready(&t.role, &err), RC_OK);
	assert_true(kept_count + 2 <= sizeof(kept) / sizeof(kept[0]));
	kept[kept_count++] = t.role.own;
	kept[kept_count++] = t.role.loop;
	t.worker = join(ROLE_USER, 7);
	t.store = join(ROLE_STORE, 0);
	t.grant = true;
	return 0;
}

static int setup_lax(void **state)
{
	int status;

	lax = true;
	status = setup(state);
	lax = false;
	return status;
}

static int teardown(void **state)
{
	char path[100];

	(void)state;
	chan_free(&t.worker);
	chan_free(&t.worker2);
	chan_free(&t.store);
	t.wanted = SIZE_MAX;
	(void)wait_for(1000, 20); /* the role notices */
	(void)snprintf(path, sizeof(path), "%s/scram.secret", t.dir);
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(t.dir), 0);
	return 0;
}

static uint64_t start(const char *mechanism, bool has, struct span initial, const char *peer)
{
	struct msg_auth_start m = {.session = ++t.next_session, .ask = (uint32_t)t.next_session + 100, .tls = true, .has_initial = has, .mechanism = span_str(mechanism),
		.peer = span_str(peer), .service = SPAN_LIT("smtp"), .initial = initial};

	chan_send(t.worker, MSG_AUTH_START, &m);
	return m.session;
}

static uint64_t plain(const char *name, const char *password, const char *peer)
{
	struct buf b;
	uint64_t session;

	buf_init(&b, 1000);
	buf_add_byte(&b, 0);
	buf_add_str(&b, name);
	buf_add_byte(&b, 0);
	buf_add_str(&b, password);
	session = start("PLAIN", true, buf_span(&b), peer);
	buf_clear(&b);
	return session;
}

static void step(uint64_t session, struct span response)
{
	chan_send(t.worker, MSG_AUTH_STEP, &(struct msg_auth_step){.session = session, .ask = (uint32_t)session + 100, .response = response});
}

static void expect_fail(const char *name, const char *password, const char *peer, enum cause_id cause)
{
	uint64_t session = plain(name, password, peer);

	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_AUTH_FAIL);
	assert_int_equal(last()->session, session);
	assert_int_equal(last()->ask, session + 100);
	assert_string_equal(cause_slug(last()->cause), cause_slug(cause));
}

static void expect_ok(const char *name, const char *password, const char *peer)
{
	uint64_t session = plain(name, password, peer);

	assert_true(wait_for(2, STEP_MS));
	assert_int_equal(t.seen[t.count - 2].type, MSG_GRANT);
	assert_int_equal(t.seen[t.count - 2].session, session);
	assert_int_equal(last()->type, MSG_AUTH_OK);
	assert_int_equal(last()->session, session);
	assert_string_equal(last()->text, "from@the.store");
}

static void test_ok_after_grant(void **state)
{
	uint64_t session;

	(void)state;
	t.grant = false;
	session = plain("ann", "tea & cake", "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_GRANT);
	assert_int_equal(last()->account, 1);
	assert_false(wait_for(1, 30)); /* nothing to the worker before the store said yes */
	chan_send(t.store, MSG_GRANTED, &(struct msg_granted){.ask = last()->ask, .address = SPAN_LIT("ann@example.org")});
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_AUTH_OK);
	assert_int_equal(last()->session, session);
	/* an answer to nothing is harmless */
	chan_send(t.store, MSG_GRANTED, &(struct msg_granted){.ask = 4711});
	assert_false(wait_for(1, 30));
}

static void test_fail_and_delay(void **state)
{
	mono_ms before = clock_mono_ms();

	(void)state;
	expect_fail("ann", "wrong", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	assert_true(clock_mono_ms() - before >= DELAY_MS);
	before = clock_mono_ms();
	expect_fail("nobody", "wrong", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	assert_true(clock_mono_ms() - before >= 2 * DELAY_MS); /* grows */
	expect_fail("off", "gone", "192.0.2.1", CAUSE_AUTH_ACCOUNT_DISABLED);
	expect_fail("off", "wrong", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	assert_int_equal(cred_stub_hashes(), 4);
	/* what is no guess is answered at once */
	before = clock_mono_ms();
	(void)start("CRAM-MD5", false, SPAN_NONE, "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->cause, CAUSE_AUTH_MECHANISM_UNKNOWN);
	(void)start("PLAIN", true, SPAN_LIT("nonsense"), "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->cause, CAUSE_AUTH_SYNTAX);
	assert_true(clock_mono_ms() - before < DELAY_MS);
}

/* ---- what the log says */

static FILE *log_file;

static void log_start(void)
{
	log_file = tmpfile();
	assert_non_null(log_file);
	log_open(fileno(log_file), "auth/1", LOG_LEVEL_INFO);
}

/* the log so far, without earlier calls; the role has the time to find the truth out */
static const char *log_said(void)
{
	static char text[65536];
	size_t n;

	t.wanted = SIZE_MAX;
	(void)wait_for(1000, 50);
	log_flush();
	rewind(log_file);
	n = fread(text, 1, sizeof(text) - 1, log_file);
	text[n] = '\0';
	rewind(log_file);
	assert_int_equal(ftruncate(fileno(log_file), 0), 0);
	assert_int_equal(lseek(fileno(log_file), 0, SEEK_SET), 0);
	return text;
}

static void log_stop(void)
{
	log_flush();
	log_open(-1, "auth/1", LOG_LEVEL_ERROR);
	(void)fclose(log_file);
}

static void said(const char *words)
{
	const char *text = log_said();

	if (!strstr(text, words))
		fail_msg("the log does not say %s but: %s", words, text);
}

/* one visible cause; the true one in the log, with what an administrator wants to know; the same number of hashes for each */
static void test_truth(void **state)
{
	static const struct { const char *name, *password, *log; } cases[] = {
		{"ann", "tea", "account=ann@example.org login=ann mechanism=PLAIN peer=192.0.2.1 tls=yes service=smtp session="},
		{"ann", "tea", "cause=auth-wrong-password"},
		{"ann", "coffee", "cause=auth-password-old note=\"the password until 48 h ago; one of several devices may still have it\""},
		{"nobody@example.org", "coffee", "cause=auth-user-unknown note=\"no account has this address\""},
		{"ann@example.net", "tea & cake", "cause=auth-domain-unknown note=\"no account has an address in example.net; there is ann@example.org\""},
		{"ann%example.org", "tea & cake", "cause=auth-login-form note=\"the form would be ann@example.org\""},
		{"old", "long ago", "cause=auth-wrong-password ms="}, /* more than 30 days */
		{"a\tb", "x", "cause=auth-login-form note=\"not a login name\""},
		{"off", "wrong", "cause=auth-wrong-password"},
	};

	(void)state;
	cred_stub_old("ann@example.org", "coffee", clock_wall_ms() - 48 * 3600000LL - 1000);
	cred_stub_old("old@example.org", "long ago", clock_wall_ms() - CRED_OLD_MS - 1000);
	log_start();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned hashes = cred_stub_hashes(), old_hashes = cred_stub_old_hashes(), name = strchr(cases[i].name, '\t') == NULL;

		expect_fail(cases[i].name, cases[i].password, "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
		assert_int_equal(last()->len, 0);
		said(cases[i].log);
		assert_int_equal(cred_stub_hashes(), hashes + name);
		assert_int_equal(cred_stub_old_hashes(), old_hashes + name);
	}
	/* who knows the password may know the reason */
	expect_fail("off", "gone", "192.0.2.1", CAUSE_AUTH_ACCOUNT_DISABLED);
	said("cause=auth-account-disabled");
	assert_int_equal(cred_stub_uses(), 0);
	log_stop();
}

/* what does not find room to be looked at is logged all the same, and nothing is lost at the end */
static void test_truth_flood(void **state)
{
	const char *at, *text;
	unsigned lines = 0;

	(void)state;
	log_start();
	t.conf.auth_failure_delay_ms = 0;
	for (unsigned i = 0; i < LIMIT_AUTH_QUEUE; i++)
		(void)plain("nobody", "x", "198.51.100.7");
	assert_true(wait_for(LIMIT_AUTH_QUEUE, STEP_MS));
	role_auth_ops.drain(&t.role, false);
	text = log_said();
	for (at = text; (at = strstr(at, "cause=auth-user-unknown")) != NULL; at++)
		lines++;
	assert_int_equal(lines, LIMIT_AUTH_QUEUE);
	log_stop();
}

/* application passwords sign in, are named in the log, end their sessions when taken back; demands are met */
static void test_app_password(void **state)
{
	unsigned hashes;

	(void)state;
	t.revokes = true;
	cred_stub_app("ann@example.org", "phone", "abcd-efgh-jkmn-pqrs");
	log_start();
	hashes = cred_stub_hashes();
	expect_ok("ann", "abcd-efgh-jkmn-pqrs", "192.0.2.1");
	assert_int_equal(cred_stub_hashes(), hashes); /* no slow hash */
	assert_int_equal(cred_stub_uses(), 2);
	said("result=ok account=ann@example.org login=ann app=phone mechanism=PLAIN");
	expect_fail("old", "abcd-efgh-jkmn-pqrs", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS); /* another's */
	expect_ok("ann", "tea & cake", "192.0.2.1");
	cred_stub_demand("ann@example.org", CRED_DEMAND_APP_PASSWORD);
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->type, MSG_REVOKE);
	expect_fail("ann", "tea & cake", "192.0.2.1", CAUSE_AUTH_APP_PASSWORD);
	said("cause=auth-app-password");
	expect_fail("ann", "tea", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	expect_ok("ann", "abcd-efgh-jkmn-pqrs", "192.0.2.1");
	cred_stub_app("ann@example.org", NULL, NULL);
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->type, MSG_REVOKE);
	expect_fail("ann", "abcd-efgh-jkmn-pqrs", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	cred_stub_demand("ann@example.org", CRED_DEMAND_WEB_SIGN_IN);
	expect_fail("ann", "tea & cake", "192.0.2.1", CAUSE_AUTH_WEB_LOGIN);
	log_stop();
}

static void test_throttle(void **state)
{
	unsigned hashes;

	(void)state;
	expect_ok("ann", "tea & cake", "192.0.2.1");
	for (unsigned i = 0; i < 3; i++)
		expect_fail("ann", "wrong", "198.51.100.7", CAUSE_AUTH_BAD_CREDENTIALS);
	hashes = cred_stub_hashes();
	expect_fail("ann", "tea & cake", "203.0.113.5", CAUSE_AUTH_RATE_LIMITED); /* right, from an unknown place: not looked at */
	assert_true(strlen(last()->text) > 0); /* says how long to wait */
	assert_int_equal(cred_stub_hashes(), hashes);
	expect_ok("ann", "tea & cake", "192.0.2.1"); /* the owner, from where she always comes */
	expect_fail("old", "crypt", "198.51.100.7", CAUSE_AUTH_BAD_CREDENTIALS);
	expect_fail("old", "crypt", "198.51.100.7", CAUSE_AUTH_BAD_CREDENTIALS);
	expect_fail("off", "gone", "198.51.100.7", CAUSE_AUTH_RATE_LIMITED); /* five from one address */
}

/* the role ends and begins anew */
static void restart(void)
{
	struct err err = {""};

	role_auth_ops.drain(&t.role, true);
	t.role.draining = false;
	chan_free(&t.worker);
	chan_free(&t.store);
	t.wanted = SIZE_MAX;
	(void)wait_for(1000, 20);
	assert_int_equal(role_auth_ops.open(&t.role, &err), RC_OK);
	assert_int_equal(role_auth_ops.ready(&t.role, &err), RC_OK);
	assert_true(kept_count + 1 <= sizeof(kept) / sizeof(kept[0]));
	kept[kept_count++] = t.role.own;
	t.worker = join(ROLE_USER, 8);
	t.store = join(ROLE_STORE, 0);
}

static void test_throttle_restart(void **state)
{
	(void)state;
	expect_ok("ann", "tea & cake", "192.0.2.1");
	for (unsigned i = 0; i < 3; i++)
		expect_fail("ann", "wrong", "198.51.100.7", CAUSE_AUTH_BAD_CREDENTIALS);
	restart();
	expect_fail("ann", "tea & cake", "203.0.113.5", CAUSE_AUTH_RATE_LIMITED);
	expect_ok("ann", "tea & cake", "192.0.2.1"); /* still known there */
}

static void test_cache(void **state)
{
	unsigned hashes;

	(void)state;
	expect_ok("ann", "tea & cake", "192.0.2.1");
	hashes = cred_stub_hashes();
	for (unsigned i = 0; i < 5; i++)
		expect_ok("ann@example.org", "tea & cake", "192.0.2.1");
	assert_int_equal(cred_stub_hashes(), hashes); /* a client that polls costs nothing */
	expect_fail("ann", "tea", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	expect_fail("ann", "tea", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
	assert_int_equal(cred_stub_hashes(), hashes + 2); /* wrong ones always do */
	cred_stub_change("ann@example.org", "new one");
	expect_fail("ann", "tea & cake", "192.0.2.1", CAUSE_AUTH_BAD_CREDENTIALS);
}

static void test_revoke(void **state)
{
	uint64_t session;

	(void)state;
	t.revokes = true;
	expect_ok("ann", "tea & cake", "192.0.2.1");
	expect_ok("old", "crypt only", "192.0.2.1"); /* its verifier is made: not a change that ends sessions */
	assert_true(cred_stub_has_scram("old@example.org"));
	assert_false(wait_for(1, 1200));
	cred_stub_change("ann@example.org", "new one");
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->type, MSG_REVOKE);
	assert_int_equal(last()->account, 1);
	assert_false(wait_for(1, 1200)); /* once */
	cred_stub_change("old@example.org", NULL); /* disabled */
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->type, MSG_REVOKE);
	assert_int_equal(last()->account, 2);
	/* a session that has ended is nobody's business */
	expect_ok("ann", "new one", "192.0.2.1");
	session = last()->session;
	assert_int_equal(t.ungrants, 0);
	for (uint64_t i = 1; i <= session; i++)
		chan_send(t.worker, MSG_SESSION_END, &(struct msg_session_end){.session = i});
	assert_false(wait_for(1, 50));
	assert_int_equal(t.ungrants, 3); /* whether or not the worker says so to the store */
	assert_int_equal(t.ungranted, session);
	cred_stub_change("ann@example.org", "third");
	assert_false(wait_for(1, 1200));
}

/* a role that was started anew hears from the store whom the one before let in, and watches them */
static void test_inherit(void **state)
{
	(void)state;
	t.revokes = true;
	chan_send(t.store, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = 1, .generation = 1});
	chan_send(t.store, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = 1, .generation = 1});
	chan_send(t.store, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = UINT64_MAX, .generation = 1});
	assert_false(wait_for(1, 1200)); /* nothing has changed */
	expect_ok("ann", "tea & cake", "192.0.2.1");
	chan_send(t.worker, MSG_SESSION_END, &(struct msg_session_end){.session = last()->session});
	cred_stub_change("ann@example.org", "new one");
	assert_true(wait_for(1, 1500)); /* watched though the session that this role knows has ended */
	assert_int_equal(last()->type, MSG_REVOKE);
	assert_int_equal(last()->account, 1);
	chan_send(t.store, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = 2, .generation = 4711}); /* changed while no auth role was there */
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->type, MSG_REVOKE);
	assert_int_equal(last()->account, 2);
	chan_send(t.store, MSG_GRANT_LIVE, &(struct msg_grant_live){.account = 15, .generation = 1}); /* removed */
	assert_true(wait_for(1, 1500));
	assert_int_equal(last()->account, 15);
}

static void test_store_gone(void **state)
{
	(void)state;
	t.grant = false;
	(void)plain("ann", "tea & cake", "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	chan_free(&t.store);
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_AUTH_FAIL);
	assert_int_equal(last()->cause, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
	expect_fail("ann", "tea & cake", "192.0.2.1", CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
	t.store = join(ROLE_STORE, 0);
	t.grant = true;
	expect_ok("ann", "tea & cake", "192.0.2.1");
	t.refuse = CAUSE_SERVER_TEMP_ERROR;
	(void)plain("ann", "tea & cake", "192.0.2.1");
	assert_true(wait_for(2, STEP_MS));
	assert_int_equal(last()->cause, CAUSE_SERVER_TEMP_ERROR);
	cred_stub_broken(true);
	expect_fail("ann", "tea & cake", "192.0.2.1", CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
}

static void test_cancel(void **state)
{
	uint64_t session = start("LOGIN", false, SPAN_NONE, "192.0.2.1");

	(void)state;
	assert_true(wait_for(1, STEP_MS));
	assert_string_equal(last()->text, "Username:");
	chan_send(t.worker, MSG_AUTH_CANCEL, &(struct msg_auth_cancel){.session = session});
	chan_send(t.worker, MSG_AUTH_CANCEL, &(struct msg_auth_cancel){.session = 999});
	step(session, SPAN_LIT("ann")); /* too late: it is told so */
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->cause, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
	/* while a failing answer is held back */
	session = plain("ann", "wrong", "192.0.2.1");
	assert_false(wait_for(1, DELAY_MS / 2));
	chan_send(t.worker, MSG_SESSION_END, &(struct msg_session_end){.session = session});
	assert_false(wait_for(1, 3 * DELAY_MS));
	/* while the store is asked: the worker hears of it and can tell the store */
	t.grant = false;
	session = plain("ann", "tea & cake", "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	chan_send(t.worker, MSG_AUTH_CANCEL, &(struct msg_auth_cancel){.session = session});
	assert_false(wait_for(1, 30));
	chan_send(t.store, MSG_GRANTED, &(struct msg_granted){.ask = last()->ask});
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_AUTH_OK);
}

/* a worker that speaks out of turn is dropped, alone */
static void test_out_of_turn(void **state)
{
	uint64_t session;

	(void)state;
	t.worker2 = join(ROLE_USER, 8);
	session = start("LOGIN", false, SPAN_NONE, "192.0.2.1");
	assert_true(wait_for(1, STEP_MS));
	step(session, SPAN_LIT("ann"));
	assert_true(wait_for(1, STEP_MS));
	assert_string_equal(last()->text, "Password:");
	step(session, SPAN_LIT("x"));
	step(session, SPAN_LIT("y")); /* while the first is being worked on */
	assert_true(wait_for(1, STEP_MS));
	assert_int_equal(last()->type, MSG_NONE);
	assert_null(t.worker);
	t.worker = t.worker2;
	t.worker2 = NULL;
	expect_ok("ann", "tea & cake", "192.0.2.1");
}

/* a flood from one address does not keep another out; what does not fit is told to come back */
static void test_queue(void **state)
{
	unsigned unavailable = 0, ok = 0;
	uint64_t other;

	(void)state;
	t.conf.auth_failure_delay_ms = 0;
	for (unsigned i = 0; i < LIMIT_AUTH_QUEUE + 20; i++)
		(void)plain("old", "wrong", "198.51.100.7");
	other = plain("ann", "tea & cake", "192.0.2.1");
	assert_true(wait_for(LIMIT_AUTH_QUEUE + 22, 10000));
	for (size_t i = 0; i < t.count; i++) {
		unavailable += t.seen[i].type == MSG_AUTH_FAIL && t.seen[i].cause == CAUSE_AUTH_TEMPORARILY_UNAVAILABLE;
		ok += t.seen[i].type == MSG_AUTH_OK && t.seen[i].session == other;
	}
	assert_int_equal(ok, 1);
	assert_in_range(unavailable, 1, 30);
	assert_in_range(cred_stub_hashes(), 1, 10); /* throttled long before all of them were hashed */
}

static void client_step(Gsasl_session *g, const char *in, size_t len, char **text, size_t *text_len)
{
	int rc = gsasl_step(g, in, len, text, text_len);

	assert_true(rc == GSASL_OK || rc == GSASL_NEEDS_MORE);
}

/* SCRAM through frames; the password is changed between the two messages: the old one is no good any more */
static void test_scram(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		Gsasl *lib;
		Gsasl_session *g;
		uint64_t session;
		char *text = NULL;
		size_t len = 0;

		assert_int_equal(gsasl_init(&lib), GSASL_OK);
		assert_int_equal(gsasl_client_start(lib, "SCRAM-SHA-256", &g), GSASL_OK);
		(void)gsasl_property_set(g, GSASL_AUTHID, "ann@example.org");
		(void)gsasl_property_set(g, GSASL_PASSWORD, "tea & cake");
		client_step(g, NULL, 0, &text, &len);
		session = start("SCRAM-SHA-256", true, span_of(text, len), "192.0.2.1");
		gsasl_free(text);
		assert_true(wait_for(1, STEP_MS));
		assert_int_equal(last()->type, MSG_AUTH_CHALLENGE);
		client_step(g, last()->text, last()->len, &text, &len);
		if (round == 1)
			cred_stub_change("ann@example.org", "new one");
		step(session, span_of(text, len));
		gsasl_free(text);
		assert_true(wait_for(round == 0 ? 2 : 1, STEP_MS));
		assert_int_equal(last()->type, round == 0 ? MSG_AUTH_OK : MSG_AUTH_FAIL);
		gsasl_finish(g);
		gsasl_done(lib);
	}
	assert_int_equal(cred_stub_hashes(), 0);
}

static void test_drain(void **state)
{
	(void)state;
	(void)plain("ann", "wrong", "192.0.2.1");
	assert_false(wait_for(1, DELAY_MS / 2));
	role_auth_ops.drain(&t.role, false);
	assert_false(t.done);
	assert_true(wait_for(1, STEP_MS)); /* the answer still comes */
	assert_int_equal(last()->cause, CAUSE_AUTH_BAD_CREDENTIALS);
	assert_true(t.done);
	t.done = false;
	role_auth_ops.drain(&t.role, true);
	assert_true(t.done);
}

int test_role_auth(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ok_after_grant, setup, teardown), cmocka_unit_test_setup_teardown(test_fail_and_delay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truth, setup_lax, teardown), cmocka_unit_test_setup_teardown(test_truth_flood, setup_lax, teardown),
		cmocka_unit_test_setup_teardown(test_app_password, setup, teardown), cmocka_unit_test_setup_teardown(test_throttle, setup, teardown), cmocka_unit_test_setup_teardown(test_throttle_restart, setup, teardown), cmocka_unit_test_setup_teardown(test_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revoke, setup, teardown), cmocka_unit_test_setup_teardown(test_store_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown), cmocka_unit_test_setup_teardown(test_out_of_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue, setup, teardown), cmocka_unit_test_setup_teardown(test_scram, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
	};

	log_open(-1, "auth/1", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("role_auth", tests, NULL, NULL);
}
