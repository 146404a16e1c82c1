/* relay_dest - next hops: which jobs wait for them, how many connections they get, and what is known of them: reached, down, in trouble. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "role/relay.h"

enum {
	RELAY_ENOUGH_MS = 10000, /* no further connections after one was refused while others stand; the pace has drawn its conclusions by then */
	RELAY_RACE_MS = 2000,    /* leases that were on their way when the next hop went down */
	RELAY_WAKES = 4,         /* next hops that may have the one place that became free */
};

/* ---- birth and end */

static void relay_dest_on_timer(void *arg, mono_ms now)
{
	(void)now;
	relay_dest_wake(arg);
}

static void relay_dest_pump(void *arg);

static void relay_dest_rules(const struct relay_way *w, const struct conf *c, struct pace_rules *out)
{
	*out = (struct pace_rules){.first = c->delivery_hop_connections_first, .most = c->delivery_hop_connections_max, .per_minute = c->delivery_per_minute};
	if (w->kind == RELAY_WAY_SMARTHOST) {
		out->most = w->smarthost->connections_max;
		out->per_minute = w->smarthost->per_minute;
	} else if (w->kind == RELAY_WAY_ROUTE) {
		out->most = w->route->connections_max;
		out->per_minute = w->route->per_minute;
	}
	if (out->first > out->most)
		out->first = out->most;
}

struct relay_dest *relay_dest_get(struct relay *r, struct span name)
{
	struct relay_way way;
	struct relay_dest *d;
	uint64_t hash;

	relay_route_pick(r->conf, name, &way);
	hash = map_hash(way.key.ptr, way.key.len) + way.kind;
	d = map_get(&r->dests, hash);
	if (d)
		return d;
	d = mem_zalloc(sizeof(*d));
	*d = (struct relay_dest){.relay = r, .way = way, .key = mem_str_span(way.key), .hash = hash, .jobs_tail = &d->jobs};
	d->way.key = span_str(d->key);
	d->pump = (struct loop_hook){.fn = relay_dest_pump, .arg = d, .once = true};
	loop_timer_init(r->loop, &d->timer, relay_dest_on_timer, d);
	relay_dest_rules(&way, r->conf, &d->rules);
	pace_init(&d->pace, &d->rules, loop_now(r->loop));
	(void)map_put(&r->dests, hash, d);
	return d;
}

static void relay_dest_unhungry(struct relay_dest *d)
{
	struct relay *r = d->relay;
	struct relay_dest **place = &r->hungry;

	if (!d->hungry)
		return;
	while (*place != d)
		place = &(*place)->next_hungry;
	*place = d->next_hungry;
	if (r->hungry_tail == &d->next_hungry)
		r->hungry_tail = place;
	d->hungry = false;
	d->next_hungry = NULL;
}

void relay_dest_free(struct relay_dest *d)
{
	relay_dest_unhungry(d);
	relay_lookup_free(&d->lookup);
	relay_hosts_put(&d->hosts);
	loop_timer_clear(&d->timer);
	loop_hook_remove(d->relay->loop, &d->pump);
	(void)map_take(&d->relay->dests, d->hash);
	free(d->why);
	free(d->key);
	free(d);
}

/* ---- pace */

void relay_dest_pace(struct relay_dest *d, enum pace_event e)
{
	uint32_t now;

	pace_tell(&d->pace, e, loop_now(d->relay->loop));
	now = pace_window(&d->pace);
	if (relay_domain_window_alike(d->window, now))
		return;
	d->window = now;
	for (struct relay_domain *m = d->domains; m; m = m->next)
		if (m->rows)
			relay_domain_window(m);
}

/* ---- jobs that wait */

void relay_dest_add(struct relay_dest *d, struct relay_job *j, bool first)
{
	j->prev = first ? &d->jobs : d->jobs_tail;
	j->next = *j->prev;
	*j->prev = j;
	if (j->next)
		j->next->prev = &j->next;
	else
		d->jobs_tail = &j->next;
	d->job_count++;
	relay_dest_wake(d);
}

void relay_dest_remove(struct relay_dest *d, struct relay_job *j)
{
	if (!j->prev)
		return;
	*j->prev = j->next;
	if (j->next)
		j->next->prev = j->prev;
	else
		d->jobs_tail = j->prev;
	j->next = NULL;
	j->prev = NULL;
	d->job_count--;
}

void relay_dest_wake(struct relay_dest *d)
{
	loop_hook_add(d->relay->loop, LOOP_COMMIT, &d->pump);
}

/* the first that may go over c, which stays where it is; the others are for other addresses */
static struct relay_job *relay_dest_fitting(const struct relay_dest *d, const struct relay_conn *c)
{
	unsigned looks = RELAY_FAR_MAX;

