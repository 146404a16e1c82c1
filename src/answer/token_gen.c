/* token_gen - runs while mailroom is built: counts the words of all known wordings and prints the tables of explain_token_table.h. */
#include "answer/explain_token_table.h"

#include <math.h>

#include "answer/replies_table.h"

enum { PAIRS = 60000 };
#define SMOOTH 4.0 /* as many words of a cause are taken to be like those of all others */

static struct {
	uint32_t hash[TOKEN_SLOTS];
	uint16_t first[TOKEN_SLOTS];
	float total[TOKEN_SLOTS];
	struct token_pair pairs[PAIRS]; /* points: how often, until token_settle */
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
	tokens.pairs[p - 1].points += weight;
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

/* from how often a word was seen to what it says */
static void token_settle(void)
{
	for (size_t slot = 0; slot < TOKEN_SLOTS; slot++) {
		double background = (double)tokens.total[slot] / (double)tokens.all;

		for (uint16_t p = tokens.first[slot]; p; p = tokens.pairs[p - 1].next)
			tokens.pairs[p - 1].points = (float)log(((double)tokens.pairs[p - 1].points / background + SMOOTH) / SMOOTH);
	}
}

static void token_print_causes(const char *name, double (*of)(double total))
{
	printf("const float %s[CAUSE_COUNT] = {", name);
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		printf("%aF,%s", of((double)tokens.cause_total[i]), i % 8 ? " " : "\n");
	puts("};");
}

static double token_each(double total)
{
	return log(SMOOTH / (SMOOTH + total));
}

static double token_base(double total)
{
	return 0.5 * log(1 + total / 10);
}

int main(void)
{
	token_build();
	token_settle();
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
	token_print_causes("token_cause_each", token_each);
	token_print_causes("token_cause_base", token_base);
	puts("const struct token_pair token_pairs[] = {");
	for (size_t i = 0; i < tokens.pair_count; i++)
		printf("{%aF, %u, %u},\n", (double)tokens.pairs[i].points, tokens.pairs[i].cause, tokens.pairs[i].next);
	puts("};");
	return tokens.pair_count == PAIRS || tokens.word_count + 1 >= TOKEN_SLOTS * 3 / 4; /* no room: make the tables larger */
}
