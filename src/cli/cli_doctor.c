/* mailroom doctor: which one thing keeps an account from sending, tried against its servers. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "answer/doctor_program.h"
#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_doctor_dns.h"
#include "cli/cli_password.h"
#include "mail/address.h"

const struct cli_option cli_doctor_options[] = {
	{"server", "HOST", "the server, instead of those that the domain publishes and the usual names", false},
	{"login", "NAME", "user name to sign in with (the address)", false},
	{"password-stdin", NULL, "sign in; the password is one line of standard input", false},
	{"port", "PORT", "try this port (instead of the usual ones); with /tls, /starttls or /none: as the mail program is set", true},
	{"to", "ADDRESS", "see whether mail to that address would be taken", false},
	{"size", "SIZE", "see whether a message of that size would be taken, as in 30 MB", false},
	{"send", NULL, "really send a short message, to the address or to --to", false},
	{"allow-cleartext", NULL, "sign in without encryption where there is none", false},
	{"program", "NAME", "also print how that mail program is set up, step by step", false},
	{"resolver", "ADDRESS", "ask this name server, with @PORT behind it where it is not 53", false},
	{"wait", "SECONDS", "how long to wait for an answer (10)", false},
	{"limit", "SECONDS", "how long to try in all (180)", false},
	{"progress", NULL, "say on standard error what is being done, also where that is no terminal", false},
	{NULL, NULL, NULL, false},
};

/* ---- saying what is being done */

static struct {
	bool lines, terminal;
} progress;

void doctor_progress_on(bool lines, bool terminal)
{
	progress.lines = lines;
	progress.terminal = terminal && !lines;
}

void doctor_progress(const char *fmt, ...)
{
	va_list args;

	if (!progress.lines && !progress.terminal)
		return;
	if (progress.terminal)
		fputs("\r\033[K", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args); /* every argument is ours, or made safe */
	va_end(args);
	if (progress.lines)
		fputc('\n', stderr);
}

void doctor_progress_end(void)
{
	if (progress.terminal)
		fputs("\r\033[K", stderr);
}

/* ---- options */

const char *doctor_keep(struct doctor *d, const char *text)
{
	const char *kept = arena_str(d->mem, span_head(span_str(text), DOCTOR_TEXT_BYTES - 1));

	return kept ? kept : "";
}

const char *doctor_keep_safe(struct doctor *d, struct span text)
{
	const char *kept;
	struct buf safe;

	buf_init(&safe, DOCTOR_TEXT_BYTES * 4);
	buf_add_safe(&safe, text, DOCTOR_TEXT_BYTES / 2);
	kept = doctor_keep(d, buf_cstr(&safe));
	buf_clear(&safe);
	return kept;
}

/* what goes into a command of the protocol must be one word without brackets */
static bool doctor_is_plain(const char *text)
{
	struct span s = span_str(text);

	return s.len && s.len <= LIMIT_PATH_BYTES && span_is_vchar(s) && !strpbrk(text, "<>\"\\");
}

static bool doctor_is_login(const char *text)
{
	struct span s = span_str(text);
	bool clean = s.len && s.len <= LIMIT_PATH_BYTES && span_is_utf8(s);

	for (size_t i = 0; i < s.len; i++)
		clean = clean && s.ptr[i] >= ' ' && s.ptr[i] != 0x7f;
	return clean;
}

static bool doctor_read_password(struct doctor *d)
{
	uint8_t c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		if (c != '\r')
			buf_add_byte(&d->password, c);
	return d->password.len && !d->password.overflow;
}

static int doctor_take_seconds(const struct cli *cli, const char *option, uint64_t most, uint64_t *seconds)
{
	const char *text = cli_get(cli, option);

	if (text && (num_parse(span_str(text), most, seconds) != RC_OK || !*seconds))
		return cli_usage(cli, "--%s: 1 to %llu seconds would be right", option, (unsigned long long)most);
	return CLI_OK;
}

static bool doctor_is_program(const char *name)
{
	for (size_t i = 0; i < doctor_program_count(); i++)
		if (strcmp(doctor_program_slug(i), name) == 0)
			return true;
	return false;
}

