/* forge - random frames from the tables of messages.def: well formed, near the limits, or broken in a chosen way. */
#ifndef MAILROOM_TEST_WALLS_FORGE_H
#define MAILROOM_TEST_WALLS_FORGE_H

#include "wire.h"

enum { FORGE_SESSIONS = 64 };

struct forge {
	uint64_t state;                    /* of the generator: the seed says everything */
	uint64_t sessions[FORGE_SESSIONS]; /* numbers that some worker uses or used */
	size_t session_count;
	struct buf memory;                 /* holds spans of the frame at hand */
	int junk[4];                       /* descriptors of the wrong kind: a socket, a directory, /dev/zero, a pipe */
};

void forge_init(struct forge *f, uint64_t seed);
void forge_clear(struct forge *f);
uint64_t forge_u64(struct forge *f);
uint32_t forge_below(struct forge *f, uint32_t n);
void forge_know_session(struct forge *f, uint64_t session);
uint64_t forge_session(struct forge *f);
/* an account as an outsider may guess it: names, numbers, credentials right and wrong */
struct span forge_text(struct forge *f, uint32_t max);
/* fills every field of a message of that type at random, within its limits; huge: lists and spans as long as they may be */
void forge_message(struct forge *f, enum msg_type type, bool huge, union msg_any *out);
/* a message that `self` may send to `peer`; MSG_NONE: there is none */
enum msg_type forge_type(struct forge *f, enum role_id self, enum role_id peer, bool allowed);

#endif
