#include "loop/stream_internal.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	STREAM_SCRATCH_BYTES = 64 << 10,
	STREAM_READ_FIRST_BYTES = 4 << 10, /* offered to one read; doubles while the owner takes all, so that what must be kept stays small */
	STREAM_TURN_BYTES = 256 << 10,     /* each way, before other connections get their turn */
	STREAM_PASSES = 8,
	STREAM_FIN_WAIT_MS = 1000,
};

struct stream_budget {
	size_t read, write;
};

/* one for all streams: bytes live here only during on_bytes */
static uint8_t stream_scratch[STREAM_SCRATCH_BYTES];
static bool stream_scratch_busy;

/* ---- birth, state, end */

void stream_set_state(struct stream *s, enum stream_state state)
{
	s->state = state;
	if (state == STREAM_DONE) {
		event_del(&s->readable);
		event_del(&s->writable);
		s->reading = false;
		loop_timer_clear(&s->timer);
		loop_soon(s->loop, &s->soon);
	}
}

void stream_fail(struct stream *s, const char *why)
{
	if (s->state == STREAM_DONE)
		return;
	s->tls_failed = s->state == STREAM_HANDSHAKE || (s->tls_next && s->state != STREAM_CONNECTING);
	s->tls_next = false;
	s->why = s->state == STREAM_FIN ? "closed" : why;
	stream_set_state(s, STREAM_DONE);
}

static void stream_drop_kept(struct stream *s)
{
	if (s->kept)
		explicit_bzero(s->kept, s->kept_len);
	free(s->kept);
	s->kept = NULL;
	s->kept_at = s->kept_len = 0;
	s->blocked = false;
}

void stream_release(struct stream *s)
{
	stream_drop_kept(s);
	SSL_free(s->ssl);
	close(s->fd);
	free(s);
}

void stream_free(struct stream **s)
{
	struct stream *old = *s;

	*s = NULL;
	if (!old || old->dead)
		return;
	event_del(&old->readable);
	event_del(&old->writable);
	loop_timer_clear(&old->timer);
	loop_hook_remove(old->loop, &old->soon);
	old->dead = true;
	if (!old->busy)
		stream_release(old);
}

/* the callbacks after which the owner may free: called by the loop only, so never inside a call that the owner made */
static void stream_on_soon(void *arg)
{
	struct stream *s = arg;

	if (s->state != STREAM_DONE) {
		stream_work(s);
		return;
	}
	if (s->told)
		return;
	s->busy = true;
	if (s->tls_failed) {
		s->tls_failed = false;
		loop_soon(s->loop, &s->soon);
		s->ops->on_tls(s->owner, false, s->why);
	} else {
		s->told = true;
		s->ops->on_closed(s->owner, s->why);
	}
	s->busy = false;
	if (s->dead)
		stream_release(s);
}

static void stream_on_timer(void *arg, mono_ms now)
{
	struct stream *s = arg;

	(void)now;
	stream_fail(s, "peer does not read");
}

/* ---- words */

const char *stream_errno_words(int error)
{
	const char *words = error ? strerrordesc_np(error) : NULL;

	return words ? words : "closed by peer";
}

/* ---- bytes in and out; RC_AGAIN: the socket cannot now; RC_IO: the stream has failed */

/* A connection that cannot be watched (the kernel has a limit for those, and memory ends, too) would hang until its client gives up. */
enum rc stream_watch(struct stream *s, struct event *ev)
{
	if (event_add(ev, NULL) == 0)
		return RC_AGAIN;
	stream_fail(s, "the system cannot watch one more connection");
	return RC_IO;
}

static enum rc stream_recv(struct stream *s, size_t room, size_t *n_out)
{
	ssize_t n;

	if (s->state == STREAM_TLS) {
		int got;

		ERR_clear_error();
		errno = 0;
		got = SSL_read(s->ssl, stream_scratch, (int)room);
		if (got <= 0)
			return stream_ssl_result(s, got, errno);
		s->can_read = SSL_has_pending(s->ssl); /* else libevent says when there is more */
		*n_out = (size_t)got;
		return RC_OK;
	}
	do
		n = recv(s->fd, stream_scratch, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	s->can_read = n == (ssize_t)room;
	if (n > 0) {
		*n_out = (size_t)n;
		return RC_OK;
	}
	if (n < 0 && errno == EAGAIN)
		return RC_AGAIN;
	stream_fail(s, stream_errno_words(n == 0 ? 0 : errno));
	return RC_IO;
}

static enum rc stream_send(struct stream *s, struct span bytes, size_t *n_out)
{
	ssize_t n;

