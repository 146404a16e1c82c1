#include "role/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/attach.h"
#include "role/listener_rules.h"
#include "role/session_history.h"
#include "role/tls_memory.h"
#include "role/worker_abuse.h"

enum {
	WORKER_ACCEPTS_A_TURN = 64,    /* so that a flood of connections does not starve the sessions there are */
	WORKER_ACCEPT_PAUSE_MS = 100,  /* after EMFILE and the like */
	WORKER_SIGN_MS = 2000,         /* how long a handshake waits for the keys role */
	WORKER_FDS_SPARE = 256,
};

static bool worker_is_mine(const struct role *r, const struct conf_listener *l)
{
	return conf_listener_relays(l) == (r->id == ROLE_USER);
}

/* one signature: the only place where a worker waits for another role */
struct worker_signature {
	uint32_t ask;
	struct buf *out;
	bool ok;
};

static enum rc worker_on_signed(void *arg, const union msg_any *msg)
{
	struct worker_signature *sig = arg;

	if (msg->signed_.ask != sig->ask) /* an older one that came too late */
		return RC_AGAIN;
	sig->ok = msg->signed_.ok;
	if (sig->ok)
		buf_add(sig->out, msg->signed_.signature);
	return RC_OK;
}

static enum rc worker_sign(void *arg, unsigned key, enum key_scheme scheme, struct span input, struct buf *out)
{
	struct worker *w = arg;
	struct worker_signature sig = {.ask = ++w->next_ask, .out = out};
	struct msg_sign m = {.ask = sig.ask, .key = (uint16_t)key, .scheme = (uint8_t)scheme, .input = input};

	if (!w->keys)
		return RC_IO;
	if (chan_call(w->keys, MSG_SIGN, &m, MSG_SIGNED, WORKER_SIGN_MS, worker_on_signed, &sig) != RC_OK)
		return RC_IO;
	return sig.ok ? RC_OK : RC_DENIED;
}

static void worker_on_accept_again(void *arg, mono_ms now);

static void worker_on_names_lost(void *arg, const struct chan *c)
{
	log_msg(LOG_LEVEL_WARN, "role-lost", "dns");
	role_lost(arg, c);
}

enum rc worker_open(struct role *r, struct err *err)
{
	struct worker *w = mem_zalloc(sizeof(*w));
	enum rc rc = r->id == ROLE_USER ? tls_memory_wipe(err) : RC_OK; /* nobody tells an mx a password */

	if (rc == RC_OK)
		rc = attach_prepare(err);

	*w = (struct worker){.role = r, .loop = r->loop, .conf = r->conf};
	r->own = w;
	map_init(&w->questions);
	map_init(&w->by_id);
	map_init(&w->addresses);
	session_history_open(w);
	w->abuse = worker_abuse_new(w);
	if (conf_dns_wanted(r->conf)) {
		w->names = names_new(w->loop, r->id);
		names_on_lost(w->names, worker_on_names_lost, r);
	}
	loop_timer_init(w->loop, &w->accept_again, worker_on_accept_again, w);
	w->listeners = mem_array(r->conf->listener_count, sizeof(*w->listeners));
	for (size_t i = 0; i < r->conf->listener_count; i++) {
		struct worker_listener *l = &w->listeners[i];

		*l = (struct worker_listener){.worker = w, .conf = &r->conf->listeners[i], .fd = -1, .index = (unsigned)i};
		listener_smtp_rules(r->conf, l->conf, &l->smtp);
		listener_pop3_rules(r->conf, l->conf, &l->pop3);
	}
	return rc == RC_OK ? tls_server_new(r->conf, worker_sign, w, &w->tls, err) : rc;
}

static uint32_t worker_share(const struct worker *w, uint32_t total)
{
	uint32_t workers = w->role->id == ROLE_MX ? w->conf->workers_mx : w->conf->workers_user;

	return total ? (total + workers - 1) / workers : UINT32_MAX;
}

void worker_plan(struct role *r, struct sandbox_plan *plan)
{
	uint64_t fds = WORKER_FDS_SPARE;
	struct rlimit now;

	for (size_t i = 0; i < r->conf->listener_count; i++)
		if (worker_is_mine(r, &r->conf->listeners[i]))
			fds += worker_share(r->own, r->conf->listeners[i].connections_max);
	/* where the system allows fewer, accepting pauses when they are used up */
	if (getrlimit(RLIMIT_NOFILE, &now) == 0 && fds > now.rlim_max)
		fds = now.rlim_max;
	plan->fd_max = fds;
	plan->file_max_bytes = r->conf->message_max_bytes + LIMIT_HEADER_BYTES; /* lent spool files */
}

static void worker_on_gone(void *owner, struct chan *c, const char *why)
{
	struct worker *w = owner;
	enum role_id peer = chan_peer(c);

	log_msg(LOG_LEVEL_WARN, "role-lost", "%s: %s", role_name(peer), why);
	role_lost(w->role, c);
	if (c == w->store) {
		chan_free(&w->store);
		worker_questions_fail(w, ROLE_STORE);
		/* what the store knew of signed-in sessions is gone: they have to sign in again */
		for (struct session *s = w->sessions, *next; s; s = next) {
			next = s->next;
			if (!s->told_store)
				continue;
			s->ops->shutdown(s, CAUSE_SERVER_TEMP_ERROR);
			session_step(s);
		}
	} else if (c == w->auth) {
		chan_free(&w->auth);
		worker_questions_fail(w, ROLE_AUTH);
		session_auth_gone(w);
	} else if (c == w->keys) {
		chan_free(&w->keys);
	} else {
		chan_free(&c);
	}
}

