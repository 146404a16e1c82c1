/* Simple rules to script text and back, and what of the owner's script they leave alone. */
#include "test_sieve.h"

#include "policy/sieve_rule.h"

enum { MOST = 8 };

struct option {
	const char *name, *value;
};

static enum rc build(const struct option *options, struct arena *mem, struct sieve_rule *rule, struct err *err)
{
	enum rc rc = RC_OK;

	*rule = (struct sieve_rule){.act = SIEVE_RULE_NOTHING};
	for (size_t i = 0; i < MOST && options[i].name && rc == RC_OK; i++) {
		assert_int_equal(sieve_rule_option_values(span_str(options[i].name)), options[i].value != NULL);
		rc = sieve_rule_option(rule, span_str(options[i].name), span_str(options[i].value), mem, err);
	}
	return rc == RC_OK ? sieve_rule_check(rule, err) : rc;
}

struct good {
	struct option options[MOST];
	const char *script, *described, *decision;
};

static const struct good goods[] = {
	{{{"attachment-name", "*.zip"}, {"refuse", "no zip files please"}},
		"require [\"reject\", \"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif attachment :matches :name \"*.zip\" {\n\treject \"no zip files please\";\n\tstop;\n}\n# mailroom end\n",
		"--attachment-name '*.zip' --refuse 'no zip files please'", "reject no zip files please @4"},
	{{{"name", "exe"}, {"inside", "*.exe"}, {"inside", "*.scr"}, {"refuse", "it's a \"program\""}},
		"require [\"reject\", \"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"exe\"\nif attachment :matches :inside [\"*.exe\", \"*.scr\"] {\n\treject \"it's a \\\"program\\\"\";\n\tstop;\n}\n# mailroom end\n",
		"--inside '*.exe' --inside '*.scr' --refuse 'it'\\''s a \"program\"'", "reject it's a \"program\" @4"},
	{{{"attachment-type", "application/x-msdownload"}, {"discard", NULL}},
		"require [\"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif attachment :matches :type :content \"application/x-msdownload\" {\n\tdiscard;\n\tstop;\n}\n# mailroom end\n",
		"--attachment-type 'application/x-msdownload' --discard", "keep"},
	{{{"from", "*@Example.com"}, {"larger", "9KB"}, {"file", "Big/\xc3\x84"}},
		"require [\"fileinto\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif allof (address :matches \"from\" \"*@Example.com\",\n\tsize :over 9K) {\n\tfileinto \"Big/\xc3\x84\";\n\tstop;\n}\n# "
		"mailroom end\n",
		"--from '*@Example.com' --larger 9K --file 'Big/\xc3\x84'", "fileinto Big/\xc3\x84 @5"},
	{{{"header", "Subject: *lottery*"}, {"header", "X-Spam-Score:?"}, {"header", "subject:*prize*"}, {"any", NULL}, {"mark", "junk"}},
		"require [\"imap4flags\", \"editheader\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif anyof (header :matches \"Subject\" [\"*lottery*\", \"*prize*\"],\n\theader :matches \"X-Spam-Score\" \"?\") {\n\taddflag "
		"\"junk\";\n\taddheader \"X-Mailroom-Mark\" \"junk\";\n}\n# mailroom end\n",
		"--header 'Subject: *lottery*' --header 'Subject: *prize*' --header 'X-Spam-Score: ?' --any --mark 'junk'", "addheader X-Mailroom-Mark: junk @6; keep {junk}"},
	{{{"encrypted", NULL}, {"unreadable", NULL}, {"any", NULL}, {"refuse", "send it openly"}},
		"require [\"reject\", \"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif anyof (attachment :encrypted,\n\tattachment :unreadable) {\n\treject \"send it openly\";\n\tstop;\n}\n# mailroom end\n",
		"--encrypted --unreadable --any --refuse 'send it openly'", "reject send it openly @5"},
	{{{"from", "*@Example.com"}, {"redirect", "carol@example.net"}},
		"# mailroom rule \"rule1\"\nif address :matches \"from\" \"*@Example.com\" {\n\tredirect \"carol@example.net\";\n\tstop;\n}\n# mailroom end\n",
		"--from '*@Example.com' --redirect 'carol@example.net'", "redirect carol@example.net @3"},
	{{{"larger", "9KB"}, {"keep", NULL}, {"redirect", "carol@example.net"}},
		"require [\"copy\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif size :over 9K {\n\tredirect :copy \"carol@example.net\";\n}\n# mailroom end\n",
		"--larger 9K --redirect 'carol@example.net' --keep", "redirect+ carol@example.net @4; keep"},
	{{{"answer", "I'm \"away\"\nuntil Monday"}},
		"require [\"vacation\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif true {\n\tvacation \"I'm \\\"away\\\"\nuntil Monday\";\n}\n# mailroom end\n",
		"--answer 'I'\\''m \"away\"\nuntil Monday'", "vacation I'm \"away\"\nuntil Monday seconds=604800 mime=0 subject= from= handle= to= @4; keep"},
	{{{"since", "1970-01-01"}, {"until", "9999-12-31"}, {"days", "3"}, {"subject", "Away: \xe2\x82\xac"}, {"answer", "x"}},
		"require [\"relational\", \"date\", \"vacation\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif allof (currentdate :value \"ge\" \"date\" \"1970-01-01\",\n\tcurrentdate :value \"lt\" \"date\" \"9999-12-31\") {\n"
		"\tvacation :days 3 :subject \"Away: \xe2\x82\xac\" \"x\";\n}\n# mailroom end\n",
		"--since '1970-01-01' --until '9999-12-31' --answer 'x' --subject 'Away: \xe2\x82\xac' --days 3",
		"vacation x seconds=259200 mime=0 subject=Away: \xe2\x82\xac from= handle= to= @5; keep"},
	{{{"sender", "bob@*"}, {"to", "*@example.org"}, {"body", "jackpot"}, {"smaller", "1MB"}, {"file", "Junk"}},
		"require [\"fileinto\", \"envelope\", \"body\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif allof (envelope :matches \"from\" \"bob@*\",\n\taddress :matches [\"to\", \"cc\"] \"*@example.org\",\n\tbody :contains "
		"\"jackpot\",\n\tsize :under 1M) {\n\tfileinto \"Junk\";\n\tstop;\n}\n# mailroom end\n",
		"--sender 'bob@*' --to '*@example.org' --body 'jackpot' --smaller 1M --file 'Junk'", "fileinto Junk @7"},
	{{{"attachment-name", "a\\*\"b"}, {"discard", NULL}},
		"require [\"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
		"# mailroom rule \"rule1\"\nif attachment :matches :name \"a\\\\*\\\"b\" {\n\tdiscard;\n\tstop;\n}\n# mailroom end\n",
		"--attachment-name 'a\\*\"b' --discard", "keep"},
};

