/* sim - runs seeds of the simulation: sim --seeds FROM-TO [--jobs N] | --seed N [--verbose]; see sim.h */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "sim.h"

enum { SIM_TWICE_EVERY = 50, SIM_WARM_SEEDS = 50, SIM_GROWTH_MAX = 32 << 20, SIM_FAILURES_SHOWN = 20, SIM_JOBS_MAX = 64 };

struct sim_options {
	uint64_t from, to, jobs;
	double hours;
	enum sim_break broken;
	bool verbose, expect_failure;
};

/* what a job found; travels through a pipe */
struct sim_tally {
	uint64_t passed, failed, simulated_us, messages, deaths, power_cuts, first_failed;
};

static const char *const sim_break_names[SIM_BREAK_COUNT] = {"none", "sync-lies", "drop-frame", "flip-bit"};

static const char sim_usage[] =
	"usage: sim --seeds FROM-TO [--jobs N] [--hours H] [--break NAME [--expect-failure]]\n"
	"       sim --seed N [--verbose] [--hours H] [--break NAME]\n"
	"breaks: sync-lies drop-frame flip-bit\n";

static double sim_clock_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool sim_parse_break(const char *text, enum sim_break *out)
{
	for (int i = 1; i < SIM_BREAK_COUNT; i++)
		if (span_eq(span_str(text), span_str(sim_break_names[i]))) {
			*out = (enum sim_break)i;
			return true;
		}
	return false;
}

static bool sim_parse_range(const char *text, struct sim_options *o)
{
	struct span rest = span_str(text), first = span_cut(&rest, '-');

	return num_parse(first, UINT64_MAX, &o->from) == RC_OK && num_parse(rest, UINT64_MAX, &o->to) == RC_OK && o->from <= o->to;
}

static bool sim_parse(int argc, char **argv, struct sim_options *o)
{
	bool seeds = false;

	for (int i = 1; i < argc; i++) {
		struct span name = span_str(argv[i]);
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		bool ok = true;

		if (span_eq(name, SPAN_LIT("--verbose"))) {
			o->verbose = true;
			continue;
		}
		if (span_eq(name, SPAN_LIT("--expect-failure"))) {
			o->expect_failure = true;
			continue;
		}
		if (span_eq(name, SPAN_LIT("--seeds"))) {
			ok = seeds = sim_parse_range(value, o);
		} else if (span_eq(name, SPAN_LIT("--seed"))) {
			ok = seeds = num_parse(span_str(value), UINT64_MAX, &o->from) == RC_OK;
			o->to = o->from;
		} else if (span_eq(name, SPAN_LIT("--jobs"))) {
			ok = num_parse(span_str(value), SIM_JOBS_MAX, &o->jobs) == RC_OK && o->jobs > 0;
		} else if (span_eq(name, SPAN_LIT("--hours"))) {
			o->hours = strtod(value, NULL);
			ok = o->hours > 0;
		} else {
			ok = span_eq(name, SPAN_LIT("--break")) && sim_parse_break(value, &o->broken);
		}
		if (!ok)
			return false;
		i++;
	}
	return seeds;
}

/* ---- seeds */

static void sim_tell_failure(const struct sim_options *o, uint64_t seed, const char *why)
{
	(void)printf("seed %llu failed: %s\n    replay: sim --seed %llu --verbose", (unsigned long long)seed, why, (unsigned long long)seed);
	if (o->hours > 0)
		(void)printf(" --hours %g", o->hours);
	if (o->broken)
		(void)printf(" --break %s", sim_break_names[o->broken]);
	(void)printf("\n");
	(void)fflush(stdout);
}

static void sim_one(const struct sim_options *o, uint64_t seed, struct sim_tally *t)
{
	struct sim_result r, again;
	const char *why = r.why;

	sim_seed_run(seed, o->broken, o->hours, o->verbose, &r);
	if (r.passed && seed % SIM_TWICE_EVERY == 0 && !o->verbose) { /* does a seed always say the same? */
		sim_seed_run(seed, o->broken, o->hours, false, &again);
		if (again.hash != r.hash) {
			r.passed = false;
			why = "two runs of it differ: the simulation is not deterministic";
		}
	}
	t->simulated_us += r.simulated_us;
	t->messages += r.messages;
	t->deaths += r.deaths;
	t->power_cuts += r.power_cuts;
	if (r.passed) {
		t->passed++;
		return;
	}
	if (t->failed++ < SIM_FAILURES_SHOWN)
		sim_tell_failure(o, seed, why);
	if (t->first_failed == 0)
		t->first_failed = seed;
}

