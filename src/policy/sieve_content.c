/* The tests that look into the body (RFC 5173) and at attachments (vnd.mailroom.attachment). */
#include "policy/sieve_exec.h"

/* RFC 5173 5.2: "" is every part, "text" all of a type, "text/html" one; anything else none */
static bool type_wanted(struct span want, const struct sieve_part *p)
{
	size_t slash = span_find(want, '/');

	if (want.len == 0)
		return true;
	if (slash == want.len)
		return span_eq_nocase(want, p->type);
	return span_eq_nocase(span_head(want, slash), p->type) && span_eq_nocase(span_from(want, slash + 1), p->subtype);
}

static bool part_wanted(struct sieve_run *r, const struct sieve_node *n, const struct sieve_part *p)
{
	const struct sieve_value *types = sieve_node_param(n, SIEVE_TAG_BODY_CONTENT);

	if (p->multipart)
		return false;
	for (unsigned i = 0; types && i < types->count; i++)
		if (type_wanted(sieve_expand(r, n, &types->strings[i]), p))
			return true;
	return !types;
}

static bool match_body(struct sieve_run *r, struct sieve_match *m, unsigned part, enum sieve_body form)
{
	struct span text;

	return sieve_run_spend(r, m->node, SIEVE_STEPS_FIELD) && r->m->ops->body(r->m->owner, part, form, &text) &&
	       sieve_run_spend(r, m->node, text.len / SIEVE_STEPS_VALUE) && sieve_match_value(r, m, text);
}

bool sieve_test_body(struct sieve_run *r, const struct sieve_node *n)
{
	enum sieve_body form = sieve_node_has(n, SIEVE_TAG_BODY_CONTENT) ? SIEVE_BODY_CONTENT : SIEVE_BODY_TEXT;
	struct sieve_match m;
	struct sieve_part p;

	if (!sieve_match_init(r, n, &n->args[0], &m))
		return false;
	m.no_captures = true;
	if (sieve_node_has(n, SIEVE_TAG_BODY_RAW))
		return (match_body(r, &m, 0, SIEVE_BODY_RAW) || sieve_match_end(r, &m)) && !r->ended;
	for (unsigned part = 0; r->m->ops->part(r->m->owner, part, &p) && sieve_run_spend(r, n, 1); part++)
		if (part_wanted(r, n, &p) && match_body(r, &m, part, form))
			return !r->ended;
	return sieve_match_end(r, &m);
}

static bool match_any(struct sieve_run *r, struct sieve_match *m, const struct span *values, size_t count)
{
	for (size_t i = 0; i < count && !r->ended; i++)
		if (sieve_match_value(r, m, values[i]))
			return true;
	return false;
}

/* any of what the tags name; names where they name nothing */
static bool match_attachment(struct sieve_run *r, struct sieve_match *m, const struct sieve_attachment *a)
{
	const struct sieve_node *n = m->node;
	bool plain = !(n->tags & (SIEVE_TAG(FILE_TYPE) | SIEVE_TAG(FILE_CONTENT) | SIEVE_TAG(FILE_INSIDE)));

	return ((plain || sieve_node_has(n, SIEVE_TAG_FILE_NAME)) && match_any(r, m, a->names, a->name_count)) ||
	       (sieve_node_has(n, SIEVE_TAG_FILE_TYPE) && match_any(r, m, &a->type, 1)) ||
	       (sieve_node_has(n, SIEVE_TAG_FILE_CONTENT) && match_any(r, m, a->content, a->content_count)) ||
	       (sieve_node_has(n, SIEVE_TAG_FILE_INSIDE) && match_any(r, m, a->inside, a->inside_count));
}

bool sieve_test_attachment(struct sieve_run *r, const struct sieve_node *n)
{
	bool facts = n->tags & (SIEVE_TAG(UNREADABLE) | SIEVE_TAG(ENCRYPTED));
	struct sieve_attachment a = {.names = NULL};
	struct sieve_match m;

	if (!facts && !sieve_match_init(r, n, &n->args[0], &m))
		return false;
	for (unsigned i = 0; sieve_run_spend(r, n, SIEVE_STEPS_FIELD) && r->m->ops->attachment(r->m->owner, i, &a); i++) {
		if (facts && ((sieve_node_has(n, SIEVE_TAG_UNREADABLE) && a.unreadable) || (sieve_node_has(n, SIEVE_TAG_ENCRYPTED) && a.encrypted)))
			return true;
		if (!facts && match_attachment(r, &m, &a))
			return !r->ended;
		a = (struct sieve_attachment){.names = NULL};
	}
	return !facts && sieve_match_end(r, &m);
}
