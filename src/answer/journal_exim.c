/* journal_exim - lines of Exim. Only for journal_line.c. */
#include "answer/journal_line.h"
#include "answer/replies_table.h"

static bool exim_is_id(struct span word)
{
	return (word.len == 16 && word.ptr[6] == '-' && word.ptr[13] == '-') ||
	       (word.len == 23 && word.ptr[6] == '-' && word.ptr[18] == '-');
}

/* "** rcpt R=router T=transport: the reason", "== rcpt R=router T=transport defer (-44): the reason" */
static struct span exim_reason(struct span s)
{
	struct span reason = line_behind(s, SPAN_LIT(" T="));
	size_t at = span_find_span(s, SPAN_LIT("SMTP error from"));

	if (at < s.len)
		return span_from(s, at);
	reason = line_behind(reason.len ? reason : s, SPAN_LIT(": "));
	return reason.len ? reason : s;
}

static bool exim_message(struct span s, struct journal_line *out)
{
	if (s.len > 3 && s.ptr[2] == ' ') {
		if (s.ptr[0] == '<' && s.ptr[1] == '=') {
			struct span account = line_between(s, SPAN_LIT(" A="), ' ');

			s = span_from(s, 3);
			out->what = JOURNAL_SENDER;
			out->name = span_head(s, span_find(s, ' '));
			if (account.len && span_find(account, ':') + 1 < account.len) /* "A=plain:alice" */
				out->name = span_from(account, span_find(account, ':') + 1);
			return true;
		}
		if ((s.ptr[0] == '*' && s.ptr[1] == '*') || (s.ptr[0] == '=' && s.ptr[1] == '=')) {
			line_refusal(out, exim_reason(span_from(s, 3)), CAUSE_NONE);
			return true;
		}
		if (s.ptr[1] == '>' || (s.ptr[0] == '>' && s.ptr[1] == '>')) /* delivered */
			return true;
	}
	if (span_eq(s, SPAN_LIT("Completed"))) {
		out->what = JOURNAL_DONE;
		return true;
	}
	return false;
}

/* what Exim writes besides, which is nothing to count; a line with a date alone is not Exim's */
static bool exim_is_known(struct span s)
{
	static const char *const words[] = {"H=",
					    "Start queue run",
					    "End queue run",
					    "no host name found",
					    "no IP address found",
					    "SMTP ",
					    "Warning: ",
					    "exim ",
					    "daemon: ",
					    "unexpected disconnection",
					    "rejected ",
					    "TLS error",
					    "login_",
					    "plain_",
					    "listening",
					    "LMTP ",
					    "DKIM: ",
					    "dovecot_",
					    "refused connection",
					    "host name alias list",
					    "cwd="};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (s.len && s.ptr[0] == (uint8_t)words[i][0] && span_starts(s, span_str(words[i])))
			return true;
	return false;
}

/* In the handshake it is one that failed. Later "(recv)" mostly says that the other side closed the connection without TLS's goodbye, as
 * many do after QUIT: nothing is lost then, and where something was, another line says so. */
static void exim_tls(struct span s, struct journal_line *out)
{
	bool ended = line_has(s, SPAN_LIT("non-properly terminated")) || line_has(s, SPAN_LIT("unexpected eof"));

	line_refusal(out, s, ended ? CAUSE_NONE : CAUSE_TLS_HANDSHAKE_FAILED);
	if (ended && !line_has(s, SPAN_LIT("handshake")) && !line_has(s, SPAN_LIT("SSL_accept")) && !line_has(s, SPAN_LIT("SSL_connect")))
		out->what = JOURNAL_NOTE;
}

static void exim_refused(struct span s, struct journal_line *out)
{
	struct span reply = line_behind(s, SPAN_LIT(" rejected "));

	if (!reply.len && span_starts(s, SPAN_LIT("rejected ")))
		reply = span_from(s, 9);
	if (reply.len) {
		struct span words = line_behind(reply, SPAN_LIT(": ")), account = line_between(s, SPAN_LIT(" A="), ' ');

		out->stage = line_stage(reply);
		out->name = line_between(s, SPAN_LIT(" F=<"), '>');
		if (account.len)
			out->name = span_from(account, span_find(account, ':') + 1);
		out->emitter = "exim";
		line_refusal(out, words.len ? words : reply, CAUSE_NONE);
	} else if (span_starts(s, SPAN_LIT("SMTP error from"))) { /* the line about the recipient says it again */
		line_refusal(out, s, CAUSE_NONE);
		out->what = JOURNAL_NOTE;
	} else if (line_has(s, SPAN_LIT("authenticator failed for"))) {
		out->name = line_between(s, SPAN_LIT("(set_id="), ')');
		out->stage = REPLY_AT_AUTH;
		reply = line_behind(s, SPAN_LIT("]: "));
		line_refusal(out, reply.len ? reply : s, CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT("TLS error on connection"))) {
		exim_tls(s, out);
	} else if (span_starts(s, SPAN_LIT("SMTP protocol synchronization error"))) {
		line_refusal(out, s, CAUSE_PROTOCOL_VIOLATION);
	} else if (line_has(s, SPAN_LIT("dropped: too many nonmail commands")) ||
		   line_has(s, SPAN_LIT("dropped: too many syntax or protocol errors"))) {
		line_refusal(out, s, CAUSE_TOO_MANY_BAD_COMMANDS);
	} else if (line_has(s, SPAN_LIT("SMTP command timeout"))) {
		line_refusal(out, s, CAUSE_TIMEOUT);
	} else if (line_has(s, SPAN_LIT("refused: too many connections"))) {
		line_refusal(out, s, CAUSE_TOO_MANY_CONNECTIONS);
	}
}

/* behind the time stamp */
void journal_exim(struct span s, struct journal_line *out)
{
	bool sure = out->what != JOURNAL_FOREIGN;
	struct span word;

	if (s.len && s.ptr[0] == '[' && s.len > 2 && byte_is_digit(s.ptr[1])) { /* with +pid */
		out->session = span_of(s.ptr + 1, span_find(span_from(s, 1), ']'));
		s = span_trim(span_from(s, out->session.len + 2));
	}
	word = span_head(s, span_find(s, ' '));
	if (exim_is_id(word)) {
		out->what = JOURNAL_OTHER;
		out->id = word;
		s = span_from(s, word.len + 1);
		if (exim_message(s, out))
			return;
	} else if (!sure && !exim_is_known(s) && !line_has(s, SPAN_LIT("authenticator failed for"))) {
		return;
	}
	out->what = JOURNAL_OTHER;
	if (!out->session.len) /* the client's address */
		out->session = line_between(s, SPAN_LIT(" ["), ']');
	if (line_has(s, SPAN_LIT("SMTP connection from")))
		out->what = JOURNAL_BEGIN;
	else
		exim_refused(s, out);
}
