/* The verdict over all ports, in words and as JSON. */
#include <netdb.h>

#include "base/limits.h"
#include "cli/cli_doctor.h"
#include "cli/cli_print.h"
#include "mailroom/answer.h"

struct verdict {
	const struct doctor_port *port; /* the one that shows it; NULL where it is about all */
	const char *slug;		/* NULL: fine */
	const char *next;		/* NULL: the catalogue's */
	char evidence[DOCTOR_TEXT_BYTES * 2];
};

/* what the catalogue says to the server that delivers mail does not help whoever sits in front of a mail program */
static const struct {
	const char *slug, *next;
} doctor_next[] = {
	{"remote-unreachable", "Check the network connection of this computer and the name of the server; then try over another network."},
	{"dns-failure",
	 "Check the spelling behind the @, or give the server with --server; check the network connection of this computer."},
	{"timeout",
	 "Check the port: 465 for TLS, 587 for STARTTLS. If it is right, try over another network, or ask the server's administrator."},
	{"foreign-protocol", "Correct the server name or the port: another service answers there. Sending goes through 465 or 587."},
	{"tls-injection", "Do not sign in over this network: something in between changes the conversation. Try port 465 with TLS, and "
			  "tell the administrator."},
};

const char *doctor_security_name(enum doctor_security security)
{
	static const char *const names[] = {
		[DOCTOR_ANY] = "any", [DOCTOR_NONE] = "none", [DOCTOR_STARTTLS] = "starttls", [DOCTOR_TLS] = "tls"};

	return names[security];
}

static const char *doctor_protocol_name(enum doctor_protocol protocol)
{
	static const char *const names[] = {
		[DOCTOR_UNKNOWN] = "unknown", [DOCTOR_SMTP] = "smtp", [DOCTOR_POP3] = "pop3", [DOCTOR_IMAP] = "imap"};

	return names[protocol];
}

static const char *doctor_net_name(enum doctor_net net)
{
	static const char *const names[] = {[DOCTOR_OPEN] = "open",
					    [DOCTOR_REFUSED] = "refused",
					    [DOCTOR_TIMED_OUT] = "timed-out",
					    [DOCTOR_UNREACHABLE] = "unreachable"};

	return names[net];
}

/* ---- weighing */

static bool doctor_is_mailbox(const struct doctor_port *port)
{
	return port->protocol == DOCTOR_POP3 || port->protocol == DOCTOR_IMAP;
}

/* Sending works through one port, or everything that was asked for does. */
static bool doctor_is_fine(const struct doctor *d)
{
	bool all = d->port_count > 0 && d->ports_given;

	for (size_t i = 0; i < d->port_count; i++) {
		if (d->ports[i].fine && d->ports[i].protocol == DOCTOR_SMTP)
			return true;
		all = all && d->ports[i].fine;
	}
	return all;
}

/* The port that let us come farthest; 25 is for other servers, mailbox ports do not send: they count where there is nothing else. */
static const struct doctor_port *doctor_farthest(const struct doctor *d)
{
	const struct doctor_port *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < d->port_count; i++) {
		const struct doctor_port *port = &d->ports[i];
		bool second = port->number == 25 || (doctor_is_mailbox(port) && !d->ports_given);
		int rank = (int)port->stage + (second ? 0 : DOCTOR_AT_END + 1);

		if (port->fine || port->net != DOCTOR_OPEN || (doctor_is_mailbox(port) && !d->ports_given))
			continue;
		if (rank > best_rank) {
			best = port;
			best_rank = rank;
		}
	}
	return best;
}

