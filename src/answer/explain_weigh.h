/* explain_weigh - from the known wordings, codes and single words of a text to ranked causes. Only for explain.c. */
#ifndef MAILROOM_ANSWER_EXPLAIN_WEIGH_H
#define MAILROOM_ANSWER_EXPLAIN_WEIGH_H

#include "answer/explain.h"
#include "answer/explain_index.h"
#include "answer/explain_scan.h"

struct weighing {
	const struct scan *scan;
	const struct index_hits *hits;
	const struct explain_context *context;
	bool foreign_words; /* words of a server, not only those of the program that shows them */
	bool known_reply;   /* ... of which knowledge/replies says what they mean */
	double tokens[CAUSE_COUNT];
	double token_best; /* the highest of them, or 0 */
	size_t token_count;
	size_t code_spread; /* how many causes have the enhanced code */
};

/* fills in what is known of the words */
void weigh_look(struct weighing *w);
/* out->found, ->count and ->undecided */
void weigh_all(struct weighing *w, struct explanation *out);

#endif
