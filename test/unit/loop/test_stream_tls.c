/* Streams under TLS, with real handshakes against OpenSSL's client. */
#include "test_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_peer.h"
#include "tls_pair.h"

struct tls_talk {
	struct tls_pair tls;
	struct buf say, heard;
	size_t said, read_bytes;
	bool up, shut;
	/* byte by byte: the client's records go through memory */
	BIO *from_server, *to_server;
	size_t sent_raw;
};

static void talk_init(struct tls_talk *t, struct end *e, size_t len, size_t read_bytes)
{
	*t = (struct tls_talk){.read_bytes = read_bytes};
	tls_pair_init(&t->tls, e->fd);
	buf_init(&t->say, 1 << 28);
	buf_init(&t->heard, 1 << 28);
	pattern_add(&t->say, len);
	e->step_arg = t;
}

static void talk_clear(struct tls_talk *t)
{
	tls_pair_clear(&t->tls);
	buf_clear(&t->say);
	buf_clear(&t->heard);
}

static void talk_some(struct tls_talk *t)
{
	struct span rest = span_from(buf_span(&t->say), t->said);
	int n;

	ERR_clear_error();
	t->up = t->up || tls_pair_client_step(&t->tls);
	if (!t->up)
		return;
	n = rest.len ? SSL_write(t->tls.client, rest.ptr, (int)rest.len) : 0;
	if (n > 0)
		t->said += (size_t)n;
	n = SSL_read(t->tls.client, buf_reserve(&t->heard, t->read_bytes), (int)t->read_bytes);
	if (n > 0)
		t->heard.len += (size_t)n;
	t->shut = (SSL_get_shutdown(t->tls.client) & SSL_RECEIVED_SHUTDOWN) != 0;
}

static bool step_echoed(struct end *e)
{
	struct tls_talk *t = e->step_arg;

	talk_some(t);
	return t->up && t->heard.len == t->say.len;
}

static bool step_closed(struct end *e)
{
	return e->closed > 0;
}

static bool step_talk_closed(struct end *e)
{
	talk_some(e->step_arg);
	return e->closed > 0;
}

static void check_echo(size_t len, size_t read_bytes, int version)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	end_open(&e, l, true);
	talk_init(&t, &e, len, read_bytes);
	if (version)
		SSL_set_max_proto_version(t.tls.client, version);
	e.echo = true;
	buf_add(&e.out, SPAN_LIT("")); /* nothing in the clear */
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	assert_false(stream_is_tls(e.stream));
	end_run(&e, step_echoed);
	assert_int_equal(e.tls_ok, 1);
	assert_int_equal(e.tls_failed, 0);
	assert_true(stream_is_tls(e.stream));
	assert_string_equal(stream_tls_version(e.stream), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
	assert_true(strlen(stream_tls_cipher(e.stream)) > 10);
	assert_true(span_eq(buf_span(&t.heard), buf_span(&t.say)));
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_EXISTS);
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}

void test_tls_echo(void **state)
{
	(void)state;
	check_echo(10, 100, 0);
	check_echo(3 << 20, 1 << 20, 0);
	check_echo(3 << 20, 1 << 20, TLS1_2_VERSION);
}

void test_tls_slow_reader(void **state)
{
	(void)state;
	check_echo(1 << 20, 3000, 0);
}

