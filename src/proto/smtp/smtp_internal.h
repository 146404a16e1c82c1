/* smtp_internal - what the files of the SMTP server engine share; nobody else includes it. */
#ifndef MAILROOM_PROTO_SMTP_SMTP_INTERNAL_H
#define MAILROOM_PROTO_SMTP_SMTP_INTERNAL_H

#include "base/limits.h"
#include "base/map.h"
#include "mail/mime_wide.h"
#include "proto/smtp/smtp_dots.h"
#include "proto/smtp/smtp_in.h"

enum {
	SMTP_EVENTS_BYTES = 32 << 10,   /* refusals not yet taken by the owner; past it they are not recorded */
	SMTP_SCRATCH_BYTES = 128 << 10, /* recipients in question */
	SMTP_SCRATCH_PAUSE_BYTES = 48 << 10,
	SMTP_ENVELOPE_BYTES = 48 << 10, /* and for each recipient that may be taken: */
	SMTP_ENVELOPE_RCPT_BYTES = 1024,
	SMTP_ENVELOPE_KEEP_BYTES = 24 << 10, /* of it stay free for refusals and the facts of the header */
	SMTP_CHUNK_SMALL_BYTES = 64,    /* BDAT: smaller ones count against noop_max, but for the last */
	SMTP_FLOOD_BYTES = 64 << 20,    /* refused message bytes that are swallowed beyond twice the limit */
	SMTP_RATE_GRACE_MS = 60000,     /* before data_rate_floor counts */
	SMTP_WHYS_MAX = 10,             /* XWHY in one session */
	SMTP_CAUSES_KEPT = 8,           /* different causes counted among refused recipients */
	SMTP_SENTENCE_BYTES = 200,
	SMTP_SHOWN_BYTES = 320,         /* of an address in facts and events */
	SMTP_RULE_BYTES = 64,           /* of the one whose rule decided */
	SMTP_OWN_HOPS = 3,              /* times that a message may have been here before: aliases of other servers lead back now and then */
	SMTP_WATCHED_MAX = 32,          /* recipients whose own Delivered-To proves a circle; more are a list, which has its own ways */
};

enum smtp_state {
	SMTP_STATE_COMMAND,
	SMTP_STATE_AUTH,   /* the next line answers a challenge */
	SMTP_STATE_DATA,
	SMTP_STATE_BDAT,
	SMTP_STATE_TLS,    /* 220 was queued; the owner does the handshake */
	SMTP_STATE_CLOSED, /* input is dropped */
};

enum smtp_wait { SMTP_WAIT_NONE, SMTP_WAIT_MAIL, SMTP_WAIT_AUTH, SMTP_WAIT_AUTH_STEP, SMTP_WAIT_ACCEPT, SMTP_WAIT_WHY };

/* a RCPT whose reply has not left yet: asked, or answered and waiting for its turn. Lives in the scratch arena */
struct smtp_slot {
	struct smtp_slot *next;
	uint32_t id;
	bool asked, answered, bad; /* bad: malformed, counts against bad_command_max */
	struct smtp_rcpt rcpt;
	struct span text; /* as the client wrote it */
	enum cause_id cause;
	struct cause_facts facts;
};

struct smtp_refusal {
	enum cause_id cause;
	enum cause_form form;
	struct span who, sentence, rule; /* in the envelope arena */
};

/* what was refused in this transaction (allocated with the first) */
struct smtp_refusals {
	bool has_mail;
	struct smtp_refusal mail;
	uint32_t total, kept_count, cause_count;
	struct smtp_refusal kept[LIMIT_SMTP_REFUSALS_KEPT];
	struct { enum cause_id cause; uint32_t count; } causes[SMTP_CAUSES_KEPT];
};

/* the message that is coming in */
struct smtp_message {
	bool begun, ended, given;  /* a message is under way; its end was read; the owner holds bytes of it */
	bool bdat;                 /* ... sent with BDAT */
	bool swallow;              /* BDAT: this chunk belongs to nothing */
	bool chunk_last;
	enum cause_id spoiled;     /* why it will be refused at its end */
	struct smtp_dots dots;
	uint64_t chunk_left, chunk_bytes;
	uint64_t bytes, raw_bytes; /* message bytes; bytes read in all */
	uint64_t rate_bytes;       /* bytes since ... */
	mono_ms rate_since;        /* ... the message or this chunk of it began */
	struct header_scan *scan;  /* in the envelope arena */
	struct mime_wide wide;     /* fed where SMTPUTF8 was said */
	struct span rest;          /* bytes of the last feed that next() hands out */
	size_t drops, drop_at;
};

struct smtp_in {
	const struct smtp_rules *rules;
	char ref[17], mechanism[21]; /* RFC 4422 3.1: names have at most 20 characters */
	enum smtp_state state;
	enum smtp_wait wait; /* a question that everything waits for ... */
	bool wait_asked;     /* ... and it was handed out */
	bool tls, esmtp, in_mail;
	bool auth_open, auth_final, auth_initial; /* the owner has a sign-in in hand; only the 235 is missing; the question came with AUTH itself */
	bool data_refused;   /* DATA got a 503: unknown commands may be a message */
	bool greeted;        /* the banner has left */
	bool must_read;      /* the client has to read the reply before it goes on, and that has not left */
	bool line_over, line_swallow, line_cr; /* line too long; behind a bare LF; last byte was CR */
	bool due_auth_cancel, due_discard, due_reset, due_tls, due_close;
	bool answered_untimed; /* an answer came after the last known time */
	bool eof;
	bool finish_message; /* shutdown waits for the message that is coming in */
	enum cause_id shutdown;
	uint32_t next_id, wait_id;
	uint32_t transactions, bad_commands, noops, auth_failures, unauth_commands, whys, why_max;
	uint32_t rcpts_refused; /* for good, since the last accepted message */
	uint32_t slots_open, rcpt_count, rcpt_size;
	mono_ms now, since, session_since; /* latest known; last complete command; birth or last accepted message */
	struct span verb;                  /* command in hand; static, but for an unknown one (valid while it runs) */
	struct buf line, out, helo, account, events, sasl;
	size_t out_sent, out_tls_at, events_read;
	struct arena envelope, scratch;
	struct smtp_mail mail;
	struct smtp_rcpt *rcpts;
	struct map domains; /* hash of each different domain among these, where there is a limit; no memory while there are none */
	struct smtp_slot *slots, **slots_end;
	struct smtp_refusals *refusals;
	struct smtp_message message;
};

