/* explain - from the words of a refusal to its cause: a reply of any mail server (one line or many, SMTP or POP3), an enhanced
 * code, a reply code, or a slug. The text is untrusted: it is only compared, never copied out, and a slug that a foreign text
 * quotes counts less than the last line of a reply of our own. Not for whole sessions with their facts (TLS, ports, order). */
#ifndef MAILROOM_ANSWER_EXPLAIN_H
#define MAILROOM_ANSWER_EXPLAIN_H

#include "cause/cause.h"

enum {
	EXPLAIN_INPUT_BYTES = 64 << 10, /* what is beyond is not looked at */
	EXPLAIN_FOUND_MAX = 6,
};

enum { /* what speaks for a cause; bits */
	EXPLAIN_BY_OWN = 1,      /* a well-formed reply of mailroom ends with its slug */
	EXPLAIN_BY_SLUG = 2,     /* the slug stands in the text */
	EXPLAIN_BY_PATTERN = 4,  /* known words */
	EXPLAIN_BY_ENHANCED = 8, /* the enhanced code, or the response code of POP3 */
	EXPLAIN_BY_CODE = 16,    /* the reply code */
};

struct explain_candidate {
	enum cause_id cause;
	double confidence;   /* 0..1 */
	unsigned by;         /* EXPLAIN_BY_* */
	const char *pattern; /* of the catalogue; NULL: none */
	const char *hint;    /* "550 5.7.1" of the catalogue; NULL: none */
};

struct explanation {
	struct explain_candidate found[EXPLAIN_FOUND_MAX]; /* best first */
	size_t count;
	bool undecided;    /* the words fit several causes: the first ones are a ranked pair, see insufficient-text */
	bool own;          /* the emitter is a mailroom; else unknown */
	bool cut;          /* there was more input than EXPLAIN_INPUT_BYTES */
	unsigned code;     /* the first refusal's reply code, 0: none */
	char enhanced[12]; /* its enhanced code, "": none */
};

void explain_text(struct span input, struct explanation *out);
/* the reason for a candidate in words: pattern "relay access denied", code 554 5.7.1 */
void explain_why(struct buf *out, const struct explain_candidate *c);

#endif
