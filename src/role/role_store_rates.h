/* role_store_rates - the counters of the store role: what accounts, addresses and networks sent and mailboxes got, held against the configuration's limits.
 * Says which limit is used up in the words of a reply; saves its counts and loads them. The counting itself is policy/rate.h, what there is to count
 * role/rate_kind.h.
 *
 * Counts are saved once a second and when the store ends, so a crash forgets a second of them (more where over ROLE_RATES_SAVE keys change a second: those that
 * changed first go first). Addresses of strangers are saved only from a quarter of a limit on, and have a table of their own, so that a million of them push
 * nobody else's counts out. Within a run, and over restarts of the program, only the monotonic clock counts. Where the machine was started anew the wall clock
 * says how long ago a count was saved; if it jumps later what was left out is looked at again, and nothing is removed before it went evenly for an hour. */
#ifndef MAILROOM_ROLE_ROLE_STORE_RATES_H
#define MAILROOM_ROLE_ROLE_STORE_RATES_H

#include "conf/conf.h"
#include "store/store_rate.h"

enum {
	ROLE_RATES_ENTRIES = 65536,          /* in each of two tables; 14 MB when full */
	ROLE_RATES_SAVE = 1024,              /* keys in one transaction */
	ROLE_RATES_SAVE_MS = 1000,
	ROLE_RATES_ROWS = 2 * ROLE_RATES_ENTRIES, /* kept of one kind */
};

struct role_rates;
struct role_rates *role_rates_new(void); /* before the walls: reads which start of the machine this is */
void role_rates_free(struct role_rates **r);
/* what was saved; counters that are there already stay */
enum rc role_rates_load(struct role_rates *r, struct store *s, struct err *err) RC_WARN;
/* Writes what changed, at most ROLE_RATES_SAVE keys, in a transaction of its own (none may be open). *more_out: there is more */
enum rc role_rates_save(struct role_rates *r, struct store *s, const struct conf *conf, bool *more_out, struct err *err) RC_WARN;
/* Now and then: looks again after a jump of the wall clock, removes what is of no use any more. */
enum rc role_rates_tidy(struct role_rates *r, struct store *s, struct err *err) RC_WARN;
/* What the command line asked to be forgotten is; `address` (NULL: nobody) hears of addresses, which workers count too. */
enum rc role_rates_resets(struct role_rates *r, struct store *s, void (*address)(void *arg, struct span key), void *arg, struct err *err) RC_WARN;

/* on whose count a message goes: an account, else a network, else the address */
struct role_rates_who {
	int64_t account;                     /* 0: nobody signed in */
	struct span message_rates, rcpt_rates; /* of the account, as conf_rates_parse reads them; "": the configuration's */
	const struct conf_network *network;  /* NULL: none */
	struct span peer;
};
struct role_rates_said {
	enum cause_id cause;                 /* CAUSE_NONE: within all limits */
	char limit[64], retry[64];           /* "500 messages an hour", "12 min" */
};

/* Would one more message be within the limits? Counts nothing. conf: of the worker that asks. */
void role_rates_mail(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, struct role_rates_said *out);
/* One more recipient, with `others` in the same transaction? tag: what store_resolve gave for a local one (its mailbox may get too much), 0: for elsewhere */
void role_rates_rcpt(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, uint32_t others, uint64_t tag, struct role_rates_said *out);
/* The message is about to be accepted for so many recipients: refuses, or counts it. tags: of the recipients */
void role_rates_accept(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, const struct store_rcpt *rcpts, uint32_t rcpt_count,
	struct role_rates_said *out);
/* it was not accepted after all (or was a repeat): takes the count back */
void role_rates_refused(struct role_rates *r, const struct conf *conf, const struct role_rates_who *who, const struct store_rcpt *rcpts, uint32_t rcpt_count);

#endif
