/* cli_doctor_probe - the steps of looking at one port, one connection at a time: note keeps what went wrong, talk asks and takes replies,
 * sign signs in, send goes through an envelope and perhaps a message. A step returns false when the conversation ends there; then what is
 * wrong has been noted in the port. */
#ifndef MAILROOM_CLI_CLI_DOCTOR_PROBE_H
#define MAILROOM_CLI_CLI_DOCTOR_PROBE_H

#include "answer/doctor_reply.h"
#include "cause/cause.h"
#include "cli/cli_doctor_wire.h"

enum { PROBE_COMMAND_BYTES = 4096, PROBE_SHOWN_BYTES = 300 };

struct probe {
	struct doctor *d;
	struct doctor_port *port;
	struct doctor_wire wire;
	struct doctor_offer offer;
	struct buf command; /* may hold the password */
	struct buf reply;   /* lines joined by '\n', as they came, the password masked */
	unsigned code;	    /* doctor_reply_code of it; 0: no reply of that protocol */
	unsigned refused_code;
	struct buf refusal;
	bool plain_silent;  /* nothing was said in the clear: perhaps it waits for TLS */
	bool answers_plain; /* TLS was answered in the clear */
};

/* note: the first thing that is wrong stays. `said` is the peer's. */
void probe_fail(struct probe *p, const char *slug, enum doctor_stage stage, const char *what, struct span said);
void probe_fail_cause(struct probe *p, enum cause_id cause, enum doctor_stage stage, const char *what, struct span said);
/* The cause of a refusal is what the library makes of its words; where these do not decide, `sure` (CAUSE_NONE: then that). */
void probe_refused(struct probe *p, enum doctor_stage stage, const char *what, enum cause_id sure);
void probe_broken(struct probe *p, enum doctor_wire_rc rc, enum doctor_stage stage, const char *what);
/* a server may say the password back to us */
void probe_mask_password(const struct probe *p, struct buf *text);

/* talk: p->command is sent, the reply taken; `what` names it in the evidence, without secrets. `body`: of POP3, up to the dot */
bool probe_ask(struct probe *p, enum doctor_stage stage, const char *what, bool body);
bool probe_say(struct probe *p, enum doctor_stage stage, const char *command);
bool probe_offer(struct probe *p);
/* goes as it is polite; whatever comes back no longer matters */
void probe_bye(struct probe *p);

bool probe_sign_in(struct probe *p);
void probe_envelope(struct probe *p);

#endif
