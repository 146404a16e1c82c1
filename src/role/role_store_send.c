#include "role/role_store_send.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rng.h"
#include "mail/autoreply.h"
#include "policy/sieve.h"
#include "store/history.h"
#include "store/store_vacation.h"

static void send_log(const struct store_sends *x, const char *what, struct span account, struct span to, const char *why, int64_t message)
{
	char session[14];
	struct buf id;

	if (!log_begin(LOG_LEVEL_INFO, "filter-send"))
		return;
	buf_init(&id, 32);
	if (message)
		store_queue_id_write(&id, message);
	log_str("what", what);
	log_span("account", account);
	log_span("to", to);
	if (message)
		log_span("queue_id", buf_span(&id));
	log_str("session", num_base32(x->m->session, 8, session));
	log_str("why", why);
	log_end();
	buf_clear(&id);
}

/* ---- may the account? */

struct send_account {
	struct store_account_policy policy;
	struct span script;
	uint32_t needs;
	const char *why; /* not; NULL: it may */
};

/* the script lives in `scratch` */
static enum rc send_account_get(struct store_sends *x, int64_t account, enum sieve_needs need, struct arena *scratch,
				struct send_account *out, struct err *err)
{
	struct store *s = x->peer->role->store;
	enum rc rc = store_account_policy(s, account, &x->mem, &out->policy, err);

	if (rc == RC_NONE) {
		out->why = "there is no such account";
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = store_filter_of(s, account, scratch, &out->script, &out->needs, err);
	if (rc == RC_NONE || rc == RC_BAD ||
	    (rc == RC_OK && !(out->needs & need))) { /* changed since the worker read it, or a worker that lies */
		out->why = "its filter says nothing of the kind";
		return RC_OK;
	}
	if (rc == RC_OK && (!out->policy.enabled || !out->policy.sending))
		out->why = "the account may not send";
	return rc;
}

static struct role_rates_who send_rates_who(const struct store_sends *x, int64_t account, const struct store_account_policy *policy)
{
	return (struct role_rates_who){
		.account = account, .message_rates = policy->message_rates, .rcpt_rates = policy->rcpt_rates, .peer = x->m->peer};
}

/* counts it where it is within the limits */
static bool send_rates_take(const struct store_sends *x, const struct role_rates_who *who, const struct store_rcpt *rcpt)
{
	struct role_rates_said said = {.cause = CAUSE_NONE};

	if (x->peer->role->rates)
		role_rates_accept(x->peer->role->rates, x->peer->conf->conf, who, rcpt, 1, &said);
	return said.cause == CAUSE_NONE;
}

static void send_rates_give(const struct store_sends *x, const struct role_rates_who *who, const struct store_rcpt *rcpt)
{
	if (x->peer->role->rates)
		role_rates_refused(x->peer->role->rates, x->peer->conf->conf, who, rcpt, 1);
}

static struct span send_domain(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at ? span_from(address, at) : SPAN_NONE;
}

/* NULL: somebody is there */
static const char *send_target_fault(const struct store_resolved *r, struct span to, int64_t account)
{
	uint64_t kind = r->tag & STORE_TAG_MASK;

	if (r->cause != CAUSE_NONE)
		return cause_slug(r->cause);
	if (kind == STORE_TAG_SRS)
		return "srs-invalid";
	if (kind == STORE_TAG_ACCOUNT && (int64_t)(r->tag >> STORE_TAG_BITS) == account)
		return "it is the account itself";
	return kind == STORE_TAG_FOREIGN && policy_domain_impossible(send_domain(to)) ? cause_slug(CAUSE_RCPT_DOMAIN_NOT_FOUND) : NULL;
}

/* ---- sent on: before */

static bool send_has_copy(const struct store_sends *x, int64_t account)
{
	for (size_t i = 0; i < x->message->filed_count; i++)
		if (x->filed[i].account == account && x->filed[i].how < STORE_FILED_NOWHERE)
			return true;
	return false;
}

/* Nobody's mail is lost for it: what does not go on stays, once. */
static void send_not(struct store_sends *x, struct store_filed *f, struct span account, const char *why)
{
	send_log(x, "redirect", account, f->to, why, 0);
	f->how = send_has_copy(x, f->account) ? STORE_FILED_NOWHERE : STORE_FILED_INBOX;
}

static unsigned send_count(const struct store_sends *x, int64_t account)
{
	unsigned n = 0;

	for (size_t i = 0; i < x->count; i++)
		n += x->sends[i].filed->account == account;
	return n;
}

static enum rc send_plan(struct store_sends *x, struct store_filed *f, struct err *err)
{
	struct store_send *send = &x->sends[x->count];
	struct send_account a = {.why = NULL};
	struct arena scratch;
	enum rc rc;

