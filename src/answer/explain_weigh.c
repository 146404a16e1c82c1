#include "answer/explain_weigh.h"

#include <math.h>

#include "answer/explain_code.h"
#include "answer/explain_token.h"
#include "answer/explain_wording.h"

/* How it is weighed: every cause has odds, from the best known wording that names it, times what the codes, the time at which it was said
 * and the emitter make of it; a cause without known wording has them from what the sentences mean (explain_wording.h), what the codes say
 * by themselves (explain_code.h), and single words. All odds together, and those of "none of them", make the confidence; it is held below
 * what evidence of its kind has earned. The figures were chosen while looking at knowledge/tests; what they are worth shows
 * the first measurement of each set there (knowledge/README.md). */

#define ODDS_NOTHING 0.35 /* of a cause that is not in the catalogue */
#define ODDS_GENERAL 0.8  /* of words that only say that it went wrong, beside a sentence that says why */
#define SURE_MAX 0.985
#define SURE_SPECIFIC 0.6 /* of what a sentence means, beside words that say little */
#define SURE_LATER 0.6	  /* of a code for a while in reply to AUTH */
#define LEAST_DECIDED 0.4
#define LEAST_OF_FIRST 0.12  /* candidates further behind say nothing */
#define NEAR_SECOND 1.55     /* a second that is nearer says that the words do not decide */
#define CODE_SPREAD_MAX 5    /* more causes with the same code: it says little */
#define CONFIDENCE_MAX 0.97  /* a foreign text is never certain */
#define LETTERS_OF_REASON 40 /* behind words that introduce a reason */

/* the most that such evidence is worth: how often it was right in knowledge/tests */
#define MOST_WORDING 0.55	/* single words, a guess */
#define MOST_MEANT 0.7		/* sentences whose words together mean something */
#define MOST_AGREED 0.8		/* ... and the code says the same */
#define MOST_CODE 0.68		/* a code and nothing else */
#define MOST_PATTERN 0.8	/* words of the catalogue without a code that fits */
#define MOST_PATTERN_BRIEF 0.66 /* ... that are few in a long text */
#define MOST_DOUBTED 0.66	/* ... while the sentence means something else */
#define MOST_ALONE 0.89		/* a known reply without code, moment or speaker that fit */
#define MOST_CONTESTED 0.86	/* a known reply, while the sentence means something else */
#define MOST_OTHER_TIME 0.75	/* a known reply that is said at another moment */
#define MOST_FRAME 0.5		/* words that introduce those of somebody else, which nobody knows */

#define REPLY_AT_MAILING (REPLY_AT_MAIL | REPLY_AT_RCPT | REPLY_AT_DATA | REPLY_AT_END) /* where 55x is said */

struct worth {
	double odds;
	struct explain_candidate said;
	unsigned hits;
	double share; /* of the text that the words make up */
	double most;  /* that evidence without known words is worth */
	bool frame;   /* the words introduce others */
};

static double odds_of(double sure)
{
	sure = sure > SURE_MAX ? SURE_MAX : sure;
	return sure / (1 - sure);
}

/* the bytes of a pattern that have to stand there */
static size_t weigh_literal(const struct index_hit *hit)
{
	size_t len = 0;

	if (!hit->loose)
		return hit->end - hit->at;
	for (const char *c = hit->pattern; *c; c++)
		len += *c != '*';
	return len;
}

/* words that only introduce those of somebody else */
static bool weigh_is_frame(const struct index_hit *hit)
{
	return hit->kind == INDEX_REPLY && reply_patterns[hit->number].frame;
}

static bool weigh_is_dialog(const struct index_hit *hit)
{
	enum emitter_kind kind;

	if (hit->kind != INDEX_REPLY)
		return false;
	if (weigh_is_frame(hit))
		return true;
	kind = (enum emitter_kind)reply_emitters[reply_patterns[hit->number].emitter].kind;
	return kind == EMITTER_CLIENT || kind == EMITTER_LIBRARY;
}

