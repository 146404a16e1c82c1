/* mailroom doctor: which one thing keeps an account from sending, tried against its servers. */
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_doctor.h"
#include "cli/cli_password.h"

const struct cli_option cli_doctor_options[] = {
	{"server", "HOST", "the server, instead of mail.DOMAIN, smtp.DOMAIN and DOMAIN", false},
	{"login", "NAME", "user name to sign in with (the address)", false},
	{"password-stdin", NULL, "sign in; the password is one line of standard input", false},
	{"port", "PORT", "try this port (instead of the usual ones); with /tls, /starttls or /none: as the mail program is set", true},
	{"to", "ADDRESS", "see whether mail to that address would be taken", false},
	{"send", NULL, "really send a short message, to the address or to --to", false},
	{"allow-cleartext", NULL, "sign in without encryption where there is none", false},
	{"wait", "SECONDS", "how long to wait for an answer (10)", false},
	{NULL, NULL, NULL, false},
};

void doctor_progress(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args); /* every argument is ours, or made safe */
	va_end(args);
	fputc('\n', stderr);
}

const char *doctor_keep(struct doctor *d, const char *text)
{
	const char *kept = arena_str(d->mem, span_head(span_str(text), DOCTOR_TEXT_BYTES - 1));

	return kept ? kept : "";
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

static int doctor_take_options(struct cli *cli, struct doctor *d)
{
	const char *wait = cli_get(cli, "wait"), *to = cli_get(cli, "to"), *login = cli_get(cli, "login"), *server = cli_get(cli, "server");
	uint64_t seconds = DOCTOR_WAIT_S;

	d->address = cli->args[0];
	d->to = to;
	d->login = login ? login : strchr(d->address, '@') ? d->address : NULL;
	d->send = cli_get(cli, "send");
	d->allow_cleartext = cli_get(cli, "allow-cleartext");
	if (!doctor_is_plain(d->address))
		return cli_usage(cli, "ADDRESS: an address such as name@example.org, or the name of a server, would be right");
	if (to && (!doctor_is_plain(to) || !strchr(to, '@')))
		return cli_usage(cli, "--to: an address such as friend@example.net would be right");
	if (login && !doctor_is_login(login))
		return cli_usage(cli, "--login: a user name without control characters would be right");
	if (server && !doctor_is_plain(server))
		return cli_usage(cli, "--server: a name such as mail.example.org would be right");
	if (wait && (num_parse(span_str(wait), DOCTOR_WAIT_MOST_S, &seconds) != RC_OK || !seconds))
		return cli_usage(cli, "--wait: 1 to %d seconds would be right", DOCTOR_WAIT_MOST_S);
	d->wait_ms = (unsigned)seconds * 1000;
	if (d->send && !to && !strchr(d->address, '@'))
		return cli_usage(cli, "--send: give an address, or --to");
	if (cli_get(cli, "password-stdin")) {
		if (!d->login)
			return cli_usage(cli, "--password-stdin: give an address, or --login");
		if (!doctor_read_password(d))
			return cli_fail("no password of at most %d bytes came on standard input", LIMIT_PASSWORD_BYTES);
	}
	return CLI_OK;
}

/* a mail program needs one way to send; what is less usual is left alone once a usual one works */
static bool doctor_is_enough(const struct doctor *d, uint16_t number)
{
	bool rare = number == 25 || number == 2525 || number == 26 || number == 50;

	for (size_t i = 0; rare && !d->ports_given && i < d->port_count; i++)
		if (d->ports[i].fine && d->ports[i].protocol == DOCTOR_SMTP)
			return true;
	return false;
}

static bool doctor_try(struct doctor *d, const struct doctor_host *host, uint16_t number, enum doctor_security wanted)
{
	struct doctor_port *port = &d->ports[d->port_count];

	if (doctor_is_enough(d, number))
		return false;
	*port = (struct doctor_port){.host = host->name,
				     .number = number,
				     .wanted = wanted,
				     .slug = "",
				     .evidence = "",
				     .certificate = "",
				     .auth_clear = "",
				     .auth_tls = ""};
	doctor_probe(d, host, port);
	d->port_count++;
	return port->net == DOCTOR_OPEN;
}

static int doctor_run(struct cli *cli, struct doctor *d)
{
	uint16_t numbers[DOCTOR_PORTS];
	enum doctor_security wanted[DOCTOR_PORTS] = {DOCTOR_ANY};
	size_t count = 0;

	for (size_t i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].option->name, "port") == 0) {
			if (count == DOCTOR_PORTS)
				return cli_usage(cli, "--port: at most %d ports at once", DOCTOR_PORTS);
			if (!doctor_find_port(cli->given[i].value, &numbers[count], &wanted[count]))
				return cli_usage(cli, "--port: 587, 587/starttls, 465/tls or 25/none would be right");
			if (wanted[count] == DOCTOR_NONE && d->password.len && !d->allow_cleartext)
				return cli_usage(cli, "--port %s: the password would go in the clear; --allow-cleartext says that it may",
						 cli->given[i].value);
			count++;
		}
	d->ports_given = count > 0;
	for (; !d->ports_given && doctor_usual_ports[count]; count++)
		numbers[count] = doctor_usual_ports[count];
	if (doctor_find_hosts(d, cli_get(cli, "server"))) {
		bool open = false;

		/* the next name only where nothing at all answered at this one */
		for (size_t h = 0; h < d->host_count && !open; h++)
			for (size_t i = 0; d->hosts[h].address_count && i < count; i++)
				open |= doctor_try(d, &d->hosts[h], numbers[i], wanted[i]);
	}
	return doctor_say(d, cli->json);
}

int cli_doctor(struct cli *cli)
{
	struct doctor *d = arena_zalloc(&cli->mem, sizeof(*d));
	int status;

	if (!d)
		return cli_fail("out of memory");
	d->mem = &cli->mem;
	(void)signal(SIGPIPE, SIG_IGN); /* a server may hang up at any time */
	buf_init_secret(&d->password, LIMIT_PASSWORD_BYTES);
	status = doctor_take_options(cli, d);
	if (status == CLI_OK)
		status = doctor_run(cli, d);
	buf_clear(&d->password);
	return status;
}
