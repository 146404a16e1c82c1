#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

static const struct cli_column cli_queue_columns[] = {{"ID", "id", CLI_TEXT}, {"RECEIVED", "received", CLI_TIME_MS}, {"SIZE", "bytes", CLI_BYTES},
	{"SENDER", "sender", CLI_TEXT}, {"RECIPIENT", "recipient", CLI_TEXT}, {"STATE", "state", CLI_TEXT}, {"TRIES", "attempts", CLI_NUMBER},
	{"NEXT TRY", "next_try", CLI_TIME_MS}, {"", "account", CLI_HIDDEN}, {"", "message_id", CLI_HIDDEN}};
enum { CLI_QUEUE_COLUMNS = sizeof(cli_queue_columns) / sizeof(cli_queue_columns[0]) };

static enum rc cli_queue_row(void *arg, const struct store_queued *q)
{
	/* <> is the null sender of bounces (RFC 5321 4.5.5) */
	const struct cli_cell cells[CLI_QUEUE_COLUMNS] = {{.text = q->queue_id}, {.number = q->received_ms}, {.number = (int64_t)q->bytes},
		{.text = q->sender.len ? q->sender : SPAN_LIT("<>")}, {.text = q->rcpt}, {.text = q->state}, {.number = q->attempts}, {.number = q->next_try_ms},
		{.text = q->account}, {.text = q->message_id}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_queue_list(struct cli *cli)
{
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	list = cli_list_new(cli_queue_columns, CLI_QUEUE_COLUMNS, cli->json);
	rc = store_queue_each(s, 0, cli_queue_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "the queue is empty");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "queue list");
}

struct cli_shown {
	json_t *json;  /* NULL: text */
	struct buf text;
	size_t count;
};

static void cli_show_line(struct cli_shown *shown, const char *title, struct span value)
{
	buf_printf(&shown->text, "%-12s", title);
	if (value.len)
		buf_add_safe(&shown->text, value, 1000);
	else
		buf_add_byte(&shown->text, '-');
	buf_add_byte(&shown->text, '\n');
}

static void cli_show_head(struct cli_shown *shown, const struct store_queued *q)
{
	struct buf time, size;

	buf_init(&time, 64);
	buf_init(&size, 64);
	cli_write_time(&time, q->received_ms);
	cli_write_bytes(&size, q->bytes);
	if (shown->json) {
		json_object_set_new(shown->json, "id", cli_json_text(q->queue_id));
		json_object_set_new(shown->json, "received", cli_json_text(buf_span(&time)));
		json_object_set_new(shown->json, "bytes", json_integer((json_int_t)q->bytes));
		json_object_set_new(shown->json, "sender", cli_json_text(q->sender.len ? q->sender : SPAN_LIT("<>")));
		json_object_set_new(shown->json, "account", cli_json_text(q->account));
		json_object_set_new(shown->json, "message_id", cli_json_text(q->message_id));
		json_object_set_new(shown->json, "recipients", json_array());
	} else {
		cli_show_line(shown, "id", q->queue_id);
		cli_show_line(shown, "received", buf_span(&time));
		cli_show_line(shown, "size", buf_span(&size));
		cli_show_line(shown, "sender", q->sender.len ? q->sender : SPAN_LIT("<>"));
		cli_show_line(shown, "account", q->account);
		cli_show_line(shown, "message-id", q->message_id);
	}
	buf_clear(&time);
	buf_clear(&size);
}

static enum rc cli_queue_show_row(void *arg, const struct store_queued *q)
{
	struct cli_shown *shown = arg;
	struct buf next;
	json_t *row;

	if (shown->count++ == 0)
		cli_show_head(shown, q);
	buf_init(&next, 64);
	if (q->next_try_ms)
		cli_write_time(&next, q->next_try_ms);
	if (shown->json) {
		row = json_pack("{s:o, s:o, s:i, s:o}", "recipient", cli_json_text(q->rcpt), "state", cli_json_text(q->state), "attempts", (int)q->attempts, "next_try",
			next.len ? cli_json_text(buf_span(&next)) : json_null());
		json_array_append_new(json_object_get(shown->json, "recipients"), row);
	} else {
		buf_printf(&shown->text, "%-12s", "recipient");
		buf_add_safe(&shown->text, q->rcpt, 1000);
		buf_add_str(&shown->text, "  ");
		buf_add_safe(&shown->text, q->state, 100);
		buf_printf(&shown->text, ", %u tries%s%s\n", q->attempts, next.len ? ", next " : "", buf_cstr(&next));
	}
	buf_clear(&next);
	return RC_OK;
}

int cli_queue_show(struct cli *cli)
{
	struct cli_shown shown = {.json = cli->json ? json_object() : NULL};
	struct store *s;
	struct err err = {{0}};
	int64_t message;
	int status = CLI_OK;
	enum rc rc;

	if (store_queue_id_parse(span_str(cli->args[0]), &message) != RC_OK) {
		json_decref(shown.json);
		return cli_fail("\"%s\" is no queue id; mailroom queue list shows them", cli->args[0]);
	}
	s = cli_store_open(cli, STORE_READ_ONLY);
	if (!s) {
		json_decref(shown.json);
		return CLI_FAILED;
	}
	buf_init(&shown.text, 64 << 20);
	rc = store_queue_each(s, message, cli_queue_show_row, &shown, &err);
	cli_store_close(&s);
	if (rc != RC_OK && rc != RC_NONE)
		status = cli_store_failed(rc, &err, "queue show");
	else if (!shown.count)
		status = cli_fail("there is no message %s in the queue; mailroom queue list shows those that are", cli->args[0]);
	else if (shown.json)
		cli_print_json(json_incref(shown.json));
	else
		(void)fwrite(shown.text.ptr, 1, shown.text.len, stdout);
	json_decref(shown.json);
	buf_clear(&shown.text);
	return status;
}
