#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "policy/policy.h"
#include "store/store_policy.h"

const struct cli_option cli_catch_all_options[] = {{"none", NULL, "refuse unknown addresses again", false}, {NULL, NULL, NULL, false}};

int cli_domain_add(struct cli *cli)
{
	struct span name;
	struct store *s = cli_store_open_domain(cli, 0, &name);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_domain_add(s, name, &err);
	cli_store_close(&s);
	if (rc == RC_EXISTS)
		return cli_fail("domain %.*s is hosted here already", SPAN_FMT(name));
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "domain add");
	printf("added %.*s; next: mailroom account add NAME@%.*s\n", SPAN_FMT(name), SPAN_FMT(name));
	return CLI_OK;
}

struct cli_domain_listing {
	struct cli_list *list;
	struct store *s;
	struct err *err;
};

static enum rc cli_domain_row(void *arg, const struct store_domain *d)
{
	struct cli_domain_listing *l = arg;
	struct store_domain_policy p = {0};
	enum rc rc = store_domain_policy(l->s, d->name, NULL, &p, l->err);
	const struct cli_cell cells[] = {{.text = d->name}, {.number = d->accounts}, {.number = d->aliases}, {.text = d->catch_all},
		{.text = span_str(policy_identity_name((enum policy_identity)p.identity))}, {.number = p.guard_own}, {.number = p.require_tls},
		{.number = p.has_allow_list || p.has_header_rules}};

	if (rc == RC_OK)
		cli_list_add(l->list, cells);
	return rc;
}

int cli_domain_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"DOMAIN", "domain", CLI_TEXT}, {"ACCOUNTS", "accounts", CLI_NUMBER}, {"ALIASES", "aliases", CLI_NUMBER},
		{"CATCH-ALL", "catch_all", CLI_ADDRESS}, {"IDENTITY", "identity", CLI_TEXT}, {"GUARD", "guard", CLI_YES}, {"TLS", "require_tls", CLI_YES},
		{"RULES", "rules", CLI_YES}};
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct err err = {{0}};
	struct cli_domain_listing l = {.s = s, .err = &err};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	l.list = cli_list_new(columns, 8, cli->json);
	rc = store_domain_each(s, cli_domain_row, &l, &err);
	cli_store_close(&s);
	cli_list_print(&l.list, "no domain is hosted here; add one with: mailroom domain add example.org");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "domain list");
}

int cli_domain_remove(struct cli *cli)
{
	struct span name;
	struct store *s = cli_store_open_domain(cli, 0, &name);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_domain_remove(s, name, &err);
	cli_store_close(&s);
	if (rc == RC_BUSY)
		return cli_fail("domain %.*s still has accounts or aliases; remove them first, see: mailroom account list %.*s, mailroom alias list %.*s", SPAN_FMT(name),
			SPAN_FMT(name), SPAN_FMT(name));
	return cli_domain_status(rc, name, &err, "domain remove");
}

int cli_domain_catch_all(struct cli *cli)
{
	struct span name, account = SPAN_NONE;
	struct store *s;
	struct err err = {{0}};
	bool none = cli_get(cli, "none") != NULL;
	enum rc rc;

	if (none == (cli->arg_count == 2))
		return cli_usage(cli, "domain catch-all: an account, or --none");
	if (!cli_domain_name(cli, cli->args[0], &name) || (!none && !cli_address(cli, cli->args[1], &account)))
		return CLI_FAILED;
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	rc = store_domain_catch_all(s, name, account, &err);
	cli_store_close(&s);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "domain catch-all");
}