static int doctor_take_limits(struct cli *cli, struct doctor *d)
{
	const char *size = cli_get(cli, "size");
	uint64_t wait = DOCTOR_WAIT_S, limit = DOCTOR_RUN_S;
	int status = doctor_take_seconds(cli, "wait", DOCTOR_WAIT_MOST_S, &wait);

	if (status == CLI_OK)
		status = doctor_take_seconds(cli, "limit", DOCTOR_RUN_MOST_S, &limit);
	if (status != CLI_OK)
		return status;
	if (size && (num_parse_size_bytes(span_str(size), &d->size_bytes) != RC_OK || !d->size_bytes))
		return cli_usage(cli, "--size: a size such as 30 MB would be right");
	d->program = cli_get(cli, "program");
	if (d->program && !doctor_is_program(d->program)) {
		cli_note("--program %s: no mail program of that name is known; known are", d->program);
		for (size_t i = 0; i < doctor_program_count(); i++)
			fprintf(stderr, "  %-24s %s\n", doctor_program_slug(i), doctor_program_name(i));
		return CLI_USAGE;
	}
	d->wait_ms = (unsigned)wait * 1000;
	d->end = clock_mono_ms() + limit * 1000;
	return CLI_OK;
}

/* a name, or the domain of an address, by its A-labels: that is how servers are found, and what each of them takes */
static const char *doctor_in_ascii(struct cli *cli, const char *text)
{
	struct span all = span_str(text);
	size_t at = span_find(all, '@') < all.len ? span_find(all, '@') + 1 : 0;
	struct buf out;
	const char *copy = text;

	if (span_is_ascii(all)) /* not given, too */
		return text;
	buf_init(&out, LIMIT_PATH_BYTES);
	buf_add(&out, span_head(all, at));
	if (address_domain_ascii(&out, span_from(all, at)) && !out.overflow)
		copy = arena_str(&cli->mem, buf_span(&out));
	buf_clear(&out);
	return copy ? copy : text;
}

static int doctor_take_options(struct cli *cli, struct doctor *d)
{
	const char *to = doctor_in_ascii(cli, cli_get(cli, "to")), *server = doctor_in_ascii(cli, cli_get(cli, "server"));
	const char *address = doctor_in_ascii(cli, cli->args[0]), *login = cli_get(cli, "login");

	d->server = server;

	d->facts.address = address;
	d->to = to;
	d->facts.login = login ? login : strchr(address, '@') ? address : "";
	d->send = cli_get(cli, "send");
	d->allow_cleartext = cli_get(cli, "allow-cleartext");
	d->resolver = cli_get(cli, "resolver");
	d->facts.server_given = server != NULL;
	if (!doctor_is_plain(address))
		return cli_usage(cli, "ADDRESS: an address such as name@example.org, or the name of a server, would be right");
	if (to && (!doctor_is_plain(to) || !strchr(to, '@')))
		return cli_usage(cli, "--to: an address such as friend@example.net would be right");
	if (login && !doctor_is_login(login))
		return cli_usage(cli, "--login: a user name without control characters would be right");
	if (server && !doctor_is_plain(server))
		return cli_usage(cli, "--server: a name such as mail.example.org would be right");
	if (d->send && !to && !strchr(address, '@'))
		return cli_usage(cli, "--send: give an address, or --to");
	if (cli_get(cli, "password-stdin")) {
		if (!d->facts.login[0])
			return cli_usage(cli, "--password-stdin: give an address, or --login");
		if (!doctor_read_password(d))
			return cli_fail("no password of at most %d bytes came on standard input", LIMIT_PASSWORD_BYTES);
	}
	d->facts.password_given = d->password.len > 0;
	return doctor_take_limits(cli, d);
}

/* ---- what is tried, in which order */

struct doctor_plan {
	uint16_t numbers[DOCTOR_GIVEN_PORTS];
	enum doctor_security wanted[DOCTOR_GIVEN_PORTS];
	size_t count;
};

static const struct doctor_plan doctor_usual = {.numbers = {465, 587, 25, 2525, 26, 50, 995, 993, 110, 143}, .count = 10};

static bool doctor_has_fine(const struct doctor_facts *f, enum doctor_protocol protocol)
{
	for (size_t i = 0; i < f->port_count; i++)
		if (f->ports[i].fine && f->ports[i].protocol == protocol)
			return true;
	return false;
}

