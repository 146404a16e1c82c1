/* sieve_mail_internal - what the two files of sieve_mail share. */
#ifndef MAILROOM_POLICY_SIEVE_MAIL_INTERNAL_H
#define MAILROOM_POLICY_SIEVE_MAIL_INTERNAL_H

#include "mail/attach.h"
#include "policy/sieve_mail.h"

struct mail_field {
	struct mime_field field;
	struct sieve_field value; /* filled when first asked for */
	unsigned order;
};

struct mail_part {
	const struct mime_part *mime;
	struct mail_field *fields; /* by name, then as they stand; NULL: not read yet */
	unsigned field_count;
	bool fields_read;
	struct span bodies[SIEVE_BODY_TEXT + 1];
	bool have_body[SIEVE_BODY_TEXT + 1];
};

struct sieve_mail {
	const struct mime_source *source;
	struct mime_scan *scan;        /* ours */
	const struct mime *mime;
	unsigned needs;
	uint64_t scanned;         /* bytes of the message */
	uint64_t looked, unpacked; /* work on attachments so far; of it unpacking */
	struct arena mem, bodies;
	struct mail_part *parts;
	const struct mime_part *looking; /* the next part to look at for attachments */
	struct attach *attach;         /* the part that is looked into now */
	struct sieve_attachment *attachments;
	unsigned attachment_count;
	bool shallow;                  /* the part is looked at from outside only: the message had its share of work */
	bool incomplete;
};

bool sieve_mail_body(void *owner, unsigned part, enum sieve_body form, struct span *out);

#endif
