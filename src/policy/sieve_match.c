/* Comparators and match types (RFC 5228 2.7, RFC 4790, RFC 5231). Every comparison costs the bytes it looks at. No pattern is worse than
 * length of value times length of pattern. */
#include "policy/sieve_exec.h"

enum { STEPS_AT_ONCE = 4096 };

/* --- i;unicode-casemap: ASCII, Latin, Greek and Cyrillic letters of two bytes (RFC 5051 has all of Unicode) --- */

static uint32_t fold_point(uint32_t p)
{
	if ((p >= 0xc0 && p <= 0xde && p != 0xd7) || (p >= 0x391 && p <= 0x3a9 && p != 0x3a2) || (p >= 0x410 && p <= 0x42f))
		return p + 32;
	if (p >= 0x400 && p <= 0x40f)
		return p + 80;
	if ((p >= 0x100 && p <= 0x137 && p != 0x130 && p != 0x131) || (p >= 0x14a && p <= 0x177) || (p >= 0x460 && p <= 0x481) ||
	    (p >= 0x48a && p <= 0x4bf) || (p >= 0x4d0 && p <= 0x52f)) /* capital and small letter side by side */
		return p | 1;
	if ((p >= 0x139 && p <= 0x148) || (p >= 0x179 && p <= 0x17e))
		return p + (p & 1);
	if (p >= 0x388 && p <= 0x38a) /* Greek letters with an accent */
		return p + 37;
	if (p == 0x38e || p == 0x38f)
		return p + 63;
	return p == 0x178 ? 0xff : p == 0x386 ? 0x3ac : p == 0x38c ? 0x3cc : p == 0x3c2 ? 0x3c3 : p;
}

/* same length, so that places in the folded text are places in the text */
static void fold_unicode(struct span s, uint8_t *to)
{
	for (size_t i = 0; i < s.len; i++) {
		to[i] = byte_lower(s.ptr[i]);
		if (s.ptr[i] >= 0xc2 && s.ptr[i] <= 0xdf && i + 1 < s.len && (s.ptr[i + 1] & 0xc0) == 0x80) {
			uint32_t p = fold_point((uint32_t)(s.ptr[i] & 0x1f) << 6 | (s.ptr[i + 1] & 0x3fu));

			to[i] = (uint8_t)(0xc0 | p >> 6);
			to[++i] = (uint8_t)(0x80 | (p & 0x3f));
		}
	}
}

/* --- one comparison --- */

struct compare {
	struct sieve_run *r;
	const struct sieve_node *node;
	bool fold; /* ASCII letters of any case are equal */
	bool characters; /* "?" is a UTF-8 character, else a byte */
};

static bool same(const struct compare *c, uint8_t a, uint8_t b)
{
	return c->fold ? byte_lower(a) == byte_lower(b) : a == b;
}

static bool match_is(const struct compare *c, struct span value, struct span key)
{
	if (value.len != key.len || !sieve_run_spend(c->r, c->node, key.len))
		return false;
	return c->fold ? span_eq_nocase(value, key) : span_eq(value, key);
}

struct skip { /* where the letter stands next in its two cases */
	size_t lower_at, upper_at;
	bool known;
};

enum { SKIPPED_A_STEP = 16 };

static size_t find_from(struct span s, size_t from, uint8_t byte)
{
	return from + span_find(span_from(s, from), byte);
}

/* the next place from `at` on that may begin the key: memchr is many times as fast as comparing */
static size_t first_byte(const struct compare *c, struct span value, size_t at, uint8_t byte, struct skip *skip)
{
	uint8_t lower = c->fold ? byte_lower(byte) : byte, upper = c->fold ? byte_upper(byte) : byte;

	if (!skip->known || skip->lower_at < at)
		skip->lower_at = find_from(value, at, lower);
	if (upper == lower)
		skip->upper_at = skip->lower_at;
	else if (!skip->known || skip->upper_at < at)
		skip->upper_at = find_from(value, at, upper);
	skip->known = true;
	return skip->lower_at < skip->upper_at ? skip->lower_at : skip->upper_at;
}

