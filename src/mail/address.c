#include "mail/address.h"

#include <arpa/inet.h>

#include "base/limits.h"

/* where a parse stands */
struct cursor {
	struct span text;
	size_t at;
	unsigned flags;
};

/* an address while it is read; lengths count on past the room so that "too long" can be told at the end */
struct draft {
	uint8_t local[LIMIT_LOCAL_PART_LONG_BYTES], domain[LIMIT_DOMAIN_BYTES];
	size_t local_len, domain_len;
	bool literal, utf8, quoted;
};

struct label {
	size_t points; /* characters so far */
	bool ascii;
	uint8_t last;
};

enum {
	LABEL_ASCII_MAX = 63,
	LABEL_U_MAX = 59, /* its A-label is "xn--" and at least one digit a character */
	LITERAL_MAX_BYTES = 5 + INET6_ADDRSTRLEN,
};

static int cursor_peek(const struct cursor *c)
{
	return c->at < c->text.len ? c->text.ptr[c->at] : -1;
}

/* length of the well-formed non-ASCII character at the cursor, or 0 */
static size_t cursor_point(const struct cursor *c, uint32_t *point_out)
{
	struct span s = span_from(c->text, c->at);
	size_t len = s.len == 0 ? 0 : s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : s.ptr[0] >= 0xc0 ? 2 : 0;
	uint32_t point;

	if (len == 0 || len > s.len || !span_is_utf8(span_head(s, len)))
		return 0;
	point = s.ptr[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		point = point << 6 | (s.ptr[i] & 0x3fu);
	*point_out = point;
	return len;
}

/* RFC 6531 3.3 UTF8-non-ascii, less the C1 controls; 0: there is none here, or it was not asked for */
static size_t cursor_utf8(const struct cursor *c, uint32_t *point_out)
{
	size_t len = c->flags & ADDRESS_UTF8 ? cursor_point(c, point_out) : 0;

	return len && *point_out >= 0xa0 ? len : 0;
}

/* names what is wrong with the byte at the cursor, which the grammar did not take */
static enum address_fault cursor_fault(const struct cursor *c, enum address_fault otherwise)
{
	int b = cursor_peek(c);
	uint32_t point;

	if (b < 0 || (b >= 0x20 && b < 0x7f))
		return otherwise;
	if (b < 0x80)
		return ADDRESS_CONTROL;
	if (!cursor_point(c, &point))
		return ADDRESS_BAD_UTF8;
	if (point < 0xa0)
		return ADDRESS_CONTROL;
	return c->flags & ADDRESS_UTF8 ? otherwise : ADDRESS_NEEDS_SMTPUTF8;
}

static void draft_add(uint8_t *to, size_t max, size_t *len, struct span s)
{
	for (size_t i = 0; i < s.len; i++, ++*len)
		if (*len < max)
			to[*len] = s.ptr[i];
}

/* moves n bytes from the cursor to the local part */
static void take_local_bytes(struct cursor *c, struct draft *d, size_t n)
{
	draft_add(d->local, sizeof(d->local), &d->local_len, span_head(span_from(c->text, c->at), n));
	d->utf8 |= n > 1;
	c->at += n;
}

/* RFC 5322 3.2.3 */
static bool byte_is_atext(int b)
{
	return b > 0 && b < 0x80 && (byte_is_alnum((uint8_t)b) || strchr("!#$%&'*+-/=?^_`{|}~", b));
}

/* RFC 5321 4.1.2 Dot-string */
static enum address_fault take_dot_string(struct cursor *c, struct draft *d)
{
	bool atom = false; /* one stands before the cursor */
	uint32_t point;

	for (;;) {
		int b = cursor_peek(c);
		size_t n = byte_is_atext(b) ? 1 : cursor_utf8(c, &point);

		if (n == 0 && !(b == '.' && atom))
			break;
		atom = n > 0;
		take_local_bytes(c, d, n ? n : 1);
	}
	return atom ? ADDRESS_OK : cursor_fault(c, ADDRESS_BAD_LOCAL);
}

/* RFC 5321 4.1.2 Quoted-string; the cursor is on its opening quote */
static enum address_fault take_quoted_string(struct cursor *c, struct draft *d)
{
	uint32_t point;

	d->quoted = true;
	c->at++;
	for (;;) {
		int b = cursor_peek(c);

		if (b == '"') {
			c->at++;
			return ADDRESS_OK;
		}
		if (b == '\\') { /* quoted-pairSMTP takes ASCII only, also under RFC 6531 */
			c->at++;
			b = cursor_peek(c);
			if (b < 0x20 || b > 0x7e)
				return cursor_fault(c, ADDRESS_BAD_LOCAL);
			take_local_bytes(c, d, 1);
		} else {
			size_t n = b >= 0x20 && b <= 0x7e ? 1 : cursor_utf8(c, &point);

			if (n == 0)
				return cursor_fault(c, ADDRESS_BAD_LOCAL);
			take_local_bytes(c, d, n);
		}
	}
}

/* blanks, format characters and full stops of other scripts, which no U-label holds (RFC 5892) and which deceive a reader */
static bool point_in_label(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} barred[] = {{0xa0, 0xa0}, {0xad, 0xad}, {0x2000, 0x200b}, {0x200e, 0x206f}, {0x3000, 0x3002}, {0xd800, 0xf8ff},
		{0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xff00, 0xff0f}, {0xff61, 0xff61}, {0xfff0, 0xffff}, {0xe0000, 0x10ffff}};

	for (size_t i = 0; i < sizeof(barred) / sizeof(barred[0]); i++)
		if (point >= barred[i].first && point <= barred[i].last)
			return false;
	return true;
}

