/* journal_shape - what two replies have in common that only differ in addresses, names, numbers and words of which nothing is known: one
 * number. Replies of one shape have the same causes, so only the first of them has to be weighed. Only for src/answer. */
#ifndef MAILROOM_ANSWER_JOURNAL_SHAPE_H
#define MAILROOM_ANSWER_JOURNAL_SHAPE_H

#include "base/span.h"

enum { SHAPE_BYTES = 512 }; /* that are looked at */

/* never 0; stage: REPLY_AT_*, part of it */
uint64_t shape_of(struct span reply, unsigned stage);

#endif
