#include "proto/pop3/pop3_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { POP3_REF_BYTES = 16, POP3_TLS_HANDSHAKE = 0x16 };

/* ---- life */

struct pop3_in *pop3_in_new_refused(const struct pop3_rules *rules, struct span ref, enum cause_id refuse, const struct cause_facts *facts, mono_ms now)
{
	struct pop3_in *p;

	ref = span_head(ref, POP3_REF_BYTES);
	p = mem_zalloc(sizeof(*p) + ref.len);
	p->rules = rules;
	p->start = p->since = p->now = now;
	p->round = 1;
	p->line_first = true;
	p->ref_bytes = ref.len;
	if (ref.len)
		memcpy(p->ref, ref.ptr, ref.len);
	buf_init_secret(&p->line, LIMIT_SMTP_AUTH_LINE_BYTES);
	buf_init(&p->out, LIMIT_POP3_OUT_BYTES);
	buf_init_secret(&p->sasl, LIMIT_SASL_BYTES);
	if (refuse != CAUSE_NONE) {
		pop3_refuse(p, refuse, facts);
		pop3_end(p);
		return p;
	}
	/* no <...> here: it would announce APOP (RFC 1939 7) */
	buf_printf(&p->out, "+OK %s POP3 ready\r\n", rules->hostname);
	return p;
}

struct pop3_in *pop3_in_new(const struct pop3_rules *rules, struct span ref, enum cause_id refuse, mono_ms now)
{
	return pop3_in_new_refused(rules, ref, refuse, NULL, now);
}

void pop3_in_free(struct pop3_in *p)
{
	if (!p)
		return;
	pop3_wipe(&p->line);
	pop3_wipe(&p->sasl);
	buf_clear(&p->line);
	buf_clear(&p->sasl);
	pop3_wipe_str(&p->user);
	buf_clear(&p->out);
	free(p->account);
	free(p->items);
	for (unsigned i = 0; i < POP3_EVENTS_MAX; i++)
		free(p->events[i].word);
	free(p->event_word);
	free(p);
}

void pop3_wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->size);
	if (b->size > POP3_KEEP_BYTES)
		buf_clear(b);
	else
		buf_reset(b);
}

