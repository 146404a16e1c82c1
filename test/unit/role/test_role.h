#ifndef MAILROOM_TEST_ROLE_H
#define MAILROOM_TEST_ROLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"
#include "store/cred.h"

int test_auth_throttle(void);
int test_auth_login(void);
int test_auth_form(void);
int test_auth_cache(void);
int test_auth_sasl(void);
int test_role_auth(void);
int test_tls_server(void);

/* cred_stub.c: accounts in memory behind cred.h; hashes are cheap, the API is the real one */
void cred_stub_reset(void);
void cred_stub_add(const char *address, const char *password, bool scram, bool enabled);
void cred_stub_change(const char *address, const char *password); /* as another process would */
void cred_stub_demand(const char *address, enum cred_demand demand);
void cred_stub_app(const char *address, const char *name, const char *password); /* NULL, NULL: taken back, as another process would */
void cred_stub_old(const char *address, const char *password, int64_t ended_ms); /* the one before */
void cred_stub_broken(bool on);      /* every look-up fails with RC_IO */
unsigned cred_stub_hashes(void);     /* cred_check_password calls so far */
unsigned cred_stub_old_hashes(void); /* cred_check_old calls so far */
unsigned cred_stub_uses(void);       /* times of use written down */
bool cred_stub_has_scram(const char *address);

#endif
