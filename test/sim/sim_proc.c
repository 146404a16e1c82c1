/* The processes: real roles with their ops, and a parent that wires them as parent_child.c does and starts again what died, with its delays. A process
 * dies between two turns, between two things that a turn's end does, in a call of the disk, or by its own exit. Its memory is freed by its own
 * code, whose words then reach nobody. */
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/role_store.h"
#include "role/tls_memory.h"
#include "role/worker_abuse.h"
#include "sim.h"
#include "store/store_internal.h"

enum { SIM_QUICK_DEATH_MS = 2000, SIM_BACKOFF_FIRST_MS = 50, SIM_BACKOFF_MAX_MS = 5000, SIM_GRACE_S = 60, SIM_OPEN_FAILURES = 12 };
enum { SIM_SLOTS = 5 };

static const struct {
	enum role_id a, b;
} sim_doors[] = {{ROLE_MX, ROLE_STORE}, {ROLE_USER, ROLE_STORE}, {ROLE_USER, ROLE_AUTH}, {ROLE_AUTH, ROLE_STORE}};

struct sim_slot {
	enum role_id id;
	struct sim_proc *proc;
	unsigned failures, closed_starts; /* closed_starts: the disk was fine and the store did not open */
};

struct sim_wire {
	struct sim_wire *next;
	struct sim_proc *proc;
	struct sim_ready ready;
	enum role_id peer;
	uint32_t worker;
	int fd;
	bool taken;
};

static struct {
	struct sim_slot slots[SIM_SLOTS];
	struct sim_wire *wires;
	uint32_t next_worker;
	size_t auth_deaths;
	jmp_buf die;
} parent;

static void sim_spawn(void *arg);
static void sim_bury(struct sim_proc *p);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

/* ---- living and dying */

_Noreturn void sim_die(const char *why)
{
	if (!sim.current->doomed)
		sim_trace("%s dies: %s", sim.current->name, why);
	sim.current->doomed = true;
	longjmp(parent.die, 1);
}

void sim_doom(bool power, const char *why)
{
	if (!sim.current || sim.current->doomed)
		return;
	sim_trace("%s dies in %s%s", sim.current->name, why, power ? ", the power is gone" : "");
	sim.current->doomed = true;
	sim.current->power = power;
	sim_disk_cut_off();
}

void sim_crash_point(void)
{
	if (!sim.current || !sim.current->alive)
		return;
	if (sim.current->doomed)
		sim_die("");
	if (!sim.healed && sim_chance(sim.plan.crash_hook))
		sim_die("at a turn's end");
}

/* the roles' own way out */
_Noreturn void __wrap__exit(int status)
{
	if (!sim.current)
		__real__exit(status);
	if (!sim.current->doomed)
		sim_trace("%s exits with status %d", sim.current->name, status);
	sim.current->doomed = true;
	longjmp(parent.die, 1);
}

void sim_enter(struct sim_proc *p, void (*fn)(void *arg), void *arg)
{
	sim.current = p;
	log_open(STDOUT_FILENO, p->name, sim.verbose ? LOG_LEVEL_INFO : (enum log_level)(LOG_LEVEL_ERROR + 1));
	if (setjmp(parent.die) == 0)
		fn(arg);
	(void)fflush(stdout); /* in its order with the log */
	log_flush();
	sim.current = NULL;
	if (p->doomed || p->loop.stopping)
		sim_bury(p);
}

/* ---- what a dead process leaves in our memory */

static void sim_bury_worker(struct sim_proc *p)
{
	struct worker *w = p->role.own;
	size_t at = 0;
	uint64_t key;
	void *q;

	sim_stream_kill(p);
	sim_chan_kill(p);
	if (w->session_count && !sim.failed)
		sim_fail("%s: %u sessions without a connection", p->name, w->session_count);
	while (map_next(&w->questions, &at, &key, &q))
		free(q);
	map_clear(&w->questions);
	map_clear(&w->by_id);
	map_clear(&w->addresses);
	worker_abuse_free(&w->abuse);
	free(w->listeners);
	free(w);
}

