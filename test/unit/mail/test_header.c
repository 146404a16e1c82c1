#include "test_mail.h"

#include "base/limits.h"
#include "mail/header.h"

/* every chunking has to find the same facts */
static void check_same(const struct header_facts *a, const struct header_facts *b)
{
	assert_int_equal(a->header_bytes, b->header_bytes);
	assert_int_equal(a->ended, b->ended);
	assert_int_equal(a->too_long, b->too_long);
	assert_int_equal(a->received_count, b->received_count);
	assert_int_equal(a->from_count, b->from_count);
	assert_int_equal(a->date_count, b->date_count);
	assert_int_equal(a->message_id_count, b->message_id_count);
	assert_int_equal(a->sender_count, b->sender_count);
	test_span_eq(a->from, b->from, "From");
	test_span_eq(a->message_id, b->message_id, "Message-ID");
	test_span_eq(a->subject, b->subject, "Subject");
	assert_int_equal(a->from_at, b->from_at);
	assert_int_equal(a->from_bytes, b->from_bytes);
	assert_int_equal(a->delivered_to_us, b->delivered_to_us);
	assert_int_equal(a->received_by_us, b->received_by_us);
	assert_int_equal(a->has_8bit, b->has_8bit);
}

static const struct span ours[] = {{(const uint8_t *)"me@example.org", 14}, {(const uint8_t *)"list@example.org", 16}};

static const struct header_facts *scan_step(struct arena *mem, struct span text, size_t step)
{
	struct header_scan *s = header_scan_new(mem);

	assert_non_null(s);
	header_scan_watch(s, ours, 2);
	header_scan_host(s, SPAN_LIT("mx.example.org"));
	for (size_t at = 0; at < text.len; at += step)
		header_scan_feed(s, span_head(span_from(text, at), step));
	return header_scan_end(s);
}

static void check_splits(struct span text, const struct header_facts *whole)
{
	for (size_t at = 0; at <= text.len && text.len < 2000; at++) {
		struct arena mem;
		struct header_scan *s;

		arena_init(&mem, 16384);
		s = header_scan_new(&mem);
		header_scan_watch(s, ours, 2);
		header_scan_host(s, SPAN_LIT("mx.example.org"));
		header_scan_feed(s, span_head(text, at));
		header_scan_feed(s, SPAN_NONE);
		header_scan_feed(s, span_from(text, at));
		check_same(header_scan_end(s), whole);
		arena_clear(&mem);
	}
	for (size_t step = 1; step < 8; step++) {
		struct arena mem;

		arena_init(&mem, 16384);
		check_same(scan_step(&mem, text, step), whole);
		arena_clear(&mem);
	}
}

#define MESSAGE                                                                                                                      \
	"Received: from a\r\n\tby b\r\nRECEIVED: x\r\nDelivered-To: <ME@example.org>\r\nFrom: Bob\r\n <bob@example.org> \r\n"         \
	"Date: now\r\nMessage-Id:  <1@x>  \r\nSubject : caf\xc3\xa9\r\nSender: bob\r\nTo: you\r\n\r\nBody: no\r\nFrom: no\r\n"

static void test_whole_message(void **state)
{
	struct span text = SPAN_LIT(MESSAGE);
	const struct header_facts *f;
	struct arena mem;

	(void)state;
	arena_init(&mem, 16384);
	f = scan_step(&mem, text, text.len);
	assert_true(f->ended);
	assert_false(f->too_long);
	assert_int_equal(f->header_bytes, span_find_span(text, SPAN_LIT("Body:")));
	assert_int_equal(f->received_count, 2);
	assert_int_equal(f->from_count, 1);
	assert_int_equal(f->date_count, 1);
	assert_int_equal(f->message_id_count, 1);
	assert_int_equal(f->sender_count, 1);
	test_span_eq(f->from, SPAN_LIT("Bob\r\n <bob@example.org>"), "From");
	test_span_eq(f->message_id, SPAN_LIT("<1@x>"), "Message-ID");
	test_span_eq(f->subject, SPAN_LIT("caf\xc3\xa9"), "Subject");
	assert_int_equal(f->from_at, span_find_span(text, SPAN_LIT("Bob")));
	assert_int_equal(f->from_bytes, strlen("Bob\r\n <bob@example.org> "));
	assert_true(f->delivered_to_us);
	assert_true(f->has_8bit);
	check_splits(text, f);
	arena_clear(&mem);
}

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

