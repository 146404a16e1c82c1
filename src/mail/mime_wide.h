/* mime_wide - a resumable look at a message as it streams by: does its header, or the header of one of its parts, hold bytes beyond ASCII (RFC 6532)? Such a
 * message can only go to servers with SMTPUTF8; one that was merely sent with it can go to all. In doubt it says that there are: a line that begins with "--"
 * is taken for a boundary. O(1) memory; any chunking gives the same answer. Text in bodies does not count: that is what 8BITMIME is for. */
#ifndef MAILROOM_MAIL_MIME_WIDE_H
#define MAILROOM_MAIL_MIME_WIDE_H

#include "base/span.h"

struct mime_wide {
	bool body;          /* behind the empty line of a header */
	bool holds_message; /* the header that is being read says message/...: another header follows it */
	uint8_t line;       /* how the line begins: 0 nothing yet, 1 or 2 dashes, 3 it is of no interest */
	uint8_t matched;    /* characters of "message/" */
	bool found;
};
/* begins with the first byte of the message; zero it before */
void mime_wide_feed(struct mime_wide *w, struct span bytes);

#endif
