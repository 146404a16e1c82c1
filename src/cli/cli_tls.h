/* cli_tls - certificates for the command line: makes a self-signed one for a new home, looks at those that a configuration names. */
#ifndef MAILROOM_CLI_CLI_TLS_H
#define MAILROOM_CLI_CLI_TLS_H

#include "base/buf.h"
#include "base/err.h"

/* An ECDSA P-256 key and a certificate signed with it for these host names, localhost and 127.0.0.1, good for ten years; both as PEM. */
enum rc cli_tls_make(const char *const *names, size_t count, struct buf *certificate_out, struct buf *key_out, struct err *err) RC_WARN;

struct cli_tls_facts {
	int64_t not_after_ms;
	bool self_signed;
	bool key_seen;       /* false: the key file may not be read by this user */
};
/* Reads both files. RC_BAD: no certificate, no key, or they do not belong together; RC_IO: cannot be read */
enum rc cli_tls_look(const char *chain, const char *key, struct cli_tls_facts *out, struct err *err) RC_WARN;

#endif
