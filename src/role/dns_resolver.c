#include "role/dns_resolver.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unbound.h>
#include <unbound-event.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/net.h"
#include "base/num.h"

#define DNS_RESOLV_CONF "/etc/resolv.conf"
#define DNS_ROOT_KEY "/usr/share/dns/root.key" /* of Debian's dns-root-data, kept up by the system's updates */
#define DNS_ROOT_HINTS "/usr/share/dns/root.hints"

enum {
	DNS_FILE_BYTES = 256 << 10, /* resolv.conf, root hints */
	DNS_CLASS_IN = 1,
	DNS_SEC_BOGUS = 1, DNS_SEC_SECURE = 2, /* of ub_event_callback_type */
	DNS_SERVERS_BYTES = 1024,
	DNS_LINE_BYTES = 512,
};

/* The keys of the root, where the system has no file with them: 2017 and 2024 (https://data.iana.org/root-anchors/root-anchors.xml) */
static const char *const dns_root_ds[] = {
	". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
	". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

struct dns_server {
	char text[64]; /* ADDRESS[@PORT] */
	uint16_t port;
	bool loopback;
};

struct dns_resolver {
	struct ub_ctx *ub;
	FILE *log;
	void (*say)(const char *words);
	struct dns_server servers[DNS_SERVERS_MAX];
	size_t server_count;
	uint16_t *ports; /* of servers of stub zones, too */
	size_t port_count;
	bool loopback;   /* one of them all is on this machine */
	char words[DNS_SERVERS_BYTES];
	const char *anchor;
	char line[DNS_LINE_BYTES];
	size_t line_bytes;
};

struct dns_question {
	struct dns_resolver *resolver;
	dns_resolver_answer *answer;
	void *arg;
	enum name_type type;
	char name[DNS_NAME_BYTES + 1];
};

static enum rc dns_set(struct dns_resolver *r, const char *option, const char *value, struct err *err)
{
	int bad = ub_ctx_set_option(r->ub, option, value);

	return bad ? err_set(err, RC_BAD, "libunbound: %s %s: %s", option, value, ub_strerror(bad)) : RC_OK;
}

/* ---- whom to ask */

static void dns_port_add(struct dns_resolver *r, uint16_t port)
{
	for (size_t i = 0; i < r->port_count; i++)
		if (r->ports[i] == port)
			return;
	r->ports = mem_realloc(r->ports, (r->port_count + 1) * sizeof(*r->ports));
	r->ports[r->port_count++] = port;
}

/* ADDRESS[@PORT], an address with a zone (fe80::1%eth0) too */
static bool dns_server_read(struct span text, struct dns_server *out)
{
	size_t at = span_find(text, '@');
	struct span zoneless = span_head(text, span_find(span_head(text, at), '%'));
	struct net_address address;
	uint64_t port = DNS_PORT;

	if (text.len >= sizeof(out->text) || net_parse(zoneless, &address) != RC_OK)
		return false;
	if (at < text.len && (num_parse(span_from(text, at + 1), UINT16_MAX, &port) != RC_OK || port == 0))
		return false;
	*out = (struct dns_server){.port = (uint16_t)port, .loopback = net_is_loopback(&address)};
	(void)memcpy(out->text, text.ptr, text.len);
	return true;
}

static void dns_server_add(struct dns_resolver *r, struct span text)
{
	if (r->server_count == DNS_SERVERS_MAX || !dns_server_read(text, &r->servers[r->server_count]))
		return;
	dns_port_add(r, r->servers[r->server_count].port);
	r->loopback |= r->servers[r->server_count].loopback;
	r->server_count++;
}

/* as much of it as there is room for; RC_NONE: it cannot be opened */
static enum rc dns_file_read(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	enum rc rc = RC_OK;

	if (fd < 0)
		return err_errno(err, RC_NONE, "%s", path);
	while (n > 0 && buf_reserve(out, 4096)) {
		n = read(fd, out->ptr + out->len, 4096);
		out->len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		rc = err_errno(err, RC_IO, "%s", path);
	(void)close(fd);
	return rc;
}

/* resolv.conf(5): only its name servers matter here, as names that are asked for are whole; one without any means this machine */
static enum rc dns_resolv_conf(struct dns_resolver *r, const char *path, struct err *err)
{
	struct err unread = {""};
	struct span rest, line;
	struct buf text;
	enum rc rc;

	buf_init(&text, DNS_FILE_BYTES);
	rc = dns_file_read(path, &text, &unread);
	if (rc != RC_OK && rc != RC_NONE) {
		buf_clear(&text);
		return err_set(err, rc, "%s", unread.words);
	}
	for (rest = buf_span(&text); rest.ptr;) {
		line = span_trim(span_cut(&rest, '\n'));
		if (!span_starts(line, SPAN_LIT("nameserver")) || line.len < 12 || (line.ptr[10] != ' ' && line.ptr[10] != '\t'))
			continue;
		line = span_trim(span_from(line, 10));
		for (size_t i = 0; i < line.len; i++)
			if (line.ptr[i] == ' ' || line.ptr[i] == '\t' || line.ptr[i] == '#' || line.ptr[i] == ';')
				line.len = i;
		dns_server_add(r, line);
	}
	buf_clear(&text);
	if (!r->server_count)
		dns_server_add(r, SPAN_LIT("127.0.0.1"));
	return RC_OK;
}

/* the library reads them itself; what matters here is whether a root of one's own is on this machine */
static enum rc dns_root_hints(struct dns_resolver *r, const char *path, struct err *err)
{
	struct span rest, line;
	struct buf text;
	struct err bad = {""};
	enum rc rc;

	(void)snprintf(r->words, sizeof(r->words), "the root servers of %.200s", path);
	buf_init(&text, DNS_FILE_BYTES);
	rc = dns_file_read(path, &text, &bad);
	for (rest = buf_span(&text); rc == RC_OK && rest.ptr;) {
		struct net_address address;
		size_t at;

		line = span_cut(&rest, '\n');
		line = span_trim(span_head(line, span_find(line, ';')));
		for (at = line.len; at > 0 && line.ptr[at - 1] != ' ' && line.ptr[at - 1] != '\t'; at--)
			continue;
		r->loopback |= net_parse(span_from(line, at), &address) == RC_OK && net_is_loopback(&address);
	}
	buf_clear(&text);
	return rc == RC_OK ? dns_set(r, "root-hints:", path, err) : err_set(err, RC_IO, "root-hints: %s", bad.words);
}

static void dns_servers_say(struct dns_resolver *r, const char *from)
{
	struct buf words;

	buf_init(&words, DNS_SERVERS_BYTES - 1);
	for (size_t i = 0; i < r->server_count; i++)
		buf_printf(&words, "%s%s", i ? ", " : "", r->servers[i].text);
	buf_printf(&words, " (%s)", from);
	(void)snprintf(r->words, sizeof(r->words), "%s", buf_cstr(&words));
	buf_clear(&words);
}

static enum rc dns_servers(struct dns_resolver *r, const struct conf *conf, const char *resolv_conf, struct err *err)
{
	const char *rest = conf->dns_resolvers;
	struct span word;
	enum rc rc;

	dns_port_add(r, DNS_PORT);
	if (conf_dns_is_root(conf)) {
		(void)snprintf(r->words, sizeof(r->words), "the root servers");
		if (conf->dns_root_hints[0])
			return dns_root_hints(r, conf->dns_root_hints, err);
		return access(DNS_ROOT_HINTS, R_OK) == 0 ? dns_set(r, "root-hints:", DNS_ROOT_HINTS, err) : RC_OK;
	}
	while (conf_list_next(&rest, &word))
		dns_server_add(r, word);
	if (!conf->dns_resolvers[0] && (rc = dns_resolv_conf(r, resolv_conf, err)) != RC_OK)
		return rc;
	dns_servers_say(r, conf->dns_resolvers[0] ? "dns resolvers" : resolv_conf);
	for (size_t i = 0; i < r->server_count; i++) {
		int bad = ub_ctx_set_fwd(r->ub, r->servers[i].text);

		if (bad)
			return err_set(err, RC_BAD, "resolver %s: %s", r->servers[i].text, ub_strerror(bad));
	}
	return RC_OK;
}

/* ZONE@ADDRESS[@PORT]; several of one zone are its several servers */
static enum rc dns_stub(struct dns_resolver *r, struct span word, struct err *err)
{
	struct dns_server server;
	char zone[DNS_NAME_BYTES + 1];
	size_t at = span_find(word, '@');
	int bad;

	if (!dns_name_clean(span_head(word, at), zone) || !dns_server_read(span_from(word, at + 1), &server))
		return err_set(err, RC_BAD, "stub-zones: \"%.*s\" is not ZONE@ADDRESS@PORT", SPAN_FMT(span_head(word, 100)));
	dns_port_add(r, server.port);
	r->loopback |= server.loopback;
	bad = ub_ctx_set_stub(r->ub, zone, server.text, 0);
	return bad ? err_set(err, RC_BAD, "stub zone %s: %s", zone, ub_strerror(bad)) : RC_OK;
}

static enum rc dns_zones(struct dns_resolver *r, const struct conf *conf, struct err *err)
{
	const char *stubs = conf->dns_stub_zones, *insecure = conf->dns_insecure_zones;
	char zone[DNS_NAME_BYTES + 1];
	struct span word;
	enum rc rc = RC_OK;

	while (rc == RC_OK && conf_list_next(&stubs, &word))
		rc = dns_stub(r, word, err);
	while (rc == RC_OK && conf_list_next(&insecure, &word))
		if (dns_name_clean(word, zone))
			rc = dns_set(r, "domain-insecure:", zone, err);
	/* by default the library asks nobody on this machine, so that no referral sends it there */
	return rc == RC_OK && r->loopback ? dns_set(r, "do-not-query-localhost:", "no", err) : rc;
}

/* ---- what it believes */

static enum rc dns_anchor(struct dns_resolver *r, const struct conf *conf, struct err *err)
{
	const char *file = conf->dns_trust_anchor[0] ? conf->dns_trust_anchor : access(DNS_ROOT_KEY, R_OK) == 0 ? DNS_ROOT_KEY : NULL;
	int bad = 0;

	r->anchor = "off";
	if (!conf->dns_dnssec)
		return dns_set(r, "module-config:", "iterator", err);
	r->anchor = file ? file : "built-in root keys";
	if (file && access(file, R_OK) != 0)
		return err_errno(err, RC_IO, "trust-anchor: %s", file);
	if (file)
		bad = ub_ctx_add_ta_file(r->ub, file);
	for (size_t i = 0; !file && !bad && i < sizeof(dns_root_ds) / sizeof(dns_root_ds[0]); i++)
		bad = ub_ctx_add_ta(r->ub, dns_root_ds[i]);
	return bad ? err_set(err, RC_BAD, "trust-anchor: %s: %s", r->anchor, ub_strerror(bad)) : RC_OK;
}

size_t dns_resolver_fds(void)
{
	const size_t most = DNS_OUTGOING_UDP + DNS_OUTGOING_TCP + DNS_FDS_SPARE;
	struct rlimit now;

	return getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < most ? (size_t)now.rlim_max : most;
}

static size_t dns_outgoing_udp(void)
{
	size_t fds = dns_resolver_fds(), others = DNS_OUTGOING_TCP + DNS_FDS_SPARE;

	return fds > 2 * others ? fds - others : fds / 4;
}

static enum rc dns_options(struct dns_resolver *r, struct err *err)
{
	static const struct {
		const char *option, *value;
	} options[] = {
		/* memory */
		{"msg-cache-size:", "16m"}, {"rrset-cache-size:", "32m"}, {"key-cache-size:", "4m"}, {"neg-cache-size:", "2m"}, {"infra-cache-numhosts:", "10000"},
		{"edns-buffer-size:", "1232"},
		/* against forged answers: RFC 9156, draft-vixie-dnsext-dns0x20, RFC 8198; a name below one that is not there is not there (RFC 8020) */
		{"qname-minimisation:", "yes"}, {"use-caps-for-id:", "yes"}, {"aggressive-nsec:", "yes"}, {"harden-below-nxdomain:", "yes"}, {"harden-glue:", "yes"},
		{"harden-dnssec-stripped:", "yes"},
		/* a domain that has just been made, a server that is back, a signature that was renewed: soon seen */
		{"cache-max-ttl:", "86400"}, {"cache-max-negative-ttl:", "900"}, {"infra-host-ttl:", "20"}, {"val-bogus-ttl:", "30"},
		/* a server that does not answer is given up after some 10 s, not after minutes: what waits for it takes room (ms) */
		{"infra-cache-max-rtt:", "4000"},
		/* reverse zones of private addresses are asked for, where the resolver may know them, and are not signed */
		{"unblock-lan-zones:", "yes"}, {"insecure-lan-zones:", "yes"},
	};
	char number[24];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < sizeof(options) / sizeof(options[0]); i++)
		rc = dns_set(r, options[i].option, options[i].value, err);
	(void)snprintf(number, sizeof(number), "%zu", dns_outgoing_udp());
	if (rc == RC_OK)
		rc = dns_set(r, "outgoing-range:", number, err);
	(void)snprintf(number, sizeof(number), "%d", DNS_OUTGOING_TCP);
	if (rc == RC_OK)
		rc = dns_set(r, "outgoing-num-tcp:", number, err);
	return rc;
}

/* The library answers for these itself: "there is no such name". Where somebody is asked who may know better (a resolver of this network, a server of a stub
 * zone, a root of one's own) he is believed. Begins the library's work: all options have to be set. */
static enum rc dns_unblock(struct dns_resolver *r, const struct conf *conf, struct err *err)
{
	static const char *const zones[] = {"test", "home.arpa"};
	int bad = 0;

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]) && !bad; i++)
		if (r->server_count || strstr(conf->dns_stub_zones, zones[i]) || (conf_dns_is_root(conf) && conf->dns_root_hints[0]))
			bad = ub_ctx_zone_remove(r->ub, zones[i]);
	return bad ? err_set(err, RC_BAD, "libunbound: %s", ub_strerror(bad)) : RC_OK;
}

