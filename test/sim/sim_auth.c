/* A stand-in for the auth role: PLAIN only, every password is right, the login says which account. What it tells the store, and when, is as in the real one. */
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

enum { SIM_SIGNINS = 64 };

struct sim_signin {
	struct chan *user; /* NULL: free */
	uint64_t session;
	uint32_t ask, user_ask;
};

struct sim_auth {
	struct role *role;
	struct chan *store;
	struct sim_signin open[SIM_SIGNINS];
	uint32_t next_ask;
};

static void sim_auth_fail(struct sim_signin *s)
{
	chan_send(s->user, MSG_AUTH_FAIL, &(struct msg_auth_fail){.session = s->session, .ask = s->user_ask,
		.cause = (uint16_t)CAUSE_AUTH_TEMPORARILY_UNAVAILABLE});
	s->user = NULL;
}

static struct sim_signin *sim_auth_slot(struct sim_auth *a)
{
	for (size_t i = 0; i < SIM_SIGNINS; i++)
		if (!a->open[i].user)
			return &a->open[i];
	return NULL;
}

/* NUL login NUL password */
static uint64_t sim_auth_account(struct span initial)
{
	struct span rest = initial.len ? span_from(initial, 1) : initial, login = span_cut(&rest, '\0');

	for (unsigned i = 0; i < SIM_MAILBOXES; i++)
		if (span_eq(login, span_str(sim_mailboxes[i])))
			return i + 1;
	return 0;
}

static enum rc sim_auth_start(struct sim_auth *a, struct chan *c, const struct msg_auth_start *m)
{
	struct sim_signin *s = sim_auth_slot(a), none = {.user = c, .session = m->session, .user_ask = m->ask};
	uint64_t account = sim_auth_account(m->initial);

	if (!s || !account || !a->store) {
		sim_auth_fail(&none);
		return RC_OK;
	}
	*s = none;
	s->ask = ++a->next_ask;
	chan_send(a->store, MSG_GRANT, &(struct msg_grant){.ask = s->ask, .worker = chan_peer_worker(c), .session = m->session, .account = account});
	return RC_OK;
}

static enum rc sim_auth_granted(struct sim_auth *a, const struct msg_granted *m)
{
	for (size_t i = 0; i < SIM_SIGNINS; i++) {
		struct sim_signin *s = &a->open[i];

		if (!s->user || s->ask != m->ask)
			continue;
		if (m->cause != CAUSE_NONE) {
			sim_auth_fail(s);
			return RC_OK;
		}
		chan_send(s->user, MSG_AUTH_OK, &(struct msg_auth_ok){.session = s->session, .ask = s->user_ask, .account = 1, .address = m->address});
		s->user = NULL;
	}
	return RC_OK;
}

static enum rc sim_auth_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct sim_auth *a = owner;

	switch ((int)type) {
	case MSG_AUTH_START:
		return sim_auth_start(a, c, &msg->auth_start);
	case MSG_GRANTED:
		return sim_auth_granted(a, &msg->granted);
	case MSG_AUTH_CANCEL:
	case MSG_SESSION_END:
		return RC_OK; /* the worker tells the store */
	default:
		return RC_BAD;
	}
}

static void sim_auth_on_gone(void *owner, struct chan *c, const char *why)
{
	struct sim_auth *a = owner;

	(void)why;
	for (size_t i = 0; i < SIM_SIGNINS; i++) {
		if (c == a->store && a->open[i].user)
			sim_auth_fail(&a->open[i]);
		else if (a->open[i].user == c)
			a->open[i].user = NULL;
	}
	if (c == a->store)
		a->store = NULL;
	chan_free(&c);
}

static enum rc sim_auth_open(struct role *r, struct err *err)
{
	struct sim_auth *a = mem_zalloc(sizeof(*a));

	(void)err;
	a->role = r;
	r->own = a;
	return RC_OK;
}

static void sim_auth_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = sim_auth_on_frame, .on_gone = sim_auth_on_gone};
	struct sim_auth *a = r->own;
	struct chan *c = chan_new(r->loop, fd, ROLE_AUTH, peer, worker, &ops, a);

	if (peer != ROLE_STORE)
		return;
	if (a->store)
		sim_auth_on_gone(a, a->store, "replaced");
	a->store = c;
}

void sim_auth_kill(struct sim_proc *p)
{
	struct sim_auth *a = p->role.own;

	sim_chan_kill(p);
	free(a);
}

const struct role_ops sim_auth_ops = {.name = "auth", .open = sim_auth_open, .peer = sim_auth_peer};
