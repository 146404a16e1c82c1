/* relay_conn - a connection to another server: which address, whether and with what TLS it may be used, connecting, and what happens when it ends. What is
 * said on it is relay_talk's. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "role/relay.h"

static const struct stream_ops relay_stream_ops;

/* ---- states, and who counts them */

static void relay_conn_count(struct relay_conn *c, int by)
{
	struct relay_dest *d = c->dest;

	if (c->state < RELAY_CONN_QUIT)
		d->conn_count += (uint32_t)by;
	if (c->state < RELAY_CONN_READY)
		d->opening += (uint32_t)by;
	if (c->state == RELAY_CONN_READY) {
		d->idle += (uint32_t)by;
		c->relay->idle_count += (uint32_t)by;
	}
}

static void relay_conn_proved(struct relay_conn *c)
{
	if (c->probe)
		c->relay->probe_count--;
	c->probe = false;
}

void relay_conn_set_state(struct relay_conn *c, enum relay_conn_state state)
{
	relay_conn_count(c, -1);
	c->state = state;
	relay_conn_count(c, 1);
	if (state == RELAY_CONN_READY)
		relay_conn_proved(c);
}

static void relay_conn_deadline(struct relay_conn *c, uint64_t ms)
{
	c->deadline = ms ? loop_now(c->relay->loop) + ms : MONO_NEVER;
	loop_timer_at(&c->timer, c->deadline);
}

/* ---- the end */

static void relay_conn_release(void *arg)
{
	struct relay_conn *c = arg;

	loop_timer_clear(&c->timer);
	free(c);
}

static void relay_conn_teardown(struct relay_conn *c)
{
	stream_free(&c->stream);
	smtp_out_free(c->smtp);
	c->smtp = NULL;
	relay_auth_free(&c->auth);
	loop_timer_at(&c->timer, MONO_NEVER);
	c->deadline = MONO_NEVER;
}

void relay_conn_close(struct relay_conn *c)
{
	struct relay *r = c->relay;

	if (c->state == RELAY_CONN_OVER)
		return;
	relay_job_dropped(c);
	relay_conn_teardown(c);
	relay_conn_proved(c);
	relay_conn_set_state(c, RELAY_CONN_OVER);
	*c->prev_all = c->next_all;
	if (c->next_all)
		c->next_all->prev_all = c->prev_all;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	relay_hosts_put(&c->hosts);
	r->conn_count--;
	loop_hook_add(r->loop, LOOP_FLUSH, &c->soon); /* whoever is on the stack may still look at it */
	if (c->dest->jobs)
		relay_dest_wake(c->dest);
	relay_dest_hungry(r);
	relay_maybe_done(r);
}

void relay_conn_quit(struct relay_conn *c)
{
	relay_conn_set_state(c, RELAY_CONN_QUIT);
	relay_conn_deadline(c, RELAY_LINGER_MS);
	smtp_out_quit(c->smtp, loop_now(c->relay->loop));
	relay_conn_step(c);
}

bool relay_conn_drop_idle(struct relay *r)
{
	struct relay_conn *oldest = NULL;

	for (struct relay_conn *c = r->conns; c; c = c->next_all)
		if (c->state == RELAY_CONN_READY && !c->inside && (!oldest || c->deadline < oldest->deadline))
			oldest = c;
	if (!oldest)
		return false;
	relay_conn_close(oldest);
	return true;
}

void relay_conns_drain(struct relay *r, bool now)
{
	for (struct relay_conn *c = r->conns, *next; c; c = next) {
		next = c->next_all;
		if (c->state == RELAY_CONN_READY && !c->inside)
			relay_conn_quit(c); /* RELAY_GRACE_MS is for these, too: who says nothing leaves a complaint in the other server's log */
		else if (c->state != RELAY_CONN_BUSY && c->state != RELAY_CONN_QUIT)
			relay_conn_close(c);
		else if (now && !(c->state == RELAY_CONN_BUSY && c->t.ended)) /* the answer to the end of a message is waited for */
			relay_conn_close(c);
	}
}

void relay_conns_free(struct relay *r)
{
	while (r->conns) {
		struct relay_conn *c = r->conns;

		relay_conn_close(c);
		loop_hook_remove(r->loop, &c->soon);
		relay_conn_release(c);
	}
}

/* ---- addresses, one after the other */

static void relay_conn_next_address(struct relay_conn *c);

