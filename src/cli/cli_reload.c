#include "cli/cli_reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/cli_commands.h"

/* The parent holds HOME/lock and has written its number into it: a number in a file that nobody holds is not believed. */
enum rc cli_reload_server(const char *home, struct err *err)
{
	char *path = mem_printf("%s/lock", home), text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	ssize_t n = held ? pread(fd, text, sizeof(text) - 1, 0) : 0;
	enum rc rc = RC_NONE;
	uint64_t pid;

	if (fd >= 0)
		close(fd);
	if (held) {
		struct span number = span_of(text, n > 0 ? (size_t)n : 0);

		if (num_parse(span_cut(&number, '\n'), INT32_MAX, &pid) != RC_OK || pid < 2)
			rc = err_set(err, RC_IO, "%s is held, but does not say by which process", path);
		else
			rc = kill((pid_t)pid, SIGHUP) == 0 ? RC_OK : err_errno(err, RC_IO, "process %llu", (unsigned long long)pid);
	}
	free(path);
	return rc;
}

int cli_reload(struct cli *cli)
{
	struct err err = {{0}};
	enum rc rc = cli_reload_server(cli->home, &err);

	if (rc == RC_NONE)
		return cli_fail("no server runs in %s", cli->home);
	if (rc != RC_OK)
		return cli_fail("the server could not be told: %s", err.words);
	puts("the server reads its configuration and keys anew; what it finds wrong is in its log");
	return CLI_OK;
}
