#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/parent.h"

/* who talks to whom; nobody else can (docs/DESIGN.md 2) */
static const struct {
	enum role_id a, b;
} parent_doors[] = {
	{ROLE_MX, ROLE_STORE}, {ROLE_USER, ROLE_STORE}, {ROLE_USER, ROLE_AUTH}, {ROLE_AUTH, ROLE_STORE}, {ROLE_MX, ROLE_KEYS}, {ROLE_USER, ROLE_KEYS},
	{ROLE_RELAY, ROLE_STORE}, {ROLE_RELAY, ROLE_DNS}, {ROLE_RELAY, ROLE_KEYS}, {ROLE_RELAY, ROLE_FETCH}, {ROLE_FETCH, ROLE_DNS}, {ROLE_USER, ROLE_DNS}, {ROLE_MX, ROLE_DNS},
};
/* servers of others first */
const enum role_id parent_order[PARENT_ROLES] = {ROLE_STORE, ROLE_KEYS, ROLE_DNS, ROLE_FETCH, ROLE_AUTH, ROLE_RELAY, ROLE_MX, ROLE_USER};

/* A role that dies within this time of its start counts as failing. One that cannot start waits longer each time, but never so long that mail which could
 * be taken again is kept waiting for it. */
enum { CHILD_QUICK_DEATH_MS = 2000, CHILD_BACKOFF_FIRST_MS = 50, CHILD_BACKOFF_MAX_MS = 2000 };
enum { CHILD_AGAIN_MS = 200, CHILD_REJOINS_MAX = 16 };

static bool parent_is_door(enum role_id a, enum role_id b)
{
	for (size_t i = 0; i < sizeof(parent_doors) / sizeof(parent_doors[0]); i++)
		if ((parent_doors[i].a == a && parent_doors[i].b == b) || (parent_doors[i].a == b && parent_doors[i].b == a))
			return true;
	return false;
}

static bool parent_is_network(enum role_id id)
{
	return id == ROLE_MX || id == ROLE_USER;
}

uint32_t parent_wanted(const struct parent *p, enum role_id id)
{
	switch ((int)id) {
	case ROLE_MX:
		return p->conf->workers_mx;
	case ROLE_USER:
		return p->conf->workers_user;
	case ROLE_RELAY:
		return p->conf->workers_relay;
	case ROLE_DNS:
		return conf_dns_wanted(p->conf) ? 1 : 0;
	case ROLE_FETCH:
		return p->conf->workers_relay ? 1 : 0;
	default:
		return 1;
	}
}

bool parent_is_worker(enum role_id id)
{
	return id == ROLE_MX || id == ROLE_USER || id == ROLE_RELAY;
}

unsigned parent_workers(const struct parent *p, unsigned generation_or_0)
{
	return parent_count(p, ROLE_MX, generation_or_0) + parent_count(p, ROLE_USER, generation_or_0) + parent_count(p, ROLE_RELAY, generation_or_0);
}

/* the store serves every generation: it holds the mail, and its configuration does not change while it runs */
unsigned parent_count(const struct parent *p, enum role_id id, unsigned generation_or_0)
{
	unsigned n = 0;

	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		const struct child *c = &p->children[i];

		if (c->pid && c->id == id && (!generation_or_0 || id == ROLE_STORE || c->generation == generation_or_0))
			n++;
	}
	return n;
}

static void child_exec(int parent_fd, int conf_fd, enum role_id id, uint32_t worker)
{
	char number[16];
	char *argv[] = {(char *)"mailroom", (char *)"role", (char *)role_name(id), number, NULL};
	/* the two may already sit on each other's number */
	int parent_up = fcntl(parent_fd, F_DUPFD, ROLE_FD_CONF + 1), conf_up = fcntl(conf_fd, F_DUPFD, ROLE_FD_CONF + 1);
	sigset_t none;

	(void)snprintf(number, sizeof(number), "%u", worker);
	if (parent_up < 0 || conf_up < 0 || dup2(parent_up, ROLE_FD_PARENT) < 0 || dup2(conf_up, ROLE_FD_CONF) < 0)
		_exit(71);
	(void)close_range(ROLE_FD_CONF + 1, ~0u, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv("/proc/self/exe", argv);
	_exit(71);
}

/* the respawn timer has one time: the earliest that anybody waits for */
static void parent_again(struct parent *p, mono_ms at)
{
	if (!p->stopping && at < p->respawn.at)
		loop_timer_at(&p->respawn, at);
}

static bool child_join(struct child *a, struct child *b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_msg(LOG_LEVEL_ERROR, "no-channel", "between %s and %s: %s", role_name(a->id), role_name(b->id), strerror(errno));
		return false;
	}
	chan_send(a->chan, MSG_PEER, &(struct msg_peer){.role = (uint8_t)b->id, .worker = b->worker, .sock = pair[0]});
	chan_send(b->chan, MSG_PEER, &(struct msg_peer){.role = (uint8_t)a->id, .worker = a->worker, .sock = pair[1]});
	(void)close(pair[0]);
	(void)close(pair[1]);
	return true;
}

/* Its channel to another role has ended. Where that role is dying, its successor is wired soon enough; where it lives (a send failed for want of memory,
 * a frame was refused) nobody else would ever make a new one. A child to which this happens again and again is started anew. */
static enum rc child_rejoin(struct child *c, const struct msg_lost *lost)
{
	struct parent *p = c->parent;

	parent_reap(p);
	if (!c->pid)
		return RC_OK;
	if (lost->role >= ROLE_COUNT || !parent_is_door(c->id, (enum role_id)lost->role) || ++c->rejoined > CHILD_REJOINS_MAX)
		return RC_BAD;
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *other = &p->children[i];