static void sim_bury_store(struct sim_proc *p)
{
	struct store_role *s = p->role.own;

	sim_disk_cut_off();
	sim_chan_kill(p);
	store_close(&s->store);
	map_clear(&s->mailboxes);
	buf_clear(&s->bytes);
	free(s->items);
	free(s->held);
	store_role_counts_free(s);
	store_role_conf_free(s);
	free(s);
}

static uint64_t sim_backoff_us(unsigned failures)
{
	uint64_t ms = SIM_BACKOFF_FIRST_MS;

	while (failures-- > 1 && ms < SIM_BACKOFF_MAX_MS)
		ms *= 2;
	return (ms < SIM_BACKOFF_MAX_MS ? ms : SIM_BACKOFF_MAX_MS) * SIM_MS;
}

static void sim_power_cut(void *arg);

static void sim_bury(struct sim_proc *p)
{
	bool quick = sim.now_us - p->started_us < (uint64_t)SIM_QUICK_DEATH_MS * SIM_MS;
	bool orderly = p->loop.stopping && !p->doomed;

	p->alive = false;
	sim.deaths += !orderly;
	parent.auth_deaths += p->id == ROLE_AUTH;
	sim_trace("%s is gone%s", p->name, orderly ? ", in order" : "");
	log_open(STDOUT_FILENO, p->name, (enum log_level)(LOG_LEVEL_ERROR + 1));
	for (struct sim_wire *w = parent.wires; w; w = w->next)
		if (w->proc == p && !w->taken) {
			w->taken = true;
			sim_end_close(w->fd);
		}
	if (p->role.own && p->id == ROLE_STORE)
		sim_bury_store(p);
	else if (p->role.own && p->id == ROLE_AUTH)
		sim_auth_kill(p);
	else if (p->role.own)
		sim_bury_worker(p);
	sim_loop_clear(&p->loop);
	for (size_t i = 0; i < SIM_SLOTS; i++) {
		struct sim_slot *s = &parent.slots[i];

		if (s->proc != p)
			continue;
		s->proc = NULL;
		s->failures = quick && !orderly ? s->failures + 1 : 0;
		sim_at(sim.now_us + (s->failures ? sim_backoff_us(s->failures) : 0) + sim_below(5 * SIM_MS), sim_spawn, s);
	}
	if (p->power)
		sim_power_cut(NULL);
}

void sim_kill(struct sim_proc *p, const char *why)
{
	sim_trace("%s is killed: %s", p->name, why);
	p->doomed = true;
	sim_bury(p);
}

/* ---- starting */

static bool sim_is_door(enum role_id a, enum role_id b)
{
	for (size_t i = 0; i < sizeof(sim_doors) / sizeof(sim_doors[0]); i++)
		if ((sim_doors[i].a == a && sim_doors[i].b == b) || (sim_doors[i].a == b && sim_doors[i].b == a))
			return true;
	return false;
}

static void sim_wire_take(void *arg)
{
	struct sim_wire *w = arg;

	w->taken = true;
	w->proc->role.ops->peer(&w->proc->role, w->peer, w->worker, w->fd);
}

static void sim_wire_arrive(void *arg)
{
	struct sim_wire *w = arg;

	if (w->taken)
		return;
	if (w->proc->ready)
		sim_ready(&w->ready);
	else
		sim_at(sim.now_us + SIM_MS, sim_wire_arrive, w);
}

static void sim_wire(struct sim_proc *p, const struct sim_proc *peer, int fd)
{
	struct sim_wire *w = sim_zalloc(sizeof(*w));

	*w = (struct sim_wire){.next = parent.wires, .proc = p, .peer = peer->id, .worker = peer->worker, .fd = fd};
	w->ready = (struct sim_ready){.fn = sim_wire_take, .arg = w, .loop = &p->loop};
	parent.wires = w;
	sim_at(sim.now_us + sim_below(5 * SIM_MS), sim_wire_arrive, w);
}

