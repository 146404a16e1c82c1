/* mask - text from outside made fit to be shown: no control characters, terminal escapes or direction marks, and no password: what stands
 * behind AUTH, PASS, LOGIN, password= and the like, and whatever decodes to a sign-in, becomes "****". Only for src/answer. */
#ifndef MAILROOM_ANSWER_MASK_H
#define MAILROOM_ANSWER_MASK_H

#include "base/buf.h"

/* at most max_bytes of it, "..." behind it where there was more; line ends become a blank */
void mask_line(struct buf *out, struct span text, size_t max_bytes);

#endif
