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
	LIMIT_LOCAL_PART_BYTES = 64,
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

	/* frames between roles */
	LIMIT_FRAME_BYTES = 32 << 20,       /* every message of messages.def fits at its longest */
	LIMIT_FRAME_FDS = 4,
	LIMIT_CHANNEL_OUT_BYTES = 64 << 20,  /* unsent frames to one peer; past it the peer is dropped */

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
};

#endif
