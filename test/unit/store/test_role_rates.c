/* The counters of the store role over a real database, with both clocks in our hand. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "role/rate_kind.h"
#include "role/role_store_rates.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
#define YEARS ((int64_t)10 * 365 * DAY)

static mono_ms mono;
static int64_t wall;

mono_ms __wrap_clock_mono_ms(void);
int64_t __wrap_clock_wall_ms(void);
mono_ms __wrap_clock_mono_ms(void) { return mono; }
int64_t __wrap_clock_wall_ms(void) { return wall; }

static struct conf conf;
static struct conf_network office = {.name = "office", .messages = {.most = {[RATE_MINUTE] = 2}}, .recipients = {.most = {[RATE_DAY] = 5}}};

static int begin(void **state)
{
	mono = 1000 * (mono_ms)DAY;
	wall = NOW_MS;
	conf = (struct conf){.rate_account_messages = {.most = {[RATE_HOUR] = 3}}, .rate_account_rcpts = {.most = {[RATE_MINUTE] = 10, [RATE_DAY] = 12}},
		.rate_address_messages = {.most = {[RATE_MINUTE] = 4, [RATE_DAY] = 8}}, .rate_mailbox_messages = {.most = {[RATE_MINUTE] = 2}}};
	return fixture_setup(state);
}

static struct role_rates_who account(int64_t id) { return (struct role_rates_who){.account = id, .peer = S("192.0.2.1")}; }
static struct role_rates_who stranger(const char *peer) { return (struct role_rates_who){.peer = S(peer)}; }

/* n recipients elsewhere */
static enum cause_id accept_n(struct role_rates *r, struct role_rates_who who, uint32_t n)
{
	struct store_rcpt rcpts[32] = {{.tag = STORE_TAG_FOREIGN}};
	struct role_rates_said said;

	assert_true(n <= 32);
	for (uint32_t i = 0; i < n; i++)
		rcpts[i].tag = STORE_TAG_FOREIGN;
	role_rates_accept(r, &conf, &who, rcpts, n, &said);
	return said.cause;
}

static struct role_rates_said mail(struct role_rates *r, struct role_rates_who who)
{
	struct role_rates_said said;

	role_rates_mail(r, &conf, &who, &said);
	return said;
}

static struct role_rates_said rcpt(struct role_rates *r, struct role_rates_who who, uint32_t others, uint64_t tag)
{
	struct role_rates_said said;

	role_rates_rcpt(r, &conf, &who, others, tag, &said);
	return said;
}

static void save(struct fixture *f, struct role_rates *r)
{
	bool more = true;

	while (more)
		assert_rc(RC_OK, role_rates_save(r, f->s, &conf, &more, &f->err));
}

static struct role_rates *loaded(struct fixture *f)
{
	struct role_rates *r = role_rates_new();

	assert_rc(RC_OK, role_rates_load(r, f->s, &f->err));
	return r;
}

static void each_has_its_own_count(void **state)
{
	struct role_rates *r = role_rates_new();
	struct role_rates_said said;
	struct role_rates_who net = {.network = &office, .peer = S("192.0.2.1")};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 2), CAUSE_NONE);
	said = mail(r, account(1));
	assert_int_equal(said.cause, CAUSE_RATE_LIMIT_SENDER);
	assert_string_equal(said.limit, "3 messages an hour");
	assert_true(strlen(said.retry) > 0);
	assert_int_equal(accept_n(r, account(1), 1), CAUSE_RATE_LIMIT_SENDER); /* nobody gets past it by not asking before */
	assert_int_equal(mail(r, account(2)).cause, CAUSE_NONE);
	assert_int_equal(mail(r, stranger("192.0.2.1")).cause, CAUSE_NONE); /* its address is not its account */
	assert_int_equal(accept_n(r, net, 1), CAUSE_NONE);
	assert_int_equal(accept_n(r, net, 1), CAUSE_NONE);
	assert_int_equal(mail(r, net).cause, CAUSE_NETWORK_RATE_LIMITED);
	assert_int_equal(rcpt(r, net, 3, 0).cause, CAUSE_NETWORK_DAY_LIMIT);
	for (int i = 0; i < 4; i++)
		assert_int_equal(accept_n(r, stranger("2001:db8::1"), 1), CAUSE_NONE);
	assert_int_equal(mail(r, stranger("2001:db8::2")).cause, CAUSE_RATE_LIMIT_IP); /* one /64 */
	assert_int_equal(mail(r, stranger("2001:db8:0:1::1")).cause, CAUSE_NONE);
	mono += 2 * MINUTE;
	for (int i = 0; i < 4; i++)
		assert_int_equal(accept_n(r, stranger("2001:db8::1"), 1), CAUSE_NONE);
	assert_int_equal(mail(r, stranger("2001:db8::2")).cause, CAUSE_IP_RATE_BLOCKED);
	assert_int_equal(mail(r, stranger("no address")).cause, CAUSE_NONE);
	role_rates_free(&r);
	assert_null(r);
}

