/* when to try again, and when to give up */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "policy/retry.h"

#define MINUTE 60000ll
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const struct retry_rules rules = {.first_ms = 5 * MINUTE, .most_ms = 4 * HOUR, .expire_ms = 5 * DAY, .bounce_expire_ms = 2 * DAY,
	.hopeless_ms = 12 * HOUR};

static uint32_t chance(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 32);
}

static const struct { unsigned code; enum cause_id cause; double sure; enum delivery_outcome wanted; } judged[] = {
	{250, CAUSE_NONE, 0, DELIVERY_SENT},
	{0, CAUSE_NONE, 0, DELIVERY_LATER},
	{0, CAUSE_RCPT_UNKNOWN, 0.97, DELIVERY_LATER},
	{354, CAUSE_NONE, 0, DELIVERY_LATER},
	{999, CAUSE_NONE, 0, DELIVERY_LATER},
	{450, CAUSE_NONE, 0, DELIVERY_LATER},
	{450, CAUSE_RCPT_UNKNOWN, 0.97, DELIVERY_LATER},
	{550, CAUSE_NONE, 0, DELIVERY_REFUSED},
	{550, CAUSE_RCPT_UNKNOWN, 0.97, DELIVERY_REFUSED},
	{550, CAUSE_INSUFFICIENT_TEXT, 0.97, DELIVERY_REFUSED},
	{550, CAUSE_GREYLISTED, 0.97, DELIVERY_LATER},
	{554, CAUSE_GREYLISTED, 0.8, DELIVERY_LATER},
	{550, CAUSE_GREYLISTED, 0.79, DELIVERY_REFUSED},
	{550, CAUSE_QUOTA_SENDER_DAILY, 0.9, DELIVERY_LATER},
	{550, CAUSE_RATE_LIMIT_IP, 0.9, DELIVERY_LATER},
	{550, CAUSE_RATE_LIMIT_DOMAIN, 0.9, DELIVERY_LATER},
	{554, CAUSE_IP_REPUTATION_THROTTLE, 0.9, DELIVERY_LATER},
	{554, CAUSE_TOO_MANY_CONNECTIONS, 0.9, DELIVERY_LATER},
	{554, CAUSE_DNS_FAILURE, 0.9, DELIVERY_LATER},
	{552, CAUSE_RCPT_MAILBOX_FULL, 0.97, DELIVERY_REFUSED},
	{452, CAUSE_RCPT_MAILBOX_FULL, 0.97, DELIVERY_LATER},
	{554, CAUSE_IP_DNSBL, 0.97, DELIVERY_REFUSED},
	{554, CAUSE_SPAM_CONTENT, 0.97, DELIVERY_REFUSED},
};

static void test_judge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++)
		if (retry_judge(judged[i].code, judged[i].cause, judged[i].sure) != judged[i].wanted)
			fail_msg("%u %s %.2f", judged[i].code, cause_slug(judged[i].cause), judged[i].sure);
}

/* whatever the catalogue holds: 4xx is never refused at once, an unsure cause changes nothing */
static void test_judge_all(void **state)
{
	(void)state;
	for (enum cause_id c = CAUSE_NONE; c < CAUSE_COUNT; c++) {
		for (unsigned code = 400; code < 600; code++) {
			assert_int_equal(retry_judge(code, c, 0.79), code / 100 == 5 ? DELIVERY_REFUSED : DELIVERY_LATER);
			assert_false(retry_hopeless(code, c, 0.89));
			if (code / 100 == 4)
				assert_int_equal(retry_judge(code, c, 1), DELIVERY_LATER);
			else
				assert_false(retry_hopeless(code, c, 1));
		}
	}
}

static const struct { unsigned code; enum cause_id cause; double sure; bool wanted; } hopeless[] = {
	{450, CAUSE_RCPT_UNKNOWN, 0.9, true},
	{450, CAUSE_RCPT_UNKNOWN, 0.89, false},
	{550, CAUSE_RCPT_UNKNOWN, 0.97, false},
	{0, CAUSE_RCPT_UNKNOWN, 0.97, false},
	{454, CAUSE_RELAY_DENIED_UNAUTH, 0.95, true},
	{451, CAUSE_SPAM_CONTENT, 0.95, true},
	{451, CAUSE_VIRUS_DETECTED, 0.95, true},
	{451, CAUSE_ATTACHMENT_TYPE_BLOCKED, 0.95, true},
	{451, CAUSE_RCPT_DISABLED, 0.95, true},
	{450, CAUSE_GREYLISTED, 0.97, false},
	{452, CAUSE_RCPT_MAILBOX_FULL, 0.97, false},
	{452, CAUSE_RCPT_OVER_QUOTA, 0.97, false},
	{451, CAUSE_SERVER_TEMP_ERROR, 0.97, false},
	{450, CAUSE_POLICY_UNSPECIFIED, 0.97, false},
	{450, CAUSE_INSUFFICIENT_TEXT, 0.97, false},
	{450, CAUSE_NONE, 1, false},
	{450, CAUSE_IP_DNSBL, 0.97, false},     /* one's own administrator has it taken off the list */
	{450, CAUSE_RDNS_MISSING, 0.97, false}, /* ... or writes the record */
	{450, CAUSE_SENDER_DOMAIN_NOT_FOUND, 0.97, false},
};

static void test_hopeless(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
		if (retry_hopeless(hopeless[i].code, hopeless[i].cause, hopeless[i].sure) != hopeless[i].wanted)
			fail_msg("%u %s %.2f", hopeless[i].code, cause_slug(hopeless[i].cause), hopeless[i].sure);
}

