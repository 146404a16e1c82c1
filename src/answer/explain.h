/* explain - from the words of a refusal to its cause: a reply of any mail server (one line or many, SMTP, POP3, IMAP), a dialog of a mail
 * program, an enhanced code, a reply code, or a slug. The text is untrusted: it is only compared, never copied out, and a slug that a
 * foreign text quotes counts less than the last line of a reply of our own. Whole sessions, bounces and logs: forms.h, which asks here. */
#ifndef MAILROOM_ANSWER_EXPLAIN_H
#define MAILROOM_ANSWER_EXPLAIN_H

#include "answer/replies_table.h"

enum {
	EXPLAIN_INPUT_BYTES = 64 << 10, /* what is beyond is not looked at */
	EXPLAIN_FOUND_MAX = 6,
	EXPLAIN_NO_EMITTER = -1,
};

enum {				 /* what speaks for a cause; bits */
       EXPLAIN_BY_OWN = 1,	 /* a well-formed reply of mailroom ends with its slug */
       EXPLAIN_BY_SLUG = 2,	 /* the slug stands in the text */
       EXPLAIN_BY_PATTERN = 4,	 /* known words */
       EXPLAIN_BY_ENHANCED = 8,	 /* the enhanced code, or the response code of POP3 */
       EXPLAIN_BY_CODE = 16,	 /* the reply code */
       EXPLAIN_BY_WORDING = 32,	 /* single words, a guess */
       EXPLAIN_BY_STAGE = 64,	 /* when it was said */
       EXPLAIN_BY_EMITTER = 128, /* who said it */
       EXPLAIN_BY_LOG = 256,	 /* the log line itself names it */
       EXPLAIN_BY_TALK = 512,	 /* what happened in the conversation before */
};

struct explain_candidate {
	enum cause_id cause;
	double confidence;	       /* 0..1 */
	unsigned by;		       /* EXPLAIN_BY_* */
	unsigned against;	       /* EXPLAIN_BY_*: of these, what speaks against it */
	const char *pattern;	       /* of the catalogue; NULL: none */
	const char *hint;	       /* "550 5.7.1" of the catalogue; NULL: none */
	bool hint_code, hint_enhanced; /* which of both the text has */
	int reply; /* the known reply with that pattern, in reply_patterns; -1: the pattern is the catalogue's own, or none */
};

struct explanation {
	struct explain_candidate found[EXPLAIN_FOUND_MAX]; /* best first */
	size_t count;
	bool undecided;	   /* the words fit several causes: the first ones are a ranked pair, see insufficient-text */
	bool own;	   /* the emitter is a mailroom */
	bool cut;	   /* there was more input than EXPLAIN_INPUT_BYTES */
	int emitter;	   /* who said it, in reply_emitters; EXPLAIN_NO_EMITTER: unknown, or a mailroom (`own`) */
	int program;	   /* the mail program or library that showed it; EXPLAIN_NO_EMITTER: none recognised */
	unsigned stage;	   /* REPLY_AT_*: when it was said; 0: unknown */
	unsigned code;	   /* the first refusal's reply code, 0: none */
	char enhanced[12]; /* its enhanced code, "": none */
};

/* what is known besides the text */
struct explain_context {
	unsigned stage; /* REPLY_AT_*, several where it is not known which; 0: unknown */
	int emitter;	/* recognised before, by its banner; EXPLAIN_NO_EMITTER: not */
};

void explain_text(struct span input, struct explanation *out);
/* context NULL: nothing */
void explain_text_in(struct span input, const struct explain_context *context, struct explanation *out);
/* after confidences were changed: puts them in order, drops what is far behind, and says whether they decide */
void explain_settle(struct explanation *e);
/* the reason for a candidate in words: pattern "relay access denied", code 554 5.7.1 */
void explain_why(struct buf *out, const struct explain_candidate *c);
/* what speaks against it, in the text: "the code 550 belongs to others"; empty: nothing */
void explain_against(struct buf *out, const struct explanation *e, const struct explain_candidate *c);
/* what to fetch next where the words do not decide: what the words themselves leave open, else what would show each of the nearest causes
 */
void explain_ask(struct buf *out, const struct explanation *e);

#endif
