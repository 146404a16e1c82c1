/* what is in a mailbox: its folders, its mail, one message */
#include "cli/cli_filter.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

enum { MAIL_PIECE_BYTES = 256 << 10 };

const struct cli_option cli_mail_list_options[] = {
	{"folder", "FOLDER", "only what is in that folder; INBOX is what POP3 shows", false},
	{NULL, NULL, NULL, false},
};
const struct cli_option cli_mail_show_options[] = {
	{"raw", NULL, "as it is, on a terminal too", false},
	{NULL, NULL, NULL, false},
};

static void mail_folder_row(struct cli_list *list, struct span name, int64_t messages)
{
	cli_list_add(list, (struct cli_cell[]){{.text = name}, {.number = messages}});
}

static enum rc mail_folder_count(void *arg, const struct store_folder *f)
{
	int64_t *messages = arg;

	*messages += f->messages;
	return RC_OK;
}

static enum rc mail_folder_each(void *arg, const struct store_folder *f)
{
	mail_folder_row(arg, f->name, f->messages);
	return RC_OK;
}

int cli_folder_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"FOLDER", "folder", CLI_TEXT}, {"MESSAGES", "messages", CLI_NUMBER}};
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct cli_list *list = cli_list_new(columns, 2, cli->json);
	struct store_account a;
	struct err err = {{0}};
	int64_t elsewhere = 0;
	int status = s ? cli_filter_account(cli, s, &a) : CLI_FAILED;
	enum rc rc;

	if (status == CLI_OK) {
		rc = store_folder_each(s, a.address, mail_folder_count, &elsewhere, &err);
		if (rc == RC_OK) {
			mail_folder_row(list, SPAN_LIT("INBOX"), a.messages > elsewhere ? a.messages - elsewhere : 0);
			rc = store_folder_each(s, a.address, mail_folder_each, list, &err);
		}
		if (rc != RC_OK)
			status = cli_store_failed(rc, &err, "folder list");
	}
	cli_store_close(&s);
	if (status == CLI_OK)
		cli_list_print(&list, "");
	cli_list_free(&list);
	return status;
}

static enum rc mail_row(void *arg, const struct store_mail_item *m)
{
	const struct cli_cell cells[] = {{.number = m->uid}, {.number = m->received_ms}, {.number = (int64_t)m->bytes},
		{.text = m->sender.len ? m->sender : SPAN_LIT("<>")}, {.text = m->rcpt}, {.text = m->folder ? m->folder_name : SPAN_LIT("INBOX")}, {.text = m->flags}};

	cli_list_add(arg, cells);
	return RC_OK;
}

int cli_mail_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"UID", "uid", CLI_NUMBER}, {"RECEIVED", "received", CLI_TIME_MS}, {"SIZE", "bytes", CLI_BYTES},
		{"SENDER", "sender", CLI_ADDRESS}, {"RECIPIENT", "recipient", CLI_ADDRESS}, {"FOLDER", "folder", CLI_TEXT}, {"FLAGS", "flags", CLI_TEXT}};
	const char *folder = cli_get(cli, "folder");
	struct span wanted = !folder ? SPAN_LIT("*") : span_eq_nocase(span_str(folder), SPAN_LIT("INBOX")) ? SPAN_NONE : span_str(folder);
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct cli_list *list = cli_list_new(columns, sizeof(columns) / sizeof(columns[0]), cli->json);
	struct store_account a;
	struct err err = {{0}};
	int status = s ? cli_filter_account(cli, s, &a) : CLI_FAILED;
	enum rc rc;

	if (status == CLI_OK) {
		rc = store_mail_each(s, a.address, wanted, mail_row, list, &err);
		if (rc != RC_OK)
			status = cli_store_failed(rc, &err, "mail list");
	}
	cli_store_close(&s);
	if (status == CLI_OK)
		cli_list_print(&list, folder ? "there is no mail in that folder" : "there is no mail");
	cli_list_free(&list);
	return status;
}

static enum rc mail_print(struct store *s, int64_t account, int64_t uid, bool raw, struct err *err)
{
	uint64_t offset = 0;
	bool last = false;
	struct buf piece;
	enum rc rc = RC_OK;

	buf_init(&piece, MAIL_PIECE_BYTES);
	while (rc == RC_OK && !last) {
		buf_reset(&piece);
		rc = store_mail_read(s, account, uid, offset, MAIL_PIECE_BYTES, &piece, &last, err);
		if (rc == RC_OK)
			cli_filter_print(buf_span(&piece), raw);
		offset += piece.len;
	}
	buf_clear(&piece);
	return rc;
}

int cli_mail_show(struct cli *cli)
{
	struct store_account a;
	struct err err = {{0}};
	struct store *s;
	uint64_t uid;
	int status;
	enum rc rc;

	if (num_parse(span_str(cli->args[1]), INT64_MAX, &uid) != RC_OK || uid == 0)
		return cli_usage(cli, "\"%s\" is no UID; mailroom mail list shows them", cli->args[1]);
	s = cli_store_open(cli, STORE_READ_ONLY);
	status = s ? cli_filter_account(cli, s, &a) : CLI_FAILED;
	if (status == CLI_OK) {
		rc = mail_print(s, a.id, (int64_t)uid, cli_get(cli, "raw") != NULL, &err);
		if (rc == RC_NONE)
			status = cli_fail("there is no message %" PRIu64 " in that mailbox; mailroom mail list %s shows those that are", uid, cli->args[0]);
		else if (rc != RC_OK)
			status = cli_store_failed(rc, &err, "mail show");
	}
	cli_store_close(&s);
	return status;
}
