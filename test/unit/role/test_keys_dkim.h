#ifndef MAILROOM_TEST_UNIT_ROLE_TEST_KEYS_DKIM_H
#define MAILROOM_TEST_UNIT_ROLE_TEST_KEYS_DKIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

int test_keys_remove(const char *dir); /* and all in it */
void test_keys_dkim_signs(void **state);
void test_keys_dkim_of(void **state);
void test_keys_dkim_unread(void **state);
void test_keys_dkim_left_out(void **state);

#endif
