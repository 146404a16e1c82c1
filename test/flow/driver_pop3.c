#include "flow.h"

#include <stdlib.h>

#include "../unit/pop3/owner.c" /* the same owner as in the unit test: a mailbox of alice with three messages */
#include "base/mem.h"

static void *driver_start(const char *listener, struct flow_peer *peer_out)
{
	bool implicit = strcmp(listener, "pop3s") == 0;
	struct pop3_rules rules = owner_rules;
	struct owner *o;

	if (!implicit && strcmp(listener, "pop3") != 0)
		return NULL;
	rules.auth_cleartext = false;
	o = mem_zalloc(sizeof(*o));
	owner_begin(o, &rules);
	o->tls_waits = true;
	if (implicit)
		pop3_in_tls_done(o->p, o->now);
	owner_turn(o);
	*peer_out = (struct flow_peer){.out = &o->seen, .closed = &o->closed};
	return o;
}

static void driver_feed(void *session, struct span bytes)
{
	owner_send(session, bytes);
}

static void driver_tick(void *session, uint64_t later_ms)
{
	struct owner *o = session;

	o->now += later_ms;
	pop3_in_tick(o->p, o->now);
	owner_turn(o);
}

static bool driver_tls_done(void *session)
{
	bool wanted = owner_tls(session);

	owner_turn(session);
	return wanted;
}

static void driver_stop(void *session)
{
	owner_end(session);
	free(session);
}

const struct flow_driver flow_driver_pop3 = {
	.name = "pop3",
	.start = driver_start,
	.feed = driver_feed,
	.tick = driver_tick,
	.tls_done = driver_tls_done,
	.stop = driver_stop,
};
