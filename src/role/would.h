/* would - a conversation with the server that does not take place: the SMTP engine that serves the listener is fed the commands, and its questions are answered by
 * decide, as the store role does. So the answer is the server's, to the word. Sends nothing, takes nothing, counts nothing. */
#ifndef MAILROOM_ROLE_WOULD_H
#define MAILROOM_ROLE_WOULD_H

#include "role/decide.h"
#include "role/relay_address.h"

struct would_case {
	const struct conf_listener *listener;
	struct span from;                    /* "" is <> */
	struct span to;
	struct span peer;                    /* the client's IP address */
	int64_t account;                     /* signs in as that one; 0: does not */
	struct span account_address;
	bool account_disabled;
	bool tls;
	uint64_t message_bytes;              /* 0: not said */
	struct relay_address relay;          /* what its address gives it, where it does not sign in */
};

struct would_answer {
	bool accepted;
	unsigned code;
	enum cause_id cause;                 /* NONE: accepted */
	const char *rule;                    /* policy's rule, or the engine's where the decision was not asked ("protocol") */
	struct span command;                 /* that was refused: "AUTH", "MAIL", "RCPT" */
	struct span reply;                   /* the server's words, lines ended by CRLF; lives in mem */
	struct decided decided;              /* the last decision that the engine asked for */
	bool asked;                          /* decided is filled */
	struct policy_facts facts;           /* all that a decision about this case rests on: policy_way_out says what would turn it */
};

/* RC_OK: the answer is out. Else our own trouble. Everything in answer lives in mem. */
enum rc would_accept(const struct decide *d, const struct would_case *c, struct arena *mem, struct would_answer *out, struct err *err) RC_WARN;

#endif
