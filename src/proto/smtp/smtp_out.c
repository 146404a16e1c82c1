#include "proto/smtp/smtp_out_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct smtp_out *smtp_out_new(const struct smtp_out_rules *rules, enum smtp_out_tls tls, bool tls_up, bool want_auth, mono_ms now)
{
	struct smtp_out *s = mem_zalloc(sizeof(*s));

	s->rules = rules;
	s->tls = tls;
	s->tls_up = tls_up;
	s->want_auth = want_auth;
	s->now = s->since = s->began = now;
	smtp_out_reply_init(&s->reply);
	buf_init(&s->caps.mechanisms, SMTP_OUT_MECHANISMS_BYTES);
	buf_init(&s->out, SMTP_OUT_BUFFER_BYTES);
	buf_init(&s->name, SMTP_OUT_NAME_BYTES);
	buf_init_secret(&s->challenge, LIMIT_SASL_BYTES);
	buf_init(&s->failure_words, SMTP_OUT_WORDS_BYTES + SMTP_OUT_ENHANCED_BYTES);
	return s;
}

void smtp_out_free(struct smtp_out *s)
{
	if (!s)
		return;
	smtp_out_reply_clear(&s->reply);
	buf_clear(&s->caps.mechanisms);
	buf_clear(&s->out);
	buf_clear(&s->name);
	buf_clear(&s->challenge);
	buf_clear(&s->failure_words);
	arena_clear(&s->mem);
	free(s);
}

enum smtp_out_stage smtp_out_stage(const struct smtp_out *s)
{
	switch (s->state) {
	case SMTP_OUT_S_GREETING:
		return SMTP_OUT_AT_GREETING;
	case SMTP_OUT_S_EHLO:
	case SMTP_OUT_S_HELO:
		return SMTP_OUT_AT_EHLO;
	case SMTP_OUT_S_STARTTLS:
	case SMTP_OUT_S_TLS:
		return SMTP_OUT_AT_STARTTLS;
	case SMTP_OUT_S_AUTH_ASK:
	case SMTP_OUT_S_AUTH:
	case SMTP_OUT_S_AUTH_STEP:
	case SMTP_OUT_S_AUTH_CANCEL:
		return SMTP_OUT_AT_AUTH;
	case SMTP_OUT_S_READY:
		return SMTP_OUT_AT_MAIL;
	case SMTP_OUT_S_ENVELOPE:
		if (s->env.recv == 0)
			return SMTP_OUT_AT_RSET;
		if (s->env.recv == 1)
			return SMTP_OUT_AT_MAIL;
		return s->env.recv < 2 + s->env.rcpts ? SMTP_OUT_AT_RCPT : SMTP_OUT_AT_DATA;
	case SMTP_OUT_S_BODY:
		return SMTP_OUT_AT_BODY;
	case SMTP_OUT_S_END:
		return smtp_out_in_doubt(s) || s->hollow ? SMTP_OUT_AT_END : SMTP_OUT_AT_BODY;
	case SMTP_OUT_S_QUIT:
		return SMTP_OUT_AT_QUIT;
	case SMTP_OUT_S_DEAD:
		break;
	}
	return s->failure.stage;
}

/* the end of the message has left: whoever does not hear the answer knows nothing */
bool smtp_out_in_doubt(const struct smtp_out *s)
{
	return s->state == SMTP_OUT_S_END && !s->hollow && !s->dot_held && !s->body_refused && s->sent >= s->command_end;
}

static enum smtp_out_want smtp_out_want_of(enum smtp_out_state state)
{
	if (state == SMTP_OUT_S_TLS)
		return SMTP_OUT_TLS;
	if (state == SMTP_OUT_S_AUTH_ASK)
		return SMTP_OUT_AUTH;
	if (state == SMTP_OUT_S_AUTH_STEP)
		return SMTP_OUT_AUTH_STEP;
	return state == SMTP_OUT_S_READY ? SMTP_OUT_READY : SMTP_OUT_NOTHING;
}

void smtp_out_enter(struct smtp_out *s, enum smtp_out_state state)
{
	s->state = state;
	s->since = s->now;
	s->due_want = smtp_out_want_of(state);
}

void smtp_out_add(struct smtp_out *s, struct span bytes)
{
	buf_add(&s->out, bytes);
	s->queued += bytes.len;
}

void smtp_out_say(struct smtp_out *s, const char *text)
{
	smtp_out_add(s, span_str(text));
}

void smtp_out_command(struct smtp_out *s, enum smtp_out_state state)
{
	s->command_end = s->queued;
	smtp_out_enter(s, state);
	if (s->out.overflow)
		smtp_out_fail_fate(s, SMTP_OUT_LOST, "more was to be sent than there is room for");
}

