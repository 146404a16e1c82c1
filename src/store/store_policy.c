#include "store/store_policy.h"

#include "mail/address.h"
#include "store/store_internal.h"

/* enum policy_identity; what a newer program wrote is refused, not guessed */
enum { STORE_IDENTITY_MOST = 3 };

/* ---- what a domain says */

struct store_domain_row {
	int64_t id;
	struct store_domain_policy policy;
};

static enum rc store_domain_row(struct store *s, struct span name, struct store_domain_row *out, struct err *err)
{
	struct sql_row row;
	struct store_domain_row d = {.policy.hosted = true};
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_POLICY, SQL_ARGS(SQL_T(name)), err);

	if (rc != RC_OK)
		return rc;
	d.id = sql_number(&row, 0, 1, STORE_MAX_MS);
	d.policy.identity = (int)sql_number(&row, 1, 0, STORE_IDENTITY_MOST);
	d.policy.guard_own = sql_number(&row, 2, 0, 1) == 1;
	d.policy.require_tls = sql_number(&row, 3, 0, 1) == 1;
	d.policy.has_allow_list = sql_number(&row, 4, 0, 1) == 1;
	d.policy.has_header_rules = sql_number(&row, 5, 0, 1) == 1;
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK)
		*out = d;
	return rc;
}

/* one page of a domain's rules, copied so that no statement stays open */
struct store_rule_page {
	struct store_rule {
		enum store_domain_rule_kind kind;
		struct span value;
	} rules[STORE_PAGE_ROWS];
	size_t count;
};

