#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

enum { WIRE_SEND_MS = 200, WIRE_FDS_MAX = 16, WIRE_READ_BYTES = 256 << 10 };

static struct needle needles[WIRE_NEEDLES_MAX];
static size_t needle_count;
static const char *found;

/* ---- what must not come out */

static bool needle_parse(struct needle *n, const char *hex)
{
	for (n->len = 0; hex[0] && hex[1] && n->len < WIRE_NEEDLE_BYTES; hex += 2) {
		unsigned byte;

		if (sscanf(hex, "%2x", &byte) != 1)
			return false;
		n->bytes[n->len++] = (uint8_t)byte;
	}
	return n->len >= 8;
}

bool needles_read(const char *path)
{
	char hex[2 * WIRE_NEEDLE_BYTES + 1];
	FILE *f = fopen(path, "r");

	if (!f)
		return false;
	while (needle_count < WIRE_NEEDLES_MAX && fscanf(f, "%47s %256s", needles[needle_count].name, hex) == 2)
		if (needle_parse(&needles[needle_count], hex))
			needle_count++;
	(void)fclose(f);
	return needle_count > 0;
}

const char *needles_find(struct span bytes)
{
	for (size_t i = 0; i < needle_count; i++)
		if (bytes.len >= needles[i].len && memmem(bytes.ptr, bytes.len, needles[i].bytes, needles[i].len)) {
			found = needles[i].name;
			return found;
		}
	return NULL;
}

const char *needles_found(void)
{
	return found;
}

/* ---- one channel */

void wire_init(struct wire *w, int fd, enum role_id self, enum role_id peer)
{
	*w = (struct wire){.fd = fd, .self = self, .peer = peer, .last_fd = -1};
	buf_init(&w->in, (size_t)256 << 20);
	buf_init(&w->out, (size_t)256 << 20);
}

static void wire_drop_fd(struct wire *w)
{
	if (w->last_fd >= 0)
		(void)close(w->last_fd);
	w->last_fd = -1;
}

void wire_close(struct wire *w)
{
	wire_drop_fd(w);
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	buf_clear(&w->in);
	buf_clear(&w->out);
	free(w->asked);
	w->asked = NULL;
	w->asked_count = w->asked_size = 0;
}

static void wire_read(struct wire *w)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	struct iovec room = {buf_reserve(&w->in, WIRE_READ_BYTES), WIRE_READ_BYTES};
	struct msghdr msg = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	size_t before = w->in.len < WIRE_NEEDLE_BYTES ? w->in.len : WIRE_NEEDLE_BYTES; /* one may come in two pieces */
	ssize_t n = recvmsg(w->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		w->over = true;
	if (n <= 0)
		return;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&msg); head; head = CMSG_NXTHDR(&msg, head)) {
		wire_drop_fd(w);
		memcpy(&w->last_fd, CMSG_DATA(head), sizeof(int));
	}
	w->in.len += (size_t)n;
	w->bytes_in += (uint64_t)n;
	(void)needles_find(span_of(w->in.ptr + w->in.len - (size_t)n - before, (size_t)n + before));
}

void wire_wait(struct wire *w, int ms)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};

	if (w->fd < 0 || w->over)
		return;
	if (poll(&p, 1, ms) > 0)
		wire_read(w);
}

/* the frames that have been seen are kept in front for the scan of what follows */
static void wire_compact(struct wire *w)
{
	if (w->in_at <= ((size_t)1 << 20) || w->in.len - w->in_at > WIRE_READ_BYTES)
		return;
	buf_drop(&w->in, w->in_at - WIRE_NEEDLE_BYTES);
	w->in_at = WIRE_NEEDLE_BYTES;
}

bool wire_next(struct wire *w, enum msg_type *type, union msg_any *msg)
{
	static const int no_fds[LIMIT_FRAME_FDS] = {-1, -1, -1, -1};
	struct span rest;
	size_t bytes;

	if (w->fd < 0)
		return false;
	if (!w->over && !w->deaf)
		wire_wait(w, 0);
	wire_compact(w);
	rest = span_from(buf_span(&w->in), w->in_at);
	if (rest.len < FRAME_HEADER_BYTES || rest.len < (bytes = 4 + (size_t)num_le(rest.ptr, 4)))
		return false;
	w->in_at += bytes;
	*type = (enum msg_type)num_le(rest.ptr + 4, 2);
	memset(msg, 0, sizeof(*msg));
	if (!msg_allowed(*type, w->peer, w->self) ||
	    msg_decode(*type, span_of(rest.ptr + FRAME_HEADER_BYTES, bytes - FRAME_HEADER_BYTES), no_fds, msg_fd_count(*type), msg) != RC_OK) {
		(void)fprintf(stderr, "hostile: a frame from %s that cannot be read\n", role_name(w->peer));
		abort();
	}
	return true;
}