/* ---- the library's own words */

static void dns_say_line(struct dns_resolver *r)
{
	struct span line = span_of(r->line, r->line_bytes);
	size_t at = span_find_span(line, SPAN_LIT("] "));
	struct buf safe;

	/* "[1700000000] libunbound[1:0] error: ..." */
	if (line.len && line.ptr[0] == '[' && at < line.len)
		line = span_from(line, at + 2);
	at = span_find_span(line, SPAN_LIT("] "));
	if (span_starts(line, SPAN_LIT("libunbound[")) && at < line.len)
		line = span_from(line, at + 2);
	buf_init(&safe, 8 * DNS_LINE_BYTES);
	buf_add_safe(&safe, line, DNS_LINE_BYTES);
	if (r->say && line.len)
		r->say(buf_cstr(&safe));
	buf_clear(&safe);
	r->line_bytes = 0;
}

static ssize_t dns_log_write(void *cookie, const char *bytes, size_t len)
{
	struct dns_resolver *r = cookie;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n')
			dns_say_line(r);
		else if (r->line_bytes < sizeof(r->line))
			r->line[r->line_bytes++] = bytes[i];
	}
	return (ssize_t)len;
}

static enum rc dns_log(struct dns_resolver *r, struct err *err)
{
	r->log = fopencookie(r, "w", (cookie_io_functions_t){.write = dns_log_write});
	if (!r->log)
		return err_errno(err, RC_IO, "log of the DNS library");
	(void)setvbuf(r->log, NULL, _IOLBF, 0);
	(void)ub_ctx_debugout(r->ub, r->log);
	return RC_OK;
}

