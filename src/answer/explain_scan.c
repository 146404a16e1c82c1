#include "answer/explain_scan.h"

#include "base/num.h"

enum {
	LITERAL_BYTES = 20, /* of a template, enough to know it again */
	WIDE_LEAD = 0xe3,   /* with this and above the letters begin in UTF-8 that are written without blanks between words */
};

/* [45]xx of SMTP: the second digit is 0..5 (RFC 5321 4.2.1), 7 is seen in the wild; not 465 or 587, which are ports */
static unsigned scan_code(struct span s)
{
	uint64_t code;

	if (s.len < 3 || (s.ptr[0] != '4' && s.ptr[0] != '5') || num_parse(span_head(s, 3), 599, &code) != RC_OK)
		return 0;
	if (s.len > 3 && (byte_is_alnum(s.ptr[3]) || s.ptr[3] == '.'))
		return 0;
	return s.ptr[1] <= '5' || s.ptr[1] == '7' ? (unsigned)code : 0;
}

/* length of "5.7.1" at the front, 0: none (an IP address is none) */
static size_t scan_enhanced(struct span s)
{
	size_t at = 1;

	if (s.len < 5 || (s.ptr[0] != '4' && s.ptr[0] != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (at >= s.len || s.ptr[at++] != '.')
			return 0;
		while (at < s.len && digits < 3 && byte_is_digit(s.ptr[at])) {
			at++;
			digits++;
		}
		if (!digits)
			return 0;
	}
	if (at < s.len && (byte_is_alnum(s.ptr[at]) || (s.ptr[at] == '.' && at + 1 < s.len && byte_is_digit(s.ptr[at + 1]))))
		return 0;
	return at;
}

static void scan_note(struct scan *s, const struct scan_reply *r)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->replies[i].code == r->code && s->replies[i].pop3 == r->pop3 && strcmp(s->replies[i].enhanced, r->enhanced) == 0)
			return;
	if (s->count == SCAN_REPLIES)
		return;
	s->replies[s->count] = *r;
	s->replies[s->count++].at = s->words.len;
}

static void scan_set_enhanced(struct scan_reply *r, struct span text)
{
	text = span_head(text, sizeof(r->enhanced) - 1);
	if (text.len)
		memcpy(r->enhanced, text.ptr, text.len);
	r->enhanced[text.len] = '\0';
}

/* The second byte of a letter of two, where its small form has the same first one; Latin-1, and Cyrillic and Greek of which half have
 * another first byte: *lead then is that. */
static uint8_t scan_small(uint8_t *lead, uint8_t next)
{
	switch (*lead) {
	case 0xc3: /* U+00C0..U+00DE without the sign of multiplication */
		return next >= 0x80 && next <= 0x9e && next != 0x97 ? (uint8_t)(next + 0x20) : next;
	case 0xc4: /* U+0100..U+0137: even is large */
		return next >= 0x80 && next <= 0xb7 && next % 2 == 0 ? (uint8_t)(next + 1) : next;
	case 0xc5: /* U+0141..U+0148 and U+0179..U+017E: odd is large; U+014A..U+0177: even is */
		if ((next >= 0x81 && next <= 0x88) || (next >= 0xb9 && next <= 0xbe))
			return next % 2 ? (uint8_t)(next + 1) : next;
		return next >= 0x8a && next <= 0xb7 && next % 2 == 0 ? (uint8_t)(next + 1) : next;
	case 0xce: /* U+0391..U+03A9 */
		if (next >= 0x91 && next <= 0x9f)
			return (uint8_t)(next + 0x20);
		*lead = next >= 0xa0 && next <= 0xa9 ? 0xcf : *lead;
		return next >= 0xa0 && next <= 0xa9 ? (uint8_t)(next - 0x20) : next;
	case 0xd0: /* U+0400..U+042F */
		if (next >= 0x90 && next <= 0x9f)
			return (uint8_t)(next + 0x20);
		*lead = next >= 0x80 && next <= 0xaf ? 0xd1 : *lead;
		return next >= 0xa0 && next <= 0xaf ? (uint8_t)(next - 0x20) : next >= 0x80 && next <= 0x8f ? (uint8_t)(next + 0x10) : next;
	default:
		return next;
	}
}

