/* Lines, delimiters and header fields of a message. A line that begins with "--" is looked up among the boundaries of the open multiparts
 * by the hash of each of its beginnings, so a byte costs the same at any depth. */
#include "mail/mime_internal.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

enum { FEED_BYTES = 16384 };

struct mime_scan *mime_scan_new(unsigned flags)
{
	struct mime_scan *s = mem_zalloc(sizeof(*s));

	arena_init(&s->mem, LIMIT_MIME_TREE_BYTES);
	buf_init(&s->value, LIMIT_MIME_FIELD_BYTES);
	s->lf = flags & MIME_LF;
	s->secret = map_hash("boundary", 8) | 1;
	mime_part_begin(s, NULL, 0, 0);
	s->root = s->part;
	s->tree.parts = s->root;
	return s;
}

void mime_scan_free(struct mime_scan **scan)
{
	if (!scan || !*scan)
		return;
	arena_clear(&(*scan)->mem);
	buf_clear(&(*scan)->value);
	free(*scan);
	*scan = NULL;
}

/* --- header fields --- */

static void field_add(struct mime_scan *s, struct span bytes)
{
	struct span room = span_head(bytes, LIMIT_MIME_FIELD_BYTES - s->value.len);

	if (s->field == MIME_FIELD_OTHER)
		return;
	if (room.len < bytes.len)
		s->part->flags |= MIME_OVER_HEADER;
	buf_add(&s->value, room);
}

static void field_end(struct mime_scan *s)
{
	if (s->in_field && s->field != MIME_FIELD_OTHER)
		mime_part_field(s);
	s->in_field = false;
}

static void field_begin(struct mime_scan *s, struct span head, size_t name_len, size_t colon)
{
	static const struct {
		const char *name;
		enum mime_field_kind kind;
	} kinds[] = {
		{"content-type", MIME_FIELD_TYPE},
		{"content-disposition", MIME_FIELD_DISPOSITION},
		{"content-transfer-encoding", MIME_FIELD_ENCODING},
	};

	s->in_field = true;
	s->field_at = s->line_at;
	s->field_lines = s->lines;
	s->field = MIME_FIELD_OTHER;
	buf_reset(&s->value);
	if (s->field_count == LIMIT_MIME_FIELDS) {
		s->part->flags |= MIME_OVER_HEADER;
		return;
	}
	s->field_count++;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_eq_nocase(span_head(head, name_len), span_str(kinds[i].name)))
			s->field = kinds[i].kind;
	field_add(s, span_from(head, colon + 1));
}

/* the header is too long: what begins with the field at hand is body */
static void header_over(struct mime_scan *s)
{
	uint64_t at = s->in_field ? s->field_at : s->line_at, lines = s->in_field ? s->field_lines : s->lines;

	s->in_field = false;
	mime_part_body_at(s, at, lines);
	s->part->flags |= MIME_OVER_HEADER;
	mime_part_settle(s);
	mime_part_open(s, at, false);
}

static bool header_is_over(const struct mime_scan *s)
{
	return s->offset - s->part->header_begin > LIMIT_MIME_HEADER_BYTES;
}

/* --- lines --- */

static bool span_is_blank(struct span s)
{
	return span_trim(s).len == 0;
}

/* without its line end */
static struct span line_text(const struct mime_scan *s, struct span line)
{
	if (line.len > 0 && line.ptr[line.len - 1] == '\n') {
		if (line.len > 1 && line.ptr[line.len - 2] == '\r')
			line.len -= 2;
		else if (s->lf)
			line.len--;
	}
	return line;
}

/* The boundary whose delimiter the line is: the longest that fits (RFC 2046 5.1.1: what follows it does not matter), the innermost of
 * equal ones, an open multipart before one that was closed. */
static const struct mime_bound *find_bound(struct mime_scan *s, struct span rest)
{
	const struct mime_bound *best = NULL;
	uint64_t hash = 0;

	for (size_t len = 0; len <= rest.len && len <= LIMIT_MIME_BOUNDARY_BYTES && s->bound_count > 0; len++) {
		for (const struct mime_bound *b = *mime_bound_slot(s, hash); b; b = b->older) {
			if (b->hash != hash || b->len != len || (len > 0 && memcmp(b->text, rest.ptr, len) != 0))
				continue;
			if (len == 0 && !span_is_blank(span_from(rest, span_starts(rest, SPAN_LIT("--")) ? 2 : 0)))
				continue; /* an empty boundary has to stand alone */
			if (!best || best->len < len || (s->levels[best->level].closed && !s->levels[b->level].closed))
				best = b;
		}
		if (len < rest.len)
			hash = mime_bound_hash(s, hash, rest.ptr[len]);
	}
	return best;
}

