#include "answer/doctor_weigh.h"

#include <stdarg.h>

#include "cause/cause.h"

enum { WEIGH_BYTES = 2 * DOCTOR_TEXT_BYTES };

struct weigh {
	const struct doctor_facts *f;
	struct arena *mem;
	struct doctor_verdict *v;
	size_t net[DOCTOR_NOT_TRIED + 1]; /* ports of each kind */
};

static const char *weigh_keep(struct weigh *w, struct buf *text)
{
	const char *kept;

	text->overflow = false; /* the beginning will do */
	kept = arena_str(w->mem, buf_span(text));
	buf_clear(text);
	return kept ? kept : "";
}

static void __attribute__((format(printf, 2, 3))) weigh_note(struct weigh *w, const char *fmt, ...)
{
	char text[WEIGH_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (w->v->note_count < DOCTOR_NOTES) {
		const char *kept = arena_str(w->mem, span_str(text));

		w->v->notes[w->v->note_count++] = kept ? kept : "";
	}
}

static void __attribute__((format(printf, 3, 4))) weigh_set(struct weigh *w, enum cause_id cause, const char *fmt, ...)
{
	char text[WEIGH_BYTES];
	const char *kept;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	kept = arena_str(w->mem, span_str(text));
	w->v->evidence = kept ? kept : "";
	w->v->slug = cause_slug(cause);
}

static bool weigh_is_mailbox(const struct doctor_port *port)
{
	return port->protocol == DOCTOR_POP3 || port->protocol == DOCTOR_IMAP;
}

static bool weigh_is_mailbox_number(uint16_t number)
{
	return number == 110 || number == 995 || number == 143 || number == 993;
}

static bool weigh_is_slug(const struct doctor_port *port, enum cause_id cause)
{
	return strcmp(port->slug, cause_slug(cause)) == 0;
}

/* Sending works through one port, or everything that was asked for does. */
static bool weigh_is_fine(const struct doctor_facts *f)
{
	bool all = f->port_count > 0 && f->ports_given;

	for (size_t i = 0; i < f->port_count; i++) {
		const struct doctor_port *port = &f->ports[i];

		if (port->fine && port->protocol == DOCTOR_SMTP && !port->second)
			return true;
		all = all && (port->fine || port->second);
	}
	return all;
}

/* ---- names */

static void weigh_names(struct weigh *w)
{
	static const char *const words[] = {[DOCTOR_FOUND] = "found",
					    [DOCTOR_NO_NAME] = "there is no such name",
					    [DOCTOR_NO_ADDRESS] = "the name has no address",
					    [DOCTOR_DNS_FAILED] = "the name server answers that it cannot tell (SERVFAIL)",
					    [DOCTOR_DNS_SILENT] = "the name server does not answer",
					    [DOCTOR_NO_RESOLVER] = "no name server is set up on this computer"};
	static const enum cause_id causes[] = {
		[DOCTOR_FOUND] = CAUSE_SERVER_NAME_NO_ADDRESS,	    [DOCTOR_NO_NAME] = CAUSE_SERVER_NAME_UNKNOWN,
		[DOCTOR_NO_ADDRESS] = CAUSE_SERVER_NAME_NO_ADDRESS, [DOCTOR_DNS_FAILED] = CAUSE_DNS_FAILURE,
		[DOCTOR_DNS_SILENT] = CAUSE_DNS_RESOLVER_DOWN,	    [DOCTOR_NO_RESOLVER] = CAUSE_DNS_RESOLVER_DOWN};
	const struct doctor_host *worst = NULL;
	struct buf names;

	buf_init(&names, WEIGH_BYTES);
	for (size_t i = 0; i < w->f->host_count; i++) {
		const struct doctor_host *host = &w->f->hosts[i];

		if (!worst || host->lookup > worst->lookup)
			worst = host;
		buf_printf(&names, "%s%s", i ? ", " : "", host->name);
	}
	if (!worst) {
		weigh_set(w, CAUSE_SERVER_NAME_UNKNOWN, "%s: the name cannot be one of a server", w->f->address);
	} else if (worst->lookup >= DOCTOR_DNS_FAILED && !w->f->has_network) {
		weigh_set(w, CAUSE_NETWORK_DOWN, "no network interface of this computer leads anywhere, and %s cannot be looked up",
			  worst->name);
	} else {
		weigh_set(w, causes[worst->lookup], "%s: %s", worst->lookup >= DOCTOR_DNS_FAILED ? worst->name : buf_cstr(&names),
			  words[worst->lookup]);
		if (worst->lookup >= DOCTOR_DNS_FAILED && w->f->resolver[0])
			weigh_note(w, "asked for names: %s", w->f->resolver);
	}
	buf_clear(&names);
}

/* ---- nothing that could send let us in: what the network says */

static const char *weigh_list_ports(struct weigh *w)
{
	const char *host = NULL;
	struct buf words;

	buf_init(&words, WEIGH_BYTES);
	for (size_t i = 0; i < w->f->port_count; i++) {
		const struct doctor_port *port = &w->f->ports[i];

		if (host && strcmp(host, port->host->name) == 0)
			buf_printf(&words, ", %u %s", port->number, doctor_net_name(port->net));
		else
			buf_printf(&words, "%s%s port %u %s", i ? "; " : "", port->host->name, port->number, doctor_net_name(port->net));
		host = port->host->name;
	}
	return weigh_keep(w, &words);
}

/* does what was tried besides tell that the server lives, on other ports or under another name? */
static bool weigh_second(struct weigh *w, const struct doctor_port *first)
{
	for (size_t i = 0; i < w->f->port_count; i++) {
		const struct doctor_port *port = &w->f->ports[i];

		if (!port->second || port->protocol != DOCTOR_SMTP)
			continue;
		if (strcmp(port->host->name, first->host->name) == 0)
			weigh_set(w, CAUSE_WRONG_PORT, "%s port %u: %s; port %u answers as a mail server (%s)", first->host->name,
				  first->number, first->evidence, port->number,
				  port->fine ? doctor_security_name(port->security) : port->evidence);
		else
			weigh_set(w, CAUSE_WRONG_HOST, "%s port %u: %s; the domain names %s (%s), which answers on port %u",
				  first->host->name, first->number, first->evidence, port->host->name,
				  doctor_source_name(port->host->source), port->number);
		return true;
	}
	return false;
}

static void weigh_network(struct weigh *w)
{
	const struct doctor_facts *f = w->f;
	bool timed_out_25 = false, named = false, own = false;
	size_t sending = 0, timed_out = 0;
	const char *list = weigh_list_ports(w);

	for (size_t i = 0; i < f->port_count; i++) {
		const struct doctor_port *port = &f->ports[i];
		bool mailbox = weigh_is_mailbox(port) || weigh_is_mailbox_number(port->number);

		own = own || port->host->source == DOCTOR_GIVEN;
		named = named || port->host->source == DOCTOR_SRV || port->host->source == DOCTOR_AUTOCONFIG;
		timed_out_25 = timed_out_25 || (port->number == 25 && port->net == DOCTOR_TIMED_OUT);
		sending += !mailbox && port->net != DOCTOR_NOT_TRIED;
		timed_out += !mailbox && port->net == DOCTOR_TIMED_OUT;
	}
	if (timed_out_25 && timed_out == 1 && w->net[DOCTOR_REFUSED] + w->net[DOCTOR_OPEN])
		weigh_set(w, CAUSE_PORT25_OUTBOUND_BLOCKED, "%s", list);
	else if (weigh_second(w, &f->ports[0]))
		return;
	else if (!w->net[DOCTOR_OPEN] && !w->net[DOCTOR_REFUSED] && !w->net[DOCTOR_TIMED_OUT] && !f->has_network)
		weigh_set(w, CAUSE_NETWORK_DOWN, "no network interface of this computer leads anywhere; %s", list);
	else if (!w->net[DOCTOR_OPEN] && !w->net[DOCTOR_REFUSED] && !timed_out)
		weigh_set(w, CAUSE_REMOTE_UNREACHABLE, "%s", list);
	else if (timed_out && timed_out * 2 >= sending)
		weigh_set(w, CAUSE_FIREWALL_DROP, "%s", list);
	else if (named && !own && !w->net[DOCTOR_OPEN])
		weigh_set(w, CAUSE_SERVER_DOWN, "%s", list);
	else
		weigh_set(w, CAUSE_PORT_BLOCKED_OR_WRONG_HOST, "%s", list);
	if (f->proxy[0])
		weigh_note(w, "a web proxy is set in the environment (%s); mail does not go through it", f->proxy);
}

/* ---- signs that somebody else answers, which outweigh what the ports say for themselves */

static bool weigh_portal(struct weigh *w)
{
	size_t pages = 0, spoke = 0;
	const struct doctor_port *first = NULL;

	for (size_t i = 0; i < w->f->port_count; i++) {
		const struct doctor_port *port = &w->f->ports[i];

		spoke += port->net == DOCTOR_OPEN && port->greeting != DOCTOR_GREETING_NONE;
		if (port->greeting != DOCTOR_GREETING_HTTP)
			continue;
		first = first ? first : port;
		pages++;
	}
	if (w->f->portal[0] && !w->net[DOCTOR_OPEN]) {
		weigh_set(w, CAUSE_CAPTIVE_PORTAL, "%s; %s", w->f->portal, weigh_list_ports(w));
		return true;
	}
	/* one port with a web server on it is a wrong port; mail ports that all speak HTTP are somebody else */
	if (!first || pages != spoke || (pages < 2 && !w->f->portal[0]))
		return false;
	w->v->port = first;
	weigh_set(w, CAUSE_CAPTIVE_PORTAL, "%s port %u: %s%s%s", first->host->name, first->number, first->evidence,
		  w->f->portal[0] ? "; " : "", w->f->portal);
	return true;
}

static bool weigh_is_odd(uint16_t number, enum doctor_protocol protocol)
{
	bool pop3 = number == 110 || number == 995, imap = number == 143 || number == 993;

	return protocol && ((pop3 && protocol != DOCTOR_POP3) || (imap && protocol != DOCTOR_IMAP));
}

static bool weigh_middlebox(struct weigh *w)
{
	const struct doctor_port *odd = NULL, *smtp = NULL;
	size_t odds = 0;

	for (size_t i = 0; i < w->f->port_count; i++) {
		const struct doctor_port *port = &w->f->ports[i];

		if (port->greeting == DOCTOR_GREETING_MASKED || (port->masked && !port->starttls_offered && port->security != DOCTOR_TLS)) {
			w->v->port = port;
			weigh_set(w, CAUSE_MIDDLEBOX_IN_BETWEEN, "%s port %u: the words of %s are written over: %s", port->host->name,
				  port->number,
				  port->greeting == DOCTOR_GREETING_MASKED ? "its greeting" : "its offer, where STARTTLS would stand,",
				  port->banner);
			return true;
		}
		if (weigh_is_odd(port->number, port->protocol)) {
			odd = port;
			odds++;
		} else if (port->protocol == DOCTOR_SMTP) {
			smtp = port;
		}
	}
	if (odds < 2 || !smtp || strcmp(odd->banner, smtp->banner) != 0)
		return false;
	w->v->port = odd;
	weigh_set(w, CAUSE_MIDDLEBOX_IN_BETWEEN, "%s: the same greeting on every port, also on %u, where a mailbox server speaks: %s",
		  odd->host->name, odd->number, odd->banner);
	return true;
}

static bool weigh_clock(struct weigh *w, const struct doctor_port *port)
{
	const struct doctor_facts *f = w->f;
	int64_t ahead = f->clock_known ? f->clock_ahead_ms : 0;
	bool behind = ahead<-(int64_t)DOCTOR_CLOCK_MS, early = ahead>(int64_t) DOCTOR_CLOCK_MS;
	struct buf words;

	if ((!port->cert_early && !(port->cert_late && early)) || (port->cert_early && f->clock_known && !behind))
		return false;
	buf_init(&words, WEIGH_BYTES);
	buf_printf(&words, "%s port %u: %s", port->host->name, port->number, port->evidence);
	if (behind || early)
		buf_printf(&words, "; %s has a date that is %lld days %s this computer's", f->clock_from,
			   (long long)((behind ? -ahead : ahead) / DOCTOR_CLOCK_MS), behind ? "after" : "before");
	weigh_set(w, CAUSE_CLOCK_WRONG, "%s", weigh_keep(w, &words));
	return true;
}

/* ---- the port that let us come farthest */

/* 25 is for other servers, mailbox ports do not send: they count where there is nothing else */
static const struct doctor_port *weigh_farthest(const struct doctor_facts *f)
{
	const struct doctor_port *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < f->port_count; i++) {
		const struct doctor_port *port = &f->ports[i];
		bool mailbox = weigh_is_mailbox(port) || (!port->protocol && weigh_is_mailbox_number(port->number));
		bool second = port->number == 25 || (mailbox && !f->ports_given);
		int rank = (int)port->stage + (second ? 0 : DOCTOR_AT_END + 1);

		if (port->fine || port->second || port->net != DOCTOR_OPEN || (mailbox && !f->ports_given))
			continue;
		if (rank > best_rank) {
			best = port;
			best_rank = rank;
		}
	}
	return best;
}

