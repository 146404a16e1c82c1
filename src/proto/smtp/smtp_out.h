/* smtp_out - the sending half of one SMTP conversation: a client that greets, changes to TLS, signs in, and delivers one message after the other. No
 * sockets, files, clocks or logs: the owner feeds bytes and time, sends what out() offers, does what next() wants. Two cursors, one that sends and one that
 * receives, give pipelining (RFC 2920); partial acceptance is kept by recipient. RFC 5321, 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 8689, 9422.
 * Which host, which certificate, which message and what a refusal means are not its business.
 *
 * What the server sends is hostile: replies are bounded in lines and bytes, control characters never come out of it, a reply that cannot be read, that
 * contradicts itself, has no end or was not asked for is a failure of the connection (SMTP_OUT_FAILED), never a refusal: mail is deferred, not bounced.
 * Two may come unasked: 421 at any time, and a 4xx or 5xx while the message is still being sent (it will not be taken; the connection ends with it).
 * What has left is what smtp_out_sent was told: report at once, a reply to a command that has not left counts as not asked for.
 *
 * The owner's loop, after every feed, sent, tick or answer:
 *     while ((want = smtp_out_next(s)) != SMTP_OUT_NOTHING) act(want);
 *     send smtp_out_out(), report with smtp_out_sent(); arm a timer for smtp_out_deadline(). */
#ifndef MAILROOM_PROTO_SMTP_SMTP_OUT_H
#define MAILROOM_PROTO_SMTP_SMTP_OUT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"

enum smtp_out_tls {
	SMTP_OUT_TLS_NEVER,
	SMTP_OUT_TLS_MAY,  /* STARTTLS where it is offered; refused (4xx, 5xx): on in the clear */
	SMTP_OUT_TLS_MUST, /* not offered or refused: SMTP_OUT_FAILED */
};

enum {
	SMTP_OUT_REPLY_LINES = 512,       /* of one reply, and ... */
	SMTP_OUT_REPLY_BYTES = 64 << 10,
	SMTP_OUT_LINE_BYTES = 4096,       /* longer lines are cut in what is kept */
	SMTP_OUT_WORDS_BYTES = 500,       /* kept of a reply, lines joined by a blank, printable */
};

struct smtp_out_rules { /* shared by connections, outlives them */
	const char *helo;                 /* our name */
	/* RFC 5321 4.5.3.2; each for a whole reply: a server that sends a byte now and then gains nothing by it. 0: no limit */
	uint64_t connect_to_greeting_ms, command_ms, mail_ms, rcpt_ms, data_ms, body_chunk_ms, end_of_data_ms, quit_ms;
	uint64_t total_ms;                /* from the start to READY, and for each message, all answers together; 0: no limit */
	uint32_t body_rate_floor;         /* bytes a second: so much longer may a message take for its size; 0: a message that is being sent has no total */
};

struct smtp_out_rcpt {
	struct span address;
	unsigned notify;                  /* SMTP_NOTIFY_* of smtp_in.h; 0: not said */
	struct span orcpt;                /* "rfc822;x@y", xtext as it came; empty: none */
};

struct smtp_out_mail { /* spans and rcpts stay the owner's and unchanged until SMTP_OUT_DONE */
	struct span sender;               /* empty: <> */
	uint64_t bytes;                   /* of the message, CRLF counted as they are, without doubled dots */
	bool body_8bit, body_binary, smtputf8, requiretls;
	unsigned ret;                     /* 0, 1 HDRS, 2 FULL */
	struct span envid;                /* decoded */
	const struct smtp_out_rcpt *rcpts;
	size_t rcpt_count;                /* more than the server takes at once (LIMITS RCPTMAX, 452 4.5.3): those left are SMTP_OUT_LEFT */
};

enum smtp_out_want {
	SMTP_OUT_NOTHING,  /* feed, send or wait */
	SMTP_OUT_TLS,      /* the 220 to STARTTLS was read and nothing came behind it: shake hands, then smtp_out_tls_done; it failed: smtp_out_free */
	SMTP_OUT_AUTH,     /* sign-in is possible and was asked for: begin it with smtp_out_auth (mechanisms: smtp_out_mechanisms), or smtp_out_skip_auth */
	SMTP_OUT_AUTH_STEP, /* the server's decoded challenge is smtp_out_challenge(): answer with smtp_out_auth_answer, or smtp_out_auth_cancel (AUTH again) */
	SMTP_OUT_READY,    /* the server can be given a message (smtp_out_mail), or be left (smtp_out_quit) */
	SMTP_OUT_BODY,     /* at least one recipient was taken and the server waits: give bytes with smtp_out_body, up to smtp_out_room(). Comes once for each
	                    * smtp_out_body, which may be called (once) any time later */
	SMTP_OUT_DONE,     /* the message is over: smtp_out_result for each recipient; READY or FAILED follows once this was taken */
	SMTP_OUT_FAILED,   /* the connection is of no use: smtp_out_failure says why. Results of a message in hand come before, by DONE */
	SMTP_OUT_CLOSE,    /* QUIT is over */
};

enum smtp_out_stage { SMTP_OUT_AT_GREETING, SMTP_OUT_AT_EHLO, SMTP_OUT_AT_STARTTLS, SMTP_OUT_AT_AUTH, SMTP_OUT_AT_MAIL, SMTP_OUT_AT_RCPT, SMTP_OUT_AT_DATA,
	SMTP_OUT_AT_BODY, SMTP_OUT_AT_END, SMTP_OUT_AT_RSET, SMTP_OUT_AT_QUIT };

