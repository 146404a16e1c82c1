/* tls_remote - an EVP_PKEY that has only the public half and asks a function for every signature. The one place that uses OpenSSL's method tables. */
#ifndef MAILROOM_ROLE_TLS_REMOTE_H
#define MAILROOM_ROLE_TLS_REMOTE_H

#include "role/tls_server.h"

struct tls_remote;
struct tls_remote *tls_remote_new(tls_server_signer *sign, void *arg);
/* after the last key made by it is gone */
void tls_remote_free(struct tls_remote **r);
/* the stand-in for the private key of that certificate; RC_BAD: neither RSA nor EC. The caller frees it. */
enum rc tls_remote_key(struct tls_remote *r, unsigned key, X509 *certificate, EVP_PKEY **out, struct err *err) RC_WARN;

#endif
