/* The header fields of a part, one by one. Where a field begins and ends is what mime_scan.c found too. */
#include "mail/mime_internal.h"

static size_t memory_read_at(void *arg, uint64_t offset, uint8_t *to, size_t max)
{
	const struct span *text = arg;
	struct span s = span_head(offset < text->len ? span_from(*text, (size_t)offset) : SPAN_NONE, max);

	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	return s.len;
}

struct mime_source mime_source_memory(const struct span *text)
{
	return (struct mime_source){.read_at = memory_read_at, .arg = (void *)(uintptr_t)text, .bytes = text->len};
}

bool mime_line_is_field(struct span line, size_t *name_len_out, size_t *colon_out)
{
	size_t n = 0, at;

	while (n < line.len && n < LIMIT_HEADER_FIELD_BYTES && line.ptr[n] > ' ' && line.ptr[n] < 0x7f && line.ptr[n] != ':')
		n++;
	for (at = n; at < line.len && at < LIMIT_HEADER_FIELD_BYTES && (line.ptr[at] == ' ' || line.ptr[at] == '\t');)
		at++; /* RFC 5322 4.5, obsolete but seen */
	if (n == 0 || at >= line.len || line.ptr[at] != ':')
		return false;
	*name_len_out = n;
	*colon_out = at;
	return true;
}

void mime_fields_init(struct mime_fields *fields, struct span block, uint64_t at, unsigned flags)
{
	*fields = (struct mime_fields){.block = block, .block_at = at, .flags = flags};
}

enum rc mime_fields_read(const struct mime_source *source, const struct mime_part *part, struct arena *mem, struct mime_fields *out)
{
	uint64_t bytes = part->header_end - part->header_begin;
	size_t want = bytes < LIMIT_MIME_HEADER_BYTES ? (size_t)bytes : LIMIT_MIME_HEADER_BYTES, have = 0;
	uint8_t *to = arena_alloc(mem, want ? want : 1);

	if (!to)
		return RC_LIMIT;
	while (have < want) {
		size_t n = source->read_at(source->arg, part->header_begin + have, to + have, want - have);

		if (n == 0)
			return RC_IO;
		have += n;
	}
	mime_fields_init(out, span_of(to, want), part->header_begin, part->lf ? MIME_LF : 0);
	return RC_OK;
}

/* the line at the start of s with its line end */
static struct span line_of(struct span s, bool lf)
{
	size_t at = 0;

	for (;;) {
		at += span_find(span_from(s, at), '\n');
		if (at >= s.len)
			return s;
		if (lf || (at > 0 && s.ptr[at - 1] == '\r'))
			return span_head(s, at + 1);
		at++;
	}
}

bool mime_fields_next(struct mime_fields *f, struct mime_field *out)
{
	bool lf = f->flags & MIME_LF;
	struct span rest = span_from(f->block, f->at), line = line_of(rest, lf), value;
	size_t name_len, colon, len = line.len, at;

	if (f->count >= LIMIT_MIME_FIELDS || !mime_line_is_field(line, &name_len, &colon))
		return false;
	while (len < rest.len && (rest.ptr[len] == ' ' || rest.ptr[len] == '\t'))
		len += line_of(span_from(rest, len), lf).len;
	at = f->at;
	value = span_of(rest.ptr + colon + 1, len - colon - 1);
	if (value.len > 0 && value.ptr[value.len - 1] == '\n') {
		bool crlf = value.len > 1 && value.ptr[value.len - 2] == '\r';

		value.len -= crlf ? 2 : lf ? 1 : 0;
	}
	f->at += len;
	f->count++;
	*out = (struct mime_field){.name = span_head(rest, name_len), .value = span_head(value, LIMIT_MIME_FIELD_BYTES),
		.name_at = f->block_at + at, .value_at = f->block_at + at + colon + 1};
	return true;
}
