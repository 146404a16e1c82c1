/* What lets an account sign in beside its own password: application passwords, and demands. */
#include "base/clock.h"
#include "cli/cli_account.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"

/* the account's login in the credentials; NULL: said */
static struct cred *cli_login_open(struct cli *cli, struct span *login_out)
{
	struct store_account a;
	struct span address;
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address))
		return NULL;
	rc = cli_account_find(cli, address, &a);
	if (rc == RC_NONE)
		(void)cli_no_account(address);
	if (rc != RC_OK)
		return NULL;
	*login_out = cli_login_name(cli, a.address);
	return cli_cred_open(cli, false);
}

static int cli_no_login(struct span login)
{
	return cli_fail("%.*s has no password yet; give it one with: mailroom account passwd %.*s", SPAN_FMT(login), SPAN_FMT(login));
}

int cli_app_password_add(struct cli *cli)
{
	const char *name = cli->args[1];
	char password[CRED_APP_TEXT_BYTES + 1];
	struct err err = {{0}};
	struct span login;
	struct cred *c = cli_login_open(cli, &login);
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	rc = cred_app_add(c, login, span_str(name), clock_wall_ms(), password, &err);
	cli_cred_close(&c);
	if (rc == RC_NONE)
		return cli_no_login(login);
	if (rc == RC_EXISTS)
		return cli_fail("%.*s has an application password \"%s\" already; remove it first, or choose another name", SPAN_FMT(login), name);
	if (rc == RC_BAD || rc == RC_LIMIT)
		return cli_fail("%s", err.words);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "the credentials database");
	if (cli->json)
		cli_print_json(json_pack("{s:o, s:o, s:s}", "address", cli_json_text(login), "name", cli_json_text(span_str(name)), "password", password));
	else
		printf("application password for %.*s, shown this once: %s\n", SPAN_FMT(login), password);
	explicit_bzero(password, sizeof(password));
	return CLI_OK;
}

static enum rc cli_app_row(void *arg, const struct cred_app *a)
{
	const struct cli_cell cells[] = {{.text = a->name}, {.number = a->created_ms}, {.number = a->used_ms}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_app_password_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"NAME", "name", CLI_TEXT}, {"MADE", "created", CLI_TIME_MS}, {"LAST USED", "last_used", CLI_TIME_MS}};
	struct err err = {{0}};
	struct span login;
	struct cred *c = cli_login_open(cli, &login);
	struct cli_list *list;
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	list = cli_list_new(columns, 3, cli->json);
	rc = cred_app_each(c, login, cli_app_row, list, &err);
	cli_cred_close(&c);
	cli_list_print(&list, "there is no application password");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "account app-password list");
}

int cli_app_password_remove(struct cli *cli)
{
	struct err err = {{0}};
	struct span login;
	struct cred *c = cli_login_open(cli, &login);
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	rc = cred_app_remove(c, login, span_str(cli->args[1]), &err);
	cli_cred_close(&c);
	if (rc == RC_NONE)
		return cli_fail("%.*s has no application password \"%s\"; mailroom account app-password list shows all", SPAN_FMT(login), cli->args[1]);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "the credentials database");
}

static const char *const cli_demands[] = {[CRED_DEMAND_NONE] = "none", [CRED_DEMAND_APP_PASSWORD] = "app-password", [CRED_DEMAND_WEB_SIGN_IN] = "web-sign-in"};
enum { CLI_DEMANDS = sizeof(cli_demands) / sizeof(cli_demands[0]) };

const char *cli_demand_name(enum cred_demand demand)
{
	return cli_demands[demand];
}

static enum rc cli_app_count(void *arg, const struct cred_app *a)
{
	(void)a;
	++*(size_t *)arg;
	return RC_OK;
}

int cli_account_demand(struct cli *cli)
{
	struct err err = {{0}};
	struct span login;
	struct cred *c;
	size_t wanted = 0, apps = 0;
	enum rc rc;

	while (wanted < CLI_DEMANDS && strcmp(cli->args[1], cli_demands[wanted]) != 0)
		wanted++;
	if (wanted == CLI_DEMANDS)
		return cli_usage(cli, "\"%s\" is no demand; none, app-password or web-sign-in would be right", cli->args[1]);
	c = cli_login_open(cli, &login);
	if (!c)
		return CLI_FAILED;
	rc = cred_demand_set(c, login, (enum cred_demand)wanted, &err);
	if (rc == RC_OK && wanted == CRED_DEMAND_APP_PASSWORD)
		rc = cred_app_each(c, login, cli_app_count, &apps, &err);
	cli_cred_close(&c);
	if (rc == RC_NONE)
		return cli_no_login(login);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "the credentials database");
	if (wanted == CRED_DEMAND_APP_PASSWORD && apps == 0)
		cli_note("note: %.*s has no application password, so nobody can sign in to it; make one with: mailroom account app-password add %.*s NAME", SPAN_FMT(login),
			SPAN_FMT(login));
	return CLI_OK;
}
