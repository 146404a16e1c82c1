/* The owner of an SMTP engine: what it asks goes to store and auth, bytes of the message into memory or a lent file. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "role/session_history.h"
#include "role/session_names.h"
#include "role/session_smtp.h"
#include "role/session_why.h"
#include "role/trace.h"
#include "role/worker_abuse.h"

enum {
	SMTP_RCPT_BLOCK_BYTES = 32 << 20,
	SMTP_FILED_BYTES = 8 << 20,
	SMTP_SENTENCE_BYTES = 256,
	SMTP_QUESTIONS_MANY = 128,  /* open in a worker: a few ms of the store's time */
	SMTP_RCPTS_SHARE = 32,
	SMTP_REFUSALS_LOGGED = 100, /* of a session, one by one; more are a flood, and only counted */
};

/* what comes from our own people is completed (RFC 6409 8), whichever port they use */
static bool smtp_is_submission(const struct session *s)
{
	return s->listener->kind == CONF_SUBMISSION || session_sender_stands(s);
}

/* who signed in, else whose relay window it is */
static struct span smtp_account(const struct session *s)
{
	return s->granted || !s->who.account ? smtp_in_account(s->smtp->in) : span_str(s->who.account);
}

/* ---- questions about recipients */

/* Recipients in question at once are what makes a long list quick, and a burst of many connections long to wait behind: so while a worker has many
 * questions open each session may add only a few. */
static void smtp_share_rcpts(const struct session *s)
{
	struct worker *w = s->worker;
	uint32_t few = w->conf->rcpt_open_max / SMTP_RCPTS_SHARE;

	w->listeners[s->listener_index].smtp.rcpt_open_max = w->questions.count < SMTP_QUESTIONS_MANY ? w->conf->rcpt_open_max : few ? few : 1;
}

static void smtp_on_rcpt(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct verdict v = {.cause = CAUSE_SERVER_TEMP_ERROR};

	if (msg && type == MSG_RCPT_RESULT && msg->rcpt_result.cause < CAUSE_COUNT)
		v = (struct verdict){.cause = (enum cause_id)msg->rcpt_result.cause, .tag = msg->rcpt_result.tag,
			.facts = {.detail = msg->rcpt_result.detail, .limit = msg->rcpt_result.limit, .retry = msg->rcpt_result.retry, .rule = msg->rcpt_result.rule}};
	if (v.cause == CAUSE_NONE)
		v.cause = session_rules_rcpt(s, msg->rcpt_result.header_rules);
	if (v.cause == CAUSE_NONE)
		v.cause = session_filter_rcpt(s, msg->rcpt_result.tag, msg->rcpt_result.needs);
	smtp_share_rcpts(s);
	if (!session_names_rcpt(s, engine_ask, &v))
		smtp_in_answer(s->smtp->in, engine_ask, &v);
}

static void smtp_ask_rcpt(struct session *s, const struct smtp_ask *ask)
{
	struct msg_rcpt_check m = {.session = s->id, .listener = (uint16_t)s->listener_index, .tls = stream_is_tls(s->stream), .stands = session_sender_stands(s),
		.window = (uint8_t)s->who.window,
		.window_ms = (uint64_t)s->who.window_ms, .rcpts = ask->rcpt_count, .message_bytes = ask->mail->size_declared, .peer = s->peer};
	struct buf to, from;

	if (!s->worker->store) {
		smtp_in_answer(s->smtp->in, ask->id, &(struct verdict){.cause = CAUSE_SERVER_TEMP_ERROR});
		return;
	}
	buf_init(&to, 1024);
	buf_init(&from, 1024);
	address_write(&to, &ask->rcpt->to);
	address_write(&from, &ask->mail->from);
	m.address = buf_span(&to);
	m.sender = buf_span(&from);
	m.ask = worker_ask(s, ROLE_STORE, ask->id, smtp_on_rcpt);
	session_names_begin(s, ask->id, &ask->rcpt->to);
	smtp_share_rcpts(s);
	chan_send(s->worker->store, MSG_RCPT_CHECK, &m);
	buf_clear(&to);
	buf_clear(&from);
}

/* ---- the message */

static void smtp_take_body(struct session *s, struct span bytes)
{
	struct smtp_session *t = s->smtp;

	if (!t->body) {
		t->body = session_body_new();
		t->transaction++;
		t->data_began_ms = loop_now(s->worker->loop);
	}
	session_body_add(t->body, bytes);
}

