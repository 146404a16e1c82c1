/* sieve - the owner's filter language: compile a script once, run it over a message, get a list of actions with the line that made each
 * decision. Pure: no files, no MIME, no clock; the message is asked for through struct sieve_ops (sieve_mail.h has one over a stored
 * message). Does nothing by itself: filing, refusing, sending are the caller's. docs/SIEVE.md has the language as people see it.
 * RFC 5228 with fileinto, envelope and encoded-character; 3894, 5173, 5229, 5230, 5231, 5232, 5233, 5260, 5293 (addheader), 5429, 5703, 6131. */
#ifndef MAILROOM_POLICY_SIEVE_H
#define MAILROOM_POLICY_SIEVE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct sieve_script; /* compiled; opaque, never changes, lives in its arena; holds no pointer into the text it was made of */

/* what is wrong, and what would be right. Lines and columns count from 1, columns in characters; 0: not known (all of the line). */
struct sieve_fault {
	unsigned line, column;
	struct err why;
};

enum { /* what is not to be had here, for sieve_rules.refuse */
	SIEVE_REFUSE_VACATION = 1,
	SIEVE_REFUSE_REDIRECT = 2,
	SIEVE_REFUSE_ADDHEADER = 4,
};

struct sieve_rules {
	unsigned refuse;        /* SIEVE_REFUSE_...: a script that names it does not compile */
	size_t compiled_bytes;  /* the compiled form may be that large; 0: LIMIT_SIEVE_COMPILED_BYTES */
};

/* RC_OK, else the fault is filled: RC_BAD (the script is wrong), RC_LIMIT (a named limit, or the arena is full). rules may be NULL. */
enum rc sieve_compile(struct span text, const struct sieve_rules *rules, struct arena *mem, const struct sieve_script **out,
	struct sieve_fault *fault) RC_WARN;

/* What a script may do or ask for, whichever way it goes; the server prepares that and nothing else. */
enum sieve_needs {
	SIEVE_NEEDS_REJECT = 1,       /* may refuse: has to run before the final reply */
	SIEVE_NEEDS_FILE = 2,
	SIEVE_NEEDS_REDIRECT = 4,
	SIEVE_NEEDS_VACATION = 8,
	SIEVE_NEEDS_ADDHEADER = 16,
	SIEVE_NEEDS_FLAGS = 32,
	SIEVE_NEEDS_ENVELOPE = 64,
	SIEVE_NEEDS_HEADER = 128,
	SIEVE_NEEDS_BODY = 256,       /* ops.body */
	SIEVE_NEEDS_PARTS = 512,      /* ops.part: the MIME structure */
	SIEVE_NEEDS_ATTACHMENTS = 1024, /* ops.attachment: names and declared types */
	SIEVE_NEEDS_CONTENT = 2048,   /* ... also what their bytes are */
	SIEVE_NEEDS_INSIDE = 4096,    /* ... also what is in archives */
	SIEVE_NEEDS_TIME = 8192,
	SIEVE_NEEDS_REDIRECT_ANY = 16384, /* redirects to addresses that do not stand in the script as they are */
};
unsigned sieve_script_needs(const struct sieve_script *script); /* SIEVE_NEEDS_... */
size_t sieve_script_bytes(const struct sieve_script *script);   /* memory of the compiled form */
/* The script as canonical text: compiles again to the same. Comments are gone. */
void sieve_print(const struct sieve_script *script, struct buf *out);
/* Names for a capability line, blank between them: "fileinto reject ..."; without what rules refuse. */
void sieve_write_extensions(const struct sieve_rules *rules, struct buf *out);

/* --- the message --- */

struct sieve_part {          /* one MIME part; part 0 is the message itself, the others follow in the order of their headers */
	unsigned end;            /* number of the part after its last descendant */
	struct span type, subtype; /* lower case, as the MIME reader understands the part: "text" "plain" where nothing is said */
	bool multipart;          /* has no content of its own */
};

struct sieve_field {         /* one header field */
	struct span raw;         /* value unfolded, without blanks around it */
	struct span decoded;     /* the same with RFC 2047 words decoded, UTF-8 */
};

enum sieve_body {
	SIEVE_BODY_RAW,          /* of part 0 only: all after the header block, as it arrived */
	SIEVE_BODY_CONTENT,      /* of a part: transfer encoding removed, text in UTF-8 */
	SIEVE_BODY_TEXT,         /* the same as words: without the tags of HTML; nothing for what is no text */
};

