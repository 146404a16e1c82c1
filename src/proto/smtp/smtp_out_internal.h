/* smtp_out_internal - what the files of the SMTP client engine share; nobody else includes it. */
#ifndef MAILROOM_PROTO_SMTP_SMTP_OUT_INTERNAL_H
#define MAILROOM_PROTO_SMTP_SMTP_OUT_INTERNAL_H

#include "base/arena.h"
#include "base/limits.h"
#include "proto/smtp/smtp_out.h"

enum {
	SMTP_OUT_FILL_BYTES = 64 << 10,     /* waiting to be sent: past it no command is added and there is no room for the message */
	SMTP_OUT_BUFFER_BYTES = 256 << 10,  /* ... and what that may become: dots double at most every third byte */
	SMTP_OUT_RCPTS = 100,               /* at once, where the server says nothing (RFC 5321 4.5.3.1.8) */
	SMTP_OUT_RCPTS_MAX = 1000,          /* ... whatever it says */
	SMTP_OUT_CHUNKS = 8,                /* BDAT without their replies */
	SMTP_OUT_NAME_BYTES = 255,
	SMTP_OUT_MECHANISMS_BYTES = 512,
	SMTP_OUT_ENHANCED_BYTES = 12,
	SMTP_OUT_RCPT_BYTES = 2048,         /* arena for each recipient: its path, its reply */
	SMTP_OUT_MAIL_BYTES = 4096,
	SMTP_OUT_BLANK_LINES = 8,           /* between two replies */
};

enum smtp_out_state {
	SMTP_OUT_S_GREETING,
	SMTP_OUT_S_EHLO,
	SMTP_OUT_S_HELO,
	SMTP_OUT_S_STARTTLS,
	SMTP_OUT_S_TLS,         /* the owner shakes hands */
	SMTP_OUT_S_AUTH_ASK,    /* the owner chooses a mechanism */
	SMTP_OUT_S_AUTH,
	SMTP_OUT_S_AUTH_STEP,   /* the owner answers a challenge */
	SMTP_OUT_S_AUTH_CANCEL,
	SMTP_OUT_S_READY,
	SMTP_OUT_S_ENVELOPE,    /* RSET, MAIL, RCPT, DATA: see struct smtp_out_envelope */
	SMTP_OUT_S_BODY,
	SMTP_OUT_S_END,         /* all was given */
	SMTP_OUT_S_QUIT,
	SMTP_OUT_S_DEAD,
};

/* the reply that is coming in */
struct smtp_out_reply {
	struct buf line;        /* without what is past its limit */
	bool cut;               /* the line was longer */
	bool begun;             /* a line "250-" was read; `code` is theirs */
	unsigned code, lines, blank;
	size_t bytes;
	char enhanced[SMTP_OUT_ENHANCED_BYTES];
	struct buf words;
	struct span text;       /* of the last line, raw, behind its code: valid while the reply is acted on */
};

struct smtp_out_caps {
	bool pipelining, starttls, eightbit, smtputf8, size, chunking, binarymime, dsn, requiretls, auth;
	uint64_t size_max, mail_max, rcpt_max; /* 0: not said */
	struct buf mechanisms;
};

struct smtp_out_rcpt_state {
	struct smtp_out_result r;
	struct span path;       /* as it is sent; empty: this one is not */
	bool accepted, decided;
};

/* The commands of an envelope, in order: step 0 RSET, 1 MAIL, then a RCPT each, last DATA. Two cursors walk over them. */
struct smtp_out_envelope {
	size_t send, recv;      /* next step to be sent; whose reply is the next one */
	size_t end;             /* step behind the last one that will be sent */
	size_t rcpts, accepted; /* steps of RCPT, those not sent any more left out; taken by the server */
	uint64_t *ends;         /* by step: where it ends in the stream of bytes sent */
	uint32_t *rcpt_of;      /* by step of RCPT: which recipient */
	bool data, refused;     /* DATA was sent; MAIL was refused */
};