static bool label_ok(const struct label *l, bool underscores)
{
	return l->points > 0 && l->points <= (l->ascii ? LABEL_ASCII_MAX : LABEL_U_MAX) && l->last != '-' &&
		(underscores || l->last != '_');
}

/* length of the character at the cursor when it may come next in the label, else 0 */
static size_t label_next(const struct cursor *c, const struct label *l, bool underscores)
{
	int b = cursor_peek(c);
	uint32_t point = 0;
	size_t n;

	if (b >= 0 && b < 0x80) {
		bool inside = b == '-' ? l->points > 0 : b == '_' && (underscores || l->points > 0);

		return byte_is_alnum((uint8_t)b) || inside;
	}
	n = cursor_utf8(c, &point);
	return point_in_label(point) ? n : 0;
}

/* RFC 5321 4.1.2 Domain, 2.3.5; underscores: also at the ends of a label */
static enum address_fault take_domain(struct cursor *c, struct draft *d, bool underscores)
{
	struct label l = {.ascii = true};

	for (;;) {
		size_t n = label_next(c, &l, underscores);

		if (n > 0) {
			uint8_t low = byte_lower(c->text.ptr[c->at]);
			struct span s = n == 1 ? span_of(&low, 1) : span_head(span_from(c->text, c->at), n);

			draft_add(d->domain, sizeof(d->domain), &d->domain_len, s);
			l = (struct label){l.points + 1, l.ascii && n == 1, low};
			c->at += n;
			continue;
		}
		d->utf8 |= !l.ascii;
		if (!label_ok(&l, underscores))
			return cursor_fault(c, ADDRESS_BAD_DOMAIN);
		if (cursor_peek(c) != '.')
			return d->domain_len > LIMIT_DOMAIN_BYTES ? ADDRESS_TOO_LONG : ADDRESS_OK;
		draft_add(d->domain, sizeof(d->domain), &d->domain_len, SPAN_LIT("."));
		l = (struct label){.ascii = true};
		c->at++;
	}
}

static bool ip_parse(int family, struct span text, void *binary_out)
{
	char name[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(name) || span_find(text, '\0') < text.len)
		return false;
	memcpy(name, text.ptr, text.len);
	name[text.len] = '\0';
	return inet_pton(family, name, binary_out) == 1;
}

