#include "answer/journal_line.h"

#include "answer/replies_table.h"

enum { PROGRAM_BYTES = 80, ID_BYTES = 24, STAMP_BSD = 15, STAMP_EXIM = 19 };

/* what stands between `open` and `close` behind it; empty: it is not there */
static struct span line_between(struct span s, struct span open, uint8_t close)
{
	size_t at = span_find_span(s, open);

	if (at >= s.len)
		return SPAN_NONE;
	s = span_from(s, at + open.len);
	return span_head(s, span_find(s, close));
}

static bool line_has(struct span s, struct span words)
{
	return span_find_span(s, words) < s.len;
}

static struct span line_behind(struct span s, struct span words)
{
	size_t at = span_find_span(s, words);

	return at < s.len ? span_from(s, at + words.len) : SPAN_NONE;
}

static unsigned line_stage(struct span word)
{
	static const struct {
		const char *word;
		unsigned stage;
	} table[] = {
		{"RCPT", REPLY_AT_RCPT},
		{"MAIL", REPLY_AT_MAIL},
		{"sender", REPLY_AT_MAIL},
		{"DATA", REPLY_AT_DATA},
		{"END-OF-MESSAGE", REPLY_AT_END},
		{"after DATA", REPLY_AT_END},
		{"CONNECT", REPLY_AT_CONNECT | REPLY_AT_BANNER},
		{"connection", REPLY_AT_CONNECT | REPLY_AT_BANNER},
		{"EHLO", REPLY_AT_HELO},
		{"HELO", REPLY_AT_HELO},
		{"AUTH", REPLY_AT_AUTH},
		{"STARTTLS", REPLY_AT_STARTTLS},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (span_starts(word, span_str(table[i].word)))
			return table[i].stage;
	return 0;
}

static void line_refusal(struct journal_line *out, struct span reply, enum cause_id cause)
{
	out->what = JOURNAL_REFUSAL;
	out->reply = span_trim(reply);
	out->cause = cause;
}

/* "RCPT from host[192.0.2.1]: 554 5.7.1 <a@b>: Relay access denied; from=<x@y> to=<a@b> proto=ESMTP helo=<z>" */
static void line_postfix_reject(struct span s, struct journal_line *out)
{
	struct span reply = line_behind(s, SPAN_LIT("]: ")), from = line_between(s, SPAN_LIT("sasl_username="), ' ');

	out->stage = line_stage(s);
	if (!from.len)
		from = line_between(s, SPAN_LIT(" from=<"), '>');
	out->name = from;
	line_refusal(out, span_head(reply, span_find_span(reply, SPAN_LIT("; from=<"))), CAUSE_NONE);
}

static void line_postfix_message(struct span s, struct journal_line *out)
{
	if (span_starts(s, SPAN_LIT("from=<"))) {
		out->what = JOURNAL_SENDER;
		out->name = line_between(s, SPAN_LIT("from=<"), '>');
	} else if (span_starts(s, SPAN_LIT("client="))) {
		out->name = line_between(s, SPAN_LIT("sasl_username="), ',');
		out->what = out->name.len ? JOURNAL_SENDER : JOURNAL_OTHER;
	} else if (span_starts(s, SPAN_LIT("reject: "))) {
		line_postfix_reject(span_from(s, 8), out);
	} else if (span_starts(s, SPAN_LIT("milter-reject: "))) {
		line_postfix_reject(span_from(s, 15), out);
	} else if (span_eq(s, SPAN_LIT("removed"))) {
		out->what = JOURNAL_DONE;
	} else if (span_starts(s, SPAN_LIT("to=<"))) {
		struct span status = line_behind(s, SPAN_LIT(", status="));

		if (!status.len || status.ptr[0] == 's')
			return;
		status = line_behind(status, SPAN_LIT("("));
		if (status.len && status.ptr[status.len - 1] == ')')
			status.len--;
		line_refusal(out, status, CAUSE_NONE);
	}
}

static void line_postfix(struct span s, struct journal_line *out)
{
	size_t colon = span_find(span_head(s, ID_BYTES), ':');

	if (span_starts(s, SPAN_LIT("connect from"))) {
		out->what = JOURNAL_BEGIN;
	} else if (span_starts(s, SPAN_LIT("warning: "))) {
		if (line_has(s, SPAN_LIT(" SASL ")) && line_has(s, SPAN_LIT("authentication failed"))) {
			out->name = line_between(s, SPAN_LIT("sasl_username="), ' ');
			line_refusal(out, line_behind(s, SPAN_LIT("]: ")), CAUSE_AUTH_BAD_CREDENTIALS);
		}
	} else if (span_starts(s, SPAN_LIT("SSL_accept error"))) {
		line_refusal(out, s, CAUSE_TLS_HANDSHAKE_FAILED);
	} else if (span_starts(s, SPAN_LIT("timeout after"))) {
		line_refusal(out, s, CAUSE_TIMEOUT);
	} else if (colon < span_head(s, ID_BYTES).len && colon + 2 < s.len) {
		out->id = span_head(s, colon);
		line_postfix_message(span_from(s, colon + 2), out);
	}
}

static bool line_is_exim_id(struct span word)
{
	return (word.len == 16 && word.ptr[6] == '-' && word.ptr[13] == '-') ||
	       (word.len == 23 && word.ptr[6] == '-' && word.ptr[18] == '-');
}

/* "** rcpt R=router T=transport: the reason", "== rcpt R=router T=transport defer (-44): the reason" */
static struct span line_exim_reason(struct span s)
{
	struct span reason = line_behind(s, SPAN_LIT(" T="));
	size_t at = span_find_span(s, SPAN_LIT("SMTP error from"));

	if (at < s.len)
		return span_from(s, at);
	reason = line_behind(reason.len ? reason : s, SPAN_LIT(": "));
	return reason.len ? reason : s;
}

static void line_exim_message(struct span s, struct journal_line *out)
{
	if (span_starts(s, SPAN_LIT("<= "))) {
		out->what = JOURNAL_SENDER;
		s = span_from(s, 3);
		out->name = span_head(s, span_find(s, ' '));
	} else if (span_eq(s, SPAN_LIT("Completed"))) {
		out->what = JOURNAL_DONE;
	} else if (span_starts(s, SPAN_LIT("** "))) {
		line_refusal(out, line_exim_reason(span_from(s, 3)), CAUSE_NONE);
	} else if (span_starts(s, SPAN_LIT("== "))) {
		line_refusal(out, line_exim_reason(span_from(s, 3)), CAUSE_NONE);
	}
}

/* behind the time stamp */
static void line_exim(struct span s, struct journal_line *out)
{
	struct span word, reply;

	if (s.len && s.ptr[0] == '[') { /* with +pid */
		out->session = span_head(s, span_find(s, ']'));
		s = span_from(s, out->session.len + 2);
	}
	word = span_head(s, span_find(s, ' '));
	out->what = JOURNAL_OTHER;
	if (line_is_exim_id(word)) {
		out->id = word;
		s = span_from(s, word.len + 1);
		line_exim_message(s, out);
		if (out->what != JOURNAL_OTHER)
			return;
	}
	if (!out->session.len) { /* the client's address and port */
		out->session = line_between(s, SPAN_LIT(" ["), ' ');
	}
	reply = line_behind(s, SPAN_LIT(" rejected "));
	if (reply.len) {
		struct span words = line_behind(reply, SPAN_LIT(": "));

		out->stage = line_stage(reply);
		out->name = line_between(s, SPAN_LIT(" F=<"), '>');
		line_refusal(out, words.len ? words : reply, CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT("authenticator failed for"))) {
		out->name = line_between(s, SPAN_LIT("(set_id="), ')');
		out->stage = REPLY_AT_AUTH;
		reply = line_behind(s, SPAN_LIT("]: "));
		line_refusal(out, reply.len ? reply : s, CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT("TLS error on connection"))) {
		line_refusal(out, s, CAUSE_NONE);
	}
}

static void line_sendmail(struct span s, struct journal_line *out)
{
	size_t colon = span_find(span_head(s, ID_BYTES), ':');
	struct span stat;

	if (colon >= span_head(s, ID_BYTES).len || colon + 2 >= s.len)
		return;
	out->id = span_head(s, colon);
	s = span_from(s, colon + 2);
	if (span_starts(s, SPAN_LIT("from="))) {
		out->what = JOURNAL_SENDER;
		out->name = line_between(s, SPAN_LIT("from="), ',');
		if (out->name.len > 2 && out->name.ptr[0] == '<')
			out->name = span_of(out->name.ptr + 1, out->name.len - 2);
		return;
	}
	stat = line_behind(s, SPAN_LIT(", reject="));
	if (stat.len) {
		line_refusal(out, stat, CAUSE_NONE);
		return;
	}
	stat = line_behind(s, SPAN_LIT("stat="));
	if (!stat.len || span_starts(stat, SPAN_LIT("Sent")) || span_starts(stat, SPAN_LIT("queued")))
		return;
	/* "dsn=5.1.1, stat=User unknown": the code belongs to the words */
	line_refusal(out, line_has(s, SPAN_LIT("dsn=5")) || line_has(s, SPAN_LIT("dsn=4")) ? line_behind(s, SPAN_LIT("dsn=")) : stat,
		     CAUSE_NONE);
}

static void line_opensmtpd(struct span s, struct journal_line *out)
{
	struct span result = line_between(s, SPAN_LIT("result=\""), '"');

	out->session = span_head(s, span_find(s, ' '));
	if (line_has(s, SPAN_LIT(" smtp connected "))) {
		out->what = JOURNAL_BEGIN;
	} else if (line_has(s, SPAN_LIT("failed-command")) && result.len) {
		out->stage = line_stage(line_between(s, SPAN_LIT("command=\""), '"'));
		line_refusal(out, result, CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT("smtp authentication")) && line_has(s, SPAN_LIT("fail"))) {
		out->name = line_between(s, SPAN_LIT("user="), ' ');
		line_refusal(out, s, CAUSE_AUTH_BAD_CREDENTIALS);
	} else if (line_has(s, SPAN_LIT(" delivery ")) && (line_has(s, SPAN_LIT("PermFail")) || line_has(s, SPAN_LIT("TempFail")))) {
		out->name = line_between(s, SPAN_LIT("from=<"), '>');
		line_refusal(out, line_between(s, SPAN_LIT("stat=\""), '"'), CAUSE_NONE);
	}
}

static void line_dovecot(struct span s, struct journal_line *out)
{
	out->name = line_between(s, SPAN_LIT("user=<"), '>');
	out->session = line_between(s, SPAN_LIT("session=<"), '>');
	if (line_has(s, SPAN_LIT("auth failed")))
		line_refusal(out, s, CAUSE_AUTH_BAD_CREDENTIALS);
	else if (line_has(s, SPAN_LIT("uota exceeded")))
		line_refusal(out, s, CAUSE_RCPT_MAILBOX_FULL);
	else if (line_has(s, SPAN_LIT("TLS handshaking")) || line_has(s, SPAN_LIT("SSL_accept() failed")))
		line_refusal(out, s, CAUSE_TLS_HANDSHAKE_FAILED);
	else if (line_has(s, SPAN_LIT("Maximum number of connections")))
		line_refusal(out, s, CAUSE_TOO_MANY_CONNECTIONS_ADDRESS);
}

static void line_mailroom(struct span s, struct journal_line *out)
{
	enum cause_id cause;

	out->what = JOURNAL_OTHER;
	if (!line_has(s, SPAN_LIT(" event=refused")) && !line_has(s, SPAN_LIT(" event=sign-in-refused")))
		return;
	cause = cause_by_slug(line_between(s, SPAN_LIT(" cause="), ' '));
	if (!cause)
		return;
	out->session = line_between(s, SPAN_LIT(" session="), ' ');
	out->name = line_between(s, SPAN_LIT(" account="), ' ');
	if (!out->name.len)
		out->name = line_between(s, SPAN_LIT(" sender="), ' ');
	if (!out->name.len)
		out->name = line_between(s, SPAN_LIT(" rcpt="), ' ');
	line_refusal(out, s, cause);
}

static const struct {
	const char *program;
	void (*read)(struct span s, struct journal_line *out);
} programs[] = {
	{"postfix", line_postfix},	    {"exim", line_exim},       {"sendmail", line_sendmail},  {"sm-mta", line_sendmail},
	{"smtpd", line_opensmtpd},	    {"dovecot", line_dovecot}, {"imap-login", line_dovecot}, {"pop3-login", line_dovecot},
	{"submission-login", line_dovecot}, {"lmtp(", line_dovecot},   {"lda(", line_dovecot},	     {"managesieve-login", line_dovecot},
};

static bool line_is_date(struct span s)
{
	return s.len > STAMP_EXIM && byte_is_digit(s.ptr[0]) && s.ptr[4] == '-' && s.ptr[7] == '-' && s.ptr[13] == ':' &&
	       byte_is_digit(s.ptr[18]);
}

/* "host program[123]: words", or without a host */
static void line_syslog(struct span s, struct journal_line *out)
{
	size_t blank = span_find(span_head(s, PROGRAM_BYTES), ' '), colon;
	struct span program;

	if (blank >= s.len || blank == 0)
		return;
	if (s.ptr[blank - 1] != ':')
		s = span_from(s, blank + 1);
	colon = span_find(span_head(s, PROGRAM_BYTES), ':');
	if (colon + 2 >= s.len || colon >= PROGRAM_BYTES)
		return;
	program = span_head(s, colon);
	s = span_from(s, colon + 2);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (!span_starts(program, span_str(programs[i].program)))
			continue;
		out->what = JOURNAL_OTHER;
		out->session = line_between(program, SPAN_LIT("["), ']');
		if (programs[i].read == line_exim && line_is_date(s))
			s = span_from(s, STAMP_EXIM + 1);
		programs[i].read(s, out);
		return;
	}
}