/* do the words stand in those of the program that shows them? */
static bool weigh_is_framed(const struct index_hits *hits, const struct index_hit *small)
{
	for (size_t i = 0; i < hits->count; i++)
		if (&hits->at[i] != small && hits->at[i].at <= small->at && hits->at[i].end >= small->end && weigh_is_dialog(&hits->at[i]))
			return true;
	return false;
}

/* "sender address rejected: access denied" says more than the "access denied" in it; what the replies of knowledge/replies say of words
 * holds before what the catalogue's entry says of the same ones */
static bool weigh_is_covered(const struct index_hits *hits, const struct index_hit *small)
{
	if (small->again && !weigh_is_framed(hits, small - 1)) /* the first place is enough; it stands before this one in the list */
		return true;
	for (size_t i = 0; i < hits->count; i++) {
		const struct index_hit *big = &hits->at[i];
		size_t longer = weigh_literal(big), shorter = weigh_literal(small);

		if (big == small || big->at > small->at || big->end + 2 < small->end || /* a dot behind it is no other sentence */
		    (big->loose && big->kind == INDEX_CAUSE && small->kind == INDEX_REPLY))
			continue;
		if (big->kind == INDEX_REPLY && reply_patterns[big->number].only && reply_patterns[big->number].cause_count == 1 &&
		    !index_has_emitter(hits, reply_patterns[big->number].emitter))
			continue;
		if (longer > shorter || (longer == shorter && big->kind == INDEX_REPLY && small->kind == INDEX_CAUSE))
			return true;
	}
	return false;
}

/* words that only say that it went wrong; with others that say why, these hold */
static bool weigh_is_general(unsigned cause)
{
	switch (cause) {
	case CAUSE_AUTH_BAD_CREDENTIALS:
	case CAUSE_POLICY_UNSPECIFIED:
	case CAUSE_SERVER_TEMP_ERROR:
	case CAUSE_REMOTE_UNREACHABLE:
	case CAUSE_TLS_HANDSHAKE_FAILED:
		return true;
	default:
		return false;
	}
}

/* what a program finds out by itself, before a server has said anything */
static bool weigh_is_local(unsigned cause)
{
	switch (cause) {
	case CAUSE_PORT_BLOCKED_OR_WRONG_HOST:
	case CAUSE_PORT25_OUTBOUND_BLOCKED:
	case CAUSE_REMOTE_UNREACHABLE:
	case CAUSE_REMOTE_LOST:
	case CAUSE_SERVER_NAME_UNKNOWN:
	case CAUSE_DNS_FAILURE:
	case CAUSE_TIMEOUT:
	case CAUSE_IPV6_NOT_AVAILABLE:
	case CAUSE_TLS_HANDSHAKE_FAILED:
	case CAUSE_TLS_CERT_UNTRUSTED:
	case CAUSE_TLS_CERT_NAME_MISMATCH:
	case CAUSE_TLS_MODE_MISMATCH:
		return true;
	default:
		return false;
	}
}

/* the first reply; of one that quotes another, that one. NULL: there are no codes. */
static const struct scan_reply *weigh_first(const struct scan *s)
{
	for (size_t i = 0; s->inner && i < s->count; i++)
		if (s->replies[i].at >= s->inner)
			return &s->replies[i];
	return s->count ? &s->replies[0] : NULL;
}

/* what the first reply that a registry explains says by its codes */
static void weigh_look_codes(struct weighing *w)
{
	const struct scan_reply *first = weigh_first(w->scan);
	const struct code_meaning *means = NULL;

	for (int id = 0; id < CAUSE_COUNT; id++)
		w->coded[id] = 0;
	w->coded_best = 0;
	for (size_t i = first ? (size_t)(first - w->scan->replies) : 0; i < w->scan->count && !means; i++)
		if (!w->scan->replies[i].pop3)
			means = code_means(w->scan->replies[i].code, span_str(w->scan->replies[i].enhanced));
	for (size_t i = 0; means && i < CODE_MEANINGS && means[i].cause; i++) {
		w->coded[means[i].cause] = means[i].percent / 100.0;
		w->coded_best = fmax(w->coded_best, means[i].percent / 100.0);
	}
	if (!means && first && first->code / 100 == 4 && w->context->stage == REPLY_AT_AUTH)
		w->coded[CAUSE_AUTH_TEMPORARILY_UNAVAILABLE] = w->coded_best = SURE_LATER;
}

