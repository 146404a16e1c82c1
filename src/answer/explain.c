#include "answer/explain.h"

#include "answer/explain_scan.h"

enum {
	MATCHES = 256,   /* pattern hits that are weighed */
	GAP_BYTES = 80,  /* what a "*" may stand for */
	WHOLE_WORD = 6,  /* patterns shorter than this must be whole words */
};

struct match {
	enum cause_id cause;
	const char *pattern;
	size_t rank;    /* its place among the patterns of the entry */
	size_t at, end; /* in the words of the scan */
	bool loose;     /* with a "*" */
};

struct matches {
	struct match at[MATCHES];
	size_t count;
};

static bool explain_is_word(struct span words, size_t at)
{
	return at < words.len && (byte_is_alnum(words.ptr[at]) || words.ptr[at] >= 0x80);
}

/* the first place of `piece` at or after `from` that begins at a word (short pieces: that is a word); words.len: none */
static size_t explain_find(struct span words, struct span piece, size_t from)
{
	while (from < words.len) {
		size_t at = from + span_find_span(span_from(words, from), piece);
		bool whole = piece.len >= WHOLE_WORD || !byte_is_alnum(piece.ptr[piece.len - 1]) || !explain_is_word(words, at + piece.len);

		if (at >= words.len)
			break;
		if (whole && (at == 0 || !byte_is_alnum(piece.ptr[0]) || !explain_is_word(words, at - 1)))
			return at;
		from = at + 1;
	}
	return words.len;
}

/* end of the last piece when all of `rest` follow in order, each at most GAP_BYTES behind the one before; 0: they do not */
static size_t explain_match_rest(struct span words, struct span rest, size_t end)
{
	while (rest.ptr) {
		struct span piece = span_cut(&rest, '*'), near = span_head(words, end + GAP_BYTES + piece.len);
		size_t at = explain_find(near, piece, end);

		if (at >= near.len)
			return 0;
		end = at + piece.len;
	}
	return end;
}

static bool explain_match(struct span words, const char *pattern, struct match *out)
{
	struct span rest = span_str(pattern), piece = span_cut(&rest, '*');
	size_t at = explain_find(words, piece, 0);

	out->loose = rest.ptr != NULL;
	for (; at < words.len; at = explain_find(words, piece, at + 1)) {
		out->at = at;
		out->end = explain_match_rest(words, rest, at + piece.len);
		if (out->end)
			return true;
	}
	return false;
}

static void explain_collect(struct span words, struct matches *m)
{
	m->count = 0;
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		const char *const *p = cause_get((enum cause_id)id)->patterns;

		for (; *p && m->count < MATCHES; p++) {
			struct match *at = &m->at[m->count];

			if (!explain_match(words, *p, at))
				continue;
			at->cause = (enum cause_id)id;
			at->pattern = *p;
			at->rank = (size_t)(p - cause_get(at->cause)->patterns);
			m->count++;
		}
	}
}

/* "sender address rejected: access denied" says more than the "access denied" in it */
static bool explain_is_covered(const struct matches *m, const struct match *small)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct match *big = &m->at[i];

		if (big->cause != small->cause && !big->loose && big->at <= small->at && big->end >= small->end &&
		    big->end - big->at > small->end - small->at)
			return true;
	}
	return false;
}

/* Longer words are more certain; of an entry's patterns the first are the most telling. */
static double explain_pattern_weight(const struct match *m)
{
	size_t len = strlen(m->pattern);

	return 0.45 + 0.015 * (double)(len < 30 ? len : 30) - 0.0005 * (double)m->rank;
}

/* How well a code of the catalogue ("550 5.7.1", "550", "5.7.1", "-ERR [AUTH]") fits a reply; rank lowers it a little. */
static double explain_hint_weight(const struct scan_reply *r, struct span hint, size_t rank, unsigned *by)
{
	struct span word = span_cut(&hint, ' '), enhanced = hint;
	char code[4];
	int n;

	if (r->pop3) {
		if (!span_eq(word, SPAN_LIT("-ERR")))
			return 0;
		if (!enhanced.len)
			return 0.1;
		enhanced = span_of(enhanced.ptr + 1, enhanced.len - 2);
		*by |= EXPLAIN_BY_ENHANCED;
		return span_eq_nocase(enhanced, span_str(r->enhanced)) ? 0.35 : 0;
	}
	if (span_find(word, '.') < word.len) { /* an enhanced code alone */
		enhanced = word;
		word = SPAN_NONE;
	}
	n = snprintf(code, sizeof(code), "%03u", r->code % 1000);
	if (r->enhanced[0] && span_eq(enhanced, span_str(r->enhanced))) {
		*by |= EXPLAIN_BY_ENHANCED;
		if (r->code && word.len && n == 3 && span_eq(word, span_of(code, 3))) {
			*by |= EXPLAIN_BY_CODE;
			return 0.36 - 0.02 * (double)(rank < 8 ? rank : 8);
		}
		return 0.28 - 0.01 * (double)(rank < 8 ? rank : 8);
	}
	if (r->code && n == 3 && span_eq(word, span_of(code, 3))) {
		*by |= EXPLAIN_BY_CODE;
		return enhanced.len ? (r->enhanced[0] ? 0.06 : 0.1) : 0.14;
	}
	return 0;
}

