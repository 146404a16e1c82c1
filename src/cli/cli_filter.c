/* the filters of accounts: rules of the command line, and scripts as a whole */
#include "cli/cli_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"

enum { FILE_PIECE_BYTES = 64 << 10 };

static const struct sieve_rules cli_filter_rules = {.refuse = 0};

const struct cli_option cli_filter_add_options[] = {
	{"attachment-name", "PATTERN", "an attachment has such a name", true},
	{"attachment-type", "PATTERN", "it is of such a type, by what it says or by what it holds", true},
	{"content-type", "PATTERN", "the same as --attachment-type", true},
	{"inside", "PATTERN", "an archive holds such a name", true},
	{"encrypted", NULL, "an archive needs a password", false},
	{"unreadable", NULL, "an archive cannot be looked into", false},
	{"from", "PATTERN", "the address in the From field", true},
	{"sender", "PATTERN", "the sender of the envelope", true},
	{"to", "PATTERN", "an address in To or Cc", true},
	{"larger", "SIZE", "the message is larger: 500KB, 10MB", true},
	{"smaller", "SIZE", "it is smaller", true},
	{"header", "FIELD:PATTERN", "a field of the header", true},
	{"body", "WORDS", "the text holds these words", true},
	{"since", "DAY", "from that day on: 2026-12-24", true},
	{"until", "DAY", "before that day", true},
	{"any", NULL, "one of the conditions is enough", false},
	{"refuse", "TEXT", "refuse the message; the sender reads TEXT", false},
	{"file", "FOLDER", "put it into that folder", false},
	{"mark", "WORD", "mark it with a word; the other rules go on", false},
	{"discard", NULL, "throw it away; nobody is told", false},
	{"redirect", "ADDRESS", "send it on to that address", false},
	{"keep", NULL, "with --redirect: a copy stays; the other rules go on", false},
	{"answer", "TEXT", "answer people who write, once in some days; the other rules go on", false},
	{"subject", "TEXT", "with --answer: its subject (default: Auto: and that of the message)", false},
	{"days", "N", "with --answer: so long nobody gets another one (default: 7)", false},
	{"name", "NAME", "what the rule is called (default: rule1, rule2 ...)", false},
	{"at", "N", "where it stands among the rules (default: last)", false},
	{NULL, NULL, NULL, false},
};

const struct cli_option cli_filter_vacation_options[] = {
	{"text", "TEXT", "what people who write are answered", false},
	{"subject", "TEXT", "subject of the answer (default: Auto: and that of the message)", false},
	{"days", "N", "so long nobody gets another one (default: 7)", false},
	{"since", "DAY", "from that day on: 2026-12-24", false},
	{"until", "DAY", "before that day", false},
	{NULL, NULL, NULL, false},
};

int cli_filter_account(struct cli *cli, struct store *s, struct store_account *out)
{
	struct span address;
	struct err err = {{0}};
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address))
		return CLI_FAILED;
	rc = store_account_get(s, address, &cli->mem, out, &err);
	return cli_account_status(rc, address, &err, "looking for the account");
}

static int cli_filter_get(struct cli *cli, struct store *s, struct span *account_out, struct span *script_out, int64_t *changed_ms_out)
{
	struct store_account a;
	struct err err = {{0}};
	int status = cli_filter_account(cli, s, &a);
	enum rc rc;

	if (status != CLI_OK)
		return status;
	*account_out = a.address;
	*script_out = SPAN_LIT("");
	*changed_ms_out = 0;
	rc = store_filter_get(s, a.address, &cli->mem, script_out, changed_ms_out, &err);
	if (rc == RC_BAD)
		return cli_fail("the filter cannot be read: %s; mailroom filter clear %s removes it", err.words, cli->args[0]);
	return rc == RC_OK || rc == RC_NONE ? CLI_OK : cli_store_failed(rc, &err, cli->command->name);
}

int cli_filter_read(struct cli *cli, struct span *account_out, struct span *script_out, int64_t *changed_ms_out)
{
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	int status;

	if (!s)
		return CLI_FAILED;
	status = cli_filter_get(cli, s, account_out, script_out, changed_ms_out);
	cli_store_close(&s);
	return status;
}

