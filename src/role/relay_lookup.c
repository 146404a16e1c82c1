/* relay_lookup - the hosts and addresses of a next hop, asked of the DNS: MX (or the domain itself), then A and AAAA of each host, beside the policy of
 * MTA-STS. RFC 5321 5.1, 7505, 7672 2.2 (what DNSSEC said is kept). */
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mail/address.h"
#include "role/relay.h"

enum {
	RELAY_LOOKUP_LEAST_MS = 60000,   /* an answer is used for at least so long, whatever its TTL, */
	RELAY_LOOKUP_MOST_MS = 3600000,  /* ... and at most */
	RELAY_LOOKUP_MX = 100,           /* of one answer (messages.def) */
};

/* one question for addresses */
struct relay_lookup_ask {
	struct relay_lookup *lookup;
	size_t host;
	uint32_t ask; /* 0: answered */
};

struct relay_lookup {
	struct relay_dest *dest;
	struct relay_hosts *hosts;
	char name[LIMIT_DOMAIN_BYTES + 1];  /* for the DNS: of the domain, with letters of other scripts in their ASCII form */
	uint32_t mx_ask;
	struct relay_lookup_ask asks[2 * LIMIT_RELAY_HOSTS];
	unsigned open;                      /* asks, and the plan */
	bool implicit;                      /* the domain itself stands for its MX */
	bool failed, self;
	bool plan_open;
	uint32_t ttl_s;
	struct relay_failure why;
	char detail[256];                   /* what failed */
	struct loop_hook soon;              /* calls back later, never inside the call */
};

void relay_hosts_put(struct relay_hosts **place)
{
	struct relay_hosts *h = *place;

	*place = NULL;
	if (!h || --h->refs)
		return;
	for (size_t i = 0; i < h->count; i++)
		relay_tls_host_free(&h->at[i].tls);
	relay_tls_dest_free(&h->plan);
	for (size_t i = 0; i < h->host_count; i++)
		free((void *)h->more[i].canonical.ptr);
	free(h);
}

void relay_lookup_free(struct relay_lookup **place)
{
	struct relay_lookup *l = *place;
	struct relay *r;

	*place = NULL;
	if (!l)
		return;
	r = l->dest->relay;
	if (l->mx_ask)
		names_cancel(r->names, l->mx_ask);
	for (size_t i = 0; i < sizeof(l->asks) / sizeof(l->asks[0]); i++)
		if (l->asks[i].ask)
			names_cancel(r->names, l->asks[i].ask);
	loop_hook_remove(r->loop, &l->soon);
	relay_hosts_put(&l->hosts);
	free(l);
}

/* ---- the end: what was found */

static void relay_lookup_fail(struct relay_lookup *l, enum cause_id cause, enum delivery_outcome outcome, const char *words)
{
	l->why.cause = cause;
	l->why.outcome = outcome;
	l->why.sure = 95;
	l->why.pace = PACE_REFUSED;
	relay_copy(l->why.words, sizeof(l->why.words), span_str(words));
}

/* NULL in hosts: l->why says why */
static void relay_lookup_end(void *arg)
{
	struct relay_lookup *l = arg;
	struct relay_dest *d = l->dest;
	struct relay_hosts *found = l->hosts;
	struct relay_failure why = l->why;

	l->hosts = NULL;
	d->lookup = NULL;
	if (why.cause != CAUSE_NONE)
		relay_hosts_put(&found);
	relay_lookup_free(&l);
	relay_dest_looked_up(d, found, &why);
}

static void relay_lookup_over(struct relay_lookup *l)
{
	loop_soon(l->dest->relay->loop, &l->soon);
}

static bool relay_lookup_by_mx(const struct relay_lookup *l)
{
	return l->dest->way.kind == RELAY_WAY_MX;
}

static bool relay_lookup_is_self(void *arg, const struct relay_address *a)
{
	const struct relay_lookup *l = arg;
	const struct relay *r = l->dest->relay;

	if (relay_route_is_self(&r->self, &a->ip, a->port))
		return true;
	if (!relay_lookup_by_mx(l))
		return false;
	/* whose MX is loopback means us; on another port than 25 it is a test */
	return relay_route_is_self_name(&r->self, span_str(l->hosts->host[a->host].name)) || (net_is_loopback(&a->ip) && a->port == 25);
}

