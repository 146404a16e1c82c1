#include "answer/explain_code.h"

struct code_row {
	const char *enhanced; /* without the first figure; NULL: any */
	unsigned code;	      /* 0: any; 4: any, with an enhanced code that begins with it */
	struct code_meaning means[CODE_MEANINGS];
};

/* What both say together stands before what the enhanced code says, that before what the code says. */
static const struct code_row table[] = {
	{"5.1", 500, {{CAUSE_COMMAND_UNKNOWN, 60}}},
	{"5.1", 502, {{CAUSE_COMMAND_UNKNOWN, 45}, {CAUSE_COMMAND_NOT_ENABLED, 40}}},
	{"5.1", 503, {{CAUSE_AUTH_REQUIRED, 35}, {CAUSE_SEQ_NOT_ALLOWED_NOW, 35}, {CAUSE_RCPT_NONE_ACCEPTED, 20}}},
	{"5.1", 530, {{CAUSE_AUTH_REQUIRED, 65}}},
	{"7.0", 530, {{CAUSE_AUTH_REQUIRED, 60}, {CAUSE_TLS_REQUIRED, 30}}},
	{"7.0", 535, {{CAUSE_AUTH_BAD_CREDENTIALS, 68}}},
	{"7.1", 535, {{CAUSE_AUTH_BAD_CREDENTIALS, 65}, {CAUSE_AUTH_APP_PASSWORD, 15}}},
	{"7.0", 454, {{CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, 45}, {CAUSE_TLS_TEMPORARILY_UNAVAILABLE, 40}}},
	{"7.9", 534, {{CAUSE_AUTH_APP_PASSWORD, 45}, {CAUSE_AUTH_WEB_LOGIN, 30}, {CAUSE_AUTH_MECHANISM_UNKNOWN, 20}}},
	{"7.14", 534, {{CAUSE_AUTH_WEB_LOGIN, 62}}},
	{"1.1", 0, {{CAUSE_RCPT_UNKNOWN, 70}}},
	{"1.2", 0, {{CAUSE_RCPT_DOMAIN_NOT_FOUND, 65}}},
	{"1.3", 0, {{CAUSE_RCPT_SYNTAX, 60}}},
	{"1.6", 0, {{CAUSE_RCPT_UNKNOWN, 55}, {CAUSE_RCPT_DISABLED, 35}}},
	{"1.7", 0, {{CAUSE_SENDER_SYNTAX, 60}}},
	{"1.8",
	 550,
	 {{CAUSE_SENDER_DOMAIN_NOT_FOUND, 45}, {CAUSE_SENDER_ACCOUNT_SUSPENDED, 40}, {CAUSE_SENDER_BLOCKED, 15}}}, /* Exchange Online */
	{"1.8", 0, {{CAUSE_SENDER_DOMAIN_NOT_FOUND, 60}, {CAUSE_SENDER_BLOCKED, 20}}},
	{"1.10", 0, {{CAUSE_NULL_MX, 60}, {CAUSE_RCPT_UNKNOWN, 35}}},
	{"2.1", 4, {{CAUSE_RCPT_RATE_LIMITED, 35}, {CAUSE_RCPT_DISABLED, 30}, {CAUSE_SERVER_TEMP_ERROR, 20}}},
	{"2.1", 0, {{CAUSE_RCPT_DISABLED, 60}, {CAUSE_RCPT_UNKNOWN, 25}}},
	{"2.2", 0, {{CAUSE_RCPT_MAILBOX_FULL, 68}}},
	{"2.3", 0, {{CAUSE_MESSAGE_TOO_BIG, 65}}},
	{"3.1", 0, {{CAUSE_SERVER_STORAGE_FULL, 50}, {CAUSE_SERVER_TEMP_ERROR, 25}}},
	{"3.4", 0, {{CAUSE_MESSAGE_TOO_BIG, 68}}},
	{"4.1", 0, {{CAUSE_REMOTE_UNREACHABLE, 55}, {CAUSE_RCPT_UNKNOWN, 20}}},
	{"4.2", 0, {{CAUSE_REMOTE_LOST, 40}, {CAUSE_TIMEOUT, 35}}},
	{"4.3", 0, {{CAUSE_DNS_FAILURE, 58}}},
	{"4.4", 0, {{CAUSE_RCPT_DOMAIN_NOT_FOUND, 50}, {CAUSE_DNS_FAILURE, 25}}},
	{"4.6", 0, {{CAUSE_MAIL_LOOP, 65}}},
	{"4.7", 0, {{CAUSE_QUEUE_EXPIRED, 60}}},
	{"5.2", 0, {{CAUSE_COMMAND_SYNTAX, 45}, {CAUSE_COMMAND_UNKNOWN, 30}}},
	{"5.3", 0, {{CAUSE_TOO_MANY_RECIPIENTS, 68}}},
	{"5.4", 0, {{CAUSE_COMMAND_SYNTAX, 40}, {CAUSE_PARAM_UNKNOWN, 30}}},
	{"6.0", 0, {{CAUSE_MESSAGE_MALFORMED, 45}}},
	{"6.7", 0, {{CAUSE_SMTPUTF8_UNSUPPORTED, 60}}},
	{"7.2", 0, {{CAUSE_RCPT_REFUSES_SENDER, 45}}},
	{"7.4", 504, {{CAUSE_AUTH_MECHANISM_UNKNOWN, 66}}},
	{"7.8", 0, {{CAUSE_AUTH_BAD_CREDENTIALS, 70}}},
	{"7.9", 535, {{CAUSE_AUTH_APP_PASSWORD, 45}, {CAUSE_AUTH_MECHANISM_UNKNOWN, 30}}},
	{"7.10", 0, {{CAUSE_TLS_REQUIRED, 60}}},
	{"7.11", 0, {{CAUSE_AUTH_CLEARTEXT_REFUSED, 66}}},
	{"7.13", 0, {{CAUSE_AUTH_ACCOUNT_DISABLED, 62}}},
	{"7.20", 0, {{CAUSE_DKIM_FAIL, 66}}},
	{"7.21", 0, {{CAUSE_DKIM_FAIL, 66}}},
	{"7.22", 0, {{CAUSE_DKIM_FAIL, 66}}},
	{"7.23", 0, {{CAUSE_SPF_FAIL, 70}}},
	{"7.24", 0, {{CAUSE_SPF_FAIL, 60}}},
	{"7.25", 0, {{CAUSE_RDNS_MISSING, 70}}},
	{"7.26", 0, {{CAUSE_BULK_SENDER_AUTH_MISSING, 60}, {CAUSE_DMARC_REJECT, 28}}},
	{"7.27", 0, {{CAUSE_SENDER_DOMAIN_NOT_FOUND, 50}}},
	{"7.30", 0, {{CAUSE_REQUIRETLS_UNSUPPORTED, 60}}},
	{NULL, 535, {{CAUSE_AUTH_BAD_CREDENTIALS, 66}}},
	{NULL, 530, {{CAUSE_AUTH_REQUIRED, 60}, {CAUSE_TLS_REQUIRED, 20}}},
	{NULL, 538, {{CAUSE_AUTH_CLEARTEXT_REFUSED, 62}}},
	{NULL, 534, {{CAUSE_AUTH_APP_PASSWORD, 35}, {CAUSE_AUTH_WEB_LOGIN, 35}, {CAUSE_AUTH_MECHANISM_UNKNOWN, 20}}},
	{NULL, 556, {{CAUSE_NULL_MX, 60}}},
	{NULL, 502, {{CAUSE_COMMAND_NOT_ENABLED, 40}, {CAUSE_COMMAND_UNKNOWN, 40}}},
	{NULL, 500, {{CAUSE_COMMAND_UNKNOWN, 50}}},
	{NULL, 552, {{CAUSE_RCPT_MAILBOX_FULL, 38}, {CAUSE_MESSAGE_TOO_BIG, 35}}},
	{NULL, 503, {{CAUSE_AUTH_REQUIRED, 35}, {CAUSE_SEQ_NOT_ALLOWED_NOW, 35}, {CAUSE_RCPT_NONE_ACCEPTED, 20}}},
};

const struct code_meaning *code_means(unsigned code, struct span enhanced)
{
	const struct code_meaning *by_enhanced = NULL, *by_code = NULL;
	struct span rest = enhanced.len > 2 ? span_from(enhanced, 2) : SPAN_NONE;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct code_row *row = &table[i];

		if (!row->enhanced)
			by_code = row->code == code && !by_code ? row->means : by_code;
		else if (rest.len && span_eq(rest, span_str(row->enhanced)) && !by_enhanced &&
			 (!row->code || row->code == code || (row->code == 4 && enhanced.ptr[0] == '4')))
			by_enhanced = row->means;
	}
	return by_enhanced ? by_enhanced : by_code;
}
