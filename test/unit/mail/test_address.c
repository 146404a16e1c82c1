#include "test_mail.h"

#include "base/limits.h"
#include "mail/address.h"

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define L60 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

enum { U = ADDRESS_UTF8 };

struct parse_case {
	struct span text;
	unsigned flags;
	enum address_fault fault;
	const char *local, *domain; /* where it is good */
	const char *written;        /* by address_write; NULL: as it came in */
};

static const struct parse_case plain[] = {
	/* dot-strings */
	{S("a@b"), 0, ADDRESS_OK, "a", "b", NULL},
	{S("user@example.org"), 0, ADDRESS_OK, "user", "example.org", NULL},
	{S("User@Example.ORG"), 0, ADDRESS_OK, "User", "example.org", "User@example.org"},
	{S("first.last@example.org"), 0, ADDRESS_OK, "first.last", "example.org", NULL},
	{S("a.b.c.d@example.org"), 0, ADDRESS_OK, "a.b.c.d", "example.org", NULL},
	{S("user+detail@example.org"), 0, ADDRESS_OK, "user+detail", "example.org", NULL},
	{S("!#$%&'*+-/=?^_`{|}~@example.org"), 0, ADDRESS_OK, "!#$%&'*+-/=?^_`{|}~", "example.org", NULL},
	{S("a%b@c"), 0, ADDRESS_OK, "a%b", "c", NULL},
	{S("a!b@c"), 0, ADDRESS_OK, "a!b", "c", NULL},
	{S("host!user%relay@example.org"), 0, ADDRESS_OK, "host!user%relay", "example.org", NULL},
	{S("0@0"), 0, ADDRESS_OK, "0", "0", NULL},
	{S("-@example.org"), 0, ADDRESS_OK, "-", "example.org", NULL},
	{S("postmaster@example.org"), 0, ADDRESS_OK, "postmaster", "example.org", NULL},
	{S(".a@b"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a.@b"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a..b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S(".@b"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("@b"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("@"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S(" a@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a @c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a,b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a:b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a;b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a(b)@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a<b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a>b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("<a@c>"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a[b]@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a\\b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a\"b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a"), 0, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("a@"), 0, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("\"a\""), 0, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("\"a\"@"), 0, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S(""), 0, ADDRESS_EMPTY, 0, 0, 0},
	{S(""), ADDRESS_NULL_OK, ADDRESS_OK, "", "", NULL},
	{S("a@b@c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@@b"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	/* postmaster alone */
	{S("postmaster"), 0, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("postmaster"), ADDRESS_POSTMASTER_OK, ADDRESS_OK, "postmaster", "", NULL},
	{S("PostMaster"), ADDRESS_POSTMASTER_OK, ADDRESS_OK, "PostMaster", "", NULL},
	{S("\"postmaster\""), ADDRESS_POSTMASTER_OK, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("postmaster@"), ADDRESS_POSTMASTER_OK, ADDRESS_NO_DOMAIN, 0, 0, 0},
	{S("postmasters"), ADDRESS_POSTMASTER_OK, ADDRESS_NO_DOMAIN, 0, 0, 0},
	/* quoted strings */
	{S("\"a b\"@c"), 0, ADDRESS_OK, "a b", "c", NULL},
	{S("\"a\"@c"), 0, ADDRESS_OK, "a", "c", "a@c"},
	{S("\"a.b\"@c"), 0, ADDRESS_OK, "a.b", "c", "a.b@c"},
	{S("\"a..b\"@c"), 0, ADDRESS_OK, "a..b", "c", NULL},
	{S("\".\"@c"), 0, ADDRESS_OK, ".", "c", NULL},
	{S("\"\"@c"), 0, ADDRESS_OK, "", "c", NULL},
	{S("\" \"@c"), 0, ADDRESS_OK, " ", "c", NULL},
	{S("\"a@b\"@c"), 0, ADDRESS_OK, "a@b", "c", NULL},
	{S("\"a\\\"b\"@c"), 0, ADDRESS_OK, "a\"b", "c", NULL},
	{S("\"a\\\\b\"@c"), 0, ADDRESS_OK, "a\\b", "c", NULL},
	{S("\"\\a\\b\"@c"), 0, ADDRESS_OK, "ab", "c", "ab@c"},
	{S("\"\\ \"@c"), 0, ADDRESS_OK, " ", "c", "\" \"@c"},
	{S("\"<>()[],;:\"@c"), 0, ADDRESS_OK, "<>()[],;:", "c", NULL},
	{S("\"a"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\""), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a\\"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a\\\"@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a\"b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a\".b@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("a.\"b\"@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("\"a\"\"b\"@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	{S("'a b'@c"), 0, ADDRESS_BAD_LOCAL, 0, 0, 0},
	/* domains */
	{S("a@b-c.d-e"), 0, ADDRESS_OK, "a", "b-c.d-e", NULL},
	{S("a@b--c"), 0, ADDRESS_OK, "a", "b--c", NULL},
	{S("a@xn--bcher-kva.example"), 0, ADDRESS_OK, "a", "xn--bcher-kva.example", NULL},
	{S("a@b_c.example"), 0, ADDRESS_OK, "a", "b_c.example", NULL},
	{S("a@192.0.2.1"), 0, ADDRESS_OK, "a", "192.0.2.1", NULL},
	{S("a@1.2.3.4.5"), 0, ADDRESS_OK, "a", "1.2.3.4.5", NULL},
	{S("a@" L60 "bbb"), 0, ADDRESS_OK, "a", L60 "bbb", NULL},
	{S("a@" L60 "bbbb"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b."), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@."), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@.b"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b..c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@-b"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b-"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b-.c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@_b.c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b_.c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b "), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b>"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b/c"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b:25"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@\"b\""), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@(b)"), 0, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	/* literals */
	{S("a@[192.0.2.1]"), 0, ADDRESS_OK, "a", "[192.0.2.1]", NULL},
	{S("a@[IPv6:2001:db8::1]"), 0, ADDRESS_OK, "a", "[IPv6:2001:db8::1]", NULL},
	{S("a@[ipv6:2001:DB8:0:0:0:0:0:1]"), 0, ADDRESS_OK, "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
	{S("a@[IPv6:::ffff:192.0.2.1]"), 0, ADDRESS_OK, "a", "[IPv6:::ffff:192.0.2.1]", NULL},
	{S("a@[IPv6:::]"), 0, ADDRESS_OK, "a", "[IPv6:::]", NULL},
	{S("a@[]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@["), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2.1"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2.1]x"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2.1]."), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2.256]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[192.0.2.1.1]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[0xc0.0.2.1]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[ 192.0.2.1]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[2001:db8::1]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[IPv6:192.0.2.1]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[IPv6:1::2::3]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[IPv6:fe80::1%eth0]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[tag:words]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[example.org]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[[192.0.2.1]]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("a@[" A50 A50 "]"), 0, ADDRESS_BAD_LITERAL, 0, 0, 0},
	/* control characters */
	{S("a\r\nb@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a\0b@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("\"a\nb\"@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("\"a\\\rb\"@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("\"a\0\"@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("\"a\tb\"@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a\x7f@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a@b\0c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a@b\r"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a@b\n"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a@[192.0.2.1\0]"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a@[192.0.2.1]\n"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("\x1b[2J@c"), 0, ADDRESS_CONTROL, 0, 0, 0},
	{S("a\xc2\x85@c"), U, ADDRESS_CONTROL, 0, 0, 0},
	/* UTF-8, RFC 6531 */
	{S("j\xc3\xb6rg@example.org"), 0, ADDRESS_NEEDS_SMTPUTF8, 0, 0, 0},
	{S("j\xc3\xb6rg@example.org"), U, ADDRESS_OK, "j\xc3\xb6rg", "example.org", NULL},
	{S("\"j\xc3\xb6 rg\"@example.org"), U, ADDRESS_OK, "j\xc3\xb6 rg", "example.org", NULL},
	{S("\"j\xc3\xb6rg\"@example.org"), 0, ADDRESS_NEEDS_SMTPUTF8, 0, 0, 0},
	{S("a@b\xc3\xbc" "cher.example"), 0, ADDRESS_NEEDS_SMTPUTF8, 0, 0, 0},
	{S("a@b\xc3\xbc" "cher.EXAMPLE"), U, ADDRESS_OK, "a", "b\xc3\xbc" "cher.example", "a@b\xc3\xbc" "cher.example"},
	{S("\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b.\xe5\xb9\xbf\xe5\x91\x8a"), U, ADDRESS_OK, "\xe7\x94\xa8\xe6\x88\xb7",
		"\xe4\xbe\x8b.\xe5\xb9\xbf\xe5\x91\x8a", NULL},
	{S("\xf0\x9f\x98\x80@example.org"), U, ADDRESS_OK, "\xf0\x9f\x98\x80", "example.org", NULL},
	{S("a\xff@c"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\xff@c"), 0, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\xc0\xaf@c"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\xed\xa0\x80@c"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\xf4\x90\x80\x80@c"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\xc3"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a\x80@c"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a@b\xe9"), U, ADDRESS_BAD_UTF8, 0, 0, 0},
	{S("a@b\xe3\x80\x82" "c"), U, ADDRESS_BAD_DOMAIN, 0, 0, 0}, /* ideographic full stop */
	{S("a@b\xc2\xa0" "c"), U, ADDRESS_BAD_DOMAIN, 0, 0, 0},
	{S("a@b\xe2\x80\xae" "c"), U, ADDRESS_BAD_DOMAIN, 0, 0, 0}, /* right-to-left override */
	{S("a@[\xc3\xb6]"), U, ADDRESS_BAD_LITERAL, 0, 0, 0},
	{S("\"\\\xc3\xb6\"@c"), U, ADDRESS_BAD_LOCAL, 0, 0, 0},
	/* limits: 64 octets before the @, 256 with brackets */
	{S(A50 "aaaaaaaaaaaaaa@c"), 0, ADDRESS_OK, A50 "aaaaaaaaaaaaaa", "c", NULL},
	{S(A50 "aaaaaaaaaaaaaaa@c"), 0, ADDRESS_TOO_LONG, 0, 0, 0},
	{S("\"" A50 "aaaaaaaaaaaa\"@c"), 0, ADDRESS_OK, A50 "aaaaaaaaaaaa", "c", A50 "aaaaaaaaaaaa@c"},
	{S("\"" A50 "aaaaaaaaaaaaa\"@c"), 0, ADDRESS_TOO_LONG, 0, 0, 0},
	{S("aaaaaaaaaa@" L60 "." L60 "." L60 "." L60), 0, ADDRESS_OK, "aaaaaaaaaa", L60 "." L60 "." L60 "." L60, NULL},
	{S("aaaaaaaaaaa@" L60 "." L60 "." L60 "." L60), 0, ADDRESS_TOO_LONG, 0, 0, 0},
	{S("a@" L60 "." L60 "." L60 "." L60 ".bbbbbbbbbbb"), 0, ADDRESS_TOO_LONG, 0, 0, 0},
	{S("a@" L60 "." L60 "." L60 "." L60 ".bbbbbbbbbbbb"), 0, ADDRESS_TOO_LONG, 0, 0, 0},
};

struct path_case {
	struct span text;
	unsigned flags;
	enum address_fault fault;
	const char *written, *rest;
};

enum { N = ADDRESS_NULL_OK, P = ADDRESS_POSTMASTER_OK, LAX = ADDRESS_LAX_BRACKETS };

static const struct path_case paths[] = {
	{S("<a@b>"), 0, ADDRESS_OK, "a@b", ""},
	{S("<a@b> SIZE=1"), 0, ADDRESS_OK, "a@b", " SIZE=1"},
	{S("<a@b>SIZE=1"), 0, ADDRESS_OK, "a@b", "SIZE=1"},
	{S("<\"a>b\"@c> X"), 0, ADDRESS_OK, "\"a>b\"@c", " X"},
	{S("<>"), N, ADDRESS_OK, "", ""},
	{S("<> BODY=8BITMIME"), N, ADDRESS_OK, "", " BODY=8BITMIME"},
	{S("<>"), 0, ADDRESS_EMPTY, 0, 0},
	{S("<>"), P, ADDRESS_EMPTY, 0, 0},
	{S(""), N, ADDRESS_EMPTY, 0, 0},
	{S(""), LAX, ADDRESS_EMPTY, 0, 0},
	{S("<Postmaster>"), P, ADDRESS_OK, "Postmaster", ""},
	{S("<POSTMASTER> NOTIFY=NEVER"), P, ADDRESS_OK, "POSTMASTER", " NOTIFY=NEVER"},
	{S("<postmaster>"), N, ADDRESS_NO_DOMAIN, 0, 0},
	{S("<root>"), P, ADDRESS_NO_DOMAIN, 0, 0},
	{S("<a@>"), 0, ADDRESS_NO_DOMAIN, 0, 0},
	{S("a@b"), 0, ADDRESS_NO_BRACKETS, 0, 0},
	{S(" <a@b>"), 0, ADDRESS_NO_BRACKETS, 0, 0},
	{S("<a@b"), 0, ADDRESS_NO_BRACKETS, 0, 0},
	{S("<a@b SIZE=1"), 0, ADDRESS_NO_BRACKETS, 0, 0},
	{S("<a@[192.0.2.1]"), 0, ADDRESS_NO_BRACKETS, 0, 0},
	{S("a@b"), LAX, ADDRESS_OK, "a@b", ""},
	{S("a@b rest"), LAX, ADDRESS_OK, "a@b", " rest"},
	{S("<a@b> rest"), LAX, ADDRESS_OK, "a@b", " rest"},
	{S("\"a b\"@c d"), LAX, ADDRESS_OK, "\"a b\"@c", " d"},
	{S("a@b>"), LAX, ADDRESS_BAD_DOMAIN, 0, 0},
	{S("postmaster"), LAX | P, ADDRESS_OK, "postmaster", ""},
	{S("< a@b>"), 0, ADDRESS_BAD_LOCAL, 0, 0},
	{S("<a@b >"), 0, ADDRESS_BAD_DOMAIN, 0, 0},
	{S("<<a@b>>"), 0, ADDRESS_BAD_LOCAL, 0, 0},
	{S("<a@b@c>"), 0, ADDRESS_BAD_DOMAIN, 0, 0},
	{S("<a@b.>"), 0, ADDRESS_BAD_DOMAIN, 0, 0},
	{S("<a@b\0>"), 0, ADDRESS_CONTROL, 0, 0},
	{S("<a@b\r\n>"), 0, ADDRESS_CONTROL, 0, 0},
	{S("<"), N, ADDRESS_BAD_LOCAL, 0, 0},
	/* source routes, RFC 5321 appendix C */
	{S("<@a.example,@b.example:user@c.example>"), 0, ADDRESS_OK, "user@c.example", ""},
	{S("<@a.example:user@c.example> SIZE=2"), 0, ADDRESS_OK, "user@c.example", " SIZE=2"},
	{S("<@a:\"x y\"@[192.0.2.1]>"), 0, ADDRESS_OK, "\"x y\"@[192.0.2.1]", ""},
	{S("<@a.example>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@:a@b>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a,b:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a,@:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a,,@b:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a@b:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a.:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@[192.0.2.1]:c@d>"), 0, ADDRESS_BAD_ROUTE, 0, 0},
	{S("<@a\r:c@d>"), 0, ADDRESS_CONTROL, 0, 0},
	{S("<@a:>"), N, ADDRESS_BAD_LOCAL, 0, 0},
	{S("<@a:@b:c@d>"), 0, ADDRESS_BAD_LOCAL, 0, 0},
	{S("<@a:postmaster>"), P, ADDRESS_OK, "postmaster", ""},
	{S("<@" L60 "." L60 "," "@" L60 "." L60 ":aaaaaa@c>"), 0, ADDRESS_OK, "aaaaaa@c", ""},
	{S("<@" L60 "." L60 "," "@" L60 "." L60 ":aaaaaaa@c>"), 0, ADDRESS_TOO_LONG, 0, 0},
};

static void expect_fault(enum address_fault got, enum address_fault want, struct span text)
{
	struct buf shown;

	if (got == want)
		return;
	buf_init(&shown, 4096);
	buf_add_safe(&shown, text, 500);
	fail_msg("%s: got '%s', want '%s'", buf_cstr(&shown), address_fault_name(got), address_fault_name(want));
}

static void test_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		const struct parse_case *c = &plain[i];
		struct address a = {.local = SPAN_LIT("untouched")};
		struct arena mem;
		struct buf out;

		arena_init(&mem, 4096);
		buf_init(&out, 4096);
		expect_fault(address_parse(c->text, c->flags, &mem, &a), c->fault, c->text);
		if (c->fault != ADDRESS_OK) {
			test_span_eq(a.local, SPAN_LIT("untouched"), "output of a failed parse");
			assert_int_equal(mem.used_bytes, 0);
		} else {
			test_span_eq(a.local, span_str(c->local), "local part");
			test_span_eq(a.domain, span_str(c->domain), "domain");
			assert_int_equal(a.utf8, !span_is_ascii(c->text));
			assert_int_equal(a.literal, a.domain.len > 0 && a.domain.ptr[0] == '[');
			address_write(&out, &a);
			test_span_eq(buf_span(&out), c->written ? span_str(c->written) : c->text, "written");
		}
		buf_clear(&out);
		arena_clear(&mem);
	}
}

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const struct path_case *c = &paths[i];
		struct span rest = SPAN_LIT("untouched");
		struct address a;
		struct arena mem;
		struct buf out;

		arena_init(&mem, 4096);
		buf_init(&out, 4096);
		expect_fault(address_parse_path(c->text, c->flags, &mem, &a, &rest), c->fault, c->text);
		test_span_eq(rest, c->fault == ADDRESS_OK ? span_str(c->rest) : SPAN_LIT("untouched"), "rest");
		if (c->fault == ADDRESS_OK) {
			address_write(&out, &a);
			test_span_eq(buf_span(&out), span_str(c->written), "written");
		}
		buf_clear(&out);
		arena_clear(&mem);
	}
}

/* a fixed sequence, so that a failure comes back */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* mostly bytes that matter to the grammar */
static size_t random_text(uint32_t *seed, uint8_t *to, size_t max)
{
	static const char pool[] = "ab.@\"\\<>[]:,-_ 1A\xc3\xb6";
	size_t len = next_random(seed) % max;

	for (size_t i = 0; i < len; i++) {
		uint32_t r = next_random(seed);

		to[i] = r % 32 == 0 ? (uint8_t)(r >> 8) : (uint8_t)pool[(r >> 8) % (sizeof(pool) - 1)];
	}
	return len;
}

/* what is parsed, written and parsed again is the same address, and its key too */
static void check_round_trip(struct span text, unsigned *good)
{
	const unsigned flags = ADDRESS_UTF8 | ADDRESS_NULL_OK | ADDRESS_POSTMASTER_OK;
	struct address a, again;
	struct buf out, key, key_again;
	struct arena mem;

	arena_init(&mem, 4096);
	buf_init(&out, 1024);
	buf_init(&key, 1024);
	buf_init(&key_again, 1024);
	if (address_parse(text, flags, &mem, &a) == ADDRESS_OK) {
		++*good;
		address_write(&out, &a);
		assert_int_equal(address_parse(buf_span(&out), flags, &mem, &again), ADDRESS_OK);
		test_span_eq(again.local, a.local, "local part");
		test_span_eq(again.domain, a.domain, "domain");
		address_key(&key, &a);
		address_key(&key_again, &again);
		test_span_eq(buf_span(&key_again), buf_span(&key), "key");
	}
	buf_clear(&out);
	buf_clear(&key);
	buf_clear(&key_again);
	arena_clear(&mem);
}

static void test_round_trip(void **state)
{
	uint32_t seed = 20240229;
	unsigned good = 0;
	uint8_t text[80];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t len = random_text(&seed, text, 14);

		check_round_trip(span_of(text, len), &good);
		/* made to be good: any bytes in quotes */
		len = random_text(&seed, text + 1, 12);
		text[0] = '"';
		memcpy(text + 1 + len, "\"@[192.0.2.7]", 13);
		check_round_trip(span_of(text, len + 14), &good);
	}
	assert_true(good > 1000);
}

static void test_key(void **state)
{
	static const struct {
		const char *text, *key;
	} cases[] = {{"User.Name+X@Example.ORG", "user.name+x@example.org"}, {"\"A b\"@C", "a b@c"}, {"\"ab\"@c", "ab@c"},
		{"J\xc3\x96@c", "j\xc3\x96@c"}, {"J\xc3\x96@B\xc3\x9c" "cher.test", "j\xc3\x96@xn--bcher-kva.test"}, {"", ""}, {"Postmaster", "postmaster@"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a;
		struct arena mem;
		struct buf out;

		arena_init(&mem, 1024);
		buf_init(&out, 1024);
		assert_int_equal(address_parse(span_str(cases[i].text), U | N | P, &mem, &a), ADDRESS_OK);
		assert_int_equal(address_is_null(&a), cases[i].text[0] == '\0');
		address_key(&out, &a);
		test_span_eq(buf_span(&out), span_str(cases[i].key), "key");
		buf_clear(&out);
		arena_clear(&mem);
	}
}

static void test_full_arena(void **state)
{
	struct address a = {.local = SPAN_LIT("untouched")};
	struct arena mem;

	(void)state;
	arena_init(&mem, 8);
	assert_int_equal(address_parse(SPAN_LIT("somebody@example.org"), 0, &mem, &a), ADDRESS_TOO_LONG);
	assert_true(mem.overflow);
	test_span_eq(a.local, SPAN_LIT("untouched"), "output");
	arena_clear(&mem);
}

static void test_helo(void **state)
{
	static const struct {
		struct span text;
		bool ok;
	} cases[] = {{S("mail.example.org"), true}, {S("localhost"), true}, {S("MY_PC"), true}, {S("_gateway"), true}, {S("a_.b"), true},
		{S("[192.0.2.1]"), true}, {S("[IPv6:2001:db8::1]"), true}, {S("192.0.2.1"), true}, {S(""), false}, {S("a b"), false},
		{S("example.org."), false}, {S("-a"), false}, {S("a..b"), false}, {S("[192.0.2.1"), false}, {S("[192.0.2.1] "), false},
		{S("[x]"), false}, {S("b\xc3\xbc" "cher"), false}, {S("a\r"), false}, {S("a\0b"), false},
		{S(L60 "." L60 "." L60 "." L60 ".aaaaaaaaaaa"), true}, {S(L60 "." L60 "." L60 "." L60 ".aaaaaaaaaaaa"), false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (address_helo_ok(cases[i].text) != cases[i].ok)
			fail_msg("HELO case %zu", i);
}

static void test_ip(void **state)
{
	static const struct {
		struct span text;
		bool ok;
	} cases[] = {{S("192.0.2.1"), true}, {S("2001:db8::1"), true}, {S("::"), true}, {S("::ffff:192.0.2.1"), true}, {S(""), false},
		{S("192.0.2"), false}, {S("192.0.2.1 "), false}, {S("192.0.2.1\0"), false}, {S("[192.0.2.1]"), false},
		{S("fe80::1%lo"), false}, {S("IPv6:::1"), false}, {S("1"), false}, {S(A50 A50), false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (address_is_ip(cases[i].text) != cases[i].ok)
			fail_msg("IP case %zu", i);
}

static void test_fault_names(void **state)
{
	(void)state;
	for (int f = ADDRESS_OK; f <= ADDRESS_TOO_LONG; f++)
		assert_true(strlen(address_fault_name((enum address_fault)f)) > 10);
}

static void test_ascii(void **state)
{
	static const struct {
		struct span text;
		const char *ascii; /* NULL: there is no such form */
	} cases[] = {
		{S("Some.body@Example.org"), "Some.body@example.org"},
		{S("a@b\xc3\xbc" "cher.test"), "a@xn--bcher-kva.test"},
		{S("a@B\xc3\x9c" "CHER.test"), "a@xn--bcher-kva.test"},
		{S("a@bu\xcc\x88" "cher.test"), "a@xn--bcher-kva.test"}, /* decomposed */
		{S("\"a b\"@\xe4\xbe\x8b\xe5\xad\x90.test"), "\"a b\"@xn--fsqu00a.test"},
		{S("a@fa\xc3\x9f.test"), "a@xn--fa-hia.test"}, /* IDNA 2008 keeps the sharp s */
		{S("a@[192.0.2.1]"), "a@[192.0.2.1]"},
		{S("b\xc3\xb6@example.org"), NULL},
		{S("a@\xe2\x98\xba.test"), NULL}, /* U+263A is in no name */
		{S("a@b\xef\xbc\xa0" "c.test"), NULL}, {S("a@\xef\xbc\xa0.test"), NULL}, {S("a@\xef\xbc\xbc.test"), NULL}, /* wide forms of @ and backslash are */
		{S("a@\xef\xbd\x82.test"), "a@b.test"}, /* that of b is a b */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a;
		struct arena mem;
		struct buf out;

		arena_init(&mem, 4096);
		buf_init(&out, 1024);
		assert_int_equal(address_parse(cases[i].text, U, &mem, &a), ADDRESS_OK);
		assert_int_equal(address_write_ascii(&out, &a), cases[i].ascii != NULL);
		test_span_eq(buf_span(&out), cases[i].ascii ? span_str(cases[i].ascii) : SPAN_NONE, "in ASCII");
		buf_clear(&out);
		arena_clear(&mem);
	}
}

/* one form for a domain and for an address, however they are written; none of what differs is taken for the same */
static void test_same(void **state)
{
	static const struct {
		struct span text, key;
	} cases[] = {
		{S("Jo@Example.ORG"), S("jo@example.org")},
		{S("jo@b\xc3\xbc" "cher.test"), S("jo@xn--bcher-kva.test")},
		{S("JO@B\xc3\x9c" "CHER.Test"), S("jo@xn--bcher-kva.test")},
		{S("jo@bu\xcc\x88" "cher.test"), S("jo@xn--bcher-kva.test")},
		{S("jo@XN--Bcher-KVA.test"), S("jo@xn--bcher-kva.test")},
		{S("j\xc3\xb6@b\xc3\xbc" "cher.test"), S("j\xc3\xb6@xn--bcher-kva.test")},
		{S("jo@b\xc3\xbc" "cher.xn--4ca.test"), S("jo@xn--bcher-kva.xn--4ca.test")},
		{S("jo@[IPv6:2001:DB8::1]"), S("jo@[ipv6:2001:db8::1]")},
	};
	uint8_t room[LIMIT_PATH_BYTES * 2], domain[LIMIT_DOMAIN_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = cases[i].text, want = cases[i].key;
		size_t at = span_find(text, '@') + 1;

		test_span_eq(address_text_key(text, room, sizeof(room)), want, "key of a text");
		test_span_eq(address_domain_key(span_from(text, at), domain), span_from(want, span_find(want, '@') + 1), "key of a domain");
		assert_true(address_text_same(text, want) && address_text_same(want, text));
		assert_true(address_domain_same(span_from(text, at), span_from(want, span_find(want, '@') + 1)));
		for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
			assert_int_equal(address_text_same(text, cases[k].text), span_eq(want, cases[k].key));
	}
	/* what has no such form stays as it is; what is longer than any domain is none */
	test_span_eq(address_text_key(SPAN_LIT("A@\xe2\x80\xae.test"), room, sizeof(room)), SPAN_LIT("a@\xe2\x80\xae.test"), "no form");
	test_span_eq(address_domain_key(SPAN_LIT(""), domain), SPAN_LIT(""), "nothing");
	test_span_eq(address_domain_key(SPAN_LIT("\xef\xbd\x82\xef\xbc\xa0" "c.test"), domain), SPAN_LIT("\xef\xbd\x82\xef\xbc\xa0" "c.test"),
		"an @ of another width");
	test_span_eq(address_domain_key(SPAN_LIT("b\xc3\xbc\0x.test"), domain), SPAN_LIT("b\xc3\xbc\0x.test"), "a zero byte");
	assert_false(address_domain_same(SPAN_LIT("b\xc3\xbc.test\0x"), SPAN_LIT("b\xc3\xbc.test")));
	memset(room, 'a', sizeof(room));
	assert_int_equal(address_domain_key(span_of(room, LIMIT_DOMAIN_BYTES), domain).len, LIMIT_DOMAIN_BYTES);
	assert_int_equal(address_domain_key(span_of(room, LIMIT_DOMAIN_BYTES + 1), domain).len, 0);
	/* no room for the A-labels: as it came; none for that either: nothing */
	test_span_eq(address_text_key(SPAN_LIT("jo@b\xc3\xbc" "cher.test"), room, 15), SPAN_LIT("jo@b\xc3\xbc" "cher.test"), "little room");
	assert_int_equal(address_text_key(SPAN_LIT("jo@b\xc3\xbc" "cher.test"), room, 14).len, 0);
	assert_false(address_text_same(SPAN_LIT("jo@example.org"), SPAN_LIT("jo")));
	assert_false(address_text_same(SPAN_LIT("b\xc3\xbc" "cher.test"), SPAN_LIT("jo@b\xc3\xbc" "cher.test")));
}

int test_address(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_paths), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_key),
		cmocka_unit_test(test_full_arena), cmocka_unit_test(test_helo), cmocka_unit_test(test_ip), cmocka_unit_test(test_fault_names), cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
