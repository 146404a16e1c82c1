/* frames - for the ipc tests: messages with random fields within their limits, compared field by field, by the tables of messages.def. */
#ifndef MAILROOM_TEST_FRAMES_H
#define MAILROOM_TEST_FRAMES_H

#include "base/arena.h"
#include "ipc_messages.h"

struct chance {
	uint64_t state;
};
uint64_t chance_below(struct chance *c, uint64_t n); /* 0..n-1 */

/* spans live in mem; descriptors are `fds` in order. `full`: every span and list at its longest (lists at most at 300 records) */
void frame_fill(struct chance *c, enum msg_type type, bool full, const int *fds, struct arena *mem, union msg_any *out);
bool frame_same(enum msg_type type, const union msg_any *a, const union msg_any *b);

void test_round_trip(void **state);
void test_damaged(void **state);
void test_limits(void **state);
void test_lists(void **state);
void test_tables(void **state);
void test_chan_exchange(void **state);
void test_chan_every_message(void **state);
void test_chan_order_of_fds(void **state);
void test_chan_big(void **state);
void test_chan_call(void **state);
void test_chan_pause(void **state);
void test_chan_free_inside(void **state);
void test_chan_flood(void **state);
void test_bad_frames(void **state);
void test_bad_fds(void **state);
void test_split(void **state);
void test_bad_sends(void **state);
void test_wiped(void **state);

#endif
