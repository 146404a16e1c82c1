#include "test_mail.h"

#include <stdlib.h>

#include "base/limits.h"
#include "mail/mime.h"

/* the tests write lines with LF */
static struct span crlf(const char *text, struct buf *out)
{
	buf_init(out, 1 << 20);
	for (; *text; text++) {
		if (*text == '\n')
			buf_add_byte(out, '\r');
		buf_add_byte(out, (uint8_t)*text);
	}
	return buf_span(out);
}

static void feed_steps(struct mime_scan *s, struct span text, size_t first, size_t step)
{
	mime_scan_feed(s, span_head(text, first));
	for (size_t at = first; at < text.len; at += step)
		mime_scan_feed(s, span_head(span_from(text, at), step));
}

static void check_same(struct span want, struct span text, unsigned flags, size_t first, size_t step)
{
	struct mime_scan *s = mime_scan_new(flags);
	struct buf out;

	feed_steps(s, text, first, step);
	buf_init(&out, 16 << 20);
	mime_write(&out, mime_scan_end(s));
	test_span_eq(buf_span(&out), want, "cut");
	buf_clear(&out);
	mime_scan_free(&s);
}

/* the scan of a text; that every cut of it gives the same was seen */
static const struct mime *scan(struct span text, unsigned flags, struct mime_scan **out)
{
	struct mime_scan *s = mime_scan_new(flags);
	const struct mime *mime;
	struct buf whole;

	mime_scan_feed(s, text);
	mime = mime_scan_end(s);
	buf_init(&whole, 16 << 20);
	mime_write(&whole, mime);
	for (size_t step = 1; step < 5; step++)
		check_same(buf_span(&whole), text, flags, 0, step);
	for (size_t at = 0; at <= text.len && text.len < 4000; at++)
		check_same(buf_span(&whole), text, flags, at, text.len);
	buf_clear(&whole);
	*out = s;
	return mime;
}

/* "depth type/subtype:body" for what has no parts, flags where there are any */
static void describe(struct buf *out, const struct mime *mime, struct span text)
{
	for (const struct mime_part *p = mime->parts; p; p = p->next) {
		if (p->index)
			buf_add_byte(out, '|');
		buf_add_u64(out, p->depth);
		buf_add_byte(out, ' ');
		buf_add(out, p->type);
		buf_add_byte(out, '/');
		buf_add(out, p->subtype);
		if (p->flags)
			buf_printf(out, " %x", p->flags);
		if (!p->first_child) {
			buf_add_byte(out, ':');
			buf_add(out, span_of(text.ptr + p->body_begin, (size_t)(p->body_end - p->body_begin)));
		}
	}
}

static void check_parts(const char *given, const char *wanted, unsigned flags)
{
	struct buf text, want, got;
	struct mime_scan *s;
	const struct mime *mime;

	if (flags & MIME_LF) {
		buf_init(&text, 1 << 20);
		buf_add_str(&text, given);
		buf_init(&want, 1 << 20);
		buf_add_str(&want, wanted);
	} else {
		(void)crlf(given, &text);
		(void)crlf(wanted, &want);
	}
	mime = scan(buf_span(&text), flags, &s);
	buf_init(&got, 1 << 20);
	describe(&got, mime, buf_span(&text));
	test_span_eq(buf_span(&got), buf_span(&want), given);
	buf_clear(&got);
	buf_clear(&want);
	buf_clear(&text);
	mime_scan_free(&s);
}

#define MIXED "Content-Type: multipart/mixed; boundary=b\n\n"

