#include "answer/doctor_reply.h"

#include "base/num.h"

enum { GREETING_MASK_BYTES = 8, OFFER_MASK_BYTES = 4, HOST_BYTES = 255 };

/* ---- greetings */

static bool doctor_has(struct span text, const char *word)
{
	struct span w = span_str(word);

	for (size_t i = 0; i + w.len <= text.len; i++)
		if (span_eq_nocase(span_of(text.ptr + i, w.len), w))
			return true;
	return false;
}

/* a Cisco box with "fixup" writes stars over the words of a greeting, and leaves a digit here and there */
static bool doctor_is_masked(struct span line)
{
	struct span words = span_trim(span_from(line, 4));
	size_t stars = 0;

	for (size_t i = 0; i < words.len; i++)
		stars += words.ptr[i] == '*';
	return words.len >= GREETING_MASK_BYTES && stars * 4 >= words.len * 3;
}

enum doctor_greeting doctor_greeting_kind(struct span first)
{
	static const struct {
		const char *prefix;
		enum doctor_greeting kind;
	} kinds[] = {
		{"+OK", DOCTOR_GREETING_POP3},	 {"-ERR", DOCTOR_GREETING_POP3},	   {"* ", DOCTOR_GREETING_IMAP},
		{"HTTP/", DOCTOR_GREETING_HTTP}, {"<!doctype html", DOCTOR_GREETING_HTTP}, {"<html", DOCTOR_GREETING_HTTP},
		{"SSH-", DOCTOR_GREETING_SSH},
	};
	struct span rest = first, line = span_cut(&rest, '\n');
	bool last;

	if (!first.len)
		return DOCTOR_GREETING_NONE;
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_starts_nocase(first, span_str(kinds[i].prefix)))
			return kinds[i].kind;
	if (first.len >= 2 && (first.ptr[0] == 0x15 || first.ptr[0] == 0x16) && first.ptr[1] == 3) /* RFC 8446 5.1 */
		return DOCTOR_GREETING_TLS;
	if (!doctor_reply_code(DOCTOR_SMTP, line, &last))
		return DOCTOR_GREETING_OTHER;
	if (doctor_has(line, "ftp") && !doctor_has(line, "smtp"))
		return DOCTOR_GREETING_FTP;
	return doctor_is_masked(line) ? DOCTOR_GREETING_MASKED : DOCTOR_GREETING_SMTP;
}

enum doctor_protocol doctor_greeting_protocol(enum doctor_greeting kind)
{
	switch (kind) {
	case DOCTOR_GREETING_SMTP:
	case DOCTOR_GREETING_MASKED:
		return DOCTOR_SMTP;
	case DOCTOR_GREETING_POP3:
		return DOCTOR_POP3;
	case DOCTOR_GREETING_IMAP:
		return DOCTOR_IMAP;
	case DOCTOR_GREETING_NONE:
	case DOCTOR_GREETING_HTTP:
	case DOCTOR_GREETING_FTP:
	case DOCTOR_GREETING_SSH:
	case DOCTOR_GREETING_TLS:
	case DOCTOR_GREETING_OTHER:
		break;
	}
	return DOCTOR_UNKNOWN;
}

struct span doctor_greeting_host(struct span line)
{
	struct span rest = span_from(line, 4), word = span_cut(&rest, ' ');
	bool dot = false;

	if (word.len && word.ptr[word.len - 1] == '\r')
		word.len--;
	for (size_t i = 0; i < word.len; i++) {
		if (!byte_is_alnum(word.ptr[i]) && word.ptr[i] != '-' && word.ptr[i] != '.' && word.ptr[i] != '_')
			return SPAN_NONE;
		dot = dot || word.ptr[i] == '.';
	}
	return dot && word.len <= HOST_BYTES ? word : SPAN_NONE;
}

/* ---- replies */

