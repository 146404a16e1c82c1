/* header - a resumable look at a message as it streams by: where the header block ends, how many hops, which fields are there.
 * Fed in any chunking the result is the same. Keeps O(1) memory apart from the few values it records (each at most
 * LIMIT_HEADER_FIELD_BYTES, in the arena). RFC 5322, 5321 4.4. Does not unfold or decode for display. */
#ifndef MAILROOM_MAIL_HEADER_H
#define MAILROOM_MAIL_HEADER_H

#include "base/arena.h"
#include "base/buf.h"

struct header_scan; /* opaque, lives in the arena */

struct header_facts {
	uint64_t header_bytes;   /* length of the header block with the empty line that ends it; so far, when !ended */
	bool ended;              /* the empty line was seen (or a line that cannot be a header field: then the body starts before that line);
	                          * false after header_scan_end: the message is all header and has no empty line */
	bool too_long;           /* ended because the block passed LIMIT_HEADER_BYTES: the body starts before the field that did not fit */
	unsigned received_count; /* Received: fields */
	unsigned received_by_us; /* of them, those whose "by" names the host given to header_scan_host */
	unsigned from_count, date_count, message_id_count, sender_count;
	struct span from;        /* first From: value, folding white space kept, trimmed; empty: none. Cut when from_bytes > LIMIT_HEADER_FIELD_BYTES */
	struct span message_id;  /* first Message-ID: value, trimmed, e.g. "<x@y>" */
	struct span subject;
	uint64_t from_at;        /* offset of the first From: field's first value byte that is not blank in the header block */
	uint64_t from_bytes;     /* length of that value up to its final CRLF (not counted) */
	bool delivered_to_us;    /* a Delivered-To: field equals (ASCII nocase) one of the addresses given to header_scan_watch */
	bool has_8bit;           /* any byte >= 0x80 in the header block */
};

/* NULL: the arena is full */
struct header_scan *header_scan_new(struct arena *mem);
/* Addresses for delivered_to_us, as address_write spells them; they stay the caller's and must outlive the header block. Only the first
 * HEADER_DELIVERED_MAX Delivered-To: fields are compared: ours would be on top. */
void header_scan_watch(struct header_scan *s, const struct span *addresses, size_t count);
enum { HEADER_DELIVERED_MAX = 128 };
/* Our name as Received fields have it, compared ASCII nocase; it stays the caller's. */
void header_scan_host(struct header_scan *s, struct span host);
/* Lines end with CRLF only; a bare CR or LF is a byte of its line. A field counts once the line after it has begun. */
void header_scan_feed(struct header_scan *s, struct span bytes);
/* end of message: closes an unended header block. Call once. Returns the facts, owned by the scan (also valid before the end). */
const struct header_facts *header_scan_end(struct header_scan *s);
const struct header_facts *header_scan_facts(const struct header_scan *s);

/* RFC 5322 3.3: "Fri, 21 Nov 2026 17:00:00 +0000" (always +0000) */
void header_write_date(struct buf *out, int64_t wall_ms);

/* The mailbox addresses in a From: value that have no domain ("From: bob" or "From: Bob <bob>") get "@domain" added, written to out
 * with everything else kept byte for byte (RFC 6409 8.1 "Sender Address": may add a domain). Comments, quoted strings and groups are understood. Returns how many were completed. */
unsigned header_complete_from(struct buf *out, struct span from_value, struct span domain);
/* The addresses (addr-spec only, unquoted form "local@domain") in a From:/Sender: value, at most max; returns how many there are
 * (may be > max; only max are filled). A mailbox without domain comes out as "local". One that cannot be read (or found no room in
 * mem) comes out as an empty span, so that whoever compares identities sees that there is something he cannot vouch for. */
unsigned header_mailboxes(struct span value, struct arena *mem, struct span *out, unsigned max);
/* The value with every addr-spec that can be read replaced by this one (written as address_write does); names and comments are kept. Returns how many. */
unsigned header_replace_mailboxes(struct buf *out, struct span from_value, struct span address);
/* false: before the "<" of a mailbox stands another address unquoted ("boss@a <eve@b>"): some programs show that one */
bool header_mailboxes_are_plain(struct span value);

#endif
