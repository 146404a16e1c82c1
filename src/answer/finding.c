#include "answer/finding.h"

#include <stdarg.h>

#include "answer/journal.h"
#include "answer/mask.h"

enum { WORDS_BYTES = 4096 };
#define LEAST_OF_WORDS 0.3
#define LEAST_OF_LOG 0.6 /* the lines of a log mostly tell of nothing that is wrong */

void finding_init(struct finding *f)
{
	*f = (struct finding){.e = {.emitter = EXPLAIN_NO_EMITTER, .program = EXPLAIN_NO_EMITTER}};
	buf_init(&f->evidence, 4 * FINDING_LINE_BYTES + 16);
	for (size_t i = 0; i < FINDING_STEPS; i++)
		buf_init(&f->steps[i], 4 * FINDING_LINE_BYTES + 256);
}

void finding_clear(struct finding *f)
{
	buf_clear(&f->evidence);
	for (size_t i = 0; i < FINDING_STEPS; i++)
		buf_clear(&f->steps[i]);
	for (size_t i = 0; i < f->recipient_count; i++) {
		buf_clear(&f->recipients[i].address);
		buf_clear(&f->recipients[i].evidence);
	}
}

void finding_evidence(struct finding *f, struct span line)
{
	buf_reset(&f->evidence);
	mask_line(&f->evidence, span_trim(line), FINDING_LINE_BYTES);
}

void finding_step(struct finding *f, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (f->step_count == FINDING_STEPS)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_add_str(&f->steps[f->step_count++], text);
}

void finding_promote(struct finding *f, enum cause_id cause, double confidence)
{
	struct explanation *e = &f->e;
	struct explain_candidate first = {.cause = cause, .reply = -1};
	size_t at = 0;

	while (at < e->count && e->found[at].cause != cause)
		at++;
	if (at < e->count)
		first = e->found[at];
	else if (e->count < EXPLAIN_FOUND_MAX)
		e->count++;
	if (at == EXPLAIN_FOUND_MAX)
		at--;
	memmove(&e->found[1], &e->found[0], at * sizeof(e->found[0]));
	first.confidence = confidence;
	e->found[0] = first;
	for (size_t i = 1; i < e->count; i++) {
		e->found[i].confidence *= 1 - confidence;
		if (e->found[i].confidence > confidence)
			e->found[i].confidence = confidence;
	}
	e->undecided = false;
}

void finding_speaker(struct finding *f)
{
	const struct explanation *e = &f->e;

	if (e->own)
		f->speaker = SPEAKER_OURS;
	else if (e->count && (e->found[0].cause == CAUSE_IP_DNSBL || e->found[0].cause == CAUSE_DNSBL_QUERY_REFUSED ||
			      e->found[0].cause == CAUSE_DOMAIN_BLOCKLISTED))
		f->speaker = SPEAKER_DNS_LIST;
	else if (e->count && e->found[0].cause == CAUSE_DNS_FAILURE)
		f->speaker = SPEAKER_DNS;
	else if (e->emitter >= 0 && f->speaker != SPEAKER_REMOTE)
		switch ((enum emitter_kind)reply_emitters[e->emitter].kind) {
		case EMITTER_PROVIDER:
		case EMITTER_MTA:
			f->speaker = SPEAKER_SERVER;
			break;
		case EMITTER_MIDDLEBOX:
			f->speaker = SPEAKER_MIDDLEBOX;
			break;
		case EMITTER_FILTER:
			f->speaker = SPEAKER_FILTER;
			break;
		case EMITTER_LIBRARY:
		case EMITTER_CLIENT:
			f->speaker = e->code ? SPEAKER_SERVER : SPEAKER_PROGRAM;
			break;
		}
	else if (f->speaker == SPEAKER_UNKNOWN && e->code)
		f->speaker = SPEAKER_SERVER;
}

/* the longest part of a pattern that stands there as it is */
static struct span finding_literal(const char *pattern)
{
	struct span rest = span_str(pattern), best = SPAN_NONE;

