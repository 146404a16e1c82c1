#ifndef MAILROOM_TEST_STREAM_H
#define MAILROOM_TEST_STREAM_H

void test_tls_echo(void **state);
void test_tls_byte_by_byte(void **state);
void test_tls_slow_reader(void **state);
void test_tls_failures(void **state);
void test_tls_vanishes(void **state);
void test_tls_close(void **state);
void test_tls_free(void **state);
void test_starttls(void **state);
void test_starttls_injection(void **state);

/* test_stream_connect.c */
void test_connect(void **state);
void test_connect_fails(void **state);
void test_connect_free(void **state);
void test_client_tls(void **state);
void test_client_starttls(void **state);
void test_client_certificate(void **state);
void test_client_injection(void **state);

#endif
