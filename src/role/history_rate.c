#include "role/history_rate.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/net.h"

enum { HISTORY_RATE_PEER_BYTES = 48, HISTORY_RATE_V6_BITS = 64 /* what one customer has */ };

struct history_rate_entry {
	uint32_t taken;
	uint64_t more;
	struct history_vote vote;
	char peer[HISTORY_RATE_PEER_BYTES]; /* the first of them; "": of many */
};

struct history_rate {
	struct loop *loop;
	struct loop_timer timer;
	struct map entries;
	void (*tell)(void *arg, const struct history_rest *rest);
	void *arg;
	bool armed;
};

static void history_rate_on_timer(void *arg, mono_ms now)
{
	struct history_rate *r = arg;

	(void)now;
	r->armed = false;
	history_rate_flush(r);
}

struct history_rate *history_rate_new(struct loop *loop, void (*tell)(void *arg, const struct history_rest *rest), void *arg)
{
	struct history_rate *r = mem_zalloc(sizeof(*r));

	*r = (struct history_rate){.loop = loop, .tell = tell, .arg = arg};
	map_init(&r->entries);
	loop_timer_init(loop, &r->timer, history_rate_on_timer, r);
	return r;
}

void history_rate_free(struct history_rate **rp)
{
	struct history_rate *r = *rp;
	uint64_t key;
	void *entry;

	*rp = NULL;
	if (!r)
		return;
	for (size_t at = 0; map_next(&r->entries, &at, &key, &entry);)
		free(entry);
	map_clear(&r->entries);
	loop_timer_clear(&r->timer);
	free(r);
}

void history_rate_flush(struct history_rate *r)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&r->entries, &at, &key, &value);) {
		struct history_rate_entry *e = value;

		if (e->more)
			r->tell(r->arg, &(struct history_rest){.peer = span_str(e->peer), .more = e->more, .mostly = e->vote.cause});
		free(e);
	}
	map_clear(&r->entries);
	map_init(&r->entries);
}

static struct history_rate_entry *history_rate_entry(struct history_rate *r, struct span peer)
{
	struct history_rate_entry *e;
	struct net_address a;
	uint64_t key = 1; /* where it is no address, and of those that are too many */
	bool known = net_parse(peer, &a) == RC_OK;

	if (known) {
		if (!net_is_v4(&a))
			a = net_cut(&a, HISTORY_RATE_V6_BITS);
		key = map_hash(&a, sizeof(a));
	}
	e = map_get(&r->entries, key);
	if (!e && known && r->entries.count >= HISTORY_RATE_ADDRESSES) {
		known = false;
		key = 1;
		e = map_get(&r->entries, key);
	}
	if (e)
		return e;
	e = mem_zalloc(sizeof(*e));
	if (known)
		memcpy(e->peer, peer.ptr, peer.len < sizeof(e->peer) - 1 ? peer.len : sizeof(e->peer) - 1);
	(void)map_put(&r->entries, key, e);
	return e;
}

bool history_rate_take(struct history_rate *r, struct span peer, enum cause_id cause)
{
	struct history_rate_entry *e = history_rate_entry(r, peer);

	if (!r->armed) {
		r->armed = true;
		loop_timer_at(&r->timer, loop_now(r->loop) + HISTORY_RATE_MS);
	}
	if (e->taken < HISTORY_RATE_MINUTE) {
		e->taken++;
		return true;
	}
	e->more++;
	history_vote_add(&e->vote, cause);
	return false;
}
