/* replies_table - what mail servers, filters, libraries and mail programs are known to say, and which cause stands behind it:
 * knowledge/replies and knowledge/clients as constant tables, made at build time by tools/gen-replies.py. All strings lie in one
 * pool and are named by their offset, so nothing is relocated or built when the program starts. Matching is not done here. */
#ifndef MAILROOM_ANSWER_REPLIES_TABLE_H
#define MAILROOM_ANSWER_REPLIES_TABLE_H

#include "cause/cause.h"

enum { REPLY_CODES = 4 };

enum emitter_kind {
	EMITTER_PROVIDER,
	EMITTER_MTA,
	EMITTER_LIBRARY,
	EMITTER_MIDDLEBOX,
	EMITTER_FILTER,
	EMITTER_CLIENT,
};

/* where in the conversation it is said; bits */
enum {
	REPLY_AT_CONNECT = 1 << 0,
	REPLY_AT_BANNER = 1 << 1,
	REPLY_AT_HELO = 1 << 2,
	REPLY_AT_STARTTLS = 1 << 3,
	REPLY_AT_AUTH = 1 << 4,
	REPLY_AT_MAIL = 1 << 5,
	REPLY_AT_RCPT = 1 << 6,
	REPLY_AT_DATA = 1 << 7,
	REPLY_AT_END = 1 << 8,
	REPLY_AT_QUEUE = 1 << 9,
	REPLY_AT_POP3 = 1 << 10,
	REPLY_AT_IMAP = 1 << 11,
	REPLY_AT_CLIENT = 1 << 12,
};

struct reply_cause {
	uint16_t cause;	 /* enum cause_id */
	uint8_t percent; /* its weight among the causes of the pattern */
};

/* Offsets are into reply_pool; 0 is "". */
struct reply_pattern {
	uint32_t pattern;  /* lower case; "*" stands for anything within a line */
	uint32_t enhanced; /* "5.7.1 5.7.26": any of them, "": not said */
	uint32_t source;
	uint32_t ask;  /* what to fetch next where the words do not decide */
	uint32_t note; /* what else one should know; of a dialog: what else it may be */
	uint32_t lang;
	uint16_t code[REPLY_CODES]; /* 550; 55 is 55x, 5 is 5xx; 1: -ERR, NO, BAD, BYE; 0: no more */
	uint16_t emitter;	    /* in reply_emitters */
	uint16_t cause_at;	    /* in reply_causes, best first */
	uint8_t cause_count;
	uint8_t sure;	   /* percent */
	uint16_t stages;   /* REPLY_AT_*, 0: anywhere */
	uint8_t anchor_at; /* the longest piece without "*": where in the pattern, and how long */
	uint8_t anchor_len;
	uint8_t only;  /* not 0: counts only where the emitter is recognised */
	uint8_t frame; /* not 0: the words only introduce those of somebody else, which decide */
};

struct reply_emitter {
	uint32_t slug, name, source;
	uint16_t first, count;			/* in reply_patterns */
	uint16_t recognise_at, recognise_count; /* in reply_words: words that show that it is this one */
	uint8_t kind;				/* enum emitter_kind */
};

/* which setting of a mail program */
enum client_what {
	CLIENT_ACCOUNT,
	CLIENT_ADDRESS,
	CLIENT_PASSWORD,
	CLIENT_USER_NAME,
	CLIENT_INCOMING_TYPE,
	CLIENT_INCOMING_SERVER,
	CLIENT_INCOMING_PORT,
	CLIENT_INCOMING_SECURITY,
	CLIENT_INCOMING_AUTH,
	CLIENT_OUTGOING_SERVER,
	CLIENT_OUTGOING_PORT,
	CLIENT_OUTGOING_SECURITY,
	CLIENT_OUTGOING_AUTH,
	CLIENT_OUTGOING_CHOOSE,
	CLIENT_LEAVE_COPY,
	CLIENT_IDENTITY,
	CLIENT_PROTOCOL_LOG,
};

struct client_setting {
	uint8_t what;	/* enum client_what */
	uint32_t where; /* in that program's own menu words */
};

/* the settings in one line, in the program's own words: {host} {port} {security} {login} {login-url} {address} stand for the values */
enum client_line {
	CLIENT_LINE_OUTGOING,
	CLIENT_LINE_IMAP,
	CLIENT_LINE_POP3,
	CLIENT_LINE_TLS,
	CLIENT_LINE_STARTTLS,
	CLIENT_LINE_NONE,
	CLIENT_LINES
};

struct client_program {
	uint16_t emitter; /* name, and its dialogs as patterns: in reply_emitters */
	uint32_t platform;
	uint16_t setting_at, setting_count; /* in client_settings */
	uint16_t step_at, step_count;	    /* in reply_words; with {smtp-host} and the like to fill in */
	uint32_t line[CLIENT_LINES];	    /* of tls, starttls and none: the word for {security} */
	uint8_t lines;			    /* bits 1 << enum client_line: what it can */
};

/* What single words mean: knowledge/wording.yaml. Bits are its concepts. */
enum { WORDING_SLOTS = 1 << 13 };

struct wording_word {
	uint32_t hash; /* FNV-1a of the word, the neighbours or the beginning; 0: free */
	uint64_t means;
};

struct wording_also {
	uint64_t all, gives;
};

struct wording_rule {
	uint64_t all, none;
	uint16_t cause;
	uint8_t percent;
};

extern const struct wording_word wording_words[WORDING_SLOTS];
extern const struct wording_also wording_alsos[];
extern const size_t wording_also_count;
extern const struct wording_rule wording_rules[];
extern const size_t wording_rule_count;

extern const char reply_pool[];
extern const uint32_t reply_words[];
extern const struct reply_cause reply_causes[];
extern const struct reply_pattern reply_patterns[];
extern const struct reply_emitter reply_emitters[];
extern const struct client_setting client_settings[];
extern const struct client_program client_programs[];
extern const char
	*const cause_probes[CAUSE_COUNT]; /* what to fetch to see whether it is this one (knowledge/probes.yaml); NULL: not known */
extern const size_t reply_pattern_count, reply_emitter_count, client_program_count;

static inline const char *reply_text(uint32_t offset)
{
	return reply_pool + offset;
}

#endif
