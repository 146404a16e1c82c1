/* dsn - writes delivery status notifications (RFC 3461, 3462, 3464, 6533): what a person reads first (what happened, whose turn it is, the next step), what
 * programs read, and the original's header or all of it. Pure: facts and words in, a message out. Who gets one, and for what, is decided elsewhere; so are
 * the words of causes (cause/cause.h). All texts that come from other servers are made printable here. */
#ifndef MAILROOM_MAIL_DSN_H
#define MAILROOM_MAIL_DSN_H

#include "base/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_RELAYED /* to a server that tells no more */, DSN_DELIVERED, DSN_EXPANDED };
/* whose turn it is: the reader's, that of who runs this server, that of who runs the recipient's server */
enum dsn_whose { DSN_SENDER, DSN_HERE, DSN_THERE };
enum { DSN_STEPS = 2 };
struct dsn_step { enum dsn_whose whose; const char *what; /* NULL: no such step */ };

struct dsn_rcpt {
	enum dsn_action action;
	struct span address;        /* Final-Recipient */
	struct span orcpt;          /* as it came with RCPT, "rfc822;x@y" in xtext; empty: none */
	struct span status;         /* "5.1.1"; empty: made of the action */
	struct span host, ip;       /* the remote; empty: none was reached */
	struct span words;          /* its reply with codes, "550 5.1.1 User unknown"; or what went wrong here, in our words (then remote_said is false) */
	bool remote_said;
	int64_t last_try_ms;        /* wall clock; 0: never */
	int64_t given_up_ms;        /* DELAYED: until when it will be tried; 0: not known */
	unsigned attempts;
	bool expired;               /* given up because of its age, not because of the last reply */
	const char *slug;           /* of the cause; "" where it is not known */
	const char *meaning;        /* one sentence for a layman; "": the remote's words have to do */
	const char *likely;         /* the likeliest reason behind it; "": not said */
	struct dsn_step steps[DSN_STEPS]; /* what to do now, the most helpful first */
};

struct dsn {
	struct span hostname;       /* Reporting-MTA, and the domain of Message-ID */
	struct span from;           /* address in From: postmaster@... */
	struct span to;             /* the original's sender */
	struct span envid;          /* decoded; empty: none */
	struct span queue_id;       /* of the original */
	struct span head;           /* the original's header block as it left its sender (our own lines may stand on top); cut here where it is long */
	struct span text;           /* the original whole (head and body), to be returned; empty: the header only */
	int64_t arrived_ms, now_ms;
	uint64_t unique;            /* a random number, for Message-ID and boundary */
	bool utf8;                  /* the original was SMTPUTF8 */
	const struct dsn_rcpt *rcpts;
	size_t rcpt_count;          /* all with the same action, but RELAYED and DELIVERED may stand together */
};

enum { DSN_HEAD_BYTES = 64 << 10, /* of a returned header */ DSN_RCPTS_IN_WORDS = 500 /* named to a person; programs read of all */, DSN_OUT_BYTES = 8 << 20 };

/* Appends header block (with its empty line) to head_out and the rest to body_out. *has_8bit_out: bytes >= 0x80 are in it. */
void dsn_write(const struct dsn *d, struct buf *head_out, struct buf *body_out, bool *has_8bit_out);

#endif