static double explain_codes(const struct cause *c, const struct scan_reply *r, struct explain_candidate *out)
{
	double best = 0;

	for (size_t i = 0; c->also[i]; i++) {
		unsigned by = 0;
		double weight = explain_hint_weight(r, span_str(c->also[i]), i, &by);

		if (weight > best) {
			best = weight;
			out->hint = c->also[i];
			out->by = (out->by & ~(unsigned)(EXPLAIN_BY_CODE | EXPLAIN_BY_ENHANCED)) | by;
		}
	}
	return best;
}

/* does the catalogue know the cause with that reply's code at all? In POP3, which has none: in POP3 */
static bool explain_knows_code(const struct cause *c, const struct scan_reply *r)
{
	char code[8];

	if (r->pop3 && c->forms[CAUSE_POP3].text)
		return true;
	if (!r->pop3 && !r->code) /* an enhanced code alone */
		return true;
	for (int form = 0; form < CAUSE_POP3; form++)
		if (!r->pop3 && c->forms[form].text && c->forms[form].code == r->code)
			return true;
	(void)snprintf(code, sizeof(code), r->pop3 ? "-ERR" : "%03u", r->code % 1000);
	for (size_t i = 0; c->also[i]; i++)
		if (span_starts(span_str(c->also[i]), span_str(code)))
			return true;
	return false;
}

/* the best of the cause's patterns that stand in the text: its weight, and where */
static double explain_words(enum cause_id id, const struct matches *m, struct explain_candidate *out, size_t *at_out)
{
	double best = 0;

	for (size_t i = 0; i < m->count; i++) {
		double weight = explain_pattern_weight(&m->at[i]);

		if (m->at[i].cause != id || weight <= best || explain_is_covered(m, &m->at[i]))
			continue;
		best = weight;
		*at_out = m->at[i].at;
		out->pattern = m->at[i].pattern;
		out->by |= EXPLAIN_BY_PATTERN;
	}
	return best;
}

/* the reply in which the words at `at` stand */
static const struct scan_reply *explain_reply_at(const struct scan *s, size_t at)
{
	size_t i = s->count - 1;

	while (i && s->replies[i].at > at)
		i--;
	return &s->replies[i];
}

static struct explain_candidate explain_weigh(enum cause_id id, const struct scan *s, const struct matches *m)
{
	const struct cause *c = cause_get(id);
	struct explain_candidate out = {.cause = id};
	size_t at = 0;

	out.confidence = explain_words(id, m, &out, &at);
	if (s->count) {
		const struct scan_reply *r = explain_reply_at(s, at);
		double codes = explain_codes(c, r, &out);

		out.confidence += out.pattern ? codes / 2 : codes;
		if (out.pattern && !explain_knows_code(c, r))
			out.confidence -= r->pop3 ? 0.3 : 0.1;
	}
	if (out.confidence > 0)
		out.confidence += 0.01 * c->common;
	if (s->quoted == id) {
		out.by |= EXPLAIN_BY_SLUG;
		out.confidence = out.confidence > 0.35 ? out.confidence + 0.1 : 0.45;
	}
	if (s->own == id) {
		out.by |= EXPLAIN_BY_OWN | EXPLAIN_BY_SLUG;
		out.confidence = 2; /* before all others; settled below */
	}
	if (s->behind == id) { /* ... but for what it came from */
		out.by |= EXPLAIN_BY_OWN | EXPLAIN_BY_SLUG;
		out.confidence = 3;
	}
	return out;
}

