/* AUTH, RFC 4954. The mechanisms are the owner's; here are the lines, the order and the limits. */
#include "base/b64.h"
#include "proto/smtp/smtp_internal.h"

void smtp_auth_forget(struct smtp_in *s)
{
	if (s->auth_open)
		s->due_auth_cancel = true;
	if (s->auth_final) /* the client never confirmed the last challenge: it is not signed in */
		buf_clear(&s->account);
	s->auth_open = s->auth_final = false;
	if (s->wait == SMTP_WAIT_AUTH || s->wait == SMTP_WAIT_AUTH_STEP)
		s->wait = SMTP_WAIT_NONE;
	if (s->sasl.ptr) {
		explicit_bzero(s->sasl.ptr, s->sasl.size);
		buf_clear(&s->sasl);
	}
}

static void smtp_auth_ask(struct smtp_in *s, enum smtp_wait wait)
{
	s->wait = wait;
	s->wait_asked = false;
	s->auth_open = true;
	s->state = SMTP_STATE_COMMAND;
}

static bool smtp_auth_decode(struct smtp_in *s, struct span text)
{
	enum rc rc;

	buf_reset(&s->sasl);
	rc = b64_decode(&s->sasl, text);
	if (rc == RC_OK)
		return true;
	smtp_auth_forget(s);
	s->state = SMTP_STATE_COMMAND;
	smtp_refuse_bad(s, CAUSE_AUTH_SYNTAX,
		&(struct cause_facts){.detail = rc == RC_LIMIT ? SPAN_LIT("it is too long") : SPAN_LIT("it is not base64")});
	return false;
}

/* may AUTH be used now? CAUSE_NONE: yes */
static enum cause_id smtp_auth_order(const struct smtp_in *s)
{
	if (!s->rules->auth)
		return CAUSE_AUTH_NOT_ADVERTISED;
	if (!s->esmtp)
		return CAUSE_SEQ_NO_HELO; /* AUTH is an extension: HELO does not switch it on */
	if (s->account.len)
		return CAUSE_AUTH_TWICE;
	if (s->in_mail)
		return CAUSE_AUTH_NOT_IN_TRANSACTION;
	if (!s->tls && s->rules->tls_required)
		return CAUSE_TLS_REQUIRED;
	if (!s->tls && !s->rules->auth_cleartext)
		return CAUSE_AUTH_CLEARTEXT_REFUSED;
	return CAUSE_NONE;
}

void smtp_auth_run(struct smtp_in *s, struct span arg)
{
	struct span initial = arg, mechanism = span_cut(&initial, ' ');
	enum cause_id cause = smtp_auth_order(s);

	initial = span_trim(initial);
	if (cause != CAUSE_NONE) {
		smtp_refuse_bad(s, cause, &(struct cause_facts){.missing = SPAN_LIT("EHLO")});
		return;
	}
	if (mechanism.len == 0) {
		smtp_refuse_bad(s, CAUSE_AUTH_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("no mechanism was named")});
		return;
	}
	if (mechanism.len >= sizeof(s->mechanism) || !smtp_mechanism_usable(s, mechanism)) {
		smtp_refuse_bad(s, CAUSE_AUTH_MECHANISM_UNKNOWN, &(struct cause_facts){.detail = span_head(mechanism, sizeof(s->mechanism))});
		return;
	}
	for (size_t i = 0; i < mechanism.len; i++)
		s->mechanism[i] = (char)byte_upper(mechanism.ptr[i]);
	s->mechanism[mechanism.len] = '\0';
	s->auth_initial = initial.len != 0;
	/* LOGIN begins with the server's question; programs that send the user name at once are understood, but nothing at all is no name */
	if (span_eq(initial, SPAN_LIT("=")) && span_eq(span_str(s->mechanism), SPAN_LIT("LOGIN"))) {
		smtp_refuse_bad(s, CAUSE_AUTH_ARGUMENT_UNWANTED, &(struct cause_facts){.detail = span_str(s->mechanism)});
		return;
	}
	if (span_eq(initial, SPAN_LIT("="))) /* RFC 4954 4: an initial response of no bytes */
		initial = SPAN_NONE;
	if (smtp_auth_decode(s, initial))
		smtp_auth_ask(s, SMTP_WAIT_AUTH);
}

