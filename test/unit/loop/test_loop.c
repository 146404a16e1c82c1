/* Turns, hooks, timers, signals of src/loop/loop.h. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/loop.h"

/* ---- a diary that the callbacks write */

struct diary {
	struct loop *loop;
	char text[256];
	size_t len;
	unsigned turns, stop_after;
};

static void note(struct diary *d, char c)
{
	if (d->len + 1 < sizeof(d->text))
		d->text[d->len++] = c;
	d->text[d->len] = '\0';
}

struct noter {
	struct loop_hook hook;
	struct diary *diary;
	char c;
	struct loop_hook *remove, *add;
	enum loop_order add_order;
};

static void on_note(void *arg)
{
	struct noter *n = arg;

	note(n->diary, n->c);
	if (n->remove)
		loop_hook_remove(n->diary->loop, n->remove);
	if (n->add)
		loop_hook_add(n->diary->loop, n->add_order, n->add);
	n->add = NULL;
}

static void noter_init(struct noter *n, struct diary *d, char c, bool once)
{
	*n = (struct noter){.hook = {.fn = on_note, .arg = n, .once = once}, .diary = d, .c = c};
}

static void on_turn(void *arg)
{
	struct diary *d = arg;

	note(d, '.');
	if (++d->turns == d->stop_after)
		loop_stop(d->loop, 3);
}

/* makes turns happen: a soon hook that adds itself again */
struct spinner {
	struct loop_hook hook;
	struct loop *loop;
};

static void on_spin(void *arg)
{
	struct spinner *s = arg;

	loop_soon(s->loop, &s->hook);
}

static const char *run_turns(struct diary *d, unsigned turns)
{
	struct spinner spinner = {.hook = {.fn = on_spin, .arg = &spinner}, .loop = d->loop};
	struct loop_hook last = {.fn = on_turn, .arg = d};

	d->stop_after = turns;
	d->turns = 0;
	d->len = 0;
	loop_hook_add(d->loop, LOOP_LOG, &last);
	loop_soon(d->loop, &spinner.hook);
	assert_int_equal(loop_run(d->loop), 3);
	loop_hook_remove(d->loop, &last);
	loop_hook_remove(d->loop, &spinner.hook);
	return d->text;
}

static void test_hook_order(void **state)
{
	struct diary d = {.loop = loop_new()};
	struct noter commit, flush, log, once;

	(void)state;
	noter_init(&log, &d, 'l', false);
	noter_init(&flush, &d, 'f', false);
	noter_init(&commit, &d, 'c', false);
	noter_init(&once, &d, '1', true);
	loop_hook_add(d.loop, LOOP_LOG, &log.hook);
	loop_hook_add(d.loop, LOOP_FLUSH, &flush.hook);
	loop_hook_add(d.loop, LOOP_FLUSH, &once.hook);
	loop_hook_add(d.loop, LOOP_FLUSH, &once.hook); /* again: nothing */
	loop_hook_add(d.loop, LOOP_COMMIT, &commit.hook);
	assert_string_equal(run_turns(&d, 2), "cf1l.cfl.");
	loop_free(&d.loop);
	assert_null(d.loop);
}

static void test_hooks_change_hooks(void **state)
{
	struct diary d = {.loop = loop_new()};
	struct noter commit, a, b, late, later;

	(void)state;
	noter_init(&commit, &d, 'c', true);
	noter_init(&a, &d, 'a', false);
	noter_init(&b, &d, 'b', false);
	noter_init(&late, &d, 'x', true);
	noter_init(&later, &d, 'y', true);
	commit.add = &late.hook; /* an answer made by the commit leaves in the same turn */
	commit.add_order = LOOP_FLUSH;
	late.add = &later.hook; /* last of its class: what it adds still runs */
	late.add_order = LOOP_FLUSH;
	loop_hook_add(d.loop, LOOP_COMMIT, &commit.hook);
	loop_hook_add(d.loop, LOOP_FLUSH, &a.hook);
	loop_hook_add(d.loop, LOOP_FLUSH, &b.hook);
	a.remove = &b.hook; /* the one that would come next */
	assert_string_equal(run_turns(&d, 2), "caxy.a.");
	a.remove = &a.hook; /* itself */
	loop_hook_add(d.loop, LOOP_FLUSH, &b.hook);
	assert_string_equal(run_turns(&d, 2), "ab.b.");
	loop_free(&d.loop);
}

static void test_soon(void **state)
{
	struct diary d = {.loop = loop_new()};
	struct noter a, b, c;

	(void)state;
	noter_init(&a, &d, 'a', false);
	noter_init(&b, &d, 'b', false);
	noter_init(&c, &d, 'c', false);
	loop_soon(d.loop, &a.hook);
	loop_soon(d.loop, &b.hook);
	loop_soon(d.loop, &c.hook);
	loop_hook_remove(d.loop, &b.hook);
	assert_string_equal(run_turns(&d, 2), "ac.."); /* once each, and nobody waited for a descriptor */
	loop_soon(d.loop, &b.hook);
	loop_soon(d.loop, &a.hook);
	b.remove = &a.hook;
	assert_string_equal(run_turns(&d, 2), "b..");
	loop_free(&d.loop);
}

static void test_nothing_to_wait_for(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	assert_int_equal(loop_run(l), 0);
	loop_stop(l, 5); /* before the run: not lost */
	assert_int_equal(loop_run(l), 5);
	loop_free(&l);
	loop_free(&l);
}

/* ---- timers */

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	mono_ms due, fired;
	unsigned count;
	mono_ms again_ms; /* re-arms itself */
	bool stop;
};

