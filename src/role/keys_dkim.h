/* keys_dkim - private keys that sign mail (DKIM): HOME/keys/dkim/DOMAIN/SELECTOR.key, PEM, RSA from 2048 bits or Ed25519. Read before the walls; used only on
 * 32 bytes of a SHA-256 digest, so that they are of no use for anything but DKIM, and no TLS key ever signs mail. Other endings in that directory
 * (".new": not in use yet, ".old": no longer) are not read. */
#ifndef MAILROOM_ROLE_KEYS_DKIM_H
#define MAILROOM_ROLE_KEYS_DKIM_H

#include "base/buf.h"
#include "base/err.h"
#include "mail/dkim.h"

enum { KEYS_DKIM_MAX = 20000 /* in all */, KEYS_DKIM_DOMAIN_MAX = 8 /* of a domain */ };

struct keys_dkim;
struct keys_dkim_key {
	uint16_t key; /* to be named in keys_dkim_sign */
	enum dkim_algorithm algorithm;
	struct span selector;
};

/* dir: HOME/keys/dkim; not there: no keys. A file that cannot be used is left out and told to `complain`, so that one bad key stops no other domain's mail.
 * unread: it may be a good one, but the system failed (tried again a few times). RC_IO: which domains have keys is not known */
enum rc keys_dkim_load(const char *dir, void (*complain)(const char *words, bool unread), struct keys_dkim **out, struct err *err) RC_WARN;
void keys_dkim_free(struct keys_dkim **k);
size_t keys_dkim_count(const struct keys_dkim *k);
/* those of that domain (lower case), at most KEYS_DKIM_DOMAIN_MAX; returns how many */
size_t keys_dkim_of(const struct keys_dkim *k, struct span domain, struct keys_dkim_key out[KEYS_DKIM_DOMAIN_MAX]);
/* a key of that domain could not be read */
bool keys_dkim_unread(const struct keys_dkim *k, struct span domain);
/* RC_BAD: no such key of that domain, or no digest; RC_IO: the library failed */
enum rc keys_dkim_sign(const struct keys_dkim *k, uint16_t key, struct span domain, struct span digest, struct buf *out) RC_WARN;

#endif
