/* explain_wording - what a refusal seems to say, from what single words mean in several languages (knowledge/wording.yaml): a sentence that
 * has all concepts of a rule speaks for its cause. A guess by meaning for texts that no known reply fits, and never more than that. Words
 * are known as a whole, by their beginning, as neighbours, and Chinese and Japanese ones anywhere. Only for src/answer. */
#ifndef MAILROOM_ANSWER_EXPLAIN_WORDING_H
#define MAILROOM_ANSWER_EXPLAIN_WORDING_H

#include "answer/explain_scan.h"
#include "answer/replies_table.h"

/* sure_out: of every cause, 0 to 1, CAUSE_COUNT of them; 0: no rule speaks for it */
void wording_read(const struct scan *text, double sure_out[CAUSE_COUNT]);
/* Does a letter begin there that is written without blanks around its word? Chinese, Japanese, Korean, full-width forms. */
static inline bool wording_is_wide(struct span text, size_t at)
{
	return at + 3 <= text.len && text.ptr[at] >= 0xe3 && text.ptr[at] <= 0xef;
}

#endif
