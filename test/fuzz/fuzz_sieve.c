/* A script compiles or has a fault that says something; what compiles prints as text that compiles to the same, decides the same, and stays in
 * its budget. The first two bytes are the budget of the second run. Rules listed in it can be taken out again. */
#include "fuzz.h"

#include <stdlib.h>

#include "../unit/policy/sieve_message.h"
#include "base/limits.h"
#include "policy/sieve_rule.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_result(const struct sieve_result *r, uint64_t steps)
{
	must(r->action_count >= 1 && r->action_count <= LIMIT_SIEVE_ACTIONS + 1 && r->steps <= steps);
	must(r->end == SIEVE_DONE || (r->action_count == 1 && r->actions[0].act == SIEVE_KEEP && r->fault.why.words[0]));
	for (size_t i = 0; i < r->action_count; i++) {
		const struct sieve_action *a = &r->actions[i];

		must(a->act != SIEVE_FILEINTO || (a->text.len > 0 && span_is_utf8(a->text)));
		must(a->act != SIEVE_ADDHEADER || (span_find(a->value, '\n') == a->value.len && span_find(a->value, '\r') == a->value.len));
		must(a->act != SIEVE_VACATION || a->vacation);
		must(a->flag_count <= LIMIT_SIEVE_FLAGS);
	}
}

static void same(const struct sieve_result *a, const struct sieve_result *b)
{
	must(a->end == b->end && a->action_count == b->action_count && a->steps == b->steps);
	for (size_t i = 0; i < a->action_count; i++) {
		must(a->actions[i].act == b->actions[i].act && span_eq(a->actions[i].text, b->actions[i].text));
		must(span_eq(a->actions[i].value, b->actions[i].value) && a->actions[i].flag_count == b->actions[i].flag_count);
	}
}

static void check_script(const struct sieve_script *script, uint64_t budget, struct arena *mem)
{
	enum { STEPS = 1 << 20 };
	const struct sieve_script *again;
	struct sieve_result first, second, short_run;
	struct sieve_fault fault;
	struct buf one, two;

	buf_init(&one, 4 << 20);
	buf_init(&two, 4 << 20);
	(void)sieve_run(script, &test_message, STEPS, mem, &first);
	check_result(&first, STEPS);
	(void)sieve_run(script, &test_message, budget, mem, &short_run);
	check_result(&short_run, budget);
	must(first.steps > budget ? short_run.end == SIEVE_OVER : short_run.steps == first.steps);
	sieve_print(script, &one);
	must(!one.overflow);
	if (one.len <= LIMIT_SIEVE_SCRIPT_BYTES) {
		must(sieve_compile(buf_span(&one), NULL, mem, &again, &fault) == RC_OK);
		sieve_print(again, &two);
		must(span_eq(buf_span(&one), buf_span(&two)));
		must(sieve_script_needs(script) == sieve_script_needs(again));
		(void)sieve_run(again, &test_message, STEPS, mem, &second);
		if (!mem->overflow)
			same(&first, &second);
	}
	buf_clear(&one);
	buf_clear(&two);
}

/* taking out a rule leaves one less */
static void check_rules(struct span text, struct arena *mem)
{
	struct sieve_rule_entry *list, *rest;
	size_t count, left;
	struct err err;
	struct buf out;

	if (sieve_rule_list(text, mem, &list, &count, &err) != RC_OK || count == 0)
		return;
	buf_init(&out, LIMIT_SIEVE_SCRIPT_BYTES);
	if (sieve_rule_remove(text, list[0].name, NULL, &out, &err) == RC_OK) {
		must(sieve_rule_list(buf_span(&out), mem, &rest, &left, &err) != RC_OK || left >= count - 1);
	} else {
		must(out.len == 0 || out.overflow);
	}
	buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sieve_script *script;
	struct sieve_fault fault;
	struct arena mem;
	struct span text;
	uint64_t budget;

	if (size < 2)
		return 0;
	budget = (uint64_t)data[0] << 8 | data[1];
	text = span_of(data + 2, size - 2);
	arena_init(&mem, 16 << 20);
	if (sieve_compile(text, NULL, &mem, &script, &fault) == RC_OK)
		check_script(script, budget, &mem);
	else
		must(fault.why.words[0] != '\0');
	arena_clear(&mem);
	check_rules(text, &mem);
	arena_clear(&mem);
	return 0;
}
