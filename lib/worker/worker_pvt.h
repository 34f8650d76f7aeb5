/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Worker, private: what its files share. Everything here runs on the data lcore unless it says
 * otherwise. */
#ifndef KX_WORKER_PVT_H
#define KX_WORKER_PVT_H

#include "kx_worker.h"

/** A slice in flight: log memory that a port still reads. */
struct kx_worker_slice {
	struct kx_net_slice net;
	struct kx_pin pin;   /**< what lib/net releases: gives the slot back, then releases `user` */
	struct kx_pin *user; /**< the broker's */
	struct kx_worker *w;
	struct kx_worker_slice *next; /**< while free */
};

/** The broker's way out; ctx is the worker. */
extern const struct kx_transport_ops kx_worker_transport_ops;

/** Queue a finished frame for a port (index); takes the mbuf. Counts `built`. */
void kx_worker_tx_push(struct kx_worker *w, uint32_t port, struct rte_mbuf *m);
/** Send what waits on all ports. @return frames that ports took. */
unsigned int kx_worker_tx_flush(struct kx_worker *w);
/** Take frames that other lcores send through our TX queues. @return how many. */
unsigned int kx_worker_relay_in(struct kx_worker *w);
/** Free frames that wait in the TX arrays, charged TX_FULL. Control lcore, at the end. */
void kx_worker_tx_abandon(struct kx_worker *w);

/** Give the stash of empty mbufs back to the pool. Control lcore, at the end. */
void kx_worker_stash_return(struct kx_worker *w);

/** Link the slots of the slices into the free list. Control lcore, at the start. */
void kx_worker_slices_init(struct kx_worker *w, struct kx_worker_slice *slots, uint32_t n);

/** Set a value that this thread alone writes and telemetry reads. */
static KX_ALWAYS_INLINE void kx_worker_gauge(uint64_t *gauge, uint64_t value)
{
	__atomic_store_n(gauge, value, __ATOMIC_RELAXED);
}

/** Nanoseconds of the clock, now. */
static KX_ALWAYS_INLINE uint64_t kx_worker_now(const struct kx_worker *w)
{
	return kx_tsc_to_ns(&w->clock, kx_tsc_read());
}

/** Latency of a stage: each of n frames had its share of the time since `from_ns`. */
static KX_ALWAYS_INLINE void kx_worker_stage(
	struct kx_worker *w, enum kx_stage stage, uint64_t from_ns, uint64_t to_ns, uint64_t n)
{
	if (w->measure && n != 0)
		kx_hist_add_n(w->stage[stage], (to_ns - from_ns) / n, n);
}

#endif
