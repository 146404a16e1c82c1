/* journal_others - lines of OpenSMTPD, Dovecot, Haraka, nginx's mail proxy and mailroom. Only for journal_line.c. */
#include "answer/journal_line.h"
#include "answer/replies_table.h"

/* a value in quotes, or up to the next blank */
static struct span others_value(struct span s, struct span key)
{
	s = line_behind(s, key);
	if (s.len && s.ptr[0] == '"') {
		s = span_from(s, 1);
		return span_head(s, span_find(s, '"'));
	}
	return span_head(s, span_find(s, ' '));
}

/* the rest of the line from key on, without quotes around it */
static struct span others_rest(struct span s, struct span key)
{
	s = line_behind(s, key);
	if (s.len && s.ptr[0] == '"')
		s = span_from(s, 1);
	while (s.len && (s.ptr[s.len - 1] == '"' || s.ptr[s.len - 1] == ' '))
		s.len--;
	return s;
}

void journal_opensmtpd(struct span s, struct journal_line *out)
{
	out->session = span_head(s, span_find(s, ' '));
	if (line_has(s, SPAN_LIT(" smtp connected "))) {
		out->what = JOURNAL_BEGIN;
	} else if (line_has(s, SPAN_LIT(" failed-command "))) {
		out->stage = line_stage(others_value(s, SPAN_LIT("command=")));
		out->emitter = "opensmtpd";
		line_refusal(out, others_value(s, SPAN_LIT("result=")), CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT("smtp authentication")) && line_has(s, SPAN_LIT("fail"))) {
		out->name = line_between(s, SPAN_LIT("user="), ' ');
		line_refusal(out, s, CAUSE_AUTH_BAD_CREDENTIALS);
	} else if (line_has(s, SPAN_LIT("PermFail")) ||
		   line_has(s, SPAN_LIT("TempFail"))) { /* "mta delivery ...", "relay: PermFail for ..." */
		out->name = line_between(s, SPAN_LIT("from=<"), '>');
		out->session = SPAN_NONE;
		line_refusal(out, others_rest(s, SPAN_LIT("stat=")), CAUSE_NONE);
	} else if (line_has(s, SPAN_LIT(" mta error reason="))) {
		line_refusal(out, others_value(s, SPAN_LIT("reason=")), CAUSE_NONE);
	}
	if (out->what == JOURNAL_REFUSAL && !out->reply.len)
		out->what = JOURNAL_OTHER;
}

static const struct {
	const char *words;
	enum cause_id cause;
} dovecot_words[] = {
	{"auth failed", CAUSE_AUTH_BAD_CREDENTIALS},
	{"assword mismatch", CAUSE_AUTH_WRONG_PASSWORD},
	{"unknown user", CAUSE_AUTH_BAD_CREDENTIALS},
	{"uota exceeded", CAUSE_RCPT_MAILBOX_FULL},
	{"tried to use disallowed plaintext auth", CAUSE_AUTH_CLEARTEXT_REFUSED},
	{"tried to use disabled plaintext auth", CAUSE_AUTH_CLEARTEXT_REFUSED},
	{"tried to use unsupported auth mechanism", CAUSE_AUTH_MECHANISM_UNKNOWN},
	{"TLS handshaking", CAUSE_TLS_HANDSHAKE_FAILED},
	{"SSL_accept() failed", CAUSE_TLS_HANDSHAKE_FAILED},
	{"Maximum number of connections", CAUSE_TOO_MANY_CONNECTIONS_ADDRESS},
	{"auth process communication failure", CAUSE_AUTH_TEMPORARILY_UNAVAILABLE},
	{"auth server not ready", CAUSE_AUTH_TEMPORARILY_UNAVAILABLE},
	{"auth service reported temporary failure", CAUSE_AUTH_TEMPORARILY_UNAVAILABLE},
	{"No space left on device", CAUSE_SERVER_STORAGE_FULL},
};

/* who and which session: "user=<a>, ... session=<x>", "lmtp(a)<pid><x>:", or of who checks passwords "passwd-file(a,192.0.2.1,<x>):" */
static void dovecot_whom(struct span s, struct journal_line *out)
{
	size_t open = span_find(span_head(s, 32), '(');

	out->name = line_between(s, SPAN_LIT("user=<"), '>');
	out->session = line_between(s, SPAN_LIT("session=<"), '>');
	if (out->name.len || open >= span_head(s, 32).len)
		return;
	s = span_from(s, open + 1);
	s = span_head(s, span_find(s, ')'));
	out->name = span_head(s, span_find(s, ','));
	out->session = line_between(s, SPAN_LIT(",<"), '>');
	if (span_find(out->name, '@') == out->name.len && out->name.len && byte_is_digit(out->name.ptr[0])) /* "lmtp(110)": a process */
		out->name = SPAN_NONE;
}

