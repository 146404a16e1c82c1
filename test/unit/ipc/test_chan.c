/* Channels: two ends over a socket pair in one loop. What a hostile peer sends is in test_chan_bad.c. */
#include "chan_pair.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "frames.h"

void test_chan_exchange(void **state)
{
	struct pair p;
	struct msg_session_end end = {.session = 77};
	struct msg_ready ready = {7, 3};

	(void)state;
	pair_open(&p, ROLE_MX, ROLE_STORE);
	for (end.session = 1; end.session <= 1000; end.session++)
		chan_send(p.a.chan, MSG_SESSION_END, &end);
	assert_true(chan_unsent_bytes(p.a.chan) > 0); /* nothing leaves before the end of the turn */
	pair_run(&p, 1000);
	assert_int_equal(p.b.frames, 1000);
	assert_int_equal(p.b.last.session_end.session, 1000);
	assert_int_equal(chan_unsent_bytes(p.a.chan), 0);
	assert_int_equal(chan_peer(p.b.chan), ROLE_MX);
	assert_int_equal(chan_peer_worker(p.b.chan), 5);
	assert_ptr_equal(chan_owner(p.b.chan), &p.b);
	pair_close(&p);
	pair_open(&p, ROLE_STORE, ROLE_PARENT);
	chan_send(p.a.chan, MSG_READY, &ready);
	chan_flush(p.a.chan);
	assert_int_equal(chan_unsent_bytes(p.a.chan), 0);
	chan_free(&p.a.chan);
	pair_run_until_gone(&p, &p.b);
	assert_int_equal(p.b.frames, 1); /* what was sent before the end still arrives */
	assert_string_equal(p.b.why, "closed");
	pair_close(&p);
}

/* each message of the table, between roles that may exchange it, with its descriptors */
void test_chan_every_message(void **state)
{
	struct chance c = {4};
	int before = count_open_fds();

	(void)state;
	for (enum msg_type type = MSG_NONE + 1; type < MSG_COUNT; type++)
		for (enum role_id from = ROLE_PARENT; from < ROLE_COUNT; from++)
			for (enum role_id to = ROLE_PARENT; to < ROLE_COUNT; to++) {
				int fds[LIMIT_FRAME_FDS] = {STDIN_FILENO, STDIN_FILENO, STDIN_FILENO, STDIN_FILENO};
				union msg_any msg;
				struct arena mem;
				struct pair p;

				if (!msg_allowed(type, from, to))
					continue;
				arena_init(&mem, 32 << 20);
				frame_fill(&c, type, true, fds, &mem, &msg);
				pair_open(&p, from, to);
				p.b.expect = &msg;
				chan_send(p.a.chan, type, &msg);
				pair_run(&p, 1);
				assert_int_equal(p.b.last_type, type);
				assert_int_equal(p.b.same, 1);
				assert_int_equal(p.b.fds, msg_fd_count(type));
				pair_close(&p);
				arena_clear(&mem);
			}
	assert_int_equal(count_open_fds(), before);
}

/* frames with and without descriptors in turn: each gets its own */
void test_chan_order_of_fds(void **state)
{
	enum { FRAMES = 300 };
	struct pair p;
	int before = count_open_fds();

	(void)state;
	pair_open(&p, ROLE_STORE, ROLE_USER);
	p.b.check_numbers = true;
	for (uint32_t i = 0; i < FRAMES; i++) {
		static const uint8_t filling[50000];
		struct msg_mail_bytes bytes = {.ask = i, .bytes = span_of(filling, i % 7 == 0 ? sizeof(filling) : i)};
		struct msg_spool_lent lent = {.ask = i, .spool = i, .file = numbered_file(i)};

		if (i % 3 == 0)
			chan_send(p.a.chan, MSG_MAIL_BYTES, &bytes);
		else
			chan_send(p.a.chan, MSG_SPOOL_LENT, &lent);
		close(lent.file); /* the channel has its own */
	}
	pair_run(&p, FRAMES);
	assert_int_equal(p.b.fds, FRAMES - FRAMES / 3);
	assert_int_equal(p.b.wrong_numbers, 0);
	pair_close(&p);
	assert_int_equal(count_open_fds(), before);
}

