/* The matcher of causes over any text: candidates are sorted, in range and of the catalogue; what it says of them holds nothing of the
 * input; and what our own server would write for the best one (with the input as its facts) is recognised as that cause with certainty.
 * Then the forms over the same bytes: whatever a bounce, a conversation or a log seems to hold, what comes out is safe to show; a log in
 * pieces is the same as in one. */
#include "fuzz.h"

#include <stdlib.h>

#include "answer/finding.h"
#include "answer/journal.h"
#include "answer/mask.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_order(const struct explanation *e, bool by_confidence)
{
	must(e->count <= EXPLAIN_FOUND_MAX);
	for (size_t i = 0; i < e->count; i++) {
		must(e->found[i].cause > CAUSE_NONE && e->found[i].cause < CAUSE_COUNT);
		must(e->found[i].confidence >= 0 && e->found[i].confidence <= 1);
		must(i == 0 || !by_confidence || e->found[i].confidence <= e->found[i - 1].confidence);
	}
}

static void check_safe(struct span s)
{
	must(span_is_utf8(s));
	for (size_t i = 0; i < s.len; i++)
		must(s.ptr[i] >= 0x20 && s.ptr[i] != 0x7f);
}

static void check_why(const struct explain_candidate *c)
{
	struct buf words;

	buf_init(&words, 4096);
	explain_why(&words, c);
	must(!words.overflow);
	check_safe(buf_span(&words));
	buf_clear(&words);
}

/* hostile facts must not talk the matcher out of a reply that is ours */
static void check_own(enum cause_id cause, struct span text)
{
	const struct cause *c = cause_get(cause);
	const struct cause_facts facts = {.rcpt = text, .sender = text, .detail = text, .command = text};
	struct explanation e;
	struct buf reply;

	if (!c->forms[CAUSE_SMTP].text || c->shown_as != CAUSE_NONE)
		return;
	buf_init(&reply, 65536);
	cause_write_smtp(&reply, cause, CAUSE_SMTP, &facts, SPAN_LIT("8Q2K4M1T"), NULL, 0);
	explain_text(buf_span(&reply), &e);
	must(e.count > 0 && e.own && e.found[0].cause == cause);
	buf_clear(&reply);
}

static void check_forms(struct span text)
{
	struct finding f;
	struct buf masked;

	finding_init(&f);
	finding_read(text, &f);
	check_order(&f.e, f.form != FORM_LOG); /* those of a log are ordered by how often they happened */
	must(!f.evidence.overflow);
	check_safe(buf_span(&f.evidence));
	for (size_t i = 0; i < f.step_count; i++)
		check_safe(buf_span(&f.steps[i]));
	must(f.recipient_count <= FINDING_RECIPIENTS);
	for (size_t i = 0; i < f.recipient_count; i++) {
		check_safe(buf_span(&f.recipients[i].address));
		check_safe(buf_span(&f.recipients[i].evidence));
		must(f.recipients[i].cause < CAUSE_COUNT);
	}
	finding_clear(&f);
	buf_init(&masked, 4 * text.len + 64);
	mask_line(&masked, text, text.len);
	check_safe(buf_span(&masked));
	buf_clear(&masked);
}

static void check_log(struct span text, size_t chunk)
{
	struct journal *whole = journal_new(), *pieces = journal_new();
	struct journal_row a, b;

	journal_feed(whole, text);
	journal_end(whole);
	for (size_t at = 0; at < text.len; at += chunk)
		journal_feed(pieces, span_head(span_from(text, at), chunk));
	journal_end(pieces);
	for (size_t i = 0; journal_row(whole, i, &a); i++) {
		must(journal_row(pieces, i, &b) && a.cause == b.cause && a.count == b.count && span_eq(a.example, b.example));
		check_safe(a.example);
	}
	must(journal_counts(whole).refusals == journal_counts(pieces).refusals &&
	     journal_counts(whole).lines == journal_counts(pieces).lines);
	journal_free(&whole);
	journal_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct explanation e;
	enum cause_id any;

	explain_text(span_of(data, size), &e);
	check_order(&e, true);
	for (size_t i = 0; i < e.count; i++)
		check_why(&e.found[i]);
	any = e.count ? e.found[0].cause : size ? (enum cause_id)(1 + data[0] % (CAUSE_COUNT - 1)) : CAUSE_AUTH_REQUIRED;
	check_own(any, span_of(data, size));
	check_forms(span_of(data, size));
	check_log(span_of(data, size), size ? 1 + data[0] % 61 : 1);
	return 0;
}
