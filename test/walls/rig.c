#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { RIG_FD_PARENT = 3, RIG_FD_CONF = 4, RIG_READY_MS = 30000, RIG_STOP_MS = 15000 };

static const enum role_id rig_order[RIG_ROLES] = {
	[RIG_STORE] = ROLE_STORE, [RIG_KEYS] = ROLE_KEYS, [RIG_AUTH] = ROLE_AUTH, [RIG_MX] = ROLE_MX, [RIG_USER] = ROLE_USER};
static const struct {
	int a, b;
} rig_doors[] = {{RIG_MX, RIG_STORE}, {RIG_USER, RIG_STORE}, {RIG_USER, RIG_AUTH}, {RIG_AUTH, RIG_STORE}, {RIG_MX, RIG_KEYS}, {RIG_USER, RIG_KEYS}};

static bool rig_spawn(struct rig *r, int role, int conf_fd)
{
	struct rig_role *c = &r->roles[role];
	int pair[2];
	char number[16];
	char *argv[] = {(char *)"mailroom", (char *)"role", (char *)(uintptr_t)role_name(rig_order[role]), number, NULL};

	c->id = rig_order[role];
	c->worker = ++r->next_worker;
	(void)snprintf(number, sizeof(number), "%u", c->worker);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0) {
		int up = fcntl(pair[1], F_DUPFD, 10), conf = fcntl(conf_fd, F_DUPFD, 10);

		if (dup2(up, RIG_FD_PARENT) < 0 || dup2(conf, RIG_FD_CONF) < 0)
			_exit(71);
		(void)close_range(RIG_FD_CONF + 1, ~0u, 0);
		(void)execv(r->program, argv);
		_exit(71);
	}
	(void)close(pair[1]);
	wire_init(&c->parent, pair[0], ROLE_PARENT, c->id);
	return c->pid > 0;
}

static bool rig_ready(struct rig_role *c)
{
	mono_ms end = clock_mono_ms() + RIG_READY_MS;
	union msg_any msg;
	enum msg_type type;

	while (!c->parent.over && clock_mono_ms() < end) {
		if (wire_next(&c->parent, &type, &msg))
			return type == MSG_READY;
		wire_wait(&c->parent, 100);
	}
	return false;
}

static int rig_listen(const struct conf_listener *l)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, l->address, &to.sin_addr) != 1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0 || listen(fd, 128) != 0)
		return -1;
	return fd;
}

static bool rig_peer(struct rig_role *to, enum role_id role, uint32_t worker, int fd)
{
	return wire_send(&to->parent, MSG_PEER, &(struct msg_peer){.role = (uint8_t)role, .worker = worker, .sock = fd});
}

static bool rig_wire(struct rig *r)
{
	for (size_t i = 0; i < sizeof(rig_doors) / sizeof(rig_doors[0]); i++) {
		struct rig_role *a = &r->roles[rig_doors[i].a], *b = &r->roles[rig_doors[i].b];
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || !rig_peer(a, b->id, b->worker, pair[0]) ||
		    !rig_peer(b, a->id, a->worker, pair[1]))
			return false;
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
	for (size_t i = 0; i < r->conf->listener_count; i++) {
		struct msg_listen m = {.listener = (uint16_t)i, .sock = rig_listen(&r->conf->listeners[i])};

		if (m.sock < 0 || !wire_send(&r->roles[RIG_MX].parent, MSG_LISTEN, &m) || !wire_send(&r->roles[RIG_USER].parent, MSG_LISTEN, &m))
			return false;
		(void)close(m.sock);
	}
	for (int i = 0; i < RIG_ROLES; i++)
		if (!wire_send(&r->roles[i].parent, MSG_START, &(struct msg_start){.on = true}))
			return false;
	return true;
}

bool rig_start(struct rig *r, const char *program, const char *home)
{
	struct err err = {""};
	struct buf text;
	int fd;

	*r = (struct rig){.program = program};
	if (conf_load(NULL, home, &r->conf, &err) != RC_OK) {
		(void)fprintf(stderr, "hostile: %s\n", err.words);
		return false;
	}
	r->conf->workers_mx = r->conf->workers_user = r->conf->workers_relay = 1;
	buf_init(&text, 4 << 20);
	conf_write(r->conf, &text);
	for (int i = 0; i < RIG_ROLES; i++) {
		/* a file position is shared between duplicates, so each gets a file of its own */
		fd = memfd_create("walls-conf", MFD_CLOEXEC);
		if (fd < 0 || write(fd, text.ptr, text.len) != (ssize_t)text.len || !rig_spawn(r, i, fd)) {
			(void)fprintf(stderr, "hostile: %s: %s\n", program, strerror(errno));
			return false;
		}
		(void)close(fd);
	}
	buf_clear(&text);
	for (int i = 0; i < RIG_ROLES; i++)
		if (!rig_ready(&r->roles[i])) {
			(void)fprintf(stderr, "hostile: %s did not get ready\n", role_name(rig_order[i]));
			return false;
		}
	return rig_wire(r);
}

bool rig_join(struct rig *r, int role, enum role_id self, uint32_t worker, struct wire *out)
{
	int pair[2];
	bool ok;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return false;
	ok = rig_peer(&r->roles[role], self, worker, pair[1]);
	(void)close(pair[1]);
	wire_init(out, pair[0], self, r->roles[role].id);
	return ok;
}

bool rig_well(struct rig *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < RIG_ROLES; i++)
			if (r->roles[i].pid == pid) {
				(void)snprintf(r->words, sizeof(r->words), "%s ended (%s %d)", role_name(r->roles[i].id),
					WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
				r->trouble = r->words;
				r->roles[i].pid = 0;
			}
	for (int i = 0; i < RIG_ROLES; i++) {
		union msg_any msg;
		enum msg_type type;

		while (wire_next(&r->roles[i].parent, &type, &msg))
			if (type == MSG_LOST) {
				(void)snprintf(r->words, sizeof(r->words), "%s lost its channel to %s", role_name(r->roles[i].id),
					role_name((enum role_id)msg.lost.role));
				r->trouble = r->words;
			}
	}
	return !r->trouble;
}

void rig_stop(struct rig *r)
{
	mono_ms end = clock_mono_ms() + RIG_STOP_MS;

	for (int i = RIG_ROLES - 1; i >= 0; i--) {
		struct rig_role *c = &r->roles[i];
		int status;

		if (!c->pid)
			continue;
		(void)wire_send(&c->parent, MSG_DRAIN, &(struct msg_drain){.now = true});
		while (waitpid(c->pid, &status, WNOHANG) == 0) {
			if (clock_mono_ms() > end)
				(void)kill(c->pid, SIGKILL);
			wire_wait(&c->parent, 5);
		}
		wire_close(&c->parent);
	}
	conf_free(&r->conf);
}
