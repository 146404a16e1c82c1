/* mime - the structure of a message: a tree of parts with exact byte offsets, found in one pass over bytes that are fed in any chunking
 * (the result does not depend on it). Does not keep the message: what is read later (fields, bodies) is read through a mime_source by
 * the offsets found here (mime_fields_read; mime_reader.h decodes bodies). RFC 2045-2047, 2183, 2231, 5322, 6532.
 *
 * Never an error: where a limit of limits.h (LIMIT_MIME_...) is reached, what follows is opaque octets of the part at hand, and a flag says
 * so. Where mail programs differ in how they read broken mail the tree holds what any of them might see: all of a field's copies count, every
 * reading of a file name is a candidate, delimiters count behind the closing one, fields count behind a line that ends the header block.
 *
 * Lines end with CRLF; a bare CR or LF is a byte of its line (with MIME_LF a bare LF ends a line too).
 * Offsets are in octets from the first one fed. */
#ifndef MAILROOM_MAIL_MIME_H
#define MAILROOM_MAIL_MIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* a whole message in random access: a spool file, a blob, memory */
struct mime_source {
	size_t (*read_at)(void *arg, uint64_t offset, uint8_t *to, size_t max); /* bytes put there; 0: end, or it cannot be read */
	void *arg;
	uint64_t bytes; /* length of the message */
};
/* over memory; `text` has to outlive the source */
struct mime_source mime_source_memory(const struct span *text);

enum { /* what is odd: of a part, and of the message (all of its parts together) */
	MIME_OVER_DEPTH = 1,      /* its inner parts are deeper than LIMIT_MIME_DEPTH: it is a leaf */
	MIME_OVER_PARTS = 2,      /* more parts than LIMIT_MIME_PARTS: the last one found reaches to the end of the message */
	MIME_OVER_HEADER = 4,     /* LIMIT_MIME_HEADER_BYTES, _FIELD_BYTES or _FIELDS: what came behind was not looked at */
	MIME_OVER_PARAMS = 8,     /* LIMIT_MIME_PARAMS or LIMIT_MIME_NAMES */
	MIME_OVER_BOUNDARY = 16,  /* longer than LIMIT_MIME_BOUNDARY_BYTES, or more differing ones than are tried: only the beginning counts */
	MIME_OVER_MEMORY = 32,    /* LIMIT_MIME_TREE_BYTES: as MIME_OVER_PARTS */
	MIME_OVER = 63,           /* any of these: the tree may not show everything */
	MIME_BROKEN_HEADER = 64,  /* the header block ended without an empty line */
	MIME_BROKEN_TYPE = 128,   /* Content-Type cannot be read, or a multipart has no boundary */
	MIME_AMBIGUOUS = 256,     /* differing types, boundaries or encodings are given */
	MIME_LATE = 512,          /* the part begins behind the closing delimiter of its multipart */
	MIME_UNCLOSED = 1024,     /* a multipart without closing delimiter */
	MIME_ENCODED = 2048,      /* a multipart or message in base64 or the like (RFC 2045 6.4 forbids it): what it holds when decoded is not in the tree */
	MIME_CONTROLS = 4096,     /* CR, LF or NUL inside a field that was looked at */
};

enum mime_encoding {
	MIME_IDENTITY, /* 7bit, 8bit, binary, none given */
	MIME_BASE64,
	MIME_QUOTED_PRINTABLE,
	MIME_UUENCODE, /* x-uuencode, x-uue, uuencode */
	MIME_UNKNOWN,  /* some other word: read as identity */
};

enum mime_from { MIME_FROM_TYPE, MIME_FROM_DISPOSITION, MIME_FROM_TEXT }; /* Content-Type, Content-Disposition, "begin 644 name" in a text */

struct mime_param {
	const struct mime_param *next; /* in the order given, duplicates included */
	enum mime_from from;
	struct span name;  /* lower case, without the "*0*" of RFC 2231 */
	struct span value; /* UTF-8; RFC 2231 and 2047 decoded */
};

/* One way in which a mail program may name the part. Every candidate has to pass a filter. */
struct mime_name {
	const struct mime_name *next; /* no two have the same text */
	enum mime_from from;
	struct span text; /* UTF-8, as decoded: control characters and paths may be in it */
	struct span key;  /* what a file of that name ends up as: mime_name_key */
};

