/* limits - every size that a peer can push against and that is not a setting. Names carry the unit. Settings (with defaults)
 * are in conf/settings.def; what is here is fixed because raising it would break a promise made elsewhere. */
#ifndef MAILROOM_BASE_LIMITS_H
#define MAILROOM_BASE_LIMITS_H

enum {
	/* SMTP, RFC 5321 4.5.3.1 and the extensions that lengthen lines */
	LIMIT_SMTP_COMMAND_BYTES = 2048,     /* 512 + MAIL/RCPT extensions (RFC 1870, 3461, 6531, 4954...) */
	LIMIT_SMTP_AUTH_LINE_BYTES = 12288,  /* RFC 4954 4: 12288 octets with CRLF */
	LIMIT_SMTP_REPLY_LINE_BYTES = 512,
	LIMIT_SMTP_SESSION_BYTES = 64 << 10, /* arena of one connection without its envelope */
	LIMIT_SMTP_OUT_BYTES = 256 << 10,    /* replies not yet read by the peer; past it, reading pauses */
	LIMIT_SMTP_REFUSALS_KEPT = 16,       /* refused recipients remembered for the 503 */
	LIMIT_WHY_EVENTS = 50,               /* in one answer to XWHY */
	LIMIT_LOCAL_PART_BYTES = 64,
	LIMIT_LOCAL_PART_LONG_BYTES = 200,   /* of one that a forwarder rewrote (SRS) */
	LIMIT_DOMAIN_BYTES = 255,
	LIMIT_PATH_BYTES = 256,
	LIMIT_ENVID_BYTES = 100,             /* RFC 3461 4.4 */
	LIMIT_ORCPT_BYTES = 500,             /* RFC 3461 4.2 */
	LIMIT_TEXT_LINE_BYTES = 1000,        /* message line with CRLF, RFC 5321 4.5.3.1.6 */
	LIMIT_HELO_BYTES = 255,

	/* messages */
	LIMIT_HEADER_BYTES = 256 << 10,      /* header block kept apart; the rest of a longer one counts as body */
	LIMIT_HEADER_FIELD_BYTES = 998,      /* of a field value that is looked at (Message-ID, From, Date) */
	LIMIT_BODY_INLINE_BYTES = 64 << 10,  /* larger bodies travel through a lent spool file */
	LIMIT_BODY_FRAME_BYTES = 256 << 10,  /* ... or come inline whole, when the end arrives in the read that passes the limit */
	LIMIT_BODY_ROW_BYTES = 1 << 20,      /* larger bodies stay files in the store */
	LIMIT_TRACE_BYTES = 4096,            /* header lines added by us */
	LIMIT_FOLDER_BYTES = 256,            /* name of a folder in a mailbox */

	/* frames between roles */
	LIMIT_FRAME_BYTES = 36 << 20,       /* every message of messages.def fits at its longest */
	LIMIT_FRAME_FDS = 4,
	LIMIT_CHANNEL_OUT_BYTES = 64 << 20,  /* unsent frames to one peer; past it the peer is dropped */

	/* mail that leaves */
	LIMIT_RELAY_ROWS = 4096,             /* of the queue in the hands of one relay; a frame of LEASES_HELD takes as many */
	LIMIT_RELAY_DOMAINS = 20000,         /* destinations remembered; the oldest that have nothing to do go */
	LIMIT_RELAY_HOSTS = 20,              /* of one destination that are looked up */
	LIMIT_RELAY_ADDRESSES = 20,          /* of them all that are tried */
	LIMIT_RELAY_TEXT_BYTES = 32 << 20,   /* of messages fetched before their turn */
	LIMIT_RELAY_CHUNK_BYTES = 128 << 10, /* of a large message, twice that for each connection */
	LIMIT_RELAY_FRONT_BYTES = 16 << 10,  /* header lines put in front of one message */

	/* POP3, RFC 1939, 2449 */
	LIMIT_POP3_COMMAND_BYTES = 512,
	LIMIT_POP3_ARG_BYTES = 255,
	LIMIT_POP3_OUT_BYTES = 128 << 10,
	LIMIT_POP3_MESSAGES = 1 << 20,       /* shown in one session */

	/* sign-in */
	LIMIT_LOGIN_BYTES = 320,
	LIMIT_PASSWORD_BYTES = 1024,
	LIMIT_SASL_BYTES = 9216,             /* one decoded challenge or response */
	LIMIT_AUTH_QUEUE = 64,               /* sign-ins that wait for a hash */

	LIMIT_PROXY_HEADER_BYTES = 536,      /* PROXY protocol: what a balancer gets into one segment at worst (proxy-protocol.txt 2) */

