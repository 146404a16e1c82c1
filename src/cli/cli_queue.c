/* the outgoing queue: looking at it */
#include "cli/cli_queue.h"

#include "base/clock.h"
#include "base/num.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

enum { CLI_QUEUE_WORDS_SHOWN = 200, CLI_QUEUE_REASON_BYTES = 4096 };

#define CLI_QUEUE_FILTERS \
	{"sender", "ADDRESS", "mail of this sender, as MAIL said it; <> for bounces", false}, \
	{"recipient", "ADDRESS", "mail for this address", false}, \
	{"domain", "DOMAIN", "mail for addresses of this domain, or (>NAME) for a smarthost", false}, \
	{"account", "ADDRESS", "mail that this account sent", false}, \
	{"cause", "SLUG", "mail that waits for this cause", false}, \
	{"state", "STATE", "waiting, held, sending or failed", false}, \
	{"older-than", "TIME", "mail that came longer ago than 2h, 3d ...", false}
const struct cli_option cli_queue_list_options[] = {CLI_QUEUE_FILTERS, {"limit", "N", "show this many lines at most, the oldest mail first", false},
	{NULL, NULL, NULL, false}};
const struct cli_option cli_queue_act_options[] = {CLI_QUEUE_FILTERS, {"all", NULL, "all of the queue", false}, {NULL, NULL, NULL, false}};

/* ---- which rows */

static bool cli_queue_state(const char *text, int *out)
{
	for (int s = 0; s < STORE_QUEUE_STATES; s++) {
		if (strcmp(text, store_queue_state_name((enum store_queue_state)s)) != 0)
			continue;
		*out = s;
		return true;
	}
	return false;
}

static struct span cli_queue_given(const struct cli *cli, const char *option)
{
	return span_str(cli_get(cli, option));
}

bool cli_queue_filter(const struct cli *cli, struct store_queue_filter *out)
{
	struct store_queue_filter f = {.state = -1, .sender = cli_queue_given(cli, "sender"), .rcpt = cli_queue_given(cli, "recipient"),
		.domain = cli_queue_given(cli, "domain"), .account = cli_queue_given(cli, "account"), .cause = cli_queue_given(cli, "cause")};
	const char *state = cli_get(cli, "state"), *older = cli_get(cli, "older-than");
	uint64_t ago;

	if (cli->arg_count && store_queue_id_parse(span_str(cli->args[0]), &f.message) != RC_OK) {
		(void)cli_fail("\"%s\" is no queue id; mailroom queue list shows them", cli->args[0]);
		return false;
	}
	if (state && !cli_queue_state(state, &f.state)) {
		(void)cli_usage(cli, "--state %s: waiting, held, sending or failed would be right", state);
		return false;
	}
	if (older && num_parse_duration_ms(span_str(older), &ago) != RC_OK) {
		(void)cli_usage(cli, "--older-than %s: 30min, 2h or 3d would be right", older);
		return false;
	}
	if (older)
		f.older_than_ms = clock_wall_ms() - (int64_t)(ago < (uint64_t)clock_wall_ms() ? ago : (uint64_t)clock_wall_ms() - 1);
	if (f.cause.len && cause_by_slug(f.cause) == CAUSE_NONE)
		cli_note("\"%.*s\" is no cause that this version knows", SPAN_FMT(f.cause));
	*out = f;
	return true;
}

/* ---- why it waits */

static void cli_queue_said(struct buf *out, struct span cause, unsigned code, struct span enhanced, struct span words)
{
	buf_add_safe(out, cause.len ? cause : SPAN_LIT("no cause known"), CLI_QUEUE_WORDS_SHOWN);
	if (!code && !words.len)
		return;
	buf_add_str(out, ":");
	if (code)
		buf_printf(out, " %u", code);
	if (enhanced.len) {
		buf_add_byte(out, ' ');
		buf_add_safe(out, enhanced, CLI_QUEUE_WORDS_SHOWN);
	}
	if (words.len) {
		buf_add_str(out, " \"");
		buf_add_safe(out, words, CLI_QUEUE_WORDS_SHOWN);
		buf_add_byte(out, '"');
	}
}

static bool cli_queue_is_blocked(const struct store_queue_listed *l)
{
	return l->state == STORE_QUEUE_WAITING && l->blocked_ms > clock_wall_ms();
}

