#include "store/store_internal.h"

#include <unistd.h>

#include "base/mem.h"
#include "store/store_filter.h"
#include "store/store_queue_internal.h"
#include "store/store_srs.h"

/* where one message goes: worked out whole before anything is written */
struct store_plan_local {
	int64_t account;
	uint32_t rcpt; /* the first recipient that leads there */
	bool room;     /* its quota is not reached */
	uint8_t repeat[STORE_REPEAT_KEY_BYTES];
};
struct store_plan_foreign {
	struct span key, text, domain;
	struct span via; /* domain of the alias that forwards to it; empty: none does */
	uint32_t rcpt;
	uint8_t repeat[STORE_REPEAT_KEY_BYTES];
};
struct store_plan {
	struct store *s;
	const struct store_message *m;
	struct store_walk walk; /* shared by all recipients: an alias that two of them reach is walked once */
	struct store_plan_local *locals;
	struct store_plan_foreign *foreign;
	size_t local_count, local_size, foreign_count, foreign_size;
	uint32_t rcpt; /* at hand */
	size_t holders; /* copies in mailboxes and rows of the queue; 0: every filter threw it away */
	int64_t first; /* the message that this one repeats, where it does; 0 */
	bool disabled, over;
	struct span via; /* of the alias that is being walked */
	struct arena mem;
};

static bool store_plan_full(struct store_plan *p)
{
	p->over |= p->local_count + p->foreign_count >= STORE_PLAN_TARGETS;
	return p->over;
}

static void store_plan_local(struct store_plan *p, const struct store_found *a)
{
	if (!a->enabled) {
		p->disabled = true;
		return;
	}
	if (store_plan_full(p))
		return;
	if (p->local_count == p->local_size) {
		p->local_size = p->local_size ? p->local_size * 2 : 8;
		p->locals = mem_realloc(p->locals, p->local_size * sizeof(*p->locals));
	}
	p->locals[p->local_count++] = (struct store_plan_local){.account = a->id, .rcpt = p->rcpt,
		.room = a->quota_bytes == 0 || a->used_bytes < a->quota_bytes};
}

static enum rc store_plan_foreign(struct store_plan *p, const struct store_name *name, struct err *err)
{
	struct store_plan_foreign f = {.rcpt = p->rcpt};

	if (store_plan_full(p))
		return RC_OK;
	if (p->foreign_count == p->foreign_size) {
		p->foreign_size = p->foreign_size ? p->foreign_size * 2 : 8;
		p->foreign = mem_realloc(p->foreign, p->foreign_size * sizeof(*p->foreign));
	}
	f.key = arena_copy(&p->mem, name->key);
	f.text = arena_copy(&p->mem, name->text);
	f.domain = arena_copy(&p->mem, name->domain);
	f.via = p->via;
	if (!f.key.ptr || !f.text.ptr)
		return err_set(err, RC_LIMIT, "the recipients of one message are too long together");
	p->foreign[p->foreign_count++] = f;
	return RC_OK;
}

static enum rc store_plan_found(void *arg, const struct store_found *what, const struct store_name *name, struct err *err)
{
	struct store_plan *p = arg;

	if (what->kind == STORE_FOUND_ACCOUNT)
		store_plan_local(p, what);
	else if (what->kind == STORE_FOUND_FOREIGN)
		return store_plan_foreign(p, name, err);
	return RC_OK;
}

/* The tag saves the look-up by name; it comes from a worker and is only a hint: what it names must still be there. */
static enum rc store_plan_by_tag(struct store_plan *p, uint64_t tag, struct store_found *out, struct err *err)
{
	int64_t id = (int64_t)(tag >> STORE_TAG_BITS);
	struct sql_row row;
	enum rc rc;

	*out = (struct store_found){.id = id};
	switch (tag & STORE_TAG_MASK) {
	case STORE_TAG_ACCOUNT:
		return store_find_account(p->s, id, out, err);
	case STORE_TAG_ALIAS:
		rc = sql_first(&p->s->sql, &row, STORE_SQL_ALIAS_TARGET_ANY, SQL_ARGS(SQL_N(id)), err);
		sql_end(&row);
		out->kind = STORE_FOUND_ALIAS;
		return rc;
	default:
		return RC_NONE;
	}
}

