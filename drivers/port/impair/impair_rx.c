/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving: frames pass through a queue of our own, because copies may need more room than the caller's
 * burst. */
#include <rte_cycles.h>

#include "impair_pvt.h"

#define COUNT(im, what) kx_count(&(im)->stats.what, 1)
#define FIFO_COPIES_MAX (KX_IMPAIR_FIFO / 4) /* above it no copies are made, so that it drains */

static void push(struct kx_impair *im, struct rte_mbuf *m)
{
	if (im->fifo_count == KX_IMPAIR_FIFO) {
		kx_impair_lose(im, m);
		return;
	}
	im->fifo[(im->fifo_first + im->fifo_count++) % KX_IMPAIR_FIFO] = m;
	COUNT(im, held);
}

static void push_due(struct kx_impair *im, uint64_t now_tsc)
{
	struct rte_mbuf *m;

	while ((m = kx_impair_due(im, now_tsc)) != NULL)
		push(im, m);
}

static void take(struct kx_impair *im, struct rte_mbuf *m)
{
	struct kx_impair_verdict v = kx_impair_judge(im);
	struct rte_mbuf *copy;

	COUNT(im, in);
	if (v.lose) {
		kx_impair_lose(im, m);
		return;
	}
	if (v.corrupt)
		m = kx_impair_corrupt(im, m, v.bit);
	if (v.duplicate && im->fifo_count < FIFO_COPIES_MAX) {
		copy = kx_impair_copy(im, m);
		if (copy != NULL) {
			COUNT(im, duplicated);
			push(im, copy);
		}
	}
	if (!v.reorder || !kx_impair_hold(im, m, v.distance))
		push(im, m);
}

uint16_t kx_impair_rx(
	uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, uint16_t max, void *arg)
{
	struct kx_impair *im = arg;
	uint64_t now_tsc = rte_rdtsc();
	uint16_t out;

	RTE_SET_USED(port_id);
	RTE_SET_USED(queue_id);
	for (uint16_t i = 0; i < n; i++) {
		take(im, pkts[i]);
		push_due(im, 0); /* by distance; the clock is looked at once a call */
	}
	push_due(im, now_tsc);
	out = (uint16_t)KX_MIN(im->fifo_count, max);
	for (uint16_t i = 0; i < out; i++)
		pkts[i] = im->fifo[(im->fifo_first + i) % KX_IMPAIR_FIFO];
	im->fifo_first = (im->fifo_first + out) % KX_IMPAIR_FIFO;
	im->fifo_count -= out;
	kx_count(&im->stats.held, -(uint64_t)out);
	kx_count(&im->stats.out, out);
	return out;
}