/* The header of the part at hand ends here, without an empty line. `at`: behind its last line that belongs to it. */
static void header_cut(struct mime_scan *s, uint64_t at, uint64_t lines)
{
	if (s->state != MIME_IN_HEADER && s->state != MIME_IN_SHADOW)
		return;
	mime_part_body_at(s, at, lines);
	s->part->flags |= MIME_BROKEN_HEADER;
	field_end(s);
	mime_part_settle(s);
}

/* a line that begins with "--": does it begin or end a part? */
static bool line_is_delimiter(struct mime_scan *s, struct span head)
{
	struct span rest = span_from(line_text(s, head), 2);
	const struct mime_bound *b = find_bound(s, rest);
	struct mime_level *level;
	uint64_t at = s->line_at, lines = s->lines;
	bool closing;

	if (!b)
		return false;
	level = &s->levels[b->level];
	rest = span_from(rest, b->len);
	closing = span_starts(rest, SPAN_LIT("--"));
	if (!closing && s->tree.part_count >= LIMIT_MIME_PARTS) {
		mime_scan_over(s, MIME_OVER_PARTS);
		return true;
	}
	/* the line end before belongs to the delimiter, unless the header ends or the part begins with it */
	if (s->eol > 0 && at - s->eol >= (s->header_open ? s->part->header_begin : s->part->body_begin)) {
		at -= s->eol;
		lines--;
	}
	header_cut(s, at, lines);
	if (s->state == MIME_IN_OPAQUE)
		return true;
	mime_part_close(s, level->part, at, lines);
	s->part = level->part;
	s->state = MIME_IN_BODY;
	if (closing) {
		level->closed = true;
	} else {
		s->pending = level;
		s->pending_flags = (level->closed ? MIME_LATE : 0u) | (span_is_blank(rest) ? 0u : MIME_AMBIGUOUS);
	}
	return true;
}

/* "begin 644 name" and "=ybegin ... name=": files in a text, as mail programs show them */
static void line_look_for_file(struct mime_scan *s, struct span line)
{
	size_t at = 6, digits = 0;

	if (s->part != s->last || !mime_part_is(s->part, "text", NULL))
		return;
	if (span_starts_nocase(line, SPAN_LIT("begin "))) {
		for (; at < line.len && line.ptr[at] == ' '; at++)
			;
		for (; at < line.len && line.ptr[at] >= '0' && line.ptr[at] <= '7'; at++)
			digits++;
		if (digits >= 3 && digits <= 6 && at < line.len && line.ptr[at] == ' ')
			mime_part_name(s, span_trim(span_from(line, at)));
	} else if (span_starts_nocase(line, SPAN_LIT("=ybegin "))) {
		at = span_find_span(line, SPAN_LIT(" name="));
		if (at < line.len)
			mime_part_name(s, span_trim(span_from(line, at + 6)));
	}
}

static void line_in_body(struct mime_scan *s, struct span head)
{
	if (head.len > 2 && head.ptr[0] == '-' && head.ptr[1] == '-' && line_is_delimiter(s, head))
		return;
	if (head.len > 6 && (byte_lower(head.ptr[0]) == 'b' || head.ptr[0] == '='))
		line_look_for_file(s, line_text(s, head));
}

/* the empty line behind a header */
static void header_end(struct mime_scan *s, uint64_t at)
{
	mime_part_body_at(s, at, s->lines + 1);
	field_end(s);
	if (s->state == MIME_IN_OPAQUE)
		return;
	mime_part_settle(s);
	s->lines++; /* for a message inside: the line is behind us */
	mime_part_open(s, at, true);
	s->lines--;
}

/* A line that can be no field ends the header before it. A part that has parts is read so; any other may have more to say for programs
 * that go on to the empty line. */
static void header_broken(struct mime_scan *s, struct span head)
{
	field_end(s);
	if (s->state == MIME_IN_SHADOW)
		return;
	mime_part_body_at(s, s->line_at, s->lines);
	s->part->flags |= MIME_BROKEN_HEADER;
	if (s->state == MIME_IN_OPAQUE)
		return;
	mime_part_settle(s);
	mime_part_open(s, s->line_at, false);
	s->state = MIME_IN_SHADOW;
	if (head.len > 2 && head.ptr[0] == '-' && head.ptr[1] == '-')
		(void)line_is_delimiter(s, head);
}

static void line_in_header(struct mime_scan *s, struct span head, bool whole)
{
	size_t name_len, colon;

	if (head.len > 2 && head.ptr[0] == '-' && head.ptr[1] == '-' && line_is_delimiter(s, head))
		return;
	if (whole && line_text(s, head).len == 0) {
		header_end(s, s->line_at + head.len);
		return;
	}
	if (s->in_field && (head.ptr[0] == ' ' || head.ptr[0] == '\t')) {
		field_add(s, head);
	} else if (mime_line_is_field(head, &name_len, &colon)) {
		field_end(s);
		if (s->state != MIME_IN_OPAQUE)
			field_begin(s, head, name_len, colon);
	} else {
		header_broken(s, head);
	}
}

