/* The fetch role - files by HTTPS for the relay: policies of MTA-STS. A role of its own so that libcurl has no mail, no keys and no other port to connect to
 * than that of HTTPS. A few at once, the others wait in the order in which they came. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/fetch_http.h"
#include "role/names.h"
#include "role/role.h"

enum {
	FETCH_AT_ONCE = 8,
	FETCH_QUEUE_MAX = 1024, /* that wait, of all relays; more are answered at once */
	FETCH_CONNECT_MS = 20000,
	FETCH_ALL_MS = 60000,   /* RFC 8461 3.3: a minute */
	FETCH_MAX_BYTES = 64 << 10,
};

struct fetch_peer;

struct fetch_ask {
	struct fetch_peer *peer;
	struct fetch_ask *next, **prev; /* of those that wait, or of those under way */
	uint32_t number;
	uint32_t questions[2];          /* A, AAAA; 0: answered */
	bool failed;                    /* one of them could not be had */
	struct net_address at[FETCH_HTTP_ADDRESSES];
	size_t count;
	size_t max;
	struct fetch_http_job *job;
	char *host, *path;
};

struct fetch_peer {
	struct role *role;
	struct chan *chan;
	struct fetch_peer *next, **prev;
};

struct fetch_role {
	struct fetch_http *http;
	struct names *names;
	struct fetch_peer *peers;
	struct fetch_ask *waiting, **last, *under_way;
	size_t waiting_count, under_way_count;
};

static struct fetch_role *fetch_own(const struct fetch_ask *a)
{
	return a->peer->role->own;
}

/* ---- one of them */

static void fetch_ask_free(struct fetch_ask *a)
{
	struct fetch_role *f = fetch_own(a);

	for (int i = 0; i < 2; i++)
		if (a->questions[i])
			names_cancel(f->names, a->questions[i]);
	fetch_http_cancel(&a->job);
	free(a->host);
	free(a->path);
	free(a);
}

static void fetch_unlink(struct fetch_ask *a)
{
	*a->prev = a->next;
	if (a->next)
		a->next->prev = a->prev;
}

static void fetch_next(struct fetch_role *f);

/* of one that is under way */
static void fetch_answer(struct fetch_ask *a, unsigned status, struct span body, struct span words)
{
	struct fetch_role *f = fetch_own(a);

	chan_send(a->peer->chan, MSG_FETCH_IS, &(struct msg_fetch_is){.ask = a->number, .status = (uint16_t)status, .body = body, .words = span_head(words, 256)});
	if (log_begin(LOG_LEVEL_DEBUG, "fetched")) {
		log_str("host", a->host);
		log_num("status", status);
		log_num("bytes", body.len);
		log_span("words", words);
		log_end();
	}
	fetch_unlink(a);
	f->under_way_count--;
	fetch_ask_free(a);
	fetch_next(f);
}

static void fetch_done(void *arg, unsigned status, struct span body, struct span words)
{
	struct fetch_ask *a = arg;

	a->job = NULL; /* it ends with this call */
	fetch_answer(a, status, body, words);
}

static void fetch_take_address(struct fetch_ask *a, struct span data, bool v6)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (a->count == FETCH_HTTP_ADDRESSES || data.len != (v6 ? 16u : 4u))
		return;
	if (!v6)
		memcpy(a->at[a->count].raw, mapped, sizeof(mapped));
	memcpy(a->at[a->count].raw + (v6 ? 0 : sizeof(mapped)), data.ptr, data.len);
	a->count++;
}

static void fetch_on_name(struct fetch_ask *a, const struct msg_name_is *answer, bool v6)
{
	struct span cursor = answer->rrs.raw;
	struct rec_name_rr rr;

	a->questions[v6] = 0;
	if (answer->status == NAME_FAILED || answer->status == NAME_BOGUS)
		a->failed = true;
	while (answer->status == NAME_FOUND && rec_name_rr_next(&cursor, &rr))
		fetch_take_address(a, rr.data, v6);
	if (a->questions[!v6])
		return;
	if (a->count == 0)
		fetch_answer(a, 0, SPAN_NONE, a->failed ? SPAN_LIT("its address cannot be looked up") : SPAN_LIT("it has no address"));
	else
		a->job = fetch_http_get(fetch_own(a)->http, span_str(a->host), span_str(a->path), a->at, a->count, a->max, fetch_done, a);
}

static void fetch_on_a(void *arg, const struct msg_name_is *answer)
{
	fetch_on_name(arg, answer, false);
}

static void fetch_on_aaaa(void *arg, const struct msg_name_is *answer)
{
	fetch_on_name(arg, answer, true);
}

