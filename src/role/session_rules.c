#include "role/session_rules.h"

#include "mail/address.h"
#include "mail/header_field.h"
#include "role/session_smtp.h"

static struct span rules_domain(const struct session_rules *r)
{
	return span_of(r->domain, r->domain_bytes);
}

void session_rules_restart(struct session *s)
{
	s->smtp->rules.domain_bytes = 0;
	s->smtp->rules.others = false;
	session_rules_forget(s);
}

void session_rules_forget(struct session *s)
{
	s->smtp->rules.then = NULL;
}

enum cause_id session_rules_rcpt(struct session *s, struct span domain)
{
	struct session_rules *r = &s->smtp->rules;
	uint8_t room[LIMIT_DOMAIN_BYTES];

	domain = address_domain_key(domain, room);
	if (domain.len == 0 && r->domain_bytes == 0) {
		r->others = true;
		return CAUSE_NONE;
	}
	if (domain.len == 0 || domain.len > sizeof(r->domain) || r->others || (r->domain_bytes && !span_eq(domain, rules_domain(r))))
		return CAUSE_RCPT_OWN_TRANSACTION;
	memcpy(r->domain, domain.ptr, domain.len);
	r->domain_bytes = domain.len;
	return CAUSE_NONE;
}

static bool rules_match(const struct header_field *f, const struct msg_list *rules)
{
	struct span cursor = rules->raw, field;
	struct rec_address rule;

	while (rec_address_next(&cursor, &rule)) {
		field = span_cut(&rule.text, ':');
		if (span_eq_nocase(field, f->name) && header_value_like(f->value, rule.text))
			return true;
	}
	return false;
}

static void rules_on_rules(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	const struct msg_header_rules *m = msg && type == MSG_HEADER_RULES && msg->header_rules.cause < CAUSE_COUNT ? &msg->header_rules : NULL;
	struct session_rules *r = &s->smtp->rules;
	struct verdict v = {.cause = m ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR};
	session_rules_then *then = r->then;
	struct span head;
	struct header_field f;

	if (!then || r->ask.id != engine_ask) /* the message was given up meanwhile */
		return;
	r->then = NULL;
	head = session_body_head(s->smtp->body, r->ask.header);
	while (v.cause == CAUSE_NONE && header_field_next(&head, &f))
		if (rules_match(&f, &m->rules))
			v = (struct verdict){.cause = CAUSE_SPAM_CONTENT, .facts = {.rule = rules_domain(r)}};
	then(s, &r->ask, &v);
}

void session_rules_check(struct session *s, const struct smtp_ask *ask, session_rules_then *then)
{
	struct session_rules *r = &s->smtp->rules;
	struct msg_header_rules_get m = {.session = s->id, .domain = rules_domain(r)};

	if (r->domain_bytes == 0 || !s->worker->store) {
		then(s, ask, &(struct verdict){.cause = r->domain_bytes ? CAUSE_SERVER_TEMP_ERROR : CAUSE_NONE});
		return;
	}
	r->ask = *ask;
	r->then = then;
	m.ask = worker_ask(s, ROLE_STORE, ask->id, rules_on_rules);
	chan_send(s->worker->store, MSG_HEADER_RULES_GET, &m);
}
