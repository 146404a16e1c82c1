#include <signal.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
	/* a reader that goes away is an error of write, not a death */
	(void)signal(SIGPIPE, SIG_IGN);
	return cli_run(cli_commands, argc, argv);
}
