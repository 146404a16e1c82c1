/* smtp_in - the receiving half of one SMTP conversation. No sockets, files, clocks or logs: the owner feeds bytes and
 * time, sends what out() offers, answers what next() asks. Several RCPT questions may be open at once; replies leave in
 * command order. RFC 5321, 1870, 2033 (not), 2920, 3030, 3207, 3461, 4954, 6152, 6409, 6531, 8689, 9422.
 *
 * The owner's loop, after every feed, answer, sent or tick:
 *     while ((want = smtp_in_next(s, &ask)) != SMTP_WANT_NOTHING) act(want, &ask);
 *     send smtp_in_out(), report with smtp_in_sent(); arm a timer for smtp_in_deadline(). */
#ifndef MAILROOM_PROTO_SMTP_SMTP_IN_H
#define MAILROOM_PROTO_SMTP_SMTP_IN_H

#include "base/clock.h"
#include "cause/cause.h"
#include "mail/address.h"
#include "mail/header.h"

enum smtp_kind { SMTP_KIND_MX, SMTP_KIND_SUBMISSION };

/* one per listener, shared by its sessions, outlives them */
struct smtp_rules {
	enum smtp_kind kind;
	const char *hostname;      /* in the banner and the EHLO reply */
	bool starttls;             /* STARTTLS can be offered (implicit TLS: owner says smtp_in_tls_done at birth) */
	bool auth;                 /* AUTH is offered */
	bool auth_cleartext;       /* ... also without TLS */
	bool tls_required;         /* MAIL only after TLS (530, tls-required) */
	bool why;                  /* submission: XWHY is offered; the owner has a history */
	bool auth_by_owner;        /* submission: a MAIL without sign-in is not refused here but asked about; the owner knows of relay windows and networks */
	bool early_refused;        /* text behind EHLO, HELO, DATA, NOOP, VRFY, EXPN before the reply has left: 451 protocol-violation (RFC 2920 3.1) */
	const char *mechanisms;    /* "PLAIN LOGIN SCRAM-SHA-256"; -PLUS is listed only under TLS (SCRAM-SHA-256-PLUS must be in the list) */
	uint64_t message_max_bytes;
	uint32_t rcpt_max;         /* per transaction; 452 too-many-recipients */
	uint32_t domain_max;       /* different ones of recipients per transaction; 452 too-many-domains, where it is 1 451 one-domain-per-message. 0: no limit */
	uint32_t transaction_max;  /* MAIL commands per connection */
	uint32_t bad_command_max;  /* unknown or malformed commands before 421 too-many-bad-commands or 502 too-many-unknown-commands */
	uint32_t unauth_command_max; /* submission: before sign-in, or before the owner takes a MAIL without; then 554 too-many-unauth-commands. 0: no limit */
	uint32_t noop_max;         /* NOOP, RSET, VRFY, HELP ... before 421 */
	uint32_t auth_failure_max; /* failed AUTH before 421 */
	uint32_t hops_max;         /* Received: fields, 554 5.6.0 too-many-hops; a proven circle is 554 5.4.6 mail-loop before that */
	uint32_t rcpt_open_max;    /* RCPT questions open at once; more wait in the input */
	uint64_t greeting_ms, command_ms, data_ms, session_ms, auth_ms; /* time-outs: first command, between commands, between data chunks, whole session without completed message */
	uint32_t data_rate_floor;  /* bytes a second during DATA/BDAT after 60 s; below: 451 message-rate-floor. 0: off */
};

