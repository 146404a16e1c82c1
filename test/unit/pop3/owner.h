/* owner - what stands around the POP3 engine in its unit tests and in test/flow: a mailbox in memory, one account (alice@mailroom.test, wonderland), a peer
 * that reads as fast as it is told to. */
#ifndef MAILROOM_TEST_POP3_OWNER_H
#define MAILROOM_TEST_POP3_OWNER_H

#include "proto/pop3/pop3_in.h"

struct mail {
	uint64_t uid;
	struct span text;
};

struct owner {
	struct pop3_rules rules;
	struct pop3_in *p;
	mono_ms now;
	const struct mail *mails;
	size_t mail_count;
	uint64_t (*chunk)(struct owner *o, uint64_t max); /* how much of `max` a FETCH gets; NULL: all */
	uint64_t random;
	bool hold;               /* asks are noted, not answered: see held */
	enum pop3_want held;
	struct pop3_ask held_ask;
	enum cause_id open_cause, commit_cause, fetch_cause;
	uint64_t fetch_cause_at; /* from this offset on */
	size_t read_max;         /* bytes the peer reads in one go; 0: it does not read */
	struct buf input;        /* sent by the peer, not yet taken */
	struct buf seen;         /* read by the peer */
	size_t out_peak;
	bool tls_waits;          /* the handshake is made by owner_tls, not at once */
	bool tls_wanted, closed;
	unsigned auths, steps, cancels, opens, fetches, commits, tls;
	bool from_pass;
	uint64_t *committed;
	size_t committed_count;
};

extern const struct pop3_rules owner_rules;
extern const struct mail owner_mails[3];

void owner_begin(struct owner *o, const struct pop3_rules *rules);
void owner_end(struct owner *o);
/* asks are answered and output is read until nothing moves any more */
void owner_turn(struct owner *o);
/* the peer sends these bytes in one piece */
void owner_send(struct owner *o, struct span bytes);
/* answers the ask that is held */
void owner_answer(struct owner *o);
/* sends text, returns what the peer read since; valid until the next call */
const char *owner_say(struct owner *o, const char *text);
/* the handshake the engine asked for; false: it did not */
bool owner_tls(struct owner *o);
void owner_sign_in(struct owner *o);

#endif
