#include "policy/sieve_rule_internal.h"

#include "base/limits.h"
#include "base/num.h"
#include "policy/sieve_compile.h"

static const struct kind_row {
	const char *option;
	char value;           /* 'p' pattern, 'n' size, 'h' "Field: pattern", 'd' a day, 0 none */
	const char *test;     /* before the patterns or the number */
	uint32_t ext;
} kinds[SIEVE_RULE_KINDS] = {
	[SIEVE_RULE_NAME] = {"attachment-name", 'p', "attachment :matches :name", SIEVE_EXT(ATTACHMENT)},
	[SIEVE_RULE_TYPE] = {"attachment-type", 'p', "attachment :matches :type :content", SIEVE_EXT(ATTACHMENT)},
	[SIEVE_RULE_INSIDE] = {"inside", 'p', "attachment :matches :inside", SIEVE_EXT(ATTACHMENT)},
	[SIEVE_RULE_ENCRYPTED] = {"encrypted", 0, "attachment :encrypted", SIEVE_EXT(ATTACHMENT)},
	[SIEVE_RULE_UNREADABLE] = {"unreadable", 0, "attachment :unreadable", SIEVE_EXT(ATTACHMENT)},
	[SIEVE_RULE_FROM] = {"from", 'p', "address :matches \"from\"", 0},
	[SIEVE_RULE_SENDER] = {"sender", 'p', "envelope :matches \"from\"", SIEVE_EXT(ENVELOPE)},
	[SIEVE_RULE_TO] = {"to", 'p', "address :matches [\"to\", \"cc\"]", 0},
	[SIEVE_RULE_LARGER] = {"larger", 'n', "size :over", 0},
	[SIEVE_RULE_SMALLER] = {"smaller", 'n', "size :under", 0},
	[SIEVE_RULE_HEADER] = {"header", 'h', "header :matches", 0},
	[SIEVE_RULE_BODY] = {"body", 'p', "body :contains", SIEVE_EXT(BODY)},
	[SIEVE_RULE_SINCE] = {"since", 'd', "currentdate :value \"ge\" \"date\"", SIEVE_EXT(DATE) | SIEVE_EXT(RELATIONAL)},
	[SIEVE_RULE_UNTIL] = {"until", 'd', "currentdate :value \"lt\" \"date\"", SIEVE_EXT(DATE) | SIEVE_EXT(RELATIONAL)},
};

static const struct act_row {
	const char *option;
	bool value;
	const char *command; /* before the text */
	bool stop;           /* nothing else is to happen to the message */
	uint32_t ext;
} acts[SIEVE_RULE_ACTS] = {
	[SIEVE_RULE_REFUSE] = {"refuse", true, "reject", true, SIEVE_EXT(REJECT)},
	[SIEVE_RULE_FILE] = {"file", true, "fileinto", true, SIEVE_EXT(FILEINTO)},
	[SIEVE_RULE_MARK] = {"mark", true, "addflag", false, SIEVE_EXT(IMAP4FLAGS) | SIEVE_EXT(EDITHEADER)},
	[SIEVE_RULE_DISCARD] = {"discard", false, "discard", true, 0},
	[SIEVE_RULE_REDIRECT] = {"redirect", true, "redirect", true, 0},
	[SIEVE_RULE_ANSWER] = {"answer", true, "vacation", false, SIEVE_EXT(VACATION)},
};

bool sieve_rule_name_ok(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!byte_is_alnum(name.ptr[i]) && !strchr("._-", name.ptr[i]))
			return false;
	return name.len > 0 && name.len <= LIMIT_SIEVE_NAME_BYTES;
}

/* --- options --- */

static unsigned kind_find(struct span option)
{
	unsigned k = 0;

	while (k < SIEVE_RULE_KINDS && !span_eq(option, span_str(kinds[k].option)))
		k++;
	return k;
}