struct smtp_out {
	const struct smtp_out_rules *rules;
	enum smtp_out_state state;
	enum smtp_out_tls tls;
	bool tls_up, tls_tried, want_auth, masked; /* masked: something in between hides the greeting ("220 ****") and must be handled with care */
	enum smtp_out_want due_want; /* the one that goes with the state; NOTHING: none, or it was handed out */
	bool due_done, due_failed, due_close;
	bool in_mail, need_rset;
	mono_ms now, since, began; /* of what is awaited; of the greeting or the message */
	struct smtp_out_reply reply;
	struct smtp_out_caps caps;
	struct buf out, name, challenge, failure_words;
	size_t out_at;             /* sent bytes of out */
	uint64_t sent, queued;     /* bytes of the whole connection (since TLS) */
	uint64_t command_end;      /* of the one command that is awaited an answer for */
	struct smtp_out_result failure;

	struct arena mem;          /* of the message in hand */
	const struct smtp_out_mail *mail;
	struct smtp_out_rcpt_state *rcpts;
	size_t rcpt_count;
	struct smtp_out_envelope env;
	struct span mail_sender;   /* as it is sent */
	bool mail_utf8;

	/* the body */
	bool bdat, hollow;         /* hollow: nobody was taken and the server waits for text all the same: it gets a lone dot */
	bool body_asked, body_refused, line_start, cr, dot_held;
	uint64_t body_bytes, chunk_ends[SMTP_OUT_CHUNKS + 1]; /* one more: an empty last one needs no room */
	size_t chunks;
};

/* smtp_out.c */
/* the connection is of no use any more; recipients without a fate get this one. Its spans may lie anywhere. */
void smtp_out_fail(struct smtp_out *s, const struct smtp_out_result *why);
void smtp_out_fail_fate(struct smtp_out *s, enum smtp_out_fate fate, const char *words);
void smtp_out_garbled(struct smtp_out *s, const char *words);
void smtp_out_enter(struct smtp_out *s, enum smtp_out_state state); /* the clock of what is awaited begins anew */
void smtp_out_say(struct smtp_out *s, const char *text);            /* into out */
void smtp_out_add(struct smtp_out *s, struct span bytes);
void smtp_out_command(struct smtp_out *s, enum smtp_out_state state); /* its text is in out: a reply is awaited */
bool smtp_out_in_doubt(const struct smtp_out *s);
static inline size_t smtp_out_pending(const struct smtp_out *s) { return s->out.len - s->out_at; }

/* smtp_out_reply.c */
void smtp_out_reply_init(struct smtp_out_reply *r);
void smtp_out_reply_clear(struct smtp_out_reply *r);
size_t smtp_out_reply_take(struct smtp_out *s, struct span in); /* up to the end of a line */
/* what the server has just said, as a fate: SENT, LATER, REFUSED by its class, else GARBLED; spans in `mem`, or in the reply where it is NULL */
struct smtp_out_result smtp_out_said(const struct smtp_out *s, enum smtp_out_stage stage, struct arena *mem);
/* the last line read is no answer, or does not fit what was asked: say so, and what it was */
void smtp_out_garbled_reply(struct smtp_out *s, const char *why);
/* printable text, at most `max` bytes in all */
void smtp_out_words_add(struct buf *words, struct span text, size_t max);

/* smtp_out_hello.c: greeting, EHLO, STARTTLS, AUTH. Each is called with a whole reply. */
void smtp_out_greeted(struct smtp_out *s);
void smtp_out_ehlo_line(struct smtp_out *s, struct span text, bool first);
void smtp_out_ehlo_done(struct smtp_out *s);
void smtp_out_helo_done(struct smtp_out *s);
void smtp_out_starttls_done(struct smtp_out *s);
void smtp_out_auth_done(struct smtp_out *s);
void smtp_out_caps_forget(struct smtp_out_caps *c);

/* smtp_out_mail.c */
void smtp_out_envelope_pump(struct smtp_out *s);
void smtp_out_envelope_replied(struct smtp_out *s);
void smtp_out_settle(struct smtp_out *s, const struct smtp_out_result *r); /* every recipient without a fate */
void smtp_out_over(struct smtp_out *s);                                    /* the message is */

/* smtp_out_body.c */
void smtp_out_body_begin(struct smtp_out *s);
void smtp_out_body_hollow(struct smtp_out *s);
void smtp_out_body_replied(struct smtp_out *s);
void smtp_out_body_sent(struct smtp_out *s);

#define SMTP_OUT_UNFIT "the server's answer does not fit the question"

#endif