/* does "port 25" or "host:25" stand there? */
static bool weigh_has_port(struct span words, const char *port)
{
	struct span number = span_str(port);

	for (size_t at = span_find_span(words, number); at < words.len; at += 1 + span_find_span(span_from(words, at + 1), number)) {
		struct span before = span_head(words, at);
		bool ends = at + number.len == words.len || !byte_is_alnum(words.ptr[at + number.len]);

		if (ends && at &&
		    (words.ptr[at - 1] == ':' || (before.len >= 5 && span_starts(span_from(before, before.len - 5), SPAN_LIT("port ")))))
			return true;
	}
	return false;
}

/* which ports are named: on another than 25 nobody's block of port 25 is the cause */
static void weigh_look_ports(struct weighing *w)
{
	struct span words = buf_span(&w->scan->words);

	w->port25 = weigh_has_port(words, "25");
	w->port_other = weigh_has_port(words, "587") || weigh_has_port(words, "465") || weigh_has_port(words, "2525");
}

/* words of the reply that quotes another one, whose words are known, too */
static bool weigh_is_outer(const struct weighing *w, const struct index_hit *hit)
{
	return w->inner_words && hit->at < w->scan->inner;
}

void weigh_look(struct weighing *w)
{
	w->token_count = token_weigh(buf_span(&w->scan->words), w->tokens, w->token_support);
	wording_read(w->scan, w->meant);
	weigh_look_codes(w);
	weigh_look_ports(w);
	w->token_best = w->meant_best = 0;
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		w->token_best = fmax(w->token_best, w->tokens[id]);
		w->meant_best = fmax(w->meant_best, w->meant[id]);
	}
	w->general_words = true;
	for (size_t i = 0; i < w->hits->count; i++) {
		const struct index_hit *hit = &w->hits->at[i];
		unsigned cause = hit->kind == INDEX_CAUSE ? hit->number : reply_causes[reply_patterns[hit->number].cause_at].cause;

		if (weigh_is_dialog(hit) || (hit->kind == INDEX_CAUSE && weigh_is_local(cause)) || weigh_is_covered(w->hits, hit))
			continue;
		w->foreign_words = true;
		w->inner_words = w->inner_words || (w->scan->inner && hit->at >= w->scan->inner);
		w->general_words = w->general_words && weigh_is_general(cause);
	}
	for (size_t i = 0; i < w->hits->count; i++) {
		const struct index_hit *hit = &w->hits->at[i];

		if (hit->kind == INDEX_REPLY && !reply_patterns[hit->number].only && !weigh_is_dialog(hit) &&
		    !weigh_is_covered(w->hits, hit))
			w->known_reply = w->known_reply || !weigh_is_outer(w, hit);
	}
}

/* the reply in which the words at `at` stand; NULL: there are no codes */
static const struct scan_reply *weigh_reply_at(const struct scan *s, size_t at)
{
	size_t i = s->count;

	if (i == 0)
		return NULL;
	for (i--; i && s->replies[i].at > at;)
		i--;
	return &s->replies[i];
}

/* 1: the code is among them; 0: only its class or nothing is said; -1: others are */
static int weigh_fits_code(const struct reply_pattern *p, const struct scan_reply *r)
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

static int weigh_fits_enhanced(const struct reply_pattern *p, const struct scan_reply *r)
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
static double weigh_reply_factor(const struct weighing *w, const struct index_hit *hit, const struct scan_reply *r,
				 struct explain_candidate *said)
{
	const struct reply_pattern *p = &reply_patterns[hit->number];
	double factor = 1;
	int code = 0, enhanced = 0;

