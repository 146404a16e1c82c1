/* talk_line - one line of a protocol log: whose it is, and what was said. Knows the marks of swaks, telnet, curl, Thunderbird, Outlook, smtplib, nodemailer,
 * PHPMailer, JavaMail, msmtp, sendmail and Postfix, and lines without any mark. Only for src/answer. */
#ifndef MAILROOM_ANSWER_TALK_LINE_H
#define MAILROOM_ANSWER_TALK_LINE_H

#include "base/span.h"

enum talk_who { TALK_NOTE, TALK_CLIENT, TALK_SERVER };

struct talk_line {
	enum talk_who who;
	struct span text;
	bool marked; /* the log itself says whose it is */
};

struct talk_line talk_line_read(struct span line);
/* does it begin with three digits, as a reply does? */
unsigned talk_line_code(struct span text);
/* REPLY_AT_* of the command; 0: it is no command that moves a conversation on */
unsigned talk_line_stage(struct span text);

#endif
