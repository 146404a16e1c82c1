#include "answer/journal_shape.h"

#include "answer/explain_index_table.h"
#include "answer/explain_token_table.h"

enum { UNKNOWN = 0x2a, ADDRESS = 0x40 }; /* stand for what varies */

struct shape {
	uint64_t hash;
	uint32_t last;
};

static void shape_add(struct shape *shape, uint32_t piece)
{
	if (piece == shape->last && (piece == UNKNOWN || piece == ADDRESS)) /* however many of them */
		return;
	shape->last = piece;
	shape->hash = (shape->hash ^ piece) * 1099511628211ULL;
	shape->hash ^= shape->hash >> 29;
}

static bool shape_knows_figure(uint32_t hash)
{
	size_t slot = hash % INDEX_FIGURES;

	while (index_figures[slot] && index_figures[slot] != hash)
		slot = (slot + 1) % INDEX_FIGURES;
	return index_figures[slot] != 0;
}

/* a word that stands in any known wording, by its stem (explain_token_table.h takes a text apart in the same way) */
static bool shape_knows_word(struct span word)
{
	uint32_t hash = token_stem(word);

	return hash && token_hashes[token_slot(token_hashes, hash)];
}

/* "550", "550-" and "5.7.1" count as they are; any other number varies */
static bool shape_is_code(struct span word)
{
	if (word.len < 3 || (word.ptr[0] != '4' && word.ptr[0] != '5'))
		return false;
	if (byte_is_digit(word.ptr[1]) && byte_is_digit(word.ptr[2]))
		return word.len == 3 || word.ptr[3] == '-';
	return word.len >= 5 && word.len <= 7 && word.ptr[1] == '.' && byte_is_digit(word.ptr[2]);
}

static void shape_word(struct shape *shape, struct span word)
{
	struct span rest = word;
	uint32_t hash = 2166136261U;

	while (word.len && !byte_is_alnum(word.ptr[0]) && word.ptr[0] < 0x80)
		word = span_from(word, 1);
	if (shape_is_code(word)) {
		for (size_t i = 0; i < word.len && word.ptr[i] != '-'; i++)
			hash = (hash ^ word.ptr[i]) * 16777619U;
		shape_add(shape, hash);
		return;
	}
	if (rest.len > 4 && memchr(rest.ptr, '@', rest.len)) {
		shape_add(shape, ADDRESS);
		return;
	}
	while (rest.len) {
		struct index_piece piece = index_piece_next(&rest);

		if (piece.text.len)
			shape_add(shape,
				  (piece.figures ? shape_knows_figure(piece.hash) : shape_knows_word(piece.text)) ? piece.hash : UNKNOWN);
	}
}

uint64_t shape_of(struct span reply, unsigned stage)
{
	struct shape shape = {14695981039346656037ULL ^ stage, 0};

	reply = span_head(reply, SHAPE_BYTES);
	while (reply.len) {
		size_t len = span_find(reply, ' ');

		if (len)
			shape_word(&shape, span_head(reply, len));
		reply = span_from(reply, len + 1);
	}
	return shape.hash ? shape.hash : 1;
}
