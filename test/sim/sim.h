/* sim - the whole mail path on one thread, driven by a seed: the real workers, sessions, engines, store role, store and SQLite, with clock, random numbers,
 * event loop, channels, connections and disk replaced by simulated ones that implement the same headers. Whatever happens follows from the seed.
 *
 * Not simulated: TLS, the real auth and keys roles, seccomp. Files of the store that are not the database (spool/, bodies/) are real ones in a temporary
 * directory: so messages stay small enough to travel inside their frame, and crashes of those files are test/crash's business. */
#ifndef MAILROOM_SIM_H
#define MAILROOM_SIM_H

#include "base/buf.h"
#include "role/role.h"
#include "role/worker.h"

/* ---- time, chance, what is to happen (sim_time.c) */

#define SIM_NEVER UINT64_MAX
enum { SIM_MS = 1000, SIM_SECOND = 1000 * 1000 };

/* faults planted through the simulator, so that a test can see that the oracle notices */
enum sim_break { SIM_BREAK_NONE, SIM_BREAK_SYNC_LIES, SIM_BREAK_DROP_FRAME, SIM_BREAK_FLIP_BIT, SIM_BREAK_COUNT };

/* which faults a seed plays, and how often: drawn anew for each, so that some seeds are calm in one way and wild in another. per_mille unless said */
struct sim_plan {
	uint64_t active_us;           /* how long faults and new mail go on */
	uint64_t frame_delay_us;      /* at most */
	uint64_t net_delay_us;        /* at most, a segment */
	uint64_t kill_every_us;       /* mean time between deaths of processes; 0: none */
	uint64_t power_every_us;      /* mean time between power cuts; 0: none */
	uint64_t drain_every_us;      /* mean time between orderly ends of a process; 0: none */
	uint64_t stall_every_us;      /* mean time between SIGSTOPs; 0: none */
	uint64_t dark_every_us;       /* mean time between times without a network; 0: none */
	uint64_t jump_every_us;       /* mean time between jumps of the wall clock; 0: none */
	uint64_t full_every_us;       /* mean time between full disks; 0: none */
	unsigned reset, half_close, vanish, slow_reader, cut, impatient; /* connections */
	unsigned crash_call;          /* a write or sync of the disk at which the store dies */
	unsigned crash_hook;          /* a turn's end at which a process dies */
	unsigned sync_eio, write_eio;
	unsigned checkpoint;          /* a turn of the store that makes the log look full */
	bool gate;                    /* a failed sync forgets that the pages were dirty, as Linux does */
	unsigned senders, mails, readers;
};

struct sim_event {
	uint64_t at_us, seq;
	void (*fn)(void *arg);
	void *arg;
};

struct sim_proc;
struct sim_conn;
struct sim_end;
struct sim_block;

struct sim {
	uint64_t seed, now_us, begin_us, rng, role_rng, trace_hash, trace_lines;
	int64_t wall_offset_ms;
	struct sim_plan plan;
	struct sim_event *heap;
	size_t heap_count, heap_size;
	uint64_t next_seq;
	struct sim_block *blocks;   /* memory that lives as long as the seed */
	struct sim_proc *procs;     /* of all times */
	struct sim_proc *current;   /* whose turn it is */
	struct sim_conn *conns;
	struct sim_end **ends;
	size_t end_count, end_size;
	uint64_t net_dark_until_us;
	const struct conf *conf;
	const char *dir;            /* real directory with bodies/ and spool/ */
	enum sim_break broken;
	uint64_t deaths, power_cuts;
	bool verbose, failed, healed;
	char why[600];
};
extern struct sim sim;

uint64_t sim_rand(void);
uint64_t sim_below(uint64_t n);                    /* 0..n-1 */
uint64_t sim_between(uint64_t least, uint64_t most);
bool sim_chance(unsigned per_mille);
uint64_t sim_soon_us(uint64_t mean_us);            /* a time from now, spread around the mean */
void sim_at(uint64_t at_us, void (*fn)(void *arg), void *arg);
bool sim_run_one(void);                            /* the next event; false: none left */
uint64_t sim_next_us(void);
void *sim_zalloc(size_t bytes);                    /* until the end of the seed */
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* the first one counts */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_time_begin(uint64_t seed);
void sim_time_end(void);

/* ---- loop (sim_loop.c) */

struct sim_ready {
	void (*fn)(void *arg);
	void *arg;
	struct loop *loop;
	bool queued;
};
void sim_loop_init(struct loop *l, struct sim_proc *p);
void sim_loop_clear(struct loop *l);
/* runs r->fn in the loop's next turn, in any order with others */
void sim_ready(struct sim_ready *r);
void sim_ready_drop(struct sim_ready *r);

struct loop_hooks {
	struct loop_hook *first, **tail, *cursor;
};
struct loop {
	struct sim_proc *proc;
	struct loop_hooks hooks[LOOP_ORDER_COUNT], soon, running_soon;
	struct loop_timer **timers;
	size_t timer_count, timer_size;
	struct sim_ready **ready, **running;
	size_t ready_count, ready_size, running_count;
	uint64_t turn_us;
	mono_ms now;
	bool now_known, stopping;
};

/* ---- channels (sim_chan.c) */

/* a socket pair; returns two numbers that chan_new takes for descriptors */
void sim_pair(int fds_out[2]);
/* the end was never taken: its process is dead */
void sim_end_close(int fd);
void sim_chan_kill(struct sim_proc *p);
void sim_chan_end(void);

/* ---- connections (sim_stream.c) */