static void relay_lookup_nothing(struct relay_lookup *l)
{
	char words[400];

	if (l->self && l->dest->way.kind == RELAY_WAY_MX) {
		(void)snprintf(words, sizeof(words), "the MX of %s is this server, which does not have that domain", l->name);
		relay_lookup_fail(l, CAUSE_LOCAL_DOMAIN_NOT_CONFIGURED, DELIVERY_LATER, words);
	} else if (l->self) {
		(void)snprintf(words, sizeof(words), "%s %.*s leads back to this server", relay_way_name(&l->dest->way), SPAN_FMT(l->dest->way.key));
		relay_lookup_fail(l, CAUSE_MAIL_LOOP, DELIVERY_LATER, words);
	} else if (l->failed) {
		relay_lookup_fail(l, CAUSE_DNS_FAILURE, DELIVERY_LATER, l->detail);
	} else {
		(void)snprintf(words, sizeof(words), l->implicit ? "%s has neither MX nor address in the DNS" : "no server of %s has an address that can be used", l->name);
		/* whose MX has no address is misconfigured, which gets noticed; a route or a smarthost is our own */
		relay_lookup_fail(l, CAUSE_RCPT_DOMAIN_NOT_FOUND, l->implicit || l->dest->way.kind == RELAY_WAY_LITERAL ? DELIVERY_REFUSED : DELIVERY_LATER, words);
	}
}

static void relay_lookup_close(struct relay_lookup *l)
{
	struct relay_hosts *h = l->hosts;
	struct relay *r = l->dest->relay;
	uint64_t ms = (uint64_t)l->ttl_s * 1000;

	l->self = relay_route_cut_self(h->at, &h->count, relay_lookup_is_self, l);
	if (h->count == 0)
		relay_lookup_nothing(l);
	ms = ms < RELAY_LOOKUP_LEAST_MS ? RELAY_LOOKUP_LEAST_MS : ms > RELAY_LOOKUP_MOST_MS ? RELAY_LOOKUP_MOST_MS : ms;
	h->until = loop_now(r->loop) + ms;
	relay_lookup_over(l);
}

static void relay_lookup_one_less(struct relay_lookup *l)
{
	if (--l->open == 0)
		relay_lookup_close(l);
}

/* ---- addresses */

static void relay_lookup_address(struct relay_lookup *l, size_t host, const struct net_address *ip, bool secure)
{
	struct relay_hosts *h = l->hosts;
	const struct conf *c = l->dest->relay->conf;

	if (h->count == LIMIT_RELAY_ADDRESSES || relay_route_is_bogus(ip) || (!net_is_v4(ip) && !c->delivery_ipv6))
		return;
	for (size_t i = 0; i < h->count; i++)
		if (net_eq(&h->at[i].ip, ip) && h->at[i].port == h->host[host].port)
			return;
	h->at[h->count++] = (struct relay_address){.ip = *ip, .port = h->host[host].port, .preference = h->host[host].preference,
		.host = (uint16_t)host, .secure = secure};
}

static void relay_lookup_ttl(struct relay_lookup *l, uint32_t ttl_s)
{
	if (ttl_s < l->ttl_s)
		l->ttl_s = ttl_s;
}

static void relay_lookup_trouble(struct relay_lookup *l, struct span name, const struct msg_name_is *m)
{
	struct buf words;

	l->failed = true;
	buf_init(&words, sizeof(l->detail));
	buf_add_safe(&words, name, 100);
	buf_add_str(&words, m->status == NAME_BOGUS ? ": the answer of the DNS is forged (DNSSEC)" : ": the DNS does not answer");
	if (m->words.len) {
		buf_add_str(&words, ": ");
		buf_add_safe(&words, m->words, 60);
	}
	relay_copy(l->detail, sizeof(l->detail), buf_span(&words));
	buf_clear(&words);
}

