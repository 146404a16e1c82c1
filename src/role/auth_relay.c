#include "role/auth_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "policy/policy.h"
#include "role/relay_address.h"
#include "store/cred_window.h"

enum { RELAY_ROW_BYTES = 8192, RELAY_SESSIONS_MAX = 65536, RELAY_TIDY_MS = 3600 * 1000 };

/* what one session was granted by its address */
struct relay {
	struct auth_peer *peer;
	uint64_t session;
	uint32_t ask;          /* the worker's question that waits for the store; 0: none */
	uint32_t grant_ask;
	enum policy_by by;
	uint16_t network;
	int64_t account;
	uint64_t generation;   /* of its credentials */
	int64_t until_ms;
	struct auth_watched *watched; /* of a window: a change of the account ends it */
};

/* ---- the address */

static bool relay_address_of(int fd, struct net_address *out)
{
	struct sockaddr_storage from = {0};
	socklen_t size = sizeof(from);
	char text[INET6_ADDRSTRLEN];
	const void *raw = &((const struct sockaddr_in *)&from)->sin_addr;

	if (getpeername(fd, (struct sockaddr *)&from, &size) != 0 || (from.ss_family != AF_INET && from.ss_family != AF_INET6))
		return false;
	if (from.ss_family == AF_INET6)
		raw = &((const struct sockaddr_in6 *)&from)->sin6_addr;
	return inet_ntop(from.ss_family, raw, text, sizeof(text)) && net_parse(span_str(text), out) == RC_OK;
}

/* Behind a balancer that the listener names, the worker's word counts: it has read the balancer's. RC_IO: the connection is gone already */
static enum rc relay_address(const struct conf_listener *l, const struct msg_relay_ask *m, struct net_address *out)
{
	struct net_address said, real;

	if (net_parse(m->peer, &said) != RC_OK)
		return RC_BAD;
	if (!relay_address_of(m->conn, &real))
		return RC_IO;
	if (!net_eq(&said, &real) && !net_list_has(&l->proxy_from, &real))
		return RC_BAD;
	*out = said;
	return RC_OK;
}

/* ---- the answer */

static void relay_answer(struct auth_peer *p, uint32_t ask, enum cause_id cause, const struct relay *r, enum policy_window window, int64_t window_ms, struct span address)
{
	struct msg_relay_is m = {.ask = ask, .cause = (uint16_t)cause, .by = r ? (uint8_t)r->by : POLICY_BY_NOTHING, .window = (uint8_t)window,
		.window_ms = (uint64_t)window_ms, .network = r ? r->network : 0, .account = r ? (uint64_t)r->account : 0, .address = address};

	chan_send(p->chan, MSG_RELAY_IS, &m);
}

static void relay_free(struct relay *r)
{
	struct auth *a = r->peer->auth;

	if (r->grant_ask)
		(void)map_take(&a->relay_asks, r->grant_ask);
	if (r->watched)
		auth_watch_leave(a->watch, r->watched);
	(void)map_take(&r->peer->relays, r->session);
	free(r);
}

void auth_relay_end(struct auth_peer *p, uint64_t session)
{
	struct relay *r = map_get(&p->relays, session);

	if (!r)
		return;
	relay_free(r);
	if (p->auth->store)
		chan_send(p->auth->store, MSG_UNGRANT, &(struct msg_ungrant){.worker = p->worker, .session = session});
}

void auth_relay_peer_gone(struct auth_peer *p)
{
	uint64_t session;
	void *value;

	for (size_t at = 0; map_next(&p->relays, &at, &session, &value);)
		auth_relay_end(p, session);
}

/* ---- asking the store */

static void relay_grant(struct auth_peer *p, const struct msg_relay_ask *m, struct relay *r)
{
	struct auth *a = p->auth;
	struct msg_grant grant = {.worker = p->worker, .session = m->session, .account = (uint64_t)r->account, .by = (uint8_t)r->by, .network = r->network,
		.generation = r->generation};

	do {
		grant.ask = ++a->next_ask;
	} while (grant.ask == 0 || map_get(&a->relay_asks, grant.ask) || map_get(&a->asks, grant.ask));
	r->grant_ask = grant.ask;
	r->ask = m->ask;
	(void)map_put(&a->relay_asks, grant.ask, r);
	chan_send(a->store, MSG_GRANT, &grant);
}

static void relay_log(const struct relay *r, struct span address, struct span peer)
{
	char ref[14];

	if (!log_begin(LOG_LEVEL_INFO, "relay"))
		return;
	log_str("by", policy_by_name(r->by));
	log_span("account", address);
	log_span("peer", peer);
	log_str("session", num_base32(r->session, 8, ref));
	log_end();
}

