/* loop.h over simulated time. A turn begins when something is ready or a timer is due; what is ready is handled in any order. */
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

enum { SIM_TURN_DELAY_US = 200 };

static void sim_loop_schedule(struct loop *l);

static void loop_hooks_init(struct loop_hooks *list)
{
	*list = (struct loop_hooks){.tail = &list->first};
}

void sim_loop_init(struct loop *l, struct sim_proc *p)
{
	*l = (struct loop){.proc = p, .turn_us = SIM_NEVER};
	for (int i = 0; i < LOOP_ORDER_COUNT; i++)
		loop_hooks_init(&l->hooks[i]);
	loop_hooks_init(&l->soon);
	loop_hooks_init(&l->running_soon);
}

void sim_loop_clear(struct loop *l)
{
	free(l->timers);
	free(l->ready);
	free(l->running);
	l->timers = NULL;
	l->ready = l->running = NULL;
	l->timer_count = l->ready_count = l->running_count = l->timer_size = l->ready_size = 0;
}

struct event_base *loop_base(struct loop *l)
{
	(void)l;
	return NULL; /* nothing here waits for descriptors */
}

mono_ms loop_now(const struct loop *l)
{
	return l->now_known ? l->now : clock_mono_ms();
}

mono_ms loop_now_refresh(struct loop *l)
{
	l->now_known = false;
	return loop_now(l);
}

void loop_stop(struct loop *l, int status)
{
	(void)status;
	l->stopping = true;
}

/* ---- hooks */

static void loop_hooks_add(struct loop_hooks *list, struct loop_hook *h)
{
	if (h->list)
		return;
	h->list = list;
	h->next = NULL;
	h->link = list->tail;
	*list->tail = h;
	list->tail = &h->next;
}

static void loop_hooks_remove(struct loop_hook *h)
{
	struct loop_hooks *list = h->list;

	if (!list)
		return;
	if (list->cursor == h)
		list->cursor = h->next;
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	else
		list->tail = h->link;
	h->list = NULL;
	h->next = NULL;
}

void loop_hook_add(struct loop *l, enum loop_order order, struct loop_hook *h)
{
	loop_hooks_add(&l->hooks[order], h);
	if (l->hooks[order].tail == &h->next && !l->hooks[order].cursor)
		l->hooks[order].cursor = h;
	sim_loop_schedule(l);
}

void loop_hook_remove(struct loop *l, struct loop_hook *h)
{
	(void)l;
	loop_hooks_remove(h);
}

void loop_soon(struct loop *l, struct loop_hook *h)
{
	loop_hooks_add(&l->soon, h);
	sim_loop_schedule(l);
}

/* ---- timers: `armed` tells whether it is in the table */

static void loop_timer_forget(struct loop_timer *t)
{
	struct loop *l = t->loop;

	for (size_t i = 0; i < l->timer_count; i++)
		if (l->timers[i] == t) {
			l->timers[i] = l->timers[--l->timer_count];
			break;
		}
	t->armed = MONO_NEVER;
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg, mono_ms now), void *arg)
{
	*t = (struct loop_timer){.fn = fn, .arg = arg, .at = MONO_NEVER, .armed = MONO_NEVER, .loop = l};
}

void loop_timer_at(struct loop_timer *t, mono_ms at)
{
	struct loop *l = t->loop;

	t->at = at;
	if (at == MONO_NEVER) {
		if (t->armed != MONO_NEVER)
			loop_timer_forget(t);
		return;
	}
	if (t->armed == MONO_NEVER) {
		if (l->timer_count == l->timer_size) {
			l->timer_size = l->timer_size ? l->timer_size * 2 : 16;
			l->timers = mem_realloc(l->timers, l->timer_size * sizeof(struct loop_timer *));
		}
		l->timers[l->timer_count++] = t;
	}
	t->armed = at;
	sim_loop_schedule(l);
}

void loop_timer_clear(struct loop_timer *t)
{
	t->at = MONO_NEVER;
	if (t->loop && t->armed != MONO_NEVER)
		loop_timer_forget(t);
}

static void sim_loop_timers(struct loop *l)
{
	for (size_t rounds = l->timer_count; rounds > 0; rounds--) {
		struct loop_timer *due = NULL;
		mono_ms now = loop_now(l);

		for (size_t i = 0; i < l->timer_count; i++)
			if (l->timers[i]->at <= now && (!due || l->timers[i]->at < due->at))
				due = l->timers[i];
		if (!due)
			return;
		loop_timer_forget(due);
		due->at = MONO_NEVER;
		due->fn(due->arg, now);
	}
}

