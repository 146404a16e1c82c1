/* index_gen - runs while mailroom is built: gathers all known wordings, chooses for each the four bytes by which it is found, and prints
 * the tables of explain_index_table.h. */
#include "answer/explain_index_table.h"

static struct {
	struct index_pattern patterns[INDEX_PATTERNS_MAX];
	size_t count;
	uint16_t first[INDEX_GRAMS];
	uint64_t there[INDEX_GRAMS / 64];
	uint16_t brief[INDEX_BRIEF_MAX];
	size_t brief_count;
	uint16_t stages[CAUSE_COUNT];
	bool named[CAUSE_COUNT];
	uint32_t figures[INDEX_FIGURES];
	size_t figure_count;
} set;

static void set_add(enum index_kind kind, size_t number, size_t rank)
{
	if (set.count < INDEX_PATTERNS_MAX)
		set.patterns[set.count++] =
			(struct index_pattern){.kind = (uint8_t)kind, .number = (uint16_t)number, .rank = (uint16_t)rank};
}

static void set_gather(void)
{
	for (size_t i = 0; i < reply_pattern_count; i++) {
		const struct reply_pattern *p = &reply_patterns[i];

		set_add(INDEX_REPLY, i, 0);
		for (size_t k = 0; k < p->cause_count; k++) {
			uint16_t *stages = &set.stages[reply_causes[p->cause_at + k].cause];

			*stages = (uint16_t)(*stages | p->stages);
			set.named[reply_causes[p->cause_at + k].cause] = true;
		}
	}
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++)
		for (size_t i = 0; cause_get((enum cause_id)id)->patterns[i]; i++)
			set_add(INDEX_CAUSE, (size_t)id, i);
	for (size_t i = 0; i < reply_emitter_count; i++)
		for (size_t k = 0; k < reply_emitters[i].recognise_count; k++)
			set_add(INDEX_EMITTER, i, k);
}

/* the rarest four bytes of it: where most patterns have "mail" or "reje" a text would stop at every other word */
static size_t set_choose(const char *text, const uint16_t *seen)
{
	size_t best = SIZE_MAX;
	unsigned least = UINT32_MAX;

	for (size_t at = 0; text[at] && text[at + 1] && text[at + 2] && text[at + 3] && at < UINT8_MAX; at++) {
		unsigned gram = index_gram((const uint8_t *)text + at);

		if (!memchr(text + at, '*', 4) && seen[gram] < least) {
			least = seen[gram];
			best = at;
		}
	}
	return best;
}

static void set_build(void)
{
	static uint16_t seen[INDEX_GRAMS];

	set_gather();
	for (size_t i = 0; i < set.count; i++)
		for (const char *c = index_text(&set.patterns[i]); c[0] && c[1] && c[2] && c[3]; c++)
			seen[index_gram((const uint8_t *)c)]++;
	for (size_t i = 0; i < set.count; i++) {
		struct index_pattern *p = &set.patterns[i];
		size_t at = set_choose(index_text(p), seen);

		if (at == SIZE_MAX) {
			if (set.brief_count < sizeof(set.brief) / sizeof(set.brief[0]))
				set.brief[set.brief_count++] = (uint16_t)i;
			continue;
		}
		unsigned gram = index_gram((const uint8_t *)index_text(p) + at);

		p->gram_at = (uint8_t)at;
		p->next = set.first[gram];
		set.first[gram] = (uint16_t)(i + 1);
		set.there[gram / 64] |= 1ULL << (gram % 64);
	}
}

/* the pieces with a figure in them: "0x800ccc79", "s3150" */
static void set_figures(const char *text)
{
	struct span rest = span_str(text);

	while (rest.len) {
		struct index_piece piece = index_piece_next(&rest);
		size_t slot = piece.hash % INDEX_FIGURES;

		if (!piece.text.len || !piece.figures || set.figure_count > INDEX_FIGURES / 2)
			continue;
		while (set.figures[slot] && set.figures[slot] != piece.hash)
			slot = (slot + 1) % INDEX_FIGURES;
		set.figure_count += !set.figures[slot];
		set.figures[slot] = piece.hash;
	}
}

