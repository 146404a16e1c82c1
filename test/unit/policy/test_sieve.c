#include "test_sieve.h"

#include "sieve_message.h"

static void show_action(const struct sieve_action *a, struct buf *out)
{
	buf_add_str(out, sieve_act_name(a->act));
	if (a->copy)
		buf_add_byte(out, '+');
	if (a->text.len > 0) {
		buf_add_byte(out, ' ');
		buf_add(out, a->text);
	}
	if (a->act == SIEVE_ADDHEADER) {
		buf_add_str(out, a->last ? " last: " : ": ");
		buf_add(out, a->value);
	}
	for (size_t i = 0; i < a->flag_count; i++) {
		buf_add_str(out, i == 0 ? " {" : " ");
		buf_add(out, a->flags[i]);
	}
	if (a->flag_count > 0)
		buf_add_byte(out, '}');
	if (a->vacation) {
		buf_printf(out, " seconds=%u mime=%d", a->vacation->seconds, a->vacation->mime);
		buf_printf(out, " subject=%.*s from=%.*s", SPAN_FMT(a->vacation->subject), SPAN_FMT(a->vacation->from));
		buf_printf(out, " handle=%.*s to=", SPAN_FMT(a->vacation->handle));
		for (size_t i = 0; i < a->vacation->address_count; i++)
			buf_printf(out, "<%.*s>", SPAN_FMT(a->vacation->addresses[i]));
	}
	if (a->line > 0)
		buf_printf(out, " @%u", a->line);
}

/* the printed form of a script compiles to the same, and takes as many steps */
static void check_printed(const struct sieve_script *script, const struct sieve_result *want)
{
	const struct sieve_script *again = NULL;
	struct sieve_result got;
	struct sieve_fault fault;
	struct buf one, two;
	struct arena mem;

	arena_init(&mem, 4 << 20);
	buf_init(&one, 1 << 20);
	buf_init(&two, 1 << 20);
	sieve_print(script, &one);
	if (one.len <= LIMIT_SIEVE_SCRIPT_BYTES) {
		if (sieve_compile(buf_span(&one), NULL, &mem, &again, &fault) != RC_OK)
			fail_msg("printed form: line %u: %s\n%s", fault.line, fault.why.words, buf_cstr(&one));
		sieve_print(again, &two);
		assert_string_equal(buf_cstr(&one), buf_cstr(&two));
		assert_int_equal(sieve_script_needs(script), sieve_script_needs(again));
		(void)sieve_run(again, &test_message, LIMIT_SIEVE_STEPS, &mem, &got);
		assert_int_equal(got.end, want->end);
		assert_int_equal(got.steps, want->steps);
	}
	buf_clear(&one);
	buf_clear(&two);
	arena_clear(&mem);
}

const char *sieve_decide(struct span text, uint64_t steps, struct buf *out)
{
	const struct sieve_script *script = NULL;
	struct sieve_result result;
	struct sieve_fault fault;
	struct arena mem;

	buf_reset(out);
	arena_init(&mem, 4 << 20);
	if (sieve_compile(text, NULL, &mem, &script, &fault) != RC_OK) {
		assert_null(script);
		buf_printf(out, "compile %u:%u: %s", fault.line, fault.column, fault.why.words);
		arena_clear(&mem);
		return buf_cstr(out);
	}
	assert_true(sieve_script_bytes(script) <= mem.used_bytes && sieve_script_bytes(script) <= LIMIT_SIEVE_COMPILED_BYTES);
	(void)sieve_run(script, &test_message, steps, &mem, &result);
	assert_true(result.action_count > 0 && result.steps <= steps);
	if (result.end != SIEVE_DONE) {
		assert_int_equal(result.action_count, 1);
		assert_int_equal(result.actions[0].act, SIEVE_KEEP);
		buf_printf(out, "%s %u: %s", result.end == SIEVE_OVER ? "over" : "fault", result.fault.line, result.fault.why.words);
	} else {
		for (size_t i = 0; i < result.action_count; i++) {
			if (i > 0)
				buf_add_str(out, "; ");
			show_action(&result.actions[i], out);
		}
	}
	if (steps == LIMIT_SIEVE_STEPS)
		check_printed(script, &result);
	arena_clear(&mem);
	return buf_cstr(out);
}

int main(void)
{
	return (test_sieve_tests() + test_sieve_actions() + test_sieve_faults() + test_sieve_limits() + test_sieve_rule() + test_sieve_mail()) != 0;
}
