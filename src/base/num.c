#include "base/num.h"

enum rc num_parse(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	bool over = false;

	if (s.len == 0 || s.len > 20)
		return RC_BAD;
	for (size_t i = 0; i < s.len; i++) {
		if (!byte_is_digit(s.ptr[i]))
			return RC_BAD;
		over |= __builtin_mul_overflow(n, (uint64_t)10, &n);
		over |= __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n);
	}
	if (over || n > max)
		return RC_LIMIT;
	*out = n;
	return RC_OK;
}

struct num_unit {
	const char *name;
	uint64_t factor;
};

static enum rc num_parse_unit(struct span s, const struct num_unit *units, uint64_t *out)
{
	size_t digits = 0;
	uint64_t n;
	struct span unit;
	enum rc rc;

	s = span_trim(s);
	while (digits < s.len && byte_is_digit(s.ptr[digits]))
		digits++;
	rc = num_parse(span_head(s, digits), UINT64_MAX, &n);
	if (rc != RC_OK)
		return rc;
	unit = span_trim(span_from(s, digits));
	for (; units->name; units++) {
		if (!span_eq_nocase(unit, span_str(units->name)))
			continue;
		if (__builtin_mul_overflow(n, units->factor, &n) || n > INT64_MAX)
			return RC_LIMIT;
		*out = n;
		return RC_OK;
	}
	return RC_BAD;
}

enum rc num_parse_duration_ms(struct span s, uint64_t *ms_out)
{
	static const struct num_unit units[] = {{"ms", 1}, {"s", 1000}, {"sec", 1000}, {"min", 60000}, {"m", 60000},
		{"h", 3600000}, {"d", 86400000}, {NULL, 0}};

	return num_parse_unit(s, units, ms_out);
}

enum rc num_parse_size_bytes(struct span s, uint64_t *bytes_out)
{
	static const struct num_unit units[] = {{"", 1}, {"B", 1}, {"KB", 1 << 10}, {"KiB", 1 << 10}, {"K", 1 << 10},
		{"MB", 1 << 20}, {"MiB", 1 << 20}, {"M", 1 << 20}, {"GB", 1 << 30}, {"GiB", 1 << 30}, {"G", 1 << 30}, {NULL, 0}};

	return num_parse_unit(s, units, bytes_out);
}

uint64_t num_le(const uint8_t *at, size_t bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | at[bytes];
	return n;
}

static const char base32_digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

char *num_base32(uint64_t n, unsigned digits, char out[14])
{
	char text[13];
	unsigned at = sizeof(text), i = 0;

	do
		text[--at] = base32_digits[n & 31];
	while (n >>= 5);
	while (sizeof(text) - at < digits && at > 0)
		text[--at] = '0';
	while (at < sizeof(text))
		out[i++] = text[at++];
	out[i] = '\0';
	return out;
}

enum rc num_parse_base32(struct span s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || s.len > 13)
		return RC_BAD;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = byte_upper(s.ptr[i]);
		const char *at = c ? strchr(base32_digits, c) : NULL;

		if (!at)
			return RC_BAD;
		if (n >> 59)
			return RC_LIMIT;
		n = n << 5 | (uint64_t)(at - base32_digits);
	}
	*out = n;
	return RC_OK;
}
