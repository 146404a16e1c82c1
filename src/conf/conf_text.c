#include "conf/conf_internal.h"

struct conf_scan {
	char *text;
	size_t len, at;
	uint32_t line, depth, sections;
	uint32_t *begin_lines; /* of each section */
};

static char conf_scan_peek(const struct conf_scan *s, size_t ahead)
{
	return s->at + ahead < s->len ? s->text[s->at + ahead] : '\0';
}

/* moves on, blanking what it passes when asked to */
static void conf_scan_step(struct conf_scan *s, bool blank)
{
	if (s->text[s->at] == '\n')
		s->line++;
	else if (blank)
		s->text[s->at] = ' ';
	s->at++;
}

static enum rc conf_scan_comment(struct conf_scan *s, struct err *err)
{
	uint32_t begin = s->line;

	if (s->text[s->at] == '#' || conf_scan_peek(s, 1) == '/') {
		while (s->at < s->len && s->text[s->at] != '\n')
			conf_scan_step(s, true);
		return RC_OK;
	}
	conf_scan_step(s, true);
	conf_scan_step(s, true);
	while (s->at < s->len && !(s->text[s->at] == '*' && conf_scan_peek(s, 1) == '/'))
		conf_scan_step(s, true);
	if (s->at >= s->len) {
		s->line = begin;
		return err_set(err, RC_BAD, "the comment that begins here has no end; */ would be right");
	}
	conf_scan_step(s, true);
	conf_scan_step(s, true);
	return RC_OK;
}

static enum rc conf_scan_variable(const struct conf_scan *s, struct err *err)
{
	if (s->text[s->at] == '$' && conf_scan_peek(s, 1) == '{')
		return err_set(err, RC_BAD, "${...} is not filled in here, so that a configuration means the same wherever it is read; "
			"the value itself would be right (a dollar sign is \\$ in double quotes)");
	return RC_OK;
}

static enum rc conf_scan_quoted(struct conf_scan *s, struct err *err)
{
	uint32_t begin = s->line;
	char quote = s->text[s->at];

	conf_scan_step(s, false);
	while (s->at < s->len && s->text[s->at] != quote) {
		if (quote == '"' && conf_scan_variable(s, err) != RC_OK)
			return RC_BAD;
		if (s->text[s->at] == '\\' && s->at + 1 < s->len)
			conf_scan_step(s, false);
		conf_scan_step(s, false);
	}
	if (s->at >= s->len) {
		s->line = begin;
		return err_set(err, RC_BAD, "the text that begins here has no closing %c", quote);
	}
	conf_scan_step(s, false);
	return RC_OK;
}

static enum rc conf_scan_brace(struct conf_scan *s, struct err *err)
{
	if (s->text[s->at] == '{') {
		if (s->sections == CONF_SECTIONS)
			return err_set(err, RC_BAD, "too many sections in one file; at most %d would be right", CONF_SECTIONS);
		if (s->depth) /* far more often a forgotten } than an attempt to nest */
			return err_set(err, RC_BAD, "a { inside of a section; the } of the one that begins on line %u would be right before it",
				s->begin_lines[s->sections - 1]);
		s->begin_lines[s->sections++] = s->line;
		s->depth = 1;
	} else {
		if (!s->depth)
			return err_set(err, RC_BAD, "this } closes nothing");
		s->depth = 0;
	}
	conf_scan_step(s, false);
	return RC_OK;
}

static enum rc conf_scan_one(struct conf_scan *s, struct err *err)
{
	char c = s->text[s->at], next = conf_scan_peek(s, 1);

	if (c == '#' || (c == '/' && (next == '/' || next == '*')))
		return conf_scan_comment(s, err);
	if (c == '"' || c == '\'')
		return conf_scan_quoted(s, err);
	if (conf_scan_variable(s, err) != RC_OK)
		return RC_BAD;
	if (c == '{' || c == '}')
		return conf_scan_brace(s, err);
	conf_scan_step(s, false);
	return RC_OK;
}

enum rc conf_text_ready(char *text, size_t len, uint32_t begin_lines[CONF_SECTIONS], uint32_t *line_out, struct err *err)
{
	struct conf_scan s = {.text = text, .len = len, .line = 1, .begin_lines = begin_lines};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		*line_out = s.line;
		s.line += c == '\n';
		if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\t' && c != '\r'))
			return err_set(err, RC_BAD, "byte 0x%02x is not text; a configuration is plain text", (unsigned)c);
	}
	s.line = 1;
	if (!span_is_utf8(span_of(text, len))) {
		*line_out = 1;
		return err_set(err, RC_BAD, "this is not UTF-8 text; saving the file as UTF-8 would be right");
	}
	while (s.at < s.len) {
		enum rc rc = conf_scan_one(&s, err);

		*line_out = s.line;
		if (rc != RC_OK)
			return rc;
	}
	if (s.depth) {
		*line_out = begin_lines[s.sections - 1];
		return err_set(err, RC_BAD, "the section that begins here has no closing }");
	}
	return RC_OK;
}
