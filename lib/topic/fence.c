/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "kx_topic.h"

int kx_fence_create(struct kx_fence **out)
{
	struct kx_fence *f = aligned_alloc(KX_CACHE_LINE, sizeof(*f));

	*out = f;
	if (f == NULL)
		return -ENOMEM;
	f->generation = 1;
	for (uint32_t i = 0; i < KX_LCORES_MAX; i++)
		f->lcores[i].generation = KX_FENCE_AWAY;
	return 0;
}

void kx_fence_destroy(struct kx_fence *f)
{
	free(f);
}

void kx_fence_join(struct kx_fence *f, uint32_t lcore)
{
	uint64_t now = __atomic_load_n(&f->generation, __ATOMIC_ACQUIRE); /* kx_fence_raise() */

	__atomic_store_n(&f->lcores[lcore].generation, now, __ATOMIC_RELEASE);
}

void kx_fence_leave(struct kx_fence *f, uint32_t lcore)
{
	__atomic_store_n(&f->lcores[lcore].generation, KX_FENCE_AWAY, __ATOMIC_RELEASE);
}

uint64_t kx_fence_raise(struct kx_fence *f)
{
	/* release: the new epoch is written before; pairs with kx_fence_publish() */
	return __atomic_add_fetch(&f->generation, 1, __ATOMIC_ACQ_REL);
}

bool kx_fence_passed(
	const struct kx_fence *f, uint64_t generation, uint32_t own, uint32_t lcore_count, uint32_t *at)
{
	for (; *at < lcore_count; (*at)++) {
		/* pairs with kx_fence_publish() */
		uint64_t seen = __atomic_load_n(&f->lcores[*at].generation, __ATOMIC_ACQUIRE);

		if (*at != own && seen < generation)
			return false;
	}
	return true;
}
