/* cause_render - fills a template of the catalogue with facts from outside, safely. Only for src/cause. */
#ifndef MAILROOM_CAUSE_CAUSE_RENDER_H
#define MAILROOM_CAUSE_CAUSE_RENDER_H

#include "cause/cause.h"

/* At most max bytes (UTF-8 only when the facts say so), never CR, LF or another control character. Facts are shortened first,
 * so that the words of the catalogue stay whole as long as they can; then the end is cut and "..." stands for it. */
void cause_render(struct buf *out, const char *pattern, const struct cause_facts *facts, size_t max);
/* text from outside: control characters, backslash, bytes that are no allowed UTF-8 become \xNN; at most max bytes, "..." included */
void cause_render_safe(struct buf *out, struct span text, bool utf8, size_t max);

#endif