/* a bounce goes back to whose mail we had forwarded; anything else is not for that address */
static enum rc store_plan_srs(struct store_plan *p, const struct store_name *name, struct err *err)
{
	enum srs_back how = SRS_BACK_NOT;
	struct store_name back;
	struct arena scratch;
	struct buf text;
	enum rc rc = RC_OK;

	arena_init(&scratch, 16 * STORE_ADDRESS_BYTES);
	buf_init(&text, STORE_ADDRESS_BYTES);
	if (p->m->sender.len == 0)
		rc = store_srs_reverse(p->s, name->local, p->m->received_ms, &text, &how, err);
	if (rc == RC_OK && how == SRS_BACK_OK && store_name_parse(buf_span(&text), &scratch, &back, NULL) == RC_OK && back.domain.len)
		rc = store_plan_foreign(p, &back, err);
	buf_clear(&text);
	arena_clear(&scratch);
	return rc;
}

/* where the alias stands that sends mail on */
static struct span store_plan_via(struct store_plan *p, struct span address)
{
	struct store_name name;
	struct arena scratch;
	struct span via = SPAN_NONE;

	arena_init(&scratch, 16 * STORE_ADDRESS_BYTES);
	if (store_name_parse(address, &scratch, &name, NULL) == RC_OK && name.domain.len)
		via = arena_copy(&p->mem, name.domain);
	arena_clear(&scratch);
	return via;
}

static enum rc store_plan_rcpt(struct store_plan *p, const struct store_rcpt *r, struct err *err)
{
	struct store_name name = {0};
	struct store_found what;
	struct arena scratch;
	enum rc rc = store_plan_by_tag(p, r->tag, &what, err);

	arena_init(&scratch, 16 * STORE_ADDRESS_BYTES);
	/* gone since RCPT (or for elsewhere): ask by name */
	if (rc == RC_NONE || (rc == RC_OK && what.kind == STORE_FOUND_ACCOUNT && !what.enabled)) {
		rc = store_name_parse(r->address, &scratch, &name, err);
		if (rc == RC_OK)
			rc = store_find(p->s, &name, &what, err);
		/* a tag for elsewhere was given for a domain that is hosted by now, or the other way round: only what RCPT promised is taken */
		if (rc == RC_OK && what.kind == STORE_FOUND_FOREIGN && (r->tag & STORE_TAG_MASK) != STORE_TAG_FOREIGN)
			what.kind = STORE_FOUND_NOBODY;
	}
	if (rc == RC_OK && what.kind == STORE_FOUND_ALIAS) {
		p->walk.targets = 0;
		p->via = store_plan_via(p, r->address);
		rc = store_walk_alias(&p->walk, what.id, err);
		p->via = p->m->via;
		p->over |= p->walk.over;
	} else if (rc == RC_OK && what.kind == STORE_FOUND_SRS) {
		rc = store_plan_srs(p, &name, err);
	} else if (rc == RC_OK) {
		rc = store_plan_found(p, &what, &name, err);
	}
	arena_clear(&scratch);
	return rc;
}

static int store_plan_local_order(const void *a, const void *b)
{
	const struct store_plan_local *x = a, *y = b;

	if (x->account != y->account)
		return x->account < y->account ? -1 : 1;
	return x->rcpt < y->rcpt ? -1 : x->rcpt > y->rcpt;
}

