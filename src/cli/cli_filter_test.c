/* mailroom filter test: what an account's filter would do with a message in a file. The same code as in the server, without one. */
#include "cli/cli_filter.h"

#include "base/clock.h"
#include "base/limits.h"
#include "cli/cli_print.h"
#include "mail/attach.h"
#include "mail/words.h"
#include "policy/sieve_mail.h"
#include "policy/vacation.h"

enum { TEST_MESSAGE_BYTES = 512 << 20, TEST_SAID_BYTES = 64 << 10 };

const struct cli_option cli_filter_test_options[] = {
	{"from", "ADDRESS", "the sender of the envelope (default: Return-Path, else From)", false},
	{"to", "ADDRESS", "the recipient of the envelope (default: the account)", false},
	{NULL, NULL, NULL, false},
};

struct filter_test {
	struct cli *cli;
	struct span script;
	struct sieve_rule_entry *rules;
	size_t rule_count;
	struct sieve_result result;
	const struct sieve_message *message;
	struct span account;
};

/* Files end their lines with LF alone more often than not; what arrives by SMTP does not. */
static void test_crlf(struct buf *text)
{
	struct span from = buf_span(text);
	size_t bare = 0;
	struct buf out;

	for (size_t i = 0; i < from.len; i++)
		bare += from.ptr[i] == '\n' && (i == 0 || from.ptr[i - 1] != '\r');
	if (bare == 0)
		return;
	buf_init(&out, from.len + bare);
	(void)buf_reserve(&out, from.len + bare);
	for (size_t i = 0; i < from.len; i++) {
		if (from.ptr[i] == '\n' && (i == 0 || from.ptr[i - 1] != '\r'))
			buf_add_byte(&out, '\r');
		buf_add_byte(&out, from.ptr[i]);
	}
	buf_clear(text);
	*text = out;
}

/* the first address of the first of these fields that has one */
static struct span test_sender(struct cli *cli, const struct sieve_message *m)
{
	static const char *const fields[] = {"return-path", "from"};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct words_address a;
		struct words_list list;
		struct sieve_field f;

		if (!m->ops->field(m->owner, 0, span_str(fields[i]), 0, &f))
			continue;
		words_list_init(&list, f.raw);
		while (words_list_next(&list, &cli->mem, &a))
			if (a.kind == WORDS_MAILBOX)
				return a.text;
		if (i == 0) /* "<>": a bounce */
			return SPAN_NONE;
	}
	return SPAN_NONE;
}

/* ---- saying */

/* the rule that a line of the script belongs to; NULL: it was written by hand */
static const struct sieve_rule_entry *test_rule(const struct filter_test *t, unsigned line, size_t *number_out)
{
	struct span rest = t->script;
	size_t at;

	for (unsigned n = 1; n < line && rest.ptr; n++)
		(void)span_cut(&rest, '\n');
	at = rest.ptr ? (size_t)(rest.ptr - t->script.ptr) : t->script.len;
	for (size_t i = 0; line && i < t->rule_count; i++)
		if (at >= t->rules[i].begin && at < t->rules[i].end) {
			*number_out = i + 1;
			return &t->rules[i];
		}
	return NULL;
}

static void test_say_flags(const struct sieve_action *a, struct buf *out)
{
	const char *before = ", marked ";

	for (size_t i = 0; i < a->flag_count; i++, before = " ") {
		buf_add_str(out, before);
		buf_add_safe(out, a->flags[i], 100);
	}
}

/* why an action that sends would not; "": it would, as far as the message goes (who was answered already, limits, are the server's to know) */
static const char *test_unsent(const struct filter_test *t, const struct sieve_action *a)
{
	struct span own[] = {t->account, t->message->to};

	if (a->act == SIEVE_REDIRECT && vacation_was_here(t->message, t->account))
		return "it was here before";
	return a->act == SIEVE_VACATION ? vacation_why_words(vacation_judge(t->message, a->vacation, own, 2)) : "";
}

static void test_say_what(const struct filter_test *t, const struct sieve_action *a, struct buf *out)
{
	static const char *const what[] = {[SIEVE_KEEP] = "into the inbox", [SIEVE_FILEINTO] = "into the folder ", [SIEVE_REJECT] = "refused: ",
		[SIEVE_EREJECT] = "refused: ", [SIEVE_DISCARD] = "thrown away", [SIEVE_REDIRECT] = "sent on to ", [SIEVE_ADDHEADER] = "with a header field ",
		[SIEVE_VACATION] = "answered: "};

	const char *unsent = test_unsent(t, a);

	if (unsent[0]) {
		buf_add_str(out, a->act == SIEVE_VACATION ? "not answered" : "not sent on to ");
		buf_add_safe(out, a->act == SIEVE_VACATION ? SPAN_NONE : a->text, LIMIT_SIEVE_REASON_BYTES);
		buf_printf(out, ": %s", unsent);
		return;
	}
	buf_add_str(out, what[a->act]);
	buf_add_safe(out, a->text, LIMIT_SIEVE_REASON_BYTES);
	if (a->act == SIEVE_ADDHEADER) {
		buf_add_str(out, ": ");
		buf_add_safe(out, a->value, LIMIT_SIEVE_REASON_BYTES);
	}
	test_say_flags(a, out);
}