int cli_filter_check(struct span script, const char *name, struct arena *mem, const struct sieve_script **out)
{
	struct sieve_fault fault;
	enum rc rc = sieve_compile(script, &cli_filter_rules, mem, out, &fault);

	if (rc == RC_OK)
		return CLI_OK;
	if (!fault.line)
		return cli_fail("%s: %s", name, fault.why.words);
	if (!fault.column)
		return cli_fail("%s:%u: %s", name, fault.line, fault.why.words);
	return cli_fail("%s:%u:%u: %s", name, fault.line, fault.column, fault.why.words);
}

/* ---- changing */

/* from a script a new one; given: what it takes besides the command's words */
typedef enum rc cli_filter_edit(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err);

static enum rc cli_filter_take(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	(void)cli;
	(void)script;
	(void)err;
	buf_add(out, given);
	return RC_OK;
}

/* inside one transaction: nobody else's change gets lost */
static int cli_filter_write(struct cli *cli, struct store *s, cli_filter_edit *edit, struct span given)
{
	struct span account, script = SPAN_NONE;
	const struct sieve_script *compiled;
	struct store_account a;
	struct err err = {{0}};
	struct arena mem;
	struct buf out;
	int64_t changed;
	int status = edit == cli_filter_take ? cli_filter_account(cli, s, &a) : cli_filter_get(cli, s, &account, &script, &changed);
	uint32_t needs = 0;
	enum rc rc;

	if (status != CLI_OK)
		return status;
	if (edit == cli_filter_take) /* whatever was there before, even what cannot be read */
		account = a.address;
	arena_init(&mem, LIMIT_SIEVE_COMPILED_BYTES);
	buf_init(&out, LIMIT_SIEVE_SCRIPT_BYTES);
	rc = edit(cli, script, given, &out, &err);
	if (rc != RC_OK)
		status = cli_fail("%s", err.words);
	else if (out.len)
		status = cli_filter_check(buf_span(&out), "the script", &mem, &compiled);
	if (status == CLI_OK && out.len)
		needs = sieve_script_needs(compiled);
	if (status == CLI_OK) {
		rc = store_filter_set(s, account, buf_span(&out), needs, clock_wall_ms(), &err);
		status = rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, cli->command->name);
	}
	arena_clear(&mem);
	buf_clear(&out);
	return status;
}

static int cli_filter_change(struct cli *cli, cli_filter_edit *edit, struct span given)
{
	struct store *s = cli_store_open(cli, 0);
	struct err err = {{0}};
	int status;
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_begin(s, &err);
	status = rc == RC_OK ? cli_filter_write(cli, s, edit, given) : cli_store_failed(rc, &err, cli->command->name);
	if (rc == RC_OK && status == CLI_OK) {
		rc = store_commit(s, &err);
		status = rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, cli->command->name);
	} else if (store_in_transaction(s)) {
		store_rollback(s);
	}
	cli_store_close(&s);
	return status;
}

static bool cli_filter_number(const char *text, uint64_t *out)
{
	return num_parse(span_str(text), LIMIT_SIEVE_RULES, out) == RC_OK && *out > 0;
}

/* the rule that a word means: its number, or its name */
static enum rc cli_filter_find(struct cli *cli, struct span script, const char *word, struct span *name_out, struct err *err)
{
	struct sieve_rule_entry *list;
	uint64_t number;
	size_t count;
	enum rc rc = sieve_rule_list(script, &cli->mem, &list, &count, err);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < count; i++)
		if ((cli_filter_number(word, &number) && number == i + 1) || span_eq_nocase(list[i].name, span_str(word))) {
			*name_out = list[i].name;
			return RC_OK;
		}
	if (count == 0)
		return err_set(err, RC_NONE, "the account has no rules");
	return err_set(err, RC_NONE, "there is no rule %s; there %s %zu, mailroom filter list shows them", word, count == 1 ? "is" : "are", count);
}

/* the options of `filter add` as a rule; "" in err: said with how it is used */
static enum rc cli_filter_rule(struct cli *cli, struct sieve_rule *rule, struct err *err)
{
	enum rc rc = RC_OK;

