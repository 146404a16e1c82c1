/* journal - reads the log of a mail server (Postfix, Exim, sendmail, OpenSMTPD, Dovecot, Haraka, mailroom; in one file, too) of any length,
 * line by line, and counts which causes stand behind its refusals and whom they hit. Memory does not grow with the log: every table has a
 * fixed size, what does not fit is counted. What is only the consequence of an earlier refusal in the same session (pid, session name) is
 * not counted again. */
#ifndef MAILROOM_ANSWER_JOURNAL_H
#define MAILROOM_ANSWER_JOURNAL_H

#include "answer/explain.h"

enum { JOURNAL_NAMES = 8 };

struct journal_row {
	enum cause_id cause; /* CAUSE_INSUFFICIENT_TEXT: the words of these do not decide, or nothing fits */
	uint64_t count;
	double confidence;		     /* the mean */
	struct span first, last;	     /* time stamps as they stand in the log */
	struct span example;		     /* one line, masked */
	struct span names[JOURNAL_NAMES];    /* accounts or senders, not masked, the most frequent first */
	uint64_t name_counts[JOURNAL_NAMES]; /* at least so often */
	size_t name_count;
	uint64_t others; /* refusals of further ones, or of nobody named */
	int emitter;	 /* of the example */
};

struct journal; /* heap */
/* do the first lines look like a log? */
bool journal_is_log(struct span head);
struct journal *journal_new(void);
void journal_free(struct journal **journal);
/* any chunking */
void journal_feed(struct journal *j, struct span bytes);
/* no more comes; now the rows can be asked for */
void journal_end(struct journal *j);
/* the most frequent first; false: no such. The spans live as long as the journal */
bool journal_row(const struct journal *j, size_t index, struct journal_row *out);

/* The first refusal, or where there is none the first note of one: its causes and its line, masked. false: nothing of both. */
bool journal_first(const struct journal *j, struct explanation *out, struct span *line_out);

struct journal_counts {
	uint64_t bytes, lines, known; /* known: lines of a server that is known */
	uint64_t refusals, consequences;
	uint64_t cut;	    /* lines longer than is looked at */
	uint64_t forgotten; /* senders of messages that made room for others: their refusals are counted without a name */
};
struct journal_counts journal_counts(const struct journal *j);

#endif
