/* Sender, recipients, size, perhaps a message; and the server's own word on what it refused. */
#include <time.h>

#include "answer/doctor_xwhy.h"
#include "cli/cli_doctor_probe.h"

/* a domain that nobody has (RFC 2606 3); the address has another */
static const char *send_foreign(const struct doctor *d)
{
	return strcmp(doctor_domain(d), "example.net") == 0 ? "postmaster@example.com" : "postmaster@example.net";
}

/* A server that offers sign-in and refuses whoever did not, in words that say nothing else, wants that first. */
static void send_refused(struct probe *p, enum doctor_stage stage, const char *what)
{
	static const enum cause_id vague[] = {CAUSE_CLIENT_HOST_DENIED, CAUSE_POLICY_UNSPECIFIED, CAUSE_INSUFFICIENT_TEXT};
	bool offered = p->port->auth_clear[0] || p->port->auth_tls[0];

	probe_refused(p, stage, what, CAUSE_NONE);
	for (size_t i = 0; i < sizeof(vague) / sizeof(vague[0]); i++)
		if (offered && !p->port->signed_in && p->code >= 500 && strcmp(p->port->slug, cause_slug(vague[i])) == 0)
			p->port->slug = cause_slug(CAUSE_AUTH_REQUIRED);
}

static bool send_recipient(struct probe *p, const char *to)
{
	buf_printf(&p->command, "RCPT TO:<%s>", to);
	if (!probe_ask(p, DOCTOR_AT_RECIPIENT, "RCPT", false))
		return false;
	if (p->code >= 300)
		send_refused(p, DOCTOR_AT_RECIPIENT, "RCPT");
	return p->code < 300;
}

/* Would mail for elsewhere be taken? Nobody gets any: it ends with RSET. What is said about the domain, which takes no mail, does not
 * count. */
static bool send_relay(struct probe *p)
{
	static const enum cause_id causes[] = {
		CAUSE_RELAY_DENIED_UNAUTH,   CAUSE_RELAY_DENIED_ADDRESS,   CAUSE_RELAY_CREDENTIALS,
		CAUSE_AUTH_REQUIRED,	     CAUSE_RCPT_DOMAIN_NOT_HOSTED, CAUSE_RCPT_NOT_ALLOWED_FOR_ACCOUNT,
		CAUSE_SUBMISSION_ON_PORT_25, CAUSE_POP_BEFORE_SMTP,	   CAUSE_RELAY_WINDOW_CLOSED};
	struct doctor_port before = *p->port;
	bool taken = send_recipient(p, send_foreign(p->d)), denied = false;

	p->port->relayed = taken;
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		denied = denied || strcmp(p->port->slug, cause_slug(causes[i])) == 0;
	if (!taken && p->code && !denied)
		*p->port = before;
	return !p->port->slug[0];
}

static bool send_message(struct probe *p, const char *from, const char *to)
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
			   from, to, (unsigned long long)now, (unsigned long long)clock_mono_ms(), strrchr(from, '@'));
		buf_add_str(&p->command, "This message was sent to see whether mail gets through.\r\n.");
		if (!probe_ask(p, DOCTOR_AT_MESSAGE, "the message", false))
			return false;
	}
	p->port->sent = p->d->sent = p->code < 300;
	if (!p->port->sent)
		probe_refused(p, DOCTOR_AT_MESSAGE, "the message", CAUSE_NONE);
	return p->port->sent;
}

static bool send_sender(struct probe *p, const char *from)
{
	uint64_t limit = p->port->size_bytes, size = p->d->size_bytes;

	if (size && limit && size > limit) {
		struct buf words;

		buf_init(&words, DOCTOR_TEXT_BYTES);
		buf_printf(&words, "the server takes messages of up to %llu bytes (SIZE); %llu were asked for", (unsigned long long)limit,
			   (unsigned long long)size);
		probe_fail_cause(p, CAUSE_MESSAGE_TOO_BIG, DOCTOR_AT_SENDER, buf_cstr(&words), SPAN_NONE);
		buf_clear(&words);
		return false;
	}
	buf_printf(&p->command, "MAIL FROM:<%s>", from);
	if (size && limit) /* the keyword was there (RFC 1870 6) */
		buf_printf(&p->command, " SIZE=%llu", (unsigned long long)size);
	if (!probe_ask(p, DOCTOR_AT_SENDER, "MAIL", false))
		return false;
	if (p->code >= 300)
		send_refused(p, DOCTOR_AT_SENDER, "MAIL");
	return p->code < 300;
}

/* Asks the server itself why (XWHY): it knows better than its words tell, and perhaps of what happened to the mail program before. */
static void send_ask_why(struct probe *p)
{
	struct doctor_facts *f = &p->d->facts;
	struct doctor_port kept = *p->port;
	unsigned refused = kept.slug[0] ? p->refused_code : 0;
	const struct doctor_event *e;

	if (!p->offer.xwhy || !p->port->signed_in || f->event_count)
		return;
	if (!probe_say(p, DOCTOR_AT_END, "XWHY") || p->code != 250) {
		*p->port = kept;
		return;
	}
	f->event_count = doctor_xwhy_read(buf_span(&p->reply), p->d->mem, f->events, DOCTOR_EVENTS);
	*p->port = kept;
	e = refused ? doctor_xwhy_match(f->events, f->event_count, refused, buf_span(&p->refusal)) : NULL;
	if (e) {
		struct buf words;

		buf_init(&words, DOCTOR_TEXT_BYTES * 4);
		buf_printf(&words, "%s%s%s%s%s, at %s, in answer to %s; it said: %s", e->slug, e->detail[0] ? ": " : "", e->detail,
			   e->limit[0] ? ", limit " : "", e->limit, e->at, e->command[0] ? e->command : "a command", kept.evidence);
		words.overflow = false;
		p->port->evidence = doctor_keep(p->d, buf_cstr(&words));
		p->port->slug = e->slug;
		p->port->server_said = true;
		buf_clear(&words);
	}
}

void probe_envelope(struct probe *p)
{
	const char *address = p->d->facts.address, *login = p->d->facts.login;
	const char *from = strchr(address, '@') ? address : strchr(login, '@') ? login : NULL;
	const char *to = p->d->to ? p->d->to : from;

	/* without a password only where it was asked whether --to would be taken */
	if (from && (p->port->signed_in || p->d->to || p->d->send) && send_sender(p, from)) {
		p->port->recipient_taken = send_recipient(p, to);
		if (p->port->recipient_taken && p->d->send && !p->d->sent)
			(void)send_message(p, from, to);
		else if (p->port->recipient_taken && (!p->port->signed_in || p->d->to || send_relay(p)))
			(void)probe_say(p, DOCTOR_AT_MESSAGE, "RSET");
	}
	if (p->code)
		send_ask_why(p);
}
