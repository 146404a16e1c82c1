#include "answer/explain.h"

#include "answer/explain_weigh.h"

#define LEAST_OF_INNER 0.5
#define LEAST_WITHOUT_CODE 0.2 /* a few words that might mean anything are no answer */

static void explain_one(struct explanation *e, enum cause_id cause, double confidence, unsigned by)
{
	e->count = 1;
	e->undecided = false;
	e->found[0] = (struct explain_candidate){.cause = cause, .confidence = confidence, .by = by, .reply = -1};
}

/* of those that are recognised: servers and filters said it, programs and libraries showed it */
static void explain_who(const struct index_hits *hits, const struct explain_context *context, struct explanation *out)
{
	if (out->emitter < 0)
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

static void explain_nothing(struct explanation *e)
{
	e->count = 0;
	e->undecided = false;
}

/* "in reply to RCPT TO command" and the like, as servers add it to what they quote; how programs and libraries say what they were doing */
static const struct {
	const char *words;
	unsigned stage;
} explain_stages[] = {
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
	{"failed to issue mail command", REPLY_AT_MAIL},
	{"mail from command failed", REPLY_AT_MAIL},
	{"smtpsenderrefused", REPLY_AT_MAIL},
	{"smtpsenderfailedexception", REPLY_AT_MAIL},
	{"sendernotaccepted", REPLY_AT_MAIL},
	{"command: 'mail from", REPLY_AT_MAIL},
	{"failed to issue rcpt", REPLY_AT_RCPT},
	{"rcpt to command failed", REPLY_AT_RCPT},
	{"smtprecipientsrefused", REPLY_AT_RCPT},
	{"smtpaddressfailedexception", REPLY_AT_RCPT},
	{"recipientnotaccepted", REPLY_AT_RCPT},
	{"command: 'rcpt to", REPLY_AT_RCPT},
	{"could not send email 1: rcpt:", REPLY_AT_RCPT},
	{"data end command failed", REPLY_AT_END},
	{"smtpdataerror", REPLY_AT_DATA | REPLY_AT_END},
	{"command: 'data", REPLY_AT_DATA | REPLY_AT_END},
	{"could not send email 1: auth:", REPLY_AT_AUTH},
	{"in response to auth", REPLY_AT_AUTH},
	{"smtpauthenticationerror", REPLY_AT_AUTH},
	{"command: 'auth", REPLY_AT_AUTH},
	{"command \"auth", REPLY_AT_AUTH},
};

static unsigned explain_stage(struct span words)
{
	for (size_t i = 0; i < sizeof(explain_stages) / sizeof(explain_stages[0]); i++)
		if (span_find_span(words, span_str(explain_stages[i].words)) < words.len)
			return explain_stages[i].stage;
	return 0;
}

/* "'550 no', Port: 25" without what stands behind the quotation */
static struct span explain_unquote(struct span text)
{
	if (text.len == 0 || (text.ptr[0] != '\'' && text.ptr[0] != '"'))
		return text;
	for (size_t i = 1; i + 1 < text.len; i++)
		if (text.ptr[i] == text.ptr[0] && strchr(",;)}\n", text.ptr[i + 1]) && text.ptr[i + 1])
			return span_of(text.ptr + 1, i - 1);
	return text;
}

static void explain_part(struct span input, const struct explain_context *context, bool whole, struct explanation *out);

/* Of a reply that quotes another one, that one is the reason, where its words alone decide. */
static bool explain_inner(struct span input, const struct scan *s, const struct explain_context *context, struct explanation *out)
{
	struct explanation inner;
	struct span text;

	if (!s->inner_text || s->inner_text == input.ptr)
		return false;
	text = span_from(input, (size_t)(s->inner_text - input.ptr));
	explain_part(explain_unquote(text), context, false, &inner);
	if (!inner.count || inner.undecided || inner.own || inner.found[0].confidence < LEAST_OF_INNER)
		return false;
	inner.cut = out->cut;
	*out = inner;
	return true;
}

/* whole: a reply that it quotes is looked at by itself */
static void explain_part(struct span input, const struct explain_context *context, bool whole, struct explanation *out)
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
	} else if (!whole || !explain_inner(input, &s, &known, out)) {
		w.scan = &s;
		w.hits = &hits;
		weigh_look(&w);
		weigh_all(&w, out);
		if (!s.count && out->count && !(out->found[0].by & EXPLAIN_BY_PATTERN) && out->found[0].confidence < LEAST_WITHOUT_CODE)
			explain_nothing(out);
	}
	explain_who(&hits, w.context, out);
	scan_clear(&s);
}

