/* Connections that a stream makes, and TLS as client, against OpenSSL's server. */
#include "test_stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_peer.h"
#include "tls_ca.h"

static const char ready_reply[] = "220 ready\r\n";

struct server {
	SSL_CTX *ctx, *client_ctx;
	SSL *ssl;
	struct buf heard;
	bool up, failed;
};

static void server_init(struct server *v, struct end *e, SSL_CTX *ctx)
{
	*v = (struct server){.ctx = ctx, .client_ctx = SSL_CTX_new(TLS_client_method())};
	buf_init(&v->heard, 1 << 20);
	v->ssl = SSL_new(ctx);
	SSL_set_fd(v->ssl, e->fd);
	SSL_set_accept_state(v->ssl);
	e->step_arg = v;
}

static void server_clear(struct server *v)
{
	SSL_free(v->ssl);
	SSL_CTX_free(v->ctx);
	SSL_CTX_free(v->client_ctx);
	buf_clear(&v->heard);
}

/* shakes hands, echoes */
static void server_step(struct server *v)
{
	uint8_t bytes[4096];
	int n;

	ERR_clear_error();
	n = v->failed ? 0 : SSL_read(v->ssl, bytes, sizeof(bytes));
	v->up = SSL_is_init_finished(v->ssl) != 0;
	if (n > 0) {
		buf_add(&v->heard, span_of(bytes, (size_t)n));
		assert_int_equal(SSL_write(v->ssl, bytes, n), n);
	} else if (!v->failed && SSL_get_error(v->ssl, n) == SSL_ERROR_SSL) {
		v->failed = true;
	}
}

static bool step_server_echoed(struct end *e)
{
	struct server *v = e->step_arg;

	server_step(v);
	return v->heard.len > 0 && e->got.len == v->heard.len;
}

static bool step_server_closed(struct end *e)
{
	server_step(e->step_arg);
	return e->closed > 0;
}

static bool step_connected(struct end *e)
{
	return e->connected > 0;
}

static bool step_over(struct end *e)
{
	return e->closed > 0;
}

static bool step_heard(struct end *e)
{
	char bytes[100];
	ssize_t n = recv(e->fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		assert_int_equal(send(e->fd, bytes, (size_t)n, 0), n);
	return e->got.len == 5;
}

void test_connect(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct end e;

		end_connect(&e, l, true, i ? "127.0.0.9" : NULL);
		buf_add_str(&e.out, "hello");
		stream_kick(e.stream); /* too early, and does nothing */
		assert_int_equal(e.out_at, 0);
		end_run(&e, step_heard);
		assert_int_equal(e.connected, 1);
		assert_true(span_eq(buf_span(&e.got), SPAN_LIT("hello")));
		close(e.fd);
		e.fd = -1;
		end_run(&e, step_over);
		assert_string_equal(e.why, "closed by peer");
		end_close(&e);
	}
	loop_free(&l);
}

void test_connect_fails(void **state)
{
	struct sockaddr_storage nowhere = {.ss_family = AF_UNIX + 1000};
	struct loop *l = loop_new();
	struct stream *none = NULL;
	struct err err = {""};
	struct end e;

	(void)state;
	end_connect(&e, l, false, NULL);
	assert_int_equal(e.closed, 0); /* not inside the call */
	end_run(&e, step_over);
	assert_int_equal(e.connected, 0);
	assert_string_equal(e.why, "Connection refused");
	end_close(&e);

	/* TLS that was asked for never began */
	end_connect(&e, l, false, NULL);
	e.step_arg = SSL_CTX_new(TLS_client_method());
	if (e.closed == 0)
		(void)!stream_tls_client(e.stream, SSL_new(e.step_arg));
	end_run(&e, step_over);
	assert_int_equal(e.tls_failed, 0);
	assert_string_equal(e.why, "Connection refused");
	SSL_CTX_free(e.step_arg);
	end_close(&e);

	/* closed while connecting */
	end_connect(&e, l, true, NULL);
	stream_close(e.stream, 1000);
	end_run(&e, step_over);
	assert_int_equal(e.connected, 0);
	assert_string_equal(e.why, "closed");
	end_close(&e);

	assert_int_equal(stream_connect(l, (struct sockaddr *)&nowhere, sizeof(nowhere), NULL, 0, NULL, NULL, &none, &err), RC_IO);
	assert_null(none);
	assert_true(strlen(err.words) > 10);
	loop_free(&l);
}