/* a mail program needs one way to send; what is less usual is left alone once a usual one works */
static bool doctor_is_enough(const struct doctor_facts *f, uint16_t number)
{
	bool rare = number == 25 || number == 2525 || number == 26 || number == 50;

	return rare && !f->ports_given && doctor_has_fine(f, DOCTOR_SMTP);
}

/* some ports in a row that speak HTTP: the others will not be better */
static bool doctor_is_web(const struct doctor_facts *f, const struct doctor_host *host)
{
	size_t pages = 0;

	for (size_t i = 0; i < f->port_count && !f->ports_given; i++)
		pages += f->ports[i].host == host && f->ports[i].greeting == DOCTOR_GREETING_HTTP;
	return pages >= DOCTOR_PAGES;
}

static void doctor_try(struct doctor *d, const struct doctor_host *host, uint16_t number, enum doctor_security wanted, bool second)
{
	struct doctor_facts *f = &d->facts;
	struct doctor_port *port = &f->ports[f->port_count];

	for (size_t i = 0; i < f->port_count && (!f->ports_given || second); i++)
		if (f->ports[i].host == host && f->ports[i].number == number)
			return;
	if (!host || !host->address_count || f->port_count == DOCTOR_PORTS || doctor_is_enough(f, number) || doctor_is_web(f, host))
		return;
	*port = (struct doctor_port){.host = host, .number = number, .wanted = wanted, .second = second};
	port->slug = port->evidence = port->certificate = port->banner = port->banner_host = port->auth_clear = port->auth_tls = "";
	port->net = DOCTOR_NOT_TRIED;
	f->port_count++;
	if (clock_mono_ms() < d->end)
		doctor_probe(d, port);
	else
		f->out_of_time = true;
}

static bool doctor_is_mailbox_number(uint16_t number)
{
	return number == 995 || number == 993 || number == 110 || number == 143;
}

/* has another host already answered with what that port is for? */
static bool doctor_is_known(const struct doctor_facts *f, const struct doctor_host *host, uint16_t number)
{
	for (size_t i = 0; i < f->port_count; i++)
		if (f->ports[i].host != host && f->ports[i].protocol &&
		    (f->ports[i].protocol != DOCTOR_SMTP) == doctor_is_mailbox_number(number))
			return true;
	return false;
}

static void doctor_try_plan(struct doctor *d, const struct doctor_host *host, const struct doctor_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (d->facts.ports_given || !doctor_is_known(&d->facts, host, plan->numbers[i]))
			doctor_try(d, host, plan->numbers[i], plan->wanted[i], false);
}

static bool doctor_has_open(const struct doctor_facts *f)
{
	for (size_t i = 0; i < f->port_count; i++)
		if (f->ports[i].net == DOCTOR_OPEN)
			return true;
	return false;
}

static void doctor_try_services(struct doctor *d, bool second)
{
	struct doctor_facts *f = &d->facts;

	for (size_t i = 0; i < f->service_count; i++)
		doctor_try(d, doctor_find_host(d, f->services[i].host, f->services[i].source, f->services[i].secure), f->services[i].port,
			   DOCTOR_ANY, second);
}

/* the usual ports of the servers that are named, as far as nothing of their kind works yet */
static void doctor_try_around(struct doctor *d)
{
	struct doctor_facts *f = &d->facts;
	size_t count = f->host_count;

	for (size_t h = 0; h < count; h++)
		for (size_t i = 0; i < doctor_usual.count; i++) {
			uint16_t number = doctor_usual.numbers[i];
			bool pop3 = number == 995 || number == 110, imap = number == 993 || number == 143;
			enum doctor_protocol protocol = pop3 ? DOCTOR_POP3 : imap ? DOCTOR_IMAP : DOCTOR_SMTP;
			bool named = false;

			for (size_t s = 0; s < f->service_count; s++)
				named = named ||
					(f->services[s].protocol == protocol && strcmp(f->services[s].host, f->hosts[h].name) == 0);
			if (named && !doctor_has_fine(f, protocol))
				doctor_try(d, &f->hosts[h], number, DOCTOR_ANY, false);
		}
}

