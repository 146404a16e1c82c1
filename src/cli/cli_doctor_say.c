/* The verdict in words: the cause, what was seen, the next step, what works, and how each mail program is set to it. */
#include "answer/doctor_program.h"
#include "base/limits.h"
#include "cli/cli_doctor.h"
#include "cli/cli_print.h"
#include "mailroom/answer.h"

const char *doctor_tested(const struct doctor_port *port, const struct doctor_facts *f)
{
	if (port->sent)
		return "a message was sent";
	if (port->relayed)
		return "signed in, sender and recipient taken, mail for elsewhere, too";
	if (port->recipient_taken)
		return port->signed_in ? "signed in, sender and recipient taken" : "sender and recipient taken without sign-in";
	if (port->signed_in)
		return "signed in";
	if (port->password_held)
		return "sign-in not tried: the server was named by a way that can be forged";
	return f->password_given ? "sign-in not tried" : "sign-in not tried: no password was given";
}

static void say_port(const struct doctor_facts *f, const struct doctor_port *port)
{
	static const char *const words[] = {
		[DOCTOR_ANY] = "none", [DOCTOR_NONE] = "none", [DOCTOR_STARTTLS] = "STARTTLS", [DOCTOR_TLS] = "SSL/TLS"};
	static const char *const kinds[] = {[DOCTOR_UNKNOWN] = "",
					    [DOCTOR_SMTP] = "Sending (SMTP)",
					    [DOCTOR_POP3] = "Fetching (POP3)",
					    [DOCTOR_IMAP] = "Fetching (IMAP)"};

	printf("  %s: server %s, port %u, security %s", kinds[port->protocol], port->host->name, port->number, words[port->security]);
	if (f->login[0])
		printf(", user name %s", f->login);
	printf("\n    %s", doctor_tested(port, f));
	if (port->size_bytes) {
		struct buf size;

		buf_init(&size, 64);
		cli_write_bytes(&size, port->size_bytes);
		printf("; messages up to %s", buf_cstr(&size));
		buf_clear(&size);
	}
	putchar('\n');
}

static void say_works(const struct doctor_facts *f)
{
	bool title = false;

	for (size_t i = 0; i < f->port_count; i++) {
		if (!f->ports[i].fine || f->ports[i].second)
			continue;
		if (!title)
			puts("Settings that work");
		title = true;
		say_port(f, &f->ports[i]);
	}
}

static void say_line(const struct doctor_facts *f, size_t program, const char *title, const struct doctor_port *port)
{
	struct buf line;

	buf_init(&line, DOCTOR_PROGRAM_LINE_BYTES);
	if (port && doctor_program_line(&line, program, f, port))
		printf("    %s: %s\n", title, buf_cstr(&line));
	buf_clear(&line);
}

static void say_steps(const struct doctor_facts *f, size_t program)
{
	const struct doctor_port *smtp = doctor_best(f, DOCTOR_SMTP), *imap = doctor_best(f, DOCTOR_IMAP),
				 *pop3 = doctor_best(f, DOCTOR_POP3);
	unsigned number = 0;

	for (size_t i = 0; i < doctor_program_step_count(program); i++) {
		struct buf step;

		buf_init(&step, DOCTOR_PROGRAM_LINE_BYTES);
		if (doctor_program_step(&step, program, i, f, smtp, imap, pop3))
			printf("    %u. %s\n", ++number, buf_cstr(&step));
		buf_clear(&step);
	}
}

static void say_programs(const struct doctor *d)
{
	const struct doctor_facts *f = &d->facts;
	const struct doctor_port *smtp = doctor_best(f, DOCTOR_SMTP), *imap = doctor_best(f, DOCTOR_IMAP),
				 *pop3 = doctor_best(f, DOCTOR_POP3);

	if (!smtp && !imap && !pop3)
		return;
	puts(d->program ? "Set up so" : "In each mail program (--program NAME says it step by step)");
	for (size_t i = 0; i < doctor_program_count(); i++) {
		if (d->program && strcmp(d->program, doctor_program_slug(i)) != 0)
			continue;
		printf("  %s (%s)\n", doctor_program_name(i), doctor_program_slug(i));
		say_line(f, i, "sending", smtp);
		say_line(f, i, "fetching", imap ? imap : pop3);
		if (d->program)
			say_steps(f, i);
	}
}

static void say_events(const struct doctor_facts *f)
{
	if (f->event_count)
		puts("The server itself says what it refused this account");
	for (size_t i = 0; i < f->event_count; i++) {
		const struct doctor_event *e = &f->events[i];
		const char *meaning = mailroom_cause_meaning(e->slug);

		printf("  %s %s%s%s: %u %s%s%s\n", e->at, e->command, e->command[0] ? " " : "", e->session, e->code, e->slug,
		       meaning ? ": " : "", meaning ? meaning : "");
		if (e->detail[0])
			printf("    %s\n", e->detail);
		if (e->limit[0])
			printf("    Limit: %s\n", e->limit);
		if (e->retry[0])
			printf("    Again after: %s\n", e->retry);
	}
}

static void say_text(const struct doctor *d, const struct doctor_verdict *v)
{
	if (v->slug) {
		const char *meaning = mailroom_cause_meaning(v->slug), *next = doctor_next_step(v->slug);

		if (meaning)
			puts(meaning);
		printf("  Cause: %s\n  Seen: %s\n", v->slug, v->evidence);
		if (next)
			printf("  Next step: %s\n", next);
	} else {
		puts("Everything that was tried works.");
	}
	for (size_t i = 0; i < v->note_count; i++)
		printf("  Note: %s\n", v->notes[i]);
	say_events(&d->facts);
	say_works(&d->facts);
	say_programs(d);
}

int doctor_say(const struct doctor *d, bool json)
{
	struct doctor_verdict v;

	doctor_weigh(&d->facts, d->mem, &v);
	if (json)
		doctor_say_json(d, &v);
	else
		say_text(d, &v);
	return v.slug ? CLI_FAILED : CLI_OK;
}
