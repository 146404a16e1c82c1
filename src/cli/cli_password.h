/* cli_password - where a new password comes from: standard input, the terminal (asked twice, without echo) or chance. Never the command line, where
 * every user of the machine could read it. */
#ifndef MAILROOM_CLI_CLI_PASSWORD_H
#define MAILROOM_CLI_CLI_PASSWORD_H

#include "cli/cli.h"

#define CLI_PASSWORD_OPTIONS                                                                                                \
	{"password-stdin", NULL, "read the password from standard input, one line", false}, {"generate", NULL, "make one up and print it", false}

/* CLI_OK: the password is in out (ceiling at least LIMIT_PASSWORD_BYTES); *generated_out: nobody knows it yet. Else said on standard error. */
int cli_password_get(const struct cli *cli, const char *whose, struct buf *out, bool *generated_out);
/* a new one of about 100 bits, easy to read out: xxxxx-xxxxx-xxxxx-xxxxx */
void cli_password_make(struct buf *out);
/* CLI_OK, or why this cannot be one (on standard error) */
int cli_password_check(struct span password);
/* overwrites and frees */
void cli_password_clear(struct buf *password);

#endif