static enum rc store_rule_read(struct store *s, int64_t domain, const struct store_rule *after, struct arena *mem, struct store_rule_page *page,
	struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_RULE_PAGE,
		SQL_ARGS(SQL_N(domain), SQL_N(after->kind), SQL_T(after->value), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		page->rules[n].kind = (enum store_domain_rule_kind)sql_number(&row, 0, STORE_RULE_ALLOW_FROM, STORE_RULE_REFUSE_HEADER);
		page->rules[n].value = arena_copy(mem, sql_text(&row, 1, STORE_RULE_BYTES));
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	page->count = n;
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc store_rule_walk(struct store *s, int64_t domain, enum rc (*each)(void *arg, const struct store_rule *rule), void *arg, struct err *err)
{
	struct store_rule_page page = {.count = STORE_PAGE_ROWS};
	struct store_rule after = {.value = SPAN_NONE};
	struct arena mem, next;
	enum rc rc = RC_OK;

	arena_init(&mem, STORE_PAGE_BYTES);
	while (rc == RC_OK && page.count == STORE_PAGE_ROWS) {
		arena_init(&next, STORE_PAGE_BYTES);
		rc = store_rule_read(s, domain, &after, &next, &page, err);
		for (size_t i = 0; i < page.count && rc == RC_OK; i++)
			rc = each(arg, &page.rules[i]);
		if (page.count)
			after = page.rules[page.count - 1];
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	return rc;
}

static enum rc store_rule_allows(void *arg, const struct store_rule *rule)
{
	const struct net_address *ip = arg;
	struct net_prefix prefix;

	return rule->kind == STORE_RULE_ALLOW_FROM && net_prefix_parse(rule->value, &prefix) == RC_OK && net_prefix_has(&prefix, ip) ? RC_EXISTS : RC_OK;
}

enum rc store_domain_policy(struct store *s, struct span domain, const struct net_address *ip_or_null, struct store_domain_policy *out, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct store_domain_row d = {0};
	struct net_address ip;
	enum rc rc = RC_NONE;

	domain = address_domain_key(domain, room);
	if (domain.len)
		rc = store_domain_row(s, domain, &d, err);
	if (rc == RC_OK && d.policy.has_allow_list && ip_or_null) {
		ip = *ip_or_null;
		rc = store_rule_walk(s, d.id, store_rule_allows, &ip, err);
		d.policy.allows_ip = rc == RC_EXISTS;
	}
	if (rc != RC_OK && rc != RC_NONE && rc != RC_EXISTS)
		return rc;
	*out = d.policy;
	return RC_OK;
}

/* ---- changing it */

static enum rc store_domain_set(struct store *s, struct span domain, enum store_statement change, int64_t value, struct err *err)
{
	struct arena mem;
	int64_t id = 0;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_domain_need(s, domain, &mem, &domain, &id, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, change, SQL_ARGS(SQL_N(id), SQL_N(value)), err);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_domain_set_identity(struct store *s, struct span domain, int identity, struct err *err)
{
	if (identity < 0 || identity > STORE_IDENTITY_MOST)
		return err_set(err, RC_BAD, "there is no way number %d to treat senders", identity);
	return store_domain_set(s, domain, STORE_SQL_DOMAIN_IDENTITY, identity, err);
}

enum rc store_domain_set_guard(struct store *s, struct span domain, bool guard_own, struct err *err)
{
	return store_domain_set(s, domain, STORE_SQL_DOMAIN_GUARD, guard_own, err);
}

enum rc store_domain_set_require_tls(struct store *s, struct span domain, bool on, struct err *err)
{
	return store_domain_set(s, domain, STORE_SQL_DOMAIN_REQUIRE_TLS, on, err);
}

static enum rc store_rule_prefix(struct span value, struct buf *out, struct err *err)
{
	struct net_prefix prefix;
	enum rc rc = net_prefix_parse(span_trim(value), &prefix);

	if (rc == RC_LIMIT)
		return err_set(err, RC_BAD, "there are bits behind the prefix: write the network's first address, as in 192.0.2.0/24");
	if (rc != RC_OK)
		return err_set(err, RC_BAD, "this is no IP address or prefix such as 192.0.2.0/24 or 2001:db8::/32");
	net_prefix_write(out, &prefix);
	return RC_OK;
}

/* "Field: pattern"; the name of a field is printable ASCII without colon (RFC 5322 3.6.8) */
static enum rc store_rule_header(struct span value, struct buf *out, struct err *err)
{
	struct span pattern = value, field = span_trim(span_cut(&pattern, ':'));

	pattern = span_trim(pattern);
	if (field.len == 0 || pattern.len == 0 || !span_is_vchar(field))
		return err_set(err, RC_BAD, "write the rule as \"Field: pattern\", for example \"X-Spam-Flag: YES\"");
	if (!span_is_utf8(pattern))
		return err_set(err, RC_BAD, "the pattern is not UTF-8");
	for (size_t i = 0; i < pattern.len; i++)
		if (pattern.ptr[i] < ' ' || pattern.ptr[i] == 0x7f || (i && pattern.ptr[i - 1] == 0xc2 && pattern.ptr[i] < 0xa0))
			return err_set(err, RC_BAD, "the pattern has control characters in it");
	buf_add(out, field);
	buf_add_str(out, ": ");
	buf_add(out, pattern);
	return RC_OK;
}

/* as it is kept: one spelling for one rule */
static enum rc store_rule_write(enum store_domain_rule_kind kind, struct span value, struct buf *out, struct err *err)
{
	enum rc rc = RC_BAD;

	switch (kind) {
	case STORE_RULE_ALLOW_FROM:
		rc = store_rule_prefix(value, out, err);
		break;
	case STORE_RULE_REFUSE_HEADER:
		rc = store_rule_header(value, out, err);
		break;
	}
	if (rc == RC_OK && out->overflow)
		rc = err_set(err, RC_LIMIT, "a rule may have %d bytes at most", STORE_RULE_BYTES);
	return rc;
}

static enum rc store_rule_room(struct store *s, int64_t domain, struct err *err)
{
	struct sql_row row;
	int64_t n;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DOMAIN_RULE_COUNT, SQL_ARGS(SQL_N(domain)), err);

	if (rc != RC_OK)
		return rc;
	n = sql_number(&row, 0, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && n >= STORE_DOMAIN_RULES_MAX)
		rc = err_set(err, RC_LIMIT, "a domain may have %d rules at most", STORE_DOMAIN_RULES_MAX);
	return rc;
}

static enum rc store_rule_add_in(struct store *s, int64_t domain, enum store_domain_rule_kind kind, struct span value, struct err *err)
{
	enum rc rc = store_rule_room(s, domain, err);

	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_DOMAIN_RULE_ADD, SQL_ARGS(SQL_N(domain), SQL_N(kind), SQL_T(value)), err);
	return rc == RC_EXISTS ? err_set(err, RC_EXISTS, "the domain has this rule already: %.*s", SPAN_FMT(value)) : rc;
}

static enum rc store_rule_remove_in(struct store *s, int64_t domain, enum store_domain_rule_kind kind, struct span value, struct err *err)
{
	enum rc rc = sql_run(&s->sql, STORE_SQL_DOMAIN_RULE_REMOVE, SQL_ARGS(SQL_N(domain), SQL_N(kind), SQL_T(value)), err);

	if (rc == RC_OK && sql_changed(&s->sql) == 0)
		rc = err_set(err, RC_NONE, "the domain has no such rule: %.*s", SPAN_FMT(value));
	return rc;
}

typedef enum rc store_rule_change(struct store *s, int64_t domain, enum store_domain_rule_kind kind, struct span value, struct err *err);

static enum rc store_rule_set(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, store_rule_change *change,
	struct err *err)
{
	struct arena mem;
	struct buf text;
	int64_t id = 0;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	buf_init(&text, STORE_RULE_BYTES);
	rc = store_domain_need(s, domain, &mem, &domain, &id, err);
	if (rc == RC_OK)
		rc = store_rule_write(kind, value, &text, err);
	if (rc == RC_OK)
		rc = change(s, id, kind, buf_span(&text), err);
	buf_clear(&text);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_domain_rule_add(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, struct err *err)
{
	return store_rule_set(s, domain, kind, value, store_rule_add_in, err);
}

enum rc store_domain_rule_remove(struct store *s, struct span domain, enum store_domain_rule_kind kind, struct span value, struct err *err)
{
	return store_rule_set(s, domain, kind, value, store_rule_remove_in, err);
}

struct store_rule_list {
	struct store *s;
	enum rc (*each)(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value);
	void *arg;
	struct err *err;
	struct span domain;
};

static enum rc store_rule_each_rule(void *arg, const struct store_rule *rule)
{
	struct store_rule_list *list = arg;

	return list->each(list->arg, list->domain, rule->kind, rule->value);
}

static enum rc store_rule_each_in(void *arg, const struct store_domain *domain)
{
	struct store_rule_list *list = arg;

	list->domain = domain->name;
	return store_rule_walk(list->s, domain->id, store_rule_each_rule, list, list->err);
}

enum rc store_domain_rule_each(struct store *s, struct span domain_or_empty,
	enum rc (*each)(void *arg, struct span domain, enum store_domain_rule_kind kind, struct span value), void *arg, struct err *err)
{
	struct store_rule_list list = {.s = s, .each = each, .arg = arg, .err = err};
	struct store_domain one = {0};
	struct arena mem;
	enum rc rc;

	if (domain_or_empty.len == 0)
		return store_domain_each(s, store_rule_each_in, &list, err);
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_domain_need(s, domain_or_empty, &mem, &one.name, &one.id, err); /* asked for single messages: not by way of all domains */
	if (rc == RC_OK)
		rc = store_rule_each_in(&list, &one);
	arena_clear(&mem);
	return rc;
}

/* ---- accounts */

enum rc store_account_policy(struct store *s, int64_t account, struct arena *mem, struct store_account_policy *out, struct err *err)
{
	struct store_account_policy p = {0};
	struct sql_row row;
	int64_t quota, used;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_POLICY, SQL_ARGS(SQL_N(account)), err);

	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no account with number %lld", (long long)account);
	if (rc != RC_OK)
		return rc;
	p.address = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES));
	p.enabled = sql_number(&row, 1, STORE_ACCOUNT_DISABLED, STORE_ACCOUNT_ENABLED) == STORE_ACCOUNT_ENABLED;
	p.sending = sql_number(&row, 2, 0, 1) == 1;
	quota = sql_number(&row, 3, 0, STORE_MAX_MS);
	used = sql_number(&row, 4, 0, STORE_MAX_MS);
	p.full = quota > 0 && used >= quota;
	p.identity = (int)sql_number(&row, 5, 0, STORE_IDENTITY_MOST);
	p.message_rates = arena_copy(mem, sql_text(&row, 6, STORE_RATES_BYTES));
	p.rcpt_rates = arena_copy(mem, sql_text(&row, 7, STORE_RATES_BYTES));
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && mem->overflow)
		rc = err_set(err, RC_LIMIT, "no room for what the database says of account %lld", (long long)account);
	if (rc == RC_OK)
		*out = p;
	return rc;
}

