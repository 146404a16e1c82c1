/* A header block gives the same facts whole and cut anywhere. The first two bytes say where to cut and how large the pieces after it are. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "mail/header.h"
#include "mail/header_field.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static const struct span ours = {(const uint8_t *)"me@example.org", 14};

static const struct header_facts *scan(struct arena *mem, struct span text, size_t first, size_t step)
{
	struct header_scan *s = header_scan_new(mem);

	header_scan_watch(s, &ours, 1);
	header_scan_feed(s, span_head(text, first));
	for (size_t at = first; at < text.len; at += step)
		header_scan_feed(s, span_head(span_from(text, at), step));
	return header_scan_end(s);
}

static void check_same(const struct header_facts *a, const struct header_facts *b)
{
	must(a->header_bytes == b->header_bytes && a->ended == b->ended && a->too_long == b->too_long);
	must(a->received_count == b->received_count && a->from_count == b->from_count && a->date_count == b->date_count);
	must(a->message_id_count == b->message_id_count && a->sender_count == b->sender_count);
	must(span_eq(a->from, b->from) && span_eq(a->message_id, b->message_id) && span_eq(a->subject, b->subject));
	must(a->from_at == b->from_at && a->from_bytes == b->from_bytes);
	must(a->delivered_to_us == b->delivered_to_us && a->has_8bit == b->has_8bit);
}

/* completing adds "@d" so many times and nothing else; a second time there is nothing left to add */
static void check_from(struct span value, struct arena *mem)
{
	struct span boxes[4];
	struct buf out, again;
	unsigned n;

	buf_init(&out, 8192);
	buf_init(&again, 8192);
	n = header_complete_from(&out, value, SPAN_LIT("d"));
	must(!out.overflow && out.len == value.len + n * 2);
	must(header_complete_from(&again, buf_span(&out), SPAN_LIT("d")) == 0);
	must(span_eq(buf_span(&out), buf_span(&again)));
	must(header_mailboxes(value, mem, boxes, 4) >= n);
	buf_clear(&out);
	buf_clear(&again);
}

/* every address that can be read is another one afterwards, and nothing else has changed places */
static void check_replaced(struct span value, struct arena *mem)
{
	struct span boxes[64], before[64];
	struct buf out;
	unsigned n, count = header_mailboxes(value, mem, before, 64), same = 0;

	buf_init(&out, 65536);
	n = header_replace_mailboxes(&out, value, SPAN_LIT("me@d"));
	must(!out.overflow && n <= count);
	must(header_mailboxes(buf_span(&out), mem, boxes, 64) == count);
	for (unsigned i = 0; i < count && i < 64; i++) {
		must(before[i].len == 0 || boxes[i].len > 0);
		same += span_eq(boxes[i], SPAN_LIT("me@d"));
	}
	must(count > 64 || same == n);
	buf_clear(&out);
}

/* the reader of whole blocks sees the same fields, and the same end of them */
static void check_fields(struct span text, const struct header_facts *h)
{
	struct span rest = text;
	struct header_field f;
	unsigned from = 0, sender = 0;

	while (header_field_next(&rest, &f)) {
		from += header_field_is(&f, "From");
		sender += header_field_is(&f, "Sender");
		(void)header_value_like(f.value, SPAN_LIT("*a?b*"));
	}
	must(from == h->from_count && sender == h->sender_count);
	must(text.len - rest.len + (span_starts(rest, SPAN_LIT("\r\n")) ? 2 : 0) == h->header_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct header_facts *whole, *cut;
	struct arena mem;
	struct span text;
	size_t first;

	if (size < 2)
		return 0;
	text = span_of(data + 2, size - 2);
	first = data[0] < text.len ? data[0] : text.len;
	arena_init(&mem, 65536);
	whole = scan(&mem, text, text.len, 1);
	cut = scan(&mem, text, first, data[1] + 1u);
	check_same(whole, cut);
	must(whole->header_bytes <= text.len && whole->header_bytes <= LIMIT_HEADER_BYTES);
	must(whole->from_count == 0 || whole->from_at + whole->from_bytes <= whole->header_bytes);
	if (whole->from.len > 0)
		must(span_eq(span_head(span_from(text, (size_t)whole->from_at), whole->from.len), whole->from));
	check_from(whole->from, &mem);
	check_replaced(whole->from, &mem);
	if (text.len < LIMIT_HEADER_FIELD_BYTES) /* names are not longer then */
		check_fields(text, whole);
	must(!mem.overflow);
	arena_clear(&mem);
	return 0;
}
