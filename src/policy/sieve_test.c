/* The tests that look into headers and the envelope. */
#include "mail/words.h"
#include "policy/sieve_exec.h"

/* --- fields --- */

/* the next field whatever :index says */
static bool walk_step(struct sieve_walk *w, struct sieve_field *out, unsigned *part_out)
{
	struct sieve_run *r = w->r;

	for (; w->part < w->end; w->part++, w->nth = 0) {
		*out = (struct sieve_field){.raw = SPAN_NONE};
		if (w->nth < LIMIT_SIEVE_FIELDS && r->m->ops->field(r->m->owner, w->part, w->name, w->nth, out)) {
			w->nth++;
			*part_out = w->part;
			return sieve_run_spend(r, w->node, SIEVE_STEPS_FIELD + out->raw.len);
		}
		if (!sieve_run_spend(r, w->node, SIEVE_STEPS_FIELD))
			return false;
		/* what addheader added counts as being there (RFC 5293 3) */
		while (w->part == 0 && w->added < r->action_count) {
			const struct sieve_action *a = &r->actions[w->added++];

			if (a->act == SIEVE_ADDHEADER && span_eq_nocase(a->text, w->name)) {
				out->raw = out->decoded = a->value;
				*part_out = 0;
				return true;
			}
		}
	}
	return false;
}

void sieve_walk_begin(struct sieve_run *r, const struct sieve_node *n, struct span name, struct sieve_walk *w)
{
	struct sieve_field field;
	struct sieve_part p;
	unsigned part;

	*w = (struct sieve_walk){.r = r, .node = n, .name = name};
	if (sieve_node_has(n, SIEVE_TAG_MIME))
		w->part = r->part;
	w->end = w->part + 1;
	if (sieve_node_has(n, SIEVE_TAG_ANYCHILD) && r->m->ops->part(r->m->owner, w->part, &p))
		w->end = p.end;
	if (sieve_node_has(n, SIEVE_TAG_INDEX_LAST)) {
		struct sieve_walk all = *w;

		while (walk_step(&all, &field, &part))
			w->total++;
	}
}

bool sieve_walk_next(struct sieve_walk *w, struct sieve_field *out, unsigned *part_out)
{
	const struct sieve_value *index = sieve_node_param(w->node, SIEVE_TAG_INDEX);

	while (walk_step(w, out, part_out)) {
		uint64_t at = ++w->seen;

		if (!index || (sieve_node_has(w->node, SIEVE_TAG_INDEX_LAST) ? w->total + 1 - at : at) == index->number)
			return true;
	}
	return false;
}

bool sieve_test_exists(struct sieve_run *r, const struct sieve_node *n)
{
	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct sieve_field field;
		struct sieve_walk w;
		unsigned part;

		sieve_walk_begin(r, n, sieve_expand(r, n, &n->args[0].strings[i]), &w);
		if (!sieve_walk_next(&w, &field, &part))
			return false;
	}
	return true;
}

/* does any of the fields that the first argument names match? */
static bool test_fields(struct sieve_run *r, const struct sieve_node *n,
	bool (*match)(struct sieve_run *r, struct sieve_match *m, const struct sieve_walk *w, const struct sieve_field *f, unsigned part))
{
	struct sieve_match m;

	if (!sieve_match_init(r, n, &n->args[1], &m))
		return false;
	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct sieve_field field;
		struct sieve_walk w;
		unsigned part;

		sieve_walk_begin(r, n, sieve_expand(r, n, &n->args[0].strings[i]), &w);
		while (sieve_walk_next(&w, &field, &part))
			if (match(r, &m, &w, &field, part))
				return !r->ended;
	}
	return sieve_match_end(r, &m);
}

/* --- header --- */

/* "text/plain" of "Text/Plain; charset=x"; what the MIME reader says of Content-Type, since one parse has to serve all */
static void content_type(const struct sieve_walk *w, const struct sieve_field *f, unsigned part, struct span *type, struct span *subtype)
{
	struct span rest = f->raw, word = span_trim(span_cut(&rest, ';'));
	struct sieve_part p;

	if (span_eq_nocase(w->name, SPAN_LIT("content-type")) && w->r->m->ops->part(w->r->m->owner, part, &p)) {
		*type = p.type;
		*subtype = p.subtype;
		return;
	}
	*type = span_trim(span_cut(&word, '/'));
	*subtype = span_trim(word);
}

