/* worker - what the two network roles (mx, user) share: listeners, sessions, the questions they have open with store and auth, limits per address, and
 * draining. One process serves many connections on one loop; a session belongs to exactly one worker. */
#ifndef MAILROOM_ROLE_WORKER_H
#define MAILROOM_ROLE_WORKER_H

#include <sys/socket.h>

#include "base/map.h"
#include "loop/stream.h"
#include "policy/policy.h"
#include "proto/pop3/pop3_in.h"
#include "proto/smtp/smtp_in.h"
#include "role/names.h"
#include "role/role.h"
#include "role/session_filter.h"
#include "role/tls_server.h"

struct session;
struct worker;

/* What a protocol does; the rest of a session is common. Each `answer` gets NULL for the message when the other side is gone: then the question failed. */
struct session_ops {
	const char *service; /* "smtp", "pop3": as the auth role and the log name it */
	void (*begin)(struct session *s, enum cause_id refuse, mono_ms now);
	void (*end)(struct session *s);
	size_t (*feed)(struct session *s, struct span bytes, mono_ms now);
	struct span (*out)(struct session *s);
	void (*sent)(struct session *s, size_t n);
	void (*eof)(struct session *s);
	void (*tick)(struct session *s, mono_ms now);
	void (*pump)(struct session *s); /* asks the engine what it wants until it wants nothing */
	mono_ms (*deadline)(struct session *s);
	void (*tls_done)(struct session *s, mono_ms now);
	void (*tls_injected)(struct session *s);
	void (*shutdown)(struct session *s, enum cause_id cause);
	bool (*is_idle)(struct session *s);
	void (*auth_challenge)(struct session *s, struct span bytes);
	void (*auth_ok)(struct session *s, struct span account, struct span final_data);
	void (*auth_fail)(struct session *s, enum cause_id cause, const struct cause_facts *facts);
	void (*log_end)(struct session *s); /* protocol's own fields of the session's last log line */
	struct span (*helo)(struct session *s); /* as the client named itself; NULL: it does not */
};

/* one open question to another role */
struct question {
	struct session *session;           /* NULL: the session is gone, the answer is dropped (descriptors closed) */
	struct question *next, **prev;     /* of the same session */
	enum role_id to;
	uint32_t ask;
	uint32_t engine_ask;               /* the engine's number for it */
	void (*answer)(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg);
};

/* what lets this session send, as auth said; the store has the same from auth */
struct session_who {
	enum policy_by by;
	enum policy_window window;
	int64_t window_ms;   /* when the window closed, or will */
	char *account;       /* address of the account that the window belongs to; NULL: none */
	enum cause_id trouble; /* auth could not be asked */
	void (*answer)(struct session *s, uint32_t engine_ask); /* who waits for what auth says */
};

enum session_closing { SESSION_OPEN, SESSION_CLOSING, SESSION_DEAD };

struct session {
	struct worker *worker;
	const struct session_ops *ops;
	const struct conf_listener *listener;
	struct stream *stream;
	struct loop_timer timer;
	struct question *questions;
	struct session *next, **prev;      /* all sessions of the worker */
	uint64_t id;                       /* never used twice in a worker; what store and auth know it by */
	uint64_t address_key;              /* of the peer, for the count per address */
	struct span peer;                  /* IP address in text form */
	mono_ms started_ms;
	mono_ms tls_by_ms;                 /* a handshake in progress has to be done by then; MONO_NEVER: none is */
	unsigned listener_index;
	unsigned depth;                    /* > 0: inside a callback, freeing waits */
	enum session_closing closing;
	struct session_history *history;   /* what was reported of it; NULL: nothing */
	uint32_t auth_ask;                 /* sign-in in progress, 0: none */
	struct session_who who;
	bool granted;                      /* auth has told the store about this session */
	bool mailed;                       /* it came to MAIL, or was turned away by us: no HELO flood */
	bool told_store;                   /* store keeps something for this session: SESSION_END is due */
	char ref[16];                      /* as shown to people */
	char peer_text[48];
	union {
		struct smtp_session *smtp;
		struct pop3_session *pop3;
	};
};

