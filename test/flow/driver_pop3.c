#include "flow.h"

#include <stdlib.h>

#include "../unit/pop3/owner.c" /* the same owner as in the unit test: a mailbox of alice with three messages */
#include "base/mem.h"

static void *driver_start(const char *listener)
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
	return o;
}

static void driver_feed(void *session, struct span bytes)
{
	owner_send(session, bytes);
}

static struct span driver_out(void *session)
{
	const struct owner *o = session;

	return buf_span(&o->seen);
}

static void driver_sent(void *session, size_t bytes)
{
	struct owner *o = session;

	buf_drop(&o->seen, bytes);
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

static bool driver_closed(void *session)
{
	const struct owner *o = session;

	return o->closed;
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
	.out = driver_out,
	.sent = driver_sent,
	.tick = driver_tick,
	.tls_done = driver_tls_done,
	.closed = driver_closed,
	.stop = driver_stop,
};