/* one byte of the records each turn, both ways through memory */
static bool step_byte(struct end *e)
{
	struct tls_talk *t = e->step_arg;
	uint8_t bytes[4096];
	ssize_t n = recv(e->fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		BIO_write(t->from_server, bytes, (int)n);
	talk_some(t);
	if (BIO_read(t->to_server, bytes, 1) == 1) {
		assert_int_equal(send(e->fd, bytes, 1, 0), 1);
		t->sent_raw++;
	}
	return t->up && t->heard.len == t->say.len;
}

void test_tls_byte_by_byte(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	(void)state;
	end_open(&e, l, false);
	talk_init(&t, &e, 50, 100);
	t.from_server = BIO_new(BIO_s_mem());
	t.to_server = BIO_new(BIO_s_mem());
	SSL_set_bio(t.tls.client, t.from_server, t.to_server);
	e.echo = true;
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	end_run(&e, step_byte);
	assert_true(t.sent_raw > 200);
	assert_true(span_eq(buf_span(&t.heard), buf_span(&t.say)));
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}

static const struct {
	const char *say;
	size_t len;
	const char *why;
} bad_hellos[] = {
	{"GET / HTTP/1.0\r\n\r\n", 18, "http request"},
	{"EHLO client.example\r\n", 21, "wrong version number"},
	{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, "unexpected message"},
};

static void check_bad_hello(struct loop *l, const char *say, size_t len, const char *why)
{
	struct end e;
	struct tls_talk t;

	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	assert_int_equal(send(e.fd, say, len, 0), (ssize_t)len);
	end_run(&e, step_closed);
	assert_int_equal(e.tls_failed, 1);
	assert_string_equal(e.tls_why, why);
	assert_int_equal(e.closed, 1);
	assert_int_equal(e.bytes_calls, 0);
	talk_clear(&t);
	end_close(&e);
}

void test_tls_failures(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_hellos) / sizeof(bad_hellos[0]); i++)
		check_bad_hello(l, bad_hellos[i].say, bad_hellos[i].len, bad_hellos[i].why);

	/* a client that only speaks what the server no longer does */
	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	SSL_CTX_set_min_proto_version(t.tls.server_ctx, TLS1_3_VERSION);
	SSL_set_max_proto_version(t.tls.client, TLS1_2_VERSION);
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	end_run(&e, step_talk_closed);
	assert_string_equal(e.tls_why, "unsupported protocol");
	talk_clear(&t);
	end_close(&e);

	/* a client that does not trust the certificate says so in an alert */
	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	SSL_set_verify(t.tls.client, SSL_VERIFY_PEER, NULL);
	SSL_set_max_proto_version(t.tls.client, TLS1_2_VERSION);
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	end_run(&e, step_talk_closed);
	assert_non_null(strstr(e.tls_why, "alert unknown ca"));
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}

static bool step_up(struct end *e)
{
	struct tls_talk *t = e->step_arg;

	talk_some(t);
	return t->up && e->tls_ok;
}

void test_tls_vanishes(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	for (int when = 0; when < 3; when++) { /* before the hello, inside the handshake, afterwards without close_notify */
		struct end e;
		struct tls_talk t;

		end_open(&e, l, true);
		talk_init(&t, &e, 0, 1);
		assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
		stream_start(e.stream);
		if (when == 1)
			talk_some(&t);
		if (when == 2)
			end_run(&e, step_up);
		shutdown(e.fd, SHUT_RDWR);
		close(e.fd);
		e.fd = -1;
		end_run(&e, step_closed);
		assert_int_equal(e.tls_failed, when < 2);
		assert_int_equal(e.closed, 1);
		talk_clear(&t);
		end_close(&e);
	}
	loop_free(&l);
}

static bool step_shut(struct end *e)
{
	struct tls_talk *t = e->step_arg;

	talk_some(t);
	return t->shut;
}

void test_tls_close(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	(void)state;
	end_open(&e, l, true);
	talk_init(&t, &e, 100000, 50000);
	e.take_max = 10;
	pattern_add(&e.out, 1000000);
	e.close_in_bytes_ms = 10000;
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
	stream_start(e.stream);
	end_run(&e, step_shut);
	assert_true(span_eq(buf_span(&t.heard), buf_span(&e.out))); /* everything, then close_notify */
	SSL_shutdown(t.tls.client);
	close(e.fd);
	e.fd = -1;
	end_run(&e, step_closed);
	assert_string_equal(e.why, "closed");
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}

static bool step_turns(struct end *e)
{
	talk_some(e->step_arg);
	return e->turns > 60;
}