/* "550 5.7.1", "550", "5.7.1", "-ERR [AUTH]" */
static void set_print_hint(size_t cause, size_t rank, struct span hint)
{
	struct span word = span_cut(&hint, ' ');
	unsigned code = word.len == 3
				? (unsigned)(word.ptr[0] - '0') * 100 + (unsigned)(word.ptr[1] - '0') * 10 + (unsigned)(word.ptr[2] - '0')
				: 0;

	if (word.ptr[0] == '-') {
		code = INDEX_POP3;
		hint = hint.len ? span_of(hint.ptr + 1, hint.len - 2) : hint;
	} else if (!code) {
		hint = word;
	}
	printf("{0x%llxULL, %u, %zu, %zu},\n", (unsigned long long)index_pack(hint), code, cause, rank);
}

static void set_print_hints(void)
{
	puts("const struct index_hint index_hints[] = {");
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++) {
		const struct cause *c = cause_get((enum cause_id)id);

		for (size_t i = 0; c->also[i]; i++)
			set_print_hint((size_t)id, i, span_str(c->also[i]));
		for (int form = 0; form < CAUSE_POP3; form++)
			if (c->forms[form].text)
				printf("{0, %u, %d, %d},\n", c->forms[form].code, id, INDEX_HINT_FORM);
		if (c->forms[CAUSE_POP3].text)
			printf("{0, %d, %d, %d},\n", INDEX_POP3, id, INDEX_HINT_FORM);
	}
	puts("{0, 0, 0, 0}};");
}

int main(void)
{
	set_build();
	for (size_t i = 0; i < set.count; i++)
		set_figures(index_text(&set.patterns[i]));
	puts("/* generated from knowledge/ by index_gen.c */\n#include \"answer/explain_index_table.h\"\n\nconst struct index_pattern "
	     "index_patterns[] = {");
	for (size_t i = 0; i < set.count; i++)
		printf("{%u, %u, %u, %u, %u},\n", set.patterns[i].kind, set.patterns[i].gram_at, set.patterns[i].number,
		       set.patterns[i].rank, set.patterns[i].next);
	puts("};\nconst uint16_t index_first[INDEX_GRAMS] = {");
	for (size_t i = 0; i < INDEX_GRAMS; i++)
		if (set.first[i])
			printf("[%zu] = %u,\n", i, set.first[i]);
	puts("};\nconst uint64_t index_there[INDEX_GRAMS / 64] = {");
	for (size_t i = 0; i < INDEX_GRAMS / 64; i++)
		if (set.there[i])
			printf("[%zu] = 0x%llxULL,\n", i, (unsigned long long)set.there[i]);
	printf("};\nconst size_t index_brief_count = %zu;\nconst uint16_t index_brief[INDEX_BRIEF_MAX] = {", set.brief_count);
	for (size_t i = 0; i < INDEX_BRIEF_MAX; i++)
		printf("%u,", set.brief[i]);
	puts("};\nconst uint16_t index_cause_stages[CAUSE_COUNT] = {");
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		printf("%u,%s", set.stages[i], i % 16 ? " " : "\n");
	puts("};\nconst bool index_cause_named[CAUSE_COUNT] = {");
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		printf("%d,%s", set.named[i], i % 16 ? " " : "\n");
	puts("};\nconst uint32_t index_figures[INDEX_FIGURES] = {");
	for (size_t i = 0; i < INDEX_FIGURES; i++)
		if (set.figures[i])
			printf("[%zu] = %uU,\n", i, set.figures[i]);
	puts("};");
	set_print_hints();
	return set.count == INDEX_PATTERNS_MAX || set.brief_count == INDEX_BRIEF_MAX ||
	       set.figure_count > INDEX_FIGURES / 2; /* no room: make the tables larger */
}