static int store_span_order(struct span x, struct span y)
{
	size_t both = x.len < y.len ? x.len : y.len;
	int order = both ? memcmp(x.ptr, y.ptr, both) : 0;

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

static int store_plan_foreign_order(const void *a, const void *b)
{
	const struct store_plan_foreign *x = a, *y = b;
	int order = store_span_order(x->key, y->key);

	if (order)
		return order;
	return x->rcpt < y->rcpt ? -1 : x->rcpt > y->rcpt;
}

/* each mailbox and each foreign address once, for the first recipient that led there */
static void store_plan_distinct(struct store_plan *p)
{
	size_t n = 0;

	if (p->local_count > 1) {
		qsort(p->locals, p->local_count, sizeof(*p->locals), store_plan_local_order);
		for (size_t i = 0; i < p->local_count; i++)
			if (n == 0 || p->locals[i].account != p->locals[n - 1].account)
				p->locals[n++] = p->locals[i];
		p->local_count = n;
	}
	if (p->foreign_count > 1) {
		n = 0;
		qsort(p->foreign, p->foreign_count, sizeof(*p->foreign), store_plan_foreign_order);
		for (size_t i = 0; i < p->foreign_count; i++)
			if (n == 0 || !span_eq(p->foreign[i].key, p->foreign[n - 1].key))
				p->foreign[n++] = p->foreign[i];
		p->foreign_count = n;
	}
}

/* ---- repeats (store_repeat.c) */

/* leaves only places that have not got it */
static enum rc store_plan_repeats(struct store_plan *p, struct err *err)
{
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < p->local_count && rc == RC_OK; i++) {
		struct store_plan_local *l = &p->locals[i];

		rc = store_repeat_key(p->s, p->m, l->account, SPAN_NONE, l->repeat, err);
		if (rc == RC_OK)
			rc = store_repeat_find(p->s, p->m, l->repeat, &p->first, err);
		if (rc == RC_NONE) {
			p->locals[n++] = *l;
			rc = RC_OK;
		}
	}
	p->local_count = n;
	n = 0;
	for (size_t i = 0; i < p->foreign_count && rc == RC_OK; i++) {
		struct store_plan_foreign *f = &p->foreign[i];

		rc = store_repeat_key(p->s, p->m, 0, f->key, f->repeat, err);
		if (rc == RC_OK)
			rc = store_repeat_find(p->s, p->m, f->repeat, &p->first, err);
		if (rc == RC_NONE) {
			p->foreign[n++] = *f;
			rc = RC_OK;
		}
	}
	p->foreign_count = n;
	return rc;
}

static bool store_plan_has_room(const struct store_plan *p)
{
	bool room = p->foreign_count > 0;

	for (size_t i = 0; i < p->local_count && !room; i++)
		room = p->locals[i].room;
	return room;
}

/* *repeat_out: everybody has got it already; p->first is that message */
static enum rc store_plan_make(struct store_plan *p, bool *repeat_out, enum cause_id *cause_out, struct err *err)
{
	enum rc rc = RC_OK;

	for (p->rcpt = 0; p->rcpt < p->m->rcpt_count && rc == RC_OK && !p->over; p->rcpt++)
		rc = store_plan_rcpt(p, &p->m->rcpts[p->rcpt], err);
	if (rc != RC_OK)
		return rc;
	store_plan_distinct(p);
	if (p->over) { /* somebody else's settings grew past what one message may reach: later, never half */
		*cause_out = CAUSE_SERVER_TEMP_ERROR;
		return RC_OK;
	}
	if (p->local_count + p->foreign_count == 0) {
		*cause_out = p->disabled ? CAUSE_RCPT_DISABLED : p->walk.loop ? CAUSE_RCPT_ALIAS_LOOP : CAUSE_RCPT_UNKNOWN;
		return RC_OK;
	}
	if (store_repeats_known(p->m))
		rc = store_plan_repeats(p, err);
	*repeat_out = rc == RC_OK && p->local_count + p->foreign_count == 0;
	if (rc == RC_OK && !*repeat_out && !store_plan_has_room(p))
		*cause_out = CAUSE_RCPT_MAILBOX_FULL;
	return rc;
}

/* ---- writing */

