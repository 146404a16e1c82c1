/* flow - dialogue scripts that anyone can read, run here against an engine in memory with a fake clock, and by live.py against a
 * running server. The format is described in test/flow/README.md. */
#ifndef MAILROOM_TEST_FLOW_H
#define MAILROOM_TEST_FLOW_H

#include "base/buf.h"

/* what the peer sees of a session, for as long as it lives */
struct flow_peer {
	struct buf *out;    /* what it can read; what it has read is dropped */
	const bool *closed; /* the server did */
};

struct flow_driver {
	const char *name;
	void *(*start)(const char *listener, struct flow_peer *peer_out); /* NULL: the listener is not this driver's. TLS is up already for implicit TLS */
	void (*feed)(void *session, struct span bytes);                   /* takes all and does what follows */
	void (*tick)(void *session, uint64_t later_ms);
	bool (*tls_done)(void *session);                                  /* false: the server did not agree to a handshake */
	void (*stop)(void *session);
};

extern const struct flow_driver flow_driver_smtp, flow_driver_pop3;

#endif
