/* stream_peer - for the stream tests: an owner of a stream that records what comes and says what it is told to, and the other end of the
 * connection as a bare descriptor that a step function drives between the turns. */
#ifndef MAILROOM_TEST_STREAM_PEER_H
#define MAILROOM_TEST_STREAM_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "loop/stream.h"

enum free_at { FREE_NEVER, FREE_IN_BYTES, FREE_IN_OUT, FREE_IN_SENT, FREE_IN_TLS, FREE_IN_CLOSED, FREE_IN_CONNECTED };

struct end {
	struct loop *loop;
	struct stream *stream;
	int fd;               /* the other end; -1: closed */
	struct buf got, out;  /* the owner's */
	size_t out_at;
	/* what the owner does */
	size_t take_max;      /* of one on_bytes; 0: nothing */
	bool echo, kick_in_bytes, kick_in_sent;
	enum free_at free_at;
	uint64_t close_in_bytes_ms; /* stream_close with it; 0: no */
	void (*on_bytes)(struct end *e, struct span bytes);
	void (*on_connected)(struct end *e);
	/* what it saw */
	unsigned closed, tls_ok, tls_failed, bytes_calls, connected;
	char why[100], tls_why[100];
	size_t bytes_in_turn, bytes_in_turn_max;
	struct loop_hook turn_end;
	/* the other end: called every turn until it returns true; the run stops then */
	bool (*step)(struct end *e);
	void *step_arg;
	struct loop_hook stepper;
	bool done;
	unsigned turns;
};

/* a socketpair, or TCP over loopback */
void end_open(struct end *e, struct loop *l, bool tcp);
/* a connection that the stream makes, to the address of a listening socket, or of one that is closed (listening false: fd is -1) */
void end_connect(struct end *e, struct loop *l, bool listening, const char *from);
void end_close(struct end *e);
/* turns until step says so; fails the test after 20 s */
void end_run(struct end *e, bool (*step)(struct end *e));
void end_say(struct end *e, struct span bytes); /* into the owner's out; kicks */
/* some bytes that are the same every time and differ from place to place */
void pattern_add(struct buf *b, size_t len);
int count_fds(void);

#endif
