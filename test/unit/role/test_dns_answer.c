/* answers of the DNS: good ones of every type, and every way to be bad */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/map.h"
#include "role/dns_answer.h"

enum { PACKET_BYTES = 65535, QUESTION_AT = 12 };

/* ---- messages */

struct packet {
	struct buf b;
	unsigned answers, authority;
};

static void be16(struct buf *b, unsigned n)
{
	buf_add_byte(b, (uint8_t)(n >> 8));
	buf_add_byte(b, (uint8_t)n);
}

static void name(struct buf *b, const char *text)
{
	struct span rest = span_str(text);

	while (*text && rest.ptr) {
		struct span label = span_cut(&rest, '.');

		buf_add_byte(b, (uint8_t)label.len);
		buf_add(b, label);
	}
	buf_add_byte(b, 0);
}

static void packet_begin(struct packet *p, const char *asked, unsigned type, unsigned code)
{
	*p = (struct packet){.answers = 0};
	buf_init(&p->b, PACKET_BYTES);
	be16(&p->b, 0);
	be16(&p->b, 0x8180 | code);
	be16(&p->b, 1);
	be16(&p->b, 0);
	be16(&p->b, 0);
	be16(&p->b, 0);
	name(&p->b, asked);
	be16(&p->b, type);
	be16(&p->b, 1);
}

/* owner NULL: a pointer to the question */
static void rr(struct packet *p, const char *owner, unsigned type, unsigned class, uint32_t ttl, struct span data)
{
	if (owner)
		name(&p->b, owner);
	else
		be16(&p->b, 0xc000 | QUESTION_AT);
	be16(&p->b, type);
	be16(&p->b, class);
	be16(&p->b, ttl >> 16);
	be16(&p->b, ttl & 0xffff);
	be16(&p->b, (unsigned)data.len);
	buf_add(&p->b, data);
	p->answers++;
}

static void rr_name(struct packet *p, const char *owner, unsigned type, int preference, const char *target)
{
	struct buf data;

	buf_init(&data, 600);
	if (preference >= 0)
		be16(&data, (unsigned)preference);
	name(&data, target);
	rr(p, owner, type, 1, 300, buf_span(&data));
	buf_clear(&data);
}

static struct span packet_end(struct packet *p)
{
	p->b.ptr[6] = (uint8_t)(p->answers >> 8);
	p->b.ptr[7] = (uint8_t)p->answers;
	p->b.ptr[8] = (uint8_t)(p->authority >> 8);
	p->b.ptr[9] = (uint8_t)p->authority;
	assert_false(p->b.overflow);
	return buf_span(&p->b);
}

/* "found secure 10:mx1.example.org ..." */
static const char *said(const struct dns_answer *a, char out[2000])
{
	struct span cursor = a->is.rrs.raw;
	struct rec_name_rr one;
	struct buf b;

	buf_init(&b, 1999);
	buf_printf(&b, "%s%s", dns_status_name((enum name_status)a->is.status), a->is.cut ? " cut" : "");
	while (rec_name_rr_next(&cursor, &one)) {
		buf_add_byte(&b, ' ');
		if (one.preference)
			buf_printf(&b, "%u:", one.preference);
		buf_add_safe(&b, one.data, 100);
	}
	(void)snprintf(out, 2000, "%s", buf_cstr(&b));
	buf_clear(&b);
	return out;
}

/* takes the packet apart and frees it */
static void check(struct packet *p, enum name_type type, const char *asked, const char *wanted)
{
	struct dns_answer a;
	char text[2000];

	dns_answer_init(&a);
	dns_answer_read(&a, type, asked, packet_end(p));
	assert_string_equal(said(&a, text), wanted);
	assert_true(a.is.status == NAME_FOUND ? a.is.rrs.count > 0 : a.is.rrs.count == 0);
	assert_true((a.is.status == NAME_FAILED) == (a.is.words.len > 0));
	dns_answer_clear(&a);
	buf_clear(&p->b);
}

/* ---- good ones */

