/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "ethdev_pvt.h"

#define CACHE_MAX  RTE_MEMPOOL_CACHE_MAX_SIZE
#define CACHE_STEP 32

uint32_t kx_ethdev_pool_mbufs(const struct kx_ethdev_pool_need *need)
{
	/* A cache is flushed at 1.5 times its size; each thread may hold one burst in and one out. */
	uint64_t n = (uint64_t)need->rx_queues * need->rx_descs + (uint64_t)need->tx_queues * need->tx_descs +
		(uint64_t)need->rings * need->ring_entries +
		(uint64_t)need->threads * (CACHE_MAX + CACHE_MAX / 2 + 2 * (uint64_t)need->burst) +
		need->extra;

	n += n / 16 + 1;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

uint32_t kx_ethdev_pool_cache(uint32_t mbufs, uint32_t threads)
{
	uint32_t share = mbufs / (4 * KX_MAX(threads, 1u));

	return KX_MIN(share, (uint32_t)CACHE_MAX) / CACHE_STEP * CACHE_STEP;
}

uint16_t kx_ethdev_data_room(uint16_t mtu)
{
	uint32_t room = RTE_PKTMBUF_HEADROOM + mtu + RTE_ETHER_HDR_LEN + 4 + RTE_ETHER_CRC_LEN;

	room = KX_MAX((room + 127) / 128 * 128, (uint32_t)RTE_MBUF_DEFAULT_BUF_SIZE);
	return (uint16_t)KX_MIN(room, UINT32_C(65408));
}

struct rte_mempool *kx_ethdev_pool_new(const char *name, uint32_t mbufs, uint32_t cache, uint16_t priv_bytes,
	uint16_t data_room, int socket_id, struct kx_text *why)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create(name, mbufs, cache, priv_bytes, data_room, socket_id);

	if (pool == NULL)
		kx_text_add(why, "packet pool \"%s\" of %u buffers of %u bytes (%.1f MiB) on node %d: %s",
			name, mbufs, data_room, (double)mbufs * (data_room + 256.0) / (1 << 20), socket_id,
			kx_strerror(-rte_errno));
	return pool;
}