void pop3_wipe_str(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void pop3_end(struct pop3_in *p)
{
	if (p->state == POP3_CLOSED)
		return;
	pop3_auth_drop(p);
	pop3_wipe_str(&p->user);
	p->state = POP3_CLOSED;
	p->close_due = true;
	p->close_at = p->now + p->rules->login_ms;
	p->stls_begun = false;
	if (p->want != POP3_WANT_COMMIT) /* QUIT was read whole: what it deletes is deleted */
		p->want = POP3_WANT_NOTHING;
	p->open = POP3_WANT_NOTHING;
	p->job.kind = POP3_JOB_NONE;
}

/* ---- refusals */

void pop3_event_add(struct pop3_in *p, enum cause_id cause, struct span word)
{
	unsigned at = (p->event_first + p->event_count) % POP3_EVENTS_MAX;
	struct pop3_event_row *row = &p->events[at];

	if (p->event_count == POP3_EVENTS_MAX)
		p->event_first = (uint8_t)((p->event_first + 1) % POP3_EVENTS_MAX);
	else
		p->event_count++;
	free(row->word);
	*row = (struct pop3_event_row){.cause = cause, .verb = p->verb};
	if (!p->verb && word.len)
		row->word = mem_str_span(span_head(word, POP3_WORD_SHOWN_BYTES));
}

void pop3_refuse(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts)
{
	struct cause_facts f = facts ? *facts : (struct cause_facts){0};

	if (!f.command.len)
		f.command = span_str(p->verb);
	f.utf8 = p->utf8;
	pop3_event_add(p, cause, f.command);
	cause_write_pop3(&p->out, cause, &f, span_of(p->ref, p->ref_bytes));
}

void pop3_refuse_bad(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts)
{
	if (p->bad_commands < UINT32_MAX)
		p->bad_commands++;
	if (p->rules->bad_command_max && p->bad_commands >= p->rules->bad_command_max) {
		pop3_refuse(p, CAUSE_TOO_MANY_BAD_COMMANDS, facts);
		pop3_end(p);
		return;
	}
	pop3_refuse(p, cause, facts);
}

bool pop3_in_event(struct pop3_in *p, struct pop3_event *out)
{
	struct pop3_event_row *row = &p->events[p->event_first];

	free(p->event_word);
	p->event_word = NULL;
	if (p->event_count == 0)
		return false;
	p->event_word = row->word;
	row->word = NULL;
	*out = (struct pop3_event){.cause = row->cause, .command = span_str(row->verb ? row->verb : p->event_word)};
	p->event_first = (uint8_t)((p->event_first + 1) % POP3_EVENTS_MAX);
	p->event_count--;
	return true;
}

/* ---- input: only CRLF ends a line. A faulty line gets one reply, and nothing up to its CRLF is obeyed; the reply comes at the
 * first newline of any kind, so that somebody who sends bare LFs is not left waiting. */

static bool pop3_in_hand(const struct pop3_in *p)
{
	return p->want != POP3_WANT_NOTHING || p->open != POP3_WANT_NOTHING || p->job.kind != POP3_JOB_NONE;
}

static bool pop3_can_read(const struct pop3_in *p)
{
	return !pop3_in_hand(p) && p->state != POP3_CLOSED && !p->stls_begun && pop3_pending_bytes(p) <= POP3_READ_ROOM_BYTES;
}

static bool pop3_in_sasl(const struct pop3_in *p)
{
	return p->state == POP3_SASL || p->state == POP3_SASL_FINAL;
}

static void pop3_line_fault(struct pop3_in *p, enum cause_id cause)
{
	if (p->line_fault != CAUSE_NONE)
		return;
	p->line_fault = cause;
	pop3_wipe(&p->line);
}

static void pop3_line_refuse(struct pop3_in *p, size_t limit)
{
	char words[32];
	struct cause_facts facts = {0};

	(void)snprintf(words, sizeof(words), "%zu bytes", limit);
	facts.limit = span_str(words);
	p->verb = pop3_in_sasl(p) ? "AUTH" : NULL;
	pop3_auth_drop(p);
	pop3_refuse_bad(p, p->line_fault, &facts);
	p->line_answered = true;
	p->verb = NULL;
}

static void pop3_line_end(struct pop3_in *p, bool crlf, size_t limit)
{
	p->since = p->now;
	p->progressed = p->rearm = false;
	if (!crlf)
		pop3_line_fault(p, CAUSE_BARE_NEWLINE);
	if (p->line_fault == CAUSE_NONE) {
		if (pop3_in_sasl(p))
			pop3_auth_line(p, buf_span(&p->line));
		else
			pop3_command(p, buf_span(&p->line));
		pop3_wipe(&p->line); /* it may have been a password */
	} else if (!p->line_answered) {
		pop3_line_refuse(p, limit);
	} else if (!crlf && p->rules->bad_command_max && ++p->bad_commands >= p->rules->bad_command_max) {
		pop3_refuse(p, CAUSE_TOO_MANY_BAD_COMMANDS, NULL);
		pop3_end(p);
	}
	if (crlf) {
		p->line_fault = CAUSE_NONE;
		p->line_answered = false;
	}
}

/* takes bytes up to the end of a line; returns how many */
static size_t pop3_line_take(struct pop3_in *p, struct span s)
{
	size_t limit = pop3_in_sasl(p) ? LIMIT_SMTP_AUTH_LINE_BYTES : LIMIT_POP3_COMMAND_BYTES;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool after_cr = p->line_cr;

		p->line_cr = c == '\r';
		if (c == '\n') {
			pop3_line_end(p, after_cr, limit);
			return i + 1;
		}
		if (after_cr)
			pop3_line_fault(p, CAUSE_BARE_NEWLINE);
		if (c == '\0')
			pop3_line_fault(p, CAUSE_NUL_BYTE);
		if (c == '\r' || p->line_fault != CAUSE_NONE)
			continue;
		if (p->line.len == limit - 2)
			pop3_line_fault(p, CAUSE_LINE_TOO_LONG);
		else
			buf_add_byte(&p->line, c);
	}
	return s.len;
}

/* RFC 2595 4: nothing may follow STLS before the handshake; whatever does was put in by somebody else and is never obeyed */
void pop3_in_tls_injected(struct pop3_in *p)
{
	if (p->state == POP3_CLOSED)
		return;
	p->verb = "STLS";
	pop3_refuse(p, CAUSE_TLS_INJECTION, NULL);
	p->verb = NULL;
	pop3_end(p);
}

