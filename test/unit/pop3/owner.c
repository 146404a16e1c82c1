#include "owner.h"

#include <stdlib.h>

#include "base/mem.h"

const struct pop3_rules owner_rules = {
	.hostname = "mail.mailroom.test", .stls = true, .auth_cleartext = true, .mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
	.bad_command_max = 10, .auth_failure_max = 3, .command_ms = 600000, .login_ms = 60000,
};

#define MAIL_ONE "Subject: one\r\n\r\nfirst\r\n.\r\n..two dots\r\nlast\r\n"
#define MAIL_TWO "Subject: two\r\nX-Long: yes\r\n\r\nno line end"
#define MAIL_THREE "Subject: three\r\n\r\n"
const struct mail owner_mails[3] = {
	{7, {(const uint8_t *)MAIL_ONE, sizeof(MAIL_ONE) - 1}},
	{9, {(const uint8_t *)MAIL_TWO, sizeof(MAIL_TWO) - 1}},
	{0x123456789aULL, {(const uint8_t *)MAIL_THREE, sizeof(MAIL_THREE) - 1}},
};

static void owner_must(bool held)
{
	if (!held)
		abort();
}

static const char plain[] = "\0alice@mailroom.test\0wonderland";

void owner_begin(struct owner *o, const struct pop3_rules *rules)
{
	*o = (struct owner){.rules = *rules, .now = 1000000, .mails = owner_mails, .mail_count = 3, .read_max = SIZE_MAX, .random = 1};
	buf_init(&o->input, SIZE_MAX / 2);
	buf_init(&o->seen, SIZE_MAX / 2);
	o->p = pop3_in_new(&o->rules, SPAN_LIT("R3F"), CAUSE_NONE, o->now);
}

void owner_end(struct owner *o)
{
	pop3_in_free(o->p);
	buf_clear(&o->input);
	buf_clear(&o->seen);
	free(o->committed);
}

static void owner_auth(struct owner *o, const struct pop3_ask *a)
{
	o->auths++;
	o->from_pass = a->from_pass;
	if (span_eq(a->mechanism, SPAN_LIT("PLAIN"))) {
		if (!a->has_initial)
			pop3_in_auth_challenge(o->p, SPAN_NONE);
		else if (span_eq(a->bytes, span_of(plain, sizeof(plain) - 1)))
			pop3_in_auth_ok(o->p, SPAN_LIT("alice@mailroom.test"), SPAN_NONE);
		else
			pop3_in_auth_fail(o->p, CAUSE_AUTH_BAD_CREDENTIALS, NULL);
	} else { /* SCRAM in shape only: client-first, server-first, client-final, server-final */
		pop3_in_auth_challenge(o->p, SPAN_LIT("server-first"));
	}
}

static void owner_step(struct owner *o, const struct pop3_ask *a)
{
	o->steps++;
	if (span_eq(a->bytes, span_of(plain, sizeof(plain) - 1)))
		pop3_in_auth_ok(o->p, SPAN_LIT("alice@mailroom.test"), SPAN_NONE);
	else if (span_eq(a->bytes, SPAN_LIT("client-final")))
		pop3_in_auth_ok(o->p, SPAN_LIT("alice@mailroom.test"), SPAN_LIT("v=server-final"));
	else
		pop3_in_auth_fail(o->p, CAUSE_AUTH_BAD_CREDENTIALS, NULL);
}

static void owner_open(struct owner *o)
{
	o->opens++;
	if (o->open_cause == CAUSE_NONE)
		for (size_t i = 0; i < o->mail_count; i++)
			if (pop3_in_mailbox_add(o->p, o->mails[i].uid, o->mails[i].text.len) != RC_OK)
				break;
	pop3_in_mailbox_done(o->p, o->open_cause, NULL, 0x5f);
}

