/* doctor_record - reads the records of the DNS that name mail servers: SRV and MX data, uncompressed as a resolver library hands them out,
 * and knows where the big providers' submission servers are by the name of their MX. Pure; names go into the arena, lower case, without
 * the last dot; only names of letters, digits, "-" and "_" are taken. RFC 2782, 6186, 8314, 7505. */
#ifndef MAILROOM_ANSWER_DOCTOR_RECORD_H
#define MAILROOM_ANSWER_DOCTOR_RECORD_H

#include "answer/doctor_fact.h"

enum { DOCTOR_RECORDS = 16 };

struct doctor_record {
	uint16_t priority, weight, port; /* of MX only the priority */
	const char *target;		 /* "": the root, which says that there is none */
};

/* false: malformed */
bool doctor_record_srv(struct span data, struct arena *mem, struct doctor_record *out);
bool doctor_record_mx(struct span data, struct arena *mem, struct doctor_record *out);
/* The most wanted first; of equal priority the heaviest, as all are tried and none has to be spared. */
void doctor_record_sort(struct doctor_record *records, size_t count);

/* what RFC 6186 and 8314 ask for, in the order in which they are tried; ends with NULL */
struct doctor_srv_name {
	const char *prefix;
	enum doctor_protocol protocol;
	enum doctor_security security;
};
extern const struct doctor_srv_name doctor_srv_names[];

/* the servers for mail programs of the provider whose MX that is; returns how many were filled, 0: none that is known */
size_t doctor_provider_services(const char *mx, struct doctor_service *out, size_t max);

/* `name` is `domain` or lies below it */
bool doctor_is_below(const char *name, const char *domain);

#endif