static void test_good(void **state)
{
	struct buf script, text, got;

	(void)state;
	buf_init(&script, 1 << 17);
	buf_init(&text, 1 << 17);
	buf_init(&got, 8192);
	for (size_t i = 0; i < sizeof(goods) / sizeof(*goods); i++) {
		struct sieve_rule_entry *list;
		struct sieve_rule rule;
		struct arena mem;
		struct err err;
		size_t count;

		arena_init(&mem, 1 << 20);
		buf_reset(&script);
		if (build(goods[i].options, &mem, &rule, &err) != RC_OK || sieve_rule_add(SPAN_LIT(""), &rule, 0, NULL, &script, &err) != RC_OK)
			fail_msg("rule %zu: %s", i, err.words);
		assert_string_equal(buf_cstr(&script), goods[i].script);
		assert_int_equal(sieve_rule_list(buf_span(&script), &mem, &list, &count, &err), RC_OK);
		assert_int_equal(count, 1);
		assert_false(list[0].edited);
		assert_int_equal(list[0].line, strncmp(goods[i].script, "require", 7) == 0 ? 2 : 1);
		buf_reset(&text);
		sieve_rule_describe(&list[0].rule, &text);
		assert_string_equal(buf_cstr(&text), goods[i].described);
		assert_string_equal(sieve_decide(buf_span(&script), LIMIT_SIEVE_STEPS, &got), goods[i].decision);
		arena_clear(&mem);
	}
	buf_clear(&script);
	buf_clear(&text);
	buf_clear(&got);
}

