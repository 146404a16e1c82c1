#include "role/relay_sts.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

enum { STS_HOST_BYTES = 253 };
static const char sts_record_label[] = "_mta-sts.", sts_host_label[] = "mta-sts.", sts_path[] = "/.well-known/mta-sts.txt";

struct relay_sts_entry {
	struct relay_sts *sts;
	uint64_t key;
	struct relay_sts_entry *older, *newer; /* by use */
	struct sts_policy *policy;             /* NULL: none is known */
	struct relay_sts_wait *waits;
	struct loop_timer timer;
	uint32_t question, store_ask, fetch_ask; /* under way; 0: none */
	mono_ms failed_at;                     /* of the last fetch; 0: it went well, or there was none */
	bool busy;                             /* between the question to the DNS and the answer to those who wait */
	bool loaded;                           /* the store has been asked */
	uint8_t id_len;
	uint8_t id[MTA_STS_ID_BYTES];          /* of the record found last; id_len 0: none */
	char domain[];
};

struct relay_sts {
	struct role *role;
	struct names *names;
	struct chan *store, *fetch;
	struct map entries, by_ask; /* hash of the domain; number of a question to store or fetch */
	struct relay_sts_entry *oldest, *newest;
	size_t bytes;
	uint32_t next_ask;
	unsigned fetches;
	bool freeing;
};

/* ---- entries */

static struct relay_sts_entry *sts_entry_find(struct relay_sts *s, struct span domain, uint64_t *key_out)
{
	uint64_t key = map_hash(domain.ptr, domain.len);
	struct relay_sts_entry *e;

	while ((e = map_get(&s->entries, key)) && !span_eq(span_str(e->domain), domain))
		key++;
	*key_out = key;
	return e;
}

static void sts_entry_unlink(struct relay_sts_entry *e)
{
	struct relay_sts *s = e->sts;

	*(e->older ? &e->older->newer : &s->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &s->newest) = e->older;
}

