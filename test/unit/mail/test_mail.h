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
int test_mime(void);
int test_mime_value(void);
int test_mime_reader(void);
int test_mime_wide(void);
int test_words(void);
int test_attach(void);
int test_mta_sts(void);
int test_field(void);
int test_srs(void);
int test_dkim(void);
int test_dsn(void);
int test_autoreply(void);

/* fails the test that runs, showing both */
void test_span_eq(struct span got, struct span want, const char *what);

#endif