	while (rest.len) {
		struct span part = span_trim(span_cut(&rest, '*'));

		if (part.len > best.len)
			best = part;
	}
	return best;
}

static bool finding_has(struct span line, struct span words)
{
	for (size_t i = 0; i + words.len <= line.len; i++)
		if (span_starts_nocase(span_from(line, i), words))
			return words.len > 0;
	return false;
}

static bool finding_is_code(struct span at)
{
	return at.len >= 3 && (at.ptr[0] == '4' || at.ptr[0] == '5') && byte_is_digit(at.ptr[1]) && byte_is_digit(at.ptr[2]) &&
	       !byte_is_alnum(at.len > 3 ? at.ptr[3] : ' ');
}

/* the line that shows it: with the words that decided, else the first that begins with a refusal's code, that has one, that has words */
static struct span finding_line(struct span text, const struct explanation *e)
{
	struct span words = finding_literal(e->count && e->found[0].pattern ? e->found[0].pattern : "");
	struct span first = SPAN_NONE, coded = SPAN_NONE, code = SPAN_NONE;
	char number[8];

	(void)snprintf(number, sizeof(number), "%u", e->code);
	text = span_head(text, EXPLAIN_INPUT_BYTES);
	while (text.len) {
		struct span line = span_trim(span_cut(&text, '\n'));

		while (line.len && line.ptr[line.len - 1] <= ' ')
			line.len--;
		if (finding_has(line, words))
			return line;
		if (!first.len)
			first = line;
		if (!coded.len && finding_is_code(line))
			coded = line;
		if (!code.len && e->code && finding_has(line, span_str(number)))
			code = line;
	}
	return coded.len ? coded : code.len ? code : first;
}

/* the most frequent cause of several; of one refusal all that may stand behind it */
static void finding_log(struct span text, struct finding *out)
{
	struct journal *j = journal_new();
	struct journal_row row;
	struct span line;

	out->form = FORM_LOG;
	journal_feed(j, text);
	journal_end(j);
	if (journal_first(j, &out->e, &line)) {
		buf_reset(&out->evidence);
		buf_add(&out->evidence, line);
		out->more = journal_counts(j).refusals > 1 ? journal_counts(j).refusals - 1 : 0;
	}
	if (journal_row(j, 1, &row)) {
		out->e.count = 0;
		out->e.undecided = false;
		for (size_t i = 0; i < EXPLAIN_FOUND_MAX && journal_row(j, i, &row); i++) {
			if (i == 0) {
				buf_reset(&out->evidence);
				buf_add(&out->evidence, row.example);
				out->e.emitter = row.emitter;
			}
			out->e.found[out->e.count++] = (struct explain_candidate){
				.cause = row.cause, .confidence = row.confidence, .by = EXPLAIN_BY_LOG, .reply = -1};
		}
	}
	finding_speaker(out);
	journal_free(&j);
}

/* What looks like a log, a bounce or a conversation and has no refusal where such a one has it may still say why in its words. */
static void finding_words(struct span text, struct finding *out)
{
	struct explanation e;

	explain_text(span_head(text, WORDS_BYTES), &e);
	if (!e.count || e.found[0].confidence < (out->form == FORM_LOG ? LEAST_OF_LOG : LEAST_OF_WORDS) ||
	    !(e.found[0].by & (EXPLAIN_BY_PATTERN | EXPLAIN_BY_WORDING)))
		return;
	out->e = e;
	finding_evidence(out, finding_line(text, &out->e));
	finding_speaker(out);
}

void finding_read(struct span text, struct finding *out)
{
	if (journal_is_log(text))
		finding_log(text, out);
	else if (!bounce_read(text, out) && !talk_read(text, out)) {
		out->form = FORM_REPLY;
		explain_text(text, &out->e);
		finding_evidence(out, finding_line(text, &out->e));
		finding_speaker(out);
		return;
	}
	if (!out->e.count && !out->more)
		finding_words(text, out);
}
