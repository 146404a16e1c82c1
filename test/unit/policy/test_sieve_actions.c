/* Scripts to decisions: actions, control, variables, flags, loops, and the examples of the RFCs that fit the test message. */
#include "test_sieve.h"

struct row {
	const char *script;
	const char *decision;
};

static const struct row rows[] = {
	/* RFC 5228 2.10.2: implicit keep */
	{"", "keep"},
	{"# only a comment\r\n/* and\nanother */", "keep"},
	{"stop;", "keep"},
	{"keep;", "keep @1"},
	{"keep; keep;", "keep @1"},
	{"discard;", "discard @1"},
	{"discard;\nkeep;", "discard @1; keep @2"},
	{"discard; discard;", "discard @1"},
	{"stop; discard;", "keep"},
	{"if true { stop; } discard;", "keep"},
	{"require \"fileinto\"; fileinto \"Work\";", "fileinto Work @1"},
	{"require \"fileinto\";\nfileinto \"A\";\nfileinto \"B\";\nfileinto \"A\";", "fileinto A @2; fileinto B @3"},
	{"require \"fileinto\"; fileinto \"\xc3\x84rger/\xe2\x82\xac\";", "fileinto \xc3\x84rger/\xe2\x82\xac @1"},
	{"redirect \"carol@example.org\";", "redirect carol@example.org @1"},
	{"redirect \"a@b.example\"; redirect \"a@b.example\";", "redirect a@b.example @1"},
	{"require \"copy\"; redirect :copy \"a@b.example\";", "redirect+ a@b.example @1; keep"},
	{"require [\"copy\",\"fileinto\"]; fileinto :copy \"All\";", "fileinto+ All @1; keep"},
	{"require [\"copy\",\"fileinto\"]; fileinto :copy \"All\"; fileinto \"All\";", "fileinto All @1"},
	{"require \"reject\"; reject \"no thanks\";", "reject no thanks @1"},
	{"require \"ereject\"; ereject \"no thanks\";", "ereject no thanks @1"},
	{"require \"reject\"; reject text:\r\nline one\r\n..dot\r\n.\r\n;", "reject line one\r\n.dot\r\n @1"},
	{"require \"reject\"; reject text: # why\nhello\n.\n; stop;", "reject hello\n @1"},
	{"require \"reject\"; discard; reject \"no\";", "discard @1; reject no @1"},
	/* RFC 5429 2.4 */
	{"require \"reject\";\nkeep;\nreject \"no\";", "fault 3: \"keep\" at line 2 and \"reject\" at line 3 exclude each other; the mail was kept"},
	{"require [\"reject\",\"fileinto\"];\nreject \"no\";\nfileinto \"A\";",
		"fault 3: \"reject\" at line 2 and \"fileinto\" at line 3 exclude each other; the mail was kept"},
	{"require [\"reject\"]; reject \"a\"; reject \"b\";", "fault 1: \"reject\" at line 1 and \"reject\" at line 1 exclude each other; the mail was kept"},
	/* control */
	{"if true { keep; } elsif true { discard; } else { stop; }", "keep @1"},
	{"if false { keep; }\nelsif true { discard; }\nelse { keep; }", "discard @2"},
	{"if false { keep; }\nelsif false { discard; }\nelsif true { discard; }\nelse { keep; }", "discard @3"},
	{"if false { }\nelse { discard; }", "discard @2"},
	{"if true { if false { } else { discard; } }", "discard @1"},
	{"if true { } keep; if false { keep; } discard;", "keep @1; discard @1"},
	{"\xef\xbb\xbfkeep;", "keep @1"},
	{"require [\"fileinto\"]; require \"envelope\"; ; ", "compile 1:43: here stands a command, and not \";\""},
	{"IF TRUE {\n\tDISCARD ;\n}", "discard @2"},
	{"if header :contains \"subject\" \"a\\\\b\\\"\" { discard; }", "keep"},
	/* flags, RFC 5232 */
	{"require \"imap4flags\"; setflag \"\\\\Seen\"; keep;", "keep {\\Seen} @1"},
	{"require \"imap4flags\"; setflag \"\\\\Seen\";", "keep {\\Seen}"},
	{"require \"imap4flags\"; addflag \"\\\\Seen\"; addflag [\"work \\\\SEEN\", \"home\"]; removeflag \"work\";", "keep {\\Seen home}"},
	{"require [\"imap4flags\",\"fileinto\"]; addflag \"a\"; fileinto :flags \"b c b\" \"F\"; keep;", "fileinto F {b c} @1; keep {a} @1"},
	{"require [\"imap4flags\",\"fileinto\"]; fileinto \"F\"; addflag \"late\";", "fileinto F @1"},
	{"require \"imap4flags\"; addflag [\"\\\\Recent\", \"\\\\Odd\", \"(bad\", \"b\\\"d\", \"good\"];", "keep {good}"},
	{"require \"imap4flags\"; addflag \"a b\"; if hasflag :contains \"B\" { discard; }", "discard @1"},
	{"require \"imap4flags\"; addflag \"a b\"; if hasflag [\"x\", \"c b\"] { discard; }", "discard @1"},
	{"require [\"imap4flags\",\"relational\"]; addflag \"a b c\"; if hasflag :count \"ge\" \"3\" { discard; }", "discard @1"},
	{"require [\"imap4flags\",\"variables\"]; addflag \"mine\" \"a\"; if hasflag \"mine\" \"a\" { keep :flags \"${mine}\"; }", "keep {a} @1"},
	{"require [\"imap4flags\",\"variables\"]; setflag \"v\" [\"a\",\"b\"]; removeflag \"V\" \"A\"; keep :flags \"${v}\";", "keep {b} @1"},
	{"require \"imap4flags\"; keep :flags \"a\"; keep :flags \"b A\";", "keep {a b} @1"},
	{"require \"imap4flags\"; addflag \"a\"; keep :flags \"\";", "keep @1"},
	/* variables, RFC 5229; its own examples of section 3 and 4 */
	{ALL "set \"honorific\" \"Mr\"; set \"first_name\" \"Wile\"; set \"last_name\" \"Coyote\"; fileinto \"${honorific} ${first_name} ${last_name}\";",
		"fileinto Mr Wile Coyote @2"},
	{ALL "set \"a\" \"juMBlEd lETteRS\"; set :length \"b\" \"${a}\"; fileinto \"${b}\";", "fileinto 15 @2"},
	{ALL "set \"a\" \"juMBlEd lETteRS\"; set :lower \"b\" \"${a}\"; fileinto \"${b}\";", "fileinto jumbled letters @2"},
	{ALL "set \"a\" \"juMBlEd lETteRS\"; set :upperfirst \"b\" \"${a}\"; fileinto \"${b}\";", "fileinto JuMBlEd lETteRS @2"},
	{ALL "set \"a\" \"juMBlEd lETteRS\"; set :upperfirst :lower \"b\" \"${a}\"; fileinto \"${b}\";", "fileinto Jumbled letters @2"},
	{ALL "set :upper :lowerfirst \"b\" \"abC\"; fileinto \"${b}\";", "fileinto aBC @2"},
	{ALL "set :quotewildcard \"b\" \"Rock*\"; fileinto \"${b}\";", "fileinto Rock\\* @2"},
	{ALL "set :quotewildcard :length \"b\" \"R?*\\\\\"; fileinto \"${b}\";", "fileinto 7 @2"},
	{ALL "set :length \"b\" \"\xc3\xbc\xe2\x82\xac\"; fileinto \"${b}\";", "fileinto 2 @2"},
	{ALL "set \"company\" \"ACME\"; fileinto \"&%${}!\";", "fileinto &%${}! @2"},
	{ALL "set \"company\" \"ACME\"; fileinto \"${doh!}\";", "fileinto ${doh!} @2"},
	{ALL "set \"company\" \"ACME\"; fileinto \"${President, ${Company} Inc.}\";", "fileinto ${President, ACME Inc.} @2"},
	{ALL "set \"a\" \"x\"; set \"A\" \"${a}${a}\"; fileinto \"<${a}>\";", "fileinto <xx> @2"},
	{ALL "if header :matches \"List-Id\" \"*<*.lists.*>\" { fileinto \"L/${2}:${3}:${0}\"; }",
		"fileinto L/dev:example.org:[dev] <dev.lists.example.org> @2"},
	{ALL "if string :matches \"abcdefgh\" \"?*?*?\" { fileinto \"${1}|${2}|${3}|${4}|${5}|${6}\"; }", "fileinto a||b|cdefg|h| @2"},
	{ALL "if string :matches \"axbxc\" \"*x*\" { fileinto \"${1}|${2}\"; }", "fileinto a|bxc @2"},
	{ALL "if string :matches \"one\" \"*\" { } if string :matches \"two\" \"x*\" { } fileinto \"${1}\";", "fileinto one @2"},
	{ALL "if string :matches \"a-b-c-d-e-f-g-h-i-j-k\" \"*-*-*-*-*-*-*-*-*-*-*\" { fileinto \"${01}${9}\"; }", "fileinto ai @2"},
	{ALL "if body :matches \"*jackpot*\" { fileinto \"[${1}]\"; }", "fileinto [] @2"},
	{ALL "if header :matches \"Subject\" \"?????*\" { fileinto \"${1}${2}${3}${4}${5}\"; }", "fileinto Gr\xc3\xbc\xc3\x9f" "e @2"},
	{ALL "set \"addr\" \"x@y.example\"; redirect \"${addr}\";", "redirect x@y.example @2"},
	{ALL "set \"addr\" \"nobody\"; redirect \"${addr}\";", "fault 2: redirect \"nobody\": the address has no domain (nothing behind an @); the mail was kept"},
	{ALL "fileinto \"${nothing}\";", "fault 2: fileinto \"\": the name of the folder is empty; the mail was kept"},
	{ALL "set \"v\" \"a${hex:0a}b\"; fileinto \"${v}\";",
		"fault 2: fileinto \"a\\x0ab\": the name of the folder holds control characters or is no UTF-8; the mail was kept"},
	/* addheader, RFC 5293 */
	{ALL "addheader \"X-Sieve\" \"seen\";", "addheader X-Sieve: seen @2; keep"},
	{ALL "addheader :last \"X-Sieve\" \"  a\r\n b\";", "addheader X-Sieve last: a   b @2; keep"},
	{ALL "addheader \"X-New\" \"one\"; addheader \"X-New\" \"two\"; if header \"x-new\" \"two\" { discard; }",
		"addheader X-New: one @2; addheader X-New: two @2; discard @2"},
	{ALL "addheader \"X-New\" \"a${hex:0d 0a}Bcc: b\"; if exists \"X-New\" { stop; } discard;", "addheader X-New: a  Bcc: b @2; keep"},
	{ALL "set \"n\" \"Received\"; addheader \"${n}\" \"x\";",
		"fault 2: addheader \"Received\": this header field is only for servers to write; \"X-Name\" would be fine; the mail was kept"},
	/* foreverypart, RFC 5703 3 */
	{ALL "foreverypart { if header :mime :contenttype \"Content-Type\" \"image/gif\" { fileinto \"Gif\"; break; } }", "fileinto Gif @2"},
	{ALL "set \"n\" \"\"; foreverypart { set \"n\" \"${n}.\"; } set :length \"n\" \"${n}\"; fileinto \"${n}\";", "fileinto 7 @2"},
	{ALL "set \"n\" \"\"; foreverypart { if header :mime :subtype \"Content-Type\" \"related\" { foreverypart { set \"n\" \"${n}+\"; } } else { set "
	     "\"n\" \"${n}.\"; } } fileinto \"${n}\";",
		"fileinto ....++.. @2"},
	{ALL "set \"n\" \"\"; foreverypart :name \"out\" { foreverypart { set \"n\" \"${n}x\"; break :name \"out\"; } } fileinto \"${n}\";", "fileinto x @2"},
	{ALL "set \"n\" \"\"; foreverypart { foreverypart { set \"n\" \"${n}x\"; break; } } fileinto \"${n}\";", "fileinto xx @2"},
	{ALL "foreverypart { if header :mime :matches :param \"filename\" \"Content-Disposition\" \"*.zip\" { reject \"no ${0}\"; stop; } }",
		"reject no invoice.zip @2"},
	{ALL "foreverypart { if exists :mime :anychild \"Content-Disposition\" { addflag \"x${hex:2d}y\"; } }", "keep {x-y}"},
	/* vacation, RFC 5230 */
	{ALL "vacation \"I am away\";", "vacation I am away seconds=604800 mime=0 subject= from= handle= to= @2; keep"},
	{ALL "vacation :days 0 :subject \"Away: ${hex:e2 82 ac}\" :from \"ann@example.org\" :addresses [\"a@b.example\", \"c@d.example\"] :mime :handle \"h\" "
	     "\"text\";",
		"vacation text seconds=86400 mime=1 subject=Away: \xe2\x82\xac from=ann@example.org handle=h to=<a@b.example><c@d.example> @2; keep"},
	{ALL "vacation :days 9999 \"x\"; discard;", "vacation x seconds=31536000 mime=0 subject= from= handle= to= @2; discard @2"},
	{"require \"vacation-seconds\"; vacation :seconds 3600 \"x\";", "vacation x seconds=3600 mime=0 subject= from= handle= to= @1; keep"},
	{"require \"vacation-seconds\"; vacation :seconds 0 \"x\";", "vacation x seconds=60 mime=0 subject= from= handle= to= @1; keep"},
	{"require \"vacation-seconds\"; vacation :seconds 99999999999 \"x\";", "vacation x seconds=31536000 mime=0 subject= from= handle= to= @1; keep"},
	{ALL "vacation \"x\"; vacation \"y\";", "fault 2: \"vacation\" at line 2 and again at line 2; the mail was kept"},
	{ALL "reject \"x\"; vacation \"y\";", "fault 2: \"reject\" at line 2 and \"vacation\" at line 2 exclude each other; the mail was kept"},
	/* RFC 5228 3.1, 9: the extended example, over our message */
	{"require [\"fileinto\"];\n"
	 "if header :is \"Sender\" \"owner-ietf-mta-filters@imc.org\"\n"
	 "        {\n"
	 "        fileinto \"filter\";  # move to \"filter\" mailbox\n"
	 "        }\n"
	 "elsif address :DOMAIN :is [\"From\", \"To\"] \"example.com\"\n"
	 "        {\n"
	 "        keep;               # keep in \"In\" mailbox\n"
	 "        }\n"
	 "elsif anyof (NOT address :all :contains\n"
	 "               [\"To\", \"Cc\", \"Bcc\"] \"me@example.com\",\n"
	 "             header :matches \"subject\"\n"
	 "               [\"*make*money*fast*\", \"*university*dipl*mas*\"])\n"
	 "        {\n"
	 "        fileinto \"spam\";   # move to \"spam\" mailbox\n"
	 "        }\n"
	 "else\n"
	 "        {\n"
	 "        fileinto \"personal\";\n"
	 "        }\n",
		"keep @8"},
	{"require [\"fileinto\", \"reject\"];\n"
	 "if header :contains [\"From\"] [\"coyote\"] { redirect \"acm@example.edu\"; }\n"
	 "elsif header :contains \"Subject\" \"$$$\" { redirect \"postmaster@example.edu\"; }\n"
	 "else { redirect \"field@example.edu\"; }",
		"redirect field@example.edu @4"},
	/* RFC 5228 2.4.2.4 */
	{"require [\"encoded-character\", \"fileinto\"]; fileinto \"${hex: 40 }${Unicode:0040}${ hex:40}${hex:4z}\";", "fileinto @@${ hex:40}${hex:4z} @1"},
};

