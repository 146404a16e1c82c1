#include "base/arena.h"

#include <stdlib.h>

#include "base/mem.h"

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	uint8_t bytes[];
};

enum { ARENA_FIRST_BYTES = 256, ARENA_BLOCK_MAX_BYTES = 16384 };

void arena_init(struct arena *a, size_t max_bytes)
{
	*a = (struct arena){.max_bytes = max_bytes};
}

void arena_clear(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(a, a->max_bytes);
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	struct arena_block *b = a->blocks;
	size_t want, size;
	void *p;

	if (__builtin_add_overflow(bytes, (size_t)7, &want) || a->overflow) {
		a->overflow = true;
		return NULL;
	}
	want &= ~(size_t)7;
	if (want > a->max_bytes - a->used_bytes) {
		a->overflow = true;
		return NULL;
	}
	if (!b || want > b->size - b->used) {
		size = b ? b->size * 2 : ARENA_FIRST_BYTES;
		if (size > ARENA_BLOCK_MAX_BYTES)
			size = ARENA_BLOCK_MAX_BYTES;
		if (size < want)
			size = want;
		b = mem_alloc(sizeof(*b) + size);
		*b = (struct arena_block){.next = a->blocks, .size = size};
		a->blocks = b;
	}
	p = b->bytes + b->used;
	b->used += want;
	a->used_bytes += want;
	return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
	void *p = arena_alloc(a, bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

struct span arena_copy(struct arena *a, struct span s)
{
	uint8_t *p = arena_alloc(a, s.len ? s.len : 1);

	if (!p)
		return SPAN_NONE;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return span_of(p, s.len);
}

char *arena_str(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (!p)
		return NULL;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}