static void types(void **state)
{
	static const struct {
		enum name_type type;
		struct span data;
		const char *wanted;
	} rows[] = {
		{NAME_A, SPAN_LIT("ABCD"), "found ABCD"},
		{NAME_AAAA, SPAN_LIT("0123456789abcdef"), "found 0123456789abcdef"},
		{NAME_MX, SPAN_LIT("\0\012\3mx1\7eXample\3ORG\0"), "found 10:mx1.example.org"},
		{NAME_MX, SPAN_LIT("\0\012\3mx1\xc0\014"), "found 10:mx1.example.org"},
		{NAME_MX, SPAN_LIT("\0\0\0"), "found "}, /* null MX */
		{NAME_CNAME, SPAN_LIT("\1a\xc0\014"), "found a.example.org"},
		{NAME_PTR, SPAN_LIT("\4host\xc0\014"), "found host.example.org"},
		{NAME_TXT, SPAN_LIT("\3v=s\3pf1\0\2 x"), "found v=spf1 x"},
		{NAME_TXT, SPAN_LIT("\0"), "found "},
		{NAME_TXT, SPAN_LIT(""), "found "},
		{NAME_TLSA, SPAN_LIT("\3\1\1\xab\xcd"), "found \\x03\\x01\\x01\\xab\\xcd"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet p;

		packet_begin(&p, "example.org", (unsigned)rows[i].type, 0);
		rr(&p, NULL, (unsigned)rows[i].type, 1, 60, rows[i].data);
		check(&p, rows[i].type, "example.org", rows[i].wanted);
	}
}

static void bad_records_are_left_out(void **state)
{
	static const struct {
		enum name_type type;
		struct span data;
	} rows[] = {
		{NAME_A, SPAN_LIT("ABC")}, {NAME_A, SPAN_LIT("ABCDE")}, {NAME_A, SPAN_LIT("")}, {NAME_AAAA, SPAN_LIT("ABCD")},
		{NAME_MX, SPAN_LIT("")}, {NAME_MX, SPAN_LIT("\0\012")}, {NAME_MX, SPAN_LIT("\0\012\3mx1")}, {NAME_MX, SPAN_LIT("\0\012\3m x\0")},
		{NAME_MX, SPAN_LIT("\0\012\3m\0x\0")}, {NAME_MX, SPAN_LIT("\0\012\3m.x\0")}, {NAME_MX, SPAN_LIT("\0\012\3m\\x\0")}, {NAME_MX, SPAN_LIT("\0\012\3m\r\n\0")},
		{NAME_MX, SPAN_LIT("\0\012\3\xc3\xa4x\0")}, {NAME_MX, SPAN_LIT("\0\012\1a\0z")}, {NAME_MX, SPAN_LIT("\0\012\1a\100z\0")},
		{NAME_MX, SPAN_LIT("\0\012\xc0\xff")}, {NAME_MX, SPAN_LIT("\0\012\xff\xff")}, {NAME_MX, SPAN_LIT("\0\012\xc0")},
		{NAME_PTR, SPAN_LIT("\0")}, {NAME_PTR, SPAN_LIT("\4<x>;\0")},
		{NAME_TXT, SPAN_LIT("\5abc")}, {NAME_TXT, SPAN_LIT("\1a\377b")},
		{NAME_TLSA, SPAN_LIT("")}, {NAME_TLSA, SPAN_LIT("\3\1\1")},
	};
	static const struct {
		enum name_type type;
		struct span data;
		const char *wanted;
	} good[] = {{NAME_A, SPAN_LIT("ABCD"), "found ABCD"}, {NAME_AAAA, SPAN_LIT("0123456789abcdef"), "found 0123456789abcdef"},
		{NAME_MX, SPAN_LIT("\0\1\1m\0"), "found 1:m"}, {NAME_PTR, SPAN_LIT("\1p\0"), "found p"}, {NAME_TXT, SPAN_LIT("\1t"), "found t"},
		{NAME_TLSA, SPAN_LIT("abcd"), "found abcd"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet p;

		/* alone: nobody may take it for "there is none" */
		packet_begin(&p, "example.org", (unsigned)rows[i].type, 0);
		rr(&p, NULL, (unsigned)rows[i].type, 1, 60, rows[i].data);
		check(&p, rows[i].type, "example.org", "failed");
		for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
			if (good[k].type != rows[i].type)
				continue;
			packet_begin(&p, "example.org", (unsigned)rows[i].type, 0);
			rr(&p, NULL, (unsigned)rows[i].type, 1, 60, rows[i].data);
			rr(&p, NULL, (unsigned)rows[i].type, 1, 60, good[k].data);
			check(&p, rows[i].type, "example.org", good[k].wanted);
		}
	}
}

static void what_was_not_asked_does_not_count(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, "example.org", NAME_A, 0);
	rr(&p, "other.org", NAME_A, 1, 60, SPAN_LIT("evil"));
	rr(&p, NULL, NAME_A, 3, 60, SPAN_LIT("kaos"));
	rr(&p, NULL, 46, 1, 60, SPAN_LIT("a signature"));
	rr(&p, "EXAMPLE.org", NAME_A, 1, 60, SPAN_LIT("good"));
	check(&p, NAME_A, "example.org", "found good");
	packet_begin(&p, "example.org", NAME_MX, 0);
	rr_name(&p, "sub.example.org", NAME_MX, 5, "evil.org");
	check(&p, NAME_MX, "example.org", "nothing");
}

