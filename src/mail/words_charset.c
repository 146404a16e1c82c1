#include "mail/words.h"

#include "mail/words_tables.h"

enum { CHARSET_NAME_BYTES = 40, REPLACEMENT = 0xfffd };

enum charset_kind { CHARSET_UTF8, CHARSET_ASCII, CHARSET_TABLE, CHARSET_UTF16, CHARSET_UTF16_LE, CHARSET_UTF7, CHARSET_NONE };

void words_add_codepoint(struct buf *out, uint32_t point)
{
	if (point < 0x80) {
		buf_add_byte(out, (uint8_t)point);
	} else if (point < 0x800) {
		buf_add(out, span_of((uint8_t[]){(uint8_t)(0xc0 | point >> 6), (uint8_t)(0x80 | (point & 0x3f))}, 2));
	} else if (point < 0x10000) {
		buf_add(out, span_of((uint8_t[]){(uint8_t)(0xe0 | point >> 12), (uint8_t)(0x80 | (point >> 6 & 0x3f)), (uint8_t)(0x80 | (point & 0x3f))}, 3));
	} else {
		buf_add(out, span_of((uint8_t[]){(uint8_t)(0xf0 | point >> 18), (uint8_t)(0x80 | (point >> 12 & 0x3f)),
					     (uint8_t)(0x80 | (point >> 6 & 0x3f)), (uint8_t)(0x80 | (point & 0x3f))}, 4));
	}
}

static enum charset_kind charset_find(struct span charset, size_t *table_out)
{
	static const struct {
		const char *name;
		enum charset_kind kind;
	} others[] = {
		{"", CHARSET_UTF8}, {"utf8", CHARSET_UTF8}, {"unicode11utf8", CHARSET_UTF8}, {"usascii", CHARSET_ASCII}, {"ascii", CHARSET_ASCII},
		{"ansix3.41968", CHARSET_ASCII}, {"utf16", CHARSET_UTF16}, {"utf16be", CHARSET_UTF16}, {"utf16le", CHARSET_UTF16_LE},
		{"utf7", CHARSET_UTF7}, {"unicode11utf7", CHARSET_UTF7},
	};
	uint8_t bytes[CHARSET_NAME_BYTES];
	struct span name = {bytes, 0};

