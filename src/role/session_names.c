#include "role/session_names.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mail/address.h"
#include "role/dns_answer.h"
#include "role/session_smtp.h"
#include "store/store.h"

enum { NAMES_CHECK_MS = 5000 };

enum { ASK_MX, ASK_A, ASK_AAAA, ASKS };
static const enum name_type names_types[ASKS] = {NAME_MX, NAME_A, NAME_AAAA};

struct names_check {
	struct session *session;
	struct names_check *next, **prev; /* of the session */
	struct loop_timer timer;
	uint32_t engine_ask;
	uint64_t tag;
	uint32_t asks[ASKS];              /* numbers of open questions; 0: none */
	bool address;                     /* there is one, or it cannot be known */
	char domain[DNS_NAME_BYTES + 1];
};

static void check_free(struct names_check *c)
{
	for (int i = 0; i < ASKS; i++)
		if (c->asks[i])
			names_cancel(c->session->worker->names, c->asks[i]);
	loop_timer_clear(&c->timer);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
}

static void check_done(struct names_check *c, enum cause_id cause)
{
	struct session *s = c->session;
	struct verdict v = {.cause = cause, .tag = c->tag};
	uint32_t engine_ask = c->engine_ask;

	check_free(c);
	s->depth++;
	smtp_in_answer(s->smtp->in, engine_ask, &v);
	s->depth--;
	session_step(s);
}

static void check_on_time(void *arg, mono_ms now)
{
	(void)now;
	check_done(arg, CAUSE_NONE);
}

/* RFC 7505 3: one record, and it names the root. Beside others such a record says nothing. */
static bool check_is_null_mx(const struct msg_name_is *m)
{
	struct span cursor = m->rrs.raw;
	struct rec_name_rr rr;

	while (rec_name_rr_next(&cursor, &rr))
		if (rr.data.len)
			return false;
	return m->rrs.count > 0;
}

static void check_on_address(struct names_check *c, const struct msg_name_is *m)
{
	c->address |= m->status != NAME_NOTHING && m->status != NAME_UNKNOWN;
	if (c->address || (!c->asks[ASK_A] && !c->asks[ASK_AAAA]))
		check_done(c, c->address ? CAUSE_NONE : CAUSE_RCPT_DOMAIN_NOT_FOUND);
}

static void check_on_a(void *arg, const struct msg_name_is *m)
{
	((struct names_check *)arg)->asks[ASK_A] = 0;
	check_on_address(arg, m);
}

static void check_on_aaaa(void *arg, const struct msg_name_is *m)
{
	((struct names_check *)arg)->asks[ASK_AAAA] = 0;
	check_on_address(arg, m);
}

static void check_on_mx(void *arg, const struct msg_name_is *m);

static void check_ask(struct names_check *c, int which)
{
	static names_answer *const answers[ASKS] = {check_on_mx, check_on_a, check_on_aaaa};

	c->asks[which] = names_ask(c->session->worker->names, names_types[which], span_str(c->domain), answers[which], c);
}

static void check_on_mx(void *arg, const struct msg_name_is *m)
{
	struct names_check *c = arg;

	c->asks[ASK_MX] = 0;
	if (m->status == NAME_UNKNOWN) {
		check_done(c, CAUSE_RCPT_DOMAIN_NOT_FOUND);
	} else if (m->status == NAME_FOUND) {
		check_done(c, check_is_null_mx(m) ? CAUSE_NULL_MX : CAUSE_NONE);
	} else if (m->status == NAME_NOTHING) { /* RFC 5321 5.1: then its address */
		check_ask(c, ASK_A);
		check_ask(c, ASK_AAAA);
	} else {
		check_done(c, CAUSE_NONE);
	}
}

/* ---- */

/* where mail does not go by MX, the DNS need not know the domain */
static bool check_goes_by_mx(const struct conf *conf, struct span domain)
{
	return !conf_route_find(conf, domain) && !conf->delivery_has_smarthost;
}

void session_names_begin(struct session *s, uint32_t engine_ask, const struct address *to)
{
	struct worker *w = s->worker;
	struct names_check *c;
	char domain[DNS_NAME_BYTES + 1];
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct span name = address_domain_key(to->domain, room);

	if (!w->names || w->role->id != ROLE_USER || !w->conf->dns_check_recipients || to->literal)
		return;
	if (!dns_name_clean(name, domain) || !check_goes_by_mx(w->conf, name))
		return;
	c = mem_zalloc(sizeof(*c));
	*c = (struct names_check){.session = s, .engine_ask = engine_ask, .next = s->smtp->checks, .prev = &s->smtp->checks};
	(void)memcpy(c->domain, domain, sizeof(domain));
	loop_timer_init(w->loop, &c->timer, check_on_time, c);
	if (c->next)
		c->next->prev = &c->next;
	s->smtp->checks = c;
}

bool session_names_rcpt(struct session *s, uint32_t engine_ask, const struct verdict *v)
{
	struct names_check *c = s->smtp->checks;

	while (c && c->engine_ask != engine_ask)
		c = c->next;
	if (!c)
		return false;
	if (v->cause != CAUSE_NONE || (v->tag & STORE_TAG_MASK) != STORE_TAG_FOREIGN) {
		check_free(c);
		return false;
	}
	c->tag = v->tag;
	loop_timer_at(&c->timer, loop_now(s->worker->loop) + NAMES_CHECK_MS);
	check_ask(c, ASK_MX);
	return true;
}

void session_names_end(struct session *s)
{
	while (s->smtp->checks)
		check_free(s->smtp->checks);
}
