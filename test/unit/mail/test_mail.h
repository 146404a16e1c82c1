#ifndef MAILROOM_TEST_MAIL_H
#define MAILROOM_TEST_MAIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/span.h"

int test_address(void);
int test_header(void);
int test_from(void);

/* fails the test that runs, showing both */
void test_span_eq(struct span got, struct span want, const char *what);

#endif
