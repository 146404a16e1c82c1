#include "answer/explain_index.h"

#include "answer/explain_index_table.h"

enum {
	WHOLE_WORD = 6,	  /* patterns shorter than this must be whole words */
	WIDE_LEAD = 0xe3, /* with this and above the letters begin in UTF-8 that are written without blanks between words */
};

/* does a word go on there? Chinese and Japanese are written without blanks: a figure or a Latin word ends beside them */
static bool index_is_word(struct span words, size_t at)
{
	size_t lead = at;

	if (at >= words.len || words.ptr[at] < 0x80)
		return at < words.len && byte_is_alnum(words.ptr[at]);
	while (lead && at - lead < 2 && (words.ptr[lead] & 0xc0) == 0x80)
		lead--;
	return words.ptr[lead] < WIDE_LEAD;
}

/* the first place of `piece` at or after `from` that begins at a word (short pieces: that is a word); words.len: none */
static size_t index_find(struct span words, struct span piece, size_t from)
{
	while (from < words.len) {
		size_t at = from + span_find_span(span_from(words, from), piece);
		bool whole = piece.len >= WHOLE_WORD || !byte_is_alnum(piece.ptr[piece.len - 1]) || !index_is_word(words, at + piece.len);

		if (at >= words.len)
			break;
		if (whole && (at == 0 || !byte_is_alnum(piece.ptr[0]) || !index_is_word(words, at - 1)))
			return at;
		from = at + 1;
	}
	return words.len;
}

/* end of the last piece when all of `rest` follow in order, each at most INDEX_GAP_BYTES behind the one before; 0: they do not */
static size_t index_match_rest(struct span words, struct span rest, size_t end)
{
	while (rest.ptr) {
		struct span piece = span_cut(&rest, '*'), near = span_head(words, end + INDEX_GAP_BYTES + piece.len);
		size_t at = end + span_find_span(span_from(near, end), piece);

		if (at >= near.len)
			return 0;
		end = at + piece.len;
	}
	return end;
}

static bool index_match(struct span words, const char *pattern, size_t from, struct index_hit *out)
{
	struct span rest = span_str(pattern), piece = span_cut(&rest, '*');
	size_t at = index_find(words, piece, from);

	out->loose = rest.ptr != NULL;
	for (; at < words.len; at = index_find(words, piece, at + 1)) {
		out->at = at;
		out->end = index_match_rest(words, rest, at + piece.len);
		if (out->end)
			return true;
	}
	return false;
}

static void index_try(struct span words, size_t number, uint64_t *tried, struct index_hits *out)
{
	const struct index_pattern *p = &index_patterns[number];
	struct index_hit hit = {.kind = (enum index_kind)p->kind, .number = p->number, .rank = p->rank, .pattern = index_text(p)};

	if (tried[number / 64] >> (number % 64) & 1)
		return;
	tried[number / 64] |= 1ULL << (number % 64);
	if (!index_match(words, hit.pattern, 0, &hit))
		return;
	if (hit.kind == INDEX_EMITTER && hit.number < INDEX_EMITTERS)
		out->emitters[hit.number] = (uint16_t)(out->emitters[hit.number] + (hit.end - hit.at));
	for (; hit.kind != INDEX_EMITTER && out->count < INDEX_HITS; hit.again = true) {
		out->at[out->count++] = hit;
		if (hit.again || !index_match(words, hit.pattern, hit.end, &hit))
			break;
	}
}

void index_search(struct span words, struct index_hits *out)
{
	uint64_t tried[INDEX_PATTERNS_MAX / 64] = {0};

	out->count = 0;
	memset(out->emitters, 0, sizeof(out->emitters));
	for (size_t i = 0; i < index_brief_count; i++)
		index_try(words, index_brief[i], tried, out);
	for (size_t at = 0; at + 4 <= words.len; at++) {
		unsigned gram = index_gram(words.ptr + at);

		if (!(index_there[gram / 64] >> (gram % 64) & 1))
			continue;
		for (unsigned p = index_first[gram]; p; p = index_patterns[p - 1].next) {
			const struct index_pattern *it = &index_patterns[p - 1];

			/* the four bytes before the costly look at the whole */
			if (memcmp(words.ptr + at, index_text(it) + it->gram_at, 4) == 0)
				index_try(words, p - 1, tried, out);
		}
	}
}

/* what a fit is worth: less for what stands further behind */
static double index_worth(unsigned fits, unsigned rank)
{
	static const double worth[] = {0, 1, 5, 7};

	return worth[fits] / (1 + 0.35 * rank);
}

double index_fit_worth(const struct index_fit *fit)
{
	return index_worth(fit->fits, fit->rank);
}

size_t index_codes(unsigned code, struct span enhanced, bool pop3, struct index_fit *fits_out)
{
	uint64_t packed = index_pack(enhanced);
	size_t spread = 0;

	code = pop3 ? INDEX_POP3 : code;
	for (int id = 0; id < CAUSE_COUNT; id++)
		fits_out[id] = (struct index_fit){.known = !code};
	for (const struct index_hint *h = index_hints; h->cause; h++) {
		struct index_fit *best = &fits_out[h->cause];
		bool same, both;
		unsigned fits;

		if (h->code != code && h->enhanced != packed)
			continue;
		same = code && h->code == code;
		both = packed && h->enhanced == packed && (!pop3 || same);
		best->known = best->known || same;
		if (h->rank == INDEX_HINT_FORM)
			continue;
		fits = both ? (same ? 3 : 2) : same && !(h->enhanced && (packed || pop3)) ? 1 : 0;
		spread += both && best->fits < 2;
		if (index_worth(fits, h->rank) > index_worth(best->fits, best->rank))
			*best = (struct index_fit){(uint8_t)fits, (uint8_t)h->rank, best->known, same, both};
	}
	return spread;
}

unsigned index_stages(enum cause_id cause)
{
	return index_cause_stages[cause];
}

bool index_is_named(enum cause_id cause)
{
	return index_cause_named[cause];
}