	arena_init(&scratch, 2 * LIMIT_SIEVE_SCRIPT_BYTES);
	rc = send_account_get(x, f->account, SIEVE_NEEDS_REDIRECT, &scratch, &a, err);
	if (rc == RC_OK && !a.why && !(a.needs & SIEVE_NEEDS_REDIRECT_ANY) && span_find_span(a.script, f->to) >= a.script.len)
		a.why = "its filter does not name that address";
	arena_clear(&scratch);
	if (rc == RC_OK && !a.why && send_count(x, f->account) == LIMIT_SIEVE_REDIRECTS)
		a.why = "too many addresses";
	if (rc == RC_OK && !a.why) {
		rc = store_resolve(x->peer->role->store, f->to, x->message->head.len + (x->m->spool ? x->m->spool_bytes : x->m->body.len),
				   &x->mem, &send->to, err);
		a.why = rc == RC_OK ? send_target_fault(&send->to, f->to, f->account) : NULL;
	}
	if (rc != RC_OK)
		return rc;
	if (!a.why) {
		send->filed = f;
		send->account = a.policy.address;
		send->rates = send_rates_who(x, f->account, &a.policy);
		if (!send_rates_take(x, &send->rates, &(struct store_rcpt){.address = f->to, .tag = send->to.tag}))
			a.why = "the account has sent as much as it may for now";
	}
	if (a.why)
		send_not(x, f, a.policy.address, a.why);
	else
		x->count++;
	return RC_OK;
}

enum rc store_role_send_begin(struct store_sends *x, struct store_peer *p, const struct msg_accept *m, struct store_message *message,
			      struct store_filed *filed, struct err *err)
{
	size_t wanted = 0;
	enum rc rc = RC_OK;

	*x = (struct store_sends){.peer = p, .m = m, .message = message, .filed = filed};
	arena_init(&x->mem, STORE_SENDS_BYTES);
	for (size_t i = 0; i < message->filed_count; i++)
		wanted += filed[i].how == STORE_FILED_SENT_ON;
	if (wanted == 0)
		return RC_OK;
	x->sends = arena_zalloc(&x->mem, wanted * sizeof(*x->sends));
	if (!x->sends)
		return err_set(err, RC_LIMIT, "no room for what filters send on");
	message->shared = &x->shared;
	rc = store_begin(p->role->store, err);
	for (size_t i = 0; i < message->filed_count && rc == RC_OK; i++)
		if (filed[i].how == STORE_FILED_SENT_ON)
			rc = send_plan(x, &filed[i], err);
	return rc;
}

/* ---- sent on: after */

/* The envelope's wishes for the recipient who led to this account go on with it (RFC 3461 5.2.7.1), where it is plain which one did. */
static void send_wishes(const struct store_sends *x, const struct store_send *send, struct store_rcpt *rcpt)
{
	const struct store_message *m = x->message;
	uint64_t tag = (uint64_t)send->filed->account << STORE_TAG_BITS | STORE_TAG_ACCOUNT;

	for (uint32_t i = 0; i < m->rcpt_count; i++)
		if (m->rcpt_count == 1 || m->rcpts[i].tag == tag) {
			rcpt->notify = m->rcpts[i].notify;
			rcpt->orcpt = m->rcpts[i].orcpt;
			return;
		}
}

static void send_history(const struct store_sends *x, struct span rcpt, struct span sender, uint64_t tag, int64_t message, const char *what,
			 struct span account)
{
	bool elsewhere = (tag & STORE_TAG_MASK) == STORE_TAG_FOREIGN;
	struct buf detail;