void test_tls_free(void **state)
{
	static const enum free_at places[] = {FREE_IN_TLS, FREE_IN_BYTES, FREE_IN_OUT, FREE_IN_SENT};
	int before = count_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct loop *l = loop_new();
		struct end e;
		struct tls_talk t;

		end_open(&e, l, false);
		talk_init(&t, &e, 1000, 100);
		e.echo = true;
		e.free_at = places[i];
		assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_OK);
		stream_start(e.stream);
		end_run(&e, step_turns);
		assert_null(e.stream);
		talk_clear(&t);
		end_close(&e);
		loop_free(&l);
	}
	assert_int_equal(count_fds(), before);
}

/* ---- STARTTLS: the 220 in the clear, everything afterwards not */

static const char starttls_reply[] = "220 2.0.0 Go ahead\r\n";

static void ask_tls(struct end *e, struct span bytes)
{
	struct tls_talk *t = e->step_arg;

	if (!span_starts(bytes, SPAN_LIT("STARTTLS\r\n")))
		return;
	e->on_bytes = NULL;
	buf_add_str(&e->out, starttls_reply);
	assert_int_equal(stream_tls(e->stream, t->tls.server_ctx), RC_OK);
	e->echo = true;
}

static bool step_hear_220(struct end *e)
{
	char reply[64];
	ssize_t n = recv(e->fd, reply, sizeof(reply), 0);

	if (n < 0)
		return false;
	assert_int_equal(n, sizeof(starttls_reply) - 1);
	return true;
}

void test_starttls(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	(void)state;
	end_open(&e, l, true);
	talk_init(&t, &e, 70000, 70000);
	e.on_bytes = ask_tls;
	stream_start(e.stream);
	assert_int_equal(send(e.fd, "STARTTLS\r\n", 10, 0), 10);
	end_run(&e, step_hear_220);
	buf_reset(&e.got);
	end_run(&e, step_echoed);
	assert_true(span_eq(buf_span(&e.got), buf_span(&t.say)));
	assert_true(span_eq(buf_span(&t.heard), buf_span(&t.say)));
	assert_int_equal(e.tls_ok, 1);
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}

static void refuse_tls(struct end *e, struct span bytes)
{
	struct tls_talk *t = e->step_arg;

	(void)bytes;
	assert_int_equal(send(e->fd, "RCPT", 4, 0), 4); /* on its way before any 220 */
	buf_add_str(&e->out, starttls_reply);
	assert_int_equal(stream_tls(e->stream, t->tls.server_ctx), RC_BAD);
	e->on_bytes = NULL;
}

void test_starttls_injection(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct tls_talk t;

	(void)state;
	/* behind the command, in the same segment */
	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	e.on_bytes = ask_tls;
	e.take_max = 10;
	stream_start(e.stream);
	assert_int_equal(send(e.fd, "STARTTLS\r\nRSET\r\n", 16, 0), 16);
	end_run(&e, step_closed);
	assert_int_equal(e.tls_failed, 1);
	assert_string_equal(e.tls_why, "bytes in the clear behind STARTTLS");
	assert_int_equal(e.bytes_calls, 1);
	talk_clear(&t);
	end_close(&e);

	/* waiting in the socket */
	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	e.on_bytes = refuse_tls;
	stream_start(e.stream);
	assert_int_equal(send(e.fd, "STARTTLS\r\n", 10, 0), 10);
	end_run(&e, step_hear_220);
	assert_int_equal(e.tls_ok + e.tls_failed, 0);
	talk_clear(&t);
	end_close(&e);

	/* kept, as the owner was not ready */
	end_open(&e, l, true);
	talk_init(&t, &e, 0, 1);
	e.take_max = 10;
	stream_start(e.stream);
	assert_int_equal(send(e.fd, "STARTTLS\r\nRSET\r\n", 16, 0), 16);
	end_run(&e, step_turns);
	assert_int_equal(stream_tls(e.stream, t.tls.server_ctx), RC_BAD);
	talk_clear(&t);
	end_close(&e);
	loop_free(&l);
}
