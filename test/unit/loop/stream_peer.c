#include "stream_peer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void end_free_if(struct end *e, enum free_at at)
{
	if (e->free_at == at)
		stream_free(&e->stream);
}

static size_t on_bytes(void *owner, struct span bytes)
{
	struct end *e = owner;
	size_t n = bytes.len < e->take_max ? bytes.len : e->take_max;

	assert_true(bytes.len > 0);
	assert_int_equal(e->closed, 0);
	e->bytes_calls++;
	buf_add(&e->got, span_head(bytes, n));
	e->bytes_in_turn += n;
	if (e->echo)
		buf_add(&e->out, span_head(bytes, n));
	if (e->on_bytes)
		e->on_bytes(e, bytes);
	if (e->stream && e->kick_in_bytes)
		stream_kick(e->stream);
	if (e->stream && e->close_in_bytes_ms)
		stream_close(e->stream, e->close_in_bytes_ms);
	end_free_if(e, FREE_IN_BYTES);
	return n;
}

static struct span on_out(void *owner)
{
	struct end *e = owner;

	if (e->free_at == FREE_IN_OUT && e->bytes_calls > 0)
		stream_free(&e->stream);
	return span_from(buf_span(&e->out), e->out_at);
}

static void on_sent(void *owner, size_t n)
{
	struct end *e = owner;

	assert_true(n > 0 && e->out_at + n <= e->out.len);
	e->out_at += n;
	if (e->kick_in_sent)
		stream_kick(e->stream);
	end_free_if(e, FREE_IN_SENT);
}

static void on_tls(void *owner, bool ok, const char *why)
{
	struct end *e = owner;

	e->tls_ok += ok;
	e->tls_failed += !ok;
	(void)snprintf(e->tls_why, sizeof(e->tls_why), "%s", why);
	end_free_if(e, FREE_IN_TLS);
}

static void on_closed(void *owner, const char *why)
{
	struct end *e = owner;

	e->closed++;
	(void)snprintf(e->why, sizeof(e->why), "%s", why);
	end_free_if(e, FREE_IN_CLOSED);
}

static void on_connected(void *owner)
{
	struct end *e = owner;

	e->connected++;
	if (e->on_connected)
		e->on_connected(e);
	end_free_if(e, FREE_IN_CONNECTED);
}

static const struct stream_ops end_ops = {on_bytes, on_out, on_sent, on_tls, on_closed, on_connected};

static void tcp_pair(int fds[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&at, sizeof(at)), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	close(listener);
}

void end_open(struct end *e, struct loop *l, bool tcp)
{
	int fds[2];

	if (tcp)
		tcp_pair(fds);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*e = (struct end){.loop = l, .fd = fds[1], .take_max = SIZE_MAX};
	(void)fcntl(e->fd, F_SETFL, O_NONBLOCK);
	buf_init(&e->got, 1 << 28);
	buf_init(&e->out, 1 << 28);
	e->stream = stream_new(l, fds[0], &end_ops, e);
}

void end_connect(struct end *e, struct loop *l, bool listening, const char *from)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, own = {.sin_family = AF_INET}, peer;
	socklen_t len = sizeof(at), peer_len = sizeof(peer);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*e = (struct end){.loop = l, .fd = -1, .take_max = SIZE_MAX};
	buf_init(&e->got, 1 << 28);
	buf_init(&e->out, 1 << 28);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	if (listening)
		assert_int_equal(listen(listener, 1), 0);
	if (from)
		assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
	assert_int_equal(stream_connect(l, (struct sockaddr *)&at, len, from ? (struct sockaddr *)&own : NULL, sizeof(own), &end_ops, e, &e->stream, NULL), RC_OK);
	if (listening) {
		e->fd = accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		assert_true(e->fd >= 0);
		if (from)
			assert_int_equal(peer.sin_addr.s_addr, own.sin_addr.s_addr);
	}
	close(listener);
}

void end_close(struct end *e)
{
	stream_free(&e->stream);
	stream_free(&e->stream);
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	buf_clear(&e->got);
	buf_clear(&e->out);
}

static void on_turn_end(void *arg)
{
	struct end *e = arg;

	if (e->bytes_in_turn > e->bytes_in_turn_max)
		e->bytes_in_turn_max = e->bytes_in_turn;
	e->bytes_in_turn = 0;
	e->turns++;
}

static void on_step(void *arg)
{
	struct end *e = arg;

	if (e->step(e)) {
		e->done = true;
		loop_stop(e->loop, 0);
		return;
	}
	loop_soon(e->loop, &e->stepper);
}

static void on_too_long(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(arg, 1);
}

void end_run(struct end *e, bool (*step)(struct end *e))
{
	struct loop_timer limit;

	e->step = step;
	e->done = false;
	e->turns = 0;
	e->bytes_in_turn_max = 0;
	e->stepper = (struct loop_hook){.fn = on_step, .arg = e};
	e->turn_end = (struct loop_hook){.fn = on_turn_end, .arg = e};
	loop_timer_init(e->loop, &limit, on_too_long, e->loop);
	loop_timer_at(&limit, loop_now_refresh(e->loop) + 20000);
	loop_hook_add(e->loop, LOOP_LOG, &e->turn_end);
	loop_soon(e->loop, &e->stepper);
	if (loop_run(e->loop) != 0 || !e->done)
		fail_msg("not done in 20 s: got %zu bytes, sent %zu of %zu, closed %u (%s)", e->got.len, e->out_at, e->out.len, e->closed, e->why);
	loop_timer_clear(&limit);
	loop_hook_remove(e->loop, &e->turn_end);
	loop_hook_remove(e->loop, &e->stepper);
}

void end_say(struct end *e, struct span bytes)
{
	buf_add(&e->out, bytes);
	stream_kick(e->stream);
}

void pattern_add(struct buf *b, size_t len)
{
	uint32_t x = 12345;
	uint8_t *to = buf_reserve(b, len);

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		to[i] = (uint8_t)(x >> 24);
	}
	b->len += len;
}

int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}
