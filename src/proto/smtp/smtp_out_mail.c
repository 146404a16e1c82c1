/* the envelope: RSET where one is due, MAIL, RCPT, DATA, sent as far ahead as the server allows and answered in order (RFC 5321 4.1.1.2-4, 2920, 3461, 6531,
 * 8689, 9422) */
#include "mail/address.h"
#include "proto/smtp/smtp_in.h" /* SMTP_NOTIFY_* */
#include "proto/smtp/smtp_out_internal.h"

enum { STEP_RSET, STEP_MAIL, STEP_RCPT };

void smtp_out_settle(struct smtp_out *s, const struct smtp_out_result *r)
{
	for (size_t i = 0; i < s->rcpt_count; i++) {
		struct smtp_out_rcpt_state *to = &s->rcpts[i];

		if (to->decided)
			continue;
		to->r = *r;
		to->decided = true;
	}
}

static void smtp_out_settle_unable(struct smtp_out *s, enum smtp_out_need need, const char *words)
{
	smtp_out_settle(s, &(struct smtp_out_result){.fate = SMTP_OUT_UNABLE, .stage = SMTP_OUT_AT_MAIL, .need = need, .words = span_str(words)});
}

void smtp_out_over(struct smtp_out *s)
{
	smtp_out_settle(s, &(struct smtp_out_result){.fate = SMTP_OUT_LEFT, .stage = SMTP_OUT_AT_RCPT});
	s->in_mail = false;
	s->due_done = true;
	s->hollow = s->bdat = false;
	s->chunks = 0;
	if (s->state != SMTP_OUT_S_DEAD)
		smtp_out_enter(s, SMTP_OUT_S_READY);
}

struct smtp_out_result smtp_out_result(const struct smtp_out *s, size_t i)
{
	return i < s->rcpt_count ? s->rcpts[i].r : (struct smtp_out_result){.fate = SMTP_OUT_LEFT, .stage = SMTP_OUT_AT_RCPT};
}

/* An address in the one form that is safe to send, in `mem`, and where the server knows no other, of ASCII (whether the header can go there, too, is another
 * question); false: it is none, and never leaves */
static bool smtp_out_path(struct smtp_out *s, struct span text, unsigned flags, struct span *path_out, bool *utf8_out)
{
	struct arena scratch;
	struct address a;
	struct buf path;
	bool ok;

	arena_init(&scratch, 4096);
	buf_init(&path, LIMIT_PATH_BYTES * 3);
	ok = address_parse(text, flags | ADDRESS_UTF8, &scratch, &a) == ADDRESS_OK;
	if (ok) {
		*utf8_out = a.utf8 && (s->caps.smtputf8 || !address_write_ascii(&path, &a));
		if (!path.len)
			address_write(&path, &a);
		*path_out = arena_copy(&s->mem, buf_span(&path));
		ok = !path.overflow && !s->mem.overflow;
	}
	arena_clear(&scratch);
	buf_clear(&path);
	return ok;
}

static void smtp_out_rcpt_unable(struct smtp_out_rcpt_state *to, enum smtp_out_need need, const char *words)
{
	to->r = (struct smtp_out_result){.fate = SMTP_OUT_UNABLE, .stage = SMTP_OUT_AT_RCPT, .need = need, .words = span_str(words)};
	to->decided = true;
}

static void smtp_out_rcpt_left(struct smtp_out_rcpt_state *to)
{
	to->r = (struct smtp_out_result){.fate = SMTP_OUT_LEFT, .stage = SMTP_OUT_AT_RCPT};
	to->decided = true;
}

/* the paths of the recipients that are to be tried, each with its step */
static void smtp_out_rcpts_choose(struct smtp_out *s, bool *utf8)
{
	struct smtp_out_envelope *e = &s->env;
	const size_t max = smtp_out_rcpt_max(s);
	bool wide = false;

	for (size_t i = 0; i < s->rcpt_count; i++) {
		struct smtp_out_rcpt_state *to = &s->rcpts[i];

		if (e->rcpts == max)
			smtp_out_rcpt_left(to);
		else if (!smtp_out_path(s, s->mail->rcpts[i].address, ADDRESS_POSTMASTER_OK, &to->path, &wide))
			smtp_out_rcpt_unable(to, SMTP_OUT_NEEDS_NOTHING, "the address is malformed");
		else if (wide && !s->caps.smtputf8)
			smtp_out_rcpt_unable(to, SMTP_OUT_NEEDS_SMTPUTF8, "the server does not take addresses beyond ASCII (SMTPUTF8)");
		else
			e->rcpt_of[e->rcpts++] = (uint32_t)i;
		if (!to->decided)
			*utf8 |= wide;
	}
}

