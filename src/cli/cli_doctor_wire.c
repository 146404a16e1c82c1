#include "cli/cli_doctor_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

#include "cause/cause.h"

enum { WIRE_CHUNK_BYTES = 4096, WIRE_NAME_BYTES = 200, TLS_RECORD_ALERT = 0x15, TLS_RECORD_HANDSHAKE = 0x16 };

void doctor_wire_init(struct doctor_wire *w, unsigned wait_ms, mono_ms run_end)
{
	mono_ms end = clock_mono_ms() + (mono_ms)wait_ms * DOCTOR_CONNECTION_WAITS;

	*w = (struct doctor_wire){.fd = -1, .wait_ms = wait_ms, .end = end < run_end ? end : run_end, .reason = ""};
	buf_init(&w->in, DOCTOR_PEER_BYTES);
	buf_init(&w->line, DOCTOR_LINE_BYTES);
}

void doctor_wire_clear(struct doctor_wire *w)
{
	SSL_free(w->ssl);
	SSL_CTX_free(w->context);
	if (w->fd >= 0)
		(void)close(w->fd);
	buf_clear(&w->in);
	buf_clear(&w->line);
	w->fd = -1;
	w->ssl = NULL;
	w->context = NULL;
}

mono_ms doctor_wire_deadline(const struct doctor_wire *w)
{
	mono_ms deadline = clock_mono_ms() + w->wait_ms;

	return deadline < w->end ? deadline : w->end;
}

