#include "test_mail.h"

#include "mail/mime_wide.h"

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}
#define U "\xc3\xbc"
#define PARTS "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreface\r\n--b\r\n"

static const struct {
	struct span text;
	bool wide;
} cases[] = {
	{S(""), false},
	{S("Subject: x\r\n\r\nb" U "dy\r\n"), false},
	{S("Subject: " U "\r\n\r\nbody\r\n"), true},
	{S("Subject: x\r\n " U "\r\n\r\nbody\r\n"), true},
	{S(U), true},
	{S("\r\n" U "\r\n"), false},
	{S(PARTS "Content-Type: text/plain; charset=utf-8\r\n\r\nb" U "dy\r\n--b--\r\n"), false},
	{S(PARTS "Content-Disposition: attachment; filename=\"" U ".txt\"\r\n\r\nbody\r\n--b--\r\n"), true},
	{S(PARTS "\r\n" U "\r\n--b\r\nX: y\r\n\r\n" U "\r\n"), false},
	{S(PARTS "\r\n" U "\r\n--b\r\nX: " U "\r\n\r\nz\r\n"), true},
	/* another message inside: its header counts, its body does not */
	{S(PARTS "Content-Type: message/rfc822\r\n\r\nSubject: " U "\r\n\r\nbody\r\n--b--\r\n"), true},
	{S(PARTS "Content-Type: Message/RFC822\r\n\r\nSubject: x\r\n\r\n" U "\r\n--b--\r\n"), false},
	{S("Content-Type: message/rfc822\r\n\r\nSubject: " U "\r\n\r\n"), true},
	{S("Content-Type: mmessage/rfc822\r\n\r\nSubject: " U "\r\n\r\n"), true},
	{S("Content-Type: messagee\r\n\r\nSubject: " U "\r\n\r\n"), false},
	/* a signature is no boundary; what looks like one counts */
	{S("\r\nx\r\n-- \r\n" U "\r\n"), false},
	{S("\r\nx\r\n--\r\n" U "\r\n"), false},
	{S("\r\nx\r\n-" U "\r\n"), false},
	{S("\r\nx\r\n--x\r\n" U "\r\n"), true},
	{S("\r\nx\r\n--x\r\n\r\n" U "\r\n"), false},
	{S("\r\nx --x\r\n" U "\r\n"), false},
	{S("\r\n---\r\n" U "\r\n"), true},
	/* lines that end with LF alone */
	{S("A: b\n\n" U "\n"), false},
	{S("A: b\n" U "\n"), true},
};

static void test_in_any_chunking(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = cases[i].text;

		for (size_t at = 0; at <= text.len; at++) {
			struct mime_wide w = {0}, step = {0};

			mime_wide_feed(&w, span_head(text, at));
			mime_wide_feed(&w, span_from(text, at));
			for (size_t k = 0; at && k < text.len; k += at)
				mime_wide_feed(&step, span_head(span_from(text, k), at));
			if (w.found != cases[i].wide || (at && step.found != cases[i].wide))
				fail_msg("case %zu, split at %zu: %d %d", i, at, w.found, step.found);
		}
	}
}

int test_mime_wide(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_any_chunking)};

	return cmocka_run_group_tests_name("mime_wide", tests, NULL, NULL);
}
