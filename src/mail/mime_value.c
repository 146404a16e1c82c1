/* Values with parameters: RFC 2045 5.1 and 2231, and every looser way in which mail programs read them. */
#include "mail/mime_internal.h"
#include "mail/words.h"

enum { SECTION_NONE = -1, SECTION_DIGITS = 6 };

/* one parameter as it stands between two semicolons */
struct piece {
	struct span name;   /* lower case, without stars */
	int section;        /* RFC 2231 3 */
	bool extended;      /* RFC 2231 4 */
	bool done;          /* went into a parameter already */
	struct span strict; /* as RFC 2045 reads it: quotes and comments gone */
	struct span loose;  /* all that stands there, quotes dropped */
};

struct value_read {
	enum mime_from from;
	struct arena *mem;
	struct arena scratch; /* for the pieces */
	struct mime_names *names;
	struct mime_bounds *bounds;
	const struct mime_param **tail;
	struct piece pieces[LIMIT_MIME_PARAMS];
	size_t count;
	unsigned flags;
};

bool mime_span_is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?=", s.ptr[i]))
			return false;
	return s.len > 0;
}

static bool byte_is_blank(uint8_t b)
{
	return b == ' ' || b == '\t';
}

/* length of the text before the next semicolon that is not quoted and not in a comment. *closed: comments close; the first that does not
 * makes all later parentheses ordinary bytes, which keeps this linear. */
static size_t segment_len(struct span s, bool *closed)
{
	bool quoted = false;
	size_t depth = 0, semicolon = s.len; /* the first one inside of an open comment */

	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.ptr[i];

		if (b == '\\' && (quoted || depth)) {
			i++;
		} else if (b == '"' && !depth) {
			quoted = !quoted;
		} else if (b == '(' && !quoted && *closed) {
			depth++;
		} else if (b == ')' && depth) {
			if (--depth == 0)
				semicolon = s.len;
		} else if (b == ';' && !quoted) {
			if (!depth)
				return i;
			if (semicolon == s.len)
				semicolon = i;
		}
	}
	if (depth)
		*closed = false;
	return semicolon;
}

/* the value behind "=", as RFC 2045 has it; blanks end an unquoted one */
static struct span read_strict(struct arena *mem, struct span s)
{
	uint8_t *to;
	size_t n = 0;

	s = span_trim(s);
	if (s.len == 0 || s.ptr[0] != '"') {
		while (n < s.len && !byte_is_blank(s.ptr[n]) && s.ptr[n] != '"')
			n++;
		return arena_copy(mem, span_head(s, n));
	}
	to = arena_alloc(mem, s.len);
	if (!to)
		return SPAN_NONE;
	for (size_t i = 1; i < s.len && s.ptr[i] != '"'; i++) {
		if (s.ptr[i] == '\\' && i + 1 < s.len)
			i++;
		to[n++] = s.ptr[i];
	}
	return span_of(to, n);
}

static struct span read_loose(struct arena *mem, struct span s)
{
	uint8_t *to;
	size_t n = 0;

	s = span_trim(s);
	to = arena_alloc(mem, s.len + 1);
	if (!to)
		return SPAN_NONE;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] != '"')
			to[n++] = s.ptr[i];
	return span_trim(span_of(to, n));
}

/* "filename*0*": the name, the section and whether it is extended */
static void read_name(struct span name, struct piece *out)
{
	size_t star = span_find(name, '*'), i = star + 1;
	int section = 0;

	out->section = SECTION_NONE;
	if (star == name.len || star == 0) {
		out->name = name;
		return;
	}
	out->name = span_trim(span_head(name, star));
	for (; i < name.len && byte_is_digit(name.ptr[i]) && i - star <= SECTION_DIGITS; i++)
		section = section * 10 + (name.ptr[i] - '0');
	if (i > star + 1)
		out->section = section;
	out->extended = i == star + 1 || (i < name.len && name.ptr[i] == '*');
}

static void read_piece(struct value_read *r, struct span segment, struct span stripped)
{
	struct piece *p = &r->pieces[r->count];
	size_t equals = span_find(stripped, '=');
	struct span name = span_trim(span_head(stripped, equals));
	uint8_t *lower;

	if (equals == stripped.len || name.len == 0)
		return;
	if (r->count == LIMIT_MIME_PARAMS) {
		r->flags |= MIME_OVER_PARAMS;
		return;
	}
	/* words before the name without a semicolon between them */
	for (size_t i = name.len; i > 0; i--) {
		if (byte_is_blank(name.ptr[i - 1]) && i < name.len && name.ptr[i] != '*') {
			name = span_from(name, i);
			break;
		}
	}
	lower = arena_alloc(&r->scratch, name.len);
	if (!lower)
		return;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = byte_lower(name.ptr[i]);
	*p = (struct piece){0};
	read_name(span_of(lower, name.len), p);
	p->strict = read_strict(&r->scratch, span_from(stripped, equals + 1));
	p->loose = read_loose(&r->scratch, span_from(segment, span_find(segment, '=') + 1));
	r->count++;
}

