/* DATA and BDAT: the bytes of a message, its end, and why it may be refused there */
#include "base/num.h"
#include "proto/smtp/smtp_internal.h"

/* From here on the message is only read to its end; what the owner holds of it can go. */
static void smtp_message_spoil(struct smtp_in *s, enum cause_id cause)
{
	struct smtp_message *m = &s->message;

	if (m->spoiled != CAUSE_NONE)
		return;
	m->spoiled = cause;
	m->rest = SPAN_NONE;
	if (m->given)
		s->due_discard = true;
	m->given = false;
}

static void smtp_message_begin(struct smtp_in *s, bool bdat)
{
	struct smtp_message *m = &s->message;

	*m = (struct smtp_message){.begun = true, .bdat = bdat, .rate_since = s->now};
	m->dots.transparent = bdat;
	m->scan = header_scan_new(&s->envelope);
	if (!m->scan)
		smtp_message_spoil(s, CAUSE_ENVELOPE_TOO_BIG);
	else
		smtp_loop_watch(s);
}

static void smtp_message_refuse(struct smtp_in *s)
{
	const struct smtp_message *m = &s->message;
	enum cause_id cause = m->spoiled;
	struct cause_facts facts = {0};
	char text[32];

	/* of several faults the same one is named in whatever chunks the bytes came */
	if (!s->mail.body_binary && (m->dots.bare || m->dots.nul))
		cause = m->dots.bare ? CAUSE_BARE_NEWLINE : CAUSE_MESSAGE_MALFORMED;
	if (cause == CAUSE_MESSAGE_MALFORMED)
		facts.detail = SPAN_LIT("it holds a zero byte (NUL)");
	if (cause == CAUSE_MESSAGE_TOO_BIG)
		facts.limit = smtp_write_bytes(text, s->rules->message_max_bytes);
	if (cause == CAUSE_MAIL_LOOP || cause == CAUSE_TOO_MANY_HOPS)
		(void)smtp_loop_judge(s, &facts, text);
	smtp_refuse(s, cause, CAUSE_SMTP, &facts);
}

/* a peer that goes on sending what was refused long ago */
static bool smtp_message_is_flood(const struct smtp_in *s, uint64_t more)
{
	uint64_t limit;

	if (__builtin_mul_overflow(s->rules->message_max_bytes, 2, &limit) || __builtin_add_overflow(limit, SMTP_FLOOD_BYTES, &limit))
		return false;
	return s->message.raw_bytes > limit || more > limit - s->message.raw_bytes;
}

static void smtp_message_flood(struct smtp_in *s)
{
	char text[32];

	smtp_close(s, CAUSE_MESSAGE_TOO_BIG, &(struct cause_facts){.limit = smtp_write_bytes(text, s->rules->message_max_bytes)});
}

/* looks at bytes that came; what belongs to the message is left in message.rest for next() */
static size_t smtp_message_take(struct smtp_in *s, struct span in)
{
	struct smtp_message *m = &s->message;
	struct smtp_dots_found found;

	s->since = s->now;
	smtp_dots_scan(&m->dots, in, &found);
	m->raw_bytes += found.taken;
	m->rate_bytes += found.taken;
	m->bytes += found.body_bytes - found.drops;
	if (m->bytes > s->rules->message_max_bytes)
		smtp_message_spoil(s, CAUSE_MESSAGE_TOO_BIG);
	if (!s->mail.body_binary && (m->dots.bare || m->dots.nul))
		smtp_message_spoil(s, m->dots.bare ? CAUSE_BARE_NEWLINE : CAUSE_MESSAGE_MALFORMED);
	if (m->spoiled == CAUSE_NONE && found.body_bytes) {
		m->rest = span_head(in, found.body_bytes);
		m->drops = found.drops;
		m->drop_at = found.drop_at;
	}
	return found.taken;
}

