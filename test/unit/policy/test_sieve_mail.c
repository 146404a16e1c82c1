/* The engine over a whole message, through the MIME reader and the archive reader. */
#include "test_sieve.h"

#include "mail/attach.h"
#include "policy/sieve_mail.h"

/* docs/readme.txt and inner.zip, in which there is Run.EXE */
#define ZIP \
	"UEsDBBQAAAAAAAAAIQCGphA2BQAAAAUAAAAPAAAAZG9jcy9yZWFkbWUudHh0aGVsbG9QSwMEFAAA\r\n" \
	"AAAAAAAhAOuKF9SuAAAArgAAAAkAAABpbm5lci56aXBQSwMEFAAAAAAAAAAhAElZzpE+AAAAPgAA\r\n" \
	"AAcAAABSdW4uRVhFTVoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n" \
	"AAAAAAAAAAAAAAAAAAAAAABQSwECFAMUAAAAAAAAACEASVnOkT4AAAA+AAAABwAAAAAAAAAAAAAA\r\n" \
	"gAEAAAAAUnVuLkVYRVBLBQYAAAAAAQABADUAAABjAAAAAABQSwECFAMUAAAAAAAAACEAhqYQNgUA\r\n" \
	"AAAFAAAADwAAAAAAAAAAAAAAgAEAAAAAZG9jcy9yZWFkbWUudHh0UEsBAhQDFAAAAAAAAAAhAOuK\r\n" \
	"F9SuAAAArgAAAAkAAAAAAAAAAAAAAIABMgAAAGlubmVyLnppcFBLBQYAAAAAAgACAHQAAAAHAQAA\r\n" \
	"AAA=\r\n"

static const char message[] =
	"Received: from a by b; Tue, 1 Sep 2026 08:00:00 +0000\r\n"
	"From: =?iso-8859-1?q?J=F6rg?= (x@y.example) <Joerg@Example.Org>\r\n"
	"To: list: ann@example.org,\r\n \"b c\"@example.org;\r\n"
	"Subject: a\r\n folded =?utf-8?b?w7xiZXI=?= subject\r\n"
	"X-Twice: one\r\nX-twice: two\r\n"
	"Date: Tue, 1 Sep 2026 10:00:00 +0200\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=\"b1\"\r\n"
	"\r\n"
	"preamble\r\n"
	"--b1\r\n"
	"Content-Type: multipart/alternative; boundary=b2\r\n\r\n"
	"--b2\r\n"
	"Content-Type: text/plain; charset=iso-8859-1\r\n"
	"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	"Sch=F6ne Gr=FC=DFe, lot=\r\ntery\r\n"
	"--b2\r\n"
	"Content-Type: text/html; charset=utf-8\r\n\r\n"
	"<html><style>p { color: red }</style><p>jack<b>pot</b> &amp; w&#105;nner</p><p>next</p></html>\r\n"
	"--b2--\r\n"
	"--b1\r\n"
	"Content-Type: application/octet-stream; name=\"holiday.jpg\"\r\n"
	"Content-Disposition: attachment; filename*=utf-8''%72eport.zip\r\n"
	"Content-Transfer-Encoding: base64\r\n\r\n" ZIP
	"--b1\r\n"
	"Content-Type: text/plain\r\n\r\n"
	"\177ELF\002\001\001\000no text at all\r\n"
	"--b1--\r\n";

struct row {
	const char *test;
	bool holds;
};

