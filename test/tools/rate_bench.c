/* What counting costs: one key, ten thousand keys, and strangers who never come twice (each takes another's place). Prints nanoseconds a call. */
#include <stdio.h>
#include <time.h>

#include "policy/rate.h"

enum { ENTRIES = 65536, CALLS = 2000000 };

static double now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void run(const char *what, uint32_t keys)
{
	static const uint32_t most[RATE_WINDOWS] = {100000000, 100000000, 100000000, 100000000};
	struct rate_table *t = rate_table_new(ENTRIES, 1);
	double began, checked, counted;
	struct rate_hit hit;
	struct rate_key k;
	uint32_t passed = 0;

	for (uint32_t i = 0; i < CALLS / 4; i++) { /* fills the table */
		uint32_t n = i % keys;

		if (rate_key_make(1, span_of(&n, sizeof(n)), &k) == RC_OK)
			rate_count(t, &k, 1, i / 1000);
	}
	began = now_ns();
	for (uint32_t i = 0; i < CALLS; i++) {
		uint32_t n = i * 2654435761u % keys;

		if (rate_key_make(1, span_of(&n, sizeof(n)), &k) == RC_OK)
			passed += rate_check(t, &k, most, 1, CALLS / 1000 + i / 1000, &hit);
	}
	checked = now_ns();
	for (uint32_t i = 0; i < CALLS; i++) {
		uint32_t n = i * 2654435761u % keys;

		if (rate_key_make(1, span_of(&n, sizeof(n)), &k) == RC_OK)
			rate_count(t, &k, 1, CALLS / 1000 + i / 1000);
	}
	counted = now_ns();
	printf("%-34s check %4.0f ns   count %4.0f ns   (%u passed)\n", what, (checked - began) / CALLS, (counted - checked) / CALLS, passed);
	rate_table_free(&t);
}

int main(void)
{
	run("one key", 1);
	run("10,000 keys", 10000);
	run("strangers, a full table", 1u << 31);
	return 0;
}
