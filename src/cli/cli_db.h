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
/* the same for what the command's first word names, in its canonical form; a command may go without a domain: SPAN_NONE, all of them */
struct store *cli_store_open_domain(struct cli *cli, unsigned flags, struct span *domain_out);
struct store *cli_store_open_address(struct cli *cli, unsigned flags, struct span *address_out);
void cli_store_close(struct store **s);
struct cred *cli_cred_open(const struct cli *cli, bool create);
void cli_cred_close(struct cred **c);

/* The history beside the mail, for reading: false: said on standard error; true with NULL: there is none yet. */
bool cli_history_open(const struct cli *cli, struct history **out);
void cli_history_close(struct history **h);

/* words of a failed call, with what to do about it; returns CLI_FAILED */
int cli_store_failed(enum rc rc, const struct err *err, const char *doing);
/* how a call about one domain or account ended: CLI_OK, or CLI_FAILED and said; RC_NONE: there is no such one */
int cli_domain_status(enum rc rc, struct span domain, const struct err *err, const char *doing);
int cli_account_status(enum rc rc, struct span address, const struct err *err, const char *doing);
/* CLI_FAILED, said: an account that is not there; an address that cannot be made, as its domain is not hosted here */
int cli_no_account(struct span address);
int cli_no_domain_for(struct span address);

#endif
