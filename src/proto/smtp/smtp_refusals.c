/* A refusal remembers: what was refused in this transaction, and the 503 that names it when DATA or BDAT comes all the same. */
#include "proto/smtp/smtp_internal.h"

enum { SHOWN_MAX = 5, NEXT_MAX = 2, LINE_MAX_BYTES = 440, TEXT_MAX_BYTES = 8 << 10, DETAIL_BYTES = 400 };

/* how an entry appears to the peer */
static enum cause_id smtp_refusals_shown(enum cause_id cause)
{
	const struct cause *c = cause_get(cause);

	return c && c->shown_as != CAUSE_NONE ? c->shown_as : cause;
}

static struct smtp_refusals *smtp_refusals_get(struct smtp_in *s)
{
	if (!s->refusals)
		s->refusals = arena_zalloc(&s->envelope, sizeof(*s->refusals));
	return s->refusals;
}

static void smtp_refusals_fill(struct smtp_in *s, struct smtp_refusal *to, enum cause_id cause, const struct cause_facts *facts, struct span who)
{
	struct cause_facts apart = *facts;
	struct buf sentence;

	apart.rcpt = apart.sender = SPAN_NONE; /* `who` says it */
	buf_init(&sentence, SMTP_SENTENCE_BYTES * 2);
	cause_write_sentence(&sentence, cause, CAUSE_SMTP, &apart, SMTP_SENTENCE_BYTES);
	to->cause = smtp_refusals_shown(cause);
	to->form = CAUSE_SMTP;
	to->who = arena_copy(&s->envelope, span_head(who, SMTP_SHOWN_BYTES));
	to->rule = facts->rule.len ? arena_copy(&s->envelope, span_head(facts->rule, SMTP_RULE_BYTES)) : SPAN_NONE;
	to->sentence = arena_copy(&s->envelope, buf_span(&sentence));
	buf_clear(&sentence);
}

void smtp_refusals_mail(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	struct smtp_refusals *r = smtp_refusals_get(s);

	if (!r)
		return;
	r->has_mail = true;
	smtp_refusals_fill(s, &r->mail, cause, facts, facts->sender);
}

void smtp_refusals_rcpt(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	struct smtp_refusals *r = smtp_refusals_get(s);
	enum cause_id shown = smtp_refusals_shown(cause);
	uint32_t i = 0;

	if (!r)
		return;
	r->total++;
	if (r->kept_count < LIMIT_SMTP_REFUSALS_KEPT)
		smtp_refusals_fill(s, &r->kept[r->kept_count++], cause, facts, facts->rcpt);
	while (i < r->cause_count && r->causes[i].cause != shown)
		i++;
	if (i == r->cause_count && i < SMTP_CAUSES_KEPT)
		r->causes[r->cause_count++].cause = shown;
	if (i < SMTP_CAUSES_KEPT)
		r->causes[i].count++;
}

/* causes that end when the user signs in: when any was among them, the answer is to sign in */
static bool smtp_refusals_is_auth(enum cause_id cause)
{
	static const enum cause_id wanted[] = {CAUSE_RELAY_DENIED_UNAUTH, CAUSE_AUTH_REQUIRED, CAUSE_SUBMISSION_ON_PORT_25};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (cause == wanted[i])
			return true;
	return false;
}

/* the one that speaks for all: MAIL's, else the first that asks for sign-in, else the first */
static const struct smtp_refusal *smtp_refusals_lead(const struct smtp_refusals *r)
{
	if (r->has_mail)
		return &r->mail;
	for (uint32_t i = 0; i < r->kept_count; i++)
		if (smtp_refusals_is_auth(r->kept[i].cause))
			return &r->kept[i];
	return &r->kept[0];
}

/* "friend@example.com: Sign in first ..."; "friend@example.com and 2 more: Sign in first ..." */
static void smtp_refusals_detail(const struct smtp_refusals *r, struct buf *out)
{
	const struct smtp_refusal *lead = smtp_refusals_lead(r);

	buf_add(out, lead->who);
	if (!r->has_mail && r->total > 1)
		buf_printf(out, " and %u more", r->total - 1);
	buf_add_str(out, lead->who.len ? ": " : "");
	buf_add(out, lead->sentence);
}