static const struct {
	const char *text, *parts;
} trees[] = {
	/* no parts */
	{"", "0 text/plain 40:"},
	{"\n", "0 text/plain:"},
	{"\nhello\n", "0 text/plain:hello\n"},
	{"Subject: x\n", "0 text/plain 40:"},
	{"Subject: x\n\nhello", "0 text/plain:hello"},
	{"Content-Type: TEXT/Html; charset=UTF-8\n\n<p>\n", "0 text/html:<p>\n"},
	{"content-type : text / html (a (b) c)\n\nx", "0 text/html:x"},
	{"Content-Type: text/(c)html\n\nx", "0 text/html:x"},
	{"Content-Type:\n text/html\n\nx", "0 text/html:x"},
	{"Content-Type: text/html charset=x\n\nx", "0 text/html:x"},
	{"Content-Type: text\n\nx", "0 text/plain 80:x"},
	{"Content-Type:\n\nx", "0 text/plain 80:x"},
	{"Content-Type: te?xt/plain\n\nx", "0 text/plain 80:x"},
	{"Content-Type: text/html\nContent-Type: image/png\n\nx", "0 text/html 100:x"},
	{"Content-Type: text/html\nContent-Type: text/HTML; charset=x\n\nx", "0 text/html:x"},
	/* where the header ends, as header_scan.c says */
	{"Subject: x\nhello\nContent-Type: text/html\n\ny", "0 text/html 40:hello\nContent-Type: text/html\n\ny"},
	{"hello\n", "0 text/plain 40:hello\n"},
	{" Subject: x\n\ny", "0 text/plain 40: Subject: x\n\ny"},
	{"X: y\n : z\n\ny", "0 text/plain:y"},
	/* a multipart */
	{MIXED "--b\n\none\n--b\n\ntwo\n--b--\n", "0 multipart/mixed|1 text/plain:one|1 text/plain:two"},
	{MIXED "preamble\n--b\n\none\n\n--b--\nepilogue\n--x\n", "0 multipart/mixed|1 text/plain:one\n"},
	{MIXED "--b\nContent-Type: text/html\n\none\n--b--", "0 multipart/mixed|1 text/html:one"},
	{MIXED "--b\n\none", "0 multipart/mixed 400|1 text/plain:one"},
	{MIXED "--b\n\none\n", "0 multipart/mixed 400|1 text/plain:one\n"},
	{MIXED "--b\n", "0 multipart/mixed 400|1 text/plain 40:"},
	{MIXED "--b", "0 multipart/mixed 400:--b"},
	{MIXED "--b--", "0 multipart/mixed:--b--"},
	{MIXED "", "0 multipart/mixed 400:"},
	{MIXED "--b\n--b\n--b--\n", "0 multipart/mixed|1 text/plain 40:|1 text/plain 40:"},
	{MIXED "--b\n\n--b--\n", "0 multipart/mixed|1 text/plain:"},
	{MIXED "--b\n\n\n--b--\n", "0 multipart/mixed|1 text/plain:"},
	{MIXED "--b\n\n\n\n--b--\n", "0 multipart/mixed|1 text/plain:\n"},
	{MIXED "--b\nX: y\n--b--\n", "0 multipart/mixed|1 text/plain 40:"},
	{MIXED "--b \t\n\none\n--b-- \n", "0 multipart/mixed|1 text/plain:one"},
	{MIXED "--b\n\na\n--\n-b\n --b\n--c\nb--\n--b--", "0 multipart/mixed|1 text/plain:a\n--\n-b\n --b\n--c\nb--"},
	{"Content-Type: multipart/mixed\n\n--b\n\none\n--b--", "0 multipart/mixed 80:--b\n\none\n--b--"},
	{"Content-Type: multipart; boundary=b\n\n--b\n\none\n--b--", "0 multipart/mixed 80|1 text/plain:one"},
	{"Content-Type: text/plain; boundary=b\n\n--b\n\none\n--b--", "0 text/plain:--b\n\none\n--b--"},
	/* RFC 2046 5.1.1: what follows the boundary does not matter; a part that stricter readers do not see is marked */
	{MIXED "--bc\n\none\n--b--x", "0 multipart/mixed|1 text/plain 100:one"},
	/* the longest wins, then the innermost */
	{MIXED "--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\none\n--bb--\n--b\n\ntwo\n--b--",
		"0 multipart/mixed|1 multipart/mixed|2 text/plain:one|1 text/plain:two"},
	{"Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--bb\n\ntwo\n--bb--",
		"0 multipart/mixed|1 multipart/mixed|2 text/plain:one|1 text/plain:two"},
	{MIXED "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--",
		"0 multipart/mixed|1 multipart/mixed|2 text/plain:one|1 text/plain:two"},
	/* an outer delimiter ends what is inside */
	{MIXED "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--b\n\ntwo\n--b--",
		"0 multipart/mixed|1 multipart/mixed 400|2 text/plain:one|1 text/plain:two"},
	/* parts behind the end */
	{MIXED "--b\n\none\n--b--\n--b\n\ntwo\n", "0 multipart/mixed|1 text/plain:one|1 text/plain 200:two\n"},
	/* messages */
	{"Content-Type: message/rfc822\n\nSubject: x\n\none", "0 message/rfc822|1 text/plain:one"},
	{"Content-Type: message/global\n\nContent-Type: text/html\n\none", "0 message/global|1 text/html:one"},
	{"Content-Type: message/rfc822\n\n", "0 message/rfc822|1 text/plain 40:"},
	{MIXED "--b\nContent-Type: message/rfc822\n\n" MIXED "--b\n\none\n--b--\n--b\n\ntwo\n--b--",
		"0 multipart/mixed|1 message/rfc822|2 multipart/mixed|3 text/plain:one|1 text/plain:two"},
	{MIXED "--b\nContent-Type: message/rfc822\n\n--b\n\ntwo\n--b--", "0 multipart/mixed|1 message/rfc822|2 text/plain 40:|1 text/plain:two"},
	{"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--",
		"0 multipart/digest|1 message/rfc822|2 text/plain:one|1 text/plain:two"},
	{"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=\n", "0 message/rfc822 800|1 text/plain 40:U3ViamVjdDogeAo=\n"},
	{"Content-Type: message/delivery-status\n\nReporting-MTA: x\n", "0 message/delivery-status:Reporting-MTA: x\n"},
	/* boundaries, every way of writing them */
	{"Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\none\n--a b--", "0 multipart/mixed|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary=\"b \"\n\n--b\n\none\n--b--", "0 multipart/mixed|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary=\"a\\\"b\"\n\n--a\"b\n\none\n--a\"b--", "0 multipart/mixed 100|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\n\n--bc\n\none\n--bc--", "0 multipart/mixed|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary*=us-ascii'en'b%63\n\n--bc\n\none\n--bc--", "0 multipart/mixed|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\none\n--x\n-- \n----", "0 multipart/mixed|1 text/plain:one\n--x|1 text/plain 40:"},
	/* two boundaries: both count */
	{"Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n\none\n--c\n\ntwo\n--b--", "0 multipart/mixed 100|1 text/plain:one|1 text/plain:two"},
	{"Content-Type: multipart/mixed; boundary=b\nContent-Type: multipart/mixed; boundary=c\n\n--b\n\none\n--c\n\ntwo\n--b--",
		"0 multipart/mixed 100|1 text/plain:one|1 text/plain:two"},
	{"Content-Type: text/plain\n" MIXED "--b\n\none\n--b--", "0 multipart/mixed 100|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary=b(c)\n\n--b\n\none\n--b(c)\n\ntwo\n--b--", "0 multipart/mixed 100|1 text/plain:one|1 text/plain:two"},
	/* headers that break off */
	{"Content-Type: multipart/mixed; boundary=b\n--b\n\none\n--b--", "0 multipart/mixed 40|1 text/plain:one"},
	{"Content-Type: multipart/mixed; boundary=b\ngarbage\n--b\n\none\n--b--", "0 multipart/mixed 40|1 text/plain:one"},
	{"garbage\n" MIXED "--b\n\none\n--b--", "0 multipart/mixed 40|1 text/plain:one"},
	{MIXED "--b\ngarbage\nContent-Type: text/html\n--b--", "0 multipart/mixed|1 text/html 40:garbage\nContent-Type: text/html"},
};

