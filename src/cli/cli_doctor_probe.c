/* One port: what it speaks, how it is encrypted, whether it lets one sign in and send. */
#include "cli/cli_doctor_probe.h"

enum { PROBE_GREETING_BYTES = 200 };

/* the first line, and what it looks like; more may follow */
static void probe_note_greeting(struct probe *p, struct span line)
{
	p->port->greeting = doctor_greeting_kind(line);
	p->port->protocol = doctor_greeting_protocol(p->port->greeting);
	p->port->banner = doctor_keep_safe(p->d, span_head(line, PROBE_GREETING_BYTES));
	p->port->banner_host = p->port->protocol == DOCTOR_SMTP ? doctor_keep_safe(p->d, doctor_greeting_host(line)) : "";
	doctor_note_date(p->d, line, p->port->host->name);
}

static bool probe_greeting(struct probe *p, bool tls)
{
	mono_ms deadline = doctor_wire_deadline(&p->wire);
	enum doctor_wire_rc rc;
	struct span line;
	bool last = true;

	buf_reset(&p->reply);
	rc = doctor_wire_line(&p->wire, deadline, &line);
	if (rc != DOCTOR_WIRE_OK) {
		if (p->wire.in.len)
			p->port->greeting = doctor_greeting_kind(buf_span(&p->wire.in));
		if (!p->wire.in.len && rc != DOCTOR_WIRE_FLOOD && !tls) {
			p->plain_silent = true;
			if (p->port->wanted != DOCTOR_NONE)
				return false; /* it may wait for TLS: seen next */
		}
		probe_broken(p, rc, DOCTOR_AT_GREETING, "the connection is taken, but no greeting comes");
		return false;
	}
	buf_add(&p->reply, line);
	probe_note_greeting(p, line);
	if (p->port->protocol == DOCTOR_SMTP)
		p->code = doctor_reply_code(DOCTOR_SMTP, line, &last);
	else
		p->code = span_starts(line, SPAN_LIT("-ERR")) || span_starts(line, SPAN_LIT("* BYE")) ? 500 : 200;
	for (unsigned lines = 1; !last && rc == DOCTOR_WIRE_OK; lines++) {
		rc = lines < DOCTOR_REPLY_LINES ? doctor_wire_line(&p->wire, deadline, &line) : DOCTOR_WIRE_FLOOD;
		if (rc == DOCTOR_WIRE_OK && !doctor_reply_code(DOCTOR_SMTP, line, &last))
			last = true;
	}
	if (rc != DOCTOR_WIRE_OK)
		probe_broken(p, rc, DOCTOR_AT_GREETING, "the greeting does not end");
	else if (p->port->protocol == DOCTOR_UNKNOWN)
		probe_fail_cause(p, CAUSE_FOREIGN_PROTOCOL, DOCTOR_AT_GREETING, "the greeting is no mail server's", buf_span(&p->reply));
	else if (p->code >= 300)
		probe_refused(p, DOCTOR_AT_GREETING, "the greeting is a refusal", CAUSE_NONE);
	return !p->port->slug[0];
}

/* ---- encryption */

static void probe_certificate(struct probe *p)
{
	struct doctor_certificate c;
	struct buf words, wrong;

	buf_init(&words, DOCTOR_TEXT_BYTES * 2);
	buf_init(&wrong, DOCTOR_TEXT_BYTES * 2);
	c = doctor_wire_certificate(&p->wire, p->port->host->name, &words, &wrong);
	p->port->certificate = doctor_keep(p->d, buf_cstr(&words));
	p->port->cert_early = c.early;
	p->port->cert_late = c.late;
	if (c.slug)
		probe_fail(p, c.slug, DOCTOR_AT_TLS, buf_cstr(&wrong), SPAN_NONE);
	buf_clear(&words);
	buf_clear(&wrong);
}