static void test_rows(void **state)
{
	struct buf got;

	(void)state;
	buf_init(&got, 8192);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strcmp(sieve_decide(span_str(rows[i].script), LIMIT_SIEVE_STEPS, &got), rows[i].decision) != 0)
			fail_msg("%s\nwant %s\ngot  %s", rows[i].script, rows[i].decision, buf_cstr(&got));
	buf_clear(&got);
}

static void test_needs(void **state)
{
	static const struct {
		const char *script;
		unsigned needs;
	} cases[] = {
		{"keep;", 0},
		{"if size :over 1M { discard; }", 0},
		{ALL "if false { reject \"x\"; }", SIEVE_NEEDS_REJECT},
		{ALL "ereject \"x\";", SIEVE_NEEDS_REJECT},
		{ALL "fileinto :flags \"a\" \"x\";", SIEVE_NEEDS_FILE | SIEVE_NEEDS_FLAGS},
		{ALL "if header \"a\" \"b\" { redirect \"a@b.example\"; }", SIEVE_NEEDS_HEADER | SIEVE_NEEDS_REDIRECT | SIEVE_NEEDS_REDIRECT_ANY},
		{"redirect \"a@b.example\";", SIEVE_NEEDS_HEADER | SIEVE_NEEDS_REDIRECT},
		{"redirect \"\\a@b.example\";", SIEVE_NEEDS_HEADER | SIEVE_NEEDS_REDIRECT},
		{"redirect \"\\\"a b\\\"@b.example\";", SIEVE_NEEDS_HEADER | SIEVE_NEEDS_REDIRECT | SIEVE_NEEDS_REDIRECT_ANY},
		{ALL "if envelope \"from\" \"b\" { vacation \"x\"; }", SIEVE_NEEDS_ENVELOPE | SIEVE_NEEDS_VACATION | SIEVE_NEEDS_HEADER},
		{ALL "if body :raw \"b\" { addheader \"x\" \"y\"; }", SIEVE_NEEDS_BODY | SIEVE_NEEDS_ADDHEADER},
		{ALL "if body \"b\" { }", SIEVE_NEEDS_BODY | SIEVE_NEEDS_PARTS},
		{ALL "if header :mime \"a\" \"b\" { }", SIEVE_NEEDS_HEADER | SIEVE_NEEDS_PARTS},
		{ALL "foreverypart { }", SIEVE_NEEDS_PARTS},
		{ALL "if currentdate \"hour\" \"b\" { addflag \"x\"; }", SIEVE_NEEDS_TIME | SIEVE_NEEDS_FLAGS},
		{ALL "if attachment \"b\" { }", SIEVE_NEEDS_ATTACHMENTS},
		{ALL "if attachment :content \"b\" { }", SIEVE_NEEDS_ATTACHMENTS | SIEVE_NEEDS_CONTENT},
		{ALL "if attachment :encrypted { }", SIEVE_NEEDS_ATTACHMENTS | SIEVE_NEEDS_INSIDE},
	};
	const struct sieve_script *script;
	struct sieve_fault fault;
	struct arena mem;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		arena_init(&mem, 1 << 20);
		assert_int_equal(sieve_compile(span_str(cases[i].script), NULL, &mem, &script, &fault), RC_OK);
		assert_int_equal(sieve_script_needs(script), cases[i].needs);
		arena_clear(&mem);
	}
}

static void test_why(void **state)
{
	struct sieve_action a = {.act = SIEVE_FILEINTO, .line = 12, .text = SPAN_LIT("A\033[1mB")};
	struct buf out;

	(void)state;
	buf_init(&out, 256);
	sieve_write_why(&a, &out);
	assert_string_equal(buf_cstr(&out), "rule at line 12: fileinto A\\x1b[1mB");
	buf_reset(&out);
	sieve_write_why(&(struct sieve_action){.act = SIEVE_KEEP}, &out);
	assert_string_equal(buf_cstr(&out), "no rule decided: keep");
	buf_clear(&out);
}

int test_sieve_actions(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_needs), cmocka_unit_test(test_why)};

	return cmocka_run_group_tests_name("sieve actions", tests, NULL, NULL);
}
