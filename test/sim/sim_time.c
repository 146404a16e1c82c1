#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "sim.h"

#define SIM_WALL_BEGIN_MS INT64_C(1764000000000)

struct sim sim;

struct sim_block {
	struct sim_block *next;
	_Alignas(16) uint8_t bytes[];
};

/* ---- chance: splitmix64, one for the world and one for what the roles draw */

static uint64_t sim_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t sim_rand(void)
{
	return sim_mix(&sim.rng);
}

uint64_t sim_below(uint64_t n)
{
	return n ? sim_rand() % n : 0;
}

uint64_t sim_between(uint64_t least, uint64_t most)
{
	return least + sim_below(most - least + 1);
}

bool sim_chance(unsigned per_mille)
{
	return per_mille > 0 && sim_below(1000) < per_mille;
}

uint64_t sim_soon_us(uint64_t mean_us)
{
	return sim.now_us + 1 + sim_below(mean_us) + (sim_chance(250) ? sim_below(3 * mean_us) : 0);
}

void rng_fill(void *to, size_t bytes)
{
	uint8_t *at = to;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)sim_mix(&sim.role_rng);
}

uint64_t rng_u64(void)
{
	return sim_mix(&sim.role_rng);
}

/* ---- clocks */

mono_ms clock_mono_ms(void)
{
	return sim.now_us / SIM_MS;
}

int64_t clock_wall_ms(void)
{
	return SIM_WALL_BEGIN_MS + (int64_t)(sim.now_us / SIM_MS) + sim.wall_offset_ms;
}

/* ---- what is to happen: a heap by time, then by the order in which it was asked for */

static bool sim_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

void sim_at(uint64_t at_us, void (*fn)(void *arg), void *arg)
{
	struct sim_event e = {.at_us = at_us < sim.now_us ? sim.now_us : at_us, .seq = sim.next_seq++, .fn = fn, .arg = arg};
	size_t i;

	if (sim.heap_count == sim.heap_size) {
		sim.heap_size = sim.heap_size ? sim.heap_size * 2 : 256;
		sim.heap = mem_realloc(sim.heap, sim.heap_size * sizeof(*sim.heap));
	}
	for (i = sim.heap_count++; i > 0 && sim_before(&e, &sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim.heap[i] = sim.heap[(i - 1) / 2];
	sim.heap[i] = e;
}

uint64_t sim_next_us(void)
{
	return sim.heap_count ? sim.heap[0].at_us : SIM_NEVER;
}

bool sim_run_one(void)
{
	struct sim_event top, last;
	size_t i = 0;

	if (sim.heap_count == 0)
		return false;
	top = sim.heap[0];
	last = sim.heap[--sim.heap_count];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= sim.heap_count)
			break;
		if (child + 1 < sim.heap_count && sim_before(&sim.heap[child + 1], &sim.heap[child]))
			child++;
		if (!sim_before(&sim.heap[child], &last))
			break;
		sim.heap[i] = sim.heap[child];
		i = child;
	}
	sim.heap[i] = last;
	sim.now_us = top.at_us;
	top.fn(top.arg);
	return true;
}

/* ---- words */

void sim_trace(const char *fmt, ...)
{
	char words[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	sim.trace_lines++;
	sim.trace_hash = (sim.trace_hash ^ sim.now_us) * 0x100000001b3u;
	for (const char *c = words; *c; c++)
		sim.trace_hash = (sim.trace_hash ^ (uint8_t)*c) * 0x100000001b3u;
	if (sim.verbose)
		(void)printf("%12.6f %s\n", (double)(sim.now_us - sim.begin_us) / SIM_SECOND, words);
}

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	if (sim.failed)
		return;
	sim.failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(sim.why, sizeof(sim.why), fmt, ap);
	va_end(ap);
	sim_trace("FAILED: %s", sim.why);
}

void *sim_zalloc(size_t bytes)
{
	struct sim_block *b = mem_zalloc(sizeof(*b) + bytes);

	b->next = sim.blocks;
	sim.blocks = b;
	return b->bytes;
}

void sim_time_begin(uint64_t seed)
{
	sim.seed = seed;
	sim.rng = seed * 0x2545f4914f6cdd1du + 1;
	sim.role_rng = ~sim.rng;
	sim.now_us = sim.begin_us = SIM_SECOND + sim_below((uint64_t)3600 * SIM_SECOND);
	sim.trace_hash = 0xcbf29ce484222325u;
}

void sim_time_end(void)
{
	for (struct sim_block *b = sim.blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(sim.heap);
}
