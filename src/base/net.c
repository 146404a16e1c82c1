#include "base/net.h"

#include <arpa/inet.h>

#include "base/num.h"

enum { NET_V4_BITS = 96 };

static const uint8_t net_mapped[12] = {[10] = 0xff, [11] = 0xff};

enum rc net_parse(struct span text, struct net_address *out)
{
	struct net_address a = {{0}};
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || span_find(text, '\0') < text.len)
		return RC_BAD;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, a.raw + sizeof(net_mapped)) == 1)
		memcpy(a.raw, net_mapped, sizeof(net_mapped));
	else if (inet_pton(AF_INET6, copy, a.raw) != 1)
		return RC_BAD;
	*out = a;
	return RC_OK;
}

bool net_eq(const struct net_address *a, const struct net_address *b)
{
	return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

bool net_is_v4(const struct net_address *a)
{
	return memcmp(a->raw, net_mapped, sizeof(net_mapped)) == 0;
}

struct net_address net_cut(const struct net_address *a, unsigned bits)
{
	struct net_address cut = *a;

	for (unsigned i = 0; i < sizeof(cut.raw); i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			cut.raw[i] &= (uint8_t)(0xff00U >> kept);
	}
	return cut;
}

enum rc net_prefix_parse(struct span text, struct net_prefix *out)
{
	size_t slash = span_find(text, '/');
	struct net_prefix p = {.bits = 128};
	struct net_address cut;
	uint64_t bits;

	if (net_parse(span_head(text, slash), &p.base) != RC_OK)
		return RC_BAD;
	if (slash < text.len) {
		unsigned least = net_is_v4(&p.base) && span_find(text, ':') == text.len ? NET_V4_BITS : 0;

		if (num_parse(span_from(text, slash + 1), 128 - least, &bits) != RC_OK)
			return RC_BAD;
		p.bits = (uint8_t)(bits + least);
	}
	cut = net_cut(&p.base, p.bits);
	if (!net_eq(&cut, &p.base))
		return RC_LIMIT;
	*out = p;
	return RC_OK;
}

void net_write(struct buf *out, const struct net_address *a)
{
	char text[INET6_ADDRSTRLEN];

	if (net_is_v4(a))
		buf_add_str(out, inet_ntop(AF_INET, a->raw + sizeof(net_mapped), text, sizeof(text)));
	else
		buf_add_str(out, inet_ntop(AF_INET6, a->raw, text, sizeof(text)));
}

void net_prefix_write(struct buf *out, const struct net_prefix *p)
{
	bool v4 = net_is_v4(&p->base) && p->bits >= NET_V4_BITS;

	net_write(out, &p->base);
	if (p->bits < 128)
		buf_printf(out, "/%u", v4 ? p->bits - NET_V4_BITS : p->bits);
}

bool net_prefix_has(const struct net_prefix *p, const struct net_address *a)
{
	struct net_address cut = net_cut(a, p->bits);

	return net_eq(&cut, &p->base);
}

bool net_list_has(const struct net_list *l, const struct net_address *a)
{
	for (size_t i = 0; i < l->count; i++)
		if (net_prefix_has(&l->at[i], a))
			return true;
	return false;
}

static bool net_in(const struct net_address *a, const char *const *prefixes)
{
	for (; *prefixes; prefixes++) {
		struct net_prefix p;

		if (net_prefix_parse(span_str(*prefixes), &p) == RC_OK && net_prefix_has(&p, a))
			return true;
	}
	return false;
}

bool net_is_loopback(const struct net_address *a)
{
	static const char *const prefixes[] = {"127.0.0.0/8", "::1", NULL};

	return net_in(a, prefixes);
}

bool net_is_private(const struct net_address *a)
{
	/* RFC 1918, 6598, 3927, 4193, 4291 */
	static const char *const prefixes[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10", NULL};

	return net_is_loopback(a) || net_in(a, prefixes);
}
