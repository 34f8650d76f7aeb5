/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t home_of(const struct kx_map *map, uint64_t key)
{
	return (uint32_t)kx_mix64(key) & map->mask;
}

int kx_map_init(struct kx_map *map, uint32_t entries)
{
	uint64_t slots = 8;

	*map = (struct kx_map){0};
	while (slots / 8 * 7 < entries)
		slots *= 2;
	if (entries == 0 || slots > (UINT64_C(1) << 31))
		return -EINVAL;
	map->keys = calloc(slots, sizeof(*map->keys));
	map->values = calloc(slots, sizeof(*map->values));
	if (map->keys == NULL || map->values == NULL) {
		kx_map_fini(map);
		return -ENOMEM;
	}
	map->mask = (uint32_t)(slots - 1);
	map->limit = (uint32_t)(slots / 8 * 7);
	return 0;
}

void kx_map_fini(struct kx_map *map)
{
	free(map->keys);
	free(map->values);
	*map = (struct kx_map){0};
}

/* The key's slot, or the empty slot where its probe ends. There always is one: the fill limit sees to it. */
static uint32_t find(const struct kx_map *map, uint64_t key)
{
	uint32_t slot = home_of(map, key);

	while (map->keys[slot] != key && map->keys[slot] != 0)
		slot = (slot + 1) & map->mask;
	return slot;
}

bool kx_map_get(const struct kx_map *map, uint64_t key, uint32_t *value)
{
	if (key == 0)
		return false;
	uint32_t slot = find(map, key);
	if (map->keys[slot] == 0)
		return false;
	*value = map->values[slot];
	return true;
}

int kx_map_put(struct kx_map *map, uint64_t key, uint32_t value)
{
	if (key == 0)
		return -EINVAL;
	uint32_t slot = find(map, key);
	if (map->keys[slot] == 0) {
		if (map->count >= map->limit)
			return -ENOSPC;
		map->keys[slot] = key;
		map->count++;
	}
	map->values[slot] = value;
	return 0;
}

bool kx_map_del(struct kx_map *map, uint64_t key)
{
	if (key == 0)
		return false;
	uint32_t hole = find(map, key);
	if (map->keys[hole] == 0)
		return false;

	/* Move back every later entry of the cluster that may rest in the hole: its home is not behind it. */
	for (uint32_t slot = (hole + 1) & map->mask; map->keys[slot] != 0; slot = (slot + 1) & map->mask) {
		uint32_t from_home = (slot - home_of(map, map->keys[slot])) & map->mask;
		uint32_t from_hole = (slot - hole) & map->mask;

		if (from_home < from_hole)
			continue;
		map->keys[hole] = map->keys[slot];
		map->values[hole] = map->values[slot];
		hole = slot;
	}
	map->keys[hole] = 0;
	map->count--;
	return true;
}
