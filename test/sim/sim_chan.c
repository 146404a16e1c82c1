/* chan.h over queues in memory. Frames are encoded and decoded as on a socket and checked as chan.c does; each arrives at a time of its own, in order.
 * What a process that dies had not flushed is lost; what it had flushed arrives, and then the end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"
#include "ipc/chan.h"
#include "sim.h"

enum { SIM_FD_FIRST = 1 << 24, SIM_SOCKET_BYTES = 256 << 10 };

struct sim_frame {
	struct sim_frame *next;
	uint64_t at_us;
	size_t len; /* 0: the end */
	uint8_t bytes[];
};

/* what waits to be read at one end of a pair */
struct sim_end {
	struct sim_end *peer;
	struct chan *chan; /* NULL: not taken yet, or given up */
	struct sim_frame *first, **tail;
	uint64_t last_us;
	size_t bytes;
	bool closed;
};

struct chan {
	struct chan *next, **prev; /* of the process */
	struct loop *loop;
	const struct chan_ops *ops;
	void *owner;
	struct sim_end *end;
	enum role_id self, peer;
	uint32_t peer_worker;
	bool paused, dead;
	unsigned busy;
	char *why;
	struct loop_hook flush, gone;
	struct sim_ready readable, writable;
	struct sim_frame *taking; /* being delivered */
	struct buf out;
};

void sim_pair(int fds_out[2])
{
	struct sim_end *e[2] = {sim_zalloc(sizeof(struct sim_end)), sim_zalloc(sizeof(struct sim_end))};

	for (int i = 0; i < 2; i++) {
		*e[i] = (struct sim_end){.peer = e[1 - i], .tail = &e[i]->first};
		if (sim.end_count == sim.end_size) {
			sim.end_size = sim.end_size ? sim.end_size * 2 : 32;
			sim.ends = mem_realloc(sim.ends, sim.end_size * sizeof(struct sim_end *));
		}
		fds_out[i] = SIM_FD_FIRST + (int)sim.end_count;
		sim.ends[sim.end_count++] = e[i];
	}
}

static void sim_end_wake(void *arg)
{
	struct sim_end *e = arg;

	if (e->chan)
		sim_ready(&e->chan->readable);
}

static void sim_end_put(struct sim_end *to, struct span bytes)
{
	struct sim_frame *f = mem_alloc(sizeof(*f) + bytes.len);
	uint64_t at = sim.now_us + 1 + sim_below(sim.healed ? SIM_MS : sim.plan.frame_delay_us);

	*f = (struct sim_frame){.at_us = at > to->last_us ? at : to->last_us, .len = bytes.len};
	if (bytes.len)
		memcpy(f->bytes, bytes.ptr, bytes.len);
	to->last_us = f->at_us;
	to->bytes += f->len;
	*to->tail = f;
	to->tail = &f->next;
	sim_at(f->at_us, sim_end_wake, to);
}

static void sim_end_drop(struct sim_end *e)
{
	for (struct sim_frame *f = e->first, *next; f; f = next) {
		next = f->next;
		free(f);
	}
	e->first = NULL;
	e->tail = &e->first;
	e->bytes = 0;
}

static void sim_end_shut(struct sim_end *e)
{
	if (e->closed)
		return;
	e->closed = true;
	e->chan = NULL;
	sim_end_drop(e);
	if (!e->peer->closed)
		sim_end_put(e->peer, SPAN_NONE);
}

void sim_end_close(int fd)
{
	sim_end_shut(sim.ends[fd - SIM_FD_FIRST]);
}

/* ---- the channel */

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
	sim_trace("%s: channel to %s fails: %s", c->loop->proc->name, role_name(c->peer), words);
	if (c->loop->proc->alive && !span_eq(span_str(words), SPAN_LIT("closed")))
		sim_fail("%s drops its channel to %s: %s", c->loop->proc->name, role_name(c->peer), words);
	sim_end_shut(c->end);
	loop_hook_remove(c->loop, &c->flush);
	sim_ready_drop(&c->readable);
	sim_ready_drop(&c->writable);
	if (!c->dead)
		loop_soon(c->loop, &c->gone);
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

void chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	if (!c->dead) {
		c->dead = true;
		sim_end_shut(c->end);
		loop_hook_remove(c->loop, &c->flush);
		loop_hook_remove(c->loop, &c->gone);
		sim_ready_drop(&c->readable);
		sim_ready_drop(&c->writable);
		*c->prev = c->next;
		if (c->next)
			c->next->prev = c->prev;
	}
	if (c->busy > 0)
		return;
	buf_clear(&c->out);
	free(c->taking);
	free(c->why);
	free(c);
}

static bool chan_may_lose(struct chan *c, size_t n)
{
	if (sim.broken != SIM_BREAK_DROP_FRAME || !sim_chance(3))
		return false;
	sim_trace("%s: a frame of %zu bytes to %s is lost", c->loop->proc->name, n, role_name(c->peer));
	return true;
}

void chan_flush(struct chan *c)
{
	struct sim_end *to = c->end->peer;
	size_t at = 0;

	if (c->why || c->dead || !c->loop->proc->alive)
		return;
	while (at < c->out.len && to->bytes < SIM_SOCKET_BYTES) {
		size_t n = 4 + (size_t)num_le(c->out.ptr + at, 4);

		if (!to->closed && !chan_may_lose(c, n))
			sim_end_put(to, span_of(c->out.ptr + at, n));
		at += n;
	}
	buf_drop(&c->out, at);
}

