#include "role/relay_route.h"

#include <stdlib.h>

#include "mail/address.h"

/* ---- the way */

static void relay_route_by_smarthost(const struct conf *c, uint16_t index, struct relay_way *out)
{
	const struct conf_smarthost *s = &c->smarthosts[index];

	*out = (struct relay_way){.kind = RELAY_WAY_SMARTHOST, .smarthost = s, .smarthost_index = index, .key = span_str(s->name)};
}

static bool relay_route_literal(struct span dest, struct net_address *out)
{
	struct span text;

	if (dest.len < 3 || dest.ptr[0] != '[' || dest.ptr[dest.len - 1] != ']')
		return false;
	text = span_of(dest.ptr + 1, dest.len - 2);
	if (span_starts_nocase(text, SPAN_LIT("IPv6:")))
		text = span_from(text, 5);
	return net_parse(text, out) == RC_OK;
}

void relay_route_pick(const struct conf *c, struct span dest, struct relay_way *out)
{
	const struct conf_route *route;

	if (dest.len && dest.ptr[0] == '>') {
		for (size_t i = 0; i < c->smarthost_count; i++)
			if (span_eq(span_from(dest, 1), span_str(c->smarthosts[i].name))) {
				relay_route_by_smarthost(c, (uint16_t)i, out);
				return;
			}
		*out = (struct relay_way){.kind = RELAY_WAY_NONE, .key = dest};
		return;
	}
	route = conf_route_find(c, dest);
	if (route && route->has_smarthost)
		relay_route_by_smarthost(c, route->smarthost_index, out);
	else if (route)
		*out = (struct relay_way){.kind = RELAY_WAY_ROUTE, .route = route, .key = span_str(route->name)};
	else if (c->delivery_has_smarthost)
		relay_route_by_smarthost(c, c->delivery_smarthost_index, out);
	else {
		*out = (struct relay_way){.kind = RELAY_WAY_MX, .key = dest};
		if (relay_route_literal(dest, &out->literal))
			out->kind = RELAY_WAY_LITERAL;
	}
}

/* ---- hosts */

static int relay_host_compare(const void *a, const void *b)
{
	const struct relay_host *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return x->chance < y->chance ? -1 : x->chance > y->chance;
}

/* a name that comes twice counts with its better preference */
static bool relay_host_twice(struct relay_host *hosts, size_t count, const struct relay_host *again)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(hosts[i].name, again->name) == 0) {
			if (again->preference < hosts[i].preference)
				hosts[i].preference = again->preference;
			return true;
		}
	return false;
}

/* the worst that is kept goes where a better one comes; where all are equal, by chance */
static void relay_host_keep(struct relay_host *hosts, size_t *count, size_t max, const struct relay_host *h)
{
	size_t worst = 0;

	if (*count < max) {
		hosts[(*count)++] = *h;
		return;
	}
	for (size_t i = 1; i < max; i++)
		if (relay_host_compare(&hosts[i], &hosts[worst]) > 0)
			worst = i;
	if (relay_host_compare(h, &hosts[worst]) < 0)
		hosts[worst] = *h;
}

enum cause_id relay_route_hosts(const struct relay_mx *answer, size_t answer_count, uint32_t (*chance)(void *arg), void *arg, struct relay_host *hosts, size_t max,
	size_t *count_out)
{
	size_t count = 0, null = 0;

	for (size_t i = 0; i < answer_count; i++) {
		struct relay_host h = {.preference = answer[i].preference, .chance = chance(arg)};
		struct span name = answer[i].name;

		null += name.len == 0;
		/* an IP address is no name (RFC 5321 5.1), though some write one there */
		if (name.len == 0 || name.len > LIMIT_DOMAIN_BYTES || address_is_ip(name))
			continue;
		for (size_t k = 0; k < name.len; k++)
			h.name[k] = (char)byte_lower(name.ptr[k]);
		if (!relay_host_twice(hosts, count, &h))
			relay_host_keep(hosts, &count, max, &h);
	}
	qsort(hosts, count, sizeof(*hosts), relay_host_compare);
	*count_out = count;
	return answer_count && null == answer_count ? CAUSE_NULL_MX : CAUSE_NONE;
}

/* ---- ourselves */

bool relay_route_is_self_name(const struct relay_self *self, struct span name)
{
	for (size_t i = 0; i < self->name_count; i++)
		if (span_eq_nocase(name, span_str(self->names[i])))
			return true;
	return false;
}

bool relay_route_is_self(const struct relay_self *self, const struct net_address *ip, uint16_t port)
{
	bool mine = net_is_loopback(ip);

	for (size_t i = 0; i < self->address_count && !mine; i++)
		mine = net_eq(&self->addresses[i], ip);
	for (size_t i = 0; i < self->listening_count; i++) {
		const struct relay_listening *l = &self->listening[i];

		if (l->port == port && (l->any ? mine : net_eq(&l->ip, ip)))
			return true;
	}
	return false;
}

bool relay_route_is_bogus(const struct net_address *ip)
{
	static const uint8_t nothing[16];

	if (net_is_v4(ip))
		return ip->raw[12] == 0 || ip->raw[12] >= 224;
	return ip->raw[0] == 0xff || memcmp(ip->raw, nothing, sizeof(nothing)) == 0;
}

bool relay_route_cut_self(struct relay_address *addresses, size_t *count, bool (*is_self)(void *arg, const struct relay_address *a), void *arg)
{
	uint32_t least = UINT32_MAX;
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++)
		if (addresses[i].preference < least && is_self(arg, &addresses[i]))
			least = addresses[i].preference;
	for (size_t i = 0; i < *count; i++)
		if (addresses[i].preference < least)
			addresses[kept++] = addresses[i];
	*count = kept;
	return least != UINT32_MAX;
}

/* ---- the next address */

bool relay_route_failed(const struct relay_address *a, mono_ms now)
{
	return a->failed_ms && now - a->failed_ms < RELAY_ROUTE_FAILED_MS;
}

/* lower is better */
static uint64_t relay_address_rank(const struct relay_address *a, const struct relay_address *last, mono_ms now)
{
	bool failed = relay_route_failed(a, now);
	/* after a failure in one family the other: where there is no route for one of them, it fails for every host */
	bool same = last && net_is_v4(&a->ip) == net_is_v4(&last->ip);

	return (uint64_t)failed << 32 | (uint64_t)a->preference << 8 | (uint64_t)same;
}

int relay_route_choose(const struct relay_address *addresses, size_t count, uint32_t tried, int last, mono_ms now, uint32_t chance)
{
	const struct relay_address *before = last >= 0 && (size_t)last < count ? &addresses[last] : NULL;
	uint64_t best = UINT64_MAX;
	size_t equals = 0, pick;

	for (size_t i = 0; i < count; i++) {
		uint64_t rank = relay_address_rank(&addresses[i], before, now);

		if (tried & 1U << i || rank > best)
			continue;
		equals = rank < best ? 1 : equals + 1;
		best = rank;
	}
	if (!equals)
		return -1;
	pick = chance % equals;
	for (size_t i = 0; i < count; i++)
		if (!(tried & 1U << i) && relay_address_rank(&addresses[i], before, now) == best && pick-- == 0)
			return (int)i;
	return -1;
}
