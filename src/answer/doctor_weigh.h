/* doctor_weigh - the judgement over all that the doctor found: one cause, the evidence for it, and what else is worth knowing. Pure. */
#ifndef MAILROOM_ANSWER_DOCTOR_WEIGH_H
#define MAILROOM_ANSWER_DOCTOR_WEIGH_H

#include "answer/doctor_fact.h"

enum { DOCTOR_CLOCK_MS = 24 * 3600 * 1000 }; /* clocks that differ by less are not what makes a certificate invalid */

struct doctor_verdict {
	const char *slug;		/* NULL: sending works, or everything that was asked for does */
	const struct doctor_port *port; /* the one that shows it; NULL: it is about all */
	const char *evidence;		/* "" where fine */
	const char *notes[DOCTOR_NOTES];
	size_t note_count;
};

void doctor_weigh(const struct doctor_facts *f, struct arena *mem, struct doctor_verdict *out);

/* The first step that the person at the mail program can take; where there is none, the administrator's. NULL: the slug is not in the
 * catalogue. */
const char *doctor_next_step(const char *slug);

const char *doctor_security_name(enum doctor_security security);
const char *doctor_protocol_name(enum doctor_protocol protocol);
const char *doctor_net_name(enum doctor_net net);
const char *doctor_source_name(enum doctor_source source);

#endif
