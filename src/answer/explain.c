#include "answer/explain.h"

#include <math.h>

#include "answer/explain_index.h"
#include "answer/explain_scan.h"
#include "answer/explain_token.h"

/* How it is weighed: every cause has odds, from the best known wording that names it, times what the codes, the time at which it was said
 * and the emitter make of it; a cause without known wording has them from its codes and single words. All odds together, and those of "none
 * of them", make the confidence. The figures were chosen while looking at
 * knowledge/tests, against which test/e2e/test_explain_accuracy.py holds them: on texts that nobody has seen it will be right less often than there. */

#define ODDS_NOTHING 0.35 /* of a cause that is not in the catalogue */
#define SURE_MAX 0.985
#define LEAST_WITHOUT_CODE 0.2 /* a few words that might mean anything are no answer */
#define LEAST_DECIDED 0.4
#define CONFIDENCE_MAX 0.97 /* a foreign text is never certain */

struct weighing {
	const struct scan *scan;
	const struct index_hits *hits;
	const struct explain_context *context;
	bool foreign_words; /* words of a server, not only those of the program that shows them */
	bool known_reply;   /* ... of which knowledge/replies says what they mean */
	double tokens[CAUSE_COUNT];
	size_t token_count;
};

struct worth {
	double odds;
	struct explain_candidate said;
	unsigned hits;
};

static double odds_of(double sure)
{
	sure = sure > SURE_MAX ? SURE_MAX : sure;
	return sure / (1 - sure);
}

/* "sender address rejected: access denied" says more than the "access denied" in it; what the replies of knowledge/replies say of words
 * holds before what the catalogue's entry says of the same ones */
static bool explain_is_covered(const struct index_hits *hits, const struct index_hit *small)
{
	for (size_t i = 0; i < hits->count; i++) {
		const struct index_hit *big = &hits->at[i];
		size_t longer = big->end - big->at, shorter = small->end - small->at;

		if (big == small || big->loose || big->at > small->at ||
		    big->end + 2 < small->end) /* a dot behind it is no other sentence */
			continue;
		if (big->kind == INDEX_REPLY && reply_patterns[big->number].only && reply_patterns[big->number].cause_count == 1 &&
		    !index_has_emitter(hits, reply_patterns[big->number].emitter))
			continue;
		if (longer > shorter || (longer == shorter && big->kind == INDEX_REPLY && small->kind == INDEX_CAUSE))
			return true;
	}
	return false;
}

static bool explain_is_dialog(const struct index_hit *hit)
{
	enum emitter_kind kind;

	if (hit->kind != INDEX_REPLY)
		return false;
	kind = (enum emitter_kind)reply_emitters[reply_patterns[hit->number].emitter].kind;
	return kind == EMITTER_CLIENT || kind == EMITTER_LIBRARY;
}

/* the reply in which the words at `at` stand; NULL: there are no codes */
static const struct scan_reply *explain_reply_at(const struct scan *s, size_t at)
{
	size_t i = s->count;

	if (i == 0)
		return NULL;
	for (i--; i && s->replies[i].at > at;)
		i--;
	return &s->replies[i];
}

/* 1: the code is among them; 0: only its class or nothing is said; -1: others are */
static int explain_fits_code(const struct reply_pattern *p, const struct scan_reply *r)
{
	int fits = p->code[0] ? -1 : 0;

	for (size_t i = 0; i < REPLY_CODES && p->code[i]; i++) {
		unsigned code = p->code[i];

		if (r->pop3 ? code == 1 : code == r->code || (code >= 10 && code < 100 && code == r->code / 10))
			return 1;
		if (!r->pop3 && (code == r->code / 100 || code / 100 == r->code / 100))
			fits = 0;
	}
	return fits;
}

static int explain_fits_enhanced(const struct reply_pattern *p, const struct scan_reply *r)
{
	struct span rest = span_str(reply_text(p->enhanced)), mine = span_str(r->enhanced);
	int fits = rest.len && mine.len ? -1 : 0;

	while (rest.ptr && mine.len) {
		struct span one = span_cut(&rest, ' ');

		if (span_eq(one, mine))
			return 1;
		if (one.len > 2 && mine.len > 2 && span_eq(span_from(one, 1), span_from(mine, 1))) /* 4.7.1 for 5.7.1 */
			fits = 0;
	}
	return fits;
}

