/* What the doctor's values are called in JSON and in words. */
#include "answer/doctor_weigh.h"

#include "cause/cause.h"

const char *doctor_security_name(enum doctor_security security)
{
	static const char *const names[] = {
		[DOCTOR_ANY] = "any", [DOCTOR_NONE] = "none", [DOCTOR_STARTTLS] = "starttls", [DOCTOR_TLS] = "tls"};

	return names[security];
}

const char *doctor_protocol_name(enum doctor_protocol protocol)
{
	static const char *const names[] = {
		[DOCTOR_UNKNOWN] = "unknown", [DOCTOR_SMTP] = "smtp", [DOCTOR_POP3] = "pop3", [DOCTOR_IMAP] = "imap"};

	return names[protocol];
}

const char *doctor_net_name(enum doctor_net net)
{
	static const char *const names[] = {[DOCTOR_OPEN] = "open",
					    [DOCTOR_REFUSED] = "refused",
					    [DOCTOR_TIMED_OUT] = "timed-out",
					    [DOCTOR_UNREACHABLE] = "unreachable",
					    [DOCTOR_NOT_TRIED] = "not-tried"};

	return names[net];
}

const char *doctor_source_name(enum doctor_source source)
{
	static const char *const names[] = {[DOCTOR_GIVEN] = "given",	    [DOCTOR_SRV] = "srv", [DOCTOR_AUTOCONFIG] = "autoconfig",
					    [DOCTOR_PROVIDER] = "provider", [DOCTOR_MX] = "mx",	  [DOCTOR_GUESS] = "guess"};

	return names[source];
}

const char *doctor_next_step(const char *slug)
{
	const struct cause *cause = cause_get(cause_by_slug(span_str(slug)));
	const char *other = NULL;

	for (const struct cause_advice *fix = cause ? cause->fixes : NULL; fix && fix->who; fix++) {
		if (strcmp(fix->who, "client") == 0 || strcmp(fix->who, "sender") == 0)
			return fix->what;
		if (!other || strcmp(fix->who, "admin") == 0)
			other = fix->what;
	}
	return other;
}
