/* map - from a 64-bit number to a pointer; open addressing, grows by doubling. Keys are mixed with a per-process secret, so a
 * peer who chooses keys cannot make it slow. Does not own the values. */
#ifndef MAILROOM_BASE_MAP_H
#define MAILROOM_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t size, count, dead;
	uint64_t secret;
};

void map_init(struct map *m);
void map_clear(struct map *m);
void *map_get(const struct map *m, uint64_t key); /* NULL: none */
/* value must not be NULL; an older value under the key is replaced and returned, else NULL */
void *map_put(struct map *m, uint64_t key, void *value);
void *map_take(struct map *m, uint64_t key); /* removes and returns it, or NULL */
/* iteration: start with *at = 0; returns false at the end. Removing the entry just returned is fine. */
bool map_next(const struct map *m, size_t *at, uint64_t *key_out, void **value_out);
/* a keyed 64-bit hash of bytes (SipHash-2-4 with a per-process key), for maps keyed by text or addresses */
uint64_t map_hash(const void *bytes, size_t len);
/* the same under a key of the caller's, for hashes that outlive the process */
uint64_t map_hash_keyed(const uint8_t key[16], const void *bytes, size_t len);

#endif