/* what the codes, the moment and the emitter make of a known reply */
static double explain_reply_factor(const struct weighing *w, const struct index_hit *hit, const struct scan_reply *r, unsigned *by)
{
	const struct reply_pattern *p = &reply_patterns[hit->number];
	double factor = 1;

	if (r) {
		int code = r->code || r->pop3 ? explain_fits_code(p, r) : 0, enhanced = explain_fits_enhanced(p, r);

		factor *= code > 0 ? 1.25 : code < 0 ? 0.45 : 1;
		factor *= enhanced > 0 ? 1.25 : enhanced < 0 ? 0.75 : 1;
		*by |= (code > 0 ? EXPLAIN_BY_CODE : 0U) | (enhanced > 0 ? EXPLAIN_BY_ENHANCED : 0U);
	}
	if (w->context->stage && p->stages) {
		factor *= w->context->stage & p->stages ? 1.2 : 0.4;
		*by |= w->context->stage & p->stages ? EXPLAIN_BY_STAGE : 0U;
	}
	if (index_has_emitter(w->hits, p->emitter) || w->context->emitter == (int)p->emitter) {
		factor *= 1.5;
		*by |= EXPLAIN_BY_EMITTER;
	}
	if (explain_is_dialog(hit) && w->foreign_words) /* the program's words are only the frame around the server's */
		factor *= 0.12;
	return factor;
}

static void explain_take(struct worth *worth, double odds, const struct index_hit *hit, unsigned by)
{
	worth->hits++;
	if (odds <= worth->odds)
		return;
	worth->odds = odds;
	worth->said.pattern = hit->pattern;
	worth->said.reply = hit->kind == INDEX_REPLY ? hit->number : -1;
	worth->said.by = EXPLAIN_BY_PATTERN | by;
}

static void explain_weigh_hit(const struct weighing *w, const struct index_hit *hit, struct worth *worth)
{
	const struct scan_reply *r = explain_reply_at(w->scan, hit->at);

	if (explain_is_covered(w->hits, hit))
		return;
	if (hit->kind == INDEX_CAUSE) {
		size_t len = strlen(hit->pattern);
		double sure = 0.53 + 0.0135 * (double)(len < 28 ? len : 28) - 0.0005 * (double)hit->rank;

		explain_take(&worth[hit->number], odds_of(sure) * (w->known_reply ? 0.25 : 1), hit, 0);
		return;
	}
	const struct reply_pattern *p = &reply_patterns[hit->number];
	unsigned by = 0, sum = 0;
	double factor = explain_reply_factor(w, hit, r, &by);

	if (p->only && !(by & EXPLAIN_BY_EMITTER) && p->cause_count == 1) /* that words decide nothing holds for everybody */
		return;
	for (size_t i = 0; i < p->cause_count; i++)
		sum += reply_causes[p->cause_at + i].percent;
	for (size_t i = 0; i < p->cause_count && sum; i++) {
		const struct reply_cause *c = &reply_causes[p->cause_at + i];
		double share = (double)c->percent / (double)sum, whole = odds_of((double)p->sure / 100);

		explain_take(&worth[c->cause], whole * share * factor, hit, by);
	}
}

/* How well a code of the catalogue ("550 5.7.1", "550", "5.7.1", "-ERR [AUTH]") fits a reply, 0 to 3 */
static int explain_fits_hint(const struct scan_reply *r, struct span hint, unsigned *by)
{
	struct span word = span_cut(&hint, ' '), enhanced = hint;
	char code[4];

	if (r->pop3) {
		if (!span_eq(word, SPAN_LIT("-ERR")))
			return 0;
		if (!enhanced.len)
			return 1;
		*by |= EXPLAIN_BY_ENHANCED;
		return span_eq_nocase(span_of(enhanced.ptr + 1, enhanced.len - 2), span_str(r->enhanced)) ? 3 : 0;
	}
	if (span_find(word, '.') < word.len) { /* an enhanced code alone */
		enhanced = word;
		word = SPAN_NONE;
	}
	bool same = r->code && snprintf(code, sizeof(code), "%03u", r->code % 1000) == 3 && span_eq(word, span_of(code, 3));

	if (r->enhanced[0] && span_eq(enhanced, span_str(r->enhanced))) {
		*by |= EXPLAIN_BY_ENHANCED | (same ? EXPLAIN_BY_CODE : 0U);
		return same ? 3 : 2;
	}
	*by |= same ? EXPLAIN_BY_CODE : 0U;
	return same && !(enhanced.len && r->enhanced[0]) ? 1 : 0;
}

