#include "answer/facts.h"

/* what makes a cause how much less likely, and how that is said */
static const struct {
	enum cause_id cause;
	unsigned fact;
	bool is;
	double factor;
	const char *words;
} table[] = {
	{CAUSE_TLS_REQUIRED, FACT_TLS, true, 0.1, "the connection was encrypted"},
	{CAUSE_AUTH_CLEARTEXT_REFUSED, FACT_TLS, true, 0.1, "the connection was encrypted"},
	{CAUSE_TLS_MODE_MISMATCH, FACT_TLS, true, 0.1, "the connection was encrypted"},
	{CAUSE_TLS_HANDSHAKE_FAILED, FACT_TLS, true, 0.1, "the connection was encrypted"},
	{CAUSE_TLS_NOT_OFFERED, FACT_TLS, true, 0.1, "the connection was encrypted"},
	{CAUSE_TLS_NOT_OFFERED, FACT_TLS_OFFERED, true, 0.2, "STARTTLS was offered"},
	{CAUSE_AUTH_REQUIRED, FACT_AUTH_OK, true, 0.1, "the program had signed in"},
	{CAUSE_RELAY_DENIED_UNAUTH, FACT_AUTH_OK, true, 0.3, "the program had signed in"},
	{CAUSE_POP_BEFORE_SMTP, FACT_AUTH_OK, true, 0.2, "the program had signed in"},
	{CAUSE_POP_BEFORE_SMTP, FACT_AUTH_OFFERED, true, 0.4, "the server offers to sign in"},
	{CAUSE_AUTH_BAD_CREDENTIALS, FACT_AUTH_OK, true, 0.1, "the sign-in had been accepted"},
	{CAUSE_AUTH_BAD_CREDENTIALS, FACT_AUTH_TRIED, false, 0.15, "the program did not try to sign in"},
	{CAUSE_AUTH_APP_PASSWORD, FACT_AUTH_TRIED, false, 0.15, "the program did not try to sign in"},
	{CAUSE_AUTH_NOT_ADVERTISED, FACT_AUTH_OFFERED, true, 0.2, "AUTH was offered"},
	{CAUSE_AUTH_NOT_ADVERTISED, FACT_AUTH_TRIED, false, 0.3, "the program did not try to sign in"},
	{CAUSE_RELAY_DENIED_UNAUTH, FACT_RCPT_LOCAL, true, 0.2, "the recipient's domain is the server's own"},
	{CAUSE_RCPT_DOMAIN_NOT_HOSTED, FACT_RCPT_LOCAL, true, 0.3, "the recipient's domain is the server's own"},
	{CAUSE_RCPT_DOMAIN_NOT_FOUND, FACT_RCPT_LOCAL, true, 0.3, "the recipient's domain is the server's own"},
	{CAUSE_SUBMISSION_ON_PORT_25, FACT_AUTH_OFFERED, true, 0.5, "AUTH was offered"},
	{CAUSE_SEQ_NO_HELO, FACT_GREETED, true, 0.2, "the program had greeted the server"},
	{CAUSE_SEQ_NO_MAIL, FACT_SENDER_OK, true, 0.2, "a sender had been accepted"},
	{CAUSE_SEQ_NO_RCPT, FACT_RCPT_NAMED, true, 0.2, "a recipient had been named"},
	{CAUSE_RCPT_NONE_ACCEPTED, FACT_RCPT_OK, true, 0.2, "a recipient had been accepted"},
	{CAUSE_RCPT_UNKNOWN, FACT_RCPT_NAMED, false, 0.3, "no recipient had been named yet"},
	{CAUSE_RCPT_UNKNOWN, FACT_RCPT_AWAY, true, 0.3, "the sender's domain is the server's own, and the recipient's is another"},
	{CAUSE_RCPT_MAILBOX_FULL, FACT_RCPT_NAMED, false, 0.3, "no recipient had been named yet"},
	{CAUSE_RCPT_DISABLED, FACT_RCPT_NAMED, false, 0.3, "no recipient had been named yet"},
	{CAUSE_RCPT_DOMAIN_NOT_FOUND, FACT_RCPT_NAMED, false, 0.3, "no recipient had been named yet"},
	{CAUSE_SPAM_CONTENT, FACT_CONTENT, false, 0.4, "no content had been sent yet"},
	{CAUSE_VIRUS_DETECTED, FACT_CONTENT, false, 0.2, "no content had been sent yet"},
	{CAUSE_ATTACHMENT_TYPE_BLOCKED, FACT_CONTENT, false, 0.2, "no content had been sent yet"},
	{CAUSE_DKIM_FAIL, FACT_CONTENT, false, 0.2, "no content had been sent yet"},
	{CAUSE_DMARC_REJECT, FACT_CONTENT, false, 0.2, "no content had been sent yet"},
	{CAUSE_MESSAGE_MALFORMED, FACT_CONTENT, false, 0.2, "no content had been sent yet"},
	{CAUSE_LINE_TOO_LONG, FACT_CONTENT, false, 0.4, "no content had been sent yet"},
	{CAUSE_PORT_BLOCKED_OR_WRONG_HOST, FACT_CONNECTED, true, 0.2, "the server did answer"},
	{CAUSE_PORT25_OUTBOUND_BLOCKED, FACT_CONNECTED, true, 0.2, "the server did answer"},
	{CAUSE_IP_DYNAMIC_RANGE, FACT_AUTH_OK, true, 0.5,
	 "the program had signed in, and such addresses are refused to those who have not"},
	{CAUSE_RDNS_MISSING, FACT_AUTH_OK, true, 0.5, "the program had signed in, and names are asked of those who have not"},
};

static bool facts_contradict(const struct facts *facts, size_t row)
{
	return (facts->known & table[row].fact) && !!(facts->are & table[row].fact) == table[row].is;
}

const char *facts_against(const struct facts *facts, enum cause_id cause, size_t *from)
{
	for (; *from < sizeof(table) / sizeof(table[0]); ++*from)
		if (table[*from].cause == cause && facts_contradict(facts, *from))
			return table[(*from)++].words;
	return NULL;
}

void facts_weigh(const struct facts *facts, struct explanation *e)
{
	double all = 1; /* what the causes lose is shared out among them and "none of these" */
	bool changed = false;

	for (size_t i = 0; i < e->count; i++) {
		double factor = 1;

		for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++)
			if (table[row].cause == e->found[i].cause && facts_contradict(facts, row))
				factor *= table[row].factor;
		changed = changed || factor < 1;
		all -= e->found[i].confidence * (1 - factor);
		e->found[i].confidence *= factor;
	}
	if (!changed)
		return;
	for (size_t i = 0; i < e->count; i++)
		e->found[i].confidence /= all > 0.1 ? all : 0.1;
	explain_settle(e);
}
