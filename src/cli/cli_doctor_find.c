/* Which servers belong to an address: what its domain publishes (SRV, autoconfig), what its MX tells, the usual names below it. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_doctor_dns.h"

const char *doctor_domain(const struct doctor *d)
{
	const char *at = strrchr(d->facts.address, '@');

	return at ? at + 1 : d->facts.address;
}

/* ---- hosts */

static bool find_is_name(const char *name)
{
	size_t len = strlen(name);

	return len && len <= LIMIT_DOMAIN_BYTES && span_is_vchar(span_str(name)) && !strpbrk(name, "/%<>\"\\@()[],;");
}

static bool find_same(const struct doctor_host *a, const struct doctor_host *b)
{
	return a->address_count && b->address_count && a->address_bytes[0] == b->address_bytes[0] &&
	       memcmp(&a->address[0], &b->address[0], a->address_bytes[0]) == 0;
}

const struct doctor_host *doctor_find_host(struct doctor *d, const char *name, enum doctor_source source, bool trusted)
{
	struct doctor_facts *f = &d->facts;
	struct doctor_host *host = &f->hosts[f->host_count];

	for (size_t i = 0; i < f->host_count; i++)
		if (span_eq_nocase(span_str(f->hosts[i].name), span_str(name))) {
			f->hosts[i].trusted = f->hosts[i].trusted || trusted;
			return &f->hosts[i];
		}
	if (f->host_count == DOCTOR_HOSTS || !find_is_name(name))
		return NULL;
	*host = (struct doctor_host){.name = doctor_keep(d, name), .source = source};
	host->trusted = trusted || doctor_is_below(name, doctor_domain(d));
	f->host_count++;
	doctor_progress("looking up %s", host->name);
	doctor_dns_addresses(d->dns, host);
	return host;
}

/* a guess that leads to the same server as one before is kept out: nobody is asked twice */
static void find_guess(struct doctor *d, const char *prefix, const char *name, enum doctor_source source)
{
	struct doctor_facts *f = &d->facts;
	const struct doctor_host *host;
	size_t before = f->host_count;
	char text[LIMIT_DOMAIN_BYTES + 1];

	if (snprintf(text, sizeof(text), "%s%s", prefix, name) >= (int)sizeof(text))
		return;
	host = doctor_find_host(d, text, source, false);
	for (size_t i = 0; host && i < before; i++)
		if (f->host_count > before && find_same(host, &f->hosts[i])) {
			f->host_count = before;
			return;
		}
}

/* ---- what is published */

static void find_srv(struct doctor *d)
{
	struct doctor_facts *f = &d->facts;
	char name[LIMIT_DOMAIN_BYTES + 32];

	for (const struct doctor_srv_name *s = doctor_srv_names; s->prefix; s++) {
		struct doctor_record records[DOCTOR_RECORDS];
		size_t count = 0;
		bool secure;

		(void)snprintf(name, sizeof(name), "%s%s", s->prefix, doctor_domain(d));
		doctor_progress("looking up %s", name);
		if (doctor_dns_srv(d->dns, name, d->mem, records, &count, &secure) >= DOCTOR_DNS_SILENT)
			return;
		/* a target "." says that there is no such service (RFC 2782) */
		for (size_t i = 0; i < count && i < 2 && f->service_count < DOCTOR_SERVICES; i++)
			if (records[i].target[0] && records[i].port)
				f->services[f->service_count++] = (struct doctor_service){
					s->protocol, s->security, DOCTOR_SRV, records[i].port, secure, records[i].target, ""};
	}
}

static void find_mx(struct doctor *d)
{
	struct doctor_facts *f = &d->facts;
	struct doctor_record records[DOCTOR_RECORDS];
	size_t count = 0;

	doctor_progress("looking up the MX of %s", doctor_domain(d));
	if (doctor_dns_mx(d->dns, doctor_domain(d), d->mem, records, &count) != DOCTOR_FOUND || !count || !records[0].target[0])
		return;
	if (!f->service_count)
		f->service_count = doctor_provider_services(records[0].target, f->services, DOCTOR_SERVICES);
	if (!f->service_count)
		find_guess(d, "", records[0].target, DOCTOR_MX);
}

static void find_guesses(struct doctor *d)
{
	static const char *const prefixes[] = {"mail.", "smtp.", "imap.", "pop.", ""};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		find_guess(d, prefixes[i], doctor_domain(d), DOCTOR_GUESS);
}

void doctor_find_published(struct doctor *d)
{
	struct doctor_facts *f = &d->facts;

	find_srv(d);
	if (!f->service_count)
		doctor_fetch_autoconfig(d);
	if (!f->service_count)
		find_mx(d);
	for (size_t i = 0; i < f->service_count; i++)
		(void)doctor_find_host(d, f->services[i].host, f->services[i].source, f->services[i].secure);
}

static bool find_any(const struct doctor_facts *f)
{
	for (size_t i = 0; i < f->host_count; i++)
		if (f->hosts[i].address_count)
			return true;
	return false;
}

bool doctor_find(struct doctor *d, const char *server)
{
	struct doctor_facts *f = &d->facts;

	if (server || !strchr(f->address, '@')) {
		(void)doctor_find_host(d, server ? server : doctor_domain(d), DOCTOR_GIVEN, true);
		return find_any(f);
	}
	doctor_find_published(d);
	if (!f->service_count)
		find_guesses(d);
	return find_any(f);
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

/* ---- this computer */

/* a datagram socket that is connected sends nothing, but fails where there is no route */
static bool find_has_route(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0xc6336401)}; /* 198.51.100.1 */
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(53), .sin6_addr.s6_addr = {0x20, 1, 0xd, 0xb8, 1}}; /* 2001:db8:100:: */
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool there = false;

	if (fd >= 0) {
		there = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0
					  : connect(fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
		(void)close(fd);
	}
	return there;
}

void doctor_find_network(struct doctor_facts *f)
{
	struct ifaddrs *all = NULL;
	bool address = false;

	if (getifaddrs(&all) == 0)
		for (struct ifaddrs *at = all; at; at = at->ifa_next)
			address = address || (at->ifa_addr && (at->ifa_flags & IFF_UP) && !(at->ifa_flags & IFF_LOOPBACK) &&
					      (at->ifa_addr->sa_family == AF_INET ||
					       (at->ifa_addr->sa_family == AF_INET6 &&
						!IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)at->ifa_addr)->sin6_addr))));
	freeifaddrs(all);
	f->has_network = address && (find_has_route(AF_INET) || find_has_route(AF_INET6));
}