static void scan_word(struct scan *s, struct span word)
{
	if (word.len && s->words.len)
		buf_add_byte(&s->words, ' ');
	for (size_t i = 0; i < word.len; i++) {
		uint8_t lead = word.ptr[i];

		if (span_starts(span_from(word, i), SPAN_LIT("\u2019"))) { /* the apostrophe as word processors write it */
			buf_add_byte(&s->words, '\'');
			i += 2;
		} else if (lead >= 0xc3 && lead <= 0xd0 && i + 1 < word.len) {
			uint8_t next = scan_small(&lead, word.ptr[++i]);

			buf_add_byte(&s->words, lead);
			buf_add_byte(&s->words, next);
		} else {
			buf_add_byte(&s->words, byte_lower(lead));
		}
	}
}

/* "\\r" and "\\n" as programs print them, where a line ended */
static bool scan_is_escape(struct span s)
{
	return s.len >= 2 && s.ptr[0] == '\\' && (s.ptr[1] == 'n' || s.ptr[1] == 'r' || s.ptr[1] == 't');
}

/* between the strings of JSON */
static bool scan_is_joint(struct span s)
{
	return s.len >= 3 && s.ptr[0] == '"' && (s.ptr[1] == ':' || s.ptr[1] == ',') &&
	       (strchr("\"{[", s.ptr[2]) ? s.ptr[2] != '\0' : byte_is_digit(s.ptr[2]));
}

/* a letter of a writing without blanks, or a full-width sign, and a figure beside each other: two words */
static bool scan_changes(struct span word, size_t at)
{
	uint8_t before = word.ptr[at - 1], here = word.ptr[at];

	if (byte_is_digit(here) && at >= 3)
		return before >= 0x80 && word.ptr[at - 3] >= WIDE_LEAD;
	return here >= WIDE_LEAD && byte_is_digit(before);
}

/* The next word; blanks and control characters part words, and "550-5.7.1" is two. */
static struct span scan_next(struct span *rest)
{
	size_t len = 0;
	struct span word;

	while (rest->len && (rest->ptr[0] <= ' ' || rest->ptr[0] == 0x7f || scan_is_escape(*rest) || scan_is_joint(*rest)))
		*rest = span_from(*rest, rest->ptr[0] > ' ' && rest->ptr[0] < 0x7f ? 2 : 1);
	if (rest->len > 4 && rest->ptr[3] == '-' && scan_code(*rest)) {
		len = 4;
	} else if (rest->len > 9 && span_starts_nocase(*rest, SPAN_LIT("smtp;")) &&
		   scan_code(span_from(*rest, 5))) { /* of a Diagnostic-Code */
		len = 5;
	} else {
		while (len < rest->len && rest->ptr[len] > ' ' && rest->ptr[len] != 0x7f && !scan_is_escape(span_from(*rest, len)) &&
		       (len == 0 || (!scan_changes(*rest, len) && !scan_is_joint(span_from(*rest, len)))))
			len++;
	}
	word = span_head(*rest, len);
	*rest = span_from(*rest, len);
	return word;
}

/* length of a mark that may stand before a code; 0: none */
static size_t scan_opens(struct span word)
{
	static const char *const marks[] = {"\u00ab", "\u2018", "\u201c", "\u201e", "\u300c", "\uff08"};

	if (word.len && word.ptr[0] && strchr("(<[\"'#:;,=*", word.ptr[0]))
		return 1;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (span_starts(word, span_str(marks[i])))
			return strlen(marks[i]);
	return 0;
}

/* "(550", "#5.7.1", "smtp;550", "response=550" and Python's b'5.7.1 are codes too */
static struct span scan_bare(struct span word)
{
	if (span_starts_nocase(word, SPAN_LIT("smtp;")))
		word = span_from(word, 5);
	if (span_starts_nocase(word, SPAN_LIT("response=")))
		word = span_from(word, 9);
	if (word.len > 2 && word.ptr[0] == 'b' && (word.ptr[1] == '\'' || word.ptr[1] == '"'))
		word = span_from(word, 2);
	for (;;) {
		size_t len = scan_opens(word);

		if (!len)
			return word;
		word = span_from(word, len);
	}
}

static void scan_pop3(struct scan *s, struct span rest)
{
	struct scan_reply r = {.pop3 = true};

	rest = span_trim(rest);
	if (rest.len && rest.ptr[0] == '[') { /* RFC 2449 8: a response code may have levels parted by "/" */
		rest = span_from(rest, 1);
		scan_set_enhanced(&r, span_cut(&rest, ']'));
	}
	scan_note(s, &r);
}

/* What the client said, where a program was when it failed, and what Sendmail makes ("550 5.1.1 <b@c>... User unknown") of an answer that
 * it has just quoted ("<<< 553 ..."). */