static void recipients_count_together(void **state)
{
	struct role_rates *r = role_rates_new();

	(void)state;
	assert_int_equal(rcpt(r, account(1), 9, 0).cause, CAUSE_NONE);
	assert_string_equal(rcpt(r, account(1), 10, 0).limit, "10 recipients a minute");
	assert_int_equal(accept_n(r, account(1), 8), CAUSE_NONE);
	assert_int_equal(rcpt(r, account(1), 1, 0).cause, CAUSE_NONE);
	assert_int_equal(rcpt(r, account(1), 2, 0).cause, CAUSE_RATE_LIMIT_SENDER);
	assert_int_equal(accept_n(r, account(1), 3), CAUSE_RATE_LIMIT_SENDER);
	mono += 2 * MINUTE;
	assert_int_equal(accept_n(r, account(1), 5), CAUSE_QUOTA_SENDER_DAILY);
	assert_int_equal(accept_n(r, account(1), 4), CAUSE_NONE);
	role_rates_free(&r);
}

static void an_account_with_limits_of_its_own(void **state)
{
	struct role_rates *r = role_rates_new();
	struct role_rates_who who = account(1);

	(void)state;
	who.message_rates = S("1/10s");
	assert_int_equal(accept_n(r, who, 1), CAUSE_NONE);
	assert_string_equal(mail(r, who).limit, "1 messages in 10 s");
	who.message_rates = S("none");
	for (int i = 0; i < 9; i++)
		assert_int_equal(accept_n(r, who, 1), CAUSE_NONE);
	who.message_rates = SPAN_NONE;
	assert_string_equal(mail(r, who).limit, "3 messages an hour"); /* what went out meanwhile was counted */
	who.message_rates = S("what is this");
	assert_string_equal(mail(r, who).limit, "3 messages an hour");
	role_rates_free(&r);
}

static void what_was_not_accepted_is_given_back(void **state)
{
	struct role_rates *r = role_rates_new();
	struct role_rates_who who = account(1);
	struct store_rcpt rcpts[] = {{.tag = 5 << 3 | STORE_TAG_ACCOUNT}, {.tag = STORE_TAG_FOREIGN}};
	struct role_rates_said said;

	(void)state;
	for (int i = 0; i < 20; i++) {
		role_rates_accept(r, &conf, &who, rcpts, 2, &said);
		assert_int_equal(said.cause, CAUSE_NONE);
		role_rates_refused(r, &conf, &who, rcpts, 2);
	}
	assert_int_equal(rcpt(r, who, 0, rcpts[0].tag).cause, CAUSE_NONE);
	role_rates_free(&r);
}

static void a_mailbox_gets_too_much(void **state)
{
	struct role_rates *r = role_rates_new();
	struct store_rcpt one[] = {{.tag = 5 << 3 | STORE_TAG_ACCOUNT}}, two[] = {{.tag = 5 << 3 | STORE_TAG_ACCOUNT}, {.tag = 5 << 3 | STORE_TAG_ALIAS}};
	struct role_rates_who from[] = {stranger("192.0.2.1"), stranger("192.0.2.2"), stranger("192.0.2.3")};
	struct role_rates_said said;

	(void)state;
	for (int i = 0; i < 2; i++) {
		role_rates_accept(r, &conf, &from[i], one, 1, &said);
		assert_int_equal(said.cause, CAUSE_NONE);
	}
	said = rcpt(r, from[2], 0, one[0].tag);
	assert_int_equal(said.cause, CAUSE_RCPT_RATE_LIMITED);
	assert_string_equal(said.limit, "2 messages a minute");
	role_rates_accept(r, &conf, &from[2], one, 1, &said);
	assert_int_equal(said.cause, CAUSE_RCPT_RATE_LIMITED);
	/* an alias of the same number is another; and where one may have it, the message is not refused for all */
	assert_int_equal(rcpt(r, from[2], 0, two[1].tag).cause, CAUSE_NONE);
	role_rates_accept(r, &conf, &from[2], two, 2, &said);
	assert_int_equal(said.cause, CAUSE_NONE);
	assert_string_equal(said.limit, "");
	role_rates_free(&r);
}

static void a_restart_forgets_nothing(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();
	bool more = true;

	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	assert_int_equal(accept_n(r, stranger("192.0.2.9"), 1), CAUSE_NONE);
	assert_int_equal(accept_n(r, stranger("192.0.2.8"), 1), CAUSE_NONE);
	save(f, r);
	assert_rc(RC_OK, role_rates_save(r, f->s, &conf, &more, &f->err)); /* nothing changed since */
	assert_false(more);
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), 2 + 2);
	role_rates_free(&r);
	mono += 10 * MINUTE;
	wall -= YEARS; /* which does not matter within one run of the machine */
	r = loaded(f);
	assert_int_equal(mail(r, account(1)).cause, CAUSE_RATE_LIMIT_SENDER);
	mono += HOUR;
	assert_int_equal(mail(r, account(1)).cause, CAUSE_NONE);
	role_rates_free(&r);
}

