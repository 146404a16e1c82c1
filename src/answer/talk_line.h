/* talk_line - one line of a protocol log: whose it is, what was said, and in which session. Knows the marks of swaks, telnet, openssl
 * s_client, curl, Thunderbird, Outlook, smtplib, nodemailer, PHPMailer, JavaMail, MailKit, Horde, Rainloop, K-9, Haraka, msmtp, Exim,
 * sendmail, OpenSMTPD and Postfix, and lines without any mark. Only for src/answer. */
#ifndef MAILROOM_ANSWER_TALK_LINE_H
#define MAILROOM_ANSWER_TALK_LINE_H

#include "base/span.h"

enum talk_who { TALK_NOTE, TALK_CLIENT, TALK_SERVER };

struct talk_line {
	enum talk_who who;
	struct span text;
	struct span session; /* what tells conversations apart that are written into one log; empty: nothing */
	bool marked;	     /* the log itself says whose it is */
};

struct talk_line talk_line_read(struct span line);
/* does it begin with three digits, as a reply does? */
unsigned talk_line_code(struct span text);
/* REPLY_AT_* of the command; 0: it is no command that moves a conversation on. IMAP's stand behind a tag. */
unsigned talk_line_stage(struct span text);
/* the words behind the tag of an IMAP reply that says no: "A1 NO [AUTHENTICATIONFAILED] ..."; empty: it is none */
struct span talk_line_imap_no(struct span text);
/* ... or that says yes */
bool talk_line_imap_ok(struct span text);

#endif
