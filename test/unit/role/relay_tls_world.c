#include "relay_tls_world.h"

#include <stdio.h>
#include <sys/socket.h>

#include "loop_turns.h"

static enum rc store_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct world *w = owner;

	if (type == MSG_STS_GET) {
		w->gets++;
		if (!w->store_silent)
			chan_send(c, MSG_STS_IS, &(struct msg_sts_is){.ask = msg->sts_get.ask, .found = w->store_has, .fetched_ms = w->store_fetched_ms,
				.id = span_str(w->store_id), .text = span_str(w->store_text)});
		return RC_OK;
	}
	if (type != MSG_STS_PUT)
		return RC_BAD;
	w->puts++;
	(void)snprintf(w->put_domain, sizeof(w->put_domain), "%.*s", SPAN_FMT(msg->sts_put.domain));
	(void)snprintf(w->put_id, sizeof(w->put_id), "%.*s", SPAN_FMT(msg->sts_put.id));
	(void)snprintf(w->put_text, sizeof(w->put_text), "%.*s", SPAN_FMT(msg->sts_put.text));
	return RC_OK;
}

void world_fetch_answer(struct world *w)
{
	chan_send(w->fetch_end, MSG_FETCH_IS, &(struct msg_fetch_is){.ask = w->fetch_ask, .status = w->status, .body = span_str(w->body), .words = span_str(w->words)});
}

static enum rc fetch_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct world *w = owner;

	(void)c;
	if (type != MSG_FETCH_ASK)
		return RC_BAD;
	w->fetches++;
	w->fetch_ask = msg->fetch_ask.ask;
	(void)snprintf(w->host, sizeof(w->host), "%.*s", SPAN_FMT(msg->fetch_ask.host));
	(void)snprintf(w->path, sizeof(w->path), "%.*s", SPAN_FMT(msg->fetch_ask.path));
	if (!w->fetch_silent)
		world_fetch_answer(w);
	return RC_OK;
}

static enum rc relay_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct world *w = owner;

	(void)c;
	if (type != MSG_STS_IS)
		return RC_BAD;
	return w->direct ? relay_sts_on_store(w->direct, &msg->sts_is) : relay_tls_on_sts(w->tls, &msg->sts_is);
}

static void gone(void *owner, struct chan *c, const char *why)
{
	(void)owner, (void)c, (void)why;
}

static const struct chan_ops store_ops = {store_frame, gone}, fetch_ops = {fetch_frame, gone}, relay_ops = {relay_frame, gone};

static void on_turn(void *arg)
{
	struct world *w = arg;

	if (w->ready >= w->until)
		loop_stop(w->loop, 0);
}

static void on_limit(void *arg, mono_ms now)
{
	struct world *w = arg;

	(void)now;
	loop_stop(w->loop, 1);
}

void world_run(struct world *w, unsigned ready)
{
	w->until = ready;
	chan_flush(w->store_end);
	if (w->fetch_end)
		chan_flush(w->fetch_end);
	loop_timer_at(&w->limit, loop_now_refresh(w->loop) + 10000);
	loop_hook_add(w->loop, LOOP_LOG, &w->stopper);
	assert_int_equal(loop_run(w->loop), 0);
	loop_hook_remove(w->loop, &w->stopper);
	loop_timer_at(&w->limit, MONO_NEVER);
}

void world_turns(struct world *w, unsigned turns)
{
	assert_int_equal(loop_turns(w->loop, turns), 0);
}

void world_dest_ready(void *arg, struct relay_tls_dest *d)
{
	assert_non_null(d);
	((struct world *)arg)->ready++;
}

void world_host_ready(void *arg, struct relay_tls_host *h)
{
	assert_non_null(h);
	((struct world *)arg)->ready++;
}

void world_fetch_dies(struct world *w)
{
	chan_free(&w->fetch_end);
}

void world_fetch_peer(struct world *w)
{
	int fds[2];

	chan_free(&w->fetch_end);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->fetch_end = chan_new(w->loop, fds[0], ROLE_FETCH, ROLE_RELAY, 1, &fetch_ops, w);
	relay_tls_fetch_peer(w->tls, 2, fds[1]);
}

void world_open(struct world *w, const char *ca_file, bool dane, bool sts)
{
	struct relay_tls_rules rules = {.ca_file = ca_file, .dane = dane, .sts = sts};
	struct err err = {""};
	int fds[2];

	*w = (struct world){.loop = loop_new(), .status = 200, .body = "", .words = "", .store_id = "", .store_text = ""};
	w->role = (struct role){.id = ROLE_RELAY, .worker = 7, .loop = w->loop};
	w->stopper = (struct loop_hook){.fn = on_turn, .arg = w};
	loop_timer_init(w->loop, &w->limit, on_limit, w);
	names_stub_clear();
	w->names = names_new(w->loop, ROLE_RELAY);
	if (relay_tls_new(&w->role, w->names, &rules, &w->tls, &err) != RC_OK)
		fail_msg("%s", err.words);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w->store_end = chan_new(w->loop, fds[0], ROLE_STORE, ROLE_RELAY, 7, &store_ops, w);
	w->store = chan_new(w->loop, fds[1], ROLE_RELAY, ROLE_STORE, 1, &relay_ops, w);
	relay_tls_store(w->tls, w->store);
	world_fetch_peer(w);
}

void world_close(struct world *w)
{
	relay_tls_free(&w->tls);
	names_free(&w->names);
	chan_free(&w->store);
	chan_free(&w->store_end);
	chan_free(&w->fetch_end);
	loop_timer_clear(&w->limit);
	loop_free(&w->loop);
	names_stub_clear();
}
