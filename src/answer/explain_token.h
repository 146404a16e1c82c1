/* explain_token - what single words speak for a cause, where no known wording stands in a text: each word of the known wordings is counted
 * for the causes that are worded with it (naive Bayes). A guess, and never more than that. Counted while mailroom is built (token_gen.c).
 * Only for src/answer. */
#ifndef MAILROOM_ANSWER_EXPLAIN_TOKEN_H
#define MAILROOM_ANSWER_EXPLAIN_TOKEN_H

#include "cause/cause.h"

/* points_out[cause]: logarithm of how much likelier the words are there than anywhere; 0 where nothing is known. support_out[cause]: how
 * many words and neighbours speak for it. Returns how many known words there were. */
size_t token_weigh(struct span words, double points_out[CAUSE_COUNT], uint8_t support_out[CAUSE_COUNT]);

#endif
