/* sieve_exec - inside the Sieve engine: the state of one run, and what commands and tests share while they run. */
#ifndef MAILROOM_POLICY_SIEVE_EXEC_H
#define MAILROOM_POLICY_SIEVE_EXEC_H

#include "base/limits.h"
#include "policy/sieve_tree.h"

enum { SIEVE_MATCHES = 10 }; /* ${0} to ${9}, RFC 5229 6 */

/* what work costs, so that a step is about as long whatever it is spent on; a byte compared is one */
enum { SIEVE_STEPS_NODE = 16, SIEVE_STEPS_EXPAND = 32, SIEVE_STEPS_FIELD = 32, SIEVE_STEPS_FLAG = 16, SIEVE_STEPS_VALUE = 8 };

struct sieve_slot { /* a variable: keeps its memory when it gets another value, so that loops cannot pile it up */
	uint8_t *ptr;
	size_t len, size;
};

struct sieve_run {
	const struct sieve_script *script;
	const struct sieve_message *m;
	struct arena *mem;       /* actions, variables */
	struct arena scratch;    /* of one test or command */
	struct buf fold;         /* the value being compared, folded */
	uint64_t steps_left;
	struct sieve_result *result;
	struct sieve_action *actions;
	unsigned action_count, redirects;
	bool implicit_keep;
	bool ended;              /* a fault, or over: everything returns as fast as it can */
	struct sieve_slot *variables, flags, matches[SIEVE_MATCHES];
	unsigned part;           /* of the loop around us; 0 outside */
	bool in_loop;
	const struct sieve_node *breaking; /* the loop that break leaves */
};

/* takes n from the budget; false: it is used up, the run has ended */
bool sieve_run_spend(struct sieve_run *r, const struct sieve_node *at, uint64_t n);
/* ends the run; always false */
bool sieve_run_end(struct sieve_run *r, enum sieve_end end, const struct sieve_node *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool sieve_run_full(struct sieve_run *r, const struct sieve_node *at); /* an arena is full; always false */
enum sieve_flow sieve_run_block(struct sieve_run *r, const struct sieve_node *first);
bool sieve_run_test(struct sieve_run *r, const struct sieve_node *n);

/* --- strings and variables: sieve_vars.c --- */

/* the string with its variables filled in, at most LIMIT_SIEVE_VALUE_BYTES then; lives till the command ends */
struct span sieve_expand(struct sieve_run *r, const struct sieve_node *at, const struct sieve_string *s);
bool sieve_slot_set(struct sieve_run *r, struct sieve_slot *slot, struct span value);
/* the flags of an action: of `list` when given, else those set so far; false: the run has ended */
bool sieve_flags_take(struct sieve_run *r, const struct sieve_node *at, const struct sieve_value *list, struct sieve_action *a);

/* --- comparing: sieve_match.c --- */

struct sieve_match {
	const struct sieve_node *node;
	struct span *keys;
	unsigned key_count;
	bool no_captures;        /* RFC 5173 6: body does not set match variables */
	uint64_t seen;           /* values, for :count */
};
/* reads match type, comparator and keys of a test */
bool sieve_match_init(struct sieve_run *r, const struct sieve_node *n, const struct sieve_value *keys, struct sieve_match *m);
/* true: this value matches a key, the test is true */
bool sieve_match_value(struct sieve_run *r, struct sieve_match *m, struct span value);
/* after the last value: whether their number matches (only :count) */
bool sieve_match_end(struct sieve_run *r, struct sieve_match *m);
/* i;ascii-numeric: false where text begins with no digit (greater than all numbers) */
bool sieve_number(struct span text, uint64_t *out);

/* rows of the verb table name these */
enum sieve_flow sieve_do_if(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_stop(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_keep(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_discard(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_fileinto(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_redirect(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_reject(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_ereject(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_addheader(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_vacation(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_set(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_setflag(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_addflag(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_removeflag(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_foreverypart(struct sieve_run *r, const struct sieve_node *n);
enum sieve_flow sieve_do_break(struct sieve_run *r, const struct sieve_node *n);

bool sieve_test_allof(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_anyof(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_not(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_true(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_false(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_size(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_header(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_address(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_envelope(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_exists(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_string(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_hasflag(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_body(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_attachment(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_date(struct sieve_run *r, const struct sieve_node *n);
bool sieve_test_currentdate(struct sieve_run *r, const struct sieve_node *n);

/* --- header fields of a test, with parts and index: sieve_test.c --- */

struct sieve_walk { /* over the fields of one name that a test looks at */
	struct sieve_run *r;
	const struct sieve_node *node;
	struct span name;
	unsigned part, end, nth, added;
	uint64_t seen, total; /* total: only known where :last asks for it */
};
/* begins: which parts the node's :mime and :anychild mean */
void sieve_walk_begin(struct sieve_run *r, const struct sieve_node *n, struct span name, struct sieve_walk *w);
/* the next field and its part; false: no more, or the run has ended */
bool sieve_walk_next(struct sieve_walk *w, struct sieve_field *out, unsigned *part_out);

/* date: sieve_date.c; `zone` in minutes. RFC 5322 3.3 with the obsolete forms; false: it cannot be read. */
bool sieve_date_parse(struct span text, int64_t *seconds_out, int *zone_out);
/* one part of a date as RFC 5260 4.2 writes it; false: no such part */
bool sieve_date_part(struct span part, int64_t seconds, int zone, struct buf *out);
bool sieve_zone_parse(struct span text, int *zone_out); /* "+0100" */

#endif
