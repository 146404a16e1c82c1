/* mailroom relay: the relay windows (POP before SMTP) that are open, were open of late, and closing them */
#include "cli/cli_relay.h"

#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "store/cred_window.h"

static const struct cli_column cli_relay_columns[] = {{"ADDRESS", "address", CLI_TEXT}, {"ACCOUNT", "account", CLI_TEXT}, {"BY", "service", CLI_TEXT},
	{"OPENED", "opened", CLI_TIME_MS}, {"UNTIL", "until", CLI_TIME_MS}, {"STATE", "state", CLI_TEXT}};
enum { CLI_RELAY_COLUMNS = sizeof(cli_relay_columns) / sizeof(cli_relay_columns[0]) };

static struct span cli_relay_state(const struct cred_window *w, int64_t now_ms)
{
	switch (w->reason) {
	case CRED_WINDOW_REVOKED:
		return SPAN_LIT("revoked");
	case CRED_WINDOW_ACCOUNT:
		return SPAN_LIT("ended: the account changed");
	case CRED_WINDOW_SHARED:
		return now_ms < w->until_ms ? SPAN_LIT("closed: several accounts share the address") : SPAN_LIT("closed");
	case CRED_WINDOW_OPEN:
		break;
	}
	return cred_window_is_open(w, now_ms) ? SPAN_LIT("open") : SPAN_LIT("closed");
}

static enum rc cli_relay_row(void *arg, const struct cred_window *w)
{
	const struct cli_cell cells[CLI_RELAY_COLUMNS] = {{.text = w->peer}, {.text = w->address}, {.text = w->service}, {.number = w->opened_ms},
		{.number = w->closed_ms ? w->closed_ms : w->until_ms}, {.text = cli_relay_state(w, clock_wall_ms())}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_relay_list(struct cli *cli)
{
	struct cred *c = cli_cred_open(cli, false);
	struct cli_list *list;
	struct err err = {""};
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	list = cli_list_new(cli_relay_columns, CLI_RELAY_COLUMNS, cli->json);
	rc = cred_window_each(c, cli_relay_row, list, &err);
	cli_cred_close(&c);
	cli_list_print(&list, "no relay window was open of late (they are off unless a pop3 listener says relay-window = yes)");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "relay list");
}

int cli_relay_revoke(struct cli *cli)
{
	struct cred *c = cli_cred_open(cli, false);
	struct err err = {""};
	int64_t count = 0;
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	rc = cred_window_revoke(c, span_str(cli->args[0]), clock_wall_ms(), &count, &err);
	cli_cred_close(&c);
	if (rc == RC_NONE)
		return cli_fail("no relay window is open for %s; mailroom relay list shows them", cli->args[0]);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "relay revoke");
	printf("closed %lld\n", (long long)count);
	return CLI_OK;
}
