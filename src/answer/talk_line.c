#include "answer/talk_line.h"

#include "answer/replies_table.h"

enum { PREFIX_BYTES = 140 }; /* of a logging program, before its mark */

struct mark {
	const char *text;
	enum talk_who who;
	bool inside; /* may stand behind a time stamp and the like */
};

static const struct mark marks[] = {
	{"CLIENT -> SERVER:", TALK_CLIENT, true},
	{"SERVER -> CLIENT:", TALK_SERVER, true},
	{"SMTP Send:", TALK_CLIENT, true},
	{"SMTP Response:", TALK_SERVER, true},
	{"SMTP -> FROM SERVER:", TALK_SERVER, true},
	{"SMTP>>", TALK_CLIENT, true},
	{"SMTP<<", TALK_SERVER, true},
	{"SMTP >>>", TALK_CLIENT, true},
	{"SMTP <<<", TALK_SERVER, true},
	{"SMTP[DATA]: >", TALK_CLIENT, true},
	{"SMTP[DATA]: <", TALK_SERVER, true},
	{"=> Sending:", TALK_CLIENT, true},
	{"=> Received:", TALK_SERVER, true},
	{"Sending:", TALK_CLIENT, false},
	{"Sent:", TALK_CLIENT, false},
	{"Read:", TALK_SERVER, false},
	{"Got:", TALK_SERVER, false},
	{": >>> ", TALK_CLIENT, true},
	{": <<< ", TALK_SERVER, true},
	{"<tx>", TALK_CLIENT, true},
	{"<rx>", TALK_SERVER, true},
	{"C:", TALK_CLIENT, true},
	{"S:", TALK_SERVER, true},
	{"send:", TALK_CLIENT, false},
	{"reply: retcode", TALK_NOTE, false},
	{"reply:", TALK_SERVER, false},
	{"In:", TALK_CLIENT, false},
	{"Out:", TALK_SERVER, false},
	{"-->", TALK_CLIENT, false},
	{"<--", TALK_SERVER, false},
	{">>>", TALK_CLIENT, false},
	{"<<<", TALK_SERVER, false},
	{"->", TALK_CLIENT, false},
	{"~>", TALK_CLIENT, false},
	{"<**", TALK_SERVER, false},
	{"<~*", TALK_SERVER, false},
	{"<-", TALK_SERVER, false},
	{"<~", TALK_SERVER, false},
	{"***", TALK_NOTE, false},
	{"===", TALK_NOTE, false},
	{"* ", TALK_NOTE, false},
	{"> ", TALK_CLIENT, false},
	{"< ", TALK_SERVER, false},
};

static const struct {
	const char *verb;
	unsigned stage;
} verbs[] = {
	{"EHLO", REPLY_AT_HELO},  {"HELO", REPLY_AT_HELO},	{"LHLO", REPLY_AT_HELO},    {"STARTTLS", REPLY_AT_STARTTLS},
	{"AUTH", REPLY_AT_AUTH},  {"MAIL FROM", REPLY_AT_MAIL}, {"RCPT TO", REPLY_AT_RCPT}, {"DATA", REPLY_AT_DATA},
	{"BDAT", REPLY_AT_END},	  {"QUIT", REPLY_AT_QUEUE},	{"RSET", REPLY_AT_QUEUE},   {"NOOP", REPLY_AT_QUEUE},
	{"VRFY", REPLY_AT_QUEUE}, {"HELP", REPLY_AT_QUEUE},	{"XXXX", REPLY_AT_HELO}, /* what some firewalls make of a command */
	{"MAIL", REPLY_AT_MAIL},  {"RCPT", REPLY_AT_RCPT},	{"USER", REPLY_AT_POP3},    {"PASS", REPLY_AT_POP3},
	{"APOP", REPLY_AT_POP3},  {"STAT", REPLY_AT_POP3},	{"CAPA", REPLY_AT_POP3},    {"STLS", REPLY_AT_STARTTLS},
};

static const struct {
	const char *verb;
	unsigned stage;
} imap_verbs[] = {
	{"LOGIN", REPLY_AT_AUTH},     {"AUTHENTICATE", REPLY_AT_AUTH}, {"STARTTLS", REPLY_AT_STARTTLS}, {"CAPABILITY", REPLY_AT_HELO},
	{"SELECT", REPLY_AT_IMAP},    {"EXAMINE", REPLY_AT_IMAP},      {"APPEND", REPLY_AT_IMAP},	{"LIST", REPLY_AT_IMAP},
	{"NAMESPACE", REPLY_AT_IMAP}, {"FETCH", REPLY_AT_IMAP},	       {"UID", REPLY_AT_IMAP},		{"IDLE", REPLY_AT_IMAP},
	{"CREATE", REPLY_AT_IMAP},    {"ID", REPLY_AT_IMAP},	       {"NOOP", REPLY_AT_QUEUE},	{"LOGOUT", REPLY_AT_QUEUE},
};

/* "A00000001 LOGIN": behind a tag of IMAP; empty: there is no tag. A word of letters alone is none. */
static struct span talk_behind_tag(struct span text)
{
	size_t len = span_find(text, ' ');
	bool digits = false;

	if (len == 0 || len > 12 || len >= text.len)
		return SPAN_NONE;
	for (size_t i = 0; i < len; i++) {
		if (!byte_is_alnum(text.ptr[i]))
			return SPAN_NONE;
		digits = digits || byte_is_digit(text.ptr[i]);
	}
	return digits && !talk_line_code(text) ? span_trim(span_from(text, len)) : SPAN_NONE;
}

static bool talk_is_word(struct span text, struct span word)
{
	return span_starts_nocase(text, word) && (text.len == word.len || text.ptr[word.len] == ' ' || text.ptr[word.len] == '\r');
}

