/* role - what every role process has in common: started by the parent (fork + exec of this binary as `mailroom role NAME`), it reads its configuration from
 * an inherited descriptor, opens what it needs, enters its sandbox, reports READY and then serves frames. Wiring only. */
#ifndef MAILROOM_ROLE_ROLE_H
#define MAILROOM_ROLE_ROLE_H

#include "conf/conf.h"
#include "ipc/chan.h"
#include "loop/loop.h"
#include "loop/sandbox.h"

enum { ROLE_FD_PARENT = 3, ROLE_FD_CONF = 4 }; /* descriptors of a role at exec */

struct role_ops;
struct role {
	const struct role_ops *ops;
	enum role_id id;     /* ROLE_MX ... (ipc_messages.h) */
	uint32_t worker;     /* number of this process, never used twice under one parent */
	struct loop *loop;
	const struct conf *conf;
	struct chan *parent;
	const char *dir;     /* the role's own directory as it is named behind the walls ("/" after chroot, else HOME/store ...) */
	bool draining;
	void *own;           /* the role's state */
};

struct role_ops {
	const char *name;
	/* before the walls: fill in what differs from the default plan (no files, empty root, conf's limits) */
	void (*plan)(struct role *r, struct sandbox_plan *plan);
	/* before the walls: read files, warm up libraries; sets r->own. NULL: nothing */
	enum rc (*open)(struct role *r, struct err *err);
	/* behind the walls, before READY (the store opens its database here). NULL: nothing */
	enum rc (*ready)(struct role *r, struct err *err);
	/* a channel to another role (again after that role was respawned): takes fd */
	void (*peer)(struct role *r, enum role_id peer, uint32_t worker, int fd);
	/* the configuration was read anew; peers that come from now on were made with it. Takes conf. NULL: every generation has its own process */
	void (*conf)(struct role *r, struct conf *conf);
	void (*listen)(struct role *r, unsigned listener, int fd); /* network roles: takes fd; NULL otherwise */
	void (*start)(struct role *r);            /* NULL: nothing */
	void (*drain)(struct role *r, bool now);  /* finish what is in hand, then role_done(); NULL: role_done at once */
};

extern const struct role_ops role_mx_ops, role_user_ops, role_auth_ops, role_keys_ops, role_store_ops, role_dns_ops, role_relay_ops, role_fetch_ops;

/* entry point of `mailroom role NAME WORKER`; returns the exit status */
int role_main(const char *name, const char *worker);
/* the role has finished: flushes channels and log, ends the loop */
void role_done(struct role *r);
/* the channel to a role that this one asks has ended: where that role still lives (a send failed, a frame was refused) the parent makes a new one */
static inline void role_lost(struct role *r, const struct chan *c)
{
	if (r->parent && !r->draining)
		chan_send(r->parent, MSG_LOST, &(struct msg_lost){.role = (uint8_t)chan_peer(c), .worker = chan_peer_worker(c)});
}

/* what is served at a listener, as the history names it */
static inline const char *role_service_name(enum conf_kind kind)
{
	return kind == CONF_MX ? "mx" : kind == CONF_SUBMISSION ? "submission" : "pop3";
}

/* uid of a role under uid_base, its directory below home; used by parent, init and role */
uint32_t role_uid(const struct conf *conf, enum role_id id);
const char *role_dir_name(enum role_id id); /* "store", "auth", "keys", or "empty" */

/* `mailroom serve`: returns the exit status after SIGTERM/SIGINT */
int parent_main(const char *conf_file, const char *home);

#endif
