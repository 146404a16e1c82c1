/* The relay role - mail that leaves: rows of the queue come as leases from the store, and what became of them goes back. Wiring: channels, frames, drain. It has
 * no files; names come from dns, passwords from keys, policies of MTA-STS through fetch. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/relay.h"
#include "role/relay_sign.h"
#include "role/tls_memory.h"

enum {
	RELAY_FDS_SPARE = 256,
	RELAY_GRACE_MS = 5000,       /* a drain at once: for answers to the end of messages */
	RELAY_TOTAL_MS = 1800000,    /* all answers of one message together; its size counts extra */
	RELAY_BODY_RATE = 500,       /* bytes a second that a message has to keep up on the whole */
};

uint32_t relay_ask(struct relay *r)
{
	do
		r->next_ask++;
	while (r->next_ask == 0 || map_get(&r->asks, r->next_ask));
	return r->next_ask;
}

/* ---- frames */

static enum rc relay_on_store(struct relay *r, enum msg_type type, const union msg_any *msg)
{
	switch ((int)type) {
	case MSG_LEASE:
		return relay_job_new(r, &msg->lease);
	case MSG_TEXT_IS:
		return relay_text_on_text(r, &msg->text_is);
	case MSG_DELIVERIES_KEPT:
		return relay_report_kept(r, msg->deliveries_kept.frames);
	case MSG_STS_IS:
		return relay_tls_on_sts(r->tls, &msg->sts_is);
	default:
		return RC_BAD;
	}
}

static enum rc relay_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct relay *r = owner;

	if (chan_peer(c) == ROLE_STORE)
		return relay_on_store(r, type, msg);
	switch ((int)type) {
	case MSG_SECRET:
		return relay_auth_on_secret(r, &msg->secret);
	case MSG_DKIM_KEYS:
		return relay_sign_on_keys(r->signer, &msg->dkim_keys);
	case MSG_DKIM_SIGNED:
		return relay_sign_on_signed(r->signer, &msg->dkim_signed);
	default:
		return RC_BAD;
	}
}

static void relay_on_gone(void *owner, struct chan *c, const char *why)
{
	struct relay *r = owner;

	log_msg(LOG_LEVEL_WARN, "role-lost", "%s: %s", role_name(chan_peer(c)), why);
	role_lost(r->role, c);
	if (c == r->store) {
		chan_free(&r->store);
		relay_tls_store(r->tls, NULL);
	} else if (c == r->keys) {
		chan_free(&r->keys);
	} else {
		chan_free(&c);
	}
}

static void relay_say_room(struct relay *r)
{
	if (r->store)
		chan_send(r->store, MSG_RELAY_ROOM, &(struct msg_relay_room){.rows = r->draining ? 0 : LIMIT_RELAY_ROWS});
	loop_timer_at(&r->room, clock_mono_ms() + RELAY_ROOM_MS);
}

static void relay_on_room(void *arg, mono_ms now)
{
	(void)now;
	relay_say_room(arg);
}

static void relay_peer(struct role *role, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = relay_on_frame, .on_gone = relay_on_gone};
	struct relay *r = role->own;
	struct chan **place = peer == ROLE_STORE ? &r->store : peer == ROLE_KEYS ? &r->keys : NULL;

	if (peer == ROLE_DNS)
		names_peer(r->names, worker, fd);
	else if (peer == ROLE_FETCH)
		relay_tls_fetch_peer(r->tls, worker, fd);
	else if (!place)
		(void)close(fd);
	if (!place)
		return;
	if (*place) /* the new one is there before the old one's end was seen */
		relay_on_gone(r, *place, "replaced");
	*place = chan_new(role->loop, fd, ROLE_RELAY, peer, worker, &ops, r);
	if (peer == ROLE_KEYS) {
		relay_auth_keys(r);
		relay_signer_keys(r->signer);
		return;
	}
	relay_tls_store(r->tls, r->store);
	relay_report_store(r);
	relay_texts_again(r);
	relay_say_room(r);
}

/* ---- who we are: mail that leads back here would go in circles */