static void sts_entry_use(struct relay_sts_entry *e)
{
	struct relay_sts *s = e->sts;

	e->older = s->newest;
	e->newer = NULL;
	*(s->newest ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

static void sts_entry_set_policy(struct relay_sts_entry *e, struct sts_policy *p)
{
	if (e->policy)
		e->sts->bytes -= e->policy->mem.used_bytes;
	sts_policy_unref(&e->policy);
	e->policy = p;
	if (p)
		e->sts->bytes += p->mem.used_bytes;
}

static void sts_entry_free(struct relay_sts_entry *e)
{
	struct relay_sts *s = e->sts;

	if (e->question)
		names_cancel(s->names, e->question);
	if (e->store_ask)
		(void)map_take(&s->by_ask, e->store_ask);
	if (e->fetch_ask) {
		(void)map_take(&s->by_ask, e->fetch_ask);
		s->fetches--;
	}
	loop_timer_clear(&e->timer);
	while (e->waits)
		relay_sts_cancel(e->waits);
	sts_entry_set_policy(e, NULL);
	sts_entry_unlink(e);
	(void)map_take(&s->entries, e->key);
	free(e);
}

/* A hash that another domain has moves both to the next key; those behind a freed one are then not found, and asked for anew: it costs a question. */
static void sts_make_room(struct relay_sts *s)
{
	struct relay_sts_entry *e = s->oldest;

	while (e && (s->entries.count > STS_ENTRIES_MAX || s->bytes > STS_BYTES_MAX)) {
		struct relay_sts_entry *newer = e->newer;

		if (!e->busy && !e->fetch_ask && e != s->newest)
			sts_entry_free(e);
		e = newer;
	}
}

/* ---- the end of a question: everybody who waits is told */

static void sts_finish(struct relay_sts_entry *e)
{
	struct sts_policy *p = NULL;
	struct relay_sts_wait *list = e->waits;

	e->busy = false;
	loop_timer_at(&e->timer, MONO_NEVER);
	if (e->policy && !sts_policy_lives(e->policy, clock_wall_ms()))
		sts_entry_set_policy(e, NULL);
	p = sts_policy_ref(e->policy);
	e->waits = NULL;
	if (list)
		list->prev = &list;
	/* `done` may do anything, but for freeing us */
	while (list) {
		struct relay_sts_wait *w = list;

		relay_sts_cancel(w);
		w->done(w->arg, p);
	}
	sts_policy_unref(&p);
}

static void sts_on_timer(void *arg, mono_ms now)
{
	struct relay_sts_entry *e = arg;
	struct relay_sts *s = e->sts;

	(void)now;
	if (e->question)
		names_cancel(s->names, e->question);
	if (e->store_ask)
		(void)map_take(&s->by_ask, e->store_ask);
	e->question = e->store_ask = 0; /* a fetch goes on: what it brings is for the next */
	sts_finish(e);
}

static uint32_t sts_number(struct relay_sts *s, struct relay_sts_entry *e)
{
	do
		s->next_ask++;
	while (s->next_ask == 0 || map_get(&s->by_ask, s->next_ask));
	(void)map_put(&s->by_ask, s->next_ask, e);
	return s->next_ask;
}

/* ---- the policy itself, by HTTPS */

static void sts_fetch_failed(struct relay_sts_entry *e, struct span words)
{
	e->failed_at = loop_now(e->sts->role->loop);
	if (log_begin(LOG_LEVEL_WARN, "sts-fetch-failed")) {
		log_str("domain", e->domain);
		log_span("words", words);
		log_str("kept", e->policy ? mta_sts_mode_name(e->policy->sts.mode) : NULL);
		log_end();
	}
}

static void sts_fetched(struct relay_sts_entry *e, const struct msg_fetch_is *m)
{
	struct relay_sts *s = e->sts;
	struct err err = {""};
	struct sts_policy *p;

	if (m->status != 200) {
		struct buf words;

		buf_init(&words, 300);
		if (m->status)
			buf_printf(&words, "HTTP status %u", m->status);
		else
			buf_add_safe(&words, m->words, 256);
		sts_fetch_failed(e, buf_span(&words));
		buf_clear(&words);
		return;
	}
	p = sts_policy_new(span_of(e->id, e->id_len), m->body, clock_wall_ms(), &err);
	if (!p) {
		sts_fetch_failed(e, span_str(err.words));
		return;
	}
	e->failed_at = 0;
	sts_entry_set_policy(e, p);
	if (s->store)
		chan_send(s->store, MSG_STS_PUT,
			&(struct msg_sts_put){.domain = span_str(e->domain), .id = p->id, .text = p->text, .fetched_ms = (uint64_t)p->fetched_ms});
	if (log_begin(LOG_LEVEL_INFO, "sts-policy")) {
		log_str("domain", e->domain);
		log_span("id", p->id);
		log_str("mode", mta_sts_mode_name(p->sts.mode));
		log_num("max_age_s", p->sts.max_age_s);
		log_num("mx", p->sts.mx_count);
		log_span("words", m->words);
		log_end();
	}
}

/* false: nobody can fetch just now */
static bool sts_fetch(struct relay_sts_entry *e)
{
	struct relay_sts *s = e->sts;
	struct buf host;

	if (e->fetch_ask)
		return true;
	if (!s->fetch || s->fetches >= STS_FETCHES_MAX)
		return false;
	buf_init(&host, STS_HOST_BYTES);
	buf_add_str(&host, sts_host_label);
	buf_add_str(&host, e->domain);
	e->fetch_ask = sts_number(s, e);
	s->fetches++;
	chan_send(s->fetch, MSG_FETCH_ASK,
		&(struct msg_fetch_ask){.ask = e->fetch_ask, .max = MTA_STS_TEXT_BYTES, .host = buf_span(&host), .path = span_str(sts_path)});
	buf_clear(&host);
	return true;
}

static enum rc sts_on_fetch(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct relay_sts *s = owner;
	struct relay_sts_entry *e;

	(void)c;
	if (type != MSG_FETCH_IS)
		return RC_BAD;
	e = map_get(&s->by_ask, msg->fetch_is.ask);
	if (!e || e->fetch_ask != msg->fetch_is.ask)
		return RC_OK; /* forgotten meanwhile */
	(void)map_take(&s->by_ask, e->fetch_ask);
	e->fetch_ask = 0;
	s->fetches--;
	sts_fetched(e, &msg->fetch_is);
	if (e->busy && !e->question && !e->store_ask)
		sts_finish(e);
	sts_make_room(s);
	return RC_OK;
}

/* what was being fetched is not to be had; that is no domain's fault */
static void sts_fetches_lost(struct relay_sts *s)
{
	while (s->fetches > 0) {
		struct relay_sts_entry *e = s->oldest; /* from the start each time: those who are told may ask anew, which changes the list */

		while (!e->fetch_ask)
			e = e->newer;
		(void)map_take(&s->by_ask, e->fetch_ask);
		e->fetch_ask = 0;
		s->fetches--;
		if (e->busy && !e->question && !e->store_ask)
			sts_finish(e);
	}
}

static void sts_fetch_gone(void *owner, struct chan *c, const char *why)
{
	struct relay_sts *s = owner;

	log_msg(LOG_LEVEL_INFO, "peer-gone", "fetch: %s", why);
	role_lost(s->role, c);
	chan_free(&s->fetch);
	sts_fetches_lost(s);
}

void relay_sts_fetch_peer(struct relay_sts *s, uint32_t worker, int fd)
{
	static const struct chan_ops ops = {.on_frame = sts_on_fetch, .on_gone = sts_fetch_gone};

	chan_free(&s->fetch);
	sts_fetches_lost(s);
	s->fetch = chan_new(s->role->loop, fd, s->role->id, ROLE_FETCH, worker, &ops, s);
}

/* ---- what is known, held against the record */

static bool sts_may_fetch(const struct relay_sts_entry *e)
{
	return e->failed_at == 0 || loop_now(e->sts->role->loop) - e->failed_at >= STS_AGAIN_MS;
}

/* the record and what the store has are known */
static void sts_decide(struct relay_sts_entry *e)
{
	int64_t now_ms = clock_wall_ms();
	bool known = sts_policy_lives(e->policy, now_ms);

	/* RFC 8461 3.1: that the record is not there or cannot be had does not end a policy that is known */
	if (e->id_len > 0 && sts_may_fetch(e)) {
		bool same = known && span_eq(e->policy->id, span_of(e->id, e->id_len));

		if (!same && sts_fetch(e))
			return; /* sts_finish follows */
		if (same && sts_policy_is_due(e->policy, now_ms))
			(void)sts_fetch(e); /* nobody waits for it */
	}
	sts_finish(e);
}

enum rc relay_sts_on_store(struct relay_sts *s, const struct msg_sts_is *m)
{
	struct relay_sts_entry *e = map_get(&s->by_ask, m->ask);
	struct err err = {""};
	struct sts_policy *p;

	if (!e || e->store_ask != m->ask)
		return RC_OK;
	(void)map_take(&s->by_ask, e->store_ask);
	e->store_ask = 0;
	e->loaded = true;
	if (m->found && !e->policy) {
		p = sts_policy_new(m->id, m->text, (int64_t)m->fetched_ms, &err);
		if (p)
			sts_entry_set_policy(e, p);
	}
	if (!e->question)
		sts_decide(e);
	return RC_OK;
}

void relay_sts_store(struct relay_sts *s, struct chan *store)
{
	struct relay_sts_entry *e = s->oldest;

	s->store = store;
	while (!store && e) {
		if (!e->store_ask) {
			e = e->newer;
			continue;
		}
		(void)map_take(&s->by_ask, e->store_ask);
		e->store_ask = 0;
		if (!e->question)
			sts_decide(e);
		e = s->oldest; /* those who are told may ask anew, which changes the list */
	}
}

/* several records of the kind, or a broken one, are as none (RFC 8461 3.1) */
static void sts_take_records(struct relay_sts_entry *e, const struct msg_name_is *answer)
{
	struct span cursor = answer->rrs.raw, id = SPAN_NONE, one;
	struct rec_name_rr rr;
	unsigned records = 0;

	e->id_len = 0;
	if (answer->status != NAME_FOUND || answer->cut)
		return;
	while (rec_name_rr_next(&cursor, &rr)) {
		enum rc rc = mta_sts_record(rr.data, &one);

		if (rc == RC_NONE)
			continue;
		records++;
		if (rc == RC_OK)
			id = one;
	}
	if (records != 1 || id.len == 0)
		return;
	memcpy(e->id, id.ptr, id.len);
	e->id_len = (uint8_t)id.len;
}

static void sts_on_name(void *arg, const struct msg_name_is *answer)
{
	struct relay_sts_entry *e = arg;

	e->question = 0;
	sts_take_records(e, answer);
	if (!e->store_ask)
		sts_decide(e);
}

static void sts_begin(struct relay_sts_entry *e)
{
	struct relay_sts *s = e->sts;
	struct buf name;

	e->busy = true;
	loop_timer_at(&e->timer, loop_now(s->role->loop) + STS_WAIT_MS);
	if (!e->loaded && s->store) {
		e->store_ask = sts_number(s, e);
		chan_send(s->store, MSG_STS_GET, &(struct msg_sts_get){.ask = e->store_ask, .domain = span_str(e->domain)});
	}
	buf_init(&name, LIMIT_DOMAIN_BYTES + sizeof(sts_record_label));
	buf_add_str(&name, sts_record_label);
	buf_add_str(&name, e->domain);
	e->question = names_ask(s->names, NAME_TXT, buf_span(&name), sts_on_name, e);
	buf_clear(&name);
}

void relay_sts_ask(struct relay_sts *s, struct span domain, struct relay_sts_wait *wait)
{
	uint8_t lower[LIMIT_DOMAIN_BYTES] = {0};
	struct relay_sts_entry *e;
	uint64_t key;

	domain = span_head(domain, sizeof(lower)); /* longer ones are nobody's */
	for (size_t i = 0; i < domain.len; i++)
		lower[i] = byte_lower(domain.ptr[i]);
	domain = span_of(lower, domain.len);
	e = sts_entry_find(s, domain, &key);
	if (e) {
		sts_entry_unlink(e);
	} else {
		e = mem_zalloc(sizeof(*e) + domain.len + 1);
		e->sts = s;
		e->key = key;
		memcpy(e->domain, domain.ptr, domain.len);
		loop_timer_init(s->role->loop, &e->timer, sts_on_timer, e);
		(void)map_put(&s->entries, key, e);
	}
	sts_entry_use(e);
	wait->next = e->waits;
	wait->prev = &e->waits;
	if (wait->next)
		wait->next->prev = &wait->next;
	e->waits = wait;
	if (!e->busy)
		sts_begin(e);
	sts_make_room(s);
}

void relay_sts_cancel(struct relay_sts_wait *wait)
{
	if (!wait->prev)
		return;
	*wait->prev = wait->next;
	if (wait->next)
		wait->next->prev = wait->prev;
	wait->prev = NULL;
}

/* ---- birth and end */

struct relay_sts *relay_sts_new(struct role *r, struct names *names)
{
	struct relay_sts *s = mem_zalloc(sizeof(*s));

	s->role = r;
	s->names = names;
	map_init(&s->entries);
	map_init(&s->by_ask);
	return s;
}

void relay_sts_free(struct relay_sts **sp)
{
	struct relay_sts *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	chan_free(&s->fetch);
	while (s->oldest)
		sts_entry_free(s->oldest);
	map_clear(&s->entries);
	map_clear(&s->by_ask);
	free(s);
}