static void owner_fetch(struct owner *o, const struct pop3_ask *a)
{
	struct span text = SPAN_NONE, part;

	o->fetches++;
	for (size_t i = 0; i < o->mail_count && text.ptr == NULL; i++)
		if (o->mails[i].uid == a->uid)
			text = o->mails[i].text;
	owner_must(text.ptr && a->offset <= text.len);
	if (o->fetch_cause != CAUSE_NONE && a->offset >= o->fetch_cause_at) {
		pop3_in_bytes(o->p, SPAN_NONE, false, o->fetch_cause);
		return;
	}
	part = span_of(text.ptr + a->offset, text.len - a->offset);
	part = span_head(part, o->chunk ? o->chunk(o, a->max) : a->max);
	pop3_in_bytes(o->p, part, a->offset + part.len == text.len, CAUSE_NONE);
}

static void owner_commit(struct owner *o, const struct pop3_ask *a)
{
	o->commits++;
	free(o->committed);
	o->committed = mem_array(a->uid_count, sizeof(uint64_t));
	o->committed_count = a->uid_count;
	memcpy(o->committed, a->uids, a->uid_count * sizeof(uint64_t));
	pop3_in_committed(o->p, o->commit_cause);
}

bool owner_tls(struct owner *o)
{
	if (!o->tls_wanted)
		return false;
	o->tls_wanted = false;
	pop3_in_tls_done(o->p, o->now);
	return true;
}

static void owner_act(struct owner *o, enum pop3_want want, const struct pop3_ask *a)
{
	switch (want) {
	case POP3_WANT_NOTHING:
		break;
	case POP3_WANT_AUTH:
		owner_auth(o, a);
		break;
	case POP3_WANT_AUTH_STEP:
		owner_step(o, a);
		break;
	case POP3_WANT_AUTH_CANCEL:
		o->cancels++;
		break;
	case POP3_WANT_OPEN:
		owner_open(o);
		break;
	case POP3_WANT_FETCH:
		owner_fetch(o, a);
		break;
	case POP3_WANT_COMMIT:
		owner_commit(o, a);
		break;
	case POP3_WANT_TLS:
		o->tls++;
		o->tls_wanted = true;
		if (!o->tls_waits)
			(void)owner_tls(o);
		break;
	case POP3_WANT_CLOSE:
		o->closed = true;
		break;
	}
}

void owner_answer(struct owner *o)
{
	enum pop3_want want = o->held;

	o->held = POP3_WANT_NOTHING;
	o->hold = false;
	owner_act(o, want, &o->held_ask);
	owner_turn(o);
}

static bool owner_asks(struct owner *o)
{
	struct pop3_ask ask;
	enum pop3_want want;
	bool any = false;

	while ((want = pop3_in_next(o->p, &ask)) != POP3_WANT_NOTHING) {
		any = true;
		if (o->hold && want != POP3_WANT_CLOSE && want != POP3_WANT_AUTH_CANCEL) {
			owner_must(o->held == POP3_WANT_NOTHING);
			o->held = want;
			o->held_ask = ask;
		} else {
			owner_act(o, want, &ask);
		}
	}
	return any;
}

void owner_turn(struct owner *o)
{
	bool moved = true;

	while (moved) {
		struct span out;
		size_t n;

		moved = owner_asks(o);
		out = pop3_in_out(o->p);
		if (out.len > o->out_peak)
			o->out_peak = out.len;
		out = span_head(out, o->read_max);
		if (out.len) {
			buf_add(&o->seen, out);
			pop3_in_sent(o->p, out.len);
			moved = true;
		}
		n = o->input.len ? pop3_in_feed(o->p, buf_span(&o->input), o->now) : 0;
		owner_must(n <= o->input.len);
		buf_drop(&o->input, n);
		moved |= n > 0;
	}
}

void owner_send(struct owner *o, struct span bytes)
{
	buf_add(&o->input, bytes);
	owner_turn(o);
}

const char *owner_say(struct owner *o, const char *text)
{
	owner_turn(o);
	buf_reset(&o->seen);
	owner_send(o, span_str(text));
	return buf_cstr(&o->seen);
}

void owner_sign_in(struct owner *o)
{
	owner_must(strcmp(owner_say(o, "USER alice@mailroom.test\r\n"), "+OK Now the password\r\n") == 0);
	owner_must(strncmp(owner_say(o, "PASS wonderland\r\n"), "+OK ", 4) == 0);
}