static void on_alarm(void *arg, mono_ms now)
{
	struct alarm *a = arg;

	a->fired = now;
	a->count++;
	assert_true(a->timer.at == MONO_NEVER);
	if (a->again_ms)
		loop_timer_at(&a->timer, now + a->again_ms);
	if (a->stop)
		loop_stop(a->loop, 0);
}

static void alarm_init(struct alarm *a, struct loop *l, mono_ms in_ms)
{
	*a = (struct alarm){.loop = l, .due = loop_now_refresh(l) + in_ms};
	loop_timer_init(l, &a->timer, on_alarm, a);
	if (in_ms)
		loop_timer_at(&a->timer, a->due);
}

static void run_ms(struct loop *l, mono_ms ms)
{
	struct alarm end;

	alarm_init(&end, l, ms);
	end.stop = true;
	loop_run(l);
	loop_timer_clear(&end.timer);
}

static void test_timers(void **state)
{
	struct loop *l = loop_new();
	struct alarm quick, slow, off, repeat;

	(void)state;
	alarm_init(&quick, l, 10);
	alarm_init(&slow, l, 40);
	alarm_init(&off, l, 20);
	alarm_init(&repeat, l, 5);
	repeat.again_ms = 5;
	loop_timer_at(&off.timer, MONO_NEVER);
	run_ms(l, 70);
	assert_int_equal(quick.count, 1);
	assert_int_equal(slow.count, 1);
	assert_int_equal(off.count, 0);
	assert_in_range(repeat.count, 3, 14);
	assert_true(quick.fired >= quick.due && slow.fired >= slow.due && quick.fired < slow.fired);
	loop_timer_clear(&repeat.timer);
	loop_free(&l);
}

static void test_timer_moves(void **state)
{
	struct loop *l = loop_new();
	struct alarm later, sooner, past, cleared;
	mono_ms armed;

	(void)state;
	alarm_init(&later, l, 10);
	armed = later.timer.armed;
	loop_timer_at(&later.timer, later.due = loop_now(l) + 60);
	assert_true(later.timer.armed == armed); /* a move to later asks nothing of libevent */
	alarm_init(&sooner, l, 5000);
	loop_timer_at(&sooner.timer, sooner.due = loop_now(l) + 10);
	alarm_init(&past, l, 1);
	loop_timer_at(&past.timer, 0);
	alarm_init(&cleared, l, 10);
	loop_timer_clear(&cleared.timer);
	run_ms(l, 30);
	assert_int_equal(later.count, 0);
	assert_int_equal(sooner.count, 1);
	assert_int_equal(past.count, 1);
	run_ms(l, 60);
	assert_int_equal(later.count, 1);
	assert_true(later.fired >= later.due);
	assert_int_equal(cleared.count, 0);
	loop_timer_at(&cleared.timer, loop_now(l) + 1); /* can be used again */
	run_ms(l, 20);
	assert_int_equal(cleared.count, 1);
	loop_free(&l);
}

/* ten thousand sessions whose deadline moves with every command */
static void test_many_timers(void **state)
{
	enum { SESSIONS = 10000, COMMANDS = 200 };
	struct loop *l = loop_new();
	struct alarm *a = mem_array(SESSIONS, sizeof(*a));
	mono_ms start = clock_mono_ms(), took;

	(void)state;
	for (size_t i = 0; i < SESSIONS; i++)
		alarm_init(&a[i], l, 300000);
	for (unsigned k = 0; k < COMMANDS; k++)
		for (size_t i = 0; i < SESSIONS; i++)
			loop_timer_at(&a[i].timer, loop_now(l) + 300000 + k);
	took = clock_mono_ms() - start;
	assert_true(took < 2000); /* two million moves; some 20 ms when nothing is slow */
	for (size_t i = 0; i < SESSIONS; i++) {
		assert_int_equal(a[i].count, 0);
		loop_timer_clear(&a[i].timer);
	}
	free(a);
	loop_free(&l);
}

static void test_time_is_of_the_turn(void **state)
{
	struct loop *l = loop_new();
	mono_ms first = loop_now(l), real;

	(void)state;
	while ((real = clock_mono_ms()) < first + 5)
		;
	assert_true(loop_now(l) == first);
	assert_true(loop_now_refresh(l) >= real);
	run_ms(l, 5);
	assert_true(loop_now(l) >= real + 5);
	loop_free(&l);
}

/* ---- signals */

static void on_signal(void *arg, int signum)
{
	*(int *)arg += signum;
}

static void test_signals(void **state)
{
	struct loop *l = loop_new();
	struct loop_signal one, two;
	int got = 0;

	(void)state;
	loop_signal_add(l, &one, SIGUSR1, on_signal, &got);
	loop_signal_add(l, &two, SIGHUP, on_signal, &got);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(got, 0); /* not inside the handler */
	run_ms(l, 5);
	assert_int_equal(got, SIGUSR1);
	assert_int_equal(raise(SIGHUP), 0);
	run_ms(l, 5);
	assert_int_equal(got, SIGUSR1 + SIGHUP);
	assert_int_equal(raise(SIGPIPE), 0); /* ignored since loop_new */
	loop_signal_remove(&one);
	loop_signal_remove(&two);
	loop_signal_remove(&two);
	loop_free(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hook_order), cmocka_unit_test(test_hooks_change_hooks), cmocka_unit_test(test_soon),
		cmocka_unit_test(test_nothing_to_wait_for), cmocka_unit_test(test_timers), cmocka_unit_test(test_timer_moves),
		cmocka_unit_test(test_many_timers), cmocka_unit_test(test_time_is_of_the_turn), cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