/* what the server lacks for this message; the recipients are told. false: nothing is sent */
static bool smtp_out_mail_fits(struct smtp_out *s, bool utf8)
{
	const struct smtp_out_mail *m = s->mail;
	const struct smtp_out_caps *c = &s->caps;

	if (utf8 && !c->smtputf8)
		smtp_out_settle_unable(s, SMTP_OUT_NEEDS_SMTPUTF8, "the server does not take addresses and header fields beyond ASCII (SMTPUTF8)");
	else if (m->requiretls && !(s->tls_up && c->requiretls))
		smtp_out_settle_unable(s, SMTP_OUT_NEEDS_REQUIRETLS, "the server does not promise TLS on the way on (REQUIRETLS)");
	else if (c->size_max && m->bytes > c->size_max)
		smtp_out_settle_unable(s, SMTP_OUT_NEEDS_SIZE, "the message is bigger than the server takes (SIZE)");
	else if (m->body_binary && !(c->binarymime && c->chunking))
		smtp_out_settle_unable(s, SMTP_OUT_NEEDS_BINARY, "the server does not take binary messages (BINARYMIME)");
	else
		return true;
	return false;
}

/* RFC 3461 4 */
static void smtp_out_add_xtext(struct smtp_out *s, const char *name, struct span text)
{
	struct buf out;

	buf_init(&out, LIMIT_ENVID_BYTES);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c > 0x20 && c < 0x7f && c != '+' && c != '=')
			buf_add_byte(&out, c);
		else
			buf_printf(&out, "+%02X", c);
	}
	if (out.len && !out.overflow) {
		smtp_out_say(s, name);
		smtp_out_add(s, buf_span(&out));
	}
	buf_clear(&out);
}

static void smtp_out_say_mail(struct smtp_out *s, struct span sender, bool utf8)
{
	const struct smtp_out_mail *m = s->mail;
	const struct smtp_out_caps *c = &s->caps;

	smtp_out_say(s, "MAIL FROM:<");
	smtp_out_add(s, sender);
	smtp_out_say(s, ">");
	if (c->size && m->bytes) {
		smtp_out_say(s, " SIZE=");
		s->queued -= s->out.len;
		buf_add_u64(&s->out, m->bytes);
		s->queued += s->out.len;
	}
	if (s->bdat)
		smtp_out_say(s, " BODY=BINARYMIME");
	else if (m->body_8bit && c->eightbit) /* without it 8-bit text goes as it is: every server that is left passes it on */
		smtp_out_say(s, " BODY=8BITMIME");
	if (utf8)
		smtp_out_say(s, " SMTPUTF8");
	if (m->requiretls)
		smtp_out_say(s, " REQUIRETLS");
	if (c->dsn && m->ret)
		smtp_out_say(s, m->ret == 1 ? " RET=HDRS" : " RET=FULL");
	if (c->dsn)
		smtp_out_add_xtext(s, " ENVID=", m->envid);
	smtp_out_say(s, "\r\n");
}

static void smtp_out_say_notify(struct smtp_out *s, unsigned notify)
{
	static const struct { unsigned bit; const char *name; } names[] = {
		{SMTP_NOTIFY_SUCCESS, "SUCCESS"}, {SMTP_NOTIFY_FAILURE, "FAILURE"}, {SMTP_NOTIFY_DELAY, "DELAY"},
	};
	const char *between = " NOTIFY=";

	if (notify & SMTP_NOTIFY_NEVER) {
		smtp_out_say(s, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(notify & names[i].bit))
			continue;
		smtp_out_say(s, between);
		smtp_out_say(s, names[i].name);
		between = ",";
	}
}

/* "rfc822;x+2By@z": one word, and of ASCII unless the server takes more (RFC 6533 3) */
static bool smtp_out_orcpt_fits(const struct smtp_out *s, struct span orcpt)
{
	bool utf8 = s->caps.smtputf8 && span_is_utf8(orcpt);

	if (orcpt.len > LIMIT_ORCPT_BYTES || span_find(orcpt, ';') == orcpt.len)
		return false;
	for (size_t i = 0; i < orcpt.len; i++)
		if (orcpt.ptr[i] <= 0x20 || orcpt.ptr[i] == 0x7f || (orcpt.ptr[i] >= 0x80 && !utf8))
			return false;
	return true;
}