	if (r) {
		code = r->code || r->pop3 ? weigh_fits_code(p, r) : 0;
		enhanced = weigh_fits_enhanced(p, r);
		factor *= code > 0 ? 1.25 : code < 0 ? 0.45 : 1;
		factor *= enhanced > 0 ? 1.25 : enhanced < 0 ? 0.75 : 1;
		said->by |= (code > 0 ? EXPLAIN_BY_CODE : 0U) | (enhanced > 0 ? EXPLAIN_BY_ENHANCED : 0U);
		said->against |= (code < 0 ? EXPLAIN_BY_CODE : 0U) | (enhanced < 0 ? EXPLAIN_BY_ENHANCED : 0U);
	}
	if (w->context->stage && p->stages) {
		bool fits = w->context->stage & p->stages;

		factor *= fits ? 1.2 : 0.4;
		*(fits ? &said->by : &said->against) |= EXPLAIN_BY_STAGE;
	}
	if (index_has_emitter(w->hits, p->emitter) || w->context->emitter == (int)p->emitter) {
		factor *= 1.5;
		said->by |= EXPLAIN_BY_EMITTER;
	}
	if (weigh_is_outer(w, hit))
		factor *= 0.03;
	if (weigh_is_dialog(hit)) { /* the program's words are only the frame around the server's */
		if (w->foreign_words)
			factor *= 0.12;
		else if (code <= 0 && enhanced <= 0 && r && !r->pop3)
			factor *= 0.1;
	}
	return factor;
}

/* do words follow that might say why? */
static bool weigh_goes_on(const struct weighing *w, const struct index_hit *hit)
{
	size_t letters = 0;

	for (size_t i = hit->end; i < w->scan->words.len; i++)
		letters += byte_is_alpha(w->scan->words.ptr[i]);
	return letters >= LETTERS_OF_REASON;
}

static void weigh_take(struct worth *worth, double odds, const struct weighing *w, const struct index_hit *hit,
		       const struct explain_candidate *said)
{
	worth->hits += !hit->again;
	if (odds <= worth->odds)
		return;
	worth->most = 1;
	worth->frame = weigh_is_frame(hit) && weigh_goes_on(w, hit);
	worth->odds = odds;
	worth->share = (double)(hit->end - hit->at) / (double)(w->scan->words.len + 1);
	worth->said.pattern = hit->pattern;
	worth->said.reply = hit->kind == INDEX_REPLY ? hit->number : -1;
	worth->said.by = EXPLAIN_BY_PATTERN | said->by;
	worth->said.against = said->against;
}

/* words of the catalogue: worth more the longer they are; single words that point elsewhere make them doubtful */
static void weigh_catalogue(const struct weighing *w, const struct index_hit *hit, struct worth *worth)
{
	static const struct explain_candidate none = {.by = 0};
	size_t len = strlen(hit->pattern);
	double sure = 0.53 + 0.0135 * (double)(len < 28 ? len : 28) - 0.0005 * (double)hit->rank;
	double elsewhere = w->token_best - (w->tokens[hit->number] > 0 ? w->tokens[hit->number] : 0), factor = w->known_reply ? 0.25 : 1;

	if (w->meant_best >= SURE_SPECIFIC)
		factor *= w->meant[hit->number] <= 0 ? 0.6 : w->meant[hit->number] >= SURE_SPECIFIC ? 1.5 : 1;
	if (weigh_is_outer(w, hit))
		factor *= 0.1;
	if (elsewhere > 2)
		factor *= exp(-0.25 * (elsewhere > 9 ? 7 : elsewhere - 2));
	weigh_take(worth, odds_of(sure) * factor, w, hit, &none);
}

