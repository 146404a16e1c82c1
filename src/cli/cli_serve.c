#include "cli/cli_commands.h"

#include <sys/stat.h>

#include "conf/conf.h"
#include "role/role.h"

const struct cli_option cli_serve_options[] = {
	{"config", "FILE", "the configuration (default: mailroom.conf in the home directory)", false},
	{"listen", "NAME=ADDR:PORT", "move a listener of the configuration; an IPv6 address in [ ]", true},
	{"foreground", NULL, "stay in the foreground, as serve always does", false},
	{NULL, NULL, NULL, false},
};

int cli_serve(struct cli *cli)
{
	struct stat st;
	struct err err = {{0}};

	for (size_t i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].option->name, "listen") == 0 && conf_override_listen(cli->given[i].value, &err) != RC_OK)
			return cli_usage(cli, "%s", err.words);
	if (stat(cli->home, &st) != 0 || !S_ISDIR(st.st_mode))
		return cli_fail("there is no mail system in %s; make one with: mailroom init --home %s", cli->home, cli->home);
	return parent_main(cli_get(cli, "config"), cli->home);
}