enum smtp_want {
	SMTP_WANT_NOTHING,   /* feed, answer, send or wait */
	SMTP_WANT_MAIL,      /* is this sender all right? answer with smtp_in_answer (ask.id) */
	SMTP_WANT_RCPT,      /* is this recipient taken? */
	SMTP_WANT_AUTH,      /* a sign-in begins: ask.mechanism, ask.bytes (decoded initial response) ask.has_initial; reply with smtp_in_auth_* */
	SMTP_WANT_AUTH_STEP, /* the client's decoded response in ask.bytes */
	SMTP_WANT_AUTH_CANCEL, /* the client gave up ("*"), or the session ended meanwhile: forget it, no answer expected */
	SMTP_WANT_BODY,      /* message bytes in ask.bytes (dots removed), valid until the next feed: take all of them. More than one may follow */
	SMTP_WANT_WHY,       /* what was refused to the signed-in account of late? at most ask.why_max events; answer with smtp_in_why */
	SMTP_WANT_ACCEPT,    /* the message is complete: commit it, then smtp_in_answer */
	SMTP_WANT_DISCARD,   /* forget the body taken so far (too big, malformed, RSET between BDATs, connection lost) */
	SMTP_WANT_RESET,     /* the transaction is over (RSET, EHLO, accepted, refused): envelope copies can go */
	SMTP_WANT_TLS,       /* everything in out() has to leave first; then do the handshake and call smtp_in_tls_done */
	SMTP_WANT_CLOSE,     /* send out(), then close */
};

struct smtp_dsn_mail { bool ret_hdrs, ret_full; struct span envid; /* xtext decoded, printable */ };
enum { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 }; /* 0: not said */

struct smtp_mail { /* the MAIL command */
	struct address from;
	uint64_t size_declared; /* 0: not said */
	bool body_8bit, body_binary, smtputf8, requiretls;
	struct smtp_dsn_mail dsn;
	struct span auth; /* AUTH= parameter, decoded; empty: not said */
};

struct smtp_rcpt {
	struct address to;
	unsigned notify;   /* SMTP_NOTIFY_* */
	struct span orcpt; /* as given ("rfc822;x@y"), xtext kept */
	uint64_t tag;      /* from the owner's answer, kept for the ACCEPT */
};

struct smtp_ask { /* spans are valid until the answer (RCPT, MAIL, AUTH) or the next call into the engine (BODY) */
	uint32_t id;
	const struct smtp_mail *mail;  /* MAIL, RCPT, ACCEPT */
	const struct smtp_rcpt *rcpt;  /* RCPT: the one */
	struct span mechanism, bytes;  /* AUTH, AUTH_STEP, BODY */
	bool has_initial;
	/* ACCEPT: the accepted recipients, iterate with smtp_in_rcpt(); body facts. RCPT: how many of this transaction are accepted, or still open before this one */
	uint32_t rcpt_count;
	uint32_t why_max;              /* WHY */
	const struct header_facts *header;
	uint64_t body_bytes;           /* all bytes handed out with BODY */
	bool headers_wide;             /* ACCEPT, and SMTPUTF8 was said: the header, or that of a part, is not all ASCII */
};

struct verdict {
	enum cause_id cause;           /* CAUSE_NONE: yes. One that is said with 421 ends the session, as 421 says */
	struct cause_facts facts;      /* spans copied by the engine before the call returns */
	uint64_t tag;                  /* RCPT yes: kept in smtp_rcpt.tag */
	struct span queue_id;          /* ACCEPT yes: shown in the 250 */
};

struct smtp_in;
/* `ref` (e.g. "8Q2K4M1T", at most 16 bytes, copied) names the session in replies. `now` starts the clocks. The banner is in out() at once,
 * unless `refuse` is not CAUSE_NONE: then the closing form of that cause is, and CLOSE follows. Allocates itself; free with smtp_in_free. */
struct smtp_in *smtp_in_new(const struct smtp_rules *rules, struct span ref, enum cause_id refuse, mono_ms now);
/* the same with what the refusal says of its limit */
struct smtp_in *smtp_in_new_refused(const struct smtp_rules *rules, struct span ref, enum cause_id refuse, const struct cause_facts *facts, mono_ms now);
void smtp_in_free(struct smtp_in *s);

/* Returns how many bytes were taken; fewer than given: empty next() first and offer the rest again as long as any are taken (a chunk of
 * BDAT ends a feed), then after the next answer or sent. Where a line has to wait for answers, bytes of it that were not taken must be offered
 * again unchanged. The same bytes in any chunking give the same replies, but for those that came where the client had to wait (before the
 * banner, behind STARTTLS, in the middle of AUTH; with early_refused behind DATA, EHLO and the like): these end the session. */