static void weigh_hit(const struct weighing *w, const struct index_hit *hit, struct worth *worth)
{
	const struct scan_reply *r = weigh_reply_at(w->scan, hit->at);

	if (weigh_is_covered(w->hits, hit))
		return;
	if (hit->kind == INDEX_CAUSE) {
		weigh_catalogue(w, hit, &worth[hit->number]);
		return;
	}
	const struct reply_pattern *p = &reply_patterns[hit->number];
	struct explain_candidate said = {.by = 0};
	unsigned sum = 0;
	double factor = weigh_reply_factor(w, hit, r, &said);

	if (p->only && !(said.by & EXPLAIN_BY_EMITTER) && p->cause_count == 1) /* that words decide nothing holds for everybody */
		return;
	for (size_t i = 0; i < p->cause_count; i++)
		sum += reply_causes[p->cause_at + i].percent;
	for (size_t i = 0; i < p->cause_count && sum; i++) {
		const struct reply_cause *c = &reply_causes[p->cause_at + i];
		double share = (double)c->percent / (double)sum, whole = odds_of((double)p->sure / 100);

		weigh_take(&worth[c->cause], whole * share * factor, w, hit, &said);
	}
}

/* the best of the entry's codes: 0 to 7 */
static double weigh_codes(const struct cause *c, const struct index_fit *fit, struct explain_candidate *said)
{
	if (!fit->fits)
		return 0;
	said->hint = c->also[fit->rank];
	said->hint_code = fit->code;
	said->hint_enhanced = fit->enhanced;
	said->by |= (fit->code ? EXPLAIN_BY_CODE : 0U) | (fit->enhanced ? EXPLAIN_BY_ENHANCED : 0U);
	return index_fit_worth(fit);
}

/* of a cause that no known words name */
static double weigh_guess(const struct weighing *w, enum cause_id id, double codes, double words, bool pop3)
{
	const struct cause *c = cause_get(id);
	double odds = 0.006 * (1 + c->common) * (0.25 + 1.6 * codes) * (w->token_count ? 1 : 0.3 * c->common);

	/* an enhanced code that only few causes have holds whatever words stand beside it */
	odds *= exp(codes >= 5 && words < -1 && w->code_spread <= CODE_SPREAD_MAX ? -1 : words);

	return fmin(odds, pop3 && codes > 2 ? 4 : w->token_support[id] > 2 ? 1 : w->token_support[id] > 1 ? 0.7 : 0.35);
}

/* of a cause that no known words name: what the sentences mean, and what the codes say by themselves */
static double weigh_meaning(const struct weighing *w, enum cause_id id, double codes, struct worth *worth)
{
	double meant = w->meant[id], coded = w->coded[id], odds = 0;
	double beside = !w->foreign_words ? 1 : w->general_words && meant >= SURE_SPECIFIC ? 0.9 : w->known_reply ? 0.15 : 0.4;

	if (meant > 0) {
		odds = odds_of(meant) * (1 + 0.1 * codes) * (w->coded_best > 0.55 && coded <= 0 ? 0.6 : 1) * beside;
		worth->said.by |= EXPLAIN_BY_WORDING;
		worth->most = coded > 0 ? MOST_AGREED : fmin(MOST_MEANT, meant + 0.06);
	}
	if (coded > 0) {
		odds += odds_of(coded) * (w->meant_best > 0 && meant <= 0 ? 0.5 : 1) *
			(w->known_reply	    ? 0.04
			 : w->foreign_words ? 0.25
					    : 1);
		worth->said.by |= EXPLAIN_BY_CODE;
		worth->most = meant > 0 ? MOST_AGREED : fmin(MOST_CODE, coded + 0.03);
	}
	return odds;
}

/* a known reply, with its codes: not just words that it has in common with others. That a sign-in failed is said with one code for all
 * reasons. */
static bool weigh_is_known(enum cause_id id, const struct explain_candidate *said)
{
	return id != CAUSE_AUTH_BAD_CREDENTIALS && said->reply >= 0 && said->by & EXPLAIN_BY_ENHANCED && !(said->against & EXPLAIN_BY_CODE);
}

