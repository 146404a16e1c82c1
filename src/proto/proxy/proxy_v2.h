/* proxy_v2 - the header of the PROXY protocol, version 2, with which a load balancer says who the client is (HAProxy, doc/proxy-protocol.txt 2.2). Pure and
 * resumable: bytes go in, a verdict comes out. Only whoever trusts the balancer may believe it; that, and the time it may take, are the owner's business.
 * Extensions (TLVs) are checked for their form and skipped. */
#ifndef MAILROOM_PROTO_PROXY_PROXY_V2_H
#define MAILROOM_PROTO_PROXY_PROXY_V2_H

#include "base/limits.h"
#include "base/net.h"

enum { PROXY_V2_HEAD_BYTES = 16 }; /* signature, version, family, length */

enum proxy_state {
	PROXY_MORE, /* the header goes on */
	PROXY_DONE, /* it is whole: the fields below hold */
	PROXY_BAD,  /* it is none: `why` says so */
};

struct proxy_v2 {
	enum proxy_state state;
	bool has_client;                         /* false: LOCAL (the balancer's own check), or a family without IP addresses: the real peer counts */
	bool local;                              /* LOCAL */
	struct net_address source, destination;  /* of the client's connection, where has_client */
	uint16_t source_port, destination_port;
	const char *why;                         /* words, static */
	size_t have;
	uint8_t raw[LIMIT_PROXY_HEADER_BYTES];
};

void proxy_v2_init(struct proxy_v2 *p);
/* How many bytes to read next, so that nothing of what follows the header is taken; 0: no more are needed. */
size_t proxy_v2_wants(const struct proxy_v2 *p);
/* Returns how many of the bytes belong to the header; the others are the protocol's. The state says how it stands. */
size_t proxy_v2_feed(struct proxy_v2 *p, struct span bytes);

#endif