/* a megabyte list and many long frames: the buffers grow and are given back */
void test_chan_big(void **state)
{
	enum { UIDS = 1 << 20 };
	struct pair p;
	struct buf raw;
	struct rec_uid uid;
	struct msg_mbox_commit msg = {.session = 1, .ask = 2};

	(void)state;
	buf_init(&raw, 16 << 20);
	for (uid.uid = 0; uid.uid < UIDS; uid.uid++)
		rec_uid_add(&raw, &uid);
	msg.uids = (struct msg_list){buf_span(&raw), UIDS};
	pair_open(&p, ROLE_USER, ROLE_STORE);
	for (int i = 0; i < 4; i++)
		chan_send(p.a.chan, MSG_MBOX_COMMIT, &msg);
	pair_run(&p, 4);
	assert_int_equal(p.b.last.mbox_commit.uids.count, UIDS);
	assert_int_equal(chan_unsent_bytes(p.a.chan), 0);
	pair_close(&p);
	buf_clear(&raw);
}

/* a password does not stay in the buffer it came in */
void test_wiped(void **state)
{
	struct msg_auth_step step = {.session = 1, .response = SPAN_LIT("user pencil")};
	static const uint8_t zeros[11];
	struct pair p;

	(void)state;
	pair_open(&p, ROLE_USER, ROLE_AUTH);
	chan_send(p.a.chan, MSG_AUTH_STEP, &step);
	pair_run(&p, 1);
	assert_true(span_eq(p.b.last.auth_step.response, span_of(zeros, sizeof(zeros)))); /* still its memory: small buffers are kept */
	pair_close(&p);
}

/* ---- chan_call */

static enum rc take_signed(void *arg, const union msg_any *msg)
{
	uint32_t *ask = arg;

	if (msg->signed_.ask != *ask)
		return RC_AGAIN; /* an answer that came too late for an older question */
	return msg->signed_.ok ? RC_OK : RC_DENIED;
}

static void answer_raw(int fd, enum msg_type type, const void *msg)
{
	struct buf frame;

	buf_init(&frame, 4096);
	msg_encode(&frame, type, msg);
	assert_int_equal(send(fd, frame.ptr, frame.len, 0), (ssize_t)frame.len);
	buf_clear(&frame);
}

void test_chan_call(void **state)
{
	struct msg_sign ask = {.ask = 3, .scheme = KEY_SCHEME_ECDSA, .input = SPAN_LIT("digest")};
	struct msg_signed old = {.ask = 2, .ok = true}, good = {.ask = 3, .ok = true, .signature = SPAN_LIT("sig")};
	uint32_t number = 3;
	struct pair p;
	mono_ms start;

	(void)state;
	pair_open_half(&p, ROLE_MX, ROLE_KEYS); /* p.fd is the bare other end */
	start = clock_mono_ms();
	assert_int_equal(chan_call(p.a.chan, MSG_SIGN, &ask, MSG_SIGNED, 50, take_signed, &number), RC_AGAIN);
	assert_in_range(clock_mono_ms() - start, 50, 1000);
	answer_raw(p.fd, MSG_SIGNED, &old);
	answer_raw(p.fd, MSG_SIGNED, &good);
	assert_int_equal(chan_call(p.a.chan, MSG_SIGN, &ask, MSG_SIGNED, 5000, take_signed, &number), RC_OK);
	assert_int_equal(p.a.frames, 0);
	answer_raw(p.fd, MSG_SIGNED, &good); /* nobody waits: an ordinary frame */
	pair_run_for(&p, &p.a, 1);
	close(p.fd);
	p.fd = -1;
	assert_int_equal(chan_call(p.a.chan, MSG_SIGN, &ask, MSG_SIGNED, 5000, take_signed, &number), RC_IO);
	assert_int_equal(p.a.gone, 0); /* not inside the call */
	pair_run_until_gone(&p, &p.a);
	assert_int_equal(chan_call(p.a.chan, MSG_SIGN, &ask, MSG_SIGNED, 5000, take_signed, &number), RC_IO);
	pair_close(&p);
}

