/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>

#include "worker_pvt.h"

#define COMMAND_RING 64

static void set_constants(struct kx_worker *w, const struct kx_worker_config *c)
{
	w->index = c->index;
	w->lcore_count = c->fabric->wiring.lcore_count;
	w->lcore = c->lcore;
	w->socket_id = c->socket_id;
	w->base_port = c->fabric->base_port;
	w->port_count = (uint16_t)c->fabric->wiring.port_count;
	w->measure = c->conf->telemetry.latency;
	w->gap_threshold_ns = (uint64_t)c->conf->lcores.gap_threshold_us * 1000;
	w->yield_ns = (uint64_t)c->conf->lcores.yield_us * 1000;
	w->yield_when_busy = c->shares_cpu;
	w->clock = *c->clock;
	w->pool = c->pool;
	if (strncmp(rte_mempool_get_ops(c->pool->ops_index)->name, "ring_", 5) == 0)
		w->pool_ring = c->pool->pool_data;
	w->fabric = c->fabric;
	w->log_memory = c->log_memory;
	w->log_memory_bytes = c->log_memory_bytes;
	w->log_iova = c->log_iova;
	w->sent_flag = c->sent_flag;
	w->housekeeping = KX_WORKER_HOUSEKEEPING;
	w->stats.pool_low_water = UINT64_MAX;
	memset(w->port_index, UINT8_MAX, sizeof(w->port_index));
}

static void set_tx(struct kx_worker *w, uint32_t port, const struct kx_worker_port_conf *pc)
{
	const struct kx_worker_wiring *wiring = &w->fabric->wiring;
	struct kx_worker_tx *tx = &w->tx[port];
	uint32_t via = wiring->tx_via[port][w->index];

	tx->port_id = pc->nif->conf.port_id;
	tx->queue_id = wiring->tx_queue[port][w->index];
	tx->nif = pc->nif;
	tx->off = pc->off;
	tx->relay = via == w->index ? NULL : w->fabric->relay[w->index * w->lcore_count + via];
	/* A relayed slice would be released on the other lcore. */
	tx->slices = pc->slices && tx->relay == NULL && w->log_iova != RTE_BAD_IOVA;
	tx->tx_pkts = pc->tx_pkts[tx->queue_id] != NULL ? pc->tx_pkts[tx->queue_id] : &w->uncounted;
	w->port_index[tx->port_id] = (uint8_t)port;
}

static void set_rx(struct kx_worker *w, uint32_t port, const struct kx_worker_port_conf *pc)
{
	const struct kx_worker_wiring *wiring = &w->fabric->wiring;

	for (uint32_t q = 0; q < wiring->shape[port].rx_queues; q++) {
		struct kx_worker_rxq *rxq = &w->rxq[w->rxq_count];

		if (wiring->rx_owner[port][q] != w->index)
			continue;
		rxq->port = (uint8_t)port;
		rxq->port_id = pc->nif->conf.port_id;
		rxq->queue_id = (uint16_t)q;
		rxq->burst = pc->rx_burst;
		rxq->cut = pc->cut;
		rxq->net = w->tx[port].net;
		rxq->rx_pkts = pc->rx_pkts[q] != NULL ? pc->rx_pkts[q] : &w->uncounted;
		w->rxq_count++;
	}
}

static int set_ports(struct kx_worker *w, const struct kx_worker_config *c)
{
	for (uint32_t port = 0; port < w->port_count; port++) {
		if (c->ports[port].rx_burst == 0 || c->ports[port].rx_burst > KX_WORKER_BURST_MAX)
			return -EINVAL;
		set_tx(w, port, &c->ports[port]);
		w->tx[port].net = kx_net_new(c->ports[port].nif, w->pool, &w->ledger, w->socket_id);
		if (w->tx[port].net == NULL)
			return -ENOMEM;
		set_rx(w, port, &c->ports[port]);
	}
	return 0;
}