static void smtp_drop_body(struct session *s)
{
	uint64_t spool = session_body_free(&s->smtp->body);

	session_sender_forget(s);
	session_rules_forget(s);
	session_filter_forget(s);
	if (spool && s->worker->store)
		chan_send(s->worker->store, MSG_SPOOL_DROP, &(struct msg_spool_drop){.spool = spool});
}

static void smtp_on_spool(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct session_body *b = s->smtp->body;

	(void)engine_ask;
	if (msg && type == MSG_SPOOL_LENT && b && session_body_is_waiting(b) && smtp_in_header(s->smtp->in)) {
		session_body_lend(b, smtp_in_header(s->smtp->in), msg->spool_lent.spool, msg->spool_lent.file);
		return;
	}
	if (msg && type == MSG_SPOOL_LENT) { /* the message was given up meanwhile */
		session_body_close_fd(msg->spool_lent.file);
		if (s->worker->store)
			chan_send(s->worker->store, MSG_SPOOL_DROP, &(struct msg_spool_drop){.spool = msg->spool_lent.spool});
		return;
	}
	if (b)
		session_body_refuse(b, msg && type == MSG_SPOOL_REFUSED && msg->spool_refused.cause < CAUSE_COUNT ? (enum cause_id)msg->spool_refused.cause
													   : CAUSE_SERVER_TEMP_ERROR);
}

/* a body that outgrows memory needs a file; until it is there nothing more is taken from the client */
static void smtp_want_spool(struct session *s)
{
	struct session_body *b = s->smtp->body;
	uint32_t ask;
	const struct header_facts *h = smtp_in_header(s->smtp->in);

	if (!b || !h || !session_body_wants_spool(b, h))
		return;
	if (!s->worker->store) {
		session_body_refuse(b, CAUSE_SERVER_TEMP_ERROR);
		return;
	}
	session_body_waits(b);
	ask = worker_ask(s, ROLE_STORE, 0, smtp_on_spool);
	s->told_store = true;
	chan_send(s->worker->store, MSG_SPOOL_OPEN, &(struct msg_spool_open){.session = s->id, .ask = ask});
}

static void smtp_log_accept(struct session *s, const struct verdict *v, int64_t message, bool duplicate)
{
	struct smtp_session *t = s->smtp;

	if (!log_begin(v->cause == CAUSE_NONE ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, v->cause == CAUSE_NONE ? "accepted" : "refused"))
		return;
	log_str("session", s->ref);
	log_span("peer", s->peer);
	log_span("account", smtp_account(s));
	if (!s->granted)
		log_str("by", s->who.by ? policy_by_name(s->who.by) : NULL);
	if (message)
		log_span("queue_id", v->queue_id);
	log_str("cause", v->cause == CAUSE_NONE ? NULL : cause_slug(v->cause));
	if (t->body)
		log_num("bytes", session_body_bytes(t->body));
	log_str("duplicate", duplicate ? "yes" : NULL);
	log_num("ms", loop_now(s->worker->loop) - t->data_began_ms);
	log_end();
}

static void smtp_on_accepted(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct verdict v = {.cause = CAUSE_SERVER_TEMP_ERROR};
	const struct msg_accepted *a = msg && type == MSG_ACCEPTED ? &msg->accepted : NULL;
	char id[14];

	if (a && a->cause < CAUSE_COUNT)
		v = (struct verdict){.cause = (enum cause_id)a->cause, .facts = {.limit = a->limit, .retry = a->retry, .detail = a->detail, .rule = a->rule}};
	if (v.cause == CAUSE_SENDER_UNAUTHENTICATED) /* what From says, which is not what MAIL said */
		v.facts.sender = a->detail;
	if (a && v.cause == CAUSE_NONE)
		v.queue_id = span_str(num_base32(a->message, 6, id));
	s->smtp->accepted += v.cause == CAUSE_NONE;
	smtp_log_accept(s, &v, a ? (int64_t)a->message : 0, a && a->duplicate);
	(void)session_body_take_spool(s->smtp->body); /* the store's now, whatever it said */
	smtp_in_answer(s->smtp->in, engine_ask, &v);
}