	buf_init(&detail, 512);
	buf_printf(&detail, "%s by the filter of %.*s", what, SPAN_FMT(account));
	store_role_history_queue(x->peer->role,
				 &(struct history_event){.kind = elsewhere ? HISTORY_QUEUED : HISTORY_ACCEPTED,
							 .at_ms = (int64_t)x->m->received_ms,
							 .session = x->m->session,
							 .message = (uint64_t)message,
							 .mailbox = (tag & STORE_TAG_MASK) == STORE_TAG_ACCOUNT ? tag >> STORE_TAG_BITS : 0,
							 .sender = sender.len ? sender : SPAN_LIT("<>"),
							 .rcpt = rcpt,
							 .detail = buf_span(&detail)});
	buf_clear(&detail);
}

static enum rc send_on(struct store_sends *x, struct store_send *send, enum cause_id *cause_out, struct err *err)
{
	struct store_message m = *x->message;
	struct store_rcpt rcpt = {.address = send->filed->to, .tag = send->to.tag};
	struct buf trace;
	bool repeat = false;
	int64_t id = 0;
	enum rc rc;

	send_wishes(x, send, &rcpt);
	buf_init(&trace, LIMIT_TRACE_BYTES);
	buf_add_str(&trace, "Delivered-To: "); /* who has it already, should it come back (RFC 5228 10, RFC 9228) */
	buf_add(&trace, send->account);
	buf_add_str(&trace, "\r\n");
	if (trace.len + send->filed->added.len + m.trace.len <= LIMIT_TRACE_BYTES)
		buf_add(&trace, send->filed->added);
	buf_add(&trace, m.trace);
	m.trace = buf_span(&trace);
	m.rcpts = &rcpt;
	m.rcpt_count = 1;
	m.filed = NULL;
	m.filed_count = 0;
	m.via = send_domain(send->account);
	rc = trace.overflow ? err_set(err, RC_LIMIT, "no room for the trace of a message that is sent on")
			    : store_accept(x->peer->role->store, &m, &id, &repeat, cause_out, err);
	buf_clear(&trace);
	if (rc == RC_OK && repeat) {
		send_rates_give(x, &send->rates, &rcpt);
		send->given = true;
	}
	if (rc == RC_OK && *cause_out == CAUSE_NONE && !repeat) {
		send_log(x, "redirect", send->account, rcpt.address, NULL, id);
		send_history(x, rcpt.address, m.sender, rcpt.tag, id, "sent on", send->account);
	}
	return rc;
}

/* ---- answers */

struct send_answer {
	const struct rec_answer *r;
	struct send_account account;
	struct span from;
	struct store_resolved to;
	const char *why; /* none is sent; NULL: it is */
};

/* Is one due, and to somebody? */
static enum rc send_answer_look(struct store_sends *x, struct send_answer *a, struct err *err)
{
	struct store *s = x->peer->role->store;
	int64_t account = (int64_t)a->r->account;
	bool quiet = false, owned = false;
	struct arena scratch;
	enum rc rc;

	arena_init(&scratch, 2 * LIMIT_SIEVE_SCRIPT_BYTES);
	rc = send_account_get(x, account, SIEVE_NEEDS_VACATION, &scratch, &a->account, err);
	arena_clear(&scratch);
	a->why = a->account.why;
	if (rc != RC_OK || a->why)
		return rc;
	rc = store_vacation_quiet(s, account, a->r->handle, x->m->sender, x->message->received_ms, &quiet, err);
	if (rc == RC_OK && quiet)
		a->why = "its sender was answered already";
	if (rc != RC_OK || a->why)
		return rc;
	if (a->r->from.len)
		rc = store_sender_owned(s, account, a->r->from, &owned, err);
	a->from = owned ? a->r->from : a->account.policy.address;
	if (rc == RC_OK)
		rc = store_resolve(s, x->m->sender, 0, &x->mem, &a->to, err);
	if (rc == RC_OK)
		a->why = (a->to.tag & STORE_TAG_MASK) == STORE_TAG_SRS ? "srs-invalid" : send_target_fault(&a->to, x->m->sender, account);
	return rc;
}

static enum rc send_answer_accept(struct store_sends *x, const struct send_answer *a, struct span head, struct span body, bool is_8bit,
				  enum cause_id *cause_out, int64_t *id_out, struct err *err)
{
	/* the null sender and NOTIFY=NEVER: nobody is told where it does not arrive (RFC 3834 3.3) */
	struct store_rcpt rcpt = {.address = x->m->sender, .tag = a->to.tag, .notify = 1};
	struct store_message m = {.head = head,
				  .body = body,
				  .rcpts = &rcpt,
				  .rcpt_count = 1,
				  .received_ms = x->message->received_ms,
				  .account = (int64_t)a->r->account,
				  .origin = STORE_ORIGIN_ACCOUNT,
				  .client = a->account.policy.address,
				  .body_8bit = is_8bit,
				  .smtputf8 = !span_is_ascii(a->from) || !span_is_ascii(x->m->sender)};
	bool repeat;

