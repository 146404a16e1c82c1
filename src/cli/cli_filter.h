/* cli_filter - what the files of `mailroom filter`, `folder` and `mail` share. */
#ifndef MAILROOM_CLI_CLI_FILTER_H
#define MAILROOM_CLI_CLI_FILTER_H

#include "cli/cli.h"
#include "policy/sieve_rule.h"
#include "store/store_filter.h"

/* The account and its script (empty: it has none), in cli->mem. CLI_OK, or said on standard error. */
int cli_filter_read(struct cli *cli, struct span *account_out, struct span *script_out, int64_t *changed_ms_out);
/* account as the first argument says; RC_NONE: there is none (not said) */
int cli_filter_account(struct cli *cli, struct store *s, struct store_account *out);
/* Compiles what this server can do; a fault is said with FILE:LINE:COLUMN. */
int cli_filter_check(struct span script, const char *name, struct arena *mem, const struct sieve_script **out);
/* all of a file, or of standard input ("-"), at most max bytes; false: said */
bool cli_filter_file(const char *name, size_t max, struct buf *out);

/* "if an attachment is named *.zip: refuse it (no zip files please)"; safe for a terminal */
void cli_filter_words(const struct sieve_rule *rule, struct buf *out);
/* Text for standard output: as it is, or safe for a terminal where that is one (line breaks and tabs stay). */
void cli_filter_print(struct span text, bool raw);

extern const struct cli_option cli_filter_add_options[], cli_filter_vacation_options[], cli_filter_test_options[], cli_mail_list_options[],
	cli_mail_show_options[];
int cli_filter_list(struct cli *cli);
int cli_filter_add(struct cli *cli);
int cli_filter_vacation(struct cli *cli);
int cli_filter_remove(struct cli *cli);
int cli_filter_move(struct cli *cli);
int cli_filter_show(struct cli *cli);
int cli_filter_set(struct cli *cli);
int cli_filter_clear(struct cli *cli);
int cli_filter_test(struct cli *cli);
int cli_folder_list(struct cli *cli);
int cli_mail_list(struct cli *cli);
int cli_mail_show(struct cli *cli);

#endif
