/* the server's replies: read line by line, bounded, made safe (RFC 5321 4.2, RFC 2034) */
#include "proto/smtp/smtp_out_internal.h"

#include <stdio.h>

void smtp_out_reply_init(struct smtp_out_reply *r)
{
	buf_init_secret(&r->line, LIMIT_SMTP_AUTH_LINE_BYTES); /* a challenge may stand in it */
	buf_init(&r->words, SMTP_OUT_WORDS_BYTES);
}

void smtp_out_reply_clear(struct smtp_out_reply *r)
{
	buf_clear(&r->line);
	buf_clear(&r->words);
}

static void smtp_out_reply_begin(struct smtp_out_reply *r)
{
	buf_reset(&r->words);
	r->begun = false;
	r->code = r->lines = r->blank = 0;
	r->bytes = 0;
	r->enhanced[0] = '\0';
}

/* length of the character at text[0] of valid UTF-8 */
static size_t smtp_out_char_bytes(uint8_t c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* controls (C0, DEL, C1) and characters that change the direction of what stands around them */
static bool smtp_out_char_hidden(struct span c)
{
	if (c.len == 1)
		return c.ptr[0] < 0x20 || c.ptr[0] == 0x7f;
	if (c.len == 2)
		return c.ptr[0] == 0xc2 && c.ptr[1] < 0xa0;
	if (c.len != 3 || c.ptr[0] != 0xe2)
		return false;
	return (c.ptr[1] == 0x80 && ((c.ptr[2] >= 0x8b && c.ptr[2] <= 0x8f) || (c.ptr[2] >= 0xa8 && c.ptr[2] <= 0xae))) ||
	       (c.ptr[1] == 0x81 && c.ptr[2] >= 0xa6 && c.ptr[2] <= 0xa9);
}

void smtp_out_words_add(struct buf *words, struct span text, size_t max)
{
	bool utf8 = span_is_utf8(text);

	for (size_t at = 0; at < text.len;) {
		struct span c = span_of(text.ptr + at, utf8 ? smtp_out_char_bytes(text.ptr[at]) : 1);

		if (words->len + c.len > max)
			return;
		if (smtp_out_char_hidden(c) || (!utf8 && c.ptr[0] >= 0x80))
			buf_add_byte(words, c.ptr[0] == '\t' ? ' ' : '?');
		else
			buf_add(words, c);
		at += c.len;
	}
}

/* length of "5.7.1" at the front when its class is that of the code, else 0 (RFC 2034 4: one that contradicts the code says nothing) */
static size_t smtp_out_enhanced_length(struct span text, unsigned code)
{
	size_t at = 1;

	if (text.len < 5 || text.ptr[0] != '0' + code / 100 || code / 100 == 3)
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (at >= text.len || text.ptr[at++] != '.')
			return 0;
		while (at + digits < text.len && byte_is_digit(text.ptr[at + digits]))
			digits++;
		if (digits < 1 || digits > 3)
			return 0;
		at += digits;
	}
	return at == text.len || text.ptr[at] == ' ' || text.ptr[at] == '\t' ? at : 0;
}

static void smtp_out_reply_words(struct smtp_out_reply *r, struct span text)
{
	size_t enhanced = smtp_out_enhanced_length(text, r->code);
	struct span code = span_head(text, enhanced);

	if (enhanced && r->enhanced[0] == '\0')
		(void)snprintf(r->enhanced, sizeof(r->enhanced), "%.*s", SPAN_FMT(code));
	if (enhanced && span_eq(code, span_str(r->enhanced)))
		text = span_from(text, enhanced);
	text = span_trim(text);
	if (text.len && r->words.len && r->words.len < SMTP_OUT_WORDS_BYTES)
		buf_add_byte(&r->words, ' ');
	smtp_out_words_add(&r->words, text, SMTP_OUT_WORDS_BYTES);
}

void smtp_out_garbled_reply(struct smtp_out *s, const char *why)
{
	char words[160];
	struct buf said;

	buf_init(&said, 120);
	smtp_out_words_add(&said, buf_span(&s->reply.line), 100);
	(void)snprintf(words, sizeof(words), "%s: \"%.*s\"", why, SPAN_FMT(buf_span(&said)));
	buf_clear(&said);
	smtp_out_garbled(s, words);
}

/* is a reply awaited, and had its command left before the reply came? */
static bool smtp_out_reply_due(const struct smtp_out *s)
{
	switch (s->state) {
	case SMTP_OUT_S_GREETING:
		return true;
	case SMTP_OUT_S_EHLO:
	case SMTP_OUT_S_HELO:
	case SMTP_OUT_S_STARTTLS:
	case SMTP_OUT_S_AUTH:
	case SMTP_OUT_S_AUTH_CANCEL:
	case SMTP_OUT_S_QUIT:
		return s->sent >= s->command_end;
	case SMTP_OUT_S_ENVELOPE:
		return s->env.recv < s->env.send && s->sent >= s->env.ends[s->env.recv];
	case SMTP_OUT_S_BODY:
	case SMTP_OUT_S_END:
		if (s->bdat)
			return s->chunks && s->sent >= s->chunk_ends[0];
		return s->state == SMTP_OUT_S_END && !s->dot_held && s->sent >= s->command_end;
	case SMTP_OUT_S_TLS:
	case SMTP_OUT_S_AUTH_ASK:
	case SMTP_OUT_S_AUTH_STEP:
	case SMTP_OUT_S_READY:
	case SMTP_OUT_S_DEAD:
		break;
	}
	return false;
}