size_t smtp_in_feed(struct smtp_in *s, struct span bytes, mono_ms now);
/* the peer closed its side; DISCARD/RESET/AUTH_CANCEL and CLOSE follow through next() */
void smtp_in_eof(struct smtp_in *s);
/* time passed; call when the deadline is reached (time-outs answer 421 and close) */
void smtp_in_tick(struct smtp_in *s, mono_ms now);
enum smtp_want smtp_in_next(struct smtp_in *s, struct smtp_ask *ask_out);
void smtp_in_answer(struct smtp_in *s, uint32_t ask_id, const struct verdict *v);

/* answers to AUTH and AUTH_STEP: exactly one of these */
void smtp_in_auth_challenge(struct smtp_in *s, struct span decoded);
void smtp_in_auth_ok(struct smtp_in *s, struct span account, struct span final_data); /* final_data: SCRAM server-final, sent as a last challenge where RFC 4954 needs it; may be empty */
void smtp_in_auth_fail(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts);

/* One refusal in the answer to XWHY, which is this server's own: `250-slug=S code=NNN at=TIME session=REF [command=X] [limit=X] [retry=X] [detail=X]` for each, the
 * newest first, values in xtext (RFC 3461 4), then `250 2.0.0 N events`. */
struct smtp_why {
	int64_t at_ms; /* wall clock */
	uint64_t session;
	unsigned code;
	struct span slug, command, limit, retry, detail;
};
/* cause: CAUSE_NONE, or why the question cannot be answered */
void smtp_in_why(struct smtp_in *s, uint32_t ask_id, enum cause_id cause, const struct smtp_why *events, size_t count);

/* TLS is up (also call it right after new for implicit TLS): forgets EHLO, envelope and SASL state (RFC 3207 4.2) */
void smtp_in_tls_done(struct smtp_in *s, mono_ms now);
/* true when bytes were pipelined behind STARTTLS: the owner must not handshake; the engine has queued 554 tls-injection + CLOSE. (feed takes care; this is for the owner's own look at its socket buffer.) */
void smtp_in_tls_injected(struct smtp_in *s);
/* The owner cannot go on (store gone, drain): 421 with that cause after the questions that are open, and, with finish_message, after a message whose data
 * is coming in; then CLOSE */
void smtp_in_shutdown(struct smtp_in *s, enum cause_id cause, bool finish_message);

struct span smtp_in_out(const struct smtp_in *s);
void smtp_in_sent(struct smtp_in *s, size_t n);
mono_ms smtp_in_deadline(const struct smtp_in *s); /* MONO_NEVER while waiting for an answer of the owner */

/* what the owner may want for its log, Received: line and IPC */
const struct smtp_rcpt *smtp_in_rcpt(const struct smtp_in *s, uint32_t index); /* accepted recipients, 0..rcpt_count-1 */
/* of the message in hand, so far (a header block longer than what was fed is not `ended`); NULL: none is coming in */
const struct header_facts *smtp_in_header(const struct smtp_in *s);
struct span smtp_in_helo(const struct smtp_in *s);    /* as given; empty: none yet */
bool smtp_in_is_esmtp(const struct smtp_in *s);
bool smtp_in_is_tls(const struct smtp_in *s);
struct span smtp_in_account(const struct smtp_in *s); /* signed-in account, empty: none */
/* the refusals of the session as events for the log: returns the next one not yet taken, false when none. Spans valid until the next call. */
struct smtp_event { enum cause_id cause; unsigned code; bool closing; struct span command, rcpt, sender, detail, limit, retry, rule; };
bool smtp_in_event(struct smtp_in *s, struct smtp_event *out);
/* true when nothing is in hand: no transaction, no unanswered ask, no unsent output (for draining) */
bool smtp_in_idle(const struct smtp_in *s);

#endif
