/* pop3_in - the server half of one POP3 conversation (RFC 1939, 2449, 2595, 3206, 5034, 6856). No sockets, files, clocks or logs: as smtp_in.
 * Asks its owner for sign-in, for the mailbox, for message bytes (streamed in chunks, paced by what the peer reads) and for the commit at QUIT. */
#ifndef MAILROOM_PROTO_POP3_POP3_IN_H
#define MAILROOM_PROTO_POP3_POP3_IN_H

#include "base/clock.h"
#include "cause/cause.h"

struct pop3_rules {
	const char *hostname;
	bool stls, auth_cleartext;
	const char *mechanisms;   /* SASL, as in smtp_rules */
	uint32_t bad_command_max, auth_failure_max;
	uint32_t noop_max;        /* commands before sign-in; 0: no limit */
	uint64_t command_ms;      /* RFC 1939: at least 10 minutes of autologout after sign-in */
	uint64_t login_ms;        /* before sign-in */
	uint64_t session_ms;      /* 0: no limit */
};

enum pop3_want {
	POP3_WANT_NOTHING,
	POP3_WANT_AUTH,        /* mechanism, bytes, has_initial; USER/PASS comes as mechanism "PLAIN" with a ready-made initial response and from_pass = true */
	POP3_WANT_AUTH_STEP,
	POP3_WANT_AUTH_CANCEL, /* forget the sign-in, no answer expected; it may also come after pop3_in_auth_ok with final_data, when the client did not accept them: take the grant back */
	POP3_WANT_OPEN,        /* signed in: lock and list the mailbox; the owner calls pop3_in_mailbox_add for each message in order, then pop3_in_mailbox_done */
	POP3_WANT_FETCH,       /* bytes of message ask.uid from ask.offset, at most ask.max: answer with pop3_in_bytes */
	POP3_WANT_COMMIT,      /* QUIT: delete ask.uids[0..uid_count-1], then pop3_in_committed */
	POP3_WANT_TLS,         /* as in smtp_in */
	POP3_WANT_CLOSE,
};

struct pop3_ask {
	struct span mechanism, bytes;
	bool has_initial, from_pass;
	uint64_t uid, offset;
	uint32_t max;
	const uint64_t *uids;  /* valid until pop3_in_committed */
	uint32_t uid_count;
};

struct pop3_in;
struct pop3_in *pop3_in_new(const struct pop3_rules *rules, struct span ref, enum cause_id refuse, mono_ms now);
/* the same with what the refusal says of its limit */
struct pop3_in *pop3_in_new_refused(const struct pop3_rules *rules, struct span ref, enum cause_id refuse, const struct cause_facts *facts, mono_ms now);
void pop3_in_free(struct pop3_in *p);
size_t pop3_in_feed(struct pop3_in *p, struct span bytes, mono_ms now);
/* the connection is gone (both ways): CLOSE follows at once. Only a QUIT read before still commits. */
void pop3_in_eof(struct pop3_in *p);
/* call it when the deadline is reached; may be called at any time */
void pop3_in_tick(struct pop3_in *p, mono_ms now);
enum pop3_want pop3_in_next(struct pop3_in *p, struct pop3_ask *ask_out);

void pop3_in_auth_challenge(struct pop3_in *p, struct span decoded);
void pop3_in_auth_ok(struct pop3_in *p, struct span account, struct span final_data); /* OPEN is asked next */
void pop3_in_auth_fail(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts);
/* uid is unique in the mailbox for ever, bytes the exact size as it will be sent. RC_LIMIT: more than LIMIT_POP3_MESSAGES (the rest shows next time) */
enum rc pop3_in_mailbox_add(struct pop3_in *p, uint64_t uid, uint64_t bytes) RC_WARN;
/* uidvalidity goes into the UIDL ("%08x%08x"-like, <= 70 chars, RFC 1939 7); cause != NONE: e.g. mailbox-locked; the session stays in AUTHORIZATION */
void pop3_in_mailbox_done(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts, uint32_t uidvalidity);
/* the next bytes of the message asked for; last = nothing follows. cause != NONE: the message cannot be had (before the first byte: -ERR; later: close) */
void pop3_in_bytes(struct pop3_in *p, struct span bytes, bool last, enum cause_id cause);
void pop3_in_committed(struct pop3_in *p, enum cause_id cause); /* failure: -ERR [SYS/TEMP] and nothing was deleted */
void pop3_in_tls_done(struct pop3_in *p, mono_ms now);
void pop3_in_tls_injected(struct pop3_in *p);
/* after what is in hand: -ERR with that cause, then CLOSE; deletions that were only marked are not made */
void pop3_in_shutdown(struct pop3_in *p, enum cause_id cause);

struct span pop3_in_out(const struct pop3_in *p);
void pop3_in_sent(struct pop3_in *p, size_t n);
/* May lie in the past: then tick at once (that is how the engine learns when the peer had read a long reply whole). After CLOSE: until when
 * the last reply may take; a tick then gives CLOSE again with nothing left to send. MONO_NEVER while an answer of the owner is awaited. */
mono_ms pop3_in_deadline(const struct pop3_in *p);
struct span pop3_in_account(const struct pop3_in *p);
bool pop3_in_is_tls(const struct pop3_in *p);
/* nothing is in hand: no answer awaited, nothing to send, no message marked for deletion */
bool pop3_in_idle(const struct pop3_in *p);
struct pop3_event { enum cause_id cause; struct span command; };
bool pop3_in_event(struct pop3_in *p, struct pop3_event *out);
/* how the session went, for the log line at its end */
struct pop3_tally { uint32_t messages, retrieved, deleted; uint64_t retrieved_bytes; };
struct pop3_tally pop3_in_tally(const struct pop3_in *p);

#endif