/* ---- asking */

/* Bogus because nothing can be validated at all: a resolver in between drops what DNSSEC needs, or the anchor is out of date */
static bool dns_is_unusable(const char *why)
{
	return strstr(why, "for trust anchor . ") || strstr(why, "key for validation . ");
}

static void dns_bogus(struct dns_resolver *r, struct dns_answer *a, const char *why)
{
	char words[2 * DNS_WORDS_BYTES];

	if (!why || !*why)
		why = "DNSSEC validation failed";
	if (dns_is_unusable(why))
		(void)snprintf(words, sizeof(words), "nothing can be validated: %.100s does not pass on what DNSSEC needs, or the trust anchor is old; %.160s",
			r->server_count ? r->words : "the network", why);
	else
		(void)snprintf(words, sizeof(words), "%s", why);
	dns_answer_fail(a, NAME_BOGUS, span_str(words));
}

static void dns_on_result(void *arg, int rcode, void *packet, int len, int sec, char *why, int was_ratelimited)
{
	struct dns_question *q = arg;
	struct dns_answer a;
	char words[2 * DNS_WORDS_BYTES];

	(void)was_ratelimited;
	dns_answer_init(&a);
	if (sec == DNS_SEC_BOGUS) {
		dns_bogus(q->resolver, &a, why);
	} else if (rcode != 0 || !packet || len <= 0) {
		(void)snprintf(words, sizeof(words), "SERVFAIL: no name server gave an answer that can be used; asked: %.160s", q->resolver->words);
		dns_answer_fail(&a, NAME_FAILED, span_str(words));
	} else {
		dns_answer_read(&a, q->type, q->name, span_of(packet, (size_t)len));
		a.is.security = sec == DNS_SEC_SECURE ? NAME_SECURE : NAME_INSECURE;
	}
	q->answer(q->arg, &a);
	dns_answer_clear(&a);
	free(q);
}