static void connected_close(struct end *e)
{
	stream_close(e->stream, 100);
}

static bool step_freed(struct end *e)
{
	return e->stream == NULL;
}

void test_connect_free(void **state)
{
	struct loop *l = loop_new();
	int fds = count_fds();
	struct end e;

	(void)state;
	end_connect(&e, l, true, NULL);
	e.free_at = FREE_IN_CONNECTED;
	end_run(&e, step_freed);
	end_close(&e);

	end_connect(&e, l, true, NULL);
	e.on_connected = connected_close;
	end_run(&e, step_over);
	end_close(&e);

	end_connect(&e, l, true, NULL); /* before anything happened */
	end_close(&e);
	end_connect(&e, l, false, NULL);
	end_close(&e);
	assert_int_equal(count_fds(), fds);
	loop_free(&l);
}

static void connected_tls(struct end *e)
{
	struct server *v = e->step_arg;

	assert_int_equal(stream_tls_client(e->stream, SSL_new(v->client_ctx)), RC_OK);
	assert_int_equal(stream_tls_client(e->stream, SSL_new(v->client_ctx)), RC_EXISTS);
}

/* from the first byte */
void test_client_tls(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct server v;
		struct end e;

		end_connect(&e, l, true, NULL);
		server_init(&v, &e, tls_ca_server(NULL, "DNS:mx.test", 86400));
		if (i)
			e.on_connected = connected_tls;
		else
			connected_tls(&e);
		pattern_add(&e.out, 3000);
		end_run(&e, step_server_echoed);
		assert_int_equal(e.tls_ok, 1);
		assert_string_equal(stream_tls_version(e.stream), "TLSv1.3");
		assert_true(span_eq(buf_span(&e.got), buf_span(&e.out)));
		server_clear(&v);
		end_close(&e);
	}
	loop_free(&l);
}

static void begin_tls(struct end *e, struct span bytes)
{
	struct server *v = e->step_arg;

	assert_true(span_eq(span_head(bytes, sizeof(ready_reply) - 1), SPAN_LIT("220 ready\r\n")));
	e->on_bytes = NULL;
	assert_int_equal(stream_tls_client(e->stream, SSL_new(v->client_ctx)), RC_OK);
	pattern_add(&e->out, 300); /* must not leave in the clear; the owner has nothing to say before the handshake, but see that it waits */
	e->out_at = 300;
}

static void reset_after_tls(struct end *e)
{
	buf_reset(&e->got);
	e->out_at = 0;
}

static bool step_tls_up(struct end *e)
{
	server_step(e->step_arg);
	return e->tls_ok > 0;
}

void test_client_starttls(void **state)
{
	struct loop *l = loop_new();
	struct server v;
	struct end e;

	(void)state;
	end_connect(&e, l, true, NULL);
	server_init(&v, &e, tls_ca_server(NULL, "DNS:mx.test", 86400));
	e.on_bytes = begin_tls;
	end_run(&e, step_connected);
	assert_int_equal(send(e.fd, ready_reply, sizeof(ready_reply) - 1, 0), sizeof(ready_reply) - 1);
	end_run(&e, step_tls_up);
	reset_after_tls(&e);
	stream_kick(e.stream);
	end_run(&e, step_server_echoed);
	assert_true(span_eq(buf_span(&e.got), buf_span(&e.out)));
	server_clear(&v);
	end_close(&e);
	loop_free(&l);
}

static const struct {
	const char *names, *host, *why;
	long until_s;
	bool by_ca;
} certificates[] = {
	{"DNS:mx.test", "mx.test", NULL, 86400, true},
	{"DNS:*.mail.test", "mx.mail.test", NULL, 86400, true},
	{"DNS:other.test", "mx.test", "hostname mismatch", 86400, true},
	{"DNS:mx.test", "mx.test", "certificate has expired", -60, true},
	{"DNS:mx.test", "mx.test", "self-signed certificate", 86400, false},
};