/* What the envelope may hold was checked by the engine that parsed it; here only what would spoil the database or a header line made of it. */
static bool store_envelope_text_ok(struct span s, size_t max)
{
	if (s.len > max || !span_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return true;
}

/* whole header lines of printable text, as a filter may add them ("Name: value"): nothing that could end the header */
static bool store_added_ok(struct span added)
{
	if (added.len > STORE_ADDED_BYTES || !span_is_utf8(added))
		return false;
	while (added.len) {
		size_t end = span_find_span(added, SPAN_LIT("\r\n")), colon = span_find(added, ':');

		if (colon == 0 || colon >= end || end == added.len || end + 2 > LIMIT_TEXT_LINE_BYTES)
			return false;
		for (size_t i = 0; i < end; i++) {
			uint8_t c = added.ptr[i];

			if ((c < ' ' && c != '\t') || c == 0x7f || (i < colon && (c <= ' ' || c >= 0x80)))
				return false;
		}
		added = span_from(added, end + 2);
	}
	return true;
}

/* the next copy for that account; NULL: no more. Who has no filter has one, in the inbox. Start with *at = 0. */
static const struct store_filed *store_filed_next(const struct store_message *m, int64_t account, size_t *at)
{
	static const struct store_filed inbox = {.how = STORE_FILED_INBOX};
	bool known = *at > 0;

	for (size_t i = *at; i < m->filed_count; i++) {
		if (m->filed[i].account != account)
			continue;
		known = true;
		*at = i + 1;
		if (m->filed[i].how < STORE_FILED_NOWHERE)
			return &m->filed[i];
	}
	*at = m->filed_count + 1;
	return known ? NULL : &inbox;
}

/* Of a copy that only goes on, the places that it goes to know whether they have had it; were the account's known too, two who send to each other would each
 * be taken for one who has it. */
static bool store_filed_only_on(const struct store_message *m, int64_t account)
{
	bool on = false;

	for (size_t i = 0; i < m->filed_count; i++) {
		if (m->filed[i].account != account)
			continue;
		if (m->filed[i].how != STORE_FILED_SENT_ON)
			return false;
		on = true;
	}
	return on;
}

static size_t store_plan_holders(const struct store_plan *p)
{
	size_t n = p->foreign_count, at;

	for (size_t i = 0; i < p->local_count; i++)
		for (at = 0; store_filed_next(p->m, p->locals[i].account, &at);)
			n++;
	return n;
}

static enum rc store_write_item(struct store *s, const struct store_message *m, int64_t message, const struct store_plan_local *l,
	const struct store_filed *filed, uint64_t text_bytes, struct err *err)
{
	struct sql_row row;
	struct buf top;
	int64_t uid, modseq, bytes, folder = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_DELIVER_GET, SQL_ARGS(SQL_N(l->account)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? err_set(err, RC_BAD, "account %lld went away inside a transaction", (long long)l->account) : rc;
	buf_init(&top, 4 * STORE_ADDRESS_BYTES);
	store_mail_top(&top, m->sender, sql_text(&row, 0, STORE_ADDRESS_BYTES));
	uid = sql_number(&row, 3, 1, STORE_MAX_MS);
	modseq = sql_number(&row, 4, 0, STORE_MAX_MS) + 1;
	rc = sql_checked(&row, err);
	sql_end(&row);
	bytes = (int64_t)(top.len + filed->added.len + text_bytes);
	buf_clear(&top);
	if (rc == RC_OK && filed->how == STORE_FILED_FOLDER)
		rc = store_folder_make(s, l->account, filed->folder, &folder, err);
	if (rc == RC_LIMIT) { /* too many folders: the inbox has room */
		folder = 0;
		rc = RC_OK;
	}
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ITEM_ADD, SQL_ARGS(SQL_N(l->account), SQL_N(uid), SQL_N(message), SQL_N(modseq), SQL_N(m->received_ms),
			SQL_N(bytes), SQL_T(m->rcpts[l->rcpt].address), SQL_N(folder), SQL_T(filed->flags), SQL_T(filed->added)), err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_ACCOUNT_DELIVER, SQL_ARGS(SQL_N(l->account), SQL_N(bytes), SQL_N(uid), SQL_N(modseq)), err);
	return rc;
}

static enum rc store_write_queued(struct store *s, struct store_enqueue *e, const struct store_plan_foreign *f, struct err *err)
{
	const struct store_rcpt *r = &e->m->rcpts[f->rcpt];

	return store_enqueue(s, e, &(struct store_enqueued){.address = f->text, .domain = f->domain, .via = f->via, .notify = r->notify, .orcpt = r->orcpt}, err);
}

static int64_t store_message_flags(const struct store_message *m)
{
	return (m->smtputf8 ? STORE_FLAG_SMTPUTF8 : 0) | (m->body_8bit ? STORE_FLAG_8BIT : 0) | (m->body_binary ? STORE_FLAG_BINARY : 0) |
		(m->requiretls ? STORE_FLAG_REQUIRETLS : 0) | (m->headers_ascii ? STORE_FLAG_HEADERS_ASCII : 0);
}

/* the text of a message on its way into a row */
struct store_text {
	struct span head, body; /* head: trace and header block */
	uint64_t body_bytes;
	struct buf head_mem, body_mem;
	bool in_file;
};

static enum rc store_write_message(struct store *s, const struct store_message *m, int64_t id, const struct store_text *t, size_t holders, struct err *err)
{
	int64_t size = (int64_t)(t->head.len + t->body_bytes);
	enum rc rc = sql_run(&s->sql, STORE_SQL_MESSAGE_ADD, SQL_ARGS(SQL_N(id), SQL_T(m->sender), SQL_T(m->envid), SQL_B(m->message_id), SQL_T(m->client),
		SQL_T(m->peer), SQL_T(store_envelope_text_ok(m->helo, STORE_ADDRESS_BYTES) ? m->helo : SPAN_NONE), SQL_N(m->received_ms), SQL_N(size), SQL_N(store_message_flags(m)), SQL_N(m->ret), SQL_N(m->account),
		SQL_N(holders), SQL_N(m->origin)), err);

	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_CONTENT_ADD, SQL_ARGS(SQL_N(id), SQL_N(t->head.len), SQL_N(t->body_bytes), SQL_N(t->in_file),
			SQL_B(t->head), t->in_file ? SQL_NULL : SQL_B(t->body)), err);
	return rc;
}

