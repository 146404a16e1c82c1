/* Channels against a peer that breaks the rules: it is dropped, with words, and nothing of it leaks. */
#include "chan_pair.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "frames.h"

/* bytes with so many descriptors beside them */
static void send_raw(int to, struct span bytes, size_t fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(32 * sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t)bytes.ptr, bytes.len};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (fds > 0) {
		struct cmsghdr *head;
		int fd = STDIN_FILENO;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (size_t i = 0; i < fds; i++)
			memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

static void head_add(struct buf *b, uint32_t length, unsigned type, unsigned fds)
{
	buf_add_le32(b, length);
	buf_add_le16(b, (uint16_t)type);
	buf_add_le16(b, (uint16_t)fds);
}

static const struct {
	uint32_t length;
	unsigned type, fds_said, payload, fds_sent;
	const char *why; /* how the words begin */
} bad[] = {
	{4, 0, 0, 0, 0, "bad frame: ? (0) may not come from mx"},
	{4, 999, 0, 0, 0, "bad frame: ? (999) may not come from mx"},
	{4 + 24, MSG_GRANT, 0, 24, 0, "bad frame: GRANT ("},
	{4 + 12, MSG_SPOOL_LENT, 1, 12, 1, "bad frame: SPOOL_LENT ("},
	{0, MSG_SESSION_END, 0, 0, 0, "bad frame: SESSION_END of 0 bytes"},
	{3, MSG_SESSION_END, 0, 0, 0, "bad frame: SESSION_END of 3 bytes"},
	{4 + 9, MSG_SESSION_END, 0, 0, 0, "bad frame: SESSION_END of 13 bytes"}, /* at the header: the rest is not waited for */
	{UINT32_MAX, MSG_SESSION_END, 0, 0, 0, "bad frame: SESSION_END of 4294967295 bytes"},
	{UINT32_MAX, MSG_ACCEPT, 0, 0, 0, "bad frame: ACCEPT of 4294967295 bytes"},
	{4 + 7, MSG_SESSION_END, 0, 7, 0, "bad frame: SESSION_END"},
	{4 + 12, MSG_RCPT_CHECK, 0, 12, 0, "bad frame: RCPT_CHECK"},
	{4 + 8, MSG_SESSION_END, 1, 8, 1, "bad frame: SESSION_END with 1 descriptors, 1 came"},
	{4 + 8, MSG_SESSION_END, 65535, 8, 0, "bad frame: SESSION_END with 65535 descriptors, 0 came"},
};

void test_bad_frames(void **state)
{
	static const uint8_t zeros[64];
	int before = count_open_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pair p;
		struct buf frame;

		pair_open_half(&p, ROLE_STORE, ROLE_MX);
		buf_init(&frame, 1000);
		head_add(&frame, bad[i].length, bad[i].type, bad[i].fds_said);
		buf_add(&frame, span_of(zeros, bad[i].payload));
		send_raw(p.fd, buf_span(&frame), bad[i].fds_sent);
		pair_run_until_gone(&p, &p.a);
		if (strncmp(p.a.why, bad[i].why, strlen(bad[i].why)) != 0)
			fail_msg("case %zu: '%s', expected '%s'", i, p.a.why, bad[i].why);
		assert_int_equal(p.a.frames, 0);
		buf_clear(&frame);
		pair_close(&p);
	}
	assert_int_equal(count_open_fds(), before);
}

static const struct {
	size_t beside, bytes; /* descriptors that come with the first `bytes` bytes of a LISTEN frame, which wants one */
	const char *why;      /* NULL: that is fine */
} fd_cases[] = {
	{1, 14, NULL},
	{1, 1, NULL},
	{1, 9, NULL},
	{0, 10, "bad frame: LISTEN with 1 descriptors, 0 came"},
	{2, 9, "bad frame: 1 descriptors too many behind LISTEN"},
	{2, 10, "bad frame: 1 descriptors without one"},
	{4, 10, "bad frame: 3 descriptors without one"},
	{5, 10, "bad frame: too many descriptors"},
	{30, 1, "bad frame: too many descriptors"},
};