static double weigh_cause(const struct weighing *w, enum cause_id id, struct worth *worth, const struct index_fit *fit)
{
	const struct scan_reply *first = weigh_first(w->scan);
	const struct cause *c = cause_get(id);
	double codes = weigh_codes(c, fit, &worth->said), odds = worth->odds, words = w->token_count ? w->tokens[id] : 0;
	unsigned stages = index_stages(id);

	words = words > 6 ? 6 : words < -4 ? -4 : words;
	worth->said.cause = id;
	if (id == CAUSE_INSUFFICIENT_TEXT && odds <= 0)
		return 0;
	if (odds > 0) {
		if (worth->said.reply < 0 && w->meant[id] > 0) /* the sentence around words of the catalogue may say more than they do */
			odds = fmax(odds, 0.8 * odds_of(w->meant[id]));
		odds *= 1 + 0.15 * (worth->hits > 3 ? 3 : worth->hits - 1);
		odds *= worth->said.reply >= 0 ? 1 + 0.03 * codes : 1 + 0.12 * codes;
		odds *= exp(worth->said.reply >= 0 ? 0.1 * words : 0.25 * (words > 2 ? 2 : words));
		if (weigh_is_general(id) && w->meant_best >= SURE_SPECIFIC && w->meant[id] <= 0 && w->foreign_words &&
		    !weigh_is_known(id, &worth->said))
			odds = fmin(odds, ODDS_GENERAL);
		if (first && !first->pop3 && !c->forms[CAUSE_SMTP].text && c->forms[CAUSE_POP3].text) /* it is never said in SMTP */
			odds *= 0.1;
		if (first && worth->said.reply < 0 && !fit->known) {
			odds *= first->pop3 ? 0.3 : stages && !(stages & REPLY_AT_MAILING) && first->code / 10 == 55 ? 0.2 : 0.6;
			worth->said.against |= EXPLAIN_BY_CODE;
		}
	} else {
		worth->most = words > 1 ? MOST_WORDING : MOST_CODE;
		if (codes > 0 || words > 1) {
			odds = weigh_guess(w, id, codes, words, first && first->pop3) *
			       ((w->meant_best > 0 || w->coded_best > 0.5) && !(first && first->pop3) ? 0.5 : 1);
			worth->said.by |= words > 1 ? EXPLAIN_BY_WORDING : 0U;
			odds *= index_is_named(id) ? 1 : 0.15; /* of the finer names that only mailroom uses */
		}
		odds += weigh_meaning(w, id, codes, worth);
		if (odds <= 0)
			return 0;
		if (first && first->code / 100 == 4 && c->cause_permanent && codes <= 0)
			odds *= 0.6;
	}
	if ((id == CAUSE_COMMAND_UNKNOWN || id == CAUSE_COMMAND_NOT_ENABLED) && worth->said.reply < 0 &&
	    w->context->stage & REPLY_AT_MAILING) /* these every server knows */
		odds *= 0.35;
	if (id == CAUSE_PORT25_OUTBOUND_BLOCKED && w->port25 != w->port_other)
		odds *= w->port25 ? 1.5 : 0.1;
	if (w->context->stage && stages && !(w->context->stage & stages)) {
		odds *= 0.35;
		worth->said.against |= EXPLAIN_BY_STAGE;
	}
	if (w->token_best - words > 4 && w->token_best > 4)
		worth->said.against |= EXPLAIN_BY_WORDING;
	return odds * (1 + 0.03 * c->common);
}

static void weigh_insert(struct explanation *e, const struct explain_candidate *c)
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
static bool weigh_is_consequence(const struct index_hits *hits, const char *pattern)
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
static double weigh_consequence(const struct weighing *w, const struct explain_candidate *c)
{
	size_t mine = 0, other = SIZE_MAX;
	bool follows = false;

	if (w->scan->count < 2 || !c->pattern)
		return 1;
	for (size_t i = 0; i < w->hits->count; i++) {
		const struct index_hit *hit = &w->hits->at[i];

		if (hit->pattern == c->pattern && hit->again) {
			continue;
		} else if (hit->pattern == c->pattern) {
			mine = hit->at;
			follows = weigh_is_consequence(w->hits, c->pattern);
		} else if (hit->at < other && !weigh_is_covered(w->hits, hit) && !weigh_is_consequence(w->hits, hit->pattern)) {
			other = hit->at;
		}
	}
	return follows && (other < mine ||
			   (other < SIZE_MAX && span_find_span(buf_span(&w->scan->words), SPAN_LIT("rejected with")) < w->scan->words.len))
		       ? 0.15
		       : 1;
}