static void test_trees(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++)
		check_parts(trees[i].text, trees[i].parts, 0);
}

/* a bare LF or CR is a byte of its line, unless asked for */
static void test_bare_lf(void **state)
{
	static const char text[] = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n";
	static const char cr[] = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\n--b\n\rx\r--b\r\r\n--b--\r\n";
	struct buf got;
	struct mime_scan *s;
	const struct mime *mime;

	(void)state;
	check_parts(text, "0 multipart/mixed|1 text/plain:one", MIME_LF);
	mime = scan(span_str(text), 0, &s);
	assert_int_equal(mime->part_count, 1);
	assert_true(mime->flags & MIME_CONTROLS);
	mime_scan_free(&s);
	mime = scan(span_str(cr), 0, &s);
	buf_init(&got, 1000);
	describe(&got, mime, span_str(cr));
	test_span_eq(buf_span(&got), SPAN_LIT("0 multipart/mixed|1 text/plain:one\n--b\n\rx\r--b\r"), "bare");
	buf_clear(&got);
	mime_scan_free(&s);
}

static void test_offsets(void **state)
{
	struct buf text;
	struct mime_scan *s;
	struct span t = crlf("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\nA: b\n c\nContent-Type: text/html\n\none\ntwo\n--b--\nend\n", &text);
	const struct mime *mime = scan(t, 0, &s);
	const struct mime_part *root = mime->parts, *part = root->next;

	(void)state;
	assert_int_equal(mime->bytes, t.len);
	assert_int_equal(root->header_begin, 0);
	assert_int_equal(root->header_end, span_find_span(t, SPAN_LIT("pre")));
	assert_int_equal(root->body_begin, root->header_end);
	assert_int_equal(root->body_end, t.len);
	assert_int_equal(root->header_lines, 3);
	assert_int_equal(root->body_lines, 10);
	assert_int_equal(root->child_count, 1);
	assert_int_equal(root->end, 2);
	assert_ptr_equal(part->parent, root);
	assert_int_equal(part->header_begin, span_find_span(t, SPAN_LIT("A: b")));
	assert_int_equal(part->header_end, span_find_span(t, SPAN_LIT("one")));
	assert_int_equal(part->body_end, span_find_span(t, SPAN_LIT("\r\n--b--")));
	assert_int_equal(part->header_lines, 4);
	assert_int_equal(part->body_lines, 1);
	assert_ptr_equal(mime_part_at(mime, 1), part);
	assert_null(mime_part_at(mime, 2));
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_facts(void **state)
{
	struct buf text;
	struct mime_scan *s;
	struct span value, t = crlf("Content-Type: text/html; charset=\"UTF-8\"; X=y; x=\"=?utf-8?Q?=C3=A9?=\"\nContent-Disposition: Attachment; size=5\n"
				    "Content-Transfer-Encoding: Base64 (really)\n\nAAAA", &text);
	const struct mime_part *part = scan(t, 0, &s)->parts;

	(void)state;
	test_span_eq(part->charset, SPAN_LIT("utf-8"), "charset");
	test_span_eq(part->disposition, SPAN_LIT("attachment"), "disposition");
	assert_int_equal(part->encoding, MIME_BASE64);
	assert_true(mime_part_param(part, MIME_FROM_TYPE, SPAN_LIT("x"), &value));
	test_span_eq(value, SPAN_LIT("y"), "the first");
	test_span_eq(part->params->next->next->value, SPAN_LIT("\xc3\xa9"), "the second");
	assert_false(mime_part_param(part, MIME_FROM_TYPE, SPAN_LIT("size"), &value));
	assert_true(mime_part_param(part, MIME_FROM_DISPOSITION, SPAN_LIT("size"), &value));
	assert_false(mime_part_is_multipart(part));
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_encodings(void **state)
{
	static const struct {
		const char *fields;
		enum mime_encoding encoding;
		unsigned flags;
	} cases[] = {
		{"", MIME_IDENTITY, 0},
		{"Content-Transfer-Encoding: 8bit\n", MIME_IDENTITY, 0},
		{"Content-Transfer-Encoding: BINARY\n", MIME_IDENTITY, 0},
		{"Content-Transfer-Encoding: quoted-printable;\n", MIME_QUOTED_PRINTABLE, 0},
		{"Content-Transfer-Encoding: (c) base64\n", MIME_BASE64, 0},
		{"Content-Transfer-Encoding: x-uuencode\n", MIME_UUENCODE, 0},
		{"Content-Transfer-Encoding: x-what\n", MIME_UNKNOWN, 0},
		{"Content-Transfer-Encoding: x-what\nContent-Transfer-Encoding: base64\n", MIME_BASE64, MIME_AMBIGUOUS},
		{"Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n", MIME_IDENTITY, MIME_AMBIGUOUS},
		{"Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: Base64\n", MIME_BASE64, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf text, whole;
		struct mime_scan *s;
		const struct mime *mime;

		buf_init(&whole, 1000);
		buf_add_str(&whole, cases[i].fields);
		buf_add_str(&whole, "\nx");
		mime = scan(crlf(buf_cstr(&whole), &text), 0, &s);
		assert_int_equal(mime->parts->encoding, cases[i].encoding);
		assert_int_equal(mime->flags, cases[i].flags);
		mime_scan_free(&s);
		buf_clear(&text);
		buf_clear(&whole);
	}
}

static void test_fields(void **state)
{
	struct buf text;
	struct mime_scan *s;
	struct span t = crlf(MIXED "--b\nFirst: 1\nsecond :\n a\n\tb \nThird:\nFourth: d\n\nbody\n--b--", &text);
	const struct mime_part *part = scan(t, 0, &s)->parts->next;
	struct mime_source source = mime_source_memory(&t), cut;
	struct mime_fields fields;
	struct mime_field f;
	struct arena mem;
	static const char *const want[][2] = {{"First", " 1"}, {"second", "\r\n a\r\n\tb "}, {"Third", ""}, {"Fourth", " d"}};

	(void)state;
	arena_init(&mem, 4096);
	assert_int_equal(mime_fields_read(&source, part, &mem, &fields), RC_OK);
	for (size_t i = 0; i < 4; i++) {
		assert_true(mime_fields_next(&fields, &f));
		test_span_eq(f.name, span_str(want[i][0]), "name");
		test_span_eq(f.value, span_str(want[i][1]), "value");
		test_span_eq(span_head(span_from(t, (size_t)f.name_at), f.name.len), f.name, "name at");
		test_span_eq(span_head(span_from(t, (size_t)f.value_at), f.value.len), f.value, "value at");
	}
	assert_false(mime_fields_next(&fields, &f));
	cut = source;
	t.len = 50;
	assert_int_equal(mime_fields_read(&cut, part, &mem, &fields), RC_IO);
	arena_clear(&mem);
	arena_init(&mem, 8);
	assert_int_equal(mime_fields_read(&source, part, &mem, &fields), RC_LIMIT);
	arena_clear(&mem);
	mime_scan_free(&s);
	buf_clear(&text);
}

/* files in a text */
static void test_files_in_text(void **state)
{
	static const struct {
		const char *text, *names;
	} cases[] = {
		{"\nbegin 644 a b.exe\n#0V%T\n`\nend\n", "a b.exe|"},
		{"Content-Type: text/html\n\nx\nBEGIN 0755  y.exe \n", "y.exe|"},
		{"\nbegin now with 644 files\n", ""},
		{"\n begin 644 x\n", ""},
		{"\nbegin 64 x\n", ""},
		{"\nbegin 644\n", ""},
		{"\n=ybegin line=128 size=1 name=z.exe\n", "z.exe|"},
		{"Content-Type: application/x\n\nbegin 644 a.exe\n", ""},
		{"Content-Type: text/plain; name=t.txt\n\nbegin 644 a.exe\nbegin 644 a.exe\n", "t.txt|a.exe|"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf text, names;
		struct mime_scan *s;
		const struct mime *mime = scan(crlf(cases[i].text, &text), 0, &s);

		buf_init(&names, 1000);
		for (const struct mime_name *n = mime->parts->names; n; n = n->next) {
			buf_add(&names, n->text);
			buf_add_byte(&names, '|');
		}
		test_span_eq(buf_span(&names), span_str(cases[i].names), cases[i].text);
		buf_clear(&names);
		buf_clear(&text);
		mime_scan_free(&s);
	}
}

/* --- limits: never an error, and no more work than bytes --- */

static void add_times(struct buf *b, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_add_str(b, text);
}

static const struct mime *scan_once(const struct buf *text, struct mime_scan **out)
{
	*out = mime_scan_new(0);
	feed_steps(*out, buf_span(text), 0, 60000);
	return mime_scan_end(*out);
}

static void test_depth(void **state)
{
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;
	unsigned deepest = 0;

	(void)state;
	buf_init(&text, 4 << 20);
	for (unsigned i = 0; i < 10000; i++)
		buf_printf(&text, "Content-Type: multipart/mixed; boundary=b%u-\r\n\r\n--b%u-\r\n", i, i);
	mime = scan_once(&text, &s);
	for (const struct mime_part *p = mime->parts; p; p = p->next)
		deepest = p->depth > deepest ? p->depth : deepest;
	assert_int_equal(deepest, LIMIT_MIME_DEPTH);
	assert_int_equal(mime->part_count, LIMIT_MIME_DEPTH + 1);
	assert_true(mime->flags & MIME_OVER_DEPTH);
	mime_scan_free(&s);
	buf_reset(&text);
	add_times(&text, "Content-Type: message/rfc822\r\n\r\n", 10000);
	mime = scan_once(&text, &s);
	assert_int_equal(mime->part_count, LIMIT_MIME_DEPTH + 1);
	assert_true(mime->flags & MIME_OVER_DEPTH);
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_many_parts(void **state)
{
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;
	const struct mime_part *last;

	(void)state;
	buf_init(&text, 4 << 20);
	buf_add_str(&text, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	add_times(&text, "--b\r\n\r\nx\r\n", 100000);
	mime = scan_once(&text, &s);
	assert_int_equal(mime->part_count, LIMIT_MIME_PARTS);
	assert_true(mime->flags & MIME_OVER_PARTS);
	last = mime_part_at(mime, LIMIT_MIME_PARTS - 1);
	assert_int_equal(last->body_end, text.len);
	assert_true(last->flags & MIME_OVER_PARTS);
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_tree_memory(void **state)
{
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;

	(void)state;
	buf_init(&text, 64 << 20);
	buf_add_str(&text, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (unsigned i = 0; i < 300; i++) {
		buf_add_str(&text, "--b\r\nContent-Type: a/b; x=\"");
		add_times(&text, "0123456789", 10000);
		buf_add_str(&text, "\"\r\n\r\n");
	}
	mime = scan_once(&text, &s);
	assert_true(mime->flags & MIME_OVER_MEMORY);
	assert_true(mime->part_count > 10 && mime->part_count < 300);
	assert_int_equal(mime->parts->body_end, text.len);
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_header_limits(void **state)
{
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;

	(void)state;
	buf_init(&text, 8 << 20);
	/* the block: what begins with the field that does not fit is body */
	buf_add_str(&text, "Content-Type: text/html\r\nX: ");
	add_times(&text, "0123456789abcde\r\n ", LIMIT_MIME_HEADER_BYTES / 18);
	buf_add_str(&text, "0123456789abcdefghijklmnopqrstuvwxyz\r\nContent-Type: image/png\r\n\r\n");
	mime = scan_once(&text, &s);
	assert_int_equal(mime->flags, MIME_OVER_HEADER);
	assert_int_equal(mime->parts->header_end, strlen("Content-Type: text/html\r\n"));
	assert_true(mime_part_is(mime->parts, "text", "html"));
	mime_scan_free(&s);
	/* one that ends at the limit fits */
	buf_reset(&text);
	add_times(&text, "X: 4567890123456789012345678901\r\n", (LIMIT_MIME_HEADER_BYTES - 2) / 33);
	while (text.len < LIMIT_MIME_HEADER_BYTES - 2 - 4)
		buf_add_str(&text, "X:\r\n");
	mime = scan_once(&text, &s);
	assert_false(mime->flags & MIME_OVER_HEADER && mime->parts->header_end != text.len);
	mime_scan_free(&s);
	/* fields */
	buf_reset(&text);
	add_times(&text, "X: y\r\n", LIMIT_MIME_FIELDS - 1);
	buf_add_str(&text, "Content-Type: text/html\r\nContent-Disposition: inline\r\n\r\n");
	mime = scan_once(&text, &s);
	assert_int_equal(mime->flags, MIME_OVER_HEADER);
	assert_true(mime_part_is(mime->parts, "text", "html"));
	assert_int_equal(mime->parts->disposition.len, 0);
	assert_int_equal(mime->parts->header_end, text.len);
	mime_scan_free(&s);
	/* one field */
	buf_reset(&text);
	buf_add_str(&text, "Content-Type: text/html; x=");
	add_times(&text, "0123456789", LIMIT_MIME_FIELD_BYTES / 10);
	buf_add_str(&text, "; name=y.exe\r\n\r\n");
	mime = scan_once(&text, &s);
	assert_int_equal(mime->flags, MIME_OVER_HEADER);
	assert_true(mime_part_is(mime->parts, "text", "html"));
	mime_scan_free(&s);
	buf_clear(&text);
}

static void test_param_limits(void **state)
{
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;

	(void)state;
	buf_init(&text, 8 << 20);
	buf_add_str(&text, "Content-Type: text/html");
	for (unsigned i = 0; text.len < LIMIT_MIME_FIELD_BYTES - 100; i++)
		buf_printf(&text, "; name*%u*=%%41", i);
	buf_add_str(&text, "\r\n\r\n");
	mime = scan_once(&text, &s);
	assert_int_equal(mime->flags, MIME_OVER_PARAMS);
	assert_int_equal(mime->parts->names->text.len, LIMIT_MIME_PARAMS);
	mime_scan_free(&s);
	buf_reset(&text);
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&text, "Content-Disposition: x; filename=%u.exe\r\n", i);
	buf_add_str(&text, "\r\n");
	mime = scan_once(&text, &s);
	assert_int_equal(mime->flags, MIME_OVER_PARAMS);
	assert_int_equal(mime->parts->name_count, LIMIT_MIME_NAMES);
	mime_scan_free(&s);
	buf_clear(&text);
}

/* only the first 70 bytes of a boundary count, and four boundaries */
static void test_boundary_limits(void **state)
{
	static const char long_one[] = "0123456789012345678901234567890123456789012345678901234567890123456789tail";
	struct buf text;
	struct mime_scan *s;
	const struct mime *mime;

	(void)state;
	buf_init(&text, 4096);
	buf_printf(&text, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n\r\nx\r\n--%s\r\n\r\ny\r\n", long_one, long_one, long_one);
	mime = scan(buf_span(&text), 0, &s);
	assert_int_equal(mime->part_count, 3);
	assert_true(mime->parts->flags & MIME_OVER_BOUNDARY);
	mime_scan_free(&s);
	buf_reset(&text);
	buf_add_str(&text, "Content-Type: multipart/mixed; boundary=a; boundary=b; boundary=c; boundary=d; boundary=e\r\n\r\n--d\r\n\r\n--e\r\n\r\n");
	mime = scan(buf_span(&text), 0, &s);
	assert_int_equal(mime->part_count, 2);
	assert_true(mime->parts->flags & MIME_OVER_BOUNDARY);
	mime_scan_free(&s);
	buf_clear(&text);
}

int test_mime(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_bare_lf),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_files_in_text),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_many_parts),
		cmocka_unit_test(test_tree_memory),
		cmocka_unit_test(test_header_limits),
		cmocka_unit_test(test_param_limits),
		cmocka_unit_test(test_boundary_limits),
	};

	return cmocka_run_group_tests_name("mime", tests, NULL, NULL);
}