static const struct {
	struct option options[MOST];
	const char *words;
} bads[] = {
	{{{"refuse", "no"}}, "the rule has no condition: which mail is it for? --attachment-name '*.zip' would be one"},
	{{{"from", "*"}}, "the rule does nothing: --refuse, --file, --mark, --redirect, --answer or --discard is missing"},
	{{{"from", "*"}, {"redirect", "nobody"}}, "--redirect takes an address: the address has no domain (nothing behind an @)"},
	{{{"from", "*"}, {"discard", NULL}, {"keep", NULL}}, "--keep belongs to --redirect: a copy stays"},
	{{{"from", "*"}, {"discard", NULL}, {"days", "3"}}, "--subject and --days belong to --answer"},
	{{{"answer", "x"}, {"days", "0"}}, "--days takes a number from 1 to 365"},
	{{{"answer", "x"}, {"subject", "a\nb"}}, "the value of --subject holds a control character; it has to be one line"},
	{{{"answer", "x\ry"}}, "the value of --answer holds a control character; it has to be plain text"},
	{{{"answer", "x\n# mailroom end\n"}}, "the value of --answer holds \"# mailroom\", by which rules are found"},
	{{{"answer", "x"}, {"until", "2026-13-01"}}, "--until takes a day, written like 2026-12-24"},
	{{{"answer", "x"}, {"since", "tomorrow"}}, "--since takes a day, written like 2026-12-24"},
	{{{"from", "*"}, {"refuse", "no"}, {"discard", NULL}}, "a rule does one thing: --refuse and --discard exclude each other"},
	{{{"from", ""}}, "--from needs a value"},
	{{{"from", "a\nb"}}, "the value of --from holds a control character; it has to be one line"},
	{{{"from", "\xff"}}, "the value of --from is no UTF-8"},
	{{{"from", "${x}"}}, "the value of --from holds \"${\", which means a variable in Sieve; \"$?\" matches it"},
	{{{"larger", "big"}}, "--larger takes a size: 500K, 10MB, 1GB"},
	{{{"larger", "0"}}, "--larger takes a size: 500K, 10MB, 1GB"},
	{{{"header", "lottery"}}, "--header takes a field and what it has to match: 'Subject: *lottery*'"},
	{{{"header", "Sub ject: x"}}, "--header takes a field and what it has to match: 'Subject: *lottery*'"},
	{{{"mark", "two words"}}, "a mark is one word of letters and digits: --mark invoices"},
	{{{"name", "a \"b"}}, "the name of a rule is made of letters, digits, dot, _ and -, at most 64"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
		struct sieve_rule rule;
		struct arena mem;
		struct err err = {""};

		arena_init(&mem, 1 << 20);
		assert_int_equal(build(bads[i].options, &mem, &rule, &err), RC_BAD);
		assert_string_equal(err.words, bads[i].words);
		arena_clear(&mem);
	}
	assert_int_equal(sieve_rule_option_values(SPAN_LIT("attachment")), -1);
	assert_int_equal(sieve_rule_option_values(SPAN_LIT("")), -1);
}

#define OWN_TOP "# mine\nrequire \"variables\"; # needed\n"
#define OWN_REST "\nif size :over 1M { keep; }\n/* the end */\n"
#define RULE(name, word) "# mailroom rule \"" name "\"\nif header :matches \"Subject\" \"" word "\" {\n\tdiscard;\n\tstop;\n}\n# mailroom end\n"

static void add(struct buf *script, const char *name, const char *word, size_t place)
{
	struct option options[MOST] = {{"name", name}, {"header", word}, {"discard", NULL}};
	struct sieve_rule rule;
	struct arena mem;
	struct err err;
	struct buf out;

	arena_init(&mem, 1 << 20);
	buf_init(&out, 1 << 17);
	assert_int_equal(build(options, &mem, &rule, &err), RC_OK);
	if (sieve_rule_add(buf_span(script), &rule, place, NULL, &out, &err) != RC_OK)
		fail_msg("%s", err.words);
	buf_reset(script);
	buf_add(script, buf_span(&out));
	buf_clear(&out);
	arena_clear(&mem);
}

