#include "test_pop3.h"

#include <stdio.h>

/* the other side of the wire, as RFC 1939 3 has it: lines end with CRLF, a first dot goes, a dot alone ends. Behind a lone LF, too, a dot was
 * doubled; a client that takes LF for a line end sees no end of the message before the true one. Returns what stands behind the end. */
static struct span unstuff(struct span in, struct buf *out)
{
	bool lone_end = false;

	while (in.len) {
		size_t n = 1;
		struct span line;

		while (n < in.len && !(in.ptr[n - 1] == '\r' && in.ptr[n] == '\n'))
			n++;
		assert_true(n < in.len);
		line = span_head(in, ++n);
		in = span_from(in, n);
		if (span_eq(line, SPAN_LIT(".\r\n"))) {
			assert_false(lone_end);
			return in;
		}
		while (line.len) {
			size_t end = span_find(line, '\n') + 1;
			struct span part = span_head(line, end);

			lone_end |= span_eq(part, SPAN_LIT(".\n")) || span_eq(part, SPAN_LIT(".\r\n"));
			buf_add(out, part.ptr[0] == '.' ? span_from(part, 1) : part);
			line = span_from(line, part.len);
		}
	}
	fail_msg("no end of the message");
	return SPAN_NONE;
}

static uint64_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static uint64_t random_chunk(struct owner *o, uint64_t max)
{
	uint64_t n = 1 + random_next(&o->random) % (o->random & 64 ? 3 : 200);

	return n < max ? n : max;
}

/* the letters that matter to framing, often */
static void random_body(uint64_t *state, struct buf *out, size_t bytes)
{
	static const char *const parts[] = {"\r\n", ".", "..", "\n", "\r", ".\r\n", "\r\n.\r\n", "\n.\r\n", "\r\r\n", "a", "word ", "\r\n\r\n"};

	while (out->len < bytes)
		buf_add_str(out, parts[random_next(state) % 12]);
}

static void expect_message(struct owner *o, const char *command, struct span text)
{
	struct buf got, want;
	struct span rest, seen;
	const char *reply = owner_say(o, command);

	buf_init(&got, 1 << 24);
	buf_init(&want, 1 << 24);
	buf_add(&want, text);
	if (text.len && (text.len < 2 || memcmp(text.ptr + text.len - 2, "\r\n", 2)))
		buf_add_str(&want, "\r\n"); /* what ends without CRLF gets one */
	assert_starts(reply, "+OK");
	seen = buf_span(&o->seen);
	rest = unstuff(span_from(seen, span_find(seen, '\n') + 1), &got);
	assert_int_equal(rest.len, 0);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.ptr, want.ptr, want.len);
	buf_clear(&got);
	buf_clear(&want);
}

static void random_bodies_survive(void **arg)
{
	uint64_t seed = 42;

	(void)arg;
	for (int round = 0; round < 400; round++) {
		struct buf body;
		struct mail mail;
		struct owner o;

		buf_init(&body, 1 << 20);
		random_body(&seed, &body, (size_t)(round % 5 ? random_next(&seed) % 400 : random_next(&seed) % 9));
		if (body.len == 0)
			buf_add_str(&body, ".");
		mail = (struct mail){.uid = 1, .text = buf_span(&body)};
		owner_begin(&o, &owner_rules);
		o.mails = &mail;
		o.mail_count = 1;
		o.random = seed;
		o.chunk = random_chunk;
		o.read_max = round % 3 ? SIZE_MAX : 7;
		owner_sign_in(&o);
		expect_message(&o, "RETR 1\r\n", mail.text);
		assert_int_equal(pop3_in_tally(o.p).retrieved_bytes, mail.text.len);
		assert_string_equal(owner_say(&o, "NOOP\r\n"), "+OK\r\n"); /* still in step */
		owner_end(&o);
		buf_clear(&body);
	}
}

static void bare_newlines_do_not_end_a_message(void **arg)
{
	static const char *const bodies[] = {"a\n.\r\n-ERR forged\r\n", "a\r.\r\nb", "\n.\n\r\n", ".\n.\r\n", ".", "\r", "\n", "\r\n", ".\r\n", "\r\n.\r\n", "x\r\n."};

	(void)arg;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct mail mail = {1, span_str(bodies[i])};
		struct owner o;

		owner_begin(&o, &owner_rules);
		o.mails = &mail;
		o.mail_count = 1;
		owner_sign_in(&o);
		expect_message(&o, "RETR 1\r\n", mail.text);
		expect_message(&o, "TOP 1 99999999999999999999\r\n", mail.text);
		owner_end(&o);
	}
}

static void message_of_no_bytes(void **arg)
{
	struct mail mail = {1, SPAN_LIT("")};
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	o.mails = &mail;
	o.mail_count = 1;
	owner_sign_in(&o);
	assert_string_equal(owner_say(&o, "RETR 1\r\nTOP 1 5\r\nLIST 1\r\n"), "+OK 0 octets\r\n.\r\n+OK 0 octets\r\n.\r\n+OK 1 0\r\n");
	owner_end(&o);
}

static uint64_t one_byte(struct owner *o, uint64_t max)
{
	(void)o;
	return max ? 1 : 0;
}

