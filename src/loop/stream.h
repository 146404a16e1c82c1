/* stream - one TCP connection, accepted or made, plain or TLS, over the loop. Idle it holds no buffer of its own: bytes are read into a scratch
 * area shared by all streams of the process and offered to the owner; what the owner does not take is kept until it does. */
#ifndef MAILROOM_LOOP_STREAM_H
#define MAILROOM_LOOP_STREAM_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "loop/loop.h"

struct stream;

struct stream_ops {
	/* bytes came; returns how many are taken. Fewer than given: the rest is kept, reading pauses, and it is offered again after stream_kick (one
	 * from elsewhere than this callback) or after on_sent. */
	size_t (*on_bytes)(void *owner, struct span bytes);
	/* what to send now; the stream asks whenever it can write. Empty: nothing. What was offered once stays in front until on_sent takes it. */
	struct span (*out)(void *owner);
	void (*on_sent)(void *owner, size_t n);
	/* handshake done (ok) or failed (why: words for the log) */
	void (*on_tls)(void *owner, bool ok, const char *why);
	/* peer closed, reset or failed; after this only stream_free. Also comes after on_tls(false). Never called from inside a call of the owner. */
	void (*on_closed)(void *owner, const char *why);
	/* stream_connect: the connection is there, out() is asked next; here stream_tls_client begins TLS from the first byte. NULL: nothing */
	void (*on_connected)(void *owner);
};

/* why TLS could not begin: the peer said more in the clear than it may (RFC 3207 4.2); also for who gets RC_BAD from stream_tls and stream_tls_client */
#define STREAM_WHY_INJECTION "bytes in the clear behind STARTTLS"

/* takes fd; nothing happens before stream_start */
struct stream *stream_new(struct loop *loop, int fd, const struct stream_ops *ops, void *owner);
/* Makes a connection from `from` (an address of this machine, port 0; NULL: the system chooses) and starts by itself: on_connected, or on_closed with
 * the system's words ("Connection refused"). The kernel takes minutes to give up: how long is waited is the owner's business (stream_free). RC_IO: no
 * socket, or that address is not ours; err has the words. */
enum rc stream_connect(struct loop *loop, const struct sockaddr *to, socklen_t to_len, const struct sockaddr *from, socklen_t from_len,
	const struct stream_ops *ops, void *owner, struct stream **out, struct err *err) RC_WARN;
void stream_start(struct stream *s); /* starts reading, and sending what out() has */
void stream_free(struct stream **s); /* closes at once; safe inside callbacks */
/* The owner has something to send, or room to take bytes again. Cheap; the work is done at once unless inside a callback. */
void stream_kick(struct stream *s);
/* TLS as server; ctx is borrowed. Before stream_start: from the first byte, out() is asked only after the handshake. Later (STARTTLS): first what
 * out() holds leaves in the clear (call it while the 220 is still there), then the handshake; on_bytes is not called meanwhile. RC_BAD: bytes
 * received in the clear are waiting (injection): nothing done. Called inside on_bytes, which then takes fewer bytes than given: on_tls(false). */
enum rc stream_tls(struct stream *s, SSL_CTX *ctx) RC_WARN;
/* TLS as client; takes ssl, whatever comes of it. At STARTTLS (from on_bytes with the 220 in it, or later) anything that came in the clear behind the 220 is
 * an injection: RC_BAD, or on_tls(false) as above. While connecting, or in on_connected: from the first byte. A failed handshake's words name the alert, or
 * what is wrong with the certificate where `ssl` verifies it. */
enum rc stream_tls_client(struct stream *s, SSL *ssl) RC_WARN;
/* Sends what out() still has (for at most linger_ms), then TLS close_notify, FIN, a short wait for the peer's, and calls on_closed. */
void stream_close(struct stream *s, uint64_t linger_ms);
bool stream_is_tls(const struct stream *s);
int stream_fd(const struct stream *s); /* borrowed: to be shown to another role, not to be read or written */
SSL *stream_ssl(const struct stream *s); /* NULL: plain */
/* for the log: "TLSv1.3", "TLS_AES_256_GCM_SHA384"; "" when plain */
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);

#endif