static void change(struct buf *script, const char *name, size_t place)
{
	struct err err;
	struct buf out;
	enum rc rc;

	buf_init(&out, 1 << 17);
	rc = place == SIZE_MAX ? sieve_rule_remove(buf_span(script), span_str(name), NULL, &out, &err)
			       : sieve_rule_move(buf_span(script), span_str(name), place, NULL, &out, &err);
	if (rc != RC_OK)
		fail_msg("%s", err.words);
	buf_reset(script);
	buf_add(script, buf_span(&out));
	buf_clear(&out);
}

/* the owner's parts stay byte for byte where they are */
static void test_script(void **state)
{
	struct buf s;

	(void)state;
	buf_init(&s, 1 << 17);
	buf_add_str(&s, OWN_TOP OWN_REST);
	add(&s, "a", "Subject: a", SIZE_MAX);
	assert_string_equal(buf_cstr(&s), OWN_TOP RULE("a", "a") OWN_REST);
	add(&s, "b", "Subject: b", SIZE_MAX);
	add(&s, "c", "Subject: c", 0);
	assert_string_equal(buf_cstr(&s), OWN_TOP RULE("c", "c") RULE("a", "a") RULE("b", "b") OWN_REST);
	change(&s, "c", 1);
	assert_string_equal(buf_cstr(&s), OWN_TOP RULE("a", "a") RULE("c", "c") RULE("b", "b") OWN_REST);
	change(&s, "A", 9);
	assert_string_equal(buf_cstr(&s), OWN_TOP RULE("c", "c") RULE("b", "b") RULE("a", "a") OWN_REST);
	change(&s, "b", SIZE_MAX);
	change(&s, "c", SIZE_MAX);
	change(&s, "a", SIZE_MAX);
	assert_string_equal(buf_cstr(&s), OWN_TOP OWN_REST);
	/* no line end at the end, everything on one line */
	buf_reset(&s);
	buf_add_str(&s, "require \"copy\"; keep;");
	add(&s, "a", "Subject: a", 0);
	assert_string_equal(buf_cstr(&s), "require \"copy\";\n" RULE("a", "a") " keep;");
	buf_reset(&s);
	buf_add_str(&s, "require \"copy\"");
	buf_add_byte(&s, ';');
	add(&s, "a", "Subject: a", 0);
	assert_string_equal(buf_cstr(&s), "require \"copy\";\n" RULE("a", "a"));
	buf_clear(&s);
}

/* our line of extensions follows the rules; what was edited by hand keeps what it had */
static void test_require(void **state)
{
	static const char edited[] = "require [\"reject\", \"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n"
				     "# mailroom rule \"x\"\r\nif attachment :name \"a\" {\r\n\treject \"mine\"; # so there\r\n}\r\n# mailroom end\r\n"
				     "# mailroom rule \"open\"\nkeep;\n";
	struct sieve_rule_entry *list;
	struct arena mem;
	struct err err;
	size_t count;
	struct buf s;

	(void)state;
	buf_init(&s, 1 << 17);
	buf_add_str(&s, edited);
	arena_init(&mem, 1 << 20);
	assert_int_equal(sieve_rule_list(buf_span(&s), &mem, &list, &count, &err), RC_OK);
	assert_int_equal(count, 1);
	assert_true(list[0].edited);
	arena_clear(&mem);
	add(&s, "y", "Subject: y", 0);
	assert_true(span_starts(buf_span(&s),
		SPAN_LIT("require [\"reject\", \"vnd.mailroom.attachment\"]; # mailroom: the rules need this\n# mailroom rule \"y\"\n")));
	change(&s, "x", SIZE_MAX);
	assert_string_equal(buf_cstr(&s), RULE("y", "y") "# mailroom rule \"open\"\nkeep;\n");
	/* with CRLF it is still a rule */
	buf_reset(&s);
	buf_add_str(&s, "# mailroom rule \"z\"\r\nif size :over 1M {\r\n\tdiscard;\r\n\tstop;\r\n}\r\n# mailroom end");
	assert_int_equal(sieve_rule_list(buf_span(&s), &mem, &list, &count, &err), RC_OK);
	assert_int_equal(count, 1);
	assert_true(list[0].edited); /* the last line has no end, so somebody was at it */
	arena_clear(&mem);
	buf_add_str(&s, "\r\n");
	assert_int_equal(sieve_rule_list(buf_span(&s), &mem, &list, &count, &err), RC_OK);
	assert_false(list[0].edited);
	assert_int_equal(list[0].rule.conditions[0].bytes, 1 << 20);
	arena_clear(&mem);
	buf_clear(&s);
}

