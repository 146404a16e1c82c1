#include "answer/explain_token.h"

#include "answer/explain_token_table.h"

enum { TEXT_TOKENS = 96 }; /* of one text */

#define SPEAKS_FOR 1.0 /* points of a word that mean something */

struct points {
	double *of;
	uint8_t *support;
	uint32_t seen[TEXT_TOKENS];
	size_t count;
};

static bool token_point(struct points *points, uint32_t hash, double weight)
{
	size_t slot = token_slot(token_hashes, hash), i = 0;

	while (i < points->count && points->seen[i] != hash)
		i++;
	if (i < points->count || points->count == TEXT_TOKENS || !token_hashes[slot])
		return false;
	points->seen[points->count++] = hash;
	for (uint16_t p = token_first[slot]; p; p = token_pairs[p - 1].next) {
		const struct token_pair *pair = &token_pairs[p - 1];

		points->of[pair->cause] += weight * (double)pair->points;
		points->support[pair->cause] = (uint8_t)(points->support[pair->cause] + ((double)pair->points > SPEAKS_FOR));
	}
	return true;
}

size_t token_weigh(struct span words, double points_out[CAUSE_COUNT], uint8_t support_out[CAUSE_COUNT])
{
	struct points points = {.of = points_out, .support = support_out};
	uint32_t hash, before = 0;
	double known = 0, share;
	size_t all = 0, understood = 0;

	for (int id = 0; id < CAUSE_COUNT; id++) {
		points_out[id] = 0;
		support_out[id] = 0;
	}
	while (points.count < TEXT_TOKENS && (hash = token_next(&words))) {
		bool is_known = token_point(&points, hash, 1);

		known += is_known ? 1 : 0;
		understood += is_known;
		all++;
		if (before)
			known += token_point(&points, token_both(before, hash), 0.5) ? 0.5 : 0;
		before = hash;
	}
	/* of a text in another language only some words are known, and mean little */
	share = all ? 1.4 * (double)understood / (double)all : 0;
	for (int id = CAUSE_NONE + 1; id < CAUSE_COUNT && points.count; id++) {
		points_out[id] += known * (double)token_cause_each[id] + (double)token_cause_base[id];
		points_out[id] *= share > 1 ? 1 : share;
	}
	return points.count;
}
