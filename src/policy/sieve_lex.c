#include "policy/sieve_lex.h"

#include <stdarg.h>

#include "base/limits.h"
#include "base/num.h"

/* line and column of an offset: only faults need it, so it is counted then */
static void lex_place(struct span text, size_t at, struct sieve_fault *fault)
{
	unsigned line = 1, column = 1;

	for (size_t i = 0; i < at && i < text.len; i++) {
		if (text.ptr[i] == '\n') {
			line++;
			column = 1;
		} else if ((text.ptr[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	fault->line = line;
	fault->column = column;
}

bool sieve_lex_fault(const struct sieve_lex *lex, size_t at, const char *fmt, ...)
{
	va_list args;

	lex_place(lex->text, at, lex->fault);
	va_start(args, fmt);
	(void)vsnprintf(lex->fault->why.words, sizeof(lex->fault->why.words), fmt, args);
	va_end(args);
	return false;
}

/* the first line that is no UTF-8; a multi-byte character never holds an LF, so lines can be looked at one by one */
static size_t lex_bad_utf8(struct span text)
{
	size_t at = 0;

	while (at < text.len) {
		struct span line = span_head(span_from(text, at), span_find(span_from(text, at), '\n'));

		if (!span_is_utf8(line)) {
			size_t good = 0;

			for (size_t n = 1; n <= line.len; n++)
				if (span_is_utf8(span_head(span_from(line, good), n - good)))
					good = n;
				else if (n - good >= 4)
					break;
			return at + good;
		}
		at += line.len + 1;
	}
	return text.len;
}

bool sieve_lex_init(struct sieve_lex *lex, struct span text, struct sieve_fault *fault)
{
	size_t at;

	*lex = (struct sieve_lex){.text = text, .fault = fault, .line = 1};
	if (text.len >= 3 && text.ptr[0] == 0xef && text.ptr[1] == 0xbb && text.ptr[2] == 0xbf)
		lex->at = 3; /* editors put a byte order mark there */
	at = span_find(text, '\0');
	if (at < text.len)
		return sieve_lex_fault(lex, at, "a NUL byte; a script is plain text");
	for (at = span_find(text, '\r'); at < text.len; at += 1 + span_find(span_from(text, at + 1), '\r'))
		if (at + 1 == text.len || text.ptr[at + 1] != '\n')
			return sieve_lex_fault(lex, at, "a CR without LF; lines end with CRLF or LF");
	at = lex_bad_utf8(text);
	if (at < text.len)
		return sieve_lex_fault(lex, at, "a byte (0x%02x) that is no UTF-8; save the script as UTF-8", text.ptr[at]);
	return true;
}

static void lex_newlines(struct sieve_lex *lex, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		lex->line += lex->text.ptr[i] == '\n';
}

/* blanks and comments */
static bool lex_skip(struct sieve_lex *lex)
{
	while (lex->at < lex->text.len) {
		struct span rest = span_from(lex->text, lex->at);
		uint8_t c = rest.ptr[0];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			lex->line += c == '\n';
			lex->at++;
		} else if (c == '#') {
			lex->at += span_find(rest, '\n');
		} else if (span_starts(rest, SPAN_LIT("/*"))) {
			size_t end = span_find_span(span_from(rest, 2), SPAN_LIT("*/"));

			if (end == rest.len - 2)
				return sieve_lex_fault(lex, lex->at, "this comment does not end; \"*/\" would end it");
			lex_newlines(lex, lex->at, lex->at + end);
			lex->at += end + 4;
		} else {
			break;
		}
	}
	return true;
}

static bool lex_quoted(struct sieve_lex *lex)
{
	size_t i = lex->at + 1;

	while (i < lex->text.len && lex->text.ptr[i] != '"') {
		if (lex->text.ptr[i] == '\\' && i + 1 < lex->text.len)
			i++;
		i++;
	}
	if (i >= lex->text.len)
		return sieve_lex_fault(lex, lex->at, "this string does not end; a \" is missing");
	lex->token = SIEVE_TOKEN_STRING;
	lex->multiline = false;
	lex->word = span_of(lex->text.ptr + lex->at + 1, i - lex->at - 1);
	lex_newlines(lex, lex->at, i);
	lex->at = i + 1;
	return true;
}

/* "text:" was read: the rest of its line is blank or a comment, and a line with a single dot ends the string */
static bool lex_multiline(struct sieve_lex *lex)
{
	size_t at = lex->at, end;
	struct span rest = span_trim(span_head(span_from(lex->text, at), span_find(span_from(lex->text, at), '\n')));

	if (rest.len > 0 && rest.ptr[0] != '#' && rest.ptr[0] != '\r')
		return sieve_lex_fault(lex, lex->start, "behind \"text:\" the text begins on the next line");
	at += span_find(span_from(lex->text, at), '\n') + 1;
	for (end = at; end < lex->text.len; end += span_find(span_from(lex->text, end), '\n') + 1) {
		struct span line = span_from(lex->text, end);
		size_t dot = span_starts(line, SPAN_LIT(".\r\n")) ? 3 : span_starts(line, SPAN_LIT(".\n")) ? 2 : span_eq(line, SPAN_LIT(".")) ? 1 : 0;

		if (dot == 0)
			continue;
		lex->token = SIEVE_TOKEN_STRING;
		lex->multiline = true;
		lex->word = span_of(lex->text.ptr + at, end - at);
		lex_newlines(lex, lex->at, end + dot);
		lex->at = end + dot;
		return true;
	}
	return sieve_lex_fault(lex, lex->start, "this text does not end; a line with a single dot would end it");
}

static bool lex_number(struct sieve_lex *lex)
{
	static const char units[] = "KMG";
	struct span rest = span_from(lex->text, lex->at);
	size_t digits = 0;
	uint64_t factor = 1;
	const char *unit;

	while (digits < rest.len && byte_is_digit(rest.ptr[digits]))
		digits++;
	lex->token = SIEVE_TOKEN_NUMBER;
	lex->at += digits;
	unit = digits < rest.len ? strchr(units, byte_upper(rest.ptr[digits])) : NULL;
	if (unit && *unit) {
		factor = (uint64_t)1 << (10 * (unit - units + 1));
		lex->at++;
	}
	if (lex->at < lex->text.len && sieve_word_byte(lex->text.ptr[lex->at]))
		return sieve_lex_fault(lex, lex->at, "numbers end in K, M, G or nothing: 10K is ten kibibytes, 10M ten mebibytes");
	if (num_parse(span_head(rest, digits), INT64_MAX / factor, &lex->number) != RC_OK)
		return sieve_lex_fault(lex, lex->start, "this number is too large");
	lex->number *= factor;
	return true;
}

static bool lex_word(struct sieve_lex *lex, size_t skip)
{
	size_t i = lex->at + skip;

	while (i < lex->text.len && sieve_word_byte(lex->text.ptr[i]))
		i++;
	lex->word = span_of(lex->text.ptr + lex->at, i - lex->at);
	lex->at = i;
	if (skip > 0) {
		lex->token = SIEVE_TOKEN_TAG;
		return true;
	}
	lex->token = SIEVE_TOKEN_WORD;
	if (span_eq_nocase(lex->word, SPAN_LIT("text")) && i < lex->text.len && lex->text.ptr[i] == ':') {
		lex->at++;
		return lex_multiline(lex);
	}
	return true;
}

bool sieve_lex_next(struct sieve_lex *lex)
{
	uint8_t c;

	lex->before = lex->at;
	if (!lex_skip(lex))
		return false;
	lex->start = lex->at;
	lex->token_line = lex->line;
	if (lex->at >= lex->text.len) {
		lex->token = SIEVE_TOKEN_END;
		return true;
	}
	c = lex->text.ptr[lex->at];
	if (c == '"')
		return lex_quoted(lex);
	if (byte_is_digit(c))
		return lex_number(lex);
	if (sieve_word_start(c))
		return lex_word(lex, 0);
	if (c == ':' && lex->at + 1 < lex->text.len && sieve_word_start(lex->text.ptr[lex->at + 1]))
		return lex_word(lex, 1);
	if (!strchr("[](){},;", c)) {
		struct buf shown;

		buf_init(&shown, 64);
		buf_add_safe(&shown, span_of(&c, 1), 1);
		(void)sieve_lex_fault(lex, lex->at, c == '\'' ? "strings stand in \" and not in %s" : "\"%s\" cannot stand here", buf_cstr(&shown));
		buf_clear(&shown);
		return false;
	}
	lex->token = SIEVE_TOKEN_MARK;
	lex->mark = c;
	lex->at++;
	return true;
}

bool sieve_lex_string(const struct sieve_lex *lex, struct arena *mem, struct span *out)
{
	struct span in = lex->word;
	uint8_t *to = arena_alloc(mem, in.len ? in.len : 1);
	bool line_start = lex->multiline;
	size_t len = 0;

	if (!to)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		bool drop = lex->multiline ? line_start && in.ptr[i] == '.' : in.ptr[i] == '\\' && i + 1 < in.len;

		line_start = lex->multiline && in.ptr[i] == '\n';
		if (drop && !lex->multiline)
			i++;
		else if (drop)
			continue;
		to[len++] = in.ptr[i];
	}
	*out = span_of(to, len);
	return true;
}

const char *sieve_lex_say(const struct sieve_lex *lex, struct buf *scratch)
{
	buf_reset(scratch);
	switch (lex->token) {
	case SIEVE_TOKEN_END:
		return "the end of the script";
	case SIEVE_TOKEN_NUMBER:
		return "a number";
	case SIEVE_TOKEN_STRING:
		return "a string";
	case SIEVE_TOKEN_WORD:
	case SIEVE_TOKEN_TAG:
		buf_printf(scratch, "\"%.*s\"", SPAN_FMT(span_head(lex->word, 40)));
		break;
	case SIEVE_TOKEN_MARK:
		buf_printf(scratch, "\"%c\"", lex->mark);
		break;
	}
	return buf_cstr(scratch);
}
