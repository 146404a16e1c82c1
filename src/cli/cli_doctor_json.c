/* The verdict and all that it rests on as JSON. */
#include "answer/doctor_program.h"
#include "cli/cli_doctor.h"
#include "cli/cli_print.h"
#include "mailroom/answer.h"

static json_t *json_or_null(const char *text)
{
	return text && text[0] ? cli_json_text(span_str(text)) : json_null();
}

static json_t *json_port(const struct doctor_facts *f, const struct doctor_port *port)
{
	json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s}", "server", port->host->name, "port",
			      port->number, "network", doctor_net_name(port->net), "protocol", doctor_protocol_name(port->protocol),
			      "security", doctor_security_name(port->security), "fine", port->fine, "evidence", port->evidence,
			      "auth_clear", port->auth_clear, "auth_tls", port->auth_tls, "certificate", port->certificate, "banner",
			      port->banner, "tested", doctor_tested(port, f));

	json_object_set_new(j, "signed_in", json_boolean(port->signed_in));
	json_object_set_new(j, "relayed", json_boolean(port->relayed));
	json_object_set_new(j, "sent", json_boolean(port->sent));
	json_object_set_new(j, "said_by_server", json_boolean(port->server_said));
	json_object_set_new(j, "size_bytes", json_integer((json_int_t)(port->size_bytes > INT64_MAX ? INT64_MAX : port->size_bytes)));
	json_object_set_new(j, "slug", json_or_null(port->slug));
	return j;
}

static json_t *json_setting(const struct doctor_facts *f, const struct doctor_port *port)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:s}", "protocol", doctor_protocol_name(port->protocol), "server", port->host->name, "port",
			 port->number, "security", doctor_security_name(port->security), "login", f->login);
}

static json_t *json_found(const struct doctor_facts *f)
{
	json_t *found = json_array();

	for (size_t i = 0; i < f->service_count; i++) {
		const struct doctor_service *s = &f->services[i];

		json_array_append_new(found, json_pack("{s:s, s:s, s:s, s:i, s:s, s:b}", "source", doctor_source_name(s->source),
						       "protocol", doctor_protocol_name(s->protocol), "server", s->host, "port", s->port,
						       "security", doctor_security_name(s->security), "unforged", s->secure));
	}
	return found;
}

static json_t *json_hosts(const struct doctor_facts *f)
{
	static const char *const words[] = {
		[DOCTOR_FOUND] = "found",	  [DOCTOR_NO_NAME] = "no-such-name", [DOCTOR_NO_ADDRESS] = "no-address",
		[DOCTOR_DNS_FAILED] = "servfail", [DOCTOR_DNS_SILENT] = "no-answer", [DOCTOR_NO_RESOLVER] = "no-resolver"};
	json_t *hosts = json_array();

	for (size_t i = 0; i < f->host_count; i++)
		json_array_append_new(hosts, json_pack("{s:s, s:s, s:s}", "server", f->hosts[i].name, "source",
						       doctor_source_name(f->hosts[i].source), "lookup", words[f->hosts[i].lookup]));
	return hosts;
}

static void json_add_line(json_t *to, const char *key, const struct doctor_facts *f, size_t program, const struct doctor_port *port)
{
	struct buf line;

	buf_init(&line, DOCTOR_PROGRAM_LINE_BYTES);
	if (port && doctor_program_line(&line, program, f, port))
		json_object_set_new(to, key, cli_json_text(buf_span(&line)));
	buf_clear(&line);
}

static json_t *json_programs(const struct doctor_facts *f)
{
	const struct doctor_port *smtp = doctor_best(f, DOCTOR_SMTP), *imap = doctor_best(f, DOCTOR_IMAP),
				 *pop3 = doctor_best(f, DOCTOR_POP3);
	json_t *programs = json_array();

	for (size_t i = 0; (smtp || imap || pop3) && i < doctor_program_count(); i++) {
		json_t *one = json_pack("{s:s, s:s}", "program", doctor_program_slug(i), "name", doctor_program_name(i)),
		       *steps = json_array();

		json_add_line(one, "sending", f, i, smtp);
		json_add_line(one, "imap", f, i, imap);
		json_add_line(one, "pop3", f, i, pop3);
		for (size_t s = 0; s < doctor_program_step_count(i); s++) {
			struct buf step;

			buf_init(&step, DOCTOR_PROGRAM_LINE_BYTES);
			if (doctor_program_step(&step, i, s, f, smtp, imap, pop3))
				json_array_append_new(steps, cli_json_text(buf_span(&step)));
			buf_clear(&step);
		}
		json_object_set_new(one, "steps", steps);
		json_array_append_new(programs, one);
	}
	return programs;
}

static json_t *json_events(const struct doctor_facts *f)
{
	json_t *events = json_array();

	for (size_t i = 0; i < f->event_count; i++) {
		const struct doctor_event *e = &f->events[i];
		const char *meaning = mailroom_cause_meaning(e->slug);

		json_array_append_new(events,
				      json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "slug", e->slug, "code", (int)e->code,
						"at", e->at, "session", e->session, "command", e->command, "detail", e->detail, "limit",
						e->limit, "retry", e->retry, "meaning", meaning ? meaning : ""));
	}
	return events;
}

void doctor_say_json(const struct doctor *d, const struct doctor_verdict *v)
{
	const struct doctor_facts *f = &d->facts;
	json_t *ports = json_array(), *settings = json_array(), *notes = json_array(), *out;

	for (size_t i = 0; i < f->port_count; i++) {
		json_array_append_new(ports, json_port(f, &f->ports[i]));
		if (f->ports[i].fine && !f->ports[i].second)
			json_array_append_new(settings, json_setting(f, &f->ports[i]));
	}
	for (size_t i = 0; i < v->note_count; i++)
		json_array_append_new(notes, cli_json_text(span_str(v->notes[i])));
	out = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "address", f->address, "ok", v->slug == NULL, "hosts",
			json_hosts(f), "found", json_found(f), "ports", ports, "settings", settings, "programs", json_programs(f),
			"server_says", json_events(f), "notes", notes);
	json_object_set_new(out, "network", json_boolean(f->has_network));
	json_object_set_new(out, "clock_ahead_s", f->clock_known ? json_integer((json_int_t)(f->clock_ahead_ms / 1000)) : json_null());
	json_object_set_new(out, "slug", json_or_null(v->slug));
	if (v->slug) {
		const char *meaning = mailroom_cause_meaning(v->slug), *next = doctor_next_step(v->slug);

		json_object_set_new(out, "meaning", json_string(meaning ? meaning : ""));
		json_object_set_new(out, "evidence", cli_json_text(span_str(v->evidence)));
		json_object_set_new(out, "next", json_string(next ? next : ""));
	}
	cli_print_json(out);
}
