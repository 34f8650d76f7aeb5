/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending: the burst keeps its length. A lost frame becomes a filler, a held one is replaced by a filler;
 * copies and released frames go straight to the driver, beside the burst. A filler carries the mbuf flags
 * that the sender registered, as a copy does: who looks for what a driver kept has to know all that was sent.
 */
#include <string.h>

#include <rte_cycles.h>

#include "impair_pvt.h"

#define FILLER_BYTES	60
#define FILLER_TYPE	0x88b5 /* IEEE 802 local experimental 1 */
#define EXTRA_TRIES	64
#define DYNAMIC_FLAGS	(RTE_MBUF_F_LAST_FREE | (RTE_MBUF_F_LAST_FREE - RTE_MBUF_F_FIRST_FREE))
#define COUNT(im, what) kx_count(&(im)->stats.what, 1)

/** Send beside the burst. */
static void send_extra(struct kx_impair *im, struct rte_mbuf *m)
{
	struct rte_eth_fp_ops *p = &rte_eth_fp_ops[im->port_id];

	m->ol_flags |= im->judged_flag;
	for (unsigned int i = 0; i < EXTRA_TRIES; i++) {
		if (p->tx_pkt_burst(p->txq.data[im->queue_id], &m, 1) == 1) {
			COUNT(im, out);
			return;
		}
	}
	rte_pktmbuf_free(m);
	COUNT(im, refused);
}

static void send_due(struct kx_impair *im, uint64_t now_tsc)
{
	struct rte_mbuf *m;

	while ((m = kx_impair_due(im, now_tsc)) != NULL)
		send_extra(im, m);
}

/** @param stead  the frame whose place it takes */
static struct rte_mbuf *filler(struct kx_impair *im, const struct rte_mbuf *stead)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(stead->pool);
	struct rte_ether_hdr *eth;

	eth = m != NULL ? (struct rte_ether_hdr *)rte_pktmbuf_append(m, FILLER_BYTES) : NULL;
	if (eth == NULL) {
		rte_pktmbuf_free(m);
		COUNT(im, no_buffer);
		return NULL;
	}
	memset(eth, 0, FILLER_BYTES);
	eth->dst_addr.addr_bytes[0] = 0x02;
	eth->src_addr.addr_bytes[0] = 0x02;
	eth->src_addr.addr_bytes[5] = 1;
	eth->ether_type = rte_cpu_to_be_16(FILLER_TYPE);
	m->ol_flags |= im->judged_flag | (stead->ol_flags & DYNAMIC_FLAGS);
	COUNT(im, fillers);
	return m;
}

/** @return what takes the frame's place in the burst */
static struct rte_mbuf *give(struct kx_impair *im, struct rte_mbuf *m)
{
	struct kx_impair_verdict v = kx_impair_judge(im);
	struct rte_mbuf *copy, *instead = NULL;

	COUNT(im, in);
	if (v.lose || v.reorder)
		instead = filler(im, m);
	if (v.lose && instead != NULL) {
		kx_impair_lose(im, m);
		return instead;
	}
	if (v.corrupt)
		m = kx_impair_corrupt(im, m, v.bit);
	if (v.duplicate) {
		copy = kx_impair_copy(im, m);
		if (copy != NULL) {
			/* Offload requests and header lengths are part of the copy (they are metadata). */
			COUNT(im, duplicated);
			send_extra(im, copy);
		}
	}
	if (instead != NULL && kx_impair_hold(im, m, v.distance))
		return instead;
	if (instead != NULL) {
		rte_pktmbuf_free(instead);
		kx_count(&im->stats.fillers, UINT64_MAX);
	}
	m->ol_flags |= im->judged_flag;
	COUNT(im, out);
	return m;
}

uint16_t kx_impair_tx(uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct kx_impair *im = arg;
	uint64_t now_tsc = rte_rdtsc();

	RTE_SET_USED(port_id);
	RTE_SET_USED(queue_id);
	for (uint16_t i = 0; i < n; i++) {
		if ((pkts[i]->ol_flags & im->judged_flag) != 0)
			continue;
		pkts[i] = give(im, pkts[i]);
		send_due(im, 0);
	}
	send_due(im, now_tsc);
	return n;
}

uint16_t kx_impair_tx_clock(
	uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, uint16_t max, void *arg)
{
	struct kx_impair *im = arg;

	RTE_SET_USED(port_id);
	RTE_SET_USED(queue_id);
	RTE_SET_USED(pkts);
	RTE_SET_USED(max);
	if (im->held_count > 0)
		send_due(im, rte_rdtsc());
	return n;
}
