#include "base/span.h"

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (byte_lower(a.ptr[i]) != byte_lower(b.ptr[i]))
			return false;
	return true;
}

bool span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_eq(span_head(s, prefix.len), prefix);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_eq_nocase(span_head(s, prefix.len), prefix);
}

size_t span_find(struct span s, uint8_t byte)
{
	const uint8_t *at = s.len ? memchr(s.ptr, byte, s.len) : NULL;

	return at ? (size_t)(at - s.ptr) : s.len;
}

size_t span_find_span(struct span s, struct span needle)
{
	const uint8_t *at = s.len && needle.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;

	return at ? (size_t)(at - s.ptr) : s.len;
}

struct span span_trim(struct span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_from(s, 1);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct span span_cut(struct span *rest, uint8_t byte)
{
	size_t at = span_find(*rest, byte);
	struct span part = span_head(*rest, at);

	if (at == rest->len)
		*rest = SPAN_NONE;
	else
		*rest = span_of(rest->ptr + at + 1, rest->len - at - 1);
	return part;
}

bool span_is_vchar(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e)
			return false;
	return true;
}

bool span_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 0x80)
			return false;
	return true;
}

/* how many continuation bytes follow lead byte c, and the least code point that needs them; -1: no lead byte */
static int utf8_tail(uint8_t c, uint32_t *least_out, uint32_t *bits_out)
{
	if (c < 0x80) {
		*least_out = 0;
		*bits_out = c;
		return 0;
	}
	if ((c & 0xe0) == 0xc0) {
		*least_out = 0x80;
		*bits_out = c & 0x1fu;
		return 1;
	}
	if ((c & 0xf0) == 0xe0) {
		*least_out = 0x800;
		*bits_out = c & 0x0fu;
		return 2;
	}
	if ((c & 0xf8) == 0xf0) {
		*least_out = 0x10000;
		*bits_out = c & 0x07u;
		return 3;
	}
	return -1;
}

bool span_is_utf8(struct span s)
{
	for (size_t i = 0; i < s.len;) {
		uint32_t least, point;
		int tail = utf8_tail(s.ptr[i++], &least, &point);

		if (tail < 0 || (size_t)tail > s.len - i)
			return false;
		for (; tail > 0; tail--, i++) {
			if ((s.ptr[i] & 0xc0) != 0x80)
				return false;
			point = point << 6 | (s.ptr[i] & 0x3fu);
		}
		if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return false;
	}
	return true;
}
