/* autoreply - writes the answer that a machine gives for a person who is away (RFC 3834, 5230 5): header block and body. Pure: whether an
 * answer is due, and to whom, is decided elsewhere. What it is given may come from strangers; what it writes has whole lines that end with
 * CRLF, no bare CR or LF, no NUL, and no header field that is not in its list. */
#ifndef MAILROOM_MAIL_AUTOREPLY_H
#define MAILROOM_MAIL_AUTOREPLY_H

#include "base/buf.h"

struct autoreply {
	struct span hostname;	/* for the Message-ID */
	struct span from, to;	/* addresses as address_write spells them */
	struct span subject;	/* UTF-8 */
	struct span message_id; /* of what is answered: "<x@y>"; left out where it is no such thing */
	struct span references; /* its own References, else In-Reply-To; may be folded, cut here where it is long */
	struct span text;	/* UTF-8; line ends may be LF */
	bool mime;		/* text is a MIME entity: Content-... fields, an empty line, a body */
	int64_t now_ms;
	uint64_t unique; /* a random number */
};

enum { AUTOREPLY_HEAD_BYTES = 16 << 10, AUTOREPLY_BODY_BYTES = 64 << 10, AUTOREPLY_REFERENCES_BYTES = 2000 };

/* Appends the header block with its empty line to head_out and the rest to body_out. *has_8bit_out: bytes >= 0x80 are in the body. False:
 * the text cannot be sent as it is (a MIME entity without a Content-Type, or with lines longer than RFC 5321 allows), or it is too long. */
bool autoreply_write(const struct autoreply *a, struct buf *head_out, struct buf *body_out, bool *has_8bit_out);

#endif
