/* relay - the parts of the relay role, which takes mail out of the queue to other servers. Used inside src/role/relay_*.c and role_relay.c only.
 *
 *   relay_domain   a destination as the store names it (a recipient domain, ">NAME"): how many of its rows are here, what the store was told of it
 *   relay_dest     a next hop, where one or many of them go: hosts, pace, connections, jobs that wait
 *   relay_job      a lease: rows of one message for one destination, on its way through one transaction or several
 *   relay_conn     a connection, from the choice of an address to its end
 *   relay_text     the bytes of a message, fetched from the store, shared by the jobs of that message
 *   relay_report   what became of rows, to the store and the log
 *
 * What happens in a turn of the loop is gathered: next hops that have something to do are looked at once at its end (LOOP_COMMIT), after them the results
 * leave in one frame. Nothing is ever given up because the store is gone: what is under way goes on, and its results are told to the next store. */
#ifndef MAILROOM_ROLE_RELAY_H
#define MAILROOM_ROLE_RELAY_H

#include "base/arena.h"
#include "base/limits.h"
#include "base/map.h"
#include "ipc/chan.h"
#include "loop/stream.h"
#include "policy/pace.h"
#include "policy/retry.h"
#include "proto/smtp/smtp_out.h"
#include "role/names.h"
#include "role/relay_route.h"
#include "role/relay_tls.h"
#include "role/role.h"

enum {
	RELAY_ROOM_MS = 30000,      /* how often the store hears of our room */
	RELAY_LINGER_MS = 5000,     /* for a QUIT and its answer */
	RELAY_STALE_MAX = 16,       /* kept connections that turn out to be closed, for one job: there may be as many as there are kept */
	RELAY_TRIES_MAX = 20,       /* transactions in a row that come to nothing for one job */
	RELAY_FAR_MAX = 64,         /* waiting jobs that are looked at for one that fits a connection */
};

struct relay_dest;
struct relay_conn;
struct relay_lookup;
struct relay_text;
struct relay_auth;
struct relay_report;
struct relay_sign;
struct relay_signer;

struct relay {
	struct role *role;
	struct loop *loop;
	const struct conf *conf;
	struct chan *store, *keys;
	struct names *names;
	struct relay_tls *tls;
	struct relay_self self;
	struct smtp_out_rules smtp;
	struct map domains;                 /* hash of its name -> struct relay_domain */
	struct relay_domain *oldest, *newest; /* in the order of their last use */
	size_t domain_count;
	struct map dests;                   /* hash of kind and key -> struct relay_dest */
	struct map texts;                   /* message -> struct relay_text */
	struct map asks;                    /* number -> what waits for bytes of a message */
	struct map secrets;                 /* number -> connection that waits for a password */
	struct relay_text *text_waiting, **text_waiting_tail; /* wanted, but not asked for yet: there is no room */
	size_t text_bytes;                  /* fetched or asked for */
	uint32_t next_ask;
	struct relay_dest *hungry, **hungry_tail; /* want a connection, and there are too many */
	struct relay_conn *conns;           /* all of them */
	uint32_t conn_count, probe_count;   /* probes: to next hops of which nobody knows whether they answer */
	uint32_t idle_count;
	struct relay_job *jobs;             /* all of them */
	size_t row_count;
	struct relay_report *report;
	struct relay_signer *signer;
	struct loop_timer room;
	struct loop_timer grace;            /* of a drain at once */
	struct loop_hook gone;              /* a drain may be over */
	bool draining, drain_now;
};

/* ---- what went wrong, or right; spans are the caller's */
struct relay_outcome {
	enum delivery_outcome outcome;
	enum cause_id cause;
	unsigned code;
	unsigned sure;                      /* of the cause, in percent */
	bool dsn_passed;
	struct span enhanced, host, address, tls, words;
	uint64_t again_ms;
};

/* an outcome that is kept */
struct relay_failure {
	enum delivery_outcome outcome;
	enum cause_id cause;
	enum pace_event pace;               /* what it says of the pace */
	unsigned code, sure;
	char enhanced[12], host[LIMIT_DOMAIN_BYTES + 1], address[64], tls[128], words[SMTP_OUT_WORDS_BYTES + 12];
};
void relay_failure_outcome(const struct relay_failure *f, struct relay_outcome *out);
struct relay_verdict;
void relay_failure_of(struct relay_failure *out, const struct relay_conn *c, const struct smtp_out_result *r, const struct relay_verdict *v);
/* copies text, cut to size */
void relay_copy(char *to, size_t size, struct span text);

