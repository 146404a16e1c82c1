#include "answer/explain_wording.h"

enum {
	WORDS_OF_SENTENCE = 32, /* what is further apart has nothing to do with each other */
	WORDS_OF_ENTRY = 3,
	BYTES_OF_ENTRY = 32,
	BYTES_OF_BEGINNING = 3,
	RULES = 320,
	PREFIX = 0x5bd1e995, /* as tools/gen-wording.py tells beginnings from words */
};

static uint64_t wording_find(uint32_t hash)
{
	size_t slot = (hash ? hash : 1) % WORDING_SLOTS;

	while (wording_words[slot].hash && wording_words[slot].hash != hash)
		slot = (slot + 1) % WORDING_SLOTS;
	return wording_words[slot].means;
}

static bool wording_is_part(uint8_t c)
{
	return byte_is_alnum(c) || c >= 0x80;
}

static bool wording_is_joint(uint8_t c)
{
	return c == ' ' || c == '-' || c == '/' || c == '\'';
}

/* what the words that begin here mean: a word, its beginning, or up to three neighbours */
static uint64_t wording_at(struct span text, size_t at)
{
	size_t words = 1, end = at + BYTES_OF_ENTRY < text.len ? at + BYTES_OF_ENTRY : text.len;
	bool wide = wording_is_wide(text, at);
	uint32_t hash = 2166136261U;
	uint64_t means = 0;

	for (size_t i = at; i < end; i++) {
		uint8_t c = text.ptr[i];
		bool last = i + 1 == text.len || !wording_is_part(text.ptr[i + 1]) || wording_is_wide(text, i + 1);

		if (!wording_is_part(c) && (!wording_is_joint(c) || ++words > WORDS_OF_ENTRY))
			break;
		hash = (hash ^ c) * 16777619U;
		if (last || (wide && i > at && (i - at) % 3 == 2))
			means |= wording_find(hash);
		if (i + 1 >= at + BYTES_OF_BEGINNING)
			means |= wording_find(hash ^ PREFIX);
	}
	return means;
}

/* names of hosts, addresses, links and classes of programs have words in them that nobody says */
static bool wording_is_name(struct span chunk)
{
	if (span_find(chunk, '@') < chunk.len || span_find_span(chunk, SPAN_LIT("://")) < chunk.len)
		return true;
	for (size_t i = 1; i + 1 < chunk.len; i++)
		if ((chunk.ptr[i] == '.' || chunk.ptr[i] == '_' || chunk.ptr[i] == '=') && byte_is_alnum(chunk.ptr[i - 1]) &&
		    byte_is_alnum(chunk.ptr[i + 1]))
			return true;
	return false;
}

/* "authentication./var/lib/x.php": the sentence ends before the path */
static struct span wording_before_path(struct span chunk)
{
	size_t at = span_find_span(chunk, SPAN_LIT("./"));

	return at && at < chunk.len ? span_head(chunk, at + 1) : chunk;
}

static bool wording_ends_sentence(struct span chunk)
{
	return chunk.len && (strchr(".!?;|", chunk.ptr[chunk.len - 1]) || span_find_span(chunk, SPAN_LIT("\u3002")) < chunk.len);
}

static uint64_t wording_chunk(struct span text, size_t from, size_t to)
{
	uint64_t means = 0;

	for (size_t at = from; at < to; at++) {
		bool wide = wording_is_wide(text, at);

		if (wide || (wording_is_part(text.ptr[at]) &&
			     (at == 0 || !wording_is_part(text.ptr[at - 1]) || (at >= 3 && wording_is_wide(text, at - 3)))))
			means |= wording_at(text, at);
		at += wide ? 2 : 0;
	}
	return means;
}

/* of the rules that fit, those whose concepts are not all in a longer one */
static void wording_judge(uint64_t means, double sure_out[CAUSE_COUNT])
{
	const struct wording_rule *fits[RULES];
	size_t count = 0;

	for (size_t i = 0; i < wording_also_count; i++)
		means |= (wording_alsos[i].all & ~means) == 0 ? wording_alsos[i].gives : 0;
	for (size_t i = 0; i < wording_rule_count && count < RULES; i++)
		if ((wording_rules[i].all & ~means) == 0 && (wording_rules[i].none & means) == 0)
			fits[count++] = &wording_rules[i];
	for (size_t i = 0; i < count; i++) {
		bool part = false;
		double sure = fits[i]->percent / 100.0;

		for (size_t k = 0; k < count && !part; k++)
			part = fits[k]->all != fits[i]->all && (fits[i]->all & ~fits[k]->all) == 0;
		if (!part && sure > sure_out[fits[i]->cause])
			sure_out[fits[i]->cause] = sure;
	}
}

void wording_read(const struct scan *text, double sure_out[CAUSE_COUNT])
{
	struct span words = buf_span(&text->words);
	uint64_t means = 0;
	size_t count = 0, line = 0;

	for (int id = 0; id < CAUSE_COUNT; id++)
		sure_out[id] = 0;
	for (size_t at = 0; at < words.len;) {
		size_t len = span_find(span_from(words, at), ' ');
		struct span chunk = wording_before_path(span_head(span_from(words, at), len));

		if (!wording_is_name(chunk))
			means |= wording_chunk(words, at, at + chunk.len);
		at += span_find(span_from(words, at), ' ') + 1;
		while (line < text->break_count && text->breaks[line] + 1 < at)
			line++;
		if (++count == WORDS_OF_SENTENCE || wording_ends_sentence(chunk) || at >= words.len ||
		    (line < text->break_count && text->breaks[line] + 1 == at)) {
			wording_judge(means, sure_out);
			means = 0;
			count = 0;
		}
	}
}
