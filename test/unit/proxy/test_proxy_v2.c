/* the PROXY protocol header whole, byte by byte and split at every point, with the protocol's own bytes right behind it */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "proto/proxy/proxy_v2.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4                                                                                                                                 \
	"\xc0\x00\x02\x07"                                                                                                                 \
	"\x0a\x00\x00\x01"                                                                                                                 \
	"\x30\x39"                                                                                                                         \
	"\x00\x19" /* 192.0.2.7:12345 to 10.0.0.1:25 */
#define V6                                                                                                                                 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                                                                       \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                                                                       \
	"\xff\xff"                                                                                                                         \
	"\x00\x19"
#define MAPPED                                                                                                                             \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07"                                                                                     \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x01"                                                                                     \
	"\x30\x39"                                                                                                                         \
	"\x00\x19"
#define NOOP_TLV                                                                                                                           \
	"\x04\x00\x03"                                                                                                                     \
	"abc"
#define AUTHORITY_TLV                                                                                                                      \
	"\x02\x00\x0b"                                                                                                                     \
	"example.org"
#define CASE(text, ...)                                                                                                                    \
	{                                                                                                                                  \
		{(const uint8_t *)(text), sizeof(text) - 1}, __VA_ARGS__                                                                   \
	}

struct known {
	struct span text;
	enum proxy_state state;
	const char *client; /* NULL: the real peer counts */
	unsigned source_port;
	bool local;
};

