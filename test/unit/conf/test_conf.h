#ifndef MAILROOM_TEST_UNIT_CONF_H
#define MAILROOM_TEST_UNIT_CONF_H

void test_conf_load_files(void **state);
void test_conf_delivery_bad(void **state);
void test_conf_delivery_filled(void **state);
void test_conf_delivery_routes(void **state);
void test_conf_delivery_letters(void **state);
void test_conf_load_include(void **state);
void test_conf_load_limits(void **state);
void test_conf_override(void **state);

#endif
