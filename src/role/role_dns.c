/* The dns role - looks names up for the roles that need them: one cache for all, and the only one of them that parses what name servers say. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "role/dns_resolver.h"
#include "role/role.h"

enum {
	DNS_LOOKUPS_MAX = 4000,          /* different questions under way in all: about 50 MB */
	DNS_LOOKUPS_WORKERS_MAX = 2000,  /* of them for mx and user workers, so that what they are made to ask leaves room for mail that leaves */
	DNS_LOOKUPS_DOMAIN_MAX = 400,    /* of them with the same domain: one whose name servers never answer takes no more room than this */
	DNS_ASKS_WORKER_MAX = 1000,      /* open questions of an mx or user worker, which people can make ask */
	DNS_ASKS_PEER_MAX = NAMES_OPEN_MAX, /* of a relay or fetch role */
	DNS_UNSENT_BYTES = 16 << 20,     /* answers that a peer has not taken; past it, it gets none with records */
	DNS_SAY_AGAIN_MS = 60000,
	DNS_LIBRARY_LINES = 20,          /* of the library's own complaints in DNS_SAY_AGAIN_MS */
};

struct dns_peer;
/* one question of one peer, in the list of its lookup and in that of its peer */
struct dns_ask {
	struct dns_peer *peer;
	struct dns_ask *next, **prev;           /* of the lookup */
	struct dns_ask *peer_next, **peer_prev; /* of the peer */
	struct dns_ask *later, **earlier;       /* in the order in which they came */
	mono_ms by_ms;
	uint32_t ask;
};

/* one question that the library works at, however many asked it */
struct dns_lookup {
	struct dns *dns;
	struct dns_lookup *same_hash;
	struct dns_ask *asks;
	uint64_t hash, domain; /* of type and name; of its last two labels */
	bool for_worker;
	enum name_type type;
	char name[DNS_NAME_BYTES + 1];
};

struct dns_peer {
	struct dns *dns;
	struct chan *chan;
	struct dns_ask *asks;
	unsigned ask_count, most;
	bool is_worker;
};

struct dns {
	struct role *role;
	struct dns_resolver *resolver;
	struct map lookups; /* hash of type and name -> struct dns_lookup */
	struct map domains; /* hash of a domain -> how many lookups, as a pointer-sized number */
	unsigned lookup_count, worker_lookups;
	struct dns_ask *first, **last; /* all that wait, the oldest first: each has the same time */
	struct loop_timer timer;
	mono_ms said_full, said_unusable; /* 0: never */
};

/* ---- answers */

static void dns_ask_free(struct dns_ask *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
	*q->peer_prev = q->peer_next;
	if (q->peer_next)
		q->peer_next->peer_prev = q->peer_prev;
	*q->earlier = q->later;
	if (q->later)
		q->later->earlier = q->earlier;
	else
		q->peer->dns->last = q->earlier;
	q->peer->ask_count--;
	free(q);
}

static void dns_send(struct dns_peer *p, uint32_t ask, struct dns_answer *a)
{
	a->is.ask = ask;
	chan_send(p->chan, MSG_NAME_IS, &a->is);
}

static void dns_send_failed(struct dns_peer *p, uint32_t ask, enum name_status status, const char *words)
{
	struct dns_answer a;

	dns_answer_init(&a);
	dns_answer_fail(&a, status, span_str(words));
	dns_send(p, ask, &a);
	dns_answer_clear(&a);
}

static void dns_count(const struct dns_lookup *l, int by)
{
	struct dns *d = l->dns;
	uintptr_t n = (uintptr_t)map_get(&d->domains, l->domain) + (uintptr_t)(intptr_t)by;

	if (n)
		(void)map_put(&d->domains, l->domain, (void *)n);
	else
		(void)map_take(&d->domains, l->domain);
	d->lookup_count += (unsigned)by;
	d->worker_lookups += l->for_worker ? (unsigned)by : 0;
}

static void dns_lookup_drop(struct dns_lookup *l)
{
	struct dns *d = l->dns;
	struct dns_lookup *head = map_get(&d->lookups, l->hash), **at = &head;

	while (*at != l)
		at = &(*at)->same_hash;
	*at = l->same_hash;
	if (head)
		(void)map_put(&d->lookups, l->hash, head);
	else
		(void)map_take(&d->lookups, l->hash);
	dns_count(l, -1);
}

