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
	bool foreign_words;	 /* words of a server, not only those of the program that shows them */
	bool known_reply;	 /* ... of which knowledge/replies says what they mean */
	bool inner_words;	 /* ... in the reply that another one quotes */
	bool general_words;	 /* all of the server's words only say that it went wrong */
	bool port25, port_other; /* named in the text: port 25; another one for sending */
	double tokens[CAUSE_COUNT];
	uint8_t token_support[CAUSE_COUNT]; /* how many of the words speak for it */
	double meant[CAUSE_COUNT];	    /* what the sentences say, by explain_wording.h */
	double meant_best;
	double coded[CAUSE_COUNT]; /* what the first codes say by themselves */
	double coded_best;
	double token_best; /* the highest of them, or 0 */
	size_t token_count;
	size_t code_spread; /* how many causes have the enhanced code */
};

/* fills in what is known of the words */
void weigh_look(struct weighing *w);
/* out->found, ->count and ->undecided */
void weigh_all(struct weighing *w, struct explanation *out);

#endif
