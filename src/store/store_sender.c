/* whose address is it: send-as rights, and what a refusal may name */
#include "mail/address.h"
#include "store/store_internal.h"
#include "store/store_policy.h"

enum { STORE_LISTED_LOOKUPS = 200 /* aliases looked at for one refusal's words */ };

/* ---- may the account send as this address? */

struct store_sole {
	int64_t account;
	bool own, others;
};

static enum rc store_sole_found(void *arg, const struct store_found *what, const struct store_name *name, struct err *err)
{
	struct store_sole *sole = arg;

	(void)name;
	(void)err;
	if (what->kind == STORE_FOUND_ACCOUNT && what->id == sole->account)
		sole->own = true;
	else if (what->kind != STORE_FOUND_NOBODY)
		sole->others = true;
	return sole->others ? RC_EXISTS : RC_OK;
}

static enum rc store_alias_sole(struct store *s, int64_t account, int64_t alias, bool *owned_out, struct err *err)
{
	struct store_sole sole = {.account = account};
	struct store_walk w;
	enum rc rc;

	store_walk_init(&w, s, store_sole_found, &sole);
	rc = store_walk_alias(&w, alias, err);
	if (rc == RC_OK || rc == RC_EXISTS)
		*owned_out = sole.own && !sole.others && !w.over;
	store_walk_clear(&w);
	return rc == RC_EXISTS ? RC_OK : rc;
}

static enum rc store_sender_granted(struct store *s, int64_t account, const struct store_name *name, bool *granted_out, struct err *err)
{
	struct sql_row row;
	struct span at_domain = span_from(name->key, name->key.len - name->domain.len - 1);
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_SEND_AS_GET, SQL_ARGS(SQL_N(account), SQL_T(name->key), SQL_T(at_domain)), err);

	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*granted_out = rc == RC_OK;
	return RC_OK;
}

static enum rc store_name_owned(struct store *s, int64_t account, const struct store_name *name, bool *owned_out, struct err *err)
{
	struct store_found found;
	bool owned = false;
	enum rc rc = store_find(s, name, &found, err);

	if (rc == RC_OK && found.kind == STORE_FOUND_ACCOUNT)
		owned = found.id == account;
	else if (rc == RC_OK && found.kind == STORE_FOUND_ALIAS)
		rc = store_alias_sole(s, account, found.id, &owned, err);
	if (rc == RC_OK && !owned)
		rc = store_sender_granted(s, account, name, &owned, err);
	if (rc == RC_OK)
		*owned_out = owned;
	return rc;
}

enum rc store_sender_owned(struct store *s, int64_t account, struct span sender, bool *owned_out, struct err *err)
{
	struct store_name name;
	struct arena mem;
	enum rc rc;

	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(sender, &mem, &name, NULL);
	if (rc == RC_BAD || rc == RC_LIMIT || (rc == RC_OK && name.domain.len == 0)) {
		*owned_out = false; /* no address, or one that means another on every system: nobody's */
		rc = RC_OK;
	} else if (rc == RC_OK) {
		rc = store_name_owned(s, account, &name, owned_out, err);
	}
	arena_clear(&mem);
	return rc;
}

/* ---- which addresses it may use, in words */

struct store_listed {
	struct store *s;
	struct buf *out;
	size_t max, start;
	struct arena mem;
	struct map seen;            /* aliases */
	int64_t account;
	unsigned hidden, lookups;
	bool more;                  /* and others that were not looked for */
};

static void store_listed_add(struct store_listed *l, struct span address)
{
	enum { TAIL_BYTES = sizeof(" and 1000000 more") - 1 };
	bool first = l->out->len == l->start;

	if (l->hidden || l->out->len - l->start + (first ? 0 : 2) + address.len + TAIL_BYTES > l->max) {
		l->hidden++;
		return;
	}
	buf_add_str(l->out, first ? "" : ", ");
	buf_add(l->out, address);
}

/* keys and names of one page, copied; column 0 of the row is the number to go on from where by_number, else the key */
struct store_names {
	struct store_named {
		int64_t id;
		struct span key, text;
	} at[STORE_PAGE_ROWS];
	size_t count;
};

