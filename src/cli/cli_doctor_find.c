/* Which servers belong to an address: the usual names below its domain, or the one that was given. */
#include <netdb.h>

#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_doctor.h"

const uint16_t doctor_usual_ports[] = {465, 587, 25, 2525, 26, 50, 995, 993, 110, 143, 0};

static bool doctor_find_same(const struct doctor_host *a, const struct doctor_host *b)
{
	return a->address_count && b->address_count && a->address_bytes[0] == b->address_bytes[0] &&
	       memcmp(&a->address[0], &b->address[0], a->address_bytes[0]) == 0;
}

static void doctor_find_lookup(struct doctor_host *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;

	doctor_progress("looking up %s", host->name);
	host->lookup = getaddrinfo(host->name, NULL, &hints, &found);
	for (struct addrinfo *at = host->lookup ? NULL : found; at && host->address_count < DOCTOR_ADDRESSES; at = at->ai_next) {
		memcpy(&host->address[host->address_count], at->ai_addr, at->ai_addrlen);
		host->address_bytes[host->address_count++] = at->ai_addrlen;
	}
	if (found)
		freeaddrinfo(found);
}

/* a name that leads to the same server as one before is kept out: nobody is asked twice */
static void doctor_find_add(struct doctor *d, const char *prefix, const char *name)
{
	struct doctor_host *host = &d->hosts[d->host_count];
	char text[LIMIT_DOMAIN_BYTES + 1];

	if (snprintf(text, sizeof(text), "%s%s", prefix, name) >= (int)sizeof(text))
		return;
	host->name = doctor_keep(d, text);
	doctor_find_lookup(host);
	for (size_t i = 0; i < d->host_count; i++)
		if (doctor_find_same(host, &d->hosts[i])) {
			*host = (struct doctor_host){0};
			return;
		}
	d->host_count++;
}

bool doctor_find_hosts(struct doctor *d, const char *server)
{
	const char *at = strrchr(d->address, '@'), *domain = at ? at + 1 : d->address;
	bool found = false;

	if (server || !at) {
		doctor_find_add(d, "", server ? server : domain);
	} else {
		doctor_find_add(d, "mail.", domain);
		doctor_find_add(d, "smtp.", domain);
		doctor_find_add(d, "", domain);
	}
	for (size_t i = 0; i < d->host_count; i++)
		found = found || d->hosts[i].address_count;
	return found;
}

bool doctor_find_port(const char *text, uint16_t *number_out, enum doctor_security *wanted_out)
{
	struct span rest = span_str(text), number = span_cut(&rest, '/');
	enum doctor_security wanted = DOCTOR_ANY;
	uint64_t n;

	if (num_parse(number, UINT16_MAX, &n) != RC_OK || n == 0)
		return false;
	for (enum doctor_security s = DOCTOR_NONE; rest.ptr && s <= DOCTOR_TLS; s++)
		if (span_eq_nocase(rest, span_str(doctor_security_name(s))))
			wanted = s;
	if (rest.ptr && wanted == DOCTOR_ANY)
		return false;
	*number_out = (uint16_t)n;
	*wanted_out = wanted;
	return true;
}
