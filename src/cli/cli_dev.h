/* cli_dev - what `mailroom init --dev` adds: two accounts whose passwords are printed and kept readable in HOME/dev-passwords, so that running it again
 * prints the same. Never for real mail. */
#ifndef MAILROOM_CLI_CLI_DEV_H
#define MAILROOM_CLI_CLI_DEV_H

#include "cli/cli.h"

#define CLI_DEV_DOMAIN "mailroom.test"
#define CLI_DEV_HOSTNAME "mail.mailroom.test"

int cli_dev_accounts(struct cli *cli);

#endif
