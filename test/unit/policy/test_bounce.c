/* who is told that a message did not arrive */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/bounce.h"

static void test_table(void **state)
{
	static const struct { struct bounce_facts facts; enum bounce_to to; } cases[] = {
		/* our own people hear of everything that they did not decline */
		{{.from_here = true, .failed = true, .cause = CAUSE_RCPT_UNKNOWN}, BOUNCE_TO_SENDER},
		{{.from_here = true, .failed = true, .cause = CAUSE_SPAM_CONTENT}, BOUNCE_TO_SENDER},
		{{.from_here = true, .failed = true, .cause = CAUSE_INSUFFICIENT_TEXT}, BOUNCE_TO_SENDER},
		{{.from_here = true}, BOUNCE_TO_SENDER},
		{{.from_here = true, .failed = true, .asked_never = true, .cause = CAUSE_RCPT_UNKNOWN}, BOUNCE_TO_NOBODY},
		{{.from_here = true, .asked_never = true}, BOUNCE_TO_NOBODY},
		/* strangers, of what may not be their mail, only what speaks of the way */
		{{.failed = true, .cause = CAUSE_RCPT_UNKNOWN}, BOUNCE_TO_SENDER},
		{{.failed = true, .cause = CAUSE_REMOTE_LOST}, BOUNCE_TO_SENDER},
		{{.failed = true, .cause = CAUSE_TLS_DANE_MISMATCH}, BOUNCE_TO_SENDER},
		{{.failed = true, .cause = CAUSE_NONE}, BOUNCE_TO_SENDER},
		{{.failed = true, .cause = CAUSE_SPAM_CONTENT}, BOUNCE_TO_NOBODY},
		{{.failed = true, .cause = CAUSE_IP_DNSBL}, BOUNCE_TO_NOBODY},
		{{.failed = true, .cause = CAUSE_DMARC_REJECT}, BOUNCE_TO_NOBODY},
		{{.failed = true, .cause = CAUSE_POLICY_UNSPECIFIED}, BOUNCE_TO_NOBODY},
		{{.failed = true, .cause = CAUSE_INSUFFICIENT_TEXT}, BOUNCE_TO_NOBODY},
		{{.failed = true, .asked_never = true, .cause = CAUSE_RCPT_UNKNOWN}, BOUNCE_TO_NOBODY},
		{{.cause = CAUSE_SPAM_CONTENT}, BOUNCE_TO_SENDER}, /* a delay, a success that was asked for */
		/* the null sender never; of our own the postmaster, once it is over */
		{{.sender_is_null = true, .failed = true, .cause = CAUSE_RCPT_UNKNOWN}, BOUNCE_TO_NOBODY},
		{{.sender_is_null = true}, BOUNCE_TO_NOBODY},
		{{.sender_is_null = true, .from_here = true}, BOUNCE_TO_NOBODY},
		{{.sender_is_null = true, .from_here = true, .failed = true, .cause = CAUSE_SPAM_CONTENT}, BOUNCE_TO_POSTMASTER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (bounce_decide(&cases[i].facts) != cases[i].to)
			fail_msg("case %zu: %d, not %d", i, (int)bounce_decide(&cases[i].facts), (int)cases[i].to);
}

/* whatever a remote says, who asked for nothing gets nothing, and the null sender no answer */
static void test_every_cause(void **state)
{
	(void)state;
	for (int cause = 0; cause < CAUSE_COUNT; cause++)
		for (unsigned bits = 0; bits < 16; bits++) {
			struct bounce_facts f = {.sender_is_null = bits & 1, .from_here = bits & 2, .failed = bits & 4, .asked_never = bits & 8, .cause = (enum cause_id)cause};
			enum bounce_to to = bounce_decide(&f);

			assert_false(to == BOUNCE_TO_SENDER && (f.sender_is_null || f.asked_never));
			assert_false(to == BOUNCE_TO_POSTMASTER && !(f.sender_is_null && f.from_here && f.failed));
			if (f.from_here && !f.sender_is_null && !f.asked_never)
				assert_int_equal(to, BOUNCE_TO_SENDER);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_every_cause)};

	return cmocka_run_group_tests_name("bounce", tests, NULL, NULL);
}
