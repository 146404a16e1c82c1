#include "proto/proxy/proxy_v2.h"

enum {
	PROXY_SIGNATURE_BYTES = 12,
	PROXY_AT_VERSION = 12, /* version, command */
	PROXY_AT_FAMILY = 13,  /* address family, transport */
	PROXY_AT_LENGTH = 14,  /* of what follows, most significant byte first */
	PROXY_VERSION = 2,
	PROXY_LOCAL = 0,
	PROXY_PROXY = 1,
	PROXY_STREAM = 1,
	PROXY_TLV_HEAD_BYTES = 3, /* type, length */
};

enum { PROXY_UNSPEC, PROXY_INET, PROXY_INET6, PROXY_UNIX, PROXY_FAMILIES };

static const uint8_t proxy_signature[PROXY_SIGNATURE_BYTES] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

/* of source and destination with their ports */
static const size_t proxy_address_bytes[PROXY_FAMILIES] = {[PROXY_INET] = 12, [PROXY_INET6] = 36, [PROXY_UNIX] = 216};

static uint16_t proxy_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

void proxy_v2_init(struct proxy_v2 *p)
{
	*p = (struct proxy_v2){.state = PROXY_MORE};
}

static size_t proxy_length(const struct proxy_v2 *p)
{
	return PROXY_V2_HEAD_BYTES + (p->have < PROXY_V2_HEAD_BYTES ? 0 : (size_t)proxy_be16(p->raw + PROXY_AT_LENGTH));
}

size_t proxy_v2_wants(const struct proxy_v2 *p)
{
	return p->state == PROXY_MORE ? proxy_length(p) - p->have : 0;
}

static void proxy_fail(struct proxy_v2 *p, const char *why)
{
	p->state = PROXY_BAD;
	p->why = why;
}

/* what can be wrong with the fixed part, as soon as it shows */
static const char *proxy_head_fault(const struct proxy_v2 *p)
{
	size_t signed_bytes = p->have < PROXY_SIGNATURE_BYTES ? p->have : PROXY_SIGNATURE_BYTES;

	if (memcmp(p->raw, proxy_signature, signed_bytes) != 0)
		return "no header of the PROXY protocol version 2 at the front";
	if (p->have > PROXY_AT_VERSION && p->raw[PROXY_AT_VERSION] >> 4 != PROXY_VERSION)
		return "another version than 2";
	if (p->have > PROXY_AT_VERSION && (p->raw[PROXY_AT_VERSION] & 15) > PROXY_PROXY)
		return "a command that is neither LOCAL nor PROXY";
	if (p->have >= PROXY_V2_HEAD_BYTES && proxy_length(p) > LIMIT_PROXY_HEADER_BYTES)
		return "too long";
	return NULL;
}

/* extensions follow each other to the end, each with its type and its length */
static bool proxy_tlvs_ok(struct span rest)
{
	while (rest.len) {
		size_t bytes = rest.len < PROXY_TLV_HEAD_BYTES ? rest.len + 1 : PROXY_TLV_HEAD_BYTES + (size_t)proxy_be16(rest.ptr + 1);

		if (bytes > rest.len)
			return false;
		rest = span_from(rest, bytes);
	}
	return true;
}

static struct net_address proxy_v4(const uint8_t *at)
{
	struct net_address a = {.raw = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.raw + 12, at, 4);
	return a;
}

static struct net_address proxy_v6(const uint8_t *at)
{
	struct net_address a;

	memcpy(a.raw, at, sizeof(a.raw));
	return a;
}

static void proxy_take_addresses(struct proxy_v2 *p, unsigned family)
{
	const uint8_t *at = p->raw + PROXY_V2_HEAD_BYTES;
	size_t bytes = family == PROXY_INET ? 4 : 16;

	p->source = family == PROXY_INET ? proxy_v4(at) : proxy_v6(at);
	p->destination = family == PROXY_INET ? proxy_v4(at + bytes) : proxy_v6(at + bytes);
	p->source_port = proxy_be16(at + 2 * bytes);
	p->destination_port = proxy_be16(at + 2 * bytes + 2);
	p->has_client = true;
}

static void proxy_whole(struct proxy_v2 *p)
{
	unsigned family = p->raw[PROXY_AT_FAMILY] >> 4, transport = p->raw[PROXY_AT_FAMILY] & 15;
	struct span rest = span_of(p->raw + PROXY_V2_HEAD_BYTES, p->have - PROXY_V2_HEAD_BYTES);

	p->local = (p->raw[PROXY_AT_VERSION] & 15) == PROXY_LOCAL;
	if (p->local) { /* whatever else it says is not looked at */
		p->state = PROXY_DONE;
	} else if (family >= PROXY_FAMILIES || (family != PROXY_UNSPEC && transport != PROXY_STREAM)) {
		proxy_fail(p, "an address family or transport that no mail comes by");
	} else if (rest.len < proxy_address_bytes[family]) {
		proxy_fail(p, "shorter than its addresses");
	} else if (family != PROXY_UNSPEC && !proxy_tlvs_ok(span_from(rest, proxy_address_bytes[family]))) {
		proxy_fail(p, "an extension runs past its end");
	} else {
		if (family == PROXY_INET || family == PROXY_INET6)
			proxy_take_addresses(p, family);
		p->state = PROXY_DONE;
	}
}

size_t proxy_v2_feed(struct proxy_v2 *p, struct span bytes)
{
	size_t taken = 0, n;

	while (p->state == PROXY_MORE && (n = proxy_v2_wants(p)) > 0 && taken < bytes.len) {
		struct span part = span_head(span_from(bytes, taken), n);
		const char *fault;

		memcpy(p->raw + p->have, part.ptr, part.len);
		p->have += part.len;
		taken += part.len;
		fault = proxy_head_fault(p);
		if (fault)
			proxy_fail(p, fault);
		else if (p->have >= PROXY_V2_HEAD_BYTES && p->have == proxy_length(p))
			proxy_whole(p);
	}
	return taken;
}
