/* The mailboxes of a From: or Sender: value (RFC 5322 3.4), found in one pass. An addr-spec has to stand in one piece: blanks and
 * comments inside it (RFC 5322 4.4 allows them) make the element unreadable, which the callers treat as "cannot vouch for it". */
#include "mail/header.h"

enum token {
	TOKEN_END,
	TOKEN_GAP,     /* folding white space or a comment */
	TOKEN_WORD,    /* atoms and dots */
	TOKEN_QUOTED,
	TOKEN_LITERAL,
	TOKEN_AT,
	TOKEN_COMMA,
	TOKEN_COLON,
	TOKEN_SEMICOLON,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_BAD,     /* a byte that may not be here, or something unclosed (then it reaches to the end) */
};

enum spec { SPEC_NONE, SPEC_LOCAL, SPEC_AT, SPEC_WHOLE, SPEC_ROUTE, SPEC_BAD };

struct walk {
	struct span text;
	size_t at;
	bool in_group;
};

struct element {
	size_t start, end;   /* the addr-spec in the text */
	size_t local_end;    /* behind its local part */
	size_t name_start, name_end; /* what stands as an address before the "<" */
	bool named;          /* something with an "@" of its own does */
	enum spec spec;      /* SPEC_LOCAL: no domain; SPEC_WHOLE: local@domain; others: unreadable */
	bool quoted;         /* the local part is a quoted string */
	bool gap;            /* a gap stands before the next token */
	bool open, closed;   /* < and > were seen */
	bool phrase;         /* only words so far */
	bool broken;
	unsigned tokens;     /* without gaps */
};

/* length of a comment (nested) from its opening parenthesis on, 0 when it never closes */
static size_t comment_len(struct span s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '(')
			depth++;
		else if (s.ptr[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* the same for a quoted string or a domain literal */
static size_t closed_len(struct span s, uint8_t close)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == close)
			return i + 1;
	}
	return 0;
}

static bool byte_is_fws(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

static bool byte_is_word(uint8_t b)
{
	return b > ' ' && b != 0x7f && !strchr("()<>[]:;@\\,\"", b);
}

static enum token walk_token(struct walk *w, size_t *start_out)
{
	static const struct {
		uint8_t byte;
		enum token token;
	} specials[] = {{'@', TOKEN_AT}, {',', TOKEN_COMMA}, {':', TOKEN_COLON}, {';', TOKEN_SEMICOLON}, {'<', TOKEN_OPEN}, {'>', TOKEN_CLOSE}};
	struct span s = span_from(w->text, w->at);
	enum token token = TOKEN_BAD;
	size_t len = 1;

	*start_out = w->at;
	if (s.len == 0)
		return TOKEN_END;
	if (byte_is_fws(s.ptr[0])) {
		token = TOKEN_GAP;
	} else if (s.ptr[0] == '(') {
		len = comment_len(s);
		token = TOKEN_GAP;
	} else if (s.ptr[0] == '"') {
		len = closed_len(s, '"');
		token = TOKEN_QUOTED;
	} else if (s.ptr[0] == '[') {
		len = closed_len(s, ']');
		token = TOKEN_LITERAL;
	} else if (byte_is_word(s.ptr[0])) {
		while (len < s.len && byte_is_word(s.ptr[len]))
			len++;
		token = TOKEN_WORD;
	}
	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (s.ptr[0] == specials[i].byte)
			token = specials[i].token;
	w->at += len ? len : s.len;
	return len ? token : TOKEN_BAD;
}

/* dot-atom: no dot at the ends, no two in a row */
static bool word_is_dot_atom(struct span s)
{
	bool atom = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.' && !atom)
			return false;
		atom = s.ptr[i] != '.';
	}
	return atom;
}

/* a token of an addr-spec, or of what may turn out to be a display name */
static void element_take(struct element *e, const struct walk *w, enum token token, size_t start)
{
	bool good = token != TOKEN_WORD || word_is_dot_atom(span_of(w->text.ptr + start, w->at - start));

	if (token != TOKEN_WORD && token != TOKEN_QUOTED)
		e->phrase = false;
	if (e->closed)
		e->broken = true;
	if (e->spec == SPEC_NONE && token == TOKEN_AT && e->open) {
		e->spec = SPEC_ROUTE; /* RFC 5322 4.4 obs-route, up to its colon */
	} else if (e->spec == SPEC_NONE && good && (token == TOKEN_WORD || token == TOKEN_QUOTED)) {
		e->spec = SPEC_LOCAL;
		e->start = start;
		e->local_end = w->at;
		e->quoted = token == TOKEN_QUOTED;
	} else if (e->spec == SPEC_LOCAL && token == TOKEN_AT && !e->gap) {
		e->spec = SPEC_AT;
	} else if (e->spec == SPEC_AT && good && (token == TOKEN_WORD || token == TOKEN_LITERAL) && !e->gap) {
		e->spec = SPEC_WHOLE;
	} else if (e->spec != SPEC_ROUTE) {
		e->spec = SPEC_BAD;
	}
	e->end = w->at;
}

static void element_open(struct element *e)
{
	e->broken |= e->open;
	e->named |= !e->phrase;
	e->name_start = e->spec == SPEC_WHOLE ? e->start : 0;
	e->name_end = e->spec == SPEC_WHOLE ? e->end : 0;
	e->open = true;
	e->spec = SPEC_NONE;
}