static void check_certificate(struct loop *l, const struct tls_ca *ca, size_t i)
{
	struct server v;
	struct end e;
	SSL *ssl;

	end_connect(&e, l, true, NULL);
	server_init(&v, &e, tls_ca_server(certificates[i].by_ca ? ca : NULL, certificates[i].names, certificates[i].until_s));
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(v.client_ctx), ca->cert), 1);
	ssl = SSL_new(v.client_ctx);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	assert_int_equal(SSL_set1_host(ssl, certificates[i].host), 1);
	assert_int_equal(stream_tls_client(e.stream, ssl), RC_OK);
	buf_add_str(&e.out, "secret");
	end_run(&e, certificates[i].why ? step_server_closed : step_server_echoed);
	if (certificates[i].why) {
		assert_int_equal(e.tls_failed, 1);
		assert_string_equal(e.tls_why, certificates[i].why);
		assert_int_equal(v.heard.len, 0);
		assert_int_equal(e.out_at, 0);
	} else {
		assert_int_equal(e.tls_ok, 1);
	}
	server_clear(&v);
	end_close(&e);
}

void test_client_certificate(void **state)
{
	struct loop *l = loop_new();
	struct tls_ca ca;
	struct server v;
	struct end e;

	(void)state;
	tls_ca_init(&ca);
	for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++)
		check_certificate(l, &ca, i);
	tls_ca_clear(&ca);

	/* the server's alert is named */
	end_connect(&e, l, true, NULL);
	server_init(&v, &e, tls_ca_server(NULL, "DNS:mx.test", 86400));
	SSL_set_max_proto_version(v.ssl, TLS1_2_VERSION);
	SSL_CTX_set_min_proto_version(v.client_ctx, TLS1_3_VERSION);
	connected_tls(&e);
	end_run(&e, step_server_closed);
	assert_int_equal(e.tls_failed, 1);
	assert_string_equal(e.tls_why, "tlsv1 alert protocol version");
	server_clear(&v);
	end_close(&e);
	loop_free(&l);
}

static void refuse_tls(struct end *e, struct span bytes)
{
	struct server *v = e->step_arg;

	(void)bytes;
	assert_int_equal(stream_tls_client(e->stream, SSL_new(v->client_ctx)), RC_BAD);
	e->on_bytes = NULL;
}

static void more_then_refuse(struct end *e, struct span bytes)
{
	assert_int_equal(send(e->fd, "\x16", 1, 0), 1); /* even what looks like TLS */
	refuse_tls(e, bytes);
}

static bool step_bytes(struct end *e)
{
	return e->bytes_calls > 0;
}

void test_client_injection(void **state)
{
	static const char injected[] = "220 ready\r\n250 OK\r\n";
	struct loop *l = loop_new();

	(void)state;
	for (int i = 0; i < 3; i++) { /* 0: in the same segment, 1: in the socket, 2: kept as the owner was not ready */
		struct server v;
		struct end e;

		end_connect(&e, l, true, NULL);
		server_init(&v, &e, tls_ca_server(NULL, "DNS:mx.test", 86400));
		e.on_bytes = i == 0 ? begin_tls : i == 1 ? more_then_refuse : NULL;
		e.take_max = i == 1 ? SIZE_MAX : sizeof(ready_reply) - 1;
		end_run(&e, step_connected);
		assert_int_equal(send(e.fd, i == 1 ? ready_reply : injected, i == 1 ? sizeof(ready_reply) - 1 : sizeof(injected) - 1, 0),
			i == 1 ? sizeof(ready_reply) - 1 : sizeof(injected) - 1);
		if (i == 0) {
			end_run(&e, step_over);
			assert_int_equal(e.tls_failed, 1);
			assert_string_equal(e.tls_why, "bytes in the clear behind STARTTLS");
		} else {
			end_run(&e, step_bytes);
			if (i == 2)
				refuse_tls(&e, SPAN_NONE);
			assert_false(stream_is_tls(e.stream));
			assert_int_equal(e.tls_ok + e.tls_failed, 0);
		}
		server_clear(&v);
		end_close(&e);
	}
	loop_free(&l);
}
