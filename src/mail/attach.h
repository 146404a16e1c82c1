/* attach - what a part really is: its type by content, and the names of what an archive in it holds (libarchive through callbacks, own
 * code for zip directories), archives inside archives to LIMIT_ATTACH_DEPTH. Work is spread: each attach_run does a bounded piece.
 * Opens no file, runs no program, converts no charset by iconv; for that attach_prepare() has to be called once before a sandbox closes
 * (libc loads the UTF-8 locale and the time zone there, and TZ is set if it was not). Not looked into, and said so by
 * ATTACH_UNREADABLE: xar, lha, ace, arj, tnef and others of ATTACH_IS_SEALED. Does not judge: a filter does. */
#ifndef MAILROOM_MAIL_ATTACH_H
#define MAILROOM_MAIL_ATTACH_H

#include "mail/mime.h"

struct attach_type {
	const char *mime; /* "application/zip" */
	const char *word; /* "zip" */
	unsigned flags;   /* ATTACH_IS_... */
};
enum {
	ATTACH_IS_ARCHIVE = 1,    /* holds members that can be looked into */
	ATTACH_IS_EXECUTABLE = 2, /* a program or script for some system */
	ATTACH_IS_TEXT = 4,
	ATTACH_IS_SEALED = 8,     /* an archive of a kind that is not looked into */
};

/* By the first bytes of a file (ATTACH_HEAD_BYTES are enough). Always answers: "text/plain" or "application/octet-stream" where nothing else fits. */
enum { ATTACH_HEAD_BYTES = 36 << 10 }; /* an ISO image says so at 32 KiB */
const struct attach_type *attach_type_of(struct span head);

enum { /* facts beside the type */
	ATTACH_ENCRYPTED = 1,  /* content or names are kept from us by a password */
	ATTACH_UNREADABLE = 2, /* damaged, or of a kind that is not looked into: members may be missing */
	ATTACH_OVER = 4,       /* a limit (LIMIT_ATTACH_...) was reached: members may be missing */
	ATTACH_NESTED = 8,     /* archives inside the archive were looked into */
	ATTACH_CUT = 16,       /* the message could not be read to the end of the part */
};

struct attach_member {
	const struct attach_member *next;
	struct span name;               /* UTF-8 as far as it can be, path included */
	struct span key;                /* mime_name_key of it */
	const struct attach_type *type; /* by content; NULL: not looked at (a directory, encrypted, found in the directory only) */
	uint64_t bytes;                 /* unpacked, as far as looked at */
	unsigned depth;                 /* 1: in the part itself, 2: in an archive in it ... */
};

struct attach_facts {
	const struct attach_type *type;      /* of the part's bytes; refined by what the members say ("docx", "jar") */
	const struct attach_type *container; /* what type refines ("zip"), else the same */
	const struct attach_member *members;
	unsigned member_count;
	unsigned flags;
	uint64_t bytes_in, bytes_out; /* decoded bytes of the part that were read, unpacked bytes of all members */
};

enum { /* how far to look */
	ATTACH_TYPE = 0,   /* the first bytes only */
	ATTACH_INSIDE = 1, /* members too */
};

/* Loads libarchive and what it reads from files. RC_IO: it is not there */
enum rc attach_prepare(struct err *err) RC_WARN;

struct attach; /* heap */
/* source and part have to outlive it */
struct attach *attach_new(const struct mime_source *source, const struct mime_part *part, unsigned how);
void attach_free(struct attach **a);
/* Reads or unpacks about so many bytes more (ATTACH_STEP_BYTES is a good value); true: there is more to do. */
enum { ATTACH_STEP_BYTES = 1 << 20 };
bool attach_run(struct attach *a, uint64_t bytes);
/* so far; owned by a */
const struct attach_facts *attach_facts(const struct attach *a);

#endif