	/* the structure of a message; past these the rest is opaque octets, never an error */
	LIMIT_MIME_DEPTH = 100,              /* parts inside each other */
	LIMIT_MIME_PARTS = 10000,
	LIMIT_MIME_HEADER_BYTES = 1 << 20,   /* header block of one part */
	LIMIT_MIME_FIELD_BYTES = 256 << 10,
	LIMIT_MIME_FIELDS = 1000,            /* of one part */
	LIMIT_MIME_PARAMS = 128,             /* of one field, pieces of RFC 2231 counted one by one */
	LIMIT_MIME_NAMES = 128,              /* readings of one part's file name */
	LIMIT_MIME_BOUNDARY_BYTES = 70,      /* RFC 2046 5.1.1 */
	LIMIT_MIME_BOUNDARIES = 4,           /* differing ones that one part gives */
	LIMIT_MIME_ADDRESSES = 10000,        /* of one address list */
	LIMIT_MIME_TREE_BYTES = 8 << 20,     /* memory of one message's tree */

	/* looking into attachments */
	LIMIT_ATTACH_DEPTH = 3,              /* archives inside archives */
	LIMIT_ATTACH_MEMBERS = 10000,        /* listed in all */
	LIMIT_ATTACH_UNPACKED_BYTES = 1 << 30, /* of all members */
	LIMIT_ATTACH_RATIO = 100,            /* unpacked bytes for each byte of the part, once LIMIT_ATTACH_RATIO_FREE_BYTES are passed */
	LIMIT_ATTACH_RATIO_FREE_BYTES = 1 << 20,
	LIMIT_ATTACH_HELD_BYTES = 16 << 20,  /* of an inner archive held in memory; of a larger one only what can be read in one go */
	LIMIT_ATTACH_NAMES_BYTES = 4 << 20,  /* memory for the names of all members */
	LIMIT_ATTACH_NAME_BYTES = 4096,      /* of one */
	LIMIT_ATTACH_WINDOW_BYTES = 64 << 20, /* dictionary that a member may ask for */

	/* Sieve scripts of mailbox owners; docs/SIEVE.md names them */
	LIMIT_SIEVE_SCRIPT_BYTES = 64 << 10,
	LIMIT_SIEVE_COMPILED_BYTES = 1 << 20,
	LIMIT_SIEVE_DEPTH = 32,              /* blocks and tests inside each other; RFC 5228 2.10.7 asks for 15 */
	LIMIT_SIEVE_COMMANDS = 4096,         /* commands and tests of a script */
	LIMIT_SIEVE_LIST = 1024,             /* strings in a list */
	LIMIT_SIEVE_VARIABLES = 128,         /* RFC 5229 6 asks for 128 */
	LIMIT_SIEVE_NAME_BYTES = 64,         /* of a variable or a loop; RFC 5229 6 asks for 32 */
	LIMIT_SIEVE_VALUE_BYTES = 4096,      /* of a variable; RFC 5229 6 asks for 4000; longer ones are cut */
	LIMIT_SIEVE_LOOPS = 4,               /* foreverypart inside each other */
	LIMIT_SIEVE_ACTIONS = 32,            /* of one run */
	LIMIT_SIEVE_REDIRECTS = 4,
	LIMIT_SIEVE_FLAGS = 64,              /* of one action */
	LIMIT_SIEVE_OPTION_BYTES = 1024,     /* a value of the command line's rules */
	LIMIT_SIEVE_REASON_BYTES = 4096,     /* reject, vacation */
	LIMIT_SIEVE_FIELDS = 1024,           /* header fields of one name that are looked at */
	LIMIT_SIEVE_BODY_BYTES = 1 << 20,    /* of one part that body tests look at */
	LIMIT_SIEVE_SCRATCH_BYTES = 1 << 20, /* memory of one test */
	LIMIT_SIEVE_STEPS = 16 << 20,        /* of one run: about one a byte compared */
	LIMIT_SIEVE_VACATION_DAYS = 365,
	LIMIT_SIEVE_VACATION_SECONDS = 60,   /* RFC 6131: fewer are taken for so many */
	LIMIT_SIEVE_ANSWERS = 32,            /* of vacation, to one message for several accounts */
	LIMIT_SIEVE_ANSWERED = 10000,        /* senders an account remembers that it has answered; more get no answer until some are forgotten */
	LIMIT_SIEVE_MAIL_BYTES = 16 << 20,   /* what is kept of one message for its scripts: fields, names, members of archives */
	LIMIT_SIEVE_BODIES_BYTES = 16 << 20, /* ... and decoded bodies */
	LIMIT_SIEVE_LOOKED_BYTES = 1 << 30,  /* read and unpacked for all attachments of one message */
	LIMIT_SIEVE_READ_TIMES = 8,          /* ... of it read: so many times its size (parts may lie inside each other), and LIMIT_SIEVE_READ_FREE_BYTES */
	LIMIT_SIEVE_READ_FREE_BYTES = 16 << 20,
	LIMIT_SIEVE_RULES = 256,             /* written by the command line in one script */
	LIMIT_SIEVE_RULE_CONDITIONS = 32,
};

#endif
