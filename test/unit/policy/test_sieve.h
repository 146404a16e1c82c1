#ifndef MAILROOM_TEST_SIEVE_H
#define MAILROOM_TEST_SIEVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "policy/sieve.h"

int test_sieve_tests(void);
int test_sieve_actions(void);
int test_sieve_faults(void);
int test_sieve_limits(void);
int test_sieve_rule(void);
int test_sieve_mail(void);

/* require of all extensions, one line */
#define ALL \
	"require [\"fileinto\", \"reject\", \"ereject\", \"envelope\", \"encoded-character\", \"body\", \"variables\", \"imap4flags\", \"relational\", " \
	"\"subaddress\", \"copy\", \"mime\", \"foreverypart\", \"editheader\", \"date\", \"index\", \"vacation\", \"vnd.mailroom.attachment\", " \
	"\"comparator-i;ascii-numeric\", \"comparator-i;unicode-casemap\"];\n"

/* The decision over the test message in one line: "fileinto+ Work {\Seen a} @3; keep": + copy, { } flags, @ line (none: implicit).
 * A fault is "fault 3: words"; one at compile time "compile 3:7: words". */
const char *sieve_decide(struct span script, uint64_t steps, struct buf *out);

#endif
