/* The tree of parts: what a header says of its part, and where parts begin and end. */
#include "mail/mime_internal.h"
#include "mail/words.h"

void mime_scan_over(struct mime_scan *s, unsigned flag)
{
	s->part->flags |= flag;
	mime_part_body_at(s, s->line_at, s->lines);
	s->state = MIME_IN_OPAQUE;
}

void mime_part_begin(struct mime_scan *s, struct mime_part *parent, uint64_t at, unsigned flags)
{
	struct mime_part *p = arena_zalloc(&s->mem, sizeof(*p));

	if (!p) {
		mime_scan_over(s, MIME_OVER_MEMORY);
		return;
	}
	*p = (struct mime_part){.parent = parent, .index = s->tree.part_count++, .flags = flags, .header_begin = at, .lf = s->lf};
	p->type = SPAN_LIT("text");
	p->subtype = SPAN_LIT("plain");
	p->header_lines = s->lines; /* until the header ends: lines before it; body_lines likewise */
	if (parent) {
		p->depth = parent->depth + 1;
		*(parent->last_child ? &parent->last_child->sibling : &parent->first_child) = p;
		parent->last_child = p;
		parent->child_count++;
		s->last->next = p;
	}
	s->part = s->last = p;
	s->state = MIME_IN_HEADER;
	s->header_open = true;
	s->in_field = s->encoding_seen = false;
	s->field_count = 0;
	s->word = SPAN_NONE;
	s->params_tail = &p->params;
	s->names = (struct mime_names){.mem = &s->mem};
	s->bounds = (struct mime_bounds){.count = 0};
}

/* --- fields --- */

static bool value_has_controls(struct span s, bool lf)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n')
			i++;
		else if (s.ptr[i] < ' ' && s.ptr[i] != '\t' && !(s.ptr[i] == '\n' && lf))
			return true;
	}
	return false;
}

static struct span lower_copy(struct arena *mem, struct span s)
{
	uint8_t *to = arena_alloc(mem, s.len + 1);

	if (!to)
		return span_of("", 0);
	for (size_t i = 0; i < s.len; i++)
		to[i] = byte_lower(s.ptr[i]);
	return span_of(to, s.len);
}

static bool word_is_multipart(struct span word)
{
	return span_starts(word, SPAN_LIT("multipart"));
}

/* of several Content-Type fields the first counts, unless only a later one leads to parts */
static void field_type(struct mime_scan *s, const struct mime_value *v)
{
	bool first = !s->word.ptr, differs = !first && !span_eq(s->word, v->word);

	if (differs)
		s->part->flags |= MIME_AMBIGUOUS;
	if (first || (differs && word_is_multipart(v->word) && !word_is_multipart(s->word)))
		s->word = v->word.ptr ? v->word : span_of("", 0);
}

enum mime_encoding mime_encoding_of(struct span word)
{
	static const struct {
		const char *word;
		enum mime_encoding encoding;
	} words[] = {
		{"7bit", MIME_IDENTITY}, {"8bit", MIME_IDENTITY}, {"binary", MIME_IDENTITY}, {"base64", MIME_BASE64},
		{"quoted-printable", MIME_QUOTED_PRINTABLE}, {"x-uuencode", MIME_UUENCODE}, {"x-uue", MIME_UUENCODE},
		{"uuencode", MIME_UUENCODE}, {"x-uu", MIME_UUENCODE},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq(word, span_str(words[i].word)))
			return words[i].encoding;
	return MIME_UNKNOWN;
}

static void field_encoding(struct mime_scan *s, const struct mime_value *v)
{
	enum mime_encoding e = mime_encoding_of(v->word);

	if (s->encoding_seen && e != s->part->encoding)
		s->part->flags |= MIME_AMBIGUOUS;
	if (!s->encoding_seen || s->part->encoding == MIME_UNKNOWN)
		s->part->encoding = e;
	s->encoding_seen = true;
}

void mime_part_field(struct mime_scan *s)
{
	enum mime_from from = s->field == MIME_FIELD_DISPOSITION ? MIME_FROM_DISPOSITION : MIME_FROM_TYPE;
	struct mime_names unnamed = {.mem = &s->mem};
	const struct mime_param *no_params, **no_tail = &no_params;
	bool type = s->field == MIME_FIELD_TYPE, encoding = s->field == MIME_FIELD_ENCODING;
	struct mime_value v;

	if (value_has_controls(buf_span(&s->value), s->lf))
		s->part->flags |= MIME_CONTROLS;
	if (!mime_value_read(buf_span(&s->value), from, encoding ? &no_tail : &s->params_tail, encoding ? &unnamed : &s->names,
		    type ? &s->bounds : NULL, &v)) {
		mime_scan_over(s, MIME_OVER_MEMORY);
		return;
	}
	if (encoding) {
		field_encoding(s, &v);
		return;
	}
	s->part->flags |= v.flags;
	if (type)
		field_type(s, &v);
	else if (s->part->disposition.len == 0)
		s->part->disposition = v.word;
}

static void names_publish(struct mime_scan *s)
{
	s->part->names = s->names.first;
	s->part->name_count = s->names.count;
	s->part->flags |= s->names.flags;
}