/* nothing that could send let us in: what the network says */
static void doctor_weigh_network(const struct doctor *d, struct verdict *v)
{
	size_t count[DOCTOR_UNREACHABLE + 1] = {0};
	bool timed_out_25 = false;
	struct buf words;

	buf_init(&words, sizeof(v->evidence));
	for (size_t i = 0; i < d->port_count; i++) {
		count[d->ports[i].net]++;
		timed_out_25 |= d->ports[i].number == 25 && d->ports[i].net == DOCTOR_TIMED_OUT;
		buf_printf(&words, "%s%s port %u %s", i ? ", " : "", d->ports[i].host, d->ports[i].number,
			   doctor_net_name(d->ports[i].net));
	}
	(void)snprintf(v->evidence, sizeof(v->evidence), "%s",
		       words.overflow ? "no port for sending takes a connection" : buf_cstr(&words));
	buf_clear(&words);
	if (timed_out_25 && count[DOCTOR_TIMED_OUT] == 1 && count[DOCTOR_REFUSED] + count[DOCTOR_OPEN])
		v->slug = "port25-outbound-blocked";
	else if (!count[DOCTOR_OPEN] && !count[DOCTOR_REFUSED] && (count[DOCTOR_UNREACHABLE] || count[DOCTOR_TIMED_OUT] > 2))
		v->slug = "remote-unreachable";
	else
		v->slug = "port-blocked-or-wrong-host";
}

static void doctor_weigh_names(const struct doctor *d, struct verdict *v)
{
	bool unknown = true;

	for (size_t i = 0; i < d->host_count; i++)
		unknown = unknown && (d->hosts[i].lookup == EAI_NONAME || d->hosts[i].lookup == EAI_NODATA);
	v->slug = unknown && d->host_count ? "port-blocked-or-wrong-host" : "dns-failure";
	if (unknown)
		v->next = "Check the spelling of the server name and of what stands behind the @.";
	(void)snprintf(v->evidence, sizeof(v->evidence), "%s: %s", d->host_count ? d->hosts[0].name : d->address,
		       d->host_count ? gai_strerror(d->hosts[0].lookup) : "the name is too long");
}

static void doctor_weigh(const struct doctor *d, struct verdict *v)
{
	if (doctor_is_fine(d))
		return;
	if (!d->port_count) {
		doctor_weigh_names(d, v);
		return;
	}
	v->port = doctor_farthest(d);
	if (!v->port) {
		doctor_weigh_network(d, v);
		return;
	}
	v->slug = v->port->slug;
	(void)snprintf(v->evidence, sizeof(v->evidence), "%s port %u: %s", v->port->host, v->port->number, v->port->evidence);
	if (strcmp(v->slug, "tls-mode-mismatch") == 0)
		v->next = v->port->wanted == DOCTOR_TLS
				  ? "Set the security of this port to STARTTLS in the mail program, or take port 465 with TLS."
				  : "Set the security of this port to SSL/TLS in the mail program, or take port 587 with STARTTLS.";
}

/* the first step that somebody can do */
static const char *doctor_next_step(const struct verdict *v)
{
	const char *what = NULL;

	if (v->next)
		return v->next;
	for (size_t i = 0; i < sizeof(doctor_next) / sizeof(doctor_next[0]); i++)
		if (strcmp(doctor_next[i].slug, v->slug) == 0)
			return doctor_next[i].next;
	for (size_t i = 0; mailroom_cause_fix_who(v->slug, i) && !what; i++)
		if (strcmp(mailroom_cause_fix_who(v->slug, i), "nobody") != 0)
			what = mailroom_cause_fix_what(v->slug, i);
	if (!what)
		what = mailroom_cause_fix_what(v->slug, 0);
	return what ? what : "Show the evidence to the server's administrator.";
}

/* ---- printing */

static const char *doctor_tested(const struct doctor *d, const struct doctor_port *port)
{
	if (port->sent)
		return "a message was sent";
	if (port->recipient_taken)
		return port->signed_in ? "signed in, sender and recipient taken" : "sender and recipient taken without sign-in";
	if (port->signed_in)
		return "signed in";
	return d->password.len ? "sign-in not tried" : "sign-in not tried: no password was given";
}

