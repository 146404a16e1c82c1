#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "role/relay_tls_internal.h"

/* ---- the process */

enum rc relay_tls_new(struct role *r, struct names *names, const struct relay_tls_rules *rules, struct relay_tls **out, struct err *err)
{
	struct relay_tls *t = mem_zalloc(sizeof(*t));
	enum rc rc = relay_tls_ctx_new(rules->ca_file, &t->ctx, err);

	if (rc != RC_OK) {
		free(t);
		return rc;
	}
	t->role = r;
	t->names = names;
	t->dane = rules->dane;
	if (rules->sts)
		t->sts = relay_sts_new(r, names);
	*out = t;
	return RC_OK;
}

void relay_tls_free(struct relay_tls **t)
{
	struct relay_tls *old = *t;

	*t = NULL;
	if (!old)
		return;
	relay_sts_free(&old->sts);
	SSL_CTX_free(old->ctx);
	free(old);
}

void relay_tls_store(struct relay_tls *t, struct chan *store)
{
	if (t->sts)
		relay_sts_store(t->sts, store);
}

enum rc relay_tls_on_sts(struct relay_tls *t, const struct msg_sts_is *m)
{
	return t->sts ? relay_sts_on_store(t->sts, m) : RC_BAD;
}

void relay_tls_fetch_peer(struct relay_tls *t, uint32_t worker, int fd)
{
	if (t->sts)
		relay_sts_fetch_peer(t->sts, worker, fd);
	else
		(void)close(fd);
}

/* ---- a destination */

static void dest_soon(void *arg)
{
	struct relay_tls_dest *d = arg;

	d->ready(d->arg, d);
}

static void dest_policy(void *arg, struct sts_policy *policy)
{
	struct relay_tls_dest *d = arg;

	if (policy && policy->sts.mode != MTA_STS_NONE)
		d->policy = sts_policy_ref(policy);
	d->ready(d->arg, d);
}

struct relay_tls_dest *relay_tls_dest_new(struct relay_tls *t, struct span domain, enum relay_tls_level level, bool by_mx, relay_tls_dest_ready *ready,
	void *arg)
{
	struct relay_tls_dest *d = mem_zalloc(sizeof(*d));

	*d = (struct relay_tls_dest){.tls = t, .level = level, .by_mx = by_mx, .ready = ready, .arg = arg, .domain = mem_str_span(domain)};
	d->wait = (struct relay_sts_wait){.done = dest_policy, .arg = d};
	d->soon = (struct loop_hook){.fn = dest_soon, .arg = d, .once = true};
	if (t->sts && by_mx && level != RELAY_TLS_NEVER && domain.len > 0)
		relay_sts_ask(t->sts, domain, &d->wait);
	else
		loop_soon(t->role->loop, &d->soon);
	return d;
}

void relay_tls_dest_free(struct relay_tls_dest **d)
{
	struct relay_tls_dest *old = *d;

	*d = NULL;
	if (!old)
		return;
	relay_sts_cancel(&old->wait);
	loop_hook_remove(old->tls->role->loop, &old->soon);
	sts_policy_unref(&old->policy);
	free(old->domain);
	free(old);
}

/* ---- a host: its TLSA records, then what it needs */

