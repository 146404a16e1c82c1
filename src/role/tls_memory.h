/* tls_memory - has OpenSSL wipe what it frees, as its record buffers hold what clients say under TLS: passwords, for one. */
#ifndef MAILROOM_ROLE_TLS_MEMORY_H
#define MAILROOM_ROLE_TLS_MEMORY_H

#include "base/err.h"

/* before anything else is done with OpenSSL in this process; RC_IO: something was */
enum rc tls_memory_wipe(struct err *err) RC_WARN;

#endif