static unsigned act_find(struct span option)
{
	unsigned a = SIEVE_RULE_REFUSE;

	while (a < SIEVE_RULE_ACTS && !span_eq(option, span_str(acts[a].option)))
		a++;
	return a;
}

int sieve_rule_option_values(struct span option)
{
	unsigned k = kind_find(option), a = act_find(option);

	if (k < SIEVE_RULE_KINDS)
		return kinds[k].value != 0;
	if (a < SIEVE_RULE_ACTS)
		return acts[a].value;
	if (span_eq(option, SPAN_LIT("any")) || span_eq(option, SPAN_LIT("keep")))
		return 0;
	return span_eq(option, SPAN_LIT("name")) || span_eq(option, SPAN_LIT("subject")) || span_eq(option, SPAN_LIT("days")) ? 1 : -1;
}

/* What can stand in a script whatever extensions its owner requires. `what` is the option. */
static enum rc text_check(struct span text, struct span what, bool lines, struct err *err)
{
	if (text.len == 0)
		return err_set(err, RC_BAD, "--%.*s needs a value", SPAN_FMT(what));
	if (text.len > LIMIT_SIEVE_OPTION_BYTES)
		return err_set(err, RC_LIMIT, "the value of --%.*s is too long; %d bytes are the most", SPAN_FMT(what), LIMIT_SIEVE_OPTION_BYTES);
	if (!span_is_utf8(text))
		return err_set(err, RC_BAD, "the value of --%.*s is no UTF-8", SPAN_FMT(what));
	for (size_t i = 0; i < text.len; i++)
		if ((text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) && !(lines && text.ptr[i] == '\n'))
			return err_set(err, RC_BAD, "the value of --%.*s holds a control character; it has to be %s", SPAN_FMT(what), lines ? "plain text" : "one line");
	if (span_find_span(text, SPAN_LIT("# mailroom")) < text.len) /* how rules begin and end */
		return err_set(err, RC_BAD, "the value of --%.*s holds \"# mailroom\", by which rules are found", SPAN_FMT(what));
	if (span_find_span(text, SPAN_LIT("${")) < text.len)
		return err_set(err, RC_BAD, "the value of --%.*s holds \"${\", which means a variable in Sieve; \"$?\" matches it", SPAN_FMT(what));
	return RC_OK;
}

/* YYYY-MM-DD, as RFC 5260 4.2 compares it */
static bool day_ok(struct span day)
{
	uint64_t year, month, date;

	if (day.len != 10 || day.ptr[4] != '-' || day.ptr[7] != '-')
		return false;
	return num_parse(span_head(day, 4), 9999, &year) == RC_OK && year >= 1970 && num_parse(span_head(span_from(day, 5), 2), 12, &month) == RC_OK && month > 0 &&
	       num_parse(span_from(day, 8), 31, &date) == RC_OK && date > 0;
}

static enum rc add_condition(struct sieve_rule *rule, unsigned kind, struct span value, struct arena *mem, struct err *err)
{
	struct sieve_rule_condition *c, *all;
	struct span option = span_str(kinds[kind].option), rest = value;
	enum rc rc = kinds[kind].value ? text_check(value, option, false, err) : RC_OK;