static const struct known known[] = {
	CASE(SIG "\x21\x11\x00\x0c" V4, PROXY_DONE, "192.0.2.7", 12345, false),
	CASE(SIG "\x21\x21\x00\x24" V6, PROXY_DONE, "2001:db8::7", 65535, false),
	CASE(SIG "\x21\x21\x00\x24" MAPPED, PROXY_DONE, "192.0.2.7", 12345, false), /* one client has one address */
	CASE(SIG "\x21\x11\x00\x12" V4 NOOP_TLV, PROXY_DONE, "192.0.2.7", 12345, false),
	CASE(SIG "\x21\x11\x00\x20" V4 AUTHORITY_TLV NOOP_TLV, PROXY_DONE, "192.0.2.7", 12345, false),
	CASE(SIG "\x20\x00\x00\x00", PROXY_DONE, NULL, 0, true),
	CASE(SIG "\x20\x11\x00\x0c" V4, PROXY_DONE, NULL, 0, true), /* LOCAL: its addresses are not looked at */
	CASE(SIG "\x20\xff\x00\x02xx", PROXY_DONE, NULL, 0, true),
	CASE(SIG "\x21\x00\x00\x00", PROXY_DONE, NULL, 0, false), /* AF_UNSPEC */
	CASE(SIG "\x21\x00\x00\x03xyz", PROXY_DONE, NULL, 0, false),
	CASE("E", PROXY_BAD, NULL, 0, false),
	CASE("EHLO client.example\r\n", PROXY_BAD, NULL, 0, false),
	CASE("PROXY TCP4 192.0.2.7 10.0.0.1 12345 25\r\n", PROXY_BAD, NULL, 0, false), /* version 1 */
	CASE("\r\n\r\n\0\r\nQUIT\r", PROXY_BAD, NULL, 0, false),
	CASE("\x16\x03\x01", PROXY_BAD, NULL, 0, false),	    /* TLS */
	CASE(SIG "\x11\x11\x00\x0c" V4, PROXY_BAD, NULL, 0, false), /* version */
	CASE(SIG "\x31\x11\x00\x0c" V4, PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x22\x11\x00\x0c" V4, PROXY_BAD, NULL, 0, false), /* command */
	CASE(SIG "\x21\x12\x00\x0c" V4, PROXY_BAD, NULL, 0, false), /* datagrams */
	CASE(SIG "\x21\x10\x00\x0c" V4, PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x41\x00\x0c" V4, PROXY_BAD, NULL, 0, false), /* a family that there is not */
	CASE(SIG "\x21\x11\x00\x0b" V4, PROXY_BAD, NULL, 0, false), /* shorter than its addresses */
	CASE(SIG "\x21\x21\x00\x0c" V4, PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x31\x00\x0c" V4, PROXY_BAD, NULL, 0, false),	   /* names of sockets need 216 */
	CASE(SIG "\x21\x11\x00\x0d" V4 "\x04", PROXY_BAD, NULL, 0, false), /* extensions cut short */
	CASE(SIG "\x21\x11\x00\x0e" V4 "\x04\x00", PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x11\x00\x11" V4 "\x04\x00\x03\x61\x62", PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x11\x00\x10" V4 "\x04\xff\xff\x61", PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x11\x02\x09", PROXY_BAD, NULL, 0, false), /* 537 bytes */
	CASE(SIG "\x21\x11\xff\xff" V4, PROXY_BAD, NULL, 0, false),
	CASE(SIG "\x21\x11\x00\x0c\xc0", PROXY_MORE, NULL, 0, false),
	CASE(SIG, PROXY_MORE, NULL, 0, false),
	CASE("", PROXY_MORE, NULL, 0, false),
};

static void check(const struct known *k, const struct proxy_v2 *p, size_t taken)
{
	struct buf text;

	assert_int_equal(p->state, k->state);
	assert_int_equal(p->why != NULL, k->state == PROXY_BAD);
	assert_int_equal(proxy_v2_wants(p) > 0, k->state == PROXY_MORE);
	assert_true(taken <= k->text.len);
	if (k->state != PROXY_BAD)
		assert_int_equal(taken, k->text.len);
	if (k->state != PROXY_DONE)
		return;
	assert_int_equal(p->local, k->local);
	assert_int_equal(p->has_client, k->client != NULL);
	if (!k->client)
		return;
	buf_init(&text, 64);
	net_write(&text, &p->source);
	assert_string_equal(buf_cstr(&text), k->client);
	assert_int_equal(p->source_port, k->source_port);
	assert_int_equal(p->destination_port, 25);
	buf_clear(&text);
}

/* what comes behind the header is never taken */
static size_t feed(struct proxy_v2 *p, struct span text, size_t cut, size_t step)
{
	size_t taken = 0;

	proxy_v2_init(p);
	while (taken < text.len) {
		size_t n = taken < cut ? cut - taken : step;
		size_t got = proxy_v2_feed(p, span_head(span_from(text, taken), n));

		taken += got;
		if (p->state != PROXY_MORE)
			break;
		assert_int_equal(got, span_head(span_from(text, taken - got), n).len);
	}
	return taken;
}

static void test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct known *k = &known[i];
		struct proxy_v2 p;
		uint8_t with_rest[128];
		size_t taken;

		for (size_t cut = 0; cut <= k->text.len; cut++) {
			taken = feed(&p, k->text, cut, SIZE_MAX);
			check(k, &p, taken);
		}
		taken = feed(&p, k->text, 0, 1);
		check(k, &p, taken);
		if (k->state != PROXY_DONE)
			continue;
		memcpy(with_rest, k->text.ptr, k->text.len);
		memcpy(with_rest + k->text.len, "EHLO", 4);
		proxy_v2_init(&p);
		assert_int_equal(proxy_v2_feed(&p, span_of(with_rest, k->text.len + 4)), k->text.len);
		check(k, &p, k->text.len);
		assert_int_equal(proxy_v2_feed(&p, SPAN_LIT("EHLO")), 0);
	}
}

/* the owner who reads only what is wanted never reads past the header */
static void test_wants(void **state)
{
	static const uint8_t text[] = SIG "\x21\x11\x00\x12" V4 NOOP_TLV "EHLO";
	const struct span all = {text, sizeof(text) - 1 - 4};
	struct proxy_v2 p;
	size_t at = 0, n;

	(void)state;
	proxy_v2_init(&p);
	assert_int_equal(proxy_v2_wants(&p), PROXY_V2_HEAD_BYTES);
	while ((n = proxy_v2_wants(&p)) > 0) {
		assert_true(at + n <= all.len);
		at += proxy_v2_feed(&p, span_of(text + at, n));
	}
	assert_int_equal(at, all.len);
	assert_int_equal(p.state, PROXY_DONE);
}

/* names of UNIX sockets are no client that one could limit; and a header may be exactly as long as the limit */
static void test_long_ones(void **state)
{
	uint8_t text[LIMIT_PROXY_HEADER_BYTES];
	struct proxy_v2 p;

	(void)state;
	memset(text, 0, sizeof(text));
	memcpy(text, SIG "\x21\x31\x00\xd8", PROXY_V2_HEAD_BYTES);
	proxy_v2_init(&p);
	assert_int_equal(proxy_v2_feed(&p, span_of(text, sizeof(text))), PROXY_V2_HEAD_BYTES + 216);
	assert_int_equal(p.state, PROXY_DONE);
	assert_false(p.has_client);
	assert_false(p.local);
	memcpy(text, SIG "\x21\x11\x02\x08" V4 "\x04\x01\xf9", PROXY_V2_HEAD_BYTES + 12 + 3);
	proxy_v2_init(&p);
	assert_int_equal(proxy_v2_feed(&p, span_of(text, sizeof(text))), LIMIT_PROXY_HEADER_BYTES);
	assert_int_equal(p.state, PROXY_DONE);
	assert_true(p.has_client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_wants), cmocka_unit_test(test_long_ones)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