struct span relay_conn_host(const struct relay_conn *c)
{
	return c->at < 0 ? SPAN_NONE : span_str(c->hosts->host[c->hosts->at[c->at].host].name);
}

static void relay_conn_name_address(struct relay_conn *c)
{
	const struct relay_address *a = &c->hosts->at[c->at];
	bool brackets = !net_is_v4(&a->ip) && a->port != 25;
	struct buf text;

	buf_init(&text, sizeof(c->address) - 1);
	buf_add_str(&text, brackets ? "[" : "");
	net_write(&text, &a->ip);
	buf_add_str(&text, brackets ? "]" : "");
	if (a->port != 25)
		buf_printf(&text, ":%u", a->port);
	relay_copy(c->address, sizeof(c->address), buf_span(&text));
	buf_clear(&text);
}

static void relay_conn_why(struct relay_conn *c, enum cause_id cause, struct span words)
{
	struct relay_failure *why = &c->why;

	*why = (struct relay_failure){.outcome = DELIVERY_LATER, .cause = cause, .sure = 90, .pace = PACE_TROUBLE};
	relay_copy(why->host, sizeof(why->host), relay_conn_host(c));
	relay_copy(why->address, sizeof(why->address), span_str(c->address));
	relay_copy(why->words, sizeof(why->words), words);
}

/* this address is of no use: the next one. What is kept to be told is the last failure, but that one of them said "later" is never forgotten */
static void relay_conn_address_failed(struct relay_conn *c, const struct relay_failure *before)
{
	if (before->cause != CAUSE_NONE && before->outcome == DELIVERY_LATER && c->why.outcome == DELIVERY_REFUSED)
		c->why = *before;
	c->hosts->at[c->at].failed_ms = loop_now(c->relay->loop);
	relay_conn_teardown(c);
	relay_conn_next_address(c);
}

/* is one of those that were left out well? Then it was left out for one message, and takes others */
static bool relay_conn_left_out_well(const struct relay_conn *c)
{
	mono_ms now = loop_now(c->relay->loop);

	for (size_t i = 0; i < c->hosts->count; i++)
		if (c->left_out & 1U << i && !relay_route_failed(&c->hosts->at[i], now))
			return true;
	return false;
}

static void relay_conn_give_up(struct relay_conn *c)
{
	struct relay_failure why = c->why;
	struct relay_dest *d = c->dest;
	const struct relay_hosts *hosts = c->hosts; /* only compared */
	const uint32_t all = (uint32_t)((1ULL << c->hosts->count) - 1), came_to_nothing = c->tried & ~c->left_out;
	bool well = relay_conn_left_out_well(c);

	relay_conn_close(c);
	if (why.cause != CAUSE_NONE && well)
		relay_dest_rest_failed(d, hosts, all & ~came_to_nothing, &why);
	else if (why.cause != CAUSE_NONE)
		relay_dest_unreachable(d, &why);
}

void relay_conn_failed(struct relay_conn *c)
{
	if (c->state >= RELAY_CONN_READY)
		relay_conn_close(c);
	else
		relay_conn_give_up(c);
}

void relay_conn_try_next(struct relay_conn *c, const struct relay_failure *before)
{
	relay_conn_address_failed(c, before);
}

/* ---- connecting */

static socklen_t relay_sockaddr(const struct net_address *ip, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (net_is_v4(ip)) {
		memcpy(&v4.sin_addr, ip->raw + 12, 4);
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, ip->raw, 16);
	memcpy(out, &v6, sizeof(v6));
	return sizeof(v6);
}

static void relay_conn_connect(struct relay_conn *c)
{
	struct relay_address *a = &c->hosts->at[c->at];
	const struct conf *conf = c->relay->conf;
	const char *source = net_is_v4(&a->ip) ? conf->delivery_ipv4_source : conf->delivery_ipv6_source, *words = "";
	struct sockaddr_storage to = {0}, from = {0};
	socklen_t to_len = relay_sockaddr(&a->ip, a->port, &to), from_len = 0;
	enum cause_id cause = relay_tls_host_cause(a->tls, &words);
	struct relay_failure before = c->why;
	struct net_address own;
	struct err err = {""};

	if (cause != CAUSE_NONE) {
		relay_conn_why(c, cause, span_str(words));
		relay_conn_address_failed(c, &before);
		return;
	}
	if (source[0] && net_parse(span_str(source), &own) == RC_OK)
		from_len = relay_sockaddr(&own, 0, &from);
	relay_conn_set_state(c, RELAY_CONN_CONNECT);
	if (stream_connect(c->relay->loop, (const struct sockaddr *)&to, to_len, from_len ? (const struct sockaddr *)&from : NULL, from_len, &relay_stream_ops, c,
			&c->stream, &err) != RC_OK) {
		relay_conn_why(c, CAUSE_REMOTE_UNREACHABLE, span_str(err.words));
		relay_conn_address_failed(c, &before);
		return;
	}
	relay_conn_deadline(c, conf->delivery_connect_ms);
}

