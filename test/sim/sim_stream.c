/* stream.h over simulated connections: what one side writes reaches the other in pieces cut anywhere, later, in order; connections are reset, half
 * closed or left without a word; readers may be slow. The passes are those of loop/stream.c without TLS. */
#include <stdlib.h>

#include "base/mem.h"
#include "loop/stream.h"
#include "sim.h"

enum { SIM_READ_BYTES = 4096, SIM_PASSES = 8, SIM_FIN_WAIT_MS = 1000, SIM_RETRY_US = 50 * SIM_MS, SIM_CONNECT_TRIES = 200 };

struct sim_piece {
	struct sim_piece *next;
	uint64_t at_us;
	size_t len; /* 0: FIN */
	size_t at;
	uint8_t bytes[];
};

/* one direction */
struct sim_way {
	struct sim_piece *first, **tail;
	uint64_t last_us;
	size_t bytes; /* written and not yet read */
	bool fin;     /* sent */
};

struct sim_conn {
	struct sim_conn *next;
	enum role_id role;
	unsigned listener, number, tries;
	char peer[48];
	uint64_t key;
	const struct sim_client_ops *ops;
	void *arg;
	struct sim_proc *proc;   /* NULL: in the backlog */
	struct stream *stream;   /* the server's side; NULL: not yet, or gone */
	struct sim_ready arrive;
	struct sim_way up, down; /* up: from the client */
	size_t window;           /* bytes that fit between the server and a client that does not read */
	uint64_t slow_us;        /* the client reads so much later */
	unsigned grain;          /* 0: whole, 1: pieces of any size, 2: byte by byte at times */
	bool client_gone, reset;
};

enum stream_state { STREAM_NEW, STREAM_PLAIN, STREAM_FIN, STREAM_DONE };

struct stream {
	struct stream *next, **prev; /* of the process */
	struct loop *loop;
	const struct stream_ops *ops;
	void *owner;
	struct sim_conn *conn;
	enum stream_state state;
	const char *why;
	uint8_t *kept;
	size_t kept_at, kept_len;
	bool busy, again, dead, in_bytes, blocked, closing, told;
	struct loop_timer timer;
	struct loop_hook soon;
	struct sim_ready ready;
};

enum { SIM_CONN_FD = 1 << 25 };

static void stream_work(struct stream *s);

/* ---- ways */

static void sim_way_clear(struct sim_way *w)
{
	for (struct sim_piece *p = w->first, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	w->first = NULL;
	w->tail = &w->first;
	w->bytes = 0;
}

static uint64_t sim_way_delay(void)
{
	uint64_t at = sim.now_us + 1 + sim_below(sim.healed ? SIM_MS : sim.plan.net_delay_us);

	return at < sim.net_dark_until_us ? sim.net_dark_until_us + sim_below(SIM_SECOND) : at;
}

static void sim_way_put(struct sim_way *w, struct span bytes, uint64_t more_us, void (*wake)(void *arg), void *arg)
{
	struct sim_piece *p = mem_alloc(sizeof(*p) + bytes.len);
	uint64_t at = sim_way_delay() + more_us;

	*p = (struct sim_piece){.at_us = at > w->last_us ? at : w->last_us, .len = bytes.len};
	if (bytes.len)
		memcpy(p->bytes, bytes.ptr, bytes.len);
	else
		w->fin = true;
	w->last_us = p->at_us;
	w->bytes += p->len;
	*w->tail = p;
	w->tail = &p->next;
	sim_at(p->at_us, wake, arg);
}

static void sim_way_pop(struct sim_way *w)
{
	struct sim_piece *p = w->first;

	w->first = p->next;
	if (!w->first)
		w->tail = &w->first;
	free(p);
}

static size_t sim_grain(const struct sim_conn *c, size_t len)
{
	if (c->grain == 0 || len <= 1 || sim.healed)
		return len;
	if (c->grain == 2 && len < 400)
		return 1;
	return 1 + sim_below(len);
}

/* ---- the server's side of a connection */

static void sim_conn_wake_server(void *arg)
{
	struct sim_conn *c = arg;

	if (c->stream)
		sim_ready(&c->stream->ready);
}

static void stream_set_done(struct stream *s, const char *why)
{
	if (s->state == STREAM_DONE)
		return;
	s->why = why;
	s->state = STREAM_DONE;
	loop_timer_clear(&s->timer);
	loop_soon(s->loop, &s->soon);
}

static bool stream_over(const struct stream *s)
{
	return s->dead || s->state == STREAM_DONE;
}

static void stream_release(struct stream *s)
{
	free(s->kept);
	free(s);
}

static void sim_conn_wake_client(void *arg);

/* the server's side is gone; in a real system what it had written still arrives, unless there was something it had not read */
static void sim_conn_server_gone(struct sim_conn *c, bool orderly)
{
	c->stream = NULL;
	if (c->client_gone || c->reset)
		return;
	if (!orderly && (c->up.bytes > 0 || sim_chance(500))) {
		sim_way_clear(&c->down);
		c->reset = true;
		sim_at(sim_way_delay(), sim_conn_wake_client, c);
	} else if (!c->down.fin) {
		sim_way_put(&c->down, SPAN_NONE, 0, sim_conn_wake_client, c);
	}
}

void stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	if (!s || s->dead)
		return;
	loop_timer_clear(&s->timer);
	loop_hook_remove(s->loop, &s->soon);
	sim_ready_drop(&s->ready);
	s->dead = true;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	sim_conn_server_gone(s->conn, s->closing && s->conn->down.fin);
	if (!s->busy)
		stream_release(s);
}

