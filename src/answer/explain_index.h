/* explain_index - every known wording (knowledge/replies, knowledge/clients, the patterns of knowledge/causes, the words by which emitters
 * are recognised) as one set, and the search for all of them in one pass: a text is looked at once, by four bytes at a time; only where the
 * rarest four bytes of a pattern stand is that pattern compared. The index is made while mailroom is built (index_gen.c): nothing is done
 * when it starts. Only for src/answer. */
#ifndef MAILROOM_ANSWER_EXPLAIN_INDEX_H
#define MAILROOM_ANSWER_EXPLAIN_INDEX_H

#include "answer/replies_table.h"

enum {
	INDEX_HITS = 256,     /* that are weighed; more in one text are left out */
	INDEX_EMITTERS = 160, /* that can be told apart */
	INDEX_GAP_BYTES = 80, /* what a "*" may stand for */
};

enum index_kind {
	INDEX_REPLY,   /* number: of reply_patterns */
	INDEX_CAUSE,   /* number: enum cause_id; rank: which of its patterns */
	INDEX_EMITTER, /* number: of reply_emitters */
};

struct index_hit {
	enum index_kind kind;
	uint16_t number, rank;
	const char *pattern;
	size_t at, end; /* in the words */
	bool loose;	/* the pattern has a "*" */
	bool again;	/* its second place: a program's words around it may have hidden the first */
};

struct index_hits {
	struct index_hit at[INDEX_HITS];
	size_t count;
	uint16_t emitters[INDEX_EMITTERS]; /* how many bytes of words by which it is recognised stand there; 0: it is not */
};

/* `words`: lower case, single blanks. Each pattern is found at its first two places. */
void index_search(struct span words, struct index_hits *out);
static inline bool index_has_emitter(const struct index_hits *hits, size_t emitter)
{
	return emitter < INDEX_EMITTERS && hits->emitters[emitter] > 0;
}
/* how well the codes of a reply fit those with which a cause is known */
struct index_fit {
	uint8_t fits;	     /* 3: code and enhanced code; 2: the enhanced code; 1: the code; 0: nothing */
	uint8_t rank;	     /* of the hint in `also` of the cause */
	bool known;	     /* is it known with that code at all? */
	bool code, enhanced; /* which of them fits */
};
/* code 0: none; fits_out: of every cause, CAUSE_COUNT of them. Returns how many causes have the enhanced code. */
size_t index_codes(unsigned code, struct span enhanced, bool pop3, struct index_fit *fits_out);
/* 0 to 7: less for a code that stands further behind in `also` */
double index_fit_worth(const struct index_fit *fit);
/* REPLY_AT_*, where in a conversation the replies that name the cause are said; 0: no reply tells */
unsigned index_stages(enum cause_id cause);
/* does any known reply of another server name it? */
bool index_is_named(enum cause_id cause);

#endif
