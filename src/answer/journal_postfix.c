/* journal_postfix - lines of Postfix, and of sendmail, which numbers its messages in the same way. Only for journal_line.c. */
#include "answer/journal_line.h"
#include "answer/replies_table.h"

enum { ID_BYTES = 24 };

static struct span postfix_sender(struct span s)
{
	struct span name = line_between(s, SPAN_LIT(" sasl_username="), ' ');

	return name.len ? name : line_between(s, SPAN_LIT(" from=<"), '>');
}

/* "RCPT from host[192.0.2.1]: 554 5.7.1 <a@b>: Relay access denied; from=<x@y> to=<a@b> proto=ESMTP helo=<z>" */
static void postfix_reject(struct span s, struct journal_line *out)
{
	struct span reply = line_behind(s, SPAN_LIT("]: ")), tail = line_behind(s, SPAN_LIT("; from=<"));

	if (!reply.len) { /* postscreen: "[192.0.2.1]:4711: 550 ..." */
		reply = line_behind(s, SPAN_LIT("]:"));
		reply = span_from(reply, span_find(reply, ' ') + 1);
	}
	out->stage = line_stage(s);
	out->name = postfix_sender(s);
	out->emitter = "postfix";
	if (tail.len && tail.ptr < reply.ptr) /* header_checks: the text stands at the end */
		reply = SPAN_NONE;
	if (!reply.len && tail.len) {
		size_t at = span_find_span(tail, SPAN_LIT(">: "));

		reply = at < tail.len ? span_from(tail, at + 3) : tail;
	} else {
		reply = span_head(reply, span_find_span(reply, SPAN_LIT("; from=<")));
	}
	line_refusal(out, reply, CAUSE_NONE);
}

/* ", relay=..., dsn=5.1.1, status=bounced (host h[192.0.2.1] said: 550 ... (in reply to RCPT TO command))" */
static void postfix_delivery(struct span s, struct journal_line *out)
{
	struct span status = line_behind(s, SPAN_LIT(", status="));

	if (!status.len || status.ptr[0] == 's' || span_starts(status, SPAN_LIT("deliverable")) ||
	    span_starts(status, SPAN_LIT("expired, ret")))
		return;
	status = line_behind(status, SPAN_LIT("("));
	if (status.len && status.ptr[status.len - 1] == ')')
		status.len--;
	if (status.len)
		line_refusal(out, status, CAUSE_NONE);
}

static const char *const rejects[] = {"reject: ", "milter-reject: ", "proxy-reject: "};

static void postfix_message(struct span s, struct journal_line *out)
{
	if (!s.len)
		return;
	if (s.ptr[0] == 'f' && span_starts(s, SPAN_LIT("from=<"))) {
		out->what = JOURNAL_SENDER;
		out->name = line_between(s, SPAN_LIT("from=<"), '>');
	} else if (s.ptr[0] == 'c' && span_starts(s, SPAN_LIT("client="))) {
		out->name = line_between(s, SPAN_LIT("sasl_username="), ',');
		out->what = out->name.len ? JOURNAL_SENDER : JOURNAL_OTHER;
	} else if (s.ptr[0] == 't' && span_starts(s, SPAN_LIT("to=<"))) {
		postfix_delivery(s, out);
	} else if (span_eq(s, SPAN_LIT("removed"))) {
		out->what = JOURNAL_DONE;
	} else if (s.ptr[0] == 'h' && span_starts(s, SPAN_LIT("host "))) { /* "host mx[192.0.2.1] refused to talk to me: 554 ..." */
		line_refusal(out, s, CAUSE_NONE);
		out->what = JOURNAL_NOTE;
	} else {
		for (size_t i = 0; i < sizeof(rejects) / sizeof(rejects[0]); i++) {
			struct span word = span_str(rejects[i]);

			if (s.ptr[0] == word.ptr[0] && span_starts(s, word))
				postfix_reject(span_from(s, word.len), out);
		}
	}
}

/* no word of a reply stands there, the line itself says it */
static const struct {
	const char *words;
	bool begins;
	enum cause_id cause;
} plain[] = {
	{"SSL_accept error", true, CAUSE_TLS_HANDSHAKE_FAILED},
	{"timeout after ", true, CAUSE_TIMEOUT},
	{"too many errors after ", true, CAUSE_TOO_MANY_BAD_COMMANDS},
	{"improper command pipelining after ", true, CAUSE_PROTOCOL_VIOLATION},
	{": Connection rate limit exceeded", false, CAUSE_IP_CONNECTS_TOO_OFTEN},
	{"warning: Connection concurrency limit exceeded", true, CAUSE_TOO_MANY_CONNECTIONS_ADDRESS},
};

static void postfix_warning(struct span s, struct journal_line *out)
{
	struct span reply;

	if (line_has(s, SPAN_LIT(" SASL ")) && line_has(s, SPAN_LIT("authentication failed"))) {
		reply = line_behind(s, SPAN_LIT("]: "));
		out->name = line_between(s, SPAN_LIT("sasl_username="), ' ');
		out->stage = REPLY_AT_AUTH;
		line_refusal(out, reply,
			     line_has(reply, SPAN_LIT("onnection lost")) || line_has(reply, SPAN_LIT("emporary"))
				     ? CAUSE_AUTH_TEMPORARILY_UNAVAILABLE
				     : CAUSE_AUTH_BAD_CREDENTIALS);
		return;
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (!plain[i].begins ? line_has(s, span_str(plain[i].words)) : span_starts(s, span_str(plain[i].words))) {
			line_refusal(out, s, plain[i].cause);
			return;
		}
	}
}

void journal_postfix(struct span s, struct journal_line *out)
{
	size_t colon = span_find(span_head(s, ID_BYTES), ':');

	if (!s.len)
		return;
	if (s.ptr[0] == 'c' && span_starts(s, SPAN_LIT("connect from"))) {
		out->what = JOURNAL_BEGIN;
	} else if (s.ptr[0] == 'c' && span_starts(s, SPAN_LIT("connect to "))) { /* said again with each message that waits for it */
		line_refusal(out, s, CAUSE_NONE);
		out->what = JOURNAL_NOTE;
	} else if (s.ptr[0] == 'd' || s.ptr[0] == 'l') { /* disconnect, lost connection */
		return;
	} else if (colon < span_head(s, ID_BYTES).len && colon + 2 < s.len && s.ptr[colon + 1] == ' ' && s.ptr[0] != 'w') {
		out->id = s.ptr[0] == 'N' ? SPAN_NONE : span_head(s, colon); /* "NOQUEUE" is none */
		postfix_message(span_from(s, colon + 2), out);
	} else {
		postfix_warning(s, out);
	}
}

void journal_sendmail(struct span s, struct journal_line *out)
{
	size_t colon = span_find(span_head(s, ID_BYTES), ':');
	struct span stat;

	if (colon >= span_head(s, ID_BYTES).len || colon + 2 >= s.len) {
		if (span_starts(s, SPAN_LIT("AUTH failure")))
			line_refusal(out, s, CAUSE_AUTH_BAD_CREDENTIALS);
		return;
	}
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
		out->stage = line_has(s, SPAN_LIT("ruleset=check_rcpt"))   ? REPLY_AT_RCPT
			     : line_has(s, SPAN_LIT("ruleset=check_mail")) ? REPLY_AT_MAIL
									   : 0;
		out->emitter = "sendmail";
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