static enum rc store_names_read(struct store_listed *l, enum store_statement st, struct sql_arg of, struct sql_arg after, bool by_number,
	struct store_names *page, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	int key = by_number ? 1 : 0;
	enum rc rc = sql_first(&l->s->sql, &row, st, SQL_ARGS(of, after, SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		page->at[n].id = by_number ? sql_number(&row, 0, 1, STORE_MAX_MS) : 0;
		page->at[n].key = arena_copy(&l->mem, sql_text(&row, key, STORE_ADDRESS_BYTES));
		page->at[n].text = st == STORE_SQL_CATCH_ALL_PAGE ? page->at[n].key : arena_copy(&l->mem, sql_text(&row, key + 1, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
		if (rc != RC_OK || l->mem.overflow)
			break;
		n++;
	}
	sql_end(&row);
	page->count = n;
	l->more |= n == STORE_PAGE_ROWS || l->mem.overflow;
	return rc == RC_NONE ? RC_OK : rc;
}

/* aliases that lead to it alone, also through others: a page at every step, and STORE_LISTED_LOOKUPS in all */
static enum rc store_listed_aliases(struct store_listed *l, struct span key, unsigned depth, struct err *err)
{
	struct store_names page;
	bool owned = false;
	enum rc rc = store_names_read(l, STORE_SQL_ALIAS_LEADING_NAMES, SQL_T(key), SQL_N(0), true, &page, err);

	for (size_t i = 0; i < page.count && rc == RC_OK; i++) {
		if (map_get(&l->seen, (uint64_t)page.at[i].id))
			continue;
		if (l->lookups++ >= STORE_LISTED_LOOKUPS) {
			l->more = true;
			break;
		}
		(void)map_put(&l->seen, (uint64_t)page.at[i].id, l);
		rc = store_alias_sole(l->s, l->account, page.at[i].id, &owned, err);
		if (rc != RC_OK || !owned)
			continue;
		store_listed_add(l, page.at[i].text);
		if (depth > 1)
			rc = store_listed_aliases(l, page.at[i].key, depth - 1, err);
	}
	return rc;
}

static enum rc store_listed_rest(struct store_listed *l, struct span key, struct err *err)
{
	struct store_names page;
	uint8_t at[LIMIT_DOMAIN_BYTES + 1] = {'@'};
	enum rc rc = store_names_read(l, STORE_SQL_SEND_AS_PAGE, SQL_N(l->account), SQL_T(SPAN_NONE), false, &page, err);

	for (size_t i = 0; i < page.count && rc == RC_OK; i++)
		store_listed_add(l, page.at[i].text);
	if (rc == RC_OK)
		rc = store_listed_aliases(l, key, STORE_ALIAS_DEPTH, err);
	if (rc == RC_OK)
		rc = store_names_read(l, STORE_SQL_CATCH_ALL_PAGE, SQL_N(l->account), SQL_T(SPAN_NONE), false, &page, err);
	for (size_t i = 0; rc == RC_OK && i < page.count; i++) {
		struct span name = span_head(page.at[i].text, LIMIT_DOMAIN_BYTES);

		memcpy(at + 1, name.ptr, name.len);
		store_listed_add(l, span_of(at, 1 + name.len));
	}
	return rc;
}

enum rc store_sender_addresses(struct store *s, int64_t account, size_t max, struct buf *out, struct err *err)
{
	struct store_listed l = {.s = s, .out = out, .max = max, .start = out->len, .account = account};
	struct store_account a = {0};
	struct store_name name;
	enum rc rc;

	arena_init(&l.mem, STORE_PAGE_BYTES);
	map_init(&l.seen);
	rc = store_account_by_id(s, account, &l.mem, &a, err);
	if (rc == RC_OK)
		rc = store_name_parse(a.address, &l.mem, &name, err);
	if (rc == RC_OK) {
		store_listed_add(&l, a.address);
		rc = store_listed_rest(&l, name.key, err);
	}
	if (rc == RC_OK && l.hidden && l.out->len == l.start)
		buf_printf(out, "%u addresses", l.hidden);
	else if (rc == RC_OK && l.hidden && !l.more)
		buf_printf(out, " and %u more", l.hidden);
	else if (rc == RC_OK && (l.hidden || l.more))
		buf_add_str(out, " and more");
	map_clear(&l.seen);
	arena_clear(&l.mem);
	return rc;
}

/* ---- granting */

/* an address, or "@domain"; both in mem */
static enum rc store_send_as_parse(struct span text, struct arena *mem, struct span *key_out, struct span *address_out, struct err *err)
{
	struct store_name name;
	struct span domain;
	uint8_t *at, *shown;
	enum rc rc;

	if (text.len == 0 || text.ptr[0] != '@') {
		rc = store_name_parse(text, mem, &name, err);
		if (rc == RC_OK && name.domain.len == 0)
			rc = err_set(err, RC_BAD, "a sender needs a whole address, with its domain");
		if (rc == RC_OK) {
			*key_out = name.key;
			*address_out = name.lower;
		}
		return rc;
	}
	rc = store_domain_name(span_from(text, 1), mem, &domain, err);
	if (rc != RC_OK)
		return rc;
	at = arena_alloc(mem, domain.len + 1);
	shown = arena_alloc(mem, text.len);
	if (!at || !shown)
		return err_set(err, RC_LIMIT, "the domain name is too long");
	at[0] = '@';
	memcpy(at + 1, domain.ptr, domain.len);
	for (size_t i = 0; i < text.len; i++)
		shown[i] = byte_lower(text.ptr[i]);
	*key_out = span_of(at, domain.len + 1);
	*address_out = span_of(shown, text.len);
	return RC_OK;
}

static enum rc store_send_as_room(struct store *s, int64_t account, struct err *err)
{
	struct sql_row row;
	int64_t n;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_SEND_AS_COUNT, SQL_ARGS(SQL_N(account)), err);

	if (rc != RC_OK)
		return rc;
	n = sql_number(&row, 0, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && n >= STORE_SEND_AS_MAX)
		rc = err_set(err, RC_LIMIT, "an account may be granted %d further senders at most; \"@domain\" grants all of a domain", STORE_SEND_AS_MAX);
	return rc;
}

static enum rc store_send_as_add_in(struct store *s, struct span account_address, struct span what, struct arena *mem, struct err *err)
{
	struct store_account account;
	struct span key = SPAN_NONE, address = SPAN_NONE;
	enum rc rc = store_send_as_parse(what, mem, &key, &address, err);

	if (rc == RC_OK)
		rc = store_account_get(s, account_address, mem, &account, err);
	if (rc == RC_OK && address_text_same(account.address, address))
		return err_set(err, RC_EXISTS, "%.*s may always send as itself", SPAN_FMT(address));
	if (rc == RC_OK)
		rc = store_send_as_room(s, account.id, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_SEND_AS_ADD, SQL_ARGS(SQL_N(account.id), SQL_T(key), SQL_T(address)), err);
	return rc == RC_EXISTS ? err_set(err, RC_EXISTS, "%.*s may send as %.*s already", SPAN_FMT(account.address), SPAN_FMT(address)) : rc;
}

static enum rc store_send_as_remove_in(struct store *s, struct span account_address, struct span what, struct arena *mem, struct err *err)
{
	struct store_account account;
	struct span key = SPAN_NONE, address = SPAN_NONE;
	enum rc rc = store_send_as_parse(what, mem, &key, &address, err);

	if (rc == RC_OK)
		rc = store_account_get(s, account_address, mem, &account, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_SEND_AS_REMOVE, SQL_ARGS(SQL_N(account.id), SQL_T(key)), err);
	if (rc == RC_OK && sql_changed(&s->sql) == 0)
		rc = err_set(err, RC_NONE, "%.*s was not granted %.*s", SPAN_FMT(account.address), SPAN_FMT(address));
	return rc;
}

typedef enum rc store_send_as_change(struct store *s, struct span account_address, struct span what, struct arena *mem, struct err *err);

static enum rc store_send_as_do(struct store *s, store_send_as_change *change, struct span account_address, struct span what, struct err *err)
{
	struct arena mem;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 32 * STORE_ADDRESS_BYTES);
	rc = change(s, account_address, what, &mem, err);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_send_as_add(struct store *s, struct span account_address, struct span address_or_at_domain, struct err *err)
{
	return store_send_as_do(s, store_send_as_add_in, account_address, address_or_at_domain, err);
}

enum rc store_send_as_remove(struct store *s, struct span account_address, struct span address_or_at_domain, struct err *err)
{
	return store_send_as_do(s, store_send_as_remove_in, account_address, address_or_at_domain, err);
}

enum rc store_send_as_each(struct store *s, struct span account_address, enum rc (*each)(void *arg, struct span address), void *arg, struct err *err)
{
	struct store_listed l = {.s = s};
	struct store_names page = {.count = STORE_PAGE_ROWS};
	struct store_account account;
	struct span after = SPAN_NONE;
	enum rc rc;

	arena_init(&l.mem, STORE_SEND_AS_MAX * 2 * STORE_ADDRESS_BYTES + STORE_PAGE_BYTES);
	rc = store_account_get(s, account_address, &l.mem, &account, err);
	while (rc == RC_OK && page.count == STORE_PAGE_ROWS) {
		rc = store_names_read(&l, STORE_SQL_SEND_AS_PAGE, SQL_N(account.id), SQL_T(after), false, &page, err);
		for (size_t i = 0; i < page.count && rc == RC_OK; i++)
			rc = each(arg, page.at[i].text);
		if (page.count)
			after = page.at[page.count - 1].key;
	}
	arena_clear(&l.mem);
	return rc;
}