static void relay_conn_on_plan(void *arg, struct relay_tls_host *h)
{
	struct relay_address *a = arg;
	struct relay_conn *next;

	(void)h;
	a->tls_ready = true;
	for (struct relay_conn *c = a->relay->conns; c; c = next) {
		next = c->next_all;
		if (!c->waits_tls || &c->hosts->at[c->at] != a)
			continue;
		c->waits_tls = false;
		relay_conn_connect(c);
	}
}

static void relay_conn_plan(struct relay_conn *c)
{
	struct relay_hosts *h = c->hosts;
	struct relay_address *a = &h->at[c->at];
	struct relay_tls_target target = {.name = relay_conn_host(c), .canonical = h->more[a->host].canonical,
		.mx_secure = h->mx_secure, .address_secure = a->secure, .port = a->port};

	if (a->tls_ready) {
		relay_conn_connect(c);
		return;
	}
	relay_conn_set_state(c, RELAY_CONN_PLAN);
	c->waits_tls = true;
	if (a->tls)
		return; /* another connection asked already */
	a->relay = c->relay;
	a->tls = relay_tls_host_new(h->plan, &target, relay_conn_on_plan, a);
}

static void relay_conn_next_address(struct relay_conn *c)
{
	int at = c->relay->draining ? -1 : relay_route_choose(c->hosts->at, c->hosts->count, c->tried, c->at, loop_now(c->relay->loop), (uint32_t)rng_u64());

	if (at < 0) {
		relay_conn_give_up(c);
		return;
	}
	c->at = at;
	c->tried |= 1U << at;
	c->clear = false;
	relay_conn_name_address(c);
	relay_conn_plan(c);
}

void relay_conn_again_clear(struct relay_conn *c)
{
	relay_conn_teardown(c);
	c->clear = true;
	relay_conn_connect(c);
}

/* ---- what the stream and the clock say */

static void relay_conn_talk(struct relay_conn *c, bool tls_up)
{
	const struct relay_address *a = &c->hosts->at[c->at];
	const struct conf_smarthost *s = c->dest->way.smarthost;

	relay_conn_set_state(c, RELAY_CONN_TALK);
	relay_conn_deadline(c, 0);
	c->smtp = smtp_out_new(&c->relay->smtp, c->clear ? SMTP_OUT_TLS_NEVER : relay_tls_host_mode(a->tls), tls_up, s && s->login[0], loop_now(c->relay->loop));
	relay_conn_step(c);
}

/* RC_OK: on_tls follows */
enum rc relay_conn_begin_tls(struct relay_conn *c)
{
	SSL *ssl = relay_tls_ssl(c->hosts->at[c->at].tls);

	relay_conn_deadline(c, c->relay->conf->tls_handshake_ms);
	return ssl ? stream_tls_client(c->stream, ssl) : RC_IO;
}

static void relay_conn_on_connected(void *owner)
{
	struct relay_conn *c = owner;

	if (!c->dest->way.smarthost || c->dest->way.smarthost->tls != CONF_TLS_IMPLICIT) {
		relay_conn_talk(c, false);
		return;
	}
	relay_conn_set_state(c, RELAY_CONN_TLS);
	if (relay_conn_begin_tls(c) != RC_OK)
		relay_talk_tls(c, false, "TLS cannot be begun");
}

static void relay_conn_on_tls(void *owner, bool ok, const char *why)
{
	struct relay_conn *c = owner;

	relay_conn_deadline(c, 0);
	relay_talk_tls(c, ok, why);
	if (ok && c->state == RELAY_CONN_TLS)
		relay_conn_talk(c, true);
}

