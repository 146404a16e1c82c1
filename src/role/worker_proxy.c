/* Connections from load balancers: before the protocol, and before TLS, stands a header that says who the client is. Nobody else may have
 * one: elsewhere its bytes are garbage to the protocol, and whoever could send one would be whom they like. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/proxy/proxy_v2.h"
#include "role/worker.h"

enum { PROXY_HEADER_MS = 5000 };

/* one whose header is not whole yet; holds a place among the connections of its listener */
struct worker_proxied {
	struct worker_listener *listener;
	struct worker_proxied *next, **prev;
	struct event readable;
	struct loop_timer timer;
	struct sockaddr_storage from;
	int fd;
	struct proxy_v2 header;
};

static struct net_address proxied_address(const struct sockaddr_storage *from)
{
	struct net_address a = {.raw = {[10] = 0xff, [11] = 0xff}};

	if (from->ss_family == AF_INET6)
		memcpy(a.raw, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(a.raw));
	else
		memcpy(a.raw + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
	return a;
}

static struct sockaddr_storage proxied_sockaddr(const struct net_address *a, uint16_t port)
{
	struct sockaddr_storage out = {0};
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out;

	if (net_is_v4(a)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, a->raw + 12, 4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, a->raw, sizeof(a->raw));
	}
	return out;
}

/* gives the descriptor back and forgets the rest */
static int proxied_free(struct worker_proxied *p)
{
	int fd = p->fd;

	(void)event_del(&p->readable);
	loop_timer_clear(&p->timer);
	p->listener->connections--;
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
	return fd;
}

static void proxied_close(struct worker_proxied *p, const char *why)
{
	struct net_address balancer = proxied_address(&p->from);
	struct buf text;
	bool silent = p->header.have == 0; /* a balancer that only looks whether the port answers */

	if (log_begin(silent ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "proxy-refused")) {
		buf_init(&text, INET6_ADDRSTRLEN);
		net_write(&text, &balancer);
		log_str("listener", p->listener->conf->name);
		log_span("proxy", buf_span(&text));
		log_str("why", why);
		log_num("bytes", p->header.have);
		log_end();
		buf_clear(&text);
	}
	(void)close(proxied_free(p));
}

static void proxied_done(struct worker_proxied *p)
{
	struct worker_listener *l = p->listener;
	struct sockaddr_storage from = p->header.has_client ? proxied_sockaddr(&p->header.source, p->header.source_port) : p->from;

	/* the balancer's own address would let a client that it does not name do what the balancer may */
	if (!p->header.has_client && !p->header.local)
		proxied_close(p, "names no IP address, so the client is not known");
	else
		worker_take(l, proxied_free(p), &from);
}

/* Reads no byte beyond the header: what follows belongs to TLS or to the protocol. */
static void proxied_read(struct worker_proxied *p)
{
	uint8_t bytes[LIMIT_PROXY_HEADER_BYTES];

	while (p->header.state == PROXY_MORE) {
		ssize_t n = recv(p->fd, bytes, proxy_v2_wants(&p->header), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			proxied_close(p, n == 0 ? "closed by peer" : "connection lost");
			return;
		}
		(void)proxy_v2_feed(&p->header, span_of(bytes, (size_t)n));
	}
	if (p->header.state == PROXY_BAD)
		proxied_close(p, p->header.why);
	else
		proxied_done(p);
}

static void proxied_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	proxied_read(arg);
}

static void proxied_on_timer(void *arg, mono_ms now)
{
	(void)now;
	proxied_close(arg, "the header took too long");
}

bool worker_proxy_take(struct worker_listener *l, int fd, const struct sockaddr_storage *from)
{
	struct worker *w = l->worker;
	struct net_address balancer = proxied_address(from);
	struct worker_proxied *p;

	if (!net_list_has(&l->conf->proxy_from, &balancer) || worker_is_full(l))
		return false;
	p = mem_zalloc(sizeof(*p));
	*p = (struct worker_proxied){.listener = l, .fd = fd, .from = *from, .next = w->proxied, .prev = &w->proxied};
	if (p->next)
		p->next->prev = &p->next;
	w->proxied = p;
	l->connections++;
	proxy_v2_init(&p->header);
	loop_timer_init(w->loop, &p->timer, proxied_on_timer, p);
	loop_timer_at(&p->timer, loop_now(w->loop) + PROXY_HEADER_MS);
	(void)event_assign(&p->readable, loop_base(w->loop), fd, EV_READ | EV_PERSIST, proxied_on_readable, p);
	if (event_add(&p->readable, NULL) != 0)
		proxied_close(p, "the system cannot watch one more connection");
	else
		proxied_read(p);
	return true;
}

void worker_proxy_drop(struct worker *w)
{
	while (w->proxied)
		(void)close(proxied_free(w->proxied));
}
