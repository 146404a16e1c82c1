/* relay_domain - destinations as the store names them: found by name, forgotten when they have had nothing to do for long, and told to the
 * store: how many of their rows it may give us. The next hops behind them are in relay_dest.c. */
#include <stdlib.h>

#include "base/mem.h"
#include "role/relay.h"

static void relay_domain_unlink(struct relay *r, struct relay_domain *m)
{
	*(m->older ? &m->older->newer : &r->oldest) = m->newer;
	*(m->newer ? &m->newer->older : &r->newest) = m->older;
	m->older = m->newer = NULL;
}

static void relay_domain_newest(struct relay *r, struct relay_domain *m)
{
	m->older = r->newest;
	*(r->newest ? &r->newest->newer : &r->oldest) = m;
	r->newest = m;
}

static void relay_domain_free(struct relay *r, struct relay_domain *m)
{
	struct relay_dest *d = m->dest;
	struct relay_domain **place = &d->domains;

	while (*place != m)
		place = &(*place)->next;
	*place = m->next;
	relay_domain_unlink(r, m);
	(void)map_take(&r->domains, m->hash);
	r->domain_count--;
	free(m->name);
	free(m);
	if (!d->domains && !d->conns)
		relay_dest_free(d);
}

/* the oldest that have nothing to do */
static void relay_domains_tidy(struct relay *r)
{
	unsigned looks = RELAY_FAR_MAX;

	while (r->domain_count > LIMIT_RELAY_DOMAINS && looks-- && r->oldest) {
		struct relay_domain *m = r->oldest;

		if (m->rows == 0 && !m->dest->conns) {
			relay_domain_free(r, m);
		} else {
			relay_domain_unlink(r, m);
			relay_domain_newest(r, m);
		}
	}
}

struct relay_domain *relay_domain_get(struct relay *r, struct span name)
{
	uint64_t hash = map_hash(name.ptr, name.len);
	struct relay_domain *m = map_get(&r->domains, hash);

	if (m) {
		relay_domain_unlink(r, m);
		relay_domain_newest(r, m);
		return m;
	}
	relay_domains_tidy(r);
	m = mem_zalloc(sizeof(*m));
	*m = (struct relay_domain){.dest = relay_dest_get(r, name), .name = mem_str_span(name), .hash = hash};
	m->next = m->dest->domains;
	m->dest->domains = m;
	(void)map_put(&r->domains, hash, m);
	relay_domain_newest(r, m);
	r->domain_count++;
	return m;
}

/* ---- the window: how many rows of a destination the store may give us at once */

bool relay_domain_window_alike(uint32_t was, uint32_t now)
{
	return was && now <= was + was / 4 && now + now / 4 >= was;
}

void relay_domain_window(struct relay_domain *m)
{
	struct relay_dest *d = m->dest;
	uint32_t now = pace_window(&d->pace) / (d->active ? d->active : 1);

	/* what nobody has reached yet gets no more than the store gives by itself; small changes are not worth a frame */
	now = now ? now : 1;
	if (!d->proven || relay_domain_window_alike(m->window, now))
		return;
	m->window = now;
	relay_report_dest(m, 0, NULL);
}

void relay_domain_rows(struct relay_domain *m, int32_t by)
{
	m->dest->active += m->rows == 0;
	m->rows = (uint32_t)((int32_t)m->rows + by);
	m->dest->active -= m->rows == 0;
	m->dest->relay->row_count = (size_t)((int64_t)m->dest->relay->row_count + by);
	if (by > 0)
		relay_domain_window(m);
}