/* RFC 5321 4.1.3; the cursor is on the opening bracket. No General-address-literal tag was ever registered. */
static enum address_fault take_literal(struct cursor *c, struct draft *d)
{
	struct in6_addr binary;
	char name[INET6_ADDRSTRLEN];
	size_t from = ++c->at;
	struct span text;
	bool v6;

	for (; cursor_peek(c) != ']'; c->at++) {
		int b = cursor_peek(c);

		if (b < 0x21 || b > 0x7e || c->at - from > LITERAL_MAX_BYTES)
			return cursor_fault(c, ADDRESS_BAD_LITERAL);
	}
	text = span_of(c->text.ptr + from, c->at++ - from);
	v6 = span_starts_nocase(text, SPAN_LIT("IPv6:"));
	if (!ip_parse(v6 ? AF_INET6 : AF_INET, v6 ? span_from(text, 5) : text, &binary))
		return ADDRESS_BAD_LITERAL;
	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, &binary, name, sizeof(name)))
		return ADDRESS_BAD_LITERAL;
	draft_add(d->domain, sizeof(d->domain), &d->domain_len, v6 ? SPAN_LIT("[IPv6:") : SPAN_LIT("["));
	draft_add(d->domain, sizeof(d->domain), &d->domain_len, span_str(name));
	draft_add(d->domain, sizeof(d->domain), &d->domain_len, SPAN_LIT("]"));
	d->literal = true;
	return ADDRESS_OK;
}

/* by a forwarder, who had to put two addresses into one (mail/srs.h): longer than RFC 5321 4.5.3.1.1 asks for */
static bool address_is_rewritten(struct span local)
{
	return span_starts_nocase(local, SPAN_LIT("SRS0")) || span_starts_nocase(local, SPAN_LIT("SRS1"));
}

/* Mailbox, up to and without whatever follows it; `end` is the byte (or -1) that may stand right behind a bare Postmaster */
static enum address_fault take_mailbox(struct cursor *c, struct draft *d, int end)
{
	size_t from = c->at;
	enum address_fault f = cursor_peek(c) == '"' ? take_quoted_string(c, d) : take_dot_string(c, d);

	if (f != ADDRESS_OK)
		return f;
	if (c->at - from > (address_is_rewritten(span_from(c->text, from)) ? LIMIT_LOCAL_PART_LONG_BYTES : LIMIT_LOCAL_PART_BYTES))
		return ADDRESS_TOO_LONG;
	if (cursor_peek(c) != '@') {
		if (cursor_peek(c) != end && cursor_peek(c) >= 0)
			return cursor_fault(c, ADDRESS_BAD_LOCAL);
		/* RFC 5321 4.5.1 */
		if (c->flags & ADDRESS_POSTMASTER_OK && !d->quoted &&
			span_eq_nocase(span_of(d->local, d->local_len), SPAN_LIT("postmaster")))
			return ADDRESS_OK;
		return ADDRESS_NO_DOMAIN;
	}
	c->at++;
	if (cursor_peek(c) < 0 || cursor_peek(c) == end)
		return ADDRESS_NO_DOMAIN;
	return cursor_peek(c) == '[' ? take_literal(c, d) : take_domain(c, d, false);
}

/* RFC 5321 4.1.2 A-d-l with its colon: checked, then forgotten (4.1.1.3, appendix C) */
static enum address_fault take_route(struct cursor *c)
{
	for (;;) {
		struct draft hop = {.local_len = 0};
		enum address_fault f;

		if (cursor_peek(c) != '@')
			return cursor_fault(c, ADDRESS_BAD_ROUTE);
		c->at++;
		f = take_domain(c, &hop, false);
		if (f != ADDRESS_OK)
			return f == ADDRESS_BAD_DOMAIN ? ADDRESS_BAD_ROUTE : f;
		if (cursor_peek(c) == ':') {
			c->at++;
			return ADDRESS_OK;
		}
		if (cursor_peek(c) != ',')
			return cursor_fault(c, ADDRESS_BAD_ROUTE);
		c->at++;
	}
}

