#include "mail/header_field.h"

#include "base/limits.h"

/* length of the line with its CRLF; all of it where there is none */
static size_t field_line(struct span s)
{
	size_t crlf = span_find_span(s, SPAN_LIT("\r\n"));

	return crlf < s.len ? crlf + 2 : s.len;
}

/* where the name ends; 0: the line is no field */
static size_t field_name(struct span line, size_t *colon_out)
{
	size_t name = 0, at;

	while (name < line.len && line.ptr[name] > ' ' && line.ptr[name] < 0x7f && line.ptr[name] != ':')
		name++;
	for (at = name; at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t'); at++)
		continue;
	*colon_out = at;
	return at < line.len && line.ptr[at] == ':' ? name : 0;
}

bool header_field_next(struct span *rest, struct header_field *out)
{
	struct span in = *rest, line = span_head(in, field_line(in));
	size_t colon, name = field_name(line, &colon), end = line.len;

	if (name == 0)
		return false;
	while (end < in.len && (in.ptr[end] == ' ' || in.ptr[end] == '\t'))
		end += field_line(span_from(in, end));
	out->name = span_head(in, name);
	out->blank = colon > name;
	out->value = span_of(in.ptr + colon + 1, end - colon - 1);
	if (out->value.len >= 2 && out->value.ptr[out->value.len - 2] == '\r' && out->value.ptr[out->value.len - 1] == '\n')
		out->value.len -= 2;
	*rest = span_of(in.ptr + end, in.len - end);
	return true;
}

bool header_field_is(const struct header_field *f, const char *name)
{
	return span_eq_nocase(f->name, span_str(name));
}

/* One star is retried at a time: what an earlier one took never needs to change (the rest of the pattern matches at its first place or not at all). */
static bool field_like(struct span text, struct span pattern)
{
	size_t t = 0, p = 0, star = pattern.len, from = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			from = t;
		} else if (p < pattern.len && (pattern.ptr[p] == '?' || byte_lower(pattern.ptr[p]) == byte_lower(text.ptr[t]))) {
			p++;
			t++;
		} else if (star < pattern.len) {
			p = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

bool header_value_like(struct span value, struct span pattern)
{
	uint8_t text[LIMIT_HEADER_FIELD_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < value.len && n < sizeof(text); i++)
		if (value.ptr[i] != '\r' && value.ptr[i] != '\n' && (n > 0 || (value.ptr[i] != ' ' && value.ptr[i] != '\t')))
			text[n++] = value.ptr[i];
	return field_like(span_trim(span_of(text, n)), span_trim(pattern));
}

bool header_is_plain(struct span head)
{
	bool cr = false;

	for (size_t i = 0; i < head.len; i++) {
		if (head.ptr[i] == '\0' || cr != (head.ptr[i] == '\n'))
			return false;
		cr = head.ptr[i] == '\r';
	}
	return !cr;
}

bool header_has_end(struct span head)
{
	return span_eq(head, SPAN_LIT("\r\n")) || (head.len >= 4 && memcmp(head.ptr + head.len - 4, "\r\n\r\n", 4) == 0);
}
