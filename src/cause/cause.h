/* cause - the catalogue of reasons, compiled in from knowledge/causes (one YAML file a slug; see HACKING.md). Every refusal
 * names one; reply text, log word, explanation and next step all come from that one entry. No reply text is written in C. */
#ifndef MAILROOM_CAUSE_CAUSE_H
#define MAILROOM_CAUSE_CAUSE_H

#include "base/buf.h"
#include "base/err.h"
#include "cause_ids.h" /* generated: enum cause_id { CAUSE_NONE, CAUSE_AUTH_REQUIRED, ..., CAUSE_COUNT } */

/* what a template may name as {rcpt} {sender} ...; all text from outside, made safe when written */
struct cause_facts {
	struct span rcpt;     /* recipient address as the client wrote it */
	struct span sender;
	struct span command;  /* the verb that was refused */
	struct span missing;  /* the command or fact that had to come first */
	struct span limit;    /* the limit that was hit, with unit: "25 MiB", "100 recipients" */
	struct span detail;   /* what is wrong, in words that the place which found out supplies (e.g. address_fault_name) */
	struct span account;
	struct span retry;    /* when to try again: "30 s" */
	struct span because;  /* slugs of the causes that this one is only a consequence of, "relay-denied-unauth": stands behind the slug */
	struct span rule;     /* whose rule decided: a domain, "recipient"; stands in the bracket as "rule: example.org"; empty: the server's own */
	bool utf8;            /* the peer may be shown UTF-8 (SMTPUTF8 was asked for; POP3 UTF8 is on) */
};

/* how the same cause is said in the place where it happens */
enum cause_form {
	CAUSE_SMTP,         /* a reply; the session goes on */
	CAUSE_SMTP_CLOSING, /* the session ends with it (421, 554) */
	CAUSE_SMTP_AUTH,    /* in answer to AUTH, where the codes differ (454, 535) */
	CAUSE_POP3,         /* -ERR with a response code of RFC 2449, 3206 where there is one */
	CAUSE_FORM_COUNT
};

struct cause_reply {
	unsigned code;        /* SMTP reply code; 0 in POP3 */
	const char *enhanced; /* "5.7.1"; POP3: the response code without brackets ("AUTH", "IN-USE", "SYS/TEMP") or "" */
	const char *text;     /* template; the same sentence stands in the first and the last line. {rcpt} names a fact; [...{fact}...] is left out when it is empty */
};

struct cause_advice {
	const char *who;  /* sender, client, admin, remote-admin, nobody */
	const char *what;
};

struct cause {
	const char *slug;
	struct cause_reply forms[CAUSE_FORM_COUNT]; /* text NULL: this form is not used (the generator fills CLOSING and AUTH from SMTP) */
	const char *next;             /* the next step in one line for the person who sees the reply; stands between first and last line */
	const char *meaning;          /* one sentence for a layman */
	const char *const *likely;    /* ranked, NULL-terminated */
	const struct cause_advice *fixes; /* ends with who == NULL */
	const char *const *patterns;  /* texts other servers use for it: case-insensitive substrings, "*" for anything within a line, NULL-terminated */
	const char *const *also;      /* "code enhanced" pairs that hint at it, e.g. "550 5.7.1", NULL-terminated */
	bool code_permanent;          /* the reply code says 5xx */
	bool cause_permanent;         /* it stays until somebody changes something */
	const char *retry;            /* no | later | after-fix */
	const char *source;           /* where one can look it up */
	enum cause_id shown_as;       /* replies print that entry, only the log says this one; CAUSE_NONE: shown as itself */
	bool own;                     /* false: known from other servers, this one does not say it (yet) */
	bool consequence;             /* usually follows an earlier refusal, which is the true reason */
	unsigned char common;         /* 1 rare .. 5 daily; ranks causes that a text fits equally */
};

const struct cause *cause_get(enum cause_id id); /* never NULL for a valid id; CAUSE_NONE gives NULL */
const char *cause_slug(enum cause_id id);        /* "" for CAUSE_NONE */
enum cause_id cause_by_slug(struct span slug);   /* CAUSE_NONE: no such */

/* Where the form asked for has no words, the writers below and cause_code borrow those of another form of the same cause. */

/* code of that form, e.g. to see whether it is 4xx; 0 in POP3 */
unsigned cause_code(enum cause_id id, enum cause_form form);

/* Writes the SMTP reply: first line "CODE-ENH sentence", middle lines (`middle`, already plain text; then the entry's `next`), last line
 * "CODE ENH sentence (slug; rule: RULE; ref REF)".
 * With no middle lines and no next step it is one line. Every line ends CRLF, is at most 512 octets and pure printable ASCII (UTF-8 allowed when
 * utf8); in the last line the sentence is shortened so that slug and ref always fit and stand before octet 200. */
void cause_write_smtp(struct buf *out, enum cause_id id, enum cause_form form, const struct cause_facts *facts, struct span ref,
	const struct span *middle, size_t middle_count);
/* "-ERR [CODE] sentence (slug; rule: RULE; ref REF)" CRLF, at most 512 octets (RFC 2449 4) */
void cause_write_pop3(struct buf *out, enum cause_id id, const struct cause_facts *facts, struct span ref);
/* only the filled-in sentence of that form, safe, at most max bytes */
void cause_write_sentence(struct buf *out, enum cause_id id, enum cause_form form, const struct cause_facts *facts, size_t max);

#endif
