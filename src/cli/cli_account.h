/* cli_account - accounts live in two databases, one after the other: the mail store says that an address exists, the credentials say who may sign in. What
 * changes both undoes the first where the second fails. */
#ifndef MAILROOM_CLI_CLI_ACCOUNT_H
#define MAILROOM_CLI_CLI_ACCOUNT_H

#include "cli/cli_db.h"

/* a new account, both rows; CLI_OK or said on standard error */
int cli_account_make(struct cli *cli, struct span address, struct span password, int64_t quota_bytes);
/* the credentials of an account that is in the store: a new password */
int cli_account_set_password(struct cli *cli, struct span address, struct span password);
/* RC_OK, RC_NONE, or any failure (said on standard error) */
enum rc cli_account_find(struct cli *cli, struct span address, struct store_account *out);

const char *cli_demand_name(enum cred_demand demand);
/* the form under which sign-in looks for it */
struct span cli_login_name(struct cli *cli, struct span address);

#endif
