/* how many connections a destination gets, and how fast messages go there */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/pace.h"

static const struct pace_rules rules = {.first = 2, .most = 20};

static uint32_t chance(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 32);
}

static void tell(struct pace *p, enum pace_event e, unsigned times, mono_ms now)
{
	while (times--)
		pace_tell(p, e, now);
}

static void test_grows(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, &rules, 0);
	assert_int_equal(pace_width(&p), 2);
	for (uint32_t width = 2; width < 20; width++) {
		assert_int_equal(pace_width(&p), width);
		tell(&p, PACE_SENT, width + 1, 0); /* a round, and what rounding costs */
	}
	tell(&p, PACE_SENT, 1000, 0);
	assert_int_equal(pace_width(&p), 20);
}

static void test_shrinks(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, &rules, 0);
	tell(&p, PACE_SENT, 1000, 0);
	tell(&p, PACE_TOO_MUCH, 20, 5); /* every connection hears it: the same trouble */
	assert_int_equal(pace_width(&p), 10);
	tell(&p, PACE_TOO_MUCH, 20, 10004);
	assert_int_equal(pace_width(&p), 10);
	tell(&p, PACE_TOO_MUCH, 1, 10005);
	assert_int_equal(pace_width(&p), 5);
	tell(&p, PACE_TROUBLE, 1, 30000);
	assert_int_equal(pace_width(&p), 4);
	tell(&p, PACE_REFUSED, 100, 60000);
	assert_int_equal(pace_width(&p), 4);
	for (mono_ms t = 100000; t < 1000000; t += 10000)
		tell(&p, PACE_TOO_MUCH, 1, t);
	assert_int_equal(pace_width(&p), 1);
}

static void test_down(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, &rules, 0);
	tell(&p, PACE_SENT, 1000, 0);
	tell(&p, PACE_TROUBLE, 2, 1);
	assert_int_equal(pace_width(&p), 19);
	assert_true(pace_window(&p) > 19);
	tell(&p, PACE_TROUBLE, 1, 2);
	assert_int_equal(p.failures, 3);
	assert_int_equal(pace_width(&p), 1); /* one probe */
	assert_int_equal(pace_window(&p), 1);
	tell(&p, PACE_REFUSED, 1, 3); /* it answers */
	assert_int_equal(p.failures, 0);
	assert_int_equal(pace_width(&p), 19);
}

/* whatever happens: between one and the most */
static void test_any_events(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct pace_rules r = {.first = chance(&seed) % 10, .most = chance(&seed) % 30, .per_minute = round % 2 ? chance(&seed) % 1000 : 0};
		uint32_t most = r.most > 1 ? r.most : 1;
		mono_ms now = 1000, at;
		struct pace p;

		pace_init(&p, &r, now);
		for (unsigned i = 0; i < 2000; i++) {
			now += chance(&seed) % 3 ? chance(&seed) % 100 : chance(&seed) % 20000;
			pace_tell(&p, (enum pace_event)(chance(&seed) % 4), now);
			assert_in_range(pace_width(&p), 1, most);
			assert_in_range(pace_window(&p), 1, most * 20);
			at = 0;
			if (!pace_take(&p, now, &at))
				assert_true(at > now);
		}
	}
}

/* messages as fast as they may go, asked now and then; returns how many began within `ms` */
static unsigned count(struct pace *p, mono_ms from, uint64_t ms, uint64_t *seed)
{
	unsigned taken = 0;
	mono_ms now = from, at;

	while (now < from + ms) {
		if (pace_take(p, now, &at))
			taken++;
		else
			now = at + (seed ? chance(seed) % 20 : 0); /* timers are late */
	}
	return taken;
}

static void test_spacing(void **state)
{
	static const uint32_t rates[] = {1, 7, 60, 600, 6000, 60000};
	uint64_t seed = 3;

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct pace_rules r = {.first = 5, .most = 5, .per_minute = rates[i]};
		uint32_t spare = 1 + rates[i] / 600; /* a tenth of a second's worth may be made good */
		struct pace p;

		pace_init(&p, &r, 0);
		assert_in_range(count(&p, 0, 600000, NULL), rates[i] * 10 - rates[i] / 50, rates[i] * 10 + 1 + spare);
		assert_in_range(count(&p, 10000000, 600000, &seed), rates[i] * 10 - rates[i] / 50 - 1, rates[i] * 10 + 1 + spare);
		assert_in_range(count(&p, 20000000, 1, NULL), 1, spare); /* an idle hour saves up nothing */
	}
}

static void test_no_rate(void **state)
{
	struct pace p;
	mono_ms at;

	(void)state;
	pace_init(&p, &rules, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(pace_take(&p, 0, &at));
}

static void test_rate_halves(void **state)
{
	struct pace_rules r = {.first = 5, .most = 5, .per_minute = 600};
	struct pace p;
	unsigned taken;

	(void)state;
	pace_init(&p, &r, 0);
	pace_tell(&p, PACE_TOO_MUCH, 0);
	taken = count(&p, 0, 60000, NULL);
	assert_in_range(taken, 298, 303);
	for (mono_ms t = 100000; t < 10000000; t += 10000)
		pace_tell(&p, PACE_TOO_MUCH, t);
	taken = count(&p, 10000000, 60000, NULL);
	assert_in_range(taken, 8, 12); /* never to a standstill */
	tell(&p, PACE_SENT, 64, 0);
	taken = count(&p, 20000000, 60000, NULL);
	assert_in_range(taken, 596, 602);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_any_events),
		cmocka_unit_test(test_spacing),
		cmocka_unit_test(test_no_rate),
		cmocka_unit_test(test_rate_halves),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
