#include "loop/stream_internal.h"

#include <netinet/in.h>
#include <unistd.h>

static enum rc stream_bind(int fd, const struct sockaddr *from, socklen_t from_len, struct err *err)
{
	int on = 1;

	/* the port is chosen when the other end is known: as many connections from one address as there are other ends */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, from, from_len) == 0 ? RC_OK : err_errno(err, RC_IO, "own address for a connection");
}

enum rc stream_connect(struct loop *loop, const struct sockaddr *to, socklen_t to_len, const struct sockaddr *from, socklen_t from_len,
	const struct stream_ops *ops, void *owner, struct stream **out, struct err *err)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	struct stream *s;
	enum rc rc;

	if (fd < 0)
		return err_errno(err, RC_IO, "socket for a connection");
	if (from && (rc = stream_bind(fd, from, from_len, err)) != RC_OK) {
		(void)close(fd);
		return rc;
	}
	s = stream_new(loop, fd, ops, owner);
	stream_set_state(s, STREAM_CONNECTING);
	if (connect(fd, to, to_len) != 0 && errno != EINPROGRESS && errno != EINTR)
		stream_fail(s, stream_errno_words(errno)); /* the owner hears of it later, as of every failure */
	else
		(void)!stream_watch(s, &s->writable);
	*out = s;
	return RC_OK;
}

void stream_connected(struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		stream_fail(s, stream_errno_words(error));
		return;
	}
	s->busy = true;
	if (s->ops->on_connected)
		s->ops->on_connected(s->owner);
	s->busy = false;
	if (s->dead) {
		stream_release(s);
	} else if (s->state == STREAM_CONNECTING) { /* else it was closed */
		stream_set_state(s, s->tls_next ? STREAM_HANDSHAKE : STREAM_PLAIN);
		s->tls_next = false;
		stream_work(s);
	}
}
