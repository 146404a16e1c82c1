/* The keys role with a relay and a worker at the other ends of socket pairs, all in one loop: how much a relay may ask for, and that the
 * worker's handshakes do not wait for it. The clock stands still where rates are looked at. */
#include "test_keys_dkim.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "mail/dkim.h"
#include "role/keys_sign.h"
#include "role/role.h"

enum { AT_ONCE = 8, WAITING = 256, BURST = 40000, WAIT_MS = 20000, LINGER_MS = 100, SMARTHOSTS = 2 };

struct client {
	struct chan *chan;
	bool gone;
	unsigned answers, good;
	uint32_t last_ask;
	bool in_order;
	struct span login, password;
	char words[64];
	unsigned relay_had; /* answers of the relay when this one's first came */
};

static struct {
	char dir[64], key[160], chain[160], secret[160];
	struct conf_certificate certificate;
	struct conf_smarthost smarthosts[SMARTHOSTS];
	struct conf conf;
	struct role role;
	struct client relay, user;
	struct event timeout; /* by the clock that goes on */
	const struct client *wait_on;
	unsigned wait_for;
} t;

/* ---- a clock that can be stopped */

static mono_ms stopped_at;
mono_ms __real_clock_mono_ms(void);
mono_ms __wrap_clock_mono_ms(void);
mono_ms __wrap_clock_mono_ms(void)
{
	return stopped_at ? stopped_at : __real_clock_mono_ms();
}

/* ---- files */

static void put_key(EVP_PKEY *pkey, const char *path)
{
	FILE *f = fopen(path, "we");

	assert_true(pkey && f);
	assert_int_equal(PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
}

static void put_certificate(EVP_PKEY *pkey, const char *path)
{
	X509 *x = X509_new();
	FILE *f = fopen(path, "we");

	assert_true(x && f);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_set_pubkey(x, pkey), 1);
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, x), 1);
	assert_int_equal(fclose(f), 0);
	X509_free(x);
}

static const char *under(const char *name)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	return path;
}

static void make_files(void)
{
	EVP_PKEY *tls = EVP_EC_gen("P-256"), *dkim = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	FILE *f;

	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/test-role-keys-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	assert_int_equal(mkdir(under("keys"), 0700) | mkdir(under("keys/dkim"), 0700) | mkdir(under("keys/dkim/here.example"), 0700), 0);
	put_key(dkim, under("keys/dkim/here.example/one.key"));
	(void)snprintf(t.key, sizeof(t.key), "%s", under("tls.key"));
	(void)snprintf(t.chain, sizeof(t.chain), "%s", under("tls.crt"));
	(void)snprintf(t.secret, sizeof(t.secret), "%s", under("secret"));
	put_key(tls, t.key);
	put_certificate(tls, t.chain);
	f = fopen(t.secret, "we");
	assert_true(f && fputs("open sesame\n", f) >= 0 && fclose(f) == 0);
	EVP_PKEY_free(tls);
	EVP_PKEY_free(dkim);
}

/* ---- clients */

static void client_answer(struct client *c, uint32_t ask, bool ok)
{
	if (!c->answers++)
		c->relay_had = t.relay.answers;
	c->good += ok;
	c->in_order = c->in_order && ask == c->last_ask + 1;
	c->last_ask = ask;
	if (t.wait_on && t.wait_on->answers >= t.wait_for)
		loop_stop(t.role.loop, 0);
}

static enum rc client_frame(void *owner, struct chan *chan, enum msg_type type, const union msg_any *m)
{
	struct client *c = owner;

	(void)chan;
	switch ((int)type) {
	case MSG_SIGNED:
		client_answer(c, m->signed_.ask, m->signed_.ok);
		return RC_OK;
	case MSG_DKIM_SIGNED:
		client_answer(c, m->dkim_signed.ask, m->dkim_signed.ok && m->dkim_signed.signature.len == 64);
		return RC_OK;
	case MSG_DKIM_KEYS:
		client_answer(c, m->dkim_keys.ask, m->dkim_keys.keys.count == 1);
		return RC_OK;
	case MSG_SECRET:
		(void)snprintf(c->words, sizeof(c->words), "%.*s:%.*s", SPAN_FMT(m->secret.login), SPAN_FMT(m->secret.password));
		client_answer(c, m->secret.ask, m->secret.ok);
		return RC_OK;
	default:
		return RC_BAD;
	}
}

