/* cli_doctor_dns - asks for names, each within DOCTOR_NAME_MS: libunbound over the resolvers of this computer (or one that was given), its
 * hosts file first, and getaddrinfo for what only this computer knows. Tells a resolver that says no from one that says nothing. */
#ifndef MAILROOM_CLI_CLI_DOCTOR_DNS_H
#define MAILROOM_CLI_CLI_DOCTOR_DNS_H

#include "answer/doctor_record.h"
#include "cli/cli_doctor.h"

/* `resolver`: "192.0.2.1" or "192.0.2.1@5353"; NULL: those of the system. NULL: no such, said in err */
struct doctor_dns *doctor_dns_open(const char *resolver, struct err *err);
void doctor_dns_close(struct doctor_dns **dns);
/* who is asked, for people: "192.0.2.1, 192.0.2.2"; "" none */
const char *doctor_dns_resolvers(const struct doctor_dns *dns);
/* addresses, IPv6 and IPv4, into host; its lookup is set */
void doctor_dns_addresses(struct doctor_dns *dns, struct doctor_host *host);
/* SRV or MX records, the most wanted first; `secure_out`: proven by DNSSEC */
enum doctor_lookup doctor_dns_srv(struct doctor_dns *dns, const char *name, struct arena *mem, struct doctor_record *out, size_t *count_out,
				  bool *secure_out);
enum doctor_lookup doctor_dns_mx(struct doctor_dns *dns, const char *name, struct arena *mem, struct doctor_record *out, size_t *count_out);

#endif