static struct retry_verdict decide(uint32_t attempts, int64_t received_ms, int64_t now_ms, uint32_t c)
{
	struct retry_verdict v;

	retry_decide(&rules, &(struct retry_facts){.attempts = attempts, .received_ms = received_ms, .now_ms = now_ms, .code = 450, .chance = c}, &v);
	return v;
}

static void test_schedule(void **state)
{
	static const int64_t wanted[] = {5 * MINUTE, 5 * MINUTE, 450000, 675000, 1012500};

	(void)state;
	for (uint32_t n = 0; n < 5; n++) {
		assert_in_range(decide(n, 0, 0, 0).next_ms, wanted[n] * 8 / 10, wanted[n] * 8 / 10 + 1);
		assert_in_range(decide(n, 0, 0, UINT32_MAX).next_ms, wanted[n] * 12 / 10 - 1, wanted[n] * 12 / 10);
	}
	assert_int_equal(decide(1000, 0, 0, 0).next_ms, 4 * HOUR * 8 / 10);
	assert_int_equal(decide(UINT32_MAX, 0, 0, UINT32_MAX).next_ms, 4 * HOUR * 12 / 10);
}

/* a message to a server that is never there: how often, for how long */
static void test_life(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		int64_t now = 0, last = 0;
		uint32_t attempts = 0;
		struct retry_verdict v = {.next_ms = 0};

		while (!v.give_up) {
			now = v.next_ms;
			assert_true(attempts == 0 || (now - last >= 5 * MINUTE * 8 / 10 && now - last <= 4 * HOUR * 12 / 10) || now == 5 * DAY);
			last = now;
			v = decide(++attempts, 0, now, chance(&seed));
		}
		assert_true(v.expired);
		assert_int_equal(now, 5 * DAY); /* neither before nor after the sender was promised */
		assert_in_range(attempts, 35, 60);
	}
}

static void test_expiry(void **state)
{
	struct retry_verdict v;
	struct retry_facts f = {.attempts = 3, .received_ms = 0, .now_ms = 2 * DAY, .code = 450};

	(void)state;
	retry_decide(&rules, &f, &v);
	assert_false(v.give_up);
	f.null_sender = true;
	retry_decide(&rules, &f, &v);
	assert_true(v.give_up && v.expired);
	f.null_sender = false;
	f.cause = CAUSE_RCPT_UNKNOWN;
	f.sure = 0.95;
	f.now_ms = 12 * HOUR - 1;
	retry_decide(&rules, &f, &v);
	assert_false(v.give_up);
	assert_in_range(v.next_ms, f.now_ms + 1, 12 * HOUR + 1000);
	f.now_ms = 12 * HOUR;
	retry_decide(&rules, &f, &v);
	assert_true(v.give_up && !v.expired); /* its sender learns the cause, not that time ran out */
	f.sure = 0.5;
	retry_decide(&rules, &f, &v);
	assert_false(v.give_up);
}

/* clocks that jump: nothing is given up after one or two attempts, nothing is put off for years */
static void test_clocks(void **state)
{
	static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -DAY, 0, DAY, 100 * 365 * DAY, INT64_MAX - 1, INT64_MAX};

	(void)state;
	for (size_t r = 0; r < sizeof(times) / sizeof(times[0]); r++) {
		for (size_t n = 0; n < sizeof(times) / sizeof(times[0]); n++) {
			for (uint32_t attempts = 0; attempts < 5; attempts++) {
				struct retry_verdict v = decide(attempts, times[r], times[n], UINT32_MAX);

				assert_true(attempts >= 3 || !v.give_up);
				assert_true(v.give_up || v.next_ms >= times[n]);
				assert_true(v.next_ms == INT64_MAX || v.next_ms - (times[n] < 0 ? 0 : times[n]) <= 5 * HOUR);
				if (times[n] <= times[r])
					assert_false(v.give_up && times[r] < INT64_MAX - 5 * DAY);
			}
		}
	}
}

static void test_wish(void **state)
{
	struct retry_verdict v;
	struct retry_facts f = {.attempts = 1, .code = 450, .chance = UINT32_MAX / 2};

	(void)state;
	f.again_ms = 1000; /* sooner than the schedule: no */
	retry_decide(&rules, &f, &v);
	assert_in_range(v.next_ms, 5 * MINUTE - 2, 5 * MINUTE);
	f.again_ms = HOUR;
	retry_decide(&rules, &f, &v);
	assert_int_equal(v.next_ms, HOUR);
	f.again_ms = UINT64_MAX;
	retry_decide(&rules, &f, &v);
	assert_int_equal(v.next_ms, 5 * DAY);
}

static void test_destination(void **state)
{
	struct retry_rules none = {0}, wild = {.first_ms = UINT64_MAX, .most_ms = UINT64_MAX};

	(void)state;
	assert_in_range(retry_destination_ms(&rules, 1, UINT32_MAX / 2), 5 * MINUTE - 2, 5 * MINUTE);
	assert_in_range(retry_destination_ms(&rules, 2, UINT32_MAX / 2), 450000 - 2, 450000);
	for (uint32_t n = 1; n < 100; n++)
		assert_in_range(retry_destination_ms(&rules, n, n * 123456789u), 4 * MINUTE, 4 * HOUR * 12 / 10);
	assert_in_range(retry_destination_ms(&none, 5, 0), 800, 1000); /* never at once */
	assert_true(retry_destination_ms(&wild, 5, 0) >= UINT64_MAX / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_judge_all),
		cmocka_unit_test(test_hopeless),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_wish),
		cmocka_unit_test(test_destination),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
