#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/history.h"

#define NOW_MS ((int64_t)1700000000000)
#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define S(text) span_str(text)

struct stage {
	char dir[64];
	struct history *h;
	struct err err;
};

static void check_rc(enum rc want, enum rc got, const struct err *err, int line)
{
	if (want == got)
		return;
	print_error("line %d: wanted %s, got %s: %s\n", line, rc_name(want), rc_name(got), err->words);
	_fail(__FILE__, line);
}
#define assert_rc(want, call) check_rc(want, call, &t->err, __LINE__)

static int setup(void **state)
{
	struct stage *t = mem_zalloc(sizeof(*t));

	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/mailroom-history-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	assert_rc(RC_OK, history_open(t->dir, HISTORY_CREATE, &t->h, &t->err));
	*state = t;
	return 0;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st, (void)kind, (void)walk;
	return remove(path);
}

static int teardown(void **state)
{
	struct stage *t = *state;

	history_close(&t->h);
	(void)nftw(t->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static void reopen(struct stage *t)
{
	history_close(&t->h);
	assert_rc(RC_OK, history_open(t->dir, 0, &t->h, &t->err));
}

/* what a question found: what tells events apart, newest first, and where the last one stood */
struct found {
	struct buf text;
	size_t count, stop_at;
	uint64_t at;
};

static enum rc take(void *arg, const struct history_event *e, uint64_t at)
{
	struct found *f = arg;

	f->at = at;
	buf_printf(&f->text, "%s%lld", f->count++ ? " " : "", (long long)(e->at_ms - NOW_MS));
	return f->stop_at && f->count == f->stop_at ? RC_EXISTS : RC_OK;
}

static const char *ask_from(struct stage *t, const struct history_filter *filter, uint64_t before, size_t stop_at, struct found *f)
{
	size_t damaged = 0;
	enum rc rc;

	buf_clear(&f->text);
	*f = (struct found){.stop_at = stop_at};
	buf_init(&f->text, 16 << 20);
	rc = history_query(t->h, filter, before, take, f, &damaged, &t->err);
	check_rc(stop_at && f->count == stop_at ? RC_EXISTS : RC_OK, rc, &t->err, __LINE__);
	assert_int_equal(0, damaged);
	return buf_cstr(&f->text);
}

static void assert_found(struct stage *t, const struct history_filter *filter, const char *want)
{
	struct found f = {0};

	assert_string_equal(want, ask_from(t, filter, 0, 0, &f));
	buf_clear(&f.text);
}

static size_t count_of(struct stage *t, const struct history_filter *filter)
{
	struct found f = {0};
	size_t n;

	(void)ask_from(t, filter, 0, 0, &f);
	n = f.count;
	buf_clear(&f.text);
	return n;
}

static void write_now(struct stage *t)
{
	assert_rc(RC_OK, history_write(t->h, NOW_MS, &t->err));
}

/* ---- */

static void fill(struct history_event *e)
{
	*e = (struct history_event){.kind = HISTORY_REFUSED, .at_ms = NOW_MS + 12345, .session = 0xffffffffffULL, .message = 77, .mailbox = 3, .code = 550,
		.bytes = UINT64_MAX, .ms = 128, .more = 127, .service = S("submission"), .listener = S("office"), .peer = S("2001:db8::7"), .tls = S("TLSv1.3"),
		.account = S("alice@example.org"), .login = S("alice"), .mechanism = S("PLAIN"), .helo = S("laptop.local"), .command = S("RCPT"), .sender = S("a@b.example"),
		.rcpt = S("c@d.example"), .cause = S("rcpt-unknown"), .shown = S("rcpt-disabled"), .rule = S("d.example"), .detail = S("no such mailbox"), .limit = S("100"),
		.retry = S("30 s")};
}

static void assert_same(const struct history_event *a, const struct history_event *b)
{
	struct span text_a, text_b;
	uint64_t number_a, number_b;
	const char *name;
	bool is_text;

	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->at_ms, b->at_ms);
	for (size_t i = 0; history_field(a, i, &name, &text_a, &number_a, &is_text); i++) {
		assert_true(history_field(b, i, &name, &text_b, &number_b, &is_text));
		if (!span_eq(text_a, text_b) || number_a != number_b)
			fail_msg("%s differs", name);
	}
}

static void an_event_comes_back_as_it_was(void **state)
{
	struct history_event e, got;
	struct span rest;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	fill(&e);
	history_encode(&b, &e);
	history_encode(&b, &(struct history_event){.kind = HISTORY_LOST});
	rest = buf_span(&b);
	assert_int_equal(RC_OK, history_decode(&rest, &got));
	assert_same(&e, &got);
	assert_int_equal(RC_OK, history_decode(&rest, &got));
	assert_int_equal(HISTORY_LOST, got.kind);
	assert_int_equal(0, got.session);
	assert_int_equal(RC_NONE, history_decode(&rest, &got));
	buf_clear(&b);
}

static void bytes_that_are_no_block(void **state)
{
	struct history_event e, got;
	struct span rest;
	size_t whole;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	fill(&e);
	history_encode(&b, &e);
	whole = b.len;
	for (size_t cut = 1; cut < whole; cut++) { /* an end that is missing */
		rest = span_of(b.ptr, cut);
		assert_int_equal(RC_BAD, history_decode(&rest, &got));
	}
	for (size_t at = 0; at < whole; at++) /* a bit that turned: read or refused, never beyond its bytes (the sanitizer looks on) */
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *copy = mem_alloc(whole);

			memcpy(copy, b.ptr, whole);
			copy[at] ^= (uint8_t)(1U << bit);
			rest = span_of(copy, whole);
			while (history_decode(&rest, &got) == RC_OK)
				continue;
			free(copy);
		}
	buf_clear(&b);
	/* a field of a newer program is passed over */
	buf_init(&b, 1 << 10);
	buf_add(&b, SPAN_LIT("\x0f\x00\x04\x01\x00\x00\x00\x00\x00\x1f\x80\x01\x3f\x01x\x03\x07"));
	rest = buf_span(&b);
	assert_int_equal(RC_OK, history_decode(&rest, &got));
	assert_int_equal(7, got.code);
	buf_clear(&b);
}