static void test_refused(void **state)
{
	struct option options[MOST] = {{"name", "a"}, {"inside", "*.exe"}, {"refuse", "no"}};
	struct sieve_rule rule;
	struct arena mem;
	struct err err;
	struct buf out;

	(void)state;
	arena_init(&mem, 1 << 20);
	buf_init(&out, 1 << 17);
	assert_int_equal(build(options, &mem, &rule, &err), RC_OK);
	assert_int_equal(sieve_rule_add(SPAN_LIT(RULE("A", "x")), &rule, 0, NULL, &out, &err), RC_EXISTS);
	assert_string_equal(err.words, "there is a rule \"a\" already");
	assert_int_equal(sieve_rule_remove(SPAN_LIT("keep;"), SPAN_LIT("a"), NULL, &out, &err), RC_NONE);
	assert_int_equal(sieve_rule_move(SPAN_LIT("keep;"), SPAN_LIT("a"), 0, NULL, &out, &err), RC_NONE);
	/* a script that is wrong already is not made worse */
	assert_int_equal(sieve_rule_add(SPAN_LIT("kep;"), &rule, 0, NULL, &out, &err), RC_BAD);
	assert_string_equal(err.words, "the script would not be a good one, at line 8: unknown command \"kep\"; \"keep\" would be one");
	assert_int_equal(out.len, 0);
	buf_clear(&out);
	arena_clear(&mem);
}

static void test_limits(void **state)
{
	struct sieve_rule_entry *list;
	struct sieve_rule rule = {.act = SIEVE_RULE_NOTHING};
	struct arena mem;
	struct err err;
	size_t count;
	struct buf s;

	(void)state;
	arena_init(&mem, 1 << 20);
	for (unsigned i = 0; i < LIMIT_SIEVE_RULE_CONDITIONS; i++)
		assert_int_equal(sieve_rule_option(&rule, SPAN_LIT("from"), SPAN_LIT("x"), &mem, &err), RC_OK);
	assert_int_equal(sieve_rule_option(&rule, SPAN_LIT("from"), SPAN_LIT("x"), &mem, &err), RC_LIMIT);
	buf_init(&s, 1 << 20);
	for (unsigned i = 0; i < LIMIT_SIEVE_RULES; i++)
		buf_printf(&s, "# mailroom rule \"r%u\"\nif size :over %uK {\n\tdiscard;\n\tstop;\n}\n# mailroom end\n", i, i + 1);
	arena_clear(&mem);
	assert_int_equal(sieve_rule_list(buf_span(&s), &mem, &list, &count, &err), RC_OK);
	assert_int_equal(count, LIMIT_SIEVE_RULES);
	for (size_t i = 0; i < count; i++)
		assert_false(list[i].edited);
	buf_add_str(&s, "# mailroom rule \"r\"\n");
	assert_int_equal(sieve_rule_list(buf_span(&s), &mem, &list, &count, &err), RC_LIMIT);
	buf_clear(&s);
	arena_clear(&mem);
}

int test_sieve_rule(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_script),
		cmocka_unit_test(test_require), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits)};

	return cmocka_run_group_tests_name("sieve rules", tests, NULL, NULL);
}