/* What the address gives now, compared with what the session has: granted anew only where that changed. */
static void relay_settle(struct auth_peer *p, const struct msg_relay_ask *m, const struct relay_address *given)
{
	struct relay *r = map_get(&p->relays, m->session);

	if (r && r->by == given->by && r->account == given->row.account && r->network == given->network && !r->grant_ask) {
		relay_answer(p, m->ask, CAUSE_NONE, r, given->window, given->window_ms, given->row.address);
		return;
	}
	auth_relay_end(p, m->session);
	if (given->by == POLICY_BY_NOTHING || map_get(&p->grants, m->session)) { /* signed in: that counts */
		relay_answer(p, m->ask, CAUSE_NONE, NULL, given->window, given->window_ms, SPAN_NONE);
		return;
	}
	if (!p->auth->store || p->relays.count >= RELAY_SESSIONS_MAX) {
		relay_answer(p, m->ask, p->auth->store ? CAUSE_SERVER_OVERLOADED : CAUSE_SERVER_TEMP_ERROR, NULL, given->window, 0, SPAN_NONE);
		return;
	}
	r = mem_zalloc(sizeof(*r));
	*r = (struct relay){.peer = p, .session = m->session, .by = given->by, .network = given->network, .account = given->row.account, .generation = given->row.generation, .until_ms = given->window_ms};
	if (given->by == POLICY_BY_WINDOW)
		r->watched = auth_watch_enter(p->auth->watch, &given->row);
	(void)map_put(&p->relays, m->session, r);
	relay_log(r, given->row.address, m->peer);
	relay_grant(p, m, r);
}

bool auth_relay_granted(struct auth *a, const struct msg_granted *m)
{
	struct relay *r = map_take(&a->relay_asks, m->ask);
	struct auth_peer *p;
	uint32_t ask;

	if (!r)
		return false;
	p = r->peer;
	ask = r->ask;
	r->grant_ask = 0;
	if (m->cause == CAUSE_NONE) {
		relay_answer(p, ask, CAUSE_NONE, r, r->by == POLICY_BY_WINDOW ? POLICY_WINDOW_OPEN : POLICY_WINDOW_OFF, r->until_ms, m->address);
	} else {
		relay_free(r);
		relay_answer(p, ask, m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR, NULL, POLICY_WINDOW_OFF, 0, SPAN_NONE);
	}
	return true;
}

void auth_relay_store_gone(struct auth *a)
{
	uint64_t session;
	void *value;

	for (struct auth_peer *p = a->peers; p; p = p->next)
		for (size_t at = 0; map_next(&p->relays, &at, &session, &value);) {
			struct relay *r = value;

			if (r->grant_ask)
				relay_answer(p, r->ask, CAUSE_SERVER_TEMP_ERROR, NULL, POLICY_WINDOW_OFF, 0, SPAN_NONE);
			relay_free(r); /* the new store knows nothing of it */
		}
}

/* ---- questions */

enum rc auth_relay_ask(struct auth_peer *p, const struct msg_relay_ask *m)
{
	struct auth *a = p->auth;
	const struct conf *conf = a->role->conf;
	const struct conf_listener *l = m->listener < conf->listener_count ? &conf->listeners[m->listener] : NULL;
	struct relay_address given = {.by = POLICY_BY_NOTHING};
	struct net_address address;
	struct err err = {""};
	struct arena mem;
	enum rc rc = l ? relay_address(l, m, &address) : RC_BAD;

	(void)close(m->conn);
	if (rc == RC_BAD)
		return RC_BAD;
	arena_init(&mem, RELAY_ROW_BYTES);
	if (rc == RC_OK) {
		rc = relay_address_look(conf, l, a->cred, &address, clock_wall_ms(), &mem, &given, &err);
		if (rc != RC_OK)
			log_msg(LOG_LEVEL_ERROR, "credentials-unreadable", "%s", err.words);
	} else {
		rc = RC_OK; /* the connection has gone: nothing is given, and nobody will hear it */
	}
	if (rc == RC_OK)
		relay_settle(p, m, &given);
	else
		relay_answer(p, m->ask, CAUSE_SERVER_TEMP_ERROR, NULL, given.window, 0, SPAN_NONE);
	arena_clear(&mem);
	return RC_OK;
}

/* ---- windows come and go */

void auth_relay_signed_in(struct auth *a, unsigned listener, struct span peer, const struct cred_row *row, struct span service)
{
	const struct conf *conf = a->role->conf;
	struct net_address address;
	struct err err = {""};
	struct buf name;
	bool opened = false;
	enum rc rc;

	if (listener >= conf->listener_count || conf->listeners[listener].kind != CONF_POP3 || !conf->listeners[listener].relay_window ||
		net_parse(peer, &address) != RC_OK || !relay_address_may(conf, &address))
		return;
	buf_init(&name, 64);
	relay_address_name(conf, &address, &name);
	rc = cred_window_open(a->cred, buf_span(&name), row, service, clock_wall_ms(), (int64_t)conf->relay_window_ms, &opened, &err);
	if (rc == RC_OK)
		auth_history_window(a->history, opened, buf_span(&name), row->address, service);
	if (rc != RC_OK)
		log_msg(LOG_LEVEL_WARN, "relay-window-failed", "%s", err.words);
	else if (log_begin(LOG_LEVEL_INFO, "relay-window")) {
		log_span("peer", buf_span(&name));
		log_span("account", row->address);
		log_str("state", opened ? "open" : "shared");
		log_end();
	}
	buf_clear(&name);
}

void auth_relay_look(struct auth *a, mono_ms now)
{
	struct err err = {""};
	int64_t wall = clock_wall_ms();
	bool on = false;
	enum rc rc;

	for (size_t i = 0; i < a->role->conf->listener_count; i++)
		on |= a->role->conf->listeners[i].relay_window;
	if (!on)
		return;
	rc = cred_window_settle(a->cred, wall, &err);
	if (rc == RC_OK && now >= a->relay_tidy_at) {
		a->relay_tidy_at = now + RELAY_TIDY_MS;
		rc = cred_window_tidy(a->cred, wall, &err);
	}
	if (rc != RC_OK)
		log_msg(LOG_LEVEL_ERROR, "relay-window-failed", "%s", err.words);
}
