/* doctor_program - the settings that were found to work, in the words of each mail program of knowledge/clients. Pure. */
#ifndef MAILROOM_ANSWER_DOCTOR_PROGRAM_H
#define MAILROOM_ANSWER_DOCTOR_PROGRAM_H

#include "answer/doctor_fact.h"

enum { DOCTOR_PROGRAM_LINE_BYTES = 1024 };

/* The port that a mail program should be set to: one that works; where none does, of SMTP one that goes as far as signing in over
 * encryption, as then the settings are right and something else is wrong. NULL: none. */
const struct doctor_port *doctor_best(const struct doctor_facts *f, enum doctor_protocol protocol);

/* programs are numbered 0 ... doctor_program_count() - 1 */
size_t doctor_program_count(void);
const char *doctor_program_slug(size_t program);
const char *doctor_program_name(size_t program);
/* The values of that port as one line of that program's words. false: the program cannot be set so. */
bool doctor_program_line(struct buf *out, size_t program, const struct doctor_facts *f, const struct doctor_port *port);
size_t doctor_program_step_count(size_t program);
/* One step of setting it up; of smtp, imap and pop3 those that are not there may be NULL. false: it speaks of one that is not. */
bool doctor_program_step(struct buf *out, size_t program, size_t step, const struct doctor_facts *f, const struct doctor_port *smtp,
			 const struct doctor_port *imap, const struct doctor_port *pop3);

#endif