void cli_queue_reason(struct buf *out, const struct store_queue_listed *l)
{
	switch (l->state) {
	case STORE_QUEUE_HELD:
		buf_add_str(out, "held by an administrator");
		return;
	case STORE_QUEUE_LEASED:
		buf_add_str(out, l->hold_wanted ? "being delivered, held if that fails" : "being delivered");
		return;
	case STORE_QUEUE_SENT:
		buf_add_str(out, "delivered; its sender, who asked for it, is being told");
		return;
	case STORE_QUEUE_FAILED:
		buf_add_str(out, "given up, its sender is being told; ");
		break;
	case STORE_QUEUE_WAITING:
	case STORE_QUEUE_STATES:
		break;
	}
	if (cli_queue_is_blocked(l)) {
		buf_add_safe(out, l->dest_host.len ? l->dest_host : l->dest, CLI_QUEUE_WORDS_SHOWN);
		buf_add_str(out, " is down: ");
		cli_queue_said(out, l->dest_cause, 0, SPAN_NONE, l->dest_words);
	} else if (l->q.attempts == 0 && l->state == STORE_QUEUE_WAITING) {
		buf_add_str(out, "not tried yet");
	} else {
		cli_queue_said(out, l->cause, l->code, l->enhanced, l->words);
	}
}

int64_t cli_queue_next(const struct store_queue_listed *l)
{
	if (l->state != STORE_QUEUE_WAITING)
		return 0;
	return cli_queue_is_blocked(l) && l->blocked_ms > l->q.next_try_ms ? l->blocked_ms : l->q.next_try_ms;
}

/* ---- list */

static const struct cli_column cli_queue_columns[] = {{"ID", "id", CLI_TEXT}, {"RECEIVED", "received", CLI_TIME_MS}, {"SIZE", "bytes", CLI_BYTES},
	{"SENDER", "sender", CLI_ADDRESS}, {"RECIPIENT", "recipient", CLI_ADDRESS}, {"STATE", "state", CLI_TEXT}, {"TRIES", "attempts", CLI_NUMBER},
	{"NEXT TRY", "next_try", CLI_TIME_MS}, {"WHY", "why", CLI_TEXT}, {"", "account", CLI_HIDDEN}, {"", "message_id", CLI_HIDDEN}, {"", "destination", CLI_HIDDEN},
	{"", "cause", CLI_HIDDEN}, {"", "host", CLI_HIDDEN}, {"", "address", CLI_HIDDEN}, {"", "tls", CLI_HIDDEN}, {"", "words", CLI_HIDDEN}};
enum { CLI_QUEUE_COLUMNS = sizeof(cli_queue_columns) / sizeof(cli_queue_columns[0]) };

static enum rc cli_queue_row(void *arg, const struct store_queue_listed *l)
{
	const struct store_queued *q = &l->q;
	struct buf why;

	buf_init(&why, CLI_QUEUE_REASON_BYTES);
	cli_queue_reason(&why, l);
	/* <> is the null sender of bounces (RFC 5321 4.5.5) */
	const struct cli_cell cells[CLI_QUEUE_COLUMNS] = {{.text = q->queue_id}, {.number = q->received_ms}, {.number = (int64_t)q->bytes},
		{.text = q->sender.len ? q->sender : SPAN_LIT("<>")}, {.text = q->rcpt}, {.text = q->state}, {.number = q->attempts}, {.number = cli_queue_next(l)},
		{.text = buf_span(&why)}, {.text = q->account}, {.text = q->message_id}, {.text = l->dest}, {.text = l->cause}, {.text = l->host}, {.text = l->address},
		{.text = l->tls}, {.text = l->words}};

	cli_list_add(arg, cells);
	buf_clear(&why);
	return ferror(stdout) ? RC_IO : RC_OK; /* a long list of which nobody reads the rest */
}