static bool match_contains(const struct compare *c, struct span value, struct span key)
{
	struct skip skip = {.upper_at = 0};
	uint64_t steps = 0;

	if (key.len == 0)
		return true;
	for (size_t at = 0; key.len <= value.len && at <= value.len - key.len; at++) {
		size_t n = 0, next = first_byte(c, value, at, key.ptr[0], &skip);

		steps += (next - at) / SKIPPED_A_STEP;
		at = next;
		if (at > value.len - key.len)
			break;
		while (n < key.len && same(c, value.ptr[at + n], key.ptr[n]))
			n++;
		if (n == key.len)
			return sieve_run_spend(c->r, c->node, steps + n);
		steps += n + 1;
		if (steps >= STEPS_AT_ONCE) {
			if (!sieve_run_spend(c->r, c->node, steps))
				return false;
			steps = 0;
		}
	}
	return sieve_run_spend(c->r, c->node, steps) && false;
}

/* what the wildcards of a pattern stood for */
struct captures {
	unsigned count; /* past SIEVE_MATCHES - 1 they are not kept */
	size_t from[SIEVE_MATCHES], to[SIEVE_MATCHES]; /* [0]: the whole value */
};

static void capture(struct captures *k, size_t from, size_t to)
{
	if (k->count + 1 < SIEVE_MATCHES) {
		k->from[k->count + 1] = from;
		k->to[k->count + 1] = to;
	}
	k->count++;
}

static size_t character_len(const struct compare *c, struct span value, size_t at)
{
	size_t n = 1;

	if (!c->characters || value.ptr[at] < 0xc0)
		return 1;
	while (at + n < value.len && n < 4 && (value.ptr[at + n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* ":matches": "*" takes as little as it can (RFC 5229 3.2), so each stretch between stars is looked for from left to right and only the last
 * star is ever tried again. */
static bool match_wild(const struct compare *c, struct span value, struct span pattern, struct captures *k)
{
	size_t v = 0, p = 0, star_p = SIZE_MAX, star_v = 0;
	unsigned star_k = 0;
	uint64_t steps = 0;

	k->count = 0;
	for (;;) {
		if (++steps == STEPS_AT_ONCE) {
			if (!sieve_run_spend(c->r, c->node, steps))
				return false;
			steps = 0;
		}
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star_p = ++p;
			star_v = v;
			star_k = k->count;
			capture(k, v, v);
			continue;
		}
		if (p == pattern.len && v == value.len)
			return sieve_run_spend(c->r, c->node, steps);
		if (p < pattern.len && v < value.len) {
			bool escaped = pattern.ptr[p] == '\\' && p + 1 < pattern.len;

			if (pattern.ptr[p] == '?') {
				size_t n = character_len(c, value, v);

				capture(k, v, v + n);
				v += n;
				p++;
				continue;
			}
			if (same(c, value.ptr[v], pattern.ptr[p + escaped])) {
				v++;
				p += 1u + escaped;
				continue;
			}
		}
		if (star_p == SIZE_MAX || star_v >= value.len)
			return sieve_run_spend(c->r, c->node, steps) && false;
		star_v += character_len(c, value, star_v); /* one character more for the last star */
		v = star_v;
		p = star_p;
		k->count = star_k + 1;
		if (star_k + 1 < SIEVE_MATCHES)
			k->to[star_k + 1] = v;
	}
}

bool sieve_number(struct span text, uint64_t *out)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < text.len && byte_is_digit(text.ptr[i])) {
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)(text.ptr[i] - '0'), &n))
			n = UINT64_MAX;
		i++;
		if (n == UINT64_MAX)
			break;
	}
	*out = i == 0 ? UINT64_MAX : n; /* RFC 4790 9.1.1: no digit is greater than all numbers */
	return i > 0;
}