/* the beginning of a line: all of it, or MIME_HEAD_BYTES; whole: its line end is in there */
static void line_begin(struct mime_scan *s, struct span head, bool whole)
{
	s->head_done = true;
	if (s->state == MIME_IN_HEADER || s->state == MIME_IN_SHADOW)
		line_in_header(s, head, whole);
	else if (s->state == MIME_IN_BODY)
		line_in_body(s, head);
}

static void line_more(struct mime_scan *s, struct span bytes)
{
	if ((s->state == MIME_IN_HEADER || s->state == MIME_IN_SHADOW) && s->in_field)
		field_add(s, bytes);
}

static void line_end(struct mime_scan *s, bool crlf)
{
	if ((s->state == MIME_IN_HEADER || s->state == MIME_IN_SHADOW) && s->part->header_begin <= s->line_at && header_is_over(s))
		header_over(s);
	s->lines++;
	s->eol = crlf ? 2 : 1;
	s->line_at = s->offset;
	s->head_len = 0;
	s->head_done = s->last_cr = false;
	if (s->pending) {
		struct mime_level *level = s->pending;

		s->pending = NULL;
		if (s->state == MIME_IN_BODY)
			mime_part_begin(s, level->part, s->offset, s->pending_flags);
	}
}

/* how much of the bytes belongs to the line at hand; *crlf: its line end is CRLF */
static size_t line_len(const struct mime_scan *s, struct span bytes, bool *ended, bool *crlf)
{
	size_t at = 0;

	for (;;) {
		at += span_find(span_from(bytes, at), '\n');
		*ended = at < bytes.len;
		*crlf = *ended && (at > 0 ? bytes.ptr[at - 1] == '\r' : s->last_cr);
		if (!*ended)
			return bytes.len;
		if (*crlf || s->lf)
			return at + 1;
		at++;
	}
}

/* bytes of one line */
static void line_feed(struct mime_scan *s, struct span bytes, bool ended, bool crlf)
{
	s->offset += bytes.len;
	if (!s->head_done && s->head_len == 0 && (ended || bytes.len >= MIME_HEAD_BYTES)) {
		line_begin(s, span_head(bytes, MIME_HEAD_BYTES), ended && bytes.len <= MIME_HEAD_BYTES);
		bytes = span_from(bytes, MIME_HEAD_BYTES);
	} else if (!s->head_done) {
		struct span part = span_head(bytes, MIME_HEAD_BYTES - s->head_len);

		memcpy(s->head + s->head_len, part.ptr, part.len);
		s->head_len += part.len;
		bytes = span_from(bytes, part.len);
		if (ended || s->head_len == MIME_HEAD_BYTES)
			line_begin(s, span_of(s->head, s->head_len), ended && bytes.len == 0);
	}
	if (bytes.len > 0)
		line_more(s, bytes);
	if (ended)
		line_end(s, crlf);
}

void mime_scan_feed(struct mime_scan *s, struct span bytes)
{
	while (bytes.len > 0) {
		bool ended, crlf;
		size_t len = line_len(s, bytes, &ended, &crlf);
		bool last_cr = bytes.ptr[len - 1] == '\r';

		line_feed(s, span_head(bytes, len), ended, crlf);
		if (!ended)
			s->last_cr = last_cr;
		bytes = span_from(bytes, len);
	}
}

const struct mime *mime_scan_end(struct mime_scan *s)
{
	if (!s->head_done && s->head_len > 0)
		line_begin(s, span_of(s->head, s->head_len), false);
	if ((s->state == MIME_IN_HEADER || s->state == MIME_IN_SHADOW) && s->part->header_begin <= s->line_at && header_is_over(s))
		header_over(s);
	header_cut(s, s->offset, s->lines);
	mime_part_close(s, NULL, s->offset, s->lines);
	s->tree.bytes = s->offset;
	for (const struct mime_part *p = s->root; p; p = p->next)
		s->tree.flags |= p->flags;
	return &s->tree;
}

const struct mime *mime_scan_source(struct mime_scan *s, const struct mime_source *source)
{
	uint8_t *bytes = mem_alloc(FEED_BYTES);

	for (uint64_t at = 0; at < source->bytes;) {
		uint64_t left = source->bytes - at;
		size_t n = source->read_at(source->arg, at, bytes, left < FEED_BYTES ? (size_t)left : FEED_BYTES);

		if (n == 0)
			break;
		mime_scan_feed(s, span_of(bytes, n));
		at += n;
	}
	free(bytes);
	return mime_scan_end(s);
}
