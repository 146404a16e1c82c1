/* decide - gathers the facts for src/policy from the configuration, the mail database and the counters, and gives the verdict in the words of a reply. The
 * store role answers its workers with it and `mailroom would-accept` asks it without a socket: one code. Decides nothing itself. */
#ifndef MAILROOM_ROLE_DECIDE_H
#define MAILROOM_ROLE_DECIDE_H

#include "conf/conf.h"
#include "policy/policy.h"
#include "store/store_policy.h"

struct role_rates;

/* what stands behind a decision */
struct decide {
	struct store *store;
	const struct conf *conf;
	struct role_rates *rates;            /* NULL: without counters */
	int64_t wall_ms;
};

/* who asks, as far as it was granted or is known of the connection */
struct decide_who {
	const struct conf_listener *listener;
	bool tls;
	enum policy_by by;
	int64_t account;                     /* by sign-in or window; 0: none */
	const struct conf_network *network;  /* by network */
	bool revoked;                        /* the account was disabled or got another password since */
	enum policy_window window;
	int64_t window_ms;                   /* wall clock: when it closed (or will) */
	struct span peer;
};

struct decide_mail {
	struct span sender;                  /* as address_write spells it; empty: <> */
	uint64_t message_bytes;              /* declared; 0: not said */
	enum policy_stage stage;             /* AT_MAIL, or AT_FROM with `from` */
	const struct span *from;             /* AT_FROM: the addresses in the From field */
	size_t from_count;
	bool from_unreadable;
};
struct decide_rcpt {
	struct span sender, rcpt;
	uint64_t message_bytes;
	uint32_t rcpts;                      /* others in this transaction */
};

struct decided {
	struct policy_facts facts;           /* for those who want to ask further (way out) */
	struct policy_verdict verdict;
	struct store_resolved found;         /* rcpt: tag */
	struct span detail, limit, retry;    /* for the reply; live in mem */
	struct span rule;                    /* who made the rule, where it was not the server itself: a domain, "recipient" */
	struct span account;                 /* its address */
	struct span header_rules;            /* rcpt: its domain, where that refuses mail of strangers by its header; points into what was asked */
};

/* RC_OK: out says what was decided. Anything else: our own trouble, the caller defers. */
enum rc decide_mail(const struct decide *d, const struct decide_who *who, const struct decide_mail *m, struct arena *mem, struct decided *out, struct err *err) RC_WARN;
enum rc decide_rcpt(const struct decide *d, const struct decide_who *who, const struct decide_rcpt *r, struct arena *mem, struct decided *out, struct err *err) RC_WARN;

#endif
