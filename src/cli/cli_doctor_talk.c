/* Commands and replies of the three protocols. */
#include <netdb.h>

#include "cli/cli_doctor_probe.h"

/* A whole reply. One that is none of the protocol gives code 0, as do lines of one reply with different codes (RFC 5321 4.2.1). */
static enum doctor_wire_rc talk_reply(struct probe *p, bool body)
{
	mono_ms deadline = doctor_wire_deadline(&p->wire);
	struct span line;
	bool last = false;

	buf_reset(&p->reply);
	p->code = 0;
	for (unsigned lines = 0; !last; lines++) {
		enum doctor_wire_rc rc = lines < DOCTOR_REPLY_LINES ? doctor_wire_line(&p->wire, deadline, &line) : DOCTOR_WIRE_FLOOD;
		unsigned code;

		if (rc != DOCTOR_WIRE_OK)
			return rc;
		if (lines)
			buf_add_byte(&p->reply, '\n');
		buf_add(&p->reply, line);
		if (body && lines) {
			last = span_eq(line, SPAN_LIT("."));
			continue;
		}
		code = doctor_reply_code(p->port->protocol, line, &last);
		p->code = lines && p->port->protocol == DOCTOR_SMTP && code != p->code ? 0 : code;
		if (!p->code)
			break;
		if (body && p->code == 200)
			last = false;
	}
	probe_mask_password(p, &p->reply);
	return DOCTOR_WIRE_OK;
}

bool probe_ask(struct probe *p, enum doctor_stage stage, const char *what, bool body)
{
	enum doctor_wire_rc rc;
	bool fits;

	buf_add_str(&p->command, "\r\n");
	fits = !p->command.overflow;
	rc = fits ? doctor_wire_send(&p->wire, buf_span(&p->command)) : DOCTOR_WIRE_CLOSED;
	buf_reset(&p->command);
	/* a server that closes may have said why before */
	if (fits && (rc == DOCTOR_WIRE_OK || rc == DOCTOR_WIRE_CLOSED))
		rc = talk_reply(p, body);
	if (rc != DOCTOR_WIRE_OK) {
		probe_broken(p, rc, stage, what);
		return false;
	}
	if (!p->code)
		probe_fail_cause(p, CAUSE_FOREIGN_PROTOCOL, stage, what, buf_span(&p->reply));
	return p->code != 0;
}

bool probe_say(struct probe *p, enum doctor_stage stage, const char *command)
{
	buf_add_str(&p->command, command);
	return probe_ask(p, stage, command, false);
}

void probe_bye(struct probe *p)
{
	struct doctor_port kept = *p->port;

	if (p->wire.fd >= 0 && p->code && p->code != 421 && p->port->protocol)
		(void)probe_say(p, DOCTOR_AT_END, p->port->protocol == DOCTOR_IMAP ? "a LOGOUT" : "QUIT");
	*p->port = kept;
}

static void talk_take_offer(struct probe *p)
{
	const char **auth = p->port->security > DOCTOR_NONE ? &p->port->auth_tls : &p->port->auth_clear;

	doctor_offer_read(&p->offer, p->port->protocol, buf_span(&p->reply));
	p->port->starttls_offered = p->offer.starttls;
	p->port->size_bytes = p->offer.size_bytes;
	p->port->masked = p->port->masked || (p->offer.masked && p->port->security <= DOCTOR_NONE);
	*auth = doctor_keep(p->d, buf_cstr(&p->offer.auth));
}

/* EHLO with the address as it is seen on this side, as mail programs do (RFC 5321 4.1.3); CAPA; CAPABILITY */
bool probe_offer(struct probe *p)
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
		probe_refused(p, DOCTOR_AT_OFFER, "EHLO", CAUSE_NONE);
		return false;
	}
	talk_take_offer(p);
	return true;
}