struct worker_listener {
	struct worker *worker;
	const struct conf_listener *conf;
	struct event accept;
	int fd;
	unsigned index;
	uint32_t connections;
	struct smtp_rules smtp;
	struct pop3_rules pop3;
	bool open;
};

struct worker {
	struct role *role;
	struct loop *loop;
	const struct conf *conf;
	struct chan *store, *auth, *keys;
	struct names *names;               /* NULL: nothing is looked up */
	struct tls_server *tls;
	struct worker_listener *listeners; /* as conf->listeners; those of other roles stay closed */
	struct map questions;              /* ask -> struct question */
	struct map by_id;                  /* session id -> struct session */
	struct map addresses;              /* address key -> count of connections, as a pointer-sized number */
	struct session *sessions;
	struct worker_proxied *proxied;    /* connections of balancers that have not said yet who the client is */
	struct history_rate *history;      /* NULL: no history is wanted */
	struct worker_abuse *abuse;
	struct session_filter_line filters; /* messages that filters look at, and those that wait for it */
	struct cause_facts refused;        /* of the session that session_new is asked to refuse */
	struct loop_timer accept_again;
	uint32_t next_ask, session_count;
	bool started, draining, drain_now;
};

/* worker.c: role_ops functions of both network roles */
enum rc worker_open(struct role *r, struct err *err);
void worker_plan(struct role *r, struct sandbox_plan *plan);
void worker_peer(struct role *r, enum role_id peer, uint32_t number, int fd);
void worker_listen(struct role *r, unsigned listener, int fd);
void worker_start(struct role *r);
void worker_drain(struct role *r, bool now);

/* a connection whose client is known: it becomes a session, or is refused by the limits of listener and address; takes fd */
void worker_take(struct worker_listener *l, int fd, const struct sockaddr_storage *from);
bool worker_is_full(const struct worker_listener *l);

/* worker_proxy.c */
/* From a balancer (proxy-from) and there is room: the descriptor is kept until the header is whole, then worker_take gets the client's address. */
bool worker_proxy_take(struct worker_listener *l, int fd, const struct sockaddr_storage *from);
void worker_proxy_drop(struct worker *w); /* those that are not whole */

/* worker_session.c */
struct session *session_new(struct worker_listener *l, int fd, const char *peer_text, uint64_t address_key, enum cause_id refuse);
/* the engine said close: what is left in out() goes first */
void session_close(struct session *s);
/* after anything that may have changed what the session wants, may send or waits for */
void session_step(struct session *s);
/* the engine wants TLS: out() goes first */
void session_want_tls(struct session *s);
struct span session_ref(const struct session *s);

/* worker_ask.c */
/* Remembers a question and returns its number, to be put into the message. The answer function is called once. */
uint32_t worker_ask(struct session *s, enum role_id to, uint32_t engine_ask,
	void (*answer)(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg));
struct question *worker_question_take(struct worker *w, uint32_t ask);
struct session *worker_question_session(struct worker *w, uint32_t ask, uint32_t *engine_ask_out); /* without taking it: for answers in several parts */
void worker_questions_drop(struct session *s);              /* the session goes */
void worker_questions_fail(struct worker *w, enum role_id to); /* the role went: every question to it is answered with NULL */
enum rc worker_on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg);

/* session_auth.c: sign-in, the same for every protocol */
void session_auth_start(struct session *s, struct span mechanism, bool has_initial, struct span initial);
void session_auth_step(struct session *s, struct span response);
void session_auth_cancel(struct session *s);
enum rc session_auth_on_frame(struct worker *w, enum msg_type type, const union msg_any *msg);
void session_auth_gone(struct worker *w);

/* session_relay.c: sending without sign-in, by relay window or network */
/* Does somebody have to be asked before MAIL is answered? Then `answer` is called once auth has said who.by is; false: answered already, nothing to ask. */
bool session_relay_ask(struct session *s, uint32_t engine_ask, void (*answer)(struct session *s, uint32_t engine_ask));
void session_relay_end(struct session *s);
/* signed in: whatever was granted by address is over */
void session_relay_signed_in(struct session *s);

extern const struct session_ops session_smtp_ops, session_pop3_ops;
/* session_pop3.c: MBOX_ITEMS and other answers in parts */
enum rc session_pop3_on_part(struct worker *w, enum msg_type type, const union msg_any *msg);

#endif