static void codes(void **state)
{
	static const char *const wanted[16] = {"nothing", "failed", "failed", "unknown", "failed", "failed", "failed", "failed", "failed", "failed", "failed", "failed", "failed",
		"failed", "failed", "failed"};

	(void)state;
	for (unsigned code = 0; code < 16; code++) {
		struct packet p;

		packet_begin(&p, "example.org", NAME_A, code);
		check(&p, NAME_A, "example.org", wanted[code]);
	}
}

/* ---- aliases */

static void aliases(void **state)
{
	struct packet p;
	struct dns_answer a;

	(void)state;
	packet_begin(&p, "a.test", NAME_MX, 0);
	rr_name(&p, "b.test", NAME_CNAME, -1, "C.test"); /* in any order */
	rr_name(&p, "c.test", NAME_MX, 10, "mx.test");
	rr_name(&p, "a.test", NAME_CNAME, -1, "b.test");
	dns_answer_init(&a);
	dns_answer_read(&a, NAME_MX, "a.test", packet_end(&p));
	assert_int_equal(NAME_FOUND, a.is.status);
	assert_string_equal("c.test", a.canonical);
	assert_true(span_eq(a.is.canonical, SPAN_LIT("c.test")));
	dns_answer_clear(&a);
	buf_clear(&p.b);
	/* asked for itself, it is an answer */
	packet_begin(&p, "a.test", NAME_CNAME, 0);
	rr_name(&p, "a.test", NAME_CNAME, -1, "b.test");
	check(&p, NAME_CNAME, "a.test", "found b.test");
	/* leads to nothing */
	packet_begin(&p, "a.test", NAME_MX, 3);
	rr_name(&p, "a.test", NAME_CNAME, -1, "b.test");
	check(&p, NAME_MX, "a.test", "unknown");
	/* no host name at its end: the root, and one with a blank */
	packet_begin(&p, "a.test", NAME_MX, 0);
	rr_name(&p, "a.test", NAME_CNAME, -1, "");
	check(&p, NAME_MX, "a.test", "failed");
	packet_begin(&p, "a.test", NAME_MX, 0);
	rr_name(&p, "a.test", NAME_CNAME, -1, "b b.test");
	check(&p, NAME_MX, "a.test", "failed");
}

