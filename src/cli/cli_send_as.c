/* what an account may send as, besides its own addresses, and whether it may send at all */
#include "cli/cli_account.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "store/store_policy.h"

static int cli_send_as_change(struct cli *cli, enum rc (*change)(struct store *s, struct span account, struct span what, struct err *err))
{
	struct span account;
	struct store *s = cli_store_open_address(cli, 0, &account);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = change(s, account, span_str(cli->args[1]), &err);
	cli_store_close(&s);
	if (rc == RC_IO || rc == RC_BUSY || rc == RC_FULL)
		return cli_store_failed(rc, &err, cli->command->name);
	return rc == RC_OK ? CLI_OK : cli_fail("%s", err.words);
}

int cli_send_as_add(struct cli *cli)
{
	return cli_send_as_change(cli, store_send_as_add);
}

int cli_send_as_remove(struct cli *cli)
{
	return cli_send_as_change(cli, store_send_as_remove);
}

static enum rc cli_send_as_row(void *arg, struct span address)
{
	const struct cli_cell cells[] = {{.text = address}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_send_as_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"ADDRESS", "address", CLI_ADDRESS}};
	struct span account;
	struct store *s = cli_store_open_address(cli, STORE_READ_ONLY, &account);
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	list = cli_list_new(columns, 1, cli->json);
	rc = store_send_as_each(s, account, cli_send_as_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "it may send as its own addresses and nothing else; grant more with: mailroom account send-as add");
	return cli_account_status(rc, account, &err, "account send-as list");
}

int cli_account_sending(struct cli *cli)
{
	struct span account;
	struct store *s;
	struct err err = {{0}};
	bool on;
	enum rc rc;

	if (!cli_on_off(cli, cli->args[1], &on))
		return CLI_USAGE;
	s = cli_store_open_address(cli, 0, &account);
	if (!s)
		return CLI_FAILED;
	rc = store_account_set_sending(s, account, on, &err);
	cli_store_close(&s);
	return cli_account_status(rc, account, &err, "account sending");
}