void worker_peer(struct role *r, enum role_id peer, uint32_t number, int fd)
{
	static const struct chan_ops ops = {.on_frame = worker_on_frame, .on_gone = worker_on_gone};
	struct worker *w = r->own;
	struct chan **place = peer == ROLE_STORE ? &w->store : peer == ROLE_AUTH ? &w->auth : peer == ROLE_KEYS ? &w->keys : NULL;

	if (peer == ROLE_DNS && w->names) {
		names_peer(w->names, number, fd);
		return;
	}
	if (!place) {
		(void)close(fd);
		return;
	}
	if (*place) /* the new one is there before the old one's end was seen */
		worker_on_gone(w, *place, "replaced");
	*place = chan_new(w->loop, fd, r->id, peer, number, &ops, w);
	if (peer == ROLE_STORE)
		worker_abuse_load(w);
}

/* 64-bit key of an address; IPv6 by its /64, which one customer owns */
static uint64_t worker_address_key(const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;

	return a->ss_family == AF_INET6 ? map_hash(&v6->sin6_addr, 8) : map_hash(&v4->sin_addr, 4);
}

bool worker_is_full(const struct worker_listener *l)
{
	return l->connections >= worker_share(l->worker, l->conf->connections_max);
}

void worker_take(struct worker_listener *l, int fd, const struct sockaddr_storage *from)
{
	struct worker *w = l->worker;
	uint64_t key = worker_address_key(from);
	uintptr_t here = (uintptr_t)map_get(&w->addresses, key);
	enum cause_id refuse = CAUSE_NONE;
	char text[INET6_ADDRSTRLEN];
	int on = 1;

	if (from->ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, text, sizeof(text));
	else
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, text, sizeof(text));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (worker_is_full(l))
		refuse = CAUSE_TOO_MANY_CONNECTIONS;
	else if (here >= worker_share(w, l->conf->connections_per_address_max))
		refuse = CAUSE_TOO_MANY_CONNECTIONS_ADDRESS;
	w->refused = (struct cause_facts){0};
	if (refuse == CAUSE_NONE)
		refuse = worker_abuse_connection(w, span_str(text), loop_now(w->loop), &w->refused);
	(void)session_new(l, fd, text, key, refuse);
}

static void worker_on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct worker_listener *l = arg;
	struct worker *w = l->worker;

	(void)what;
	for (int i = 0; i < WORKER_ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t size = sizeof(from);
		int fd = accept4(listen_fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			if (!worker_proxy_take(l, fd, &from))
				worker_take(l, fd, &from);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_msg(LOG_LEVEL_ERROR, "accept-paused", "listener %s: %s", l->conf->name, strerror(errno));
			for (size_t k = 0; k < w->conf->listener_count; k++)
				if (w->listeners[k].open)
					(void)event_del(&w->listeners[k].accept);
			loop_timer_at(&w->accept_again, clock_mono_ms() + WORKER_ACCEPT_PAUSE_MS);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static void worker_on_accept_again(void *arg, mono_ms now)
{
	struct worker *w = arg;
	bool failed = false;

	(void)now;
	for (size_t i = 0; i < w->conf->listener_count; i++)
		if (w->listeners[i].open && w->started && !w->draining)
			failed |= event_add(&w->listeners[i].accept, NULL) != 0;
	if (failed)
		loop_timer_at(&w->accept_again, clock_mono_ms() + WORKER_ACCEPT_PAUSE_MS);
}

void worker_listen(struct role *r, unsigned listener, int fd)
{
	struct worker *w = r->own;
	struct worker_listener *l = listener < r->conf->listener_count ? &w->listeners[listener] : NULL;

	if (!l || l->open || !worker_is_mine(r, l->conf)) {
		(void)close(fd);
		return;
	}
	l->fd = fd;
	l->open = true;
	(void)event_assign(&l->accept, loop_base(w->loop), fd, EV_READ | EV_PERSIST, worker_on_accept, l);
}

void worker_start(struct role *r)
{
	struct worker *w = r->own;

	w->started = true;
	worker_on_accept_again(w, 0);
}

void worker_drain(struct role *r, bool now)
{
	struct worker *w = r->own;

	w->draining = true;
	w->drain_now |= now;
	worker_abuse_drain(w);
	worker_proxy_drop(w);
	for (size_t i = 0; i < w->conf->listener_count; i++) {
		struct worker_listener *l = &w->listeners[i];

		if (!l->open)
			continue;
		(void)event_del(&l->accept);
		(void)close(l->fd);
		l->open = false;
	}
	if (now)
		for (struct session *s = w->sessions, *next; s; s = next) {
			next = s->next;
			s->ops->shutdown(s, CAUSE_SERVER_SHUTTING_DOWN);
			session_step(s);
		}
	if (!w->session_count)
		role_done(r);
}

const struct role_ops role_mx_ops = {
	.name = "mx", .plan = worker_plan, .open = worker_open, .peer = worker_peer, .listen = worker_listen, .start = worker_start, .drain = worker_drain};
const struct role_ops role_user_ops = {
	.name = "user", .plan = worker_plan, .open = worker_open, .peer = worker_peer, .listen = worker_listen, .start = worker_start, .drain = worker_drain};
