/* arena - memory that is given back all at once. Has a ceiling; past it allocations return NULL and a sticky flag is set,
 * which the owner turns into a cause. Blocks start small so that an idle connection costs little. */
#ifndef MAILROOM_BASE_ARENA_H
#define MAILROOM_BASE_ARENA_H

#include "base/span.h"

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used_bytes;          /* asked for in all */
	size_t max_bytes;           /* ceiling on used_bytes */
	bool overflow;
};

void arena_init(struct arena *a, size_t max_bytes);
/* frees all; the arena can be used again */
void arena_clear(struct arena *a);
/* 8-byte aligned, not zeroed; NULL past the ceiling */
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_zalloc(struct arena *a, size_t bytes);
/* copy; on overflow an empty span with ptr NULL */
struct span arena_copy(struct arena *a, struct span s);
/* NUL-terminated copy, or NULL */
char *arena_str(struct arena *a, struct span s);

#endif
