/* stream_internal - what the parts of the stream share: stream.c (passes), stream_tls.c (beginning TLS, and its results), stream_connect.c. */
#ifndef MAILROOM_LOOP_STREAM_INTERNAL_H
#define MAILROOM_LOOP_STREAM_INTERNAL_H

#include <errno.h>

#include "loop/stream.h"

enum stream_state {
	STREAM_NEW,       /* not started */
	STREAM_CONNECTING,
	STREAM_PLAIN,
	STREAM_HANDSHAKE,
	STREAM_TLS,
	STREAM_FIN,       /* all sent, our FIN too; reads and throws away until the peer's */
	STREAM_DONE,      /* on_closed is due or has been called */
};

struct stream {
	struct loop *loop;
	const struct stream_ops *ops;
	void *owner;
	SSL *ssl;
	uint8_t *kept; /* what the owner did not take: kept_at..kept_len */
	const char *why;
	uint32_t kept_at, kept_len, read_bytes;
	int fd;
	enum stream_state state : 8;
	bool busy : 1;          /* on the stack: no second pass inside, and the memory stays */
	bool again : 1;         /* kicked while busy */
	bool dead : 1;          /* freed by the owner while busy */
	bool in_bytes : 1;      /* inside on_bytes */
	bool blocked : 1;       /* the owner cannot take the kept bytes yet */
	bool can_read : 1;      /* the socket may have bytes */
	bool can_write : 1;
	bool tls_next : 1;      /* STARTTLS: handshake when out() is empty; before the start: from the first byte */
	bool tls_failed : 1;    /* on_tls(false) is due */
	bool closing : 1;       /* stream_close was called */
	bool told : 1;          /* on_closed was called */
	bool reading : 1;       /* readable is with libevent */
	struct event readable, writable;
	struct loop_timer timer;
	struct loop_hook soon;
};

_Static_assert(sizeof(struct stream) < 600, "an idle connection is to stay small");

/* ---- stream.c */
void stream_set_state(struct stream *s, enum stream_state state);
void stream_release(struct stream *s); /* of one that is dead and not busy */
void stream_work(struct stream *s); /* not in STREAM_DONE, STREAM_NEW or STREAM_CONNECTING */
/* the stream ends; on_tls(false) where TLS was to begin, then on_closed, both later. why: a literal, or words that libc and OpenSSL keep */
void stream_fail(struct stream *s, const char *why);
/* RC_AGAIN: the event is with libevent; RC_IO: it cannot be, and the stream has failed */
enum rc stream_watch(struct stream *s, struct event *ev) RC_WARN;
const char *stream_errno_words(int error); /* 0: the peer closed it */
static inline bool stream_over(const struct stream *s)
{
	return s->dead || s->state == STREAM_DONE;
}

/* ---- stream_connect.c: the socket is writable */
void stream_connected(struct stream *s);

/* ---- stream_tls.c: what a call of OpenSSL came to, with the errno it left. RC_AGAIN: the socket cannot now; RC_IO: the stream has failed */
enum rc stream_ssl_result(struct stream *s, int rc, int error) RC_WARN;

#endif
