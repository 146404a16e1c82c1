#include "role/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

enum { PARENT_CONF_MAX_BYTES = 4 << 20, PARENT_INSIST_MS = 1000, PARENT_STOP_MAX_MS = 30000, PARENT_LEFTOVERS_MS = 2000, PARENT_LEFTOVERS_STEP_US = 20000 };

static const int parent_signal_numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};

static enum rc parent_conf_fd(const struct conf *conf, int *fd_out, struct err *err)
{
	struct buf text;
	int fd;

	buf_init(&text, PARENT_CONF_MAX_BYTES);
	conf_write(conf, &text);
	fd = memfd_create("mailroom-conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || text.overflow || write(fd, text.ptr, text.len) != (ssize_t)text.len ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
		buf_clear(&text);
		if (fd >= 0)
			(void)close(fd);
		return err_errno(err, RC_IO, "configuration for the roles");
	}
	buf_clear(&text);
	*fd_out = fd;
	return RC_OK;
}

/* A parent that was killed while it started a role leaves a child that holds the lock until its exec: worth a wait, unless that parent lives. */
static enum rc parent_flock(int fd, char pid_out[32])
{
	mono_ms end = clock_mono_ms() + PARENT_LEFTOVERS_MS;
	uint64_t pid;
	ssize_t n;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		n = pread(fd, pid_out, 31, 0);
		pid_out[n > 0 ? n : 0] = '\0';
		pid_out[strcspn(pid_out, "\n")] = '\0';
		if (num_parse(span_str(pid_out), INT32_MAX, &pid) != RC_OK || kill((pid_t)pid, 0) == 0 || errno != ESRCH || clock_mono_ms() >= end)
			return RC_BUSY;
		(void)usleep(PARENT_LEFTOVERS_STEP_US);
	}
	return RC_OK;
}

/* one server a home: a second one would fight over ports and mailboxes */
static enum rc parent_lock(struct parent *p, struct err *err)
{
	char *path = mem_printf("%s/lock", p->conf->home), pid[32];
	enum rc rc = RC_OK;

	p->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (p->lock_fd < 0) {
		rc = err_errno(err, RC_IO, "cannot open %s", path);
	} else if (parent_flock(p->lock_fd, pid) != RC_OK) {
		rc = err_set(err, RC_BUSY, "mailroom is already serving %s (process %s); stop that one first, or choose another --home", p->conf->home, pid);
	} else if (ftruncate(p->lock_fd, 0) != 0 || dprintf(p->lock_fd, "%d\n", (int)getpid()) < 0) {
		rc = err_errno(err, RC_IO, "cannot write %s", path);
	}
	free(path);
	return rc;
}

static enum rc parent_own_dir(const struct conf *conf, const char *name, mode_t mode, uid_t uid, struct err *err)
{
	char *path = mem_printf("%s/%s", conf->home, name);
	enum rc rc = RC_OK;
	struct stat st;

	if (mkdir(path, mode) != 0 && errno != EEXIST)
		rc = err_errno(err, RC_IO, "cannot make %s", path);
	else if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		rc = err_set(err, RC_IO, "%s is not a directory", path);
	else if (geteuid() == 0 && st.st_uid != uid)
		rc = err_set(err, RC_IO, "%s belongs to uid %u, and its role runs as uid %u; give it to that one: chown -R %u %s", path, (unsigned)st.st_uid,
			     (unsigned)uid, (unsigned)uid, path);
	free(path);
	return rc;
}

static enum rc parent_check_home(const struct conf *conf, struct err *err)
{
	bool root = geteuid() == 0;
	enum rc rc = parent_own_dir(conf, "empty", 0555, 0, err);

	if (rc == RC_OK)
		rc = parent_own_dir(conf, "store", 0700, root ? role_uid(conf, ROLE_STORE) : geteuid(), err);
	if (rc == RC_OK)
		rc = parent_own_dir(conf, "auth", 0700, root ? role_uid(conf, ROLE_AUTH) : geteuid(), err);
	return rc;
}

static enum rc parent_open_log(const struct conf *conf, struct err *err)
{
	int fd;

