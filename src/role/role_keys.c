/* The keys role: holds the private keys of TLS and signs what handshakes of the network roles need, nothing else. No files and no network behind its walls. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/keys_sign.h"
#include "role/role.h"

/* A core makes about 1,000 RSA signatures a second; a worker that asks for more than this is not doing handshakes. */
enum { KEYS_SIGN_PER_SECOND = 2000, KEYS_SIGN_BURST = 4000, KEYS_SIGNATURE_BYTES = 1024 };
/* A worker waits for each of its signatures, so it has one question under way, or a few after answers that came too late. More than this at once are not
 * handshakes, and the other workers' handshakes would wait behind them. */
enum { KEYS_SIGN_AT_ONCE = 8, KEYS_SAY_AGAIN_MS = 60000 };

struct keys_peer {
	struct role *role;
	struct chan *chan;
	uint64_t spent;   /* of KEYS_SIGN_BURST, in thousandths */
	mono_ms at;
	mono_ms turn;     /* of the loop, to which at_once belongs */
	unsigned at_once;
	mono_ms said;     /* in the log, that it asks for too much; 0: never */
};

static bool keys_peer_may(struct keys_peer *p, mono_ms turn, mono_ms now)
{
	uint64_t back = (now - p->at) * KEYS_SIGN_PER_SECOND;

	p->at_once = p->turn == turn ? p->at_once + 1 : 1;
	p->turn = turn;
	if (p->at_once > KEYS_SIGN_AT_ONCE)
		return false;
	p->spent = p->spent > back ? p->spent - back : 0;
	p->at = now;
	if (p->spent > (KEYS_SIGN_BURST - 1) * 1000)
		return false;
	p->spent += 1000;
	return true;
}

static enum rc keys_on_sign(struct keys_peer *p, const struct msg_sign *m)
{
	struct keys *keys = p->role->own;
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
	} else if (!p->said || now - p->said > KEYS_SAY_AGAIN_MS) {
		p->said = now;
		log_msg(LOG_LEVEL_WARN, "sign-rate", "%s worker %u asks for more than %d signatures a second, or %d at once", role_name(chan_peer(p->chan)),
			chan_peer_worker(p->chan), KEYS_SIGN_PER_SECOND, KEYS_SIGN_AT_ONCE);
	}
	chan_send(p->chan, MSG_SIGNED, &answer);
	buf_clear(&signature);
	return RC_OK;
}

static enum rc keys_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	(void)c;
	return type == MSG_SIGN ? keys_on_sign(owner, &msg->sign) : RC_BAD;
}

static void keys_gone(void *owner, struct chan *c, const char *why)
{
	struct keys_peer *p = owner;

	log_msg(LOG_LEVEL_INFO, "peer-gone", "%s worker %u: %s", role_name(chan_peer(c)), chan_peer_worker(c), why);
	chan_free(&p->chan);
	free(p);
}

static void keys_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = keys_frame, .on_gone = keys_gone};
	struct keys_peer *p;

	if (peer != ROLE_MX && peer != ROLE_USER) {
		(void)close(fd);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	*p = (struct keys_peer){.role = r, .at = clock_mono_ms()};
	p->chan = chan_new(r->loop, fd, ROLE_KEYS, peer, worker, &ops, p);
}

static enum rc keys_open(struct role *r, struct err *err)
{
	struct keys *keys = NULL;
	enum rc rc = keys_load(r->conf, &keys, err);

	r->own = keys;
	for (unsigned i = 0; rc == RC_OK && i < keys_count(keys); i++)
		log_msg(LOG_LEVEL_INFO, "key", "certificate %s: %s", r->conf->certificates[i].name, keys_kind(keys, i));
	return rc;
}

const struct role_ops role_keys_ops = {
	.name = "keys",
	.open = keys_open,
	.peer = keys_peer,
};