unsigned doctor_reply_code(enum doctor_protocol protocol, struct span line, bool *last_out)
{
	uint64_t code;

	*last_out = true;
	if (protocol == DOCTOR_POP3) {
		if (span_starts(line, SPAN_LIT("+ ")) || span_eq(line, SPAN_LIT("+")))
			return 334; /* RFC 5034 4 */
		return span_starts(line, SPAN_LIT("+OK")) ? 200 : span_starts(line, SPAN_LIT("-ERR")) ? 500 : 0;
	}
	if (protocol == DOCTOR_IMAP) {
		if (span_starts(line, SPAN_LIT("+")))
			return 334;
		if (span_starts(line, SPAN_LIT("* "))) {
			*last_out = false;
			return 200;
		}
		return span_starts_nocase(line, SPAN_LIT("a OK")) ? 200 : span_starts(line, SPAN_LIT("a ")) ? 500 : 0;
	}
	if (line.len < 3 || num_parse(span_head(line, 3), 599, &code) != RC_OK || code < 200 ||
	    (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-'))
		return 0;
	*last_out = line.len == 3 || line.ptr[3] == ' ';
	return (unsigned)code;
}

/* ---- what is offered */

void doctor_offer_init(struct doctor_offer *o)
{
	*o = (struct doctor_offer){0};
	buf_init(&o->auth, DOCTOR_AUTH_BYTES);
}

void doctor_offer_clear(struct doctor_offer *o)
{
	buf_clear(&o->auth);
}

/* "XXXXXXXA" is what such a box makes of STARTTLS: a word of the same length that nobody knows */
static bool doctor_is_masked_word(struct span word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.ptr[i] != 'X' && (i + 1 < word.len || word.ptr[i] < 'A' || word.ptr[i] > 'D'))
			return false;
	return word.len >= OFFER_MASK_BYTES;
}

static void doctor_offer_auth(struct doctor_offer *o, struct span words)
{
	for (struct span rest = words, word = span_cut(&rest, ' '); word.ptr; word = span_cut(&rest, ' ')) {
		if (!word.len || !span_is_vchar(word) || o->auth.len + word.len + 1 > DOCTOR_AUTH_BYTES)
			continue;
		if (o->auth.len)
			buf_add_byte(&o->auth, ' ');
		buf_add_safe(&o->auth, word, word.len);
	}
	o->auth.overflow = false;
}

/* of EHLO and CAPA: a keyword, then its parameters */
static void doctor_offer_line(struct doctor_offer *o, struct span line)
{
	struct span rest = span_trim(line), word = span_cut(&rest, ' ');

	if (span_eq_nocase(word, SPAN_LIT("STARTTLS")) || span_eq_nocase(word, SPAN_LIT("STLS")))
		o->starttls = true;
	else if (span_eq_nocase(word, SPAN_LIT("AUTH")) || span_eq_nocase(word, SPAN_LIT("SASL")))
		doctor_offer_auth(o, rest);
	else if (span_starts_nocase(word, SPAN_LIT("AUTH="))) /* before RFC 2554, and still sent beside it */
		doctor_offer_auth(o, o->auth.len ? SPAN_NONE : span_from(span_trim(line), 5));
	else if (span_eq_nocase(word, SPAN_LIT("USER")))
		doctor_offer_auth(o, word);
	else if (span_eq_nocase(word, SPAN_LIT("XWHY")))
		o->xwhy = true;
	else if (span_eq_nocase(word, SPAN_LIT("SIZE")) && num_parse(span_trim(rest), UINT64_MAX, &o->size_bytes) != RC_OK)
		o->size_bytes = 0;
	o->masked = o->masked || doctor_is_masked_word(word);
}

static void doctor_offer_imap(struct doctor_offer *o, struct span line)
{
	struct span rest = line;

	if (!span_starts_nocase(line, SPAN_LIT("* CAPABILITY ")))
		return;
	for (struct span word = span_cut(&rest, ' '); word.ptr; word = span_cut(&rest, ' ')) {
		if (span_eq_nocase(word, SPAN_LIT("STARTTLS")))
			o->starttls = true;
		else if (span_eq_nocase(word, SPAN_LIT("LOGINDISABLED")))
			o->login_disabled = true;
		else if (span_starts_nocase(word, SPAN_LIT("AUTH=")))
			doctor_offer_auth(o, span_from(word, 5));
	}
}

void doctor_offer_read(struct doctor_offer *o, enum doctor_protocol protocol, struct span reply)
{
	bool first = true;

	o->starttls = o->masked = o->xwhy = o->login_disabled = false;
	o->size_bytes = 0;
	buf_reset(&o->auth);
	for (struct span rest = reply; rest.ptr; first = false) {
		struct span line = span_cut(&rest, '\n');

		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (protocol == DOCTOR_IMAP)
			doctor_offer_imap(o, line);
		else if (!first) /* the first is the greeting */
			doctor_offer_line(o, protocol == DOCTOR_SMTP ? span_from(line, 4) : line);
	}
}

bool doctor_offers(const char *auth, const char *mechanism)
{
	for (struct span rest = span_str(auth); rest.ptr;)
		if (span_eq_nocase(span_cut(&rest, ' '), span_str(mechanism)))
			return true;
	return false;
}
