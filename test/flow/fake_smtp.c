#include "fake_smtp.h"

#include <stdio.h>

static bool fake_is_account(struct span name, const char *who)
{
	char address[64];

	(void)snprintf(address, sizeof(address), "%s@mailroom.test", who);
	return span_eq_nocase(name, span_str(who)) || span_eq_nocase(name, span_str(address));
}

static enum cause_id fake_rcpt(const struct fake_smtp *f, const struct address *to, uint64_t size)
{
	struct span all = to->local, local = span_cut(&all, '+');

	if (f->rcpt_cause != CAUSE_NONE)
		return f->rcpt_cause;
	if (to->domain.len && !span_eq(to->domain, SPAN_LIT("mailroom.test"))) {
		if (f->foreign_ok || (f->rules.kind == SMTP_KIND_SUBMISSION && smtp_in_account(f->s).len))
			return CAUSE_NONE;
		return CAUSE_RELAY_DENIED_UNAUTH;
	}
	if (span_eq_nocase(local, SPAN_LIT("full")))
		return size > FAKE_FULL_BYTES ? CAUSE_RCPT_OVER_QUOTA : CAUSE_RCPT_MAILBOX_FULL;
	if (span_eq_nocase(local, SPAN_LIT("off")))
		return CAUSE_RCPT_DISABLED;
	if (span_eq_nocase(local, SPAN_LIT("alice")) || span_eq_nocase(local, SPAN_LIT("bob")) || span_eq_nocase(local, SPAN_LIT("postmaster")) ||
	    span_starts(local, SPAN_LIT("user")))
		return CAUSE_NONE;
	return CAUSE_RCPT_UNKNOWN;
}

static void fake_login(struct fake_smtp *f, struct span user, struct span pass)
{
	bool ok = (fake_is_account(user, "alice") && span_eq(pass, SPAN_LIT("wonderland"))) ||
		  (fake_is_account(user, "bob") && span_eq(pass, SPAN_LIT("builder")));

	f->step = 0;
	if (ok)
		smtp_in_auth_ok(f->s, fake_is_account(user, "alice") ? SPAN_LIT("alice@mailroom.test") : SPAN_LIT("bob@mailroom.test"),
			f->final_data ? SPAN_LIT("v=signature") : SPAN_NONE);
	else
		smtp_in_auth_fail(f->s, CAUSE_AUTH_BAD_CREDENTIALS, NULL);
}

static void fake_plain(struct fake_smtp *f, struct span bytes)
{
	struct span user;

	(void)span_cut(&bytes, '\0');
	user = span_cut(&bytes, '\0');
	fake_login(f, user, bytes);
}

static void fake_login_user(struct fake_smtp *f, struct span bytes)
{
	(void)snprintf(f->user, sizeof(f->user), "%.*s", (int)(bytes.len < 60 ? bytes.len : 60), (const char *)bytes.ptr);
	f->step = 2;
	smtp_in_auth_challenge(f->s, SPAN_LIT("Password:"));
}

static void fake_auth(struct fake_smtp *f, const struct smtp_ask *ask, bool begins)
{
	if (begins && span_eq(ask->mechanism, SPAN_LIT("PLAIN"))) {
		f->step = 3;
		if (ask->has_initial)
			fake_plain(f, ask->bytes);
		else
			smtp_in_auth_challenge(f->s, SPAN_NONE);
	} else if (begins && ask->has_initial) {
		fake_login_user(f, ask->bytes);
	} else if (begins) {
		f->step = 1;
		smtp_in_auth_challenge(f->s, SPAN_LIT("Username:"));
	} else if (f->step == 3) {
		fake_plain(f, ask->bytes);
	} else if (f->step == 1) {
		fake_login_user(f, ask->bytes);
	} else {
		fake_login(f, span_str(f->user), ask->bytes);
	}
}

static void fake_give(struct fake_smtp *f, const struct fake_pending *p)
{
	struct verdict v = {.cause = p->cause, .tag = p->id, .queue_id = SPAN_LIT("Q1"), .facts = {.rule = f->rule}};

	if (p->want == SMTP_WANT_ACCEPT && p->cause == CAUSE_NONE) {
		f->accepted++;
		buf_reset(&f->kept);
		buf_add(&f->kept, buf_span(&f->body));
		buf_clear(&f->body);
	}
	smtp_in_answer(f->s, p->id, &v);
}

static void fake_question(struct fake_smtp *f, enum smtp_want want, const struct smtp_ask *ask)
{
	struct fake_pending p = {.want = want, .id = ask->id};

	if (want == SMTP_WANT_RCPT) {
		p.cause = fake_rcpt(f, &ask->rcpt->to, ask->mail->size_declared);
		f->asked_count = ask->rcpt_count;
	}
	if (want == SMTP_WANT_MAIL && !smtp_in_account(f->s).len)
		p.cause = f->mail_cause;
	if (want == SMTP_WANT_MAIL && span_eq(ask->mail->from.domain, SPAN_LIT("blocked.example")))
		p.cause = CAUSE_SENDER_BLOCKED;
	if (want == SMTP_WANT_ACCEPT) {
		p.cause = f->accept_cause;
		f->accepted_rcpts = ask->rcpt_count;
		f->accepted_binary = ask->mail->body_binary;
	}
	if (f->delay && f->pending_count < FAKE_PENDING_MAX)
		f->pending[f->pending_count++] = p;
	else
		fake_give(f, &p);
}