static void texts_are_kept_as_bytes_and_cut(void **state)
{
	struct stage *t = *state;
	struct history_event e = {.kind = HISTORY_REFUSED, .at_ms = NOW_MS, .session = 5};
	char long_text[3000], nasty[256];
	size_t damaged;
	struct found f = {0};

	memset(long_text, 'x', sizeof(long_text));
	for (size_t i = 0; i < sizeof(nasty); i++)
		nasty[i] = (char)i;
	e.detail = span_of(long_text, sizeof(long_text));
	e.login = e.helo = e.command = e.sender = e.rcpt = e.account = e.peer = e.cause = span_of(nasty, sizeof(nasty));
	assert_true(history_add(t->h, &e));
	write_now(t);
	reopen(t);
	assert_found(t, &(struct history_filter){.addresses = &e.login, .address_count = 1}, "0");
	assert_found(t, &(struct history_filter){.cause = e.cause}, "0");
	assert_found(t, &(struct history_filter){.cause = S("'; DROP TABLE block; --")}, "");
	buf_init(&f.text, 1 << 20);
	assert_rc(RC_OK, history_query(t->h, &(struct history_filter){0}, 0, take, &f, &damaged, &t->err));
	assert_int_equal(1, f.count);
	buf_clear(&f.text);
}

