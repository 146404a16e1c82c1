/* Every named limit has its fault, and no script or message takes more than its budget. */
#include "test_sieve.h"

#include "sieve_message.h"

static void repeat(struct buf *b, const char *text, unsigned times)
{
	while (times-- > 0)
		buf_add_str(b, text);
}

static void decide_is(struct buf *script, uint64_t steps, const char *want)
{
	struct buf got;

	assert_false(script->overflow);
	buf_init(&got, 1 << 20);
	if (strcmp(sieve_decide(buf_span(script), steps, &got), want) != 0)
		fail_msg("want %s\ngot  %.600s", want, buf_cstr(&got));
	buf_clear(&got);
	buf_reset(script);
}

static void test_nesting(void **state)
{
	struct buf s;

	(void)state;
	buf_init(&s, 4 << 20);
	buf_add_str(&s, "if ");
	repeat(&s, "(", 10000);
	decide_is(&s, 1000, "compile 1:4: a test stands behind \"if\": if TEST { ... }, and not \"(\"");
	buf_add_str(&s, "if ");
	repeat(&s, "not ", 10000);
	decide_is(&s, 1000, "compile 1:132: more than 32 blocks and tests inside each other");
	buf_add_str(&s, "if ");
	repeat(&s, "anyof(", 10000);
	decide_is(&s, 1000, "compile 1:195: more than 32 blocks and tests inside each other");
	repeat(&s, "if true{", 8000);
	decide_is(&s, 1000, "compile 1:260: more than 32 blocks and tests inside each other");
	/* as deep as can be, and RFC 5228 2.10.7: at least 15 */
	repeat(&s, "if true {", 31);
	buf_add_str(&s, "discard;");
	repeat(&s, "}", 31);
	decide_is(&s, LIMIT_SIEVE_STEPS, "discard @1");
	buf_add_str(&s, "if ");
	repeat(&s, "not allof(", 15);
	buf_add_str(&s, "true");
	repeat(&s, ")", 15);
	buf_add_str(&s, "{ } else { discard; }");
	decide_is(&s, LIMIT_SIEVE_STEPS, "discard @1");
	buf_clear(&s);
}

static void test_sizes(void **state)
{
	struct buf s;

	(void)state;
	buf_init(&s, 4 << 20);
	repeat(&s, "keep; # a long script\n", 48000);
	decide_is(&s, 1000, "compile 0:0: the script has 1056000 bytes; 65536 is the most");
	repeat(&s, "keep;\n", 4097);
	decide_is(&s, 1000, "compile 4097:1: the script has more than 4096 commands and tests");
	repeat(&s, "keep;\n", 4096);
	decide_is(&s, 100000, "keep @1");
	buf_add_str(&s, "if header \"a\" [\"b\"");
	repeat(&s, ",\"c\"", 1024);
	decide_is(&s, 1000, "compile 1:15: this list has more than 1024 strings");
	buf_add_str(&s, ALL);
	for (unsigned i = 0; i < 129; i++)
		buf_printf(&s, "set \"v%u\" \"x\";\n", i);
	decide_is(&s, 1000, "compile 130:1: the script has more than 128 variables");
	repeat(&s, ALL, 1);
	repeat(&s, "foreverypart { ", 5);
	decide_is(&s, 1000, "compile 2:61: more than 4 \"foreverypart\" inside each other");
	buf_add_str(&s, ALL "reject \"");
	repeat(&s, "0123456789abcdef", 257);
	buf_add_str(&s, "\";");
	decide_is(&s, 1000, "compile 2:1: the text of \"reject\" is too long; 4096 bytes are the most");
	buf_add_str(&s, ALL "fileinto \"");
	repeat(&s, "0123456789abcdef", 65);
	buf_add_str(&s, "\";");
	decide_is(&s, 1000,
		"compile 2:1: fileinto \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab...\": the name of the folder is too long");
	buf_clear(&s);
}

