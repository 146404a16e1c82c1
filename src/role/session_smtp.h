/* session_smtp - what the files that own an SMTP engine share: session_smtp.c, session_sender.c, session_rules.c, session_filter.c. */
#ifndef MAILROOM_ROLE_SESSION_SMTP_H
#define MAILROOM_ROLE_SESSION_SMTP_H

#include "role/session_body.h"
#include "role/session_filter.h"
#include "role/session_rules.h"
#include "role/session_sender.h"
#include "role/worker.h"

struct smtp_session {
	struct smtp_in *in;
	struct session_body *body;  /* of the message in hand; NULL: none */
	uint32_t accepted, refused; /* messages; refusals of any command */
	uint32_t transaction;       /* counts, for the id in Received: */
	mono_ms data_began_ms;
	struct session_sender sender;
	struct session_rules rules;
	struct session_filter filter;
	struct names_check *checks; /* recipients whose domains may have to be looked up; NULL: none */
};

#endif