static void client_gone(void *owner, struct chan *chan, const char *why)
{
	struct client *c = owner;

	(void)chan, (void)why;
	c->gone = true;
	chan_free(&c->chan);
	loop_stop(t.role.loop, 0);
}

static void client_join(struct client *c, enum role_id id)
{
	static const struct chan_ops ops = {client_frame, client_gone};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	*c = (struct client){.in_order = true};
	c->chan = chan_new(t.role.loop, pair[0], id, ROLE_KEYS, 0, &ops, c);
	role_keys_ops.peer(&t.role, id, 1, pair[1]);
}

static void timed_out(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	loop_stop(t.role.loop, 1);
}

/* until it has that many answers, or is gone */
static bool wait_for(struct client *c, unsigned answers, unsigned ms)
{
	int status;

	for (size_t i = 0; i < 2; i++)
		if ((i ? &t.user : &t.relay)->chan)
			chan_flush((i ? &t.user : &t.relay)->chan);
	if (c->gone || c->answers >= answers)
		return true;
	t.wait_on = c;
	t.wait_for = answers;
	(void)event_add(&t.timeout, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
	status = loop_run(t.role.loop);
	(void)event_del(&t.timeout);
	t.wait_on = NULL;
	return status == 0;
}

static void ask_sign(uint32_t ask, const char *domain)
{
	static const uint8_t digest[DKIM_DIGEST_BYTES];

	chan_send(t.relay.chan, MSG_DKIM_SIGN,
		  &(struct msg_dkim_sign){.ask = ask, .domain = span_str(domain), .digest = span_of(digest, sizeof(digest))});
}

/* ---- */

static int open_role(void **state)
{
	struct err err = {""};

	(void)state;
	make_files();
	t.certificate = (struct conf_certificate){.name = "one", .chain = t.chain, .key = t.key};
	t.smarthosts[0] = (struct conf_smarthost){.login = "", .password_file = ""};
	t.smarthosts[1] = (struct conf_smarthost){.login = "us", .password_file = t.secret};
	t.conf = (struct conf){.home = t.dir,
			       .certificates = &t.certificate,
			       .certificate_count = 1,
			       .smarthosts = t.smarthosts,
			       .smarthost_count = SMARTHOSTS};
	t.role = (struct role){.ops = &role_keys_ops, .id = ROLE_KEYS, .loop = loop_new(), .conf = &t.conf, .dir = "/"};
	(void)evtimer_assign(&t.timeout, loop_base(t.role.loop), timed_out, NULL);
	log_open(-1, "keys/1", LOG_LEVEL_ERROR);
	if (role_keys_ops.open(&t.role, &err) != RC_OK)
		fail_msg("%s", err.words);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	return test_keys_remove(t.dir);
}

static int setup(void **state)
{
	(void)state;
	client_join(&t.relay, ROLE_RELAY);
	client_join(&t.user, ROLE_USER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stopped_at = 0;
	chan_free(&t.relay.chan);
	chan_free(&t.user.chan);
	t.relay.gone = false;
	(void)wait_for(&t.relay, UINT32_MAX, LINGER_MS); /* the role sees them go */
	return 0;
}

/* what a relay does: a few under way, for as long as it likes */
static void a_relay_at_work_gets_all(void **state)
{
	enum { UNDER_WAY = 64, MESSAGES = 3000 };
	uint32_t asked = 0;

	(void)state;
	while (asked < MESSAGES) {
		while (asked < MESSAGES && asked - t.relay.answers < UNDER_WAY)
			ask_sign(++asked, "here.example");
		assert_true(wait_for(&t.relay, t.relay.answers + 1, WAIT_MS));
		assert_false(t.relay.gone);
	}
	assert_true(wait_for(&t.relay, MESSAGES, WAIT_MS));
	assert_true(!t.relay.gone && t.relay.good == MESSAGES && t.relay.in_order);
}

static void as_many_as_may_wait(void **state)
{
	(void)state;
	for (uint32_t ask = 1; ask <= WAITING; ask++)
		ask_sign(ask, "here.example");
	assert_true(wait_for(&t.relay, WAITING, WAIT_MS));
	assert_true(!t.relay.gone && t.relay.good == WAITING && t.relay.in_order);
	ask_sign(WAITING + 1, "elsewhere.example"); /* not its key */
	assert_true(wait_for(&t.relay, WAITING + 1, WAIT_MS));
	assert_true(!t.relay.gone && t.relay.good == WAITING);
}

static void more_than_may_wait(void **state)
{
	(void)state;
	for (uint32_t ask = 1; ask <= WAITING + 1; ask++)
		ask_sign(ask, "here.example");
	assert_true(wait_for(&t.relay, WAITING, WAIT_MS));
	assert_true(t.relay.gone && t.relay.good <= AT_ONCE);
}

/* asked for after all that the relay has waiting, and answered before most of it */
static void handshakes_come_in_between(void **state)
{
	static const uint8_t digest[32];

	(void)state;
	for (uint32_t ask = 1; ask <= WAITING; ask++)
		ask_sign(ask, "here.example");
	chan_send(t.user.chan, MSG_SIGN,
		  &(struct msg_sign){.ask = 1, .scheme = KEY_SCHEME_ECDSA, .input = span_of(digest, sizeof(digest))});
	assert_true(wait_for(&t.relay, WAITING, WAIT_MS));
	assert_true(wait_for(&t.user, 1, WAIT_MS));
	assert_true(t.user.good == 1 && t.user.relay_had <= 4 * AT_ONCE);
}

/* time stands still: what is left of the burst, then nothing, then what a moment gives */
static void signatures_have_a_rate(void **state)
{
	uint32_t asked = 0;

	(void)state;
	stopped_at = clock_mono_ms();
	while (asked < BURST) {
		while (asked < BURST && asked - t.relay.answers < WAITING)
			ask_sign(++asked, "elsewhere.example");
		assert_true(wait_for(&t.relay, asked, WAIT_MS));
	}
	ask_sign(++asked, "elsewhere.example");
	assert_false(wait_for(&t.relay, asked, LINGER_MS));
	assert_true(!t.relay.gone && t.relay.answers == BURST);
	stopped_at = 0;
	assert_true(wait_for(&t.relay, BURST + 1, WAIT_MS));
	assert_true(!t.relay.gone && t.relay.in_order);
}

static void questions_have_a_rate(void **state)
{
	enum { STEP = 1000 };
	uint32_t asked = 0;

	(void)state;
	stopped_at = clock_mono_ms();
	while (asked < BURST) {
		for (unsigned i = 0; i < STEP; i++)
			chan_send(t.relay.chan, MSG_DKIM_KEYS_GET,
				  &(struct msg_dkim_keys_get){.ask = ++asked, .domain = SPAN_LIT("here.example")});
		assert_true(wait_for(&t.relay, asked, WAIT_MS));
	}
	assert_true(!t.relay.gone && t.relay.good == BURST && t.relay.in_order);
	chan_send(t.relay.chan, MSG_SECRET_GET, &(struct msg_secret_get){.ask = asked, .smarthost = 1});
	assert_true(wait_for(&t.relay, BURST + 1, WAIT_MS));
	assert_true(t.relay.gone && t.relay.answers == BURST);
}

static void passwords_of_smarthosts_that_are_there(void **state)
{
	(void)state;
	chan_send(t.relay.chan, MSG_SECRET_GET, &(struct msg_secret_get){.ask = 1, .smarthost = 1});
	assert_true(wait_for(&t.relay, 1, WAIT_MS));
	assert_true(t.relay.good == 1);
	assert_string_equal(t.relay.words, "us:open sesame");
	chan_send(t.relay.chan, MSG_SECRET_GET, &(struct msg_secret_get){.ask = 2, .smarthost = 0}); /* needs none */
	assert_true(wait_for(&t.relay, 2, WAIT_MS));
	assert_true(!t.relay.gone && t.relay.good == 1);
	assert_string_equal(t.relay.words, ":");
	chan_send(t.relay.chan, MSG_SECRET_GET, &(struct msg_secret_get){.ask = 3, .smarthost = SMARTHOSTS});
	assert_true(wait_for(&t.relay, 3, WAIT_MS));
	assert_true(t.relay.gone && t.relay.answers == 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {T(a_relay_at_work_gets_all),
						  T(as_many_as_may_wait),
						  T(more_than_may_wait),
						  T(handshakes_come_in_between),
						  T(signatures_have_a_rate),
						  T(questions_have_a_rate),
						  T(passwords_of_smarthosts_that_are_there)};

	return cmocka_run_group_tests_name("role keys", tests, open_role, remove_files);
}
