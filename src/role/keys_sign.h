/* keys_sign - private keys for TLS: read, held in locked memory that is left out of core dumps, and used only on what a TLS handshake asks to be signed.
 * No channel, no files after keys_load. */
#ifndef MAILROOM_ROLE_KEYS_SIGN_H
#define MAILROOM_ROLE_KEYS_SIGN_H

#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/key_scheme.h"

struct keys;
/* The keys of conf->certificates in their order. RC_BAD: err names the certificate section, the file and what is wrong (no PEM key, protected by a
 * passphrase, RSA under 2048 bits, other curve than P-256 or P-384, does not belong to the chain); RC_IO: the file cannot be read. */
enum rc keys_load(const struct conf *conf, struct keys **out, struct err *err) RC_WARN;
void keys_free(struct keys **k);
size_t keys_count(const struct keys *k);
const char *keys_kind(const struct keys *k, unsigned key); /* "RSA 2048", "EC P-256" */

/* Is this what a TLS 1.2 or 1.3 handshake would have this key sign? Digests of 32, 48 or 64 bytes; a DigestInfo of SHA-256, -384 or -512; a whole
 * PSS block with one of these hashes and a salt as long (RFC 8446 4.2.3). Anything else is not signed for anybody. */
bool keys_is_tls_shaped(const struct keys *k, unsigned key, unsigned scheme, struct span input);
/* appends the signature. RC_BAD: not TLS-shaped or no such key; RC_IO: the library failed */
enum rc keys_sign(struct keys *k, unsigned key, unsigned scheme, struct span input, struct buf *out) RC_WARN;

#endif