/* what evidence of that kind is worth at most, whatever the odds are */
static double weigh_most(const struct weighing *w, const struct explain_candidate *c, const struct worth *worth)
{
	if (c->by & (EXPLAIN_BY_OWN | EXPLAIN_BY_SLUG))
		return CONFIDENCE_MAX;
	if (!(c->by & EXPLAIN_BY_PATTERN))
		return worth->most;
	if (worth->frame)
		return MOST_FRAME;
	if (c->reply >= 0 && c->against & EXPLAIN_BY_STAGE)
		return MOST_OTHER_TIME;
	if (c->reply >= 0 && w->meant_best >= SURE_SPECIFIC && w->meant[c->cause] <= 0)
		return MOST_CONTESTED;
	if (c->reply >= 0)
		return c->by & (EXPLAIN_BY_CODE | EXPLAIN_BY_ENHANCED | EXPLAIN_BY_EMITTER | EXPLAIN_BY_STAGE) ? CONFIDENCE_MAX
													       : MOST_ALONE;
	if (w->meant_best > 0 && w->meant[c->cause] <= 0)
		return MOST_DOUBTED;
	if (strlen(c->pattern) < 12 && worth->share < 0.2)
		return c->by & EXPLAIN_BY_ENHANCED ? MOST_PATTERN : MOST_PATTERN_BRIEF;
	return c->by & EXPLAIN_BY_ENHANCED || (c->by & EXPLAIN_BY_CODE && worth->share > 0.3) ? CONFIDENCE_MAX : MOST_PATTERN;
}

void explain_settle(struct explanation *e)
{
	for (size_t i = 1; i < e->count; i++) {
		struct explain_candidate c = e->found[i];
		size_t at = i;

		for (; at && e->found[at - 1].confidence < c.confidence; at--)
			e->found[at] = e->found[at - 1];
		e->found[at] = c;
	}
	while (e->count > 1 && e->found[e->count - 1].confidence < e->found[0].confidence * LEAST_OF_FIRST)
		e->count--;
	e->undecided = e->count && (e->found[0].confidence < LEAST_DECIDED ||
				    (e->count > 1 && e->found[0].confidence < NEAR_SECOND * e->found[1].confidence));
}

/* from odds to confidence; the order stays, whatever a kind of evidence is worth */
static void weigh_settle(const struct weighing *w, struct explanation *e, const struct worth *worth, double all)
{
	double before = 1;

	for (size_t i = 0; i < e->count; i++) {
		double *c = &e->found[i].confidence;

		*c = fmin(fmin(*c / all, weigh_most(w, &e->found[i], &worth[e->found[i].cause])), before);
		before = *c;
	}
	explain_settle(e);
}

void weigh_all(struct weighing *w, struct explanation *out)
{
	static const struct worth none = {.said = {.reply = -1}};
	static const struct scan_reply silent = {.code = 0};
	struct worth worth[CAUSE_COUNT];
	struct index_fit fits[CAUSE_COUNT];
	double all = ODDS_NOTHING;
	const struct scan_reply *first = w->scan->count ? weigh_first(w->scan) : &silent;

	w->code_spread = index_codes(first->code, span_str(first->enhanced), first->pop3, fits);
	for (int id = 0; id < CAUSE_COUNT; id++)
		worth[id] = none;
	for (size_t i = 0; i < w->hits->count; i++)
		weigh_hit(w, &w->hits->at[i], worth);
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		double odds = weigh_cause(w, (enum cause_id)id, &worth[id], &fits[id]);

		if (w->scan->quoted == (enum cause_id)id) {
			odds = odds * 1.5 + 0.5;
			worth[id].said.by |= EXPLAIN_BY_SLUG;
		}
		odds *= weigh_consequence(w, &worth[id].said);
		if (odds < 0.03)
			continue;
		all += odds;
		worth[id].said.confidence = odds;
		weigh_insert(out, &worth[id].said);
	}
	weigh_settle(w, out, worth, all);
}