static bool scan_is_idle(struct scan *s, struct span line)
{
	if (span_starts(line, SPAN_LIT("<<< ")))
		s->transcript = true;
	if (s->transcript && scan_code(line) && span_find_span(line, SPAN_LIT(">... ")) < line.len)
		return true;
	if (span_starts(line, SPAN_LIT(">>> ")))
		return !scan_code(span_from(line, 4));
	if (span_starts(line, SPAN_LIT("File \"")) && span_find_span(line, SPAN_LIT(", line ")) < line.len)
		return true;
	if (span_starts(line, SPAN_LIT("at ")) && line.len && line.ptr[line.len - 1] == ')' && span_find(line, ':') < line.len)
		return true;
	return span_starts_nocase(line, SPAN_LIT("C:")) || span_starts(line, SPAN_LIT("->")) || span_starts(line, SPAN_LIT("~>"));
}

/* "timeout=300": what was set, not what happened */
static bool scan_is_setting(struct span word)
{
	size_t sign = span_find(word, '=');
	struct span value = sign < word.len ? span_from(word, sign + 1) : SPAN_NONE;

	if (sign == 0 || !value.len || !byte_is_alpha(word.ptr[0]))
		return false;
	while (value.len > 1 && strchr(",;)", value.ptr[value.len - 1]))
		value.len--;
	for (size_t i = 0; i < value.len; i++)
		if (!byte_is_digit(value.ptr[i]))
			return false;
	return true;
}

/* "550 5.7.1 x -> 554 y", "5.7.57 x. Error: 535 y", "451 4.4.0 Primary target IP address responded with: "451 4.7.3 y", and "Réponse du
 * serveur : '550 y'" of Outlook in any language: y is the reason */
static bool scan_introduces(struct span word, bool quoted, bool behind_another)
{
	static const char *const words[] = {"->", "error:", "said:", "returned:"};

	if (span_eq_nocase(word, SPAN_LIT("with:")) || (quoted && word.len && word.ptr[word.len - 1] == ':'))
		return true;
	for (size_t i = 0; behind_another && i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_nocase(word, span_str(words[i])))
			return true;
	return behind_another && span_starts_nocase(word, SPAN_LIT("response="));
}

/* words and replies of one line */
static void scan_line(struct scan *s, struct span line)
{
	struct scan_reply open = {0};
	struct span rest = span_trim(line), word, last = SPAN_NONE;
	bool http = span_find_span(rest, SPAN_LIT("Request failed with status code")) < rest.len;

	if (scan_is_idle(s, rest))
		return;
	for (word = scan_next(&rest); word.len; last = word, word = scan_next(&rest)) {
		struct span bare = scan_bare(word);
		unsigned code = http ? 0 : scan_code(bare);
		size_t len = scan_enhanced(bare);

		if (code) {
			bool quoted = word.ptr[0] == '\'' || word.ptr[0] == '"';

			if (scan_introduces(bare.ptr == word.ptr || bare.ptr - word.ptr < 9 ? last : word, quoted,
					    s->count > s->sentence || open.code)) {
				s->inner = s->words.len;
				s->inner_text = word.ptr;
			}
			if (open.code)
				scan_note(s, &open);
			open = (struct scan_reply){.code = code};
		} else if (len) {
			scan_set_enhanced(&open, span_head(bare, len));
			scan_note(s, &open);
			open = (struct scan_reply){0};
		} else if (span_eq_nocase(word, SPAN_LIT("-ERR"))) {
			scan_pop3(s, rest);
		} else {
			if (open.code) /* the enhanced code stands right behind the code */
				scan_note(s, &open);
			open = (struct scan_reply){0};
			if (!scan_is_setting(word))
				scan_word(s, word);
		}
	}
	if (open.code)
		scan_note(s, &open);
}

/* " (slug; ref REF)", " (slug)" or " (slug: cause behind it, others; rule: RULE; ref REF)" at the end of a line */
static enum cause_id scan_tail(struct span line, struct span *before_out, enum cause_id *behind_out)
{
	struct span tail, slug, behind, part;
	enum cause_id id;
	size_t at = line.len;

