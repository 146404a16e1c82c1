/* What is wrong is said with line, column and the words that help. */
#include "test_sieve.h"

struct row {
	const char *script;
	const char *fault;
};

static const struct row rows[] = {
	/* words that nobody knows */
	{"if heder \"a\" \"b\" { }", "compile 1:4: unknown test \"heder\"; \"header\" would be one"},
	{"\n\n  disacrd;", "compile 3:3: unknown command \"disacrd\"; \"discard\" would be one"},
	{"xyzzy;", "compile 1:1: unknown command \"xyzzy\""},
	{"header \"a\" \"b\";", "compile 1:1: \"header\" is a test; it stands behind \"if\""},
	{"if keep { }", "compile 1:4: \"keep\" is a command, here stands a test: true, header, address, not ..."},
	{"if header :contians \"a\" \"b\" { }", "compile 1:11: \"header\" does not know \":contians\"; \":contains\" would be one"},
	{"if header :over \"a\" \"b\" { }",
		"compile 1:11: \"header\" does not know \":over\"; it is written: header :contains \"Subject\" \"text\""},
	{"require \"fileinot\";", "compile 1:1: unknown extension \"fileinot\"; \"fileinto\" would be one"},
	{"require [\"copy\", \"vnd.example.magic\"];", "compile 1:1: require \"vnd.example.magic\": this server does not know that extension"},
	{"require \"regex\";", "compile 1:1: require \"regex\": this server does not know that extension"},
	{"deleteheader \"x\";", "compile 1:1: \"deleteheader\" is not to be had: what arrived is kept as it is; addheader adds a field"},
	/* extensions that are not required */
	{"fileinto \"x\";", "compile 1:1: \"fileinto\" needs this line at the beginning: require \"fileinto\";"},
	{"if attachment \"x\" { }", "compile 1:4: \"attachment\" needs this line at the beginning: require \"vnd.mailroom.attachment\";"},
	{"if header :count \"eq\" \"a\" \"1\" { }", "compile 1:11: \":count\" needs this line at the beginning: require \"relational\";"},
	{"redirect :copy \"a@b.example\";", "compile 1:10: \":copy\" needs this line at the beginning: require \"copy\";"},
	{"keep :flags \"x\";", "compile 1:6: \":flags\" needs this line at the beginning: require \"imap4flags\";"},
	{"if header :comparator \"i;ascii-numeric\" \"a\" \"1\" { }",
		"compile 1:4: \"i;ascii-numeric\" needs this line at the beginning: require \"comparator-i;ascii-numeric\";"},
	{"require \"imap4flags\"; addflag \"v\" \"x\";", "compile 1:23: \"addflag\" with a variable needs this line at the beginning: require \"variables\";"},
	{"keep; require \"copy\";", "compile 1:7: \"require\" stands before all other commands"},
	/* shape */
	{"keep", "compile 1:5: \";\" is missing behind \"keep\"; it is written: keep;, and not the end of the script"},
	{"keep\nstop;", "compile 1:5: \";\" is missing behind \"keep\"; it is written: keep;, and not \"stop\""},
	{"if true keep;", "compile 1:9: \"{\" opens what \"if\" is for: if TEST { ... }, and not \"keep\""},
	{"if true { keep;", "compile 1:16: \"}\" is missing: the block of \"if\" is not closed, and not the end of the script"},
	{"if true { } }", "compile 1:13: \"}\" closes nothing; there is one too many"},
	{"if { }", "compile 1:4: a test stands behind \"if\": if TEST { ... }, and not \"{\""},
	{"if anyof true { }", "compile 1:10: tests in ( ) stand behind \"anyof\": anyof (TEST, TEST), and not \"true\""},
	{"if anyof () { }", "compile 1:11: here stands a test, and not \")\""},
	{"if anyof (true true) { }", "compile 1:15: \",\" or \")\" is missing behind a test of \"anyof\", and not \"true\""},
	{"if (true) { }", "compile 1:4: a test stands behind \"if\": if TEST { ... }, and not \"(\""},
	{"if not (true) { }", "compile 1:8: a test stands behind \"not\": not TEST, and not \"(\""},
	{"else { }", "compile 1:1: \"else\" stands behind the block of an \"if\" or \"elsif\""},
	{"if true { } keep; elsif true { }", "compile 1:19: \"elsif\" stands behind the block of an \"if\" or \"elsif\""},
	{"if true { } else if true { }", "compile 1:13: \"else if\" is written \"elsif\""},
	{"if size 10 { }", "compile 1:4: \"size\" needs \":over\" or \":under\"; it is written: size :over 10M"},
	{"if size :over :under 10 { }", "compile 1:15: \":over\" and \":under\" exclude each other"},
	{"if size :over :over 10 { }", "compile 1:15: \":over\" stands here twice"},
	{"if size :over \"10\" { }", "compile 1:15: \"size\" takes a number here; it is written: size :over 10M"},
	{"if size :over 10MB { }", "compile 1:18: numbers end in K, M, G or nothing: 10K is ten kibibytes, 10M ten mebibytes"},
	{"if size :over 99999999999G { }", "compile 1:15: this number is too large"},
	{"if header \"a\" { }", "compile 1:15: \"header\" needs more behind it; it is written: header :contains \"Subject\" \"text\", and not \"{\""},
	{"if header \"a\" \"b\" \"c\" { }", "compile 1:19: \"header\" is complete here; it is written: header :contains \"Subject\" \"text\", and not a string"},
	{"if header \"a\" \"b\" :is { }", "compile 1:19: \":is\" has to stand before the strings and numbers of \"header\""},
	{"if header [] \"b\" { }", "compile 1:11: an empty list; at least one string has to be in it"},
	{"if header [\"a\" \"b\"] \"c\" { }", "compile 1:15: \",\" or \"]\" is missing in this list, and not a string"},
	{"if header [\"a\", 1] \"c\" { }", "compile 1:17: a list holds strings, and not a number"},
	{"if header :comparator 3 \"a\" \"b\" { }", "compile 1:11: behind \":comparator\" stands a string"},
	{"if header :comparator { }", "compile 1:23: behind \":comparator\" stands a string, and not \"{\""},
	{"redirect [\"a@b.example\", \"c@d.example\"];", "compile 1:10: \"redirect\" takes a string here; it is written: redirect \"name@example.org\";"},
	{"stop true;", "compile 1:5: \";\" is missing behind \"stop\"; it is written: stop;, and not \"true\""},
	/* letters */
	{"keep; 'x'", "compile 1:7: strings stand in \" and not in '"},
	{"keep; @", "compile 1:7: \"@\" cannot stand here"},
	{"if header \"a\" \"b { }", "compile 1:15: this string does not end; a \" is missing"},
	{"/* no end", "compile 1:1: this comment does not end; \"*/\" would end it"},
	{"require \"reject\"; reject text:\nabc\n", "compile 1:26: this text does not end; a line with a single dot would end it"},
	{"require \"reject\"; reject text: abc\n.\n;", "compile 1:26: behind \"text:\" the text begins on the next line"},
	{"keep;\r\n# \xc3\xbc\xc3\xbc \xff", "compile 2:6: a byte (0xff) that is no UTF-8; save the script as UTF-8"},
	{"# \xc3\n", "compile 1:3: a byte (0xc3) that is no UTF-8; save the script as UTF-8"},
	{"keep;\rstop;", "compile 1:6: a CR without LF; lines end with CRLF or LF"},
	/* what commands check themselves */
	{ALL "fileinto \"\";", "compile 2:1: fileinto \"\": the name of the folder is empty"},
	{ALL "redirect \"nobody\";", "compile 2:1: redirect \"nobody\": the address has no domain (nothing behind an @)"},
	{ALL "reject \"\";", "compile 2:1: \"reject\" needs a reason that a person can read"},
	{ALL "addheader \"X Y\" \"z\";", "compile 2:1: addheader \"X Y\": this is no name of a header field; \"X-Name\" would be one"},
	{ALL "addheader \"received\" \"z\";",
		"compile 2:1: addheader \"received\": this header field is only for servers to write; \"X-Name\" would be fine"},
	{ALL "vacation :from \"x\" \"y\";", "compile 2:1: vacation :from \"x\": the address has no domain (nothing behind an @)"},
	{ALL "if header \"Subject:\" \"z\" { }",
		"compile 2:4: header \"Subject:\": this is no name of a header field; \"Subject\" would be one, without colon and blanks"},
	{ALL "if address \"subject\" \"z\" { }",
		"compile 2:4: address \"subject\": this header field holds no addresses; the test \"header\" looks into every field"},
	{ALL "if envelope \"cc\" \"z\" { }", "compile 2:4: envelope \"cc\": the envelope has \"from\", \"to\" and \"auth\""},
	{ALL "if header :count \"more\" \"a\" \"1\" { }",
		"compile 2:4: :count \"more\": how to compare is one of \"gt\", \"ge\", \"lt\", \"le\", \"eq\", \"ne\""},
	{ALL "if header :comparator \"i;octets\" \"a\" \"1\" { }",
		"compile 2:4: :comparator \"i;octets\": unknown; there are i;ascii-casemap, i;octet, i;ascii-numeric and i;unicode-casemap"},
	{ALL "if header :contains :comparator \"i;ascii-numeric\" \"a\" \"1\" { }",
		"compile 2:4: i;ascii-numeric compares numbers; it has no :contains and no :matches"},
	{ALL "if header :type \"a\" \"1\" { }", "compile 2:4: \":mime\" has to stand before what looks into MIME parts: header :mime ..."},
	{ALL "if header :last \"a\" \"1\" { }", "compile 2:4: \":last\" stands behind \":index\" and counts from the last one: :index 1 :last"},
	{ALL "if header :index 0 \"a\" \"1\" { }", "compile 2:4: \":index\" counts from 1"},
	{ALL "if date \"date\" \"century\" \"21\" { }",
		"compile 2:4: date \"century\": no part of a date; there are year month day date julian hour minute second time iso8601 std11 zone weekday"},
	{ALL "if currentdate :zone \"CET\" \"hour\" \"21\" { }", "compile 2:4: :zone \"CET\": a zone is written like \"+0100\""},
	{ALL "if attachment :name { }",
		"compile 2:4: \"attachment\" needs the names or types to look for; it is written: attachment :matches :name \"*.zip\""},
	{ALL "if attachment :encrypted \"x\" { }", "compile 2:4: \":unreadable\" and \":encrypted\" stand alone: attachment :encrypted"},
	{ALL "break;", "compile 2:1: \"break\" stands inside a \"foreverypart\""},
	{ALL "foreverypart :name \"a\" { break :name \"b\"; }", "compile 2:26: break :name \"b\": no \"foreverypart\" around it has that name"},
	{ALL "foreverypart :name \"${x}\" { }", "compile 2:1: the name of a loop is a plain word: foreverypart :name \"parts\" { ... }"},
	{ALL "set \"1a\" \"x\";", "compile 2:1: variable \"1a\": a name is made of letters, digits and _ and does not begin with a digit"},
	{ALL "set \"${a}\" \"x\";", "compile 2:1: variable \"${a}\": a name is made of letters, digits and _ and does not begin with a digit"},
	{ALL "keep :flags \"${12}\";", "compile 2:13: ${12}: only ${0} to ${9} are kept of a match"},
	{ALL "keep :flags \"${a.b}\";", "compile 2:13: unknown namespace in \"${a.b}\"; names have no dot here"},
	{ALL "keep :flags \"${unicode:110000}\";", "compile 2:13: this string names a character that Unicode does not have"},
	{ALL "keep :flags \"${unicode:D800}\";", "compile 2:13: this string names a character that Unicode does not have"},
};