static void fetch_begin(struct fetch_ask *a)
{
	struct fetch_role *f = fetch_own(a);

	a->next = f->under_way;
	a->prev = &f->under_way;
	if (a->next)
		a->next->prev = &a->next;
	f->under_way = a;
	f->under_way_count++;
	a->questions[0] = names_ask(f->names, NAME_A, span_str(a->host), fetch_on_a, a);
	a->questions[1] = names_ask(f->names, NAME_AAAA, span_str(a->host), fetch_on_aaaa, a);
}

static void fetch_take_waiting(struct fetch_role *f, struct fetch_ask *a)
{
	if (!a->next)
		f->last = a->prev;
	fetch_unlink(a);
	f->waiting_count--;
}

static void fetch_next(struct fetch_role *f)
{
	while (f->waiting && f->under_way_count < FETCH_AT_ONCE) {
		struct fetch_ask *a = f->waiting;

		fetch_take_waiting(f, a);
		fetch_begin(a);
	}
}

/* ---- the relays */

static enum rc fetch_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	const struct msg_fetch_ask *m = &msg->fetch_ask;
	struct fetch_peer *p = owner;
	struct fetch_role *f = p->role->own;
	struct fetch_ask *a;

	if (type != MSG_FETCH_ASK || m->max > FETCH_MAX_BYTES)
		return RC_BAD;
	if (f->waiting_count == FETCH_QUEUE_MAX || !fetch_http_is_sound(m->host, m->path)) {
		struct span words = f->waiting_count == FETCH_QUEUE_MAX ? SPAN_LIT("too much else is being fetched") : SPAN_LIT("that is not the name of a host");

		chan_send(c, MSG_FETCH_IS, &(struct msg_fetch_is){.ask = m->ask, .words = words});
		return RC_OK;
	}
	a = mem_zalloc(sizeof(*a));
	*a = (struct fetch_ask){.peer = p, .number = m->ask, .max = m->max, .host = mem_str_span(m->host), .path = mem_str_span(m->path), .prev = f->last};
	*f->last = a;
	f->last = &a->next;
	f->waiting_count++;
	fetch_next(f);
	return RC_OK;
}

static void fetch_peer_free(struct fetch_peer *p)
{
	struct fetch_role *f = p->role->own;
	struct fetch_ask *a, *next;

	for (a = f->waiting; a; a = next) {
		next = a->next;
		if (a->peer == p) {
			fetch_take_waiting(f, a);
			fetch_ask_free(a);
		}
	}
	for (a = f->under_way; a; a = next) {
		next = a->next;
		if (a->peer == p) {
			fetch_unlink(a);
			f->under_way_count--;
			fetch_ask_free(a);
		}
	}
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	chan_free(&p->chan);
	free(p);
	fetch_next(f);
}

static void fetch_on_gone(void *owner, struct chan *c, const char *why)
{
	log_msg(LOG_LEVEL_INFO, "peer-gone", "relay worker %u: %s", chan_peer_worker(c), why);
	fetch_peer_free(owner);
}

static void fetch_peer(struct role *r, enum role_id peer, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = fetch_on_frame, .on_gone = fetch_on_gone};
	struct fetch_role *f = r->own;
	struct fetch_peer *p;

	if (peer == ROLE_DNS) {
		names_peer(f->names, worker, fd);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	*p = (struct fetch_peer){.role = r, .next = f->peers, .prev = &f->peers};
	if (p->next)
		p->next->prev = &p->next;
	f->peers = p;
	p->chan = chan_new(r->loop, fd, r->id, peer, worker, &ops, p);
}

/* ---- the role */

static void fetch_names_lost(void *arg, const struct chan *c)
{
	role_lost(arg, c);
}

static enum rc fetch_open(struct role *r, struct err *err)
{
	struct fetch_http_rules rules = {.ca_file = r->conf->delivery_ca_file, .port = r->conf->delivery_mta_sts_port, .connect_ms = FETCH_CONNECT_MS,
		.all_ms = FETCH_ALL_MS};
	struct fetch_role *f = mem_zalloc(sizeof(*f));
	enum rc rc = fetch_http_new(r->loop, &rules, &f->http, err);

	if (rc != RC_OK) {
		free(f);
		return rc;
	}
	f->last = &f->waiting;
	f->names = names_new(r->loop, r->id);
	names_on_lost(f->names, fetch_names_lost, r);
	r->own = f;
	return RC_OK;
}

static void fetch_plan(struct role *r, struct sandbox_plan *plan)
{
	plan->connect_ports[0] = r->conf->delivery_mta_sts_port;
	plan->connect_port_count = 1;
}

const struct role_ops role_fetch_ops = {
	.name = "fetch",
	.plan = fetch_plan,
	.open = fetch_open,
	.peer = fetch_peer,
};
