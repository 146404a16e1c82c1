#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

int cli_alias_add(struct cli *cli)
{
	struct span alias, target;
	struct store *s;
	struct err err = {{0}};
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &alias))
		return CLI_FAILED;
	for (int i = 1; i < cli->arg_count; i++)
		if (!cli_address(cli, cli->args[i], &target))
			return CLI_FAILED;
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	/* all of them or none */
	rc = store_begin(s, &err);
	for (int i = 1; i < cli->arg_count && rc == RC_OK; i++) {
		rc = cli_address(cli, cli->args[i], &target) ? RC_OK : RC_BAD;
		if (rc == RC_OK)
			rc = store_alias_add(s, alias, target, &err);
	}
	if (rc == RC_OK)
		rc = store_commit(s, &err);
	else if (store_in_transaction(s))
		store_rollback(s);
	cli_store_close(&s);
	if (rc == RC_NONE)
		return cli_no_domain_for(alias);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "alias add");
}

static enum rc cli_alias_row(void *arg, const struct store_alias *a)
{
	const struct cli_cell cells[] = {{.text = a->address}, {.text = a->target}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_alias_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"ALIAS", "alias", CLI_ADDRESS}, {"TARGET", "target", CLI_ADDRESS}};
	struct span domain;
	struct store *s = cli_store_open_domain(cli, STORE_READ_ONLY, &domain);
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	list = cli_list_new(columns, 2, cli->json);
	rc = store_alias_each(s, domain, cli_alias_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "there is no alias");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "alias list");
}

int cli_alias_remove(struct cli *cli)
{
	struct span alias, target = SPAN_NONE;
	struct store *s;
	struct err err = {{0}};
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &alias) || (cli->arg_count == 2 && !cli_address(cli, cli->args[1], &target)))
		return CLI_FAILED;
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	rc = store_alias_remove(s, alias, target, &err);
	cli_store_close(&s);
	if (rc == RC_NONE && target.len)
		return cli_fail("there is no alias from %s to %s; mailroom alias list shows all", cli->args[0], cli->args[1]);
	if (rc == RC_NONE)
		return cli_fail("there is no alias %s; mailroom alias list shows all", cli->args[0]);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "alias remove");
}
