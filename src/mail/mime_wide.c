#include "mail/mime_wide.h"

enum { LINE_EMPTY, LINE_DASH, LINE_DASHES, LINE_ON };

/* a byte of a header; none of the word begins it again but its first character */
static void mime_wide_header(struct mime_wide *w, uint8_t c)
{
	static const char word[] = "message/";

	w->found |= c >= 0x80;
	c = byte_lower(c);
	w->matched = c == word[w->matched] ? w->matched + 1 : c == word[0];
	if (w->matched == sizeof(word) - 1) {
		w->holds_message = true;
		w->matched = 0;
	}
}

static void mime_wide_line_over(struct mime_wide *w)
{
	if (w->line == LINE_EMPTY && !w->body) {
		w->body = !w->holds_message;
		w->holds_message = false;
	}
	w->line = LINE_EMPTY;
}

static void mime_wide_byte(struct mime_wide *w, uint8_t c)
{
	if (c == '\n') {
		mime_wide_line_over(w);
		return;
	}
	if (!w->body)
		mime_wide_header(w, c);
	if (c == '-' && w->line < LINE_DASHES) {
		w->line++;
	} else if (c != '\r' || w->line != LINE_EMPTY) {
		if (w->line == LINE_DASHES && c != ' ' && c != '\r') /* "-- " stands above a signature */
			w->body = false;
		w->line = LINE_ON;
	}
}

void mime_wide_feed(struct mime_wide *w, struct span bytes)
{
	for (size_t i = 0; i < bytes.len && !w->found; i++) {
		if (w->body && w->line == LINE_ON) { /* most of a message */
			const uint8_t *end = memchr(bytes.ptr + i, '\n', bytes.len - i);

			if (!end)
				return;
			i = (size_t)(end - bytes.ptr);
		}
		mime_wide_byte(w, bytes.ptr[i]);
	}
}
