#include "test_mail.h"

#include "mail/mime_reader.h"

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

static const struct {
	enum mime_encoding encoding;
	struct span encoded, decoded;
	bool odd;
} cases[] = {
	{MIME_IDENTITY, S(""), S(""), false},
	{MIME_IDENTITY, S("a\0b\r\n"), S("a\0b\r\n"), false},
	{MIME_UNKNOWN, S("=41"), S("=41"), false},
	/* base64 */
	{MIME_BASE64, S(""), S(""), false},
	{MIME_BASE64, S("TQ=="), S("M"), false},
	{MIME_BASE64, S("TWE="), S("Ma"), false},
	{MIME_BASE64, S("TWFu"), S("Man"), false},
	{MIME_BASE64, S("TW\r\nFu\r\n"), S("Man"), false},
	{MIME_BASE64, S("TQ"), S("M"), false},
	{MIME_BASE64, S("TWE"), S("Ma"), false},
	{MIME_BASE64, S("T"), S(""), false},
	{MIME_BASE64, S("T*W!F-u"), S("Man"), true},
	{MIME_BASE64, S("TQ==TWE=TWFu"), S("MMaMan"), false},
	{MIME_BASE64, S("+/+/"), S("\xfb\xff\xbf"), false},
	{MIME_BASE64, S("=TWFu"), S("Man"), false},
	/* quoted-printable */
	{MIME_QUOTED_PRINTABLE, S("a=3Db"), S("a=b"), false},
	{MIME_QUOTED_PRINTABLE, S("a=3db"), S("a=b"), false},
	{MIME_QUOTED_PRINTABLE, S("a=\r\nb"), S("ab"), false},
	{MIME_QUOTED_PRINTABLE, S("a=\nb"), S("ab"), false},
	{MIME_QUOTED_PRINTABLE, S("a= \t\r\nb"), S("ab"), false},
	{MIME_QUOTED_PRINTABLE, S("a  \r\nb \t\r\n"), S("a\r\nb\r\n"), false},
	{MIME_QUOTED_PRINTABLE, S("a  \nb"), S("a\nb"), false},
	{MIME_QUOTED_PRINTABLE, S("a  b "), S("a  b"), false},
	{MIME_QUOTED_PRINTABLE, S("a=20\r\n"), S("a \r\n"), false},
	{MIME_QUOTED_PRINTABLE, S("a=ZZ"), S("a=ZZ"), true},
	{MIME_QUOTED_PRINTABLE, S("a=4"), S("a=4"), false},
	{MIME_QUOTED_PRINTABLE, S("a=4x"), S("a=4x"), true},
	{MIME_QUOTED_PRINTABLE, S("a=="), S("a="), true},
	{MIME_QUOTED_PRINTABLE, S("a= b"), S("a= b"), true},
	{MIME_QUOTED_PRINTABLE, S("a="), S("a"), false},
	{MIME_QUOTED_PRINTABLE, S("a\rb\r"), S("a\rb\r"), false},
	{MIME_QUOTED_PRINTABLE, S("a=\rb"), S("ab"), false},
	{MIME_QUOTED_PRINTABLE, S("a\r\r\nb"), S("a\r\r\nb"), false},
	{MIME_QUOTED_PRINTABLE, S("a                                                                                                    b"),
		S("a                                                                                                    b"), false},
	/* uuencode */
	{MIME_UUENCODE, S("begin 644 x\r\n#0V%T\r\n`\r\nend\r\n"), S("Cat"), false},
	{MIME_UUENCODE, S("begin 644 x\n#0V%T\n#0V%T\n \nend\n#0V%T\n"), S("CatCat"), false},
	{MIME_UUENCODE, S("text\r\nbeg\r\n begin\r\nbegin 644 x\r\n$0V%T0P``\r\n`\r\nend\r\n"), S("CatC"), false},
	{MIME_UUENCODE, S("begin 644 x\r\n#0V%T\r\nend\r\n"), S("Cat"), false},
	{MIME_UUENCODE, S("no file\r\n"), S(""), false},
};

static size_t read_all(struct mime_reader *r, uint8_t *to, size_t max, size_t step)
{
	size_t len = 0, n;

	while ((n = mime_reader_read(r, to + len, step < max - len ? step : max - len)) > 0)
		len += n;
	return len;
}

static void test_decoders(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mime_source source = mime_source_memory(&cases[i].encoded);

		for (size_t step = 1; step < 200; step += 66) {
			struct mime_reader r;
			uint8_t out[200];
			size_t len;

			mime_reader_init_range(&r, &source, 0, source.bytes, cases[i].encoding);
			len = read_all(&r, out, sizeof(out), step);
			test_span_eq(span_of(out, len), cases[i].decoded, (const char *)cases[i].encoded.ptr);
			assert_int_equal(r.oddities, cases[i].odd);
			assert_false(r.cut);
			assert_int_equal(mime_reader_bytes(&r), len);
			for (size_t at = 0; at <= len; at++) {
				assert_int_equal(mime_reader_seek(&r, at), at);
				assert_int_equal(read_all(&r, out, sizeof(out), step), len - at);
				test_span_eq(span_of(out, len - at), span_from(cases[i].decoded, at), "from there");
			}
			mime_reader_clear(&r);
		}
	}
}