static void host_refuse(struct relay_tls_host *h, enum cause_id cause, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void host_refuse(struct relay_tls_host *h, enum cause_id cause, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(h->words, sizeof(h->words), fmt, args);
	va_end(args);
	h->cause = cause;
}

static void host_log_testing(const struct relay_tls_host *h)
{
	if (log_begin(LOG_LEVEL_WARN, "sts-testing")) {
		log_str("domain", h->dest->domain);
		log_str("host", h->name);
		log_str("words", "the policy does not name this host");
		log_end();
	}
}

static bool host_in_policy(const struct relay_tls_host *h)
{
	return h->dest->policy && mta_sts_match(&h->dest->policy->sts, span_str(h->name));
}

/* RFC 7672 2.2, RFC 8461 2: DANE, where there is any, decides alone */
static void host_decide(struct relay_tls_host *h)
{
	const struct relay_tls_dest *d = h->dest;
	bool enforce = d->policy && d->policy->sts.mode == MTA_STS_ENFORCE;

	if (h->cause != CAUSE_NONE)
		return;
	if (h->tlsa_count > 0)
		h->need = RELAY_NEED_DANE;
	else if (enforce)
		h->need = RELAY_NEED_STS;
	else if (d->level == RELAY_TLS_VERIFIED)
		h->need = RELAY_NEED_PKIX;
	else
		h->need = d->level == RELAY_TLS_MUST || h->tlsa_secure ? RELAY_NEED_TLS : RELAY_NEED_NOTHING;
	if (h->need == RELAY_NEED_STS && !host_in_policy(h))
		host_refuse(h, CAUSE_TLS_STS_MISMATCH, "the policy does not name %s", h->name[0] ? h->name : "it");
	else if (h->need == RELAY_NEED_PKIX && !h->name[0])
		host_refuse(h, CAUSE_TLS_CERT_NAME_MISMATCH, "it has no name that a certificate could be for");
	else if (d->policy && !enforce && h->need != RELAY_NEED_DANE && !host_in_policy(h))
		host_log_testing(h);
}

static void host_soon(void *arg)
{
	struct relay_tls_host *h = arg;

	host_decide(h);
	h->ready(h->arg, h);
}

static void host_ask_tlsa(struct relay_tls_host *h, bool canonical);

static void host_on_tlsa(void *arg, const struct msg_name_is *answer)
{
	struct relay_tls_host *h = arg;

	h->question = 0;
	if (answer->status == NAME_FAILED || answer->status == NAME_BOGUS) {
		/* RFC 7672 2.1.1: whoever can hold the answer back must not gain anything by it */
		host_refuse(h, CAUSE_TLS_DANE_LOOKUP, "TLSA records of %s: %s", h->base_is_canonical ? h->canonical : h->name,
			answer->status == NAME_BOGUS ? "DNSSEC says that they are forged" : "the lookup failed");
	} else if (answer->status == NAME_FOUND && answer->security == NAME_SECURE) {
		h->tlsa_secure = true;
		relay_dane_take(h, answer);
	} else if (h->base_is_canonical) {
		host_ask_tlsa(h, false);
		return;
	}
	host_soon(h);
}

static void host_ask_tlsa(struct relay_tls_host *h, bool canonical)
{
	char *name = mem_printf("_%u._tcp.%s", h->port, canonical ? h->canonical : h->name);

	h->base_is_canonical = canonical;
	h->question = names_ask(h->dest->tls->names, NAME_TLSA, span_str(name), host_on_tlsa, h);
	free(name);
}

/* RFC 7672 2.2.2: the addresses are not secure, but perhaps only behind an alias that is; then the records of the alias count */
static void host_on_alias(void *arg, const struct msg_name_is *answer)
{
	struct relay_tls_host *h = arg;

	h->question = 0;
	if (answer->status == NAME_FOUND && answer->security == NAME_SECURE)
		host_ask_tlsa(h, false);
	else
		host_soon(h);
}

static char *host_name(struct span name)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	return mem_str_span(span_head(name, LIMIT_DOMAIN_BYTES));
}

struct relay_tls_host *relay_tls_host_new(struct relay_tls_dest *d, const struct relay_tls_target *target, relay_tls_host_ready *ready, void *arg)
{
	struct relay_tls_host *h = mem_zalloc(sizeof(*h));
	struct net_address ip;
	bool alias;

	*h = (struct relay_tls_host){.dest = d, .ready = ready, .arg = arg, .port = target->port, .mx_secure = target->mx_secure};
	h->name = host_name(target->name);
	h->canonical = host_name(target->canonical);
	h->literal = net_parse(target->name, &ip) == RC_OK;
	h->soon = (struct loop_hook){.fn = host_soon, .arg = h, .once = true};
	arena_init(&h->mem, RELAY_TLSA_BYTES);
	alias = h->canonical[0] && !span_eq_nocase(span_str(h->canonical), span_str(h->name));
	/* where the addresses are not secure there is nothing to gain, and some name servers fail at TLSA (RFC 7672 2.1.2) */
	if (!d->tls->dane || d->level == RELAY_TLS_NEVER || !target->mx_secure || !h->name[0] || h->literal || (!target->address_secure && !alias))
		loop_soon(d->tls->role->loop, &h->soon);
	else if (target->address_secure)
		host_ask_tlsa(h, alias);
	else
		h->question = names_ask(d->tls->names, NAME_CNAME, span_str(h->name), host_on_alias, h);
	return h;
}

void relay_tls_host_free(struct relay_tls_host **h)
{
	struct relay_tls_host *old = *h;

	*h = NULL;
	if (!old)
		return;
	if (old->question)
		names_cancel(old->dest->tls->names, old->question);
	loop_hook_remove(old->dest->tls->role->loop, &old->soon);
	arena_clear(&old->mem);
	free(old->name);
	free(old->canonical);
	free(old);
}

enum cause_id relay_tls_host_cause(const struct relay_tls_host *h, const char **words_out)
{
	*words_out = h->words;
	return h->cause;
}

enum smtp_out_tls relay_tls_host_mode(const struct relay_tls_host *h)
{
	if (h->dest->level == RELAY_TLS_NEVER)
		return SMTP_OUT_TLS_NEVER;
	return h->need == RELAY_NEED_NOTHING ? SMTP_OUT_TLS_MAY : SMTP_OUT_TLS_MUST;
}