	bytes = span_head(bytes, STREAM_TURN_BYTES);
	if (s->state == STREAM_TLS) {
		int put;

		ERR_clear_error();
		errno = 0;
		put = SSL_write(s->ssl, bytes.ptr, (int)bytes.len);
		if (put <= 0)
			return stream_ssl_result(s, put, errno);
		*n_out = (size_t)put;
		return RC_OK;
	}
	do
		n = send(s->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		*n_out = (size_t)n;
		return RC_OK;
	}
	if (errno == EAGAIN) {
		s->can_write = false;
		return stream_watch(s, &s->writable);
	}
	stream_fail(s, stream_errno_words(errno));
	return RC_IO;
}

/* ---- one pass: handshake, write, read, in this order; each step says whether the pass goes on */

static bool stream_handshake(struct stream *s)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(s->ssl);
	if (s->dead)
		return false;
	if (rc != 1) {
		(void)!stream_ssl_result(s, rc, errno);
		return false;
	}
	stream_set_state(s, STREAM_TLS);
	s->can_read = true; /* the first command may have come with the last handshake record */
	s->ops->on_tls(s->owner, true, "");
	return !stream_over(s);
}

/* RC_OK: out() is empty; RC_AGAIN: not yet; RC_IO: over */
static enum rc stream_write(struct stream *s, struct stream_budget *left)
{
	enum rc rc;
	size_t n = 0;

	for (;;) {
		struct span bytes = s->ops->out(s->owner);

		if (stream_over(s))
			return RC_IO;
		if (bytes.len == 0)
			return RC_OK;
		if (!s->can_write)
			return RC_AGAIN;
		if (left->write == 0) {
			loop_soon(s->loop, &s->soon);
			return RC_AGAIN;
		}
		rc = stream_send(s, bytes, &n);
		if (rc)
			return rc;
		left->write -= n < left->write ? n : left->write;
		/* Bytes that were answered are commands, and cost more than those of a message: a first read full of them is a turn */
		s->read_bytes = STREAM_READ_FIRST_BYTES;
		if (left->read < STREAM_TURN_BYTES)
			left->read = 0;
		s->blocked = false;
		s->ops->on_sent(s->owner, n);
		if (stream_over(s))
			return RC_IO;
	}
}

static void stream_keep(struct stream *s, struct span rest)
{
	if (s->kept) {
		s->kept_at = s->kept_len - (uint32_t)rest.len;
	} else {
		s->kept = mem_alloc(rest.len);
		memcpy(s->kept, rest.ptr, rest.len);
		s->kept_at = 0;
		s->kept_len = (uint32_t)rest.len;
	}
	s->blocked = true;
	s->read_bytes = STREAM_READ_FIRST_BYTES;
}

static bool stream_offer(struct stream *s, struct span bytes)
{
	size_t n;

	s->in_bytes = true;
	n = s->ops->on_bytes(s->owner, bytes);
	s->in_bytes = false;
	if (stream_over(s))
		return false;
	if (n >= bytes.len || s->closing) {
		stream_drop_kept(s);
	} else if (s->tls_next) {
		stream_fail(s, STREAM_WHY_INJECTION);
		return false;
	} else {
		stream_keep(s, span_from(bytes, n));
	}
	return true;
}

/* false: nothing to take now, or the stream is over */
static bool stream_take(struct stream *s, struct stream_budget *left)
{
	size_t n = 0;
	bool more;

	if (s->kept)
		return !s->blocked && stream_offer(s, span_of(s->kept + s->kept_at, s->kept_len - s->kept_at));
	if (!s->can_read)
		return false;
	if (stream_scratch_busy || left->read == 0) {
		loop_soon(s->loop, &s->soon);
		return false;
	}
	if (stream_recv(s, s->read_bytes, &n))
		return false;
	left->read -= n < left->read ? n : left->read;
	if (s->state == STREAM_FIN)
		return true;
	if (n == s->read_bytes && s->read_bytes < STREAM_SCRATCH_BYTES)
		s->read_bytes *= 2;
	stream_scratch_busy = true;
	more = stream_offer(s, span_of(stream_scratch, n));
	explicit_bzero(stream_scratch, n); /* somebody may have said a password */
	stream_scratch_busy = false;
	return more;
}

static void stream_fin(struct stream *s)
{
	if (s->state == STREAM_TLS) {
		ERR_clear_error();
		(void)SSL_shutdown(s->ssl); /* close_notify, as far as it fits; the peer's is not waited for */
	}
	(void)shutdown(s->fd, SHUT_WR);
	stream_drop_kept(s);
	s->can_read = true;
	stream_set_state(s, STREAM_FIN);
	loop_timer_at(&s->timer, loop_now(s->loop) + STREAM_FIN_WAIT_MS);
}

