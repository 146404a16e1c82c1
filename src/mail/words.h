/* words - what header values mean to a person: unfolded, RFC 2047 words decoded, in UTF-8; and address lists (RFC 5322 3.4 with its obsolete
 * forms). Charsets by own tables, so that nothing is opened at run time: UTF-8, UTF-16, UTF-7, US-ASCII, the 8-bit charsets in
 * tools/gen-charsets.py. Does not decide what is valid: bytes that mean nothing become U+FFFD and a flag. */
#ifndef MAILROOM_MAIL_WORDS_H
#define MAILROOM_MAIL_WORDS_H

#include "base/arena.h"
#include "base/buf.h"

enum {
	WORDS_LOSSY = 1,   /* U+FFFD stands for bytes that could not be decoded */
	WORDS_CHARSET = 2, /* a charset is not known here: its ASCII bytes were kept */
	WORDS_ENCODED = 4, /* there was an encoded word */
};

/* All of these append to out and return WORDS_... flags; out's ceiling cuts (out->overflow). */

/* CR and LF go, the blanks behind them stay; blanks at both ends go. The bytes are otherwise untouched. */
void words_unfold(struct buf *out, struct span value);
/* unfolds and decodes encoded words, wherever they stand; raw 8-bit bytes that are no UTF-8 are lossy */
unsigned words_decode(struct buf *out, struct span value);
/* drops comments (RFC 5322 3.2.2), outside of quoted strings */
void words_strip_comments(struct buf *out, struct span value);
/* charset: any case; "utf-8" when empty */
unsigned words_to_utf8(struct buf *out, struct span charset, struct span bytes);
bool words_charset_known(struct span charset);
void words_add_codepoint(struct buf *out, uint32_t point);

/* what a digit is worth; -1: it is none */
static inline int words_hex_value(uint8_t b)
{
	return byte_is_digit(b) ? b - '0' : (b | 0x20) >= 'a' && (b | 0x20) <= 'f' ? (b | 0x20) - 'a' + 10 : -1;
}
static inline int words_base64_value(uint8_t b)
{
	return byte_is_alpha(b) ? (b >= 'a' ? b - 'a' + 26 : b - 'A') : byte_is_digit(b) ? b - '0' + 52 : b == '+' ? 62 : b == '/' ? 63 : -1;
}

enum words_kind {
	WORDS_MAILBOX,
	WORDS_GROUP,     /* "name:" begins; members follow */
	WORDS_GROUP_END, /* ";" */
	WORDS_BROKEN,    /* something that is no address: `text` has it */
};

struct words_address {
	enum words_kind kind;
	struct span name;   /* display name (or the comment that stands for it), decoded UTF-8; empty: none */
	struct span local;  /* without quotes, comments and blanks; case kept */
	struct span domain; /* as written, without comments and blanks; empty: none given. A source route is dropped */
	struct span text;   /* local@domain, or what is broken as it was written (unfolded) */
};

struct words_list {
	struct span text;
	size_t at;
	unsigned count;
	bool in_group;
	bool over;        /* more than LIMIT_MIME_ADDRESSES, or the arena is full: the rest was not looked at */
};
/* an address list as in From, To, Cc, Bcc, Sender, Reply-To, Resent-...; value raw (folds are fine), has to outlive the list */
void words_list_init(struct words_list *list, struct span value);
/* Spans live in mem or in the value. Empty elements are skipped. Linear over the whole list. */
bool words_list_next(struct words_list *list, struct arena *mem, struct words_address *out);

#endif
