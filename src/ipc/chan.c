#include "ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

enum {
	CHAN_SOCKET_BYTES = 1 << 20,
	CHAN_READ_BYTES = 64 << 10,     /* room offered to one recvmsg; a buffer above this is given back when empty */
	CHAN_TURN_BYTES = 1 << 20,      /* read from one peer before the others get their turn */
	CHAN_COMPACT_BYTES = 1 << 20,
	CHAN_FDS_WAITING = 2 * LIMIT_FRAME_FDS, /* those of a frame under way, and of the next, may come in one recvmsg */
};

/* descriptors that leave with the first byte of their frame */
struct chan_fds {
	uint64_t at; /* stream position of that byte */
	int fds[LIMIT_FRAME_FDS];
	size_t count;
	struct chan_fds *next;
};

struct chan_wait {
	enum msg_type type;
	enum rc (*on_reply)(void *arg, const union msg_any *msg);
	void *arg;
	enum rc rc; /* RC_AGAIN: not yet */
};

struct chan {
	struct loop *loop;
	const struct chan_ops *ops;
	void *owner;
	int fd;
	enum role_id self, peer;
	uint32_t peer_worker;
	bool paused;
	bool dispatching, dead; /* dead: freed by its owner inside a callback */
	unsigned busy;          /* calls on the stack that still need the memory */
	char *why;              /* set: the peer is gone, on_gone is under way */
	struct event readable, writable;
	struct loop_hook flush, gone;
	struct chan_wait *wait;
	struct buf in;
	int in_fds[CHAN_FDS_WAITING];
	size_t in_fd_count;
	struct buf out;
	size_t out_at;     /* bytes of out already sent */
	uint64_t out_pos;  /* stream position of out.ptr[out_at] */
	struct chan_fds *fds_first, **fds_tail;
};

static void chan_close_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void chan_drop_fds(struct chan *c)
{
	struct chan_fds *f = c->fds_first;

	if (f->next == NULL)
		c->fds_tail = &c->fds_first;
	c->fds_first = f->next;
	chan_close_fds(f->fds, f->count);
	free(f);
}

/* gives up everything but the words and the owner's handle */
static void chan_shut(struct chan *c)
{
	if (c->fd < 0)
		return;
	event_del(&c->readable);
	event_del(&c->writable);
	loop_hook_remove(c->loop, &c->flush);
	close(c->fd);
	c->fd = -1;
	while (c->fds_first)
		chan_drop_fds(c);
	chan_close_fds(c->in_fds, c->in_fd_count);
	c->in_fd_count = 0;
	buf_clear(&c->out);
	c->out_at = 0;
}

static void chan_fail(struct chan *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void chan_fail(struct chan *c, const char *fmt, ...)
{
	char words[160];
	va_list ap;

	if (c->why)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	c->why = mem_str(words);
	chan_shut(c);
	if (!c->dead)
		loop_soon(c->loop, &c->gone);
}

/* a channel that cannot be watched would be deaf for ever */
static void chan_watch(struct chan *c, struct event *ev)
{
	if (event_add(ev, NULL) != 0)
		chan_fail(c, "cannot be watched");
}

static void chan_tell_gone(void *arg)
{
	struct chan *c = arg;

	c->busy++;
	c->ops->on_gone(c->owner, c, c->why);
	c->busy--;
	if (c->dead)
		chan_free(&c);
}

void chan_free(struct chan **c)
{
	struct chan *old = *c;

	*c = NULL;
	if (!old)
		return;
	chan_shut(old);
	loop_hook_remove(old->loop, &old->gone);
	old->dead = true;
	if (old->busy > 0)
		return; /* whoever is on the stack comes back here */
	buf_clear(&old->in);
	free(old->why);
	free(old);
}

/* ---- sending */

static void chan_sent(struct chan *c, size_t n)
{
	c->out_at += n;
	c->out_pos += n;
	if (c->out_at == c->out.len) {
		c->out_at = 0;
		buf_reset(&c->out);
		if (c->out.size > CHAN_READ_BYTES)
			buf_clear(&c->out);
	} else if (c->out_at > CHAN_COMPACT_BYTES && c->out_at >= c->out.len / 2) {
		buf_drop(&c->out, c->out_at);
		c->out_at = 0;
	}
}

/* One sendmsg. Its first byte is the first byte of the frame that its descriptors belong to, and it ends before the next frame with
 * descriptors: so they arrive with their frame, never earlier, and the receiver can insist on that. */
static ssize_t chan_send_some(struct chan *c)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(LIMIT_FRAME_FDS * sizeof(int))];
	struct chan_fds *now = c->fds_first && c->fds_first->at == c->out_pos ? c->fds_first : NULL;
	const struct chan_fds *next = now ? now->next : c->fds_first;
	struct iovec bytes = {c->out.ptr + c->out_at, c->out.len - c->out_at};
	struct msghdr msg = {.msg_iov = &bytes, .msg_iovlen = 1};
	ssize_t n;

	if (next && next->at - c->out_pos < bytes.iov_len)
		bytes.iov_len = (size_t)(next->at - c->out_pos);
	if (now) {
		struct cmsghdr *head;

		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(now->count * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(now->count * sizeof(int));
		memcpy(CMSG_DATA(head), now->fds, now->count * sizeof(int));
	}
	do
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0 && now)
		chan_drop_fds(c);
	return n;
}