/* a source that gives a few bytes at a time, and stops before it should */
struct drip {
	struct span text;
	size_t step, end;
};

static size_t drip_read_at(void *arg, uint64_t offset, uint8_t *to, size_t max)
{
	struct drip *d = arg;
	struct span s = offset < d->end ? span_of(d->text.ptr + offset, d->end - (size_t)offset) : SPAN_NONE;

	s = span_head(span_head(s, d->step), max);
	if (s.len)
		memcpy(to, s.ptr, s.len);
	return s.len;
}

static void test_source(void **state)
{
	struct span text = SPAN_LIT("xxTWFuTWFuTWFuyy");

	(void)state;
	for (size_t step = 1; step < 5; step++) {
		struct drip drip = {text, step, text.len};
		struct mime_source source = {drip_read_at, &drip, text.len};
		struct mime_reader r;
		uint8_t out[20];

		mime_reader_init_range(&r, &source, 2, 14, MIME_BASE64);
		test_span_eq(span_of(out, read_all(&r, out, sizeof(out), 20)), SPAN_LIT("ManManMan"), "whole");
		assert_false(r.cut);
		mime_reader_clear(&r);
		drip.end = 8;
		mime_reader_init_range(&r, &source, 2, 14, MIME_BASE64);
		test_span_eq(span_of(out, read_all(&r, out, sizeof(out), 20)), SPAN_LIT("ManM"), "cut");
		assert_true(r.cut);
		mime_reader_clear(&r);
	}
}

/* Much data, jumps to and fro: always the right byte. The decoded bytes are a counter of 4 bytes. */
static void test_jumps(void **state)
{
	static const enum mime_encoding encodings[] = {MIME_IDENTITY, MIME_BASE64, MIME_QUOTED_PRINTABLE};
	enum { NUMBERS = 700000 };
	struct buf plain, text;

	(void)state;
	buf_init(&plain, NUMBERS * 4);
	buf_init(&text, NUMBERS * 13);
	for (uint32_t i = 0; i < NUMBERS; i++)
		buf_add_le32(&plain, i);
	for (size_t e = 0; e < sizeof(encodings) / sizeof(encodings[0]); e++) {
		static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", hex[] = "0123456789ABCDEF";
		struct mime_source source;
		struct mime_reader r;
		struct span encoded;
		uint64_t at = 0;

		buf_reset(&text);
		for (size_t i = 0; encodings[e] == MIME_BASE64 && i + 2 < plain.len; i += 3) {
			uint32_t n = (uint32_t)plain.ptr[i] << 16 | (uint32_t)plain.ptr[i + 1] << 8 | plain.ptr[i + 2];

			for (int shift = 18; shift >= 0; shift -= 6)
				buf_add_byte(&text, (uint8_t)digits[n >> shift & 63]);
		}
		for (size_t i = 0; encodings[e] == MIME_QUOTED_PRINTABLE && i < plain.len; i++) {
			buf_add_byte(&text, '=');
			buf_add_byte(&text, (uint8_t)hex[plain.ptr[i] >> 4]);
			buf_add_byte(&text, (uint8_t)hex[plain.ptr[i] & 15]);
			if (i % 25 == 24)
				buf_add_str(&text, "=\r\n");
		}
		encoded = encodings[e] == MIME_IDENTITY ? buf_span(&plain) : buf_span(&text);
		source = mime_source_memory(&encoded);
		mime_reader_init_range(&r, &source, 0, source.bytes, encodings[e]);
		for (unsigned i = 0; i < 300; i++) {
			uint8_t four[4];
			uint32_t n;

			at = (at * 2862933555777941757u + 3037000493u) >> 8;
			at = at % (NUMBERS - 1) * 4;
			assert_int_equal(mime_reader_seek(&r, at), at);
			assert_int_equal(read_all(&r, four, 4, 4), 4);
			n = four[0] | (uint32_t)four[1] << 8 | (uint32_t)four[2] << 16 | (uint32_t)four[3] << 24;
			assert_int_equal(n, at / 4);
		}
		assert_true(mime_reader_bytes(&r) >= NUMBERS * 4 - 2);
		assert_int_equal(mime_reader_seek(&r, UINT64_MAX), mime_reader_bytes(&r));
		mime_reader_clear(&r);
	}
	buf_clear(&plain);
	buf_clear(&text);
}

int test_mime_reader(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoders),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_jumps),
	};

	return cmocka_run_group_tests_name("mime reader", tests, NULL, NULL);
}
