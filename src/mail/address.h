/* address - one mailbox address as RFC 5321 4.1.2 and RFC 6531 spell it, parsed once. Pure; text lives in the arena given.
 * Not for header address lists (RFC 5322), which are another grammar. */
#ifndef MAILROOM_MAIL_ADDRESS_H
#define MAILROOM_MAIL_ADDRESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

struct address {
	struct span local;  /* without quotes and backslashes, case kept; empty in the null address */
	struct span domain; /* lower case, no trailing dot; or the literal with its brackets: "[192.0.2.1]" */
	bool literal;       /* domain is an address literal */
	bool utf8;          /* holds non-ASCII bytes (valid UTF-8): needs SMTPUTF8 */
};

enum address_fault { /* why an address or path is no good; the words are in address_fault_name */
	ADDRESS_OK,
	ADDRESS_EMPTY,          /* nothing there */
	ADDRESS_NO_BRACKETS,    /* path without < > */
	ADDRESS_NO_DOMAIN,      /* no @, or nothing behind it */
	ADDRESS_BAD_LOCAL,      /* local part is no dot-string and no quoted string */
	ADDRESS_BAD_DOMAIN,     /* bad label, double dot, bad character */
	ADDRESS_BAD_LITERAL,    /* [ ] does not hold an IP address */
	ADDRESS_BAD_ROUTE,      /* source route malformed */
	ADDRESS_BAD_UTF8,       /* 8-bit bytes that are no UTF-8 */
	ADDRESS_NEEDS_SMTPUTF8, /* 8-bit bytes, and the flag was not given */
	ADDRESS_CONTROL,        /* control characters (CR, LF, NUL, also U+0080..9F) inside */
	ADDRESS_TOO_LONG,       /* local part > 64, domain > 255 or path > 256 octets, all as written; or the arena is full (mem->overflow) */
};

enum {
	ADDRESS_UTF8 = 1,        /* SMTPUTF8 was asked for */
	ADDRESS_NULL_OK = 2,     /* "<>" is fine (MAIL) */
	ADDRESS_POSTMASTER_OK = 4, /* "<Postmaster>" without domain is fine (RCPT, RFC 5321 4.5.1); domain comes out empty */
	ADDRESS_LAX_BRACKETS = 8,  /* brackets may be missing: for a command line, never for SMTP */
};

/* local@domain, whole span. Domains: LDH labels of 1..63 (underscore tolerated inside a label), at most 255; U-labels only with ADDRESS_UTF8
 * (their characters are not folded or normalised). A single trailing dot is BAD_DOMAIN. IPv6 literals come out in the one form of RFC 5952.
 * With ADDRESS_NULL_OK "" is the null address, with ADDRESS_POSTMASTER_OK "postmaster" is one: what address_write wrote can be read back.
 * The first fault from the left is the one named. On a fault *out is untouched. */
enum address_fault address_parse(struct span text, unsigned flags, struct arena *mem, struct address *out);
/* A path at the start of `text`: "<" [source-route ":"] mailbox ">" (RFC 5321 4.1.2; the route is checked and dropped). *rest_out is what
 * follows the ">" (parameters, with the leading blank; that there is a blank is for the caller to check). Untouched on a fault. */
enum address_fault address_parse_path(struct span text, unsigned flags, struct arena *mem, struct address *out, struct span *rest_out);
static inline bool address_is_null(const struct address *a) { return a->local.len == 0 && a->domain.len == 0; }
/* the one address writer: quotes the local part where needed; "" for the null address; no brackets */
void address_write(struct buf *out, const struct address *a);
/* The domain as the DNS and servers without SMTPUTF8 know it: A-labels (RFC 5890), lower case. false: it has no such form, and nothing was written. */
bool address_domain_ascii(struct buf *out, struct span domain);
/* the same for an address, as address_write does; false: its local part is beyond ASCII, too, and nothing was written */
bool address_write_ascii(struct buf *out, const struct address *a);
/* one form per mailbox, for look-ups: local part lower-cased (ASCII) and written unquoted as its raw bytes + "@" + domain as address_domain_key has it;
 * "" for the null address, "postmaster@" for the one without a domain */
void address_key(struct buf *out, const struct address *a);
/* One form per domain, for look-ups: that of address_domain_ascii; the text in lower case (ASCII) where it has none. In `room`; SPAN_NONE: longer than any. */
struct span address_domain_key(struct span domain, uint8_t room[LIMIT_DOMAIN_BYTES]);
/* the same for the text of an address (or of a domain: what stands behind the last @ is one), not parsed: quotes stay. SPAN_NONE: there is no room for it */
struct span address_text_key(struct span text, uint8_t *room, size_t size);
/* do these two texts mean the same domain; the same mailbox? */
bool address_domain_same(struct span a, struct span b);
bool address_text_same(struct span a, struct span b);
const char *address_fault_name(enum address_fault f); /* words for a person: "the local part (before the @) is malformed" */

/* A host name as in EHLO (RFC 5321 4.1.1.1): domain or address literal. Underscores are tolerated, as most servers do. */
bool address_helo_ok(struct span text);

/* IP addresses in text form, IPv4 or IPv6, nothing else */
bool address_is_ip(struct span text);

#endif