/* why a recipient, a message or a connection got where it is */
enum smtp_out_fate {
	SMTP_OUT_SENT,         /* 2xx at the end, this recipient was among those taken */
	SMTP_OUT_LATER,        /* 4xx said by the server */
	SMTP_OUT_REFUSED,      /* 5xx said by the server */
	SMTP_OUT_LEFT,         /* not tried, or limits of the server left it out: try again in a transaction of its own, at once */
	SMTP_OUT_LOST,         /* the connection ended before the answer; after the end of the data: nobody knows whether it was taken (`in_doubt`) */
	SMTP_OUT_TIMED_OUT,    /* likewise */
	SMTP_OUT_GARBLED,      /* the server's answer could not be understood */
	SMTP_OUT_UNABLE,       /* the server cannot take such a message: no SMTPUTF8, no REQUIRETLS, too big for its SIZE; nothing was sent. code 0 */
	SMTP_OUT_NO_TLS,       /* TLS was a must and is not there */
	SMTP_OUT_NO_AUTH,      /* sign-in was asked for and is not offered */
};
enum smtp_out_need { SMTP_OUT_NEEDS_NOTHING, SMTP_OUT_NEEDS_SMTPUTF8, SMTP_OUT_NEEDS_REQUIRETLS, SMTP_OUT_NEEDS_SIZE, SMTP_OUT_NEEDS_BINARY };

struct smtp_out_result {
	enum smtp_out_fate fate;
	enum smtp_out_stage stage;
	enum smtp_out_need need;   /* UNABLE: what it lacks */
	unsigned code;             /* 0: no reply */
	struct span enhanced;      /* "5.7.1" or empty */
	struct span words;         /* of the reply without its codes; printable ASCII or UTF-8; or what was wrong with it, in our words */
	bool in_doubt;             /* LOST, TIMED_OUT, GARBLED at SMTP_OUT_AT_END */
	bool closing;              /* 421: the server ends the session, whatever the recipient's fate */
	bool dsn;                  /* SENT: the server took NOTIFY and the like over */
};

struct smtp_out;
/* `tls_up`: the connection is TLS already (port 465). want_auth: AUTH is asked for once EHLO (after TLS) is answered. */
struct smtp_out *smtp_out_new(const struct smtp_out_rules *rules, enum smtp_out_tls tls, bool tls_up, bool want_auth, mono_ms now);
void smtp_out_free(struct smtp_out *s);

/* takes all bytes, or fails the connection */
void smtp_out_feed(struct smtp_out *s, struct span bytes, mono_ms now);
void smtp_out_eof(struct smtp_out *s, mono_ms now);
void smtp_out_tick(struct smtp_out *s, mono_ms now);
enum smtp_out_want smtp_out_next(struct smtp_out *s);

/* forgets what EHLO said and greets anew (RFC 3207 4.2) */
void smtp_out_tls_done(struct smtp_out *s, mono_ms now);

struct span smtp_out_mechanisms(const struct smtp_out *s); /* "PLAIN LOGIN" as offered; empty: none */
void smtp_out_auth(struct smtp_out *s, struct span mechanism, bool has_initial, struct span initial, mono_ms now);
struct span smtp_out_challenge(const struct smtp_out *s);
void smtp_out_auth_answer(struct smtp_out *s, struct span decoded, mono_ms now);
void smtp_out_auth_cancel(struct smtp_out *s, mono_ms now);
void smtp_out_skip_auth(struct smtp_out *s, mono_ms now);

/* in READY: begins a message */
void smtp_out_mail(struct smtp_out *s, const struct smtp_out_mail *mail, mono_ms now);
/* how many bytes of the message may be given now; 0: out() is full */
size_t smtp_out_room(const struct smtp_out *s);
/* The next bytes of the message, in order; last: these were all (perhaps none). Dots are doubled here, and a last line without its end gets one. In a message
 * that is not body_binary a lone CR, LF or NUL makes it UNABLE (SMTP_OUT_NEEDS_BINARY) and ends the connection before the end of the data; one that is goes by
 * BDAT, or not at all. 8-bit text goes as it is to servers without 8BITMIME: what RFC 6152 asks for instead breaks signatures, and those that would lose a bit
 * are gone. Lines are not broken, however long they are. */
void smtp_out_body(struct smtp_out *s, struct span bytes, bool last, mono_ms now);
/* the owner cannot give the rest: the connection ends without the end of the data; results: LOST */
void smtp_out_abort(struct smtp_out *s);
void smtp_out_quit(struct smtp_out *s, mono_ms now);

/* valid from DONE until the next smtp_out_mail; i as in rcpts */
struct smtp_out_result smtp_out_result(const struct smtp_out *s, size_t i);
/* valid from FAILED on */
struct smtp_out_result smtp_out_failure(const struct smtp_out *s);

struct span smtp_out_out(const struct smtp_out *s);
void smtp_out_sent(struct smtp_out *s, size_t n, mono_ms now);
mono_ms smtp_out_deadline(const struct smtp_out *s);

/* what EHLO said */
bool smtp_out_has_starttls(const struct smtp_out *s);
bool smtp_out_has_dsn(const struct smtp_out *s);
uint64_t smtp_out_size_max(const struct smtp_out *s);      /* 0: not said */
size_t smtp_out_rcpt_max(const struct smtp_out *s);        /* at once; 100 where it said nothing (RFC 5321 4.5.3.1.8) */
uint32_t smtp_out_mail_max(const struct smtp_out *s);      /* messages over this connection (RFC 9422); 0: not said */
struct span smtp_out_server_name(const struct smtp_out *s); /* of the greeting; printable */
enum smtp_out_stage smtp_out_stage(const struct smtp_out *s);

#endif