static void alias_loops_end(void **state)
{
	struct packet p;
	char from[16], to[16];

	(void)state;
	for (unsigned length = 1; length <= 4; length++) {
		packet_begin(&p, "n0.test", NAME_A, 0);
		for (unsigned i = 0; i < length; i++) {
			(void)snprintf(from, sizeof(from), "n%u.test", i);
			(void)snprintf(to, sizeof(to), "n%u.test", (i + 1) % length);
			rr_name(&p, from, NAME_CNAME, -1, to);
		}
		rr(&p, NULL, NAME_A, 1, 60, SPAN_LIT("ABCD"));
		check(&p, NAME_A, "n0.test", "failed");
	}
	for (unsigned length = DNS_ALIASES_MAX - 1; length <= DNS_ALIASES_MAX + 1; length++) {
		packet_begin(&p, "n0.test", NAME_A, 0);
		for (unsigned i = 0; i < length; i++) {
			(void)snprintf(from, sizeof(from), "n%u.test", i);
			(void)snprintf(to, sizeof(to), "n%u.test", i + 1);
			rr_name(&p, from, NAME_CNAME, -1, to);
		}
		rr(&p, to, NAME_A, 1, 60, SPAN_LIT("ABCD"));
		check(&p, NAME_A, "n0.test", length <= DNS_ALIASES_MAX ? "found ABCD" : "failed");
	}
}

/* ---- many */

static void many_mx(unsigned count, unsigned wanted, bool cut)
{
	struct packet p;
	struct dns_answer a;
	struct span cursor;
	struct rec_name_rr one;
	unsigned n = 0;
	char target[32];

	packet_begin(&p, "a.test", NAME_MX, 0);
	for (unsigned i = 0; i < count; i++) { /* the preferred ones come last */
		(void)snprintf(target, sizeof(target), "mx%u.test", i);
		rr_name(&p, NULL, NAME_MX, (int)(count - i), target);
	}
	dns_answer_init(&a);
	dns_answer_read(&a, NAME_MX, "a.test", packet_end(&p));
	assert_int_equal(wanted, a.is.rrs.count);
	assert_int_equal(cut, a.is.cut);
	for (cursor = a.is.rrs.raw; rec_name_rr_next(&cursor, &one); n++) {
		assert_int_equal(n + 1, one.preference);
		(void)snprintf(target, sizeof(target), "mx%u.test", count - n - 1);
		assert_true(span_eq(one.data, span_str(target)));
	}
	assert_int_equal(wanted, n);
	dns_answer_clear(&a);
	buf_clear(&p.b);
}

static void of_many_mx_the_preferred_ones(void **state)
{
	(void)state;
	many_mx(1, 1, false);
	many_mx(99, 99, false);
	many_mx(100, 100, false);
	many_mx(101, 100, true);
	many_mx(1000, 100, true);
}

static void long_texts(void **state)
{
	struct packet p;
	struct dns_answer a;
	struct buf data;

	(void)state;
	for (unsigned strings = 64; strings <= 65; strings++) {
		buf_init(&data, 32768);
		for (unsigned i = 0; i < strings; i++) {
			buf_add_byte(&data, 255);
			for (unsigned k = 0; k < 255; k++)
				buf_add_byte(&data, 'x');
		}
		packet_begin(&p, "a.test", NAME_TXT, 0);
		rr(&p, NULL, NAME_TXT, 1, 60, buf_span(&data));
		dns_answer_init(&a);
		dns_answer_read(&a, NAME_TXT, "a.test", packet_end(&p));
		assert_int_equal(strings == 64 ? NAME_FOUND : NAME_FAILED, a.is.status); /* 16,320 bytes; 16,575 */
		dns_answer_clear(&a);
		buf_clear(&p.b);
		buf_clear(&data);
	}
}

/* ---- how long it holds */

