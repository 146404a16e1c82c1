/* sieve_tree - inside the Sieve engine: the compiled form (a tree), and the tables that say what the language has. A new command, test,
 * tag or extension is a row in sieve_words.def or sieve_table.c and the functions it names; lexer, parser and printer stay. */
#ifndef MAILROOM_POLICY_SIEVE_TREE_H
#define MAILROOM_POLICY_SIEVE_TREE_H

#include "policy/sieve.h"

enum sieve_ext {
#define EXT(id, name) SIEVE_EXT_##id,
#include "policy/sieve_words.def"
	SIEVE_EXT_COUNT
};
#define SIEVE_EXT(id) ((uint32_t)1 << SIEVE_EXT_##id)
_Static_assert(SIEVE_EXT_COUNT <= 32, "extensions are bits of 32");

/* of one group only one tag may stand; those without a group only once */
enum sieve_group {
	SIEVE_GROUP_NONE,
	SIEVE_GROUP_MATCH,
	SIEVE_GROUP_ADDRESS,
	SIEVE_GROUP_SIZE,
	SIEVE_GROUP_BODY,
	SIEVE_GROUP_CASE,
	SIEVE_GROUP_FIRST,
	SIEVE_GROUP_ZONE,
	SIEVE_GROUP_MIME,
	SIEVE_GROUP_PERIOD,
	SIEVE_GROUP_COUNT
};

enum sieve_tag {
#define TAG(id, name, param, group, ext) SIEVE_TAG_##id,
#include "policy/sieve_words.def"
	SIEVE_TAGS
};
#define SIEVE_TAG(id) ((uint64_t)1 << SIEVE_TAG_##id)
_Static_assert(SIEVE_TAGS <= 64, "tags are bits of 64");

struct sieve_tag_row {
	const char *name;      /* with its colon */
	char param;            /* 0, 's' string, 'n' number, 'l' string list */
	enum sieve_group group;
	uint32_t ext;          /* bits: all have to be required */
};
extern const struct sieve_tag_row sieve_tags[SIEVE_TAGS];
extern const char *const sieve_ext_names[SIEVE_EXT_COUNT];

enum sieve_comparator { SIEVE_ASCII_CASEMAP, SIEVE_OCTET, SIEVE_ASCII_NUMERIC, SIEVE_UNICODE_CASEMAP };
enum sieve_relation { SIEVE_GT, SIEVE_GE, SIEVE_LT, SIEVE_LE, SIEVE_EQ, SIEVE_NE };

struct sieve_string {
	const uint8_t *ptr;
	uint32_t len;
	bool vars;             /* holds ${...} to fill in (RFC 5229 3) */
};

struct sieve_value {
	char kind;             /* 's', 'n', 'l'; 0: optional and not there */
	uint32_t count;        /* strings */
	union {
		uint64_t number;
		const struct sieve_string *strings;
	};
};

struct sieve_node {        /* a command or a test */
	const struct sieve_verb *verb;
	const struct sieve_node *next;  /* the command or test after it */
	const struct sieve_node *tests; /* of if, elsif, not, allof, anyof */
	const struct sieve_node *block;
	const struct sieve_value *args; /* verb->args of them, positional */
	const struct sieve_value *params; /* of the tags that have one, in the order of the tags */
	const struct sieve_node *target;  /* break: its foreverypart */
	uint64_t tags;
	uint32_t line;
	uint8_t comparator, relation;
};

enum sieve_flow { SIEVE_FLOW_NEXT, SIEVE_FLOW_STOP, SIEVE_FLOW_BREAK };
struct sieve_run;
struct sieve_compile;

enum { /* sieve_verb.flags */
	SIEVE_VERB_TEST = 1,      /* is a test, else a command */
	SIEVE_VERB_TAKES_TEST = 2,
	SIEVE_VERB_TAKES_TESTS = 4,
	SIEVE_VERB_BLOCK = 8,     /* ends in a block, else in a semicolon */
	SIEVE_VERB_FIRST = 16,    /* only before all others (require) */
	SIEVE_VERB_AFTER_IF = 32, /* only behind if and elsif */
	SIEVE_VERB_IF = 64,       /* elsif and else may follow */
	SIEVE_VERB_LOOP = 128,
};

struct sieve_verb {
	const char *name;
	uint32_t ext;             /* bits: one of them has to be required; 0: always there */
	uint64_t tags;            /* may stand */
	const char *args;         /* positional: 's', 'n', 'l'; the one behind '?' may be left out */
	unsigned flags, needs;
	const char *shape;        /* how it is written, for faults */
	bool (*check)(struct sieve_compile *, struct sieve_node *); /* what the shape does not say; may be NULL */
	union {
		enum sieve_flow (*command)(struct sieve_run *, const struct sieve_node *); /* NULL: done at compile time */
		bool (*test)(struct sieve_run *, const struct sieve_node *);
	};
};
/* NULL: no such. `test`: looks among the tests, else among the commands. */
const struct sieve_verb *sieve_verb_find(struct span name, bool test);
const struct sieve_verb *sieve_verb_get(size_t at); /* NULL past the last */
/* the known name that is nearest to a mistyped one, NULL where none is near */
const char *sieve_verb_near(struct span name, bool test);
const char *sieve_ext_near(struct span name);
const char *sieve_tag_near(struct span name, uint64_t among);
/* how far apart two words are (insertions, deletions, changes and swaps of neighbours), any case; more than `most`: most + 1 */
unsigned sieve_word_distance(struct span a, struct span b, unsigned most);

static inline bool sieve_node_has(const struct sieve_node *n, enum sieve_tag tag) { return n->tags >> tag & 1; }
/* parameter of a tag; NULL: the tag does not stand there */
const struct sieve_value *sieve_node_param(const struct sieve_node *n, enum sieve_tag tag);
unsigned sieve_verb_arg_count(const struct sieve_verb *verb);
static inline struct span sieve_string_span(const struct sieve_string *s) { return span_of(s->ptr, s->len); }

struct sieve_script {
	const struct sieve_node *first;
	uint32_t ext;                      /* required */
	unsigned needs;
	size_t bytes;
	unsigned variable_count;
	struct span *variables;            /* names, lower case */
};

/* index of the variable of that name (any case), or -1 */
int sieve_script_variable(const struct sieve_script *s, struct span name);

#endif
