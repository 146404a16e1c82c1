#include "chan_pair.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frames.h"

static void check_number(struct side *s, const union msg_any *msg)
{
	struct stat st;

	if (fstat(msg->spool_lent.file, &st) || (uint64_t)st.st_size != msg->spool_lent.spool)
		s->wrong_numbers++;
}

static enum rc on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct side *s = owner;

	assert_ptr_equal(c, s->chan);
	s->frames++;
	s->last_type = type;
	s->last = *msg;
	if (s->check_numbers && type == MSG_SPOOL_LENT)
		check_number(s, msg);
	if (s->expect) {
		union msg_any got = *msg;

		if (msg_fd_count(type)) /* another number for the same file */
			*(int *)((uint8_t *)&got + msg_infos[type].layout.fields[msg_infos[type].layout.field_count - 1].offset) = STDIN_FILENO;
		s->same += frame_same(type, s->expect, &got);
	}
	for (size_t i = 0; i < msg_fd_count(type); i++) {
		s->fds++;
		assert_int_equal(close(msg_fd(type, msg, i)), 0);
	}
	if (s->free_in_frame)
		chan_free(&s->chan);
	return s->refuse ? RC_BAD : RC_OK;
}

static void on_gone(void *owner, struct chan *c, const char *why)
{
	struct side *s = owner;

	assert_ptr_equal(c, s->chan);
	s->gone++;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->free_in_gone)
		chan_free(&s->chan);
}

static const struct chan_ops ops = {on_frame, on_gone};

static void open_fds(struct pair *p, int fds[2])
{
	*p = (struct pair){.loop = loop_new(), .fd = -1};
	p->a.loop = p->b.loop = p->loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

void pair_open(struct pair *p, enum role_id a, enum role_id b)
{
	int fds[2];

	open_fds(p, fds);
	p->a.chan = chan_new(p->loop, fds[0], a, b, 0, &ops, &p->a);
	p->b.chan = chan_new(p->loop, fds[1], b, a, 5, &ops, &p->b);
}

void pair_open_half(struct pair *p, enum role_id self, enum role_id peer)
{
	int fds[2];

	open_fds(p, fds);
	p->fd = fds[1];
	p->a.chan = chan_new(p->loop, fds[0], self, peer, 0, &ops, &p->a);
}

void pair_close(struct pair *p)
{
	chan_free(&p->a.chan);
	chan_free(&p->b.chan);
	if (p->fd >= 0)
		close(p->fd);
	loop_free(&p->loop);
}

static void on_turn(void *arg)
{
	struct pair *p = arg;
	bool done = p->watch && p->watch->frames >= p->until_frames && p->watch->gone >= p->until_gone;

	if (done || (!p->watch && p->turns_left-- == 0))
		loop_stop(p->loop, 0);
	else
		loop_soon(p->loop, &p->hook);
}

static void on_limit(void *arg, mono_ms now)
{
	struct pair *p = arg;

	(void)now;
	p->late = true;
	loop_stop(p->loop, 0);
}

static void run(struct pair *p)
{
	p->hook = (struct loop_hook){.fn = on_turn, .arg = p};
	p->late = false;
	loop_timer_init(p->loop, &p->limit, on_limit, p);
	loop_timer_at(&p->limit, loop_now_refresh(p->loop) + 10000);
	loop_soon(p->loop, &p->hook);
	loop_run(p->loop);
	loop_timer_clear(&p->limit);
	loop_hook_remove(p->loop, &p->hook);
	if (p->late)
		fail_msg("nothing more in 10 s: a had %u frames (%s), b had %u (%s)", p->a.frames, p->a.why, p->b.frames, p->b.why);
}

void pair_run_for(struct pair *p, const struct side *s, unsigned frames)
{
	p->watch = s;
	p->until_frames = frames;
	p->until_gone = 0;
	run(p);
	assert_int_equal(s->frames, frames);
	assert_int_equal(s->gone, 0);
}

void pair_run(struct pair *p, unsigned frames)
{
	pair_run_for(p, &p->b, frames);
}

void pair_run_until_gone(struct pair *p, const struct side *s)
{
	p->watch = s;
	p->until_frames = 0;
	p->until_gone = 1;
	run(p);
	assert_int_equal(s->gone, 1);
}

void pair_turns(struct pair *p, unsigned turns)
{
	p->watch = NULL;
	p->turns_left = turns;
	run(p);
}

int count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

int numbered_file(uint32_t n)
{
	int fd = memfd_create("numbered", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, n), 0);
	return fd;
}