static void relay_conn_on_closed(void *owner, const char *why)
{
	struct relay_conn *c = owner;
	struct relay_failure before = c->why;

	if (c->state == RELAY_CONN_CONNECT) {
		relay_conn_why(c, CAUSE_REMOTE_UNREACHABLE, span_str(why));
		relay_conn_address_failed(c, &before);
	} else if (c->state == RELAY_CONN_QUIT || !c->smtp) {
		relay_conn_close(c);
	} else {
		smtp_out_eof(c->smtp, loop_now(c->relay->loop));
		relay_conn_step(c);
	}
}

static size_t relay_conn_on_bytes(void *owner, struct span bytes)
{
	struct relay_conn *c = owner;

	if (c->smtp && c->state != RELAY_CONN_OVER) {
		smtp_out_feed(c->smtp, bytes, loop_now(c->relay->loop));
		relay_conn_step(c);
	}
	return bytes.len;
}

static struct span relay_conn_out(void *owner)
{
	const struct relay_conn *c = owner;

	return c->smtp ? smtp_out_out(c->smtp) : SPAN_NONE;
}

static void relay_conn_on_sent(void *owner, size_t n)
{
	struct relay_conn *c = owner;

	smtp_out_sent(c->smtp, n, loop_now(c->relay->loop));
	relay_conn_step(c);
}

static const struct stream_ops relay_stream_ops = {.on_bytes = relay_conn_on_bytes, .out = relay_conn_out, .on_sent = relay_conn_on_sent,
	.on_tls = relay_conn_on_tls, .on_closed = relay_conn_on_closed, .on_connected = relay_conn_on_connected};

static void relay_conn_on_timer(void *arg, mono_ms now)
{
	struct relay_conn *c = arg;
	struct relay_failure before = c->why;

	if (c->state == RELAY_CONN_OVER)
		return;
	if (now < c->deadline) {
		if (c->smtp) {
			smtp_out_tick(c->smtp, now);
			relay_conn_step(c);
		}
	} else if (c->state == RELAY_CONN_CONNECT) {
		relay_conn_why(c, CAUSE_REMOTE_UNREACHABLE, SPAN_LIT("Connection timed out"));
		relay_conn_address_failed(c, &before);
	} else if (c->state == RELAY_CONN_TLS || (c->state == RELAY_CONN_TALK && !c->auth)) {
		relay_talk_tls(c, false, "the server did not finish the handshake in time");
	} else if (c->state == RELAY_CONN_READY) {
		relay_conn_quit(c);
	} else {
		relay_conn_failed(c);
	}
}

void relay_conn_step(struct relay_conn *c)
{
	mono_ms engine;

	if (c->inside) {
		c->again = true;
		return;
	}
	c->inside = true;
	do {
		c->again = false;
		if (c->state != RELAY_CONN_OVER && c->smtp)
			relay_talk_run(c);
		if (c->state != RELAY_CONN_OVER && c->smtp && c->stream)
			stream_kick(c->stream);
	} while (c->again && c->state != RELAY_CONN_OVER);
	c->inside = false;
	if (c->state == RELAY_CONN_OVER || !c->smtp)
		return;
	engine = smtp_out_deadline(c->smtp);
	loop_timer_at(&c->timer, engine < c->deadline ? engine : c->deadline);
}

void relay_conn_open(struct relay_dest *d, uint32_t exclude)
{
	struct relay *r = d->relay;
	struct relay_conn *c = mem_zalloc(sizeof(*c));

	*c = (struct relay_conn){.relay = r, .dest = d, .hosts = d->hosts, .at = -1, .probe = !d->proven, .deadline = MONO_NEVER, .state = RELAY_CONN_PLAN};
	c->left_out = exclude == (uint32_t)((1ULL << d->hosts->count) - 1) ? 0 : exclude;
	c->tried = c->left_out;
	d->hosts->refs++;
	c->soon = (struct loop_hook){.fn = relay_conn_release, .arg = c, .once = true};
	loop_timer_init(r->loop, &c->timer, relay_conn_on_timer, c);
	c->prev_all = &r->conns;
	c->next_all = r->conns;
	r->conns = c;
	if (c->next_all)
		c->next_all->prev_all = &c->next_all;
	c->prev = &d->conns;
	c->next = d->conns;
	d->conns = c;
	if (c->next)
		c->next->prev = &c->next;
	r->conn_count++;
	r->probe_count += c->probe;
	relay_conn_count(c, 1);
	relay_conn_next_address(c);
}
