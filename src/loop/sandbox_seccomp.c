#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "loop/sandbox_inside.h"

enum {
	IN_MX = 1,
	IN_USER = 2,
	IN_AUTH = 4,
	IN_KEYS = 8,
	IN_STORE = 16,
	IN_DNS = 32,
	IN_RELAY = 64,
	IN_FETCH = 128,
	IN_THREADS = 256,
	IN_ALL = IN_MX | IN_USER | IN_AUTH | IN_KEYS | IN_STORE | IN_DNS | IN_RELAY | IN_FETCH,
	IN_NET = IN_MX | IN_USER,
	IN_OUT = IN_DNS | IN_RELAY | IN_FETCH,
	IN_FILES = IN_AUTH | IN_STORE,
};
#define INT 0xffffffffull
#define SANDBOX_SOCKET_TYPE (INT & ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC))
#define SANDBOX_NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

struct sandbox_call {
	unsigned roles;
	int call;
	int error;        /* answer with it; 0: the call is allowed */
	unsigned checks;  /* arguments looked at */
	struct scmp_arg_cmp check[3];
};

static unsigned sandbox_role_bit(const char *role)
{
	static const struct {
		const char *name;
		unsigned bit;
	} roles[] = {{"mx", IN_MX}, {"user", IN_USER}, {"auth", IN_AUTH}, {"keys", IN_KEYS}, {"store", IN_STORE}, {"dns", IN_DNS}, {"relay", IN_RELAY}, {"fetch", IN_FETCH}};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(role, roles[i].name) == 0)
			return roles[i].bit;
	return 0;
}

bool sandbox_seccomp_knows(const char *role)
{
	return sandbox_role_bit(role) != 0;
}

static int sandbox_add_call(scmp_filter_ctx filter, const struct sandbox_call *c)
{
	uint32_t action = c->error ? SCMP_ACT_ERRNO((uint16_t)c->error) : SCMP_ACT_ALLOW;
	int rc = seccomp_rule_add_array(filter, action, c->call, c->checks, c->check);

	/* EDOM: this machine has no such call; EACCES: the answer is what all other calls get */
	return rc == -EDOM || (rc == -EACCES && c->error) ? 0 : rc;
}

#define CHECK(arg, mask, value) {(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value)}
#define CALL(in, name) {(in), SCMP_SYS(name), 0, 0, {{0}}},
#define CALL_1(in, name, arg, mask, value) {(in), SCMP_SYS(name), 0, 1, {CHECK(arg, mask, value)}},
#define CALL_2(in, name, arg, mask, value, arg2, mask2, value2) {(in), SCMP_SYS(name), 0, 2, {CHECK(arg, mask, value), CHECK(arg2, mask2, value2)}},
#define CALL_3(in, name, arg, mask, value, arg2, mask2, value2, arg3, mask3, value3) \
	{(in), SCMP_SYS(name), 0, 3, {CHECK(arg, mask, value), CHECK(arg2, mask2, value2), CHECK(arg3, mask3, value3)}},
#define ANSWER(in, name, error) {(in), SCMP_SYS(name), (error), 0, {{0}}},
#define ANSWER_1(in, name, error, arg, mask, value) {(in), SCMP_SYS(name), (error), 1, {CHECK(arg, mask, value)}},

static int sandbox_add_calls(scmp_filter_ctx filter, unsigned role)
{
	const struct sandbox_call calls[] = {
#include "loop/sandbox_calls.def"
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].roles & role)
			rc = sandbox_add_call(filter, &calls[i]);
	return rc;
}

enum rc sandbox_seccomp_enter(const struct sandbox_plan *plan, struct err *err)
{
	unsigned role = sandbox_role_bit(plan->role) | (plan->thread_max ? IN_THREADS : 0);
	scmp_filter_ctx filter = seccomp_init(plan->kill_on_violation ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (!filter)
		return err_set(err, RC_IO, "seccomp: no filter to be had");
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);      /* the kernel's audit log says what was refused */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: some calls come a hundred thousand times a second */
	rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!rc)
		rc = sandbox_add_calls(filter, role);
	if (!rc)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (!rc)
		return RC_OK;
	errno = -rc;
	return err_errno(err, RC_IO, "seccomp");
}