/* one event of each kind of trouble, the time says which */
static void some_trouble(struct stage *t)
{
	const struct history_event events[] = {
		{.kind = HISTORY_SIGNIN_OK, .at_ms = NOW_MS, .session = 1, .account = S("alice@example.org"), .login = S("alice"), .peer = S("192.0.2.9")},
		{.kind = HISTORY_SIGNIN_FAILED, .at_ms = NOW_MS + 1, .session = 2, .account = S("alice@example.org"), .login = S("Alice@Example.ORG"),
			.cause = S("auth-wrong-password"), .shown = S("auth-bad-credentials"), .peer = S("192.0.2.7")},
		{.kind = HISTORY_REFUSED, .at_ms = NOW_MS + 2, .session = 3, .sender = S("alice+shop@example.org"), .rcpt = S("bob@example.net"), .cause = S("auth-required"),
			.peer = S("2001:db8::7")},
		{.kind = HISTORY_ACCEPTED, .at_ms = NOW_MS + 3, .session = 4, .message = 100, .mailbox = 7, .sender = S("x@y.example"), .rcpt = S("sales@example.org"),
			.peer = S("198.51.100.1")},
		{.kind = HISTORY_QUEUED, .at_ms = NOW_MS + 4, .session = 1, .message = 101, .account = S("alice@example.org"), .rcpt = S("bob@example.net"),
			.peer = S("192.0.2.9")},
		{.kind = HISTORY_SESSION, .at_ms = NOW_MS + 5, .session = 3, .peer = S("2001:db8::7")},
	};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		assert_true(history_add(t->h, &events[i]));
		write_now(t);
	}
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(RC_OK, net_prefix_parse(S(text), &p));
	return p;
}

static void questions(void **state)
{
	struct stage *t = *state;
	const struct span alice[] = {S("alice@example.org")}, bare[] = {S("alice")}, two[] = {S("nobody@example.org"), S("bob@example.net")};
	const struct net_prefix one = prefix("192.0.2.7"), net = prefix("192.0.2.0/24"), six = prefix("2001:db8::/32");
	struct map sessions;

	some_trouble(t);
	map_init(&sessions);
	(void)map_put(&sessions, 3, t);
	assert_found(t, &(struct history_filter){0}, "5 4 3 2 1 0");
	assert_found(t, &(struct history_filter){.addresses = alice, .address_count = 1}, "4 2 1 0");
	assert_found(t, &(struct history_filter){.addresses = bare, .address_count = 1}, "0");
	assert_found(t, &(struct history_filter){.addresses = two, .address_count = 2}, "4 2");
	assert_found(t, &(struct history_filter){.addresses = alice, .address_count = 1, .mailbox = 7}, "4 3 2 1 0");
	assert_found(t, &(struct history_filter){.peer = &one}, "1");
	assert_found(t, &(struct history_filter){.peer = &net}, "4 1 0");
	assert_found(t, &(struct history_filter){.peer = &six}, "5 2");
	assert_found(t, &(struct history_filter){.session = 1}, "4 0");
	assert_found(t, &(struct history_filter){.sessions = &sessions}, "5 2");
	assert_found(t, &(struct history_filter){.message = 100}, "3");
	assert_found(t, &(struct history_filter){.cause = S("auth-wrong-password")}, "1");
	assert_found(t, &(struct history_filter){.cause = S("auth-bad-credentials")}, "1");
	assert_found(t, &(struct history_filter){.kinds = 1U << HISTORY_QUEUED | 1U << HISTORY_ACCEPTED}, "4 3");
	assert_found(t, &(struct history_filter){.since_ms = NOW_MS + 2, .until_ms = NOW_MS + 4}, "3 2");
	assert_found(t, &(struct history_filter){.addresses = alice, .address_count = 1, .peer = &net, .kinds = 1U << HISTORY_SIGNIN_FAILED}, "1");
	assert_found(t, &(struct history_filter){.session = 99}, "");
	map_clear(&sessions);
	reopen(t);
	assert_found(t, &(struct history_filter){0}, "5 4 3 2 1 0");
}

