/* relay_job - a lease on its way: recipients of one message for one destination, in transactions of as many as the server takes at once, one after the other,
 * over other hosts of the destination where one came to nothing. */
#include "role/relay.h"

#include <stdlib.h>

#include "base/mem.h"
#include "role/relay_cause.h"
#include "role/relay_sign.h"
#include "store/store.h"

enum { RELAY_JOB_BYTES = 4 << 20 }; /* arena of one lease; a frame of them is smaller */

/* ---- birth and end */

/* it can leave, or has to wait */
static void relay_job_signed(void *arg, const struct relay_failure *why)
{
	struct relay_job *j = arg;

	if (why) {
		relay_job_fail(j, why);
		return;
	}
	j->signed_up = true;
	relay_dest_add(j->domain->dest, j, false);
}

enum rc relay_job_new(struct relay *r, const struct msg_lease *m)
{
	struct relay_job *j = mem_zalloc(sizeof(*j));
	struct span cursor = m->rcpts.raw;
	struct rec_lease_rcpt rec;

	*j = (struct relay_job){.relay = r, .lease = m->lease, .message = m->message, .bytes = m->bytes, .received_ms = m->received_ms, .probe = m->probe,
		.smtputf8 = m->smtputf8, .body_8bit = m->body_8bit, .body_binary = m->body_binary, .requiretls = m->requiretls, .ret = m->ret, .count = m->rcpts.count};
	arena_init(&j->mem, RELAY_JOB_BYTES);
	j->sender = arena_copy(&j->mem, m->sender);
	j->envid = arena_copy(&j->mem, m->envid);
	j->rcpts = arena_zalloc(&j->mem, (j->count + 1) * sizeof(*j->rcpts));
	for (size_t i = 0; j->rcpts && i < j->count && rec_lease_rcpt_next(&cursor, &rec); i++)
		j->rcpts[i] = (struct relay_rcpt){.row = rec.row, .attempts = rec.attempts, .notify = rec.notify, .address = arena_copy(&j->mem, rec.address),
			.orcpt = arena_copy(&j->mem, rec.orcpt)};
	if (j->mem.overflow || j->count == 0 || m->dest.len == 0) {
		arena_clear(&j->mem);
		free(j);
		return RC_BAD;
	}
	j->left = j->count;
	j->domain = relay_domain_get(r, m->dest);
	j->prev_all = &r->jobs;
	j->next_all = r->jobs;
	r->jobs = j;
	if (j->next_all)
		j->next_all->prev_all = &j->next_all;
	relay_domain_rows(j->domain, (int32_t)j->count);
	if (r->draining) {
		relay_job_return(j);
		return RC_OK;
	}
	j->text = relay_text_get(r, j->message, j->bytes);
	if (m->origin == STORE_ORIGIN_STRANGER) /* only passed on: whoever wrote one of our addresses into From must not get our signature for it */
		relay_job_signed(j, NULL);
	else
		relay_sign(r->signer, j->text, m->head_bytes, relay_job_signed, j);
	return RC_OK;
}

void relay_job_free(struct relay_job **place)
{
	struct relay_job *j = *place;

	*place = NULL;
	relay_dest_remove(j->domain->dest, j);
	if (j->text && !j->signed_up)
		relay_sign_cancel(j->text, j);
	*j->prev_all = j->next_all;
	if (j->next_all)
		j->next_all->prev_all = j->prev_all;
	relay_text_put(&j->text);
	free(j->later);
	arena_clear(&j->mem);
	free(j);
}

static void relay_job_settle(struct relay_job *j, const struct relay_outcome *o, uint64_t ms)
{
	for (size_t i = 0; i < j->count; i++)
		if (!j->rcpts[i].done)
			relay_report_row(j, &j->rcpts[i], o, ms);
	relay_job_free(&j);
}

void relay_job_fail(struct relay_job *j, const struct relay_failure *why)
{
	struct relay_outcome o;

	relay_failure_outcome(why, &o);
	relay_job_settle(j, &o, 0);
}

void relay_job_return(struct relay_job *j)
{
	relay_job_settle(j, &(struct relay_outcome){.outcome = DELIVERY_NOT_TRIED}, 0);
}

void relay_jobs_drain(struct relay *r)
{
	for (struct relay_job *j = r->jobs, *next; j; j = next) {
		next = j->next_all;
		if (!j->conn)
			relay_job_return(j);
	}
}

uint32_t relay_job_tried(const struct relay_job *j, const struct relay_hosts *h)
{
	return h && j->tried_of == h ? j->tried : 0;
}

/* c's address is of no use to it: on to another one, or it is over. That one of them said "later" is never forgotten over one that refused. */
static void relay_job_elsewhere(struct relay_job *j, const struct relay_conn *c, const struct relay_failure *why)
{
	const struct relay_hosts *h = c->hosts;

	if (why->outcome == DELIVERY_LATER) {
		j->later = j->later ? j->later : mem_alloc(sizeof(*j->later));
		*j->later = *why;
	}
	why = j->later ? j->later : why;

	if (j->tried_of != h) {
		j->tried_of = h;
		j->tried = 0;
	}
	j->tried |= 1U << c->at;
	if (++j->tries >= RELAY_TRIES_MAX || j->tried == (uint32_t)((1ULL << h->count) - 1))
		relay_job_fail(j, why);
	else
		relay_dest_add(c->dest, j, true);
}

