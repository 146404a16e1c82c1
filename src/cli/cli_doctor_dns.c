#include "cli/cli_doctor_dns.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <unbound.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

enum {
	DNS_RESOLVERS = 3,
	DNS_CONF_BYTES = 16 << 10,
	DNS_PORT = 53,
	DNS_TYPE_A = 1,
	DNS_TYPE_MX = 15,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
	DNS_SILENT_MOST = 2
};
enum { DNS_TRY_MS = 1500, DNS_TRIES = 2, DNS_PACKET_BYTES = 512 };

struct doctor_dns {
	struct ub_ctx *ctx;
	struct buf names; /* for people */
	struct sockaddr_storage resolver[DNS_RESOLVERS];
	socklen_t resolver_bytes[DNS_RESOLVERS];
	size_t count;
	bool own;	 /* the system's, so this computer may know more names than they do */
	unsigned silent; /* questions that nobody answered; after some no more are asked */
};

/* ---- whom to ask */

static bool dns_parse_address(const char *text, uint16_t port, struct sockaddr_storage *out, socklen_t *bytes_out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*bytes_out = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	*bytes_out = sizeof(*v6);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

/* "ADDRESS" or "ADDRESS@PORT" */
static bool dns_add_resolver(struct doctor_dns *dns, struct span text)
{
	struct span port_text = text, address_text = span_cut(&port_text, '@');
	char *address = mem_str_span(address_text), *whole = mem_str_span(text);
	uint64_t port = DNS_PORT;
	bool fine;

	fine = dns->count < DNS_RESOLVERS && (!port_text.ptr || (num_parse(port_text, UINT16_MAX, &port) == RC_OK && port)) &&
	       dns_parse_address(address, (uint16_t)port, &dns->resolver[dns->count], &dns->resolver_bytes[dns->count]) &&
	       ub_ctx_set_fwd(dns->ctx, whole) == 0;
	if (fine) {
		buf_printf(&dns->names, "%s%s", dns->count ? ", " : "", whole);
		dns->count++;
	}
	free(address);
	free(whole);
	return fine;
}

/* the lines "nameserver ADDRESS"; others do not matter here */
static void dns_add_system(struct doctor_dns *dns)
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char *text = mem_alloc(DNS_CONF_BYTES);
	size_t len = f ? fread(text, 1, DNS_CONF_BYTES, f) : 0;

	for (struct span rest = span_of(text, len); rest.ptr;) {
		struct span line = span_trim(span_cut(&rest, '\n'));

		if (span_starts(line, SPAN_LIT("nameserver ")) || span_starts(line, SPAN_LIT("nameserver\t"))) {
			line = span_trim(span_from(line, 11));
			(void)dns_add_resolver(dns, span_cut(&line, ' '));
		}
	}
	if (f)
		(void)fclose(f);
	free(text);
	(void)ub_ctx_hosts(dns->ctx, NULL); /* without one it is only the resolver's word */
	dns->own = true;
}

struct doctor_dns *doctor_dns_open(const char *resolver, struct err *err)
{
	struct doctor_dns *dns = mem_zalloc(sizeof(*dns));

	buf_init(&dns->names, DOCTOR_TEXT_BYTES);
	dns->ctx = ub_ctx_create();
	if (!dns->ctx || ub_ctx_set_option(dns->ctx, "do-not-query-localhost:", "no") != 0 || ub_ctx_async(dns->ctx, 1) != 0) {
		(void)err_set(err, RC_IO, "the resolver library does not start");
		doctor_dns_close(&dns);
		return NULL;
	}
	if (!resolver)
		dns_add_system(dns);
	else if (!dns_add_resolver(dns, span_str(resolver))) {
		(void)err_set(err, RC_BAD, "--resolver: an address such as 192.0.2.1 or 192.0.2.1@5353 would be right");
		doctor_dns_close(&dns);
	}
	return dns;
}

void doctor_dns_close(struct doctor_dns **dns)
{
	if (!*dns)
		return;
	if ((*dns)->ctx)
		ub_ctx_delete((*dns)->ctx);
	buf_clear(&(*dns)->names);
	free(*dns);
	*dns = NULL;
}

const char *doctor_dns_resolvers(const struct doctor_dns *dns)
{
	return buf_cstr((struct buf *)&dns->names);
}

/* ---- is anybody there: one question, asked by hand, as the library does not tell silence from "I cannot say" */

