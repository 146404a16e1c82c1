/* rows of the outgoing queue: where they go, and as whose mail */
#include "mail/address.h"
#include "store/store_queue_internal.h"
#include "store/store_srs.h"

enum { STORE_OLD_STEP = 2000 /* rows a transaction */ };

/* ---- destinations */

/* elsewhere it goes by its A-labels (RFC 6531 3.2); one that has none is not in the DNS, which its delivery will say */
struct span store_destination_name(struct span domain, struct arena *mem)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];

	return arena_copy(mem, address_domain_key(domain, room));
}

static struct span store_destination_smarthost(struct span name, struct arena *mem)
{
	uint8_t *text = arena_alloc(mem, name.len + 1);

	if (!text)
		return SPAN_NONE;
	text[0] = '>';
	memcpy(text + 1, name.ptr, name.len);
	return span_of(text, name.len + 1);
}

/* ---- whose mail it is */

static struct span store_domain_part(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at ? span_from(address, at) : SPAN_NONE;
}

static enum rc store_smarthost_of_domain(struct store *s, struct store_enqueue *e, struct span domain, bool *hosted_out, struct err *err)
{
	struct span name = store_destination_name(domain, e->mem), smarthost;
	struct sql_row row;
	enum rc rc;

	if (domain.len == 0)
		return RC_OK;
	rc = sql_first(&s->sql, &row, STORE_SQL_SMARTHOST_DOMAIN, SQL_ARGS(SQL_T(name)), err);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	smarthost = sql_text(&row, 0, STORE_SMARTHOST_BYTES);
	if (!e->smarthost.len)
		e->smarthost = arena_copy(e->mem, smarthost);
	*hosted_out = true;
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

static enum rc store_smarthost_of_account(struct store *s, struct store_enqueue *e, struct err *err)
{
	struct span own, domain;
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_SMARTHOST_ACCOUNT, SQL_ARGS(SQL_N(e->m->account)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	own = sql_text(&row, 0, STORE_SMARTHOST_BYTES);
	domain = sql_text(&row, 1, STORE_SMARTHOST_BYTES);
	e->smarthost = arena_copy(e->mem, own.len ? own : domain);
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

/* once a message; who signed in has the account's, so the sender's domain matters only where it is forwarded */
static enum rc store_enqueue_look(struct store *s, struct store_enqueue *e, bool forwarded, struct err *err)
{
	enum rc rc = RC_OK;

	if (e->m->account > 0 && !e->account_known)
		rc = store_smarthost_of_account(s, e, err);
	e->account_known = rc == RC_OK;
	if (rc == RC_OK && e->m->sender.len && !e->sender_known && (forwarded || e->m->account <= 0)) {
		rc = store_smarthost_of_domain(s, e, store_domain_part(e->m->sender), &e->sender_hosted, err);
		e->sender_known = rc == RC_OK;
	}
	return rc;
}

/* Mail that an alias sends on leaves in the name of the alias's domain: the next server's SPF knows that one, and not us for the sender's. */
static enum rc store_enqueue_sender(struct store *s, const struct store_enqueue *e, const struct store_enqueued *r, struct span *out, struct err *err)
{
	struct buf text;
	enum rc rc;

	*out = SPAN_NONE;
	if (r->via.len == 0 || e->m->sender.len == 0 || e->sender_hosted)
		return RC_OK;
	buf_init(&text, STORE_ADDRESS_BYTES);
	rc = store_srs_forward(s, e->m->sender, e->m->received_ms, &text, err);
	if (rc == RC_OK && text.len) {
		buf_add_byte(&text, '@');
		buf_add(&text, r->via);
		*out = arena_copy(e->mem, buf_span(&text));
	}
	buf_clear(&text);
	return rc;
}

enum rc store_enqueue(struct store *s, struct store_enqueue *e, const struct store_enqueued *r, struct err *err)
{
	struct span dest, sender = SPAN_NONE, smarthost;
	bool via_hosted = false;
	int64_t id = 0;
	enum rc rc = store_enqueue_look(s, e, r->via.len > 0, err);

	smarthost = e->smarthost;
	if (rc == RC_OK && r->via.len && !e->sender_hosted && !smarthost.len) { /* forwarded: it leaves as mail of the alias's domain */
		rc = store_smarthost_of_domain(s, e, r->via, &via_hosted, err);
		smarthost = e->smarthost;
		e->smarthost = SPAN_NONE;
	}
	if (rc == RC_OK)
		rc = store_enqueue_sender(s, e, r, &sender, err);
	if (rc == RC_OK)
		rc = store_number(s, STORE_COUNT_QUEUE, 1, &id, err);
	if (rc != RC_OK)
		return rc;
	dest = smarthost.len ? store_destination_smarthost(smarthost, e->mem) : store_destination_name(r->domain, e->mem);
	if (dest.len == 0 || e->mem->overflow)
		return err_set(err, RC_LIMIT, "the recipients of one message are too long together");
	rc = sql_run(&s->sql, STORE_SQL_QUEUE_ADD, SQL_ARGS(SQL_N(id), SQL_N(e->message), SQL_T(r->address), SQL_N(r->notify), SQL_T(r->orcpt),
		SQL_N(e->m->received_ms), SQL_T(dest), SQL_T(sender)), err);
	return rc == RC_OK ? store_destination_due(s, dest, e->m->received_ms, err) : rc;
}

/* ---- rows of older versions */

struct store_old_row {
	int64_t id, next_ms;
	struct span dest;
};

static enum rc store_old_page(struct store *s, struct arena *mem, struct store_old_row *rows, size_t *count_out, struct err *err)
{
	struct sql_row row;
	struct address a;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_QUEUE_OLD_PAGE, SQL_ARGS(SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		rows[n].id = sql_number(&row, 0, 1, STORE_MAX_MS);
		rows[n].next_ms = sql_number(&row, 3, 0, STORE_MAX_MS);
		/* what is no address was never let in; should it be there all the same, it goes where nothing is and comes back */
		if (address_parse(sql_text(&row, 1, STORE_ADDRESS_BYTES), ADDRESS_UTF8, mem, &a) == ADDRESS_OK)
			rows[n].dest = store_destination_name(a.domain, mem);
		else
			rows[n].dest = SPAN_LIT("invalid");
		rc = sql_checked(&row, err);
		if (rc == RC_OK && (mem->overflow || rows[n].dest.len == 0))
			rc = err_set(err, RC_LIMIT, "no room for a page of the queue");
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc store_enqueue_old(struct store *s, struct err *err)
{
	struct store_old_row rows[STORE_PAGE_ROWS];
	size_t n = STORE_PAGE_ROWS, step = 0;
	struct arena mem;
	enum rc rc = RC_OK;

	arena_init(&mem, STORE_PAGE_BYTES);
	while (rc == RC_OK && n == STORE_PAGE_ROWS) {
		arena_clear(&mem);
		rc = store_old_page(s, &mem, rows, &n, err);
		if (rc == RC_OK && n)
			rc = store_begin(s, err);
		for (size_t i = 0; i < n && rc == RC_OK; i++) {
			rc = sql_run(&s->sql, STORE_SQL_QUEUE_DEST_SET, SQL_ARGS(SQL_N(rows[i].id), SQL_T(rows[i].dest)), err);
			if (rc == RC_OK)
				rc = store_destination_due(s, rows[i].dest, rows[i].next_ms, err);
		}
		step += n;
		if (rc == RC_OK && (step >= STORE_OLD_STEP || n < STORE_PAGE_ROWS)) {
			rc = store_commit(s, err);
			step = 0;
		}
	}
	arena_clear(&mem);
	if (rc != RC_OK)
		store_rollback(s);
	return rc;
}

/* ---- smarthosts (command line) */

static bool store_smarthost_ok(struct span name)
{
	bool ok = name.len <= STORE_SMARTHOST_BYTES;

	for (size_t i = 0; i < name.len; i++)
		ok = ok && (byte_is_alnum(name.ptr[i]) || strchr("-_.", name.ptr[i]) != NULL);
	return ok;
}

static enum rc store_smarthost_set(struct store *s, struct span whose, struct span name, bool account, struct err *err)
{
	struct store_account a = {0};
	struct span domain;
	struct arena mem;
	int64_t id = 0;
	bool own;
	enum rc rc;

	if (!store_smarthost_ok(name))
		return err_set(err, RC_BAD, "the name of a smarthost has letters, digits, -, _ and ., at most %d", STORE_SMARTHOST_BYTES);
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 32 * STORE_ADDRESS_BYTES);
	rc = account ? store_account_get(s, whose, &mem, &a, err) : store_domain_need(s, whose, &mem, &domain, &id, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, account ? STORE_SQL_SMARTHOST_ACCOUNT_SET : STORE_SQL_SMARTHOST_DOMAIN_SET, SQL_ARGS(SQL_N(account ? a.id : id), SQL_T(name)), err);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_account_set_smarthost(struct store *s, struct span address, struct span name, struct err *err)
{
	return store_smarthost_set(s, address, name, true, err);
}

enum rc store_domain_set_smarthost(struct store *s, struct span domain, struct span name, struct err *err)
{
	return store_smarthost_set(s, domain, name, false, err);
}
