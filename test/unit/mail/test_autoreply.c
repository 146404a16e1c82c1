/* what a machine writes for somebody who is away */
#include "test_mail.h"

#include "mail/autoreply.h"
#include "mail/header_field.h"

static const struct autoreply usual = {.hostname = SPAN_LIT("mail.example.org"),
				       .from = SPAN_LIT("anna@example.org"),
				       .to = SPAN_LIT("bob@x.example"),
				       .subject = SPAN_LIT("Away"),
				       .message_id = SPAN_LIT("<1@x.example>"),
				       .text = SPAN_LIT("I am away.\n"),
				       .now_ms = 1788253200000,
				       .unique = 0x2a};

struct written {
	struct buf head, body;
	bool good, has_8bit;
};

static void write_one(struct written *w, const struct autoreply *a)
{
	buf_init(&w->head, AUTOREPLY_HEAD_BYTES);
	buf_init(&w->body, AUTOREPLY_BODY_BYTES);
	w->good = autoreply_write(a, &w->head, &w->body, &w->has_8bit);
}

static void forget(struct written *w)
{
	buf_clear(&w->head);
	buf_clear(&w->body);
}

/* whatever it was given: lines that every server takes, and its own fields once */
static void check_lines(const struct written *w)
{
	static const char *const once[] = {"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "Content-Type"};
	struct span all[] = {buf_span(&w->head), buf_span(&w->body)};

	for (size_t i = 0; i < 2; i++) {
		size_t line = 0;

		assert_true(header_is_plain(all[i]));
		for (size_t k = 0; k < all[i].len; k++) {
			line = all[i].ptr[k] == '\n' ? 0 : line + 1;
			assert_true(line <= 999);
		}
	}
	assert_true(header_has_end(all[0]));
	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
		struct span rest = all[0];
		struct header_field f;
		int n = 0;

		while (header_field_next(&rest, &f))
			n += header_field_is(&f, once[i]);
		assert_true(rest.len == 2);
		assert_int_equal(n, 1);
	}
}

static void as_it_leaves(void **state)
{
	struct autoreply a = usual;
	struct written w;

	(void)state;
	a.references = SPAN_LIT("<a@x.example>\r\n\t<b@x.example> junk <not an id> <>");
	write_one(&w, &a);
	assert_true(w.good && !w.has_8bit);
	check_lines(&w);
	test_span_eq(buf_span(&w.head),
		     SPAN_LIT("Date: Tue, 1 Sep 2026 09:00:00 +0000\r\nFrom: anna@example.org\r\nTo: bob@x.example\r\nSubject: Away\r\n"
			      "Message-ID: <1a05c325e80.000000000000002a@mail.example.org>\r\nIn-Reply-To: <1@x.example>\r\nReferences: "
			      "<a@x.example>\r\n <b@x.example>\r\n <1@x.example>\r\n"
			      "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n"
			      "Content-Type: text/plain; charset=us-ascii\r\n\r\n"),
		     "header");
	test_span_eq(buf_span(&w.body), SPAN_LIT("I am away.\r\n"), "body");
	forget(&w);
}