/* ---- what is ready */

void sim_ready(struct sim_ready *r)
{
	struct loop *l = r->loop;

	if (r->queued || !l->proc->alive)
		return;
	if (l->ready_count == l->ready_size) {
		l->ready_size = l->ready_size ? l->ready_size * 2 : 16;
		l->ready = mem_realloc(l->ready, l->ready_size * sizeof(struct sim_ready *));
	}
	l->ready[l->ready_count++] = r;
	r->queued = true;
	sim_loop_schedule(l);
}

void sim_ready_drop(struct sim_ready *r)
{
	struct loop *l = r->loop;

	for (size_t i = 0; i < l->ready_count; i++)
		if (l->ready[i] == r)
			l->ready[i] = NULL;
	for (size_t i = 0; i < l->running_count; i++)
		if (l->running[i] == r)
			l->running[i] = NULL;
	r->queued = false;
}

static void sim_loop_ready(struct loop *l)
{
	l->running = l->ready;
	l->running_count = l->ready_count;
	l->ready = NULL;
	l->ready_count = l->ready_size = 0;
	for (size_t i = l->running_count; i > 1; i--) {
		size_t k = sim_below(i);
		struct sim_ready *r = l->running[i - 1];

		l->running[i - 1] = l->running[k];
		l->running[k] = r;
	}
	for (size_t i = 0; i < l->running_count; i++) {
		struct sim_ready *r = l->running[i];

		if (!r)
			continue;
		l->running[i] = NULL;
		r->queued = false;
		r->fn(r->arg);
	}
	free(l->running);
	l->running = NULL;
	l->running_count = 0;
}

/* ---- turns */

static void sim_loop_hooks(struct loop_hooks *list)
{
	list->cursor = list->first;
	while (list->cursor) {
		struct loop_hook *h = list->cursor;

		list->cursor = h->next;
		if (h->once)
			loop_hooks_remove(h);
		h->fn(h->arg);
	}
}

static void sim_loop_turn(void *arg)
{
	struct loop *l = arg;
	bool timers_first = sim_chance(500);

	for (struct loop_hook *h; (h = l->soon.first) != NULL;) {
		loop_hooks_remove(h);
		loop_hooks_add(&l->running_soon, h);
	}
	if (timers_first)
		sim_loop_timers(l);
	sim_loop_ready(l);
	if (!timers_first)
		sim_loop_timers(l);
	for (struct loop_hook *h; (h = l->running_soon.first) != NULL;) {
		loop_hooks_remove(h);
		h->fn(h->arg);
	}
	for (int i = 0; i < LOOP_ORDER_COUNT; i++) {
		sim_loop_hooks(&l->hooks[i]);
		sim_crash_point();
	}
}

static void sim_loop_event(void *arg)
{
	struct loop *l = arg;
	struct sim_proc *p = l->proc;

	if (!p->alive || l->turn_us != sim.now_us)
		return; /* moved to another time */
	l->turn_us = SIM_NEVER;
	if (sim.now_us < p->stalled_until_us) {
		l->turn_us = p->stalled_until_us;
		sim_at(l->turn_us, sim_loop_event, l);
		return;
	}
	l->now = clock_mono_ms();
	l->now_known = true;
	sim_enter(p, sim_loop_turn, l);
	l->now_known = false;
	if (p->alive)
		sim_loop_schedule(l);
}

static void sim_loop_schedule(struct loop *l)
{
	uint64_t want = SIM_NEVER;
	bool flush = l->hooks[LOOP_FLUSH].first != NULL;

	if (!l->proc->alive || sim.current == l->proc) /* after its turn */
		return;
	if (l->ready_count || l->soon.first || flush) {
		want = sim.now_us + sim_below(SIM_TURN_DELAY_US);
	} else {
		for (size_t i = 0; i < l->timer_count; i++)
			if (l->timers[i]->at != MONO_NEVER && l->timers[i]->at * SIM_MS < want)
				want = l->timers[i]->at * SIM_MS;
		if (want < sim.now_us)
			want = sim.now_us;
	}
	if (want >= l->turn_us)
		return;
	l->turn_us = want;
	sim_at(want, sim_loop_event, l);
}