static void smtp_out_reply_early(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_BODY, NULL);

	/* in the middle of the message: it will not be taken, and the server need not have waited to say so */
	if ((s->state == SMTP_OUT_S_BODY || s->state == SMTP_OUT_S_END) && (r.fate == SMTP_OUT_LATER || r.fate == SMTP_OUT_REFUSED))
		smtp_out_fail(s, &r);
	else
		smtp_out_garbled(s, "the server said something that it was not asked for");
}

static void smtp_out_replied(struct smtp_out *s)
{
	const unsigned code = s->reply.code;
	struct smtp_out_result r;

	if (s->state == SMTP_OUT_S_QUIT) {
		smtp_out_enter(s, SMTP_OUT_S_DEAD);
		s->due_close = true;
	} else if (code == 421) { /* RFC 5321 3.8: in answer to anything, and without being asked */
		r = smtp_out_said(s, smtp_out_stage(s), NULL);
		smtp_out_fail(s, &r);
	} else if (!smtp_out_reply_due(s)) {
		smtp_out_reply_early(s);
	} else if (s->state == SMTP_OUT_S_GREETING) {
		smtp_out_greeted(s);
	} else if (s->state == SMTP_OUT_S_EHLO) {
		smtp_out_ehlo_done(s);
	} else if (s->state == SMTP_OUT_S_HELO) {
		smtp_out_helo_done(s);
	} else if (s->state == SMTP_OUT_S_STARTTLS) {
		smtp_out_starttls_done(s);
	} else if (s->state == SMTP_OUT_S_AUTH || s->state == SMTP_OUT_S_AUTH_CANCEL) {
		smtp_out_auth_done(s);
	} else if (s->state == SMTP_OUT_S_ENVELOPE) {
		smtp_out_envelope_replied(s);
	} else {
		smtp_out_body_replied(s);
	}
}

static unsigned smtp_out_code(struct span line)
{
	if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' || !byte_is_digit(line.ptr[1]) || !byte_is_digit(line.ptr[2]))
		return 0;
	return (unsigned)(line.ptr[0] - '0') * 100 + (unsigned)(line.ptr[1] - '0') * 10 + (unsigned)(line.ptr[2] - '0');
}

static void smtp_out_reply_line(struct smtp_out *s)
{
	struct smtp_out_reply *r = &s->reply;
	struct span line = buf_span(&r->line);
	unsigned code;
	bool first = !r->begun, more;

	while (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (first && line.len == 0) {
		if (++r->blank > SMTP_OUT_BLANK_LINES)
			smtp_out_garbled(s, "the server sends empty lines");
		return;
	}
	if (++r->lines > SMTP_OUT_REPLY_LINES) {
		smtp_out_garbled(s, "the server's answer has no end");
		return;
	}
	if (!first && (line.len == 0 || !byte_is_digit(line.ptr[0]))) { /* text that somebody forgot to put the code in front of */
		smtp_out_reply_words(r, span_trim(line));
		return;
	}
	code = smtp_out_code(line);
	if (code == 0 || (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-' && line.ptr[3] != '\t')) {
		smtp_out_garbled_reply(s, "the server's answer is no SMTP reply");
		return;
	}
	if (!first && code != r->code) {
		smtp_out_garbled_reply(s, "the lines of the server's answer contradict each other");
		return;
	}
	r->code = code;
	more = line.len > 3 && line.ptr[3] == '-';
	r->text = span_from(line, 4);
	if (s->state == SMTP_OUT_S_EHLO && code / 100 == 2)
		smtp_out_ehlo_line(s, r->text, first);
	smtp_out_reply_words(r, span_trim(r->text));
	r->begun = more;
	if (!more) {
		smtp_out_replied(s);
		smtp_out_reply_begin(r);
	}
}

size_t smtp_out_reply_take(struct smtp_out *s, struct span in)
{
	struct smtp_out_reply *r = &s->reply;
	const size_t max = s->state == SMTP_OUT_S_AUTH ? LIMIT_SMTP_AUTH_LINE_BYTES : SMTP_OUT_LINE_BYTES;
	size_t at = span_find(in, '\n'), room;
	bool end = at < in.len;

	/* the bound falls on the same byte in whatever pieces they come */
	if (r->bytes + at + end > SMTP_OUT_REPLY_BYTES) {
		smtp_out_garbled(s, "the server's answer has no end");
		return in.len;
	}
	r->bytes += at + end;
	room = r->line.len < max ? max - r->line.len : 0;
	if (at > room)
		r->cut = true;
	buf_add(&r->line, span_head(in, at < room ? at : room));
	if (end) {
		smtp_out_reply_line(s);
		buf_reset(&r->line);
		r->cut = false;
	}
	return at + end;
}

struct smtp_out_result smtp_out_said(const struct smtp_out *s, enum smtp_out_stage stage, struct arena *mem)
{
	const struct smtp_out_reply *r = &s->reply;
	struct smtp_out_result out = {.stage = stage, .code = r->code, .closing = r->code == 421};

	switch (r->code / 100) {
	case 2:
		out.fate = SMTP_OUT_SENT;
		break;
	case 4:
		out.fate = SMTP_OUT_LATER;
		break;
	case 5:
		out.fate = SMTP_OUT_REFUSED;
		break;
	default:
		out.fate = SMTP_OUT_GARBLED;
		break;
	}
	out.enhanced = mem ? arena_copy(mem, span_str(r->enhanced)) : span_str(r->enhanced);
	out.words = mem ? arena_copy(mem, buf_span(&r->words)) : buf_span(&r->words);
	return out;
}
