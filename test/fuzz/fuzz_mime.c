/* A message gives the same tree whole and cut anywhere; the tree is sound; what it points to can be read, and reads the same with jumps.
 * The first byte: flags and where to cut; the second: how large the pieces after it are. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "mail/attach.h"
#include "mail/mime_reader.h"
#include "mail/words.h"

enum { TEXT_MAX_BYTES = 1 << 20, PARTS_READ = 8 };

/* says where: the checks below are many */
static void must_at(bool holds, int line)
{
	if (!holds) {
		fprintf(stderr, "fuzz_mime.c:%d does not hold\n", line);
		abort();
	}
}

#define must(holds) must_at(holds, __LINE__)

static struct mime_scan *scan(struct span text, unsigned flags, size_t first, size_t step, const struct mime **out)
{
	struct mime_scan *s = mime_scan_new(flags);

	mime_scan_feed(s, span_head(text, first));
	for (size_t at = first; at < text.len; at += step)
		mime_scan_feed(s, span_head(span_from(text, at), step));
	*out = mime_scan_end(s);
	return s;
}

static void check_tree(const struct mime *mime, struct span text)
{
	unsigned count = 0;

	must(mime->bytes == text.len && mime->part_count <= LIMIT_MIME_PARTS);
	for (const struct mime_part *p = mime->parts; p; p = p->next, count++) {
		must(p->index == count && p->end > p->index && p->end <= mime->part_count);
		must(p->header_begin <= p->header_end && p->header_end == p->body_begin && p->body_begin <= p->body_end && p->body_end <= text.len);
		must(p->depth <= LIMIT_MIME_DEPTH && p->type.len > 0 && p->subtype.len > 0);
		if (p->parent) {
			must(p->depth == p->parent->depth + 1 && p->index > p->parent->index && p->end <= p->parent->end);
			must(p->header_begin >= p->parent->body_begin && p->body_end <= p->parent->body_end);
		}
		if (p->sibling)
			must(p->sibling->parent == p->parent && p->sibling->index == p->end && p->sibling->header_begin >= p->body_end);
		must((p->name_count == 0) == (p->names == NULL));
		for (const struct mime_name *n = p->names; n; n = n->next)
			must(n->text.len > 0 && span_is_utf8(n->text) && span_is_utf8(n->key));
		for (const struct mime_param *q = p->params; q; q = q->next)
			must(span_is_utf8(q->value));
	}
	must(count == mime->part_count);
}

static void check_words(struct span value, struct arena *mem)
{
	struct words_address a;
	struct words_list list;
	struct buf out;

	buf_init(&out, value.len * 4 + 4);
	(void)words_decode(&out, value);
	must(!out.overflow && span_is_utf8(buf_span(&out)));
	buf_reset(&out);
	words_strip_comments(&out, value);
	must(out.len <= value.len);
	buf_clear(&out);
	words_list_init(&list, value);
	while (words_list_next(&list, mem, &a))
		must(span_is_utf8(a.name));
}

static void check_fields(const struct mime_source *source, const struct mime_part *part, struct span text, struct arena *mem)
{
	struct mime_fields fields;
	struct mime_field f;

	must(mime_fields_read(source, part, mem, &fields) == RC_OK);
	while (mime_fields_next(&fields, &f)) {
		must(f.name.len > 0 && f.value_at + f.value.len <= part->header_end && f.name_at >= part->header_begin);
		must(span_eq(f.value, span_head(span_from(text, (size_t)f.value_at), f.value.len)));
		check_words(f.value, mem);
	}
}

/* the same bytes in order, and again from the middle */
static void check_reader(const struct mime_source *source, const struct mime_part *part)
{
	struct mime_reader r;
	size_t len = 0, n, max = (size_t)(part->body_end - part->body_begin) + 1; /* no encoding makes it longer */
	uint8_t byte, *all = malloc(max);

	mime_reader_init(&r, source, part);
	while ((n = mime_reader_read(&r, all + len, 1 + len % 700 < max - len ? 1 + len % 700 : max - len)) > 0)
		len += n;
	must(mime_reader_bytes(&r) == len && !r.cut);
	for (size_t at = len; at > 0; at /= 2) {
		must(mime_reader_seek(&r, at - 1) == at - 1);
		must(mime_reader_read(&r, &byte, 1) == 1 && byte == all[at - 1]);
	}
	mime_reader_clear(&r);
	(void)attach_type_of(span_of(all, len));
	free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mime *whole, *cut;
	struct mime_scan *a, *b;
	struct mime_source source;
	struct arena mem;
	struct buf one, two;
	struct span text;
	unsigned flags;

	if (size < 2 || size > TEXT_MAX_BYTES)
		return 0;
	text = span_of(data + 2, size - 2);
	flags = data[0] & 1 ? MIME_LF : 0;
	a = scan(text, flags, text.len, 1, &whole);
	b = scan(text, flags, data[0] / 2u < text.len ? data[0] / 2u : text.len, data[1] + 1u, &cut);
	buf_init(&one, 64 << 20);
	buf_init(&two, 64 << 20);
	mime_write(&one, whole);
	mime_write(&two, cut);
	must(span_eq(buf_span(&one), buf_span(&two)));
	check_tree(whole, text);
	arena_init(&mem, 16 << 20);
	source = mime_source_memory(&text);
	for (const struct mime_part *p = whole->parts; p && p->index < PARTS_READ; p = p->next) {
		check_fields(&source, p, text, &mem);
		check_reader(&source, p);
	}
	arena_clear(&mem);
	buf_clear(&one);
	buf_clear(&two);
	mime_scan_free(&a);
	mime_scan_free(&b);
	return 0;
}
