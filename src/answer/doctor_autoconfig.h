/* doctor_autoconfig - reads the configuration file for mail programs that a domain may publish (config-v1.1.xml, "autoconfig"): the servers
 * in it, in its order. Reads XML of just that shape: elements, attributes, text, comments, CDATA, the five named entities and numbers; a
 * document type declaration (and with it every other entity) makes it malformed. Nothing is followed or fetched. Pure. */
#ifndef MAILROOM_ANSWER_DOCTOR_AUTOCONFIG_H
#define MAILROOM_ANSWER_DOCTOR_AUTOCONFIG_H

#include "answer/doctor_fact.h"

enum { DOCTOR_XML_BYTES = 64 << 10, DOCTOR_XML_DEPTH = 16 };

/* For that address, whose parts stand for %EMAILADDRESS%, %EMAILLOCALPART% and %EMAILDOMAIN%. false: malformed, nothing of it is used.
 * Servers without a host, a port or a protocol that is known are left out; *count_out may be 0. */
bool doctor_autoconfig_read(struct span xml, const char *address, struct arena *mem, struct doctor_service *out, size_t max,
			    size_t *count_out);

#endif
