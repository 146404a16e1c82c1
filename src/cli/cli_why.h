/* cli_why - what `mailroom why` gathers from the history, and its ways to tell it. Events are copied out of the database and kept by session, each session in
 * the order of time, the newest session first. */
#ifndef MAILROOM_CLI_CLI_WHY_H
#define MAILROOM_CLI_CLI_WHY_H

#include <jansson.h>

#include "cause/cause.h"
#include "cli/cli.h"
#include "store/history.h"

enum {
	WHY_ADDRESSES = 64,      /* aliases that are looked for beside an account */
	WHY_SESSIONS = 5000,     /* looked at; more are said to be there */
	WHY_SHOWN = 20,          /* of them, unless told otherwise */
	WHY_CAUSES = 8,          /* told apart in the summary */
};

struct why_event {
	struct history_event e; /* texts in cli->mem */
	struct why_event *next; /* later */
	bool matches;           /* else it is there because its session is */
};

struct why_session {
	uint64_t id;            /* 0: of no session (a summary of many) */
	struct why_event *events;
	const struct history_event *lead; /* what went wrong first; NULL: nothing */
	const struct history_event *sent; /* mail was taken from it */
	bool outgoing;          /* the account in question is the one who sends or signs in */
	bool signed_in, pop3;
	int64_t first_ms, last_ms;
	struct why_session *next; /* older */
};

struct why_account { /* as it is now */
	bool asked, found, enabled, hosted, full;
	int64_t id;
};

struct why {
	struct cli *cli;
	struct history_filter filter;
	struct span addresses[WHY_ADDRESSES];
	struct net_prefix peer;
	struct span subject;      /* as it was asked for, "" for everything */
	bool is_queued;           /* the subject is a message that is in the queue now */
	bool is_account;          /* the subject is an account, an address or a login name */
	struct why_account account;
	struct map sessions;      /* id -> struct why_session */
	struct why_session *newest, **oldest;
	size_t session_count, event_count, shown;
	struct history_event last_ok[2]; /* of an account, before its trouble, in sending [0] and in fetching [1]; kind NONE: none */
	struct history_extent extent;
	size_t damaged;
	bool more;                /* not all that matches was gathered */
};

/* cli_why_say.c: the summary and what to do */
void why_judge(struct why *w); /* fills in what each session comes to */
const struct history_event *why_first_failure(const struct why *w, bool pop3); /* of the trouble that there is now; NULL: none */
bool why_is_success_of(const struct why *w, const struct history_event *e); /* of the account in question */
void why_say(const struct why *w, struct buf *out);

/* cli_why_print.c */
void why_print_sessions(const struct why *w, struct buf *out);
json_t *why_json(const struct why *w);
void why_write_time(struct buf *out, int64_t wall_ms, bool date); /* local: "Sat 21 Nov 17:02", or "17:02:11" */
void why_write_ref(struct buf *out, uint64_t session);
const struct history_event *why_find(const struct why_session *s, enum history_kind kind);
struct span why_helo(const struct why_session *s);
struct span why_peer(const struct why_session *s);

#endif