static enum rc store_write_all(struct store_plan *p, int64_t id, const struct store_text *t, struct err *err)
{
	const struct store_message *m = p->m;
	struct store_enqueue e = {.m = m, .message = id, .mem = &p->mem};
	const struct store_filed *filed;
	enum rc rc = p->holders ? store_write_message(p->s, m, id, t, p->holders, err) : RC_OK;
	size_t at;

	for (size_t i = 0; i < p->local_count && rc == RC_OK; i++) {
		for (at = 0; rc == RC_OK && (filed = store_filed_next(m, p->locals[i].account, &at)) != NULL;)
			rc = store_write_item(p->s, m, id, &p->locals[i], filed, t->head.len + t->body_bytes, err);
		if (rc == RC_OK && !store_filed_only_on(m, p->locals[i].account))
			rc = store_repeat_write(p->s, m, id, p->locals[i].repeat, err);
	}
	for (size_t i = 0; i < p->foreign_count && rc == RC_OK; i++) {
		rc = store_write_queued(p->s, &e, &p->foreign[i], err);
		if (rc == RC_OK)
			rc = store_repeat_write(p->s, m, id, p->foreign[i].repeat, err);
	}
	return rc;
}

/* ---- the text */

static enum rc store_text_spool(struct store *s, const struct store_message *m, int64_t id, struct store_text *t, struct err *err)
{
	struct store_spool *p = store_spool_get(s, m->spool);
	enum rc rc = p ? store_spool_check(p, m->spool_bytes, err) : err_set(err, RC_BAD, "there is no such spool file");
	uint8_t *to;
	ssize_t n;

	if (rc != RC_OK)
		return rc;
	t->body_bytes = m->spool_bytes;
	t->in_file = m->spool_bytes > LIMIT_BODY_ROW_BYTES;
	if (t->in_file)
		return store_spool_keep(s, p, id, err);
	buf_init(&t->body_mem, LIMIT_BODY_ROW_BYTES);
	to = buf_reserve(&t->body_mem, m->spool_bytes);
	while (to && t->body_mem.len < m->spool_bytes) {
		n = pread(p->fd, to + t->body_mem.len, m->spool_bytes - t->body_mem.len, (off_t)t->body_mem.len);
		if (n <= 0)
			return err_errno(err, n < 0 ? RC_IO : RC_BAD, "spool file of %llu bytes ended early", (unsigned long long)m->spool_bytes);
		t->body_mem.len += (size_t)n;
	}
	t->body = buf_span(&t->body_mem);
	return RC_OK;
}

