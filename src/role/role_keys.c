/* The keys role: holds the private keys and signs what handshakes of the network roles need (TLS), what leaves (DKIM, for the relay role only), and lends the
 * passwords of smarthosts to the relay that signs in there. No files and no network behind its walls. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/keys_dkim.h"
#include "role/keys_secret.h"
#include "role/keys_sign.h"
#include "role/role.h"

/* A core makes about 1,000 RSA signatures a second; a worker that asks for more than this is not doing handshakes. */
enum { KEYS_SIGN_PER_SECOND = 2000, KEYS_SIGN_BURST = 4000, KEYS_SIGNATURE_BYTES = 1024, KEYS_DKIM_LIST_BYTES = 4096 };
/* A worker waits for each of its signatures, so it has one question under way, or a few after answers that came too late. More than this at once are not
 * handshakes, and the other workers' handshakes would wait behind them. */
enum { KEYS_SIGN_AT_ONCE = 8, KEYS_SAY_AGAIN_MS = 60000 };
/* A relay has a few messages under way and waits for the signature of each (relay_sign.c); signatures beyond KEYS_DKIM_AT_ONCE wait for the next turn, so that
 * handshakes come in between, and a relay that has more waiting than any real one is dropped. So is one that asks more often than mail can leave. */
enum { KEYS_DKIM_AT_ONCE = 8, KEYS_DKIM_WAITING = 256, KEYS_DKIM_PAUSE_MS = 10, KEYS_RELAY_PER_SECOND = 20000, KEYS_RELAY_BURST = 40000 };

struct keys_role {
	struct keys *tls;
	struct keys_dkim *dkim;
	struct keys_secrets *secrets;
};

struct keys_wait {
	uint32_t ask;
	uint16_t key;
	uint8_t domain_len;
	uint8_t digest[DKIM_DIGEST_BYTES], domain[LIMIT_DOMAIN_BYTES];
};

struct keys_peer {
	struct role *role;
	struct chan *chan;
	uint64_t spent;   /* of its burst, in thousandths */
	mono_ms at;
	mono_ms turn;     /* of the loop, to which at_once belongs */
	unsigned at_once;
	mono_ms said;     /* in the log, that it asks for too much; 0: never */
	struct keys_wait *waiting; /* of a relay: KEYS_DKIM_WAITING, from first on, around the end */
	size_t first, waiting_count;
	struct loop_hook more;
	struct loop_timer pause;
};

static bool keys_peer_spend(struct keys_peer *p, unsigned per_second, unsigned burst, mono_ms now)
{
	uint64_t back = (now - p->at) * per_second;

	p->spent = p->spent > back ? p->spent - back : 0;
	p->at = now;
	if (p->spent > (burst - 1) * 1000ull)
		return false;
	p->spent += 1000;
	return true;
}

static bool keys_peer_may(struct keys_peer *p, mono_ms turn, mono_ms now)
{
	p->at_once = p->turn == turn ? p->at_once + 1 : 1;
	p->turn = turn;
	if (p->at_once > KEYS_SIGN_AT_ONCE)
		return false;
	return keys_peer_spend(p, KEYS_SIGN_PER_SECOND, KEYS_SIGN_BURST, now);
}

static void keys_peer_too_fast(struct keys_peer *p, int per_second, int at_once, mono_ms now)
{
	if (p->said && now - p->said <= KEYS_SAY_AGAIN_MS)
		return;
	p->said = now;
	log_msg(LOG_LEVEL_WARN, "sign-rate", "%s worker %u asks for more than %d signatures a second, or %d at once", role_name(chan_peer(p->chan)),
		chan_peer_worker(p->chan), per_second, at_once);
}

static enum rc keys_on_sign(struct keys_peer *p, const struct msg_sign *m)
{
	struct keys *keys = ((struct keys_role *)p->role->own)->tls;
	struct msg_signed answer = {.ask = m->ask};
	mono_ms now = clock_mono_ms();
	struct buf signature;

	/* a worker never asks for anything else, so this one has been taken over */
	if (!keys_is_tls_shaped(keys, m->key, m->scheme, m->input))
		return RC_BAD;
	buf_init(&signature, KEYS_SIGNATURE_BYTES);
	if (keys_peer_may(p, loop_now(p->role->loop), now)) {
		answer.ok = keys_sign(keys, m->key, m->scheme, m->input, &signature) == RC_OK;
		answer.signature = buf_span(&signature);
	} else {
		keys_peer_too_fast(p, KEYS_SIGN_PER_SECOND, KEYS_SIGN_AT_ONCE, now);
	}
	chan_send(p->chan, MSG_SIGNED, &answer);
	buf_clear(&signature);
	return RC_OK;
}