static void stream_pass(struct stream *s, struct stream_budget *left)
{
	bool more = true;

	while (more && !stream_over(s)) {
		enum rc rc = RC_OK;

		if (s->state == STREAM_HANDSHAKE && !stream_handshake(s))
			return;
		if (s->state != STREAM_FIN)
			rc = stream_write(s, left);
		if (rc == RC_IO)
			return;
		if (rc == RC_OK && s->closing && s->state != STREAM_FIN) {
			stream_fin(s);
		} else if (rc == RC_OK && s->tls_next) {
			s->tls_next = false;
			stream_set_state(s, STREAM_HANDSHAKE);
		} else {
			more = !s->tls_next && (!s->closing || s->state == STREAM_FIN) && stream_take(s, left);
		}
	}
}

static bool stream_wants_bytes(const struct stream *s)
{
	return !stream_over(s) && s->state != STREAM_NEW && !s->kept && !s->tls_next && (!s->closing || s->state == STREAM_FIN);
}

void stream_work(struct stream *s)
{
	struct stream_budget left = {STREAM_TURN_BYTES, STREAM_TURN_BYTES};
	int passes = STREAM_PASSES;

	if (s->busy) {
		s->again = true;
		return;
	}
	loop_hook_remove(s->loop, &s->soon); /* this is it */
	s->busy = true;
	do {
		s->again = false;
		stream_pass(s, &left);
	} while (s->again && !stream_over(s) && --passes > 0);
	s->busy = false;
	if (s->dead) {
		stream_release(s);
		return;
	}
	if (s->again && !stream_over(s))
		loop_soon(s->loop, &s->soon);
	if (!s->reading && stream_wants_bytes(s)) {
		s->reading = true;
		(void)!stream_watch(s, &s->readable);
	}
}

static void stream_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	if (!stream_wants_bytes(s)) { /* paused: taken off only now, as most pauses end before the peer says more */
		s->reading = false;
		event_del(&s->readable);
		return;
	}
	s->can_read = true;
	if (s->ssl)
		s->can_write = true; /* a write may have waited for a read */
	stream_work(s);
}

static void stream_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	event_del(&s->writable);
	if (s->state == STREAM_CONNECTING) {
		stream_connected(s);
		return;
	}
	s->can_write = true;
	if (s->ssl)
		s->can_read = true;
	stream_work(s);
}

/* ---- what the owner calls */

struct stream *stream_new(struct loop *loop, int fd, const struct stream_ops *ops, void *owner)
{
	struct stream *s = mem_zalloc(sizeof(*s));
	int on = 1;

	*s = (struct stream){.loop = loop, .ops = ops, .owner = owner, .fd = fd, .state = STREAM_NEW, .can_write = true, .why = "closed"};
	s->read_bytes = STREAM_READ_FIRST_BYTES;
	s->soon = (struct loop_hook){.fn = stream_on_soon, .arg = s, .once = true};
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* replies are whole when they are written */
	event_assign(&s->readable, loop_base(loop), fd, EV_READ | EV_PERSIST, stream_on_readable, s);
	event_assign(&s->writable, loop_base(loop), fd, EV_WRITE | EV_PERSIST, stream_on_writable, s);
	loop_timer_init(loop, &s->timer, stream_on_timer, s);
	return s;
}

void stream_start(struct stream *s)
{
	if (s->state != STREAM_NEW)
		return;
	stream_set_state(s, s->tls_next ? STREAM_HANDSHAKE : STREAM_PLAIN);
	s->tls_next = false;
	stream_work(s);
}

void stream_kick(struct stream *s)
{
	if (s->in_bytes || s->state == STREAM_NEW || s->state == STREAM_CONNECTING || stream_over(s))
		return; /* after on_bytes, what out() has is written anyway */
	s->blocked = false;
	stream_work(s);
}

void stream_close(struct stream *s, uint64_t linger_ms)
{
	if (s->dead || s->closing)
		return;
	s->closing = true;
	s->tls_next = false;
	if (s->state == STREAM_DONE)
		return; /* on_closed comes by itself */
	if (s->state == STREAM_NEW || s->state == STREAM_CONNECTING || s->state == STREAM_HANDSHAKE) {
		stream_fail(s, "closed");
		s->tls_failed = false;
		return;
	}
	loop_timer_at(&s->timer, loop_now(s->loop) + linger_ms);
	stream_work(s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}
