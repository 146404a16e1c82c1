/* explain_index_table - the index over all known wordings: made at build time by index_gen.c, read by explain_index.c. */
#ifndef MAILROOM_ANSWER_EXPLAIN_INDEX_TABLE_H
#define MAILROOM_ANSWER_EXPLAIN_INDEX_TABLE_H

#include "answer/explain_index.h"

enum {
	INDEX_GRAM_BITS = 16,
	INDEX_GRAMS = 1 << INDEX_GRAM_BITS,
	INDEX_PATTERNS_MAX = 8192,
	INDEX_BRIEF_MAX = 64,
	INDEX_FIGURES = 2048,
};

struct index_pattern {
	uint8_t kind;	 /* enum index_kind */
	uint8_t gram_at; /* its rarest four bytes */
	uint16_t number, rank;
	uint16_t next; /* with the same four, + 1; 0: no more */
};

/* a code with which a cause is known */
struct index_hint {
	uint64_t enhanced; /* index_pack; 0: none */
	uint16_t code;	   /* 0: an enhanced code alone; INDEX_POP3 */
	uint16_t cause;
	uint16_t rank; /* in `also` of the cause; INDEX_HINT_FORM: mailroom itself says it with that code */
};

enum { INDEX_POP3 = 1, INDEX_HINT_FORM = 255 };

/* the first eight bytes as one number */
static inline uint64_t index_pack(struct span code)
{
	uint64_t packed = 0;

	for (size_t i = 0; i < code.len && i < sizeof(packed); i++)
		packed = packed << 8 | byte_upper(code.ptr[i]);
	return packed;
}

extern const struct index_hint index_hints[]; /* by cause; ends with cause 0 */
extern const struct index_pattern index_patterns[];
extern const uint16_t index_first[INDEX_GRAMS]; /* in index_patterns, + 1 */
extern const uint64_t index_there[INDEX_GRAMS / 64];
extern const uint16_t index_brief[INDEX_BRIEF_MAX]; /* those with no four bytes between two "*" */
extern const size_t index_brief_count;
extern const uint16_t index_cause_stages[CAUSE_COUNT];
extern const bool index_cause_named[CAUSE_COUNT];
extern const uint32_t index_figures[INDEX_FIGURES]; /* hashes of the pieces with figures in any pattern; 0: free */

/* a run of letters and figures, as it stands in known wordings */
struct index_piece {
	struct span text; /* empty: there was no more */
	uint32_t hash;	  /* in lower case, never 0 */
	bool figures;	  /* it has some */
};

static inline struct index_piece index_piece_next(struct span *rest)
{
	struct index_piece piece = {SPAN_NONE, 2166136261U, false};
	size_t from = 0, to;

	while (from < rest->len && !byte_is_alnum(rest->ptr[from]) && rest->ptr[from] < 0x80)
		from++;
	for (to = from; to < rest->len && (byte_is_alnum(rest->ptr[to]) || rest->ptr[to] >= 0x80); to++) {
		piece.figures = piece.figures || byte_is_digit(rest->ptr[to]);
		piece.hash = (piece.hash ^ byte_lower(rest->ptr[to])) * 16777619U;
	}
	piece.text = span_head(span_from(*rest, from), to - from);
	piece.hash = piece.hash ? piece.hash : 1;
	*rest = span_from(*rest, to);
	return piece;
}

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