	if (!*conf->log_file)
		return RC_OK;
	fd = open(conf->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_errno(err, RC_IO, "cannot open the log file %s", conf->log_file);
	(void)dup2(fd, STDERR_FILENO);
	(void)close(fd);
	return RC_OK;
}

void parent_child_gone(struct parent *p, const struct child *c, int wait_status)
{
	bool bad = !c->draining && !p->stopping;

	if (log_begin(bad ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, bad ? "role-died" : "role-ended")) {
		log_str("ended", role_name(c->id));
		log_num("worker", c->worker);
		log_num("pid", (uint64_t)c->pid);
		if (WIFSIGNALED(wait_status))
			log_num("signal", (uint64_t)WTERMSIG(wait_status));
		else
			log_num("status", (uint64_t)WEXITSTATUS(wait_status));
		log_end();
	}
	/* a configuration that no role can start with must not spin for ever before the first success */
	if (bad && !p->announced && p->failures[c->id] >= 5) {
		log_msg(LOG_LEVEL_ERROR, "give-up", "%s cannot start; see the lines above", role_name(c->id));
		p->status = 1;
		loop_stop(p->loop, 1);
	}
	/* what serves an older generation stays as long as its workers */
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *o = &p->children[i];
		bool old = o->pid && !o->draining && o->id != ROLE_STORE && o->generation != p->generation;

		if (old && !parent_is_worker(o->id) && !parent_workers(p, o->generation))
			parent_drain(p, o, true);
	}
	if (p->stopping && !parent_workers(p, 0)) {
		unsigned left = 0;

		for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
			struct child *o = &p->children[i];

			left += o->pid != 0;
			if (o->pid && !o->draining)
				parent_drain(p, o, true);
		}
		if (!left)
			loop_stop(p->loop, p->status);
	}
}

/* one datagram to whoever started us and asked for it in NOTIFY_SOCKET (sd_notify(3)); "@" means an abstract name */
static void parent_notify(const char *state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct span name = span_str(getenv("NOTIFY_SOCKET"));
	int fd;

	if (name.len == 0 || name.len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, name.ptr, name.len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.len));
	(void)close(fd);
}

/* scripts wait for the log line, systemd for the datagram */
void parent_all_ready(struct parent *p)
{
	unsigned ready = 0, wanted = 0;

	for (size_t i = 0; i < PARENT_ROLES; i++)
		wanted += parent_wanted(p, parent_order[i]);
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *c = &p->children[i];

		if (c->pid && c->ready && (c->generation == p->generation || c->id == ROLE_STORE))
			ready++;
	}
	if (ready < wanted)
		return;
	/* the new generation stands: the old one finishes its sessions */
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *c = &p->children[i];

		if (c->pid && !c->draining && c->generation != p->generation && parent_is_worker(c->id))
			parent_drain(p, c, false);
	}
	if (p->announced)
		return;
	p->announced = true;
	if (log_begin(LOG_LEVEL_INFO, "serving")) {
		log_str("version", MAILROOM_VERSION);
		log_str("home", p->conf->home);
		log_num("listeners", p->conf->listener_count);
		log_num("roles", ready);
		log_end();
		log_flush();
	}
	parent_notify("READY=1");
}

static void parent_reload(struct parent *p)
{
	struct conf *fresh = NULL;
	struct err err = {""};
	int fd = -1;
	enum rc rc = conf_load(p->conf_file, p->conf->home, &fresh, &err);

	if (rc == RC_OK)
		rc = parent_conf_fd(fresh, &fd, &err);
	if (rc == RC_OK)
		rc = parent_listen_open(p, fresh, &err);
	if (rc != RC_OK) {
		log_msg(LOG_LEVEL_ERROR, "reload-refused", "%s; the old configuration stays in force", err.words);
		conf_free(&fresh);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	(void)close(p->conf_fd);
	conf_free(&p->conf);
	p->conf = fresh;
	p->conf_fd = fd;
	p->generation++;
	(void)parent_open_log(p->conf, &err);
	log_msg(LOG_LEVEL_INFO, "reload", "new processes take over, the old ones finish their sessions");
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) /* it serves every generation: before the new ones ask it */
		if (p->children[i].pid && p->children[i].id == ROLE_STORE && p->children[i].chan)
			chan_send(p->children[i].chan, MSG_CONF, &(struct msg_conf){.generation = p->generation, .text = p->conf_fd});
	parent_fill(p);
	loop_timer_at(&p->grace, clock_mono_ms() + p->conf->drain_ms);
}