bool smtp_message_next(struct smtp_in *s, struct span *out)
{
	struct smtp_message *m = &s->message;

	if (!smtp_dots_next(&m->rest, &m->drops, &m->drop_at, out))
		return false;
	m->given = true;
	if (!header_scan_facts(m->scan)->ended)
		header_scan_feed(m->scan, *out);
	if (s->mail.smtputf8)
		mime_wide_feed(&m->wide, *out);
	return true;
}

void smtp_message_end(struct smtp_in *s)
{
	struct smtp_message *m = &s->message;
	struct cause_facts facts = {0};
	char text[32];
	enum cause_id loop;

	m->ended = false;
	(void)header_scan_end(m->scan);
	loop = smtp_loop_judge(s, &facts, text);
	if (loop != CAUSE_NONE)
		smtp_message_spoil(s, loop);
	if (m->spoiled != CAUSE_NONE) {
		smtp_message_refuse(s);
		smtp_transaction_clear(s);
	} else {
		s->wait = SMTP_WAIT_ACCEPT;
		s->wait_asked = false;
	}
}

/* Nothing more of this message will come. */
static void smtp_message_ended(struct smtp_in *s)
{
	struct smtp_message *m = &s->message;

	s->state = SMTP_STATE_COMMAND;
	if (m->spoiled == CAUSE_NONE) {
		m->ended = true; /* next() hands out the last bytes first */
		return;
	}
	smtp_message_refuse(s);
	smtp_transaction_clear(s);
}

void smtp_accept_answered(struct smtp_in *s, const struct verdict *v)
{
	s->wait = SMTP_WAIT_NONE;
	if (v->cause == CAUSE_NONE) {
		s->message.given = false; /* the owner keeps it */
		smtp_reply(s, "250 2.0.0 Message taken, queued as ");
		buf_add_safe(&s->out, v->queue_id, 64);
		smtp_reply(s, "\r\n");
		s->session_since = s->now;
		s->noops = s->rcpts_refused = 0;
	} else {
		smtp_refuse_verdict(s, v->cause, &v->facts);
	}
	smtp_transaction_clear(s);
}

/* DATA or BDAT out of place gets its 503 here; false: all is in order */
static bool smtp_message_misplaced(struct smtp_in *s, bool bdat)
{
	const struct smtp_refusals *r = s->refusals;
	struct cause_facts facts = {.missing = SPAN_LIT("EHLO")};

	if (s->in_mail && s->message.bdat && !bdat) {
		smtp_refuse_bad(s, CAUSE_SEQ_BDAT_DATA_MIXED, NULL); /* RFC 3030 2 */
		return true;
	}
	if (s->in_mail && s->rcpt_count)
		return false;
	s->data_refused = !bdat;
	if (r && (r->has_mail || r->total) && ++s->noops > s->rules->noop_max) { /* a long answer to a short command */
		smtp_close(s, CAUSE_TOO_MANY_NOOPS, NULL);
	} else if (s->helo.len == 0) {
		smtp_refuse_bad(s, CAUSE_SEQ_NO_HELO, &facts);
	} else if (!s->in_mail && r && r->has_mail) {
		smtp_refusals_explain(s, CAUSE_SEQ_MAIL_REFUSED);
	} else if (!s->in_mail) {
		facts.missing = SPAN_LIT("MAIL");
		smtp_refuse_bad(s, CAUSE_SEQ_NO_MAIL, &facts);
	} else if (r && r->total) {
		smtp_refusals_explain(s, CAUSE_RCPT_NONE_ACCEPTED);
	} else {
		facts.missing = SPAN_LIT("RCPT");
		smtp_refuse_bad(s, CAUSE_SEQ_NO_RCPT, &facts);
	}
	return true;
}

void smtp_data_run(struct smtp_in *s, struct span arg)
{
	if (arg.len) {
		s->data_refused = true;
		smtp_refuse_bad(s, CAUSE_ARGUMENT_UNWANTED, NULL);
		return;
	}
	if (smtp_message_misplaced(s, false))
		return;
	if (s->mail.body_binary) { /* RFC 3030 3 */
		s->data_refused = true;
		smtp_refuse_bad(s, CAUSE_BINARYMIME_NEEDS_BDAT, NULL);
		return;
	}
	smtp_message_begin(s, false);
	s->state = SMTP_STATE_DATA;
	smtp_reply(s, SMTP_GO_AHEAD);
	smtp_must_read(s);
}

