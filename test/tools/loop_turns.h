/* loop_turns - for tests: lets a loop go round a number of times, enough that what is under way between its two ends arrives. */
#ifndef MAILROOM_TEST_LOOP_TURNS_H
#define MAILROOM_TEST_LOOP_TURNS_H

#include "loop/loop.h"

struct loop_turns {
	struct loop *loop;
	struct loop_hook hook;
	unsigned left;
};

static inline void loop_turns_count(void *arg)
{
	struct loop_turns *t = arg;

	if (t->left-- == 0)
		loop_stop(t->loop, 0);
	else
		loop_soon(t->loop, &t->hook);
}

/* what loop_run returned: 0, unless somebody else stopped the loop */
static inline int loop_turns(struct loop *loop, unsigned turns)
{
	struct loop_turns t = {.loop = loop, .hook = {.fn = loop_turns_count, .arg = &t}, .left = turns};
	int status;

	loop_soon(loop, &t.hook);
	status = loop_run(loop);
	loop_hook_remove(loop, &t.hook);
	return status;
}

#endif
