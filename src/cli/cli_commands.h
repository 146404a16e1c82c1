/* cli_commands - what the table in cli_table.c names; one file a family */
#ifndef MAILROOM_CLI_CLI_COMMANDS_H
#define MAILROOM_CLI_CLI_COMMANDS_H

#include "cli/cli.h"

int cli_serve(struct cli *cli);
int cli_check(struct cli *cli);
int cli_init(struct cli *cli);
int cli_domain_add(struct cli *cli);
int cli_domain_list(struct cli *cli);
int cli_domain_remove(struct cli *cli);
int cli_domain_catch_all(struct cli *cli);
int cli_domain_identity(struct cli *cli);
int cli_domain_guard(struct cli *cli);
extern const struct cli_option cli_dkim_add_options[];
int cli_dkim_add(struct cli *cli);
int cli_dkim_list(struct cli *cli);
int cli_dkim_record(struct cli *cli);
int cli_dkim_use(struct cli *cli);
int cli_dkim_remove(struct cli *cli);
int cli_reload(struct cli *cli);
int cli_domain_require_tls(struct cli *cli);
int cli_domain_rule_add(struct cli *cli);
int cli_domain_rule_list(struct cli *cli);
int cli_domain_rule_remove(struct cli *cli);
int cli_account_add(struct cli *cli);
int cli_account_list(struct cli *cli);
int cli_account_passwd(struct cli *cli);
int cli_account_disable(struct cli *cli);
int cli_account_enable(struct cli *cli);
int cli_account_quota(struct cli *cli);
int cli_account_remove(struct cli *cli);
int cli_account_show(struct cli *cli);
int cli_account_sending(struct cli *cli);
int cli_send_as_add(struct cli *cli);
int cli_send_as_list(struct cli *cli);
int cli_send_as_remove(struct cli *cli);
int cli_account_demand(struct cli *cli);
int cli_app_password_add(struct cli *cli);
int cli_app_password_list(struct cli *cli);
int cli_app_password_remove(struct cli *cli);
int cli_alias_add(struct cli *cli);
int cli_alias_list(struct cli *cli);
int cli_alias_remove(struct cli *cli);
int cli_queue_list(struct cli *cli);
int cli_queue_show(struct cli *cli);
int cli_queue_why(struct cli *cli);
int cli_queue_retry(struct cli *cli);
int cli_queue_hold(struct cli *cli);
int cli_queue_release(struct cli *cli);
int cli_queue_remove(struct cli *cli);
int cli_queue_bounce(struct cli *cli);
int cli_queue_flush(struct cli *cli);
int cli_queue_destinations(struct cli *cli);
int cli_account_smarthost(struct cli *cli);
int cli_domain_smarthost(struct cli *cli);
int cli_message_ids(struct cli *cli);
int cli_limit_list(struct cli *cli);
int cli_limit_set(struct cli *cli);
int cli_limit_reset(struct cli *cli);
int cli_dns(struct cli *cli);
int cli_why(struct cli *cli);
int cli_version(struct cli *cli);

extern const struct cli_option cli_queue_list_options[], cli_queue_act_options[], cli_limit_list_options[], cli_limit_set_options[], cli_why_options[], cli_serve_options[], cli_check_options[], cli_init_options[], cli_catch_all_options[], cli_account_add_options[],
	cli_account_passwd_options[], cli_account_remove_options[];

#endif
