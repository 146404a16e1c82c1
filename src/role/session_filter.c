#include "role/session_filter_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/store_filter.h"

enum { FILTER_SCRIPT_BYTES = LIMIT_SIEVE_COMPILED_BYTES, FILTER_RESULT_BYTES = 1 << 20 };

/* ---- recipients */

void session_filter_restart(struct session *s)
{
	session_filter_forget(s);
	free(s->smtp->filter.tags);
	s->smtp->filter = (struct session_filter){.tag_count = 0};
}

static void filter_add_tag(struct session_filter *f, uint64_t tag)
{
	if (f->tag_count == f->tag_size) {
		f->tag_size = f->tag_size ? 2 * f->tag_size : 4;
		f->tags = mem_realloc(f->tags, f->tag_size * sizeof(*f->tags));
	}
	f->tags[f->tag_count++] = tag;
}

enum cause_id session_filter_rcpt(struct session *s, uint64_t tag, uint32_t needs)
{
	struct session_filter *f = &s->smtp->filter;
	bool refuses = (needs & SIEVE_NEEDS_REJECT) && !session_sender_stands(s);

	if (f->alone && needs && f->tag_count == 1 && f->tags[0] == tag) /* the same one again */
		return CAUSE_NONE;
	if (f->alone || (refuses && f->taken) || (needs && f->tag_count == SESSION_FILTER_TAGS))
		return CAUSE_RCPT_OWN_TRANSACTION;
	f->alone = refuses;
	f->taken++;
	if (needs)
		filter_add_tag(f, tag);
	return CAUSE_NONE;
}

/* ---- the line: few messages are looked at at once */

static void filter_join(struct filter_run *r)
{
	struct session_filter_line *line = &r->session->worker->filters;

	if (line->busy < SESSION_FILTER_AT_ONCE) {
		line->busy++;
		r->busy = true;
		loop_soon(r->session->worker->loop, &r->hook);
		return;
	}
	if (!line->end)
		line->end = &line->first;
	r->prev = line->end;
	*line->end = r;
	line->end = &r->next;
}

static void filter_leave(struct filter_run *r)
{
	struct session_filter_line *line = &r->session->worker->filters;
	struct filter_run *next = line->first;

	if (r->prev) {
		*r->prev = r->next;
		if (r->next)
			r->next->prev = r->prev;
		else
			line->end = r->prev;
		r->prev = NULL;
	}
	if (!r->busy)
		return;
	r->busy = false;
	line->busy--;
	if (next) {
		filter_leave(next);
		filter_join(next);
	}
}

/* what only the work needed */
static void filter_release(struct filter_run *r)
{
	filter_leave(r);
	loop_hook_remove(r->session->worker->loop, &r->hook);
	sieve_mail_free(&r->mail);
	for (size_t i = 0; i < r->count; i++) {
		free(r->accounts[i].text);
		r->accounts[i].text = NULL;
	}
}

void session_filter_forget(struct session *s)
{
	struct filter_run *r = s->smtp->filter.run;

	if (!r)
		return;
	s->smtp->filter.run = NULL;
	filter_release(r);
	for (size_t i = 0; i < r->count; i++) {
		free(r->accounts[i].address);
		free(r->accounts[i].reason);
	}
	free(r->accounts);
	free(r->links);
	free(r->tags);
	map_clear(&r->known);
	buf_clear(&r->filed);
	buf_clear(&r->answers);
	free(r);
}

/* ---- fetching scripts */

/* the account's place in the list, where it has one and the message has room for it */
static bool filter_account(struct filter_run *r, const struct msg_filter_is *m, size_t *at_out)
{
	size_t at = (uintptr_t)map_get(&r->known, m->account);
	struct filter_account *a;

	if (at) {
		*at_out = at - 1;
		return true;
	}
	if (r->count == SESSION_FILTER_ACCOUNTS || r->bytes + m->script.len > SESSION_FILTER_BYTES)
		return false;
	if (r->count == r->size) {
		r->size = r->size ? 2 * r->size : 4;
		r->accounts = mem_realloc(r->accounts, r->size * sizeof(*r->accounts));
	}
	r->bytes += m->script.len;
	a = &r->accounts[r->count];
	*a = (struct filter_account){.account = m->account, .tag = r->at, .address = mem_str_span(m->address)};
	if (m->script.len)
		a->text = mem_str_span(m->script);
	*at_out = r->count++;
	(void)map_put(&r->known, m->account, (void *)(uintptr_t)r->count);
	return true;
}

