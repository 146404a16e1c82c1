/* the outgoing queue: an administrator's hand, and the destinations */
#include "base/clock.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "cli/cli_queue.h"

/* ---- acting on rows */

static const struct {
	const char *one, *many, *none;
} cli_queue_acts[] = {
	[STORE_QUEUE_RETRY] = {"recipient is tried now", "recipients are tried now", "nothing of that waits"},
	[STORE_QUEUE_HOLD] = {"recipient is held", "recipients are held", "nothing of that could be held"},
	[STORE_QUEUE_RELEASE] = {"recipient is released", "recipients are released", "nothing of that is held"},
	[STORE_QUEUE_REMOVE] = {"recipient is removed", "recipients are removed", "nothing of that is in the queue"},
	[STORE_QUEUE_BOUNCE] = {"recipient goes back to its sender", "recipients go back to their senders", "nothing of that could be given up"},
};

static bool cli_queue_is_all(const struct store_queue_filter *f)
{
	return !f->message && !f->sender.len && !f->rcpt.len && !f->domain.len && !f->account.len && !f->cause.len && !f->older_than_ms && f->state < 0;
}

static int cli_queue_do(struct cli *cli, const struct store_queue_filter *f, enum store_queue_act act)
{
	struct store *s = cli_store_open(cli, 0);
	struct err err = {{0}};
	uint64_t changed = 0;
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_queue_act(s, f, act, clock_wall_ms(), &changed, &err);
	cli_store_close(&s);
	if (cli->json)
		cli_print_json(json_pack("{s:I}", "changed", (json_int_t)changed));
	else if (changed)
		printf("%llu %s\n", (unsigned long long)changed, changed == 1 ? cli_queue_acts[act].one : cli_queue_acts[act].many);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "queue");
	return changed ? CLI_OK : cli_fail("%s; mailroom queue list shows what there is", cli_queue_acts[act].none);
}

static int cli_queue_act(struct cli *cli, enum store_queue_act act)
{
	struct store_queue_filter filter;

	if (!cli_queue_filter(cli, &filter))
		return CLI_FAILED;
	if (cli_queue_is_all(&filter) && !cli_get(cli, "all"))
		return cli_usage(cli, "a queue id, options that choose, or --all would be right");
	return cli_queue_do(cli, &filter, act);
}

int cli_queue_retry(struct cli *cli)
{
	return cli_queue_act(cli, STORE_QUEUE_RETRY);
}

int cli_queue_hold(struct cli *cli)
{
	return cli_queue_act(cli, STORE_QUEUE_HOLD);
}

int cli_queue_release(struct cli *cli)
{
	return cli_queue_act(cli, STORE_QUEUE_RELEASE);
}

int cli_queue_remove(struct cli *cli)
{
	return cli_queue_act(cli, STORE_QUEUE_REMOVE);
}

int cli_queue_bounce(struct cli *cli)
{
	return cli_queue_act(cli, STORE_QUEUE_BOUNCE);
}

/* an empty queue is no failure */
int cli_queue_flush(struct cli *cli)
{
	struct store_queue_filter all = {.state = STORE_QUEUE_WAITING};
	struct store *s = cli_store_open(cli, 0);
	struct err err = {{0}};
	uint64_t changed = 0;
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_queue_act(s, &all, STORE_QUEUE_RETRY, clock_wall_ms(), &changed, &err);
	cli_store_close(&s);
	if (cli->json)
		cli_print_json(json_pack("{s:I}", "changed", (json_int_t)changed));
	else
		printf("%llu %s\n", (unsigned long long)changed, changed == 1 ? "recipient is tried now" : "recipients are tried now");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "queue flush");
}

/* ---- destinations */

static const struct cli_column cli_destination_columns[] = {{"DESTINATION", "destination", CLI_TEXT}, {"WAITING", "waiting", CLI_NUMBER}, {"SENDING",
	"sending", CLI_NUMBER},
	{"NEXT TRY", "next_try", CLI_TIME_MS}, {"FAILURES", "failures", CLI_NUMBER}, {"SINCE", "since", CLI_TIME_MS}, {"CAUSE", "cause", CLI_TEXT}, {"HOST",
		"host", CLI_TEXT},
	{"WORDS", "words", CLI_TEXT}};
enum { CLI_DESTINATION_COLUMNS = sizeof(cli_destination_columns) / sizeof(cli_destination_columns[0]) };

static enum rc cli_destination_row(void *arg, const struct store_destination *d)
{
	const struct cli_cell cells[CLI_DESTINATION_COLUMNS] = {{.text = d->name}, {.number = d->waiting}, {.number = d->leased}, {.number = d->due_ms},
		{.number = d->failures},
		{.number = d->since_ms}, {.text = d->cause}, {.text = d->host}, {.text = d->words}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_queue_destinations(struct cli *cli)
{
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	list = cli_list_new(cli_destination_columns, CLI_DESTINATION_COLUMNS, cli->json);
	rc = store_destination_each(s, cli_destination_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "nothing waits, and no destination is known to be down");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "queue destinations");
}

/* ---- smarthosts of accounts and domains */

static int cli_smarthost(struct cli *cli, bool account)
{
	bool none = strcmp(cli->args[1], "none") == 0;
	struct span whose, name = none ? SPAN_NONE : span_str(cli->args[1]);
	struct store *s;
	struct err err = {{0}};
	enum rc rc;

	if (!(account ? cli_address(cli, cli->args[0], &whose) : cli_domain_name(cli, cli->args[0], &whose)))
		return CLI_USAGE;
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	rc = account ? store_account_set_smarthost(s, whose, name, &err) : store_domain_set_smarthost(s, whose, name, &err);
	cli_store_close(&s);
	if (rc == RC_NONE)
		return cli_fail("%s is no %s here; mailroom %s list shows them", cli->args[0], account ? "account" : "domain", account ? "account" : "domain");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "smarthost");
}

int cli_account_smarthost(struct cli *cli)
{
	return cli_smarthost(cli, true);
}

int cli_domain_smarthost(struct cli *cli)
{
	return cli_smarthost(cli, false);
}
