/* rate_kind - what is counted, once: for each kind whose it is, what is counted, the setting that limits it and the causes that say so. Roles count and
 * refuse by this table, and `mailroom limit` shows by it. Also how keys are written: an account's number, a mailbox's tag, a network's title, an address. */
#ifndef MAILROOM_ROLE_RATE_KIND_H
#define MAILROOM_ROLE_RATE_KIND_H

#include "cause/cause.h"
#include "conf/conf.h"
#include "policy/rate.h"

/* numbers as in the database: never given to anything else */
enum rate_kind_id {
	RATE_ACCOUNT_MESSAGES = 1, RATE_ACCOUNT_RCPTS, RATE_ADDRESS_MESSAGES, RATE_ADDRESS_RCPTS, RATE_NETWORK_MESSAGES, RATE_NETWORK_RCPTS, RATE_MAILBOX_MESSAGES,
	RATE_ABUSE_FIRST = 16, /* counted by workers, each for itself */
	RATE_CONNECTIONS = RATE_ABUSE_FIRST, RATE_HELO_FLOODS, RATE_UNKNOWN_COMMANDS, RATE_UNAUTH_COMMANDS, RATE_FAILED_RCPTS,
	RATE_SIGN_INS,         /* no limit: who has one is not held to the others */
	RATE_KIND_END,
};
enum rate_whose { RATE_OF_ACCOUNT, RATE_OF_ADDRESS, RATE_OF_NETWORK, RATE_OF_MAILBOX };

struct rate_kind {
	enum rate_kind_id id;
	enum rate_whose whose;
	const char *things;              /* "messages" */
	const char *section, *setting;   /* "rates", "account-messages" */
	enum cause_id cause, day_cause;  /* a shorter window is used up; the day is */
	size_t limits;                   /* offset of its struct conf_rates in struct conf; networks: in struct conf_network. SIZE_MAX: none */
};

const struct rate_kind *rate_kind_get(int id);      /* NULL: there is no such kind */
const struct rate_kind *rate_kind_next(const struct rate_kind *after_or_null); /* NULL: no more */
const char *rate_whose_name(enum rate_whose whose); /* "account" */
/* network: of the kinds for networks, else NULL */
const struct conf_rates *rate_kind_limits(const struct rate_kind *k, const struct conf *conf, const struct conf_network *network);
/* `own` of an account as text ("100/h", "none"); "" or unreadable: the configuration's */
struct conf_rates rate_kind_own_limits(struct span own, const struct conf_rates *otherwise);

/* "500 messages an hour" */
void rate_kind_write_limit(const struct rate_kind *k, const struct rate_hit *hit, char *out, size_t size);
static inline enum cause_id rate_kind_cause(const struct rate_kind *k, const struct rate_hit *hit) { return hit->window == RATE_DAY ? k->day_cause : k->cause; }

struct rate_key rate_key_number(enum rate_kind_id id, uint64_t n);
struct rate_key rate_key_text(enum rate_kind_id id, struct span text);
/* IPv4 whole, IPv6 by its /64; what is no address shares one key */
struct rate_key rate_key_address(enum rate_kind_id id, struct span peer);
static inline struct span rate_key_span(const struct rate_key *k) { return span_of(k->bytes, k->len); }

/* which start of the machine this is, for rate_table_new; reads a file, so before the walls. 0: not known */
uint64_t rate_boot(void);

#endif