size_t smtp_data_take(struct smtp_in *s, struct span in)
{
	size_t taken = smtp_message_take(s, in);
	bool doubtful = s->message.dots.doubtful;

	if (s->message.dots.state == SMTP_DOTS_END) {
		smtp_message_ended(s);
		if (doubtful) /* refused for its bare CR; what follows may still be text of that message, so none of it is read as commands */
			smtp_end(s);
	} else if (s->message.spoiled != CAUSE_NONE && smtp_message_is_flood(s, 0)) {
		smtp_message_flood(s);
	}
	return taken;
}

/* the last octet of a chunk was read: each chunk has its reply (RFC 3030 2) */
static void smtp_bdat_chunk_end(struct smtp_in *s)
{
	struct smtp_message *m = &s->message;

	s->state = SMTP_STATE_COMMAND;
	if (m->swallow) {
		m->swallow = false;
		(void)smtp_message_misplaced(s, true);
		return;
	}
	if (m->chunk_last && !s->mail.body_binary && m->dots.state == SMTP_DOTS_CR) {
		m->dots.bare = true;
		smtp_message_spoil(s, CAUSE_BARE_NEWLINE);
	}
	if (m->chunk_last) {
		smtp_message_ended(s);
	} else if (m->spoiled != CAUSE_NONE) {
		smtp_message_refuse(s);
	} else {
		smtp_reply(s, "250 2.0.0 ");
		buf_add_u64(&s->out, m->chunk_bytes);
		smtp_reply(s, " bytes received\r\n");
	}
}

void smtp_bdat_run(struct smtp_in *s, struct span arg)
{
	struct smtp_message *m = &s->message;
	struct span word = arg, number = span_cut(&word, ' ');
	uint64_t bytes = 0;
	enum rc rc = num_parse(number, UINT64_MAX, &bytes);

	word = span_trim(word);
	if (rc == RC_BAD || (word.len && !span_eq_nocase(word, SPAN_LIT("LAST")))) {
		/* how many bytes of message follow is not known, and they must never be read as commands */
		smtp_close(s, CAUSE_COMMAND_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("a number of bytes has to follow, then perhaps LAST")});
		return;
	}
	if (rc != RC_OK || smtp_message_is_flood(s, bytes)) {
		smtp_message_flood(s);
		return;
	}
	/* each chunk has its reply, so chunks of next to nothing move nothing */
	if (bytes < SMTP_CHUNK_SMALL_BYTES && !word.len && ++s->noops > s->rules->noop_max) {
		smtp_close(s, CAUSE_TOO_MANY_NOOPS, NULL);
		return;
	}
	m->swallow = !s->in_mail || s->rcpt_count == 0;
	if (!m->swallow && !m->begun)
		smtp_message_begin(s, true);
	m->chunk_left = m->chunk_bytes = bytes;
	m->chunk_last = word.len != 0;
	m->rate_bytes = 0;
	m->rate_since = s->now;
	s->state = SMTP_STATE_BDAT;
	if (bytes == 0)
		smtp_bdat_chunk_end(s);
}

size_t smtp_bdat_take(struct smtp_in *s, struct span in)
{
	struct smtp_message *m = &s->message;

	in = m->chunk_left < in.len ? span_head(in, (size_t)m->chunk_left) : in;
	if (m->swallow) {
		s->since = s->now;
		m->raw_bytes += in.len;
		m->rate_bytes += in.len;
	} else {
		(void)smtp_message_take(s, in);
	}
	m->chunk_left -= in.len;
	if (m->chunk_left == 0)
		smtp_bdat_chunk_end(s);
	return in.len;
}
