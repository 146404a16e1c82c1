/* session_filter_internal - what the two files of session_filter share. */
#ifndef MAILROOM_ROLE_SESSION_FILTER_INTERNAL_H
#define MAILROOM_ROLE_SESSION_FILTER_INTERNAL_H

#include "base/map.h"
#include "policy/sieve_mail.h"
#include "role/session_smtp.h"

enum {
	FILTER_FILED = 1152,      /* copies of one message: ACCEPT of messages.def */
	FILTER_LINKS = 64 << 10,
	FILTER_REASON_BYTES = 160,
	FILTER_ADDRESS_BYTES = 1024,
};

struct filter_account {
	uint64_t account;
	char *address, *text;     /* text NULL: none that could be run */
	char *reason;             /* its owner refuses: why; NULL: does not */
	size_t tag;               /* the first recipient that led there */
};

struct filter_tag {
	uint32_t others;          /* it leads to so many who have no filter */
	uint32_t takers, refusers;
	size_t refuser;           /* the first of them */
};

struct filter_link {          /* that recipient leads to that account */
	uint32_t tag, account;
};

enum filter_stage { FILTER_FETCHES, FILTER_COMPILES, FILTER_LOOKS, FILTER_RUNS, FILTER_DONE };

struct filter_run {
	struct session *session;
	struct smtp_ask ask;
	session_filter_then *then;
	struct loop_hook hook;
	struct filter_run *next, **prev; /* in the worker's line; prev NULL: not in it */
	bool busy;                /* one of SESSION_FILTER_AT_ONCE */
	enum filter_stage stage;
	struct mime_source source;
	struct sieve_mail *mail;
	struct filter_tag *tags;  /* as in session_filter */
	struct filter_account *accounts;
	struct filter_link *links;
	size_t count, size, link_count, link_size;
	struct map known;         /* account -> its place in accounts, and one */
	size_t at;                /* the recipient whose scripts are fetched; then the account at hand */
	size_t bytes;             /* of all scripts */
	unsigned needs;
	struct buf filed, answers; /* records of messages.def */
	size_t filed_count, answer_count;
};

/* session_filter_write.c: what the run of one account decided, into r->filed, r->answers and a->reason */
void filter_write_result(struct filter_run *r, struct filter_account *a, const struct sieve_message *m, const struct sieve_result *result);
/* session_filter_send.c */
/* redirects into r->filed; `added`: header lines for the copies. Returns how many there are; 0 where the message has been here before */
size_t filter_write_sent_on(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m, const struct sieve_result *result,
	struct span added);
/* the answer of a vacation action, where this message may be answered */
void filter_write_answer(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m, const struct sieve_result *result);
void filter_log(const struct filter_run *r, const struct filter_account *a, const char *action, unsigned line, const char *why);
/* the same where the reason is nothing to worry about */
void filter_log_usual(const struct filter_run *r, const struct filter_account *a, const char *action, unsigned line, const char *why);

#endif