/* "name:" opens a group and "@a,@b:" closes a route; any other colon is out of place */
static void element_colon(struct element *e, struct walk *w)
{
	if (e->open && !e->closed && e->spec == SPEC_ROUTE) {
		e->spec = SPEC_NONE;
	} else if (!e->open && e->phrase && e->tokens > 1 && !w->in_group && !e->broken) {
		*e = (struct element){.phrase = true};
		w->in_group = true;
	} else {
		e->broken = true;
	}
}

/* the next element that holds anything; false at the end */
static bool walk_next(struct walk *w, struct element *e_out)
{
	struct element e = {.phrase = true};
	enum token token;
	size_t start;

	while ((token = walk_token(w, &start)) != TOKEN_END) {
		bool inside = e.open && !e.closed;

		if (token == TOKEN_GAP) {
			e.gap = true;
			continue;
		}
		if ((token == TOKEN_COMMA || token == TOKEN_SEMICOLON) && !inside) {
			bool group_end = token == TOKEN_SEMICOLON;

			e.broken |= group_end && !w->in_group;
			w->in_group &= !group_end;
			if (e.tokens > 0)
				break;
			continue;
		}
		e.tokens++;
		if (token == TOKEN_OPEN) {
			element_open(&e);
		} else if (token == TOKEN_CLOSE) {
			e.broken |= !inside;
			e.closed = true;
		} else if (token == TOKEN_COLON) {
			element_colon(&e, w);
		} else if (token == TOKEN_BAD || token == TOKEN_SEMICOLON || (token == TOKEN_COMMA && e.spec != SPEC_ROUTE)) {
			e.broken = true;
		} else if (token != TOKEN_COMMA) {
			element_take(&e, w, token, start);
		}
		e.gap = false;
	}
	if (e.tokens == 0)
		return false;
	if (e.broken || e.open != e.closed)
		e.spec = SPEC_BAD;
	*e_out = e;
	return true;
}

/* a name in RFC 2047 clothes is no local part */
static bool word_is_encoded(struct span s)
{
	return s.len > 4 && span_starts(s, SPAN_LIT("=?")) && s.ptr[s.len - 2] == '?' && s.ptr[s.len - 1] == '=';
}

unsigned header_complete_from(struct buf *out, struct span from_value, struct span domain)
{
	struct walk w = {.text = from_value};
	struct element e;
	size_t copied = 0;
	unsigned completed = 0;

	while (walk_next(&w, &e)) {
		if (e.spec != SPEC_LOCAL || word_is_encoded(span_of(from_value.ptr + e.start, e.end - e.start)))
			continue;
		buf_add(out, span_of(from_value.ptr + copied, e.end - copied));
		buf_add_byte(out, '@');
		buf_add(out, domain);
		copied = e.end;
		completed++;
	}
	buf_add(out, span_from(from_value, copied));
	return completed;
}

unsigned header_replace_mailboxes(struct buf *out, struct span from_value, struct span address)
{
	struct walk w = {.text = from_value};
	struct element e;
	size_t copied = 0;
	unsigned replaced = 0;

	while (walk_next(&w, &e)) {
		if (e.spec != SPEC_LOCAL && e.spec != SPEC_WHOLE)
			continue;
		buf_add(out, span_of(from_value.ptr + copied, e.start - copied));
		buf_add(out, address);
		copied = e.end;
		replaced++;
	}
	buf_add(out, span_from(from_value, copied));
	return replaced;
}

bool header_mailboxes_are_plain(struct span value)
{
	struct walk w = {.text = value};
	struct element e;

	while (walk_next(&w, &e))
		if (e.named && !span_eq_nocase(span_of(value.ptr + e.name_start, e.name_end - e.name_start), span_of(value.ptr + e.start, e.end - e.start)))
			return false;
	return true;
}

static struct span element_address(const struct element *e, struct span text, struct arena *mem)
{
	struct span spec = span_of(text.ptr + e->start, e->end - e->start);
	size_t local_len = e->local_end - e->start, n = 0;
	uint8_t *to;

	if (!e->quoted)
		return arena_copy(mem, spec);
	to = arena_alloc(mem, spec.len);
	if (!to)
		return SPAN_NONE;
	for (size_t i = 1; i + 1 < local_len; i++) {
		if (spec.ptr[i] == '\\')
			i++;
		else if (spec.ptr[i] == '\r' || spec.ptr[i] == '\n') /* a fold, RFC 5322 3.2.4 */
			continue;
		to[n++] = spec.ptr[i];
	}
	memcpy(to + n, spec.ptr + local_len, spec.len - local_len);
	return span_of(to, n + spec.len - local_len);
}

unsigned header_mailboxes(struct span value, struct arena *mem, struct span *out, unsigned max)
{
	struct walk w = {.text = value};
	struct element e;
	unsigned count = 0;

	for (; walk_next(&w, &e); count++) {
		if (count >= max)
			continue;
		out[count] = e.spec == SPEC_LOCAL || e.spec == SPEC_WHOLE ? element_address(&e, value, mem) : SPAN_NONE;
	}
	return count;
}
