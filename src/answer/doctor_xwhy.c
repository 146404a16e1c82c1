#include "answer/doctor_xwhy.h"

#include "base/num.h"

enum { XWHY_VALUE_BYTES = 400 };

static int xwhy_digit(uint8_t c)
{
	return byte_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext, made safe to show; a "+" that begins no pair of digits stays as it is */
static const char *xwhy_value(struct arena *mem, struct span text)
{
	struct buf raw, safe;
	const char *kept;

	buf_init(&raw, XWHY_VALUE_BYTES);
	buf_init(&safe, XWHY_VALUE_BYTES * 4 + 4);
	for (size_t i = 0; i < text.len && raw.len < XWHY_VALUE_BYTES; i++) {
		int high = i + 2 < text.len ? xwhy_digit(text.ptr[i + 1]) : -1;
		int low = high >= 0 ? xwhy_digit(text.ptr[i + 2]) : -1;

		if (text.ptr[i] == '+' && low >= 0) {
			buf_add_byte(&raw, (uint8_t)(high * 16 + low));
			i += 2;
		} else {
			buf_add_byte(&raw, text.ptr[i]);
		}
	}
	buf_add_safe(&safe, buf_span(&raw), XWHY_VALUE_BYTES);
	kept = arena_str(mem, buf_span(&safe));
	buf_clear(&raw);
	buf_clear(&safe);
	return kept ? kept : "";
}

static bool xwhy_is_slug(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!byte_is_digit(text.ptr[i]) && (text.ptr[i] < 'a' || text.ptr[i] > 'z') && text.ptr[i] != '-')
			return false;
	return text.len && text.len <= DOCTOR_SLUG_BYTES;
}

static void xwhy_pair(struct doctor_event *e, struct arena *mem, struct span key, struct span value)
{
	const struct {
		const char *key;
		const char **to;
	} texts[] = {{"at", &e->at},	     {"session", &e->session}, {"command", &e->command},
		     {"detail", &e->detail}, {"limit", &e->limit},     {"retry", &e->retry}};
	uint64_t code;

	if (span_eq_nocase(key, SPAN_LIT("slug")) && xwhy_is_slug(value))
		e->slug = xwhy_value(mem, value);
	else if (span_eq_nocase(key, SPAN_LIT("code")) && num_parse(value, 599, &code) == RC_OK)
		e->code = (unsigned)code;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (span_eq_nocase(key, span_str(texts[i].key)))
			*texts[i].to = xwhy_value(mem, value);
}

size_t doctor_xwhy_read(struct span reply, struct arena *mem, struct doctor_event *out, size_t max)
{
	size_t count = 0;

	for (struct span rest = reply; rest.ptr && count < max;) {
		struct span line = span_cut(&rest, '\n'), words = span_from(line, 4);
		struct doctor_event e = {"", "", "", "", "", "", "", 0};

		if (line.len && line.ptr[line.len - 1] == '\r')
			words.len -= words.len > 0;
		if (!span_starts(line, SPAN_LIT("250-")))
			continue;
		while (words.ptr) {
			struct span value = span_cut(&words, ' '), key = span_cut(&value, '=');

			if (value.ptr)
				xwhy_pair(&e, mem, key, value);
		}
		if (e.slug[0])
			out[count++] = e;
	}
	return count;
}

const struct doctor_event *doctor_xwhy_match(const struct doctor_event *events, size_t count, unsigned code, struct span refusal)
{
	for (size_t i = 0; i < count; i++)
		if (events[i].code == code && events[i].session[0] && span_find_span(refusal, span_str(events[i].session)) < refusal.len)
			return &events[i];
	/* newest first: the refusal that was just seen */
	return count && events[0].code == code ? &events[0] : NULL;
}
