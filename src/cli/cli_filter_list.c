/* mailroom filter list: the rules in words, and which lines of the script were written by hand */
#include "cli/cli_filter.h"

#include "cli/cli_print.h"

enum { LIST_BYTES = 64 << 10 };

struct filter_lines {
	unsigned from, to;
};

/* is there something to do in that line that no rule wrote? `require` alone does nothing */
static bool filter_line_acts(struct span line)
{
	line = span_trim(line);
	return line.len && line.ptr[0] != '#' && line.ptr[0] != '\r' && !span_starts(line, SPAN_LIT("require"));
}

/* the first and the last line outside of the rules that does something; false: all of it is rules */
static bool filter_by_hand(struct span script, const struct sieve_rule_entry *list, size_t count, struct filter_lines *out)
{
	struct span rest = script, line;
	unsigned number = 1;
	bool any = false;

	for (; rest.ptr; number++) {
		size_t at = (size_t)(rest.ptr - script.ptr);
		bool inside = false;

		line = span_cut(&rest, '\n');
		for (size_t i = 0; i < count; i++)
			inside |= at >= list[i].begin && at < list[i].end;
		if (inside || !filter_line_acts(line))
			continue;
		if (!any)
			out->from = number;
		out->to = number;
		any = true;
	}
	return any;
}

static void filter_rule_words(const struct sieve_rule_entry *e, struct buf *out)
{
	if (e->edited)
		buf_printf(out, "(changed by hand: line %u of the script)", e->line);
	else
		cli_filter_words(&e->rule, out);
}

static json_t *filter_rule_json(const struct sieve_rule_entry *e, size_t number)
{
	struct buf words, options;
	json_t *row;

	buf_init(&words, LIST_BYTES);
	buf_init(&options, LIST_BYTES);
	filter_rule_words(e, &words);
	if (!e->edited)
		sieve_rule_describe(&e->rule, &options);
	row = json_pack("{s:I, s:o, s:I, s:b, s:o, s:o}", "number", (json_int_t)number, "name", cli_json_text(e->name), "line", (json_int_t)e->line, "edited",
		e->edited, "words", cli_json_text(buf_span(&words)), "options", e->edited ? json_null() : cli_json_text(buf_span(&options)));
	buf_clear(&words);
	buf_clear(&options);
	return row;
}

static void filter_list_json(const struct sieve_rule_entry *list, size_t count, const struct filter_lines *hand, int64_t changed_ms)
{
	json_t *rules = json_array();
	struct buf time;

	buf_init(&time, 64);
	if (changed_ms)
		cli_write_time(&time, changed_ms);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(rules, filter_rule_json(&list[i], i + 1));
	cli_print_json(json_pack("{s:o, s:o, s:o}", "rules", rules, "by_hand",
		hand ? json_pack("{s:I, s:I}", "from", (json_int_t)hand->from, "to", (json_int_t)hand->to) : json_null(), "changed",
		changed_ms ? cli_json_text(buf_span(&time)) : json_null()));
	buf_clear(&time);
}

static void filter_list_text(const struct sieve_rule_entry *list, size_t count, const struct filter_lines *hand, const char *account)
{
	struct buf line;

	buf_init(&line, LIST_BYTES);
	for (size_t i = 0; i < count; i++) {
		buf_reset(&line);
		buf_printf(&line, "%2zu  ", i + 1);
		buf_add_safe(&line, list[i].name, 64);
		for (size_t n = list[i].name.len; n < 12; n++)
			buf_add_byte(&line, ' ');
		buf_add_str(&line, "  ");
		filter_rule_words(&list[i], &line);
		puts(buf_cstr(&line));
	}
	if (hand && hand->from == hand->to)
		printf("%sby hand: line %u; mailroom filter show %s prints it\n", count ? "besides these, written " : "written ", hand->from, account);
	else if (hand)
		printf("%sby hand: lines %u to %u; mailroom filter show %s prints them\n", count ? "besides these, written " : "written ", hand->from, hand->to, account);
	buf_clear(&line);
}

int cli_filter_list(struct cli *cli)
{
	struct filter_lines hand = {0, 0};
	struct sieve_rule_entry *list;
	struct span account, script;
	struct err err = {{0}};
	int64_t changed;
	size_t count;
	bool by_hand;
	int status = cli_filter_read(cli, &account, &script, &changed);

	if (status != CLI_OK)
		return status;
	if (sieve_rule_list(script, &cli->mem, &list, &count, &err) != RC_OK)
		return cli_fail("%s", err.words);
	by_hand = filter_by_hand(script, list, count, &hand);
	if (cli->json)
		filter_list_json(list, count, by_hand ? &hand : NULL, changed);
	else if (count || by_hand)
		filter_list_text(list, count, by_hand ? &hand : NULL, cli->args[0]);
	else if (script.len == 0)
		cli_note("%s has no filter; mailroom filter add makes a rule", cli->args[0]);
	else
		cli_note("the filter of %s does nothing; mailroom filter show prints it", cli->args[0]);
	return CLI_OK;
}
