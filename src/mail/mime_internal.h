/* what the files of mime share */
#ifndef MAILROOM_MAIL_MIME_INTERNAL_H
#define MAILROOM_MAIL_MIME_INTERNAL_H

#include "base/limits.h"
#include "mail/mime.h"

/* the candidates for one part's name, as they are found */
struct mime_names {
	struct arena *mem;
	const struct mime_name *first, **tail; /* tail NULL: none yet */
	unsigned count, flags;
};
/* every reading of a name given as these bytes */
void mime_names_add(struct mime_names *names, enum mime_from from, struct span charset, struct span bytes);
/* %XX decoded; false: there was none */
bool mime_add_unescaped(struct buf *out, struct span text);

/* the readings of a boundary */
struct mime_bounds {
	struct span text[LIMIT_MIME_BOUNDARIES];
	unsigned count, flags;
};

/* As mime_value_parse, into what is there already: parameters go to **tail, which moves on; bounds may be NULL. Sets out->word and ->flags. */
bool mime_value_read(struct span value, enum mime_from from, const struct mime_param ***tail, struct mime_names *names,
	struct mime_bounds *bounds, struct mime_value *out) RC_WARN;

/* RFC 2045 5.1 */
bool mime_span_is_token(struct span s);
/* Where the name of a field that begins a line ends (blanks before the colon not counted), and where its colon is; false: the line is none.
 * The rules are those of header_scan.c. */
bool mime_line_is_field(struct span line, size_t *name_len_out, size_t *colon_out);
enum mime_encoding mime_encoding_of(struct span word); /* lower case */

/* --- the scan: mime_scan.c cuts lines and fields, mime_part.c builds the tree --- */

enum mime_state {
	MIME_IN_HEADER,
	MIME_IN_SHADOW, /* behind a line that is no field, before an empty line: other programs may still see header fields here */
	MIME_IN_BODY,
	MIME_IN_OPAQUE, /* a limit was reached: nothing is looked at any more */
};

enum mime_field_kind { MIME_FIELD_OTHER, MIME_FIELD_TYPE, MIME_FIELD_DISPOSITION, MIME_FIELD_ENCODING };

enum { MIME_BOUND_SLOTS = 512 };

struct mime_bound {
	uint8_t text[LIMIT_MIME_BOUNDARY_BYTES];
	uint8_t len;
	unsigned level;
	uint64_t hash;
	struct mime_bound *older; /* in the same slot */
};

/* an open multipart */
struct mime_level {
	struct mime_part *part;
	unsigned bound_end; /* its bounds and those of the levels outside of it */
	bool closed;        /* the closing delimiter was seen */
};

enum { MIME_HEAD_BYTES = 1024 }; /* of a line: holds any delimiter and any field name */

struct mime_scan {
	struct arena mem;
	struct mime tree;
	struct mime_part *root, *part, *last; /* part: the one that the next byte belongs to; last: the newest */
	bool lf;
	enum mime_state state;
	uint64_t offset;      /* bytes consumed */
	uint64_t line_at;     /* where the line at hand begins */
	uint64_t lines;       /* line ends before it */
	unsigned eol;         /* length of the line end before it */
	bool last_cr;
	bool head_done;       /* the beginning of the line at hand was looked at */
	size_t head_len;
	uint8_t head[MIME_HEAD_BYTES];

	/* the header of `part` */
	bool header_open;     /* where it ends is not known yet */
	bool in_field;
	enum mime_field_kind field;
	uint64_t field_at, field_lines;
	unsigned field_count;
	struct buf value;     /* of a field that matters */
	struct span word;     /* of Content-Type; ptr NULL: none yet */
	bool encoding_seen;
	const struct mime_param **params_tail;
	struct mime_names names;
	struct mime_bounds bounds;

	struct mime_level levels[LIMIT_MIME_DEPTH + 1];
	unsigned level_count;
	struct mime_bound stack[(LIMIT_MIME_DEPTH + 1) * LIMIT_MIME_BOUNDARIES];
	unsigned bound_count;
	struct mime_bound *slots[MIME_BOUND_SLOTS]; /* the bounds of the stack by hash, newest first */
	uint64_t secret;      /* odd */
	struct mime_level *pending; /* a part of it begins behind the line at hand */
	unsigned pending_flags;
};

/* The next part, its header beginning at s->offset. No memory: s->state is MIME_IN_OPAQUE afterwards. */
void mime_part_begin(struct mime_scan *s, struct mime_part *parent, uint64_t at, unsigned flags);
/* a field that matters is whole: s->field and s->value */
void mime_part_field(struct mime_scan *s);
/* what the fields so far make of the part: type, names */
void mime_part_settle(struct mime_scan *s);
/* where its header ends and its body begins; the first call counts */
void mime_part_body_at(struct mime_scan *s, uint64_t at, uint64_t lines);
/* looks for parts inside: opens a level for a multipart (again: does nothing), begins the message in a message at `at` (if descend) */
void mime_part_open(struct mime_scan *s, uint64_t at, bool descend);
/* closes s->part and its parents up to `upto` (not closed itself); NULL: all. Text ends at `at`, `lines` line ends before it. */
void mime_part_close(struct mime_scan *s, const struct mime_part *upto, uint64_t at, uint64_t lines);
void mime_part_name(struct mime_scan *s, struct span name); /* found in its text */
void mime_scan_over(struct mime_scan *s, unsigned flag);
/* The hash of a text from that of all but its last byte, beginning with 0. A stranger cannot make texts that share a slot. */
static inline uint64_t mime_bound_hash(const struct mime_scan *s, uint64_t hash, uint8_t b)
{
	return (hash + b + 1) * s->secret;
}
static inline struct mime_bound **mime_bound_slot(struct mime_scan *s, uint64_t hash)
{
	return &s->slots[hash >> 55 & (MIME_BOUND_SLOTS - 1)];
}

#endif
