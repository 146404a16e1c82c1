#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { BUF_FIRST_BYTES = 64 };

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max_bytes = max_bytes};
}

void buf_init_secret(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max_bytes = max_bytes, .secret = true};
}

static void buf_wipe(struct buf *b)
{
	if (b->secret && b->ptr)
		explicit_bzero(b->ptr, b->size);
}

void buf_clear(struct buf *b)
{
	buf_wipe(b);
	free(b->ptr);
	*b = (struct buf){.max_bytes = b->max_bytes, .secret = b->secret};
}

void buf_reset(struct buf *b)
{
	if (b->secret && b->ptr)
		explicit_bzero(b->ptr, b->len);
	b->len = 0;
	b->overflow = false;
}

static void buf_resize(struct buf *b, size_t size)
{
	uint8_t *old = b->ptr;

	if (b->secret && old) {
		b->ptr = mem_alloc(size);
		memcpy(b->ptr, old, b->len);
		explicit_bzero(old, b->size);
		free(old);
	} else {
		b->ptr = mem_realloc(old, size);
	}
	b->size = size;
}

uint8_t *buf_reserve(struct buf *b, size_t bytes)
{
	size_t want, size;

	if (b->overflow || __builtin_add_overflow(b->len, bytes, &want) || want > b->max_bytes) {
		b->overflow = true;
		return NULL;
	}
	if (want > b->size) {
		size = b->size > b->max_bytes / 2 ? b->max_bytes : b->size * 2;
		if (size < BUF_FIRST_BYTES)
			size = BUF_FIRST_BYTES;
		if (size < want)
			size = want;
		buf_resize(b, size);
	}
	if (!b->ptr) /* zero bytes asked of an empty buffer */
		b->ptr = mem_alloc(b->size = 1);
	return b->ptr + b->len;
}

void buf_add(struct buf *b, struct span s)
{
	uint8_t *to = s.len ? buf_reserve(b, s.len) : NULL;

	if (!to)
		return;
	memcpy(to, s.ptr, s.len);
	b->len += s.len;
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, span_str(s));
}

void buf_add_byte(struct buf *b, uint8_t c)
{
	buf_add(b, span_of(&c, 1));
}

void buf_add_u64(struct buf *b, uint64_t n)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (uint8_t)('0' + n % 10);
	while (n /= 10);
	buf_add(b, span_of(digits + at, sizeof(digits) - at));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char few[256], *many = few;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(few, sizeof(few), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->overflow = true;
	} else if ((size_t)n >= sizeof(few)) {
		if ((size_t)n > b->max_bytes) {
			b->overflow = true;
		} else {
			many = mem_alloc((size_t)n + 1);
			(void)vsnprintf(many, (size_t)n + 1, fmt, again);
		}
	}
	va_end(again);
	if (!b->overflow)
		buf_add(b, span_of(many, (size_t)n));
	if (many != few)
		free(many);
}

void buf_drop(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n == 0)
		return;
	memmove(b->ptr, b->ptr + n, b->len - n);
	b->len -= n;
	if (b->secret)
		explicit_bzero(b->ptr + b->len, n);
}

static void buf_add_le(struct buf *b, uint64_t n, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(n >> (8 * i));
	buf_add(b, span_of(le, bytes));
}

void buf_add_le16(struct buf *b, uint16_t n)
{
	buf_add_le(b, n, 2);
}

void buf_add_le32(struct buf *b, uint32_t n)
{
	buf_add_le(b, n, 4);
}

void buf_add_le64(struct buf *b, uint64_t n)
{
	buf_add_le(b, n, 8);
}

const char *buf_cstr(struct buf *b)
{
	if (b->overflow)
		return "";
	if (b->len == b->size) { /* room for the NUL, which the ceiling does not count */
		buf_resize(b, b->len + 1);
	}
	b->ptr[b->len] = '\0';
	return (const char *)b->ptr;
}

void buf_add_safe(struct buf *b, struct span s, size_t max_in)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < s.len && i < max_in; i++) {
		uint8_t c = s.ptr[i];

		if (c >= 0x20 && c <= 0x7e && c != '\\') {
			buf_add_byte(b, c);
		} else {
			const uint8_t code[4] = {'\\', 'x', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};

			buf_add(b, span_of(code, 4));
		}
	}
	if (s.len > max_in)
		buf_add_str(b, "...");
}