static enum address_fault draft_keep(const struct draft *d, struct arena *mem, struct address *out)
{
	uint8_t *at = arena_alloc(mem, d->local_len + d->domain_len + 1);

	if (!at)
		return ADDRESS_TOO_LONG;
	memcpy(at, d->local, d->local_len);
	memcpy(at + d->local_len, d->domain, d->domain_len);
	*out = (struct address){.local = span_of(at, d->local_len),
		.domain = span_of(at + d->local_len, d->domain_len),
		.literal = d->literal,
		.utf8 = d->utf8};
	return ADDRESS_OK;
}

enum address_fault address_parse(struct span text, unsigned flags, struct arena *mem, struct address *out)
{
	struct cursor c = {.text = text, .flags = flags};
	struct draft d = {.local_len = 0};
	enum address_fault f;

	if (text.len == 0) {
		if (flags & ADDRESS_NULL_OK)
			*out = (struct address){.local = SPAN_NONE};
		return flags & ADDRESS_NULL_OK ? ADDRESS_OK : ADDRESS_EMPTY;
	}
	f = take_mailbox(&c, &d, -1);
	if (f != ADDRESS_OK)
		return f;
	if (c.at < text.len)
		return cursor_fault(&c, d.literal ? ADDRESS_BAD_LITERAL : ADDRESS_BAD_DOMAIN);
	if (text.len + 2 > LIMIT_PATH_BYTES) /* RFC 5321 4.5.3.1.3 counts the brackets */
		return ADDRESS_TOO_LONG;
	return draft_keep(&d, mem, out);
}

/* a path without brackets ends with the text or at a blank, which no mailbox holds unquoted */
static enum address_fault parse_bare(struct cursor *c, struct arena *mem, struct address *out)
{
	struct draft d = {.local_len = 0};
	enum address_fault f;

	if (c->text.len == 0 || c->text.ptr[0] == ' ')
		return ADDRESS_EMPTY;
	f = take_mailbox(c, &d, ' ');
	if (f != ADDRESS_OK)
		return f;
	if (cursor_peek(c) >= 0 && cursor_peek(c) != ' ')
		return cursor_fault(c, d.literal ? ADDRESS_BAD_LITERAL : ADDRESS_BAD_DOMAIN);
	if (c->at + 2 > LIMIT_PATH_BYTES)
		return ADDRESS_TOO_LONG;
	return draft_keep(&d, mem, out);
}

/* the cursor is behind the opening bracket, and the path is not the null one */
static enum address_fault parse_bracketed(struct cursor *c, struct arena *mem, struct address *out)
{
	struct draft d = {.local_len = 0};
	enum address_fault f;

	if (cursor_peek(c) == '@') {
		f = take_route(c);
		if (f != ADDRESS_OK)
			return f;
	}
	f = take_mailbox(c, &d, '>');
	if (f == ADDRESS_OK && cursor_peek(c) != '>')
		f = cursor_fault(c, d.literal ? ADDRESS_BAD_LITERAL : ADDRESS_BAD_DOMAIN);
	/* where it only stops too early the bracket is what is missing */
	if (f == ADDRESS_BAD_DOMAIN || f == ADDRESS_NO_DOMAIN || f == ADDRESS_BAD_LITERAL) {
		struct span left = span_from(c->text, c->at);

		if (d.domain_len > 0 && span_find(left, '>') == left.len && (left.len == 0 || left.ptr[0] == ' '))
			return ADDRESS_NO_BRACKETS;
	}
	if (f != ADDRESS_OK)
		return f;
	c->at++;
	if (c->at > LIMIT_PATH_BYTES) /* RFC 5321 4.5.3.1.3 */
		return ADDRESS_TOO_LONG;
	return draft_keep(&d, mem, out);
}

enum address_fault address_parse_path(struct span text, unsigned flags, struct arena *mem, struct address *out, struct span *rest_out)
{
	struct cursor c = {.text = text, .flags = flags};
	enum address_fault f;