		if (other->pid && other->chan && other->id == lost->role && other->worker == lost->worker)
			return child_join(c, other) ? RC_OK : RC_BAD;
	}
	return RC_OK;
}

static enum rc child_on_frame(void *owner, struct chan *chan, enum msg_type type, const union msg_any *msg)
{
	struct child *c = owner;
	char words[200];

	(void)chan;
	if (type == MSG_LOST)
		return child_rejoin(c, &msg->lost);
	if (type != MSG_READY || c->ready)
		return RC_BAD;
	c->ready = true;
	c->parent->failures[c->id] = 0;
	if (log_begin(LOG_LEVEL_INFO, "role-ready")) {
		log_str("started", role_name(c->id));
		log_num("worker", c->worker);
		log_num("pid", (uint64_t)c->pid);
		log_str("walls", sandbox_describe(msg->ready.walls, msg->ready.landlock_abi, words));
		log_end();
	}
	parent_all_ready(c->parent);
	return RC_OK;
}

/* a child that talks nonsense or closes its channel is done for: SIGCHLD follows */
static void child_on_gone(void *owner, struct chan *chan, const char *why)
{
	struct child *c = owner;

	(void)chan;
	(void)why;
	chan_free(&c->chan);
	if (!c->pid)
		return;
	(void)kill(c->pid, SIGKILL);
	parent_again(c->parent, clock_mono_ms() + CHILD_AGAIN_MS);
}

/* false: it would stand there without a channel that it needs */
static bool child_wire(struct parent *p, struct child *c)
{
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *other = &p->children[i];
		bool same = other->generation == c->generation || other->id == ROLE_STORE || c->id == ROLE_STORE;

		if (other->pid && other != c && other->chan && same && parent_is_door(c->id, other->id) && !child_join(c, other))
			return false;
	}
	if (parent_is_network(c->id))
		for (size_t i = 0; i < p->listening_count; i++)
			chan_send(c->chan, MSG_LISTEN, &(struct msg_listen){.listener = (uint16_t)i, .sock = p->listening[i].fd});
	chan_send(c->chan, MSG_START, &(struct msg_start){.on = true});
	return true;
}

struct child *parent_spawn(struct parent *p, enum role_id id)
{
	static const struct chan_ops ops = {.on_frame = child_on_frame, .on_gone = child_on_gone};
	struct child *c = NULL;
	int pair[2];
	pid_t pid;

	for (size_t i = 0; i < PARENT_CHILDREN_MAX && !c; i++)
		if (!p->children[i].pid && !p->children[i].chan)
			c = &p->children[i];
	if (!c || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		log_msg(LOG_LEVEL_ERROR, "spawn-failed", "%s: %s", role_name(id), c ? "no socket pair" : "too many processes");
		return NULL;
	}
	p->next_worker++;
	pid = fork();
	if (pid == 0)
		child_exec(pair[1], p->conf_fd, id, p->next_worker);
	(void)close(pair[1]);
	if (pid < 0) {
		log_msg(LOG_LEVEL_ERROR, "spawn-failed", "%s: fork failed", role_name(id));
		(void)close(pair[0]);
		return NULL;
	}
	*c = (struct child){.parent = p, .id = id, .worker = p->next_worker, .generation = p->generation, .pid = pid, .started_ms = clock_mono_ms()};
	c->chan = chan_new(p->loop, pair[0], ROLE_PARENT, id, c->worker, &ops, c);
	if (!child_wire(p, c))
		(void)kill(pid, SIGKILL); /* and started again, as any that dies */
	return c;
}

static uint64_t parent_backoff_ms(unsigned failures)
{
	uint64_t ms = CHILD_BACKOFF_FIRST_MS;

	while (--failures > 0 && ms < CHILD_BACKOFF_MAX_MS)
		ms *= 2;
	return ms < CHILD_BACKOFF_MAX_MS ? ms : CHILD_BACKOFF_MAX_MS;
}

static void parent_fill_role(struct parent *p, enum role_id id)
{
	while (parent_count(p, id, p->generation) < parent_wanted(p, id)) {
		if (clock_mono_ms() >= p->spawn_at[id] && !parent_spawn(p, id))
			p->spawn_at[id] = clock_mono_ms() + CHILD_AGAIN_MS;
		if (clock_mono_ms() < p->spawn_at[id]) {
			parent_again(p, p->spawn_at[id]);
			return;
		}
	}
}

void parent_fill(struct parent *p)
{
	for (size_t i = 0; i < PARENT_ROLES; i++)
		parent_fill_role(p, parent_order[i]);
}

void parent_drain(struct parent *p, struct child *c, bool now)
{
	(void)p;
	c->draining = true;
	if (c->chan)
		chan_send(c->chan, MSG_DRAIN, &(struct msg_drain){.now = now});
}

static void parent_child_died(struct parent *p, struct child *c, int wait_status)
{
	bool wanted = !c->draining && !p->stopping;
	bool quick = clock_mono_ms() - c->started_ms < CHILD_QUICK_DEATH_MS;
	struct child was = *c;

	chan_free(&c->chan);
	*c = (struct child){0};
	parent_child_gone(p, &was, wait_status);
	if (!wanted)
		return;
	p->failures[was.id] = quick ? p->failures[was.id] + 1 : 0;
	p->spawn_at[was.id] = p->failures[was.id] ? clock_mono_ms() + parent_backoff_ms(p->failures[was.id]) : 0;
	parent_fill(p);
}

void parent_reap(struct parent *p)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++)
			if (p->children[i].pid == pid) {
				parent_child_died(p, &p->children[i], wait_status);
				break;
			}
}