void journal_dovecot(struct span s, struct journal_line *out)
{
	if (line_has(span_head(s, 40), SPAN_LIT(": Login: ")) || line_has(s, SPAN_LIT(": Logged out")))
		return;
	dovecot_whom(s, out);
	for (size_t i = 0; i < sizeof(dovecot_words) / sizeof(dovecot_words[0]); i++) {
		if (!line_has(s, span_str(dovecot_words[i].words)))
			continue;
		out->emitter = "dovecot";
		line_refusal(out, s, dovecot_words[i].cause);
		if (i == 0 && out->session.len) /* the sum of a session's attempts: each may have had its own line */
			out->what = JOURNAL_LAST;
		return;
	}
}

/* "core] recipient <a@b> code=DENY msg="words" sender=c@d", "core] sender <a@b> code=DENYSOFT ...", "core] message mid=... code=DENY ...";
 * what is said without such a line stands in the last one, "core] disconnect ... lr="550 words" time=0.1" */
static void haraka_denied(struct span s, struct journal_line *out)
{
	bool rcpt = span_starts(s, SPAN_LIT("core] recipient <")), sender = span_starts(s, SPAN_LIT("core] sender <"));
	struct span last;

	if (span_starts(s, SPAN_LIT("core] disconnect "))) {
		last = others_value(s, SPAN_LIT(" lr="));
		line_refusal(out, last, CAUSE_NONE);
		out->what = last.len && (last.ptr[0] == '4' || last.ptr[0] == '5') ? JOURNAL_LAST : JOURNAL_OTHER;
	} else if (line_has(s, SPAN_LIT(" code=DENY")) && (rcpt || sender || span_starts(s, SPAN_LIT("core] message ")))) {
		out->stage = rcpt ? REPLY_AT_RCPT : sender ? REPLY_AT_MAIL : REPLY_AT_END;
		out->name = rcpt ? others_value(s, SPAN_LIT(" sender=")) : line_between(s, SPAN_LIT("core] sender <"), '>');
		line_refusal(out, others_value(s, SPAN_LIT(" msg=")), CAUSE_NONE);
	}
	out->emitter = "haraka";
}

/* "[NOTICE] [UUID.1.1] [outbound] recipient <a@b> rejected: 550 ...", "[PROTOCOL] [UUID.1] [core] S: 550 ..." */
void journal_haraka(struct span s, struct journal_line *out)
{
	struct span level = line_between(s, SPAN_LIT("["), ']'), rest, plugin, reply;

	for (size_t i = 0; i < level.len; i++)
		if (!(level.ptr[i] >= 'A' && level.ptr[i] <= 'Z'))
			return;
	rest = line_behind(s, SPAN_LIT("] ["));
	plugin = line_behind(rest, SPAN_LIT("] ["));
	if (!level.len || !rest.len || !plugin.len || span_find(rest, ']') > 48)
		return;
	out->what = JOURNAL_OTHER;
	out->session = span_head(rest, span_find(rest, '.') < span_find(rest, ']') ? span_find(rest, '.') : span_find(rest, ']'));
	reply = line_behind(plugin, SPAN_LIT(" rejected: "));
	if (!reply.len)
		reply = line_behind(plugin, SPAN_LIT("temp_fail: "));
	if (!reply.len)
		reply = line_behind(plugin, SPAN_LIT("Failed to get pool entry: "));
	if (!reply.len && span_starts(level, SPAN_LIT("PROTOCOL"))) {
		reply = line_behind(plugin, SPAN_LIT("] S: "));
		if (reply.len && reply.ptr[0] != '4' && reply.ptr[0] != '5')
			reply = SPAN_NONE;
		out->emitter = span_starts(plugin, SPAN_LIT("core")) ? "haraka" : NULL;
	}
	if (span_starts(plugin, SPAN_LIT("core] connect ip=")))
		out->what = JOURNAL_BEGIN;
	else if (reply.len)
		line_refusal(out, reply, CAUSE_NONE);
	else
		haraka_denied(plugin, out);
}

/* "[info] 81#81: *73 client login failed: "words" while in http auth state, client: 192.0.2.1, server: ..., login: "a"" */
void journal_nginx(struct span s, struct journal_line *out)
{
	struct span reply;

	if (!s.len || s.ptr[0] != '[' || !line_has(span_head(s, 40), SPAN_LIT("#")))
		return;
	reply = line_between(s, SPAN_LIT("login failed: \""), '"');
	out->what = JOURNAL_OTHER;
	out->session = line_between(s, SPAN_LIT(" *"), ' ');
	if (!reply.len)
		return;
	out->name = line_between(s, SPAN_LIT("login: \""), '"');
	out->stage = REPLY_AT_AUTH;
	line_refusal(out, reply, CAUSE_NONE);
}

void journal_mailroom(struct span s, struct journal_line *out)
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