static void relay_lookup_on_address(void *arg, const struct msg_name_is *m)
{
	struct relay_lookup_ask *ask = arg;
	struct relay_lookup *l = ask->lookup;
	struct relay_hosts *h = l->hosts;
	struct span cursor = m->rrs.raw;
	struct rec_name_rr rr;

	ask->ask = 0;
	if (m->status == NAME_FAILED || m->status == NAME_BOGUS)
		relay_lookup_trouble(l, span_str(h->host[ask->host].name), m);
	if (m->status == NAME_FOUND) {
		relay_lookup_ttl(l, m->ttl_s);
		h->more[ask->host].secure = m->security == NAME_SECURE;
		if (m->canonical.len && !h->more[ask->host].canonical.ptr)
			h->more[ask->host].canonical = span_of(mem_str_span(m->canonical), m->canonical.len);
	}
	while (m->status == NAME_FOUND && rec_name_rr_next(&cursor, &rr)) {
		struct net_address ip = {.raw = {[10] = 0xff, [11] = 0xff}};

		if (rr.data.len == 4)
			memcpy(ip.raw + 12, rr.data.ptr, 4);
		else if (rr.data.len == 16)
			memcpy(ip.raw, rr.data.ptr, 16);
		else
			continue;
		relay_lookup_address(l, ask->host, &ip, m->security == NAME_SECURE);
	}
	relay_lookup_one_less(l);
}

static void relay_lookup_on_plan(void *arg, struct relay_tls_dest *plan)
{
	struct relay_lookup *l = arg;

	(void)plan;
	l->plan_open = false;
	relay_lookup_one_less(l);
}

static enum relay_tls_level relay_lookup_level(const struct relay_way *w, const struct conf *c)
{
	static const enum relay_tls_level levels[] = {[CONF_OUT_TLS_OPPORTUNISTIC] = RELAY_TLS_MAY, [CONF_OUT_TLS_REQUIRED] = RELAY_TLS_MUST,
		[CONF_OUT_TLS_VERIFIED] = RELAY_TLS_VERIFIED, [CONF_OUT_TLS_NEVER] = RELAY_TLS_NEVER};

	if (w->kind == RELAY_WAY_SMARTHOST)
		return w->smarthost->tls == CONF_TLS_NONE ? RELAY_TLS_NEVER : w->smarthost->verify ? RELAY_TLS_VERIFIED : RELAY_TLS_MUST;
	return levels[w->kind == RELAY_WAY_ROUTE ? w->route->tls : c->delivery_tls];
}

/* the hosts are known: their addresses, best host first, and the policy at the same time */
static void relay_lookup_addresses(struct relay_lookup *l)
{
	struct relay *r = l->dest->relay;
	struct relay_hosts *h = l->hosts;
	struct span domain = relay_lookup_by_mx(l) ? span_str(l->name) : h->host_count ? span_str(h->host[0].name) : SPAN_NONE;

	l->open = 1; /* ours: answers come later, but nothing may end while questions are still being put */
	l->plan_open = true;
	l->open++;
	h->plan = relay_tls_dest_new(r->tls, domain, relay_lookup_level(&l->dest->way, r->conf), relay_lookup_by_mx(l), relay_lookup_on_plan, l);
	for (size_t i = 0; i < h->host_count; i++) {
		struct net_address ip;

		if (net_parse(span_str(h->host[i].name), &ip) == RC_OK) { /* of a route or smarthost */
			relay_lookup_address(l, i, &ip, true);
			continue;
		}
		for (int six = 0; six <= r->conf->delivery_ipv6; six++) {
			struct relay_lookup_ask *ask = &l->asks[2 * i + (size_t)six];

			*ask = (struct relay_lookup_ask){.lookup = l, .host = i};
			l->open++;
			ask->ask = names_ask(r->names, six ? NAME_AAAA : NAME_A, span_str(h->host[i].name), relay_lookup_on_address, ask);
		}
	}
	relay_lookup_one_less(l);
}

/* ---- hosts */

static void relay_lookup_host(struct relay_lookup *l, struct span name, uint16_t port, size_t preference)
{
	struct relay_host *h = &l->hosts->host[l->hosts->host_count++];

	*h = (struct relay_host){.port = port, .preference = (uint16_t)preference};
	relay_copy(h->name, sizeof(h->name), name);
}

static uint32_t relay_lookup_chance(void *arg)
{
	(void)arg;
	return (uint32_t)rng_u64();
}

