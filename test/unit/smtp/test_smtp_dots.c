/* the end of DATA: the state machine against a naive reading, whole and split; every false end of the smuggling reports */
#include <stdlib.h>

#include "proto/smtp/smtp_dots.h"
#include "smtp_test.h"

struct naive {
	struct buf body;
	bool ended, bare, nul, doubtful;
	size_t taken;
};

/* byte by byte, with the whole text in hand */
static void naive_read(struct naive *n, struct span in)
{
	size_t at = 0;
	bool start = true;

	buf_init(&n->body, 1 << 20);
	while (at < in.len) {
		struct span rest = span_from(in, at);

		if (start && span_starts(rest, SPAN_LIT(".\r\n"))) {
			n->ended = true;
			n->taken = at + 3;
			return;
		}
		if (start && rest.ptr[0] == '.') {
			at++;
			start = false;
			continue;
		}
		start = false;
		if (span_starts(rest, SPAN_LIT("\r\n"))) {
			n->doubtful = at > 0 && in.ptr[at - 1] == '\r';
			buf_add(&n->body, SPAN_LIT("\r\n"));
			at += 2;
			start = true;
			continue;
		}
		if (rest.ptr[0] == '\n' || (rest.ptr[0] == '\r' && rest.len > 1))
			n->bare = true;
		if (rest.ptr[0] == '\0')
			n->nul = true;
		buf_add_byte(&n->body, rest.ptr[0]);
		at++;
	}
	n->taken = at;
}

static size_t run_chunk(struct smtp_dots *d, struct span in, struct buf *body)
{
	struct smtp_dots_found found;
	struct span rest, one;

	smtp_dots_scan(d, in, &found);
	rest = span_head(in, found.body_bytes);
	while (smtp_dots_next(&rest, &found.drops, &found.drop_at, &one))
		buf_add(body, one);
	return found.taken;
}

static void check(struct span in, size_t split, bool bytewise)
{
	struct naive n = {0};
	struct smtp_dots d = {0};
	struct buf body;
	size_t taken = 0;

	naive_read(&n, in);
	buf_init(&body, 1 << 20);
	while (taken < in.len && d.state != SMTP_DOTS_END) {
		size_t len = bytewise ? 1 : taken < split ? split - taken : in.len - taken;

		/* a copy of its own, so that reading past the chunk shows under a sanitizer */
		uint8_t *copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, in.ptr + taken, len);
		taken += run_chunk(&d, span_of(copy, len), &body);
		free(copy);
	}
	assert_int_equal(d.state == SMTP_DOTS_END, n.ended);
	assert_int_equal(taken, n.taken);
	assert_int_equal(d.bare, n.bare);
	assert_int_equal(d.nul, n.nul);
	if (n.ended)
		assert_int_equal(d.doubtful, n.doubtful);
	if (!d.bare && n.ended) { /* of a refused message no byte matters */
		assert_int_equal(body.len, n.body.len);
		if (body.len)
			assert_memory_equal(body.ptr, n.body.ptr, body.len);
	}
	buf_clear(&body);
	buf_clear(&n.body);
}

static void test_random(void **state)
{
	static const uint8_t letters[] = {'\r', '\n', '.', 'a', '\r', '\n', '.', 'b', 0};
	uint8_t text[24];
	uint32_t seed = 12345;

	(void)state;
	for (unsigned round = 0; round < 60000; round++) {
		size_t len;

		seed = seed * 1664525u + 1013904223u;
		len = (seed >> 16) % sizeof(text) + 1;
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525u + 1013904223u;
			text[i] = letters[(seed >> 20) % sizeof(letters)];
		}
		for (size_t split = 0; split <= len; split++)
			check(span_of(text, len), split, false);
		check(span_of(text, len), 0, true);
	}
}