/* a log that has grown makes the next moment after the answers a checkpoint; here it counts as grown long before it is */
static void sim_grow_log(void *arg)
{
	struct store_role *s = ((struct sim_proc *)arg)->role.own;

	if (s->store && s->store->sql.wal_pages > 0 && sim_chance(sim.plan.checkpoint))
		s->store->sql.wal_pages = INT32_MAX;
}

static void sim_proc_open(void *arg)
{
	struct sim_proc *p = arg;
	struct loop_hook *grow;
	struct err err = {""};
	enum rc rc = p->role.ops->open ? p->role.ops->open(&p->role, &err) : RC_OK;

	if (rc == RC_OK && p->role.ops->ready)
		rc = p->role.ops->ready(&p->role, &err);
	if (rc != RC_OK) {
		sim_trace("%s does not start: %s", p->name, err.words);
		if (!p->doomed && p->id == ROLE_STORE && ++parent.slots[0].closed_starts > SIM_OPEN_FAILURES)
			sim_fail("the store does not open: %s", err.words);
		sim_die("it cannot start");
	}
	if (p->id != ROLE_STORE)
		return;
	parent.slots[0].closed_starts = 0;
	grow = sim_zalloc(sizeof(*grow));
	*grow = (struct loop_hook){.fn = sim_grow_log, .arg = p};
	loop_hook_add(&p->loop, LOOP_COMMIT, grow);
}

static void sim_proc_start(void *arg)
{
	struct sim_proc *p = arg;

	if (!p->alive)
		return;
	sim_enter(p, sim_proc_open, p);
	p->ready = p->alive;
	if (p->alive && p->id == ROLE_STORE)
		sim_oracle_check("the store's start");
	if (p->alive && p->loop.timer_count) /* what it armed while it was opened */
		loop_timer_at(p->loop.timers[0], p->loop.timers[0]->at);
}

static const struct role_ops *sim_ops(enum role_id id)
{
	return id == ROLE_STORE ? &role_store_ops : id == ROLE_AUTH ? &sim_auth_ops : id == ROLE_USER ? &role_user_ops : &role_mx_ops;
}

static void sim_spawn(void *arg)
{
	struct sim_slot *s = arg;
	struct sim_proc *p = sim_zalloc(sizeof(*p));
	int fds[2];

	*p = (struct sim_proc){.next = sim.procs, .id = s->id, .worker = ++parent.next_worker, .started_us = sim.now_us, .alive = true};
	(void)snprintf(p->name, sizeof(p->name), "%s/%u", role_name(p->id), p->worker);
	p->role = (struct role){.ops = sim_ops(s->id), .id = s->id, .worker = p->worker, .loop = &p->loop, .conf = sim.conf, .dir = sim.dir};
	sim_loop_init(&p->loop, p);
	for (struct sim_proc *other = sim.procs; other; other = other->next) {
		if (!other->alive || !sim_is_door(p->id, other->id))
			continue;
		sim_pair(fds);
		sim_wire(p, other, fds[0]);
		sim_wire(other, p, fds[1]);
	}
	sim.procs = p;
	s->proc = p;
	sim_trace("%s is started", p->name);
	sim_at(sim.now_us + sim_between(2 * SIM_MS, 30 * SIM_MS), sim_proc_start, p);
}

/* ---- faults that come by themselves */

static struct sim_proc *sim_any_proc(void)
{
	return parent.slots[sim_chance(400) ? 0 : sim_below(SIM_SLOTS)].proc;
}

static void sim_on_kill(void *arg)
{
	struct sim_proc *p = sim_any_proc();

	(void)arg;
	if (sim.healed)
		return;
	if (p)
		sim_kill(p, "signal 9");
	sim_at(sim_soon_us(sim.plan.kill_every_us), sim_on_kill, NULL);
}

/* mostly the whole machine; now and then only the store's disk, which is harder on the rest */
static void sim_power_cut(void *arg)
{
	bool all = !sim_chance(200);

	(void)arg;
	sim_trace("the power is cut");
	sim.power_cuts++;
	for (struct sim_proc *p = sim.procs; p; p = p->next)
		if (p->alive && (all || p->id == ROLE_STORE)) {
			p->power = false;
			sim_kill(p, "no power");
		}
	sim_disk_power_cut();
}

