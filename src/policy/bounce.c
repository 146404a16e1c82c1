#include "policy/bounce.h"

/* causes that speak of the way or of the mailbox, not of what the message holds or who seems to have sent it; NONE: an administrator ended it */
static const enum cause_id bounce_plain[] = {
	CAUSE_NONE, CAUSE_RCPT_UNKNOWN, CAUSE_RCPT_DISABLED, CAUSE_RCPT_MAILBOX_FULL, CAUSE_RCPT_OVER_QUOTA, CAUSE_RCPT_DOMAIN_NOT_FOUND, CAUSE_RCPT_DOMAIN_NOT_HOSTED,
	CAUSE_RCPT_SYNTAX, CAUSE_RCPT_ALIAS_LOOP, CAUSE_NULL_MX, CAUSE_REMOTE_UNREACHABLE, CAUSE_REMOTE_LOST, CAUSE_REMOTE_GARBLED, CAUSE_REMOTE_IN_DOUBT, CAUSE_DNS_FAILURE,
	CAUSE_QUEUE_EXPIRED, CAUSE_TIMEOUT, CAUSE_MESSAGE_TOO_BIG, CAUSE_SMTPUTF8_UNSUPPORTED, CAUSE_MAIL_LOOP, CAUSE_TOO_MANY_HOPS, CAUSE_LOCAL_DOMAIN_NOT_CONFIGURED,
	CAUSE_SMARTHOST_AUTH_FAILED, CAUSE_SMARTHOST_UNKNOWN, CAUSE_TLS_NOT_OFFERED, CAUSE_TLS_REQUIRED, CAUSE_TLS_CERT_NAME_MISMATCH, CAUSE_TLS_CERT_UNTRUSTED,
	CAUSE_TLS_HANDSHAKE_FAILED, CAUSE_TLS_REMOTE_MISSING, CAUSE_TLS_REMOTE_FAILED, CAUSE_TLS_DANE_LOOKUP, CAUSE_TLS_DANE_MISMATCH, CAUSE_TLS_STS_MISMATCH,
	CAUSE_REQUIRETLS_NEEDS_TLS, CAUSE_REQUIRETLS_UNSUPPORTED, CAUSE_GREYLISTED, CAUSE_SERVER_TEMP_ERROR, CAUSE_SERVER_OVERLOADED, CAUSE_SERVER_STORAGE_FULL,
};

static bool bounce_is_plain(enum cause_id cause)
{
	for (size_t i = 0; i < sizeof(bounce_plain) / sizeof(bounce_plain[0]); i++)
		if (bounce_plain[i] == cause)
			return true;
	return false;
}

enum bounce_to bounce_decide(const struct bounce_facts *f)
{
	if (f->sender_is_null) /* never an answer to that; a delay or a success is nobody's concern either */
		return f->failed && f->from_here ? BOUNCE_TO_POSTMASTER : BOUNCE_TO_NOBODY;
	if (f->asked_never)
		return BOUNCE_TO_NOBODY;
	if (!f->from_here && f->failed && !bounce_is_plain(f->cause))
		return BOUNCE_TO_NOBODY;
	return BOUNCE_TO_SENDER;
}
