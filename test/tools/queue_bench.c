/* queue-bench DIR [ROWS] - what the outgoing queue costs: ROWS (1000000) for one destination, leased and settled; 1,000 dead destinations with 100 rows each
 * beside a live one; what a start finds leased.
 * queue-bench DIR fill MESSAGES DESTINATIONS - only fills: so many messages with a recipient each, put off with their destinations for a day. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"
#include "store/store_queue.h"

enum { BENCH_BATCH = 500, BENCH_LEASE = 1000, BENCH_DEAD = 1000, BENCH_DEAD_ROWS = 100, BENCH_FILL_COMMIT = 1000 };

struct bench {
	struct store *s;
	struct err err;
	int64_t rows[BENCH_LEASE];
	size_t count;
};

static double bench_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void bench_need(struct bench *b, enum rc rc)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "queue-bench: %s: %s\n", rc_name(rc), b->err.words);
	exit(1);
}

static void bench_commit(struct bench *b)
{
	bench_need(b, store_commit(b->s, &b->err));
	bench_need(b, store_checkpoint(b->s, &b->err));
}

/* one message with `count` recipients */
static void bench_mail(struct bench *b, const char *domain, size_t from, size_t count)
{
	static char addresses[BENCH_BATCH][64];
	static struct store_rcpt rcpts[BENCH_BATCH];
	struct store_message m = {.sender = SPAN_LIT("s@example.org"), .head = SPAN_LIT("A: b\r\n\r\n"), .body = SPAN_LIT("text\r\n"), .rcpts = rcpts,
		.rcpt_count = (uint32_t)count, .received_ms = clock_wall_ms()};
	enum cause_id cause = CAUSE_NONE;
	bool repeat;
	int64_t id;

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(addresses[i], sizeof(addresses[i]), "x%zu@%s", from + i, domain);
		rcpts[i] = (struct store_rcpt){.address = span_str(addresses[i]), .tag = STORE_TAG_FOREIGN};
	}
	bench_need(b, store_accept(b->s, &m, &id, &repeat, &cause, &b->err));
}

static enum rc bench_take(void *arg, const struct store_lease *l)
{
	struct bench *b = arg;

	for (size_t i = 0; i < l->row_count; i++)
		b->rows[b->count++] = l->rows[i].id;
	return RC_OK;
}

static void bench_lease(struct bench *b, const char *dest, size_t want)
{
	struct arena mem;
	size_t n = 0;

	b->count = 0;
	arena_init(&mem, 64 << 20);
	bench_need(b, store_begin(b->s, &b->err));
	bench_need(b, store_queue_lease(b->s, span_str(dest), clock_wall_ms(), want, &mem, bench_take, b, &n, &b->err));
	bench_commit(b);
	arena_clear(&mem);
}

static void bench_settle(struct bench *b, enum store_settle how)
{
	struct store_attempt a = {.how = how, .now_ms = clock_wall_ms(), .next_ms = clock_wall_ms() + 600000, .counts = true, .words = SPAN_LIT("said so")};
	struct store_row row;
	struct arena mem;

	bench_need(b, store_begin(b->s, &b->err));
	for (size_t i = 0; i < b->count; i++) {
		arena_init(&mem, 16384);
		bench_need(b, store_queue_row(b->s, b->rows[i], &mem, &row, &b->err));
		bench_need(b, store_queue_settle(b->s, &row, &a, &b->err));
		arena_clear(&mem);
	}
	bench_commit(b);
}

static void bench_big(struct bench *b, size_t rows)
{
	double at = bench_now(), lease = 0, sent = 0, waits = 0;

	for (size_t n = 0; n < rows; n += BENCH_BATCH) {
		bench_mail(b, "big.example", n, BENCH_BATCH);
		if (n / BENCH_BATCH % 20 == 19)
			bench_commit(b);
	}
	bench_commit(b);
	printf("%zu rows for one destination queued: %.1f us each\n", rows, (bench_now() - at) * 1e6 / (double)rows);
	for (int i = 0; i < 20; i++) {
		at = bench_now();
		bench_lease(b, "big.example", BENCH_LEASE);
		lease += bench_now() - at;
		at = bench_now();
		bench_settle(b, i % 2 ? STORE_SETTLE_WAITS : STORE_SETTLE_SENT);
		*(i % 2 ? &waits : &sent) += bench_now() - at;
	}
	printf("  of these, %d at a time, with commit: leased %.1f us each, sent %.1f us, put off %.1f us\n", BENCH_LEASE, lease * 1e6 / 20 / BENCH_LEASE,
		sent * 1e6 / 10 / BENCH_LEASE, waits * 1e6 / 10 / BENCH_LEASE);
}