struct sieve_attachment {
	const struct span *names;    /* every candidate that a mail program may show or save it as */
	size_t name_count;
	struct span type;            /* declared: "application/zip" */
	const struct span *content;  /* what the bytes say: MIME types, perhaps several ("application/zip", "application/java-archive") */
	size_t content_count;
	const struct span *inside;   /* names of members of the archive and of archives in it */
	size_t inside_count;
	bool unreadable;             /* an archive that cannot be looked into (broken, too large, too deep, unknown kind) */
	bool encrypted;              /* an archive that keeps its content or names from us */
};

/* All functions are called only when the script needs them. What they return has to live until sieve_run is back. */
struct sieve_ops {
	/* the nth (from 0) field of that name (any case) in the header of that part; false: there is none */
	bool (*field)(void *owner, unsigned part, struct span name, unsigned nth, struct sieve_field *out);
	bool (*part)(void *owner, unsigned part, struct sieve_part *out); /* false: no part has that number */
	/* a parameter of a structured field of a part ("Content-Type", "filename"), decoded (RFC 2231, 2047); false: there is none */
	bool (*param)(void *owner, unsigned part, struct span field, struct span param, struct span *out);
	bool (*body)(void *owner, unsigned part, enum sieve_body form, struct span *out); /* may be cut at LIMIT_SIEVE_BODY_BYTES */
	bool (*attachment)(void *owner, unsigned nth, struct sieve_attachment *out);
	bool (*incomplete)(void *owner); /* something of what was asked for was too large to be shown; may be NULL */
};

struct sieve_message {
	const struct sieve_ops *ops;
	void *owner;
	struct span from;        /* envelope sender as address_write spells it; empty: the null address */
	struct span to;          /* the recipient whose script this is, as the sender wrote it */
	struct span auth;        /* who the sender signed in as; empty: nobody */
	uint64_t size_bytes;
	int64_t now_ms;          /* since 1970, UTC */
	int zone_minutes;        /* the owner's offset from UTC */
};

/* --- the decision --- */

enum sieve_act {
	SIEVE_KEEP,
	SIEVE_FILEINTO,
	SIEVE_REJECT,            /* RFC 5429: refuse in the session where that is still possible */
	SIEVE_EREJECT,           /* ... and never with a message of its own to a forged sender */
	SIEVE_DISCARD,
	SIEVE_REDIRECT,
	SIEVE_ADDHEADER,
	SIEVE_VACATION,
};

struct sieve_vacation {      /* RFC 5230, 6131; the checks of its section 4 (lists, automatic mail, whom it was sent to): policy/vacation.h */
	unsigned seconds;        /* LIMIT_SIEVE_VACATION_SECONDS.. as many as are in LIMIT_SIEVE_VACATION_DAYS: so long nobody is answered twice */
	struct span subject, from, handle; /* empty: not given */
	const struct span *addresses;
	size_t address_count;
	bool mime;               /* the reason is a MIME entity */
};

struct sieve_action {
	enum sieve_act act;
	unsigned line;           /* of the script; 0: implicit keep */
	bool copy;               /* :copy */
	bool last;               /* addheader :last: below the other fields, else above them */
	struct span text;        /* folder (UTF-8), reason (UTF-8, may have line breaks), address, field name */
	struct span value;       /* addheader: field value, one line of UTF-8 */
	const struct span *flags; /* keep, fileinto: "\\Seen", "work"; each once */
	size_t flag_count;
	const struct sieve_vacation *vacation;
};

enum sieve_end {
	SIEVE_DONE,
	SIEVE_OVER,              /* the step budget (or a limit of LIMIT_SIEVE_...) was reached */
	SIEVE_FAULT,             /* actions that exclude each other, or one that makes no sense */
};

/* Where the end is not SIEVE_DONE, the one action is the implicit keep and `fault` says what happened and where (RFC 5228 2.10.6). */
struct sieve_result {
	enum sieve_end end;
	const struct sieve_action *actions; /* in the order of the script */
	size_t action_count;     /* at least 1 */
	bool incomplete;         /* the message was too large to be looked at whole; the decision stands on what was seen */
	uint64_t steps;          /* used */
	struct sieve_fault fault;
};

/* Bounded by `steps`: one per byte compared, some per command, test and value (LIMIT_SIEVE_STEPS is a good value). The result lives in mem; what it
 * cannot hold ends as SIEVE_OVER with a static keep, so there is always an action. */
enum sieve_end sieve_run(const struct sieve_script *script, const struct sieve_message *message, uint64_t steps, struct arena *mem,
	struct sieve_result *out);

const char *sieve_act_name(enum sieve_act act); /* "fileinto" */
/* "rule at line 12: reject", "no rule applied: keep"; safe for a log */
void sieve_write_why(const struct sieve_action *action, struct buf *out);

#endif
