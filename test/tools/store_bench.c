/* store-bench DIR [MESSAGES [ACCOUNTS [KIB]]] - how fast the store takes mail in, for batches of 1, 10 and 50 messages a commit: resolve, accept, commit, checkpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"
#include "store/store.h"

enum { BENCH_TURNS_KEPT = 100000 };

struct bench {
	struct store *s;
	uint64_t accounts, messages, batch;
	struct span body;
	double commit_us[BENCH_TURNS_KEPT];
	size_t turns;
};

static double bench_seconds(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void bench_need(enum rc rc, const struct err *err)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "store-bench: %s: %s\n", rc_name(rc), err->words);
	exit(1);
}

static void bench_fill(struct bench *b)
{
	struct err err = {{0}};
	struct buf address;
	int64_t id;

	buf_init(&address, 256);
	bench_need(store_begin(b->s, &err), &err);
	(void)!store_domain_add(b->s, SPAN_LIT("bench.example"), &err);
	for (uint64_t i = 0; i < b->accounts; i++) {
		buf_reset(&address);
		buf_printf(&address, "user%llu@bench.example", (unsigned long long)i);
		(void)!store_account_add(b->s, buf_span(&address), 0, clock_wall_ms(), &id, &err);
	}
	bench_need(store_commit(b->s, &err), &err);
	buf_clear(&address);
}

static void bench_one(struct bench *b, uint64_t n)
{
	struct store_message m = {.sender = SPAN_LIT("somebody@elsewhere.example"), .peer = SPAN_LIT("192.0.2.7"), .helo = SPAN_LIT("mail.elsewhere.example"),
		.client = SPAN_LIT("192.0.2.7"), .trace = SPAN_LIT("Received: from mail.elsewhere.example\r\n"), .body = b->body, .rcpt_count = 1};
	char address[64], message_id[64];
	uint8_t digest[32];
	struct store_rcpt rcpt = {0};
	struct store_resolved found;
	struct arena mem;
	struct err err = {{0}};
	int64_t id;
	bool repeat;
	enum cause_id cause;

	(void)snprintf(address, sizeof(address), "user%llu@bench.example", (unsigned long long)(rng_u64() % b->accounts));
	(void)snprintf(message_id, sizeof(message_id), "<%016llx.%llu@elsewhere.example>", (unsigned long long)rng_u64(), (unsigned long long)n);
	rng_fill(digest, sizeof(digest));
	arena_init(&mem, 4096);
	bench_need(store_resolve(b->s, span_str(address), b->body.len, &mem, &found, &err), &err);
	rcpt.address = span_str(address);
	rcpt.tag = found.tag;
	m.rcpts = &rcpt;
	m.message_id = span_str(message_id);
	m.digest = span_of(digest, sizeof(digest));
	m.head = SPAN_LIT("From: somebody@elsewhere.example\r\nTo: a user\r\nSubject: a message like many others\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n");
	m.received_ms = clock_wall_ms();
	bench_need(store_accept(b->s, &m, &id, &repeat, &cause, &err), &err);
	if (cause != CAUSE_NONE || repeat)
		bench_need(err_set(&err, RC_BAD, "not accepted: cause %d, repeat %d", (int)cause, repeat), &err);
	arena_clear(&mem);
}

static int bench_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void bench_run(struct bench *b)
{
	struct err err = {{0}};
	double wall = bench_seconds(CLOCK_MONOTONIC), cpu = bench_seconds(CLOCK_PROCESS_CPUTIME_ID), turn;

	b->turns = 0;
	for (uint64_t n = 0; n < b->messages; n += b->batch) {
		turn = bench_seconds(CLOCK_MONOTONIC);
		for (uint64_t i = 0; i < b->batch; i++)
			bench_one(b, n + i);
		bench_need(store_commit(b->s, &err), &err);
		bench_need(store_checkpoint(b->s, &err), &err);
		if (b->turns < BENCH_TURNS_KEPT)
			b->commit_us[b->turns++] = (bench_seconds(CLOCK_MONOTONIC) - turn) * 1e6;
	}
	wall = bench_seconds(CLOCK_MONOTONIC) - wall;
	cpu = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(b->commit_us, b->turns, sizeof(*b->commit_us), bench_order);
	printf("batch %3llu: %8.0f accepts/s, %6.1f us each (cpu %5.1f us), turn p50 %7.0f us, p99 %7.0f us, max %8.0f us\n", (unsigned long long)b->batch,
		(double)b->messages / wall, wall * 1e6 / (double)b->messages, cpu * 1e6 / (double)b->messages, b->commit_us[b->turns / 2],
		b->commit_us[b->turns * 99 / 100], b->commit_us[b->turns - 1]);
}

static uint64_t bench_number(char **argv, int argc, int at, uint64_t otherwise)
{
	uint64_t n = otherwise;

	if (argc > at && num_parse(span_str(argv[at]), 100000000, &n) != RC_OK)
		n = otherwise;
	return n;
}

int main(int argc, char **argv)
{
	static const uint64_t batches[] = {1, 10, 50};
	struct bench *b = mem_zalloc(sizeof(*b));
	struct err err = {{0}};
	uint64_t bytes, messages;
	uint8_t *body;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: store-bench DIR [MESSAGES [ACCOUNTS [KIB]]]\n");
		return 2;
	}
	messages = bench_number(argv, argc, 2, 50000);
	b->accounts = bench_number(argv, argc, 3, 1000);
	bytes = bench_number(argv, argc, 4, 10) << 10;
	body = mem_alloc(bytes + 1);
	rng_fill(body, bytes);
	b->body = span_of(body, bytes);
	bench_need(store_open(argv[1], STORE_CREATE | STORE_SERVE, &b->s, &err), &err);
	bench_fill(b);
	for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
		b->batch = batches[i];
		b->messages = b->batch == 1 ? messages / 10 + 1 : messages;
		bench_run(b);
	}
	store_close(&b->s);
	free(body);
	free(b);
	return 0;
}