static const struct row rows[] = {
	{"header \"subject\" \"a folded \xc3\xbc" "ber subject\"", true},
	{"header :contains \"from\" \"J\xc3\xb6rg\"", true},
	{"header \"X-TWICE\" \"two\"", true},
	{"header :index 1 \"X-Twice\" \"two\"", false},
	{"header :count \"eq\" [\"x-twice\", \"received\"] \"3\"", true},
	{"exists [\"from\", \"date\", \"to\"]", true},
	{"exists \"x-none\"", false},
	{"address \"from\" \"joerg@example.org\"", true},
	{"address :contains \"from\" \"y.example\"", false},
	{"address :localpart \"to\" \"b c\"", true},
	{"address :count \"eq\" \"to\" \"2\"", true},
	{"date \"date\" \"iso8601\" \"2026-09-01T08:00:00+00:00\"", true},
	{"date :originalzone \"date\" \"hour\" \"10\"", true},
	{"date \"received\" \"hour\" \"08\"", true},
	{"body :contains \"Sch\xc3\xb6ne Gr\xc3\xbc\xc3\x9f" "e, lottery\"", true},
	{"body :contains \"jackpot & winner\"", true},
	{"body :contains \"color\"", false},
	{"body :contains \"winnernext\"", false},
	{"body :content \"text/html\" :contains \"color\"", true},
	{"body :raw :contains \"preamble\"", true},
	{"body :raw :contains \"Subject\"", false},
	{"body :raw :contains \"lot=\"", true},
	{"body :content \"application\" :contains \"docs/readme.txt\"", true},
	{"header :mime :contenttype \"content-type\" \"multipart/mixed\"", true},
	{"header :mime :anychild :contenttype \"content-type\" \"multipart/alternative\"", true},
	{"header :mime :anychild :param \"charset\" \"content-type\" \"ISO-8859-1\"", true},
	{"header :mime :anychild :param \"filename\" \"content-disposition\" \"report.zip\"", true},
	{"header :mime :anychild :type \"content-disposition\" \"attachment\"", true},
	{"attachment \"report.zip\"", true},
	{"attachment \"holiday.jpg\"", true},
	{"attachment :matches :name \"*.png\"", false},
	{"attachment :type \"application/octet-stream\"", true},
	{"attachment :type \"text/html\"", false},
	{"attachment :content \"application/zip\"", true},
	{"attachment :content \"application/x-elf\"", true},
	{"attachment :inside \"docs/readme.txt\"", true},
	{"attachment :inside \"readme.txt\"", true},
	{"attachment :matches :inside \"*.exe\"", true},
	{"attachment :matches :inside \"*.scr\"", false},
	{"attachment :encrypted", false},
	{"attachment :unreadable", false},
	{"size :over 1K", true},
};

static struct span text = {(const uint8_t *)message, sizeof(message) - 1};

static void run_row(const struct row *row, const struct mime *mime)
{
	struct mime_source source = mime_source_memory(&text);
	const struct sieve_script *script;
	struct sieve_message m;
	struct sieve_result result;
	struct sieve_fault fault;
	struct sieve_mail *mail;
	struct arena mem;
	struct buf s;

	buf_init(&s, 8192);
	arena_init(&mem, 1 << 20);
	buf_printf(&s, ALL "if %s { discard; }", row->test);
	if (sieve_compile(buf_span(&s), NULL, &mem, &script, &fault) != RC_OK)
		fail_msg("%s: %s", row->test, fault.why.words);
	mail = sieve_mail_new(&source, mime, sieve_script_needs(script));
	while (sieve_mail_step(mail))
		;
	assert_false(sieve_mail_step(mail));
	sieve_mail_message(mail, &m);
	assert_int_equal(m.size_bytes, text.len);
	if (sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result) != SIEVE_DONE)
		fail_msg("%s: %s", row->test, result.fault.why.words);
	if ((result.actions[0].act == SIEVE_DISCARD) != row->holds)
		fail_msg("%s: want %d", row->test, row->holds);
	assert_false(result.incomplete);
	sieve_mail_free(&mail);
	assert_null(mail);
	sieve_mail_free(&mail);
	arena_clear(&mem);
	buf_clear(&s);
}

static void test_rows(void **state)
{
	struct mime_source source = mime_source_memory(&text);
	struct mime_scan *scan = mime_scan_new(0);
	const struct mime *mime = mime_scan_source(scan, &source);

	(void)state;
	assert_int_equal(attach_prepare(NULL), RC_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		run_row(&rows[i], NULL);
		run_row(&rows[i], mime); /* with a structure that is known already */
	}
	mime_scan_free(&scan);
}