static void addresses_with_a_detail(void **state)
{
	static const struct { const char *have, *want; bool same; } table[] = {
		{"alice@example.org", "ALICE@example.org", true}, {"alice+x@example.org", "alice@example.org", true}, {"alice+x+y@example.org", "Alice@Example.org", true},
		{"alice+x@example.org", "alice+y@example.org", false}, {"alice+x@example.net", "alice@example.org", false}, {"+x@example.org", "@example.org", false},
		{"alice", "alice@example.org", false}, {"alicia+x@example.org", "alice@example.org", false}, {"alice@ex+ample.org", "alice@ample.org", false},
		{"", "a@b", false},
		/* one form for a domain */
		{"jo@b\xc3\xbc" "cher.test", "jo@xn--bcher-kva.test", true}, {"jo@xn--bcher-kva.test", "Jo@B\xc3\x9c" "CHER.test", true},
		{"jo+x@b\xc3\xbc" "cher.test", "jo@xn--bcher-kva.test", true}, {"jo+x@xn--bcher-kva.test", "jo@b\xc3\xbc" "cher.test", true},
		{"eva@b\xc3\xbc" "cher.test", "jo@xn--bcher-kva.test", false}, {"jo@b\xc3\xb6" "cher.test", "jo@b\xc3\xbc" "cher.test", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct span want = S(table[i].want);
		const struct history_event e = {.kind = HISTORY_ACCEPTED, .rcpt = S(table[i].have)};

		if (history_matches(&(struct history_filter){.addresses = &want, .address_count = 1}, &e) != table[i].same)
			fail_msg("%s and %s", table[i].have, table[i].want);
	}
}

static void pages_join_without_a_gap(void **state)
{
	struct stage *t = *state;
	struct found f = {0};
	uint64_t before = 0;
	size_t seen = 0;
	char want[32];

	for (int i = 0; i < 3000; i++) {
		const struct history_event e = {.kind = HISTORY_REFUSED, .at_ms = NOW_MS + i, .session = 1 + (uint64_t)i, .detail = S("some words here")};

		assert_true(history_add(t->h, &e));
		if (i % 700 == 0)
			write_now(t);
	}
	write_now(t);
	for (;;) {
		(void)ask_from(t, &(struct history_filter){0}, before, 97, &f);
		if (f.count == 0)
			break;
		/* the last one of the page is the one whose turn it is */
		seen += f.count;
		(void)snprintf(want, sizeof(want), "%d", 3000 - (int)seen);
		assert_string_equal(want, strrchr(buf_cstr(&f.text), ' ') ? strrchr(buf_cstr(&f.text), ' ') + 1 : buf_cstr(&f.text));
		before = f.at;
	}
	assert_int_equal(3000, seen);
	buf_clear(&f.text);
}

static void what_waits_for_the_commit(void **state)
{
	struct stage *t = *state;
	const struct history_event mail = {.kind = HISTORY_ACCEPTED, .at_ms = NOW_MS, .message = 5}, other = {.kind = HISTORY_REFUSED, .at_ms = NOW_MS + 1};

	assert_true(history_stage(t->h, &mail));
	assert_true(history_add(t->h, &other));
	history_settle(t->h, false); /* the disk was full: nobody got a 250 */
	write_now(t);
	assert_found(t, &(struct history_filter){0}, "1");
	assert_true(history_stage(t->h, &mail));
	assert_false(history_is_waiting(t->h));
	history_settle(t->h, true);
	assert_true(history_is_waiting(t->h));
	write_now(t);
	assert_false(history_is_waiting(t->h));
	assert_found(t, &(struct history_filter){.message = 5}, "0");
}

static void more_than_there_is_room_for_is_counted(void **state)
{
	struct stage *t = *state;
	char words[300];
	uint64_t kept = 0, dropped = 0;
	struct history_event e = {.kind = HISTORY_REFUSED, .at_ms = NOW_MS};

	memset(words, 'w', sizeof(words));
	e.detail = span_of(words, sizeof(words));
	for (int i = 0; i < 20000; i++) {
		bool took = history_add(t->h, &e);

		kept += took;
		dropped += !took;
	}
	assert_true(dropped > 0 && kept > 1000);
	assert_int_equal(dropped, history_lost(t->h));
	/* the room of the others is not theirs */
	assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_ACCEPTED, .at_ms = NOW_MS + 7}));
	assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_SIGNIN_FAILED, .at_ms = NOW_MS + 8}));
	write_now(t);
	assert_int_equal(kept, count_of(t, &(struct history_filter){.kinds = 1U << HISTORY_REFUSED}));
	assert_int_equal(1, count_of(t, &(struct history_filter){.kinds = 1U << HISTORY_LOST}));
	assert_false(history_is_waiting(t->h));
}

