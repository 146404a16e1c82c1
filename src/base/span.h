/* span - a borrowed run of bytes. It owns nothing and is never NUL-terminated; whoever hands one out
 * says how long the bytes live. Knows nothing of mail. */
#ifndef MAILROOM_BASE_SPAN_H
#define MAILROOM_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *ptr;
	size_t len;
};

#define SPAN_LIT(s) ((struct span){(const uint8_t *)("" s), sizeof(s) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* for printf("%.*s", SPAN_FMT(x)): only for text already known to be printable */
#define SPAN_FMT(s) (int)(s).len, (const char *)(s).ptr

static inline struct span span_of(const void *ptr, size_t len) { return (struct span){ptr, len}; }
/* NULL gives the empty span */
static inline struct span span_str(const char *s) { return (struct span){(const uint8_t *)s, s ? strlen(s) : 0}; }
static inline bool span_eq(struct span a, struct span b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }
/* bytes from `from` on; empty where `from` is past the end */
static inline struct span span_from(struct span s, size_t from) { return from >= s.len ? SPAN_NONE : span_of(s.ptr + from, s.len - from); }
/* at most `len` bytes */
static inline struct span span_head(struct span s, size_t len) { return span_of(s.ptr, len < s.len ? len : s.len); }

/* ASCII case-insensitive */
bool span_eq_nocase(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
/* index of the first `byte`, or s.len */
size_t span_find(struct span s, uint8_t byte);
/* index of the first `needle`, or s.len */
size_t span_find_span(struct span s, struct span needle);
/* without leading and trailing SP and HTAB */
struct span span_trim(struct span s);
/* Cuts the part before `byte` off the front of *rest and returns it; the byte is dropped. Where there is none, all
 * of *rest is returned and *rest becomes empty with ptr NULL (so a loop can tell "ended" from "empty last part"). */
struct span span_cut(struct span *rest, uint8_t byte);
/* every byte in 0x21..0x7e */
bool span_is_vchar(struct span s);
/* every byte < 0x80 */
bool span_is_ascii(struct span s);
/* well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) */
bool span_is_utf8(struct span s);

static inline uint8_t byte_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }
static inline uint8_t byte_upper(uint8_t c) { return c >= 'a' && c <= 'z' ? (uint8_t)(c & 0xdf) : c; }
static inline bool byte_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static inline bool byte_is_alpha(uint8_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static inline bool byte_is_alnum(uint8_t c) { return byte_is_digit(c) || byte_is_alpha(c); }

#endif