/* ---- for the relay: mail that leaves */

/* for all but signatures, which wait where this one is dropped */
static enum rc keys_relay_may(struct keys_peer *p)
{
	mono_ms now = clock_mono_ms();

	if (keys_peer_spend(p, KEYS_RELAY_PER_SECOND, KEYS_RELAY_BURST, now))
		return RC_OK;
	keys_peer_too_fast(p, KEYS_RELAY_PER_SECOND, KEYS_DKIM_WAITING, now);
	return RC_LIMIT;
}

static enum rc keys_on_dkim_keys(struct keys_peer *p, const struct msg_dkim_keys_get *m)
{
	const struct keys_role *own = p->role->own;
	struct keys_dkim_key found[KEYS_DKIM_DOMAIN_MAX];
	size_t n = keys_dkim_of(own->dkim, m->domain, found);
	struct msg_dkim_keys answer = {.ask = m->ask};
	struct buf list;

	if (keys_relay_may(p) != RC_OK)
		return RC_LIMIT;
	buf_init(&list, KEYS_DKIM_LIST_BYTES);
	for (size_t i = 0; i < n; i++)
		rec_dkim_key_add(&list, &(struct rec_dkim_key){.key = found[i].key, .algorithm = (uint8_t)found[i].algorithm, .selector = found[i].selector});
	answer.keys = (struct msg_list){.raw = buf_span(&list), .count = (uint32_t)n};
	answer.unread = n == 0 && keys_dkim_unread(own->dkim, m->domain);
	chan_send(p->chan, MSG_DKIM_KEYS, &answer);
	buf_clear(&list);
	return RC_OK;
}

static void keys_dkim_answer(struct keys_peer *p, const struct keys_wait *w)
{
	const struct keys_role *own = p->role->own;
	struct msg_dkim_signed answer = {.ask = w->ask};
	struct buf signature;

	buf_init(&signature, KEYS_SIGNATURE_BYTES);
	answer.ok = keys_dkim_sign(own->dkim, w->key, span_of(w->domain, w->domain_len), span_of(w->digest, sizeof(w->digest)), &signature) == RC_OK;
	answer.signature = buf_span(&signature);
	chan_send(p->chan, MSG_DKIM_SIGNED, &answer);
	buf_clear(&signature);
}

/* a few of those that wait; the others in the next turn, or when there may be more again */
static void keys_dkim_more(void *arg)
{
	struct keys_peer *p = arg;
	mono_ms now = clock_mono_ms();

	for (unsigned n = 0; p->waiting_count && n < KEYS_DKIM_AT_ONCE; n++) {
		if (!keys_peer_spend(p, KEYS_RELAY_PER_SECOND, KEYS_RELAY_BURST, now)) {
			keys_peer_too_fast(p, KEYS_RELAY_PER_SECOND, KEYS_DKIM_WAITING, now);
			loop_timer_at(&p->pause, now + KEYS_DKIM_PAUSE_MS);
			return;
		}
		keys_dkim_answer(p, &p->waiting[p->first]);
		p->first = (p->first + 1) % KEYS_DKIM_WAITING;
		p->waiting_count--;
	}
	if (p->waiting_count)
		loop_soon(p->role->loop, &p->more);
}

static void keys_dkim_pause_over(void *arg, mono_ms now)
{
	(void)now;
	keys_dkim_more(arg);
}

static enum rc keys_on_dkim_sign(struct keys_peer *p, const struct msg_dkim_sign *m)
{
	struct keys_wait *w;

	if (m->digest.len != DKIM_DIGEST_BYTES || m->domain.len > LIMIT_DOMAIN_BYTES)
		return RC_BAD;
	if (p->waiting_count == KEYS_DKIM_WAITING) {
		keys_peer_too_fast(p, KEYS_RELAY_PER_SECOND, KEYS_DKIM_WAITING, clock_mono_ms());
		return RC_LIMIT;
	}
	w = &p->waiting[(p->first + p->waiting_count++) % KEYS_DKIM_WAITING];
	*w = (struct keys_wait){.ask = m->ask, .key = m->key, .domain_len = (uint8_t)m->domain.len};
	memcpy(w->digest, m->digest.ptr, m->digest.len);
	if (m->domain.len)
		memcpy(w->domain, m->domain.ptr, m->domain.len);
	loop_soon(p->role->loop, &p->more);
	return RC_OK;
}

