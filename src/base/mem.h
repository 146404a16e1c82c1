/* mem - small allocations that do not fail: the role ends (exit 70) with a line on stderr when memory is gone. Only for
 * sizes that the program itself bounds; anything a peer can size goes through struct buf or struct arena. */
#ifndef MAILROOM_BASE_MEM_H
#define MAILROOM_BASE_MEM_H

#include <stddef.h>

#include "base/span.h"

void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mem_zalloc(size_t bytes) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mem_array(size_t count, size_t bytes_each) __attribute__((malloc, returns_nonnull, warn_unused_result)); /* zeroed */
void *mem_realloc(void *old, size_t bytes) __attribute__((returns_nonnull, warn_unused_result));
char *mem_str(const char *s) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* NUL-terminated copy */
char *mem_str_span(struct span s) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull, warn_unused_result));

#endif