static const struct {
	struct span text;
	uint64_t header_bytes;
	bool ended;
	unsigned from_count;
	const char *from;
	uint64_t from_at, from_bytes;
	bool has_8bit;
} edges[] = {
	{S(""), 0, false, 0, "", 0, 0, false},
	{S("\r\n"), 2, true, 0, "", 0, 0, false},
	{S("\r\nFrom: x\r\n"), 2, true, 0, "", 0, 0, false},
	{S("From: a\r\n\r\n"), 11, true, 1, "a", 6, 1, false},
	{S("From:a\r\n"), 8, false, 1, "a", 5, 1, false},
	{S("From: a"), 7, false, 1, "a", 6, 1, false},
	{S("From: a\r"), 8, false, 1, "a", 6, 2, false},
	{S("From:"), 5, false, 1, "", 5, 0, false},
	{S("From:\r\n"), 7, false, 1, "", 5, 0, false},
	{S("From: \t\r\n\r\n"), 11, true, 1, "", 5, 2, false},
	{S("From:\r\n a\r\n\r\n"), 13, true, 1, "a", 8, 1, false},
	{S("From: a\r\n \r\nX: y\r\n"), 18, false, 1, "a", 6, 4, false},
	{S("from\t : a\r\n"), 11, false, 1, "a", 8, 1, false},
	{S("FROM: a\r\nFrom: b\r\n"), 18, false, 2, "a", 6, 1, false},
	{S("Fromage: a\r\n"), 12, false, 0, "", 0, 0, false},
	/* what cannot be a field begins the body */
	{S("hello\r\nFrom: a\r\n"), 0, true, 0, "", 0, 0, false},
	{S("From: a\r\nhello\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nhello"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nhello "), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\n\r"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\n\rX: y\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\n: y\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nX y: z\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nX\xc3\xb6: z\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nX\0: z\r\n"), 9, true, 1, "a", 6, 1, false},
	{S("From: a\r\nX\n: z\r\n"), 9, true, 1, "a", 6, 1, false},
	{S(" From: a\r\n"), 0, true, 0, "", 0, 0, false},
	{S("From joe Mon Jan  1\r\nFrom: a\r\n"), 0, true, 0, "", 0, 0, false},
	/* bare CR and LF end nothing */
	{S("X: y\nFrom: a\r\n\r\n"), 16, true, 0, "", 0, 0, false},
	{S("X: y\n\nFrom: a\r\n"), 15, false, 0, "", 0, 0, false},
	{S("X: y\rFrom: a\r\n"), 14, false, 0, "", 0, 0, false},
	{S("X: y\r\r\nFrom: a\r\n"), 16, false, 1, "a", 13, 1, false},
	{S("From: a\nb\r\n"), 11, false, 1, "a\nb", 6, 3, false},
	{S("From: a\0b\r\n\r\n"), 13, true, 1, "a", 6, 3, false},
	{S("X: \xff\r\n\r\n"), 8, true, 0, "", 0, 0, true},
	{S("X: y\r\n\r\n\xff"), 8, true, 0, "", 0, 0, false},
	{S("X: y\r\n\xff\xff: z"), 6, true, 0, "", 0, 0, false},
};

static void test_edges(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct header_facts *f;
		struct arena mem;

		arena_init(&mem, 16384);
		f = scan_step(&mem, edges[i].text, 1 << 20);
		if (f->header_bytes != edges[i].header_bytes || f->ended != edges[i].ended || f->from_count != edges[i].from_count ||
			f->from_at != edges[i].from_at || f->from_bytes != edges[i].from_bytes || f->has_8bit != edges[i].has_8bit)
			fail_msg("case %zu: %s: header %u ended %d from %u at %u len %u", i, (const char *)edges[i].text.ptr,
				(unsigned)f->header_bytes, f->ended, f->from_count, (unsigned)f->from_at, (unsigned)f->from_bytes);
		if (f->from.len != 3 || f->from.ptr[1] != '\0')
			test_span_eq(f->from, span_str(edges[i].from), "From");
		check_splits(edges[i].text, f);
		arena_clear(&mem);
	}
}

/* facts as they stand between chunks: whole lines count */
static void test_so_far(void **state)
{
	struct header_scan *s;
	struct arena mem;

	(void)state;
	arena_init(&mem, 16384);
	s = header_scan_new(&mem);
	header_scan_feed(s, SPAN_LIT("Received: a\r\nReceived: b\r\nDa"));
	assert_int_equal(header_scan_facts(s)->received_count, 2);
	assert_int_equal(header_scan_facts(s)->header_bytes, 26);
	assert_false(header_scan_facts(s)->ended);
	header_scan_feed(s, SPAN_LIT("te: x\r\n\r\n"));
	assert_true(header_scan_facts(s)->ended);
	assert_int_equal(header_scan_facts(s)->date_count, 1);
	arena_clear(&mem);
}

/* who wrote a Received field stands behind "by", and nowhere else */
static void test_received_by_us(void **state)
{
	static const struct {
		const char *text;
		unsigned ours;
	} cases[] = {{"Received: from a.example by mx.example.org; Fri\r\n\r\n", 1}, {"Received: from a.example (a [192.0.2.1])\r\n\tBY MX.Example.Org (mailroom)\r\n with ESMTP\r\n\r\n", 1},
		{"Received: by mx.example.org\r\nReceived:by\r\n mx.example.org(x)\r\nReceived: from b by c\r\n\r\n", 2},
		{"Received: from mx.example.org by b.example\r\n\r\n", 0}, {"Received: from a (by mx.example.org) by b.example\r\n\r\n", 0},
		{"Received: from a (x \\) (y) by mx.example.org) by b.example\r\n\r\n", 0}, {"Received: from a; by mx.example.org\r\n\r\n", 0},
		{"Received: from a by mx.example.org.example\r\n\r\n", 0}, {"Received: from a by xmx.example.org\r\n\r\n", 0}, {"Received: by\r\n\r\n", 0},
		{"Received: (\r\n\r\n", 0}, {"Received: (\\\r\n\r\n", 0}, {"Received:\r\n\r\n", 0}, {"X-Received: by mx.example.org\r\n\r\n", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct header_facts *f;
		struct arena mem;

		arena_init(&mem, 16384);
		f = scan_step(&mem, span_str(cases[i].text), 1 << 20);
		if (f->received_by_us != cases[i].ours)
			fail_msg("%s: %u", cases[i].text, f->received_by_us);
		check_splits(span_str(cases[i].text), f);
		arena_clear(&mem);
	}
}

static void test_delivered_to(void **state)
{
	static const struct {
		const char *text;
		bool ours;
	} cases[] = {{"Delivered-To: me@example.org\r\n\r\n", true}, {"delivered-to:\r\n <LIST@EXAMPLE.ORG>\r\n\r\n", true},
		{"Delivered-To: you@example.org\r\n\r\n", false}, {"Delivered-To: me@example.org.example\r\n\r\n", false},
		{"X-Delivered-To: me@example.org\r\n\r\n", false}, {"\r\nDelivered-To: me@example.org\r\n", false}};
	struct arena mem;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		arena_init(&mem, 16384);
		assert_int_equal(scan_step(&mem, span_str(cases[i].text), 1 << 20)->delivered_to_us, cases[i].ours);
		arena_clear(&mem);
	}
}

static void buf_repeat(struct buf *b, const char *s, size_t times)
{
	while (times-- > 0)
		buf_add_str(b, s);
}

static const struct header_facts *scan_buf(struct arena *mem, struct buf *b)
{
	assert_false(b->overflow);
	return scan_step(mem, buf_span(b), b->len + 1);
}

/* the limit of the block, met in each state, and never passed */
static void test_block_limit(void **state)
{
	static const struct {
		size_t pad;       /* bytes of the block before `tail`, all one field with CRLF */
		const char *tail;
		bool too_long;
		uint64_t header_bytes;
	} cases[] = {
		{LIMIT_HEADER_BYTES - 2, "\r\nbody", false, LIMIT_HEADER_BYTES},
		{LIMIT_HEADER_BYTES - 1, "\r\nbody", true, LIMIT_HEADER_BYTES - 1},
		{LIMIT_HEADER_BYTES, "\r\nbody", true, LIMIT_HEADER_BYTES},
		{LIMIT_HEADER_BYTES, "", false, LIMIT_HEADER_BYTES},
		{LIMIT_HEADER_BYTES, "From: a\r\n\r\n", true, LIMIT_HEADER_BYTES},
		{LIMIT_HEADER_BYTES, " more\r\n\r\n", true, 0},
		{LIMIT_HEADER_BYTES - 3, "From: a\r\n\r\n", true, LIMIT_HEADER_BYTES - 3},
		{LIMIT_HEADER_BYTES - 7, "From: a\r\n\r\n", true, LIMIT_HEADER_BYTES - 7},
		{LIMIT_HEADER_BYTES - 9, "From: a\r\n", false, LIMIT_HEADER_BYTES},
		{LIMIT_HEADER_BYTES + 100, "\r\nbody", true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct header_facts *f;
		struct arena mem, other;
		struct buf b;

		arena_init(&mem, 16384);
		arena_init(&other, 16384);
		buf_init(&b, 1 << 20);
		buf_add_str(&b, "Subject: ");
		buf_repeat(&b, "x", cases[i].pad - 11);
		buf_add_str(&b, "\r\n");
		buf_add_str(&b, cases[i].tail);
		f = scan_buf(&mem, &b);
		if (f->header_bytes != cases[i].header_bytes || f->too_long != cases[i].too_long)
			fail_msg("case %zu: header %llu", i, (unsigned long long)f->header_bytes);
		assert_int_equal(f->subject.len, cases[i].header_bytes ? LIMIT_HEADER_FIELD_BYTES : 0);
		check_same(scan_step(&other, buf_span(&b), 1), f);
		buf_clear(&b);
		arena_clear(&mem);
		arena_clear(&other);
	}
}

static void test_hostile(void **state)
{
	static const struct {
		const char *unit;
		size_t times;
		unsigned received;
		uint64_t header_bytes;
	} cases[] = {
		{"Received:\r\n", 20000, 20000, 220000},
		{"Received:\r\n", 1000000, LIMIT_HEADER_BYTES / 11, LIMIT_HEADER_BYTES / 11 * 11},
		{"a:\r\n\t\r\n", 30000, 0, 210000},
		{"a:\n", 80000, 0, 240000},
		{"a:\r", 80000, 0, 240000},
		{"a:\r\r\n", 40000, 0, 200000},
		{"x", 1 << 20, 0, 0},
		{"Delivered-To: q\r\n", 10000, 0, 170000},
		{"From: a@b\r\n", 10000, 0, 110000},
		{"Message-ID: <a@b>\r\n", 10000, 0, 190000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct header_facts *f;
		struct arena mem, other;
		struct buf b;

		arena_init(&mem, 16384);
		arena_init(&other, 16384);
		buf_init(&b, 32 << 20);
		buf_repeat(&b, cases[i].unit, cases[i].times);
		f = scan_buf(&mem, &b);
		assert_int_equal(f->received_count, cases[i].received);
		assert_int_equal(f->header_bytes, cases[i].header_bytes);
		assert_false(mem.overflow);
		check_same(scan_step(&other, buf_span(&b), 4093), f);
		buf_clear(&b);
		arena_clear(&mem);
		arena_clear(&other);
	}
}

/* a value longer than is looked at is cut, and from_bytes says so */
static void test_long_from(void **state)
{
	const struct header_facts *f;
	struct arena mem;
	struct buf b;

	(void)state;
	arena_init(&mem, 16384);
	buf_init(&b, 1 << 20);
	buf_add_str(&b, "From: ");
	buf_repeat(&b, "y", 5000);
	buf_add_str(&b, "\r\nDelivered-To: nobody@example.org\r\n");
	for (int i = 0; i < HEADER_DELIVERED_MAX; i++)
		buf_add_str(&b, "Delivered-To: nobody@example.org\r\n");
	buf_add_str(&b, "Delivered-To: me@example.org\r\n\r\n");
	f = scan_buf(&mem, &b);
	assert_int_equal(f->from.len, LIMIT_HEADER_FIELD_BYTES);
	assert_int_equal(f->from_bytes, 5000);
	assert_int_equal(f->from_at, 6);
	assert_false(f->delivered_to_us);
	buf_clear(&b);
	arena_clear(&mem);
}

static void test_full_arena(void **state)
{
	struct arena mem;

	(void)state;
	arena_init(&mem, 64);
	assert_null(header_scan_new(&mem));
	assert_true(mem.overflow);
	arena_clear(&mem);
}

static void test_random_splits(void **state)
{
	static const char *const pieces[] = {"From", ":", " ", "\r\n", "\r", "\n", "a", "Received:", "\xe9", "\t", "<x@y>", "Subject:", ""};
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct arena mem;
		struct buf b;

		arena_init(&mem, 16384);
		buf_init(&b, 4096);
		for (int i = 0; i < 12; i++) {
			seed = seed * 1664525 + 1013904223;
			buf_add_str(&b, pieces[(seed >> 16) % (sizeof(pieces) / sizeof(pieces[0]))]);
		}
		check_splits(buf_span(&b), scan_buf(&mem, &b));
		buf_clear(&b);
		arena_clear(&mem);
	}
}

static void test_dates(void **state)
{
	static const struct {
		int64_t sec;
		const char *date;
	} cases[] = {
		{0, "Thu, 1 Jan 1970 00:00:00 +0000"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 +0000"},
		{951868800, "Wed, 1 Mar 2000 00:00:00 +0000"},
		{1709164799, "Wed, 28 Feb 2024 23:59:59 +0000"},
		{1709164800, "Thu, 29 Feb 2024 00:00:00 +0000"},
		{1709251200, "Fri, 1 Mar 2024 00:00:00 +0000"},
		{1740787199, "Fri, 28 Feb 2025 23:59:59 +0000"},
		{1740787200, "Sat, 1 Mar 2025 00:00:00 +0000"},
		{1735689599, "Tue, 31 Dec 2024 23:59:59 +0000"},
		{1735689600, "Wed, 1 Jan 2025 00:00:00 +0000"},
		{2147483648, "Tue, 19 Jan 2038 03:14:08 +0000"},
		{4107542400, "Mon, 1 Mar 2100 00:00:00 +0000"},
		{4107542399, "Sun, 28 Feb 2100 23:59:59 +0000"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 +0000"},
		{-1, "Wed, 31 Dec 1969 23:59:59 +0000"},
	};
	static const int64_t parts[] = {0, 1, 999};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < 3; k++) {
			struct buf out;

			buf_init(&out, 64);
			header_write_date(&out, cases[i].sec * 1000 + parts[k]);
			test_span_eq(buf_span(&out), span_str(cases[i].date), "date");
			buf_clear(&out);
		}
	}
}

int test_header(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_message), cmocka_unit_test(test_edges), cmocka_unit_test(test_so_far),
		cmocka_unit_test(test_delivered_to), cmocka_unit_test(test_received_by_us), cmocka_unit_test(test_block_limit), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_long_from), cmocka_unit_test(test_full_arena), cmocka_unit_test(test_random_splits),
		cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