#define SMTP_GO_AHEAD "354 Send the message, end with a line of a single dot\r\n"

/* smtp_reply.c. `facts` may be NULL; the command is filled in. */
void smtp_reply(struct smtp_in *s, const char *line); /* 2xx and 3xx only, with CRLF */
void smtp_refuse(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts);
void smtp_refuse_lines(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts, const struct span *middle, size_t count);
void smtp_refuse_bad(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts); /* counts against bad_command_max */
void smtp_refuse_verdict(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts); /* the owner's: one that is said with 421 closes */
void smtp_close(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts);
void smtp_end(struct smtp_in *s); /* nothing more comes in; CLOSE is due */
/* the client must read the reply that was just written before it says more (RFC 2920 3.1) */
void smtp_must_read(struct smtp_in *s);
bool smtp_talks_early(struct smtp_in *s, struct span rest); /* it did not wait: the session ends */
/* smtp_time.c */
bool smtp_in_finishes(const struct smtp_in *s); /* shutting down, but the message that is coming in may end first */
bool smtp_in_settle(struct smtp_in *s); /* nothing is in hand: the ends that waited for that (shutdown, end of input); true: it ended */

struct span smtp_write_bytes(char text[32], uint64_t bytes); /* "25 MiB" */
struct span smtp_write_count(char text[32], uint64_t count, const char *unit);

/* smtp_command.c */
size_t smtp_command_take(struct smtp_in *s, struct span in); /* bytes taken; 0: the line has to wait */

/* smtp_session.c */
void smtp_banner(struct smtp_in *s);
void smtp_ehlo_run(struct smtp_in *s, struct span arg);
void smtp_helo_run(struct smtp_in *s, struct span arg);
void smtp_starttls_run(struct smtp_in *s, struct span arg);
void smtp_noop_run(struct smtp_in *s, struct span arg);
void smtp_rset_run(struct smtp_in *s, struct span arg);
void smtp_vrfy_run(struct smtp_in *s, struct span arg);
void smtp_help_run(struct smtp_in *s, struct span arg);
void smtp_quit_run(struct smtp_in *s, struct span arg);
bool smtp_mechanism_usable(const struct smtp_in *s, struct span mechanism); /* one of the listener's that fits the TLS state */
bool smtp_auth_usable(const struct smtp_in *s);

/* smtp_auth.c */
void smtp_auth_run(struct smtp_in *s, struct span arg);
void smtp_auth_line(struct smtp_in *s, struct span line, enum cause_id fault); /* the client's response; fault: the line is no good */
void smtp_auth_forget(struct smtp_in *s); /* AUTH_CANCEL where the owner has one in hand */

/* smtp_why.c */
void smtp_xwhy_run(struct smtp_in *s, struct span arg);

/* smtp_envelope.c */
void smtp_mail_run(struct smtp_in *s, struct span arg);
void smtp_rcpt_run(struct smtp_in *s, struct span arg);
bool smtp_rcpt_must_wait(const struct smtp_in *s);
void smtp_mail_answered(struct smtp_in *s, const struct verdict *v);
void smtp_slot_answered(struct smtp_in *s, uint32_t id, const struct verdict *v);
void smtp_transaction_clear(struct smtp_in *s); /* forgets envelope, message and refusals; DISCARD and RESET become due where the owner holds any */

/* smtp_params.c: the options behind the path of MAIL (rcpt NULL) or RCPT. A fault's words go to facts->detail or limit (static or in `text`). */
enum cause_id smtp_params_parse(struct smtp_in *s, struct span text, struct arena *mem, struct smtp_mail *mail, struct smtp_rcpt *rcpt,
	struct cause_facts *facts, char limit_text[32]);

/* smtp_data.c */
void smtp_data_run(struct smtp_in *s, struct span arg);
void smtp_bdat_run(struct smtp_in *s, struct span arg);
size_t smtp_data_take(struct smtp_in *s, struct span in);
size_t smtp_bdat_take(struct smtp_in *s, struct span in);
bool smtp_message_next(struct smtp_in *s, struct span *out); /* the next run of body bytes for the owner */
void smtp_message_end(struct smtp_in *s);                     /* the end was read and all bytes were handed out */
void smtp_accept_answered(struct smtp_in *s, const struct verdict *v);

/* smtp_refusals.c */
void smtp_refusals_mail(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts);
void smtp_refusals_rcpt(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts);
void smtp_refusals_explain(struct smtp_in *s, enum cause_id outer); /* the 503 that is a consequence */

/* smtp_loop.c: has the message been here before? */
void smtp_loop_watch(struct smtp_in *s); /* before the first byte of a message */
/* CAUSE_NONE, mail-loop or too-many-hops; words for it in *facts, in `text` or the envelope arena */
enum cause_id smtp_loop_judge(struct smtp_in *s, struct cause_facts *facts, char text[32]);

#endif