/* the encryption itself; false: noted, or answered in the clear */
static bool probe_tls(struct probe *p, bool starttls)
{
	enum doctor_wire_rc rc = doctor_wire_tls(&p->wire, p->port->host->name);

	if (rc == DOCTOR_WIRE_PLAIN && !starttls) {
		p->answers_plain = true;
		return false;
	}
	if (rc == DOCTOR_WIRE_CLOSED && starttls)
		p->wire.reason = "the connection was closed";
	if (rc == DOCTOR_WIRE_PLAIN || rc == DOCTOR_WIRE_FAILED || (rc == DOCTOR_WIRE_CLOSED && starttls)) {
		p->code = 0; /* nothing can be said on it any more */
		probe_fail_cause(p, CAUSE_TLS_HANDSHAKE_FAILED, DOCTOR_AT_TLS, "the encryption could not be agreed",
				 rc == DOCTOR_WIRE_PLAIN ? buf_span(&p->wire.in) : span_str(p->wire.reason));
		return false;
	}
	if (rc != DOCTOR_WIRE_OK) {
		p->code = 0;
		probe_broken(p, rc, starttls ? DOCTOR_AT_TLS : DOCTOR_AT_GREETING,
			     "the connection is taken, but neither a greeting nor TLS comes");
		return false;
	}
	p->port->security = starttls ? DOCTOR_STARTTLS : DOCTOR_TLS;
	probe_certificate(p);
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
			probe_fail_cause(p, CAUSE_TLS_NOT_OFFERED, DOCTOR_AT_TLS,
					 p->port->auth_clear[0] ? "sign-in is offered, but no encryption; the password was not sent"
								: "no encryption is offered",
					 SPAN_NONE);
		return !p->port->slug[0];
	}
	if (!probe_say(p, DOCTOR_AT_TLS, verbs[p->port->protocol]))
		return false;
	if (p->code >= 300) {
		probe_refused(p, DOCTOR_AT_TLS, "STARTTLS is offered, but refused",
			      p->code < 500 ? CAUSE_TLS_TEMPORARILY_UNAVAILABLE : CAUSE_TLS_NOT_OFFERED);
		return false;
	}
	if (p->wire.in.len) { /* RFC 3207 4.2: nobody can tell who said it */
		probe_fail_cause(p, CAUSE_TLS_INJECTION, DOCTOR_AT_TLS, "text came behind the answer to STARTTLS, before the encryption",
				 buf_span(&p->wire.in));
		return false;
	}
	return probe_tls(p, true) && probe_offer(p);
}

/* ---- one connection from the greeting to the end */

static void probe_talk(struct probe *p, bool tls)
{
	if (!p->port->security)
		p->port->security = DOCTOR_NONE;
	if ((tls && !probe_tls(p, false)) || !probe_greeting(p, tls) || (p->port->slug[0] && p->port->protocol == DOCTOR_UNKNOWN))
		return;
	if (probe_offer(p) && probe_starttls(p) && probe_sign_in(p) && p->port->protocol == DOCTOR_SMTP)
		probe_envelope(p);
	if (p->port->protocol != DOCTOR_SMTP && p->d->facts.ports_given && (p->d->send || p->d->to))
		probe_fail_cause(p, CAUSE_WRONG_PORT, DOCTOR_AT_GREETING, "a server for fetching mail answers there, and sending was asked for",
				 span_str(p->port->banner));
	p->port->fine = !p->port->slug[0];
	probe_bye(p);
}

static unsigned probe_connect_ms(const struct probe *p)
{
	const struct doctor_facts *f = &p->d->facts;
	unsigned drops = 0;

	for (size_t i = 0; i < f->port_count; i++)
		drops += f->ports[i].host == p->port->host && f->ports[i].net == DOCTOR_TIMED_OUT;
	return drops < DOCTOR_DROPS ? DOCTOR_CONNECT_MS : DOCTOR_CONNECT_DROPPED_MS;
}

static void probe_connect(struct probe *p, bool tls)
{
	doctor_wire_init(&p->wire, p->d->wait_ms, p->d->end);
	p->code = 0;
	p->port->protocol = DOCTOR_UNKNOWN;
	p->port->security = DOCTOR_ANY;
	p->port->net = doctor_wire_dial(&p->wire, p->port->host, p->port->number, probe_connect_ms(p));
	if (p->port->net == DOCTOR_OPEN)
		probe_talk(p, tls);
}

