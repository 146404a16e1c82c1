/* bounce - who is told that a message did not arrive, if anybody: nobody who may never have sent it (backscatter), nobody twice. Pure.
 * RFC 3461 4.1, 5321 4.5.5, 6.1; 3834. */
#ifndef MAILROOM_POLICY_BOUNCE_H
#define MAILROOM_POLICY_BOUNCE_H

#include "cause/cause.h"

enum bounce_to {
	BOUNCE_TO_SENDER,
	BOUNCE_TO_POSTMASTER, /* a bounce of our own, or of our users, that found nobody: the one who runs this should know */
	BOUNCE_TO_NOBODY,
};

struct bounce_facts {
	bool sender_is_null;
	bool from_here;        /* signed in, by an authorised network, or by this server: not a stranger's message that was only passed on */
	bool failed;           /* given up; else a delay, or a success that was asked for */
	bool asked_never;      /* NOTIFY=NEVER, or others without this one */
	enum cause_id cause;   /* FAILED */
};

/* Of strangers' mail nobody knows who sent it. A sender who is told that his mail could not reach a server or a mailbox can do something about it; one who is told
 * that somebody took his mail for spam is, as often as not, the victim of whoever used his address. */
enum bounce_to bounce_decide(const struct bounce_facts *f);

#endif
