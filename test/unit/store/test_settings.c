#include <stdio.h>
#include <string.h>

#include "fixture.h"

struct listing {
	char text[4096];
	size_t count;
	enum rc answer;
};

static void listing_add(struct listing *l, const char *format, struct span a, struct span b)
{
	size_t len = strlen(l->text);

	if (l->count++ < 20)
		(void)snprintf(l->text + len, sizeof(l->text) - len, format, (int)a.len, (const char *)a.ptr, (int)b.len, (const char *)b.ptr);
}

static enum rc list_domain(void *arg, const struct store_domain *d)
{
	struct listing *l = arg;

	listing_add(l, "%.*s catch=%.*s\n", d->name, d->catch_all);
	return l->answer;
}

static enum rc list_account(void *arg, const struct store_account *a)
{
	listing_add(arg, "%.*s%.*s\n", a->address, S(""));
	return RC_OK;
}

static enum rc list_alias(void *arg, const struct store_alias *a)
{
	listing_add(arg, "%.*s -> %.*s\n", a->address, a->target);
	return RC_OK;
}

static void domains_are_added_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};
	bool hosted = false;

	assert_rc(RC_OK, store_domain_add(f->s, S("Alpha.Example"), &f->err));
	assert_rc(RC_EXISTS, store_domain_add(f->s, S("alpha.example"), &f->err));
	assert_rc(RC_BAD, store_domain_add(f->s, S("no domain"), &f->err));
	assert_rc(RC_BAD, store_domain_add(f->s, S("a@b.example"), &f->err));
	assert_rc(RC_BAD, store_domain_add(f->s, S("[192.0.2.1]"), &f->err));
	assert_rc(RC_OK, store_domain_hosted(f->s, S("ALPHA.example"), &hosted, &f->err));
	assert_true(hosted);
	assert_rc(RC_OK, store_domain_each(f->s, list_domain, &l, &f->err));
	assert_string_equal("alpha.example catch=\nexample.net catch=\nexample.org catch=\n", l.text);
	assert_rc(RC_OK, store_domain_remove(f->s, S("alpha.example"), &f->err));
	assert_rc(RC_NONE, store_domain_remove(f->s, S("alpha.example"), &f->err));
	assert_rc(RC_BUSY, store_domain_remove(f->s, S("example.org"), &f->err));
	assert_non_null(strstr(f->err.words, "3 accounts"));
	assert_rc(RC_OK, store_domain_hosted(f->s, S("alpha.example"), &hosted, &f->err));
	assert_false(hosted);
	l = (struct listing){.answer = RC_DENIED};
	assert_rc(RC_DENIED, store_domain_each(f->s, list_domain, &l, &f->err));
	assert_int_equal(1, l.count);
}

static void accounts_are_added_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};
	struct store_account a;
	uint32_t first = 0, second = 0;
	int64_t old, id = 0;

	assert_rc(RC_EXISTS, store_account_add(f->s, S("ANNA@example.org"), 0, NOW_MS, &id, &f->err));
	assert_rc(RC_NONE, store_account_add(f->s, S("anna@nowhere.example"), 0, NOW_MS, &id, &f->err));
	assert_rc(RC_BAD, store_account_add(f->s, S("anna"), 0, NOW_MS, &id, &f->err));
	assert_rc(RC_BAD, store_account_add(f->s, S("dora@example.org"), -1, NOW_MS, &id, &f->err));
	assert_rc(RC_OK, store_account_add(f->s, S("\"a b\"@example.net"), 1000, NOW_MS, &id, &f->err));
	assert_rc(RC_OK, store_account_each(f->s, SPAN_NONE, list_account, &l, &f->err));
	assert_string_equal("\"a b\"@example.net\nanna@example.org\nbert@example.org\ncarl@example.org\n", l.text);
	l = (struct listing){0};
	assert_rc(RC_OK, store_account_each(f->s, S("example.org"), list_account, &l, &f->err));
	assert_int_equal(3, l.count);
	assert_rc(RC_NONE, store_account_each(f->s, S("nowhere.example"), list_account, &l, &f->err));
	a = fixture_get(f, "\"A b\"@Example.NET");
	assert_int_equal(1000, a.quota_bytes);
	assert_true(a.enabled && a.created_ms == NOW_MS && a.id == id);
	assert_rc(RC_OK, store_account_quota(f->s, a.address, 2000, &f->err));
	assert_rc(RC_OK, store_account_enable(f->s, a.address, false, &f->err));
	a = fixture_get(f, "\"a b\"@example.net");
	assert_true(!a.enabled && a.quota_bytes == 2000);

	/* removed and added again: another account, another UIDVALIDITY, also within one second */
	old = fixture_get(f, "bert@example.org").id;
	assert_rc(RC_OK, store_mailbox_validity(f->s, old, &first, &f->err));
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	assert_rc(RC_NONE, store_account_get(f->s, S("bert@example.org"), &f->mem, &a, &f->err));
	assert_rc(RC_NONE, store_account_by_id(f->s, old, &f->mem, &a, &f->err));
	assert_rc(RC_NONE, store_account_remove(f->s, S("bert@example.org"), &f->err));
	fixture_tidy(f, NOW_MS);
	assert_rc(RC_OK, store_account_add(f->s, S("bert@example.org"), 0, NOW_MS, &id, &f->err));
	assert_true(id > old);
	assert_rc(RC_OK, store_mailbox_validity(f->s, id, &second, &f->err));
	assert_true(second != first && second > 0);
}

