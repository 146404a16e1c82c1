/* One port: what it speaks, how it is encrypted, whether it lets one sign in and send. */
#include <netdb.h>
#include <time.h>
#include <openssl/crypto.h>

#include "base/b64.h"
#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_doctor_wire.h"
#include "mailroom/answer.h"

enum { PROBE_COMMAND_BYTES = 4096, PROBE_SHOWN_BYTES = 300 };

struct probe {
	struct doctor *d;
	struct doctor_port *port;
	const struct doctor_host *host;
	struct doctor_wire wire;
	struct buf command; /* may hold the password */
	struct buf reply;   /* lines joined by line ends, as they came */
	unsigned code;	    /* of SMTP; POP3 and IMAP: 200 for yes, 500 for no; 0: no reply of that protocol */
	bool plain_silent;  /* nothing was said in the clear: perhaps it waits for TLS */
	bool answers_plain; /* TLS was answered in the clear */
};

/* ---- what is noted */

/* a server may say the password back to us */
static void probe_mask(struct buf *text, struct span secret)
{
	if (secret.len < 4)
		return;
	for (size_t at = 0; at < text->len;) {
		size_t found = span_find_span(span_of(text->ptr + at, text->len - at), secret);

		if (found == text->len - at)
			return;
		memset(text->ptr + at + found, '*', secret.len);
		at += found + secret.len;
	}
}

static void probe_mask_password(const struct probe *p, struct buf *text)
{
	struct buf coded, both;

	buf_init_secret(&coded, PROBE_COMMAND_BYTES);
	buf_init_secret(&both, PROBE_COMMAND_BYTES);
	probe_mask(text, buf_span(&p->d->password));
	b64_encode(&coded, buf_span(&p->d->password));
	probe_mask(text, buf_span(&coded));
	buf_reset(&coded);
	if (p->d->login) {
		buf_add_byte(&both, '\0');
		buf_add_str(&both, p->d->login);
		buf_add_byte(&both, '\0');
		buf_add(&both, buf_span(&p->d->password));
		b64_encode(&coded, buf_span(&both));
		probe_mask(text, buf_span(&coded));
	}
	buf_clear(&coded);
	buf_clear(&both);
}

/* `said` is the peer's; the first thing that is wrong stays */
static void probe_fail(struct probe *p, const char *slug, enum doctor_stage stage, const char *what, struct span said)
{
	struct buf words, masked;

	if (p->port->slug[0])
		return;
	buf_init(&words, DOCTOR_TEXT_BYTES * 4);
	buf_init(&masked, DOCTOR_PEER_BYTES);
	buf_add(&masked, said);
	if (p->d->password.len && masked.len)
		probe_mask_password(p, &masked);
	buf_add_str(&words, what);
	if (masked.len) {
		buf_add_str(&words, ": ");
		for (struct span rest = buf_span(&masked), line = span_cut(&rest, '\n'); line.ptr; line = span_cut(&rest, '\n')) {
			buf_add_safe(&words, line, PROBE_SHOWN_BYTES);
			if (!rest.ptr || words.len > DOCTOR_TEXT_BYTES)
				break;
			buf_add_byte(&words, ' ');
		}
	}
	words.overflow = false; /* the beginning will do */
	p->port->evidence = doctor_keep(p->d, buf_cstr(&words));
	p->port->slug = doctor_keep(p->d, slug);
	p->port->stage = stage;
	buf_clear(&masked);
	buf_clear(&words);
}

/* The cause of a refusal is what the library makes of its words; where these do not decide, what the code says for sure, or that. */
static void probe_refused(struct probe *p, enum doctor_stage stage, const char *what, const char *sure)
{
	struct mailroom_answer *answer = mailroom_answer_text(p->reply.ptr, p->reply.len);
	const char *slug = mailroom_answer_verdict(answer);

	if (sure && (strcmp(slug, "insufficient-text") == 0 || mailroom_answer_confidence(answer, 0) < 0.5))
		slug = sure;
	probe_fail(p, slug, stage, what, buf_span(&p->reply));
	mailroom_answer_free(answer);
}