static bool name_is_file(struct span name)
{
	return span_eq(name, SPAN_LIT("filename")) || span_eq(name, SPAN_LIT("name"));
}

static void bounds_add(struct mime_bounds *b, struct arena *mem, struct span text)
{
	while (text.len > 0 && byte_is_blank(text.ptr[text.len - 1]))
		text.len--;
	if (text.len > LIMIT_MIME_BOUNDARY_BYTES) {
		text.len = LIMIT_MIME_BOUNDARY_BYTES;
		b->flags |= MIME_OVER_BOUNDARY;
	}
	for (unsigned i = 0; i < b->count; i++)
		if (span_eq(b->text[i], text))
			return;
	if (b->count > 0)
		b->flags |= MIME_AMBIGUOUS;
	if (b->count == LIMIT_MIME_BOUNDARIES) {
		b->flags |= MIME_OVER_BOUNDARY;
		return;
	}
	text = arena_copy(mem, text);
	if (text.ptr)
		b->text[b->count++] = text;
}

/* one reading of a parameter's bytes, to where it matters */
static void reading_add(struct value_read *r, struct span name, struct span charset, struct span bytes)
{
	if (name_is_file(name))
		mime_names_add(r->names, r->from, charset, bytes);
	else if (r->bounds && span_eq(name, SPAN_LIT("boundary")))
		bounds_add(r->bounds, r->mem, bytes);
}

static void param_add(struct value_read *r, struct span name, struct span charset, struct span bytes)
{
	struct mime_param *p = arena_zalloc(r->mem, sizeof(*p));
	struct buf text;

	if (!p)
		return;
	buf_init(&text, bytes.len * 4 + 4);
	if (charset.len == 0 && span_find_span(bytes, SPAN_LIT("=?")) < bytes.len)
		(void)words_decode(&text, bytes);
	else
		(void)words_to_utf8(&text, charset, bytes);
	*p = (struct mime_param){.from = r->from, .name = arena_copy(r->mem, name), .value = arena_copy(r->mem, buf_span(&text))};
	buf_clear(&text);
	*r->tail = p;
	r->tail = &p->next;
}

/* RFC 2231 4: charset'language'text; what has no two quotes is text */
static struct span cut_charset(struct span *text)
{
	size_t first = span_find(*text, '\''), second = span_find(span_from(*text, first + 1), '\'');
	struct span charset = span_head(*text, first);

	if (first == text->len || second >= span_from(*text, first + 1).len)
		return SPAN_NONE;
	*text = span_from(*text, first + second + 2);
	return charset;
}

enum join { JOIN_FIRST, JOIN_LAST, JOIN_ALL, JOIN_KINDS };

/* Sections in order. JOIN_FIRST, JOIN_LAST: one of each number, up to the first gap; JOIN_ALL: all there are. */
static struct span join_pieces(struct piece *const *sorted, size_t count, enum join how, struct buf *out)
{
	struct span charset = SPAN_NONE;
	bool first = true;
	int want = 0;

	for (size_t i = 0; i < count; i++) {
		const struct piece *p = sorted[i];
		struct span text = p->strict;

		if (how == JOIN_FIRST && i > 0 && sorted[i - 1]->section == p->section)
			continue;
		if (how == JOIN_LAST && i + 1 < count && sorted[i + 1]->section == p->section)
			continue;
		if (how != JOIN_ALL && p->section != want++)
			break;
		if (p->extended && first)
			charset = cut_charset(&text);
		first = false;
		if (p->extended)
			(void)mime_add_unescaped(out, text);
		else
			buf_add(out, text);
	}
	return charset;
}

