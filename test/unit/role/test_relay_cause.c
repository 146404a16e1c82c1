/* What becomes of a recipient by what the other server said, or did not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "role/relay_cause.h"

#include "test_relay.h"

void test_relay_cause_said(void **state)
{
	static const struct {
		enum smtp_out_stage stage;
		unsigned code;
		const char *enhanced, *words;
		enum delivery_outcome outcome;
		enum cause_id cause;
		enum pace_event pace;
		bool elsewhere;
	} rows[] = {
		{SMTP_OUT_AT_RCPT, 550, "5.1.1", "The email account that you tried to reach does not exist", DELIVERY_REFUSED, CAUSE_RCPT_UNKNOWN, PACE_REFUSED, false},
		{SMTP_OUT_AT_RCPT, 450, "4.2.0", "<a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example", DELIVERY_LATER, CAUSE_GREYLISTED, PACE_REFUSED, false},
		{SMTP_OUT_AT_RCPT, 554, "5.7.1", "<a@b.example>: Relay access denied", DELIVERY_REFUSED, CAUSE_RELAY_DENIED_UNAUTH, PACE_REFUSED, false},
		{SMTP_OUT_AT_GREETING, 421, "4.7.0", "Too many concurrent SMTP connections; please try again later.", DELIVERY_LATER, CAUSE_TOO_MANY_CONNECTIONS, PACE_TOO_MUCH, true},
		{SMTP_OUT_AT_AUTH, 535, "5.7.8", "Authentication credentials invalid", DELIVERY_LATER, CAUSE_SMARTHOST_AUTH_FAILED, PACE_REFUSED, false},
		{SMTP_OUT_AT_AUTH, 454, "4.7.0", "Temporary authentication failure", DELIVERY_LATER, CAUSE_SMARTHOST_AUTH_FAILED, PACE_REFUSED, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_out_result r = {.fate = rows[i].code / 100 == 5 ? SMTP_OUT_REFUSED : SMTP_OUT_LATER, .stage = rows[i].stage, .code = rows[i].code,
			.enhanced = span_str(rows[i].enhanced), .words = span_str(rows[i].words), .closing = rows[i].code == 421};
		struct relay_verdict v;

		relay_cause_of(&r, &v);
		if (v.outcome != rows[i].outcome || v.cause != rows[i].cause || v.pace != rows[i].pace || v.elsewhere != rows[i].elsewhere)
			fail_msg("%u %s: outcome %d, cause %s (%u %%), pace %d, elsewhere %d", rows[i].code, rows[i].words, v.outcome, cause_slug(v.cause), v.sure, v.pace, v.elsewhere);
	}
	/* whatever the words: 5xx at a recipient ends it, 4xx never does, and the greeting is not the recipient's fault */
	for (unsigned code = 400; code < 600; code += 7) {
		struct smtp_out_result r = {.fate = code / 100 == 5 ? SMTP_OUT_REFUSED : SMTP_OUT_LATER, .stage = SMTP_OUT_AT_RCPT, .code = code, .words = SPAN_LIT("xyzzy")};
		struct relay_verdict v;

		relay_cause_of(&r, &v);
		assert_int_equal(v.outcome, code / 100 == 5 ? DELIVERY_REFUSED : DELIVERY_LATER);
		assert_false(v.elsewhere && code != 421);
		r.stage = SMTP_OUT_AT_GREETING;
		relay_cause_of(&r, &v);
		assert_true(v.elsewhere);
	}
}

void test_relay_cause_unsaid(void **state)
{
	static const struct { struct smtp_out_result r; enum delivery_outcome outcome; enum cause_id cause; bool elsewhere; } rows[] = {
		{{.fate = SMTP_OUT_SENT}, DELIVERY_SENT, CAUSE_NONE, false},
		{{.fate = SMTP_OUT_LOST, .stage = SMTP_OUT_AT_MAIL}, DELIVERY_LATER, CAUSE_REMOTE_LOST, true},
		{{.fate = SMTP_OUT_GARBLED, .stage = SMTP_OUT_AT_RCPT}, DELIVERY_LATER, CAUSE_REMOTE_GARBLED, true},
		{{.fate = SMTP_OUT_TIMED_OUT, .stage = SMTP_OUT_AT_DATA}, DELIVERY_LATER, CAUSE_TIMEOUT, true},
		{{.fate = SMTP_OUT_LOST, .stage = SMTP_OUT_AT_END, .in_doubt = true}, DELIVERY_LATER, CAUSE_REMOTE_IN_DOUBT, false},
		{{.fate = SMTP_OUT_GARBLED, .stage = SMTP_OUT_AT_END, .in_doubt = true}, DELIVERY_LATER, CAUSE_REMOTE_IN_DOUBT, false},
		{{.fate = SMTP_OUT_TIMED_OUT, .stage = SMTP_OUT_AT_END, .in_doubt = true}, DELIVERY_LATER, CAUSE_REMOTE_IN_DOUBT, false},
		{{.fate = SMTP_OUT_UNABLE, .need = SMTP_OUT_NEEDS_SMTPUTF8}, DELIVERY_REFUSED, CAUSE_SMTPUTF8_UNSUPPORTED, false},
		{{.fate = SMTP_OUT_UNABLE, .need = SMTP_OUT_NEEDS_SIZE}, DELIVERY_REFUSED, CAUSE_MESSAGE_TOO_BIG, false},
		{{.fate = SMTP_OUT_UNABLE, .need = SMTP_OUT_NEEDS_REQUIRETLS}, DELIVERY_REFUSED, CAUSE_REQUIRETLS_UNSUPPORTED, true},
		{{.fate = SMTP_OUT_UNABLE, .need = SMTP_OUT_NEEDS_BINARY}, DELIVERY_REFUSED, CAUSE_BINARYMIME_NEEDS_BDAT, false},
		{{.fate = SMTP_OUT_NO_TLS}, DELIVERY_LATER, CAUSE_TLS_REMOTE_MISSING, true},
		{{.fate = SMTP_OUT_NO_AUTH}, DELIVERY_LATER, CAUSE_SMARTHOST_AUTH_FAILED, false},
		{{.fate = SMTP_OUT_LEFT}, DELIVERY_LATER, CAUSE_TOO_MANY_RECIPIENTS, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct relay_verdict v;

		relay_cause_of(&rows[i].r, &v);
		assert_int_equal(v.outcome, rows[i].outcome);
		assert_int_equal(v.cause, rows[i].cause);
		assert_int_equal(v.elsewhere, rows[i].elsewhere);
		assert_true(rows[i].r.fate == SMTP_OUT_SENT || relay_cause_words(&rows[i].r)[0] != '\0');
	}
}
