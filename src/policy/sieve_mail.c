#include "policy/sieve_mail_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "mail/words.h"

enum { SCAN_PIECE_BYTES = 64 << 10, STEP_PIECES = 16 };

struct sieve_mail *sieve_mail_new(const struct mime_source *source, const struct mime *mime, unsigned needs)
{
	struct sieve_mail *m = mem_zalloc(sizeof(*m));

	m->source = source;
	m->mime = mime;
	m->needs = needs;
	arena_init(&m->mem, LIMIT_SIEVE_MAIL_BYTES);
	arena_init(&m->bodies, LIMIT_SIEVE_BODIES_BYTES);
	if (!mime)
		m->scan = mime_scan_new(0);
	return m;
}

void sieve_mail_free(struct sieve_mail **m)
{
	if (!*m)
		return;
	attach_free(&(*m)->attach);
	mime_scan_free(&(*m)->scan);
	arena_clear(&(*m)->mem);
	arena_clear(&(*m)->bodies);
	free((*m)->parts);
	free((*m)->attachments);
	free(*m);
	*m = NULL;
}

/* --- fields --- */

static int name_order(struct span a, struct span b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		uint8_t x = byte_lower(a.ptr[i]), y = byte_lower(b.ptr[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

static int field_order(const void *x, const void *y)
{
	const struct mail_field *a = x, *b = y;
	int names = name_order(a->field.name, b->field.name);

	return names ? names : a->order < b->order ? -1 : a->order > b->order;
}

static void read_fields(struct sieve_mail *m, struct mail_part *p)
{
	struct mime_fields fields, counting;
	struct mime_field f;
	unsigned count = 0;

	p->fields_read = true;
	if (mime_fields_read(m->source, p->mime, &m->mem, &fields) != RC_OK) {
		m->incomplete = true;
		return;
	}
	for (counting = fields; mime_fields_next(&counting, &f);)
		count++;
	p->fields = arena_zalloc(&m->mem, (count ? count : (size_t)1) * sizeof(*p->fields));
	if (!p->fields) {
		m->incomplete = true;
		return;
	}
	while (p->field_count < count && mime_fields_next(&fields, &f)) {
		p->fields[p->field_count] = (struct mail_field){.field = f, .order = p->field_count};
		p->field_count++;
	}
	qsort(p->fields, p->field_count, sizeof(*p->fields), field_order);
}

static void decode_field(struct sieve_mail *m, struct mail_field *f)
{
	struct buf text;

	buf_init(&text, LIMIT_SIEVE_BODY_BYTES);
	words_unfold(&text, f->field.value);
	f->value.raw = arena_copy(&m->mem, buf_span(&text));
	buf_reset(&text);
	(void)words_decode(&text, f->field.value);
	f->value.decoded = span_eq(buf_span(&text), f->value.raw) ? f->value.raw : arena_copy(&m->mem, buf_span(&text));
	buf_clear(&text);
}

/* the fields of that name stand side by side */
static struct mail_field *find_field(struct mail_part *p, struct span name, unsigned nth)
{
	unsigned low = 0, high = p->field_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (name_order(p->fields[middle].field.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (nth >= p->field_count - low || name_order(p->fields[low + nth].field.name, name) != 0)
		return NULL;
	return &p->fields[low + nth];
}

/* --- preparing --- */

/* true: the source was read to its end */
static bool scan_step(struct sieve_mail *m)
{
	uint8_t *piece = mem_alloc(SCAN_PIECE_BYTES);
	size_t got = 1;

	for (unsigned i = 0; i < STEP_PIECES && got > 0; i++) {
		got = m->source->read_at(m->source->arg, m->scanned, piece, SCAN_PIECE_BYTES);
		mime_scan_feed(m->scan, span_of(piece, got));
		m->scanned += got;
	}
	free(piece);
	return got == 0;
}

/* the tree is known: parts by number */
static void index_parts(struct sieve_mail *m)
{
	m->parts = mem_array(m->mime->part_count, sizeof(*m->parts));
	for (const struct mime_part *p = m->mime->parts; p; p = p->next)
		m->parts[p->index].mime = p;
	if (m->needs & SIEVE_NEEDS_HEADER)
		read_fields(m, &m->parts[0]); /* before others can use up the memory */
	if (m->needs & SIEVE_NEEDS_ATTACHMENTS) {
		m->attachments = mem_array(m->mime->part_count, sizeof(*m->attachments));
		m->looking = m->mime->parts;
	}
}

/* All names that a part may get, as they stand and as they end up on a disk: each has to pass. false: memory is full. */
static bool take_names(struct sieve_mail *m, const struct mime_part *p, struct sieve_attachment *a)
{
	struct span *names = arena_zalloc(&m->mem, (p->name_count ? p->name_count : 1) * 2 * sizeof(*names));

	if (!names)
		return false;
	a->names = names;
	for (const struct mime_name *n = p->names; n; n = n->next) {
		names[a->name_count++] = n->text;
		if (!span_eq(n->text, n->key))
			names[a->name_count++] = n->key;
	}
	return true;
}

static bool take_content(struct sieve_mail *m, const struct attach_facts *facts, struct sieve_attachment *a)
{
	struct span *types = arena_zalloc(&m->mem, 2 * sizeof(*types));

	if (!types)
		return false;
	types[a->content_count++] = span_str(facts->type->mime);
	if (facts->container != facts->type)
		types[a->content_count++] = span_str(facts->container->mime);
	a->content = types;
	return true;
}

static bool take_inside(struct sieve_mail *m, const struct attach_facts *facts, struct sieve_attachment *a)
{
	struct span *inside = arena_zalloc(&m->mem, (facts->member_count ? facts->member_count : (size_t)1) * 2 * sizeof(*inside));
	size_t count = 0;

	if (!inside)
		return false;
	a->inside = inside;
	for (const struct attach_member *f = facts->members; f && count < facts->member_count; f = f->next, count++) {
		inside[a->inside_count] = arena_copy(&m->mem, f->name);
		if (!inside[a->inside_count++].ptr)
			return false;
		if (span_eq(f->name, f->key))
			continue;
		inside[a->inside_count] = arena_copy(&m->mem, f->key);
		if (!inside[a->inside_count++].ptr)
			return false;
	}
	return true;
}

/* something is in there that the tree does not show */
static bool is_hidden(const struct mime_part *p)
{
	return p->flags & (MIME_ENCODED | MIME_OVER) || (mime_part_is_multipart(p) && p->child_count == 0);
}

/* Text that is shown, not saved, is no attachment; unless its bytes say that it is no text. */
static bool is_attachment(const struct mime_part *p, const struct attach_facts *facts)
{
	if (is_hidden(p))
		return true;
	if (mime_part_is_multipart(p))
		return false;
	if (p->name_count > 0 || span_eq(p->disposition, SPAN_LIT("attachment")) || !span_eq(p->type, SPAN_LIT("text")))
		return true;
	return facts && !(facts->type->flags & ATTACH_IS_TEXT) && facts->bytes_in > 0;
}

/* cut: there may be more in it than the facts say */
static void take_attachment(struct sieve_mail *m, const struct mime_part *p, const struct attach_facts *facts, bool cut)
{
	struct sieve_attachment *a = &m->attachments[m->attachment_count];
	bool good;

	if (!is_attachment(p, facts))
		return;
	*a = (struct sieve_attachment){.unreadable = is_hidden(p) || cut};
	good = take_names(m, p, a);
	if (good) {
		uint8_t *type = arena_alloc(&m->mem, p->type.len + 1 + p->subtype.len);

		good = type != NULL;
		if (type) {
			memcpy(type, p->type.ptr, p->type.len);
			type[p->type.len] = '/';
			memcpy(type + p->type.len + 1, p->subtype.ptr, p->subtype.len);
			a->type = span_of(type, p->type.len + 1 + p->subtype.len);
		}
	}
	if (facts) {
		good = good && take_content(m, facts, a) && take_inside(m, facts, a);
		a->unreadable |= (facts->flags & (ATTACH_UNREADABLE | ATTACH_OVER | ATTACH_CUT)) != 0;
		a->encrypted = (facts->flags & ATTACH_ENCRYPTED) != 0;
	}
	a->unreadable |= !good; /* what was no room for cannot be vouched for */
	m->attachment_count++;
}

/* has the message had its share of work? */
static bool looked_enough(const struct sieve_mail *m)
{
	uint64_t unpacked = m->unpacked + (m->attach ? attach_facts(m->attach)->bytes_out : 0);
	uint64_t read = m->looked > unpacked ? m->looked - unpacked : 0;

	return m->looked >= LIMIT_SIEVE_LOOKED_BYTES || read >= LIMIT_SIEVE_READ_FREE_BYTES + LIMIT_SIEVE_READ_TIMES * m->source->bytes;
}

/* one part, or a piece of the archive in it */
static void attach_step(struct sieve_mail *m)
{
	bool bytes = m->needs & (SIEVE_NEEDS_CONTENT | SIEVE_NEEDS_INSIDE), inside = m->needs & SIEVE_NEEDS_INSIDE, cut = false;
	const struct attach_facts *facts;

	if (!m->attach && bytes && !mime_part_is_multipart(m->looking)) {
		m->shallow = inside && looked_enough(m);
		m->attach = attach_new(m->source, m->looking, inside && !m->shallow ? ATTACH_INSIDE : ATTACH_TYPE);
	}
	if (m->attach && attach_run(m->attach, ATTACH_STEP_BYTES)) {
		m->looked += ATTACH_STEP_BYTES;
		if (!looked_enough(m))
			return;
		cut = true;
	}
	facts = m->attach ? attach_facts(m->attach) : NULL;
	cut |= facts && m->shallow && !(facts->type->flags & ATTACH_IS_TEXT);
	m->incomplete |= cut;
	take_attachment(m, m->looking, facts, cut);
	m->looked += facts ? (facts->bytes_in + facts->bytes_out) % ATTACH_STEP_BYTES : 0;
	m->unpacked += facts ? facts->bytes_out : 0;
	attach_free(&m->attach);
	m->looking = m->looking->next;
}

bool sieve_mail_step(struct sieve_mail *m)
{
	if (m->looking) {
		attach_step(m);
		return m->looking != NULL;
	}
	if (m->parts)
		return false;
	if (!m->mime) {
		if (!scan_step(m))
			return true;
		m->mime = mime_scan_end(m->scan);
	}
	index_parts(m);
	return m->looking != NULL;
}

/* --- what the engine asks --- */

static bool mail_field_get(void *owner, unsigned part, struct span name, unsigned nth, struct sieve_field *out)
{
	struct sieve_mail *m = owner;
	struct mail_field *f;

	if (part >= m->mime->part_count)
		return false;
	if (!m->parts[part].fields_read)
		read_fields(m, &m->parts[part]);
	f = find_field(&m->parts[part], name, nth);
	if (!f)
		return false;
	if (!f->value.raw.ptr)
		decode_field(m, f);
	m->incomplete |= m->mem.overflow;
	*out = f->value;
	return true;
}

static bool mail_part_get(void *owner, unsigned part, struct sieve_part *out)
{
	const struct sieve_mail *m = owner;
	const struct mime_part *p;

	if (part >= m->mime->part_count)
		return false;
	p = m->parts[part].mime;
	*out = (struct sieve_part){.end = p->end, .type = p->type, .subtype = p->subtype, .multipart = mime_part_is_multipart(p)};
	return true;
}

static bool param_of(const struct mime_param *params, struct span name, struct span *out)
{
	for (; params; params = params->next)
		if (span_eq_nocase(params->name, name)) {
			*out = params->value;
			return true;
		}
	return false;
}

static bool mail_param_get(void *owner, unsigned part, struct span field, struct span param, struct span *out)
{
	struct sieve_mail *m = owner;
	struct sieve_field f;
	struct mime_value v;

	if (!mail_field_get(owner, part, field, 0, &f))
		return false;
	if (span_eq_nocase(field, SPAN_LIT("content-type")) || span_eq_nocase(field, SPAN_LIT("content-disposition"))) {
		enum mime_from from = field.len == 12 ? MIME_FROM_TYPE : MIME_FROM_DISPOSITION;

		for (const struct mime_param *p = m->parts[part].mime->params; p; p = p->next)
			if (p->from == from && span_eq_nocase(p->name, param)) {
				*out = p->value;
				return true;
			}
		return false;
	}
	return mime_value_parse(f.raw, MIME_FROM_DISPOSITION, &m->mem, &v) && param_of(v.params, param, out);
}

static bool mail_incomplete(void *owner)
{
	const struct sieve_mail *m = owner;

	return m->incomplete;
}

static bool mail_attachment_get(void *owner, unsigned nth, struct sieve_attachment *out)
{
	const struct sieve_mail *m = owner;

	if (nth >= m->attachment_count)
		return false;
	*out = m->attachments[nth];
	return true;
}

void sieve_mail_message(struct sieve_mail *m, struct sieve_message *out)
{
	static const struct sieve_ops ops = {mail_field_get, mail_part_get, mail_param_get, sieve_mail_body, mail_attachment_get, mail_incomplete};

	*out = (struct sieve_message){.ops = &ops, .owner = m, .size_bytes = m->source->bytes};
}
