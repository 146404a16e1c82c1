/* smtp_load - a load generator: N connections on one thread, each sending one message after the other, and how long each took. Only to loopback addresses.
 *
 * smtp_load [-s SESSIONS] [-m MESSAGES] [-l BYTES] [-k MESSAGES_PER_CONNECTION] [-r RCPT_PATTERN] [-u USERS] [-w SECONDS] ADDRESS:PORT
 * RCPT_PATTERN may hold one %d, which runs through 0..USERS-1. Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_QUIT };

struct conn {
	int fd;
	enum step step;
	uint64_t on_this;    /* messages sent on this connection */
	uint64_t began_us;
	size_t sent;         /* of out */
	struct buf out;
	char in[4096];
	size_t in_len;
	bool wants_write;
};

static struct {
	struct sockaddr_in to;
	uint64_t sessions, messages, bytes, per_connection, users, seconds;
	const char *rcpt;
	uint64_t started, done, refused, broken, number;
	uint32_t *took_us;
	struct buf body;
	int epoll;
} g = {.sessions = 10, .messages = 1000, .bytes = 10240, .per_connection = UINT64_MAX, .users = 1, .seconds = 120, .rcpt = "u%02d@bench.test"};

static uint64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void conn_watch(struct conn *c, bool write)
{
	struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};

	if (c->wants_write != write)
		(void)epoll_ctl(g.epoll, EPOLL_CTL_MOD, c->fd, &e);
	c->wants_write = write;
}

static bool conn_send(struct conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return false;
		c->sent += (size_t)n;
	}
	conn_watch(c, c->sent < c->out.len);
	return true;
}

static void conn_say(struct conn *c, enum step next)
{
	c->step = next;
	c->sent = 0;
}

