/* facts - what is known of a conversation besides the words of its replies (was it encrypted, was AUTH offered, ...), and which causes that
 * makes unlikely. Only for src/answer. */
#ifndef MAILROOM_ANSWER_FACTS_H
#define MAILROOM_ANSWER_FACTS_H

#include "answer/explain.h"

enum {			     /* bits */
       FACT_TLS = 1,	     /* the connection was encrypted */
       FACT_TLS_OFFERED = 2, /* STARTTLS was offered */
       FACT_AUTH_OFFERED = 4,
       FACT_AUTH_TRIED = 8,
       FACT_AUTH_OK = 16,
       FACT_GREETED = 32,     /* EHLO or HELO was accepted */
       FACT_SENDER_OK = 64,   /* MAIL was accepted */
       FACT_RCPT_NAMED = 128, /* a recipient was named */
       FACT_RCPT_OK = 256,    /* ... and one accepted */
       FACT_RCPT_LOCAL = 512, /* the recipient's domain is that of the server's greeting */
       FACT_CONTENT = 1024,   /* the message itself was sent */
       FACT_CONNECTED = 2048, /* the server had greeted */
       FACT_RCPT_AWAY = 4096, /* the sender's domain is that of the server's greeting, and the recipient's is not */
};

struct facts {
	unsigned known, are; /* FACT_*; only what is known counts */
};

/* Makes the causes that the facts contradict less likely, and puts them in order again. */
void facts_weigh(const struct facts *facts, struct explanation *e);
/* what the facts say against that cause: "the connection was encrypted"; NULL: no (more) such. `from`: 0 for the first, then as it was left
 */
const char *facts_against(const struct facts *facts, enum cause_id cause, size_t *from);

#endif