/* <0, 0, >0 */
static int order(const struct compare *c, const struct sieve_match *m, struct span value, struct span key)
{
	uint64_t a, b;

	if (m->node->comparator == SIEVE_ASCII_NUMERIC) {
		(void)sieve_number(value, &a);
		(void)sieve_number(key, &b);
		return a < b ? -1 : a > b;
	}
	for (size_t i = 0; i < value.len && i < key.len; i++) {
		uint8_t x = c->fold ? byte_upper(value.ptr[i]) : value.ptr[i], y = c->fold ? byte_upper(key.ptr[i]) : key.ptr[i];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return value.len < key.len ? -1 : value.len > key.len;
}

static bool holds(enum sieve_relation relation, int order)
{
	switch (relation) {
	case SIEVE_GT:
		return order > 0;
	case SIEVE_GE:
		return order >= 0;
	case SIEVE_LT:
		return order < 0;
	case SIEVE_LE:
		return order <= 0;
	case SIEVE_EQ:
		return order == 0;
	case SIEVE_NE:
		return order != 0;
	}
	return false;
}

/* --- a test: many values, many keys --- */

bool sieve_match_init(struct sieve_run *r, const struct sieve_node *n, const struct sieve_value *keys, struct sieve_match *m)
{
	*m = (struct sieve_match){.node = n, .key_count = keys->count};
	if (!sieve_run_spend(r, n, keys->count))
		return false;
	m->keys = arena_zalloc(&r->scratch, keys->count * sizeof(*m->keys));
	if (!m->keys)
		return sieve_run_full(r, n);
	for (unsigned i = 0; i < keys->count; i++) {
		struct span key = sieve_expand(r, n, &keys->strings[i]);

		if (n->comparator == SIEVE_UNICODE_CASEMAP && !sieve_node_has(n, SIEVE_TAG_COUNT)) {
			uint8_t *folded = arena_alloc(&r->scratch, key.len ? key.len : 1);

			if (!folded)
				return sieve_run_full(r, n);
			fold_unicode(key, folded);
			key = span_of(folded, key.len);
		}
		m->keys[i] = key;
	}
	return !r->ended;
}

/* RFC 5229 3.2: a successful :matches sets ${0} to ${9} */
static bool keep_captures(struct sieve_run *r, const struct captures *k, struct span value)
{
	for (unsigned i = 0; i < SIEVE_MATCHES; i++) {
		struct span part = i == 0 ? value : i <= k->count ? span_of(value.ptr + k->from[i], k->to[i] - k->from[i]) : SPAN_NONE;

		if (!sieve_run_spend(r, NULL, part.len < LIMIT_SIEVE_VALUE_BYTES ? part.len : LIMIT_SIEVE_VALUE_BYTES) ||
		    !sieve_slot_set(r, &r->matches[i], part))
			return false;
	}
	return true;
}

static bool match_key(struct sieve_run *r, struct sieve_match *m, const struct compare *c, struct span value, struct span seen, struct span key)
{
	const struct sieve_node *n = m->node;
	struct captures k;

	if (sieve_node_has(n, SIEVE_TAG_CONTAINS))
		return match_contains(c, seen, key);
	if (sieve_node_has(n, SIEVE_TAG_VALUE))
		return sieve_run_spend(r, n, key.len) && holds(n->relation, order(c, m, seen, key));
	if (!sieve_node_has(n, SIEVE_TAG_MATCHES))
		return n->comparator == SIEVE_ASCII_NUMERIC ? sieve_run_spend(r, n, key.len) && order(c, m, seen, key) == 0 : match_is(c, seen, key);
	if (!match_wild(c, seen, key, &k))
		return false;
	if (r->script->ext & SIEVE_EXT(VARIABLES) && !m->no_captures)
		return keep_captures(r, &k, value);
	return true;
}

bool sieve_match_value(struct sieve_run *r, struct sieve_match *m, struct span value)
{
	struct compare c = {.r = r, .node = m->node};
	struct span seen;

	m->seen++;
	if (!value.ptr)
		value = SPAN_LIT("");
	seen = value;
	if (sieve_node_has(m->node, SIEVE_TAG_COUNT))
		return false;
	c.fold = m->node->comparator == SIEVE_ASCII_CASEMAP;
	c.characters = m->node->comparator != SIEVE_OCTET;
	if (!sieve_run_spend(r, m->node, SIEVE_STEPS_VALUE * (1 + (uint64_t)m->key_count)))
		return false;
	if (m->node->comparator == SIEVE_UNICODE_CASEMAP) {
		uint8_t *to;

		buf_reset(&r->fold);
		to = buf_reserve(&r->fold, value.len ? value.len : 1);
		if (!to || !sieve_run_spend(r, m->node, value.len))
			return to ? false : sieve_run_full(r, m->node);
		fold_unicode(value, to);
		seen = span_of(to, value.len);
	}
	for (unsigned i = 0; i < m->key_count && !r->ended; i++)
		if (match_key(r, m, &c, value, seen, m->keys[i]))
			return !r->ended;
	return false;
}

bool sieve_match_end(struct sieve_run *r, struct sieve_match *m)
{
	if (r->ended || !sieve_node_has(m->node, SIEVE_TAG_COUNT))
		return false;
	for (unsigned i = 0; i < m->key_count; i++) {
		uint64_t key;

		(void)sieve_number(m->keys[i], &key);
		if (holds(m->node->relation, m->seen < key ? -1 : m->seen > key))
			return true;
	}
	return false;
}
