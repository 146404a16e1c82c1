/* rig - a small parent for the test: starts the real role programs, wires them as the real parent does, and can put more ends of channels into the
 * hands of the test, as if they belonged to another worker. */
#ifndef MAILROOM_TEST_WALLS_RIG_H
#define MAILROOM_TEST_WALLS_RIG_H

#include <sys/types.h>

#include "conf/conf.h"
#include "wire.h"

enum { RIG_STORE, RIG_KEYS, RIG_AUTH, RIG_MX, RIG_USER, RIG_ROLES };

struct rig_role {
	enum role_id id;
	uint32_t worker;
	pid_t pid;
	struct wire parent;
};

struct rig {
	const char *program;
	struct conf *conf;
	struct rig_role roles[RIG_ROLES];
	uint32_t next_worker;
	const char *trouble; /* set: something ended or was lost that must not */
	char words[160];
};

/* false: said why on standard error */
bool rig_start(struct rig *r, const char *program, const char *home);
/* a channel to one of the roles above, whose other end is ours: they are told that it belongs to role `self`, number `worker` */
bool rig_join(struct rig *r, int role, enum role_id self, uint32_t worker, struct wire *out);
/* looks whether all are alive and content; false: r->trouble */
bool rig_well(struct rig *r);
void rig_stop(struct rig *r);

#endif
