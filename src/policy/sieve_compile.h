/* sieve_compile - inside the Sieve engine: what the parser and the checks of single commands share. */
#ifndef MAILROOM_POLICY_SIEVE_COMPILE_H
#define MAILROOM_POLICY_SIEVE_COMPILE_H

#include "base/limits.h"
#include "policy/sieve_lex.h"
#include "policy/sieve_tree.h"

struct sieve_compile {
	struct sieve_lex lex;
	unsigned refuse;
	struct arena *mem;
	size_t mem_before, max_bytes;
	enum rc rc;              /* of the fault */
	uint32_t ext;
	unsigned needs;
	unsigned depth, nodes;
	bool begun;              /* a command other than require was there */
	size_t node_at;          /* where the command or test that is checked begins */
	struct span variables[LIMIT_SIEVE_VARIABLES];
	unsigned variable_count;
	const struct sieve_node *loops[LIMIT_SIEVE_LOOPS];
	unsigned loop_count;
	struct sieve_string list[LIMIT_SIEVE_LIST]; /* the list being read */
};

/* at the command or test that is checked; always false */
#define sieve_compile_bad(c, ...) sieve_lex_fault(&(c)->lex, (c)->node_at, __VA_ARGS__)
/* the same, and it is a limit */
#define sieve_compile_limit(c, ...) ((c)->rc = RC_LIMIT, sieve_lex_fault(&(c)->lex, (c)->node_at, __VA_ARGS__))
void *sieve_compile_alloc(struct sieve_compile *c, size_t bytes); /* zeroed; NULL with the fault filled */
/* the string token as a string: encoded characters (RFC 5228 2.4.2.4) replaced, variables looked for */
bool sieve_compile_string(struct sieve_compile *c, struct sieve_string *out);

/* text that a script or a message holds, safe to show in a fault; valid till the next write to scratch */
const char *sieve_show(struct span s, struct buf *scratch);

/* --- what a script may name; used when compiling where the text is there, else when running --- */
bool sieve_field_name_ok(struct span name);   /* RFC 5322 2.2: printable ASCII without colon */
/* NULL: fine, else what is wrong with it */
const char *sieve_folder_fault(struct span folder);
const char *sieve_redirect_fault(struct span address);
const char *sieve_addheader_fault(struct span name);
bool sieve_variable_name_ok(struct span name);

/* rows of the verb table name these */
bool sieve_check_require(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_fileinto(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_redirect(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_reason(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_flags(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_set(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_loop(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_break(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_addheader(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_vacation(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_fields(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_address(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_envelope(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_size(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_body(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_match(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_date(struct sieve_compile *c, struct sieve_node *n);
bool sieve_check_attachment(struct sieve_compile *c, struct sieve_node *n);

#endif