/* another message of this transaction has the body */
static enum rc store_text_shared(struct store *s, const struct store_message *m, int64_t id, struct store_text *t, struct err *err)
{
	struct sql_row row;
	enum rc rc;

	t->body_bytes = m->spool_bytes;
	t->in_file = m->spool_bytes > LIMIT_BODY_ROW_BYTES;
	if (t->in_file)
		return store_body_link(s, m->shared->message, id, err);
	rc = sql_first(&s->sql, &row, STORE_SQL_CONTENT_READ, SQL_ARGS(SQL_N(m->shared->message)), err);
	if (rc != RC_OK)
		return rc == RC_NONE ? err_set(err, RC_BAD, "the message that has the body is not there") : rc;
	buf_init(&t->body_mem, LIMIT_BODY_ROW_BYTES);
	buf_add(&t->body_mem, sql_bytes(&row, 1, LIMIT_BODY_ROW_BYTES));
	rc = sql_checked(&row, err);
	sql_end(&row);
	t->body = buf_span(&t->body_mem);
	return rc;
}

static enum rc store_text_make(struct store *s, const struct store_message *m, int64_t id, struct store_text *t, struct err *err)
{
	if (m->trace.len) {
		buf_init(&t->head_mem, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES);
		(void)buf_reserve(&t->head_mem, m->trace.len + m->head.len);
		buf_add(&t->head_mem, m->trace);
		buf_add(&t->head_mem, m->head);
		t->head = buf_span(&t->head_mem);
	} else {
		t->head = m->head;
	}
	t->body = m->body;
	t->body_bytes = m->body.len;
	if (!m->spool)
		return RC_OK;
	return m->shared && m->shared->message ? store_text_shared(s, m, id, t, err) : store_text_spool(s, m, id, t, err);
}

/* ---- the call */

static bool store_message_ok(const struct store_message *m)
{
	bool ok = store_envelope_text_ok(m->sender, STORE_ADDRESS_BYTES) && store_envelope_text_ok(m->envid, 4 * LIMIT_ENVID_BYTES) && m->via.len <= LIMIT_DOMAIN_BYTES &&
		store_envelope_text_ok(m->peer, STORE_ADDRESS_BYTES) &&
		store_envelope_text_ok(m->client, STORE_ADDRESS_BYTES);

	ok = ok && m->origin <= STORE_ORIGIN_SERVER && m->rcpt_count > 0 && m->received_ms >= 0 && m->received_ms < STORE_MAX_MS && m->account >= 0 && m->ret <= 2;
	ok = ok && m->message_id.len <= LIMIT_HEADER_FIELD_BYTES && m->trace.len <= LIMIT_TRACE_BYTES && m->head.len <= LIMIT_HEADER_BYTES;
	ok = ok && (m->digest.len == 0 || m->digest.len == 32) && m->body.len <= LIMIT_BODY_ROW_BYTES && (m->spool == 0 || m->body.len == 0);
	for (size_t i = 0; i < m->filed_count && ok; i++)
		ok = m->filed[i].how <= STORE_FILED_SENT_ON && store_envelope_text_ok(m->filed[i].to, STORE_ADDRESS_BYTES) && (m->filed[i].how != STORE_FILED_FOLDER || m->filed[i].folder.len > 0) &&
			store_envelope_text_ok(m->filed[i].folder, LIMIT_FOLDER_BYTES) && store_envelope_text_ok(m->filed[i].flags, STORE_FLAGS_BYTES) &&
			store_added_ok(m->filed[i].added);
	for (uint32_t i = 0; i < m->rcpt_count && ok; i++)
		ok = store_envelope_text_ok(m->rcpts[i].address, STORE_ADDRESS_BYTES) && store_envelope_text_ok(m->rcpts[i].orcpt, 4 * LIMIT_ORCPT_BYTES);
	return ok;
}

static enum rc store_accept_planned(struct store *s, const struct store_message *m, int64_t *id_out, bool *repeat_out, enum cause_id *cause_out,
	struct err *err)
{
	struct store_plan p = {.s = s, .m = m, .via = m->via};
	struct store_text t = {0};
	int64_t id = 0;
	enum rc rc;