void dns_resolver_ask(struct dns_resolver *r, enum name_type type, const char *name, dns_resolver_answer *answer, void *arg)
{
	struct dns_question *q = mem_alloc(sizeof(*q));
	int bad;

	*q = (struct dns_question){.resolver = r, .answer = answer, .arg = arg, .type = type};
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	bad = ub_resolve_event(r->ub, q->name, (int)type, DNS_CLASS_IN, q, dns_on_result, NULL);
	if (bad) {
		struct dns_answer a;

		dns_answer_init(&a);
		dns_answer_fail(&a, NAME_FAILED, span_str(ub_strerror(bad)));
		answer(arg, &a);
		dns_answer_clear(&a);
		free(q);
	}
}

static void dns_on_warm(void *arg, struct dns_answer *answer)
{
	*(bool *)arg = answer->is.status != NAME_FAILED;
}

/* The library opens its files and sockets with its first question: one that it answers by itself */
static enum rc dns_warm(struct dns_resolver *r, struct err *err)
{
	bool well = false;

	dns_resolver_ask(r, NAME_A, "localhost", dns_on_warm, &well);
	return well ? RC_OK : err_set(err, RC_IO, "libunbound does not answer");
}

/* ---- life */

enum rc dns_resolver_new(const struct conf *conf, struct event_base *base, const char *resolv_conf, void (*say)(const char *words), struct dns_resolver **out,
	struct err *err)
{
	struct dns_resolver *r = mem_zalloc(sizeof(*r));
	enum rc rc;