/* only 25 lets us in, which is for other servers, while what mail programs use is swallowed on the way */
static bool weigh_only_25(const struct weigh *w, const struct doctor_port *port)
{
	if (port->number != 25 || w->f->ports_given || port->stage > DOCTOR_AT_OFFER)
		return false;
	return w->net[DOCTOR_TIMED_OUT] > 0;
}

static void weigh_ports(struct weigh *w)
{
	const struct doctor_port *port = weigh_farthest(w->f);

	if (weigh_portal(w))
		return;
	if (!port || weigh_only_25(w, port)) {
		weigh_network(w);
		return;
	}
	if (weigh_middlebox(w))
		return;
	w->v->port = port;
	if (weigh_clock(w, port))
		return;
	if ((weigh_is_slug(port, CAUSE_FOREIGN_PROTOCOL) || weigh_is_slug(port, CAUSE_PORT_BLOCKED_OR_WRONG_HOST)) && weigh_second(w, port))
		return;
	weigh_set(w, CAUSE_INSUFFICIENT_TEXT, "%s%s port %u: %s", port->server_said ? "the server itself says: " : "", port->host->name,
		  port->number, port->evidence);
	w->v->slug = port->slug;
}

/* ---- what else is worth knowing */

static void weigh_notes(struct weigh *w)
{
	const struct doctor_facts *f = w->f;
	bool works = w->v->slug == NULL;

	for (size_t i = 0; i < f->port_count; i++) {
		const struct doctor_port *port = &f->ports[i];

		if (works && port->number == 25 && port->net == DOCTOR_TIMED_OUT)
			weigh_note(w, "port 25 gets no answer, as most providers of lines block it; mail programs do not need it");
		if (works && port->net == DOCTOR_TIMED_OUT && port->number != 25)
			weigh_note(w, "%s port %u gets no answer: it may be blocked on the way", port->host->name, port->number);
		if (port->password_held)
			weigh_note(w,
				   "%s was named by a way that can be forged (%s), so the password was not sent there; give --server %s to "
				   "allow it",
				   port->host->name, doctor_source_name(port->host->source), port->host->name);
		if (port->masked && works)
			weigh_note(w, "%s port %u: a box in between writes over what the server offers", port->host->name, port->number);
	}
	if (f->clock_known && (f->clock_ahead_ms > DOCTOR_CLOCK_MS || f->clock_ahead_ms < -(int64_t)DOCTOR_CLOCK_MS))
		weigh_note(w, "the clock of this computer and the date of %s differ by %lld days", f->clock_from,
			   (long long)((f->clock_ahead_ms < 0 ? -f->clock_ahead_ms : f->clock_ahead_ms) / DOCTOR_CLOCK_MS));
	if (f->out_of_time)
		weigh_note(w, "the time for the whole run was over before all was tried");
	if (f->portal[0] && (works || strcmp(w->v->slug, cause_slug(CAUSE_CAPTIVE_PORTAL)) != 0))
		weigh_note(w, "the web is answered by somebody else: %s", f->portal);
}

void doctor_weigh(const struct doctor_facts *f, struct arena *mem, struct doctor_verdict *out)
{
	struct weigh w = {.f = f, .mem = mem, .v = out};
	bool found = false;

	*out = (struct doctor_verdict){.evidence = ""};
	for (size_t i = 0; i < f->host_count; i++)
		found = found || f->hosts[i].address_count;
	for (size_t i = 0; i < f->port_count; i++)
		w.net[f->ports[i].net]++;
	if (!found || !f->port_count)
		weigh_names(&w);
	else if (!weigh_is_fine(f))
		weigh_ports(&w);
	weigh_notes(&w);
}