/* ---- relay_domain.c */
struct relay_domain {
	struct relay_dest *dest;
	struct relay_domain *next;          /* of the same next hop */
	struct relay_domain *older, *newer;
	char *name;
	uint64_t hash;
	uint32_t rows;                      /* here */
	uint32_t window;                    /* as the store was told; 0: it was not */
	bool blocked;                       /* as the store was told */
};
/* the destination of that name; made where there is none */
struct relay_domain *relay_domain_get(struct relay *r, struct span name);
void relay_domain_rows(struct relay_domain *m, int32_t by); /* rows came or went */
void relay_domain_window(struct relay_domain *m);            /* tells the store how many it may give, where that is worth a frame */
bool relay_domain_window_alike(uint32_t was, uint32_t now);  /* not worth one */

/* ---- relay_dest.c */
/* the addresses of a next hop as they were found at one time; kept while a connection uses them */
struct relay_hosts {
	unsigned refs;
	struct relay_tls_dest *plan;
	bool mx_secure;                     /* DNSSEC: the names of the hosts */
	struct relay_host host[LIMIT_RELAY_HOSTS];
	struct { struct span canonical; bool secure; } more[LIMIT_RELAY_HOSTS]; /* by host: where its aliases led (owned); DNSSEC says that it is one */
	size_t host_count;
	struct relay_address at[LIMIT_RELAY_ADDRESSES];
	size_t count;
	mono_ms until;                      /* then they are looked up anew */
};
void relay_hosts_put(struct relay_hosts **h);

struct relay_dest {
	struct relay *relay;
	struct relay_way way;
	char *key;                          /* owns way.key */
	uint64_t hash;
	struct relay_domain *domains;
	uint32_t active;                    /* ... of them that have rows here */
	struct pace_rules rules;
	struct pace pace;
	uint32_t window;                    /* of the pace, when the destinations were last looked at */
	struct relay_hosts *hosts;          /* NULL: not known */
	struct relay_lookup *lookup;        /* NULL: none under way */
	struct relay_job *jobs, **jobs_tail; /* that wait, the oldest first */
	uint32_t job_count;
	struct relay_conn *conns;
	uint32_t conn_count;                /* usable or on their way there */
	uint32_t opening, idle;             /* ... of them */
	bool proven;                        /* it answered, and nothing has said otherwise since */
	mono_ms down_since, down_until;     /* until 0: it is not down */
	mono_ms enough_until;               /* no connection more until then */
	uint32_t failures;                  /* to reach it, in a row */
	struct relay_failure *why;          /* the last of them */
	struct loop_timer timer;            /* pace */
	struct loop_hook pump;
	bool hungry;
	struct relay_dest *next_hungry;
};
/* where mail for a destination of that name goes; made where there is none */
struct relay_dest *relay_dest_get(struct relay *r, struct span name);
void relay_dest_free(struct relay_dest *d);                  /* it has neither destinations nor connections any more */
void relay_dest_wake(struct relay_dest *d);                  /* something changed: it is looked at at the end of the turn */
void relay_dest_add(struct relay_dest *d, struct relay_job *j, bool first);
void relay_dest_remove(struct relay_dest *d, struct relay_job *j);
/* the next job that this connection may take, taken off; NULL: none, or none now */
struct relay_job *relay_dest_next(struct relay_dest *d, const struct relay_conn *c);
void relay_dest_looked_up(struct relay_dest *d, struct relay_hosts *found_or_null, const struct relay_failure *why);
/* a connection stands ready for the first time */
void relay_dest_reached(struct relay_dest *d);
/* no address of it could be used */
void relay_dest_unreachable(struct relay_dest *d, const struct relay_failure *why);
/* None of its addresses h but those in `others` could be used, and these are well: jobs that have no use for them are over, the next hop is not down */
void relay_dest_rest_failed(struct relay_dest *d, const struct relay_hosts *h, uint32_t others, const struct relay_failure *why);
void relay_dest_pace(struct relay_dest *d, enum pace_event e);
void relay_dest_hungry(struct relay *r); /* there is room for a connection: who has waited longest? */
const char *relay_way_name(const struct relay_way *w);

