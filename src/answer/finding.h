/* finding - what came out of one input, whatever its form: the causes, who spoke, the line that shows it, and the chain of what led to it.
 * All text in it is masked (mask.h) and safe to show. Only for src/answer; others see include/mailroom/answer.h. */
#ifndef MAILROOM_ANSWER_FINDING_H
#define MAILROOM_ANSWER_FINDING_H

#include "answer/facts.h"

enum {
	FINDING_STEPS = 8,
	FINDING_LINE_BYTES = 600, /* of a line of evidence */
	FINDING_RECIPIENTS = 16,  /* of a bounce */
};

enum form { FORM_REPLY, FORM_BOUNCE, FORM_TRANSCRIPT, FORM_LOG };

enum speaker {
	SPEAKER_UNKNOWN,
	SPEAKER_SERVER,	   /* the one that the program talks to */
	SPEAKER_PROGRAM,   /* the mail program or its library */
	SPEAKER_MIDDLEBOX, /* a firewall or virus scanner in between */
	SPEAKER_FILTER,	   /* a filter behind the server */
	SPEAKER_REMOTE,	   /* the next server, which the first one quotes */
	SPEAKER_DNS_LIST,  /* a block list */
	SPEAKER_DNS,	   /* name service */
	SPEAKER_OURS,	   /* a mailroom */
};

/* one of those to whom a message did not come */
struct finding_recipient {
	struct buf address, evidence;
	enum cause_id cause; /* CAUSE_INSUFFICIENT_TEXT: not decided */
	double confidence;
};

struct finding {
	enum form form;
	struct explanation e;
	enum speaker speaker;
	struct buf evidence;		 /* one line */
	struct buf steps[FINDING_STEPS]; /* the first thing that went wrong, what followed from it, ... */
	size_t step_count;
	struct finding_recipient recipients[FINDING_RECIPIENTS];
	size_t recipient_count;
	size_t more;	    /* further failed recipients, conversations or refusals in the same input */
	struct facts facts; /* of the conversation; nothing known in other forms */
};

void finding_init(struct finding *f);
void finding_clear(struct finding *f);
void finding_evidence(struct finding *f, struct span line);
/* the text is taken as it is: what of it comes from outside has to be masked */
void finding_step(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* puts a cause before all others; the ones that are there share what is left. One that is there already only moves */
void finding_promote(struct finding *f, enum cause_id cause, double confidence);
/* from the emitter and the cause */
void finding_speaker(struct finding *f);

/* The forms. Each says whether the text is one; false leaves the finding as it was. */
bool bounce_read(struct span text, struct finding *out);
bool talk_read(struct span text, struct finding *out);
/* any text: looks which form it has. A log gets only its form here: journal.h reads it. */
void finding_read(struct span text, struct finding *out);

#endif