size_t pop3_in_feed(struct pop3_in *p, struct span bytes, mono_ms now)
{
	size_t i = 0;

	p->now = now;
	if (bytes.len && p->line_first && p->state != POP3_CLOSED) {
		p->line_first = false;
		if (bytes.ptr[0] == POP3_TLS_HANDSHAKE && !p->is_tls) {
			pop3_refuse(p, CAUSE_TLS_MODE_MISMATCH, NULL);
			pop3_end(p);
		}
	}
	if (bytes.len && (p->want == POP3_WANT_TLS || p->open == POP3_WANT_TLS))
		pop3_in_tls_injected(p);
	while (i < bytes.len && pop3_can_read(p)) {
		pop3_out_compact(p);
		i += pop3_line_take(p, span_from(bytes, i));
	}
	if (p->stls_begun && i < bytes.len) {
		pop3_in_tls_injected(p);
	} else if (p->stls_begun) {
		p->stls_begun = false;
		buf_add_str(&p->out, "+OK Begin TLS now\r\n");
		p->want = POP3_WANT_TLS;
	}
	return p->state == POP3_CLOSED ? bytes.len : i;
}

void pop3_in_eof(struct pop3_in *p)
{
	pop3_end(p);
}

void pop3_in_tls_done(struct pop3_in *p, mono_ms now)
{
	p->now = now;
	p->is_tls = true;
	if (p->open != POP3_WANT_TLS)
		return; /* TLS from the first byte */
	p->open = POP3_WANT_NOTHING;
	/* RFC 2595 4: what was said in the clear is forgotten */
	pop3_wipe_str(&p->user);
	p->utf8 = false;
	p->since = now;
	pop3_settle(p);
}

/* ---- what the owner is asked */

enum pop3_want pop3_in_next(struct pop3_in *p, struct pop3_ask *ask_out)
{
	enum pop3_want want = p->want;

	*ask_out = (struct pop3_ask){0};
	if (p->cancel_due) {
		p->cancel_due = false;
		return POP3_WANT_AUTH_CANCEL;
	}
	if (want == POP3_WANT_NOTHING) {
		if (!p->close_due)
			return POP3_WANT_NOTHING;
		p->close_due = false;
		return POP3_WANT_CLOSE;
	}
	p->want = POP3_WANT_NOTHING;
	p->open = p->state == POP3_CLOSED ? POP3_WANT_NOTHING : want;
	if (want == POP3_WANT_AUTH || want == POP3_WANT_AUTH_STEP) {
		p->sasl_active = true;
		ask_out->mechanism = p->mechanism;
		ask_out->bytes = buf_span(&p->sasl);
		ask_out->has_initial = want == POP3_WANT_AUTH && p->has_initial;
		ask_out->from_pass = p->from_pass;
	} else if (want == POP3_WANT_FETCH) {
		ask_out->uid = p->items[p->job.at].uid;
		ask_out->offset = p->job.offset;
		ask_out->max = p->fetch_max;
	} else if (want == POP3_WANT_COMMIT) {
		p->committing = true;
		ask_out->uids = (const uint64_t *)p->items; /* pop3_cmd_quit packed them there */
		ask_out->uid_count = p->item_count - p->live_count;
	}
	return want;
}

void pop3_settle(struct pop3_in *p)
{
	if (p->shutdown == CAUSE_NONE || p->state == POP3_CLOSED || pop3_in_hand(p))
		return;
	pop3_auth_drop(p);
	pop3_out_compact(p);
	pop3_refuse(p, p->shutdown, NULL);
	pop3_end(p);
}

void pop3_in_shutdown(struct pop3_in *p, enum cause_id cause)
{
	if (p->state == POP3_CLOSED)
		return;
	p->shutdown = cause;
	if (p->want == POP3_WANT_TLS || p->open == POP3_WANT_TLS) {
		pop3_event_add(p, cause, SPAN_NONE);
		pop3_end(p); /* between the clear and TLS nothing can be said */
		return;
	}
	pop3_settle(p);
}

/* ---- output */

void pop3_out_compact(struct pop3_in *p)
{
	if (p->out_at == 0)
		return;
	buf_drop(&p->out, p->out_at);
	p->out_at = 0;
}

struct span pop3_in_out(const struct pop3_in *p)
{
	return span_from(buf_span(&p->out), p->out_at);
}