static void parent_stop(struct parent *p)
{
	/* Ctrl-C reaches the whole process group and a wrapping script may pass it on: only a second wish after a while means "at once" */
	bool at_once = p->stopping && clock_mono_ms() - p->stopping_ms > PARENT_INSIST_MS;

	if (p->stopping && !at_once)
		return;
	if (!p->stopping) {
		log_msg(LOG_LEVEL_INFO, "stopping", "finishing what is in hand");
		p->stopping_ms = clock_mono_ms();
	}
	p->stopping = true;
	loop_timer_at(&p->respawn, MONO_NEVER);
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *c = &p->children[i];

		if (c->pid && parent_is_worker(c->id))
			parent_drain(p, c, true);
	}
	loop_timer_at(&p->grace, clock_mono_ms() + (at_once ? 0 : p->conf->drain_ms < PARENT_STOP_MAX_MS ? p->conf->drain_ms : PARENT_STOP_MAX_MS));
	if (!parent_workers(p, 0))
		parent_child_gone(p, &(struct child){.draining = true}, 0);
}

/* time is over for what drains */
static void parent_on_grace(void *arg, mono_ms now)
{
	struct parent *p = arg;

	(void)now;
	for (size_t i = 0; i < PARENT_CHILDREN_MAX; i++) {
		struct child *c = &p->children[i];

		if (c->pid && (p->stopping || c->generation != p->generation) && (c->draining || p->stopping))
			(void)kill(c->pid, SIGKILL);
	}
}

static void parent_on_respawn(void *arg, mono_ms now)
{
	(void)now;
	parent_reap(arg); /* a SIGCHLD that came to nothing */
	parent_fill(arg);
}

static void parent_on_signal(void *arg, int signum)
{
	struct parent *p = arg;

	if (signum == SIGCHLD)
		parent_reap(p);
	else if (signum == SIGHUP && !p->stopping)
		parent_reload(p);
	else if (signum == SIGTERM || signum == SIGINT)
		parent_stop(p);
}

static void parent_log_hook(void *arg)
{
	(void)arg;
	log_flush();
}

/* After a parent that was killed its roles still hold the ports for a moment, until they have seen that it is gone. */
static enum rc parent_listen_first(struct parent *p, struct err *err)
{
	mono_ms end = clock_mono_ms() + PARENT_LEFTOVERS_MS;
	enum rc rc;

	while ((rc = parent_listen_open(p, p->conf, err)) == RC_BUSY && clock_mono_ms() < end)
		(void)usleep(PARENT_LEFTOVERS_STEP_US);
	return rc;
}

static enum rc parent_begin(struct parent *p, const char *home, struct err *err)
{
	enum rc rc = conf_load(p->conf_file, home, &p->conf, err);

	if (rc == RC_OK)
		rc = parent_check_home(p->conf, err);
	if (rc == RC_OK)
		rc = parent_lock(p, err);
	if (rc == RC_OK)
		rc = parent_conf_fd(p->conf, &p->conf_fd, err);
	if (rc == RC_OK)
		rc = parent_listen_first(p, err);
	if (rc == RC_OK)
		rc = parent_open_log(p->conf, err);
	return rc;
}

int parent_main(const char *conf_file, const char *home)
{
	struct parent *p = mem_zalloc(sizeof(*p));
	struct loop_hook log_hook = {.fn = parent_log_hook};
	struct err err = {""};
	int status;

	*p = (struct parent){.conf_file = conf_file, .conf_fd = -1, .lock_fd = -1, .generation = 1};
	if (parent_begin(p, home, &err) != RC_OK) {
		(void)fprintf(stderr, "mailroom: %s\n", err.words);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	log_open(STDERR_FILENO, "parent", (enum log_level)p->conf->log_level);
	p->loop = loop_new();
	loop_hook_add(p->loop, LOOP_LOG, &log_hook);
	loop_timer_init(p->loop, &p->respawn, parent_on_respawn, p);
	loop_timer_init(p->loop, &p->grace, parent_on_grace, p);
	for (size_t i = 0; i < sizeof(parent_signal_numbers) / sizeof(parent_signal_numbers[0]); i++)
		loop_signal_add(p->loop, &p->signals[i], parent_signal_numbers[i], parent_on_signal, p);
	parent_fill(p);
	status = loop_run(p->loop);
	log_msg(LOG_LEVEL_INFO, "stopped", "status %d", status);
	log_flush();
	return status;
}
