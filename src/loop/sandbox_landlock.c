#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/sandbox_inside.h"

/* The kernel interface up to ABI 7, spelled out: the headers of the build machine may know less than the kernel that runs. */
struct landlock_ruleset {
	uint64_t fs;     /* access that is denied where no rule allows it */
	uint64_t net;    /* ABI 4 */
	uint64_t scoped; /* ABI 6 */
};
struct landlock_beneath {
	uint64_t access;
	int32_t dir;
} __attribute__((packed));

struct landlock_port {
	uint64_t access;
	uint64_t port;
} __attribute__((packed));

enum { LANDLOCK_VERSION = 1, LANDLOCK_BENEATH = 1, LANDLOCK_PORT = 2 };

#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_CHAR (1ull << 6)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_MAKE_SOCK (1ull << 9)
#define FS_MAKE_FIFO (1ull << 10)
#define FS_MAKE_BLOCK (1ull << 11)
#define FS_MAKE_SYM (1ull << 12)
#define FS_REFER (1ull << 13)     /* ABI 2 */
#define FS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

#define FS_ALL_ABI_1 \
	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_CHAR | FS_MAKE_DIR | FS_MAKE_REG | \
		FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_BLOCK | FS_MAKE_SYM)
/* plain files and directories: nothing to run, no devices, no links that lead elsewhere */
#define FS_OWN_DIR \
	(FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE)

static struct landlock_ruleset landlock_all(unsigned abi)
{
	struct landlock_ruleset r = {.fs = FS_ALL_ABI_1};

	if (abi >= 2)
		r.fs |= FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4)
		r.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return r;
}

static size_t landlock_ruleset_bytes(unsigned abi)
{
	if (abi >= 6)
		return sizeof(struct landlock_ruleset);
	return abi >= 4 ? offsetof(struct landlock_ruleset, scoped) : offsetof(struct landlock_ruleset, net);
}

static enum rc landlock_allow_dir(int ruleset, const char *dir, uint64_t access, struct err *err)
{
	struct landlock_beneath rule = {.access = access, .dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	enum rc rc = RC_OK;

	if (rule.dir < 0)
		return err_errno(err, RC_IO, "%s", dir);
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_BENEATH, &rule, 0))
		rc = err_errno(err, RC_IO, "Landlock rule for %s", dir);
	close(rule.dir);
	return rc;
}

static enum rc landlock_allow_port(int ruleset, uint64_t access, uint16_t port, struct err *err)
{
	struct landlock_port rule = {.access = access, .port = port};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PORT, &rule, 0))
		return err_errno(err, RC_IO, "Landlock rule for port %u", port);
	return RC_OK;
}

enum rc sandbox_landlock_open(const struct sandbox_plan *plan, int *fd_out, unsigned *abi_out, struct err *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	struct landlock_ruleset all;
	enum rc rc = RC_OK;
	int fd;

	if (abi <= 0) { /* not in this kernel, or switched off at boot */
		*fd_out = -1;
		*abi_out = 0;
		return RC_OK;
	}
	all = landlock_all((unsigned)abi);
	fd = (int)syscall(SYS_landlock_create_ruleset, &all, landlock_ruleset_bytes((unsigned)abi), 0);
	if (fd < 0)
		return err_errno(err, RC_IO, "Landlock ruleset");
	if (plan->write_dir)
		rc = landlock_allow_dir(fd, plan->write_dir, FS_OWN_DIR & all.fs, err);
	for (size_t i = 0; i < plan->connect_port_count && rc == RC_OK && all.net; i++)
		rc = landlock_allow_port(fd, NET_CONNECT_TCP, plan->connect_ports[i], err);
	if (rc == RC_OK && all.net && plan->connect_port_count) /* port 0, the kernel's choice: the address to connect from; nobody here may listen */
		rc = landlock_allow_port(fd, NET_BIND_TCP, 0, err);
	if (rc) {
		close(fd);
		return rc;
	}
	*fd_out = fd;
	*abi_out = (unsigned)abi;
	return RC_OK;
}

enum rc sandbox_landlock_enter(int fd, struct err *err)
{
	long failed = syscall(SYS_landlock_restrict_self, fd, 0);

	close(fd);
	return failed ? err_errno(err, RC_IO, "Landlock") : RC_OK;
}