	if (rc != RC_OK)
		return rc;
	if (rule->condition_count == LIMIT_SIEVE_RULE_CONDITIONS)
		return err_set(err, RC_LIMIT, "a rule has at most %d conditions; a second rule can hold more", LIMIT_SIEVE_RULE_CONDITIONS);
	all = arena_zalloc(mem, (rule->condition_count + 1) * sizeof(*all));
	if (!all)
		return err_set(err, RC_LIMIT, "the rule is too large");
	c = &all[rule->condition_count];
	c->kind = kind;
	if (kinds[kind].value == 'n' && (num_parse_size_bytes(value, &c->bytes) != RC_OK || c->bytes == 0))
		return err_set(err, RC_BAD, "--%s takes a size: 500K, 10MB, 1GB", kinds[kind].option);
	if (kinds[kind].value == 'h') {
		c->field = span_trim(span_cut(&rest, ':'));
		rest = span_trim(rest);
		if (rest.len == 0 || !sieve_field_name_ok(c->field))
			return err_set(err, RC_BAD, "--header takes a field and what it has to match: 'Subject: *lottery*'");
		c->field = arena_copy(mem, c->field);
	}
	if (kinds[kind].value == 'd' && !day_ok(value))
		return err_set(err, RC_BAD, "--%s takes a day, written like 2026-12-24", kinds[kind].option);
	if (kinds[kind].value == 'p' || kinds[kind].value == 'h' || kinds[kind].value == 'd')
		c->pattern = arena_copy(mem, rest);
	if (mem->overflow)
		return err_set(err, RC_LIMIT, "the rule is too large");
	if (rule->condition_count > 0)
		memcpy(all, rule->conditions, rule->condition_count * sizeof(*all));
	rule->conditions = all;
	rule->condition_count++;
	return RC_OK;
}

/* a keyword that IMAP can hold (RFC 9051 9), or \Seen and \Flagged */
static bool mark_ok(struct span word)
{
	if (span_eq_nocase(word, SPAN_LIT("\\Seen")) || span_eq_nocase(word, SPAN_LIT("\\Flagged")))
		return true;
	for (size_t i = 0; i < word.len; i++)
		if (word.ptr[i] <= ' ' || word.ptr[i] > '~' || strchr("(){%*\"\\]", word.ptr[i]))
			return false;
	return word.len > 0 && word.len <= LIMIT_SIEVE_NAME_BYTES;
}

static enum rc set_act(struct sieve_rule *rule, enum sieve_rule_act act, struct span value, struct arena *mem, struct err *err)
{
	struct span option = span_str(acts[act].option);
	enum rc rc = acts[act].value ? text_check(value, option, act == SIEVE_RULE_ANSWER, err) : RC_OK;

	if (rc != RC_OK)
		return rc;
	if (rule->act != SIEVE_RULE_NOTHING)
		return err_set(err, RC_BAD, "a rule does one thing: --%s and --%s exclude each other", acts[rule->act].option, acts[act].option);
	if (act == SIEVE_RULE_MARK && !mark_ok(value))
		return err_set(err, RC_BAD, "a mark is one word of letters and digits: --mark invoices");
	if (act == SIEVE_RULE_FILE && sieve_folder_fault(value))
		return err_set(err, RC_BAD, "%s", sieve_folder_fault(value));
	if (act == SIEVE_RULE_REDIRECT && sieve_redirect_fault(value))
		return err_set(err, RC_BAD, "--redirect takes an address: %s", sieve_redirect_fault(value));
	rule->text = acts[act].value ? arena_copy(mem, value) : SPAN_NONE;
	if (mem->overflow)
		return err_set(err, RC_LIMIT, "the rule is too large");
	rule->act = act;
	return RC_OK;
}

/* what belongs to an answer */
static enum rc set_answer(struct sieve_rule *rule, struct span option, struct span value, struct arena *mem, struct err *err)
{
	uint64_t days;
	enum rc rc;

	if (span_eq(option, SPAN_LIT("days"))) {
		if (num_parse(value, LIMIT_SIEVE_VACATION_DAYS, &days) != RC_OK || days == 0)
			return err_set(err, RC_BAD, "--days takes a number from 1 to %d", LIMIT_SIEVE_VACATION_DAYS);
		rule->days = (unsigned)days;
		return RC_OK;
	}
	rc = text_check(value, option, false, err);
	if (rc == RC_OK)
		rule->subject = arena_copy(mem, value);
	return mem->overflow ? err_set(err, RC_LIMIT, "the rule is too large") : rc;
}

