#include "loop/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

enum { LOOP_FAILURES_MAX = 10, LOOP_FAILURE_PAUSE_US = 1000, LOOP_EXIT_FAILED = 71 };

struct loop_hooks {
	struct loop_hook *first;
	struct loop_hook **tail; /* where the next one is linked in */
	struct loop_hook *cursor; /* runs next */
};

struct loop_time {
	mono_ms now;
	bool known; /* in this turn */
};

struct loop {
	struct event_base *base;
	struct loop_time *time;
	struct loop_hooks hooks[LOOP_ORDER_COUNT];
	struct loop_hooks soon, now; /* of the next turn, of this one */
	bool stopping;
	unsigned failed; /* waits in a row */
	int status;
};

static void loop_hooks_init(struct loop_hooks *list)
{
	*list = (struct loop_hooks){.tail = &list->first};
}

struct loop *loop_new(void)
{
	static const char words[] = "mailroom: no event loop to be had\n";
	struct event_config *config = event_config_new();
	struct loop *l = mem_zalloc(sizeof(*l));

	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
		l->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (!l->base) {
		(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
		_exit(70);
	}
	l->time = mem_zalloc(sizeof(*l->time));
	for (int i = 0; i < LOOP_ORDER_COUNT; i++)
		loop_hooks_init(&l->hooks[i]);
	loop_hooks_init(&l->soon);
	loop_hooks_init(&l->now);
	(void)signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of the write, not the end of the role */
	return l;
}

void loop_free(struct loop **l)
{
	if (!*l)
		return;
	event_base_free((*l)->base);
	free((*l)->time);
	free(*l);
	*l = NULL;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

mono_ms loop_now(const struct loop *l)
{
	if (!l->time->known)
		*l->time = (struct loop_time){clock_mono_ms(), true};
	return l->time->now;
}

mono_ms loop_now_refresh(struct loop *l)
{
	l->time->known = false;
	return loop_now(l);
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
		l->hooks[order].cursor = h; /* the list was at its end: a hook that a hook adds runs in this turn, too */
}

void loop_hook_remove(struct loop *l, struct loop_hook *h)
{
	(void)l;
	loop_hooks_remove(h);
}

void loop_soon(struct loop *l, struct loop_hook *h)
{
	loop_hooks_add(&l->soon, h);
}

static void loop_run_hooks(struct loop_hooks *list)
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

/* what is added from now on waits for the next turn, so that sockets get their share */
static void loop_take_soon(struct loop *l)
{
	for (struct loop_hook *h; (h = l->soon.first) != NULL;) {
		loop_hooks_remove(h);
		loop_hooks_add(&l->now, h);
	}
}

static void loop_run_now(struct loop_hooks *list)
{
	for (struct loop_hook *h; (h = list->first) != NULL;) {
		loop_hooks_remove(h);
		h->fn(h->arg);
	}
}

/* ---- turns */

/* Waiting failed on the kernel's side. Once, that is no reason to end a server. */
static bool loop_bear_failure(struct loop *l)
{
	if (++l->failed <= LOOP_FAILURES_MAX) {
		(void)usleep(LOOP_FAILURE_PAUSE_US);
		return true;
	}
	l->status = LOOP_EXIT_FAILED;
	return false;
}

static bool loop_turn(struct loop *l)
{
	bool work = l->soon.first != NULL;
	int done;

	l->time->known = false;
	loop_take_soon(l);
	done = event_base_loop(l->base, EVLOOP_ONCE | (work ? EVLOOP_NONBLOCK : 0));
	if (done > 0 && !work)
		return false; /* nothing to wait for */
	if (done < 0 && !loop_bear_failure(l))
		return false;
	if (done >= 0)
		l->failed = 0;
	loop_run_now(&l->now);
	for (int i = 0; i < LOOP_ORDER_COUNT; i++)
		loop_run_hooks(&l->hooks[i]);
	return true;
}

int loop_run(struct loop *l)
{
	int status;

	while (!l->stopping && loop_turn(l))
		;
	status = l->status;
	l->stopping = false;
	l->status = 0;
	return status;
}

void loop_stop(struct loop *l, int status)
{
	l->stopping = true;
	l->status = status;
}

/* ---- timers */

static void loop_timer_arm(struct loop_timer *t, mono_ms now)
{
	mono_ms wait = t->at > now ? t->at - now : 0;
	struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};

	t->armed = t->at;
	event_add(&t->ev, &tv);
}

static void loop_timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	mono_ms now = loop_now(t->loop);

	(void)fd;
	(void)what;
	t->armed = MONO_NEVER;
	if (t->at == MONO_NEVER)
		return;
	if (now < t->at) {
		loop_timer_arm(t, now);
		return;
	}
	t->at = MONO_NEVER;
	t->fn(t->arg, now);
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg, mono_ms now), void *arg)
{
	*t = (struct loop_timer){.fn = fn, .arg = arg, .at = MONO_NEVER, .armed = MONO_NEVER, .loop = l};
	event_assign(&t->ev, l->base, -1, 0, loop_timer_fire, t);
}

void loop_timer_at(struct loop_timer *t, mono_ms at)
{
	t->at = at;
	if (at < t->armed)
		loop_timer_arm(t, loop_now(t->loop));
}

void loop_timer_clear(struct loop_timer *t)
{
	t->at = MONO_NEVER;
	t->armed = MONO_NEVER;
	if (t->loop)
		event_del(&t->ev);
}

/* ---- signals */

static void loop_signal_fire(evutil_socket_t signum, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->fn(s->arg, (int)signum);
}

void loop_signal_add(struct loop *l, struct loop_signal *s, int signum, void (*fn)(void *arg, int signum), void *arg)
{
	static const char words[] = "mailroom: cannot wait for signals\n";

	*s = (struct loop_signal){.fn = fn, .arg = arg, .signum = signum};
	event_assign(&s->ev, l->base, signum, EV_SIGNAL | EV_PERSIST, loop_signal_fire, s);
	if (event_add(&s->ev, NULL) == 0)
		return;
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1); /* deaf to its signals it would be no use */
	_exit(LOOP_EXIT_FAILED);
}

void loop_signal_remove(struct loop_signal *s)
{
	if (s->fn)
		event_del(&s->ev);
	s->fn = NULL;
}