static void smtp_out_say_rcpt(struct smtp_out *s, uint32_t i)
{
	const struct smtp_out_rcpt *to = &s->mail->rcpts[i];

	smtp_out_say(s, "RCPT TO:<");
	smtp_out_add(s, s->rcpts[i].path);
	smtp_out_say(s, ">");
	if (s->caps.dsn) {
		smtp_out_say_notify(s, to->notify);
		if (to->orcpt.len && smtp_out_orcpt_fits(s, to->orcpt)) {
			smtp_out_say(s, " ORCPT=");
			smtp_out_add(s, to->orcpt);
		}
	}
	smtp_out_say(s, "\r\n");
}

static bool smtp_out_envelope_new(struct smtp_out *s, const struct smtp_out_mail *mail)
{
	size_t tried = mail->rcpt_count < smtp_out_rcpt_max(s) ? mail->rcpt_count : smtp_out_rcpt_max(s);

	arena_clear(&s->mem);
	arena_init(&s->mem, mail->rcpt_count * sizeof(*s->rcpts) + tried * SMTP_OUT_RCPT_BYTES + SMTP_OUT_MAIL_BYTES);
	s->mail = mail;
	s->rcpt_count = 0;
	s->env = (struct smtp_out_envelope){.ends = arena_zalloc(&s->mem, (tried + STEP_RCPT + 1) * sizeof(uint64_t)),
		.rcpt_of = arena_zalloc(&s->mem, (tried + 1) * sizeof(uint32_t))};
	s->rcpts = arena_zalloc(&s->mem, (mail->rcpt_count + 1) * sizeof(*s->rcpts));
	if (!s->rcpts || !s->env.ends || !s->env.rcpt_of)
		return false;
	s->rcpt_count = mail->rcpt_count;
	s->bdat = s->hollow = s->body_refused = s->dot_held = false;
	s->chunks = 0;
	return true;
}

/* what is sent, and to whom; false: nothing, everybody has a fate */
static bool smtp_out_envelope_plan(struct smtp_out *s)
{
	const struct smtp_out_mail *m = s->mail;
	struct smtp_out_envelope *e = &s->env;
	bool wide = false;

	if (!smtp_out_path(s, m->sender, ADDRESS_NULL_OK, &s->mail_sender, &wide)) {
		smtp_out_settle_unable(s, SMTP_OUT_NEEDS_NOTHING, "the sender's address is malformed");
		return false;
	}
	s->mail_utf8 = m->smtputf8 || wide;
	if (!smtp_out_mail_fits(s, s->mail_utf8))
		return false;
	smtp_out_rcpts_choose(s, &s->mail_utf8);
	s->bdat = m->body_binary;
	e->end = STEP_RCPT + e->rcpts + !s->bdat;
	e->send = e->recv = s->need_rset ? STEP_RSET : STEP_MAIL;
	return e->rcpts > 0;
}

void smtp_out_mail(struct smtp_out *s, const struct smtp_out_mail *mail, mono_ms now)
{
	if (s->in_mail)
		return;
	s->now = s->began = now;
	if (!smtp_out_envelope_new(s, mail)) {
		smtp_out_fail_fate(s, SMTP_OUT_LOST, "there is no memory for so many recipients");
		return;
	}
	s->in_mail = true;
	if (s->state != SMTP_OUT_S_READY || !smtp_out_envelope_plan(s)) { /* the owner may not have seen the end of the connection coming */
		smtp_out_over(s);
		return;
	}
	smtp_out_enter(s, SMTP_OUT_S_ENVELOPE);
	smtp_out_envelope_pump(s);
}

/* may the next step be sent before the answers to those before it are here? */
static bool smtp_out_step_may_go(const struct smtp_out *s)
{
	const struct smtp_out_envelope *e = &s->env;

	if (e->send >= e->end || smtp_out_pending(s) >= SMTP_OUT_FILL_BYTES)
		return false;
	return s->caps.pipelining || e->send == e->recv;
}

void smtp_out_envelope_pump(struct smtp_out *s)
{
	struct smtp_out_envelope *e = &s->env;
	bool waited = e->send == e->recv;

	while (smtp_out_step_may_go(s)) {
		if (e->send == STEP_RSET)
			smtp_out_say(s, "RSET\r\n");
		else if (e->send == STEP_MAIL)
			smtp_out_say_mail(s, s->mail_sender, s->mail_utf8);
		else if (e->send < STEP_RCPT + e->rcpts)
			smtp_out_say_rcpt(s, e->rcpt_of[e->send - STEP_RCPT]);
		else
			smtp_out_say(s, "DATA\r\n");
		e->data = e->send == STEP_RCPT + e->rcpts;
		s->need_rset = true;
		e->ends[e->send++] = s->queued;
		if (waited)
			s->since = s->now;
		waited = false;
	}
}

