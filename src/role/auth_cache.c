#include "role/auth_cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

enum { WAYS = 4, MAC_BYTES = 32 };

struct slot {
	int64_t account; /* 0: unused */
	mono_ms until;
	uint8_t mac[MAC_BYTES];
};

struct auth_cache {
	uint8_t key[32];
	uint64_t ttl_ms;
	size_t sets;
	struct slot slots[];
};

struct auth_cache *auth_cache_new(uint32_t entries_max, uint64_t ttl_ms)
{
	size_t sets = entries_max / WAYS ? entries_max / WAYS : 1;
	struct auth_cache *c = mem_zalloc(sizeof(*c) + sets * WAYS * sizeof(struct slot));

	rng_fill(c->key, sizeof(c->key));
	c->ttl_ms = ttl_ms;
	c->sets = sets;
	return c;
}

void auth_cache_free(struct auth_cache **c)
{
	if (!*c)
		return;
	explicit_bzero(*c, sizeof(**c) + (*c)->sets * WAYS * sizeof(struct slot));
	free(*c);
	*c = NULL;
}

static struct slot *cache_set(const struct auth_cache *c, int64_t account)
{
	return (struct slot *)c->slots + (map_hash(&account, sizeof(account)) % c->sets) * WAYS;
}

static bool cache_mac(const struct auth_cache *c, int64_t account, uint64_t generation, struct span password, uint8_t mac_out[MAC_BYTES])
{
	uint8_t text[16 + LIMIT_PASSWORD_BYTES];
	unsigned len = 0;
	bool ok;

	if (password.len > LIMIT_PASSWORD_BYTES || account == 0)
		return false;
	memcpy(text, &account, 8);
	memcpy(text + 8, &generation, 8);
	if (password.len)
		memcpy(text + 16, password.ptr, password.len);
	ok = HMAC(EVP_sha256(), c->key, sizeof(c->key), text, 16 + password.len, mac_out, &len) && len == MAC_BYTES;
	explicit_bzero(text, sizeof(text));
	return ok;
}

bool auth_cache_has(const struct auth_cache *c, int64_t account, uint64_t generation, struct span password, mono_ms now)
{
	const struct slot *set = cache_set(c, account);
	uint8_t mac[MAC_BYTES];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].account == account && account != 0 && now < set[i].until)
			return cache_mac(c, account, generation, password, mac) && CRYPTO_memcmp(mac, set[i].mac, MAC_BYTES) == 0;
	}
	return false;
}

void auth_cache_put(struct auth_cache *c, int64_t account, uint64_t generation, struct span password, mono_ms now)
{
	struct slot *set = cache_set(c, account), *at = set;
	uint8_t mac[MAC_BYTES];

	if (!cache_mac(c, account, generation, password, mac))
		return;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].account == account) {
			at = &set[i];
			break;
		}
		if (set[i].until < at->until)
			at = &set[i];
	}
	*at = (struct slot){.account = account, .until = now + c->ttl_ms};
	memcpy(at->mac, mac, MAC_BYTES);
}

void auth_cache_forget(struct auth_cache *c, int64_t account)
{
	struct slot *set = cache_set(c, account);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].account == account)
			explicit_bzero(&set[i], sizeof(set[i]));
	}
}