static void strangers_far_from_a_limit_are_not_saved(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();

	conf.rate_address_messages = (struct conf_rates){.most = {[RATE_HOUR] = 100}};
	for (int i = 0; i < 24; i++)
		assert_int_equal(accept_n(r, stranger("192.0.2.9"), 1), CAUSE_NONE);
	save(f, r);
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), 0);
	assert_int_equal(accept_n(r, stranger("192.0.2.9"), 1), CAUSE_NONE);
	save(f, r);
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), 1);
	role_rates_free(&r);
}

/* The machine starts with a clock that is ten years ahead; then it is set right. */
static void a_clock_that_was_wrong_at_the_start(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();

	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	save(f, r);
	role_rates_free(&r);
	mono = 5 * SECOND;
	wall += YEARS;
	r = loaded(f);
	assert_int_equal(mail(r, account(1)).cause, CAUSE_NONE);
	mono += 30 * MINUTE;
	wall += 30 * MINUTE;
	assert_rc(RC_OK, role_rates_tidy(r, f->s, &f->err));
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), 2); /* too early to believe it */
	wall += 60 * SECOND - YEARS;
	mono += 60 * SECOND;
	assert_rc(RC_OK, role_rates_tidy(r, f->s, &f->err));
	assert_int_equal(mail(r, account(1)).cause, CAUSE_RATE_LIMIT_SENDER);
	role_rates_free(&r);
}

static void a_clock_that_went_back(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();

	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	save(f, r);
	role_rates_free(&r);
	mono = 5 * SECOND;
	wall = 0;
	r = loaded(f);
	assert_int_equal(mail(r, account(1)).cause, CAUSE_RATE_LIMIT_SENDER);
	mono += HOUR + HOUR / 4;
	assert_int_equal(mail(r, account(1)).cause, CAUSE_NONE); /* ends by itself all the same */
	role_rates_free(&r);
}

static void old_rows_go(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();

	assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	save(f, r);
	mono += 3 * (mono_ms)DAY;
	wall += 3 * (int64_t)DAY;
	assert_rc(RC_OK, role_rates_tidy(r, f->s, &f->err));
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), 0);
	role_rates_free(&r);
}

static void hear(void *arg, struct span key)
{
	struct buf *heard = arg;

	buf_add(heard, key);
}

static void what_is_asked_to_be_forgotten(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();
	struct rate_key key = rate_key_number(RATE_ACCOUNT_MESSAGES, 1), address = rate_key_address(RATE_CONNECTIONS, S("2001:db8::1"));
	struct buf heard;

	buf_init(&heard, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	assert_rc(RC_OK, store_rate_reset(f->s, RATE_ACCOUNT_MESSAGES, rate_key_span(&key), &f->err));
	assert_rc(RC_OK, store_rate_reset(f->s, RATE_CONNECTIONS, rate_key_span(&address), &f->err));
	assert_rc(RC_OK, role_rates_resets(r, f->s, hear, &heard, &f->err));
	assert_int_equal(mail(r, account(1)).cause, CAUSE_NONE);
	assert_string_equal(buf_cstr(&heard), "2001:db8::/64");
	buf_clear(&heard);
	role_rates_free(&r);
}

static void rows_that_are_damaged(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r;

	(void)fixture_sql(f, "INSERT INTO rate (kind, key, saved_ms, counts) VALUES (1, '1', 5, x'0102'), (1, '2', 5, x''), (9, 'x', 5, x'00'), (3, '', 5, x'00')");
	r = loaded(f);
	assert_int_equal(mail(r, account(1)).cause, CAUSE_NONE);
	role_rates_free(&r);
}

/* a botnet: memory stays what it is, nobody else is forgotten, and a save is bounded */
static void a_million_strangers(void **state)
{
	struct fixture *f = *state;
	struct role_rates *r = role_rates_new();
	bool more = true;
	char peer[32];

	for (int i = 0; i < 3; i++)
		assert_int_equal(accept_n(r, account(1), 1), CAUSE_NONE);
	for (unsigned i = 0; i < 1000000; i++) {
		(void)snprintf(peer, sizeof(peer), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		assert_int_equal(accept_n(r, stranger(peer), 1), CAUSE_NONE);
	}
	assert_int_equal(mail(r, account(1)).cause, CAUSE_RATE_LIMIT_SENDER);
	assert_rc(RC_OK, role_rates_save(r, f->s, &conf, &more, &f->err));
	assert_true(more);
	assert_int_equal(fixture_sql(f, "SELECT COUNT(*) FROM rate"), ROLE_RATES_SAVE);
	save(f, r);
	assert_in_range(fixture_sql(f, "SELECT COUNT(*) FROM rate"), ROLE_RATES_SAVE, ROLE_RATES_ENTRIES + 2);
	role_rates_free(&r);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(each_has_its_own_count), T(recipients_count_together), T(an_account_with_limits_of_its_own), T(what_was_not_accepted_is_given_back),
		T(a_mailbox_gets_too_much), T(a_restart_forgets_nothing), T(strangers_far_from_a_limit_are_not_saved), T(a_clock_that_was_wrong_at_the_start),
		T(a_clock_that_went_back), T(old_rows_go), T(what_is_asked_to_be_forgotten), T(rows_that_are_damaged), T(a_million_strangers),
	};

	return cmocka_run_group_tests_name("store role's counters", tests, NULL, NULL);
}