static enum rc store_account_run(struct store *s, struct span address, enum store_statement change, struct sql_arg a, struct sql_arg b, size_t args,
	struct err *err)
{
	struct sql_arg given[] = {SQL_N(0), a, b};
	struct store_account account;
	struct arena mem;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 16 * STORE_ADDRESS_BYTES);
	rc = store_account_get(s, address, &mem, &account, err);
	if (rc == RC_OK) {
		given[0] = SQL_N(account.id);
		rc = sql_run(&s->sql, change, given, args, err);
	}
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}

enum rc store_account_set_sending(struct store *s, struct span address, bool on, struct err *err)
{
	return store_account_run(s, address, STORE_SQL_ACCOUNT_SENDING, SQL_N(on), SQL_NULL, 2, err);
}

enum rc store_account_set_rates(struct store *s, struct span address, struct span message_rates, struct span rcpt_rates, struct err *err)
{
	if (message_rates.len > STORE_RATES_BYTES || rcpt_rates.len > STORE_RATES_BYTES)
		return err_set(err, RC_LIMIT, "rates may have %d bytes at most", STORE_RATES_BYTES);
	return store_account_run(s, address, STORE_SQL_ACCOUNT_RATES, SQL_T(message_rates), SQL_T(rcpt_rates), 3, err);
}