/* ---- pause, free, flood */

void test_chan_pause(void **state)
{
	struct pair p;
	struct msg_session_end end = {.session = 1};

	(void)state;
	pair_open(&p, ROLE_MX, ROLE_STORE);
	chan_pause(p.b.chan, true);
	chan_send(p.a.chan, MSG_SESSION_END, &end);
	pair_turns(&p, 20);
	assert_int_equal(p.b.frames, 0);
	chan_pause(p.b.chan, false);
	pair_run(&p, 1);
	pair_close(&p);
}

void test_chan_free_inside(void **state)
{
	int before = count_open_fds();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct pair p;
		struct msg_spool_lent lent = {.file = STDIN_FILENO};

		pair_open(&p, ROLE_STORE, ROLE_MX);
		p.b.free_in_frame = i == 0;
		p.b.refuse = i == 1;
		p.b.free_in_gone = true;
		for (int k = 0; k < 3; k++)
			chan_send(p.a.chan, MSG_SPOOL_LENT, &lent);
		if (i == 2) {
			chan_flush(p.a.chan);
			chan_free(&p.a.chan);
		}
		pair_turns(&p, 20);
		assert_null(p.b.chan);
		assert_int_equal(p.b.frames, i == 2 ? 3 : 1);
		assert_int_equal(p.b.gone, i > 0);
		if (i == 1)
			assert_string_equal(p.b.why, "refused: SPOOL_LENT");
		if (i < 2)
			assert_int_equal(p.a.gone, 1);
		pair_close(&p);
	}
	assert_int_equal(count_open_fds(), before);
}

/* the peer does not read: the queue ends at its ceiling, the peer is dropped, the sender never waits */
void test_chan_flood(void **state)
{
	static const uint8_t filling[262144];
	struct msg_mail_bytes bytes = {.bytes = span_of(filling, sizeof(filling))};
	struct msg_spool_lent lent = {.file = STDIN_FILENO};
	struct pair p;
	int before = count_open_fds();
	unsigned sent = 0;

	(void)state;
	pair_open_half(&p, ROLE_STORE, ROLE_USER);
	while (sent < 1000 && (sent < 10 || chan_unsent_bytes(p.a.chan) > 0)) {
		chan_send(p.a.chan, MSG_SPOOL_LENT, &lent);
		chan_send(p.a.chan, MSG_MAIL_BYTES, &bytes);
		if (sent++ % 10 == 0)
			chan_flush(p.a.chan);
		assert_true(chan_unsent_bytes(p.a.chan) <= LIMIT_CHANNEL_OUT_BYTES);
	}
	assert_true(sent < 1000);
	assert_true(sent > LIMIT_CHANNEL_OUT_BYTES / sizeof(filling));
	assert_int_equal(p.a.gone, 0); /* not inside chan_send */
	pair_run_until_gone(&p, &p.a);
	assert_non_null(strstr(p.a.why, "does not read"));
	chan_send(p.a.chan, MSG_MAIL_BYTES, &bytes); /* harmless afterwards */
	assert_int_equal(p.a.gone, 1);
	pair_close(&p);
	assert_int_equal(count_open_fds(), before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damaged), cmocka_unit_test(test_limits), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_tables), cmocka_unit_test(test_chan_exchange), cmocka_unit_test(test_chan_every_message),
		cmocka_unit_test(test_chan_order_of_fds), cmocka_unit_test(test_chan_big), cmocka_unit_test(test_chan_call), cmocka_unit_test(test_chan_pause),
		cmocka_unit_test(test_chan_free_inside), cmocka_unit_test(test_chan_flood), cmocka_unit_test(test_bad_frames), cmocka_unit_test(test_bad_fds),
		cmocka_unit_test(test_split), cmocka_unit_test(test_bad_sends), cmocka_unit_test(test_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