static bool dns_try(const struct sockaddr_storage *to, socklen_t bytes)
{
	static const uint8_t question[] = {0x4d, 0x72, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}; /* the name servers of the root */
	uint8_t answer[DNS_PACKET_BYTES];
	int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool there = false;

	for (int i = 0; fd >= 0 && i < DNS_TRIES && !there; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if ((i == 0 && connect(fd, (const struct sockaddr *)to, bytes) != 0) ||
		    send(fd, question, sizeof(question), MSG_NOSIGNAL) < 0)
			break;
		there = poll(&p, 1, DNS_TRY_MS) > 0 && recv(fd, answer, sizeof(answer), 0) >= 12 && memcmp(answer, question, 2) == 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return there;
}

static enum doctor_lookup dns_silent_or_not(struct doctor_dns *dns)
{
	for (size_t i = 0; i < dns->count; i++)
		if (dns_try(&dns->resolver[i], dns->resolver_bytes[i]))
			return DOCTOR_DNS_FAILED;
	dns->silent++;
	return DOCTOR_DNS_SILENT;
}

/* ---- one question */

struct dns_question {
	bool there;
	struct ub_result *result; /* NULL: it failed */
};

static void dns_take(void *arg, int error, struct ub_result *result)
{
	struct dns_question *a = arg;

	a->there = true;
	if (error)
		ub_resolve_free(result);
	else
		a->result = result;
}

/* *result_out is for ub_resolve_free, and NULL unless something was found */
static enum doctor_lookup dns_ask(struct doctor_dns *dns, const char *name, int type, struct ub_result **result_out)
{
	mono_ms deadline = clock_mono_ms() + DOCTOR_NAME_MS, now;
	struct pollfd p = {.fd = ub_fd(dns->ctx), .events = POLLIN};
	struct dns_question answer = {0};
	int id = 0;

	*result_out = NULL;
	if (dns->silent >= DNS_SILENT_MOST)
		return DOCTOR_DNS_SILENT;
	if (ub_resolve_async(dns->ctx, name, type, 1, &answer, dns_take, &id) != 0)
		return DOCTOR_NO_NAME; /* it cannot be one */
	while (!answer.there && (now = clock_mono_ms()) < deadline)
		if (poll(&p, 1, (int)(deadline - now)) > 0)
			(void)ub_process(dns->ctx);
	if (!answer.there && ub_cancel(dns->ctx, id) != 0)
		(void)ub_wait(dns->ctx); /* it came just now: its place is on this stack */
	if (answer.result && answer.result->havedata && !answer.result->bogus) {
		*result_out = answer.result;
		return DOCTOR_FOUND;
	}
	if (answer.result && (answer.result->nxdomain || answer.result->rcode == 0)) {
		bool unknown = answer.result->nxdomain;

		ub_resolve_free(answer.result);
		return unknown ? DOCTOR_NO_NAME : DOCTOR_NO_ADDRESS;
	}
	ub_resolve_free(answer.result);
	return dns->count ? dns_silent_or_not(dns) : DOCTOR_NO_RESOLVER;
}

/* ---- addresses */

static void dns_add_address(struct doctor_host *host, int family, struct span raw)
{
	struct sockaddr_storage *to = &host->address[host->address_count];

	if (host->address_count == DOCTOR_ADDRESSES || raw.len != (family == AF_INET ? 4U : 16U))
		return;
	memset(to, 0, sizeof(*to));
	to->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		memcpy(&((struct sockaddr_in *)to)->sin_addr, raw.ptr, raw.len);
	else
		memcpy(&((struct sockaddr_in6 *)to)->sin6_addr, raw.ptr, raw.len);
	host->address_bytes[host->address_count++] = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* what only this computer knows: names of the local network, of its own name service */
static void dns_ask_system(struct doctor_host *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;

	if (getaddrinfo(host->name, NULL, &hints, &found) != 0)
		return;
	for (struct addrinfo *at = found; at && host->address_count < DOCTOR_ADDRESSES; at = at->ai_next) {
		memcpy(&host->address[host->address_count], at->ai_addr, at->ai_addrlen);
		host->address_bytes[host->address_count++] = at->ai_addrlen;
	}
	freeaddrinfo(found);
}

void doctor_dns_addresses(struct doctor_dns *dns, struct doctor_host *host)
{
	static const struct {
		int type, family;
	} kinds[] = {{DNS_TYPE_A, AF_INET}, {DNS_TYPE_AAAA, AF_INET6}};
	enum doctor_lookup worst = DOCTOR_FOUND;

	if (dns_parse_address(host->name, 0, &host->address[0], &host->address_bytes[0])) {
		host->address_count = 1;
		host->lookup = DOCTOR_FOUND;
		return;
	}
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct ub_result *result;
		enum doctor_lookup one = dns_ask(dns, host->name, kinds[k].type, &result);

		if (one > worst)
			worst = one;
		for (int i = 0; result && result->data[i]; i++)
			dns_add_address(host, kinds[k].family, span_of(result->data[i], (size_t)result->len[i]));
		ub_resolve_free(result);
		if (one == DOCTOR_NO_NAME || one >= DOCTOR_DNS_FAILED)
			break;
	}
	if (!host->address_count && dns->own && worst < DOCTOR_DNS_SILENT)
		dns_ask_system(host);
	host->lookup = host->address_count ? DOCTOR_FOUND : worst == DOCTOR_FOUND ? DOCTOR_NO_ADDRESS : worst;
}

/* ---- records */

static enum doctor_lookup dns_records(struct doctor_dns *dns, const char *name, int type, struct arena *mem, struct doctor_record *out,
				      size_t *count_out, bool *secure_out)
{
	struct ub_result *result;
	enum doctor_lookup rc = dns_ask(dns, name, type, &result);
	size_t count = 0;

	for (int i = 0; result && result->data[i] && count < DOCTOR_RECORDS; i++) {
		struct span data = span_of(result->data[i], (size_t)result->len[i]);

		count += type == DNS_TYPE_SRV ? doctor_record_srv(data, mem, &out[count]) : doctor_record_mx(data, mem, &out[count]);
	}
	*secure_out = result && result->secure;
	ub_resolve_free(result);
	doctor_record_sort(out, count);
	*count_out = count;
	return rc;
}

enum doctor_lookup doctor_dns_srv(struct doctor_dns *dns, const char *name, struct arena *mem, struct doctor_record *out, size_t *count_out,
				  bool *secure_out)
{
	return dns_records(dns, name, DNS_TYPE_SRV, mem, out, count_out, secure_out);
}

enum doctor_lookup doctor_dns_mx(struct doctor_dns *dns, const char *name, struct arena *mem, struct doctor_record *out, size_t *count_out)
{
	bool secure;

	return dns_records(dns, name, DNS_TYPE_MX, mem, out, count_out, &secure);
}