/* ---- things go */

enum rc store_policy_forget_account(struct store *s, int64_t account, struct span key, struct err *err)
{
	static const enum store_statement gone[] = {STORE_SQL_SEND_AS_REMOVE_ALL, STORE_SQL_FILTER_REMOVE_ALL, STORE_SQL_FOLDER_REMOVE_ALL, STORE_SQL_VACATION_REMOVE_ALL};
	enum rc rc = RC_OK;

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]) && rc == RC_OK; i++)
		rc = sql_run(&s->sql, gone[i], SQL_ARGS(SQL_N(account)), err);
	return rc == RC_OK ? store_policy_forget_alias(s, key, err) : rc;
}

enum rc store_policy_forget_alias(struct store *s, struct span key, struct err *err)
{
	return sql_run(&s->sql, STORE_SQL_SEND_AS_FORGET, SQL_ARGS(SQL_T(key)), err);
}

enum rc store_policy_forget_domain(struct store *s, int64_t domain, struct span name, struct err *err)
{
	struct buf at;
	enum rc rc = sql_run(&s->sql, STORE_SQL_DOMAIN_RULE_REMOVE_ALL, SQL_ARGS(SQL_N(domain)), err);

	buf_init(&at, LIMIT_DOMAIN_BYTES + 1);
	buf_add_byte(&at, '@');
	buf_add(&at, name);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_SEND_AS_FORGET_DOMAIN, SQL_ARGS(SQL_T(buf_span(&at))), err);
	buf_clear(&at);
	return rc;
}
