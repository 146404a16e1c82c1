/* cli_relay - commands about who may send: relay list, relay revoke, would-accept */
#ifndef MAILROOM_CLI_CLI_RELAY_H
#define MAILROOM_CLI_CLI_RELAY_H

#include "cli/cli.h"

extern const struct cli_option cli_would_options[];
int cli_would_accept(struct cli *cli);
int cli_relay_list(struct cli *cli);
int cli_relay_revoke(struct cli *cli);

#endif
