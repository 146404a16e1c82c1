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

struct token_pair { /* word and cause */
	float weight;
	uint16_t cause, next; /* next: of the same word, + 1; 0: no more */
};

extern const uint32_t token_hashes[TOKEN_SLOTS]; /* 0: free */
extern const uint16_t token_first[TOKEN_SLOTS];	 /* in token_pairs, + 1 */
extern const float token_totals[TOKEN_SLOTS];
extern const struct token_pair token_pairs[];
extern const float token_cause_totals[CAUSE_COUNT];
extern const float token_all;

static inline bool token_is_part(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* The next word's stem as a hash; 0: no more. Digits and words of one letter are none. */
static inline uint32_t token_next(struct span *rest)
{
	while (rest->len) {
		size_t len = 0, used;
		uint32_t hash = 2166136261U;

		while (rest->len && !token_is_part(rest->ptr[0]))
			*rest = span_from(*rest, 1);
		while (len < rest->len && token_is_part(rest->ptr[len]))
			len++;
		used = len > 4 && rest->ptr[len - 1] == 's' ? len - 1 : len;
		if (used > STEM_BYTES && used <= TOKEN_MAX)
			used = STEM_BYTES;
		for (size_t i = 0; i < used && i < TOKEN_MAX; i++)
			hash = (hash ^ rest->ptr[i]) * 16777619U;
		*rest = span_from(*rest, len);
		if (len > 1)
			return hash ? hash : 1;
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
