/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of messages larger than a datagram: a ring, given back in any order, used again in its own. */
#include "client_pvt.h"

uint32_t kxc_large_take(struct kx_producer *p, uint32_t bytes)
{
	uint64_t size = p->opts.large_bytes, start = p->large_head;
	uint64_t tail = p->large_count > 0 ? p->larges[p->large_first].start : start;
	uint32_t i = (p->large_first + p->large_count) % LARGE_MAX;

	if (p->large_count == LARGE_MAX)
		return NONE;
	if (start % size + bytes > size) /* in one piece */
		start += size - start % size;
	if (p->large_count == 0)
		tail = start;
	if (start + bytes - tail > size)
		return NONE;
	p->larges[i] = (struct large){.start = start, .end = start + bytes, .used = true};
	p->large_head = start + bytes;
	p->large_count++;
	return i;
}

uint32_t kxc_split_take(struct kx_producer *p, uint32_t slot)
{
	for (uint32_t i = LARGE_MAX; i < LARGE_MAX + SPLIT_MAX; i++) {
		if (p->larges[i].used)
			continue;
		p->larges[i] = (struct large){.slot = slot, .used = true};
		return i;
	}
	return NONE;
}

void kxc_large_free(struct kx_producer *p, uint32_t large)
{
	p->larges[large].used = false;
	while (p->large_count > 0 && !p->larges[p->large_first].used) {
		p->large_first = (p->large_first + 1) % LARGE_MAX;
		p->large_count--;
	}
}

uint32_t kxc_large_part_bytes(const struct channel *ch)
{
	return (channel_room(ch) - (uint32_t)sizeof(struct kx_frag)) & ~7u;
}
