/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drivers of DPDK 22.11 forget mbufs when they are closed: net_memif as zero-copy client those it had posted
 * for reception and those it had sent and the peer had not taken, net_af_xdp those posted. Nobody else holds
 * them; they are found here by walking the pool and given back, so that what is still missing afterwards is a
 * leak of ours.
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "ethdev_pvt.h"

struct census {
	void **free; /* sorted */
	uint32_t free_count;
	struct rte_mbuf **lost;
	uint32_t lost_count;
	uint32_t size;
	uint64_t sent_flag; /**< of KX_ETHDEV_SENT_FLAG; 0: nobody marks */
};

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/**
 * Allocated for reception and not filled yet, or sent zero-copy: the driver holds a reference of its own,
 * which net_memif gives up without freeing the mbuf when its peer goes away.
 */
static bool driver_held(const struct census *c, const struct rte_mbuf *m)
{
	uint16_t refs = rte_mbuf_refcnt_read(m);

	return refs == 2 || (m->ol_flags & c->sent_flag) != 0 ||
		(refs == 1 && m->port == RTE_MBUF_PORT_INVALID && m->data_len == 0 && m->pkt_len == 0 &&
			m->nb_segs == 1 && m->next == NULL && RTE_MBUF_DIRECT(m));
}

static void look_at(struct rte_mempool *pool, void *arg, void *obj, unsigned int index)
{
	struct census *c = arg;

	RTE_SET_USED(pool);
	RTE_SET_USED(index);
	if (bsearch(&obj, c->free, c->free_count, sizeof(obj), by_address) == NULL && driver_held(c, obj) &&
		c->lost_count < c->size)
		c->lost[c->lost_count++] = obj;
}

static void flush_caches(struct rte_mempool *pool)
{
	unsigned int lcore;

	RTE_LCORE_FOREACH (lcore) {
		struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, lcore);

		if (cache != NULL)
			rte_mempool_cache_flush(cache, pool);
	}
}

static void give_back(struct rte_mbuf *m)
{
	rte_mbuf_refcnt_set(m, 1);
	m->next = NULL;
	m->nb_segs = 1;
	rte_pktmbuf_free_seg(m); /* detaches log memory too, which releases its pin */
}

uint64_t kx_ethdev_sent_flag(void)
{
	int bit = rte_mbuf_dynflag_lookup(KX_ETHDEV_SENT_FLAG, NULL);

	return bit < 0 ? 0 : UINT64_C(1) << bit;
}

int kx_ethdev_reclaim(const struct kx_ethdev *dev, struct rte_mempool *pool)
{
	struct census c = {.size = pool->size};

	if (!dev->forgets || dev->started)
		return 0;
	c.sent_flag = kx_ethdev_sent_flag();
	c.free = malloc(pool->size * sizeof(c.free[0]));
	c.lost = malloc(pool->size * sizeof(c.lost[0]));
	if (c.free == NULL || c.lost == NULL) {
		free(c.free);
		free(c.lost);
		return -ENOMEM;
	}
	flush_caches(pool);
	while (c.free_count < pool->size &&
		rte_mempool_generic_get(pool, &c.free[c.free_count], 1, NULL) == 0)
		c.free_count++;
	qsort(c.free, c.free_count, sizeof(c.free[0]), by_address);
	rte_mempool_obj_iter(pool, look_at, &c);
	rte_mempool_generic_put(pool, c.free, c.free_count, NULL);
	for (uint32_t i = 0; i < c.lost_count; i++)
		give_back(c.lost[i]);
	free(c.free);
	free(c.lost);
	return (int)c.lost_count;
}
