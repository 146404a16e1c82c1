/* pop3_internal - the state of one POP3 conversation, shared by the files of this directory and by nobody else. */
#ifndef MAILROOM_PROTO_POP3_POP3_INTERNAL_H
#define MAILROOM_PROTO_POP3_POP3_INTERNAL_H

#include "base/limits.h"
#include "proto/pop3/pop3_in.h"

enum {
	POP3_FETCH_BYTES = 64 << 10,      /* asked of a message at a time */
	POP3_FETCH_TOP_BYTES = 8 << 10,   /* TOP mostly wants the header alone */
	POP3_FETCH_ROOM_BYTES = 32 << 10, /* unsent output up to which more of a message is asked: 4/3 of a chunk (a dot on every line) still fits LIMIT_POP3_OUT_BYTES */
	POP3_LIST_FILL_BYTES = 32 << 10,  /* unsent output up to which a listing is written ahead */
	POP3_READ_ROOM_BYTES = 64 << 10,  /* unsent output past which no command is read */
	POP3_KEEP_BYTES = 512,            /* larger buffers are given back when they are empty */
	POP3_EVENTS_MAX = 8,              /* refusals not yet taken by the owner; the oldest gives way */
	POP3_WORD_SHOWN_BYTES = 32,       /* of an unknown verb */
};

enum pop3_state {
	POP3_AUTHORIZATION,
	POP3_SASL,        /* a challenge was sent, the client's line is awaited */
	POP3_SASL_FINAL,  /* the server's last data was sent, an empty line is awaited (RFC 5034 4) */
	POP3_TRANSACTION,
	POP3_UPDATE,      /* QUIT was received after sign-in */
	POP3_CLOSED,
};
enum { POP3_AT_AUTHORIZATION = 1 << POP3_AUTHORIZATION, POP3_AT_TRANSACTION = 1 << POP3_TRANSACTION };

/* 16 bytes a message. A message is deleted when its round is the session's: so RSET, which begins a new round, is O(1). */
struct pop3_item {
	uint64_t uid;
	uint64_t round_bytes; /* high 24 bits: the round in which it was deleted, 0 never; low 40: size */
};
#define POP3_ITEM_BYTES_MAX ((1ULL << 40) - 1)
#define POP3_ROUND_MAX ((1U << 24) - 1)

enum pop3_job_kind { POP3_JOB_NONE, POP3_JOB_LIST, POP3_JOB_UIDL, POP3_JOB_RETR, POP3_JOB_TOP };

/* a multi-line reply that is being written */
struct pop3_job {
	enum pop3_job_kind kind;
	uint32_t at;         /* index of the message; listings: of the next one */
	uint64_t offset;     /* bytes of the message taken so far */
	uint64_t lines_left; /* TOP: body lines still wanted */
	uint64_t line_bytes; /* of the line begun, with its CR and LF */
	bool begun;          /* "+OK" is written */
	bool line_open;      /* what was written last is not CRLF */
	bool prev_cr;        /* the last byte was CR */
	bool prev_lf;        /* ... LF */
	bool in_body;        /* TOP: the empty line has passed */
	bool done;           /* TOP: enough lines */
};

struct pop3_event_row {
	enum cause_id cause;
	const char *verb; /* of the table, or NULL */
	char *word;       /* owned: what stood in its place */
};

struct pop3_in {
	const struct pop3_rules *rules;
	enum pop3_state state;
	enum pop3_want want;      /* to be handed out by the next call of next() */
	enum pop3_want open;      /* handed out, the answer is awaited */
	bool cancel_due, close_due;
	bool is_tls, utf8;
	bool stls_begun;          /* STLS was read and is not yet answered */
	bool sasl_active;         /* the owner keeps state of a sign-in */
	bool has_initial, from_pass;
	bool committing;          /* the uids are lent to the owner */
	bool streaming;           /* a multi-line reply is being written or read by the peer */
	bool progressed;          /* the peer read some of it since the last tick */
	bool rearm;               /* the peer has read all of it; the clock starts anew at the next tick */

	/* input */
	bool line_cr;             /* the last byte was CR */
	bool line_answered;       /* the faulty line has its reply, its rest is dropped */
	bool line_first;          /* nothing was read yet */
	enum cause_id line_fault;
	struct buf line;

