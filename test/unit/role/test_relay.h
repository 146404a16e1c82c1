#ifndef MAILROOM_TEST_UNIT_RELAY_H
#define MAILROOM_TEST_UNIT_RELAY_H

void test_relay_cause_said(void **state);
void test_relay_cause_unsaid(void **state);

#endif
