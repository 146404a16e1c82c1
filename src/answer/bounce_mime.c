#include "answer/bounce_mime.h"

#include "mail/mime.h"
#include "mail/mime_reader.h"

enum { PART_BYTES = 64 << 10, HEAD_LINES = 40 };

static bool html_is(struct span tag, const char *name)
{
	struct span s = span_str(name);

	if (tag.len && tag.ptr[0] == '/')
		tag = span_from(tag, 1);
	return span_starts_nocase(tag, s) && (tag.len == s.len || !byte_is_alnum(tag.ptr[s.len]));
}

static bool html_breaks(struct span tag)
{
	static const char *const names[] = {"br", "p", "div", "tr", "table", "li", "h1", "h2", "h3", "hr", "pre", "blockquote", "title"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (html_is(tag, names[i]))
			return true;
	return false;
}

/* "&lt;" and "&#39;"; bytes that were used, 0: it is no such */
static size_t html_entity(struct buf *out, struct span s)
{
	static const struct {
		const char *name;
		char c;
	} names[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&nbsp;", ' '}, {"&apos;", '\''}, {"&#8217;", '\''}};
	unsigned n = 0;
	size_t at = 2;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (span_starts_nocase(s, span_str(names[i].name))) {
			buf_add_byte(out, (uint8_t)names[i].c);
			return strlen(names[i].name);
		}
	}
	if (s.len < 4 || s.ptr[1] != '#')
		return 0;
	for (; at < s.len && at < 8 && byte_is_digit(s.ptr[at]); at++)
		n = n * 10 + (unsigned)(s.ptr[at] - '0');
	if (at == 2 || at >= s.len || s.ptr[at] != ';')
		return 0;
	buf_add_byte(out, n >= ' ' && n < 0x7f ? (uint8_t)n : ' ');
	return at + 1;
}

void bounce_strip_html(struct buf *out, struct span html)
{
	bool hidden = false; /* inside <style> or <script> */

	while (html.len) {
		size_t used = 1;

		if (html.ptr[0] == '<') {
			struct span tag = span_from(html, 1);

			tag = span_head(tag, span_find(tag, '>'));
			if (html_is(tag, "style") || html_is(tag, "script") || html_is(tag, "head"))
				hidden = tag.len && tag.ptr[0] != '/';
			if (html_breaks(tag))
				buf_add_byte(out, '\n');
			used = tag.len + 2;
		} else if (!hidden && html.ptr[0] == '&' && (used = html_entity(out, html)) == 0) {
			buf_add_byte(out, '&');
			used = 1;
		} else if (!hidden && html.ptr[0] != '&') {
			bool blank = html.ptr[0] == '\n' || html.ptr[0] == '\r' || html.ptr[0] == '\t' || html.ptr[0] == ' ';

			if (!blank || (out->len && out->ptr[out->len - 1] > ' '))
				buf_add_byte(out, blank ? ' ' : html.ptr[0]);
		}
		html = span_from(html, used);
	}
}

static void flatten_part(const struct mime_source *source, const struct mime_part *part, struct buf *out)
{
	bool html = mime_part_is(part, "text", "html");
	struct mime_reader reader;
	struct buf decoded;
	struct span some;

	buf_init(&decoded, PART_BYTES);
	mime_reader_init(&reader, source, part);
	while (decoded.len < PART_BYTES && (some = mime_reader_next(&reader)).len)
		buf_add(&decoded, span_head(some, PART_BYTES - decoded.len));
	mime_reader_clear(&reader);
	if (html)
		bounce_strip_html(out, buf_span(&decoded));
	else
		buf_add(out, buf_span(&decoded));
	buf_add_str(out, "\n\n");
	buf_clear(&decoded);
}

static bool flatten_is_status(const struct mime_part *part)
{
	return mime_part_is(part, "message", "delivery-status") || mime_part_is(part, "message", "global-delivery-status");
}

/* the sender's own mail inside a report: what stands below or behind the machine-readable part */
static bool flatten_is_returned(const struct mime_part *part)
{
	for (; part->parent; part = part->parent) {
		const struct mime_part *before;

		if (!mime_part_is(part->parent, "multipart", "report"))
			continue;
		if (mime_part_is(part, "text", "rfc822-headers") || mime_part_is(part, "message", "rfc822") ||
		    mime_part_is(part, "message", "global"))
			return true;
		for (before = part->parent->first_child; before && before != part; before = before->sibling)
			if (flatten_is_status(before))
				return true;
	}
	return false;
}

static bool flatten_is_report(const struct mime_part *part)
{
	for (; part; part = part->parent)
		if (mime_part_is(part, "multipart", "report"))
			return true;
	return false;
}

/* HTML counts where no plain text stands beside it */
static bool flatten_has_plain(const struct mime_part *part)
{
	for (const struct mime_part *beside = part->parent ? part->parent->first_child : NULL; beside; beside = beside->sibling)
		if (mime_part_is(beside, "text", "plain"))
			return true;
	return false;
}

static bool flatten_wants(const struct mime *mime, const struct mime_part *part, bool has_report)
{
	if (flatten_is_status(part))
		return true;
	if (!span_eq(part->type, SPAN_LIT("text")) || flatten_is_returned(part) || mime_part_is(part, "text", "rfc822-headers"))
		return false;
	if (has_report ? !flatten_is_report(part) : part->depth > mime->parts->depth + 3)
		return false;
	return mime_part_is(part, "text", "plain") || (mime_part_is(part, "text", "html") && !flatten_has_plain(part));
}

static void flatten_tree(struct span text, const struct mime *mime, struct buf *out)
{
	struct mime_source source = mime_source_memory(&text);
	bool has_report = false;

	for (const struct mime_part *part = mime->parts; part; part = part->next)
		has_report = has_report || mime_part_is(part, "multipart", "report");
	for (const struct mime_part *part = mime->parts; part; part = part->next)
		if (!mime_part_is_multipart(part) && flatten_wants(mime, part, has_report))
			flatten_part(&source, part, out);
}

/* does it begin with header fields, of which one says that there are parts? */
static bool flatten_is_mail(struct span text)
{
	bool typed = false;

	for (int i = 0; i < HEAD_LINES * 4 && text.len; i++) {
		struct span line = span_cut(&text, '\n');
		size_t colon = span_find(line, ':');

		if (line.len <= 1)
			return typed && i > 0;
		if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
			continue;
		if (colon == 0 || colon >= line.len || span_find(span_head(line, colon), ' ') < colon)
			return i == 0 && span_starts(line, SPAN_LIT("From ")); /* of an mbox */
		typed = typed || span_starts_nocase(line, SPAN_LIT("Content-Type:")) ||
			span_starts_nocase(line, SPAN_LIT("Content-Transfer-Encoding:"));
	}
	return typed;
}

bool bounce_flatten(struct span text, struct buf *out)
{
	size_t before = out->len, first = span_find(text, '\n');
	bool crlf = first && first < text.len && text.ptr[first - 1] == '\r';
	struct mime_scan *scan;

	if (!flatten_is_mail(text))
		return false;
	scan = mime_scan_new(crlf ? 0 : MIME_LF);
	mime_scan_feed(scan, text);
	flatten_tree(text, mime_scan_end(scan), out);
	mime_scan_free(&scan);
	return out->len > before + 2;
}