/* a body past the limit is looked at as far as that goes, and the result says so */
static void test_large(void **state)
{
	struct span old = text;
	const struct sieve_script *script;
	struct sieve_fault fault;
	struct arena mem;
	struct buf large;

	(void)state;
	buf_init(&large, 8 << 20);
	buf_add_str(&large, "Subject: x\r\n\r\nstart ");
	for (unsigned i = 0; i < 100000; i++)
		buf_add_str(&large, "0123456789abcdef\r\n");
	buf_add_str(&large, "finish\r\n");
	text = buf_span(&large);
	arena_init(&mem, 1 << 20);
	for (unsigned i = 0; i < 2; i++) {
		struct mime_source source = mime_source_memory(&text);
		struct sieve_result result;
		struct sieve_message m;
		struct sieve_mail *mail;
		struct span s = i == 0 ? SPAN_LIT("require \"body\"; if body :contains \"start\" { discard; }")
				       : SPAN_LIT("require \"body\"; if body :raw :contains \"finish\" { discard; }");

		assert_int_equal(sieve_compile(s, NULL, &mem, &script, &fault), RC_OK);
		mail = sieve_mail_new(&source, NULL, sieve_script_needs(script));
		while (sieve_mail_step(mail))
			;
		sieve_mail_message(mail, &m);
		assert_int_equal(sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result), SIEVE_DONE);
		assert_int_equal(result.actions[0].act, i == 0 ? SIEVE_DISCARD : SIEVE_KEEP);
		assert_true(result.incomplete);
		sieve_mail_free(&mail);
	}
	text = old;
	buf_clear(&large);
	arena_clear(&mem);
}

/* Parts that lie in each other and all look like archives: each would be read to the end of the message. Past its share of work a message is not looked into
 * any more, and what was not looked into cannot be read. */
static void test_share(void **state)
{
	static const char script_text[] = "require \"vnd.mailroom.attachment\"; if attachment :matches :inside \"*.exe\" { stop; } "
		"if attachment :unreadable { discard; }";
	struct span old = text;
	struct buf deep;

	(void)state;
	buf_init(&deep, 8 << 20);
	for (unsigned levels = 1; levels <= 60; levels += 59) {
		struct mime_source source = mime_source_memory(&text);
		const struct sieve_script *script;
		struct sieve_result result;
		struct sieve_fault fault;
		struct sieve_message m;
		struct sieve_mail *mail;
		struct arena mem;
		unsigned steps = 0;

		buf_reset(&deep);
		buf_add_str(&deep, "Content-Type: message/rfc822\r\n\r\n");
		for (unsigned i = 1; i < levels; i++)
			buf_add_str(&deep, "PK\x03\x04: x\r\nContent-Type: message/rfc822\r\n\r\n");
		buf_add_str(&deep, "Subject: x\r\n\r\n");
		while (deep.len < 1 << 20)
			buf_add_str(&deep, "0123456789abcdef\r\n");
		text = buf_span(&deep);
		source.bytes = text.len;
		arena_init(&mem, 1 << 20);
		assert_int_equal(sieve_compile(span_str(script_text), NULL, &mem, &script, &fault), RC_OK);
		mail = sieve_mail_new(&source, NULL, sieve_script_needs(script));
		while (sieve_mail_step(mail))
			steps++;
		sieve_mail_message(mail, &m);
		assert_int_equal(sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result), SIEVE_DONE);
		assert_int_equal(result.actions[0].act, levels > 1 ? SIEVE_DISCARD : SIEVE_KEEP);
		assert_true(result.incomplete == (levels > 1));
		assert_true(steps < (LIMIT_SIEVE_READ_TIMES * (deep.len >> 20) + (LIMIT_SIEVE_READ_FREE_BYTES >> 20) + 2 * levels + 16));
		sieve_mail_free(&mail);
		arena_clear(&mem);
	}
	text = old;
	buf_clear(&deep);
}

static void test_html(void **state)
{
	static const struct {
		const char *html, *words;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"a<b>b</b>c", "abc"},
		{"a<br>b<p>c", "a b c"},
		{"a<!-- <b> -->b", "ab"},
		{"a<script>if (a < b) { }</script>b", "a b"},
		{"a<STYLE type=x>p{}</style >b", "a b"},
		{"1 < 2 &lt; 3", "1 < 2 < 3"},
		{"&#x20AC;&#8364;&euro;", "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"},
		{"&unknown; &; & &#; &#xzz;", "&unknown; &; & &#; &#xzz;"},
		{"&#xd800;&#99999999;", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"lot&shy;te<span>ry</span>", "lottery"},
		{"a<b", "a"},
		{"a<script>b", "a "},
	};
	struct buf out;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		buf_init(&out, 4096);
		sieve_mail_strip_html(span_str(cases[i].html), &out);
		assert_string_equal(buf_cstr(&out), cases[i].words);
		buf_clear(&out);
	}
}

int test_sieve_mail(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_large), cmocka_unit_test(test_share), cmocka_unit_test(test_html)};

	return cmocka_run_group_tests_name("sieve over mail", tests, NULL, NULL);
}