void mime_part_name(struct mime_scan *s, struct span name)
{
	mime_names_add(&s->names, MIME_FROM_TEXT, SPAN_NONE, name);
	names_publish(s);
	if (s->mem.overflow)
		mime_scan_over(s, MIME_OVER_MEMORY);
}

static void settle_type(struct mime_scan *s)
{
	struct mime_part *p = s->part;
	size_t slash = span_find(s->word, '/');
	struct span type = span_head(s->word, slash), subtype = span_from(s->word, slash + 1);
	bool good = mime_span_is_token(type) && mime_span_is_token(subtype);

	if (!s->word.ptr) {
		if (p->parent && mime_part_is(p->parent, "multipart", "digest")) { /* RFC 2046 5.1.5 */
			p->type = SPAN_LIT("message");
			p->subtype = SPAN_LIT("rfc822");
		}
		return;
	}
	if (!good)
		p->flags |= MIME_BROKEN_TYPE;
	if (good) {
		p->type = type;
		p->subtype = subtype;
	} else if (word_is_multipart(s->word)) {
		p->type = SPAN_LIT("multipart");
		p->subtype = SPAN_LIT("mixed");
	}
}

void mime_part_settle(struct mime_scan *s)
{
	struct span charset;

	settle_type(s);
	if (s->part->charset.len == 0 && mime_part_param(s->part, MIME_FROM_TYPE, SPAN_LIT("charset"), &charset))
		s->part->charset = lower_copy(&s->mem, charset);
	names_publish(s);
}

/* --- where parts begin and end --- */

void mime_part_body_at(struct mime_scan *s, uint64_t at, uint64_t lines)
{
	struct mime_part *p = s->part;

	if (!s->header_open)
		return;
	s->header_open = false;
	p->header_end = p->body_begin = at;
	p->header_lines = lines - p->header_lines;
	p->body_lines = lines;
}

static bool part_is_message(const struct mime_part *p)
{
	return mime_part_is(p, "message", "rfc822") || mime_part_is(p, "message", "global") || mime_part_is(p, "message", "news");
}

bool mime_part_is_multipart(const struct mime_part *part)
{
	return mime_part_is(part, "multipart", NULL);
}

static void level_push(struct mime_scan *s)
{
	if (s->level_count > 0 && s->levels[s->level_count - 1].part == s->part)
		return;
	if (s->bounds.count == 0) {
		s->part->flags |= MIME_BROKEN_TYPE;
		return;
	}
	for (unsigned i = 0; i < s->bounds.count; i++) {
		struct mime_bound *b = &s->stack[s->bound_count++];

		b->len = (uint8_t)s->bounds.text[i].len;
		b->level = s->level_count;
		memcpy(b->text, s->bounds.text[i].ptr, b->len);
		b->hash = 0;
		for (size_t k = 0; k < b->len; k++)
			b->hash = mime_bound_hash(s, b->hash, b->text[k]);
		b->older = *mime_bound_slot(s, b->hash);
		*mime_bound_slot(s, b->hash) = b;
	}
	s->levels[s->level_count++] = (struct mime_level){.part = s->part, .bound_end = s->bound_count};
}

void mime_part_open(struct mime_scan *s, uint64_t at, bool descend)
{
	bool multipart = mime_part_is_multipart(s->part), message = part_is_message(s->part);

	s->state = MIME_IN_BODY;
	if (!multipart && !message)
		return;
	if (s->part->encoding != MIME_IDENTITY)
		s->part->flags |= MIME_ENCODED;
	if (s->part->depth >= LIMIT_MIME_DEPTH)
		s->part->flags |= MIME_OVER_DEPTH;
	else if (multipart)
		level_push(s);
	else if (!descend)
		return;
	else if (s->tree.part_count >= LIMIT_MIME_PARTS)
		mime_scan_over(s, MIME_OVER_PARTS);
	else
		mime_part_begin(s, s->part, at, 0);
}

void mime_part_close(struct mime_scan *s, const struct mime_part *upto, uint64_t at, uint64_t lines)
{
	for (struct mime_part *p = s->part; p && p != upto; p = p->parent) {
		bool empty = at <= p->body_begin;

		if (s->level_count > 0 && s->levels[s->level_count - 1].part == p) {
			s->level_count--;
			if (!s->levels[s->level_count].closed)
				p->flags |= MIME_UNCLOSED;
		}
		p->body_end = empty ? p->body_begin : at;
		p->body_lines = empty ? 0 : lines - p->body_lines;
		p->end = s->tree.part_count;
	}
	for (unsigned keep = s->level_count ? s->levels[s->level_count - 1].bound_end : 0; s->bound_count > keep; s->bound_count--) {
		struct mime_bound *b = &s->stack[s->bound_count - 1];

		*mime_bound_slot(s, b->hash) = b->older;
	}
}

const struct mime_part *mime_part_at(const struct mime *mime, unsigned index)
{
	const struct mime_part *p = mime->parts;

	while (p && p->index != index)
		p = p->next;
	return p;
}

bool mime_part_param(const struct mime_part *part, enum mime_from from, struct span name, struct span *value_out)
{
	for (const struct mime_param *p = part->params; p; p = p->next) {
		if (p->from == from && span_eq(p->name, name)) {
			*value_out = p->value;
			return true;
		}
	}
	return false;
}