static void explain_insert(struct explanation *e, const struct explain_candidate *c)
{
	size_t at = e->count;

	while (at && e->found[at - 1].confidence < c->confidence)
		at--;
	if (at == EXPLAIN_FOUND_MAX)
		return;
	if (e->count < EXPLAIN_FOUND_MAX)
		e->count++;
	memmove(&e->found[at + 1], &e->found[at], (e->count - 1 - at) * sizeof(e->found[0]));
	e->found[at] = *c;
}

/* words that belong to a consequence, also where they point at something else */
static bool explain_is_consequence(const struct matches *m, const struct match *at)
{
	for (size_t i = 0; i < m->count; i++)
		if (cause_get(m->at[i].cause)->consequence && strcmp(m->at[i].pattern, at->pattern) == 0)
			return true;
	return false;
}

/* A 503 or 554 at DATA is usually a consequence: with an earlier refusal in the same text, that one is the reason. */
static double explain_consequence(const struct scan *s, const struct matches *m, const struct explain_candidate *c)
{
	size_t last_at = 0, other_at = SIZE_MAX;
	bool follows = false;

	if (s->count < 2 || !c->pattern || s->own == c->cause)
		return 1;
	for (size_t i = 0; i < m->count; i++) {
		bool consequence = explain_is_consequence(m, &m->at[i]);

		if (m->at[i].cause == c->cause && m->at[i].pattern == c->pattern) {
			last_at = m->at[i].at;
			follows = consequence;
		} else if (!consequence && m->at[i].at < other_at && !explain_is_covered(m, &m->at[i])) {
			other_at = m->at[i].at;
		}
	}
	return follows && other_at < last_at ? 0.6 : 1;
}

/* Candidates far behind the first say nothing; a near second says that the words do not decide. */
static void explain_settle(struct explanation *e)
{
	double first, gap;

	if (!e->count)
		return;
	first = e->found[0].confidence;
	while (e->count > 1 && e->found[e->count - 1].confidence < (first > 0.7 ? first - 0.3 : first * 0.5))
		e->count--;
	if (e->found[0].by & EXPLAIN_BY_OWN) {
		e->found[0].confidence = 0.98;
		e->count = 1;
		return;
	}
	gap = e->count > 1 ? first - e->found[1].confidence : 1;
	e->undecided = e->count > 1 && gap < (first < 0.5 ? 0.15 : 0.09);
	for (size_t i = 0; i < e->count; i++) {
		double *c = &e->found[i].confidence;

		if (e->undecided && first > 0.5) /* each alone is at best as likely as not */
			*c = 0.5 - 0.3 * (first - *c);
		else if (*c > 0.95)
			*c = 0.95;
	}
}

void explain_text(struct span input, struct explanation *out)
{
	struct matches m;
	struct scan s;
	struct span bare = span_trim(input);

	*out = (struct explanation){0};
	out->cut = input.len > EXPLAIN_INPUT_BYTES;
	while (bare.len && bare.ptr[bare.len - 1] <= ' ')
		bare.len--;
	if (cause_by_slug(bare)) {
		out->count = 1;
		out->found[0] = (struct explain_candidate){.cause = cause_by_slug(bare), .confidence = 1, .by = EXPLAIN_BY_SLUG};
		return;
	}
	scan_init(&s, span_head(input, EXPLAIN_INPUT_BYTES));
	explain_collect(buf_span(&s.words), &m);
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		struct explain_candidate c = explain_weigh((enum cause_id)id, &s, &m);

		c.confidence *= explain_consequence(&s, &m, &c);
		if (c.confidence >= 0.1)
			explain_insert(out, &c);
	}
	out->own = s.own != CAUSE_NONE;
	if (s.count) {
		out->code = s.replies[0].code;
		memcpy(out->enhanced, s.replies[0].enhanced, sizeof(out->enhanced));
	}
	explain_settle(out);
	scan_clear(&s);
}

void explain_why(struct buf *out, const struct explain_candidate *c)
{
	const char *between = "";

	if (c->by & EXPLAIN_BY_OWN) {
		buf_add_str(out, "a reply of mailroom names it");
		between = ", ";
	} else if (c->by & EXPLAIN_BY_SLUG) {
		buf_add_str(out, "its name stands in the text");
		between = ", ";
	}
	if (c->pattern) {
		buf_printf(out, "%sthe words \"%s\"", between, c->pattern);
		between = ", ";
	}
	if (c->hint)
		buf_printf(out, "%s%s %s", between, c->hint[0] == '-' ? "the reply" : "the code", c->hint);
}