static void texts(void **state)
{
	static const struct {
		const char *text, *body, *encoding;
	} cases[] = {
		{"a", "a\r\n", ""},
		{"", "\r\n", ""},
		{"a\nb\r\nc\rd\n", "a\r\nb\r\nc\r\nd\r\n", ""},
		{"a\r\r\nb", "a\r\n\r\nb\r\n", ""},
		{".\n..", ".\r\n..\r\n", ""},
		{"a\001\tb\033[2J\177", "a \tb [2J \r\n", ""},
		{"Gr\xc3\xbc\xc3\x9f"
		 "e = \xe2\x82\xac",
		 "Gr=C3=BC=C3=9Fe =3D =E2=82=AC\r\n", "quoted-printable"},
		{"\xc3\xa4 \n\t", "=C3=A4=20\r\n=09\r\n", "quoted-printable"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct autoreply a = usual;
		struct written w;

		a.text = span_str(cases[i].text);
		write_one(&w, &a);
		assert_true(w.good && !w.has_8bit);
		check_lines(&w);
		test_span_eq(buf_span(&w.body), span_str(cases[i].body), cases[i].text);
		assert_int_equal(cases[i].encoding[0] != 0, span_find_span(buf_span(&w.head), SPAN_LIT("quoted-printable")) < w.head.len);
		forget(&w);
	}
}

static void long_lines_are_broken(void **state)
{
	struct autoreply a = usual;
	char text[4001];
	struct written w;

	(void)state;
	memset(text, 'x', 4000);
	text[4000] = 0;
	for (size_t i = 0; i < 400; i++)
		text[i * 10] = i % 3 ? ' ' : '=';
	a.text = span_str(text);
	write_one(&w, &a);
	assert_true(w.good);
	check_lines(&w);
	for (size_t k = 0, line = 0; k < w.body.len; k++) {
		line = w.body.ptr[k] == '\n' ? 0 : line + 1;
		assert_true(line <= 77);
	}
	forget(&w);
}

static void nothing_gets_into_the_header(void **state)
{
	struct autoreply a = usual;
	struct written w;

	(void)state;
	a.subject = SPAN_LIT("x\r\nBcc: evil@x.example\r\n\r\nbody");
	a.message_id = SPAN_LIT("<1@x>\r\nBcc: evil@x.example");
	a.references = SPAN_LIT("<a@x>\r\nBcc: <evil@x.example\r\n> <b\x80@x> <c@x>");
	write_one(&w, &a);
	assert_true(w.good);
	check_lines(&w);
	assert_true(span_find_span(buf_span(&w.head), SPAN_LIT("\nBcc")) == w.head.len);
	assert_true(span_find_span(buf_span(&w.head), SPAN_LIT("In-Reply-To")) == w.head.len);
	assert_true(span_find_span(buf_span(&w.head), SPAN_LIT("References: <a@x>\r\n <c@x>\r\nAuto")) < w.head.len);
	forget(&w);
	a.subject = SPAN_LIT("\xe2\x82\xac\r\nBcc: evil "
			     "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
			     "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
	write_one(&w, &a);
	assert_true(w.good && span_is_ascii(buf_span(&w.head)));
	check_lines(&w);
	forget(&w);
}

static void long_threads_keep_their_ends(void **state)
{
	struct autoreply a = usual;
	struct written w;
	struct buf refs;

	(void)state;
	buf_init(&refs, 8192);
	for (int i = 0; i < 200; i++)
		buf_printf(&refs, "<%d@x>", i);
	a.references = buf_span(&refs);
	write_one(&w, &a);
	assert_true(w.good);
	check_lines(&w);
	assert_true(span_find_span(buf_span(&w.head), SPAN_LIT("References: <0@x>\r\n <137@x>")) < w.head.len);
	assert_true(span_find_span(buf_span(&w.head), SPAN_LIT(" <199@x>\r\n <1@x.example>\r\n")) < w.head.len);
	forget(&w);
	buf_clear(&refs);
}

static void entities(void **state)
{
	static const struct {
		const char *text, *body; /* NULL: not to be sent */
		bool has_8bit;
	} cases[] = {
		{"Content-Type: text/html\n\n<b>\xc3\xa4</b>\n", "<b>\xc3\xa4</b>\r\n", true},
		{"Content-Type: multipart/alternative;\n boundary=x\nFrom: boss@x\nBcc: y@z\nSubject: no\n\n--x\n\na\n--x--\n",
		 "--x\r\n\r\na\r\n--x--\r\n", false},
		{"just text", NULL, false},
		{"Subject: x\n\ntext", NULL, false},
		{"Content-Type: text/plain", NULL, false},
		{"", NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct autoreply a = usual;
		struct written w;

		a.text = span_str(cases[i].text);
		a.mime = true;
		write_one(&w, &a);
		assert_int_equal(w.good, cases[i].body != NULL);
		if (w.good) {
			check_lines(&w);
			assert_int_equal(w.has_8bit, cases[i].has_8bit);
			test_span_eq(buf_span(&w.body), span_str(cases[i].body), cases[i].text);
			assert_true(span_find_span(buf_span(&w.head), SPAN_LIT("Bcc")) == w.head.len);
		}
		forget(&w);
	}
}

static void what_cannot_be_is_not_sent(void **state)
{
	struct autoreply a = usual;
	static char text[70000];
	struct written w;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	a.text = span_str(text);
	write_one(&w, &a);
	assert_false(w.good);
	forget(&w);
	a.text = SPAN_LIT("\xff\xfe");
	write_one(&w, &a);
	assert_false(w.good);
	forget(&w);
	memcpy(text, "Content-Type: text/plain\n\n", 26);
	a.text = span_head(span_str(text), 2000); /* a line of 1974 bytes */
	a.mime = true;
	write_one(&w, &a);
	assert_false(w.good);
	forget(&w);
}

int test_autoreply(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_it_leaves),
					   cmocka_unit_test(texts),
					   cmocka_unit_test(long_lines_are_broken),
					   cmocka_unit_test(nothing_gets_into_the_header),
					   cmocka_unit_test(long_threads_keep_their_ends),
					   cmocka_unit_test(entities),
					   cmocka_unit_test(what_cannot_be_is_not_sent)};

	return cmocka_run_group_tests_name("autoreply", tests, NULL, NULL);
}