/* more than one page of a listing, and the listing's callback uses the store itself */
struct nested { struct fixture *f; size_t count; };
static enum rc list_nested(void *arg, const struct store_account *a)
{
	struct nested *n = arg;
	struct fixture *f = n->f;
	struct store_account again;

	assert_rc(RC_OK, store_account_get(f->s, a->address, &f->mem, &again, &f->err));
	assert_int_equal(a->id, again.id);
	n->count++;
	return RC_OK;
}

static void long_listings_come_whole(void **state)
{
	struct fixture *f = *state;
	struct nested n = {f, 0};
	struct listing l = {0};
	char address[64];

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 1003; i++) {
		(void)snprintf(address, sizeof(address), "user%d@example.net", i);
		fixture_account(f, address);
		(void)snprintf(address, sizeof(address), "alias%d@example.net", i);
		assert_rc(RC_OK, store_alias_add(f->s, S(address), S("anna@example.org"), &f->err));
		assert_rc(RC_OK, store_alias_add(f->s, S(address), S("x@foreign.example"), &f->err));
	}
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_rc(RC_OK, store_account_each(f->s, SPAN_NONE, list_nested, &n, &f->err));
	assert_int_equal(1006, n.count);
	assert_rc(RC_OK, store_alias_each(f->s, SPAN_NONE, list_alias, &l, &f->err));
	assert_int_equal(2006, l.count);
	/* and one removal takes them all along that led only there */
	assert_rc(RC_OK, store_account_remove(f->s, S("anna@example.org"), &f->err));
	l = (struct listing){0};
	assert_rc(RC_OK, store_alias_each(f->s, SPAN_NONE, list_alias, &l, &f->err));
	assert_int_equal(1003, l.count);
}