static bool relay_self_address(const struct sockaddr *from, struct net_address *out)
{
	*out = (struct net_address){.raw = {[10] = 0xff, [11] = 0xff}};
	if (from && from->sa_family == AF_INET)
		memcpy(out->raw + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	else if (from && from->sa_family == AF_INET6)
		memcpy(out->raw, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
	else
		return false;
	return true;
}

static void relay_self_interfaces(struct relay_self *self)
{
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *a = all; a; a = a->ifa_next)
		n++;
	self->addresses = mem_array(n + 1, sizeof(*self->addresses));
	for (struct ifaddrs *a = all; a; a = a->ifa_next)
		self->address_count += relay_self_address(a->ifa_addr, &self->addresses[self->address_count]);
	freeifaddrs(all);
}

static void relay_self_init(struct relay_self *self, const struct conf *c)
{
	self->names[self->name_count++] = c->delivery_hostname;
	self->names[self->name_count++] = c->hostname;
	relay_self_interfaces(self);
	self->listening = mem_array(c->listener_count, sizeof(*self->listening));
	for (size_t i = 0; i < c->listener_count; i++) {
		struct relay_listening *l = &self->listening[self->listening_count];
		const char *address = c->listeners[i].address;

		*l = (struct relay_listening){.port = c->listeners[i].port, .any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0};
		self->listening_count += c->listeners[i].kind != CONF_POP3 && (l->any || net_parse(span_str(address), &l->ip) == RC_OK);
	}
}

/* ---- birth, drain, end */

static void relay_smtp_rules(const struct conf *c, struct smtp_out_rules *out)
{
	*out = (struct smtp_out_rules){.helo = c->delivery_hostname, .connect_to_greeting_ms = c->delivery_greeting_ms, .command_ms = c->delivery_command_ms,
		.mail_ms = c->delivery_command_ms, .rcpt_ms = c->delivery_command_ms, .data_ms = c->delivery_data_ms, .body_chunk_ms = c->delivery_chunk_ms,
		.end_of_data_ms = c->delivery_end_ms, .quit_ms = RELAY_LINGER_MS, .total_ms = RELAY_TOTAL_MS, .body_rate_floor = RELAY_BODY_RATE};
}

static void relay_on_grace(void *arg, mono_ms now);
static void relay_on_done(void *arg);

static void relay_names_lost(void *arg, const struct chan *c)
{
	role_lost(arg, c);
}

static enum rc relay_open(struct role *role, struct err *err)
{
	struct relay *r = mem_zalloc(sizeof(*r));
	const struct conf *c = role->conf;
	enum rc rc = tls_memory_wipe(err);

	*r = (struct relay){.role = role, .loop = role->loop, .conf = c, .hungry_tail = &r->hungry, .text_waiting_tail = &r->text_waiting};
	role->own = r;
	map_init(&r->domains);
	map_init(&r->dests);
	map_init(&r->texts);
	map_init(&r->asks);
	map_init(&r->secrets);
	relay_self_init(&r->self, c);
	relay_smtp_rules(c, &r->smtp);
	r->names = names_new(role->loop, ROLE_RELAY);
	names_on_lost(r->names, relay_names_lost, role);
	r->report = relay_report_new(r);
	r->signer = relay_signer_new(r);
	r->gone = (struct loop_hook){.fn = relay_on_done, .arg = r, .once = true};
	loop_timer_init(role->loop, &r->room, relay_on_room, r);
	loop_timer_init(role->loop, &r->grace, relay_on_grace, r);
	if (rc == RC_OK)
		rc = relay_auth_open(err);
	if (rc != RC_OK)
		return rc;
	return relay_tls_new(role, r->names, &(struct relay_tls_rules){.ca_file = c->delivery_ca_file, .dane = c->delivery_dane, .sts = c->delivery_mta_sts},
		&r->tls, err);
}

static void relay_plan_port(struct sandbox_plan *plan, uint16_t port)
{
	for (size_t i = 0; i < plan->connect_port_count; i++)
		if (plan->connect_ports[i] == port)
			return;
	if (plan->connect_port_count < SANDBOX_CONNECT_PORTS)
		plan->connect_ports[plan->connect_port_count++] = port;
}

static void relay_plan(struct role *role, struct sandbox_plan *plan)
{
	const struct conf *c = role->conf;
	struct rlimit now;

	plan->fd_max = c->delivery_connections_max + RELAY_FDS_SPARE;
	if (getrlimit(RLIMIT_NOFILE, &now) == 0 && plan->fd_max > now.rlim_max)
		plan->fd_max = now.rlim_max;
	relay_plan_port(plan, c->delivery_port);
	for (size_t i = 0; i < c->smarthost_count; i++)
		relay_plan_port(plan, c->smarthosts[i].port);
	for (size_t i = 0; i < c->route_count; i++)
		for (size_t k = 0; k < c->routes[i].hop_count; k++)
			relay_plan_port(plan, c->routes[i].hops[k].port);
}

/* the end may come within a call of what would be freed by it */
void relay_maybe_done(struct relay *r)
{
	if (r->draining)
		loop_hook_add(r->loop, LOOP_FLUSH, &r->gone);
}

static void relay_on_done(void *arg)
{
	struct relay *r = arg;

	if (r->conn_count || r->row_count || !relay_report_told(r))
		return;
	loop_timer_at(&r->grace, MONO_NEVER);
	role_done(r->role);
}

static void relay_on_grace(void *arg, mono_ms now)
{
	struct relay *r = arg;

	(void)now;
	while (r->conns)
		relay_conn_close(r->conns);
	if (r->store)
		chan_flush(r->store);
	role_done(r->role);
}

static void relay_drain(struct role *role, bool now)
{
	struct relay *r = role->own;

	r->draining = true;
	r->drain_now |= now;
	relay_say_room(r);
	loop_timer_at(&r->room, MONO_NEVER);
	relay_jobs_drain(r);
	relay_conns_drain(r, now);
	if (now)
		loop_timer_at(&r->grace, clock_mono_ms() + RELAY_GRACE_MS);
	relay_maybe_done(r);
}

const struct role_ops role_relay_ops = {.name = "relay", .open = relay_open, .plan = relay_plan, .peer = relay_peer, .drain = relay_drain};
