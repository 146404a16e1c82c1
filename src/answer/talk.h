/* talk - one conversation out of a protocol log: what the program sent, what the server answered, and what was refused. talk.c follows it,
 * talk_judge.c says what went wrong first. Only for these two. */
#ifndef MAILROOM_ANSWER_TALK_H
#define MAILROOM_ANSWER_TALK_H

#include "answer/facts.h"
#include "answer/finding.h"

enum {
	PENDING_MAX = 64,   /* commands that wait for their reply */
	EVENTS_MAX = 24,    /* refusals of one conversation that are kept */
	REPLY_BYTES = 8192, /* of one reply */
	NOTES_BYTES = 4096,
};

struct command {
	unsigned stage;
	struct span line;
};

struct event {
	unsigned stage, code, facts; /* facts: as they were then */
	struct span command, sender, rcpt;
	struct buf text;
};

struct talk {
	struct command pending[PENDING_MAX];
	size_t pending_at, pending_count;
	struct event events[EVENTS_MAX];
	size_t event_count;
	struct buf reply, notes, banner;
	struct span sender, rcpt; /* the commands that named the last ones */
	unsigned facts;		  /* FACT_*, of the conversation up to now */
	bool banner_seen, ehlo, helo, auth_ever_offered, starttls_ever_offered, quit, accepted;
	bool in_auth, in_data, hidden; /* hidden: a firewall overwrote the banner or commands */
	bool later;		       /* a further conversation: it is only counted */
	size_t client_lines, server_lines, rcpt_ok, rcpt_bad, conversations, refused_all;
};

/* a refusal that the conversation got over, or that the program caused on purpose */
bool talk_got_over(const struct talk *t, size_t event);
/* fills in the causes, the line that shows it, and the chain */
void talk_judge(struct talk *t, struct finding *out);

#endif