	*rule = (struct sieve_rule){.act = SIEVE_RULE_NOTHING};
	for (size_t i = 0; i < cli->given_count && rc == RC_OK; i++) {
		const char *name = cli->given[i].option->name;

		if (strcmp(name, "content-type") == 0)
			name = "attachment-type";
		if (sieve_rule_option_values(span_str(name)) >= 0)
			rc = sieve_rule_option(rule, span_str(name), span_str(cli->given[i].value), &cli->mem, err);
	}
	return rc == RC_OK ? sieve_rule_check(rule, err) : rc;
}

/* Where a rule goes by itself: last; but what is refused must not be answered as well (RFC 5230 4.7), so answers stand behind all that
 * refuses and throws away. */
static enum rc cli_filter_place(struct cli *cli, struct span script, enum sieve_rule_act act, uint64_t *place_out, struct err *err)
{
	struct sieve_rule_entry *list;
	size_t count, behind = 0, answer;
	enum rc rc = sieve_rule_list(script, &cli->mem, &list, &count, err);

	if (rc != RC_OK)
		return rc;
	answer = count;
	for (size_t i = 0; i < count; i++) {
		enum sieve_rule_act of = list[i].rule.act;

		if (of == SIEVE_RULE_REFUSE || of == SIEVE_RULE_DISCARD)
			behind = i + 1;
		if (of == SIEVE_RULE_ANSWER && answer == count)
			answer = i;
	}
	*place_out = act == SIEVE_RULE_ANSWER ? behind : act == SIEVE_RULE_REFUSE || act == SIEVE_RULE_DISCARD ? answer : count;
	return RC_OK;
}

static enum rc cli_filter_add_rule(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	const char *at = cli_get(cli, "at");
	struct sieve_rule rule;
	uint64_t place = LIMIT_SIEVE_RULES;
	enum rc rc = cli_filter_rule(cli, &rule, err);

	(void)given;
	if (rc == RC_OK && at && !cli_filter_number(at, &place))
		return err_set(err, RC_BAD, "--at takes the number of a rule, from 1 on");
	if (rc == RC_OK && at)
		place--;
	else if (rc == RC_OK)
		rc = cli_filter_place(cli, script, rule.act, &place, err);
	return rc == RC_OK ? sieve_rule_add(script, &rule, (size_t)place, &cli_filter_rules, out, err) : rc;
}

int cli_filter_add(struct cli *cli)
{
	struct sieve_rule rule;
	struct err err = {{0}};

	if (cli_filter_rule(cli, &rule, &err) != RC_OK)
		return cli_usage(cli, "%s", err.words);
	return cli_filter_change(cli, cli_filter_add_rule, SPAN_NONE);
}

/* ---- the answer of who is away: a rule of its own name */

#define CLI_FILTER_VACATION "vacation"

static enum rc cli_filter_vacation_rule(struct cli *cli, struct sieve_rule *rule, struct err *err)
{
	static const char *const options[] = {"text", "subject", "days", "since", "until"};
	enum rc rc = RC_OK;

	*rule = (struct sieve_rule){.name = SPAN_LIT(CLI_FILTER_VACATION)};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && rc == RC_OK; i++) {
		const char *value = cli_get(cli, options[i]);

		if (value)
			rc = sieve_rule_option(rule, i == 0 ? SPAN_LIT("answer") : span_str(options[i]), span_str(value), &cli->mem, err);
	}
	return rc == RC_OK ? sieve_rule_check(rule, err) : rc;
}

static enum rc cli_filter_vacation_off(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	enum rc rc = sieve_rule_remove(script, SPAN_LIT(CLI_FILTER_VACATION), &cli_filter_rules, out, err);

	(void)cli;
	(void)given;
	return rc == RC_NONE ? err_set(err, RC_NONE, "no answer is set; mailroom filter list shows the rules") : rc;
}