static void probe_broken(struct probe *p, enum doctor_wire_rc rc, enum doctor_stage stage, const char *what)
{
	struct buf words;

	buf_init(&words, DOCTOR_TEXT_BYTES);
	buf_printf(&words, "%s: ", what);
	if (rc == DOCTOR_WIRE_SILENT) {
		buf_printf(&words, "no whole answer within %u s", p->d->wait_ms / 1000);
		probe_fail(p, "timeout", stage, buf_cstr(&words), SPAN_NONE);
	} else if (rc == DOCTOR_WIRE_FLOOD) {
		buf_add_str(&words, "the server sends without end, and no mail server's answer");
		probe_fail(p, "foreign-protocol", stage, buf_cstr(&words), span_head(buf_span(&p->wire.in), PROBE_SHOWN_BYTES));
	} else {
		buf_add_str(&words, "the connection was closed without a word");
		/* in the middle of a conversation it says nothing about the port */
		probe_fail(p, stage <= DOCTOR_AT_GREETING ? "port-blocked-or-wrong-host" : "insufficient-text", stage, buf_cstr(&words), SPAN_NONE);
	}
	buf_clear(&words);
}

/* ---- commands and replies */

static unsigned probe_code_of(enum doctor_protocol protocol, struct span line, bool *last_out)
{
	uint64_t code;

	*last_out = true;
	if (protocol == DOCTOR_POP3)
		return span_starts(line, SPAN_LIT("+")) ? 200 : span_starts(line, SPAN_LIT("-ERR")) ? 500 : 0;
	if (protocol == DOCTOR_IMAP) {
		if (span_starts(line, SPAN_LIT("* ")) || span_starts(line, SPAN_LIT("+"))) {
			*last_out = false;
			return 200;
		}
		return span_starts(line, SPAN_LIT("a OK")) ? 200 : span_starts(line, SPAN_LIT("a ")) ? 500 : 0;
	}
	if (line.len < 3 || num_parse(span_head(line, 3), 599, &code) != RC_OK || code < 200 ||
	    (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-'))
		return 0;
	*last_out = line.len == 3 || line.ptr[3] == ' ';
	return (unsigned)code;
}

/* a whole reply; `body`: of POP3, up to the dot. A reply that is none of the protocol gives code 0. */
static enum doctor_wire_rc probe_reply(struct probe *p, bool body)
{
	mono_ms deadline = clock_mono_ms() + p->wire.wait_ms;
	struct span line;
	bool last = false;

	buf_reset(&p->reply);
	p->code = 0;
	for (unsigned lines = 0; !last; lines++) {
		enum doctor_wire_rc rc = lines < DOCTOR_REPLY_LINES ? doctor_wire_line(&p->wire, deadline, &line) : DOCTOR_WIRE_FLOOD;

		if (rc != DOCTOR_WIRE_OK)
			return rc;
		if (lines)
			buf_add_byte(&p->reply, '\n');
		buf_add(&p->reply, line);
		if (body && lines) {
			last = span_eq(line, SPAN_LIT("."));
			continue;
		}
		p->code = probe_code_of(p->port->protocol, line, &last);
		if (!p->code)
			return DOCTOR_WIRE_OK;
		if (body && p->code == 200)
			last = false;
	}
	return DOCTOR_WIRE_OK;
}

/* sends p->command and takes the reply; false: noted. `what` names it in the evidence, without secrets. */
static bool probe_ask(struct probe *p, enum doctor_stage stage, const char *what, bool body)
{
	enum doctor_wire_rc rc;

	buf_add_str(&p->command, "\r\n");
	rc = p->command.overflow ? DOCTOR_WIRE_CLOSED : doctor_wire_send(&p->wire, buf_span(&p->command));
	buf_reset(&p->command);
	if (rc == DOCTOR_WIRE_OK)
		rc = probe_reply(p, body);
	if (rc != DOCTOR_WIRE_OK) {
		probe_broken(p, rc, stage, what);
		return false;
	}
	if (!p->code)
		probe_fail(p, "foreign-protocol", stage, what, buf_span(&p->reply));
	return p->code != 0;
}

static bool probe_say(struct probe *p, enum doctor_stage stage, const char *command)
{
	buf_add_str(&p->command, command);
	return probe_ask(p, stage, command, false);
}

/* goes as it is polite; whatever comes back no longer matters */
static void probe_bye(struct probe *p)
{
	struct doctor_port kept = *p->port;

	if (p->wire.fd >= 0 && p->code && p->code != 421 && p->port->protocol)
		(void)probe_say(p, DOCTOR_AT_END, p->port->protocol == DOCTOR_IMAP ? "a LOGOUT" : "QUIT");
	*p->port = kept;
}

/* ---- the steps */

static enum doctor_protocol probe_protocol_of(struct span greeting)
{
	bool last;

	if (span_starts(greeting, SPAN_LIT("+OK")) || span_starts(greeting, SPAN_LIT("-ERR")))
		return DOCTOR_POP3;
	if (span_starts(greeting, SPAN_LIT("* ")))
		return DOCTOR_IMAP;
	return probe_code_of(DOCTOR_SMTP, greeting, &last) ? DOCTOR_SMTP : DOCTOR_UNKNOWN;
}

static bool probe_greeting(struct probe *p, bool tls)
{
	mono_ms deadline = clock_mono_ms() + p->wire.wait_ms;
	enum doctor_wire_rc rc;
	struct span line;
	bool last = true;

	buf_reset(&p->reply);
	rc = doctor_wire_line(&p->wire, deadline, &line);
	if (rc != DOCTOR_WIRE_OK) {
		if (!p->wire.in.len && rc != DOCTOR_WIRE_FLOOD && !tls) {
			p->plain_silent = true;
			if (p->port->wanted != DOCTOR_NONE)
				return false; /* it may wait for TLS: seen next */
		}
		probe_broken(p, rc, DOCTOR_AT_GREETING, "the connection is taken, but no greeting comes");
		return false;
	}
	buf_add(&p->reply, line);
	p->port->protocol = probe_protocol_of(line);
	if (p->port->protocol == DOCTOR_SMTP)
		p->code = probe_code_of(DOCTOR_SMTP, line, &last);
	else
		p->code = span_starts(line, SPAN_LIT("-ERR")) || span_starts(line, SPAN_LIT("* BYE")) ? 500 : 200;
	for (unsigned lines = 1; !last && rc == DOCTOR_WIRE_OK; lines++) {
		rc = lines < DOCTOR_REPLY_LINES ? doctor_wire_line(&p->wire, deadline, &line) : DOCTOR_WIRE_FLOOD;
		if (rc == DOCTOR_WIRE_OK && !probe_code_of(DOCTOR_SMTP, line, &last))
			last = true;
	}
	if (rc != DOCTOR_WIRE_OK)
		probe_broken(p, rc, DOCTOR_AT_GREETING, "the greeting does not end");
	else if (p->port->protocol == DOCTOR_UNKNOWN)
		probe_fail(p, "foreign-protocol", DOCTOR_AT_GREETING, "the greeting is no mail server's", buf_span(&p->reply));
	else if (p->code >= 300)
		probe_refused(p, DOCTOR_AT_GREETING, "the greeting is a refusal", NULL);
	return !p->port->slug[0];
}

/* the encryption itself; false: noted, or answered in the clear */
static bool probe_tls(struct probe *p, bool starttls)
{
	enum doctor_wire_rc rc = doctor_wire_tls(&p->wire, p->host->name);
	struct buf words, wrong;
	const char *slug;

	if (rc == DOCTOR_WIRE_PLAIN && !starttls) {
		p->answers_plain = true;
		return false;
	}
	if (rc == DOCTOR_WIRE_CLOSED && starttls)
		p->wire.reason = "the connection was closed";
	if (rc == DOCTOR_WIRE_PLAIN || rc == DOCTOR_WIRE_FAILED || (rc == DOCTOR_WIRE_CLOSED && starttls)) {
		probe_fail(p, "tls-handshake-failed", DOCTOR_AT_TLS, "the encryption could not be agreed",
			   rc == DOCTOR_WIRE_PLAIN ? buf_span(&p->wire.in) : span_str(p->wire.reason));
		return false;
	}
	if (rc != DOCTOR_WIRE_OK) {
		probe_broken(p, rc, starttls ? DOCTOR_AT_TLS : DOCTOR_AT_GREETING,
			     "the connection is taken, but neither a greeting nor TLS comes");
		return false;
	}
	p->port->security = starttls ? DOCTOR_STARTTLS : DOCTOR_TLS;
	buf_init(&words, DOCTOR_TEXT_BYTES * 2);
	buf_init(&wrong, DOCTOR_TEXT_BYTES * 2);
	slug = doctor_wire_certificate(&p->wire, p->host->name, &words, &wrong);
	p->port->certificate = doctor_keep(p->d, buf_cstr(&words));
	if (slug)
		probe_fail(p, slug, DOCTOR_AT_TLS, buf_cstr(&wrong), SPAN_NONE);
	buf_clear(&words);
	buf_clear(&wrong);
	return true;
}

static void probe_take_offer(struct probe *p)
{
	const char **auth = p->port->security > DOCTOR_NONE ? &p->port->auth_tls : &p->port->auth_clear;
	struct buf words;

	buf_init(&words, DOCTOR_TEXT_BYTES * 2);
	p->port->starttls_offered = false;
	if (p->d->password.len && p->reply.len)
		probe_mask_password(p, &p->reply);
	for (struct span rest = buf_span(&p->reply); rest.ptr;) {
		struct span line = span_cut(&rest, '\n');

		if (p->port->protocol == DOCTOR_SMTP)
			line = span_from(line, 4);
		if (span_eq_nocase(span_trim(line), SPAN_LIT("STARTTLS")) || span_eq_nocase(span_trim(line), SPAN_LIT("STLS")))
			p->port->starttls_offered = true;
		else if (span_starts_nocase(line, SPAN_LIT("AUTH ")) && !words.len)
			buf_add_safe(&words, span_trim(span_from(line, 5)), 100);
		else if (span_starts_nocase(line, SPAN_LIT("SASL ")) || (span_eq_nocase(line, SPAN_LIT("USER")) && !words.len))
			buf_add_safe(&words, line, 100);
		else if (span_starts_nocase(line, SPAN_LIT("SIZE ")) &&
			 num_parse(span_trim(span_from(line, 5)), UINT64_MAX, &p->port->size_bytes) != RC_OK)
			p->port->size_bytes = 0;
		if (p->port->protocol == DOCTOR_IMAP && span_find_span(line, SPAN_LIT("STARTTLS")) < line.len)
			p->port->starttls_offered = true;
	}
	*auth = doctor_keep(p->d, buf_cstr(&words));
	buf_clear(&words);
}

/* EHLO with the address as it is seen on this side, as mail programs do (RFC 5321 4.1.3); CAPA; CAPABILITY */
static bool probe_offer(struct probe *p)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char name[NI_MAXHOST] = "127.0.0.1";

	if (p->port->protocol == DOCTOR_POP3)
		buf_add_str(&p->command, "CAPA");
	else if (p->port->protocol == DOCTOR_IMAP)
		buf_add_str(&p->command, "a CAPABILITY");
	else {
		if (getsockname(p->wire.fd, (struct sockaddr *)&own, &len) == 0)
			(void)getnameinfo((struct sockaddr *)&own, len, name, sizeof(name), NULL, 0, NI_NUMERICHOST);
		name[strcspn(name, "%")] = '\0';
		buf_printf(&p->command, "EHLO [%s%s]", strchr(name, ':') ? "IPv6:" : "", name);
	}
	if (!probe_ask(p, DOCTOR_AT_OFFER, p->port->protocol == DOCTOR_SMTP ? "EHLO" : "CAPA", p->port->protocol == DOCTOR_POP3))
		return false;
	if (p->code >= 300 && p->port->protocol == DOCTOR_SMTP) {
		probe_refused(p, DOCTOR_AT_OFFER, "EHLO", NULL);
		return false;
	}
	probe_take_offer(p);
	return true;
}

/* STARTTLS where it is offered, or its absence; false: it ends here */
static bool probe_starttls(struct probe *p)
{
	static const char *const verbs[] = {[DOCTOR_SMTP] = "STARTTLS", [DOCTOR_POP3] = "STLS", [DOCTOR_IMAP] = "a STARTTLS"};

	if (p->port->security == DOCTOR_TLS || p->port->wanted == DOCTOR_NONE)
		return true;
	if (!p->port->starttls_offered) {
		bool open = p->port->auth_clear[0] || p->port->protocol != DOCTOR_SMTP;

		if (p->port->wanted == DOCTOR_STARTTLS || (open && !p->d->allow_cleartext))
			probe_fail(p, "tls-not-offered", DOCTOR_AT_TLS,
				   p->port->auth_clear[0] ? "sign-in is offered, but no encryption; the password was not sent"
							  : "no encryption is offered",
				   SPAN_NONE);
		return !p->port->slug[0];
	}
	if (!probe_say(p, DOCTOR_AT_TLS, verbs[p->port->protocol]))
		return false;
	if (p->code >= 300) {
		probe_refused(p, DOCTOR_AT_TLS, "STARTTLS is offered, but refused",
			      p->code < 500 ? "tls-temporarily-unavailable" : "tls-not-offered");
		return false;
	}
	if (p->wire.in.len) { /* RFC 3207 4.2: nobody can tell who said it */
		probe_fail(p, "tls-injection", DOCTOR_AT_TLS, "text came behind the answer to STARTTLS, before the encryption",
			   buf_span(&p->wire.in));
		return false;
	}
	return probe_tls(p, true) && probe_offer(p);
}

static bool probe_offers(const char *list, const char *mechanism)
{
	for (struct span rest = span_str(list); rest.ptr;)
		if (span_eq_nocase(span_cut(&rest, ' '), span_str(mechanism)))
			return true;
	return false;
}

static void probe_add_login(struct probe *p)
{
	struct buf secret;

	buf_init_secret(&secret, PROBE_COMMAND_BYTES);
	buf_add_str(&p->command, "AUTH PLAIN ");
	buf_add_byte(&secret, '\0');
	buf_add_str(&secret, p->d->login);
	buf_add_byte(&secret, '\0');
	buf_add(&secret, buf_span(&p->d->password));
	b64_encode(&p->command, buf_span(&secret));
	buf_clear(&secret);
}

static bool probe_ask_sign_in(struct probe *p, const char *mechanisms)
{
	if (p->port->protocol == DOCTOR_POP3) {
		buf_printf(&p->command, "USER %s", p->d->login);
		if (!probe_ask(p, DOCTOR_AT_SIGN_IN, "USER", false) || p->code >= 300)
			return p->code != 0;
		buf_add_str(&p->command, "PASS ");
		buf_add(&p->command, buf_span(&p->d->password));
	} else if (probe_offers(mechanisms, "PLAIN")) {
		probe_add_login(p);
	} else {
		if (!probe_say(p, DOCTOR_AT_SIGN_IN, "AUTH LOGIN") || p->code != 334)
			return p->code != 0;
		b64_encode(&p->command, span_str(p->d->login));
		if (!probe_ask(p, DOCTOR_AT_SIGN_IN, "the user name", false) || p->code != 334)
			return p->code != 0;
		b64_encode(&p->command, buf_span(&p->d->password));
	}
	return probe_ask(p, DOCTOR_AT_SIGN_IN, "signing in", false);
}

static bool probe_sign_in(struct probe *p)
{
	const char *mechanisms = p->port->security > DOCTOR_NONE ? p->port->auth_tls : p->port->auth_clear;

	if (!mechanisms[0] && p->port->protocol == DOCTOR_SMTP && (p->d->password.len || !p->d->to)) {
		if (p->port->starttls_offered && p->port->security == DOCTOR_NONE)
			probe_fail(p, "tls-required", DOCTOR_AT_OFFER, "STARTTLS is offered, sign-in without it is not", SPAN_NONE);
		else
			probe_fail(p, "auth-not-advertised", DOCTOR_AT_OFFER, "the answer to EHLO offers no sign-in", buf_span(&p->reply));
	}
	if (p->port->slug[0])
		return false;
	if (!p->d->password.len)
		return true;
	if (p->d->password_refused)
		probe_fail(p, p->d->refused_slug, DOCTOR_AT_SIGN_IN, "the password was refused before, so it is not tried here", SPAN_NONE);
	else if (p->port->security == DOCTOR_NONE && !p->d->allow_cleartext)
		probe_fail(p, "tls-not-offered", DOCTOR_AT_TLS, "no encryption is offered; the password was not sent", SPAN_NONE);
	if (p->port->slug[0])
		return false;
	if (p->port->protocol == DOCTOR_SMTP && !probe_offers(mechanisms, "PLAIN") && !probe_offers(mechanisms, "LOGIN")) {
		probe_fail(p, "auth-mechanism-unknown", DOCTOR_AT_SIGN_IN, "neither PLAIN nor LOGIN is offered", span_str(mechanisms));
		return false;
	}
	if (!probe_ask_sign_in(p, mechanisms))
		return false;
	p->port->signed_in = p->code < 300;
	if (!p->port->signed_in) {
		bool wrong = p->port->protocol == DOCTOR_SMTP
				     ? p->code == 535
				     : span_find_span(buf_span(&p->reply), SPAN_LIT("[AUTH]")) < p->reply.len; /* RFC 3206 */

		probe_refused(p, DOCTOR_AT_SIGN_IN, "signing in", wrong ? "auth-bad-credentials" : NULL);
		p->d->password_refused = wrong || p->port->protocol == DOCTOR_POP3;
		p->d->refused_slug = p->port->slug;
	}
	return p->port->signed_in;
}

static bool probe_recipient(struct probe *p, const char *to)
{
	buf_printf(&p->command, "RCPT TO:<%s>", to);
	if (!probe_ask(p, DOCTOR_AT_RECIPIENT, "RCPT", false))
		return false;
	if (p->code >= 300)
		probe_refused(p, DOCTOR_AT_RECIPIENT, "RCPT", NULL);
	return p->code < 300;
}

static bool probe_message(struct probe *p, const char *from, const char *to)
{
	time_t now = time(NULL);
	char date[64] = "";
	struct tm tm;

	if (!probe_say(p, DOCTOR_AT_MESSAGE, "DATA"))
		return false;
	if (p->code == 354) {
		if (gmtime_r(&now, &tm))
			(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
		buf_printf(&p->command,
			   "Date: %s\r\nFrom: <%s>\r\nTo: <%s>\r\nMessage-ID: <%llx.%llx%s>\r\nSubject: mailroom doctor\r\n\r\n", date,
			   from, to, (unsigned long long)now, (unsigned long long)clock_mono_ms(), strchr(from, '@'));
		buf_add_str(&p->command, "This message was sent to see whether mail gets through.\r\n.");
		if (!probe_ask(p, DOCTOR_AT_MESSAGE, "the message", false))
			return false;
	}
	p->port->sent = p->d->sent = p->code < 300;
	if (!p->port->sent)
		probe_refused(p, DOCTOR_AT_MESSAGE, "the message", NULL);
	return p->port->sent;
}

/* sender and recipients; without a password only where it was asked whether --to would be taken */
static bool probe_envelope(struct probe *p)
{
	const char *from = strchr(p->d->address, '@') ? p->d->address : p->d->login && strchr(p->d->login, '@') ? p->d->login : NULL;
	const char *to = p->d->to ? p->d->to : from;

	if (!from || (!p->port->signed_in && !p->d->to && !p->d->send))
		return true;
	buf_printf(&p->command, "MAIL FROM:<%s>", from);
	if (!probe_ask(p, DOCTOR_AT_SENDER, "MAIL", false))
		return false;
	if (p->code >= 300) {
		probe_refused(p, DOCTOR_AT_SENDER, "MAIL", NULL);
		return false;
	}
	p->port->recipient_taken = probe_recipient(p, to);
	if (!p->port->recipient_taken)
		return false;
	return p->d->send && !p->d->sent ? probe_message(p, from, to) : probe_say(p, DOCTOR_AT_MESSAGE, "RSET");
}

/* one connection from the greeting to the end */
static void probe_talk(struct probe *p, bool tls)
{
	if (!p->port->security)
		p->port->security = DOCTOR_NONE;
	if ((tls && !probe_tls(p, false)) || !probe_greeting(p, tls) || (p->port->slug[0] && p->port->protocol == DOCTOR_UNKNOWN))
		return;
	if (!probe_offer(p) || !probe_starttls(p) || p->port->protocol == DOCTOR_IMAP)
		goto out;
	if (!probe_sign_in(p) || p->port->protocol != DOCTOR_SMTP)
		goto out;
	(void)probe_envelope(p);
out:
	p->port->fine = !p->port->slug[0];
	probe_bye(p);
}

static void probe_connect(struct probe *p, bool tls)
{
	doctor_wire_init(&p->wire, p->d->wait_ms);
	p->code = 0;
	p->port->protocol = DOCTOR_UNKNOWN;
	p->port->security = DOCTOR_ANY;
	p->port->net = doctor_wire_dial(&p->wire, p->host, p->port->number);
	if (p->port->net == DOCTOR_OPEN)
		probe_talk(p, tls);
}

/* a port that did not speak as it was set: the other way, to know which it is */
static void probe_other_way(struct probe *p)
{
	enum doctor_security wanted = p->port->wanted;
	bool tls = p->plain_silent;
	struct span said = buf_span(&p->wire.in);

	if (p->answers_plain && (wanted != DOCTOR_ANY || probe_protocol_of(said) == DOCTOR_UNKNOWN)) {
		bool mail = probe_protocol_of(said) != DOCTOR_UNKNOWN;

		probe_fail(p, mail ? "tls-mode-mismatch" : "foreign-protocol", DOCTOR_AT_TLS, "TLS was answered in the clear", said);
		return;
	}
	doctor_wire_clear(&p->wire);
	p->plain_silent = p->answers_plain = false;
	probe_connect(p, tls);
	if (tls && wanted == DOCTOR_STARTTLS && p->port->security == DOCTOR_TLS) {
		p->port->slug = "";
		p->port->fine = false;
		probe_fail(p, "tls-mode-mismatch", DOCTOR_AT_TLS, "the port says nothing in the clear, but speaks TLS from the first byte",
			   SPAN_NONE);
	} else if (p->answers_plain) {
		probe_fail(p, "foreign-protocol", DOCTOR_AT_GREETING, "the port gives no greeting, and answers TLS in the clear",
			   buf_span(&p->wire.in));
	} else if (p->plain_silent) {
		probe_broken(p, DOCTOR_WIRE_SILENT, DOCTOR_AT_GREETING, "the connection is taken, but no greeting comes");
	}
}

void doctor_probe(struct doctor *d, const struct doctor_host *host, struct doctor_port *port)
{
	static const char *const nets[] = {[DOCTOR_REFUSED] = "connection refused",
					   [DOCTOR_TIMED_OUT] = "no answer to the connection",
					   [DOCTOR_UNREACHABLE] = "no way there from here"};
	struct probe p = {.d = d, .port = port, .host = host};
	bool tls = port->wanted == DOCTOR_TLS ||
		   (port->wanted == DOCTOR_ANY && (port->number == 465 || port->number == 993 || port->number == 995));

	doctor_progress("trying %s port %u%s%s", host->name, port->number, port->wanted ? " with " : "",
			port->wanted ? doctor_security_name(port->wanted) : "");
	buf_init_secret(&p.command, PROBE_COMMAND_BYTES);
	buf_init(&p.reply, DOCTOR_PEER_BYTES);
	probe_connect(&p, tls);
	if (port->net == DOCTOR_OPEN && !port->slug[0] && (p.plain_silent || p.answers_plain))
		probe_other_way(&p);
	if (port->net != DOCTOR_OPEN && !port->slug[0])
		probe_fail(&p, port->net == DOCTOR_UNREACHABLE ? "remote-unreachable" : "port-blocked-or-wrong-host", DOCTOR_AT_CONNECT,
			   nets[port->net], SPAN_NONE);
	if (!port->slug[0] && !port->fine)
		probe_fail(&p, "insufficient-text", DOCTOR_AT_GREETING, "the server behaves differently from one connection to the next", SPAN_NONE);
	if (!port->slug[0])
		port->stage = DOCTOR_AT_END;
	doctor_progress("  %s", port->slug[0] ? port->evidence : "works");
	doctor_wire_clear(&p.wire);
	buf_clear(&p.command);
	buf_clear(&p.reply);
}