enum rc sieve_rule_option(struct sieve_rule *rule, struct span option, struct span value, struct arena *mem, struct err *err)
{
	unsigned k = kind_find(option), a = act_find(option);

	if (k < SIEVE_RULE_KINDS)
		return add_condition(rule, k, value, mem, err);
	if (a < SIEVE_RULE_ACTS)
		return set_act(rule, a, value, mem, err);
	if (span_eq(option, SPAN_LIT("any")) || span_eq(option, SPAN_LIT("keep"))) {
		*(span_eq(option, SPAN_LIT("any")) ? &rule->any : &rule->keep) = true;
		return RC_OK;
	}
	if (span_eq(option, SPAN_LIT("subject")) || span_eq(option, SPAN_LIT("days")))
		return set_answer(rule, option, value, mem, err);
	if (!span_eq(option, SPAN_LIT("name")))
		return err_set(err, RC_BAD, "unknown option of a rule");
	if (!sieve_rule_name_ok(value))
		return err_set(err, RC_BAD, "the name of a rule is made of letters, digits, dot, _ and -, at most %d", LIMIT_SIEVE_NAME_BYTES);
	rule->name = arena_copy(mem, value);
	return mem->overflow ? err_set(err, RC_LIMIT, "the rule is too large") : RC_OK;
}

enum rc sieve_rule_check(const struct sieve_rule *rule, struct err *err)
{
	if (rule->keep && rule->act != SIEVE_RULE_REDIRECT)
		return err_set(err, RC_BAD, "--keep belongs to --redirect: a copy stays");
	if ((rule->subject.len || rule->days) && rule->act != SIEVE_RULE_ANSWER)
		return err_set(err, RC_BAD, "--subject and --days belong to --answer");
	if (rule->condition_count == 0 && rule->act != SIEVE_RULE_ANSWER)
		return err_set(err, RC_BAD, "the rule has no condition: which mail is it for? --attachment-name '*.zip' would be one");
	if (rule->act == SIEVE_RULE_NOTHING)
		return err_set(err, RC_BAD, "the rule does nothing: --refuse, --file, --mark, --redirect, --answer or --discard is missing");
	return RC_OK;
}

/* --- to text --- */

static void write_string(struct buf *out, struct span s)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, s.ptr[i]);
	}
	buf_add_byte(out, '"');
}

/* conditions that go into one test */
static bool together(const struct sieve_rule_condition *a, const struct sieve_rule_condition *b)
{
	return a->kind == b->kind && span_eq_nocase(a->field, b->field);
}

static bool is_first(const struct sieve_rule *rule, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (together(&rule->conditions[i], &rule->conditions[at]))
			return false;
	return true;
}

/* Of sizes that all have to hold or any of them, one is enough: alternatives, so the weaker one. */
static uint64_t write_bytes_of(const struct sieve_rule *rule, size_t first)
{
	const struct sieve_rule_condition *c = &rule->conditions[first];
	uint64_t bytes = c->bytes;

	for (size_t i = first + 1; i < rule->condition_count; i++) {
		uint64_t other = rule->conditions[i].bytes;

		if (together(c, &rule->conditions[i]) && (c->kind == SIEVE_RULE_LARGER ? other < bytes : other > bytes))
			bytes = other;
	}
	return bytes;
}