void chan_flush(struct chan *c)
{
	while (!c->why && c->out_at < c->out.len) {
		ssize_t n = chan_send_some(c);

		if (n > 0) {
			chan_sent(c, (size_t)n);
		} else if (errno == EAGAIN) {
			chan_watch(c, &c->writable);
			return;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			chan_fail(c, "closed");
		} else {
			chan_fail(c, "cannot send: %s", strerror(errno));
		}
	}
	if (!c->why)
		event_del(&c->writable);
}

static bool chan_queue_fds(struct chan *c, enum msg_type type, const void *msg, uint64_t at)
{
	struct chan_fds *f = mem_zalloc(sizeof(*f));

	f->at = at;
	while (f->count < msg_fd_count(type)) {
		int copy = fcntl(msg_fd(type, msg, f->count), F_DUPFD_CLOEXEC, 0);

		if (copy < 0) {
			chan_fail(c, "no descriptor for %s: %s", msg_name(type), strerror(errno));
			chan_close_fds(f->fds, f->count);
			free(f);
			return false;
		}
		f->fds[f->count++] = copy;
	}
	*c->fds_tail = f;
	c->fds_tail = &f->next;
	return true;
}

void chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	uint64_t at = c->out_pos + (c->out.len - c->out_at);

	if (c->why || c->dead)
		return;
	if (!msg_allowed(type, c->self, c->peer)) {
		chan_fail(c, "%s is not for %s", msg_name(type), role_name(c->peer));
		return;
	}
	if (msg_fd_count(type) > 0 && !chan_queue_fds(c, type, msg, at))
		return;
	msg_encode(&c->out, type, msg);
	if (chan_unsent_bytes(c) > LIMIT_CHANNEL_OUT_BYTES)
		chan_fail(c, "does not read: %zu bytes unsent", chan_unsent_bytes(c));
	else if (c->out.overflow)
		chan_fail(c, "%s over its limits", msg_name(type));
	else
		loop_hook_add(c->loop, LOOP_FLUSH, &c->flush);
}

size_t chan_unsent_bytes(const struct chan *c)
{
	return c->out.len - c->out_at;
}

static void chan_flush_hook(void *arg)
{
	chan_flush(arg);
}

static void chan_on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	chan_flush(arg);
}

/* ---- receiving */

struct chan_head {
	enum msg_type type;
	size_t frame_bytes; /* with the header */
	size_t fd_count;
};

/* RC_AGAIN: not all of it is there; RC_BAD: the channel has failed. What cannot become a good frame is refused at its header. */
static enum rc chan_read_head(struct chan *c, struct span rest, struct chan_head *out)
{
	uint64_t length;