/* ---- relay_lookup.c: hosts and addresses of d; relay_dest_looked_up follows, never inside the call */
struct relay_lookup *relay_lookup_new(struct relay_dest *d);
void relay_lookup_free(struct relay_lookup **l);

/* ---- relay_job.c */
struct relay_rcpt {
	uint64_t row;
	uint32_t attempts;
	unsigned notify;
	struct span address, orcpt;
	bool done;                          /* reported */
};

struct relay_job {
	struct relay *relay;
	struct relay_domain *domain;
	struct relay_job *next_all, **prev_all;
	struct relay_job *next, **prev;     /* among those that wait; prev NULL: it does not */
	struct arena mem;
	uint64_t lease, message, bytes, received_ms;
	bool probe, smtputf8, body_8bit, body_binary, requiretls;
	unsigned ret;
	struct span sender, envid;
	struct relay_rcpt *rcpts;
	size_t count, left;
	struct relay_text *text;
	struct relay_conn *conn;            /* whose transaction it is in */
	uint32_t tried;                     /* addresses of tried_of that came to nothing for it */
	const struct relay_hosts *tried_of; /* only compared */
	bool signed_up;                     /* it may go */
	uint8_t tries, stale;
	struct relay_failure *later;        /* the last address that said so; NULL: none yet */
};
/* a lease came; RC_BAD: it makes no sense, drop the store */
enum rc relay_job_new(struct relay *r, const struct msg_lease *m) RC_WARN;
/* the addresses among these that are of no use to it any more */
uint32_t relay_job_tried(const struct relay_job *j, const struct relay_hosts *h);
/* Begins a transaction on a connection that is READY. Where that one cannot take it the connection stays READY, and the job looks for another or is over. */
void relay_job_begin(struct relay_job *j, struct relay_conn *c);
/* the connection wants bytes of the message; false: there are none now, or the end was given */
bool relay_job_feed(struct relay_conn *c);
/* SMTP_OUT_DONE: reads the results; the job goes on elsewhere, or is over */
void relay_job_done(struct relay_conn *c);
/* the connection is given up from our side while the transaction is under way; nothing of it was taken */
void relay_job_dropped(struct relay_conn *c);
void relay_job_fail(struct relay_job *j, const struct relay_failure *why); /* all rows that are left; frees it */
void relay_job_return(struct relay_job *j);                               /* ... not tried; frees it */
void relay_job_free(struct relay_job **j);
void relay_jobs_drain(struct relay *r);       /* all that are in no transaction go back */

/* ---- relay_conn.c, relay_talk.c */
enum relay_conn_state { RELAY_CONN_PLAN, RELAY_CONN_CONNECT, RELAY_CONN_TLS, RELAY_CONN_TALK, RELAY_CONN_READY, RELAY_CONN_BUSY,
	RELAY_CONN_QUIT, RELAY_CONN_OVER };
struct relay_transaction {
	struct smtp_out_rcpt *rcpts;
	uint32_t *index;                    /* into the job's */
	size_t count;
	struct smtp_out_mail mail;
	mono_ms began_ms;
	struct relay_reader *reader;
	size_t front_at;                    /* bytes of the front lines that were given */
	bool ended;                         /* all bytes were given */
};
struct relay_conn {
	struct relay *relay;
	struct relay_dest *dest;
	struct relay_conn *next_all, **prev_all, *next, **prev;
	struct relay_hosts *hosts;          /* its own hold on them */
	int at;                             /* number of the address; -1: none chosen */
	uint32_t tried, left_out;           /* on the way to this one; of these, not at all */
	bool clear;                         /* TLS came to nothing, this time without */
	bool probe, counted;                /* counted: in its next hop's numbers */
	enum relay_conn_state state;
	struct stream *stream;
	struct smtp_out *smtp;
	struct relay_auth *auth;
	struct relay_tls_state tls;
	char address[64], tls_words[128];
	struct loop_timer timer;
	struct loop_hook soon;
	mono_ms deadline;                   /* of our own; MONO_NEVER: none */
	uint32_t messages;
	bool inside, again;
	bool waits_tls;                     /* for the plan of its address */
	struct relay_job *job;
	struct relay_transaction t;
	struct relay_failure why;
};
void relay_conn_open(struct relay_dest *d, uint32_t exclude);
void relay_conn_step(struct relay_conn *c);
void relay_conn_set_state(struct relay_conn *c, enum relay_conn_state state);
struct span relay_conn_host(const struct relay_conn *c);
void relay_conn_quit(struct relay_conn *c);
/* it is of no use any more; before it was READY its next hop hears of it (c->why) */
void relay_conn_failed(struct relay_conn *c);
/* this address is of no use (c->why; before: what it was until then): the next one, or as above */
void relay_conn_try_next(struct relay_conn *c, const struct relay_failure *before);
void relay_conn_again_clear(struct relay_conn *c); /* the same address without TLS */
enum rc relay_conn_begin_tls(struct relay_conn *c) RC_WARN; /* RC_OK: on_tls follows */
void relay_conn_close(struct relay_conn *c); /* at once */
bool relay_conn_drop_idle(struct relay *r);  /* the one that has been idle longest; false: none is */
void relay_conns_drain(struct relay *r, bool now);
void relay_conns_free(struct relay *r);
/* relay_talk.c: what the engine wants */
void relay_talk_run(struct relay_conn *c);
void relay_talk_tls(struct relay_conn *c, bool ok, const char *why);

