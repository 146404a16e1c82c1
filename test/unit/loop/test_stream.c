/* Streams in the clear; under TLS in test_stream_tls.c. */
#include "test_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_peer.h"

/* ---- the other end */

struct talk {
	struct buf say, heard;
	size_t said, step_bytes, read_bytes; /* at most so many a turn; 0: none */
	bool eof;
	int error;
};

static void talk_init(struct talk *t, size_t len, size_t step_bytes, size_t read_bytes)
{
	*t = (struct talk){.step_bytes = step_bytes, .read_bytes = read_bytes};
	buf_init(&t->say, 1 << 28);
	buf_init(&t->heard, 1 << 28);
	pattern_add(&t->say, len);
}

static void talk_clear(struct talk *t)
{
	buf_clear(&t->say);
	buf_clear(&t->heard);
}

static void talk_some(struct end *e)
{
	struct talk *t = e->step_arg;
	struct span rest = span_head(span_from(buf_span(&t->say), t->said), t->step_bytes);
	ssize_t n = rest.len ? send(e->fd, rest.ptr, rest.len, MSG_NOSIGNAL) : 0;

	if (n > 0)
		t->said += (size_t)n;
	if (t->read_bytes == 0)
		return;
	n = recv(e->fd, buf_reserve(&t->heard, t->read_bytes), t->read_bytes, 0);
	if (n > 0)
		t->heard.len += (size_t)n;
	t->eof = t->eof || n == 0;
	if (n < 0 && errno != EAGAIN)
		t->error = errno;
}

static bool step_echoed(struct end *e)
{
	struct talk *t = e->step_arg;

	talk_some(e);
	return t->heard.len == t->say.len;
}

static bool step_only_closed(struct end *e)
{
	return e->closed > 0;
}

/* the owner cannot take more until somebody kicks, as when it waits for the store */
static bool step_kicked(struct end *e)
{
	struct talk *t = e->step_arg;

	talk_some(e);
	if (e->turns % 3 == 0)
		stream_kick(e->stream);
	return e->got.len == t->say.len;
}

static void check_echo(bool tcp, size_t len, size_t step_bytes, size_t read_bytes)
{
	struct loop *l = loop_new();
	struct end e;
	struct talk t;

	end_open(&e, l, tcp);
	talk_init(&t, len, step_bytes, read_bytes);
	e.echo = true;
	e.step_arg = &t;
	stream_start(e.stream);
	end_run(&e, step_echoed);
	assert_true(span_eq(buf_span(&t.heard), buf_span(&t.say)));
	assert_true(span_eq(buf_span(&e.got), buf_span(&t.say)));
	assert_int_equal(e.closed, 0);
	assert_false(stream_is_tls(e.stream));
	assert_string_equal(stream_tls_version(e.stream), "");
	end_close(&e);
	talk_clear(&t);
	loop_free(&l);
}

static void test_echo(void **state)
{
	(void)state;
	check_echo(false, 1000, 1, 1);
	check_echo(false, 1000, 1, 1000);
	check_echo(true, 3 << 20, 1 << 20, 1 << 20);
	check_echo(false, 3 << 20, 1 << 20, 4000); /* slow reader */
	check_echo(true, 300000, 777, 65536);
}

/* however little the owner takes at a time, it gets everything once and in order */
static void test_partial_takes(void **state)
{
	static const size_t takes[] = {1, 7, 1000, 4095, 4096, 4097, 70000};
	int before = count_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		struct loop *l = loop_new();
		struct end e;
		struct talk t;

		end_open(&e, l, false);
		talk_init(&t, takes[i] < 100 ? 5000 : 500000, 1 << 20, 100);
		e.step_arg = &t;
		e.take_max = takes[i];
		e.kick_in_bytes = true; /* must not make it spin */
		stream_start(e.stream);
		end_run(&e, step_kicked);
		assert_true(span_eq(buf_span(&e.got), buf_span(&t.say)));
		end_close(&e);
		talk_clear(&t);
		loop_free(&l);
	}
	assert_int_equal(count_fds(), before);
}

static bool step_some_turns(struct end *e)
{
	talk_some(e);
	return e->turns > 40;
}

