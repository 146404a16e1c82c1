/* fake_out - an owner of smtp_out for tests: gives it messages one after the other, then leaves; shakes hands and signs in as it is asked to. Writes down
 * what it was told in one line, and what the server would read. */
#ifndef MAILROOM_TEST_FAKE_OUT_H
#define MAILROOM_TEST_FAKE_OUT_H

#include "base/buf.h"
#include "proto/smtp/smtp_out.h"

enum { FAKE_OUT_RCPTS = 32, FAKE_OUT_MAILS = 4 };

struct fake_out {
	struct smtp_out_rules rules;
	struct smtp_out *s;
	mono_ms now;
	enum smtp_out_tls tls;
	bool tls_up, want_auth, auth_initial, auth_cancel, auth_skip;
	const char *mechanism;
	struct smtp_out_rcpt rcpts[FAKE_OUT_RCPTS];
	struct smtp_out_mail mail; /* each of them */
	unsigned mails, mailed, tls_shaken;
	struct span body;          /* each */
	size_t piece, given;       /* bytes given at once, 0: as many as there is room for */
	bool empty_last, deaf;     /* the end comes with an empty piece; nothing is sent (the server does not read) */
	bool stay, abort_body;     /* no QUIT; the body cannot be had */
	bool want_tls, failed, closed;
	bool ended;                /* the last message was sent to its end, and somebody's fate hung on the answer */
	size_t body_at;            /* where in `sent` it begins */
	size_t steps;              /* of sign-in */
	struct buf sent, log, words;
};

void fake_out_init(struct fake_out *f);
void fake_out_start(struct fake_out *f);
void fake_out_clear(struct fake_out *f);
/* does what it wants, sends what it says */
void fake_out_pump(struct fake_out *f);
/* only what it wants, sending nothing: the server has said something and not finished */
void fake_out_act(struct fake_out *f);
void fake_out_feed(struct fake_out *f, struct span bytes);
void fake_out_eof(struct fake_out *f);
void fake_out_tick(struct fake_out *f, mono_ms later_ms);

#endif
