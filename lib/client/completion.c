/* SPDX-License-Identifier: BSD-3-Clause */
/* Completions: by callback, or kept until they are polled. A completion keeps the place of its batch, so that
 * there is always room for it. */
#include "client_pvt.h"

void kxc_completion(struct kx_producer *p, const struct kx_completion *c)
{
	uint32_t at = p->done_head + p->done_count;

	if (p->done == NULL) {
		if (p->opts.on_complete != NULL)
			p->opts.on_complete(p->opts.user, c);
		return;
	}
	p->done[at < p->opts.send_slots ? at : at - p->opts.send_slots] = *c;
	p->done_count++;
}

uint32_t kx_producer_poll(struct kx_producer *p, struct kx_completion *out, uint32_t max)
{
	uint32_t n;

	if (p == NULL || out == NULL)
		return 0;
	n = KX_MIN(max, p->done_count);
	for (uint32_t i = 0; i < n; i++) {
		out[i] = p->done[p->done_head];
		p->done_head = p->done_head + 1 < p->opts.send_slots ? p->done_head + 1 : 0;
	}
	p->done_count -= n;
	return n;
}

uint64_t kx_producer_confirmed(const struct kx_producer *p, uint32_t partition, uint8_t level)
{
	if (p == NULL || partition >= p->part_count || level < KX_MEMORY || level > KX_REPLICATED)
		return 0;
	return p->parts[partition].confirmed[level];
}