/* Nothing that was given answers as a mail server: is it the port, or the server? Looked at without the password's being refused before. */
static void doctor_look_again(struct doctor *d)
{
	static const uint16_t usual[] = {587, 465};
	struct doctor_facts *f = &d->facts;
	size_t count = f->port_count;

	for (size_t i = 0; i < count; i++)
		if (f->ports[i].protocol || f->ports[i].net == DOCTOR_NOT_TRIED || f->ports[i].net == DOCTOR_UNREACHABLE)
			return;
	for (size_t i = 0; f->ports_given && count && i < sizeof(usual) / sizeof(usual[0]); i++)
		doctor_try(d, f->ports[0].host, usual[i], DOCTOR_ANY, true);
	for (size_t i = count; i < f->port_count; i++)
		if (f->ports[i].protocol == DOCTOR_SMTP)
			return;
	if (f->server_given && strchr(f->address, '@')) {
		doctor_find_published(d);
		doctor_try_services(d, true);
	}
}

static void doctor_try_all(struct doctor *d, const struct doctor_plan *given, const char *server)
{
	struct doctor_facts *f = &d->facts;
	const struct doctor_plan *plan = f->ports_given ? given : &doctor_usual;
	size_t count;

	if (!doctor_find(d, server))
		return;
	if (f->service_count && !f->ports_given) {
		doctor_try_services(d, false);
		doctor_try_around(d);
		return;
	}
	count = f->host_count;
	/* given ports are those of one server; the next name only where nothing at all answered at this one */
	for (size_t h = 0; h < count && !(f->ports_given && doctor_has_open(f)); h++)
		doctor_try_plan(d, &f->hosts[h], plan);
	if (f->ports_given || !doctor_has_open(f))
		doctor_look_again(d);
}

static int doctor_run(struct cli *cli, struct doctor *d)
{
	struct doctor_plan given = {0};
	struct err err;

	for (size_t i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].option->name, "port") == 0) {
			if (given.count == DOCTOR_GIVEN_PORTS)
				return cli_usage(cli, "--port: at most %d ports at once", DOCTOR_GIVEN_PORTS);
			if (!doctor_find_port(cli->given[i].value, &given.numbers[given.count], &given.wanted[given.count]))
				return cli_usage(cli, "--port: 587, 587/starttls, 465/tls or 25/none would be right");
			if (given.wanted[given.count] == DOCTOR_NONE && d->password.len && !d->allow_cleartext)
				return cli_usage(cli, "--port %s: the password would go in the clear; --allow-cleartext says that it may",
						 cli->given[i].value);
			given.count++;
		}
	d->facts.ports_given = given.count > 0;
	d->dns = doctor_dns_open(d->resolver, &err);
	if (!d->dns)
		return cli_usage(cli, "%s", err.words);
	d->facts.resolver = doctor_keep(d, doctor_dns_resolvers(d->dns));
	doctor_find_network(&d->facts);
	doctor_progress_on(cli_get(cli, "progress"), isatty(STDERR_FILENO));
	doctor_try_all(d, &given, d->server);
	doctor_progress_end();
	doctor_dns_close(&d->dns);
	return doctor_say(d, cli->json);
}

/* a proxy for the web, as many programs take it from there; its password stays out */
static const char *doctor_proxy(struct doctor *d)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]), *at = value ? strrchr(value, '@') : NULL;

		if (value && value[0])
			return doctor_keep_safe(d, span_str(at ? at + 1 : value));
	}
	return "";
}

int cli_doctor(struct cli *cli)
{
	struct doctor *d = arena_zalloc(&cli->mem, sizeof(*d));
	int status;

	if (!d)
		return cli_fail("out of memory");
	d->mem = &cli->mem;
	d->facts.portal = d->facts.clock_from = d->facts.resolver = d->refused_slug = "";
	d->facts.proxy = doctor_proxy(d);
	(void)signal(SIGPIPE, SIG_IGN); /* a server may hang up at any time */
	buf_init_secret(&d->password, LIMIT_PASSWORD_BYTES);
	status = doctor_take_options(cli, d);
	if (status == CLI_OK)
		status = doctor_run(cli, d);
	buf_clear(&d->password);
	return status;
}