static size_t recent(struct stage *t, enum history_class c, int64_t since_ms, uint32_t blocks, uint64_t bytes, struct found *f)
{
	buf_clear(&f->text);
	*f = (struct found){0};
	buf_init(&f->text, 16 << 20);
	assert_rc(RC_OK, history_query_recent(t->h, c, &(struct history_filter){.since_ms = since_ms}, &(struct history_bounds){blocks, bytes}, take, f, &t->err));
	return f->count;
}

static void the_newest_of_a_class(void **state)
{
	struct stage *t = *state;
	struct found f = {0};
	struct history_extent x;

	assert_int_equal(0, recent(t, HISTORY_MAIL, 0, 100, 1 << 20, &f));
	for (int i = 0; i < 20; i++) {
		assert_true(history_add(t->h, &(struct history_event){.kind = i % 2 ? HISTORY_SIGNIN_FAILED : HISTORY_ACCEPTED, .at_ms = NOW_MS + i, .session = 1}));
		write_now(t);
	}
	assert_rc(RC_OK, history_extent(t->h, &x, &t->err));
	assert_int_equal(20, x.blocks);
	assert_int_equal(10, recent(t, HISTORY_MAIL, 0, 100, 1 << 20, &f));
	assert_string_equal("18 16 14 12 10 8 6 4 2 0", buf_cstr(&f.text));
	assert_int_equal(10, recent(t, HISTORY_SIGNINS, 0, 100, 1 << 20, &f));
	assert_int_equal(0, recent(t, HISTORY_STRANGERS, 0, 100, 1 << 20, &f));
	assert_int_equal(3, recent(t, HISTORY_MAIL, 0, 3, 1 << 20, &f));
	assert_string_equal("18 16 14", buf_cstr(&f.text));
	assert_int_equal(4, recent(t, HISTORY_MAIL, 0, 100, x.bytes / x.blocks * 4, &f));
	assert_int_equal(0, recent(t, HISTORY_MAIL, 0, 0, 1 << 20, &f));
	assert_int_equal(2, recent(t, HISTORY_MAIL, NOW_MS + 15, 100, 1 << 20, &f));
	assert_string_equal("18 16", buf_cstr(&f.text));
	buf_clear(&f.text);
}

static void prune(struct stage *t, int64_t oldest_ms, uint64_t max_bytes)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		assert_rc(RC_OK, history_prune(t->h, oldest_ms, max_bytes, &more, &t->err));
	assert_false(more);
}

static void old_ones_go(void **state)
{
	struct stage *t = *state;
	struct history_extent x;

	for (int day = 0; day < 200; day++) {
		assert_true(history_add(t->h, &(struct history_event){.kind = day % 2 ? HISTORY_ACCEPTED : HISTORY_REFUSED, .at_ms = NOW_MS + day * DAY_MS, .session = 1}));
		write_now(t);
	}
	prune(t, NOW_MS + 170 * DAY_MS, 1 << 20);
	assert_int_equal(30, count_of(t, &(struct history_filter){0}));
	assert_rc(RC_OK, history_extent(t->h, &x, &t->err));
	assert_int_equal(NOW_MS + 170 * DAY_MS, x.first_ms);
	assert_int_equal(NOW_MS + 199 * DAY_MS, x.last_ms);
	assert_int_equal(30, x.blocks);
	reopen(t); /* and the sums are kept */
	assert_rc(RC_OK, history_extent(t->h, &x, &t->err));
	assert_int_equal(30, x.blocks);
	prune(t, NOW_MS + 1000 * DAY_MS, 1 << 20);
	assert_rc(RC_OK, history_extent(t->h, &x, &t->err));
	assert_int_equal(0, x.bytes + x.blocks);
}

static void add_many(struct stage *t, enum history_kind kind, int count)
{
	char words[200];
	struct history_event e = {.kind = kind};

	memset(words, 'w', sizeof(words));
	e.detail = span_of(words, sizeof(words));
	for (int i = 0; i < count; i++) {
		e.at_ms = NOW_MS + i;
		e.session = 1 + (uint64_t)i;
		assert_true(history_add(t->h, &e));
		if (i % 500 == 499)
			write_now(t);
	}
	write_now(t);
}

