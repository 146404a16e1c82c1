/* loop - the event loop of a role, over libevent: turns, timers, signals, descriptors. A turn handles everything that is ready,
 * then runs the turn-end hooks in the order they were added (store: commit; channels: flush; log: flush). */
#ifndef MAILROOM_LOOP_LOOP_H
#define MAILROOM_LOOP_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/err.h"
#include <stdbool.h>

struct loop;

struct loop *loop_new(void); /* ends the process when it cannot be had */
void loop_free(struct loop **l);
struct event_base *loop_base(struct loop *l);
/* monotonic time at the start of this turn, refreshed by loop_now_refresh */
mono_ms loop_now(const struct loop *l);
/* runs turns until loop_stop; returns the status given to it */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int status);

struct loop_hook {
	void (*fn)(void *arg);
	void *arg;
	struct loop_hook *next;
	bool once;
};
/* embedded hook; `order` classes run in this order at each turn end */
enum loop_order { LOOP_COMMIT, LOOP_FLUSH, LOOP_LOG, LOOP_ORDER_COUNT };
void loop_hook_add(struct loop *l, enum loop_order order, struct loop_hook *h);
void loop_hook_remove(struct loop *l, struct loop_hook *h);

/* a one-shot timer, embedded in its owner; re-arming moves it; MONO_NEVER disarms */
struct loop_timer {
	struct event ev;
	void (*fn)(void *arg, mono_ms now);
	void *arg;
	mono_ms at;
	struct loop *loop;
};
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg, mono_ms now), void *arg);
void loop_timer_at(struct loop_timer *t, mono_ms at);
void loop_timer_clear(struct loop_timer *t);

/* SIGTERM, SIGINT, SIGHUP, SIGCHLD ... as loop events */
struct loop_signal { struct event ev; void (*fn)(void *arg, int signum); void *arg; int signum; };
void loop_signal_add(struct loop *l, struct loop_signal *s, int signum, void (*fn)(void *arg, int signum), void *arg);
void loop_signal_remove(struct loop_signal *s);

#endif
