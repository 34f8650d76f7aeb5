/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Private to drivers/port/impair. */
#ifndef KX_IMPAIR_PVT_H
#define KX_IMPAIR_PVT_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "kx_impair.h"

#define KX_IMPAIR_FIFO 4096 /**< RX: frames that found no room in the caller's burst; power of two */

struct kx_impair_held {
	struct rte_mbuf *m;
	uint64_t release_frame; /**< leaves once this many frames have been seen */
	uint64_t deadline_tsc;
};

/** What is to happen to one frame. */
struct kx_impair_verdict {
	bool lose, corrupt, duplicate, reorder;
	uint64_t bit;	   /**< random: which bit is flipped */
	uint32_t distance; /**< frames to stay behind */
};

struct kx_impair {
	uint16_t port_id, queue_id;
	enum kx_impair_dir dir;
	struct kx_impair_conf conf;
	struct kx_prng prng;
	uint64_t hold_tsc;
	uint64_t judged_flag; /**< TX: mbuf flag of frames that were judged before */
	uint64_t seen;
	uint32_t held_count;
	struct kx_impair_held held[KX_IMPAIR_HELD_MAX];
	uint32_t fifo_first, fifo_count;
	struct rte_mbuf *fifo[KX_IMPAIR_FIFO];
	struct kx_impair_stats stats;
	const struct rte_eth_rxtx_callback *rx_cb, *tx_cb;
};

/** Draw what happens to the next frame: always the same number of draws. */
struct kx_impair_verdict kx_impair_judge(struct kx_impair *im);
/** Flip a bit behind the Ethernet header, in a copy where the frame is shared. @return the frame to go on
 * with */
struct rte_mbuf *kx_impair_corrupt(struct kx_impair *im, struct rte_mbuf *m, uint64_t bit);
/** Free it, and count it as lost. */
void kx_impair_lose(struct kx_impair *im, struct rte_mbuf *m);
/** A whole copy, or NULL (counted). */
struct rte_mbuf *kx_impair_copy(struct kx_impair *im, struct rte_mbuf *m);
/** Hold a frame back. @return false when there is no room (counted) */
bool kx_impair_hold(struct kx_impair *im, struct rte_mbuf *m, uint32_t distance);
/** Take one held frame that is due out of the line, or NULL. */
struct rte_mbuf *kx_impair_due(struct kx_impair *im, uint64_t now_tsc);

uint16_t kx_impair_rx(
	uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, uint16_t max, void *arg);
uint16_t kx_impair_tx(uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, void *arg);
/** RX callback beside a TX impairment: releases what is due. */
uint16_t kx_impair_tx_clock(
	uint16_t port_id, uint16_t queue_id, struct rte_mbuf *pkts[], uint16_t n, uint16_t max, void *arg);

#endif
