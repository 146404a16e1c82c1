/* explain_code - what the codes of a reply say by themselves, as the registries define them, for texts whose words nobody knows. Only for
 * src/answer. RFC 5321 section 4.2, RFC 4954 section 6 (reply codes); the IANA registry of SMTP Enhanced Status Codes (RFC 3463, 5248,
 * 7372, 7504, 7505). */
#ifndef MAILROOM_ANSWER_EXPLAIN_CODE_H
#define MAILROOM_ANSWER_EXPLAIN_CODE_H

#include "answer/replies_table.h"

enum { CODE_MEANINGS = 3 };

struct code_meaning {
	uint16_t cause; /* enum cause_id; CAUSE_NONE: no more */
	uint8_t percent;
};

/* enhanced: "5.7.8", its first figure does not count; "": none. Returns CODE_MEANINGS of them, the best first: what the enhanced code says,
 * where it says something, else what the reply code says; NULL: they say nothing. */
const struct code_meaning *code_means(unsigned code, struct span enhanced);

#endif
