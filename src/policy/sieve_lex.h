/* sieve_lex - inside the Sieve engine: script text to tokens (RFC 5228 8.1). A bare LF ends a line too; NUL, a bare CR and what is no
 * UTF-8 are faults. */
#ifndef MAILROOM_POLICY_SIEVE_LEX_H
#define MAILROOM_POLICY_SIEVE_LEX_H

#include "policy/sieve.h"

enum sieve_token {
	SIEVE_TOKEN_END,
	SIEVE_TOKEN_WORD,
	SIEVE_TOKEN_TAG,    /* word: with its colon */
	SIEVE_TOKEN_NUMBER,
	SIEVE_TOKEN_STRING,
	SIEVE_TOKEN_MARK,   /* one of [ ] ( ) { } , ; which is in `mark` */
};

struct sieve_lex {
	struct span text;
	struct sieve_fault *fault;
	size_t at;
	unsigned line;
	/* the token read last */
	enum sieve_token token;
	size_t start;       /* its offset */
	size_t before;      /* where the token before it ended */
	unsigned token_line;
	struct span word;   /* word, tag; of a string what stands between its ends */
	uint64_t number;
	uint8_t mark;
	bool multiline;     /* the string was written with text: */
};

/* false with the fault filled: the text cannot be a script */
bool sieve_lex_init(struct sieve_lex *lex, struct span text, struct sieve_fault *fault);
bool sieve_lex_next(struct sieve_lex *lex); /* false: fault */
/* the value of the string token into mem; false: the arena is full */
bool sieve_lex_string(const struct sieve_lex *lex, struct arena *mem, struct span *out);
static inline bool sieve_lex_is(const struct sieve_lex *lex, char mark) { return lex->token == SIEVE_TOKEN_MARK && lex->mark == (uint8_t)mark; }
/* the fault at that offset; always false */
bool sieve_lex_fault(const struct sieve_lex *lex, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* what the token is, for faults: "the end of the script", "a string", "\"stop\"" */
const char *sieve_lex_say(const struct sieve_lex *lex, struct buf *scratch);

static inline bool sieve_word_start(uint8_t c) { return byte_is_alpha(c) || c == '_'; }
static inline bool sieve_word_byte(uint8_t c) { return byte_is_alnum(c) || c == '_'; }

#endif
