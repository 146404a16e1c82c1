/* Signing in: only over encryption unless told otherwise, only to a server that is known to be the right one, and no password twice. */
#include "base/b64.h"
#include "cli/cli_doctor_probe.h"

static void sign_add_plain(struct probe *p)
{
	struct buf secret;

	buf_init_secret(&secret, PROBE_COMMAND_BYTES);
	buf_add_byte(&secret, '\0');
	buf_add_str(&secret, p->d->facts.login);
	buf_add_byte(&secret, '\0');
	buf_add(&secret, buf_span(&p->d->password));
	b64_encode(&p->command, buf_span(&secret));
	buf_clear(&secret);
}

/* a quoted string of IMAP (RFC 9051 4.3): eight-bit passwords go through AUTHENTICATE */
static void sign_add_quoted(struct buf *out, struct span text)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"' || text.ptr[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, text.ptr[i]);
	}
	buf_add_byte(out, '"');
}

static bool sign_ask_pop3(struct probe *p, const char *mechanisms)
{
	if (!doctor_offers(mechanisms, "USER") && doctor_offers(mechanisms, "PLAIN")) {
		if (!probe_say(p, DOCTOR_AT_SIGN_IN, "AUTH PLAIN") || p->code != 334)
			return p->code != 0;
		sign_add_plain(p);
	} else {
		buf_printf(&p->command, "USER %s", p->d->facts.login);
		if (!probe_ask(p, DOCTOR_AT_SIGN_IN, "USER", false) || p->code >= 300)
			return p->code != 0;
		buf_add_str(&p->command, "PASS ");
		buf_add(&p->command, buf_span(&p->d->password));
	}
	return probe_ask(p, DOCTOR_AT_SIGN_IN, "signing in", false);
}

static bool sign_ask_imap(struct probe *p, const char *mechanisms)
{
	if (doctor_offers(mechanisms, "PLAIN")) {
		if (!probe_say(p, DOCTOR_AT_SIGN_IN, "a AUTHENTICATE PLAIN") || p->code != 334)
			return p->code != 0;
		sign_add_plain(p);
	} else {
		buf_add_str(&p->command, "a LOGIN ");
		sign_add_quoted(&p->command, span_str(p->d->facts.login));
		buf_add_byte(&p->command, ' ');
		sign_add_quoted(&p->command, buf_span(&p->d->password));
	}
	return probe_ask(p, DOCTOR_AT_SIGN_IN, "signing in", false);
}

static bool sign_ask_smtp(struct probe *p, const char *mechanisms)
{
	if (doctor_offers(mechanisms, "PLAIN")) {
		buf_add_str(&p->command, "AUTH PLAIN ");
		sign_add_plain(p);
	} else {
		if (!probe_say(p, DOCTOR_AT_SIGN_IN, "AUTH LOGIN") || p->code != 334)
			return p->code != 0;
		b64_encode(&p->command, span_str(p->d->facts.login));
		if (!probe_ask(p, DOCTOR_AT_SIGN_IN, "the user name", false) || p->code != 334)
			return p->code != 0;
		b64_encode(&p->command, buf_span(&p->d->password));
	}
	return probe_ask(p, DOCTOR_AT_SIGN_IN, "signing in", false);
}

/* is sign-in offered at all, where it is needed? */
static bool sign_is_offered(struct probe *p, const char *mechanisms)
{
	bool smtp = p->port->protocol == DOCTOR_SMTP;

	if (smtp && !mechanisms[0] && (p->d->password.len || !p->d->to)) {
		if (p->port->starttls_offered && p->port->security == DOCTOR_NONE)
			probe_fail_cause(p, CAUSE_TLS_REQUIRED, DOCTOR_AT_OFFER, "STARTTLS is offered, sign-in without it is not",
					 SPAN_NONE);
		else
			probe_fail_cause(p, CAUSE_AUTH_NOT_ADVERTISED, DOCTOR_AT_OFFER, "the answer to EHLO offers no sign-in",
					 buf_span(&p->reply));
	}
	if (smtp && mechanisms[0] && p->d->password.len && !doctor_offers(mechanisms, "PLAIN") && !doctor_offers(mechanisms, "LOGIN"))
		probe_fail_cause(p, CAUSE_AUTH_MECHANISM_UNKNOWN, DOCTOR_AT_SIGN_IN, "neither PLAIN nor LOGIN is offered",
				 span_str(mechanisms));
	return !p->port->slug[0];
}

/* may the password be said here? */
static bool sign_is_allowed(struct probe *p)
{
	if (p->d->password_refused)
		probe_fail(p, p->d->refused_slug, DOCTOR_AT_SIGN_IN, "the password was refused before, so it is not tried here", SPAN_NONE);
	else if (p->port->security <= DOCTOR_NONE && !p->d->allow_cleartext)
		probe_fail_cause(p, CAUSE_TLS_NOT_OFFERED, DOCTOR_AT_TLS, "no encryption is offered; the password was not sent", SPAN_NONE);
	else if (p->offer.login_disabled && !p->offer.auth.len)
		probe_fail_cause(p, CAUSE_TLS_REQUIRED, DOCTOR_AT_OFFER, "the server says LOGINDISABLED", buf_span(&p->reply));
	return !p->port->slug[0];
}

static bool sign_is_wrong(const struct probe *p)
{
	if (p->port->protocol == DOCTOR_SMTP)
		return p->code == 535;
	if (p->port->protocol == DOCTOR_POP3)
		return span_find_span(buf_span(&p->reply), SPAN_LIT("[AUTH]")) < p->reply.len;	       /* RFC 3206 */
	return span_find_span(buf_span(&p->reply), SPAN_LIT("[AUTHENTICATIONFAILED]")) < p->reply.len; /* RFC 5530 3 */
}

bool probe_sign_in(struct probe *p)
{
	static bool (*const ask[])(struct probe * p, const char *mechanisms) = {
		[DOCTOR_SMTP] = sign_ask_smtp, [DOCTOR_POP3] = sign_ask_pop3, [DOCTOR_IMAP] = sign_ask_imap};
	const char *mechanisms = p->port->security > DOCTOR_NONE ? p->port->auth_tls : p->port->auth_clear;

	if (!sign_is_offered(p, mechanisms))
		return false;
	if (!p->d->password.len)
		return true;
	p->port->password_held = !p->port->host->trusted;
	if (p->port->password_held)
		return true;
	if (!sign_is_allowed(p) || !ask[p->port->protocol](p, mechanisms))
		return false;
	p->port->signed_in = p->code < 300;
	if (!p->port->signed_in) {
		bool wrong = sign_is_wrong(p);

		probe_refused(p, DOCTOR_AT_SIGN_IN, "signing in", wrong ? CAUSE_AUTH_BAD_CREDENTIALS : CAUSE_NONE);
		p->d->password_refused = wrong || p->port->protocol != DOCTOR_SMTP;
		p->d->refused_slug = p->port->slug;
	}
	return p->port->signed_in;
}