/* RFC 5703 4.1: a part of a structured field instead of its whole value */
static bool match_field(struct sieve_run *r, struct sieve_match *m, const struct sieve_walk *w, const struct sieve_field *f, unsigned part)
{
	const struct sieve_node *n = m->node;
	const struct sieve_value *params = sieve_node_param(n, SIEVE_TAG_PARAM);
	struct span type, subtype, value;
	uint8_t *both;

	if (params) {
		for (unsigned i = 0; i < params->count; i++)
			if (r->m->ops->param(r->m->owner, part, w->name, sieve_expand(r, n, &params->strings[i]), &value) &&
			    sieve_match_value(r, m, value))
				return true;
		return false;
	}
	if (!(n->tags & (SIEVE_TAG(TYPE) | SIEVE_TAG(SUBTYPE) | SIEVE_TAG(CONTENTTYPE))))
		return sieve_match_value(r, m, f->decoded);
	content_type(w, f, part, &type, &subtype);
	if (sieve_node_has(n, SIEVE_TAG_TYPE))
		return sieve_match_value(r, m, type);
	if (sieve_node_has(n, SIEVE_TAG_SUBTYPE))
		return subtype.len > 0 && sieve_match_value(r, m, subtype);
	if (subtype.len == 0)
		return sieve_match_value(r, m, type);
	both = arena_alloc(&r->scratch, type.len + 1 + subtype.len);
	if (!both)
		return sieve_run_full(r, n);
	memcpy(both, type.ptr, type.len);
	both[type.len] = '/';
	memcpy(both + type.len + 1, subtype.ptr, subtype.len);
	return sieve_match_value(r, m, span_of(both, type.len + 1 + subtype.len));
}

bool sieve_test_header(struct sieve_run *r, const struct sieve_node *n)
{
	return test_fields(r, n, match_field);
}

/* --- addresses --- */

/* The part of an address that the node means; false: this address has none. RFC 5228 2.7.4, 5233: "user+detail@domain". */
static bool address_part(const struct sieve_node *n, struct span all, struct span local, struct span domain, struct span *out)
{
	size_t plus = span_find(local, '+');

	*out = all;
	if (sieve_node_has(n, SIEVE_TAG_LOCALPART))
		*out = local;
	else if (sieve_node_has(n, SIEVE_TAG_DOMAIN))
		*out = domain;
	else if (sieve_node_has(n, SIEVE_TAG_USER))
		*out = span_head(local, plus);
	else if (sieve_node_has(n, SIEVE_TAG_DETAIL))
		*out = span_from(local, plus + 1);
	return !sieve_node_has(n, SIEVE_TAG_DETAIL) || plus < local.len;
}

static bool match_addresses(struct sieve_run *r, struct sieve_match *m, const struct sieve_walk *w, const struct sieve_field *f, unsigned part_number)
{
	struct words_address a;
	struct words_list list;
	struct arena names;
	struct span part;
	bool found = false;

	(void)w, (void)part_number;
	words_list_init(&list, f->raw);
	arena_init(&names, LIMIT_SIEVE_SCRATCH_BYTES); /* of one address */
	while (!found && sieve_run_spend(r, m->node, SIEVE_STEPS_FIELD) && words_list_next(&list, &names, &a)) {
		bool whole = !(m->node->tags & (SIEVE_TAG(LOCALPART) | SIEVE_TAG(DOMAIN) | SIEVE_TAG(USER) | SIEVE_TAG(DETAIL)));

		/* RFC 5228 2.7.4: what is no address has no parts */
		if (a.kind == WORDS_MAILBOX || (a.kind == WORDS_BROKEN && whole))
			found = address_part(m->node, a.text, a.local, a.domain, &part) && sieve_match_value(r, m, part);
		arena_clear(&names);
	}
	r->result->incomplete |= list.over;
	arena_clear(&names);
	return found;
}

bool sieve_test_address(struct sieve_run *r, const struct sieve_node *n)
{
	return test_fields(r, n, match_addresses);
}

/* the null address is "" whatever part of it is asked for (RFC 5228 5.4) */
static bool match_envelope(struct sieve_run *r, struct sieve_match *m, struct span address)
{
	size_t at = address.len;
	struct span part;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return address_part(m->node, address, span_head(address, at ? at - 1 : address.len), at ? span_from(address, at) : SPAN_NONE, &part) &&
	       sieve_match_value(r, m, part);
}

bool sieve_test_envelope(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_match m;

	if (!sieve_match_init(r, n, &n->args[1], &m))
		return false;
	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct span name = sieve_expand(r, n, &n->args[0].strings[i]);

		if (span_eq_nocase(name, SPAN_LIT("from")) && match_envelope(r, &m, r->m->from))
			return !r->ended;
		if (span_eq_nocase(name, SPAN_LIT("to")) && match_envelope(r, &m, r->m->to))
			return !r->ended;
		if (span_eq_nocase(name, SPAN_LIT("auth")) && r->m->auth.len > 0 && match_envelope(r, &m, r->m->auth))
			return !r->ended;
	}
	return sieve_match_end(r, &m);
}