	r->say = say;
	r->anchor = "off";
	r->ub = ub_ctx_create_event(base);
	rc = r->ub ? dns_log(r, err) : err_set(err, RC_IO, "libunbound cannot be had");
	if (rc == RC_OK)
		rc = dns_servers(r, conf, resolv_conf ? resolv_conf : DNS_RESOLV_CONF, err);
	if (rc == RC_OK)
		rc = dns_options(r, err);
	if (rc == RC_OK)
		rc = dns_zones(r, conf, err);
	if (rc == RC_OK)
		rc = dns_anchor(r, conf, err);
	if (rc == RC_OK)
		rc = dns_unblock(r, conf, err);
	if (rc == RC_OK)
		rc = dns_warm(r, err);
	if (rc == RC_OK)
		*out = r;
	else
		dns_resolver_free(&r);
	return rc;
}

void dns_resolver_free(struct dns_resolver **rp)
{
	struct dns_resolver *r = *rp;

	if (!r)
		return;
	if (r->ub)
		ub_ctx_delete(r->ub);
	if (r->log)
		(void)fclose(r->log);
	free(r->ports);
	free(r);
	*rp = NULL;
}

const char *dns_resolver_servers(const struct dns_resolver *r)
{
	return r->words;
}

const char *dns_resolver_anchor(const struct dns_resolver *r)
{
	return r->anchor;
}

size_t dns_resolver_ports(const struct dns_resolver *r, uint16_t *out, size_t most)
{
	size_t n = r->port_count < most ? r->port_count : most;

	(void)memcpy(out, r->ports, n * sizeof(*out));
	return n;
}