static bool filter_link(struct filter_run *r, size_t account)
{
	if (r->link_count == FILTER_LINKS)
		return false;
	if (r->link_count == r->link_size) {
		r->link_size = r->link_size ? 2 * r->link_size : 4;
		r->links = mem_realloc(r->links, r->link_size * sizeof(*r->links));
	}
	r->links[r->link_count++] = (struct filter_link){.tag = (uint32_t)r->at, .account = (uint32_t)account};
	return true;
}

enum rc session_filter_on_part(struct session *s, uint32_t engine_ask, const union msg_any *msg)
{
	const struct msg_filter_is *m = &msg->filter_is;
	struct filter_run *r = s->ops == &session_smtp_ops ? s->smtp->filter.run : NULL;
	size_t at;

	if (!r || r->stage != FILTER_FETCHES || r->ask.id != engine_ask)
		return RC_OK;
	if (!filter_account(r, m, &at) || !filter_link(r, at)) {
		filter_log(r, &(struct filter_account){.account = m->account}, "keep", 0, "too many filters for one message; the mail was kept");
		r->tags[r->at].others++;
	}
	return RC_OK;
}

/* the run is over; it may be gone when this returns */
static void filter_answer(struct filter_run *r, const struct verdict *v)
{
	struct session *s = r->session;

	r->stage = FILTER_DONE;
	filter_release(r);
	s->depth++;
	r->then(s, &r->ask, v);
	s->depth--;
	session_step(s);
}

static void filter_fetch(struct filter_run *r);

static void filter_on_last(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct filter_run *r = s->smtp->filter.run;
	enum cause_id cause = CAUSE_SERVER_TEMP_ERROR;

	if (!r || r->ask.id != engine_ask) /* the message was given up meanwhile */
		return;
	if (msg && type == MSG_FILTER_IS && msg->filter_is.cause < CAUSE_COUNT)
		cause = (enum cause_id)msg->filter_is.cause;
	if (cause == CAUSE_NONE) {
		r->tags[r->at++].others += msg->filter_is.others;
		filter_fetch(r);
		return;
	}
	filter_answer(r, &(struct verdict){.cause = cause});
}

static void filter_fetch(struct filter_run *r)
{
	struct session *s = r->session;
	struct msg_filter_get m = {.session = s->id};

	if (r->at == s->smtp->filter.tag_count) {
		r->stage = FILTER_COMPILES;
		r->at = 0;
		loop_soon(s->worker->loop, &r->hook);
		return;
	}
	if (!s->worker->store) {
		filter_answer(r, &(struct verdict){.cause = CAUSE_SERVER_TEMP_ERROR});
		return;
	}
	m.tag = s->smtp->filter.tags[r->at];
	m.ask = worker_ask(s, ROLE_STORE, r->ask.id, filter_on_last);
	chan_send(s->worker->store, MSG_FILTER_GET, &m);
}

/* ---- running: one account a turn, so that nobody else waits long */

/* NULL: it does not compile any more (made by another version of this program, or by hand): its owner's mail goes to the inbox */
static const struct sieve_script *filter_compile(struct filter_run *r, struct filter_account *a, struct arena *mem)
{
	struct sieve_fault fault = {.why = {"it cannot be read"}};
	const struct sieve_script *script;

	if (a->text && sieve_compile(span_str(a->text), NULL, mem, &script, &fault) == RC_OK)
		return script;
	filter_log(r, a, "keep", fault.line, fault.why.words);
	free(a->text);
	a->text = NULL;
	return NULL;
}

/* Compiled here for what they need, and once more to run: all of them at once would be a lot of memory. */
static void filter_compile_next(struct filter_run *r)
{
	const struct sieve_script *script;
	struct arena mem;

	if (r->at < r->count) {
		arena_init(&mem, FILTER_SCRIPT_BYTES);
		script = filter_compile(r, &r->accounts[r->at++], &mem);
		r->needs |= script ? sieve_script_needs(script) : 0;
		arena_clear(&mem);
		return;
	}
	r->source = session_body_source(r->session->smtp->body);
	r->mail = sieve_mail_new(&r->source, NULL, r->needs);
	r->stage = FILTER_LOOKS;
	r->at = 0;
}

static struct span filter_rcpt(const struct filter_run *r, size_t tag, struct buf *out)
{
	const struct session *s = r->session;

	for (uint32_t i = 0; i < r->ask.rcpt_count; i++) {
		const struct smtp_rcpt *rcpt = smtp_in_rcpt(s->smtp->in, i);

		if (rcpt->tag != s->smtp->filter.tags[tag])
			continue;
		address_write(out, &rcpt->to);
		break;
	}
	return buf_span(out);
}