/* the best of the entry's codes: how well it fits (0 to 3) less its place among them */
static double explain_codes(const struct cause *c, const struct scan_reply *r, struct explain_candidate *said)
{
	static const double worth[] = {0, 1, 5, 7};
	double best = 0;

	for (size_t i = 0; r && c->also[i]; i++) {
		unsigned by = 0;
		double fits = worth[explain_fits_hint(r, span_str(c->also[i]), &by)] / (1 + 0.35 * (double)i);

		if (fits <= best)
			continue;
		best = fits;
		said->hint = c->also[i];
		said->by |= by;
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

static double explain_settle_worth(const struct weighing *w, enum cause_id id, struct worth *worth, const struct scan_reply *first)
{
	const struct cause *c = cause_get(id);
	double codes = explain_codes(c, first, &worth->said), odds = worth->odds;
	unsigned stages = index_stages(id);
	double words = w->token_count ? w->tokens[id] : 0;

	words = words > 6 ? 6 : words < -4 ? -4 : words;
	worth->said.cause = id;
	if (id == CAUSE_INSUFFICIENT_TEXT && odds <= 0)
		return 0;
	if (odds > 0) {
		odds *= 1 + 0.15 * (worth->hits > 3 ? 3 : worth->hits - 1);
		odds *= worth->said.reply >= 0 ? 1 + 0.03 * codes : 1 + 0.12 * codes;
		odds *= exp(worth->said.reply >= 0 ? 0.1 * words : 0.25 * (words > 2 ? 2 : words));
		if (first && worth->said.reply < 0 && !explain_knows_code(c, first))
			odds *= first->pop3 ? 0.3 : 0.6;
	} else {
		if (codes <= 0 && words <= 1)
			return 0;
		odds = 0.006 * (1 + c->common) * exp(words) * (0.25 + 1.6 * codes) * (w->token_count ? 1 : 0.3 * c->common);
		worth->said.by |= words > 1 ? EXPLAIN_BY_WORDING : 0U;
		odds *= index_is_named(id) ? 1 : 0.15; /* of the finer names that only mailroom uses */
		odds = fmin(odds, first && first->pop3 && codes > 2 ? 4 : 1);
	}
	if (w->context->stage && stages && !(w->context->stage & stages))
		odds *= 0.35;
	return odds * (1 + 0.03 * c->common);
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
static bool explain_is_consequence(const struct index_hits *hits, const char *pattern)
{
	for (size_t i = 0; i < hits->count; i++) {
		const struct index_hit *hit = &hits->at[i];
		const struct reply_pattern *p = hit->kind == INDEX_REPLY ? &reply_patterns[hit->number] : NULL;

		if (strcmp(hit->pattern, pattern) != 0)
			continue;
		if (!p && cause_get((enum cause_id)hit->number)->consequence)
			return true;
		for (size_t k = 0; p && k < p->cause_count; k++)
			if (cause_get((enum cause_id)reply_causes[p->cause_at + k].cause)->consequence)
				return true;
	}
	return false;
}

/* A 503 or 554 at DATA is usually a consequence: with an earlier refusal in the same text, that one is the reason. */
static double explain_consequence(const struct weighing *w, const struct explain_candidate *c)
{
	size_t mine = 0, other = SIZE_MAX;
	bool follows = false;

	if (w->scan->count < 2 || !c->pattern)
		return 1;
	for (size_t i = 0; i < w->hits->count; i++) {
		const struct index_hit *hit = &w->hits->at[i];

		if (hit->pattern == c->pattern) {
			mine = hit->at;
			follows = explain_is_consequence(w->hits, c->pattern);
		} else if (hit->at < other && !explain_is_covered(w->hits, hit) && !explain_is_consequence(w->hits, hit->pattern)) {
			other = hit->at;
		}
	}
	return follows && (other < mine ||
			   (other < SIZE_MAX && span_find_span(buf_span(&w->scan->words), SPAN_LIT("rejected with")) < w->scan->words.len))
		       ? 0.15
		       : 1;
}

/* Candidates far behind the first say nothing; a near second, or a weak first, says that the words do not decide. */
static void explain_settle(struct explanation *e, double all)
{
	for (size_t i = 0; i < e->count; i++) {
		double *c = &e->found[i].confidence;

		*c /= all;
		*c = *c > CONFIDENCE_MAX ? CONFIDENCE_MAX : *c;
	}
	while (e->count > 1 && e->found[e->count - 1].confidence < e->found[0].confidence * 0.12)
		e->count--;
	e->undecided = e->count &&
		       (e->found[0].confidence < LEAST_DECIDED || (e->count > 1 && e->found[0].confidence < 1.65 * e->found[1].confidence));
}

static void explain_one(struct explanation *e, enum cause_id cause, double confidence, unsigned by)
{
	e->count = 1;
	e->undecided = false;
	e->found[0] = (struct explain_candidate){.cause = cause, .confidence = confidence, .by = by, .reply = -1};
}

static void explain_weigh(const struct weighing *w, struct explanation *out)
{
	static const struct worth none = {.said = {.reply = -1}};
	struct worth worth[CAUSE_COUNT];
	double all = ODDS_NOTHING;
	const struct scan_reply *first = w->scan->count ? &w->scan->replies[0] : NULL;

	for (int id = 0; id < CAUSE_COUNT; id++)
		worth[id] = none;
	for (size_t i = 0; i < w->hits->count; i++)
		explain_weigh_hit(w, &w->hits->at[i], worth);
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		double odds = explain_settle_worth(w, (enum cause_id)id, &worth[id], first);

		if (w->scan->quoted == (enum cause_id)id) {
			odds = odds * 1.5 + 0.5;
			worth[id].said.by |= EXPLAIN_BY_SLUG;
		}
		odds *= explain_consequence(w, &worth[id].said);
		if (odds < 0.03)
			continue;
		all += odds;
		worth[id].said.confidence = odds;
		explain_insert(out, &worth[id].said);
	}
	explain_settle(out, all);
}

/* of those that are recognised: servers and filters said it, programs and libraries showed it */
static void explain_who(const struct index_hits *hits, const struct explain_context *context, struct explanation *out)
{
	out->emitter = context->emitter;
	for (size_t i = 0; i < reply_emitter_count; i++) {
		bool shows = reply_emitters[i].kind == EMITTER_CLIENT || reply_emitters[i].kind == EMITTER_LIBRARY;

		if (index_has_emitter(hits, i) && shows && out->program < 0)
			out->program = (int)i;
	}
	if (out->own || out->emitter >= 0)
		return;
	if (out->count && out->found[0].reply >= 0 && index_has_emitter(hits, reply_patterns[out->found[0].reply].emitter))
		out->emitter = reply_patterns[out->found[0].reply].emitter;
	for (size_t i = 0, best = 0; i < reply_emitter_count && i < INDEX_EMITTERS; i++) {
		if (hits->emitters[i] <= best || reply_emitters[i].kind == EMITTER_CLIENT || reply_emitters[i].kind == EMITTER_LIBRARY)
			continue;
		best = hits->emitters[i];
		out->emitter = (int)i;
	}
	if (out->emitter < 0)
		out->emitter = out->program;
}

static void explain_look_foreign(struct weighing *w)
{
	for (size_t i = 0; i < w->hits->count; i++) {
		const struct index_hit *hit = &w->hits->at[i];

		if (explain_is_dialog(hit) || explain_is_covered(w->hits, hit))
			continue;
		w->foreign_words = true;
		if (hit->kind == INDEX_REPLY && !reply_patterns[hit->number].only)
			w->known_reply = true;
	}
}

static void explain_nothing(struct explanation *e)
{
	e->count = 0;
	e->undecided = false;
}

/* "in reply to RCPT TO command" and the like, as servers add it to what they quote */
static unsigned explain_stage(struct span words)
{
	static const struct {
		const char *words;
		unsigned stage;
	} table[] = {
		{"in reply to end of data", REPLY_AT_END},
		{"after end of data", REPLY_AT_END},
		{"at end of data", REPLY_AT_END},
		{"after pipelined data", REPLY_AT_DATA},
		{"in reply to data command", REPLY_AT_DATA},
		{"in reply to rcpt to", REPLY_AT_RCPT},
		{"after rcpt to", REPLY_AT_RCPT},
		{"after pipelined rcpt", REPLY_AT_RCPT},
		{"in reply to mail from", REPLY_AT_MAIL},
		{"after mail from", REPLY_AT_MAIL},
		{"after pipelined mail", REPLY_AT_MAIL},
		{"after ehlo", REPLY_AT_HELO},
		{"in reply to ehlo", REPLY_AT_HELO},
		{"in reply to helo", REPLY_AT_HELO},
		{"after initial connection", REPLY_AT_CONNECT | REPLY_AT_BANNER},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (span_find_span(words, span_str(table[i].words)) < words.len)
			return table[i].stage;
	return 0;
}

void explain_text_in(struct span input, const struct explain_context *context, struct explanation *out)
{
	struct explain_context known = context ? *context : (struct explain_context){0, EXPLAIN_NO_EMITTER};
	struct weighing w = {.context = &known};
	struct index_hits hits;
	struct scan s;
	struct span bare = span_trim(input);

	*out = (struct explanation){.emitter = EXPLAIN_NO_EMITTER, .program = EXPLAIN_NO_EMITTER, .stage = w.context->stage};
	out->cut = input.len > EXPLAIN_INPUT_BYTES;
	while (bare.len && bare.ptr[bare.len - 1] <= ' ')
		bare.len--;
	if (cause_by_slug(bare)) {
		explain_one(out, cause_by_slug(bare), 1, EXPLAIN_BY_SLUG);
		return;
	}
	scan_init(&s, span_head(input, EXPLAIN_INPUT_BYTES));
	out->own = s.own != CAUSE_NONE;
	if (s.count) {
		out->code = s.replies[0].code;
		memcpy(out->enhanced, s.replies[0].enhanced, sizeof(out->enhanced));
	}
	if (!known.stage)
		out->stage = known.stage = explain_stage(buf_span(&s.words));
	index_search(buf_span(&s.words), &hits);
	if (out->own) {
		explain_one(out, s.behind ? s.behind : s.own, 0.98, EXPLAIN_BY_OWN | EXPLAIN_BY_SLUG);
	} else {
		w.scan = &s;
		w.hits = &hits;
		explain_look_foreign(&w);
		w.token_count = token_weigh(buf_span(&s.words), w.tokens);
		explain_weigh(&w, out);
		if (!s.count && out->count && !(out->found[0].by & EXPLAIN_BY_PATTERN) && out->found[0].confidence < LEAST_WITHOUT_CODE)
			explain_nothing(out);
	}
	explain_who(&hits, w.context, out);
	scan_clear(&s);
}

void explain_text(struct span input, struct explanation *out)
{
	explain_text_in(input, NULL, out);
}

const char *explain_ask(const struct explanation *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->found[i].reply >= 0 && reply_patterns[e->found[i].reply].ask)
			return reply_text(reply_patterns[e->found[i].reply].ask);
	return cause_get(CAUSE_INSUFFICIENT_TEXT)->fixes[0].what;
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
	if (c->by & EXPLAIN_BY_WORDING) {
		buf_printf(out, "%ssingle words", between);
		between = ", ";
	}
	if (c->hint) {
		buf_printf(out, "%s%s %s", between, c->hint[0] == '-' ? "the reply" : "the code", c->hint);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_STAGE) {
		buf_printf(out, "%sthe moment at which it was said", between);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_EMITTER)
		buf_printf(out, "%swho said it", between);
}
