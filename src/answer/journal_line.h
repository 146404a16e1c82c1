/* journal_line - what one line of a mail server's log says: who wrote it, which session or message it is about, and the refusal in it.
 * Knows Postfix, Exim, sendmail, OpenSMTPD, Dovecot, Haraka, nginx's mail proxy and mailroom, with the stamps of syslog, of journalctl, of
 * containers and of their own, or without any, and lines that are JSON. Only for src/answer. */
#ifndef MAILROOM_ANSWER_JOURNAL_LINE_H
#define MAILROOM_ANSWER_JOURNAL_LINE_H

#include "cause/cause.h"

enum { JOURNAL_SCRATCH = 8192 };

enum journal_what {
	JOURNAL_FOREIGN, /* no line of a server that is known */
	JOURNAL_OTHER,	 /* known, and nothing to count */
	JOURNAL_SENDER,	 /* `id` is from `name` */
	JOURNAL_DONE,	 /* `id` is through */
	JOURNAL_BEGIN,	 /* a session begins */
	JOURNAL_NOTE,	 /* something went wrong, and another line says so once more when it counts */
	JOURNAL_REFUSAL,
	JOURNAL_LAST, /* the last reply of a session that ends; counts where no other of it did */
};

struct journal_line {
	enum journal_what what;
	struct span time, id, session, name;
	struct span reply;   /* the words of the refusal */
	enum cause_id cause; /* known without words; CAUSE_NONE: the words say it */
	unsigned stage;	     /* REPLY_AT_* */
	const char *emitter; /* whose words they are, a slug of knowledge/replies; NULL: of whoever is quoted in them */
};

/* The spans point into the line, or into `scratch` where the line is JSON and had to be unescaped. */
void journal_line_read(struct span line, char scratch[JOURNAL_SCRATCH], struct journal_line *out);

/* The servers' own lines, behind stamp, host and program; `out` is JOURNAL_OTHER, and session the process where syslog names it. */
void journal_postfix(struct span s, struct journal_line *out);
void journal_exim(struct span s, struct journal_line *out);
void journal_sendmail(struct span s, struct journal_line *out);
void journal_opensmtpd(struct span s, struct journal_line *out);
void journal_dovecot(struct span s, struct journal_line *out);
void journal_haraka(struct span s, struct journal_line *out);
void journal_nginx(struct span s, struct journal_line *out);
void journal_mailroom(struct span s, struct journal_line *out);
/* "message" and the like of a JSON object as text; false: there is none */
bool journal_json(struct span line, char scratch[JOURNAL_SCRATCH], struct span *time_out, struct span *text_out);

/* --- for these --- */

static inline bool line_has(struct span s, struct span words)
{
	return span_find_span(s, words) < s.len;
}

static inline struct span line_behind(struct span s, struct span words)
{
	size_t at = span_find_span(s, words);

	return at < s.len ? span_from(s, at + words.len) : SPAN_NONE;
}

/* what stands between `open` and `close` behind it; empty: it is not there */
static inline struct span line_between(struct span s, struct span open, uint8_t close)
{
	s = line_behind(s, open);
	return span_head(s, span_find(s, close));
}

/* REPLY_AT_* of what servers call the moment: "RCPT", "END-OF-MESSAGE"; 0: not known */
unsigned line_stage(struct span word);
void line_refusal(struct journal_line *out, struct span reply, enum cause_id cause);

#endif
