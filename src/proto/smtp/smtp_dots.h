/* smtp_dots - finds the end of a message in DATA (RFC 5321 4.5.2) and what must be taken out of it. There is exactly one way to
 * the end: CR LF . CR LF. Any other CR or LF sets a flag and is never a line end. Resumable after every byte; looks at each
 * byte a fixed number of times whatever it holds. Pure. */
#ifndef MAILROOM_PROTO_SMTP_SMTP_DOTS_H
#define MAILROOM_PROTO_SMTP_SMTP_DOTS_H

#include "base/span.h"

enum smtp_dots_state {
	SMTP_DOTS_LINE,   /* behind CR LF, or at the very start */
	SMTP_DOTS_DOT,    /* behind CR LF . */
	SMTP_DOTS_DOT_CR, /* behind CR LF . CR */
	SMTP_DOTS_MID,    /* in a line */
	SMTP_DOTS_CR,     /* behind a CR in a line */
	SMTP_DOTS_END,
};

struct smtp_dots {
	enum smtp_dots_state state;
	bool transparent; /* BDAT: dots mean nothing, there is no end */
	bool bare;        /* a lone CR or LF was seen */
	bool nul;         /* a NUL was seen */
	bool cr_cr;       /* the CR of SMTP_DOTS_CR stands behind another one */
	bool doubtful;    /* the last line ended in CR CR LF: a relay that took this for no line end left a dot behind it as it was */
};

struct smtp_dots_found {
	size_t taken;      /* bytes looked at; less than given only at the end */
	size_t body_bytes; /* of them, how many at the front belong to the message */
	size_t drops;      /* leading dots among these that have to go ... */
	size_t drop_at;    /* ... the first stands here; the others behind a CR LF each */
};

void smtp_dots_scan(struct smtp_dots *d, struct span in, struct smtp_dots_found *out);
/* The next run of message bytes of *rest (found->body_bytes long at first), dots taken out; false when it is used up. */
bool smtp_dots_next(struct span *rest, size_t *drops, size_t *drop_at, struct span *out);

#endif
