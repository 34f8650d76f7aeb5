/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "kx_log.h"

static void set_free(struct kx_extent_pool *p, uint32_t n)
{
	__atomic_store_n(&p->free, n, __ATOMIC_RELAXED); /* telemetry reads it */
}

static void extent_free(struct kx_extent_pool *p, uint32_t extent)
{
	p->extents[extent].flags = 0;
	p->extents[extent].next = p->free_head;
	p->free_head = extent;
	set_free(p, p->free + 1);
}

static void pin_release(struct kx_pin *pin)
{
	struct kx_extent *e = (struct kx_extent *)((char *)pin - offsetof(struct kx_extent, pin));
	struct kx_extent_pool *p = e->pool;

	e->pins--;
	p->pins--;
	if (e->pins == 0 && (e->flags & KX_EXTENT_RETIRED)) {
		p->retired--;
		extent_free(p, (uint32_t)(e - p->extents));
	}
}

int kx_extent_pool_init(struct kx_extent_pool *p, uint8_t *region, uint64_t bytes, uint32_t extent_bytes)
{
	uint64_t total = extent_bytes == 0 ? 0 : bytes / extent_bytes;

	*p = (struct kx_extent_pool){0};
	if (extent_bytes < KX_LOG_INDEX_STEP || (extent_bytes & (extent_bytes - 1)) != 0 || total == 0 ||
		total >= KX_EXTENT_NONE)
		return -EINVAL;
	p->base = region;
	p->extent_bytes = extent_bytes;
	p->total = (uint32_t)total;
	p->index_max = extent_bytes / KX_LOG_INDEX_STEP;
	p->extents = calloc(total, sizeof(*p->extents));
	p->index = calloc(total * p->index_max, sizeof(*p->index));
	if (p->extents == NULL || p->index == NULL) {
		kx_extent_pool_fini(p);
		return -ENOMEM;
	}
	p->free_head = KX_EXTENT_NONE;
	for (uint32_t i = p->total; i-- > 0;) {
		p->extents[i].pool = p;
		p->extents[i].pin.release = pin_release;
		extent_free(p, i);
	}
	p->low_water = p->free;
	return 0;
}

void kx_extent_pool_fini(struct kx_extent_pool *p)
{
	free(p->extents);
	free(p->index);
	p->extents = NULL;
	p->index = NULL;
}

uint32_t kx_extent_get(struct kx_extent_pool *p)
{
	uint32_t extent = p->free_head;
	struct kx_extent *e;

	if (extent == KX_EXTENT_NONE)
		return KX_EXTENT_NONE;
	e = &p->extents[extent];
	p->free_head = e->next;
	set_free(p, p->free - 1);
	if (p->free < p->low_water)
		p->low_water = p->free;
	e->next = KX_EXTENT_NONE;
	e->flags = 0;
	e->used_bytes = 0;
	e->index_count = 0;
	e->index_due = 0;
	return extent;
}

void kx_extent_put(struct kx_extent_pool *p, uint32_t extent)
{
	struct kx_extent *e = &p->extents[extent];

	if (e->pins == 0) {
		extent_free(p, extent);
		return;
	}
	e->flags |= KX_EXTENT_RETIRED;
	p->retired++;
}

struct kx_pin *kx_extent_pin(struct kx_extent_pool *p, uint32_t extent)
{
	p->extents[extent].pins++;
	p->pins++;
	return &p->extents[extent].pin;
}
