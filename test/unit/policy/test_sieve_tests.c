/* Every test of the language: true or false over the message of sieve_message.h. */
#include "test_sieve.h"

struct row {
	const char *test;
	bool holds;
};

static const struct row rows[] = {
	/* RFC 5228 5: logic */
	{"true", true},
	{"false", false},
	{"not true", false},
	{"not false", true},
	{"not not true", true},
	{"allof (true, true)", true},
	{"allof (true, false)", false},
	{"anyof (false, true)", true},
	{"anyof (false, false)", false},
	{"NOT AnyOf (FALSE)", true},
	{"allof(not false,anyof(false,not false))", true},
	/* size: 10000 bytes */
	{"size :over 9999", true},
	{"size :over 10000", false},
	{"size :under 10000", false},
	{"size :under 10001", true},
	{"size :over 9K", true},
	{"size :over 10k", false},
	{"size :under 1M", true},
	{"size :over 1G", false},
	/* header, match types, comparators */
	{"header :is \"X-Spam-Score\" \"7\"", true},
	{"header \"x-spam-score\" \"7\"", true},
	{"header :is \"X-Spam-Score\" \"77\"", false},
	{"header :contains \"Subject\" \"lottery\"", true},
	{"header :contains :comparator \"i;octet\" \"Subject\" \"lottery\"", false},
	{"header :comparator \"i;octet\" :contains \"Subject\" \"LOTTERY\"", true},
	{"header :contains \"Subject\" \"\"", true},
	{"header :contains [\"X-None\", \"Subject\"] [\"zzz\", \"from the\"]", true},
	{"header :contains \"X-None\" \"\"", false},
	{"header :is \"X-Empty\" \"\"", true},
	{"header :matches \"Subject\" \"*lottery\"", true},
	{"header :matches \"Subject\" \"*lottery?\"", false},
	{"header :matches \"Subject\" \"Gr\xc3\xbc\xc3\x9f" "e*\"", true},
	{"header :matches \"Subject\" \"Gr??e*\"", true},
	{"header :matches :comparator \"i;octet\" \"Subject\" \"Gr??e*\"", false},
	{"header :matches :comparator \"i;octet\" \"Subject\" \"Gr????e*\"", true},
	{"header :contains \"Subject\" \"GR\xc3\x9c\xc3\x9f" "E\"", false},
	{"header :contains :comparator \"i;unicode-casemap\" \"Subject\" \"GR\xc3\x9c\xc3\x9f" "E\"", true},
	{"header :is :comparator \"i;unicode-casemap\" \"Subject\" \"gr\xc3\x9c\xc3\x9f" "e FROM the lottery\"", true},
	{"header :matches \"List-Id\" \"[*] <*.lists.*>\"", true},
	{"header :matches \"X-Note\" \"sec\\\\ond\"", true},
	{"header :matches \"X-Note\" \"se\\\\*nd\"", false},
	{"header :matches \"X-Note\" \"\"", false},
	{"header :matches \"X-Empty\" \"\"", true},
	{"header :matches \"X-Empty\" \"*\"", true},
	{"header :matches \"X-Empty\" \"?\"", false},
	{"header :matches \"X-Note\" [\"zero\", \"th*d\"]", true},
	{"header :matches \"X-Note\" \"*i*r*\"", true},
	{"header :matches \"X-Note\" \"*i*r*x\"", false},
	{"header \"X-Note\" \"third\"", true},
	{"header :is :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"007\"", true},
	{"header :is :comparator \"i;ascii-numeric\" \"X-Note\" \"words are all the same infinity\"", true},
	/* relational, RFC 5231 */
	{"header :value \"gt\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"5\"", true},
	{"header :value \"gt\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"10\"", false},
	{"header :value \"gt\" \"X-Spam-Score\" \"10\"", true},
	{"header :value \"ge\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"7\"", true},
	{"header :value \"lt\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"7\"", false},
	{"header :value \"le\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"7\"", true},
	{"header :value \"eq\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"7\"", true},
	{"header :value \"ne\" :comparator \"i;ascii-numeric\" \"X-Spam-Score\" \"7\"", false},
	{"header :count \"eq\" \"X-Note\" \"3\"", true},
	{"header :count \"gt\" [\"X-Note\", \"Received\"] \"4\"", true},
	{"header :count \"ge\" \"X-None\" \"1\"", false},
	{"header :count \"lt\" \"X-None\" \"1\"", true},
	{"address :count \"ge\" [\"to\", \"cc\"] \"4\"", true},
	{"address :count \"ge\" [\"to\", \"cc\"] \"5\"", false},
	/* index, RFC 5260 6 */
	{"header :index 2 \"X-Note\" \"second\"", true},
	{"header :index 1 \"X-Note\" \"second\"", false},
	{"header :index 1 :last \"X-Note\" \"third\"", true},
	{"header :index 3 :last \"X-Note\" \"first\"", true},
	{"header :index 4 :contains \"X-Note\" \"\"", false},
	{"header :index 2 :contains \"Received\" \"from c\"", true},
	/* exists */
	{"exists \"From\"", true},
	{"exists [\"From\", \"Date\"]", true},
	{"exists [\"From\", \"X-None\"]", false},
	{"exists \"X-Empty\"", true},
	/* address, RFC 5228 2.7.4, 5233 */
	{"address :is \"from\" \"bob@example.com\"", true},
	{"address :is :comparator \"i;octet\" \"from\" \"bob@example.com\"", false},
	{"address :all :is \"from\" \"bob@example.com\"", true},
	{"address :localpart \"From\" \"bob\"", true},
	{"address :domain \"From\" \"example.com\"", true},
	{"address :domain \"From\" \"example.co\"", false},
	{"address :contains \"from\" \"real one\"", false},
	{"address :is [\"to\", \"cc\"] \"tim@example.org\"", true},
	{"address :is [\"to\", \"cc\"] \"carol@example.org\"", true},
	{"address :is \"to\" \"team\"", false},
	{"address :user \"to\" \"ann\"", true},
	{"address :user \"to\" \"root\"", true},
	{"address :detail \"to\" \"work\"", true},
	{"address :detail \"to\" \"\"", false},
	{"address :matches :domain \"to\" \"*.net\"", true},
	{"address \"x-none\" \"a@b\"", false},
	/* envelope */
	{"envelope :is \"from\" \"bob@example.com\"", true},
	{"envelope :all :is \"to\" \"ann+work@example.org\"", true},
	{"envelope :detail \"to\" \"work\"", true},
	{"envelope :user \"to\" \"ann\"", true},
	{"envelope :domain [\"from\", \"to\"] \"example.org\"", true},
	{"envelope :localpart \"from\" \"\"", false},
	{"envelope :is \"auth\" \"bob\"", true},
	/* body, RFC 5173 */
	{"body :contains \"jackpot\"", true},
	{"body :text :contains \"Hello Ann\"", true},
	{"body :contains \"<b>\"", false},
	{"body :raw :contains \"Hello=20Ann\"", true},
	{"body :raw :contains \"jackpot\"", false},
	{"body :content \"text/html\" :contains \"<b>\"", true},
	{"body :content \"text\" :contains \"<b>\"", true},
	{"body :content \"TEXT/plain\" :contains \"<b>\"", false},
	{"body :content [\"image/gif\", \"text/html\"] :contains \"GIF89\"", true},
	{"body :content \"\" :contains \"PK\"", true},
	{"body :content \"/plain\" :contains \"\"", false},
	{"body :matches \"*won*jack*\"", true},
	{"body :is :content \"image/gif\" \"gif89A\"", true},
	/* mime, RFC 5703 4 */
	{"header :mime :contenttype \"Content-Type\" \"multipart/mixed\"", true},
	{"header :mime :type \"Content-Type\" \"multipart\"", true},
	{"header :mime :subtype \"Content-Type\" \"mixed\"", true},
	{"header :mime :type \"Content-Type\" \"text\"", false},
	{"header :mime :anychild :type \"Content-Type\" \"text\"", true},
	{"header :mime :anychild :contenttype \"Content-Type\" \"image/gif\"", true},
	{"header :mime :anychild :param \"charset\" \"Content-Type\" \"UTF-8\"", true},
	{"header :mime :anychild :param [\"x\", \"filename\"] \"Content-Disposition\" \"invoice.zip\"", true},
	{"header :mime :param \"charset\" \"Content-Type\" \"utf-8\"", false},
	{"header :mime :anychild :type \"Content-Disposition\" \"attachment\"", true},
	{"header :mime :anychild :subtype :contains \"Content-Disposition\" \"\"", false},
	{"header :mime :anychild :contains \"Content-Type\" \"charset\"", true},
	{"header :mime :anychild :count \"eq\" \"Content-Type\" \"7\"", true},
	{"exists :mime \"Content-Disposition\"", false},
	{"exists :mime :anychild \"Content-Disposition\"", true},
	{"exists \"Content-Disposition\"", false},
	{"address :mime :anychild \"from\" \"bob@example.com\"", true},
	/* string and its modifiers are in the actions; here what needs no set */
	{"string \"a\" \"A\"", true},
	{"string :comparator \"i;octet\" \"a\" \"A\"", false},
	{"string :matches \"abc\" \"a*\"", true},
	{"string :count \"eq\" [\"a\", \"\", \"b\"] \"2\"", true},
	{"string \"${hex: 41 20 42}\" \"A B\"", true},
	{"string \"${unicode:fc}\" \"\xc3\xbc\"", true},
	{"string \"${unicode:1F4EB}\" \"\xf0\x9f\x93\xab\"", true},
	{"string \"$${hex:40}\" \"$@\"", true},
	{"string \"${hex:}\" \"${hex${hex:3a}}\"", true},
	{"string \"${unknown}\" \"\"", true},
	{"string \"${}\" \"$${hex:7b}}\"", true},
	{"string \"${1}\" \"\"", true},
	/* date, RFC 5260: Tue, 01 Sep 2026 10:58:00 +0200; the owner's zone is +0200 */
	{"date \"date\" \"year\" \"2026\"", true},
	{"date \"date\" \"month\" \"09\"", true},
	{"date \"date\" \"day\" \"01\"", true},
	{"date \"date\" \"date\" \"2026-09-01\"", true},
	{"date \"date\" \"julian\" \"61284\"", true},
	{"date \"date\" \"hour\" \"10\"", true},
	{"date :zone \"+0000\" \"date\" \"hour\" \"08\"", true},
	{"date :zone \"-0930\" \"date\" \"time\" \"23:28:00\"", true},
	{"date :zone \"-0930\" \"date\" \"date\" \"2026-08-31\"", true},
	{"date :originalzone \"date\" \"zone\" \"+0200\"", true},
	{"date :originalzone \"received\" \"zone\" \"+0000\"", true},
	{"date \"date\" \"minute\" \"58\"", true},
	{"date \"date\" \"second\" \"00\"", true},
	{"date \"date\" \"iso8601\" \"2026-09-01T10:58:00+02:00\"", true},
	{"date \"date\" \"std11\" \"Tue, 01 Sep 2026 10:58:00 +0200\"", true},
	{"date \"date\" \"weekday\" \"2\"", true},
	{"date :value \"ge\" \"date\" \"date\" \"2026-09-02\"", false},
	{"date :index 1 :last \"received\" \"second\" \"30\"", true},
	{"date \"x-note\" \"year\" \"2026\"", false},
	{"currentdate \"time\" \"11:00:00\"", true},
	{"currentdate :zone \"+0000\" \"time\" \"09:00:00\"", true},
	{"currentdate :value \"ge\" \"date\" \"2026-09-01\"", true},
	{"allof (currentdate :value \"ge\" \"hour\" \"09\", currentdate :value \"lt\" \"hour\" \"17\")", true},
	{"currentdate \"weekday\" [\"0\", \"6\"]", false},
	/* attachments */
	{"attachment \"invoice.zip\"", true},
	{"attachment :matches :name \"*.zip\"", true},
	{"attachment :matches \"*.exe\"", false},
	{"attachment :is :name \"dot.png\"", true},
	{"attachment :type \"application/zip\"", true},
	{"attachment :type \"application/java-archive\"", false},
	{"attachment :content \"application/java-archive\"", true},
	{"attachment :content :type :matches \"*java*\"", true},
	{"attachment :matches :inside \"*.exe\"", true},
	{"attachment :matches :inside \"*.scr\"", false},
	{"attachment :matches :name :inside [\"*.exe\"]", true},
	{"attachment :contains :inside :comparator \"i;octet\" \".exe\"", false},
	{"attachment :count \"eq\" :name \"3\"", true},
	{"attachment :encrypted", true},
	{"attachment :unreadable", false},
	{"attachment :unreadable :encrypted", true},
};

static void test_rows(void **state)
{
	struct buf script, got;

	(void)state;
	buf_init(&script, 8192);
	buf_init(&got, 8192);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *want = rows[i].holds ? "discard @3" : "keep";

		buf_reset(&script);
		buf_printf(&script, ALL "if %s\n{ discard; }", rows[i].test);
		if (strcmp(sieve_decide(buf_span(&script), LIMIT_SIEVE_STEPS, &got), want) != 0)
			fail_msg("%s: want %s, got %s", rows[i].test, want, buf_cstr(&got));
		/* the same on the other way round */
		buf_reset(&script);
		buf_printf(&script, ALL "if not anyof (false, allof (true, %s)) { keep; } else { discard; }", rows[i].test);
		want = rows[i].holds ? "discard @2" : "keep @2";
		if (strcmp(sieve_decide(buf_span(&script), LIMIT_SIEVE_STEPS, &got), want) != 0)
			fail_msg("not %s: want %s, got %s", rows[i].test, want, buf_cstr(&got));
	}
	buf_clear(&script);
	buf_clear(&got);
}

int test_sieve_tests(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests_name("sieve tests", tests, NULL, NULL);
}
