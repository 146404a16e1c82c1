/* One seed: the plan, the wild time, the healing, and what must be true afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cause/cause.h"
#include "sim.h"

enum { SIM_DRAIN_HOURS = 6, SIM_QUIET_HOURS = 3 };
#define SIM_HOUR ((uint64_t)3600 * SIM_SECOND)

static const char sim_conf_text[] =
	"home = \"/nonexistent\"\n"
	"hostname = \"mx.sim.example\"\n"
	"listener mx { kind = mx port = 25 tls = none }\n"
	"listener pop3 { kind = pop3 port = 110 tls = none auth-without-tls = yes }\n"
	"workers { mx = 2 user = 1 }\n"
	"rates { address-messages = \"\" address-recipients = \"\" mailbox-messages = \"\" address-connections = \"\" address-helo-floods = \"\"\n"
	"address-unknown-commands = \"\" address-unauth-commands = \"\" address-failed-recipients = \"\" }\n"
	"history { days = 0 }\n" /* promises nothing, so there is nothing to hold against it */
	"auth { mechanisms = \"PLAIN\" }\n";

static char *sim_made_dir;

static void sim_seed_remove_dir(void)
{
	static const char *const names[] = {"mail.db", "bodies", "spool", ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", sim_made_dir, names[i]);

		(void)remove(path);
		free(path);
	}
}

void sim_seed_prepare(void)
{
	struct conf *conf = NULL;
	struct stat st;
	struct err err = {""};

	sim_made_dir = mem_printf("%s/mailroom-sim-XXXXXX", stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(sim_made_dir) || conf_parse(span_str(sim_conf_text), "the simulation's configuration", NULL, &conf, &err) != RC_OK) {
		(void)fprintf(stderr, "sim: cannot begin: %s\n", err.words);
		exit(2);
	}
	(void)atexit(sim_seed_remove_dir);
	sim.conf = conf;
	sim.dir = sim_made_dir;
	sim_time_begin(0);
	(void)map_hash("", 0); /* its key is drawn once a process: now, so that no seed's numbers depend on it */
	sim_disk_register();
	sim_oracle_prepare(sim_made_dir);
	sim_disk_keep_base();
}

/* each kind of fault in half of the seeds, so that they also come alone; mean times in seconds */
static uint64_t sim_plan_every(unsigned least_s, unsigned most_s)
{
	return sim_chance(500) ? sim_between(least_s, most_s) * SIM_SECOND : 0;
}

static unsigned sim_plan_rate(unsigned most)
{
	return sim_chance(500) ? (unsigned)sim_below(most + 1) : 0;
}

static void sim_plan_draw(struct sim_plan *p, double hours)
{
	static const uint64_t delays_us[] = {100, 2 * SIM_MS, 20 * SIM_MS, 300 * SIM_MS};

	*p = (struct sim_plan){
		.active_us = hours > 0 ? (uint64_t)(hours * (double)SIM_HOUR) : sim_between(60, 300) * SIM_SECOND,
		.frame_delay_us = delays_us[sim_below(4)],
		.net_delay_us = delays_us[sim_below(4)],
		.kill_every_us = sim_plan_every(3, 60),
		.power_every_us = sim_plan_every(10, 120),
		.drain_every_us = sim_plan_every(20, 120),
		.stall_every_us = sim_plan_every(10, 60),
		.dark_every_us = sim_plan_every(30, 120),
		.jump_every_us = sim_plan_every(20, 120),
		.full_every_us = sim_plan_every(20, 120),
		.reset = sim_plan_rate(300),
		.half_close = sim_plan_rate(100),
		.vanish = sim_plan_rate(800),
		.slow_reader = sim_plan_rate(200),
		.cut = sim_plan_rate(200),
		.impatient = sim_plan_rate(300),
		.crash_call = sim_plan_rate(20),
		.crash_hook = sim_plan_rate(10),
		.sync_eio = sim_plan_rate(30),
		.write_eio = sim_plan_rate(5),
		.checkpoint = sim_plan_rate(300),
		.gate = sim_chance(500),
		.senders = 1 + (unsigned)sim_below(5),
		.readers = (unsigned)sim_below(SIM_MAILBOXES + 1),
		.mails = 5 + (unsigned)sim_below(40),
	};
	if (hours > 0.2)
		p->mails = SIM_MAILS_MAX - 1;
}

static bool sim_run_until(uint64_t end_us, bool (*done)(void))
{
	while (!sim.failed && sim_next_us() <= end_us) {
		uint64_t before = sim.now_us;

		if (!sim_run_one())
			break;
		if (done && sim.now_us != before && done())
			return true;
	}
	if (!sim.failed && sim.now_us < end_us && !done)
		sim.now_us = end_us;
	return !done || done();
}

static bool sim_clients_done(void)
{
	return sim_mail_all_done() && sim_smtp_idle() && sim_pop3_idle();
}

static bool sim_store_there(void)
{
	return sim_store() != NULL;
}

static void sim_seed_finish(void)
{
	sim_trace("the wild time is over");
	sim.healed = true;
	sim_proc_heal();
	if (!sim_run_until(sim.now_us + SIM_DRAIN_HOURS * SIM_HOUR, sim_clients_done) && !sim.failed)
		sim_fail("the clients do not get their mail through, long after everything was well again");
	if (!sim.failed && !sim_run_until(sim.now_us + SIM_QUIET_HOURS * SIM_HOUR, sim_proc_quiet) && !sim.failed)
		sim_fail("what is left does not end: %s", sim_proc_left());
	sim_oracle_check("the end");
	if (sim.failed)
		return;
	/* and what is held is on the disk */
	sim_proc_power_cut();
	if (!sim_run_until(sim.now_us + SIM_HOUR, sim_store_there) && !sim.failed)
		sim_fail("the store does not come back after a power cut");
	sim_oracle_check("the power cut at the end");
}

void sim_seed_run(uint64_t seed, enum sim_break broken, double hours, bool verbose, struct sim_result *out)
{
	const struct conf *conf = sim.conf;
	const char *dir = sim.dir;

	sim = (struct sim){.conf = conf, .dir = dir, .broken = broken, .verbose = verbose};
	sim_time_begin(seed);
	sim_plan_draw(&sim.plan, hours);
	sim_disk_begin();
	sim_oracle_begin();
	sim_proc_begin();
	sim_smtp_begin();
	sim_pop3_begin();
	(void)sim_run_until(sim.begin_us + sim.plan.active_us, NULL);
	if (!sim.failed)
		sim_seed_finish();
	*out = (struct sim_result){.passed = !sim.failed, .hash = sim.trace_hash, .simulated_us = sim.now_us - sim.begin_us, .messages = sim_oracle_acked(),
		.deaths = sim.deaths, .power_cuts = sim.power_cuts};
	(void)snprintf(out->why, sizeof(out->why), "%s", sim.why);
	sim_smtp_end();
	sim_pop3_end();
	sim_proc_end();
	sim_stream_end();
	sim_chan_end();
	sim_disk_end();
	sim_oracle_end();
	sim_time_end();
}
