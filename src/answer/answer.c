/* answer - the library's door: include/mailroom/answer.h over finding.h and journal.h. */
#include <mailroom/answer.h>

#include "answer/finding.h"
#include "base/mem.h"

enum { WHY_BYTES = 1024 };

struct mailroom_answer {
	struct finding f;
	struct buf why[EXPLAIN_FOUND_MAX], against[EXPLAIN_FOUND_MAX], ask;
	bool cut;
};

const char *mailroom_answer_version(void)
{
	return MAILROOM_VERSION;
}

int mailroom_answer_abi(void)
{
	return MAILROOM_ANSWER_ABI;
}

/* what the text and what happened before say against a cause */
static void answer_against(struct buf *out, const struct finding *f, size_t cause)
{
	const char *words;

	explain_against(out, &f->e, &f->e.found[cause]);
	for (size_t from = 0; (words = facts_against(&f->facts, f->e.found[cause].cause, &from));)
		buf_printf(out, "%s%s", out->len ? ", " : "", words);
}

struct mailroom_answer *mailroom_answer_text(const void *text, size_t bytes)
{
	struct mailroom_answer *a = mem_zalloc(sizeof(*a));

	finding_init(&a->f);
	finding_read(span_head(span_of(text, text ? bytes : 0), MAILROOM_ANSWER_BYTES), &a->f);
	a->cut = bytes > MAILROOM_ANSWER_BYTES || a->f.e.cut;
	for (size_t i = 0; i < EXPLAIN_FOUND_MAX; i++) {
		buf_init(&a->why[i], WHY_BYTES);
		buf_init(&a->against[i], WHY_BYTES);
		if (i < a->f.e.count) {
			explain_why(&a->why[i], &a->f.e.found[i]);
			answer_against(&a->against[i], &a->f, i);
		}
		(void)buf_cstr(&a->why[i]);
		(void)buf_cstr(&a->against[i]);
	}
	buf_init(&a->ask, WHY_BYTES);
	explain_ask(&a->ask, &a->f.e);
	(void)buf_cstr(&a->ask);
	(void)buf_cstr(&a->f.evidence);
	for (size_t i = 0; i < FINDING_STEPS; i++)
		(void)buf_cstr(&a->f.steps[i]);
	for (size_t i = 0; i < a->f.recipient_count; i++) {
		(void)buf_cstr(&a->f.recipients[i].address);
		(void)buf_cstr(&a->f.recipients[i].evidence);
	}
	return a;
}

void mailroom_answer_free(struct mailroom_answer *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < EXPLAIN_FOUND_MAX; i++)
		buf_clear(&a->why[i]);
	for (size_t i = 0; i < EXPLAIN_FOUND_MAX; i++)
		buf_clear(&a->against[i]);
	buf_clear(&a->ask);
	finding_clear(&a->f);
	free(a);
}

/* ended with a NUL when the handle was made */
static const char *answer_text_of(const struct buf *b)
{
	return b->ptr && !b->overflow ? (const char *)b->ptr : "";
}

enum mailroom_answer_form mailroom_answer_form(const struct mailroom_answer *a)
{
	static const enum mailroom_answer_form forms[] = {[FORM_REPLY] = MAILROOM_ANSWER_REPLY,
							  [FORM_BOUNCE] = MAILROOM_ANSWER_BOUNCE,
							  [FORM_TRANSCRIPT] = MAILROOM_ANSWER_TRANSCRIPT,
							  [FORM_LOG] = MAILROOM_ANSWER_LOG};

	return a ? forms[a->f.form] : MAILROOM_ANSWER_REPLY;
}

size_t mailroom_answer_count(const struct mailroom_answer *a)
{
	return a ? a->f.e.count : 0;
}

int mailroom_answer_is_undecided(const struct mailroom_answer *a)
{
	return a && a->f.e.undecided;
}

const char *mailroom_answer_verdict(const struct mailroom_answer *a)
{
	return cause_slug(a && a->f.e.count && !a->f.e.undecided ? a->f.e.found[0].cause : CAUSE_INSUFFICIENT_TEXT);
}

const char *mailroom_answer_ask(const struct mailroom_answer *a)
{
	return a ? answer_text_of(&a->ask) : NULL;
}

const char *mailroom_answer_evidence(const struct mailroom_answer *a)
{
	return a ? answer_text_of(&a->f.evidence) : NULL;
}

const char *mailroom_answer_emitter(const struct mailroom_answer *a)
{
	if (!a)
		return NULL;
	return a->f.e.own ? "mailroom" : a->f.e.emitter < 0 ? "unknown" : reply_text(reply_emitters[a->f.e.emitter].slug);
}

const char *mailroom_answer_emitter_name(const struct mailroom_answer *a)
{
	if (!a)
		return NULL;
	return a->f.e.own ? "mailroom" : a->f.e.emitter < 0 ? "" : reply_text(reply_emitters[a->f.e.emitter].name);
}

const char *mailroom_answer_speaker(const struct mailroom_answer *a)
{
	static const char *const names[] = {[SPEAKER_UNKNOWN] = "unknown",     [SPEAKER_SERVER] = "server", [SPEAKER_PROGRAM] = "program",
					    [SPEAKER_MIDDLEBOX] = "middlebox", [SPEAKER_FILTER] = "filter", [SPEAKER_REMOTE] = "remote",
					    [SPEAKER_DNS_LIST] = "dns-list",   [SPEAKER_DNS] = "dns",	    [SPEAKER_OURS] = "mailroom"};

	return a ? names[a->f.speaker] : NULL;
}