	arena_init(&p.mem, STORE_SCRATCH_BYTES);
	store_walk_init(&p.walk, s, store_plan_found, &p);
	rc = store_plan_make(&p, repeat_out, cause_out, err);
	if (rc == RC_OK && *repeat_out)
		*id_out = p.first;
	if (rc != RC_OK || *cause_out != CAUSE_NONE || *repeat_out)
		goto out;
	p.holders = store_plan_holders(&p);
	rc = store_number(s, STORE_COUNT_MESSAGE, 1, &id, err); /* thrown away, it is answered with a number all the same */
	if (rc == RC_OK && p.holders)
		rc = store_text_make(s, m, id, &t, err);
	if (rc == RC_FULL) { /* nothing is in the database yet: only this message is refused */
		*cause_out = CAUSE_SERVER_STORAGE_FULL;
		rc = RC_OK;
		goto out;
	}
	if (rc == RC_OK) {
		rc = store_write_all(&p, id, &t, err);
		if (rc != RC_OK) /* half a message must not stay, and there is no telling which half */
			store_rollback(s);
	}
	if (rc == RC_OK && p.holders && m->shared && !m->shared->message)
		m->shared->message = id;
	if (rc == RC_OK)
		*id_out = id;
out:
	buf_clear(&t.head_mem);
	buf_clear(&t.body_mem);
	free(p.locals);
	free(p.foreign);
	store_walk_clear(&p.walk);
	arena_clear(&p.mem);
	return rc;
}

enum rc store_accept(struct store *s, const struct store_message *m, int64_t *id_out, bool *duplicate_out, enum cause_id *cause_out, struct err *err)
{
	enum cause_id cause = CAUSE_NONE;
	bool repeat = false;
	int64_t id = 0;
	enum rc rc;

	rc = store_message_ok(m) ? store_begin(s, err) : err_set(err, RC_BAD, "the envelope holds what cannot be");
	if (rc == RC_OK)
		rc = store_accept_planned(s, m, &id, &repeat, &cause, err);
	if (m->spool && (!m->shared || rc != RC_OK))
		store_spool_drop(s, m->spool); /* whatever became of it: a lent file is used once */
	if (rc == RC_FULL || rc == RC_IO)
		store_rollback(s);
	if (rc != RC_OK)
		return rc;
	*id_out = id;
	*duplicate_out = repeat;
	*cause_out = cause;
	return RC_OK;
}

/* ---- rows of the queue whose domain has come here */

/* The message is there already; what it had of the queue becomes what its recipient would have got. Filters are the worker's, and it is long gone: the inbox. */
enum rc store_accept_queued(struct store *s, const struct store_message *m, int64_t message, uint64_t text_bytes, enum cause_id *cause_out, struct err *err)
{
	struct store_plan p = {.s = s, .m = m};
	struct store_enqueue e = {.m = m, .message = message, .mem = &p.mem};
	bool repeat = false;
	enum rc rc;

	arena_init(&p.mem, STORE_SCRATCH_BYTES);
	store_walk_init(&p.walk, s, store_plan_found, &p);
	rc = store_plan_make(&p, &repeat, cause_out, err);
	if (*cause_out == CAUSE_RCPT_MAILBOX_FULL && p.local_count) /* taken in when nobody knew of the quota */
		*cause_out = CAUSE_NONE;
	if (rc == RC_OK && *cause_out == CAUSE_NONE)
		rc = sql_run(&s->sql, STORE_SQL_MESSAGE_HOLD, SQL_ARGS(SQL_N(message), SQL_N(p.local_count + p.foreign_count)), err);
	for (size_t i = 0; rc == RC_OK && *cause_out == CAUSE_NONE && i < p.local_count; i++)
		rc = store_write_item(s, m, message, &p.locals[i], &(struct store_filed){.how = STORE_FILED_INBOX}, text_bytes, err);
	for (size_t i = 0; rc == RC_OK && *cause_out == CAUSE_NONE && i < p.foreign_count; i++)
		rc = store_write_queued(s, &e, &p.foreign[i], err);
	free(p.locals);
	free(p.foreign);
	store_walk_clear(&p.walk);
	arena_clear(&p.mem);
	return rc;
}
