/* header_field - the fields of a header block that is in memory whole, one after the other, read as header_scan reads them: lines end with CRLF, a field goes
 * on in lines that begin with a blank, the block ends at the empty line or before the first line that is no field. RFC 5322 2.2. Decodes nothing. */
#ifndef MAILROOM_MAIL_HEADER_FIELD_H
#define MAILROOM_MAIL_HEADER_FIELD_H

#include "base/span.h"

struct header_field {
	struct span name;  /* as written */
	struct span value; /* between the colon and the CRLF that ends the field; folds kept, not trimmed */
	bool blank;        /* there is one before the colon (RFC 5322 4.5, obsolete): some programs take that for the end of the header */
};
/* cuts the next field off the front of *rest; false: there is none, and *rest is what the block ended at (empty line included) */
bool header_field_next(struct span *rest, struct header_field *out);
bool header_field_is(const struct header_field *f, const char *name);

/* Is the value like this pattern? * stands for any bytes, ? for one; ASCII case does not matter, folds and blanks at the ends are left out. Of a longer value
 * the first LIMIT_HEADER_FIELD_BYTES are looked at. */
bool header_value_like(struct span value, struct span pattern);

/* lines that every program takes apart in the same way: no zero bytes, no CR or LF but in pairs */
bool header_is_plain(struct span head);
/* the block ends with its empty line */
bool header_has_end(struct span head);

#endif
