/* what a domain's administrator says about senders and about mail for the domain */
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "policy/policy.h"
#include "store/store_policy.h"

static int cli_domain_facts(struct cli *cli, struct span domain, struct store_domain_policy *out)
{
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_domain_policy(s, domain, NULL, out, &err);
	cli_store_close(&s);
	return cli_domain_status(rc == RC_OK && !out->hosted ? RC_NONE : rc, domain, &err, "looking for the domain");
}

int cli_domain_identity(struct cli *cli)
{
	enum policy_identity identity = POLICY_IDENTITY_ENFORCE;
	struct store_domain_policy now;
	struct span domain;
	struct store *s;
	struct err err = {{0}};
	int status;
	enum rc rc;

	if (!cli_domain_name(cli, cli->args[0], &domain))
		return CLI_FAILED;
	if (cli->arg_count == 1) {
		status = cli_domain_facts(cli, domain, &now);
		if (status == CLI_OK)
			puts(policy_identity_name((enum policy_identity)now.identity));
		return status;
	}
	if (!policy_identity_parse(span_str(cli->args[1]), &identity))
		return cli_usage(cli, "\"%s\" is not one of enforce, rewrite, mark and off", cli->args[1]);
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	rc = store_domain_set_identity(s, domain, (int)identity, &err);
	cli_store_close(&s);
	return cli_domain_status(rc, domain, &err, "domain identity");
}

static int cli_domain_switch(struct cli *cli, enum rc (*set)(struct store *s, struct span domain, bool on, struct err *err))
{
	struct span domain;
	struct store *s;
	struct err err = {{0}};
	bool on;
	enum rc rc;

	if (!cli_on_off(cli, cli->args[1], &on))
		return CLI_USAGE;
	s = cli_store_open_domain(cli, 0, &domain);
	if (!s)
		return CLI_FAILED;
	rc = set(s, domain, on, &err);
	cli_store_close(&s);
	return cli_domain_status(rc, domain, &err, cli->command->name);
}

int cli_domain_guard(struct cli *cli)
{
	return cli_domain_switch(cli, store_domain_set_guard);
}

int cli_domain_require_tls(struct cli *cli)
{
	return cli_domain_switch(cli, store_domain_set_require_tls);
}

/* ---- rules */

static const struct {
	const char *name;
	enum store_domain_rule_kind kind;
} cli_rules[] = {{"allow-from", STORE_RULE_ALLOW_FROM}, {"refuse-header", STORE_RULE_REFUSE_HEADER}};

static const char *cli_rule_name(enum store_domain_rule_kind kind)
{
	for (size_t i = 0; i < sizeof(cli_rules) / sizeof(cli_rules[0]); i++)
		if (cli_rules[i].kind == kind)
			return cli_rules[i].name;
	return "";
}

static int cli_rule_change(struct cli *cli,
	enum rc (*change)(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, struct err *err))
{
	const char *kind = cli->args[1];
	struct span domain;
	struct store *s;
	struct err err = {{0}};
	size_t i = 0;
	enum rc rc;

	while (i < sizeof(cli_rules) / sizeof(cli_rules[0]) && strcmp(kind, cli_rules[i].name) != 0)
		i++;
	if (i == sizeof(cli_rules) / sizeof(cli_rules[0]))
		return cli_usage(cli, "\"%s\" is neither allow-from nor refuse-header", kind);
	s = cli_store_open_domain(cli, 0, &domain);
	if (!s)
		return CLI_FAILED;
	rc = change(s, domain, cli_rules[i].kind, span_str(cli->args[2]), &err);
	cli_store_close(&s);
	return rc == RC_OK ? CLI_OK : cli_fail("%s", err.words);
}

int cli_domain_rule_add(struct cli *cli)
{
	return cli_rule_change(cli, store_domain_rule_add);
}

int cli_domain_rule_remove(struct cli *cli)
{
	return cli_rule_change(cli, store_domain_rule_remove);
}

static enum rc cli_rule_row(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value)
{
	const struct cli_cell cells[] = {{.text = domain}, {.text = span_str(cli_rule_name(kind))}, {.text = value}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_domain_rule_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"DOMAIN", "domain", CLI_TEXT}, {"RULE", "rule", CLI_TEXT}, {"VALUE", "value", CLI_TEXT}};
	struct span domain;
	struct store *s = cli_store_open_domain(cli, STORE_READ_ONLY, &domain);
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	list = cli_list_new(columns, 3, cli->json);
	rc = store_domain_rule_each(s, domain, cli_rule_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "there is no rule; add one with: mailroom domain rule add");
	return cli_domain_status(rc, domain, &err, "domain rule list");
}