	for (struct relay_job *j = d->jobs; j && looks--; j = j->next)
		if (!(relay_job_tried(j, c->hosts) & 1U << c->at))
			return j;
	return NULL;
}

struct relay_job *relay_dest_next(struct relay_dest *d, const struct relay_conn *c)
{
	struct relay_job *j = d->relay->draining ? NULL : relay_dest_fitting(d, c);
	mono_ms at;

	if (!j)
		return NULL;
	if (!pace_take(&d->pace, loop_now(d->relay->loop), &at)) {
		loop_timer_at(&d->timer, at);
		return NULL;
	}
	relay_dest_remove(d, j);
	return j;
}

/* ---- down */

static struct retry_rules relay_retry_rules(const struct conf *c)
{
	return (struct retry_rules){.first_ms = c->delivery_retry_first_ms, .most_ms = c->delivery_retry_most_ms};
}

/* the store leaves what goes there alone for as long as the next hop is left alone */
static void relay_dest_block(struct relay_dest *d)
{
	mono_ms now = loop_now(d->relay->loop);

	if (d->down_until <= now)
		return;
	for (struct relay_domain *m = d->domains; m; m = m->next)
		if (m->rows) {
			m->blocked = true;
			m->window = 1;
			relay_report_dest(m, d->down_until - now, d->why);
		}
}

static void relay_dest_give_back(struct relay_dest *d)
{
	relay_dest_block(d);
	while (d->jobs)
		relay_job_return(d->jobs);
}

void relay_dest_unreachable(struct relay_dest *d, const struct relay_failure *why)
{
	struct retry_rules rules = relay_retry_rules(d->relay->conf);

	relay_dest_pace(d, why->pace);
	if (why->outcome == DELIVERY_REFUSED) { /* what it says to the first it would say to all */
		while (d->jobs)
			relay_job_fail(d->jobs, why);
		return;
	}
	for (struct relay_conn *c = d->conns; c; c = c->next)
		if (c->state == RELAY_CONN_READY || c->state == RELAY_CONN_BUSY) { /* it is reachable, only not for one connection more */
			d->enough_until = loop_now(d->relay->loop) + RELAY_ENOUGH_MS;
			return;
		}
	d->proven = false;
	d->failures++;
	d->down_since = loop_now(d->relay->loop);
	d->down_until = loop_now(d->relay->loop) + retry_destination_ms(&rules, d->failures, (uint32_t)rng_u64());
	if (!d->why)
		d->why = mem_alloc(sizeof(*d->why));
	*d->why = *why;
	if (log_begin(LOG_LEVEL_WARN, "destination-down")) {
		log_str("way", relay_way_name(&d->way));
		log_span("to", d->way.key);
		log_str("cause", cause_slug(why->cause));
		log_str("host", why->host);
		log_str("address", why->address);
		log_str("words", why->words);
		log_num("failures", d->failures);
		log_num("again_s", (d->down_until - loop_now(d->relay->loop)) / 1000);
		log_num("waiting", d->job_count);
		log_end();
	}
	relay_dest_block(d);
	if (d->jobs)
		relay_job_fail(d->jobs, why);
	while (d->jobs)
		relay_job_return(d->jobs);
}

void relay_dest_rest_failed(struct relay_dest *d, const struct relay_hosts *h, uint32_t others, const struct relay_failure *why)
{
	for (struct relay_job *j = d->jobs, *next; j; j = next) {
		next = j->next;
		if ((relay_job_tried(j, h) & others) == others)
			relay_job_fail(j, why->outcome == DELIVERY_REFUSED && j->later ? j->later : why);
	}
}

void relay_dest_reached(struct relay_dest *d)
{
	d->proven = true;
	d->failures = 0;
	d->down_until = 0;
	for (struct relay_domain *m = d->domains; m; m = m->next)
		if (m->blocked || m->rows) {
			m->blocked = false;
			m->window = 0;
			relay_domain_window(m);
		}
}

/* ---- hosts */

void relay_dest_looked_up(struct relay_dest *d, struct relay_hosts *found, const struct relay_failure *why)
{
	if (!found && d->hosts && why->outcome == DELIVERY_LATER) { /* what was known before does for a while */
		d->hosts->until = loop_now(d->relay->loop) + RELAY_ENOUGH_MS;
		relay_dest_wake(d);
		return;
	}
	if (!found) {
		relay_hosts_put(&d->hosts);
		relay_dest_unreachable(d, why);
		return;
	}
	for (size_t i = 0; d->hosts && i < d->hosts->count; i++)
		for (size_t k = 0; k < found->count; k++)
			if (net_eq(&d->hosts->at[i].ip, &found->at[k].ip))
				found->at[k].failed_ms = d->hosts->at[i].failed_ms;
	relay_hosts_put(&d->hosts);
	d->hosts = found;
	relay_dest_wake(d);
}