void test_bad_fds(void **state)
{
	int before = count_open_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(fd_cases) / sizeof(fd_cases[0]); i++) {
		struct pair p;
		struct buf frame;
		struct span all;

		pair_open_half(&p, ROLE_MX, ROLE_PARENT);
		buf_init(&frame, 1000);
		head_add(&frame, 4 + 2, MSG_LISTEN, 1);
		buf_add_le16(&frame, 3);
		all = buf_span(&frame);
		send_raw(p.fd, span_head(all, fd_cases[i].bytes), fd_cases[i].beside);
		pair_turns(&p, 3);
		if (fd_cases[i].bytes < all.len && p.a.gone == 0)
			send_raw(p.fd, span_from(all, fd_cases[i].bytes), 0);
		if (fd_cases[i].why) {
			pair_run_until_gone(&p, &p.a);
			assert_string_equal(p.a.why, fd_cases[i].why);
		} else {
			pair_run_for(&p, &p.a, 1);
			assert_int_equal(p.a.last.listen.listener, 3);
			assert_int_equal(p.a.fds, 1);
		}
		buf_clear(&frame);
		pair_close(&p);
	}
	assert_int_equal(count_open_fds(), before);
}

/* three frames, cut at every place, and byte by byte */
static void check_split(const struct span *stream, size_t cut, size_t step)
{
	struct pair p;

	pair_open_half(&p, ROLE_STORE, ROLE_MX);
	send_raw(p.fd, span_head(*stream, cut), 0);
	pair_turns(&p, 2);
	for (size_t at = cut; at < stream->len; at += step) {
		send_raw(p.fd, span_head(span_from(*stream, at), step), 0);
		pair_turns(&p, 1);
	}
	pair_run_for(&p, &p.a, 3);
	assert_int_equal(p.a.last.session_end.session, 0x1122334455667788u);
	pair_close(&p);
}

void test_split(void **state)
{
	struct msg_session_end end = {.session = 0x1122334455667788u};
	struct msg_rcpt_check check = {.session = 1, .ask = 2, .sender = SPAN_LIT("a@b.example"), .address = SPAN_LIT("c@mailroom.test")};
	struct buf stream;
	struct span all;
	struct pair p;

	(void)state;
	buf_init(&stream, 4096);
	msg_encode(&stream, MSG_SESSION_END, &end);
	msg_encode(&stream, MSG_RCPT_CHECK, &check);
	msg_encode(&stream, MSG_SESSION_END, &end);
	all = buf_span(&stream);
	for (size_t cut = 1; cut < all.len; cut++)
		check_split(&all, cut, all.len);
	check_split(&all, 1, 1);
	/* an end inside a frame */
	pair_open_half(&p, ROLE_STORE, ROLE_MX);
	send_raw(p.fd, span_head(all, all.len - 1), 0);
	close(p.fd);
	p.fd = -1;
	pair_run_until_gone(&p, &p.a);
	assert_int_equal(p.a.frames, 2);
	assert_string_equal(p.a.why, "closed inside a frame");
	pair_close(&p);
	buf_clear(&stream);
}

/* mistakes of the sending side end the channel too, before anything wrong leaves */
void test_bad_sends(void **state)
{
	static const uint8_t long_name[1025];
	struct msg_rcpt_check check = {.address = span_of(long_name, sizeof(long_name))};
	struct msg_grant grant = {.session = 1};
	struct msg_listen no_fd = {.sock = -1};
	const struct {
		enum role_id self, peer;
		enum msg_type type;
		const void *msg;
		const char *why;
	} cases[] = {
		{ROLE_MX, ROLE_STORE, MSG_RCPT_CHECK, &check, "RCPT_CHECK over its limits"},
		{ROLE_MX, ROLE_STORE, MSG_GRANT, &grant, "GRANT is not for store"},
		{ROLE_PARENT, ROLE_MX, MSG_LISTEN, &no_fd, "no descriptor for LISTEN: Bad file descriptor"},
	};
	char byte;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair p;

		pair_open_half(&p, cases[i].self, cases[i].peer);
		chan_send(p.a.chan, cases[i].type, cases[i].msg);
		pair_run_until_gone(&p, &p.a);
		assert_string_equal(p.a.why, cases[i].why);
		assert_int_equal(recv(p.fd, &byte, 1, 0), 0);
		pair_close(&p);
	}
}