	if (rest.len < FRAME_HEADER_BYTES) {
		if (c->in_fd_count <= (rest.len > 0 ? LIMIT_FRAME_FDS : 0))
			return RC_AGAIN;
		chan_fail(c, "bad frame: %zu descriptors without one", c->in_fd_count);
		return RC_BAD;
	}
	length = num_le(rest.ptr, 4);
	*out = (struct chan_head){.type = (enum msg_type)num_le(rest.ptr + 4, 2), .frame_bytes = 4 + (size_t)length, .fd_count = (size_t)num_le(rest.ptr + 6, 2)};
	if (!msg_allowed(out->type, c->peer, c->self))
		chan_fail(c, "bad frame: %s (%u) may not come from %s", msg_name(out->type), (unsigned)out->type, role_name(c->peer));
	else if (length < FRAME_HEADER_BYTES - 4 || out->frame_bytes - FRAME_HEADER_BYTES > msg_payload_max_bytes(out->type))
		chan_fail(c, "bad frame: %s of %llu bytes", msg_name(out->type), (unsigned long long)length);
	else if (out->fd_count != msg_fd_count(out->type) || c->in_fd_count < out->fd_count)
		chan_fail(c, "bad frame: %s with %zu descriptors, %zu came", msg_name(out->type), out->fd_count, c->in_fd_count);
	else if (rest.len >= out->frame_bytes)
		return RC_OK;
	else if (c->in_fd_count == out->fd_count)
		return RC_AGAIN;
	else
		chan_fail(c, "bad frame: %zu descriptors too many behind %s", c->in_fd_count - out->fd_count, msg_name(out->type));
	return RC_BAD;
}

static void chan_deliver(struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct chan_wait *wait = c->wait;

	if (wait && wait->rc == RC_AGAIN && type == wait->type) {
		wait->rc = wait->on_reply(wait->arg, msg);
		if (wait->rc != RC_OK && wait->rc != RC_AGAIN)
			chan_fail(c, "refused: %s", msg_name(type));
	} else if (c->ops->on_frame(c->owner, c, type, msg) != RC_OK) {
		chan_fail(c, "refused: %s", msg_name(type));
	}
}

static void chan_take_frame(struct chan *c, const struct chan_head *head, uint8_t *frame)
{
	struct span payload = span_of(frame + FRAME_HEADER_BYTES, head->frame_bytes - FRAME_HEADER_BYTES);
	union msg_any msg;

	if (msg_decode(head->type, payload, c->in_fds, head->fd_count, &msg)) {
		chan_fail(c, "bad frame: %s", msg_name(head->type));
	} else {
		c->in_fd_count -= head->fd_count; /* they are the owner's now */
		memmove(c->in_fds, c->in_fds + head->fd_count, c->in_fd_count * sizeof(int));
		chan_deliver(c, head->type, &msg);
	}
}

static void chan_dispatch(struct chan *c)
{
	struct chan_head head;
	size_t at = 0;

	c->dispatching = true;
	while (!c->why && !c->dead && chan_read_head(c, span_from(buf_span(&c->in), at), &head) == RC_OK) {
		chan_take_frame(c, &head, c->in.ptr + at);
		at += head.frame_bytes;
	}
	c->dispatching = false;
	buf_drop(&c->in, at);
	if (c->in.len == 0 && c->in.size > CHAN_READ_BYTES)
		buf_clear(&c->in);
}

/* false: the channel has failed */
static bool chan_take_fds(struct chan *c, struct msghdr *msg)
{
	bool fits = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
		size_t count;

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
			if (c->in_fd_count < CHAN_FDS_WAITING) {
				c->in_fds[c->in_fd_count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	if (!fits)
		chan_fail(c, "bad frame: too many descriptors");
	return fits;
}

/* one recvmsg and what it brought; RC_AGAIN: nothing more now */
static enum rc chan_read_some(struct chan *c, size_t *read_out)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(LIMIT_FRAME_FDS * sizeof(int))];
	struct iovec room = {buf_reserve(&c->in, CHAN_READ_BYTES / 2), 0};
	struct msghdr msg = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n;

	room.iov_len = c->in.size - c->in.len;
	do
		n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return RC_AGAIN;
	if (n < 0 && errno != ECONNRESET)
		chan_fail(c, "cannot receive: %s", strerror(errno));
	else if (n <= 0)
		chan_fail(c, c->in.len > 0 ? "closed inside a frame" : "closed");
	if (n <= 0 || !chan_take_fds(c, &msg))
		return RC_IO;
	c->in.len += (size_t)n;
	*read_out = (size_t)n;
	chan_dispatch(c);
	return (size_t)n < room.iov_len && msg.msg_controllen == 0 ? RC_AGAIN : RC_OK;
}

static void chan_read(struct chan *c)
{
	size_t sum = 0, n = 0;

	c->busy++;
	while (!c->why && !c->dead && sum < CHAN_TURN_BYTES && chan_read_some(c, &n) == RC_OK && (!c->paused || c->wait))
		sum += n;
	c->busy--;
	if (c->dead)
		chan_free(&c);
}