/* every jobs-th seed; what one seed leaves behind in memory must not add up */
static void sim_job(const struct sim_options *o, uint64_t job, struct sim_tally *t)
{
	size_t before = 0, after;
	uint64_t done = 0;

	for (uint64_t seed = o->from + job; seed <= o->to; seed += o->jobs) {
		sim_one(o, seed, t);
		if (++done == SIM_WARM_SEEDS)
			before = mallinfo2().uordblks;
		if (t->failed && o->expect_failure)
			return;
	}
	after = mallinfo2().uordblks;
	if (before && after > before + SIM_GROWTH_MAX) {
		(void)printf("memory grew by %zu bytes over %llu seeds\n", after - before, (unsigned long long)done);
		t->failed++;
	}
}

static bool sim_job_start(const struct sim_options *o, uint64_t job, int *fd_out)
{
	struct sim_tally t = {0};
	int fds[2];
	pid_t pid;

	(void)fflush(stdout);
	if (pipe(fds) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		sim_seed_prepare();
		sim_job(o, job, &t);
		(void)!write(fds[1], &t, sizeof(t));
		exit(0);
	}
	(void)close(fds[1]);
	*fd_out = fds[0];
	return pid > 0;
}

static void sim_add(struct sim_tally *sum, const struct sim_tally *t)
{
	sum->passed += t->passed;
	sum->failed += t->failed;
	sum->simulated_us += t->simulated_us;
	sum->messages += t->messages;
	sum->deaths += t->deaths;
	sum->power_cuts += t->power_cuts;
}

static void sim_run_jobs(struct sim_options *o, struct sim_tally *sum)
{
	int fds[SIM_JOBS_MAX];
	struct sim_tally t;

	if (o->jobs > o->to - o->from + 1)
		o->jobs = o->to - o->from + 1;
	if (o->jobs == 1) {
		sim_seed_prepare();
		sim_job(o, 0, sum);
		return;
	}
	for (uint64_t i = 0; i < o->jobs; i++)
		if (!sim_job_start(o, i, &fds[i])) {
			(void)fprintf(stderr, "sim: cannot start a job\n");
			exit(2);
		}
	for (uint64_t i = 0; i < o->jobs; i++) {
		if (read(fds[i], &t, sizeof(t)) != (ssize_t)sizeof(t)) {
			(void)printf("job %llu did not come to its end\n", (unsigned long long)i);
			t = (struct sim_tally){.failed = 1};
		}
		sim_add(sum, &t);
		(void)close(fds[i]);
	}
	while (wait(NULL) > 0)
		;
}

int main(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct sim_options o = {.jobs = cores > 0 && cores <= SIM_JOBS_MAX ? (uint64_t)cores : 1};
	struct sim_tally sum = {0};
	double began = sim_clock_s(), took, hours;

	if (!sim_parse(argc, argv, &o)) {
		(void)fputs(sim_usage, stderr);
		return 2;
	}
	sim_run_jobs(&o, &sum);
	took = sim_clock_s() - began;
	hours = (double)sum.simulated_us / 3600e6;
	(void)printf("%.1f simulated hours in %.1f s: %.2f hours a second; %llu messages acknowledged, %llu processes died, %llu power cuts\n", hours, took,
		hours / took, (unsigned long long)sum.messages, (unsigned long long)sum.deaths, (unsigned long long)sum.power_cuts);
	(void)printf("figure sim_hours_per_second %.2f\n", hours / took);
	if (o.expect_failure) {
		(void)printf("%s: %s\n", sim_break_names[o.broken], sum.failed ? "noticed" : "NOT noticed");
		(void)printf("%d passed, %d failed\n", sum.failed ? 1 : 0, sum.failed ? 0 : 1);
		return sum.failed ? 0 : 1;
	}
	(void)printf("%llu passed, %llu failed\n", (unsigned long long)sum.passed, (unsigned long long)sum.failed);
	return sum.failed || !sum.passed ? 1 : 0;
}