static void conn_open(struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&g.to, sizeof(g.to)) != 0) {
		perror("smtp_load: connect");
		exit(1);
	}
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->step = STEP_GREETING;
	c->in_len = c->sent = c->on_this = 0;
	c->wants_write = false;
	buf_reset(&c->out);
	(void)epoll_ctl(g.epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void conn_mail(struct conn *c)
{
	buf_reset(&c->out);
	g.started++;
	c->on_this++;
	c->began_us = now_us();
	buf_add_str(&c->out, "MAIL FROM:<sender@load.test>\r\n");
	conn_say(c, STEP_MAIL);
}

static void conn_next(struct conn *c)
{
	if (g.started < g.messages && c->on_this < g.per_connection) {
		conn_mail(c);
		return;
	}
	buf_reset(&c->out);
	buf_add_str(&c->out, "QUIT\r\n");
	conn_say(c, STEP_QUIT);
}

static void conn_body(struct conn *c)
{
	buf_reset(&c->out);
	buf_printf(&c->out, "Message-ID: <%d.%llu@load.test>\r\n", (int)getpid(), (unsigned long long)g.number++);
	buf_add(&c->out, buf_span(&g.body));
	conn_say(c, STEP_BODY);
}

/* one reply has come; false: the connection is over */
static bool conn_reply(struct conn *c, unsigned code)
{
	bool good = code < 400;

	switch (c->step) {
	case STEP_GREETING:
		buf_reset(&c->out);
		buf_add_str(&c->out, "EHLO load.test\r\n");
		conn_say(c, STEP_EHLO);
		return good;
	case STEP_EHLO:
		conn_next(c);
		return good;
	case STEP_MAIL:
		buf_reset(&c->out);
		buf_add_str(&c->out, "RCPT TO:<");
		buf_printf(&c->out, g.rcpt, (int)(g.number % g.users));
		buf_add_str(&c->out, ">\r\n");
		conn_say(c, STEP_RCPT);
		return good;
	case STEP_RCPT:
		buf_reset(&c->out);
		buf_add_str(&c->out, "DATA\r\n");
		conn_say(c, STEP_DATA);
		return good;
	case STEP_DATA:
		conn_body(c);
		return good;
	case STEP_BODY:
		if (good)
			g.took_us[g.done++] = (uint32_t)(now_us() - c->began_us);
		else
			g.refused++;
		conn_next(c);
		return true;
	case STEP_QUIT:
		return false;
	}
	return false;
}

static bool conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	char *line, *end;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	c->in_len += (size_t)n;
	for (line = c->in; (end = memchr(line, '\n', c->in_len - (size_t)(line - c->in))); line = end + 1) {
		uint64_t code;

		if (end - line < 4 || line[3] == '-')
			continue;
		if (num_parse(span_of(line, 3), 599, &code) != RC_OK || !conn_reply(c, (unsigned)code) || !conn_send(c))
			return false;
	}
	c->in_len -= (size_t)(line - c->in);
	memmove(c->in, line, c->in_len);
	return c->in_len < sizeof(c->in);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void make_body(void)
{
	buf_init(&g.body, g.bytes + 4096);
	buf_add_str(&g.body, "From: <sender@load.test>\r\nTo: <rcpt@load.test>\r\nDate: Sun, 22 Nov 2026 04:00:00 +0000\r\nSubject: load\r\n\r\n");
	while (g.body.len + 72 < g.bytes)
		buf_add_str(&g.body, "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwx\r\n");
	buf_add_str(&g.body, ".\r\n");
}

static uint64_t number(const char *text, const char *what)
{
	uint64_t n;

	if (num_parse(span_str(text), UINT32_MAX, &n) == RC_OK && n > 0)
		return n;
	(void)fprintf(stderr, "smtp_load: %s is not a number for -%s\n", text, what);
	exit(2);
}

static void options(int argc, char **argv)
{
	struct span where;
	uint64_t port;
	int o;

	while ((o = getopt(argc, argv, "s:m:l:k:r:u:w:")) != -1) {
		switch (o) {
		case 's': g.sessions = number(optarg, "s"); break;
		case 'm': g.messages = number(optarg, "m"); break;
		case 'l': g.bytes = number(optarg, "l"); break;
		case 'k': g.per_connection = number(optarg, "k"); break;
		case 'u': g.users = number(optarg, "u"); break;
		case 'w': g.seconds = number(optarg, "w"); break;
		case 'r': g.rcpt = optarg; break;
		default: exit(2);
		}
	}
	where = optind < argc ? span_str(argv[optind]) : SPAN_NONE;
	g.to.sin_family = AF_INET;
	if (inet_pton(AF_INET, mem_str_span(span_cut(&where, ':')), &g.to.sin_addr) != 1 || ntohl(g.to.sin_addr.s_addr) >> 24 != 127 ||
	    num_parse(where, 65535, &port) != RC_OK) {
		(void)fprintf(stderr, "smtp_load: the last argument has to be 127.x.x.x:PORT\n");
		exit(2);
	}
	g.to.sin_port = htons((uint16_t)port);
}

static void print_result(uint64_t us)
{
	qsort(g.took_us, g.done, sizeof(*g.took_us), compare_u32);
	printf("{\"messages\": %llu, \"refused\": %llu, \"broken\": %llu, \"seconds\": %.4f, \"rate\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f}\n",
		(unsigned long long)g.done, (unsigned long long)g.refused, (unsigned long long)g.broken, (double)us / 1e6, (double)g.done * 1e6 / (double)us,
		g.done ? g.took_us[g.done / 2] / 1e3 : 0, g.done ? g.took_us[g.done * 99 / 100] / 1e3 : 0);
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	struct conn *conns;
	uint64_t live, began;

	options(argc, argv);
	make_body();
	g.took_us = mem_array(g.messages + 1, sizeof(*g.took_us));
	g.epoll = epoll_create1(EPOLL_CLOEXEC);
	conns = mem_array(g.sessions, sizeof(*conns));
	began = now_us();
	for (uint64_t i = 0; i < g.sessions; i++) {
		buf_init(&conns[i].out, g.bytes + 8192);
		conn_open(&conns[i]);
	}
	live = g.sessions;
	while (live > 0 && now_us() - began < g.seconds * 1000000) {
		int n = epoll_wait(g.epoll, events, 256, 100);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			bool ok = !(events[i].events & EPOLLOUT) || conn_send(c);

			if (ok && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				ok = conn_read(c);
			if (ok)
				continue;
			g.broken += c->step != STEP_QUIT;
			(void)close(c->fd);
			if (g.started < g.messages)
				conn_open(c);
			else
				live--;
		}
	}
	print_result(now_us() - began);
	return 0;
}