unsigned mailroom_answer_code(const struct mailroom_answer *a)
{
	return a ? a->f.e.code : 0;
}

const char *mailroom_answer_enhanced(const struct mailroom_answer *a)
{
	return a ? a->f.e.enhanced : NULL;
}

size_t mailroom_answer_step_count(const struct mailroom_answer *a)
{
	return a ? a->f.step_count : 0;
}

const char *mailroom_answer_step(const struct mailroom_answer *a, size_t step)
{
	return a && step < a->f.step_count ? answer_text_of(&a->f.steps[step]) : NULL;
}

size_t mailroom_answer_more(const struct mailroom_answer *a)
{
	return a ? a->f.more : 0;
}

static const struct finding_recipient *answer_recipient(const struct mailroom_answer *a, size_t recipient)
{
	return a && recipient < a->f.recipient_count ? &a->f.recipients[recipient] : NULL;
}

size_t mailroom_answer_recipient_count(const struct mailroom_answer *a)
{
	return a ? a->f.recipient_count : 0;
}

const char *mailroom_answer_recipient(const struct mailroom_answer *a, size_t recipient)
{
	const struct finding_recipient *r = answer_recipient(a, recipient);

	return r ? answer_text_of(&r->address) : NULL;
}

const char *mailroom_answer_recipient_slug(const struct mailroom_answer *a, size_t recipient)
{
	const struct finding_recipient *r = answer_recipient(a, recipient);

	return r ? cause_slug(r->cause) : NULL;
}

double mailroom_answer_recipient_confidence(const struct mailroom_answer *a, size_t recipient)
{
	const struct finding_recipient *r = answer_recipient(a, recipient);

	return r ? r->confidence : 0;
}

const char *mailroom_answer_recipient_evidence(const struct mailroom_answer *a, size_t recipient)
{
	const struct finding_recipient *r = answer_recipient(a, recipient);

	return r ? answer_text_of(&r->evidence) : NULL;
}

int mailroom_answer_is_cut(const struct mailroom_answer *a)
{
	return a && a->cut;
}

static const struct explain_candidate *answer_cause(const struct mailroom_answer *a, size_t cause)
{
	return a && cause < a->f.e.count ? &a->f.e.found[cause] : NULL;
}

static const struct reply_pattern *answer_reply(const struct mailroom_answer *a, size_t cause)
{
	const struct explain_candidate *c = answer_cause(a, cause);

	return c && c->reply >= 0 ? &reply_patterns[c->reply] : NULL;
}

const char *mailroom_answer_slug(const struct mailroom_answer *a, size_t cause)
{
	const struct explain_candidate *c = answer_cause(a, cause);

	return c ? cause_slug(c->cause) : NULL;
}

double mailroom_answer_confidence(const struct mailroom_answer *a, size_t cause)
{
	const struct explain_candidate *c = answer_cause(a, cause);

	return c ? c->confidence : 0;
}

const char *mailroom_answer_why(const struct mailroom_answer *a, size_t cause)
{
	return answer_cause(a, cause) ? answer_text_of(&a->why[cause]) : NULL;
}

const char *mailroom_answer_against(const struct mailroom_answer *a, size_t cause)
{
	return answer_cause(a, cause) ? answer_text_of(&a->against[cause]) : NULL;
}

const char *mailroom_answer_note(const struct mailroom_answer *a, size_t cause)
{
	const struct reply_pattern *p = answer_reply(a, cause);

	return p ? reply_text(p->note) : answer_cause(a, cause) ? "" : NULL;
}

const char *mailroom_answer_known_from(const struct mailroom_answer *a, size_t cause)
{
	const struct reply_pattern *p = answer_reply(a, cause);

	return p ? reply_text(p->source) : answer_cause(a, cause) ? "" : NULL;
}

static const struct cause *answer_entry(const char *slug)
{
	return slug ? cause_get(cause_by_slug(span_str(slug))) : NULL;
}

const char *mailroom_cause_meaning(const char *slug)
{
	const struct cause *c = answer_entry(slug);

	return c ? c->meaning : NULL;
}

const char *mailroom_cause_likely(const char *slug, size_t index)
{
	const struct cause *c = answer_entry(slug);
	size_t i = 0;

	while (c && i < index && c->likely[i])
		i++;
	return c ? c->likely[i] : NULL;
}

static const struct cause_advice *answer_advice(const char *slug, size_t index)
{
	const struct cause *c = answer_entry(slug);
	size_t i = 0;

	while (c && i < index && c->fixes[i].who)
		i++;
	return c && c->fixes[i].who ? &c->fixes[i] : NULL;
}

const char *mailroom_cause_fix_who(const char *slug, size_t index)
{
	const struct cause_advice *advice = answer_advice(slug, index);

	return advice ? advice->who : NULL;
}

const char *mailroom_cause_fix_what(const char *slug, size_t index)
{
	const struct cause_advice *advice = answer_advice(slug, index);

	return advice ? advice->what : NULL;
}

const char *mailroom_cause_retry(const char *slug)
{
	const struct cause *c = answer_entry(slug);

	return c ? c->retry : NULL;
}

const char *mailroom_cause_source(const char *slug)
{
	const struct cause *c = answer_entry(slug);

	return c ? c->source : NULL;
}

int mailroom_cause_is_permanent(const char *slug)
{
	const struct cause *c = answer_entry(slug);

	return c && c->cause_permanent;
}

int mailroom_cause_code_is_permanent(const char *slug)
{
	const struct cause *c = answer_entry(slug);

	return c && c->code_permanent;
}