static void stream_on_soon(void *arg)
{
	struct stream *s = arg;

	if (s->state != STREAM_DONE) {
		stream_work(s);
		return;
	}
	if (s->told)
		return;
	s->busy = s->told = true;
	s->ops->on_closed(s->owner, s->why);
	s->busy = false;
	if (s->dead)
		stream_release(s);
}

static void stream_on_timer(void *arg, mono_ms now)
{
	(void)now;
	stream_set_done(arg, "peer does not read");
}

static bool stream_write(struct stream *s)
{
	struct sim_conn *c = s->conn;

	for (;;) {
		struct span bytes = s->ops->out(s->owner);
		size_t n;

		if (stream_over(s) || bytes.len == 0)
			return bytes.len == 0;
		if (c->reset) {
			stream_set_done(s, "Broken pipe");
			return false;
		}
		if (c->down.bytes >= c->window)
			return false;
		n = c->window - c->down.bytes;
		n = sim_grain(c, bytes.len < n ? bytes.len : n);
		sim_way_put(&c->down, span_head(bytes, n), c->slow_us, sim_conn_wake_client, c);
		s->blocked = false;
		s->ops->on_sent(s->owner, n);
	}
}

static void stream_keep(struct stream *s, struct span rest)
{
	uint8_t *kept = mem_alloc(rest.len);

	memcpy(kept, rest.ptr, rest.len);
	free(s->kept);
	s->kept = kept;
	s->kept_at = 0;
	s->kept_len = rest.len;
	s->blocked = true;
}

static bool stream_offer(struct stream *s, struct span bytes)
{
	size_t n;

	s->in_bytes = true;
	n = s->ops->on_bytes(s->owner, bytes);
	s->in_bytes = false;
	if (stream_over(s))
		return false;
	if (n > bytes.len)
		sim_fail("a session took %zu of %zu bytes", n, bytes.len);
	if (n >= bytes.len || s->closing) {
		free(s->kept);
		s->kept = NULL;
	} else {
		stream_keep(s, span_from(bytes, n));
	}
	return true;
}

/* false: nothing to take now, or the stream is over */
static bool stream_take(struct stream *s)
{
	struct sim_conn *c = s->conn;
	uint8_t bytes[SIM_READ_BYTES];
	size_t n = 0;

	if (s->kept)
		return !s->blocked && stream_offer(s, span_of(s->kept + s->kept_at, s->kept_len - s->kept_at));
	if (c->reset) {
		stream_set_done(s, "Connection reset by peer");
		return false;
	}
	while (n < sizeof(bytes) && c->up.first && c->up.first->at_us <= sim.now_us) {
		struct sim_piece *p = c->up.first;
		size_t part = p->len - p->at < sizeof(bytes) - n ? p->len - p->at : sizeof(bytes) - n;

		if (p->len == 0) {
			if (n == 0)
				stream_set_done(s, "closed by peer");
			break;
		}
		memcpy(bytes + n, p->bytes + p->at, part);
		n += part;
		p->at += part;
		c->up.bytes -= part;
		if (p->at == p->len)
			sim_way_pop(&c->up);
	}
	if (n == 0)
		return false;
	return s->state == STREAM_FIN || stream_offer(s, span_of(bytes, n));
}

static void stream_pass(struct stream *s)
{
	bool more = true;

	while (more && !stream_over(s)) {
		bool written = s->state == STREAM_FIN || stream_write(s);

		if (stream_over(s))
			return;
		if (written && s->closing && s->state != STREAM_FIN) {
			sim_way_put(&s->conn->down, SPAN_NONE, 0, sim_conn_wake_client, s->conn);
			free(s->kept);
			s->kept = NULL;
			s->state = STREAM_FIN;
			loop_timer_at(&s->timer, loop_now(s->loop) + SIM_FIN_WAIT_MS);
		} else {
			more = (!s->closing || s->state == STREAM_FIN) && stream_take(s);
		}
	}
}