/* false: they are being looked up, which comes back here */
static bool relay_dest_has_hosts(struct relay_dest *d)
{
	bool good = d->hosts && d->hosts->until > loop_now(d->relay->loop);

	if (!good && !d->lookup)
		d->lookup = relay_lookup_new(d);
	/* old ones do until there are new ones */
	return d->hosts != NULL;
}

/* ---- what is to be done */

/* may one more connection be made for it, as far as all of them together go? A next hop that is only being tried must not take the place of those that answer. */
static bool relay_dest_room(struct relay_dest *d)
{
	struct relay *r = d->relay;
	uint32_t most = r->conf->delivery_connections_max;

	if (r->conn_count >= most && r->idle_count)
		(void)relay_conn_drop_idle(r);
	if (r->conn_count < most && (d->proven || r->probe_count < (most + 1) / 2))
		return true;
	if (!d->hungry) {
		d->hungry = true;
		d->next_hungry = NULL;
		*r->hungry_tail = d;
		r->hungry_tail = &d->next_hungry;
	}
	return false;
}

void relay_dest_hungry(struct relay *r)
{
	unsigned looks = RELAY_FAR_MAX, wakes = RELAY_WAKES;

	for (struct relay_dest *d = r->hungry, *next; d && looks-- && wakes; d = next) {
		next = d->next_hungry;
		if (!d->proven && r->probe_count >= (r->conf->delivery_connections_max + 1) / 2)
			continue;
		relay_dest_unhungry(d);
		relay_dest_wake(d);
		wakes--;
	}
}

/* The jobs that wait found no idle connection that they may use: is one more to be made? *exclude_out: addresses that are of no use to the first of them */
static bool relay_dest_wants_conn(struct relay_dest *d, uint32_t *exclude_out)
{
	uint32_t width = d->proven ? pace_width(&d->pace) : 1;

	if (d->job_count <= d->opening)
		return false;
	if (d->conn_count >= width) {
		struct relay_conn *c = d->idle ? d->conns : NULL;

		while (c && c->state != RELAY_CONN_READY)
			c = c->next;
		if (!c)
			return false;
		relay_conn_quit(c);
	}
	*exclude_out = relay_job_tried(d->jobs, d->hosts);
	return true;
}

/* false: the pace lets no message begin now */
static bool relay_dest_use_idle(struct relay_dest *d)
{
	for (struct relay_conn *c = d->conns, *next; c && d->jobs; c = next) {
		struct relay_job *j;

		next = c->next;
		if (c->state != RELAY_CONN_READY || c->inside)
			continue;
		while (c->state == RELAY_CONN_READY && (j = relay_dest_next(d, c)) != NULL)
			relay_job_begin(j, c);
		if (c->state == RELAY_CONN_READY && relay_dest_fitting(d, c))
			return false;
	}
	return true;
}

/* what waits for a next hop that is down goes back at once, but for a probe. A lease that comes later may be what an administrator wants tried */
static bool relay_dest_is_down(const struct relay_dest *d, mono_ms now)
{
	unsigned looks = RELAY_FAR_MAX;

	if (d->down_until <= now || d->conn_count || d->lookup)
		return false;
	if (d->way.kind == RELAY_WAY_MX && now > d->down_since + RELAY_RACE_MS)
		return false;
	for (const struct relay_job *j = d->jobs; j && looks--; j = j->next)
		if (j->probe)
			return false;
	return true;
}

static void relay_dest_pump(void *arg)
{
	struct relay_dest *d = arg;
	mono_ms now = loop_now(d->relay->loop);
	uint32_t exclude = 0;

	if (d->relay->draining || (d->jobs && relay_dest_is_down(d, now))) {
		relay_dest_give_back(d);
		return;
	}
	if (!relay_dest_use_idle(d) || !d->jobs || !relay_dest_has_hosts(d))
		return;
	if (d->enough_until > now && d->conn_count) {
		loop_timer_at(&d->timer, d->enough_until);
		return;
	}
	while (d->jobs && relay_dest_wants_conn(d, &exclude) && relay_dest_room(d))
		relay_conn_open(d, exclude);
}

const char *relay_way_name(const struct relay_way *w)
{
	static const char *const names[] = {[RELAY_WAY_MX] = "mx", [RELAY_WAY_ROUTE] = "route", [RELAY_WAY_SMARTHOST] = "smarthost", [RELAY_WAY_LITERAL] = "literal",
		[RELAY_WAY_NONE] = "none"};

	return names[w->kind];
}