static void times(void **state)
{
	static const struct {
		uint32_t alias, first, second, wanted;
	} rows[] = {{300, 60, 600, 60}, {30, 60, 600, 30}, {300, 0x80000001, 5, 0}, {300, 0, 5, 0}};
	struct dns_answer a;
	struct packet p;
	struct buf soa;

	(void)state;
	dns_answer_init(&a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		packet_begin(&p, "a.test", NAME_A, 0);
		rr(&p, NULL, NAME_CNAME, 1, rows[i].alias, SPAN_LIT("\1b\4test\0"));
		rr(&p, "b.test", NAME_A, 1, rows[i].first, SPAN_LIT("ABCD"));
		rr(&p, "b.test", NAME_A, 1, rows[i].second, SPAN_LIT("EFGH"));
		dns_answer_read(&a, NAME_A, "a.test", packet_end(&p));
		assert_int_equal(rows[i].wanted, a.is.ttl_s);
		buf_clear(&p.b);
	}
	/* "there is none" as long as the zone says (RFC 2308 5) */
	buf_init(&soa, 100);
	buf_add(&soa, SPAN_LIT("\2ns\0\4root\0" "0123" "4567" "89ab" "cdef" "\0\0\0\x2a"));
	packet_begin(&p, "a.test", NAME_A, 3);
	rr(&p, "test", 6, 1, 900, buf_span(&soa));
	p.answers = 0;
	p.authority = 1;
	dns_answer_read(&a, NAME_A, "a.test", packet_end(&p));
	assert_int_equal(NAME_UNKNOWN, a.is.status);
	assert_int_equal(42, a.is.ttl_s);
	buf_clear(&p.b);
	packet_begin(&p, "a.test", NAME_A, 3);
	dns_answer_read(&a, NAME_A, "a.test", packet_end(&p));
	assert_int_equal(0, a.is.ttl_s);
	buf_clear(&p.b);
	buf_clear(&soa);
	dns_answer_clear(&a);
}

/* ---- garbage */

/* a copy of its own, so that a byte read behind the end is seen */
static int status_of(struct dns_answer *a, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	(void)memcpy(copy, bytes, len);
	dns_answer_read(a, NAME_MX, "example.org", span_of(copy, len));
	free(copy);
	return a->is.status;
}

static void cut_short_anywhere(void **state)
{
	struct packet p;
	struct dns_answer a;
	struct span whole;

	(void)state;
	packet_begin(&p, "example.org", NAME_MX, 0);
	rr_name(&p, NULL, NAME_CNAME, -1, "b.example.org");
	rr_name(&p, "b.example.org", NAME_MX, 10, "mx.example.org");
	whole = packet_end(&p);
	dns_answer_init(&a);
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(NAME_FAILED, status_of(&a, whole.ptr, len));
	assert_int_equal(NAME_FOUND, status_of(&a, whole.ptr, whole.len));
	dns_answer_clear(&a);
	buf_clear(&p.b);
}

static void damaged_anyhow(void **state)
{
	struct packet p;
	struct dns_answer a;
	struct span whole;
	uint8_t bytes[512];
	uint64_t seed = 1;

	(void)state;
	packet_begin(&p, "example.org", NAME_MX, 0);
	rr_name(&p, NULL, NAME_CNAME, -1, "b.example.org");
	for (int i = 0; i < 5; i++)
		rr_name(&p, "b.example.org", NAME_MX, 10, "mx.example.org");
	whole = packet_end(&p);
	assert_true(whole.len < sizeof(bytes));
	dns_answer_init(&a);
	for (size_t at = 0; at < whole.len; at++)
		for (unsigned byte = 0; byte < 256; byte++) {
			(void)memcpy(bytes, whole.ptr, whole.len);
			bytes[at] = (uint8_t)byte;
			(void)status_of(&a, bytes, whole.len);
			assert_true(a.is.rrs.count <= 5);
		}
	for (int round = 0; round < 20000; round++) {
		(void)memcpy(bytes, whole.ptr, whole.len);
		for (int i = 0; i < 8; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			bytes[(seed >> 33) % whole.len] = (uint8_t)(seed >> 56);
		}
		(void)status_of(&a, bytes, whole.len);
	}
	dns_answer_clear(&a);
	buf_clear(&p.b);
}