/* one refused RCPT, the longest there can be, one that has hardly anything */
static void fake_why(struct fake_smtp *f, const struct smtp_ask *ask)
{
	static uint8_t long_detail[600];
	struct smtp_why events[3] = {
		{.at_ms = 1700000000123, .session = 7, .code = 550, .slug = SPAN_LIT("rcpt-unknown"), .command = SPAN_LIT("RCPT"), .detail = SPAN_LIT("bob+x=1 \xc3\xa4\r\n")},
		{.at_ms = 1699999999000, .session = 7, .code = 452, .slug = SPAN_LIT("too-many-recipients"), .command = SPAN_LIT("RCPT"), .limit = SPAN_LIT("100 recipients"),
			.retry = SPAN_LIT("5 min"), .detail = span_of(long_detail, sizeof(long_detail))},
		{.at_ms = 1699999998000, .code = 535, .slug = SPAN_LIT("auth-wrong-password")},
	};

	memset(long_detail, ' ', sizeof(long_detail));
	f->whys++;
	smtp_in_why(f->s, ask->id, f->why_cause, events, f->why_none ? 0 : ask->why_max < 3 ? ask->why_max : 3);
}

static void fake_act(struct fake_smtp *f, enum smtp_want want, const struct smtp_ask *ask)
{
	switch (want) {
	case SMTP_WANT_MAIL:
	case SMTP_WANT_RCPT:
	case SMTP_WANT_ACCEPT:
		fake_question(f, want, ask);
		break;
	case SMTP_WANT_AUTH:
	case SMTP_WANT_AUTH_STEP:
		fake_auth(f, ask, want == SMTP_WANT_AUTH);
		break;
	case SMTP_WANT_WHY:
		fake_why(f, ask);
		break;
	case SMTP_WANT_AUTH_CANCEL:
		f->cancels++;
		f->step = 0;
		break;
	case SMTP_WANT_BODY:
		buf_add(&f->body, ask->bytes);
		f->body_spans++;
		break;
	case SMTP_WANT_DISCARD:
		buf_clear(&f->body);
		f->discards++;
		break;
	case SMTP_WANT_RESET:
		f->resets++;
		break;
	case SMTP_WANT_TLS:
		f->want_tls = true;
		break;
	case SMTP_WANT_CLOSE:
		f->closed = true;
		break;
	case SMTP_WANT_NOTHING:
		break;
	}
}

static void fake_round(struct fake_smtp *f)
{
	struct smtp_ask ask;
	struct smtp_event event;
	enum smtp_want want;
	struct span out;

	while ((want = smtp_in_next(f->s, &ask)) != SMTP_WANT_NOTHING)
		fake_act(f, want, &ask);
	while (smtp_in_event(f->s, &event))
		f->events++;
	out = smtp_in_out(f->s);
	if (f->deaf || out.len == 0)
		return;
	buf_add(&f->out, out);
	smtp_in_sent(f->s, out.len);
}

void fake_smtp_pump(struct fake_smtp *f)
{
	size_t taken;

	do {
		fake_round(f);
		taken = f->in.len ? smtp_in_feed(f->s, buf_span(&f->in), f->now) : 0;
		if (taken)
			fake_round(f); /* before the bytes move: body spans point into them */
		buf_drop(&f->in, taken);
	} while (taken);
}

void fake_smtp_feed(struct fake_smtp *f, struct span bytes)
{
	buf_add(&f->in, bytes);
	fake_smtp_pump(f);
}

bool fake_smtp_answer(struct fake_smtp *f, size_t at)
{
	struct fake_pending p;

	if (at >= f->pending_count)
		return false;
	p = f->pending[at];
	memmove(&f->pending[at], &f->pending[at + 1], (f->pending_count - at - 1) * sizeof(p));
	f->pending_count--;
	fake_give(f, &p);
	fake_smtp_pump(f);
	return true;
}

void fake_smtp_tick(struct fake_smtp *f, mono_ms later_ms)
{
	f->now += later_ms;
	smtp_in_tick(f->s, f->now);
	fake_smtp_pump(f);
}

void fake_smtp_tls(struct fake_smtp *f)
{
	f->want_tls = false;
	smtp_in_tls_done(f->s, f->now);
	fake_smtp_pump(f);
}

void fake_smtp_init(struct fake_smtp *f, enum smtp_kind kind)
{
	*f = (struct fake_smtp){.now = 1000};
	f->rules = (struct smtp_rules){.kind = kind,
		.hostname = "mailroom.test",
		.starttls = true,
		.auth = kind == SMTP_KIND_SUBMISSION,
		.why = kind == SMTP_KIND_SUBMISSION,
		.tls_required = kind == SMTP_KIND_SUBMISSION,
		.mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
		.message_max_bytes = 25 << 20,
		.rcpt_max = 1000,
		.transaction_max = 100,
		.unauth_command_max = 30,
		.bad_command_max = 20,
		.noop_max = 100,
		.auth_failure_max = 3,
		.hops_max = 50,
		.rcpt_open_max = 32,
		.greeting_ms = 300000,
		.command_ms = 300000,
		.data_ms = 180000,
		.session_ms = 3600000,
		.auth_ms = 120000,
		.data_rate_floor = 500};
	buf_init(&f->in, 256 << 20);
	buf_init(&f->out, 64 << 20);
	buf_init(&f->body, 64 << 20);
	buf_init(&f->kept, 64 << 20);
}

void fake_smtp_start(struct fake_smtp *f)
{
	f->s = smtp_in_new(&f->rules, SPAN_LIT("REF1"), f->refuse, f->now);
	fake_smtp_pump(f);
}

void fake_smtp_clear(struct fake_smtp *f)
{
	smtp_in_free(f->s);
	f->s = NULL;
	buf_clear(&f->in);
	buf_clear(&f->out);
	buf_clear(&f->body);
	buf_clear(&f->kept);
}