/* all sections that have the name of this piece */
static void add_sections(struct value_read *r, size_t begin)
{
	struct span name = r->pieces[begin].name;
	struct piece *sorted[LIMIT_MIME_PARAMS];
	size_t count = 0, bytes = 1;
	struct buf text;

	for (size_t i = begin; i < r->count; i++) {
		struct piece *p = &r->pieces[i];
		size_t at = count;

		if (p->done || p->section == SECTION_NONE || !span_eq(p->name, name))
			continue;
		for (; at > 0 && sorted[at - 1]->section > p->section; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = p;
		count++;
		bytes += p->strict.len;
		p->done = true;
	}
	buf_init(&text, bytes);
	for (enum join how = JOIN_FIRST; how < JOIN_KINDS; how++) {
		struct span charset = join_pieces(sorted, count, how, &text);

		reading_add(r, name, charset, buf_span(&text));
		if (how == JOIN_FIRST)
			param_add(r, name, charset, buf_span(&text));
		buf_reset(&text);
	}
	buf_clear(&text);
}

static void add_piece(struct value_read *r, size_t at)
{
	struct piece *p = &r->pieces[at];
	struct span charset = SPAN_NONE, text = p->strict;
	struct buf decoded;

	if (p->done)
		return;
	if (p->section != SECTION_NONE) {
		add_sections(r, at);
		return;
	}
	buf_init(&decoded, text.len + 1);
	if (p->extended) {
		charset = cut_charset(&text);
		(void)mime_add_unescaped(&decoded, text);
		text = buf_span(&decoded);
	}
	param_add(r, p->name, charset, text);
	reading_add(r, p->name, charset, text);
	if (!p->extended)
		reading_add(r, p->name, SPAN_NONE, p->loose);
	buf_clear(&decoded);
}

/* "text / plain", perhaps with words behind it: the first word, lower case; *rest: what follows it */
static struct span read_word(struct arena *mem, struct span s, struct span *rest)
{
	uint8_t *to = arena_alloc(mem, s.len + 1);
	size_t n = 0, i;

	*rest = SPAN_NONE;
	if (!to)
		return SPAN_NONE;
	s = span_trim(s);
	for (i = 0; i < s.len; i++) {
		struct span next;

		if (!byte_is_blank(s.ptr[i])) {
			to[n++] = byte_lower(s.ptr[i]);
			continue;
		}
		next = span_trim(span_from(s, i));
		if (n > 0 && to[n - 1] != '/' && (next.len == 0 || next.ptr[0] != '/'))
			break;
		i = (size_t)(next.ptr - s.ptr) - 1; /* the blanks in one go */
	}
	*rest = span_from(s, i);
	return span_of(to, n);
}

static void read_segments(struct value_read *r, struct span text, struct mime_value *out)
{
	bool closed = true, first = true;
	struct buf stripped;

	buf_init(&stripped, text.len + 1);
	while (text.len > 0 && !(r->flags & MIME_OVER_PARAMS) && !r->mem->overflow) {
		size_t len = segment_len(text, &closed);
		struct span segment = span_head(text, len), rest;

		buf_reset(&stripped);
		words_strip_comments(&stripped, segment);
		if (first) {
			out->word = read_word(r->mem, buf_span(&stripped), &rest);
			if (span_find(rest, '=') < rest.len)
				read_piece(r, rest, rest);
			first = false;
		} else {
			read_piece(r, segment, buf_span(&stripped));
		}
		text = span_from(text, len + 1);
	}
	buf_clear(&stripped);
}

bool mime_value_read(struct span value, enum mime_from from, const struct mime_param ***tail, struct mime_names *names,
	struct mime_bounds *bounds, struct mime_value *out)
{
	struct value_read r = {.from = from, .mem = names->mem, .names = names, .bounds = bounds, .tail = *tail};
	struct buf text;

	out->word = span_of("", 0);
	arena_init(&r.scratch, value.len * 4 + LIMIT_MIME_PARAMS * 64);
	buf_init(&text, value.len + 1);
	words_unfold(&text, value);
	read_segments(&r, buf_span(&text), out);
	buf_clear(&text);
	for (size_t i = 0; i < r.count && !r.mem->overflow; i++)
		add_piece(&r, i);
	arena_clear(&r.scratch);
	out->flags = r.flags | names->flags | (bounds ? bounds->flags : 0);
	*tail = r.tail;
	return !r.mem->overflow;
}

bool mime_value_parse(struct span value, enum mime_from from, struct arena *mem, struct mime_value *out)
{
	struct mime_names names = {.mem = mem};
	struct mime_value v = {.flags = 0};
	const struct mime_param **tail = &v.params;

	if (!mime_value_read(value, from, &tail, &names, NULL, &v))
		return false;
	v.names = names.first;
	v.name_count = names.count;
	*out = v;
	return true;
}