static int set_rings(struct kx_worker *w)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "kx_cmd%u", w->lcore);
	w->commands = rte_ring_create_elem(name, sizeof(struct kx_worker_cmd), COMMAND_RING, w->socket_id,
		RING_F_SP_ENQ | RING_F_SC_DEQ);
	w->slices = rte_zmalloc_socket("kx_slices", KX_WORKER_SLICES * sizeof(*w->slices), 0, w->socket_id);
	if (w->commands == NULL || w->slices == NULL)
		return -ENOMEM;
	kx_worker_slices_init(w, w->slices, KX_WORKER_SLICES);
	return 0;
}

static int set_stages(struct kx_worker *w)
{
	if (!w->measure)
		return 0;
	for (unsigned int i = 0; i < KX_STAGE_COUNT; i++) {
		if (i == KX_STAGE_RESIDENCE)
			continue;
		w->stage[i] = kx_hist_new();
		if (w->stage[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static uint32_t largest_datagram(const struct kx_worker_config *c)
{
	uint32_t bytes = 0;

	for (uint32_t port = 0; port < c->fabric->wiring.port_count; port++)
		bytes = KX_MAX(bytes, kx_net_datagram_bytes(c->ports[port].nif, true));
	return bytes;
}

static int set_broker(struct kx_worker *w, const struct kx_worker_config *c)
{
	struct kx_broker_config bc = {
		.conf = c->conf,
		.lcore_index = c->index,
		.lcore_count = w->lcore_count,
		.boot_id = c->boot_id,
		.secrets = c->secrets,
		.principals = c->principals,
		.audit = c->audit,
		.transport = {.ops = &kx_worker_transport_ops, .ctx = w},
		.log_memory = c->log_memory,
		.log_memory_bytes = c->log_memory_bytes,
		.datagram_max_bytes = largest_datagram(c),
		.rx_buffer_frames = c->rx_buffer_frames,
		.offsets = c->offsets,
		.ledger = &w->ledger,
		.quotas = c->quotas,
		.producer_ids = c->producer_ids,
		.fence = c->fence,
		.deliver_path = c->deliver_path,
		.cut_min_bytes = c->cut_min_bytes,
		.slice_min_bytes = c->slice_min_bytes,
	};

	return kx_broker_create(&bc, &w->broker);
}

int kx_worker_new(const struct kx_worker_config *config, struct kx_worker **out)
{
	struct kx_worker *w = rte_zmalloc_socket("kx_worker", sizeof(*w), KX_CACHE_LINE, config->socket_id);
	int err;

	if (w == NULL)
		return -ENOMEM;
	set_constants(w, config);
	err = set_rings(w);
	if (err == 0)
		err = set_stages(w);
	if (err == 0)
		err = set_ports(w, config);
	if (err == 0)
		err = set_broker(w, config);
	if (err != 0) {
		kx_worker_free(w);
		return err;
	}
	*out = w;
	return 0;
}

void kx_worker_free(struct kx_worker *w)
{
	if (w == NULL)
		return;
	if (w->broker != NULL)
		kx_broker_destroy(w->broker);
	for (uint32_t port = 0; port < w->port_count; port++)
		kx_net_free(w->tx[port].net);
	for (unsigned int i = 0; i < KX_STAGE_COUNT; i++)
		kx_hist_free(w->stage[i]);
	rte_ring_free(w->commands);
	rte_free(w->slices);
	rte_free(w);
}

int kx_worker_command(struct kx_worker *w, enum kx_worker_cmd_type type, void *arg)
{
	struct kx_worker_cmd cmd = {.type = type, .arg = arg};

	return rte_ring_sp_enqueue_elem(w->commands, &cmd, sizeof(cmd)) == 0 ? 0 : -ENOBUFS;
}

bool kx_worker_broker_stopped(const struct kx_worker *w)
{
	return __atomic_load_n(&w->broker_stopped, __ATOMIC_ACQUIRE); /* release: housekeeping() in loop.c */
}
