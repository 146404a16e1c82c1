#include "loop/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "loop/sandbox_inside.h"

/* newer than the build machine's headers may be */
enum { SANDBOX_PR_SET_MDWE = 65, SANDBOX_MDWE_REFUSE_EXEC_GAIN = 1 };

#if SANDBOX_SANITIZER
/* The leak check at exit attaches to its own process, which is just what the walls forbid: it is skipped behind them. */
static int sandbox_entered;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return sandbox_entered;
}
#endif

/* ---- rlimits */

static enum rc sandbox_limit(int resource, const char *name, uint64_t max, struct err *err)
{
	struct rlimit now, want = {max, max};

	if (getrlimit((__rlimit_resource_t)resource, &now))
		return err_errno(err, RC_IO, "getrlimit %s", name);
	if (want.rlim_max > now.rlim_max && geteuid() != 0)
		want.rlim_max = want.rlim_cur = now.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &want))
		return err_errno(err, RC_IO, "setrlimit %s", name);
	return RC_OK;
}

/* RLIMIT_FSIZE counts in the position, so it would also end a log that is a long file */
static bool sandbox_logs_to_file(void)
{
	struct stat st;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return true;
	return false;
}

static enum rc sandbox_set_limits(const struct sandbox_plan *plan, struct err *err)
{
	enum rc rc = sandbox_limit(RLIMIT_CORE, "CORE", 0, err);

	if (!rc && plan->fd_max > 0)
		rc = sandbox_limit(RLIMIT_NOFILE, "NOFILE", plan->fd_max, err);
	if (!rc)
		rc = sandbox_limit(RLIMIT_MEMLOCK, "MEMLOCK", 0, err); /* what was locked before stays so */
	if (!rc && !sandbox_logs_to_file()) {
		(void)signal(SIGXFSZ, SIG_IGN); /* EFBIG is an error of that write, not the end of the role */
		rc = sandbox_limit(RLIMIT_FSIZE, "FSIZE", plan->file_max_bytes, err);
	}
	return rc;
}

/* ---- uid and root */

static enum rc sandbox_change_root(const char *root, struct err *err)
{
	if (chroot(root))
		return err_errno(err, RC_IO, "chroot %s", root);
	if (chdir("/"))
		return err_errno(err, RC_IO, "chdir in %s", root);
	return RC_OK;
}

static gid_t sandbox_gid(uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);

	return pw ? pw->pw_gid : (gid_t)uid;
}

/* gid must have been looked up before the root changed */
static enum rc sandbox_change_uid(uid_t uid, gid_t gid, struct err *err)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return err_errno(err, RC_IO, "cannot become uid %u", (unsigned)uid);
	if (getresuid(&ruid, &euid, &suid) || getresgid(&rgid, &egid, &sgid))
		return err_errno(err, RC_IO, "getresuid");
	if (ruid != uid || euid != uid || suid != uid || rgid != gid || egid != gid || sgid != gid || getgroups(0, NULL) != 0)
		return err_set(err, RC_IO, "uid %u was set and is not there", (unsigned)uid);
	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		return err_set(err, RC_IO, "uid %u can become root again", (unsigned)uid);
	return RC_OK;
}

static enum rc sandbox_leave_root(const struct sandbox_plan *plan, unsigned *walls, struct err *err)
{
	gid_t gid = sandbox_gid(plan->uid);
	enum rc rc = RC_OK;

	if (geteuid() != 0)
		return RC_OK;
	if (plan->root) {
		rc = sandbox_change_root(plan->root, err);
		if (rc)
			return rc;
		*walls |= WALL_ROOT;
	}
	if (plan->uid == 0)
		return RC_OK;
	rc = sandbox_change_uid(plan->uid, gid, err);
	/* the count is per uid: only with one of its own does it say something about this role */
	if (!rc)
		rc = sandbox_limit(RLIMIT_NPROC, "NPROC", plan->thread_max ? plan->thread_max + 1 : 0, err);
	if (!rc)
		*walls |= WALL_UID;
	return rc;
}

/* ---- all together */

static enum rc sandbox_set_flags(unsigned *walls, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return err_errno(err, RC_IO, "no_new_privs");
	*walls |= WALL_NO_NEW_PRIVS;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(err, RC_IO, "PR_SET_DUMPABLE");
	return RC_OK;
}

/* The order matters: paths before the root changes, the root before the uid, no_new_privs before Landlock, and seccomp last, as it forbids
 * what the others need. */
enum rc sandbox_enter(const struct sandbox_plan *plan, unsigned *walls_out, unsigned *landlock_abi_out, struct err *err)
{
	unsigned walls = 0, abi = 0;
	int landlock = -1;
	enum rc rc;

	if (!sandbox_seccomp_knows(plan->role))
		return err_set(err, RC_BAD, "no list of system calls for role '%s'", plan->role);
	tzset(); /* reads a file, once */
	rc = sandbox_set_limits(plan, err);
	if (rc)
		return rc;
	walls |= WALL_RLIMITS;
	rc = sandbox_landlock_open(plan, &landlock, &abi, err);
	if (rc)
		return rc;
	rc = sandbox_leave_root(plan, &walls, err);
	if (!rc)
		rc = sandbox_set_flags(&walls, err);
	if (rc) {
		if (landlock >= 0)
			close(landlock);
		return rc;
	}
	if (landlock >= 0) {
		rc = sandbox_landlock_enter(landlock, err);
		if (rc)
			return rc;
		walls |= WALL_LANDLOCK;
	}
	if (prctl(SANDBOX_PR_SET_MDWE, SANDBOX_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0) /* since Linux 6.3; seccomp says the same where it is missing */
		walls |= WALL_MDWE;
	rc = sandbox_seccomp_enter(plan, err);
	if (rc)
		return rc;
#if SANDBOX_SANITIZER
	sandbox_entered = 1;
#endif
	*walls_out = walls | WALL_SECCOMP;
	*landlock_abi_out = abi;
	return RC_OK;
}

/* ---- words */

static const struct {
	enum sandbox_wall wall;
	const char *name;
} sandbox_walls[] = {
	{WALL_UID, "uid"}, {WALL_ROOT, "root"}, {WALL_LANDLOCK, "landlock"}, {WALL_SECCOMP, "seccomp"}, {WALL_RLIMITS, "rlimits"},
	{WALL_NO_NEW_PRIVS, "no_new_privs"}, {WALL_MDWE, "mdwe"},
};

static void sandbox_add_walls(struct buf *words, unsigned walls, unsigned abi, const char *first)
{
	const char *before = first;

	for (size_t i = 0; i < sizeof(sandbox_walls) / sizeof(sandbox_walls[0]); i++) {
		if (!(walls & sandbox_walls[i].wall))
			continue;
		buf_printf(words, "%s%s", before, sandbox_walls[i].name);
		if (sandbox_walls[i].wall == WALL_LANDLOCK && abi > 0)
			buf_printf(words, " %u", abi);
		before = ", ";
	}
}

const char *sandbox_describe(unsigned walls, unsigned abi, char out[200])
{
	struct buf words;

	buf_init(&words, 199);
	sandbox_add_walls(&words, walls, abi, "");
	if (words.len == 0)
		buf_add_str(&words, "none");
	sandbox_add_walls(&words, ~walls, 0, " without ");
	(void)snprintf(out, 200, "%.*s", SPAN_FMT(buf_span(&words)));
	buf_clear(&words);
	return out;
}