static void a_flood_takes_only_its_own_share(void **state)
{
	struct stage *t = *state;
	struct history_extent x;
	struct stat st;
	char path[96];
	size_t mail, signins;

	add_many(t, HISTORY_ACCEPTED, 2000);      /* about 440 KB */
	add_many(t, HISTORY_SIGNIN_FAILED, 1000); /* about 220 KB */
	add_many(t, HISTORY_REFUSED, 30000);
	prune(t, 0, 1 << 20);
	mail = count_of(t, &(struct history_filter){.kinds = 1U << HISTORY_ACCEPTED});
	signins = count_of(t, &(struct history_filter){.kinds = 1U << HISTORY_SIGNIN_FAILED});
	assert_int_equal(2000, mail);
	assert_true(signins > 800);
	assert_rc(RC_OK, history_extent(t->h, &x, &t->err));
	assert_true(x.bytes <= 1 << 20);
	assert_true(x.bytes > (1 << 20) - 2 * HISTORY_BLOCK_BYTES);
	/* the newest are those that stay, and the room of those that went is used again */
	assert_int_equal(1, count_of(t, &(struct history_filter){.session = 30000}));
	for (int i = 0; i < 10; i++) {
		add_many(t, HISTORY_REFUSED, 2000);
		prune(t, 0, 1 << 20);
	}
	assert_int_equal(mail, count_of(t, &(struct history_filter){.kinds = 1U << HISTORY_ACCEPTED}));
	history_close(&t->h);
	(void)snprintf(path, sizeof(path), "%s/history.db", t->dir);
	assert_int_equal(0, stat(path, &st));
	assert_true(st.st_size < 12 << 20); /* what it had grown to at its largest */
}

static void reading_beside_the_writer(void **state)
{
	struct stage *t = *state;
	struct history *reader = NULL, *own;
	bool more;

	assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_REFUSED, .at_ms = NOW_MS}));
	write_now(t);
	assert_rc(RC_OK, history_open(t->dir, HISTORY_READ_ONLY, &reader, &t->err));
	own = t->h;
	t->h = reader;
	assert_int_equal(1, count_of(t, &(struct history_filter){0}));
	t->h = own;
	assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_REFUSED, .at_ms = NOW_MS + 1}));
	write_now(t);
	t->h = reader;
	assert_int_equal(2, count_of(t, &(struct history_filter){0}));
	assert_rc(RC_DENIED, history_prune(t->h, INT64_MAX / 2, 0, &more, &t->err));
	t->h = own;
	history_close(&reader);
}

static void none_there(void **state)
{
	struct stage *t = *state;
	struct history *h = NULL;
	char path[96];

	history_close(&t->h);
	(void)snprintf(path, sizeof(path), "%s/history.db", t->dir);
	assert_int_equal(0, unlink(path));
	assert_rc(RC_NONE, history_open(t->dir, HISTORY_READ_ONLY, &h, &t->err));
	assert_rc(RC_NONE, history_open(t->dir, 0, &h, &t->err));
	assert_rc(RC_OK, history_open(t->dir, HISTORY_CREATE, &t->h, &t->err));
	assert_int_equal(0, count_of(t, &(struct history_filter){0}));
}

static void run_sql(struct stage *t, const char *sql)
{
	char path[96];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/history.db", t->dir);
	assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
	assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
	assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

static void a_damaged_block_is_left_out(void **state)
{
	struct stage *t = *state;
	struct found f = {0};
	size_t damaged = 0;

	for (int i = 0; i < 3; i++) {
		assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_REFUSED, .at_ms = NOW_MS + i}));
		write_now(t);
	}
	run_sql(t, "UPDATE block SET events = x'ff' WHERE id = 2");
	buf_init(&f.text, 1 << 10);
	assert_rc(RC_OK, history_query(t->h, &(struct history_filter){0}, 0, take, &f, &damaged, &t->err));
	assert_string_equal("2 0", buf_cstr(&f.text));
	assert_int_equal(1, damaged);
	run_sql(t, "UPDATE block SET events = 'text' WHERE id = 1");
	buf_reset(&f.text);
	f.count = 0;
	assert_rc(RC_OK, history_query(t->h, &(struct history_filter){0}, 0, take, &f, &damaged, &t->err));
	assert_string_equal("2", buf_cstr(&f.text));
	assert_int_equal(2, damaged);
	/* sums that say more than there is do not make it go on for ever */
	run_sql(t, "UPDATE tally SET bytes = 99999999");
	reopen(t);
	prune(t, 0, 1000);
	buf_clear(&f.text);
}

