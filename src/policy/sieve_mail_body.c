/* Bodies as body tests see them: decoded, in UTF-8, HTML as its words. */
#include "policy/sieve_mail_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "mail/mime_reader.h"
#include "mail/words.h"

/* --- HTML --- */

/* the reference at the start of s ("&amp;", "&#8364;", "&#x20ac;"): its length and character, 0: none */
static size_t reference(struct span s, uint32_t *point_out)
{
	static const struct {
		const char *name;
		uint32_t point;
	} names[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", ' '}, {"shy", 0}, {"zwnj", 0}, {"euro", 0x20ac},
		{"auml", 0xe4}, {"ouml", 0xf6}, {"uuml", 0xfc}, {"Auml", 0xc4}, {"Ouml", 0xd6}, {"Uuml", 0xdc}, {"szlig", 0xdf}, {"eacute", 0xe9}};
	size_t end = span_find(span_head(s, 12), ';');
	struct span word = span_head(span_from(s, 1), end > 0 ? end - 1 : 0);
	uint32_t n = 0;
	bool hex;

	if (end >= s.len || end >= 12 || word.len < 2)
		return 0;
	if (word.ptr[0] != '#') {
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (span_eq(word, span_str(names[i].name))) {
				*point_out = names[i].point;
				return end + 1;
			}
		return 0;
	}
	hex = byte_lower(word.ptr[1]) == 'x';
	for (size_t i = hex ? 2 : 1; i < word.len; i++) {
		uint8_t c = byte_lower(word.ptr[i]);

		if (!byte_is_digit(c) && !(hex && c >= 'a' && c <= 'f'))
			return 0;
		n = n > 0x10ffff ? n : n * (hex ? 16 : 10) + (uint32_t)(byte_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	*point_out = n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff) ? 0xfffd : n;
	return end + 1;
}

/* behind the next ">" */
static size_t tag_end(struct span s, size_t from)
{
	size_t at = from + span_find(span_from(s, from), '>');

	return at < s.len ? at + 1 : s.len;
}

/* the end of what begins with "<": a comment, a script or style sheet with all that is in it, or a tag */
static size_t markup_len(struct span s)
{
	static const char *const whole[][2] = {{"<!--", "-->"}, {"<script", "</script"}, {"<style", "</style"}};
	for (size_t i = 0; i < 3; i++) {
		if (!span_starts_nocase(s, span_str(whole[i][0])))
			continue;
		for (size_t at = strlen(whole[i][0]); at < s.len; at++)
			if (span_starts_nocase(span_from(s, at), span_str(whole[i][1])))
				return tag_end(s, at + strlen(whole[i][1]) - 1);
		return s.len;
	}
	return tag_end(s, 0);
}

/* tags that part words on the screen; others (<b>, <span>) stand inside of words */
static bool breaks_words(struct span tag)
{
	static const char *const inner[] = {"b", "i", "u", "em", "strong", "span", "font", "a", "small", "big", "sub", "sup", "tt", "code", "wbr"};
	struct span name = span_from(tag, tag.len > 1 && tag.ptr[1] == '/' ? 2 : 1);
	size_t n = 0;

	while (n < name.len && byte_is_alnum(name.ptr[n]))
		n++;
	for (size_t i = 0; i < sizeof(inner) / sizeof(*inner); i++)
		if (span_eq_nocase(span_head(name, n), span_str(inner[i])))
			return false;
	return !span_starts(tag, SPAN_LIT("<!"));
}

void sieve_mail_strip_html(struct span html, struct buf *out)
{
	while (html.len > 0 && !out->overflow) {
		size_t n = 0;
		uint32_t point;

		while (n < html.len && html.ptr[n] != '<' && html.ptr[n] != '&')
			n++;
		buf_add(out, span_head(html, n));
		html = span_from(html, n);
		if (html.len == 0)
			break;
		if (html.ptr[0] == '<' && html.len > 1 && (byte_is_alpha(html.ptr[1]) || strchr("/!?", html.ptr[1]))) {
			n = markup_len(html);
			if (breaks_words(span_head(html, n)))
				buf_add_byte(out, ' ');
		} else {
			n = html.ptr[0] == '&' ? reference(html, &point) : 0;
			if (n == 0)
				buf_add_byte(out, html.ptr[0]);
			else if (point > 0)
				words_add_codepoint(out, point);
			n = n ? n : 1;
		}
		html = span_from(html, n);
	}
}

/* --- bodies --- */

static void read_raw(struct sieve_mail *m, const struct mime_part *p, struct buf *out)
{
	while (out->len < out->max_bytes && p->body_begin + out->len < m->source->bytes) {
		size_t room = out->max_bytes - out->len < 65536 ? out->max_bytes - out->len : 65536;
		uint8_t *to = buf_reserve(out, room);
		size_t got = to ? m->source->read_at(m->source->arg, p->body_begin + out->len, to, room) : 0;

		if (got == 0)
			break;
		out->len += got;
	}
}

static void read_decoded(struct sieve_mail *m, const struct mime_part *p, struct buf *out)
{
	struct mime_reader *r = mem_alloc(sizeof(*r));
	struct span piece;

	mime_reader_init(r, m->source, p);
	while (out->len < out->max_bytes && (piece = mime_reader_next(r)).len > 0)
		buf_add(out, span_head(piece, out->max_bytes - out->len));
	mime_reader_clear(r);
	free(r);
}

static void read_body(struct sieve_mail *m, const struct mime_part *p, enum sieve_body form, struct buf *out)
{
	bool text = span_eq(p->type, SPAN_LIT("text"));
	struct buf bytes;

	if (form == SIEVE_BODY_RAW) {
		read_raw(m, p, out);
		return;
	}
	buf_init(&bytes, LIMIT_SIEVE_BODY_BYTES);
	read_decoded(m, p, &bytes);
	if (!text)
		buf_add(out, buf_span(&bytes));
	else
		(void)words_to_utf8(out, p->charset, buf_span(&bytes));
	buf_clear(&bytes);
	if (form == SIEVE_BODY_TEXT && span_eq(p->subtype, SPAN_LIT("html"))) {
		buf_init(&bytes, LIMIT_SIEVE_BODY_BYTES);
		sieve_mail_strip_html(buf_span(out), &bytes);
		buf_reset(out);
		buf_add(out, buf_span(&bytes));
		buf_clear(&bytes);
	}
}

bool sieve_mail_body(void *owner, unsigned part, enum sieve_body form, struct span *out)
{
	struct sieve_mail *m = owner;
	struct mail_part *p;
	struct buf text;

	if (part >= m->mime->part_count)
		return false;
	p = &m->parts[part];
	if (form == SIEVE_BODY_TEXT && !span_eq(p->mime->type, SPAN_LIT("text")))
		return false;
	if (!p->have_body[form]) {
		p->have_body[form] = true;
		buf_init(&text, LIMIT_SIEVE_BODY_BYTES);
		read_body(m, p->mime, form, &text);
		if (m->bodies.used_bytes + text.len + 8 <= m->bodies.max_bytes)
			p->bodies[form] = arena_copy(&m->bodies, buf_span(&text));
		m->incomplete |= !p->bodies[form].ptr || text.len >= text.max_bytes || text.overflow;
		buf_clear(&text);
	}
	*out = p->bodies[form];
	return out->ptr != NULL;
}
