/* Whatever the bytes of an attachment are: the look inside ends, keeps its limits, and finds the same in one go and in small steps. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "mail/attach.h"

enum { ATTACHMENT_MAX_BYTES = 1 << 16 };

/* libarchive asks for as much memory as a header says that a name is long, and can be told no */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=256";
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static struct attach *look(const struct mime_source *source, const struct mime_part *part, uint64_t step, struct buf *out)
{
	struct attach *a = attach_new(source, part, ATTACH_INSIDE);
	const struct attach_facts *f = attach_facts(a);

	while (attach_run(a, step))
		;
	buf_init(out, 64 << 20);
	buf_printf(out, "%s %x %llu\n", f->type->word, f->flags, (unsigned long long)f->bytes_out);
	for (const struct attach_member *m = f->members; m; m = m->next) {
		must(span_is_utf8(m->name) && span_is_utf8(m->key) && m->depth >= 1 && m->depth <= LIMIT_ATTACH_DEPTH);
		buf_printf(out, "%u %s ", m->depth, m->type ? m->type->word : "-");
		buf_add(out, m->name);
		buf_add_byte(out, '\n');
	}
	return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct mime_source source = mime_source_memory(&text);
	struct mime_part part = {.body_end = size};
	struct attach *a, *b;
	struct buf one, two;

	must(attach_prepare(NULL) == RC_OK);
	if (size > ATTACHMENT_MAX_BYTES)
		return 0;
	a = look(&source, &part, UINT64_MAX, &one);
	b = look(&source, &part, 1, &two);
	must(span_eq(buf_span(&one), buf_span(&two)));
	must(attach_facts(a)->bytes_in == size);
	must(attach_facts(a)->bytes_out <= LIMIT_ATTACH_RATIO_FREE_BYTES + size * LIMIT_ATTACH_RATIO + (64 << 10) || (attach_facts(a)->flags & ATTACH_OVER));
	attach_free(&a);
	attach_free(&b);
	buf_clear(&one);
	buf_clear(&two);
	return 0;
}