static void smtp_write_trace(struct session *s, const struct smtp_ask *ask, const struct header_facts *h, struct buf *out)
{
	struct smtp_session *t = s->smtp;
	int64_t now = clock_wall_ms();
	struct trace_facts f = {.helo = smtp_in_helo(t->in), .peer = s->peer, .hostname = span_str(s->worker->conf->hostname),
		.tls_version = span_str(stream_tls_version(s->stream)), .tls_cipher = span_str(stream_tls_cipher(s->stream)), .esmtp = smtp_in_is_esmtp(t->in),
		.utf8 = ask->mail->smtputf8, .authenticated = smtp_in_account(t->in).len > 0, .wall_ms = now};
	struct buf rcpt;
	char id[40];

	if (!s->granted) {
		f.relay_by = span_str(policy_by_name(s->who.by));
		f.relay_account = span_str(s->who.account);
	}
	buf_init(&rcpt, 1024);
	if (ask->rcpt_count == 1 && !address_write_ascii(&rcpt, &smtp_in_rcpt(t->in, 0)->to))
		address_write(&rcpt, &smtp_in_rcpt(t->in, 0)->to);
	f.only_rcpt = buf_span(&rcpt);
	(void)snprintf(id, sizeof(id), "%s.%u", s->ref, t->transaction);
	f.id = span_str(id);
	trace_write_received(out, &f);
	if (smtp_is_submission(s))
		(void)trace_complete_header(out, h, f.hostname, s->id << 20 | t->transaction, now);
	session_sender_trace(s, ask, out);
	buf_clear(&rcpt);
}

static void smtp_add_rcpts(struct session *s, const struct smtp_ask *ask, struct buf *out)
{
	struct buf text;

	buf_init(&text, 1024);
	for (uint32_t i = 0; i < ask->rcpt_count; i++) {
		const struct smtp_rcpt *r = smtp_in_rcpt(s->smtp->in, i);

		buf_reset(&text);
		address_write(&text, &r->to);
		rec_rcpt_add(out, &(struct rec_rcpt){.tag = r->tag, .notify = (uint8_t)r->notify, .address = buf_span(&text), .orcpt = r->orcpt});
	}
	buf_clear(&text);
}

/* false: the header with what had to be added is longer than a header may be */
static bool smtp_send_accept(struct session *s, const struct smtp_ask *ask)
{
	struct smtp_session *t = s->smtp;
	const struct smtp_mail *mail = ask->mail;
	struct msg_accept m = {.session = s->id, .listener = (uint16_t)s->listener_index, .tls = stream_is_tls(s->stream),
		.submission = smtp_is_submission(s), .smtputf8 = mail->smtputf8, .body_8bit = mail->body_8bit,
		.body_binary = mail->body_binary, .requiretls = mail->requiretls, .ret = mail->dsn.ret_hdrs ? 1 : mail->dsn.ret_full ? 2 : 0,
		.received_ms = (uint64_t)clock_wall_ms(), .envid = mail->dsn.envid, .peer = s->peer, .helo = smtp_in_helo(t->in)};
	struct buf sender, rcpts, trace, from, room, filed, answers;
	uint8_t digest[32];
	bool fits;

	buf_init(&sender, 1024);
	buf_init(&rcpts, SMTP_RCPT_BLOCK_BYTES);
	buf_init(&trace, LIMIT_TRACE_BYTES);
	buf_init(&from, LIMIT_HEADER_BYTES);
	buf_init(&room, LIMIT_HEADER_BYTES);
	buf_init(&filed, SMTP_FILED_BYTES);
	buf_init(&answers, SMTP_FILED_BYTES);
	session_sender_write(s, ask, &sender);
	smtp_add_rcpts(s, ask, &rcpts);
	smtp_write_trace(s, ask, ask->header, &trace);
	m.sender = buf_span(&sender);
	m.rcpts = (struct msg_list){.raw = buf_span(&rcpts), .count = ask->rcpt_count};
	m.trace = buf_span(&trace);
	m.message_id = span_head(ask->header->message_id, LIMIT_HEADER_FIELD_BYTES);
	session_body_finish(t->body, ask->header, &m.head, &m.body, &m.spool, &m.spool_bytes, digest);
	m.from.count = (uint32_t)session_sender_strangers(s, ask, m.head, &from);
	m.from.raw = buf_span(&from);
	m.filed.count = (uint32_t)session_filter_write(s, &filed);
	m.filed.raw = buf_span(&filed);
	m.answers.count = (uint32_t)session_filter_write_answers(s, &answers);
	m.answers.raw = buf_span(&answers);
	fits = session_sender_head(s, ask, m.head, &room, &m.head);
	m.digest = span_of(digest, sizeof(digest));
	m.headers_ascii = !ask->headers_wide && span_is_ascii(m.trace) && (!room.len || span_is_ascii(m.head));
	if (fits) {
		m.ask = worker_ask(s, ROLE_STORE, ask->id, smtp_on_accepted);
		chan_send(s->worker->store, MSG_ACCEPT, &m);
	}
	buf_clear(&sender);
	buf_clear(&rcpts);
	buf_clear(&trace);
	buf_clear(&from);
	buf_clear(&room);
	buf_clear(&filed);
	buf_clear(&answers);
	return fits;
}

