/* b64 - base64 (RFC 4648), strict: padding required, no blanks, no stray bits. */
#ifndef MAILROOM_BASE_B64_H
#define MAILROOM_BASE_B64_H

#include "base/buf.h"
#include "base/err.h"

void b64_encode(struct buf *out, struct span s);
/* RC_BAD: not base64 (out may hold a part); RC_LIMIT: out's ceiling */
enum rc b64_decode(struct buf *out, struct span s) RC_WARN;

#endif
