/* sandbox - the walls of a role: own uid and empty root (where we are root), rlimits, no_new_privs, Landlock, seccomp allow-list.
 * A role does what needs files or names first, then enters; nothing gives the rights back. */
#ifndef MAILROOM_LOOP_SANDBOX_H
#define MAILROOM_LOOP_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum sandbox_wall { WALL_UID = 1, WALL_ROOT = 2, WALL_LANDLOCK = 4, WALL_SECCOMP = 8, WALL_RLIMITS = 16, WALL_NO_NEW_PRIVS = 32, WALL_MDWE = 64 };

enum { SANDBOX_CONNECT_PORTS = 128 };

struct sandbox_plan {
	const char *role;        /* picks the seccomp list (src/loop/sandbox_calls.def) */
	uid_t uid;               /* 0: stay (not root) */
	const char *root;        /* chroot there where root: an empty directory, or the role's own; NULL: none */
	const char *write_dir;   /* Landlock: the one directory it may use below; NULL: no files at all */
	uint64_t file_max_bytes; /* RLIMIT_FSIZE; 0: may write no file (not set while the log goes to a file, which would count) */
	uint64_t fd_max;         /* RLIMIT_NOFILE; 0: as it is */
	uint16_t connect_ports[SANDBOX_CONNECT_PORTS]; /* TCP; Landlock from ABI 4 on: no other port can be connected to */
	size_t connect_port_count; /* 0: none */
	unsigned thread_max;     /* threads that it starts behind the walls; 0: none (made before, they would stand outside of Landlock) */
	bool kill_on_violation;  /* seccomp default action: kill (development, CI), else EPERM + log */
};

/* RC_OK with the walls that stand (bits) and the Landlock ABI; RC_IO when a wall that should stand does not: the role must end.
 * Walls that cannot exist here (not root) are simply not in the mask. */
enum rc sandbox_enter(const struct sandbox_plan *plan, unsigned *walls_out, unsigned *landlock_abi_out, struct err *err) RC_WARN;
/* words for the log and `make run`: "uid, root, landlock 7, seccomp, rlimits"; what is missing is named after "without" */
const char *sandbox_describe(unsigned walls, unsigned abi, char out[200]);

#endif