static void relay_lookup_found_mx(struct relay_lookup *l, const struct msg_name_is *m)
{
	struct relay_mx mx[RELAY_LOOKUP_MX];
	struct relay_hosts *h = l->hosts;
	struct span cursor = m->rrs.raw;
	struct rec_name_rr rr;
	size_t n = 0;

	while (n < RELAY_LOOKUP_MX && rec_name_rr_next(&cursor, &rr))
		mx[n++] = (struct relay_mx){.name = rr.data, .preference = rr.preference};
	relay_lookup_ttl(l, m->ttl_s);
	if (relay_route_hosts(mx, n, relay_lookup_chance, NULL, h->host, LIMIT_RELAY_HOSTS, &h->host_count) == CAUSE_NULL_MX) {
		char words[400];

		(void)snprintf(words, sizeof(words), "%s says in the DNS that it takes no mail (null MX)", l->name);
		relay_lookup_fail(l, CAUSE_NULL_MX, DELIVERY_REFUSED, words);
		relay_lookup_over(l);
		return;
	}
	for (size_t i = 0; i < h->host_count; i++)
		h->host[i].port = l->dest->relay->conf->delivery_port;
	relay_lookup_addresses(l);
}

static void relay_lookup_on_mx(void *arg, const struct msg_name_is *m)
{
	struct relay_lookup *l = arg;
	char words[400];

	l->mx_ask = 0;
	l->hosts->mx_secure = m->security == NAME_SECURE;
	if (m->status == NAME_FOUND && m->rrs.count) {
		relay_lookup_found_mx(l, m);
	} else if (m->status == NAME_FOUND || m->status == NAME_NOTHING) {
		l->implicit = true;
		relay_lookup_host(l, span_str(l->name), l->dest->relay->conf->delivery_port, 0);
		relay_lookup_addresses(l);
	} else if (m->status == NAME_UNKNOWN) {
		(void)snprintf(words, sizeof(words), "there is no domain %s", l->name);
		relay_lookup_fail(l, CAUSE_RCPT_DOMAIN_NOT_FOUND, DELIVERY_REFUSED, words);
		relay_lookup_over(l);
	} else {
		relay_lookup_trouble(l, span_str(l->name), m);
		relay_lookup_fail(l, CAUSE_DNS_FAILURE, DELIVERY_LATER, l->detail);
		relay_lookup_over(l);
	}
}

static bool relay_lookup_name(struct relay_lookup *l, struct span domain)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct span name = address_domain_key(domain, room);

	relay_copy(l->name, sizeof(l->name), name);
	return name.len > 0 && span_is_ascii(name);
}

static void relay_lookup_begin_mx(struct relay_lookup *l)
{
	struct relay_dest *d = l->dest;

	if (relay_lookup_name(l, d->way.key)) {
		l->mx_ask = names_ask(d->relay->names, NAME_MX, span_str(l->name), relay_lookup_on_mx, l);
		return;
	}
	relay_lookup_fail(l, CAUSE_RCPT_DOMAIN_NOT_FOUND, DELIVERY_REFUSED, "the domain cannot be in the DNS");
	relay_lookup_over(l);
}

struct relay_lookup *relay_lookup_new(struct relay_dest *d)
{
	struct relay_lookup *l = mem_zalloc(sizeof(*l));
	const struct relay_way *w = &d->way;
	struct buf text;

	l->dest = d;
	l->hosts = mem_zalloc(sizeof(*l->hosts));
	l->hosts->refs = 1;
	l->ttl_s = UINT32_MAX;
	l->soon = (struct loop_hook){.fn = relay_lookup_end, .arg = l, .once = true};
	switch (w->kind) {
	case RELAY_WAY_MX:
		relay_lookup_begin_mx(l);
		return l;
	case RELAY_WAY_LITERAL:
		buf_init(&text, 64);
		net_write(&text, &w->literal);
		relay_lookup_host(l, buf_span(&text), d->relay->conf->delivery_port, 0);
		buf_clear(&text);
		break;
	case RELAY_WAY_ROUTE:
		for (size_t i = 0; i < w->route->hop_count && i < LIMIT_RELAY_HOSTS; i++)
			relay_lookup_host(l, w->route->hops[i].host, w->route->hops[i].port, i);
		break;
	case RELAY_WAY_SMARTHOST:
		relay_lookup_host(l, span_str(w->smarthost->host), w->smarthost->port, 0);
		break;
	case RELAY_WAY_NONE:
		relay_lookup_fail(l, CAUSE_SMARTHOST_UNKNOWN, DELIVERY_LATER, "the configuration has no such smarthost");
		relay_lookup_over(l);
		return l;
	}
	l->hosts->mx_secure = true; /* the administrator says it */
	relay_copy(l->name, sizeof(l->name), w->key);
	relay_lookup_addresses(l);
	return l;
}
