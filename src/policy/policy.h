/* policy - who may send what to where: one decision, made of facts. The caller gathers the facts (configuration, session, databases, counters); what comes
 * out is a verdict: allowed by which rule, or refused by which cause, on whose word. Nothing here knows a socket, a file, a clock or a database, so the
 * server, `mailroom would-accept` and the tests ask the same code. RFC 5321 3.6, 3.9, 7.9; 6409 3.2, 6; mission R3, R4 of the project.
 *
 * The rules stand in one table, in the order in which they are asked (policy_rules in policy.c). Each names its cause, the stage at which it is known, and
 * the change that would make it pass: so the way out of a refusal is found by the rules themselves and not by a second list. */
#ifndef MAILROOM_POLICY_POLICY_H
#define MAILROOM_POLICY_POLICY_H

#include "base/buf.h"
#include "cause/cause.h"

/* what lets a session send to elsewhere */
enum policy_by { POLICY_BY_NOTHING, POLICY_BY_SIGN_IN, POLICY_BY_WINDOW, POLICY_BY_NETWORK };
/* the relay window of the client's address, as far as this listener heeds windows */
enum policy_window {
	POLICY_WINDOW_OFF,      /* this listener heeds none */
	POLICY_WINDOW_NEVER,    /* nobody opened it of late */
	POLICY_WINDOW_OPEN,
	POLICY_WINDOW_EXPIRED,  /* closed by itself */
	POLICY_WINDOW_REVOKED,  /* closed by an administrator */
	POLICY_WINDOW_ENDED,    /* closed: password changed or account disabled */
	POLICY_WINDOW_SHARED,   /* several accounts sign in from this address */
	POLICY_WINDOW_PRIVATE,  /* a private address that the configuration does not name */
};
/* whose rule it is that decided */
enum policy_side { POLICY_SIDE_NONE, POLICY_SIDE_SERVER, POLICY_SIDE_DOMAIN, POLICY_SIDE_RECIPIENT };
enum policy_stage { POLICY_AT_MAIL, POLICY_AT_RCPT, POLICY_AT_FROM /* the message is complete: what its From says */ };
/* what a sender that is not the account's leads to: enum of the domain's setting */
enum policy_identity { POLICY_IDENTITY_ENFORCE, POLICY_IDENTITY_REWRITE, POLICY_IDENTITY_MARK, POLICY_IDENTITY_OFF, POLICY_IDENTITIES };
enum policy_identity_act { POLICY_ACT_NONE, POLICY_ACT_REWRITE, POLICY_ACT_MARK };
enum policy_rcpt {
	POLICY_RCPT_LOCAL,      /* hosted here; what the mailbox says is in rcpt_cause */
	POLICY_RCPT_FOREIGN,
	POLICY_RCPT_NOWHERE,    /* elsewhere, and no such domain can be: no dot in it, or a name that RFC 6761 keeps from ever being one */
};

struct policy_facts {
	enum policy_stage stage;
	/* the listener */
	bool is_submission;          /* only people who may send: nobody else gets past MAIL */
	bool tls_required, auth_offered, auth_needs_tls;
	bool has_networks;           /* it names networks that may relay */
	bool ip_denied;              /* the client's address is on its deny list */
	/* the session */
	bool tls;
	enum policy_by by;
	bool sign_in_pending;        /* by sign-in, which has not taken place yet: is it possible here? Only asked before a session, a live one has signed in */
	enum policy_window window;
	/* the account (sign-in, window) */
	bool revoked;                /* password or application password changed since the sign-in */
	bool account_disabled, sending_stopped, own_mailbox_full, full_mailbox_sends;
	enum policy_identity identity;
	bool sender_is_null;         /* <> belongs to everybody (RFC 5321 4.5.5) */
	bool sender_owned;           /* MAIL: the envelope's sender; FROM: every address in From */
	bool from_unreadable;        /* FROM: no address could be read out of it */
	/* the network */
	bool network_sender_ok;      /* the sender's domain is one of the network's */
	/* the sender, of strangers */
	bool sender_hosted;          /* its domain is hosted here */
	bool sender_domain_guarded;  /* and that domain wants its name used only by those who signed in */
	/* the message */
	bool too_big;
	/* the recipient */
	enum policy_rcpt rcpt;
	enum cause_id rcpt_cause;    /* LOCAL: what its mailbox says; CAUSE_NONE: it takes it */
	bool domain_has_allow_list, domain_allows_ip; /* LOCAL: the domain takes mail only from some addresses */
	bool domain_requires_tls;
	/* counters: the first that is used up, or CAUSE_NONE */
	enum cause_id sender_limit, rcpt_limit;
};

/* the smallest step that would make one rule pass */
enum policy_change {
	POLICY_CHANGE_NONE,          /* nothing that the asker could change */
	POLICY_CHANGE_TLS, POLICY_CHANGE_SIGN_IN, POLICY_CHANGE_TLS_AND_SIGN_IN, POLICY_CHANGE_SUBMISSION, POLICY_CHANGE_ENABLE_ACCOUNT, POLICY_CHANGE_ALLOW_SENDING, POLICY_CHANGE_MAKE_ROOM,
	POLICY_CHANGE_OWN_SENDER, POLICY_CHANGE_NETWORK_SENDER, POLICY_CHANGE_SMALLER, POLICY_CHANGE_UNDENY, POLICY_CHANGE_ALLOW_IP, POLICY_CHANGE_OTHER_SENDER,
	POLICY_CHANGE_ADD_MAILBOX, POLICY_CHANGE_ENABLE_MAILBOX, POLICY_CHANGE_MAILBOX_ROOM, POLICY_CHANGE_OTHER_DOMAIN, POLICY_CHANGE_JOIN_NETWORK,
	POLICY_CHANGE_WAIT, POLICY_CHANGES
};

struct policy_verdict {
	enum cause_id cause;         /* CAUSE_NONE: allowed */
	const char *rule;            /* name of the rule that decided: "relay-by-sign-in", "local-recipient", "tls-required" ...; never NULL */
	enum policy_side side;
	enum policy_identity_act act;
	enum policy_change change;   /* of the rule that refused */
};

void policy_decide(const struct policy_facts *f, struct policy_verdict *out);

/* The changes that together turn a refusal into an acceptance, fewest first come first served: applies the change of the rule that refuses, asks again,
 * until it is allowed. Returns how many are in changes (at most max); 0: allowed already, or nothing helps (*helps_out says which). *after_out: the facts
 * with all of them made. */
size_t policy_way_out(const struct policy_facts *f, enum policy_change *changes, size_t max, struct policy_facts *after_out, bool *helps_out);
/* does to the facts what that change would; false: it does not apply to them */
bool policy_apply(struct policy_facts *f, enum policy_change change);
/* in a few words, imperative: "sign in", "use TLS"; for the command line */
const char *policy_change_words(enum policy_change change);
const char *policy_change_name(enum policy_change change); /* for programs: "sign-in", "tls" */
const char *policy_by_name(enum policy_by by);           /* "sign-in", "relay-window", "network", "" */
const char *policy_window_name(enum policy_window w);
const char *policy_identity_name(enum policy_identity i); /* "enforce" ... */
bool policy_identity_parse(struct span name, enum policy_identity *out);

/* a domain that cannot be in the public DNS: without a dot, or below one of invalid, localhost, onion (RFC 6761, 7686) */
bool policy_domain_impossible(struct span domain);

#endif
