/* auth_cache - passwords that were right a moment ago, so that a client which polls every minute costs one hash in five minutes. Keeps a
 * keyed HMAC-SHA256 of account, generation and password (the key is random and never leaves the process), never a password, and never a
 * "wrong". One entry an account, bounded; a new generation of the account does not match. Time is an argument. */
#ifndef MAILROOM_ROLE_AUTH_CACHE_H
#define MAILROOM_ROLE_AUTH_CACHE_H

#include "base/clock.h"
#include "base/span.h"

enum { AUTH_CACHE_ENTRIES = 4096, AUTH_CACHE_MS = 5 * 60 * 1000 };

struct auth_cache;
struct auth_cache *auth_cache_new(uint32_t entries_max, uint64_t ttl_ms);
void auth_cache_free(struct auth_cache **c);
bool auth_cache_has(const struct auth_cache *c, int64_t account, uint64_t generation, struct span password, mono_ms now);
void auth_cache_put(struct auth_cache *c, int64_t account, uint64_t generation, struct span password, mono_ms now);
void auth_cache_forget(struct auth_cache *c, int64_t account);

#endif
