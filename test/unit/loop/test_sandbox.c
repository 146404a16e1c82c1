/* Each role tries everything that its walls forbid, from inside (test/tools/sandbox_try.c, started anew for every try), with the filter set to
 * end the process and set to answer EPERM; and what the role is there for must still work. argv[1]: sandbox_try. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/sandbox.h"
#include "loop/sandbox_inside.h"
#include "loop/sandbox_probe.h"

enum { TRY_UID = 64917 };

static const char *try_program;
static char dir_write[64], dir_empty[64];

static const struct {
	const char *name;
	bool files;
	const char *may; /* tries that are its business; how far is tried in test_goes_out */
} roles[] = {{"mx", false, ""}, {"user", false, ""}, {"auth", true, ""}, {"keys", false, ""}, {"store", true, ""}, {"dns", false, "socket-inet connect bind"}, {"relay", false, "socket-inet connect bind"}, {"fetch", false, "socket-inet connect"}};
enum { ROLES = sizeof(roles) / sizeof(roles[0]) };

enum setting { AS_WE_ARE, OWN_UID, OWN_UID_AND_ROOT, SETTINGS };

struct outcome {
	int status;       /* of waitpid */
	char words[4000]; /* what it printed */
};

static void run_args(struct outcome *out, const char *const *args)
{
	size_t len = 0;
	ssize_t n;
	pid_t pid;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(fds[1], STDOUT_FILENO) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
			_exit(9);
		close(fds[0]);
		close(fds[1]);
		execv(try_program, (char *const *)(uintptr_t)args);
		_exit(9);
	}
	close(fds[1]);
	while ((n = read(fds[0], out->words + len, sizeof(out->words) - 1 - len)) > 0)
		len += (size_t)n;
	out->words[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &out->status, 0), pid);
}

static void run(struct outcome *out, size_t role, enum setting setting, bool kill, const char *try)
{
	const char *args[12] = {try_program};
	size_t n = 1;

	if (kill)
		args[n++] = "--kill";
	if (setting != AS_WE_ARE) {
		args[n++] = "--uid";
		args[n++] = "64917";
	}
	if (setting == OWN_UID_AND_ROOT) {
		args[n++] = "--root";
		args[n++] = roles[role].files ? dir_write : dir_empty;
	}
	if (roles[role].files) {
		args[n++] = "--write";
		args[n++] = dir_write;
	}
	args[n++] = roles[role].name;
	args[n++] = try;
	run_args(out, args);
}

static bool opens_a_file(const char *try)
{
	return strcmp(try, "open-read") == 0 || strcmp(try, "create") == 0 || strcmp(try, "open-root") == 0;
}

/* libunbound tries it and connects when it hears that there is no such thing */
static bool answered(size_t role, const char *try)
{
	return strcmp(roles[role].name, "dns") == 0 && strcmp(try, "sendmsg-fastopen") == 0;
}

static bool setting_possible(enum setting setting)
{
	return setting == AS_WE_ARE || geteuid() == 0;
}

static void check_exit(const struct outcome *o, const char *role, const char *try, const char *expected)
{
	if (!WIFEXITED(o->status) || WEXITSTATUS(o->status) != 0 || strncmp(o->words, expected, strlen(expected)) != 0)
		fail_msg("%s, %s: status %x, expected '%s', said '%s'", role, try, (unsigned)o->status, expected, o->words);
}

/* behind its own root, "/" is the role's directory: the store may look into it */
static bool may(size_t role, enum setting setting, const char *try)
{
	return strstr(roles[role].may, try) || (roles[role].files && setting == OWN_UID_AND_ROOT && strcmp(try, "open-root") == 0);
}

static void test_denied(void **state)
{
	struct outcome o;

	(void)state;
	for (enum setting setting = AS_WE_ARE; setting < SETTINGS; setting++)
		for (size_t r = 0; r < ROLES && setting_possible(setting); r++)
			for (size_t i = 0; i < sandbox_probe_count(); i++) {
				const char *try = sandbox_probe_name(i);

				run(&o, r, setting, false, try);
				if (!may(r, setting, try))
					check_exit(&o, roles[r].name, try, "denied");
			}
}

static void test_killed(void **state)
{
	struct outcome o;

	(void)state;
	for (size_t r = 0; r < ROLES; r++)
		for (size_t i = 0; i < sandbox_probe_count(); i++) {
			const char *try = sandbox_probe_name(i);

			if (may(r, AS_WE_ARE, try))
				continue;
			run(&o, r, AS_WE_ARE, true, try);
			if ((opens_a_file(try) && (roles[r].files || SANDBOX_SANITIZER)) || answered(r, try))
				check_exit(&o, roles[r].name, try, "denied");
			else if (!WIFSIGNALED(o.status) || WTERMSIG(o.status) != SIGSYS)
				fail_msg("%s, %s: not killed but status %x: %s", roles[r].name, try, (unsigned)o.status, o.words);
		}
}

static void test_all_at_once(void **state)
{
	struct outcome o;

	(void)state;
	for (size_t r = 0; r < ROLES; r++) {
		if (*roles[r].may)
			continue;
		run(&o, r, AS_WE_ARE, false, "all");
		check_exit(&o, roles[r].name, "all", "open-read denied (");
		assert_null(strstr(o.words, "ALLOWED"));
	}
}

