/* Strings of a script as values: encoded characters and the look for variables. */
#include "policy/sieve_compile.h"

static int hex_digit(uint8_t c)
{
	return byte_is_digit(c) ? c - '0' : byte_lower(c) >= 'a' && byte_lower(c) <= 'f' ? byte_lower(c) - 'a' + 10 : -1;
}

static size_t utf8_write(uint8_t *to, uint32_t point)
{
	if (point < 0x80) {
		to[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		to[0] = (uint8_t)(0xc0 | point >> 6);
		to[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		to[0] = (uint8_t)(0xe0 | point >> 12);
		to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		to[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	to[0] = (uint8_t)(0xf0 | point >> 18);
	to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	to[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

enum { SIEVE_ENCODED_BYTES = 4096 }; /* of one ${...} as written; a longer one is plain text */

/* One ${hex:...} or ${unicode:...} at the start of `in`, to `to` (which is never longer). How many bytes of `in` it took, 0: it is
 * plain text; *fault: it names a character that does not exist. RFC 5228 2.4.2.4. */
static size_t encoded_read(struct span in, uint8_t *to, size_t *len_out, bool *fault)
{
	bool unicode = span_starts_nocase(in, SPAN_LIT("${unicode:"));
	size_t at = unicode ? 10 : 6, len = 0;
	bool any = false;

	if (!unicode && !span_starts_nocase(in, SPAN_LIT("${hex:")))
		return 0;
	while (at < in.len && in.ptr[at] != '}') {
		uint32_t n = 0;
		size_t digits = 0;

		if (strchr(" \t\r\n", in.ptr[at])) {
			at++;
			continue;
		}
		for (; at < in.len && hex_digit(in.ptr[at]) >= 0; at++, digits++)
			n = n > 0xffffff ? n : n << 4 | (uint32_t)hex_digit(in.ptr[at]);
		if (digits == 0 || (!unicode && digits > 2))
			return 0;
		*fault |= unicode && (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff));
		if (*fault)
			return 0;
		any = true;
		if (unicode)
			len += utf8_write(to + len, n);
		else
			to[len++] = (uint8_t)n;
	}
	if (at >= in.len || !any)
		return 0;
	*len_out = len;
	return at + 1;
}

static bool string_decode(struct sieve_compile *c, struct span *s)
{
	uint8_t *to = (uint8_t *)(uintptr_t)s->ptr; /* our own copy; what is written is never longer than what was read */
	size_t len = 0;

	for (size_t i = 0; i < s->len;) {
		uint8_t decoded[SIEVE_ENCODED_BYTES];
		bool fault = false;
		size_t got = 0, took = 0;

		if (s->ptr[i] == '$')
			took = encoded_read(span_head(span_from(*s, i), sizeof(decoded)), decoded, &got, &fault);
		if (fault)
			return sieve_lex_fault(&c->lex, c->lex.start, "this string names a character that Unicode does not have");
		if (took > 0)
			memcpy(to + len, decoded, got);
		else
			to[len++] = s->ptr[i++];
		len += got;
		i += took;
	}
	s->len = len;
	return true;
}

/* looks at the ${...} of a string: an index or a name is to be filled in, a namespace that nobody has is a fault (RFC 5229 3) */
static bool string_variables(struct sieve_compile *c, struct span s, bool *vars_out)
{
	for (size_t i = 0; i + 2 < s.len; i++) {
		struct span name;
		uint8_t first;

		if (s.ptr[i] != '$' || s.ptr[i + 1] != '{')
			continue;
		name = span_head(span_from(s, i + 2), span_find(span_from(s, i + 2), '}'));
		if (name.len == 0 || name.len == s.len - i - 2 || name.len > LIMIT_SIEVE_NAME_BYTES)
			continue;
		first = name.ptr[0];
		if (byte_is_digit(first)) {
			uint64_t n = 0;
			bool number = true;

			for (size_t k = 0; k < name.len; k++) {
				number &= byte_is_digit(name.ptr[k]);
				n = n > 99 ? n : n * 10 + (uint64_t)(name.ptr[k] - '0');
			}
			if (number && n > 9)
				return sieve_lex_fault(&c->lex, c->lex.start, "${%.*s}: only ${0} to ${9} are kept of a match", SPAN_FMT(name));
			*vars_out |= number;
		} else if (sieve_variable_name_ok(name)) {
			*vars_out = true;
		} else if (span_find(name, '.') < name.len && sieve_variable_name_ok(span_head(name, span_find(name, '.')))) {
			struct buf shown;

			buf_init(&shown, 512);
			(void)sieve_lex_fault(&c->lex, c->lex.start, "unknown namespace in \"${%s}\"; names have no dot here", sieve_show(name, &shown));
			buf_clear(&shown);
			return false;
		}
	}
	return true;
}

bool sieve_compile_string(struct sieve_compile *c, struct sieve_string *out)
{
	struct span s;
	bool vars = false;

	if (c->mem->used_bytes - c->mem_before + c->lex.word.len > c->max_bytes || !sieve_lex_string(&c->lex, c->mem, &s))
		return sieve_compile_alloc(c, c->max_bytes + 1) != NULL;
	if (c->ext & SIEVE_EXT(ENCODED) && !string_decode(c, &s))
		return false;
	if (c->ext & SIEVE_EXT(VARIABLES) && !string_variables(c, s, &vars))
		return false;
	*out = (struct sieve_string){.ptr = s.ptr, .len = (uint32_t)s.len, .vars = vars};
	return true;
}