/* an owner that takes nothing: asked once, not in a loop, and what is kept stays small */
static void test_takes_nothing(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct talk t;

	(void)state;
	end_open(&e, l, false);
	talk_init(&t, 4 << 20, 1 << 20, 1);
	e.step_arg = &t;
	e.take_max = 0;
	e.kick_in_bytes = true;
	stream_start(e.stream);
	end_run(&e, step_some_turns);
	assert_int_equal(e.bytes_calls, 1);
	stream_kick(e.stream);
	stream_kick(e.stream);
	assert_int_equal(e.bytes_calls, 3);
	end_say(&e, SPAN_LIT("x")); /* sending made room: offered again */
	assert_int_equal(e.bytes_calls, 4);
	assert_true(t.said < 1 << 20); /* the rest waits in the peer */
	end_close(&e);
	talk_clear(&t);
	loop_free(&l);
}

static bool step_taken(struct end *e)
{
	talk_some(e);
	return e->got.len == ((struct talk *)e->step_arg)->say.len;
}

/* one connection that sends without end leaves the others their turns: shorter ones when all that it says is answered, as commands are */
static void test_fairness(void **state)
{
	(void)state;
	for (int echo = 0; echo < 2; echo++) {
		struct loop *l = loop_new();
		struct end e;
		struct talk t;

		end_open(&e, l, true);
		talk_init(&t, echo ? 4 << 20 : 30 << 20, 8 << 20, 8 << 20);
		e.step_arg = &t;
		e.echo = echo;
		stream_start(e.stream);
		end_run(&e, echo ? step_echoed : step_taken);
		if (echo)
			assert_in_range(e.bytes_in_turn_max, 4 << 10, 8 << 10);
		else
			assert_in_range(e.bytes_in_turn_max, 64 << 10, (256 + 64) << 10);
		end_close(&e);
		talk_clear(&t);
		loop_free(&l);
	}
}

/* the peer never reads: what was to be sent stays the owner's, nothing spins, and the end is noticed */
static void test_never_reads(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct talk t;

	(void)state;
	end_open(&e, l, false);
	talk_init(&t, 10, 10, 0);
	e.step_arg = &t;
	pattern_add(&e.out, 8 << 20);
	stream_start(e.stream);
	end_run(&e, step_some_turns);
	assert_true(e.out_at < 2 << 20);
	assert_int_equal(e.closed, 0);
	stream_close(e.stream, 30);
	assert_int_equal(e.closed, 0); /* never inside the call */
	end_run(&e, step_only_closed);
	assert_string_equal(e.why, "peer does not read");
	assert_int_equal(e.closed, 1);
	end_close(&e);
	talk_clear(&t);
	loop_free(&l);
}

static void vanish(struct end *e, bool reset)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		assert_int_equal(setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(e->fd);
	e->fd = -1;
}

static void test_peer_ends(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	for (int round = 0; round < 4; round++) {
		bool reset = round & 1, sending = round & 2;
		struct end e;

		end_open(&e, l, true);
		if (sending)
			pattern_add(&e.out, 64 << 20);
		stream_start(e.stream);
		vanish(&e, reset || sending);
		end_run(&e, step_only_closed);
		assert_int_equal(e.closed, 1);
		assert_string_equal(e.why, reset || sending ? "Connection reset by peer" : "closed by peer");
		stream_kick(e.stream); /* harmless afterwards */
		stream_close(e.stream, 10);
		end_close(&e);
	}
	loop_free(&l);
}

static bool step_heard_all(struct end *e)
{
	struct talk *t = e->step_arg;

	talk_some(e);
	return t->eof || t->error;
}

/* the last reply arrives although the peer has sent what nobody read: no reset */
static void test_close_delivers(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	struct talk t;

	(void)state;
	end_open(&e, l, true);
	talk_init(&t, 300000, 300000, 50000);
	e.step_arg = &t;
	e.take_max = 10;
	pattern_add(&e.out, 2000000);
	e.close_in_bytes_ms = 10000;
	stream_start(e.stream);
	end_run(&e, step_heard_all);
	assert_int_equal(t.error, 0);
	assert_true(span_eq(buf_span(&t.heard), buf_span(&e.out)));
	assert_int_equal(e.bytes_calls, 1); /* nothing more after stream_close */
	vanish(&e, false);
	end_run(&e, step_only_closed);
	assert_string_equal(e.why, "closed");
	end_close(&e);
	talk_clear(&t);
	loop_free(&l);
}