/* the causes behind it, the one that leads first */
static void smtp_refusals_because(const struct smtp_refusals *r, struct buf *out)
{
	enum cause_id lead = smtp_refusals_lead(r)->cause;

	buf_add_str(out, cause_slug(lead));
	for (uint32_t i = 0; !r->has_mail && i < r->cause_count; i++)
		if (r->causes[i].cause != lead)
			buf_printf(out, ", %s", cause_slug(r->causes[i].cause));
}

struct refusals_lines {
	struct buf text;
	struct span at[SHOWN_MAX + NEXT_MAX + 2]; /* offsets until the text is complete: ptr unused */
	size_t start[SHOWN_MAX + NEXT_MAX + 2];
	size_t count;
};

static void smtp_refusals_line_end(struct refusals_lines *l)
{
	size_t start = l->count ? l->start[l->count - 1] + l->at[l->count - 1].len : 0;

	if (l->text.len - start > LINE_MAX_BYTES)
		l->text.len = start + LINE_MAX_BYTES;
	l->start[l->count] = start;
	l->at[l->count++].len = l->text.len - start;
}

static void smtp_refusals_line(struct refusals_lines *l, const char *verb, const struct smtp_refusal *r)
{
	const struct cause_reply *words = &cause_get(r->cause)->forms[r->form];

	buf_printf(&l->text, "%s <", verb);
	buf_add(&l->text, r->who);
	buf_printf(&l->text, ">: %u %s ", cause_code(r->cause, r->form), words->text ? words->enhanced : "");
	buf_add(&l->text, r->sentence);
	buf_printf(&l->text, " (%s", cause_slug(r->cause));
	if (r->rule.len) {
		buf_add_str(&l->text, "; rule: ");
		buf_add(&l->text, r->rule);
	}
	buf_add_str(&l->text, ")");
	smtp_refusals_line_end(l);
}

/* the next steps of the causes at work, each once */
static void smtp_refusals_next_steps(const struct smtp_refusals *r, struct refusals_lines *l)
{
	size_t steps = 0;

	for (uint32_t i = 0; i < (r->has_mail ? 1 : r->cause_count) && steps < NEXT_MAX; i++) {
		const struct cause *c = cause_get(r->has_mail ? r->mail.cause : r->causes[i].cause);

		if (!c->next || strchr(c->next, '{')) /* what needs facts was told with the refusal itself */
			continue;
		buf_add_str(&l->text, c->next);
		smtp_refusals_line_end(l);
		steps++;
	}
}

void smtp_refusals_explain(struct smtp_in *s, enum cause_id outer)
{
	const struct smtp_refusals *r = s->refusals;
	struct refusals_lines lines = {.count = 0};
	struct cause_facts facts = {0};
	struct buf detail, because;

	buf_init(&detail, DETAIL_BYTES + SMTP_SENTENCE_BYTES * 2);
	buf_init(&because, DETAIL_BYTES);
	buf_init(&lines.text, TEXT_MAX_BYTES);
	smtp_refusals_detail(r, &detail);
	smtp_refusals_because(r, &because);
	if (r->has_mail)
		smtp_refusals_line(&lines, "MAIL", &r->mail);
	for (uint32_t i = 0; i < r->kept_count && i < SHOWN_MAX; i++)
		smtp_refusals_line(&lines, "RCPT", &r->kept[i]);
	if (r->total > SHOWN_MAX) {
		buf_printf(&lines.text, "and %u more", r->total - SHOWN_MAX);
		smtp_refusals_line_end(&lines);
	}
	smtp_refusals_next_steps(r, &lines);
	for (size_t i = 0; i < lines.count; i++)
		lines.at[i].ptr = lines.text.ptr + lines.start[i];
	facts.detail = buf_span(&detail);
	facts.because = buf_span(&because);
	facts.rcpt = r->total ? r->kept[0].who : SPAN_NONE;
	facts.rule = smtp_refusals_lead(r)->rule;
	smtp_refuse_lines(s, outer, &facts, lines.at, lines.count);
	buf_clear(&detail);
	buf_clear(&because);
	buf_clear(&lines.text);
}
