#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "role/parent.h"

enum { LISTEN_BACKLOG = 4096 };

static socklen_t listen_sockaddr(const char *address, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	return 0;
}

static enum rc listen_one(const struct conf_listener *l, int *fd_out, struct err *err)
{
	struct sockaddr_storage where;
	socklen_t size = listen_sockaddr(l->address, l->port, &where);
	int on = 1, fd;

	if (!size)
		return err_set(err, RC_BAD, "listener \"%s\": \"%s\" is not an IP address", l->name, l->address);
	fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, RC_IO, "listener \"%s\": socket", l->name);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (where.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&where, size) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
		enum rc rc = errno == EADDRINUSE
			? err_set(err, RC_BUSY, "listener \"%s\": %s port %u is in use by another program; choose another port, or stop that one",
				  l->name, l->address, l->port)
			: err_errno(err, RC_IO, "listener \"%s\": cannot listen on %s port %u", l->name, l->address, l->port);

		(void)close(fd);
		return rc;
	}
	*fd_out = fd;
	return RC_OK;
}

/* the descriptor of a socket that is open already, or -1 */
static int listen_find(const struct parent *p, const struct conf_listener *l)
{
	for (size_t i = 0; i < p->listening_count; i++)
		if (p->listening[i].port == l->port && span_eq(span_str(p->listening[i].address), span_str(l->address)))
			return p->listening[i].fd;
	return -1;
}

static bool listen_uses(const struct listening *set, size_t count, int fd)
{
	for (size_t i = 0; i < count; i++)
		if (set[i].fd == fd)
			return true;
	return false;
}

static void listen_close_unused(const struct listening *set, size_t count, const struct listening *keep, size_t keep_count)
{
	for (size_t i = 0; i < count; i++) {
		if (!listen_uses(keep, keep_count, set[i].fd))
			(void)close(set[i].fd);
		free(set[i].address);
	}
}

enum rc parent_listen_open(struct parent *p, const struct conf *conf, struct err *err)
{
	struct listening fresh[PARENT_LISTENERS_MAX];
	size_t count = 0;
	enum rc rc = RC_OK;

	if (conf->listener_count > PARENT_LISTENERS_MAX)
		return err_set(err, RC_LIMIT, "%zu listeners; at most %d are possible", conf->listener_count, PARENT_LISTENERS_MAX);
	for (; count < conf->listener_count; count++) {
		const struct conf_listener *l = &conf->listeners[count];
		int fd = listen_find(p, l);

		if (fd < 0 && (rc = listen_one(l, &fd, err)) != RC_OK)
			break;
		fresh[count] = (struct listening){.address = mem_str(l->address), .port = l->port, .fd = fd};
	}
	if (rc != RC_OK) {
		listen_close_unused(fresh, count, p->listening, p->listening_count);
		return rc;
	}
	listen_close_unused(p->listening, p->listening_count, fresh, count);
	memcpy(p->listening, fresh, count * sizeof(*fresh));
	p->listening_count = count;
	return RC_OK;
}