static void stream_work(struct stream *s)
{
	int passes = SIM_PASSES;

	if (s->busy) {
		s->again = true;
		return;
	}
	loop_hook_remove(s->loop, &s->soon);
	s->busy = true;
	do {
		s->again = false;
		stream_pass(s);
	} while (s->again && !stream_over(s) && --passes > 0);
	s->busy = false;
	if (s->dead)
		stream_release(s);
	else if (s->again && !stream_over(s))
		loop_soon(s->loop, &s->soon);
}

static void stream_on_ready(void *arg)
{
	struct stream *s = arg;

	if (s->state != STREAM_NEW && s->state != STREAM_DONE)
		stream_work(s);
}

struct stream *stream_new(struct loop *loop, int fd, const struct stream_ops *ops, void *owner)
{
	struct stream *s = mem_zalloc(sizeof(*s));
	struct sim_conn *c = sim.conns;

	while (c->number != (unsigned)(fd - SIM_CONN_FD))
		c = c->next;
	*s = (struct stream){.loop = loop, .ops = ops, .owner = owner, .conn = c, .why = "closed"};
	s->soon = (struct loop_hook){.fn = stream_on_soon, .arg = s, .once = true};
	s->ready = (struct sim_ready){.fn = stream_on_ready, .arg = s, .loop = loop};
	loop_timer_init(loop, &s->timer, stream_on_timer, s);
	c->stream = s;
	s->next = loop->proc->streams;
	s->prev = &loop->proc->streams;
	if (s->next)
		s->next->prev = &s->next;
	loop->proc->streams = s;
	return s;
}

void stream_start(struct stream *s)
{
	if (s->state != STREAM_NEW)
		return;
	s->state = STREAM_PLAIN;
	stream_work(s);
}

void stream_kick(struct stream *s)
{
	if (s->in_bytes || s->state == STREAM_NEW || stream_over(s))
		return;
	s->blocked = false;
	stream_work(s);
}

enum rc stream_tls(struct stream *s, SSL_CTX *ctx)
{
	(void)s, (void)ctx;
	return RC_DENIED;
}

/* no role of the simulation goes out yet */
enum rc stream_connect(struct loop *loop, const struct sockaddr *to, socklen_t to_len, const struct sockaddr *from, socklen_t from_len,
	const struct stream_ops *ops, void *owner, struct stream **out, struct err *err)
{
	(void)loop, (void)to, (void)to_len, (void)from, (void)from_len, (void)ops, (void)owner, (void)out;
	return err_set(err, RC_DENIED, "no connections from here");
}

enum rc stream_tls_client(struct stream *s, SSL *ssl)
{
	(void)s;
	SSL_free(ssl);
	return RC_DENIED;
}

void stream_close(struct stream *s, uint64_t linger_ms)
{
	if (s->dead || s->closing)
		return;
	s->closing = true;
	if (s->state == STREAM_DONE)
		return;
	if (s->state == STREAM_NEW) {
		stream_set_done(s, "closed");
		return;
	}
	loop_timer_at(&s->timer, loop_now(s->loop) + linger_ms);
	stream_work(s);
}

int stream_fd(const struct stream *s)
{
	(void)s;
	return -1; /* no listener of the simulation relays by address */
}

bool stream_is_tls(const struct stream *s)
{
	(void)s;
	return false;
}

SSL *stream_ssl(const struct stream *s)
{
	(void)s;
	return NULL;
}

const char *stream_tls_version(const struct stream *s)
{
	(void)s;
	return "";
}

const char *stream_tls_cipher(const struct stream *s)
{
	(void)s;
	return "";
}

/* the process is dead: its own code frees its sessions, and nothing of what that says leaves */
void sim_stream_kill(struct sim_proc *p)
{
	while (p->streams) {
		struct stream *s = p->streams;

		s->conn->reset |= sim_chance(500);
		s->state = STREAM_DONE;
		s->told = s->busy = true;
		s->ops->on_closed(s->owner, "killed");
		if (p->streams == s) {
			sim_fail("%s: a session did not end when its connection did", p->name);
			return;
		}
		stream_release(s);
	}
}

/* ---- the client's side */

static void sim_conn_tell_client(struct sim_conn *c, bool reset)
{
	c->client_gone = true;
	sim_way_clear(&c->down);
	c->ops->on_closed(c->arg, reset);
}

static void sim_conn_wake_client(void *arg)
{
	struct sim_conn *c = arg;

	while (!c->client_gone && c->down.first && c->down.first->at_us <= sim.now_us) {
		struct sim_piece *p = c->down.first;

		if (p->len == 0) {
			sim_conn_tell_client(c, false);
			if (c->stream && !c->up.fin)
				sim_way_put(&c->up, SPAN_NONE, 0, sim_conn_wake_server, c);
			return;
		}
		c->down.bytes -= p->len;
		c->down.first = p->next;
		if (!c->down.first)
			c->down.tail = &c->down.first;
		c->ops->on_bytes(c->arg, span_of(p->bytes, p->len));
		free(p);
		sim_conn_wake_server(c); /* there is room again */
	}
	if (!c->client_gone && c->reset && !c->down.first)
		sim_conn_tell_client(c, true);
}

