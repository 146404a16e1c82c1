#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

struct cli_ids {
	struct cli_list *list; /* JSON; else lines are printed as they come: there may be millions */
};

static enum rc cli_ids_row(void *arg, struct span message_id, struct span where, int64_t message)
{
	struct cli_ids *ids = arg;
	struct buf text;

	buf_init(&text, 16 << 10);
	if (ids->list) {
		store_queue_id_write(&text, message);
		cli_list_add(ids->list, (struct cli_cell[]){{.text = message_id}, {.text = where}, {.text = buf_span(&text)}});
	} else {
		if (message_id.len)
			buf_add_safe(&text, message_id, 1024);
		else
			buf_add_byte(&text, '-');
		buf_add_byte(&text, '\t');
		buf_add_safe(&text, where, 1024);
		buf_add_byte(&text, '\n');
		(void)fwrite(text.ptr, 1, text.len, stdout);
	}
	buf_clear(&text);
	return RC_OK;
}

int cli_message_ids(struct cli *cli)
{
	static const struct cli_column columns[] = {{"MESSAGE-ID", "message_id", CLI_TEXT}, {"WHERE", "where", CLI_TEXT}, {"ID", "id", CLI_TEXT}};
	struct cli_ids ids = {0};
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	if (cli->json)
		ids.list = cli_list_new(columns, 3, true);
	rc = store_message_ids(s, cli_ids_row, &ids, &err);
	cli_store_close(&s);
	if (ids.list)
		cli_list_print(&ids.list, "");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "message ids");
}
