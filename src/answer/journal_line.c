#include "answer/journal_line.h"

#include "answer/replies_table.h"

enum { PROGRAM_BYTES = 96, STAMP_BSD = 15, STAMP_DATE = 19, PREFIX_BYTES = 48 };

unsigned line_stage(struct span word)
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
		{"header", REPLY_AT_END},
		{"body", REPLY_AT_END},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (span_starts(word, span_str(table[i].word)))
			return table[i].stage;
	return 0;
}

void line_refusal(struct journal_line *out, struct span reply, enum cause_id cause)
{
	out->what = JOURNAL_REFUSAL;
	out->reply = span_trim(reply);
	out->cause = cause;
}

struct program {
	const char *name;
	void (*read)(struct span s, struct journal_line *out);
	bool exact; /* not only the beginning of a name */
};

static const struct program programs[] = {
	{"postfix", journal_postfix, false},
	{"dovecot", journal_dovecot, false},
	{"exim", journal_exim, false},
	{"sendmail", journal_sendmail, true},
	{"sm-mta", journal_sendmail, false},
	{"smtpd", journal_opensmtpd, true},
	{"haraka", journal_haraka, true},
	{"imap-login", journal_dovecot, false},
	{"pop3-login", journal_dovecot, false},
	{"submission-login", journal_dovecot, false},
	{"managesieve-login", journal_dovecot, false},
	{"lmtp(", journal_dovecot, false},
	{"lda(", journal_dovecot, false},
	{"auth-worker(", journal_dovecot, false},
	{"auth", journal_dovecot, true},
};

static const struct program *line_program(struct span name)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct span known = span_str(programs[i].name);

		if (name.len >= known.len && name.ptr[0] == known.ptr[0] && span_starts(name, known) &&
		    (!programs[i].exact || name.len == known.len || name.ptr[known.len] == '['))
			return &programs[i];
	}
	return NULL;
}

static bool line_is_date(struct span s)
{
	return s.len > STAMP_DATE && byte_is_digit(s.ptr[0]) && (s.ptr[4] == '-' || s.ptr[4] == '/') && s.ptr[7] == s.ptr[4] &&
	       s.ptr[13] == ':' && s.ptr[16] == ':' && byte_is_digit(s.ptr[18]);
}

/* behind "2026-11-22 09:11:19.123 +0100 " */
static struct span line_skip_date(struct span s)
{
	size_t at = STAMP_DATE;

	if (s.ptr[at] == '.' || s.ptr[at] == ',')
		while (++at < s.len && byte_is_digit(s.ptr[at]))
			;
	s = span_trim(span_from(s, at));
	if (s.len > 6 && (s.ptr[0] == '+' || s.ptr[0] == '-') && byte_is_digit(s.ptr[1]) && s.ptr[5] == ' ')
		s = span_from(s, 6);
	return s;
}

/* "host mail.info program[123]: words", with or without what stands before the program */
static void line_syslog(struct span s, struct journal_line *out)
{
	struct span head = span_head(s, PROGRAM_BYTES), name;
	size_t colon = span_find(head, ':'), blank;
	const struct program *program;

	while (colon + 1 < head.len && head.ptr[colon + 1] != ' ') /* "2001:db8::1" as the name of a host */
		colon += 1 + span_find(span_from(head, colon + 1), ':');
	if (colon >= head.len)
		return;
	for (blank = colon; blank && s.ptr[blank - 1] != ' ';)
		blank--;
	name = span_of(s.ptr + blank, colon - blank);
	program = name.len ? line_program(name) : NULL;
	if (!program)
		return;
	out->what = JOURNAL_OTHER;
	out->session = line_between(name, SPAN_LIT("["), ']');
	s = span_trim(span_from(s, colon + 1));
	if (program->read == journal_exim && line_is_date(s))
		s = line_skip_date(s);
	program->read(s, out);
}

/* "833ad0bd6b820601 smtp connected", as it writes to a terminal */
static bool line_is_opensmtpd(struct span s)
{
	size_t digits = 0;

	while (digits < s.len && (byte_is_digit(s.ptr[digits]) || (s.ptr[digits] >= 'a' && s.ptr[digits] <= 'f')))
		digits++;
	s = span_from(s, digits);
	return digits == 16 && (span_starts(s, SPAN_LIT(" smtp ")) || span_starts(s, SPAN_LIT(" mta ")));
}

/* without a stamp that is known: what has been pasted, and the servers that write their own way */
static void line_bare(struct span s, struct journal_line *out)
{
	if (s.len > 4 && s.ptr[0] == '[' && byte_is_alpha(s.ptr[1])) {
		journal_haraka(s, out);
	} else if (span_starts(s, SPAN_LIT("NOQUEUE: "))) {
		out->what = JOURNAL_OTHER;
		journal_postfix(s, out);
	} else if (line_is_opensmtpd(s)) {
		out->what = JOURNAL_OTHER;
		journal_opensmtpd(s, out);
	} else if (line_program(s)) {
		line_syslog(s, out);
	}
}

/* "postfix-mailcow_1    | ", "> " */
static struct span line_skip_prefix(struct span s)
{
	size_t bar;

	while (s.len > 2 && s.ptr[0] == '>')
		s = span_trim(span_from(s, 1));
	s = span_trim(s);
	bar = span_find_span(span_head(s, PREFIX_BYTES), SPAN_LIT(" | "));
	return bar < PREFIX_BYTES && bar < s.len ? span_trim(span_from(s, bar + 3)) : s;
}

static void line_dated(struct span line, struct journal_line *out)
{
	if (line.ptr[10] == 'T') {
		size_t end = span_find(line, ' ');

		out->time = span_head(line, end);
		line = span_from(line, end + 1);
		if (span_starts(line, SPAN_LIT("level=")))
			journal_mailroom(line, out);
		else
			line_syslog(line, out);
	} else if (line.ptr[10] == ' ') {
		out->time = span_head(line, STAMP_DATE);
		line = line_skip_date(line);
		if (out->time.ptr[4] == '/')
			journal_nginx(line, out);
		else
			line_syslog(line, out); /* Dovecot writes so too */
		if (out->what == JOURNAL_FOREIGN && out->time.ptr[4] == '-')
			journal_exim(line, out);
	}
	if (out->what == JOURNAL_FOREIGN && line.len && line.ptr[0] == '[')
		journal_haraka(line, out);
}

static void line_stamped(struct span line, struct journal_line *out)
{
	if (line_is_date(line)) {
		line_dated(line, out);
	} else if (line.len > STAMP_BSD + 2 && byte_is_alpha(line.ptr[0]) && line.ptr[3] == ' ' && line.ptr[9] == ':' &&
		   line.ptr[12] == ':') {
		out->time = span_head(line, STAMP_BSD);
		line = span_from(line, STAMP_BSD + 1);
		line_syslog(line, out);
	} else {
		line_bare(line, out);
	}
}

void journal_line_read(struct span line, char scratch[JOURNAL_SCRATCH], struct journal_line *out)
{
	*out = (struct journal_line){.what = JOURNAL_FOREIGN};
	if (line.len < STAMP_DATE + 2)
		return;
	line_stamped(line, out);
	if (out->what != JOURNAL_FOREIGN)
		return;
	if (line.ptr[0] == '{') {
		struct span text, time = SPAN_NONE;

		if (journal_json(line, scratch, &time, &text)) {
			line_stamped(text, out);
			out->time = time.len ? time : out->time;
		}
		return;
	}
	struct span rest = line_skip_prefix(line);

	if (rest.len < line.len && rest.len > STAMP_DATE + 2)
		line_stamped(rest, out);
}