static void sim_on_power(void *arg)
{
	if (sim.healed)
		return;
	sim_power_cut(arg);
	sim_at(sim_soon_us(sim.plan.power_every_us), sim_on_power, NULL);
}

static void sim_on_stall(void *arg)
{
	struct sim_proc *p = sim_any_proc();

	(void)arg;
	if (sim.healed)
		return;
	if (p) {
		p->stalled_until_us = sim.now_us + sim_below(sim_chance(100) ? 40 * SIM_SECOND : 2 * SIM_SECOND);
		sim_trace("%s is stopped until %llu", p->name, (unsigned long long)p->stalled_until_us);
	}
	sim_at(sim_soon_us(sim.plan.stall_every_us), sim_on_stall, NULL);
}

static void sim_on_dark(void *arg)
{
	(void)arg;
	if (sim.healed)
		return;
	sim.net_dark_until_us = sim.now_us + sim_below(20 * SIM_SECOND);
	sim_trace("no network until %llu", (unsigned long long)sim.net_dark_until_us);
	sim_at(sim_soon_us(sim.plan.dark_every_us), sim_on_dark, NULL);
}

/* together they stay within half a day: repeats are known for a day */
static void sim_on_jump(void *arg)
{
	(void)arg;
	if (sim.healed)
		return;
	sim.wall_offset_ms = (int64_t)sim_below(10 * 3600 * 1000) - 5 * 3600 * 1000;
	sim_trace("the wall clock is set, now %lld ms off", (long long)sim.wall_offset_ms);
	sim_at(sim_soon_us(sim.plan.jump_every_us), sim_on_jump, NULL);
}

static void sim_on_room(void *arg)
{
	(void)arg;
	sim_disk_full(false);
}

static void sim_on_full(void *arg)
{
	(void)arg;
	if (sim.healed)
		return;
	sim_trace("the disk is full");
	sim_disk_full(true);
	sim_at(sim.now_us + sim_below(5 * SIM_SECOND), sim_on_room, NULL);
	sim_at(sim_soon_us(sim.plan.full_every_us), sim_on_full, NULL);
}

static void sim_drain_now(void *arg)
{
	struct sim_proc *p = arg;

	p->role.draining = true;
	p->role.ops->drain(&p->role, true);
}

static void sim_drain_later(void *arg)
{
	struct sim_proc *p = arg;

	p->role.draining = true;
	p->role.ops->drain(&p->role, false);
}

static void sim_on_grace(void *arg)
{
	struct sim_proc *p = arg;

	if (p->alive)
		sim_kill(p, "its time to drain is over");
}

static void sim_on_drain(void *arg)
{
	struct sim_slot *s = &parent.slots[sim_below(SIM_SLOTS)];
	struct sim_proc *p = s->proc;
	struct sim_ready *r;

	(void)arg;
	if (sim.healed)
		return;
	if (p && p->ready && p->role.ops->drain) {
		sim_trace("%s is told to end", p->name);
		r = sim_zalloc(sizeof(*r));
		*r = (struct sim_ready){.fn = sim_chance(500) ? sim_drain_now : sim_drain_later, .arg = p, .loop = &p->loop};
		sim_ready(r);
		if (p->id != ROLE_STORE) { /* the next generation takes over at once */
			s->proc = NULL;
			sim_at(sim.now_us + sim_below(SIM_MS), sim_spawn, s);
			sim_at(sim.now_us + (uint64_t)SIM_GRACE_S * SIM_SECOND, sim_on_grace, p);
		}
	}
	sim_at(sim_soon_us(sim.plan.drain_every_us), sim_on_drain, NULL);
}

/* ---- one seed */

