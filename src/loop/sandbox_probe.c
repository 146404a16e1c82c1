#include "loop/sandbox_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each try returns 0 when it went through, else errno. Some are made with arguments that fail behind the walls (EFAULT, EBADF): that the
 * kernel looked at them at all means that they were allowed, and nothing happens. */

static int probe_fd(int fd)
{
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int probe_open_read(void)
{
	return probe_fd(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int probe_open_root(void)
{
	return probe_fd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int probe_create(void)
{
	static const char path[] = "/tmp/mailroom-sandbox-probe";
	int error = probe_fd(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));

	if (error == 0)
		(void)unlink(path);
	return error;
}

static int probe_socket_inet(void)
{
	return probe_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
}

static int probe_socket_unix(void)
{
	return probe_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int probe_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	return connect(-1, (struct sockaddr *)&to, sizeof(to)) ? errno : 0;
}

/* a stream that is not TCP, of whose ports Landlock knows nothing */
static int probe_socket_mptcp(void)
{
	return probe_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP));
}

/* TCP fast open (RFC 7413) connects without connect() */
static int probe_sendto_fastopen(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	return sendto(-1, "", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static int probe_sendmsg_fastopen(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to)};

	return sendmsg(-1, &m, MSG_FASTOPEN) < 0 ? errno : 0;
}

static int probe_sendmmsg(void)
{
	return syscall(SYS_sendmmsg, -1, NULL, 0, 0) < 0 ? errno : 0;
}

static int probe_setsockopt_fastopen(void)
{
	int on = 1;

	return setsockopt(-1, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) ? errno : 0;
}

static int probe_bind(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	return bind(-1, (struct sockaddr *)&at, sizeof(at)) ? errno : 0;
}

static int probe_listen(void)
{
	return listen(-1, 1) ? errno : 0;
}

static int probe_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(0);
	(void)waitpid(pid, NULL, 0);
	return 0;
}

static int probe_execve(void)
{
	return syscall(SYS_execve, NULL, NULL, NULL) ? errno : 0;
}

static int probe_kill_parent(void)
{
	return syscall(SYS_kill, getppid(), 0) ? errno : 0;
}

static int probe_kill_init(void)
{
	return syscall(SYS_kill, 1, 0) ? errno : 0;
}

static int probe_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) ? errno : 0;
}

static int probe_mmap_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno;
	(void)munmap(p, 4096);
	return 0;
}

static int probe_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error = 0;

	if (p == MAP_FAILED)
		return 0; /* that is to work: shown as ALLOWED, so that somebody looks */
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC))
		error = errno;
	(void)munmap(p, 4096);
	return error;
}

static int probe_chroot(void)
{
	return chroot("/") ? errno : 0;
}

static int probe_mount(void)
{
	return mount(NULL, NULL, NULL, 0, NULL) ? errno : 0;
}

static int probe_unshare(void)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

static int probe_setuid(void)
{
	return syscall(SYS_setresuid, 0, 0, 0) ? errno : 0;
}

static int probe_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? errno : 0;
}

static int probe_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) < 0 ? errno : 0;
}

static int probe_keyctl(void)
{
	return syscall(SYS_keyctl, 0, 0, 0) < 0 ? errno : 0;
}

static int probe_userfaultfd(void)
{
	return probe_fd((int)syscall(SYS_userfaultfd, O_CLOEXEC | 1));
}

static int probe_ioctl(void)
{
	return syscall(SYS_ioctl, -1, 0x5412 /* TIOCSTI: typing on the operator's terminal */, NULL) ? errno : 0;
}

static int probe_rlimit(void)
{
	struct {
		uint64_t cur, max;
	} more = {1 << 20, 1 << 20};

	return syscall(SYS_prlimit64, 0, 8 /* RLIMIT_MEMLOCK */, &more, NULL) ? errno : 0;
}

static const struct probe {
	const char *name;
	int (*fn)(void);
} probes[] = {
	{"open-read", probe_open_read}, {"open-root", probe_open_root}, {"create", probe_create}, {"socket-inet", probe_socket_inet},
	{"socket-unix", probe_socket_unix}, {"socket-mptcp", probe_socket_mptcp}, {"sendto-fastopen", probe_sendto_fastopen},
	{"sendmsg-fastopen", probe_sendmsg_fastopen}, {"sendmmsg", probe_sendmmsg}, {"setsockopt-fastopen", probe_setsockopt_fastopen}, {"connect", probe_connect}, {"bind", probe_bind}, {"listen", probe_listen}, {"fork", probe_fork},
	{"execve", probe_execve}, {"kill-parent", probe_kill_parent}, {"kill-init", probe_kill_init}, {"ptrace", probe_ptrace},
	{"mmap-exec", probe_mmap_exec}, {"mprotect-exec", probe_mprotect_exec}, {"chroot", probe_chroot}, {"mount", probe_mount},
	{"unshare", probe_unshare}, {"setuid", probe_setuid}, {"io-uring", probe_io_uring}, {"bpf", probe_bpf}, {"keyctl", probe_keyctl},
	{"userfaultfd", probe_userfaultfd}, {"ioctl", probe_ioctl}, {"rlimit", probe_rlimit},
};

size_t sandbox_probe_count(void)
{
	return sizeof(probes) / sizeof(probes[0]);
}

const char *sandbox_probe_name(size_t i)
{
	return probes[i].name;
}

bool sandbox_probe_try(size_t i, int *error_out)
{
	int error = probes[i].fn();

	*error_out = error;
	/* ENOENT: an empty root has no such file, which is a wall, too; EOPNOTSUPP: what the filter answers to fast open, where the kernel would say EBADF */
	return error == EPERM || error == EACCES || error == ENOENT || error == ENOSYS || error == EOPNOTSUPP;
}

void sandbox_probe_run(struct buf *out)
{
	for (size_t i = 0; i < sandbox_probe_count(); i++) {
		int error;

		if (sandbox_probe_try(i, &error))
			buf_printf(out, "%s denied (%s)\n", probes[i].name, strerrordesc_np(error));
		else
			buf_printf(out, "%s ALLOWED%s%s\n", probes[i].name, error ? ": the kernel answered " : "", error ? strerrordesc_np(error) : "");
	}
}
