/* doctor_reply - reads what a server says in SMTP, POP3 and IMAP as far as the doctor needs it: the kind of a greeting, codes, what is
 * offered. Pure; what it returns borrows from what it was given. RFC 5321, 1870, 3207, 4954; 1939, 2449, 2595; 9051. */
#ifndef MAILROOM_ANSWER_DOCTOR_REPLY_H
#define MAILROOM_ANSWER_DOCTOR_REPLY_H

#include "answer/doctor_fact.h"

enum { DOCTOR_AUTH_BYTES = 256 };

/* of the first bytes that came, a whole line or less */
enum doctor_greeting doctor_greeting_kind(struct span first);
enum doctor_protocol doctor_greeting_protocol(enum doctor_greeting kind);
/* the host name that a greeting of SMTP begins with; empty: none */
struct span doctor_greeting_host(struct span line);

/* Of SMTP the code of a line; of POP3 and IMAP (whose tag is "a") 200 for yes, 334 for a continuation, 500 for no; 0: no reply of that
 * protocol. */
unsigned doctor_reply_code(enum doctor_protocol protocol, struct span line, bool *last_out);

struct doctor_offer {
	bool starttls, masked, xwhy, login_disabled;
	uint64_t size_bytes;
	struct buf auth; /* mechanisms, safe to show, parted by blanks */
};

void doctor_offer_init(struct doctor_offer *o);
void doctor_offer_clear(struct doctor_offer *o);
/* the answer to EHLO, CAPA or CAPABILITY, lines parted by '\n' */
void doctor_offer_read(struct doctor_offer *o, enum doctor_protocol protocol, struct span reply);
/* is it one of the mechanisms? */
bool doctor_offers(const char *auth, const char *mechanism);

/* A date of RFC 5322 or of HTTP anywhere in the text, as greetings and Date fields have it; milliseconds since 1970. */
bool doctor_date_find(struct span text, int64_t *wall_ms_out);

#endif