/* what RCPT was answered with says that this server takes no more of them at once (RFC 5321 4.5.3.1.10), not that this one is no good */
static bool smtp_out_is_too_many(const struct smtp_out *s)
{
	const struct smtp_out_reply *r = &s->reply;
	const char *e = r->enhanced;

	if (s->env.accepted == 0)
		return false; /* it would say so again */
	if (e[0])
		return strcmp(e + 1, ".5.3") == 0;
	return r->code == 452 || r->code == 552;
}

/* those that were not sent yet need not hear it, too */
static void smtp_out_rcpts_stop(struct smtp_out *s)
{
	struct smtp_out_envelope *e = &s->env;

	if (e->send >= STEP_RCPT + e->rcpts)
		return;
	for (size_t i = e->send - STEP_RCPT; i < e->rcpts; i++)
		smtp_out_rcpt_left(&s->rcpts[e->rcpt_of[i]]);
	e->rcpts = e->send - STEP_RCPT;
	e->end = e->send + !s->bdat;
}

static void smtp_out_rcpt_replied(struct smtp_out *s)
{
	struct smtp_out_envelope *e = &s->env;
	struct smtp_out_rcpt_state *to = &s->rcpts[e->rcpt_of[e->recv - STEP_RCPT]];
	struct smtp_out_result r;

	if (e->refused) /* ... MAIL was: whatever is said here follows from that */
		return;
	r = smtp_out_said(s, SMTP_OUT_AT_RCPT, &s->mem);
	if (r.fate == SMTP_OUT_GARBLED) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
		return;
	}
	if (r.fate == SMTP_OUT_SENT) { /* 250, 251, 252 */
		to->accepted = true;
		e->accepted++;
		return;
	}
	if (smtp_out_is_too_many(s)) {
		r.fate = SMTP_OUT_LEFT;
		smtp_out_rcpts_stop(s);
	}
	to->r = r;
	to->decided = true;
}

/* the step's answer was read; what now? */
static void smtp_out_envelope_turn(struct smtp_out *s)
{
	struct smtp_out_envelope *e = &s->env;

	if (e->recv == STEP_RCPT + e->rcpts && e->accepted == 0 && !e->data)
		e->end = e->recv; /* nobody to send it to */
	if (e->recv < e->end)
		return;
	if (s->bdat && e->accepted)
		smtp_out_body_begin(s);
	else
		smtp_out_over(s);
}

static void smtp_out_data_replied(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_DATA, &s->mem);

	if (s->reply.code / 100 == 3) {
		if (s->env.accepted)
			smtp_out_body_begin(s);
		else
			smtp_out_body_hollow(s);
	} else if (r.fate == SMTP_OUT_SENT) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
	} else {
		smtp_out_settle(s, &r);
		smtp_out_over(s);
	}
}

void smtp_out_envelope_replied(struct smtp_out *s)
{
	struct smtp_out_envelope *e = &s->env;
	struct smtp_out_result r;

	s->since = s->now;
	if (e->recv == STEP_RCPT + e->rcpts) {
		smtp_out_data_replied(s);
		return;
	}
	if (e->recv >= STEP_RCPT) {
		smtp_out_rcpt_replied(s);
	} else {
		r = smtp_out_said(s, e->recv == STEP_MAIL ? SMTP_OUT_AT_MAIL : SMTP_OUT_AT_RSET, &s->mem);
		if (r.fate == SMTP_OUT_GARBLED) {
			smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
		} else if (r.fate != SMTP_OUT_SENT && e->recv == STEP_RSET) { /* it does not even forget: says nothing of this message */
			smtp_out_settle(s, &(struct smtp_out_result){.fate = SMTP_OUT_LEFT, .stage = SMTP_OUT_AT_RSET});
			smtp_out_fail(s, &r);
		} else if (r.fate != SMTP_OUT_SENT) {
			smtp_out_settle(s, &r);
			e->refused = true;
			e->end = e->send; /* what is under way is answered yet */
		}
	}
	if (s->state != SMTP_OUT_S_ENVELOPE)
		return;
	e->recv++;
	smtp_out_envelope_turn(s);
}