	return store_accept(x->peer->role->store, &m, id_out, &repeat, cause_out, err);
}

static enum rc send_answer_write(struct store_sends *x, struct send_answer *a, struct err *err)
{
	struct autoreply reply = {.hostname = span_str(x->peer->conf->conf->hostname),
				  .from = a->from,
				  .to = x->m->sender,
				  .subject = a->r->subject,
				  .message_id = x->m->message_id,
				  .references = a->r->references,
				  .text = a->r->text,
				  .mime = a->r->mime,
				  .now_ms = x->message->received_ms,
				  .unique = rng_u64()};
	enum cause_id cause = CAUSE_NONE;
	bool is_8bit = false;
	struct buf head, body;
	int64_t id = 0;
	enum rc rc = RC_OK;

	buf_init(&head, AUTOREPLY_HEAD_BYTES);
	buf_init(&body, AUTOREPLY_BODY_BYTES);
	if (!autoreply_write(&reply, &head, &body, &is_8bit))
		a->why = "its text cannot be sent: a MIME entity has a Content-Type and lines of up to 998 bytes";
	else
		rc = send_answer_accept(x, a, buf_span(&head), buf_span(&body), is_8bit, &cause, &id, err);
	if (rc == RC_OK && cause != CAUSE_NONE)
		a->why = cause_slug(cause);
	if (rc == RC_OK && !a->why)
		rc = store_vacation_put(x->peer->role->store, (int64_t)a->r->account, a->r->handle, x->m->sender, x->message->received_ms,
					x->message->received_ms + (int64_t)a->r->seconds * 1000, err);
	if (rc == RC_OK && !a->why) {
		send_log(x, "vacation", a->account.policy.address, x->m->sender, NULL, id);
		send_history(x, x->m->sender, SPAN_NONE, a->to.tag, id, "answered", a->account.policy.address);
	}
	buf_clear(&head);
	buf_clear(&body);
	return rc;
}

static enum rc send_answer(struct store_sends *x, const struct rec_answer *r, struct err *err)
{
	struct send_answer a = {.r = r};
	struct role_rates_who who;
	struct store_rcpt rcpt;
	enum rc rc = send_answer_look(x, &a, err);

	if (rc == RC_OK && !a.why) {
		who = send_rates_who(x, (int64_t)r->account, &a.account.policy);
		rcpt = (struct store_rcpt){.address = x->m->sender, .tag = a.to.tag};
		if (!send_rates_take(x, &who, &rcpt))
			a.why = "the account has sent as much as it may for now";
		else
			rc = send_answer_write(x, &a, err);
		if (rc != RC_OK || a.why)
			send_rates_give(x, &who, &rcpt);
	}
	if (rc == RC_OK && a.why)
		send_log(x, "vacation", a.account.policy.address, x->m->sender, a.why, 0);
	return rc;
}

/* ---- the whole */

enum rc store_role_send_finish(struct store_sends *x, bool repeat, enum cause_id *cause_out, struct err *err)
{
	struct span cursor = x->m->answers.raw;
	struct rec_answer r;
	enum rc rc = RC_OK;

	/* a repeat, too: each place knows whether it has had it */
	for (size_t i = 0; i < x->count && rc == RC_OK && *cause_out == CAUSE_NONE; i++)
		rc = send_on(x, &x->sends[i], cause_out, err);
	if (rc != RC_OK || *cause_out != CAUSE_NONE || repeat || x->m->sender.len == 0)
		return rc;
	arena_clear(&x->mem); /* scripts; what was sent on is written */
	x->sends = NULL;
	x->count = 0;
	while (rc == RC_OK && rec_answer_next(&cursor, &r)) {
		rc = send_answer(x, &r, err);
		arena_clear(&x->mem);
	}
	return rc;
}

void store_role_send_end(struct store_sends *x, bool accepted)
{
	for (size_t i = 0; i < x->count && !accepted; i++)
		if (!x->sends[i].given)
			send_rates_give(x, &x->sends[i].rates,
					&(struct store_rcpt){.address = x->sends[i].filed->to, .tag = x->sends[i].to.tag});
	if (x->message->shared && x->m->spool)
		store_spool_drop(x->peer->role->store, x->m->spool);
	arena_clear(&x->mem);
}
