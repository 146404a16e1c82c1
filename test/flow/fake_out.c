#include "fake_out.h"

static const char *const fates[] = {"sent", "later", "refused", "left", "lost", "timed-out", "garbled", "unable", "no-tls", "no-auth"};
static const char *const stages[] = {"greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "end", "rset", "quit"};
static const char *const needs[] = {"", " smtputf8", " requiretls", " size", " binary"};

void fake_out_init(struct fake_out *f)
{
	*f = (struct fake_out){.now = 1000000, .tls = SMTP_OUT_TLS_MAY, .mechanism = "PLAIN", .auth_initial = true, .mails = 1};
	f->rules = (struct smtp_out_rules){.helo = "client.test", .connect_to_greeting_ms = 300000, .command_ms = 301000, .mail_ms = 302000, .rcpt_ms = 303000,
		.data_ms = 120000, .body_chunk_ms = 180000, .end_of_data_ms = 600000, .quit_ms = 5000, .total_ms = 3600000, .body_rate_floor = 1000};
	f->rcpts[0].address = SPAN_LIT("alice@mailroom.test");
	f->mail = (struct smtp_out_mail){.sender = SPAN_LIT("me@client.test"), .rcpts = f->rcpts, .rcpt_count = 1};
	f->body = SPAN_LIT("Subject: x\r\n\r\nhello\r\n");
	buf_init(&f->sent, 64 << 20);
	buf_init(&f->log, 1 << 20);
	buf_init(&f->words, 1 << 20);
}

void fake_out_start(struct fake_out *f)
{
	if (f->mail.bytes == 0)
		f->mail.bytes = f->body.len;
	f->s = smtp_out_new(&f->rules, f->tls, f->tls_up, f->want_auth, f->now);
}

void fake_out_clear(struct fake_out *f)
{
	smtp_out_free(f->s);
	f->s = NULL;
	buf_clear(&f->sent);
	buf_clear(&f->log);
	buf_clear(&f->words);
}

static void fake_out_note(struct fake_out *f, const char *what)
{
	if (f->log.len)
		buf_add_str(&f->log, ", ");
	buf_add_str(&f->log, what);
}

static void fake_out_note_result(struct fake_out *f, struct smtp_out_result r)
{
	buf_add_str(&f->log, fates[r.fate]);
	buf_printf(&f->log, "@%s", stages[r.stage]);
	if (r.code)
		buf_printf(&f->log, " %u", r.code);
	if (r.enhanced.len)
		buf_printf(&f->log, " %.*s", SPAN_FMT(r.enhanced));
	buf_add_str(&f->log, needs[r.need]);
	buf_add_str(&f->log, r.in_doubt ? " doubt" : "");
	buf_add_str(&f->log, r.closing ? " closing" : "");
	buf_add_str(&f->log, r.dsn ? " dsn" : "");
	buf_add(&f->words, r.words);
	buf_add_byte(&f->words, '\n');
}

static void fake_out_done(struct fake_out *f)
{
	fake_out_note(f, "done");
	for (size_t i = 0; i < f->mail.rcpt_count; i++) {
		buf_add_str(&f->log, i ? " / " : " ");
		fake_out_note_result(f, smtp_out_result(f->s, i));
		f->ended |= smtp_out_result(f->s, i).stage == SMTP_OUT_AT_END;
	}
}

static void fake_out_give(struct fake_out *f)
{
	size_t room = smtp_out_room(f->s), len = f->body.len - f->given;
	struct span bytes;

	if (f->given == 0)
		f->body_at = f->sent.len;
	if (f->abort_body) {
		smtp_out_abort(f->s);
		return;
	}
	if (f->piece && len > f->piece)
		len = f->piece;
	if (len > room)
		len = room;
	bytes = span_head(span_from(f->body, f->given), len);
	f->given += len;
	smtp_out_body(f->s, bytes, f->given == f->body.len && (!f->empty_last || len == 0), f->now);
}

static void fake_out_sign_in(struct fake_out *f)
{
	bool plain = strcmp(f->mechanism, "PLAIN") == 0;

	fake_out_note(f, "auth");
	buf_printf(&f->log, " %.*s", SPAN_FMT(smtp_out_mechanisms(f->s)));
	f->steps = 0;
	if (f->auth_skip)
		smtp_out_skip_auth(f->s, f->now);
	else
		smtp_out_auth(f->s, span_str(f->mechanism), f->auth_initial, plain ? SPAN_LIT("\0alice\0wonderland") : SPAN_LIT("alice"), f->now);
}

static void fake_out_sign_in_step(struct fake_out *f)
{
	bool plain = strcmp(f->mechanism, "PLAIN") == 0;

	fake_out_note(f, "step");
	buf_printf(&f->log, " '%.*s'", SPAN_FMT(smtp_out_challenge(f->s)));
	if (f->auth_cancel) {
		f->auth_skip = true;
		smtp_out_auth_cancel(f->s, f->now);
	} else if (plain) {
		smtp_out_auth_answer(f->s, SPAN_LIT("\0alice\0wonderland"), f->now);
	} else {
		smtp_out_auth_answer(f->s, f->steps || f->auth_initial ? SPAN_LIT("wonderland") : SPAN_LIT("alice"), f->now);
	}
	f->steps++;
}

static void fake_out_ready(struct fake_out *f)
{
	fake_out_note(f, "ready");
	if (f->mailed < f->mails) {
		f->mailed++;
		f->given = 0;
		f->ended = false;
		smtp_out_mail(f->s, &f->mail, f->now);
	} else if (!f->stay) {
		smtp_out_quit(f->s, f->now);
	}
}

static void fake_out_do(struct fake_out *f, enum smtp_out_want want)
{
	switch (want) {
	case SMTP_OUT_NOTHING:
		break;
	case SMTP_OUT_TLS:
		fake_out_note(f, "tls");
		f->want_tls = true;
		break;
	case SMTP_OUT_AUTH:
		fake_out_sign_in(f);
		break;
	case SMTP_OUT_AUTH_STEP:
		fake_out_sign_in_step(f);
		break;
	case SMTP_OUT_READY:
		fake_out_ready(f);
		break;
	case SMTP_OUT_BODY:
		fake_out_give(f);
		break;
	case SMTP_OUT_DONE:
		fake_out_done(f);
		break;
	case SMTP_OUT_FAILED:
		fake_out_note(f, "failed ");
		fake_out_note_result(f, smtp_out_failure(f->s));
		f->failed = true;
		break;
	case SMTP_OUT_CLOSE:
		fake_out_note(f, "close");
		f->closed = true;
		break;
	}
}

void fake_out_act(struct fake_out *f)
{
	enum smtp_out_want want;

	while ((want = smtp_out_next(f->s)) != SMTP_OUT_NOTHING)
		fake_out_do(f, want);
}

void fake_out_pump(struct fake_out *f)
{
	struct span out;

	fake_out_act(f);
	while (!f->deaf && (out = smtp_out_out(f->s)).len) {
		if (f->piece && out.len > f->piece)
			out.len = f->piece;
		buf_add(&f->sent, out);
		smtp_out_sent(f->s, out.len, f->now);
		fake_out_act(f);
	}
	if (f->want_tls) {
		f->want_tls = false;
		f->tls_shaken++;
		smtp_out_tls_done(f->s, f->now);
		fake_out_pump(f);
	}
}

void fake_out_feed(struct fake_out *f, struct span bytes)
{
	smtp_out_feed(f->s, bytes, f->now);
	fake_out_act(f);
}

void fake_out_eof(struct fake_out *f)
{
	smtp_out_eof(f->s, f->now);
	fake_out_pump(f);
}

void fake_out_tick(struct fake_out *f, mono_ms later_ms)
{
	f->now += later_ms;
	smtp_out_tick(f->s, f->now);
	fake_out_pump(f);
}
