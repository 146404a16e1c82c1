/* domains in the form that the DNS and servers without SMTPUTF8 know (RFC 5890, 6531 3.2) */
#include <idn2.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "mail/address.h"

/* Characters of other widths are mapped to those of ASCII (UTS 46), among them U+FF20, which becomes an @. A domain has labels of letters, digits, "-" and
 * "_" alone. */
static bool domain_is_plain(const char *ascii)
{
	size_t label = 0;

	for (; *ascii; ascii++) {
		if (*ascii == '.' ? label == 0 : !byte_is_alnum((uint8_t)*ascii) && *ascii != '-' && *ascii != '_')
			return false;
		label = *ascii == '.' ? 0 : label + 1;
	}
	return label > 0;
}

/* of a domain beyond ASCII; NULL: it has none. For idn2_free. */
static char *domain_a_labels(struct span domain)
{
	char *text, *ascii = NULL;
	bool ok;

	if (domain.len > LIMIT_PATH_BYTES * 4 || span_find(domain, '\0') < domain.len)
		return NULL;
	text = mem_str_span(domain);
	ok = idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK && strlen(ascii) <= LIMIT_DOMAIN_BYTES && domain_is_plain(ascii);
	free(text);
	if (!ok) {
		idn2_free(ascii);
		ascii = NULL;
	}
	return ascii;
}

bool address_domain_ascii(struct buf *out, struct span domain)
{
	char *ascii;

	if (span_is_ascii(domain)) {
		for (size_t i = 0; i < domain.len; i++)
			buf_add_byte(out, byte_lower(domain.ptr[i]));
		return true;
	}
	ascii = domain_a_labels(domain);
	if (ascii)
		buf_add_str(out, ascii);
	idn2_free(ascii);
	return ascii != NULL;
}

static size_t lower_copy(struct span s, uint8_t *to)
{
	for (size_t i = 0; i < s.len; i++)
		to[i] = byte_lower(s.ptr[i]);
	return s.len;
}

struct span address_domain_key(struct span domain, uint8_t room[LIMIT_DOMAIN_BYTES])
{
	char *ascii = span_is_ascii(domain) ? NULL : domain_a_labels(domain);
	struct span form = ascii ? span_str(ascii) : domain;

	form = form.len <= LIMIT_DOMAIN_BYTES ? span_of(room, lower_copy(form, room)) : SPAN_NONE;
	idn2_free(ascii);
	return form;
}

static size_t behind_at(struct span text)
{
	size_t at = text.len;

	while (at > 0 && text.ptr[at - 1] != '@')
		at--;
	return at; /* 0: there is none */
}

struct span address_text_key(struct span text, uint8_t *room, size_t size)
{
	size_t at = behind_at(text);
	struct span domain = span_from(text, at);
	char *ascii = span_is_ascii(domain) ? NULL : domain_a_labels(domain);
	struct span form = ascii ? span_str(ascii) : domain;

	if (at + form.len > size) /* as it came, where that fits */
		form = domain;
	if (at + form.len > size)
		form = SPAN_NONE;
	else
		form = span_of(room, lower_copy(span_head(text, at), room) + lower_copy(form, room + at));
	idn2_free(ascii);
	return form;
}

bool address_domain_same(struct span a, struct span b)
{
	uint8_t room_a[LIMIT_DOMAIN_BYTES], room_b[LIMIT_DOMAIN_BYTES];

	if (span_eq_nocase(a, b))
		return true;
	if (span_is_ascii(a) && span_is_ascii(b))
		return false;
	a = address_domain_key(a, room_a);
	return a.len > 0 && span_eq(a, address_domain_key(b, room_b));
}

bool address_text_same(struct span a, struct span b)
{
	size_t at_a = behind_at(a), at_b = behind_at(b);

	return at_a == at_b && span_eq_nocase(span_head(a, at_a), span_head(b, at_b)) && address_domain_same(span_from(a, at_a), span_from(b, at_b));
}

bool address_write_ascii(struct buf *out, const struct address *a)
{
	struct address plain = *a;
	struct buf domain;
	bool ok;

	buf_init(&domain, LIMIT_DOMAIN_BYTES + 1);
	ok = span_is_ascii(a->local) && address_domain_ascii(&domain, a->domain) && !domain.overflow;
	if (ok) {
		plain.domain = buf_span(&domain);
		address_write(out, &plain);
	}
	buf_clear(&domain);
	return ok;
}
