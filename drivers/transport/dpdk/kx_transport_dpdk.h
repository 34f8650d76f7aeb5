/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Transport over a DPDK port, for clients: implements struct kx_transport_ops on one RX and one TX queue.
 *
 * One object belongs to one thread, the one that owns both queues. Several clients of that thread may share
 * it: they are told apart by connection id, which is their library's matter. Answers to ARP, neighbour
 * discovery and echo happen inside rx_burst. The port is configured and started by its owner (kx_ethdev.h, or
 * any DPDK program's own code); the object neither starts nor stops it.
 *
 * Threads should be registered with EAL (lcores are): without, mempool caches are not used.
 */
#ifndef KX_TRANSPORT_DPDK_H
#define KX_TRANSPORT_DPDK_H

#include "kx_net.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_TRANSPORT_DPDK_TX_MAX 256 /**< frames that may be queued, those the port did not take included */

struct kx_transport_dpdk_conf {
	const struct kx_net_if *nif; /**< port, addresses, UDP ports; outlives the object */
	uint16_t rx_queue, tx_queue;
	uint16_t local_port;	  /**< UDP port that path_to() sends from; one of nif's; host order */
	uint16_t tx_burst;	  /**< frames queued before send() flushes by itself, <= 64; 0: 32 */
	uint16_t tx_retries;	  /**< TX calls a flush makes while the port is full; 0: 4 */
	uint32_t tx_hold_us;	  /**< how long a port may take nothing before what is queued is dropped; 0:
				     100,000 */
	struct rte_mempool *pool; /**< mbufs to send; headroom >= KX_NET_HEADROOM */
	struct kx_ledger *ledger; /**< this thread's, counted into; NULL: the object's own */
	int socket_id;		  /**< NUMA node of its memory, or SOCKET_ID_ANY */
	uint64_t (*now_ns)(void *arg); /**< clock; NULL: kx_clock_mono_ns(). Called once for each rx_burst */
	void *now_arg;
};

struct kx_transport_dpdk;

/** @return 0 and *out; -EINVAL; -ENOMEM */
int kx_transport_dpdk_new(const struct kx_transport_dpdk_conf *conf, struct kx_transport_dpdk **out);
/** Drops what is queued, gives back every mbuf it holds. NULL is fine. The port may still run. */
void kx_transport_dpdk_free(struct kx_transport_dpdk *t);

/**
 * The table and context for the client library. Valid as long as the object. What the table does here:
 *
 * - rx_burst: one RX call of at most 64 frames. The frames count as `handled` in the ledger.
 * - alloc: from a local stash filled in bulk. NULL: pool empty, or `bytes` larger than a buffer.
 * - send, flush: frames the port does not take stay queued, in order, and go with a later flush; room() is 0
 *   until they have left. When the port takes nothing at all for tx_hold_us (its peer is gone) they are
 * dropped as TX_FULL. A send() beyond room() may drop the frame it is given.
 * - path_to: as kx_net_path_to(); requests leave at once, answers are taken in by rx_burst.
 * - forward: for KX_FRAME_OWNED frames. send_slice: NULL.
 */
struct kx_transport kx_transport_dpdk(struct kx_transport_dpdk *t);

/** Counts: received, handled, built, sent, drops by name. The object's thread, or any with
 * kx_counter_read(). */
const struct kx_ledger *kx_transport_dpdk_ledger(const struct kx_transport_dpdk *t);

/** For raw frames (a generator's echo mode) beside the table: the same thread, the same queues. */
struct kx_net *kx_transport_dpdk_net(struct kx_transport_dpdk *t);

/** Age neighbours, send what net has waiting. About once a second; rx_burst does it too. */
void kx_transport_dpdk_tick(struct kx_transport_dpdk *t, uint64_t now_ns);

#ifdef __cplusplus
}
#endif
#endif