/* a port that did not speak as it was set: the other way, to know which it is */
static void probe_other_way(struct probe *p)
{
	enum doctor_security wanted = p->port->wanted;
	enum doctor_greeting kind = doctor_greeting_kind(buf_span(&p->wire.in));
	bool tls = p->plain_silent, mail = doctor_greeting_protocol(kind) != DOCTOR_UNKNOWN;

	if (p->answers_plain && (wanted != DOCTOR_ANY || !mail)) {
		p->port->greeting = kind;
		probe_fail_cause(p, mail ? CAUSE_TLS_MODE_MISMATCH : CAUSE_FOREIGN_PROTOCOL, DOCTOR_AT_TLS, "TLS was answered in the clear",
				 buf_span(&p->wire.in));
		return;
	}
	doctor_wire_clear(&p->wire);
	p->plain_silent = p->answers_plain = false;
	probe_connect(p, tls);
	if (tls && wanted == DOCTOR_STARTTLS && p->port->security == DOCTOR_TLS) {
		p->port->slug = "";
		p->port->fine = false;
		probe_fail_cause(p, CAUSE_TLS_MODE_MISMATCH, DOCTOR_AT_TLS,
				 "the port says nothing in the clear, but speaks TLS from the first byte", SPAN_NONE);
	} else if (p->answers_plain) {
		p->port->greeting = doctor_greeting_kind(buf_span(&p->wire.in));
		probe_fail_cause(p, CAUSE_FOREIGN_PROTOCOL, DOCTOR_AT_GREETING, "the port gives no greeting, and answers TLS in the clear",
				 buf_span(&p->wire.in));
	} else if (p->plain_silent) {
		probe_broken(p, DOCTOR_WIRE_SILENT, DOCTOR_AT_GREETING, "the connection is taken, but no greeting comes");
	}
}

static void probe_port(struct probe *p)
{
	static const char *const nets[] = {[DOCTOR_REFUSED] = "connection refused",
					   [DOCTOR_TIMED_OUT] = "no answer to the connection",
					   [DOCTOR_UNREACHABLE] = "no way there from here"};
	struct doctor_port *port = p->port;
	bool tls = port->wanted == DOCTOR_TLS ||
		   (port->wanted == DOCTOR_ANY && (port->number == 465 || port->number == 993 || port->number == 995));

	probe_connect(p, tls);
	if (port->net == DOCTOR_OPEN && !port->slug[0] && (p->plain_silent || p->answers_plain))
		probe_other_way(p);
	if (port->net != DOCTOR_OPEN && !port->slug[0])
		probe_fail_cause(p, port->net == DOCTOR_UNREACHABLE ? CAUSE_REMOTE_UNREACHABLE : CAUSE_PORT_BLOCKED_OR_WRONG_HOST,
				 DOCTOR_AT_CONNECT, nets[port->net], SPAN_NONE);
	if (!port->slug[0] && !port->fine)
		probe_fail_cause(p, CAUSE_INSUFFICIENT_TEXT, DOCTOR_AT_GREETING,
				 "the server behaves differently from one connection to the next", SPAN_NONE);
	if (!port->slug[0])
		port->stage = DOCTOR_AT_END;
}

void doctor_probe(struct doctor *d, struct doctor_port *port)
{
	struct probe p = {.d = d, .port = port};

	doctor_progress("trying %s port %u%s%s", port->host->name, port->number, port->wanted ? " with " : "",
			port->wanted ? doctor_security_name(port->wanted) : "");
	buf_init_secret(&p.command, PROBE_COMMAND_BYTES);
	buf_init(&p.reply, DOCTOR_PEER_BYTES * 2);
	buf_init(&p.refusal, DOCTOR_PEER_BYTES * 2);
	doctor_offer_init(&p.offer);
	probe_port(&p);
	doctor_progress("  %s", port->slug[0] ? port->evidence : "works");
	doctor_wire_clear(&p.wire);
	doctor_offer_clear(&p.offer);
	buf_clear(&p.command);
	buf_clear(&p.reply);
	buf_clear(&p.refusal);
}