static void chan_flush_hook(void *arg)
{
	sim_crash_point();
	chan_flush(arg);
}

void chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	if (c->why || c->dead || !c->loop->proc->alive)
		return;
	if (!msg_allowed(type, c->self, c->peer)) {
		chan_fail(c, "%s is not for %s", msg_name(type), role_name(c->peer));
		return;
	}
	if (msg_fd_count(type) > 0) {
		chan_fail(c, "%s needs a descriptor: the simulation has none", msg_name(type));
		return;
	}
	msg_encode(&c->out, type, msg);
	if (c->out.len > LIMIT_CHANNEL_OUT_BYTES)
		chan_fail(c, "does not read: %zu bytes unsent", c->out.len);
	else if (c->out.overflow)
		chan_fail(c, "%s over its limits", msg_name(type));
	else
		loop_hook_add(c->loop, LOOP_FLUSH, &c->flush);
}

size_t chan_unsent_bytes(const struct chan *c)
{
	return c->out.len;
}

/* ---- receiving */

static void chan_take_frame(struct chan *c, const struct sim_frame *f)
{
	enum msg_type type = (enum msg_type)num_le(f->bytes + 4, 2);
	union msg_any msg;

	if (f->len < FRAME_HEADER_BYTES || !msg_allowed(type, c->peer, c->self))
		chan_fail(c, "bad frame: %s may not come from %s", msg_name(type), role_name(c->peer));
	else if (f->len - FRAME_HEADER_BYTES > msg_payload_max_bytes(type) ||
		 msg_decode(type, span_of(f->bytes + FRAME_HEADER_BYTES, f->len - FRAME_HEADER_BYTES), NULL, 0, &msg) != RC_OK)
		chan_fail(c, "bad frame: %s", msg_name(type));
	else if (c->ops->on_frame(c->owner, c, type, &msg) != RC_OK)
		chan_fail(c, "refused: %s", msg_name(type));
}

static void chan_on_readable(void *arg)
{
	struct chan *c = arg;
	struct sim_end *e = c->end;

	c->busy++;
	while (!c->why && !c->dead && !c->paused && e->first && e->first->at_us <= sim.now_us) {
		struct sim_frame *f = e->first;

		e->first = f->next;
		if (!e->first)
			e->tail = &e->first;
		e->bytes -= f->len;
		if (e->peer->chan && e->peer->chan->out.len)
			sim_ready(&e->peer->chan->writable);
		c->taking = f;
		if (f->len) {
			sim_trace("%s <- %s/%u: %s", c->loop->proc->name, role_name(c->peer), c->peer_worker,
				msg_name((enum msg_type)num_le(f->bytes + 4, 2)));
			chan_take_frame(c, f);
		} else {
			chan_fail(c, "closed");
		}
		c->taking = NULL;
		free(f);
	}
	c->busy--;
	if (c->dead)
		chan_free(&c);
}

static void chan_on_writable(void *arg)
{
	chan_flush(arg);
}

/* ---- the rest */

struct chan *chan_new(struct loop *loop, int fd, enum role_id self, enum role_id peer, uint32_t peer_worker, const struct chan_ops *ops, void *owner)
{
	struct chan *c = mem_zalloc(sizeof(*c));
	struct sim_end *e = sim.ends[fd - SIM_FD_FIRST];

	*c = (struct chan){.loop = loop, .ops = ops, .owner = owner, .end = e, .self = self, .peer = peer, .peer_worker = peer_worker};
	c->flush = (struct loop_hook){.fn = chan_flush_hook, .arg = c, .once = true};
	c->gone = (struct loop_hook){.fn = chan_tell_gone, .arg = c, .once = true};
	c->readable = (struct sim_ready){.fn = chan_on_readable, .arg = c, .loop = loop};
	c->writable = (struct sim_ready){.fn = chan_on_writable, .arg = c, .loop = loop};
	buf_init(&c->out, 2 * (size_t)LIMIT_CHANNEL_OUT_BYTES);
	e->chan = c;
	c->next = loop->proc->chans;
	c->prev = &loop->proc->chans;
	if (c->next)
		c->next->prev = &c->next;
	loop->proc->chans = c;
	if (e->first)
		sim_ready(&c->readable);
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
	c->paused = paused;
	if (!paused)
		sim_ready(&c->readable);
}

enum rc chan_call(struct chan *c, enum msg_type send_type, const void *send_msg, enum msg_type type, uint64_t timeout_ms,
	enum rc (*on_reply)(void *arg, const union msg_any *msg), void *arg)
{
	(void)c, (void)send_type, (void)send_msg, (void)type, (void)timeout_ms, (void)on_reply, (void)arg;
	return RC_IO; /* only TLS waits for another role */
}

/* the process is dead: its peers will see so, and what its own code keeps for them is freed by its own code */
void sim_chan_kill(struct sim_proc *p)
{
	while (p->chans) {
		struct chan *c = p->chans;

		sim_end_shut(c->end);
		loop_hook_remove(c->loop, &c->gone);
		c->busy = 1; /* whatever was on the stack is not any more */
		c->ops->on_gone(c->owner, c, "killed");
		c->busy = 0;
		chan_free(&c);
	}
}

void sim_chan_end(void)
{
	for (size_t i = 0; i < sim.end_count; i++)
		sim_end_drop(sim.ends[i]);
	free(sim.ends);
}
