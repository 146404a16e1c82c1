/* sieve_rule - simple rules as a command line takes them ("--attachment-name '*.zip' --refuse 'no zip files please'"), written into a Sieve
 * script and read back from it. Each stands between two comment lines of ours; everything else in the script is the owner's and stays byte
 * for byte as it is. Does not store scripts.
 *
 * Conditions of one kind are alternatives (a list); different kinds all have to hold, or any of them with `any`. */
#ifndef MAILROOM_POLICY_SIEVE_RULE_H
#define MAILROOM_POLICY_SIEVE_RULE_H

#include "policy/sieve.h"

enum sieve_rule_kind {
	SIEVE_RULE_NAME,       /* --attachment-name PATTERN */
	SIEVE_RULE_TYPE,       /* --attachment-type PATTERN, declared or found in the bytes */
	SIEVE_RULE_INSIDE,     /* --inside PATTERN, in archives */
	SIEVE_RULE_ENCRYPTED,  /* --encrypted, archives */
	SIEVE_RULE_UNREADABLE, /* --unreadable, archives */
	SIEVE_RULE_FROM,       /* --from PATTERN, the From field */
	SIEVE_RULE_SENDER,     /* --sender PATTERN, the envelope */
	SIEVE_RULE_TO,         /* --to PATTERN, To and Cc */
	SIEVE_RULE_LARGER,     /* --larger SIZE */
	SIEVE_RULE_SMALLER,    /* --smaller SIZE */
	SIEVE_RULE_HEADER,     /* --header "Field: PATTERN" */
	SIEVE_RULE_BODY,       /* --body WORDS, contained in it */
	SIEVE_RULE_SINCE,      /* --since YYYY-MM-DD, from that day on (UTC) */
	SIEVE_RULE_UNTIL,      /* --until YYYY-MM-DD, before that day */
	SIEVE_RULE_KINDS
};

enum sieve_rule_act {
	SIEVE_RULE_NOTHING,
	SIEVE_RULE_REFUSE,     /* --refuse TEXT */
	SIEVE_RULE_FILE,       /* --file FOLDER */
	SIEVE_RULE_MARK,       /* --mark WORD: a keyword and a header field; the other rules go on */
	SIEVE_RULE_DISCARD,    /* --discard */
	SIEVE_RULE_REDIRECT,   /* --redirect ADDRESS, with --keep a copy stays and the other rules go on */
	SIEVE_RULE_ANSWER,     /* --answer TEXT, with --subject and --days; the other rules go on. The one action that needs no condition */
	SIEVE_RULE_ACTS
};

#define SIEVE_RULE_MARK_FIELD "X-Mailroom-Mark"

struct sieve_rule_condition {
	enum sieve_rule_kind kind;
	struct span field;     /* header */
	struct span pattern;   /* "*" any characters, "?" one, "\" takes the next one as it is; body: words; since, until: the day */
	uint64_t bytes;        /* larger, smaller */
};

struct sieve_rule {
	struct span name;      /* letters, digits and ._- ; unique in its script */
	bool any;              /* --any */
	struct sieve_rule_condition *conditions;
	size_t condition_count; /* at most LIMIT_SIEVE_RULE_CONDITIONS */
	enum sieve_rule_act act;
	struct span text;
	bool keep;             /* redirect: a copy stays */
	struct span subject;   /* answer: empty: made of the message's */
	unsigned days;         /* answer: so long nobody gets another; 0: as the language says, 7 */
};

struct sieve_rule_entry {  /* a rule in a script */
	struct span name;
	unsigned line;         /* of its first line */
	bool edited;           /* changed by hand beyond what a rule can say: `rule` holds its name only */
	struct sieve_rule rule;
	size_t begin, end;     /* its lines in the script */
};

/* 1: "--NAME VALUE", 0: "--NAME" alone, -1: there is no such option. Names without "--": "attachment-name", "any", "name" ... */
int sieve_rule_option_values(struct span option);
/* Adds an option to a rule (zero at first). Text is copied to mem. RC_BAD with words for a person. */
enum rc sieve_rule_option(struct sieve_rule *rule, struct span option, struct span value, struct arena *mem, struct err *err) RC_WARN;
/* whether it can be written: one action, and at least one condition where the action is not an answer */
enum rc sieve_rule_check(const struct sieve_rule *rule, struct err *err) RC_WARN;
/* its Sieve text with the two comment lines */
void sieve_rule_write(const struct sieve_rule *rule, struct buf *out);
/* as options: --attachment-name '*.zip' --refuse 'no zip files please'; safe for a terminal, quoted for a shell */
void sieve_rule_describe(const struct sieve_rule *rule, struct buf *out);

/* The rules of a script in their order; spans point into the script and mem. RC_LIMIT: more than LIMIT_SIEVE_RULES, or mem is full. */
enum rc sieve_rule_list(struct span script, struct arena *mem, struct sieve_rule_entry **out, size_t *count_out, struct err *err) RC_WARN;

/* These write the whole new script to out (which has to be empty), and only one that compiles under `rules`. Places count from 0; past the last is
 * the end. New rules stand before the owner's own commands, so that these cannot stop them. The line of ours that requires extensions is kept up to date. */
enum rc sieve_rule_add(struct span script, const struct sieve_rule *rule, size_t place, const struct sieve_rules *rules, struct buf *out,
	struct err *err) RC_WARN; /* RC_EXISTS: that name is taken; an empty name becomes rule1, rule2 ... */
enum rc sieve_rule_remove(struct span script, struct span name, const struct sieve_rules *rules, struct buf *out, struct err *err) RC_WARN; /* RC_NONE */
enum rc sieve_rule_move(struct span script, struct span name, size_t place, const struct sieve_rules *rules, struct buf *out,
	struct err *err) RC_WARN;

#endif
