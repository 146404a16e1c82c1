/* net - IP addresses and prefixes as values. An IPv4 address is kept as its mapped IPv6 form (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so that one client has one
 * value whichever socket it came through. Knows no sockets and no names. */
#ifndef MAILROOM_BASE_NET_H
#define MAILROOM_BASE_NET_H

#include "base/buf.h"
#include "base/err.h"

struct net_address {
	uint8_t raw[16];
};
struct net_prefix {
	struct net_address base; /* bits behind the prefix are 0 */
	uint8_t bits;            /* of 128; an IPv4 prefix /n has 96 + n */
};
struct net_list {
	const struct net_prefix *at;
	size_t count;
};

/* "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"; no zone, no brackets. RC_BAD */
enum rc net_parse(struct span text, struct net_address *out) RC_WARN;
/* an address, or an address with "/" and a length. RC_BAD: not of that form; RC_LIMIT: there are bits behind the prefix ("10.0.0.1/8") */
enum rc net_prefix_parse(struct span text, struct net_prefix *out) RC_WARN;
void net_write(struct buf *out, const struct net_address *a);               /* canonical; IPv4 dotted */
void net_prefix_write(struct buf *out, const struct net_prefix *p);         /* without "/" where it is one address */
bool net_is_v4(const struct net_address *a);
/* not routed in the Internet: private, shared (RFC 6598), link-local, unique-local, loopback */
bool net_is_private(const struct net_address *a);
bool net_is_loopback(const struct net_address *a);
bool net_prefix_has(const struct net_prefix *p, const struct net_address *a);
bool net_list_has(const struct net_list *l, const struct net_address *a);
/* a with everything behind `bits` (of 128) cleared */
struct net_address net_cut(const struct net_address *a, unsigned bits);
bool net_eq(const struct net_address *a, const struct net_address *b);

#endif
