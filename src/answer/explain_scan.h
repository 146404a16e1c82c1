/* explain_scan - takes a text apart for explain: its replies (codes) and its words. Only for src/answer. */
#ifndef MAILROOM_ANSWER_EXPLAIN_SCAN_H
#define MAILROOM_ANSWER_EXPLAIN_SCAN_H

#include "cause/cause.h"

enum {
	SCAN_REPLIES = 8,
	SCAN_BREAKS = 64, /* lines beyond run into each other */
};

struct scan_reply {
	unsigned code;	   /* 0: none, or POP3 */
	char enhanced[12]; /* "5.7.1", in POP3 the response code ("AUTH"); "": none */
	bool pop3;
	size_t at; /* where its words begin in scan.words */
};

struct scan {
	struct buf words; /* lower case, one blank between words, without codes and line breaks */
	struct scan_reply replies[SCAN_REPLIES];
	size_t count;
	size_t breaks[SCAN_BREAKS]; /* where in words a line begins that does not continue the one before */
	size_t break_count;
	size_t sentence;	   /* how many replies stood there when the last of these lines began */
	size_t inner;		   /* where in words the innermost reply that another one quotes begins; 0: none does */
	const uint8_t *inner_text; /* where in the text; NULL: not known */
	bool transcript;	   /* Sendmail's bounce, which quotes what the other side said */
	enum cause_id own;	   /* a reply of our own, whole and unchanged; CAUSE_NONE: no */
	enum cause_id behind;	   /* what `own` says it is a consequence of; CAUSE_NONE: nothing */
	enum cause_id quoted;	   /* another slug at the end of a line */
};

void scan_init(struct scan *s, struct span text);
void scan_clear(struct scan *s);

#endif