static void test_say_text(const struct filter_test *t)
{
	const struct sieve_result *r = &t->result;
	const struct sieve_rule_entry *rule;
	struct buf line;
	size_t number;

	buf_init(&line, TEST_SAID_BYTES);
	for (size_t i = 0; i < r->action_count; i++) {
		const struct sieve_action *a = &r->actions[i];

		buf_reset(&line);
		test_say_what(t, a, &line);
		rule = test_rule(t, a->line, &number);
		if (rule)
			buf_printf(&line, "  (line %u, rule %zu \"%.*s\")", a->line, number, SPAN_FMT(rule->name));
		else if (a->line)
			buf_printf(&line, "  (line %u)", a->line);
		else
			buf_add_str(&line, "  (no rule decided)");
		puts(buf_cstr(&line));
	}
	if (r->end != SIEVE_DONE)
		printf("the filter ended early%s: %s\n", r->end == SIEVE_OVER ? ", as it needs too much" : "", r->fault.why.words);
	if (r->incomplete)
		puts("the message is too large to be looked at whole");
	buf_clear(&line);
}

static json_t *test_action_json(const struct filter_test *t, const struct sieve_action *a)
{
	json_t *row = json_pack("{s:s, s:o}", "action", sieve_act_name(a->act), "line", a->line ? json_integer((json_int_t)a->line) : json_null());
	json_t *flags = json_array();
	const struct sieve_rule_entry *rule;
	size_t number = 0;

	rule = test_rule(t, a->line, &number);
	json_object_set_new(row, "rule", rule ? cli_json_text(rule->name) : json_null());
	json_object_set_new(row, "number", rule ? json_integer((json_int_t)number) : json_null());
	json_object_set_new(row, "text", cli_json_text(a->text));
	if (a->act == SIEVE_ADDHEADER)
		json_object_set_new(row, "value", cli_json_text(a->value));
	if (a->act == SIEVE_REDIRECT || a->act == SIEVE_VACATION)
		json_object_set_new(row, "unsent", test_unsent(t, a)[0] ? json_string(test_unsent(t, a)) : json_null());
	for (size_t i = 0; i < a->flag_count; i++)
		json_array_append_new(flags, cli_json_text(a->flags[i]));
	json_object_set_new(row, "flags", flags);
	return row;
}

static void test_say_json(const struct filter_test *t)
{
	const struct sieve_result *r = &t->result;
	json_t *actions = json_array();

	for (size_t i = 0; i < r->action_count; i++)
		json_array_append_new(actions, test_action_json(t, &r->actions[i]));
	cli_print_json(json_pack("{s:o, s:s, s:o, s:b, s:I}", "actions", actions, "end",
		r->end == SIEVE_DONE ? "done" : r->end == SIEVE_OVER ? "too much" : "fault", "fault",
		r->end == SIEVE_DONE ? json_null() : json_string(r->fault.why.words), "incomplete", r->incomplete, "steps", (json_int_t)r->steps));
}

/* ---- running */

static int test_run(struct filter_test *t, const struct sieve_script *script, const struct mime_source *source, struct span account)
{
	const char *from = cli_get(t->cli, "from"), *to = cli_get(t->cli, "to");
	struct sieve_mail *mail = sieve_mail_new(source, NULL, sieve_script_needs(script));
	struct sieve_message m;
	struct arena mem;
	bool good = true;

	while (sieve_mail_step(mail))
		;
	sieve_mail_message(mail, &m);
	m.to = account;
	m.now_ms = clock_wall_ms();
	if (!from)
		m.from = test_sender(t->cli, &m);
	else if (from[0] && strcmp(from, "<>") != 0)
		good = cli_address(t->cli, from, &m.from);
	if (to)
		good = good && cli_address(t->cli, to, &m.to);
	t->message = &m;
	t->account = account;
	arena_init(&mem, 1 << 20);
	if (good) {
		(void)sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &t->result);
		if (t->cli->json)
			test_say_json(t);
		else
			test_say_text(t);
	}
	arena_clear(&mem);
	sieve_mail_free(&mail);
	return good ? CLI_OK : CLI_FAILED;
}

int cli_filter_test(struct cli *cli)
{
	struct filter_test t = {.cli = cli};
	const struct sieve_script *script;
	struct mime_source source;
	struct span account, message;
	struct err err = {{0}};
	struct arena mem;
	struct buf text;
	int64_t changed;
	int status;

	if (attach_prepare(&err) != RC_OK)
		return cli_fail("%s", err.words);
	if (!cli_filter_file(cli->args[1], TEST_MESSAGE_BYTES, &text))
		return CLI_FAILED;
	test_crlf(&text);
	arena_init(&mem, LIMIT_SIEVE_COMPILED_BYTES);
	status = cli_filter_read(cli, &account, &t.script, &changed);
	if (status == CLI_OK)
		status = cli_filter_check(t.script, "the script", &mem, &script);
	if (status == CLI_OK && sieve_rule_list(t.script, &cli->mem, &t.rules, &t.rule_count, &err) != RC_OK)
		status = cli_fail("%s", err.words);
	message = buf_span(&text);
	source = mime_source_memory(&message);
	if (status == CLI_OK)
		status = test_run(&t, script, &source, account);
	arena_clear(&mem);
	buf_clear(&text);
	return status;
}
