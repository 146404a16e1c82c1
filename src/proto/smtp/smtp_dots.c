#include "proto/smtp/smtp_dots.h"

/* From inside a line up to behind the next LF, or to the end of the input. */
static size_t smtp_dots_scan_line(struct smtp_dots *d, struct span in, size_t at)
{
	const uint8_t *lf = memchr(in.ptr + at, '\n', in.len - at);
	size_t end = lf ? (size_t)(lf - in.ptr) : in.len;
	bool cr = end > at && in.ptr[end - 1] == '\r';

	if (!d->bare && end - at > cr && memchr(in.ptr + at, '\r', end - at - cr))
		d->bare = true;
	if (lf && !cr)
		d->bare = true;
	/* in this state the byte before `at` is no CR */
	d->cr_cr = cr && end - at >= 2 && in.ptr[end - 2] == '\r';
	if (lf && cr)
		d->doubtful = d->cr_cr;
	if (lf)
		d->state = cr ? SMTP_DOTS_LINE : SMTP_DOTS_MID;
	else
		d->state = cr ? SMTP_DOTS_CR : SMTP_DOTS_MID;
	return lf ? end + 1 : end;
}

/* One step of the states that look at a single byte; returns how many were taken (0 or 1). */
static size_t smtp_dots_step(struct smtp_dots *d, uint8_t c)
{
	switch (d->state) {
	case SMTP_DOTS_LINE:
		if (c == '.' && !d->transparent)
			d->state = SMTP_DOTS_DOT;
		else if (c == '\r')
			d->state = SMTP_DOTS_CR;
		else
			d->state = SMTP_DOTS_MID;
		d->cr_cr = false;
		return d->state != SMTP_DOTS_MID;
	case SMTP_DOTS_DOT:
		d->state = c == '\r' ? SMTP_DOTS_DOT_CR : SMTP_DOTS_MID;
		return c == '\r';
	case SMTP_DOTS_DOT_CR:
	case SMTP_DOTS_CR:
		if (c == '\n') {
			if (d->state == SMTP_DOTS_CR)
				d->doubtful = d->cr_cr;
			d->state = d->state == SMTP_DOTS_CR ? SMTP_DOTS_LINE : SMTP_DOTS_END;
			return 1;
		}
		d->bare = true;
		d->cr_cr = c == '\r';
		d->state = c == '\r' ? SMTP_DOTS_CR : SMTP_DOTS_MID;
		return c == '\r';
	case SMTP_DOTS_MID:
	case SMTP_DOTS_END:
		break;
	}
	return 0;
}

void smtp_dots_scan(struct smtp_dots *d, struct span in, struct smtp_dots_found *out)
{
	size_t at = 0, dot_at = SIZE_MAX;

	*out = (struct smtp_dots_found){0};
	while (at < in.len && d->state != SMTP_DOTS_END) {
		enum smtp_dots_state before = d->state;

		if (before == SMTP_DOTS_MID) {
			at = smtp_dots_scan_line(d, in, at);
			continue;
		}
		if (before == SMTP_DOTS_LINE)
			dot_at = SIZE_MAX;
		at += smtp_dots_step(d, in.ptr[at]);
		if (d->state == SMTP_DOTS_DOT) {
			dot_at = at - 1;
		} else if (before == SMTP_DOTS_DOT && d->state == SMTP_DOTS_MID && dot_at != SIZE_MAX) {
			if (out->drops++ == 0) /* RFC 5321 4.5.2: the first of a line's dots goes when more follows */
				out->drop_at = dot_at;
		}
	}
	out->taken = at;
	out->body_bytes = at;
	if (d->state == SMTP_DOTS_DOT || d->state == SMTP_DOTS_DOT_CR || d->state == SMTP_DOTS_END)
		out->body_bytes = dot_at == SIZE_MAX ? 0 : dot_at;
	if (at && !d->nul && memchr(in.ptr, '\0', at))
		d->nul = true;
}

bool smtp_dots_next(struct span *rest, size_t *drops, size_t *drop_at, struct span *out)
{
	while (rest->len) {
		*out = *rest;
		if (*drops == 0) {
			*rest = SPAN_NONE;
			return true;
		}
		*out = span_head(*rest, *drop_at);
		*rest = span_from(*rest, *drop_at + 1);
		if (--*drops)
			*drop_at = span_find_span(*rest, SPAN_LIT("\r\n.")) + 2;
		if (out->len)
			return true;
	}
	return false;
}
