/* flow - dialogue scripts that anyone can read, run here against an engine in memory with a fake clock, and by live.py against a
 * running server. The format is described in test/flow/README.md. */
#ifndef MAILROOM_TEST_FLOW_H
#define MAILROOM_TEST_FLOW_H

#include "base/span.h"

struct flow_driver {
	const char *name;
	void *(*start)(const char *listener);                /* NULL: the listener is not this driver's. TLS is up already for implicit TLS */
	void (*feed)(void *session, struct span bytes);      /* takes all and does what follows */
	struct span (*out)(void *session);                   /* what the peer can read now */
	void (*sent)(void *session, size_t bytes);           /* ... and has read */
	void (*tick)(void *session, uint64_t later_ms);
	bool (*tls_done)(void *session);                     /* false: the server did not agree to a handshake */
	bool (*closed)(void *session);
	void (*stop)(void *session);
};

extern const struct flow_driver flow_driver_smtp, flow_driver_pop3;

#endif