static void filter_run_next(struct filter_run *r)
{
	struct filter_account *a = &r->accounts[r->at++];
	const struct sieve_script *script = NULL;
	struct sieve_result result;
	struct sieve_message m;
	struct arena mem;
	struct buf from, to;

	arena_init(&mem, FILTER_SCRIPT_BYTES + FILTER_RESULT_BYTES);
	buf_init(&from, FILTER_ADDRESS_BYTES);
	buf_init(&to, FILTER_ADDRESS_BYTES);
	if (a->text)
		script = filter_compile(r, a, &mem);
	if (script) {
		sieve_mail_message(r->mail, &m);
		address_write(&from, &r->ask.mail->from);
		m.from = buf_span(&from);
		m.to = filter_rcpt(r, a->tag, &to);
		m.auth = smtp_in_account(r->session->smtp->in);
		m.now_ms = clock_wall_ms();
		(void)sieve_run(script, &m, LIMIT_SIEVE_STEPS, &mem, &result);
		filter_write_result(r, a, &m, &result);
	}
	buf_clear(&from);
	buf_clear(&to);
	arena_clear(&mem);
}

/* the first recipient behind whom everybody refuses; false: there is none */
static bool filter_refused(struct filter_run *r, size_t *tag_out)
{
	for (size_t i = 0; i < r->link_count; i++) {
		const struct filter_link *l = &r->links[i];
		struct filter_tag *t = &r->tags[l->tag];

		if (!r->accounts[l->account].reason)
			t->takers++;
		else if (t->refusers++ == 0)
			t->refuser = l->account;
	}
	for (size_t tag = 0; tag < r->session->smtp->filter.tag_count; tag++)
		if (r->tags[tag].refusers && r->tags[tag].takers == 0 && r->tags[tag].others == 0) {
			*tag_out = tag;
			return true;
		}
	return false;
}

static void filter_finish(struct filter_run *r)
{
	struct verdict v = {.cause = CAUSE_NONE};
	struct buf to;
	size_t tag;

	buf_init(&to, FILTER_ADDRESS_BYTES);
	if (filter_refused(r, &tag))
		v = (struct verdict){.cause = CAUSE_RCPT_REFUSES_SENDER, .facts = {.rcpt = filter_rcpt(r, tag, &to), .rule = SPAN_LIT("recipient"),
			.detail = span_str(r->accounts[r->tags[tag].refuser].reason), .utf8 = r->ask.mail->smtputf8}};
	filter_answer(r, &v);
	buf_clear(&to);
}

static void filter_on_turn(void *arg)
{
	struct filter_run *r = arg;

	switch (r->stage) {
	case FILTER_FETCHES:
		filter_fetch(r);
		return;
	case FILTER_COMPILES:
		filter_compile_next(r);
		break;
	case FILTER_LOOKS:
		if (!sieve_mail_step(r->mail))
			r->stage = FILTER_RUNS;
		break;
	case FILTER_RUNS:
		if (r->at < r->count) {
			filter_run_next(r);
			break;
		}
		filter_finish(r);
		return;
	case FILTER_DONE:
		return;
	}
	loop_soon(r->session->worker->loop, &r->hook);
}

void session_filter_check(struct session *s, const struct smtp_ask *ask, session_filter_then *then)
{
	struct session_filter *f = &s->smtp->filter;
	struct filter_run *r;

	session_filter_forget(s);
	if (f->tag_count == 0 || !s->worker->store) {
		then(s, ask, &(struct verdict){.cause = f->tag_count ? CAUSE_SERVER_TEMP_ERROR : CAUSE_NONE});
		return;
	}
	r = f->run = mem_zalloc(sizeof(*r));
	r->session = s;
	r->ask = *ask;
	r->then = then;
	r->hook = (struct loop_hook){.fn = filter_on_turn, .arg = r};
	r->tags = mem_array(f->tag_count, sizeof(*r->tags));
	map_init(&r->known);
	filter_join(r);
}

size_t session_filter_write(const struct session *s, struct buf *out)
{
	const struct filter_run *r = s->smtp->filter.run;

	if (!r)
		return 0;
	buf_add(out, buf_span(&r->filed));
	return r->filed_count;
}

size_t session_filter_write_answers(const struct session *s, struct buf *out)
{
	const struct filter_run *r = s->smtp->filter.run;

	if (!r)
		return 0;
	buf_add(out, buf_span(&r->answers));
	return r->answer_count;
}
