/* keys_secret - passwords for signing in at smarthosts: read before the walls from files, kept in locked memory. */
#ifndef MAILROOM_ROLE_KEYS_SECRET_H
#define MAILROOM_ROLE_KEYS_SECRET_H

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

struct keys_secrets;
struct keys_secrets *keys_secrets_new(void);
void keys_secrets_free(struct keys_secrets **s);
/* The next one, in the order of the configuration. file: its first line is the password; "": none is needed. RC_BAD, RC_IO: err names the file */
enum rc keys_secrets_add(struct keys_secrets *s, const char *login, const char *file, struct err *err) RC_WARN;
size_t keys_secrets_count(const struct keys_secrets *s);
/* false: no such, or it needs none. Spans live as long as s. */
bool keys_secrets_get(const struct keys_secrets *s, unsigned index, struct span *login_out, struct span *password_out);

#endif
