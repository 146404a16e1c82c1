/* tls_server - TLS of the network roles: one SSL_CTX a certificate, made before the walls. The private key is not here: every signature is asked of a
 * function of the owner, who asks the keys role. TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) only. Not responsible for sockets. */
#ifndef MAILROOM_ROLE_TLS_SERVER_H
#define MAILROOM_ROLE_TLS_SERVER_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/key_scheme.h"

/* Appends the signature by private key number `key` (index of the certificate). May wait a moment; anything but RC_OK fails the handshake. */
typedef enum rc tls_server_signer(void *arg, unsigned key, enum key_scheme scheme, struct span input, struct buf *out);

struct tls_server;
/* RC_BAD, RC_IO: err names the certificate section, the file and what is wrong */
enum rc tls_server_new(const struct conf *conf, tls_server_signer *sign, void *arg, struct tls_server **out, struct err *err) RC_WARN;
void tls_server_free(struct tls_server **t);
SSL_CTX *tls_server_ctx(const struct tls_server *t, unsigned certificate); /* NULL: no such */

/* Channel binding data of an established connection: tls-exporter (RFC 9266) and, under TLS 1.2, tls-unique (RFC 5929). Nothing is appended where a
 * binding would not be safe: before TLS 1.3 without the extended master secret (RFC 7627). */
void tls_server_binding(SSL *ssl, struct buf *exporter_out, struct buf *unique_out);
/* why a handshake failed, in words for the log; clears OpenSSL's list of errors */
void tls_server_fault(struct buf *out);

#endif
