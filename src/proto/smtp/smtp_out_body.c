/* the message itself: DATA with doubled dots, or BDAT (RFC 5321 4.5.2, RFC 3030) */
#include "proto/smtp/smtp_out_internal.h"

void smtp_out_body_begin(struct smtp_out *s)
{
	s->line_start = true;
	s->cr = s->body_asked = false;
	smtp_out_enter(s, SMTP_OUT_S_BODY);
}

/* Nobody was taken, and the server waits for text: an empty message to nobody ends that (RFC 2920 3.1) */
void smtp_out_body_hollow(struct smtp_out *s)
{
	s->hollow = true;
	smtp_out_say(s, ".\r\n");
	smtp_out_command(s, SMTP_OUT_S_END);
}

size_t smtp_out_room(const struct smtp_out *s)
{
	size_t pending = smtp_out_pending(s);

	if (s->state != SMTP_OUT_S_BODY || s->body_refused || pending >= SMTP_OUT_FILL_BYTES)
		return 0;
	if (s->bdat && s->chunks >= (s->caps.pipelining ? SMTP_OUT_CHUNKS : 1))
		return 0;
	return SMTP_OUT_FILL_BYTES - pending;
}

/* a lone CR, a lone LF or a NUL among these bytes, or between them and those before */
static bool smtp_out_is_bare(struct smtp_out *s, struct span bytes)
{
	const uint8_t *at = bytes.ptr, *end = at + bytes.len, *lf;
	bool cr = s->cr;

	if (bytes.len && memchr(bytes.ptr, '\0', bytes.len))
		return true;
	for (; at < end; at = lf + 1) {
		size_t len;

		lf = memchr(at, '\n', (size_t)(end - at));
		len = (size_t)((lf ? lf : end) - at);
		if (cr && !(lf && len == 0)) /* the CR before these bytes */
			return true;
		if (lf && !cr && (len == 0 || lf[-1] != '\r'))
			return true;
		cr = !lf && at[len - 1] == '\r';
		len -= len && (cr || lf); /* without the CR that is in its place */
		if (len && memchr(at, '\r', len))
			return true;
		if (!lf)
			break;
	}
	s->cr = cr;
	return false;
}

static void smtp_out_body_lines(struct smtp_out *s, struct span bytes)
{
	const uint8_t *lf;

	while (bytes.len) {
		size_t at = 0;

		if (s->line_start && bytes.ptr[0] == '.')
			smtp_out_say(s, ".");
		s->line_start = false;
		/* a run up to the next line that begins with a dot */
		while ((lf = memchr(bytes.ptr + at, '\n', bytes.len - at))) {
			at = (size_t)(lf - bytes.ptr) + 1;
			if (at == bytes.len || bytes.ptr[at] == '.')
				break;
		}
		if (!lf)
			at = bytes.len;
		s->line_start = lf != NULL;
		smtp_out_add(s, span_head(bytes, at));
		bytes = span_from(bytes, at);
	}
}

static void smtp_out_dot(struct smtp_out *s)
{
	s->dot_held = false;
	smtp_out_say(s, ".\r\n");
	s->command_end = s->queued;
	s->since = s->now;
}

/* DATA: the last byte was given */
static void smtp_out_body_end(struct smtp_out *s)
{
	if (!s->line_start)
		smtp_out_say(s, "\r\n");
	smtp_out_enter(s, SMTP_OUT_S_END);
	/* boxes that blot out the greeting lose an end that does not begin a packet of its own */
	s->dot_held = s->masked && smtp_out_pending(s);
	if (!s->dot_held)
		smtp_out_dot(s);
}

static void smtp_out_body_unable(struct smtp_out *s)
{
	smtp_out_fail(s, &(struct smtp_out_result){.fate = SMTP_OUT_UNABLE, .stage = SMTP_OUT_AT_BODY, .need = SMTP_OUT_NEEDS_BINARY,
		.words = SPAN_LIT("the message holds a lone CR, a lone LF or a NUL")});
}

static void smtp_out_body_chunk(struct smtp_out *s, struct span bytes, bool last)
{
	size_t before = s->out.len;

	if (bytes.len == 0 && !last)
		return;
	buf_printf(&s->out, "BDAT %zu%s\r\n", bytes.len, last ? " LAST" : "");
	s->queued += s->out.len - before;
	smtp_out_add(s, bytes);
	if (s->chunks == 0)
		s->since = s->now;
	s->chunk_ends[s->chunks++] = s->queued;
	if (last)
		smtp_out_command(s, SMTP_OUT_S_END);
}

void smtp_out_body(struct smtp_out *s, struct span bytes, bool last, mono_ms now)
{
	if (s->state != SMTP_OUT_S_BODY || s->body_refused)
		return;
	s->now = now;
	if (bytes.len > smtp_out_room(s)) {
		smtp_out_fail_fate(s, SMTP_OUT_LOST, "more of the message was given than there is room for");
		return;
	}
	s->body_asked = false;
	if (smtp_out_pending(s) == 0 && !s->chunks)
		s->since = now;
	if (s->bdat) {
		smtp_out_body_chunk(s, bytes, last);
		return;
	}
	if (smtp_out_is_bare(s, bytes) || (last && s->cr)) {
		smtp_out_body_unable(s);
		return;
	}
	smtp_out_body_lines(s, bytes);
	if (last)
		smtp_out_body_end(s);
}

void smtp_out_body_sent(struct smtp_out *s)
{
	if (s->dot_held && smtp_out_pending(s) == 0)
		smtp_out_dot(s);
}

/* recipients that were taken get what the end of the message was answered with */
static void smtp_out_body_judged(struct smtp_out *s, enum smtp_out_stage stage)
{
	struct smtp_out_result r = smtp_out_said(s, stage, &s->mem);

	r.dsn = r.fate == SMTP_OUT_SENT && s->caps.dsn;
	smtp_out_settle(s, &r);
}

static void smtp_out_chunk_replied(struct smtp_out *s)
{
	bool last = s->state == SMTP_OUT_S_END && s->chunks == 1;

	memmove(s->chunk_ends, s->chunk_ends + 1, SMTP_OUT_CHUNKS * sizeof(s->chunk_ends[0]));
	s->chunks--;
	s->since = s->now;
	if (s->body_refused) {
		; /* follows from that */
	} else if (s->reply.code / 100 != 2) {
		smtp_out_body_judged(s, last ? SMTP_OUT_AT_END : SMTP_OUT_AT_BODY);
		s->body_refused = true;
	} else if (last) {
		smtp_out_body_judged(s, SMTP_OUT_AT_END);
		s->need_rset = false;
	}
	if (s->chunks == 0 && (last || s->body_refused))
		smtp_out_over(s);
}

void smtp_out_body_replied(struct smtp_out *s)
{
	if (s->reply.code / 100 == 3) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
		return;
	}
	if (s->bdat) {
		smtp_out_chunk_replied(s);
		return;
	}
	smtp_out_body_judged(s, SMTP_OUT_AT_END); /* hollow: all have their fate already */
	s->need_rset = s->hollow;
	smtp_out_over(s);
}
