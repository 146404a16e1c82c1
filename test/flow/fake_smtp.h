/* fake_smtp - an owner of smtp_in for tests: the hosted domain mailroom.test with alice, bob, full (over quota) and off (disabled), kept in
 * memory; answers at once or only when told to. Collects what the peer would read. */
#ifndef MAILROOM_TEST_FAKE_SMTP_H
#define MAILROOM_TEST_FAKE_SMTP_H

#include "base/buf.h"
#include "proto/smtp/smtp_in.h"

enum { FAKE_PENDING_MAX = 256, FAKE_FULL_BYTES = 1024 /* quota of full */ };

struct fake_pending {
	enum smtp_want want;
	uint32_t id;
	enum cause_id cause;
};

struct fake_smtp {
	struct smtp_rules rules;
	struct smtp_in *s;
	mono_ms now;
	bool delay;      /* questions wait for fake_smtp_answer */
	bool deaf;       /* the peer does not read its replies */
	bool want_tls, closed;
	enum cause_id accept_cause; /* what ACCEPT is answered with */
	enum cause_id mail_cause, refuse; /* ... and MAIL without sign-in, where the owner is asked; ... and the connection */
	enum cause_id rcpt_cause; /* what every RCPT is answered with; CAUSE_NONE: by its address */
	enum cause_id why_cause; /* what XWHY is answered with */
	bool why_none;   /* nothing was refused */
	unsigned whys;
	bool foreign_ok; /* foreign recipients are taken without sign-in, too */
	struct span rule; /* whose rule the refusals are said to be */
	uint32_t asked_count; /* rcpt_count of the last RCPT question */
	bool final_data; /* sign-in ends with data of the server, as SCRAM's does */
	struct buf in;   /* offered and not yet taken */
	struct buf out;  /* replies */
	struct buf body; /* message being taken */
	struct buf kept; /* the last accepted message */
	char user[64];
	int step;        /* of LOGIN: 1 the user name is awaited, 2 the password; of PLAIN: 3 */
	unsigned accepted, discards, resets, cancels, body_spans, events;
	uint32_t accepted_rcpts;
	bool accepted_binary; /* the last one came with BODY=BINARYMIME */
	struct fake_pending pending[FAKE_PENDING_MAX];
	size_t pending_count;
};

/* rules as a default configuration has them; change f->rules before fake_smtp_start */
void fake_smtp_init(struct fake_smtp *f, enum smtp_kind kind);
void fake_smtp_start(struct fake_smtp *f);
void fake_smtp_clear(struct fake_smtp *f);
/* offers bytes (after what is left over) and does all that follows */
void fake_smtp_feed(struct fake_smtp *f, struct span bytes);
void fake_smtp_pump(struct fake_smtp *f);
/* answers the pending question number `at` (0: oldest); false when there is none */
bool fake_smtp_answer(struct fake_smtp *f, size_t at);
void fake_smtp_tick(struct fake_smtp *f, mono_ms later_ms);
void fake_smtp_tls(struct fake_smtp *f);

#endif
