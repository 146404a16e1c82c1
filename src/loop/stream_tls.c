#include "loop/stream_internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

enum { TLS_RECORD_HANDSHAKE = 0x16 };

/* ---- results */

static const char *stream_ssl_words(const struct stream *s, int rc, int error)
{
	int kind = SSL_get_error(s->ssl, rc);
	unsigned long code = ERR_peek_error();
	const char *words;

	if (kind == SSL_ERROR_ZERO_RETURN)
		return "closed by peer";
	if (kind == SSL_ERROR_SYSCALL && code == 0)
		return stream_errno_words(error);
	if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return "closed by peer";
	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return X509_verify_cert_error_string(SSL_get_verify_result(s->ssl));
	words = ERR_reason_error_string(code);
	return words ? words : "TLS failed";
}

enum rc stream_ssl_result(struct stream *s, int rc, int error)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->can_read = false;
		return RC_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->can_write = false;
		return stream_watch(s, &s->writable);
	default:
		stream_fail(s, stream_ssl_words(s, rc, error));
		return RC_IO;
	}
}

/* ---- beginning */

/* RFC 3207 4.2: what came in the clear behind STARTTLS must not be taken for what comes under TLS */
static bool stream_has_clear_bytes(struct stream *s)
{
	uint8_t first;

	if (s->kept && !s->in_bytes)
		return true;
	if (recv(s->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return false;
	/* before the 220 has left nobody can answer it; afterwards a ClientHello may be there already */
	return s->ops->out(s->owner).len > 0 || first != TLS_RECORD_HANDSHAKE;
}

/* takes ssl */
static enum rc stream_tls_begin(struct stream *s, SSL *ssl)
{
	if (!ssl || SSL_set_fd(ssl, s->fd) != 1) {
		SSL_free(ssl);
		return RC_IO;
	}
	SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_read_ahead(ssl, 1);
	s->ssl = ssl;
	s->tls_next = true;
	s->can_read = false;
	if (s->state == STREAM_PLAIN)
		loop_soon(s->loop, &s->soon);
	return RC_OK;
}

enum rc stream_tls(struct stream *s, SSL_CTX *ctx)
{
	SSL *ssl;

	if (s->ssl)
		return RC_EXISTS;
	if ((s->state != STREAM_NEW && s->state != STREAM_PLAIN) || s->closing || s->dead)
		return RC_DENIED;
	if (s->state == STREAM_PLAIN && stream_has_clear_bytes(s))
		return RC_BAD;
	ERR_clear_error();
	ssl = SSL_new(ctx);
	if (ssl)
		SSL_set_accept_state(ssl);
	return stream_tls_begin(s, ssl);
}

enum rc stream_tls_client(struct stream *s, SSL *ssl)
{
	enum rc rc = RC_OK;
	uint8_t first;

	if (s->ssl)
		rc = RC_EXISTS;
	else if ((s->state != STREAM_CONNECTING && s->state != STREAM_PLAIN) || s->closing || s->dead)
		rc = RC_DENIED;
	else if (s->state == STREAM_PLAIN && ((s->kept && !s->in_bytes) || recv(s->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1))
		rc = RC_BAD; /* no server speaks before our ClientHello */
	if (rc != RC_OK) {
		SSL_free(ssl);
		return rc;
	}
	ERR_clear_error();
	SSL_set_connect_state(ssl);
	return stream_tls_begin(s, ssl);
}

bool stream_is_tls(const struct stream *s)
{
	return s->ssl && SSL_is_init_finished(s->ssl);
}

SSL *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

const char *stream_tls_version(const struct stream *s)
{
	return stream_is_tls(s) ? SSL_get_version(s->ssl) : "";
}

const char *stream_tls_cipher(const struct stream *s)
{
	return stream_is_tls(s) ? SSL_get_cipher_name(s->ssl) : "";
}