/* ---- a transaction */

static void relay_transaction_clear(struct relay_conn *c)
{
	relay_reader_free(&c->t.reader);
	free(c->t.rcpts);
	free(c->t.index);
	c->t = (struct relay_transaction){0};
	if (c->job)
		c->job->conn = NULL;
	c->job = NULL;
}

static void relay_job_on_text(void *arg)
{
	struct relay_conn *c = arg;

	(void)relay_job_feed(c);
	relay_conn_step(c);
}

static void relay_job_fill(struct relay_job *j, struct relay_conn *c)
{
	size_t max = smtp_out_rcpt_max(c->smtp);

	max = max && max < j->left ? max : j->left;
	c->t.rcpts = mem_array(max, sizeof(*c->t.rcpts));
	c->t.index = mem_array(max, sizeof(*c->t.index));
	for (size_t i = 0; i < j->count && c->t.count < max; i++) {
		if (j->rcpts[i].done)
			continue;
		c->t.index[c->t.count] = (uint32_t)i;
		c->t.rcpts[c->t.count++] = (struct smtp_out_rcpt){.address = j->rcpts[i].address, .notify = j->rcpts[i].notify, .orcpt = j->rcpts[i].orcpt};
	}
}

/* RFC 8689 4.2.1: only to a server that proved who it is; where none of them does the message goes back */
static bool relay_job_may_go(struct relay_job *j, struct relay_conn *c)
{
	struct relay_failure why = {.outcome = DELIVERY_REFUSED, .cause = CAUSE_REQUIRETLS_UNSUPPORTED, .sure = 80, .pace = PACE_REFUSED};

	if (!j->requiretls || c->tls.authenticated)
		return true;
	relay_copy(why.host, sizeof(why.host), relay_conn_host(c));
	relay_copy(why.address, sizeof(why.address), span_str(c->address));
	relay_copy(why.tls, sizeof(why.tls), span_str(c->tls_words));
	relay_copy(why.words, sizeof(why.words), SPAN_LIT("REQUIRETLS: the server's certificate was not checked"));
	relay_job_elsewhere(j, c, &why);
	return false;
}

void relay_job_begin(struct relay_job *j, struct relay_conn *c)
{
	if (!relay_job_may_go(j, c))
		return;
	c->job = j;
	j->conn = c;
	c->t.began_ms = loop_now(c->relay->loop);
	relay_job_fill(j, c);
	c->t.reader = relay_reader_new(j->text, relay_job_on_text, c);
	c->t.mail = (struct smtp_out_mail){.sender = j->sender, .bytes = j->bytes + j->text->front.len, .body_8bit = j->body_8bit, .body_binary = j->body_binary,
		.smtputf8 = j->smtputf8, .requiretls = j->requiretls, .ret = j->ret, .envid = j->envid, .rcpts = c->t.rcpts, .rcpt_count = c->t.count};
	relay_conn_set_state(c, RELAY_CONN_BUSY);
	c->deadline = MONO_NEVER;
	smtp_out_mail(c->smtp, &c->t.mail, c->t.began_ms);
	relay_conn_step(c);
}

bool relay_job_feed(struct relay_conn *c)
{
	struct relay_transaction *t = &c->t;
	mono_ms now = loop_now(c->relay->loop);
	size_t room;
	bool fed = false;

	while (!t->ended && smtp_out_stage(c->smtp) == SMTP_OUT_AT_BODY && (room = smtp_out_room(c->smtp)) > 0) {
		struct span piece = span_from(buf_span(&c->job->text->front), t->front_at);

		if (piece.len) {
			piece = span_head(piece, room);
			t->front_at += piece.len;
			t->ended = t->front_at == c->job->text->front.len && c->job->bytes == 0;
			smtp_out_body(c->smtp, piece, t->ended, now);
		} else {
			piece = span_head(relay_reader_peek(t->reader), room);
			if (t->reader->cause != CAUSE_NONE) {
				smtp_out_abort(c->smtp);
				return true;
			}
			if (piece.len == 0 && !relay_reader_ended(t->reader))
				return fed;
			t->ended = t->reader->at + piece.len >= c->job->bytes;
			smtp_out_body(c->smtp, piece, t->ended, now);
			relay_reader_take(t->reader, piece.len);
		}
		fed = true;
	}
	return fed;
}

/* ---- results */

void relay_copy(char *to, size_t size, struct span text)
{
	size_t n = text.len < size ? text.len : size - 1;

	memcpy(to, text.ptr ? text.ptr : (const uint8_t *)"", text.ptr ? n : 0);
	to[text.ptr ? n : 0] = '\0';
}