static void smtp_refuse_message(struct session *s, const struct smtp_ask *ask, const struct verdict *v)
{
	smtp_log_accept(s, v, 0, false);
	smtp_in_answer(s->smtp->in, ask->id, v);
}

static void smtp_accept_filters(struct session *s, const struct smtp_ask *ask, const struct verdict *v)
{
	if (v->cause != CAUSE_NONE)
		smtp_refuse_message(s, ask, v);
	else if (!smtp_send_accept(s, ask))
		smtp_refuse_message(s, ask, &(struct verdict){.cause = CAUSE_MESSAGE_MALFORMED, .facts = {.detail = SPAN_LIT("its header is too long")}});
}

/* filters come last: they are what costs most */
static void smtp_accept_from(struct session *s, const struct smtp_ask *ask, const struct verdict *v)
{
	if (v->cause != CAUSE_NONE)
		smtp_refuse_message(s, ask, v);
	else
		session_filter_check(s, ask, smtp_accept_filters);
}

static void smtp_accept_rules(struct session *s, const struct smtp_ask *ask, const struct verdict *v)
{
	if (v->cause != CAUSE_NONE)
		smtp_refuse_message(s, ask, v);
	else
		session_sender_from(s, ask, smtp_accept_from);
}

static void smtp_accept(struct session *s, const struct smtp_ask *ask)
{
	enum cause_id cause;

	if (!s->smtp->body)
		smtp_take_body(s, SPAN_NONE); /* an empty message is one, too */
	cause = s->worker->store ? session_body_cause(s->smtp->body) : CAUSE_SERVER_TEMP_ERROR;
	if (cause == CAUSE_NONE)
		session_rules_check(s, ask, smtp_accept_rules);
	else
		smtp_refuse_message(s, ask, &(struct verdict){.cause = cause});
}

/* ---- the engine's wishes */

static void smtp_log_refusals(struct session *s)
{
	struct smtp_event e;

	while (smtp_in_event(s->smtp->in, &e)) {
		s->smtp->refused++;
		worker_abuse_refused(s, e.cause);
		session_history_refused(s, &(struct session_refusal){.cause = e.cause, .code = e.code, .closing = e.closing, .helo = smtp_in_helo(s->smtp->in),
			.command = e.command, .sender = e.sender, .rcpt = e.rcpt, .detail = e.detail, .limit = e.limit, .retry = e.retry, .rule = e.rule});
		if (s->smtp->refused > SMTP_REFUSALS_LOGGED && !e.closing) /* what ended it is always said */
			continue;
		if (!log_begin(LOG_LEVEL_INFO, "refused"))
			continue;
		log_str("session", s->ref);
		log_str("listener", s->listener->name);
		log_span("peer", s->peer);
		log_span("account", smtp_account(s));
		log_span("command", e.command);
		log_span("rcpt", e.rcpt);
		log_num("code", e.code);
		log_str("cause", cause_slug(e.cause));
		log_end();
	}
}