static void bench_dead(struct bench *b)
{
	char name[32];
	struct store_due due[64];
	struct arena mem;
	int64_t next;
	size_t n = 0;
	double at;

	for (size_t d = 0; d < BENCH_DEAD; d++) {
		(void)snprintf(name, sizeof(name), "dead%zu.example", d);
		bench_mail(b, name, 0, BENCH_DEAD_ROWS);
	}
	bench_commit(b);
	at = bench_now();
	bench_need(b, store_begin(b->s, &b->err));
	for (size_t d = 0; d < BENCH_DEAD; d++) {
		(void)snprintf(name, sizeof(name), "dead%zu.example", d);
		bench_need(b, store_queue_block(b->s, span_str(name), clock_wall_ms(), clock_wall_ms() + 3600000, CAUSE_TIMEOUT, SPAN_NONE, SPAN_NONE, &b->err));
	}
	bench_commit(b);
	printf("%d destinations with %d rows each found down: %.1f us each\n", BENCH_DEAD, BENCH_DEAD_ROWS, (bench_now() - at) * 1e6 / BENCH_DEAD);
	at = bench_now();
	for (int i = 0; i < 1000; i++) {
		arena_init(&mem, 1 << 20);
		bench_need(b, store_queue_due(b->s, clock_wall_ms(), &mem, due, 64, &n, &next, &b->err));
		arena_clear(&mem);
	}
	printf("  looking for what is due beside them: %.1f us (%zu due)\n", (bench_now() - at) * 1e3, n);
}

static void bench_fill(struct bench *b, size_t messages, size_t destinations)
{
	const int64_t day = 86400000;
	double at = bench_now();
	char name[40];

	for (size_t n = 0; n < messages; n++) {
		(void)snprintf(name, sizeof(name), "down%zu.example", n % destinations);
		bench_mail(b, name, n, 1);
		if (n % BENCH_FILL_COMMIT == BENCH_FILL_COMMIT - 1)
			bench_commit(b);
	}
	bench_commit(b);
	bench_need(b, store_begin(b->s, &b->err));
	for (size_t d = 0; d < destinations; d++) {
		(void)snprintf(name, sizeof(name), "down%zu.example", d);
		bench_need(b, store_queue_block(b->s, span_str(name), clock_wall_ms(), clock_wall_ms() + day, CAUSE_REMOTE_UNREACHABLE, span_str(name),
			SPAN_LIT("Connection refused"), &b->err));
	}
	bench_commit(b);
	printf("%zu messages for %zu destinations that are down: %.1f us each\n", messages, destinations, (bench_now() - at) * 1e6 / (double)messages);
}

int main(int argc, char **argv)
{
	struct bench b = {.count = 0};
	uint64_t rows = 1000000, destinations = 0;
	bool fill = argc == 5 && span_eq(span_str(argv[2]), SPAN_LIT("fill"));
	double at;

	if (argc < 2 || (argc > 3 && !fill) || (argc > 2 && num_parse(span_str(argv[fill ? 3 : 2]), 100000000, &rows) != RC_OK) ||
		(fill && (num_parse(span_str(argv[4]), 1000000, &destinations) != RC_OK || destinations == 0))) {
		(void)fprintf(stderr, "usage: queue-bench DIR [ROWS]\n       queue-bench DIR fill MESSAGES DESTINATIONS\n");
		return 2;
	}
	if (fill) {
		bench_need(&b, store_open(argv[1], STORE_SERVE, &b.s, &b.err));
		bench_fill(&b, rows, destinations);
		store_close(&b.s);
		return 0;
	}
	bench_need(&b, store_open(argv[1], STORE_CREATE | STORE_SERVE, &b.s, &b.err));
	bench_big(&b, (size_t)rows / BENCH_BATCH * BENCH_BATCH);
	bench_dead(&b);
	bench_lease(&b, "big.example", BENCH_LEASE);
	at = bench_now();
	bench_need(&b, store_queue_open(b.s, &b.err));
	printf("after a start, %d leased rows wait again: %.1f ms\n", BENCH_LEASE, (bench_now() - at) * 1e3);
	store_close(&b.s);
	return 0;
}