static void aliases_are_added_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};

	assert_rc(RC_OK, store_alias_add(f->s, S("Team@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("team@example.org"), S("Far.Away@foreign.example"), &f->err));
	assert_rc(RC_EXISTS, store_alias_add(f->s, S("team@EXAMPLE.org"), S("ANNA@example.org"), &f->err));
	assert_rc(RC_NONE, store_alias_add(f->s, S("x@nowhere.example"), S("anna@example.org"), &f->err));
	assert_rc(RC_EXISTS, store_alias_add(f->s, S("anna@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_BAD, store_alias_add(f->s, S("x@example.org"), S("not an address"), &f->err));
	assert_rc(RC_EXISTS, store_account_add(f->s, S("team@example.org"), 0, NOW_MS, &(int64_t){0}, &f->err));
	assert_rc(RC_OK, store_alias_each(f->s, SPAN_NONE, list_alias, &l, &f->err));
	assert_string_equal("team@example.org -> anna@example.org\nteam@example.org -> Far.Away@foreign.example\n", l.text);
	assert_rc(RC_NONE, store_alias_remove(f->s, S("team@example.org"), S("carl@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_remove(f->s, S("team@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_remove(f->s, S("team@example.org"), S("far.away@foreign.example"), &f->err));
	assert_rc(RC_NONE, store_alias_remove(f->s, S("team@example.org"), SPAN_NONE, &f->err)); /* gone with its last target */
	l = (struct listing){0};
	assert_rc(RC_OK, store_alias_each(f->s, S("example.org"), list_alias, &l, &f->err));
	assert_int_equal(0, l.count);
}

static void alias_circles_are_refused(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};
	char from[64], to[64];

	assert_rc(RC_BAD, store_alias_add(f->s, S("a@example.org"), S("a@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("a@example.org"), S("b@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("b@example.org"), S("c+tag@example.org"), &f->err));
	assert_rc(RC_BAD, store_alias_add(f->s, S("c@example.org"), S("a@example.org"), &f->err)); /* round three corners and a plus */
	assert_non_null(strstr(f->err.words, "circle"));
	assert_rc(RC_OK, store_alias_add(f->s, S("c@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("a@example.org"), S("c@example.org"), &f->err)); /* twice the same place is no circle */
	assert_rc(RC_OK, store_alias_each(f->s, SPAN_NONE, list_alias, &l, &f->err));
	assert_int_equal(4, l.count);

	/* a chain of ten is fine, of eleven not, wherever the eleventh is put */
	for (int i = 0; i < 9; i++) {
		(void)snprintf(from, sizeof(from), "deep%d@example.net", i);
		(void)snprintf(to, sizeof(to), "deep%d@example.net", i + 1);
		assert_rc(RC_OK, store_alias_add(f->s, S(from), S(to), &f->err));
	}
	assert_rc(RC_OK, store_alias_add(f->s, S("deep9@example.net"), S("anna@example.org"), &f->err));
	assert_rc(RC_LIMIT, store_alias_add(f->s, S("top@example.net"), S("deep0@example.net"), &f->err));
	assert_rc(RC_LIMIT, store_alias_add(f->s, S("deep9@example.net"), S("c@example.org"), &f->err));
}

static void an_alias_leads_to_a_thousand_at_most(void **state)
{
	struct fixture *f = *state;
	char to[64];

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("upper@example.org"), S("many@example.org"), &f->err));
	for (int i = 0; i < 999; i++) { /* with the step from upper to many: 1000 */
		(void)snprintf(to, sizeof(to), "someone%d@foreign.example", i);
		assert_rc(RC_OK, store_alias_add(f->s, S("many@example.org"), S(to), &f->err));
	}
	assert_rc(RC_LIMIT, store_alias_add(f->s, S("many@example.org"), S("onemore@foreign.example"), &f->err));
	assert_true(store_in_transaction(f->s)); /* the rest of the transaction stands */
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(CAUSE_NONE, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"upper@example.org"}}).cause);
	assert_int_equal(999, fixture_queue_count(f));
}

static void aliases_go_with_the_account(void **state)
{
	struct fixture *f = *state;
	struct listing l = {0};

	assert_rc(RC_OK, store_alias_add(f->s, S("only@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("both@example.org"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("chain@example.org"), S("only@example.org"), &f->err));
	assert_rc(RC_OK, store_domain_catch_all(f->s, S("example.net"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_account_remove(f->s, S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_each(f->s, SPAN_NONE, list_alias, &l, &f->err));
	assert_string_equal("both@example.org -> anna@example.org\n", l.text);
	l = (struct listing){0};
	assert_rc(RC_OK, store_domain_each(f->s, list_domain, &l, &f->err));
	assert_string_equal("example.net catch=\nexample.org catch=\n", l.text);
}

static void a_failed_setting_changes_nothing_else(void **state)
{
	struct fixture *f = *state;

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_domain_add(f->s, S("one.example"), &f->err));
	assert_rc(RC_EXISTS, store_domain_add(f->s, S("one.example"), &f->err));
	store_rollback(f->s);
	assert_rc(RC_NONE, store_domain_remove(f->s, S("one.example"), &f->err));
	assert_rc(RC_OK, store_domain_add(f->s, S("two.example"), &f->err)); /* its number was not lost to the rollback */
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM domain WHERE id = 3 AND name = 'two.example'"));
}

static void queue_ids_are_read_back(void **state)
{
	static const int64_t ids[] = {1, 31, 32, 1000000, INT32_MAX, (int64_t)1 << 52};
	struct buf text;
	int64_t back;

	(void)state;
	buf_init(&text, 64);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		buf_reset(&text);
		store_queue_id_write(&text, ids[i]);
		back = 0;
		assert_int_equal(RC_OK, store_queue_id_parse(buf_span(&text), &back));
		assert_int_equal(ids[i], back);
	}
	assert_int_not_equal(RC_OK, store_queue_id_parse(S("000000"), &back));
	assert_int_not_equal(RC_OK, store_queue_id_parse(S("../etc"), &back));
	assert_int_not_equal(RC_OK, store_queue_id_parse(SPAN_NONE, &back));
	buf_clear(&text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
const struct CMUnitTest settings_tests[] = {
	T(domains_are_added_listed_and_removed), T(accounts_are_added_listed_and_removed), T(long_listings_come_whole), T(aliases_are_added_listed_and_removed),
	T(alias_circles_are_refused), T(an_alias_leads_to_a_thousand_at_most), T(aliases_go_with_the_account), T(a_failed_setting_changes_nothing_else),
	cmocka_unit_test(queue_ids_are_read_back),
};
const size_t settings_count = sizeof(settings_tests) / sizeof(settings_tests[0]);