	struct buf out;
	size_t out_at;            /* sent so far */

	enum cause_id shutdown;
	uint32_t bad_commands, auth_failures, idle_commands;
	mono_ms now, start, since, close_at;

	/* sign-in */
	char *user;               /* argument of USER */
	struct span mechanism;    /* points into the rules or is a literal */
	struct buf sasl;          /* decoded bytes for the owner; wiped after its answer */
	char *account;

	/* the mailbox */
	struct pop3_item *items;
	uint32_t item_count, item_room;
	uint32_t live_count;      /* not deleted */
	uint64_t live_bytes, all_bytes;
	uint32_t round;
	uint32_t uidvalidity;
	struct pop3_job job;
	uint32_t fetch_max;       /* bytes asked for */
	struct pop3_tally tally;

	const char *verb;         /* in hand; NULL: none or unknown */
	struct pop3_event_row events[POP3_EVENTS_MAX];
	uint8_t event_first, event_count;
	char *event_word;         /* lent to the owner until its next call */

	size_t ref_bytes;
	uint8_t ref[];
};

/* ---- pop3_in.c */
static inline size_t pop3_pending_bytes(const struct pop3_in *p) { return p->out.len - p->out_at; }
/* moves unsent output to the front, so that the whole room is there */
void pop3_out_compact(struct pop3_in *p);
/* one "-ERR" from the catalogue and an event for the log; facts may be NULL; {command} defaults to the verb in hand */
void pop3_refuse(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts);
/* the same for what only a faulty program sends: counted, and the last one allowed ends the session */
void pop3_refuse_bad(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts);
/* an event without a reply; word: what stood where a verb belongs */
void pop3_event_add(struct pop3_in *p, enum cause_id cause, struct span word);
/* the session ends; what is in out() may still leave */
void pop3_end(struct pop3_in *p);
/* the reply in hand is complete: goes on with what had to wait for it (shutdown) */
void pop3_settle(struct pop3_in *p);
/* mem that held a secret */
void pop3_wipe(struct buf *b);
void pop3_wipe_str(char **s);

/* ---- pop3_command.c */
struct pop3_args {
	struct span text;    /* all behind the verb and one blank */
	struct span word[2];
	unsigned count;
	const char *usage;
};
void pop3_command(struct pop3_in *p, struct span line);
void pop3_refuse_usage(struct pop3_in *p, const struct pop3_args *a);

/* ---- pop3_auth.c */
void pop3_cmd_user(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_pass(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_auth(struct pop3_in *p, const struct pop3_args *a);
/* a line in POP3_SASL or POP3_SASL_FINAL */
void pop3_auth_line(struct pop3_in *p, struct span line);
/* forgets a sign-in that has begun; the owner is told */
void pop3_auth_drop(struct pop3_in *p);
bool pop3_auth_allowed(const struct pop3_in *p);
/* walks the mechanisms offered now; start with *rest = all of the rules' */
bool pop3_auth_mechanism_next(const struct pop3_in *p, struct span *rest, struct span *out);

/* ---- pop3_maildrop.c */
void pop3_cmd_stat(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_list(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_uidl(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_dele(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_rset(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_noop(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_quit(struct pop3_in *p, const struct pop3_args *a);
/* the message a->word[0] names; false: refused */
bool pop3_message_find(struct pop3_in *p, const struct pop3_args *a, uint32_t *at_out);
static inline uint64_t pop3_item_bytes(const struct pop3_item *i) { return i->round_bytes & POP3_ITEM_BYTES_MAX; }
static inline bool pop3_item_deleted(const struct pop3_in *p, const struct pop3_item *i) { return i->round_bytes >> 40 == p->round; }
/* writes on with a listing while there is room */
void pop3_list_fill(struct pop3_in *p);

/* ---- pop3_retr.c */
void pop3_cmd_retr(struct pop3_in *p, const struct pop3_args *a);
void pop3_cmd_top(struct pop3_in *p, const struct pop3_args *a);
/* asks for more of the message once there is room */
void pop3_retr_ask(struct pop3_in *p);

#endif
