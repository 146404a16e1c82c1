/* the Sender Rewriting Scheme, there and back */
#include "test_mail.h"

#include "base/buf.h"
#include "mail/srs.h"

static const uint8_t key[SRS_KEY_BYTES] = "0123456789abcdef0123456789abcde", other[SRS_KEY_BYTES] = "another key, as long as the one ";
enum { DAY = 20000 };

static struct span forward(struct buf *b, struct span sender, int64_t day)
{
	buf_reset(b);
	if (!srs_forward(b, key, day, sender))
		return SPAN_NONE;
	return buf_span(b);
}

static void there_and_back(void **state)
{
	static const char *const senders[] = {"a@b.example", "first.last+tag@sub.domain.example", "o'brien@x.example", "with=equals@x.example", "==@x.example",
		"UPPER@x.example",
		"b\xc3\xbcrger@b\xc3\xbcrger.example", "x@[192.0.2.1]", "bounce-1234=alice=example.org@lists.a-rather-long-name.example"};
	struct buf made, back;

	(void)state;
	buf_init(&made, 1000);
	buf_init(&back, 1000);
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		struct span local = forward(&made, span_str(senders[i]), DAY);

		assert_true(local.len > 0 && srs_is_rewritten(local) && span_starts(local, SPAN_LIT("SRS0=")));
		buf_reset(&back);
		assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY + 3, local));
		test_span_eq(buf_span(&back), span_str(senders[i]), senders[i]);
		for (size_t k = 0; k < made.len; k++) /* a server on the way lowers it */
			made.ptr[k] = byte_lower(made.ptr[k]);
		buf_reset(&back);
		assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY, local));
		assert_true(span_eq_nocase(buf_span(&back), span_str(senders[i])));
	}
	buf_clear(&made);
	buf_clear(&back);
}

static void a_chain_keeps_its_ends(void **state)
{
	struct buf made, back;
	struct span local;

	(void)state;
	buf_init(&made, 1000);
	buf_init(&back, 1000);
	local = forward(&made, SPAN_LIT("SRS0=abcd=TT=orig.example=joe@first.example"), DAY);
	assert_true(span_starts(local, SPAN_LIT("SRS1=")));
	assert_true(span_find_span(local, SPAN_LIT("=first.example==abcd=TT=orig.example=joe")) < local.len);
	assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY + 1000, local)); /* its age is the first one's to judge */
	test_span_eq(buf_span(&back), SPAN_LIT("SRS0=abcd=TT=orig.example=joe@first.example"), "back to the first");
	/* others separate with + and -; that has to come back the same */
	local = forward(&made, SPAN_LIT("srs0+abcd=TT=orig.example=joe@first.example"), DAY);
	buf_reset(&back);
	assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY, local));
	test_span_eq(buf_span(&back), SPAN_LIT("SRS0+abcd=TT=orig.example=joe@first.example"), "with its separator");
	/* the third forwarder replaces the second, whose hash is of no use to anybody */
	local = forward(&made, SPAN_LIT("SRS1=hhhh=first.example==abcd=TT=orig.example=joe@second.example"), DAY);
	assert_true(span_find_span(local, SPAN_LIT("second")) == local.len && span_find_span(local, SPAN_LIT("hhhh")) == local.len);
	buf_reset(&back);
	assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY, local));
	test_span_eq(buf_span(&back), SPAN_LIT("SRS0=abcd=TT=orig.example=joe@first.example"), "past the second");
	buf_clear(&made);
	buf_clear(&back);
}

static void what_was_changed_or_is_old_is_known(void **state)
{
	struct buf made, back;
	struct span local;

	(void)state;
	buf_init(&made, 1000);
	buf_init(&back, 1000);
	local = forward(&made, SPAN_LIT("a@b.example"), DAY);
	assert_int_equal(SRS_BACK_FORGED, srs_reverse(&back, other, DAY, local));
	for (size_t i = 5; i < made.len; i++) { /* each byte counts */
		uint8_t was = made.ptr[i];

		made.ptr[i] = was == 'x' || was == 'X' ? 'y' : 'x';
		assert_int_equal(SRS_BACK_FORGED, srs_reverse(&back, key, DAY, local));
		made.ptr[i] = was;
	}
	for (size_t cut = 0; cut < made.len; cut++)
		assert_int_not_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY, span_head(local, cut)));
	assert_int_equal(0, back.len);
	assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY + SRS_VALID_DAYS, local));
	assert_int_equal(SRS_BACK_OLD, srs_reverse(&back, key, DAY + SRS_VALID_DAYS + 1, local));
	assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, DAY - 1, local));
	assert_int_equal(SRS_BACK_OLD, srs_reverse(&back, key, DAY - 2, local));
	/* round the end of the two digits */
	for (int64_t day = 1015; day < 1030; day++) {
		local = forward(&made, SPAN_LIT("a@b.example"), day);
		assert_int_equal(SRS_BACK_OK, srs_reverse(&back, key, day + SRS_VALID_DAYS, local));
		assert_int_equal(SRS_BACK_OLD, srs_reverse(&back, key, day + SRS_VALID_DAYS + 1, local));
	}
	buf_clear(&made);
	buf_clear(&back);
}

static void what_cannot_be_rewritten_is_left(void **state)
{
	static const char *const no[] = {"", "@", "a@", "@b.example", "nodomain", "\"quoted local\"@b.example"};
	static const char *const not[] = {"", "SRS", "SRS0", "SRS0=", "SRS2=abc", "srs", "anna", "SRS0xabc"};
	uint8_t text[300];
	struct buf made;

	(void)state;
	buf_init(&made, 1000);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(srs_forward(&made, key, DAY, span_str(no[i])));
	memset(text, 'x', sizeof(text));
	memcpy(text + 64, "@", 1);
	assert_false(srs_forward(&made, key, DAY, span_of(text, sizeof(text))));
	assert_int_equal(0, made.len);
	assert_true(srs_forward(&made, key, DAY, span_of(text, 64 + 100)));
	assert_true(made.len <= SRS_LOCAL_BYTES);
	for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
		assert_false(srs_is_rewritten(span_str(not[i])));
		assert_int_equal(SRS_BACK_NOT, srs_reverse(&made, key, DAY, span_str(not[i])));
	}
	assert_int_equal(SRS_BACK_FORGED, srs_reverse(&made, key, DAY, SPAN_LIT("SRS0=====")));
	assert_int_equal(SRS_BACK_FORGED, srs_reverse(&made, key, DAY, SPAN_LIT("SRS1=x")));
	buf_clear(&made);
}

int test_srs(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(a_chain_keeps_its_ends),
		cmocka_unit_test(what_was_changed_or_is_old_is_known), cmocka_unit_test(what_cannot_be_rewritten_is_left)};

	return cmocka_run_group_tests_name("srs", tests, NULL, NULL);
}
