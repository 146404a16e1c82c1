/* bounce_mime - the readable parts of a report that came as a whole mail: what a server wrote for people (plain text, or HTML without its
 * tags) and for machines (message/delivery-status), decoded, one behind the other. What the sender had written, which many reports hold, is
 * left out; a report that somebody forwarded is found. RFC 3462, 3464. Only for bounce.c. */
#ifndef MAILROOM_ANSWER_BOUNCE_MIME_H
#define MAILROOM_ANSWER_BOUNCE_MIME_H

#include "base/buf.h"

/* false: it is no mail with parts, or none of its parts can be read; `out` is left as it was */
bool bounce_flatten(struct span text, struct buf *out);
/* an HTML text as its words, line by line */
void bounce_strip_html(struct buf *out, struct span html);

#endif