/* the compiled form and the arena both end as a limit, wherever that happens */
static void test_memory(void **state)
{
	struct sieve_rules rules = {.compiled_bytes = 1};
	struct span text = SPAN_LIT(ALL "if header :matches [\"a\", \"b\"] \"${x}*\" { set \"x\" \"y\"; fileinto :flags \"a\" \"${x}\"; }");
	const struct sieve_script *script = NULL;
	struct sieve_result result;
	struct sieve_fault fault;
	struct arena mem;
	enum rc rc = RC_LIMIT;

	(void)state;
	for (; rc == RC_LIMIT; rules.compiled_bytes += 8) {
		arena_init(&mem, 1 << 20);
		rc = sieve_compile(text, &rules, &mem, &script, &fault);
		assert_true(rc == RC_OK || strstr(fault.why.words, "too large"));
		assert_true(mem.used_bytes <= rules.compiled_bytes + 7);
		arena_clear(&mem);
	}
	assert_int_equal(rc, RC_OK);
	rc = RC_LIMIT;
	for (size_t max = 0; rc == RC_LIMIT; max += 8) {
		arena_init(&mem, max);
		rc = sieve_compile(text, NULL, &mem, &script, &fault);
		arena_clear(&mem);
	}
	assert_int_equal(rc, RC_OK);
	arena_init(&mem, 1 << 20);
	assert_int_equal(sieve_compile(text, NULL, &mem, &script, &fault), RC_OK);
	for (size_t max = 0;; max += 64) {
		struct arena run;
		enum sieve_end end;

		arena_init(&run, max);
		end = sieve_run(script, &test_message, 100000, &run, &result);
		assert_int_equal(result.action_count, 1);
		assert_true(end == SIEVE_DONE || (end == SIEVE_OVER && strstr(result.fault.why.words, "memory")));
		arena_clear(&run);
		if (end == SIEVE_DONE)
			break;
	}
	arena_clear(&mem);
}

static void test_actions(void **state)
{
	struct buf s;

	(void)state;
	buf_init(&s, 1 << 20);
	buf_add_str(&s, ALL);
	for (unsigned i = 0; i < 33; i++)
		buf_printf(&s, "fileinto \"f%u\";\n", i);
	decide_is(&s, 1000, "over 34: more than 32 actions for one message; the mail was kept");
	for (unsigned i = 0; i < 5; i++)
		buf_printf(&s, "redirect \"a%u@b.example\";\n", i);
	decide_is(&s, 1000, "over 5: more than 4 redirects for one message; the mail was kept");
	buf_add_str(&s, ALL "addflag \"");
	for (unsigned i = 0; i < 70; i++)
		buf_printf(&s, "f%u ", i);
	buf_add_str(&s, "\"; if hasflag :count \"eq\" \"70\" { discard; }");
	decide_is(&s, 100000, "discard @2");
	/* a variable is cut, and never inside a character */
	buf_add_str(&s, ALL "set \"a\" \"");
	repeat(&s, "\xe2\x82\xac", 100);
	buf_add_str(&s, "\";");
	repeat(&s, "set \"a\" \"${a}${a}\";", 10);
	buf_add_str(&s, "set :length \"n\" \"${a}\"; fileinto \"${n}\";");
	decide_is(&s, LIMIT_SIEVE_STEPS, "fileinto 1365 @2");
	buf_clear(&s);
}

/* variables in loops reuse their memory */
static void test_loop_memory(void **state)
{
	struct buf s;

	(void)state;
	buf_init(&s, 1 << 20);
	buf_add_str(&s, ALL);
	repeat(&s, "foreverypart {", 4);
	repeat(&s, "set \"a\" \"${a}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; set \"a\" \"\";\n", 50);
	repeat(&s, "}", 4);
	decide_is(&s, LIMIT_SIEVE_STEPS, "keep");
	buf_clear(&s);
}

static struct span long_a;

static bool field_of_a(void *owner, unsigned part, struct span name, unsigned nth, struct sieve_field *out)
{
	(void)owner;
	(void)part;
	(void)name;
	if (nth > 0)
		return false;
	*out = (struct sieve_field){.raw = long_a, .decoded = long_a};
	return true;
}

/* a pattern that sends a naive matcher to the end of time: the work is at most length times length, and the budget holds anyway */
static void test_bombs(void **state)
{
	static const char *const tests[] = {
		"header :matches \"x\" \"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\"",
		"header :matches \"x\" \"*?*?*?*?*?*?*?*?*?*?*?*?*?*?b\"",
		"header :contains \"x\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
		"header :matches \"x\" \"*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab*\"",
	};
	struct sieve_ops ops = {.field = field_of_a};
	struct sieve_message m = {.ops = &ops};
	const struct sieve_script *script = NULL;
	struct sieve_result result;
	struct sieve_fault fault;
	struct buf s, a;

	(void)state;
	buf_init(&s, 1 << 20);
	buf_init(&a, 1 << 20);
	repeat(&a, "aaaaaaaaaaaaaaaa", 4096);
	long_a = buf_span(&a);
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		struct arena mem;

		buf_reset(&s);
		buf_printf(&s, "if %s { discard; }", tests[i]);
		arena_init(&mem, 1 << 20);
		assert_int_equal(sieve_compile(buf_span(&s), NULL, &mem, &script, &fault), RC_OK);
		assert_int_equal(sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result), SIEVE_DONE);
		assert_int_equal(result.actions[0].act, SIEVE_KEEP);
		assert_true(result.steps < (uint64_t)long_a.len * 64);
		assert_int_equal(sieve_run(script, &m, 10000, &mem, &result), SIEVE_OVER);
		assert_true(result.steps <= 10000);
		assert_string_equal(result.fault.why.words, "the script takes too long for this message; the mail was kept");
		assert_int_equal(result.fault.line, 1);
		assert_int_equal(result.actions[0].act, SIEVE_KEEP);
		arena_clear(&mem);
	}
	buf_clear(&s);
	buf_clear(&a);
}

