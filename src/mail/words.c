#include "mail/words.h"

enum { CHARSET_MAX_BYTES = 60 };

/* an encoded word, RFC 2047 2, as loosely as mail programs read it */
struct word {
	struct span charset; /* without the language of RFC 2231 5 */
	bool base64;
	struct span text;
	size_t bytes;        /* all of it */
};

static bool byte_is_fws(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

void words_unfold(struct buf *out, struct span value)
{
	size_t begin = 0;

	while (value.len > 0 && byte_is_fws(value.ptr[0]))
		value = span_from(value, 1);
	while (value.len > 0 && byte_is_fws(value.ptr[value.len - 1]))
		value.len--;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] != '\r' && value.ptr[i] != '\n')
			continue;
		buf_add(out, span_of(value.ptr + begin, i - begin));
		begin = i + 1;
	}
	buf_add(out, span_from(value, begin));
}

/* *end: a place before which no "?=" begins that was not passed already; so a value full of beginnings stays linear */
static bool word_read(struct span text, size_t at, size_t *end, struct word *out)
{
	struct span s = span_from(text, at), charset;
	size_t n = 2, begin;

	if (!span_starts(s, SPAN_LIT("=?")))
		return false;
	while (n < s.len && n < CHARSET_MAX_BYTES && s.ptr[n] != '?' && s.ptr[n] > ' ')
		n++;
	if (n + 2 >= s.len || n == 2 || s.ptr[n] != '?' || s.ptr[n + 2] != '?' || !strchr("bBqQ", s.ptr[n + 1]) || !s.ptr[n + 1])
		return false;
	charset = span_of(s.ptr + 2, n - 2);
	begin = at + n + 3;
	if (*end < begin)
		*end = begin + span_find_span(span_from(text, begin), SPAN_LIT("?="));
	if (*end >= text.len)
		return false;
	*out = (struct word){.charset = span_head(charset, span_find(charset, '*')), .base64 = byte_lower(s.ptr[n + 1]) == 'b'};
	out->text = span_of(text.ptr + begin, *end - begin);
	out->bytes = *end + 2 - at;
	return true;
}

static void decode_q(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '=' && i + 2 < s.len && words_hex_value(s.ptr[i + 1]) >= 0 && words_hex_value(s.ptr[i + 2]) >= 0) {
			buf_add_byte(out, (uint8_t)(words_hex_value(s.ptr[i + 1]) << 4 | words_hex_value(s.ptr[i + 2])));
			i += 2;
		} else {
			buf_add_byte(out, s.ptr[i] == '_' ? ' ' : s.ptr[i]);
		}
	}
}

static void decode_b(struct buf *out, struct span s)
{
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < s.len; i++) {
		int v = words_base64_value(s.ptr[i]);

		if (s.ptr[i] == '=')
			count = 0;
		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		count += 6;
		if (count >= 8) {
			count -= 8;
			buf_add_byte(out, (uint8_t)(bits >> count));
		}
	}
}

/* words of one charset in a row are converted together: a character may be cut between them */
static unsigned words_flush(struct buf *out, struct span charset, struct buf *pending)
{
	unsigned flags = pending->len > 0 ? words_to_utf8(out, charset, buf_span(pending)) : 0;

	buf_reset(pending);
	return flags;
}

static unsigned words_decode_unfolded(struct buf *out, struct span text)
{
	struct span charset = SPAN_NONE;
	struct buf pending;
	struct word w;
	unsigned flags = 0;
	size_t plain = 0, at = 0, end = 0; /* plain: where text begins that is not written yet */

	buf_init(&pending, text.len);
	while (at < text.len) {
		struct span between;

		at += span_find_span(span_from(text, at), SPAN_LIT("=?"));
		if (at >= text.len || !word_read(text, at, &end, &w)) {
			at += at < text.len ? 2 : 0;
			continue;
		}
		between = span_of(text.ptr + plain, at - plain);
		if (!(flags & WORDS_ENCODED) || span_trim(between).len > 0 || plain == 0) {
			flags |= words_flush(out, charset, &pending) | words_to_utf8(out, SPAN_NONE, between);
		} else if (!span_eq_nocase(charset, w.charset)) {
			flags |= words_flush(out, charset, &pending);
		}
		charset = w.charset;
		if (w.base64)
			decode_b(&pending, w.text);
		else
			decode_q(&pending, w.text);
		flags |= WORDS_ENCODED;
		at += w.bytes;
		plain = at;
	}
	flags |= words_flush(out, charset, &pending) | words_to_utf8(out, SPAN_NONE, span_from(text, plain));
	buf_clear(&pending);
	return flags;
}

unsigned words_decode(struct buf *out, struct span value)
{
	struct buf text;
	unsigned flags;

	buf_init(&text, value.len);
	words_unfold(&text, value);
	flags = words_decode_unfolded(out, buf_span(&text));
	buf_clear(&text);
	return flags;
}

void words_strip_comments(struct buf *out, struct span value)
{
	size_t depth = 0, open = 0; /* where the outermost comment at hand begins */
	bool quoted = false;

	for (size_t i = 0; i < value.len; i++) {
		uint8_t b = value.ptr[i];

		if (b == '\\' && (quoted || depth) && i + 1 < value.len) {
			if (!depth)
				buf_add(out, span_of(value.ptr + i, 2));
			i++;
			continue;
		}
		if (depth == 0 && b == '"')
			quoted = !quoted;
		if (!quoted && b == '(' && depth++ == 0)
			open = i;
		if (depth == 0)
			buf_add_byte(out, b);
		if (!quoted && b == ')' && depth > 0)
			depth--;
	}
	if (depth > 0) /* never closed: no comment */
		buf_add(out, span_from(value, open));
}
