#include "role/role.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

/* exit codes as in sysexits.h: the parent says them in its log */
enum { ROLE_EXIT_CONF = 78, ROLE_EXIT_OPEN = 72 };

static const struct role_ops *const role_table[ROLE_COUNT] = {
	[ROLE_MX] = &role_mx_ops,
	[ROLE_USER] = &role_user_ops,
	[ROLE_AUTH] = &role_auth_ops,
	[ROLE_KEYS] = &role_keys_ops,
	[ROLE_STORE] = &role_store_ops,
	[ROLE_DNS] = &role_dns_ops,
	[ROLE_RELAY] = &role_relay_ops,
	[ROLE_FETCH] = &role_fetch_ops,
};

uint32_t role_uid(const struct conf *conf, enum role_id id)
{
	return conf->uid_base + (uint32_t)id;
}

const char *role_dir_name(enum role_id id)
{
	return id == ROLE_STORE ? "store" : id == ROLE_AUTH ? "auth" : "empty";
}

/* closes fd */
static enum rc role_read_conf(int fd, struct conf **out, struct err *err)
{
	struct stat st;
	struct span text;
	void *map;
	enum rc rc;

	if (fstat(fd, &st) != 0) {
		rc = err_errno(err, RC_IO, "configuration descriptor");
		(void)close(fd);
		return rc;
	}
	map = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (map == MAP_FAILED)
		return err_errno(err, RC_IO, "configuration descriptor");
	text = span_of(map, (size_t)st.st_size);
	rc = conf_parse(text, "configuration from the parent", NULL, out, err);
	(void)munmap(map, (size_t)st.st_size + 1);
	return rc;
}

static void role_take_conf(struct role *r, int fd)
{
	struct conf *conf = NULL;
	struct err err = {""};

	if (role_read_conf(fd, &conf, &err) != RC_OK)
		log_msg(LOG_LEVEL_ERROR, "reload-refused", "%s", err.words); /* it was checked before it was sent: what was in force stays */
	else
		r->ops->conf(r, conf);
}

static enum rc role_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct role *r = owner;

	(void)c;
	switch ((int)type) {
	case MSG_PEER:
		if (!r->ops->peer) {
			(void)close(msg->peer.sock);
			return RC_BAD;
		}
		r->ops->peer(r, (enum role_id)msg->peer.role, msg->peer.worker, msg->peer.sock);
		return RC_OK;
	case MSG_LISTEN:
		if (!r->ops->listen) {
			(void)close(msg->listen.sock);
			return RC_BAD;
		}
		r->ops->listen(r, msg->listen.listener, msg->listen.sock);
		return RC_OK;
	case MSG_CONF:
		if (!r->ops->conf) {
			(void)close(msg->conf.text);
			return RC_BAD;
		}
		role_take_conf(r, msg->conf.text);
		return RC_OK;
	case MSG_START:
		if (r->ops->start)
			r->ops->start(r);
		return RC_OK;
	case MSG_DRAIN:
		r->draining = true;
		if (r->ops->drain)
			r->ops->drain(r, msg->drain.now);
		else
			role_done(r);
		return RC_OK;
	default:
		return RC_BAD;
	}
}

/* without its parent a role has no work and nobody to watch it */
static void role_on_parent_gone(void *owner, struct chan *c, const char *why)
{
	struct role *r = owner;

	(void)c;
	log_msg(LOG_LEVEL_WARN, "parent-gone", "%s", why);
	chan_free(&r->parent);
	if (r->ops->drain)
		r->ops->drain(r, true);
	loop_stop(r->loop, 0);
}

void role_done(struct role *r)
{
	loop_stop(r->loop, 0);
}

static void role_log_hook(void *arg)
{
	(void)arg;
	log_flush();
}

/* default plan: no files, no directory, the empty root */
static void role_make_plan(struct role *r, struct sandbox_plan *plan)
{
	bool root = geteuid() == 0;

	*plan = (struct sandbox_plan){
		.role = r->ops->name,
		.uid = root ? role_uid(r->conf, r->id) : 0,
		.root = root ? mem_printf("%s/%s", r->conf->home, role_dir_name(r->id)) : NULL,
		.fd_max = 1024,
		.kill_on_violation = r->conf->sandbox_kill,
	};
	r->dir = root ? "/" : mem_printf("%s/%s", r->conf->home, role_dir_name(r->id));
	if (r->ops->plan)
		r->ops->plan(r, plan);
}

static enum rc role_begin(struct role *r, struct msg_ready *ready_out, struct err *err)
{
	struct sandbox_plan plan;
	unsigned walls = 0, abi = 0;
	enum rc rc;

	if (r->ops->open && (rc = r->ops->open(r, err)) != RC_OK)
		return rc;
	role_make_plan(r, &plan);
	rc = sandbox_enter(&plan, &walls, &abi, err);
	if (rc != RC_OK)
		return rc;
	*ready_out = (struct msg_ready){.landlock_abi = (uint8_t)abi, .walls = (uint8_t)walls};
	return r->ops->ready ? r->ops->ready(r, err) : RC_OK;
}

static const struct role_ops *role_by_name(const char *name, enum role_id *id_out)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (!role_table[i] || !span_eq(span_str(role_table[i]->name), span_str(name)))
			continue;
		*id_out = (enum role_id)i;
		return role_table[i];
	}
	return NULL;
}

/* SIGINT of a terminal goes to the whole process group: only the parent decides what it means */
static void role_signals(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

int role_main(const char *name, const char *worker)
{
	static const struct chan_ops parent_ops = {.on_frame = role_on_frame, .on_gone = role_on_parent_gone};
	struct role r = {0};
	struct loop_hook log_hook = {.fn = role_log_hook};
	struct msg_ready ready;
	struct conf *conf = NULL;
	struct err err = {""};
	uint64_t number;
	int status;

	r.ops = role_by_name(name, &r.id);
	if (!r.ops || num_parse(span_str(worker), UINT32_MAX, &number) != RC_OK) {
		(void)fprintf(stderr, "mailroom: 'role' is how the program starts its own parts; use 'mailroom serve'\n");
		return 2;
	}
	role_signals();
	(void)prctl(PR_SET_NAME, mem_printf("mailroom-%s", name));
	r.worker = (uint32_t)number;
	log_open(STDERR_FILENO, mem_printf("%s/%u", name, r.worker), LOG_LEVEL_INFO);
	if (role_read_conf(ROLE_FD_CONF, &conf, &err) != RC_OK) {
		log_msg(LOG_LEVEL_ERROR, "role-failed", "%s", err.words);
		log_flush();
		return ROLE_EXIT_CONF;
	}
	r.conf = conf;
	log_open(STDERR_FILENO, mem_printf("%s/%u", name, r.worker), (enum log_level)conf->log_level);
	r.loop = loop_new();
	loop_hook_add(r.loop, LOOP_LOG, &log_hook);
	r.parent = chan_new(r.loop, ROLE_FD_PARENT, r.id, ROLE_PARENT, 0, &parent_ops, &r);
	if (role_begin(&r, &ready, &err) != RC_OK) {
		log_msg(LOG_LEVEL_ERROR, "role-failed", "%s", err.words);
		log_flush();
		return ROLE_EXIT_OPEN;
	}
	chan_send(r.parent, MSG_READY, &ready);
	chan_flush(r.parent);
	status = loop_run(r.loop);
	log_flush();
	return status;
}
