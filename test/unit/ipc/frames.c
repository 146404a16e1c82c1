#include "frames.h"

#include "msg_number.h"

uint64_t chance_below(struct chance *c, uint64_t n)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static struct span random_span(struct chance *c, size_t max, bool full, struct arena *mem)
{
	size_t len = full ? max : (size_t)chance_below(c, (max < 300 ? max : 300) + 1);
	uint8_t *to = len ? arena_alloc(mem, len) : NULL;

	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)chance_below(c, 256);
	return span_of(to, len);
}

static void fill_fields(struct chance *c, const struct msg_layout *layout, bool full, const int *fds, struct arena *mem, void *to);

static struct msg_list random_list(struct chance *c, const struct msg_field *f, bool full, struct arena *mem)
{
	_Alignas(max_align_t) uint8_t record[RECORD_STRUCT_MAX_BYTES];
	struct msg_list list = {.count = full ? (f->max < 300 ? f->max : 300) : (uint32_t)chance_below(c, 4)};
	struct buf raw;

	buf_init(&raw, 1 << 24);
	for (uint32_t i = 0; i < list.count; i++) {
		fill_fields(c, f->record, full, NULL, mem, record);
		codec_record_add(f->record, &raw, record);
	}
	list.raw = arena_copy(mem, buf_span(&raw));
	buf_clear(&raw);
	return list;
}

static void fill_fields(struct chance *c, const struct msg_layout *layout, bool full, const int *fds, struct arena *mem, void *to)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct msg_field *f = &layout->fields[i];
		void *at = (uint8_t *)to + f->offset;
		uint64_t n = chance_below(c, UINT64_MAX);

		if (msg_number_set(f->kind, at, n))
			continue;
		if (f->kind == MSG_FIELD_SPAN)
			*(struct span *)at = random_span(c, f->max, full, mem);
		else if (f->kind == MSG_FIELD_LIST)
			*(struct msg_list *)at = random_list(c, f, full, mem);
		else
			*(int *)at = *fds++;
	}
}

void frame_fill(struct chance *c, enum msg_type type, bool full, const int *fds, struct arena *mem, union msg_any *out)
{
	memset(out, 0, sizeof(*out));
	fill_fields(c, &msg_infos[type].layout, full, fds, mem, out);
}

static bool same_field(const struct msg_field *f, const void *a, const void *b)
{
	const struct msg_list *la = a, *lb = b;

	switch (f->kind) {
	case MSG_FIELD_U8:
	case MSG_FIELD_BOOL:
		return memcmp(a, b, 1) == 0;
	case MSG_FIELD_U16:
		return memcmp(a, b, 2) == 0;
	case MSG_FIELD_U32:
	case MSG_FIELD_FD:
		return memcmp(a, b, 4) == 0;
	case MSG_FIELD_U64:
		return memcmp(a, b, 8) == 0;
	case MSG_FIELD_SPAN:
		return span_eq(*(const struct span *)a, *(const struct span *)b);
	case MSG_FIELD_LIST:
		return la->count == lb->count && span_eq(la->raw, lb->raw);
	}
	return false;
}

bool frame_same(enum msg_type type, const union msg_any *a, const union msg_any *b)
{
	const struct msg_layout *layout = &msg_infos[type].layout;

	for (size_t i = 0; i < layout->field_count; i++)
		if (!same_field(&layout->fields[i], (const uint8_t *)a + layout->fields[i].offset, (const uint8_t *)b + layout->fields[i].offset))
			return false;
	return true;
}