static void test_every_short_text(void **state)
{
	static const uint8_t letters[] = {'\r', '\n', '.', 'x'};
	uint8_t text[7];

	(void)state;
	for (size_t len = 1; len <= sizeof(text); len++) {
		for (unsigned n = 0; n < 1u << (2 * len); n++) {
			for (size_t i = 0; i < len; i++)
				text[i] = letters[n >> (2 * i) & 3];
			check(span_of(text, len), 0, false);
			check(span_of(text, len), 0, true);
		}
	}
}

static void test_one_span_where_nothing_is_stuffed(void **state)
{
	struct smtp_dots d = {0};
	struct smtp_dots_found found;
	struct span in = SPAN_LIT("Subject: x\r\n\r\nline\r\nanother\r\n.\r\nNEXT");

	(void)state;
	smtp_dots_scan(&d, in, &found);
	assert_int_equal(found.taken, in.len - 4);
	assert_int_equal(found.body_bytes, in.len - 7);
	assert_int_equal(found.drops, 0);
}

/* Every way of writing "line end, dot, line end" that is not exactly CR LF . CR LF: none ends the message, and the command behind it is
 * never run. */
static void test_smuggling(void **state)
{
	static const char *const ends[] = {"\n", "\r", "\r\n", "\r\r\n", "\n\r", "\r\n\r", "\n\n", "\r\r", "\r\n\n", "\n\r\n"};
	const size_t count = sizeof(ends) / sizeof(ends[0]);

	(void)state;
	for (size_t before = 0; before < count; before++) {
		for (size_t after = 0; after < count; after++) {
			struct fake_smtp f;
			char text[512];
			/* the true end: a CR LF that ends `before`, then the dot, then a CR LF that begins `after` */
			size_t len = strlen(ends[before]);
			bool ends_crlf = len >= 2 && memcmp(ends[before] + len - 2, "\r\n", 2) == 0;
			bool is_true = ends_crlf && strncmp(ends[after], "\r\n", 2) == 0;

			/* there it ends, but with a CR before the CR LF of the end nothing that follows is read */
			bool is_doubtful = is_true && strcmp(ends[before], "\r\r\n") == 0;

			if (is_true && !is_doubtful)
				continue;
			for (int bytewise = 0; bytewise < 2; bytewise++) {
				open_session(&f, SMTP_KIND_MX);
				(void)snprintf(text, sizeof(text), BEGIN "Subject: x\r\n\r\nbody%s.%sRSET\r\nMAIL FROM:<admin@mailroom.test>\r\n" TO_BOB
					"DATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\nNOOP\r\n", ends[before], ends[after]);
				for (const char *p = text; *p; p++) {
					if (!bytewise) {
						say(&f, text);
						break;
					}
					fake_smtp_feed(&f, span_of(p, 1));
				}
				char got[128];
				codes(&f, got, sizeof(got));
				assert_string_equal(got, is_doubtful ? "220 250 250 250 354 550" : "220 250 250 250 354 550 250");
				assert_non_null(strstr(said(&f), "bare-newline"));
				assert_int_equal(f.accepted, 0);
				fake_smtp_clear(&f);
			}
		}
	}
}

/* cost: no text may make the scan look at bytes again and again */
static void test_linear(void **state)
{
	static const char *const units[] = {"\r", "\n", ".", "\r\n.", "\r\n..", "\r\r\n", "a\r", ".\r\r"};
	const size_t len = 1 << 20;
	uint8_t *text = malloc(len);

	(void)state;
	assert_non_null(text);
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		size_t unit = strlen(units[u]);
		struct smtp_dots d = {0};
		struct buf body;
		mono_ms before = clock_mono_ms();

		buf_init(&body, len);
		for (size_t i = 0; i < len; i++)
			text[i] = (uint8_t)units[u][i % unit];
		(void)run_chunk(&d, span_of(text, len), &body);
		buf_clear(&body);
		assert_true(clock_mono_ms() - before < 5000);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_every_short_text),
		cmocka_unit_test(test_one_span_where_nothing_is_stuffed),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