/* where nothing validates, all mail waits: that is worth a line of its own */
static void dns_say_unusable(struct dns *d, const struct dns_answer *a)
{
	mono_ms now = loop_now(d->role->loop);

	if (!span_starts(a->is.words, SPAN_LIT("nothing can be validated")) || (d->said_unusable && now - d->said_unusable < DNS_SAY_AGAIN_MS))
		return;
	d->said_unusable = now;
	log_msg(LOG_LEVEL_ERROR, "dnssec-unusable", "%.*s; other resolvers (dns resolvers), or dnssec = no, would help", SPAN_FMT(a->is.words));
}

static void dns_on_answer(void *arg, struct dns_answer *a)
{
	struct dns_lookup *l = arg;

	dns_lookup_drop(l);
	if (a->is.status == NAME_BOGUS)
		dns_say_unusable(l->dns, a);
	while (l->asks) {
		struct dns_ask *q = l->asks;

		if (chan_unsent_bytes(q->peer->chan) > DNS_UNSENT_BYTES)
			dns_send_failed(q->peer, q->ask, NAME_FAILED, "too many answers wait to be read");
		else
			dns_send(q->peer, q->ask, a);
		dns_ask_free(q);
	}
	free(l);
}

static void dns_on_time(void *arg, mono_ms now)
{
	struct dns *d = arg;

	while (d->first && d->first->by_ms <= now) {
		dns_send_failed(d->first->peer, d->first->ask, NAME_FAILED, "no answer in time");
		dns_ask_free(d->first);
	}
	loop_timer_at(&d->timer, d->first ? d->first->by_ms : MONO_NEVER);
}

/* ---- questions */

static uint64_t dns_hash(enum name_type type, const char *name)
{
	return map_hash(name, strlen(name)) ^ (uint64_t)type;
}

/* of its last two labels; four in reverse zones */
static uint64_t dns_domain_hash(const char *name)
{
	size_t len = strlen(name), at = len;
	int labels = len > 5 && strcmp(name + len - 5, ".arpa") == 0 ? 4 : 2;

	while (at > 0 && (name[at - 1] != '.' || --labels > 0))
		at--;
	return map_hash(name + at, len - at);
}

static struct dns_lookup *dns_lookup_find(struct dns *d, enum name_type type, const char *name)
{
	struct dns_lookup *l = map_get(&d->lookups, dns_hash(type, name));

	while (l && (l->type != type || strcmp(l->name, name) != 0))
		l = l->same_hash;
	return l;
}

static struct dns_lookup *dns_lookup_new(struct dns_peer *p, enum name_type type, const char *name)
{
	struct dns_lookup *l = mem_zalloc(sizeof(*l));
	struct dns *d = p->dns;

	l->dns = d;
	l->type = type;
	l->domain = dns_domain_hash(name);
	l->for_worker = p->is_worker;
	l->hash = dns_hash(type, name);
	(void)memcpy(l->name, name, strlen(name) + 1);
	l->same_hash = map_put(&d->lookups, l->hash, l);
	dns_count(l, 1);
	return l;
}

static void dns_ask_add(struct dns_peer *p, struct dns_lookup *l, uint32_t ask)
{
	struct dns *d = p->dns;
	struct dns_ask *q = mem_alloc(sizeof(*q));

	*q = (struct dns_ask){.peer = p, .ask = ask, .by_ms = loop_now(d->role->loop) + d->role->conf->dns_timeout_ms, .next = l->asks, .prev = &l->asks,
		.peer_next = p->asks, .peer_prev = &p->asks, .earlier = d->last};
	if (q->next)
		q->next->prev = &q->next;
	l->asks = q;
	if (q->peer_next)
		q->peer_next->peer_prev = &q->peer_next;
	p->asks = q;
	p->ask_count++;
	*d->last = q;
	d->last = &q->later;
	if (d->first == q)
		loop_timer_at(&d->timer, q->by_ms);
}

/* which limit keeps it from being looked up just now; NULL: none */
static const char *dns_limit(const struct dns_peer *p, const char *name)
{
	const struct dns *d = p->dns;

	if (d->lookup_count >= DNS_LOOKUPS_MAX)
		return "too many names are looked up already";
	if (p->is_worker && d->worker_lookups >= DNS_LOOKUPS_WORKERS_MAX)
		return "too many names are looked up for clients already";
	if ((uintptr_t)map_get(&d->domains, dns_domain_hash(name)) >= DNS_LOOKUPS_DOMAIN_MAX)
		return "too many names of this domain are looked up already";
	return NULL;
}