	if (!line.len || line.ptr[line.len - 1] != ')')
		return CAUSE_NONE;
	while (at && line.ptr[at - 1] != '(')
		at--;
	if (!at)
		return CAUSE_NONE;
	tail = span_of(line.ptr + at, line.len - at - 1);
	*before_out = span_head(line, at - 1);
	behind = span_cut(&tail, ';');
	slug = span_cut(&behind, ':');
	id = cause_by_slug(slug);
	*behind_out = cause_by_slug(span_trim(span_cut(&behind, ',')));
	if (tail.ptr == NULL)
		return id;
	part = span_trim(span_cut(&tail, ';'));
	if (span_starts(part, SPAN_LIT("rule: ")) && part.len > 6) {
		if (tail.ptr == NULL)
			return id;
		part = span_trim(span_cut(&tail, ';'));
	}
	return span_starts(part, SPAN_LIT("ref ")) && part.len > 4 && part.len <= 4 + 16 && !tail.len ? id : CAUSE_NONE;
}

/* Do the fixed words of the template stand there? They are the longest run without placeholders. */
static bool scan_has_template(struct span line, const char *text)
{
	struct span best = SPAN_NONE, run = {(const uint8_t *)text, 0};

	for (const char *c = text;; c++) {
		if (*c != '\0' && !strchr("{}[]", *c)) {
			run.len++;
			continue;
		}
		if (run.len > best.len && (run.ptr == (const uint8_t *)text || run.ptr[-1] != '{'))
			best = run;
		if (*c == '\0')
			break;
		run = span_of(c + 1, 0);
	}
	best = span_trim(span_head(best, LITERAL_BYTES));
	return best.len && span_find_span(line, best) < line.len;
}

/* A line that we would write for that cause: code, enhanced code and words are those of the catalogue. */
static bool scan_is_own(struct span line, enum cause_id id)
{
	const struct cause *c = cause_get(id);

	for (int form = 0; form < CAUSE_FORM_COUNT; form++) {
		const struct cause_reply *r = &c->forms[form];
		char lead[32];
		int n;

		if (!r->text)
			continue;
		if (form != CAUSE_POP3)
			n = snprintf(lead, sizeof(lead), "%u %s ", r->code, r->enhanced);
		else
			n = snprintf(lead, sizeof(lead), r->enhanced[0] ? "-ERR [%s] " : "-ERR %s", r->enhanced);
		if (n > 0 && span_starts(line, span_of(lead, (size_t)n)) && scan_has_template(line, r->text))
			return true;
	}
	return false;
}

/* An indented line and the next line of a reply go on with the sentence of the line before. */
static void scan_break(struct scan *s, struct span line)
{
	if (!line.len || line.ptr[0] <= ' ' || scan_code(line))
		return;
	s->sentence = s->count;
	if (s->break_count == SCAN_BREAKS)
		return;
	s->breaks[s->break_count++] = s->words.len;
}

/* "delivery 7: failure: 192.0.2.1_does_not_like_recipient./Remote_host_said:_550_no/": qmail's log has no blanks in its words */
static bool scan_is_qmail(struct span line)
{
	static const char *const words[] = {": failure: ", ": deferral: "};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t at = span_find_span(line, span_str(words[i]));

		if (at < line.len)
			return span_find(span_from(line, at), '_') < line.len - at && span_find_span(line, SPAN_LIT("delivery ")) < at;
	}
	return false;
}

static void scan_qmail(struct scan *s, struct span line)
{
	struct buf plain;

	buf_init(&plain, line.len + 16);
	for (size_t i = 0; i < line.len; i++)
		buf_add_byte(&plain, line.ptr[i] == '_' || (line.ptr[i] == '/' && i && line.ptr[i - 1] == '.') ? ' ' : line.ptr[i]);
	scan_line(s, buf_span(&plain));
	s->inner_text = NULL;
	buf_clear(&plain);
}

void scan_init(struct scan *s, struct span text)
{
	*s = (struct scan){0};
	buf_init(&s->words, 2 * text.len + 16);
	while (text.len) {
		struct span line = span_cut(&text, '\n'), before;
		enum cause_id id, behind = CAUSE_NONE;

		scan_break(s, line);
		while (line.len && line.ptr[line.len - 1] <= ' ')
			line.len--;
		line = span_trim(line);
		if (span_starts(line, SPAN_LIT("S: ")))
			line = span_from(line, 3);
		id = scan_tail(line, &before, &behind);
		if (id && scan_is_own(line, id)) {
			s->own = id;
			s->behind = behind;
		} else if (id) {
			s->quoted = id;
		}
		if (scan_is_qmail(line))
			scan_qmail(s, line);
		else
			scan_line(s, id ? before : line);
	}
}

void scan_clear(struct scan *s)
{
	buf_clear(&s->words);
}