/* names that point to themselves, to each other, or on and on: each is given up after 255 bytes */
static void pointers(void **state)
{
	struct packet p;
	struct dns_answer a;
	size_t at;

	(void)state;
	dns_answer_init(&a);
	packet_begin(&p, "example.org", NAME_MX, 0);
	at = p.b.len + 2 + 10; /* behind owner and fixed part of the record */
	for (unsigned i = 0; i < 4500; i++)
		rr(&p, NULL, NAME_CNAME, 1, 60, span_of((const uint8_t[]){(uint8_t)(0xc0 | at >> 8), (uint8_t)at}, 2)); /* the first points to itself, the others to it */
	dns_answer_read(&a, NAME_MX, "example.org", packet_end(&p));
	assert_int_equal(NAME_FAILED, a.is.status);
	buf_clear(&p.b);
	/* 300 labels of one byte */
	packet_begin(&p, "example.org", NAME_MX, 0);
	be16(&p.b, 0xc000 | QUESTION_AT);
	be16(&p.b, NAME_CNAME);
	be16(&p.b, 1);
	be16(&p.b, 0);
	be16(&p.b, 60);
	be16(&p.b, 601);
	for (int i = 0; i < 300; i++)
		buf_add(&p.b, SPAN_LIT("\1a"));
	buf_add_byte(&p.b, 0);
	p.answers = 1;
	dns_answer_read(&a, NAME_MX, "example.org", packet_end(&p));
	assert_int_equal(NAME_FAILED, a.is.status);
	buf_clear(&p.b);
	dns_answer_clear(&a);
}

/* ---- names, words */

static void names(void **state)
{
	static const struct {
		const char *text, *wanted; /* NULL: none */
	} rows[] = {{"example.org", "example.org"}, {"EXAMPLE.Org.", "example.org"}, {"_25._tcp.mx.test", "_25._tcp.mx.test"}, {"1/25.2.0.192.in-addr.arpa", "1/25.2.0.192.in-addr.arpa"},
		{"a", "a"}, {"", NULL}, {".", NULL}, {"..", NULL}, {"a..b", NULL}, {".a", NULL}, {"a b", NULL}, {"a\\046b", NULL}, {"b\303\274cher.test", NULL}, {"a\nb", NULL},
		{"[192.0.2.1]", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};
	char out[DNS_NAME_BYTES + 1], longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(rows[i].wanted != NULL, dns_name_clean(span_str(rows[i].text), out));
		if (rows[i].wanted)
			assert_string_equal(rows[i].wanted, out);
	}
	for (size_t i = 0; i < 254; i++)
		longest[i] = i % 2 ? '.' : 'a';
	assert_true(dns_name_clean(span_of(longest, 253), out));
	assert_true(dns_name_clean(span_of(longest, 254), out)); /* with the last dot */
	longest[254] = 'a';
	assert_false(dns_name_clean(span_of(longest, 255), out));
	assert_int_equal(NAME_TLSA, dns_type_find(SPAN_LIT("tlsa")));
	assert_int_equal(0, dns_type_find(SPAN_LIT("SOA")));
	assert_false(dns_type_known(6));
	assert_string_equal("AAAA", dns_type_name(NAME_AAAA));
}

static void words_are_safe_and_short(void **state)
{
	struct dns_answer a;
	char text[1000];

	(void)state;
	(void)memset(text, '\n', sizeof(text));
	dns_answer_init(&a);
	dns_answer_fail(&a, NAME_BOGUS, span_of(text, sizeof(text)));
	assert_int_equal(NAME_BOGUS, a.is.status);
	assert_true(a.is.words.len <= DNS_WORDS_BYTES && a.is.words.len > 0);
	assert_true(span_find(a.is.words, '\n') == a.is.words.len);
	dns_answer_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types), cmocka_unit_test(bad_records_are_left_out), cmocka_unit_test(what_was_not_asked_does_not_count), cmocka_unit_test(codes),
		cmocka_unit_test(aliases), cmocka_unit_test(alias_loops_end), cmocka_unit_test(of_many_mx_the_preferred_ones), cmocka_unit_test(long_texts),
		cmocka_unit_test(times), cmocka_unit_test(cut_short_anywhere), cmocka_unit_test(damaged_anyhow), cmocka_unit_test(pointers), cmocka_unit_test(names),
		cmocka_unit_test(words_are_safe_and_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
