#include "mail/autoreply.h"

#include "base/b64.h"
#include "base/limits.h"
#include "mail/header.h"
#include "mail/header_field.h"

enum {
	AUTOREPLY_WORD_BYTES = 42,   /* of an encoded word, before it is encoded: the line stays below 76 */
	AUTOREPLY_LINE_BYTES = 76,   /* RFC 2045 6.7 */
	AUTOREPLY_PLAIN_BYTES = 200, /* longest line that is not encoded */
	AUTOREPLY_ID_BYTES = 250,
	AUTOREPLY_IDS = 64,
};

/* ---- header */

/* RFC 2047 where it is not ASCII; a word a line */
static void autoreply_subject(struct buf *out, struct span text)
{
	text = span_trim(text);
	buf_add_str(out, "Subject: ");
	if (span_is_ascii(text)) {
		for (size_t i = 0; i < text.len && i < LIMIT_TEXT_LINE_BYTES - 20; i++)
			buf_add_byte(out, text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
		buf_add_str(out, "\r\n");
		return;
	}
	while (text.len) {
		size_t n = text.len < AUTOREPLY_WORD_BYTES ? text.len : AUTOREPLY_WORD_BYTES;

		while (n < text.len && n > 1 && (text.ptr[n] & 0xc0) == 0x80) /* a character stays in one word */
			n--;
		buf_add_str(out, "=?utf-8?B?");
		b64_encode(out, span_head(text, n));
		buf_add_str(out, text.len > n ? "?=\r\n " : "?=");
		text = span_from(text, n);
	}
	buf_add_str(out, "\r\n");
}

/* "<x@y>" of printable ASCII */
static bool autoreply_is_id(struct span id)
{
	if (id.len < 3 || id.len > AUTOREPLY_ID_BYTES || id.ptr[0] != '<' || id.ptr[id.len - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < id.len; i++)
		if (id.ptr[i] <= ' ' || id.ptr[i] >= 0x7f || id.ptr[i] == '<' || id.ptr[i] == '>')
			return false;
	return true;
}

/* the next "<...>" in a list of them; what stands between is left out */
static bool autoreply_next_id(struct span *rest, struct span *id_out)
{
	while (rest->len) {
		size_t begin = span_find(*rest, '<'), end;

		*rest = span_from(*rest, begin);
		end = span_find(*rest, '>');
		if (end == rest->len)
			return false;
		*id_out = span_head(*rest, end + 1);
		*rest = span_from(*rest, end + 1);
		if (autoreply_is_id(*id_out))
			return true;
	}
	return false;
}

/* RFC 5322 3.6.4: those of the original and its own. Where they are many the first and the last ones stay: threads are found by both. */
static void autoreply_references(struct buf *out, const struct autoreply *a)
{
	struct span ids[AUTOREPLY_IDS], rest = span_head(a->references, AUTOREPLY_REFERENCES_BYTES), id;
	struct span own = span_trim(a->message_id);
	size_t n = 0;

	while (autoreply_next_id(&rest, &id)) {
		if (n == AUTOREPLY_IDS) {
			memmove(&ids[1], &ids[2], (n - 2) * sizeof(ids[0]));
			n--;
		}
		ids[n++] = id;
	}
	if (autoreply_is_id(own)) {
		buf_add_str(out, "In-Reply-To: ");
		buf_add(out, own);
		buf_add_str(out, "\r\n");
	}
	if (n == 0 && !autoreply_is_id(own))
		return;
	buf_add_str(out, "References:");
	for (size_t i = 0; i < n; i++) {
		buf_add_str(out, i ? "\r\n " : " ");
		buf_add(out, ids[i]);
	}
	if (autoreply_is_id(own)) {
		buf_add_str(out, n ? "\r\n " : " ");
		buf_add(out, own);
	}
	buf_add_str(out, "\r\n");
}

static void autoreply_address(struct buf *out, const char *field, struct span address)
{
	buf_add_str(out, field);
	buf_add(out, address);
	buf_add_str(out, "\r\n");
}

static void autoreply_head(struct buf *out, const struct autoreply *a)
{
	buf_add_str(out, "Date: ");
	header_write_date(out, a->now_ms);
	buf_add_str(out, "\r\n");
	autoreply_address(out, "From: ", a->from);
	autoreply_address(out, "To: ", a->to);
	autoreply_subject(out, a->subject);
	buf_printf(out, "Message-ID: <%llx.%016llx@", (unsigned long long)a->now_ms, (unsigned long long)a->unique);
	buf_add(out, a->hostname);
	buf_add_str(out, ">\r\n");
	autoreply_references(out, a);
	buf_add_str(out, "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n");
}

/* ---- text */

/* line ends are CRLF, the last line has one; NUL and other control characters are blanks, but the tab */
static void autoreply_lines(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
			continue;
		if (c == '\n' || c == '\r')
			buf_add_str(out, "\r\n");
		else
			buf_add_byte(out, (c < ' ' && c != '\t') || c == 0x7f ? ' ' : c);
	}
	if (out->len < 2 || out->ptr[out->len - 1] != '\n')
		buf_add_str(out, "\r\n");
}

static size_t autoreply_longest(struct span lines)
{
	size_t longest = 0;

	while (lines.len) {
		size_t n = span_find_span(lines, SPAN_LIT("\r\n"));

		longest = n > longest ? n : longest;
		lines = span_from(lines, n + 2 < lines.len ? n + 2 : lines.len);
	}
	return longest;
}

/* RFC 2045 6.7 over lines that end with CRLF */
static void autoreply_quoted(struct buf *out, struct span lines)
{
	size_t column = 0;

	for (size_t i = 0; i < lines.len; i++) {
		uint8_t c = lines.ptr[i];
		bool end = c == '\r', last = i + 1 < lines.len && lines.ptr[i + 1] == '\r';
		bool plain = (c > ' ' && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !last);

		if (end) {
			buf_add_str(out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		if (column + (plain ? 1 : 3) > AUTOREPLY_LINE_BYTES - 1) {
			buf_add_str(out, "=\r\n");
			column = 0;
		}
		if (plain)
			buf_add_byte(out, c);
		else
			buf_printf(out, "=%02X", c);
		column += plain ? 1 : 3;
	}
}

static void autoreply_plain(struct span lines, struct buf *head, struct buf *body)
{
	bool ascii = span_is_ascii(lines);

	buf_printf(head, "Content-Type: text/plain; charset=%s\r\n", ascii ? "us-ascii" : "utf-8");
	if (ascii && autoreply_longest(lines) <= AUTOREPLY_PLAIN_BYTES) {
		buf_add_str(head, "\r\n");
		buf_add(body, lines);
		return;
	}
	buf_add_str(head, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	autoreply_quoted(body, lines);
}

/* of its header only what tells how to read the body */
static bool autoreply_entity(struct span lines, struct buf *head, struct buf *body)
{
	struct header_field f;
	bool typed = false;

	while (header_field_next(&lines, &f)) {
		if (!span_starts_nocase(f.name, SPAN_LIT("Content-")) || f.blank || !span_is_ascii(f.value))
			continue;
		typed |= header_field_is(&f, "Content-Type");
		buf_add(head, f.name);
		buf_add_byte(head, ':');
		buf_add(head, f.value);
		buf_add_str(head, "\r\n");
	}
	if (!typed || !span_starts(lines, SPAN_LIT("\r\n")) || autoreply_longest(lines) > LIMIT_TEXT_LINE_BYTES - 2)
		return false;
	buf_add_str(head, "\r\n");
	buf_add(body, span_from(lines, 2));
	return true;
}

bool autoreply_write(const struct autoreply *a, struct buf *head_out, struct buf *body_out, bool *has_8bit_out)
{
	struct buf lines;
	bool good = span_is_utf8(a->text);

	buf_init(&lines, AUTOREPLY_BODY_BYTES / 4);
	autoreply_lines(&lines, a->text);
	good = good && !lines.overflow;
	autoreply_head(head_out, a);
	if (good && a->mime)
		good = autoreply_entity(buf_span(&lines), head_out, body_out);
	else if (good)
		autoreply_plain(buf_span(&lines), head_out, body_out);
	*has_8bit_out = !span_is_ascii(buf_span(body_out));
	good = good && !head_out->overflow && !body_out->overflow && autoreply_longest(buf_span(head_out)) <= LIMIT_TEXT_LINE_BYTES - 2;
	buf_clear(&lines);
	return good;
}
