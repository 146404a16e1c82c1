#include "mail/attach_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mail/words.h"

struct attach *attach_new(const struct mime_source *source, const struct mime_part *part, unsigned how)
{
	struct attach *a = mem_zalloc(sizeof(*a));

	a->part = part;
	a->how = how;
	a->tail = &a->facts.members;
	arena_init(&a->mem, LIMIT_ATTACH_NAMES_BYTES);
	map_init(&a->known);
	mime_reader_init(&a->reader, source, part);
	a->facts.type = a->facts.container = attach_type_of(SPAN_NONE);
	return a;
}

void attach_free(struct attach **attach)
{
	struct attach *a = attach ? *attach : NULL;

	if (!a)
		return;
	attach_archive_close(a);
	mime_reader_clear(&a->reader);
	map_clear(&a->known);
	arena_clear(&a->mem);
	free(a->zip);
	free(a);
	*attach = NULL;
}

const struct attach_facts *attach_facts(const struct attach *a)
{
	return &a->facts;
}

void attach_spend(struct attach *a, uint64_t bytes)
{
	a->budget -= bytes < a->budget ? bytes : a->budget;
}

bool attach_count_out(struct attach *a, uint64_t bytes)
{
	struct attach_facts *f = &a->facts;

	f->bytes_out += bytes;
	attach_spend(a, bytes);
	if (f->bytes_out <= LIMIT_ATTACH_RATIO_FREE_BYTES)
		return true;
	if (f->bytes_out <= LIMIT_ATTACH_UNPACKED_BYTES && f->bytes_out / LIMIT_ATTACH_RATIO <= f->bytes_in)
		return true;
	f->flags |= ATTACH_OVER;
	return false;
}

static struct attach_member *member_new(struct attach *a, struct span name, unsigned depth)
{
	struct attach_member *m = arena_zalloc(&a->mem, sizeof(*m));
	struct buf key;

	if (!m)
		return NULL;
	buf_init(&key, name.len + 1);
	mime_name_key(&key, name);
	m->name = arena_copy(&a->mem, name);
	m->key = arena_copy(&a->mem, buf_span(&key));
	m->depth = depth;
	buf_clear(&key);
	return a->mem.overflow ? NULL : m;
}

struct attach_member *attach_member_add(struct attach *a, struct span name, unsigned depth)
{
	struct attach_member *m;
	struct buf text;
	uint64_t key;

	buf_init(&text, LIMIT_ATTACH_NAME_BYTES * 4);
	(void)words_to_utf8(&text, span_is_utf8(name) ? SPAN_LIT("utf-8") : SPAN_LIT("cp437"), span_head(name, LIMIT_ATTACH_NAME_BYTES));
	key = map_hash(text.ptr, text.len) + depth;
	m = map_get(&a->known, key);
	if (m && m->depth == depth && span_eq(m->name, buf_span(&text))) {
		buf_clear(&text);
		return m;
	}
	m = a->facts.member_count < LIMIT_ATTACH_MEMBERS ? member_new(a, buf_span(&text), depth) : NULL;
	buf_clear(&text);
	if (!m) {
		a->facts.flags |= ATTACH_OVER;
		return NULL;
	}
	(void)map_put(&a->known, key, m);
	*a->tail = m;
	a->tail = &m->next;
	a->facts.member_count++;
	if (depth > 1)
		a->facts.flags |= ATTACH_NESTED;
	if (depth == 1 && span_eq(span_str(a->facts.container->word), SPAN_LIT("zip")))
		a->facts.type = attach_type_zip(m->name, a->facts.type);
	return m;
}

/* --- stages --- */

/* parts that RFC 2045 does not let be encoded, and that some programs decode all the same */
static bool part_is_hidden_message(const struct attach *a)
{
	return (a->part->flags & MIME_ENCODED) && (a->part->encoding == MIME_BASE64 || a->part->encoding == MIME_QUOTED_PRINTABLE);
}

static void stage_head(struct attach *a)
{
	static const struct attach_type zip = {"application/zip", "zip", ATTACH_IS_ARCHIVE};
	uint8_t *head = mem_alloc(ATTACH_HEAD_BYTES);
	struct attach_facts *f = &a->facts;
	size_t len = 0, n;

	while (len < ATTACH_HEAD_BYTES && (n = mime_reader_read(&a->reader, head + len, ATTACH_HEAD_BYTES - len)) > 0)
		len += n;
	f->type = f->container = attach_type_of(span_of(head, len));
	if (f->type->flags & ATTACH_IS_ARCHIVE && span_starts(span_of(head, len), SPAN_LIT("PK")))
		f->container = &zip;
	free(head);
	f->bytes_in = len;
	attach_spend(a, len);
	if (a->reader.cut)
		f->flags |= ATTACH_CUT;
	if (f->type->flags & ATTACH_IS_SEALED)
		f->flags |= ATTACH_UNREADABLE;
	if (a->how == ATTACH_TYPE || len == 0 || ((f->type->flags & ATTACH_IS_TEXT) && !(f->type->flags & ATTACH_IS_ARCHIVE) && !part_is_hidden_message(a))) {
		a->stage = ATTACH_DONE;
		return;
	}
	(void)mime_reader_seek(&a->reader, 0);
	a->zip = mem_zalloc(sizeof(*a->zip));
	a->stage = ATTACH_AT_SIZE;
}

/* to the end once: how long it is, and what local headers of a zip go by */
static void stage_size(struct attach *a)
{
	struct span got = mime_reader_next(&a->reader);

	if (got.len > 0) {
		attach_spend(a, got.len);
		attach_zip_scan(a, got);
		return;
	}
	a->facts.bytes_in = mime_reader_bytes(&a->reader);
	if (a->reader.cut)
		a->facts.flags |= ATTACH_CUT;
	attach_zip_find(a);
	a->stage = ATTACH_AT_DIRECTORY;
}

static void stage_open(struct attach *a)
{
	a->stage = ATTACH_DONE;
	if (!(a->facts.type->flags & ATTACH_IS_ARCHIVE) && !part_is_hidden_message(a))
		return;
	if (a->zip->over) {
		a->facts.flags |= ATTACH_OVER;
		return;
	}
	if (span_eq(span_str(a->facts.container->word), SPAN_LIT("zip")) && !a->zip->found)
		a->facts.flags |= ATTACH_UNREADABLE; /* cut short: what libarchive finds from the front is not all */
	(void)mime_reader_seek(&a->reader, 0);
	attach_archive_open(a);
	a->stage = ATTACH_AT_MEMBERS;
}

static void attach_step(struct attach *a)
{
	switch (a->stage) {
	case ATTACH_AT_HEAD:
		stage_head(a);
		break;
	case ATTACH_AT_SIZE:
		stage_size(a);
		break;
	case ATTACH_AT_DIRECTORY:
		if (!attach_zip_step(a))
			a->stage = ATTACH_AT_OPEN;
		break;
	case ATTACH_AT_OPEN:
		stage_open(a);
		break;
	case ATTACH_AT_MEMBERS:
		if (!attach_archive_step(a)) {
			attach_archive_close(a);
			a->stage = ATTACH_DONE;
		}
		break;
	case ATTACH_DONE:
		break;
	}
}

bool attach_run(struct attach *a, uint64_t bytes)
{
	a->budget = bytes ? bytes : 1;
	while (a->stage != ATTACH_DONE && a->budget > 0)
		attach_step(a);
	return a->stage != ATTACH_DONE;
}
