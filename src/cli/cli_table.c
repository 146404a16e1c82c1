#include "cli/cli_commands.h"
#include "cli/cli_doctor.h"
#include "cli/cli_explain.h"
#include "cli/cli_filter.h"
#include "cli/cli_relay.h"
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
	{"reload", "", 0, 0, NULL, false, cli_reload, NULL, "have the running server read its configuration and keys anew", "The same as SIGHUP."},
	{"check", "", 0, 0, cli_check_options, true, cli_check, NULL, "say whether the configuration is right, and what is not",
		"Names the file, the line, the setting, and what would be right."},
	{"init", "", 0, 0, cli_init_options, false, cli_init, NULL, "make a home: directories, configuration, certificate, databases",
		"Leaves alone what is there already, so it can be run again."},
	{"domain add", "DOMAIN", 1, 1, NULL, false, cli_domain_add, NULL, "host a domain", ""},
	{"domain list", "", 0, 0, NULL, true, cli_domain_list, NULL, "show the hosted domains", ""},
	{"domain remove", "DOMAIN", 1, 1, NULL, false, cli_domain_remove, NULL, "host a domain no more", "It must have no accounts and aliases left."},
	{"domain catch-all", "DOMAIN [ACCOUNT]", 1, 2, cli_catch_all_options, false, cli_domain_catch_all, NULL, "send mail for unknown addresses of a domain to one account", ""},
	{"domain identity", "DOMAIN [enforce|rewrite|mark|off]", 1, 2, NULL, false, cli_domain_identity, NULL,
		"say or set what happens to a sender that is not the account's",
		"It is about mail from the accounts of this domain, the envelope's sender and the From field alike.\n"
		"enforce: refused, as at the start; rewrite: replaced by the account's address; mark: the account's address is added as Sender; off: not looked at."},
	{"domain guard", "DOMAIN on|off", 2, 2, NULL, false, cli_domain_guard, NULL, "take mail in the domain's name only from those who signed in",
		"Mail from elsewhere with a sender or a From of this domain is refused, that of mailing lists and forwarders too."},
	{"domain require-tls", "DOMAIN on|off", 2, 2, NULL, false, cli_domain_require_tls, NULL, "take mail for the domain only over TLS", ""},
	{"domain smarthost", "DOMAIN NAME|none", 2, 2, NULL, false, cli_domain_smarthost, NULL, "send mail in a domain's name through a smarthost of the configuration", ""},
	{"domain rule add", "DOMAIN allow-from|refuse-header VALUE", 3, 3, NULL, false, cli_domain_rule_add, NULL, "add a rule to what mail the domain takes",
		"allow-from: VALUE is an address or a prefix such as 192.0.2.0/24; with such rules, others without sign-in cannot send to the domain.\n"
		"refuse-header: VALUE is \"Field: pattern\"; * stands for anything and ? for one character. Such mail is refused as spam."},
	{"domain rule list", "[DOMAIN]", 0, 1, NULL, true, cli_domain_rule_list, NULL, "show the rules of the domains", ""},
	{"domain rule remove", "DOMAIN allow-from|refuse-header VALUE", 3, 3, NULL, false, cli_domain_rule_remove, NULL,
		"remove a rule, given as the list shows it", ""},
	{"domain dkim add", "DOMAIN", 1, 1, cli_dkim_add_options, false, cli_dkim_add, NULL, "make keys that sign the domain's mail, and print their records for the DNS",
		"They sign only once told so (domain dkim use), as their records have to be in the DNS first; with --now they sign at once.\n"
		"To change keys: add, put the records into the DNS, use, and remove the old ones a week later."},
	{"domain dkim list", "[DOMAIN]", 0, 1, NULL, true, cli_dkim_list, NULL, "show the keys of the domains", "--json gives the records, too."},
	{"domain dkim record", "DOMAIN [SELECTOR]", 1, 2, NULL, false, cli_dkim_record, NULL, "print the records of a domain's keys as lines of a zone file", ""},
	{"domain dkim use", "DOMAIN [SELECTOR]", 1, 2, NULL, false, cli_dkim_use, NULL, "let the new keys of a domain sign, in place of those that do",
		"Keys of the same algorithm that signed until now become old. With SELECTOR that one, new or old. A running server is told."},
	{"domain dkim remove", "DOMAIN SELECTOR", 2, 2, NULL, false, cli_dkim_remove, NULL, "remove a key", ""},
	{"account add", "ADDRESS", 1, 1, cli_account_add_options, true, cli_account_add, NULL, "add an account",
		"Asks for the password twice unless told where it comes from."},
	{"account list", "[DOMAIN]", 0, 1, NULL, true, cli_account_list, NULL, "show the accounts", ""},
	{"account show", "ADDRESS", 1, 1, NULL, true, cli_account_show, NULL, "show everything about one account", ""},
	{"account passwd", "ADDRESS", 1, 1, cli_account_passwd_options, true, cli_account_passwd, NULL, "give an account a new password",
		"Sessions that use the old one end."},
	{"account disable", "ADDRESS", 1, 1, NULL, false, cli_account_disable, NULL, "let nobody sign in and take no mail for an account", "Its mail is kept."},
	{"account enable", "ADDRESS", 1, 1, NULL, false, cli_account_enable, NULL, "undo disable", ""},
	{"account demand", "ADDRESS none|app-password|web-sign-in", 2, 2, NULL, false, cli_account_demand, NULL,
		"say what more than its password an account needs to sign in",
		"app-password: the account's own password is not taken any more, only application passwords.\n"
		"web-sign-in: held, no password lets in until the demand is none again. Sessions that are open end."},
	{"account app-password add", "ADDRESS NAME", 2, 2, NULL, true, cli_app_password_add, NULL, "make a password for one program or device and print it",
		"It is printed this once. It works for POP3 and SMTP with PLAIN and LOGIN; SCRAM works with the account's own password only."},
	{"account app-password list", "ADDRESS", 1, 1, NULL, true, cli_app_password_list, NULL, "show the application passwords of an account", ""},
	{"account app-password remove", "ADDRESS NAME", 2, 2, NULL, false, cli_app_password_remove, NULL, "take an application password back",
		"Sessions of the account that are open end."},
	{"account send-as add", "ACCOUNT ADDRESS|@DOMAIN", 2, 2, NULL, false, cli_send_as_add, NULL, "let an account use one more address as sender",
		"Its own address, aliases that lead to it alone and domains whose catch-all it is need no leave. @DOMAIN stands for every address of that domain."},
	{"account send-as list", "ACCOUNT", 1, 1, NULL, true, cli_send_as_list, NULL, "show what an account may use as sender besides its own addresses", ""},
	{"account send-as remove", "ACCOUNT ADDRESS|@DOMAIN", 2, 2, NULL, false, cli_send_as_remove, NULL, "take that leave back", ""},
	{"account sending", "ACCOUNT on|off", 2, 2, NULL, false, cli_account_sending, NULL, "let an account send mail, or only read it", ""},
	{"account smarthost", "ACCOUNT NAME|none", 2, 2, NULL, false, cli_account_smarthost, NULL, "send an account's mail through a smarthost of the configuration", ""},
	{"account quota", "ADDRESS SIZE", 2, 2, NULL, false, cli_account_quota, NULL, "set how much mail an account may hold", "SIZE is a number with KB, MB or GB, or none."},
	{"account remove", "ADDRESS", 1, 1, cli_account_remove_options, false, cli_account_remove, NULL, "remove an account and its mail", ""},
	{"would-accept", "", 0, 0, cli_would_options, true, cli_would_accept, NULL, "say what the server would do with a message, by which rule, and what would turn it",
		"Asks the same code as the server, without a connection; nothing is sent and nothing counted. What its address gives the client (network, relay window) is\n"
		"looked up as it is now."},
	{"relay list", "", 0, 0, NULL, true, cli_relay_list, NULL, "show the relay windows that are open or were of late", ""},
	{"relay revoke", "IP|ACCOUNT|all", 1, 1, NULL, false, cli_relay_revoke, NULL, "close relay windows",
		"The next sign-in to a mailbox opens one again; to stop that, change the password or disable the account."},
	{"alias add", "ADDRESS TARGET ...", 2, CLI_MANY, NULL, false, cli_alias_add, NULL, "send mail for an address on to others",
		"Targets may be here or elsewhere. Adds to the targets that there are."},
	{"alias list", "[DOMAIN]", 0, 1, NULL, true, cli_alias_list, NULL, "show the aliases", ""},
	{"alias remove", "ADDRESS [TARGET]", 1, 2, NULL, false, cli_alias_remove, NULL, "remove an alias, or one of its targets", ""},
	{"filter list", "ACCOUNT", 1, 1, NULL, true, cli_filter_list, NULL, "show the rules of an account's filter", ""},
	{"filter add", "ACCOUNT", 1, 1, cli_filter_add_options, false, cli_filter_add, NULL, "refuse, file, mark, send on, answer or throw away certain mail for an account",
		"Takes conditions and one thing to do. Several conditions of one kind are alternatives; different kinds all have to hold, or any of them with --any.\n"
		"In a PATTERN * stands for anything and ? for one character. A rule that refuses, files, sends on or throws away is the last one that a message meets.\n"
		"mailroom filter add anna@example.org --attachment-name '*.zip' --refuse 'no zip files please'"},
	{"filter vacation", "ACCOUNT on|off", 2, 2, cli_filter_vacation_options, false, cli_filter_vacation, NULL, "answer who writes to an account while its owner is away",
		"A rule named vacation, behind those that refuse and throw away; on writes it anew. Lists, programs and bounces are not answered, nobody twice within the days.\n"
		"mailroom filter vacation anna@example.org on --text 'I am away until Monday.' --until 2026-12-28"},
	{"filter remove", "ACCOUNT RULE", 2, 2, NULL, false, cli_filter_remove, NULL, "remove a rule, given by its number or name", ""},
	{"filter move", "ACCOUNT RULE N", 3, 3, NULL, false, cli_filter_move, NULL, "give a rule another place among the rules", ""},
	{"filter show", "ACCOUNT", 1, 1, NULL, false, cli_filter_show, NULL, "print an account's filter, a Sieve script", ""},
	{"filter set", "ACCOUNT FILE|-", 2, 2, NULL, false, cli_filter_set, NULL, "make a Sieve script the filter of an account",
		"What is wrong in it is said with line and column, and then nothing is changed."},
	{"filter clear", "ACCOUNT", 1, 1, NULL, false, cli_filter_clear, NULL, "remove an account's filter, rules and all", ""},
	{"filter test", "ACCOUNT FILE|-", 2, 2, cli_filter_test_options, true, cli_filter_test, NULL, "say what an account's filter would do with a message, and which line decides",
		"Nothing is delivered, and no server is needed."},
	{"folder list", "ACCOUNT", 1, 1, NULL, true, cli_folder_list, NULL, "show the folders of an account", "INBOX is what POP3 shows; the others are made by filters."},
	{"mail list", "ACCOUNT", 1, 1, cli_mail_list_options, true, cli_mail_list, NULL, "show the mail that an account holds", ""},
	{"mail show", "ACCOUNT UID", 2, 2, cli_mail_show_options, false, cli_mail_show, NULL, "print a message that an account holds", ""},
	{"limit list", "", 0, 0, cli_limit_list_options, true, cli_limit_list, NULL, "show how much of which limit is used up, and which setting says so",
		"A second or two old. Failed sign-ins are shown with --account and --address only: they are kept under hashes."},
	{"limit set", "ACCOUNT", 1, 1, cli_limit_set_options, false, cli_limit_set, NULL, "give an account limits of its own", "It holds from the next message on."},
	{"limit reset", "ACCOUNT|ALIAS|IP|NETWORK", 1, 1, NULL, false, cli_limit_reset, NULL, "forget what was counted, so that all limits are free again",
		"Forgets failed sign-ins of the account or the address, too. A running system does so within a second."},
	{"queue list", "", 0, 0, cli_queue_list_options, true, cli_queue_list, NULL, "show the mail that waits to leave, a line for each recipient: why, and when next", ""},
	{"queue show", "ID", 1, 1, NULL, true, cli_queue_show, NULL, "show one message of the queue", ""},
	{"queue why", "ID", 1, 1, NULL, true, cli_queue_why, NULL, "tell all that happened to a message, and what is known of where it goes", ""},
	{"queue destinations", "", 0, 0, NULL, true, cli_queue_destinations, NULL, "show where mail waits to go, and what is down",
		"A destination is the recipients' domain, or >NAME for the smarthost of their sender's account or domain."},
	{"queue retry", "[ID]", 0, 1, cli_queue_act_options, true, cli_queue_retry, NULL, "try mail now, whatever the schedule says", "The server notices within a second."},
	{"queue flush", "", 0, 0, NULL, true, cli_queue_flush, NULL, "try all mail now", ""},
	{"queue hold", "[ID]", 0, 1, cli_queue_act_options, true, cli_queue_hold, NULL, "keep mail from leaving until it is released", "What is being delivered is held if that fails."},
	{"queue release", "[ID]", 0, 1, cli_queue_act_options, true, cli_queue_release, NULL, "let held mail go", ""},
	{"queue bounce", "[ID]", 0, 1, cli_queue_act_options, true, cli_queue_bounce, NULL, "give mail up, and tell its sender", ""},
	{"queue remove", "[ID]", 0, 1, cli_queue_act_options, true, cli_queue_remove, NULL, "remove mail from the queue without telling anybody", ""},
	{"message ids", "", 0, 0, NULL, true, cli_message_ids, NULL, "print the Message-ID of everything held",
		"A line for each copy: Message-ID, a tab, and where it is (an account, or queue). - stands for mail without one."},
	{"why", "[WHAT]", 0, 1, cli_why_options, true, cli_why, NULL, "say what happened, and for which cause",
		"WHAT is an account or any mail address, an IP address or network, a session reference, a queue id, or a cause; without it, everything.\n"
		"First comes what is wrong and what to do, then the sessions, newest first. How far back it goes: days and size of history in the configuration."},
	{"dns", "NAME|IP [TYPE]", 1, 2, NULL, true, cli_dns, NULL, "look a name up as the server does, and say how far the answer can be trusted",
		"TYPE is MX, A, AAAA, CNAME, TXT, PTR or TLSA; without it MX, A and AAAA are looked up, of an IP address its name. The resolvers and all else are\n"
		"those of the configuration (section dns). Status 0: something was found."},
	{"explain", "TEXT ...", 0, CLI_MANY, NULL, false, NULL, cli_explain, "say what a refusal means and what to do",
		"TEXT is a reply line, an enhanced code, or the name of a cause; a file or standard input may also be a bounce, the protocol of a conversation or a log.\n"
		"Options: --json, --why, --program NAME, --file FILE, --batch FILE."},
	{"doctor", "ADDRESS|HOST", 1, 1, cli_doctor_options, true, cli_doctor, NULL, "try an account's servers and say what keeps it from sending",
		"Works against any server. Ends with one cause, the next step, and the settings that work. A password never goes in the clear unless told to."},
	{"version", "", 0, 0, NULL, true, cli_version, NULL, "print the version", ""},
	{"role", "NAME WORKER", 2, 2, NULL, false, cli_role, NULL, NULL, ""},
	{NULL, NULL, 0, 0, NULL, false, NULL, NULL, NULL, NULL},
};