void pop3_in_sent(struct pop3_in *p, size_t n)
{
	p->out_at += n < pop3_pending_bytes(p) ? n : pop3_pending_bytes(p);
	p->progressed |= p->streaming && n;
	if (p->job.kind == POP3_JOB_LIST || p->job.kind == POP3_JOB_UIDL)
		pop3_list_fill(p);
	else if (p->job.kind != POP3_JOB_NONE)
		pop3_retr_ask(p);
	if (pop3_pending_bytes(p))
		return;
	/* ten thousand who only say hello hold nothing here, and a long reply leaves nothing behind */
	if (p->job.kind == POP3_JOB_NONE && (p->out.size > POP3_KEEP_BYTES || p->state == POP3_AUTHORIZATION))
		buf_clear(&p->out);
	buf_reset(&p->out);
	p->out_at = 0;
	if (p->streaming && p->job.kind == POP3_JOB_NONE) {
		p->streaming = false;
		p->rearm = true;
	}
}

/* ---- time */

static mono_ms pop3_after(mono_ms from, uint64_t ms)
{
	mono_ms at;

	return ms == 0 || __builtin_add_overflow(from, ms, &at) ? MONO_NEVER : at;
}

static bool pop3_signed_in(const struct pop3_in *p)
{
	return p->state == POP3_TRANSACTION || p->state == POP3_UPDATE;
}

mono_ms pop3_in_deadline(const struct pop3_in *p)
{
	mono_ms session = pop3_after(p->start, p->rules->session_ms), at;
	enum pop3_want asked = p->want != POP3_WANT_NOTHING ? p->want : p->open;

	if (p->state == POP3_CLOSED)
		return pop3_pending_bytes(p) ? p->close_at : MONO_NEVER;
	if (asked != POP3_WANT_NOTHING && asked != POP3_WANT_TLS) /* the handshake is the peer's to finish */
		return MONO_NEVER;
	if (!pop3_signed_in(p))
		at = pop3_after(p->start, p->rules->login_ms);
	else if (p->rearm)
		return p->since;
	else
		at = pop3_after(p->since, p->rules->command_ms);
	return at < session ? at : session;
}

/* "10 min", "90 s" */
static struct span pop3_period(uint64_t ms, char *words, size_t size)
{
	int n = ms % 60000 ? snprintf(words, size, "%llu s", (unsigned long long)(ms / 1000))
			   : snprintf(words, size, "%llu min", (unsigned long long)(ms / 60000));

	return span_of(words, (size_t)n);
}

static void pop3_expire(struct pop3_in *p)
{
	bool session = p->now >= pop3_after(p->start, p->rules->session_ms);
	uint64_t ms = session ? p->rules->session_ms : pop3_signed_in(p) ? p->rules->command_ms : p->rules->login_ms;
	enum cause_id cause = session ? CAUSE_SESSION_TOO_LONG : CAUSE_TIMEOUT;
	char words[40];
	struct cause_facts facts = {.limit = pop3_period(ms, words, sizeof(words))};

	p->verb = NULL;
	if (pop3_pending_bytes(p) || p->job.kind != POP3_JOB_NONE) {
		/* nothing more can be said to a peer that does not read, or in the middle of a reply */
		pop3_event_add(p, session ? cause : CAUSE_SLOW_CLIENT, SPAN_NONE);
		pop3_end(p);
		buf_clear(&p->out);
		p->out_at = 0;
		return;
	}
	if (p->want == POP3_WANT_TLS || p->open == POP3_WANT_TLS)
		pop3_event_add(p, cause, SPAN_NONE);
	else
		pop3_refuse(p, cause, &facts);
	pop3_end(p); /* RFC 1939 3: autologout removes no message */
}

void pop3_in_tick(struct pop3_in *p, mono_ms now)
{
	if (now > p->now)
		p->now = now;
	if (p->state == POP3_CLOSED) {
		if (now >= pop3_in_deadline(p)) { /* does not read its last reply */
			buf_clear(&p->out);
			p->out_at = 0;
			p->close_due = true;
		}
		return;
	}
	if (p->rearm || p->progressed) {
		p->rearm = p->progressed = false;
		p->since = p->now;
	}
	if (now >= pop3_in_deadline(p))
		pop3_expire(p);
}

/* ---- for the owner */

struct span pop3_in_account(const struct pop3_in *p)
{
	return span_str(p->state == POP3_SASL_FINAL ? NULL : p->account);
}

bool pop3_in_is_tls(const struct pop3_in *p)
{
	return p->is_tls;
}

bool pop3_in_idle(const struct pop3_in *p)
{
	return !pop3_in_hand(p) && !p->committing && pop3_pending_bytes(p) == 0 && p->line.len == 0 && !pop3_in_sasl(p) &&
	       p->live_count == p->item_count;
}

struct pop3_tally pop3_in_tally(const struct pop3_in *p)
{
	return p->tally;
}
