/* rules and texts as people read them */
#include "cli/cli_filter.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/cli_print.h"

enum { WORDS_SHOWN = 300 };

static const struct {
	const char *before; /* the patterns */
	bool pattern;
} words_kinds[SIEVE_RULE_KINDS] = {
	[SIEVE_RULE_NAME] = {"an attachment is named ", true},
	[SIEVE_RULE_TYPE] = {"an attachment is of type ", true},
	[SIEVE_RULE_INSIDE] = {"an archive holds ", true},
	[SIEVE_RULE_ENCRYPTED] = {"an archive needs a password", false},
	[SIEVE_RULE_UNREADABLE] = {"an archive cannot be looked into", false},
	[SIEVE_RULE_FROM] = {"it is from ", true},
	[SIEVE_RULE_SENDER] = {"its envelope sender is ", true},
	[SIEVE_RULE_TO] = {"it is to ", true},
	[SIEVE_RULE_LARGER] = {"it is larger than ", false},
	[SIEVE_RULE_SMALLER] = {"it is smaller than ", false},
	[SIEVE_RULE_HEADER] = {" is ", true},
	[SIEVE_RULE_BODY] = {"its text holds ", true},
	[SIEVE_RULE_SINCE] = {"it comes on or after ", true},
	[SIEVE_RULE_UNTIL] = {"it comes before ", true},
};

static bool words_together(const struct sieve_rule_condition *a, const struct sieve_rule_condition *b)
{
	return a->kind == b->kind && span_eq_nocase(a->field, b->field);
}

static bool words_is_first(const struct sieve_rule *rule, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (words_together(&rule->conditions[i], &rule->conditions[at]))
			return false;
	return true;
}

static void words_condition(const struct sieve_rule *rule, size_t first, struct buf *out)
{
	const struct sieve_rule_condition *c = &rule->conditions[first];
	const char *between = "";

	if (c->kind == SIEVE_RULE_HEADER)
		buf_add_safe(out, c->field, WORDS_SHOWN);
	buf_add_str(out, words_kinds[c->kind].before);
	if (c->kind != SIEVE_RULE_LARGER && c->kind != SIEVE_RULE_SMALLER && !words_kinds[c->kind].pattern)
		return;
	for (size_t i = first; i < rule->condition_count; i++) {
		if (!words_together(c, &rule->conditions[i]))
			continue;
		buf_add_str(out, between);
		between = " or ";
		if (words_kinds[c->kind].pattern)
			buf_add_safe(out, rule->conditions[i].pattern, WORDS_SHOWN);
		else
			cli_write_bytes(out, rule->conditions[i].bytes);
	}
}

void cli_filter_words(const struct sieve_rule *rule, struct buf *out)
{
	static const char *const acts[SIEVE_RULE_ACTS] = {"", "refuse it (", "file it into ", "mark it ", "throw it away", "send it on to ", "answer it ("};
	const char *between = "if ";

	for (size_t i = 0; i < rule->condition_count; i++) {
		if (!words_is_first(rule, i))
			continue;
		buf_add_str(out, between);
		words_condition(rule, i, out);
		between = rule->any ? ", or " : ", and ";
	}
	if (rule->condition_count)
		buf_add_str(out, ": ");
	buf_add_str(out, acts[rule->act]);
	buf_add_safe(out, rule->text, WORDS_SHOWN);
	if (rule->act == SIEVE_RULE_REFUSE || rule->act == SIEVE_RULE_ANSWER)
		buf_add_byte(out, ')');
	if (rule->keep)
		buf_add_str(out, " and keep a copy");
}

/* length of the character at the front that a terminal may be shown; 0: none */
static size_t words_character(struct span s)
{
	uint8_t c = s.ptr[0];
	size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	struct span one = span_head(s, len);

	if (len == 1)
		return c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f);
	if (one.len < len || !span_is_utf8(one) || (c == 0xc2 && s.ptr[1] < 0xa0)) /* C1 controls too */
		return 0;
	return len;
}

void cli_filter_print(struct span text, bool raw)
{
	if (raw || !isatty(STDOUT_FILENO)) {
		(void)fwrite(text.ptr ? (const void *)text.ptr : "", 1, text.len, stdout);
		return;
	}
	while (text.len) {
		size_t n = words_character(text);

		if (n)
			(void)fwrite(text.ptr, 1, n, stdout);
		else if (!(text.len > 1 && text.ptr[0] == '\r' && text.ptr[1] == '\n'))
			(void)printf("\\x%02x", text.ptr[0]);
		text = span_from(text, n ? n : 1);
	}
}
