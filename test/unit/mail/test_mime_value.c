#include "test_mail.h"

#include "base/limits.h"
#include "mail/mime.h"

static const struct {
	const char *value;
	const char *word;
	const char *params; /* name=value| ... */
	const char *names;  /* every candidate, text| ... */
} values[] = {
	{"attachment; filename=x.exe", "attachment", "filename=x.exe|", "x.exe|"},
	{" Attachment ;FileName = x.exe ; ", "attachment", "filename=x.exe|", "x.exe|"},
	{"attachment; filename=\"a b.exe\"; size=5", "attachment", "filename=a b.exe|size=5|", "a b.exe|"},
	{"attachment;\r\n\tfilename=\"a\r\n b.exe\"", "attachment", "filename=a b.exe|", "a b.exe|"},
	{"", "", "", ""},
	{";;;", "", "", ""},
	{"x; filename", "x", "", ""},
	{"x; =y", "x", "", ""},
	{"x; filename=", "x", "filename=|", ""},
	{"text/plain; name=x.exe", "text/plain", "name=x.exe|", "x.exe|"},
	{"text / plain ; charset = utf-8", "text/plain", "charset=utf-8|", ""},
	{"text/plain (c; name=no) ; name=x", "text/plain", "name=x|", "x|"},
	{"text/plain name=x.exe", "text/plain", "name=x.exe|", "x.exe|"},
	/* where readers differ, both */
	{"x; filename=a b.exe", "x", "filename=a|", "a|a b.exe|"},
	{"x; filename=\"a.txt\"b.exe", "x", "filename=a.txt|", "a.txt|a.txtb.exe|"},
	{"x; filename=\"a.txt\" filename=b.exe", "x", "filename=a.txt|", "a.txt|a.txt filename=b.exe|"},
	{"x; filename=a.exe (really.txt)", "x", "filename=a.exe|", "a.exe|a.exe (really.txt)|"},
	{"x; filename=(c)a.exe", "x", "filename=a.exe|", "a.exe|(c)a.exe|"},
	{"x; filename=\"a\\\"b.exe\"", "x", "filename=a\"b.exe|", "a\"b.exe|a\\b.exe|"},
	{"x; filename=\"..\\x.exe\"", "x", "filename=..x.exe|", "..x.exe|..\\x.exe|"},
	{"x; filename=\"a;b.exe\"", "x", "filename=a;b.exe|", "a;b.exe|"},
	{"x; filename=\"a.exe", "x", "filename=a.exe|", "a.exe|"},
	{"x; filename=\"a; filename=b.exe", "x", "filename=a; filename=b.exe|", "a; filename=b.exe|"},
	{"x (; filename=a.exe", "x", "filename=a.exe|", "a.exe|"},
	{"x; foo filename=a.exe", "x", "filename=a.exe|", "a.exe|"},
	/* doubled */
	{"x; filename=a.txt; filename=b.exe", "x", "filename=a.txt|filename=b.exe|", "a.txt|b.exe|"},
	{"x; filename=a.txt; name=b.exe", "x", "filename=a.txt|name=b.exe|", "a.txt|b.exe|"},
	{"x; filename=a.txt; filename=a.txt", "x", "filename=a.txt|filename=a.txt|", "a.txt|"},
	/* RFC 2047 */
	{"x; filename=\"=?utf-8?Q?=C3=A9.exe?=\"", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|=?utf-8?Q?=C3=A9.exe?=|"},
	{"x; filename==?iso-8859-1?B?6S5leGU=?=", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|=?iso-8859-1?B?6S5leGU=?=|"},
	{"x; filename=\"=?utf-8?Q?a?= =?utf-8?Q?.exe?=\"", "x", "filename=a.exe|", "a.exe|=?utf-8?Q?a?= =?utf-8?Q?.exe?=|"},
	{"x; filename=\"=?utf-8?Q?a?=.exe\"", "x", "filename=a.exe|", "a.exe|=?utf-8?Q?a?=.exe|"},
	/* RFC 2231 */
	{"x; filename*=utf-8''%C3%A9.exe", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|"},
	{"x; filename*=iso-8859-1'en'%E9.exe", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|"},
	{"x; filename*=a%20b.exe", "x", "filename=a b.exe|", "a b.exe|"},
	{"x; filename*=''a.exe", "x", "filename=a.exe|", "a.exe|"},
	{"x; filename*0=\"a.\"; filename*1=exe", "x", "filename=a.exe|", "a.exe|"},
	{"x; filename*1=exe; filename*0=\"a.\"", "x", "filename=a.exe|", "a.exe|"},
	{"x; FILENAME*0*=utf-8''%61; filename*1*=%2E; filename*2=exe", "x", "filename=a.exe|", "a.exe|"},
	{"x; filename*0*=utf-8'x'it's; filename*1*='s.exe", "x", "filename=it's's.exe|", "it's's.exe|"},
	{"x; filename*0*=utf-8''%C3; filename*1*=%A9.exe", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|"},
	{"x; filename=a.txt; filename*=utf-8''b.exe", "x", "filename=a.txt|filename=b.exe|", "a.txt|b.exe|"},
	/* CVE-2024-39929 and its kin: gaps, doubled numbers */
	{"x; filename*0=a.t; filename*1=xt; filename*3=.exe", "x", "filename=a.txt|", "a.txt|a.txt.exe|"},
	{"x; filename*0=a.; filename*1=txt; filename*1=exe", "x", "filename=a.txt|", "a.txt|a.exe|a.txtexe|"},
	{"x; filename*1=a.exe", "x", "filename=|", "a.exe|"},
	{"x; filename*01=exe; filename*00=\"a.\"", "x", "filename=a.exe|", "a.exe|"},
	/* percent signs where they mean nothing, NUL, streams, paths */
	{"x; filename=a%2eexe", "x", "filename=a%2eexe|", "a%2eexe|a.exe|"},
	{"x; filename=100%.doc", "x", "filename=100%.doc|", "100%.doc|"},
	{"x; filename*=utf-8''a.exe%00.txt", "x", "filename=a.exe|", "a.exe|"},
	{"x; filename=a.exe:b.txt", "x", "filename=a.exe:b.txt|", "a.exe:b.txt|a.exe|"},
	{"x; filename=c:/d/a.exe", "x", "filename=c:/d/a.exe|", "c:/d/a.exe|"},
	/* raw bytes */
	{"x; filename=\xc3\xa9.exe", "x", "filename=\xc3\xa9.exe|", "\xc3\xa9.exe|"},
	{"x; filename=\xe9.exe", "x", "filename=\xef\xbf\xbd.exe|", "\xef\xbf\xbd.exe|"},
};

/* up to a NUL, which a candidate may hold */
static void add_shown(struct buf *out, struct span s)
{
	buf_add(out, span_head(s, span_find(s, '\0')));
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct mime_value v;
		struct buf params, names;
		struct arena mem;

		arena_init(&mem, 65536);
		buf_init(&params, 4096);
		buf_init(&names, 4096);
		assert_true(mime_value_parse(span_str(values[i].value), MIME_FROM_DISPOSITION, &mem, &v));
		for (const struct mime_param *p = v.params; p; p = p->next) {
			buf_add(&params, p->name);
			buf_add_byte(&params, '=');
			add_shown(&params, p->value);
			buf_add_byte(&params, '|');
		}
		for (const struct mime_name *n = v.names; n; n = n->next) {
			if (span_find(n->text, '\0') < n->text.len)
				continue; /* the form up to the NUL follows */
			buf_add(&names, n->text);
			buf_add_byte(&names, '|');
		}
		test_span_eq(v.word, span_str(values[i].word), values[i].value);
		test_span_eq(buf_span(&params), span_str(values[i].params), values[i].value);
		test_span_eq(buf_span(&names), span_str(values[i].names), values[i].value);
		buf_clear(&params);
		buf_clear(&names);
		arena_clear(&mem);
	}
}

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

static void test_keys(void **state)
{
	static const struct {
		struct span text, key;
	} keys[] = {
		{S("X.EXE"), S("x.exe")},
		{S("x.exe."), S("x.exe")},
		{S("x.exe . ."), S("x.exe")},
		{S("x.exe\0"), S("x.exe")},
		{S("x\0.exe"), S("x.exe")},
		{S("x.\r\n\texe"), S("x.exe")},
		{S("..\\..\\x.exe"), S("x.exe")},
		{S("/etc/x.exe"), S("x.exe")},
		{S("dir/x.exe/"), S("x.exe")},
		{S("  x.exe  "), S("x.exe")},
		{S("\"x.exe\""), S("\"x.exe")},
		{S("x.exe'"), S("x.exe")},
		{S("a\xe2\x80\xaetxt.exe"), S("atxt.exe")},       /* right to left override */
		{S("a.e\xe2\x80\x8bxe"), S("a.exe")},             /* zero width space */
		{S("a.exe\xef\xbb\xbf"), S("a.exe")},             /* byte order mark */
		{S("a.exe\xc2\xa0"), S("a.exe")},                 /* no-break space */
		{S("a.exe\xe3\x80\x80"), S("a.exe")},             /* ideographic space */
		{S("caf\xc3\xa9.EXE"), S("caf\xc3\xa9.exe")},
		{S("..."), S("")},
		{S(""), S("")},
		{S("/"), S("")},
		{S(".profile"), S(".profile")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct buf out;

		buf_init(&out, 100);
		mime_name_key(&out, keys[i].text);
		test_span_eq(buf_span(&out), keys[i].key, (const char *)keys[i].text.ptr);
		buf_clear(&out);
	}
}

static void test_nul(void **state)
{
	static const uint8_t value[] = "x; filename=\"a.exe\0.txt\"";
	struct mime_value v;
	struct arena mem;

	(void)state;
	arena_init(&mem, 65536);
	assert_true(mime_value_parse(span_of(value, sizeof(value) - 1), MIME_FROM_TYPE, &mem, &v));
	assert_int_equal(v.name_count, 2);
	assert_int_equal(v.names->text.len, 10);
	test_span_eq(v.names->key, SPAN_LIT("a.exe.txt"), "without the NUL");
	test_span_eq(v.names->next->key, SPAN_LIT("a.exe"), "up to the NUL");
	arena_clear(&mem);
}

static void test_limits(void **state)
{
	struct mime_value v;
	struct arena mem;
	struct buf text;
	unsigned count = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_add_str(&text, "x");
	for (unsigned i = 0; i < LIMIT_MIME_PARAMS; i++)
		buf_printf(&text, "; p%u=v", i);
	arena_init(&mem, 1 << 20);
	assert_true(mime_value_parse(buf_span(&text), MIME_FROM_TYPE, &mem, &v));
	for (const struct mime_param *p = v.params; p; p = p->next)
		count++;
	assert_int_equal(count, LIMIT_MIME_PARAMS);
	assert_int_equal(v.flags, 0);
	buf_add_str(&text, "; name=x.exe");
	assert_true(mime_value_parse(buf_span(&text), MIME_FROM_TYPE, &mem, &v));
	assert_int_equal(v.flags, MIME_OVER_PARAMS);
	assert_int_equal(v.name_count, 0);
	arena_clear(&mem);
	arena_init(&mem, 100);
	assert_false(mime_value_parse(buf_span(&text), MIME_FROM_TYPE, &mem, &v));
	arena_clear(&mem);
	buf_clear(&text);
}

/* openings that never close, over and over: the time is what fails this one */
static void test_unclosed(void **state)
{
	static const char *const openings[] = {"(", "\"(", "=?utf-8?Q?", ";(", "\\", "((\"", "*", "=?a?b?", ";a*0=", "'", "%4"};

	(void)state;
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
		struct mime_value v;
		struct arena mem;
		struct buf text;

		buf_init(&text, 1 << 20);
		arena_init(&mem, 16 << 20);
		buf_add_str(&text, "x; name=");
		while (text.len < LIMIT_MIME_FIELD_BYTES)
			buf_add_str(&text, openings[i]);
		assert_true(mime_value_parse(buf_span(&text), MIME_FROM_TYPE, &mem, &v));
		test_span_eq(v.word, SPAN_LIT("x"), openings[i]);
		arena_clear(&mem);
		buf_clear(&text);
	}
}

int test_mime_value(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_unclosed),
	};

	return cmocka_run_group_tests_name("mime value", tests, NULL, NULL);
}
