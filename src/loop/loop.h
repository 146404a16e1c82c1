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
/* monotonic time of this turn (read once, when first asked for) */
mono_ms loop_now(const struct loop *l);
/* after work that took long within a turn */
mono_ms loop_now_refresh(struct loop *l);
/* runs turns until loop_stop, or until nothing is left to wait for (0); returns the status given to loop_stop */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int status);

struct loop_hooks;
/* embedded in its owner, who sets fn, arg, once and leaves the rest zero */
struct loop_hook {
	void (*fn)(void *arg);
	void *arg;
	struct loop_hook *next;
	bool once; /* taken off the list before it runs */
	struct loop_hook **link;
	struct loop_hooks *list; /* NULL: on none */
};
/* `order` classes run in this order at each turn end; a hook added by a hook of an earlier class, or of its own, still runs in this turn */
enum loop_order { LOOP_COMMIT, LOOP_FLUSH, LOOP_LOG, LOOP_ORDER_COUNT };
/* adding what is on a list already changes nothing; both are fine while hooks run */
void loop_hook_add(struct loop *l, enum loop_order order, struct loop_hook *h);
void loop_hook_remove(struct loop *l, struct loop_hook *h);
/* Runs h once, early in the next turn, which then does not wait: for work cut short so that others get their share, and for callbacks that
 * must not happen inside the call that caused them. Taken back by loop_hook_remove. */
void loop_soon(struct loop *l, struct loop_hook *h);

/* a one-shot timer, embedded in its owner; re-arming moves it (to a later time: costs nothing); MONO_NEVER disarms */
struct loop_timer {
	struct event ev;
	void (*fn)(void *arg, mono_ms now);
	void *arg;
	mono_ms at;
	mono_ms armed; /* when libevent wakes us: often earlier than `at`, as moving a deadline back only changes `at` */
	struct loop *loop;
};
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *arg, mono_ms now), void *arg);
void loop_timer_at(struct loop_timer *t, mono_ms at);
/* before the owner's memory goes */
void loop_timer_clear(struct loop_timer *t);

/* SIGTERM, SIGINT, SIGHUP, SIGCHLD ... as loop events */
struct loop_signal { struct event ev; void (*fn)(void *arg, int signum); void *arg; int signum; };
void loop_signal_add(struct loop *l, struct loop_signal *s, int signum, void (*fn)(void *arg, int signum), void *arg);
void loop_signal_remove(struct loop_signal *s);

#endif
