/* The store role: answers to "may this sender?" and "may this recipient?". The facts that were granted come from here, never from the worker. */
#include "base/limits.h"
#include "role/decide.h"
#include "role/role_store.h"
#include "store/store_filter.h"

enum { STORE_DECIDE_BYTES = 1 << 20, STORE_FROM_MAX = 64 };

/* ---- the configuration that a worker was made with */

static void store_conf_drop(struct store_conf *c)
{
	if (!c || --c->users > 0)
		return;
	if (c->owned)
		conf_free(&c->conf_owned);
	free(c);
}

void store_role_conf_use(struct store_role *s, struct store_peer *p)
{
	p->conf = s->conf;
	p->conf->users++;
}

void store_role_conf_leave(struct store_peer *p)
{
	store_conf_drop(p->conf);
	p->conf = NULL;
}

void store_role_conf_set(struct store_role *s, const struct conf *conf, bool owned)
{
	struct store_conf *c = mem_zalloc(sizeof(*c));

	*c = (struct store_conf){.conf = conf, .conf_owned = owned ? (struct conf *)(uintptr_t)conf : NULL, .owned = owned, .users = 1};
	store_conf_drop(s->conf);
	s->conf = c;
}

void store_role_conf_free(struct store_role *s)
{
	store_conf_drop(s->conf);
	s->conf = NULL;
}

/* ---- who asks */

enum rc store_role_who(struct store_peer *p, const struct store_asker *a, struct decide_who *out)
{
	const struct conf *conf = p->conf->conf;
	const struct store_grant *g = map_get(&p->grants, a->session);

	if (a->listener >= conf->listener_count || (p->id == ROLE_MX && conf_listener_relays(&conf->listeners[a->listener])))
		return RC_BAD;
	*out = (struct decide_who){.listener = &conf->listeners[a->listener], .tls = a->tls, .peer = a->peer,
		.window = a->window <= POLICY_WINDOW_PRIVATE ? (enum policy_window)a->window : POLICY_WINDOW_NEVER, .window_ms = (int64_t)a->window_ms};
	if (!g)
		return RC_OK;
	out->by = g->by;
	out->account = g->account;
	out->revoked = g->revoked;
	if (g->by == POLICY_BY_NETWORK && g->network < conf->network_count)
		out->network = &conf->networks[g->network];
	return RC_OK;
}

struct decide store_role_decide(struct store_peer *p)
{
	return (struct decide){.store = p->role->store, .conf = p->conf->conf, .rates = p->role->rates, .wall_ms = clock_wall_ms()};
}

/* ---- the questions */

static size_t store_role_from(const struct msg_sender_check *m, struct span *from)
{
	struct span cursor = m->from.raw;
	struct rec_address one;
	size_t n = 0;

	while (n < STORE_FROM_MAX && rec_address_next(&cursor, &one))
		from[n++] = one.text;
	return n;
}

/* one that is being answered */
struct store_question {
	struct store_role *role;
	struct decide d;
	struct decide_who who;
	bool stands; /* the worker says that a grant stands behind it */
	struct decided decided;
	struct err err;
	struct arena mem;
};

static enum rc store_question_open(struct store_question *q, struct store_peer *p, const struct store_asker *a, bool stands)
{
	enum rc rc;

	*q = (struct store_question){.role = p->role, .d = store_role_decide(p), .stands = stands};
	rc = store_role_who(p, a, &q->who);
	if (rc == RC_OK)
		arena_init(&q->mem, STORE_DECIDE_BYTES);
	return rc;
}

/* what goes back, once it is decided (rc: what that returned) */
static uint16_t store_question_cause(struct store_question *q, enum rc rc, const char *what)
{
	enum cause_id cause = rc == RC_OK ? q->decided.verdict.cause : store_role_judge(q->role, rc, what, &q->err);

	if (q->stands && q->who.by == POLICY_BY_NOTHING)
		cause = CAUSE_SERVER_TEMP_ERROR; /* granted by a store that is gone */
	return (uint16_t)cause;
}

