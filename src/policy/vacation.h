/* vacation - may this message be answered by a machine? The rules of RFC 5230 4.5 to 4.7 and RFC 3834 2 over a message as filters see it,
 * before anybody looks whether its sender was answered already. Pure; who was answered when, and writing the answer, are elsewhere
 * (store/store_vacation.h, mail/autoreply.h). */
#ifndef MAILROOM_POLICY_VACATION_H
#define MAILROOM_POLICY_VACATION_H

#include "policy/sieve.h"

enum vacation_why {
	VACATION_ANSWER,
	VACATION_NO_SENDER, /* the null address: a bounce or another answer */
	VACATION_ROBOT,	    /* the sender's address is a program's, by its name */
	VACATION_SELF,	    /* the account wrote to itself */
	VACATION_AUTOMATIC, /* Auto-Submitted and its like */
	VACATION_LIST,	    /* List-... fields */
	VACATION_BULK,	    /* Precedence */
	VACATION_UNWANTED,  /* the sender asked for no answers: X-Auto-Response-Suppress */
	VACATION_NOT_TO_ME, /* no address of the account stands in To, Cc ...: a list, a blind copy */
};

/* own: addresses of the account beside those of the script (:addresses); the message has to have been prepared with SIEVE_NEEDS_HEADER */
enum vacation_why vacation_judge(const struct sieve_message *m, const struct sieve_vacation *v, const struct span *own, size_t own_count);
const char *vacation_why_words(enum vacation_why why); /* "it comes from a mailing list"; "" for ANSWER */
/* a name that programs send under: owner-x, x-request, MAILER-DAEMON, no-reply ... */
bool vacation_is_robot(struct span address);
/* What the answer is called: what the script says, else "Auto: " and the subject of the message. UTF-8 in one line. */
void vacation_write_subject(const struct sieve_message *m, const struct sieve_vacation *v, struct buf *out);

/* Does a Delivered-To of the message name this address? Then a redirect of it has come back (RFC 5228 10). */
bool vacation_was_here(const struct sieve_message *m, struct span address);

#endif