static void what_is_no_history(void **state)
{
	struct stage *t = *state;
	char path[96];
	FILE *file;

	history_close(&t->h);
	(void)snprintf(path, sizeof(path), "%s/history.db", t->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database. ", file);
	(void)fclose(file);
	assert_rc(RC_BAD, history_open(t->dir, HISTORY_CREATE, &t->h, &t->err));
	assert_null(t->h);
	assert_rc(RC_BAD, history_open(t->dir, HISTORY_READ_ONLY, &t->h, &t->err));
	/* an empty file, as a crash may leave it, is a new one: nothing depends on it */
	assert_int_equal(0, truncate(path, 0));
	assert_rc(RC_OK, history_open(t->dir, HISTORY_CREATE, &t->h, &t->err));
	run_sql(t, "PRAGMA user_version = 99");
	history_close(&t->h);
	assert_rc(RC_BAD, history_open(t->dir, HISTORY_CREATE, &t->h, &t->err));
	assert_non_null(strstr(t->err.words, "newer"));
}

static void somebody_has_it_locked(void **state)
{
	struct stage *t = *state;
	char path[96];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/history.db", t->dir);
	assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
	assert_int_equal(SQLITE_OK, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
	assert_true(history_add(t->h, &(struct history_event){.kind = HISTORY_REFUSED, .at_ms = NOW_MS}));
	assert_rc(RC_BUSY, history_write(t->h, NOW_MS, &t->err)); /* at once: mail waits behind this */
	assert_true(history_is_waiting(t->h));
	assert_int_equal(SQLITE_OK, sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL));
	assert_int_equal(SQLITE_OK, sqlite3_close(db));
	write_now(t);
	assert_found(t, &(struct history_filter){0}, "0");
	assert_int_equal(0, history_lost(t->h));
}

static void a_full_disk(void **state)
{
	struct stage *t = *state;
	struct stage small = {0};
	char path[96];
	enum rc rc = RC_OK;
	size_t kept = 0;
	struct found f = {0};

	(void)snprintf(path, sizeof(path), "%s/disk", t->dir);
	if (mkdir(path, 0700) != 0 || mount("tmpfs", path, "tmpfs", 0, "size=1m") != 0)
		skip(); /* needs root */
	assert_rc(RC_OK, history_open(path, HISTORY_CREATE, &small.h, &t->err));
	for (int i = 0; i < 10000 && rc == RC_OK; i++) {
		char words[300];
		struct history_event e = {.kind = HISTORY_REFUSED, .at_ms = NOW_MS + i};

		memset(words, 'w', sizeof(words));
		e.detail = span_of(words, sizeof(words));
		assert_true(history_add(small.h, &e));
		rc = history_write(small.h, NOW_MS, &t->err);
		kept += rc == RC_OK;
	}
	assert_int_equal(RC_FULL, rc);
	assert_true(kept > 10);
	assert_int_equal(1, history_lost(small.h));
	(void)ask_from(&small, &(struct history_filter){0}, 0, 0, &f); /* what was written is there */
	assert_int_equal(kept, f.count);
	buf_clear(&f.text);
	history_close(&small.h);
	assert_int_equal(0, umount2(path, MNT_DETACH));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_comes_back_as_it_was), cmocka_unit_test(bytes_that_are_no_block), cmocka_unit_test(addresses_with_a_detail),
		TEST(texts_are_kept_as_bytes_and_cut), TEST(questions), TEST(pages_join_without_a_gap), TEST(the_newest_of_a_class), TEST(what_waits_for_the_commit),
		TEST(more_than_there_is_room_for_is_counted), TEST(old_ones_go), TEST(a_flood_takes_only_its_own_share), TEST(reading_beside_the_writer), TEST(none_there),
		TEST(a_damaged_block_is_left_out), TEST(what_is_no_history), TEST(somebody_has_it_locked), TEST(a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