enum rc store_role_sender_check(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_sender_check *m = &msg->sender_check;
	struct span from[STORE_FROM_MAX];
	struct decide_mail mail = {.sender = m->sender, .message_bytes = m->message_bytes, .stage = m->place ? POLICY_AT_FROM : POLICY_AT_MAIL, .from = from,
		.from_count = store_role_from(m, from), .from_unreadable = m->place && m->from.count == 0};
	struct msg_sender_result answer = {.ask = m->ask};
	struct store_question q;
	enum rc rc = store_question_open(&q, p, &(struct store_asker){m->session, m->listener, m->tls, m->window, m->window_ms, m->peer}, m->stands);

	if (rc != RC_OK)
		return rc;
	rc = decide_mail(&q.d, &q.who, &mail, &q.mem, &q.decided, &q.err);
	answer.cause = store_question_cause(&q, rc, "sender");
	answer.act = (uint8_t)q.decided.verdict.act;
	answer.account = q.decided.account;
	answer.detail = q.decided.detail;
	answer.limit = q.decided.limit;
	answer.retry = q.decided.retry;
	answer.rule = q.decided.rule;
	chan_send(p->chan, MSG_SENDER_RESULT, &answer);
	arena_clear(&q.mem);
	return RC_OK;
}

/* what the recipient's filter needs to know of a message, so that the worker keeps what it takes */
static uint32_t store_role_needs(struct store_peer *p, uint64_t tag)
{
	uint32_t needs = 0;
	struct err err = {""};

	if (store_filter_needs(p->role->store, tag, &needs, &err) != RC_OK)
		return 0; /* the inbox takes what no filter could be asked about */
	return needs;
}

enum rc store_role_rcpt_check(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_rcpt_check *m = &msg->rcpt_check;
	struct decide_rcpt rcpt = {.sender = m->sender, .rcpt = m->address, .message_bytes = m->message_bytes, .rcpts = m->rcpts};
	struct msg_rcpt_result answer = {.ask = m->ask};
	struct store_question q;
	enum rc rc = store_question_open(&q, p, &(struct store_asker){m->session, m->listener, m->tls, m->window, m->window_ms, m->peer}, m->stands);

	if (rc != RC_OK)
		return rc;
	rc = decide_rcpt(&q.d, &q.who, &rcpt, &q.mem, &q.decided, &q.err);
	answer.cause = store_question_cause(&q, rc, "recipient");
	if (answer.cause == CAUSE_NONE) {
		answer.tag = q.decided.found.tag;
		answer.header_rules = q.decided.header_rules.len <= LIMIT_DOMAIN_BYTES ? q.decided.header_rules : SPAN_NONE;
		answer.needs = q.decided.facts.rcpt == POLICY_RCPT_LOCAL ? store_role_needs(p, answer.tag) : 0;
	}
	answer.detail = q.decided.detail;
	answer.limit = q.decided.limit;
	answer.retry = q.decided.retry;
	answer.rule = q.decided.rule;
	chan_send(p->chan, MSG_RCPT_RESULT, &answer);
	arena_clear(&q.mem);
	return RC_OK;
}

/* ---- header rules of a domain */

struct store_rules_list {
	struct buf *out;
	uint32_t count;
};

static enum rc store_role_header_rule(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value)
{
	struct store_rules_list *list = arg;

	(void)domain;
	if (kind != STORE_RULE_REFUSE_HEADER)
		return RC_OK;
	rec_address_add(list->out, &(struct rec_address){.text = value});
	list->count++;
	return RC_OK;
}

enum rc store_role_header_rules(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_header_rules_get *m = &msg->header_rules_get;
	struct msg_header_rules answer = {.ask = m->ask};
	struct store_rules_list list = {0};
	struct err err = {""};
	struct buf rules;
	enum rc rc = RC_NONE;

	buf_init(&rules, STORE_DECIDE_BYTES);
	list.out = &rules;
	if (m->domain.len)
		rc = store_domain_rule_each(p->role->store, m->domain, store_role_header_rule, &list, &err);
	if (rc != RC_OK && rc != RC_NONE) /* NONE: hosted no more */
		answer.cause = (uint16_t)store_role_judge(p->role, rc, "rules", &err);
	answer.rules = (struct msg_list){.raw = buf_span(&rules), .count = list.count};
	chan_send(p->chan, MSG_HEADER_RULES, &answer);
	buf_clear(&rules);
	return RC_OK;
}
