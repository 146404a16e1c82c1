/* journal_line - what one line of a mail server's log says: who wrote it, which session or message it is about, and the refusal in it. Only
 * for src/answer. */
#ifndef MAILROOM_ANSWER_JOURNAL_LINE_H
#define MAILROOM_ANSWER_JOURNAL_LINE_H

#include "cause/cause.h"

enum journal_what {
	JOURNAL_FOREIGN, /* no line of a server that is known */
	JOURNAL_OTHER,	 /* known, and nothing to count */
	JOURNAL_SENDER,	 /* `id` is from `name` */
	JOURNAL_DONE,	 /* `id` is through */
	JOURNAL_BEGIN,	 /* a session begins */
	JOURNAL_REFUSAL,
};

struct journal_line {
	enum journal_what what;
	struct span time, id, session, name;
	struct span reply;   /* the words of the refusal */
	enum cause_id cause; /* known without words; CAUSE_NONE: the words say it */
	unsigned stage;	     /* REPLY_AT_* */
};

void journal_line_read(struct span line, struct journal_line *out);

#endif
