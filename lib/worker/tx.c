/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_ethdev.h>
#include <string.h>

#include "worker_pvt.h"

static void drop_from(struct kx_worker *w, uint32_t port, uint32_t first)
{
	struct kx_worker_tx *tx = &w->tx[port];
	uint32_t n = tx->count - first;

	kx_count(&w->ledger.drop[KX_DROP_TX_FULL], n);
	kx_count(&w->port_stats[port].tx_dropped, n);
	rte_pktmbuf_free_bulk(&tx->waiting[first], n);
	tx->count = first;
}

static uint32_t give(struct kx_worker_tx *tx, uint32_t from)
{
	struct rte_mbuf **mbufs = &tx->waiting[from];
	uint32_t n = tx->count - from;

	if (kx_unlikely(tx->off))
		return 0;
	if (tx->relay == NULL)
		return rte_eth_tx_burst(tx->port_id, tx->queue_id, mbufs, (uint16_t)n);
	for (uint32_t i = 0; i < n; i++)
		mbufs[i]->port = tx->port_id;
	return rte_ring_sp_enqueue_burst(tx->relay, (void *const *)mbufs, n, NULL);
}

static void count_taken(struct kx_worker *w, uint32_t port, uint32_t taken)
{
	struct kx_worker_tx *tx = &w->tx[port];

	if (tx->relay != NULL) {
		kx_count(&w->ledger.relayed, taken);
		return;
	}
	kx_count(&w->ledger.sent, taken);
	kx_count(tx->tx_pkts, taken);
	kx_count(&w->port_stats[port].tx_frames, taken);
	kx_count(&w->port_stats[port].tx_bursts, 1);
}

/* What the port does not take stays, in order, and shrinks kx_transport_ops.room: a full queue slows
 * deliveries down before it loses any. Only a port that takes nothing for KX_WORKER_TX_HOLD_NS loses them. */
static void keep_or_drop(struct kx_worker *w, uint32_t port, uint32_t taken)
{
	struct kx_worker_tx *tx = &w->tx[port];

	if (taken != 0) {
		tx->count -= taken;
		memmove(tx->waiting, &tx->waiting[taken], tx->count * sizeof(tx->waiting[0]));
		tx->progress_ns = w->now_ns;
		tx->stalled = false;
	} else if (tx->stalled || w->now_ns - tx->progress_ns > KX_WORKER_TX_HOLD_NS) {
		tx->stalled = true;
		drop_from(w, port, 0);
	}
}

static uint32_t flush_port(struct kx_worker *w, uint32_t port)
{
	struct kx_worker_tx *tx = &w->tx[port];
	uint32_t taken = 0, tries = 0;

	while (taken < tx->count && tries < KX_WORKER_TX_TRIES) {
		uint32_t n = give(tx, taken);

		taken += n;
		tries = n == 0 ? tries + 1 : 0;
	}
	if (taken != 0)
		count_taken(w, port, taken);
	if (kx_likely(taken == tx->count)) {
		tx->count = 0;
		tx->stalled = false;
		tx->progress_ns = w->now_ns;
	} else {
		kx_count(&w->port_stats[port].tx_retries, tries);
		keep_or_drop(w, port, taken);
	}
	return taken;
}

unsigned int kx_worker_tx_flush(struct kx_worker *w)
{
	unsigned int taken = 0;

	for (uint32_t port = 0; port < w->port_count; port++) {
		struct kx_worker_tx *tx = &w->tx[port];

		if (tx->count != 0)
			taken += flush_port(w, port);
		else
			tx->progress_ns = w->now_ns;
		kx_worker_gauge(&w->port_stats[port].tx_waiting, tx->count);
	}
	return taken;
}

void kx_worker_tx_push(struct kx_worker *w, uint32_t port, struct rte_mbuf *m)
{
	struct kx_worker_tx *tx = &w->tx[port];

	kx_count(&w->ledger.built, 1);
	if (kx_unlikely(tx->count == KX_WORKER_TX_MAX)) {
		flush_port(w, port);
		if (tx->count == KX_WORKER_TX_MAX) {
			kx_count(&w->ledger.drop[KX_DROP_TX_FULL], 1);
			kx_count(&w->port_stats[port].tx_dropped, 1);
			rte_pktmbuf_free(m);
			return;
		}
	}
	m->ol_flags |= w->sent_flag;
	tx->waiting[tx->count++] = m;
}

/* Room in every TX array, so that a frame taken from a ring never has to be dropped here. */
static uint32_t smallest_room(const struct kx_worker *w)
{
	uint32_t room = KX_WORKER_TX_MAX;

	for (uint32_t port = 0; port < w->port_count; port++)
		room = KX_MIN(room, KX_WORKER_TX_MAX - w->tx[port].count);
	return room;
}

unsigned int kx_worker_relay_in(struct kx_worker *w)
{
	unsigned int total = 0;

	for (uint32_t from = 0; from < w->lcore_count; from++) {
		struct rte_ring *ring = w->fabric->relay[from * w->lcore_count + w->index];
		uint32_t room, n;

		if (ring == NULL)
			continue;
		room = KX_MIN(smallest_room(w), (uint32_t)KX_WORKER_BURST_MAX);
		n = rte_ring_sc_dequeue_burst(ring, (void **)w->mbufs, room, NULL);
		for (uint32_t i = 0; i < n; i++)
			kx_worker_tx_push(w, w->port_index[w->mbufs[i]->port], w->mbufs[i]);
		total += n;
	}
	if (total != 0)
		kx_count(&w->stats.relay_in, total);
	return total;
}

void kx_worker_tx_abandon(struct kx_worker *w)
{
	for (uint32_t port = 0; port < w->port_count; port++)
		if (w->tx[port].count != 0)
			drop_from(w, port, 0);
}