struct mime_part {
	struct mime_part *next;          /* pre-order, which is the order of headers in the message */
	struct mime_part *parent, *first_child, *last_child, *sibling; /* sibling: the next one */
	unsigned index;                  /* 0: the message itself */
	unsigned end;                    /* index of the part after its last descendant */
	unsigned depth;                  /* 0: the message itself */
	unsigned child_count;            /* a message/rfc822 has one: the message inside */
	unsigned flags;                  /* MIME_... */
	uint64_t header_begin, header_end; /* header_end: behind the empty line */
	uint64_t body_begin, body_end;   /* body_end: before the CRLF of the delimiter line behind it */
	uint64_t header_lines, body_lines; /* line ends inside these ranges */
	struct span type, subtype;       /* lower case; "text" "plain" where nothing (or nothing readable) is given */
	struct span charset;             /* lower case; empty: not given */
	struct span disposition;         /* lower case, "inline", "attachment"; empty: not given */
	enum mime_encoding encoding;
	bool lf;                         /* scanned with MIME_LF */
	const struct mime_param *params;
	const struct mime_name *names;
	unsigned name_count;
};

struct mime {
	const struct mime_part *parts; /* the message itself; then ->next */
	unsigned part_count;           /* at least 1 */
	unsigned flags;                /* of all parts */
	uint64_t bytes;
};

enum { MIME_LF = 1 }; /* for texts that never went through SMTP */

struct mime_scan; /* heap */
struct mime_scan *mime_scan_new(unsigned flags);
void mime_scan_free(struct mime_scan **scan); /* with the tree */
void mime_scan_feed(struct mime_scan *scan, struct span bytes);
/* The end of the message; call once. The tree lives as long as the scan. */
const struct mime *mime_scan_end(struct mime_scan *scan);
/* all of it: feeds the source and ends */
const struct mime *mime_scan_source(struct mime_scan *scan, const struct mime_source *source);

/* one line a part, for tests and for whoever looks at a message by hand */
void mime_write(struct buf *out, const struct mime *mime);
/* NULL: no part has that number. Linear; walk with ->next where all are wanted. */
const struct mime_part *mime_part_at(const struct mime *mime, unsigned index);
static inline bool mime_part_is(const struct mime_part *part, const char *type, const char *subtype)
{
	return span_eq(part->type, span_str(type)) && (!subtype || span_eq(part->subtype, span_str(subtype)));
}
/* has parts instead of content of its own, whether the tree shows them or not */
/* (a message/rfc822 is no multipart: its content is the message inside) */
bool mime_part_is_multipart(const struct mime_part *part);
/* the first parameter of that name (lower case) of Content-Type or Content-Disposition; false: there is none */
bool mime_part_param(const struct mime_part *part, enum mime_from from, struct span name, struct span *value_out);

/* --- header fields of one part --- */

struct mime_field {
	struct span name;             /* as written, without blanks before the colon */
	struct span value;            /* as written: folds and blanks kept, without the CRLF at its end; words.h unfolds and decodes */
	uint64_t name_at, value_at;   /* offsets in the message */
};
struct mime_fields {
	struct span block;            /* the header block, in the arena */
	uint64_t block_at;
	size_t at;
	unsigned count, flags;
};
/* RC_LIMIT: the arena is full; RC_IO: the source gave less than its length. At most LIMIT_MIME_HEADER_BYTES are read. */
enum rc mime_fields_read(const struct mime_source *source, const struct mime_part *part, struct arena *mem, struct mime_fields *out) RC_WARN;
/* over a header block in memory that begins at offset `at` of its message; flags: MIME_LF */
void mime_fields_init(struct mime_fields *fields, struct span block, uint64_t at, unsigned flags);
/* false at the end, or past LIMIT_MIME_FIELDS */
bool mime_fields_next(struct mime_fields *fields, struct mime_field *out);

/* --- values like "attachment; filename=x" (RFC 2045 5.1, 2183, 2231) --- */

struct mime_value {
	struct span word;             /* "attachment", "text/plain": lower case, comments and blanks gone */
	const struct mime_param *params;
	const struct mime_name *names; /* of the parameters name and filename */
	unsigned name_count;
	unsigned flags;               /* MIME_OVER_..., MIME_AMBIGUOUS */
};
/* false: the arena is full (mem->overflow) */
bool mime_value_parse(struct span value, enum mime_from from, struct arena *mem, struct mime_value *out) RC_WARN;

/* A file name as it ends up on a disk, for comparing: without path, control and invisible characters, trailing dots and blanks; ASCII
 * lower case. */
void mime_name_key(struct buf *out, struct span text);

#endif
