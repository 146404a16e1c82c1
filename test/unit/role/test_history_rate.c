#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "role/history_rate.h"
#include "role/role.h"

/* what the library around it wants from the program */
void role_done(struct role *r)
{
	(void)r;
}

struct told {
	size_t count;
	uint64_t more;
	enum cause_id mostly;
	char peer[64];
};

static void tell(void *arg, const struct history_rest *rest)
{
	struct told *t = arg;

	t->count++;
	t->more += rest->more;
	t->mostly = rest->mostly;
	(void)snprintf(t->peer, sizeof(t->peer), "%.*s", SPAN_FMT(rest->peer));
}

static size_t take_many(struct history_rate *r, const char *peer, size_t n, enum cause_id cause)
{
	size_t took = 0;

	for (size_t i = 0; i < n; i++)
		took += history_rate_take(r, span_str(peer), cause);
	return took;
}

static void an_address_has_so_many_and_a_count(void **state)
{
	struct loop *loop = loop_new();
	struct told t = {0};
	struct history_rate *r = history_rate_new(loop, tell, &t);

	(void)state;
	assert_int_equal(HISTORY_RATE_MINUTE, take_many(r, "192.0.2.7", 1000, CAUSE_RCPT_UNKNOWN));
	assert_int_equal(HISTORY_RATE_MINUTE, take_many(r, "192.0.2.8", HISTORY_RATE_MINUTE, CAUSE_RCPT_UNKNOWN)); /* nothing of it is missing */
	assert_int_equal(0, take_many(r, "192.0.2.7", 10, CAUSE_COMMAND_UNKNOWN));
	assert_int_equal(0, take_many(r, "::ffff:192.0.2.7", 1, CAUSE_RCPT_UNKNOWN)); /* the same client */
	assert_int_equal(0, t.count);
	history_rate_flush(r);
	assert_int_equal(1, t.count);
	assert_int_equal(1000 - HISTORY_RATE_MINUTE + 11, t.more);
	assert_int_equal(CAUSE_RCPT_UNKNOWN, t.mostly);
	assert_string_equal("192.0.2.7", t.peer);
	/* a new minute */
	assert_int_equal(HISTORY_RATE_MINUTE, take_many(r, "192.0.2.7", 100, CAUSE_RCPT_UNKNOWN));
	history_rate_free(&r);
	loop_free(&loop);
}

static void a_customer_has_a_64(void **state)
{
	struct loop *loop = loop_new();
	struct told t = {0};
	struct history_rate *r = history_rate_new(loop, tell, &t);

	(void)state;
	assert_int_equal(HISTORY_RATE_MINUTE, take_many(r, "2001:db8::1", 100, CAUSE_RCPT_UNKNOWN));
	assert_int_equal(0, take_many(r, "2001:db8::2:3", 10, CAUSE_RCPT_UNKNOWN));
	assert_int_equal(10, take_many(r, "2001:db8:0:1::2", 10, CAUSE_RCPT_UNKNOWN));
	assert_int_equal(HISTORY_RATE_MINUTE, take_many(r, "no address", 100, CAUSE_RCPT_UNKNOWN));
	history_rate_free(&r);
	loop_free(&loop);
}

static void a_million_addresses_take_bounded_memory(void **state)
{
	struct loop *loop = loop_new();
	struct told t = {0};
	struct history_rate *r = history_rate_new(loop, tell, &t);
	size_t took = 0;
	char peer[32];

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		(void)snprintf(peer, sizeof(peer), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		took += history_rate_take(r, span_str(peer), CAUSE_TIMEOUT);
	}
	/* the rest shares what one address has */
	assert_int_equal(HISTORY_RATE_ADDRESSES + HISTORY_RATE_MINUTE, took);
	history_rate_flush(r);
	assert_int_equal(1, t.count);
	assert_int_equal(1000000 - took, t.more);
	assert_string_equal("", t.peer);
	history_rate_free(&r);
	loop_free(&loop);
}

static void stop_loop(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(arg, 0);
}

static void a_minute_is_not_over_before_its_time(void **state)
{
	struct loop *loop = loop_new();
	struct told t = {0};
	struct history_rate *r = history_rate_new(loop, tell, &t);
	struct loop_timer stop;

	(void)state;
	loop_timer_init(loop, &stop, stop_loop, loop);
	(void)take_many(r, "192.0.2.7", 100, CAUSE_TIMEOUT);
	loop_timer_at(&stop, clock_mono_ms() + 50);
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(0, t.count); /* its minute is not over */
	loop_timer_clear(&stop);
	history_rate_free(&r);
	loop_free(&loop);
}

static void most_is_what_more_than_half_is(void **state)
{
	struct history_vote v = {0};

	(void)state;
	for (int i = 0; i < 100; i++)
		history_vote_add(&v, i % 5 < 3 ? CAUSE_RCPT_UNKNOWN : i % 5 == 3 ? CAUSE_TIMEOUT : CAUSE_MAIL_LOOP);
	assert_int_equal(CAUSE_RCPT_UNKNOWN, v.cause);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_so_many_and_a_count), cmocka_unit_test(a_customer_has_a_64), cmocka_unit_test(a_million_addresses_take_bounded_memory),
		cmocka_unit_test(a_minute_is_not_over_before_its_time), cmocka_unit_test(most_is_what_more_than_half_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
