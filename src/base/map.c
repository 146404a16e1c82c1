#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"

enum map_state { MAP_EMPTY, MAP_USED, MAP_DEAD };

struct map_slot {
	uint64_t key;
	void *value;
	enum map_state state;
};

enum { MAP_FIRST_SLOTS = 16 };

void map_init(struct map *m)
{
	*m = (struct map){.secret = rng_u64()};
}

void map_clear(struct map *m)
{
	free(m->slots);
	*m = (struct map){.secret = m->secret};
}

static uint64_t map_mix(const struct map *m, uint64_t key)
{
	key ^= m->secret;
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
	key = (key ^ key >> 27) * 0x94d049bb133111ebu;
	return key ^ key >> 31;
}

/* the slot that holds key, or NULL; *free_out (where wanted) is where it would go */
static struct map_slot *map_find(const struct map *m, uint64_t key, struct map_slot **free_out)
{
	size_t at = map_mix(m, key) & (m->size - 1);
	struct map_slot *hole = NULL;

	for (;; at = (at + 1) & (m->size - 1)) {
		struct map_slot *s = &m->slots[at];

		if (s->state == MAP_USED && s->key == key)
			return s;
		if (s->state != MAP_USED && !hole)
			hole = s;
		if (s->state == MAP_EMPTY)
			break;
	}
	if (free_out)
		*free_out = hole;
	return NULL;
}

static void map_resize(struct map *m, size_t size)
{
	struct map_slot *old = m->slots;
	size_t old_size = m->size;

	m->slots = mem_array(size, sizeof(*m->slots));
	m->size = size;
	m->dead = 0;
	for (size_t i = 0; i < old_size; i++) {
		struct map_slot *to;

		if (old[i].state != MAP_USED)
			continue;
		(void)map_find(m, old[i].key, &to);
		*to = old[i];
	}
	free(old);
}

void *map_get(const struct map *m, uint64_t key)
{
	struct map_slot *s = m->size ? map_find(m, key, NULL) : NULL;

	return s ? s->value : NULL;
}

void *map_put(struct map *m, uint64_t key, void *value)
{
	struct map_slot *s, *to = NULL;
	void *old;

	if (m->size == 0)
		map_resize(m, MAP_FIRST_SLOTS);
	else if ((m->count + m->dead + 1) * 4 > m->size * 3)
		map_resize(m, (m->count + 1) * 2 > m->size ? m->size * 2 : m->size);
	s = map_find(m, key, &to);
	if (s) {
		old = s->value;
		s->value = value;
		return old;
	}
	if (to->state == MAP_DEAD)
		m->dead--;
	*to = (struct map_slot){.key = key, .value = value, .state = MAP_USED};
	m->count++;
	return NULL;
}

void *map_take(struct map *m, uint64_t key)
{
	struct map_slot *s = m->size ? map_find(m, key, NULL) : NULL;
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	*s = (struct map_slot){.state = MAP_DEAD};
	m->count--;
	m->dead++;
	return value;
}

bool map_next(const struct map *m, size_t *at, uint64_t *key_out, void **value_out)
{
	while (*at < m->size) {
		const struct map_slot *s = &m->slots[(*at)++];

		if (s->state != MAP_USED)
			continue;
		*key_out = s->key;
		*value_out = s->value;
		return true;
	}
	return false;
}

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
#define SIPROUND(v)                                                                                                    \
	do {                                                                                                           \
		v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);                              \
		v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];                                                     \
		v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];                                                     \
		v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);                              \
	} while (0)

static uint64_t map_siphash(const uint64_t key[2], const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t v[4], word;
	size_t left = len;

	v[0] = key[0] ^ 0x736f6d6570736575u;
	v[1] = key[1] ^ 0x646f72616e646f6du;
	v[2] = key[0] ^ 0x6c7967656e657261u;
	v[3] = key[1] ^ 0x7465646279746573u;
	for (; left >= 8; left -= 8, at += 8) {
		word = num_le(at, 8);
		v[3] ^= word;
		SIPROUND(v);
		SIPROUND(v);
		v[0] ^= word;
	}
	word = num_le(at, left) | (uint64_t)len << 56;
	v[3] ^= word;
	SIPROUND(v);
	SIPROUND(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		SIPROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(const void *bytes, size_t len)
{
	static uint64_t key[2];
	static bool keyed;

	if (!keyed) {
		rng_fill(key, sizeof(key));
		keyed = true;
	}
	return map_siphash(key, bytes, len);
}

uint64_t map_hash_keyed(const uint8_t key[16], const void *bytes, size_t len)
{
	return map_siphash((uint64_t[2]){num_le(key, 8), num_le(key + 8, 8)}, bytes, len);
}
