#include "role/listener_rules.h"

void listener_smtp_rules(const struct conf *c, const struct conf_listener *l, struct smtp_rules *out)
{
	bool submission = l->kind == CONF_SUBMISSION;

	*out = (struct smtp_rules){
		.kind = submission ? SMTP_KIND_SUBMISSION : SMTP_KIND_MX,
		.hostname = c->hostname,
		.starttls = l->tls == CONF_TLS_STARTTLS,
		.auth = l->auth,
		.why = submission && c->history_days > 0,
		.auth_by_owner = l->network_count > 0 || l->relay_window,
		.auth_cleartext = l->auth_without_tls,
		.tls_required = l->tls_required,
		.mechanisms = c->mechanisms,
		.message_max_bytes = c->message_max_bytes,
		.rcpt_max = c->rcpt_max,
		.domain_max = c->domain_max,
		.early_refused = !submission && l->early == CONF_EARLY_REFUSE,
		.unauth_command_max = c->unauth_command_max,
		.transaction_max = c->transaction_max,
		.bad_command_max = c->bad_command_max,
		.noop_max = c->noop_max,
		.auth_failure_max = c->auth_failure_max,
		.hops_max = c->hops_max,
		.rcpt_open_max = c->rcpt_open_max,
		.greeting_ms = c->smtp_greeting_ms,
		.command_ms = c->smtp_command_ms,
		.data_ms = c->smtp_data_ms,
		.session_ms = c->smtp_session_ms,
		.auth_ms = c->smtp_auth_ms,
		.data_rate_floor = c->data_rate_floor,
	};
}

void listener_pop3_rules(const struct conf *c, const struct conf_listener *l, struct pop3_rules *out)
{
	*out = (struct pop3_rules){
		.hostname = c->hostname,
		.stls = l->tls == CONF_TLS_STARTTLS,
		.auth_cleartext = l->auth_without_tls,
		.mechanisms = c->mechanisms,
		.bad_command_max = c->bad_command_max,
		.noop_max = c->noop_max,
		.auth_failure_max = c->auth_failure_max,
		.command_ms = c->pop3_command_ms,
		.login_ms = c->pop3_login_ms,
		.session_ms = c->pop3_session_ms,
	};
}