int cli_queue_list(struct cli *cli)
{
	const char *limit = cli_get(cli, "limit");
	struct store_queue_filter filter;
	struct store *s;
	struct cli_list *list;
	struct err err = {{0}};
	enum rc rc;

	if (!cli_queue_filter(cli, &filter))
		return CLI_USAGE;
	if (limit && (num_parse(span_str(limit), UINT32_MAX, &filter.most) != RC_OK || filter.most == 0))
		return cli_usage(cli, "--limit %s: a number from 1 on would be right", limit);
	s = cli_store_open(cli, STORE_READ_ONLY);
	if (!s)
		return CLI_FAILED;
	list = cli_list_new(cli_queue_columns, CLI_QUEUE_COLUMNS, cli->json);
	rc = store_queue_list(s, &filter, cli_queue_row, list, &err);
	cli_store_close(&s);
	cli_list_print(&list, "nothing of that is in the queue");
	if (ferror(stdout))
		return CLI_FAILED; /* which is said by whoever called */
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "queue list");
}

/* ---- show */

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

static json_t *cli_show_json(const struct store_queue_listed *l, struct span next, struct span last, struct span why)
{
	return json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "recipient", cli_json_text(l->q.rcpt), "state", cli_json_text(l->q.state),
		"attempts", (int)l->q.attempts, "next_try", next.len ? cli_json_text(next) : json_null(), "last_try", last.len ? cli_json_text(last) : json_null(),
		"why", cli_json_text(why), "cause", cli_json_text(l->cause), "code", (int)l->code, "destination", cli_json_text(l->dest), "host", cli_json_text(l->host),
		"address", cli_json_text(l->address), "tls", cli_json_text(l->tls), "words", cli_json_text(l->words));
}

static void cli_show_where(struct buf *out, const struct store_queue_listed *l, struct span last)
{
	if (!last.len)
		return;
	buf_add_str(out, "            last try ");
	buf_add(out, last);
	if (l->host.len || l->address.len) {
		buf_add_str(out, " at ");
		buf_add_safe(out, l->host.len ? l->host : l->address, CLI_QUEUE_WORDS_SHOWN);
	}
	if (l->host.len && l->address.len) {
		buf_add_str(out, " [");
		buf_add_safe(out, l->address, CLI_QUEUE_WORDS_SHOWN);
		buf_add_byte(out, ']');
	}
	if (l->tls.len) {
		buf_add_str(out, ", ");
		buf_add_safe(out, l->tls, CLI_QUEUE_WORDS_SHOWN);
	}
	buf_add_byte(out, '\n');
}

static enum rc cli_queue_show_row(void *arg, const struct store_queue_listed *l)
{
	struct cli_shown *shown = arg;
	int64_t next_ms = cli_queue_next(l);
	struct buf next, last, why;

	if (shown->count++ == 0)
		cli_show_head(shown, &l->q);
	buf_init(&next, 64);
	buf_init(&last, 64);
	buf_init(&why, CLI_QUEUE_REASON_BYTES);
	if (next_ms)
		cli_write_time(&next, next_ms);
	if (l->last_try_ms)
		cli_write_time(&last, l->last_try_ms);
	cli_queue_reason(&why, l);
	if (shown->json) {
		json_array_append_new(json_object_get(shown->json, "recipients"), cli_show_json(l, buf_span(&next), buf_span(&last), buf_span(&why)));
	} else {
		buf_printf(&shown->text, "%-12s", "recipient");
		cli_write_address(&shown->text, l->q.rcpt, 1000);
		buf_add_str(&shown->text, "  ");
		buf_add_safe(&shown->text, l->q.state, 100);
		buf_printf(&shown->text, ", %u tries%s%s\n            ", l->q.attempts, next.len ? ", next " : "", buf_cstr(&next));
		buf_add(&shown->text, buf_span(&why));
		buf_add_byte(&shown->text, '\n');
		cli_show_where(&shown->text, l, buf_span(&last));
	}
	buf_clear(&next);
	buf_clear(&last);
	buf_clear(&why);
	return RC_OK;
}

int cli_queue_show(struct cli *cli)
{
	struct cli_shown shown = {.json = NULL};
	struct store_queue_filter filter;
	struct store *s;
	struct err err = {{0}};
	int status = CLI_OK;
	enum rc rc;

	if (!cli_queue_filter(cli, &filter))
		return CLI_FAILED;
	s = cli_store_open(cli, STORE_READ_ONLY);
	if (!s)
		return CLI_FAILED;
	shown.json = cli->json ? json_object() : NULL;
	buf_init(&shown.text, 64 << 20);
	rc = store_queue_list(s, &filter, cli_queue_show_row, &shown, &err);
	cli_store_close(&s);
	if (rc != RC_OK)
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
