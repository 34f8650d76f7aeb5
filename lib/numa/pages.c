/* SPDX-License-Identifier: BSD-3-Clause */
/* Where pages really are: move_pages(2) without target nodes only asks. */
#include "kx_numa.h"

#include <errno.h>
#include <numa.h>
#include <string.h>

#define CHUNK 256

static void count_page(struct kx_numa_pages *pages, int status)
{
	pages->sampled++;
	if (status == -ENOENT)
		pages->absent++;
	else if (status < 0 || status >= KX_NUMA_NODES_MAX)
		pages->unknown++;
	else
		pages->on_node[status]++;
}

int kx_numa_verify_pages(
	const void *addr, uint64_t bytes, uint64_t page_bytes, uint32_t samples, struct kx_numa_pages *pages)
{
	uint32_t max = samples == 0 ? KX_NUMA_SAMPLES_MAX : KX_MIN(samples, (uint32_t)KX_NUMA_SAMPLES_MAX);
	uint64_t first, count, n;

	memset(pages, 0, sizeof(*pages));
	if (addr == NULL || bytes == 0 || page_bytes == 0 || (page_bytes & (page_bytes - 1)) != 0)
		return -EINVAL;
	first = (uintptr_t)addr / page_bytes;
	count = ((uintptr_t)addr + bytes - 1) / page_bytes - first + 1;
	n = KX_MIN(count, (uint64_t)max);
	for (uint64_t done = 0; done < n;) {
		void *at[CHUNK];
		int status[CHUNK];
		uint32_t k = 0;

		for (; k < CHUNK && done < n; k++, done++) {
			/* Spread: sample i is page i * count / n, so that the first and the whole range are
			 * seen. */
			uint64_t page = first + (uint64_t)((unsigned __int128)done * count / n);
			at[k] = (void *)(uintptr_t)(page * page_bytes); // NOLINT: an address from its number
			status[k] = -ENOENT;
		}
		if (numa_move_pages(0, k, at, NULL, status, 0) < 0)
			return -errno;
		for (uint32_t i = 0; i < k; i++)
			count_page(pages, status[i]);
	}
	return 0;
}

int kx_numa_pages_node(const struct kx_numa_pages *pages)
{
	for (int node = 0; node < KX_NUMA_NODES_MAX; node++)
		if (pages->on_node[node] > 0)
			return pages->on_node[node] == pages->sampled ? node : KX_NUMA_NODE_UNKNOWN;
	return KX_NUMA_NODE_UNKNOWN;
}