/* the owner frees the stream inside any callback; run under a sanitizer this shows late use */
static void test_free_inside(void **state)
{
	static const enum free_at places[] = {FREE_IN_BYTES, FREE_IN_OUT, FREE_IN_SENT, FREE_IN_CLOSED};
	int before = count_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (int take = 0; take < 2; take++) {
			struct loop *l = loop_new();
			struct end e;
			struct talk t;

			end_open(&e, l, false);
			talk_init(&t, 10000, 10000, 100);
			e.step_arg = &t;
			e.echo = true;
			e.take_max = take ? SIZE_MAX : 100;
			e.free_at = places[i];
			stream_start(e.stream);
			if (places[i] == FREE_IN_CLOSED)
				shutdown(e.fd, SHUT_RDWR);
			end_run(&e, step_some_turns);
			assert_null(e.stream);
			assert_int_equal(e.closed, places[i] == FREE_IN_CLOSED);
			end_close(&e);
			talk_clear(&t);
			loop_free(&l);
		}
	assert_int_equal(count_fds(), before);
}

static void release_other(struct end *e, struct span bytes)
{
	struct end *other = e->step_arg;

	(void)bytes;
	other->take_max = SIZE_MAX;
	stream_kick(other->stream); /* takes what was kept, and would read more */
	if (other->out.len == 0)
		buf_add(&other->out, SPAN_LIT("from the other\n"));
	stream_kick(other->stream);
}

static bool step_both(struct end *e)
{
	struct end *other = e->step_arg;

	stream_kick(e->stream);
	return e->got.len == 26 && other->got.len == 50000;
}

static bool step_turns(struct end *e)
{
	return e->turns > 10;
}

/* a callback of one stream works on another: the scratch that both share must not be overwritten under it */
static void test_two_streams(void **state)
{
	struct loop *l = loop_new();
	struct end a, b;
	struct buf many;
	char heard[64];

	(void)state;
	buf_init(&many, 1 << 20);
	pattern_add(&many, 50000);
	end_open(&a, l, false);
	end_open(&b, l, false);
	a.step_arg = &b;
	a.take_max = 1;
	a.on_bytes = release_other;
	b.take_max = 0;
	stream_start(a.stream);
	stream_start(b.stream);
	assert_int_equal(send(b.fd, many.ptr, many.len, 0), (ssize_t)many.len);
	end_run(&a, step_turns);
	assert_int_equal(b.bytes_calls, 1);
	assert_int_equal(send(a.fd, "abcdefghijklmnopqrstuvwxyz", 26, 0), 26);
	end_run(&a, step_both);
	assert_true(span_eq(buf_span(&a.got), SPAN_LIT("abcdefghijklmnopqrstuvwxyz")));
	assert_true(span_eq(buf_span(&b.got), buf_span(&many)));
	assert_int_equal(recv(b.fd, heard, sizeof(heard), 0), 15);
	end_close(&a);
	end_close(&b);
	buf_clear(&many);
	loop_free(&l);
}

static void test_never_started(void **state)
{
	struct loop *l = loop_new();
	struct end e;

	(void)state;
	end_open(&e, l, false);
	stream_kick(e.stream);
	stream_close(e.stream, 1000);
	end_run(&e, step_only_closed);
	end_close(&e);
	end_open(&e, l, false);
	end_close(&e);
	loop_free(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo), cmocka_unit_test(test_partial_takes), cmocka_unit_test(test_takes_nothing), cmocka_unit_test(test_fairness),
		cmocka_unit_test(test_never_reads), cmocka_unit_test(test_peer_ends), cmocka_unit_test(test_close_delivers),
		cmocka_unit_test(test_free_inside), cmocka_unit_test(test_two_streams),
		cmocka_unit_test(test_never_started), cmocka_unit_test(test_tls_echo), cmocka_unit_test(test_tls_byte_by_byte),
		cmocka_unit_test(test_tls_slow_reader), cmocka_unit_test(test_tls_failures), cmocka_unit_test(test_tls_vanishes),
		cmocka_unit_test(test_tls_close), cmocka_unit_test(test_tls_free), cmocka_unit_test(test_starttls), cmocka_unit_test(test_starttls_injection),
		cmocka_unit_test(test_connect), cmocka_unit_test(test_connect_fails), cmocka_unit_test(test_connect_free), cmocka_unit_test(test_client_tls),
		cmocka_unit_test(test_client_starttls), cmocka_unit_test(test_client_certificate), cmocka_unit_test(test_client_injection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