static enum rc keys_on_secret(struct keys_peer *p, const struct msg_secret_get *m)
{
	const struct keys_role *own = p->role->own;
	struct msg_secret answer = {.ask = m->ask};

	/* it has the configuration that this role has, so one that asks for a smarthost that is not there has been taken over */
	if (m->smarthost >= keys_secrets_count(own->secrets))
		return RC_BAD;
	if (keys_relay_may(p) != RC_OK)
		return RC_LIMIT;
	answer.ok = keys_secrets_get(own->secrets, m->smarthost, &answer.login, &answer.password);
	chan_send(p->chan, MSG_SECRET, &answer);
	return RC_OK;
}

static enum rc keys_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	(void)c;
	switch ((int)type) {
	case MSG_SIGN:
		return keys_on_sign(owner, &msg->sign);
	case MSG_DKIM_KEYS_GET:
		return keys_on_dkim_keys(owner, &msg->dkim_keys_get);
	case MSG_DKIM_SIGN:
		return keys_on_dkim_sign(owner, &msg->dkim_sign);
	case MSG_SECRET_GET:
		return keys_on_secret(owner, &msg->secret_get);
	default:
		return RC_BAD;
	}
}

static void keys_gone(void *owner, struct chan *c, const char *why)
{
	struct keys_peer *p = owner;

	log_msg(LOG_LEVEL_INFO, "peer-gone", "%s worker %u: %s", role_name(chan_peer(c)), chan_peer_worker(c), why);
	loop_hook_remove(p->role->loop, &p->more);
	loop_timer_clear(&p->pause);
	chan_free(&p->chan);
	free(p->waiting);
	free(p);
}

static void keys_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = keys_frame, .on_gone = keys_gone};
	struct keys_peer *p;

	if (peer != ROLE_MX && peer != ROLE_USER && peer != ROLE_RELAY) {
		(void)close(fd);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	*p = (struct keys_peer){.role = r, .at = clock_mono_ms(), .more = {.fn = keys_dkim_more, .arg = p}};
	loop_timer_init(r->loop, &p->pause, keys_dkim_pause_over, p);
	if (peer == ROLE_RELAY)
		p->waiting = mem_array(KEYS_DKIM_WAITING, sizeof(*p->waiting));
	p->chan = chan_new(r->loop, fd, ROLE_KEYS, peer, worker, &ops, p);
}

static void keys_complain(const char *words, bool unread)
{
	log_msg(LOG_LEVEL_ERROR, "dkim-key", "%s; mail of that domain %s", words,
		unread ? "waits, unless another key signs it, until this one is read: reload when it can be" : "leaves without this signature");
}

static enum rc keys_open(struct role *r, struct err *err)
{
	struct keys_role *own = mem_zalloc(sizeof(*own));
	char *dir = mem_printf("%s/keys/dkim", r->conf->home);
	enum rc rc = keys_load(r->conf, &own->tls, err);

	r->own = own;
	own->secrets = keys_secrets_new();
	for (unsigned i = 0; rc == RC_OK && i < keys_count(own->tls); i++)
		log_msg(LOG_LEVEL_INFO, "key", "certificate %s: %s", r->conf->certificates[i].name, keys_kind(own->tls, i));
	for (size_t i = 0; rc == RC_OK && i < r->conf->smarthost_count; i++)
		rc = keys_secrets_add(own->secrets, r->conf->smarthosts[i].login, r->conf->smarthosts[i].password_file, err);
	if (rc == RC_OK)
		rc = keys_dkim_load(dir, keys_complain, &own->dkim, err);
	if (rc == RC_OK && keys_dkim_count(own->dkim))
		log_msg(LOG_LEVEL_INFO, "key", "DKIM: %zu", keys_dkim_count(own->dkim));
	free(dir);
	return rc;
}

const struct role_ops role_keys_ops = {
	.name = "keys",
	.open = keys_open,
	.peer = keys_peer,
};
