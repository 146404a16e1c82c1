/* mime_reader - the decoded bytes of one part, pulled from a message in random access. Tolerant, as mail programs are: what is no base64
 * is skipped, what is no quoted-printable stands for itself. RFC 2045 6.7, 6.8; uuencode as POSIX has it. Does not convert charsets. */
#ifndef MAILROOM_MAIL_MIME_READER_H
#define MAILROOM_MAIL_MIME_READER_H

#include "mail/mime.h"

enum { MIME_READER_IN_BYTES = 4096, MIME_READER_OUT_BYTES = 8192, MIME_HOLD_BYTES = 80 };

/* where a decoder stands between two bytes */
struct mime_decoder {
	uint32_t bits;
	uint8_t state, count, left, held;
	uint8_t hold[MIME_HOLD_BYTES]; /* blanks that may be at the end of a line */
};

struct mime_mark {
	uint64_t in_at, out_at;
	struct mime_decoder decoder;
};

struct mime_reader {
	const struct mime_source *source;
	uint64_t begin, end;        /* encoded bytes in the source */
	uint64_t in_at;             /* next one to decode */
	uint64_t out_at;            /* decoded bytes handed out */
	uint64_t bytes;             /* decoded length, once `ended` was seen (or mime_reader_bytes asked) */
	bool ended;
	bool cut;                   /* the source gave less than it promised */
	bool oddities;              /* the encoding was not clean */
	enum mime_encoding encoding;
	struct mime_decoder decoder;
	struct mime_mark *marks;    /* for seeking */
	size_t mark_count, mark_size;
	uint64_t mark_step;
	size_t out_from, out_len;   /* what of out[] is not handed out */
	uint8_t in[MIME_READER_IN_BYTES], out[MIME_READER_OUT_BYTES];
	size_t in_from, in_len;
};

/* source and part have to outlive the reader */
void mime_reader_init(struct mime_reader *r, const struct mime_source *source, const struct mime_part *part);
void mime_reader_init_range(struct mime_reader *r, const struct mime_source *source, uint64_t begin, uint64_t end, enum mime_encoding encoding);
void mime_reader_clear(struct mime_reader *r);
/* bytes put there, at least 1 unless the end is reached (0) */
size_t mime_reader_read(struct mime_reader *r, uint8_t *to, size_t max);
/* the same without copying: at least 1 byte unless at the end; valid till the next call */
struct span mime_reader_next(struct mime_reader *r);
/* Goes to a decoded offset (or to the end, when that is nearer) and returns where it is. Costs as much as decoding what is skipped; going
 * back costs little, since the reader remembers states on its way. */
uint64_t mime_reader_seek(struct mime_reader *r, uint64_t offset);
/* decoded length: reads to the end once, and keeps the place */
uint64_t mime_reader_bytes(struct mime_reader *r);

#endif
