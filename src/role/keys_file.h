/* keys_file - reads private keys and passwords from files, before the walls: plain files, or links that root made; into locked memory. */
#ifndef MAILROOM_ROLE_KEYS_FILE_H
#define MAILROOM_ROLE_KEYS_FILE_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"

/* Before the first key: private numbers then live in memory that is locked and not dumped. */
enum rc keys_file_memory(struct err *err) RC_WARN;
/* a PEM private key without a passphrase. RC_BAD, RC_IO: err names the file and what is wrong */
enum rc keys_file_key(const char *path, EVP_PKEY **out, struct err *err) RC_WARN;
/* the first line, without its end */
enum rc keys_file_line(const char *path, struct buf *out, struct err *err) RC_WARN;

#endif
