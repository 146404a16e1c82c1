#ifndef MAILROOM_TEST_BASE_H
#define MAILROOM_TEST_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/span.h"

int test_bytes(void);
int test_num(void);
int test_map(void);
int test_net(void);
int test_library(void);
int test_log(void);

/* fails the test that runs, showing both */
void test_span_eq(struct span got, struct span want, const char *what);

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