struct sim_client_ops {
	void (*on_bytes)(void *arg, struct span bytes);
	void (*on_closed)(void *arg, bool reset);
};
/* a client connects to one of the workers of `role`, listener `listener`; bytes may be sent at once */
struct sim_conn *sim_connect(enum role_id role, unsigned listener, const char *peer, uint64_t key, const struct sim_client_ops *ops, void *arg);
void sim_conn_send(struct sim_conn *c, struct span bytes);
void sim_conn_shutdown(struct sim_conn *c); /* our FIN; replies are still read */
void sim_conn_reset(struct sim_conn *c);    /* both sides learn of it; no more callbacks */
void sim_conn_vanish(struct sim_conn *c);   /* the client is gone and the server is not told; no more callbacks */
bool sim_conn_open(const struct sim_conn *c);
void sim_stream_kill(struct sim_proc *p);
void sim_stream_end(void);

/* ---- disk (sim_disk.c) */

void sim_disk_register(void);          /* once a program: becomes SQLite's "unix" */
void sim_disk_keep_base(void);         /* what is there now is what every seed starts with */
void sim_disk_begin(void);
void sim_disk_end(void);
void sim_disk_cut_off(void);           /* the process that has it open is dead: its handles fail from now on */
void sim_disk_power_cut(void);         /* what was not synced may be gone */
void sim_disk_full(bool full);

/* ---- processes (sim_proc.c) and the auth role's stand-in (sim_auth.c) */

struct sim_proc {
	struct sim_proc *next;
	enum role_id id;
	uint32_t worker;
	char name[24];
	struct role role;
	struct loop loop;
	struct stream *streams;     /* of this process */
	struct chan *chans;
	uint64_t started_us, stalled_until_us;
	bool alive, ready, doomed, power, done;
};
/* the process dies here; called within its turn, does not return */
_Noreturn void sim_die(const char *why);
/* it may, by chance, die between two things that a turn's end does */
void sim_crash_point(void);
/* the disk let it die: nothing it does from now on counts */
void sim_doom(bool power, const char *why);
/* runs fn inside a turn of p, at whose end it may turn out to be dead */
void sim_enter(struct sim_proc *p, void (*fn)(void *arg), void *arg);
void sim_kill(struct sim_proc *p, const char *why);
void sim_proc_begin(void);
void sim_proc_heal(void);
void sim_proc_end(void);
void sim_proc_power_cut(void);                      /* everything dies, what was not synced may be gone */
struct sim_proc *sim_proc_serving(enum role_id id); /* one of them, by chance; NULL: none now */
struct store *sim_store(void);                      /* of the store process; NULL: none now */
bool sim_proc_quiet(void);                          /* no sessions, questions, grants or locks are left */
const char *sim_proc_left(void);                    /* what is; NULL: nothing */
extern const struct role_ops sim_auth_ops;
void sim_auth_kill(struct sim_proc *p);

/* ---- what was sent, what is held (sim_oracle.c) */

enum { SIM_MAILBOXES = 4, SIM_RCPTS_MAX = 3, SIM_MAILS_MAX = 512, SIM_ADDRESSES = 8 };
enum sim_rcpt_state { SIM_RCPT_PENDING, SIM_RCPT_ACKED, SIM_RCPT_BOUNCED };
struct sim_mail {
	unsigned number;
	unsigned sender;
	struct span text;           /* as the client has it, CRLF lines, dots not stuffed */
	unsigned rcpts[SIM_RCPTS_MAX]; /* indexes of sim_addresses */
	enum sim_rcpt_state state[SIM_RCPTS_MAX];
	unsigned rcpt_count;
	uint64_t next_try_us;
	bool busy;
	struct {
		bool may;               /* an attempt was sent whole: it may be held */
		bool acked;             /* the client saw 250 */
		bool doubt;             /* its deletion was asked for and not answered */
		bool deleted;           /* ... and answered */
		uint64_t acked_us;
	} box[SIM_MAILBOXES];
};
/* which mailboxes an address reaches (bits); 0: nobody */
extern const struct sim_address { const char *text; unsigned boxes; } sim_addresses[SIM_ADDRESSES];
extern const char *const sim_mailboxes[SIM_MAILBOXES]; /* account i+1 */

struct sim_mail *sim_mail_new(unsigned sender, uint64_t at_us);
void sim_mail_sent(struct sim_mail *m, unsigned rcpt);  /* the end of the text is on the wire */
void sim_mail_acked(struct sim_mail *m, unsigned rcpt);
struct sim_mail *sim_mail_of(unsigned sender, bool due_only); /* one with work left; NULL: none */
bool sim_mail_all_done(void);
unsigned sim_oracle_acked(void);                        /* messages with a 250 for some recipient */
/* what a reader got: the mail that it is (NULL: the seed has failed) */
struct sim_mail *sim_mail_read(unsigned box, struct span text);
struct sim_mail *sim_mail_number(unsigned number);
void sim_oracle_check(const char *when);
void sim_oracle_prepare(const char *dir);               /* domain, accounts and aliases */
void sim_oracle_begin(void);
void sim_oracle_end(void);

/* ---- clients (sim_smtp.c, sim_pop3.c) */

void sim_smtp_begin(void);
void sim_pop3_begin(void);
void sim_smtp_end(void);
void sim_pop3_end(void);
bool sim_pop3_idle(void);
bool sim_smtp_idle(void);
/* cuts one line with its CRLF off what came; false: not whole yet. Fails the seed where no line may be so long or end so */
bool sim_line_take(struct buf *in, char *line_out, size_t line_size);

/* ---- one seed (sim_seed.c) */

struct sim_result {
	bool passed;
	uint64_t hash, simulated_us, messages, deaths, power_cuts;
	char why[600];
};
void sim_seed_prepare(void); /* once a program */
void sim_seed_run(uint64_t seed, enum sim_break broken, double hours, bool verbose, struct sim_result *out);

#endif
