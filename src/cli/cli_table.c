#include "cli/cli_commands.h"
#include "cli/cli_explain.h"
#include "role/role.h"

/* `mailroom role NAME WORKER`: what the parent starts; not for people */
static int cli_role(struct cli *cli)
{
	return role_main(cli->args[0], cli->args[1]);
}

enum { CLI_MANY = 4096 };

const struct cli_command cli_commands[] = {
	{"serve", "", 0, 0, cli_serve_options, false, cli_serve, NULL, "run the mail system in the foreground",
		"SIGHUP reads the configuration again; SIGTERM and Ctrl-C finish what is in hand and stop.\nThe log goes to standard error unless the configuration says otherwise."},
	{"check", "", 0, 0, cli_check_options, true, cli_check, NULL, "say whether the configuration is right, and what is not",
		"Names the file, the line, the setting, and what would be right."},
	{"init", "", 0, 0, cli_init_options, false, cli_init, NULL, "make a home: directories, configuration, certificate, databases",
		"Leaves alone what is there already, so it can be run again."},
	{"domain add", "DOMAIN", 1, 1, NULL, false, cli_domain_add, NULL, "host a domain", ""},
	{"domain list", "", 0, 0, NULL, true, cli_domain_list, NULL, "show the hosted domains", ""},
	{"domain remove", "DOMAIN", 1, 1, NULL, false, cli_domain_remove, NULL, "host a domain no more", "It must have no accounts and aliases left."},
	{"domain catch-all", "DOMAIN [ACCOUNT]", 1, 2, cli_catch_all_options, false, cli_domain_catch_all, NULL, "send mail for unknown addresses of a domain to one account", ""},
	{"account add", "ADDRESS", 1, 1, cli_account_add_options, true, cli_account_add, NULL, "add an account",
		"Asks for the password twice unless told where it comes from."},
	{"account list", "[DOMAIN]", 0, 1, NULL, true, cli_account_list, NULL, "show the accounts", ""},
	{"account passwd", "ADDRESS", 1, 1, cli_account_passwd_options, true, cli_account_passwd, NULL, "give an account a new password",
		"Sessions that use the old one end."},
	{"account disable", "ADDRESS", 1, 1, NULL, false, cli_account_disable, NULL, "let nobody sign in and take no mail for an account", "Its mail is kept."},
	{"account enable", "ADDRESS", 1, 1, NULL, false, cli_account_enable, NULL, "undo disable", ""},
	{"account quota", "ADDRESS SIZE", 2, 2, NULL, false, cli_account_quota, NULL, "set how much mail an account may hold", "SIZE is a number with KB, MB or GB, or none."},
	{"account remove", "ADDRESS", 1, 1, cli_account_remove_options, false, cli_account_remove, NULL, "remove an account and its mail", ""},
	{"alias add", "ADDRESS TARGET ...", 2, CLI_MANY, NULL, false, cli_alias_add, NULL, "send mail for an address on to others",
		"Targets may be here or elsewhere. Adds to the targets that there are."},
	{"alias list", "[DOMAIN]", 0, 1, NULL, true, cli_alias_list, NULL, "show the aliases", ""},
	{"alias remove", "ADDRESS [TARGET]", 1, 2, NULL, false, cli_alias_remove, NULL, "remove an alias, or one of its targets", ""},
	{"queue list", "", 0, 0, NULL, true, cli_queue_list, NULL, "show the mail that waits to leave, a line for each recipient", ""},
	{"queue show", "ID", 1, 1, NULL, true, cli_queue_show, NULL, "show one message of the queue", ""},
	{"message ids", "", 0, 0, NULL, true, cli_message_ids, NULL, "print the Message-ID of everything held",
		"A line for each copy: Message-ID, a tab, and where it is (an account, or queue). - stands for mail without one."},
	{"explain", "TEXT ...", 0, CLI_MANY, NULL, false, NULL, cli_explain, "say what a refusal means and what to do",
		"TEXT is a reply line, an enhanced code, or the name of a cause. Options: --json, --why."},
	{"version", "", 0, 0, NULL, true, cli_version, NULL, "print the version", ""},
	{"role", "NAME WORKER", 2, 2, NULL, false, cli_role, NULL, NULL, ""},
	{NULL, NULL, 0, 0, NULL, false, NULL, NULL, NULL, NULL},
};
