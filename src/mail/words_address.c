/* Address lists, RFC 5322 3.4 and 4.4, and what is written in their place: lists with semicolons, brackets that never close. Each byte is
 * part of one token, and tokens are taken once. */
#include "base/limits.h"
#include "mail/words.h"

enum token { TOKEN_END, TOKEN_GAP, TOKEN_COMMENT, TOKEN_WORD, TOKEN_QUOTED, TOKEN_LITERAL, TOKEN_SPECIAL };

struct element {
	struct buf phrase, comment, local, domain;
	size_t begin;       /* in the text */
	bool open, closed;  /* < and > were seen */
	bool route;         /* in a source route, up to its colon */
	bool at;            /* @ was seen in the addr-spec */
	bool gap;           /* a gap stands before the next token */
	bool word;          /* the last token of the addr-spec was one */
	bool dot;           /* ... and ended with a dot */
	bool bad;
	unsigned tokens;    /* without gaps and comments */
};

static bool byte_is_fws(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

static bool byte_is_special(uint8_t b)
{
	return b != 0 && strchr("()<>[]:;@\\,\"", b);
}

/* length of what begins with an opening byte, nested where open differs from close; s.len where it never closes */
static size_t closed_len(struct span s, uint8_t open, uint8_t close, bool *closed)
{
	size_t depth = 1;

	for (size_t i = 1; i < s.len; i++) {
		if (s.ptr[i] == '\\') {
			i++;
		} else if (s.ptr[i] == close) {
			if (--depth == 0)
				return i + 1;
		} else if (s.ptr[i] == open && open == '(') {
			depth++;
		}
	}
	*closed = false;
	return s.len;
}

static enum token take_token(struct words_list *l, struct span *token_out, bool *closed)
{
	struct span s = span_from(l->text, l->at);
	enum token token = TOKEN_SPECIAL;
	size_t len = 1;

	*closed = true;
	if (s.len == 0)
		return TOKEN_END;
	if (byte_is_fws(s.ptr[0])) {
		while (len < s.len && byte_is_fws(s.ptr[len]))
			len++;
		token = TOKEN_GAP;
	} else if (s.ptr[0] == '(') {
		len = closed_len(s, '(', ')', closed);
		token = TOKEN_COMMENT;
	} else if (s.ptr[0] == '"') {
		len = closed_len(s, '"', '"', closed);
		token = TOKEN_QUOTED;
	} else if (s.ptr[0] == '[') {
		len = closed_len(s, '[', ']', closed);
		token = TOKEN_LITERAL;
	} else if (!byte_is_special(s.ptr[0])) {
		while (len < s.len && !byte_is_special(s.ptr[len]) && !byte_is_fws(s.ptr[len]))
			len++;
		token = TOKEN_WORD;
	}
	*token_out = span_head(s, len);
	l->at += len;
	return token;
}

/* what is between the first and the last byte, quoted pairs undone, folds gone */
static void add_inside(struct buf *out, struct span token, bool closed)
{
	size_t end = token.len - (closed ? 1 : 0);

	for (size_t i = 1; i < end; i++) {
		if (token.ptr[i] == '\\' && i + 1 < end)
			i++;
		else if (token.ptr[i] == '\r' || token.ptr[i] == '\n')
			continue;
		buf_add_byte(out, token.ptr[i]);
	}
}

static void element_phrase(struct element *e, enum token token, struct span text, bool closed)
{
	if (e->open)
		return;
	if (e->gap && e->phrase.len > 0)
		buf_add_byte(&e->phrase, ' ');
	if (token == TOKEN_QUOTED)
		add_inside(&e->phrase, text, closed);
	else
		buf_add(&e->phrase, text);
}

/* a token of an addr-spec, or of what may turn out to be a phrase */
static void element_spec(struct element *e, enum token token, struct span text, bool closed)
{
	struct buf *to = e->at ? &e->domain : &e->local;

	if (e->closed || e->route)
		return;
	if (token == TOKEN_SPECIAL) { /* @ */
		if (e->open && !e->at && e->local.len == 0 && !e->word) {
			e->route = true;
			return;
		}
		e->bad |= e->at || !e->word;
		e->at = true;
		e->word = false;
		return;
	}
	if (e->word && !e->dot && text.ptr[0] != '.')
		e->bad = true; /* two words in a row */
	e->bad |= !closed || (token == TOKEN_LITERAL && !e->at) || (token == TOKEN_QUOTED && e->at);
	if (token == TOKEN_QUOTED)
		add_inside(to, text, closed);
	else
		buf_add(to, text);
	e->word = true;
	e->dot = text.ptr[text.len - 1] == '.';
}

static void element_init(struct element *e, size_t begin, size_t max)
{
	*e = (struct element){.begin = begin};
	buf_init(&e->phrase, max);
	buf_init(&e->comment, max);
	buf_init(&e->local, max);
	buf_init(&e->domain, max);
}

static void element_clear(struct element *e)
{
	buf_clear(&e->phrase);
	buf_clear(&e->comment);
	buf_clear(&e->local);
	buf_clear(&e->domain);
}

static void element_open(struct element *e)
{
	e->bad = e->open;
	e->open = true;
	e->closed = e->at = e->word = e->dot = false;
	buf_reset(&e->local);
	buf_reset(&e->domain);
}

/* a special that is no separator here */
static void element_special(struct element *e, struct span text)
{
	switch (text.ptr[0]) {
	case '@':
		element_phrase(e, TOKEN_SPECIAL, text, true);
		element_spec(e, TOKEN_SPECIAL, text, true);
		break;
	case '<':
		element_open(e);
		break;
	case '>':
		e->bad |= !e->open;
		e->closed = true;
		break;
	case ':':
		if (e->route)
			e->route = false;
		else
			e->bad = true;
		element_phrase(e, TOKEN_SPECIAL, text, true);
		break;
	case ',': /* between the hosts of a route */
		break;
	default:
		e->bad = true;
		element_phrase(e, TOKEN_SPECIAL, text, true);
	}
}

/* one element without its separator; false: there is nothing. *separator: what ended it, 0 at the end of the list */
static bool take_element(struct words_list *l, struct element *e, uint8_t *separator)
{
	*separator = 0;
	for (;;) {
		struct span text;
		bool closed;
		enum token token = take_token(l, &text, &closed);

		if (token == TOKEN_END)
			return e->tokens > 0;
		if (token == TOKEN_GAP) {
			e->gap = true;
			continue;
		}
		if (token == TOKEN_COMMENT) {
			buf_reset(&e->comment);
			add_inside(&e->comment, text, closed);
			e->gap = true;
			continue;
		}
		if (token == TOKEN_SPECIAL && strchr(",;:", text.ptr[0]) && !(e->route && !e->closed)) {
			bool group = text.ptr[0] == ':' && !e->open && !l->in_group && e->tokens > 0 && !e->at;

			if (group || text.ptr[0] != ':') {
				*separator = text.ptr[0];
				return e->tokens > 0;
			}
		}
		e->tokens++;
		if (token == TOKEN_SPECIAL) {
			element_special(e, text);
		} else {
			element_phrase(e, token, text, closed);
			element_spec(e, token, text, closed);
		}
		e->gap = false;
	}
}

static struct span decoded(struct arena *mem, const struct buf *raw)
{
	struct span copy;
	struct buf text;

	buf_init(&text, raw->len * 4 + 4);
	(void)words_decode(&text, buf_span(raw));
	copy = arena_copy(mem, buf_span(&text));
	buf_clear(&text);
	return copy;
}

static void element_finish(struct element *e, struct span raw, struct arena *mem, struct words_address *out)
{
	struct buf text;

	*out = (struct words_address){.kind = WORDS_MAILBOX};
	if (e->bad || !e->word) {
		buf_init(&text, raw.len + 1);
		words_unfold(&text, raw);
		out->kind = WORDS_BROKEN;
		out->text = arena_copy(mem, buf_span(&text));
		buf_clear(&text);
		return;
	}
	out->name = decoded(mem, e->open && e->phrase.len > 0 ? &e->phrase : &e->comment);
	out->local = arena_copy(mem, buf_span(&e->local));
	out->domain = arena_copy(mem, buf_span(&e->domain));
	buf_init(&text, e->local.len + e->domain.len + 2);
	buf_add(&text, out->local);
	if (e->at) {
		buf_add_byte(&text, '@');
		buf_add(&text, out->domain);
	}
	out->text = arena_copy(mem, buf_span(&text));
	buf_clear(&text);
}

void words_list_init(struct words_list *l, struct span value)
{
	*l = (struct words_list){.text = value};
}

bool words_list_next(struct words_list *l, struct arena *mem, struct words_address *out)
{
	struct words_address a = {.kind = WORDS_GROUP_END};
	uint8_t separator = ',';
	struct element e;
	bool some = false, ends = false; /* ends: a group does */

	if (l->over || l->count >= LIMIT_MIME_ADDRESSES) {
		l->over |= l->at < l->text.len;
		return false;
	}
	element_init(&e, l->at, l->text.len + 1);
	while (!some && !ends && separator) {
		e.begin = l->at;
		buf_reset(&e.comment);
		some = take_element(l, &e, &separator);
		ends = separator == ';' && l->in_group;
	}
	if (some && separator == ':') {
		a.kind = WORDS_GROUP;
		a.name = decoded(mem, &e.phrase);
		l->in_group = true;
	} else if (some) {
		size_t end = l->at - (separator ? 1 : 0);

		element_finish(&e, span_of(l->text.ptr + e.begin, end - e.begin), mem, &a);
		if (ends)
			l->at--; /* for the next call */
	} else if (ends || l->in_group) { /* at the end of the value a group ends too */
		l->in_group = false;
		some = true;
	}
	element_clear(&e);
	if (mem->overflow) {
		l->over = true;
		return false;
	}
	l->count += some;
	if (some)
		*out = a;
	return some;
}