/* a sender cannot get past an owner's test with a long list of addresses in front of the one looked for */
static void test_addresses(void **state)
{
	static const char script_text[] = "if anyof (address \"to\" \"no@where.example\", address :domain \"to\" \"bad.example\") { discard; }";
	struct sieve_ops ops = {.field = field_of_a};
	struct sieve_message m = {.ops = &ops};
	const struct sieve_script *script = NULL;
	struct sieve_result result;
	struct sieve_fault fault;
	struct arena mem;
	struct buf a;

	(void)state;
	buf_init(&a, 1 << 20);
	for (unsigned i = 0; i < 9000; i++)
		buf_printf(&a, "\"Somebody %u\" <someone.%u@good.example>, ", i, i);
	buf_add_str(&a, "x@bad.example");
	long_a = buf_span(&a);
	arena_init(&mem, 1 << 20);
	assert_int_equal(sieve_compile(span_str(script_text), NULL, &mem, &script, &fault), RC_OK);
	assert_int_equal(sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result), SIEVE_DONE);
	assert_int_equal(result.actions[0].act, SIEVE_DISCARD);
	assert_false(result.incomplete);
	buf_reset(&a);
	for (unsigned i = 0; i < LIMIT_MIME_ADDRESSES; i++)
		buf_add_str(&a, "a@good.example,");
	buf_add_str(&a, "x@bad.example");
	long_a = buf_span(&a);
	assert_int_equal(sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result), SIEVE_DONE);
	assert_int_equal(result.actions[0].act, SIEVE_KEEP);
	assert_true(result.incomplete);
	arena_clear(&mem);
	buf_clear(&a);
}

/* whatever the budget is, it ends as OVER with the mail kept, or as it would without one */
static void test_budget(void **state)
{
	static const char text[] = ALL "foreverypart { if header :mime :matches \"Content-Type\" \"*gif*\" { set \"a\" \"${1}\"; fileinto \"${a}x\"; } }\n"
				       "if allof (body :contains \"jackpot\", address :matches \"from\" \"*@*\", not attachment :inside \"x\") { addflag \"y\"; }";
	struct buf got;
	uint64_t steps = 0;

	(void)state;
	buf_init(&got, 8192);
	for (; strncmp(sieve_decide(span_str(text), steps, &got), "over", 4) == 0; steps++)
		assert_non_null(strstr(buf_cstr(&got), "takes too long"));
	assert_string_equal(buf_cstr(&got), "fileinto image/x @2");
	assert_true(steps > 100);
	assert_string_equal(sieve_decide(span_str(text), steps - 1, &got), "over 3: the script takes too long for this message; the mail was kept");
	buf_clear(&got);
}

/* a script cut anywhere is a fault or a script, and never more than that */
static void test_cut(void **state)
{
	static const char text[] = ALL "if allof (header :comparator \"i;octet\" :matches [\"a\", \"b\"] \"\xc3\xbc${x}\", not size :over 1K) {\r\n"
				       "\treject text:\r\nno\r\n.\r\n; # done\r\n} /* more */ else { vacation :days 3 \"x\"; }\r\n";
	struct buf got;

	(void)state;
	buf_init(&got, 8192);
	for (size_t n = 0; n < sizeof(text); n++) {
		struct buf exact; /* of just that size, so that a sanitizer sees a read past its end */

		buf_init(&exact, n + 1);
		buf_add(&exact, span_of(text, n));
		(void)sieve_decide(buf_span(&exact), 1000, &got);
		buf_clear(&exact);
	}
	assert_string_equal(buf_cstr(&got), "vacation x seconds=259200 mime=0 subject= from= handle= to= @7; keep");
	buf_clear(&got);
}

int test_sieve_limits(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_nesting), cmocka_unit_test(test_sizes), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_actions), cmocka_unit_test(test_loop_memory), cmocka_unit_test(test_bombs), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cut)};

	return cmocka_run_group_tests_name("sieve limits", tests, NULL, NULL);
}
