#include "role/would.h"

#include "proto/smtp/smtp_in.h"
#include "role/listener_rules.h"

enum { WOULD_LINE_BYTES = 2048, WOULD_REPLY_BYTES = 8192, WOULD_STEPS = 64 };

struct would {
	const struct decide *d;
	const struct would_case *c;
	struct arena *mem;
	struct would_answer *out;
	struct smtp_in *in;
	struct decide_who who;
	struct buf reply;   /* to the last command */
	bool ended;
	struct err *err;
	enum rc rc;
};

/* ---- the engine's questions */

static void would_say(struct would *w, uint32_t ask, enum rc rc)
{
	const struct decided *d = &w->out->decided;
	struct verdict v = {.cause = CAUSE_SERVER_TEMP_ERROR};

	w->out->asked = rc == RC_OK;
	if (rc == RC_OK)
		v = (struct verdict){.cause = d->verdict.cause, .tag = d->found.tag, .facts = {.detail = d->detail, .limit = d->limit, .retry = d->retry, .rule = d->rule}};
	else
		w->rc = rc;
	smtp_in_answer(w->in, ask, &v);
}

static void would_mail(struct would *w, const struct smtp_ask *ask)
{
	struct decide_mail m = {.message_bytes = ask->mail->size_declared, .stage = POLICY_AT_MAIL};
	struct buf from;

	buf_init(&from, WOULD_LINE_BYTES);
	address_write(&from, &ask->mail->from);
	m.sender = arena_copy(w->mem, buf_span(&from));
	would_say(w, ask->id, decide_mail(w->d, &w->who, &m, w->mem, &w->out->decided, w->err));
	buf_clear(&from);
}

static void would_rcpt(struct would *w, const struct smtp_ask *ask)
{
	struct decide_rcpt r = {.message_bytes = ask->mail->size_declared, .rcpts = ask->rcpt_count};
	struct buf from, to;

	buf_init(&from, WOULD_LINE_BYTES);
	buf_init(&to, WOULD_LINE_BYTES);
	address_write(&from, &ask->mail->from);
	address_write(&to, &ask->rcpt->to);
	r.sender = arena_copy(w->mem, buf_span(&from));
	r.rcpt = arena_copy(w->mem, buf_span(&to));
	would_say(w, ask->id, decide_rcpt(w->d, &w->who, &r, w->mem, &w->out->decided, w->err));
	buf_clear(&from);
	buf_clear(&to);
}

static void would_signed_in(struct would *w)
{
	if (w->c->account_disabled) {
		smtp_in_auth_fail(w->in, CAUSE_AUTH_ACCOUNT_DISABLED, &(struct cause_facts){.detail = SPAN_NONE});
		return;
	}
	w->who.by = POLICY_BY_SIGN_IN;
	w->who.account = w->c->account;
	smtp_in_auth_ok(w->in, w->c->account_address, SPAN_NONE);
}

static void would_pump(struct would *w)
{
	struct smtp_ask ask;
	enum smtp_want want;

	while (!w->ended && (want = smtp_in_next(w->in, &ask)) != SMTP_WANT_NOTHING) {
		switch (want) {
		case SMTP_WANT_MAIL:
			/* as the workers do: strangers are not asked about at MAIL where the listener never relays */
			if (conf_listener_relays(w->c->listener) && (w->who.by != POLICY_BY_NOTHING || w->c->listener->kind == CONF_SUBMISSION))
				would_mail(w, &ask);
			else
				smtp_in_answer(w->in, ask.id, &(struct verdict){.cause = CAUSE_NONE});
			break;
		case SMTP_WANT_RCPT:
			would_rcpt(w, &ask);
			break;
		case SMTP_WANT_AUTH: case SMTP_WANT_AUTH_STEP:
			would_signed_in(w);
			break;
		case SMTP_WANT_CLOSE:
			w->ended = true;
			break;
		case SMTP_WANT_AUTH_CANCEL: case SMTP_WANT_BODY: case SMTP_WANT_ACCEPT: case SMTP_WANT_DISCARD: case SMTP_WANT_RESET: case SMTP_WANT_TLS:
		case SMTP_WANT_WHY: case SMTP_WANT_NOTHING:
			break;
		}
	}
}

/* ---- the client's commands */

/* false: it was refused, and that is the answer */
static bool would_command(struct would *w, const char *name, struct span line)
{
	struct smtp_event e = {.cause = CAUSE_NONE};
	struct span rest = line;
	struct span said;
	bool refused = false;

	buf_reset(&w->reply);
	for (int i = 0; i < WOULD_STEPS && rest.len && !w->ended; i++) {
		size_t taken = smtp_in_feed(w->in, rest, 0);

		rest = span_from(rest, taken);
		would_pump(w);
		said = smtp_in_out(w->in);
		buf_add(&w->reply, said);
		smtp_in_sent(w->in, said.len);
	}
	while (smtp_in_event(w->in, &e)) {
		if (refused)
			continue; /* the first is the reason */
		refused = true;
		*w->out = (struct would_answer){.rule = "protocol", .code = e.code, .cause = e.cause, .command = span_str(name), .decided = w->out->decided, .asked = w->out->asked};
	}
	w->out->reply = arena_copy(w->mem, buf_span(&w->reply));
	return !refused && !w->ended;
}