static void test_rows(void **state)
{
	struct buf got;

	(void)state;
	buf_init(&got, 8192);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strcmp(sieve_decide(span_str(rows[i].script), LIMIT_SIEVE_STEPS, &got), rows[i].fault) != 0)
			fail_msg("%s\nwant %s\ngot  %s", rows[i].script, rows[i].fault, buf_cstr(&got));
	buf_clear(&got);
}

static void test_nul(void **state)
{
	struct buf got;

	(void)state;
	buf_init(&got, 8192);
	assert_string_equal(sieve_decide(SPAN_LIT("keep;\n\0"), 100, &got), "compile 2:1: a NUL byte; a script is plain text");
	assert_string_equal(sieve_decide(SPAN_LIT("redirect \"a\0b@c.example\";"), 100, &got), "compile 1:12: a NUL byte; a script is plain text");
	buf_clear(&got);
}

static void test_refused(void **state)
{
	static const struct {
		unsigned refuse;
		const char *script, *words;
	} cases[] = {
		{SIEVE_REFUSE_VACATION, "require \"vacation\";", "\"vacation\" is not to be had on this server"},
		{SIEVE_REFUSE_ADDHEADER, "require [\"copy\", \"editheader\"];", "\"editheader\" is not to be had on this server"},
		{SIEVE_REFUSE_REDIRECT, "redirect \"a@b.example\";", "\"redirect\" is not to be had on this server"},
	};
	const struct sieve_script *script = NULL;
	struct sieve_fault fault;
	struct arena mem;
	struct buf out;

	(void)state;
	arena_init(&mem, 1 << 20);
	buf_init(&out, 4096);
	for (size_t i = 0; i < 3; i++) {
		struct sieve_rules rules = {.refuse = cases[i].refuse};

		assert_int_equal(sieve_compile(span_str(cases[i].script), &rules, &mem, &script, &fault), RC_BAD);
		assert_string_equal(fault.why.words, cases[i].words);
		assert_int_equal(sieve_compile(span_str(cases[i].script), NULL, &mem, &script, &fault), RC_OK);
		buf_reset(&out);
		sieve_write_extensions(&rules, &out);
		assert_int_equal(strstr(buf_cstr(&out), "vacation") != NULL, i != 0);
		assert_int_equal(strstr(buf_cstr(&out), "editheader") != NULL, i != 1);
		assert_non_null(strstr(buf_cstr(&out), "fileinto"));
	}
	buf_clear(&out);
	arena_clear(&mem);
}

int test_sieve_faults(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_nul), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests_name("sieve faults", tests, NULL, NULL);
}
