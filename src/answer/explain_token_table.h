/* explain_token_table - which words speak for which causes: made at build time by token_gen.c, read by explain_token.c. Both take a text
 * apart with the functions below. */
#ifndef MAILROOM_ANSWER_EXPLAIN_TOKEN_TABLE_H
#define MAILROOM_ANSWER_EXPLAIN_TOKEN_TABLE_H

#include "cause/cause.h"

enum {
	TOKEN_SLOTS = 1 << 15, /* different words and pairs of neighbours */
	TOKEN_MAX = 24,	       /* bytes of a word that count */
	STEM_BYTES = 6,	       /* "rejected" and "rejecting" are one word */
};

struct token_pair {	      /* word and cause */
	float points;	      /* logarithm of how much likelier the word is there than anywhere */
	uint16_t cause, next; /* next: of the same word, + 1; 0: no more */
};

extern const uint32_t token_hashes[TOKEN_SLOTS]; /* 0: free */
extern const uint16_t token_first[TOKEN_SLOTS];	 /* in token_pairs, + 1 */
extern const struct token_pair token_pairs[];
extern const float token_cause_each[CAUSE_COUNT]; /* of a known word that the cause has not, for each such word */
extern const float token_cause_base[CAUSE_COUNT]; /* however many words there are: causes of which much is known */

static inline bool token_is_part(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* the stem of a word of letters as a hash; 0: one letter, which is no word */
static inline uint32_t token_stem(struct span word)
{
	size_t used = word.len > 4 && (word.ptr[word.len - 1] | 0x20) == 's' ? word.len - 1 : word.len;
	uint32_t hash = 2166136261U;

	if (word.len < 2)
		return 0;
	if (used > STEM_BYTES && used <= TOKEN_MAX)
		used = STEM_BYTES;
	for (size_t i = 0; i < used && i < TOKEN_MAX; i++)
		hash = (hash ^ byte_lower(word.ptr[i])) * 16777619U;
	return hash ? hash : 1;
}

/* The next word's stem; 0: no more. Figures are none. */
static inline uint32_t token_next(struct span *rest)
{
	while (rest->len) {
		size_t len = 0;
		uint32_t hash;

		while (rest->len && !token_is_part(rest->ptr[0]))
			*rest = span_from(*rest, 1);
		while (len < rest->len && token_is_part(rest->ptr[len]))
			len++;
		hash = token_stem(span_head(*rest, len));
		*rest = span_from(*rest, len);
		if (hash)
			return hash;
	}
	return 0;
}

/* two neighbours as one: "user unknown" is not "unknown host" */
static inline uint32_t token_both(uint32_t a, uint32_t b)
{
	uint32_t both = (a ^ (b << 7 | b >> 25)) * 2246822519U;

	return both ? both : 1;
}

static inline size_t token_slot(const uint32_t *hashes, uint32_t hash)
{
	size_t slot = hash % TOKEN_SLOTS;

	while (hashes[slot] && hashes[slot] != hash)
		slot = (slot + 1) % TOKEN_SLOTS;
	return slot;
}

#endif