/* ---- what was sent, as the peer reads it */

static const struct msg_field *wire_field(enum msg_type type, const char *name)
{
	const struct msg_layout *layout = &msg_infos[type].layout;

	for (size_t i = 0; i < layout->field_count; i++)
		if (strcmp(layout->fields[i].name, name) == 0)
			return &layout->fields[i];
	return NULL;
}

static void wire_note_frame(struct wire *w, enum msg_type type, struct span payload)
{
	static const int no_fds[LIMIT_FRAME_FDS] = {-1, -1, -1, -1};
	const struct msg_field *ask = wire_field(type, "ask"), *session = wire_field(type, "session");
	struct wire_asked a;
	union msg_any msg = {0};

	if (!ask || !session || msg_decode(type, payload, no_fds, msg_fd_count(type), &msg) != RC_OK)
		return;
	memcpy(&a.ask, (const uint8_t *)&msg + ask->offset, sizeof(a.ask));
	memcpy(&a.session, (const uint8_t *)&msg + session->offset, sizeof(a.session));
	if (w->asked_count == w->asked_size) {
		w->asked_size = w->asked_size ? 2 * w->asked_size : 256;
		w->asked = mem_realloc(w->asked, w->asked_size * sizeof(*w->asked));
	}
	w->asked[w->asked_count++] = a;
}

static void wire_note(struct wire *w, struct span bytes)
{
	size_t at = 0;

	if (w->out_lost)
		return;
	buf_add(&w->out, bytes);
	for (;;) {
		struct span rest = span_from(buf_span(&w->out), at);
		enum msg_type type;
		size_t length;

		if (rest.len < FRAME_HEADER_BYTES)
			break;
		length = (size_t)num_le(rest.ptr, 4);
		type = (enum msg_type)num_le(rest.ptr + 4, 2);
		w->out_lost = !msg_allowed(type, w->self, w->peer) || length < FRAME_HEADER_BYTES - 4 || length + 4 - FRAME_HEADER_BYTES > msg_payload_max_bytes(type);
		if (w->out_lost || rest.len < length + 4)
			break;
		wire_note_frame(w, type, span_of(rest.ptr + FRAME_HEADER_BYTES, length + 4 - FRAME_HEADER_BYTES));
		at += length + 4;
	}
	buf_drop(&w->out, at);
}

bool wire_has_asked(const struct wire *w, uint32_t ask, uint64_t session)
{
	for (size_t i = 0; i < w->asked_count; i++)
		if (w->asked[i].ask == ask && w->asked[i].session == session)
			return true;
	return false;
}

bool wire_send_raw(struct wire *w, struct span bytes, const int *fds, size_t fd_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	mono_ms end = clock_mono_ms() + WIRE_SEND_MS;

	while (w->fd >= 0 && !w->over && bytes.len > 0) {
		struct iovec iov = {(void *)(uintptr_t)bytes.ptr, bytes.len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		struct pollfd p = {.fd = w->fd, .events = (short)(POLLOUT | (w->deaf ? 0 : POLLIN))};
		ssize_t n;

		if (fd_count > 0) {
			struct cmsghdr *head;

			memset(control, 0, sizeof(control));
			msg.msg_control = control;
			msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
			head = CMSG_FIRSTHDR(&msg);
			head->cmsg_level = SOL_SOCKET;
			head->cmsg_type = SCM_RIGHTS;
			head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
			memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
		}
		n = sendmsg(w->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			wire_note(w, span_head(bytes, (size_t)n));
			bytes = span_from(bytes, (size_t)n);
			fd_count = 0;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR) {
			w->over = true;
			wire_read(w); /* what it still said */
			w->over = true;
			return false;
		}
		if (clock_mono_ms() > end) { /* half a frame is out: nothing sensible can follow */
			w->over = true;
			return false;
		}
		if (poll(&p, 1, 10) > 0 && p.revents & POLLIN)
			wire_read(w);
	}
	return bytes.len == 0;
}

bool wire_send(struct wire *w, enum msg_type type, const void *msg)
{
	int fds[LIMIT_FRAME_FDS];
	size_t count = msg_fd_count(type);
	struct buf frame;
	bool ok;

	for (size_t i = 0; i < count; i++)
		fds[i] = msg_fd(type, msg, i);
	buf_init(&frame, LIMIT_FRAME_BYTES + 64);
	msg_encode(&frame, type, msg);
	ok = !frame.overflow && wire_send_raw(w, buf_span(&frame), fds, count);
	buf_clear(&frame);
	return ok;
}

bool wire_dropped(struct wire *w, int ms)
{
	mono_ms end = clock_mono_ms() + (mono_ms)ms;

	w->deaf = false;
	while (w->fd >= 0 && !w->over && clock_mono_ms() < end)
		wire_wait(w, 50);
	return w->over || w->fd < 0;
}
