/* token_gen - runs while mailroom is built: counts the words of all known wordings and prints the tables of explain_token_table.h. */
#include "answer/explain_token_table.h"
#include "answer/replies_table.h"

enum { PAIRS = 60000 };

static struct {
	uint32_t hash[TOKEN_SLOTS];
	uint16_t first[TOKEN_SLOTS];
	float total[TOKEN_SLOTS];
	struct token_pair pairs[PAIRS];
	size_t pair_count, word_count;
	float cause_total[CAUSE_COUNT];
	float all;
} tokens;

static void token_count(uint32_t hash, uint16_t cause, float weight)
{
	size_t slot = token_slot(tokens.hash, hash);
	uint16_t p;

	if (!tokens.hash[slot]) {
		if (tokens.word_count + 1 >= TOKEN_SLOTS * 3 / 4)
			return;
		tokens.word_count++;
		tokens.hash[slot] = hash;
	}
	for (p = tokens.first[slot]; p && tokens.pairs[p - 1].cause != cause; p = tokens.pairs[p - 1].next)
		;
	if (!p) {
		if (tokens.pair_count == PAIRS)
			return;
		tokens.pairs[tokens.pair_count] = (struct token_pair){.cause = cause, .next = tokens.first[slot]};
		tokens.first[slot] = p = (uint16_t)++tokens.pair_count;
	}
	tokens.pairs[p - 1].weight += weight;
	tokens.total[slot] += weight;
	tokens.cause_total[cause] += weight;
	tokens.all += weight;
}

static void token_learn(const char *text, uint16_t cause, float weight)
{
	struct span rest = span_str(text);
	uint32_t hash, before = 0;

	while ((hash = token_next(&rest))) {
		token_count(hash, cause, weight);
		if (before)
			token_count(token_both(before, hash), cause, weight);
		before = hash;
	}
}

static void token_build(void)
{
	for (size_t i = 0; i < reply_pattern_count; i++) {
		const struct reply_pattern *p = &reply_patterns[i];

		for (size_t k = 0; k < p->cause_count; k++) {
			const struct reply_cause *c = &reply_causes[p->cause_at + k];

			token_learn(reply_text(p->pattern), c->cause, (float)p->sure * (float)c->percent / 10000);
		}
	}
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT; id++)
		for (size_t i = 0; cause_get((enum cause_id)id)->patterns[i]; i++)
			token_learn(cause_get((enum cause_id)id)->patterns[i], (uint16_t)id, 0.7F);
}

static void token_print_floats(const char *name, const char *size, const float *values, size_t count)
{
	printf("const float %s[%s] = {", name, size);
	for (size_t i = 0; i < count; i++)
		if (values[i] > 0)
			printf("[%zu] = %aF,%s", i, (double)values[i], i % 8 ? "" : "\n");
	puts("};");
}

int main(void)
{
	token_build();
	puts("/* generated from knowledge/ by token_gen.c */\n#include \"answer/explain_token_table.h\"\n");
	puts("const uint32_t token_hashes[TOKEN_SLOTS] = {");
	for (size_t i = 0; i < TOKEN_SLOTS; i++)
		if (tokens.hash[i])
			printf("[%zu] = %uU,\n", i, tokens.hash[i]);
	puts("};\nconst uint16_t token_first[TOKEN_SLOTS] = {");
	for (size_t i = 0; i < TOKEN_SLOTS; i++)
		if (tokens.first[i])
			printf("[%zu] = %u,\n", i, tokens.first[i]);
	puts("};");
	token_print_floats("token_totals", "TOKEN_SLOTS", tokens.total, TOKEN_SLOTS);
	token_print_floats("token_cause_totals", "CAUSE_COUNT", tokens.cause_total, CAUSE_COUNT);
	printf("const float token_all = %aF;\nconst struct token_pair token_pairs[] = {\n", (double)tokens.all);
	for (size_t i = 0; i < tokens.pair_count; i++)
		printf("{%aF, %u, %u},\n", (double)tokens.pairs[i].weight, tokens.pairs[i].cause, tokens.pairs[i].next);
	puts("};");
	return tokens.pair_count == PAIRS || tokens.word_count + 1 >= TOKEN_SLOTS * 3 / 4; /* no room: make the tables larger */
}
