/* parent - the process that people start: it reads the configuration, opens the listening sockets, starts every other role in its own process, wires them
 * with socket pairs, and starts again what dies. It parses nothing that comes from the network. */
#ifndef MAILROOM_ROLE_PARENT_H
#define MAILROOM_ROLE_PARENT_H

#include "role/role.h"

enum { PARENT_CHILDREN_MAX = 512, PARENT_LISTENERS_MAX = 64 };

struct parent;

struct child {
	struct parent *parent;
	enum role_id id;
	uint32_t worker;      /* its number */
	unsigned generation;  /* of the configuration it runs; the store serves all of them */
	pid_t pid;            /* 0: slot is free */
	struct chan *chan;
	bool ready, draining;
	mono_ms started_ms;
	unsigned rejoined;    /* how often it was given a new channel to a role that lives */
};

struct listening {
	char *address;
	uint16_t port;
	int fd;
};

struct parent {
	struct loop *loop;
	struct conf *conf;
	const char *conf_file;
	int conf_fd;          /* the checked configuration as the roles read it: a sealed memfd */
	int lock_fd;
	unsigned generation;
	uint32_t next_worker;
	struct child children[PARENT_CHILDREN_MAX];
	struct listening listening[PARENT_LISTENERS_MAX]; /* in the order of conf->listeners */
	size_t listening_count;
	struct loop_signal signals[4];
	struct loop_timer respawn, grace;
	bool stopping, announced;
	mono_ms stopping_ms;
	unsigned failures[ROLE_COUNT]; /* deaths soon after the start, in a row without one that was ready in between */
	mono_ms spawn_at[ROLE_COUNT];  /* not before; 0: at once */
	int status;
};

/* parent_child.c */
struct child *parent_spawn(struct parent *p, enum role_id id);
/* brings every role of the current generation up to its number; roles that keep dying wait */
void parent_fill(struct parent *p);
void parent_reap(struct parent *p);
void parent_drain(struct parent *p, struct child *c, bool now);
unsigned parent_count(const struct parent *p, enum role_id id, unsigned generation_or_0);
uint32_t parent_wanted(const struct parent *p, enum role_id id);
/* in the order in which they are started: servers of others first */
enum { PARENT_ROLES = 8 };
extern const enum role_id parent_order[PARENT_ROLES];
/* those that have something in hand to finish (sessions, deliveries); the others serve them */
bool parent_is_worker(enum role_id id);
unsigned parent_workers(const struct parent *p, unsigned generation_or_0);

/* parent_listen.c */
/* opens what `conf` asks for, taking over sockets already open; on failure nothing changed */
enum rc parent_listen_open(struct parent *p, const struct conf *conf, struct err *err) RC_WARN;

/* parent.c */
void parent_child_gone(struct parent *p, const struct child *c, int wait_status);
void parent_all_ready(struct parent *p);

#endif
