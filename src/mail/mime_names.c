/* The readings of a file name. Filters and mail programs have to see the same name, and mail programs differ: so there are several. */
#include "mail/mime_internal.h"
#include "mail/words.h"

/* the UTF-8 character at the start: its length, and what it is; 1 and the byte where it is none */
static size_t point_at(struct span s, uint32_t *point_out)
{
	size_t len = s.ptr[0] < 0xc0 ? 1 : s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : 2;

	*point_out = s.ptr[0];
	if (len == 1 || len > s.len)
		return 1;
	*point_out = s.ptr[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		*point_out = *point_out << 6 | (s.ptr[i] & 0x3fu);
	return len;
}

/* controls, and what is not seen: soft hyphen, zero width, direction marks and overrides, byte order mark, tags */
static bool point_is_hidden(uint32_t p)
{
	return p < 0x20 || (p >= 0x7f && p < 0xa0) || p == 0xad || p == 0x061c || p == 0x180e || (p >= 0x200b && p <= 0x200f) ||
		(p >= 0x2028 && p <= 0x202e) || (p >= 0x2060 && p <= 0x206f) || p == 0xfeff || (p >= 0xe0000 && p <= 0xe0fff);
}

/* blanks of any width */
static bool point_is_blank(uint32_t p)
{
	return p == ' ' || p == 0xa0 || p == 0x1680 || (p >= 0x2000 && p <= 0x200a) || p == 0x202f || p == 0x205f || p == 0x3000;
}

static struct span name_base(struct span text)
{
	size_t at = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '/' || text.ptr[i] == '\\')
			at = i + 1;
	return span_from(text, at);
}

/* drops what no file system keeps at the end of a name, and a path separator there */
static struct span name_trim(struct span text)
{
	while (text.len > 0 && (text.ptr[text.len - 1] <= ' ' || strchr("./\\\"", text.ptr[text.len - 1])))
		text.len--;
	return text;
}

void mime_name_key(struct buf *out, struct span text)
{
	size_t begin = out->len, end = out->len; /* end: behind the last character that may be the last */
	uint32_t point;

	text = name_base(name_trim(text));
	for (size_t len; text.len > 0; text = span_from(text, len)) {
		len = point_at(text, &point);
		if (point_is_hidden(point) || (point_is_blank(point) && out->len == begin))
			continue;
		if (len == 1)
			buf_add_byte(out, byte_lower(text.ptr[0]));
		else
			buf_add(out, span_head(text, len));
		if (!point_is_blank(point) && point != '.' && point != '"' && point != '\'')
			end = out->len;
	}
	if (!out->overflow)
		out->len = end;
}

static void name_put(struct mime_names *names, enum mime_from from, struct span text)
{
	struct mime_name *n;
	struct buf key;

	if (text.len == 0)
		return;
	for (const struct mime_name *seen = names->first; seen; seen = seen->next)
		if (span_eq(seen->text, text))
			return;
	if (names->count >= LIMIT_MIME_NAMES) {
		names->flags |= MIME_OVER_PARAMS;
		return;
	}
	n = arena_zalloc(names->mem, sizeof(*n));
	if (!n)
		return;
	buf_init(&key, text.len);
	mime_name_key(&key, text);
	n->from = from;
	n->text = arena_copy(names->mem, text);
	n->key = arena_copy(names->mem, buf_span(&key));
	buf_clear(&key);
	*(names->tail ? names->tail : &names->first) = n;
	names->tail = &n->next;
	names->count++;
}

/* as it stands, up to a NUL (where C programs end), and without the stream name of NTFS */
static void name_put_forms(struct mime_names *names, enum mime_from from, struct span text)
{
	struct span base = name_base(text);
	size_t nul = span_find(text, '\0'), colon = span_find(base, ':');

	name_put(names, from, text);
	if (nul < text.len)
		name_put(names, from, span_head(text, nul));
	if (colon > 0 && colon < base.len)
		name_put(names, from, span_head(text, text.len - base.len + colon));
}

bool mime_add_unescaped(struct buf *out, struct span text)
{
	bool any = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '%' && i + 2 < text.len && words_hex_value(text.ptr[i + 1]) >= 0 && words_hex_value(text.ptr[i + 2]) >= 0) {
			buf_add_byte(out, (uint8_t)(words_hex_value(text.ptr[i + 1]) << 4 | words_hex_value(text.ptr[i + 2])));
			i += 2;
			any = true;
		} else {
			buf_add_byte(out, text.ptr[i]);
		}
	}
	return any;
}

void mime_names_add(struct mime_names *names, enum mime_from from, struct span charset, struct span bytes)
{
	struct buf text, other;

	buf_init(&text, bytes.len * 4 + 4);
	buf_init(&other, bytes.len * 4 + 4);
	if (span_find_span(bytes, SPAN_LIT("=?")) < bytes.len) {
		(void)words_decode(&text, bytes);
		name_put_forms(names, from, buf_span(&text));
		buf_reset(&text);
	}
	(void)words_to_utf8(&text, charset, bytes);
	name_put_forms(names, from, buf_span(&text));
	buf_reset(&text);
	if (mime_add_unescaped(&other, bytes)) {
		(void)words_to_utf8(&text, charset, buf_span(&other));
		name_put_forms(names, from, buf_span(&text));
	}
	buf_clear(&text);
	buf_clear(&other);
}
