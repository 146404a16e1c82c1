#include "cause/cause_render.h"

#include "base/limits.h"

enum { FACT_BYTES = 150, FACT_LEAST_BYTES = 24 };

/* C1 controls, line separators and characters that turn the direction of text around or are not seen: they could make a reply
 * look like another one */
static bool render_is_tricky(struct span one)
{
	if (one.ptr[0] == 0xc2)
		return one.ptr[1] < 0xa0;
	if (one.ptr[0] != 0xe2)
		return false;
	if (one.ptr[1] == 0x80) /* U+200B..200F, U+2028..202E */
		return (one.ptr[2] >= 0x8b && one.ptr[2] <= 0x8f) || (one.ptr[2] >= 0xa8 && one.ptr[2] <= 0xae);
	return one.ptr[1] == 0x81 && one.ptr[2] >= 0xa0 && one.ptr[2] <= 0xaf; /* U+2060..206F */
}

/* length of the character at the front that may be shown as it is; 0: it may not */
static size_t render_utf8_len(struct span s)
{
	size_t len = s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : 2;
	struct span one = span_head(s, len);

	return one.len == len && span_is_utf8(one) && !render_is_tricky(one) ? len : 0;
}

static bool render_is_plain(uint8_t c)
{
	return c >= 0x20 && c <= 0x7e && c != '\\';
}

void cause_render_safe(struct buf *out, struct span text, bool utf8, size_t max)
{
	size_t start = out->len, keep = start; /* keep: where "..." can stand and still fit */

	while (text.len) {
		size_t taken = 1, wide = 0;
		size_t before = out->len;

		if (text.ptr[0] >= 0x80 && utf8)
			wide = render_utf8_len(text);
		if (wide) {
			buf_add(out, span_head(text, wide));
			taken = wide;
		} else if (render_is_plain(text.ptr[0])) {
			buf_add_byte(out, text.ptr[0]);
		} else {
			buf_add_safe(out, span_head(text, 1), 1);
		}
		if (out->overflow)
			return;
		if (before - start + 3 <= max)
			keep = before;
		if (out->len - start > max) {
			out->len = keep;
			if (max >= 3)
				buf_add_str(out, "...");
			return;
		}
		text = span_from(text, taken);
	}
}

struct render_fact {
	const char *name;
	size_t offset;
	const char *otherwise; /* when the fact is not known and the words need something */
};

static const struct render_fact render_facts[] = {
	{"rcpt", offsetof(struct cause_facts, rcpt), "this address"},
	{"sender", offsetof(struct cause_facts, sender), "this sender"},
	{"command", offsetof(struct cause_facts, command), "this command"},
	{"missing", offsetof(struct cause_facts, missing), "an earlier step"},
	{"limit", offsetof(struct cause_facts, limit), "the limit"},
	{"detail", offsetof(struct cause_facts, detail), "unknown"},
	{"account", offsetof(struct cause_facts, account), "this account"},
	{"retry", offsetof(struct cause_facts, retry), "a while"},
};

static struct span render_lookup(struct span name, const struct cause_facts *facts, const char **otherwise_out)
{
	for (size_t i = 0; i < sizeof(render_facts) / sizeof(render_facts[0]); i++) {
		if (!span_eq(name, span_str(render_facts[i].name)))
			continue;
		*otherwise_out = render_facts[i].otherwise;
		if (!facts)
			return SPAN_NONE;
		return *(const struct span *)(const void *)((const char *)facts + render_facts[i].offset);
	}
	*otherwise_out = "";
	return SPAN_NONE;
}

/* is every placeholder of an optional part known? */
static bool render_part_known(struct span part, const struct cause_facts *facts)
{
	while (part.len) {
		const char *otherwise;
		size_t at = span_find(part, '{');

		part = span_from(part, at + 1);
		if (part.len && render_lookup(span_cut(&part, '}'), facts, &otherwise).len == 0)
			return false;
	}
	return true;
}

static void render_words(struct buf *out, struct span words, const struct cause_facts *facts, size_t fact_max)
{
	while (words.len) {
		const char *otherwise;
		struct span fact;
		size_t at = span_find(words, '{');

		buf_add(out, span_head(words, at));
		if (at == words.len)
			return;
		words = span_from(words, at + 1);
		fact = render_lookup(span_cut(&words, '}'), facts, &otherwise);
		if (fact.len)
			cause_render_safe(out, fact, facts->utf8, fact_max);
		else
			buf_add_str(out, otherwise);
	}
}

static void render_all(struct buf *out, struct span pattern, const struct cause_facts *facts, size_t fact_max)
{
	while (pattern.len) {
		size_t at = span_find(pattern, '[');
		struct span part;

		render_words(out, span_head(pattern, at), facts, fact_max);
		if (at == pattern.len)
			return;
		pattern = span_from(pattern, at + 1);
		part = span_cut(&pattern, ']');
		if (render_part_known(part, facts))
			render_words(out, part, facts, fact_max);
	}
}

void cause_render(struct buf *out, const char *pattern, const struct cause_facts *facts, size_t max)
{
	struct buf text;
	size_t fact_max = FACT_BYTES;

	buf_init(&text, 2 * LIMIT_SMTP_REPLY_LINE_BYTES + 8 * FACT_BYTES);
	for (;;) {
		render_all(&text, span_str(pattern), facts, fact_max);
		if ((text.len <= max && !text.overflow) || fact_max <= FACT_LEAST_BYTES)
			break;
		fact_max = fact_max * 3 / 4;
		buf_reset(&text);
	}
	/* safe already: a backslash in it is one of our own \xNN, so only the length is looked at */
	if (text.len <= max) {
		buf_add(out, buf_span(&text));
	} else if (max > 3) {
		size_t len = max - 3;

		while (len && (text.ptr[len] & 0xc0) == 0x80)
			len--;
		buf_add(out, span_head(buf_span(&text), len));
		buf_add_str(out, "...");
	}
	buf_clear(&text);
}
