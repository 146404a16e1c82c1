/* relay_route - where mail for a destination goes: which way, which hosts in which order, which of their addresses next. Pure: the configuration, answers of
 * the DNS, time and chance come in as arguments. RFC 5321 5.1 (MX), 7505 (null MX). Asking the DNS is relay_lookup's. */
#ifndef MAILROOM_ROLE_RELAY_ROUTE_H
#define MAILROOM_ROLE_RELAY_ROUTE_H

#include "base/clock.h"
#include "base/limits.h"
#include "cause/cause.h"
#include "conf/conf.h"

enum relay_way_kind { RELAY_WAY_MX, RELAY_WAY_ROUTE, RELAY_WAY_SMARTHOST, RELAY_WAY_LITERAL, RELAY_WAY_NONE /* the smarthost is not configured (any more) */ };

struct relay_way {
	enum relay_way_kind kind;
	const struct conf_smarthost *smarthost; /* SMARTHOST */
	uint16_t smarthost_index;
	const struct conf_route *route;         /* ROUTE */
	struct net_address literal;             /* LITERAL */
	struct span key;                        /* what next hops are told apart by: the domain or literal (in `dest`), the title of route or smarthost */
};

/* dest as in the frame LEASE: a domain, an address literal, or ">NAME" */
void relay_route_pick(const struct conf *c, struct span dest, struct relay_way *out);

/* ---- hosts */
struct relay_host {
	char name[LIMIT_DOMAIN_BYTES + 1];
	uint16_t preference, port;
	uint32_t chance;                /* orders those of equal preference */
};
/* Takes the names of an MX answer, best first, each once, at most max; names that cannot be hosts are left out. CAUSE_NULL_MX: it is one (RFC 7505). *count_out
 * 0: there was none (implicit MX: the domain itself). `next` reads the records one by one. */
struct relay_mx { struct span name; uint16_t preference; };
enum cause_id relay_route_hosts(const struct relay_mx *answer, size_t answer_count, uint32_t (*chance)(void *arg), void *arg, struct relay_host *hosts, size_t max,
	size_t *count_out);

/* ---- addresses */
struct relay;
struct relay_tls_host;
struct relay_address {
	struct net_address ip;
	uint16_t port, preference;
	uint16_t host;                  /* number of its host; 0 for literals */
	bool secure;                    /* DNSSEC */
	mono_ms failed_ms;              /* when it failed last; 0: it did not */
	struct relay_tls_host *tls;     /* made when it is first tried */
	bool tls_ready;
	struct relay *relay;            /* whose it is, once it was tried */
};

/* this machine as others may name it */
struct relay_self {
	const char *names[2];
	size_t name_count;
	struct net_address *addresses;  /* of its interfaces */
	size_t address_count;
	struct relay_listening { struct net_address ip; uint16_t port; bool any; } *listening;
	size_t listening_count;
};
bool relay_route_is_self_name(const struct relay_self *self, struct span name);
/* is it us who listens there? */
bool relay_route_is_self(const struct relay_self *self, const struct net_address *ip, uint16_t port);
/* Never to be connected to, whatever the DNS says: "this network", multicast, broadcast, reserved. */
bool relay_route_is_bogus(const struct net_address *ip);
/* RFC 5321 5.1: where one of the hosts is this one, it and those that are no better are left out, or mail would go in circles. `is_self` says so by number.
 * Returns whether one was; *count becomes smaller, perhaps 0. */
bool relay_route_cut_self(struct relay_address *addresses, size_t *count, bool (*is_self)(void *arg, const struct relay_address *a), void *arg);

/* The address to try next: not one of `tried` (bits), not one that failed within RELAY_ROUTE_FAILED_MS while there is another, best preference first; among equals
 * by chance, the other family than `not_v4` / v6 of the one that failed just before (last: its number, or -1). -1: there is none left. */
enum { RELAY_ROUTE_FAILED_MS = 600000 };
/* did it, so lately? */
bool relay_route_failed(const struct relay_address *a, mono_ms now);
int relay_route_choose(const struct relay_address *addresses, size_t count, uint32_t tried, int last, mono_ms now, uint32_t chance);

#endif