static void write_size(struct buf *out, uint64_t bytes)
{
	unsigned unit = 0;

	for (; unit < 3 && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	buf_add_byte(out, ' ');
	buf_add_u64(out, bytes);
	if (unit > 0)
		buf_add_byte(out, (uint8_t)"KMG"[unit - 1]);
}

static void write_test(const struct sieve_rule *rule, size_t first, struct buf *out)
{
	const struct sieve_rule_condition *c = &rule->conditions[first];
	size_t count = 0, at = 0;

	buf_add_str(out, kinds[c->kind].test);
	if (kinds[c->kind].value == 0)
		return;
	if (kinds[c->kind].value == 'n') {
		write_size(out, write_bytes_of(rule, first));
		return;
	}
	if (kinds[c->kind].value == 'h') {
		buf_add_byte(out, ' ');
		write_string(out, c->field);
	}
	for (size_t i = first; i < rule->condition_count; i++)
		count += together(c, &rule->conditions[i]);
	buf_add_str(out, count > 1 ? " [" : " ");
	for (size_t i = first; i < rule->condition_count; i++) {
		if (!together(c, &rule->conditions[i]))
			continue;
		if (at++ > 0)
			buf_add_str(out, ", ");
		write_string(out, rule->conditions[i].pattern);
	}
	if (count > 1)
		buf_add_byte(out, ']');
}

static void write_act(const struct sieve_rule *rule, struct buf *out)
{
	buf_add_str(out, acts[rule->act].command);
	if (rule->keep)
		buf_add_str(out, " :copy");
	if (rule->days)
		buf_printf(out, " :days %u", rule->days);
	if (rule->subject.len) {
		buf_add_str(out, " :subject ");
		write_string(out, rule->subject);
	}
	if (acts[rule->act].value) {
		buf_add_byte(out, ' ');
		write_string(out, rule->text);
	}
	if (rule->act == SIEVE_RULE_MARK) { /* for who reads mail by POP3, which has no flags */
		buf_add_str(out, ";\n\taddheader \"" SIEVE_RULE_MARK_FIELD "\" ");
		write_string(out, rule->text);
	}
	buf_add_str(out, acts[rule->act].stop && !rule->keep ? ";\n\tstop;\n}\n" : ";\n}\n");
}

void sieve_rule_write(const struct sieve_rule *rule, struct buf *out)
{
	size_t tests = 0, at = 0;

	for (size_t i = 0; i < rule->condition_count; i++)
		tests += is_first(rule, i);
	buf_add_str(out, SIEVE_RULE_BEGIN);
	buf_add(out, rule->name);
	buf_add_str(out, "\"\nif ");
	if (tests > 1)
		buf_add_str(out, rule->any ? "anyof (" : "allof (");
	for (size_t i = 0; i < rule->condition_count; i++) {
		if (!is_first(rule, i))
			continue;
		if (at++ > 0)
			buf_add_str(out, ",\n\t");
		write_test(rule, i, out);
	}
	if (tests == 0)
		buf_add_str(out, "true");
	buf_add_str(out, tests > 1 ? ") {\n\t" : " {\n\t");
	write_act(rule, out);
	buf_add_str(out, SIEVE_RULE_END "\n");
}

uint32_t sieve_rule_ext(const struct sieve_rule *rule)
{
	uint32_t ext = acts[rule->act].ext | (rule->keep ? SIEVE_EXT(COPY) : 0);

	for (size_t i = 0; i < rule->condition_count; i++)
		ext |= kinds[rule->conditions[i].kind].ext;
	return ext;
}

/* in single quotes for a shell; of control characters only the line break has a place in a rule */
static void describe_value(struct buf *out, struct span s)
{
	buf_add_str(out, " '");
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\'')
			buf_add_str(out, "'\\''");
		else if ((s.ptr[i] >= 0x20 && s.ptr[i] != 0x7f) || s.ptr[i] == '\n')
			buf_add_byte(out, s.ptr[i]);
	}
	buf_add_byte(out, '\'');
}