static void chan_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	chan_read(arg);
}

/* ---- the rest */

static void chan_set_socket(int fd)
{
	int bytes = CHAN_SOCKET_BYTES;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* best effort: past the system's ceiling only with privilege */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* the two may say to each other what must not stay in memory */
static bool chan_is_secret(enum role_id a, enum role_id b)
{
	for (int type = 0; type < MSG_COUNT; type++)
		if (msg_is_secret((enum msg_type)type) && (msg_allowed((enum msg_type)type, a, b) || msg_allowed((enum msg_type)type, b, a)))
			return true;
	return false;
}

struct chan *chan_new(struct loop *loop, int fd, enum role_id self, enum role_id peer, uint32_t peer_worker, const struct chan_ops *ops, void *owner)
{
	struct chan *c = mem_zalloc(sizeof(*c));

	*c = (struct chan){.loop = loop, .ops = ops, .owner = owner, .fd = fd, .self = self, .peer = peer, .peer_worker = peer_worker};
	c->flush = (struct loop_hook){.fn = chan_flush_hook, .arg = c, .once = true};
	c->gone = (struct loop_hook){.fn = chan_tell_gone, .arg = c, .once = true};
	c->fds_tail = &c->fds_first;
	buf_init(&c->in, LIMIT_FRAME_BYTES + 2 * CHAN_READ_BYTES);
	buf_init(&c->out, 2 * (size_t)LIMIT_CHANNEL_OUT_BYTES + LIMIT_FRAME_BYTES + 2 * CHAN_COMPACT_BYTES);
	c->in.secret = c->out.secret = chan_is_secret(self, peer);
	chan_set_socket(fd);
	event_assign(&c->readable, loop_base(loop), fd, EV_READ | EV_PERSIST, chan_on_readable, c);
	event_assign(&c->writable, loop_base(loop), fd, EV_WRITE | EV_PERSIST, chan_on_writable, c);
	chan_watch(c, &c->readable);
	return c;
}

enum role_id chan_peer(const struct chan *c)
{
	return c->peer;
}

uint32_t chan_peer_worker(const struct chan *c)
{
	return c->peer_worker;
}

void *chan_owner(const struct chan *c)
{
	return c->owner;
}

void chan_pause(struct chan *c, bool paused)
{
	if (c->why || c->dead || c->paused == paused)
		return;
	c->paused = paused;
	if (paused)
		event_del(&c->readable);
	else
		chan_watch(c, &c->readable);
}

/* RC_OK: something can be done; RC_AGAIN: the time is up */
static enum rc chan_poll(const struct chan *c, mono_ms deadline)
{
	mono_ms now = clock_mono_ms();
	struct pollfd p = {.fd = c->fd, .events = (short)(POLLIN | (chan_unsent_bytes(c) > 0 ? POLLOUT : 0))};
	int n;

	if (now >= deadline)
		return RC_AGAIN;
	n = poll(&p, 1, deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now));
	return n < 0 && errno != EINTR ? RC_IO : RC_OK;
}

enum rc chan_call(struct chan *c, enum msg_type send_type, const void *send_msg, enum msg_type type, uint64_t timeout_ms,
	enum rc (*on_reply)(void *arg, const union msg_any *msg), void *arg)
{
	struct chan_wait wait = {.type = type, .on_reply = on_reply, .arg = arg, .rc = RC_AGAIN};
	mono_ms deadline = clock_mono_ms() + timeout_ms;
	enum rc rc = RC_OK;

	if (c->dispatching || c->wait) /* its buffer is in use: a frame of this channel is being delivered */
		return RC_BUSY;
	chan_send(c, send_type, send_msg);
	c->busy++;
	c->wait = &wait;
	while (!c->why && !c->dead && wait.rc == RC_AGAIN && rc == RC_OK) {
		chan_flush(c);
		if (c->why || (rc = chan_poll(c, deadline)) != RC_OK)
			break;
		chan_read(c);
	}
	c->wait = NULL;
	c->busy--;
	if (wait.rc != RC_AGAIN)
		rc = wait.rc;
	else if (c->why || c->dead)
		rc = RC_IO;
	if (c->dead)
		chan_free(&c);
	return rc;
}