void explain_text_in(struct span input, const struct explain_context *context, struct explanation *out)
{
	explain_part(input, context, true, out);
}

void explain_text(struct span input, struct explanation *out)
{
	explain_text_in(input, NULL, out);
}

void explain_ask(struct buf *out, const struct explanation *e)
{
	size_t said = 0;

	for (size_t i = 0; i < e->count; i++) {
		const char *ask = e->found[i].reply >= 0 ? reply_text(reply_patterns[e->found[i].reply].ask) : "";

		if (ask[0]) {
			buf_add_str(out, ask);
			return;
		}
	}
	for (size_t i = 0; i < e->count && i < 3; i++) {
		const char *probe = cause_probes[e->found[i].cause];

		if (!probe)
			continue;
		buf_printf(out, "%s%s: %s", said++ ? " " : "", cause_slug(e->found[i].cause), probe);
	}
	if (said < 2) {
		buf_reset(out);
		buf_add_str(out, cause_get(CAUSE_INSUFFICIENT_TEXT)->fixes[0].what);
	}
}

void explain_against(struct buf *out, const struct explanation *e, const struct explain_candidate *c)
{
	const char *between = "";

	if (c->against & EXPLAIN_BY_CODE && e->code) {
		buf_printf(out, "the code %u, which mostly goes with others", e->code);
		between = ", ";
	}
	if (c->against & EXPLAIN_BY_ENHANCED && e->enhanced[0]) {
		buf_printf(out, "%s%s, which mostly goes with others", between, e->enhanced);
		between = ", ";
	}
	if (c->against & EXPLAIN_BY_STAGE) {
		buf_printf(out, "%sthe moment at which it was said", between);
		between = ", ";
	}
	if (c->against & EXPLAIN_BY_WORDING) {
		buf_printf(out, "%ssingle words that point elsewhere", between);
		between = ", ";
	}
	if (e->code >= 400 && e->code < 500 && cause_get(c->cause)->cause_permanent && cause_get(c->cause)->code_permanent)
		buf_printf(out, "%sthe code %u says for a while, and this stays until somebody changes it", between, e->code);
}

/* of "550 5.7.1" what the text has, too */
static void explain_say_hint(struct buf *out, const char *between, const struct explain_candidate *c)
{
	struct span hint = span_str(c->hint);
	size_t blank = span_find(hint, ' ');

	if (!byte_is_digit(hint.ptr[0])) {
		buf_printf(out, "%sthe reply ", between);
	} else {
		buf_printf(out, "%sthe code ", between);
		if (blank < hint.len && !c->hint_enhanced)
			hint = span_head(hint, blank);
		else if (blank < hint.len && !c->hint_code)
			hint = span_from(hint, blank + 1);
	}
	buf_add(out, hint);
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
		explain_say_hint(out, between, c);
		between = ", ";
	}
	if (!c->hint && !c->pattern && c->by & EXPLAIN_BY_CODE) {
		buf_printf(out, "%swhat its code stands for", between);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_STAGE) {
		buf_printf(out, "%sthe moment at which it was said", between);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_EMITTER) {
		buf_printf(out, "%swho said it", between);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_LOG) {
		buf_printf(out, "%swhat the log line is about", between);
		between = ", ";
	}
	if (c->by & EXPLAIN_BY_TALK)
		buf_printf(out, "%swhat happened before", between);
}
