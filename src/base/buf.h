/* buf - a growing byte buffer with a ceiling set at birth. Writing past the ceiling sets a sticky overflow flag and
 * changes nothing else, so a writer checks once at the end. Holds no memory while empty and untouched. */
#ifndef MAILROOM_BASE_BUF_H
#define MAILROOM_BASE_BUF_H

#include "base/span.h"

struct buf {
	uint8_t *ptr;
	size_t len;       /* bytes in use */
	size_t size;      /* bytes allocated */
	size_t max_bytes; /* ceiling */
	bool overflow;    /* a write did not fit; all later writes are dropped too */
	bool secret;      /* nothing of it stays behind in memory that it leaves: when it grows, drops bytes, is reset or cleared */
};

void buf_init(struct buf *b, size_t max_bytes);
/* for what may hold passwords */
void buf_init_secret(struct buf *b, size_t max_bytes);
/* frees the memory; the ceiling stays and the buffer can be used again */
void buf_clear(struct buf *b);
/* len = 0, overflow = false; keeps the memory */
void buf_reset(struct buf *b);
static inline struct span buf_span(const struct buf *b) { return span_of(b->ptr, b->len); }
/* Room for `bytes` more at ptr+len; the caller writes there and adds to len. NULL: over the ceiling (sets overflow). */
uint8_t *buf_reserve(struct buf *b, size_t bytes);
void buf_add(struct buf *b, struct span s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_byte(struct buf *b, uint8_t c);
void buf_add_u64(struct buf *b, uint64_t n); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* drops the first n bytes (moves the rest down) */
void buf_drop(struct buf *b, size_t n);
/* little-endian integers, for frames */
void buf_add_le16(struct buf *b, uint16_t n);
void buf_add_le32(struct buf *b, uint32_t n);
void buf_add_le64(struct buf *b, uint64_t n);
/* NUL-terminated view of the contents, valid till the next write; the NUL is not counted in len. Overflow gives "". */
const char *buf_cstr(struct buf *b);
/* Text from outside made safe for a log or a terminal: bytes outside 0x20..0x7e and the backslash become \xNN; at most
 * max_in bytes of s are shown, then "...". */
void buf_add_safe(struct buf *b, struct span s, size_t max_in);

#endif