static bool doctor_wire_poll(int fd, short events, mono_ms deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		mono_ms now = clock_mono_ms();
		int n;

		if (now >= deadline)
			return false;
		n = poll(&p, 1, (int)(deadline - now));
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

static enum doctor_net doctor_wire_net(int error)
{
	switch (error) {
	case 0:
		return DOCTOR_OPEN;
	case ECONNREFUSED:
	case ECONNRESET:
		return DOCTOR_REFUSED;
	case ETIMEDOUT:
		return DOCTOR_TIMED_OUT;
	default: /* no route, network down, forbidden by a local firewall */
		return DOCTOR_UNREACHABLE;
	}
}

static enum doctor_net doctor_wire_connect(struct doctor_wire *w, const struct sockaddr_storage *to, socklen_t bytes, mono_ms deadline)
{
	socklen_t len = sizeof(int);
	int error = 0;

	w->fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return DOCTOR_UNREACHABLE;
	if (connect(w->fd, (const struct sockaddr *)to, bytes) != 0)
		error = errno;
	if (error == EINPROGRESS) {
		error = 0;
		if (!doctor_wire_poll(w->fd, POLLOUT, deadline))
			error = ETIMEDOUT;
		else if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
	}
	if (error) {
		(void)close(w->fd);
		w->fd = -1;
	}
	return doctor_wire_net(error);
}

enum doctor_net doctor_wire_dial(struct doctor_wire *w, const struct doctor_host *host, uint16_t port, unsigned connect_ms)
{
	enum doctor_net net = DOCTOR_UNREACHABLE;
	mono_ms end = clock_mono_ms() + (connect_ms < w->wait_ms ? connect_ms : w->wait_ms);

	end = end < w->end ? end : w->end;

	for (size_t i = 0; i < host->address_count; i++) {
		struct sockaddr_storage to = host->address[i];
		mono_ms now = clock_mono_ms(), share = now < end ? (end - now) / (host->address_count - i) : 0;
		enum doctor_net one;

		if (to.ss_family == AF_INET6)
			((struct sockaddr_in6 *)&to)->sin6_port = htons(port);
		else
			((struct sockaddr_in *)&to)->sin_port = htons(port);
		one = doctor_wire_connect(w, &to, host->address_bytes[i], now + share);
		if (one == DOCTOR_OPEN)
			return one;
		/* the answer that says most: of two families one is often not there at all */
		if (i == 0 || net == DOCTOR_UNREACHABLE)
			net = one;
	}
	return net;
}

/* waits for what OpenSSL wants; false: it failed, or it is too late */
static bool doctor_wire_again(struct doctor_wire *w, int n, mono_ms deadline, bool *late_out)
{
	int want = SSL_get_error(w->ssl, n);

	*late_out = false;
	if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
		return false;
	*late_out = !doctor_wire_poll(w->fd, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
	return !*late_out;
}

/* takes what is there; OK also where it was nothing yet */
static enum doctor_wire_rc doctor_wire_fill(struct doctor_wire *w, mono_ms deadline)
{
	uint8_t *to = buf_reserve(&w->in, WIRE_CHUNK_BYTES);
	bool late = false;
	ssize_t n;

	if (!to || w->taken_bytes > DOCTOR_PEER_BYTES)
		return DOCTOR_WIRE_FLOOD;
	if (w->ssl) {
		ERR_clear_error();
		n = SSL_read(w->ssl, to, WIRE_CHUNK_BYTES);
		if (n <= 0)
			return doctor_wire_again(w, (int)n, deadline, &late) ? DOCTOR_WIRE_OK
			       : late					     ? DOCTOR_WIRE_SILENT
									     : DOCTOR_WIRE_CLOSED;
	} else {
		if (!doctor_wire_poll(w->fd, POLLIN, deadline))
			return DOCTOR_WIRE_SILENT;
		n = read(w->fd, to, WIRE_CHUNK_BYTES);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return DOCTOR_WIRE_OK;
		if (n <= 0)
			return DOCTOR_WIRE_CLOSED;
	}
	w->in.len += (size_t)n;
	w->taken_bytes += (size_t)n;
	return DOCTOR_WIRE_OK;
}

enum doctor_wire_rc doctor_wire_line(struct doctor_wire *w, mono_ms deadline, struct span *line_out)
{
	buf_reset(&w->line);
	for (;;) {
		size_t end = span_find(buf_span(&w->in), '\n');
		enum doctor_wire_rc rc;

		if (end < w->in.len && end < DOCTOR_LINE_BYTES) {
			buf_add(&w->line, span_of(w->in.ptr, end));
			buf_drop(&w->in, end + 1);
			if (w->line.len && w->line.ptr[w->line.len - 1] == '\r')
				w->line.len--;
			*line_out = buf_span(&w->line);
			return DOCTOR_WIRE_OK;
		}
		if (w->in.len >= DOCTOR_LINE_BYTES)
			return DOCTOR_WIRE_FLOOD;
		if (clock_mono_ms() >= deadline)
			return DOCTOR_WIRE_SILENT;
		rc = doctor_wire_fill(w, deadline);
		if (rc != DOCTOR_WIRE_OK)
			return rc;
	}
}

enum doctor_wire_rc doctor_wire_rest(struct doctor_wire *w, mono_ms deadline)
{
	enum doctor_wire_rc rc = DOCTOR_WIRE_OK;

	while (rc == DOCTOR_WIRE_OK)
		rc = clock_mono_ms() < deadline ? doctor_wire_fill(w, deadline) : DOCTOR_WIRE_SILENT;
	return rc == DOCTOR_WIRE_CLOSED ? DOCTOR_WIRE_OK : rc;
}

enum doctor_wire_rc doctor_wire_send(struct doctor_wire *w, struct span bytes)
{
	mono_ms deadline = doctor_wire_deadline(w);
	bool late = false;

	while (bytes.len) {
		ssize_t n;

		if (w->ssl) {
			ERR_clear_error();
			n = SSL_write(w->ssl, bytes.ptr, (int)bytes.len);
			if (n <= 0 && !doctor_wire_again(w, (int)n, deadline, &late))
				return late ? DOCTOR_WIRE_SILENT : DOCTOR_WIRE_CLOSED;
		} else {
			if (!doctor_wire_poll(w->fd, POLLOUT, deadline))
				return DOCTOR_WIRE_SILENT;
			n = send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				return DOCTOR_WIRE_CLOSED;
		}
		if (n > 0)
			bytes = span_from(bytes, (size_t)n);
	}
	return DOCTOR_WIRE_OK;
}

static bool doctor_wire_is_address(const char *name)
{
	uint8_t raw[16];

	return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

/* what comes back first tells TLS from a server that speaks in the clear, more surely than OpenSSL's error does */
static enum doctor_wire_rc doctor_wire_tls_peek(struct doctor_wire *w, mono_ms deadline)
{
	uint8_t first[DOCTOR_TEXT_BYTES];
	ssize_t n;

	if (!doctor_wire_poll(w->fd, POLLIN, deadline))
		return DOCTOR_WIRE_SILENT;
	n = recv(w->fd, first, sizeof(first), MSG_PEEK);
	if (n <= 0)
		return DOCTOR_WIRE_CLOSED;
	if (first[0] == TLS_RECORD_HANDSHAKE || first[0] == TLS_RECORD_ALERT)
		return DOCTOR_WIRE_OK;
	buf_add(&w->in, span_of(first, (size_t)n));
	return DOCTOR_WIRE_PLAIN;
}

enum doctor_wire_rc doctor_wire_tls(struct doctor_wire *w, const char *name)
{
	mono_ms deadline = doctor_wire_deadline(w);
	BIO *nothing = BIO_new(BIO_s_mem()), *to = BIO_new_socket(w->fd, BIO_NOCLOSE); /* nothing is read before it was looked at */
	bool peeked = false;

	w->context = SSL_CTX_new(TLS_client_method());
	w->ssl = w->context && SSL_CTX_set_default_verify_paths(w->context) == 1 ? SSL_new(w->context) : NULL;
	if (!w->ssl || !nothing || !to) {
		BIO_free(nothing);
		BIO_free(to);
		return DOCTOR_WIRE_FAILED;
	}
	SSL_set_bio(w->ssl, nothing, to);
	if (!doctor_wire_is_address(name) && SSL_set_tlsext_host_name(w->ssl, name) != 1)
		return DOCTOR_WIRE_FAILED;
	for (;;) {
		enum doctor_wire_rc rc;
		const char *reason;
		bool late = false;
		int n;

		ERR_clear_error();
		n = SSL_connect(w->ssl);
		if (n == 1)
			return DOCTOR_WIRE_OK;
		if (SSL_get_error(w->ssl, n) == SSL_ERROR_WANT_READ && !peeked) {
			peeked = true;
			rc = doctor_wire_tls_peek(w, deadline);
			if (rc != DOCTOR_WIRE_OK)
				return rc;
			if (!BIO_up_ref(to))
				return DOCTOR_WIRE_FAILED;
			SSL_set0_rbio(w->ssl, to);
			continue;
		}
		if (doctor_wire_again(w, n, deadline, &late))
			continue;
		if (!peeked && !late) /* not one byte came back */
			return DOCTOR_WIRE_CLOSED;
		reason = ERR_reason_error_string(ERR_peek_last_error());
		w->reason = reason ? reason : "the connection was closed";
		return late ? DOCTOR_WIRE_SILENT : DOCTOR_WIRE_FAILED;
	}
}

static void doctor_wire_add_name(struct buf *out, const X509_NAME *name)
{
	char text[WIRE_NAME_BYTES] = "";

	if (X509_NAME_get_text_by_NID((X509_NAME *)name, NID_commonName, text, sizeof(text)) <= 0)
		(void)X509_NAME_oneline(name, text, sizeof(text));
	buf_add_safe(out, span_str(text), WIRE_NAME_BYTES);
}

static void doctor_wire_add_date(struct buf *out, const ASN1_TIME *when)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) == 1)
		buf_printf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static bool doctor_wire_fits(X509 *cert, const char *name)
{
	return doctor_wire_is_address(name) ? X509_check_ip_asc(cert, name, 0) == 1
					    : X509_check_host(cert, name, strlen(name), 0, NULL) == 1;
}

static void doctor_wire_add_words(struct buf *out, X509 *cert)
{
	buf_add_str(out, "for ");
	doctor_wire_add_name(out, X509_get_subject_name(cert));
	buf_add_str(out, ", issued by ");
	doctor_wire_add_name(out, X509_get_issuer_name(cert));
	buf_add_str(out, ", valid from ");
	doctor_wire_add_date(out, X509_get0_notBefore(cert));
	buf_add_str(out, " until ");
	doctor_wire_add_date(out, X509_get0_notAfter(cert));
}

struct doctor_certificate doctor_wire_certificate(struct doctor_wire *w, const char *name, struct buf *words_out, struct buf *wrong_out)
{
	X509 *cert = SSL_get1_peer_certificate(w->ssl);
	struct doctor_certificate c = {0};
	long verified;

	if (!cert) {
		buf_add_str(wrong_out, "the server shows no certificate");
		c.slug = cause_slug(CAUSE_TLS_CERT_UNTRUSTED);
		return c;
	}
	doctor_wire_add_words(words_out, cert);
	verified = SSL_get_verify_result(w->ssl);
	c.late = X509_cmp_current_time(X509_get0_notAfter(cert)) < 0 || verified == X509_V_ERR_CERT_HAS_EXPIRED;
	c.early = X509_cmp_current_time(X509_get0_notBefore(cert)) > 0 || verified == X509_V_ERR_CERT_NOT_YET_VALID;
	if (c.late || c.early || verified != X509_V_OK)
		c.slug = cause_slug(CAUSE_TLS_CERT_UNTRUSTED);
	if (c.late)
		buf_add_str(wrong_out, "the certificate has expired, by the clock of this computer");
	else if (c.early)
		buf_add_str(wrong_out, "the certificate is not valid yet, by the clock of this computer");
	else if (verified != X509_V_OK)
		buf_add_str(wrong_out, X509_verify_cert_error_string(verified));
	else if (!doctor_wire_fits(cert, name)) {
		buf_printf(wrong_out, "the certificate is not for %s", name);
		c.slug = cause_slug(CAUSE_TLS_CERT_NAME_MISMATCH);
	}
	if (c.slug)
		buf_printf(wrong_out, " (%s)", buf_cstr(words_out));
	X509_free(cert);
	return c;
}