/* that the tries can find an open door: the same ones without walls, in a child of this program */
static void test_probe_without_walls(void **state)
{
	static const char *const open_doors[] = {"open-read", "open-root", "create", "socket-inet", "socket-unix", "socket-mptcp", "sendto-fastopen",
		"sendmsg-fastopen", "sendmmsg", "setsockopt-fastopen", "connect", "bind", "listen", "fork",
		"execve", "kill-parent", "mmap-exec", "mprotect-exec", "ioctl"};
	int status, error;
	pid_t pid = fork();

	(void)state;
	for (size_t k = 0; pid == 0 && k < sizeof(open_doors) / sizeof(open_doors[0]); k++)
		for (size_t i = 0; i < sandbox_probe_count(); i++)
			if (strcmp(sandbox_probe_name(i), open_doors[k]) == 0 && sandbox_probe_try(i, &error))
				_exit(10 + (int)k);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("status %x: %s is denied without any wall", (unsigned)status, WIFEXITED(status) ? open_doors[WEXITSTATUS(status) - 10] : "?");
}

static void test_serves(void **state)
{
	struct outcome o;

	(void)state;
	for (enum setting setting = AS_WE_ARE; setting < SETTINGS; setting++)
		for (size_t r = 0; r < 2 && setting_possible(setting); r++) {
			run(&o, r, setting, true, "serve");
			check_exit(&o, roles[r].name, "serve", "works: TLSv1.3");
		}
}

/* who goes out connects to the ports it has been given, and is nobody's server */
static void test_goes_out(void **state)
{
	static const struct {
		const char *role, *try, *expected; /* NULL: ended by the filter */
	} tries[] = {
		{"dns", "tcp-given-port", "works"}, {"dns", "tcp-other-port", "denied"}, {"dns", "tcp-bind", "denied"}, {"dns", "udp", "works"},
		{"relay", "tcp-given-port", "works"}, {"relay", "tcp-other-port", "denied"}, {"relay", "tcp-bind", "denied"}, {"relay", "udp", NULL},
		{"fetch", "tcp-given-port", "works"}, {"fetch", "tcp-other-port", "denied"}, {"fetch", "tcp-bind", NULL},
	};
	const char *args[] = {try_program, "--kill", "--port", "9", NULL, NULL, NULL};
	struct outcome o;

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		args[4] = tries[i].role;
		args[5] = tries[i].try;
		run_args(&o, args);
		if (strncmp(o.words, "no Landlock for ports", 21) == 0)
			continue;
		if (tries[i].expected)
			check_exit(&o, tries[i].role, tries[i].try, tries[i].expected);
		else if (!WIFSIGNALED(o.status) || WTERMSIG(o.status) != SIGSYS)
			fail_msg("%s, %s: not killed but status %x: %s", tries[i].role, tries[i].try, (unsigned)o.status, o.words);
	}
}

static void test_files(void **state)
{
	static const char *const tries[] = {"files", "sqlite"};
	struct outcome o;

	(void)state;
	for (enum setting setting = AS_WE_ARE; setting < SETTINGS; setting++)
		for (size_t r = 0; r < ROLES && setting_possible(setting); r++)
			for (size_t i = 0; i < 2 && roles[r].files; i++) {
				run(&o, r, setting, true, tries[i]);
				check_exit(&o, roles[r].name, tries[i], "works");
			}
}

static void test_walls(void **state)
{
	struct outcome o;

	(void)state;
	run(&o, 0, AS_WE_ARE, false, "walls");
	check_exit(&o, "mx", "walls", "walls: landlock ");
	assert_non_null(strstr(o.words, "seccomp, rlimits, no_new_privs"));
	assert_non_null(strstr(o.words, "without uid, root"));
	if (geteuid() != 0)
		return;
	run(&o, 0, OWN_UID_AND_ROOT, false, "walls");
	check_exit(&o, "mx", "walls", "walls: uid, root, landlock ");
}

static void test_refused_plans(void **state)
{
	const char *unknown[] = {try_program, "butler", "walls", NULL};
	const char *no_dir[] = {try_program, "--write", "/nonexistent/mail", "store", "walls", NULL};
	struct outcome o;

	(void)state;
	run_args(&o, unknown);
	assert_int_equal(WEXITSTATUS(o.status), 4);
	assert_non_null(strstr(o.words, "no list of system calls for role 'butler'"));
	run_args(&o, no_dir);
	assert_int_equal(WEXITSTATUS(o.status), 4);
	assert_non_null(strstr(o.words, "/nonexistent/mail: No such file"));
}

static void test_describe(void **state)
{
	char words[200];

	(void)state;
	assert_string_equal(sandbox_describe(WALL_UID | WALL_ROOT | WALL_LANDLOCK | WALL_SECCOMP | WALL_RLIMITS | WALL_NO_NEW_PRIVS | WALL_MDWE, 7, words),
		"uid, root, landlock 7, seccomp, rlimits, no_new_privs, mdwe");
	assert_string_equal(sandbox_describe(WALL_SECCOMP, 0, words), "seccomp without uid, root, landlock, rlimits, no_new_privs, mdwe");
	assert_string_equal(sandbox_describe(0, 0, words), "none without uid, root, landlock, seccomp, rlimits, no_new_privs, mdwe");
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir_write, sizeof(dir_write), "/tmp/sandbox-write-XXXXXX");
	(void)snprintf(dir_empty, sizeof(dir_empty), "/tmp/sandbox-empty-XXXXXX");
	if (!mkdtemp(dir_write) || !mkdtemp(dir_empty) || chmod(dir_write, 0777) || chmod(dir_empty, 0755))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir_write) || rmdir(dir_empty);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe), cmocka_unit_test(test_refused_plans), cmocka_unit_test(test_walls), cmocka_unit_test(test_probe_without_walls),
		cmocka_unit_test(test_files), cmocka_unit_test(test_goes_out), cmocka_unit_test(test_serves), cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_denied),
		cmocka_unit_test(test_killed),
	};

	if (argc != 2)
		return 2;
	try_program = argv[1];
	return cmocka_run_group_tests(tests, setup, teardown);
}
