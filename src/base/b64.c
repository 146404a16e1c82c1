#include "base/b64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void b64_encode(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i += 3) {
		size_t left = s.len - i;
		uint32_t n = (uint32_t)s.ptr[i] << 16;
		uint8_t four[4];

		if (left > 1)
			n |= (uint32_t)s.ptr[i + 1] << 8;
		if (left > 2)
			n |= s.ptr[i + 2];
		four[0] = (uint8_t)digits[n >> 18];
		four[1] = (uint8_t)digits[n >> 12 & 63];
		four[2] = left > 1 ? (uint8_t)digits[n >> 6 & 63] : '=';
		four[3] = left > 2 ? (uint8_t)digits[n & 63] : '=';
		buf_add(out, span_of(four, 4));
	}
}

static int b64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum rc b64_decode(struct buf *out, struct span s)
{
	if (s.len % 4)
		return RC_BAD;
	for (size_t i = 0; i < s.len; i += 4) {
		size_t pad = i + 4 < s.len ? 0 : s.ptr[i + 3] != '=' ? 0 : s.ptr[i + 2] != '=' ? 1 : 2;
		uint32_t n = 0;
		uint8_t three[3];

		for (size_t k = 0; k < 4; k++) {
			int v = k >= 4 - pad ? 0 : b64_value(s.ptr[i + k]);

			if (v < 0)
				return RC_BAD;
			n = n << 6 | (uint32_t)v;
		}
		if ((pad == 1 && n & 0xff) || (pad == 2 && n & 0xffff))
			return RC_BAD;
		three[0] = (uint8_t)(n >> 16);
		three[1] = (uint8_t)(n >> 8);
		three[2] = (uint8_t)n;
		buf_add(out, span_of(three, 3 - pad));
	}
	return out->overflow ? RC_LIMIT : RC_OK;
}