static bool would_line(struct would *w, const char *name, const char *before, struct span path, const char *after)
{
	struct buf line;
	bool fine;

	buf_init(&line, 4 * WOULD_LINE_BYTES);
	buf_add_str(&line, before);
	for (size_t i = 0; i < path.len; i++) /* a line end in an address would be another command */
		buf_add_byte(&line, path.ptr[i] == '\r' || path.ptr[i] == '\n' ? '?' : path.ptr[i]);
	buf_printf(&line, "%s\r\n", after);
	fine = would_command(w, name, buf_span(&line));
	buf_clear(&line);
	return fine;
}

/* the first mechanism that needs no channel binding: which one it is makes no difference here */
static void would_mechanism(const char *mechanisms, struct buf *out)
{
	struct span word;

	while (conf_list_next(&mechanisms, &word))
		if (!(word.len > 5 && span_eq(span_from(word, word.len - 5), SPAN_LIT("-PLUS")))) {
			buf_add_str(out, "AUTH ");
			buf_add(out, word);
			return;
		}
	buf_add_str(out, "AUTH PLAIN");
}

static bool would_sign_in(struct would *w)
{
	struct buf line;
	bool fine;

	if (!w->c->account)
		return true;
	buf_init(&line, WOULD_LINE_BYTES);
	would_mechanism(w->d->conf->mechanisms, &line);
	fine = would_line(w, "AUTH", buf_cstr(&line), SPAN_NONE, "");
	buf_clear(&line);
	return fine;
}

static void would_talk(struct would *w)
{
	const struct would_case *c = w->c;
	bool utf8 = !span_is_ascii(c->from) || !span_is_ascii(c->to);
	char size[64] = "";

	if (!would_line(w, "EHLO", "EHLO would-accept.invalid", SPAN_NONE, ""))
		return;
	if (!would_sign_in(w))
		return;
	(void)snprintf(size, sizeof(size), c->message_bytes ? "> SIZE=%llu%s" : ">%.0llu%s", (unsigned long long)c->message_bytes, utf8 ? " SMTPUTF8" : "");
	if (!would_line(w, "MAIL", "MAIL FROM:<", c->from, size) || !would_line(w, "RCPT", "RCPT TO:<", c->to, ">"))
		return;
	w->out->accepted = true;
	w->out->code = 250;
}

/* What MAIL and RCPT look at, together. */
static enum rc would_facts(struct would *w)
{
	const struct would_case *c = w->c;
	struct decide_who who = w->who;
	struct decided mail, rcpt;
	enum rc rc;

	if (c->account) {
		who.by = POLICY_BY_SIGN_IN;
		who.account = c->account;
		who.window = POLICY_WINDOW_OFF;
	}
	rc = decide_mail(w->d, &who, &(struct decide_mail){.sender = c->from, .message_bytes = c->message_bytes, .stage = POLICY_AT_MAIL}, w->mem, &mail, w->err);
	if (rc == RC_OK)
		rc = decide_rcpt(w->d, &who, &(struct decide_rcpt){.sender = c->from, .rcpt = c->to, .message_bytes = c->message_bytes}, w->mem, &rcpt, w->err);
	if (rc != RC_OK)
		return rc;
	w->out->facts = rcpt.facts;
	w->out->facts.sign_in_pending = c->account != 0;
	w->out->facts.sender_owned = mail.facts.sender_owned;
	w->out->facts.network_sender_ok = mail.facts.network_sender_ok;
	w->out->facts.too_big = mail.facts.too_big;
	w->out->facts.sender_limit = mail.facts.sender_limit;
	return RC_OK;
}

/* The engine knows a few of the rules itself (TLS, sign-in, size): they have the names that policy gives them, too. */
static void would_rule(struct would_answer *out)
{
	struct policy_verdict v;

	policy_decide(&out->facts, &v);
	if (out->asked && (out->accepted || out->decided.verdict.cause == out->cause))
		out->rule = out->decided.verdict.rule;
	else if (v.cause == out->cause)
		out->rule = v.rule;
}

enum rc would_accept(const struct decide *d, const struct would_case *c, struct arena *mem, struct would_answer *out, struct err *err)
{
	struct would w = {.d = d, .c = c, .mem = mem, .out = out, .err = err, .rc = RC_OK,
		.who = {.listener = c->listener, .tls = c->tls, .peer = c->peer, .by = c->relay.by, .account = c->relay.row.account, .window = c->relay.window,
			.window_ms = c->relay.window_ms}};
	struct decide_who before;
	struct smtp_rules rules;

	*out = (struct would_answer){.rule = "protocol"};
	if (c->relay.by == POLICY_BY_NETWORK)
		w.who.network = &d->conf->networks[c->relay.network];
	listener_smtp_rules(d->conf, c->listener, &rules);
	buf_init(&w.reply, WOULD_REPLY_BYTES);
	w.in = smtp_in_new(&rules, SPAN_LIT("would"), CAUSE_NONE, 0);
	smtp_in_sent(w.in, smtp_in_out(w.in).len); /* the banner */
	if (c->tls)
		smtp_in_tls_done(w.in, 0);
	before = w.who;
	would_talk(&w);
	w.who = before;
	if (w.rc == RC_OK)
		w.rc = would_facts(&w);
	would_rule(out);
	smtp_in_free(w.in);
	buf_clear(&w.reply);
	return w.rc;
}