static json_t *doctor_json_port(const struct doctor *d, const struct doctor_port *port)
{
	json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:I}", "server", port->host, "port",
			      port->number, "network", doctor_net_name(port->net), "protocol", doctor_protocol_name(port->protocol),
			      "security", doctor_security_name(port->security), "fine", port->fine, "evidence", port->evidence,
			      "auth_clear", port->auth_clear, "auth_tls", port->auth_tls, "certificate", port->certificate, "tested",
			      doctor_tested(d, port), "signed_in", port->signed_in, "sent", port->sent, "size_bytes",
			      (json_int_t)(port->size_bytes > INT64_MAX ? INT64_MAX : port->size_bytes));

	json_object_set_new(j, "slug", port->slug[0] ? json_string(port->slug) : json_null());
	return j;
}

static void doctor_say_json(const struct doctor *d, const struct verdict *v)
{
	json_t *ports = json_array(), *settings = json_array(), *out;

	for (size_t i = 0; i < d->port_count; i++) {
		const struct doctor_port *port = &d->ports[i];

		json_array_append_new(ports, doctor_json_port(d, port));
		if (port->fine)
			json_array_append_new(settings,
					      json_pack("{s:s, s:s, s:i, s:s, s:s}", "protocol", doctor_protocol_name(port->protocol),
							"server", port->host, "port", port->number, "security",
							doctor_security_name(port->security), "login", d->login ? d->login : ""));
	}
	out = json_pack("{s:s, s:b, s:o, s:o}", "address", d->address, "ok", v->slug == NULL, "ports", ports, "settings", settings);
	json_object_set_new(out, "slug", v->slug ? json_string(v->slug) : json_null());
	if (v->slug) {
		const char *meaning = mailroom_cause_meaning(v->slug);

		json_object_set_new(out, "meaning", json_string(meaning ? meaning : ""));
		json_object_set_new(out, "evidence", json_string(v->evidence));
		json_object_set_new(out, "next", json_string(doctor_next_step(v)));
	}
	cli_print_json(out);
}

static void doctor_say_port(const struct doctor *d, const struct doctor_port *port)
{
	static const char *const words[] = {
		[DOCTOR_ANY] = "none", [DOCTOR_NONE] = "none", [DOCTOR_STARTTLS] = "STARTTLS", [DOCTOR_TLS] = "SSL/TLS"};
	static const char *const kinds[] = {[DOCTOR_UNKNOWN] = "",
					    [DOCTOR_SMTP] = "Sending (SMTP)",
					    [DOCTOR_POP3] = "Fetching (POP3)",
					    [DOCTOR_IMAP] = "Fetching (IMAP)"};

	printf("  %s: server %s, port %u, security %s", kinds[port->protocol], port->host, port->number, words[port->security]);
	if (d->login)
		printf(", user name %s", d->login);
	printf("\n    %s", doctor_tested(d, port));
	if (port->size_bytes) {
		struct buf size;

		buf_init(&size, 64);
		cli_write_bytes(&size, port->size_bytes);
		printf("; messages up to %s", buf_cstr(&size));
		buf_clear(&size);
	}
	putchar('\n');
}

static void doctor_say_text(const struct doctor *d, const struct verdict *v)
{
	bool title = false;

	if (v->slug) {
		const char *meaning = mailroom_cause_meaning(v->slug);

		printf("%s\n  Cause: %s\n  Seen: %s\n  Next step: %s\n", meaning ? meaning : "", v->slug, v->evidence, doctor_next_step(v));
	} else {
		puts("Everything that was tried works.");
	}
	for (size_t i = 0; i < d->port_count; i++) {
		if (!d->ports[i].fine)
			continue;
		if (!title)
			puts("Settings that work");
		title = true;
		doctor_say_port(d, &d->ports[i]);
	}
	if (title)
		puts("Where a mail program has them: mailroom explain --program NAME");
}

int doctor_say(const struct doctor *d, bool json)
{
	struct verdict v = {0};

	doctor_weigh(d, &v);
	if (json)
		doctor_say_json(d, &v);
	else
		doctor_say_text(d, &v);
	return v.slug ? CLI_FAILED : CLI_OK;
}