void sieve_rule_describe(const struct sieve_rule *rule, struct buf *out)
{
	const char *between = "";

	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct sieve_rule_condition *c = &rule->conditions[i];

		buf_printf(out, "%s--%s", between, kinds[c->kind].option);
		between = " ";
		if (kinds[c->kind].value == 'n') {
			write_size(out, c->bytes);
		} else if (kinds[c->kind].value == 'h') {
			struct buf both;

			buf_init(&both, (size_t)LIMIT_SIEVE_OPTION_BYTES * 2);
			buf_add(&both, c->field);
			buf_add_str(&both, ": ");
			buf_add(&both, c->pattern);
			describe_value(out, buf_span(&both));
			buf_clear(&both);
		} else if (kinds[c->kind].value) {
			describe_value(out, c->pattern);
		}
	}
	if (rule->any)
		buf_add_str(out, " --any");
	if (rule->act != SIEVE_RULE_NOTHING)
		buf_printf(out, "%s--%s", between[0] || rule->any ? " " : "", acts[rule->act].option);
	if (acts[rule->act].value)
		describe_value(out, rule->text);
	if (rule->keep)
		buf_add_str(out, " --keep");
	if (rule->subject.len) {
		buf_add_str(out, " --subject");
		describe_value(out, rule->subject);
	}
	if (rule->days)
		buf_printf(out, " --days %u", rule->days);
}

/* --- from text --- */

/* the strings or the number of a test as options of that kind */
static bool read_values(struct sieve_rule *rule, unsigned kind, const struct sieve_node *n, struct arena *mem)
{
	const struct sieve_value *v = &n->args[sieve_verb_arg_count(n->verb) - 1];
	struct buf text;
	bool good = true;

	if (kinds[kind].value == 0)
		return add_condition(rule, kind, SPAN_NONE, mem, NULL) == RC_OK;
	buf_init(&text, (size_t)LIMIT_SIEVE_OPTION_BYTES * 2);
	if (v->kind == 'n')
		buf_add_u64(&text, v->number);
	for (unsigned i = 0; i < (v->kind == 'n' ? 1 : v->count) && good; i++) {
		if (v->kind != 'n') {
			buf_reset(&text);
			if (kinds[kind].value == 'h') {
				buf_add(&text, sieve_string_span(n->args[0].strings));
				buf_add_str(&text, ": ");
			}
			buf_add(&text, sieve_string_span(&v->strings[i]));
		}
		good = !text.overflow && add_condition(rule, kind, buf_span(&text), mem, NULL) == RC_OK;
	}
	buf_clear(&text);
	return good;
}

/* a guess at what the test was written from; sieve_rule_read writes it again to see whether it was right */
static bool read_test(struct sieve_rule *rule, const struct sieve_node *n, struct arena *mem)
{
	struct span verb = span_str(n->verb->name);
	static const struct {
		uint64_t tag;
		enum sieve_rule_kind kind;
	} attachments[] = {{SIEVE_TAG(ENCRYPTED), SIEVE_RULE_ENCRYPTED}, {SIEVE_TAG(UNREADABLE), SIEVE_RULE_UNREADABLE},
		{SIEVE_TAG(FILE_INSIDE), SIEVE_RULE_INSIDE}, {SIEVE_TAG(FILE_TYPE), SIEVE_RULE_TYPE}, {SIEVE_TAG(FILE_NAME), SIEVE_RULE_NAME}};

	if (span_eq(verb, SPAN_LIT("attachment"))) {
		for (size_t i = 0; i < sizeof(attachments) / sizeof(*attachments); i++)
			if (n->tags & attachments[i].tag)
				return read_values(rule, attachments[i].kind, n, mem);
		return false;
	}
	if (span_eq(verb, SPAN_LIT("address")))
		return read_values(rule, n->args[0].count == 1 ? SIEVE_RULE_FROM : SIEVE_RULE_TO, n, mem);
	if (span_eq(verb, SPAN_LIT("currentdate"))) {
		const struct sieve_value *how = sieve_node_param(n, SIEVE_TAG_VALUE);

		return how && read_values(rule, span_eq(sieve_string_span(how->strings), SPAN_LIT("ge")) ? SIEVE_RULE_SINCE : SIEVE_RULE_UNTIL, n, mem);
	}
	if (span_eq(verb, SPAN_LIT("size")))
		return read_values(rule, sieve_node_has(n, SIEVE_TAG_OVER) ? SIEVE_RULE_LARGER : SIEVE_RULE_SMALLER, n, mem);
	return (span_eq(verb, SPAN_LIT("envelope")) && read_values(rule, SIEVE_RULE_SENDER, n, mem)) ||
	       (span_eq(verb, SPAN_LIT("header")) && read_values(rule, SIEVE_RULE_HEADER, n, mem)) ||
	       (span_eq(verb, SPAN_LIT("body")) && read_values(rule, SIEVE_RULE_BODY, n, mem));
}