void journal_line_read(struct span line, struct journal_line *out)
{
	*out = (struct journal_line){.what = JOURNAL_FOREIGN};
	if (line.len < STAMP_EXIM + 2)
		return;
	if (line_is_date(line)) {
		size_t end = span_find(line, ' ');

		if (line.ptr[10] == 'T') {
			out->time = span_head(line, end);
			line = span_from(line, end + 1);
			if (span_starts(line, SPAN_LIT("level=")))
				line_mailroom(line, out);
			else
				line_syslog(line, out);
			return;
		}
		out->time = span_head(line, STAMP_EXIM);
		end = STAMP_EXIM + (line.ptr[STAMP_EXIM] == '.' ? 4U : 0U); /* with +millisec */
		line = span_from(line, end + 1);
		if (line.len > 6 && (line.ptr[0] == '+' || line.ptr[0] == '-') && byte_is_digit(line.ptr[1]) &&
		    line.ptr[5] == ' ') /* with a zone */
			line = span_from(line, 6);
		line_syslog(line, out); /* Dovecot writes so too */
		if (out->what == JOURNAL_FOREIGN)
			line_exim(line, out);
	} else if (byte_is_alpha(line.ptr[0]) && line.ptr[3] == ' ' && line.ptr[9] == ':' && line.ptr[12] == ':') {
		out->time = span_head(line, STAMP_BSD);
		line_syslog(span_from(line, STAMP_BSD + 1), out);
	}
}