static void smtp_pump(struct session *s)
{
	struct smtp_session *t = s->smtp;
	enum smtp_want want;
	struct smtp_ask ask;

	while (s->closing == SESSION_OPEN && (want = smtp_in_next(t->in, &ask)) != SMTP_WANT_NOTHING) {
		s->mailed |= want == SMTP_WANT_MAIL;
		switch (want) {
		case SMTP_WANT_MAIL:
			session_rules_restart(s);
			session_filter_restart(s);
			session_sender_mail(s, &ask);
			break;
		case SMTP_WANT_RCPT:
			smtp_ask_rcpt(s, &ask);
			break;
		case SMTP_WANT_WHY:
			smtp_log_refusals(s); /* what was refused just before is part of the answer */
			session_why_ask(s, &ask);
			break;
		case SMTP_WANT_AUTH:
			session_auth_start(s, ask.mechanism, ask.has_initial, ask.bytes);
			break;
		case SMTP_WANT_AUTH_STEP:
			session_auth_step(s, ask.bytes);
			break;
		case SMTP_WANT_AUTH_CANCEL:
			session_auth_cancel(s);
			break;
		case SMTP_WANT_BODY:
			smtp_take_body(s, ask.bytes);
			break;
		case SMTP_WANT_ACCEPT:
			smtp_accept(s, &ask);
			break;
		case SMTP_WANT_DISCARD:
		case SMTP_WANT_RESET:
			smtp_drop_body(s);
			break;
		case SMTP_WANT_TLS:
			session_want_tls(s);
			break;
		case SMTP_WANT_CLOSE:
			smtp_log_refusals(s);
			session_close(s);
			break;
		case SMTP_WANT_NOTHING:
			break;
		}
	}
	smtp_want_spool(s);
	smtp_log_refusals(s);
}

/* ---- session_ops */

static void smtp_begin(struct session *s, enum cause_id refuse, mono_ms now)
{
	s->smtp = mem_zalloc(sizeof(*s->smtp));
	s->smtp->in = smtp_in_new_refused(&s->worker->listeners[s->listener_index].smtp, session_ref(s), refuse, &s->worker->refused, now);
	s->mailed = refuse != CAUSE_NONE;
}

static void smtp_end(struct session *s)
{
	smtp_drop_body(s);
	session_filter_restart(s);
	session_names_end(s);
	smtp_in_free(s->smtp->in);
	free(s->smtp);
}

static size_t smtp_feed(struct session *s, struct span bytes, mono_ms now)
{
	if (s->smtp->body && session_body_is_waiting(s->smtp->body))
		return 0;
	return smtp_in_feed(s->smtp->in, bytes, now);
}

static struct span smtp_out(struct session *s)
{
	return smtp_in_out(s->smtp->in);
}

static void smtp_sent(struct session *s, size_t n)
{
	smtp_in_sent(s->smtp->in, n);
}

static void smtp_eof(struct session *s)
{
	smtp_in_eof(s->smtp->in);
}

static void smtp_tick(struct session *s, mono_ms now)
{
	smtp_in_tick(s->smtp->in, now);
}

static mono_ms smtp_deadline(struct session *s)
{
	return smtp_in_deadline(s->smtp->in);
}

static void smtp_tls_done(struct session *s, mono_ms now)
{
	smtp_in_tls_done(s->smtp->in, now);
}

static void smtp_tls_injected(struct session *s)
{
	smtp_in_tls_injected(s->smtp->in);
}

static void smtp_shutdown(struct session *s, enum cause_id cause)
{
	smtp_in_shutdown(s->smtp->in, cause, cause == CAUSE_SERVER_SHUTTING_DOWN);
}

static bool smtp_is_idle(struct session *s)
{
	return smtp_in_idle(s->smtp->in);
}

static void smtp_auth_challenge(struct session *s, struct span bytes)
{
	smtp_in_auth_challenge(s->smtp->in, bytes);
}

static void smtp_auth_ok(struct session *s, struct span account, struct span final_data)
{
	smtp_in_auth_ok(s->smtp->in, account, final_data);
}

static void smtp_auth_fail(struct session *s, enum cause_id cause, const struct cause_facts *facts)
{
	smtp_in_auth_fail(s->smtp->in, cause, facts);
}

static struct span smtp_helo(struct session *s)
{
	return smtp_in_helo(s->smtp->in);
}

static void smtp_log_end(struct session *s)
{
	log_span("account", smtp_account(s));
	log_span("helo", smtp_in_helo(s->smtp->in));
	log_num("messages", s->smtp->accepted);
	log_num("refusals", s->smtp->refused);
}

const struct session_ops session_smtp_ops = {.service = "smtp", .begin = smtp_begin, .end = smtp_end, .feed = smtp_feed, .out = smtp_out, .sent = smtp_sent,
	.eof = smtp_eof, .tick = smtp_tick, .pump = smtp_pump, .deadline = smtp_deadline, .tls_done = smtp_tls_done, .tls_injected = smtp_tls_injected,
	.shutdown = smtp_shutdown, .is_idle = smtp_is_idle, .auth_challenge = smtp_auth_challenge, .auth_ok = smtp_auth_ok, .auth_fail = smtp_auth_fail,
	.log_end = smtp_log_end, .helo = smtp_helo};
