#include "cause/cause.h"

#include "base/limits.h"
#include "cause/cause_render.h"
#include "cause/cause_table.h"

enum {
	TAIL_BYTES = 200, /* the cause ends before this octet of the last line: some programs show no more */
	REF_BYTES = 16,
	BECAUSE_BYTES = 60,
	RULE_BYTES = 40,
	RULE_DOTS_BYTES = 3,
};

const struct cause *cause_get(enum cause_id id)
{
	return id > CAUSE_NONE && id < CAUSE_COUNT ? &cause_table[id] : NULL;
}

const char *cause_slug(enum cause_id id)
{
	const struct cause *c = cause_get(id);

	return c ? c->slug : "";
}

enum cause_id cause_by_slug(struct span slug)
{
	int low = CAUSE_NONE + 1, high = CAUSE_COUNT - 1;

	while (low <= high) {
		int mid = low + (high - low) / 2;
		struct span at = span_str(cause_table[mid].slug);
		size_t len = at.len < slug.len ? at.len : slug.len;
		int order = len ? memcmp(slug.ptr, at.ptr, len) : 0;

		if (order == 0 && slug.len == at.len)
			return (enum cause_id)mid;
		if (order < 0 || (order == 0 && slug.len < at.len))
			high = mid - 1;
		else
			low = mid + 1;
	}
	return CAUSE_NONE;
}

/* the entry that is shown: what a stranger may not learn is shown as another cause */
static enum cause_id cause_shown(enum cause_id id)
{
	if (!cause_get(id))
		return CAUSE_SERVER_TEMP_ERROR;
	return cause_table[id].shown_as ? cause_table[id].shown_as : id;
}

/* The words for that form. A place that has no words of its own borrows them: whoever is refused gets the true cause even
 * where the catalogue did not foresee the place. */
static const struct cause_reply *cause_words(enum cause_id shown, enum cause_form form)
{
	static const enum cause_form order[] = {CAUSE_SMTP, CAUSE_SMTP_CLOSING, CAUSE_SMTP_AUTH};
	const struct cause *c = &cause_table[shown];

	if (c->forms[form].text)
		return &c->forms[form];
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (c->forms[order[i]].text)
			return &c->forms[order[i]];
	return &cause_table[CAUSE_SERVER_TEMP_ERROR].forms[form];
}

unsigned cause_code(enum cause_id id, enum cause_form form)
{
	return form == CAUSE_POP3 ? 0 : cause_words(cause_shown(id), form)->code;
}

/* what stands in the bracket is never believed to be clean: whoever reads it parts it at ";", ":" and ")" */
static void cause_add_word(struct buf *out, struct span word, const char *also, char otherwise)
{
	for (size_t i = 0; i < word.len; i++)
		buf_add_byte(out, byte_is_alnum(word.ptr[i]) || (word.ptr[i] && strchr(also, word.ptr[i])) ? word.ptr[i] : (uint8_t)otherwise);
}

/* of a long domain the end tells more */
static void cause_add_rule(struct buf *out, struct span rule)
{
	buf_add_str(out, "; rule: ");
	if (rule.len > RULE_BYTES) {
		buf_add_str(out, "...");
		rule = span_from(rule, rule.len - (RULE_BYTES - RULE_DOTS_BYTES));
	}
	cause_add_word(out, rule, ".@_-", '-');
}

/* " (slug; ref REF)", " (slug: because; rule: RULE; ref REF)" */
static void cause_add_tail(struct buf *out, enum cause_id shown, const struct cause_facts *facts, struct span ref)
{
	struct span because = facts ? span_head(facts->because, facts->rule.len ? BECAUSE_BYTES - RULE_BYTES / 2 : BECAUSE_BYTES) : SPAN_NONE;

	buf_add_str(out, " (");
	buf_add_str(out, cause_table[shown].slug);
	if (because.len) {
		buf_add_str(out, ": ");
		cause_add_word(out, because, ", ", '-'); /* slugs and what parts them */
	}
	if (facts && facts->rule.len)
		cause_add_rule(out, facts->rule);
	if (ref.len) {
		buf_add_str(out, "; ref ");
		cause_add_word(out, span_head(ref, REF_BYTES), "-", '_');
	}
	buf_add_byte(out, ')');
}

/* `lead` is what stands before the sentence; sentence and tail fit before octet TAIL_BYTES */
static void cause_add_last(struct buf *out, struct span lead, enum cause_id shown, const char *text, const struct cause_facts *facts,
	struct span ref)
{
	struct buf tail;

	buf_init(&tail, TAIL_BYTES);
	cause_add_tail(&tail, shown, facts, ref);
	buf_add(out, lead);
	cause_render(out, text, facts, TAIL_BYTES - 1 - lead.len - tail.len);
	buf_add(out, buf_span(&tail));
	buf_add_str(out, "\r\n");
	buf_clear(&tail);
}

/* "550-5.7.1 " or "550 5.7.1 ": RFC 5321 4.2.1; RFC 2034 4 wants the enhanced code on every line */
static struct span cause_lead(char lead[24], const struct cause_reply *words, char separator)
{
	int n = snprintf(lead, 24, "%03u%c%s ", words->code % 1000, separator, words->enhanced);

	return span_of(lead, n > 0 && n < 24 ? (size_t)n : 0);
}

void cause_write_smtp(struct buf *out, enum cause_id id, enum cause_form form, const struct cause_facts *facts, struct span ref,
	const struct span *middle, size_t middle_count)
{
	enum cause_id shown = cause_shown(id);
	const struct cause_reply *words = cause_words(shown, form);
	const char *next = cause_table[shown].next;
	char lead_text[24];
	struct span lead = cause_lead(lead_text, words, '-');
	size_t room = LIMIT_SMTP_REPLY_LINE_BYTES - 2 - lead.len;

	if (middle_count || next) {
		buf_add(out, lead);
		cause_render(out, words->text, facts, room);
		buf_add_str(out, "\r\n");
	}
	for (size_t i = 0; i < middle_count; i++) {
		buf_add(out, lead);
		cause_render_safe(out, middle[i], facts && facts->utf8, room);
		buf_add_str(out, "\r\n");
	}
	if (next) {
		buf_add(out, lead);
		cause_render(out, next, facts, room);
		buf_add_str(out, "\r\n");
	}
	cause_add_last(out, cause_lead(lead_text, words, ' '), shown, words->text, facts, ref);
}

void cause_write_pop3(struct buf *out, enum cause_id id, const struct cause_facts *facts, struct span ref)
{
	enum cause_id shown = cause_shown(id);
	const struct cause_reply *words = cause_words(shown, CAUSE_POP3);
	char lead[32] = "-ERR ";
	int n = 5;

	if (words->code == 0 && words->enhanced[0]) /* RFC 2449 8: [CODE] stands first; borrowed SMTP words have none */
		n = snprintf(lead, sizeof(lead), "-ERR [%s] ", words->enhanced);
	cause_add_last(out, span_of(lead, (size_t)n), shown, words->text, facts, ref);
}

void cause_write_sentence(struct buf *out, enum cause_id id, enum cause_form form, const struct cause_facts *facts, size_t max)
{
	cause_render(out, cause_words(cause_shown(id), form)->text, facts, max);
}
