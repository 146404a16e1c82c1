/* What sentences mean by their words, what codes say by themselves, and how a text is taken apart for both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "answer/explain_code.h"
#include "answer/explain_scan.h"
#include "answer/explain_wording.h"

static const struct {
	const char *text;
	enum cause_id best, never; /* CAUSE_NONE as best: no rule may speak */
} sentences[] = {
	{"the mailbox does not exist", CAUSE_RCPT_UNKNOWN, CAUSE_RCPT_MAILBOX_FULL},
	{"the mailbox exists", CAUSE_NONE, CAUSE_RCPT_UNKNOWN},
	{"Das Postfach des Empf\u00e4ngers ist voll", CAUSE_RCPT_MAILBOX_FULL, CAUSE_RCPT_UNKNOWN},
	{"\u041f\u043e\u043b\u044c\u0437\u043e\u0432\u0430\u0442\u0435\u043b\u044c \u043d\u0435 \u043d\u0430\u0439\u0434\u0435\u043d",
	 CAUSE_RCPT_UNKNOWN, CAUSE_NONE},
	{"\u5bc6\u7801\u9519\u8bef", CAUSE_AUTH_BAD_CREDENTIALS, CAUSE_NONE},
	{"\u9519\u8bef\uff1a504 \u6536\u4ef6\u4eba\u90ae\u7bb1\u4e0d\u5b58\u5728", CAUSE_RCPT_UNKNOWN, CAUSE_NONE},
	{"L\u2019utilisateur n\u2019existe pas", CAUSE_RCPT_UNKNOWN, CAUSE_NONE},
	{"certificate has expired", CAUSE_TLS_CERT_UNTRUSTED, CAUSE_QUEUE_EXPIRED},
	{"Authentication failed. The mailbox is big", CAUSE_AUTH_BAD_CREDENTIALS, CAUSE_NONE},
	{"The user left. Password wrong for nobody@unknown.example", CAUSE_AUTH_BAD_CREDENTIALS,
	 CAUSE_RCPT_UNKNOWN},						     /* not across sentences, not in names */
	{"mailbox: ok\nunknown: nothing", CAUSE_NONE, CAUSE_RCPT_UNKNOWN},   /* not across lines */
	{"550-the mailbox\n550 is unknown", CAUSE_RCPT_UNKNOWN, CAUSE_NONE}, /* but along a reply */
	{"the mailbox\n  is unknown", CAUSE_RCPT_UNKNOWN, CAUSE_NONE},
	{"https://mailbox.example/unknown mail.unknown-user.example", CAUSE_NONE, CAUSE_RCPT_UNKNOWN},
	{"", CAUSE_NONE, CAUSE_RCPT_UNKNOWN},
};

static void read_text(const char *text, double sure[CAUSE_COUNT])
{
	struct scan s;

	scan_init(&s, span_str(text));
	wording_read(&s, sure);
	scan_clear(&s);
}

static void test_sentences(void **state)
{
	double sure[CAUSE_COUNT];
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		enum cause_id best = CAUSE_NONE;

		read_text(sentences[i].text, sure);
		for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++)
			if (sure[id] > sure[best])
				best = (enum cause_id)id;
		if (best != sentences[i].best || (sentences[i].never && sure[sentences[i].never] > 0)) {
			print_error("%s: %s\n", sentences[i].text, cause_slug(best));
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* every beginning and every end of them, as the bytes may be cut anywhere: within a letter, too */
static void test_cut_texts_are_read(void **state)
{
	double sure[CAUSE_COUNT];

	(void)state;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		for (const char *from = sentences[i].text; *from; from++)
			read_text(from, sure);
		for (size_t len = strlen(sentences[i].text); len; len--) {
			char *cut = strndup(sentences[i].text, len);

			assert_non_null(cut);
			read_text(cut, sure);
			for (int id = 0; id < CAUSE_COUNT; id++)
				assert_true(sure[id] >= 0 && sure[id] <= 1);
			free(cut);
		}
	}
}

static void test_codes(void **state)
{
	static const struct {
		unsigned code;
		const char *enhanced;
		enum cause_id first;
	} table[] = {
		{535, "5.7.8", CAUSE_AUTH_BAD_CREDENTIALS},
		{535, "", CAUSE_AUTH_BAD_CREDENTIALS},
		{535, "5.99.99", CAUSE_AUTH_BAD_CREDENTIALS},
		{450, "4.1.2", CAUSE_RCPT_DOMAIN_NOT_FOUND}, /* the class does not matter */
		{0, "5.2.2", CAUSE_RCPT_MAILBOX_FULL},
		{504, "5.7.4", CAUSE_AUTH_MECHANISM_UNKNOWN},
		{550, "5.7.4", CAUSE_NONE}, /* only with 504 */
		{550, "5.7.1", CAUSE_NONE}, /* says all and nothing */
		{550, "", CAUSE_NONE},
		{556, "", CAUSE_NULL_MX},
		{0, "", CAUSE_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct code_meaning *m = code_means(table[i].code, span_str(table[i].enhanced));

		assert_int_equal(m ? m[0].cause : CAUSE_NONE, table[i].first);
		for (size_t k = 1; m && k < CODE_MEANINGS && m[k].cause; k++)
			assert_true(m[k].percent <= m[k - 1].percent);
	}
}

static void test_texts_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *words;
		unsigned code; /* of the first reply, 0: none */
	} table[] = {
		{"\u9519\u8bef\uff1a504 no", "\u9519\u8bef\uff1a no", 504},
		{"550\u90ae\u7bb1", "\u90ae\u7bb1", 550},
		{"smtp;550-SPF-check failed", "smtp; spf-check failed", 550},
		{"\u00c9chec \u017b\u00f3\u0142\u0107 \u0394\u03a3 \u042e\u0416\u0401",
		 "\u00e9chec \u017c\u00f3\u0142\u0107 \u03b4\u03c3 \u044e\u0436\u0451", 0},
		{"it\u2019s", "it's", 0},
		{"File \"/a.py\", line 405, in x\nboom", "boom", 0},
		{"at com.a.b(C.java:554)\nboom", "boom", 0},
		{"<<< 553 relaying denied\n550 5.1.1 <a@b.example>... User unknown", "<<< relaying denied", 553},
		{">>> DATA\n>>> 550 no", ">>> no", 550},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct scan s;

		scan_init(&s, span_str(table[i].text));
		if (!span_eq(buf_span(&s.words), span_str(table[i].words)))
			print_error("%s: \"%.*s\"\n", table[i].text, (int)s.words.len, (const char *)buf_span(&s.words).ptr);
		assert_true(span_eq(buf_span(&s.words), span_str(table[i].words)));
		assert_int_equal(s.count ? s.replies[0].code : 0, table[i].code);
		scan_clear(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_cut_texts_are_read),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_texts_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