static void dns_full(struct dns_peer *p, uint32_t ask, const char *words)
{
	struct dns *d = p->dns;
	mono_ms now = loop_now(d->role->loop);

	dns_send_failed(p, ask, NAME_FAILED, words);
	if (d->said_full && now - d->said_full < DNS_SAY_AGAIN_MS)
		return;
	d->said_full = now;
	log_msg(LOG_LEVEL_WARN, "dns-full", "%s worker %u: %s", role_name(chan_peer(p->chan)), chan_peer_worker(p->chan), words);
}

static enum rc dns_on_ask(struct dns_peer *p, const struct msg_name_ask *m)
{
	struct dns *d = p->dns;
	enum name_type type = (enum name_type)m->type;
	char name[DNS_NAME_BYTES + 1];
	const char *limit;
	struct dns_lookup *l;

	if (!dns_type_known(m->type))
		return RC_BAD;
	if (!dns_name_clean(m->name, name)) {
		dns_send_failed(p, m->ask, NAME_UNKNOWN, "this cannot be a name in the DNS");
		return RC_OK;
	}
	if (p->ask_count >= p->most) {
		dns_full(p, m->ask, "too many questions of this process are open already");
		return RC_OK;
	}
	l = dns_lookup_find(d, type, name);
	if (l) {
		dns_ask_add(p, l, m->ask);
		return RC_OK;
	}
	limit = dns_limit(p, name);
	if (limit) {
		dns_full(p, m->ask, limit);
		return RC_OK;
	}
	l = dns_lookup_new(p, type, name);
	dns_ask_add(p, l, m->ask);
	dns_resolver_ask(d->resolver, type, name, dns_on_answer, l); /* may have answered already: l is gone then */
	return RC_OK;
}

static enum rc dns_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	(void)c;
	return type == MSG_NAME_ASK ? dns_on_ask(owner, &msg->name_ask) : RC_BAD;
}

static void dns_gone(void *owner, struct chan *c, const char *why)
{
	struct dns_peer *p = owner;

	log_msg(LOG_LEVEL_INFO, "peer-gone", "%s worker %u: %s", role_name(chan_peer(c)), chan_peer_worker(c), why);
	while (p->asks)
		dns_ask_free(p->asks);
	chan_free(&p->chan);
	free(p);
}

static void dns_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = dns_frame, .on_gone = dns_gone};
	struct dns_peer *p;

	if (peer != ROLE_MX && peer != ROLE_USER && peer != ROLE_RELAY && peer != ROLE_FETCH) {
		(void)close(fd);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	*p = (struct dns_peer){.dns = r->own, .most = DNS_ASKS_PEER_MAX, .is_worker = peer == ROLE_MX || peer == ROLE_USER};
	if (p->is_worker)
		p->most = DNS_ASKS_WORKER_MAX;
	p->chan = chan_new(r->loop, fd, ROLE_DNS, peer, worker, &ops, p);
}

/* ---- life */

static void dns_library_says(const char *words)
{
	static mono_ms since;
	static unsigned lines;
	mono_ms now = clock_mono_ms();

	if (!since || now - since > DNS_SAY_AGAIN_MS) {
		since = now;
		lines = 0;
	}
	if (++lines <= DNS_LIBRARY_LINES)
		log_msg(LOG_LEVEL_WARN, "dns-library", "%s", words);
}

static enum rc dns_open(struct role *r, struct err *err)
{
	struct dns *d = mem_zalloc(sizeof(*d));
	enum rc rc;

	d->role = r;
	d->last = &d->first;
	r->own = d;
	map_init(&d->lookups);
	map_init(&d->domains);
	loop_timer_init(r->loop, &d->timer, dns_on_time, d);
	rc = dns_resolver_new(r->conf, loop_base(r->loop), NULL, dns_library_says, &d->resolver, err);
	if (rc == RC_OK)
		log_msg(LOG_LEVEL_INFO, "dns", "asks %s; DNSSEC: %s", dns_resolver_servers(d->resolver), dns_resolver_anchor(d->resolver));
	return rc;
}

static void dns_plan(struct role *r, struct sandbox_plan *plan)
{
	struct dns *d = r->own;

	plan->connect_port_count = dns_resolver_ports(d->resolver, plan->connect_ports, SANDBOX_CONNECT_PORTS);
	plan->fd_max = dns_resolver_fds(); /* DNS_FDS_SPARE of them for channels and the like */
}

const struct role_ops role_dns_ops = {
	.name = "dns",
	.open = dns_open,
	.plan = dns_plan,
	.peer = dns_peer,
};
