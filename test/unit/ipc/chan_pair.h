/* chan_pair - for the channel tests: two channels over a socket pair, or one and a bare descriptor; owners that record what comes. */
#ifndef MAILROOM_TEST_CHAN_PAIR_H
#define MAILROOM_TEST_CHAN_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ipc/chan.h"

struct side {
	struct loop *loop;
	struct chan *chan;
	/* what it does */
	const union msg_any *expect;
	bool check_numbers, refuse, free_in_frame, free_in_gone;
	/* what it saw */
	unsigned frames, gone, same, fds, wrong_numbers;
	enum msg_type last_type;
	union msg_any last;
	char why[200];
};

struct pair {
	struct loop *loop;
	struct side a, b;
	int fd; /* bare other end; -1: none */
	/* when to stop */
	const struct side *watch;
	unsigned until_frames, until_gone, turns_left;
	struct loop_hook hook;
	struct loop_timer limit;
	bool late;
};

void pair_open(struct pair *p, enum role_id a, enum role_id b);
/* only side a, of role self, which takes fd for a peer of that role */
void pair_open_half(struct pair *p, enum role_id self, enum role_id peer);
void pair_close(struct pair *p);
void pair_run(struct pair *p, unsigned frames); /* until side b has had so many */
void pair_run_for(struct pair *p, const struct side *s, unsigned frames);
void pair_run_until_gone(struct pair *p, const struct side *s);
void pair_turns(struct pair *p, unsigned turns);

int count_open_fds(void);
/* a memory file of that size */
int numbered_file(uint32_t n);

#endif