/* copies of a fate's texts that outlive the reply and the message */
static void smtp_out_failure_keep(struct smtp_out *s, const struct smtp_out_result *why)
{
	buf_reset(&s->failure_words);
	buf_add(&s->failure_words, why->enhanced);
	buf_add(&s->failure_words, why->words);
	s->failure = *why;
	s->failure.enhanced = span_head(buf_span(&s->failure_words), why->enhanced.len);
	s->failure.words = span_from(buf_span(&s->failure_words), why->enhanced.len);
}

void smtp_out_fail(struct smtp_out *s, const struct smtp_out_result *why)
{
	struct smtp_out_result r = *why;

	if (s->state == SMTP_OUT_S_DEAD)
		return;
	if (s->state == SMTP_OUT_S_QUIT) { /* it was over anyway */
		s->due_close = true;
	} else {
		r.in_doubt = smtp_out_in_doubt(s) && (r.fate == SMTP_OUT_LOST || r.fate == SMTP_OUT_TIMED_OUT || r.fate == SMTP_OUT_GARBLED);
		smtp_out_failure_keep(s, &r);
		if (s->in_mail)
			smtp_out_settle(s, &s->failure);
		s->due_failed = true;
	}
	smtp_out_enter(s, SMTP_OUT_S_DEAD);
	if (s->in_mail)
		smtp_out_over(s);
	buf_clear(&s->out);
	s->out_at = 0;
}

void smtp_out_fail_fate(struct smtp_out *s, enum smtp_out_fate fate, const char *words)
{
	smtp_out_fail(s, &(struct smtp_out_result){.fate = fate, .stage = smtp_out_stage(s), .words = span_str(words)});
}

void smtp_out_garbled(struct smtp_out *s, const char *words)
{
	smtp_out_fail_fate(s, SMTP_OUT_GARBLED, words);
}

/* what becomes possible when something was read or sent */
static void smtp_out_pump(struct smtp_out *s)
{
	if (s->state == SMTP_OUT_S_ENVELOPE)
		smtp_out_envelope_pump(s);
}

void smtp_out_feed(struct smtp_out *s, struct span bytes, mono_ms now)
{
	s->now = now;
	while (bytes.len && s->state != SMTP_OUT_S_DEAD) {
		if (s->state == SMTP_OUT_S_TLS) { /* whatever came in the clear behind the 220 must never be taken for something said under TLS */
			smtp_out_garbled(s, "the server sent text behind its answer to STARTTLS");
			return;
		}
		bytes = span_from(bytes, smtp_out_reply_take(s, bytes));
	}
	smtp_out_pump(s);
}

void smtp_out_eof(struct smtp_out *s, mono_ms now)
{
	s->now = now;
	smtp_out_fail_fate(s, SMTP_OUT_LOST, "the server closed the connection");
}

void smtp_out_abort(struct smtp_out *s)
{
	smtp_out_fail_fate(s, SMTP_OUT_LOST, "the rest of the message could not be had");
}

void smtp_out_quit(struct smtp_out *s, mono_ms now)
{
	s->now = now;
	if (s->state == SMTP_OUT_S_READY || s->state == SMTP_OUT_S_AUTH_ASK) {
		smtp_out_say(s, "QUIT\r\n");
		smtp_out_command(s, SMTP_OUT_S_QUIT);
		return;
	}
	if (s->state == SMTP_OUT_S_QUIT)
		return;
	smtp_out_fail_fate(s, SMTP_OUT_LOST, "the connection was left");
	s->due_failed = false;
	s->due_close = true;
}

static enum smtp_out_want smtp_out_next_state(struct smtp_out *s)
{
	enum smtp_out_want want = s->due_want;

	s->due_want = SMTP_OUT_NOTHING;
	if (want != SMTP_OUT_NOTHING)
		return want;
	if (s->state == SMTP_OUT_S_BODY && !s->body_asked && smtp_out_room(s) >= SMTP_OUT_FILL_BYTES / 2) {
		s->body_asked = true;
		return SMTP_OUT_BODY;
	}
	return SMTP_OUT_NOTHING;
}

enum smtp_out_want smtp_out_next(struct smtp_out *s)
{
	if (s->due_done) {
		s->due_done = false;
		return SMTP_OUT_DONE;
	}
	if (s->due_failed) {
		s->due_failed = false;
		return SMTP_OUT_FAILED;
	}
	if (s->due_close) {
		s->due_close = false;
		return SMTP_OUT_CLOSE;
	}
	return smtp_out_next_state(s);
}

struct span smtp_out_out(const struct smtp_out *s)
{
	return span_from(buf_span(&s->out), s->out_at);
}

void smtp_out_sent(struct smtp_out *s, size_t n, mono_ms now)
{
	if (n > smtp_out_pending(s))
		n = smtp_out_pending(s);
	if (n == 0)
		return;
	s->now = now;
	s->sent += n;
	s->out_at += n;
	if (s->out_at == s->out.len) {
		buf_reset(&s->out);
		s->out_at = 0;
	} else if (s->out_at >= SMTP_OUT_FILL_BYTES) {
		buf_drop(&s->out, s->out_at);
		s->out_at = 0;
	}
	if (s->state == SMTP_OUT_S_BODY || s->state == SMTP_OUT_S_END) {
		s->since = now;
		smtp_out_body_sent(s);
	}
	smtp_out_pump(s);
}