static void sim_conn_arrived(void *arg)
{
	struct sim_conn *c = arg;
	struct worker *w = c->proc->role.own;

	if (c->reset || c->client_gone)
		return;
	(void)session_new(&w->listeners[c->listener], SIM_CONN_FD + (int)c->number, c->peer, c->key,
		!sim.healed && sim_chance(5) ? CAUSE_TOO_MANY_CONNECTIONS : CAUSE_NONE);
}

/* the listening socket is the parent's: a connection waits in it until some worker takes it */
static void sim_conn_knock(void *arg)
{
	struct sim_conn *c = arg;

	if (c->client_gone || c->reset || (c->proc && (c->stream || c->proc->alive)))
		return;
	c->proc = sim_proc_serving(c->role);
	if (!c->proc && ++c->tries > SIM_CONNECT_TRIES) {
		sim_conn_tell_client(c, true);
		return;
	}
	if (c->proc) {
		c->arrive = (struct sim_ready){.fn = sim_conn_arrived, .arg = c, .loop = &c->proc->loop};
		sim_ready(&c->arrive);
	}
	sim_at(sim.now_us + SIM_RETRY_US, sim_conn_knock, c);
}

static void sim_conn_on_reset(void *arg)
{
	struct sim_conn *c = arg;

	if (c->client_gone || c->reset || sim.healed)
		return;
	sim_trace("connection %u is reset", c->number);
	c->reset = true;
	sim_way_clear(&c->up);
	sim_way_clear(&c->down);
	sim_conn_wake_server(c);
	sim_conn_wake_client(c);
}

static void sim_conn_on_half(void *arg)
{
	struct sim_conn *c = arg;

	if (!sim.healed)
		sim_conn_shutdown(c);
}

struct sim_conn *sim_connect(enum role_id role, unsigned listener, const char *peer, uint64_t key, const struct sim_client_ops *ops, void *arg)
{
	struct sim_conn *c = sim_zalloc(sizeof(*c));

	*c = (struct sim_conn){.role = role, .listener = listener, .key = key, .ops = ops, .arg = arg, .next = sim.conns,
		.number = sim.conns ? sim.conns->number + 1 : 1, .window = 256 + sim_below(64 << 10), .grain = (unsigned)sim_below(3)};
	(void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
	c->up.tail = &c->up.first;
	c->down.tail = &c->down.first;
	sim.conns = c;
	if (!sim.healed) {
		if (sim_chance(sim.plan.slow_reader))
			c->slow_us = sim_below((uint64_t)3 * SIM_SECOND);
		if (sim_chance(sim.plan.reset))
			sim_at(sim.now_us + sim_below(sim_chance(500) ? 200 * SIM_MS : 5 * SIM_SECOND), sim_conn_on_reset, c);
		if (sim_chance(sim.plan.half_close))
			sim_at(sim.now_us + sim_below(sim_chance(500) ? 200 * SIM_MS : 5 * SIM_SECOND), sim_conn_on_half, c);
	}
	sim_at(sim_way_delay(), sim_conn_knock, c);
	return c;
}

bool sim_conn_open(const struct sim_conn *c)
{
	return c && !c->client_gone && !c->up.fin;
}

void sim_conn_send(struct sim_conn *c, struct span bytes)
{
	while (bytes.len && !c->client_gone && !c->reset && !c->up.fin) {
		size_t n = sim_grain(c, bytes.len);

		sim_way_put(&c->up, span_head(bytes, n), 0, sim_conn_wake_server, c);
		bytes = span_from(bytes, n);
	}
}

void sim_conn_shutdown(struct sim_conn *c)
{
	if (!c->client_gone && !c->reset && !c->up.fin)
		sim_way_put(&c->up, SPAN_NONE, 0, sim_conn_wake_server, c);
}

void sim_conn_reset(struct sim_conn *c)
{
	c->client_gone = c->reset = true;
	sim_way_clear(&c->up);
	sim_way_clear(&c->down);
	sim_at(sim_way_delay(), sim_conn_wake_server, c);
}

void sim_conn_vanish(struct sim_conn *c)
{
	c->client_gone = true;
	sim_way_clear(&c->down);
}

void sim_stream_end(void)
{
	for (struct sim_conn *c = sim.conns; c; c = c->next) {
		sim_way_clear(&c->up);
		sim_way_clear(&c->down);
	}
}
