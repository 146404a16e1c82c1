/* the commands of the session: greeting, EHLO, STARTTLS, and those that do little */
#include "proto/smtp/smtp_internal.h"

void smtp_banner(struct smtp_in *s)
{
	buf_printf(&s->out, "220 %s ESMTP mailroom\r\n", s->rules->hostname);
}

bool smtp_mechanism_usable(const struct smtp_in *s, struct span mechanism)
{
	struct span rest = span_str(s->rules->mechanisms);

	if (mechanism.len > 5 && span_eq_nocase(span_from(mechanism, mechanism.len - 5), SPAN_LIT("-PLUS")) && !s->tls)
		return false; /* RFC 5802 6: channel binding needs a channel */
	while (rest.len) {
		struct span one = span_cut(&rest, ' ');

		if (one.len && span_eq_nocase(one, mechanism))
			return true;
	}
	return false;
}

bool smtp_auth_usable(const struct smtp_in *s)
{
	return s->rules->auth && s->account.len == 0 && (s->tls || (s->rules->auth_cleartext && !s->rules->tls_required));
}

/* EHLO and HELO: forget the transaction (RFC 5321 4.1.4), keep the sign-in */
static bool smtp_helo_take(struct smtp_in *s, struct span arg)
{
	const char *fault = NULL;

	if (arg.len == 0)
		fault = "no name was given";
	else if (arg.len > LIMIT_HELO_BYTES)
		fault = "it is too long";
	else if (!address_helo_ok(arg))
		fault = "it is no domain and no [address]";
	if (fault) {
		smtp_refuse_bad(s, CAUSE_HELO_INVALID, &(struct cause_facts){.detail = span_str(fault)});
		return false;
	}
	smtp_transaction_clear(s);
	buf_reset(&s->helo);
	buf_add(&s->helo, arg);
	return true;
}

void smtp_helo_run(struct smtp_in *s, struct span arg)
{
	if (!smtp_helo_take(s, arg))
		return;
	s->esmtp = false;
	buf_printf(&s->out, "250 %s\r\n", s->rules->hostname);
}

static void smtp_ehlo_auth(struct smtp_in *s)
{
	struct span rest = span_str(s->rules->mechanisms);

	smtp_reply(s, "250-AUTH");
	while (rest.len) {
		struct span one = span_cut(&rest, ' ');

		if (one.len && smtp_mechanism_usable(s, one)) {
			buf_add_byte(&s->out, ' ');
			buf_add(&s->out, one);
		}
	}
	smtp_reply(s, "\r\n");
}

void smtp_ehlo_run(struct smtp_in *s, struct span arg)
{
	const struct smtp_rules *r = s->rules;

	if (!smtp_helo_take(s, arg))
		return;
	s->esmtp = true;
	buf_printf(&s->out, "250-%s\r\n", r->hostname);
	smtp_reply(s, "250-PIPELINING\r\n250-SIZE "); /* RFC 2920, 1870 */
	buf_add_u64(&s->out, r->message_max_bytes);
	/* RFC 6152, 6531, 3030, 3461, 2034 */
	smtp_reply(s, "\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n");
	if (r->starttls && !s->tls)
		smtp_reply(s, "250-STARTTLS\r\n"); /* RFC 3207 */
	if (s->tls)
		smtp_reply(s, "250-REQUIRETLS\r\n"); /* RFC 8689 3: only under TLS */
	if (smtp_auth_usable(s))
		smtp_ehlo_auth(s);
	if (r->why && r->kind == SMTP_KIND_SUBMISSION)
		smtp_reply(s, "250-XWHY\r\n"); /* this server's own */
	buf_printf(&s->out, "250-LIMITS MAILMAX=%u RCPTMAX=%u\r\n", r->transaction_max, r->rcpt_max); /* RFC 9422 */
	smtp_reply(s, "250 HELP\r\n");
}

void smtp_starttls_run(struct smtp_in *s, struct span arg)
{
	(void)arg;
	if (s->tls) {
		smtp_refuse_bad(s, CAUSE_TLS_REPEATED, NULL);
		return;
	}
	if (!s->rules->starttls) {
		smtp_refuse_bad(s, CAUSE_TLS_NOT_OFFERED, NULL);
		return;
	}
	smtp_transaction_clear(s);
	s->out_tls_at = s->out.len;
	smtp_reply(s, "220 2.0.0 Ready for TLS\r\n");
	s->state = SMTP_STATE_TLS; /* whatever else is in the input now came in the clear: feed refuses it */
	s->due_tls = true;
}

void smtp_noop_run(struct smtp_in *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, "250 2.0.0 Ok\r\n");
}

void smtp_rset_run(struct smtp_in *s, struct span arg)
{
	(void)arg;
	smtp_transaction_clear(s);
	smtp_reply(s, "250 2.0.0 Ok\r\n");
}

/* RFC 5321 3.5.3, 7.3: never tells whether the address exists */
void smtp_vrfy_run(struct smtp_in *s, struct span arg)
{
	if (arg.len == 0)
		smtp_refuse_bad(s, CAUSE_COMMAND_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("an address has to follow")});
	else
		smtp_reply(s, "252 2.5.0 Not verified here; send to it and see\r\n");
}

void smtp_help_run(struct smtp_in *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, "214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH HELP QUIT\r\n"
		      "214 2.0.0 RFC 5321 says how they are used\r\n");
}

void smtp_quit_run(struct smtp_in *s, struct span arg)
{
	(void)arg;
	buf_printf(&s->out, "221 2.0.0 %s closes the connection\r\n", s->rules->hostname);
	smtp_end(s);
}