/* ---- relay_auth.c: signing in at a smarthost */
enum rc relay_auth_open(struct err *err) RC_WARN;
void relay_auth_begin(struct relay_conn *c);  /* SMTP_OUT_AUTH */
void relay_auth_step(struct relay_conn *c);   /* SMTP_OUT_AUTH_STEP */
void relay_auth_free(struct relay_auth **a);
enum rc relay_auth_on_secret(struct relay *r, const struct msg_secret *m) RC_WARN;
void relay_auth_keys(struct relay *r);        /* a channel to keys is there (again) */

/* ---- relay_text.c */
struct relay_text {
	struct relay *relay;
	uint64_t message, bytes;
	unsigned refs, readers;
	struct buf whole;                   /* small ones */
	struct buf front;                   /* header lines that go out before it (DKIM-Signature) */
	struct relay_sign *sign;            /* relay_sign.c: being signed */
	bool signed_up;                     /* ... it was, as far as it can be */
	bool ready;                         /* `whole` is complete */
	enum cause_id cause;                /* it cannot be had */
	uint32_t ask;                       /* under way; 0: none */
	struct relay_reader *waiting;       /* for `whole` */
	struct relay_text *next_waiting;
	bool queued;
};
struct relay_reader {
	struct relay_text *text;
	struct relay_reader *next;          /* waiting for the whole */
	uint64_t at, asked;                 /* bytes taken; bytes asked for */
	struct buf chunk;                   /* large ones: from `at` on */
	uint32_t ask;
	enum cause_id cause;
	void (*ready)(void *arg);           /* there is more, or it failed */
	void *arg;
};
struct relay_text *relay_text_get(struct relay *r, uint64_t message, uint64_t bytes);
void relay_text_put(struct relay_text **t);
struct relay_reader *relay_reader_new(struct relay_text *t, void (*ready)(void *arg), void *arg);
void relay_reader_free(struct relay_reader **r);
/* bytes from where it stands; empty: wait for `ready`, or it is at the end, or failed (cause) */
struct span relay_reader_peek(struct relay_reader *r);
void relay_reader_take(struct relay_reader *r, size_t n);
static inline bool relay_reader_ended(const struct relay_reader *r) { return r->at >= r->text->bytes; }
enum rc relay_text_on_text(struct relay *r, const struct msg_text_is *m) RC_WARN;
void relay_texts_again(struct relay *r);      /* a new store: what is under way is asked for again */

/* ---- relay_report.c */
struct relay_report *relay_report_new(struct relay *r);
void relay_report_free(struct relay_report **p);
/* one row is settled: marks it, logs it, tells the store at the end of the turn */
void relay_report_row(struct relay_job *j, struct relay_rcpt *rcpt, const struct relay_outcome *o, uint64_t ms);
void relay_report_dest(struct relay_domain *d, uint64_t blocked_ms, const struct relay_failure *why_or_null);
void relay_report_store(struct relay *r);     /* a new store: what is held, what was not confirmed, how much room there is */
enum rc relay_report_kept(struct relay *r, uint32_t frames) RC_WARN;
bool relay_report_told(const struct relay *r); /* nothing is left to be told */

/* ---- role_relay.c */
/* a number that nothing waits under yet; 0 never */
uint32_t relay_ask(struct relay *r);
void relay_maybe_done(struct relay *r);

#endif