void relay_failure_outcome(const struct relay_failure *f, struct relay_outcome *out)
{
	*out = (struct relay_outcome){.outcome = f->outcome, .cause = f->cause, .code = f->code, .sure = f->sure, .enhanced = span_str(f->enhanced),
		.host = span_str(f->host), .address = span_str(f->address), .tls = span_str(f->tls), .words = span_str(f->words)};
}

void relay_failure_of(struct relay_failure *out, const struct relay_conn *c, const struct smtp_out_result *r, const struct relay_verdict *v)
{
	*out = (struct relay_failure){.outcome = v->outcome, .cause = v->cause, .pace = v->pace, .code = r->code, .sure = v->sure};
	relay_copy(out->enhanced, sizeof(out->enhanced), r->enhanced);
	relay_copy(out->host, sizeof(out->host), relay_conn_host(c));
	relay_copy(out->address, sizeof(out->address), span_str(c->address));
	relay_copy(out->tls, sizeof(out->tls), span_str(c->tls_words));
	relay_copy(out->words, sizeof(out->words), r->words.len ? r->words : span_str(relay_cause_words(r)));
}

struct relay_tally {
	size_t sent, settled, left, elsewhere;
	enum pace_event pace;
	bool nothing_said;              /* the server took nothing in of this message */
	struct relay_failure why;       /* of the last that goes elsewhere, or was left */
};

static void relay_job_result(struct relay_conn *c, size_t i, struct relay_tally *tally)
{
	struct relay_job *j = c->job;
	struct smtp_out_result r = smtp_out_result(c->smtp, i);
	struct relay_verdict v;
	struct relay_failure f;
	struct relay_outcome o;

	relay_cause_of(&r, &v);
	if (c->t.reader->cause != CAUSE_NONE && r.fate == SMTP_OUT_LOST) /* our own doing */
		v = (struct relay_verdict){.outcome = DELIVERY_LATER, .cause = c->t.reader->cause, .sure = 50, .pace = PACE_REFUSED};
	relay_failure_of(&f, c, &r, &v);
	if (r.fate == SMTP_OUT_LEFT || v.elsewhere) {
		*(r.fate == SMTP_OUT_LEFT ? &tally->left : &tally->elsewhere) += 1;
		tally->why = f;
		tally->nothing_said &= (r.fate == SMTP_OUT_LOST || r.closing) && (r.stage == SMTP_OUT_AT_MAIL || r.stage == SMTP_OUT_AT_RSET);
	} else {
		relay_failure_outcome(&f, &o);
		o.dsn_passed = r.dsn;
		relay_report_row(j, &j->rcpts[c->t.index[i]], &o, loop_now(c->relay->loop) - c->t.began_ms);
		tally->sent += r.fate == SMTP_OUT_SENT;
		tally->settled++;
		tally->nothing_said = false;
	}
	if (v.pace == PACE_TOO_MUCH || (v.pace == PACE_TROUBLE && tally->pace != PACE_TOO_MUCH))
		tally->pace = v.pace;
}

void relay_job_done(struct relay_conn *c)
{
	struct relay_job *j = c->job;
	struct relay_dest *d = c->dest;
	struct relay_tally tally = {.pace = PACE_REFUSED, .nothing_said = true};
	bool stale;

	for (size_t i = 0; i < c->t.count; i++)
		relay_job_result(c, i, &tally);
	relay_transaction_clear(c);
	stale = tally.nothing_said && c->messages > 0 && j->stale < RELAY_STALE_MAX;
	c->messages++;
	/* a server may close a kept connection at any time: that says nothing of it, and costs the message nothing */
	if (!stale)
		relay_dest_pace(d, tally.sent ? PACE_SENT : tally.pace);
	if (j->left == 0) {
		relay_job_free(&j);
	} else if (stale) {
		j->stale++;
		relay_dest_add(d, j, true);
	} else if (tally.elsewhere) {
		if (tally.why.pace != PACE_REFUSED) /* it is well, but for this message */
			c->hosts->at[c->at].failed_ms = loop_now(c->relay->loop);
		relay_job_elsewhere(j, c, &tally.why);
	} else if (tally.left && !tally.settled) { /* not even one of them */
		tally.why.outcome = DELIVERY_LATER;
		relay_job_fail(j, &tally.why);
	} else {
		j->tries = 0;
		relay_dest_add(d, j, true);
	}
}

void relay_job_dropped(struct relay_conn *c)
{
	struct relay_job *j = c->job;
	struct relay_failure why = {.outcome = DELIVERY_LATER, .cause = CAUSE_REMOTE_IN_DOUBT, .sure = 90,
		.words = "this server was stopped before the answer to the end of the message"};
	bool doubt = c->t.ended;

	if (!j)
		return;
	relay_copy(why.host, sizeof(why.host), relay_conn_host(c));
	relay_copy(why.address, sizeof(why.address), span_str(c->address));
	relay_transaction_clear(c);
	if (doubt)
		relay_job_fail(j, &why);
	else
		relay_job_return(j);
}
