/* cli_db - the two databases of a home, opened by the command line with the rights of the role that owns each: what lies in a role's directory is the
 * role's to choose, so root does not follow names in there. One at a time. */
#ifndef MAILROOM_CLI_CLI_DB_H
#define MAILROOM_CLI_CLI_DB_H

#include "cli/cli.h"
#include "store/cred.h"
#include "store/history.h"
#include "store/store.h"

/* HOME/store, HOME/auth. NULL: said on standard error. Until closed, a process that was root has that directory as its root and its owner's uid. */
struct store *cli_store_open(const struct cli *cli, unsigned flags);
void cli_store_close(struct store **s);
struct cred *cli_cred_open(const struct cli *cli, bool create);
void cli_cred_close(struct cred **c);

/* The history beside the mail, for reading: false: said on standard error; true with NULL: there is none yet. */
bool cli_history_open(const struct cli *cli, struct history **out);
void cli_history_close(struct history **h);

/* words of a failed call, with what to do about it; returns CLI_FAILED */
int cli_store_failed(enum rc rc, const struct err *err, const char *doing);

#endif