static enum rc cli_filter_vacation_on(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	struct buf without;
	struct sieve_rule rule;
	uint64_t place = 0;
	enum rc rc = cli_filter_vacation_rule(cli, &rule, err);

	(void)given;
	buf_init(&without, LIMIT_SIEVE_SCRIPT_BYTES);
	if (rc == RC_OK) {
		rc = sieve_rule_remove(script, rule.name, &cli_filter_rules, &without, err);
		if (rc == RC_OK)
			script = buf_span(&without);
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	if (rc == RC_OK)
		rc = cli_filter_place(cli, script, rule.act, &place, err);
	if (rc == RC_OK)
		rc = sieve_rule_add(script, &rule, (size_t)place, &cli_filter_rules, out, err);
	buf_clear(&without);
	return rc;
}

int cli_filter_vacation(struct cli *cli)
{
	struct sieve_rule rule;
	struct err err = {{0}};
	bool on;

	if (!cli_on_off(cli, cli->args[1], &on))
		return CLI_USAGE;
	if (!on)
		return cli_filter_change(cli, cli_filter_vacation_off, SPAN_NONE);
	if (!cli_get(cli, "text"))
		return cli_usage(cli, "what should people who write be told? --text 'I am away until Monday.' would be one");
	if (cli_filter_vacation_rule(cli, &rule, &err) != RC_OK)
		return cli_usage(cli, "%s", err.words);
	return cli_filter_change(cli, cli_filter_vacation_on, SPAN_NONE);
}

static enum rc cli_filter_remove_rule(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	struct span name;
	enum rc rc = cli_filter_find(cli, script, cli->args[1], &name, err);

	(void)given;
	return rc == RC_OK ? sieve_rule_remove(script, name, &cli_filter_rules, out, err) : rc;
}

int cli_filter_remove(struct cli *cli)
{
	return cli_filter_change(cli, cli_filter_remove_rule, SPAN_NONE);
}

static enum rc cli_filter_move_rule(struct cli *cli, struct span script, struct span given, struct buf *out, struct err *err)
{
	struct span name;
	uint64_t to;
	enum rc rc = cli_filter_find(cli, script, cli->args[1], &name, err);

	(void)given;
	if (rc == RC_OK && !cli_filter_number(cli->args[2], &to))
		return err_set(err, RC_BAD, "\"%s\" is no place among the rules; a number from 1 on would be one", cli->args[2]);
	return rc == RC_OK ? sieve_rule_move(script, name, (size_t)to - 1, &cli_filter_rules, out, err) : rc;
}

int cli_filter_move(struct cli *cli)
{
	return cli_filter_change(cli, cli_filter_move_rule, SPAN_NONE);
}

int cli_filter_clear(struct cli *cli)
{
	return cli_filter_change(cli, cli_filter_take, SPAN_NONE);
}

/* ---- scripts as a whole */

bool cli_filter_file(const char *name, size_t max, struct buf *out)
{
	bool in = strcmp(name, "-") == 0, good;
	int fd = in ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;

	buf_init(out, max + FILE_PIECE_BYTES);
	while (n > 0 && out->len <= max) {
		uint8_t *to = buf_reserve(out, FILE_PIECE_BYTES);

		n = read(fd, to, FILE_PIECE_BYTES);
		if (n > 0)
			out->len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	good = n >= 0 && out->len <= max;
	if (n < 0)
		cli_fail("%s: %s", in ? "standard input" : name, strerror(errno));
	else if (!good)
		cli_fail("%s: larger than %zu bytes, which is the most", in ? "standard input" : name, max);
	if (fd >= 0 && !in)
		(void)close(fd);
	if (!good)
		buf_clear(out);
	return good;
}

int cli_filter_set(struct cli *cli)
{
	const char *name = strcmp(cli->args[1], "-") == 0 ? "standard input" : cli->args[1];
	const struct sieve_script *compiled;
	struct arena mem;
	struct buf text;
	int status;

	if (!cli_filter_file(cli->args[1], LIMIT_SIEVE_SCRIPT_BYTES, &text))
		return CLI_FAILED;
	arena_init(&mem, LIMIT_SIEVE_COMPILED_BYTES);
	if (text.len == 0)
		status = cli_fail("%s: empty; mailroom filter clear %s removes the filter", name, cli->args[0]);
	else
		status = cli_filter_check(buf_span(&text), name, &mem, &compiled);
	arena_clear(&mem);
	if (status == CLI_OK)
		status = cli_filter_change(cli, cli_filter_take, buf_span(&text));
	buf_clear(&text);
	return status;
}

int cli_filter_show(struct cli *cli)
{
	struct span account, script;
	int64_t changed;
	int status = cli_filter_read(cli, &account, &script, &changed);

	if (status == CLI_OK)
		cli_filter_print(script, false);
	return status;
}
