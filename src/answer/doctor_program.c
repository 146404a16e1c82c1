#include "answer/doctor_program.h"

#include "answer/replies_table.h"

/* ---- which */

static int program_rank(const struct doctor_port *port)
{
	static const int secure[] = {
		[DOCTOR_ANY] = 0, [DOCTOR_NONE] = 0, [DOCTOR_STARTTLS] = 1, [DOCTOR_TLS] = 2}; /* RFC 8314 3: TLS first */
	bool usual = port->number != 25 && port->number != 26 && port->number != 50 && port->number != 2525;
	bool reached = port->security > DOCTOR_NONE && port->stage >= DOCTOR_AT_SIGN_IN && port->certificate[0];

	if (port->fine)
		return 20 + secure[port->security] + (usual ? 4 : 0);
	return reached ? 10 + secure[port->security] + (usual ? 4 : 0) : 0;
}

const struct doctor_port *doctor_best(const struct doctor_facts *f, enum doctor_protocol protocol)
{
	const struct doctor_port *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < f->port_count; i++) {
		int rank = f->ports[i].protocol == protocol ? program_rank(&f->ports[i]) : 0;

		if (rank > best_rank) {
			best = &f->ports[i];
			best_rank = rank;
		}
	}
	return best;
}

size_t doctor_program_count(void)
{
	return client_program_count;
}

const char *doctor_program_slug(size_t program)
{
	return reply_text(reply_emitters[client_programs[program].emitter].slug);
}

const char *doctor_program_name(size_t program)
{
	return reply_text(reply_emitters[client_programs[program].emitter].name);
}

/* ---- values */

static void program_add_login(struct buf *out, const struct doctor_facts *f)
{
	buf_add_str(out, f->login[0] ? f->login : "(the user name)");
}

/* as it stands in a URL: percent encoding (RFC 3986 2.1), since an @ would end the name */
static void program_add_url(struct buf *out, const struct doctor_facts *f)
{
	for (const char *c = f->login; *c; c++) {
		if (byte_is_alnum((uint8_t)*c) || strchr("-._~", *c))
			buf_add_byte(out, (uint8_t)*c);
		else
			buf_printf(out, "%%%02X", (unsigned)(uint8_t)*c);
	}
}

static enum client_line program_word(enum doctor_security security)
{
	return security == DOCTOR_TLS ? CLIENT_LINE_TLS : security == DOCTOR_STARTTLS ? CLIENT_LINE_STARTTLS : CLIENT_LINE_NONE;
}

static bool program_can(const struct client_program *c, enum client_line line)
{
	return (c->lines >> line & 1) != 0;
}

static void program_add_value(struct buf *out, struct span name, const struct client_program *c, const struct doctor_facts *f,
			      const struct doctor_port *port)
{
	if (span_eq(name, SPAN_LIT("address")))
		buf_add_str(out, strchr(f->address, '@') ? f->address : "(the address)");
	else if (span_eq(name, SPAN_LIT("login")))
		program_add_login(out, f);
	else if (span_eq(name, SPAN_LIT("login-url")))
		program_add_url(out, f);
	else if (port && span_eq(name, SPAN_LIT("host")))
		buf_add_str(out, port->host->name);
	else if (port && span_eq(name, SPAN_LIT("port")))
		buf_add_u64(out, port->number);
	else if (port && (span_eq(name, SPAN_LIT("security")) || span_eq(name, SPAN_LIT("tls"))))
		buf_add_str(out, program_can(c, program_word(port->security)) ? reply_text(c->line[program_word(port->security)]) : "");
}

/* copies up to the next place holder and returns its name; ptr NULL: the end */
static struct span program_next(struct buf *out, struct span *rest)
{
	size_t open = span_find(*rest, '{'), close = span_find(*rest, '}');
	struct span name = SPAN_NONE;

	buf_add(out, span_head(*rest, open));
	if (open < close && close < rest->len)
		name = span_of(rest->ptr + open + 1, close - open - 1);
	*rest = name.ptr ? span_from(*rest, close + 1) : SPAN_NONE;
	return name;
}

bool doctor_program_line(struct buf *out, size_t program, const struct doctor_facts *f, const struct doctor_port *port)
{
	static const enum client_line lines[] = {
		[DOCTOR_SMTP] = CLIENT_LINE_OUTGOING, [DOCTOR_POP3] = CLIENT_LINE_POP3, [DOCTOR_IMAP] = CLIENT_LINE_IMAP};
	const struct client_program *c = &client_programs[program];
	struct span rest, name;

	if (!port->protocol || !program_can(c, lines[port->protocol]) || !program_can(c, program_word(port->security)))
		return false;
	rest = span_str(reply_text(c->line[lines[port->protocol]]));
	while (name = program_next(out, &rest), name.ptr)
		program_add_value(out, name, c, f, port);
	return !out->overflow;
}

size_t doctor_program_step_count(size_t program)
{
	return client_programs[program].step_count;
}

bool doctor_program_step(struct buf *out, size_t program, size_t step, const struct doctor_facts *f, const struct doctor_port *smtp,
			 const struct doctor_port *imap, const struct doctor_port *pop3)
{
	const struct {
		struct span prefix;
		const struct doctor_port *port;
	} of[] = {{SPAN_LIT("smtp-"), smtp}, {SPAN_LIT("imap-"), imap}, {SPAN_LIT("pop3-"), pop3}};
	const struct client_program *c = &client_programs[program];
	struct span rest = span_str(reply_text(reply_words[c->step_at + step])), name;

	while (name = program_next(out, &rest), name.ptr) {
		const struct doctor_port *port = NULL;

		for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
			if (span_starts(name, of[i].prefix)) {
				if (!of[i].port)
					return false;
				port = of[i].port;
				name = span_from(name, of[i].prefix.len);
			}
		program_add_value(out, name, c, f, port);
	}
	return !out->overflow;
}