	for (size_t i = 0; i < charset.len; i++) {
		if (charset.ptr[i] == '-' || charset.ptr[i] == '_')
			continue;
		if (name.len == sizeof(bytes))
			return CHARSET_NONE;
		bytes[name.len++] = byte_lower(charset.ptr[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (span_eq(name, span_str(others[i].name)))
			return others[i].kind;
	for (size_t i = 0; i < sizeof(charset_names) / sizeof(charset_names[0]); i++) {
		if (span_eq(name, span_str(charset_names[i].name))) {
			*table_out = charset_names[i].table;
			return CHARSET_TABLE;
		}
	}
	return CHARSET_NONE;
}

bool words_charset_known(struct span charset)
{
	size_t table;

	return charset_find(charset, &table) != CHARSET_NONE;
}

/* length of the well-formed UTF-8 character at the start, or 0 */
static size_t utf8_len(struct span s)
{
	size_t len = s.ptr[0] < 0x80 ? 1 : s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : 2;

	return len <= s.len && span_is_utf8(span_head(s, len)) ? len : 0;
}

static unsigned add_utf8(struct buf *out, struct span bytes)
{
	unsigned flags = 0;

	if (span_is_utf8(bytes)) {
		buf_add(out, bytes);
		return 0;
	}
	while (bytes.len > 0) {
		size_t len = utf8_len(bytes);

		if (len > 0) {
			buf_add(out, span_head(bytes, len));
		} else {
			words_add_codepoint(out, REPLACEMENT);
			flags = WORDS_LOSSY;
		}
		bytes = span_from(bytes, len ? len : 1);
	}
	return flags;
}

/* table NULL: ASCII only */
static unsigned add_table(struct buf *out, const uint16_t *table, struct span bytes)
{
	unsigned flags = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		uint32_t point = bytes.ptr[i] < 0x80 ? bytes.ptr[i] : table ? table[bytes.ptr[i] - 0x80] : REPLACEMENT;

		if (point == REPLACEMENT)
			flags = WORDS_LOSSY;
		words_add_codepoint(out, point);
	}
	return flags;
}

/* code units one by one; `high` keeps the first half of a pair */
static unsigned add_utf16_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
	unsigned flags = 0;

	if (*high && unit >= 0xdc00 && unit < 0xe000) {
		words_add_codepoint(out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
		*high = 0;
		return 0;
	}
	if (*high) {
		words_add_codepoint(out, REPLACEMENT);
		flags = WORDS_LOSSY;
		*high = 0;
	}
	if (unit >= 0xd800 && unit < 0xdc00) {
		*high = unit;
	} else {
		bool lone = unit >= 0xdc00 && unit < 0xe000;

		words_add_codepoint(out, lone ? REPLACEMENT : unit);
		flags |= lone ? WORDS_LOSSY : 0;
	}
	return flags;
}

/* what is left at the end of a run of code units */
static unsigned end_utf16(struct buf *out, uint32_t high, bool odd)
{
	if (!high && !odd)
		return 0;
	words_add_codepoint(out, REPLACEMENT);
	return WORDS_LOSSY;
}

static unsigned add_utf16(struct buf *out, struct span bytes, bool little)
{
	unsigned flags = 0;
	uint32_t high = 0;
	size_t i = 0;

	if (bytes.len >= 2 && ((bytes.ptr[0] == 0xff && bytes.ptr[1] == 0xfe) || (bytes.ptr[0] == 0xfe && bytes.ptr[1] == 0xff))) {
		little = bytes.ptr[0] == 0xff;
		i = 2;
	}
	for (; i + 1 < bytes.len; i += 2)
		flags |= add_utf16_unit(out, little ? bytes.ptr[i] | (uint32_t)bytes.ptr[i + 1] << 8 : (uint32_t)bytes.ptr[i] << 8 | bytes.ptr[i + 1], &high);
	return flags | end_utf16(out, high, i < bytes.len);
}

/* RFC 2152 */
static unsigned add_utf7(struct buf *out, struct span bytes)
{
	unsigned flags = 0;
	size_t i = 0;

	while (i < bytes.len) {
		uint32_t bits = 0, high = 0;
		unsigned count = 0;
		uint8_t b = bytes.ptr[i++];

		if (b != '+') {
			words_add_codepoint(out, b < 0x80 ? b : REPLACEMENT);
			flags |= b < 0x80 ? 0 : WORDS_LOSSY;
			continue;
		}
		if (i < bytes.len && bytes.ptr[i] == '-') {
			buf_add_byte(out, '+');
			i++;
			continue;
		}
		for (; i < bytes.len && words_base64_value(bytes.ptr[i]) >= 0; i++) {
			bits = bits << 6 | (uint32_t)words_base64_value(bytes.ptr[i]);
			count += 6;
			if (count >= 16) {
				count -= 16;
				flags |= add_utf16_unit(out, bits >> count & 0xffff, &high);
			}
		}
		flags |= end_utf16(out, high, count >= 6);
		if (i < bytes.len && bytes.ptr[i] == '-')
			i++;
	}
	return flags;
}

unsigned words_to_utf8(struct buf *out, struct span charset, struct span bytes)
{
	size_t table = 0;

	switch (charset_find(charset, &table)) {
	case CHARSET_UTF8:
		return add_utf8(out, bytes);
	case CHARSET_ASCII:
		return add_utf8(out, bytes); /* labelled so and not so: then it is UTF-8, or nothing */
	case CHARSET_TABLE:
		return add_table(out, charset_tables[table], bytes);
	case CHARSET_UTF16:
		return add_utf16(out, bytes, false);
	case CHARSET_UTF16_LE:
		return add_utf16(out, bytes, true);
	case CHARSET_UTF7:
		return add_utf7(out, bytes);
	case CHARSET_NONE:
		break;
	}
	return add_table(out, NULL, bytes) | WORDS_CHARSET;
}