static void top_counts_lines_across_chunks(void **arg)
{
	static const struct { const char *text, *lines, *want; } cases[] = {
		{"A: b\r\nC: d\r\n\r\none\r\ntwo\r\n", "0", "A: b\r\nC: d\r\n\r\n.\r\n"},
		{"A: b\r\nC: d\r\n\r\none\r\ntwo\r\n", "1", "A: b\r\nC: d\r\n\r\none\r\n.\r\n"},
		{"A: b\r\nC: d\r\n\r\none\r\ntwo\r\n", "2", "A: b\r\nC: d\r\n\r\none\r\ntwo\r\n.\r\n"},
		{"A: b\r\nC: d\r\n\r\none\r\ntwo\r\n", "3", "A: b\r\nC: d\r\n\r\none\r\ntwo\r\n.\r\n"},
		{"A: b\r\n\r\none\r\ntw", "18446744073709551615", "A: b\r\n\r\none\r\ntw\r\n.\r\n"},
		{"A: b\r\n\r\n\r\n\r\nx\r\n", "1", "A: b\r\n\r\n\r\n.\r\n"}, /* an empty body line counts */
		{"A: b\r\n\r\n.\r\n..\r\n", "1", "A: b\r\n\r\n..\r\n.\r\n"},
		{"\r\nbody at once\r\n", "0", "\r\n.\r\n"},
		{"A: b\r\nno empty line\r\n", "0", "A: b\r\nno empty line\r\n.\r\n"},
		{"A: b\n\nlone\nLFs\r\n\r\nx\r\n", "0", "A: b\n\nlone\nLFs\r\n\r\n.\r\n"},
		{"A: b", "0", "A: b\r\n.\r\n"},
		{"A: b\r\nx\r\n\n\r\nB: c\r\n\r\nbody\r\n", "0", "A: b\r\nx\r\n\n\r\nB: c\r\n\r\n.\r\n"}, /* short lines are not empty ones */
		{"A: b\r\n\r\n1\r\n2\r\n3\r\n4\r\n5\r\n", "4", "A: b\r\n\r\n1\r\n2\r\n3\r\n4\r\n.\r\n"},
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct mail mail = {1, span_str(cases[i].text)};
			struct owner o;
			char line[64];

			owner_begin(&o, &owner_rules);
			o.mails = &mail;
			o.mail_count = 1;
			o.chunk = bytewise ? one_byte : NULL;
			owner_sign_in(&o);
			(void)snprintf(line, sizeof(line), "TOP 1 %s\r\n", cases[i].lines);
			assert_string_equal(strstr(owner_say(&o, line), "\r\n") + 2, cases[i].want);
			assert_int_equal(pop3_in_tally(o.p).retrieved, 0);
			assert_string_equal(owner_say(&o, "NOOP\r\n"), "+OK\r\n");
			owner_end(&o);
		}
	}
}

static void big_message_is_fetched_as_it_is_read(void **arg)
{
	struct buf body;
	struct mail mail;
	struct owner o;

	(void)arg;
	buf_init(&body, 1 << 24);
	buf_add_str(&body, "A: b\r\n\r\n");
	while (body.len < 3 << 20)
		buf_add_str(&body, ".\r\n"); /* grows most */
	mail = (struct mail){1, buf_span(&body)};
	owner_begin(&o, &owner_rules);
	o.mails = &mail;
	o.mail_count = 1;
	owner_sign_in(&o);
	o.read_max = 0; /* the peer reads nothing: one chunk is fetched, no more */
	owner_say(&o, "RETR 1\r\n");
	assert_int_equal(o.fetches, 1);
	assert_int_equal(o.closed, false);
	o.read_max = 1000;
	o.fetches = 0;
	owner_turn(&o);
	assert_int_equal(o.fetches, (3 << 20) / (64 << 10));
	assert_true(o.out_peak <= 128 << 10);
	assert_int_equal(pop3_in_tally(o.p).retrieved, 1);
	o.read_max = SIZE_MAX;
	expect_message(&o, "RETR 1\r\n", mail.text);
	o.fetches = 0;
	owner_say(&o, "TOP 1 0\r\n");
	assert_int_equal(o.fetches, 1); /* not the 3 MiB behind the header */
	owner_end(&o);
	buf_clear(&body);
}

static void message_that_cannot_be_had(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	o.fetch_cause = CAUSE_SERVER_TEMP_ERROR;
	assert_refused(owner_say(&o, "RETR 1\r\n"), "server-temp-error");
	assert_false(o.closed);
	o.chunk = one_byte;
	o.fetch_cause_at = 20;
	assert_starts(owner_say(&o, "RETR 1\r\nNOOP\r\n"), "+OK 44 octets\r\nSubject: one\r\n\r\nfirs");
	assert_true(o.closed); /* a part must not look like the whole */
	assert_null(strstr(buf_cstr(&o.seen), "\r\n.\r\n"));
	assert_null(strstr(buf_cstr(&o.seen), "-ERR"));
	owner_end(&o);
}

static uint64_t no_bytes(struct owner *o, uint64_t max)
{
	(void)o;
	(void)max;
	return 0;
}

static void store_that_gives_nothing(void **arg)
{
	struct owner o;

	(void)arg;
	owner_begin(&o, &owner_rules);
	owner_sign_in(&o);
	o.chunk = no_bytes;
	assert_refused(owner_say(&o, "RETR 1\r\n"), "server-temp-error");
	owner_end(&o);
}

int test_pop3_retr(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bodies_survive), cmocka_unit_test(bare_newlines_do_not_end_a_message), cmocka_unit_test(message_of_no_bytes),
		cmocka_unit_test(top_counts_lines_across_chunks), cmocka_unit_test(big_message_is_fetched_as_it_is_read),
		cmocka_unit_test(message_that_cannot_be_had), cmocka_unit_test(store_that_gives_nothing),
	};

	return cmocka_run_group_tests_name("pop3 retr", tests, NULL, NULL);
}