/* The time that the reply which is awaited may take, whole: bytes of it do not begin it anew. 0: nothing is awaited of the server */
static uint64_t smtp_out_allowed_ms(const struct smtp_out *s)
{
	const struct smtp_out_rules *r = s->rules;

	switch (s->state) {
	case SMTP_OUT_S_GREETING:
		return r->connect_to_greeting_ms;
	case SMTP_OUT_S_ENVELOPE:
		if (s->env.recv == 0)
			return r->command_ms;
		if (s->env.recv == 1)
			return r->mail_ms;
		return s->env.recv < 2 + s->env.rcpts ? r->rcpt_ms : r->data_ms;
	case SMTP_OUT_S_BODY: /* BDAT: or the reply to a chunk */
		return smtp_out_pending(s) || s->chunks ? r->body_chunk_ms : 0;
	case SMTP_OUT_S_END:
		return smtp_out_pending(s) ? r->body_chunk_ms : r->end_of_data_ms;
	case SMTP_OUT_S_QUIT:
		return r->quit_ms;
	case SMTP_OUT_S_AUTH_ASK:
	case SMTP_OUT_S_AUTH_STEP:
	case SMTP_OUT_S_READY:
	case SMTP_OUT_S_DEAD:
		return 0;
	case SMTP_OUT_S_EHLO:
	case SMTP_OUT_S_HELO:
	case SMTP_OUT_S_STARTTLS:
	case SMTP_OUT_S_TLS:
	case SMTP_OUT_S_AUTH:
	case SMTP_OUT_S_AUTH_CANCEL:
		break;
	}
	return r->command_ms;
}

static mono_ms smtp_out_after(mono_ms since, uint64_t ms)
{
	mono_ms at;

	return ms == 0 || __builtin_add_overflow(since, ms, &at) ? MONO_NEVER : at;
}

/* the cap on all of it: a server may need the time that each answer is allowed, but not for every one of hundreds */
static mono_ms smtp_out_cap(const struct smtp_out *s)
{
	uint64_t body_ms = 0, bytes = s->in_mail ? s->mail->bytes : 0;

	if (s->rules->total_ms == 0)
		return MONO_NEVER;
	if (s->state == SMTP_OUT_S_BODY || s->state == SMTP_OUT_S_END) {
		if (s->rules->body_rate_floor == 0)
			return MONO_NEVER;
		body_ms = bytes > UINT64_MAX / 1000 ? UINT64_MAX : bytes * 1000 / s->rules->body_rate_floor;
	}
	return __builtin_add_overflow(body_ms, s->rules->total_ms, &body_ms) ? MONO_NEVER : smtp_out_after(s->began, body_ms);
}

mono_ms smtp_out_deadline(const struct smtp_out *s)
{
	uint64_t allowed = smtp_out_allowed_ms(s);
	mono_ms reply, cap;

	if (allowed == 0)
		return MONO_NEVER;
	reply = smtp_out_after(s->since, allowed);
	cap = s->state == SMTP_OUT_S_QUIT ? MONO_NEVER : smtp_out_cap(s);
	return reply < cap ? reply : cap;
}

void smtp_out_tick(struct smtp_out *s, mono_ms now)
{
	s->now = now;
	if (now >= smtp_out_deadline(s))
		smtp_out_fail_fate(s, SMTP_OUT_TIMED_OUT, smtp_out_pending(s) ? "the server takes nothing in" : "the server does not answer");
}

struct smtp_out_result smtp_out_failure(const struct smtp_out *s)
{
	return s->failure;
}

struct span smtp_out_mechanisms(const struct smtp_out *s)
{
	return buf_span(&s->caps.mechanisms);
}

struct span smtp_out_challenge(const struct smtp_out *s)
{
	return buf_span(&s->challenge);
}

bool smtp_out_has_starttls(const struct smtp_out *s)
{
	return s->caps.starttls;
}

bool smtp_out_has_dsn(const struct smtp_out *s)
{
	return s->caps.dsn;
}

uint64_t smtp_out_size_max(const struct smtp_out *s)
{
	return s->caps.size_max;
}

size_t smtp_out_rcpt_max(const struct smtp_out *s)
{
	if (s->caps.rcpt_max == 0)
		return SMTP_OUT_RCPTS;
	return s->caps.rcpt_max < SMTP_OUT_RCPTS_MAX ? (size_t)s->caps.rcpt_max : SMTP_OUT_RCPTS_MAX;
}

uint32_t smtp_out_mail_max(const struct smtp_out *s)
{
	return (uint32_t)s->caps.mail_max;
}

struct span smtp_out_server_name(const struct smtp_out *s)
{
	return buf_span(&s->name);
}