void sim_proc_begin(void)
{
	static const enum role_id ids[SIM_SLOTS] = {ROLE_STORE, ROLE_AUTH, ROLE_MX, ROLE_MX, ROLE_USER};
	const struct {
		uint64_t every_us;
		void (*fn)(void *arg);
	} faults[] = {{sim.plan.kill_every_us, sim_on_kill}, {sim.plan.power_every_us, sim_on_power}, {sim.plan.stall_every_us, sim_on_stall},
		{sim.plan.dark_every_us, sim_on_dark}, {sim.plan.jump_every_us, sim_on_jump}, {sim.plan.full_every_us, sim_on_full},
		{sim.plan.drain_every_us, sim_on_drain}};

	parent.wires = NULL;
	parent.next_worker = 0;
	parent.auth_deaths = 0;
	for (size_t i = 0; i < SIM_SLOTS; i++) {
		parent.slots[i] = (struct sim_slot){.id = ids[i]};
		sim_spawn(&parent.slots[i]);
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (faults[i].every_us)
			sim_at(sim_soon_us(faults[i].every_us), faults[i].fn, NULL);
}

void sim_proc_heal(void)
{
	sim_disk_full(false);
	sim.net_dark_until_us = 0;
	for (struct sim_proc *p = sim.procs; p; p = p->next)
		p->stalled_until_us = 0;
}

void sim_proc_end(void)
{
	for (struct sim_proc *p = sim.procs; p; p = p->next)
		if (p->alive) {
			p->doomed = true;
			p->power = false;
			sim_bury(p);
		}
}

void sim_proc_power_cut(void)
{
	for (struct sim_proc *p = sim.procs; p; p = p->next)
		if (p->alive)
			sim_kill(p, "no power");
	sim_disk_power_cut();
}

struct sim_proc *sim_proc_serving(enum role_id id)
{
	struct sim_proc *found = NULL;
	unsigned n = 0;

	for (struct sim_proc *p = sim.procs; p; p = p->next)
		if (p->id == id && p->alive && p->ready && !p->role.draining && sim_below(++n) == 0)
			found = p;
	return found;
}

struct store *sim_store(void)
{
	struct sim_proc *p = parent.slots[0].proc;

	return p && p->ready ? ((struct store_role *)p->role.own)->store : NULL;
}

/* A grant of an auth process that died at once may reach the store when its session is over and told so: it stays until that worker ends, and opens
 * nothing. One for each such death is let pass. */
const char *sim_proc_left(void)
{
	struct store_role *s;
	size_t grants = 0;

	if (!sim_store())
		return "the store is not there";
	s = parent.slots[0].proc->role.own;
	for (struct sim_proc *p = sim.procs; p; p = p->next) {
		const struct worker *w = p->role.own;

		if (!p->alive || p->id == ROLE_STORE || p->id == ROLE_AUTH || !w)
			continue;
		if (w->session_count || w->by_id.count)
			return "a session";
		if (w->questions.count)
			return "a question without an answer";
		if (w->addresses.count)
			return "a count of connections";
	}
	for (struct store_peer *peer = s->peers; peer; peer = peer->next) {
		grants += peer->grants.count;
		if (peer->job_count || peer->spools.count)
			return "a reading or a lent file";
	}
	if (grants > parent.auth_deaths)
		return "a grant";
	return s->mailboxes.count ? "a lock on a mailbox" : s->held_count ? "an answer held back" : NULL;
}

bool sim_proc_quiet(void)
{
	return sim_proc_left() == NULL;
}

/* ---- what role.c, tls_server.c and tls_memory.c give the roles */

void role_done(struct role *r)
{
	loop_stop(r->loop, 0);
}

const char *role_dir_name(enum role_id id)
{
	(void)id;
	return "store";
}

enum rc tls_server_new(const struct conf *conf, tls_server_signer *sign, void *arg, struct tls_server **out, struct err *err)
{
	(void)conf, (void)sign, (void)arg, (void)err;
	*out = NULL;
	return RC_OK;
}

enum rc tls_memory_wipe(struct err *err)
{
	(void)err;
	return RC_OK;
}

SSL_CTX *tls_server_ctx(const struct tls_server *t, unsigned certificate)
{
	(void)t, (void)certificate;
	return NULL;
}

void tls_server_binding(SSL *ssl, struct buf *exporter_out, struct buf *unique_out)
{
	(void)ssl, (void)exporter_out, (void)unique_out;
}
