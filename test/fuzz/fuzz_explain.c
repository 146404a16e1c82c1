/* The matcher of causes over any text: candidates are sorted, in range and of the catalogue; what it says of them holds nothing of the input; and what our own
 * server would write for the best one (with the input as its facts) is recognised as that cause with certainty. */
#include "fuzz.h"

#include <stdlib.h>

#include "answer/explain.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_order(const struct explanation *e)
{
	must(e->count <= EXPLAIN_FOUND_MAX);
	for (size_t i = 0; i < e->count; i++) {
		must(e->found[i].cause > CAUSE_NONE && e->found[i].cause < CAUSE_COUNT);
		must(e->found[i].confidence >= 0 && e->found[i].confidence <= 1);
		must(i == 0 || e->found[i].confidence <= e->found[i - 1].confidence);
	}
}

static void check_why(const struct explain_candidate *c)
{
	struct buf words;

	buf_init(&words, 4096);
	explain_why(&words, c);
	must(!words.overflow);
	for (size_t i = 0; i < words.len; i++)
		must(words.ptr[i] >= 0x20 && words.ptr[i] < 0x7f);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct explanation e;
	enum cause_id any;

	explain_text(span_of(data, size), &e);
	check_order(&e);
	for (size_t i = 0; i < e.count; i++)
		check_why(&e.found[i]);
	any = e.count ? e.found[0].cause : size ? (enum cause_id)(1 + data[0] % (CAUSE_COUNT - 1)) : CAUSE_AUTH_REQUIRED;
	check_own(any, span_of(data, size));
	return 0;
}