	if (text.len == 0)
		return ADDRESS_EMPTY;
	if (text.ptr[0] != '<') {
		f = flags & ADDRESS_LAX_BRACKETS ? parse_bare(&c, mem, out) : ADDRESS_NO_BRACKETS;
	} else {
		c.at = 1;
		if (cursor_peek(&c) != '>') {
			f = parse_bracketed(&c, mem, out);
		} else {
			c.at++;
			f = flags & ADDRESS_NULL_OK ? ADDRESS_OK : ADDRESS_EMPTY;
			if (f == ADDRESS_OK)
				*out = (struct address){.local = SPAN_NONE};
		}
	}
	if (f == ADDRESS_OK)
		*rest_out = span_from(text, c.at);
	return f;
}

static bool local_needs_quotes(struct span local)
{
	bool atom = false;

	for (size_t i = 0; i < local.len; i++) {
		uint8_t b = local.ptr[i];

		if (b == '.' ? !atom : b < 0x80 && !byte_is_atext(b))
			return true;
		atom = b != '.';
	}
	return !atom;
}

void address_write(struct buf *out, const struct address *a)
{
	if (address_is_null(a))
		return;
	if (!local_needs_quotes(a->local)) {
		buf_add(out, a->local);
	} else {
		buf_add_byte(out, '"');
		for (size_t i = 0; i < a->local.len; i++) {
			if (a->local.ptr[i] == '"' || a->local.ptr[i] == '\\')
				buf_add_byte(out, '\\');
			buf_add_byte(out, a->local.ptr[i]);
		}
		buf_add_byte(out, '"');
	}
	if (a->domain.len == 0)
		return;
	buf_add_byte(out, '@');
	buf_add(out, a->domain);
}

void address_key(struct buf *out, const struct address *a)
{
	if (address_is_null(a))
		return;
	for (size_t i = 0; i < a->local.len; i++)
		buf_add_byte(out, byte_lower(a->local.ptr[i]));
	buf_add_byte(out, '@');
	if (span_is_ascii(a->domain) || !address_domain_ascii(out, a->domain))
		buf_add(out, a->domain);
}

const char *address_fault_name(enum address_fault f)
{
	static const char *const names[] = {
		[ADDRESS_OK] = "the address is well-formed",
		[ADDRESS_EMPTY] = "the address is empty",
		[ADDRESS_NO_BRACKETS] = "the address does not stand between < and >",
		[ADDRESS_NO_DOMAIN] = "the address has no domain (nothing behind an @)",
		[ADDRESS_BAD_LOCAL] = "the local part (before the @) is malformed",
		[ADDRESS_BAD_DOMAIN] = "the domain (behind the @) is malformed",
		[ADDRESS_BAD_LITERAL] = "the brackets behind the @ do not hold an IP address",
		[ADDRESS_BAD_ROUTE] = "the source route (@host,@host:) before the address is malformed",
		[ADDRESS_BAD_UTF8] = "the address holds 8-bit bytes that are not UTF-8",
		[ADDRESS_NEEDS_SMTPUTF8] = "the address holds non-ASCII characters, and SMTPUTF8 was not asked for",
		[ADDRESS_CONTROL] = "the address holds a control character",
		[ADDRESS_TOO_LONG] = "the address is too long (64 octets before the @, 255 behind it, 256 in all with < and >)",
	};

	return (size_t)f < sizeof(names) / sizeof(names[0]) ? names[f] : "?";
}

bool address_helo_ok(struct span text)
{
	struct cursor c = {.text = text};
	struct draft d = {.local_len = 0};
	enum address_fault f;

	if (text.len == 0 || text.len > LIMIT_HELO_BYTES)
		return false;
	f = text.ptr[0] == '[' ? take_literal(&c, &d) : take_domain(&c, &d, true);
	return f == ADDRESS_OK && c.at == text.len;
}

bool address_is_ip(struct span text)
{
	struct in6_addr binary;

	return ip_parse(AF_INET, text, &binary) || ip_parse(AF_INET6, text, &binary);
}
