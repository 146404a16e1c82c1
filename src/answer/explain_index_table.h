/* explain_index_table - the index over all known wordings: made at build time by index_gen.c, read by explain_index.c. */
#ifndef MAILROOM_ANSWER_EXPLAIN_INDEX_TABLE_H
#define MAILROOM_ANSWER_EXPLAIN_INDEX_TABLE_H

#include "answer/explain_index.h"

enum {
	INDEX_GRAM_BITS = 16,
	INDEX_GRAMS = 1 << INDEX_GRAM_BITS,
	INDEX_PATTERNS_MAX = 8192,
	INDEX_BRIEF_MAX = 64,
};

struct index_pattern {
	uint8_t kind;	 /* enum index_kind */
	uint8_t gram_at; /* its rarest four bytes */
	uint16_t number, rank;
	uint16_t next; /* with the same four, + 1; 0: no more */
};

extern const struct index_pattern index_patterns[];
extern const uint16_t index_first[INDEX_GRAMS]; /* in index_patterns, + 1 */
extern const uint64_t index_there[INDEX_GRAMS / 64];
extern const uint16_t index_brief[INDEX_BRIEF_MAX]; /* those with no four bytes between two "*" */
extern const size_t index_brief_count;
extern const uint16_t index_cause_stages[CAUSE_COUNT];
extern const bool index_cause_named[CAUSE_COUNT];

static inline unsigned index_gram(const uint8_t *at)
{
	uint32_t four;

	memcpy(&four, at, sizeof(four));
	return (four * 2654435761U) >> (32 - INDEX_GRAM_BITS);
}

static inline const char *index_text(const struct index_pattern *p)
{
	if (p->kind == INDEX_REPLY)
		return reply_text(reply_patterns[p->number].pattern);
	if (p->kind == INDEX_CAUSE)
		return cause_get((enum cause_id)p->number)->patterns[p->rank];
	return reply_text(reply_words[reply_emitters[p->number].recognise_at + p->rank]);
}

#endif