void smtp_auth_line(struct smtp_in *s, struct span line, enum cause_id fault)
{
	bool final = s->auth_final;

	if (fault == CAUSE_NONE && final && line.len == 0) {
		s->auth_final = false;
		s->state = SMTP_STATE_COMMAND;
		smtp_reply(s, "235 2.7.0 Signed in\r\n");
		return;
	}
	if (fault == CAUSE_NONE && !final && !span_eq(line, SPAN_LIT("*"))) {
		if (smtp_auth_decode(s, line))
			smtp_auth_ask(s, SMTP_WAIT_AUTH_STEP);
		return;
	}
	smtp_auth_forget(s);
	s->due_auth_cancel = true;
	s->state = SMTP_STATE_COMMAND;
	if (fault == CAUSE_NONE)
		fault = span_eq(line, SPAN_LIT("*")) ? CAUSE_AUTH_CANCELLED : CAUSE_AUTH_SYNTAX;
	if (fault == CAUSE_LINE_TOO_LONG) { /* RFC 4954 4: 500 5.5.6 */
		char text[32];

		s->bad_commands++;
		smtp_refuse(s, fault, CAUSE_SMTP_AUTH, &(struct cause_facts){.limit = smtp_write_count(text, LIMIT_SMTP_AUTH_LINE_BYTES, "bytes")});
	} else {
		smtp_refuse_bad(s, fault, NULL);
	}
}

static bool smtp_auth_waits(const struct smtp_in *s)
{
	return (s->wait == SMTP_WAIT_AUTH || s->wait == SMTP_WAIT_AUTH_STEP) && s->wait_asked;
}

static void smtp_auth_answered(struct smtp_in *s)
{
	s->wait = SMTP_WAIT_NONE;
	s->answered_untimed = true;
	if (s->sasl.ptr) {
		explicit_bzero(s->sasl.ptr, s->sasl.size);
		buf_clear(&s->sasl);
	}
}

static void smtp_auth_send(struct smtp_in *s, struct span decoded)
{
	smtp_reply(s, "334 ");
	b64_encode(&s->out, decoded);
	smtp_reply(s, "\r\n");
	s->state = SMTP_STATE_AUTH;
}

void smtp_in_auth_challenge(struct smtp_in *s, struct span decoded)
{
	if (!smtp_auth_waits(s))
		return;
	smtp_auth_answered(s);
	smtp_auth_send(s, decoded);
}

void smtp_in_auth_ok(struct smtp_in *s, struct span account, struct span final_data)
{
	if (!smtp_auth_waits(s))
		return;
	if (account.len == 0 || account.len > LIMIT_LOGIN_BYTES) { /* nobody is never signed in */
		smtp_in_auth_fail(s, CAUSE_SERVER_TEMP_ERROR, NULL);
		return;
	}
	smtp_auth_answered(s);
	s->auth_open = false;
	buf_reset(&s->account);
	buf_add(&s->account, account);
	if (final_data.len) { /* RFC 4954 4: the 235 carries no data, so it goes as one more challenge */
		s->auth_final = true;
		smtp_auth_send(s, final_data);
	} else {
		smtp_reply(s, "235 2.7.0 Signed in\r\n");
	}
}

void smtp_in_auth_fail(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	if (!smtp_auth_waits(s))
		return;
	smtp_auth_answered(s);
	s->auth_open = false;
	s->verb = SPAN_LIT("AUTH");
	if (cause_code(cause, CAUSE_SMTP_AUTH) >= 500 && ++s->auth_failures >= s->rules->auth_failure_max)
		smtp_close(s, CAUSE_AUTH_RATE_LIMITED, facts);
	else
		smtp_refuse(s, cause, CAUSE_SMTP_AUTH, facts);
}
