/* the canonical forms against the examples of RFC 6376 and 8463; what others say of whole signatures: test/e2e/test_dkim.py */
#include "base/b64.h"
#include "mail/dkim.h"
#include "test_mail.h"

static void body_hash(struct span body, size_t step, struct buf *out)
{
	struct dkim_body *b = dkim_body_new();
	uint8_t hash[DKIM_DIGEST_BYTES];

	for (size_t at = 0; at < body.len; at += step)
		dkim_body_add(b, span_head(span_from(body, at), step));
	assert_int_equal(dkim_body_end(&b, hash), RC_OK);
	assert_null(b);
	buf_reset(out);
	b64_encode(out, span_of(hash, sizeof(hash)));
}

static void test_body(void **state)
{
	static const struct {
		const char *body, *hash;
	} cases[] = {
		{"", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, /* RFC 6376 3.4.4: nothing */
		{"\r\n\r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		{" \t\r\n  \r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		{"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n", "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="}, /* RFC 8463 A.2 */
		{"Hi.\r\n\r\nWe lost the game. \t Are you hungry yet?  \r\n\t\r\nJoe.\r\n\r\n \r\n", "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="},
		{"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.", "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="},
	};
	struct buf got;

	(void)state;
	buf_init(&got, 100);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 8; step++) {
			body_hash(span_str(cases[i].body), step, &got);
			test_span_eq(buf_span(&got), span_str(cases[i].hash), cases[i].body);
		}
	buf_clear(&got);
}

static void test_field_shape(void **state)
{
	static const uint8_t hash[DKIM_DIGEST_BYTES] = {1, 2, 3};
	const struct dkim_sign s = {.domain = SPAN_LIT("example.org"), .selector = SPAN_LIT("mr202611"), .algorithm = DKIM_RSA_SHA256, .body_hash = hash, .at_s = 1700000000};
	uint8_t first[DKIM_DIGEST_BYTES], again[DKIM_DIGEST_BYTES];
	struct buf field, other;
	const char *text;

	(void)state;
	buf_init(&field, DKIM_FIELD_BYTES);
	buf_init(&other, DKIM_FIELD_BYTES);
	assert_int_equal(dkim_field(&s, SPAN_LIT("From: a@example.org\r\nSubject:  one   two \r\n three\r\nTo: b@example.net\r\n\r\n"), &field, first), RC_OK);
	text = buf_cstr(&field);
	assert_non_null(strstr(text, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=example.org; s=mr202611;\r\n\tt=1700000000;"));
	assert_non_null(strstr(text, "h=from:from:to:to:cc:subject:subject:date:reply-to:message-id:"));
	/* blanks, case of names and folds do not count; nor does the order of fields of different names */
	assert_int_equal(dkim_field(&s, SPAN_LIT("TO:b@example.net\r\nsubject: one two three\r\nFROM :a@example.org\r\n"), &other, again), RC_OK);
	assert_memory_equal(first, again, sizeof(first));
	buf_reset(&other);
	assert_int_equal(dkim_field(&s, SPAN_LIT("TO:b@example.net\r\nsubject: one two  three!\r\nFROM :a@example.org\r\n"), &other, again), RC_OK);
	assert_memory_not_equal(first, again, sizeof(first));
	/* no line is long */
	dkim_field_end(&field, span_of(hash, sizeof(hash)));
	for (struct span rest = buf_span(&field); rest.len;) {
		size_t end = span_find_span(rest, SPAN_LIT("\r\n"));

		assert_true(end < 80);
		rest = span_from(rest, end + 2);
	}
	buf_clear(&field);
	buf_clear(&other);
}

static void test_field_refused(void **state)
{
	static const uint8_t hash[DKIM_DIGEST_BYTES] = {0};
	const struct dkim_sign s = {.domain = SPAN_LIT("example.org"), .selector = SPAN_LIT("a"), .algorithm = DKIM_RSA_SHA256, .body_hash = hash, .at_s = 1};
	uint8_t digest[DKIM_DIGEST_BYTES];
	struct buf field;

	(void)state;
	buf_init(&field, DKIM_FIELD_BYTES);
	assert_int_equal(dkim_field(&s, SPAN_LIT("Subject: x\r\n\r\n"), &field, digest), RC_BAD);
	buf_reset(&field);
	assert_int_equal(dkim_field(&s, SPAN_LIT("From: a@b\r\nFrom: c@d\r\n\r\n"), &field, digest), RC_BAD);
	buf_clear(&field);
	buf_init(&field, 100);
	assert_int_equal(dkim_field(&s, SPAN_LIT("From: a@b\r\n\r\n"), &field, digest), RC_LIMIT);
	buf_clear(&field);
}

/* an extra field of an oversigned name changes what is hashed: the names in h= stand once more than there were fields */
static void test_oversigned(void **state)
{
	static const char *const names[] = {"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type"};
	static const uint8_t hash[DKIM_DIGEST_BYTES] = {0};
	const struct dkim_sign s = {.domain = SPAN_LIT("example.org"), .selector = SPAN_LIT("a"), .algorithm = DKIM_ED25519_SHA256, .body_hash = hash, .at_s = 1};
	uint8_t digest[DKIM_DIGEST_BYTES];
	struct buf head, field;

	(void)state;
	buf_init(&head, 4096);
	buf_init(&field, DKIM_FIELD_BYTES);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		buf_printf(&head, "%s: x%zu\r\n", names[i], i);
	assert_int_equal(dkim_field(&s, buf_span(&head), &field, digest), RC_OK);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char wanted[64], lower[32];
		const char *at = strstr(buf_cstr(&field), "h=");
		size_t n = 0, len = strlen(names[i]);

		for (size_t k = 0; k <= len; k++)
			lower[k] = (char)byte_lower((uint8_t)names[i][k]);
		(void)snprintf(wanted, sizeof(wanted), "%s", lower);
		for (at += 2; (at = strstr(at, wanted)) != NULL; at += len)
			n += (at[-1] == ':' || at[-1] == '=' || at[-1] == '\t') && (at[len] == ':' || at[len] == ';');
		assert_int_equal(n, 2);
	}
	buf_clear(&head);
	buf_clear(&field);
}

static void test_selector(void **state)
{
	(void)state;
	assert_true(dkim_selector_ok(SPAN_LIT("mr202611e")));
	assert_true(dkim_selector_ok(SPAN_LIT("a-b")));
	assert_false(dkim_selector_ok(SPAN_LIT("")));
	assert_false(dkim_selector_ok(SPAN_LIT("a.b")));
	assert_false(dkim_selector_ok(SPAN_LIT("../x")));
	assert_false(dkim_selector_ok(SPAN_LIT("-a")));
	assert_false(dkim_selector_ok(SPAN_LIT("a-")));
}

static void test_record(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 200);
	dkim_record(&out, DKIM_ED25519_SHA256, SPAN_LIT("\x01\x02\x03"));
	test_span_eq(buf_span(&out), SPAN_LIT("v=DKIM1; k=ed25519; p=AQID"), "record");
	buf_clear(&out);
}

int test_dkim(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_body), cmocka_unit_test(test_field_shape), cmocka_unit_test(test_field_refused),
		cmocka_unit_test(test_oversigned), cmocka_unit_test(test_selector), cmocka_unit_test(test_record)};

	return cmocka_run_group_tests_name("dkim", tests, NULL, NULL);
}