struct span talk_line_imap_no(struct span text)
{
	struct span rest = talk_behind_tag(text);

	return talk_is_word(rest, SPAN_LIT("NO")) || talk_is_word(rest, SPAN_LIT("BAD")) ? rest : SPAN_NONE;
}

bool talk_line_imap_ok(struct span text)
{
	return talk_is_word(talk_behind_tag(text), SPAN_LIT("OK"));
}

unsigned talk_line_stage(struct span text)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		struct span verb = span_str(verbs[i].verb);

		if (span_starts_nocase(text, verb) && (text.len == verb.len || strchr(" :\t", text.ptr[verb.len])))
			return verbs[i].stage;
	}
	text = talk_behind_tag(text);
	for (size_t i = 0; text.len && i < sizeof(imap_verbs) / sizeof(imap_verbs[0]); i++)
		if (talk_is_word(text, span_str(imap_verbs[i].verb)))
			return imap_verbs[i].stage;
	return 0;
}

unsigned talk_line_code(struct span text)
{
	if (text.len < 3 || text.ptr[0] < '2' || text.ptr[0] > '5' || !byte_is_digit(text.ptr[1]) || !byte_is_digit(text.ptr[2]))
		return 0;
	if (text.len > 3 && text.ptr[3] != ' ' && text.ptr[3] != '-')
		return 0;
	return (unsigned)(text.ptr[0] - '0') * 100 + (unsigned)(text.ptr[1] - '0') * 10 + (unsigned)(text.ptr[2] - '0');
}

/* Python's 'ehlo x\r\n' and b'250 ok': without quotes and escapes at the end */
static struct span talk_unquote(struct span s)
{
	s = span_trim(s);
	if (s.len > 2 && s.ptr[0] == 'b' && (s.ptr[1] == '\'' || s.ptr[1] == '"'))
		s = span_from(s, 1);
	if (s.len > 1 && (s.ptr[0] == '\'' || s.ptr[0] == '"') && s.ptr[s.len - 1] == s.ptr[0])
		s = span_of(s.ptr + 1, s.len - 2);
	while (s.len > 1 && s.ptr[s.len - 2] == '\\' && (s.ptr[s.len - 1] == 'n' || s.ptr[s.len - 1] == 'r'))
		s.len -= 2;
	return s;
}

/* place behind the mark; 0: it is not there */
static size_t talk_find_mark(struct span line, const struct mark *mark)
{
	struct span text = span_str(mark->text);
	size_t at;

	if (span_starts(line, text))
		return text.len;
	if (!mark->inside)
		return 0;
	at = span_find_span(span_head(line, PREFIX_BYTES), text);
	if (at == 0 || at >= span_head(line, PREFIX_BYTES).len ||
	    (text.ptr[0] != ':' && line.ptr[at - 1] != ' ' && line.ptr[at - 1] != '\t' && line.ptr[at - 1] != ']'))
		return 0;
	return at + text.len;
}

/* the last "[...]" or "(...)" of what stands before the mark, if it has letters, or a lone number before it: a time stamp is none of these
 */
static struct span talk_session(struct span prefix)
{
	struct span best = SPAN_NONE;

	prefix = span_trim(prefix);
	for (size_t at = 0; at < prefix.len; at++) {
		uint8_t close = prefix.ptr[at] == '[' ? ']' : prefix.ptr[at] == '(' ? ')' : 0;
		struct span inside;
		bool letters = false;

		if (!close)
			continue;
		inside = span_from(prefix, at + 1);
		inside = span_head(inside, span_find(inside, close));
		for (size_t i = 0; i < inside.len; i++)
			letters = letters || (byte_is_alnum(inside.ptr[i]) && i > 2);
		if (letters && span_find(inside, ':') == inside.len)
			best = inside;
	}
	if (!best.len && prefix.len > 4 && span_starts(prefix, SPAN_LIT("mta: ")))
		best = span_head(span_from(prefix, 5), span_find(span_from(prefix, 5), ':'));
	return best;
}

/* without the drawing of nodemailer and the process number of Exim, where a reply goes on */
static struct span talk_bare(struct span line)
{
	size_t digits = 0;

	if (span_starts(line, SPAN_LIT("\xe2\x94\x94\xe2\x94\x80\xe2\x94\x80")))
		return span_trim(span_from(line, 9));
	while (digits < line.len && digits < 8 && byte_is_digit(line.ptr[digits]))
		digits++;
	if (digits && digits + 2 < line.len && line.ptr[digits] == ' ' && line.ptr[digits + 1] == ' ' &&
	    talk_line_code(span_trim(span_from(line, digits))))
		return span_trim(span_from(line, digits));
	return line;
}

struct talk_line talk_line_read(struct span line)
{
	struct talk_line out = {.who = TALK_NOTE};

	while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
		line.len--;
	line = talk_bare(span_trim(line));
	out.text = line;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		size_t behind = talk_find_mark(line, &marks[i]);

		if (!behind)
			continue;
		out.text = talk_unquote(span_from(line, behind));
		out.who = marks[i].who;
		out.session = talk_session(span_head(line, behind - strlen(marks[i].text)));
		/* Thunderbird's "S:" and "C:" stand for every module; what is no reply is a note */
		out.marked = out.who != TALK_NOTE;
		return out;
	}
	if (talk_line_code(line) || span_starts(line, SPAN_LIT("-ERR")) || span_starts(line, SPAN_LIT("+OK")) ||
	    talk_line_imap_no(line).len || talk_line_imap_ok(line))
		out.who = TALK_SERVER;
	else if (talk_line_stage(line))
		out.who = TALK_CLIENT;
	return out;
}