static bool read_act_tags(struct sieve_rule *rule, const struct sieve_node *n, struct arena *mem)
{
	const struct sieve_value *days = sieve_node_param(n, SIEVE_TAG_DAYS), *subject = sieve_node_param(n, SIEVE_TAG_SUBJECT);

	rule->keep = sieve_node_has(n, SIEVE_TAG_COPY);
	if (days)
		rule->days = days->number > LIMIT_SIEVE_VACATION_DAYS ? 0 : (unsigned)days->number;
	return !subject || set_answer(rule, SPAN_LIT("subject"), sieve_string_span(subject->strings), mem, NULL) == RC_OK;
}

static bool read_node(struct sieve_rule *rule, const struct sieve_node *n, struct arena *mem)
{
	const struct sieve_node *test = n ? n->tests : NULL;
	bool list = test && test->verb->flags & SIEVE_VERB_TAKES_TESTS;
	unsigned a = SIEVE_RULE_REFUSE;

	if (!test || n->next || !n->block)
		return false;
	rule->any = list && span_eq(span_str(test->verb->name), SPAN_LIT("anyof"));
	for (test = list ? test->tests : test; test; test = list ? test->next : NULL)
		if (!span_eq(span_str(test->verb->name), SPAN_LIT("true")) && !read_test(rule, test, mem))
			return false;
	while (a < SIEVE_RULE_ACTS && !span_eq(span_str(n->block->verb->name), span_str(acts[a].command)))
		a++;
	if (a == SIEVE_RULE_ACTS || !read_act_tags(rule, n->block, mem))
		return false;
	return set_act(rule, a, acts[a].value ? sieve_string_span(n->block->args[sieve_verb_arg_count(n->block->verb) - 1].strings) : SPAN_NONE, mem,
		       NULL) == RC_OK;
}

bool sieve_rule_read(struct span block, struct arena *mem, struct sieve_rule *out)
{
	static const char require[] =
		"require [\"vnd.mailroom.attachment\", \"envelope\", \"body\", \"reject\", \"fileinto\", \"imap4flags\", \"editheader\", \"copy\", \"vacation\", \"date\", "
		"\"relational\"];\n";
	struct sieve_rule rule = {.name = out->name};
	const struct sieve_script *script;
	struct sieve_fault fault;
	struct arena tree;
	struct buf text, again;
	bool good;

	arena_init(&tree, LIMIT_SIEVE_COMPILED_BYTES);
	buf_init(&text, (size_t)LIMIT_SIEVE_SCRIPT_BYTES + sizeof(require));
	buf_add_str(&text, require);
	for (size_t i = 0; i < block.len; i++)
		if (block.ptr[i] != '\r') /* editors and protocols turn LF into CRLF */
			buf_add_byte(&text, block.ptr[i]);
	good = sieve_compile(buf_span(&text), NULL, &tree, &script, &fault) == RC_OK && read_node(&rule, script->first, mem);
	arena_clear(&tree);
	buf_init(&again, LIMIT_SIEVE_SCRIPT_BYTES * 2);
	if (good) {
		sieve_rule_write(&rule, &again);
		good = span_eq(buf_span(&again), span_from(buf_span(&text), sizeof(require) - 1));
	}
	buf_clear(&again);
	buf_clear(&text);
	if (good)
		*out = rule;
	return good;
}
